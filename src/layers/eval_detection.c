/*
 * EvalDetection (Intel, for YOLOv2): what a grid of cells found, judged against what is there.
 *
 *     bottoms: grid (batch, num_object (5 + num_class), side, side), objects (1, 1, rows, 8) as AnnotatedData gives them,
 *              and, where named, the pictures, which are not looked at
 *     top:     (batch, num_class + 4 side side num_object): for each class how many objects the picture has, then for each box
 *              that is left four numbers: class, score, right, wrong; the rest zeros
 *
 * A cell's box has x, y, w, h, an objectness and a value for each class: centre (cell + sigmoid) / side, size exp() times the box's
 * anchor (biases) / side, the class by softmax. The score is the objectness (OBJ), the probability (PROB) or their product. Boxes that
 * overlap a better one of any class by `nms` or more go, then those that score less than 0.005; a negative `nms` leaves none, as in the
 * original. A box is right where the object of its class that it overlaps most overlaps it by `threshold` and has not been found yet,
 * and wrong where that one was found already or the picture has none of the class. One that overlaps its class too little is neither:
 * the original leaves both at 0.
 */
#include "boxes.h"

#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

enum { OBJ, PROB, MULTIPLY };
enum { ROW = 8 };

struct eval_param {
	uint32_t side, num_class, num_object;
	float threshold, nms;
	bool sqrt, constriant;
	int score_type;
	struct moka_list biases; /* float */
};

/* clang-format off */
#define P struct eval_param
static const struct moka_enum_value score_values[] = { { "OBJ", OBJ }, { "PROB", PROB }, { "MULTIPLY", MULTIPLY }, { NULL, 0 } };
static const struct moka_field eval_fields[] = {
	MOKA_F_UINT32(P, side, 1, 7, "cells of a row"),
	MOKA_F_UINT32(P, num_class, 2, 20, "classes, without a background"),
	MOKA_F_UINT32(P, num_object, 3, 2, "boxes of a cell"),
	MOKA_F_FLOAT(P, threshold, 4, 0.5, "overlap with an object that makes a box right"),
	MOKA_F_BOOL(P, sqrt, 5, 1, "not read"),
	MOKA_F_BOOL(P, constriant, 6, 1, "not read"),
	MOKA_F_ENUM(P, score_type, 7, score_values, MULTIPLY, "what a box's score is"),
	MOKA_F_FLOAT(P, nms, 8, -1, "a box that overlaps a better one by so much is dropped; negative: all are"),
	MOKA_F_REP(P, biases, 9, MOKA_FLOAT, "anchors: width and height of each box, in cells"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message eval_message = { "EvalDetectionParameter", eval_fields, sizeof(struct eval_param) };

struct found {
	struct moka__box box;
	real score;
	int64_t label;
	int64_t place; /* ties go to the earlier one */
	bool dropped;
};

static enum moka_status eval_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct eval_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape, *o = &l->bottom[1].shape;
	const int64_t channels = (int64_t)p->num_object * (5 + (int64_t)p->num_class), side = p->side;

	if (side < 1 || p->num_class < 1 || p->num_object < 1 || side > 1 << 12 || p->num_class > 1 << 20 ||
	    p->num_object > 1 << 12)
		return moka_layer_bad(l, f, "bad-setting", NULL,
				      "side, num_class and num_object are %u, %u and %u: no such grid", p->side,
				      p->num_class, p->num_object);
	if (p->biases.n != 2 * (size_t)p->num_object)
		return moka_layer_bad(l, f, "bad-setting", "biases",
				      "there are %zu biases, and %u boxes need two each, width and height", p->biases.n,
				      p->num_object);
	if (s->n >= 0 && (s->n != 4 || (s->d[1] >= 0 && s->d[1] != channels) || (s->d[2] >= 0 && s->d[2] != side) ||
			  (s->d[3] >= 0 && s->d[3] != side)))
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 0,
			"'%s' must be a batch of %lldx%lldx%lld: num_object (5 + num_class), side, side",
			l->bottom[0].name, (long long)channels, (long long)side, (long long)side);
	if (o->n >= 1 && o->d[o->n - 1] >= 0 && o->d[o->n - 1] != ROW)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"'%s' must hold rows of 8 (image, class, instance, x1, y1, x2, y2, difficult)",
			l->bottom[1].name);
	l->top[0].shape = moka_shape_make(2, s->n < 0 ? (int64_t)-1 : s->d[0],
					  (int64_t)p->num_class + side * side * (int64_t)p->num_object * 4);
	l->scratch_bytes = moka_layer_bytes(side * side * (int64_t)p->num_object, sizeof(struct found));
	if (o->n >= 0 && moka_shape_known(o)) /* which objects are found already */
		l->scratch_bytes += moka_layer_bytes(moka_shape_count(o) / ROW, 1);
	return MOKA_OK;
}

static real sigmoid(real x)
{
	return 1 / (1 + exp(-x));
}

/* One box of one cell: x points at its first value, the next ones are `step` apart. */
static void read_box(const struct eval_param *p, const real *x, int64_t step, int64_t column, int64_t row, int64_t n,
		     struct found *out)
{
	const real side = (real)p->side;
	const real cx = ((real)column + sigmoid(x[0])) / side, cy = ((real)row + sigmoid(x[step])) / side;
	const real w = exp(x[2 * step]) * (real)MOKA_LIST_AT(p->biases, float, 2 * n) / side;
	const real h = exp(x[3 * step]) * (real)MOKA_LIST_AT(p->biases, float, 2 * n + 1) / side;
	const real *class = x + 5 * step;
	real sum = 0;

	out->label = 0;
	for (int64_t c = 1; c < p->num_class; c++)
		if (class[c * step] > class[out->label * step])
			out->label = c;
	for (int64_t c = 0; c < p->num_class; c++)
		sum += exp(class[c * step] - class[out->label * step]);
	out->score = (p->score_type == PROB ? 1 : sigmoid(x[4 * step])) * (p->score_type == OBJ ? 1 : 1 / sum);
	out->box = (struct moka__box){ cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2 };
	out->dropped = false;
}

static int better(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static int by_class(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->label != y->label ? (x->label < y->label ? -1 : 1) : better(a, b);
}

/* The boxes of one picture that count, by class and score; how many. */
static int64_t collect(const struct eval_param *p, const real *grid, struct found *out)
{
	const int64_t side = p->side, step = side * side, values = 5 + (int64_t)p->num_class;
	int64_t n = 0, kept = 0;

	for (int64_t cell = 0; p->nms >= 0 && cell < step; cell++)
		for (int64_t b = 0; b < p->num_object; b++, n++) {
			read_box(p, grid + b * values * step + cell, step, cell % side, cell / side, b, &out[n]);
			out[n].place = n;
		}
	qsort(out, (size_t)n, sizeof(*out), better);
	for (int64_t i = 0; i < n; i++) {
		for (int64_t k = i + 1; !out[i].dropped && k < n; k++)
			out[k].dropped |= moka__box_overlap(out[i].box, out[k].box, MOKA__BOX_NORMALISED) >= p->nms;
	}
	for (int64_t i = 0; i < n; i++)
		if (!out[i].dropped && !(out[i].score < (real)0.005))
			out[kept++] = out[i];
	qsort(out, (size_t)kept, sizeof(*out), by_class);
	return kept;
}

/* Right and wrong of one box, against the objects of its picture. */
static void judge(const struct eval_param *p, const struct found *b, const real *rows, int64_t n, int64_t image,
		  bool *taken, real *out)
{
	real most = -1;
	int64_t best = -1;

	out[0] = (real)b->label;
	out[1] = b->score;
	for (int64_t i = 0; i < n; i++) {
		const real *r = rows + i * ROW;

		if ((int64_t)r[0] != image || (int64_t)r[1] - 1 != b->label)
			continue;
		const real overlap =
			moka__box_overlap(b->box, (struct moka__box){ r[3], r[4], r[5], r[6] }, MOKA__BOX_NORMALISED);
		if (overlap > most) {
			most = overlap;
			best = i;
		}
	}
	out[2] = best >= 0 && most >= (real)p->threshold && !taken[best];
	out[3] = best < 0 || (most >= (real)p->threshold && taken[best]);
	if (out[2] > 0)
		taken[best] = true;
}

static enum moka_status count_objects(const struct moka_layer *l, struct moka_call *c, int64_t rows)
{
	const struct eval_param *p = l->param;
	const int64_t images = c->top[0].shape->d[0], length = c->top[0].shape->d[1];

	for (int64_t i = 0; i < rows; i++) {
		const real *r = c->bottom[1].data + i * ROW;

		if (r[0] == -1)
			continue;
		if (!(r[0] >= 0 && r[0] < (real)images))
			return moka_call_bad(l, c, MOKA_ERR_DATA, "object %lld is of image %g, and there are %lld",
					     (long long)i, (double)r[0], (long long)images);
		if (!(r[1] >= 1 && r[1] < (real)p->num_class + 1))
			return moka_call_bad(l, c, MOKA_ERR_DATA,
					     "object %lld of image %g is of class %g, and they go from 1 to %u",
					     (long long)i, (double)r[0], (double)r[1], p->num_class);
		c->top[0].data[(int64_t)r[0] * length + (int64_t)r[1] - 1] += 1;
	}
	return MOKA_OK;
}

static enum moka_status eval_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct eval_param *p = l->param;
	const int64_t images = c->top[0].shape->d[0], length = c->top[0].shape->d[1];
	const int64_t rows = c->bottom[1].count / ROW, room = (int64_t)p->side * p->side * p->num_object;
	struct found *found = c->scratch;
	bool *taken = (bool *)(found + room);

	moka_set(c->top[0].count, 0, c->top[0].data);
	memset(taken, 0, (size_t)rows);
	MOKA_TRY(count_objects(l, c, rows));
	for (int64_t i = 0; i < images; i++) {
		const int64_t n = collect(p, c->bottom[0].data + i * (c->bottom[0].count / images), found);
		real *out = c->top[0].data + i * length + p->num_class;

		for (int64_t k = 0; k < n; k++)
			judge(p, &found[k], c->bottom[1].data, rows, i, taken, out + 4 * k);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_eval_detection = {
	.schema = { "EvalDetection", "eval_detection_param", 301, 0, &eval_message, NULL, 0, "Intel" },
	.doc = "judges the boxes of YOLOv2's grid against the objects that are there",
	.min_bottom = 2, .max_bottom = 3, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = eval_shape, .forward = eval_forward,
};
/* clang-format on */
