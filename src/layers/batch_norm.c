/*
 * BatchNorm: each channel less its mean, divided by its deviation. In training mean and variance are the
 * batch's, and a moving sum of them is kept; otherwise they come from those sums.
 *
 *     bottom (N, C, inner...)  params: mean sum (C), variance sum (C), divisor (1)
 *     NVIDIA's fork, scale_bias:       scale (C), bias (C) follow, applied to the result
 *
 * The sums are not means: they are divided by the third parameter, which counts the batches, older ones
 * weighing less. None of the three is learned. The normalised values are kept for backward, since layers after
 * this one usually overwrite the top.
 */
#include "blocks.h"
#include "kernels/blocked_train.h"
#include "onnx.h"
#include "op.h"

#include <tgmath.h>

struct batch_norm_param {
	bool use_global_stats;
	float moving_average_fraction, eps;
	const struct moka_filler_param *scale_filler, *bias_filler;
	bool scale_bias;
};

/* clang-format off */
#define P struct batch_norm_param
#define FORKED(name, num, kind, def, values, message, help) \
	{ #name, num, kind, MOKA_OPTIONAL, (uint32_t)offsetof(P, name), def, NULL, values, message, help, "NVIDIA" }
static const struct moka_field batch_norm_fields[] = {
	MOKA_F_BOOL(P, use_global_stats, 1, false, "use the kept statistics; absent: in the test phase"),
	MOKA_F_FLOAT(P, moving_average_fraction, 2, .999, "what remains of the kept sums when a batch is added"),
	MOKA_F_FLOAT(P, eps, 3, 1e-5, "added to the variance"),
	FORKED(scale_filler, 5, MOKA_MESSAGE, 0, NULL, &moka_filler_message, "first values of the scale; absent: 1"),
	FORKED(bias_filler, 6, MOKA_MESSAGE, 0, NULL, &moka_filler_message, "first values of the bias; absent: 0"),
	FORKED(scale_bias, 7, MOKA_BOOL, 0, NULL, NULL, "also learn a scale and a bias"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message batch_norm_message = { "BatchNormParameter", batch_norm_fields,
							sizeof(struct batch_norm_param) };

static const struct moka_filler_param ones = { .type = "constant", .value = 1, .max = 1, .std = 1, .sparse = -1 };

struct batch_norm {
	int64_t num, channels, inner;
	bool global; /* statistics are the kept ones */
	bool scaled; /* NVIDIA's scale and bias */
	bool keeps;  /* the state holds the normalised values behind 2 * channels others */
};

/* State: mean (C), deviation (C), then the normalised values (N, C, inner). */
static void set_state(struct moka_layer *l, struct batch_norm *v)
{
	const int64_t count = moka_layer_product(3, (int64_t[]){ v->num, v->channels, v->inner });

	v->keeps = !v->global || v->scaled;
	l->state_bytes = moka_layer_bytes(v->channels, 2 * sizeof(real)) +
			 (v->keeps ? moka_layer_bytes(count, sizeof(real)) : 0);
}

static enum moka_status add_params(struct moka_layer *l, struct moka_findings *f, const struct batch_norm *v)
{
	const struct batch_norm_param *p = l->param;
	const struct moka_shape per_channel = moka_shape_make(1, v->channels);

	moka_layer_param(l, "mean", per_channel, NULL);
	moka_layer_param(l, "variance", per_channel, NULL);
	moka_layer_param(l, "divisor", moka_shape_make(1, (int64_t)1), v->scaled ? &ones : NULL);
	for (int i = 0; i < 3; i++)
		l->params[i].fixed = true;
	if (!v->scaled)
		return MOKA_OK;
	MOKA_TRY(moka_layer_filled(l, f, "scale", per_channel, "scale_filler",
				   p->scale_filler ? p->scale_filler : &ones));
	return moka_layer_filled(l, f, "bias", per_channel, "bias_filler", p->bias_filler);
}

static enum moka_status batch_norm_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct batch_norm_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct batch_norm *v = moka_layer_priv(l, sizeof(*v));

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (s->n == 0)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "'%s' is a scalar; there is no batch to normalise over",
					     l->bottom[0].name);
	v->global = l->sub && moka_has(l->sub, "use_global_stats") ? p->use_global_stats : l->phase == MOKA_TEST;
	v->scaled = p->scale_bias || p->scale_filler || p->bias_filler;
	v->num = s->n < 0 ? -1 : s->d[0];
	v->channels = s->n < 0 ? -1 : s->n == 1 ? 1 : s->d[1];
	v->inner = s->n < 0 ? -1 : moka_shape_count_range(s, 2, s->n);
	l->top[0].shape = *s;
	set_state(l, v);
	return add_params(l, f, v);
}

struct batch_norm_job {
	const struct batch_norm *v;
	const real *x, *dy, *scale, *bias;
	real *mean, *deviation, *kept, *out;
	real eps;
	real *dscale, *dbias;
};

/*
 * Channels of a piece: neighbours, image by image, so that memory is read in order; their sums are made side by side, each in the
 * order of images.
 */
#define MOST_CHANNELS 16

/* Mean and variance (left in `deviation`) of channels [begin, end), at most MOST_CHANNELS. */
static void statistics_piece(void *arg, int64_t begin, int64_t end)
{
	const struct batch_norm_job *j = arg;
	const struct batch_norm *v = j->v;
	const double count = (double)v->num * (double)v->inner;
	double sum[MOST_CHANNELS] = { 0 }, squares[MOST_CHANNELS] = { 0 };

	for (int64_t n = 0; n < v->num; n++)
		for (int64_t ch = begin; ch < end; ch++)
			sum[ch - begin] += moka_wide_sum(v->inner, j->x + (n * v->channels + ch) * v->inner);
	for (int64_t n = 0; n < v->num; n++)
		for (int64_t ch = begin; ch < end; ch++)
			squares[ch - begin] += moka_wide_deviation(v->inner, sum[ch - begin] / count,
								   j->x + (n * v->channels + ch) * v->inner);
	for (int64_t ch = begin; ch < end; ch++) {
		j->mean[ch] = (real)(sum[ch - begin] / count);
		j->deviation[ch] = (real)(squares[ch - begin] / count);
	}
}

/* Work on channels is cut so that a piece is worth handing over, whatever the number of threads. */
static void run_channels(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct batch_norm_job *j)
{
	moka_parallel(pool, piece, j, j->v->channels, MOKA_MIN(MOKA_MAX(j->v->channels / 4, 1), MOST_CHANNELS));
}

static void run_rows(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct batch_norm_job *j)
{
	moka_parallel(pool, piece, j, j->v->num * j->v->channels, MOKA_MAX(16384 / MOKA_MAX(j->v->inner, 1), 1));
}

static void normalise_piece(void *arg, int64_t begin, int64_t end)
{
	const struct batch_norm_job *j = arg;
	const int64_t inner = j->v->inner;

	for (int64_t r = begin; r < end; r++) {
		const int64_t ch = r % j->v->channels;
		const real mean = j->mean[ch], deviation = j->deviation[ch];
		const real a = j->scale ? j->scale[ch] : 1, b = j->bias ? j->bias[ch] : 0;

		real *y = (j->kept ? j->kept : j->out) + r * inner;

		moka_standardise(inner, mean, deviation, j->x + r * inner, y);
		if (j->kept || j->scale || j->bias)
			moka_line(inner, a, y, b, j->out + r * inner);
	}
}

/* The kept sums, older batches worth less; the variance without its bias. */
static void update_sums(const struct moka_layer *l, struct moka_call *c, const struct batch_norm_job *j)
{
	const struct batch_norm_param *p = l->param;
	const struct batch_norm *v = l->priv;

	moka_norm_keep(v->channels, v->num * v->inner, (real)p->moving_average_fraction, j->mean, j->deviation,
		       c->param[0].data, c->param[1].data, c->param[2].data);
}

static void kept_statistics(struct moka_call *c, const struct batch_norm_job *j)
{
	const real divisor = c->param[2].data[0], factor = divisor == 0 ? 0 : 1 / divisor;

	for (int64_t i = 0; i < j->v->channels; i++) {
		j->mean[i] = c->param[0].data[i] * factor;
		j->deviation[i] = c->param[1].data[i] * factor;
	}
}

static enum moka_status batch_norm_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct batch_norm_param *p = l->param;
	const struct batch_norm *v = l->priv;
	struct batch_norm_job j = { .v = v, .x = c->bottom[0].data, .mean = c->state, .out = c->top[0].data };

	j.deviation = j.mean + v->channels;
	if (v->keeps && c->backward_follows)
		j.kept = j.deviation + v->channels;
	if (v->scaled) {
		j.scale = c->param[3].data;
		j.bias = c->param[4].data;
	}
	if (!c->bottom[0].count)
		return MOKA_OK;
	if (v->global) {
		kept_statistics(c, &j);
	} else {
		run_channels(c->pool, statistics_piece, &j);
		update_sums(l, c, &j);
	}
	for (int64_t i = 0; i < v->channels; i++)
		j.deviation[i] = sqrt(j.deviation[i] + (real)p->eps);
	run_rows(c->pool, normalise_piece, &j);
	return MOKA_OK;
}

/* Sums over the batch that a channel's gradient needs. */
static void gradient_sums(const struct batch_norm_job *j, int64_t begin, int64_t end, double *sum, double *product)
{
	const struct batch_norm *v = j->v;

	for (int64_t n = 0; n < v->num && j->kept; n++)
		for (int64_t ch = begin; ch < end; ch++) {
			const int64_t at = (n * v->channels + ch) * v->inner;

			sum[ch - begin] += moka_wide_sum(v->inner, j->dy + at);
			product[ch - begin] += moka_wide_dot(v->inner, j->dy + at, j->kept + at);
		}
	for (int64_t ch = begin; ch < end; ch++) {
		if (j->dscale)
			j->dscale[ch] += (real)product[ch - begin];
		if (j->dbias)
			j->dbias[ch] += (real)sum[ch - begin];
	}
}

/* dx = scale * (dy - mean(dy) - y * mean(dy * y)) / deviation; of kept statistics scale * dy / deviation. */
static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct batch_norm_job *j = arg;
	const struct batch_norm *v = j->v;
	const double count = (double)v->num * (double)v->inner;
	double sum[MOST_CHANNELS] = { 0 }, product[MOST_CHANNELS] = { 0 };

	gradient_sums(j, begin, end, sum, product);
	for (int64_t n = 0; n < v->num && j->out; n++)
		for (int64_t ch = begin; ch < end; ch++) {
			const real factor = (j->scale ? j->scale[ch] : 1) / j->deviation[ch];
			const int64_t at = (n * v->channels + ch) * v->inner;
			const real mean = (real)(sum[ch - begin] / count), slope = (real)(product[ch - begin] / count);

			if (v->global)
				moka_line(v->inner, factor, j->dy + at, 0, j->out + at);
			else
				moka_plane(v->inner, factor, j->dy + at, -factor * slope, j->kept + at, -factor * mean,
					   j->out + at);
		}
}

static enum moka_status batch_norm_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct batch_norm *v = l->priv;
	struct batch_norm_job j = { .v = v, .dy = c->top[0].diff, .mean = c->state, .out = c->bottom[0].diff };

	j.deviation = j.mean + v->channels;
	j.kept = v->keeps ? j.deviation + v->channels : NULL;
	if (v->scaled) {
		j.scale = c->param[3].data;
		j.dscale = c->param[3].diff;
		j.dbias = c->param[4].diff;
	}
	if (c->top[0].count)
		run_channels(c->pool, gradient_piece, &j);
	return MOKA_OK;
}

/* In the test phase: less the kept mean, over the kept deviation. */
static void batch_norm_values(const struct moka_layer *l, const struct moka_view *param, real *scale, real *shift)
{
	const struct batch_norm_param *p = l->param;
	const struct batch_norm *v = l->priv;
	const real divisor = param[2].data[0], factor = divisor == 0 ? 0 : 1 / divisor;

	for (int64_t i = 0; i < v->channels; i++) {
		const real a = v->scaled ? param[3].data[i] : 1, b = v->scaled ? param[4].data[i] : 0;

		scale[i] = a / sqrt(param[1].data[i] * factor + (real)p->eps);
		shift[i] = b - param[0].data[i] * factor * scale[i];
	}
}

static bool batch_norm_lower(const struct moka_layer *l, struct moka_op *op)
{
	const struct batch_norm *v = l->priv;

	if (l->bottom[0].shape.n < (v->global ? 2 : 4))
		return false;
	if (!v->global) {
		op->kind = MOKA_OP_NORM;
		op->norm.eps = (real)((const struct batch_norm_param *)l->param)->eps;
		op->norm.keep = (real)((const struct batch_norm_param *)l->param)->moving_average_fraction;
		op->norm.scale = v->scaled ? 3 : -1;
		op->norm.shift = v->scaled ? 4 : -1;
		return true;
	}
	op->kind = MOKA_OP_AFFINE;
	op->affine.channels = v->channels;
	op->affine.values = batch_norm_values;
	return true;
}

/* In blocks the net runs it as a NORM, together with what follows. */
static enum moka_layout batch_norm_layout(const struct moka_layer *l, int block)
{
	const struct batch_norm *v = l->priv;

	(void)block;
	return v->global ? MOKA_LAYOUT_PLAIN : MOKA_LAYOUT_ALIKE;
}

static enum moka_status batch_norm_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct batch_norm_param *p = l->param;
	const struct batch_norm *v = l->priv;
	const real divisor = o->param[2]->data[0], factor = divisor == 0 ? 0 : 1 / divisor;
	const struct moka_shape per_channel = moka_shape_make(1, v->channels);
	real *sum = MOKA_NEWN(o->arena, 4 * v->channels + 1, real);
	const char *in[5] = { o->bottom[0] };

	if (!sum)
		return MOKA_ERR_NOMEM;
	if (!v->global)
		return moka_onnx_cannot(o, "use_global_stats",
					"it takes the statistics of each batch, which ONNX keeps for training");
	if (l->bottom[0].shape.n < 2)
		return moka_onnx_cannot(o, NULL, "normalises a blob without channels, which ONNX's node can't");
	for (int64_t i = 0; i < v->channels; i++) {
		sum[i] = o->param[0]->data[i] * factor;
		sum[v->channels + i] = o->param[1]->data[i] * factor;
		sum[2 * v->channels + i] = 1;
	}
	in[1] = v->scaled ? moka_onnx_param(o, 3) : moka_onnx_reals(o, per_channel, sum + 2 * v->channels);
	in[2] = v->scaled ? moka_onnx_param(o, 4) : moka_onnx_reals(o, per_channel, sum + 3 * v->channels);
	in[3] = moka_onnx_reals(o, per_channel, sum);
	in[4] = moka_onnx_reals(o, per_channel, sum + v->channels);
	moka_onnx_float(o, moka_onnx_node_of(o, "BatchNormalization", 1, o->top, 5, in), "epsilon", (double)p->eps);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_batch_norm = {
	.schema = { "BatchNorm", "batch_norm_param", 139, 0, &batch_norm_message, NULL, 0, NULL },
	.doc = "gives each channel mean 0 and variance 1",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_PARTIAL,
	.shape = batch_norm_shape, .forward = batch_norm_forward, .backward = batch_norm_backward,
	.onnx = batch_norm_onnx,
	.lower = batch_norm_lower, .layout = batch_norm_layout,
};
/* clang-format on */
