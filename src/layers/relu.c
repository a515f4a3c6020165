/*
 * ReLU: y = x for x > 0, negative_slope * x otherwise.
 *
 * In place the input is gone when the gradient comes; for a slope >= 0 the output has the input's sign, so backward
 * may read either. For a negative slope a copy of the input is kept.
 */
#include "neuron.h"
#include "onnx.h"

struct relu_param {
	float negative_slope;
};

/* clang-format off */
static const struct moka_field relu_fields[] = { MOKA_F_FLOAT(struct relu_param, negative_slope, 1, 0,
							      "slope for negative values; 0 cuts them off"),
						 MOKA_F_ENGINE(2), MOKA_F_END };
static const struct moka_message relu_message = { "ReLUParameter", relu_fields, sizeof(struct relu_param) };

static enum moka_status relu_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct relu_param *p = l->param;

	if (p->negative_slope < 0)
		moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static void relu_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real slope = (real)((const struct relu_param *)j->set)->negative_slope;

	moka_relu(end - begin, slope, j->x + begin, j->out + begin);
}

static enum moka_status relu_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, relu_range, l->param);
}

static void relu_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real slope = (real)((const struct relu_param *)j->set)->negative_slope;

	moka_relu_gradient(end - begin, slope, j->x + begin, j->dy + begin, j->out + begin);
}

static enum moka_status relu_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, relu_gradient_range, l->param);
}

static enum moka_status relu_onnx(struct moka_onnx *o)
{
	const struct relu_param *p = o->layer->param;

	if (p->negative_slope == 0)
		return moka_onnx_unary(o, "Relu");
	moka_onnx_float(o, moka_onnx_node(o, "LeakyRelu", o->top[0], o->bottom[0], NULL), "alpha",
			(double)p->negative_slope);
	return o->status;
}

const struct moka_layer_type moka_layer_relu = {
	.schema = { "ReLU", "relu_param", 123, 30, &relu_message, "RELU", 18, NULL },
	.doc = "keeps positive values, cuts off (or scales) negative ones",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_SIGN | MOKA_KEEPS_SIGN,
	.shape = relu_shape,
	.forward = relu_forward,
	.backward = relu_backward,
	.onnx = relu_onnx,
};
/* clang-format on */
