/*
 * The matrix product against its specification: awkward sizes, both orders of both operands, alpha and beta, leading
 * dimensions, every instruction set that this machine has, one thread against several. Also gemv.
 */
#include "kernels/kernels.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 12345

static real *numbers(int64_t n, uint64_t seed)
{
	real *p = malloc((size_t)MOKA_MAX(n, 1) * sizeof(real));
	struct moka_rng r;

	moka_rng_seed(&r, seed, 0);
	for (int64_t i = 0; i < n; i++)
		p[i] = (real)(moka_rng_uniform(&r) - 0.5);
	return p;
}

struct product {
	bool ta, tb;
	int64_t m, n, k, extra; /* extra: how much longer than needed rows are stored */
	real alpha, beta;
};

static const char *const isas[] = T_ISAS;

/* A workspace for every instruction set (a machine without one gets a lower set twice), pools of 1, 2 and 3 threads. */
static struct moka_gemm_ws *spaces[MOKA_COUNT(isas)];
static struct moka_pool *pools[3];

static void set_up(void)
{
	const char *was = getenv("MOKA_ISA");
	char *kept = was ? strdup(was) : NULL;

	for (size_t i = 0; i < MOKA_COUNT(isas); i++) {
		setenv("MOKA_ISA", isas[i], 1);
		spaces[i] = moka_gemm_ws_new();
	}
	for (size_t i = 1; i < MOKA_COUNT(pools); i++)
		pools[i] = moka_pool_new((int)i + 1);
	if (kept)
		setenv("MOKA_ISA", kept, 1);
	else
		unsetenv("MOKA_ISA");
	free(kept);
}

static void tear_down(void)
{
	for (size_t i = 0; i < MOKA_COUNT(isas); i++)
		moka_gemm_ws_free(spaces[i]);
	for (size_t i = 0; i < MOKA_COUNT(pools); i++)
		moka_pool_free(pools[i]);
}

/* One product on each instruction set: the reference's values; and the same bits for any number of threads. */
static void check(const struct product *x, int n_pools)
{
	const int64_t lda = (x->ta ? x->m : x->k) + x->extra, ldb = (x->tb ? x->k : x->n) + x->extra,
		      ldc = x->n + x->extra;
	const int64_t na = (x->ta ? x->k : x->m) * lda, nb = (x->tb ? x->n : x->k) * ldb, nc = x->m * ldc;
	const size_t bytes = (size_t)nc * sizeof(real);
	real *a = numbers(na, 1), *b = numbers(nb, 2), *c0 = numbers(nc, 3);
	real *want = malloc(bytes + 1), *got = malloc(bytes + 1), *first = malloc(bytes + 1);

	/* what lies between the rows must come through untouched; what beta 0 overwrites may be anything */
	for (int64_t i = 0; i < nc; i++)
		if (i % ldc >= x->n)
			c0[i] = GUARD;
		else if (x->beta == 0)
			c0[i] = (real)NAN;
	memcpy(want, c0, bytes);
	moka_gemm_ref(x->ta, x->tb, x->m, x->n, x->k, x->alpha, a, lda, b, ldb, x->beta, want, ldc);
	for (int i = 0; i < (int)MOKA_COUNT(isas) * n_pools; i++) {
		memcpy(got, c0, bytes);
		moka_gemm(pools[i % n_pools], spaces[i / n_pools], x->ta, x->tb, x->m, x->n, x->k, x->alpha, a, lda, b,
			  ldb, x->beta, got, ldc);
		if (i % n_pools == 0) {
			T_NEAR(got, want, nc, 1e-5, 2e-6 * (1 + sqrt((double)x->k)));
			memcpy(first, got, bytes);
		}
		T_TRUE(!memcmp(first, got, bytes));
	}
	free(a), free(b), free(c0), free(want), free(got), free(first);
}

T_TEST(small_sizes_in_every_combination)
{
	static const int64_t sizes[] = { 0, 1, 3, 13, 50 };

	for (int t = 0; t < 4; t++)
		for (size_t i = 0; i < 5; i++)
			for (size_t j = 0; j < 5; j++)
				for (size_t k = 0; k < 5; k++) {
					struct product x = { t & 1,    t & 2,	     sizes[i],
							     sizes[j], sizes[k],     (int)(i + k) % 3,
							     1,	       (real)(j % 2) };
					check(&x, 2);
				}
}

T_TEST(sizes_around_the_tiles)
{
	static const int64_t rows[][3] = {
		{ 127, 128, 129 }, { 128, 129, 127 }, { 129, 127, 300 }, { 300, 300, 300 },
		{ 13, 300, 129 },  { 300, 13, 128 },  { 3, 300, 300 },	 { 300, 3, 300 },
		{ 1, 300, 127 },   { 300, 1, 129 },   { 300, 129, 1 },	 { 129, 300, 3 },
		{ 8, 48, 256 },	   { 9, 49, 257 },    { 64, 300, 513 },	 { 2, 700, 600 },
	};

	for (int t = 0; t < 4; t++)
		for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
			struct product x = { t & 1, t & 2, rows[i][0], rows[i][1], rows[i][2], (int)i % 2 * 5, 1, 0 };
			check(&x, 2);
		}
}

T_TEST(alpha_and_beta)
{
	static const real values[] = { 0, 1, -1, (real)0.37 };

	for (int t = 0; t < 4; t++)
		for (size_t a = 0; a < 4; a++)
			for (size_t b = 0; b < 4; b++) {
				static const int64_t sizes[][3] = {
					{ 17, 50, 270 }, { 5, 61, 270 }, { 1, 40, 30 }, { 40, 1, 30 }, { 7, 7, 0 }
				};
				for (size_t s = 0; s < MOKA_COUNT(sizes); s++) {
					struct product x = { t & 1,	  t & 2, sizes[s][0], sizes[s][1],
							     sizes[s][2], 3,	 values[a],   values[b] };
					check(&x, 2);
				}
			}
}

/* Large enough that the work is really dealt out: columns, rows, turned; few rows, in several parts of k. */
T_TEST(work_that_is_shared)
{
	static const struct product rows[] = {
		{ false, false, 70, 1500, 300, 0, 1, 0 }, { true, false, 700, 49, 90, 0, 1, 1 },
		{ false, true, 60, 900, 600, 0, 1, 1 },	  { true, true, 30, 1100, 300, 0, 2, 0 },
		{ false, true, 2, 77, 17000, 3, 1, 1 },	  { false, true, 7, 101, 9001, 0, (real)0.5, 0 },
		{ false, true, 8, 50, 4100, 1, 1, -1 },	  { false, false, 16, 3000, 77, 5, 1, 0 },
		{ false, false, 64, 611, 130, 0, 1, 1 },  { false, false, 2, 1025, 9, 1, 1, 1 },
		{ false, false, 33, 7, 200, 0, 1, 0 },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		check(&rows[i], 3);
}

/* An alpha of 0 says that A and B don't count, whatever they hold. */
T_TEST(alpha_zero_reads_nothing)
{
	real a[64], c[64], y[8];

	for (int m = 1; m <= 8; m += 7)
		for (int t = 0; t < 4; t++) {
			for (int i = 0; i < 64; i++)
				a[i] = (real)NAN, c[i] = (real)i;
			moka_gemm(NULL, spaces[t % (int)MOKA_COUNT(isas)], t & 1, t & 2, m, 8, 8, 0, a, 8, a, 8, 2, c,
				  8);
			for (int i = 0; i < 64; i++)
				T_TRUE(c[i] == (real)(i < m * 8 ? 2 * i : i));
		}
	for (int t = 0; t < 2; t++) {
		for (int i = 0; i < 8; i++)
			y[i] = (real)i;
		moka_gemv(pools[1], t, 8, 8, 0, a, 8, a, -1, y);
		for (int i = 0; i < 8; i++)
			T_TRUE(y[i] == (real)-i);
	}
}

T_TEST(matrix_times_vector)
{
	static const int64_t sizes[][2] = { { 0, 5 },	 { 5, 0 },     { 1, 1 },      { 3, 13 },
					    { 13, 3 },	 { 127, 129 }, { 300, 1000 }, { 1000, 300 },
					    { 4, 5000 }, { 5000, 4 },  { 40, 2500 } };

	for (size_t i = 0; i < MOKA_COUNT(sizes); i++)
		for (int v = 0; v < 12; v++) {
			const bool trans = v & 1;
			const int64_t rows = sizes[i][0], columns = sizes[i][1], lda = columns + v % 3;
			const int64_t ny = trans ? columns : rows, nx = trans ? rows : columns;
			const real beta = v % 3 == 0 ? 0 : v % 3 == 1 ? 1 : (real)-0.5, alpha = v < 6 ? 1 : (real)0.7;
			real *a = numbers(rows * lda, 1), *x = numbers(nx, 2), *y0 = numbers(ny, 3);
			real *want = malloc((size_t)ny * sizeof(real) + 1),
			     *got = malloc((size_t)ny * sizeof(real) + 1),
			     *first = malloc((size_t)ny * sizeof(real) + 1);

			for (int64_t k = 0; k < ny && beta == 0; k++)
				y0[k] = (real)NAN;
			memcpy(want, y0, (size_t)ny * sizeof(real));
			moka_gemm_ref(trans, false, ny, 1, nx, alpha, a, lda, x, 1, beta, want, 1);
			for (int p = 0; p < 3; p++) {
				memcpy(got, y0, (size_t)ny * sizeof(real));
				moka_gemv(pools[p], trans, rows, columns, alpha, a, lda, x, beta, got);
				T_NEAR(got, want, ny, 1e-5, 2e-6 * (1 + sqrt((double)nx)));
				if (p == 0)
					memcpy(first, got, (size_t)ny * sizeof(real));
				T_TRUE(!memcmp(first, got, (size_t)ny * sizeof(real)));
			}
			free(a), free(x), free(y0), free(want), free(got), free(first);
		}
}

/* ---- a product that is handed out ---------------------------------------------------------------------------- */

struct handed {
	real *c;
	unsigned char *told;
	int64_t n;
};

static void take(void *arg, int64_t at, int64_t count, real *values)
{
	struct handed *h = arg;

	for (int64_t i = 0; i < count; i++) {
		if (values) {
			h->c[at + i] += h->told[at + i] == 1 ? values[i] : (real)NAN; /* once, and announced */
			values[i] = GUARD;
		}
		h->told[at + i]++;
	}
}

T_TEST(handed_out_as_it_is_made)
{
	static const int64_t sizes[][3] = { { 1, 1, 1 },   { 3, 50, 2 },      { 8, 48, 16 },
					    { 9, 49, 17 }, { 127, 300, 5 },   { 40, 5000, 1 },
					    { 5, 1, 600 }, { 33, 1100, 450 }, { 70, 777, 193 } };

	for (size_t i = 0; i < MOKA_COUNT(sizes); i++) {
		const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
		real *a = numbers(k * m, 1), *b = numbers(k * n, 2), *want = malloc((size_t)(m * n) * sizeof(real));
		struct handed h = { malloc((size_t)(m * n) * sizeof(real)), malloc((size_t)(m * n)), n };

		for (int v = 0; v < 3 * (int)MOKA_COUNT(isas); v++) {
			moka_gemm(pools[v % 3], spaces[v / 3], true, false, m, n, k, 1, a, m, b, n, 0, want, n);
			memset(h.c, 0, (size_t)(m * n) * sizeof(real));
			memset(h.told, 0, (size_t)(m * n));
			T_TRUE(moka_gemm_outer(pools[v % 3], spaces[v / 3], m, n, k, a, b, take, &h));
			for (int64_t x = 0; x < m * n; x++)
				T_TRUE(h.told[x] == 2);
			if (m > 1 && n > 1) /* vectors are summed another way */
				T_TRUE(!memcmp(h.c, want, (size_t)(m * n) * sizeof(real)));
			T_NEAR(h.c, want, m * n, 1e-5, 2e-6 * (1 + sqrt((double)k)));
		}
		free(a), free(b), free(want), free(h.c), free(h.told);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(small_sizes_in_every_combination),
	T_CASE(sizes_around_the_tiles),
	T_CASE(alpha_and_beta),
	T_CASE(work_that_is_shared),
	T_CASE(alpha_zero_reads_nothing),
	T_CASE(matrix_times_vector),
	T_CASE(handed_out_as_it_is_made),
};

int main(int argc, char **argv)
{
	int status;

	set_up();
	status = t_main(argc, argv, tests, MOKA_COUNT(tests));
	tear_down();
	return status;
}
