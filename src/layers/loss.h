/*
 * loss.h - what Softmax and the layers with labels share: the geometry of scores along an axis, softmax itself, reading
 * labels with their range checked, sums in a fixed order.
 *
 * Used by layer files only.
 */
#ifndef MOKA_LOSS_H
#define MOKA_LOSS_H

#include "layer.h"

/* Scores seen as (outer, classes, inner): what lies before the axis, along it, behind it. -1: not known. */
struct moka__scores {
	int64_t outer, classes, inner;
};

/* softmax_param, which Softmax and SoftmaxWithLoss both take. */
struct moka__softmax_param {
	int32_t axis;
};
extern const struct moka_message moka__softmax_message;

/* ---- in shape() -------------------------------------------------------------------------------- */

/* Looks up `axis` (of field "axis") in bottom[0]; an error where there is no such axis. */
enum moka_status moka__scores_shape(struct moka_layer *l, struct moka_findings *f, int64_t axis,
				    struct moka__scores *s);
/* top[0] is a scalar; the first dimensions of bottom[0] and bottom[1] must agree. */
enum moka_status moka__loss_shape(struct moka_layer *l, struct moka_findings *f);
/* bottom[1] holds one label for each of the outer x inner places of s. */
enum moka_status moka__labels_shape(struct moka_layer *l, struct moka_findings *f, const struct moka__scores *s);
/* Bytes for count things of `size`, rounded up to whole cache lines; 0 where the count isn't known. */
size_t moka__loss_bytes(int64_t count, size_t size);
/* Scratch that moka__loss_sum() needs for n items. */
size_t moka__loss_sum_bytes(int64_t n, int64_t tile);

/* ---- in forward() and backward() ----------------------------------------------------------------- */

/* y = softmax of x along the axis; x and y may be the same memory. */
void moka__softmax(struct moka_pool *pool, const struct moka__scores *s, const real *x, real *y);

/* What the labels of bottom[1] may be. */
struct moka__labels {
	int64_t n, per_sample, classes; /* how many; of one sample (for messages); 0..classes-1 is right */
	const char *ignore_in;		/* the message that may hold ignore_label, NULL: this layer knows none */
	const int32_t *ignore;		/* its value, NULL: not given */
};
/* One label for each place of s, loss_param's ignore_label. */
struct moka__labels moka__labels_of(const struct moka_layer *l, const struct moka__scores *s);
/*
 * The labels as whole numbers: out[i], i < n, cut towards zero as BVLC Caffe does; -1 for one to be ignored. *valid (may
 * be NULL) counts the others. A label outside the classes is an error that says which.
 */
enum moka_status moka__labels_read(const struct moka_layer *l, struct moka_call *c, const struct moka__labels *a,
				   int32_t *out, int64_t *valid);
/* loss_param's ignore_label, or NULL where it is not given. */
const int32_t *moka__ignore_label(const struct moka_layer *l);

/* Sum of part(arg, begin, end) over pieces of `tile` of [0, n), added up in order: the same for any number of threads. */
double moka__loss_sum(struct moka_pool *pool, double (*part)(const void *arg, int64_t begin, int64_t end),
		      const void *arg, int64_t n, int64_t tile, double *scratch);
/* The loss weight with which backward starts; 0 where no gradient arrives. */
real moka__loss_weight(const struct moka_call *c);
/* Rows of `width` values a piece of parallel work should have. */
int64_t moka__loss_tile(int64_t width);

/* SoftmaxWithLoss, with an optional third top for what each place costs (softmax_with_loss.c). */
enum moka_status moka__softmax_loss_shape(struct moka_layer *l, struct moka_findings *f);
enum moka_status moka__softmax_loss_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__softmax_loss_backward(const struct moka_layer *l, struct moka_call *c);

#endif
