/*
 * LSTM over T steps of N streams (recurrent.h has the bottoms and tops), H = num_output:
 *
 *     i f o g = x_t W_xc' + b_c [+ static W_xc_static'] + (cont_t h_{t-1}) W_hc'      4H numbers, in this order
 *     c_t = cont_t sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
 *     h_t = sigmoid(o) tanh(c_t)
 *
 * The top is h_1 .. h_T. The products with x are one for all steps; only those with h go step by step.
 *
 * State, all (steps, N, ...): h 0..T and c 0..T (H each), the gates after their nonlinearities 1..T (4H). Step T is the
 * next batch's step 0. The gates' values are kept, not their sums, so backward needs no second exp().
 */
#include "recurrent.h"

#include <string.h>
#include <tgmath.h>

#define PIECE 2048

static enum moka_status lstm_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__recurrent_param *p = l->param;
	const struct moka__recurrent *r;
	int64_t cells, step;

	MOKA_TRY(moka__recurrent_shape(l, f, 2, 4));
	r = l->priv;
	MOKA_TRY(moka_layer_filled(l, f, "hidden weight", moka_shape_make(2, r->g, r->h), "weight_filler",
				   p->weight_filler));
	l->macs = moka__recurrent_macs(l->macs, moka_layer_product(4, (int64_t[]){ r->t, r->n, r->g, r->h }));
	cells = moka_layer_product(3, (int64_t[]){ r->t, r->n, r->h });
	step = moka_layer_product(2, (int64_t[]){ r->n, r->h });
	l->state_bytes = moka_layer_bytes(cells, 6 * sizeof(real)) + moka_layer_bytes(step, 2 * sizeof(real));
	/* dgates and cont * h of every step, dh and dc of one, the static input's gates of one */
	l->scratch_bytes = moka_layer_bytes(cells, 5 * sizeof(real)) + moka_layer_bytes(step, 6 * sizeof(real));
	return MOKA_OK;
}

/* The state of all steps, and where backward works. */
struct lstm {
	const struct moka__recurrent *r;
	int64_t step;	     /* N x H */
	real *h, *c, *gates; /* h and c: steps 0..T; gates: steps 1..T from index 0 */
	real *dgates, *h_cont, *dh, *dc, *static_gates;
};

static struct lstm lstm_open(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__recurrent *r = l->priv;
	struct lstm m = { .r = r, .step = r->n * r->h, .h = c->state, .dgates = c->scratch };

	m.c = m.h + (r->t + 1) * m.step;
	m.gates = m.c + (r->t + 1) * m.step;
	m.h_cont = m.dgates + 4 * r->t * m.step;
	m.dh = m.h_cont + r->t * m.step;
	m.dc = m.dh + m.step;
	m.static_gates = m.dc + m.step;
	return m;
}

/* ---- forward --------------------------------------------------------------------------------------- */

struct cell_job {
	int64_t width; /* H */
	const real *cont, *c_prev;
	real *gates, *c, *h; /* gates: sums in, values out; backward: values */
	real *dgates, *dc;   /* dc: of c_t in, of c_{t-1} out */
	const real *dh;
};

/* `count` cells of stream n, whose gates begin at a. */
static void some_cells(const struct cell_job *j, int64_t n, int64_t e, int64_t count, real *a)
{
	const int64_t w = j->width;
	real *c = j->c + e, *h = j->h + e;

	for (int g = 0; g < 3; g++)
		moka_sigmoid(count, a + g * w, a + g * w);
	moka_tanh(count, a + 3 * w, a + 3 * w);
	for (int64_t i = 0; i < count; i++) {
		a[w + i] = j->cont[n] == 0 ? 0 : j->cont[n] * a[w + i];
		c[i] = (a[w + i] == 0 ? 0 : a[w + i] * j->c_prev[e + i]) + a[i] * a[3 * w + i];
	}
	moka_tanh(count, c, h);
	for (int64_t i = 0; i < count; i++)
		h[i] *= a[2 * w + i];
}

static void cell_range(void *arg, int64_t begin, int64_t end)
{
	const struct cell_job *j = arg;
	const int64_t w = j->width;

	for (int64_t e = begin, count; e < end; e += count) {
		count = MOKA_MIN(w - e % w, end - e);
		some_cells(j, e / w, e, count, j->gates + e / w * 4 * w + e % w);
	}
}

static void lstm_step(const struct lstm *m, struct moka_call *c, int64_t t)
{
	const struct moka__recurrent *r = m->r;
	const struct moka_view *w = &c->param[moka__recurrent_param(r)];
	real *gates = m->gates + t * 4 * m->step;
	struct cell_job j = { .width = r->h,
			      .cont = c->bottom[1].data + t * r->n,
			      .c_prev = m->c + t * m->step,
			      .gates = gates,
			      .c = m->c + (t + 1) * m->step,
			      .h = m->h + (t + 1) * m->step };

	moka__recurrent_continue(r, c, t, m->h + t * m->step, m->h_cont);
	moka_gemm(c->pool, c->gemm, false, true, r->n, r->g, r->h, 1, m->h_cont, r->h, w->data, r->h, 1, gates, r->g);
	moka_parallel(c->pool, cell_range, &j, m->step, PIECE);
}

static enum moka_status lstm_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct lstm m = lstm_open(l, c);
	const int64_t last = m.r->t * m.step;
	const size_t step_bytes = (size_t)m.step * sizeof(real);

	moka__recurrent_start(m.r, c, 0, m.h, m.h + last);
	moka__recurrent_start(m.r, c, 1, m.c, m.c + last);
	moka__recurrent_inputs(m.r, c, m.gates, m.static_gates);
	for (int64_t t = 0; t < m.r->t; t++)
		lstm_step(&m, c, t);
	if (!m.step)
		return MOKA_OK;
	memcpy(c->top[0].data, m.h + m.step, (size_t)last * sizeof(real));
	if (m.r->exposed) {
		memcpy(c->top[1].data, m.h + last, step_bytes);
		memcpy(c->top[2].data, m.c + last, step_bytes);
	}
	return MOKA_OK;
}

/* ---- backward -------------------------------------------------------------------------------------- */

static void cell_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct cell_job *j = arg;
	const int64_t w = j->width;

	for (int64_t e = begin; e < end; e++) {
		const real *a = j->gates + e / w * 4 * w + e % w;
		real *da = j->dgates + e / w * 4 * w + e % w;
		const real i = a[0], f = a[w], o = a[2 * w], g = a[3 * w], th = tanh(j->c[e]), dh = j->dh[e];
		const real dc = j->dc[e] + dh * o * (1 - th * th);

		da[0] = dc * g * i * (1 - i);
		da[w] = f == 0 ? 0 : dc * j->c_prev[e] * f * (1 - f);
		da[2 * w] = dh * th * o * (1 - o);
		da[3 * w] = dc * i * (1 - g * g);
		j->dc[e] = dc * f;
	}
}

static void lstm_step_gradient(const struct lstm *m, struct moka_call *c, int64_t t)
{
	const struct moka__recurrent *r = m->r;
	const struct moka_view *w = &c->param[moka__recurrent_param(r)];
	struct cell_job j = { .width = r->h,
			      .c_prev = m->c + t * m->step,
			      .gates = m->gates + t * 4 * m->step,
			      .c = m->c + (t + 1) * m->step,
			      .dgates = m->dgates + t * 4 * m->step,
			      .dc = m->dc,
			      .dh = m->dh };

	if (c->top[0].diff)
		moka_axpy(m->step, 1, c->top[0].diff + t * m->step, m->dh);
	moka_parallel(c->pool, cell_gradient_range, &j, m->step, PIECE);
	moka_gemm(c->pool, c->gemm, false, false, r->n, r->h, r->g, 1, j.dgates, r->g, w->data, r->h, 0, m->dh, r->h);
	moka__recurrent_continue(r, c, t, m->dh, m->dh);
	moka__recurrent_continue(r, c, t, m->h + t * m->step, m->h_cont + t * m->step);
}

static enum moka_status lstm_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct lstm m = lstm_open(l, c);
	const struct moka__recurrent *r = m.r;
	const struct moka_view *w = &c->param[moka__recurrent_param(r)];

	moka_set(m.step, 0, m.dh);
	moka_set(m.step, 0, m.dc);
	for (int64_t t = r->t; t-- > 0;)
		lstm_step_gradient(&m, c, t);
	if (w->diff)
		moka_gemm(c->pool, c->gemm, true, false, r->g, r->h, r->t * r->n, 1, m.dgates, r->g, m.h_cont, r->h, 1,
			  w->diff, r->h);
	moka__recurrent_inputs_gradient(r, c, m.dgates, m.static_gates);
	moka__recurrent_no_gradient(r, c);
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_lstm = {
	.schema = { "LSTM", "recurrent_param", 146, 0, &moka__recurrent_message, NULL, 0, NULL },
	.doc = "long short-term memory over a sequence",
	.min_bottom = 2,
	.max_bottom = 5,
	.min_top = 1,
	.max_top = 3,
	.flags = MOKA_PARTIAL | MOKA_RECURRENT,
	.no_gradient = 1 << 1,
	.shape = lstm_shape,
	.forward = lstm_forward,
	.backward = lstm_backward,
};
