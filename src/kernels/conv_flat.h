/*
 * conv_flat.h - what the two files of convolutions over whole batches share.
 *
 * An image is copied once into planes with the padding around: rows of `width` values. A place in the output is then a flat
 * index into such a plane, and what a tap sees for many places in a row lies in a row: no columns are made. Places
 * where a row of the output has ended are computed too, and thrown away.
 *
 *     plane, 3x3 kernel:   0 0 0 0 0 0     output places  0 1 2 3 x x     value of tap (ky, kx) at place p:
 *                          0 a b c d 0                    6 7 8 9 x x     plane[p + ky * 6 + kx]
 *                          0 e f g h 0
 *                          0 0 0 0 0 0
 */
#ifndef MOKA_KERNELS_CONV_FLAT_H
#define MOKA_KERNELS_CONV_FLAT_H

#include "gemm.h"

#define MOKA__FLAT_MOST_TAPS 128

struct moka__flat {
	const struct moka_conv_geometry *g;
	int64_t width, plane;			   /* of the padded planes */
	int64_t taps, shift[MOKA__FLAT_MOST_TAPS]; /* flat, of each tap */
	int64_t slack;				   /* values that may be read behind the last plane */
};

/* False: more taps than fit. */
bool moka__flat_make(struct moka__flat *f, const struct moka_conv_geometry *g);
/* Planes of `channels` channels of one image, from channel c0 on. */
void moka__flat_pad(const struct moka__flat *f, const real *image, int64_t c0, int64_t channels, real *out);

#endif
