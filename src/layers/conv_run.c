/*
 * conv_run.c - the arithmetic of Convolution and Deconvolution, image by image and group by group.
 *
 *     forward           y  = W im2col(x) + b          the columns are packed straight into the product, never stored
 *     weight gradient   dW += dy im2col(x)^T           columns in scratch
 *     input gradient    dx = col2im(W^T dy)            columns in scratch
 *
 * Batches of small convolutions with stride 1 go without columns, all images at once (moka_conv_batch_...).
 * A Deconvolution is the same three with x and dy changing places. A 1x1 kernel of stride 1 needs no columns.
 */
#include "conv.h"

/* Where group `g` of image `n` begins. `image` is the larger blob of a convolution, `out` the smaller. */
static int64_t image_at(const struct moka__conv *v, int64_t n, int64_t g)
{
	return (n * v->group + g) * v->image_size;
}

static int64_t out_at(const struct moka__conv *v, int64_t n, int64_t g)
{
	return (n * v->group + g) * v->outputs * v->out_size;
}

/* out = W im2col(image) + bias, of one image. bias: v->group * v->outputs values, may be NULL. */
static void convolve(struct moka_call *c, const struct moka__conv *v, int64_t n, const real *w, const real *image,
		     const real *bias, real *out)
{
	if (v->depthwise) {
		moka_depthwise_forward(
			c->pool,
			&(struct moka_conv_geometry){ .axes = 2,
						      .channels = v->group,
						      .in = { v->g.in[0], v->g.in[1] },
						      .out = { v->g.out[0], v->g.out[1] },
						      .kernel = { v->g.kernel[0], v->g.kernel[1] },
						      .stride = { v->g.stride[0], v->g.stride[1] },
						      .pad = { v->g.pad[0], v->g.pad[1] },
						      .dilation = { v->g.dilation[0], v->g.dilation[1] } },
			v->outputs, w, image + image_at(v, n, 0), bias, out + out_at(v, n, 0));
		return;
	}
	for (int64_t g = 0; g < v->group; g++)
		moka_conv_forward(c->pool, c->gemm, &v->g, v->outputs, w + g * v->outputs * v->kernel_dim,
				  image + image_at(v, n, g), bias ? bias + g * v->outputs : NULL,
				  out + out_at(v, n, g));
}

/* image = col2im(W^T out), of one image: overwrites. */
static void spread(struct moka_call *c, const struct moka__conv *v, int64_t n, const real *w, const real *out,
		   real *image)
{
	for (int64_t g = 0; g < v->group; g++) {
		real *target = image + image_at(v, n, g), *col = v->unit ? target : c->scratch;

		moka_gemm(c->pool, c->gemm, true, false, v->kernel_dim, v->out_size, v->outputs, 1,
			  w + g * v->outputs * v->kernel_dim, v->kernel_dim, out + out_at(v, n, g), v->out_size, 0, col,
			  v->out_size);
		if (!v->unit)
			moka_col2im(c->pool, &v->g, col, target);
	}
}

/* dw += out im2col(image)^T, of one image. */
static void correlate(struct moka_call *c, const struct moka__conv *v, int64_t n, const real *image, const real *out,
		      real *dw)
{
	for (int64_t g = 0; g < v->group; g++) {
		const real *col = image + image_at(v, n, g);

		if (!v->unit) {
			moka_im2col(c->pool, &v->g, col, c->scratch);
			col = c->scratch;
		}
		moka_gemm(c->pool, c->gemm, false, true, v->outputs, v->kernel_dim, v->out_size, 1,
			  out + out_at(v, n, g), v->out_size, col, v->out_size, 1, dw + g * v->outputs * v->kernel_dim,
			  v->kernel_dim);
	}
}

/* ---- whole batches ------------------------------------------------------------------------------ */

/* y = W * x + bias of all images; false: it is not worth it here. */
static bool convolve_batch(struct moka_call *c, const struct moka__conv *v, const real *w, const real *image,
			   const real *bias, real *out)
{
	for (int64_t g = 0; g < v->group; g++)
		if (v->depthwise ||
		    !moka_conv_batch_forward(c->pool, c->gemm, &v->g, v->outputs, v->images,
					     w + g * v->outputs * v->kernel_dim, bias ? bias + g * v->outputs : NULL,
					     image + image_at(v, 0, g), v->group * v->image_size, out + out_at(v, 0, g),
					     v->group * v->outputs * v->out_size))
			return false;
	return true;
}

static bool spread_batch(struct moka_call *c, const struct moka__conv *v, const real *w, const real *out, real *image)
{
	for (int64_t g = 0; g < v->group; g++)
		if (!moka_conv_batch_data(c->pool, c->gemm, &v->g, v->outputs, v->images,
					  w + g * v->outputs * v->kernel_dim, out + out_at(v, 0, g),
					  v->group * v->outputs * v->out_size, image + image_at(v, 0, g),
					  v->group * v->image_size))
			return false;
	return true;
}

static bool correlate_batch(struct moka_call *c, const struct moka__conv *v, const real *image, const real *out,
			    real *dw)
{
	for (int64_t g = 0; g < v->group; g++)
		if (!moka_conv_batch_weights(c->pool, c->gemm, &v->g, v->outputs, v->images, image + image_at(v, 0, g),
					     v->group * v->image_size, out + out_at(v, 0, g),
					     v->group * v->outputs * v->out_size, dw + g * v->outputs * v->kernel_dim))
			return false;
	return true;
}

/* Each of the three, over all images of a bottom. */
static void convolve_all(struct moka_call *c, const struct moka__conv *v, const real *w, const real *image,
			 const real *bias, real *out)
{
	if (convolve_batch(c, v, w, image, bias, out))
		return;
	for (int64_t n = 0; n < v->images; n++)
		convolve(c, v, n, w, image, bias, out);
}

static void spread_all(struct moka_call *c, const struct moka__conv *v, const real *w, const real *out, real *image)
{
	if (spread_batch(c, v, w, out, image))
		return;
	for (int64_t n = 0; n < v->images; n++)
		spread(c, v, n, w, out, image);
}

/* Nothing has been added where the batch was refused: its sizes are the same for every group. */
static void correlate_all(struct moka_call *c, const struct moka__conv *v, const real *image, const real *out, real *dw)
{
	if (correlate_batch(c, v, image, out, dw))
		return;
	for (int64_t n = 0; n < v->images; n++)
		correlate(c, v, n, image, out, dw);
}

/* ---- bias ----------------------------------------------------------------------------------- */

struct bias_job {
	int64_t images, channels, size;
	const real *dy, *bias;
	real *out;
};

static void bias_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct bias_job *j = arg;

	for (int64_t ch = begin; ch < end; ch++) {
		real sum = 0;

		for (int64_t n = 0; n < j->images; n++)
			sum += moka_sum(j->size, j->dy + (n * j->channels + ch) * j->size);
		j->out[ch] += sum;
	}
}

void moka__bias_gradient(struct moka_pool *pool, int64_t images, int64_t channels, int64_t size, const real *dy,
			 real *db)
{
	struct bias_job j = { images, channels, size, dy, NULL, db };

	moka_parallel(pool, bias_gradient_piece, &j, channels, MOKA_MAX(16384 / MOKA_MAX(images * size, 1), 1));
}

static void add_bias_piece(void *arg, int64_t begin, int64_t end)
{
	const struct bias_job *j = arg;

	for (int64_t r = begin; r < end; r++)
		for (int64_t i = r * j->size; i < (r + 1) * j->size; i++)
			j->out[i] += j->bias[r % j->channels];
}

/* y (images, channels, size) += bias */
static void add_bias(struct moka_pool *pool, int64_t images, int64_t channels, int64_t size, const real *bias, real *y)
{
	struct bias_job j = { images, channels, size, NULL, bias, y };

	moka_parallel(pool, add_bias_piece, &j, images * channels, MOKA_MAX(16384 / MOKA_MAX(size, 1), 1));
}

/* ---- the passes --------------------------------------------------------------------------------- */

static bool has_bias(const struct moka_layer *l)
{
	return l->n_param > 1;
}

enum moka_status moka__conv_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__conv *v = l->priv;

	if (c->made) {
		moka__conv_made_forward(l, c);
		return MOKA_OK;
	}
	for (int b = 0; b < l->n_bottom; b++)
		convolve_all(c, v, c->param[0].data, c->bottom[b].data, has_bias(l) ? c->param[1].data : NULL,
			     c->top[b].data);
	return MOKA_OK;
}

enum moka_status moka__conv_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__conv *v = l->priv;
	const real *w = c->param[0].data;
	real *dw = c->param[0].diff;

	if (c->made) {
		moka__conv_made_backward(l, c);
		return MOKA_OK;
	}
	for (int b = 0; b < l->n_bottom; b++) {
		const real *x = c->bottom[b].data, *dy = c->top[b].diff;
		real *dx = c->bottom[b].diff;

		if (!dy) {
			if (dx)
				moka_set(c->bottom[b].count, 0, dx);
			continue;
		}
		if (has_bias(l) && c->param[1].diff)
			moka__bias_gradient(c->pool, v->images, v->group * v->outputs, v->out_size, dy,
					    c->param[1].diff);
		if (v->depthwise) {
			moka__depthwise_backward(c->pool, v, w, x, dy, dw, dx);
			continue;
		}
		if (dw)
			correlate_all(c, v, x, dy, dw);
		if (dx)
			spread_all(c, v, w, dy, dx);
	}
	return MOKA_OK;
}

enum moka_status moka__deconv_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__conv *v = l->priv;

	for (int b = 0; b < l->n_bottom; b++) {
		spread_all(c, v, c->param[0].data, c->bottom[b].data, c->top[b].data);
		if (has_bias(l))
			add_bias(c->pool, v->images, v->group * v->g.channels,
				 v->image_size / MOKA_MAX(v->g.channels, 1), c->param[1].data, c->top[b].data);
	}
	return MOKA_OK;
}

enum moka_status moka__deconv_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__conv *v = l->priv;
	real *dw = c->param[0].diff;

	for (int b = 0; b < l->n_bottom; b++) {
		const real *x = c->bottom[b].data, *dy = c->top[b].diff;
		real *dx = c->bottom[b].diff;

		if (!dy) {
			if (dx)
				moka_set(c->bottom[b].count, 0, dx);
			continue;
		}
		if (has_bias(l) && c->param[1].diff)
			moka__bias_gradient(c->pool, v->images, v->group * v->g.channels,
					    v->image_size / MOKA_MAX(v->g.channels, 1), dy, c->param[1].diff);
		if (dw)
			correlate_all(c, v, dy, x, dw);
		if (dx)
			convolve_all(c, v, c->param[0].data, dy, NULL, dx);
	}
	return MOKA_OK;
}
