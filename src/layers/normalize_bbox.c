/*
 * NormalizeBBox (OpenCV's early port of SSD): SSD's Normalize by another name, its settings in normalize_bbox_param. The
 * arithmetic is in normalize.c.
 */
#include "norm.h"

/* clang-format off */
const struct moka_layer_type moka_layer_normalize_bbox = {
	.schema = { "NormalizeBBox", "normalize_bbox_param", 206, 0, &moka__normalize_message, NULL, 0, "OpenCV" },
	.doc = "divides by the length of each item or place, and scales: SSD's Normalize by another name",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = moka__normalize_shape, .forward = moka__normalize_forward, .backward = moka__normalize_backward,
};
/* clang-format on */
