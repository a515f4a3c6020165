/*
 * BoxData (Intel, for YOLOv2): pictures of a database, and a list of boxes for each.
 *
 *     tops: pictures (batch, channels, height, width), then one or more of boxes (batch, 150)
 *
 * A picture has room for 30 boxes of 5 numbers: what it is, and where. How wide pictures are
 * only the data know, unless they are cut.
 */
#include "fork_data.h"

enum { BOXES = 30, NUMBERS = 5 };

static enum moka_status box_shape(struct moka_layer *l, struct moka_findings *f)
{
	int64_t batch;

	MOKA_TRY(moka__fork_batch(l, f, "data_param", &batch));
	l->top[0].shape = moka__fork_pictures(l, batch);
	for (int i = 1; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(2, batch, (int64_t)(BOXES * NUMBERS));
	return moka__fork_unread(l, f, "pictures with boxes, in the form of Intel's fork");
}

/* clang-format off */
const struct moka_layer_type moka_layer_box_data = {
	.schema = { "BoxData", NULL, 0, 0, NULL, NULL, 0, "Intel" },
	.doc = "pictures and up to 30 boxes of each, from a database; shaped, not run",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = -1,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = box_shape,
};
/* clang-format on */
