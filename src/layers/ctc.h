/*
 * ctc.h - connectionist temporal classification (Graves et al., 2006), for the layers of four forks that differ only in
 * their fields and in how they are told the labels.
 *
 *     bottom 0  scores (T, N, C): of T steps, N samples, C classes, one of which is blank; softmax is applied here
 *     the loss of a sample is -log of the probability of all paths that read as its labels
 *
 * What else there is depends on the number of bottoms:
 *     2   labels (N, L): blanks and negative numbers among them are padding
 *     3   markers (T, N): 0 where the next sample starts;  labels (T', N), ended by a negative number
 *     4   lengths of the scores (N), lengths of the labels (N), labels (T', N)
 *
 * The top is the mean over the batch, but the gradient is that of the sum (times the loss weight): so the forks have it, and
 * their learning rates are made for it. A sample whose labels don't fit into its steps costs 0 and has no gradient.
 *
 * Used by layer files only.
 */
#ifndef MOKA_LAYERS_CTC_H
#define MOKA_LAYERS_CTC_H

#include "layer.h"

struct moka__ctc {
	int64_t t, n, c;
	int64_t steps; /* of which this many count */
	int64_t rows;  /* labels that bottom 1 (2, 3) holds for a sample */
	int64_t width; /* labels that a sample can have: what the memory is made for */
	int64_t blank; /* a class; -1: the last */
	int64_t shift; /* added to the labels: 1 where they don't count the blank, which is class 0 */
};

/* For shape(): v->steps (-1: all), v->blank and v->shift are set by the caller. l->priv must be *v. */
enum moka_status moka__ctc_shape(struct moka_layer *l, struct moka_findings *f, struct moka__ctc *v);
enum moka_status moka__ctc_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__ctc_backward(const struct moka_layer *l, struct moka_call *c);

/* WarpCTC and WarpCTCLoss: one layer that forks gave two names. */
extern const struct moka_message moka__warp_ctc_message;
enum moka_status moka__warp_ctc_shape(struct moka_layer *l, struct moka_findings *f);

#endif
