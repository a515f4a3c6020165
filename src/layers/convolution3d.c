/*
 * Convolution3D (C3D): Convolution over time, height and width, with fields of its own: a square kernel_size and a
 * kernel_depth, each with its stride and padding.
 *
 *     bottom (N, C, T, H, W)  weight (O, C, kernel_depth, kernel_size, kernel_size)  bias (O)  top (N, O, t, h, w)
 *
 * The arithmetic is Convolution's. filter_group only saved memory in C3D; group is read there and not used.
 */
#include "conv.h"

struct conv3d_param {
	struct moka__conv_param conv; /* first: what moka__conv_shape() and the arithmetic see */
	uint32_t pad, kernel_size, kernel_depth, stride, temporal_stride, temporal_pad;
};

/* clang-format off */
#define P struct conv3d_param
#define OF_CONV(name, num, kind, def, message, help) \
	{ #name, num, kind, MOKA_OPTIONAL, (uint32_t)offsetof(P, conv.name), def, NULL, NULL, message, help, NULL }
static const struct moka_field conv3d_fields[] = {
	OF_CONV(num_output, 1, MOKA_UINT32, 0, NULL, "channels of the output"),
	OF_CONV(bias_term, 2, MOKA_BOOL, 1, NULL, "add a bias to each output channel"),
	MOKA_F_UINT32(P, pad, 3, 0, "zeros around height and width"),
	MOKA_F_UINT32(P, kernel_size, 4, 0, "height and width of the kernel"),
	{ "group", 5, MOKA_UINT32, MOKA_OPTIONAL, MOKA_NOWHERE, 1, NULL, NULL, NULL, "read; not used, as in C3D", NULL },
	MOKA_F_UINT32(P, kernel_depth, 6, 0, "steps of time that the kernel covers"),
	MOKA_F_UINT32(P, stride, 7, 1, "step in height and width"),
	MOKA_F_UINT32(P, temporal_stride, 8, 1, "step in time"),
	OF_CONV(weight_filler, 9, MOKA_MESSAGE, 0, &moka_filler_message, "first values of the weights"),
	OF_CONV(bias_filler, 10, MOKA_MESSAGE, 0, &moka_filler_message, "first values of the bias"),
	{ "filter_group", 11, MOKA_UINT32, MOKA_OPTIONAL, MOKA_NOWHERE, 1, NULL, NULL, NULL, "saved memory in C3D; changes nothing here", NULL },
	MOKA_F_UINT32(P, temporal_pad, 12, 0, "zeros before and behind in time"),
	MOKA_F_ENGINE(15),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message conv3d_message = { "Convolution3DParameter", conv3d_fields,
						    sizeof(struct conv3d_param) };

/* Three values, time first, as Convolution's lists want them. */
static bool set_list(struct moka_layer *l, struct moka_list *list, uint32_t time, uint32_t plane)
{
	uint32_t *v = MOKA_NEWN(l->arena, 3, uint32_t);

	if (!v)
		return false;
	v[0] = time;
	v[1] = v[2] = plane;
	*list = (struct moka_list){ 3, v };
	return true;
}

/* The settings as Convolution's own, in a copy that takes the place of l->param. */
static bool translate(struct moka_layer *l)
{
	struct conv3d_param *p = MOKA_NEW(l->arena, struct conv3d_param);

	if (!p)
		return false;
	*p = *(const struct conv3d_param *)l->param;
	p->conv.group = 1;
	p->conv.axis = 1;
	l->param = p;
	return set_list(l, &p->conv.kernel_size, p->kernel_depth, p->kernel_size) &&
	       set_list(l, &p->conv.stride, p->temporal_stride, p->stride) &&
	       set_list(l, &p->conv.pad, p->temporal_pad, p->pad) && set_list(l, &p->conv.dilation, 1, 1);
}

static enum moka_status conv3d_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	const struct conv3d_param *p = l->param;
	char text[MOKA_SHAPE_TEXT];

	l->n_param = 0;
	if (s->n >= 0 && s->n != 5)
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 0,
			"convolves blobs of 5 axes (num, channels, time, height, width), and '%s' is %s",
			l->bottom[0].name, moka_shape_text(s, text, sizeof(text)));
	if (!p->kernel_size || !p->kernel_depth)
		return moka_layer_bad(l, f, "missing-setting", NULL, "%s is missing",
				      p->kernel_size ? "kernel_depth" : "kernel_size");
	if (!translate(l))
		return MOKA_ERR_NOMEM;
	return moka__conv_shape(l, f, MOKA__CONV);
}

/* clang-format off */
const struct moka_layer_type moka_layer_convolution3d = {
	.schema = { "Convolution3D", "convolution3d_param", 6661, 0, &conv3d_message, NULL, 0, "C3D" },
	.doc = "slides learned kernels over time, height and width",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = conv3d_shape, .forward = moka__conv_forward, .backward = moka__conv_backward,
};
/* clang-format on */
