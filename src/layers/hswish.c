/*
 * HSwish: y = x * min(max(x + 3, 0), 6) / 6: what other forks call HardSwish.
 *
 * Backward reads the input, which is kept where the layer works in place.
 */
#include "neuron.h"

static enum moka_status hswish_shape(struct moka_layer *l, struct moka_findings *f)
{
	moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static void hswish_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->x[i] * MOKA_MIN(MOKA_MAX(j->x[i] + 3, (real)0), (real)6) / 6;
}

static enum moka_status hswish_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, hswish_range, NULL);
}

static void hswish_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++) {
		const real x = j->x[i];

		j->out[i] = j->dy[i] * (x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6);
	}
}

static enum moka_status hswish_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, hswish_gradient_range, NULL);
}

/* clang-format off */
const struct moka_layer_type moka_layer_hswish = {
	.schema = { "HSwish", NULL, 0, 0, NULL, NULL, 0, "aovoc/caffe" },
	.doc = "x * relu6(x + 3) / 6: Swish made of straight lines",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = hswish_shape, .forward = hswish_forward, .backward = hswish_backward,
};
/* clang-format on */
