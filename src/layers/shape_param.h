/*
 * shape_param.h - a BlobShape of a file as a shape.
 */
#ifndef MOKA_LAYERS_SHAPE_PARAM_H
#define MOKA_LAYERS_SHAPE_PARAM_H

#include "layer.h"

/* p may be NULL: a scalar. A negative dimension, or too many, is a finding at `field`. */
enum moka_status moka__shape_from_param(const struct moka_layer *l, struct moka_findings *f, const char *field,
					const struct moka_shape_param *p, struct moka_shape *out);

#endif
