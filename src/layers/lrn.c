/*
 * LRN: local response normalisation: each value divided by a power of the sum of squares around it.
 *
 *     across channels:  y = x / (k + alpha / size * sum of x^2 over `size` channels)^beta
 *     within a channel: y = x / (1 + alpha * mean of x^2 over size x size)^beta       (k is not used, the mean counts the padding)
 *
 * The brackets are kept in the state for backward (where none follows they stand in the top until they are used
 * up); scratch holds one blob of intermediate values.
 */
#include "kernels/blocked_train.h"
#include "lrn.h"
#include "pool.h"
#include "onnx.h"
#include "op.h"
#include "tensor.h"

#include <tgmath.h>

static const struct moka_enum_value region_values[] = { { "ACROSS_CHANNELS", 0 },
							{ "WITHIN_CHANNEL", 1 },
							{ NULL, 0 } };

/* clang-format off */
#define P struct moka__lrn_param
static const struct moka_field lrn_fields[] = {
	MOKA_F_UINT32(P, local_size, 1, 5, "channels, or side of the square, that are summed over; odd"),
	MOKA_F_FLOAT(P, alpha, 2, 1, "weight of the sum"),
	MOKA_F_FLOAT(P, beta, 3, 0.75, "the power"),
	MOKA_F_ENUM(P, norm_region, 4, region_values, MOKA__ACROSS_CHANNELS, "sum over neighbouring channels, or places"),
	MOKA_F_FLOAT(P, k, 5, 1, "what the sum is added to, across channels"),
	MOKA_F_ENGINE(6),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message lrn_message = { "LRNParameter", lrn_fields, sizeof(struct moka__lrn_param) };

struct lrn {
	int64_t num, channels, spatial, half; /* half: neighbours on each side */
	struct moka__pool square;	      /* within a channel */
};

enum moka_status moka__lrn_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__lrn_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct lrn *v = moka_layer_priv(l, sizeof(*v));
	const int64_t size = p->local_size, half = (size - 1) / 2;
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	if (size % 2 == 0 || size > INT32_MAX)
		return moka_layer_bad(l, f, "bad-setting", "local_size",
				      "local_size must be an odd number, and is %lld", (long long)size);
	l->top[0].shape = *s;
	if (s->n < 0)
		return MOKA_OK;
	if (s->n != 4)
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 0,
			"normalises blobs of 4 axes (num, channels, height, width), and '%s' is %s", l->bottom[0].name,
			moka_shape_text(s, text, sizeof(text)));
	*v = (struct lrn){ s->d[0], s->d[1], moka_shape_count_range(s, 2, 4), half, { 0 } };
	v->square = (struct moka__pool){ .planes = moka_layer_product(2, s->d),
					 .channels = 1,
					 .item_stride = v->spatial,
					 .h = s->d[2],
					 .w = s->d[3],
					 .oh = s->d[2],
					 .ow = s->d[3],
					 .kh = size,
					 .kw = size,
					 .sh = 1,
					 .sw = 1,
					 .ph = half,
					 .pw = half };
	l->state_bytes = moka_layer_bytes(moka_shape_count(s), sizeof(real));
	l->state_for_backward = true;
	l->scratch_bytes = l->state_bytes;
	return MOKA_OK;
}

struct lrn_job {
	const struct lrn *v;
	const struct moka__lrn_param *p;
	const real *x, *y, *dy;
	real *scale, *ratio, *out;
};

static void run_flat(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct lrn_job *j)
{
	moka_parallel(pool, piece, j, j->v->num * j->v->channels * j->v->spatial, 16384);
}

static void run_planes(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct lrn_job *j)
{
	moka_parallel(pool, piece, j, j->v->num * j->v->channels, MOKA_MAX(16384 / MOKA_MAX(j->v->spatial, 1), 1));
}

/* s^-beta; the usual beta without pow(). */
static inline real power(real s, real beta)
{
	if (beta == (real)0.75) {
		const real r = sqrt(s);

		return 1 / (r * sqrt(r));
	}
	return pow(s, -beta);
}

/* The channels [*from, *to) that count for `channel`. */
static void neighbours(const struct lrn *v, int64_t channel, int64_t *from, int64_t *to)
{
	*from = MOKA_MAX(channel - v->half, 0);
	*to = MOKA_MIN(channel + v->half + 1, v->channels);
}

static void across_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn_job *j = arg;
	const struct lrn *v = j->v;
	const real alpha = (real)j->p->alpha / (real)j->p->local_size, beta = (real)j->p->beta, k = (real)j->p->k;

	for (int64_t p = begin; p < end; p++) {
		const int64_t item = p / v->channels * v->channels;
		const real *x = j->x + p * v->spatial;
		real *scale = j->scale + p * v->spatial, *y = j->out + p * v->spatial;
		int64_t from, to;

		neighbours(v, p % v->channels, &from, &to);
		moka_set(v->spatial, 0, scale);
		for (int64_t ch = from; ch < to; ch++) {
			const real *other = j->x + (item + ch) * v->spatial;

			for (int64_t i = 0; i < v->spatial; i++)
				scale[i] += other[i] * other[i];
		}
		for (int64_t i = 0; i < v->spatial; i++) { /* scale may be y */
			const real s = k + alpha * scale[i];

			scale[i] = s;
			y[i] = x[i] * power(s, beta);
		}
	}
}

static void square_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->ratio[i] = j->x[i] * j->x[i];
}

static void within_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn_job *j = arg;
	const real alpha = (real)j->p->alpha, beta = (real)j->p->beta;

	for (int64_t i = begin; i < end; i++) {
		const real s = 1 + alpha * j->scale[i];

		j->scale[i] = s; /* which may be out */
		j->out[i] = j->x[i] * power(s, beta);
	}
}

/* ---- blobs in blocks -------------------------------------------------------------------------------- */

static enum moka_layout lrn_layout(const struct moka_layer *l, int block)
{
	const struct moka__lrn_param *p = l->param;

	(void)block;
	return p->norm_region == MOKA__ACROSS_CHANNELS && p->beta == 0.75F && p->local_size <= MOKA_LRN_WINDOW &&
			       l->bottom[0].shape.n == 4 && l->bottom[0].shape.d[1] <= MOKA_LRN_CHANNELS
		       ? MOKA_LAYOUT_ALIKE
		       : MOKA_LAYOUT_PLAIN;
}

enum moka_status moka__lrn_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__lrn_param *p = l->param;
	struct lrn_job j = { .v = l->priv, .p = p, .x = c->bottom[0].data, .ratio = c->scratch, .out = c->top[0].data };

	j.scale = c->backward_follows ? c->state : j.out;
	if (c->bottom[0].block > 1) {
		const struct moka_tensor x = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].data);

		/* where no backward follows scratch takes what nobody wants */
		moka_lrn_across_keep(c->pool, p->local_size, (real)p->alpha, (real)p->k, &x,
				     c->backward_follows ? c->state : c->scratch, j.out);
		return MOKA_OK;
	}
	if (p->norm_region == MOKA__ACROSS_CHANNELS) {
		run_planes(c->pool, across_piece, &j);
	} else {
		run_flat(c->pool, square_piece, &j);
		moka__pool_ave(c->pool, &j.v->square, j.ratio, j.scale);
		run_flat(c->pool, within_piece, &j);
	}
	return MOKA_OK;
}

static void ratio_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->ratio[i] = j->dy[i] * j->y[i] / j->scale[i];
}

/* dx = dy * scale^-beta - 2 alpha beta / size * x * (sum of dy * y / scale over the neighbours) */
static void across_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn_job *j = arg;
	const struct lrn *v = j->v;
	const real beta = (real)j->p->beta, factor = 2 * (real)j->p->alpha * beta / (real)j->p->local_size;

	for (int64_t p = begin; p < end; p++) {
		const int64_t at = p * v->spatial, item = p / v->channels * v->channels;
		real *dx = j->out + at;
		int64_t from, to;

		neighbours(v, p % v->channels, &from, &to);
		moka_set(v->spatial, 0, dx);
		for (int64_t ch = from; ch < to; ch++)
			moka_axpy(v->spatial, 1, j->ratio + (item + ch) * v->spatial, dx);
		for (int64_t i = 0; i < v->spatial; i++)
			dx[i] = j->dy[at + i] * power(j->scale[at + i], beta) - factor * j->x[at + i] * dx[i];
	}
}

static void within_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn_job *j = arg;
	const real beta = (real)j->p->beta, factor = 2 * (real)j->p->alpha * beta;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * power(j->scale[i], beta) - factor * j->x[i] * j->out[i];
}

enum moka_status moka__lrn_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__lrn_param *p = l->param;
	struct lrn_job j = { .v = l->priv,
			     .p = p,
			     .x = c->bottom[0].data,
			     .y = c->top[0].data,
			     .dy = c->top[0].diff,
			     .scale = c->state,
			     .ratio = c->scratch,
			     .out = c->bottom[0].diff };

	if (!j.out)
		return MOKA_OK;
	if (c->bottom[0].block > 1) {
		const struct moka_tensor x = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].data);

		moka_lrn_across_gradient(c->pool, p->local_size, (real)p->alpha, &x, c->state, j.y, j.dy, j.out);
		return MOKA_OK;
	}
	run_flat(c->pool, ratio_piece, &j);
	if (p->norm_region == MOKA__ACROSS_CHANNELS) {
		run_planes(c->pool, across_gradient_piece, &j);
	} else {
		moka_set(c->bottom[0].count, 0, j.out);
		moka__pool_ave_gradient(c->pool, &j.v->square, j.ratio, j.out);
		run_flat(c->pool, within_gradient_piece, &j);
	}
	return MOKA_OK;
}

static enum moka_status lrn_onnx(struct moka_onnx *o)
{
	const struct moka__lrn_param *p = o->layer->param;
	const int64_t half = (int64_t)(p->local_size - 1) / 2, size = p->local_size;
	const char *square = moka_onnx_value(o), *mean = moka_onnx_value(o), *ratio = moka_onnx_value(o);
	struct moka_onnx_node *n;
	const char *base;

	if (p->norm_region == MOKA__ACROSS_CHANNELS) {
		n = moka_onnx_node(o, "LRN", o->top[0], o->bottom[0], NULL);
		moka_onnx_int(o, n, "size", size);
		moka_onnx_float(o, n, "alpha", (double)p->alpha);
		moka_onnx_float(o, n, "beta", (double)p->beta);
		moka_onnx_float(o, n, "bias", (double)p->k);
		return o->status;
	}
	moka_onnx_node(o, "Mul", square, o->bottom[0], o->bottom[0], NULL);
	n = moka_onnx_node(o, "AveragePool", mean, square, NULL);
	moka_onnx_ints(o, n, "kernel_shape", 2, (int64_t[]){ size, size });
	moka_onnx_ints(o, n, "pads", 4, (int64_t[]){ half, half, half, half });
	moka_onnx_ints(o, n, "strides", 2, (int64_t[]){ 1, 1 });
	moka_onnx_int(o, n, "count_include_pad", 1);
	base = moka_onnx_add(o, moka_onnx_mul(o, mean, (double)p->alpha), 1);
	moka_onnx_node(o, "Pow", ratio, base, moka_onnx_number(o, -(double)p->beta), NULL);
	moka_onnx_node(o, "Mul", o->top[0], o->bottom[0], ratio, NULL);
	return o->status;
}

static bool lrn_lower(const struct moka_layer *l, struct moka_op *op)
{
	const struct moka__lrn_param *p = l->param;

	op->kind = MOKA_OP_LRN;
	op->lrn.size = p->local_size;
	op->lrn.alpha = (real)p->alpha;
	op->lrn.beta = (real)p->beta;
	op->lrn.k = (real)p->k;
	return p->norm_region == MOKA__ACROSS_CHANNELS;
}

/* clang-format off */
const struct moka_layer_type moka_layer_lrn = {
	.schema = { "LRN", "lrn_param", 118, 18, &lrn_message, "LRN", 15, NULL },
	.doc = "divides each value by a measure of its neighbours",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = moka__lrn_shape, .forward = moka__lrn_forward, .backward = moka__lrn_backward,
	.onnx = lrn_onnx,
	.lower = lrn_lower, .layout = lrn_layout,
};
/* clang-format on */
