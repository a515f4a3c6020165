/*
 * ReLU6: y = min(max(x, 0), 6), the bounded ReLU of the MobileNets.
 *
 * The output tells where the gradient passes, strictly between 0 and 6, so backward reads it and not the input.
 * BVLC Caffe has no such layer; MobileNet-YOLO and other forks do. They take a ReLUParameter and ignore it.
 */
#include "neuron.h"
#include "onnx.h"

static const struct moka_field relu6_fields[] = { { "negative_slope", 1, MOKA_FLOAT, MOKA_OPTIONAL, MOKA_NOWHERE, 0,
						    NULL, NULL, NULL, "read and ignored, as the forks do",
						    "MobileNet-YOLO" },
						  MOKA_F_ENGINE(2),
						  MOKA_F_END };
static const struct moka_message relu6_message = { "ReLUParameter", relu6_fields, 0 };

static void relu6_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = MOKA_MIN(MOKA_MAX(j->x[i], (real)0), (real)6);
}

static enum moka_status relu6_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, relu6_range, NULL);
}

static void relu6_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->y[i] > 0 && j->y[i] < 6 ? j->dy[i] : 0;
}

static enum moka_status relu6_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, relu6_gradient_range, NULL);
}

static enum moka_status relu6_onnx(struct moka_onnx *o)
{
	const char *low = moka_onnx_number(o, 0), *high = moka_onnx_number(o, 6);

	moka_onnx_node(o, "Clip", o->top[0], o->bottom[0], low, high, NULL);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_relu6 = {
	.schema = { "ReLU6", "relu6_param", 211, 61, &relu6_message, NULL, 0, "MobileNet-YOLO, openvinotoolkit and others" },
	.doc = "keeps values between 0 and 6, cuts off the rest",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = moka_shape_same, .forward = relu6_forward, .backward = relu6_backward,
	.onnx = relu6_onnx,
};
/* clang-format on */
