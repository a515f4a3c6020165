/*
 * route.c - draws one connected part, rank by rank: boxes, the text beside the lines, and between two ranks the
 * lines.
 *
 * Between ranks a blob first splits (rows of horizontal lines that belong to the blob), then what several blobs
 * bring to one box is gathered (rows that belong to the box), so that touching lines are always one blob, or one
 * box's:
 *
 *        │     │      two lines leave their boxes
 *        ├─────│──┐   split: the first blob goes to two (and passes the second line)
 *        │     │  │
 *        └──┬──┘  │   gathered: this box takes two
 *      ┌────▼───┐ │
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { UP = 1, RIGHT = 2, DOWN = 4, LEFT = 8 };

/* A blob that goes from this rank to the next. */
struct source {
	int net, x, n, row; /* n ways to the next rank; row of its split, -1: it goes straight */
	int low, high;
};
/* A vertex of the next rank. */
struct target {
	int vert, x, n, row, low, high;
};
struct way {
	int source, target, x; /* the column in which it goes down from the split to where it is gathered */
};
struct gap {
	struct source *sources;
	struct target *targets;
	struct way *ways;
	int n_sources, n_targets, n_ways;
	int splits, gathers; /* rows */
	int *order;	     /* scratch */
	bool *taken;	     /* columns in which something goes down */
};

/* ---- what goes where --------------------------------------------------------------------------------------- */

static int find_target(struct gap *k, const struct moka__layout *l, int vert)
{
	int pos = l->verts[vert].pos;

	k->targets[pos].vert = vert;
	k->targets[pos].x = l->verts[vert].column;
	return pos;
}

static int source_column(const struct moka__graph *g, const struct moka__vert *v, int net)
{
	return v->box < 0 ? v->column : v->column - g->boxes[v->box].width / 2 + moka__port(g, &g->boxes[v->box], net);
}

static void add_ways(const struct moka__graph *g, const struct moka__layout *l, const struct moka__vert *v,
		     struct gap *k)
{
	int first = k->n_sources;

	for (int i = 0; i < v->n_down; i++) {
		int s = first;

		while (s < k->n_sources && k->sources[s].net != v->down_net[i])
			s++;
		if (s == k->n_sources)
			k->sources[k->n_sources++] = (struct source){ .net = v->down_net[i],
								      .row = -1,
								      .x = source_column(g, v, v->down_net[i]) };
		k->ways[k->n_ways].source = s;
		k->ways[k->n_ways].target = find_target(k, l, v->down[i]);
		k->sources[s].n++;
		k->targets[k->ways[k->n_ways++].target].n++;
	}
}

static bool make_gap(struct moka__graph *g, const struct moka__layout *l, int rank, struct gap *k)
{
	const struct moka__rank *r = &l->ranks[rank];
	int ways = 0, targets = l->ranks[rank + 1].n;

	for (int i = 0; i < r->n; i++)
		ways += l->verts[r->verts[i]].n_down;
	*k = (struct gap){ .sources = MOKA_NEWN(&g->arena, ways + 1, struct source),
			   .targets = MOKA_NEWN(&g->arena, targets, struct target),
			   .ways = MOKA_NEWN(&g->arena, ways + 1, struct way),
			   .order = MOKA_NEWN(&g->arena, ways + targets, int),
			   .taken = MOKA_NEWN(&g->arena, g->width, bool),
			   .n_targets = targets };
	if (!k->sources || !k->targets || !k->ways || !k->order || !k->taken) {
		g->failed = true;
		return false;
	}
	for (int i = 0; i < targets; i++)
		k->targets[i].row = -1;
	for (int i = 0; i < r->n; i++)
		add_ways(g, l, &l->verts[r->verts[i]], k);
	return true;
}

/* ---- columns -------------------------------------------------------------------------------------------------- */

static int nearest_free(const struct moka__graph *g, const struct gap *k, int from, int towards)
{
	int step = towards < from ? -1 : 1;

	for (int d = 0; d < g->width; d++)
		for (int turn = 0; turn < 2; turn++) {
			int x = from + (turn ? -step : step) * d;

			if (x >= 0 && x < g->width && !k->taken[x])
				return x;
		}
	return from;
}

/* Whether another vertex of the next rank stands in column x: what comes down there can't end above it. */
static bool occupied(const struct gap *k, int x, int target)
{
	for (int i = 0; i < k->n_targets; i++)
		if (i != target && k->targets[i].n && k->targets[i].x == x)
			return true;
	return false;
}

static bool goes_straight(const struct gap *k, int source)
{
	for (int i = 0; i < k->n_ways; i++)
		if (k->ways[i].source == source && k->ways[i].x == k->sources[source].x)
			return true;
	return false;
}

static int choose_column(const struct moka__graph *g, const struct gap *k, const struct way *w)
{
	const struct source *s = &k->sources[w->source];
	const struct target *t = &k->targets[w->target];

	if (!occupied(k, s->x, w->target) && (s->n == 1 || !goes_straight(k, w->source)))
		return s->x;
	return nearest_free(g, k, s->x, t->x); /* a hook beside the line that goes on */
}

static void choose_columns(const struct moka__graph *g, struct gap *k)
{
	for (int i = 0; i < k->n_sources; i++)
		k->taken[k->sources[i].x] = true;
	for (int i = 0; i < k->n_ways; i++) {
		struct way *w = &k->ways[i];

		w->x = k->targets[w->target].n == 1 ? k->targets[w->target].x : -1;
		if (w->x >= 0)
			k->taken[w->x] = true;
	}
	for (int i = 0; i < k->n_ways; i++) {
		struct way *w = &k->ways[i];

		if (w->x >= 0)
			continue;
		w->x = choose_column(g, k, w);
		k->taken[w->x] = true;
	}
}

/*
 * ---- rows
 * --------------------------------------------------------------------------------------------------------
 */

static void span(int x, int *low, int *high)
{
	*low = MOKA_MIN(*low, x);
	*high = MOKA_MAX(*high, x);
}

static void find_spans(struct gap *k)
{
	for (int i = 0; i < k->n_sources; i++)
		k->sources[i].low = k->sources[i].high = k->sources[i].x;
	for (int i = 0; i < k->n_targets; i++)
		k->targets[i].low = k->targets[i].high = k->targets[i].x;
	for (int i = 0; i < k->n_ways; i++) {
		struct source *s = &k->sources[k->ways[i].source];
		struct target *t = &k->targets[k->ways[i].target];

		span(k->ways[i].x, &s->low, &s->high);
		span(k->ways[i].x, &t->low, &t->high);
	}
}

#define NEVER 1000 /* a conflict: lines would lie on each other */

static int passes(int x, int low, int high)
{
	return x > low && x < high ? 1 : x == low || x == high ? NEVER : 0;
}

/* What it costs that the split of a is above that of b: lines crossed. */
static int split_cost(const struct gap *k, int a, int b)
{
	const struct source *s = &k->sources[a], *t = &k->sources[b];
	int cost = passes(t->x, s->low, s->high);

	for (int i = 0; i < k->n_ways; i++)
		if (k->ways[i].source == a)
			cost += passes(k->ways[i].x, t->low, t->high);
	return cost;
}

static int gather_cost(const struct gap *k, int a, int b)
{
	const struct target *s = &k->targets[a], *t = &k->targets[b];
	int cost = passes(s->x, t->low, t->high);

	for (int i = 0; i < k->n_ways; i++)
		if (k->ways[i].target == b)
			cost += passes(k->ways[i].x, s->low, s->high);
	return cost;
}

static void sort_rows(const struct gap *k, int *order, int n, int (*cost)(const struct gap *, int, int))
{
	for (int pass = 0; pass < n; pass++) {
		bool any = false;

		for (int i = 0; i + 1 < n; i++)
			if (cost(k, order[i + 1], order[i]) < cost(k, order[i], order[i + 1])) {
				int t = order[i];

				order[i] = order[i + 1];
				order[i + 1] = t;
				any = true;
			}
		if (!any)
			return;
	}
}

static bool apart(int low_a, int high_a, int low_b, int high_b)
{
	return high_a + 1 < low_b || high_b + 1 < low_a;
}

static void split_rows(struct gap *k)
{
	int n = 0;

	for (int i = 0; i < k->n_sources; i++)
		if (k->sources[i].low < k->sources[i].high)
			k->order[n++] = i;
	sort_rows(k, k->order, n, split_cost);
	for (int i = 0; i < n; i++) {
		struct source *s = &k->sources[k->order[i]];

		s->row = 0;
		for (int j = 0; j < i; j++) {
			const struct source *t = &k->sources[k->order[j]];

			if (!apart(s->low, s->high, t->low, t->high))
				s->row = MOKA_MAX(s->row, t->row + 1);
		}
		k->splits = MOKA_MAX(k->splits, s->row + 1);
	}
}

static void gather_rows(struct gap *k)
{
	int n = 0;

	for (int i = 0; i < k->n_targets; i++)
		if (k->targets[i].n > 1)
			k->order[n++] = i;
	sort_rows(k, k->order, n, gather_cost);
	for (int i = n - 1; i >= 0; i--) { /* from the bottom: as near to its box as can be */
		struct target *s = &k->targets[k->order[i]];

		s->row = 0;
		for (int j = n - 1; j > i; j--) {
			const struct target *t = &k->targets[k->order[j]];

			if (!apart(s->low, s->high, t->low, t->high))
				s->row = MOKA_MAX(s->row, t->row + 1);
		}
		k->gathers = MOKA_MAX(k->gathers, s->row + 1);
	}
	for (int i = 0; i < n; i++)
		k->targets[k->order[i]].row = k->gathers - 1 - k->targets[k->order[i]].row;
}

/*
 * ---- drawing
 * -------------------------------------------------------------------------------------------------------
 */

static void draw_way(struct moka__canvas *c, const struct gap *k, const struct way *w, int y)
{
	const struct source *s = &k->sources[w->source];
	const struct target *t = &k->targets[w->target];
	int top = s->row < 0 ? y : y + s->row + 1, bottom = y + k->splits + k->gathers - 1;

	if (s->row >= 0)
		moka__canvas_stub(c, w->x, y + s->row, DOWN, s->net);
	if (t->row < 0) {
		moka__canvas_down(c, w->x, top, bottom, s->net);
		return;
	}
	moka__canvas_down(c, w->x, top, y + k->splits + t->row - 1, s->net);
	moka__canvas_stub(c, w->x, y + k->splits + t->row, UP, -2 - t->vert);
}

static void draw_gap(struct moka__canvas *c, const struct gap *k, int y)
{
	int bottom = y + k->splits + k->gathers - 1;

	for (int i = 0; i < k->n_sources; i++) {
		const struct source *s = &k->sources[i];

		if (s->row < 0)
			continue;
		moka__canvas_down(c, s->x, y, y + s->row - 1, s->net);
		moka__canvas_stub(c, s->x, y + s->row, UP, s->net);
		moka__canvas_across(c, s->low, s->high, y + s->row, s->net);
	}
	for (int i = 0; i < k->n_targets; i++) {
		const struct target *t = &k->targets[i];

		if (t->row < 0)
			continue;
		moka__canvas_across(c, t->low, t->high, y + k->splits + t->row, -2 - t->vert);
		moka__canvas_stub(c, t->x, y + k->splits + t->row, DOWN, -2 - t->vert);
		moka__canvas_down(c, t->x, y + k->splits + t->row + 1, bottom, -2 - t->vert);
	}
	for (int i = 0; i < k->n_ways; i++)
		draw_way(c, k, &k->ways[i], y);
}

#define FRAME (-1)

static void draw_frame(struct moka__canvas *c, int x, int y, int width, int height)
{
	moka__canvas_across(c, x, x + width - 1, y, FRAME);
	moka__canvas_across(c, x, x + width - 1, y + height - 1, FRAME);
	moka__canvas_stub(c, x, y, DOWN, FRAME);
	moka__canvas_stub(c, x + width - 1, y, DOWN, FRAME);
	moka__canvas_stub(c, x, y + height - 1, UP, FRAME);
	moka__canvas_stub(c, x + width - 1, y + height - 1, UP, FRAME);
	for (int i = 1; i < height - 1; i++) {
		moka__canvas_stub(c, x, y + i, UP | DOWN, FRAME);
		moka__canvas_stub(c, x + width - 1, y + i, UP | DOWN, FRAME);
	}
}

static void draw_text(struct moka__canvas *c, const struct moka__box *b, int x, int y)
{
	bool framed = b->input < 0;
	int room = framed ? b->width - 4 : b->width;

	for (int i = 0; i < b->n_lines; i++) {
		const struct moka__line *t = &b->lines[i];

		moka__canvas_text(c, framed ? x + 2 : x, framed ? y + 1 + i : y + i, t->text, room, MOKA__PLAIN);
		moka__canvas_text(c, framed ? x + 2 : x, framed ? y + 1 + i : y + i, t->text, MOKA_MIN(t->bold, room),
				  t->look);
	}
}

/* The line and the texts below a box, by one of its nets; it goes on to the end of the rank where it leads on. */
static void draw_port(struct moka__graph *g, struct moka__canvas *c, const struct moka__box *b, int net, int x, int y,
		      const struct moka__rank *r, int room)
{
	const struct moka__wire *w = &g->nets[net];
	bool drawn = moka__wire_drawn(g, w), refs = moka__wire_has_refs(g, w), framed = b->input < 0;
	const char *label = moka__wire_label(g, w, room, moka__styles[r->style].labels < 2);

	if (framed && (drawn || refs || *label))
		moka__canvas_stub(c, x, y - 1, DOWN, FRAME);
	if (framed) {
		if (drawn || refs)
			moka__canvas_down(c, x, y, y, net);
		else
			moka__canvas_char(c, x, y, 0x25BC, MOKA__PLAIN);
		moka__canvas_text(c, x + 2, y, label, room, MOKA__FAINT);
		y++;
	}
	if (refs) {
		moka__canvas_stub(c, x, y, (uint8_t)(UP | RIGHT | (drawn ? DOWN : 0)), net);
		moka__canvas_text(c, x + 1, y, moka__wire_refs(g, w, room + 1), room + 1, MOKA__FAINT);
		y++;
	}
	if (drawn)
		moka__canvas_down(c, x, y, r->height - 1, net);
}

/* Columns free to the right of a line that leaves vertex `pos` of a rank at column x. */
static int room_beside(const struct moka__graph *g, const struct moka__layout *l, const struct moka__rank *r, int pos,
		       int x)
{
	int end = g->width;

	if (pos + 1 < r->n) {
		const struct moka__vert *v = &l->verts[r->verts[pos + 1]];

		end = v->box < 0 ? v->column : v->column - g->boxes[v->box].width / 2;
		end -= 1;
	}
	return end - x - 2;
}

static void draw_box(struct moka__graph *g, const struct moka__layout *l, struct moka__canvas *c,
		     const struct moka__rank *r, int pos)
{
	const struct moka__vert *v = &l->verts[r->verts[pos]];
	const struct moka__box *b = &g->boxes[v->box];
	int x = v->column - b->width / 2;

	if (b->input < 0)
		draw_frame(c, x, 0, b->width, b->height);
	draw_text(c, b, x, 0);
	if (v->n_up)
		moka__canvas_char(c, v->column, 0, 0x25BC, MOKA__PLAIN);
	for (int i = 0; i < b->n_nets; i++) {
		int at = x + moka__port(g, b, b->nets[i]);
		int room = i + 1 < b->n_nets ? x + moka__port(g, b, b->nets[i + 1]) - at - 3
					     : room_beside(g, l, r, pos, at);

		draw_port(g, c, b, b->nets[i], at, b->height, r, room);
	}
}

/* Rows of a rank: its highest box and what stands below it. */
static int rank_height(const struct moka__graph *g, const struct moka__layout *l, const struct moka__rank *r)
{
	int height = 0;

	for (int i = 0; i < r->n; i++) {
		int box = l->verts[r->verts[i]].box, rows = 0;

		for (int k = 0; box >= 0 && k < g->boxes[box].n_nets; k++) {
			const struct moka__wire *w = &g->nets[g->boxes[box].nets[k]];
			int refs = moka__wire_has_refs(g, w);

			rows = MOKA_MAX(rows, g->boxes[box].input < 0 ? 1 + refs
					      : refs		      ? refs
								      : moka__wire_drawn(g, w));
		}
		height = MOKA_MAX(height, box >= 0 ? g->boxes[box].height + rows : 1);
	}
	return height;
}

static void draw_rank(struct moka__graph *g, const struct moka__layout *l, struct moka__canvas *c, int rank)
{
	struct moka__rank *r = &l->ranks[rank];
	struct gap k;

	r->height = rank_height(g, l, r);
	for (int i = 0; i < r->n; i++)
		if (l->verts[r->verts[i]].box < 0)
			moka__canvas_down(c, l->verts[r->verts[i]].column, 0, r->height - 1, l->verts[r->verts[i]].net);
	for (int i = 0; i < r->n; i++)
		if (l->verts[r->verts[i]].box >= 0)
			draw_box(g, l, c, r, i);
	if (rank + 1 == l->n_ranks || !make_gap(g, l, rank, &k))
		return;
	choose_columns(g, &k);
	find_spans(&k);
	split_rows(&k);
	gather_rows(&k);
	draw_gap(c, &k, r->height);
}

void moka__draw(struct moka__graph *g, struct moka__layout *l)
{
	for (int r = 0; r < l->n_ranks && !g->failed; r++) {
		struct moka__canvas c;

		moka__canvas_init(&c, g->width);
		draw_rank(g, l, &c, r);
		moka__canvas_print(&c, g->ascii, g->colour, g->out);
		g->failed |= c.failed;
		moka__canvas_release(&c);
	}
}
