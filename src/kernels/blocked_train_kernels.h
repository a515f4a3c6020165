/*
 * blocked_train_kernels.h - the contract between blocked_train.c's drivers and their kernels, train_text.h, which is compiled once an
 * instruction set beside blocked_text.h. n counts vectors that follow each other; sums are double, one a lane.
 */
#ifndef MOKA_KERNELS_BLOCKED_TRAIN_KERNELS_H
#define MOKA_KERNELS_BLOCKED_TRAIN_KERNELS_H

#include "blocked_kernels.h"
#include "blocked_train.h"

/* A block's numbers, a vector each. */
struct moka__norm_lanes {
	_Alignas(64) real mean[16], scale[16], shift[16]; /* v = scale (x - mean) + shift */
	_Alignas(64) real slope[16], offset[16];	  /* dx = scale g + slope (x - mean) + offset */
	bool past;					  /* results go past the caches; they lie aligned */
};

/* A plane of vectors pooled: windows cut to the plane; sizes as in moka_pool_desc. */
struct moka__pool_train {
	int64_t h, w, oh, ow, kh, kw, sh, sw, ph, pw;
};

struct moka__train_kernels {
	/* mean, and sum of squares about it */
	void (*stats)(int64_t n, const real *x, double *mean, double *squares);
	void (*norm)(int64_t n, const struct moka__norm_lanes *l, real slope, const real *x, real *y);
	/* sums of g and of g (x - mean), g being dy where v > 0, else slope dy */
	void (*norm_sums)(int64_t n, const struct moka__norm_lanes *l, real slope, const real *x, const real *dy,
			  double *sum, double *product);
	void (*norm_gradient)(int64_t n, const struct moka__norm_lanes *l, real slope, const real *x, const real *dy,
			      real *dx);
	/* y = relu(a x + b z), past the caches; y lies aligned */
	void (*sum_relu_past)(int64_t n, real a, const real *x, real b, const real *z, real slope, real *y);
	void (*max_where)(const struct moka__pool_train *g, const real *x, real *y, real *where);
	void (*max_gradient)(const struct moka__pool_train *g, const real *dy, const real *where, real *dx);
	void (*average_gradient)(const struct moka__pool_train *g, const real *dy, real *dx);
	/* one place, n blocks `step` apart, into a row; then windows over that row, which has zeros around it */
	void (*lrn_squares)(int64_t n, const real *x, int64_t step, real *run);
	void (*lrn_ratios)(int64_t n, const real *dy, const real *y, const real *bracket, int64_t step, real *run);
	void (*lrn_keep)(int64_t n, int64_t size, real f, real k, const real *run, const real *x, real *bracket,
			 real *y, int64_t step);
	void (*lrn_gradient)(int64_t n, int64_t size, real f, const real *run, const real *x, const real *bracket,
			     const real *dy, real *dx, int64_t step);
};

/* NULL in the double build. */
const struct moka__train_kernels *moka__train_choose(void);
extern const struct moka__train_kernels moka__train_portable, moka__train_avx2, moka__train_avx512, moka__train_neon;

#endif
