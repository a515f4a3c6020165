/*
 * MultinomialLogisticLoss: the mean of -log(p[label]), for bottoms that are probabilities already (SoftmaxWithLoss takes
 * scores, and is the better choice). A probability under 1e-20 counts as 1e-20.
 */
#include "loss.h"

#include <tgmath.h>

#define LEAST ((real)1e-20)

static enum moka_status loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *b = &l->bottom[1].shape;
	char text[MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	if (b->n > 0 && moka_shape_count_range(b, 1, b->n) >= 0 && moka_shape_count_range(b, 1, b->n) != 1)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "bottom '%s' is %s, but there must be one label a sample",
					     l->bottom[1].name, moka_shape_text(b, text, sizeof(text)));
	if (l->bottom[0].shape.n > 0)
		l->scratch_bytes = moka__loss_bytes(l->bottom[0].shape.d[0], sizeof(int32_t));
	return MOKA_OK;
}

static enum moka_status loss_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka_shape *b = &l->bottom[0].shape;
	const int64_t num = b->d[0], dim = moka_shape_count_range(b, 1, b->n);
	const struct moka__labels labels = { num, 1, dim, NULL, NULL };
	const int32_t *label = c->scratch;
	double sum = 0;

	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, NULL));
	for (int64_t i = 0; i < num; i++) {
		real p = c->bottom[0].data[i * dim + label[i]];
		sum -= (double)log(MOKA_MAX(p, LEAST));
	}
	c->top[0].data[0] = (real)(sum / (double)MOKA_MAX(num, 1));
	return MOKA_OK;
}

static enum moka_status loss_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka_shape *b = &l->bottom[0].shape;
	const int64_t num = b->d[0], dim = moka_shape_count_range(b, 1, b->n);
	const real scale = -moka__loss_weight(c) / (real)MOKA_MAX(num, 1);
	const struct moka__labels labels = { num, 1, dim, NULL, NULL };
	const int32_t *label = c->scratch;
	real *dx = c->bottom[0].diff;

	if (!dx)
		return MOKA_OK;
	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, NULL));
	moka_set(c->bottom[0].count, 0, dx);
	for (int64_t i = 0; i < num; i++) {
		real p = c->bottom[0].data[i * dim + label[i]];
		dx[i * dim + label[i]] = scale / MOKA_MAX(p, LEAST);
	}
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_multinomial_logistic_loss = {
	.schema = { "MultinomialLogisticLoss", NULL, 0, 0, NULL, "MULTINOMIAL_LOGISTIC_LOSS", 16, NULL },
	.doc = "classification loss of probabilities: -log of the label's",
	.min_bottom = 2,
	.max_bottom = 2,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = loss_shape,
	.forward = loss_forward,
	.backward = loss_backward,
};
