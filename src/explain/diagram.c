/*
 * diagram.c - the layered drawing of a net. The stages are in internal.h; this file runs them, and where a part
 * does not fit into the width gives way, rank by rank: first long lines become references, then boxes side by side
 * become one.
 */
#include "internal.h"

#include <stdlib.h>

#define ROUNDS 24 /* of giving way; after them every line is cut */

/* What is to be changed, gathered over one round: the lists of the graph stay valid meanwhile. */
struct change {
	int *cuts, n_cuts;
	int *boxes, *first, n_groups; /* group i: boxes[first[i]] up to first[i + 1] */
};

static int line_length(const struct moka__graph *g, int net)
{
	const struct moka__wire *w = &g->nets[net];
	int end = 0;

	for (int i = 0; i < w->n_edges; i++)
		if (!g->edges[w->edges[i]].cut)
			end = MOKA_MAX(end, g->boxes[g->edges[w->edges[i]].to].rank);
	return end - g->boxes[w->from].rank;
}

/* Of the lines that pass this rank the longest is cut; false: there are too few to gain anything. */
static bool cut_longest(struct moka__graph *g, const struct moka__layout *l, const struct moka__rank *r,
			struct change *c)
{
	int lanes = 0, longest = -1;

	for (int i = 0; i < r->n; i++) {
		const struct moka__vert *v = &l->verts[r->verts[i]];

		if (v->box >= 0 || v->trunk)
			continue;
		lanes++;
		if (longest < 0 || line_length(g, v->net) > line_length(g, longest))
			longest = v->net;
	}
	if (longest < 0 || (lanes < 3 && lanes < r->n - 1 && line_length(g, longest) < 4))
		return false;
	c->cuts[c->n_cuts++] = longest;
	return true;
}

/* Of the n boxes keeps those that are inputs, or those that are not, whichever are more. */
static int only_alike(const struct moka__graph *g, int *boxes, int n)
{
	int inputs = 0, kept = 0;

	for (int i = 0; i < n; i++)
		inputs += g->boxes[boxes[i]].n_layers == 0;
	for (int i = 0; i < n; i++)
		if ((g->boxes[boxes[i]].n_layers == 0) == (2 * inputs > n))
			boxes[kept++] = boxes[i];
	return kept;
}

/* The last boxes of the rank become one: as many as leave room for the others. */
static bool group_last(const struct moka__graph *g, const struct moka__layout *l, const struct moka__rank *r,
		       struct change *c)
{
	int boxes = 0, keep = MOKA_MAX(1, g->width / 26), first = c->first[c->n_groups], n = 0;

	for (int i = 0; i < r->n; i++)
		boxes += l->verts[r->verts[i]].box >= 0;
	keep = boxes > keep ? keep - 1 : boxes - 2;
	for (int i = 0; i < r->n; i++) {
		int box = l->verts[r->verts[i]].box;

		if (box >= 0 && keep-- <= 0)
			c->boxes[first + n++] = box;
	}
	n = only_alike(g, c->boxes + first, n);
	if (n < 2)
		return false;
	c->first[++c->n_groups] = first + n;
	return true;
}

/* Nothing else helps: all lines of the rank are cut. */
static void cut_all(const struct moka__layout *l, const struct moka__rank *r, struct change *c)
{
	for (int i = 0; i < r->n; i++)
		for (int k = 0; k < l->verts[r->verts[i]].n_up; k++)
			c->cuts[c->n_cuts++] = l->verts[r->verts[i]].up_net[k];
	for (int i = 0; i < r->n; i++)
		for (int k = 0; k < l->verts[r->verts[i]].n_down; k++)
			c->cuts[c->n_cuts++] = l->verts[r->verts[i]].down_net[k];
}

static void give_way(struct moka__graph *g, const struct moka__layout *l, bool last, struct change *c)
{
	for (int i = 0; i < l->n_ranks; i++) {
		const struct moka__rank *r = &l->ranks[i];

		if (r->style < MOKA__STYLES)
			continue;
		if (last || (!cut_longest(g, l, r, c) && !group_last(g, l, r, c)))
			cut_all(l, r, c);
	}
}

static void apply(struct moka__graph *g, const struct change *c)
{
	for (int i = 0; i < c->n_cuts; i++)
		for (int k = 0; k < g->nets[c->cuts[i]].n_edges; k++)
			g->edges[g->nets[c->cuts[i]].edges[k]].cut = true;
	for (int i = 0; i < c->n_groups; i++)
		moka__graph_group(g, c->boxes + c->first[i], c->first[i + 1] - c->first[i]);
	if (c->n_groups)
		moka__graph_tidy(g);
}

static bool make_change(struct moka__graph *g, struct change *c)
{
	size_t n = (size_t)g->n_boxes + 2 * (size_t)g->n_edges + (size_t)g->n_nets + 2;

	*c = (struct change){ .cuts = calloc(2 * n, sizeof(int)),
			      .boxes = calloc(n, sizeof(int)),
			      .first = calloc(n, sizeof(int)) };
	if (!c->cuts || !c->boxes || !c->first)
		g->failed = true;
	return !g->failed;
}

/* Lays every part out; false: some did not fit, and the graph has been changed. */
static bool lay_out(struct moka__graph *g, struct moka__layout *layouts, bool last)
{
	struct change c;
	bool good = true;

	if (make_change(g, &c)) {
		for (int i = 0; i < g->n_components && !g->failed; i++) {
			if (!moka__layout_make(g, i, &layouts[i]))
				break;
			moka__layout_order(g, &layouts[i]);
			if (moka__place(g, &layouts[i]))
				continue;
			good = false;
			give_way(g, &layouts[i], last, &c);
		}
		if (!good && !g->failed)
			apply(g, &c);
	}
	free(c.cuts);
	free(c.boxes);
	free(c.first);
	return good;
}

static void rank_and_cut(struct moka__graph *g)
{
	moka__rank(g);
	for (int i = 0; i < 4 && !g->failed && moka__refs_cut_long(g); i++)
		moka__rank(g);
	if (!g->failed)
		moka__refs_number(g);
}

static void draw(struct moka__graph *g)
{
	struct moka__layout *layouts = NULL;
	bool good = false;

	for (int round = 0; round < ROUNDS + 8 && !good && !g->failed; round++) {
		rank_and_cut(g);
		layouts = g->failed ? NULL : MOKA_NEWN(&g->arena, g->n_components, struct moka__layout);
		if (!layouts)
			g->failed = true;
		else
			good = lay_out(g, layouts, round >= ROUNDS);
	}
	for (int i = 0; good && i < g->n_components && !g->failed; i++) {
		if (i)
			moka_buf_putc(g->out, '\n');
		moka__draw(g, &layouts[i]);
	}
}

void moka_explain_diagram(const struct moka_net *n, const struct moka_explain_options *o, struct moka_buf *out)
{
	int width = o && o->width ? o->width : 100;
	struct moka__graph g = { .n = n, .width = MOKA_MIN(MOKA_MAX(width, 60), 1000), .out = out };

	g.ascii = o && o->ascii;
	g.colour = o && o->colour;
	moka_arena_init(&g.arena, 0);
	if (n->n_layers && moka__graph_build(&g)) {
		if (!g.open)
			moka__graph_contract(&g);
		moka__graph_bundle(&g);
		draw(&g);
	}
	if (g.failed)
		out->failed = true;
	moka_arena_release(&g.arena);
}
