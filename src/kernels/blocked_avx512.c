/*
 * blocked_avx512.c - blocked kernels for AVX-512: tiles of 6 places by 4 blocks or 8 by 3, in 24 of the 32 registers.
 */
#include "blocked_kernels.h"

#ifndef MOKA_REAL_DOUBLE

#include <float.h>
#include <immintrin.h>

#define VEC __m512
#define VLEN 16
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
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
#define NAME moka__blocked_avx512
#define MOST_GROUP 4
#define PLACES_LIST                                                                                                    \
	{                                                                                                              \
		8, 8, 8, 6                                                                                             \
	}
#include "blocked_text.h"

#endif
