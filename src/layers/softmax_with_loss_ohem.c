/*
 * SoftmaxWithLossOHEM (R-FCN): SoftmaxWithLoss with what each place costs as a third top, by which BoxAnnotatorOHEM picks the
 * hard ones. A place whose label is ignored costs 0.
 *
 *     tops: scalar, probabilities, costs (one for each label); only the first takes a gradient
 *
 * The arithmetic is in softmax_with_loss.c.
 */
#include "loss.h"

/* clang-format off */
const struct moka_layer_type moka_layer_softmax_with_loss_ohem = {
	.schema = { "SoftmaxWithLossOHEM", "softmax_param", 125, 0, &moka__softmax_message, NULL, 0, "R-FCN, Intel" },
	.doc = "SoftmaxWithLoss that also tells what each place costs",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 3,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = moka__softmax_loss_shape, .forward = moka__softmax_loss_forward, .backward = moka__softmax_loss_backward,
};
/* clang-format on */
