/*
 * pool.h - pooling of planes: what Pooling, SPP and LRN (within a channel) share.
 */
#ifndef MOKA_LAYERS_POOL_H
#define MOKA_LAYERS_POOL_H

#include "layer.h"

enum { MOKA__POOL_MAX, MOKA__POOL_AVE, MOKA__POOL_STOCHASTIC };

/*
 * `planes` planes (h, w), densely packed, are pooled to (oh, ow). Plane p of the output lies at
 * (p / channels) * item_stride + (p % channels) * oh * ow, so that SPP's levels write straight into one row.
 */
struct moka__pool {
	int64_t planes, channels, item_stride;
	int64_t h, w, oh, ow;
	int64_t kh, kw, sh, sw, ph, pw;
};

/*
 * Pooled size of one axis: Caffe rounds up unless told otherwise, and drops a last window that would start in
 * the padding. Less than 1 where no window fits. All arguments under 2^40.
 */
int64_t moka__pool_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad, bool round_down);

/* mask (where the maximum stood in its plane, -1 nowhere) is laid out as y, may be NULL; top_mask: the same as numbers, may be NULL. */
void moka__pool_max(struct moka_pool *pool, const struct moka__pool *g, const real *x, real *y, int32_t *mask,
		    real *top_mask);
/* The divisor is the window's size with its padding, cut off where the padded plane ends. */
void moka__pool_ave(struct moka_pool *pool, const struct moka__pool *g, const real *x, real *y);
/* One value of each window by chance, in proportion to it; `draw` holds a number of [0, 1) for each output. */
void moka__pool_draw(struct moka_pool *pool, const struct moka__pool *g, const real *x, const real *draw, real *y,
		     int32_t *mask);
/* Its expectation: sum of x^2 / sum of x. */
void moka__pool_expect(struct moka_pool *pool, const struct moka__pool *g, const real *x, real *y);

/* Gradients are ADDED to dx. */
void moka__pool_mask_gradient(struct moka_pool *pool, const struct moka__pool *g, const real *dy, const int32_t *mask,
			      real *dx);
void moka__pool_ave_gradient(struct moka_pool *pool, const struct moka__pool *g, const real *dy, real *dx);
void moka__pool_expect_gradient(struct moka_pool *pool, const struct moka__pool *g, const real *x, const real *y,
				const real *dy, real *dx);

/*
 * A pyramid: `levels` poolings of one blob, level i into y + offset[i], by MAX (mask laid out as y, may be NULL) or AVE. The gradient
 * overwrites dx; dy may be NULL.
 */
void moka__pool_levels(struct moka_pool *pool, int levels, const struct moka__pool *level, const int64_t *offset,
		       bool max, const real *x, real *y, int32_t *mask);
void moka__pool_levels_gradient(struct moka_pool *pool, int levels, const struct moka__pool *level,
				const int64_t *offset, bool max, const real *dy, const int32_t *mask, int64_t count,
				real *dx);

/*
 * Undoing a pooling by its mask (places as numbers, bottom 1): `in` values of each plane go to their places among `out`, zeros elsewhere; of
 * values with one place the last stays. A place outside is data gone wrong: `hint` says what may be done.
 */
enum moka_status moka__pool_check_mask(const struct moka_layer *l, struct moka_call *c, int64_t in, int64_t oh,
				       int64_t ow, const char *hint);
void moka__pool_undo(struct moka_pool *pool, int64_t planes, int64_t in, int64_t out, const real *mask, const real *src,
		     real *dst);

#endif
