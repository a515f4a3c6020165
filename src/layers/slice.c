/*
 * Slice: cuts its bottom along one axis, at the slice points or, where none are given, into equal parts.
 */
#include "blocks.h"
#include "onnx.h"
#include "op.h"

struct slice_param {
	int32_t axis;
	struct moka_list slice_point; /* uint32_t */
	uint32_t slice_dim;
};

/* clang-format off */
static const struct moka_field slice_fields[] = {
	MOKA_F_INT32(struct slice_param, axis, 3, 1, "the axis that is cut; negative counts from the end"),
	MOKA_F_REP(struct slice_param, slice_point, 2, MOKA_UINT32, "where each part but the first begins; none: equal parts"),
	MOKA_F_UINT32(struct slice_param, slice_dim, 1, 1, "old name of axis"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message slice_message = { "SliceParameter", slice_fields, sizeof(struct slice_param) };

struct slice {
	int axis;
	int64_t rows, row; /* rows of the bottom, and the values of one */
};

static enum moka_status slice_axis(const struct moka_layer *l, struct moka_findings *f, int *axis)
{
	const struct slice_param *p = l->param;
	const bool old = l->sub && moka_has(l->sub, "slice_dim");
	const char *field = old ? "slice_dim" : "axis";

	if (old && moka_has(l->sub, "axis"))
		return moka_layer_bad(l, f, "bad-setting", "slice_dim",
				      "axis is given, and slice_dim, its old name, too; one is enough");
	*axis = moka_layer_axis(l, f, field, old ? (int64_t)p->slice_dim : p->axis, &l->bottom[0].shape);
	return *axis < 0 ? MOKA_ERR_MODEL : MOKA_OK;
}

static enum moka_status cut_equally(struct moka_layer *l, struct moka_findings *f, int axis)
{
	const int64_t size = l->bottom[0].shape.d[axis];

	if (size > 0 && size % l->n_top)
		return moka_layer_bad(l, f, "bad-slice", "axis",
				      "axis %d of '%s' has %lld values, which %d tops can't share equally", axis,
				      l->bottom[0].name, (long long)size, l->n_top);
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape.d[axis] = size < 0 ? -1 : size / l->n_top;
	return MOKA_OK;
}

static enum moka_status cut_at_points(struct moka_layer *l, struct moka_findings *f, int axis)
{
	const struct slice_param *p = l->param;
	const int64_t size = l->bottom[0].shape.d[axis];
	int64_t from = 0;

	if (p->slice_point.n != (size_t)l->n_top - 1)
		return moka_layer_bad(l, f, "bad-slice", "slice_point",
				      "%zu slice points make %zu parts, and there are %d tops", p->slice_point.n,
				      p->slice_point.n + 1, l->n_top);
	for (int i = 0; i < l->n_top; i++) {
		const bool last = i == l->n_top - 1;
		const int64_t to = last ? size : (int64_t)MOKA_LIST_AT(p->slice_point, uint32_t, i);

		if (!last && to <= from)
			return moka_layer_bad(l, f, "bad-slice", "slice_point",
					      "slice points must grow from above 0; %lld follows %lld", (long long)to,
					      (long long)from);
		if (size >= 0 && (last ? from >= size : to >= size))
			return moka_layer_bad(l, f, "bad-slice", "slice_point",
					      "slice point %lld is beyond axis %d of '%s', which has %lld values",
					      (long long)(last ? from : to), axis, l->bottom[0].name, (long long)size);
		l->top[i].shape.d[axis] = last && size < 0 ? -1 : to - from;
		from = to;
	}
	return MOKA_OK;
}

static enum moka_status slice_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct slice_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct slice *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	if (s->n < 0)
		return moka_layer_unknown(l);
	MOKA_TRY(slice_axis(l, f, &v->axis));
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = *s;
	v->rows = moka_shape_count_range(s, 0, v->axis);
	v->row = moka_shape_count_range(s, v->axis, s->n);
	return p->slice_point.n ? cut_at_points(l, f, v->axis) : cut_equally(l, f, v->axis);
}

static enum moka_status slice_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct slice *v = l->priv;
	int64_t at = 0;

	for (int i = 0; i < l->n_top; i++) {
		const int64_t size = moka_shape_count_range(c->top[i].shape, v->axis, c->top[i].shape->n);

		moka__copy_rows(c->pool, v->rows, size, c->bottom[0].data + at, v->row, c->top[i].data, size);
		at += size;
	}
	return MOKA_OK;
}

/* A top whose gradient nobody gives counts as zeros. */
static enum moka_status slice_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct slice *v = l->priv;
	int64_t at = 0;

	if (!c->bottom[0].diff)
		return MOKA_OK;
	for (int i = 0; i < l->n_top; i++)
		if (!c->top[i].diff) {
			moka__zero(c->pool, c->bottom[0].count, c->bottom[0].diff);
			break;
		}
	for (int i = 0; i < l->n_top; i++) {
		const int64_t size = moka_shape_count_range(c->top[i].shape, v->axis, c->top[i].shape->n);

		if (c->top[i].diff)
			moka__copy_rows(c->pool, v->rows, size, c->top[i].diff, size, c->bottom[0].diff + at, v->row);
		at += size;
	}
	return MOKA_OK;
}

static enum moka_status slice_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct slice *v = l->priv;
	int64_t *size = MOKA_NEWN(o->arena, l->n_top, int64_t);
	struct moka_onnx_node *n;

	if (!size)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < l->n_top; i++)
		size[i] = l->top[i].shape.d[v->axis];
	n = moka_onnx_node_of(o, "Split", l->n_top, o->top, 2,
			      (const char *const[]){ o->bottom[0], moka_onnx_whole(o, l->n_top, size) });
	moka_onnx_int(o, n, "axis", v->axis);
	return o->status;
}

/* Whole images, or whole blocks of channels, lie in a run either way. */
static enum moka_layout slice_layout(const struct moka_layer *l, int block)
{
	const int axis = ((const struct slice *)l->priv)->axis;

	for (int i = 0; axis == 1 && i < l->n_top; i++)
		if (l->top[i].shape.n != 4 || l->top[i].shape.d[1] % block)
			return MOKA_LAYOUT_PLAIN;
	return axis < 2 ? MOKA_LAYOUT_ALIKE : MOKA_LAYOUT_PLAIN;
}

static bool slice_lower(const struct moka_layer *l, struct moka_op *op)
{
	op->kind = MOKA_OP_SLICE;
	return ((const struct slice *)l->priv)->axis == 1 && l->bottom[0].shape.n == 4;
}

/* clang-format off */
const struct moka_layer_type moka_layer_slice = {
	.schema = { "Slice", "slice_param", 126, 31, &slice_message, "SLICE", 33, NULL },
	.doc = "cuts its input into parts along one axis",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = -1,
	.flags = MOKA_PARTIAL,
	.shape = slice_shape, .forward = slice_forward, .backward = slice_backward,
	.onnx = slice_onnx,
	.lower = slice_lower, .layout = slice_layout,
};
/* clang-format on */
