/*
 * refs.c - long ways through the net that end in a labelled reference instead of a line.
 *
 * A line that passes dozens of rows says less than a name, and a detector's heads, which all meet in one Concat at
 * the end, would fill the width with such lines. So the line ends at "-> (1) mbox_conf", and the box it leads to
 * says "(1) <- conv4_3_conf, ...". Few long lines may stay: the four of a U-Net are its picture.
 */
#include "internal.h"

#define LONG_ROWS 40
#define VERY_LONG_ROWS 120
#define FEW_LONG 4 /* so many blobs may be drawn over more than LONG_ROWS */

/* Rows from the top of the component to the top of each of its ranks. */
static int64_t *rank_rows(struct moka__graph *g, int component, int *n_ranks)
{
	const int *boxes = g->members + g->first_member[component];
	int n = g->first_member[component + 1] - g->first_member[component];
	int64_t *rows;

	*n_ranks = 0;
	for (int i = 0; i < n; i++)
		*n_ranks = MOKA_MAX(*n_ranks, g->boxes[boxes[i]].rank + 1);
	rows = MOKA_NEWN(&g->arena, *n_ranks + 1, int64_t);
	if (!rows) {
		g->failed = true;
		return NULL;
	}
	for (int i = 0; i < n; i++) {
		const struct moka__box *b = &g->boxes[boxes[i]];

		rows[b->rank + 1] = MOKA_MAX(rows[b->rank + 1], moka__box_rows(g, b) + 2);
	}
	for (int i = 0; i < *n_ranks; i++)
		rows[i + 1] += rows[i];
	return rows;
}

static int64_t edge_rows(const struct moka__graph *g, const int64_t *rows, const struct moka__edge *e)
{
	return rows[g->boxes[e->to].rank] - rows[g->boxes[e->from].rank + 1];
}

static bool cut_component(struct moka__graph *g, int component)
{
	const int *boxes = g->members + g->first_member[component];
	int n = g->first_member[component + 1] - g->first_member[component], n_ranks, long_nets = 0;
	const int64_t *rows = rank_rows(g, component, &n_ranks);
	bool any = false;

	for (int pass = 0; rows && pass < 2; pass++) {
		int64_t limit = pass && long_nets <= FEW_LONG ? VERY_LONG_ROWS : LONG_ROWS;

		for (int i = 0; i < n; i++)
			for (int k = 0; k < g->boxes[boxes[i]].n_nets; k++) {
				const struct moka__wire *w = &g->nets[g->boxes[boxes[i]].nets[k]];
				bool is_long = false;

				for (int j = 0; j < w->n_edges; j++) {
					struct moka__edge *e = &g->edges[w->edges[j]];

					if (e->cut || e->trunk || edge_rows(g, rows, e) <= limit)
						continue;
					is_long = true;
					any |= pass;
					e->cut = pass;
				}
				long_nets += !pass && is_long;
			}
	}
	return any;
}

static int cut_edges(const struct moka__graph *g, const int *edges, int n)
{
	int cut = 0;

	for (int i = 0; i < n; i++)
		cut += g->edges[edges[i]].cut;
	return cut;
}

#define MANY_RANKS 3  /* a blob taken at so many heights, */
#define MANY_INPUTS 4 /* or a box that takes from so many, is not drawn with lines all the way */
#define FAR 3	      /* ranks */

/* At how many different heights the other ends of the edges are. */
static int heights(const struct moka__graph *g, const int *edges, int n, bool up)
{
	int found[MANY_INPUTS], count = 0;

	for (int i = 0; i < n && count < MANY_INPUTS; i++) {
		const struct moka__edge *e = &g->edges[edges[i]];
		int rank = g->boxes[up ? e->from : e->to].rank, k = 0;

		while (k < count && found[k] != rank)
			k++;
		if (k == count)
			found[count++] = rank;
	}
	return count;
}

static bool cut_edge(struct moka__graph *g, int edge, int least)
{
	struct moka__edge *e = &g->edges[edge];

	if (e->cut || e->trunk || g->boxes[e->to].rank - g->boxes[e->from].rank < least ||
	    g->boxes[e->to].component != g->boxes[e->from].component)
		return false;
	return e->cut = true;
}

/* A shared blob that many take, a Concat that gathers from all over the net. */
static bool cut_hubs(struct moka__graph *g)
{
	bool any = false;

	for (int i = 0; i < g->n_nets; i++) {
		const struct moka__wire *w = &g->nets[i];

		if (heights(g, w->edges, w->n_edges, false) >= MANY_RANKS)
			for (int k = 0; k < w->n_edges; k++)
				any |= cut_edge(g, w->edges[k], FAR);
	}
	for (int i = 0; i < g->n_boxes; i++) {
		const struct moka__box *b = &g->boxes[i];

		if (heights(g, b->in, b->n_in, true) >= MANY_INPUTS)
			for (int k = 0; k < b->n_in; k++)
				any |= cut_edge(g, b->in[k], 1);
	}
	return any;
}

/* Where most of what a box takes comes by reference, all of it does: then they stand in one list. */
static bool cut_rest(struct moka__graph *g)
{
	bool any = false;

	for (int i = 0; i < g->n_boxes; i++) {
		const struct moka__box *b = &g->boxes[i];
		int cut = cut_edges(g, b->in, b->n_in);

		if (cut < 2 || cut == b->n_in)
			continue;
		for (int k = 0; k < b->n_in; k++)
			g->edges[b->in[k]].cut = any = true;
	}
	return any;
}

bool moka__refs_cut_long(struct moka__graph *g)
{
	bool any = false;

	for (int c = 0; c < g->n_components && !g->failed; c++)
		any |= cut_component(g, c);
	any |= cut_hubs(g);
	any |= cut_rest(g);
	return any;
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

/*
 * One number for all that come to a box from afar, or for all that leave with a blob, whichever are more; so a
 * reader looks for one sign.
 */
void moka__refs_number(struct moka__graph *g)
{
	int *of_box = MOKA_NEWN(&g->arena, g->n_boxes + 1, int), *of_net = MOKA_NEWN(&g->arena, g->n_nets + 1, int),
	    last = 0;
	int *arrive = MOKA_NEWN(&g->arena, g->n_boxes + 1, int);

	if (!of_box || !of_net || !arrive) {
		g->failed = true;
		return;
	}
	for (int i = 0; i < g->n_edges; i++)
		arrive[g->edges[i].to] += g->edges[i].cut;
	for (int m = 0; m < g->n_boxes; m++) {
		const struct moka__box *b = &g->boxes[g->members[m]];

		for (int k = 0; k < b->n_nets; k++) {
			const struct moka__wire *w = &g->nets[b->nets[k]];
			int leave = cut_edges(g, w->edges, w->n_edges);

			for (int j = 0; j < w->n_edges; j++) {
				struct moka__edge *e = &g->edges[w->edges[j]];
				int *number = arrive[e->to] > leave ? &of_box[e->to] : &of_net[e->net];

				if (e->cut)
					e->ref = *number ? *number : (*number = ++last);
			}
		}
	}
}

const char *moka__ref_sign(const struct moka__graph *g, int ref)
{
	struct moka_buf b;
	const char *s;

	if (g->ascii || ref > 20) {
		s = moka_arena_printf((struct moka_arena *)&g->arena, "(%d)", ref);
		return s ? s : "";
	}
	moka_buf_init(&b, 0);
	moka__put_char(&b, 0x245F + (uint32_t)ref);
	s = b.len ? moka_arena_strdup((struct moka_arena *)&g->arena, b.data) : "";
	moka_buf_release(&b);
	return s ? s : "";
}
