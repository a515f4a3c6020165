/*
 * PoolingND: Pooling for any number of axes under a name of its own (a fork for medical volumes). Its source isn't at hand: that its
 * fields mean what Pooling's mean follows from its nets, which are run by Pooling once they are trained.
 */
#include "pooling.h"

/* clang-format off */
const struct moka_layer_type moka_layer_pooling_nd = {
	.schema = { "PoolingND", "pooling_nd_param", 9047, 0, &moka__pooling_message, NULL, 0, "a fork for medical volumes" },
	.doc = "Pooling over any number of axes",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 2,
	.flags = MOKA_PARTIAL,
	.shape = moka__pooling_shape, .forward = moka__pooling_forward, .backward = moka__pooling_backward,
};
/* clang-format on */
