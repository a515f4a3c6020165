/*
 * Permute (SSD): puts the axes into another order. Axis i of the top is axis order[i] of the bottom; axes not
 * named follow in their own order.
 */
#include "blocks.h"
#include "strided.h"
#include "onnx.h"

struct permute_param {
	struct moka_list order; /* uint32_t */
};

/* clang-format off */
static const struct moka_field permute_fields[] = {
	MOKA_F_REP(struct permute_param, order, 1, MOKA_UINT32, "the bottom's axes in the order of the top's"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message permute_message = { "PermuteParameter", permute_fields, sizeof(struct permute_param) };

struct permute {
	struct moka__strided copy; /* the top's axes, each with its stride in the bottom */
	bool same;		   /* nothing moves */
};

static enum moka_status read_order(const struct moka_layer *l, struct moka_findings *f, int n, int *order)
{
	const struct permute_param *p = l->param;
	bool used[MOKA_MAX_AXES] = { false };
	int k = 0;

	for (size_t i = 0; i < p->order.n; i++) {
		const uint32_t axis = MOKA_LIST_AT(p->order, uint32_t, i);

		if (axis >= (uint32_t)n)
			return moka_layer_bad(l, f, "bad-axis", "order", "axis %u is outside '%s', which has %d axes",
					      axis, l->bottom[0].name, n);
		if (used[axis])
			return moka_layer_bad(l, f, "bad-axis", "order", "axis %u is named twice", axis);
		used[axis] = true;
		order[k++] = (int)axis;
	}
	for (int i = 0; i < n; i++)
		if (!used[i])
			order[k++] = i;
	return MOKA_OK;
}

static enum moka_status permute_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct permute_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	struct permute *v = moka_layer_priv(l, sizeof(*v));
	int order[MOKA_MAX_AXES];

	if (!v)
		return MOKA_ERR_NOMEM;
	if (s.n < 0 && p->order.n && p->order.n <= MOKA_MAX_AXES) { /* as many axes as are named, most likely */
		s.n = (int)p->order.n;
		for (int i = 0; i < s.n; i++)
			s.d[i] = -1;
	}
	l->top[0].shape = s;
	if (s.n < 0)
		return MOKA_OK;
	MOKA_TRY(read_order(l, f, s.n, order));
	v->copy.n = s.n;
	v->same = true;
	for (int i = 0; i < s.n; i++) {
		v->copy.size[i] = l->top[0].shape.d[i] = s.d[order[i]];
		v->copy.stride[i] = moka_shape_count_range(&s, order[i] + 1, s.n);
		v->same &= order[i] == i;
	}
	return MOKA_OK;
}

static enum moka_status permute_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct permute *v = l->priv;

	if (v->same)
		moka__copy(c->pool, c->top[0].count, c->bottom[0].data, c->top[0].data);
	else
		moka__strided_copy(c->pool, &v->copy, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status permute_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct permute *v = l->priv;

	if (c->bottom[0].diff && v->same)
		moka__copy(c->pool, c->top[0].count, c->top[0].diff, c->bottom[0].diff);
	else if (c->bottom[0].diff)
		moka__strided_back(c->pool, &v->copy, c->top[0].diff, c->bottom[0].diff);
	return MOKA_OK;
}

static enum moka_status permute_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	int order[MOKA_MAX_AXES];
	int64_t perm[MOKA_MAX_AXES];

	MOKA_TRY(read_order(l, o->findings, l->bottom[0].shape.n, order));
	for (int i = 0; i < l->bottom[0].shape.n; i++)
		perm[i] = order[i];
	moka_onnx_ints(o, moka_onnx_node(o, "Transpose", o->top[0], o->bottom[0], NULL), "perm", l->bottom[0].shape.n,
		       perm);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_permute = {
	.schema = { "Permute", "permute_param", 202, 0, &permute_message, NULL, 0, "SSD" },
	.doc = "puts the axes into another order",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = permute_shape, .forward = permute_forward, .backward = permute_backward,
	.onnx = permute_onnx,
};
/* clang-format on */
