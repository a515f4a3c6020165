/*
 * gemm_spread.c - a product whose second matrix is large and read once, where it lies: C = A B or C += A B with few rows of A (the
 * gradient of an inner product by data over a small batch, where B is the weights). Packing B would cost more than the product:
 *
 *     for each block of columns:  for each few rows of B:  all rows of C += (few columns of A) (few rows of B)
 *
 * The block of C stays in a cache; B goes by in long pieces of its rows. Columns are cut for the threads; how doesn't show in a sum.
 */
#include "gemm.h"

#include "internal.h"

#include <stdatomic.h>
#include <string.h>

#define BLOCK_BYTES (32 * 1024) /* of C */
#define LEAST_COLUMNS 64
#define WHOLE 16 /* columns that are not cut */

struct spread_job {
	const struct moka__gemm_kernels *ops;
	int64_t m, n, k, ldb, ldc;
	const real *b;
	real *c;
	bool add;
	int64_t blocks, pitch; /* of columns; values from a row of a block to the next */
	real *packed;	       /* A: depth steps of each row, then the next steps; a last few by single steps */
	real *rooms;	       /* a block for each thread */
	_Atomic int64_t next;
};

/* C's rows may lie whole pages apart, and a cache keeps few such lines at once: sums are made beside it. */
static void spread_block(const struct spread_job *g, int64_t j0, int64_t j1, real *room)
{
	const int64_t n = j1 - j0, depth = g->ops->spread_depth;
	const real *a = g->packed;

	for (int64_t i = 0; g->add && i < g->m; i++)
		memcpy(room + i * g->pitch, g->c + i * g->ldc + j0, (size_t)n * sizeof(real));
	for (int64_t p = 0, steps; p < g->k; p += steps, a += g->m * steps) {
		steps = p + depth <= g->k ? depth : 1;
		g->ops->spread[steps > 1](g->m, n, a, g->b + p * g->ldb + j0, g->ldb, room, g->pitch, !p && !g->add);
	}
	for (int64_t i = 0; i < g->m; i++)
		memcpy(g->c + i * g->ldc + j0, room + i * g->pitch, (size_t)n * sizeof(real));
}

/* Where block i begins: whole vectors. */
static int64_t block_at(const struct spread_job *g, int64_t i)
{
	return i < g->blocks ? moka__part(g->n / WHOLE, g->blocks, i) * WHOLE : g->n;
}

static void spread_slots(void *arg, int64_t begin, int64_t end)
{
	struct spread_job *g = arg;

	for (int64_t slot = begin; slot < end; slot++)
		for (int64_t i = g->next++; i < g->blocks; i = g->next++)
			spread_block(g, block_at(g, i), block_at(g, i + 1), g->rooms + slot * g->m * g->pitch);
}

static void pack(const struct spread_job *g, const real *a, int64_t lda)
{
	const int64_t depth = g->ops->spread_depth;
	real *out = g->packed;

	for (int64_t p = 0, steps; p < g->k; p += steps) {
		steps = p + depth <= g->k ? depth : 1;
		for (int64_t i = 0; i < g->m; i++, out += steps)
			memcpy(out, a + i * lda + p, (size_t)steps * sizeof(real));
	}
}

bool moka__gemm_spread(struct moka_pool *pool, struct moka_gemm_ws *ws, int64_t m, int64_t n, int64_t k, const real *a,
		       int64_t lda, const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
	const int64_t width = MOKA_MAX((int64_t)((size_t)BLOCK_BYTES / sizeof(real)) / m, LEAST_COLUMNS);
	const int threads = moka_pool_threads(pool);
	struct spread_job g = {
		.ops = moka__gemm_ops(ws), .m = m, .n = n, .k = k, .b = b, .ldb = ldb, .c = c, .ldc = ldc, .add = add
	};

	g.blocks = moka__ceil_div(n, width);
	g.blocks = moka__ceil_div(g.blocks, threads) * threads;
	g.pitch = (n / WHOLE + g.blocks) / g.blocks * WHOLE + 2 * WHOLE;
	g.packed = moka__gemm_reserve(ws, 1, (size_t)(m * k + 16 + threads * m * g.pitch));
	if (!g.packed)
		return false;
	g.rooms = g.packed + moka__ceil_div(m * k, 16) * 16;
	pack(&g, a, lda);
	moka_parallel(pool, spread_slots, &g, threads, 1);
	return true;
}
