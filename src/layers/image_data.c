/*
 * ImageData: images and labels from a list of image files.
 *
 * The size is crop_size where there is one, else new_height and new_width; without either the first image decides, and all
 * must have its size. Reading and transforming is the source's work (data/).
 */
#include "layer.h"

struct image_data_param {
	const char *source, *mean_file, *root_folder;
	float scale;
	uint32_t batch_size, crop_size, rand_skip, new_height, new_width;
	bool mirror, shuffle, is_color;
};

/* clang-format off */
static const struct moka_field image_data_fields[] = {
	MOKA_F_STRING(struct image_data_param, source, 1, NULL, "text file that lists images and labels, one a line"),
	MOKA_F_FLOAT(struct image_data_param, scale, 2, 1, "deprecated: transform_param's"),
	MOKA_F_STRING(struct image_data_param, mean_file, 3, NULL, "deprecated: transform_param's"),
	MOKA_F_UINT32(struct image_data_param, batch_size, 4, 1, "samples in a batch"),
	MOKA_F_UINT32(struct image_data_param, crop_size, 5, 0, "deprecated: transform_param's"),
	MOKA_F_BOOL(struct image_data_param, mirror, 6, 0, "deprecated: transform_param's"),
	MOKA_F_UINT32(struct image_data_param, rand_skip, 7, 0, "skip up to so many samples at the start"),
	MOKA_F_BOOL(struct image_data_param, shuffle, 8, 0, "another order in every round"),
	MOKA_F_UINT32(struct image_data_param, new_height, 9, 0, "resize to this height; 0 leaves images as they are"),
	MOKA_F_UINT32(struct image_data_param, new_width, 10, 0, "resize to this width; 0 leaves images as they are"),
	MOKA_F_BOOL(struct image_data_param, is_color, 11, 1, "3 channels; else 1"),
	MOKA_F_STRING(struct image_data_param, root_folder, 12, "", "put before each path of the list"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message image_data_message = { "ImageDataParameter", image_data_fields,
							sizeof(struct image_data_param) };

static enum moka_status image_data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct image_data_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size, crop = l->transform->crop_size;
	const int64_t height = crop ? crop : p->new_height ? (int64_t)p->new_height : -1;
	const int64_t width = crop ? crop : p->new_width ? (int64_t)p->new_width : -1;
	struct moka_error err = { 0 };

	l->top[0].shape = moka_shape_make(4, batch, (int64_t)(p->is_color ? 3 : 1), height, width);
	l->top[1].shape = moka_shape_make(1, batch);
	if (!p->source || !*p->source)
		return moka_layer_bad(l, f, "bad-setting", "source",
				      "image_data_param says no source, the file that lists the images");
	if (batch < 1)
		return moka_layer_bad(l, f, "bad-setting", "batch_size", "batch_size must be at least 1");
	if (!p->new_height != !p->new_width)
		return moka_layer_bad(l, f, "bad-setting", p->new_height ? "new_height" : "new_width",
				      "new_height and new_width go together: %s is missing",
				      p->new_height ? "new_width" : "new_height");
	MOKA_TRY(moka_layer_open_source(l, "IMAGES", p->source, batch, f));
	for (int i = 0; l->source && i < l->n_top; i++)
		if (l->source_ops->shape(l->source, i, &l->top[i].shape, &err))
			return moka_layer_bad(l, f, "bad-data", "source", "%s", err.message);
	if (l->source)
		l->rows = l->source_ops->rows(l->source);
	return MOKA_OK;
}

static enum moka_status image_data_forward(const struct moka_layer *l, struct moka_call *c)
{
	if (!l->source)
		return moka_call_bad(l, c, MOKA_ERR_DATA, "its list of images has not been opened");
	return l->source_ops->read(l->source, l->n_top, c->top, c->err);
}

const struct moka_layer_type moka_layer_image_data = {
	.schema = { "ImageData", "image_data_param", 115, 15, &image_data_message, "IMAGE_DATA", 12, NULL },
	.doc = "images and labels from a list of image files",
	.min_bottom = 0,
	.max_bottom = 0,
	.min_top = 2,
	.max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = image_data_shape,
	.forward = image_data_forward,
};
