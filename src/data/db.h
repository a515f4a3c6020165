/*
 * db.h - what the two kinds of database share. Private to data/.
 */
#ifndef MOKA_DATA_DB_H
#define MOKA_DATA_DB_H

#include "data/data.h"

/* "train_lmdb, key 00000012"; PATH alone where key is NULL. Returns buf. */
const char *moka__key_where(const char *path, const void *key, size_t n, char *buf, size_t size);

/* ---- LevelDB: as their LMDB fellows in data.h, but the number of records isn't known --------------------------- */

struct moka__leveldb;
enum moka_status moka__leveldb_open(struct moka__leveldb **out, const char *path, struct moka_error *err);
void moka__leveldb_close(struct moka__leveldb *db);
void moka__leveldb_rewind(struct moka__leveldb *db);
enum moka_status moka__leveldb_next(struct moka__leveldb *db, const uint8_t **key, size_t *key_bytes,
				    const uint8_t **value, size_t *value_bytes, struct moka_error *err);
/* Goes before record n: *rows is n + 1 then. Where there are fewer, *rows is how many, and next() gives none. */
enum moka_status moka__leveldb_find(struct moka__leveldb *db, int64_t n, int64_t *rows, struct moka_error *err);
const char *moka__leveldb_where(const struct moka__leveldb *db, char *buf, size_t size);

/* leveldb_view.c: a folder of links to the files of a LevelDB that this program has open; freed by the caller. NULL: it can't be made. */
char *moka__leveldb_view_make(const char *path);
void moka__leveldb_view_remove(const char *view);

struct moka__leveldb_writer;
enum moka_status moka__leveldb_writer_new(struct moka__leveldb_writer **out, const char *path, struct moka_error *err);
enum moka_status moka__leveldb_writer_resume(struct moka__leveldb_writer **out, const char *path, char *last_key,
					     size_t size, struct moka_error *err);
enum moka_status moka__leveldb_writer_put(struct moka__leveldb_writer *w, const char *key, const void *value, size_t n,
					  struct moka_error *err);
enum moka_status moka__leveldb_writer_commit(struct moka__leveldb_writer *w, struct moka_error *err);
enum moka_status moka__leveldb_writer_pause(struct moka__leveldb_writer *w, struct moka_error *err);
void moka__leveldb_writer_abort(struct moka__leveldb_writer *w);

#endif
