/*
 * Pooling: the largest value, the average, or one value by chance, of each window of a plane (4 axes: N, C, H,
 * W).
 *
 * Where Caffe surprises: the size is rounded up (round_mode FLOOR: down), a last window that would start in the
 * padding is dropped, and an average divides by the window with its padding. A second top of MAX tells where
 * each maximum stood (an index in the plane).
 */
#include "pool.h"
#include "op.h"

#include <string.h>

struct pooling_param {
	int pool;
	uint32_t pad, pad_h, pad_w;
	uint32_t kernel_size, kernel_h, kernel_w;
	uint32_t stride, stride_h, stride_w;
	bool global_pooling;
	int round_mode;
	bool ceil_mode;
};

static const struct moka_enum_value round_values[] = { { "CEIL", 0 }, { "FLOOR", 1 }, { NULL, 0 } };

/* clang-format off */
#define P struct pooling_param
static const struct moka_field pooling_fields[] = {
	MOKA_F_ENUM(P, pool, 1, moka_pool_values, MOKA__POOL_MAX, "what is taken of a window"),
	MOKA_F_UINT32(P, pad, 4, 0, "padding on every side"),
	MOKA_F_UINT32(P, pad_h, 9, 0, "padding above and below, instead of pad"),
	MOKA_F_UINT32(P, pad_w, 10, 0, "padding left and right, instead of pad"),
	MOKA_F_UINT32(P, kernel_size, 2, 0, "side of a square window"),
	MOKA_F_UINT32(P, kernel_h, 5, 0, "height of the window, instead of kernel_size"),
	MOKA_F_UINT32(P, kernel_w, 6, 0, "width of the window, instead of kernel_size"),
	MOKA_F_UINT32(P, stride, 3, 1, "step of the window"),
	MOKA_F_UINT32(P, stride_h, 7, 0, "vertical step, instead of stride"),
	MOKA_F_UINT32(P, stride_w, 8, 0, "horizontal step, instead of stride"),
	MOKA_F_ENGINE(11),
	MOKA_F_BOOL(P, global_pooling, 12, false, "one window over the whole plane"),
	MOKA_F_ENUM(P, round_mode, 13, round_values, 0, "rounds the pooled size up or down"),
	{ "ceil_mode", 14, MOKA_BOOL, MOKA_OPTIONAL, (uint32_t)offsetof(P, ceil_mode), 1, NULL, NULL, NULL,
	  "false rounds the pooled size down, as round_mode: FLOOR does", "several forks" },
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message pooling_message = { "PoolingParameter", pooling_fields, sizeof(struct pooling_param) };

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && moka_has(l->sub, field);
}

/* A setting as X or as X_h and X_w, not both. */
static enum moka_status read_pair(const struct moka_layer *l, struct moka_findings *f, const char *name, const char *h,
				  const char *w, uint32_t one, uint32_t vh, uint32_t vw, int64_t *out_h, int64_t *out_w)
{
	const bool both = has(l, h) && has(l, w), any = has(l, h) || has(l, w);

	if (any && has(l, name))
		return moka_layer_bad(l, f, "bad-setting", has(l, h) ? h : w,
				      "%s is given as %s and as %s, %s; one of them is enough", name, name, h, w);
	if (any && !both)
		return moka_layer_bad(l, f, "bad-setting", has(l, h) ? h : w, "%s is given without %s",
				      has(l, h) ? h : w, has(l, h) ? w : h);
	*out_h = any ? vh : one;
	*out_w = any ? vw : one;
	return MOKA_OK;
}

static const char *kernel_field(const struct moka_layer *l)
{
	return has(l, "kernel_size") ? "kernel_size" : "kernel_h";
}

static enum moka_status read_kernel(const struct moka_layer *l, struct moka_findings *f, struct moka__pool *g)
{
	const struct pooling_param *p = l->param;
	const bool given = has(l, "kernel_size") || has(l, "kernel_h") || has(l, "kernel_w");

	if (p->global_pooling && given)
		return moka_layer_bad(l, f, "bad-setting", "global_pooling",
				      "global_pooling takes the whole plane; a kernel can't be given too");
	if (p->global_pooling) {
		g->kh = g->h;
		g->kw = g->w;
		return MOKA_OK;
	}
	if (!given)
		return moka_layer_bad(l, f, "missing-setting", NULL,
				      "kernel_size (or kernel_h and kernel_w, or global_pooling: true) is missing");
	MOKA_TRY(read_pair(l, f, "kernel_size", "kernel_h", "kernel_w", p->kernel_size, p->kernel_h, p->kernel_w,
			   &g->kh, &g->kw));
	if (g->kh < 1 || g->kw < 1)
		return moka_layer_bad(l, f, "bad-setting", kernel_field(l),
				      "the kernel must be at least 1 x 1, and is %lld x %lld", (long long)g->kh,
				      (long long)g->kw);
	return MOKA_OK;
}

static enum moka_status read_settings(const struct moka_layer *l, struct moka_findings *f, struct moka__pool *g)
{
	const struct pooling_param *p = l->param;

	MOKA_TRY(read_kernel(l, f, g));
	MOKA_TRY(read_pair(l, f, "pad", "pad_h", "pad_w", p->pad, p->pad_h, p->pad_w, &g->ph, &g->pw));
	MOKA_TRY(
		read_pair(l, f, "stride", "stride_h", "stride_w", p->stride, p->stride_h, p->stride_w, &g->sh, &g->sw));
	if (g->kh > INT32_MAX || g->kw > INT32_MAX || g->ph > INT32_MAX || g->pw > INT32_MAX || g->sh > INT32_MAX ||
	    g->sw > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", NULL,
				      "kernel, padding and stride of 2^31 or more can't be pooled with");
	if (g->sh < 1 || g->sw < 1)
		return moka_layer_bad(l, f, "bad-setting", has(l, "stride") ? "stride" : "stride_h",
				      "the stride must be at least 1");
	if (p->global_pooling && (g->ph || g->pw || g->sh != 1 || g->sw != 1))
		return moka_layer_bad(l, f, "bad-setting", "global_pooling",
				      "global_pooling goes with pad 0 and stride 1 only");
	if ((g->ph || g->pw) && p->pool == MOKA__POOL_STOCHASTIC)
		return moka_layer_bad(l, f, "bad-setting", "pad", "STOCHASTIC pooling takes no padding");
	if (!p->global_pooling && ((g->ph && g->ph >= g->kh) || (g->pw && g->pw >= g->kw)))
		return moka_layer_bad(l, f, "bad-setting", has(l, "pad") ? "pad" : "pad_h",
				      "the padding (%lld, %lld) must be smaller than the kernel (%lld x %lld)",
				      (long long)g->ph, (long long)g->pw, (long long)g->kh, (long long)g->kw);
	return MOKA_OK;
}

static enum moka_status pooled_size(const struct moka_layer *l, struct moka_findings *f, int64_t in, int64_t kernel,
				    int64_t stride, int64_t pad, const char *what, int64_t *out)
{
	const struct pooling_param *p = l->param;

	*out = p->global_pooling ? 1 : -1;
	if (in < 0 || p->global_pooling)
		return MOKA_OK;
	if (in > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", NULL, "a %s of %lld is too large to pool", what,
				      (long long)in);
	*out = moka__pool_size(in, kernel, stride, pad, p->round_mode == 1 || !p->ceil_mode);
	if (*out >= 1)
		return MOKA_OK;
	moka_layer_bad(l, f, "kernel-too-large", kernel_field(l),
		       "the kernel's %s is %lld, but '%s' has only %lld there with its padding", what,
		       (long long)kernel, l->bottom[0].name, (long long)(in + 2 * pad));
	return MOKA_ERR_MODEL;
}

static enum moka_status check_form(const struct moka_layer *l, struct moka_findings *f, const struct moka_shape *s)
{
	const struct pooling_param *p = l->param;
	char text[MOKA_SHAPE_TEXT];

	if (s->n >= 0 && s->n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "pools blobs of 4 axes (num, channels, height, width), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(s, text, sizeof(text)));
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

static enum moka_status pooling_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka_shape s = l->bottom[0].shape;
	struct moka__pool *g = moka_layer_priv(l, sizeof(*g));

	if (!g)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(check_form(l, f, &s));
	if (s.n < 0)
		s = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	memset(g, 0, sizeof(*g));
	g->h = s.d[2];
	g->w = s.d[3];
	MOKA_TRY(read_settings(l, f, g));
	MOKA_TRY(pooled_size(l, f, g->h, g->kh, g->sh, g->ph, "height", &g->oh));
	MOKA_TRY(pooled_size(l, f, g->w, g->kw, g->sw, g->pw, "width", &g->ow));
	if (g->h >= 0 && g->w >= 0 && moka_layer_product(2, (int64_t[]){ g->h, g->w }) > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", NULL, "a plane of %lld x %lld is too large to pool",
				      (long long)g->h, (long long)g->w);
	g->channels = s.d[1];
	g->planes = moka_layer_product(2, s.d);
	g->item_stride = moka_layer_product(3, (int64_t[]){ s.d[1], g->oh, g->ow });
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(4, s.d[0], s.d[1], g->oh, g->ow);
	l->reads_top = ((const struct pooling_param *)l->param)->pool == MOKA__POOL_STOCHASTIC && l->phase == MOKA_TEST;
	set_memory(l);
	return MOKA_OK;
}

static enum moka_status pooling_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct pooling_param *p = l->param;
	const struct moka__pool *g = l->priv;
	const real *x = c->bottom[0].data;
	real *y = c->top[0].data, *draw = c->scratch;

	if (p->pool == MOKA__POOL_MAX) {
		moka__pool_max(c->pool, g, x, y, c->backward_follows ? c->state : NULL,
			       l->n_top > 1 ? c->top[1].data : NULL);
	} else if (p->pool == MOKA__POOL_AVE) {
		moka__pool_ave(c->pool, g, x, y);
	} else if (l->phase == MOKA_TRAIN) {
		for (int64_t i = 0; i < c->top[0].count; i++)
			draw[i] = (real)moka_rng_uniform(c->rng);
		moka__pool_draw(c->pool, g, x, draw, y, c->backward_follows ? c->state : NULL);
	} else {
		moka__pool_expect(c->pool, g, x, y);
	}
	return MOKA_OK;
}

static enum moka_status pooling_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct pooling_param *p = l->param;
	const struct moka__pool *g = l->priv;
	const real *dy = c->top[0].diff;
	real *dx = c->bottom[0].diff;

	if (!dx)
		return MOKA_OK;
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

static bool pooling_lower(const struct moka_layer *l, struct moka_op *op)
{
	const struct pooling_param *p = l->param;
	const struct moka__pool *g = l->priv;

	if (p->pool == MOKA__POOL_STOCHASTIC || l->n_top > 1)
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
	.schema = { "Pooling", "pooling_param", 121, 19, &pooling_message, "POOLING", 17, NULL },
	.doc = "takes the largest value or the average of each window",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 2,
	.flags = MOKA_PARTIAL,
	.shape = pooling_shape, .forward = pooling_forward, .backward = pooling_backward, .lower = pooling_lower,
};
/* clang-format on */
