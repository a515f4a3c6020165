/*
 * lmdb_read.c - reads an LMDB file, trusting nothing in it.
 *
 * liblmdb follows page numbers and offsets of the file wherever they lead: a database that was cut short while it was copied ends the
 * process. All that a Data layer needs is the records in order, so the pages are walked here, and each number is
 * checked before it is used. The layout (of 64-bit little-endian machines, where LMDBs are made):
 *
 *     page      8 number | 2 pad | 2 flags | 2 lower, 2 upper (or 4: pages of an overflow run) | 2 x n offsets of nodes ... nodes
 *     meta      pages 0 and 1: the one with the larger transaction number holds: page header | magic, version | address, map size |
 *               two databases of 48 bytes (free list, main) | last page | transaction
 *     database  4 pad (of the first: page size) | 2 flags | 2 depth | branch, leaf, overflow pages | entries | root page
 *     node      2 lo, 2 hi | 2 flags | 2 key size | key | value (or, flag 1, the number of its overflow page)
 */
#include "data/db.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	HEADER = 16,
	NODE = 8,
	MAX_DEPTH = 32,
	P_BRANCH = 1,
	P_LEAF = 2,
	P_OVERFLOW = 4,
	P_META = 8,
	P_LEAF2 = 32,
	P_SUBPAGE = 64,
	N_BIGDATA = 1,
	N_SUBDATA = 2,
	N_DUPDATA = 4,
	META_DBS = HEADER + 24,
	META_MAIN = META_DBS + 48,
	META_END = HEADER + 136,
};
#define NO_PAGE UINT64_MAX

struct level {
	const uint8_t *page;
	int n, at; /* nodes, and the one that was taken last */
};

struct moka_lmdb {
	struct moka_file file;
	char *path; /* as given */
	size_t page_bytes;
	uint64_t pages, root;
	int64_t rows, seen;
	int depth, levels;
	struct level stack[MAX_DEPTH];
	const uint8_t *key;
	size_t key_bytes;
};

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)u16(p) | (uint32_t)u16(p + 2) << 16;
}

static uint64_t u64(const uint8_t *p)
{
	return (uint64_t)u32(p) | (uint64_t)u32(p + 4) << 32;
}

static enum moka_status damaged(const struct moka_lmdb *db, uint64_t page, const char *why, struct moka_error *err)
{
	char where[256];

	moka_fail(err, MOKA_ERR_DATA, "%s: page %" PRIu64 " of this LMDB %s; the database is damaged",
		  moka_lmdb_where(db, where, sizeof(where)), page, why);
	moka_fail_hint(err, "was it copied while it was written? Copy it again, or make it again with `moka data`");
	return MOKA_ERR_DATA;
}

const char *moka_lmdb_where(const struct moka_lmdb *db, char *buf, size_t size)
{
	return moka__key_where(db->path, db->key, db->key_bytes, buf, size);
}

/* ---- pages -------------------------------------------------------------------------------------- */

static enum moka_status page_at(const struct moka_lmdb *db, uint64_t number, const uint8_t **page,
				struct moka_error *err)
{
	if (number >= db->pages)
		return damaged(db, number, "lies behind the end of the file", err);
	*page = db->file.data + number * db->page_bytes;
	return u64(*page) == number ? MOKA_OK : damaged(db, number, "carries another page's number", err);
}

/* A branch or leaf, its list of nodes within bounds. */
static enum moka_status open_level(const struct moka_lmdb *db, uint64_t number, struct level *l, struct moka_error *err)
{
	const uint8_t *page;
	int flags, lower, upper;

	MOKA_TRY(page_at(db, number, &page, err));
	flags = u16(page + 10);
	lower = u16(page + 12);
	upper = u16(page + 14);
	if (((flags & P_BRANCH) != 0) == ((flags & P_LEAF) != 0) ||
	    (flags & (P_OVERFLOW | P_META | P_LEAF2 | P_SUBPAGE)))
		return damaged(db, number, "is neither a branch nor a leaf", err);
	if (lower < HEADER + 2 || lower > upper || (size_t)upper > db->page_bytes)
		return damaged(db, number, "has a list of nodes that does not fit into it", err);
	*l = (struct level){ page, (lower - HEADER) / 2, -1 };
	return MOKA_OK;
}

static bool is_leaf(const struct level *l)
{
	return u16(l->page + 10) & P_LEAF;
}

/* Node `i` of a page; its header and key lie within the page. */
static enum moka_status node_at(const struct moka_lmdb *db, const struct level *l, int i, const uint8_t **node,
				struct moka_error *err)
{
	const size_t at = u16(l->page + HEADER + 2 * i);

	if (at < u16(l->page + 14) || at + NODE > db->page_bytes || at + NODE + u16(l->page + at + 6) > db->page_bytes)
		return damaged(db, u64(l->page), "has a node outside of it", err);
	*node = l->page + at;
	return MOKA_OK;
}

static uint64_t child_of(const uint8_t *node)
{
	return (uint64_t)u32(node) | (uint64_t)u16(node + 4) << 32;
}

/* ---- the walk -------------------------------------------------------------------------------------- */

/* From the page `number` down to its first leaf. */
static enum moka_status descend(struct moka_lmdb *db, uint64_t number, struct moka_error *err)
{
	const uint8_t *node;

	for (;;) {
		struct level *l = &db->stack[db->levels];

		if (db->levels >= db->depth)
			return damaged(db, number, "lies deeper than the tree is said to be", err);
		MOKA_TRY(open_level(db, number, l, err));
		db->levels++;
		if (is_leaf(l))
			return MOKA_OK;
		MOKA_TRY(node_at(db, l, 0, &node, err));
		l->at = 0;
		number = child_of(node);
	}
}

/* To the next leaf; levels 0 where there is none. */
static enum moka_status next_leaf(struct moka_lmdb *db, struct moka_error *err)
{
	const uint8_t *node;

	if (!db->levels && db->seen == 0)
		return db->root == NO_PAGE ? MOKA_OK : descend(db, db->root, err);
	while (db->levels) {
		struct level *l = &db->stack[db->levels - 1];

		if (!is_leaf(l) && l->at + 1 < l->n) {
			MOKA_TRY(node_at(db, l, ++l->at, &node, err));
			return descend(db, child_of(node), err);
		}
		db->levels--;
	}
	return MOKA_OK;
}

static enum moka_status check_end(const struct moka_lmdb *db, struct moka_error *err)
{
	if (db->seen == db->rows)
		return MOKA_OK;
	return moka_fail(err, MOKA_ERR_DATA,
			 "%s: this LMDB says that it has %" PRId64 " records, but %s; it is damaged", db->path,
			 db->rows, db->seen > db->rows ? "more are there" : "they end before");
}

/* A leaf with a record that was not taken yet; levels 0 at the end. */
static enum moka_status settle(struct moka_lmdb *db, struct moka_error *err)
{
	while (!db->levels || db->stack[db->levels - 1].at + 1 >= db->stack[db->levels - 1].n ||
	       !is_leaf(&db->stack[db->levels - 1])) {
		MOKA_TRY(next_leaf(db, err));
		if (!db->levels)
			return check_end(db, err);
	}
	return MOKA_OK;
}

/* A value of its own run of pages. */
static enum moka_status big_value(const struct moka_lmdb *db, const uint8_t *node_value, size_t n,
				  const uint8_t **value, struct moka_error *err)
{
	const uint64_t number = u64(node_value);
	const uint64_t need = (HEADER + (uint64_t)n + db->page_bytes - 1) / db->page_bytes;
	const uint8_t *page;

	MOKA_TRY(page_at(db, number, &page, err));
	if (!(u16(page + 10) & P_OVERFLOW))
		return damaged(db, number, "should hold a long value and does not", err);
	if (need > db->pages - number || u32(page + 12) < need)
		return damaged(db, number, "begins a value that does not fit into the file", err);
	*value = page + HEADER;
	return MOKA_OK;
}

static enum moka_status take_record(struct moka_lmdb *db, const uint8_t *node, const uint8_t **value, size_t *n,
				    struct moka_error *err)
{
	const struct level *l = &db->stack[db->levels - 1];
	const uint8_t *p = node + NODE + u16(node + 6);
	const size_t left = db->page_bytes - (size_t)(p - l->page);
	const int flags = u16(node + 4);

	db->key = node + NODE;
	db->key_bytes = u16(node + 6);
	*n = u32(node);
	if (flags & (N_SUBDATA | N_DUPDATA))
		return moka_fail(err, MOKA_ERR_UNSUPPORTED,
				 "%s: this LMDB holds several databases or duplicate keys; Caffe's have neither",
				 db->path);
	if ((flags & N_BIGDATA) ? left < 8 : left < *n)
		return damaged(db, u64(l->page), "has a value that does not fit into it", err);
	*value = p;
	return (flags & N_BIGDATA) ? big_value(db, p, *n, value, err) : MOKA_OK;
}

enum moka_status moka_lmdb_next(struct moka_lmdb *db, const uint8_t **key, size_t *key_bytes, const uint8_t **value,
				size_t *value_bytes, struct moka_error *err)
{
	const uint8_t *node;
	struct level *l;

	*key = *value = NULL;
	*key_bytes = *value_bytes = 0;
	MOKA_TRY(settle(db, err));
	if (!db->levels)
		return MOKA_OK;
	l = &db->stack[db->levels - 1];
	if (++db->seen > db->rows)
		return check_end(db, err);
	MOKA_TRY(node_at(db, l, ++l->at, &node, err));
	MOKA_TRY(take_record(db, node, value, value_bytes, err));
	*key = db->key;
	*key_bytes = db->key_bytes;
	return MOKA_OK;
}

enum moka_status moka_lmdb_skip(struct moka_lmdb *db, int64_t n, struct moka_error *err)
{
	while (n > 0) {
		struct level *l;
		int64_t step;

		MOKA_TRY(settle(db, err));
		if (!db->levels)
			return moka_fail(err, MOKA_ERR_DATA, "%s: there are only %" PRId64 " records", db->path,
					 db->rows);
		l = &db->stack[db->levels - 1];
		step = MOKA_MIN(n, (int64_t)(l->n - 1 - l->at));
		l->at += (int)step;
		db->seen += step;
		n -= step;
	}
	return db->seen > db->rows ? check_end(db, err) : MOKA_OK;
}

void moka_lmdb_rewind(struct moka_lmdb *db)
{
	db->levels = 0;
	db->seen = 0;
	db->key = NULL;
	db->key_bytes = 0;
}

int64_t moka_lmdb_rows(const struct moka_lmdb *db)
{
	return db->rows;
}

/* ---- opening ------------------------------------------------------------------------------------------ */

static bool is_meta(const struct moka_lmdb *db, size_t at)
{
	const uint8_t *p = db->file.data + at;

	return at + META_END <= db->file.size && (u16(p + 10) & P_META) && u32(p + HEADER) == 0xBEEFC0DE &&
	       u32(p + HEADER + 4) == 1;
}

/* The newest of the two meta pages: where the tree is. */
static enum moka_status read_meta(struct moka_lmdb *db, struct moka_error *err)
{
	const uint8_t *meta = db->file.data, *other;

	if (!is_meta(db, 0))
		return moka_guess_fail(err, db->path, &db->file, moka_model_guess(&db->file),
				       "an LMDB database that can be read");
	db->page_bytes = u32(meta + META_DBS);
	if (db->page_bytes < 512 || db->page_bytes > 65536 || (db->page_bytes & (db->page_bytes - 1)))
		return moka_fail(err, MOKA_ERR_DATA, "%s: a page size of %zu in its head; the database is damaged",
				 db->path, db->page_bytes);
	other = meta + db->page_bytes;
	if (is_meta(db, db->page_bytes) && u64(other + META_END - 8) > u64(meta + META_END - 8))
		meta = other;
	db->pages = db->file.size / db->page_bytes;
	db->depth = u16(meta + META_MAIN + 6);
	db->root = u64(meta + META_MAIN + 40);
	if (u16(meta + META_MAIN + 4))
		return moka_fail(err, MOKA_ERR_UNSUPPORTED,
				 "%s: an LMDB with duplicate or integer keys; Caffe's have neither", db->path);
	/* A record takes at least the head of its node. */
	if (db->depth > MAX_DEPTH || u64(meta + META_MAIN + 32) > db->file.size / (NODE + 2))
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: %" PRIu64
				 " records in a tree %d pages deep can't be in %zu bytes; the database is damaged",
				 db->path, u64(meta + META_MAIN + 32), db->depth, db->file.size);
	db->rows = (int64_t)u64(meta + META_MAIN + 32);
	return MOKA_OK;
}

static bool exists_in(const char *folder, const char *name)
{
	char path[MOKA_MAX_NAME];

	return snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path) && moka_path_exists(path);
}

static enum moka_status open_file(struct moka_lmdb *db, struct moka_error *err)
{
	char path[MOKA_MAX_NAME];
	struct stat st;

	if (stat(db->path, &st) || !S_ISDIR(st.st_mode))
		return moka_file_open(&db->file, db->path, err);
	if (snprintf(path, sizeof(path), "%s/data.mdb", db->path) >= (int)sizeof(path))
		return moka_fail(err, MOKA_ERR_IO, "%s: this path is too long", db->path);
	if (moka_path_exists(path))
		return moka_file_open(&db->file, path, err);
	moka_fail(err, MOKA_ERR_IO, "%s: there is no data.mdb in this folder, so it is not an LMDB", db->path);
	if (exists_in(db->path, "CURRENT"))
		moka_fail_hint(err, "it looks like a LevelDB: say backend: LEVELDB in data_param");
	return MOKA_ERR_IO;
}

enum moka_status moka_lmdb_open(struct moka_lmdb **out, const char *path, struct moka_error *err)
{
	struct moka_lmdb *db = calloc(1, sizeof(*db));
	enum moka_status st;

	*out = NULL;
	if (!db || !(db->path = strdup(path))) {
		free(db);
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	}
	st = open_file(db, err);
	if (!st)
		st = read_meta(db, err);
	if (st)
		moka_lmdb_close(db);
	else
		*out = db;
	return st;
}

void moka_lmdb_close(struct moka_lmdb *db)
{
	if (!db)
		return;
	moka_file_release(&db->file);
	free(db->path);
	free(db);
}
