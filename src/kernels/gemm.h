/*
 * gemm.h - the contract between the product's driver (gemm.c) and its micro-kernels (one file per instruction set).
 *
 * A micro-kernel computes a tile of mr x nr values of C. Its operands:
 *
 *     A   mr values for each of k steps, read where they are: either rows (A[i * stride + p]) or columns
 *         (A[p * stride + i]) of the caller's own matrix, or of a packed copy in the same order
 *     B   packed: a panel, k rows of nr values, 64-byte aligned, zeros where the matrix ends
 *     C   rows of ldc values, all of them there (the driver hands in a tile of its own at the edges)
 *
 * Every element of C is one chain of multiply-adds over the steps in order, whatever the tile; so the way C is cut
 * into tiles never shows in the result.
 */
#ifndef MOKA_KERNELS_GEMM_H
#define MOKA_KERNELS_GEMM_H

#include "kernels.h"

#define MOKA__GEMM_MOST_MR 8
#define MOKA__GEMM_MOST_NR 48
#define MOKA__GEMM_MOST_VECTORS 3
#define MOKA__GEMM_MOST_TURNED 128
#define MOKA__DOTS_MOST 6	    /* columns of a tile of dots */
#define MOKA__GEMM_MOST_COLUMNS 384 /* that a work tile packs at once: nr * panels of every set */

/* What happens to the sum of a tile: C = alpha * sum + (bias[row] where there is one, else beta * C). */
struct moka__gemm_end {
	real alpha, beta; /* beta 0: C is not read */
	const real *bias; /* of the tile's first row, or NULL */
};

typedef void moka__gemm_kernel_fn(int64_t k, const real *a, int64_t stride, const real *b, real *c, int64_t ldc,
				  const struct moka__gemm_end *end);

/*
 * A tile of a convolution whose rows of B are read where they lie (conv_flat.c): `taps` times `channels` steps, step (t, ch) at
 * b + shift[t] + ch * plane. a: packed, mr values for each step. C = sum + (bias where there is one).
 */
typedef void moka__flat_kernel_fn(int64_t taps, const int64_t *shift, int64_t channels, int64_t plane, const real *a,
				  const real *b, const real *bias, real *c, int64_t ldc);

/*
 * One instruction set's kernels. rows and columns hold the kernel for tiles of 2^i rows (2^0 .. mr) and 1 to 3
 * vectors; NULL past what the set has.
 */
struct moka__gemm_kernels {
	const char *name;
	int mr;	    /* rows of the largest tile, a power of two */
	int vector; /* values in a vector: nr is 1..vectors of them */
	int vectors;
	int kc, mc; /* steps, and rows of A, that caches hold at once */
	int panels; /* of B, likewise */
	moka__gemm_kernel_fn *rows[4][MOKA__GEMM_MOST_VECTORS];
	moka__gemm_kernel_fn *columns[4][MOKA__GEMM_MOST_VECTORS];
	moka__flat_kernel_fn *flat[2][MOKA__GEMM_MOST_VECTORS]; /* of mr / 2 and of mr rows */
	real (*dot)(int64_t n, const real *a, const real *x);	/* sum of a[i] x[i]: of a matrix's row and a vector */
	/*
	 * Sums of a row times a row, both read where they lie, over n values: of `dots_rows` rows of A (or of one) and 1 to
	 * `dots_columns` rows of B; out (dots_rows, dots_columns).
	 */
	int dots_rows, dots_columns;
	void (*dots[2][MOKA__DOTS_MOST])(int64_t n, const real *a, int64_t lda, const real *b, int64_t ldb, real *out);
	/* C (m, n) += A B of one step, and of spread_depth; or = where they are the first. A (m, steps) is dense, B read where it lies. */
	int spread_depth;
	void (*spread[2])(int64_t m, int64_t n, const real *a, const real *b, int64_t ldb, real *c, int64_t ldc,
			  bool first);
	/* out[p * ldout + i] = in[i * ldin + p] for i < n, p < k: packing a transposed matrix */
	void (*transpose)(int64_t n, int64_t k, const real *in, int64_t ldin, real *out, int64_t ldout);
};

extern const struct moka__gemm_kernels moka__gemm_portable, moka__gemm_avx2, moka__gemm_avx512, moka__gemm_neon;
const struct moka__gemm_kernels *moka__gemm_choose(enum moka_isa isa);

/*
 * Where the driver finds op(B), packed panel by panel. pack() writes rows [p0, p0 + kc) of columns [j0, j0 + n) to
 * panels of `width` columns (the last may be narrower and is filled up to a whole vector), each panel kc rows.
 */
struct moka__gemm_source {
	void (*pack)(const struct moka__gemm_source *s, const struct moka__gemm_kernels *ops, int64_t p0, int64_t kc,
		     int64_t j0, int64_t n, real *out);
	const real *b; /* a matrix, or an image */
	int64_t ldb;
	bool trans;
	const struct moka_conv_geometry *conv;
};

/*
 * A product as the driver sees it: C = alpha * op(A) * B + (bias[row] where there is one, else beta * C). Turned, C is
 * stored by columns: its value (i, j) lies at c[j * ldc + i]; then n is at most MOKA__GEMM_MOST_TURNED.
 */
struct moka__gemm_job {
	int64_t m, n, k;
	bool trans_a, turned;
	const real *a;
	int64_t lda;
	struct moka__gemm_source b;
	real *c;
	int64_t ldc;
	real alpha, beta;
	const real *bias;
};

/* C = alpha A B' + beta C with nothing packed (gemm_rows.c): for few rows of A (m, k) and many of B (n, k). */
void moka__gemm_rows(struct moka_pool *pool, const struct moka__gemm_kernels *ops, int64_t m, int64_t n, int64_t k,
		     real alpha, const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
		     int64_t ldc);
/* C = A B or C += A B with B where it lies (gemm_spread.c): for few rows of A (m, k) and a large B (k, n). false: no memory. */
bool moka__gemm_spread(struct moka_pool *pool, struct moka_gemm_ws *ws, int64_t m, int64_t n, int64_t k, const real *a,
		       int64_t lda, const real *b, int64_t ldb, bool add, real *c, int64_t ldc);
/* How many of k steps are summed at a time: the cut shows in the sums. */
int64_t moka__gemm_steps(const struct moka__gemm_kernels *ops, int64_t k);
/* Runs it; false: no memory for the panels, nothing done. */
bool moka__gemm_run(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka__gemm_job *job);
/* 64-byte aligned room for `slots` threads of `each` values, kept for the next call; NULL: no memory. */
real *moka__gemm_reserve(struct moka_gemm_ws *ws, int slots, size_t each);
const struct moka__gemm_kernels *moka__gemm_ops(const struct moka_gemm_ws *ws);
/* The plain source: a matrix that lies in memory, maybe transposed. */
void moka__gemm_pack_matrix(const struct moka__gemm_source *s, const struct moka__gemm_kernels *ops, int64_t p0,
			    int64_t kc, int64_t j0, int64_t n, real *out);
/* Writes one row of n values (columns j0.. of op(B)) into panels: row p of each, panels `kc` rows apart. */
void moka__gemm_put_row(const struct moka__gemm_kernels *ops, const real *row, int64_t n, int64_t p, int64_t kc,
			real *out);

#endif
