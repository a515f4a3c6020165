/*
 * vec.c - flat vectors. Sums keep sixteen partial sums in a fixed order, which a compiler turns into vector registers
 * and which loses less than one long chain.
 */
#include "kernels.h"

#include <tgmath.h>

#include "fast.h"

#define LANES 16

MOKA__CLONES void moka_axpy(int64_t n, real a, const real *x, real *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

/* b = 0 overwrites y, whatever it holds. */
MOKA__CLONES void moka_axpby(int64_t n, real a, const real *x, real b, real *y)
{
	if (b == 0) {
		for (int64_t i = 0; i < n; i++)
			y[i] = a * x[i];
		return;
	}
	for (int64_t i = 0; i < n; i++)
		y[i] = a * x[i] + b * y[i];
}

MOKA__CLONES void moka_scale(int64_t n, real a, real *x)
{
	for (int64_t i = 0; i < n; i++)
		x[i] *= a;
}

MOKA__CLONES void moka_set(int64_t n, real a, real *x)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = a;
}

/* Adds the partial sums in pairs, always in the same order. */
MOKA__INLINE real fold(real *part)
{
	for (int w = LANES / 2; w > 0; w /= 2)
		for (int i = 0; i < w; i++)
			part[i] += part[i + w];
	return part[0];
}

/*
 * Long vectors are summed block by block, the blocks in double: a float sum of a million values would lose the last
 * digits of its result otherwise.
 */
#define BLOCK 4096

#define SUM_IN_BLOCKS(n, term)                                                                                         \
	double total = 0;                                                                                              \
	for (int64_t begin = 0; begin < (n); begin += BLOCK) {                                                         \
		const int64_t end = MOKA_MIN(begin + BLOCK, (n));                                                      \
		real part[LANES] = { 0 };                                                                              \
		int64_t i = begin;                                                                                     \
		for (; i + LANES <= end; i += LANES)                                                                   \
			for (int l = 0; l < LANES; l++)                                                                \
				part[l] += term(i + l);                                                                \
		for (int l = 0; i + l < end; l++)                                                                      \
			part[l] += term(i + l);                                                                        \
		total += (double)fold(part);                                                                           \
	}                                                                                                              \
	return (real)total

MOKA__CLONES real moka_dot(int64_t n, const real *x, const real *y)
{
#define TERM(i) (x[i] * y[i])
	SUM_IN_BLOCKS(n, TERM);
#undef TERM
}

MOKA__CLONES real moka_sum(int64_t n, const real *x)
{
#define TERM(i) x[i]
	SUM_IN_BLOCKS(n, TERM);
#undef TERM
}

MOKA__CLONES real moka_asum(int64_t n, const real *x)
{
#define TERM(i) fabs(x[i])
	SUM_IN_BLOCKS(n, TERM);
#undef TERM
}

/* ---- element by element, maybe in place --------------------------------------------------------- */

MOKA__CLONES void moka_line(int64_t n, real a, const real *x, real b, real *y)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++)
		y[i] = a * x[i] + b;
}

MOKA__CLONES void moka_plane(int64_t n, real a, const real *x, real b, const real *y, real c, real *z)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++)
		z[i] = a * x[i] + b * y[i] + c;
}

MOKA__CLONES void moka_standardise(int64_t n, real mean, real deviation, const real *x, real *y)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++)
		y[i] = (x[i] - mean) / deviation;
}

MOKA__CLONES void moka_relu(int64_t n, real slope, const real *x, real *y)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++) {
		const real v = x[i], low = slope * v;

		y[i] = v > 0 ? v : low;
	}
}

MOKA__CLONES void moka_relu_gradient(int64_t n, real slope, const real *x, const real *dy, real *dx)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++) {
		const real v = dy[i], low = slope * v;

		dx[i] = x[i] > 0 ? v : low;
	}
}

MOKA__CLONES void moka_sum_relu(int64_t n, real a, const real *x, real b, const real *z, real slope, real *y)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++) {
		const real v = a * x[i] + b * z[i], low = slope * v;

		y[i] = v > 0 ? v : low;
	}
}

MOKA__CLONES void moka_relu_gradient_sum(int64_t n, real slope, const real *x, const real *dy, const real *dz, real *dx)
{
	MOKA__EACH
	for (int64_t i = 0; i < n; i++) {
		const real v = dy[i] + dz[i], low = slope * v;

		dx[i] = x[i] > 0 ? v : low;
	}
}

/* ---- sums in double ------------------------------------------------------------------------------- */

#define WIDE_SUM(n, term)                                                                                              \
	double part[LANES] = { 0 };                                                                                    \
	int64_t i = 0;                                                                                                 \
	for (; i + LANES <= (n); i += LANES)                                                                           \
		for (int l = 0; l < LANES; l++)                                                                        \
			part[l] += term(i + l);                                                                        \
	for (int l = 0; i + l < (n); l++)                                                                              \
		part[l] += term(i + l);                                                                                \
	for (int w = LANES / 2; w > 0; w /= 2)                                                                         \
		for (int l = 0; l < w; l++)                                                                            \
			part[l] += part[l + w];                                                                        \
	return part[0]

MOKA__CLONES double moka_wide_sum(int64_t n, const real *x)
{
#define TERM(i) (double)x[i]
	WIDE_SUM(n, TERM);
#undef TERM
}

MOKA__CLONES double moka_wide_dot(int64_t n, const real *x, const real *y)
{
#define TERM(i) ((double)x[i] * (double)y[i])
	WIDE_SUM(n, TERM);
#undef TERM
}

MOKA__CLONES double moka_wide_deviation(int64_t n, double mean, const real *x)
{
#define TERM(i) (((double)x[i] - mean) * ((double)x[i] - mean))
	WIDE_SUM(n, TERM);
#undef TERM
}
