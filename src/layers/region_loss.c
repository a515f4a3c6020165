/*
 * RegionLoss (Intel): trains YOLOv2's grid. Each object is given to the anchor of its cell whose form is nearest; the box of that anchor
 * is drawn towards it, its objectness towards 1, its classes towards the object's; the objectness of all others towards
 * 0, unless their box lies well on some object.
 *
 *     bottoms: grid (N, num * (coords + 1 + num_class), H, W), objects (1, 1, rows, 8): image, label (from 1), instance, x1,
 *              y1, x2, y2, difficult, as parts of the picture; an image of -1: none
 *     top:     scalar, the sum of the squares of all deltas
 *
 * As in Darknet the deltas are the gradient (divided by the batch), and the value of the top is only to be looked at: it is
 * not what they are the derivative of. The state keeps them. A tree of classes (softmax_tree, class_map) is not read.
 */
#include "boxes.h"
#include "loss.h"

#include <tgmath.h>

struct region_loss_param {
	uint32_t side, num_class, bias_match, coords, num, softmax, rescore, absolute, random;
	float jitter, object_scale, class_scale, noobject_scale, coord_scale, thresh;
	struct moka_list biases; /* float */
	const char *softmax_tree, *class_map;
};

/* clang-format off */
#define P struct region_loss_param
static const struct moka_field region_loss_fields[] = {
	MOKA_F_UINT32(P, side, 1, 13, "cells of a row; the bottom's own size counts instead"),
	MOKA_F_UINT32(P, num_class, 2, 20, "classes, without a background"),
	MOKA_F_UINT32(P, bias_match, 3, 1, "objects are matched to the anchors; 0: to the boxes made of them"),
	MOKA_F_UINT32(P, coords, 4, 4, "numbers of a box; always 4"),
	MOKA_F_UINT32(P, num, 5, 5, "boxes of a cell"),
	MOKA_F_UINT32(P, softmax, 6, 1, "classes exclude each other; always so"),
	MOKA_F_FLOAT(P, jitter, 7, 0.2, "Darknet's; not used"),
	MOKA_F_UINT32(P, rescore, 8, 1, "Darknet's; not used"),
	MOKA_F_FLOAT(P, object_scale, 9, 1, "weight of objectness where there is an object"),
	MOKA_F_FLOAT(P, class_scale, 10, 1, "weight of the classes"),
	MOKA_F_FLOAT(P, noobject_scale, 11, 0.5, "weight of objectness where there is none"),
	MOKA_F_FLOAT(P, coord_scale, 12, 5, "weight of the boxes"),
	MOKA_F_UINT32(P, absolute, 13, 1, "Darknet's; not used"),
	MOKA_F_FLOAT(P, thresh, 14, 0.2, "a box that overlaps an object by more may say that it is one"),
	MOKA_F_UINT32(P, random, 15, 1, "Darknet's; not used"),
	MOKA_F_REP(P, biases, 16, MOKA_FLOAT, "anchors: width and height of each box, in cells"),
	MOKA_F_STRING(P, softmax_tree, 17, NULL, "file of a tree of classes; not read"),
	MOKA_F_STRING(P, class_map, 18, NULL, "file that renames classes; not read"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message region_loss_message = { "RegionLossParameter", region_loss_fields,
							 sizeof(struct region_loss_param) };

struct region_loss {
	int64_t num, h, w, objects;
};

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct region_loss_param *p = l->param;

	if ((p->softmax_tree && *p->softmax_tree) || (p->class_map && *p->class_map))
		return moka_layer_bad(l, f, "not-supported", p->softmax_tree ? "softmax_tree" : "class_map",
				      "trees of classes and renamed classes aren't read");
	if (p->num < 1 || p->num_class < 1 || p->coords != 4)
		return moka_layer_bad(
			l, f, "bad-setting",
			p->num < 1	 ? "num"
			: p->coords != 4 ? "coords"
					 : "num_class",
			"num is %u, num_class %u, coords %u: boxes and classes must be 1 or more, coords 4", p->num,
			p->num_class, p->coords);
	if (p->biases.n != 2 * (size_t)p->num)
		return moka_layer_bad(l, f, "bad-setting", "biases",
				      "there are %zu biases, and %u boxes need two each, width and height", p->biases.n,
				      p->num);
	for (size_t i = 0; i < p->biases.n; i++)
		if (!(MOKA_LIST_AT(p->biases, float, i) > 0))
			return moka_layer_bad(l, f, "bad-setting", "biases", "an anchor is %g wide or high",
					      (double)MOKA_LIST_AT(p->biases, float, i));
	return MOKA_OK;
}

static enum moka_status region_loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct region_loss_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape, *o = &l->bottom[1].shape;
	struct region_loss *v = moka_layer_priv(l, sizeof(*v));
	const int64_t want = moka_layer_product(2, (int64_t[]){ p->num, (int64_t)p->coords + 1 + p->num_class });
	char text[MOKA_SHAPE_TEXT];
	int64_t d[4];

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(0);
	MOKA_TRY(check_settings(l, f));
	if (s->n >= 0 && (s->n != 4 || (s->d[1] >= 0 && s->d[1] != want)))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0,
					     "'%s' is %s: %u boxes of 4 + 1 + %u numbers take 4 axes and %lld channels",
					     l->bottom[0].name, moka_shape_text(s, text, sizeof(text)), p->num,
					     p->num_class, (long long)want);
	if (o->n >= 0 && (o->n < 1 || (o->d[o->n - 1] >= 0 && o->d[o->n - 1] != 8)))
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 1,
			"'%s' is %s: objects are rows of 8 (image, label, instance, x1, y1, x2, y2, difficult)",
			l->bottom[1].name, moka_shape_text(o, text, sizeof(text)));
	moka__legacy_dims(s, d);
	*v = (struct region_loss){ d[0], d[2], d[3], moka_shape_count(o) / 8 };
	l->state_bytes = moka_layer_bytes(moka_shape_count(s), sizeof(real));
	l->scratch_bytes = moka_layer_bytes(d[0], sizeof(double));
	return MOKA_OK;
}

/* ---- deltas ---------------------------------------------------------------------------------------------------- */

struct region_job {
	const struct region_loss *v;
	const struct region_loss_param *p;
	const real *x, *object;
	real *delta;
	double *sum; /* of each image */
};

static real sigmoid(real x)
{
	return 1 / (1 + exp(-x));
}

static real anchor(const struct region_job *j, int64_t b, int axis)
{
	return (real)MOKA_LIST_AT(j->p->biases, float, 2 * (size_t)b + (size_t)axis);
}

/* The first number of box b of a cell; the others are H * W apart. */
static int64_t at_box(const struct region_job *j, int64_t n, int64_t b, int64_t cell)
{
	return (n * j->p->num + b) * (5 + (int64_t)j->p->num_class) * j->v->h * j->v->w + cell;
}

static struct moka__box centred(real cx, real cy, real w, real h)
{
	return (struct moka__box){ cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2 };
}

static struct moka__box box_of(const struct region_job *j, const real *x, int64_t b, int64_t cell)
{
	const int64_t plane = j->v->h * j->v->w;

	return centred(((real)(cell % j->v->w) + sigmoid(x[0])) / (real)j->v->w,
		       ((real)(cell / j->v->w) + sigmoid(x[plane])) / (real)j->v->h,
		       exp(x[2 * plane]) * anchor(j, b, 0) / (real)j->v->w,
		       exp(x[3 * plane]) * anchor(j, b, 1) / (real)j->v->h);
}

static bool is_of(const real *object, int64_t n)
{
	return object[0] > -1 && (int64_t)object[0] == n;
}

/* Objectness towards 0, where the box lies on nothing. */
static void no_object(const struct region_job *j, int64_t n, int64_t b, int64_t cell)
{
	const int64_t plane = j->v->h * j->v->w, at = at_box(j, n, b, cell);
	const struct moka__box box = box_of(j, j->x + at, b, cell);
	const real p = sigmoid(j->x[at + 4 * plane]);
	real most = 0;

	for (int64_t i = 0; i < j->v->objects; i++) {
		const real *o = j->object + i * 8;

		if (is_of(o, n))
			most = MOKA_MAX(most, moka__box_overlap(box, (struct moka__box){ o[3], o[4], o[5], o[6] },
								MOKA__BOX_NORMALISED));
	}
	for (int64_t k = 0; k < 5 + (int64_t)j->p->num_class; k++)
		j->delta[at + k * plane] = 0;
	if (!(most > (real)j->p->thresh))
		j->delta[at + 4 * plane] = (real)j->p->noobject_scale * p * p * (1 - p);
}

/* The box of the cell that has most nearly the object's form. */
static int64_t nearest(const struct region_job *j, int64_t n, int64_t cell, real w, real h)
{
	const int64_t plane = j->v->h * j->v->w;
	real most = 0;
	int64_t best = 0;

	for (int64_t b = 0; b < j->p->num; b++) {
		const real *x = j->x + at_box(j, n, b, cell);
		const real grow_w = j->p->bias_match ? 1 : exp(x[2 * plane]),
			   grow_h = j->p->bias_match ? 1 : exp(x[3 * plane]);
		const real overlap = moka__box_overlap(centred(0, 0, grow_w * anchor(j, b, 0) / (real)j->v->w,
							       grow_h * anchor(j, b, 1) / (real)j->v->h),
						       centred(0, 0, w, h), MOKA__BOX_NORMALISED);

		if (overlap > most) {
			most = overlap;
			best = b;
		}
	}
	return best;
}

static real held(real v)
{
	return MOKA_MAX(MOKA_MIN(v, 1), -1);
}

static void classes_to(const struct region_job *j, int64_t at, int64_t label)
{
	const int64_t plane = j->v->h * j->v->w, n = j->p->num_class;
	const real *x = j->x + at;
	real most = x[0], sum = 0;

	for (int64_t k = 1; k < n; k++)
		most = MOKA_MAX(most, x[k * plane]);
	for (int64_t k = 0; k < n; k++)
		sum += exp(x[k * plane] - most);
	for (int64_t k = 0; k < n; k++)
		j->delta[at + k * plane] =
			(real)j->p->class_scale * (exp(x[k * plane] - most) / sum - (k == label ? 1 : 0));
}

static void towards(const struct region_job *j, int64_t n, const real *o)
{
	const int64_t plane = j->v->h * j->v->w;
	const real size[2] = { (real)j->v->w, (real)j->v->h }, side[2] = { o[5] - o[3], o[6] - o[4] };
	const real centre[2] = { (o[3] + o[5]) / 2 * size[0], (o[4] + o[6]) / 2 * size[1] };
	const int64_t column = MOKA_MIN((int64_t)centre[0], j->v->w - 1),
		      row = MOKA_MIN((int64_t)centre[1], j->v->h - 1);
	const int64_t b = nearest(j, n, row * j->v->w + column, side[0], side[1]);
	const int64_t at = at_box(j, n, b, row * j->v->w + column);
	const real *x = j->x + at, p = sigmoid(x[4 * plane]);

	for (int axis = 0; axis < 2; axis++) {
		const real s = sigmoid(x[axis * plane]), want = centre[axis] - (real)(axis ? row : column);

		j->delta[at + axis * plane] = -(real)j->p->coord_scale * held(want - s) * s * (1 - s);
		j->delta[at + (2 + axis) * plane] =
			-(real)j->p->coord_scale *
			held(log(side[axis] * size[axis] / anchor(j, b, axis)) - x[(2 + axis) * plane]);
	}
	j->delta[at + 4 * plane] = -(real)j->p->object_scale * 2 * (1 - p) * (1 - p) * (1 - p) * p * (1 - p);
	classes_to(j, at + 5 * plane, (int64_t)o[1] - 1);
}

/* Images. Of two objects at one box the later one counts. */
static void region_images(void *arg, int64_t begin, int64_t end)
{
	const struct region_job *j = arg;
	const int64_t plane = j->v->h * j->v->w, size = plane * j->p->num * (5 + (int64_t)j->p->num_class);

	for (int64_t n = begin; n < end; n++) {
		for (int64_t i = 0; i < plane * j->p->num; i++)
			no_object(j, n, i % j->p->num, i / j->p->num);
		for (int64_t i = 0; plane && i < j->v->objects; i++)
			if (is_of(j->object + i * 8, n))
				towards(j, n, j->object + i * 8);
		j->sum[n] = 0;
		for (int64_t i = n * size; i < (n + 1) * size; i++)
			j->sum[n] += (double)j->delta[i] * (double)j->delta[i];
	}
}

static enum moka_status check_objects(const struct moka_layer *l, struct moka_call *c)
{
	const struct region_loss_param *p = l->param;
	const struct region_loss *v = l->priv;
	int64_t image, label;

	for (int64_t i = 0; i < v->objects; i++) {
		const real *o = c->bottom[1].data + i * 8;

		if (!moka__whole(o[0], -1, v->num - 1, &image))
			return moka_call_bad(l, c, MOKA_ERR_DATA,
					     "object %lld of '%s' is of image %g, and the batch has %lld", (long long)i,
					     l->bottom[1].name, (double)o[0], (long long)v->num);
		if (image < 0)
			continue;
		if (!moka__whole(o[1], 1, p->num_class, &label))
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"object %lld of '%s' (image %lld) has the label %g, and labels are 1 to %u",
				(long long)i, l->bottom[1].name, (long long)image, (double)o[1], p->num_class);
		if (!(o[5] > o[3] && o[6] > o[4] && o[3] + o[5] >= 0 && o[3] + o[5] <= 2 && o[4] + o[6] >= 0 &&
		      o[4] + o[6] <= 2 && o[5] - o[3] < 1000 && o[6] - o[4] < 1000))
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"object %lld of '%s' (image %lld) is (%g, %g) to (%g, %g): its centre must lie in the picture, 0 to 1, and it must have a size",
				(long long)i, l->bottom[1].name, (long long)image, (double)o[3], (double)o[4],
				(double)o[5], (double)o[6]);
	}
	return MOKA_OK;
}

static enum moka_status region_loss_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct region_loss *v = l->priv;
	struct region_job j = { v, l->param, c->bottom[0].data, c->bottom[1].data, c->state, c->scratch };
	double sum = 0;

	MOKA_TRY(check_objects(l, c));
	moka_parallel(c->pool, region_images, &j, v->num, 1);
	for (int64_t n = 0; n < v->num; n++)
		sum += j.sum[n];
	c->top[0].data[0] = (real)sum;
	return MOKA_OK;
}

static enum moka_status region_loss_backward(const struct moka_layer *l, struct moka_call *c)
{
	const real scale = moka__loss_weight(c) / (real)MOKA_MAX(((const struct region_loss *)l->priv)->num, 1);
	const real *delta = c->state;

	for (int64_t i = 0; c->bottom[0].diff && i < c->bottom[0].count; i++)
		c->bottom[0].diff[i] = scale * delta[i];
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_region_loss = {
	.schema = { "RegionLoss", "region_loss_param", 209, 0, &region_loss_message, NULL, 0, "Intel, MobileNet-YOLO" },
	.doc = "trains YOLOv2's grid: boxes, objectness, classes",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = region_loss_shape, .forward = region_loss_forward, .backward = region_loss_backward,
};
/* clang-format on */
