/*
 * test_ahead.c - reading ahead: whatever the number of threads the same batches, errors at their batch, counted skips, seek, early
 * ends. Made for the thread sanitizer too.
 */
#include "t.h"

#include "source.h"

#include <unistd.h>

enum { SIDE = 16, CROP = 12, COUNT = 3 * CROP * CROP, BATCH = 4, ROWS = 22, BATCHES = 13 };

static const char *const names[] = { "data", "label" };

static const char *path_of(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", t_tmp(), name);
	return path;
}

static void encode(int i, struct moka_buf *b)
{
	static uint8_t pixels[SIDE * SIDE * 3];
	struct moka_image img = { SIDE, SIDE, 3, pixels, 0 };
	struct moka_error e = { 0 };

	for (int k = 0; k < SIDE * SIDE * 3; k++)
		pixels[k] = (uint8_t)(i * 7 + k);
	T_OK(moka_image_encode_png(&img, b, &e), &e);
}

/* Records `bad` are no pictures (their bytes break off). */
static void make(const char *name, int rows, const char *bad)
{
	struct moka_lmdb_writer *w;
	struct moka_error e = { 0 };

	if (moka_path_exists(path_of(name)))
		return;
	T_OK(moka_lmdb_writer_new(&w, path_of(name), &e), &e);
	for (int i = 0; i < rows; i++) {
		struct moka_buf b;
		char key[32], word[16];

		moka_buf_init(&b, 0);
		encode(i, &b);
		snprintf(key, sizeof(key), "%08d", i);
		snprintf(word, sizeof(word), " %d ", i);
		const struct moka_datum d = { .label = i,
					      .encoded = true,
					      .data = (const uint8_t *)b.data,
					      .data_bytes = strstr(bad, word) ? b.len / 2 : b.len };
		T_OK(moka_lmdb_writer_put_datum(w, key, &d, &e), &e);
		moka_buf_release(&b);
	}
	T_OK(moka_lmdb_writer_commit(w, &e), &e);
}

/* threads 0: in the reader's own. */
static void start(struct bench *b, const char *name, int threads, int64_t skip_bad)
{
	struct moka_error e = { 0 };

	bench_init(b, 2, names, MOKA_TRAIN);
	b->transform = (struct moka_transform_param){ .scale = 0.5f, .crop_size = CROP, .mirror = true };
	b->layer.for_run = threads > 0;
	b->layer.read_threads = threads;
	b->layer.skip_bad = skip_bad;
	T_OK(bench_open(b, &moka_source_lmdb, path_of(name), BATCH, 5, &e), &e);
}

struct batch {
	real x[BATCH * COUNT], y[BATCH];
};

static void read_all(struct bench *b, struct batch *out, int n)
{
	struct moka_error e = { 0 };

	for (int i = 0; i < n; i++)
		T_OK(bench_read(b, (real *const[]){ out[i].x, out[i].y }, &e), &e);
}

static void same(const struct batch *a, const struct batch *b, int n)
{
	for (int i = 0; i < n; i++) {
		T_NEAR(a[i].x, b[i].x, BATCH * COUNT, 0, 0);
		T_NEAR(a[i].y, b[i].y, BATCH, 0, 0);
	}
}

static struct batch want[BATCHES], got[BATCHES];
static const int threads[] = { 1, 2, 3, 7 };

T_TEST(the_same_whoever_reads)
{
	struct bench b;

	make("good", ROWS, "");
	start(&b, "good", 0, 0);
	read_all(&b, want, BATCHES);
	bench_close(&b);
	for (int i = 0; i < BATCHES * BATCH; i++)
		T_INT(want[i / BATCH].y[i % BATCH], i % ROWS);
	for (size_t t = 0; t < MOKA_COUNT(threads); t++) {
		start(&b, "good", threads[t], 0);
		read_all(&b, got, BATCHES);
		same(got, want, BATCHES);
		bench_close(&b);
	}
}

T_TEST(seek)
{
	static const int places[] = { 5, 0, 11, 11, 2 };
	struct bench b;

	make("good", ROWS, "");
	start(&b, "good", 0, 0);
	read_all(&b, want, BATCHES);
	bench_close(&b);
	start(&b, "good", 2, 0);
	for (size_t i = 0; i < MOKA_COUNT(places); i++) {
		struct moka_error e = { 0 };
		const int n = MOKA_MIN(3, BATCHES - places[i]);

		T_OK(b.ops->seek(b.source, (uint64_t)places[i], &e), &e);
		read_all(&b, got, n);
		same(got, want + places[i], n);
	}
	bench_close(&b);
}

/* Threads at work, asleep, or never started. */
T_TEST(closed_at_any_moment)
{
	struct bench b;

	make("good", ROWS, "");
	for (int i = 0; i < 12; i++) {
		start(&b, "good", 3, 0);
		read_all(&b, got, i % 4);
		if (i % 3 == 0)
			usleep(3000);
		bench_close(&b);
	}
}

/* Records 9 and 10 are bad: batch 2 (8 to 11) is, and names 9; the others are good. Then round again. */
T_TEST(an_error_comes_at_its_batch)
{
	struct bench b;

	make("two_bad", ROWS, " 9 10 ");
	for (size_t t = 0; t < MOKA_COUNT(threads); t++) {
		start(&b, "two_bad", threads[t], 0);
		for (int i = 0; i < BATCHES; i++) {
			struct moka_error e = { 0 };
			const bool bad = bench_read(&b, (real *const[]){ got[0].x, got[0].y }, &e) != MOKA_OK;
			bool wanted = false;

			for (int k = 0; k < BATCH; k++)
				wanted |= (i * BATCH + k) % ROWS == 9 || (i * BATCH + k) % ROWS == 10;
			T_INT(bad, wanted);
			if (i == 2)
				T_HAS(e.message, "two_bad, key 00000009: ");
		}
		bench_close(&b);
	}
}

/* The places of 9 and 10 are taken by 11; all else stays where it was; every bad record counts once. */
T_TEST(skipped)
{
	struct bench b;
	char first[400];

	make("two_bad", ROWS, " 9 10 ");
	for (int t = 0; t < 4; t++) {
		start(&b, "two_bad", t, 2);
		read_all(&b, got, BATCHES);
		for (int i = 0; i < BATCHES * BATCH; i++) {
			const int row = i % ROWS;

			T_INT(got[i / BATCH].y[i % BATCH], row == 9 || row == 10 ? 11 : row);
		}
		T_INT(b.ops->skipped(b.source, first, sizeof(first)), 2);
		T_HAS(first, "key 00000009");
		bench_close(&b);
	}
}

T_TEST(more_than_may_be_skipped)
{
	struct bench b;

	make("two_bad", ROWS, " 9 10 ");
	for (int t = 0; t < 3; t++) {
		struct moka_error e = { 0 };

		start(&b, "two_bad", t, 1);
		read_all(&b, got, 2);
		T_TRUE(bench_read(&b, (real *const[]){ got[0].x, got[0].y }, &e) != MOKA_OK);
		T_HAS(e.message, "key 00000010");
		T_HAS(e.message, "1 others were left out before it");
		T_HAS(e.hint, "--skip-bad 1");
		bench_close(&b);
	}
}

/* Also the first record, from which the size is learned; and a source in which nothing is good. */
T_TEST(bad_from_the_start)
{
	struct moka_error e = { 0 };
	struct bench b;

	make("first_bad", 5, " 0 ");
	start(&b, "first_bad", 2, 1);
	read_all(&b, got, 2);
	T_INT(got[0].y[0], 1);
	T_INT(got[1].y[1], 1);
	bench_close(&b);
	make("all_bad", 3, " 0 1 2 ");
	bench_init(&b, 2, names, MOKA_TRAIN);
	b.layer.skip_bad = 100;
	T_TRUE(bench_open(&b, &moka_source_lmdb, path_of("all_bad"), BATCH, 5, &e) != MOKA_OK);
	bench_close(&b);
}

static const struct CMUnitTest tests[] = {
	T_CASE(the_same_whoever_reads),	     T_CASE(seek),    T_CASE(closed_at_any_moment),
	T_CASE(an_error_comes_at_its_batch), T_CASE(skipped), T_CASE(more_than_may_be_skipped),
	T_CASE(bad_from_the_start),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
