/*
 * Im2col: lays the windows that a convolution would see out as columns: (..., C * prod(kernel), out...).
 *
 * Reads ConvolutionParameter for the windows alone: num_output, group and bias mean nothing here.
 */
#include "conv.h"

static enum moka_status im2col_shape(struct moka_layer *l, struct moka_findings *f)
{
	return moka__conv_shape(l, f, MOKA__CONV_COLUMNS);
}

static enum moka_status im2col_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__conv *v = l->priv;

	for (int b = 0; b < l->n_bottom; b++)
		for (int64_t n = 0; n < v->images; n++)
			moka_im2col(c->pool, &v->g, c->bottom[b].data + n * v->image_size,
				    c->top[b].data + n * v->kernel_dim * v->out_size);
	return MOKA_OK;
}

static enum moka_status im2col_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__conv *v = l->priv;

	for (int b = 0; b < l->n_bottom; b++)
		for (int64_t n = 0; c->bottom[b].diff && n < v->images; n++)
			moka_col2im(c->pool, &v->g, c->top[b].diff + n * v->kernel_dim * v->out_size,
				    c->bottom[b].diff + n * v->image_size);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_im2col = {
	.schema = { "Im2col", "convolution_param", 106, 10, &moka__conv_message, "IM2COL", 11, NULL },
	.doc = "lays out the windows of a convolution as columns",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = im2col_shape, .forward = im2col_forward, .backward = im2col_backward,
};
/* clang-format on */
