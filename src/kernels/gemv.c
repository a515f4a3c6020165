/*
 * gemv.c - a matrix times a vector: each value of the matrix is used once, so the memory sets the pace. Rows (or, for
 * the transpose, columns) are dealt out in fixed pieces; every value of y is the work of one piece.
 */
#include "gemm.h"

#include "fast.h"

#define ROWS 4		  /* of A at once, where columns are made: their sums are loaded once for all of them */
#define ROW_PIECE 16	  /* rows of a piece */
#define COLUMN_PIECE 2048 /* columns of a piece at most: their y stays in the first cache */
#define WORTH_A_THREAD 65536

struct gemv {
	const struct moka__gemm_kernels *k;
	int64_t m, n, lda;
	real alpha, beta;
	const real *a, *x;
	real *y;
};

MOKA__INLINE real blend(const struct gemv *g, real sum, real old)
{
	return g->beta == 0 ? g->alpha * sum : g->alpha * sum + g->beta * old;
}

static void rows_piece(void *arg, int64_t begin, int64_t end)
{
	const struct gemv *g = arg;

	for (int64_t i = begin; i < end; i++)
		g->y[i] = blend(g, g->k->dot(g->n, g->a + i * g->lda, g->x), g->beta == 0 ? 0 : g->y[i]);
}

/* Columns [begin, end) of A' x: rows of A, scaled, are added up in y. */
MOKA__CLONES static void columns_piece(void *arg, int64_t begin, int64_t end)
{
	const struct gemv *g = arg;
	const int64_t n = end - begin;
	real sum[COLUMN_PIECE] = { 0 };
	int64_t p = 0;

	for (; p + ROWS <= g->m; p += ROWS) {
		const real *a = g->a + p * g->lda + begin, *x = g->x + p;
		for (int64_t j = 0; j < n; j++)
			sum[j] = sum[j] + (a[j] * x[0] + a[g->lda + j] * x[1]) +
				 (a[2 * g->lda + j] * x[2] + a[3 * g->lda + j] * x[3]);
	}
	for (; p < g->m; p++)
		for (int64_t j = 0; j < n; j++)
			sum[j] += g->a[p * g->lda + begin + j] * g->x[p];
	for (int64_t j = 0; j < n; j++)
		g->y[begin + j] = blend(g, sum[j], g->beta == 0 ? 0 : g->y[begin + j]);
}

/* Columns don't know of each other: how they are dealt out doesn't show, so there may be enough for all threads. */
static int64_t column_piece(int64_t n, int threads)
{
	int64_t piece = (n / (2 * threads) + 63) / 64 * 64;

	return MOKA_MIN(MOKA_MAX(piece, 64), COLUMN_PIECE);
}

void moka_gemv(struct moka_pool *pool, bool trans, int64_t m, int64_t n, real alpha, const real *a, int64_t lda,
	       const real *x, real beta, real *y)
{
	struct gemv g = { moka__gemm_choose(moka_cpu_isa()), m, n, lda, alpha, beta, a, x, y };

	if (m > 0 && n > 0 && m < WORTH_A_THREAD && m * n < WORTH_A_THREAD)
		pool = NULL;
	/* an alpha of 0 does not read A */
	if (alpha == 0 && trans)
		g.m = 0;
	else if (alpha == 0)
		g.n = 0;
	if (trans)
		moka_parallel(pool, columns_piece, &g, n, column_piece(n, moka_pool_threads(pool)));
	else
		moka_parallel(pool, rows_piece, &g, m, ROW_PIECE);
}
