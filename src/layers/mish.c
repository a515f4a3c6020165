/*
 * Mish: y = x * tanh(log(1 + exp(x))).
 *
 * With e = exp(x) and n = e (e + 2), tanh(log(1 + e)) is n / (n + 2): one exp() and no cancellation. For large x it is
 * 1 in every precision and e might overflow, so there y is x. The derivative is
 * w + 4 x e (1 + e) / (n + 2)^2, with w the tanh.
 * BVLC Caffe has no such layer; the forks that run YOLOv4 do.
 */
#include "neuron.h"

#include <tgmath.h>

#define LARGE 20 /* tanh(log(1 + exp(20))) differs from 1 by less than 1e-17 */

static enum moka_status mish_shape(struct moka_layer *l, struct moka_findings *f)
{
	moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static void mish_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++) {
		const real x = j->x[i], e = exp(MOKA_MIN(x, (real)LARGE)), n = e * (e + 2);

		j->out[i] = x > LARGE ? x : x * (n / (n + 2));
	}
}

static enum moka_status mish_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, mish_range, NULL);
}

static void mish_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++) {
		const real x = j->x[i], e = exp(MOKA_MIN(x, (real)LARGE)), n = e * (e + 2), d = n + 2;

		j->out[i] = j->dy[i] * (x > LARGE ? 1 : n / d + 4 * x * e * (1 + e) / (d * d));
	}
}

static enum moka_status mish_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, mish_gradient_range, NULL);
}

/* clang-format off */
const struct moka_layer_type moka_layer_mish = {
	.schema = { "Mish", NULL, 0, 0, NULL, NULL, 0, "troyliu0105/caffe, synopsys-caffe" },
	.doc = "x * tanh(softplus(x)): a smooth activation that lets a little of the negative side through",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = mish_shape, .forward = mish_forward, .backward = mish_backward,
};
/* clang-format on */
