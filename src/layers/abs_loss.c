/*
 * AbsLoss (of several forks): the sum of |a - b|, divided by the batch.
 *
 *     bottoms  a, b (N, K...)     top  a number
 *
 * Where the two are equal the gradient is 0. The batches may be laid out differently, as long as an item has as many
 * values.
 */
#include "loss.h"

#include <tgmath.h>

static enum moka_status abs_shape(struct moka_layer *l, struct moka_findings *f)
{
	const int64_t n[2] = { moka_shape_count(&l->bottom[0].shape), moka_shape_count(&l->bottom[1].shape) };
	char text[2][MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	if (n[0] >= 0 && n[1] >= 0 && n[0] != n[1])
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1, "'%s' is %s and '%s' is %s: they must have as many values",
			l->bottom[0].name, moka_shape_text(&l->bottom[0].shape, text[0], sizeof(text[0])),
			l->bottom[1].name, moka_shape_text(&l->bottom[1].shape, text[1], sizeof(text[1])));
	l->scratch_bytes = moka__loss_sum_bytes(n[0], moka__loss_tile(1));
	return MOKA_OK;
}

struct abs_job {
	const real *a, *b;
	real *out;
	real scale;
};

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct abs_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++)
		sum += fabs((double)(j->a[i] - j->b[i]));
	return sum;
}

static enum moka_status abs_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct abs_job j = { c->bottom[0].data, c->bottom[1].data, NULL, 0 };
	const double sum = moka__loss_sum(c->pool, loss_part, &j, c->bottom[0].count, moka__loss_tile(1), c->scratch);

	c->top[0].data[0] = (real)(sum / (double)MOKA_MAX(l->bottom[0].shape.d[0], 1));
	return MOKA_OK;
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct abs_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->a[i] > j->b[i] ? j->scale : j->a[i] < j->b[i] ? -j->scale : 0;
}

static enum moka_status abs_backward(const struct moka_layer *l, struct moka_call *c)
{
	const real scale = moka__loss_weight(c) / (real)MOKA_MAX(l->bottom[0].shape.d[0], 1);

	for (int i = 0; i < 2; i++) {
		struct abs_job j = { c->bottom[0].data, c->bottom[1].data, c->bottom[i].diff, i ? -scale : scale };

		if (j.out)
			moka_parallel(c->pool, gradient_piece, &j, c->bottom[i].count, moka__loss_tile(1));
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_abs_loss = {
	.schema = { "AbsLoss", NULL, 0, 0, NULL, NULL, 0, "several forks" },
	.doc = "regression loss: the sum of absolute differences of two blobs, divided by the batch",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.shape = abs_shape, .forward = abs_forward, .backward = abs_backward,
};
/* clang-format on */
