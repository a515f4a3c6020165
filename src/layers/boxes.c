/*
 * boxes.c - rectangles, as the detection layers share them.
 *
 * Comparisons that decide which box stays are written as SSD's Caffe has them (strict or not, ties to the first), since one
 * box more or less changes everything behind it.
 */
#include "boxes.h"

#include <stdlib.h>
#include <tgmath.h>

/* ---- size and overlap ---------------------------------------------------------------------------------- */

real moka__box_size(struct moka__box b, enum moka__box_unit unit)
{
	const real one = unit == MOKA__BOX_PIXELS ? 1 : 0;

	if (b.x2 < b.x1 || b.y2 < b.y1)
		return 0;
	return (b.x2 - b.x1 + one) * (b.y2 - b.y1 + one);
}

real moka__box_overlap(struct moka__box a, struct moka__box b, enum moka__box_unit unit)
{
	const real one = unit == MOKA__BOX_PIXELS ? 1 : 0;
	real w, h, both;

	if (b.x1 > a.x2 || b.x2 < a.x1 || b.y1 > a.y2 || b.y2 < a.y1)
		return 0;
	w = MOKA_MIN(a.x2, b.x2) - MOKA_MAX(a.x1, b.x1) + one;
	h = MOKA_MIN(a.y2, b.y2) - MOKA_MAX(a.y1, b.y1) + one;
	if (!(w > 0 && h > 0))
		return 0;
	both = w * h;
	return both / (moka__box_size(a, unit) + moka__box_size(b, unit) - both);
}

/* ---- codes ----------------------------------------------------------------------------------------------- */

const struct moka_enum_value moka__box_code_values[] = { { "CORNER", MOKA__CORNER },
							 { "CENTER_SIZE", MOKA__CENTER_SIZE },
							 { "CORNER_SIZE", MOKA__CORNER_SIZE },
							 { NULL, 0 } };

struct moka__box moka__box_decode(enum moka__box_code code, const real *prior, const real *variance, const real *loc)
{
	static const real ones[4] = { 1, 1, 1, 1 };
	const real *v = variance ? variance : ones;
	real w = prior[2] - prior[0], h = prior[3] - prior[1], cx, cy;

	if (code == MOKA__CORNER)
		w = h = 1;
	if (code != MOKA__CENTER_SIZE)
		return (struct moka__box){ prior[0] + v[0] * loc[0] * w, prior[1] + v[1] * loc[1] * h,
					   prior[2] + v[2] * loc[2] * w, prior[3] + v[3] * loc[3] * h };
	cx = v[0] * loc[0] * w + (prior[0] + prior[2]) / 2;
	cy = v[1] * loc[1] * h + (prior[1] + prior[3]) / 2;
	w *= exp(v[2] * loc[2]);
	h *= exp(v[3] * loc[3]);
	return (struct moka__box){ cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2 };
}

void moka__box_encode(enum moka__box_code code, const real *prior, const real *variance, struct moka__box box,
		      real *loc)
{
	static const real ones[4] = { 1, 1, 1, 1 };
	const real *v = variance ? variance : ones, b[4] = { box.x1, box.y1, box.x2, box.y2 };
	real size[2] = { prior[2] - prior[0], prior[3] - prior[1] };

	if (code == MOKA__CORNER)
		size[0] = size[1] = 1;
	for (int k = 0; k < 4; k++)
		loc[k] = (b[k] - prior[k]) / size[k % 2] / v[k];
	if (code != MOKA__CENTER_SIZE)
		return;
	for (int k = 0; k < 2; k++) {
		loc[k] = ((b[k] + b[k + 2]) / 2 - (prior[k] + prior[k + 2]) / 2) / size[k] / v[k];
		loc[k + 2] = log((b[k + 2] - b[k]) / size[k]) / v[k + 2];
	}
}

enum moka_status moka__priors_check(const struct moka_layer *l, struct moka_call *c, int which, int64_t n,
				    enum moka__box_code code)
{
	const real *p = c->bottom[which].data;

	for (int64_t i = 0; i < n && code != MOKA__CORNER; i++, p += 4)
		if (!(p[2] > p[0] && p[3] > p[1]))
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"prior %lld of '%s' is (%g, %g) to (%g, %g): a box without a size, which this code_type divides by",
				(long long)i, l->bottom[which].name, (double)p[0], (double)p[1], (double)p[2],
				(double)p[3]);
	return MOKA_OK;
}

/* ---- messages that several layers hold ----------------------------------------------------------------------- */

/* clang-format off */
#define P struct moka__nms_param
static const struct moka_field nms_fields[] = {
	MOKA_F_FLOAT(P, nms_threshold, 1, 0.3, "a box that overlaps a better one by more is dropped"),
	MOKA_F_INT32(P, top_k, 2, -1, "best boxes that are looked at; -1: all"),
	MOKA_F_FLOAT(P, eta, 3, 1, "below 1: the threshold shrinks by it at each box kept, while above 0.5"),
	MOKA_F_END
};
#undef P
const struct moka_message moka__nms_message = { "NonMaximumSuppressionParameter", nms_fields, sizeof(struct moka__nms_param) };

static const struct moka_enum_value resize_values[] = {
	{ "WARP", 1 }, { "FIT_SMALL_SIZE", 2 }, { "FIT_LARGE_SIZE_AND_PAD", 3 }, { NULL, 0 }
};
static const struct moka_enum_value pad_values[] = { { "CONSTANT", 1 }, { "MIRRORED", 2 }, { "REPEAT_NEAREST", 3 }, { NULL, 0 } };
static const struct moka_enum_value interp_values[] = {
	{ "LINEAR", 1 }, { "AREA", 2 }, { "NEAREST", 3 }, { "CUBIC", 4 }, { "LANCZOS4", 5 }, { NULL, 0 }
};

#define P struct moka__resize_param
static const struct moka_field resize_fields[] = {
	MOKA_F_FLOAT(P, prob, 1, 1, "how often it is done"),
	MOKA_F_ENUM(P, resize_mode, 2, resize_values, 1, "how a picture is brought to height x width"),
	MOKA_F_UINT32(P, height, 3, 0, "height after"),
	MOKA_F_UINT32(P, width, 4, 0, "width after"),
	MOKA_F_UINT32(P, height_scale, 8, 0, "FIT_SMALL_SIZE: height of what was cut out"),
	MOKA_F_UINT32(P, width_scale, 9, 0, "FIT_SMALL_SIZE: width of what was cut out"),
	{ "pad_mode", 5, MOKA_ENUM, MOKA_OPTIONAL, MOKA_NOWHERE, 1, NULL, pad_values, NULL, "what fills the border", NULL },
	{ "pad_value", 6, MOKA_FLOAT, MOKA_REPEATED, MOKA_NOWHERE, 0, NULL, NULL, NULL, "CONSTANT: with what, one or one a channel", NULL },
	{ "interp_mode", 7, MOKA_ENUM, MOKA_REPEATED, MOKA_NOWHERE, 1, NULL, interp_values, NULL, "how values between pixels are found", NULL },
	MOKA_F_END
};
#undef P
const struct moka_message moka__resize_message = { "ResizeParameter", resize_fields, sizeof(struct moka__resize_param) };
/* clang-format on */

enum moka_status moka__nms_check(const struct moka_layer *l, struct moka_findings *f, const struct moka__nms_param *p)
{
	if (!p)
		return MOKA_OK;
	if (!(p->nms_threshold >= 0))
		return moka_layer_bad(l, f, "bad-setting", "nms_param", "nms_threshold is %g, and must be 0 or more",
				      (double)p->nms_threshold);
	if (!(p->eta > 0 && p->eta <= 1))
		return moka_layer_bad(l, f, "bad-setting", "nms_param", "eta is %g, and must be above 0 and at most 1",
				      (double)p->eta);
	return MOKA_OK;
}

/* ---- ranking and suppression ------------------------------------------------------------------------------------ */

static int by_score(const void *pa, const void *pb)
{
	const struct moka__ranked *a = pa, *b = pb;

	if (a->score != b->score)
		return a->score > b->score ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static int by_index(const void *pa, const void *pb)
{
	const struct moka__ranked *a = pa, *b = pb;

	return a->index < b->index ? -1 : a->index > b->index;
}

void moka__rank_sort(struct moka__ranked *r, int64_t n)
{
	if (n > 1)
		qsort(r, (size_t)n, sizeof(*r), by_score);
}

void moka__rank_sort_index(struct moka__ranked *r, int64_t n)
{
	if (n > 1)
		qsort(r, (size_t)n, sizeof(*r), by_index);
}

/* A score that is not a number is above nothing: it never gets here, so that the order is total. */
int64_t moka__box_rank(const real *score, int64_t n, int64_t stride, real threshold, int64_t top_k,
		       struct moka__ranked *out)
{
	int64_t k = 0;

	for (int64_t i = 0; i < n; i++)
		if (score[i * stride] > threshold)
			out[k++] = (struct moka__ranked){ score[i * stride], (int32_t)i };
	moka__rank_sort(out, k);
	return top_k >= 0 ? MOKA_MIN(k, top_k) : k;
}

int64_t moka__nms(const struct moka__box *box, struct moka__ranked *r, int64_t n, real threshold, real eta,
		  int64_t most, enum moka__box_unit unit)
{
	int64_t kept = 0;

	for (int64_t i = 0; i < n && (most < 0 || kept < most); i++) {
		bool keep = true;

		for (int64_t k = 0; keep && k < kept; k++)
			keep = moka__box_overlap(box[r[i].index], box[r[k].index], unit) <= threshold;
		if (!keep)
			continue;
		r[kept++] = r[i];
		if (eta < 1 && threshold > (real)0.5)
			threshold *= eta;
	}
	return kept;
}

/* ---- regions of interest ------------------------------------------------------------------------------------------- */

enum moka_status moka__rois_shape(const struct moka_layer *l, struct moka_findings *f, int which, int64_t *rows)
{
	const struct moka_shape *s = &l->bottom[which].shape;
	char text[MOKA_SHAPE_TEXT];
	int64_t size;

	*rows = -1;
	if (s->n < 0)
		return MOKA_OK;
	size = moka_shape_count_range(s, 1, s->n);
	if (s->n < 1 || (size >= 0 && size != 5))
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", which,
			"regions of interest are rows of 5 (image, x1, y1, x2, y2), and '%s' is %s",
			l->bottom[which].name, moka_shape_text(s, text, sizeof(text)));
	*rows = s->d[0];
	return MOKA_OK;
}

#define FAR 1e6 /* pixels: no picture is as large, and an int holds it */

enum moka_status moka__roi_read(const struct moka_layer *l, struct moka_call *c, int which, int64_t n, real scale,
				int64_t *image, struct moka__box *box)
{
	const real *r = c->bottom[which].data + n * 5;
	const char *name = l->bottom[which].name;
	int64_t d[4];

	moka__legacy_dims(c->bottom[0].shape, d);
	if (!moka__whole(r[0], 0, d[0] - 1, image))
		return moka_call_bad(l, c, MOKA_ERR_DATA,
				     "region %lld of '%s' is of image %g, and the batch '%s' has %lld", (long long)n,
				     name, (double)r[0], l->bottom[0].name, (long long)d[0]);
	for (int k = 1; k < 5; k++)
		if (!(fabs(r[k]) <= (real)FAR && fabs(r[k] * scale) <= (real)FAR))
			return moka_call_bad(l, c, MOKA_ERR_DATA, "region %lld of '%s' has the coordinate %g",
					     (long long)n, name, (double)r[k]);
	*box = (struct moka__box){ r[1] * scale, r[2] * scale, r[3] * scale, r[4] * scale };
	/* half a cell of grace: corners are rounded */
	if (MOKA_MAX(box->x1, box->x2) < (real)-0.5 || MOKA_MAX(box->y1, box->y2) < (real)-0.5 ||
	    box->x1 > (real)d[3] + (real)0.5 || box->y1 > (real)d[2] + (real)0.5)
		return moka_call_bad(
			l, c, MOKA_ERR_DATA,
			"region %lld of '%s', (%g, %g) to (%g, %g), lies outside the picture: at a scale of %g '%s' is %lld x %lld (h x w)",
			(long long)n, name, (double)r[1], (double)r[2], (double)r[3], (double)r[4], (double)scale,
			l->bottom[0].name, (long long)d[2], (long long)d[3]);
	return MOKA_OK;
}

/* ---- small things ------------------------------------------------------------------------------------------------------ */

void moka__legacy_dims(const struct moka_shape *s, int64_t d[4])
{
	for (int i = 0; i < 4; i++)
		d[i] = s->n < 0 ? -1 : i < s->n ? s->d[i] : 1;
}

bool moka__whole(real v, int64_t low, int64_t high, int64_t *out)
{
	if (!(v > (real)low - 1 && v < (real)high + 1)) /* also for what is no number */
		return false;
	*out = (int64_t)v;
	return *out >= low && *out <= high;
}
