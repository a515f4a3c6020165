/*
 * Concat: lays its bottoms one behind another along one axis; all other axes must agree.
 */
#include "blocks.h"
#include "onnx.h"
#include "op.h"

struct concat_param {
	int32_t axis;
	uint32_t concat_dim;
};

/* clang-format off */
static const struct moka_field concat_fields[] = {
	MOKA_F_INT32(struct concat_param, axis, 2, 1, "the axis along which they are laid; negative counts from the end"),
	MOKA_F_UINT32(struct concat_param, concat_dim, 1, 1, "old name of axis"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message concat_message = { "ConcatParameter", concat_fields, sizeof(struct concat_param) };

struct concat {
	int axis;
	int64_t rows; /* count of the axes before it */
	int64_t row;  /* values of a row of the top */
};

/* Bottom i must agree with the top but on `axis`, whose size grows; what one of them doesn't know the other may tell. */
static enum moka_status join(const struct moka_layer *l, struct moka_findings *f, int i, int axis,
			     struct moka_shape *top)
{
	const struct moka_shape *b = &l->bottom[i].shape;
	char ta[MOKA_SHAPE_TEXT], tb[MOKA_SHAPE_TEXT];

	if (b->n != top->n)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", i, "'%s' has %d axes (%s) and '%s' %d (%s)",
					     l->bottom[0].name, l->bottom[0].shape.n,
					     moka_shape_text(&l->bottom[0].shape, ta, sizeof(ta)), l->bottom[i].name,
					     b->n, moka_shape_text(b, tb, sizeof(tb)));
	for (int k = 0; k < b->n; k++) {
		if (k == axis) {
			if (b->d[k] < 0 || top->d[k] < 0)
				top->d[k] = -1;
			else if (!moka_add(top->d[k], b->d[k], &top->d[k]))
				return moka_layer_bad(l, f, "too-large", "axis",
						      "the joined axis is too large to count");
		} else if (top->d[k] < 0) {
			top->d[k] = b->d[k];
		} else if (b->d[k] >= 0 && b->d[k] != top->d[k]) {
			return moka_layer_bad_bottom(
				l, f, "shape-mismatch", i,
				"bottoms may differ on axis %d alone, but '%s' is %s and '%s' is %s: axis %d is %lld against %lld",
				axis, l->bottom[0].name, moka_shape_text(&l->bottom[0].shape, ta, sizeof(ta)),
				l->bottom[i].name, moka_shape_text(b, tb, sizeof(tb)), k, (long long)top->d[k],
				(long long)b->d[k]);
		}
	}
	return MOKA_OK;
}

static enum moka_status concat_axis(const struct moka_layer *l, struct moka_findings *f, int *axis)
{
	const struct concat_param *p = l->param;
	const bool old = l->sub && moka_has(l->sub, "concat_dim");
	const char *field = old ? "concat_dim" : "axis";

	if (old && moka_has(l->sub, "axis"))
		return moka_layer_bad(l, f, "bad-setting", "concat_dim",
				      "axis is given, and concat_dim, its old name, too; one is enough");
	*axis = moka_layer_axis(l, f, field, old ? (int64_t)p->concat_dim : p->axis, &l->bottom[0].shape);
	return *axis < 0 ? MOKA_ERR_MODEL : MOKA_OK;
}

static enum moka_status concat_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct concat *v = moka_layer_priv(l, sizeof(*v));
	struct moka_shape top = l->bottom[0].shape;

	if (!v)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < l->n_bottom; i++)
		if (l->bottom[i].shape.n < 0)
			return moka_layer_unknown(l);
	MOKA_TRY(concat_axis(l, f, &v->axis));
	for (int i = 1; i < l->n_bottom; i++)
		MOKA_TRY(join(l, f, i, v->axis, &top));
	v->rows = moka_shape_count_range(&top, 0, v->axis);
	v->row = moka_shape_count_range(&top, v->axis, top.n);
	l->top[0].shape = top;
	return MOKA_OK;
}

static enum moka_status concat_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct concat *v = l->priv;
	int64_t at = 0;

	for (int i = 0; i < l->n_bottom; i++) {
		const int64_t size = moka_shape_count_range(c->bottom[i].shape, v->axis, c->bottom[i].shape->n);

		moka__copy_rows(c->pool, v->rows, size, c->bottom[i].data, size, c->top[0].data + at, v->row);
		at += size;
	}
	return MOKA_OK;
}

static enum moka_status concat_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct concat *v = l->priv;
	int64_t at = 0;

	for (int i = 0; i < l->n_bottom; i++) {
		const int64_t size = moka_shape_count_range(c->bottom[i].shape, v->axis, c->bottom[i].shape->n);

		if (c->bottom[i].diff)
			moka__copy_rows(c->pool, v->rows, size, c->top[0].diff + at, v->row, c->bottom[i].diff, size);
		at += size;
	}
	return MOKA_OK;
}

static enum moka_status concat_onnx(struct moka_onnx *o)
{
	const struct concat *v = o->layer->priv;
	struct moka_onnx_node *n = moka_onnx_node_of(o, "Concat", 1, o->top, o->layer->n_bottom, o->bottom);

	moka_onnx_int(o, n, "axis", v->axis);
	return o->status;
}

/* Whole images, or whole blocks of channels, lie in a run either way. */
static enum moka_layout concat_layout(const struct moka_layer *l, int block)
{
	const int axis = ((const struct concat *)l->priv)->axis;

	for (int i = 0; axis == 1 && i < l->n_bottom; i++)
		if (l->bottom[i].shape.n != 4 || l->bottom[i].shape.d[1] % block)
			return MOKA_LAYOUT_PLAIN;
	return axis < 2 ? MOKA_LAYOUT_ALIKE : MOKA_LAYOUT_PLAIN;
}

static bool concat_lower(const struct moka_layer *l, struct moka_op *op)
{
	op->kind = MOKA_OP_CONCAT;
	return ((const struct concat *)l->priv)->axis == 1 && l->bottom[0].shape.n == 4;
}

/* clang-format off */
const struct moka_layer_type moka_layer_concat = {
	.schema = { "Concat", "concat_param", 104, 9, &concat_message, "CONCAT", 3, NULL },
	.doc = "joins its inputs along one axis",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = concat_shape, .forward = concat_forward, .backward = concat_backward,
	.onnx = concat_onnx,
	.lower = concat_lower, .layout = concat_layout,
};
/* clang-format on */
