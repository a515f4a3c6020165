/*
 * test_transform.c - transform_param against the plain formula: (x - mean) * scale of the cropped, mirrored picture.
 */
#include "t.h"

#include "source.h"

#include <stdlib.h>
#include <string.h>

enum { C = 3, H = 5, W = 7 };

static uint8_t picture[C * H * W];
static float floats[C * H * W];

static void fill(void)
{
	for (int i = 0; i < C * H * W; i++) {
		picture[i] = (uint8_t)(i * 2);
		floats[i] = (float)i * 0.5f - 3;
	}
}

static void set_up(struct bench *b, struct moka_transform *t, struct moka_transform_param p, enum moka_phase phase)
{
	static const char *const names[] = { "data" };
	struct moka_error e = { 0 };

	fill();
	bench_init(b, 1, names, phase);
	b->transform = p;
	T_OK(moka_transform_init(t, &b->layer, &e), &e);
}

static void run(const struct moka_transform *t, bool as_floats, uint64_t stream, real *out)
{
	struct moka_rng r;

	moka_rng_seed(&r, 1, stream);
	moka_transform_run(t, C, H, W, as_floats ? NULL : picture, (const uint8_t *)floats, 4, &r, out);
}

T_TEST(scale_and_values)
{
	const float values[] = { 1, 20, 3 };
	struct moka_transform t;
	struct bench b;
	real out[C * H * W];

	set_up(&b, &t, (struct moka_transform_param){ .scale = 0.25f, .mean_value = { 3, values } }, MOKA_TRAIN);
	for (int as_floats = 0; as_floats < 2; as_floats++) {
		run(&t, as_floats, 0, out);
		for (int i = 0; i < C * H * W; i++) {
			const real x = as_floats ? (real)floats[i] : (real)picture[i];

			T_TRUE(out[i] == (x - (real)values[i / (H * W)]) * (real)0.25);
		}
	}
	b.transform.mean_value.n = 1;
	run(&t, false, 0, out);
	T_TRUE(out[C * H * W - 1] == ((real)picture[C * H * W - 1] - 1) * (real)0.25);
	moka_transform_release(&t);
	bench_close(&b);
}

/* The centre in TEST; in TRAIN every place is reached, and nothing else. */
T_TEST(crop)
{
	struct moka_transform t;
	bool seen[3][5] = { { false } };
	struct bench b;
	real out[C * 3 * 3];

	set_up(&b, &t, (struct moka_transform_param){ .scale = 1, .crop_size = 3 }, MOKA_TEST);
	run(&t, false, 0, out);
	for (int c = 0; c < C; c++)
		for (int y = 0; y < 3; y++)
			for (int x = 0; x < 3; x++)
				T_TRUE(out[(c * 3 + y) * 3 + x] == picture[(c * H + y + 1) * W + x + 2]);
	t.phase = MOKA_TRAIN;
	for (uint64_t k = 0; k < 300; k++) {
		run(&t, false, k, out);
		const int at = (int)out[0] / 2, top = at / W, left = at % W;

		T_TRUE(top <= H - 3 && left <= W - 3);
		seen[top][left] = true;
		for (int i = 0; i < C * 9; i++)
			T_TRUE(out[i] == picture[(i / 9 * H + top + i / 3 % 3) * W + left + i % 3]);
	}
	for (int i = 0; i < 15; i++)
		T_TRUE(seen[i / 5][i % 5]);
	bench_close(&b);
}

T_TEST(mirror)
{
	struct moka_transform t;
	struct bench b;
	real out[C * H * W];
	int mirrored = 0;

	set_up(&b, &t, (struct moka_transform_param){ .scale = 1, .mirror = true }, MOKA_TEST);
	for (uint64_t k = 0; k < 200; k++) {
		run(&t, false, k, out);
		const bool m = out[0] == picture[W - 1];

		mirrored += m;
		for (int i = 0; i < C * H * W; i++)
			T_TRUE(out[i] == picture[m ? i / W * W + W - 1 - i % W : i]);
	}
	T_TRUE(mirrored > 60 && mirrored < 140);
	bench_close(&b);
}

/* The mean image is cropped at the picture's place, and not mirrored before it is taken off. */
T_TEST(mean_file)
{
	const int64_t dim[] = { 1, C, H, W };
	struct moka_error e = { 0 };
	struct moka_transform t;
	struct bench b;
	real mean[C * H * W], out[C * 3 * 3];
	char path[256];

	for (int i = 0; i < C * H * W; i++)
		mean[i] = (real)(i % 11);
	snprintf(path, sizeof(path), "%s/mean.npy", t_tmp());
	T_OK(moka_npy_write(path, 4, dim, mean, &e), &e);
	set_up(&b, &t, (struct moka_transform_param){ .scale = 2, .crop_size = 3, .mirror = true, .mean_file = path },
	       MOKA_TEST);
	for (uint64_t k = 0; k < 20; k++) {
		run(&t, false, k, out);
		const bool m = out[0] == (picture[W + 4] - mean[W + 4]) * 2;

		for (int i = 0; i < C * 9; i++) {
			const int from = (i / 9 * H + i / 3 % 3 + 1) * W + 2 + (m ? 2 - i % 3 : i % 3);

			T_TRUE(out[i] == (picture[from] - mean[from]) * 2);
		}
	}
	moka_transform_release(&t);
	moka_transform_release(&t);
	bench_close(&b);
}

static void shape_refuses(struct moka_transform_param p, const char *message)
{
	struct moka_error e = { 0 };
	struct moka_transform t;
	int64_t out[3];
	struct bench b;

	set_up(&b, &t, p, MOKA_TRAIN);
	T_TRUE(moka_transform_shape(&t, C, H, W, out, "db, key 7", &e) != MOKA_OK);
	T_HAS(e.message, "db, key 7: ");
	T_HAS(e.message, message);
	moka_transform_release(&t);
	bench_close(&b);
}

T_TEST(faults)
{
	static const char *const names[] = { "data" };
	const float values[] = { 1, 2, 3, 4 };
	const int64_t dim[] = { 1, H, W };
	struct moka_error e = { 0 };
	struct moka_transform t;
	struct bench b;
	real mean[H * W] = { 0 };
	char path[256];

	snprintf(path, sizeof(path), "%s/mean.npy", t_tmp());
	T_OK(moka_npy_write(path, 3, dim, mean, &e), &e);
	shape_refuses((struct moka_transform_param){ .scale = 1, .crop_size = 6 },
		      "5 high and 7 wide, too small for crop_size 6");
	shape_refuses((struct moka_transform_param){ .scale = 1, .mean_value = { 4, values } },
		      "4 mean_value lines, but the picture has 3 channels");
	shape_refuses((struct moka_transform_param){ .scale = 1, .mean_file = path }, "is 3x5x7, but the mean image");
	bench_init(&b, 1, names, MOKA_TRAIN);
	b.transform = (struct moka_transform_param){ .scale = 1, .mean_file = path, .mean_value = { 1, values } };
	T_TRUE(moka_transform_init(&t, &b.layer, &e) != MOKA_OK);
	T_HAS(e.message, "both mean_file and mean_value");
	b.transform = (struct moka_transform_param){ .scale = 1, .mean_file = "/no/mean.binaryproto" };
	T_TRUE(moka_transform_init(&t, &b.layer, &e) != MOKA_OK);
	T_HAS(e.message, "/no/mean.binaryproto");
	bench_close(&b);
}

/* A decoded picture gives what its planes give, bit for bit, whatever its channels. */
T_TEST(pictures_as_planes)
{
	const float values[] = { 1, 20, 3 };
	struct moka_transform t;
	struct bench b;
	real mean[C * H * W];

	for (int i = 0; i < C * H * W; i++)
		mean[i] = (real)i / 3;
	set_up(&b, &t,
	       (struct moka_transform_param){
		       .scale = 0.3f, .crop_size = 4, .mirror = true, .mean_value = { 3, values } },
	       MOKA_TRAIN);
	for (int c = 1; c <= 3; c++)
		for (uint64_t k = 0; k < 40; k++) {
			uint8_t pixels[C * H * W];
			struct moka_image img = { H, W, c, pixels, 0 };
			real planes[C * 16], got[C * 16];
			struct moka_rng r;

			for (int i = 0; i < c * H * W; i++)
				pixels[i % (H * W) * c + i / (H * W)] = picture[i];
			t.mean.data = k % 2 ? mean : NULL;
			moka_rng_seed(&r, 1, k);
			moka_transform_run(&t, c, H, W, picture, NULL, 0, &r, planes);
			moka_rng_seed(&r, 1, k);
			moka_transform_image(&t, &img, &r, got);
			T_NEAR(got, planes, c * 16, 0, 0);
		}
	t.mean.data = NULL;
	moka_transform_release(&t);
	bench_close(&b);
}

static const struct CMUnitTest tests[] = { T_CASE(pictures_as_planes),
					   T_CASE(scale_and_values),
					   T_CASE(crop),
					   T_CASE(mirror),
					   T_CASE(mean_file),
					   T_CASE(faults) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
