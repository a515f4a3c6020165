/*
 * DepthwiseConvolution: a Convolution whose groups are single channels, under the name that forks gave it.
 * Where `group` is not said, there is one group a channel; the arithmetic is Convolution's, which sees the
 * depthwise case itself.
 */
#include "conv.h"
#include "onnx.h"

static enum moka_status depthwise_shape(struct moka_layer *l, struct moka_findings *f)
{
	return moka__conv_shape(l, f, MOKA__CONV_DEPTHWISE);
}

/* clang-format off */
const struct moka_layer_type moka_layer_depthwise_convolution = {
	.schema = { "DepthwiseConvolution", "convolution_param", 106, 0, &moka__conv_message, NULL, 0, "several forks" },
	.doc = "convolves each channel by itself",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = -1,
	.flags = MOKA_SAME_BOTTOM_TOP | MOKA_PARTIAL,
	.shape = depthwise_shape, .forward = moka__conv_forward, .backward = moka__conv_backward,
	.onnx = moka__conv_onnx,
};
/* clang-format on */
