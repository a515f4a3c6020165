/*
 * Crop: cuts its first bottom to the size of the second, on the axes from `axis` on, beginning at the offsets.
 */
#include "blocks.h"
#include "onnx.h"

#include <string.h>

/* clang-format off */
static const struct moka_field crop_fields[] = {
	MOKA_F_INT32(struct moka__crop_param, axis, 1, 2, "first axis that is cut; negative counts from the end"),
	MOKA_F_REP(struct moka__crop_param, offset, 2, MOKA_UINT32, "where the cut begins: once, or once per axis; default 0"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message crop_message = { "CropParameter", crop_fields, sizeof(struct moka__crop_param) };

struct crop {
	int64_t offset[MOKA_MAX_AXES];
};

static enum moka_status crop_dim(struct moka_layer *l, struct moka_findings *f, int i, int axis, struct crop *v)
{
	const struct moka__crop_param *p = l->param;
	const int64_t have = l->bottom[0].shape.d[i], want = l->bottom[1].shape.d[i];

	if (p->offset.n)
		v->offset[i] = MOKA_LIST_AT(p->offset, uint32_t, p->offset.n == 1 ? 0 : i - axis);
	if (have >= 0 && want >= 0 && have - v->offset[i] < want)
		return moka_layer_bad(
			l, f, "bad-crop", p->offset.n ? "offset" : NULL,
			"axis %d of '%s' has %lld values; %lld of them from %lld on, as '%s' wants, are not there", i,
			l->bottom[0].name, (long long)have, (long long)want, (long long)v->offset[i],
			l->bottom[1].name);
	l->top[0].shape.d[i] = want;
	return MOKA_OK;
}

enum moka_status moka__crop_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__crop_param *p = l->param;
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	struct crop *v = moka_layer_priv(l, sizeof(*v));
	int axis;

	if (!v)
		return MOKA_ERR_NOMEM;
	if (a->n < 0 || b->n < 0)
		return moka_layer_unknown(l);
	memset(v, 0, sizeof(*v));
	axis = moka_layer_axis(l, f, "axis", p->axis, a);
	if (axis < 0)
		return MOKA_ERR_MODEL;
	if (b->n < a->n)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "'%s' has %d axes, and '%s', which gives the size, only %d",
					     l->bottom[0].name, a->n, l->bottom[1].name, b->n);
	if (p->offset.n > 1 && p->offset.n != (size_t)(a->n - axis))
		return moka_layer_bad(l, f, "bad-setting", "offset",
				      "%zu offsets for the %d axes from axis %d on; give one, or one for each",
				      p->offset.n, a->n - axis, axis);
	l->top[0].shape = *a;
	for (int i = axis; i < a->n; i++)
		MOKA_TRY(crop_dim(l, f, i, axis, v));
	return MOKA_OK;
}

struct crop_job {
	const struct crop *v;
	const struct moka_shape *large, *small;
	const real *src;
	real *dst;
	bool back; /* small to large */
};

/* Rows (last axis) of the small blob, numbered. */
static void crop_piece(void *arg, int64_t begin, int64_t end)
{
	const struct crop_job *j = arg;
	const int last = j->small->n - 1;
	const int64_t size = j->small->d[last];

	for (int64_t row = begin; row < end; row++) {
		int64_t rest = row, at = j->v->offset[last], stride = j->large->d[last];

		for (int i = last - 1; i >= 0; i--) {
			at += (rest % j->small->d[i] + j->v->offset[i]) * stride;
			rest /= j->small->d[i];
			stride *= j->large->d[i];
		}
		if (j->back)
			memcpy(j->dst + at, j->src + row * size, (size_t)size * sizeof(real));
		else
			memcpy(j->dst + row * size, j->src + at, (size_t)size * sizeof(real));
	}
}

static void run(struct moka_pool *pool, struct crop_job *j)
{
	const int last = j->small->n - 1;
	const int64_t rows = moka_shape_count_range(j->small, 0, last);

	if (j->small->d[last])
		moka_parallel(pool, crop_piece, j, rows, MOKA_MAX(16384 / j->small->d[last], 1));
}

enum moka_status moka__crop_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct crop_job j = { l->priv, c->bottom[0].shape, c->top[0].shape, c->bottom[0].data, c->top[0].data, false };

	run(c->pool, &j);
	return MOKA_OK;
}

enum moka_status moka__crop_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct crop_job j = { l->priv, c->bottom[0].shape, c->top[0].shape, c->top[0].diff, c->bottom[0].diff, true };

	if (c->bottom[1].diff)
		moka__zero(c->pool, c->bottom[1].count, c->bottom[1].diff);
	if (!c->bottom[0].diff)
		return MOKA_OK;
	moka__zero(c->pool, c->bottom[0].count, c->bottom[0].diff);
	run(c->pool, &j);
	return MOKA_OK;
}

static enum moka_status crop_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct crop *v = l->priv;
	const struct moka_shape *a = &l->bottom[0].shape, *s = &l->top[0].shape;
	int64_t start[MOKA_MAX_AXES], end[MOKA_MAX_AXES], axes[MOKA_MAX_AXES];
	const char *in[4] = { o->bottom[0] };
	int n = 0;

	for (int i = 0; i < s->n; i++)
		if (s->d[i] != a->d[i]) {
			axes[n] = i;
			start[n] = v->offset[i];
			end[n++] = v->offset[i] + s->d[i];
		}
	if (!n)
		return moka_onnx_same(o, 0);
	in[1] = moka_onnx_whole(o, n, start);
	in[2] = moka_onnx_whole(o, n, end);
	in[3] = moka_onnx_whole(o, n, axes);
	moka_onnx_node_of(o, "Slice", 1, o->top, 4, in);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_crop = {
	.schema = { "Crop", "crop_param", 144, 0, &crop_message, NULL, 0, NULL },
	.doc = "cuts its first input to the size of the second",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = moka__crop_shape, .forward = moka__crop_forward, .backward = moka__crop_backward,
	.onnx = crop_onnx,
};
/* clang-format on */
