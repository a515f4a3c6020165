/*
 * Reduction: makes one number of the axes from `axis` on: their sum, sum of magnitudes, sum of squares or mean,
 * times coeff.
 */
#include "layer.h"

struct reduction_param {
	int operation;
	int32_t axis;
	float coeff;
};

enum { SUM = 1, ASUM, SUMSQ, MEAN };
static const struct moka_enum_value operation_values[] = {
	{ "SUM", SUM }, { "ASUM", ASUM }, { "SUMSQ", SUMSQ }, { "MEAN", MEAN }, { NULL, 0 }
};

/* clang-format off */
static const struct moka_field reduction_fields[] = {
	MOKA_F_ENUM(struct reduction_param, operation, 1, operation_values, SUM, "what is made of the values"),
	MOKA_F_INT32(struct reduction_param, axis, 2, 0, "first axis that goes; negative counts from the end"),
	MOKA_F_FLOAT(struct reduction_param, coeff, 3, 1, "factor of the result"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message reduction_message = { "ReductionParameter", reduction_fields,
						       sizeof(struct reduction_param) };

struct reduction {
	int64_t rows, row;
};

static enum moka_status reduction_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct reduction_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct reduction *v = moka_layer_priv(l, sizeof(*v));
	int axis;

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = *s;
	if (s->n < 0 && p->axis >= 0 && p->axis < MOKA_MAX_AXES) {
		l->top[0].shape.n = p->axis;
		for (int i = 0; i < p->axis; i++)
			l->top[0].shape.d[i] = -1;
	}
	if (s->n < 0)
		return MOKA_OK;
	axis = moka_layer_axis(l, f, "axis", p->axis, s);
	if (axis < 0)
		return MOKA_ERR_MODEL;
	l->top[0].shape.n = axis;
	v->rows = moka_shape_count_range(s, 0, axis);
	v->row = moka_shape_count_range(s, axis, s->n);
	return MOKA_OK;
}

struct reduction_job {
	const struct reduction *v;
	int operation;
	real coeff;
	const real *x, *dy;
	real *out;
};

static void run(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct reduction_job *j)
{
	moka_parallel(pool, piece, j, j->v->rows, MOKA_MAX(16384 / MOKA_MAX(j->v->row, 1), 1));
}

static struct reduction_job job(const struct moka_layer *l, const struct moka_call *c)
{
	const struct reduction_param *p = l->param;
	const struct reduction *v = l->priv;
	struct reduction_job j = { v, p->operation, (real)p->coeff, c->bottom[0].data, c->top[0].diff, NULL };

	if (p->operation == MEAN && v->row)
		j.coeff /= (real)v->row;
	return j;
}

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct reduction_job *j = arg;
	const int64_t n = j->v->row;

	for (int64_t r = begin; r < end; r++) {
		const real *x = j->x + r * n;
		const real sum = j->operation == ASUM	 ? moka_asum(n, x)
				 : j->operation == SUMSQ ? moka_dot(n, x, x)
							 : moka_sum(n, x);

		j->out[r] = sum * j->coeff;
	}
}

static enum moka_status reduction_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct reduction_job j = job(l, c);

	j.out = c->top[0].data;
	run(c->pool, forward_piece, &j);
	return MOKA_OK;
}

static real slope(int operation, real x)
{
	switch (operation) {
	case ASUM:
		return (real)((x > 0) - (x < 0));
	case SUMSQ:
		return 2 * x;
	default:
		return 1;
	}
}

static void backward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct reduction_job *j = arg;
	const int64_t n = j->v->row;

	for (int64_t r = begin; r < end; r++)
		for (int64_t i = r * n; i < (r + 1) * n; i++)
			j->out[i] = j->dy[r] * j->coeff * slope(j->operation, j->x[i]);
}

static enum moka_status reduction_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct reduction_job j = job(l, c);

	j.out = c->bottom[0].diff;
	if (j.out)
		run(c->pool, backward_piece, &j);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_reduction = {
	.schema = { "Reduction", "reduction_param", 136, 0, &reduction_message, NULL, 0, NULL },
	.doc = "sums, or averages, all axes from one on",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = reduction_shape, .forward = reduction_forward, .backward = reduction_backward,
};
/* clang-format on */
