/*
 * gemm_portable.c - micro-kernels for any machine and for double: tiles of four rows by three 16-byte vectors, in the
 * vector notation that gcc and clang share.
 */
#include "gemm.h"

#include <string.h>

typedef real vec16 __attribute__((vector_size(16)));

static inline vec16 load(const real *p)
{
	vec16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store(real *p, vec16 v)
{
	memcpy(p, &v, sizeof(v));
}

static inline real sum_of(vec16 v)
{
	real sum = v[0];

	for (size_t i = 1; i < sizeof(v) / sizeof(v[0]); i++)
		sum += v[i];
	return sum;
}

#define VEC vec16
#define VLEN ((int)(16 / sizeof(real)))
#define LOAD(p) load(p)
#define STORE(p, v) store(p, v)
#define SPLAT(x) ((real)(x) - (vec16){ 0 }) /* minus, not plus: -0 stays -0 */
#define FMA(a, b, c) ((a) * (b) + (c))
#define MUL(a, b) ((a) * (b))
#define ADD(a, b) ((a) + (b))
#define SUM(v) sum_of(v)
#define DOTS_ROWS 3
#define DOTS_COLUMNS 4
#define TILE_NAME gemm_portable
#define TILE_MR 4
#define TILE_VECTORS 3
#define SPREAD_DEPTH 4
#include "gemm_tile.h"

static void transpose(int64_t n, int64_t k, const real *in, int64_t ldin, real *out, int64_t ldout)
{
	for (int64_t i = 0; i < n; i++)
		for (int64_t p = 0; p < k; p++)
			out[p * ldout + i] = in[i * ldin + p];
}

// clang-format off
TILE_DEFINE_ROW(1)
TILE_DEFINE_ROW(2)
TILE_DEFINE_ROW(4)
FLAT_DEFINE_ROW(2)
FLAT_DEFINE_ROW(4)
DOTS_DEFINE_ROW(1)
DOTS_DEFINE_ROW(3)
SPREAD_DEFINE(1)
SPREAD_DEFINE(4)

const struct moka__gemm_kernels moka__gemm_portable = {
	.name = "portable", .mr = 4, .vector = VLEN, .vectors = 3,
	.kc = 256, .mc = 128, .panels = 16,
	.rows = { TILE_LIST_ROW(rows, 1), TILE_LIST_ROW(rows, 2), TILE_LIST_ROW(rows, 4) },
	.columns = { TILE_LIST_ROW(columns, 1), TILE_LIST_ROW(columns, 2), TILE_LIST_ROW(columns, 4) },
	.flat = { TILE_LIST_ROW(flat, 2), TILE_LIST_ROW(flat, 4) },
	.dot = dot,
	.dots_rows = DOTS_ROWS, .dots_columns = DOTS_COLUMNS,
	.dots = { { DOTS_LIST_ROW(1) },
		  { DOTS_LIST_ROW(3) } },
	.spread_depth = 4, .spread = { TILE_FN(spread, 1, 2), TILE_FN(spread, 4, 2) },
	.transpose = transpose,
};
// clang-format on
