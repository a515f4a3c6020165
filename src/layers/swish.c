/*
 * Swish: y = x * sigmoid(beta * x).
 *
 * With s = sigmoid(beta * x), dy/dx is s + beta * x * s * (1 - s). Backward reads the input; in place a copy is kept.
 */
#include "neuron.h"
#include "onnx.h"

#include <tgmath.h>

struct swish_param {
	float beta;
};

/* clang-format off */
static const struct moka_field swish_fields[] = {
	MOKA_F_FLOAT(struct swish_param, beta, 1, 1, "multiplies the input of the sigmoid"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message swish_message = { "SwishParameter", swish_fields, sizeof(struct swish_param) };

static enum moka_status swish_shape(struct moka_layer *l, struct moka_findings *f)
{
	moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static real sigmoid(real x)
{
	return (real)0.5 * tanh((real)0.5 * x) + (real)0.5;
}

static void swish_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real beta = (real)((const struct swish_param *)j->set)->beta;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->x[i] * sigmoid(beta * j->x[i]);
}

static enum moka_status swish_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, swish_range, l->param);
}

static void swish_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real beta = (real)((const struct swish_param *)j->set)->beta;

	for (int64_t i = begin; i < end; i++) {
		real s = sigmoid(beta * j->x[i]);
		j->out[i] = j->dy[i] * (s + beta * j->x[i] * s * (1 - s));
	}
}

static enum moka_status swish_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, swish_gradient_range, l->param);
}

static enum moka_status swish_onnx(struct moka_onnx *o)
{
	const struct swish_param *p = o->layer->param;
	const char *gate = moka_onnx_value(o);

	moka_onnx_node(o, "Sigmoid", gate, moka_onnx_mul(o, o->bottom[0], (double)p->beta), NULL);
	moka_onnx_node(o, "Mul", o->top[0], o->bottom[0], gate, NULL);
	return o->status;
}

const struct moka_layer_type moka_layer_swish = {
	.schema = { "Swish", "swish_param", 147, 0, &swish_message, NULL, 0, NULL },
	.doc = "x times the sigmoid of (scaled) x",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = swish_shape,
	.forward = swish_forward,
	.backward = swish_backward,
	.onnx = swish_onnx,
};
