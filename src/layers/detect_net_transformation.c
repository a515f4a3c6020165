/*
 * DetectNetTransformation (NVIDIA): makes pictures and object lists of any size to what DetectNet learns from.
 *
 *     bottoms: pictures (batch, 3, height, width), labels (batch, ..., 16 numbers an object)
 *     tops:    pictures (batch, 3, image_size_y, image_size_x),
 *              grid (batch, 8 + classes, image_size_y / stride, image_size_x / stride)
 *
 * A cell of the grid holds: whether an object covers it, its box, its size, its weight, 8 numbers, and one for each class:
 * how much this class covers the cell. A class goes to the channel that object_class says, `dst`; a net that states none has one class.
 *
 * Shaped, not run: pictures are warped, recoloured and scaled at random by a library of computer vision, and whoever learns DetectNet
 * anew needs that library's very numbers. To run a trained one no such layer is needed: the published net has a Power layer there.
 */
#include "fork_data.h"

struct truth_param {
	uint32_t stride, max_cvg_len, min_cvg_len, image_size_x, image_size_y;
	float scale_cvg;
	int gridbox_type, coverage_type;
	bool obj_norm, crop_bboxes;
	struct moka_list object_class;
};

struct class_param {
	uint32_t src, dst;
};

enum { CELL_NUMBERS = 8 };

/* clang-format off */
#define P struct truth_param
static const struct moka_enum_value gridbox_values[] = { { "GRIDBOX_MAX", 0 }, { "GRIDBOX_MIN", 1 }, { NULL, 0 } };
static const struct moka_enum_value coverage_values[] = { { "RECTANGULAR", 0 }, { NULL, 0 } };
static const struct moka_field class_fields[] = {
	MOKA_F_UINT32(struct class_param, src, 1, 0, "number of the class in the labels"),
	MOKA_F_UINT32(struct class_param, dst, 2, 0, "channel of the grid, from 0"),
	MOKA_F_END
};
static const struct moka_message class_message = { "ClassMapping", class_fields, sizeof(struct class_param) };
static const struct moka_field truth_fields[] = {
	MOKA_F_UINT32(P, stride, 1, 4, "pixels of a cell"),
	MOKA_F_FLOAT(P, scale_cvg, 2, 0.5, "part of an object's box that covers cells"),
	MOKA_F_ENUM(P, gridbox_type, 3, gridbox_values, 0, "which bound the covered part has"),
	MOKA_F_UINT32(P, max_cvg_len, 4, 50, "largest side of the covered part (GRIDBOX_MAX)"),
	MOKA_F_UINT32(P, min_cvg_len, 5, 50, "smallest side of the covered part (GRIDBOX_MIN)"),
	MOKA_F_ENUM(P, coverage_type, 7, coverage_values, 0, "form of the covered part"),
	MOKA_F_UINT32(P, image_size_x, 8, 1248, "width of the pictures made"),
	MOKA_F_UINT32(P, image_size_y, 9, 384, "height of the pictures made"),
	MOKA_F_BOOL(P, obj_norm, 11, 0, "weigh cells by the size of their object"),
	MOKA_F_BOOL(P, crop_bboxes, 12, 1, "cut boxes at the border of the picture"),
	MOKA_F_REPMSG(P, object_class, 13, &class_message, "which classes are learnt"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message truth_message = { "DetectNetGroundTruthParameter", truth_fields,
						   sizeof(struct truth_param) };

/* One more than the largest channel that a class goes to; one where none is stated. */
static int64_t count_classes(const struct truth_param *p)
{
	int64_t n = 1;

	for (size_t i = 0; i < p->object_class.n; i++)
		n = MOKA_MAX(n, (int64_t)MOKA_LIST_AT(p->object_class, struct class_param *, i)->dst + 1);
	return n;
}

static enum moka_status detect_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct truth_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;

	if (p->stride < 1 || p->image_size_x < p->stride || p->image_size_y < p->stride)
		return moka_layer_bad(l, f, "bad-setting", "stride",
				      "a picture of %ux%u (image_size_x, image_size_y) has no cell of stride %u",
				      p->image_size_x, p->image_size_y, p->stride);
	if (count_classes(p) > 1 << 20)
		return moka_layer_bad(l, f, "bad-setting", "object_class", "%lld classes are too many",
				      (long long)count_classes(p));
	if (s->n >= 0 && (s->n != 4 || (s->d[1] >= 0 && s->d[1] != 3)))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0,
					     "'%s' must be pictures of 3 channels: batch, 3, height, width",
					     l->bottom[0].name);
	const int64_t batch = s->n < 0 ? -1 : s->d[0];
	l->top[0].shape = moka_shape_make(4, batch, (int64_t)3, (int64_t)p->image_size_y, (int64_t)p->image_size_x);
	l->top[1].shape =
		moka_shape_make(4, batch, CELL_NUMBERS + count_classes(p), (int64_t)(p->image_size_y / p->stride),
				(int64_t)(p->image_size_x / p->stride));
	return moka__fork_unread(l, f, "pictures warped and recoloured at random");
}

/* clang-format off */
const struct moka_layer_type moka_layer_detect_net_transformation = {
	.schema = { "DetectNetTransformation", "detectnet_groundtruth_param", 6801, 0, &truth_message, NULL, 0, "NVIDIA" },
	.doc = "pictures and objects as DetectNet learns from them; shaped, not run",
	.min_bottom = 2, .max_bottom = 2, .min_top = 2, .max_top = 2,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = detect_shape,
};
/* clang-format on */
