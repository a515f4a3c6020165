/*
 * Region (caffe_yolo_v2): YOLOv2's grid made ready to be read: each box's numbers side by side, its objectness through a
 * sigmoid, its classes through a softmax where that is set. The place and the size of the box stay as the net gave them.
 *
 *     bottom (N, boxes * (coords + 1 + classes), H, W); top of the same shape, but its values in the order
 *     (N, H, W, boxes, coords + 1 + classes), as Darknet's region layer has them
 */
#include "layer.h"

#include <tgmath.h>

struct region_param {
	uint32_t classes, coords, boxes_of_each_grid;
	bool softmax;
	const char *anchors;
};

/* clang-format off */
#define P struct region_param
static const struct moka_field region_fields[] = {
	MOKA_F_UINT32(P, classes, 1, 20, "classes of a box"),
	MOKA_F_UINT32(P, coords, 2, 4, "numbers that say where a box is"),
	MOKA_F_UINT32(P, boxes_of_each_grid, 3, 5, "boxes of a cell"),
	MOKA_F_BOOL(P, softmax, 4, false, "classes through a softmax"),
	MOKA_F_STRING(P, anchors, 5, NULL, "widths and heights of the boxes, for whoever reads the top"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message region_message = { "RegionParameter", region_fields, sizeof(struct region_param) };

static enum moka_status region_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct region_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	const int64_t want =
		moka_layer_product(2, (int64_t[]){ p->boxes_of_each_grid, (int64_t)p->coords + 1 + p->classes });
	char text[MOKA_SHAPE_TEXT];

	l->top[0].shape = *s;
	if (p->boxes_of_each_grid < 1)
		return moka_layer_bad(l, f, "bad-setting", "boxes_of_each_grid",
				      "boxes_of_each_grid must be 1 or more");
	if (s->n >= 0 && (s->n != 4 || (s->d[1] >= 0 && s->d[1] != want)))
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 0,
			"'%s' is %s: %u boxes of %u + 1 + %u numbers take 4 axes and %lld channels", l->bottom[0].name,
			moka_shape_text(s, text, sizeof(text)), p->boxes_of_each_grid, p->coords, p->classes,
			(long long)want);
	return MOKA_OK;
}

struct region_job {
	const struct region_param *p;
	int64_t plane;
	const real *x;
	real *y;
};

/* Boxes of the top, numbered (N, H * W, boxes). */
static void region_piece(void *arg, int64_t begin, int64_t end)
{
	const struct region_job *j = arg;
	const int64_t boxes = j->p->boxes_of_each_grid, object = j->p->coords, size = object + 1 + j->p->classes;

	for (int64_t i = begin; i < end; i++) {
		const int64_t n = i / boxes / j->plane, cell = i / boxes % j->plane, b = i % boxes;
		const real *x = j->x + (n * boxes + b) * size * j->plane + cell;
		real *y = j->y + i * size, most, sum = 0;

		for (int64_t k = 0; k < size; k++)
			y[k] = x[k * j->plane];
		y[object] = 1 / (1 + exp(-y[object]));
		if (!j->p->softmax || !j->p->classes)
			continue;
		most = y[object + 1];
		for (int64_t k = object + 2; k < size; k++)
			most = MOKA_MAX(most, y[k]);
		for (int64_t k = object + 1; k < size; k++)
			sum += y[k] = exp(y[k] - most);
		for (int64_t k = object + 1; k < size; k++)
			y[k] /= sum;
	}
}

static enum moka_status region_forward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t *d = c->bottom[0].shape->d;
	struct region_job j = { l->param, d[2] * d[3], c->bottom[0].data, c->top[0].data };

	moka_parallel(c->pool, region_piece, &j, d[0] * j.plane * j.p->boxes_of_each_grid, 64);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_region = {
	.schema = { "Region", "region_param", 148, 0, &region_message, NULL, 0, "caffe_yolo_v2" },
	.doc = "YOLOv2's grid made ready to be read: a box's numbers side by side, as probabilities",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = region_shape, .forward = region_forward,
};
/* clang-format on */
