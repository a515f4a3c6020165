/*
 * db.c - LMDB and LevelDB behind the same words: what tools and the Data layer read and write.
 */
#include "data/db.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct moka_db {
	enum moka_backend kind;
	struct moka_lmdb *lm;
	struct moka__leveldb *level;
	int64_t rows;	/* 0: not known */
	int64_t record; /* that next() gave last; -1 */
};

const char *moka_backend_name(enum moka_backend kind)
{
	return kind == MOKA_LMDB ? "LMDB" : "LevelDB";
}

const char *moka__key_where(const char *path, const void *key, size_t n, char *buf, size_t size)
{
	int at = snprintf(buf, size, "%s", path);
	const unsigned char *k = key;
	const size_t most = MOKA_MIN(n, (size_t)64);

	if (!key || at < 0 || (size_t)at + 8 >= size)
		return buf;
	at += snprintf(buf + at, size - (size_t)at, ", key ");
	for (size_t i = 0; i < most && (size_t)at + 5 < size; i++)
		at += snprintf(buf + at, size - (size_t)at, isprint(k[i]) ? "%c" : "\\x%02x", k[i]);
	return buf;
}

enum moka_status moka_db_open(struct moka_db **out, enum moka_backend kind, const char *path, struct moka_error *err)
{
	struct moka_db *db = calloc(1, sizeof(*db));
	enum moka_status st;

	*out = NULL;
	if (!db)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	db->kind = kind;
	db->record = -1;
	st = kind == MOKA_LMDB ? moka_lmdb_open(&db->lm, path, err) : moka__leveldb_open(&db->level, path, err);
	if (st) {
		free(db);
		return st;
	}
	if (db->lm)
		db->rows = moka_lmdb_rows(db->lm);
	*out = db;
	return MOKA_OK;
}

void moka_db_close(struct moka_db *db)
{
	if (!db)
		return;
	moka_lmdb_close(db->lm);
	moka__leveldb_close(db->level);
	free(db);
}

int64_t moka_db_rows(const struct moka_db *db)
{
	return db->rows;
}

int64_t moka_db_record(const struct moka_db *db)
{
	return db->record;
}

void moka_db_rewind(struct moka_db *db)
{
	db->record = -1;
	if (db->lm)
		moka_lmdb_rewind(db->lm);
	else
		moka__leveldb_rewind(db->level);
}

enum moka_status moka_db_next(struct moka_db *db, const uint8_t **key, size_t *key_bytes, const uint8_t **value,
			      size_t *value_bytes, struct moka_error *err)
{
	if (db->lm)
		MOKA_TRY(moka_lmdb_next(db->lm, key, key_bytes, value, value_bytes, err));
	else
		MOKA_TRY(moka__leveldb_next(db->level, key, key_bytes, value, value_bytes, err));
	if (*key)
		db->record++;
	else if (!db->rows)
		db->rows = db->record + 1;
	return MOKA_OK;
}

/* A LevelDB has to be walked through; where it ends, its length is learned. */
static enum moka_status walk_to(struct moka_db *db, uint64_t k, struct moka_error *err)
{
	const int64_t want = (int64_t)(db->rows ? k % (uint64_t)db->rows : MOKA_MIN(k, (uint64_t)INT64_MAX - 1));
	int64_t rows;

	MOKA_TRY(moka__leveldb_find(db->level, want, &rows, err));
	db->record = want - 1;
	if (rows > want)
		return MOKA_OK;
	db->rows = rows;
	if (rows)
		return walk_to(db, k, err);
	moka_db_rewind(db);
	return MOKA_OK;
}

enum moka_status moka_db_seek(struct moka_db *db, uint64_t k, struct moka_error *err)
{
	moka_db_rewind(db);
	if (db->level)
		return walk_to(db, k, err);
	if (!db->rows)
		return MOKA_OK;
	db->record = (int64_t)(k % (uint64_t)db->rows) - 1;
	return moka_lmdb_skip(db->lm, db->record + 1, err);
}

const char *moka_db_where(const struct moka_db *db, char *buf, size_t size)
{
	return db->lm ? moka_lmdb_where(db->lm, buf, size) : moka__leveldb_where(db->level, buf, size);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

struct moka_db_writer {
	struct moka_lmdb_writer *lm;
	struct moka__leveldb_writer *level;
	struct moka_buf record;
};

static enum moka_status new_writer(struct moka_db_writer **out, const char *path, struct moka_error *err)
{
	*out = calloc(1, sizeof(**out));
	return *out ? MOKA_OK : moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
}

static enum moka_status opened(struct moka_db_writer **out, enum moka_status st)
{
	if (st) {
		free(*out);
		*out = NULL;
	}
	return st;
}

enum moka_status moka_db_writer_new(struct moka_db_writer **out, enum moka_backend kind, const char *path,
				    struct moka_error *err)
{
	MOKA_TRY(new_writer(out, path, err));
	return opened(out, kind == MOKA_LMDB ? moka_lmdb_writer_new(&(*out)->lm, path, err)
					     : moka__leveldb_writer_new(&(*out)->level, path, err));
}

enum moka_status moka_db_writer_resume(struct moka_db_writer **out, enum moka_backend kind, const char *path,
				       char *last_key, size_t size, struct moka_error *err)
{
	MOKA_TRY(new_writer(out, path, err));
	return opened(out, kind == MOKA_LMDB ? moka_lmdb_writer_resume(&(*out)->lm, path, last_key, size, err)
					     : moka__leveldb_writer_resume(&(*out)->level, path, last_key, size, err));
}

enum moka_status moka_db_writer_put(struct moka_db_writer *w, const char *key, const void *value, size_t n,
				    struct moka_error *err)
{
	return w->lm ? moka_lmdb_writer_put(w->lm, key, value, n, err)
		     : moka__leveldb_writer_put(w->level, key, value, n, err);
}

enum moka_status moka_db_writer_put_datum(struct moka_db_writer *w, const char *key, const struct moka_datum *d,
					  struct moka_error *err)
{
	w->record.len = 0;
	moka_datum_write(d, &w->record);
	if (w->record.failed)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for a record");
	return moka_db_writer_put(w, key, w->record.data, w->record.len, err);
}

static void writer_free(struct moka_db_writer *w)
{
	moka_buf_release(&w->record);
	free(w);
}

enum moka_status moka_db_writer_commit(struct moka_db_writer *w, struct moka_error *err)
{
	const enum moka_status st =
		w->lm ? moka_lmdb_writer_commit(w->lm, err) : moka__leveldb_writer_commit(w->level, err);

	writer_free(w);
	return st;
}

enum moka_status moka_db_writer_pause(struct moka_db_writer *w, struct moka_error *err)
{
	const enum moka_status st =
		w->lm ? moka_lmdb_writer_pause(w->lm, err) : moka__leveldb_writer_pause(w->level, err);

	writer_free(w);
	return st;
}

void moka_db_writer_abort(struct moka_db_writer *w)
{
	if (!w)
		return;
	moka_lmdb_writer_abort(w->lm);
	moka__leveldb_writer_abort(w->level);
	writer_free(w);
}
