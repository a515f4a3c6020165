/*
 * pool_nd.h - pooling over any number of axes, of every how-manieth value: what Pooling falls back on where there are
 * not two plain axes, and PoolingND.
 */
#ifndef MOKA_LAYERS_POOL_ND_H
#define MOKA_LAYERS_POOL_ND_H

#include "layer.h"

#define MOKA__POOL_AXES 8
enum { MOKA__POOL_MIN = 3 }; /* beside MOKA__POOL_MAX, _AVE (pool.h) */

/* `planes` blocks of `in` values (axes of them) are pooled to `out`, densely packed. */
struct moka__pool_nd {
	int axes, method;
	int64_t planes, in_count, out_count;
	int64_t in[MOKA__POOL_AXES], out[MOKA__POOL_AXES];
	int64_t kernel[MOKA__POOL_AXES], stride[MOKA__POOL_AXES], pad[MOKA__POOL_AXES], dilation[MOKA__POOL_AXES];
};

/* mask (where the value stood in its block, -1 nowhere; MAX and MIN) is laid out as y and may be NULL; top_mask: as numbers. */
void moka__pool_nd(struct moka_pool *pool, const struct moka__pool_nd *g, const real *x, real *y, int32_t *mask,
		   real *top_mask);
/* dx is overwritten; dy may be NULL. */
void moka__pool_nd_gradient(struct moka_pool *pool, const struct moka__pool_nd *g, const real *dy, const int32_t *mask,
			    real *dx);

#endif
