/*
 * database.c - the Data layer's samples from an LMDB or a LevelDB: records in key order, round and round.
 *
 * Sample k of a run is record k + start modulo their number (start: drawn where rand_skip says so); its crop and mirror are drawn
 * from a stream of its own. So a resumed run goes on exactly where it was.
 */
#include "data/ahead.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct database {
	struct moka_db *db;
	enum moka_backend kind;
	char *path;
	struct moka_transform transform;
	enum moka_image_mode mode;
	int64_t batch;
	struct moka__size size; /* of a sample as the net sees it */
	uint64_t seed, start;
};

static enum moka_status database_seek(void *self, uint64_t k, struct moka_error *err)
{
	const struct database *s = self;

	return moka_db_seek(s->db, k + s->start, err);
}

/* An LMDB's records stay where they are; a LevelDB's only until the next one is looked at. */
static enum moka_status take_bytes(const struct database *s, struct moka__bench *b, const uint8_t *value, size_t n,
				   struct moka_error *err)
{
	b->sample.n_bytes = n;
	b->sample.bytes = value;
	if (s->kind == MOKA_LMDB)
		return MOKA_OK;
	b->bytes.len = 0;
	moka_buf_add(&b->bytes, value, n);
	b->sample.bytes = (const uint8_t *)b->bytes.data;
	if (!b->bytes.failed)
		return MOKA_OK;
	b->bytes.failed = false;
	return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for a record", b->sample.where);
}

static enum moka_status database_fetch(void *self, struct moka__bench *b, struct moka_error *err)
{
	struct database *s = self;
	const uint8_t *key, *value;
	size_t key_bytes, value_bytes;

	MOKA_TRY(moka_db_next(s->db, &key, &key_bytes, &value, &value_bytes, err));
	if (!key) {
		moka_db_rewind(s->db);
		MOKA_TRY(moka_db_next(s->db, &key, &key_bytes, &value, &value_bytes, err));
	}
	if (!key)
		return moka_fail(err, MOKA_ERR_DATA, "%s: this %s is empty", s->path, moka_backend_name(s->kind));
	moka_db_where(s->db, b->sample.where, sizeof(b->sample.where));
	b->sample.record = moka_db_record(s->db);
	return take_bytes(s, b, value, value_bytes, err);
}

static enum moka_status database_make(void *self, struct moka__bench *b, int n_top, real *const *top, int64_t place,
				      struct moka_error *err)
{
	const struct database *s = self;
	const char *where = b->sample.where;
	real *out = top[0] + place * s->size.d[0] * s->size.d[1] * s->size.d[2];
	struct moka_datum d;
	struct moka_rng rng;

	MOKA_TRY(moka_datum_parse(&d, b->sample.bytes, b->sample.n_bytes, where, err));
	if (n_top > 1)
		top[1][place] = (real)d.label;
	if (d.encoded) {
		MOKA_TRY(moka_image_decode(&b->image, d.data, d.data_bytes, where, s->mode, err));
		return moka__bench_picture(b, &b->image, &s->transform, &s->size, s->seed, out, err);
	}
	MOKA_TRY(moka__check_size(&s->transform, &s->size, d.channels, d.height, d.width, where, err));
	moka_rng_seed(&rng, s->seed, b->sample.k);
	moka_transform_run(&s->transform, d.channels, d.height, d.width, d.data_bytes ? d.data : NULL, d.floats,
			   d.float_stride, &rng, out);
	return MOKA_OK;
}

/* ---- open and close ------------------------------------------------------------------------------------- */

static enum moka_status size_of(struct database *s, struct moka__bench *b, struct moka_error *err)
{
	struct moka_datum d;

	MOKA_TRY(moka_datum_parse(&d, b->sample.bytes, b->sample.n_bytes, b->sample.where, err));
	if (d.encoded) {
		MOKA_TRY(moka_image_decode(&b->image, d.data, d.data_bytes, b->sample.where, s->mode, err));
		d.channels = b->image.channels;
		d.height = b->image.height;
		d.width = b->image.width;
	}
	return moka_transform_shape(&s->transform, d.channels, d.height, d.width, s->size.d, b->sample.where, err);
}

/* The first record says the size of all; where it is one of the bad ones that may be, the next does. */
static enum moka_status learn_size(struct database *s, int64_t skip_bad, struct moka_error *err)
{
	struct moka__bench b = { 0 };
	enum moka_status st = MOKA_ERR_DATA;

	for (int64_t i = 0; st && i <= skip_bad; i++) {
		st = database_fetch(s, &b, err);
		if (st)
			break;
		st = size_of(s, &b, err);
	}
	moka__bench_release(&b);
	return st;
}

static void database_close(void *self)
{
	struct database *s = self;

	if (!s)
		return;
	moka_db_close(s->db);
	moka_transform_release(&s->transform);
	free(s->path);
	free(s);
}

static enum moka_status set_up(struct database *s, const struct moka_source_spec *spec, struct moka_error *err)
{
	const struct moka_layer *l = spec->layer;
	const int64_t most = l->sub ? moka_get_int(l->sub, "rand_skip") : 0;
	struct moka_rng rng;

	moka_rng_seed(&rng, spec->seed, UINT64_MAX);
	s->start = most > 0 ? moka_rng_below(&rng, (uint64_t)most) : 0;
	s->path = strdup(spec->path);
	if (!s->path)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	MOKA_TRY(moka_transform_init(&s->transform, l, err));
	s->mode = moka__mode_of(s->transform.p);
	MOKA_TRY(moka_db_open(&s->db, s->kind, spec->path, err));
	MOKA_TRY(learn_size(s, l->skip_bad, err));
	return database_seek(s, 0, err);
}

static enum moka_status database_open(void **out, const struct moka_source_spec *spec, struct moka_error *err)
{
	struct database *s = calloc(1, sizeof(*s));
	enum moka_status st;

	*out = NULL;
	if (!s)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	s->kind = strcmp(spec->kind, "LMDB") ? MOKA_LEVELDB : MOKA_LMDB;
	s->batch = spec->batch;
	s->seed = spec->seed;
	st = set_up(s, spec, err);
	if (st)
		database_close(s);
	else
		*out = s;
	return st;
}

static enum moka_status database_shape(const void *self, int top, struct moka_shape *out, struct moka_error *err)
{
	const struct database *s = self;

	if (top > 1)
		return moka_fail(err, MOKA_ERR_MODEL, "a database gives two tops, data and label; there is no top %d",
				 top);
	*out = top ? moka_shape_make(1, s->batch)
		   : moka_shape_make(4, s->batch, s->size.d[0], s->size.d[1], s->size.d[2]);
	return MOKA_OK;
}

/* A LevelDB's length is learned under way, by another thread: not told. */
static int64_t database_rows(const void *self)
{
	const struct database *s = self;

	return s->kind == MOKA_LMDB ? moka_db_rows(s->db) : 0;
}

static const struct moka__maker database_maker = {
	.open = database_open,
	.close = database_close,
	.shape = database_shape,
	.rows = database_rows,
	.seek = database_seek,
	.fetch = database_fetch,
	.make = database_make,
};

static enum moka_status open_ahead(struct moka_source **out, const struct moka_source_spec *spec,
				   struct moka_error *err)
{
	return moka__ahead_open(out, spec, &database_maker, err);
}

const struct moka_source_ops moka_source_lmdb = MOKA__AHEAD("LMDB", open_ahead);
const struct moka_source_ops moka_source_leveldb = MOKA__AHEAD("LEVELDB", open_ahead);
