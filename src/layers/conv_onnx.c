/*
 * conv_onnx.c - the ONNX nodes of Convolution, Deconvolution and the depthwise aliases: Conv or ConvTranspose, whose weights lie
 * as Caffe's do.
 */
#include "conv.h"
#include "onnx.h"

enum moka_status moka__conv_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct moka__conv_param *p = l->param;
	const struct moka__conv *v = l->priv;
	const struct moka_conv_geometry *g = &v->g;
	const struct moka_shape *s = &l->bottom[0].shape;
	int64_t pads[2 * MOKA_CONV_AXES];

	if (moka_shape_axis(s, p->axis) != 1 || s->n < 3)
		return moka_onnx_cannot(
			o, "axis", "ONNX convolves blobs whose axis 1 is the channels, with spatial axes behind it");
	for (int i = 0; i < g->axes; i++)
		pads[i] = pads[g->axes + i] = g->pad[i];
	for (int i = 0; i < l->n_bottom; i++) {
		const char *weight = moka_onnx_param(o, 0), *bias = p->bias_term ? moka_onnx_param(o, 1) : NULL;
		struct moka_onnx_node *n = moka_onnx_node(o, v->transposed ? "ConvTranspose" : "Conv", o->top[i],
							  o->bottom[i], weight, bias, NULL);

		moka_onnx_ints(o, n, "kernel_shape", g->axes, g->kernel);
		moka_onnx_ints(o, n, "strides", g->axes, g->stride);
		moka_onnx_ints(o, n, "pads", 2 * g->axes, pads);
		moka_onnx_ints(o, n, "dilations", g->axes, g->dilation);
		moka_onnx_int(o, n, "group", v->group);
	}
	return o->status;
}
