/*
 * blocked_train.h - what training runs between its convolutions on channel-blocked images: normalisation by the batch, factors
 * of channels, pooling and normalisation across channels, each forward and back.
 *
 * Tensors are as in blocked.h, but hold whole blocks (channels % block == 0) and are never parts of others, so that each has as
 * many values as its plain form. Work is cut by image and block; sums are made in a fixed order, so that any number of threads
 * gives the same bits. Float only: in the double build moka_block() is 1 and nothing here is called.
 */
#ifndef MOKA_KERNELS_BLOCKED_TRAIN_H
#define MOKA_KERNELS_BLOCKED_TRAIN_H

#include "blocked.h"

/* ---- normalisation by the batch's statistics, a factor and a shift, and what ReLU makes of it: one step ------------ */

struct moka_norm {
	int64_t images, channels, area;
	int block;
	real eps;
	real slope;		   /* of the ReLU behind: v > 0 ? v : slope v. 1: none */
	const real *scale, *shift; /* one a channel; NULL: 1 and 0 */
	/* one a channel, written by forward and read by backward; deviation: root of variance + eps */
	real *mean, *variance, *deviation;
};
size_t moka_norm_scratch(const struct moka_norm *d); /* bytes, 64-byte aligned, for both passes */
/*
 * y = relu(scale * (x - mean) / deviation + shift). Sums of a band that the first cache holds are made about its own mean, and
 * bands are joined in double: one pass over memory, and no digits lost where the mean is far from 0. x and y may be the same.
 */
void moka_norm_forward(struct moka_pool *pool, const struct moka_norm *d, const real *x, real *y, void *scratch);
/*
 * From dy: dscale and dshift (added to; NULL: not wanted) and dx (overwritten, may be dy; NULL: not wanted). ReLU's sign is worked out
 * from x again, which is read anyway: y is not.
 */
void moka_norm_backward(struct moka_pool *pool, const struct moka_norm *d, const real *x, const real *dy, real *dscale,
			real *dshift, real *dx, void *scratch);
/*
 * The moving sums that BatchNorm keeps: each times `keep`, plus this batch's mean and its variance without bias (of `count` values
 * a channel); *divisor counts batches likewise.
 */
void moka_norm_keep(int64_t channels, int64_t count, real keep, const real *mean, const real *variance, real *mean_sum,
		    real *variance_sum, real *divisor);

/*
 * Whether results of so many values are more than is still in a cache when they are read: then they are stored past the caches, which spares
 * reading their lines first (the third cache of the machine this was measured on: 32 MB).
 */
static inline bool moka_past_caches(int64_t values)
{
	return values >= 1500000;
}
/* moka_sum_relu() of a part of such results. */
void moka_sum_relu_past(int64_t n, real a, const real *x, real b, const real *z, real slope, real *y);

/* ---- the others ------------------------------------------------------------------------------------------------ */

/* Of y = scale[channel] x + shift[channel]: as moka_norm_backward(); scale NULL: 1. scratch: channels doubles, twice a image. */
void moka_affine_backward(struct moka_pool *pool, const struct moka_tensor *x, const real *dy, const real *scale,
			  real *dscale, real *dshift, real *dx, void *scratch);
size_t moka_affine_scratch(const struct moka_tensor *x);

/* moka_pool2d() that also says which value of each window won (where: as many as y; for the gradient only). */
void moka_pool2d_where(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *x,
		       const struct moka_tensor *y, real *where);
/* dx overwritten; where: of MAX. */
void moka_pool2d_gradient(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *dy,
			  const real *where, const struct moka_tensor *dx);

/* moka_lrn_across() with beta 0.75 that keeps its brackets (as many as x), and its gradient. At most this many channels: */
#define MOKA_LRN_CHANNELS 2048
#define MOKA_LRN_WINDOW 63 /* and this size */
void moka_lrn_across_keep(struct moka_pool *pool, int64_t size, real alpha, real k, const struct moka_tensor *x,
			  real *bracket, real *y);
void moka_lrn_across_gradient(struct moka_pool *pool, int64_t size, real alpha, const struct moka_tensor *x,
			      const real *bracket, const real *y, const real *dy, real *dx);

#endif
