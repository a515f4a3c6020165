/*
 * Silence: reads any number of bottoms and makes nothing, so that they don't count as outputs. Their gradient
 * is zero.
 */
#include "blocks.h"
#include "onnx.h"

static enum moka_status silence_forward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l;
	(void)c;
	return MOKA_OK;
}

static enum moka_status silence_backward(const struct moka_layer *l, struct moka_call *c)
{
	for (int i = 0; i < l->n_bottom; i++)
		if (c->bottom[i].diff)
			moka__zero(c->pool, c->bottom[i].count, c->bottom[i].diff);
	return MOKA_OK;
}

static enum moka_status silence_onnx(struct moka_onnx *o)
{
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_silence = {
	.schema = { "Silence", NULL, 0, 0, NULL, "SILENCE", 36, NULL },
	.doc = "swallows its inputs",
	.min_bottom = 1, .max_bottom = -1, .min_top = 0, .max_top = 0,
	.flags = MOKA_PARTIAL,
	.shape = moka_shape_same, .forward = silence_forward, .backward = silence_backward,
	.onnx = silence_onnx,
};
/* clang-format on */
