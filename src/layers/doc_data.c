/*
 * DocData (a fork for scanned documents): pictures of documents, and, where asked for, what is known of them.
 *
 *     tops: pictures (batch, channels, height, width), then facts
 *
 * The batch stands in data_param or in doc_data_param, the chain of changes to the pictures (resizing, linear maps, noise) in
 * image_transform_param, whose forms vary. Only the batch is sure.
 */
#include "fork_data.h"

static enum moka_status doc_shape(struct moka_layer *l, struct moka_findings *f)
{
	const bool own = l->msg && moka_has(l->msg, "doc_data_param") && !moka_has(l->msg, "data_param");
	int64_t batch;

	moka_layer_unknown(l);
	MOKA_TRY(moka__fork_batch(l, f, own ? "doc_data_param" : "data_param", &batch));
	l->top[0].shape = moka_shape_make(4, batch, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	return moka__fork_unread(l, f, "scanned documents, in a form of their own");
}

/* clang-format off */
const struct moka_layer_type moka_layer_doc_data = {
	.schema = { "DocData", NULL, 0, 0, NULL, NULL, 0, "a fork for scanned documents" },
	.doc = "pictures of documents from a database; shaped as far as its settings tell, not run",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = -1,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = doc_shape,
};
/* clang-format on */
