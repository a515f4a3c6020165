/*
 * conv_depthwise.c - backward of a depthwise convolution, where a matrix product per channel would be all
 * overhead.
 *
 * Each channel's weight gradient, and each channel of each image's input gradient, is a piece of its own,
 * summed in a fixed order.
 */
#include "conv.h"

struct depthwise_job {
	const struct moka__conv *v;
	const real *w, *x, *dy;
	real *dw, *dx;
};

/*
 * The output positions [*from, *to) whose tap at `offset` (dilation * kernel index - pad) falls inside the
 * input: 0 <= o * stride + offset < in.
 */
static void valid_range(int64_t offset, int64_t stride, int64_t in, int64_t out, int64_t *from, int64_t *to)
{
	const int64_t last = in - 1 - offset;

	*from = offset < 0 ? (-offset + stride - 1) / stride : 0;
	*to = last < 0 ? 0 : MOKA_MIN(last / stride + 1, out);
}

/* One tap of one channel: adds to *dw the product, and (dx not NULL) to dx the weighted gradient. */
static void tap(const struct moka_conv_geometry *g, int64_t kh, int64_t kw, const real *x, const real *dy, real w,
		real *dw, real *dx)
{
	const int64_t oy = kh * g->dilation[0] - g->pad[0], ox = kw * g->dilation[1] - g->pad[1];
	int64_t h0, h1, w0, w1;
	real sum = 0;

	valid_range(oy, g->stride[0], g->in[0], g->out[0], &h0, &h1);
	valid_range(ox, g->stride[1], g->in[1], g->out[1], &w0, &w1);
	for (int64_t h = h0; h < h1; h++) {
		const real *d = dy + h * g->out[1];
		const int64_t at = (h * g->stride[0] + oy) * g->in[1] + ox;

		for (int64_t i = w0; x && i < w1; i++)
			sum += d[i] * x[at + i * g->stride[1]];
		for (int64_t i = w0; dx && i < w1; i++)
			dx[at + i * g->stride[1]] += w * d[i];
	}
	if (dw)
		*dw += sum;
}

static void weight_piece(void *arg, int64_t begin, int64_t end)
{
	const struct depthwise_job *j = arg;
	const struct moka__conv *v = j->v;
	const struct moka_conv_geometry *g = &v->g;

	for (int64_t ch = begin; ch < end; ch++) /* of the output */
		for (int64_t n = 0; n < v->images; n++) {
			const real *x = j->x + (n * v->group + ch / v->outputs) * v->image_size;
			const real *dy = j->dy + (n * v->group * v->outputs + ch) * v->out_size;

			for (int64_t k = 0; k < v->kernel_dim; k++)
				tap(g, k / g->kernel[1], k % g->kernel[1], x, dy, 0, j->dw + ch * v->kernel_dim + k,
				    NULL);
		}
}

static void input_piece(void *arg, int64_t begin, int64_t end)
{
	const struct depthwise_job *j = arg;
	const struct moka__conv *v = j->v;
	const struct moka_conv_geometry *g = &v->g;

	for (int64_t p = begin; p < end; p++) { /* a channel of an image */
		real *dx = j->dx + p * v->image_size;

		moka_set(v->image_size, 0, dx);
		for (int64_t m = 0; m < v->outputs; m++) {
			const int64_t ch = p % v->group * v->outputs + m;
			const real *dy = j->dy + (p * v->outputs + m) * v->out_size;

			for (int64_t k = 0; k < v->kernel_dim; k++)
				tap(g, k / g->kernel[1], k % g->kernel[1], NULL, dy, j->w[ch * v->kernel_dim + k], NULL,
				    dx);
		}
	}
}

void moka__depthwise_backward(struct moka_pool *pool, const struct moka__conv *v, const real *w, const real *x,
			      const real *dy, real *dw, real *dx)
{
	struct depthwise_job j = { v, w, x, dy, dw, dx };

	if (dw)
		moka_parallel(pool, weight_piece, &j, v->group * v->outputs, 1);
	if (dx)
		moka_parallel(pool, input_piece, &j, v->images * v->group, 1);
}
