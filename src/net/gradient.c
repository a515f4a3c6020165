/*
 * gradient.c - losses, and who needs a gradient: computed once, when a net is built.
 *
 * A gradient flows from its sources (losses; tops that get one from outside; every output, where there is neither) down
 * to parameters that learn and, with force_backward, to the inputs. Two sweeps find the layers between: upwards, what has
 * something to learn below it; downwards, what a source can reach.
 *
 * In-place layers come first among a blob's consumers (wire.c sees to that), so one flag per blob, rewritten as the
 * sweep passes each of its layers, is enough.
 */
#include "net/internal.h"

#include <string.h>

/* ---- loss weights ------------------------------------------------------------------------------- */

static void count_loss_weights(struct moka__build *b, const struct moka_net_layer *nl, size_t stated)
{
	const struct moka_msg *msg = nl->l.msg;
	struct moka_loc loc = moka_node_loc(msg, moka_next(msg, "loss_weight", NULL));

	if (stated > (size_t)nl->l.n_top)
		moka__say(b, MOKA_ERROR, "loss-weight-count", loc, nl->l.name, nl->type_name,
			  "%zu loss_weight for %d top%s", stated, nl->l.n_top, nl->l.n_top == 1 ? "" : "s");
	else if (stated && stated < (size_t)nl->l.n_top)
		moka__say(
			b, b->o->strict ? MOKA_ERROR : MOKA_WARNING, "loss-weight-count", loc, nl->l.name,
			nl->type_name,
			"%zu loss_weight for %d tops: taken as 0 for the rest (BVLC Caffe wants one for each top, or none)",
			stated, nl->l.n_top);
	else
		return;
	moka_find_hint(b->f, "state one loss_weight per top, in the order of the tops, or none");
}

void moka__losses(struct moka__build *b)
{
	for (int i = 0; i < b->n->n_layers; i++) {
		struct moka_net_layer *nl = &b->n->layers[i];
		double *w = MOKA_NEWN(&b->n->arena, nl->l.n_top + 1, double);

		nl->loss_weight = MOKA_NEWN(&b->n->arena, nl->l.n_top + 1, float);
		if (!w || !nl->loss_weight) {
			b->no_memory = true;
			return;
		}
		size_t stated = moka_get_floats(nl->l.msg, "loss_weight", w, (size_t)nl->l.n_top);

		if (!stated && nl->l.type && (nl->l.type->flags & MOKA_LOSS) && nl->l.n_top)
			w[0] = 1;
		for (int t = 0; t < nl->l.n_top; t++)
			nl->loss_weight[t] = (float)w[t];
		count_loss_weights(b, nl, stated);
	}
}

/* ---- propagate_down ------------------------------------------------------------------------------ */

/* Fills nl->propagate_down; returns whether the net states it. */
static bool read_propagate_down(struct moka__build *b, struct moka_net_layer *nl)
{
	const int n = nl->l.n_bottom;
	const struct moka_msg *msg = nl->l.msg;
	int64_t *v = MOKA_NEWN(&b->n->arena, n + 1, int64_t);

	nl->propagate_down = MOKA_NEWN(&b->n->arena, n + 1, bool);
	if (!v || !nl->propagate_down) {
		b->no_memory = true;
		return false;
	}
	size_t stated = moka_get_ints(msg, "propagate_down", v, (size_t)n);

	for (int i = 0; i < n; i++)
		nl->propagate_down[i] = (size_t)i >= stated || v[i];
	if (stated && stated != (size_t)n) {
		moka__say(b, MOKA_ERROR, "propagate-down-count",
			  moka_node_loc(msg, moka_next(msg, "propagate_down", NULL)), nl->l.name, nl->type_name,
			  "%zu propagate_down for %d bottom%s", stated, n, n == 1 ? "" : "s");
		moka_find_hint(b->f, "state one propagate_down per bottom, or none");
	}
	return stated > 0;
}

/* ---- the sweeps -------------------------------------------------------------------------------------- */

static bool blocks(const struct moka_net_layer *nl)
{
	return !nl->l.type || (nl->l.type->flags & (MOKA_NO_BACKWARD | MOKA_DATA)) || nl->is_input;
}

static bool takes_gradient(const struct moka_net_layer *nl, int bottom)
{
	return !(bottom < 32 && (nl->l.type->no_gradient >> bottom & 1));
}

/* Which bottoms and parameters of layer i could use a gradient; the blobs above it learn of it through `wants`. */
static void sweep_up(struct moka__build *b, struct moka_net_layer *nl, bool *wants)
{
	struct moka_net *n = b->n;
	bool stated = read_propagate_down(b, nl), any = false;

	nl->bottom_gradient = MOKA_NEWN(&n->arena, nl->l.n_bottom + 1, bool);
	nl->param_gradient = MOKA_NEWN(&n->arena, nl->l.n_param + 1, bool);
	if (!nl->bottom_gradient || !nl->param_gradient || !nl->propagate_down) {
		b->no_memory = true;
		return;
	}
	if (!blocks(nl)) {
		for (int i = 0; i < nl->l.n_bottom; i++) {
			bool want = wants[nl->bottoms[i]];

			any |= want; /* a blob above learns even where propagate_down ends the way down: as in BVLC Caffe */
			if (stated)
				want = nl->propagate_down[i];
			nl->bottom_gradient[i] = (want || n->force_backward) && takes_gradient(nl, i);
			any |= nl->bottom_gradient[i];
		}
		for (int i = 0; i < nl->l.n_param; i++) {
			const struct moka_param *p = &n->params[nl->params[i]];

			nl->param_gradient[i] = p->uses[nl->param_uses[i]].lr_mult != 0 || n->force_backward;
			any |= nl->param_gradient[i];
		}
	}
	for (int i = 0; i < nl->l.n_top; i++)
		wants[nl->tops[i]] = any;
	nl->need_backward = any;
}

/* Takes back what no source reaches. under: per blob, whether a gradient arrives. */
static void sweep_down(struct moka_net_layer *nl, bool *under)
{
	bool reached = false, any = false;

	for (int i = 0; i < nl->l.n_top; i++)
		reached |= under[nl->tops[i]];
	for (int i = 0; i < nl->l.n_bottom; i++)
		any |= nl->bottom_gradient[i] &= reached;
	for (int i = 0; i < nl->l.n_param; i++)
		any |= nl->param_gradient[i] &= reached;
	nl->need_backward = any;
	if (nl->in_place)
		for (int i = 0; i < nl->l.n_bottom; i++)
			if (i < nl->l.n_top && nl->tops[i] == nl->bottoms[i])
				under[nl->bottoms[i]] = false;
	for (int i = 0; i < nl->l.n_bottom; i++)
		under[nl->bottoms[i]] |= nl->bottom_gradient[i];
}

static bool mark_losses(const struct moka_net *n, bool *source)
{
	bool any = false;

	for (int i = 0; i < n->n_layers; i++)
		for (int t = 0; t < n->layers[i].l.n_top; t++)
			if (n->layers[i].loss_weight[t] != 0)
				source[n->layers[i].tops[t]] = any = true;
	return any;
}

/* Blobs that a gradient is put on from outside: those named; where there is no source at all, every output. */
static void mark_external(struct moka__build *b, bool any, bool *source)
{
	struct moka_net *n = b->n;

	for (int i = 0; i < b->o->n_gradient_tops; i++) {
		const char *name = b->o->gradient_tops[i];
		int blob = moka_net_blob(n, name);

		any = true;
		if (blob >= 0) {
			n->blobs[blob].gradient_source = source[blob] = true;
			continue;
		}
		moka_find(b->f, MOKA_ERROR, "unknown-blob", (struct moka_loc){ 0 },
			  "no blob '%.200s' to put a gradient on", name);
		if (moka_net_nearest_blob(n, name))
			moka_find_hint(b->f, "did you mean '%s'?", moka_net_nearest_blob(n, name));
	}
	for (int i = 0; !any && i < n->n_outputs; i++)
		n->blobs[n->outputs[i]].gradient_source = source[n->outputs[i]] = true;
}

/* A blob has a diff where a layer fills it, or where a source starts it and the layer that made the blob wants it. */
static void mark_blobs(struct moka_net *n, const bool *source)
{
	for (int i = 0; i < n->n_layers; i++) {
		struct moka_net_layer *nl = &n->layers[i];

		for (int k = 0; k < nl->l.n_bottom; k++)
			n->blobs[nl->bottoms[k]].need_gradient |= nl->bottom_gradient[k];
		for (int k = 0; k < nl->l.n_top; k++)
			n->blobs[nl->tops[k]].need_gradient |= nl->need_backward && source[nl->tops[k]];
	}
}

void moka__gradient(struct moka__build *b)
{
	struct moka_net *n = b->n;
	bool *wants = MOKA_NEWN(&n->arena, n->n_blobs + 1, bool);
	bool *source = MOKA_NEWN(&n->arena, n->n_blobs + 1, bool);
	bool *under = MOKA_NEWN(&n->arena, n->n_blobs + 1, bool);

	if (!wants || !source || !under) {
		b->no_memory = true;
		return;
	}
	for (int i = 0; i < n->n_blobs; i++)
		wants[i] = n->force_backward;
	for (int i = 0; i < n->n_layers && !b->no_memory; i++)
		sweep_up(b, &n->layers[i], wants);
	if (b->no_memory)
		return;
	mark_external(b, mark_losses(n, source), source);
	memcpy(under, source, (size_t)n->n_blobs * sizeof(*under));
	for (int i = n->n_layers - 1; i >= 0; i--)
		sweep_down(&n->layers[i], under);
	mark_blobs(n, source);
}
