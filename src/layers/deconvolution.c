/*
 * Deconvolution: Convolution run backwards. Each input value is spread over a window of the output, times the
 * weights: its forward pass is a convolution's gradient and the other way round.
 *
 *     bottom (..., C, in...)  weight (C, O / group, kernel...)  bias (O)  top (..., O, out...)
 *     out = stride * (in - 1) + dilation * (kernel - 1) + 1 - 2 * pad
 */
#include "conv.h"
#include "onnx.h"

static enum moka_status deconvolution_shape(struct moka_layer *l, struct moka_findings *f)
{
	return moka__conv_shape(l, f, MOKA__CONV_TRANSPOSED);
}

/* clang-format off */
const struct moka_layer_type moka_layer_deconvolution = {
	.schema = { "Deconvolution", "convolution_param", 106, 10, &moka__conv_message, "DECONVOLUTION", 39, NULL },
	.doc = "a transposed convolution: spreads its input over a larger output",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = -1,
	.flags = MOKA_SAME_BOTTOM_TOP | MOKA_PARTIAL,
	.shape = deconvolution_shape, .forward = moka__deconv_forward, .backward = moka__deconv_backward,
	.onnx = moka__conv_onnx,
};
/* clang-format on */
