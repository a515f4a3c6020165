/*
 * inner_product.h - the fully connected layer: what InnerProduct and SparseInnerProduct share.
 */
#ifndef MOKA_LAYERS_INNER_PRODUCT_H
#define MOKA_LAYERS_INNER_PRODUCT_H

#include "layer.h"

extern const struct moka_message moka__inner_product_message;
enum moka_status moka__inner_product_shape(struct moka_layer *l, struct moka_findings *f);
enum moka_status moka__inner_product_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__inner_product_backward(const struct moka_layer *l, struct moka_call *c);

#endif
