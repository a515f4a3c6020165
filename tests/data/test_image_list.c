/*
 * test_image_list.c - ImageData's samples: the list, resizing, grey, shuffling, rand_skip, faults with their lines.
 */
#include "t.h"

#include "source.h"

static const char *const names[] = { "data", "label" };

static const char *file(const char *name)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", t_tmp(), name);
	return path[at];
}

/* One colour: B = 10 i, G = 10 i + 1, R = 10 i + 2. */
static void picture(const char *name, int i, int height, int width)
{
	static uint8_t pixels[64 * 64 * 3];
	struct moka_image img = { height, width, 3, pixels, 0 };
	struct moka_error e = { 0 };

	for (int k = 0; k < height * width * 3; k++)
		pixels[k] = (uint8_t)(10 * i + k % 3);
	T_OK(moka_image_write_png(&img, file(name), &e), &e);
}

static const char *list(const char *name, const char *text)
{
	struct moka_error e = { 0 };

	T_OK(moka_file_write(file(name), text, strlen(text), &e), &e);
	return file(name);
}

static const char *five(void)
{
	for (int i = 0; i < 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "p %d.png", i);
		picture(name, i, 6, 8);
	}
	/* names hold spaces; ends of lines of either kind, an empty line, none at the end */
	return list("five.txt", "p 0.png 10\np 1.png 11\r\n\np 2.png -12\np 3.png 13\np 4.png 14");
}

static void start(struct bench *b, int for_run)
{
	bench_init(b, 2, names, MOKA_TRAIN);
	bench_sub(b, "ImageData");
	b->layer.for_run = for_run;
	b->layer.read_threads = 2;
}

T_TEST(as_listed)
{
	static const int labels[] = { 10, 11, -12, 13, 14 };
	const char *path = five();
	struct moka_error e = { 0 };
	struct moka_shape s;
	real x[2 * 144], y[2];

	for (int run = 0; run < 2; run++) {
		struct bench b;

		start(&b, run);
		b.transform.scale = 0.5f;
		T_OK(bench_open(&b, &moka_source_images, path, 2, 1, &e), &e); /* pictures are found beside the list */
		T_OK(b.ops->shape(b.source, 0, &s, &e), &e);
		T_INT(s.d[0], 2);
		T_INT(s.d[1], 3);
		T_INT(s.d[2], 6);
		T_INT(s.d[3], 8);
		T_INT(b.ops->rows(b.source), 5);
		for (int k = 0; k < 12; k += 2) {
			T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
			for (int i = 0; i < 2; i++) {
				T_INT(y[i], labels[(k + i) % 5]);
				for (int v = 0; v < 144; v++)
					T_TRUE(x[i * 144 + v] == (real)(10 * ((k + i) % 5) + v / 48) / 2);
			}
		}
		bench_close(&b);
	}
}

T_TEST(resized_and_grey)
{
	struct moka_error e = { 0 };
	struct moka_shape s;
	struct bench b;
	real x[3 * 12], y[3];

	five();
	picture("odd.png", 5, 20, 11);
	start(&b, true);
	bench_set(&b, "new_height", 3);
	bench_set(&b, "new_width", 4);
	bench_set(&b, "is_color", 0);
	T_OK(bench_open(&b, &moka_source_images, list("mix.txt", "p 1.png 1\nodd.png 2\n"), 3, 1, &e), &e);
	T_OK(b.ops->shape(b.source, 0, &s, &e), &e);
	T_INT(s.d[1], 1);
	T_INT(s.d[2], 3);
	T_INT(s.d[3], 4);
	T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
	T_TRUE(x[0] == 11 && x[11] == 11 && x[12] == 51 && x[24] == 11);
	bench_close(&b);
}

/* Every round has each picture once, another order each time; another seed, other orders; a seek lands where reading would have. */
T_TEST(shuffled)
{
	struct moka_error e = { 0 };
	static real x[144];
	real y[3][30];
	struct bench b;
	int differ = 0;

	five();
	for (int seed = 0; seed < 3; seed++) {
		start(&b, seed > 0);
		bench_set(&b, "shuffle", 1);
		T_OK(bench_open(&b, &moka_source_images, file("five.txt"), 1, (uint64_t)(seed ? seed : 1), &e), &e);
		for (int k = 0; k < 30; k++)
			T_OK(bench_read(&b, (real *const[]){ x, &y[seed][k] }, &e), &e);
		for (int r = 0; r < 6; r++) {
			real sum = 0;

			for (int k = 0; k < 5; k++)
				sum += y[seed][5 * r + k];
			T_INT(sum, 36);
			differ += r && memcmp(y[seed], y[seed] + 5 * r, 5 * sizeof(real)) != 0;
		}
		for (int k = 28; k > 0; k -= 9) {
			T_OK(b.ops->seek(b.source, (uint64_t)k, &e), &e);
			T_OK(bench_read(&b, (real *const[]){ x, y[0] }, &e), &e);
			T_TRUE(y[0][0] == y[seed][k] || !seed);
		}
		bench_close(&b);
	}
	T_TRUE(differ > 10);
	T_NEAR(y[1] + 1, y[0] + 1, 27, 0, 0);
	T_TRUE(memcmp(y[1], y[2], sizeof(y[1])) != 0);
}

static void refuses(const char *path, const char *message, const char *hint)
{
	struct moka_error e = { 0 };
	static real x[4 * 144];
	real y[4];
	struct bench b;

	start(&b, true);
	if (!bench_open(&b, &moka_source_images, path, 4, 1, &e))
		T_TRUE(bench_read(&b, (real *const[]){ x, y }, &e) != MOKA_OK);
	T_HAS(e.message, message);
	T_HAS(e.hint, hint);
	bench_close(&b);
}

T_TEST(faults)
{
	five();
	picture("small.png", 1, 5, 8);
	list("text.png", "this is no picture");
	refuses(file("nowhere.txt"), "nowhere.txt", "");
	refuses(list("empty.txt", "\n\n"), "empty.txt: it lists no picture", "");
	refuses(list("bare.txt", "p 0.png 1\nbare.png\n"), "bare.txt:2: no label at the end of 'bare.png'",
		"PICTURE LABEL");
	refuses(list("word.txt", "p 0.png one\n"), "word.txt:1: no label", "");
	refuses(list("huge.txt", "p 0.png 99999999999\n"), "huge.txt:1: no label", "");
	refuses(list("gone.txt", "p 0.png 1\ngone.png 2\n"), "gone.txt:2)", "");
	refuses(list("nopic.txt", "p 0.png 1\np 1.png 1\ntext.png 2\n"), "nopic.txt:3)", "");
	refuses(list("sizes.txt", "p 0.png 1\nsmall.png 2\n"), "the picture is 3x5x8, but the first one is 3x6x8",
		"new_height");
}

static const struct CMUnitTest tests[] = {
	T_CASE(as_listed),
	T_CASE(resized_and_grey),
	T_CASE(shuffled),
	T_CASE(faults),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
