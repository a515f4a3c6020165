/*
 * blocks.h - copies of strided rows, cut into pieces for all threads: what Concat, Slice, Split, Reshape, Crop
 * and others are made of.
 */
#ifndef MOKA_LAYERS_BLOCKS_H
#define MOKA_LAYERS_BLOCKS_H

#include "layer.h"

/* `rows` rows of `size` values: row i goes from src + i * src_stride to dst + i * dst_stride. The arrays don't overlap, or are the same. */
void moka__copy_rows(struct moka_pool *pool, int64_t rows, int64_t size, const real *src, int64_t src_stride, real *dst,
		     int64_t dst_stride);
/* The same, added to dst. */
void moka__add_rows(struct moka_pool *pool, int64_t rows, int64_t size, const real *src, int64_t src_stride, real *dst,
		    int64_t dst_stride);
/* n values as they lie. */
void moka__copy(struct moka_pool *pool, int64_t n, const real *src, real *dst);
void moka__zero(struct moka_pool *pool, int64_t n, real *dst);

/* Crop (crop.c), which SimpleCrop is a case of. */
struct moka__crop_param {
	int32_t axis;
	struct moka_list offset; /* uint32_t */
};
enum moka_status moka__crop_shape(struct moka_layer *l, struct moka_findings *f);
enum moka_status moka__crop_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__crop_backward(const struct moka_layer *l, struct moka_call *c);

#endif
