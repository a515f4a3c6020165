/*
 * blocked.h - inference kernels over channel-blocked images: what net/'s fused plan runs instead of single layers.
 *
 * An image of C channels in blocks of B lies as [image][block][row][column][B] ("nChw8c", "nChw16c"): the B values of one
 * place are one vector. Where C isn't a multiple of B, the last block's spare lanes hold zeros: whoever writes a blocked
 * tensor writes them, whoever reads one may rely on it. B is what suits the machine's instruction set (moka_block()): one vector, or two
 * of four.
 *
 * A tensor is a view; a part of the channels of a larger one (a concat's bottom) is a view that starts inside it, when its first
 * channel is a multiple of B. Plain tensors (block 1) are NCHW, and as good a bottom or top for every function here
 * that says so.
 *
 * Operations are planned once (geometry, algorithm, packed weights) and then run from any number of threads at once: a planned
 * operation is read-only. Same result for any number of threads. 2-D, float; in the double build everything here is
 * answered by the plain references (block 1 is then the only block).
 */
#ifndef MOKA_KERNELS_BLOCKED_H
#define MOKA_KERNELS_BLOCKED_H

#include "kernels.h"

int moka_block(void); /* 16 with AVX-512, else 8; as MOKA_ISA allows */

struct moka_tensor {
	real *data; /* its first channel of its first image */
	int64_t images, channels, height, width;
	int block;	      /* 1: plain */
	int64_t image_stride; /* values from an image to the next: more than its own size where it is a part of a larger one */
};
/* Channels rounded up to whole blocks, times height, times width: image_stride of a tensor that is no part. */
int64_t moka_tensor_image(int64_t channels, int64_t height, int64_t width, int block);
/* y = x in y's own layout (plain, blocked); same images, channels and size. Writes spare lanes. */
void moka_relayout(struct moka_pool *pool, const struct moka_tensor *x, const struct moka_tensor *y);

/* What is done to a sum before it is stored. */
enum moka_act_kind {
	MOKA_ACT_NONE,
	MOKA_ACT_RELU,	/* x > 0 ? x : slope x */
	MOKA_ACT_CLIP,	/* min(max(x, low), high): ReLU6 */
	MOKA_ACT_PRELU, /* x > 0 ? x : slopes[channel] x */
};
struct moka_act {
	enum moka_act_kind kind;
	real slope, low, high;
	const real *slopes; /* one a channel; lives as long as the operation */
};

/* ---- convolution and inner product ---------------------------------------------------------------- */

enum moka_conv_algorithm {
	MOKA_CONV_AUTO,
	MOKA_CONV_DIRECT,      /* blocked, any kernel, stride and dilation; 1x1 is its simplest case */
	MOKA_CONV_FIRST,       /* from a plain image of few channels to blocked */
	MOKA_CONV_WINOGRAD4,   /* F(4x4, 3x3) */
	MOKA_CONV_WINOGRAD6,   /* F(6x6, 3x3) */
	MOKA_CONV_WINOGRAD5,   /* F(4x4, 5x5) */
	MOKA_CONV_WINOGRAD5_3, /* F(5x5, 3x3) */
	MOKA_CONV_DEPTHWISE,   /* group == channels, any multiplier of 1 */
	MOKA_CONV_PLAIN,       /* plain to plain, by moka_conv_forward(): the fallback that takes everything */
};
struct moka_conv_desc {
	int64_t images, channels, height, width; /* of the bottom */
	int64_t outputs, group;
	int64_t kernel[2], stride[2], pad[2], dilation[2];
	int in_block, out_block; /* layouts that the run will get: 1 or moka_block() */
	bool residual;		 /* a tensor of the output's shape and layout is added before the activation */
	struct moka_act act;
	enum moka_conv_algorithm algorithm; /* AUTO: what was measured to be best for these sizes */
};
struct moka_conv_op;
/*
 * Plans a convolution. Whether (in_block, out_block) can be had: moka_conv_op_takes(). AUTO never fails where that said yes.
 * MOKA_ERR_ARG: the forced algorithm does not take these sizes. MOKA_ERR_NOMEM. Caller frees.
 */
bool moka_conv_op_takes(const struct moka_conv_desc *d);
enum moka_status moka_conv_op_new(struct moka_conv_op **out, const struct moka_conv_desc *d);
void moka_conv_op_free(struct moka_conv_op *op);
/*
 * Packs w (outputs, channels / group, kernel...) for the algorithm, each output's weights times scale[output] and its bias
 * times the same plus shift[output] (a folded BatchNorm and Scale); bias, scale, shift may be NULL. Once, or again when
 * weights change. On pool. w may begin at any address: it is packed straight from mapped files.
 */
enum moka_status moka_conv_op_pack(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *bias,
				   const real *scale, const real *shift);
/* Before the first packing: where to pack, moka_conv_op_bytes() of memory, 64-byte aligned, that outlives op. */
void moka_conv_op_place(struct moka_conv_op *op, void *weights);
size_t moka_conv_op_bytes(const struct moka_conv_op *op);		 /* of packed weights */
size_t moka_conv_op_scratch(const struct moka_conv_op *op, int threads); /* that a run needs, 64-byte aligned */
const char *moka_conv_op_name(const struct moka_conv_op *op); /* "direct 1x1", "winograd 6x6" ... for people */
enum moka_conv_algorithm moka_conv_op_algorithm(const struct moka_conv_op *op);
/* What a run is expected to take, in multiply-adds at full speed: what weights take on their way through the caches, too. */
double moka_conv_op_cost(const struct moka_conv_op *op);
/* y = act(w * x + bias [+ residual]); residual may be y itself. */
void moka_conv_op_run(const struct moka_conv_op *op, struct moka_pool *pool, struct moka_gemm_ws *ws,
		      const struct moka_tensor *x, const struct moka_tensor *residual, const struct moka_tensor *y,
		      void *scratch);

/*
 * A convolution (1x1, or a net's first) and the depthwise 3x3 one that alone reads its output, as one: the output between them is made
 * a few rows at a time and never stored. The same bits as one after the other. residual: b's.
 */
bool moka_conv_pair_takes(const struct moka_conv_op *a, const struct moka_conv_op *b);
size_t moka_conv_pair_scratch(const struct moka_conv_op *a, const struct moka_conv_op *b, int threads);
void moka_conv_pair_run(const struct moka_conv_op *a, const struct moka_conv_op *b, struct moka_pool *pool,
			const struct moka_tensor *x, const struct moka_tensor *residual, const struct moka_tensor *y,
			void *scratch);

/* ---- the rest of a net between convolutions, on blocked tensors (x and y of one layout) ------------------- */

enum moka_pool_kind { MOKA_POOL_MAX, MOKA_POOL_AVERAGE };
struct moka_pool_desc {
	enum moka_pool_kind kind;
	int64_t kernel[2], stride[2],
		pad[2]; /* windows as BVLC's Pooling cuts them: y's size says how many; an average divides by the padded window */
};
void moka_pool2d(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *x,
		 const struct moka_tensor *y);
/* y = act(a x + b z) */
void moka_add2(struct moka_pool *pool, real a, const struct moka_tensor *x, real b, const struct moka_tensor *z,
	       const struct moka_act *act, const struct moka_tensor *y);
/* y = act(scale[channel] x + shift[channel]); either may be NULL. y may be x. */
void moka_affine(struct moka_pool *pool, const real *scale, const real *shift, const struct moka_act *act,
		 const struct moka_tensor *x, const struct moka_tensor *y);
/* BVLC's LRN across channels: y = x / (k + alpha / size * sum of squares of `size` channels around)^beta. */
void moka_lrn_across(struct moka_pool *pool, int64_t size, real alpha, real beta, real k, const struct moka_tensor *x,
		     const struct moka_tensor *y);

#endif
