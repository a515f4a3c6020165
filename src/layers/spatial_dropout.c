/*
 * SpatialDropout (Intel): in training whole channels are zeroed with probability dropout_ratio, and the rest scaled by
 * 1 / (1 - ratio); in testing nothing happens.
 *
 * The ratio is spatial_dropout_param's; where that is missing dropout_param's, which is what Intel's code reads.
 * State: one byte for each channel of each item.
 */
#include "blocks.h"
#include "onnx.h"

struct spatial_param {
	float dropout_ratio;
};

static const struct moka_field spatial_fields[] = { MOKA_F_FLOAT(struct spatial_param, dropout_ratio, 1, 0.5,
								 "probability that a channel is zeroed in training"),
						    MOKA_F_END };
static const struct moka_message spatial_message = { "SpatialDropoutParameter", spatial_fields,
						     sizeof(struct spatial_param) };

struct spatial {
	double ratio;
	int64_t planes, inner;
};

static enum moka_status spatial_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct spatial_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	const struct moka_msg *other = l->msg && !l->sub ? moka_get_msg(l->msg, "dropout_param") : NULL;
	struct spatial *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	v->ratio = other ? moka_get_float(other, "dropout_ratio") : (double)p->dropout_ratio;
	if (!(v->ratio >= 0 && v->ratio <= 1))
		return moka_layer_bad(l, f, "bad-setting", "dropout_ratio",
				      "dropout_ratio %g is not a probability (0 to 1)", v->ratio);
	if (s->n >= 0 && s->n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "'%s' has no channels: it has %d axes, 2 or more are needed",
					     l->bottom[0].name, s->n);
	v->planes = s->n < 0 ? -1 : moka_layer_product(2, s->d);
	v->inner = s->n < 0 ? -1 : moka_shape_count_range(s, 2, s->n);
	l->state_bytes = l->phase == MOKA_TRAIN ? moka_layer_bytes(v->planes, 1) : 0;
	return moka_shape_same(l, f);
}

struct spatial_job {
	const struct spatial *v;
	const uint8_t *kept;
	const real *x;
	real *out;
};

static void apply_piece(void *arg, int64_t begin, int64_t end)
{
	const struct spatial_job *j = arg;
	const real scale = j->v->ratio < 1 ? (real)(1 / (1 - j->v->ratio)) : 0;

	for (int64_t p = begin; p < end; p++)
		for (int64_t i = p * j->v->inner; i < (p + 1) * j->v->inner; i++)
			j->out[i] = j->kept[p] ? j->x[i] * scale : 0;
}

static void apply(const struct moka_layer *l, struct moka_call *c, const real *x, real *out)
{
	struct spatial_job j = { l->priv, c->state, x, out };

	if (l->phase == MOKA_TRAIN)
		moka_parallel(c->pool, apply_piece, &j, j.v->planes, MOKA_MAX(16384 / MOKA_MAX(j.v->inner, 1), 1));
	else if (x != out)
		moka__copy(c->pool, c->top[0].count, x, out);
}

static enum moka_status spatial_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct spatial *v = l->priv;
	uint8_t *kept = c->state;

	for (int64_t p = 0; l->phase == MOKA_TRAIN && p < v->planes; p++)
		kept[p] = moka_rng_uniform(c->rng) >= v->ratio;
	apply(l, c, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status spatial_backward(const struct moka_layer *l, struct moka_call *c)
{
	if (c->bottom[0].diff && c->top[0].diff)
		apply(l, c, c->top[0].diff, c->bottom[0].diff);
	else if (c->bottom[0].diff)
		moka_set(c->bottom[0].count, 0, c->bottom[0].diff);
	return MOKA_OK;
}

static enum moka_status spatial_dropout_onnx(struct moka_onnx *o)
{
	return moka_onnx_same(o, 0);
}

/* clang-format off */
const struct moka_layer_type moka_layer_spatial_dropout = {
	.schema = { "SpatialDropout", "spatial_dropout_param", 155, 0, &spatial_message, NULL, 0, "Intel" },
	.doc = "zeroes whole channels at random while training, scales up the rest",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_PARTIAL | MOKA_KEEPS_SIGN,
	.shape = spatial_shape, .forward = spatial_forward, .backward = spatial_backward,
	.onnx = spatial_dropout_onnx,
};
/* clang-format on */
