/*
 * LSTMUnit: one step of an LSTM's cell, for nets that write the recurrence out themselves (LSTM does not use it).
 *
 *     bottoms: c_prev (1, N, D), gates (1, N, 4D: i f o g before their nonlinearities), cont (1, N)
 *     tops:    c (1, N, D), h (1, N, D)
 *     c = cont * sigmoid(f) * c_prev + sigmoid(i) * tanh(g);  h = sigmoid(o) * tanh(c)
 */
#include "layer.h"

#include <tgmath.h>

#define PIECE 4096

static enum moka_status unit_shape(struct moka_layer *l, struct moka_findings *f)
{
	static const int axes[] = { 3, 3, 2 };
	const struct moka_shape *c = &l->bottom[0].shape;
	char text[2][MOKA_SHAPE_TEXT];

	MOKA_TRY(moka_shape_same(l, f));
	l->top[1].shape = l->top[0].shape;
	for (int i = 0; i < 3; i++) {
		const struct moka_shape *b = &l->bottom[i].shape;

		if (b->n != axes[i] || b->d[0] != 1)
			return moka_layer_bad_bottom(l, f, "shape-mismatch", i,
						     "bottom '%s' is %s, but it must have %d axes, the first of size 1",
						     l->bottom[i].name, moka_shape_text(b, text[0], sizeof(text[0])),
						     axes[i]);
		if (b->d[1] != c->d[1])
			return moka_layer_bad_bottom(
				l, f, "shape-mismatch", i,
				"bottom '%s' is %s and bottom '%s' is %s: the second dimensions, the streams, must be equal",
				l->bottom[0].name, moka_shape_text(c, text[0], sizeof(text[0])), l->bottom[i].name,
				moka_shape_text(b, text[1], sizeof(text[1])));
	}
	if (c->d[2] > INT64_MAX / 4 || l->bottom[1].shape.d[2] != 4 * c->d[2])
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"bottom '%s' is %s, but the four gates of %lld cells want a last dimension of %lld",
			l->bottom[1].name, moka_shape_text(&l->bottom[1].shape, text[0], sizeof(text[0])),
			(long long)c->d[2], (long long)(c->d[2] > INT64_MAX / 4 ? -1 : 4 * c->d[2]));
	return MOKA_OK;
}

struct unit_job {
	int64_t d;
	const real *c_prev, *x, *cont, *dc, *dh;
	real *c, *h, *dc_prev, *dx;
};

static struct unit_job unit_job(const struct moka_layer *l, const struct moka_call *c)
{
	return (struct unit_job){ .d = l->bottom[0].shape.d[2],
				  .c_prev = c->bottom[0].data,
				  .x = c->bottom[1].data,
				  .cont = c->bottom[2].data,
				  .dc = c->top[0].diff,
				  .dh = c->top[1].diff,
				  .c = c->top[0].data,
				  .h = c->top[1].data,
				  .dc_prev = c->bottom[0].diff,
				  .dx = c->bottom[1].diff };
}

static real sigmoid(real x)
{
	return (real)0.5 * tanh((real)0.5 * x) + (real)0.5;
}

struct gates {
	real i, f, o, g;
};

/* Of cell e, counted through all streams. A stream that starts anew forgets its past even where that is not a number. */
static struct gates gates(const struct unit_job *j, int64_t e)
{
	const int64_t n = e / j->d;
	const real *x = j->x + n * 4 * j->d + e % j->d, cont = j->cont[n];

	return (struct gates){ sigmoid(x[0]), cont == 0 ? 0 : cont * sigmoid(x[j->d]), sigmoid(x[2 * j->d]),
			       tanh(x[3 * j->d]) };
}

static void unit_range(void *arg, int64_t begin, int64_t end)
{
	const struct unit_job *j = arg;

	for (int64_t e = begin; e < end; e++) {
		const struct gates a = gates(j, e);

		j->c[e] = a.f * j->c_prev[e] + a.i * a.g;
		j->h[e] = a.o * tanh(j->c[e]);
	}
}

static enum moka_status unit_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct unit_job j = unit_job(l, c);

	moka_parallel(c->pool, unit_range, &j, c->top[0].count, PIECE);
	return MOKA_OK;
}

static void unit_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct unit_job *j = arg;

	for (int64_t e = begin; e < end; e++) {
		const struct gates a = gates(j, e);
		const real t = tanh(j->c[e]), dh = j->dh ? j->dh[e] : 0;
		const real dc = (j->dc ? j->dc[e] : 0) + dh * a.o * (1 - t * t);

		if (j->dc_prev)
			j->dc_prev[e] = dc * a.f;
		if (j->dx) {
			real *dx = j->dx + e / j->d * 4 * j->d + e % j->d;

			dx[0] = dc * a.g * a.i * (1 - a.i);
			dx[j->d] = dc * j->c_prev[e] * a.f * (1 - a.f);
			dx[2 * j->d] = dh * t * a.o * (1 - a.o);
			dx[3 * j->d] = dc * a.i * (1 - a.g * a.g);
		}
	}
}

static enum moka_status unit_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct unit_job j = unit_job(l, c);

	if (j.dc_prev || j.dx)
		moka_parallel(c->pool, unit_gradient_range, &j, c->top[0].count, PIECE);
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_lstm_unit = {
	.schema = { "LSTMUnit", NULL, 0, 0, NULL, NULL, 0, NULL },
	.doc = "one step of an LSTM's cell",
	.min_bottom = 3,
	.max_bottom = 3,
	.min_top = 2,
	.max_top = 2,
	.no_gradient = 1 << 2,
	.shape = unit_shape,
	.forward = unit_forward,
	.backward = unit_backward,
};
