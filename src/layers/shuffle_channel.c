/*
 * ShuffleChannel (ShuffleNet): the channels, seen as a table of `group` rows, are read column by column, so that
 * the next grouped convolution sees something of every group.
 *
 *     channel k * group + g of the top is channel g * (C / group) + k of the bottom
 */
#include "strided.h"
#include "onnx.h"

struct shuffle_param {
	uint32_t group;
};

static const struct moka_field shuffle_fields[] = {
	MOKA_F_UINT32(struct shuffle_param, group, 1, 1, "number of groups"), MOKA_F_END
};
static const struct moka_message shuffle_message = { "ShuffleChannelParameter", shuffle_fields,
						     sizeof(struct shuffle_param) };

static enum moka_status shuffle_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct shuffle_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct moka__strided *v = moka_layer_priv(l, sizeof(*v));
	const int64_t group = p->group;
	int64_t channels, inner;

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = *s;
	if (group < 1)
		return moka_layer_bad(l, f, "bad-group", "group", "group must be at least 1, and is 0");
	if (s->n < 0)
		return MOKA_OK;
	if (s->n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0, "'%s' has %d axes, and its channels are the second",
					     l->bottom[0].name, s->n);
	channels = s->d[1];
	inner = moka_shape_count_range(s, 2, s->n);
	if (channels >= 0 && channels % group)
		return moka_layer_bad(l, f, "bad-group", "group", "%lld groups do not divide the %lld channels of '%s'",
				      (long long)group, (long long)channels, l->bottom[0].name);
	if (!moka_shape_known(s))
		return MOKA_OK;
	*v = (struct moka__strided){ 4,
				     0,
				     { s->d[0], channels / group, group, inner },
				     { channels * inner, inner, channels / group * inner, 1 } };
	return MOKA_OK;
}

static enum moka_status shuffle_forward(const struct moka_layer *l, struct moka_call *c)
{
	moka__strided_copy(c->pool, l->priv, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status shuffle_backward(const struct moka_layer *l, struct moka_call *c)
{
	if (c->bottom[0].diff)
		moka__strided_back(c->pool, l->priv, c->top[0].diff, c->bottom[0].diff);
	return MOKA_OK;
}

static enum moka_status shuffle_channel_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct moka_shape *s = &l->bottom[0].shape;
	const int64_t group = MOKA_MAX(((const struct shuffle_param *)l->param)->group, 1);
	const int64_t inner = moka_shape_count_range(s, 2, s->n);
	const struct moka_shape cut = moka_shape_make(4, s->d[0], group, s->d[1] / group, inner);
	const char *a = moka_onnx_value(o), *b = moka_onnx_value(o);

	moka_onnx_reshape(o, a, o->bottom[0], s, &cut);
	moka_onnx_ints(o, moka_onnx_node(o, "Transpose", b, a, NULL), "perm", 4, (int64_t[]){ 0, 2, 1, 3 });
	moka_onnx_reshape(o, o->top[0], b, &cut, s);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_shuffle_channel = {
	.schema = { "ShuffleChannel", "shuffle_channel_param", 164, 0, &shuffle_message, NULL, 0, "ShuffleNet" },
	.doc = "interleaves the channels of the groups",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = shuffle_shape, .forward = shuffle_forward, .backward = shuffle_backward,
	.onnx = shuffle_channel_onnx,
};
/* clang-format on */
