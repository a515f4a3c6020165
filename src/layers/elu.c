/*
 * ELU: y = x for x > 0, alpha * (exp(x) - 1) otherwise.
 *
 * dy/dx for x <= 0 is alpha * exp(x), which is y + alpha: backward reads y and needs no second exp(). For alpha >= 0
 * the output has the input's sign, which is all that in-place use needs; for a negative alpha a copy of
 * the input is kept.
 */
#include "neuron.h"
#include "onnx.h"

#include <tgmath.h>

struct elu_param {
	float alpha;
};

/* clang-format off */
static const struct moka_field elu_fields[] = {
	MOKA_F_FLOAT(struct elu_param, alpha, 1, 1, "-alpha is the limit at minus infinity"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message elu_message = { "ELUParameter", elu_fields, sizeof(struct elu_param) };

static enum moka_status elu_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct elu_param *p = l->param;

	if (p->alpha < 0)
		moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static void elu_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real alpha = (real)((const struct elu_param *)j->set)->alpha;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->x[i] > 0 ? j->x[i] : alpha * expm1(j->x[i]);
}

static enum moka_status elu_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, elu_range, l->param);
}

static void elu_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real alpha = (real)((const struct elu_param *)j->set)->alpha;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->x[i] > 0 ? j->dy[i] : j->dy[i] * (j->y[i] + alpha);
}

static enum moka_status elu_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, elu_gradient_range, l->param);
}

static enum moka_status elu_onnx(struct moka_onnx *o)
{
	const struct elu_param *p = o->layer->param;

	moka_onnx_float(o, moka_onnx_node(o, "Elu", o->top[0], o->bottom[0], NULL), "alpha", (double)p->alpha);
	return o->status;
}

const struct moka_layer_type moka_layer_elu = {
	.schema = { "ELU", "elu_param", 140, 0, &elu_message, NULL, 0, NULL },
	.doc = "exponential linear unit: keeps positive values, bends negative ones towards -alpha",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = elu_shape,
	.forward = elu_forward,
	.backward = elu_backward,
	.onnx = elu_onnx,
};
