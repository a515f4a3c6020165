/*
 * gemm_avx512.c - micro-kernels for AVX-512: tiles of 8 x 48, in 24 of the 32 registers. Each step makes 24
 * multiply-adds out of 11 loads, so the two ports for arithmetic stay the limit.
 */
#include "gemm.h"

#ifndef MOKA_REAL_DOUBLE

#include <immintrin.h>

#define VEC __m512
#define VLEN 16
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SPLAT(x) _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define ADD(a, b) _mm512_add_ps(a, b)
#define SUM(v) _mm512_reduce_add_ps(v)
#define DOTS_ROWS 4
#define DOTS_COLUMNS 6
#define TILE_NAME f32_gemm_avx512
#define TILE_MR 8
#define TILE_VECTORS 3
#define SPREAD_DEPTH 8
#include "gemm_tile.h"
#include "transpose_avx.h"

// clang-format off
TILE_DEFINE_ROW(1)
TILE_DEFINE_ROW(2)
TILE_DEFINE_ROW(4)
TILE_DEFINE_ROW(8)
FLAT_DEFINE_ROW(4)
FLAT_DEFINE_ROW(8)
DOTS_DEFINE_ROW(1)
DOTS_DEFINE_ROW(4)
DOTS_DEFINE(1, 5)
DOTS_DEFINE(1, 6)
DOTS_DEFINE(4, 5)
DOTS_DEFINE(4, 6)
SPREAD_DEFINE(1)
SPREAD_DEFINE(8)

const struct moka__gemm_kernels moka__gemm_avx512 = {
	.name = "avx512", .mr = 8, .vector = VLEN, .vectors = 3,
	.kc = 192, .mc = 256, .panels = 4,
	.rows = { TILE_LIST_ROW(rows, 1), TILE_LIST_ROW(rows, 2), TILE_LIST_ROW(rows, 4), TILE_LIST_ROW(rows, 8) },
	.columns = { TILE_LIST_ROW(columns, 1), TILE_LIST_ROW(columns, 2), TILE_LIST_ROW(columns, 4),
		     TILE_LIST_ROW(columns, 8) },
	.flat = { TILE_LIST_ROW(flat, 4), TILE_LIST_ROW(flat, 8) },
	.dot = dot,
	.dots_rows = DOTS_ROWS, .dots_columns = DOTS_COLUMNS,
	.dots = { { DOTS_LIST_ROW(1), TILE_FN(dots, 1, 5), TILE_FN(dots, 1, 6) },
		  { DOTS_LIST_ROW(4), TILE_FN(dots, 4, 5), TILE_FN(dots, 4, 6) } },
	.spread_depth = 8, .spread = { TILE_FN(spread, 1, 2), TILE_FN(spread, 8, 2) },
	.transpose = transpose_avx,
};
// clang-format on

#endif
