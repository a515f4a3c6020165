/*
 * lmdb_write.c - makes a new LMDB, as Caffe's tools did.
 *
 * Records are gathered and put in by the thousand. LMDB wants to know in advance how large it may grow: when it is full, the batch is undone, the
 * map doubled, and the batch put in again. The folder gets its name when everything is in and on the disk.
 */
#include "data/data.h"

#include <lmdb.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_RECORDS 1000
#define BATCH_BYTES ((size_t)64 << 20)
#define FIRST_MAP_BYTES ((size_t)16 << 20)
#define MAX_KEY 511 /* of liblmdb as it is built everywhere */

struct moka_lmdb_writer {
	char *path, *temporary;
	MDB_env *env;
	MDB_dbi dbi;
	bool have_dbi;
	size_t map_bytes;
	struct moka_buf batch; /* key length (4), value length (8), key, value; repeated */
	struct moka_buf record;
	int n;
	int64_t total;
};

static enum moka_status mdb_fail(const struct moka_lmdb_writer *w, int rc, const char *doing, struct moka_error *err)
{
	return moka_fail(err, rc == ENOMEM ? MOKA_ERR_NOMEM : MOKA_ERR_IO, "%s: can't %s this LMDB: %s", w->path, doing,
			 mdb_strerror(rc));
}

static void remove_temporary(const struct moka_lmdb_writer *w)
{
	char path[MOKA_MAX_NAME];
	static const char *const names[] = { "data.mdb", "lock.mdb" };

	for (size_t i = 0; i < MOKA_COUNT(names); i++)
		if (snprintf(path, sizeof(path), "%s/%s", w->temporary, names[i]) < (int)sizeof(path))
			unlink(path);
	rmdir(w->temporary);
}

static void writer_free(struct moka_lmdb_writer *w)
{
	if (w->env)
		mdb_env_close(w->env);
	moka_buf_release(&w->batch);
	moka_buf_release(&w->record);
	free(w->path);
	free(w->temporary);
	free(w);
}

static enum moka_status open_env(struct moka_lmdb_writer *w, struct moka_error *err)
{
	int rc = mdb_env_create(&w->env);

	w->map_bytes = FIRST_MAP_BYTES;
	if (!rc)
		rc = mdb_env_set_mapsize(w->env, w->map_bytes);
	if (!rc) /* nobody sees the folder before commit, so one sync at the end is enough */
		rc = mdb_env_open(w->env, w->temporary, MDB_NOSYNC, 0664);
	return rc ? mdb_fail(w, rc, "create", err) : MOKA_OK;
}

static enum moka_status make_folder(struct moka_lmdb_writer *w, bool resume, struct moka_error *err)
{
	if (moka_path_exists(w->path)) {
		moka_fail(err, MOKA_ERR_IO, "%s: it exists already", w->path);
		moka_fail_hint(err, "remove it first, or write to another name");
		return MOKA_ERR_IO;
	}
	if (mkdir(w->temporary, 0777) && !(resume && errno == EEXIST))
		return moka_fail(err, MOKA_ERR_IO, "%s: can't make the folder '%s': %s", w->path, w->temporary,
				 strerror(errno));
	return MOKA_OK;
}

static enum moka_status writer_open(struct moka_lmdb_writer **out, const char *path, bool resume,
				    struct moka_error *err)
{
	struct moka_lmdb_writer *w = calloc(1, sizeof(*w));
	size_t n = strlen(path);
	enum moka_status st;

	*out = NULL;
	if (!w)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	moka_buf_init(&w->batch, 0);
	moka_buf_init(&w->record, 0);
	w->path = strndup(path, n);
	if (!w->path || (resume ? asprintf(&w->temporary, "%s.part", w->path)
				: asprintf(&w->temporary, "%s.tmp-%ld", w->path, (long)getpid())) < 0) {
		w->temporary = NULL;
		st = moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	} else {
		st = make_folder(w, resume, err);
	}
	if (!st && (st = open_env(w, err)) && !resume)
		remove_temporary(w);
	if (st)
		writer_free(w);
	else
		*out = w;
	return st;
}

enum moka_status moka_lmdb_writer_new(struct moka_lmdb_writer **out, const char *path, struct moka_error *err)
{
	return writer_open(out, path, false, err);
}

static int read_last_key(struct moka_lmdb_writer *w, char *key, size_t size)
{
	MDB_cursor *cursor = NULL;
	MDB_val k = { 0, NULL }, v;
	MDB_txn *txn;
	MDB_dbi dbi;
	int rc = mdb_txn_begin(w->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (!rc)
		rc = mdb_cursor_open(txn, dbi, &cursor);
	if (!rc)
		rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
	snprintf(key, size, "%.*s", rc ? 0 : (int)MOKA_MIN(k.mv_size, (size_t)MAX_KEY), rc ? "" : (char *)k.mv_data);
	if (cursor)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

enum moka_status moka_lmdb_writer_resume(struct moka_lmdb_writer **out, const char *path, char *last_key, size_t size,
					 struct moka_error *err)
{
	struct moka_lmdb_writer *w;
	MDB_envinfo info;
	int rc;

	MOKA_TRY(writer_open(out, path, true, err));
	w = *out;
	rc = mdb_env_info(w->env, &info); /* what there is may be larger than the first map */
	if (!rc && info.me_mapsize > w->map_bytes)
		w->map_bytes = info.me_mapsize;
	if (!rc)
		rc = read_last_key(w, last_key, size);
	if (!rc)
		return MOKA_OK;
	mdb_fail(w, rc, "go on with", err);
	writer_free(w);
	*out = NULL;
	return err ? err->status : MOKA_ERR_IO;
}

/* ---- batches ---------------------------------------------------------------------------------------- */

static int put_all(struct moka_lmdb_writer *w, MDB_txn *txn, MDB_val *duplicate)
{
	const char *p = w->batch.data;

	for (int i = 0; i < w->n; i++) {
		uint32_t key_bytes;
		uint64_t value_bytes;
		MDB_val key, value;
		int rc;

		memcpy(&key_bytes, p, 4);
		memcpy(&value_bytes, p + 4, 8);
		p += 12;
		key = (MDB_val){ key_bytes, (void *)(uintptr_t)p };
		value = (MDB_val){ (size_t)value_bytes, (void *)(uintptr_t)(p + key_bytes) };
		rc = mdb_put(txn, w->dbi, &key, &value, MDB_NOOVERWRITE);
		if (rc == MDB_KEYEXIST)
			*duplicate = key;
		if (rc)
			return rc;
		p += key_bytes + value_bytes;
	}
	return 0;
}

static int put_batch(struct moka_lmdb_writer *w, MDB_val *duplicate)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(w->env, NULL, 0, &txn);

	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &w->dbi);
	if (!rc)
		rc = put_all(w, txn, duplicate);
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static enum moka_status flush(struct moka_lmdb_writer *w, struct moka_error *err)
{
	MDB_val duplicate = { 0, NULL };
	int rc;

	while ((rc = put_batch(w, &duplicate)) == MDB_MAP_FULL) {
		if (w->map_bytes > SIZE_MAX / 4)
			break;
		w->map_bytes *= 2;
		rc = mdb_env_set_mapsize(w->env, w->map_bytes);
		if (rc)
			break;
	}
	if (duplicate.mv_data)
		return moka_fail(err, MOKA_ERR_DATA, "%s: the key '%.*s' comes twice", w->path, (int)duplicate.mv_size,
				 (const char *)duplicate.mv_data);
	if (rc)
		return mdb_fail(w, rc, "write to", err);
	w->batch.len = 0;
	w->total += w->n;
	w->n = 0;
	return MOKA_OK;
}

enum moka_status moka_lmdb_writer_put(struct moka_lmdb_writer *w, const char *key, const void *value, size_t n,
				      struct moka_error *err)
{
	const uint32_t key_bytes = (uint32_t)strnlen(key, MAX_KEY + 1);
	const uint64_t value_bytes = n;

	if (!key_bytes || key_bytes > MAX_KEY)
		return moka_fail(err, MOKA_ERR_DATA, "%s: a key must have 1 to %d bytes: '%.64s'", w->path, MAX_KEY,
				 key);
	moka_buf_add(&w->batch, &key_bytes, 4);
	moka_buf_add(&w->batch, &value_bytes, 8);
	moka_buf_add(&w->batch, key, key_bytes);
	moka_buf_add(&w->batch, value, n);
	if (w->batch.failed)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for a batch of records", w->path);
	w->n++;
	return w->n >= BATCH_RECORDS || w->batch.len > BATCH_BYTES ? flush(w, err) : MOKA_OK;
}

enum moka_status moka_lmdb_writer_put_datum(struct moka_lmdb_writer *w, const char *key, const struct moka_datum *d,
					    struct moka_error *err)
{
	w->record.len = 0;
	moka_datum_write(d, &w->record);
	if (w->record.failed)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for a record", w->path);
	return moka_lmdb_writer_put(w, key, w->record.data, w->record.len, err);
}

static enum moka_status write_out(struct moka_lmdb_writer *w, struct moka_error *err)
{
	int rc;

	MOKA_TRY(flush(w, err)); /* also of nothing: an empty database is one */
	rc = mdb_env_sync(w->env, 1);
	if (rc)
		return mdb_fail(w, rc, "write to", err);
	mdb_env_close(w->env);
	w->env = NULL;
	return MOKA_OK;
}

static enum moka_status finish(struct moka_lmdb_writer *w, struct moka_error *err)
{
	MOKA_TRY(write_out(w, err));
	if (rename(w->temporary, w->path))
		return moka_fail(err, MOKA_ERR_IO, "%s: can't rename '%s' to it: %s", w->path, w->temporary,
				 strerror(errno));
	return MOKA_OK;
}

enum moka_status moka_lmdb_writer_commit(struct moka_lmdb_writer *w, struct moka_error *err)
{
	const enum moka_status st = finish(w, err);

	if (st)
		remove_temporary(w);
	writer_free(w);
	return st;
}

enum moka_status moka_lmdb_writer_pause(struct moka_lmdb_writer *w, struct moka_error *err)
{
	const enum moka_status st = write_out(w, err);

	writer_free(w);
	return st;
}

void moka_lmdb_writer_abort(struct moka_lmdb_writer *w)
{
	if (!w)
		return;
	remove_temporary(w);
	writer_free(w);
}
