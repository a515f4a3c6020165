/*
 * gemm_rows.c - a product of rows with rows, C = alpha A B' + beta C, where both lie as the sums want them: an inner product over a small
 * batch. Nothing is packed; the large matrix (weights) is read once, where it is, and the rows of the small one (images) stay in a
 * cache, a part of their length at a time:
 *
 *     for each part of the steps:  for some rows of B (weights):  for each few rows of A (images):  sums in registers
 *
 * Rows of B are dealt out in pieces that do not depend on the number of threads, nor does any sum on its piece.
 */
#include "gemm.h"

#include "internal.h"

#define PART_BYTES (128 * 1024) /* of A: what is read again for every few rows of B */
#define LEAST_PART 256
#define PIECE 24 /* rows of B: a multiple of every kernel's */

struct rows_job {
	const struct moka__gemm_kernels *ops;
	int64_t m, n, k, lda, ldb, ldc;
	real alpha, beta;
	const real *a, *b;
	real *c;
	int64_t part;  /* of k */
	int64_t tiles; /* of A's rows, as even as can be */
};

/* `rows` rows of B from j on, with all of A, steps [p0, p0 + steps). */
static void some_rows(const struct rows_job *g, int64_t j, int rows, int64_t p0, int64_t steps)
{
	const int pitch = g->ops->dots_columns;
	real sums[4 * MOKA__DOTS_MOST];

	for (int64_t t = 0; t < g->tiles; t++) {
		const int64_t i0 = moka__part(g->m, g->tiles, t), i1 = moka__part(g->m, g->tiles, t + 1);

		g->ops->dots[rows > 1][i1 - i0 - 1](steps, g->b + j * g->ldb + p0, g->ldb, g->a + i0 * g->lda + p0,
						    g->lda, sums);
		for (int64_t i = i0; i < i1; i++)
			for (int r = 0; r < rows; r++) {
				real *c = g->c + i * g->ldc + j + r;
				const real sum = g->alpha * sums[r * pitch + (i - i0)];

				*c = p0 ? *c + sum : g->beta == 0 ? sum : sum + g->beta * *c;
			}
	}
}

static void rows_piece(void *arg, int64_t begin, int64_t end)
{
	const struct rows_job *g = arg;
	const int rows = g->ops->dots_rows;

	for (int64_t p0 = 0; p0 < g->k; p0 += g->part) {
		const int64_t steps = MOKA_MIN(g->part, g->k - p0);
		int64_t j = begin;

		for (; j + rows <= end; j += rows)
			some_rows(g, j, rows, p0, steps);
		for (; j < end; j++)
			some_rows(g, j, 1, p0, steps);
	}
}

void moka__gemm_rows(struct moka_pool *pool, const struct moka__gemm_kernels *ops, int64_t m, int64_t n, int64_t k,
		     real alpha, const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
		     int64_t ldc)
{
	struct rows_job g = { ops, m, n, k, lda, ldb, ldc, alpha, beta, a, b, c, 0, 0 };

	g.part = MOKA_MAX((int64_t)((size_t)PART_BYTES / sizeof(real)) / m / 64 * 64, LEAST_PART);
	g.tiles = moka__ceil_div(m, ops->dots_columns);
	moka_parallel(pool, rows_piece, &g, n, PIECE);
}
