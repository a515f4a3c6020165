/*
 * RNN over T steps of N streams (recurrent.h has the bottoms and tops), H = num_output:
 *
 *     h_t = tanh(x_t W_xh' + b_h [+ static W_xh_static'] + (cont_t h_{t-1}) W_hh')
 *     o_t = tanh(h_t W_ho' + b_o)
 *
 * The top is o_1 .. o_T. Only the products with h_{t-1} go step by step.
 *
 * State: h of steps 0..T and o of steps 1..T, (N, H) each; h_T is the next batch's h_0. o is kept although it is the top: a
 * layer behind may work in place.
 */
#include "recurrent.h"

#include <string.h>
#include <tgmath.h>

#define PIECE 8192

static enum moka_status rnn_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__recurrent_param *p = l->param;
	const struct moka__recurrent *r;
	int64_t cells, step, products;

	MOKA_TRY(moka__recurrent_shape(l, f, 1, 1));
	r = l->priv;
	MOKA_TRY(moka_layer_filled(l, f, "hidden weight", moka_shape_make(2, r->h, r->h), "weight_filler",
				   p->weight_filler));
	MOKA_TRY(moka_layer_filled(l, f, "output weight", moka_shape_make(2, r->h, r->h), "weight_filler",
				   p->weight_filler));
	MOKA_TRY(moka_layer_filled(l, f, "output bias", moka_shape_make(1, r->h), "bias_filler", p->bias_filler));
	products = moka_layer_product(4, (int64_t[]){ r->t, r->n, r->h, r->h });
	l->macs = moka__recurrent_macs(moka__recurrent_macs(l->macs, products), products);
	cells = moka_layer_product(3, (int64_t[]){ r->t, r->n, r->h });
	step = moka_layer_product(2, (int64_t[]){ r->n, r->h });
	l->state_bytes = moka_layer_bytes(cells, 2 * sizeof(real)) + moka_layer_bytes(step, sizeof(real));
	/* gradients of both sums and cont * h of every step, dh and the static input's share of one */
	l->scratch_bytes = moka_layer_bytes(cells, 3 * sizeof(real)) + moka_layer_bytes(step, 2 * sizeof(real));
	return MOKA_OK;
}

struct rnn {
	const struct moka__recurrent *r;
	int64_t step;		   /* N x H */
	real *h, *o;		   /* h: steps 0..T; o: steps 1..T from index 0 */
	real *d_out, *dg, *h_cont; /* gradients of the sums behind o and h */
	real *dh, *static_sums;
	const struct moka_view *w_hh, *w_ho, *b_o;
};

static struct rnn rnn_open(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__recurrent *r = l->priv;
	struct rnn m = { .r = r, .step = r->n * r->h, .h = c->state, .d_out = c->scratch };

	m.o = m.h + (r->t + 1) * m.step;
	m.dg = m.d_out + r->t * m.step;
	m.h_cont = m.dg + r->t * m.step;
	m.dh = m.h_cont + r->t * m.step;
	m.static_sums = m.dh + m.step;
	m.w_hh = &c->param[moka__recurrent_param(r)];
	m.w_ho = m.w_hh + 1;
	m.b_o = m.w_ho + 1;
	return m;
}

static void tanh_range(void *arg, int64_t begin, int64_t end)
{
	real *x = arg;

	moka_tanh(end - begin, x + begin, x + begin);
}

static void rnn_step(const struct rnn *m, struct moka_call *c, int64_t t)
{
	const struct moka__recurrent *r = m->r;
	real *h = m->h + (t + 1) * m->step;

	moka__recurrent_continue(r, c, t, m->h + t * m->step, m->h_cont);
	moka_gemm(c->pool, c->gemm, false, true, r->n, r->h, r->h, 1, m->h_cont, r->h, m->w_hh->data, r->h, 1, h, r->h);
	moka_parallel(c->pool, tanh_range, h, m->step, PIECE);
}

static enum moka_status rnn_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct rnn m = rnn_open(l, c);
	const struct moka__recurrent *r = m.r;
	const int64_t rows = r->t * r->n, last = r->t * m.step;

	moka__recurrent_start(r, c, 0, m.h, m.h + last);
	moka__recurrent_inputs(r, c, m.h + m.step, m.static_sums);
	for (int64_t t = 0; t < r->t; t++)
		rnn_step(&m, c, t);
	moka__recurrent_set_rows(c->pool, rows, r->h, m.b_o->data, m.o);
	moka_gemm(c->pool, c->gemm, false, true, rows, r->h, r->h, 1, m.h + m.step, r->h, m.w_ho->data, r->h, 1, m.o,
		  r->h);
	moka_parallel(c->pool, tanh_range, m.o, last, PIECE);
	if (!m.step)
		return MOKA_OK;
	memcpy(c->top[0].data, m.o, (size_t)last * sizeof(real));
	if (r->exposed)
		memcpy(c->top[1].data, m.h + last, (size_t)m.step * sizeof(real));
	return MOKA_OK;
}

struct slope_job {
	const real *y, *dy;
	real *out;
};

/* Gradient of the sum behind y = tanh(sum). out may be dy. */
static void slope_range(void *arg, int64_t begin, int64_t end)
{
	const struct slope_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i] * (1 - j->y[i] * j->y[i]);
}

/* From the top to the hidden states: parameters of o, and dg = the gradient of each h_t as far as o_t goes. */
static void output_gradient(const struct rnn *m, struct moka_call *c)
{
	const struct moka__recurrent *r = m->r;
	const int64_t rows = r->t * r->n;
	struct slope_job j = { m->o, c->top[0].diff, m->d_out };

	if (j.dy)
		moka_parallel(c->pool, slope_range, &j, rows * r->h, PIECE);
	else
		moka_set(rows * r->h, 0, m->d_out);
	if (m->w_ho->diff)
		moka_gemm(c->pool, c->gemm, true, false, r->h, r->h, rows, 1, m->d_out, r->h, m->h + m->step, r->h, 1,
			  m->w_ho->diff, r->h);
	if (m->b_o->diff)
		moka__recurrent_add_rows(c->pool, rows, r->h, m->d_out, m->b_o->diff);
	moka_gemm(c->pool, c->gemm, false, false, rows, r->h, r->h, 1, m->d_out, r->h, m->w_ho->data, r->h, 0, m->dg,
		  r->h);
}

static void rnn_step_gradient(const struct rnn *m, struct moka_call *c, int64_t t)
{
	const struct moka__recurrent *r = m->r;
	real *dg = m->dg + t * m->step;
	struct slope_job j = { m->h + (t + 1) * m->step, dg, dg };

	moka_axpy(m->step, 1, m->dh, dg);
	moka_parallel(c->pool, slope_range, &j, m->step, PIECE);
	moka_gemm(c->pool, c->gemm, false, false, r->n, r->h, r->h, 1, dg, r->h, m->w_hh->data, r->h, 0, m->dh, r->h);
	moka__recurrent_continue(r, c, t, m->dh, m->dh);
	moka__recurrent_continue(r, c, t, m->h + t * m->step, m->h_cont + t * m->step);
}

static enum moka_status rnn_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct rnn m = rnn_open(l, c);
	const struct moka__recurrent *r = m.r;

	output_gradient(&m, c);
	moka_set(m.step, 0, m.dh);
	for (int64_t t = r->t; t-- > 0;)
		rnn_step_gradient(&m, c, t);
	if (m.w_hh->diff)
		moka_gemm(c->pool, c->gemm, true, false, r->h, r->h, r->t * r->n, 1, m.dg, r->h, m.h_cont, r->h, 1,
			  m.w_hh->diff, r->h);
	moka__recurrent_inputs_gradient(r, c, m.dg, m.static_sums);
	moka__recurrent_no_gradient(r, c);
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_rnn = {
	.schema = { "RNN", "recurrent_param", 146, 0, &moka__recurrent_message, NULL, 0, NULL },
	.doc = "plain recurrent layer over a sequence",
	.min_bottom = 2,
	.max_bottom = 4,
	.min_top = 1,
	.max_top = 2,
	.flags = MOKA_PARTIAL | MOKA_RECURRENT,
	.no_gradient = 1 << 1,
	.shape = rnn_shape,
	.forward = rnn_forward,
	.backward = rnn_backward,
};
