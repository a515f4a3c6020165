/*
 * test_lmdb_source.c - the Data layer's samples from an LMDB: plain, float and encoded records, wrap-around, seek, faults.
 */
#include "t.h"

#include "source.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "data", "label" };

static const char *file(const char *name)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", t_tmp(), name);
	return path[at];
}

enum form { PLAIN, FLOATS, PNG, JPEG };

/* n pictures of 3 x 8 x 6; value = 5 * sample + channel (constant planes survive JPEG), label = sample + 10. */
static const char *make(const char *name, int n, enum form form)
{
	const char *path = file(name);
	struct moka_lmdb_writer *w;
	struct moka_error e = { 0 };

	T_OK(moka_lmdb_writer_new(&w, path, &e), &e);
	for (int i = 0; i < n; i++) {
		struct moka_datum d = { .channels = 3, .height = 8, .width = 6, .label = i + 10 };
		uint8_t planes[144], pixels[144];
		float floats[144];
		struct moka_image img = { 8, 6, 3, pixels, 0 };
		struct moka_buf b;
		char key[32];

		for (int k = 0; k < 144; k++) {
			planes[k] = (uint8_t)(5 * i + k / 48);
			floats[k] = planes[k];
			pixels[k] = (uint8_t)(5 * i + k % 3);
		}
		moka_buf_init(&b, 0);
		if (form == PLAIN)
			d.data = planes, d.data_bytes = sizeof(planes);
		if (form == FLOATS)
			d.floats = (const uint8_t *)floats, d.n_floats = 144, d.float_stride = 4;
		if (form >= PNG) {
			T_OK(form == PNG ? moka_image_encode_png(&img, &b, &e)
					 : moka_image_encode_jpeg(&img, 100, &b, &e),
			     &e);
			d = (struct moka_datum){
				.label = i + 10, .encoded = true, .data = (const uint8_t *)b.data, .data_bytes = b.len
			};
		}
		snprintf(key, sizeof(key), "%08d", i);
		T_OK(moka_lmdb_writer_put_datum(w, key, &d, &e), &e);
		moka_buf_release(&b);
	}
	T_OK(moka_lmdb_writer_commit(w, &e), &e);
	return path;
}

T_TEST(every_form)
{
	for (int form = PLAIN; form <= JPEG; form++) {
		struct moka_error e = { 0 };
		struct moka_shape s;
		struct bench b;
		real x[4 * 144], y[4], want;
		char name[16];

		snprintf(name, sizeof(name), "form%d", form);
		bench_init(&b, 2, names, MOKA_TEST);
		b.transform.scale = 0.5f;
		T_OK(bench_open(&b, &moka_source_lmdb, make(name, 7, (enum form)form), 4, 1, &e), &e);
		T_OK(b.ops->shape(b.source, 0, &s, &e), &e);
		T_INT(s.n, 4);
		T_INT(s.d[0], 4);
		T_INT(s.d[1], 3);
		T_INT(s.d[2], 8);
		T_INT(s.d[3], 6);
		T_OK(b.ops->shape(b.source, 1, &s, &e), &e);
		T_INT(s.n, 1);
		T_TRUE(b.ops->shape(b.source, 2, &s, &e) != MOKA_OK);
		T_INT(b.ops->rows(b.source), 7);
		for (int batch = 0; batch < 5; batch++) {
			T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
			for (int i = 0; i < 4; i++) {
				const int sample = (4 * batch + i) % 7;

				T_INT(y[i], sample + 10);
				for (int k = 0; k < 144; k++) {
					want = (real)(5 * sample + k / 48) / 2;
					T_NEAR(&x[i * 144 + k], &want, 1, 0, form == JPEG ? 1.5 : 0);
				}
			}
		}
		bench_close(&b);
	}
}

/* Crops and mirrors are the sample's own: after a seek the same batch comes again, bit for bit; another seed gives others. */
T_TEST(seek_and_seed)
{
	real x[6][2 * 3 * 25], z[2 * 3 * 25], y[2];
	struct moka_error e = { 0 };
	struct bench b;

	make("seek", 5, PLAIN);
	for (uint64_t seed = 1; seed < 3; seed++) {
		bench_init(&b, 2, names, MOKA_TRAIN);
		b.transform = (struct moka_transform_param){ .scale = 1, .crop_size = 5, .mirror = true };
		T_OK(bench_open(&b, &moka_source_lmdb, file("seek"), 2, seed, &e), &e);
		for (int k = 0; k < 6; k++)
			T_OK(bench_read(&b, (real *const[]){ x[k], y }, &e), &e);
		for (int k = 5; k >= 0; k--) {
			T_OK(b.ops->seek(b.source, (uint64_t)k, &e), &e);
			T_OK(bench_read(&b, (real *const[]){ z, y }, &e), &e);
			T_NEAR(z, x[k], 150, 0, 0);
			T_INT(y[0], 10 + 2 * k % 5);
		}
		bench_close(&b);
	}
}

static void refuses(const char *path, struct moka_transform_param p, const char *message, const char *hint)
{
	struct moka_error e = { 0 };
	struct bench b;
	real x[4 * 144], y[4];
	enum moka_status st;

	bench_init(&b, 2, names, MOKA_TRAIN);
	b.transform = p;
	st = bench_open(&b, &moka_source_lmdb, path, 4, 1, &e);
	if (!st)
		st = bench_read(&b, (real *const[]){ x, y }, &e);
	T_TRUE(st != MOKA_OK);
	T_HAS(e.message, message);
	T_HAS(e.hint, hint);
	bench_close(&b);
}

static const char *make_two(const char *name, const struct moka_datum *a, const struct moka_datum *b)
{
	const char *path = file(name);
	struct moka_lmdb_writer *w;
	struct moka_error e = { 0 };

	T_OK(moka_lmdb_writer_new(&w, path, &e), &e);
	T_OK(moka_lmdb_writer_put_datum(w, "a", a, &e), &e);
	T_OK(moka_lmdb_writer_put_datum(w, "b", b, &e), &e);
	T_OK(moka_lmdb_writer_commit(w, &e), &e);
	return path;
}

T_TEST(faults)
{
	const struct moka_transform_param plain = { .scale = 1 }, crop = { .scale = 1, .crop_size = 7 };
	const uint8_t zeros[144] = { 0 };
	const struct moka_datum good = { .channels = 3, .height = 8, .width = 6, .data = zeros, .data_bytes = 144 };
	struct moka_datum other = good;

	make("seven", 7, PLAIN);
	refuses(file("absent"), plain, "absent", "");
	refuses(make("empty", 0, PLAIN), plain, "this LMDB is empty", "");
	refuses(file("seven"), crop, "seven, key 00000000: the picture is 8 high and 6 wide, too small for crop_size 7",
		"");
	other.height = 6, other.width = 8;
	refuses(make_two("sizes", &good, &other), plain,
		"sizes, key b: the picture is 3x6x8, but the first one is 3x8x6", "crop_size");
	other.height = 7;
	refuses(make_two("short", &good, &other), plain,
		"short, key b: its size is 3x7x8, which is 168 values, but it holds 144", "");
	other = (struct moka_datum){ .encoded = true,
				     .data = (const uint8_t *)"\xff\xd8\xff\xe0 no picture",
				     .data_bytes = 15 };
	refuses(make_two("jpeg", &good, &other), plain, "jpeg, key b: this JPEG is damaged", "");
}

T_TEST(grey_and_colour)
{
	struct moka_error e = { 0 };
	struct moka_shape s;
	struct bench b;

	make("colours", 2, PNG);
	for (int grey = 0; grey < 2; grey++) {
		bench_init(&b, 2, names, MOKA_TRAIN);
		b.transform.force_gray = grey;
		b.transform.force_color = !grey;
		T_OK(bench_open(&b, &moka_source_lmdb, file("colours"), 1, 1, &e), &e);
		T_OK(b.ops->shape(b.source, 0, &s, &e), &e);
		T_INT(s.d[1], grey ? 1 : 3);
		bench_close(&b);
	}
}

T_TEST(leveldb_says_so)
{
	struct moka_error e = { 0 };
	struct bench b;

	make("lm", 1, PLAIN);
	bench_init(&b, 2, names, MOKA_TRAIN);
	T_TRUE(bench_open(&b, &moka_source_leveldb, file("lm"), 1, 1, &e) != MOKA_OK);
	T_HAS(e.hint, "backend: LMDB");
	T_TRUE(bench_open(&b, &moka_source_leveldb, t_tmp(), 1, 1, &e) != MOKA_OK);
	T_HAS(e.message, "it is not a LevelDB");
	bench_close(&b);
}

static const struct CMUnitTest tests[] = {
	T_CASE(every_form), T_CASE(seek_and_seed), T_CASE(faults), T_CASE(grey_and_colour), T_CASE(leveldb_says_so),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
