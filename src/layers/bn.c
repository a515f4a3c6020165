/*
 * BN: batch normalisation with its own scale and shift, as two families of forks had it before BVLC Caffe's BatchNorm.
 *
 * SegNet's (scale_filler, shift_filler, bn_mode) has two blobs, scale and shift. LEARN normalises by the batch at hand, in both
 * phases; INFERENCE expects the statistics to be folded into the blobs and only scales and shifts. Two more
 * tops, where asked for, get the batch's mean and variance.
 *
 * PSPNet's (slope_filler, bias_filler, momentum, eps, frozen) has four: slope, bias, and the running mean and variance, which
 * replace the batch's in the test phase and where frozen. They are moving averages, not sums as BatchNorm's are.
 *
 *     bottom, top (N, C, inner...)   each blob (1, C, 1, 1)
 *
 * The fields tell which family is meant; none at all means the four blobs. A filler that is not given is 0, as there.
 */
#include "blocks.h"
#include "norm.h"

#include <string.h>

enum { LEARN, INFERENCE };

struct bn_param {
	const struct moka_filler_param *slope_filler, *bias_filler, *scale_filler, *shift_filler;
	int bn_mode;
	float momentum, eps;
	bool frozen;
};

static const struct moka_enum_value mode_values[] = { { "LEARN", LEARN }, { "INFERENCE", INFERENCE }, { NULL, 0 } };

/* clang-format off */
#define P struct bn_param
#define FIELD(name, num, kind, def, values, message, help, fork) \
	{ #name, num, kind, MOKA_OPTIONAL, (uint32_t)offsetof(P, name), def, NULL, values, message, help, fork }
static const struct moka_field bn_fields[] = {
	FIELD(slope_filler, 1, MOKA_MESSAGE, 0, NULL, &moka_filler_message, "first values of the slope; absent: 0", "PSPNet, yjxiong/caffe"),
	FIELD(bias_filler, 2, MOKA_MESSAGE, 0, NULL, &moka_filler_message, "first values of the bias; absent: 0", "PSPNet, yjxiong/caffe"),
	FIELD(scale_filler, 1, MOKA_MESSAGE, 0, NULL, &moka_filler_message, "first values of the scale; absent: 0", "SegNet"),
	FIELD(shift_filler, 2, MOKA_MESSAGE, 0, NULL, &moka_filler_message, "first values of the shift; absent: 0", "SegNet"),
	FIELD(bn_mode, 3, MOKA_ENUM, LEARN, mode_values, NULL, "LEARN: normalise by the batch; INFERENCE: only scale and shift", "SegNet"),
	FIELD(momentum, 3, MOKA_FLOAT, 0.9, NULL, NULL, "what remains of the running statistics when a batch is added", "PSPNet, yjxiong/caffe"),
	FIELD(eps, 4, MOKA_FLOAT, 1e-5, NULL, NULL, "added to the variance (SegNet's form: 1e-9, fixed)", "PSPNet, yjxiong/caffe"),
	FIELD(frozen, 5, MOKA_BOOL, 0, NULL, NULL, "use the running statistics in training too, and learn nothing", "PSPNet, yjxiong/caffe"),
	MOKA_F_ENGINE(6),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message bn_message = { "BNParameter", bn_fields, sizeof(struct bn_param) };

static const struct moka_filler_param ones = { .type = "constant", .value = 1, .max = 1, .std = 1, .sparse = -1 };

struct bn {
	struct moka__norm n;
	bool two;   /* SegNet's form: two blobs */
	bool plain; /* no statistics: scale and shift */
	bool fixed; /* statistics don't depend on the batch */
	bool saves; /* in place: the input is kept for backward */
	real eps;
};

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && moka_has(l->sub, field);
}

static void read_settings(const struct moka_layer *l, struct bn *v)
{
	const struct bn_param *p = l->param;

	v->two = has(l, "scale_filler") || has(l, "shift_filler") || has(l, "bn_mode");
	v->plain = v->two && p->bn_mode == INFERENCE;
	v->fixed = v->plain || (!v->two && (p->frozen || l->phase == MOKA_TEST));
	v->saves = l->bottom[0].name && l->top[0].name && !strcmp(l->bottom[0].name, l->top[0].name);
	v->eps = v->two ? (real)1e-9 : (real)p->eps;
}

static enum moka_status add_params(struct moka_layer *l, struct moka_findings *f, const struct bn *v)
{
	const struct bn_param *p = l->param;
	const struct moka_shape s = moka_shape_make(4, (int64_t)1, v->n.channels, (int64_t)1, (int64_t)1);

	MOKA_TRY(moka_layer_filled(l, f, "scale", s, v->two ? "scale_filler" : "slope_filler",
				   v->two ? p->scale_filler : p->slope_filler));
	MOKA_TRY(moka_layer_filled(l, f, "shift", s, v->two ? "shift_filler" : "bias_filler",
				   v->two ? p->shift_filler : p->bias_filler));
	if (v->two)
		return MOKA_OK;
	moka_layer_param(l, "mean", s, NULL);
	moka_layer_param(l, "variance", s, p->frozen ? &ones : NULL);
	for (int i = p->frozen ? 0 : 2; i < 4; i++)
		l->params[i].fixed = true;
	return MOKA_OK;
}

static enum moka_status bn_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	struct bn *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (s->n >= 0 && s->n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "'%s' is %s; channels, its second axis, are normalised", l->bottom[0].name,
					     moka_shape_text(s, text, sizeof(text)));
	read_settings(l, v);
	if (l->n_top > 1 && !v->two)
		return moka_layer_bad(
			l, f, "top-count", NULL,
			"%d tops: only SegNet's BN (scale_filler, shift_filler) gives mean and variance as tops",
			l->n_top);
	v->n = (struct moka__norm){ s->n < 0 ? -1 : s->d[0], s->n < 0 ? -1 : s->d[1],
				    s->n < 0 ? -1 : moka_shape_count_range(s, 2, s->n), 0 };
	v->n.item = moka_layer_product(2, (int64_t[]){ v->n.channels, v->n.inner });
	l->top[0].shape = *s;
	for (int i = 1; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(4, (int64_t)1, v->n.channels, (int64_t)1, (int64_t)1);
	l->state_bytes = moka_layer_bytes(v->n.channels, 2 * sizeof(real)) +
			 (v->saves ? moka_layer_bytes(moka_shape_count(s), sizeof(real)) : 0);
	return add_params(l, f, v);
}

/* The batch's statistics into mean and variance; of PSPNet's form also into the running ones. */
static void batch_statistics(const struct moka_layer *l, struct moka_call *c, real *mean, real *variance)
{
	const struct bn_param *p = l->param;
	const struct bn *v = l->priv;
	const real keep = (real)p->momentum;

	moka__norm_statistics(c->pool, &v->n, c->bottom[0].data, mean, variance);
	for (int i = 1; i < l->n_top; i++)
		moka__copy(c->pool, v->n.channels, i == 1 ? mean : variance, c->top[i].data);
	if (v->two)
		return;
	moka_axpby(v->n.channels, 1 - keep, mean, keep, c->param[2].data);
	moka_axpby(v->n.channels, 1 - keep, variance, keep, c->param[3].data);
}

static enum moka_status bn_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct bn *v = l->priv;
	const int64_t channels = v->n.channels;
	real *mean = c->state, *inverse = mean + channels;
	struct moka__norm_apply a = { c->bottom[0].data, mean,		 inverse,   c->param[0].data,
				      c->param[1].data,	 c->top[0].data, v->n.item, false };

	for (int i = 1; i < l->n_top; i++)
		moka_set(channels, 0, c->top[i].data);
	if (!c->bottom[0].count)
		return MOKA_OK;
	if (v->saves && c->backward_follows)
		moka__copy(c->pool, c->bottom[0].count, c->bottom[0].data, inverse + channels);
	if (v->plain) {
		moka_set(channels, 0, mean);
		moka_set(channels, 1, inverse);
	} else if (v->fixed) {
		moka__copy(c->pool, channels, c->param[2].data, mean);
		moka__norm_inverse(channels, c->param[3].data, v->eps, inverse);
	} else {
		batch_statistics(l, c, mean, inverse);
		moka__norm_inverse(channels, inverse, v->eps, inverse);
	}
	moka__norm_apply(c->pool, &v->n, &a);
	return MOKA_OK;
}

static enum moka_status bn_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct bn *v = l->priv;
	const real *mean = c->state, *inverse = mean + v->n.channels;
	const struct moka__norm_gradient g = { .x = v->saves ? inverse + v->n.channels : c->bottom[0].data,
					       .dy = c->top[0].diff,
					       .mean = mean,
					       .inverse = inverse,
					       .scale = c->param[0].data,
					       .dy_item = v->n.item,
					       .fixed = v->fixed,
					       .dx = c->bottom[0].diff,
					       .dscale = c->param[0].diff,
					       .dshift = c->param[1].diff };

	if (g.dy && c->bottom[0].count)
		moka__norm_gradient(c->pool, &v->n, &g);
	else if (g.dx)
		moka_set(c->bottom[0].count, 0, g.dx);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_bn = {
	.schema = { "BN", "bn_param", 152, 0, &bn_message, NULL, 0, "SegNet, PSPNet, yjxiong/caffe" },
	.doc = "gives each channel mean 0 and variance 1, then a learned scale and shift",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 3,
	.flags = MOKA_INPLACE | MOKA_PARTIAL,
	.shape = bn_shape, .forward = bn_forward, .backward = bn_backward,
};
/* clang-format on */
