/*
 * fuse.c - works joined to the one before them.
 *
 *     conv -> BatchNorm -> Scale -> ReLU         one work: factor and shift go into the packed weights
 *     conv -> BatchNorm -> Scale -> (+) -> ReLU  one work: the other summand is added before the result is stored
 *                                    |
 *          what came before ---------+
 *
 * A work is joined where nobody else reads what lies between, and it isn't an output. What is added must exist when the
 * convolution runs: of a sum's two bottoms the one that is made later takes the other in.
 */
#include "net/fused.h"

/* The work that makes v for one reader alone; NULL. */
static struct moka__work *maker_of(struct moka_plan *p, int v)
{
	const struct moka__value *x = &p->values[v];

	return x->producer >= 0 && x->readers == 1 && !x->output ? &p->graph[x->producer] : NULL;
}

static void join(struct moka_plan *p, struct moka__work *to, struct moka__work *w)
{
	for (int i = 0; i < w->n_layers; i++)
		moka__plan_push(p, &to->layers, &to->n_layers, w->layers[i]);
	for (int i = 0; i < w->n_affines; i++)
		moka__plan_push(p, &to->affines, &to->n_affines, w->affines[i]);
	to->out[0] = w->out[0];
	p->values[w->out[0]].producer = (int)(to - p->graph);
	w->gone = true;
}

static bool is_inner(const struct moka__work *w)
{
	return w->op.kind == MOKA_OP_INNER;
}

static bool takes_affine(const struct moka__work *w)
{
	return w->act.kind == MOKA_ACT_NONE &&
	       (is_inner(w) || (w->kind == MOKA__WORK_CONV && w->n_in == 1) || w->kind == MOKA__WORK_AFFINE);
}

static bool takes_act(const struct moka__work *w)
{
	return w->act.kind == MOKA_ACT_NONE && (is_inner(w) || w->kind == MOKA__WORK_CONV ||
						w->kind == MOKA__WORK_AFFINE || w->kind == MOKA__WORK_ADD2);
}

static void fuse_affine(struct moka_plan *p, struct moka__work *w)
{
	struct moka__work *before = maker_of(p, w->in[0]);
	const bool factors = w->n_affines > 0, act = w->act.kind != MOKA_ACT_NONE;

	if (!before || (factors && !takes_affine(before)) || (act && !takes_act(before)))
		return;
	if (act) {
		before->act = w->act;
		before->act_layer = w->act_layer;
	}
	join(p, before, w);
}

static void fuse_sum(struct moka_plan *p, struct moka__work *w)
{
	const int x = w->in[0], z = w->in[1];
	const int later = p->values[x].producer > p->values[z].producer ? x : z, other = later == x ? z : x;
	struct moka__work *conv = maker_of(p, later);

	if (w->op.add.a != 1 || w->op.add.b != 1 || x == z || !conv || conv->kind != MOKA__WORK_CONV ||
	    conv->n_in != 1 || conv->act.kind != MOKA_ACT_NONE)
		return;
	moka__plan_push(p, &conv->in, &conv->n_in, other);
	join(p, conv, w);
}

void moka__plan_fuse(struct moka_plan *p)
{
	for (int i = 0; i < p->n_graph; i++) {
		struct moka__work *w = &p->graph[i];

		if (w->kind == MOKA__WORK_AFFINE)
			fuse_affine(p, w);
		else if (w->kind == MOKA__WORK_ADD2)
			fuse_sum(p, w);
	}
}
