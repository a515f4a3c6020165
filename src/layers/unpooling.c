/*
 * Unpooling (DeconvNet; UNPOOLING in the old syntax): undoes a max pooling. Each value goes back to where its maximum
 * stood, as the mask that Pooling gave as its second top says; the rest is 0.
 *
 *     bottoms  x, mask (N, C, h, w)      top  (N, C, H, W)
 *
 * H and W are unpool_size (unpool_h, unpool_w); where they are not given, what a pooling of that window must have had:
 * max((h - 1) stride + kernel - 2 pad, h stride - pad + 1). Another fork writes the window into pooling_param, and its
 * size is the first of the two. Windows that overlap may share a maximum: DeconvNet keeps the last value written, and so
 * does this; the gradient goes to that one.
 */
#include "pool.h"

struct unpooling_param {
	int unpool;
	uint32_t pad, pad_h, pad_w, kernel_size, kernel_h, kernel_w, stride, stride_h, stride_w;
	uint32_t unpool_size, unpool_h, unpool_w;
};

/* clang-format off */
static const struct moka_enum_value unpool_values[] = { { "MAX", 0 }, { "AVE", 1 }, { "TILE", 2 }, { NULL, 0 } };
#define P struct unpooling_param
static const struct moka_field unpooling_fields[] = {
	MOKA_F_ENUM(P, unpool, 1, unpool_values, 0, "which pooling is undone; MAX can be run"),
	MOKA_F_UINT32(P, kernel_size, 2, 0, "side of the square window that pooled"),
	MOKA_F_UINT32(P, stride, 3, 1, "its step"),
	MOKA_F_UINT32(P, pad, 4, 0, "its padding"),
	MOKA_F_UINT32(P, kernel_h, 5, 0, "height of the window, instead of kernel_size"),
	MOKA_F_UINT32(P, kernel_w, 6, 0, "width of the window, instead of kernel_size"),
	MOKA_F_UINT32(P, stride_h, 7, 0, "vertical step, instead of stride"),
	MOKA_F_UINT32(P, stride_w, 8, 0, "horizontal step, instead of stride"),
	MOKA_F_UINT32(P, pad_h, 9, 0, "padding above and below, instead of pad"),
	MOKA_F_UINT32(P, pad_w, 10, 0, "padding left and right, instead of pad"),
	MOKA_F_ENGINE(11),
	MOKA_F_UINT32(P, unpool_size, 12, 0, "side of the square output"),
	MOKA_F_UINT32(P, unpool_h, 13, 0, "height of the output, instead of unpool_size"),
	MOKA_F_UINT32(P, unpool_w, 14, 0, "width of the output, instead of unpool_size"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message unpooling_message = { "UnpoolingParameter", unpooling_fields,
						       sizeof(struct unpooling_param) };

struct unpooling {
	int64_t planes, in, w, oh, ow;
};

/* One number of the window: `square`, or `side` (kernel_h) where that is given. */
static int64_t number_of(const struct moka_msg *m, const char *square, const char *side, int64_t otherwise)
{
	if (m && moka_has(m, side))
		return moka_get_int(m, side);
	return m && moka_has(m, square) ? moka_get_int(m, square) : otherwise;
}

/* The message that describes the window: its own, or pooling_param. */
static const struct moka_msg *window_of(const struct moka_layer *l, bool *own)
{
	const struct moka_msg *pooling = l->msg ? moka_get_msg(l->msg, "pooling_param") : NULL;

	*own = l->sub || !pooling;
	return *own ? l->sub : pooling;
}

static enum moka_status window_size(const struct moka_layer *l, struct moka_findings *f, int64_t in, bool rows,
				    int64_t *out)
{
	bool own;
	const struct moka_msg *m = window_of(l, &own);
	const int64_t kernel = number_of(m, "kernel_size", rows ? "kernel_h" : "kernel_w", 0),
		      stride = number_of(m, "stride", rows ? "stride_h" : "stride_w", 1),
		      pad = number_of(m, "pad", rows ? "pad_h" : "pad_w", 0);
	int64_t steps;

	if (kernel < 1 || stride < 1 || pad >= kernel)
		return moka_layer_bad(
			l, f, "bad-setting", "kernel_size",
			"the window must have a kernel and a stride of at least 1 and less padding than kernel; they are %lld, %lld and %lld",
			(long long)kernel, (long long)stride, (long long)pad);
	*out = -1;
	if (in < 0)
		return MOKA_OK;
	steps = moka_layer_product(2, (int64_t[]){ MOKA_MAX(in - 1, 0), stride });
	if (steps > INT64_MAX / 4)
		*out = steps;
	else
		*out = own ? MOKA_MAX(steps + kernel - 2 * pad, steps + stride - pad + 1) : steps + kernel - 2 * pad;
	if (*out < 1)
		return moka_layer_bad(l, f, "bad-setting", "pad", "nothing is left of the output: %lld %s",
				      (long long)*out, rows ? "rows" : "columns");
	return MOKA_OK;
}

static enum moka_status output_size(const struct moka_layer *l, struct moka_findings *f, int64_t h, int64_t w,
				    struct unpooling *v)
{
	const struct unpooling_param *p = l->param;

	v->oh = p->unpool_size ? p->unpool_size : p->unpool_h;
	v->ow = p->unpool_size ? p->unpool_size : p->unpool_w;
	if (v->oh > 0 && v->ow > 0)
		return MOKA_OK;
	MOKA_TRY(window_size(l, f, h, true, &v->oh));
	return window_size(l, f, w, false, &v->ow);
}

static enum moka_status unpooling_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka_shape s = l->bottom[0].shape;
	struct unpooling *v = moka_layer_priv(l, sizeof(*v));
	const struct moka_msg *m;
	char text[MOKA_SHAPE_TEXT];
	bool own;

	if (!v)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < 2; i++)
		if (l->bottom[i].shape.n >= 0 && l->bottom[i].shape.n != 4)
			return moka_layer_bad_bottom(
				l, f, "wrong-axes", i,
				"enlarges blobs of 4 axes (num, channels, height, width), and '%s' is %s",
				l->bottom[i].name, moka_shape_text(&l->bottom[i].shape, text, sizeof(text)));
	m = window_of(l, &own);
	if (m && moka_get_int(m, own ? "unpool" : "pool") != 0)
		return moka_layer_bad(l, f, "bad-setting", own ? "unpool" : "pool",
				      "only max pooling can be undone: no mask says where other values came from");
	if (s.n < 0)
		s = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	MOKA_TRY(moka_layer_same_shapes(l, f));
	*v = (struct unpooling){ moka_layer_product(2, s.d), moka_layer_product(2, s.d + 2), s.d[3], -1, -1 };
	MOKA_TRY(output_size(l, f, s.d[2], s.d[3], v));
	l->top[0].shape = moka_shape_make(4, s.d[0], s.d[1], v->oh, v->ow);
	return MOKA_OK;
}

struct unpooling_job {
	const struct unpooling *v;
	const real *mask, *src;
	real *dst;
};

static enum moka_status unpooling_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct unpooling *v = l->priv;

	MOKA_TRY(moka__pool_check_mask(
		l, c, v->in, v->oh, v->ow,
		"the mask must be the second top of the Pooling that is undone, and unpool_size that Pooling's input's size"));
	moka__pool_undo(c->pool, v->planes, v->in, v->oh * v->ow, c->bottom[1].data, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

/*
 * Of values with one place the last was written, so it alone has a gradient: going from the end, a place that was taken is
 * marked in `used`.
 */
static void gradient_plane(const struct unpooling_job *j, int64_t p, uint8_t *used)
{
	const int64_t in = j->v->in, out = j->v->oh * j->v->ow;

	for (int64_t i = 0; i < out; i++)
		used[i] = 0;
	for (int64_t i = (p + 1) * in - 1; i >= p * in; i--) {
		const int64_t at = (int64_t)j->mask[i];

		j->dst[i] = used[at] ? 0 : j->src[p * out + at];
		used[at] = 1;
	}
}

struct gradient_job {
	struct unpooling_job j;
	uint8_t *used; /* a plane's for each plane */
};

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct gradient_job *g = arg;

	for (int64_t p = begin; p < end; p++)
		gradient_plane(&g->j, p, g->used + p * g->j.v->oh * g->j.v->ow);
}

static enum moka_status unpooling_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct gradient_job g = { { l->priv, c->bottom[1].data, c->top[0].diff, c->bottom[0].diff }, c->scratch };

	if (g.j.dst && g.j.src)
		moka_parallel(c->pool, gradient_piece, &g, g.j.v->planes, 1);
	else if (g.j.dst)
		moka_set(c->bottom[0].count, 0, g.j.dst);
	return MOKA_OK;
}

static enum moka_status shape_and_scratch(struct moka_layer *l, struct moka_findings *f)
{
	MOKA_TRY(unpooling_shape(l, f));
	l->scratch_bytes = moka_layer_bytes(moka_shape_count(&l->top[0].shape), 1);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_unpooling = {
	.schema = { "Unpooling", "unpooling_param", 44, 44, &unpooling_message, "UNPOOLING", 42, "DeconvNet" },
	.doc = "undoes a max pooling: puts pooled values back where the mask says",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = shape_and_scratch, .forward = unpooling_forward, .backward = unpooling_backward,
};
/* clang-format on */
