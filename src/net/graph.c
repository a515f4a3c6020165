/*
 * graph.c - the works and values of a plan, as the layers stand in the net.
 *
 * A layer becomes the operation that its lower() says, or a call of its forward(). Layers that change nothing vanish: the
 * value of their bottom is the value of their tops, too. A net is left alone (run layer by layer) where a blob is empty, where a
 * layer works in place on an input of the net, and where it is too large to be planned.
 */
#include "net/fused.h"

#include <string.h>

#define MAX_LAYERS 8192

bool moka__plan_push(struct moka_plan *p, int **list, int *n, int x)
{
	if (!(*n & (*n - 1))) { /* lists are short: doubled at powers of two */
		int *more = MOKA_NEWN(&p->arena, MOKA_MAX(*n * 2, 1), int);

		if (!more) {
			p->no_memory = true;
			return false;
		}
		if (*n)
			memcpy(more, *list, (size_t)*n * sizeof(int));
		*list = more;
	}
	(*list)[(*n)++] = x;
	return true;
}

static struct moka__value *new_value(struct moka_plan *p)
{
	if (p->n_values == p->value_room) {
		const int room = MOKA_MAX(p->value_room * 2, 64);
		struct moka__value *more = MOKA_NEWN(&p->arena, room, struct moka__value);

		if (!more) {
			p->no_memory = true;
			return NULL;
		}
		if (p->n_values)
			memcpy(more, p->values, (size_t)p->n_values * sizeof(*more));
		p->values = more;
		p->value_room = room;
	}
	return &p->values[p->n_values++];
}

int moka__plan_value(struct moka_plan *p, int blob, const struct moka_shape *s)
{
	struct moka__value *v = new_value(p);

	if (!v)
		return -1;
	*v = (struct moka__value){
		.blob = blob, .block = 1, .producer = -1, .from = -1, .plain = -1, .blocked = -1, .stretch = -1
	};
	v->image = s->n == 4;
	v->images = s->n > 1 ? s->d[0] : 1;
	v->channels = s->n > 1 ? s->d[1] : s->n ? s->d[0] : 1;
	v->height = v->image ? s->d[2] : s->n > 2 ? moka_shape_count_range(s, 2, s->n) : 1;
	v->width = v->image ? s->d[3] : 1;
	return p->n_values - 1;
}

int moka__plan_copy_value(struct moka_plan *p, int value, int block)
{
	struct moka__value *v = new_value(p);

	if (!v)
		return -1;
	*v = p->values[value];
	v->block = block;
	v->from = v->plain = v->blocked = -1;
	v->at = 0;
	v->strided = v->input = v->output = false;
	return p->n_values - 1;
}

int64_t moka__value_count(const struct moka__value *v)
{
	return v->images * v->channels * v->height * v->width;
}

/* ---- from layers ------------------------------------------------------------------------------------------ */

static bool kept(const struct moka_blob *b)
{
	return b->is_input || b->is_output || b->producer < 0;
}

static void ask_layer(const struct moka_net_layer *nl, struct moka_op *op)
{
	*op = (struct moka_op){ .kind = MOKA_OP_NONE };
	for (int i = 0; i < nl->l.n_top; i++)
		if (nl->loss_weight[i] != 0)
			return;
	if (!nl->l.type->lower || !nl->l.n_top || !nl->l.n_bottom || !nl->l.type->lower(&nl->l, op))
		op->kind = MOKA_OP_NONE;
	if (op->kind == MOKA_OP_NORM) /* of training */
		*op = (struct moka_op){ .kind = MOKA_OP_NONE };
}

/* A layer without effect: its tops are other names for its bottom's value. */
static bool vanishes(const struct moka_net *n, const struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_top; i++)
		if (!moka_shape_equal(&nl->l.top[i].shape, &nl->l.bottom[0].shape) ||
		    (kept(&n->blobs[nl->tops[i]]) && nl->tops[i] != nl->bottoms[0]))
			return false;
	return true;
}

static enum moka__work_kind kind_of(const struct moka_op *op)
{
	switch (op->kind) {
	case MOKA_OP_CONV:
		return MOKA__WORK_CONV;
	case MOKA_OP_AFFINE:
	case MOKA_OP_ACT:
		return MOKA__WORK_AFFINE;
	case MOKA_OP_ADD2:
		return MOKA__WORK_ADD2;
	case MOKA_OP_POOL:
		return MOKA__WORK_POOL;
	case MOKA_OP_LRN:
		return MOKA__WORK_LRN;
	case MOKA_OP_CONCAT:
	case MOKA_OP_SLICE:
	case MOKA_OP_IDENTITY:
		return MOKA__WORK_NONE;
	default:
		return MOKA__WORK_LAYER;
	}
}

static void add_work(struct moka_plan *p, int layer, const struct moka_op *op, int *current)
{
	const struct moka_net_layer *nl = &p->n->layers[layer];
	struct moka__work *w = &p->graph[p->n_graph++];

	*w = (struct moka__work){ .kind = kind_of(op), .op = *op, .act_layer = -1, .macs = nl->l.macs };
	moka__plan_push(p, &w->layers, &w->n_layers, layer);
	if (op->kind == MOKA_OP_AFFINE)
		moka__plan_push(p, &w->affines, &w->n_affines, layer);
	if (op->act.kind != MOKA_ACT_NONE) {
		w->act = op->act;
		w->act_layer = layer;
	}
	for (int i = 0; i < nl->l.n_bottom; i++) {
		moka__plan_push(p, &w->in, &w->n_in, current[nl->bottoms[i]]);
		p->values[current[nl->bottoms[i]]].readers++;
	}
	for (int i = 0; i < nl->l.n_top; i++) {
		int v = moka__plan_value(p, nl->tops[i], &nl->l.top[i].shape);

		if (v < 0)
			return;
		p->values[v].producer = p->n_graph - 1;
		current[nl->tops[i]] = v;
		moka__plan_push(p, &w->out, &w->n_out, v);
	}
}

static bool add_layer(struct moka_plan *p, int layer, int *current)
{
	const struct moka_net_layer *nl = &p->n->layers[layer];
	struct moka_op op;

	if (nl->is_input)
		return true;
	for (int i = 0; i < nl->l.n_bottom; i++)
		if (current[nl->bottoms[i]] < 0)
			return false;
	for (int i = 0; i < nl->l.n_top; i++)
		if (current[nl->tops[i]] >= 0 && p->values[current[nl->tops[i]]].input)
			return false;
	ask_layer(nl, &op);
	if (op.kind == MOKA_OP_IDENTITY && vanishes(p->n, nl)) {
		for (int i = 0; i < nl->l.n_top; i++)
			current[nl->tops[i]] = current[nl->bottoms[0]];
		return true;
	}
	add_work(p, layer, &op, current);
	return !p->no_memory;
}

static bool plannable(const struct moka_net *n)
{
	for (int i = 0; i < n->n_blobs; i++)
		if (!moka_shape_known(&n->blobs[i].shape) || moka_shape_count(&n->blobs[i].shape) < 1)
			return false;
	for (int i = 0; i < n->n_layers; i++)
		if (!n->layers[i].is_input && (!n->layers[i].l.type || !n->layers[i].l.type->forward ||
					       !n->layers[i].asked || !n->layers[i].shaped))
			return false;
	return n->n_layers <= MAX_LAYERS;
}

bool moka__plan_graph(struct moka_plan *p)
{
	const struct moka_net *n = p->n;
	int *current = MOKA_NEWN(&p->arena, n->n_blobs + 1, int);

	p->graph = MOKA_NEWN(&p->arena, n->n_layers + 1, struct moka__work);
	p->kept = MOKA_NEWN(&p->arena, n->n_blobs + 1, int);
	p->no_memory = !current || !p->graph || !p->kept;
	if (p->no_memory || !plannable(n))
		return false;
	for (int i = 0; i < n->n_blobs; i++) {
		const struct moka_blob *b = &n->blobs[i];

		current[i] = p->kept[i] = -1;
		if (!b->is_input && b->producer >= 0)
			continue;
		current[i] = p->kept[i] = moka__plan_value(p, i, &b->shape);
		if (current[i] < 0)
			return false;
		p->values[current[i]].input = true;
	}
	for (int i = 0; i < n->n_layers; i++)
		if (!add_layer(p, i, current))
			return false;
	for (int i = 0; i < n->n_blobs; i++)
		if (kept(&n->blobs[i]) && p->kept[i] < 0) {
			if (current[i] < 0)
				return false;
			p->values[current[i]].output = true;
			p->kept[i] = current[i];
		}
	return true;
}
