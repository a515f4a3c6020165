/*
 * test_idx.c - MNIST's files: plain, packed, cut off, and the real ones.
 */
#include "t.h"

#include "data/data.h"

#include <zlib.h>

#include <string.h>

static const char pictures[] = "\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03"
			       "abcdef";

static const char *file(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", t_tmp(), name);
	return path;
}

static void pack(const char *path, const void *p, unsigned n)
{
	gzFile z = gzopen(path, "wb");

	T_TRUE(z != NULL);
	T_INT(gzwrite(z, p, n), (int)n);
	gzclose(z);
}

T_TEST(plain_and_packed)
{
	struct moka_error e = { 0 };
	struct moka_idx x;
	uint8_t item[3];

	for (int packed = 0; packed < 2; packed++) {
		const char *path = file("x");

		if (packed)
			pack(path, pictures, sizeof(pictures) - 1);
		else
			T_OK(moka_file_write(path, pictures, sizeof(pictures) - 1, &e), &e);
		T_OK(moka_idx_open(&x, path, &e), &e);
		T_INT(x.n_axes, 3);
		T_INT(x.dim[0], 2);
		T_INT(x.item_bytes, 3);
		T_OK(moka_idx_read(&x, item, &e), &e);
		T_OK(moka_idx_read(&x, item, &e), &e);
		T_TRUE(!memcmp(item, "def", 3));
		T_TRUE(moka_idx_read(&x, item, &e) != MOKA_OK);
		T_HAS(e.message, "only 2 items");
		moka_idx_close(&x);
		moka_idx_close(&x);
	}
}

static void refuses(const void *p, size_t n, const char *message)
{
	struct moka_error e = { 0 };
	struct moka_idx x;
	uint8_t item[3];
	enum moka_status st = moka_file_write(file("bad"), p, n, &e);

	T_OK(st, &e);
	st = moka_idx_open(&x, file("bad"), &e);
	for (int i = 0; !st && i < 2; i++)
		st = moka_idx_read(&x, item, &e);
	T_TRUE(st != MOKA_OK);
	T_HAS(e.message, message);
	moka_idx_close(&x);
}

T_TEST(damage)
{
	refuses(pictures, sizeof(pictures) - 2, "ends within item 1 of 2");
	for (size_t n = 0; n < 16; n++)
		refuses(pictures, n, "ends within its head");
	refuses("hello", 5, "not an idx file (it begins 68 65 6c 6c");
	refuses("\0\0\x0d\x01\0\0\0\x01", 8, "type 0x0d");
	refuses("\0\0\x08\x03\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff", 16, "more than");
	refuses("version https://git-lfs.github.com/spec/v1\nsize 9\n", 50, "Git LFS pointer");
}

T_TEST(packed_and_cut)
{
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };
	char noise[4000];

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * i >> 3);
	memcpy(noise, "\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03", 16);
	pack(file("x.gz"), noise, sizeof(noise));
	T_OK(moka_file_open(&f, file("x.gz"), &e), &e);
	refuses(f.data, 14, "");
	moka_file_release(&f);
}

T_TEST(mnist)
{
	struct moka_error e = { 0 };
	struct moka_idx x;
	char path[4300];
	uint8_t item[784];
	int64_t n = 0;

	if (!t_shared())
		T_SKIP("no ../shared");
	snprintf(path, sizeof(path), "%s/sets/mnist/t10k-images-idx3-ubyte.gz", t_shared());
	if (!moka_path_exists(path))
		T_SKIP("no MNIST");
	T_OK(moka_idx_open(&x, path, &e), &e);
	T_INT(x.dim[0], 10000);
	T_INT(x.item_bytes, 784);
	for (; n < x.dim[0]; n++)
		T_OK(moka_idx_read(&x, item, &e), &e);
	moka_idx_close(&x);
}

static const struct CMUnitTest tests[] = { T_CASE(plain_and_packed), T_CASE(damage), T_CASE(packed_and_cut),
					   T_CASE(mnist) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
