/*
 * smooth_l1.h - the smooth L1 loss of two blobs, with weights: what SmoothL1Loss and SmoothL1LossOHEM share
 * (smooth_l1_loss.c).
 *
 *     d = w_in * (a - b);  loss = sum of w_out * f(d) / divisor
 *     f(d) = (sigma d)^2 / 2 where |d| < 1 / sigma^2, else |d| - 1 / (2 sigma^2)
 */
#ifndef MOKA_SMOOTH_L1_H
#define MOKA_SMOOTH_L1_H

#include "loss.h"

/* Bottoms of equal counts, scratch for the sum; top[0] a scalar. */
enum moka_status moka__smooth_l1_shape(struct moka_layer *l, struct moka_findings *f);
/* Bottoms 2 and 3, where there are, are w_in and w_out. */
void moka__smooth_l1_forward(const struct moka_layer *l, struct moka_call *c, real sigma, real divisor);
void moka__smooth_l1_backward(const struct moka_layer *l, struct moka_call *c, real sigma, real divisor);
/* f(d) of element i, with its weights. */
real moka__smooth_l1_at(const struct moka_call *c, int n_bottom, real sigma, int64_t i);

#endif
