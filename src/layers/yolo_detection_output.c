/*
 * YoloDetectionOutput (MobileNet-YOLO): objects out of YOLOv2's grids: boxes of the cells, each with its best class, without those that
 * overlap a better one.
 *
 *     bottoms: one or more grids (N, num_box * (5 + num_classes), H, W), all with the same anchors; a last one of three
 *              channels is the picture, for forks that draw on it, and not used
 *     top:     (1, 1, rows, 7): image, label (from 1), score, x1, y1, x2, y2; zeros behind the last; where there is nothing
 *              at all one row of -1 for each image
 */
#include "yolo.h"

struct yolo_param {
	uint32_t side, num_classes, num_box, coords;
	float confidence_threshold, nms_threshold;
	struct moka_list biases; /* float */
	const char *label_map_file;
};

/* clang-format off */
#define P struct yolo_param
static const struct moka_field yolo_fields[] = {
	MOKA_F_UINT32(P, side, 1, 13, "cells of a row; the bottom's width counts instead"),
	MOKA_F_UINT32(P, num_classes, 2, 20, "classes, without a background"),
	MOKA_F_UINT32(P, num_box, 3, 5, "boxes of a cell"),
	MOKA_F_UINT32(P, coords, 4, 4, "numbers of a box; always 4"),
	MOKA_F_FLOAT(P, confidence_threshold, 5, 0.01, "boxes with a lower score are dropped"),
	MOKA_F_FLOAT(P, nms_threshold, 6, 0.45, "a box that overlaps a better one by so much is dropped"),
	MOKA_F_REP(P, biases, 7, MOKA_FLOAT, "anchors: width and height of each box, in cells"),
	MOKA_F_STRING(P, label_map_file, 8, NULL, "names of the labels; not read"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message yolo_message = { "YoloDetectionOutputParameter", yolo_fields,
						  sizeof(struct yolo_param) };

struct yolo {
	int64_t num, places;
	int grids; /* of the bottoms */
	real *anchor;
};

static enum moka_status yolo_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct yolo_param *p = l->param;
	struct yolo *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	if (p->num_classes < 1 || p->num_box < 1)
		return moka_layer_bad(l, f, "bad-setting", p->num_box < 1 ? "num_box" : "num_classes",
				      "num_classes and num_box must be 1 or more, and are %u and %u", p->num_classes,
				      p->num_box);
	if (p->coords != 4)
		return moka_layer_bad(l, f, "bad-setting", "coords", "coords is %u, and a box has 4", p->coords);
	if (p->biases.n != 2 * (size_t)p->num_box)
		return moka_layer_bad(l, f, "bad-setting", "biases",
				      "there are %zu biases, and %u boxes need two each, width and height", p->biases.n,
				      p->num_box);
	if (!v->anchor)
		v->anchor = MOKA_NEWN(l->arena, p->biases.n, real);
	if (!v->anchor)
		return MOKA_ERR_NOMEM;
	for (size_t i = 0; i < p->biases.n; i++)
		v->anchor[i] = (real)MOKA_LIST_AT(p->biases, float, i);
	v->grids = l->n_bottom;
	if (v->grids > 1 && l->bottom[v->grids - 1].shape.n == 4 && l->bottom[v->grids - 1].shape.d[1] == 3)
		v->grids--;
	return moka__yolo_shape(l, f, v->grids, p->num_box, p->num_classes, &v->num, &v->places);
}

static enum moka_status yolo_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct yolo_param *p = l->param;
	const struct yolo *v = l->priv;
	struct moka__yolo_found o;
	int64_t first = 0;

	moka__yolo_lay_out(&o, v->num, v->places, c->scratch);
	for (int i = 0; i < v->grids; i++) {
		const int64_t *d = c->bottom[i].shape->d;
		const struct moka__yolo_grid g = { .x = c->bottom[i].data,
						   .h = d[2],
						   .w = d[3],
						   .boxes = p->num_box,
						   .classes = p->num_classes,
						   .anchor = v->anchor,
						   .unit_w = 1 / (real)d[3],
						   .unit_h = 1 / (real)d[2],
						   .softmax = true,
						   .threshold = (real)p->confidence_threshold,
						   .inclusive = true };

		moka__yolo_collect(c->pool, &g, first, &o);
		first += d[2] * d[3] * g.boxes;
	}
	moka__yolo_rows(c->pool, &o, (real)p->nms_threshold, &c->top[0]);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_yolo_detection_output = {
	.schema = { "YoloDetectionOutput", "yolo_detection_output_param", 601, 0, &yolo_message, NULL, 0, "MobileNet-YOLO" },
	.doc = "detected objects out of YOLOv2's grids",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = yolo_shape, .forward = yolo_forward,
};
/* clang-format on */
