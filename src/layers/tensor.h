/*
 * tensor.h - a layer's blob as the kernels over blocked images take it (kernels/blocked.h).
 */
#ifndef MOKA_LAYERS_TENSOR_H
#define MOKA_LAYERS_TENSOR_H

#include "kernels/blocked.h"
#include "layer.h"

/* A blob of 4 axes, images dense, in blocks of `block` channels (1, or 0 where nobody said: plain). data may be NULL. */
static inline struct moka_tensor moka__tensor(const struct moka_shape *s, int block, real *data)
{
	return (struct moka_tensor){
		data, s->d[0], s->d[1], s->d[2], s->d[3], MOKA_MAX(block, 1), s->d[1] * s->d[2] * s->d[3]
	};
}

#endif
