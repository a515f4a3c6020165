/*
 * conv_train_plan.h - a planned convolution of training, as the files of its passes see it (conv_train.c, conv_train_pack.c,
 * conv_train_weights.c). It is read-only while it runs.
 */
#ifndef MOKA_KERNELS_CONV_TRAIN_PLAN_H
#define MOKA_KERNELS_CONV_TRAIN_PLAN_H

#include "conv_op.h"
#include "conv_train.h"

/*
 * One convolution of a pass. Forward has one. The gradient of data has one for each phase of the strides: the places of dx
 * that see the same taps; a phase that no tap sees has no operation, its places are zero.
 */
struct moka__conv_phase {
	struct moka_conv_op *op;
	int64_t from[2]; /* first row and column of dx */
	int64_t *taps;	 /* which tap of w each tap of op is */
	bool turned;	 /* op's outputs are w's channels */
};

/* How the gradient of weights is cut. */
struct moka__conv_weights {
	struct moka__conv_group *groups; /* blocks of outputs at a time; .weights: where their sums begin */
	int64_t n_groups, n_weights;	 /* values of all sums: [group][in block][tap][B][block][B], or [group][step][block][B] */
	int64_t steps;			 /* from plain images: (channel, tap) pairs in whole tiles; else 0 */
	int64_t band_images, band_rows;	 /* places that are worked on before the next: whole images, or rows of one */
	int64_t image_bands, row_bands;
	int64_t chunk;	/* blocks of inputs that stay near while all outputs pass */
	int64_t pieces; /* of the bands: each has sums of its own, added in order */
};

struct moka_conv_train {
	struct moka_conv_train_desc d;
	const struct moka__blocked_kernels *k;
	int64_t out[2], taps, in_blocks, out_blocks;
	bool first; /* x is read plain, by steps (conv_first.c) */
	struct moka__conv_phase forward;
	struct moka__conv_phase *data;
	int64_t n_data;
	struct moka__conv_weights weights;
};

/* Packs w (d.outputs, d.channels / group, taps) for one operation into `to`, op->n_weights values; slots: moka__conv_train_slot() bytes a thread. */
void moka__conv_train_pack(const struct moka_conv_train *t, const struct moka__conv_phase *p, struct moka_pool *pool,
			   const real *w, real *to, char *slots);
size_t moka__conv_train_slot(const struct moka_conv_train *t);

bool moka__conv_weights_plan(struct moka_conv_train *t);
size_t moka__conv_weights_scratch(const struct moka_conv_train *t, int threads);
/* x and dy as the plan reads them: dy blocked, x blocked unless t->first. */
void moka__conv_weights_run(const struct moka_conv_train *t, struct moka_pool *pool, const struct moka_tensor *x,
			    const struct moka_tensor *dy, real *dw, real *db, char *scratch);

#endif
