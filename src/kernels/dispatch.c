/*
 * dispatch.c - which micro-kernels a machine gets.
 */
#include "gemm.h"

const struct moka__gemm_kernels *moka__gemm_choose(enum moka_isa isa)
{
#if defined(__x86_64__) && !defined(MOKA_REAL_DOUBLE)
	if (isa == MOKA_ISA_AVX512)
		return &moka__gemm_avx512;
	if (isa == MOKA_ISA_AVX2)
		return &moka__gemm_avx2;
#elif defined(__aarch64__) && !defined(MOKA_REAL_DOUBLE)
	if (isa == MOKA_ISA_NEON)
		return &moka__gemm_neon;
#endif
	(void)isa;
	return &moka__gemm_portable;
}
