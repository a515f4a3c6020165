/*
 * DenseImageData (SegNet, ENet): pairs of pictures, the second a label for each pixel of the first, from a list of files.
 *
 *     tops: pictures (batch, channels, height, width), labels (batch, 1, height, width)
 *
 * The size is what both are cut to (transform_param's crop_size, or crop_height and crop_width), else new_height and new_width; without either
 * the first picture decides. ENet's encoder is trained on labels made smaller by label_divide_factor.
 */
#include "fork_data.h"

struct dense_param {
	const char *source, *mean_file, *root_folder;
	uint32_t batch_size, rand_skip, new_height, new_width, crop_width, crop_height, label_divide_factor;
	bool shuffle, is_color, mirror;
};

/* clang-format off */
#define P struct dense_param
static const struct moka_field dense_fields[] = {
	MOKA_F_STRING(P, source, 1, NULL, "text file that lists pictures and label pictures, a pair a line"),
	MOKA_F_UINT32(P, batch_size, 2, 1, "pairs in a batch"),
	MOKA_F_UINT32(P, rand_skip, 3, 0, "skip up to so many pairs at the start"),
	MOKA_F_BOOL(P, shuffle, 4, 0, "another order in every round"),
	MOKA_F_UINT32(P, new_height, 5, 0, "resize to this height; 0 leaves pictures as they are"),
	MOKA_F_UINT32(P, new_width, 6, 0, "resize to this width; 0 leaves pictures as they are"),
	MOKA_F_BOOL(P, is_color, 7, 1, "3 channels; else 1"),
	MOKA_F_STRING(P, mean_file, 8, NULL, "mean picture to take off"),
	MOKA_F_STRING(P, root_folder, 9, "", "put before each path of the list"),
	MOKA_F_BOOL(P, mirror, 10, 0, "flip left and right at random"),
	MOKA_F_UINT32(P, crop_width, 11, 0, "width cut out at random"),
	MOKA_F_UINT32(P, crop_height, 12, 0, "height cut out at random"),
	MOKA_F_UINT32(P, label_divide_factor, 13, 1, "labels are smaller by so much (ENet)"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message dense_message = { "DenseImageDataParameter", dense_fields,
						   sizeof(struct dense_param) };

static enum moka_status dense_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct dense_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size, crop = l->transform->crop_size;
	const bool cut = crop || (p->crop_height && p->crop_width);
	const int64_t h = crop ? crop : cut ? (int64_t)p->crop_height : p->new_height ? (int64_t)p->new_height : -1;
	const int64_t w = crop ? crop : cut ? (int64_t)p->crop_width : p->new_width ? (int64_t)p->new_width : -1;
	const int64_t less = cut ? 1 : p->label_divide_factor;

	if (batch < 1 || less < 1)
		return moka_layer_bad(l, f, "bad-setting", batch < 1 ? "batch_size" : "label_divide_factor",
				      "%s must be at least 1", batch < 1 ? "batch_size" : "label_divide_factor");
	if (!p->new_height != !p->new_width)
		return moka_layer_bad(l, f, "bad-setting", p->new_height ? "new_height" : "new_width",
				      "new_height and new_width go together: %s is missing",
				      p->new_height ? "new_width" : "new_height");
	l->top[0].shape = moka_shape_make(4, batch, (int64_t)(p->is_color ? 3 : 1), h, w);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(4, batch, (int64_t)1, h < 0 ? h : h / less, w < 0 ? w : w / less);
	return moka__fork_unread(l, f, "pairs of a picture and its labels");
}

/* clang-format off */
const struct moka_layer_type moka_layer_dense_image_data = {
	.schema = { "DenseImageData", "dense_image_data_param", 46, 0, &dense_message, NULL, 0, "SegNet, ENet" },
	.doc = "pictures with a label for each pixel, from a list of files; shaped, not run",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = dense_shape,
};
/* clang-format on */
