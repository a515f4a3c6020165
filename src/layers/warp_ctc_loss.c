/*
 * WarpCTCLoss: the CTC loss that other forks compute with Baidu's warp-ctc library. See ctc.h for what the bottoms may be.
 */
#include "ctc.h"

struct warp_ctc_loss_param {
	int32_t blank_index;
};

/* clang-format off */
#define IGNORED(name, num, kind, def, help) { name, num, kind, MOKA_OPTIONAL, MOKA_NOWHERE, def, NULL, NULL, NULL, help, NULL }
static const struct moka_field warp_ctc_loss_fields[] = {
	IGNORED("output_delay", 1, MOKA_INT32, 0, "read and ignored, as by the warp-ctc library"),
	MOKA_F_INT32(struct warp_ctc_loss_param, blank_index, 2, 0, "the class that is blank; negative: the last"),
	IGNORED("preprocess_collapse_repeated", 3, MOKA_BOOL, 0, "read and ignored, as by the warp-ctc library"),
	IGNORED("ctc_merge_repeated", 4, MOKA_BOOL, 1, "read and ignored, as by the warp-ctc library"),
	IGNORED("loss_calculation_t", 5, MOKA_INT32, 0, "read and ignored, as by the warp-ctc library"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message warp_ctc_loss_message = { "CTCLossParameter", warp_ctc_loss_fields,
							   sizeof(struct warp_ctc_loss_param) };

static enum moka_status warp_ctc_loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct warp_ctc_loss_param *p = l->param;
	struct moka__ctc *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	*v = (struct moka__ctc){ .steps = -1,
				 .blank = p->blank_index,
				 .shift = l->n_bottom == 3 && p->blank_index == 0 };
	return moka__ctc_shape(l, f, v);
}

/* clang-format off */
const struct moka_layer_type moka_layer_warp_ctc_loss = {
	.schema = { "WarpCTCLoss", "ctc_loss_param", 159, 0, &warp_ctc_loss_message, NULL, 0, "caffe_ocr, CC4.0" },
	.doc = "loss of a sequence of scores against labels without times (CTC), with the fields of warp-ctc's layer",
	.min_bottom = 2, .max_bottom = 4, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1 | 1 << 2 | 1 << 3,
	.shape = warp_ctc_loss_shape, .forward = moka__ctc_forward, .backward = moka__ctc_backward,
};
/* clang-format on */
