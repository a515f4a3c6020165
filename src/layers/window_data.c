/*
 * WindowData: windows of images, object or background, from a window file (R-CNN). Drawing, cutting and warping is the source's
 * work (data/).
 */
#include "layer.h"

struct window_data_param {
	const char *source, *mean_file, *crop_mode, *root_folder;
	float scale, fg_threshold, bg_threshold, fg_fraction;
	uint32_t batch_size, crop_size, context_pad;
	bool mirror, cache_images;
};

/* clang-format off */
static const struct moka_field window_data_fields[] = {
	MOKA_F_STRING(struct window_data_param, source, 1, NULL, "the window file"),
	MOKA_F_FLOAT(struct window_data_param, scale, 2, 1, "deprecated: transform_param's"),
	MOKA_F_STRING(struct window_data_param, mean_file, 3, NULL, "deprecated: transform_param's"),
	MOKA_F_UINT32(struct window_data_param, batch_size, 4, 0, "windows in a batch"),
	MOKA_F_UINT32(struct window_data_param, crop_size, 5, 0, "deprecated: transform_param's"),
	MOKA_F_BOOL(struct window_data_param, mirror, 6, 0, "deprecated: transform_param's"),
	MOKA_F_FLOAT(struct window_data_param, fg_threshold, 7, 0.5, "a window that overlaps an object so much is one"),
	MOKA_F_FLOAT(struct window_data_param, bg_threshold, 8, 0.5, "a window that overlaps less is background"),
	MOKA_F_FLOAT(struct window_data_param, fg_fraction, 9, 0.25, "share of objects in a batch"),
	MOKA_F_UINT32(struct window_data_param, context_pad, 10, 0, "pixels of surroundings added to a window"),
	MOKA_F_STRING(struct window_data_param, crop_mode, 11, "warp", "\"warp\" or \"square\""),
	MOKA_F_BOOL(struct window_data_param, cache_images, 12, 0, "keep all images in memory"),
	MOKA_F_STRING(struct window_data_param, root_folder, 13, "", "put before each path of the window file"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message window_data_message = { "WindowDataParameter", window_data_fields,
							 sizeof(struct window_data_param) };

/* BVLC Caffe reads crop_size, mirror and the mean from transform_param, but the scale from here. */
static void say_ignored_scale(const struct moka_layer *l, struct moka_findings *f)
{
	if (l->transform->scale == 1 || !l->msg)
		return;
	moka_find(f, MOKA_WARNING, "ignored-scale", moka_msg_loc(l->msg),
		  "layer '%s' (WindowData): the scale of transform_param is not used here, as in BVLC Caffe", l->name);
	moka_find_hint(f, "say window_data_param { scale: %g }", (double)l->transform->scale);
}

static enum moka_status window_data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct window_data_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size, crop = l->transform->crop_size;
	const int64_t side = crop ? crop : -1;
	struct moka_error err = { 0 };

	l->top[0].shape = moka_shape_make(4, batch, (int64_t)-1, side, side);
	l->top[1].shape = moka_shape_make(1, batch);
	if (!p->source || !*p->source)
		return moka_layer_bad(l, f, "bad-setting", "source",
				      "window_data_param says no source, the window file");
	if (batch < 1)
		return moka_layer_bad(l, f, "bad-setting", "batch_size", "window_data_param says no batch_size");
	if (!crop)
		return moka_layer_bad(l, f, "bad-setting", NULL,
				      "windows are cut to one size: transform_param { crop_size: ... } is missing");
	if (2 * (int64_t)p->context_pad >= crop)
		return moka_layer_bad(l, f, "bad-setting", "context_pad",
				      "context_pad %u on each side leaves nothing of crop_size %lld", p->context_pad,
				      (long long)crop);
	say_ignored_scale(l, f);
	MOKA_TRY(moka_layer_open_source(l, "WINDOWS", p->source, batch, f));
	for (int i = 0; l->source && i < l->n_top; i++)
		if (l->source_ops->shape(l->source, i, &l->top[i].shape, &err))
			return moka_layer_bad(l, f, "bad-data", "source", "%s", err.message);
	if (l->source)
		l->rows = l->source_ops->rows(l->source);
	return MOKA_OK;
}

static enum moka_status window_data_forward(const struct moka_layer *l, struct moka_call *c)
{
	if (!l->source)
		return moka_call_bad(l, c, MOKA_ERR_DATA, "its window file has not been opened");
	return l->source_ops->read(l->source, l->n_top, c->top, c->err);
}

const struct moka_layer_type moka_layer_window_data = {
	.schema = { "WindowData", "window_data_param", 129, 20, &window_data_message, "WINDOW_DATA", 24, NULL },
	.doc = "object and background windows of images",
	.min_bottom = 0,
	.max_bottom = 0,
	.min_top = 2,
	.max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = window_data_shape,
	.forward = window_data_forward,
};
