/*
 * blocked_avx2.c - blocked kernels for AVX2: tiles of 6 places by 2 blocks or 4 by 3, in 12 of the 16 registers.
 */
#include "blocked_kernels.h"

#ifndef MOKA_REAL_DOUBLE

#include <float.h>
#include <immintrin.h>

#define VEC __m256
#define VLEN 8
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
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
#define NAME moka__blocked_avx2
#define MOST_GROUP 3
#define PLACES_LIST                                                                                                    \
	{                                                                                                              \
		8, 6, 4, 0                                                                                             \
	}
#include "blocked_text.h"

#endif
