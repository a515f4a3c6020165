/*
 * gemm_neon.c - micro-kernels for NEON, as every 64-bit ARM has it: tiles of 8 x 12, in 24 of the 32 registers, three for B. Each step
 * makes 24 multiply-adds out of 11 loads; a value of A is loaded alone and multiplied as a lane, since a load that fills a vector
 * with one value takes its turn in the units that multiply.
 */
#include "gemm.h"

#ifndef MOKA_REAL_DOUBLE

#include <arm_neon.h>

#define VEC float32x4_t
#define VLEN 4
#define LOAD(p) vld1q_f32(p)
#define STORE(p, v) vst1q_f32(p, v)
#define SPLAT(x) vdupq_n_f32(x)
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define MUL(a, b) vmulq_f32(a, b)
#define ADD(a, b) vaddq_f32(a, b)
#define SUM(v) vaddvq_f32(v)
#define DOTS_ROWS 4
#define DOTS_COLUMNS 4
#define TILE_NAME f32_gemm_neon
#define TILE_MR 8
#define TILE_VECTORS 3
#define SPREAD_DEPTH 8
#include "gemm_tile.h"

/* Four by four: pairs, then pairs of pairs. */
static inline void transpose_4x4(const float *in, int64_t ldin, float *out, int64_t ldout)
{
	const float32x4_t r0 = LOAD(in), r1 = LOAD(in + ldin), r2 = LOAD(in + 2 * ldin), r3 = LOAD(in + 3 * ldin);
	const float32x4_t a = vzip1q_f32(r0, r2), b = vzip2q_f32(r0, r2), c = vzip1q_f32(r1, r3),
			  d = vzip2q_f32(r1, r3);

	STORE(out, vzip1q_f32(a, c));
	STORE(out + ldout, vzip2q_f32(a, c));
	STORE(out + 2 * ldout, vzip1q_f32(b, d));
	STORE(out + 3 * ldout, vzip2q_f32(b, d));
}

static void transpose(int64_t n, int64_t k, const real *in, int64_t ldin, real *out, int64_t ldout)
{
	int64_t i = 0;

	for (; i + 4 <= n; i += 4) {
		int64_t p = 0;
		for (; p + 4 <= k; p += 4)
			transpose_4x4(in + i * ldin + p, ldin, out + p * ldout + i, ldout);
		for (; p < k; p++)
			for (int64_t r = i; r < i + 4; r++)
				out[p * ldout + r] = in[r * ldin + p];
	}
	for (; i < n; i++)
		for (int64_t p = 0; p < k; p++)
			out[p * ldout + i] = in[i * ldin + p];
}

// clang-format off
TILE_DEFINE_ROW(1)
TILE_DEFINE_ROW(2)
TILE_DEFINE_ROW(4)
TILE_DEFINE_ROW(8)
FLAT_DEFINE_ROW(4)
FLAT_DEFINE_ROW(8)
DOTS_DEFINE_ROW(1)
DOTS_DEFINE_ROW(4)
SPREAD_DEFINE(1)
SPREAD_DEFINE(8)

const struct moka__gemm_kernels moka__gemm_neon = {
	.name = "neon", .mr = 8, .vector = VLEN, .vectors = 3,
	.kc = 256, .mc = 128, .panels = 16,
	.rows = { TILE_LIST_ROW(rows, 1), TILE_LIST_ROW(rows, 2), TILE_LIST_ROW(rows, 4), TILE_LIST_ROW(rows, 8) },
	.columns = { TILE_LIST_ROW(columns, 1), TILE_LIST_ROW(columns, 2), TILE_LIST_ROW(columns, 4),
		     TILE_LIST_ROW(columns, 8) },
	.flat = { TILE_LIST_ROW(flat, 4), TILE_LIST_ROW(flat, 8) },
	.dot = dot,
	.dots_rows = DOTS_ROWS, .dots_columns = DOTS_COLUMNS,
	.dots = { { DOTS_LIST_ROW(1) },
		  { DOTS_LIST_ROW(4) } },
	.spread_depth = 8, .spread = { TILE_FN(spread, 1, 2), TILE_FN(spread, 8, 2) },
	.transpose = transpose,
};
// clang-format on

#endif
