/*
 * Normalize (SSD): each item divided by its length, or each place by the length of its channels, times a
 * learned scale.
 *
 *     bottom (N, C, inner...)   y = scale * x / sqrt(eps + sum of x^2)
 *
 * One scale for all, or one a channel. Where the scales differ, SSD's own backward pass leaves them out of the
 * inner product of x and dy; here they are in it, as the derivative has it. The state keeps the lengths.
 */
#include "norm.h"
#include "onnx.h"

#include <tgmath.h>

struct normalize_param {
	bool across_spatial;
	const struct moka_filler_param *scale_filler;
	bool channel_shared;
	float eps;
};

/* clang-format off */
#define P struct normalize_param
static const struct moka_field normalize_fields[] = {
	MOKA_F_BOOL(P, across_spatial, 1, true, "one length for the whole item; false: one for each place"),
	MOKA_F_MSG(P, scale_filler, 2, &moka_filler_message, "first values of the scale; absent: 1"),
	MOKA_F_BOOL(P, channel_shared, 3, true, "one scale for all channels"),
	MOKA_F_FLOAT(P, eps, 4, 1e-10, "added to the sum of squares"),
	MOKA_F_END
};
/* clang-format on */
#undef P
const struct moka_message moka__normalize_message = { "NormalizeParameter", normalize_fields,
						      sizeof(struct normalize_param) };

static const struct moka_filler_param ones = { .type = "constant", .value = 1, .max = 1, .std = 1, .sparse = -1 };

struct normalize {
	int64_t num, channels, inner;
	int64_t places; /* lengths an item has: 1, or `inner` */
};

enum moka_status moka__normalize_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct normalize_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct normalize *v = moka_layer_priv(l, sizeof(*v));
	struct moka_shape scale = moka_shape_make(0);
	char text[MOKA_SHAPE_TEXT];

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (s->n >= 0 && s->n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "normalises blobs of 2 axes or more, and '%s' is %s", l->bottom[0].name,
					     moka_shape_text(s, text, sizeof(text)));
	v->num = s->n < 0 ? -1 : s->d[0];
	v->channels = s->n < 0 ? -1 : s->d[1];
	v->inner = s->n < 0 ? -1 : moka_shape_count_range(s, 2, s->n);
	v->places = p->across_spatial ? 1 : v->inner;
	l->top[0].shape = *s;
	l->state_bytes = moka_layer_bytes(moka_layer_product(2, (int64_t[]){ v->num, v->places }), sizeof(real));
	if (!p->channel_shared)
		scale = moka_shape_make(1, v->channels);
	return moka_layer_filled(l, f, "scale", scale, "scale_filler", p->scale_filler ? p->scale_filler : &ones);
}

struct normalize_job {
	const struct normalize *v;
	const struct normalize_param *p;
	const real *x, *dy, *scale;
	real *length, *out;
};

static void run_items(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct normalize_job *j)
{
	moka_parallel(pool, piece, j, j->v->num, 1);
}

static real scale_of(const struct normalize_job *j, int64_t channel)
{
	return j->scale[j->p->channel_shared ? 0 : channel];
}

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct normalize_job *j = arg;
	const struct normalize *v = j->v;
	const int64_t step = v->places == 1 ? 0 : 1; /* from place to place in `length` */

	for (int64_t n = begin; n < end; n++) {
		const real *x = j->x + n * v->channels * v->inner;
		real *length = j->length + n * v->places, *y = j->out + n * v->channels * v->inner;

		moka_set(v->places, (real)j->p->eps, length);
		for (int64_t i = 0; i < v->channels * v->inner; i++)
			length[i % v->inner * step] += x[i] * x[i];
		for (int64_t i = 0; i < v->places; i++)
			length[i] = sqrt(length[i]);
		for (int64_t i = 0; i < v->channels * v->inner; i++)
			y[i] = scale_of(j, i / v->inner) * x[i] / length[i % v->inner * step];
	}
}

enum moka_status moka__normalize_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct normalize_job j = { .v = l->priv,
				   .p = l->param,
				   .x = c->bottom[0].data,
				   .scale = c->param[0].data,
				   .length = c->state,
				   .out = c->top[0].data };

	run_items(c->pool, forward_piece, &j);
	return MOKA_OK;
}

/* With g = scale * dy: dx = (g - x * (sum of g * x) / length^2) / length, the sum over what shares the length. */
static void backward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct normalize_job *j = arg;
	const struct normalize *v = j->v;
	const int64_t shared = v->places == 1 ? v->inner : 1, size = v->channels * v->inner;

	for (int64_t n = begin; n < end; n++) {
		const real *x = j->x + n * size, *dy = j->dy + n * size;
		real *dx = j->out + n * size;

		for (int64_t place = 0; place < v->places; place++) {
			const real length = j->length[n * v->places + place];
			real product = 0;

			for (int64_t ch = 0; ch < v->channels; ch++)
				for (int64_t i = ch * v->inner + place, e = i + shared; i < e; i++)
					product += scale_of(j, ch) * dy[i] * x[i];
			product /= length * length;
			for (int64_t ch = 0; ch < v->channels; ch++)
				for (int64_t i = ch * v->inner + place, e = i + shared; i < e; i++)
					dx[i] = (scale_of(j, ch) * dy[i] - x[i] * product) / length;
		}
	}
}

/* dscale += sum of dy * x / length; in a fixed order, since one scale may serve everything. */
static void scale_gradient(const struct normalize_job *j, real *dscale)
{
	const struct normalize *v = j->v;
	const int64_t step = v->places == 1 ? 0 : 1;

	for (int64_t ch = 0; ch < v->channels; ch++) {
		double sum = 0;

		for (int64_t n = 0; n < v->num; n++) {
			const int64_t at = (n * v->channels + ch) * v->inner;

			for (int64_t i = 0; i < v->inner; i++)
				sum += (double)j->dy[at + i] * (double)j->x[at + i] /
				       (double)j->length[n * v->places + i * step];
		}
		dscale[j->p->channel_shared ? 0 : ch] += (real)sum;
	}
}

enum moka_status moka__normalize_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct normalize_job j = { .v = l->priv,
				   .p = l->param,
				   .x = c->bottom[0].data,
				   .dy = c->top[0].diff,
				   .scale = c->param[0].data,
				   .length = c->state,
				   .out = c->bottom[0].diff };

	if (c->param[0].diff)
		scale_gradient(&j, c->param[0].diff);
	if (j.out)
		run_items(c->pool, backward_piece, &j);
	return MOKA_OK;
}

static enum moka_status normalize_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct normalize_param *p = l->param;
	const char *square = moka_onnx_value(o), *sum = moka_onnx_value(o), *length = moka_onnx_value(o),
		   *unit = moka_onnx_value(o);
	const int64_t axes = p->across_spatial ? l->bottom[0].shape.n - 1 : 1;
	int64_t over[MOKA_MAX_AXES];

	for (int64_t i = 0; i < axes; i++)
		over[i] = 1 + i;
	moka_onnx_node(o, "Mul", square, o->bottom[0], o->bottom[0], NULL);
	moka_onnx_node(o, "ReduceSum", sum, square, moka_onnx_whole(o, (int)axes, over), NULL);
	moka_onnx_node(o, "Sqrt", length, moka_onnx_add(o, sum, (double)p->eps), NULL);
	moka_onnx_node(o, "Div", unit, o->bottom[0], length, NULL);
	moka_onnx_node(o, "Mul", o->top[0], unit,
		       moka_onnx_param_as(o, 0, moka_onnx_stretch(&l->params[0].shape, 1, l->bottom[0].shape.n)), NULL);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_normalize = {
	.schema = { "Normalize", "norm_param", 206, 0, &moka__normalize_message, NULL, 0, "SSD" },
	.doc = "divides by the length of each item or place, and scales",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = moka__normalize_shape, .forward = moka__normalize_forward, .backward = moka__normalize_backward,
	.onnx = normalize_onnx,
};
/* clang-format on */
