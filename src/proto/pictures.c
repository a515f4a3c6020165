/*
 * pictures.c - the field tables of what SSD's transform_param does to pictures: resize, noise, distort, expand, which boxes stay.
 */
#include "internal.h"

/* clang-format off */
#define ROW(name, num, kind, label, def, values, msg, help) { name, num, kind, label, MOKA_NOWHERE, def, NULL, values, msg, help, NULL }
#define ONE(name, num, kind, def, help) ROW(name, num, kind, MOKA_OPTIONAL, def, NULL, NULL, help)
#define MANY(name, num, kind, help) ROW(name, num, kind, MOKA_REPEATED, 0, NULL, NULL, help)
#define PICK(name, num, values, def, help) ROW(name, num, MOKA_ENUM, MOKA_OPTIONAL, def, values, NULL, help)

static const struct moka_enum_value resize_values[] = {
	{ "WARP", 1 }, { "FIT_SMALL_SIZE", 2 }, { "FIT_LARGE_SIZE_AND_PAD", 3 }, { NULL, 0 }
};
static const struct moka_enum_value pad_values[] = { { "CONSTANT", 1 }, { "MIRRORED", 2 }, { "REPEAT_NEAREST", 3 }, { NULL, 0 } };
static const struct moka_enum_value interp_values[] = {
	{ "LINEAR", 1 }, { "AREA", 2 }, { "NEAREST", 3 }, { "CUBIC", 4 }, { "LANCZOS4", 5 }, { NULL, 0 }
};
static const struct moka_field resize_fields[] = {
	ONE("prob", 1, MOKA_FLOAT, 1, "how often it is done"),
	PICK("resize_mode", 2, resize_values, 1, "how a picture is brought to height x width"),
	ONE("height", 3, MOKA_UINT32, 0, "height after"),
	ONE("width", 4, MOKA_UINT32, 0, "width after"),
	ONE("height_scale", 8, MOKA_UINT32, 0, "FIT_SMALL_SIZE: height of what was cut out"),
	ONE("width_scale", 9, MOKA_UINT32, 0, "FIT_SMALL_SIZE: width of what was cut out"),
	PICK("pad_mode", 5, pad_values, 1, "what fills the border"),
	MANY("pad_value", 6, MOKA_FLOAT, "CONSTANT: with what, one or one a channel"),
	ROW("interp_mode", 7, MOKA_ENUM, MOKA_REPEATED, 1, interp_values, NULL, "how values between pixels are found; one of them is drawn"),
	MOKA_F_END
};
const struct moka_message moka__picture_resize = { "ResizeParameter", resize_fields, 0 };

static const struct moka_field pepper_fields[] = {
	ONE("fraction", 1, MOKA_FLOAT, 0, "part of the pixels that are replaced"),
	MANY("value", 2, MOKA_FLOAT, "with what, one or one a channel"),
	MOKA_F_END
};
static const struct moka_message pepper = { "SaltPepperParameter", pepper_fields, 0 };

static const struct moka_field noise_fields[] = {
	ONE("prob", 1, MOKA_FLOAT, 0, "not used, as in SSD"),
	ONE("hist_eq", 2, MOKA_BOOL, 0, "spread the brightness evenly"),
	ONE("inverse", 3, MOKA_BOOL, 0, "255 minus each value"),
	ONE("decolorize", 4, MOKA_BOOL, 0, "grey in three channels"),
	ONE("gauss_blur", 5, MOKA_BOOL, 0, "smooth it"),
	ONE("jpeg", 6, MOKA_FLOAT, -1, "through a JPEG of this quality"),
	ONE("posterize", 7, MOKA_BOOL, 0, "four values a channel"),
	ONE("erode", 8, MOKA_BOOL, 0, "dark parts grow"),
	ONE("saltpepper", 9, MOKA_BOOL, 0, "replace some pixels"),
	ROW("saltpepper_param", 10, MOKA_MESSAGE, MOKA_OPTIONAL, 0, NULL, &pepper, "how many, by what"),
	ONE("clahe", 11, MOKA_BOOL, 0, "local contrast"),
	ONE("convert_to_hsv", 12, MOKA_BOOL, 0, "hue, saturation, value in place of colours"),
	ONE("convert_to_lab", 13, MOKA_BOOL, 0, "CIE L*a*b* in place of colours"),
	MOKA_F_END
};
const struct moka_message moka__picture_noise = { "NoiseParameter", noise_fields, 0 };

static const struct moka_field distort_fields[] = {
	ONE("brightness_prob", 1, MOKA_FLOAT, 0, "how often brightness changes"),
	ONE("brightness_delta", 2, MOKA_FLOAT, 0, "by how much at most"),
	ONE("contrast_prob", 3, MOKA_FLOAT, 0, "how often contrast changes"),
	ONE("contrast_lower", 4, MOKA_FLOAT, 0, "smallest factor"),
	ONE("contrast_upper", 5, MOKA_FLOAT, 0, "largest factor"),
	ONE("hue_prob", 6, MOKA_FLOAT, 0, "how often the hue changes"),
	ONE("hue_delta", 7, MOKA_FLOAT, 0, "by how much at most, in steps of 2 degrees"),
	ONE("saturation_prob", 8, MOKA_FLOAT, 0, "how often saturation changes"),
	ONE("saturation_lower", 9, MOKA_FLOAT, 0, "smallest factor"),
	ONE("saturation_upper", 10, MOKA_FLOAT, 0, "largest factor"),
	ONE("random_order_prob", 11, MOKA_FLOAT, 0, "how often the channels change places"),
	MOKA_F_END
};
const struct moka_message moka__picture_distort = { "DistortionParameter", distort_fields, 0 };

static const struct moka_field expand_fields[] = {
	ONE("prob", 1, MOKA_FLOAT, 1, "how often it is done"),
	ONE("max_expand_ratio", 2, MOKA_FLOAT, 1, "largest factor of height and width"),
	MOKA_F_END
};
const struct moka_message moka__picture_expand = { "ExpansionParameter", expand_fields, 0 };

static const struct moka_enum_value emit_values[] = { { "CENTER", 0 }, { "MIN_OVERLAP", 1 }, { NULL, 0 } };
static const struct moka_field emit_fields[] = {
	PICK("emit_type", 1, emit_values, 0, "an object stays with its centre, or with enough of it"),
	ONE("emit_overlap", 2, MOKA_FLOAT, 0, "MIN_OVERLAP: more than this part of it"),
	MOKA_F_END
};
const struct moka_message moka__picture_emit = { "EmitConstraint", emit_fields, 0 };
/* clang-format on */
