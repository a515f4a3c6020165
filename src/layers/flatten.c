/*
 * Flatten: makes the axes from `axis` to `end_axis` one. The values stay as they lie.
 */
#include "blocks.h"
#include "onnx.h"

struct flatten_param {
	int32_t axis, end_axis;
};

/* clang-format off */
static const struct moka_field flatten_fields[] = {
	MOKA_F_INT32(struct flatten_param, axis, 1, 1, "first axis that is flattened; negative counts from the end"),
	MOKA_F_INT32(struct flatten_param, end_axis, 2, -1, "last axis that is flattened; negative counts from the end"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message flatten_message = { "FlattenParameter", flatten_fields, sizeof(struct flatten_param) };

static enum moka_status flatten_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct flatten_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct moka_shape top = { 0 };
	int axis, end;

	if (s->n < 0) /* the usual case is worth drawing: (?, ?) */
		l->top[0].shape = p->axis == 1 && p->end_axis == -1 ? moka_shape_make(2, (int64_t)-1, (int64_t)-1) : *s;
	if (s->n < 0)
		return MOKA_OK;
	axis = moka_layer_axis(l, f, "axis", p->axis, s);
	end = axis < 0 ? -1 : moka_layer_axis(l, f, "end_axis", p->end_axis, s);
	if (axis < 0 || end < 0)
		return MOKA_ERR_MODEL;
	if (end < axis - 1)
		return moka_layer_bad(l, f, "bad-axis", "end_axis", "end_axis %d comes before axis %d", end, axis);
	for (int i = 0; i < axis; i++)
		top.d[top.n++] = s->d[i];
	top.d[top.n++] = moka_shape_count_range(s, axis, end + 1);
	for (int i = end + 1; i < s->n && top.n < MOKA_MAX_AXES; i++)
		top.d[top.n++] = s->d[i];
	l->top[0].shape = top;
	return MOKA_OK;
}

static enum moka_status flatten_forward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l;
	moka__copy(c->pool, c->top[0].count, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status flatten_backward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l;
	if (c->bottom[0].diff)
		moka__copy(c->pool, c->top[0].count, c->top[0].diff, c->bottom[0].diff);
	return MOKA_OK;
}

static enum moka_status flatten_onnx(struct moka_onnx *o)
{
	moka_onnx_reshape(o, o->top[0], o->bottom[0], &o->layer->bottom[0].shape, &o->layer->top[0].shape);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_flatten = {
	.schema = { "Flatten", "flatten_param", 135, 0, &flatten_message, "FLATTEN", 8, NULL },
	.doc = "makes several axes one",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = flatten_shape, .forward = flatten_forward, .backward = flatten_backward,
	.onnx = flatten_onnx,
};
/* clang-format on */
