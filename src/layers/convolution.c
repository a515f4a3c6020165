/*
 * Convolution: each output channel is the sum, over a window of every input channel of its group, of input
 * times weight.
 *
 *     bottom (..., C, in...)  weight (O, C / group, kernel...)  bias (O)  top (..., O, out...)
 *
 * The fields and the geometry are in conv_geometry.c, the arithmetic in conv_run.c, because Deconvolution and
 * the depthwise aliases need them too. Several bottoms are convolved with the same weights into as many tops.
 */
#include "conv.h"
#include "onnx.h"

static enum moka_status convolution_shape(struct moka_layer *l, struct moka_findings *f)
{
	return moka__conv_shape(l, f, MOKA__CONV);
}

/* clang-format off */
const struct moka_layer_type moka_layer_convolution = {
	.schema = { "Convolution", "convolution_param", 106, 10, &moka__conv_message, "CONVOLUTION", 4, NULL },
	.doc = "slides learned kernels over its input",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = -1,
	.flags = MOKA_SAME_BOTTOM_TOP | MOKA_PARTIAL,
	.shape = convolution_shape, .forward = moka__conv_forward, .backward = moka__conv_backward,
	.onnx = moka__conv_onnx,
	.lower = moka__conv_lower,
	.layout = moka__conv_layout, .fit = moka__conv_fit, .unfit = moka__conv_unfit,
};
/* clang-format on */
