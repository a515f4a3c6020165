/*
 * SimpleCrop (a fork with an autoencoder for images): cuts rows from the bottom and columns from the right of its first
 * bottom, to the height and width of its second: Crop (crop.c) from axis 2 on, without offsets.
 *
 * An older form of the fork has one bottom, and takes the size from the blob that crop_param's blob_name names, wherever
 * that is in the net. Reading a net makes that blob the second bottom (proto/upgrade_bottoms.c); a layer sees bottoms only.
 */
#include "blocks.h"

#define P struct moka__crop_param
/* clang-format off */
static const struct moka_field simple_crop_fields[] = {
	{ "blob_name", 1, MOKA_STRING, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, "blob that gives the size, where there is no second bottom", NULL },
	{ "axis", 1001, MOKA_INT32, MOKA_OPTIONAL, (uint32_t)offsetof(P, axis), 2, NULL, NULL, NULL, "not of the fork: first axis that is cut", NULL },
	MOKA_F_END
};
static const struct moka_message simple_crop_message = { "SimpleCropParameter", simple_crop_fields, sizeof(P) };
/* clang-format on */
#undef P

static enum moka_status simple_crop_shape(struct moka_layer *l, struct moka_findings *f)
{
	if (l->n_bottom < 2)
		return moka_layer_bad(
			l, f, "bad-setting", "blob_name",
			"the blob that gives the size must be the second bottom, or be named by crop_param's blob_name");
	return moka__crop_shape(l, f);
}

/* clang-format off */
const struct moka_layer_type moka_layer_simple_crop = {
	.schema = { "SimpleCrop", "crop_param", 144, 0, &simple_crop_message, NULL, 0, "a fork of 2015" },
	.doc = "cuts the first bottom to the height and width of the second, from the top left on",
	.min_bottom = 1, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = simple_crop_shape, .forward = moka__crop_forward, .backward = moka__crop_backward,
};
/* clang-format on */
