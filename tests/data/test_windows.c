/*
 * test_windows.c - WindowData's samples: which windows, how they are cut, padded, mirrored; the window file's faults.
 */
#include "t.h"

#include "source.h"

enum { W = 20, H = 16 };

static const char *const names[] = { "data", "label" };

static const char *file(const char *name)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", t_tmp(), name);
	return path[at];
}

/* B = 10 x, G = 10 y, R = 200. */
static void picture(void)
{
	static uint8_t pixels[W * H * 3];
	struct moka_image img = { H, W, 3, pixels, 0 };
	struct moka_error e = { 0 };

	for (int i = 0; i < W * H; i++) {
		pixels[3 * i] = (uint8_t)(10 * (i % W));
		pixels[3 * i + 1] = (uint8_t)(10 * (i / W));
		pixels[3 * i + 2] = 200;
	}
	T_OK(moka_image_write_png(&img, file("p.png"), &e), &e);
}

static const char *windows(const char *text)
{
	struct moka_error e = { 0 };
	char all[1200];

	picture();
	snprintf(all, sizeof(all), text, file("p.png"));
	T_OK(moka_file_write(file("w.txt"), all, strlen(all), &e), &e);
	return file("w.txt");
}

static void start(struct bench *b, int64_t crop)
{
	bench_init(b, 2, names, MOKA_TRAIN);
	bench_sub(b, "WindowData");
	b->transform.crop_size = (uint32_t)crop;
	b->layer.for_run = true;
	b->layer.read_threads = 2;
}

static const char good[] = "# 0\n%s\n3 16 20\n4\n1 0.9 4 4 11 11\n2 0.7 4 4 11 11\n7 0.2 8 2 15 9\n3 0.5 0 0 3 3\n";

/* A quarter objects, behind the background; the window between the thresholds is never drawn; labels of background are 0. */
T_TEST(drawn)
{
	bool seen[8] = { false };
	struct moka_error e = { 0 };
	static real x[8 * 192];
	real y[8];
	struct bench b;

	start(&b, 8);
	moka_add_float(&b.arena, b.sub, &moka_layer_schema, "fg_threshold", 0.6);
	moka_add_float(&b.arena, b.sub, &moka_layer_schema, "bg_threshold", 0.4);
	T_OK(bench_open(&b, &moka_source_windows, windows(good), 8, 3, &e), &e);
	for (int batch = 0; batch < 20; batch++) {
		T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
		for (int i = 0; i < 8; i++) {
			const int left = i < 6 ? 8 : 4, top = i < 6 ? 2 : 4;

			T_TRUE(i < 6 ? y[i] == 0 : y[i] == 1 || y[i] == 2);
			seen[(int)y[i]] = true;
			for (int k = 0; k < 64; k++) { /* as large as crop_size: taken as it is */
				T_TRUE(x[i * 192 + k] == (real)(10 * (left + k % 8)));
				T_TRUE(x[i * 192 + 64 + k] == (real)(10 * (top + k / 8)));
				T_TRUE(x[i * 192 + 128 + k] == 200);
			}
		}
	}
	T_TRUE(seen[1] && seen[2]);
	bench_close(&b);
}

/* One object at the picture's left edge, 4 x 4, crop_size 8, 2 pixels of context: the window becomes 8 x 8 around it. */
static const char corner[] = "# 0\n%s\n3 16 20\n2\n1 1 0 6 3 9\n0 0 0 6 3 9\n";

T_TEST(context)
{
	struct moka_error e = { 0 };
	static real x[2 * 192], again[2 * 192];
	real y[2];

	for (int square = 0; square < 2; square++) {
		struct bench b;

		start(&b, 8);
		bench_set(&b, "context_pad", 2);
		bench_set(&b, "cache_images", square);
		if (square)
			moka_add_string(&b.arena, b.sub, &moka_layer_schema, "crop_mode", "square");
		moka_add_float(&b.arena, b.sub, &moka_layer_schema, "scale", 0.5);
		T_OK(bench_open(&b, &moka_source_windows, windows(corner), 2, 3, &e), &e);
		T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
		/*
		 * Centre 2, half width 2, scale 8/4: x from -2 to 6, 9 wide; 2 of them outside: 2 * 8/9 rounds to 2 columns of
		 * zeros; the other 7 become 6.
		 */
		for (int row = 0; row < 8; row++) {
			T_TRUE(x[128 + row * 8] == 0 && x[128 + row * 8 + 1] == 0);
			for (int column = 2; column < 8; column++)
				T_TRUE(x[128 + row * 8 + column] == 100);
			T_TRUE(x[row * 8 + 2] >= 0 && x[row * 8 + 2] < 3 && x[row * 8 + 7] > 28 &&
			       x[row * 8 + 7] <= 30);
		}
		if (square)
			T_NEAR(x, again, 2 * 192, 0, 0);
		memcpy(again, x, sizeof(x));
		bench_close(&b);
	}
}

/* Mirrored samples are the plain ones turned round, padding too; both come up. */
T_TEST(mirrored)
{
	struct moka_error e = { 0 };
	static real plain[192], x[192];
	real y[1];
	struct bench b;
	int turned = 0, n = 20;

	start(&b, 8);
	bench_set(&b, "context_pad", 2);
	moka_add_float(&b.arena, b.sub, &moka_layer_schema, "fg_fraction", 1);
	T_OK(bench_open(&b, &moka_source_windows, windows(corner), 1, 3, &e), &e);
	T_OK(bench_read(&b, (real *const[]){ plain, y }, &e), &e);
	T_INT(y[0], 1);
	bench_close(&b);
	start(&b, 8);
	b.transform.mirror = true;
	bench_set(&b, "context_pad", 2);
	moka_add_float(&b.arena, b.sub, &moka_layer_schema, "fg_fraction", 1);
	T_OK(bench_open(&b, &moka_source_windows, file("w.txt"), 1, 3, &e), &e);
	for (int i = 0; i < n; i++) {
		bool flipped;

		T_OK(bench_read(&b, (real *const[]){ x, y }, &e), &e);
		flipped = x[128] != 0;
		turned += flipped;
		for (int k = 0; k < 192 && !flipped; k++)
			T_TRUE(x[k] == plain[k]);
		for (int row = 0; row < 24 && flipped; row++)
			for (int k = 0; k < 6; k++) /* 6 of picture, then what is outside (3/9 of 8 would be 2 too) */
				T_TRUE(x[row * 8 + k] == plain[row * 8 + 7 - k]);
	}
	T_TRUE(turned > 2 && turned < n - 2);
	bench_close(&b);
}

static void refuses(const char *text, const char *message)
{
	struct moka_error e = { 0 };
	static real x[2 * 192];
	real y[2];
	struct bench b;

	start(&b, 8);
	if (!bench_open(&b, &moka_source_windows, windows(text), 2, 1, &e))
		T_TRUE(bench_read(&b, (real *const[]){ x, y }, &e) != MOKA_OK);
	T_HAS(e.message, message);
	bench_close(&b);
}

T_TEST(faults)
{
	struct moka_error e = { 0 };
	struct bench b;

	refuses("", "this window file is empty");
	refuses("0\n", "w.txt:1: '0' where the '#' that begins a picture should be");
	refuses("# 1\n", "w.txt:1: picture 1 where 0 comes next");
	refuses("# 0\n%s\n3 x 20\n", "w.txt:3: 'x' where a picture's height should be");
	refuses("# 0\n%s\n3 16 20\n3\n1 1 0 0 3 3\n", "ends where a window's label should be");
	refuses("# 0\n%s\n3 16 20\n1\n1 1 0 0 3\n", "ends where y2 of a window should be");
	refuses("# 0\n%s\n3 16 20\n1\n0 1 0 0 3 3\n", "w.txt:5: an object (it overlaps by 1) of class 0");
	refuses("# 0\n%s\n1 16 20\n0\n", "there is no background");
	refuses("# 0\n%s\n1 16 20\n2\n0 0 0 0 3 3\n1 1 0 0 3 3\n", "w.txt:2: a picture of 1 channels");
	refuses("# 0\n%s\n3 16 20\n2\n0 0 0 0 3 3\n1 1 0 0 20 3\n0 0 0 0 20 3\n", "w.txt:7: '0' where the '#'");
	refuses("# 0\n%s\n3 16 20\n1\n0 0 5 5 20 8\n", "it is not in the picture, which is 20 wide and 16 high");
	refuses("# 0\n%s\n3 16 20\n1\n0 0 5 5 4 8\n", "before it begins");
	refuses("# 0\n%s.gone\n3 16 20\n1\n0 0 5 5 8 8\n", "p.png.gone");
	start(&b, 8);
	bench_set(&b, "context_pad", 4);
	T_TRUE(bench_open(&b, &moka_source_windows, windows(corner), 2, 1, &e) != MOKA_OK);
	T_HAS(e.message, "context_pad 4");
	bench_close(&b);
}

static const struct CMUnitTest tests[] = { T_CASE(drawn), T_CASE(context), T_CASE(mirrored), T_CASE(faults) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
