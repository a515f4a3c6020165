/*
 * loss.c - see loss.h.
 */
#include "loss.h"

#include <tgmath.h>

#define PIECE 16384 /* values in a piece of parallel work */
#define COLUMNS 64  /* places that softmax takes side by side where the axis is not the last */

/* ---- shapes ---------------------------------------------------------------------------------------- */

enum moka_status moka__scores_shape(struct moka_layer *l, struct moka_findings *f, int64_t axis, struct moka__scores *s)
{
	const struct moka_shape *b = &l->bottom[0].shape;
	int at;

	*s = (struct moka__scores){ -1, -1, -1 };
	if (b->n < 0)
		return MOKA_OK;
	at = moka_layer_axis(l, f, "axis", axis, b);
	if (at < 0)
		return MOKA_ERR_MODEL;
	s->outer = moka_shape_count_range(b, 0, at);
	s->classes = b->d[at];
	s->inner = moka_shape_count_range(b, at + 1, b->n);
	return MOKA_OK;
}

enum moka_status moka__loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	char text[2][MOKA_SHAPE_TEXT];

	l->top[0].shape = moka_shape_make(0);
	if (a->n == 0 || b->n == 0)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", a->n ? 1 : 0,
					     "bottom '%s' is a single number, a loss wants a batch",
					     l->bottom[a->n ? 1 : 0].name);
	if (a->n > 0 && b->n > 0 && a->d[0] >= 0 && b->d[0] >= 0 && a->d[0] != b->d[0])
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"bottom '%s' is %s and bottom '%s' is %s: the first dimensions, the batch, must be equal",
			l->bottom[0].name, moka_shape_text(a, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(b, text[1], sizeof(text[1])));
	return MOKA_OK;
}

enum moka_status moka__labels_shape(struct moka_layer *l, struct moka_findings *f, const struct moka__scores *s)
{
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	int64_t labels = moka_shape_count(b), places = moka_layer_product(2, (int64_t[]){ s->outer, s->inner });
	char text[2][MOKA_SHAPE_TEXT];

	if (labels < 0 || places < 0 || labels == places)
		return MOKA_OK;
	return moka_layer_bad_bottom(
		l, f, "shape-mismatch", 1,
		"bottom '%s' is %s, %lld labels, but the scores '%s' are %s: %lld x %lld places want one label each",
		l->bottom[1].name, moka_shape_text(b, text[1], sizeof(text[1])), (long long)labels, l->bottom[0].name,
		moka_shape_text(a, text[0], sizeof(text[0])), (long long)s->outer, (long long)s->inner);
}

size_t moka__loss_bytes(int64_t count, size_t size)
{
	return (moka_layer_bytes(count, size) + 63) / 64 * 64;
}

size_t moka__loss_sum_bytes(int64_t n, int64_t tile)
{
	return n > 0 ? moka__loss_bytes((n - 1) / tile + 1, sizeof(double)) : 0;
}

int64_t moka__loss_tile(int64_t width)
{
	return width > 0 ? MOKA_MAX(PIECE / width, 1) : PIECE;
}

/* ---- softmax --------------------------------------------------------------------------------------- */

struct softmax_job {
	struct moka__scores s;
	int64_t blocks; /* of COLUMNS places in inner */
	const real *x;
	real *y;
};

/* The axis is the last: rows [begin, end). */
static void softmax_rows(void *arg, int64_t begin, int64_t end)
{
	const struct softmax_job *j = arg;
	const int64_t n = j->s.classes;

	for (int64_t r = begin; r < end; r++) {
		const real *x = j->x + r * n;
		real *y = j->y + r * n, max = x[0], sum = 0;

		for (int64_t i = 1; i < n; i++)
			max = x[i] > max ? x[i] : max;
		moka_exp(n, max, x, y);
		for (int64_t i = 0; i < n; i++)
			sum += y[i];
		for (int64_t i = 0; i < n; i++)
			y[i] /= sum;
	}
}

/* (classes, w) values whose rows lie `stride` apart. */
static void softmax_columns(int64_t classes, int64_t stride, int w, const real *x, real *y)
{
	real max[COLUMNS], sum[COLUMNS], less[COLUMNS];

	for (int k = 0; k < w; k++) {
		max[k] = x[k];
		sum[k] = 0;
	}
	for (int64_t i = 1; i < classes; i++)
		for (int k = 0; k < w; k++)
			max[k] = x[i * stride + k] > max[k] ? x[i * stride + k] : max[k];
	for (int64_t i = 0; i < classes; i++) {
		for (int k = 0; k < w; k++)
			less[k] = x[i * stride + k] - max[k];
		moka_exp(w, 0, less, y + i * stride);
		for (int k = 0; k < w; k++)
			sum[k] += y[i * stride + k];
	}
	for (int64_t i = 0; i < classes; i++)
		for (int k = 0; k < w; k++)
			y[i * stride + k] /= sum[k];
}

static void softmax_blocks(void *arg, int64_t begin, int64_t end)
{
	const struct softmax_job *j = arg;

	for (int64_t b = begin; b < end; b++) {
		int64_t column = b % j->blocks * COLUMNS;
		int64_t at = b / j->blocks * j->s.classes * j->s.inner + column;

		softmax_columns(j->s.classes, j->s.inner, (int)MOKA_MIN(COLUMNS, j->s.inner - column), j->x + at,
				j->y + at);
	}
}

void moka__softmax(struct moka_pool *pool, const struct moka__scores *s, const real *x, real *y)
{
	struct softmax_job j = { *s, (s->inner + COLUMNS - 1) / COLUMNS, x, y };

	if (s->classes == 0 || s->inner == 0)
		return;
	if (s->inner == 1)
		moka_parallel(pool, softmax_rows, &j, s->outer, moka__loss_tile(s->classes));
	else
		moka_parallel(pool, softmax_blocks, &j, s->outer * j.blocks, moka__loss_tile(s->classes * COLUMNS));
}

/* ---- labels ---------------------------------------------------------------------------------------- */

const int32_t *moka__ignore_label(const struct moka_layer *l)
{
	return l->loss_sub && moka_has(l->loss_sub, "ignore_label") ? &l->loss->ignore_label : NULL;
}

struct moka__labels moka__labels_of(const struct moka_layer *l, const struct moka__scores *s)
{
	const int64_t n = s->outer * s->inner;

	return (struct moka__labels){ n, n / MOKA_MAX(l->bottom[0].shape.d[0], 1), s->classes, "loss_param",
				      moka__ignore_label(l) };
}

static enum moka_status label_bad(const struct moka_layer *l, struct moka_call *c, const struct moka__labels *a,
				  int64_t i)
{
	const real v = c->bottom[1].data[i];
	const int64_t per_sample = MOKA_MAX(a->per_sample, 1);
	char place[64] = "";
	enum moka_status s;

	if (per_sample > 1)
		snprintf(place, sizeof(place), ", place %lld", (long long)(i % per_sample));
	s = moka_call_bad(l, c, MOKA_ERR_DATA,
			  "label %g in blob '%s', sample %lld%s, is not one of the classes 0 to %lld of '%s'",
			  (double)v, l->bottom[1].name, (long long)(i / per_sample), place, (long long)(a->classes - 1),
			  l->bottom[0].name);
	if (v >= (real)a->classes)
		moka_fail_hint(
			c->err,
			"the layer that makes '%s' needs more outputs (num_output), or the data holds other labels than it was made for",
			l->bottom[0].name);
	else if (a->ignore_in && v == floor(v))
		moka_fail_hint(c->err,
			       "correct the data, or say that such samples don't count: %s { ignore_label: %g }",
			       a->ignore_in, (double)v);
	else
		moka_fail_hint(c->err, "correct the data");
	return s;
}

enum moka_status moka__labels_read(const struct moka_layer *l, struct moka_call *c, const struct moka__labels *a,
				   int32_t *out, int64_t *valid)
{
	const real *label = c->bottom[1].data, limit = (real)2147483648.0; /* of int32_t */
	int64_t counted = 0;

	for (int64_t i = 0; i < a->n; i++) {
		real v = label[i];

		out[i] = -1;
		if (a->ignore && fabs(v) < limit && (int32_t)v == *a->ignore)
			continue;
		if (!(v > -1 && v < (real)a->classes && v < limit))
			return label_bad(l, c, a, i);
		out[i] = (int32_t)v;
		counted++;
	}
	if (valid)
		*valid = counted;
	return MOKA_OK;
}

/* ---- sums ------------------------------------------------------------------------------------------ */

struct sum_job {
	double (*part)(const void *arg, int64_t begin, int64_t end);
	const void *arg;
	int64_t tile;
	double *parts;
};

static void sum_piece(void *arg, int64_t begin, int64_t end)
{
	const struct sum_job *j = arg;

	j->parts[begin / j->tile] = j->part(j->arg, begin, end);
}

double moka__loss_sum(struct moka_pool *pool, double (*part)(const void *arg, int64_t begin, int64_t end),
		      const void *arg, int64_t n, int64_t tile, double *scratch)
{
	struct sum_job j = { part, arg, tile, scratch };
	double sum = 0;

	moka_parallel(pool, sum_piece, &j, n, tile);
	for (int64_t i = 0; i * tile < n; i++)
		sum += scratch[i];
	return sum;
}

real moka__loss_weight(const struct moka_call *c)
{
	return c->top[0].diff ? c->top[0].diff[0] : 0;
}
