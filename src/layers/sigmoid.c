/*
 * Sigmoid: y = 1 / (1 + exp(-x)), computed as tanh(x / 2) / 2 + 1 / 2, which does not overflow.
 *
 * dy/dx is y (1 - y): backward reads the output and works in place.
 */
#include "neuron.h"
#include "onnx.h"

/* clang-format off */
static const struct moka_field sigmoid_fields[] = { MOKA_F_ENGINE(1), MOKA_F_END };
static const struct moka_message sigmoid_message = { "SigmoidParameter", sigmoid_fields, 0 };

static void sigmoid_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	moka_sigmoid(end - begin, j->x + begin, j->out + begin);
}

static enum moka_status sigmoid_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, sigmoid_range, NULL);
}

static void sigmoid_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * j->y[i] * (1 - j->y[i]);
}

static enum moka_status sigmoid_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, sigmoid_gradient_range, NULL);
}

static enum moka_status sigmoid_onnx(struct moka_onnx *o)
{
	return moka_onnx_unary(o, "Sigmoid");
}

const struct moka_layer_type moka_layer_sigmoid = {
	.schema = { "Sigmoid", "sigmoid_param", 124, 38, &sigmoid_message, "SIGMOID", 19, NULL },
	.doc = "squeezes values into 0..1",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = moka_shape_same,
	.forward = sigmoid_forward,
	.backward = sigmoid_backward,
	.onnx = sigmoid_onnx,
};
/* clang-format on */
