/*
 * conv.h - what im2col.c offers to conv.c.
 */
#ifndef MOKA_KERNELS_CONV_H
#define MOKA_KERNELS_CONV_H

#include "gemm.h"

int64_t moka__product(const int64_t *d, int n);
/* Where a tap looks from output 0, on each axis: tap * dilation - pad. */
void moka__tap_split(const struct moka_conv_geometry *g, int64_t tap, int64_t shift[MOKA_CONV_AXES]);
/* The source of columns that are never stored: straight from the image into panels. */
void moka__pack_columns(const struct moka__gemm_source *s, const struct moka__gemm_kernels *ops, int64_t p0, int64_t kc,
			int64_t j0, int64_t n, real *out);

#endif
