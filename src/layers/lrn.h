/*
 * lrn.h - local response normalisation: what LRN and LRN_MAP share.
 */
#ifndef MOKA_LAYERS_LRN_H
#define MOKA_LAYERS_LRN_H

#include "layer.h"

enum { MOKA__ACROSS_CHANNELS, MOKA__WITHIN_CHANNEL };

struct moka__lrn_param {
	uint32_t local_size;
	float alpha, beta, k;
	int norm_region;
};

/* l->param is a struct moka__lrn_param. */
enum moka_status moka__lrn_shape(struct moka_layer *l, struct moka_findings *f);
enum moka_status moka__lrn_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__lrn_backward(const struct moka_layer *l, struct moka_call *c);

#endif
