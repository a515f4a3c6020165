/*
 * conv_train.h - convolution for training over channel-blocked images (blocked.h): forward, and the gradients of data, weights
 * and bias. Weights and their gradients are plain (outputs, channels / group, kh, kw), as layers and solvers hold them; they are
 * packed anew in every pass, into the scratch.
 *
 * Planned once for sizes and layouts, read-only while it runs; any number of threads gives the same bits. Float only: in the double
 * build moka_conv_train_takes() says no to everything.
 */
#ifndef MOKA_KERNELS_CONV_TRAIN_H
#define MOKA_KERNELS_CONV_TRAIN_H

#include "blocked.h"

struct moka_conv_train_desc {
	int64_t images, channels, height, width; /* of the bottom */
	int64_t outputs, group;
	int64_t kernel[2], stride[2], pad[2], dilation[2];
	int in_block, out_block; /* layouts of x and dx, of y and dy: 1 or moka_block() */
};

struct moka_conv_train;

/* Whether all passes can be done fast for these; false: the layer goes its old way over plain values. */
bool moka_conv_train_takes(const struct moka_conv_train_desc *d);
/* MOKA_ERR_ARG: takes() said no. MOKA_ERR_NOMEM. Caller frees. */
enum moka_status moka_conv_train_new(struct moka_conv_train **out, const struct moka_conv_train_desc *d);
void moka_conv_train_free(struct moka_conv_train *t);
/* Bytes that any of the passes needs on a pool of so many threads, 64-byte aligned; a pass allocates nothing. Nothing is kept in it. */
size_t moka_conv_train_scratch(const struct moka_conv_train *t, int threads);
/* "winograd 4x4", "direct" ...: of the forward pass, for people. */
const char *moka_conv_train_name(const struct moka_conv_train *t);

/*
 * Tensors have the sizes and layouts of the plan; they may be parts of larger ones. Blocked ones have zeros in their spare lanes,
 * those that are written get them. ws may be NULL.
 */
/* y = w * x + bias; bias may be NULL. */
void moka_conv_train_forward(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			     const real *w, const real *bias, const struct moka_tensor *x, const struct moka_tensor *y,
			     void *scratch);
/* dx = the gradient of x: overwrites. */
void moka_conv_train_data(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			  const real *w, const struct moka_tensor *dy, const struct moka_tensor *dx, void *scratch);
/* dw += the gradient of w, db += that of the bias; each may be NULL. */
void moka_conv_train_weights(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			     const struct moka_tensor *x, const struct moka_tensor *dy, real *dw, real *db,
			     void *scratch);

#endif
