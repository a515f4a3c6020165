/*
 * DetectionEvaluate (SSD): which detections are right, for an average precision that whoever runs the test makes of it.
 *
 *     bottoms: detections (1, 1, rows, 7) as DetectionOutput makes them, objects (1, 1, rows, 8): image, label,
 *              instance, x1, y1, x2, y2, difficult
 *     top:     (1, 1, rows, 5): of each class but the background -1, label, objects, -1, -1; then of each detection image,
 *              label, score, right, wrong. Both 0: its object is difficult and doesn't count.
 *
 * Rows of DetectionOutput that hold nothing (all 0, or a label of -1) are passed over; the top has zeros in their place at
 * the end. With name_size_file, overlaps are those of whole pixels of the original pictures, which come in that file's
 * order: the state counts them.
 */
#include "boxes.h"

#include <stdlib.h>
#include <string.h>

struct detection_evaluate_param {
	uint32_t num_classes;
	int32_t background_label_id;
	float overlap_threshold;
	bool evaluate_difficult_gt;
	const char *name_size_file;
	const struct moka__resize_param *resize_param;
};

/* clang-format off */
#define P struct detection_evaluate_param
static const struct moka_field detection_evaluate_fields[] = {
	MOKA_F_UINT32(P, num_classes, 1, 0, "classes, the background among them; required"),
	MOKA_F_INT32(P, background_label_id, 2, 0, "the class that is no object; -1: there is none"),
	MOKA_F_FLOAT(P, overlap_threshold, 3, 0.5, "a detection is right from this overlap on"),
	MOKA_F_BOOL(P, evaluate_difficult_gt, 4, true, "objects marked as difficult count too"),
	MOKA_F_STRING(P, name_size_file, 5, NULL, "lines of name, height, width: sizes of the pictures, in the order of the data"),
	MOKA_F_MSG(P, resize_param, 6, &moka__resize_message, "how the pictures were resized"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message detection_evaluate_message = { "DetectionEvaluateParameter", detection_evaluate_fields,
								sizeof(struct detection_evaluate_param) };

struct evaluate {
	int64_t found, objects, positive; /* rows of the bottoms; classes without the background */
	const struct size {
		int32_t height, width;
	} * sizes; /* NULL: boxes stay parts of the picture */
	int64_t n_sizes;
};

/* ---- sizes of pictures -------------------------------------------------------------------------------------------- */

/* Reads one line "name height width"; false where it is none. */
static bool read_line(const char *line, size_t n, struct size *out)
{
	char text[512], rest[2];
	int h, w;

	if (n >= sizeof(text))
		return false;
	memcpy(text, line, n);
	text[n] = 0;
	if (sscanf(text, "%*s %9d %9d %1s", &h, &w, rest) != 2 || h < 1 || w < 1)
		return false;
	*out = (struct size){ h, w };
	return true;
}

static enum moka_status parse_sizes(struct moka_layer *l, struct moka_findings *f, struct evaluate *v,
				    const struct moka_file *file)
{
	const struct detection_evaluate_param *p = l->param;
	const char *at = (const char *)file->data, *end = at + file->size;
	struct size *sizes;
	int64_t lines = 1;

	for (const char *c = at; c < end; c++)
		lines += *c == '\n';
	sizes = MOKA_NEWN(l->arena, lines, struct size);
	if (!sizes)
		return MOKA_ERR_NOMEM;
	v->n_sizes = 0;
	for (int64_t line = 1; at < end; line++) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		size_t n = eol ? (size_t)(eol - at) : (size_t)(end - at);
		size_t blank = 0;

		while (blank < n && strchr(" \t\r", at[blank]) && at[blank])
			blank++;
		if (blank < n && !read_line(at, n, &sizes[v->n_sizes++]))
			return moka_layer_bad(l, f, "bad-data", "name_size_file",
					      "%s:%lld: 'name height width' is expected", p->name_size_file,
					      (long long)line);
		at += n + (eol != NULL);
	}
	v->sizes = sizes;
	return MOKA_OK;
}

/* A file that isn't there matters only to a run. */
static enum moka_status open_sizes(struct moka_layer *l, struct moka_findings *f, struct evaluate *v)
{
	const struct detection_evaluate_param *p = l->param;
	struct moka_file file = { 0 };
	struct moka_error err = { 0 };
	enum moka_status st;

	if (!p->name_size_file || !*p->name_size_file || v->sizes || !l->for_run)
		return MOKA_OK;
	if (moka_file_open(&file, moka_path_resolve(l->arena, p->name_size_file, l->beside), &err))
		return moka_layer_bad(l, f, "data-missing", "name_size_file", "%s", err.message);
	st = parse_sizes(l, f, v, &file);
	moka_file_release(&file);
	return st;
}

/* The way back from the resized picture to the original, as SSD goes it. */
static struct moka__box restore(const struct detection_evaluate_param *p, struct size s, struct moka__box b)
{
	const struct moka__resize_param *r = p->resize_param;
	real b4[4] = { b.x1, b.y1, b.x2, b.y2 }, pad[2] = { 0, 0 }, most[2] = { 1, 1 },
	     by[2] = { (real)s.width, (real)s.height };

	if (r && r->resize_mode == 3 && r->height && r->width) {
		const real aspect = (real)s.width / (real)s.height, want = (real)r->width / (real)r->height;

		if (aspect > want) /* borders above and below */
			pad[1] = (1 - want / aspect) / 2;
		else
			pad[0] = (1 - aspect / want) / 2;
	}
	if (r && r->resize_mode == 2 && r->height_scale && r->width_scale) {
		most[0] = (real)s.width / (real)r->width_scale;
		most[1] = (real)s.height / (real)r->height_scale;
		by[0] = (real)r->width_scale;
		by[1] = (real)r->height_scale;
	}
	for (int k = 0; k < 4; k++) {
		const int axis = k % 2;

		b4[k] = (b4[k] - pad[axis]) / (1 - 2 * pad[axis]);
		b4[k] = MOKA_MAX(MOKA_MIN(b4[k], most[axis]), 0) * by[axis];
	}
	return (struct moka__box){ b4[0], b4[1], b4[2], b4[3] };
}

/* ---- shape ---------------------------------------------------------------------------------------------------------- */

static enum moka_status row_count(const struct moka_layer *l, struct moka_findings *f, int which, int64_t width,
				  int64_t *rows)
{
	const struct moka_shape *s = &l->bottom[which].shape;
	char text[MOKA_SHAPE_TEXT];
	int64_t count = moka_shape_count(s);

	*rows = count < 0 ? -1 : count / width;
	if (s->n >= 0 && (s->n < 1 || (s->d[s->n - 1] >= 0 && s->d[s->n - 1] != width)))
		return moka_layer_bad_bottom(l, f, "wrong-axes", which, "'%s' is %s: 1 x 1 x rows x %lld is expected",
					     l->bottom[which].name, moka_shape_text(s, text, sizeof(text)),
					     (long long)width);
	return MOKA_OK;
}

struct found {
	int64_t image, label;
	real score;
	int32_t index;
};

static enum moka_status evaluate_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct detection_evaluate_param *p = l->param;
	struct evaluate *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(4, (int64_t)1, (int64_t)1, (int64_t)-1, (int64_t)5);
	if (p->num_classes < 1 || p->num_classes > INT32_MAX)
		return moka_layer_bad(l, f, "missing-setting", "num_classes",
				      "num_classes must say how many classes there are");
	if (!(p->overlap_threshold > 0))
		return moka_layer_bad(l, f, "bad-setting", "overlap_threshold",
				      "overlap_threshold is %g, and must be above 0", (double)p->overlap_threshold);
	MOKA_TRY(row_count(l, f, 0, 7, &v->found));
	MOKA_TRY(row_count(l, f, 1, 8, &v->objects));
	if (v->found > INT32_MAX)
		return moka_layer_bad_bottom(l, f, "too-large", 0, "%lld detections are too many", (long long)v->found);
	MOKA_TRY(open_sizes(l, f, v));
	v->positive =
		p->num_classes - (p->background_label_id >= 0 && (uint32_t)p->background_label_id < p->num_classes);
	l->top[0].shape.d[2] = v->found < 0 ? -1 : v->positive + v->found;
	l->state_bytes = sizeof(int64_t);
	l->scratch_bytes = moka_layer_bytes(v->found, sizeof(struct found)) + moka_layer_bytes(v->objects, 1);
	return MOKA_OK;
}

/* ---- forward ---------------------------------------------------------------------------------------------------------- */

struct evaluate_job {
	const struct evaluate *v;
	const struct detection_evaluate_param *p;
	const real *row, *object;
	struct found *found;
	uint8_t *taken; /* of each object */
	int64_t n_found;
};

static bool has_image(const struct evaluate_job *j, int64_t image)
{
	for (int64_t i = 0; i < j->v->objects; i++)
		if (j->object[i * 8] > -1 && (int64_t)j->object[i * 8] == image)
			return true;
	return false;
}

static bool same_class(const struct evaluate_job *j, int64_t i, int64_t image, int64_t label)
{
	const real *o = j->object + i * 8;

	return o[0] > -1 && (int64_t)o[0] == image && (int64_t)o[1] == label;
}

static int by_place(const void *pa, const void *pb)
{
	const struct found *a = pa, *b = pb;

	if (a->image != b->image)
		return a->image < b->image ? -1 : 1;
	if (a->label != b->label)
		return a->label < b->label ? -1 : 1;
	if (a->score != b->score)
		return a->score > b->score ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static enum moka_status read_rows(const struct moka_layer *l, struct moka_call *c, struct evaluate_job *j)
{
	for (int64_t i = 0; i < j->v->found; i++) {
		const real *r = j->row + i * 7;
		struct found *o = &j->found[j->n_found];

		if (r[0] == -1 || r[1] == -1 || (r[1] == (real)j->p->background_label_id && r[2] == 0))
			continue;
		if (!moka__whole(r[0], 0, INT32_MAX, &o->image) ||
		    !moka__whole(r[1], 0, (int64_t)j->p->num_classes - 1, &o->label) ||
		    o->label == j->p->background_label_id || r[2] != r[2])
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"row %lld of '%s' is of image %g, label %g, score %g: labels are 0 to %lld without the background, %d",
				(long long)i, l->bottom[0].name, (double)r[0], (double)r[1], (double)r[2],
				(long long)j->p->num_classes - 1, j->p->background_label_id);
		o->score = r[2];
		o->index = (int32_t)i;
		j->n_found++;
	}
	if (j->n_found > 1)
		qsort(j->found, (size_t)j->n_found, sizeof(*j->found), by_place);
	return MOKA_OK;
}

static enum moka_status check_objects(const struct moka_layer *l, struct moka_call *c, const struct evaluate_job *j)
{
	int64_t image, label;

	for (int64_t i = 0; i < j->v->objects; i++) {
		const real *o = j->object + i * 8;

		if (moka__whole(o[0], -1, INT32_MAX, &image) && image < 0)
			continue;
		if (!moka__whole(o[0], 0, INT32_MAX, &image) ||
		    !moka__whole(o[1], 0, (int64_t)j->p->num_classes - 1, &label) || label == j->p->background_label_id)
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"object %lld of '%s' is of image %g, label %g: labels are 0 to %lld without the background, %d",
				(long long)i, l->bottom[1].name, (double)o[0], (double)o[1],
				(long long)j->p->num_classes - 1, j->p->background_label_id);
	}
	return MOKA_OK;
}

static real *write_classes(const struct evaluate_job *j, real *top)
{
	for (int64_t k = 0; k < j->p->num_classes; k++) {
		int64_t count = 0;

		if (k == j->p->background_label_id)
			continue;
		for (int64_t i = 0; i < j->v->objects; i++) {
			const real *o = j->object + i * 8;
			count += o[0] > -1 && (int64_t)o[1] == k && (j->p->evaluate_difficult_gt || o[7] == 0);
		}
		memcpy(top, (real[5]){ -1, (real)k, (real)count, -1, -1 }, 5 * sizeof(real));
		top += 5;
	}
	return top;
}

/* 1 right, -1 wrong, 0 doesn't count. */
static int judge(const struct evaluate_job *j, const struct found *d, const struct size *size)
{
	const real *r = j->row + (int64_t)d->index * 7 + 3;
	const enum moka__box_unit unit = size ? MOKA__BOX_PIXELS : MOKA__BOX_NORMALISED;
	struct moka__box box = { r[0], r[1], r[2], r[3] };
	int64_t best = -1;
	real most = -1;

	if (size)
		box = restore(j->p, *size, box);
	for (int64_t i = 0; i < j->v->objects; i++) {
		const real *o = j->object + i * 8 + 3;
		struct moka__box other = { o[0], o[1], o[2], o[3] };
		real overlap;

		if (!same_class(j, i, d->image, d->label))
			continue;
		overlap = moka__box_overlap(box, size ? restore(j->p, *size, other) : other, unit);
		if (overlap > most) {
			most = overlap;
			best = i;
		}
	}
	if (best < 0 || !(most >= (real)j->p->overlap_threshold))
		return -1;
	if (!j->p->evaluate_difficult_gt && j->object[best * 8 + 7] != 0)
		return 0;
	if (j->taken[best])
		return -1;
	j->taken[best] = 1;
	return 1;
}

static enum moka_status evaluate_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct evaluate *v = l->priv;
	struct evaluate_job j = {
		.v = v, .p = l->param, .row = c->bottom[0].data, .object = c->bottom[1].data, .found = c->scratch
	};
	int64_t *picture = c->state;
	real *top = c->top[0].data;

	j.taken = (uint8_t *)(j.found + v->found);
	if (v->objects)
		memset(j.taken, 0, (size_t)v->objects);
	MOKA_TRY(check_objects(l, c, &j));
	MOKA_TRY(read_rows(l, c, &j));
	top = write_classes(&j, top);
	for (int64_t i = 0; i < j.n_found; i++, top += 5) {
		const struct found *d = &j.found[i];
		const struct size *size = v->n_sizes ? &v->sizes[*picture] : NULL;
		const int right = has_image(&j, d->image) ? judge(&j, d, size) : -1;

		memcpy(top, (real[5]){ (real)d->image, (real)d->label, d->score, right > 0, right < 0 },
		       5 * sizeof(real));
		if (v->n_sizes && (i + 1 == j.n_found || d[1].image != d->image))
			*picture = (*picture + 1) % v->n_sizes;
	}
	moka_set(c->top[0].count - (top - c->top[0].data), 0, top);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_detection_evaluate = {
	.schema = { "DetectionEvaluate", "detection_evaluate_param", 205, 0, &detection_evaluate_message, NULL, 0, "SSD" },
	.doc = "which detections are right, which wrong, and how many objects there were of each class",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = evaluate_shape, .forward = evaluate_forward,
};
/* clang-format on */
