/*
 * Pooling: the largest value, the average, or one value by chance, of each window of a plane (4 axes: N, C, H,
 * W).
 *
 * Where Caffe surprises: the size is rounded up (round_mode FLOOR: down), a last window that would start in the
 * padding is dropped, and an average divides by the window with its padding. A second top of MAX tells where
 * each maximum stood (an index in the plane).
 *
 * The OpenCL fork pools over any number of axes (kernel_size, stride and pad once, or once for each) and takes only every
 * dilation-th value; a fork for image quality knows the least value, MIN. Those go through pool_nd.c, a plain plane through
 * pool_planes.c.
 */
#include "kernels/blocked_train.h"
#include "pooling.h"
#include "pool.h"
#include "pool_nd.h"
#include "onnx.h"
#include "op.h"
#include "tensor.h"

#include <string.h>

struct pooling_param {
	int pool;
	struct moka_list pad, kernel_size, stride, dilation; /* uint32_t */
	uint32_t pad_h, pad_w, kernel_h, kernel_w, stride_h, stride_w;
	bool global_pooling;
	int round_mode;
	bool ceil_mode;
};

static const struct moka_enum_value round_values[] = { { "CEIL", 0 }, { "FLOOR", 1 }, { NULL, 0 } };
static const struct moka_enum_value method_values[] = { { "MAX", MOKA__POOL_MAX },
							{ "AVE", MOKA__POOL_AVE },
							{ "STOCHASTIC", MOKA__POOL_STOCHASTIC },
							{ "MIN", MOKA__POOL_MIN },
							{ NULL, 0 } };

/* clang-format off */
#define P struct pooling_param
static const struct moka_field pooling_fields[] = {
	MOKA_F_ENUM(P, pool, 1, method_values, MOKA__POOL_MAX, "what is taken of a window; MIN: a fork for image quality"),
	MOKA_F_REP(P, pad, 4, MOKA_UINT32, "padding on every side, default 0; OpenCL Caffe: or once for each spatial axis"),
	MOKA_F_UINT32(P, pad_h, 9, 0, "padding above and below, instead of pad"),
	MOKA_F_UINT32(P, pad_w, 10, 0, "padding left and right, instead of pad"),
	MOKA_F_REP(P, kernel_size, 2, MOKA_UINT32, "side of a square window; OpenCL Caffe: or once for each spatial axis"),
	MOKA_F_UINT32(P, kernel_h, 5, 0, "height of the window, instead of kernel_size"),
	MOKA_F_UINT32(P, kernel_w, 6, 0, "width of the window, instead of kernel_size"),
	MOKA_F_REP(P, stride, 3, MOKA_UINT32, "step of the window, default 1; OpenCL Caffe: or once for each spatial axis"),
	MOKA_F_UINT32(P, stride_h, 7, 0, "vertical step, instead of stride"),
	MOKA_F_UINT32(P, stride_w, 8, 0, "horizontal step, instead of stride"),
	MOKA_F_ENGINE(11),
	MOKA_F_BOOL(P, global_pooling, 12, false, "one window over the whole plane"),
	MOKA_F_ENUM(P, round_mode, 13, round_values, 0, "rounds the pooled size up or down"),
	{ "ceil_mode", 14, MOKA_BOOL, MOKA_OPTIONAL, (uint32_t)offsetof(P, ceil_mode), 1, NULL, NULL, NULL,
	  "false rounds the pooled size down, as round_mode: FLOOR does", "several forks" },
	/* that fork's number is 13, which is BVLC's round_mode */
	{ "dilation", 9013, MOKA_UINT32, MOKA_REPEATED, (uint32_t)offsetof(P, dilation), 0, NULL, NULL, NULL,
	  "distance between the values that a window takes, default 1: once, or once for each spatial axis", "OpenCL Caffe" },
	MOKA_F_END
};
/* clang-format on */
#undef P
const struct moka_message moka__pooling_message = { "PoolingParameter", pooling_fields, sizeof(struct pooling_param) };

/* The geometry, for both ways of pooling. */
struct pooling {
	struct moka__pool plane;
	struct moka__pool_nd nd;
	bool plain; /* two axes, not dilated, not MIN */
};

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && moka_has(l->sub, field);
}

/* One of kernel, stride, pad, dilation: a list, or for two axes _h and _w. */
struct setting {
	const char *name, *h, *w; /* h NULL: a list only */
	const struct moka_list *list;
	uint32_t vh, vw;
	int64_t otherwise;
};

static const char *setting_field(const struct moka_layer *l, const struct setting *s)
{
	return has(l, s->name) || !s->h ? s->name : has(l, s->h) ? s->h : s->w;
}

static enum moka_status read_pair(const struct moka_layer *l, struct moka_findings *f, const struct setting *s,
				  int axes, int64_t *out)
{
	const char *at = has(l, s->h) ? s->h : s->w;

	if (s->list->n)
		return moka_layer_bad(l, f, "bad-setting", at, "%s is given as %s and as %s, %s; one of them is enough",
				      s->name, s->name, s->h, s->w);
	if (!has(l, s->h) || !has(l, s->w))
		return moka_layer_bad(l, f, "bad-setting", at, "%s is given without %s", at,
				      has(l, s->h) ? s->w : s->h);
	if (axes != 2)
		return moka_layer_bad(l, f, "bad-setting", at,
				      "%s and %s are for two spatial axes, and there are %d; use %s", s->h, s->w, axes,
				      s->name);
	out[0] = s->vh;
	out[1] = s->vw;
	return MOKA_OK;
}

static enum moka_status read_setting(const struct moka_layer *l, struct moka_findings *f, const struct setting *s,
				     int axes, int64_t least, int64_t *out)
{
	const struct moka_list *list = s->list;

	if (s->h && (has(l, s->h) || has(l, s->w))) {
		MOKA_TRY(read_pair(l, f, s, axes, out));
	} else {
		if (list->n > 1 && list->n != (size_t)axes)
			return moka_layer_bad(
				l, f, "bad-setting", s->name,
				"%s is given %zu times; it takes one value, or one for each of the %d spatial axes",
				s->name, list->n, axes);
		for (int i = 0; i < axes; i++)
			out[i] = list->n ? (int64_t)MOKA_LIST_AT(*list, uint32_t, list->n == 1 ? 0 : i) : s->otherwise;
	}
	for (int i = 0; i < axes; i++) {
		if (out[i] < least)
			return moka_layer_bad(l, f, "bad-setting", setting_field(l, s),
					      "the %s must be at least %lld, and is %lld on spatial axis %d", s->name,
					      (long long)least, (long long)out[i], i);
		if (out[i] > INT32_MAX)
			return moka_layer_bad(l, f, "too-large", setting_field(l, s),
					      "kernel, padding and stride of 2^31 or more can't be pooled with");
	}
	return MOKA_OK;
}

static const char *kernel_field(const struct moka_layer *l)
{
	return has(l, "kernel_size") ? "kernel_size" : "kernel_h";
}

static enum moka_status read_kernel(const struct moka_layer *l, struct moka_findings *f, struct moka__pool_nd *g)
{
	const struct pooling_param *p = l->param;
	const struct setting s = {
		"kernel_size", "kernel_h", "kernel_w", &p->kernel_size, p->kernel_h, p->kernel_w, 0
	};
	const bool given = has(l, "kernel_size") || has(l, "kernel_h") || has(l, "kernel_w");

	if (p->global_pooling && given)
		return moka_layer_bad(l, f, "bad-setting", "global_pooling",
				      "global_pooling takes the whole plane; a kernel can't be given too");
	if (p->global_pooling) {
		memcpy(g->kernel, g->in, sizeof(g->kernel));
		return MOKA_OK;
	}
	if (!given)
		return moka_layer_bad(l, f, "missing-setting", NULL,
				      "kernel_size (or kernel_h and kernel_w, or global_pooling: true) is missing");
	return read_setting(l, f, &s, g->axes, 1, g->kernel);
}

/* What the values of the settings may not be together. */
static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f,
				       const struct moka__pool_nd *g)
{
	const struct pooling_param *p = l->param;

	for (int i = 0; i < g->axes; i++) {
		if (p->global_pooling && (g->pad[i] || g->stride[i] != 1 || g->dilation[i] != 1))
			return moka_layer_bad(l, f, "bad-setting", "global_pooling",
					      "global_pooling goes with pad 0 and stride 1 only");
		if (g->pad[i] && p->pool == MOKA__POOL_STOCHASTIC)
			return moka_layer_bad(l, f, "bad-setting", "pad", "STOCHASTIC pooling takes no padding");
		if (g->pad[i] && g->pad[i] >= g->kernel[i])
			return moka_layer_bad(
				l, f, "bad-setting", has(l, "pad") ? "pad" : "pad_h",
				"the padding (%lld) must be smaller than the kernel (%lld), on spatial axis %d",
				(long long)g->pad[i], (long long)g->kernel[i], i);
	}
	return MOKA_OK;
}

static enum moka_status read_settings(const struct moka_layer *l, struct moka_findings *f, struct moka__pool_nd *g)
{
	const struct pooling_param *p = l->param;
	const struct setting pad = { "pad", "pad_h", "pad_w", &p->pad, p->pad_h, p->pad_w, 0 };
	const struct setting stride = { "stride", "stride_h", "stride_w", &p->stride, p->stride_h, p->stride_w, 1 };
	const struct setting dilation = { "dilation", NULL, NULL, &p->dilation, 0, 0, 1 };

	MOKA_TRY(read_kernel(l, f, g));
	MOKA_TRY(read_setting(l, f, &pad, g->axes, 0, g->pad));
	MOKA_TRY(read_setting(l, f, &stride, g->axes, 1, g->stride));
	MOKA_TRY(read_setting(l, f, &dilation, g->axes, 1, g->dilation));
	return check_settings(l, f, g);
}

/* "height" and "width" of planes, "size along axis 4" of others. */
static const char *axis_name(const struct moka__pool_nd *g, int i, char *buf, size_t size)
{
	if (g->axes == 2)
		return i ? "width" : "height";
	snprintf(buf, size, "size along axis %d", i + 2);
	return buf;
}

static enum moka_status pooled_size(const struct moka_layer *l, struct moka_findings *f, struct moka__pool_nd *g, int i)
{
	const struct pooling_param *p = l->param;
	const int64_t in = g->in[i];
	int64_t extent;
	char buf[32];

	g->out[i] = p->global_pooling ? 1 : -1;
	if (in < 0 || p->global_pooling)
		return MOKA_OK;
	if (in > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", NULL, "a %s of %lld is too large to pool",
				      axis_name(g, i, buf, sizeof(buf)), (long long)in);
	if (!moka_mul(g->dilation[i], g->kernel[i] - 1, &extent) || extent > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", "dilation", "a window of 2^31 or more can't be pooled with");
	extent++;
	g->out[i] = moka__pool_size(in, extent, g->stride[i], g->pad[i], p->round_mode == 1 || !p->ceil_mode);
	if (g->out[i] >= 1)
		return MOKA_OK;
	return moka_layer_bad(l, f, "kernel-too-large", kernel_field(l),
			      "the kernel's %s is %lld, but '%s' has only %lld there with its padding",
			      axis_name(g, i, buf, sizeof(buf)), (long long)extent, l->bottom[0].name,
			      (long long)(in + 2 * g->pad[i]));
}

static enum moka_status check_form(const struct moka_layer *l, struct moka_findings *f, const struct moka_shape *s)
{
	const struct pooling_param *p = l->param;
	char text[MOKA_SHAPE_TEXT];

	if (s->n >= 0 && (s->n < 4 || s->n > 2 + MOKA__POOL_AXES))
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 0,
			"pools blobs of 4 axes (num, channels, height, width), or of up to %d, and '%s' is %s",
			2 + MOKA__POOL_AXES, l->bottom[0].name, moka_shape_text(s, text, sizeof(text)));
	if (l->n_top > 1 && p->pool != MOKA__POOL_MAX)
		return moka_layer_bad(l, f, "bad-setting", "pool",
				      "a second top (where the maxima stood) goes with MAX only");
	return MOKA_OK;
}

/* What is kept for backward: where each output came from. A random number for each output is drawn into scratch. */
static void set_memory(struct moka_layer *l)
{
	const struct pooling_param *p = l->param;
	const int64_t count = moka_shape_count(&l->top[0].shape);

	l->state_for_backward = true;
	if (p->pool != MOKA__POOL_AVE)
		l->state_bytes = moka_layer_bytes(count, sizeof(int32_t));
	if (p->pool == MOKA__POOL_STOCHASTIC && l->phase == MOKA_TRAIN)
		l->scratch_bytes = moka_layer_bytes(count, sizeof(real));
}

/* Which way to pool: two plain axes are planes. */
static enum moka_status choose(struct moka_layer *l, struct moka_findings *f, struct pooling *v,
			       const struct moka_shape *s)
{
	const struct pooling_param *p = l->param;
	const struct moka__pool_nd *g = &v->nd;

	v->plain = g->axes == 2 && g->dilation[0] == 1 && g->dilation[1] == 1 && p->pool != MOKA__POOL_MIN;
	if (!v->plain && p->pool == MOKA__POOL_STOCHASTIC)
		return moka_layer_bad(l, f, "bad-setting", "pool",
				      "STOCHASTIC pools planes, not dilated: two axes behind the channels");
	if (!v->plain)
		return MOKA_OK;
	v->plane =
		(struct moka__pool){ .planes = g->planes,
				     .channels = s->d[1],
				     .item_stride = moka_layer_product(3, (int64_t[]){ s->d[1], g->out[0], g->out[1] }),
				     .h = g->in[0],
				     .w = g->in[1],
				     .oh = g->out[0],
				     .ow = g->out[1],
				     .kh = g->kernel[0],
				     .kw = g->kernel[1],
				     .sh = g->stride[0],
				     .sw = g->stride[1],
				     .ph = g->pad[0],
				     .pw = g->pad[1] };
	return MOKA_OK;
}

/* The bottom's shape; of one that isn't known, as many axes as the settings tell: pictures unless they say more. */
static struct moka_shape bottom_shape(const struct moka_layer *l)
{
	const struct pooling_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;

	if (s.n >= 0)
		return s;
	s.n = p->kernel_size.n > 2 && p->kernel_size.n <= MOKA__POOL_AXES ? 2 + (int)p->kernel_size.n : 4;
	for (int i = 0; i < s.n; i++)
		s.d[i] = -1;
	return s;
}

enum moka_status moka__pooling_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct pooling_param *p = l->param;
	struct moka_shape s = bottom_shape(l);
	struct pooling *v = moka_layer_priv(l, sizeof(*v));
	struct moka__pool_nd *g;

	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(check_form(l, f, &s));
	memset(v, 0, sizeof(*v));
	g = &v->nd;
	g->axes = s.n - 2;
	g->method = p->pool;
	g->planes = moka_layer_product(2, s.d);
	memcpy(g->in, s.d + 2, (size_t)g->axes * sizeof(*g->in));
	g->in_count = moka_layer_product(g->axes, g->in);
	MOKA_TRY(read_settings(l, f, g));
	for (int i = 0; i < g->axes; i++) {
		MOKA_TRY(pooled_size(l, f, g, i));
		s.d[i + 2] = g->out[i];
	}
	if (g->in_count > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", NULL, "planes of %lld values are too large to pool",
				      (long long)g->in_count);
	g->out_count = moka_layer_product(g->axes, g->out);
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = s;
	l->reads_top = p->pool == MOKA__POOL_STOCHASTIC && l->phase == MOKA_TEST;
	set_memory(l);
	return choose(l, f, v, &s);
}

/* ---- blobs in blocks -------------------------------------------------------------------------------- */

static enum moka_layout pooling_layout(const struct moka_layer *l, int block)
{
	const struct pooling_param *p = l->param;
	const struct pooling *v = l->priv;

	(void)block;
	return v->plain && l->n_top == 1 && (p->pool == MOKA__POOL_MAX || p->pool == MOKA__POOL_AVE)
		       ? MOKA_LAYOUT_ALIKE
		       : MOKA_LAYOUT_PLAIN;
}

/* A top of one pixel counts as plain, and lies either way. */
static struct moka_pool_desc blocked_desc(const struct moka_layer *l)
{
	const struct pooling_param *p = l->param;
	const struct moka__pool *g = &((const struct pooling *)l->priv)->plane;

	return (struct moka_pool_desc){ p->pool == MOKA__POOL_MAX ? MOKA_POOL_MAX : MOKA_POOL_AVERAGE,
					{ g->kh, g->kw },
					{ g->sh, g->sw },
					{ g->ph, g->pw } };
}

static void blocked_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka_pool_desc d = blocked_desc(l);
	const struct moka_tensor x = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].data),
				 y = moka__tensor(c->top[0].shape, c->bottom[0].block, c->top[0].data);

	if (d.kind == MOKA_POOL_MAX && c->backward_follows)
		moka_pool2d_where(c->pool, &d, &x, &y, c->state);
	else
		moka_pool2d(c->pool, &d, &x, &y);
}

static void blocked_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka_pool_desc d = blocked_desc(l);
	const struct moka_tensor dx = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].diff),
				 dy = moka__tensor(c->top[0].shape, c->bottom[0].block, c->top[0].diff);

	if (c->top[0].diff)
		moka_pool2d_gradient(c->pool, &d, &dy, d.kind == MOKA_POOL_MAX ? c->state : NULL, &dx);
	else
		moka_set(c->bottom[0].count, 0, dx.data);
}

enum moka_status moka__pooling_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct pooling_param *p = l->param;
	const struct pooling *v = l->priv;
	const struct moka__pool *g = &v->plane;
	const real *x = c->bottom[0].data;
	real *y = c->top[0].data, *draw = c->scratch, *top_mask = l->n_top > 1 ? c->top[1].data : NULL;
	int32_t *mask = c->backward_follows ? c->state : NULL;

	if (c->bottom[0].block > 1) {
		blocked_forward(l, c);
	} else if (!v->plain) {
		moka__pool_nd(c->pool, &v->nd, x, y, p->pool == MOKA__POOL_AVE ? NULL : mask, top_mask);
	} else if (p->pool == MOKA__POOL_MAX) {
		moka__pool_max(c->pool, g, x, y, mask, top_mask);
	} else if (p->pool == MOKA__POOL_AVE) {
		moka__pool_ave(c->pool, g, x, y);
	} else if (l->phase == MOKA_TRAIN) {
		for (int64_t i = 0; i < c->top[0].count; i++)
			draw[i] = (real)moka_rng_uniform(c->rng);
		moka__pool_draw(c->pool, g, x, draw, y, mask);
	} else {
		moka__pool_expect(c->pool, g, x, y);
	}
	return MOKA_OK;
}

enum moka_status moka__pooling_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct pooling_param *p = l->param;
	const struct pooling *v = l->priv;
	const struct moka__pool *g = &v->plane;
	const real *dy = c->top[0].diff;
	real *dx = c->bottom[0].diff;

	if (!dx)
		return MOKA_OK;
	if (c->bottom[0].block > 1) {
		blocked_backward(l, c);
		return MOKA_OK;
	}
	if (!v->plain) {
		moka__pool_nd_gradient(c->pool, &v->nd, dy, c->state, dx);
		return MOKA_OK;
	}
	moka_set(c->bottom[0].count, 0, dx);
	if (!dy)
		return MOKA_OK;
	if (p->pool == MOKA__POOL_AVE)
		moka__pool_ave_gradient(c->pool, g, dy, dx);
	else if (p->pool == MOKA__POOL_MAX || l->phase == MOKA_TRAIN)
		moka__pool_mask_gradient(c->pool, g, dy, c->state, dx);
	else
		moka__pool_expect_gradient(c->pool, g, c->bottom[0].data, c->top[0].data, dy, dx);
	return MOKA_OK;
}

/* What the padding behind the plane must be for ONNX to make as many windows, rounding down. */
static int64_t pad_behind(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad)
{
	return MOKA_MAX((out - 1) * stride + kernel - in - pad, 0);
}

static const char *pool_node(struct moka_onnx *o, const char *op, const char *out, const struct moka__pool *g,
			     int64_t behind_h, int64_t behind_w, bool count_pad)
{
	struct moka_onnx_node *n = moka_onnx_node(o, op, out, o->bottom[0], NULL);

	moka_onnx_ints(o, n, "kernel_shape", 2, (int64_t[]){ g->kh, g->kw });
	moka_onnx_ints(o, n, "pads", 4, (int64_t[]){ g->ph, g->pw, behind_h, behind_w });
	moka_onnx_ints(o, n, "strides", 2, (int64_t[]){ g->sh, g->sw });
	if (count_pad)
		moka_onnx_int(o, n, "count_include_pad", 1);
	return out;
}

/* Kernel's size over the size that Caffe divides by: a window ends where the padded plane does. */
static const char *divisors(struct moka_onnx *o, const struct moka__pool *g)
{
	real *v = MOKA_NEWN(o->arena, g->oh * g->ow + 1, real);
	const char *name;

	for (int64_t y = 0; v && y < g->oh; y++)
		for (int64_t x = 0; x < g->ow; x++) {
			const int64_t h = MOKA_MIN(y * g->sh + g->kh, g->h + 2 * g->ph) - y * g->sh;
			const int64_t w = MOKA_MIN(x * g->sw + g->kw, g->w + 2 * g->pw) - x * g->sw;
			v[y * g->ow + x] = (real)((double)(g->kh * g->kw) / (double)(h * w));
		}
	name = v ? moka_onnx_reals(o, moka_shape_make(2, g->oh, g->ow), v) : "";
	if (!v)
		o->status = MOKA_ERR_NOMEM;
	return name;
}

/*
 * ONNX rounds down here, with the padding behind the plane made so large that the windows are Caffe's; its own ceil_mode
 * keeps a last window that lies in the padding.
 */
static enum moka_status pooling_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct pooling_param *p = l->param;
	const struct pooling *v = l->priv;
	const struct moka__pool *g = &v->plane;
	const int64_t bh = pad_behind(g->h, g->oh, g->kh, g->sh, g->ph),
		      bw = pad_behind(g->w, g->ow, g->kw, g->sw, g->pw);
	const bool padded = g->ph || g->pw, over = bh > g->ph || bw > g->pw;
	const bool max = p->pool == MOKA__POOL_MAX;
	const char *sum;

	if (p->pool == MOKA__POOL_STOCHASTIC)
		return moka_onnx_cannot(o, "pool", "STOCHASTIC pooling has no ONNX node");
	if (!v->plain)
		return moka_onnx_cannot(o, NULL,
					"only pooling of planes, not dilated, by MAX or AVE can be written as ONNX");
	if (l->n_top > 1)
		return moka_onnx_cannot(
			o, NULL,
			"where the maxima stood ('%s') can't be written as ONNX: it counts within the whole blob",
			l->top[1].name);
	if (bh >= g->kh || bw >= g->kw)
		return moka_onnx_cannot(o, "stride",
					"the last window lies outside the blob, which ONNX has no node for");
	if (p->global_pooling)
		return moka_onnx_unary(o, max ? "GlobalMaxPool" : "GlobalAveragePool");
	if (max || !padded ||
	    !over) { /* without padding in front ONNX divides by what a window covers, as Caffe does */
		pool_node(o, max ? "MaxPool" : "AveragePool", o->top[0], g, bh, bw, !max && padded);
		return o->status;
	}
	sum = pool_node(o, "AveragePool", moka_onnx_value(o), g, bh, bw, true);
	moka_onnx_node(o, "Mul", o->top[0], sum, divisors(o, g), NULL);
	return o->status;
}

static bool pooling_lower(const struct moka_layer *l, struct moka_op *op)
{
	const struct pooling_param *p = l->param;
	const struct pooling *v = l->priv;
	const struct moka__pool *g = &v->plane;

	if (!v->plain || p->pool == MOKA__POOL_STOCHASTIC || l->n_top > 1)
		return false;
	op->kind = MOKA_OP_POOL;
	op->pool = (struct moka_pool_desc){ p->pool == MOKA__POOL_MAX ? MOKA_POOL_MAX : MOKA_POOL_AVERAGE,
					    { g->kh, g->kw },
					    { g->sh, g->sw },
					    { g->ph, g->pw } };
	return true;
}

/* clang-format off */
const struct moka_layer_type moka_layer_pooling = {
	.schema = { "Pooling", "pooling_param", 121, 19, &moka__pooling_message, "POOLING", 17, NULL },
	.doc = "takes the largest value or the average of each window",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 2,
	.flags = MOKA_PARTIAL,
	.shape = moka__pooling_shape, .forward = moka__pooling_forward, .backward = moka__pooling_backward,
	.onnx = pooling_onnx,
	.lower = pooling_lower, .layout = pooling_layout,
};
/* clang-format on */
