/*
 * lmdb.c - the Data layer's samples from an LMDB: records in key order, round and round.
 *
 * Sample k of a run is record k modulo their number; its crop and mirror are drawn from a stream of its own. So a
 * resumed run goes on exactly where it was.
 */
#include "data/data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct lmdb_source {
	struct moka_lmdb *db;
	struct moka_transform transform;
	enum moka_image_mode mode;
	int64_t batch;
	int64_t size[3];     /* channels, height, width of a sample as the net sees it */
	uint64_t seed, next; /* the sample that comes next, counted from the start of the run */
	struct moka_image image;
	uint8_t *planes; /* of a decoded picture */
	size_t planes_cap;
};

static struct lmdb_source *of(struct moka_source *s)
{
	return (struct lmdb_source *)(void *)s;
}

/* One picture in planes, its size in c, h, w; pointers as moka_transform_run() wants them. */
struct picture {
	int64_t c, h, w;
	const uint8_t *bytes, *floats;
	uint32_t stride;
};

static enum moka_status decode(struct lmdb_source *s, const struct moka_datum *d, const char *where, struct picture *p,
			       struct moka_error *err)
{
	const struct moka_image *img = &s->image;
	size_t n;

	MOKA_TRY(moka_image_decode(&s->image, d->data, d->data_bytes, where, s->mode, err));
	n = (size_t)(img->channels * img->height * img->width);
	if (n > s->planes_cap) {
		uint8_t *bigger = realloc(s->planes, n);

		if (!bigger)
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for a picture", where);
		s->planes = bigger;
		s->planes_cap = n;
	}
	moka_image_planar_u8(img, s->planes);
	*p = (struct picture){ img->channels, img->height, img->width, s->planes, NULL, 0 };
	return MOKA_OK;
}

static enum moka_status next_record(struct lmdb_source *s, struct moka_datum *d, char *where, size_t size,
				    struct moka_error *err)
{
	const uint8_t *key, *value;
	size_t key_bytes, value_bytes;

	MOKA_TRY(moka_lmdb_next(s->db, &key, &key_bytes, &value, &value_bytes, err));
	if (!key) {
		moka_lmdb_rewind(s->db);
		MOKA_TRY(moka_lmdb_next(s->db, &key, &key_bytes, &value, &value_bytes, err));
	}
	moka_lmdb_where(s->db, where, size);
	return moka_datum_parse(d, value, value_bytes, where, err);
}

static enum moka_status next_picture(struct lmdb_source *s, struct picture *p, int64_t *label, char *where, size_t size,
				     struct moka_error *err)
{
	struct moka_datum d;

	MOKA_TRY(next_record(s, &d, where, size, err));
	*label = d.label;
	if (d.encoded)
		return decode(s, &d, where, p, err);
	*p = (struct picture){ d.channels, d.height, d.width, d.data_bytes ? d.data : NULL, d.floats, d.float_stride };
	return MOKA_OK;
}

/* The first record says the size of all. */
static enum moka_status learn_size(struct lmdb_source *s, const char *path, struct moka_error *err)
{
	struct picture p = { 0 };
	char where[512];
	int64_t label;

	if (!moka_lmdb_rows(s->db))
		return moka_fail(err, MOKA_ERR_DATA, "%s: this LMDB is empty", path);
	MOKA_TRY(next_picture(s, &p, &label, where, sizeof(where), err));
	MOKA_TRY(moka_transform_shape(&s->transform, p.c, p.h, p.w, s->size, where, err));
	moka_lmdb_rewind(s->db);
	return MOKA_OK;
}

static void lmdb_close(struct moka_source *source)
{
	struct lmdb_source *s = of(source);

	if (!s)
		return;
	moka_lmdb_close(s->db);
	moka_transform_release(&s->transform);
	moka_image_release(&s->image);
	free(s->planes);
	free(s);
}

static enum moka_status lmdb_open(struct moka_source **out, const struct moka_source_spec *spec, struct moka_error *err)
{
	struct lmdb_source *s = calloc(1, sizeof(*s));
	enum moka_status st;

	*out = NULL;
	if (!s)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	s->batch = spec->batch;
	s->seed = spec->seed;
	st = moka_transform_init(&s->transform, spec->layer, err);
	if (!st) {
		s->mode = s->transform.p->force_color  ? MOKA_IMAGE_COLOUR
			  : s->transform.p->force_gray ? MOKA_IMAGE_GREY
						       : MOKA_IMAGE_NATIVE;
		st = moka_lmdb_open(&s->db, spec->path, err);
	}
	if (!st)
		st = learn_size(s, spec->path, err);
	if (st)
		lmdb_close((struct moka_source *)(void *)s);
	else
		*out = (struct moka_source *)(void *)s;
	return st;
}

static enum moka_status lmdb_shape(struct moka_source *source, int top, struct moka_shape *out, struct moka_error *err)
{
	const struct lmdb_source *s = of(source);

	if (top > 1)
		return moka_fail(err, MOKA_ERR_MODEL, "a database gives two tops, data and label; there is no top %d",
				 top);
	*out = top ? moka_shape_make(1, s->batch) : moka_shape_make(4, s->batch, s->size[0], s->size[1], s->size[2]);
	return MOKA_OK;
}

/* A sample of another size than the first does not fit into the batch. */
static enum moka_status check_size(const struct lmdb_source *s, const struct picture *p, const char *where,
				   struct moka_error *err)
{
	int64_t size[3];

	MOKA_TRY(moka_transform_shape(&s->transform, p->c, p->h, p->w, size, where, err));
	if (!memcmp(size, s->size, sizeof(size)))
		return MOKA_OK;
	moka_fail(err, MOKA_ERR_DATA,
		  "%s: the picture is %" PRId64 "x%" PRId64 "x%" PRId64 ", but the first one is %" PRId64 "x%" PRId64
		  "x%" PRId64,
		  where, size[0], size[1], size[2], s->size[0], s->size[1], s->size[2]);
	moka_fail_hint(
		err,
		"set crop_size (and force_color or force_gray) in transform_param, or make the database with one size: `moka data images --resize_height H --resize_width W`");
	return MOKA_ERR_DATA;
}

static enum moka_status lmdb_read(struct moka_source *source, int n_top, const struct moka_view *top,
				  struct moka_error *err)
{
	struct lmdb_source *s = of(source);
	const int64_t count = s->size[0] * s->size[1] * s->size[2];
	char where[512];

	for (int64_t i = 0; i < s->batch; i++, s->next++) {
		struct moka_rng rng;
		struct picture p = { 0 };
		int64_t label;

		MOKA_TRY(next_picture(s, &p, &label, where, sizeof(where), err));
		MOKA_TRY(check_size(s, &p, where, err));
		moka_rng_seed(&rng, s->seed, s->next);
		if (n_top > 0)
			moka_transform_run(&s->transform, p.c, p.h, p.w, p.bytes, p.floats, p.stride, &rng,
					   top[0].data + i * count);
		if (n_top > 1)
			top[1].data[i] = (real)label;
	}
	return MOKA_OK;
}

static enum moka_status lmdb_seek(struct moka_source *source, uint64_t batch_index, struct moka_error *err)
{
	struct lmdb_source *s = of(source);

	s->next = batch_index * (uint64_t)s->batch;
	moka_lmdb_rewind(s->db);
	return moka_lmdb_skip(s->db, (int64_t)(s->next % (uint64_t)moka_lmdb_rows(s->db)), err);
}

static int64_t lmdb_rows(const struct moka_source *source)
{
	return moka_lmdb_rows(((const struct lmdb_source *)(const void *)source)->db);
}

const struct moka_source_ops moka_source_lmdb = {
	.kind = "LMDB",
	.open = lmdb_open,
	.shape = lmdb_shape,
	.read = lmdb_read,
	.seek = lmdb_seek,
	.rows = lmdb_rows,
	.close = lmdb_close,
};
