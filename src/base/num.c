/*
 * num.c - sums and products of sizes that came from a file.
 */
#include "base.h"

bool moka_mul(int64_t a, int64_t b, int64_t *out)
{
	int64_t r;

	if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &r))
		return false;
	*out = r;
	return true;
}

bool moka_add(int64_t a, int64_t b, int64_t *out)
{
	int64_t r;

	if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &r))
		return false;
	*out = r;
	return true;
}
