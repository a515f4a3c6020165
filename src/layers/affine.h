/*
 * affine.h - y = x * scale + bias over some axes of a blob: what Scale and Bias share.
 */
#ifndef MOKA_LAYERS_AFFINE_H
#define MOKA_LAYERS_AFFINE_H

#include "op.h"

/* The bottom taken as (outer, dim, inner); scale and bias have `dim` values. */
struct moka__affine {
	int64_t outer, dim, inner;
	bool saves_input; /* in place: the state holds a copy of the input for backward */
};

/*
 * Where a factor lies: of bottom 1 where there is one, else the parameter's shape from axis and num_axes, into
 * *factor. Findings where it doesn't fit. Unknown bottoms leave -1 in sizes and dimensions.
 */
enum moka_status moka__affine_place(const struct moka_layer *l, struct moka_findings *f, int32_t axis, int32_t num_axes,
				    struct moka__affine *v, struct moka_shape *factor);
/* y = x * scale + bias; either may be NULL. x and y may be the same. */
void moka__affine_forward(struct moka_pool *pool, const struct moka__affine *v, const real *x, const real *scale,
			  const real *bias, real *y);
/*
 * dscale[d] = or += sum of dy * x, dbias[d] = or += sum of dy (NULL: not wanted), then dx = dy * scale (scale
 * NULL: dy). dx and dy may be the same.
 */
void moka__affine_backward(struct moka_pool *pool, const struct moka__affine *v, const real *x, const real *dy,
			   const real *scale, real *dscale, bool add_scale, real *dbias, bool add_bias, real *dx);

/*
 * The same over blobs in blocks of channels, where the factor is one parameter a channel (moka__affine_layout()). forward: x and y are
 * bottom 0's and top 0's, or x a copy of it.
 */
enum moka_layout moka__affine_layout(const struct moka_layer *l, int block);
enum moka_status moka__affine_fit(const struct moka_layer *l, struct moka_fit *f);
void moka__affine_blocked_forward(const struct moka_call *c, const real *scale, const real *bias);
void moka__affine_blocked_backward(const struct moka_call *c, const real *x, const real *scale, real *dscale,
				   real *dbias);

/* For ONNX: the factor (parameter 0, or bottom 1) or a parameter, stretched over the bottom; the value's name. */
const char *moka__affine_onnx(struct moka_onnx *o, int32_t axis);
const char *moka__affine_onnx_param(struct moka_onnx *o, int32_t axis, int param);
/* The factor goes with axis 1, one value a channel: AFFINE with these values. */
bool moka__affine_lower(const struct moka_layer *l,
			void (*values)(const struct moka_layer *l, const struct moka_view *param, real *scale,
				       real *shift),
			struct moka_op *op);

#endif
