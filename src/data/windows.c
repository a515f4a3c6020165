/*
 * windows.c - the WindowData layer's samples: windows cut out of pictures and warped to one size, as for R-CNN.
 *
 * A batch has fg_fraction objects behind the background windows. Each is drawn at random from its kind, by a stream of the
 * sample's own, and mirrored by another draw of it. With context_pad (or crop_mode "square") the window is widened so that
 * after warping there is so much of its surroundings on each side; what lies outside of the picture stays 0, which is the mean.
 *
 * As in Caffe, the scale is window_data_param's; the rest of the transform is transform_param's.
 */
#include "data/ahead.h"
#include "data/windows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

struct cached {
	const uint8_t *bytes;
	size_t n;
};

struct windows {
	struct moka_arena arena;
	struct moka__windows list;
	struct cached *cache; /* of each picture; NULL: they are read each time */
	struct moka_transform transform;
	int64_t batch, objects, crop, pad;
	bool square;
	real scale;
	uint64_t seed, next;
};

static enum moka_status windows_seek(void *self, uint64_t k, struct moka_error *err)
{
	struct windows *s = self;

	(void)err;
	s->next = k;
	return MOKA_OK;
}

static enum moka_status windows_fetch(void *self, struct moka__bench *b, struct moka_error *err)
{
	struct windows *s = self;
	const int64_t place = (int64_t)(s->next % (uint64_t)s->batch);
	const int kind = place >= s->batch - s->objects;
	const struct moka__window_list *l = &s->list.kind[kind];
	const struct moka__window *w;
	struct moka_rng rng;

	(void)err;
	moka_rng_seed(&rng, s->seed, s->next++);
	w = &l->w[moka_rng_below(&rng, (uint64_t)l->n)];
	b->sample.item = w;
	b->sample.record = w - l->w + (kind ? s->list.kind[0].n : 0);
	snprintf(b->sample.where, sizeof(b->sample.where), "%.300s (window of %.150s:%" PRId64 ")",
		 s->list.images[w->image].path, s->list.file, w->line);
	return MOKA_OK;
}

/* ---- geometry ----------------------------------------------------------------------------------------- */

/* The part of the picture that is cut out, the size it is warped to, and where it goes in the result. */
struct cut {
	int64_t x1, y1, x2, y2;
	int64_t width, height;
	int64_t left, top;
};

static int64_t to_pixel(real v)
{
	return (int64_t)round(v);
}

/* The window with its surroundings, not yet clipped. */
static void widen(const struct windows *s, struct cut *c)
{
	const real context = (real)s->crop / (real)(s->crop - 2 * s->pad);
	real half_height = (real)((double)(c->y2 - c->y1 + 1) / 2),
	     half_width = (real)((double)(c->x2 - c->x1 + 1) / 2);
	const real x = (real)c->x1 + half_width, y = (real)c->y1 + half_height;

	if (s->square)
		half_height = half_width = MOKA_MAX(half_height, half_width);
	c->x1 = to_pixel(x - half_width * context);
	c->x2 = to_pixel(x + half_width * context);
	c->y1 = to_pixel(y - half_height * context);
	c->y2 = to_pixel(y + half_height * context);
}

/* Clips what lies outside of the picture; its share of the result becomes padding. */
static void clip(const struct windows *s, const struct moka_image *img, struct cut *c, bool mirror)
{
	const int64_t before_x = MOKA_MAX(0, -c->x1), before_y = MOKA_MAX(0, -c->y1);
	const int64_t behind_x = MOKA_MAX(0, c->x2 - img->width + 1), behind_y = MOKA_MAX(0, c->y2 - img->height + 1);
	const real scale_x = (real)s->crop / (real)(c->x2 - c->x1 + 1);
	const real scale_y = (real)s->crop / (real)(c->y2 - c->y1 + 1);

	c->x1 += before_x;
	c->x2 -= behind_x;
	c->y1 += before_y;
	c->y2 -= behind_y;
	c->width = to_pixel((real)(c->x2 - c->x1 + 1) * scale_x);
	c->height = to_pixel((real)(c->y2 - c->y1 + 1) * scale_y);
	c->top = to_pixel((real)before_y * scale_y);
	c->left = to_pixel((real)(mirror ? behind_x : before_x) * scale_x);
	c->height = MOKA_MIN(c->height, s->crop - c->top);
	c->width = MOKA_MIN(c->width, s->crop - c->left);
}

static enum moka_status find_cut(const struct windows *s, const struct moka__window *w, const struct moka_image *img,
				 bool mirror, struct cut *c, const char *where, struct moka_error *err)
{
	*c = (struct cut){ w->x1, w->y1, w->x2, w->y2, s->crop, s->crop, 0, 0 };
	if (c->x2 < c->x1 || c->y2 < c->y1)
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: it ends (%" PRId64 ", %" PRId64 ") before it begins (%" PRId64 ", %" PRId64 ")",
				 where, c->x2, c->y2, c->x1, c->y1);
	if (s->pad || s->square) {
		widen(s, c);
		clip(s, img, c, mirror);
	}
	if (c->x1 < 0 || c->y1 < 0 || c->x2 >= img->width || c->y2 >= img->height || c->x2 < c->x1 || c->y2 < c->y1)
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: it is not in the picture, which is %" PRId64 " wide and %" PRId64 " high", where,
				 img->width, img->height);
	if (c->width < 1 || c->height < 1)
		return moka_fail(err, MOKA_ERR_DATA, "%s: nothing is left of it at crop_size %" PRId64, where, s->crop);
	return MOKA_OK;
}

/* ---- pixels ------------------------------------------------------------------------------------------------ */

static enum moka_status read_picture(const struct windows *s, const struct moka__window *w, struct moka__bench *b,
				     struct moka_error *err)
{
	if (s->cache)
		return moka_image_decode(&b->image, s->cache[w->image].bytes, s->cache[w->image].n, b->sample.where,
					 MOKA_IMAGE_COLOUR, err);
	return moka_image_read(&b->image, s->list.images[w->image].path, MOKA_IMAGE_COLOUR, err);
}

/* Moves the window's pixels to the front of the picture: rows never overtake what is still to be moved. */
static void crop_in_place(struct moka_image *img, const struct cut *c)
{
	const int64_t n = img->channels, width = c->x2 - c->x1 + 1, height = c->y2 - c->y1 + 1;

	for (int64_t y = 0; y < height; y++)
		memmove(img->pixels + y * width * n, img->pixels + ((c->y1 + y) * img->width + c->x1) * n,
			(size_t)(width * n));
	img->width = width;
	img->height = height;
}

static real mean_at(const struct windows *s, int64_t channel, int64_t y, int64_t x)
{
	const struct moka_transform *t = &s->transform;
	const struct moka_list values = t->p->mean_value;
	const int64_t off = (t->mean_w - s->crop) / 2;

	if (t->mean.data)
		return t->mean.data[(channel * t->mean_h + y + off) * t->mean_w + x + off];
	return values.n ? (real)MOKA_LIST_AT(values, float, values.n == 1 ? 0 : channel) : 0;
}

static void put_pixels(const struct windows *s, const struct moka_image *img, const struct cut *c, bool mirror,
		       real *out)
{
	for (int64_t ch = 0; ch < img->channels; ch++)
		for (int64_t y = 0; y < img->height; y++)
			for (int64_t x = 0; x < img->width; x++) {
				const int64_t from = mirror ? img->width - 1 - x : x, oy = y + c->top, ox = x + c->left;
				const real v = (real)img->pixels[(y * img->width + from) * img->channels + ch];

				out[(ch * s->crop + oy) * s->crop + ox] = (v - mean_at(s, ch, oy, ox)) * s->scale;
			}
}

static enum moka_status windows_make(void *self, struct moka__bench *b, int n_top, real *const *top, int64_t place,
				     struct moka_error *err)
{
	const struct windows *s = self;
	const struct moka__window *w = b->sample.item;
	const int64_t count = 3 * s->crop * s->crop;
	real *out = top[0] + place * count;
	struct moka_rng rng;
	struct cut c;
	bool mirror;

	moka_rng_seed(&rng, s->seed, b->sample.k);
	moka_rng_next(&rng); /* which window: drawn already */
	mirror = s->transform.p->mirror && moka_rng_below(&rng, 2);
	MOKA_TRY(read_picture(s, w, b, err));
	MOKA_TRY(find_cut(s, w, &b->image, mirror, &c, b->sample.where, err));
	crop_in_place(&b->image, &c);
	MOKA_TRY(moka_image_resize(&b->image, c.height, c.width, &b->other, err));
	memset(out, 0, (size_t)count * sizeof(*out));
	put_pixels(s, &b->other, &c, mirror, out);
	if (n_top > 1)
		top[1][place] = (real)w->label;
	return MOKA_OK;
}

/* ---- open and close ------------------------------------------------------------------------------------------ */

static enum moka_status no_memory(const char *path, struct moka_error *err)
{
	return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
}

static enum moka_status check_list(const struct windows *s, struct moka_error *err)
{
	const struct moka__windows *l = &s->list;

	if (s->objects && !l->kind[1].n)
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: no window overlaps an object by fg_threshold: there are no objects", l->file);
	if (s->objects < s->batch && !l->kind[0].n)
		return moka_fail(err, MOKA_ERR_DATA, "%s: every window overlaps an object: there is no background",
				 l->file);
	for (int64_t i = 0; i < l->n_images; i++)
		if (l->images[i].channels != 3)
			return moka_fail(err, MOKA_ERR_DATA,
					 "%s:%" PRId64 ": a picture of %" PRId64
					 " channels; WindowData reads pictures in colour, with 3",
					 l->file, l->images[i].line, l->images[i].channels);
	return MOKA_OK;
}

static enum moka_status check_mean(const struct windows *s, struct moka_error *err)
{
	const struct moka_transform *t = &s->transform;
	const size_t n = t->p->mean_value.n;

	if (n > 1 && n != 3)
		return moka_fail(err, MOKA_ERR_MODEL, "transform_param has %zu mean_value lines; 1 or 3 are right", n);
	/* Caffe cuts rows and columns at the same offset, which is the width's. */
	if (t->mean.data && (t->mean_c != 3 || t->mean_w < s->crop || t->mean_h < s->crop + (t->mean_w - s->crop) / 2))
		return moka_fail(err, MOKA_ERR_DATA,
				 "the mean image '%s' is %" PRId64 "x%" PRId64 "x%" PRId64
				 ", too small for windows of 3x%" PRId64 "x%" PRId64,
				 t->mean_path, t->mean_c, t->mean_h, t->mean_w, s->crop, s->crop);
	return MOKA_OK;
}

static enum moka_status fill_cache(struct windows *s, struct moka_error *err)
{
	s->cache = MOKA_NEWN(&s->arena, s->list.n_images + 1, struct cached);
	if (!s->cache)
		return no_memory(s->list.file, err);
	for (int64_t i = 0; i < s->list.n_images; i++) {
		struct moka_file f = { 0 };
		uint8_t *copy;

		MOKA_TRY(moka_file_open(&f, s->list.images[i].path, err));
		copy = moka_arena_alloc(&s->arena, f.size + 1, 1);
		if (copy && f.size)
			memcpy(copy, f.data, f.size);
		s->cache[i] = (struct cached){ copy, f.size };
		moka_file_release(&f);
		if (!copy)
			return moka_fail(err, MOKA_ERR_NOMEM,
					 "%s: not enough memory to keep all its pictures (cache_images)", s->list.file);
	}
	return MOKA_OK;
}

static double setting(const struct moka_layer *l, const char *name, double otherwise)
{
	return l->sub ? moka_get_float(l->sub, name) : otherwise;
}

static enum moka_status set_up(struct windows *s, const struct moka_source_spec *spec, struct moka_error *err)
{
	const struct moka_layer *l = spec->layer;
	const char *path = moka_arena_strdup(&s->arena, spec->path);
	const char *mode = l->sub ? moka_get_string(l->sub, "crop_mode", "warp") : "warp";

	if (!path)
		return no_memory(spec->path, err);
	s->crop = l->transform->crop_size;
	s->pad = l->sub ? moka_get_int(l->sub, "context_pad") : 0;
	s->square = !strcmp(mode, "square");
	s->scale = (real)setting(l, "scale", 1);
	s->objects = (int64_t)((float)s->batch * (float)setting(l, "fg_fraction", 0.25));
	s->objects = MOKA_MIN(MOKA_MAX(s->objects, 0), s->batch);
	if (s->crop < 1 || s->crop > 65536)
		return moka_fail(err, MOKA_ERR_MODEL,
				 "windows are cut to one size: transform_param { crop_size: ... }");
	if (s->pad * 2 >= s->crop)
		return moka_fail(err, MOKA_ERR_MODEL,
				 "context_pad %" PRId64 " on each side leaves nothing of crop_size %" PRId64, s->pad,
				 s->crop);
	MOKA_TRY(moka_transform_init(&s->transform, l, err));
	MOKA_TRY(check_mean(s, err));
	MOKA_TRY(moka__windows_read(&s->list, path, l->sub ? moka_get_string(l->sub, "root_folder", "") : "",
				    setting(l, "fg_threshold", 0.5), setting(l, "bg_threshold", 0.5), &s->arena, err));
	MOKA_TRY(check_list(s, err));
	return l->sub && moka_get_int(l->sub, "cache_images") ? fill_cache(s, err) : MOKA_OK;
}

static void windows_close(void *self)
{
	struct windows *s = self;

	if (!s)
		return;
	moka_transform_release(&s->transform);
	moka_arena_release(&s->arena);
	free(s);
}

static enum moka_status windows_open(void **out, const struct moka_source_spec *spec, struct moka_error *err)
{
	struct windows *s = calloc(1, sizeof(*s));
	enum moka_status st;

	*out = NULL;
	if (!s)
		return no_memory(spec->path, err);
	moka_arena_init(&s->arena, 0);
	s->batch = spec->batch;
	s->seed = spec->seed;
	st = set_up(s, spec, err);
	if (st)
		windows_close(s);
	else
		*out = s;
	return st;
}

static enum moka_status windows_shape(const void *self, int top, struct moka_shape *out, struct moka_error *err)
{
	const struct windows *s = self;

	if (top > 1)
		return moka_fail(err, MOKA_ERR_MODEL, "windows give two tops, data and label; there is no top %d", top);
	*out = top ? moka_shape_make(1, s->batch) : moka_shape_make(4, s->batch, (int64_t)3, s->crop, s->crop);
	return MOKA_OK;
}

static int64_t windows_rows(const void *self)
{
	const struct windows *s = self;

	return s->list.kind[0].n + s->list.kind[1].n;
}

static const struct moka__maker windows_maker = {
	.open = windows_open,
	.close = windows_close,
	.shape = windows_shape,
	.rows = windows_rows,
	.seek = windows_seek,
	.fetch = windows_fetch,
	.make = windows_make,
};

static enum moka_status open_ahead(struct moka_source **out, const struct moka_source_spec *spec,
				   struct moka_error *err)
{
	return moka__ahead_open(out, spec, &windows_maker, err);
}

const struct moka_source_ops moka_source_windows = MOKA__AHEAD("WINDOWS", open_ahead);
