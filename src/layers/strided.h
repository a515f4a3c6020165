/*
 * strided.h - copies a blob whose values are taken in another order: what Permute, Transpose, ShuffleChannel,
 * Reverse and Flip are made of.
 *
 * The destination is dense with `n` axes of `size`; one step along its axis i is `stride[i]` values in the source (negative:
 * backwards), whose first value taken is at `offset`. Every value of the source is taken once.
 *
 * Used by layer files only.
 */
#ifndef MOKA_LAYERS_STRIDED_H
#define MOKA_LAYERS_STRIDED_H

#include "layer.h"

struct moka__strided {
	int n;
	int64_t offset;
	int64_t size[MOKA_MAX_AXES], stride[MOKA_MAX_AXES];
};

/* The blob of that shape as it lies. A shape that isn't known fully makes one that isn't run. */
void moka__strided_plain(struct moka__strided *v, const struct moka_shape *s);
/* Axis i runs backwards. */
void moka__strided_reverse(struct moka__strided *v, int i);

void moka__strided_copy(struct moka_pool *pool, const struct moka__strided *v, const real *src, real *dst);
/* The way back, for gradients: dst, in the source's order, from src in the destination's; src NULL: zeros. */
void moka__strided_back(struct moka_pool *pool, const struct moka__strided *v, const real *src, real *dst);

#endif
