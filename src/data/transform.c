/*
 * transform.c - what a data layer does to one picture: crop, mirror, mean, scale. As BVLC's DataTransformer, value for value.
 */
#include "data/data.h"

#include <inttypes.h>
#include <string.h>

static enum moka_status open_mean(struct moka_transform *t, const struct moka_layer *l, struct moka_error *err)
{
	const char *beside = l->msg && l->msg->text ? l->msg->text->path : NULL;
	const struct moka_array *m = &t->mean;

	t->mean_path = beside ? moka_path_resolve(l->arena, t->p->mean_file, beside) : t->p->mean_file;
	if (!t->mean_path)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	MOKA_TRY(moka_mean_read(&t->mean, t->mean_path, err));
	if (m->n_axes == 3 || (m->n_axes == 4 && m->dim[0] == 1)) {
		t->mean_c = m->dim[m->n_axes - 3];
		t->mean_h = m->dim[m->n_axes - 2];
		t->mean_w = m->dim[m->n_axes - 1];
		return MOKA_OK;
	}
	return moka_fail(err, MOKA_ERR_DATA, "%s: a mean image has the shape 1xCxHxW, not %d axes", t->mean_path,
			 m->n_axes);
}

enum moka_status moka_transform_init(struct moka_transform *t, const struct moka_layer *l, struct moka_error *err)
{
	const struct moka_transform_param *p = l->transform;
	enum moka_status st;

	memset(t, 0, sizeof(*t));
	t->p = p;
	t->phase = l->phase;
	if (p->mean_file && *p->mean_file && p->mean_value.n)
		return moka_fail(err, MOKA_ERR_MODEL,
				 "transform_param says both mean_file and mean_value; only one of them is possible");
	if (p->force_color && p->force_gray)
		return moka_fail(err, MOKA_ERR_MODEL,
				 "transform_param says both force_color and force_gray; only one of them is possible");
	if (!p->mean_file || !*p->mean_file)
		return MOKA_OK;
	st = open_mean(t, l, err);
	if (st)
		moka_transform_release(t);
	return st;
}

void moka_transform_release(struct moka_transform *t)
{
	moka_array_release(&t->mean);
}

enum moka_status moka_transform_shape(const struct moka_transform *t, int64_t c, int64_t h, int64_t w, int64_t out[3],
				      const char *where, struct moka_error *err)
{
	const int64_t crop = t->p->crop_size;
	const size_t n = t->p->mean_value.n;

	if (crop > h || crop > w)
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: the picture is %" PRId64 " high and %" PRId64
				 " wide, too small for crop_size %" PRId64,
				 where, h, w, crop);
	if (n > 1 && (int64_t)n != c)
		return moka_fail(err, MOKA_ERR_MODEL,
				 "%s: transform_param has %zu mean_value lines, but the picture has %" PRId64
				 " channels (1 or %" PRId64 " are right)",
				 where, n, c, c);
	if (t->mean.data && (t->mean_c != c || t->mean_h != h || t->mean_w != w))
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: the picture is %" PRId64 "x%" PRId64 "x%" PRId64
				 ", but the mean image '%s' is %" PRId64 "x%" PRId64 "x%" PRId64,
				 where, c, h, w, t->mean_path, t->mean_c, t->mean_h, t->mean_w);
	out[0] = c;
	out[1] = crop ? crop : h;
	out[2] = crop ? crop : w;
	return MOKA_OK;
}

/* One row: values from place `at` on, to out forwards or backwards. */
struct row {
	const uint8_t *bytes, *floats;
	int64_t step;	  /* from one byte to the next: 1 in planes, the channels in a picture */
	uint32_t stride;  /* of floats */
	const real *mean; /* per pixel; NULL: `value` for all */
	real value, scale;
};

static real sample(const struct row *r, int64_t i)
{
	float f;

	if (r->bytes)
		return (real)r->bytes[i * r->step];
	memcpy(&f, r->floats + (size_t)i * r->stride, 4);
	return (real)f;
}

/* The usual case, with a step that is known when this is compiled. */
static inline void run_bytes(const struct row *r, int64_t at, int64_t n, int64_t step, bool mirror, real *out)
{
	const uint8_t *in = r->bytes + at * step;
	const real value = r->value, scale = r->scale;

	if (mirror)
		for (int64_t i = 0; i < n; i++)
			out[n - 1 - i] = ((real)in[i * step] - value) * scale;
	else
		for (int64_t i = 0; i < n; i++)
			out[i] = ((real)in[i * step] - value) * scale;
}

static void run_row(const struct row *r, int64_t at, int64_t n, bool mirror, real *out)
{
	if (r->bytes && !r->mean && r->step == 1) {
		run_bytes(r, at, n, 1, mirror, out);
		return;
	}
	if (r->bytes && !r->mean && r->step == 3) {
		run_bytes(r, at, n, 3, mirror, out);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		out[mirror ? n - 1 - i : i] = (sample(r, at + i) - (r->mean ? r->mean[at + i] : r->value)) * r->scale;
}

/* What the sample's own random numbers decide, in this order: mirror, then where the crop is. */
struct draw {
	bool mirror;
	int64_t top, left, h, w;
};

static struct draw draw(const struct moka_transform *t, int64_t h, int64_t w, struct moka_rng *rng)
{
	const int64_t crop = t->p->crop_size;
	const bool random = crop && t->phase == MOKA_TRAIN;
	struct draw d = { .h = crop ? crop : h, .w = crop ? crop : w };

	d.mirror = t->p->mirror && moka_rng_below(rng, 2);
	d.top = random ? (int64_t)moka_rng_below(rng, (uint64_t)(h - d.h + 1)) : (h - d.h) / 2;
	d.left = random ? (int64_t)moka_rng_below(rng, (uint64_t)(w - d.w + 1)) : (w - d.w) / 2;
	return d;
}

static real mean_value(const struct moka_transform *t, int64_t channel)
{
	const struct moka_list values = t->p->mean_value;

	return values.n ? (real)MOKA_LIST_AT(values, float, values.n == 1 ? 0 : channel) : 0;
}

void moka_transform_run(const struct moka_transform *t, int64_t c, int64_t h, int64_t w, const uint8_t *bytes,
			const uint8_t *floats, uint32_t stride, struct moka_rng *rng, real *out)
{
	const struct draw d = draw(t, h, w, rng);
	struct row r = { bytes, floats, 1, stride, t->mean.data, 0, (real)t->p->scale };

	for (int64_t i = 0; i < c; i++) {
		r.value = mean_value(t, i);
		for (int64_t y = 0; y < d.h; y++, out += d.w)
			run_row(&r, (i * h + d.top + y) * w + d.left, d.w, d.mirror, out);
	}
}

void moka_transform_image(const struct moka_transform *t, const struct moka_image *img, struct moka_rng *rng, real *out)
{
	const int64_t c = img->channels, plane = img->height * img->width;
	const struct draw d = draw(t, img->height, img->width, rng);
	struct row r = { .step = c, .scale = (real)t->p->scale };

	for (int64_t i = 0; i < c; i++) {
		r.bytes = img->pixels + i;
		r.mean = t->mean.data ? t->mean.data + i * plane : NULL;
		r.value = mean_value(t, i);
		for (int64_t y = 0; y < d.h; y++, out += d.w)
			run_row(&r, (d.top + y) * img->width + d.left, d.w, d.mirror, out);
	}
}
