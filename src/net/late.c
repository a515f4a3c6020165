/*
 * late.c - gradients that backward leaves out, since they are one product of what the pass leaves anyhow (the output's gradient and the
 * input of an inner product). A solver that updates each weight once reads such a gradient as it is made, in a cache, and
 * a hundred million weights' gradients never go through memory; whoever wants it in memory asks for it.
 *
 * What a product is made of stays until the next forward pass: blobs and their gradients of an execution that goes backward each
 * have memory of their own, and backward changes a gradient no more once the layer above which it lies has used it.
 */
#include "net/fused.h"

#include <float.h>

bool moka__late_find(struct moka_exec *e)
{
	e->late = MOKA_NEWN(&e->arena, e->n->n_params + 1, struct moka__late);
	if (!e->late)
		return false;
	for (int i = 0; i < e->n->n_params; i++) {
		const struct moka_param *p = &e->n->params[i];
		const struct moka_net_layer *nl = &e->n->layers[p->uses[0].layer];
		const int index = p->uses[0].index;
		struct moka_product product;
		struct moka_call c;

		if (p->n_uses != 1 || !e->param_diff[i][0] || !nl->l.type || !nl->l.type->product)
			continue;
		c = moka__make_call(e, p->uses[0].layer, NULL);
		if (nl->l.type->product(&nl->l, &c, index, &product) && product.m > 0 && product.n > 0 && product.k > 0)
			e->late[i] = (struct moka__late){ MOKA__LATE_CLEAR, p->uses[0].layer, index };
	}
	return true;
}

static struct moka_product product_of(struct moka_exec *e, const struct moka__late *late)
{
	const struct moka_layer *l = &e->n->layers[late->layer].l;
	const struct moka_call c = moka__make_call(e, late->layer, NULL);
	struct moka_product p;

	l->type->product(l, &c, late->index, &p);
	return p;
}

void moka__late_make(struct moka_exec *e, int param)
{
	struct moka__late *late = &e->late[param];
	real *diff = e->param_diff[param][0];

	if (late->state == MOKA__LATE_CLEAR) {
		moka_set(e->n->params[param].count, 0, diff);
	} else if (late->state == MOKA__LATE_PENDING) {
		const struct moka_product p = product_of(e, late);

		moka_gemm(e->o.pool, e->gemm, true, false, p.m, p.n, p.k, 1, p.a, p.m, p.b, p.n, 0, diff, p.n);
	}
	if (late->state != MOKA__LATE_NOT)
		late->state = MOKA__LATE_MADE;
}

void moka__late_make_all(struct moka_exec *e)
{
	for (int i = 0; e->late && i < e->n->n_params; i++)
		if (e->late[i].state == MOKA__LATE_PENDING)
			moka__late_make(e, i);
}

void moka__late_backward(struct moka_exec *e, int layer)
{
	const struct moka_net_layer *nl = &e->n->layers[layer];

	for (int k = 0; e->late && k < nl->l.n_param; k++) {
		struct moka__late *late = &e->late[nl->params[k]];

		if (late->state == MOKA__LATE_NOT)
			continue;
		if (late->state == MOKA__LATE_PENDING) /* a second pass back after one forward */
			moka__late_make(e, nl->params[k]);
		e->steps[layer].param[k].diff =
			late->state == MOKA__LATE_CLEAR ? NULL : e->param_diff[nl->params[k]][0];
		if (late->state == MOKA__LATE_CLEAR)
			late->state = MOKA__LATE_PENDING;
	}
}

bool moka_exec_param_stream(struct moka_exec *e, int param, moka_gemm_take *take, void *arg)
{
	struct moka_product p;

	if (!e->late || e->late[param].state != MOKA__LATE_PENDING)
		return false;
	p = product_of(e, &e->late[param]);
	return moka_gemm_outer(e->o.pool, e->gemm, p.m, p.n, p.k, p.a, p.b, take, arg);
}

bool moka_exec_param_late(struct moka_exec *e, int param)
{
	struct moka_product p;

	if (!e->late || e->late[param].state != MOKA__LATE_PENDING)
		return false;
	p = product_of(e, &e->late[param]);
	/* no sum of products is larger than the product of these sums, and what is not finite makes them so */
	return (double)moka_asum(p.k * p.m, p.a) * (double)moka_asum(p.k * p.n, p.b) < (double)FLT_MAX;
}
