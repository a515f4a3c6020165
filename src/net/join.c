/*
 * join.c - which layers a training execution runs as one step (struct moka__join): BatchNorm with the factor and the ReLU behind it, a
 * sum of two with its ReLU. Found by what layers say they are (lower()) and by who else sees the blobs between them: nobody, as they
 * work in place.
 */
#include "net/fused.h"

#include <string.h>

static bool describe(const struct moka_net_layer *nl, struct moka_op *op)
{
	*op = (struct moka_op){ .kind = MOKA_OP_NONE };
	for (int i = 0; i < nl->l.n_top; i++)
		if (nl->loss_weight[i] != 0)
			return false;
	return !nl->is_input && nl->l.type && nl->l.type->lower && nl->l.n_top == 1 && nl->l.n_bottom &&
	       nl->l.type->lower(&nl->l, op) && op->kind != MOKA_OP_NONE;
}

/* The layer that works in place on `blob` next after `layer`, all others reading it only later; -1. */
static int next_in_place(const struct moka_net *n, int blob, int layer)
{
	const struct moka_blob *b = &n->blobs[blob];

	for (int i = 0; i < b->n_consumers; i++) {
		const struct moka_net_layer *nl = &n->layers[b->consumers[i]];

		if (b->consumers[i] <= layer)
			continue;
		return nl->in_place && nl->l.n_bottom == 1 && nl->l.n_top == 1 && nl->tops[0] == blob ? b->consumers[i]
												      : -1;
	}
	return -1;
}

static void append(struct moka_exec *e, struct moka__join *j, int layer)
{
	j->layers[j->n_layers++] = layer;
	j->need_backward |= e->n->layers[layer].need_backward;
	e->steps[layer].join = j;
	e->steps[layer].state_bytes = 0;
}

/* The ReLU behind, where there is one. */
static void append_relu(struct moka_exec *e, struct moka__join *j)
{
	const int next = next_in_place(e->n, j->blob, j->layers[j->n_layers - 1]);
	struct moka_op op;

	if (next < 0 || !describe(&e->n->layers[next], &op) || op.kind != MOKA_OP_ACT || op.act.kind != MOKA_ACT_RELU)
		return;
	j->slope = op.act.slope;
	append(e, j, next);
}

/* ---- NORM --------------------------------------------------------------------------------------------- */

static void append_factor(struct moka_exec *e, struct moka__join *j)
{
	const int next = next_in_place(e->n, j->blob, j->layers[j->n_layers - 1]);
	struct moka_op op;

	if (next < 0 || !describe(&e->n->layers[next], &op) || op.kind != MOKA_OP_AFFINE || !op.affine.learned ||
	    j->scale_layer >= 0 || j->shift_layer >= 0)
		return;
	if (op.affine.scale >= 0) {
		j->scale_layer = next;
		j->scale = op.affine.scale;
	}
	if (op.affine.shift >= 0) {
		j->shift_layer = next;
		j->shift = op.affine.shift;
	}
	append(e, j, next);
}

/* Whether what makes the bottom may write it elsewhere: a convolution, which never looks at its top again, and nobody between. */
static bool diverts(const struct moka_exec *e, int blob, int layer)
{
	const struct moka_blob *b = &e->n->blobs[blob];

	return b->producer >= 0 && e->steps[b->producer].made && b->n_consumers && b->consumers[0] == layer;
}

static void find_norm(struct moka_exec *e, int layer, const struct moka_op *op)
{
	const struct moka_net_layer *nl = &e->n->layers[layer];
	struct moka__join *j = &e->joins[e->n_joins];

	if (e->blob_block[nl->tops[0]] < 2)
		return;
	e->n_joins++;
	*j = (struct moka__join){ .kind = MOKA__JOIN_NORM,
				  .blob = nl->tops[0],
				  .slope = 1,
				  .eps = op->norm.eps,
				  .keep = op->norm.keep,
				  .scale_layer = op->norm.scale >= 0 ? layer : -1,
				  .scale = op->norm.scale,
				  .shift_layer = op->norm.shift >= 0 ? layer : -1,
				  .shift = op->norm.shift,
				  .dy_of = -1,
				  .own_x = nl->in_place };
	j->copies_x = j->own_x && !diverts(e, nl->bottoms[0], layer);
	append(e, j, layer);
	append_factor(e, j);
	append_relu(e, j);
	e->fit_scratch = MOKA_MAX(e->fit_scratch, moka__join_scratch(e, j));
}

/* ---- ADD ---------------------------------------------------------------------------------------------- */

/* How many bottoms fill a diff of the blob. */
static int readers_back(const struct moka_net *n, int blob)
{
	const struct moka_blob *b = &n->blobs[blob];
	int readers = 0, last = -1;

	for (int c = 0; c < b->n_consumers; c++) {
		const struct moka_net_layer *nl = &n->layers[b->consumers[c]];

		if (b->consumers[c] == last)
			continue;
		last = b->consumers[c];
		for (int k = 0; k < nl->l.n_bottom; k++)
			readers += nl->bottoms[k] == blob && nl->bottom_gradient[k] && !nl->in_place;
	}
	return readers;
}

/* The join that makes blob `blob`'s last values, if it is a NORM; else NULL. */
static struct moka__join *norm_before(struct moka_exec *e, int blob)
{
	for (int i = 0; i < e->n_joins; i++) {
		struct moka__join *j = &e->joins[i];

		if (j->kind == MOKA__JOIN_NORM && j->blob == blob &&
		    next_in_place(e->n, blob, j->layers[j->n_layers - 1]) < 0)
			return j;
	}
	return NULL;
}

/* Whether the gradient that bottom k would get is only ever read, so that the top's, which is the same, does as well. */
static bool may_share(struct moka_exec *e, const struct moka_net_layer *nl, int layer, int k)
{
	const int blob = nl->bottoms[k];
	const struct moka_blob *b = &e->n->blobs[blob];
	struct moka__join *before;

	if (!nl->bottom_gradient[k] || nl->bottoms[0] == nl->bottoms[1] ||
	    e->blob_block[blob] != e->blob_block[nl->tops[0]])
		return false;
	if (readers_back(e->n, blob) > 1) { /* a part of a sum; the first one is where the sum is made */
		for (int c = 0; c < b->n_consumers; c++) {
			const struct moka_net_layer *other = &e->n->layers[b->consumers[c]];

			for (int i = 0; i < other->l.n_bottom; i++)
				if (other->bottoms[i] == blob && other->bottom_gradient[i] && !other->in_place)
					return b->consumers[c] != layer;
		}
		return false;
	}
	if (e->sum_of[blob] >= 0)
		return false;
	before = norm_before(e, blob);
	if (!before)
		return false;
	before->dy_of = nl->tops[0];
	return true;
}

static void find_add(struct moka_exec *e, int layer, const struct moka_op *op)
{
	const struct moka_net_layer *nl = &e->n->layers[layer];
	struct moka__join *j = &e->joins[e->n_joins++];
	const int top = nl->tops[0];
	struct moka__sum *s;

	*j = (struct moka__join){
		.kind = MOKA__JOIN_ADD, .blob = top, .slope = 1, .a = { op->add.a, op->add.b }, .dy_of = -1, .sum = -1
	};
	append(e, j, layer);
	append_relu(e, j);
	if (!e->n->blobs[top].need_gradient)
		return;
	/* others that work in place behind it would take the sum before this step does */
	s = e->sum_of[top] >= 0 ? &e->sums[e->sum_of[top]] : NULL;
	if (s && s->n_parts == 2 && s->loss_weight == 0 && !e->n->blobs[top].gradient_source && j->n_layers > 1 &&
	    next_in_place(e->n, top, j->layers[j->n_layers - 1]) < 0) {
		s->joined = true;
		j->sum = e->sum_of[top];
	}
	for (int k = 0; k < 2; k++)
		j->shares[k] = j->a[k] == 1 && may_share(e, nl, layer, k);
}

enum moka_status moka__join_find(struct moka_exec *e)
{
	const struct moka_net *n = e->n;
	struct moka_op op;

	e->joins = MOKA_NEWN(&e->arena, n->n_layers + 1, struct moka__join);
	if (!e->joins)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < n->n_layers; i++) {
		if (e->steps[i].join || !describe(&n->layers[i], &op))
			continue;
		if (op.kind == MOKA_OP_NORM)
			find_norm(e, i, &op);
		else if (op.kind == MOKA_OP_ADD2 && !n->layers[i].in_place)
			find_add(e, i, &op);
	}
	return MOKA_OK;
}

int moka__join_shared(const struct moka_exec *e, int layer, int bottom)
{
	const struct moka__join *j = e->n_joins ? e->steps[layer].join : NULL;

	return j && j->kind == MOKA__JOIN_ADD && j->layers[0] == layer && bottom < 2 && j->shares[bottom] ? j->blob
													  : -1;
}
