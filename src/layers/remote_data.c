/*
 * RemoteData (a fork for many machines): batches that another program sends over the network, of the shapes that the file states.
 */
#include "shape_param.h"

#include "fork_data.h"

struct remote_param {
	const char *address;
	uint32_t cache_size;
	struct moka_list shape; /* const struct moka_shape_param * */
};

/* clang-format off */
static const struct moka_field remote_fields[] = {
	MOKA_F_STRING(struct remote_param, address, 1, NULL, "whom to ask: tcp://machine:port"),
	MOKA_F_UINT32(struct remote_param, cache_size, 2, 0, "batches kept ready"),
	MOKA_F_REPMSG(struct remote_param, shape, 3, &moka_blob_shape_message, "shape of the tops: one for each"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message remote_message = { "RemoteDataParameter", remote_fields, sizeof(struct remote_param) };

static enum moka_status remote_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct remote_param *p = l->param;

	if (p->shape.n && p->shape.n != (size_t)l->n_top)
		return moka_layer_bad(l, f, "bad-setting", "shape", "%zu shapes for %d tops; give one for each",
				      p->shape.n, l->n_top);
	moka_layer_unknown(l);
	for (int i = 0; p->shape.n && i < l->n_top; i++) {
		MOKA_TRY(moka__shape_from_param(l, f, "shape", MOKA_LIST_AT(p->shape, struct moka_shape_param *, i),
						&l->top[i].shape));
		if (l->batch > 0 && l->top[i].shape.n > 0)
			l->top[i].shape.d[0] = l->batch;
	}
	return moka__fork_unread(l, f, "batches that another program sends");
}

/* clang-format off */
/* The number of its message is our own: the fork's is not published. */
const struct moka_layer_type moka_layer_remote_data = {
	.schema = { "RemoteData", "remote_data_param", 903, 0, &remote_message, NULL, 0, "a fork for many machines" },
	.doc = "batches sent by another program; shaped, not run",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = -1,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = remote_shape,
};
/* clang-format on */
