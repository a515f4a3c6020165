/*
 * bench_kernels - the matrix product and the convolution on this machine, beside the plain reference and beside the
 * peak that a bare loop of fused multiply-adds reaches here, in one run.
 *
 * Every line: what, GFLOP/s with 1 thread and with all, the share of the measured peak, and how many times the reference.
 */
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

#define REPEATS 7

static double median(double *v, int n)
{
	for (int i = 1; i < n; i++)
		for (int k = i; k > 0 && v[k] < v[k - 1]; k--) {
			double t = v[k];
			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	return v[n / 2];
}

/* ---- the peak: 12 independent chains of the widest vectors, nothing loaded or stored ---------------- */

#if defined(__x86_64__)
typedef float v8 __attribute__((vector_size(32)));
typedef float v16 __attribute__((vector_size(64)));

/* The asm statement keeps each accumulator in a register and the compiler from seeing through the chain. */
#define PEAK(NAME, V, TARGET, LANES)                                                                                   \
	__attribute__((target(TARGET))) static double NAME(long n)                                                     \
	{                                                                                                              \
		V a[12] = { 0 }, x = { 1e-3f }, y = { 0.999f };                                                        \
		volatile float sink = 0;                                                                               \
		double start = moka_now();                                                                             \
		for (long i = 0; i < n; i++) {                                                                         \
			_Pragma("GCC unroll 12") for (int k = 0; k < 12; k++) __asm__("vfmadd213ps %2, %1, %0" :       \
										      "+v"(a[k]) : "v"(y), "v"(x));    \
		}                                                                                                      \
		double t = moka_now() - start;                                                                         \
		_Pragma("GCC unroll 12") for (int k = 0; k < 12; k++) sink = sink + a[k][0];                           \
		return (double)n * 12 * 2 * (LANES) / t / 1e9;                                                         \
	}
PEAK(peak_avx2, v8, "avx2,fma", 8)
PEAK(peak_avx512, v16, "avx512f", 16)
#endif

static double peak(void)
{
	double best = 0;

	for (int i = 0; i < 5; i++) {
		double p = 0;
#if defined(__x86_64__)
		if (moka_cpu_isa() == MOKA_ISA_AVX512)
			p = peak_avx512(2000000);
		else if (moka_cpu_isa() == MOKA_ISA_AVX2)
			p = peak_avx2(2000000);
#endif
		best = p > best ? p : best;
	}
	return best;
}

/* ---- what is measured ------------------------------------------------------------------------------ */

static const struct product {
	const char *what;
	int64_t m, n, k;
} products[] = {
	{ "square 256", 256, 256, 256 },
	{ "square 1024", 1024, 1024, 1024 },
	{ "VGG conv3 as a product", 256, 3136, 2304 },
	{ "ResNet 1x1, 256 -> 64", 64, 3136, 256 },
	{ "inner product, batch 64", 64, 4096, 4096 },
};

static const struct convolution {
	const char *what;
	int64_t channels, outputs, size, kernel, stride, pad;
} convolutions[] = {
	{ "conv 3x3, 64 -> 64, 56x56", 64, 64, 56, 3, 1, 1 },
	{ "conv 3x3, 256 -> 256, 28x28", 256, 256, 28, 3, 1, 1 },
	{ "conv 7x7/2, 3 -> 64, 224x224", 3, 64, 224, 7, 2, 3 },
	{ "conv 5x5, 20 -> 50, 12x12", 20, 50, 12, 5, 1, 0 },
	{ "conv 1x1, 512 -> 512, 14x14", 512, 512, 14, 1, 1, 0 },
};

static real *random_array(int64_t n)
{
	struct moka_rng r;
	real *v = malloc((size_t)n * sizeof(real));

	if (!v)
		abort();
	moka_rng_seed(&r, 1, (uint64_t)n);
	for (int64_t i = 0; i < n; i++)
		v[i] = (real)(moka_rng_uniform(&r) - 0.5);
	return v;
}

static double time_product(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct product *p, const real *a,
			   const real *b, real *c)
{
	double t[REPEATS];

	for (int i = -1; i < REPEATS; i++) {
		double start = moka_now();
		moka_gemm(pool, ws, false, false, p->m, p->n, p->k, 1, a, p->k, b, p->n, 0, c, p->n);
		if (i >= 0)
			t[i] = moka_now() - start;
	}
	return median(t, REPEATS);
}

static void show(const char *what, double flops, const double *seconds, double top, double reference)
{
	printf("%-32s %9.1f %9.1f %8.0f %% %9.1f x\n", what, flops / seconds[0] / 1e9, flops / seconds[1] / 1e9,
	       top > 0 ? 100 * flops / seconds[0] / 1e9 / top : 0, reference / seconds[0]);
	fflush(stdout);
}

static void bench_product(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct product *p, double top)
{
	real *a = random_array(p->m * p->k), *b = random_array(p->k * p->n), *c = random_array(p->m * p->n);
	double seconds[2] = { time_product(NULL, ws, p, a, b, c), time_product(pool, ws, p, a, b, c) };
	double start = moka_now();

	moka_gemm_ref(false, false, p->m, p->n, p->k, 1, a, p->k, b, p->n, 0, c, p->n);
	show(p->what, 2.0 * (double)p->m * (double)p->n * (double)p->k, seconds, top, moka_now() - start);
	free(a);
	free(b);
	free(c);
}

static void bench_convolution(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct convolution *v, double top)
{
	int64_t out = (v->size + 2 * v->pad - v->kernel) / v->stride + 1, taps = v->channels * v->kernel * v->kernel;
	struct moka_conv_geometry g = { .axes = 2, .channels = v->channels };
	real *image = random_array(v->channels * v->size * v->size), *w = random_array(v->outputs * taps);
	real *y = random_array(v->outputs * out * out), *col = random_array(taps * out * out);
	double seconds[2], t[REPEATS];

	for (int i = 0; i < 2; i++) {
		g.in[i] = v->size, g.out[i] = out, g.kernel[i] = v->kernel, g.stride[i] = v->stride, g.pad[i] = v->pad;
		g.dilation[i] = 1;
	}
	for (int all = 0; all < 2; all++) {
		for (int i = -1; i < REPEATS; i++) {
			double start = moka_now();
			moka_conv_forward(all ? pool : NULL, ws, &g, v->outputs, w, image, NULL, y);
			if (i >= 0)
				t[i] = moka_now() - start;
		}
		seconds[all] = median(t, REPEATS);
	}
	double start = moka_now();
	moka_im2col(NULL, &g, image, col);
	moka_gemm_ref(false, false, v->outputs, out * out, taps, 1, w, taps, col, out * out, 0, y, out * out);
	show(v->what, 2.0 * (double)v->outputs * (double)(out * out) * (double)taps, seconds, top, moka_now() - start);
	free(image);
	free(w);
	free(y);
	free(col);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "plain C", "AVX2", "AVX-512" };
	struct moka_pool *pool = moka_pool_new(0);
	struct moka_gemm_ws *ws = moka_gemm_ws_new();
	double top = peak();

	if (!pool || !ws)
		return 1;
	if (argc > 1 && !strcmp(argv[1], "peak")) { /* for bench.py: the number alone */
		printf("%.2f\n", top);
		return 0;
	}
	printf("instruction set %s, measured peak %.1f GFLOP/s a core, %d threads\n\n", names[moka_cpu_isa()], top,
	       moka_pool_threads(pool));
	printf("%-32s %9s %9s %10s %11s\n", "GFLOP/s", "1 thread", "all", "of peak", "reference");
	for (size_t i = 0; i < MOKA_COUNT(products); i++)
		bench_product(pool, ws, &products[i], top);
	for (size_t i = 0; i < MOKA_COUNT(convolutions); i++)
		bench_convolution(pool, ws, &convolutions[i], top);
	moka_gemm_ws_free(ws);
	moka_pool_free(pool);
	return 0;
}
