/*
 * recurrent.h - what LSTM and RNN share: recurrent_param, the shapes, and the products with the inputs.
 *
 * BVLC Caffe unrolls these layers into a net of their own; here they are written out. What is common to both:
 *
 *     bottoms  x (T, N, ...)   T steps of N streams, D values each
 *              cont (T, N)     0 where a stream starts a new sequence at that step, else 1
 *              [static (N, ...)]          S values a stream, seen at every step
 *              [hidden state (1, N, H)]   with expose_hidden: before step 1
 *     tops     y (T, N, H)
 *              [hidden state (1, N, H)]   with expose_hidden: after step T
 *     params   W_x (G, D), b (G), [W_static (G, S)], ...   G numbers a step and stream: 4H for LSTM, H for RNN
 *
 * Without expose_hidden the hidden state is carried over from batch to batch, so a sequence may span several;
 * the gradient is not. With expose_hidden no gradient passes through the hidden states either, exactly as in BVLC
 * Caffe: their tops' diffs are not looked at and their bottoms' diffs are 0.
 *
 * Used by lstm.c and rnn.c only.
 */
#ifndef MOKA_RECURRENT_H
#define MOKA_RECURRENT_H

#include "layer.h"

struct moka__recurrent_param {
	uint32_t num_output;
	const struct moka_filler_param *weight_filler, *bias_filler;
	bool debug_info, expose_hidden;
};
extern const struct moka_message moka__recurrent_message;

struct moka__recurrent {
	int64_t t, n, d, s, h, g; /* as above; -1: not known */
	bool has_static, exposed;
	int hidden; /* hidden states: 2 for LSTM (h, c), 1 for RNN (h) */
};

/*
 * Checks counts and shapes of bottoms and tops, sets the tops' shapes and the parameters W_x, b and W_static. l->priv
 * is the struct, which it fills.
 */
enum moka_status moka__recurrent_shape(struct moka_layer *l, struct moka_findings *f, int hidden, int gates);
/* Product of sizes with -1 for unknown; a + b with the same. */
int64_t moka__recurrent_macs(int64_t a, int64_t b);

/* Parameter index of what follows W_x, b and W_static. */
int moka__recurrent_param(const struct moka__recurrent *r);
/* The bottom that holds hidden state i. */
int moka__recurrent_bottom(const struct moka__recurrent *r, int i);

/* out (T, N, G) = x W_x' + b [+ static W_static']; scratch: (N, G) where there is a static input. */
void moka__recurrent_inputs(const struct moka__recurrent *r, struct moka_call *c, real *out, real *scratch);
/* Gradients of W_x, b, W_static, x and static from `dg` (T, N, G), where they are wanted; scratch as above. */
void moka__recurrent_inputs_gradient(const struct moka__recurrent *r, struct moka_call *c, const real *dg,
				     real *scratch);
/* out (N, H) = h scaled, stream by stream, by cont of step t (0 also drops what is not a number). out may be h. */
void moka__recurrent_continue(const struct moka__recurrent *r, struct moka_call *c, int64_t t, const real *h,
			      real *out);
/* sums (G) += the rows of x (rows, G) */
void moka__recurrent_add_rows(struct moka_pool *pool, int64_t rows, int64_t g, const real *x, real *sums);
/* rows (rows, G) = bias (G) each */
void moka__recurrent_set_rows(struct moka_pool *pool, int64_t rows, int64_t g, const real *bias, real *x);
/* First state (1, N, H) of a batch into at0: the exposed bottom, or what the last batch left in atT. */
void moka__recurrent_start(const struct moka__recurrent *r, struct moka_call *c, int i, real *at0, const real *atT);
/* Exposed bottoms take no gradient: their diffs, where asked for, are 0. */
void moka__recurrent_no_gradient(const struct moka__recurrent *r, struct moka_call *c);

#endif
