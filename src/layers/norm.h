/*
 * norm.h - what the forks' batch normalisations (BN, DenseBlock) share: statistics of channels, applying them, the
 * gradient.
 *
 * x is (num, channels, inner), its items `item` values apart, so that the first channels of a wider blob can be taken.
 * Sums are made channel by channel in double precision: the same for any number of threads.
 *
 * Used by layer files only.
 */
#ifndef MOKA_LAYERS_NORM_H
#define MOKA_LAYERS_NORM_H

#include "layer.h"

struct moka__norm {
	int64_t num, channels, inner, item;
};

/* Mean and variance (of num * inner values, not one less) of each channel. */
void moka__norm_statistics(struct moka_pool *pool, const struct moka__norm *v, const real *x, real *mean,
			   real *variance);
/* inverse[i] = 1 / sqrt(variance[i] + eps); the two may be the same memory. */
void moka__norm_inverse(int64_t channels, const real *variance, real eps, real *inverse);

/* y = (x - mean) * inverse * scale + shift, y's items `y_item` values apart; relu: at least 0. x and y may be the same. */
struct moka__norm_apply {
	const real *x, *mean, *inverse, *scale, *shift;
	real *y;
	int64_t y_item;
	bool relu;
};
void moka__norm_apply(struct moka_pool *pool, const struct moka__norm *v, const struct moka__norm_apply *a);

/*
 * dy has items `dy_item` apart. dscale and dshift (may be NULL) are added to; dx (may be NULL; laid out as x) is overwritten, or
 * added to. fixed: mean and inverse don't depend on x; unbiased: inverse is of the variance of num * inner - 1. dx may be dy where both have x's layout.
 */
struct moka__norm_gradient {
	const real *x, *dy, *mean, *inverse, *scale;
	int64_t dy_item;
	bool fixed, unbiased, add;
	real *dx, *dscale, *dshift;
};
void moka__norm_gradient(struct moka_pool *pool, const struct moka__norm *v, const struct moka__norm_gradient *g);

/* Normalize (normalize.c), which NormalizeBBox is another name of. */
extern const struct moka_message moka__normalize_message;
enum moka_status moka__normalize_shape(struct moka_layer *l, struct moka_findings *f);
enum moka_status moka__normalize_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__normalize_backward(const struct moka_layer *l, struct moka_call *c);

#endif
