/*
 * cmocka_few.c - the few of cmocka's functions that t.h and t.c use, for machines that only scripts/cross.sh builds for: cmocka's header
 * serves any of them, its library is of the machine we build on. An assertion that fails ends its test; no fixtures, no mocks.
 */
#include "t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf test_end;
enum { FAILED = 1, SKIPPED };

void vprint_message(const char *const format, va_list args)
{
	vprintf(format, args);
}

void print_message(const char *const format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

void print_error(const char *const format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

void cmocka_set_message_output(enum cm_message_output output)
{
	(void)output;
}

void _fail(const char *const file, const int line)
{
	printf("%s:%d: failed\n", file, line);
	longjmp(test_end, FAILED);
}

void _skip(const char *const file, const int line)
{
	(void)file, (void)line;
	longjmp(test_end, SKIPPED);
}

void _assert_true(const LargestIntegralType result, const char *const expression, const char *const file,
		  const int line)
{
	if (result)
		return;
	printf("%s\n", expression);
	_fail(file, line);
}

void _assert_int_equal(const LargestIntegralType a, const LargestIntegralType b, const char *const file, const int line)
{
	if (a == b)
		return;
	printf("%lld, %lld wanted\n", (long long)a, (long long)b);
	_fail(file, line);
}

void _assert_string_equal(const char *const a, const char *const b, const char *const file, const int line)
{
	if (!strcmp(a, b))
		return;
	printf("\"%s\", \"%s\" wanted\n", a, b);
	_fail(file, line);
}

void _assert_memory_equal(const void *const a, const void *const b, const size_t size, const char *const file,
			  const int line)
{
	if (!memcmp(a, b, size))
		return;
	printf("%zu bytes differ\n", size);
	_fail(file, line);
}

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *const tests, const size_t n,
			    CMFixtureFunction set_up, CMFixtureFunction tear_down)
{
	volatile int bad = 0;

	if (set_up || tear_down)
		abort();
	for (volatile size_t i = 0; i < n; i++) {
		void *state = NULL;
		const int end = setjmp(test_end);

		if (!end)
			tests[i].test_func(&state);
		printf("%s %s\n", end == FAILED ? "failed" : end == SKIPPED ? "skipped" : "ok", name);
		bad += end == FAILED;
	}
	return bad;
}
