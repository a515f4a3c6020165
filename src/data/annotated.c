/*
 * annotated.c - AnnotatedData's samples (SSD): pictures with boxes from an LMDB or a LevelDB of AnnotatedDatum records.
 *
 *     record -> picture, objects -> distort -> expand -> one of the cut-outs -> resize -> noise -> crop -> mirror -> mean, scale
 *
 * Everything drawn comes from the sample's own stream, so that a resumed run sees what an unbroken one would have seen. Objects: the
 * batch's rows (item, label, instance, x1, y1, x2, y2, difficult) first, in the order of the items, then rows of -1: there is room for as
 * many as a batch can have, and whoever reads them (MultiBoxLoss, DetectionEvaluate) passes over rows of item -1. SSD packs the picture as a
 * JPEG between these steps; here it stays as it is.
 */
#include "data/annotated.h"
#include "data/image.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SAMPLERS 64
#define MAX_OBJECTS 100000 /* in a picture */
#define ROW 8

struct sampler {
	bool use_original, limited, by_overlap, by_sample, by_object;
	float min_scale, max_scale, min_aspect, max_aspect;
	float least[3], most[3]; /* overlap, part of the cut-out, part of the object */
	int64_t max_sample, max_trials;
};
enum fit { FIT_WARP = 1, FIT_SMALL = 2, FIT_PAD = 3 };
enum pad { PAD_CONSTANT = 1, PAD_MIRRORED = 2, PAD_NEAREST = 3 };
struct resize {
	bool on;
	int64_t height, width, mode, pad;
	int64_t interp[16];
	size_t n_interp, n_value;
	double value[4];
};

struct annotated {
	struct moka_db *db;
	enum moka_backend kind;
	char *path;
	enum moka_phase phase;
	struct moka_transform_param plain; /* the layer's, but for what is done here */
	struct moka_transform transform;
	enum moka_image_mode mode;
	bool mirror, boxes;		     /* boxes: rows of objects; else a label a picture */
	int64_t crop_h, crop_w, batch, most; /* most: objects of a picture */
	struct moka__size size;
	struct resize resize;
	struct moka__distort distort;
	struct moka__noise noise;
	struct moka__emit emit;
	bool expand;
	float expand_prob, expand_ratio;
	struct sampler sampler[MAX_SAMPLERS];
	int n_sampler;
	uint64_t seed, start;
};

/* ---- the picture's way ------------------------------------------------------------------------------------------ */

struct work {
	const struct annotated *s;
	struct moka__bench *b;
	struct moka_rng rng;
	struct moka__object *o;
	int64_t n;
};

static void swap(struct moka__bench *b)
{
	const struct moka_image t = b->image;

	b->image = b->other;
	b->other = t;
}

/* A canvas of h x w with `from` put at (top, left); the rest is `fill`, one value a channel. Parts outside are cut off. */
static enum moka_status place_on(struct moka__bench *b, int64_t h, int64_t w, int64_t top, int64_t left,
				 const uint8_t *fill, struct moka_error *err)
{
	const struct moka_image *in = &b->image;
	const int64_t c = in->channels, x0 = MOKA_MAX(left, 0), x1 = MOKA_MIN(left + in->width, w);

	MOKA_TRY(moka__image_prepare(&b->other, h, w, c, SIZE_MAX, b->sample.where, err));
	for (int64_t i = 0; i < h * w * c; i++)
		b->other.pixels[i] = fill[i % c];
	for (int64_t y = MOKA_MAX(top, 0); y < MOKA_MIN(top + in->height, h) && x0 < x1; y++)
		memcpy(b->other.pixels + (y * w + x0) * c, in->pixels + ((y - top) * in->width + x0 - left) * c,
		       (size_t)((x1 - x0) * c));
	swap(b);
	return MOKA_OK;
}

static enum moka_status expand(struct work *k, struct moka_error *err)
{
	const struct annotated *s = k->s;
	const struct moka_image *in = &k->b->image;
	const struct moka_list mean = s->plain.mean_value;
	uint8_t fill[4] = { 0 };
	int64_t h, w, top, left;
	double ratio;

	if (!s->expand || (float)moka_rng_uniform(&k->rng) > s->expand_prob || fabsf(s->expand_ratio - 1) < 1e-2f)
		return MOKA_OK;
	ratio = 1 + (s->expand_ratio - 1) * moka_rng_uniform(&k->rng);
	h = (int64_t)((double)in->height * ratio);
	w = (int64_t)((double)in->width * ratio);
	top = (int64_t)moka_rng_below(&k->rng, (uint64_t)(h - in->height + 1));
	left = (int64_t)moka_rng_below(&k->rng, (uint64_t)(w - in->width + 1));
	for (int i = 0; mean.n && i < in->channels && i < 4; i++) {
		const float v = rintf(MOKA_LIST_AT(mean, float, mean.n == 1 ? 0 : i));

		fill[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
	}
	const float iw = (float)in->width, ih = (float)in->height;
	const struct moka__rect frame = { -(float)left / iw, -(float)top / ih, (float)(w - left) / iw,
					  (float)(h - top) / ih };

	k->n = moka__objects_project(k->o, k->n, frame, &s->emit);
	return place_on(k->b, h, w, top, left, fill, err);
}

/* ---- cut-outs ---------------------------------------------------------------------------------------------------- */

static float between(struct moka_rng *rng, float low, float high)
{
	return low + (high - low) * (float)moka_rng_uniform(rng);
}

static struct moka__rect draw_rect(const struct sampler *p, struct moka_rng *rng)
{
	const float scale = between(rng, p->min_scale, p->max_scale);
	float aspect = between(rng, p->min_aspect, p->max_aspect), w, h, x, y;

	aspect = MOKA_MIN(MOKA_MAX(aspect, scale * scale), 1 / (scale * scale));
	w = scale * sqrtf(aspect);
	h = scale / sqrtf(aspect);
	x = between(rng, 0, 1 - w);
	y = between(rng, 0, 1 - h);
	return (struct moka__rect){ x, y, x + w, y + h };
}

static bool within(const struct sampler *p, int which, float v)
{
	return v >= p->least[which] && v <= p->most[which];
}

/* As SSD has it: objects are asked in turn, and a cut-out does where some object met the first wish, even if it failed a later one. */
static bool satisfies(const struct sampler *p, struct moka__rect r, const struct moka__object *o, int64_t n)
{
	bool found = false;

	if (!p->by_overlap && !p->by_sample && !p->by_object)
		return true;
	for (int64_t i = 0; i < n; i++) {
		if (p->by_overlap && !within(p, 0, moka__rect_overlap(r, o[i].box)))
			continue;
		found |= p->by_overlap;
		if (p->by_sample && !within(p, 1, moka__rect_coverage(r, o[i].box)))
			continue;
		found |= p->by_sample;
		if (p->by_object && !within(p, 2, moka__rect_coverage(o[i].box, r)))
			continue;
		return true;
	}
	return found;
}

/* One of all the cut-outs that do, each as likely: the i-th replaces the one before with a chance of 1 in i. */
static bool choose_rect(struct work *k, struct moka__rect *out)
{
	uint64_t all = 0;

	for (int i = 0; i < k->s->n_sampler; i++) {
		const struct sampler *p = &k->s->sampler[i];
		int64_t found = 0;

		for (int64_t t = 0; p->use_original && t < p->max_trials && !(p->limited && found >= p->max_sample);
		     t++) {
			const struct moka__rect r = draw_rect(p, &k->rng);

			if (!satisfies(p, r, k->o, k->n))
				continue;
			found++;
			if (!moka_rng_below(&k->rng, ++all))
				*out = r;
		}
	}
	return all > 0;
}

static enum moka_status cut_out(struct work *k, struct moka_error *err)
{
	static const uint8_t none[4] = { 0 };
	const struct moka_image *in = &k->b->image;
	struct moka__rect r;

	if (!choose_rect(k, &r))
		return MOKA_OK;
	r = (struct moka__rect){ MOKA_MAX(r.x1, 0), MOKA_MAX(r.y1, 0), MOKA_MIN(r.x2, 1), MOKA_MIN(r.y2, 1) };
	const float w = (float)in->width, h = (float)in->height;
	const int64_t width = (int64_t)(r.x2 * w - r.x1 * w), height = (int64_t)(r.y2 * h - r.y1 * h);

	if (width < 1 || height < 1) /* less than a pixel of a small picture: as it is */
		return MOKA_OK;
	k->n = moka__objects_project(k->o, k->n, r, &k->s->emit);
	return place_on(k->b, height, width, -(int64_t)(r.y1 * h), -(int64_t)(r.x1 * w), none, err);
}

/* ---- resize -------------------------------------------------------------------------------------------------------- */

static enum moka__interp draw_interp(struct work *k)
{
	const struct resize *r = &k->s->resize;

	return r->n_interp ? (enum moka__interp)r->interp[moka_rng_below(&k->rng, r->n_interp)] : MOKA__LINEAR;
}

/* Row or column i of the border: that of the picture which fills it. */
static int64_t border(int64_t i, int64_t n, bool mirrored)
{
	if (!mirrored || n < 2)
		return i < 0 ? 0 : i < n ? i : n - 1;
	i %= 2 * (n - 1);
	i = i < 0 ? i + 2 * (n - 1) : i;
	return i < n ? i : 2 * (n - 1) - i;
}

static enum moka_status pad(struct work *k, int64_t top, int64_t left, struct moka_error *err)
{
	const struct resize *r = &k->s->resize;
	struct moka_image *in = &k->b->image, *out = &k->b->other;
	const int64_t c = in->channels, h = in->height, w = in->width;
	uint8_t fill[4] = { 0 };

	for (int i = 0; r->n_value && i < 4; i++) {
		const double v = r->value[r->n_value == 1 ? 0 : MOKA_MIN((size_t)i, r->n_value - 1)];

		fill[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
	}
	if (r->pad == PAD_CONSTANT)
		return place_on(k->b, r->height, r->width, top, left, fill, err);
	MOKA_TRY(moka__image_prepare(out, r->height, r->width, c, SIZE_MAX, k->b->sample.where, err));
	for (int64_t i = 0; i < r->height * r->width; i++) {
		const int64_t y = border(i / r->width - top, h, r->pad == PAD_MIRRORED),
			      x = border(i % r->width - left, w, r->pad == PAD_MIRRORED);

		memcpy(out->pixels + i * c, in->pixels + (y * w + x) * c, (size_t)c);
	}
	swap(k->b);
	return MOKA_OK;
}

static enum moka_status resize(struct work *k, struct moka_error *err)
{
	const struct resize *r = &k->s->resize;
	struct moka__bench *b = k->b;
	const double aspect = (double)b->image.width / (double)b->image.height;
	const bool pads = r->mode == FIT_PAD, wide = aspect > (double)r->width / (double)r->height;
	const int64_t h = pads && wide ? (int64_t)((double)r->width / aspect) : r->height,
		      w = pads && !wide ? (int64_t)(aspect * (double)r->height) : r->width;
	const double bar = wide ? ((double)r->height - (double)r->width / aspect) / 2 / (double)r->height
				: ((double)r->width - aspect * (double)r->height) / 2 / (double)r->width;

	if (!r->on)
		return MOKA_OK;
	MOKA_TRY(moka__resample(&b->image, MOKA_MAX(h, 1), MOKA_MAX(w, 1), draw_interp(k), &b->other, err));
	swap(b);
	if (!pads)
		return MOKA_OK;
	for (int64_t i = 0; i < k->n; i++) {
		float *low = wide ? &k->o[i].box.y1 : &k->o[i].box.x1, *high = wide ? &k->o[i].box.y2 : &k->o[i].box.x2;

		*low = (float)(bar + *low * (1 - 2 * bar));
		*high = (float)(bar + *high * (1 - 2 * bar));
	}
	return pad(k, (r->height - b->image.height) / 2, (r->width - b->image.width) / 2, err);
}

/* ---- crop, mirror ---------------------------------------------------------------------------------------------------- */

static enum moka_status check_crop(const struct annotated *s, int64_t h, int64_t w, const char *where,
				   struct moka_error *err)
{
	if (s->crop_h <= h && s->crop_w <= w)
		return MOKA_OK;
	return moka_fail(err, MOKA_ERR_DATA,
			 "%s: the picture is %" PRId64 " high and %" PRId64 " wide, too small to cut %" PRId64
			 " x %" PRId64 " out of it",
			 where, h, w, s->crop_h, s->crop_w);
}

static enum moka_status crop(struct work *k, struct moka_error *err)
{
	static const uint8_t none[4] = { 0 };
	const struct annotated *s = k->s;
	const int64_t h = k->b->image.height, w = k->b->image.width, ch = s->crop_h, cw = s->crop_w;
	struct moka__rect frame = { 0, 0, 1, 1 };
	int64_t top, left;

	MOKA_TRY(check_crop(s, h, w, k->b->sample.where, err));
	if (!ch) {
		k->n = moka__objects_project(k->o, k->n, frame, &s->emit);
		return MOKA_OK;
	}
	top = s->phase == MOKA_TRAIN ? (int64_t)moka_rng_below(&k->rng, (uint64_t)(h - ch + 1)) : (h - ch) / 2;
	left = s->phase == MOKA_TRAIN ? (int64_t)moka_rng_below(&k->rng, (uint64_t)(w - cw + 1)) : (w - cw) / 2;
	frame = (struct moka__rect){ (float)left / (float)w, (float)top / (float)h, (float)(left + cw) / (float)w,
				     (float)(top + ch) / (float)h };
	k->n = moka__objects_project(k->o, k->n, frame, &s->emit);
	return place_on(k->b, ch, cw, -top, -left, none, err);
}

static void flip(struct work *k)
{
	struct moka_image *img = &k->b->image;
	const int64_t c = img->channels, w = img->width;

	for (int64_t y = 0; y < img->height; y++)
		for (int64_t x = 0; x < w / 2; x++)
			for (int64_t i = 0; i < c; i++) {
				uint8_t *p = img->pixels + (y * w + x) * c + i,
					*q = img->pixels + (y * w + w - 1 - x) * c + i;
				const uint8_t t = *p;

				*p = *q;
				*q = t;
			}
	for (int64_t i = 0; i < k->n; i++) {
		const float x1 = k->o[i].box.x1;

		k->o[i].box.x1 = 1 - k->o[i].box.x2;
		k->o[i].box.x2 = 1 - x1;
	}
}

static enum moka_status walk(struct work *k, struct moka_error *err)
{
	const struct annotated *s = k->s;
	const bool mirrors = s->mirror && moka_rng_below(&k->rng, 2);

	if (s->distort.on)
		moka__distort_run(&s->distort, &k->b->image, &k->rng);
	MOKA_TRY(expand(k, err));
	MOKA_TRY(cut_out(k, err));
	MOKA_TRY(resize(k, err));
	if (s->noise.on)
		MOKA_TRY(moka__noise_run(&s->noise, &k->b->image, &k->b->other, &k->rng, k->b->sample.where, err));
	MOKA_TRY(crop(k, err));
	if (mirrors)
		flip(k);
	return MOKA_OK;
}

/* ---- records ----------------------------------------------------------------------------------------------------------- */

static enum moka_status decode(const struct annotated *s, struct moka__bench *b, const struct moka__annotated *a,
			       int64_t *label, struct moka_error *err)
{
	const char *where = b->sample.where;
	struct moka_datum d;

	MOKA_TRY(moka_datum_parse(&d, a->datum, a->datum_bytes, where, err));
	*label = d.label;
	if (d.encoded)
		return moka_image_decode(&b->image, d.data, d.data_bytes, where, s->mode, err);
	if (!d.data_bytes || d.channels > 4)
		return moka_fail(err, MOKA_ERR_DATA, "%s: not a picture of bytes in 1 to 4 channels", where);
	MOKA_TRY(moka__image_prepare(&b->image, d.height, d.width, d.channels, SIZE_MAX, where, err));
	const int64_t plane = d.height * d.width;

	for (int64_t i = 0; i < plane * d.channels; i++)
		b->image.pixels[i % plane * d.channels + i / plane] = d.data[i];
	return MOKA_OK;
}

static void write_rows(const struct work *k, int64_t place, int64_t most, real *row)
{
	for (int64_t i = 0; i < most; i++, row += ROW) {
		const struct moka__object *o = i < k->n ? &k->o[i] : NULL;

		for (int j = 0; j < ROW; j++)
			row[j] = -1;
		if (!o)
			continue;
		row[0] = (real)place;
		row[1] = (real)o->label;
		row[2] = (real)o->instance;
		row[3] = (real)o->box.x1;
		row[4] = (real)o->box.y1;
		row[5] = (real)o->box.x2;
		row[6] = (real)o->box.y2;
		row[7] = (real)o->difficult;
	}
}

static enum moka_status annotated_make(void *self, struct moka__bench *b, int n_top, real *const *top, int64_t place,
				       struct moka_error *err)
{
	const struct annotated *s = self;
	struct work k = { .s = s, .b = b };
	struct moka__annotated a;
	struct moka_rng unused;
	int64_t label, size[3];

	b->objects.len = 0;
	MOKA_TRY(moka__annotated_parse(&a, b->sample.bytes, b->sample.n_bytes, &b->objects, b->sample.where, err));
	MOKA_TRY(decode(s, b, &a, &label, err));
	k.o = (struct moka__object *)(void *)b->objects.data;
	k.n = a.n;
	moka_rng_seed(&k.rng, s->seed, b->sample.k);
	MOKA_TRY(walk(&k, err));
	MOKA_TRY(moka_transform_shape(&s->transform, b->image.channels, b->image.height, b->image.width, size,
				      b->sample.where, err));
	if (memcmp(size, s->size.d, sizeof(size))) {
		moka_fail(err, MOKA_ERR_DATA,
			  "%s: the picture is %" PRId64 "x%" PRId64 "x%" PRId64 ", but the first one is %" PRId64
			  "x%" PRId64 "x%" PRId64,
			  b->sample.where, size[0], size[1], size[2], s->size.d[0], s->size.d[1], s->size.d[2]);
		moka_fail_hint(
			err,
			"set transform_param { resize_param { height: H width: W } }, and force_color or force_gray");
		return MOKA_ERR_DATA;
	}
	moka_rng_seed(&unused, 0, 0);
	moka_transform_image(&s->transform, &b->image, &unused, top[0] + place * size[0] * size[1] * size[2]);
	if (n_top > 1 && s->boxes)
		write_rows(&k, place, s->most, top[1] + place * s->most * ROW);
	else if (n_top > 1)
		top[1][place] = (real)label;
	return MOKA_OK;
}

/* Rows of objects to the front, in their order. */
static enum moka_status annotated_finish(void *self, int n_top, real *const *top, struct moka_error *err)
{
	const struct annotated *s = self;
	int64_t kept = 0;

	(void)err;
	for (int64_t i = 0; n_top > 1 && s->boxes && i < s->batch * s->most; i++) {
		if (top[1][i * ROW] < 0)
			continue;
		if (i > kept) {
			memcpy(top[1] + kept * ROW, top[1] + i * ROW, ROW * sizeof(real));
			top[1][i * ROW] = -1;
			for (int j = 1; j < ROW; j++)
				top[1][i * ROW + j] = -1;
		}
		kept++;
	}
	return MOKA_OK;
}

static enum moka_status annotated_seek(void *self, uint64_t k, struct moka_error *err)
{
	const struct annotated *s = self;

	return moka_db_seek(s->db, k + s->start, err);
}

static enum moka_status annotated_fetch(void *self, struct moka__bench *b, struct moka_error *err)
{
	struct annotated *s = self;
	const uint8_t *key, *value;
	size_t key_bytes, n;

	for (int i = 0; i < 2; i++) {
		MOKA_TRY(moka_db_next(s->db, &key, &key_bytes, &value, &n, err));
		if (key)
			break;
		moka_db_rewind(s->db);
	}
	if (!key)
		return moka_fail(err, MOKA_ERR_DATA, "%s: this %s is empty", s->path, moka_backend_name(s->kind));
	moka_db_where(s->db, b->sample.where, sizeof(b->sample.where));
	b->sample.record = moka_db_record(s->db);
	b->sample.n_bytes = n;
	b->sample.bytes = value;
	if (s->kind == MOKA_LMDB)
		return MOKA_OK;
	b->bytes.len = 0; /* a LevelDB's record stays only until the next one is looked at */
	moka_buf_add(&b->bytes, value, n);
	b->sample.bytes = (const uint8_t *)b->bytes.data;
	if (!b->bytes.failed)
		return MOKA_OK;
	b->bytes.failed = false;
	return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for a record", b->sample.where);
}

/* ---- settings ----------------------------------------------------------------------------------------------------------- */

static bool read_range(const struct moka_msg *m, const char *least, const char *most, float *low, float *high)
{
	const bool has_least = m && moka_has(m, least), has_most = m && moka_has(m, most);

	*low = has_least ? (float)moka_get_float(m, least) : -INFINITY;
	*high = has_most ? (float)moka_get_float(m, most) : INFINITY;
	return has_least || has_most;
}

static enum moka_status read_sampler(struct sampler *p, const struct moka_msg *m, int number, struct moka_error *err)
{
	const struct moka_msg *r = moka_get_msg(m, "sampler"), *c = moka_get_msg(m, "sample_constraint");

	*p = (struct sampler){ .use_original = moka_get_int(m, "use_original_image"),
			       .min_scale = 1,
			       .max_scale = 1,
			       .min_aspect = 1,
			       .max_aspect = 1,
			       .limited = moka_has(m, "max_sample"),
			       .max_sample = moka_get_int(m, "max_sample"),
			       .max_trials = MOKA_MIN(moka_get_int(m, "max_trials"), 1000000) };
	if (r) {
		p->min_scale = (float)moka_get_float(r, "min_scale");
		p->max_scale = (float)moka_get_float(r, "max_scale");
		p->min_aspect = (float)moka_get_float(r, "min_aspect_ratio");
		p->max_aspect = (float)moka_get_float(r, "max_aspect_ratio");
	}
	p->by_overlap = read_range(c, "min_jaccard_overlap", "max_jaccard_overlap", &p->least[0], &p->most[0]);
	p->by_sample = read_range(c, "min_sample_coverage", "max_sample_coverage", &p->least[1], &p->most[1]);
	p->by_object = read_range(c, "min_object_coverage", "max_object_coverage", &p->least[2], &p->most[2]);
	if (p->min_scale > 0 && p->min_scale <= p->max_scale && p->max_scale <= 1 && p->min_aspect > 0 &&
	    p->min_aspect <= p->max_aspect && p->max_aspect < INFINITY)
		return MOKA_OK;
	return moka_fail(
		err, MOKA_ERR_MODEL,
		"batch_sampler %d: a sampler's scales go from min_scale (above 0) to max_scale (at most 1), here %g to %g; its "
		"aspect ratios from min_aspect_ratio (above 0) to max_aspect_ratio, here %g to %g",
		number, (double)p->min_scale, (double)p->max_scale, (double)p->min_aspect, (double)p->max_aspect);
}

static enum moka_status read_samplers(struct annotated *s, const struct moka_msg *sub, struct moka_error *err)
{
	for (const struct moka_node *n = NULL; sub && (n = moka_next(sub, "batch_sampler", n));) {
		if (s->n_sampler == MAX_SAMPLERS)
			return moka_fail(err, MOKA_ERR_LIMIT, "more than %d batch_sampler", MAX_SAMPLERS);
		MOKA_TRY(read_sampler(&s->sampler[s->n_sampler], n->u.m, s->n_sampler + 1, err));
		s->n_sampler++;
	}
	return MOKA_OK;
}

static enum moka_status read_resize(struct resize *r, const struct moka_msg *m, int64_t batch, struct moka_error *err)
{
	if (!m)
		return MOKA_OK;
	*r = (struct resize){ .on = true,
			      .height = moka_get_int(m, "height"),
			      .width = moka_get_int(m, "width"),
			      .mode = moka_get_int(m, "resize_mode"),
			      .pad = moka_get_int(m, "pad_mode") };
	r->n_interp =
		MOKA_MIN(moka_get_ints(m, "interp_mode", r->interp, MOKA_COUNT(r->interp)), MOKA_COUNT(r->interp));
	r->n_value = MOKA_MIN(moka_get_floats(m, "pad_value", r->value, MOKA_COUNT(r->value)), MOKA_COUNT(r->value));
	if (r->height < 1 || r->width < 1 || r->height > MOKA_MAX_IMAGE_PIXELS / r->width)
		return moka_fail(err, MOKA_ERR_MODEL,
				 "resize_param: height %" PRId64 " and width %" PRId64 " are no size for a picture",
				 r->height, r->width);
	if (r->mode == FIT_SMALL) {
		moka_fail(err, MOKA_ERR_UNSUPPORTED,
			  "resize_param: FIT_SMALL_SIZE gives each picture a size of its own (batch_size is %" PRId64
			  "), and a net here has one size for all",
			  batch);
		moka_fail_hint(err, "WARP or FIT_LARGE_SIZE_AND_PAD give all pictures one size");
		return MOKA_ERR_UNSUPPORTED;
	}
	return MOKA_OK;
}

static float number(const struct moka_msg *m, const char *name)
{
	return (float)moka_get_float(m, name);
}

static enum moka_status read_distort(struct moka__distort *d, const struct moka_msg *m, struct moka_error *err)
{
	if (!m)
		return MOKA_OK;
	*d = (struct moka__distort){ true,
				     number(m, "brightness_prob"),
				     number(m, "brightness_delta"),
				     number(m, "contrast_prob"),
				     number(m, "contrast_lower"),
				     number(m, "contrast_upper"),
				     number(m, "hue_prob"),
				     number(m, "hue_delta"),
				     number(m, "saturation_prob"),
				     number(m, "saturation_lower"),
				     number(m, "saturation_upper"),
				     number(m, "random_order_prob") };
	if (d->brightness_delta < 0 || d->hue_delta < 0 || d->contrast_lower < 0 || d->saturation_lower < 0 ||
	    d->contrast_upper < d->contrast_lower || d->saturation_upper < d->saturation_lower)
		return moka_fail(
			err, MOKA_ERR_MODEL,
			"distort_param: deltas and lower factors must not be negative, nor an upper factor below its lower one");
	return MOKA_OK;
}

static enum moka_status read_noise(struct moka__noise *p, const struct moka_msg *m, struct moka_error *err)
{
	const struct moka_msg *salt = m ? moka_get_msg(m, "saltpepper_param") : NULL;

	if (!m)
		return MOKA_OK;
	*p = (struct moka__noise){ .on = true,
				   .hist_eq = moka_get_int(m, "hist_eq"),
				   .inverse = moka_get_int(m, "inverse"),
				   .decolorize = moka_get_int(m, "decolorize"),
				   .blur = moka_get_int(m, "gauss_blur"),
				   .posterize = moka_get_int(m, "posterize"),
				   .erode = moka_get_int(m, "erode"),
				   .pepper = moka_get_int(m, "saltpepper"),
				   .to_hsv = moka_get_int(m, "convert_to_hsv"),
				   .jpeg = moka_get_float(m, "jpeg"),
				   .fraction = salt ? moka_get_float(salt, "fraction") : 0 };
	p->n_values = salt ? MOKA_MIN(moka_get_floats(salt, "value", p->value, 4), (size_t)4) : 0;
	if (p->fraction < 0 || p->fraction > 1)
		return moka_fail(err, MOKA_ERR_MODEL, "saltpepper_param: fraction is %g, and 0 to 1 is possible",
				 p->fraction);
	if (moka_get_int(m, "clahe") || moka_get_int(m, "convert_to_lab"))
		return moka_fail(err, MOKA_ERR_UNSUPPORTED, "noise_param: clahe and convert_to_lab can't be done here");
	return MOKA_OK;
}

static enum moka_status read_transform(struct annotated *s, const struct moka_layer *l, struct moka_error *err)
{
	const struct moka_msg *t = l->msg ? moka_get_msg(l->msg, "transform_param") : NULL, *m;

	s->plain = *l->transform;
	s->mirror = s->plain.mirror;
	s->crop_h = s->crop_w = s->plain.crop_size;
	s->plain.mirror = false;
	s->plain.crop_size = 0;
	s->transform.p = &s->plain;
	s->mode = moka__mode_of(&s->plain);
	if (!t)
		return MOKA_OK;
	if (!s->crop_h && moka_get_int(t, "crop_h") > 0 && moka_get_int(t, "crop_w") > 0) {
		s->crop_h = moka_get_int(t, "crop_h");
		s->crop_w = moka_get_int(t, "crop_w");
	}
	MOKA_TRY(read_resize(&s->resize, moka_get_msg(t, "resize_param"), s->batch, err));
	MOKA_TRY(read_distort(&s->distort, moka_get_msg(t, "distort_param"), err));
	MOKA_TRY(read_noise(&s->noise, moka_get_msg(t, "noise_param"), err));
	m = moka_get_msg(t, "emit_constraint");
	if (m)
		s->emit = (struct moka__emit){ true, moka_get_int(m, "emit_type") == 1, number(m, "emit_overlap") };
	m = moka_get_msg(t, "expand_param");
	s->expand = m != NULL;
	s->expand_prob = m ? number(m, "prob") : 0;
	s->expand_ratio = m ? number(m, "max_expand_ratio") : 1;
	if (!(s->expand_ratio >= 1 && s->expand_ratio <= 100))
		return moka_fail(err, MOKA_ERR_MODEL, "expand_param: max_expand_ratio is %g, and 1 to 100 is possible",
				 (double)s->expand_ratio);
	return MOKA_OK;
}

/* ---- open and close --------------------------------------------------------------------------------------------------------- */

/* How many objects a picture can have: all records are looked at, their pictures aren't. Damaged ones speak up when they are read. */
static enum moka_status count_objects(struct annotated *s, struct moka_error *err)
{
	const uint8_t *key, *value;
	size_t key_bytes, n;
	struct moka__annotated a;

	s->most = 1;
	moka_db_rewind(s->db);
	for (;;) {
		MOKA_TRY(moka_db_next(s->db, &key, &key_bytes, &value, &n, err));
		if (!key)
			return MOKA_OK;
		if (!moka__annotated_parse(&a, value, n, NULL, s->path, NULL))
			s->most = MOKA_MAX(s->most, MOKA_MIN(a.n, MAX_OBJECTS));
	}
}

/* Of the first record that can be read. */
static enum moka_status learn_size(struct annotated *s, const struct moka_layer *l, struct moka_error *err)
{
	const bool anno_type = l->sub && moka_has(l->sub, "anno_type");
	enum moka_status st = MOKA_ERR_DATA;
	struct moka__bench b = { 0 };
	struct moka__annotated a;
	int64_t label;

	moka_db_rewind(s->db);
	for (int64_t i = 0; st && i <= l->skip_bad; i++) {
		st = annotated_fetch(s, &b, err);
		if (st)
			break;
		st = moka__annotated_parse(&a, b.sample.bytes, b.sample.n_bytes, NULL, b.sample.where, err);
		if (!st)
			st = decode(s, &b, &a, &label, err);
	}
	if (!st) {
		const int64_t h = s->resize.on ? s->resize.height : b.image.height,
			      w = s->resize.on ? s->resize.width : b.image.width;

		s->boxes = anno_type || a.has_type;
		st = check_crop(s, h, w, b.sample.where, err);
		if (!st)
			st = moka_transform_shape(&s->transform, b.image.channels, s->crop_h ? s->crop_h : h,
						  s->crop_w ? s->crop_w : w, s->size.d, b.sample.where, err);
	}
	moka__bench_release(&b);
	return st;
}

static void annotated_close(void *self)
{
	struct annotated *s = self;

	if (!s)
		return;
	moka_db_close(s->db);
	moka_transform_release(&s->transform);
	free(s->path);
	free(s);
}

static enum moka_status set_up(struct annotated *s, const struct moka_source_spec *spec, struct moka_error *err)
{
	const struct moka_layer *l = spec->layer;
	const struct moka_msg *data = l->msg ? moka_get_msg(l->msg, "data_param") : NULL;
	const int64_t most = data ? moka_get_int(data, "rand_skip") : 0;
	struct moka_rng rng;

	moka_rng_seed(&rng, spec->seed, UINT64_MAX);
	s->start = most > 0 ? moka_rng_below(&rng, (uint64_t)most) : 0;
	s->path = strdup(spec->path);
	if (!s->path)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	MOKA_TRY(moka_transform_init(&s->transform, l, err));
	MOKA_TRY(read_transform(s, l, err));
	MOKA_TRY(read_samplers(s, l->sub, err));
	MOKA_TRY(moka_db_open(&s->db, s->kind, spec->path, err));
	MOKA_TRY(learn_size(s, l, err));
	MOKA_TRY(count_objects(s, err));
	return annotated_seek(s, 0, err);
}

static enum moka_status annotated_open(void **out, const struct moka_source_spec *spec, struct moka_error *err)
{
	struct annotated *s = calloc(1, sizeof(*s));
	enum moka_status st;

	*out = NULL;
	if (!s)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	s->kind = strcmp(spec->kind, "ANNOTATED_LMDB") ? MOKA_LEVELDB : MOKA_LMDB;
	s->batch = spec->batch;
	s->seed = spec->seed;
	s->phase = spec->layer->phase;
	st = set_up(s, spec, err);
	if (st)
		annotated_close(s);
	else
		*out = s;
	return st;
}

static enum moka_status annotated_shape(const void *self, int top, struct moka_shape *out, struct moka_error *err)
{
	const struct annotated *s = self;

	if (top > 1)
		return moka_fail(err, MOKA_ERR_MODEL,
				 "AnnotatedData gives two tops, pictures and objects; there is no top %d", top);
	if (!top)
		*out = moka_shape_make(4, s->batch, s->size.d[0], s->size.d[1], s->size.d[2]);
	else
		*out = s->boxes ? moka_shape_make(4, (int64_t)1, (int64_t)1, s->batch * s->most, (int64_t)ROW)
				: moka_shape_make(1, s->batch);
	return MOKA_OK;
}

static int64_t annotated_rows(const void *self)
{
	const struct annotated *s = self;

	return s->kind == MOKA_LMDB ? moka_db_rows(s->db) : 0;
}

static const struct moka__maker annotated_maker = {
	.open = annotated_open,
	.close = annotated_close,
	.shape = annotated_shape,
	.rows = annotated_rows,
	.seek = annotated_seek,
	.fetch = annotated_fetch,
	.make = annotated_make,
	.finish = annotated_finish,
};

static enum moka_status open_ahead(struct moka_source **out, const struct moka_source_spec *spec,
				   struct moka_error *err)
{
	return moka__ahead_open(out, spec, &annotated_maker, err);
}

const struct moka_source_ops moka_source_annotated_lmdb = MOKA__AHEAD("ANNOTATED_LMDB", open_ahead);
const struct moka_source_ops moka_source_annotated_leveldb = MOKA__AHEAD("ANNOTATED_LEVELDB", open_ahead);
