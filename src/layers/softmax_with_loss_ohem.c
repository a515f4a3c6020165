/*
 * SoftmaxWithLossOHEM (R-FCN): SoftmaxWithLoss with what each place costs as a third top, by which BoxAnnotatorOHEM picks the
 * hard ones. A place whose label is ignored costs 0.
 *
 *     tops: scalar, probabilities, costs (one for each label); only the first takes a gradient
 */
#include "loss.h"

#include <float.h>
#include <string.h>
#include <tgmath.h>

static enum moka_status ohem_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__softmax_param *p = l->param;
	struct moka__scores *s = moka_layer_priv(l, sizeof(*s));
	const int64_t labels = moka_shape_count(&l->bottom[1].shape);

	if (!s)
		return MOKA_ERR_NOMEM;
	if (l->n_top > 1)
		l->top[1].shape = l->bottom[0].shape;
	if (l->n_top > 2)
		l->top[2].shape = l->bottom[1].shape;
	MOKA_TRY(moka__loss_shape(l, f));
	MOKA_TRY(moka__scores_shape(l, f, p->axis, s));
	MOKA_TRY(moka__labels_shape(l, f, s));
	l->state_bytes = moka_layer_bytes(moka_shape_count(&l->bottom[0].shape), sizeof(real));
	l->scratch_bytes = moka__loss_bytes(labels, sizeof(int32_t)) + moka__loss_sum_bytes(labels, moka__loss_tile(1));
	return MOKA_OK;
}

struct ohem_job {
	struct moka__scores s;
	const int32_t *label; /* (outer, inner), -1: ignored */
	const real *prob;
	real scale, *dx, *cost;
};

static double cost_of(const struct ohem_job *j, int64_t i)
{
	real p;

	if (j->label[i] < 0)
		return 0;
	p = j->prob[(i / j->s.inner * j->s.classes + j->label[i]) * j->s.inner + i % j->s.inner];
	return -(double)log(MOKA_MAX(p, (real)FLT_MIN));
}

static double ohem_part(const void *arg, int64_t begin, int64_t end)
{
	const struct ohem_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++) {
		const double cost = cost_of(j, i);

		if (j->cost)
			j->cost[i] = (real)cost;
		sum += cost;
	}
	return sum;
}

static enum moka_status ohem_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__scores *s = l->priv;
	const int64_t n = s->outer * s->inner;
	const struct moka__labels labels = moka__labels_of(l, s);
	struct ohem_job j = {
		.s = *s, .label = c->scratch, .prob = c->state, .cost = l->n_top > 2 ? c->top[2].data : NULL
	};
	double *parts = (double *)((char *)c->scratch + moka__loss_bytes(n, sizeof(int32_t)));
	int64_t valid;
	double sum;

	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, &valid));
	moka__softmax(c->pool, s, c->bottom[0].data, c->state);
	sum = moka__loss_sum(c->pool, ohem_part, &j, n, moka__loss_tile(1), parts);
	c->top[0].data[0] = (real)(sum / (double)moka_loss_normalizer(l, s->outer, s->inner, valid));
	if (l->n_top > 1 && c->top[1].count)
		memcpy(c->top[1].data, c->state, (size_t)c->top[1].count * sizeof(real));
	return MOKA_OK;
}

/* Rows [begin, end) of (outer, classes), each of `inner` places. */
static void ohem_gradient(void *arg, int64_t begin, int64_t end)
{
	const struct ohem_job *j = arg;
	const int64_t inner = j->s.inner;

	for (int64_t r = begin; r < end; r++) {
		const int32_t *label = j->label + r / j->s.classes * inner;

		for (int64_t k = 0; k < inner; k++)
			j->dx[r * inner + k] =
				label[k] < 0
					? 0
					: j->scale * (j->prob[r * inner + k] - (label[k] == r % j->s.classes ? 1 : 0));
	}
}

static enum moka_status ohem_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__scores *s = l->priv;
	const struct moka__labels labels = moka__labels_of(l, s);
	struct ohem_job j = { .s = *s, .label = c->scratch, .prob = c->state, .dx = c->bottom[0].diff };
	int64_t valid;

	if (!j.dx)
		return MOKA_OK;
	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, &valid));
	j.scale = moka__loss_weight(c) / moka_loss_normalizer(l, s->outer, s->inner, valid);
	moka_parallel(c->pool, ohem_gradient, &j, s->outer * s->classes, moka__loss_tile(s->inner));
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_softmax_with_loss_ohem = {
	.schema = { "SoftmaxWithLossOHEM", "softmax_param", 125, 0, &moka__softmax_message, NULL, 0, "R-FCN, Intel" },
	.doc = "SoftmaxWithLoss that also tells what each place costs",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 3,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = ohem_shape, .forward = ohem_forward, .backward = ohem_backward,
};
/* clang-format on */
