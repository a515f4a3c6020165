/*
 * test_lmdb.c - LMDB files: written through liblmdb, read by our own reader, cut and damaged.
 */
#include "t.h"

#include "data/data.h"

#include <lmdb.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *file(const char *name)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", t_tmp(), name);
	return path[at];
}

/* n records of growing size (some long enough for pages of their own); record i is all bytes (i & 255). */
static size_t size_of(int i)
{
	return i % 10 == 9 ? 3000 + (size_t)i : 1 + (size_t)(i % 100);
}

static const char *make(const char *name, int n)
{
	const char *path = file(name);
	struct moka_lmdb_writer *w;
	struct moka_error e = { 0 };
	uint8_t value[8192];
	char key[32];

	T_OK(moka_lmdb_writer_new(&w, path, &e), &e);
	for (int i = 0; i < n; i++) {
		memset(value, i & 255, sizeof(value));
		snprintf(key, sizeof(key), "%08d", i);
		T_OK(moka_lmdb_writer_put(w, key, value, size_of(i), &e), &e);
	}
	T_OK(moka_lmdb_writer_commit(w, &e), &e);
	return path;
}

static void check_all(struct moka_lmdb *db, int from, int n)
{
	struct moka_error e = { 0 };
	const uint8_t *key, *value;
	size_t key_bytes, value_bytes;
	char want[32];

	for (int i = from; i < n; i++) {
		T_OK(moka_lmdb_next(db, &key, &key_bytes, &value, &value_bytes, &e), &e);
		snprintf(want, sizeof(want), "%08d", i);
		T_INT(key_bytes, 8);
		T_TRUE(!memcmp(key, want, 8));
		T_INT(value_bytes, size_of(i));
		T_INT(value[0], i & 255);
		T_INT(value[value_bytes - 1], i & 255);
	}
	T_OK(moka_lmdb_next(db, &key, &key_bytes, &value, &value_bytes, &e), &e);
	T_TRUE(key == NULL);
}

T_TEST(write_and_read)
{
	const int sizes[] = { 0, 1, 7, 60, 5000 };

	for (size_t k = 0; k < MOKA_COUNT(sizes); k++) {
		struct moka_error e = { 0 };
		struct moka_lmdb *db;
		char name[32];

		snprintf(name, sizeof(name), "db%zu", k);
		T_OK(moka_lmdb_open(&db, make(name, sizes[k]), &e), &e);
		T_INT(moka_lmdb_rows(db), sizes[k]);
		check_all(db, 0, sizes[k]);
		moka_lmdb_rewind(db);
		check_all(db, 0, sizes[k]);
		for (int skip = 0; skip <= sizes[k]; skip += 1 + skip / 2) {
			moka_lmdb_rewind(db);
			T_OK(moka_lmdb_skip(db, skip, &e), &e);
			check_all(db, skip, sizes[k]);
		}
		moka_lmdb_rewind(db);
		T_TRUE(moka_lmdb_skip(db, sizes[k] + 1, &e) != MOKA_OK);
		moka_lmdb_close(db);
	}
}

/* What is written is what liblmdb reads, and the other way round: a database of liblmdb's, with deleted records. */
T_TEST(agrees_with_liblmdb)
{
	struct moka_error e = { 0 };
	struct moka_lmdb *db;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_cursor *c;
	MDB_val k, v;
	const char *path = make("theirs", 3000);
	int n = 0;

	T_INT(mdb_env_create(&env), 0);
	T_INT(mdb_env_set_mapsize(env, (size_t)256 << 20), 0);
	T_INT(mdb_env_open(env, path, 0, 0664), 0);
	T_INT(mdb_txn_begin(env, NULL, 0, &txn), 0);
	T_INT(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	for (int i = 0; i < 3000; i++) {
		char key[32];

		snprintf(key, sizeof(key), "%08d", i);
		k = (MDB_val){ 8, key };
		if (i % 3)
			T_INT(mdb_del(txn, dbi, &k, NULL), 0);
	}
	T_INT(mdb_txn_commit(txn), 0);
	T_INT(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
	T_INT(mdb_cursor_open(txn, dbi, &c), 0);
	T_OK(moka_lmdb_open(&db, path, &e), &e);
	T_INT(moka_lmdb_rows(db), 1000);
	while (!mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		const uint8_t *key, *value;
		size_t key_bytes, value_bytes;

		T_OK(moka_lmdb_next(db, &key, &key_bytes, &value, &value_bytes, &e), &e);
		T_INT(key_bytes, k.mv_size);
		T_TRUE(!memcmp(key, k.mv_data, key_bytes));
		T_INT(value_bytes, v.mv_size);
		T_TRUE(!memcmp(value, v.mv_data, value_bytes));
		n++;
	}
	T_INT(n, 1000);
	mdb_cursor_close(c);
	mdb_txn_abort(txn);
	mdb_env_close(env);
	moka_lmdb_close(db);
}

/* 40 MB, so that the map must grow, and one record that is larger than the first map. */
T_TEST(map_grows)
{
	struct moka_lmdb_writer *w;
	struct moka_error e = { 0 };
	struct moka_lmdb *db;
	const size_t big = (size_t)20 << 20;
	uint8_t *value = calloc(1, big);

	T_TRUE(value != NULL);
	T_OK(moka_lmdb_writer_new(&w, file("grow"), &e), &e);
	T_OK(moka_lmdb_writer_put(w, "a", value, big, &e), &e);
	T_OK(moka_lmdb_writer_put(w, "b", value, big, &e), &e);
	T_OK(moka_lmdb_writer_commit(w, &e), &e);
	T_OK(moka_lmdb_open(&db, file("grow"), &e), &e);
	T_INT(moka_lmdb_rows(db), 2);
	moka_lmdb_close(db);
	free(value);
}

T_TEST(writer_faults)
{
	struct moka_lmdb_writer *w;
	struct moka_error e = { 0 };
	char temporary[300];

	make("there", 1);
	T_TRUE(moka_lmdb_writer_new(&w, file("there"), &e) != MOKA_OK);
	T_HAS(e.message, "exists already");
	T_TRUE(moka_lmdb_writer_new(&w, "/no/such/folder/db", &e) != MOKA_OK);
	T_HAS(e.message, "/no/such/folder/db");
	T_OK(moka_lmdb_writer_new(&w, file("twice/"), &e), &e);
	T_OK(moka_lmdb_writer_put(w, "k", "v", 1, &e), &e);
	T_TRUE(moka_lmdb_writer_put(w, "", "v", 1, &e) != MOKA_OK);
	T_OK(moka_lmdb_writer_put(w, "k", "v", 1, &e), &e);
	T_TRUE(moka_lmdb_writer_commit(w, &e) != MOKA_OK);
	T_HAS(e.message, "the key 'k' comes twice");
	snprintf(temporary, sizeof(temporary), "%s.tmp-%ld", file("twice"), (long)getpid());
	T_FALSE(moka_path_exists(temporary));
	T_FALSE(moka_path_exists(file("twice")));
	T_OK(moka_lmdb_writer_new(&w, file("given-up"), &e), &e);
	moka_lmdb_writer_abort(w);
	moka_lmdb_writer_abort(NULL);
	T_FALSE(moka_path_exists(file("given-up")));
}

static int read_all(const char *path)
{
	struct moka_error e = { 0 };
	const uint8_t *key = NULL, *value;
	size_t key_bytes, value_bytes;
	struct moka_lmdb *db;
	unsigned sum = 0;
	int n = 0;

	if (moka_lmdb_open(&db, path, &e)) {
		T_TRUE(e.message[0] != '\0');
		return -1;
	}
	while (!moka_lmdb_next(db, &key, &key_bytes, &value, &value_bytes, &e) && key) {
		for (size_t i = 0; i < value_bytes; i++)
			sum += value[i];
		n++;
	}
	moka_lmdb_close(db);
	if (e.message[0])
		T_HAS(e.message, "bad.mdb");
	return e.message[0] || sum == 0xfffffff ? -1 : n;
}

/* Cut at every kind of place, and bits turned over: records or an error; nothing outside of the file is touched. */
T_TEST(damaged)
{
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };
	struct moka_rng r;
	uint8_t *bytes;
	int whole = 0, errors = 0;
	char path[300];

	snprintf(path, sizeof(path), "%s/data.mdb", make("good", 400));
	T_OK(moka_file_open(&f, path, &e), &e);
	bytes = malloc(f.size);
	T_TRUE(bytes != NULL);
	memcpy(bytes, f.data, f.size);
	moka_rng_seed(&r, 9, 0);
	for (size_t n = 0; n < f.size; n += 1024) {
		T_OK(moka_file_write(file("bad.mdb"), bytes, n, &e), &e);
		T_TRUE(read_all(file("bad.mdb")) < 400);
	}
	for (int i = 0; i < 1500; i++) {
		/* in the heads of pages, where it hurts */
		for (int k = 0; k < 3; k++) {
			const size_t page = (size_t)moka_rng_below(&r, f.size / 4096) * 4096,
				     at = page + (size_t)moka_rng_below(&r, 200);

			bytes[at] ^= (uint8_t)(1 << moka_rng_below(&r, 8));
		}
		T_OK(moka_file_write(file("bad.mdb"), bytes, f.size, &e), &e);
		if (read_all(file("bad.mdb")) == 400)
			whole++;
		else
			errors++;
		memcpy(bytes, f.data, f.size);
	}
	T_TRUE(whole > 10 && errors > 100);
	free(bytes);
	moka_file_release(&f);
}

/* A tree that leads back to its root. */
T_TEST(circle)
{
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };
	uint8_t *bytes;
	char path[300];

	snprintf(path, sizeof(path), "%s/data.mdb", make("round", 4000));
	T_OK(moka_file_open(&f, path, &e), &e);
	bytes = malloc(f.size);
	T_TRUE(bytes != NULL);
	memcpy(bytes, f.data, f.size);
	for (size_t page = 2 * 4096; page < f.size; page += 4096)
		if (bytes[page + 10] == 1) { /* a branch: its children become itself */
			for (int i = 0; i < (bytes[page + 12] + 256 * bytes[page + 13] - 16) / 2; i++) {
				const size_t node = page + bytes[page + 16 + 2 * i] + 256u * bytes[page + 17 + 2 * i];

				memcpy(bytes + node, bytes + page, 4);
			}
		}
	T_OK(moka_file_write(file("bad.mdb"), bytes, f.size, &e), &e);
	T_INT(read_all(file("bad.mdb")), -1);
	free(bytes);
	moka_file_release(&f);
}

T_TEST(not_databases)
{
	struct moka_error e = { 0 };
	struct moka_lmdb *db;

	T_TRUE(moka_lmdb_open(&db, file("nothing"), &e) == MOKA_ERR_IO);
	T_TRUE(moka_lmdb_open(&db, t_tmp(), &e) != MOKA_OK);
	T_HAS(e.message, "no data.mdb in this folder");
	T_INT(mkdir(file("level"), 0777), 0);
	T_OK(moka_file_write(file("level/CURRENT"), "x", 1, &e), &e);
	T_TRUE(moka_lmdb_open(&db, file("level"), &e) != MOKA_OK);
	T_HAS(e.hint, "LEVELDB");
	T_OK(moka_file_write(file("text"), "hello", 5, &e), &e);
	T_TRUE(moka_lmdb_open(&db, file("text"), &e) != MOKA_OK);
	T_HAS(e.message, "not an LMDB database");
}

static const struct CMUnitTest tests[] = {
	T_CASE(write_and_read), T_CASE(agrees_with_liblmdb), T_CASE(map_grows), T_CASE(writer_faults), T_CASE(damaged),
	T_CASE(circle),		T_CASE(not_databases),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
