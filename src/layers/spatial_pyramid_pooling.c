/*
 * SPATIAL_PYRAMID_POOLING: an early pyramid (a fork for VOC 2012, before BVLC's SPP): each spatial_bin n pools a
 * plane by windows of ceil(side / n), floor(side / n) apart, sizes rounded up as Pooling does; the levels of an item stand in one row.
 *
 *     bottom (N, C, H, W)  top (N, sum over levels of C * h * w, 1, 1)        one level alone: its own shape
 *
 * side is the height; the fork pools squares, and so does this. `scale` was read there and not used. The fork took the
 * method from pooling_param, where no net wrote one (so MAX); here `pool` is what the message says.
 */
#include "pool.h"

struct spatial_param {
	int pool;
	struct moka_list spatial_bin; /* uint32_t */
};

/* clang-format off */
#define P struct spatial_param
static const struct moka_field spatial_fields[] = {
	MOKA_F_ENUM(P, pool, 1, moka_pool_values, MOKA__POOL_MAX, "what is taken of a window"),
	MOKA_F_REP(P, spatial_bin, 2, MOKA_UINT32, "windows a side, once for each level"),
	{ "scale", 3, MOKA_FLOAT, MOKA_OPTIONAL, MOKA_NOWHERE, 1, NULL, NULL, NULL, "read; not used, as in the fork", NULL },
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message spatial_message = { "SpatialPyramidPoolingParameter", spatial_fields,
						     sizeof(struct spatial_param) };

#define MAX_LEVELS 16

struct spatial {
	int levels;
	struct moka__pool level[MAX_LEVELS];
	int64_t offset[MAX_LEVELS]; /* of a level within an item's row */
};

static enum moka_status check_form(const struct moka_layer *l, struct moka_findings *f, const struct moka_shape *s)
{
	const struct spatial_param *p = l->param;
	char text[MOKA_SHAPE_TEXT];

	if (s->n != 4 || s->d[2] < 1 || s->d[2] > INT32_MAX / 2 || s->d[2] != s->d[3] || s->d[2] * s->d[3] > INT32_MAX)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "pools blobs of 4 axes with square planes, and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(s, text, sizeof(text)));
	if (!p->spatial_bin.n || p->spatial_bin.n > MAX_LEVELS)
		return moka_layer_bad(l, f, "missing-setting", "spatial_bin",
				      "spatial_bin must be given 1 to %d times, and is %zu times", MAX_LEVELS,
				      p->spatial_bin.n);
	if (p->pool == MOKA__POOL_STOCHASTIC)
		return moka_layer_bad(l, f, "bad-setting", "pool", "a pyramid is pooled by MAX or AVE");
	return MOKA_OK;
}

static enum moka_status level_shape(const struct moka_layer *l, struct moka_findings *f, const struct moka_shape *s,
				    int64_t bins, struct moka__pool *g)
{
	const int64_t side = s->d[2];

	if (bins < 1 || bins > side)
		return moka_layer_bad(l, f, "bad-setting", "spatial_bin", "%lld windows can't cut a side of %lld",
				      (long long)bins, (long long)side);
	*g = (struct moka__pool){ .planes = s->d[0] * s->d[1], .channels = s->d[1], .h = side, .w = side };
	g->kh = g->kw = (side + bins - 1) / bins;
	g->sh = g->sw = side / bins;
	g->oh = g->ow = moka__pool_size(side, g->kh, g->sh, 0, false);
	return MOKA_OK;
}

static enum moka_status spatial_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct spatial_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	const bool alone = p->spatial_bin.n == 1;
	struct spatial *v = moka_layer_priv(l, sizeof(*v));
	int64_t row = 0, one = 1;

	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(check_form(l, f, s));
	v->levels = (int)p->spatial_bin.n;
	for (int i = 0; i < v->levels; i++) {
		struct moka__pool *g = &v->level[i];

		/* the fork pools a level that stands alone by one window, whatever its bin */
		MOKA_TRY(level_shape(l, f, s, alone ? 1 : (int64_t)MOKA_LIST_AT(p->spatial_bin, uint32_t, i), g));
		v->offset[i] = row;
		if (!moka_add(row, moka_layer_product(3, (int64_t[]){ s->d[1], g->oh, g->ow }), &row))
			return moka_layer_bad(l, f, "too-large", NULL, "the output is too large to count");
	}
	for (int i = 0; i < v->levels; i++)
		v->level[i].item_stride = row;
	l->top[0].shape = moka_shape_make(4, s->d[0], row, one, one);
	l->state_for_backward = true;
	if (p->pool == MOKA__POOL_MAX)
		l->state_bytes = moka_layer_bytes(moka_shape_count(&l->top[0].shape), sizeof(int32_t));
	return MOKA_OK;
}

static enum moka_status spatial_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct spatial_param *p = l->param;
	const struct spatial *v = l->priv;

	moka__pool_levels(c->pool, v->levels, v->level, v->offset, p->pool == MOKA__POOL_MAX, c->bottom[0].data,
			  c->top[0].data, c->backward_follows ? c->state : NULL);
	return MOKA_OK;
}

static enum moka_status spatial_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct spatial_param *p = l->param;
	const struct spatial *v = l->priv;

	if (c->bottom[0].diff)
		moka__pool_levels_gradient(c->pool, v->levels, v->level, v->offset, p->pool == MOKA__POOL_MAX,
					   c->top[0].diff, c->state, c->bottom[0].count, c->bottom[0].diff);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_spatial_pyramid_pooling = {
	.schema = { "SpatialPyramidPooling", "spatial_pyramid_pooling_param", 9043, 9043, &spatial_message,
		    "SPATIAL_PYRAMID_POOLING", 9043, "an early SPP-net fork" },
	.doc = "pools square planes at several resolutions into a row of fixed length",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.shape = spatial_shape, .forward = spatial_forward, .backward = spatial_backward,
};
/* clang-format on */
