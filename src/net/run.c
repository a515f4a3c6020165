/*
 * run.c - passes over a net: forward, backward, whole or in parts.
 *
 * Everything a layer's call needs was laid out by exec.c; here is only the order of things, and what is added where
 * gradients meet.
 */
#include "net/fused.h"

#define PIECE 16384

struct parts_job {
	const struct moka__sum *s;
	real *diff;
};

static void parts_piece(void *arg, int64_t begin, int64_t end)
{
	const struct parts_job *j = arg;

	for (int i = 1; i < j->s->n_parts; i++)
		moka_axpy(end - begin, 1, j->s->parts[i] + begin, j->diff + begin);
}

/* Makes a blob's diff of what its readers, its loss weight and the outside left. */
void moka__add_parts(const struct moka_exec *e, const struct moka__sum *s)
{
	real *diff = e->diff[s->blob];

	if (s->joined)
		return;
	if (s->n_parts > 1)
		moka_parallel(e->o.pool, parts_piece, &(struct parts_job){ s, diff }, s->count, PIECE);
	if (!s->n_parts)
		moka_set(s->count, 0, diff);
	if (s->external)
		moka_axpy(s->count, 1, s->external, diff);
	for (int64_t i = 0; s->loss_weight != 0 && i < s->count; i++)
		diff[i] += s->loss_weight;
}

struct moka_call moka__make_call(struct moka_exec *e, int layer, struct moka_error *err)
{
	struct moka__step *s = &e->steps[layer];

	return (struct moka_call){ .bottom = s->bottom,
				   .top = s->top,
				   .param = s->param,
				   .state = s->state,
				   .made = s->made,
				   .scratch = e->scratch,
				   .backward_follows = e->o.backward && e->n->layers[layer].need_backward,
				   .pool = e->o.pool,
				   .gemm = e->gemm,
				   .rng = &s->rng,
				   .top_items = &s->items,
				   .err = err };
}

static enum moka_status run_forward(struct moka_exec *e, int layer, struct moka_error *err)
{
	struct moka_error own = { 0 };
	struct moka_call c;
	enum moka_status st;

	if (e->n->layers[layer].is_input)
		return MOKA_OK;
	if (e->steps[layer].join) {
		if (e->steps[layer].join->layers[0] == layer)
			moka__join_forward(e, e->steps[layer].join);
		return MOKA_OK;
	}
	c = moka__make_call(e, layer, &own);
	e->steps[layer].items = -1;
	st = e->n->layers[layer].l.type->forward(&e->n->layers[layer].l, &c);
	if (!st)
		return MOKA_OK;
	if (!own.message[0])
		moka__layer_fail(&own, st, &e->n->layers[layer], "the forward pass failed");
	if (err)
		*err = own;
	return st;
}

static double layer_loss(const struct moka_exec *e, int layer)
{
	const struct moka_net_layer *nl = &e->n->layers[layer];
	double loss = 0;

	for (int i = 0; i < nl->l.n_top; i++)
		if (nl->loss_weight[i] != 0)
			loss += (double)nl->loss_weight[i] *
				(double)moka_sum(e->steps[layer].top[i].count, e->steps[layer].top[i].data);
	return loss;
}

enum moka_status moka__run_layer(struct moka_exec *e, int layer, double *loss, struct moka_error *err)
{
	MOKA_TRY(run_forward(e, layer, err));
	*loss += layer_loss(e, layer);
	return MOKA_OK;
}

enum moka_status moka_exec_layer_forward(struct moka_exec *e, int layer, struct moka_error *err)
{
	if (layer < 0 || layer >= e->n->n_layers)
		return moka_fail(err, MOKA_ERR_ARG, "no layer %d", layer);
	if (e->fused)
		return moka_fail(err, MOKA_ERR_ARG, "this execution runs by a plan, not layer by layer");
	moka__late_make_all(e); /* before what they are made of changes */
	return run_forward(e, layer, err);
}

enum moka_status moka_exec_forward(struct moka_exec *e, int from, int to, real *loss, struct moka_error *err)
{
	double sum = 0;

	if (from < 0 || to > e->n->n_layers)
		return moka_fail(err, MOKA_ERR_ARG, "layers %d to %d of %d can't be run", from, to, e->n->n_layers);
	if (e->fused && (from > 0 || to < e->n->n_layers))
		return moka_fail(err, MOKA_ERR_ARG, "this execution runs by a plan, whole passes only");
	moka__late_make_all(e);
	if (e->fused)
		MOKA_TRY(moka__steps_run(e, &sum, err));
	for (int i = from; i < to && !e->fused; i++)
		MOKA_TRY(moka__run_layer(e, i, &sum, err));
	if (loss)
		*loss = (real)sum;
	return MOKA_OK;
}

enum moka_status moka_exec_layer_backward(struct moka_exec *e, int layer, struct moka_error *err)
{
	struct moka_net_layer *nl;
	struct moka_error own = { 0 };
	struct moka_call c;
	enum moka_status st;

	if (!e->o.backward)
		return moka_fail(err, MOKA_ERR_ARG, "this execution was made without a backward pass");
	if (layer < 0 || layer >= e->n->n_layers)
		return moka_fail(err, MOKA_ERR_ARG, "no layer %d", layer);
	nl = &e->n->layers[layer];
	if (e->steps[layer].join) {
		if (e->steps[layer].join->layers[0] == layer && e->steps[layer].join->need_backward)
			moka__join_backward(e, e->steps[layer].join);
		return MOKA_OK;
	}
	if (!nl->need_backward)
		return MOKA_OK;
	if (!nl->l.type->backward)
		return moka__layer_fail(err, MOKA_ERR_UNSUPPORTED, nl, "Moka can't run this type backward");
	for (int i = 0; i < e->steps[layer].n_before; i++)
		moka__add_parts(e, &e->sums[e->steps[layer].before[i]]);
	moka__late_backward(e, layer);
	c = moka__make_call(e, layer, &own);
	st = nl->l.type->backward(&nl->l, &c);
	for (int i = 0; i < e->steps[layer].n_after; i++)
		moka__add_parts(e, &e->sums[e->steps[layer].after[i]]);
	if (!st)
		return MOKA_OK;
	if (!own.message[0])
		moka__layer_fail(&own, st, nl, "the backward pass failed");
	if (err)
		*err = own;
	return st;
}

enum moka_status moka_exec_backward(struct moka_exec *e, int from, int to, struct moka_error *err)
{
	if (to < 0 || from > e->n->n_layers)
		return moka_fail(err, MOKA_ERR_ARG, "layers %d down to %d of %d can't be run", from, to,
				 e->n->n_layers);
	for (int i = from - 1; i >= to; i--)
		MOKA_TRY(moka_exec_layer_backward(e, i, err));
	return MOKA_OK;
}
