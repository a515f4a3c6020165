/*
 * EuclideanLoss: sum of (a - b)^2, divided by twice the batch. Both bottoms may take a gradient.
 */
#include "loss.h"

static enum moka_status loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	int64_t na, nb;
	char text[2][MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	na = moka_shape_count_range(a, 1, a->n);
	nb = moka_shape_count_range(b, 1, b->n);
	if (na >= 0 && nb >= 0 && na != nb)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"bottom '%s' is %s and bottom '%s' is %s: %lld values a sample against %lld", l->bottom[0].name,
			moka_shape_text(a, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(b, text[1], sizeof(text[1])), (long long)na, (long long)nb);
	l->scratch_bytes = moka__loss_sum_bytes(moka_shape_count(a), moka__loss_tile(1));
	return MOKA_OK;
}

struct loss_job {
	const real *a, *b;
	real *out;
	real scale;
};

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++) {
		double d = (double)(j->a[i] - j->b[i]);
		sum += d * d;
	}
	return sum;
}

static enum moka_status loss_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct loss_job j = { c->bottom[0].data, c->bottom[1].data, NULL, 0 };
	double sum = moka__loss_sum(c->pool, loss_part, &j, c->bottom[0].count, moka__loss_tile(1), c->scratch);

	c->top[0].data[0] = (real)(sum / (double)MOKA_MAX(l->bottom[0].shape.d[0], 1) / 2);
	return MOKA_OK;
}

static void loss_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->scale * (j->a[i] - j->b[i]);
}

static enum moka_status loss_backward(const struct moka_layer *l, struct moka_call *c)
{
	const real scale = moka__loss_weight(c) / (real)MOKA_MAX(l->bottom[0].shape.d[0], 1);

	for (int i = 0; i < 2; i++) {
		struct loss_job j = { c->bottom[0].data, c->bottom[1].data, c->bottom[i].diff, i ? -scale : scale };

		if (j.out)
			moka_parallel(c->pool, loss_gradient_range, &j, c->bottom[i].count, moka__loss_tile(1));
	}
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_euclidean_loss = {
	.schema = { "EuclideanLoss", NULL, 0, 0, NULL, "EUCLIDEAN_LOSS", 7, NULL },
	.doc = "regression loss: half the mean squared distance of two blobs",
	.min_bottom = 2,
	.max_bottom = 2,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.shape = loss_shape,
	.forward = loss_forward,
	.backward = loss_backward,
};
