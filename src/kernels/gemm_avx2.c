/*
 * gemm_avx2.c - micro-kernels for AVX2 with FMA: tiles of 4 x 24, in 12 of the 16 registers, three for B and one for
 * A. Each step makes 12 multiply-adds out of 7 loads.
 */
#include "gemm.h"

#ifndef MOKA_REAL_DOUBLE

#include <immintrin.h>

static inline float sum_of(__m256 v)
{
	const __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));

	return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

#define VEC __m256
#define VLEN 8
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define SPLAT(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define ADD(a, b) _mm256_add_ps(a, b)
#define SUM(v) sum_of(v)
#define DOTS_ROWS 3
#define DOTS_COLUMNS 4
#define TILE_NAME f32_gemm_avx2
#define TILE_MR 4
#define TILE_VECTORS 3
#define SPREAD_DEPTH 4
#include "gemm_tile.h"
#include "transpose_avx.h"

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

const struct moka__gemm_kernels moka__gemm_avx2 = {
	.name = "avx2", .mr = 4, .vector = VLEN, .vectors = 3,
	.kc = 256, .mc = 192, .panels = 12,
	.rows = { TILE_LIST_ROW(rows, 1), TILE_LIST_ROW(rows, 2), TILE_LIST_ROW(rows, 4) },
	.columns = { TILE_LIST_ROW(columns, 1), TILE_LIST_ROW(columns, 2), TILE_LIST_ROW(columns, 4) },
	.flat = { TILE_LIST_ROW(flat, 2), TILE_LIST_ROW(flat, 4) },
	.dot = dot,
	.dots_rows = DOTS_ROWS, .dots_columns = DOTS_COLUMNS,
	.dots = { { DOTS_LIST_ROW(1) },
		  { DOTS_LIST_ROW(3) } },
	.spread_depth = 4, .spread = { TILE_FN(spread, 1, 2), TILE_FN(spread, 4, 2) },
	.transpose = transpose_avx,
};
// clang-format on

#endif
