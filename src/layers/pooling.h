/*
 * pooling.h - Pooling's fields and passes, which PoolingND has too.
 */
#ifndef MOKA_LAYERS_POOLING_H
#define MOKA_LAYERS_POOLING_H

#include "layer.h"

extern const struct moka_message moka__pooling_message;
enum moka_status moka__pooling_shape(struct moka_layer *l, struct moka_findings *f);
enum moka_status moka__pooling_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__pooling_backward(const struct moka_layer *l, struct moka_call *c);

#endif
