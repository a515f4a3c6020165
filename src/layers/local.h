/*
 * local.h - locally connected convolution: what Local and its older name share.
 */
#ifndef MOKA_LAYERS_LOCAL_H
#define MOKA_LAYERS_LOCAL_H

#include "layer.h"

extern const struct moka_message moka__local_message;

/* plane_bias: a bias for each place of each output channel; else one for each channel. */
enum moka_status moka__local_shape(struct moka_layer *l, struct moka_findings *f, bool plane_bias);
enum moka_status moka__local_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__local_backward(const struct moka_layer *l, struct moka_call *c);

#endif
