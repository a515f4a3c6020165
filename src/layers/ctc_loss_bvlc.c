/*
 * CTCLoss: the CTC loss once proposed to BVLC Caffe; the last class is the blank unless told. See ctc.h for what the bottoms may be.
 */
#include "ctc.h"

struct ctc_loss_bvlc_param {
	int32_t blank_index;
};

/* clang-format off */
#define IGNORED(name, num, kind, def, help) { name, num, kind, MOKA_OPTIONAL, MOKA_NOWHERE, def, NULL, NULL, NULL, help, NULL }
static const struct moka_field ctc_loss_bvlc_fields[] = {
	IGNORED("output_delay", 1, MOKA_INT32, 0, "read and ignored, as by the warp-ctc library"),
	MOKA_F_INT32(struct ctc_loss_bvlc_param, blank_index, 2, -1, "the class that is blank; negative: the last"),
	IGNORED("preprocess_collapse_repeated", 3, MOKA_BOOL, 0, "read and ignored, as by the warp-ctc library"),
	IGNORED("ctc_merge_repeated", 4, MOKA_BOOL, 1, "read and ignored, as by the warp-ctc library"),
	IGNORED("loss_calculation_t", 5, MOKA_INT32, 0, "read and ignored, as by the warp-ctc library"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message ctc_loss_bvlc_message = { "CTCLossParameter", ctc_loss_bvlc_fields,
							   sizeof(struct ctc_loss_bvlc_param) };

static enum moka_status ctc_loss_bvlc_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct ctc_loss_bvlc_param *p = l->param;
	struct moka__ctc *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	*v = (struct moka__ctc){ .steps = -1, .blank = p->blank_index, .shift = 0 };
	return moka__ctc_shape(l, f, v);
}

/* clang-format off */
const struct moka_layer_type moka_layer_ctc_loss_bvlc = {
	.schema = { "CTCLoss", "ctc_loss_param", 159, 0, &ctc_loss_bvlc_message, NULL, 0, "ChWick/caffe" },
	.doc = "loss of a sequence of scores against labels without times (CTC), as once proposed to BVLC Caffe",
	.min_bottom = 3, .max_bottom = 4, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1 | 1 << 2 | 1 << 3,
	.shape = ctc_loss_bvlc_shape, .forward = moka__ctc_forward, .backward = moka__ctc_backward,
};
/* clang-format on */
