/*
 * rank.c - which boxes stand beside one another: connected parts, and the rank (row) of each box in its part.
 *
 * A box stands below everything it needs (longest path). Two things are better than that alone:
 *  - What only hangs on the net by one box and ends soon (a detector's head, an auxiliary classifier) is drawn
 *             before the
 *    rest goes on; the rest passes it as one straight line. Such parts are found as the subtrees that one box
 *               cuts off
 *    (lowpoints of a depth-first search).
 *  - Inputs, and what is made of them alone, stand just above what takes them.
 * Everything here is linear, or nearly so, in the size of the net.
 */
#include "internal.h"

#include <string.h>

struct search {
	int *seen; /* order of discovery + 1; 0: not yet */
	int *low, *parent, *size, *order;
	int *place; /* which neighbour comes next */
	int n;
	int *children, *first; /* of each box, in order of discovery: children[first[i]] up to first[i + 1] */
	bool *done;	       /* a part that has its rules */
};

/*
 * What must be drawn before what, besides the edges: before[i] < after[i]. Boxes from n_boxes on are only there
 * for that.
 */
struct rules {
	int *before, *after;
	int n, cap, n_nodes;
};

static int *ints(struct moka__graph *g, int64_t n)
{
	int *p = moka_arena_alloc(&g->arena, (size_t)(n + 1), sizeof(int));

	if (!p)
		g->failed = true;
	return p;
}

/* ---- connected parts ---------------------------------------------------------------------------------------- */

static int root_of(int *up, int i)
{
	while (up[i] != i)
		i = up[i] = up[up[i]];
	return i;
}

static void find_components(struct moka__graph *g)
{
	int *up = ints(g, g->n_boxes), *number = ints(g, g->n_boxes);

	g->members = ints(g, g->n_boxes);
	g->first_member = ints(g, g->n_boxes + 1);
	if (g->failed)
		return;
	for (int i = 0; i < g->n_boxes; i++)
		up[i] = i;
	for (int i = 0; i < g->n_edges; i++) {
		int a = root_of(up, g->edges[i].from), b = root_of(up, g->edges[i].to);

		if (!g->edges[i].cut)
			up[MOKA_MAX(a, b)] = MOKA_MIN(a, b);
	}
	g->n_components = 0;
	for (int i = 0; i < g->n_boxes; i++) {
		int r = root_of(up, i);

		if (r == i)
			number[i] = g->n_components++;
		g->boxes[i].component = number[r];
		g->first_member[number[r] + 1]++;
	}
	for (int c = 0; c < g->n_components; c++)
		g->first_member[c + 1] += g->first_member[c];
	for (int i = 0; i < g->n_boxes; i++)
		number[i] = g->first_member[i < g->n_components ? i : 0];
	for (int i = 0; i < g->n_boxes; i++)
		g->members[number[g->boxes[i].component]++] = i;
}

/* ---- parts that one box cuts off ------------------------------------------------------------------------------ */

/* Neighbour k of box i over edges that are drawn, whatever their direction; -1: a cut edge; -2: no more. */
static int neighbour(const struct moka__graph *g, int i, int k)
{
	const struct moka__box *b = &g->boxes[i];
	const struct moka__edge *e;

	if (k < b->n_in) {
		e = &g->edges[b->in[k]];
		return e->cut ? -1 : e->from;
	}
	k -= b->n_in;
	if (k >= b->n_out)
		return -2;
	e = &g->edges[b->out[k]];
	return e->cut ? -1 : e->to;
}

static void discover(struct search *s, int box, int parent)
{
	s->order[s->n++] = box;
	s->seen[box] = s->low[box] = s->n;
	s->parent[box] = parent;
	s->size[box] = 1;
}

static void search_from(const struct moka__graph *g, struct search *s, int root)
{
	int at = root;

	discover(s, root, -1);
	while (at >= 0) {
		int next = neighbour(g, at, s->place[at]++), up = s->parent[at];

		if (next == -1)
			continue;
		if (next >= 0 && !s->seen[next]) {
			discover(s, next, at);
			at = next;
		} else if (next >= 0) {
			if (next != up)
				s->low[at] = MOKA_MIN(s->low[at], s->seen[next]);
		} else {
			if (up >= 0) {
				s->low[up] = MOKA_MIN(s->low[up], s->low[at]);
				s->size[up] += s->size[at];
			}
			at = up;
		}
	}
}

static void add_rule(struct moka__graph *g, struct rules *r, int before, int after)
{
	if (r->n == r->cap) {
		int cap = r->cap ? r->cap * 2 : 64;
		int *b = ints(g, cap), *a = ints(g, cap);

		if (!a || !b)
			return;
		if (r->n) {
			memcpy(b, r->before, (size_t)r->n * sizeof(int));
			memcpy(a, r->after, (size_t)r->n * sizeof(int));
		}
		r->before = b;
		r->after = a;
		r->cap = cap;
	}
	r->before[r->n] = before;
	r->after[r->n++] = after;
}

static void list_children(struct search *s, int n_boxes)
{
	for (int i = 0; i < n_boxes; i++)
		if (s->parent[i] >= 0)
			s->first[s->parent[i] + 1]++;
	for (int i = 0; i < n_boxes; i++)
		s->first[i + 1] += s->first[i];
	for (int i = 0; i < n_boxes; i++)
		s->place[i] = s->first[i];
	for (int i = 0; i < n_boxes; i++)
		if (s->parent[s->order[i]] >= 0)
			s->children[s->place[s->parent[s->order[i]]]++] = s->order[i];
}

/* The child of `box` behind which `other` was found, if all behind it hangs on `box` alone; -1. */
static int part_of(const struct search *s, int box, int other)
{
	int low = s->first[box], high = s->first[box + 1], child;

	while (low < high) { /* the last child found before `other` */
		int middle = low + (high - low) / 2;

		if (s->seen[s->children[middle]] <= s->seen[other])
			low = middle + 1;
		else
			high = middle;
	}
	if (low == s->first[box])
		return -1;
	child = s->children[low - 1];
	if (s->seen[other] >= s->seen[child] + s->size[child] || s->low[child] < s->seen[box])
		return -1;
	return child;
}

#define SMALL_PART 8 /* boxes */

/* Whether a part of `size` boxes is drawn before the rest, of `trunk` boxes, goes on. */
static bool hangs(int size, int trunk)
{
	return trunk >= 4 && trunk > 2 * size && (size <= SMALL_PART || size * 4 <= trunk);
}

/*
 * How many boxes the net goes on with below `box`: what does not hang on it alone, else the largest part that
 * does.
 */
static int trunk_size(const struct moka__graph *g, const struct search *s, int box, int component_size)
{
	const struct moka__box *b = &g->boxes[box];
	int largest = 0;
	bool rest = false;

	for (int i = 0; i < b->n_out; i++) {
		const struct moka__edge *e = &g->edges[b->out[i]];
		int part = e->cut ? -1 : part_of(s, box, e->to);

		if (part >= 0)
			largest = MOKA_MAX(largest, s->size[part]);
		else
			rest |= !e->cut;
	}
	return rest ? component_size - largest : largest;
}

/* Rules for what hangs on `box`: its small parts first, then the trunk. */
static void rule_box(struct moka__graph *g, struct search *s, int box, int component_size, struct rules *r)
{
	const struct moka__box *b = &g->boxes[box];
	int trunk = b->n_out > 1 ? trunk_size(g, s, box, component_size) : 0, gate = r->n_nodes;
	bool any = false;

	for (int pass = 0; trunk && pass < 2; pass++)
		for (int i = 0; i < b->n_out; i++) {
			struct moka__edge *e = &g->edges[b->out[i]];
			int part = e->cut ? -1 : part_of(s, box, e->to);
			bool small = part >= 0 && hangs(s->size[part], trunk);

			if (e->cut || small == (pass == 1) || (pass && !any))
				continue;
			if (pass) {
				e->trunk = true;
				add_rule(g, r, gate, e->to);
				continue;
			}
			any = true;
			for (int k = 0; k < s->size[part] && !s->done[part]; k++)
				add_rule(g, r, s->order[s->seen[part] - 1 + k], gate);
			s->done[part] = true;
		}
	r->n_nodes += any;
}

static void find_rules(struct moka__graph *g, struct rules *r)
{
	struct search s = { .seen = ints(g, g->n_boxes),
			    .low = ints(g, g->n_boxes),
			    .parent = ints(g, g->n_boxes),
			    .size = ints(g, g->n_boxes),
			    .order = ints(g, g->n_boxes),
			    .place = ints(g, g->n_boxes),
			    .children = ints(g, g->n_boxes),
			    .first = ints(g, g->n_boxes + 1),
			    .done = moka_arena_alloc(&g->arena, (size_t)g->n_boxes + 1, sizeof(bool)) };

	r->n_nodes = g->n_boxes;
	for (int i = 0; i < g->n_edges; i++)
		g->edges[i].trunk = false;
	for (int i = 0; i < g->n_boxes && !g->failed; i++)
		if (!s.seen[i])
			search_from(g, &s, i);
	if (g->failed || !s.done) {
		g->failed = true;
		return;
	}
	list_children(&s, g->n_boxes);
	for (int i = 0; i < g->n_boxes && !g->failed; i++) {
		int c = g->boxes[i].component;

		rule_box(g, &s, i, g->first_member[c + 1] - g->first_member[c], r);
	}
}

/*
 * ---- ranks
 * -------------------------------------------------------------------------------------------------------
 */

/* Longest path over edges and rules. Boxes that a circle of rules would leave out keep what they have got. */
struct path {
	int *rank, *waits, *queue, *first, *next;
};

static bool within(const struct moka__graph *g, const struct moka__edge *e)
{
	return g->boxes[e->from].component == g->boxes[e->to].component;
}

static void arrive(struct path *p, int node, int rank, int *tail)
{
	p->rank[node] = MOKA_MAX(p->rank[node], rank);
	if (--p->waits[node] == 0)
		p->queue[(*tail)++] = node;
}

static void leave(const struct moka__graph *g, const struct rules *r, struct path *p, int node, int *tail)
{
	if (node < g->n_boxes)
		for (int i = 0; i < g->boxes[node].n_out; i++)
			if (within(g, &g->edges[g->boxes[node].out[i]]))
				arrive(p, g->edges[g->boxes[node].out[i]].to, p->rank[node] + 1, tail);
	for (int i = p->first[node]; i >= 0; i = p->next[i]) /* a gate itself takes no row */
		arrive(p, r->after[i], p->rank[node] + (node < g->n_boxes), tail);
}

/* Returns how many nodes were reached; queue holds them, each after all it needs. */
static int longest_paths(struct moka__graph *g, const struct rules *r, struct path *p)
{
	int tail = 0;

	for (int i = 0; i < r->n_nodes; i++)
		p->first[i] = -1;
	for (int i = 0; i < r->n; i++) {
		p->next[i] = p->first[r->before[i]];
		p->first[r->before[i]] = i;
		p->waits[r->after[i]]++;
	}
	for (int i = 0; i < g->n_edges; i++)
		p->waits[g->edges[i].to] += within(g, &g->edges[i]);
	for (int i = 0; i < r->n_nodes; i++)
		if (!p->waits[i])
			p->queue[tail++] = i;
	for (int head = 0; head < tail; head++)
		leave(g, r, p, p->queue[head], &tail);
	return tail;
}

/* The highest rank box i may have, given those of what it feeds; -1: it feeds nothing. */
static int latest(const struct moka__graph *g, const struct path *p, int i)
{
	int best = -1;

	for (int k = 0; k < g->boxes[i].n_out; k++) {
		const struct moka__edge *e = &g->edges[g->boxes[i].out[k]];

		if (within(g, e) && (best < 0 || p->rank[e->to] - 1 < best))
			best = p->rank[e->to] - 1;
	}
	return best;
}

/* Made of inputs that serve nothing else. */
static bool is_private(const struct moka__graph *g, const bool *private, int i)
{
	for (int k = 0; k < g->boxes[i].n_in; k++) {
		const struct moka__edge *e = &g->edges[g->boxes[i].in[k]];

		if (!within(g, e))
			continue;
		if (!private[e->from] || g->boxes[e->from].n_nets != 1 || g->nets[e->net].n_edges != 1)
			return false;
	}
	return true;
}

static void pull_down(struct moka__graph *g, struct path *p, int n)
{
	bool *private = moka_arena_alloc(&g->arena, (size_t)g->n_boxes + 1, sizeof(bool));

	if (!private) {
		g->failed = true;
		return;
	}
	for (int i = 0; i < n; i++)
		if (p->queue[i] < g->n_boxes)
	private[p->queue[i]] = is_private(g, private, p->queue[i]);
	for (int i = n - 1; i >= 0; i--) {
		int box = p->queue[i], rank = box < g->n_boxes && private[box] ? latest(g, p, box) : -1;

		if (rank >= 0)
			p->rank[box] = rank;
	}
}

/* Ranks of each component count from 0, without gaps. */
static void number_ranks(struct moka__graph *g, const struct path *p)
{
	for (int c = 0; c < g->n_components; c++) {
		const int *boxes = g->members + g->first_member[c];
		int n = g->first_member[c + 1] - g->first_member[c], top = 0, *used;

		for (int i = 0; i < n; i++)
			top = MOKA_MAX(top, p->rank[boxes[i]]);
		used = ints(g, top + 1);
		if (!used)
			return;
		for (int i = 0; i < n; i++)
			used[p->rank[boxes[i]]] = 1;
		for (int i = 0, next = 0; i <= top; i++)
			used[i] = used[i] ? next++ : 0;
		for (int i = 0; i < n; i++)
			g->boxes[boxes[i]].rank = used[p->rank[boxes[i]]];
	}
}

void moka__rank(struct moka__graph *g)
{
	struct rules r = { 0 };
	struct path p;
	int n;

	find_components(g);
	if (!g->failed)
		find_rules(g, &r);
	p = (struct path){ .rank = ints(g, r.n_nodes),
			   .waits = ints(g, r.n_nodes),
			   .queue = ints(g, r.n_nodes),
			   .first = ints(g, r.n_nodes),
			   .next = ints(g, r.n) };
	if (g->failed)
		return;
	n = longest_paths(g, &r, &p);
	pull_down(g, &p, n);
	number_ranks(g, &p);
}
