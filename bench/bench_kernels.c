/*
 * bench_kernels - the matrix product and the convolution on this machine, beside the plain reference and beside the
 * peak that a bare loop of fused multiply-adds reaches here, in one run.
 *
 * Then the planned convolutions over blocked images, each algorithm that takes the layer: GFLOP/s of a direct convolution's
 * arithmetic, so that Winograd may pass the peak; AUTO's choice is marked. `bench_kernels NAME` shows rows with NAME in them. Last,
 * the three passes of training's convolutions, packing included, for batches of 8 images (`bench_kernels NAME IMAGES`).
 *
 * Every line: what, GFLOP/s with 1 thread and with all, the share of the measured peak, and how many times the reference.
 */
#include "kernels/conv_train.h"
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
#elif defined(__aarch64__)
typedef float v4 __attribute__((vector_size(16)));

/* Some ARMs have four units for it: 24 chains. */
static double peak_neon(long n)
{
	v4 a[24] = { 0 }, x = { 1e-3f }, y = { 0.999f };
	volatile float sink = 0;
	double start = moka_now(), t;

	for (long i = 0; i < n; i++) {
		_Pragma("GCC unroll 24") for (int k = 0; k < 24;
					      k++) __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(a[k]) : "w"(y), "w"(x));
	}
	t = moka_now() - start;
	_Pragma("GCC unroll 24") for (int k = 0; k < 24; k++) sink = sink + a[k][0];
	return (double)n * 24 * 2 * 4 / t / 1e9;
}
#endif

/* What memory gives one thread that only reads, GB/s: what an inner product at batch 1 can reach at most. */
static double bandwidth(void)
{
	enum { WORDS = 48 << 20 }; /* 384 MB: no cache holds it */
	uint64_t *p = malloc(WORDS * sizeof(*p)), sum[32] = { 0 };
	double best = 0;
	volatile uint64_t sink = 0;

	if (!p)
		return 0;
	memset(p, 1, WORDS * sizeof(*p));
	for (int i = 0; i < 5; i++) {
		double start = moka_now(), gb;
		for (size_t k = 0; k < WORDS; k += 32)
			for (size_t l = 0; l < 32; l++)
				sum[l] += p[k + l];
		gb = WORDS * sizeof(*p) / (moka_now() - start) / 1e9;
		best = gb > best ? gb : best;
	}
	for (size_t l = 0; l < 32; l++)
		sink = sink + sum[l];
	free(p);
	return best;
}

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
#elif defined(__aarch64__)
		p = peak_neon(2000000);
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
	real *v = aligned_alloc(64, ((size_t)n * sizeof(real) + 63) / 64 * 64); /* as a net's blobs are */

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

/* ---- planned convolutions --------------------------------------------------------------------------- */

static const struct layer {
	const char *what;
	int64_t channels, outputs, size, kernel, stride, pad, group;
	int plain; /* the bottom is the net's input, or a plain vector */
} layers[] = {
	{ "1x1 256->64 56x56", 256, 64, 56, 1, 1, 0, 1, 0 },
	{ "1x1 512->128 28x28", 512, 128, 28, 1, 1, 0, 1, 0 },
	{ "1x1 1024->256 14x14", 1024, 256, 14, 1, 1, 0, 1, 0 },
	{ "1x1 2048->512 7x7", 2048, 512, 7, 1, 1, 0, 1, 0 },
	{ "1x1 256->512/2 56x56", 256, 512, 56, 1, 2, 0, 1, 0 },
	{ "3x3 64->64 56x56", 64, 64, 56, 3, 1, 1, 1, 0 },
	{ "3x3 128->128 28x28", 128, 128, 28, 3, 1, 1, 1, 0 },
	{ "3x3 256->256 14x14", 256, 256, 14, 3, 1, 1, 1, 0 },
	{ "3x3 512->512 7x7", 512, 512, 7, 3, 1, 1, 1, 0 },
	{ "VGG 64->64 224x224", 64, 64, 224, 3, 1, 1, 1, 0 },
	{ "VGG 128->128 112x112", 128, 128, 112, 3, 1, 1, 1, 0 },
	{ "VGG 256->256 56x56", 256, 256, 56, 3, 1, 1, 1, 0 },
	{ "VGG 512->512 28x28", 512, 512, 28, 3, 1, 1, 1, 0 },
	{ "VGG 512->512 14x14", 512, 512, 14, 3, 1, 1, 1, 0 },
	{ "GoogLeNet 3x3 96->128 28x28", 96, 128, 28, 3, 1, 1, 1, 0 },
	{ "GoogLeNet 5x5 16->32 28x28", 16, 32, 28, 5, 1, 2, 1, 0 },
	{ "AlexNet 5x5 96->256 27x27 g2", 96, 256, 27, 5, 1, 2, 2, 0 },
	{ "LeNet 5x5 20->50 12x12", 20, 50, 12, 5, 1, 0, 1, 0 },
	{ "depthwise 32 112x112", 32, 32, 112, 3, 1, 1, 32, 0 },
	{ "depthwise/2 64 112x112", 64, 64, 112, 3, 2, 1, 64, 0 },
	{ "depthwise 512 14x14", 512, 512, 14, 3, 1, 1, 512, 0 },
	{ "depthwise 1024 7x7", 1024, 1024, 7, 3, 1, 1, 1024, 0 },
	{ "first 7x7/2 3->64 224x224", 3, 64, 224, 7, 2, 3, 1, 1 },
	{ "first 3x3/2 3->32 224x224", 3, 32, 224, 3, 2, 1, 1, 1 },
	{ "first 11x11/4 3->96 227x227", 3, 96, 227, 11, 4, 0, 1, 1 },
	{ "first 5x5 1->20 28x28", 1, 20, 28, 5, 1, 0, 1, 1 },
	{ "fc6 25088->4096, batch 1", 25088, 4096, 1, 1, 1, 0, 1, 1 },
};

static const char *const algorithms[] = {
	"", "direct", "first", "winograd 4x4", "winograd 6x6", "winograd 5x5", "depthwise", "plain"
};

static double time_layer(const struct moka_conv_op *op, struct moka_pool *pool, struct moka_gemm_ws *ws,
			 const struct moka_tensor *x, const struct moka_tensor *y)
{
	void *scratch = aligned_alloc(64, (moka_conv_op_scratch(op, moka_pool_threads(pool)) + 64) / 64 * 64);
	double t[2 * REPEATS + 1];

	for (int i = -2; i <= 2 * REPEATS; i++) {
		double start = moka_now();
		moka_conv_op_run(op, pool, ws, x, NULL, y, scratch);
		if (i >= 0)
			t[i] = moka_now() - start;
	}
	free(scratch);
	/* the machine may be shared: the fastest of many runs is what the code can do */
	median(t, 2 * REPEATS + 1);
	return t[0];
}

static void bench_layer(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct layer *l, double top)
{
	const int64_t out = (l->size + 2 * l->pad - l->kernel) / l->stride + 1, b = moka_block();
	const int64_t taps = l->channels / l->group * l->kernel * l->kernel;
	const double flops = 2.0 * (double)(taps * l->outputs) * (double)(out * out);
	struct moka_conv_desc d = { 1,
				    l->channels,
				    l->size,
				    l->size,
				    l->outputs,
				    l->group,
				    { l->kernel, l->kernel },
				    { l->stride, l->stride },
				    { l->pad, l->pad },
				    { 1, 1 },
				    l->plain ? 1 : (int)b,
				    (int)b,
				    false,
				    { MOKA_ACT_RELU, 0, 0, 0, NULL },
				    MOKA_CONV_AUTO };
	real *w = random_array(taps * l->outputs);
	struct moka_tensor x = { NULL, 1, l->channels, l->size, l->size, d.in_block, 0 };
	struct moka_tensor y = { NULL, 1, l->outputs, out, out, (int)b, 0 };
	enum moka_conv_algorithm best = MOKA_CONV_AUTO;

	x.image_stride = moka_tensor_image(l->channels, l->size, l->size, x.block);
	y.image_stride = moka_tensor_image(l->outputs, out, out, y.block);
	x.data = random_array(x.image_stride), y.data = random_array(y.image_stride);
	for (int a = MOKA_CONV_AUTO; a <= MOKA_CONV_DEPTHWISE; a++) {
		struct moka_conv_op *op;
		double t[2];
		d.algorithm = (enum moka_conv_algorithm)a;
		if (moka_conv_op_new(&op, &d))
			continue;
		if (a == MOKA_CONV_AUTO) {
			best = moka_conv_op_algorithm(op);
			moka_conv_op_free(op);
			continue;
		}
		if (moka_conv_op_pack(op, pool, w, NULL, NULL, NULL))
			abort();
		t[0] = time_layer(op, NULL, ws, &x, &y), t[1] = time_layer(op, pool, ws, &x, &y);
		printf("%-30s %-13s%c %8.3f ms %8.1f %8.1f %6.0f %% %8.2f x", l->what, algorithms[a],
		       moka_conv_op_algorithm(op) == best ? '*' : ' ', t[0] * 1e3, flops / t[0] / 1e9,
		       flops / t[1] / 1e9, top > 0 ? 100 * flops / t[0] / 1e9 / top : 0, t[0] / t[1]);
		if (l->size == 1)
			printf("  %.1f of %.1f GB/s", (double)moka_conv_op_bytes(op) / t[0] / 1e9, bandwidth());
		printf("\n");
		fflush(stdout);
		moka_conv_op_free(op);
	}
	free(w);
	free(x.data);
	free(y.data);
}

/* ---- training's convolutions ------------------------------------------------------------------------- */

static const struct trained {
	const char *what;
	int64_t channels, outputs, size, kernel, stride, pad, group;
	int plain_in, plain_out;
} trained[] = {
	{ "train 1x1 64->64 56x56", 64, 64, 56, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 64->256 56x56", 64, 256, 56, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 256->64 56x56", 256, 64, 56, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 128->512 28x28", 128, 512, 28, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 512->128 28x28", 512, 128, 28, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 256->1024 14x14", 256, 1024, 14, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 1024->256 14x14", 1024, 256, 14, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 512->2048 7x7", 512, 2048, 7, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1 2048->512 7x7", 2048, 512, 7, 1, 1, 0, 1, 0, 0 },
	{ "train 1x1/2 256->512 56x56", 256, 512, 56, 1, 2, 0, 1, 0, 0 },
	{ "train 1x1/2 1024->2048 14x14", 1024, 2048, 14, 1, 2, 0, 1, 0, 0 },
	{ "train 3x3 64->64 56x56", 64, 64, 56, 3, 1, 1, 1, 0, 0 },
	{ "train 3x3 128->128 28x28", 128, 128, 28, 3, 1, 1, 1, 0, 0 },
	{ "train 3x3 256->256 14x14", 256, 256, 14, 3, 1, 1, 1, 0, 0 },
	{ "train 3x3 512->512 7x7", 512, 512, 7, 3, 1, 1, 1, 0, 0 },
	{ "train 7x7/2 3->64 224x224", 3, 64, 224, 7, 2, 3, 1, 1, 0 },
	{ "train 3x3 64->192 56x56", 64, 192, 56, 3, 1, 1, 1, 0, 0 },
	{ "train 3x3 96->128 28x28", 96, 128, 28, 3, 1, 1, 1, 0, 0 },
	{ "train 3x3 160->320 14x14", 160, 320, 14, 3, 1, 1, 1, 0, 0 },
	{ "train 3x3 192->384 7x7", 192, 384, 7, 3, 1, 1, 1, 0, 0 },
	{ "train 5x5 16->32 28x28", 16, 32, 28, 5, 1, 2, 1, 0, 0 },
	{ "train 5x5 24->64 14x14 plain in", 24, 64, 14, 5, 1, 2, 1, 1, 0 },
	{ "train 1x1 512->24 14x14 plain out", 512, 24, 14, 1, 1, 0, 1, 0, 1 },
	{ "train 11x11/4 3->96 227x227", 3, 96, 227, 11, 4, 0, 1, 1, 0 },
	{ "train 5x5 96->256 27x27 g2", 96, 256, 27, 5, 1, 2, 2, 0, 0 },
	{ "train 3x3 256->384 13x13", 256, 384, 13, 3, 1, 1, 1, 0, 0 },
	{ "train 3x3 384->384 13x13 g2", 384, 384, 13, 3, 1, 1, 2, 0, 0 },
	{ "train 3x3 384->256 13x13 g2 plain out", 384, 256, 13, 3, 1, 1, 2, 0, 1 },
	{ "train LeNet 5x5 1->20 28x28", 1, 20, 28, 5, 1, 0, 1, 1, 1 },
	{ "train LeNet 5x5 20->50 12x12", 20, 50, 12, 5, 1, 0, 1, 1, 1 },
};

enum { FORWARD, DATA, WEIGHTS };

/* Seconds of each of the three passes, the fastest of some. */
static void time_passes(const struct moka_conv_train *t, struct moka_pool *pool, const real *w, real *dw,
			const struct moka_tensor *x, const struct moka_tensor *y, double *seconds)
{
	void *scratch = aligned_alloc(64, (moka_conv_train_scratch(t, moka_pool_threads(pool)) + 64) / 64 * 64);

	if (!scratch)
		abort();
	for (int pass = FORWARD; pass <= WEIGHTS; pass++) {
		double v[REPEATS];
		for (int i = -1; i < REPEATS; i++) {
			double start = moka_now();
			if (pass == FORWARD)
				moka_conv_train_forward(t, pool, NULL, w, NULL, x, y, scratch);
			else if (pass == DATA)
				moka_conv_train_data(t, pool, NULL, w, y, x, scratch);
			else
				moka_conv_train_weights(t, pool, NULL, x, y, dw, NULL, scratch);
			if (i >= 0)
				v[i] = moka_now() - start;
		}
		median(v, REPEATS);
		seconds[pass] = v[0];
	}
	free(scratch);
}

static void bench_trained(struct moka_pool *pool, const struct trained *l, int64_t images, double top)
{
	const int64_t out = (l->size + 2 * l->pad - l->kernel) / l->stride + 1, b = moka_block();
	const int64_t taps = l->channels / l->group * l->kernel * l->kernel;
	const double flops = 2.0 * (double)(taps * l->outputs) * (double)(images * out * out);
	const struct moka_conv_train_desc d = { images,
						l->channels,
						l->size,
						l->size,
						l->outputs,
						l->group,
						{ l->kernel, l->kernel },
						{ l->stride, l->stride },
						{ l->pad, l->pad },
						{ 1, 1 },
						l->plain_in ? 1 : (int)b,
						l->plain_out ? 1 : (int)b };
	struct moka_tensor x = { NULL, images, l->channels, l->size, l->size, d.in_block, 0 };
	struct moka_tensor y = { NULL, images, l->outputs, out, out, d.out_block, 0 };
	real *w = random_array(taps * l->outputs), *dw = random_array(taps * l->outputs);
	struct moka_conv_train *t;
	double one[3], all[3];

	if (moka_conv_train_new(&t, &d))
		return;
	x.image_stride = moka_tensor_image(l->channels, l->size, l->size, x.block);
	y.image_stride = moka_tensor_image(l->outputs, out, out, y.block);
	x.data = random_array(images * x.image_stride), y.data = random_array(images * y.image_stride);
	time_passes(t, NULL, w, dw, &x, &y, one);
	time_passes(t, pool, w, dw, &x, &y, all);
	printf("%-36s %-18s", l->what, moka_conv_train_name(t));
	for (int i = 0; i < 3; i++)
		printf(" %8.3f ms %4.0f %% %4.2f x", one[i] * 1e3, top > 0 ? 100 * flops / one[i] / 1e9 / top : 0,
		       one[i] / all[i]);
	printf("\n");
	fflush(stdout);
	moka_conv_train_free(t);
	free(w), free(dw), free(x.data), free(y.data);
}

static void bench_training(struct moka_pool *pool, const char *what, int64_t images, double top)
{
	printf("\n%-36s %-18s %27s %27s %27s\n", "training", "", "forward: 1, of peak, all : 1", "data", "weights");
	for (size_t i = 0; i < MOKA_COUNT(trained); i++)
		if (!what || strstr(trained[i].what, what))
			bench_trained(pool, &trained[i], strstr(trained[i].what, "LeNet") ? 64 : images, top);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "plain C", "AVX2", "AVX-512", "NEON" };
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
	for (size_t i = 0; argc < 2 && i < MOKA_COUNT(products); i++)
		bench_product(pool, ws, &products[i], top);
	for (size_t i = 0; argc < 2 && i < MOKA_COUNT(convolutions); i++)
		bench_convolution(pool, ws, &convolutions[i], top);
	printf("\n%-30s %-14s %11s %8s %8s %8s %10s\n", "planned, batch 1", "", "1 thread", "GFLOP/s", "all", "of peak",
	       "all : 1");
	for (size_t i = 0; i < MOKA_COUNT(layers); i++)
		if (argc < 2 || strstr(layers[i].what, argv[1]))
			bench_layer(pool, ws, &layers[i], top);
	bench_training(pool, argc < 2 ? NULL : argv[1], argc < 3 ? 8 : strtol(argv[2], NULL, 10), top);
	moka_gemm_ws_free(ws);
	moka_pool_free(pool);
	return 0;
}
