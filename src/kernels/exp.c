/*
 * exp.c - e to the x and what follows from it, element by element, as loops that a compiler turns into vector code: the C library's
 * functions take one value at a time.
 *
 *     e^x = 2^k e^r,  k the whole number next to x / ln 2,  |r| <= ln 2 / 2
 *
 * e^r is a polynomial, 2^k is put together from bits, in two factors, so that results which are too small for a normal number, or too large,
 * come out as they should. Errors: at most 2e-7 of the value. Polynomials were fitted at Chebyshev's points. double: the C library.
 */
#include "kernels.h"

#include <string.h>
#include <tgmath.h>

#include "fast.h"

#ifdef MOKA_REAL_DOUBLE

#undef MOKA__EACH
#define MOKA__EACH /* there is nothing to make vectors of */

MOKA__INLINE real e_to(real x)
{
	return exp(x);
}

MOKA__INLINE real tanh_of(real x)
{
	return tanh(x);
}

#else

/* Adding this leaves a whole number in the last bits. */
#define ROUNDER 12582912.0f
#define ROUNDER_BITS 0x4b400000u

/* 2^n for -126 <= n <= 127 */
MOKA__INLINE float power_of_two(int32_t n)
{
	const uint32_t bits = (uint32_t)(n + 127) << 23;
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

MOKA__INLINE float e_to(float x)
{
	/* ln 2 in two parts: the first times k is exact */
	const float log2e = 1.44269504f, ln2 = 0.693359375f, ln2_rest = -2.12194440e-4f;
	float sum, k, r, p;
	uint32_t bits;
	int32_t n, half;

	/* beyond: 0 and infinity; what is not a number stays so */
	x = x < -105.0f ? -105.0f : x;
	x = x > 89.0f ? 89.0f : x;
	sum = x * log2e + ROUNDER;
	k = sum - ROUNDER;
	r = x - k * ln2 - k * ln2_rest;
	p = 1.98993186e-4f;
	p = p * r + 1.39336762e-3f;
	p = p * r + 8.33329843e-3f;
	p = p * r + 4.16664647e-2f;
	p = p * r + 1.66666667e-1f;
	p = p * r + 5.00000001e-1f;
	p = p * (r * r) + r + 1;
	memcpy(&bits, &sum, sizeof(bits));
	n = (int32_t)(bits - ROUNDER_BITS);
	half = (n + 1024) / 2 - 512;
	return p * power_of_two(half) * power_of_two(n - half);
}

MOKA__INLINE float tanh_of(float x)
{
	const float size = fabsf(x), z = x * x;
	const float far = 1 - 2 / (e_to(2 * size) + 1);
	float p = 2.27289e-3f;

	p = p * z - 8.32661e-3f;
	p = p * z + 2.176372e-2f;
	p = p * z - 5.395864e-2f;
	p = p * z + 1.3333301e-1f;
	p = p * z - 3.3333333e-1f;
	return size < 0.625f ? x * (1 + z * p) : copysignf(far, x);
}

#endif

MOKA__CLONES void moka_exp(int64_t n, real shift, const real *x, real *y)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++)
		y[i] = e_to(x[i] - shift);
}

MOKA__CLONES void moka_tanh(int64_t n, const real *x, real *y)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++)
		y[i] = tanh_of(x[i]);
}

MOKA__CLONES void moka_sigmoid(int64_t n, const real *x, real *y)
{
	const real half = (real)0.5;

	MOKA__EACH
	for (int64_t i = 0; i < n; i++)
		y[i] = half * tanh_of(half * x[i]) + half;
}
