/*
 * op.h - what a layer is for inference, in the kernels' terms.
 *
 * A layer whose type has lower() says here what it computes in a test-time pass: a convolution of this geometry, a factor and a
 * shift for each channel, the larger of zero and its input. The plan (net/) joins, reorders and lays out such operations
 * without knowing any layer; a layer that says nothing runs as it is, on plain values.
 *
 * lower() is asked when every shape is known; it returns false where the layer's settings make it something else (a
 * BatchNorm that takes the batch's statistics, a Concat along another axis). Values of parameters are read later, through
 * the op, whenever the plan packs them.
 */
#ifndef MOKA_LAYERS_OP_H
#define MOKA_LAYERS_OP_H

#include "kernels/blocked.h"
#include "layer.h"

enum moka_op_kind {
	MOKA_OP_NONE,
	MOKA_OP_CONV,	/* 4 axes, one bottom */
	MOKA_OP_INNER,	/* rows of bottom times a matrix: bottom and top plain, channels on axis 1 of a top of 2 axes */
	MOKA_OP_AFFINE, /* top = scale[channel] bottom + shift[channel] */
	MOKA_OP_ACT,	/* value by value */
	MOKA_OP_ADD2,	/* a bottom0 + b bottom1 */
	MOKA_OP_CONCAT, /* along channels, 4 axes */
	MOKA_OP_SLICE,	/* likewise */
	MOKA_OP_POOL,	/* 4 axes */
	MOKA_OP_LRN,	/* across channels, 4 axes */
	MOKA_OP_NORM,	/* of training: by the batch's mean and deviation, 4 axes */
	MOKA_OP_IDENTITY, /* every top holds bottom 0's values in their order, perhaps in another shape */
};

struct moka_op {
	enum moka_op_kind kind;
	/* ACT; CONV: what follows it within the layer. A PReLU's slopes: parameter `slopes`, one for all where slopes_shared */
	struct moka_act act;
	int slopes;
	bool slopes_shared;
	union {
		struct {
			int64_t group, kernel[2], stride[2], pad[2], dilation[2];
			bool bias; /* parameter 1; the weights are parameter 0 */
		} conv;
		/* Fills scale and shift, `channels` values each, from the layer's parameters. */
		struct {
			int64_t channels;
			void (*values)(const struct moka_layer *l, const struct moka_view *param, real *scale,
				       real *shift);
			/* where these are parameters as they stand, which ones (-1: 1, or 0); else false */
			bool learned;
			int scale, shift;
		} affine;
		/* Kept sums are parameters 0 to 2 (mean, variance, divisor), of which `keep` stays; scale and shift: as above. */
		struct {
			real eps, keep;
			int scale, shift;
		} norm;
		struct {
			real a, b;
		} add;
		struct moka_pool_desc pool;
		struct {
			int64_t size;
			real alpha, beta, k;
		} lrn;
	};
};

/* ACT with max(x, 0) + slope min(x, 0), and with a value held between two bounds. */
static inline bool moka__op_relu(struct moka_op *op, real slope)
{
	op->kind = MOKA_OP_ACT;
	op->act = (struct moka_act){ .kind = MOKA_ACT_RELU, .slope = slope };
	return true;
}

static inline bool moka__op_clip(struct moka_op *op, real low, real high)
{
	op->kind = MOKA_OP_ACT;
	op->act = (struct moka_act){ .kind = MOKA_ACT_CLIP, .low = low, .high = high };
	return true;
}

/* IDENTITY, for every layer that only copies. */
static inline bool moka__op_identity(struct moka_op *op)
{
	op->kind = MOKA_OP_IDENTITY;
	return true;
}

#endif
