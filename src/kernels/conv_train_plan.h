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
	bool late;	 /* Winograd's weights are made as they are needed */
	bool turned;	 /* op's outputs are w's channels */
	bool scatter;	 /* done by conv_train_scatter.c: weights lie as [group][tap][in block][B][block][B] */
	bool spread;	 /* done by conv_train_spread.c: taps are in w's order */
};

/* How the gradient of weights is cut. */
struct moka__conv_weights {
	struct moka__conv_group *groups; /* blocks of outputs at a time; .weights: where their sums begin */
	int64_t n_groups,
		n_weights; /* values of all sums: [group][in block][tap][B][block][B], or [group][step][block][B] */
	int64_t steps;	   /* from plain images: (channel, tap) pairs in whole tiles; else 0 */
	int64_t band_images, band_rows; /* places that are worked on before the next: whole images, or rows of one */
	int64_t image_bands, row_bands;
	int64_t chunk;	/* blocks of inputs that stay near while all outputs pass */
	int64_t pieces; /* of the bands: each has sums of its own, added in order */
};

/* The gradient of weights by Winograd's algorithms read backwards (conv_train_winograd.c). */
struct moka__conv_wino {
	bool used;
	enum moka__wino_form form;
	int64_t tile, size, points;   /* outputs of a tile's side, and what they see; size * size */
	int64_t rows, columns, tiles; /* of an image; of all images */
	int64_t bands;		      /* tiles are worked on in so many turns */
	int64_t ins; /* blocks of inputs of a chunk; a chunk's groups: as many as have so many blocks */
	int64_t chunks_out, chunks_in;
	int64_t n_sums; /* values of all sums */
};

/* Of one group of channels: d.group is 1, d.channels and d.outputs are the group's own. */
struct moka_conv_train {
	struct moka_conv_train_desc d;
	int64_t groups;
	const struct moka__blocked_kernels *k;
	int64_t out[2], taps, in_blocks, out_blocks;
	bool first; /* x is read plain, by steps (conv_first.c) */
	bool flat; /* forward goes by conv_flat.c, places side by side: both sides are plain, and blocks would be half empty */
	struct moka_conv_geometry plain; /* if so */
	struct moka__conv_phase forward;
	struct moka__conv_phase *data;
	int64_t n_data;
	struct moka__conv_weights weights;
	struct moka__conv_wino wino;
};

/* Packs w (d.outputs, d.channels, taps) for one operation into `to`, op->n_weights values; slots: moka__conv_train_slot() bytes a thread. */
void moka__conv_train_pack(const struct moka_conv_train *t, const struct moka__conv_phase *p, struct moka_pool *pool,
			   const real *w, real *to, char *slots);
/* Runs a phase by Winograd with its weights made late; slots as above. */
void moka__conv_train_run_late(const struct moka_conv_train *t, const struct moka__conv_phase *p, const real *w,
			       const struct moka__conv_run *r, char *slots);
size_t moka__conv_train_slot(const struct moka_conv_train *t);

bool moka__conv_scatter_pays(const struct moka_conv_train *t);
size_t moka__conv_scatter_scratch(const struct moka_conv_train *t, int threads);
/* dx as the caller has it, dy too. */
void moka__conv_scatter_run(const struct moka_conv_train *t, const struct moka__conv_phase *p, struct moka_pool *pool,
			    const real *weights, const struct moka_tensor *dy, const struct moka_tensor *dx,
			    char *scratch);

bool moka__conv_spread_pays(const struct moka_conv_train *t);
size_t moka__conv_spread_scratch(const struct moka_conv_train *t, const struct moka__conv_phase *p, int threads);
void moka__conv_spread_run(const struct moka_conv_train *t, const struct moka__conv_phase *p, struct moka_pool *pool,
			   const real *weights, const struct moka_tensor *dy, const struct moka_tensor *dx,
			   char *scratch);

bool moka__conv_weights_plan(struct moka_conv_train *t);
size_t moka__conv_weights_scratch(const struct moka_conv_train *t, int threads);
/* x and dy as the plan reads them: dy blocked, x blocked unless t->first. */
void moka__conv_weights_run(const struct moka_conv_train *t, struct moka_pool *pool, const struct moka_tensor *x,
			    const struct moka_tensor *dy, real *dw, real *db, char *scratch);

/* A square kernel without stride or dilation. */
bool moka__conv_is_dense(const struct moka_conv_train_desc *d, int64_t side);
/* Decides whether Winograd is used, after moka__conv_weights_plan(). */
void moka__conv_wino_plan(struct moka_conv_train *t);
size_t moka__conv_wino_scratch(const struct moka_conv_train *t, int threads);
void moka__conv_wino_run(const struct moka_conv_train *t, struct moka_pool *pool, const struct moka_tensor *x,
			 const struct moka_tensor *dy, real *dw, real *db, char *scratch);
/*
 * Rows of sums, `n` <= B of them (pairs of channel and tap in dw's order, one vector over outputs each), are added to dw: outputs of
 * block `block`, pairs from `at` on. box: room for B * B values.
 */
void moka__conv_add_rows(const struct moka_conv_train *t, real *dw, const real *const *rows, int64_t n, int64_t block,
			 int64_t at, real *box);

#endif
