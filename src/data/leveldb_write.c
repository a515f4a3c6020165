/*
 * leveldb_write.c - makes a new LevelDB through LevelDB's own library, with the settings of Caffe's tools.
 *
 * Records go in by the thousand. As an LMDB, it is written beside its name and renamed when everything is in.
 */
#include "data/db.h"

#include <leveldb/c.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_RECORDS 1000
#define BATCH_BYTES ((size_t)64 << 20)
#define MAX_KEY 511 /* as an LMDB, so that a database can become the other kind */

struct moka__leveldb_writer {
	char *path, *temporary;
	leveldb_t *db;
	leveldb_options_t *options;
	leveldb_writeoptions_t *write;
	leveldb_writebatch_t *batch;
	int n;
	size_t bytes;
};

static enum moka_status said_no(const struct moka__leveldb_writer *w, const char *doing, char *said,
				struct moka_error *err)
{
	const enum moka_status st =
		moka_fail(err, MOKA_ERR_IO, "%s: can't %s this LevelDB: %.300s", w->path, doing, said);

	leveldb_free(said);
	return st;
}

static void close_library(struct moka__leveldb_writer *w)
{
	if (w->db)
		leveldb_close(w->db);
	w->db = NULL;
}

static void remove_temporary(struct moka__leveldb_writer *w)
{
	char *said = NULL;

	close_library(w);
	leveldb_destroy_db(w->options, w->temporary, &said);
	leveldb_free(said);
}

static void writer_free(struct moka__leveldb_writer *w)
{
	close_library(w);
	if (w->batch)
		leveldb_writebatch_destroy(w->batch);
	if (w->write)
		leveldb_writeoptions_destroy(w->write);
	if (w->options)
		leveldb_options_destroy(w->options);
	free(w->path);
	free(w->temporary);
	free(w);
}

static enum moka_status open_library(struct moka__leveldb_writer *w, bool resume, struct moka_error *err)
{
	char *said = NULL;

	leveldb_options_set_create_if_missing(w->options, 1);
	leveldb_options_set_error_if_exists(w->options, !resume);
	leveldb_options_set_block_size(w->options, 65536);
	leveldb_options_set_write_buffer_size(w->options, (size_t)64 << 20);
	leveldb_options_set_max_open_files(w->options, 100);
	leveldb_options_set_compression(w->options, leveldb_snappy_compression);
	w->db = leveldb_open(w->options, w->temporary, &said);
	return said ? said_no(w, "create", said, err) : MOKA_OK;
}

static enum moka_status prepare(struct moka__leveldb_writer *w, const char *path, bool resume, struct moka_error *err)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	w->options = leveldb_options_create();
	w->write = leveldb_writeoptions_create();
	w->batch = leveldb_writebatch_create();
	w->path = strndup(path, n);
	if (!w->path || (resume ? asprintf(&w->temporary, "%s.part", w->path)
				: asprintf(&w->temporary, "%s.tmp-%ld", w->path, (long)getpid())) < 0) {
		w->temporary = NULL;
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	}
	if (!moka_path_exists(w->path))
		return open_library(w, resume, err);
	moka_fail(err, MOKA_ERR_IO, "%s: it exists already", w->path);
	moka_fail_hint(err, "remove it first, or write to another name");
	return MOKA_ERR_IO;
}

static enum moka_status writer_open(struct moka__leveldb_writer **out, const char *path, bool resume,
				    struct moka_error *err)
{
	struct moka__leveldb_writer *w = calloc(1, sizeof(*w));
	enum moka_status st;

	*out = NULL;
	if (!w)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	st = prepare(w, path, resume, err);
	if (st)
		writer_free(w);
	else
		*out = w;
	return st;
}

enum moka_status moka__leveldb_writer_new(struct moka__leveldb_writer **out, const char *path, struct moka_error *err)
{
	return writer_open(out, path, false, err);
}

static void read_last_key(struct moka__leveldb_writer *w, char *key, size_t size)
{
	leveldb_readoptions_t *read = leveldb_readoptions_create();
	leveldb_iterator_t *it = leveldb_create_iterator(w->db, read);
	size_t n = 0;

	leveldb_iter_seek_to_last(it);
	const char *last = leveldb_iter_valid(it) ? leveldb_iter_key(it, &n) : NULL;
	snprintf(key, size, "%.*s", (int)MOKA_MIN(n, (size_t)MAX_KEY), last ? last : "");
	leveldb_iter_destroy(it);
	leveldb_readoptions_destroy(read);
}

enum moka_status moka__leveldb_writer_resume(struct moka__leveldb_writer **out, const char *path, char *last_key,
					     size_t size, struct moka_error *err)
{
	MOKA_TRY(writer_open(out, path, true, err));
	read_last_key(*out, last_key, size);
	return MOKA_OK;
}

static enum moka_status flush(struct moka__leveldb_writer *w, struct moka_error *err)
{
	char *said = NULL;

	leveldb_write(w->db, w->write, w->batch, &said);
	if (said)
		return said_no(w, "write to", said, err);
	leveldb_writebatch_clear(w->batch);
	w->n = 0;
	w->bytes = 0;
	return MOKA_OK;
}

enum moka_status moka__leveldb_writer_put(struct moka__leveldb_writer *w, const char *key, const void *value, size_t n,
					  struct moka_error *err)
{
	const size_t key_bytes = strnlen(key, MAX_KEY + 1);

	if (!key_bytes || key_bytes > MAX_KEY)
		return moka_fail(err, MOKA_ERR_DATA, "%s: a key must have 1 to %d bytes: '%.64s'", w->path, MAX_KEY,
				 key);
	if (n > UINT32_MAX / 2)
		return moka_fail(err, MOKA_ERR_LIMIT, "%s: a record of %zu bytes is too large for a LevelDB", w->path,
				 n);
	leveldb_writebatch_put(w->batch, key, key_bytes, value, n);
	w->n++;
	w->bytes += n;
	return w->n >= BATCH_RECORDS || w->bytes > BATCH_BYTES ? flush(w, err) : MOKA_OK;
}

/* Everything on the disk: an empty batch is written with the order to wait for it. */
static enum moka_status finish(struct moka__leveldb_writer *w, struct moka_error *err)
{
	leveldb_writeoptions_set_sync(w->write, 1);
	MOKA_TRY(flush(w, err));
	close_library(w);
	return MOKA_OK;
}

enum moka_status moka__leveldb_writer_commit(struct moka__leveldb_writer *w, struct moka_error *err)
{
	enum moka_status st = finish(w, err);

	if (!st && rename(w->temporary, w->path))
		st = moka_fail(err, MOKA_ERR_IO, "%s: can't rename '%s' to it: %s", w->path, w->temporary,
			       strerror(errno));
	if (st)
		remove_temporary(w);
	writer_free(w);
	return st;
}

enum moka_status moka__leveldb_writer_pause(struct moka__leveldb_writer *w, struct moka_error *err)
{
	const enum moka_status st = finish(w, err);

	writer_free(w);
	return st;
}

void moka__leveldb_writer_abort(struct moka__leveldb_writer *w)
{
	if (!w)
		return;
	remove_temporary(w);
	writer_free(w);
}
