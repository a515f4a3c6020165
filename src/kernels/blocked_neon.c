/*
 * blocked_neon.c - blocked kernels for NEON, as every 64-bit ARM has it: blocks of 8 channels in two vectors of four, tiles of 8 places
 * by 1 block, 5 by 2 or 4 by 3, sums in 16 to 24 of the 32 registers. (6 by 2 fits, but gcc moves registers about to make it so.)
 *
 * Blocks of 4 would fit the vectors; blocks of 8 have half the taps to look up for as many multiply-adds, and are what AVX2
 * and the portable kernels take: no driver meets another block than 8 and 16. Four inputs of a place are loaded as one vector, and
 * weights multiplied by one lane of it: a load that fills a vector with one value takes its turn in the units that multiply.
 */
#include "blocked_kernels.h"
#include "blocked_train_kernels.h"
#include "unroll.h"

#ifndef MOKA_REAL_DOUBLE

#include <arm_neon.h>
#include <float.h>
#include <string.h>

typedef struct {
	float32x4_t a, b;
} oct;

// clang-format off
#define EASY static inline __attribute__((always_inline))
// clang-format on

EASY oct load(const float *p)
{
	return (oct){ vld1q_f32(p), vld1q_f32(p + 4) };
}

EASY void store(float *p, oct v)
{
	vst1q_f32(p, v.a);
	vst1q_f32(p + 4, v.b);
}

EASY oct splat(float x)
{
	return (oct){ vdupq_n_f32(x), vdupq_n_f32(x) };
}

EASY oct fma8(oct x, oct y, oct z)
{
	return (oct){ vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b) };
}

/* z + x[lane] * y; the lane is a constant once loops are unrolled */
EASY float32x4_t fma_lane(float32x4_t x, const int lane, float32x4_t y, float32x4_t z)
{
	switch (lane) {
	case 0:
		return vfmaq_laneq_f32(z, y, x, 0);
	case 1:
		return vfmaq_laneq_f32(z, y, x, 1);
	case 2:
		return vfmaq_laneq_f32(z, y, x, 2);
	default:
		return vfmaq_laneq_f32(z, y, x, 3);
	}
}

/*
 * One row of weights for block v by lane k of every place's inputs. In large tiles the halves come one after the other: sums, inputs
 * and one vector of weights are 31 registers then.
 */
EASY void tile_row(const int g, const int n, const float32x4_t *x, const int k, const float *w, oct *sum)
{
	const float32x4_t a = vld1q_f32(w);

	if (g * n < 10) {
		const float32x4_t b = vld1q_f32(w + 4);
		UNROLL
		for (int i = 0; i < n; i++) {
			sum[i * g].a = fma_lane(x[i], k, a, sum[i * g].a);
			sum[i * g].b = fma_lane(x[i], k, b, sum[i * g].b);
		}
	} else {
		UNROLL
		for (int i = 0; i < n; i++)
			sum[i * g].a = fma_lane(x[i], k, a, sum[i * g].a);
		const float32x4_t b = vld1q_f32(w + 4);
		UNROLL
		for (int i = 0; i < n; i++)
			sum[i * g].b = fma_lane(x[i], k, b, sum[i * g].b);
	}
}

EASY void tile_four(const int g, const int n, const float *const *p, int64_t at, const float *w, oct *sum)
{
	float32x4_t x[MOKA__PLACES];

	UNROLL
	for (int i = 0; i < n; i++)
		x[i] = vld1q_f32(p[i] + at);
	UNROLL
	for (int k = 0; k < 4; k++) {
		UNROLL
		for (int v = 0; v < g; v++)
			tile_row(g, n, x, k, w + (k * g + v) * 8, sum + v);
	}
}

#define EACH_HALF(name, f)                                                                                             \
	EASY oct name(oct x, oct y)                                                                                    \
	{                                                                                                              \
		return (oct){ f(x.a, y.a), f(x.b, y.b) };                                                              \
	}
EACH_HALF(mul8, vmulq_f32)
EACH_HALF(add8, vaddq_f32)
EACH_HALF(sub8, vsubq_f32)
EACH_HALF(max8, vmaxq_f32)
EACH_HALF(min8, vminq_f32)
EACH_HALF(div8, vdivq_f32)

EASY oct sqrt8(oct v)
{
	return (oct){ vsqrtq_f32(v.a), vsqrtq_f32(v.b) };
}

/* x where a > b (a == b), else y */
EASY oct if_gt(oct a, oct b, oct x, oct y)
{
	return (oct){ vbslq_f32(vcgtq_f32(a.a, b.a), x.a, y.a), vbslq_f32(vcgtq_f32(a.b, b.b), x.b, y.b) };
}

EASY oct if_eq(oct a, oct b, oct x, oct y)
{
	return (oct){ vbslq_f32(vceqq_f32(a.a, b.a), x.a, y.a), vbslq_f32(vceqq_f32(a.b, b.b), x.b, y.b) };
}

/* Four rows of four: pairs, then pairs of pairs. */
EASY void transpose4(const float *const *in, int64_t from, float *const *out, int64_t to, bool add)
{
	const float32x4_t r0 = vld1q_f32(in[0] + from), r1 = vld1q_f32(in[1] + from), r2 = vld1q_f32(in[2] + from),
			  r3 = vld1q_f32(in[3] + from);
	const float32x4_t a = vzip1q_f32(r0, r2), b = vzip2q_f32(r0, r2), c = vzip1q_f32(r1, r3),
			  d = vzip2q_f32(r1, r3);
	float32x4_t s[4] = { vzip1q_f32(a, c), vzip2q_f32(a, c), vzip1q_f32(b, d), vzip2q_f32(b, d) };

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		if (add)
			s[i] = vaddq_f32(s[i], vld1q_f32(out[i] + to));
		vst1q_f32(out[i] + to, s[i]);
	}
}

static void transpose(const float *const *in, float *const *out, bool add)
{
	transpose4(in, 0, out, 0, add);
	transpose4(in, 4, out + 4, 0, add);
	transpose4(in + 4, 0, out, 4, add);
	transpose4(in + 4, 4, out + 4, 4, add);
}

#define VEC oct
#define VLEN 8
#define LOAD(p) load(p)
#define STORE(p, v) store(p, v)
#define STREAM(p, v) STORE(p, v)
#define STREAM_END() ((void)0)
#define SPLAT(x) splat((float)(x))
#define FMA(a, b, c) fma8(a, b, c)
#define MUL(a, b) mul8(a, b)
#define ADD(a, b) add8(a, b)
#define SUB(a, b) sub8(a, b)
#define MAX(a, b) max8(a, b)
#define MIN(a, b) min8(a, b)
#define DIV(a, b) div8(a, b)
#define SQRT(a) sqrt8(a)
#define IF_GT(a, b, x, y) if_gt(a, b, x, y)
#define IF_EQ(a, b, x, y) if_eq(a, b, x, y)
#define KEEP(v) __asm__("" : "+w"((v).a), "+w"((v).b))
#define TILE_FOUR
#define NAME moka__blocked_neon
#define MOST_GROUP 3
#define WEIGHTS1 8
#define WEIGHTS2 4
#define WEIGHTS3 4
#define PLACES_LIST                                                                                                    \
	{                                                                                                              \
		8, 5, 4, 0                                                                                             \
	}
#define TRAIN_NAME moka__train_neon

#include "blocked_text.h"
#include "train_text.h"

#endif
