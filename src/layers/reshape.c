/*
 * Reshape: gives the axes [axis, axis + num_axes) a new shape. A dimension of 0 is taken over from the bottom's
 * axis at the same place, one of -1 is what the others leave. The values stay as they lie.
 */
#include "blocks.h"
#include "onnx.h"

struct reshape_param {
	const struct moka_shape_param *shape;
	int32_t axis, num_axes;
};

/* clang-format off */
static const struct moka_field reshape_fields[] = {
	MOKA_F_MSG(struct reshape_param, shape, 1, &moka_blob_shape_message, "the new dimensions; 0 copies the bottom's, -1 is computed"),
	MOKA_F_INT32(struct reshape_param, axis, 2, 0, "first axis that is replaced; -1 is behind the last"),
	MOKA_F_INT32(struct reshape_param, num_axes, 3, -1, "how many axes are replaced; -1: all that follow"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message reshape_message = { "ReshapeParameter", reshape_fields, sizeof(struct reshape_param) };

/* The axes [*start, *end) that are replaced; of a bottom that isn't known, only "all of them" can be told. */
static enum moka_status replaced(const struct moka_layer *l, struct moka_findings *f, int *start, int *end)
{
	const struct reshape_param *p = l->param;
	const int n = l->bottom[0].shape.n;
	const int64_t from = p->axis >= 0 ? p->axis : (int64_t)n + p->axis + 1;
	const int64_t to = p->num_axes == -1 ? n : from + p->num_axes;

	if (from < 0 || from > n)
		return moka_layer_bad(l, f, "bad-axis", "axis", "axis %d is outside '%s', which has %d axes",
				      (int)p->axis, l->bottom[0].name, n);
	if (p->num_axes < -1 || to > n)
		return moka_layer_bad(l, f, "bad-axis", "num_axes",
				      "num_axes %d does not fit: '%s' has %d axes from axis %lld on", (int)p->num_axes,
				      l->bottom[0].name, n - (int)from, (long long)from);
	*start = (int)from;
	*end = (int)to;
	return MOKA_OK;
}

/* Dimension i of the new ones; *inferred is the axis of the one -1. */
static enum moka_status new_dim(const struct moka_layer *l, struct moka_findings *f, int i, int start, int64_t *out,
				int *inferred)
{
	const struct reshape_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	const int64_t d = MOKA_LIST_AT(p->shape->dim, int64_t, i);

	*out = d;
	if (d < -1)
		return moka_layer_bad(l, f, "bad-shape", "shape",
				      "a dimension is a size, 0 (as the bottom's) or -1 (computed), not %lld",
				      (long long)d);
	if (d == -1 && *inferred >= 0)
		return moka_layer_bad(l, f, "bad-shape", "shape", "only one dimension can be -1, the computed one");
	if (d == -1)
		*inferred = start + i;
	if (d == 0 && s->n >= 0 && start + i >= s->n)
		return moka_layer_bad(l, f, "bad-shape", "shape",
				      "dimension %d is 0, 'as the bottom's', but '%s' has only %d axes", i,
				      l->bottom[0].name, s->n);
	if (d == 0)
		*out = s->n >= 0 ? s->d[start + i] : -1;
	return MOKA_OK;
}

/* Makes the counts agree: computes the -1, or checks. */
static enum moka_status settle(const struct moka_layer *l, struct moka_findings *f, struct moka_shape *top,
			       int inferred)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	const int64_t count = moka_shape_count(s);
	char a[MOKA_SHAPE_TEXT], b[MOKA_SHAPE_TEXT];
	int64_t rest;

	if (inferred >= 0)
		top->d[inferred] = 1;
	rest = moka_shape_count(top);
	if (inferred >= 0)
		top->d[inferred] = -1;
	if (count < 0 || rest < 0)
		return MOKA_OK;
	moka_shape_text(s, a, sizeof(a));
	moka_shape_text(top, b, sizeof(b));
	if (inferred < 0 && rest != count)
		return moka_layer_bad(l, f, "shape-mismatch", "shape",
				      "'%s' is %s, %lld values, and the new shape %s takes %lld", l->bottom[0].name, a,
				      (long long)count, b, (long long)rest);
	if (inferred >= 0 && (rest == 0 ? count != 0 : count % rest != 0))
		return moka_layer_bad(l, f, "shape-mismatch", "shape",
				      "'%s' is %s, %lld values, which the other dimensions of %s (%lld) do not divide",
				      l->bottom[0].name, a, (long long)count, b, (long long)rest);
	if (inferred >= 0)
		top->d[inferred] = rest ? count / rest : 0;
	return MOKA_OK;
}

static enum moka_status reshape_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct reshape_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	const size_t fresh = p->shape ? p->shape->dim.n : 0;
	struct moka_shape top = { 0 };
	int start = 0, end = 0, inferred = -1;

	if (s->n < 0 && (p->axis != 0 || p->num_axes != -1))
		return moka_layer_unknown(l);
	if (s->n >= 0)
		MOKA_TRY(replaced(l, f, &start, &end));
	if (fresh + (size_t)(s->n < 0 ? 0 : s->n - (end - start)) > MOKA_MAX_AXES)
		return moka_layer_bad(l, f, "too-many-axes", "shape", "the new shape has more than %d axes",
				      MOKA_MAX_AXES);
	for (int i = 0; i < start; i++)
		top.d[top.n++] = s->d[i];
	for (int i = 0; i < (int)fresh; i++) {
		MOKA_TRY(new_dim(l, f, i, start, &top.d[top.n], &inferred));
		top.n++;
	}
	for (int i = end; i < s->n; i++)
		top.d[top.n++] = s->d[i];
	MOKA_TRY(settle(l, f, &top, inferred));
	l->top[0].shape = top;
	return MOKA_OK;
}

static enum moka_status reshape_forward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l;
	moka__copy(c->pool, c->top[0].count, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status reshape_backward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l;
	if (c->bottom[0].diff)
		moka__copy(c->pool, c->top[0].count, c->top[0].diff, c->bottom[0].diff);
	return MOKA_OK;
}

static enum moka_status reshape_onnx(struct moka_onnx *o)
{
	moka_onnx_reshape(o, o->top[0], o->bottom[0], &o->layer->bottom[0].shape, &o->layer->top[0].shape);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_reshape = {
	.schema = { "Reshape", "reshape_param", 133, 0, &reshape_message, NULL, 0, NULL },
	.doc = "gives its input another shape",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = reshape_shape, .forward = reshape_forward, .backward = reshape_backward,
	.onnx = reshape_onnx,
};
/* clang-format on */
