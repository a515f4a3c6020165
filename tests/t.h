/*
 * t.h - what every test program uses: cmocka under a few words of our own.
 *
 *   T_TEST(adds_up) { T_INT(1 + 1, 2); T_NEAR(got, want, n, 1e-5, 1e-6); }
 *   static const struct CMUnitTest tests[] = { T_CASE(adds_up) };
 *   int main(int argc, char **argv) { return t_main(argc, argv, tests, MOKA_COUNT(tests)); }
 *
 * A program takes a name filter (substring or glob) and --list, and ends with one line `N passed, N failed, N skipped`.
 */
#ifndef MOKA_T_H
#define MOKA_T_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

#define T_TEST(name) static void name(void **state __attribute__((unused)))
#define T_CASE(name) cmocka_unit_test(name)

#define T_TRUE(x) assert_true(x)
#define T_FALSE(x) assert_false(x)
#define T_INT(got, want) assert_int_equal((long long)(got), (long long)(want))
#define T_STR(got, want) assert_string_equal(got, want)
#define T_OK(status, err) t_ok((status), (err), __FILE__, __LINE__)
/* `hay` contains `needle`; on failure prints both. */
#define T_HAS(hay, needle) t_has((hay), (needle), __FILE__, __LINE__)
/* |got - want| <= atol + rtol * |want| for every element; reports the first bad index, both values and the largest difference. */
#define T_NEAR(got, want, n, rtol, atol) t_near((got), (want), (n), (rtol), (atol), __FILE__, __LINE__)
#define T_SKIP(why) t_skip(why)

/* What MOKA_ISA may be set to on a machine of this family; a set that the machine hasn't got is its best once more. */
#if defined(__aarch64__)
#define T_ISAS                                                                                                         \
	{                                                                                                              \
		"ref", "neon"                                                                                          \
	}
#else
#define T_ISAS                                                                                                         \
	{                                                                                                              \
		"ref", "avx2", "avx512"                                                                                \
	}
#endif

void t_ok(enum moka_status s, const struct moka_error *err, const char *file, int line);
void t_has(const char *hay, const char *needle, const char *file, int line);
void t_near(const real *got, const real *want, int64_t n, double rtol, double atol, const char *file, int line);
void t_skip(const char *why);
/* The folder of shared material (MOKA_SHARED, or ../shared from the source root), or NULL: then T_SKIP("no ../shared"). */
const char *t_shared(void);
/* A fresh empty folder, removed at exit. */
const char *t_tmp(void);
/* The source root (MOKA_SOURCE_ROOT, set by meson). */
const char *t_source(void);
int t_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

#endif
