/*
 * XCovLoss (briancheung/caffe): how much two groups of features vary together over the batch: half the sum of squares of
 * their cross-covariance, C = (a - mean a)^T (b - mean b) / N.
 *
 *     bottoms  a (N, A...), b (N, B...)     top  a number
 *
 * Published in "Discovering Hidden Factors of Variation in Deep Networks" (Cheung and others, 2014). The state keeps the
 * centred a and b and the covariance.
 */
#include "loss.h"

struct xcov {
	int64_t n, a, b;
};

static enum moka_status xcov_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	struct xcov *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(moka__loss_shape(l, f));
	*v = (struct xcov){ a->n < 0 ? -1 : a->d[0], a->n < 0 ? -1 : moka_shape_count_range(a, 1, a->n),
			    b->n < 0 ? -1 : moka_shape_count_range(b, 1, b->n) };
	l->macs = moka_layer_product(3, (int64_t[]){ v->n, v->a, v->b });
	l->state_bytes = moka__loss_bytes(moka_layer_product(2, (int64_t[]){ v->n, v->a }), sizeof(real)) +
			 moka__loss_bytes(moka_layer_product(2, (int64_t[]){ v->n, v->b }), sizeof(real)) +
			 moka__loss_bytes(moka_layer_product(2, (int64_t[]){ v->a, v->b }), sizeof(real));
	return MOKA_OK;
}

struct parts {
	real *a, *b, *cov;
};

static struct parts parts_of(const struct xcov *v, void *state)
{
	char *p = state;
	struct parts s = { .a = state };

	s.b = (real *)(p += moka__loss_bytes(v->n * v->a, sizeof(real)));
	s.cov = (real *)(p + moka__loss_bytes(v->n * v->b, sizeof(real)));
	return s;
}

static void centre(int64_t n, int64_t k, const real *x, real *y)
{
	for (int64_t i = 0; i < k; i++) {
		double mean = 0;

		for (int64_t s = 0; s < n; s++)
			mean += (double)x[s * k + i];
		mean /= (double)n;
		for (int64_t s = 0; s < n; s++)
			y[s * k + i] = (real)((double)x[s * k + i] - mean);
	}
}

static enum moka_status xcov_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct xcov *v = l->priv;
	const struct parts s = parts_of(v, c->state);
	double sum = 0;

	if (v->n) {
		centre(v->n, v->a, c->bottom[0].data, s.a);
		centre(v->n, v->b, c->bottom[1].data, s.b);
		moka_gemm(c->pool, c->gemm, true, false, v->a, v->b, v->n, 1 / (real)v->n, s.a, v->a, s.b, v->b, 0,
			  s.cov, v->b);
		for (int64_t i = 0; i < v->a * v->b; i++)
			sum += (double)s.cov[i] * (double)s.cov[i];
	}
	c->top[0].data[0] = (real)(sum / 2);
	return MOKA_OK;
}

/* da = b C^T / N and db = a C / N, of the centred ones: what centring takes away is 0, as their columns add up to 0. */
static enum moka_status xcov_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct xcov *v = l->priv;
	const struct parts s = parts_of(v, c->state);
	const real scale = moka__loss_weight(c) / (real)MOKA_MAX(v->n, 1);

	if (c->bottom[0].diff)
		moka_gemm(c->pool, c->gemm, false, true, v->n, v->a, v->b, scale, s.b, v->b, s.cov, v->b, 0,
			  c->bottom[0].diff, v->a);
	if (c->bottom[1].diff)
		moka_gemm(c->pool, c->gemm, false, false, v->n, v->b, v->a, scale, s.a, v->a, s.cov, v->b, 0,
			  c->bottom[1].diff, v->b);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_xcov_loss = {
	.schema = { "XCovLoss", NULL, 0, 0, NULL, NULL, 0, "briancheung/caffe" },
	.doc = "half the sum of squares of the cross-covariance of two groups of features",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.shape = xcov_shape, .forward = xcov_forward, .backward = xcov_backward,
};
/* clang-format on */
