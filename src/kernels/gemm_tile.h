/*
 * gemm_tile.h - the text of the micro-kernels, included by one file per instruction set, which defines before:
 *
 *     VEC, VLEN                a vector of reals and how many it holds
 *     LOAD(p) STORE(p, v)      unaligned
 *     SPLAT(x)                 x in every place
 *     FMA(a, b, c) MUL(a, b)   a * b + c, a * b
 *     ADD(a, b)
 *     SUM(v)                   of a vector's values
 *     TILE_NAME                prefix of the functions
 *     TILE_MR, TILE_VECTORS    the largest tile
 *     DOTS_ROWS, DOTS_COLUMNS  rows of two matrices whose products are summed at once
 *     SPREAD_DEPTH             rows of B that a pass over C adds
 *
 * Sums live in mr * vectors registers; each step loads `vectors` of B and splats mr values of A. The loops have
 * constant bounds and are unrolled away.
 */
#ifdef __clang__
#include "unroll.h"
#else
#define UNROLL _Pragma("GCC unroll 16") /* AVX-512 was measured with it */
#endif

#define TILE_PASTE2(a, b, c, d) a##_##b##_##c##x##d
#define TILE_PASTE(a, b, c, d) TILE_PASTE2(a, b, c, d)
#define TILE_FN(order, mr, vectors) TILE_PASTE(TILE_NAME, order, mr, vectors)

// clang-format off
#define TILE_INLINE static inline __attribute__((always_inline))

TILE_INLINE void tile_end(const int mr, const int vectors, const VEC *sum, real *c, int64_t ldc,
			  const struct moka__gemm_end *end)
{
	const VEC alpha = SPLAT(end->alpha), beta = SPLAT(end->beta);

	UNROLL
	for (int i = 0; i < mr; i++) {
		UNROLL
		for (int v = 0; v < vectors; v++) {
			real *at = c + i * ldc + v * VLEN;
			VEC x = MUL(alpha, sum[i * vectors + v]);
			if (end->bias)
				x = ADD(x, SPLAT(end->bias[i]));
			else if (end->beta != 0)
				x = FMA(beta, LOAD(at), x);
			STORE(at, x);
		}
	}
}

TILE_INLINE void tile(const int mr, const int vectors, int64_t k, const real *a, int64_t row, int64_t step,
		      const real *b, real *c, int64_t ldc, const struct moka__gemm_end *end)
{
	/* of the size of the largest tile; what a smaller one doesn't use is never made */
	VEC sum[TILE_MR * TILE_VECTORS];

	UNROLL
	for (int i = 0; i < mr * vectors; i++)
		sum[i] = SPLAT(0);
	for (int64_t p = 0; p < k; p++) {
		VEC x[TILE_VECTORS];
		UNROLL
		for (int v = 0; v < vectors; v++)
			x[v] = LOAD(b + v * VLEN);
		UNROLL
		for (int i = 0; i < mr; i++) {
			const VEC y = SPLAT(a[i * row]);
			UNROLL
			for (int v = 0; v < vectors; v++)
				sum[i * vectors + v] = FMA(y, x[v], sum[i * vectors + v]);
		}
		a += step;
		b += vectors * VLEN;
	}
	tile_end(mr, vectors, sum, c, ldc, end);
}

TILE_INLINE void flat(const int mr, const int vectors, int64_t taps, const int64_t *shift, int64_t channels,
		      int64_t plane, const real *a, const real *b, const real *bias, real *c, int64_t ldc)
{
	VEC sum[TILE_MR * TILE_VECTORS];

	UNROLL
	for (int i = 0; i < mr; i++) {
		const VEC first = SPLAT(bias ? bias[i] : 0);
		UNROLL
		for (int v = 0; v < vectors; v++)
			sum[i * vectors + v] = first;
	}
	for (int64_t t = 0; t < taps; t++) {
		const real *at = b + shift[t];

		for (int64_t ch = 0; ch < channels; ch++) {
			VEC x[TILE_VECTORS];
			UNROLL
			for (int v = 0; v < vectors; v++)
				x[v] = LOAD(at + v * VLEN);
			UNROLL
			for (int i = 0; i < mr; i++) {
				const VEC y = SPLAT(a[i]);
				UNROLL
				for (int v = 0; v < vectors; v++)
					sum[i * vectors + v] = FMA(y, x[v], sum[i * vectors + v]);
			}
			a += mr;
			at += plane;
		}
	}
	UNROLL
	for (int i = 0; i < mr; i++) {
		UNROLL
		for (int v = 0; v < vectors; v++)
			STORE(c + i * ldc + v * VLEN, sum[i * vectors + v]);
	}
}

/*
 * A row of a matrix times a vector. The row comes from memory and is read once: four sums at a time are enough to keep up with it, and
 * it is asked for 4 kB ahead, beyond its end too, where the next row lies.
 */
static real dot(int64_t n, const real *a, const real *x)
{
	VEC sum[4] = { SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0) };
	real rest = 0;
	int64_t p = 0;

	for (; p + 4 * VLEN <= n; p += 4 * VLEN) {
		UNROLL
		for (int i = 0; i < 4; i++) {
			__builtin_prefetch((const char *)(a + p + i * VLEN) + 4096);
			sum[i] = FMA(LOAD(a + p + i * VLEN), LOAD(x + p + i * VLEN), sum[i]);
		}
	}
	for (; p + VLEN <= n; p += VLEN)
		sum[0] = FMA(LOAD(a + p), LOAD(x + p), sum[0]);
	for (; p < n; p++)
		rest += a[p] * x[p];
	return SUM(ADD(ADD(sum[0], sum[1]), ADD(sum[2], sum[3]))) + rest;
}

/* The same of `rows` rows with each of `columns` others: out[i * DOTS_COLUMNS + j]. */
TILE_INLINE void dots(const int rows, const int columns, int64_t n, const real *a, int64_t lda, const real *b,
		      int64_t ldb, real *out)
{
	VEC sum[DOTS_ROWS * DOTS_COLUMNS];
	int64_t p = 0;

	UNROLL
	for (int i = 0; i < rows * columns; i++)
		sum[i] = SPLAT(0);
	for (; p + VLEN <= n; p += VLEN) {
		VEC x[DOTS_ROWS];
		UNROLL
		for (int i = 0; i < rows; i++) {
			__builtin_prefetch((const char *)(a + i * lda + p) + 1024);
			x[i] = LOAD(a + i * lda + p);
		}
		UNROLL
		for (int j = 0; j < columns; j++) {
			const VEC y = LOAD(b + j * ldb + p);
			UNROLL
			for (int i = 0; i < rows; i++)
				sum[i * columns + j] = FMA(x[i], y, sum[i * columns + j]);
		}
	}
	UNROLL
	for (int i = 0; i < rows; i++) {
		UNROLL
		for (int j = 0; j < columns; j++) {
			real rest = 0;
			for (int64_t q = p; q < n; q++)
				rest += a[i * lda + q] * b[j * ldb + q];
			out[i * DOTS_COLUMNS + j] = SUM(sum[i * columns + j]) + rest;
		}
	}
}

/* `vectors` vectors of columns of spread() */
TILE_INLINE void spread_columns(const int depth, const int vectors, int64_t m, const real *a, const real *b, int64_t ldb, real *c,
				int64_t ldc, bool first)
{
	VEC x[2 * SPREAD_DEPTH];

	UNROLL
	for (int p = 0; p < depth; p++) {
		UNROLL
		for (int v = 0; v < vectors; v++) {
			__builtin_prefetch(b + (depth + p) * ldb + v * VLEN);
			x[2 * p + v] = LOAD(b + p * ldb + v * VLEN);
		}
	}
	for (int64_t i = 0; i < m; i++, a += depth, c += ldc) {
		VEC y[2];
		UNROLL
		for (int v = 0; v < vectors; v++)
			y[v] = first ? SPLAT(0) : LOAD(c + v * VLEN);
		UNROLL
		for (int p = 0; p < depth; p++) {
			const VEC s = SPLAT(a[p]);
			UNROLL
			for (int v = 0; v < vectors; v++)
				y[v] = FMA(s, x[2 * p + v], y[v]);
		}
		UNROLL
		for (int v = 0; v < vectors; v++)
			STORE(c + v * VLEN, y[v]);
	}
}

/*
 * C (m, n) += A (m, depth) B (depth, n), or = where it is the first: what is large is B, read once and where it lies. `depth` rows of it
 * stay in registers, two vectors of each, while all rows of C go by; the next `depth` rows are asked for meanwhile.
 */
TILE_INLINE void spread(const int depth, int64_t m, int64_t n, const real *a, const real *b, int64_t ldb, real *c, int64_t ldc,
			bool first)
{
	int64_t j = 0;

	for (; j + 2 * VLEN <= n; j += 2 * VLEN)
		spread_columns(depth, 2, m, a, b + j, ldb, c + j, ldc, first);
	for (; j + VLEN <= n; j += VLEN)
		spread_columns(depth, 1, m, a, b + j, ldb, c + j, ldc, first);
	for (; j < n; j++)
		for (int64_t i = 0; i < m; i++) {
			real y = first ? 0 : c[i * ldc + j];
			for (int p = 0; p < depth; p++)
				y += a[i * depth + p] * b[p * ldb + j];
			c[i * ldc + j] = y;
		}
}

#define SPREAD_DEFINE(depth)                                                                                           \
	static void TILE_FN(spread, depth, 2)(int64_t m, int64_t n, const real *a, const real *b, int64_t ldb,         \
					      real *c, int64_t ldc, bool first)                                        \
	{                                                                                                              \
		spread(depth, m, n, a, b, ldb, c, ldc, first);                                                         \
	}

#define DOTS_DEFINE(rows, columns)                                                                                     \
	static void TILE_FN(dots, rows, columns)(int64_t n, const real *a, int64_t lda, const real *b, int64_t ldb,    \
						 real *out)                                                            \
	{                                                                                                              \
		dots(rows, columns, n, a, lda, b, ldb, out);                                                           \
	}
#define DOTS_DEFINE_ROW(rows)                                                                                          \
	DOTS_DEFINE(rows, 1) DOTS_DEFINE(rows, 2) DOTS_DEFINE(rows, 3) DOTS_DEFINE(rows, 4)

#define FLAT_DEFINE(mr, vectors)                                                                                       \
	static void TILE_FN(flat, mr, vectors)(int64_t taps, const int64_t *shift, int64_t channels, int64_t plane,    \
					       const real *a, const real *b, const real *bias, real *c, int64_t ldc)   \
	{                                                                                                              \
		flat(mr, vectors, taps, shift, channels, plane, a, b, bias, c, ldc);                                   \
	}
#define FLAT_DEFINE_ROW(mr) FLAT_DEFINE(mr, 1) FLAT_DEFINE(mr, 2) FLAT_DEFINE(mr, 3)

/* The two orders of A for one size of tile. */
#define TILE_DEFINE(mr, vectors)                                                                                       \
	static void TILE_FN(rows, mr, vectors)(int64_t k, const real *a, int64_t stride, const real *b, real *c,       \
					       int64_t ldc, const struct moka__gemm_end *end)                          \
	{                                                                                                              \
		tile(mr, vectors, k, a, stride, 1, b, c, ldc, end);                                                    \
	}                                                                                                              \
	static void TILE_FN(columns, mr, vectors)(int64_t k, const real *a, int64_t stride, const real *b, real *c,    \
						  int64_t ldc, const struct moka__gemm_end *end)                       \
	{                                                                                                              \
		tile(mr, vectors, k, a, 1, stride, b, c, ldc, end);                                                    \
	}
#define TILE_DEFINE_ROW(mr) TILE_DEFINE(mr, 1) TILE_DEFINE(mr, 2) TILE_DEFINE(mr, 3)
#define TILE_LIST_ROW(order, mr) { TILE_FN(order, mr, 1), TILE_FN(order, mr, 2), TILE_FN(order, mr, 3) }
#define DOTS_LIST_ROW(rows)                                                                                            \
	TILE_FN(dots, rows, 1), TILE_FN(dots, rows, 2), TILE_FN(dots, rows, 3), TILE_FN(dots, rows, 4)
// clang-format on
