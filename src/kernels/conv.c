/*
 * conv.c - forward convolution as one product per image and group: weights (outputs x channels * taps) times the
 * image's columns, which go from the image straight into the product's panels. The bias is added with the first steps.
 */
#include "conv.h"

#include "internal.h"

/* 1 x 1 with stride 1 and no padding: the image is its own columns. */
static bool is_pointwise(const struct moka_conv_geometry *g)
{
	for (int i = 0; i < g->axes; i++)
		if (g->kernel[i] != 1 || g->stride[i] != 1 || g->pad[i] != 0)
			return false;
	return true;
}

void moka_conv_forward(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
		       int64_t outputs, const real *w, const real *image, const real *bias, real *y)
{
	const int64_t k = g->channels * moka__product(g->kernel, g->axes), n = moka__product(g->out, g->axes);
	struct moka__gemm_job job = {
		.m = outputs, .n = n, .k = k, .a = w, .lda = k, .c = y, .ldc = n, .alpha = 1, .bias = bias
	};

	if (outputs <= 0 || n <= 0 || k <= 0)
		return;
	if (n == 1 && is_pointwise(g)) {
		for (int64_t i = 0; bias && i < outputs; i++)
			y[i] = bias[i];
		moka_gemv(pool, false, outputs, k, 1, w, k, image, bias ? 1 : 0, y);
		return;
	}
	if (is_pointwise(g))
		job.b = (struct moka__gemm_source){ moka__gemm_pack_matrix, image, n, false, NULL };
	else
		job.b = (struct moka__gemm_source){ moka__pack_columns, image, 0, false, g };
	if (!moka__gemm_run(pool, ws, &job))
		moka__conv_forward_ref(g, outputs, w, image, bias, y);
}
