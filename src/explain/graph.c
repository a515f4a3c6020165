/*
 * graph.c - the net as boxes and the blobs between them, ready to be drawn.
 *
 * A layer is a box; its in-place layers stand in it, below it. An input of the net is a box without a frame. In all
 * but small nets a chain (each takes only what the one before makes, and nobody else does) is one box too. Boxes
 * are numbered so that a blob always goes from a lower number to a higher one.
 */
#include "internal.h"

#include <string.h>

#define OPEN_BOXES 16	/* so many boxes are still a small net */
#define MAX_PORTS 16	/* more blobs that leave one box are drawn as one line */
#define CHAIN_LAYERS 16 /* the most layers of a chain in one box, not counting in-place ones */

static void *make(struct moka__graph *g, int64_t n, size_t size)
{
	void *p = moka_arena_alloc(&g->arena, (size_t)(n > 0 ? n : 1), size);

	if (!p)
		g->failed = true;
	return p;
}

/* ---- layers -> boxes ---------------------------------------------------------------------------------- */

/* While building: which box and which way out of it holds a blob's latest values; -1: none yet. */
struct build {
	int *box, *net;
	int *layer_store; /* the boxes' lists of layers: a slot for each layer of the net */
	int *next_layer;  /* in a box: the layer after this one */
	int *last;	  /* of each box: its last layer */
	int *edge_next;	  /* edges of a net while they are counted */
};

static int add_box(struct moka__graph *g, int layer, int input)
{
	struct moka__box *b = &g->boxes[g->n_boxes];

	*b = (struct moka__box){ .input = input, .members = 1 };
	if (layer >= 0)
		b->n_layers = 1;
	return g->n_boxes++;
}

static int add_net(struct moka__graph *g, int from, int blob)
{
	g->nets[g->n_nets] = (struct moka__wire){ .from = from, .blob = blob, .n_blobs = 1, .last_to = -1 };
	return g->n_nets++;
}

static void make_input(struct moka__graph *g, struct build *b, int blob)
{
	b->box[blob] = add_box(g, -1, blob);
	b->net[blob] = add_net(g, b->box[blob], blob);
}

static void add_edge(struct moka__graph *g, int net, int to)
{
	if (g->nets[net].last_to == to) /* a layer that takes a blob twice */
		return;
	g->nets[net].last_to = to;
	g->edges[g->n_edges++] = (struct moka__edge){ .net = net, .from = g->nets[net].from, .to = to };
	g->nets[net].n_edges++;
}

/* An in-place layer with one bottom, whose values nobody has taken before, belongs to the box that made them. */
static bool joins(const struct moka__graph *g, const struct build *b, const struct moka_net_layer *nl)
{
	int blob = nl->l.n_bottom == 1 ? nl->bottoms[0] : -1;

	if (blob < 0 || nl->l.n_top != 1 || nl->tops[0] != blob)
		return false;
	return g->boxes[b->box[blob]].n_layers && g->nets[b->net[blob]].n_edges == 0;
}

static void append_layer(struct moka__graph *g, struct build *b, int box, int layer)
{
	b->next_layer[b->last[box]] = layer;
	b->last[box] = layer;
	g->boxes[box].n_layers++;
}

static void add_layer(struct moka__graph *g, struct build *b, int layer)
{
	const struct moka_net_layer *nl = &g->n->layers[layer];
	int box;

	for (int i = 0; i < nl->l.n_bottom; i++)
		if (b->box[nl->bottoms[i]] < 0)
			make_input(g, b, nl->bottoms[i]);
	if (nl->is_input) {
		for (int i = 0; i < nl->l.n_top; i++)
			make_input(g, b, nl->tops[i]);
		return;
	}
	if (joins(g, b, nl)) {
		append_layer(g, b, b->box[nl->bottoms[0]], layer);
		return;
	}
	box = add_box(g, layer, -1);
	b->last[box] = layer;
	b->layer_store[box] = layer; /* for now: its first */
	for (int i = 0; i < nl->l.n_bottom; i++)
		add_edge(g, b->net[nl->bottoms[i]], box);
	for (int i = 0; i < nl->l.n_top; i++) {
		b->box[nl->tops[i]] = box;
		b->net[nl->tops[i]] = add_net(g, box, nl->tops[i]);
	}
}

/* ---- lists ------------------------------------------------------------------------------------------------ */

static void list_layers(struct moka__graph *g, const struct build *b)
{
	int *store = make(g, g->n->n_layers, sizeof(int));

	for (int i = 0; store && i < g->n_boxes; i++) {
		struct moka__box *x = &g->boxes[i];
		int layer = b->layer_store[i];

		x->layers = store;
		for (int k = 0; k < x->n_layers; k++, layer = b->next_layer[layer])
			x->layers[k] = layer;
		store += x->n_layers;
	}
}

/* Fills every list of nets, and of edges in and out, anew from the edges. */
static void list_links(struct moka__graph *g)
{
	int *of_net = make(g, g->n_edges, sizeof(int)), *in = make(g, g->n_edges, sizeof(int));
	int *out = make(g, g->n_edges, sizeof(int)), *nets = make(g, g->n_nets, sizeof(int));

	if (g->failed)
		return;
	for (int i = 0; i < g->n_boxes; i++)
		g->boxes[i].n_in = g->boxes[i].n_out = g->boxes[i].n_nets = 0;
	for (int i = 0; i < g->n_nets; i++)
		g->nets[i].n_edges = 0;
	for (int i = 0; i < g->n_edges; i++) {
		g->nets[g->edges[i].net].n_edges++;
		g->boxes[g->edges[i].to].n_in++;
	}
	for (int i = 0; i < g->n_nets; i++) {
		g->boxes[g->nets[i].from].n_nets++;
		g->boxes[g->nets[i].from].n_out += g->nets[i].n_edges;
		g->nets[i].edges = of_net;
		of_net += g->nets[i].n_edges;
		g->nets[i].n_edges = 0;
	}
	for (int i = 0; i < g->n_boxes; i++) {
		g->boxes[i].in = in;
		in += g->boxes[i].n_in;
		g->boxes[i].out = out;
		out += g->boxes[i].n_out;
		g->boxes[i].nets = nets;
		nets += g->boxes[i].n_nets;
		g->boxes[i].n_in = g->boxes[i].n_out = g->boxes[i].n_nets = 0;
	}
	for (int i = 0; i < g->n_edges; i++) {
		struct moka__wire *w = &g->nets[g->edges[i].net];
		struct moka__box *to = &g->boxes[g->edges[i].to], *from = &g->boxes[g->edges[i].from];

		w->edges[w->n_edges++] = i;
		to->in[to->n_in++] = i;
		from->out[from->n_out++] = i;
	}
	for (int i = 0; i < g->n_nets; i++) {
		struct moka__box *from = &g->boxes[g->nets[i].from];

		g->nets[i].port = from->n_nets;
		from->nets[from->n_nets++] = i;
	}
}

bool moka__graph_build(struct moka__graph *g)
{
	const struct moka_net *n = g->n;
	int64_t wires = 0;
	struct build b;

	for (int i = 0; i < n->n_layers; i++)
		wires += n->layers[i].l.n_bottom;
	g->boxes = make(g, (int64_t)n->n_layers + n->n_blobs, sizeof(*g->boxes));
	g->nets = make(g, n->n_blobs + wires + n->n_layers, sizeof(*g->nets));
	g->edges = make(g, wires, sizeof(*g->edges));
	b.box = make(g, n->n_blobs, sizeof(int));
	b.net = make(g, n->n_blobs, sizeof(int));
	b.layer_store = make(g, (int64_t)n->n_layers + n->n_blobs, sizeof(int));
	b.last = make(g, (int64_t)n->n_layers + n->n_blobs, sizeof(int));
	b.next_layer = make(g, n->n_layers, sizeof(int));
	if (g->failed)
		return false;
	for (int i = 0; i < n->n_blobs; i++)
		b.box[i] = b.net[i] = -1;
	for (int i = 0; i < n->n_layers; i++)
		add_layer(g, &b, i);
	list_layers(g, &b);
	list_links(g);
	g->open = g->n_boxes <= OPEN_BOXES;
	return !g->failed;
}

/* ---- chains ------------------------------------------------------------------------------------------------- */

int moka__box_layers(const struct moka__graph *g, const struct moka__box *b)
{
	int n = 0;

	for (int i = 0; i < b->n_layers; i++)
		n += !g->n->layers[b->layers[i]].in_place;
	return n;
}

/* Values of one item and channel: how large the picture is. -1: not known. */
static int64_t area(const struct moka_shape *s)
{
	return s->n < 3 ? -1 : moka_shape_count_range(s, 2, s->n);
}

/* After a pooling that shrinks the picture a new stage of the net begins: a good place to end a box. */
static bool ends_stage(const struct moka__graph *g, int layer)
{
	const struct moka_net_layer *nl = &g->n->layers[layer];
	int64_t before, after;

	if (nl->l.n_bottom != 1 || nl->l.n_top != 1 || nl->l.n_param || nl->in_place)
		return false;
	before = area(&g->n->blobs[nl->bottoms[0]].shape);
	after = area(&g->n->blobs[nl->tops[0]].shape);
	return before > 0 && after > 0 && after < before;
}

/* The box that continues box i and nothing else does; -1. */
static int follower(const struct moka__graph *g, int i)
{
	const struct moka__box *b = &g->boxes[i], *next;
	int to;

	if (!b->n_layers || b->n_nets != 1 || g->nets[b->nets[0]].n_edges != 1)
		return -1;
	to = g->edges[g->nets[b->nets[0]].edges[0]].to;
	next = &g->boxes[to];
	return next->n_layers && next->n_in == 1 ? to : -1;
}

/* Whether what hangs below box i goes on for long enough that a break inside is no loss. */
static bool may_break(const struct moka__graph *g, const struct moka__box *head)
{
	return head->n_in == 0 || !g->boxes[g->edges[head->in[0]].from].n_layers || moka__box_layers(g, head) > 2;
}

static void absorb(struct moka__graph *g, int head, int box, int *store)
{
	struct moka__box *h = &g->boxes[head], *b = &g->boxes[box];
	int old = h->nets[0];

	memcpy(store, h->layers, (size_t)h->n_layers * sizeof(int));
	memcpy(store + h->n_layers, b->layers, (size_t)b->n_layers * sizeof(int));
	h->layers = store;
	h->n_layers += b->n_layers;
	b->gone = true;
	b->n_layers = 0;
	g->edges[g->nets[old].edges[0]].net = -1; /* dropped by tidy() */
	g->nets[old].from = -1;
	for (int i = 0; i < b->n_nets; i++)
		g->nets[b->nets[i]].from = head;
	h->nets = b->nets;
	h->n_nets = b->n_nets;
}

/* Drops boxes, nets and edges that are gone, and lists anew. */
static void tidy(struct moka__graph *g)
{
	int *box = make(g, g->n_boxes, sizeof(int)), *net = make(g, g->n_nets, sizeof(int));
	int boxes = 0, nets = 0, edges = 0;

	if (g->failed)
		return;
	for (int i = 0; i < g->n_boxes; i++) {
		box[i] = boxes;
		if (!g->boxes[i].gone)
			g->boxes[boxes++] = g->boxes[i];
	}
	for (int i = 0; i < g->n_nets; i++) {
		net[i] = nets;
		if (g->nets[i].from < 0)
			continue;
		g->nets[nets] = g->nets[i];
		g->nets[nets].from = box[g->nets[i].from];
		nets++;
	}
	for (int i = 0; i < g->n_edges; i++) {
		struct moka__edge e = g->edges[i];

		if (e.net < 0)
			continue;
		e.net = net[e.net];
		e.from = g->nets[e.net].from;
		e.to = box[e.to];
		g->edges[edges++] = e;
	}
	g->n_boxes = boxes;
	g->n_nets = nets;
	g->n_edges = edges;
	list_links(g);
}

/* ---- boxes side by side, put into one ---------------------------------------------------------------------- */

/* One net for all that leave the group. */
static void join_nets(struct moka__graph *g, const int *which, int n)
{
	int first = -1;

	for (int i = 0; i < n; i++)
		for (int k = 0; k < g->boxes[which[i]].n_nets; k++) {
			int net = g->boxes[which[i]].nets[k];

			if (first < 0) {
				first = net;
				g->nets[net].from = which[0];
				continue;
			}
			g->nets[first].blob = -1;
			g->nets[first].n_blobs += g->nets[net].n_blobs;
			g->nets[net].from = -1;
			for (int e = 0; e < g->nets[net].n_edges; e++)
				g->edges[g->nets[net].edges[e]].net = first;
		}
}

/* Of edges that have become the same one keeps the first. */
static void drop_twins(struct moka__graph *g)
{
	int *seen = make(g, g->n_nets, sizeof(int));

	if (!seen)
		return;
	for (int i = 0; i < g->n_nets; i++)
		seen[i] = -1;
	for (int b = 0; b < g->n_boxes; b++)
		for (int i = 0; i < g->boxes[b].n_in; i++) {
			struct moka__edge *e = &g->edges[g->boxes[b].in[i]];

			if (e->net < 0)
				continue;
			if (seen[e->net] == b)
				e->net = -1;
			else
				seen[e->net] = b;
		}
}

void moka__graph_tidy(struct moka__graph *g)
{
	tidy(g);
	drop_twins(g);
	tidy(g);
}

void moka__graph_group(struct moka__graph *g, const int *which, int n)
{
	struct moka__box *head = &g->boxes[which[0]];
	int total = 0, members = 0, *layers;

	for (int i = 0; i < n; i++) {
		total += g->boxes[which[i]].n_layers;
		members += g->boxes[which[i]].members;
	}
	layers = make(g, total, sizeof(int));
	if (!layers)
		return;
	join_nets(g, which, n);
	total = 0;
	for (int i = 0; i < n; i++) {
		struct moka__box *b = &g->boxes[which[i]];

		if (b->n_layers)
			memcpy(layers + total, b->layers, (size_t)b->n_layers * sizeof(int));
		total += b->n_layers;
		b->gone = i > 0;
		for (int k = 0; k < b->n_in; k++)
			g->edges[b->in[k]].to = which[0];
	}
	head->layers = layers;
	head->n_layers = total;
	head->members = members;
	head->input = -1;
	head->lines = NULL;
}

/* ---- all of it ------------------------------------------------------------------------------------------ */

void moka__graph_bundle(struct moka__graph *g)
{
	bool any = false;

	for (int i = 0; i < g->n_boxes; i++)
		if (g->boxes[i].n_nets > MAX_PORTS) {
			join_nets(g, &i, 1);
			any = true;
		}
	if (any)
		moka__graph_tidy(g);
}

void moka__graph_contract(struct moka__graph *g)
{
	for (int i = 0; i < g->n_boxes && !g->failed; i++) {
		int total = g->boxes[i].n_layers, layers = moka__box_layers(g, &g->boxes[i]);
		int *store = NULL;

		if (g->boxes[i].gone || !total)
			continue;
		for (int next; (next = follower(g, i)) >= 0;) {
			const struct moka__box *b = &g->boxes[i];

			if (ends_stage(g, b->layers[b->n_layers - 1]) && may_break(g, b))
				break;
			layers += moka__box_layers(g, &g->boxes[next]);
			if (layers > CHAIN_LAYERS)
				break;
			total += g->boxes[next].n_layers;
			store = make(g, total, sizeof(int));
			if (!store)
				return;
			absorb(g, i, next, store);
		}
	}
	tidy(g);
}
