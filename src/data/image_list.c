/*
 * image_list.c - the ImageData layer's samples: pictures from a list file, resized, transformed.
 *
 * Sample k of a run is place k + start of the list gone through round and round (start: drawn where rand_skip says so). With `shuffle`
 * every round has an order of its own, drawn from the seed and the round, so that a resumed run sees the same.
 */
#include "data/ahead.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct images {
	struct moka_arena arena;
	struct moka_picture_list list;
	const char *path, *root;
	int64_t *order; /* of this round; NULL: as listed */
	uint64_t round, next;
	struct moka_transform transform;
	enum moka_image_mode mode;
	int64_t batch, height, width; /* resized to; 0: as they are */
	struct moka__size size;
	uint64_t seed, start;
};

static void shuffle(struct images *s)
{
	struct moka_rng rng;

	moka_rng_seed(&rng, s->seed ^ 0x5851F42D4C957F2Du, s->round);
	for (int64_t i = 0; i < s->list.n; i++)
		s->order[i] = i;
	for (int64_t i = s->list.n - 1; i > 0; i--) {
		const int64_t j = (int64_t)moka_rng_below(&rng, (uint64_t)i + 1), swap = s->order[i];

		s->order[i] = s->order[j];
		s->order[j] = swap;
	}
}

static void go_to_round(struct images *s, uint64_t round)
{
	if (round == s->round)
		return;
	s->round = round;
	if (s->order)
		shuffle(s);
}

static enum moka_status images_seek(void *self, uint64_t k, struct moka_error *err)
{
	struct images *s = self;

	(void)err;
	s->next = k + s->start;
	return MOKA_OK;
}

static enum moka_status images_fetch(void *self, struct moka__bench *b, struct moka_error *err)
{
	struct images *s = self;
	const uint64_t n = (uint64_t)s->list.n;
	const struct moka_picture_line *line;
	int64_t i;

	(void)err;
	go_to_round(s, s->next / n);
	i = (int64_t)(s->next++ % n);
	b->sample.record = s->order ? s->order[i] : i;
	b->sample.item = line = &s->list.lines[b->sample.record];
	snprintf(b->sample.where, sizeof(b->sample.where), "%s%s", s->root, line->name);
	return MOKA_OK;
}

/* Whose fault it is, and where the list names it. */
static enum moka_status blame_line(const struct images *s, const struct moka__bench *b, enum moka_status st,
				   const struct moka_error *why, struct moka_error *err)
{
	const struct moka_picture_line *line = b->sample.item;

	moka_fail(err, st, "%.600s (%.300s:%" PRId64 ")", why->message, s->path, line->line);
	if (why->hint[0])
		moka_fail_hint(err, "%s", why->hint);
	return st;
}

/* The picture as the transform gets it: in b->image or b->other. */
static enum moka_status read_picture(const struct images *s, struct moka__bench *b, const struct moka_image **img,
				     struct moka_error *err)
{
	const struct moka_picture_line *line = b->sample.item;
	char path[MOKA_MAX_NAME];

	if (snprintf(path, sizeof(path), "%s%s", s->root, line->name) >= (int)sizeof(path))
		return moka_fail(err, MOKA_ERR_DATA, "%s: a path of more than %d bytes", b->sample.where,
				 MOKA_MAX_NAME);
	MOKA_TRY(moka_image_read(&b->image, path, s->mode, err));
	*img = &b->image;
	if (!s->height)
		return MOKA_OK;
	MOKA_TRY(moka_image_resize(&b->image, s->height, s->width, &b->other, err));
	*img = &b->other;
	return MOKA_OK;
}

static enum moka_status images_make(void *self, struct moka__bench *b, int n_top, real *const *top, int64_t place,
				    struct moka_error *err)
{
	const struct images *s = self;
	real *out = top[0] + place * s->size.d[0] * s->size.d[1] * s->size.d[2];
	const struct moka_image *img = NULL;
	struct moka_error why = { 0 };
	enum moka_status st = read_picture(s, b, &img, &why);

	if (!st)
		st = moka__bench_picture(b, img, &s->transform, &s->size, s->seed, out, &why);
	if (st)
		return blame_line(s, b, st, &why, err);
	if (n_top > 1)
		top[1][place] = (real)((const struct moka_picture_line *)b->sample.item)->label;
	return MOKA_OK;
}

/* ---- open and close ------------------------------------------------------------------------------------- */

static enum moka_status size_of(struct images *s, struct moka__bench *b, struct moka_error *err)
{
	const struct moka_image *img = NULL;
	struct moka_error why = { 0 };
	enum moka_status st = read_picture(s, b, &img, &why);

	if (!st)
		st = moka_transform_shape(&s->transform, img->channels, img->height, img->width, s->size.d,
					  b->sample.where, &why);
	return st ? blame_line(s, b, st, &why, err) : MOKA_OK;
}

/* The first picture says the size of all; where it is one of the bad ones that may be, the next does. */
static enum moka_status learn_size(struct images *s, int64_t skip_bad, struct moka_error *err)
{
	struct moka__bench b = { 0 };
	enum moka_status st = MOKA_ERR_DATA;

	for (int64_t i = 0; st && i <= MOKA_MIN(skip_bad, s->list.n); i++) {
		st = images_fetch(s, &b, err);
		if (!st)
			st = size_of(s, &b, err);
	}
	moka__bench_release(&b);
	return st;
}

/* As it is said; or beside the list, where the first picture is found only there. Without a '/' between root and name, as in Caffe. */
static const char *find_root(struct images *s, const char *root)
{
	const char *slash = strrchr(s->path, '/');
	char plain[MOKA_MAX_NAME], beside[MOKA_MAX_NAME];
	const char *name = s->list.lines[0].name;

	if (!slash || snprintf(plain, sizeof(plain), "%s%s", root, name) >= (int)sizeof(plain) || plain[0] == '/' ||
	    moka_path_exists(plain))
		return moka_arena_strdup(&s->arena, root);
	if (snprintf(beside, sizeof(beside), "%.*s/%s", (int)(slash - s->path), s->path, plain) < (int)sizeof(beside) &&
	    moka_path_exists(beside))
		return moka_arena_printf(&s->arena, "%.*s/%s", (int)(slash - s->path), s->path, root);
	return moka_arena_strdup(&s->arena, root);
}

static void images_close(void *self)
{
	struct images *s = self;

	if (!s)
		return;
	moka_transform_release(&s->transform);
	moka_arena_release(&s->arena);
	free(s);
}

static enum moka_status no_memory(const char *path, struct moka_error *err)
{
	return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
}

static enum moka_status set_up(struct images *s, const struct moka_source_spec *spec, struct moka_error *err)
{
	const struct moka_layer *l = spec->layer;
	const int64_t most = l->sub ? moka_get_int(l->sub, "rand_skip") : 0;
	struct moka_rng rng;

	s->path = moka_arena_strdup(&s->arena, spec->path);
	if (!s->path)
		return no_memory(spec->path, err);
	MOKA_TRY(moka_picture_list_read(&s->list, s->path, &s->arena, err));
	s->root = find_root(s, l->sub ? moka_get_string(l->sub, "root_folder", "") : "");
	if (l->sub && moka_get_int(l->sub, "shuffle"))
		s->order = MOKA_NEWN(&s->arena, s->list.n, int64_t);
	if (!s->root || (l->sub && moka_get_int(l->sub, "shuffle") && !s->order))
		return no_memory(spec->path, err);
	s->height = l->sub ? moka_get_int(l->sub, "new_height") : 0;
	s->width = l->sub ? moka_get_int(l->sub, "new_width") : 0;
	s->mode = !l->sub || moka_get_int(l->sub, "is_color") ? MOKA_IMAGE_COLOUR : MOKA_IMAGE_GREY;
	moka_rng_seed(&rng, spec->seed, UINT64_MAX);
	s->start = most > 0 ? moka_rng_below(&rng, (uint64_t)most) : 0;
	s->round = UINT64_MAX;
	MOKA_TRY(moka_transform_init(&s->transform, l, err));
	images_seek(s, 0, err);
	MOKA_TRY(learn_size(s, l->skip_bad, err));
	return images_seek(s, 0, err);
}

static enum moka_status images_open(void **out, const struct moka_source_spec *spec, struct moka_error *err)
{
	struct images *s = calloc(1, sizeof(*s));
	enum moka_status st;

	*out = NULL;
	if (!s)
		return no_memory(spec->path, err);
	moka_arena_init(&s->arena, 0);
	s->batch = spec->batch;
	s->seed = spec->seed;
	st = set_up(s, spec, err);
	if (st)
		images_close(s);
	else
		*out = s;
	return st;
}

static enum moka_status images_shape(const void *self, int top, struct moka_shape *out, struct moka_error *err)
{
	const struct images *s = self;

	if (top > 1)
		return moka_fail(err, MOKA_ERR_MODEL, "a list gives two tops, data and label; there is no top %d", top);
	*out = top ? moka_shape_make(1, s->batch)
		   : moka_shape_make(4, s->batch, s->size.d[0], s->size.d[1], s->size.d[2]);
	return MOKA_OK;
}

static int64_t images_rows(const void *self)
{
	return ((const struct images *)self)->list.n;
}

static const struct moka__maker images_maker = {
	.open = images_open,
	.close = images_close,
	.shape = images_shape,
	.rows = images_rows,
	.seek = images_seek,
	.fetch = images_fetch,
	.make = images_make,
};

static enum moka_status open_ahead(struct moka_source **out, const struct moka_source_spec *spec,
				   struct moka_error *err)
{
	return moka__ahead_open(out, spec, &images_maker, err);
}

const struct moka_source_ops moka_source_images = MOKA__AHEAD("IMAGES", open_ahead);
