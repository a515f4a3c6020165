/*
 * Exp: y = base ^ (shift + scale * x), with base e where base is -1.
 *
 * Computed as outer * exp(inner * x), inner = scale * log(base) and outer = base ^ shift; then dy/dx is inner * y, which
 * works in place.
 */
#include "neuron.h"
#include "onnx.h"

#include <tgmath.h>

struct exp_param {
	float base, scale, shift;
};

/* clang-format off */
static const struct moka_field exp_fields[] = {
	MOKA_F_FLOAT(struct exp_param, base, 1, -1, "the base, greater than 0; -1 stands for e"),
	MOKA_F_FLOAT(struct exp_param, scale, 2, 1, "multiplies the input"),
	MOKA_F_FLOAT(struct exp_param, shift, 3, 0, "added to the scaled input"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message exp_message = { "ExpParameter", exp_fields, sizeof(struct exp_param) };

struct exp_set {
	real inner, outer;
};

static struct exp_set exp_set(const struct moka_layer *l)
{
	const struct exp_param *p = l->param;
	const bool natural = p->base == -1;
	struct exp_set s;

	s.inner = (natural ? 1 : log((real)p->base)) * (real)p->scale;
	s.outer = p->shift == 0 ? 1 : natural ? exp((real)p->shift) : pow((real)p->base, (real)p->shift);
	return s;
}

static enum moka_status exp_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct exp_param *p = l->param;

	MOKA_TRY(moka_shape_same(l, f));
	if (p->base != -1 && !(p->base > 0 && isfinite(p->base)))
		return moka_layer_bad(l, f, "bad-setting", "base", "base %g must be greater than 0, or -1 for e",
				      (double)p->base);
	return MOKA_OK;
}

static void exp_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct exp_set *s = j->set;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = s->outer * exp(s->inner * j->x[i]);
}

static enum moka_status exp_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct exp_set s = exp_set(l);

	return moka__neuron_forward(l, c, exp_range, &s);
}

static void exp_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct exp_set *s = j->set;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * j->y[i] * s->inner;
}

static enum moka_status exp_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct exp_set s = exp_set(l);

	return moka__neuron_backward(l, c, exp_gradient_range, &s);
}

static enum moka_status exp_onnx(struct moka_onnx *o)
{
	const struct exp_set s = exp_set(o->layer);
	const char *x = moka_onnx_mul(o, o->bottom[0], (double)s.inner),
		   *y = s.outer == 1 ? o->top[0] : moka_onnx_value(o);

	moka_onnx_node(o, "Exp", y, x, NULL);
	if (s.outer != 1)
		moka_onnx_node(o, "Mul", o->top[0], y, moka_onnx_number(o, (double)s.outer), NULL);
	return o->status;
}

const struct moka_layer_type moka_layer_exp = {
	.schema = { "Exp", "exp_param", 111, 41, &exp_message, "EXP", 38, NULL },
	.doc = "raises a base to the (scaled and shifted) input",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = exp_shape,
	.forward = exp_forward,
	.backward = exp_backward,
	.onnx = exp_onnx,
};
