/*
 * Reorg (YOLOv2): space to depth. Every stride x stride patch becomes channels: (N, C, H, W) -> (N, C s^2, H / s, W / s), as
 * Darknet's passthrough layer orders them; `reverse` goes back.
 *
 * Darknet reads the top as (N, C / s^2, H s, W s) and copies from there: channel k of the bottom is channel k mod (C / s^2) of that
 * picture, at the offset k / (C / s^2) within the patch. The published weights expect just this order.
 */
#include "layer.h"

struct reorg_param {
	uint32_t stride;
	bool reverse;
};
/* clang-format off */
static const struct moka_field reorg_fields[] = {
	MOKA_F_UINT32(struct reorg_param, stride, 1, 0, "side of the patches"),
	MOKA_F_BOOL(struct reorg_param, reverse, 2, 0, "channels back to patches"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message reorg_message = { "ReorgParameter", reorg_fields, sizeof(struct reorg_param) };

static enum moka_status reorg_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct reorg_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	const int64_t k = p->stride;
	int64_t patch, channels;

	if (k < 1 || k > 4096)
		return moka_layer_bad(l, f, "bad-setting", "stride", "stride must be 1 to 4096, and is %lld",
				      (long long)k);
	if (!moka_shape_known(s))
		return moka_layer_unknown(l);
	if (s->n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0, "'%s' has %d axes, not 4", l->bottom[0].name, s->n);
	patch = k * k;
	if (s->d[1] % patch)
		return moka_layer_bad(l, f, "bad-setting", "stride",
				      "stride %lld takes channels by %lld, and '%s' has %lld", (long long)k,
				      (long long)patch, l->bottom[0].name, (long long)s->d[1]);
	if (p->reverse) {
		l->top[0].shape = moka_shape_make(4, s->d[0], s->d[1] / patch, s->d[2] * k, s->d[3] * k);
		return MOKA_OK;
	}
	if (s->d[2] % k || s->d[3] % k)
		return moka_layer_bad(l, f, "bad-setting", "stride", "stride %lld does not divide '%s', %lld x %lld",
				      (long long)k, l->bottom[0].name, (long long)s->d[2], (long long)s->d[3]);
	if (!moka_mul(s->d[1], patch, &channels))
		channels = INT64_MAX; /* the net refuses it */
	l->top[0].shape = moka_shape_make(4, s->d[0], channels, s->d[2] / k, s->d[3] / k);
	return MOKA_OK;
}

/* The order of the values: from[i] where y[i] = x[from] forward; `turn` copies the other way. */
static void reorg(const struct reorg_param *p, const struct moka_shape *bottom, const real *from, real *to, bool turn)
{
	const int64_t c = bottom->d[1], h = bottom->d[2], w = bottom->d[3], k = p->stride, out = c / (k * k);
	int64_t i = 0;

	for (int64_t n = 0; n < bottom->d[0]; n++)
		for (int64_t ch = 0; ch < c; ch++)
			for (int64_t y = 0; y < h; y++)
				for (int64_t x = 0; x < w; x++, i++) {
					const int64_t offset = ch / out, at_y = y * k + offset / k,
						      at_x = x * k + offset % k;
					const int64_t wide = ((n * out + ch % out) * h * k + at_y) * w * k + at_x;

					if (turn)
						to[wide] = from[i];
					else
						to[i] = from[wide];
				}
}

static enum moka_status reorg_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct reorg_param *p = l->param;

	reorg(p, c->bottom[0].shape, c->bottom[0].data, c->top[0].data, p->reverse);
	return MOKA_OK;
}

static enum moka_status reorg_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct reorg_param *p = l->param;

	if (c->bottom[0].diff)
		reorg(p, c->bottom[0].shape, c->top[0].diff, c->bottom[0].diff, !p->reverse);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_reorg = {
	.schema = { "Reorg", "reorg_param", 159, 0, &reorg_message, NULL, 0, "Intel, YOLO forks" },
	.doc = "patches to channels (space to depth), as YOLOv2's passthrough",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = reorg_shape, .forward = reorg_forward, .backward = reorg_backward,
};
/* clang-format on */
