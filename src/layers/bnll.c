/*
 * BNLL: y = log(1 + exp(x)), a smooth ReLU (binomial normal log likelihood).
 *
 * Written as max(x, 0) + log1p(exp(-|x|)) nothing overflows. The gradient, the sigmoid of x, is 1 - exp(-y): backward
 * reads the output and works in place.
 */
#include "neuron.h"
#include "onnx.h"

#include <tgmath.h>

static void bnll_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++) {
		real x = j->x[i];
		j->out[i] = (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
	}
}

static enum moka_status bnll_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, bnll_range, NULL);
}

static void bnll_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * -expm1(-j->y[i]);
}

static enum moka_status bnll_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, bnll_gradient_range, NULL);
}

static enum moka_status bnll_onnx(struct moka_onnx *o)
{
	return moka_onnx_unary(o, "Softplus");
}

const struct moka_layer_type moka_layer_bnll = {
	.schema = { "BNLL", NULL, 0, 0, NULL, "BNLL", 2, NULL },
	.doc = "smooth ReLU: log(1 + exp(x))",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = moka_shape_same,
	.forward = bnll_forward,
	.backward = bnll_backward,
	.onnx = bnll_onnx,
};
