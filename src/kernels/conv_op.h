/*
 * conv_op.h - a planned convolution, as the drivers of the algorithms (conv_direct.c, conv_first.c, conv_depthwise.c,
 * conv_winograd.c) see it. It is read-only while it runs.
 */
#ifndef MOKA_KERNELS_CONV_OP_H
#define MOKA_KERNELS_CONV_OP_H

#include "blocked_kernels.h"

/* Blocks of outputs that one tile makes at once, and the blocks of inputs that they need. */
struct moka__conv_group {
	int64_t block, blocks;	     /* of outputs */
	int64_t in_block, in_blocks; /* of inputs */
	int64_t weights;	     /* where its weights begin */
};

/* Depthwise: up to MOKA__PLACES places of a row from x on that see the same columns [c0, c1) of their windows. */
struct moka__conv_run_of_places {
	int64_t x, c0, c1;
	int n;
};

/* Where outputs go: place (y, x) to (y, x) * step + from of a tensor of height x width. */
struct moka__conv_target {
	int64_t step[2], from[2], height, width;
};

struct moka_conv_op {
	struct moka_conv_desc d;
	int64_t out[2];
	enum moka_conv_algorithm algorithm;
	const char *name;
	const struct moka__blocked_kernels *k; /* NULL: plain only */
	int64_t in_blocks, out_blocks;
	int places; /* of a full tile */
	struct moka__conv_group *groups;
	int64_t n_groups;
	int64_t part;  /* blocks of inputs (first: steps) that are summed before the next group's turn */
	int64_t *taps; /* direct: (taps, 2) rows and columns from a place (times its stride) to what the tap sees */
	struct moka__conv_target target; /* direct */
	int64_t *steps;			 /* first: (channels * taps) offsets in the padded strip */
	int64_t strip_rows, strip_lines, strip_width;
	struct moka__conv_run_of_places *pieces; /* depthwise: of a row */
	int64_t n_pieces;
	enum moka__wino_form form;
	int64_t tile, size; /* winograd: outputs of a tile's side, and what they see; 0 else */
	int64_t plane;	    /* winograd: values from a point's weights to the next's */
	int64_t row_tiles; /* depthwise 3x3 by whole rows: tiles of a row of `places`, one place less after the first */
	int64_t row_whole; /* `row_whole` ones; 0: not so, by pieces */
	real *weights, *bias, *slopes;
	int64_t n_weights;
	bool placed; /* weights are another's memory (moka_conv_op_place()) */
};

struct moka__conv_run {
	const struct moka_conv_op *op;
	struct moka_pool *pool;
	struct moka_gemm_ws *ws;
	const struct moka_tensor *x, *residual, *y;
	struct moka_act act;
	char *scratch;
	const real *weights, *bias; /* packed: the operation's own, or those of one pass of training */
	/* with weights made late: those of a group for one block of inputs, points of Winograd's `plane` values apart */
	void (*make)(void *arg, const struct moka__conv_group *g, int64_t in_block, real *to, int64_t plane, int slot);
	/* direct: asks for the k-th of n parts of what make() will read for `ins` blocks of inputs */
	void (*fetch)(const void *arg, const struct moka__conv_group *g, int64_t in_block, int64_t ins, int64_t k,
		      int64_t n);
	void *make_arg;
};

/*
 * Plans a convolution whose outputs number `size`, whatever d's padding would make of it: conv_train.c gives the taps and the
 * target of direct ones itself. Algorithm: not AUTO.
 */
enum moka_status moka__conv_op_plan(struct moka_conv_op **out, const struct moka_conv_desc *d, const int64_t size[2],
				    enum moka_conv_algorithm algorithm);
static inline bool moka__conv_is_winograd(enum moka_conv_algorithm a)
{
	return a == MOKA_CONV_WINOGRAD4 || a == MOKA_CONV_WINOGRAD6 || a == MOKA_CONV_WINOGRAD5 ||
	       a == MOKA_CONV_WINOGRAD5_3;
}
/* Outputs of a tile's side, and the kernel's. */
static inline int64_t moka__wino_tile(enum moka__wino_form f)
{
	return f == MOKA__WINO6 ? 6 : f == MOKA__WINO5_3 ? 5 : 4;
}
static inline int64_t moka__wino_kernel(enum moka__wino_form f)
{
	return f == MOKA__WINO5 ? 5 : 3;
}
/* Any algorithm but the plain one. */
void moka__conv_run(const struct moka__conv_run *r);

/* Cuts the outputs into groups; false: no memory. */
bool moka__conv_groups(struct moka_conv_op *op);
/* Weights of group order [group][in block][tap][B][block][B] from (outputs, channels / group, taps), scaled; false: no memory. */
bool moka__conv_pack_direct(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *scale);
bool moka__conv_pack_first(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *scale);
void moka__conv_pack_depthwise(struct moka_conv_op *op, const void *w, const real *scale);
/* Order (points, group, in block, B, block, B), points op->plane values apart. */
bool moka__conv_pack_winograd(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *scale);

/* What all of these but depthwise are made of, and training's own: weights as a layer holds them, and how an operation wants them. */
struct moka__conv_pack {
	const struct moka_conv_op *op;
	const char *w;			    /* (rows, columns, taps) values, at any address */
	const real *scale;		    /* one a row, or NULL; not with `which` */
	int64_t rows, columns, taps, group; /* columns: channels of one group */
	const int64_t *
		which; /* the operation's outputs are w's columns, its tap k is w's which[k]; NULL: they are w's rows */
	bool scatter;  /* in the order [group][tap][in block][B][block][B] */
	const double
		*matrix; /* winograd: G, computed in double and rounded once; NULL: in real, for weights made often */
	real *to;
	char *slots; /* moka__conv_pack_slot() bytes a thread, aligned to lines */
};
size_t moka__conv_pack_slot(const struct moka__blocked_kernels *k, int64_t taps);
void moka__conv_pack_all(const struct moka__conv_pack *p, struct moka_pool *pool);
/* Weights of one group for its i-th block of inputs, from `base` on; points of Winograd's `plane` values apart. */
void moka__conv_pack_block(const struct moka__conv_pack *p, const struct moka__conv_group *g, int64_t i, real *base,
			   int64_t plane, int slot);

/* Asks for the k-th of n parts of the rows that the next `ins` blocks are made of, one tap each. */
void moka__conv_pack_fetch(const struct moka__conv_pack *p, const struct moka__conv_group *g, int64_t i, int64_t ins,
			   int64_t k, int64_t n);

bool moka__conv_plan_first(struct moka_conv_op *op);
bool moka__conv_plan_depthwise(struct moka_conv_op *op);
size_t moka__conv_scratch_direct(const struct moka_conv_op *op, int threads);
size_t moka__conv_scratch_first(const struct moka_conv_op *op, int threads);
size_t moka__conv_scratch_winograd(const struct moka_conv_op *op, int threads);
/*
 * Winograd for many weights and few tiles: weights aren't packed before but made for some outputs and inputs at a time (r->make), used for
 * all tiles while they are near, and forgotten.
 */
void moka__conv_run_winograd_late(const struct moka__conv_run *r);
size_t moka__conv_scratch_winograd_late(const struct moka_conv_op *op, int threads);
void moka__conv_run_direct(const struct moka__conv_run *r);
/* Likewise, of 1x1 and blocked images; few enough places for a group's weights to be made for all of them, or some, anew. */
void moka__conv_run_direct_late(const struct moka__conv_run *r);
size_t moka__conv_scratch_direct_late(const struct moka_conv_op *op, int threads);
void moka__conv_run_first(const struct moka__conv_run *r);
void moka__conv_run_depthwise(const struct moka__conv_run *r);
void moka__conv_run_winograd(const struct moka__conv_run *r);

/*
 * For n tiles, V (points, in blocks, n, B) and M (points, out blocks, n, B): M = U V of one point. Values from a point to the next: those of a
 * tile must not meet in one set of the first cache.
 */
static inline int64_t moka__wino_apart(const struct moka_conv_op *op, int64_t blocks, int64_t n)
{
	return (blocks * n + 1) * op->k->block;
}
/*
 * A tile of size x size vectors from (y0, x0) of a plane on that looks over its edge, as wino_edge and wino_gradient_edge take it. What is
 * outside is zeros.
 */
struct moka__wino_rows {
	const real *rows[8]; /* from column c0 on */
	int64_t c0, c1;
};

void moka__wino_cut(const real *plane, int64_t height, int64_t width, int64_t b, int64_t y0, int64_t x0, int64_t size,
		    struct moka__wino_rows *e);
void moka__wino_product(const struct moka_conv_op *op, const real *weights, int64_t point, int64_t n, const real *v,
			real *m);

/* What outputs from row oy of image n on see: the padded strip (channels, lines, width) that first's steps are offsets in. */
void moka__conv_fill_strip(const struct moka_conv_op *op, const struct moka_tensor *image, int64_t n, int64_t oy,
			   real *to);

/*
 * Rows [from, to) of image n of a first convolution, in all groups of outputs: the first one's go to y, blocks are y_block values
 * apart. `strip`: moka__conv_first_strip() bytes. A residual has the blocks of the whole output.
 */
void moka__conv_first_rows(const struct moka__conv_run *r, int64_t n, int64_t from, int64_t to, real *strip, real *y,
			   int64_t y_block);
size_t moka__conv_first_strip(const struct moka_conv_op *op);

/*
 * Rows [from, to) of one block of image n of a depthwise convolution by whole rows (op->row_tiles). x: the block's rows that they see, from `top`
 * on; r->x isn't looked at.
 */
void moka__conv_depthwise_rows(const struct moka__conv_run *r, int64_t n, int64_t block, const real *x, int64_t top,
			       int64_t from, int64_t to);

/* Lanes of the last of the blocks [.., end) of inputs that a tile has to look at. */
static inline int64_t moka__used_lanes(const struct moka_conv_op *op, int64_t end)
{
	const int64_t b = op->k->block, spare = end == op->in_blocks ? end * b - op->d.channels : 0;

	return (b - spare + 3) / 4 * 4;
}

/* Outputs along one axis; false: there are none, or a setting makes no sense. */
bool moka__conv_axis_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, int64_t *out);
/* Multiply-adds of the whole as a direct convolution would make them. */
double moka__conv_work(const struct moka_conv_desc *d, const int64_t out[2]);
static inline size_t moka__lines(size_t bytes)
{
	return (bytes + 127) / 64 * 64;
}

#endif
