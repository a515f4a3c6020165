/*
 * Reverse (the CRNN forks): turns one axis around; axis 0 is time, so that a second Lstm reads a sequence from its end.
 */
#include "strided.h"

struct reverse_param {
	int32_t axis;
};

static const struct moka_field reverse_fields[] = {
	MOKA_F_INT32(struct reverse_param, axis, 1, 0, "the axis that runs backwards; negative counts from the end"),
	MOKA_F_END
};
static const struct moka_message reverse_message = { "ReverseParameter", reverse_fields, sizeof(struct reverse_param) };

static enum moka_status reverse_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct reverse_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct moka__strided *v = moka_layer_priv(l, sizeof(*v));
	int axis;

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = *s;
	if (s->n < 0)
		return MOKA_OK;
	axis = moka_layer_axis(l, f, "axis", p->axis, s);
	if (axis < 0)
		return MOKA_ERR_MODEL;
	moka__strided_plain(v, s);
	moka__strided_reverse(v, axis);
	return MOKA_OK;
}

static enum moka_status reverse_forward(const struct moka_layer *l, struct moka_call *c)
{
	moka__strided_copy(c->pool, l->priv, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status reverse_backward(const struct moka_layer *l, struct moka_call *c)
{
	if (c->bottom[0].diff)
		moka__strided_back(c->pool, l->priv, c->top[0].diff, c->bottom[0].diff);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_reverse = {
	.schema = { "Reverse", "reverse_param", 160, 0, &reverse_message, NULL, 0, "caffe_ocr, CC4.0 and other CRNN forks" },
	.doc = "turns one axis around",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = reverse_shape, .forward = reverse_forward, .backward = reverse_backward,
};
/* clang-format on */
