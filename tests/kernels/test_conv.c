/*
 * Convolution, its columns, and depthwise convolution against their specifications: one to four axes, strides,
 * paddings wider than the window, dilations, images smaller than a vector; one thread against several.
 */
#include "kernels/internal.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Geometries; outs are worked out. outputs: of the dense convolution; multiplier: of the depthwise one. */
struct row {
	int axes;
	int64_t channels, outputs;
	int64_t in[4], kernel[4], stride[4], pad[4], dilation[4];
};

static const struct row rows[] = {
	{ 2, 3, 5, { 7, 9 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 2, 1, 1, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 2, 4, 6, { 5, 5 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 2, 8, 20, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 2, 4, 6, { 6, 5 }, { 1, 1 }, { 2, 2 }, { 0, 0 }, { 1, 1 } },
	{ 2, 2, 17, { 14, 14 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	{ 2, 3, 16, { 33, 35 }, { 7, 7 }, { 2, 2 }, { 3, 3 }, { 1, 1 } },
	{ 2, 3, 4, { 12, 10 }, { 3, 2 }, { 1, 3 }, { 0, 2 }, { 2, 3 } },
	{ 2, 2, 3, { 4, 4 }, { 3, 3 }, { 1, 1 }, { 5, 4 }, { 1, 1 } }, /* windows wholly in the padding */
	{ 2, 2, 3, { 2, 3 }, { 5, 7 }, { 1, 1 }, { 3, 3 }, { 1, 1 } }, /* the window is larger than the image */
	{ 2, 2, 3, { 20, 150 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 2, 2, 3, { 9, 300 }, { 3, 5 }, { 2, 2 }, { 1, 2 }, { 1, 2 } },
	{ 2, 2, 2, { 40, 40 }, { 11, 11 }, { 4, 4 }, { 0, 0 }, { 1, 1 } },
	{ 2, 2, 2, { 30, 30 }, { 2, 2 }, { 11, 9 }, { 0, 0 }, { 1, 1 } },
	{ 2, 2, 2, { 60, 61 }, { 3, 3 }, { 1, 1 }, { 12, 12 }, { 12, 12 } },
	{ 2, 33, 40, { 13, 13 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 2, 4, 70, { 50, 50 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } }, /* enough to be dealt out by columns */
	{ 2, 90, 90, { 7, 7 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },  /* and by rows */
	{ 2, 30, 64, { 30, 40 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 3, 4, { 40 }, { 5 }, { 2 }, { 2 }, { 1 } },
	{ 1, 1, 4, { 1000 }, { 3 }, { 1 }, { 1 }, { 4 } },
	{ 3, 2, 5, { 5, 6, 7 }, { 3, 2, 3 }, { 1, 2, 1 }, { 1, 0, 1 }, { 1, 1, 2 } },
	{ 3, 3, 5, { 4, 4, 4 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 0, 0 }, { 1, 1, 1 } },
	{ 4, 2, 3, { 3, 4, 3, 5 }, { 2, 2, 2, 3 }, { 1, 1, 1, 2 }, { 1, 0, 1, 1 }, { 1, 2, 1, 1 } },
};

static struct moka_conv_geometry geometry(const struct row *r)
{
	struct moka_conv_geometry g = { .axes = r->axes, .channels = r->channels };

	for (int i = 0; i < r->axes; i++) {
		g.in[i] = r->in[i], g.kernel[i] = r->kernel[i], g.stride[i] = r->stride[i];
		g.pad[i] = r->pad[i], g.dilation[i] = r->dilation[i];
		g.out[i] = (g.in[i] + 2 * g.pad[i] - (g.dilation[i] * (g.kernel[i] - 1) + 1)) / g.stride[i] + 1;
		T_TRUE(g.out[i] > 0);
	}
	return g;
}

static int64_t count(const int64_t *d, int n)
{
	int64_t p = 1;

	for (int i = 0; i < n; i++)
		p *= d[i];
	return p;
}

/* Exactly n values, so that a sanitizer sees a read past either end. */
static real *numbers(int64_t n, uint64_t seed)
{
	real *p = malloc((size_t)n * sizeof(real));
	struct moka_rng r;

	moka_rng_seed(&r, seed, 0);
	for (int64_t i = 0; i < n; i++)
		p[i] = (real)(moka_rng_uniform(&r) - 0.5);
	return p;
}

static real *nothing(int64_t n)
{
	real *p = malloc((size_t)n * sizeof(real));

	for (int64_t i = 0; i < n; i++)
		p[i] = (real)NAN;
	return p;
}

static struct moka_pool *pools[2]; /* one thread, two */
static const char *const isas[] = T_ISAS;
#define ISAS MOKA_COUNT(isas)

T_TEST(columns_and_back)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_conv_geometry g = geometry(&rows[i]);
		const int64_t n_col = g.channels * count(g.kernel, g.axes) * count(g.out, g.axes),
			      n_image = g.channels * count(g.in, g.axes);
		real *image = numbers(n_image, i), *want = nothing(n_col), *got = nothing(n_col);
		real *back_want = nothing(n_image), *back = nothing(n_image);

		moka__im2col_ref(&g, image, want);
		moka__col2im_ref(&g, want, back_want);
		for (int p = 0; p < 2; p++) {
			moka_im2col(pools[p], &g, image, got);
			T_TRUE(!memcmp(got, want, (size_t)n_col * sizeof(real)));
			moka_col2im(pools[p], &g, got, back);
			T_TRUE(!memcmp(back, back_want, (size_t)n_image * sizeof(real)));
		}
		free(image), free(want), free(got), free(back), free(back_want);
	}
}

static void check_forward(const struct row *r, const struct moka_conv_geometry *g, struct moka_gemm_ws **spaces,
			  bool biased)
{
	const int64_t k = g->channels * count(g->kernel, g->axes), n = r->outputs * count(g->out, g->axes);
	real *image = numbers(g->channels * count(g->in, g->axes), 1), *w = numbers(r->outputs * k, 2);
	real *bias = biased ? numbers(r->outputs, 3) : NULL, *want = nothing(n), *got = nothing(n), *first = nothing(n);

	moka__conv_forward_ref(g, r->outputs, w, image, bias, want);
	for (int i = 0; i < 2 * (int)ISAS; i++) {
		moka_conv_forward(pools[i % 2], spaces[i / 2], g, r->outputs, w, image, bias, got);
		if (i % 2 == 0) {
			T_NEAR(got, want, n, 1e-5, 2e-6 * (1 + sqrt((double)k)));
			memcpy(first, got, (size_t)n * sizeof(real));
		}
		T_TRUE(!memcmp(first, got, (size_t)n * sizeof(real)));
	}
	free(image), free(w), free(bias), free(want), free(got), free(first);
}

/* A workspace for each instruction set; what the machine lacks is its best one again. */
static void make_spaces(struct moka_gemm_ws *spaces[ISAS])
{
	const char *was = getenv("MOKA_ISA");
	char *kept = was ? strdup(was) : NULL;

	for (size_t k = 0; k < ISAS; k++) {
		setenv("MOKA_ISA", isas[k], 1);
		spaces[k] = moka_gemm_ws_new();
	}
	if (kept)
		setenv("MOKA_ISA", kept, 1);
	else
		unsetenv("MOKA_ISA");
	free(kept);
}

T_TEST(forward_on_each_isa)
{
	struct moka_gemm_ws *spaces[ISAS];

	make_spaces(spaces);
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_conv_geometry g = geometry(&rows[i]);
		/* with a bias and without, but for the large ones */
		check_forward(&rows[i], &g, spaces, i % 2);
		if (g.channels < 10)
			check_forward(&rows[i], &g, spaces, !(i % 2));
	}
	for (size_t k = 0; k < MOKA_COUNT(spaces); k++)
		moka_gemm_ws_free(spaces[k]);
}

/* ---- whole batches ------------------------------------------------------------------------------- */

static const struct batch_row {
	int64_t images, channels, outputs, in[2], kernel[2], pad[2], dilation[2];
} batch_rows[] = {
	{ 4, 1, 1, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 5, 3, 5, { 7, 9 }, { 3, 3 }, { 1, 1 }, { 1, 1 } },
	{ 4, 1, 20, { 28, 28 }, { 5, 5 }, { 0, 0 }, { 1, 1 } },
	{ 7, 16, 16, { 14, 14 }, { 3, 3 }, { 1, 1 }, { 1, 1 } },
	{ 4, 13, 27, { 13, 17 }, { 3, 1 }, { 1, 0 }, { 1, 1 } },
	{ 6,
	  37,
	  50,
	  { 8, 8 },
	  { 3, 3 },
	  { 1, 1 },
	  { 1, 1 } }, /* several blocks of channels, more than a panel of outputs */
	{ 4, 2, 9, { 11, 300 }, { 3, 5 }, { 1, 2 }, { 1, 1 } }, /* a row is more than a band */
	{ 9, 4, 6, { 20, 21 }, { 3, 3 }, { 2, 2 }, { 2, 2 } },
	{ 4, 64, 33, { 6, 7 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 4,
	  3,
	  4,
	  { 9, 9 },
	  { 2, 2 },
	  { 2, 2 },
	  { 1, 1 } }, /* padding wider than the kernel: no way back by convolution */
};

struct batch {
	struct moka_conv_geometry g;
	int64_t images, outputs, nx, ny, nw; /* values of an image, an output, the weights */
	int64_t x_stride, y_stride;	     /* as of a part of the channels of larger blobs */
	real *x, *w, *bias, *dy, *dw0;
};

static void make_batch(struct batch *b, const struct batch_row *r)
{
	const struct row one = { 2,
				 r->channels,
				 r->outputs,
				 { r->in[0], r->in[1] },
				 { r->kernel[0], r->kernel[1] },
				 { 1, 1 },
				 { r->pad[0], r->pad[1] },
				 { r->dilation[0], r->dilation[1] } };

	b->g = geometry(&one);
	b->images = r->images;
	b->outputs = r->outputs;
	b->nx = r->channels * count(b->g.in, 2), b->ny = r->outputs * count(b->g.out, 2);
	b->nw = r->outputs * r->channels * count(b->g.kernel, 2);
	b->x_stride = b->nx + 3, b->y_stride = b->ny + 5;
	b->x = numbers(b->images * b->x_stride, 1);
	b->w = numbers(b->nw, 2);
	b->bias = numbers(b->outputs, 3);
	b->dy = numbers(b->images * b->y_stride, 4);
	b->dw0 = numbers(b->nw, 5);
}

static void batch_forward(const struct batch *b, struct moka_gemm_ws **spaces)
{
	const int64_t n = b->images * b->y_stride;
	real *want = nothing(n), *got = nothing(n), *first = nothing(n);

	for (int64_t i = 0; i < b->images; i++)
		moka__conv_forward_ref(&b->g, b->outputs, b->w, b->x + i * b->x_stride, b->bias,
				       want + i * b->y_stride);
	for (int i = 0; i < 2 * (int)ISAS; i++) {
		T_TRUE(moka_conv_batch_forward(pools[i % 2], spaces[i / 2], &b->g, b->outputs, b->images, b->w, b->bias,
					       b->x, b->x_stride, got, b->y_stride));
		for (int64_t k = 0; k < b->images; k++)
			T_NEAR(got + k * b->y_stride, want + k * b->y_stride, b->ny, 1e-5, 5e-5);
		if (i % 2 == 0)
			memcpy(first, got, (size_t)n * sizeof(real));
		for (int64_t k = 0; k < b->images; k++)
			T_TRUE(!memcmp(first + k * b->y_stride, got + k * b->y_stride, (size_t)b->ny * sizeof(real)));
		T_TRUE(isnan(got[n - 1])); /* behind the last image nothing is written */
	}
	free(want), free(got), free(first);
}

/* Both ways back, image by image through columns: dx = col2im(W^T dy), dw += dy columns^T. */
static void batch_backward_ref(const struct batch *b, real *dx, real *dw)
{
	const int64_t k = b->nw / b->outputs, area = count(b->g.out, 2);
	real *col = nothing(k * area);

	for (int64_t i = 0; i < b->images; i++) {
		const real *dy = b->dy + i * b->y_stride;

		moka_gemm_ref(true, false, k, area, b->outputs, 1, b->w, k, dy, area, 0, col, area);
		moka__col2im_ref(&b->g, col, dx + i * b->x_stride);
		moka__im2col_ref(&b->g, b->x + i * b->x_stride, col);
		moka_gemm_ref(false, true, b->outputs, k, area, 1, dy, area, col, area, 1, dw, k);
	}
	free(col);
}

static void batch_backward(const struct batch *b, struct moka_gemm_ws **spaces, bool turns)
{
	const int64_t n = b->images * b->x_stride;
	real *dx = nothing(n), *dw = nothing(b->nw), *got_x = nothing(n), *got_w = nothing(b->nw),
	     *first = nothing(b->nw);

	memcpy(dw, b->dw0, (size_t)b->nw * sizeof(real));
	batch_backward_ref(b, dx, dw);
	for (int i = 0; i < 2 * (int)ISAS; i++) {
		T_TRUE(moka_conv_batch_data(pools[i % 2], spaces[i / 2], &b->g, b->outputs, b->images, b->w, b->dy,
					    b->y_stride, got_x, b->x_stride) == turns);
		for (int64_t k = 0; turns && k < b->images; k++)
			T_NEAR(got_x + k * b->x_stride, dx + k * b->x_stride, b->nx, 1e-5, 5e-5);
		memcpy(got_w, b->dw0, (size_t)b->nw * sizeof(real));
		T_TRUE(moka_conv_batch_weights(pools[i % 2], spaces[i / 2], &b->g, b->outputs, b->images, b->x,
					       b->x_stride, b->dy, b->y_stride, got_w));
		T_NEAR(got_w, dw, b->nw, 1e-5, 3e-4);
		if (i % 2 == 0)
			memcpy(first, got_w, (size_t)b->nw * sizeof(real));
		T_TRUE(!memcmp(first, got_w, (size_t)b->nw * sizeof(real)));
	}
	free(dx), free(dw), free(got_x), free(got_w), free(first);
}

T_TEST(batches_without_columns)
{
	struct moka_gemm_ws *spaces[ISAS];

	make_spaces(spaces);
	for (size_t i = 0; i < MOKA_COUNT(batch_rows); i++) {
		struct batch b;
		const bool turns = batch_rows[i].pad[0] <= batch_rows[i].dilation[0] * (batch_rows[i].kernel[0] - 1);

		make_batch(&b, &batch_rows[i]);
		T_TRUE(moka_conv_batch_takes(&b.g, b.outputs, b.images));
		batch_forward(&b, spaces);
		batch_backward(&b, spaces, turns);
		free(b.x), free(b.w), free(b.bias), free(b.dy), free(b.dw0);
	}
	for (size_t k = 0; k < MOKA_COUNT(spaces); k++)
		moka_gemm_ws_free(spaces[k]);
}

T_TEST(depthwise)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		if (rows[i].axes != 2)
			continue;
		struct moka_conv_geometry g = geometry(&rows[i]);
		for (int64_t multiplier = 1; multiplier <= 3; multiplier += 2) {
			const int64_t outs = g.channels * multiplier, n = outs * count(g.out, 2);
			real *image = numbers(g.channels * count(g.in, 2), 1),
			     *w = numbers(outs * count(g.kernel, 2), 2);
			real *bias = multiplier == 1 ? numbers(outs, 3) : NULL, *want = nothing(n), *got = nothing(n),
			     *first = nothing(n);

			moka__depthwise_forward_ref(&g, multiplier, w, image, bias, want);
			for (int p = 0; p < 2; p++) {
				moka_depthwise_forward(pools[p], &g, multiplier, w, image, bias, got);
				T_NEAR(got, want, n, 1e-5, 1e-5);
				if (p == 0)
					memcpy(first, got, (size_t)n * sizeof(real));
				T_TRUE(!memcmp(first, got, (size_t)n * sizeof(real)));
			}
			free(image), free(w), free(bias), free(want), free(got), free(first);
		}
	}
}

/* A known case by hand: 3 x 3 of ones over 1..9 with a border of one counts neighbours. */
T_TEST(by_hand)
{
	static const real image[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, w[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, bias = 100;
	static const real want[9] = { 112, 121, 116, 127, 145, 133, 124, 139, 128 };
	struct moka_conv_geometry g = { 2, 1, { 3, 3 }, { 3, 3 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } };
	struct moka_gemm_ws *ws = moka_gemm_ws_new();
	real y[9];

	moka_conv_forward(NULL, ws, &g, 1, w, image, &bias, y);
	T_NEAR(y, want, 9, 0, 0);
	moka_depthwise_forward(NULL, &g, 1, w, image, &bias, y);
	T_NEAR(y, want, 9, 0, 0);
	moka__conv_forward_ref(&g, 1, w, image, &bias, y);
	T_NEAR(y, want, 9, 0, 0);
	moka_gemm_ws_free(ws);
}

static const struct CMUnitTest tests[] = {
	T_CASE(columns_and_back), T_CASE(forward_on_each_isa), T_CASE(batches_without_columns), T_CASE(depthwise),
	T_CASE(by_hand),
};

int main(int argc, char **argv)
{
	int status;

	pools[1] = moka_pool_new(2);
	status = t_main(argc, argv, tests, MOKA_COUNT(tests));
	moka_pool_free(pools[1]);
	return status;
}
