/*
 * test_mean.c - mean images: a BlobProto of either age, an .npy, and what else people give.
 */
#include "t.h"

#include "layers/layer.h"
#include "model/model.h"

#include <string.h>

static const char *write_file(const char *name, const void *p, size_t n)
{
	static char path[256];
	struct moka_error e = { 0 };

	snprintf(path, sizeof(path), "%s/%s", t_tmp(), name);
	T_OK(moka_file_write(path, p, n, &e), &e);
	return path;
}

T_TEST(legacy_and_new_shape)
{
	/* num 1, channels 1, height 1, width 2, data: 1.0 2.0 */
	static const char legacy[] = "\x08\x01\x10\x01\x18\x01\x20\x02\x2a\x08\0\0\x80\x3f\0\0\0\x40";
	/* shape { dim: 2 }, the data not packed */
	static const char fresh[] = "\x3a\x03\x0a\x01\x02\x2d\0\0\x80\x3f\x2d\0\0\0\x40";
	/* double_data */
	static const char doubles[] = "\x3a\x03\x0a\x01\x02\x42\x10\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40";
	const struct {
		const char *p;
		size_t n;
		int axes;
	} rows[] = { { legacy, sizeof(legacy) - 1, 4 },
		     { fresh, sizeof(fresh) - 1, 1 },
		     { doubles, sizeof(doubles) - 1, 1 } };
	const real want[] = { 1, 2 };

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_error e = { 0 };
		struct moka_array a;

		T_OK(moka_mean_read(&a, write_file("mean.binaryproto", rows[i].p, rows[i].n), &e), &e);
		T_INT(a.n_axes, rows[i].axes);
		T_INT(a.count, 2);
		T_INT(a.dim[a.n_axes - 1], 2);
		T_NEAR(a.data, want, 2, 0, 0);
		moka_array_release(&a);
		for (size_t n = 0; n < rows[i].n; n++) {
			const char *cut = write_file("cut.binaryproto", rows[i].p, n);

			if (!moka_mean_read(&a, cut, &e)) {
				T_TRUE(a.count > 0); /* unpacked values may end early; never a value that isn't there */
				moka_array_release(&a);
			}
		}
	}
}

T_TEST(wrong_files)
{
	struct moka_error e = { 0 };
	struct moka_array a;

	T_TRUE(moka_mean_read(&a, write_file("m", "\x3a\x03\x0a\x01\x03\x2a\x08\0\0\x80\x3f\0\0\0\x40", 15), &e) !=
	       MOKA_OK);
	T_HAS(e.message, "its shape is 3, which is 3 values, but 2 are stored");
	T_TRUE(moka_mean_read(&a, write_file("m", "\xff\xd8\xff\xe0----", 8), &e) != MOKA_OK);
	T_HAS(e.message, "a JPEG picture, not a mean image");
	T_TRUE(moka_mean_read(&a, write_file("m", "name: \"x\" layer { }", 19), &e) != MOKA_OK);
	T_HAS(e.message, "a net in text");
}

T_TEST(published)
{
	struct moka_error e = { 0 };
	struct moka_array a;
	char path[4200];
	double sum = 0;

	if (!t_shared())
		T_SKIP("no ../shared");
	snprintf(path, sizeof(path), "%s/models/nsfw-squeezenet/mean.binaryproto", t_shared());
	if (!moka_path_exists(path))
		T_SKIP("no published mean image");
	T_OK(moka_mean_read(&a, path, &e), &e);
	T_INT(a.count, 154587);
	for (int64_t i = 0; i < a.count; i++)
		sum += (double)a.data[i];
	T_TRUE(sum / (double)a.count > 80 && sum / (double)a.count < 140);
	moka_array_release(&a);
}

static const struct CMUnitTest tests[] = { T_CASE(legacy_and_new_shape), T_CASE(wrong_files), T_CASE(published) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
