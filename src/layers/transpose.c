/*
 * Transpose (the CRNN forks): puts the axes into another order. Axis i of the top is axis dim[i] of the bottom.
 *
 * What SSD's Permute does, but every axis has to be named.
 */
#include "strided.h"

struct transpose_param {
	struct moka_list dim; /* int32_t */
};

static const struct moka_field transpose_fields[] = {
	MOKA_F_REP(struct transpose_param, dim, 1, MOKA_INT32,
		   "the bottom's axes, all of them, in the order of the top's"),
	MOKA_F_END
};
static const struct moka_message transpose_message = { "TransposeParameter", transpose_fields,
						       sizeof(struct transpose_param) };

static enum moka_status check_dims(const struct moka_layer *l, struct moka_findings *f, int n)
{
	const struct transpose_param *p = l->param;
	bool used[MOKA_MAX_AXES] = { false };

	if (!p->dim.n)
		return moka_layer_bad(l, f, "missing-setting", NULL,
				      "transpose_param { dim: ... } is missing: it says the new order");
	if (p->dim.n > MOKA_MAX_AXES || (n >= 0 && p->dim.n != (size_t)n))
		return moka_layer_bad(l, f, "bad-axis", "dim", "%zu axes are named, and '%s' has %d", p->dim.n,
				      l->bottom[0].name, n < 0 ? MOKA_MAX_AXES : n);
	for (size_t i = 0; i < p->dim.n; i++) {
		const int32_t axis = MOKA_LIST_AT(p->dim, int32_t, i);

		if (axis < 0 || (size_t)axis >= p->dim.n)
			return moka_layer_bad(l, f, "bad-axis", "dim", "axis %d is not one of the axes 0 to %zu", axis,
					      p->dim.n - 1);
		if (used[axis])
			return moka_layer_bad(l, f, "bad-axis", "dim", "axis %d is named twice", axis);
		used[axis] = true;
	}
	return MOKA_OK;
}

static enum moka_status transpose_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct transpose_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	struct moka__strided *v = moka_layer_priv(l, sizeof(*v)), plain;

	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(check_dims(l, f, s.n));
	if (s.n < 0) {
		s.n = (int)p->dim.n;
		for (int i = 0; i < s.n; i++)
			s.d[i] = -1;
	}
	moka__strided_plain(&plain, &s);
	*v = plain;
	l->top[0].shape = s;
	for (int i = 0; i < s.n; i++) {
		const int32_t from = MOKA_LIST_AT(p->dim, int32_t, i);

		v->size[i] = l->top[0].shape.d[i] = s.d[from];
		v->stride[i] = plain.stride[from];
	}
	return MOKA_OK;
}

static enum moka_status transpose_forward(const struct moka_layer *l, struct moka_call *c)
{
	moka__strided_copy(c->pool, l->priv, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status transpose_backward(const struct moka_layer *l, struct moka_call *c)
{
	if (c->bottom[0].diff)
		moka__strided_back(c->pool, l->priv, c->top[0].diff, c->bottom[0].diff);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_transpose = {
	.schema = { "Transpose", "transpose_param", 8266710, 0, &transpose_message, NULL, 0, "caffe_ocr, CC4.0 and other CRNN forks" },
	.doc = "puts the axes into another order; every axis is named",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = transpose_shape, .forward = transpose_forward, .backward = transpose_backward,
};
/* clang-format on */
