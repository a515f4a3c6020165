/*
 * fork_data.c - batch and picture sizes of forks' data layers (fork_data.h).
 */
#include "fork_data.h"

enum moka_status moka__fork_batch(const struct moka_layer *l, struct moka_findings *f, const char *message,
				  int64_t *batch)
{
	const struct moka_msg *m = l->msg ? moka_get_msg(l->msg, message) : NULL;

	*batch = l->batch > 0 ? l->batch : m && moka_has(m, "batch_size") ? moka_get_int(m, "batch_size") : 0;
	if (*batch < 1)
		return moka_layer_bad(l, f, "bad-setting", NULL, "%s says no batch_size", message);
	return MOKA_OK;
}

int64_t moka__fork_transform(const struct moka_layer *l, const char *field, int64_t absent)
{
	const struct moka_msg *t = l->msg ? moka_get_msg(l->msg, "transform_param") : NULL;

	return t && moka_has(t, field) ? moka_get_int(t, field) : absent;
}

int64_t moka__fork_channels(const struct moka_layer *l)
{
	const int64_t means = (int64_t)l->transform->mean_value.n;

	return means > 1 ? means : l->transform->force_color ? 3 : l->transform->force_gray ? 1 : -1;
}

/* A side: cut to it, or resized to it. */
static int64_t side(const struct moka_layer *l, const char *crop, const char *resize)
{
	const struct moka_msg *t = l->msg ? moka_get_msg(l->msg, "transform_param") : NULL;
	const struct moka_msg *r = t ? moka_get_msg(t, "resize_param") : NULL;
	const int64_t cut = moka__fork_transform(l, crop, 0);

	if (l->transform->crop_size)
		return l->transform->crop_size;
	if (cut > 0)
		return cut;
	return r && moka_has(r, resize) && moka_get_int(r, resize) > 0 ? moka_get_int(r, resize) : -1;
}

struct moka_shape moka__fork_pictures(const struct moka_layer *l, int64_t batch)
{
	return moka_shape_make(4, batch, moka__fork_channels(l), side(l, "crop_h", "height"),
			       side(l, "crop_w", "width"));
}

enum moka_status moka__fork_unread(const struct moka_layer *l, struct moka_findings *f, const char *records)
{
	if (!l->for_run)
		return MOKA_OK;
	moka_layer_bad(l, f, "layer-not-runnable", NULL, "%s: Moka shapes and draws the layer, but does not read them",
		       records);
	moka_find_hint(f, "give its tops (moka run -i %s=FILE.npy), or put a Data or HDF5Data layer in its place",
		       l->n_top ? l->top[0].name : "data");
	return MOKA_ERR_UNSUPPORTED;
}
