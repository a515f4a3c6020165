/*
 * MTCNNData (MTCNN's training in C++): cut-out pictures of faces or number plates, what each shows, and its box.
 *
 *     tops: pictures (batch, channels, height, width), labels (batch), box offsets (batch, 4), and, where named, landmarks
 *
 * The batch stands in data_param. The size of pictures is the database's own unless crop_size cuts them; how many landmarks there are
 * only the data know.
 */
#include "fork_data.h"

static enum moka_status mtcnn_shape(struct moka_layer *l, struct moka_findings *f)
{
	int64_t batch;

	MOKA_TRY(moka__fork_batch(l, f, "data_param", &batch));
	l->top[0].shape = moka__fork_pictures(l, batch);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(1, batch);
	if (l->n_top > 2)
		l->top[2].shape = moka_shape_make(2, batch, (int64_t)4);
	if (l->n_top > 3)
		l->top[3].shape = moka_shape_make(2, batch, (int64_t)-1);
	return moka__fork_unread(l, f, "cut-out pictures with boxes, in the form of MTCNN's training");
}

/* clang-format off */
const struct moka_layer_type moka_layer_mtcnn_data = {
	.schema = { "MTCNNData", NULL, 0, 0, NULL, NULL, 0, "MTCNN" },
	.doc = "cut-out pictures, labels and box offsets from a database; shaped, not run",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 4,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = mtcnn_shape,
};
/* clang-format on */
