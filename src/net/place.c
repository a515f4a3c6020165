/*
 * place.c - things with a size and a life, placed in one block.
 *
 * Best fit: in some order, each goes into the smallest hole among those placed that live at the same time. No order is best
 * for every net: the largest first, those that live longest first, the largest product of both are tried, and, where there are
 * few, exchanges of two; the shortest block is taken. That ends at the bound (what is alive at the worst moment), or a few
 * hundredths above it, on nets as they are.
 */
#include "net/fused.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define FEW_ROOMS 300
#define EXCHANGES 100

static int by_id(const struct moka__room *x, const struct moka__room *y)
{
	return x->id - y->id;
}

static int by_size(const void *a, const void *b)
{
	const struct moka__room *x = a, *y = b;

	return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : by_id(x, y);
}

static double life(const struct moka__room *x)
{
	return (double)x->end - (double)x->begin + 1;
}

static int by_life(const void *a, const void *b)
{
	const struct moka__room *x = a, *y = b;

	return life(x) != life(y) ? (life(x) < life(y) ? 1 : -1) : by_size(a, b);
}

static int by_area(const void *a, const void *b)
{
	const struct moka__room *x = a, *y = b;
	const double p = life(x) * (double)x->bytes, q = life(y) * (double)y->bytes;

	return p != q ? (p < q ? 1 : -1) : by_id(x, y);
}

static int by_begin(const void *a, const void *b)
{
	const struct moka__room *x = a, *y = b;

	return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : by_size(a, b);
}

/* The smallest hole for u among the placed ones (n of them, by offset) that live when it does. */
static size_t best_fit(const struct moka__room *u, const struct moka__room *placed, int n)
{
	size_t free_from = 0, best = MOKA__NOWHERE, best_hole = MOKA__NOWHERE;

	for (int i = 0; i < n; i++) {
		const struct moka__room *x = &placed[i];

		if (x->end < u->begin || x->begin > u->end)
			continue;
		if (x->offset > free_from) {
			size_t hole = x->offset - free_from;

			if (hole >= u->bytes && hole < best_hole) {
				best = free_from;
				best_hole = hole;
			}
		}
		free_from = MOKA_MAX(free_from, x->offset + x->bytes);
	}
	return best == MOKA__NOWHERE ? free_from : best;
}

static void insert(struct moka__room *placed, int n, const struct moka__room *u)
{
	int at = n;

	while (at > 0 && placed[at - 1].offset > u->offset)
		at--;
	memmove(&placed[at + 1], &placed[at], (size_t)(n - at) * sizeof(*placed));
	placed[at] = *u;
}

/* The order in `rooms` itself. */
static int as_it_is(const void *a, const void *b)
{
	(void)a;
	(void)b;
	return 0;
}

/* Leaves the rooms by offset, in `placed`. */
static size_t place_in_order(struct moka__room *rooms, int n, struct moka__room *placed,
			     int (*order)(const void *, const void *))
{
	size_t total = 0;

	if (order != as_it_is)
		qsort(rooms, (size_t)n, sizeof(*rooms), order);
	for (int i = 0; i < n; i++) {
		rooms[i].offset = best_fit(&rooms[i], placed, i);
		insert(placed, i, &rooms[i]);
		total = MOKA_MAX(total, rooms[i].offset + rooms[i].bytes);
	}
	return total;
}

struct search {
	struct moka__room *rooms, *placed, *best;
	int n;
	size_t total, bound;
};

static void try_order(struct search *s, int (*order)(const void *, const void *))
{
	const size_t t = place_in_order(s->rooms, s->n, s->placed, order);

	if (t >= s->total)
		return;
	s->total = t;
	memcpy(s->best, s->placed, (size_t)s->n * sizeof(*s->best));
}

/* Orders near the best one: two rooms exchanged, kept where that is no worse. Always the same ones. */
static void try_exchanges(struct search *s)
{
	struct moka_rng r;

	moka_rng_seed(&r, 1, (uint64_t)s->n);
	qsort(s->rooms, (size_t)s->n, sizeof(*s->rooms), by_size);
	for (int i = 0; i < EXCHANGES && s->total > s->bound; i++) {
		const uint64_t n = (uint64_t)s->n;
		struct moka__room *a = &s->rooms[moka_rng_below(&r, n)], *b = &s->rooms[moka_rng_below(&r, n)], x = *a;
		const size_t before = s->total;

		*a = *b;
		*b = x;
		try_order(s, as_it_is);
		if (s->total < before || moka_rng_below(&r, 8) == 0)
			continue;
		x = *a;
		*a = *b;
		*b = x;
	}
}

bool moka__place_rooms(struct moka__room *rooms, int n, struct moka_arena *a, size_t *total)
{
	int (*const orders[])(const void *, const void *) = { by_size, by_area, by_life, by_begin };
	struct search s = { .rooms = rooms,
			    .placed = MOKA_NEWN(a, n + 1, struct moka__room),
			    .best = MOKA_NEWN(a, n + 1, struct moka__room),
			    .n = n,
			    .total = SIZE_MAX };
	int last = 0;

	if (!s.placed || !s.best)
		return false;
	for (int i = 0; i < n; i++)
		last = MOKA_MAX(last, rooms[i].begin);
	s.bound = moka__place_bound(rooms, n, last, a);
	for (size_t i = 0; i < MOKA_COUNT(orders) && s.total > s.bound; i++)
		try_order(&s, orders[i]);
	if (n > 1 && n <= FEW_ROOMS)
		try_exchanges(&s);
	memcpy(rooms, s.best, (size_t)n * sizeof(*rooms));
	*total = n ? s.total : 0;
	return true;
}

size_t moka__place_bound(const struct moka__room *rooms, int n, int last, struct moka_arena *a)
{
	int64_t *change = MOKA_NEWN(a, last + 4, int64_t), alive = 0, most = 0;

	if (!change)
		return 0;
	for (int i = 0; i < n; i++) {
		change[rooms[i].begin + 1] += (int64_t)rooms[i].bytes;
		change[MOKA_MIN(rooms[i].end, last + 1) + 2] -= (int64_t)rooms[i].bytes;
	}
	for (int i = 0; i < last + 3; i++) {
		alive += change[i];
		most = MOKA_MAX(most, alive);
	}
	return (size_t)most;
}

/* ---- a plan's values --------------------------------------------------------------------------------------------- */

int moka__value_root(const struct moka_plan *p, int value, int64_t *at)
{
	*at = 0;
	while (p->values[value].from >= 0) {
		*at += p->values[value].at;
		value = p->values[value].from;
	}
	return value;
}

static void use(struct moka_plan *p, int value, int work)
{
	int64_t at;
	struct moka__value *v = &p->values[moka__value_root(p, value, &at)];

	v->begin = MOKA_MIN(v->begin, work);
	v->end = MOKA_MAX(v->end, work);
}

static size_t value_bytes(const struct moka_plan *p, int value)
{
	const struct moka__value *v = &p->values[value];
	const int64_t images = v->stretch < 0 ? v->images : p->stretches[v->stretch].images;

	return moka__blob_bytes(images * moka__value_image(p, value));
}

void moka__plan_lives(struct moka_plan *p)
{
	for (int i = 0; i < p->n_values; i++) {
		struct moka__value *v = &p->values[i];

		v->unit = i;
		v->begin = v->input ? -1 : INT_MAX;
		v->end = v->input || v->output ? INT_MAX : -1;
	}
	for (int i = 0; i < p->n_works; i++) {
		for (int k = 0; k < p->works[i].n_in; k++)
			use(p, p->works[i].in[k], i);
		for (int k = 0; k < p->works[i].n_out; k++)
			use(p, p->works[i].out[k], i);
	}
}

/* Whether the work may write its first output over that input. */
static bool may_overwrite(const struct moka_plan *p, const struct moka__work *w, int input)
{
	switch (w->kind) {
	case MOKA__WORK_CONV:
		return input == 1;
	case MOKA__WORK_AFFINE:
	case MOKA__WORK_ADD2:
		return true;
	case MOKA__WORK_LAYER:
		return input == 0 && w->op.kind != MOKA_OP_INNER &&
		       (p->n->layers[w->layers[0]].l.type->flags & MOKA_INPLACE);
	default:
		return false;
	}
}

/* A value that dies with the work may be overwritten by the work's result, where both have a place of their own. */
static void share_place(struct moka_plan *p, int work)
{
	const struct moka__work *w = &p->works[work];
	const int out = w->n_out ? w->out[0] : -1;

	if (out < 0 || p->values[out].from >= 0 || p->values[out].unit != out || p->values[out].begin != work)
		return;
	for (int i = 0; i < w->n_in; i++) {
		const int in = w->in[i], unit = p->values[in].from < 0 ? p->values[in].unit : -1;
		bool twice = false;

		for (int k = 0; k < w->n_in; k++) {
			int64_t at;
			twice |= k != i && p->values[moka__value_root(p, w->in[k], &at)].unit == unit;
		}
		if (unit < 0 || twice || !may_overwrite(p, w, i) || p->values[unit].end != work ||
		    p->values[unit].stretch != p->values[out].stretch || p->values[in].block != p->values[out].block ||
		    value_bytes(p, unit) != value_bytes(p, out))
			continue;
		p->values[out].unit = unit;
		p->values[unit].end = p->values[out].end;
		return;
	}
}

/* One piece of a batch is behind a stretch while another is before it: what goes in or comes out lives as long as all of it. */
static void live_through_stretches(struct moka_plan *p)
{
	for (int i = 0; i < p->n_values; i++)
		for (int k = 0; k < p->n_stretches; k++) {
			const struct moka__stretch *s = &p->stretches[k];
			struct moka__value *v = &p->values[i];

			if (v->from >= 0 || v->unit != i || v->stretch >= 0 || v->begin > v->end)
				continue;
			if (v->begin > s->first && v->begin < s->end)
				v->begin = s->first;
			if (v->end >= s->first && v->end < s->end)
				v->end = s->end - 1;
		}
}

/* The values that live within a stretch (-1: in none), placed in a block of their own. */
static enum moka_status place_values(struct moka_plan *p, int stretch, struct moka__room *rooms, int *n, size_t *bytes)
{
	*n = 0;
	for (int i = 0; i < p->n_values; i++) {
		const struct moka__value *v = &p->values[i];

		if (v->from < 0 && v->unit == i && v->begin <= v->end && v->stretch == stretch)
			rooms[(*n)++] = (struct moka__room){ i, value_bytes(p, i), 0, v->begin, v->end };
	}
	if (!moka__place_rooms(rooms, *n, &p->arena, bytes))
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < *n; i++)
		p->values[rooms[i].id].offset = rooms[i].offset;
	return MOKA_OK;
}

enum moka_status moka__plan_place(struct moka_plan *p)
{
	struct moka__room *rooms = MOKA_NEWN(&p->arena, p->n_values + 1, struct moka__room);
	int n;

	if (!rooms)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < p->n_works; i++)
		share_place(p, i);
	live_through_stretches(p);
	for (int i = 0; i < p->n_stretches; i++) {
		MOKA_TRY(place_values(p, i, rooms, &n, &p->stretches[i].bytes));
		p->room = MOKA_MAX(p->room, p->stretches[i].bytes);
	}
	MOKA_TRY(place_values(p, -1, rooms, &p->n_units, &p->bytes));
	p->bound = moka__place_bound(rooms, p->n_units, p->n_works, &p->arena);
	if (!p->bound)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < p->n_values; i++) {
		int64_t at;
		const int root = moka__value_root(p, i, &at);

		p->values[i].offset = p->values[p->values[root].unit].offset + (size_t)at * sizeof(real);
		p->values[i].stretch = p->values[root].stretch;
	}
	return MOKA_OK;
}
