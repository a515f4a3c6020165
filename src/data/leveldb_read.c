/*
 * leveldb_read.c - a LevelDB read in key order, through LevelDB's own library.
 *
 * The library checks sums of what it reads and says what it finds damaged, with one exception that would end the
 * process: it believes the sizes in the last bytes of a table file and allocates them. So those bytes are looked at here first. It
 * also makes a folder where there is none, which nobody asked for, and so that is looked at too.
 *
 * One program can have a LevelDB open once: that is LevelDB's rule. Where this program has it already (train and test net on one
 * database), a view of it is opened instead (leveldb_view.c).
 */
#include "data/db.h"

#include <leveldb/c.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOOTER 48
#define BLOCK_TRAILER 5

struct moka__leveldb {
	char *path;
	char *view; /* folder that was opened in its place; NULL: itself */
	leveldb_t *db;
	leveldb_options_t *options;
	leveldb_readoptions_t *read;
	leveldb_iterator_t *it;
	bool fresh; /* before the first record */
	bool held;  /* the iterator stands on the record that comes next */
};

/* ---- before it is opened ------------------------------------------------------------------------------ */

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; *p < end && shift < 64; shift += 7) {
		const uint8_t b = *(*p)++;

		*v |= (uint64_t)(b & 127) << shift;
		if (b < 128)
			return true;
	}
	return false;
}

/* A table's last bytes: where its two lists of blocks are (offset, size), and a magic number. */
static bool footer_fits(const uint8_t footer[FOOTER], uint64_t file_bytes)
{
	static const uint8_t magic[8] = { 0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb };
	const uint8_t *p = footer, *end = footer + FOOTER - 8;

	for (int i = 0; i < 2; i++) {
		uint64_t offset, size;

		if (!varint(&p, end, &offset) || !varint(&p, end, &size))
			return false;
		if (offset > file_bytes || size > file_bytes - offset || file_bytes - offset - size < BLOCK_TRAILER)
			return false;
	}
	return !memcmp(end, magic, sizeof(magic));
}

static enum moka_status check_table(const char *path, const char *name, struct moka_error *err)
{
	uint8_t footer[FOOTER];
	char file[MOKA_MAX_NAME];
	struct stat st;
	bool ok;
	int fd;

	if (snprintf(file, sizeof(file), "%s/%s", path, name) >= (int)sizeof(file))
		return moka_fail(err, MOKA_ERR_IO, "%s: this path is too long", path);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return moka_fail(err, MOKA_ERR_IO, "%s: can't open '%s': %s", path, name, strerror(errno));
	ok = !fstat(fd, &st) && st.st_size >= FOOTER && pread(fd, footer, FOOTER, st.st_size - FOOTER) == FOOTER &&
	     footer_fits(footer, (uint64_t)st.st_size);
	close(fd);
	return ok ? MOKA_OK
		  : moka_fail(err, MOKA_ERR_DATA,
			      "%s: this LevelDB is damaged: the end of its file '%s' isn't that of a table", path,
			      name);
}

static enum moka_status check_tables(const char *path, struct moka_error *err)
{
	DIR *d = opendir(path);
	enum moka_status st = MOKA_OK;

	if (!d)
		return moka_fail(err, MOKA_ERR_IO, "%s: can't read this folder: %s", path, strerror(errno));
	for (struct dirent *e; !st && (e = readdir(d));)
		if (moka_has_suffix(e->d_name, ".ldb") || moka_has_suffix(e->d_name, ".sst"))
			st = check_table(path, e->d_name, err);
	closedir(d);
	return st;
}

static bool has_file(const char *path, const char *name)
{
	char file[MOKA_MAX_NAME];

	return snprintf(file, sizeof(file), "%s/%s", path, name) < (int)sizeof(file) && moka_path_exists(file);
}

static enum moka_status check_folder(const char *path, struct moka_error *err)
{
	if (has_file(path, "data.mdb")) {
		moka_fail(err, MOKA_ERR_MODEL, "%s: this is an LMDB, but LEVELDB is what the backend says", path);
		moka_fail_hint(err, "LEVELDB is what data_param takes where it says nothing: add backend: LMDB");
		return MOKA_ERR_MODEL;
	}
	if (!moka_path_exists(path))
		return moka_fail(err, MOKA_ERR_IO, "%s: there is no such database", path);
	if (!has_file(path, "CURRENT"))
		return moka_fail(err, MOKA_ERR_IO, "%s: there is no file CURRENT in it, so it is not a LevelDB", path);
	return check_tables(path, err);
}

/* ---- open and close ------------------------------------------------------------------------------------ */

/* LevelDB's own words, which are freed. */
static enum moka_status leveldb_said(const char *path, const char *doing, char *said, struct moka_error *err)
{
	const bool locked = strstr(said, "lock") != NULL;
	const enum moka_status st =
		moka_fail(err, MOKA_ERR_DATA, "%s: can't %s this LevelDB: %.300s", path, doing, said);

	if (locked)
		moka_fail_hint(
			err,
			"a LevelDB can be open in one program only, and another has it; an LMDB can be read by many");
	leveldb_free(said);
	return st;
}

static void free_view(struct moka__leveldb *db)
{
	if (db->view)
		moka__leveldb_view_remove(db->view);
	free(db->view);
	db->view = NULL;
}

/* Files may come and go while they are linked: a second and a third try. Where none works, *said is what LevelDB said last. */
static void open_view(struct moka__leveldb *db, char **said)
{
	for (int i = 0; *said && i < 3; i++) {
		free_view(db);
		db->view = moka__leveldb_view_make(db->path);
		if (!db->view)
			return;
		leveldb_free(*said);
		*said = NULL;
		db->db = leveldb_open(db->options, db->view, said);
	}
}

static enum moka_status open_library(struct moka__leveldb *db, struct moka_error *err)
{
	char *said = NULL;

	db->options = leveldb_options_create();
	leveldb_options_set_create_if_missing(db->options, 0);
	leveldb_options_set_paranoid_checks(db->options, 1);
	leveldb_options_set_max_open_files(db->options, 100);
	db->read = leveldb_readoptions_create();
	leveldb_readoptions_set_verify_checksums(db->read, 1);
	leveldb_readoptions_set_fill_cache(db->read, 0);
	db->db = leveldb_open(db->options, db->path, &said);
	if (said && strstr(said, "already held by process"))
		open_view(db, &said);
	if (said)
		return leveldb_said(db->path, "open", said, err);
	db->it = leveldb_create_iterator(db->db, db->read);
	db->fresh = true;
	return MOKA_OK;
}

enum moka_status moka__leveldb_open(struct moka__leveldb **out, const char *path, struct moka_error *err)
{
	struct moka__leveldb *db = calloc(1, sizeof(*db));
	enum moka_status st;

	*out = NULL;
	if (!db || !(db->path = strdup(path))) {
		free(db);
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	}
	st = check_folder(path, err);
	if (!st)
		st = open_library(db, err);
	if (st)
		moka__leveldb_close(db);
	else
		*out = db;
	return st;
}

void moka__leveldb_close(struct moka__leveldb *db)
{
	if (!db)
		return;
	if (db->it)
		leveldb_iter_destroy(db->it);
	if (db->db)
		leveldb_close(db->db);
	if (db->read)
		leveldb_readoptions_destroy(db->read);
	if (db->options)
		leveldb_options_destroy(db->options);
	free_view(db);
	free(db->path);
	free(db);
}

/* ---- records ---------------------------------------------------------------------------------------------- */

void moka__leveldb_rewind(struct moka__leveldb *db)
{
	db->fresh = true;
	db->held = false;
}

static enum moka_status step(struct moka__leveldb *db, struct moka_error *err)
{
	char *said = NULL;

	if (db->fresh)
		leveldb_iter_seek_to_first(db->it);
	else if (leveldb_iter_valid(db->it))
		leveldb_iter_next(db->it);
	db->fresh = false;
	if (leveldb_iter_valid(db->it))
		return MOKA_OK;
	leveldb_iter_get_error(db->it, &said);
	return said ? leveldb_said(db->path, "read", said, err) : MOKA_OK;
}

enum moka_status moka__leveldb_next(struct moka__leveldb *db, const uint8_t **key, size_t *key_bytes,
				    const uint8_t **value, size_t *value_bytes, struct moka_error *err)
{
	*key = *value = NULL;
	*key_bytes = *value_bytes = 0;
	if (!db->held)
		MOKA_TRY(step(db, err));
	db->held = false;
	if (!leveldb_iter_valid(db->it))
		return MOKA_OK;
	*key = (const uint8_t *)leveldb_iter_key(db->it, key_bytes);
	*value = (const uint8_t *)leveldb_iter_value(db->it, value_bytes);
	return MOKA_OK;
}

enum moka_status moka__leveldb_find(struct moka__leveldb *db, int64_t n, int64_t *rows, struct moka_error *err)
{
	moka__leveldb_rewind(db);
	for (*rows = 0; *rows <= n; ++*rows) {
		MOKA_TRY(step(db, err));
		if (!leveldb_iter_valid(db->it))
			return MOKA_OK;
	}
	db->held = true;
	return MOKA_OK;
}

const char *moka__leveldb_where(const struct moka__leveldb *db, char *buf, size_t size)
{
	size_t n = 0;
	const char *key = !db->fresh && leveldb_iter_valid(db->it) ? leveldb_iter_key(db->it, &n) : NULL;

	if (key)
		moka__key_where(db->path, key, n, buf, size);
	else
		snprintf(buf, size, "%s", db->path);
	return buf;
}
