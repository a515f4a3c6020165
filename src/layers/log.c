/*
 * Log: y = log_base(shift + scale * x), with base e where base is -1.
 *
 * Backward reads the input; in place a copy of it is kept.
 */
#include "neuron.h"
#include "onnx.h"

#include <tgmath.h>

struct log_param {
	float base, scale, shift;
};

/* clang-format off */
static const struct moka_field log_fields[] = {
	MOKA_F_FLOAT(struct log_param, base, 1, -1, "the base, greater than 0 and not 1; -1 stands for e"),
	MOKA_F_FLOAT(struct log_param, scale, 2, 1, "multiplies the input"),
	MOKA_F_FLOAT(struct log_param, shift, 3, 0, "added to the scaled input"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message log_message = { "LogParameter", log_fields, sizeof(struct log_param) };

struct log_set {
	real scale, shift, over; /* over: 1 / log(base) */
};

static struct log_set log_set(const struct moka_layer *l)
{
	const struct log_param *p = l->param;
	struct log_set s = { (real)p->scale, (real)p->shift, 1 };

	if (p->base != -1)
		s.over = 1 / log((real)p->base);
	return s;
}

static enum moka_status log_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct log_param *p = l->param;

	MOKA_TRY(moka_shape_same(l, f));
	if (p->base != -1 && !(p->base > 0 && p->base != 1 && isfinite(p->base)))
		return moka_layer_bad(l, f, "bad-setting", "base",
				      "base %g must be greater than 0 and not 1, or -1 for e", (double)p->base);
	moka__neuron_keep(l);
	return MOKA_OK;
}

static void log_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct log_set *s = j->set;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = log(s->scale * j->x[i] + s->shift) * s->over;
}

static enum moka_status log_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct log_set s = log_set(l);

	return moka__neuron_forward(l, c, log_range, &s);
}

static void log_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct log_set *s = j->set;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * (s->scale * s->over) / (s->scale * j->x[i] + s->shift);
}

static enum moka_status log_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct log_set s = log_set(l);

	return moka__neuron_backward(l, c, log_gradient_range, &s);
}

static enum moka_status log_onnx(struct moka_onnx *o)
{
	const struct log_set s = log_set(o->layer);
	const char *x = moka_onnx_mul(o, o->bottom[0], (double)s.scale),
		   *y = s.over == 1 ? o->top[0] : moka_onnx_value(o);

	moka_onnx_node(o, "Log", y, moka_onnx_add(o, x, (double)s.shift), NULL);
	if (s.over != 1)
		moka_onnx_node(o, "Mul", o->top[0], y, moka_onnx_number(o, (double)s.over), NULL);
	return o->status;
}

const struct moka_layer_type moka_layer_log = {
	.schema = { "Log", "log_param", 134, 0, &log_message, NULL, 0, NULL },
	.doc = "logarithm of the (scaled and shifted) input",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = log_shape,
	.forward = log_forward,
	.backward = log_backward,
	.onnx = log_onnx,
};
