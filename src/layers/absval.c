/*
 * AbsVal: y = |x|.
 *
 * In place the sign is gone when the gradient comes, so a copy of the input is kept (BVLC Caffe refuses in-place use).
 */
#include "neuron.h"
#include "onnx.h"

#include <tgmath.h>

static enum moka_status absval_shape(struct moka_layer *l, struct moka_findings *f)
{
	moka__neuron_keep(l);
	return moka_shape_same(l, f);
}

static void absval_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = fabs(j->x[i]);
}

static enum moka_status absval_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, absval_range, NULL);
}

/* The gradient at 0 is 0. */
static void absval_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * (real)((j->x[i] > 0) - (j->x[i] < 0));
}

static enum moka_status absval_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, absval_gradient_range, NULL);
}

static enum moka_status absval_onnx(struct moka_onnx *o)
{
	return moka_onnx_unary(o, "Abs");
}

const struct moka_layer_type moka_layer_absval = {
	.schema = { "AbsVal", NULL, 0, 0, NULL, "ABSVAL", 35, NULL },
	.doc = "takes the absolute value",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = absval_shape,
	.forward = absval_forward,
	.backward = absval_backward,
	.onnx = absval_onnx,
};
