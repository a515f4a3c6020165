/*
 * LocalWeightedConvolution: Local under the name that it first had in a fork of the V1 days, LOCAL_WEIGHTED_CONVOLUTION.
 * There the bias is one number for each output channel: (1, 1, 1, O).
 *
 * The number that fork gave it in the V1 enum isn't known; binary models of it can't be told by number.
 */
#include "local.h"

static enum moka_status local_weighted_shape(struct moka_layer *l, struct moka_findings *f)
{
	return moka__local_shape(l, f, false);
}

/* clang-format off */
const struct moka_layer_type moka_layer_local_weighted_convolution = {
	.schema = { "LocalWeightedConvolution", "local_weighted_convolution_param", 9041, 9041, &moka__local_message,
		    "LOCAL_WEIGHTED_CONVOLUTION", 9041, "an early fork with LOCAL_WEIGHTED_CONVOLUTION" },
	.doc = "a convolution with a kernel of its own at every place, as Local, and one bias for each channel",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = local_weighted_shape, .forward = moka__local_forward, .backward = moka__local_backward,
};
/* clang-format on */
