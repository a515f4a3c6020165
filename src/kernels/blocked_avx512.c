/*
 * blocked_avx512.c - blocked kernels for AVX-512: tiles of 6 places by 4 blocks or 8 by 3, in 24 of the 32 registers.
 */
#include "blocked_train_kernels.h"

#ifndef MOKA_REAL_DOUBLE

#include <float.h>
#include <immintrin.h>
#include <string.h>

/* Pairs, quadruples within quarters, then the quarters change places. */
static void transpose(const float *const *in, float *const *out, bool add)
{
	__m512 r[16], s[16];

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		r[i] = _mm512_loadu_ps(in[i]);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i += 2) {
		s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
		s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
	}
	/* r[4 q + c]: rows 4 q .. 4 q + 3, columns c, c + 4, c + 8, c + 12 */
#pragma GCC unroll 16
	for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
		for (int h = 0; h < 2; h++) {
			r[i + 2 * h] = _mm512_shuffle_ps(s[i + h], s[i + 2 + h], 0x44);
			r[i + 2 * h + 1] = _mm512_shuffle_ps(s[i + h], s[i + 2 + h], 0xee);
		}
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++) {
		const __m512 a = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88),
			     b = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd),
			     d = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88),
			     e = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
		s[c] = _mm512_shuffle_f32x4(a, d, 0x88);
		s[c + 8] = _mm512_shuffle_f32x4(a, d, 0xdd);
		s[c + 4] = _mm512_shuffle_f32x4(b, e, 0x88);
		s[c + 12] = _mm512_shuffle_f32x4(b, e, 0xdd);
	}
	if (add) {
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++)
			s[i] = _mm512_add_ps(s[i], _mm512_loadu_ps(out[i]));
	}
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		_mm512_storeu_ps(out[i], s[i]);
}

#define VEC __m512
#define VLEN 16
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define STREAM(p, v) _mm512_stream_ps(p, v)
#define STREAM_END() _mm_sfence()
#define SPLAT(x) _mm512_set1_ps((float)(x))
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define ADD(a, b) _mm512_add_ps(a, b)
#define SUB(a, b) _mm512_sub_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define MIN(a, b) _mm512_min_ps(a, b)
#define DIV(a, b) _mm512_div_ps(a, b)
#define KEEP(v) __asm__("" : "+v"(v))
#define SQRT(a) _mm512_sqrt_ps(a)
#define IF_GT(a, b, x, y) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x)
#define IF_EQ(a, b, x, y) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), y, x)
#define NAME moka__blocked_avx512
#define LOAD_FOUR(p) _mm512_broadcast_f32x4(_mm_loadu_ps(p))
#define SPLAT_OF_FOUR(v, k) _mm512_permute_ps(v, (k)*0x55)
#define MOST_GROUP 4
#define TWO_ROWS
#define WEIGHTS1 16
#define WEIGHTS2 8
#define WEIGHTS3 8
#define PLACES_LIST                                                                                                    \
	{                                                                                                              \
		8, 8, 8, 6                                                                                             \
	}
#define TRAIN_NAME moka__train_avx512
#include "blocked_text.h"
#include "train_text.h"

#endif
