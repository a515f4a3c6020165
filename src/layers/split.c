/*
 * Split: hands its bottom on to several tops; their gradients are summed.
 *
 * Caffe puts one wherever a blob has several readers. Moka's blobs may have many, so it is seen only where a
 * file names it.
 */
#include "blocks.h"
#include "onnx.h"

static enum moka_status split_forward(const struct moka_layer *l, struct moka_call *c)
{
	for (int i = 0; i < l->n_top; i++)
		moka__copy(c->pool, c->top[i].count, c->bottom[0].data, c->top[i].data);
	return MOKA_OK;
}

static enum moka_status split_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t n = c->bottom[0].count;
	real *dx = c->bottom[0].diff;
	bool begun = false;

	for (int i = 0; dx && i < l->n_top; i++) {
		if (!c->top[i].diff)
			continue;
		if (begun)
			moka__add_rows(c->pool, 1, n, c->top[i].diff, n, dx, n);
		else
			moka__copy(c->pool, n, c->top[i].diff, dx);
		begun = true;
	}
	if (dx && !begun)
		moka__zero(c->pool, n, dx);
	return MOKA_OK;
}

static enum moka_status split_onnx(struct moka_onnx *o)
{
	for (int i = 0; i < o->layer->n_top; i++)
		moka_onnx_same(o, i);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_split = {
	.schema = { "Split", NULL, 0, 0, NULL, "SPLIT", 22, NULL },
	.doc = "hands one input on to several readers",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = -1,
	.flags = MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = moka_shape_same, .forward = split_forward, .backward = split_backward,
	.onnx = split_onnx,
};
/* clang-format on */
