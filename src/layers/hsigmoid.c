/*
 * HSigmoid: y = min(max(x + 3, 0), 6) / 6, the piecewise stand-in for Sigmoid of MobileNetV3.
 *
 * Its slope is 1 / 6 where HardSigmoid (of other forks, and of ONNX) has 0.2: they are different functions.
 */
#include "neuron.h"

static enum moka_status hsigmoid_shape(struct moka_layer *l, struct moka_findings *f)
{
	moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static void hsigmoid_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = MOKA_MIN(MOKA_MAX(j->x[i] + 3, (real)0), (real)6) / 6;
}

static enum moka_status hsigmoid_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, hsigmoid_range, NULL);
}

static void hsigmoid_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++) {
		const real x = j->x[i];

		j->out[i] = j->dy[i] * (x > -3 && x < 3 ? (real)1 / 6 : 0);
	}
}

static enum moka_status hsigmoid_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, hsigmoid_gradient_range, NULL);
}

/* clang-format off */
const struct moka_layer_type moka_layer_hsigmoid = {
	.schema = { "HSigmoid", NULL, 0, 0, NULL, NULL, 0, "aovoc/caffe" },
	.doc = "relu6(x + 3) / 6: Sigmoid made of straight lines",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = hsigmoid_shape, .forward = hsigmoid_forward, .backward = hsigmoid_backward,
};
/* clang-format on */
