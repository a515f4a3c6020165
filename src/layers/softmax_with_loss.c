/*
 * SoftmaxWithLoss: the mean of -log(softmax(x)[label]), and its gradient in one, which is softmax(x) minus the label's
 * indicator and needs no division by a probability near 0.
 *
 * Labels that ignore_label names count neither in the sum nor (normalization VALID) in its divisor. The probabilities are
 * state; a second top gets a copy. Its gradient, if any, is not used, as in BVLC Caffe.
 *
 * SoftmaxWithLossOHEM is this layer with a third top, what each place costs: the functions serve both.
 */
#include "loss.h"

#include <float.h>
#include <string.h>
#include <tgmath.h>

enum moka_status moka__softmax_loss_shape(struct moka_layer *l, struct moka_findings *f)
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

struct loss_job {
	struct moka__scores s;
	const int32_t *label; /* (outer, inner), -1: ignored */
	const real *prob;
	real scale, *dx, *cost;
};

static double cost_of(const struct loss_job *j, int64_t i)
{
	real p;

	if (j->label[i] < 0)
		return 0;
	p = j->prob[(i / j->s.inner * j->s.classes + j->label[i]) * j->s.inner + i % j->s.inner];
	return -(double)log(MOKA_MAX(p, (real)FLT_MIN));
}

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++) {
		const double cost = cost_of(j, i);

		if (j->cost)
			j->cost[i] = (real)cost;
		sum += cost;
	}
	return sum;
}

enum moka_status moka__softmax_loss_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__scores *s = l->priv;
	const int64_t n = s->outer * s->inner;
	const struct moka__labels labels = moka__labels_of(l, s);
	struct loss_job j = {
		.s = *s, .label = c->scratch, .prob = c->state, .cost = l->n_top > 2 ? c->top[2].data : NULL
	};
	double *parts = (double *)((char *)c->scratch + moka__loss_bytes(n, sizeof(int32_t)));
	int64_t valid;
	double sum;

	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, &valid));
	moka__softmax(c->pool, s, c->bottom[0].data, c->state);
	sum = moka__loss_sum(c->pool, loss_part, &j, n, moka__loss_tile(1), parts);
	c->top[0].data[0] = (real)(sum / (double)moka_loss_normalizer(l, s->outer, s->inner, valid));
	if (l->n_top > 1 && c->top[1].count)
		memcpy(c->top[1].data, c->state, (size_t)c->top[1].count * sizeof(real));
	return MOKA_OK;
}

/* Rows [begin, end) of (outer, classes), each of `inner` places. */
static void loss_gradient_rows(void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;
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

enum moka_status moka__softmax_loss_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__scores *s = l->priv;
	const struct moka__labels labels = moka__labels_of(l, s);
	struct loss_job j = { .s = *s, .label = c->scratch, .prob = c->state, .dx = c->bottom[0].diff };
	int64_t valid;

	if (!j.dx)
		return MOKA_OK;
	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, &valid));
	j.scale = moka__loss_weight(c) / moka_loss_normalizer(l, s->outer, s->inner, valid);
	moka_parallel(c->pool, loss_gradient_rows, &j, s->outer * s->classes, moka__loss_tile(s->inner));
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_softmax_with_loss = {
	.schema = { "SoftmaxWithLoss", "softmax_param", 125, 39, &moka__softmax_message, "SOFTMAX_LOSS", 21, NULL },
	.doc = "classification loss: -log of the probability that softmax gives the label",
	.min_bottom = 2,
	.max_bottom = 2,
	.min_top = 1,
	.max_top = 2,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = moka__softmax_loss_shape,
	.forward = moka__softmax_loss_forward,
	.backward = moka__softmax_loss_backward,
};
