/*
 * affine.c - the geometry and arithmetic of Scale and Bias.
 */
#include "affine.h"
#include "kernels/blocked_train.h"
#include "onnx.h"
#include "tensor.h"

static enum moka_status factor_from_settings(const struct moka_layer *l, struct moka_findings *f, int axis,
					     int32_t num_axes, struct moka_shape *factor)
{
	const struct moka_shape *s = &l->bottom[0].shape;

	if (num_axes < -1)
		return moka_layer_bad(l, f, "bad-axis", "num_axes",
				      "num_axes is a number of axes, or -1 for all that follow, not %d", (int)num_axes);
	if (num_axes > s->n - axis)
		return moka_layer_bad(l, f, "bad-axis", "num_axes",
				      "num_axes %d from axis %d on is more than the %d axes of '%s'", (int)num_axes,
				      axis, s->n, l->bottom[0].name);
	factor->n = num_axes < 0 ? s->n - axis : num_axes;
	for (int i = 0; i < factor->n; i++)
		factor->d[i] = s->d[axis + i];
	return MOKA_OK;
}

static enum moka_status factor_fits(const struct moka_layer *l, struct moka_findings *f, int axis,
				    const struct moka_shape *factor)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	char a[MOKA_SHAPE_TEXT], b[MOKA_SHAPE_TEXT];

	moka_shape_text(s, a, sizeof(a));
	moka_shape_text(factor, b, sizeof(b));
	if (factor->n > s->n - axis)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "'%s' is %s, which from axis %d on does not fit into '%s' (%s)",
					     l->bottom[1].name, b, axis, l->bottom[0].name, a);
	for (int i = 0; i < factor->n; i++)
		if (s->d[axis + i] >= 0 && factor->d[i] >= 0 && s->d[axis + i] != factor->d[i])
			return moka_layer_bad_bottom(
				l, f, "shape-mismatch", 1,
				"'%s' is %s and '%s' is %s: axis %d has %lld values, and the other's axis %d has %lld",
				l->bottom[0].name, a, l->bottom[1].name, b, axis + i, (long long)s->d[axis + i], i,
				(long long)factor->d[i]);
	return MOKA_OK;
}

enum moka_status moka__affine_place(const struct moka_layer *l, struct moka_findings *f, int32_t axis, int32_t num_axes,
				    struct moka__affine *v, struct moka_shape *factor)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	const bool two = l->n_bottom > 1;
	int at = 0;

	*v = (struct moka__affine){ -1, -1, -1, false };
	*factor = two ? l->bottom[1].shape : moka_shape_make(1, (int64_t)-1);
	if (!two && num_axes != 1)
		factor->n = num_axes == 0 ? 0 : -1;
	if (s->n < 0 || (two && factor->n < 0))
		return MOKA_OK;
	if (!two || factor->n > 0)
		at = moka_layer_axis(l, f, "axis", axis, s);
	if (at < 0)
		return MOKA_ERR_MODEL;
	if (two)
		MOKA_TRY(factor_fits(l, f, at, factor));
	else
		MOKA_TRY(factor_from_settings(l, f, at, num_axes, factor));
	if (factor->n == 0) /* a scalar goes with everything */
		at = 0;
	v->outer = moka_shape_count_range(s, 0, at);
	v->dim = moka_shape_count(factor);
	v->inner = moka_shape_count_range(s, at + factor->n, s->n);
	return MOKA_OK;
}

bool moka__affine_lower(const struct moka_layer *l,
			void (*values)(const struct moka_layer *l, const struct moka_view *param, real *scale,
				       real *shift),
			struct moka_op *op)
{
	const struct moka__affine *v = l->priv;
	const struct moka_shape *s = &l->bottom[0].shape;

	op->kind = MOKA_OP_AFFINE;
	op->affine.channels = v->dim;
	op->affine.values = values;
	op->affine.learned = l->n_bottom == 1;
	return s->n >= 2 && v->outer == s->d[0] && v->dim == s->d[1] && v->inner == moka_shape_count_range(s, 2, s->n);
}

struct affine_job {
	const struct moka__affine *v;
	const real *x, *dy, *scale, *bias;
	real *out, *dscale, *dbias;
	bool add_scale, add_bias;
};

/* Rows of `inner` values that share a factor. */
static void run_rows(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct affine_job *j)
{
	const struct moka__affine *v = j->v;

	moka_parallel(pool, piece, j, v->outer * v->dim, MOKA_MAX(16384 / MOKA_MAX(v->inner, 1), 1));
}

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct affine_job *j = arg;
	const int64_t inner = j->v->inner;

	for (int64_t r = begin; r < end; r++) {
		const real a = j->scale ? j->scale[r % j->v->dim] : 1, b = j->bias ? j->bias[r % j->v->dim] : 0;

		moka_line(inner, a, j->x + r * inner, b, j->out + r * inner);
	}
}

void moka__affine_forward(struct moka_pool *pool, const struct moka__affine *v, const real *x, const real *scale,
			  const real *bias, real *y)
{
	struct affine_job j = { .v = v, .x = x, .scale = scale, .bias = bias, .out = y };

	run_rows(pool, forward_piece, &j);
}

/* Factors of a piece: neighbours, whose values lie side by side; each is summed in a fixed order. */
#define MOST_FACTORS 16

static void sums_piece(void *arg, int64_t begin, int64_t end)
{
	const struct affine_job *j = arg;
	const struct moka__affine *v = j->v;
	double product[MOST_FACTORS] = { 0 }, sum[MOST_FACTORS] = { 0 };

	for (int64_t o = 0; o < v->outer; o++)
		for (int64_t d = begin; d < end; d++) {
			const int64_t at = (o * v->dim + d) * v->inner;

			if (j->dscale)
				product[d - begin] += moka_wide_dot(v->inner, j->dy + at, j->x + at);
			if (j->dbias)
				sum[d - begin] += moka_wide_sum(v->inner, j->dy + at);
		}
	for (int64_t d = begin; d < end; d++) {
		if (j->dscale)
			j->dscale[d] = (j->add_scale ? j->dscale[d] : 0) + (real)product[d - begin];
		if (j->dbias)
			j->dbias[d] = (j->add_bias ? j->dbias[d] : 0) + (real)sum[d - begin];
	}
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct affine_job *j = arg;
	const int64_t inner = j->v->inner;

	for (int64_t r = begin; r < end; r++) {
		const real a = j->scale ? j->scale[r % j->v->dim] : 1;

		moka_line(inner, a, j->dy + r * inner, 0, j->out + r * inner);
	}
}

void moka__affine_backward(struct moka_pool *pool, const struct moka__affine *v, const real *x, const real *dy,
			   const real *scale, real *dscale, bool add_scale, real *dbias, bool add_bias, real *dx)
{
	struct affine_job j = { .v = v,
				.x = x,
				.dy = dy,
				.scale = scale,
				.out = dx,
				.dscale = dscale,
				.dbias = dbias,
				.add_scale = add_scale,
				.add_bias = add_bias };

	if (dscale || dbias)
		moka_parallel(pool, sums_piece, &j, v->dim, MOKA_MIN(MOKA_MAX(v->dim / 4, 1), MOST_FACTORS));
	if (dx && (scale || dx != dy))
		run_rows(pool, gradient_piece, &j);
}

/* ---- blobs in blocks -------------------------------------------------------------------------------- */

static bool per_channel(const struct moka_layer *l)
{
	const struct moka__affine *v = l->priv;
	const struct moka_shape *s = &l->bottom[0].shape;

	return s->n == 4 && v->outer == s->d[0] && v->dim == s->d[1] && v->inner == s->d[2] * s->d[3];
}

enum moka_layout moka__affine_layout(const struct moka_layer *l, int block)
{
	(void)block;
	return l->n_bottom == 1 && per_channel(l) ? MOKA_LAYOUT_ALIKE : MOKA_LAYOUT_PLAIN;
}

enum moka_status moka__affine_fit(const struct moka_layer *l, struct moka_fit *f)
{
	if (f->bottom_block[0] > 1) {
		const struct moka_tensor x = moka__tensor(&l->bottom[0].shape, f->bottom_block[0], NULL);

		f->scratch_bytes = MOKA_MAX(f->scratch_bytes, moka_affine_scratch(&x));
	}
	return MOKA_OK;
}

void moka__affine_blocked_forward(const struct moka_call *c, const real *scale, const real *bias)
{
	const struct moka_tensor x = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].data),
				 y = moka__tensor(c->top[0].shape, c->top[0].block, c->top[0].data);

	moka_affine(c->pool, scale, bias, NULL, &x, &y);
}

void moka__affine_blocked_backward(const struct moka_call *c, const real *x, const real *scale, real *dscale,
				   real *dbias)
{
	struct moka_tensor t = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].data);

	if (x)
		t.data = (real *)x;
	moka_affine_backward(c->pool, &t, c->top[0].diff, scale, dscale, dbias, c->bottom[0].diff, c->scratch);
}

const char *moka__affine_onnx_param(struct moka_onnx *o, int32_t axis, int param)
{
	const struct moka_layer *l = o->layer;
	const struct moka_shape *s = &l->bottom[0].shape;

	return moka_onnx_param_as(o, param, moka_onnx_stretch(&l->params[param].shape, moka_shape_axis(s, axis), s->n));
}

const char *moka__affine_onnx(struct moka_onnx *o, int32_t axis)
{
	const struct moka_layer *l = o->layer;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct moka_shape factor;
	const char *name;

	if (l->n_bottom == 1)
		return moka__affine_onnx_param(o, axis, 0);
	factor = moka_onnx_stretch(&l->bottom[1].shape, moka_shape_axis(s, axis), s->n);
	if (factor.n == l->bottom[1].shape.n)
		return o->bottom[1];
	name = moka_onnx_value(o);
	moka_onnx_reshape(o, name, o->bottom[1], &l->bottom[1].shape, &factor);
	return name;
}
