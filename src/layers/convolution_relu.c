/*
 * ConvolutionReLU (SkimCaffe): a Convolution and a ReLU in one layer. The fields are convolution_param's, the slope is
 * relu_param's. The fork computes forward only; backward here is ReLU's, then Convolution's.
 *
 * Scratch: the convolution's, then the gradient behind the ReLU.
 */
#include "conv.h"
#include "op.h"

static real slope_of(const struct moka_layer *l)
{
	const struct moka_msg *relu = l->msg ? moka_get_msg(l->msg, "relu_param") : NULL;

	return relu ? (real)moka_get_float(relu, "negative_slope") : 0;
}

static size_t aligned(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static enum moka_status conv_relu_shape(struct moka_layer *l, struct moka_findings *f)
{
	l->scratch_bytes = 0;
	if (!(slope_of(l) >= 0))
		return moka_layer_bad(
			l, f, "bad-setting", NULL,
			"relu_param's negative_slope is %g; below 0 the output would not tell the input's sign: write two layers",
			(double)slope_of(l));
	MOKA_TRY(moka__conv_shape(l, f, MOKA__CONV));
	l->scratch_bytes =
		aligned(l->scratch_bytes) + moka_layer_bytes(moka_shape_count(&l->top[0].shape), sizeof(real));
	return MOKA_OK;
}

struct relu_job {
	const real *y, *x;
	real *out;
	real slope;
};

/* out = x where y > 0, slope * x elsewhere: forward (y is x) and backward alike. */
static void relu_piece(void *arg, int64_t begin, int64_t end)
{
	const struct relu_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->y[i] > 0 ? j->x[i] : j->slope * j->x[i];
}

static enum moka_status conv_relu_forward(const struct moka_layer *l, struct moka_call *c)
{
	real *y = c->top[0].data;
	struct relu_job j = { y, y, y, slope_of(l) };

	MOKA_TRY(moka__conv_forward(l, c));
	moka_parallel(c->pool, relu_piece, &j, c->top[0].count, 16384);
	return MOKA_OK;
}

static enum moka_status conv_relu_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct moka_view top = c->top[0];
	struct moka_call behind = *c;
	struct relu_job j = { top.data, top.diff, (real *)c->scratch, slope_of(l) };

	if (!top.diff)
		return moka__conv_backward(l, c);
	j.out = (real *)(void *)((char *)c->scratch + l->scratch_bytes - moka_layer_bytes(top.count, sizeof(real)));
	moka_parallel(c->pool, relu_piece, &j, top.count, 16384);
	top.diff = j.out;
	behind.top = &top;
	return moka__conv_backward(l, &behind);
}

static bool conv_relu_lower(const struct moka_layer *l, struct moka_op *op)
{
	op->act = (struct moka_act){ .kind = MOKA_ACT_RELU, .slope = slope_of(l) };
	return moka__conv_lower(l, op);
}

/* clang-format off */
const struct moka_layer_type moka_layer_convolution_relu = {
	.schema = { "ConvolutionReLU", "convolution_param", 106, 0, &moka__conv_message, NULL, 0, "SkimCaffe, wenwei202/caffe" },
	.doc = "slides learned kernels over its input and cuts off negative results",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_READS_SIGN,
	.shape = conv_relu_shape, .forward = conv_relu_forward, .backward = conv_relu_backward, .lower = conv_relu_lower,
};
/* clang-format on */
