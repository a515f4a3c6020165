/*
 * test_npy.c - .npy in and out: every number type, odd shapes, damage.
 */
#include "t.h"

#include "model/model.h"

#include <string.h>

static const char *file(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", t_tmp(), name);
	return path;
}

/* Writes a version-1 .npy with this header text and these values; returns its path. */
static const char *make(const char *header, const void *values, size_t n)
{
	struct moka_buf b;
	struct moka_error e = { 0 };
	const char *path = file("x.npy");
	const size_t len = strlen(header) + 1;
	const char head[10] = { '\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(len & 255), (char)(len >> 8) };

	moka_buf_init(&b, 0);
	moka_buf_add(&b, head, 10);
	moka_buf_puts(&b, header);
	moka_buf_putc(&b, '\n');
	moka_buf_add(&b, values, n);
	T_OK(moka_file_write(path, b.data, b.len, &e), &e);
	moka_buf_release(&b);
	return path;
}

static void reads(const char *header, const void *values, size_t n, int n_axes, const real *want, int64_t count)
{
	struct moka_array a;
	struct moka_error e = { 0 };

	T_OK(moka_npy_read(&a, make(header, values, n), &e), &e);
	T_INT(a.n_axes, n_axes);
	T_INT(a.count, count);
	T_NEAR(a.data, want, count, 0, 0);
	moka_array_release(&a);
}

T_TEST(every_type)
{
	const real want[] = { -1, 2, 100 };
	const real positive[] = { 1, 2, 200 };
	const float f32[] = { -1, 2, 100 };
	const double f64[] = { -1, 2, 100 };
	const uint16_t f16[] = { 0xbc00, 0x4000, 0x5640 };
	const int8_t i8[] = { -1, 2, 100 };
	const int16_t i16[] = { -1, 2, 100 };
	const int32_t i32[] = { -1, 2, 100 };
	const int64_t i64[] = { -1, 2, 100 };
	const uint8_t u8[] = { 1, 2, 200 };
	const uint64_t u64[] = { 1, 2, 200 };

#define H(t) "{'descr': '" t "', 'fortran_order': False, 'shape': (3,), }"
	reads(H("<f4"), f32, sizeof(f32), 1, want, 3);
	reads(H("<f8"), f64, sizeof(f64), 1, want, 3);
	reads(H("<f2"), f16, sizeof(f16), 1, want, 3);
	reads(H("|i1"), i8, sizeof(i8), 1, want, 3);
	reads(H("<i2"), i16, sizeof(i16), 1, want, 3);
	reads(H("<i4"), i32, sizeof(i32), 1, want, 3);
	reads(H("<i8"), i64, sizeof(i64), 1, want, 3);
	reads(H("|u1"), u8, sizeof(u8), 1, positive, 3);
	reads(H("<u8"), u64, sizeof(u64), 1, positive, 3);
}

T_TEST(shapes)
{
	const float x[] = { 1, 2, 3, 4, 5, 6 };
	const real want[] = { 1, 2, 3, 4, 5, 6 };

	reads("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", x, 4, 0, want, 1);
	reads("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7), }", x, 0, 2, want, 0);
	reads("{'descr': '<f4', 'fortran_order': True, 'shape': (6,), }", x, 24, 1, want, 6);
	reads("{'shape': (1,2L,3), 'fortran_order': False, 'descr': '<f4'}", x, 24, 3, want, 6);
}

static void refuses(const char *header, size_t n, const char *message)
{
	static const uint8_t zeros[64];
	struct moka_array a;
	struct moka_error e = { 0 };

	T_TRUE(moka_npy_read(&a, make(header, zeros, n), &e) != MOKA_OK);
	T_HAS(e.message, "x.npy");
	T_HAS(e.message, message);
	T_TRUE(a.data == NULL);
}

T_TEST(damage)
{
	refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 11, "cut off");
	refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776), }", 64,
		"more values than can be counted");
	refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }", 64, "cut off");
	refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 64, "too large");
	refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", 64, "not a list of numbers");
	refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (3", 12, "not a list of numbers");
	refuses("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, "Fortran order");
	refuses("{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }", 12, "'>f4'");
	refuses("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", 12, "'|O'");
	refuses("{'descr': '<c16', 'fortran_order': False, 'shape': (3,), }", 48, "'<c16'");
	refuses("{'fortran_order': False, 'shape': (3,), }", 12, "'descr'");
	refuses("{'descr': '<f4', 'fortran_order': False}", 12, "'shape'");
	refuses("{'descr': '<f4', 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}", 4,
		"32 axes");
}

/* Every prefix of a good file is an error; none is a crash. */
T_TEST(every_prefix)
{
	const int64_t dim[] = { 2, 3 };
	const real x[] = { 1, 2, 3, 4, 5, 6 };
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };
	struct moka_array a;
	char good[256];

	snprintf(good, sizeof(good), "%s", file("good.npy"));
	T_OK(moka_npy_write(good, 2, dim, x, &e), &e);
	T_OK(moka_file_open(&f, good, &e), &e);
	for (size_t n = 0; n < f.size; n++) {
		T_OK(moka_file_write(file("cut.npy"), f.data, n, &e), &e);
		T_TRUE(moka_npy_read(&a, file("cut.npy"), &e) != MOKA_OK);
	}
	moka_file_release(&f);
}

T_TEST(round_trip)
{
	const int64_t dim[] = { 2, 1, 3 };
	const real x[] = { 0, (real)0.1f, -3, 4, 5e20f, 6 };
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };
	struct moka_array a;

	for (int n = 0; n <= 3; n += 3) {
		const char *path = file("out.npy");

		T_OK(moka_npy_write(path, n, dim, x, &e), &e);
		T_OK(moka_npy_read(&a, path, &e), &e);
		T_INT(a.n_axes, n);
		T_INT(a.count, n ? 6 : 1);
		T_NEAR(a.data, x, a.count, 0, 0);
		moka_array_release(&a);
		T_OK(moka_file_open(&f, path, &e), &e);
		T_INT(f.size % 64, n ? 24 : 4);
		T_HAS((const char *)f.data + 10, n ? "'shape': (2, 1, 3), }" : "'shape': (), }");
		moka_file_release(&f);
	}
}

T_TEST(not_an_array)
{
	struct moka_error e = { 0 };
	struct moka_array a;

	T_OK(moka_file_write(file("a.jpg"), "\xff\xd8\xff\xe0------", 10, &e), &e);
	T_TRUE(moka_npy_read(&a, file("a.jpg"), &e) != MOKA_OK);
	T_HAS(e.message, "a JPEG picture, not a NumPy array");
	T_TRUE(moka_npy_read(&a, file("absent.npy"), &e) == MOKA_ERR_IO);
	T_TRUE(moka_npy_write("/nowhere/at/all.npy", 0, NULL, (const real[]){ 1 }, &e) != MOKA_OK);
}

static const struct CMUnitTest tests[] = {
	T_CASE(every_type),   T_CASE(shapes),	  T_CASE(damage),
	T_CASE(every_prefix), T_CASE(round_trip), T_CASE(not_an_array),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
