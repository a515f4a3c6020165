/*
 * Yolov3DetectionOutput (MobileNet-YOLO): objects out of YOLOv3's grids. As YoloDetectionOutput, but each class has a sigmoid of
 * its own, and each grid takes its anchors, which are in pixels, through `mask`.
 *
 *     bottoms: grids (N, num_box * (5 + num_classes), H, W), the coarsest first as a rule
 *     top:     (1, 1, rows, 7) as YoloDetectionOutput's
 *
 * Without mask the anchors are dealt out from the end, the largest to the first grid, as YOLOv3 has them.
 */
#include "yolo.h"

struct yolov3_param {
	uint32_t num_classes, num_box, mask_group_num;
	float confidence_threshold, nms_threshold;
	struct moka_list biases, anchors_scale, mask; /* float, uint32_t, uint32_t */
	bool gaussian_box;
};

/* clang-format off */
#define P struct yolov3_param
static const struct moka_field yolov3_fields[] = {
	MOKA_F_UINT32(P, num_classes, 1, 20, "classes, without a background"),
	MOKA_F_UINT32(P, num_box, 2, 3, "boxes of a cell"),
	MOKA_F_FLOAT(P, confidence_threshold, 3, 0.01, "boxes without a higher score are dropped"),
	MOKA_F_FLOAT(P, nms_threshold, 4, 0.45, "a box that overlaps a better one by so much is dropped"),
	MOKA_F_REP(P, biases, 5, MOKA_FLOAT, "anchors: widths and heights, in pixels of the net's input"),
	MOKA_F_REP(P, anchors_scale, 6, MOKA_UINT32, "of each bottom: pixels of the net's input for each cell"),
	MOKA_F_UINT32(P, mask_group_num, 7, 2, "how many bottoms mask is for"),
	MOKA_F_REP(P, mask, 8, MOKA_UINT32, "of each bottom in turn: its anchors, num_box of them"),
	MOKA_F_BOOL(P, gaussian_box, 9, false, "boxes with their uncertainty (Gaussian YOLOv3); not run"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message yolov3_message = { "Yolov3DetectionOutputParameter", yolov3_fields,
						    sizeof(struct yolov3_param) };

struct yolov3 {
	int64_t num, places;
	real *anchor; /* (bottoms, num_box, 2) */
};

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct yolov3_param *p = l->param;
	const size_t want = (size_t)l->n_bottom * p->num_box;

	if (p->gaussian_box)
		return moka_layer_bad(l, f, "bad-setting", "gaussian_box", "boxes of Gaussian YOLOv3 aren't read here");
	if (p->num_classes < 1 || p->num_box < 1 || p->num_box > 4096)
		return moka_layer_bad(l, f, "bad-setting", p->num_classes < 1 ? "num_classes" : "num_box",
				      "num_classes is %u and num_box %u; both must be 1 or more", p->num_classes,
				      p->num_box);
	if (p->anchors_scale.n != (size_t)l->n_bottom)
		return moka_layer_bad(l, f, "bad-setting", "anchors_scale",
				      "there are %zu anchors_scale, and each of the %d bottoms needs one",
				      p->anchors_scale.n, l->n_bottom);
	if (p->mask.n && p->mask.n != want)
		return moka_layer_bad(l, f, "bad-setting", "mask",
				      "mask has %zu numbers: %d bottoms with %u boxes need %zu", p->mask.n, l->n_bottom,
				      p->num_box, want);
	if (p->biases.n < 2 || p->biases.n % 2 || (!p->mask.n && p->biases.n < 2 * want))
		return moka_layer_bad(l, f, "bad-setting", "biases",
				      "there are %zu biases: a width and a height for each anchor, %zu anchors",
				      p->biases.n, want);
	for (size_t i = 0; i < p->mask.n; i++)
		if (MOKA_LIST_AT(p->mask, uint32_t, i) >= p->biases.n / 2)
			return moka_layer_bad(l, f, "bad-setting", "mask", "mask names anchor %u, and there are %zu",
					      MOKA_LIST_AT(p->mask, uint32_t, i), p->biases.n / 2);
	for (size_t i = 0; i < p->anchors_scale.n; i++)
		if (!MOKA_LIST_AT(p->anchors_scale, uint32_t, i))
			return moka_layer_bad(l, f, "bad-setting", "anchors_scale", "an anchors_scale is 0");
	return MOKA_OK;
}

static enum moka_status yolov3_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct yolov3_param *p = l->param;
	struct yolov3 *v = moka_layer_priv(l, sizeof(*v));
	const size_t n = (size_t)l->n_bottom * p->num_box;

	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(check_settings(l, f));
	if (!v->anchor)
		v->anchor = MOKA_NEWN(l->arena, 2 * n, real);
	if (!v->anchor)
		return MOKA_ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const size_t from_end = n - p->num_box * (i / p->num_box + 1) + i % p->num_box;
		const size_t at = p->mask.n ? MOKA_LIST_AT(p->mask, uint32_t, i) : p->biases.n / 2 - n + from_end;

		v->anchor[2 * i] = (real)MOKA_LIST_AT(p->biases, float, 2 * at);
		v->anchor[2 * i + 1] = (real)MOKA_LIST_AT(p->biases, float, 2 * at + 1);
	}
	return moka__yolo_shape(l, f, l->n_bottom, p->num_box, p->num_classes, &v->num, &v->places);
}

static enum moka_status yolov3_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct yolov3_param *p = l->param;
	const struct yolov3 *v = l->priv;
	struct moka__yolo_found o;
	int64_t first = 0;

	moka__yolo_lay_out(&o, v->num, v->places, c->scratch);
	for (int i = 0; i < l->n_bottom; i++) {
		const int64_t *d = c->bottom[i].shape->d;
		const real pixels = (real)MOKA_LIST_AT(p->anchors_scale, uint32_t, i);
		const struct moka__yolo_grid g = { .x = c->bottom[i].data,
						   .h = d[2],
						   .w = d[3],
						   .boxes = p->num_box,
						   .classes = p->num_classes,
						   .anchor = v->anchor + 2 * (size_t)i * p->num_box,
						   .unit_w = 1 / ((real)d[3] * pixels),
						   .unit_h = 1 / ((real)d[2] * pixels),
						   .threshold = (real)p->confidence_threshold };

		moka__yolo_collect(c->pool, &g, first, &o);
		first += d[2] * d[3] * g.boxes;
	}
	moka__yolo_rows(c->pool, &o, (real)p->nms_threshold, &c->top[0]);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_yolov3_detection_output = {
	.schema = { "Yolov3DetectionOutput", "yolov3_detection_output_param", 602, 0, &yolov3_message, NULL, 0, "MobileNet-YOLO" },
	.doc = "detected objects out of YOLOv3's grids",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = yolov3_shape, .forward = yolov3_forward,
};
/* clang-format on */
