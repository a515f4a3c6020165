/*
 * kernels.h - arithmetic on plain arrays. Knows no layer, no net, no blob.
 *
 * kernels/ref.c is the specification and the fallback; one file per instruction set beside it. All arrays are row-major,
 * densely packed unless a leading dimension says otherwise; sizes count elements.
 */
#ifndef MOKA_KERNELS_H
#define MOKA_KERNELS_H

#include "base/base.h"

/*
 * C = alpha * op(A) * op(B) + beta * C; op(X) is X or its transpose.
 * op(A) is (m, k), op(B) is (k, n), C is (m, n); lda, ldb, ldc: elements between rows as stored. m, n or k may be 0.
 * beta 0 overwrites C (also NaN). The result is the same for any number of threads. Scratch: none from the caller
 * (thread-local panels inside `ws`).
 */
struct moka_gemm_ws; /* packed panels; one per execution, grown on first use, never in a later call of the same size */
struct moka_gemm_ws *moka_gemm_ws_new(void); /* caller frees */
void moka_gemm_ws_free(struct moka_gemm_ws *ws);
void moka_gemm(struct moka_pool *pool, struct moka_gemm_ws *ws, bool trans_a, bool trans_b, int64_t m, int64_t n,
	       int64_t k, real alpha, const real *a, int64_t lda, const real *b, int64_t ldb, real beta, real *c,
	       int64_t ldc);
/*
 * C = A' B, A (k, m), B (k, n), all dense, handed out as it is made and kept nowhere: take() gets `count` values of C (m, n) that begin at
 * value `at`, in memory of its own thread that it may change; every value of C once, in any order, from any thread of the pool. Some
 * microseconds before, it is told of them with values NULL, and may ask for the memory that it will need. The values are those of moka_gemm() with alpha 1, beta 0. For a matrix that is used once and is too large for a cache (a gradient that
 * an update reads). false: no memory, nothing was handed out.
 */
typedef void moka_gemm_take(void *arg, int64_t at, int64_t count, real *values);
bool moka_gemm_outer(struct moka_pool *pool, struct moka_gemm_ws *ws, int64_t m, int64_t n, int64_t k, const real *a,
		     const real *b, moka_gemm_take *take, void *arg);
/* The plain triple loop: what moka_gemm() is tested against. */
void moka_gemm_ref(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t lda,
		   const real *b, int64_t ldb, real beta, real *c, int64_t ldc);
/* y = alpha * op(A) x + beta * y, A (m, n) as stored; for a product with one row, bound by memory. */
void moka_gemv(struct moka_pool *pool, bool trans, int64_t m, int64_t n, real alpha, const real *a, int64_t lda,
	       const real *x, real beta, real *y);

/*
 * A convolution's geometry: any number of spatial axes (axes 1..MOKA_CONV_AXES), channels first.
 * Output size of axis i: (in + 2 pad - (dilation (kernel - 1) + 1)) / stride + 1.
 */
#define MOKA_CONV_AXES 8
struct moka_conv_geometry {
	int axes;
	int64_t channels; /* of the image */
	int64_t in[MOKA_CONV_AXES], out[MOKA_CONV_AXES];
	int64_t kernel[MOKA_CONV_AXES], stride[MOKA_CONV_AXES], pad[MOKA_CONV_AXES], dilation[MOKA_CONV_AXES];
};
/* col (channels * prod(kernel), prod(out)) from image (channels, in...); zero outside. */
void moka_im2col(struct moka_pool *pool, const struct moka_conv_geometry *g, const real *image, real *col);
/* The adjoint: image = sum of col's elements at their places (image is overwritten). */
void moka_col2im(struct moka_pool *pool, const struct moka_conv_geometry *g, const real *col, real *image);
/*
 * Forward of one image and one group without materialising col: y (outputs, prod(out)) = w (outputs, channels *
 * prod(kernel)) x im2col(image) + bias (outputs, may be NULL). Packs columns straight into the product's panels.
 */
void moka_conv_forward(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
		       int64_t outputs, const real *w, const real *image, const real *bias, real *y);
/*
 * The same for `images` at once, and the two passes back, without columns: for training, where a batch is large. Image n of x begins
 * at x + n * x_stride, of y (or dy) at y + n * y_stride. Two axes, stride 1; which sizes it is worth for: moka_conv_batch_takes(). Where
 * it isn't, or there is no memory for the panels, false: nothing was done. Any number of threads gives the same result.
 */
bool moka_conv_batch_takes(const struct moka_conv_geometry *g, int64_t outputs, int64_t images);
bool moka_conv_batch_forward(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
			     int64_t outputs, int64_t images, const real *w, const real *bias, const real *x,
			     int64_t x_stride, real *y, int64_t y_stride);
/* dx = the gradient of x: overwrites. */
bool moka_conv_batch_data(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
			  int64_t outputs, int64_t images, const real *w, const real *dy, int64_t y_stride, real *dx,
			  int64_t x_stride);
/* dw += the gradient of w. */
bool moka_conv_batch_weights(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
			     int64_t outputs, int64_t images, const real *x, int64_t x_stride, const real *dy,
			     int64_t y_stride, real *dw);
/* Depthwise (group == channels, any channel multiplier m): y (channels * m, out) from image (channels, in), w (channels * m, kernel). 2-D. */
void moka_depthwise_forward(struct moka_pool *pool, const struct moka_conv_geometry *g, int64_t multiplier,
			    const real *w, const real *image, const real *bias, real *y);

/*
 * Pooling of one plane (h, w) to (oh, ow): windows of kh x kw, sh and sw apart, beginning ph above and pw left of the plane, cut
 * to it. A window with nothing of the plane gives the lowest number (maximum), or 0.
 */
struct moka_pool_plane {
	int64_t h, w, oh, ow;
	int64_t kh, kw, sh, sw, ph, pw;
};
/* where (may be NULL): the place of each maximum in the plane, the first of equal ones; -1 where there is none. */
void moka_pool_plane_max(const struct moka_pool_plane *g, const real *x, real *y, int32_t *where);
/* Divides by the window's size with its padding, cut off where the padded plane ends. */
void moka_pool_plane_average(const struct moka_pool_plane *g, const real *x, real *y);
/* dx += the gradient; row: room for ow values. */
void moka_pool_plane_average_gradient(const struct moka_pool_plane *g, const real *dy, real *dx, real *row);

/* Flat vectors. x and y may be the same memory where it makes sense. */
void moka_axpy(int64_t n, real a, const real *x, real *y);	    /* y += a x */
void moka_axpby(int64_t n, real a, const real *x, real b, real *y); /* y = a x + b y */
void moka_scale(int64_t n, real a, real *x);			    /* x *= a */
void moka_set(int64_t n, real a, real *x);			    /* x = a */
real moka_dot(int64_t n, const real *x, const real *y);
real moka_sum(int64_t n, const real *x);
real moka_asum(int64_t n, const real *x); /* sum of |x| */
/*
 * Element by element (exp.c); y may be x. Errors: at most 4e-7 of the value (sigmoid: of 1). Infinities and what is not a number give what
 * they should. moka_sigmoid() is tanh(x / 2) / 2 + 1 / 2, as BVLC Caffe computes it.
 */
void moka_exp(int64_t n, real shift, const real *x, real *y); /* y = e^(x - shift) */
void moka_tanh(int64_t n, const real *x, real *y);
void moka_sigmoid(int64_t n, const real *x, real *y);
/* Element by element; results may be the same memory as operands. */
void moka_line(int64_t n, real a, const real *x, real b, real *y);			   /* y = a x + b */
void moka_plane(int64_t n, real a, const real *x, real b, const real *y, real c, real *z); /* z = a x + b y + c */
void moka_standardise(int64_t n, real mean, real deviation, const real *x, real *y); /* y = (x - mean) / deviation */
void moka_relu(int64_t n, real slope, const real *x, real *y);			     /* y = x > 0 ? x : slope x */
void moka_relu_gradient(int64_t n, real slope, const real *x, const real *dy,
			real *dx); /* dx = x > 0 ? dy : slope dy */
/* v = a x + b z; y = v > 0 ? v : slope v */
void moka_sum_relu(int64_t n, real a, const real *x, real b, const real *z, real slope, real *y);
/* dx = x > 0 ? d : slope d, where d = dy + dz */
void moka_relu_gradient_sum(int64_t n, real slope, const real *x, const real *dy, const real *dz, real *dx);
/* Sums in double from the first value on, for statistics of whole batches. */
double moka_wide_sum(int64_t n, const real *x);
double moka_wide_dot(int64_t n, const real *x, const real *y);
double moka_wide_deviation(int64_t n, double mean, const real *x); /* sum of (x - mean)^2 */

#endif
