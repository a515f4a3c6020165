/*
 * dense_block.h - what the two files of DenseBlock share: its settings, its sizes, the blocks of its scratch.
 *
 * dense_block.c says what the layer is (fields, shapes, parameters), dense_block_run.c computes it.
 */
#ifndef MOKA_LAYERS_DENSE_BLOCK_H
#define MOKA_LAYERS_DENSE_BLOCK_H

#include "layer.h"

struct moka__dense_param {
	int32_t transitions, growth;
	const struct moka_filler_param *filter, *scaler, *bias;
	bool use_dropout, use_bc;
	float fraction, dropout;
};

struct moka__dense {
	int64_t n, c, h, w, t, g;
	int64_t plane, out; /* out: channels of the top */
	int64_t middle;	    /* 4 g with use_BC */
	bool bc;
};

/* Of one transition: what both passes make, then what only backward does. */
enum moka__dense_block {
	MOKA__DENSE_NORMAL,  /* (N, Ct, H, W): all channels so far, normalised and rectified */
	MOKA__DENSE_BETWEEN, /* (N, 4G, H, W): what the 1x1 convolution makes */
	MOKA__DENSE_MIDDLE,  /* the same, normalised and rectified */
	MOKA__DENSE_MADE,    /* (N, G, H, W): the channels that are added; backward: their gradient */
	MOKA__DENSE_TURNED,  /* the 3x3 filters, turned */
	MOKA__DENSE_MEAN,
	MOKA__DENSE_INVERSE,
	MOKA__DENSE_MEAN_MIDDLE,
	MOKA__DENSE_INVERSE_MIDDLE,
	MOKA__DENSE_WIDE, /* gradient of the top, to which each transition adds what reaches the channels before it */
	MOKA__DENSE_D_NORMAL, /* gradients of the blocks above */
	MOKA__DENSE_D_MIDDLE,
	MOKA__DENSE_D_TURNED,
	MOKA__DENSE_COLUMNS, /* of one image */
	MOKA__DENSE_BLOCKS
};
/* How many values each block has; -1 unknown. */
void moka__dense_sizes(const struct moka__dense *v, int64_t size[MOKA__DENSE_BLOCKS]);

enum moka_status moka__dense_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__dense_backward(const struct moka_layer *l, struct moka_call *c);

#endif
