/*
 * ref.c - the specification of every kernel: plain loops that can be checked by eye, sums kept in double. The fast
 * versions beside it are tested against these; nothing here is meant to be quick.
 */
#include "internal.h"

static real element(const real *x, int64_t ld, bool trans, int64_t row, int64_t column)
{
	return trans ? x[column * ld + row] : x[row * ld + column];
}

void moka_gemm_ref(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t lda,
		   const real *b, int64_t ldb, real beta, real *c, int64_t ldc)
{
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < n; j++) {
			double sum = 0;
			/* an alpha of 0 does not read A and B, a beta of 0 not C: they may hold anything */
			for (int64_t p = 0; alpha != 0 && p < k; p++)
				sum += (double)element(a, lda, trans_a, i, p) * (double)element(b, ldb, trans_b, p, j);
			sum *= (double)alpha;
			if (beta != 0)
				sum += (double)beta * (double)c[i * ldc + j];
			c[i * ldc + j] = (real)sum;
		}
}

void moka__gemv_ref(bool trans, int64_t m, int64_t n, real alpha, const real *a, int64_t lda, const real *x, real beta,
		    real *y)
{
	moka_gemm_ref(trans, false, trans ? n : m, 1, trans ? m : n, alpha, a, lda, x, 1, beta, y, 1);
}

static int64_t product(const int64_t *d, int n)
{
	int64_t p = 1;

	for (int i = 0; i < n; i++)
		p *= d[i];
	return p;
}

/* Splits a flat index over the axes of sizes d, the last one fastest. */
static void unflatten(int64_t index, const int64_t *d, int n, int64_t *at)
{
	for (int i = n - 1; i >= 0; i--) {
		at[i] = index % d[i];
		index /= d[i];
	}
}

/*
 * Where in a channel of the image the tap `tap` (a flat index over the kernel) of the output `out` (a flat index over
 * the outputs) looks; -1 in the padding.
 */
static int64_t source_index(const struct moka_conv_geometry *g, int64_t tap, int64_t out)
{
	int64_t t[MOKA_CONV_AXES], o[MOKA_CONV_AXES], index = 0;

	unflatten(tap, g->kernel, g->axes, t);
	unflatten(out, g->out, g->axes, o);
	for (int i = 0; i < g->axes; i++) {
		int64_t x = o[i] * g->stride[i] - g->pad[i] + t[i] * g->dilation[i];
		if (x < 0 || x >= g->in[i])
			return -1;
		index = index * g->in[i] + x;
	}
	return index;
}

void moka__im2col_ref(const struct moka_conv_geometry *g, const real *image, real *col)
{
	const int64_t in = product(g->in, g->axes), out = product(g->out, g->axes), taps = product(g->kernel, g->axes);

	for (int64_t c = 0; c < g->channels; c++)
		for (int64_t t = 0; t < taps; t++)
			for (int64_t o = 0; o < out; o++) {
				int64_t at = source_index(g, t, o);
				*col++ = at < 0 ? 0 : image[c * in + at];
			}
}

void moka__col2im_ref(const struct moka_conv_geometry *g, const real *col, real *image)
{
	const int64_t in = product(g->in, g->axes), out = product(g->out, g->axes), taps = product(g->kernel, g->axes);

	for (int64_t i = 0; i < g->channels * in; i++)
		image[i] = 0;
	for (int64_t c = 0; c < g->channels; c++)
		for (int64_t t = 0; t < taps; t++)
			for (int64_t o = 0; o < out; o++, col++) {
				int64_t at = source_index(g, t, o);
				if (at >= 0)
					image[c * in + at] += *col;
			}
}

/* One output value: the window at `o` of `channels` channels, weighed by w. */
static double window_sum(const struct moka_conv_geometry *g, int64_t channels, const real *w, const real *image,
			 int64_t o)
{
	const int64_t in = product(g->in, g->axes), taps = product(g->kernel, g->axes);
	double sum = 0;

	for (int64_t c = 0; c < channels; c++)
		for (int64_t t = 0; t < taps; t++) {
			int64_t at = source_index(g, t, o);
			if (at >= 0)
				sum += (double)w[c * taps + t] * (double)image[c * in + at];
		}
	return sum;
}

void moka__conv_forward_ref(const struct moka_conv_geometry *g, int64_t outputs, const real *w, const real *image,
			    const real *bias, real *y)
{
	const int64_t out = product(g->out, g->axes), taps = product(g->kernel, g->axes);

	for (int64_t i = 0; i < outputs; i++)
		for (int64_t o = 0; o < out; o++)
			y[i * out + o] = (real)(window_sum(g, g->channels, w + i * g->channels * taps, image, o) +
						(bias ? (double)bias[i] : 0));
}

void moka__depthwise_forward_ref(const struct moka_conv_geometry *g, int64_t multiplier, const real *w,
				 const real *image, const real *bias, real *y)
{
	const int64_t in = product(g->in, g->axes), out = product(g->out, g->axes), taps = product(g->kernel, g->axes);

	for (int64_t i = 0; i < g->channels * multiplier; i++)
		for (int64_t o = 0; o < out; o++)
			y[i * out + o] = (real)(window_sum(g, 1, w + i * taps, image + i / multiplier * in, o) +
						(bias ? (double)bias[i] : 0));
}
