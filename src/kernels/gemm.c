/*
 * gemm.c - the matrix product: cuts C into tiles of work, packs B, feeds the micro-kernels. After Goto and van de
 * Geijn ("Anatomy of high-performance matrix multiplication", 2008), with two turns of its own:
 *
 *  - A tile of work (some rows by a few panels of columns) goes through all steps of k by itself, with panels of B in
 *    its thread's own memory. Nobody waits for anybody between the first and the last tile.
 *  - A is read where it lies: weights are used once per image, and copying them would cost more than it saves.
 *
 *        work tile:  for each kc steps:  pack B (kc x its columns)
 *                      for each mc rows: for each panel: for each mr rows: micro-kernel
 */
#include "gemm.h"

#include "internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Under this many multiply-adds the work is over before a second thread has woken up. */
#define WORTH_A_THREAD 400000
/* Work tiles are not made lower than this: every one packs its panels of B anew. */
#define LEAST_ROWS 32
/* So few rows times a matrix's rows are summed where both lie (gemm_rows.c); measured: up to 4 times faster at 2, 1.5 at 8, equal at 16. */
#define FEW_ROWS 8
/* And so few rows times a matrix that lies the other way spread over their sums (gemm_spread.c); measured: 2 times faster at 16, equal at 64. */
#define FEW_ROWS_SPREAD 64

struct moka_gemm_ws {
	const struct moka__gemm_kernels *ops;
	real *memory;
	size_t cap; /* values */
};

struct moka_gemm_ws *moka_gemm_ws_new(void)
{
	struct moka_gemm_ws *ws = calloc(1, sizeof(*ws));

	if (ws)
		ws->ops = moka__gemm_choose(moka_cpu_isa());
	return ws;
}

void moka_gemm_ws_free(struct moka_gemm_ws *ws)
{
	if (ws)
		free(ws->memory);
	free(ws);
}

real *moka__gemm_reserve(struct moka_gemm_ws *ws, int slots, size_t each)
{
	size_t want = (size_t)slots * each;

	if (ws->cap >= want)
		return ws->memory;
	free(ws->memory);
	/* whole lines, as aligned_alloc() wants it */
	ws->memory = aligned_alloc(64, (want * sizeof(real) + 63) / 64 * 64);
	ws->cap = ws->memory ? want : 0;
	return ws->memory;
}

const struct moka__gemm_kernels *moka__gemm_ops(const struct moka_gemm_ws *ws)
{
	return ws->ops;
}

/* How the work is cut, and the tiles nobody has taken yet. */
struct plan {
	const struct moka__gemm_job *job;
	const struct moka__gemm_kernels *ops;
	int64_t nr, kc;
	int64_t panels, row_tiles, column_tiles;
	int64_t width; /* columns of a work tile, whole panels */
	int slots;
	size_t packed_size, slot_size;
	real *memory;
	_Atomic int64_t next;
};

static bool worth_threads(int64_t m, int64_t n, int64_t k)
{
	return m >= INT64_MAX / n || m * n >= WORTH_A_THREAD || m * n * k >= WORTH_A_THREAD;
}

int64_t moka__gemm_steps(const struct moka__gemm_kernels *ops, int64_t k)
{
	return moka__ceil_div(k, moka__ceil_div(k, ops->kc));
}

static void plan_tiles(struct plan *p, int threads)
{
	const struct moka__gemm_job *j = p->job;

	p->nr = (int64_t)p->ops->vector * p->ops->vectors;
	/* evenly, and never by the number of threads */
	p->kc = moka__gemm_steps(p->ops, j->k);
	p->panels = moka__ceil_div(j->n, p->nr);
	p->column_tiles = j->turned ? 1 : moka__ceil_div(p->panels, p->ops->panels);
	p->row_tiles = j->turned ? moka__ceil_div(j->m, p->ops->mc) : 1;
	p->slots = threads;
	if (!worth_threads(j->m, j->n, j->k))
		p->slots = 1;
	if (p->slots > 1) {
		/* the same number of tiles for everybody; where columns don't suffice, rows are cut too */
		const int64_t even = moka__ceil_div(p->column_tiles, p->slots) * p->slots;
		const int64_t most = MOKA_MAX(j->m / LEAST_ROWS, 1), wanted = 3 * (int64_t)p->slots;

		if (!j->turned)
			p->column_tiles = MOKA_MIN(even, p->panels);
		if (p->column_tiles * p->row_tiles < wanted)
			p->row_tiles = MOKA_MAX(MOKA_MIN(moka__ceil_div(wanted, p->column_tiles), most), p->row_tiles);
	}
	p->slots = (int)MOKA_MIN((int64_t)p->slots, p->row_tiles * p->column_tiles);
	/* panels of a tile are dealt out within one of each other */
	p->width = moka__ceil_div(p->panels, p->column_tiles) * p->nr;
	p->packed_size = (size_t)(p->width * p->kc);
	p->slot_size = p->packed_size + (j->turned ? (size_t)(p->width * (p->ops->mc + p->ops->mr)) : 0);
	/* a line more for each keeps neighbours' writes apart */
	p->slot_size = (p->slot_size + 31) / 16 * 16;
}

/* ---- packing B --------------------------------------------------------------------------------------------------- */

void moka__gemm_put_row(const struct moka__gemm_kernels *ops, const real *row, int64_t n, int64_t p, int64_t kc,
			real *out)
{
	const int64_t nr = (int64_t)ops->vector * ops->vectors;

	for (; n >= nr; n -= nr, row += nr, out += kc * nr)
		memcpy(out + p * nr, row, (size_t)nr * sizeof(real));
	if (n > 0) {
		int64_t width = moka__ceil_div(n, ops->vector) * ops->vector;
		memcpy(out + p * width, row, (size_t)n * sizeof(real));
		for (int64_t j = n; j < width; j++)
			out[p * width + j] = 0;
	}
}

void moka__gemm_pack_matrix(const struct moka__gemm_source *s, const struct moka__gemm_kernels *ops, int64_t p0,
			    int64_t kc, int64_t j0, int64_t n, real *out)
{
	const int64_t nr = (int64_t)ops->vector * ops->vectors;

	if (!s->trans) {
		for (int64_t p = 0; p < kc; p++)
			moka__gemm_put_row(ops, s->b + (p0 + p) * s->ldb + j0, n, p, kc, out);
		return;
	}
	for (int64_t j = 0; j < n; j += nr) {
		int64_t used = MOKA_MIN(nr, n - j), width = moka__ceil_div(used, ops->vector) * ops->vector;
		ops->transpose(used, kc, s->b + (j0 + j) * s->ldb + p0, s->ldb, out, width);
		for (int64_t p = 0; used < width && p < kc; p++)
			for (int64_t i = used; i < width; i++)
				out[p * width + i] = 0;
		out += kc * width;
	}
}

/* ---- a tile of work ---------------------------------------------------------------------------------------------- */

/*
 * A micro-tile at the right edge, which ends inside a vector, is computed beside C and copied.
 */
static void run_beside(moka__gemm_kernel_fn *kernel, int64_t k, const real *a, int64_t lda, const real *b, real *c,
		       int64_t ldc, int rows, int64_t columns, int64_t width, const struct moka__gemm_end *end)
{
	_Alignas(64) real beside[MOKA__GEMM_MOST_MR * MOKA__GEMM_MOST_NR];

	for (int i = 0; i < rows && end->beta != 0 && !end->bias; i++)
		for (int64_t x = 0; x < width; x++)
			beside[i * width + x] = x < columns ? c[i * ldc + x] : 0;
	kernel(k, a, lda, b, beside, width, end);
	for (int i = 0; i < rows; i++)
		memcpy(c + i * ldc, beside + i * width, (size_t)columns * sizeof(real));
}

/*
 * Asks for the next rows of A while these are worked on: a piece of a row is too short for the processor to notice
 * that it is read in order.
 */
static void prefetch_rows(const struct moka__gemm_job *j, int64_t i0, int64_t i1, int64_t p0, int64_t kc)
{
	if (j->trans_a)
		return;
	for (int64_t i = i0; i < i1; i++)
		for (int64_t p = 0; p < kc; p += (int64_t)(64 / sizeof(real)))
			__builtin_prefetch(j->a + i * j->lda + p0 + p, 0, 2);
}

/* Where a work tile's sums go: into C itself, or, turned, beside it until all steps are done. */
struct target {
	real *c; /* value (i0, j0) of the tile */
	int64_t ldc;
	bool padded; /* columns up to the next whole vector may be written */
};

/* One panel of work: rows [i0, i1) by `columns` columns for kc steps from p0; c is where its first row goes. */
struct strip {
	int64_t i0, i1, p0, kc;
	const real *panel;
	real *c;
	int64_t columns;
	bool first; /* of its rows: A comes from afar */
};

static void run_strip(const struct plan *p, const struct target *to, const struct strip *s)
{
	const struct moka__gemm_job *j = p->job;
	const int vectors = (int)moka__ceil_div(s->columns, p->ops->vector), mr = p->ops->mr;
	const int64_t width = (int64_t)vectors * p->ops->vector;
	const bool straight = s->columns == width || to->padded;
	struct moka__gemm_end end = { j->alpha, s->p0 ? 1 : j->turned ? 0 : j->beta, NULL };
	int size = __builtin_ctz((unsigned)mr);
	real *c = s->c;

	for (int64_t i = s->i0; i < s->i1; i += 1 << size, c += to->ldc << size) {
		const real *a = j->trans_a ? j->a + s->p0 * j->lda + i : j->a + i * j->lda + s->p0;
		moka__gemm_kernel_fn *kernel;

		while (s->i1 - i < 1 << size)
			size--;
		if (s->first)
			prefetch_rows(j, i + mr, MOKA_MIN(i + 2 * mr, s->i1), s->p0, s->kc);
		kernel = (j->trans_a ? p->ops->columns : p->ops->rows)[size][vectors - 1];
		if (j->bias && s->p0 == 0)
			end.bias = j->bias + i;
		if (straight)
			kernel(s->kc, a, j->lda, s->panel, c, to->ldc, &end);
		else
			run_beside(kernel, s->kc, a, j->lda, s->panel, c, to->ldc, 1 << size, s->columns, width, &end);
	}
}

/* C' = sums + beta * C' for a turned tile: rows [i0, i1), all columns. */
static void turn_back(const struct plan *p, const struct target *from, int64_t i0, int64_t i1)
{
	const struct moka__gemm_job *j = p->job;

	if (j->beta == 0) {
		p->ops->transpose(i1 - i0, j->n, from->c, from->ldc, j->c + i0, j->ldc);
		return;
	}
	for (int64_t x = 0; x < j->n; x++)
		for (int64_t i = i0; i < i1; i++)
			j->c[x * j->ldc + i] = from->c[(i - i0) * from->ldc + x] + j->beta * j->c[x * j->ldc + i];
}

static void run_tile(const struct plan *p, int64_t index, real *memory)
{
	const struct moka__gemm_job *j = p->job;
	const int64_t column = index / p->row_tiles, row = index % p->row_tiles;
	const int64_t strips = moka__ceil_div(j->m, p->ops->mr);
	const int64_t i0 = moka__part(strips, p->row_tiles, row) * p->ops->mr;
	const int64_t i1 = MOKA_MIN(moka__part(strips, p->row_tiles, row + 1) * p->ops->mr, j->m);
	const int64_t j0 = moka__part(p->panels, p->column_tiles, column) * p->nr;
	const int64_t j1 = MOKA_MIN(moka__part(p->panels, p->column_tiles, column + 1) * p->nr, j->n);
	struct target to = { j->c + i0 * j->ldc + j0, j->ldc, false };

	if (j->turned)
		to = (struct target){ memory + p->packed_size, p->width, true };
	for (int64_t p0 = 0; p0 < j->k; p0 += p->kc) {
		const int64_t kc = MOKA_MIN(p->kc, j->k - p0);
		j->b.pack(&j->b, p->ops, p0, kc, j0, j1 - j0, memory);
		for (int64_t i = i0; i < i1; i += p->ops->mc)
			for (int64_t x = j0; x < j1; x += p->nr) {
				struct strip s = { i,
						   MOKA_MIN(i + p->ops->mc, i1),
						   p0,
						   kc,
						   memory + (x - j0) * kc,
						   to.c + (i - i0) * to.ldc + (x - j0),
						   MOKA_MIN(p->nr, j1 - x),
						   x == j0 };
				run_strip(p, &to, &s);
			}
	}
	if (j->turned)
		turn_back(p, &to, i0, i1);
}

/* A slot is a thread's memory; whoever runs it takes tiles until there are none. */
static void run_slots(void *arg, int64_t begin, int64_t end)
{
	struct plan *p = arg;
	const int64_t tiles = p->row_tiles * p->column_tiles;

	for (int64_t slot = begin; slot < end; slot++)
		for (int64_t t = p->next++; t < tiles; t = p->next++)
			run_tile(p, t, p->memory + (size_t)slot * p->slot_size);
}

bool moka__gemm_run(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka__gemm_job *job)
{
	struct plan p = { .job = job, .ops = ws->ops };

	plan_tiles(&p, moka_pool_threads(pool));
	p.memory = moka__gemm_reserve(ws, p.slots, p.slot_size);
	if (!p.memory)
		return false;
	moka_parallel(pool, run_slots, &p, p.slots, 1);
	return true;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

/* C = beta * C, which is all there is to do where alpha or k is 0. */
static void scale_only(int64_t m, int64_t n, real beta, real *c, int64_t ldc)
{
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < n; j++)
			c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

/*
 * With few rows and a B that lies transposed (an inner product over a small batch), packing B would cost more than the
 * product. C' = B' A' has the large matrix where it is read in place and the small one where it is packed.
 */
static bool better_turned(bool trans_b, int64_t m, int64_t n)
{
	return trans_b && m <= MOKA__GEMM_MOST_TURNED && n >= 2 * m;
}

void moka_gemm(struct moka_pool *pool, struct moka_gemm_ws *ws, bool trans_a, bool trans_b, int64_t m, int64_t n,
	       int64_t k, real alpha, const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
	       int64_t ldc)
{
	struct moka__gemm_job job = { .m = m,
				      .n = n,
				      .k = k,
				      .trans_a = trans_a,
				      .a = a,
				      .lda = lda,
				      .b = { moka__gemm_pack_matrix, b, ldb, trans_b, NULL },
				      .c = c,
				      .ldc = ldc,
				      .alpha = alpha,
				      .beta = beta };

	if (m <= 0 || n <= 0)
		return;
	if (k <= 0 || alpha == 0) {
		scale_only(m, n, beta, c, ldc);
		return;
	}
	/* one row or one column: a matrix times a vector, where the vectors lie straight */
	if (m == 1 && (!trans_a || lda == 1)) {
		moka_gemv(pool, !trans_b, trans_b ? n : k, trans_b ? k : n, alpha, b, ldb, a, beta, c);
		return;
	}
	if (n == 1 && (trans_b || ldb == 1) && ldc == 1) {
		moka_gemv(pool, trans_a, trans_a ? k : m, trans_a ? m : k, alpha, a, lda, b, beta, c);
		return;
	}
	if (!trans_a && trans_b && m <= FEW_ROWS) {
		moka__gemm_rows(worth_threads(m, n, k) ? pool : NULL, ws->ops, m, n, k, alpha, a, lda, b, ldb, beta, c,
				ldc);
		return;
	}
	if (!trans_a && !trans_b && m <= FEW_ROWS_SPREAD && alpha == 1 && (beta == 0 || beta == 1) &&
	    moka__gemm_spread(worth_threads(m, n, k) ? pool : NULL, ws, m, n, k, a, lda, b, ldb, beta != 0, c, ldc))
		return;
	if (better_turned(trans_b, m, n)) {
		job.m = n, job.n = m;
		job.trans_a = false, job.a = b, job.lda = ldb;
		job.b = (struct moka__gemm_source){ moka__gemm_pack_matrix, a, lda, !trans_a, NULL };
		job.turned = true;
	}
	if (!moka__gemm_run(pool, ws, &job))
		moka_gemm_ref(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
