/*
 * conv.h - what Convolution, Deconvolution, Im2col and the depthwise aliases share: the fields of
 * ConvolutionParameter and the geometry that they and the bottom's shape make.
 */
#ifndef MOKA_LAYERS_CONV_H
#define MOKA_LAYERS_CONV_H

#include "op.h"

struct moka__conv_param {
	uint32_t num_output;
	bool bias_term;
	struct moka_list pad, kernel_size, stride, dilation; /* uint32_t: none, one, or one per spatial axis */
	uint32_t pad_h, pad_w, kernel_h, kernel_w, stride_h, stride_w;
	uint32_t group;
	const struct moka_filler_param *weight_filler, *bias_filler;
	int32_t axis;
	bool force_nd_im2col;
};
extern const struct moka_message moka__conv_message;

/*
 * A layer's priv. The geometry is that of the convolution from the larger blob to the smaller, one image and
 * one group; a Deconvolution runs it backwards: its `image` is the top, its `output` the bottom.
 */
struct moka__conv {
	struct moka_conv_geometry g; /* g.channels: of one group of the image */
	int64_t images, group;
	int64_t outputs;    /* per group, of the convolution */
	int64_t kernel_dim; /* g.channels * prod(kernel) */
	int64_t image_size; /* g.channels * prod(in) */
	int64_t out_size;   /* prod(out) */
	bool unit;	    /* im2col changes nothing: 1x1, stride 1, no padding */
	bool depthwise;	    /* several groups of one channel each, two spatial axes */
	bool transposed;
};

enum moka__conv_kind { MOKA__CONV, MOKA__CONV_TRANSPOSED, MOKA__CONV_DEPTHWISE, MOKA__CONV_COLUMNS };

/* The shape() of all of them: tops, parameters, multiply-accumulates, scratch, priv. */
enum moka_status moka__conv_shape(struct moka_layer *l, struct moka_findings *f, enum moka__conv_kind kind);

enum moka_status moka__conv_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__conv_backward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__deconv_forward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__deconv_backward(const struct moka_layer *l, struct moka_call *c);
enum moka_status moka__conv_onnx(struct moka_onnx *o);

/* db[o] += sum of dy (images, channels, size) over images and positions. */
void moka__bias_gradient(struct moka_pool *pool, int64_t images, int64_t channels, int64_t size, const real *dy,
			 real *db);
/* Depthwise, backward, two axes: adds to dw (may be NULL), overwrites dx (may be NULL). */
void moka__depthwise_backward(struct moka_pool *pool, const struct moka__conv *v, const real *w, const real *x,
			      const real *dy, real *dw, real *dx);

/* conv_blocked.c: the type's layout(), fit() and unfit(), and the passes where fit() made a convolution */
enum moka_layout moka__conv_layout(const struct moka_layer *l, int block);
enum moka_status moka__conv_fit(const struct moka_layer *l, struct moka_fit *f);
void moka__conv_unfit(void *made);
void moka__conv_made_forward(const struct moka_layer *l, const struct moka_call *c);
void moka__conv_made_backward(const struct moka_layer *l, const struct moka_call *c);

/* CONV, where there are two spatial axes behind (images, channels) and one bottom. */
bool moka__conv_lower(const struct moka_layer *l, struct moka_op *op);

#endif
