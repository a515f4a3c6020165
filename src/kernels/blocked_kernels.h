/*
 * blocked_kernels.h - the contract between the drivers of blocked operations (conv_*.c, winograd.c, blocked.c ...) and their
 * kernels (blocked_portable.c, blocked_avx2.c, blocked_avx512.c, blocked_neon.c: the same text in blocked_text.h with other vectors).
 *
 * The heart is the convolution's tile: up to eight places by up to four blocks of outputs, summed in registers over
 * blocks of inputs and taps. Where a tap of a place looks is a table of offsets, so rows, padding, strides and dilation never show in the
 * inner loop; an offset of MOKA__OUTSIDE reads zeros.
 */
#ifndef MOKA_KERNELS_BLOCKED_KERNELS_H
#define MOKA_KERNELS_BLOCKED_KERNELS_H

#include "blocked.h"
#include "internal.h"

#define MOKA__PLACES 8 /* of a tile at most; also the pitch of its tables */
#define MOKA__GROUP 4  /* blocks of outputs of a tile at most */
#define MOKA__OUTSIDE INT64_MIN

/*
 * Winograd's F(4x4, 3x3), F(6x6, 3x3), F(4x4, 5x5), F(5x5, 3x3): tiles of six, eight, eight and seven values a side; those of eight go by the
 * same points.
 */
enum moka__wino_form { MOKA__WINO4, MOKA__WINO6, MOKA__WINO5, MOKA__WINO5_3, MOKA__WINO_FORMS };
#define MOKA__WINO_SIZES 3 /* six, seven, eight */

struct moka__conv_tile {
	const real *x;
	const int64_t *off;	/* (taps, MOKA__PLACES) from x */
	int64_t blocks, x_step; /* blocks of inputs, values between them */
	int64_t taps;
	int64_t lanes; /* of the last block of inputs that aren't spare, rounded up to a multiple of 4 */
	const real *w; /* (blocks, taps, B, group, B) */
	real *y;
	const int64_t *y_off;
	int64_t y_block; /* values between blocks of outputs */
	const real *residual;
	const int64_t *r_off;
	int64_t r_block;
	const real *bias; /* of the first block; NULL: none */
	const char *next; /* weights that will be wanted soon: `ahead` lines of 64 bytes are fetched at each tap */
	int64_t ahead;
	uintptr_t
		x_ahead;  /* bytes from what a place sees to what a later tile will see, which is fetched; 0: nothing */
	bool stream;	  /* its own weights come from memory: they are asked for 4 kB before they are read */
	bool first, last; /* part of the sum: else y holds what came before; after the last the activation is applied */
	struct moka_act act; /* slopes: of the first block, whole blocks */
};

/* Places in a line, `n` of them, each with a window of rows x columns vectors: depthwise convolution and pooling. */
struct moka__window {
	const real *x;
	int64_t x_place, x_row, x_column; /* values to the next place, the window's next row, its next column */
	int64_t rows, columns;
	const real *w; /* depthwise: (.., B) */
	int64_t w_row;
	real *y;
	const real *residual;
	const real *bias;
	real scale; /* average: what the sum is multiplied by */
	struct moka_act act;
};

/*
 * Gradient of weights: dw[i][block][o] += sum over a rectangle of places in each of some images of x[i] * dy[block][o]. The i are
 * neighbours in a place of x, or (plain x) lie `steps` away from it.
 */
struct moka__weights_tile {
	const real *x;
	int64_t x_image, x_row, x_place; /* values to the next image, row of places, place */
	const real *dy;
	int64_t y_image, y_row, y_block; /* places of dy are neighbours */
	int64_t images, rows, places;	 /* places of a row */
	int64_t ahead, y_ahead;		 /* values from x, from dy to what is needed next; 0: nothing to fetch */
	real *dw;			 /* (i, g, B) */
	bool first;			 /* overwrites dw */
};

/*
 * Depthwise 3x3, not dilated, rows [from, to) of the outputs of one block of channels: `tiles` tiles of n places a row, those after
 * the first `whole` one place shorter. Of a window no more than one column may be outside at either side.
 */
struct moka__rows {
	const real *x; /* rows of the image from `top` on: (.., width, B) */
	int64_t top, height, width, pad[2];
	const real *w, *bias; /* (3, 3, B), (B) */
	real *y;	      /* (out_height, out_width, B) */
	const real *residual; /* the same; or NULL */
	int64_t out_width, from, to, tiles, whole;
	bool fetch;	     /* planes come from afar: the next row is asked for */
	struct moka_act act; /* slopes: of the block */
};

/* Where a tile of Winograd's ends: y = act(sum + shift + z), rows x columns of its outputs. */
struct moka__wino_end {
	const real *shift; /* (B) */
	const real *z;	   /* NULL: none; rows lie as those of y */
	real *y;
	int64_t row; /* values to the next */
	int64_t rows, columns;
	struct moka_act act; /* slopes: of the block */
};

struct moka__train_kernels;

struct moka__blocked_kernels {
	const struct moka__train_kernels *train; /* of the same instruction set (blocked_train_kernels.h) */
	int block;
	int places
		[MOKA__GROUP]; /* that suit 1..4 blocks of outputs best; 0: more blocks than this set's registers hold */
	int most_group;
	void (*conv[MOKA__GROUP][MOKA__PLACES])(const struct moka__conv_tile *t);
	/* the same from a plain image: step i of `taps` adds steps[i] to every offset; one weight vector a step */
	void (*first[MOKA__GROUP][MOKA__PLACES])(const struct moka__conv_tile *t, const int64_t *steps);
	/* for 1..3 blocks of dy: how many i at once (0: not made here; they divide B), and the sums */
	int weights_rows[MOKA__GROUP - 1];
	void (*weights[MOKA__GROUP - 1])(const struct moka__weights_tile *t);
	void (*weights_first[MOKA__GROUP - 1])(const struct moka__weights_tile *t, const int64_t *steps);
	/* sum (B) += n neighbouring vectors */
	void (*sum_places)(int64_t n, const real *y, real *sum);
	/* out[c][r] = (add: +=) in[r][c], B rows by B; rows of `in` may begin at any address */
	void (*transpose)(const real *const *in, real *const *out, bool add);
	/* out[c][r] *= scale[r], B vectors of B */
	void (*lanes)(const real *scale, real *const *out);
	void (*depthwise[MOKA__PLACES])(const struct moka__window *w);
	/* by stride, 1 or 2 on both axes, and places of a tile */
	void (*rows[2][MOKA__PLACES])(const struct moka__rows *d);
	void (*max[MOKA__PLACES])(const struct moka__window *w);
	void (*sum[MOKA__PLACES])(const struct moka__window *w);
	/* one tile of winograd: in (size x size vectors, row pitch) -> out[k * step]; by size - 6 */
	void (*wino_in[MOKA__WINO_SIZES])(const real *x, int64_t row, real *v, int64_t step);
	/* the same of a tile that looks over the image's edge: columns [c0, c1) of its row r lie at rows[r], others are zeros */
	void (*wino_edge[MOKA__WINO_SIZES])(const real *const *rows, int64_t c0, int64_t c1, real *v, int64_t step);
	/* vectors of a kernel -> u[k * step] for all points */
	void (*wino_weights[MOKA__WINO_FORMS])(const real *w, real *u, int64_t step);
	/*
	 * side x side vectors of a kernel (at most 5 x 5) -> u[k * step] for the size x size points (at most 8 x 8), G (size, side) the transform's
	 * matrix: computed in double, times scale (a vector; NULL: none), rounded once
	 */
	void (*wino_exact)(const double *g, int size, int side, const real *w, const real *scale, real *u,
			   int64_t step);
	/* the adjoint of both ends, for the gradient of weights: m x m vectors of dy (row pitch) -> v[k * step]; sums m[k * step]
	 * of all points -> vectors of a kernel */
	void (*wino_gradient[MOKA__WINO_FORMS])(const real *dy, int64_t row, real *v, int64_t step);
	void (*wino_gradient_edge[MOKA__WINO_FORMS])(const real *const *rows, int64_t c0, int64_t c1, real *v,
						     int64_t step);
	void (*wino_turn[MOKA__WINO_FORMS])(const real *m, int64_t step, real *dw);
	/* the adjoint of wino_in: points m[k * step] add to size x size vectors of dx (row pitch) */
	void (*wino_spread[MOKA__WINO_SIZES])(const real *m, int64_t step, real *dx, int64_t row);
	/* sums m[k * step] -> m x m outputs, or as many as there are */
	void (*wino_out[MOKA__WINO_FORMS])(const real *m, int64_t step, const struct moka__wino_end *e);
	/* y = act(a x + b z + shift) over n vectors; NULL a: scale vector is 1; z NULL: none */
	void (*combine)(int64_t n, const real *scale, const real *x, real b, const real *z, const real *shift,
			const struct moka_act *act, real *y);
	/* n vectors: y = x / (k + f * sum of `size` squares around)^0.75; the squares' channels lie in a run */
	void (*lrn)(int64_t n, int64_t size, real f, real k, const real *squares, const real *x, int64_t x_step,
		    real *y, int64_t y_step);
};

extern const struct moka__blocked_kernels moka__blocked_portable, moka__blocked_avx2, moka__blocked_avx512,
	moka__blocked_neon;
/* NULL in the double build. */
const struct moka__blocked_kernels *moka__blocked_choose(void);

/* fn(arg, item, slot) for every item, dealt out to the threads of the pool as they come; slot < moka_pool_threads(pool). */
void moka__deal(struct moka_pool *pool, int64_t items, void (*fn)(void *arg, int64_t item, int slot), void *arg);
real moka__act_one(const struct moka_act *a, int64_t channel, real x);
/* Zeros in the spare lanes of a blocked tensor, where an activation doesn't leave 0 as it is. */
void moka__zero_spare(const struct moka_tensor *y);
bool moka__act_moves_zero(const struct moka_act *a);

#endif
