/*
 * SPP: spatial pyramid pooling. Level i cuts each plane into 2^i x 2^i windows and pools them; the levels of an
 * item stand in one row, so that inputs of any size give rows of one length:
 *
 *     bottom (N, C, H, W)  top (N, C * (1 + 4 + 16 + ...))        one level alone: (N, C, 1, 1)
 */
#include "pool.h"

struct spp_param {
	uint32_t pyramid_height;
	int pool;
};

/* clang-format off */
static const struct moka_field spp_fields[] = {
	MOKA_F_UINT32(struct spp_param, pyramid_height, 1, 0, "levels; level i has 2^i x 2^i windows"),
	MOKA_F_ENUM(struct spp_param, pool, 2, moka_pool_values, MOKA__POOL_MAX, "what is taken of a window"),
	MOKA_F_ENGINE(6),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message spp_message = { "SPPParameter", spp_fields, sizeof(struct spp_param) };

#define MAX_LEVELS 12 /* 2^11 windows a side */

struct spp {
	int levels;
	struct moka__pool level[MAX_LEVELS];
	int64_t offset[MAX_LEVELS]; /* of a level within an item's row */
};

/* Windows of ceil(size / bins), the surplus split over both sides as padding. */
static enum moka_status level_axis(const struct moka_layer *l, struct moka_findings *f, int level, int64_t size,
				   int64_t *kernel, int64_t *pad, int64_t *out)
{
	const int64_t bins = (int64_t)1 << level;

	*kernel = (size + bins - 1) / bins;
	*pad = (*kernel * bins - size + 1) / 2;
	if (*pad >= *kernel)
		return moka_layer_bad(l, f, "bad-setting", "pyramid_height",
				      "level %d has %lld windows a side, too many for a side of %lld", level,
				      (long long)bins, (long long)size);
	*out = moka__pool_size(size, *kernel, *kernel, *pad, false);
	return MOKA_OK;
}

static enum moka_status check_form(const struct moka_layer *l, struct moka_findings *f, const struct moka_shape *s)
{
	const struct spp_param *p = l->param;
	char text[MOKA_SHAPE_TEXT];

	if (s->n != 4 || s->d[2] < 1 || s->d[3] < 1)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "pools blobs of 4 axes with a height and a width, and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(s, text, sizeof(text)));
	if (s->d[2] > INT32_MAX / 2 || s->d[3] > INT32_MAX / 2 || s->d[2] * s->d[3] > INT32_MAX)
		return moka_layer_bad_bottom(l, f, "too-large", 0, "planes of %lld x %lld are too large to pool",
					     (long long)s->d[2], (long long)s->d[3]);
	if (p->pyramid_height < 1 || p->pyramid_height > MAX_LEVELS)
		return moka_layer_bad(l, f, "bad-setting", "pyramid_height",
				      "pyramid_height must be 1 to %d, and is %u", MAX_LEVELS, p->pyramid_height);
	if (p->pool == MOKA__POOL_STOCHASTIC)
		return moka_layer_bad(l, f, "bad-setting", "pool", "a pyramid is pooled by MAX or AVE");
	return MOKA_OK;
}

static enum moka_status spp_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct spp_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct spp *v = moka_layer_priv(l, sizeof(*v));
	int64_t row = 0;

	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(check_form(l, f, s));
	v->levels = (int)p->pyramid_height;
	for (int i = 0; i < v->levels; i++) {
		struct moka__pool *g = &v->level[i];

		*g = (struct moka__pool){
			.planes = moka_layer_product(2, s->d), .channels = s->d[1], .h = s->d[2], .w = s->d[3]
		};
		MOKA_TRY(level_axis(l, f, i, g->h, &g->kh, &g->ph, &g->oh));
		MOKA_TRY(level_axis(l, f, i, g->w, &g->kw, &g->pw, &g->ow));
		g->sh = g->kh;
		g->sw = g->kw;
		v->offset[i] = row;
		if (!moka_add(row, moka_layer_product(3, (int64_t[]){ s->d[1], g->oh, g->ow }), &row))
			return moka_layer_bad(l, f, "too-large", NULL, "the output is too large to count");
	}
	for (int i = 0; i < v->levels; i++)
		v->level[i].item_stride = row;
	l->top[0].shape = moka_shape_make(2, s->d[0], row);
	if (v->levels == 1)
		l->top[0].shape = moka_shape_make(4, s->d[0], s->d[1], v->level[0].oh, v->level[0].ow);
	l->state_for_backward = true;
	if (p->pool == MOKA__POOL_MAX)
		l->state_bytes = moka_layer_bytes(moka_shape_count(&l->top[0].shape), sizeof(int32_t));
	return MOKA_OK;
}

static enum moka_status spp_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct spp_param *p = l->param;
	const struct spp *v = l->priv;

	moka__pool_levels(c->pool, v->levels, v->level, v->offset, p->pool == MOKA__POOL_MAX, c->bottom[0].data,
			  c->top[0].data, c->backward_follows ? c->state : NULL);
	return MOKA_OK;
}

static enum moka_status spp_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct spp_param *p = l->param;
	const struct spp *v = l->priv;

	if (c->bottom[0].diff)
		moka__pool_levels_gradient(c->pool, v->levels, v->level, v->offset, p->pool == MOKA__POOL_MAX,
					   c->top[0].diff, c->state, c->bottom[0].count, c->bottom[0].diff);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_spp = {
	.schema = { "SPP", "spp_param", 132, 0, &spp_message, NULL, 0, NULL },
	.doc = "pools at several resolutions into a row of fixed length",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.shape = spp_shape, .forward = spp_forward, .backward = spp_backward,
};
/* clang-format on */
