/*
 * SigmoidCrossEntropyLoss: the sum of -t log(s) - (1 - t) log(1 - s), s = sigmoid(x), over all values, divided by the
 * batch (unless loss_param says otherwise): independent yes/no targets, or probabilities.
 *
 * Written as max(x, 0) - x t + log(1 + exp(-|x|)) it does not overflow. The gradient is s - t. A target whose whole part is
 * ignore_label counts for nothing.
 */
#include "loss.h"

#include <tgmath.h>

static enum moka_status loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	int64_t a = moka_shape_count(&l->bottom[0].shape), b = moka_shape_count(&l->bottom[1].shape);
	char text[2][MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	if (a >= 0 && b >= 0 && a != b)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"bottom '%s' is %s and bottom '%s' is %s: each of %lld values wants a target, there are %lld",
			l->bottom[0].name, moka_shape_text(&l->bottom[0].shape, text[0], sizeof(text[0])),
			l->bottom[1].name, moka_shape_text(&l->bottom[1].shape, text[1], sizeof(text[1])), (long long)a,
			(long long)b);
	l->scratch_bytes = moka__loss_sum_bytes(a, moka__loss_tile(1));
	return MOKA_OK;
}

struct loss_job {
	const real *x, *target;
	const int32_t *ignore;
	real *dx;
	real scale;
};

static bool ignored(const struct loss_job *j, int64_t i)
{
	real t = j->target[i];

	return j->ignore && fabs(t) < (real)2147483648.0 && (int32_t)t == *j->ignore;
}

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++) {
		real x = j->x[i];

		if (!ignored(j, i))
			sum += (double)((x > 0 ? x : 0) - x * j->target[i] + log1p(exp(-fabs(x))));
	}
	return sum;
}

static double valid_part(const void *arg, int64_t begin, int64_t end)
{
	int64_t n = 0;

	for (int64_t i = begin; i < end; i++)
		n += !ignored(arg, i);
	return (double)n;
}

/* BATCH_SIZE unless loss_param speaks: for this loss alone, for history's sake. */
static real normalizer(const struct moka_layer *l, const struct moka_call *c, const struct loss_job *j)
{
	const struct moka_shape *b = &l->bottom[0].shape;
	const bool stated =
		l->loss_sub && (moka_has(l->loss_sub, "normalization") || moka_has(l->loss_sub, "normalize"));
	int64_t valid;

	if (!stated)
		return (real)MOKA_MAX(b->d[0], 1);
	valid = (int64_t)moka__loss_sum(c->pool, valid_part, j, c->bottom[0].count, moka__loss_tile(1), c->scratch);
	return moka_loss_normalizer(l, b->d[0], moka_shape_count_range(b, 1, b->n), valid);
}

static struct loss_job loss_job(const struct moka_layer *l, const struct moka_call *c)
{
	return (struct loss_job){ c->bottom[0].data, c->bottom[1].data, moka__ignore_label(l), c->bottom[0].diff, 0 };
}

static enum moka_status loss_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct loss_job j = loss_job(l, c);
	double sum = moka__loss_sum(c->pool, loss_part, &j, c->bottom[0].count, moka__loss_tile(1), c->scratch);

	c->top[0].data[0] = (real)(sum / (double)normalizer(l, c, &j));
	return MOKA_OK;
}

static void loss_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;
	const real half = (real)0.5;

	for (int64_t i = begin; i < end; i++)
		j->dx[i] = ignored(j, i) ? 0 : (half * tanh(half * j->x[i]) + half - j->target[i]) * j->scale;
}

static enum moka_status loss_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct loss_job j = loss_job(l, c);

	if (!j.dx)
		return MOKA_OK;
	j.scale = moka__loss_weight(c) / normalizer(l, c, &j);
	moka_parallel(c->pool, loss_gradient_range, &j, c->bottom[0].count, moka__loss_tile(1));
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_sigmoid_cross_entropy_loss = {
	.schema = { "SigmoidCrossEntropyLoss", NULL, 0, 0, NULL, "SIGMOID_CROSS_ENTROPY_LOSS", 27, NULL },
	.doc = "loss of independent yes/no targets: cross entropy of the sigmoid of the scores",
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
