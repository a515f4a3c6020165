/*
 * SmoothL1Loss (Fast R-CNN): half the square of small differences, large ones as they are; divided by the batch.
 *
 *     bottoms: predictions, targets, and maybe weights of the differences and weights of what they cost, all of one shape
 *
 * Fast R-CNN leaves the third bottom's weights out of the gradient's second factor, which makes no difference to
 * weights of 0 and 1, all it ever has; here the gradient is the derivative.
 */
#include "smooth_l1.h"

#include <tgmath.h>

struct smooth_l1_param {
	float sigma;
};

/* clang-format off */
static const struct moka_field smooth_l1_fields[] = {
	MOKA_F_FLOAT(struct smooth_l1_param, sigma, 1, 1, "differences below 1/sigma^2 count squared"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message smooth_l1_message = { "SmoothL1LossParameter", smooth_l1_fields,
						       sizeof(struct smooth_l1_param) };

enum moka_status moka__smooth_l1_shape(struct moka_layer *l, struct moka_findings *f)
{
	const int64_t n = moka_shape_count(&l->bottom[0].shape);
	char text[2][MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	for (int i = 1; i < l->n_bottom; i++) {
		const int64_t other = moka_shape_count(&l->bottom[i].shape);

		if (n >= 0 && other >= 0 && n != other)
			return moka_layer_bad_bottom(
				l, f, "shape-mismatch", i,
				"bottom '%s' is %s and bottom '%s' is %s: they must be of one shape", l->bottom[0].name,
				moka_shape_text(&l->bottom[0].shape, text[0], sizeof(text[0])), l->bottom[i].name,
				moka_shape_text(&l->bottom[i].shape, text[1], sizeof(text[1])));
	}
	l->scratch_bytes = moka__loss_sum_bytes(n, moka__loss_tile(1));
	return MOKA_OK;
}

struct smooth_job {
	const struct moka_call *c;
	int n_bottom;
	real sigma2, scale;
	real *out;
};

static real weighted(const struct moka_call *c, int n_bottom, int64_t i)
{
	const real d = c->bottom[0].data[i] - c->bottom[1].data[i];

	return n_bottom > 2 ? c->bottom[2].data[i] * d : d;
}

real moka__smooth_l1_at(const struct moka_call *c, int n_bottom, real sigma, int64_t i)
{
	const real s2 = sigma * sigma, d = fabs(weighted(c, n_bottom, i));
	const real v = d < 1 / s2 ? s2 * d * d / 2 : d - (real)0.5 / s2;

	return n_bottom > 3 ? c->bottom[3].data[i] * v : v;
}

static double smooth_part(const void *arg, int64_t begin, int64_t end)
{
	const struct smooth_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++)
		sum += (double)moka__smooth_l1_at(j->c, j->n_bottom, sqrt(j->sigma2), i);
	return sum;
}

void moka__smooth_l1_forward(const struct moka_layer *l, struct moka_call *c, real sigma, real divisor)
{
	const struct smooth_job j = { c, l->n_bottom, sigma * sigma, 0, NULL };

	c->top[0].data[0] =
		(real)(moka__loss_sum(c->pool, smooth_part, &j, c->bottom[0].count, moka__loss_tile(1), c->scratch) /
		       (double)divisor);
}

static void smooth_gradient(void *arg, int64_t begin, int64_t end)
{
	const struct smooth_job *j = arg;

	for (int64_t i = begin; i < end; i++) {
		const real d = weighted(j->c, j->n_bottom, i);
		real g = fabs(d) < 1 / j->sigma2 ? j->sigma2 * d : (real)((d > 0) - (d < 0));

		if (j->n_bottom > 2)
			g *= j->c->bottom[2].data[i];
		if (j->n_bottom > 3)
			g *= j->c->bottom[3].data[i];
		j->out[i] = j->scale * g;
	}
}

void moka__smooth_l1_backward(const struct moka_layer *l, struct moka_call *c, real sigma, real divisor)
{
	const real scale = moka__loss_weight(c) / divisor;

	for (int i = 0; i < 2; i++) {
		struct smooth_job j = { c, l->n_bottom, sigma * sigma, i ? -scale : scale, c->bottom[i].diff };

		if (j.out)
			moka_parallel(c->pool, smooth_gradient, &j, c->bottom[i].count, moka__loss_tile(1));
	}
}

static enum moka_status smooth_l1_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct smooth_l1_param *p = l->param;

	if (!(p->sigma > 0))
		return moka_layer_bad(l, f, "bad-setting", "sigma", "sigma is %g, and must be above 0",
				      (double)p->sigma);
	return moka__smooth_l1_shape(l, f);
}

static real batch(const struct moka_layer *l)
{
	return (real)MOKA_MAX(l->bottom[0].shape.d[0], 1);
}

static enum moka_status smooth_l1_forward(const struct moka_layer *l, struct moka_call *c)
{
	moka__smooth_l1_forward(l, c, (real)((const struct smooth_l1_param *)l->param)->sigma, batch(l));
	return MOKA_OK;
}

static enum moka_status smooth_l1_backward(const struct moka_layer *l, struct moka_call *c)
{
	moka__smooth_l1_backward(l, c, (real)((const struct smooth_l1_param *)l->param)->sigma, batch(l));
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_smooth_l1_loss = {
	.schema = { "SmoothL1Loss", "smooth_l1_loss_param", 8266712, 0, &smooth_l1_message, NULL, 0, "Fast R-CNN, SSD, Intel" },
	.doc = "regression loss: small differences squared, large ones as they are",
	.min_bottom = 2, .max_bottom = 4, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 2 | 1 << 3,
	.shape = smooth_l1_shape, .forward = smooth_l1_forward, .backward = smooth_l1_backward,
};
/* clang-format on */
