/*
 * CtcLoss (crnn.caffe): CTC loss of scores (T, N, C) and labels (N, L), which blanks fill up. See ctc.h.
 */
#include "ctc.h"

struct ctc_loss_param {
	uint32_t alphabet_size, time_step;
	int32_t blank_label;
};

/* clang-format off */
#define P struct ctc_loss_param
static const struct moka_field ctc_loss_fields[] = {
	MOKA_F_UINT32(P, alphabet_size, 1, 0, "number of classes, the blank among them; that of the scores"),
	MOKA_F_UINT32(P, time_step, 3, 0, "steps that count, from the first; that of the scores, or fewer"),
	MOKA_F_INT32(P, blank_label, 4, 0, "the class that is blank; in the labels it is padding"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message ctc_loss_message = { "CtcLossParameter", ctc_loss_fields,
						      sizeof(struct ctc_loss_param) };

static enum moka_status ctc_loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct ctc_loss_param *p = l->param;
	struct moka__ctc *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	*v = (struct moka__ctc){ .steps = p->time_step, .blank = p->blank_label };
	if (!p->alphabet_size || !p->time_step)
		return moka_layer_bad(l, f, "missing-setting", p->time_step ? "alphabet_size" : "time_step",
				      "%s must be given, and at least 1", p->time_step ? "alphabet_size" : "time_step");
	if (p->blank_label < 0 || (uint32_t)p->blank_label >= p->alphabet_size)
		return moka_layer_bad(l, f, "bad-setting", "blank_label", "blank_label %d is not one of the %u classes",
				      p->blank_label, p->alphabet_size);
	MOKA_TRY(moka__ctc_shape(l, f, v));
	if (v->c >= 0 && v->c != p->alphabet_size)
		return moka_layer_bad(l, f, "shape-mismatch", "alphabet_size",
				      "alphabet_size is %u, and '%s' scores %lld classes", p->alphabet_size,
				      l->bottom[0].name, (long long)v->c);
	if (v->t >= 0 && v->steps > v->t)
		return moka_layer_bad(l, f, "shape-mismatch", "time_step", "time_step is %u, and '%s' has %lld steps",
				      p->time_step, l->bottom[0].name, (long long)v->t);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_ctc_loss = {
	.schema = { "CtcLoss", "ctc_loss_param", 200, 0, &ctc_loss_message, NULL, 0, "crnn.caffe, CC4.0" },
	.doc = "loss of a sequence of scores against labels without times (CTC)",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = ctc_loss_shape, .forward = moka__ctc_forward, .backward = moka__ctc_backward,
};
/* clang-format on */
