/*
 * transpose_avx.h - transposing a float matrix by 8 x 8 blocks in registers; included by the files built for AVX.
 */
#ifndef MOKA_KERNELS_TRANSPOSE_AVX_H
#define MOKA_KERNELS_TRANSPOSE_AVX_H

#include <immintrin.h>
#include <stdint.h>

/* out[p][i] = in[i][p] for 8 x 8 values: pairs, then quadruples within halves, then the halves change places. */
static inline void transpose_8x8(const float *in, int64_t ldin, float *out, int64_t ldout)
{
	__m256 r[8], s[8];

	for (int i = 0; i < 8; i++)
		r[i] = _mm256_loadu_ps(in + i * ldin);
	for (int i = 0; i < 8; i += 2) {
		s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
		s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
	}
	for (int i = 0; i < 8; i += 4)
		for (int h = 0; h < 2; h++) {
			r[i + 2 * h] = _mm256_shuffle_ps(s[i + h], s[i + 2 + h], _MM_SHUFFLE(1, 0, 1, 0));
			r[i + 2 * h + 1] = _mm256_shuffle_ps(s[i + h], s[i + 2 + h], _MM_SHUFFLE(3, 2, 3, 2));
		}
	for (int i = 0; i < 4; i++) {
		_mm256_storeu_ps(out + i * ldout, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
		_mm256_storeu_ps(out + (i + 4) * ldout, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
	}
}

/* out[p * ldout + i] = in[i * ldin + p] for i < n, p < k. */
static void transpose_avx(int64_t n, int64_t k, const float *in, int64_t ldin, float *out, int64_t ldout)
{
	int64_t i = 0;

	for (; i + 8 <= n; i += 8) {
		int64_t p = 0;
		for (; p + 8 <= k; p += 8)
			transpose_8x8(in + i * ldin + p, ldin, out + p * ldout + i, ldout);
		for (; p < k; p++)
			for (int64_t r = i; r < i + 8; r++)
				out[p * ldout + r] = in[r * ldin + p];
	}
	for (; i < n; i++)
		for (int64_t p = 0; p < k; p++)
			out[p * ldout + i] = in[i * ldin + p];
}

#endif
