/*
 * Power: y = (shift + scale * x) ^ power.
 *
 * Where scale or power is 0 the output is a constant and no gradient flows. Backward reads the input (in place a
 * copy is kept) and computes power * scale * (shift + scale * x) ^ (power - 1): the quotient y / x, which
 * BVLC Caffe takes, is the same number except at 0, where it is not one.
 */
#include "neuron.h"
#include "onnx.h"

#include <tgmath.h>

struct power_param {
	float power, scale, shift;
};

/* clang-format off */
static const struct moka_field power_fields[] = {
	MOKA_F_FLOAT(struct power_param, power, 1, 1, "the exponent"),
	MOKA_F_FLOAT(struct power_param, scale, 2, 1, "multiplies the input"),
	MOKA_F_FLOAT(struct power_param, shift, 3, 0, "added to the scaled input"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message power_message = { "PowerParameter", power_fields, sizeof(struct power_param) };

static bool power_is_constant(const struct power_param *p)
{
	return p->power == 0 || p->scale == 0;
}

static enum moka_status power_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct power_param *p = l->param;

	if (p->power != 1 && !power_is_constant(p))
		moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static void power_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct power_param *p = j->set;
	const real power = (real)p->power, scale = (real)p->scale, shift = (real)p->shift;

	if (power_is_constant(p))
		moka_set(end - begin, power == 0 ? 1 : pow(shift, power), j->out + begin);
	else if (power == 1)
		for (int64_t i = begin; i < end; i++)
			j->out[i] = scale * j->x[i] + shift;
	else if (power == 2)
		for (int64_t i = begin; i < end; i++)
			j->out[i] = (scale * j->x[i] + shift) * (scale * j->x[i] + shift);
	else
		for (int64_t i = begin; i < end; i++)
			j->out[i] = pow(scale * j->x[i] + shift, power);
}

static enum moka_status power_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, power_range, l->param);
}

static void power_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct power_param *p = j->set;
	const real power = (real)p->power, scale = (real)p->scale, shift = (real)p->shift;

	if (power_is_constant(p))
		moka_set(end - begin, 0, j->out + begin);
	else if (power == 1)
		for (int64_t i = begin; i < end; i++)
			j->out[i] = scale * j->dy[i];
	else if (power == 2)
		for (int64_t i = begin; i < end; i++)
			j->out[i] = 2 * scale * (scale * j->x[i] + shift) * j->dy[i];
	else
		for (int64_t i = begin; i < end; i++)
			j->out[i] = power * scale * pow(scale * j->x[i] + shift, power - 1) * j->dy[i];
}

static enum moka_status power_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, power_gradient_range, l->param);
}

static enum moka_status power_onnx(struct moka_onnx *o)
{
	const struct power_param *p = o->layer->param;
	const char *x = moka_onnx_mul(o, o->bottom[0], (double)p->scale);

	x = moka_onnx_add(o, x, (double)p->shift);
	if (p->power == 1 && x == o->bottom[0])
		return moka_onnx_same(o, 0);
	if (p->power == 1)
		moka_onnx_node(o, "Identity", o->top[0], x, NULL);
	else
		moka_onnx_node(o, "Pow", o->top[0], x, moka_onnx_number(o, (double)p->power), NULL);
	return o->status;
}

const struct moka_layer_type moka_layer_power = {
	.schema = { "Power", "power_param", 122, 21, &power_message, "POWER", 26, NULL },
	.doc = "raises the (scaled and shifted) input to a power",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = power_shape,
	.forward = power_forward,
	.backward = power_backward,
	.onnx = power_onnx,
};
