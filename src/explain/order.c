/*
 * order.c - one connected part as ranks of vertices (boxes, and the lines that pass a rank), and their order from
 * left to right: each where the middle of its neighbours is, swept down and up; the order with the fewest crossings
 * stays.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define SWEEPS 6
#define MAX_RANK 256 /* vertices; more can't be drawn side by side anyway, and are not ordered */

static void *take(struct moka__graph *g, int64_t n, size_t size)
{
	void *p = moka_arena_alloc(&g->arena, (size_t)(n > 0 ? n : 1), size);

	if (!p)
		g->failed = true;
	return p;
}

/* ---- vertices ------------------------------------------------------------------------------------------ */

/* The last rank that the line of a net has to reach, as drawn; its own box's where nothing of it is drawn. */
static int line_end(const struct moka__graph *g, const struct moka__wire *w)
{
	int end = g->boxes[w->from].rank;

	for (int i = 0; i < w->n_edges; i++)
		if (!g->edges[w->edges[i]].cut)
			end = MOKA_MAX(end, g->boxes[g->edges[w->edges[i]].to].rank);
	return end;
}

static bool is_trunk(const struct moka__graph *g, const struct moka__wire *w)
{
	for (int i = 0; i < w->n_edges; i++)
		if (!g->edges[w->edges[i]].cut && g->edges[w->edges[i]].trunk)
			return true;
	return false;
}

static int add_vert(struct moka__layout *l, int box, int net, int rank, bool trunk)
{
	l->verts[l->n_verts] = (struct moka__vert){ .box = box, .net = net, .rank = rank, .trunk = trunk };
	l->ranks[rank].n++;
	return l->n_verts++;
}

/* How many vertices: every box, and one for each rank that a line passes. */
static int64_t count_verts(const struct moka__graph *g, const int *boxes, int n, int *n_ranks)
{
	int64_t total = n;

	*n_ranks = 0;
	for (int i = 0; i < n; i++) {
		const struct moka__box *b = &g->boxes[boxes[i]];

		*n_ranks = MOKA_MAX(*n_ranks, b->rank + 1);
		for (int k = 0; k < b->n_nets; k++)
			total += MOKA_MAX(0, line_end(g, &g->nets[b->nets[k]]) - b->rank - 1);
	}
	return total;
}

static void list_ranks(struct moka__graph *g, struct moka__layout *l)
{
	for (int r = 0; r < l->n_ranks; r++) {
		l->ranks[r].verts = take(g, l->ranks[r].n, sizeof(int));
		l->ranks[r].n = 0;
	}
	for (int i = 0; i < l->n_verts && !g->failed; i++) {
		struct moka__rank *r = &l->ranks[l->verts[i].rank];

		l->verts[i].pos = r->n;
		r->verts[r->n++] = i;
	}
}

/* ---- links ------------------------------------------------------------------------------------------------ */

struct link {
	int up, down, net;
};

static void store_links(struct moka__graph *g, struct moka__layout *l, const struct link *links, int n)
{
	int *up = take(g, n, sizeof(int)), *up_net = take(g, n, sizeof(int));
	int *down = take(g, n, sizeof(int)), *down_net = take(g, n, sizeof(int));

	if (g->failed)
		return;
	for (int i = 0; i < n; i++) {
		l->verts[links[i].up].n_down++;
		l->verts[links[i].down].n_up++;
	}
	for (int i = 0; i < l->n_verts; i++) {
		struct moka__vert *v = &l->verts[i];

		v->up = up;
		v->up_net = up_net;
		v->down = down;
		v->down_net = down_net;
		up += v->n_up;
		up_net += v->n_up;
		down += v->n_down;
		down_net += v->n_down;
		v->n_up = v->n_down = 0;
	}
	for (int i = 0; i < n; i++) {
		struct moka__vert *a = &l->verts[links[i].up], *b = &l->verts[links[i].down];

		a->down_net[a->n_down] = b->up_net[b->n_up] = links[i].net;
		a->down[a->n_down++] = links[i].down;
		b->up[b->n_up++] = links[i].up;
	}
}

/* The lines of one net: lanes through the ranks between, links from each to the next and to the boxes it feeds. */
static int link_net(const struct moka__graph *g, struct moka__layout *l, int net, struct link *links)
{
	const struct moka__wire *w = &g->nets[net];
	int from = g->boxes[w->from].rank, end = line_end(g, w), first = l->n_verts, n = 0,
	    last = g->boxes[w->from].vert;
	bool trunk = is_trunk(g, w);

	for (int r = from + 1; r < end; r++) {
		int lane = add_vert(l, -1, net, r, trunk);

		links[n++] = (struct link){ last, lane, net };
		last = lane;
	}
	for (int i = 0; i < w->n_edges; i++) {
		const struct moka__edge *e = &g->edges[w->edges[i]];
		int above = g->boxes[e->to].rank - 1;

		if (!e->cut)
			links[n++] = (struct link){ above == from ? g->boxes[w->from].vert : first + above - from - 1,
						    g->boxes[e->to].vert, net };
	}
	return n;
}

bool moka__layout_make(struct moka__graph *g, int component, struct moka__layout *l)
{
	const int *boxes = g->members + g->first_member[component];
	int n = g->first_member[component + 1] - g->first_member[component], n_links = 0;
	int64_t verts = count_verts(g, boxes, n, &l->n_ranks), edges = 0;
	struct link *links;

	for (int i = 0; i < n; i++)
		edges += g->boxes[boxes[i]].n_out;
	l->n_verts = 0;
	l->verts = take(g, verts, sizeof(*l->verts));
	l->ranks = take(g, l->n_ranks, sizeof(*l->ranks));
	links = take(g, verts + edges, sizeof(*links));
	if (g->failed)
		return false;
	for (int i = 0; i < n; i++)
		g->boxes[boxes[i]].vert = add_vert(l, boxes[i], -1, g->boxes[boxes[i]].rank, false);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < g->boxes[boxes[i]].n_nets; k++)
			n_links += link_net(g, l, g->boxes[boxes[i]].nets[k], links + n_links);
	list_ranks(g, l);
	store_links(g, l, links, n_links);
	return !g->failed;
}

/*
 * ---- order
 * ------------------------------------------------------------------------------------------------------
 */

/* Where, within its box, a net leaves: 0 the left, towards 1 the right. */
static double port_fraction(const struct moka__graph *g, const struct moka__vert *v, int net)
{
	const struct moka__box *b = v->box >= 0 ? &g->boxes[v->box] : NULL;

	return b && b->n_nets ? (g->nets[net].port + 0.5) / b->n_nets - 0.5 : 0;
}

static double mean_up(const struct moka__graph *g, const struct moka__layout *l, const struct moka__vert *v)
{
	double sum = 0;

	for (int i = 0; i < v->n_up; i++)
		sum += l->verts[v->up[i]].pos + port_fraction(g, &l->verts[v->up[i]], v->up_net[i]);
	return v->n_up ? sum / v->n_up : v->pos;
}

static double mean_down(const struct moka__layout *l, const struct moka__vert *v)
{
	double sum = 0;

	for (int i = 0; i < v->n_down; i++)
		sum += l->verts[v->down[i]].pos;
	return v->n_down ? sum / v->n_down : v->pos;
}

/* Of equals: the trunk, then boxes as the file has them, then lines, the youngest first. */
static int side(const struct moka__vert *v)
{
	return v->box >= 0 ? 0 : v->trunk ? -1 : 1;
}

static bool precedes(const struct moka__layout *l, int a, int b)
{
	const struct moka__vert *x = &l->verts[a], *y = &l->verts[b];

	if (x->key != y->key)
		return x->key < y->key;
	if (side(x) != side(y))
		return side(x) < side(y);
	return x->box >= 0 ? x->box < y->box : x->net > y->net;
}

static void sort_rank(struct moka__layout *l, struct moka__rank *r)
{
	for (int i = 1; i < r->n; i++) {
		int v = r->verts[i], k = i;

		for (; k > 0 && precedes(l, v, r->verts[k - 1]); k--)
			r->verts[k] = r->verts[k - 1];
		r->verts[k] = v;
	}
	for (int i = 0; i < r->n; i++)
		l->verts[r->verts[i]].pos = i;
}

static void sweep(const struct moka__graph *g, struct moka__layout *l, bool down)
{
	for (int k = 0; k < l->n_ranks; k++) {
		struct moka__rank *r = &l->ranks[down ? k : l->n_ranks - 1 - k];

		if (r->n < 2 || r->n > MAX_RANK)
			continue;
		for (int i = 0; i < r->n; i++) {
			struct moka__vert *v = &l->verts[r->verts[i]];

			v->key = down ? mean_up(g, l, v) : mean_down(l, v);
		}
		sort_rank(l, r);
	}
}

struct end {
	double up;
	int down;
};

/* Crossings between rank r and the next. */
static int64_t crossings_below(const struct moka__graph *g, const struct moka__layout *l, int r)
{
	struct end ends[MAX_RANK];
	int n = 0;
	int64_t crossings = 0;

	for (int i = 0; i < l->ranks[r].n; i++) {
		const struct moka__vert *v = &l->verts[l->ranks[r].verts[i]];

		for (int k = 0; k < v->n_down && n < MAX_RANK; k++)
			ends[n++] =
				(struct end){ v->pos + port_fraction(g, v, v->down_net[k]), l->verts[v->down[k]].pos };
	}
	for (int i = 0; i < n; i++)
		for (int k = 0; k < i; k++)
			crossings += (ends[i].up > ends[k].up && ends[i].down < ends[k].down) ||
				     (ends[i].up < ends[k].up && ends[i].down > ends[k].down);
	return crossings;
}

static int64_t crossings(const struct moka__graph *g, const struct moka__layout *l)
{
	int64_t n = 0;

	for (int r = 0; r + 1 < l->n_ranks; r++)
		if (l->ranks[r].n > 1 && l->ranks[r].n <= MAX_RANK)
			n += crossings_below(g, l, r);
	return n;
}

static void save(const struct moka__layout *l, int *pos)
{
	for (int i = 0; i < l->n_verts; i++)
		pos[i] = l->verts[i].pos;
}

static void restore(struct moka__layout *l, const int *pos)
{
	for (int i = 0; i < l->n_verts; i++) {
		l->verts[i].pos = pos[i];
		l->ranks[l->verts[i].rank].verts[pos[i]] = i;
	}
}

void moka__layout_order(struct moka__graph *g, struct moka__layout *l)
{
	int *best = take(g, l->n_verts, sizeof(int));
	int64_t least = -1;

	if (!best)
		return;
	for (int i = 0; i < SWEEPS && least != 0; i++) {
		int64_t n;

		sweep(g, l, i % 2 == 0);
		n = crossings(g, l);
		if (least < 0 || n < least) {
			least = n;
			save(l, best);
		}
	}
	restore(l, best);
}
