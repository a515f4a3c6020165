/*
 * TanH: y = tanh(x).
 *
 * dy/dx is 1 - y * y: backward reads the output and works in place.
 */
#include "neuron.h"
#include "onnx.h"

/* clang-format off */
static const struct moka_field tanh_fields[] = { MOKA_F_ENGINE(1), MOKA_F_END };
static const struct moka_message tanh_message = { "TanHParameter", tanh_fields, 0 };

static void tanh_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	moka_tanh(end - begin, j->x + begin, j->out + begin);
}

static enum moka_status tanh_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, tanh_range, NULL);
}

static void tanh_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * (1 - j->y[i] * j->y[i]);
}

static enum moka_status tanh_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, tanh_gradient_range, NULL);
}

static enum moka_status tanh_onnx(struct moka_onnx *o)
{
	return moka_onnx_unary(o, "Tanh");
}

const struct moka_layer_type moka_layer_tanh = {
	.schema = { "TanH", "tanh_param", 127, 37, &tanh_message, "TANH", 23, NULL },
	.doc = "squeezes values into -1..1",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = moka_shape_same,
	.forward = tanh_forward,
	.backward = tanh_backward,
	.onnx = tanh_onnx,
};
/* clang-format on */
