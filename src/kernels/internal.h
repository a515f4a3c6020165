/*
 * internal.h - what the files of kernels/ share with one another and with nobody else.
 */
#ifndef MOKA_KERNELS_INTERNAL_H
#define MOKA_KERNELS_INTERNAL_H

#include "kernels.h"

/* ---- cutting work ------------------------------------------------------------------------------------------------ */

static inline int64_t moka__ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

/* Where part i of `parts` of n begins, when they are dealt out evenly. */
static inline int64_t moka__part(int64_t n, int64_t parts, int64_t i)
{
	return n * i / parts;
}

/* ---- ref.c: the specifications. Plain loops, sums in double, no threads. ---------------------------------------- */

void moka__gemv_ref(bool trans, int64_t m, int64_t n, real alpha, const real *a, int64_t lda, const real *x, real beta,
		    real *y);
void moka__im2col_ref(const struct moka_conv_geometry *g, const real *image, real *col);
void moka__col2im_ref(const struct moka_conv_geometry *g, const real *col, real *image);
void moka__conv_forward_ref(const struct moka_conv_geometry *g, int64_t outputs, const real *w, const real *image,
			    const real *bias, real *y);
void moka__depthwise_forward_ref(const struct moka_conv_geometry *g, int64_t multiplier, const real *w,
				 const real *image, const real *bias, real *y);

#endif
