/*
 * place.c - columns: how wide each box is, and where each vertex of a connected part stands.
 *
 * A rank with one vertex is a waist of the net: all waists stand in one column, so that the net runs straight down
 * the page. Between two waists every rank takes the widest style in which all of them fit. The others are placed by
 * sweeps: in a rank, whose order is fixed, the columns that make the sum of distances to the neighbours' columns
 * least are found exactly (pool adjacent violators, with medians), lines of the trunk weighing most.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define SWEEPS 5
#define LANE_GAP 1 /* beside a line less room is needed than between boxes */

/* ---- widths --------------------------------------------------------------------------------------------- */

static void measure(struct moka__graph *g, struct moka__vert *v, int style)
{
	struct moka__box *b = v->box >= 0 ? &g->boxes[v->box] : NULL;
	const struct moka__wire *last;
	int middle, port;

	v->left = v->right = 0;
	if (!b)
		return;
	moka__box_text(g, b, style);
	middle = b->width / 2;
	v->left = middle;
	v->right = b->width - 1 - middle;
	if (!b->n_nets)
		return;
	last = &g->nets[b->nets[b->n_nets - 1]];
	port = moka__port(g, b, b->nets[b->n_nets - 1]);
	v->right = MOKA_MAX(v->right, port - middle + 1 + moka__label_columns(g, last, moka__styles[style].labels));
}

static int gap(const struct moka__layout *l, int a, int b, int style)
{
	int wide = moka__styles[style].gap;

	return l->verts[a].box >= 0 && l->verts[b].box >= 0 ? wide : MOKA_MIN(wide, LANE_GAP + 1);
}

/* Columns from the middle of vertex i of the rank to that of the next. */
static int distance(const struct moka__layout *l, const struct moka__rank *r, int i)
{
	const struct moka__vert *a = &l->verts[r->verts[i]], *b = &l->verts[r->verts[i + 1]];

	return a->right + 1 + gap(l, r->verts[i], r->verts[i + 1], r->style) + b->left;
}

static bool fits(struct moka__graph *g, struct moka__layout *l, struct moka__rank *r, int style)
{
	int64_t total = 0;

	if (r->n > g->width / 2)
		return false;
	r->style = style;
	for (int i = 0; i < r->n; i++)
		measure(g, &l->verts[r->verts[i]], style);
	for (int i = 0; i + 1 < r->n; i++)
		total += distance(l, r, i);
	total += l->verts[r->verts[0]].left + l->verts[r->verts[r->n - 1]].right + 1;
	return total <= g->width || (r->n == 1 && style == MOKA__STYLES - 1);
}

/* Lines that pass and could be cut. */
static int passing(const struct moka__layout *l, const struct moka__rank *r)
{
	int n = 0;

	for (int i = 0; i < r->n; i++)
		n += l->verts[r->verts[i]].box < 0 && !l->verts[r->verts[i]].trunk;
	return n;
}

static int first_fit(struct moka__graph *g, struct moka__layout *l, struct moka__rank *r, int style)
{
	int lanes = passing(l, r);

	if (lanes > 2 && lanes < r->n && !fits(g, l, r, MOKA__CROWDED))
		return r->style = MOKA__STYLES;
	while (style < MOKA__STYLES && !fits(g, l, r, style))
		style++;
	return r->style = style;
}

/* Ranks [from, to) lie between two waists: one style for all. */
static bool style_segment(struct moka__graph *g, struct moka__layout *l, int from, int to)
{
	int style = 0;
	bool good = true;

	for (int r = from; r < to; r++) {
		int needed = first_fit(g, l, &l->ranks[r], style);

		if (needed < MOKA__STYLES)
			style = needed;
		else
			good = false;
	}
	for (int r = from; r < to; r++)
		if (l->ranks[r].style < style)
			fits(g, l, &l->ranks[r], style);
	return good;
}

static bool choose_styles(struct moka__graph *g, struct moka__layout *l)
{
	bool good = true;

	for (int r = 0, from = 0; r <= l->n_ranks; r++) {
		if (r < l->n_ranks && l->ranks[r].n > 1)
			continue;
		good &= style_segment(g, l, from, r);
		if (r < l->n_ranks)
			first_fit(g, l, &l->ranks[r], 0);
		from = r + 1;
	}
	return good;
}

/* ---- one rank ------------------------------------------------------------------------------------------------- */

/* A wish: to stand at `at`, or each column away costs `weight`. */
struct wish {
	int at, weight;
};

struct solver {
	struct wish *wishes; /* of all vertices of a rank, one after another */
	int *first;	     /* vertex i's: from first[i] to first[i + 1] */
	int *shift;	     /* what must be kept to the left of vertex i, added up */
	int *start, *value;  /* blocks of vertices that touch */
	struct wish *sorted;
};

static int compare_wishes(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* The weighted median of the wishes [from, to); between two, the middle. */
static int median(struct solver *s, int from, int to)
{
	int n = to - from;
	int64_t total = 0, sum = 0;

	memcpy(s->sorted, s->wishes + from, (size_t)n * sizeof(*s->sorted));
	qsort(s->sorted, (size_t)n, sizeof(*s->sorted), compare_wishes);
	for (int i = 0; i < n; i++)
		total += s->sorted[i].weight;
	for (int i = 0; i < n; i++) {
		sum += s->sorted[i].weight;
		if (2 * sum > total)
			return s->sorted[i].at;
		if (2 * sum == total)
			return (s->sorted[i].at + s->sorted[MOKA_MIN(i + 1, n - 1)].at) / 2;
	}
	return 0;
}

/*
 * The same for one vertex: where anything between two wishes is as good, the one from above, so that lines run
 * straight.
 */
static int median_of(struct solver *s, const struct moka__layout *l, const struct moka__rank *r, int i, bool up)
{
	int from = s->first[i], to = s->first[i + 1], n_up = up ? l->verts[r->verts[i]].n_up : 0,
	    best = median(s, from, to), wanted;
	int64_t cost = 0, other = 0;

	if (!n_up || n_up == to - from)
		return best;
	wanted = median(s, from, from + n_up);
	for (int k = from; k < to; k++) {
		cost += (int64_t)abs(s->wishes[k].at - best) * s->wishes[k].weight;
		other += (int64_t)abs(s->wishes[k].at - wanted) * s->wishes[k].weight;
	}
	return other <= cost ? wanted : best;
}

/* Columns of a rank's vertices from their wishes; within [low, high] if it is bounded. */
static void solve(struct moka__graph *g, struct moka__layout *l, struct moka__rank *r, struct solver *s, bool up,
		  bool bounded)
{
	int blocks = 0, low, high;

	for (int i = 0; i < r->n; i++) {
		s->start[blocks] = i;
		s->value[blocks] = median_of(s, l, r, i, up);
		blocks++;
		while (blocks > 1 && s->value[blocks - 2] > s->value[blocks - 1]) {
			blocks--;
			s->value[blocks - 1] = median(s, s->first[s->start[blocks - 1]], s->first[i + 1]);
		}
	}
	low = l->verts[r->verts[0]].left;
	high = g->width - 1 - l->verts[r->verts[r->n - 1]].right - s->shift[r->n - 1];
	for (int b = 0; b < blocks; b++)
		for (int i = s->start[b]; i < (b + 1 < blocks ? s->start[b + 1] : r->n); i++) {
			int at = s->value[b];

			if (bounded)
				at = MOKA_MAX(low, MOKA_MIN(high, at));
			l->verts[r->verts[i]].column = at + s->shift[i];
		}
}

/* Where the net leaves a vertex, counted from the vertex's own column. */
static int port_offset(const struct moka__graph *g, const struct moka__vert *v, int net)
{
	return v->box < 0 ? 0 : moka__port(g, &g->boxes[v->box], net) - g->boxes[v->box].width / 2;
}

static int weight(const struct moka__vert *a, const struct moka__vert *b)
{
	bool lanes = a->box < 0 && b->box < 0, boxes = a->box >= 0 && b->box >= 0;

	if (a->trunk || b->trunk)
		return 60;
	return lanes ? 16 : boxes ? 30 : 2;
}

static void wish(const struct moka__graph *g, const struct moka__layout *l, const struct moka__vert *v, bool up,
		 bool down, int shift, struct wish *out, int *n)
{
	int before = *n;

	for (int i = 0; up && i < v->n_up; i++) {
		const struct moka__vert *u = &l->verts[v->up[i]];

		out[(*n)++] = (struct wish){ u->column + port_offset(g, u, v->up_net[i]) - shift, weight(u, v) };
	}
	for (int i = 0; down && i < v->n_down; i++) {
		const struct moka__vert *d = &l->verts[v->down[i]];

		out[(*n)++] = (struct wish){ d->column - port_offset(g, v, v->down_net[i]) - shift, weight(v, d) };
	}
	if (*n == before)
		out[(*n)++] = (struct wish){ v->column - shift, 1 };
}

static void place_rank(struct moka__graph *g, struct moka__layout *l, int rank, struct solver *s, bool up, bool down,
		       bool bounded)
{
	struct moka__rank *r = &l->ranks[rank];
	int n = 0;

	if (r->n < 2)
		return;
	for (int i = 0, shift = 0; i < r->n; i++) {
		s->shift[i] = shift;
		s->first[i] = n;
		wish(g, l, &l->verts[r->verts[i]], up, down, shift, s->wishes, &n);
		shift += i + 1 < r->n ? distance(l, r, i) : 0;
	}
	s->first[r->n] = n;
	solve(g, l, r, s, up, bounded);
}

static void place_all(struct moka__graph *g, struct moka__layout *l, struct solver *s, bool bounded)
{
	for (int k = 0; k < SWEEPS; k++) {
		for (int r = 0; r < l->n_ranks; r++)
			place_rank(g, l, r, s, true, k > 0, bounded);
		for (int r = l->n_ranks - 1; r >= 0; r--)
			place_rank(g, l, r, s, k > 0, true, bounded);
	}
	for (int r = 0; r < l->n_ranks; r++)
		place_rank(g, l, r, s, true, true, bounded);
}

/* ---- all ranks ------------------------------------------------------------------------------------------------- */

static bool make_solver(struct moka__graph *g, const struct moka__layout *l, struct solver *s)
{
	int most = 1, wishes = 1;

	for (int r = 0; r < l->n_ranks; r++) {
		int n = 0;

		for (int i = 0; i < l->ranks[r].n; i++)
			n += l->verts[l->ranks[r].verts[i]].n_up + l->verts[l->ranks[r].verts[i]].n_down + 1;
		wishes = MOKA_MAX(wishes, n);
		most = MOKA_MAX(most, l->ranks[r].n);
	}
	s->wishes = MOKA_NEWN(&g->arena, wishes, struct wish);
	s->sorted = MOKA_NEWN(&g->arena, wishes, struct wish);
	s->first = MOKA_NEWN(&g->arena, most + 1, int);
	s->shift = MOKA_NEWN(&g->arena, most + 1, int);
	s->start = MOKA_NEWN(&g->arena, most + 1, int);
	s->value = MOKA_NEWN(&g->arena, most + 1, int);
	if (!s->wishes || !s->sorted || !s->first || !s->shift || !s->start || !s->value)
		g->failed = true;
	return !g->failed;
}

static int real_right(const struct moka__graph *g, const struct moka__vert *v)
{
	return v->box < 0 ? 0 : g->boxes[v->box].width - 1 - g->boxes[v->box].width / 2;
}

/* The column of the waists: as far left as what stands beside them lets it be, and such that every waist fits. */
static int waist_column(const struct moka__graph *g, const struct moka__layout *l)
{
	int left = 0, right = 0, least = 0, most = g->width - 1, column;

	for (int i = 0; i < l->n_verts; i++) {
		const struct moka__vert *v = &l->verts[i];

		left = MOKA_MAX(left, v->left - v->column);
		right = MOKA_MAX(right, v->column + v->right);
		if (l->ranks[v->rank].n == 1) {
			least = MOKA_MAX(least, v->left);
			most = MOKA_MIN(most, g->width - 1 - real_right(g, v));
		}
	}
	column = left + right + 1 <= g->width ? left : (int)((int64_t)left * g->width / (left + right + 1));
	return MOKA_MAX(least, MOKA_MIN(most, column));
}

static void set_waists(struct moka__layout *l, int column)
{
	for (int i = 0; i < l->n_verts; i++)
		if (l->ranks[l->verts[i].rank].n == 1)
			l->verts[i].column = column;
}

bool moka__place(struct moka__graph *g, struct moka__layout *l)
{
	struct solver s;
	int waist;

	if (!choose_styles(g, l))
		return false;
	if (g->failed || !make_solver(g, l, &s))
		return true; /* diagram.c looks at g->failed */
	set_waists(l, 0);
	place_all(g, l, &s, false);
	waist = waist_column(g, l);
	for (int i = 0; i < l->n_verts; i++)
		l->verts[i].column += waist;
	set_waists(l, waist);
	place_all(g, l, &s, true);
	return true;
}
