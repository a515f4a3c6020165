/*
 * Upsample: enlarges planes, in the two ways of two forks.
 *
 * SegNet's has a second bottom, the mask that Pooling gave as its second top: each value goes back to where its
 * maximum stood, the rest is 0. The size is upsample_h x upsample_w, or `scale` times the bottom's (scale_h, scale_w), less
 * one row or column where pad_out_h or pad_out_w says that pooling had rounded up.
 *
 * MobileNet-YOLO's has one bottom: each value fills a square of scale x scale.
 */
#include "pool.h"

struct upsample_param {
	uint32_t scale, scale_h, scale_w;
	bool pad_out_h, pad_out_w;
	uint32_t upsample_h, upsample_w;
};

/* clang-format off */
#define P struct upsample_param
static const struct moka_field upsample_fields[] = {
	MOKA_F_UINT32(P, scale, 1, 2, "how many times as high and wide (MobileNet-YOLO: 1 unless given)"),
	MOKA_F_UINT32(P, scale_h, 2, 0, "how many times as high, instead of scale (SegNet)"),
	MOKA_F_UINT32(P, scale_w, 3, 0, "how many times as wide, instead of scale (SegNet)"),
	MOKA_F_BOOL(P, pad_out_h, 4, false, "one row less (SegNet; for scale 2)"),
	MOKA_F_BOOL(P, pad_out_w, 5, false, "one column less (SegNet; for scale 2)"),
	MOKA_F_UINT32(P, upsample_h, 6, 0, "height of the output, instead of scale (SegNet)"),
	MOKA_F_UINT32(P, upsample_w, 7, 0, "width of the output, instead of scale (SegNet)"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message upsample_message = { "UpsampleParameter", upsample_fields,
						      sizeof(struct upsample_param) };

struct upsample {
	int64_t planes, h, w, oh, ow;
	int64_t sh, sw;
};

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && moka_has(l->sub, field);
}

static enum moka_status check_masked(const struct moka_layer *l, struct moka_findings *f, const struct upsample *v)
{
	const struct upsample_param *p = l->param;

	if (has(l, "scale") && (has(l, "scale_h") || has(l, "scale_w")))
		return moka_layer_bad(l, f, "bad-setting", "scale",
				      "scale is given, and scale_h, scale_w too; one of them is enough");
	if (has(l, "scale_h") != has(l, "scale_w"))
		return moka_layer_bad(l, f, "bad-setting", has(l, "scale_h") ? "scale_h" : "scale_w",
				      "scale_h and scale_w go together");
	if (v->sh < 2 || v->sw < 2)
		return moka_layer_bad(l, f, "bad-setting", has(l, "scale_h") ? "scale_h" : "scale",
				      "the scale must be at least 2, and is %lld x %lld", (long long)v->sh,
				      (long long)v->sw);
	if ((p->pad_out_h && v->sh != 2) || (p->pad_out_w && v->sw != 2))
		return moka_layer_bad(l, f, "bad-setting", p->pad_out_h ? "pad_out_h" : "pad_out_w",
				      "pad_out_h and pad_out_w go with a scale of 2 only");
	return MOKA_OK;
}

static int64_t size_after(int64_t in, int64_t scale, bool less)
{
	const int64_t n = moka_layer_product(2, (int64_t[]){ in, scale });

	return n > 0 && less ? n - 1 : n;
}

static enum moka_status set_size(const struct moka_layer *l, struct moka_findings *f, struct upsample *v)
{
	const struct upsample_param *p = l->param;

	v->sh = v->sw = l->n_bottom == 1 && !has(l, "scale") ? 1 : p->scale;
	if (l->n_bottom > 1 && has(l, "scale_h"))
		v->sh = p->scale_h;
	if (l->n_bottom > 1 && has(l, "scale_w"))
		v->sw = p->scale_w;
	if (l->n_bottom > 1 && has(l, "upsample_h") && has(l, "upsample_w")) {
		v->oh = p->upsample_h;
		v->ow = p->upsample_w;
		if (v->oh < 2 || v->ow < 2)
			return moka_layer_bad(l, f, "bad-setting", v->oh < 2 ? "upsample_h" : "upsample_w",
					      "the output must be larger than 1 x 1, and is %lld x %lld",
					      (long long)v->oh, (long long)v->ow);
		return MOKA_OK;
	}
	if (l->n_bottom > 1)
		MOKA_TRY(check_masked(l, f, v));
	if (v->sh < 1 || v->sw < 1)
		return moka_layer_bad(l, f, "bad-setting", "scale", "the scale must be at least 1, and is 0");
	v->oh = size_after(v->h, v->sh, l->n_bottom > 1 && p->pad_out_h);
	v->ow = size_after(v->w, v->sw, l->n_bottom > 1 && p->pad_out_w);
	return MOKA_OK;
}

static enum moka_status upsample_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka_shape s = l->bottom[0].shape;
	struct upsample *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < l->n_bottom; i++)
		if (l->bottom[i].shape.n >= 0 && l->bottom[i].shape.n != 4)
			return moka_layer_bad_bottom(
				l, f, "wrong-axes", i,
				"enlarges blobs of 4 axes (num, channels, height, width), and '%s' is %s",
				l->bottom[i].name, moka_shape_text(&l->bottom[i].shape, text, sizeof(text)));
	if (s.n < 0)
		s = l->n_bottom > 1 && l->bottom[1].shape.n == 4
			    ? l->bottom[1].shape
			    : moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	MOKA_TRY(moka_layer_same_shapes(l, f));
	*v = (struct upsample){ .planes = moka_layer_product(2, s.d), .h = s.d[2], .w = s.d[3] };
	MOKA_TRY(set_size(l, f, v));
	l->top[0].shape = moka_shape_make(4, s.d[0], s.d[1], v->oh, v->ow);
	return MOKA_OK;
}

struct upsample_job {
	const struct upsample *v;
	const real *mask, *src;
	real *dst;
};

static void repeated_piece(void *arg, int64_t begin, int64_t end)
{
	const struct upsample_job *j = arg;
	const struct upsample *v = j->v;

	for (int64_t p = begin; p < end; p++)
		for (int64_t y = 0; y < v->oh; y++)
			for (int64_t x = 0; x < v->ow; x++)
				j->dst[(p * v->oh + y) * v->ow + x] = j->src[(p * v->h + y / v->sh) * v->w + x / v->sw];
}

static enum moka_status upsample_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct upsample *v = l->priv;
	const bool masked = l->n_bottom > 1;
	struct upsample_job j = { v, masked ? c->bottom[1].data : NULL, c->bottom[0].data, c->top[0].data };

	if (!masked) {
		moka_parallel(c->pool, repeated_piece, &j, v->planes, 1);
		return MOKA_OK;
	}
	MOKA_TRY(moka__pool_check_mask(
		l, c, v->h * v->w, v->oh, v->ow,
		"the mask must be the second top of the Pooling that is undone, and scale (or upsample_h, upsample_w) must lead back to its input's size"));
	moka__pool_undo(c->pool, v->planes, v->h * v->w, v->oh * v->ow, j.mask, j.src, j.dst);
	return MOKA_OK;
}

static void masked_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct upsample_job *j = arg;
	const int64_t in = j->v->h * j->v->w, out = j->v->oh * j->v->ow;

	for (int64_t p = begin; p < end; p++)
		for (int64_t i = p * in; i < (p + 1) * in; i++)
			j->dst[i] = j->src[p * out + (int64_t)j->mask[i]];
}

static void repeated_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct upsample_job *j = arg;
	const struct upsample *v = j->v;

	for (int64_t p = begin; p < end; p++) {
		moka_set(v->h * v->w, 0, j->dst + p * v->h * v->w);
		for (int64_t y = 0; y < v->oh; y++)
			for (int64_t x = 0; x < v->ow; x++)
				j->dst[(p * v->h + y / v->sh) * v->w + x / v->sw] +=
					j->src[(p * v->oh + y) * v->ow + x];
	}
}

static enum moka_status upsample_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct upsample *v = l->priv;
	const bool masked = l->n_bottom > 1;
	struct upsample_job j = { v, masked ? c->bottom[1].data : NULL, c->top[0].diff, c->bottom[0].diff };

	if (j.dst && j.src)
		moka_parallel(c->pool, masked ? masked_gradient_piece : repeated_gradient_piece, &j, v->planes, 1);
	else if (j.dst)
		moka_set(c->bottom[0].count, 0, j.dst);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_upsample = {
	.schema = { "Upsample", "upsample_param", 137, 0, &upsample_message, NULL, 0, "SegNet, MobileNet-YOLO" },
	.doc = "enlarges planes: puts pooled values back where the mask says, or repeats each value",
	.min_bottom = 1, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = upsample_shape, .forward = upsample_forward, .backward = upsample_backward,
};
/* clang-format on */
