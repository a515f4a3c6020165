/*
 * Affinity: how much neighbouring pixels belong together (OpenCL Caffe, for MalisLoss). Of one channel of the first item
 *
 *     bottom (N, C, H, W)   top (1, 2, H, W)
 *     top[0, 0, y, x] = min(p[y, x], p[y + 1, x])      top[0, 1, y, x] = min(p[y, x], p[y, x + 1])
 *
 * and 0 in the last row and column, which have no such pairs. The gradient goes to the smaller of a pair (to the second where they
 * are equal). The fork also takes it off the other one of two channels; this is the plain derivative.
 */
#include "layer.h"

struct affinity_param {
	struct moka_list offset; /* int64_t */
};

static const struct moka_field affinity_fields[] = { MOKA_F_REP(
							     struct affinity_param, offset, 1, MOKA_INT64,
							     "channel that is taken, once for each bottom; default 0"),
						     MOKA_F_END };
static const struct moka_message affinity_message = { "AffinityParameter", affinity_fields,
						      sizeof(struct affinity_param) };

static int64_t offset_of(const struct moka_layer *l, int i)
{
	const struct affinity_param *p = l->param;

	return (size_t)i < p->offset.n ? MOKA_LIST_AT(p->offset, int64_t, i) : 0;
}

static enum moka_status affinity_shape(struct moka_layer *l, struct moka_findings *f)
{
	const int64_t unknown = -1, one = 1, two = 2;
	char text[MOKA_SHAPE_TEXT];

	for (int i = 0; i < l->n_bottom; i++) {
		const struct moka_shape *s = &l->bottom[i].shape;

		if (s->n >= 0 && (s->n != 4 || s->d[0] == 0))
			return moka_layer_bad_bottom(
				l, f, "wrong-axes", i,
				"takes blobs of 4 axes (num, channels, height, width) with an item, and '%s' is %s",
				l->bottom[i].name, moka_shape_text(s, text, sizeof(text)));
		if (offset_of(l, i) < 0 || (s->n == 4 && s->d[1] >= 0 && offset_of(l, i) >= s->d[1]))
			return moka_layer_bad(l, f, "bad-setting", "offset", "'%s' has no channel %lld",
					      l->bottom[i].name, (long long)offset_of(l, i));
		l->top[i].shape =
			moka_shape_make(4, one, two, s->n < 0 ? unknown : s->d[2], s->n < 0 ? unknown : s->d[3]);
	}
	return MOKA_OK;
}

static enum moka_status affinity_forward(const struct moka_layer *l, struct moka_call *c)
{
	for (int b = 0; b < l->n_bottom; b++) {
		const int64_t h = c->bottom[b].shape->d[2], w = c->bottom[b].shape->d[3];
		const real *p = c->bottom[b].data + offset_of(l, b) * h * w;
		real *y = c->top[b].data;

		moka_set(c->top[b].count, 0, y);
		for (int64_t i = 0; i + 1 < h; i++)
			for (int64_t at = i * w; at + 1 < (i + 1) * w; at++) {
				y[at] = MOKA_MIN(p[at], p[at + w]);
				y[h * w + at] = MOKA_MIN(p[at], p[at + 1]);
			}
	}
	return MOKA_OK;
}

static enum moka_status affinity_backward(const struct moka_layer *l, struct moka_call *c)
{
	for (int b = 0; b < l->n_bottom; b++) {
		const int64_t h = c->bottom[b].shape->d[2], w = c->bottom[b].shape->d[3],
			      first = offset_of(l, b) * h * w;
		const real *p = c->bottom[b].data + first, *dy = c->top[b].diff;
		real *dx = c->bottom[b].diff;

		if (!dx)
			continue;
		moka_set(c->bottom[b].count, 0, dx);
		dx += first;
		for (int64_t i = 0; dy && i + 1 < h; i++)
			for (int64_t at = i * w; at + 1 < (i + 1) * w; at++) {
				dx[p[at] < p[at + w] ? at : at + w] += dy[at];
				dx[p[at] < p[at + 1] ? at : at + 1] += dy[h * w + at];
			}
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_affinity = {
	.schema = { "Affinity", "affinity_param", 149, 0, &affinity_message, NULL, 0, "OpenCL Caffe" },
	.doc = "how much neighbouring pixels belong together: the smaller of each pair",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = -1,
	.flags = MOKA_SAME_BOTTOM_TOP | MOKA_PARTIAL,
	.shape = affinity_shape, .forward = affinity_forward, .backward = affinity_backward,
};
/* clang-format on */
