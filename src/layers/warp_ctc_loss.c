/*
 * WarpCTCLoss: the CTC loss that other forks compute with Baidu's warp-ctc library. See ctc.h for what the bottoms may be.
 */
#include "ctc.h"

/* clang-format off */
const struct moka_layer_type moka_layer_warp_ctc_loss = {
	.schema = { "WarpCTCLoss", "ctc_loss_param", 159, 0, &moka__warp_ctc_message, NULL, 0, "caffe_ocr, CC4.0" },
	.doc = "loss of a sequence of scores against labels without times (CTC), with the fields of warp-ctc's layer",
	.min_bottom = 2, .max_bottom = 4, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1 | 1 << 2 | 1 << 3,
	.shape = moka__warp_ctc_shape, .forward = moka__ctc_forward, .backward = moka__ctc_backward,
};
/* clang-format on */
