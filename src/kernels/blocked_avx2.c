/*
 * blocked_avx2.c - blocked kernels for AVX2: tiles of 6 places by 2 blocks or 4 by 3, in 12 of the 16 registers.
 */
#include "blocked_train_kernels.h"

#ifndef MOKA_REAL_DOUBLE

#include <float.h>
#include <immintrin.h>
#include <string.h>

/* Pairs, quadruples within halves, then the halves change places. */
static void transpose(const float *const *in, float *const *out, bool add)
{
	__m256 r[8], s[8];

#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		r[i] = _mm256_loadu_ps(in[i]);
#pragma GCC unroll 8
	for (int i = 0; i < 8; i += 2) {
		s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
		s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
		for (int h = 0; h < 2; h++) {
			r[i + 2 * h] = _mm256_shuffle_ps(s[i + h], s[i + 2 + h], 0x44);
			r[i + 2 * h + 1] = _mm256_shuffle_ps(s[i + h], s[i + 2 + h], 0xee);
		}
#pragma GCC unroll 8
	for (int i = 0; i < 4; i++) {
		s[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
		s[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
	}
	if (add) {
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			s[i] = _mm256_add_ps(s[i], _mm256_loadu_ps(out[i]));
	}
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		_mm256_storeu_ps(out[i], s[i]);
}

#define VEC __m256
#define VLEN 8
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define STREAM(p, v) _mm256_stream_ps(p, v)
#define STREAM_END() _mm_sfence()
#define SPLAT(x) _mm256_set1_ps((float)(x))
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define ADD(a, b) _mm256_add_ps(a, b)
#define SUB(a, b) _mm256_sub_ps(a, b)
#define MAX(a, b) _mm256_max_ps(a, b)
#define MIN(a, b) _mm256_min_ps(a, b)
#define DIV(a, b) _mm256_div_ps(a, b)
#define KEEP(v) __asm__("" : "+v"(v))
#define SQRT(a) _mm256_sqrt_ps(a)
#define IF_GT(a, b, x, y) _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ))
#define IF_EQ(a, b, x, y) _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_EQ_OQ))
#define NAME moka__blocked_avx2
#define MOST_GROUP 3
#define WEIGHTS1 8
#define WEIGHTS2 4
#define WEIGHTS3 4
#define PLACES_LIST                                                                                                    \
	{                                                                                                              \
		8, 6, 4, 0                                                                                             \
	}
#define TRAIN_NAME moka__train_avx2
#include "blocked_text.h"
#include "train_text.h"

#endif
