/*
 * test_database.c - either kind of database: written, read, sought, gone on with, damaged.
 */
#include "t.h"

#include "source.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = { "data", "label" };
static const enum moka_backend kinds[] = { MOKA_LMDB, MOKA_LEVELDB };

static const char *file(const char *name, enum moka_backend kind)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s_%s", t_tmp(), name, moka_backend_name(kind));
	return path[at];
}

static void put(struct moka_db_writer *w, int i)
{
	uint8_t pixels[12];
	struct moka_datum d = { .channels = 3, .height = 2, .width = 2, .label = i, .data = pixels, .data_bytes = 12 };
	struct moka_error e = { 0 };
	char key[32];

	for (int k = 0; k < 12; k++)
		pixels[k] = (uint8_t)(i + k);
	snprintf(key, sizeof(key), "%08d", i);
	T_OK(moka_db_writer_put_datum(w, key, &d, &e), &e);
}

static const char *make(const char *name, enum moka_backend kind, int n)
{
	const char *path = file(name, kind);
	struct moka_db_writer *w;
	struct moka_error e = { 0 };

	T_OK(moka_db_writer_new(&w, kind, path, &e), &e);
	for (int i = 0; i < n; i++)
		put(w, i);
	T_OK(moka_db_writer_commit(w, &e), &e);
	return path;
}

/* Label of the next record; -1 behind the last. */
static int64_t next_label(struct moka_db *db)
{
	const uint8_t *key, *value;
	size_t key_bytes, value_bytes;
	struct moka_error e = { 0 };
	struct moka_datum d;

	T_OK(moka_db_next(db, &key, &key_bytes, &value, &value_bytes, &e), &e);
	if (!key)
		return -1;
	T_OK(moka_datum_parse(&d, value, value_bytes, "here", &e), &e);
	T_INT(d.data[0], d.label & 255);
	return d.label;
}

T_TEST(written_and_read)
{
	for (int k = 0; k < 2; k++) {
		struct moka_error e = { 0 };
		struct moka_db *db;
		char where[128];

		T_OK(moka_db_open(&db, kinds[k], make("plain", kinds[k], 7), &e), &e);
		T_INT(moka_db_record(db), -1);
		for (int i = 0; i < 7; i++) {
			T_INT(next_label(db), i);
			T_INT(moka_db_record(db), i);
		}
		T_HAS(moka_db_where(db, where, sizeof(where)), "key 00000006");
		T_INT(next_label(db), -1);
		T_INT(moka_db_rows(db), 7);
		moka_db_close(db);
	}
}

/* A LevelDB's length isn't known at first: a seek behind its end learns it. */
T_TEST(seek)
{
	for (int k = 0; k < 2; k++) {
		struct moka_error e = { 0 };
		struct moka_db *db;

		make("seek", kinds[k], 5);
		for (int first = 0; first < 23; first += 11) {
			T_OK(moka_db_open(&db, kinds[k], file("seek", kinds[k]), &e), &e);
			for (int at = first; at < 23; at++) {
				T_OK(moka_db_seek(db, (uint64_t)at, &e), &e);
				T_INT(next_label(db), at % 5);
				T_INT(moka_db_record(db), at % 5);
			}
			moka_db_close(db);
		}
	}
}

T_TEST(not_over_another)
{
	for (int k = 0; k < 2; k++) {
		struct moka_db_writer *w;
		struct moka_error e = { 0 };

		make("there", kinds[k], 1);
		T_TRUE(moka_db_writer_new(&w, kinds[k], file("there", kinds[k]), &e) != MOKA_OK);
		T_HAS(e.message, "it exists already");
		T_OK(moka_db_writer_new(&w, kinds[k], file("aborted", kinds[k]), &e), &e);
		put(w, 1);
		moka_db_writer_abort(w);
		T_FALSE(moka_path_exists(file("aborted", kinds[k])));
	}
}

T_TEST(paused_and_gone_on_with)
{
	for (int k = 0; k < 2; k++) {
		const char *path = file("paused", kinds[k]);
		struct moka_error e = { 0 };
		struct moka_db_writer *w;
		struct moka_db *db;
		char last[64];

		for (int from = 0; from < 3000; from += 1000) {
			T_OK(moka_db_writer_resume(&w, kinds[k], path, last, sizeof(last), &e), &e);
			T_INT(strlen(last), from ? 8 : 0);
			T_INT(atoi(last), from ? from - 1 : 0);
			T_FALSE(moka_path_exists(path));
			for (int i = from; i < from + 1000; i++)
				put(w, i);
			T_OK(from < 2000 ? moka_db_writer_pause(w, &e) : moka_db_writer_commit(w, &e), &e);
		}
		T_OK(moka_db_open(&db, kinds[k], path, &e), &e);
		for (int i = 0; i < 3000; i++)
			T_INT(next_label(db), i);
		T_INT(next_label(db), -1);
		moka_db_close(db);
	}
}

/* As a source: the same batches from both kinds, wherever they begin. */
T_TEST(the_same_batches)
{
	real x[2][48], y[2][4], first[48];
	struct moka_error e = { 0 };
	struct bench b[2];

	for (int k = 0; k < 2; k++) {
		make("source", kinds[k], 7);
		bench_init(&b[k], 2, names, MOKA_TRAIN);
		bench_sub(&b[k], "Data");
		bench_set(&b[k], "rand_skip", 5);
		b[k].transform.mirror = true;
		b[k].layer.for_run = true;
		T_OK(bench_open(&b[k], k ? &moka_source_leveldb : &moka_source_lmdb, file("source", kinds[k]), 4, 9,
				&e),
		     &e);
	}
	for (int batch = 0; batch < 5; batch++) {
		for (int k = 0; k < 2; k++)
			T_OK(bench_read(&b[k], (real *const[]){ x[k], y[k] }, &e), &e);
		T_NEAR(x[1], x[0], 48, 0, 0);
		T_NEAR(y[1], y[0], 4, 0, 0);
		T_INT(y[0][1], ((int)y[0][0] + 1) % 7);
		if (!batch)
			memcpy(first, x[0], sizeof(first));
	}
	for (int k = 0; k < 2; k++) {
		T_OK(b[k].ops->seek(b[k].source, 0, &e), &e);
		T_OK(bench_read(&b[k], (real *const[]){ x[k], y[k] }, &e), &e);
		T_NEAR(x[k], first, 48, 0, 0);
		bench_close(&b[k]);
	}
}

/* rand_skip: every start is drawn, and only those. */
T_TEST(rand_skip)
{
	bool seen[7] = { false };
	struct moka_error e = { 0 };
	real x[12], y[1];

	make("skip", MOKA_LMDB, 7);
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct bench b;

		bench_init(&b, 2, names, MOKA_TEST);
		bench_sub(&b, "Data");
		bench_set(&b, "rand_skip", 3);
		T_OK(bench_open(&b, &moka_source_lmdb, file("skip", MOKA_LMDB), 1, seed, &e), &e);
		T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
		seen[(int)y[0]] = true;
		bench_close(&b);
	}
	T_TRUE(seen[0] && seen[1] && seen[2] && !seen[3] && !seen[4] && !seen[5] && !seen[6]);
}

/* ---- damage: every file of a LevelDB, byte after byte: an error or the old records, never a crash ------------------ */

static int open_and_read(const char *path)
{
	const uint8_t *key = NULL, *value;
	size_t key_bytes, value_bytes;
	struct moka_error e = { 0 };
	struct moka_db *db;
	int n = 0;

	if (moka_db_open(&db, MOKA_LEVELDB, path, &e)) {
		T_TRUE(e.message[0] != 0);
		return -1;
	}
	while (!moka_db_next(db, &key, &key_bytes, &value, &value_bytes, &e) && key)
		n++;
	moka_db_close(db);
	return n;
}

static void copy(const char *from, const char *to, int64_t damage, uint8_t with)
{
	struct moka_file f = { 0 };
	struct moka_error e = { 0 };
	uint8_t *bytes;

	T_OK(moka_file_open(&f, from, &e), &e);
	bytes = malloc(f.size + 1);
	T_TRUE(bytes != NULL);
	if (f.size)
		memcpy(bytes, f.data, f.size);
	if (damage >= 0 && (size_t)damage < f.size)
		bytes[damage] ^= with;
	T_OK(moka_file_write(to, bytes, f.size, &e), &e);
	free(bytes);
	moka_file_release(&f);
}

/* A copy of the database with one byte of one file changed; its size, or -1 where there is no such file. */
static int64_t copy_all(const char *from, const char *to, int which, int64_t damage, uint8_t with)
{
	char a[600], b[600];
	DIR *d = opendir(from);
	int64_t size = -1;
	int i = 0;

	T_TRUE(d != NULL);
	for (struct dirent *x; (x = readdir(d));) {
		struct moka_file f = { 0 };

		if (x->d_name[0] == '.' || !strcmp(x->d_name, "LOCK") || !strncmp(x->d_name, "LOG", 3))
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, x->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, x->d_name);
		copy(a, b, i == which ? damage : -1, with);
		if (i++ == which && !moka_file_open(&f, a, NULL)) {
			size = (int64_t)f.size;
			moka_file_release(&f);
		}
	}
	closedir(d);
	return size;
}

static void clear(const char *folder)
{
	char path[600];
	DIR *d = opendir(folder);

	T_TRUE(d != NULL);
	for (struct dirent *x; (x = readdir(d));)
		if (x->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", folder, x->d_name);
			unlink(path);
		}
	closedir(d);
}

T_TEST(damaged_leveldb)
{
	const char *good = make("good", MOKA_LEVELDB, 40);
	char to[300];
	int64_t size;
	int errors = 0;

	T_INT(open_and_read(good), 40); /* opening makes a table of the log */
	snprintf(to, sizeof(to), "%s/damaged", t_tmp());
	mkdir(to, 0777);
	for (int which = 0; (size = copy_all(good, to, which, -1, 0)) >= 0; which++) {
		clear(to);
		for (int64_t at = 0; at<size; at += at> size - 60 || at < 60 ? 1 : 37) {
			int n;

			copy_all(good, to, which, at, at % 2 ? 0xff : 0x10);
			n = open_and_read(to);
			errors += n < 0;
			T_TRUE(n <= 40);
			clear(to);
		}
	}
	T_TRUE(errors > 50);
}

/* Entries beside the test's databases whose names hold ".view-". */
static int views(void)
{
	DIR *d = opendir(t_tmp());
	int n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		n += strstr(e->d_name, ".view-") != NULL;
	closedir(d);
	return n;
}

/* Train and test net on one LevelDB: each reads all of it, whoever closes first, and nothing is left beside it. */
T_TEST(leveldb_is_read_by_several)
{
	const char *path = make("several", MOKA_LEVELDB, 40);
	struct moka_error e = { 0 };
	struct moka_db *db[3];
	char left[300];

	/* of a program that was killed: no process has a number so high */
	snprintf(left, sizeof(left), "%s.view-2147483646-0", path);
	T_INT(mkdir(left, 0700), 0);
	for (int i = 0; i < 3; i++)
		T_OK(moka_db_open(&db[i], MOKA_LEVELDB, path, &e), &e);
	T_INT(views(), 2);
	for (int k = 0; k < 20; k++)
		for (int i = 0; i < 3; i++)
			T_INT(next_label(db[i]), k);
	moka_db_close(db[0]);
	for (int k = 20; k < 40; k++)
		for (int i = 1; i < 3; i++)
			T_INT(next_label(db[i]), k);
	T_INT(next_label(db[1]), -1);
	moka_db_close(db[1]);
	moka_db_close(db[2]);
	T_INT(views(), 0);
	T_OK(moka_db_open(&db[0], MOKA_LEVELDB, path, &e), &e);
	T_INT(next_label(db[0]), 0);
	moka_db_close(db[0]);
}

static const struct CMUnitTest tests[] = {
	T_CASE(written_and_read), T_CASE(seek),	     T_CASE(not_over_another), T_CASE(paused_and_gone_on_with),
	T_CASE(the_same_batches), T_CASE(rand_skip), T_CASE(damaged_leveldb),  T_CASE(leveldb_is_read_by_several),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
