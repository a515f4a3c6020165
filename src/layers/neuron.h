/*
 * neuron.h - what the element-wise layers share: running a function over a flat blob, and the input that in-place use
 * would destroy.
 *
 * Used by layer files only. A layer gives two functions over a range of elements; everything about pieces, threads
 * and in-place memory is here.
 */
#ifndef MOKA_NEURON_H
#define MOKA_NEURON_H

#include "layer.h"

/* Elements per piece of parallel work: large enough to hide the hand-over, small enough to balance. */
#define MOKA__PIECE 16384

/* What a range function gets as its argument. */
struct moka__neuron {
	const void *set;	/* the layer's settings, ready for use */
	const real *x, *y, *dy; /* input; output and its gradient (backward only) */
	real *out;		/* forward: y; backward: dx. May be the memory of any of the above */
};

typedef void moka__neuron_range(void *neuron, int64_t begin, int64_t end);

/* top[0] from bottom[0]. */
enum moka_status moka__neuron_forward(const struct moka_layer *l, struct moka_call *c, moka__neuron_range *range,
				      const void *set);
/* bottom[0]'s gradient, where it is wanted. */
enum moka_status moka__neuron_backward(const struct moka_layer *l, struct moka_call *c, moka__neuron_range *range,
				       const void *set);

/*
 * For a layer whose backward reads its input: asks for state that keeps a copy when the layer is used in place. Called
 * in shape(); the layer has no other state. moka__neuron_forward() fills it where a backward pass follows.
 */
void moka__neuron_keep(struct moka_layer *l);
void moka__neuron_save(const struct moka_layer *l, struct moka_call *c);
/* The input as it was: the copy in place, the bottom otherwise. */
const real *moka__neuron_input(const struct moka_layer *l, const struct moka_call *c);

#endif
