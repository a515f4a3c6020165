/*
 * Flip (caffe-windows): mirrors images left to right, and upside down where asked.
 */
#include "strided.h"

struct flip_param {
	bool flip_width, flip_height;
};

static const struct moka_field flip_fields[] = {
	MOKA_F_BOOL(struct flip_param, flip_width, 1, true, "mirror left to right (the last axis)"),
	MOKA_F_BOOL(struct flip_param, flip_height, 2, false, "turn upside down (the last axis but one)"), MOKA_F_END
};
static const struct moka_message flip_message = { "FlipParameter", flip_fields, sizeof(struct flip_param) };

static enum moka_status flip_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct flip_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct moka__strided *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = *s;
	if (s->n >= 0 && s->n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "flips blobs of 4 axes (num, channels, height, width), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(s, text, sizeof(text)));
	if (s->n < 0)
		return MOKA_OK;
	moka__strided_plain(v, s);
	if (p->flip_width)
		moka__strided_reverse(v, 3);
	if (p->flip_height)
		moka__strided_reverse(v, 2);
	return MOKA_OK;
}

static enum moka_status flip_forward(const struct moka_layer *l, struct moka_call *c)
{
	moka__strided_copy(c->pool, l->priv, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status flip_backward(const struct moka_layer *l, struct moka_call *c)
{
	if (c->bottom[0].diff)
		moka__strided_back(c->pool, l->priv, c->top[0].diff, c->bottom[0].diff);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_flip = {
	.schema = { "Flip", "flip_param", 212, 0, &flip_message, NULL, 0, "caffe-windows" },
	.doc = "mirrors images left to right, and upside down where asked",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = flip_shape, .forward = flip_forward, .backward = flip_backward,
};
/* clang-format on */
