/*
 * conv_geometry.c - ConvolutionParameter's fields, and the geometry that they and a bottom's shape make.
 *
 * A setting is given as a list (once for all spatial axes, or once each) or, for two axes, as _h and _w. An
 * unknown bottom still tells the number of tops' channels: a fragment's first convolution is drawn as ?x96x?x?.
 * A lone kernel_size doesn't say how many axes there are; pictures (two) are assumed then.
 */
#include "conv.h"

#include <string.h>

/* clang-format off */
#define P struct moka__conv_param
static const struct moka_field conv_fields[] = {
	MOKA_F_UINT32(P, num_output, 1, 0, "channels of the output"),
	MOKA_F_BOOL(P, bias_term, 2, true, "add a bias to each output channel"),
	MOKA_F_REP(P, pad, 3, MOKA_UINT32, "zeros around the input: once, or once per spatial axis; default 0"),
	MOKA_F_REP(P, kernel_size, 4, MOKA_UINT32, "size of the kernel: once, or once per spatial axis"),
	MOKA_F_REP(P, stride, 6, MOKA_UINT32, "step of the kernel: once, or once per spatial axis; default 1"),
	MOKA_F_REP(P, dilation, 18, MOKA_UINT32, "distance between kernel taps: once, or once per spatial axis; default 1"),
	MOKA_F_UINT32(P, pad_h, 9, 0, "padding of the height, instead of pad"),
	MOKA_F_UINT32(P, pad_w, 10, 0, "padding of the width, instead of pad"),
	MOKA_F_UINT32(P, kernel_h, 11, 0, "height of the kernel, instead of kernel_size"),
	MOKA_F_UINT32(P, kernel_w, 12, 0, "width of the kernel, instead of kernel_size"),
	MOKA_F_UINT32(P, stride_h, 13, 0, "vertical step, instead of stride"),
	MOKA_F_UINT32(P, stride_w, 14, 0, "horizontal step, instead of stride"),
	MOKA_F_UINT32(P, group, 5, 1, "cuts the channels into groups that don't see each other"),
	MOKA_F_MSG(P, weight_filler, 7, &moka_filler_message, "first values of the weights"),
	MOKA_F_MSG(P, bias_filler, 8, &moka_filler_message, "first values of the bias"),
	MOKA_F_ENGINE(15),
	MOKA_F_INT32(P, axis, 16, 1, "the channels' axis; those behind it are spatial"),
	MOKA_F_BOOL(P, force_nd_im2col, 17, false, "one of Caffe's code paths; changes nothing here"),
	MOKA_F_END
};
/* clang-format on */
#undef P
const struct moka_message moka__conv_message = { "ConvolutionParameter", conv_fields, sizeof(struct moka__conv_param) };

/* One of kernel, stride, pad, dilation: where its values may stand. */
struct setting {
	const char *list_name, *h_name, *w_name; /* h_name NULL: a list only */
	const struct moka_list *list;
	uint32_t h, w;
	int64_t otherwise; /* where absent; -1: it has to be given */
	int64_t least;
};

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && field && moka_has(l->sub, field);
}

static enum moka_status setting_read(const struct moka_layer *l, struct moka_findings *f, const struct setting *s,
				     int axes, int64_t *out)
{
	const struct moka_list *list = s->list;

	if (has(l, s->h_name) || has(l, s->w_name)) {
		const char *at = has(l, s->h_name) ? s->h_name : s->w_name;

		if (axes != 2)
			return moka_layer_bad(l, f, "bad-setting", at,
					      "%s and %s are for two spatial axes, and there are %d; use %s", s->h_name,
					      s->w_name, axes, s->list_name);
		if (list->n)
			return moka_layer_bad(l, f, "bad-setting", at,
					      "%s is given both as %s and as %s, %s; one of them is enough",
					      s->list_name, s->list_name, s->h_name, s->w_name);
		out[0] = s->h;
		out[1] = s->w;
	} else {
		if (!list->n && s->otherwise < 0 && axes > 0)
			return moka_layer_bad(l, f, "missing-setting", s->list_name, "%s is missing", s->list_name);
		if (list->n > 1 && list->n != (size_t)axes)
			return moka_layer_bad(
				l, f, "bad-setting", s->list_name,
				"%s is given %zu times; it takes one value, or one for each of the %d spatial axes",
				s->list_name, list->n, axes);
		for (int i = 0; i < axes; i++)
			out[i] = list->n ? (int64_t)MOKA_LIST_AT(*list, uint32_t, list->n == 1 ? 0 : i) : s->otherwise;
	}
	for (int i = 0; i < axes; i++)
		if (out[i] < s->least) {
			const char *at = has(l, s->h_name) ? s->h_name : has(l, s->w_name) ? s->w_name : s->list_name;

			return moka_layer_bad(l, f, "bad-setting", at,
					      "%s must be at least %lld, and is %lld on spatial axis %d", s->list_name,
					      (long long)s->least, (long long)out[i], i);
		}
	return MOKA_OK;
}

static enum moka_status settings_read(const struct moka_layer *l, struct moka_findings *f, int axes,
				      struct moka_conv_geometry *g)
{
	const struct moka__conv_param *p = l->param;
	const struct setting kernel = { "kernel_size", "kernel_h",  "kernel_w", &p->kernel_size,
					p->kernel_h,   p->kernel_w, -1,		1 };
	const struct setting stride = { "stride", "stride_h", "stride_w", &p->stride, p->stride_h, p->stride_w, 1, 1 };
	const struct setting pad = { "pad", "pad_h", "pad_w", &p->pad, p->pad_h, p->pad_w, 0, 0 };
	const struct setting dilation = { "dilation", NULL, NULL, &p->dilation, 0, 0, 1, 1 };

	MOKA_TRY(setting_read(l, f, &kernel, axes, g->kernel));
	MOKA_TRY(setting_read(l, f, &stride, axes, g->stride));
	MOKA_TRY(setting_read(l, f, &pad, axes, g->pad));
	return setting_read(l, f, &dilation, axes, g->dilation);
}

/* dilation * (kernel - 1) + 1, INT64_MAX where that is too large. */
static int64_t extent(const struct moka_conv_geometry *g, int i)
{
	int64_t e;

	return moka_mul(g->dilation[i], g->kernel[i] - 1, &e) && moka_add(e, 1, &e) ? e : INT64_MAX;
}

/* The size of spatial axis i behind the convolution; a finding where the kernel doesn't fit. */
static enum moka_status output_size(const struct moka_layer *l, struct moka_findings *f,
				    const struct moka_conv_geometry *g, int i, int axis, int64_t in, int64_t *out)
{
	const int64_t e = extent(g, i);
	int64_t padded;

	*out = -1;
	if (in < 0)
		return MOKA_OK;
	if (!moka_add(in, 2 * g->pad[i], &padded))
		return moka_layer_bad(l, f, "too-large", "pad", "axis %d with its padding is too large to count", axis);
	/* where the stride steps over what is missing, Caffe's division (towards zero) leaves one output, zeros behind the input */
	if (e > padded && e - padded < g->stride[i] && padded > 0) {
		moka_find(
			f, MOKA_WARNING, "kernel-too-large", moka_msg_loc(l->msg),
			"layer '%s' (%s): the kernel reaches over %lld values of axis %d, but '%s' has %lld there with its padding; Caffe makes one output of it, and so does Moka",
			l->name, l->type->schema.type, (long long)e, axis, l->bottom[0].name, (long long)padded);
		*out = 1;
		return MOKA_OK;
	}
	if (e > padded) {
		const char *at = has(l, "kernel_size") ? "kernel_size" : i ? "kernel_w" : "kernel_h";

		moka_layer_bad(
			l, f, "kernel-too-large", at,
			"the kernel reaches over %lld values of axis %d, but '%s' has %lld there with its padding (%lld + 2 x %lld)",
			(long long)e, axis, l->bottom[0].name, (long long)padded, (long long)in, (long long)g->pad[i]);
		moka_find_hint(f, "a smaller kernel or dilation, more padding, or a larger input");
		return MOKA_ERR_MODEL;
	}
	*out = (padded - e) / g->stride[i] + 1;
	return MOKA_OK;
}

/* The size of spatial axis i behind a transposed convolution. */
static enum moka_status upsampled_size(const struct moka_layer *l, struct moka_findings *f,
				       const struct moka_conv_geometry *g, int i, int axis, int64_t in, int64_t *out)
{
	int64_t n;

	*out = -1;
	if (in < 0)
		return MOKA_OK;
	if (!moka_mul(g->stride[i], in > 0 ? in - 1 : 0, &n) || !moka_add(n, extent(g, i), &n))
		return moka_layer_bad(l, f, "too-large", "stride", "the output's axis %d is too large to count", axis);
	n -= 2 * g->pad[i];
	if (in == 0 || n < 1)
		return moka_layer_bad(
			l, f, "kernel-too-large", "pad",
			"the output's axis %d would have %lld values: %lld of '%s', stride %lld, kernel %lld, padding %lld",
			axis, (long long)(in ? n : 0), (long long)in, l->bottom[0].name, (long long)g->stride[i],
			(long long)g->kernel[i], (long long)g->pad[i]);
	*out = n;
	return MOKA_OK;
}

/* The bottom's shape; of one that isn't known at all, as much as the settings tell. */
static struct moka_shape bottom_shape(const struct moka_layer *l)
{
	const struct moka__conv_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	const bool hw = has(l, "kernel_h") || has(l, "kernel_w");
	int axes;

	if (s.n >= 0)
		return s;
	axes = hw || p->kernel_size.n <= 1 || p->kernel_size.n > MOKA_CONV_AXES ? 2 : (int)p->kernel_size.n;
	s.n = (p->axis < 0 || p->axis > MOKA_MAX_AXES - 1 - MOKA_CONV_AXES ? 1 : p->axis) + 1 + axes;
	for (int i = 0; i < s.n; i++)
		s.d[i] = -1;
	return s;
}

static enum moka_status check_channels(const struct moka_layer *l, struct moka_findings *f, int64_t channels,
				       int64_t group)
{
	const struct moka__conv_param *p = l->param;

	if (p->num_output == 0)
		return moka_layer_bad(l, f, "missing-setting", "num_output", "num_output %s",
				      has(l, "num_output") ? "must be at least 1, and is 0" : "is missing");
	if (group < 1)
		return moka_layer_bad(l, f, "bad-group", "group", "group must be at least 1, and is 0");
	if (channels >= 0 && channels % group)
		return moka_layer_bad(l, f, "bad-group", "group", "%lld groups do not divide the %lld channels of '%s'",
				      (long long)group, (long long)channels, l->bottom[0].name);
	if (p->num_output % group)
		return moka_layer_bad(l, f, "bad-group", "group", "%lld groups do not divide num_output, %u",
				      (long long)group, p->num_output);
	return MOKA_OK;
}

static int64_t per_group(int64_t channels, int64_t group)
{
	return channels < 0 ? -1 : channels / group;
}

static enum moka_status add_params(struct moka_layer *l, struct moka_findings *f, const struct moka_conv_geometry *g,
				   int axes, int64_t rows, int64_t columns)
{
	const struct moka__conv_param *p = l->param;
	struct moka_shape w = moka_shape_make(2, rows, columns);

	for (int i = 0; i < axes; i++)
		w.d[w.n++] = g->kernel[i];
	MOKA_TRY(moka_layer_filled(l, f, "weight", w, "weight_filler", p->weight_filler));
	if (!p->bias_term)
		return MOKA_OK;
	return moka_layer_filled(l, f, "bias", moka_shape_make(1, (int64_t)p->num_output), "bias_filler",
				 p->bias_filler);
}

/* What the arithmetic needs; everything saturates, and -1 where the shape isn't known (then nothing runs). */
static void derive(struct moka__conv *v, int64_t images, int64_t image_channels, int64_t out_channels)
{
	struct moka_conv_geometry *g = &v->g;

	v->images = images;
	g->channels = per_group(image_channels, v->group);
	v->outputs = per_group(out_channels, v->group);
	v->kernel_dim = moka_layer_product(2, (int64_t[]){ g->channels, moka_layer_product(g->axes, g->kernel) });
	v->image_size = moka_layer_product(2, (int64_t[]){ g->channels, moka_layer_product(g->axes, g->in) });
	v->out_size = moka_layer_product(g->axes, g->out);
	v->unit = true;
	for (int i = 0; i < g->axes; i++)
		v->unit &= g->kernel[i] == 1 && g->stride[i] == 1 && g->pad[i] == 0;
	v->depthwise = g->axes == 2 && v->group > 1 && g->channels == 1;
}

/* An axis count of 0 is a matrix product: one position. */
static void one_position(struct moka_conv_geometry *g)
{
	g->axes = 1;
	g->in[0] = g->out[0] = g->kernel[0] = g->stride[0] = g->dilation[0] = 1;
	g->pad[0] = 0;
}

static enum moka_status spatial_sizes(const struct moka_layer *l, struct moka_findings *f, struct moka__conv *v,
				      const struct moka_shape *bottom, int axis, struct moka_shape *top)
{
	struct moka_conv_geometry *g = &v->g;

	for (int i = 0; i < g->axes; i++) {
		const int at = axis + 1 + i;

		if (v->transposed) {
			g->out[i] = bottom->d[at];
			MOKA_TRY(upsampled_size(l, f, g, i, at, bottom->d[at], &g->in[i]));
			top->d[at] = g->in[i];
		} else {
			g->in[i] = bottom->d[at];
			MOKA_TRY(output_size(l, f, g, i, at, bottom->d[at], &g->out[i]));
			top->d[at] = g->out[i];
		}
	}
	return MOKA_OK;
}

static enum moka_status finish(struct moka_layer *l, struct moka_findings *f, struct moka__conv *v,
			       const struct moka_shape *bottom, int axis, const struct moka_shape *top,
			       enum moka__conv_kind kind)
{
	const int64_t channels = bottom->d[axis], made = top->d[axis];
	const int spatial = v->g.axes;

	if (!spatial)
		one_position(&v->g);
	derive(v, moka_shape_count_range(bottom, 0, axis), v->transposed ? made : channels,
	       v->transposed ? channels : made);
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = *top;
	if (kind == MOKA__CONV_COLUMNS)
		return MOKA_OK;
	const int64_t rows = v->transposed ? channels : made, columns = v->transposed ? made : channels;
	MOKA_TRY(add_params(l, f, &v->g, spatial, rows, per_group(columns, v->group)));
	l->macs = moka_layer_product(5, (int64_t[]){ l->n_bottom, v->images, rows, v->kernel_dim, v->out_size });
	if (!v->unit && !(v->depthwise && !v->transposed))
		l->scratch_bytes = moka_layer_bytes(moka_layer_product(2, (int64_t[]){ v->kernel_dim, v->out_size }),
						    sizeof(real));
	return MOKA_OK;
}

enum moka_status moka__conv_shape(struct moka_layer *l, struct moka_findings *f, enum moka__conv_kind kind)
{
	const struct moka__conv_param *p = l->param;
	struct moka_shape bottom = bottom_shape(l), top = bottom;
	struct moka__conv *v = moka_layer_priv(l, sizeof(*v));
	int axis = moka_layer_axis(l, f, "axis", p->axis, &bottom);

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (axis < 0)
		return MOKA_ERR_MODEL;
	memset(v, 0, sizeof(*v));
	v->transposed = kind == MOKA__CONV_TRANSPOSED;
	v->g.axes = bottom.n - axis - 1;
	if (v->g.axes > MOKA_CONV_AXES)
		return moka_layer_bad(l, f, "too-many-axes", "axis", "%d spatial axes; Moka convolves up to %d",
				      v->g.axes, MOKA_CONV_AXES);
	if (kind == MOKA__CONV_COLUMNS && v->g.axes < 1)
		return moka_layer_bad(l, f, "bad-axis", "axis", "there is no spatial axis behind the channels");
	v->group = kind == MOKA__CONV_COLUMNS ? 1 : (int64_t)p->group;
	if (kind == MOKA__CONV_DEPTHWISE && !has(l, "group"))
		v->group = bottom.d[axis] > 0 ? bottom.d[axis] : 1;
	MOKA_TRY(settings_read(l, f, v->g.axes, &v->g));
	if (kind != MOKA__CONV_COLUMNS)
		MOKA_TRY(check_channels(l, f, bottom.d[axis], v->group));
	MOKA_TRY(moka_layer_same_shapes(l, f));
	MOKA_TRY(spatial_sizes(l, f, v, &bottom, axis, &top));
	top.d[axis] = p->num_output;
	if (kind == MOKA__CONV_COLUMNS)
		top.d[axis] = moka_layer_product(
			2, (int64_t[]){ bottom.d[axis], moka_layer_product(v->g.axes, v->g.kernel) });
	return finish(l, f, v, &bottom, axis, &top, kind);
}
