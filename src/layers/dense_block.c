/*
 * DenseBlock (Tongcheng's DenseNet fork, caffe_ocr): a whole dense block in one layer. numTransition times, all channels so
 * far are normalised, scaled, rectified and convolved (3x3, padding 1), and the growthRate channels that come out are put
 * behind them.
 *
 *     bottom (N, C, H, W)   top (N, C + numTransition * growthRate, H, W), whose first channels are the bottom's
 *     params, numTransition (T) of each: filters (G, Ct, 3, 3), scales, biases, means, variances (1, Ct, 1, 1);
 *     with use_BC also, in front of each convolution, a 1x1 convolution to 4 G channels, normalised and rectified likewise:
 *     filters (4G, Ct, 1, 1), scales, biases, means, variances (1, 4G, 1, 1), the 3x3 filters being (G, 4G, 3, 3);
 *     last, the divisor (1) of all means and variances, which are sums as in BatchNorm
 *
 * What is odd about the fork and kept, since its weights are made for it: the convolutions turn their kernels by 180 degrees
 * (CUDNN_CONVOLUTION); in training the variance is the unbiased one, in normalising too; initChannel is not looked at.
 * Dropout takes the channels that a transition makes, before anything sees them.
 */
#include "dense_block.h"

/* clang-format off */
#define P struct moka__dense_param
#define FIELD(name, num, kind, member, def, message, help) \
	{ name, num, kind, MOKA_OPTIONAL, (uint32_t)offsetof(P, member), def, NULL, NULL, message, help, NULL }
#define IGNORED(name, num, kind, def, help) { name, num, kind, MOKA_OPTIONAL, MOKA_NOWHERE, def, NULL, NULL, NULL, help, NULL }
static const struct moka_field dense_fields[] = {
	FIELD("numTransition", 1, MOKA_INT32, transitions, 40, NULL, "how many times channels are added"),
	IGNORED("initChannel", 2, MOKA_INT32, 16, "not looked at: the bottom tells"),
	FIELD("growthRate", 3, MOKA_INT32, growth, 12, NULL, "channels added each time"),
	IGNORED("pad_h", 4, MOKA_INT32, 1, "not looked at: always 1"),
	IGNORED("pad_w", 5, MOKA_INT32, 1, "not looked at: always 1"),
	IGNORED("conv_verticalStride", 6, MOKA_INT32, 1, "not looked at: always 1"),
	IGNORED("conv_horizentalStride", 7, MOKA_INT32, 1, "not looked at: always 1"),
	IGNORED("filter_H", 8, MOKA_INT32, 3, "not looked at: always 3"),
	IGNORED("filter_W", 9, MOKA_INT32, 3, "not looked at: always 3"),
	FIELD("Filter_Filler", 10, MOKA_MESSAGE, filter, 0, &moka_filler_message, "first values of the filters"),
	FIELD("BN_Scaler_Filler", 11, MOKA_MESSAGE, scaler, 0, &moka_filler_message, "first values of the scales"),
	FIELD("BN_Bias_Filler", 12, MOKA_MESSAGE, bias, 0, &moka_filler_message, "first values of the biases"),
	IGNORED("gpuIdx", 15, MOKA_INT32, 0, "of the GPU code; ignored"),
	FIELD("use_dropout", 16, MOKA_BOOL, use_dropout, 0, NULL, "dropout behind each convolution in training"),
	FIELD("dropout_amount", 17, MOKA_FLOAT, dropout, 0, NULL, "how likely a value is dropped"),
	FIELD("use_BC", 18, MOKA_BOOL, use_bc, 0, NULL, "a 1x1 convolution to 4 * growthRate channels before each 3x3 one"),
	IGNORED("BC_ultra_space_efficient", 19, MOKA_BOOL, 0, "of the GPU code; ignored"),
	IGNORED("workspace_MB", 20, MOKA_INT32, 8, "of the GPU code; ignored"),
	FIELD("moving_average_fraction", 21, MOKA_FLOAT, fraction, 0.1, NULL, "what remains of the kept sums when a batch is added"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message dense_message = { "DenseBlockParameter", dense_fields,
						   sizeof(struct moka__dense_param) };

#define MOST 10000 /* transitions; real ones have up to 64 */

/* ---- shape ------------------------------------------------------------------------------------------------ */

/* Parameters of one kind, one for each transition. `plus`: the channels so far count. */
static enum moka_status add_kind(struct moka_layer *l, struct moka_findings *f, const char *role, int64_t rows,
				 int64_t columns, bool plus, int64_t side, const char *field,
				 const struct moka_filler_param *filler)
{
	const struct moka__dense *v = l->priv;

	for (int64_t i = 0; i < v->t; i++) {
		const int64_t so_far = v->c < 0 ? -1 : v->c + i * v->g;
		const struct moka_shape s = moka_shape_make(4, rows, plus ? so_far : columns, side, side);

		if (field)
			MOKA_TRY(moka_layer_filled(l, f, role, s, field, filler));
		else if (!moka_layer_param(l, role, s, filler))
			return MOKA_ERR_NOMEM;
		l->params[l->n_param - 1].fixed = !field;
	}
	return MOKA_OK;
}

static const struct moka_filler_param ones = { .type = "constant", .value = 1, .max = 1, .std = 1, .sparse = -1 };

static enum moka_status add_params(struct moka_layer *l, struct moka_findings *f, const struct moka__dense *v)
{
	const struct moka__dense_param *p = l->param;
	const int64_t one = 1;

	MOKA_TRY(add_kind(l, f, "filter", v->g, v->middle, !v->bc, 3, "Filter_Filler", p->filter));
	MOKA_TRY(add_kind(l, f, "scale", one, 0, true, 1, "BN_Scaler_Filler", p->scaler));
	MOKA_TRY(add_kind(l, f, "bias", one, 0, true, 1, "BN_Bias_Filler", p->bias));
	MOKA_TRY(add_kind(l, f, "mean", one, 0, true, 1, NULL, NULL));
	MOKA_TRY(add_kind(l, f, "variance", one, 0, true, 1, NULL, &ones));
	if (v->bc) {
		MOKA_TRY(add_kind(l, f, "filter 1x1", v->middle, 0, true, 1, "Filter_Filler", p->filter));
		MOKA_TRY(add_kind(l, f, "scale 1x1", one, v->middle, false, 1, "BN_Scaler_Filler", p->scaler));
		MOKA_TRY(add_kind(l, f, "bias 1x1", one, v->middle, false, 1, "BN_Bias_Filler", p->bias));
		MOKA_TRY(add_kind(l, f, "mean 1x1", one, v->middle, false, 1, NULL, NULL));
		MOKA_TRY(add_kind(l, f, "variance 1x1", one, v->middle, false, 1, NULL, &ones));
	}
	if (!moka_layer_param(l, "divisor", moka_shape_make(1, (int64_t)1), NULL))
		return MOKA_ERR_NOMEM;
	l->params[l->n_param - 1].fixed = true;
	return MOKA_OK;
}

/* Multiply-accumulates: of each transition the 3x3 convolution, and the 1x1 one. */
static int64_t count_macs(const struct moka__dense *v)
{
	const int64_t places = moka_layer_product(2, (int64_t[]){ v->n, v->plane });
	int64_t sum = 0, one;

	if (places < 0 || v->c < 0)
		return -1;
	for (int64_t i = 0; i < v->t; i++) {
		const int64_t so_far = v->c + i * v->g;

		one = moka_layer_product(4, (int64_t[]){ places, v->g, 9, v->bc ? v->middle : so_far });
		if (!moka_add(sum, one, &sum))
			return INT64_MAX;
		one = v->bc ? moka_layer_product(3, (int64_t[]){ places, v->middle, so_far }) : 0;
		if (!moka_add(sum, one, &sum))
			return INT64_MAX;
	}
	return sum;
}

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__dense_param *p = l->param;

	if (p->transitions < 1 || p->transitions > MOST)
		return moka_layer_bad(l, f, "bad-setting", "numTransition", "numTransition must be 1 to %d, and is %d",
				      MOST, p->transitions);
	if (p->growth < 1 || p->growth > INT32_MAX / MOST)
		return moka_layer_bad(l, f, "bad-setting", "growthRate", "growthRate must be 1 to %d, and is %d",
				      INT32_MAX / MOST, p->growth);
	if (!(p->dropout >= 0 && p->dropout <= 1))
		return moka_layer_bad(l, f, "bad-setting", "dropout_amount",
				      "dropout_amount %g is not a probability (0 to 1)", (double)p->dropout);
	return MOKA_OK;
}

static enum moka_status dense_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__dense_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	struct moka__dense *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];
	int64_t size[MOKA__DENSE_BLOCKS];

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (s.n >= 0 && s.n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "takes blobs of 4 axes (num, channels, height, width), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(&s, text, sizeof(text)));
	MOKA_TRY(check_settings(l, f));
	if (s.n < 0)
		s = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	*v = (struct moka__dense){ s.d[0],
				   s.d[1],
				   s.d[2],
				   s.d[3],
				   p->transitions,
				   p->growth,
				   moka_layer_product(2, s.d + 2),
				   -1,
				   4 * (int64_t)p->growth,
				   p->use_bc };
	if (v->c >= 0 && !moka_add(v->c, v->t * v->g, &v->out))
		return moka_layer_bad_bottom(l, f, "too-large", 0, "'%s' has too many channels to count",
					     l->bottom[0].name);
	s.d[1] = v->out;
	l->top[0].shape = s;
	l->macs = count_macs(v);
	moka__dense_sizes(v, size);
	l->scratch_bytes = 0;
	for (int i = 0; i < MOKA__DENSE_BLOCKS && v->c >= 0; i++)
		l->scratch_bytes += moka_layer_bytes(size[i], sizeof(real));
	l->state_bytes = l->phase == MOKA_TRAIN && p->use_dropout
				 ? moka_layer_bytes(moka_layer_product(4, (int64_t[]){ v->t, v->n, v->g, v->plane }), 1)
				 : 0;
	l->state_for_backward = true;
	return add_params(l, f, v);
}

/* clang-format off */
const struct moka_layer_type moka_layer_dense_block = {
	.schema = { "DenseBlock", "denseblock_param", 147, 0, &dense_message, NULL, 0, "Tongcheng/caffe, caffe_ocr" },
	.doc = "a whole dense block: each step adds channels made of all before",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = dense_shape, .forward = moka__dense_forward, .backward = moka__dense_backward,
};
/* clang-format on */
