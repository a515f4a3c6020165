/*
 * stretch.c - stretches of works that run a few images at a time.
 *
 * Work by work, a batch of images goes through the memory once a work, since no cache holds a blob of all of them. A
 * stretch is a run of neighbouring works through which one piece of the batch (an image, or two, four, eight) goes from the first
 * work to the last before the next piece begins: what lies between them stays in a cache, takes the room of a piece instead of a
 * batch's, and each thread takes pieces of its own, so that nobody waits for anybody between the works. Against it speaks that
 * weights pass by once a piece instead of once a batch: late layers, few places and many weights, are better off with the batch.
 *
 * Which is better is decided by counting, in multiply-adds of a core: arithmetic (moka_conv_op_cost() knows what a
 * convolution of so many images takes), bytes that come from afar, a start of all threads. The best cut of the works into
 * stretches and single ones is found by dynamic programming; it does not depend on how many threads there will be.
 */
#include "net/fused.h"

#include <float.h>
#include <string.h>

/* Caches as they are in most machines: a second one that holds this, a part of a third. */
#define NEAR_BYTES (384 * 1024)
#define FAR_BYTES (8 * 1024 * 1024)
/* Multiply-adds that a core makes while a byte comes from the third cache, from memory. */
#define FAR_COST 3
#define MEMORY_COST 10
#define START_COST 4e5 /* the time in which all threads have begun and ended a work */
#define LONGEST 400    /* works of a stretch: looking takes their square */

static const int64_t sizes[] = { 1, 2, 4, 8 };

struct cut {
	struct moka_plan *p;
	int64_t images; /* of the batch */
	bool *may;	/* per work: a stretch may go over it */
	double *whole;	/* per work: its arithmetic in one go */
	double *pieces[MOKA_COUNT(sizes)];
	int *uses;    /* per value that is nobody's part: how often a work reads or writes it */
	int *last;    /* per work: a value whose last use it is; -1 */
	int *another; /* per value: another with the same last use; -1 */
	double *best; /* per work: the least that the works before it take */
	int *from;    /* per work: where the stretch that ends before it begins; itself less one: a single work */
	int *size;    /* and of which of the sizes its pieces are */
};

static bool all_of_batch(const struct cut *c, const int *values, int n)
{
	for (int i = 0; i < n; i++) {
		int64_t at;
		const int root = moka__value_root(c->p, values[i], &at);

		if (c->p->values[values[i]].images != c->images || c->p->values[root].images != c->images)
			return false;
	}
	return true;
}

static bool may_go_over(const struct cut *c, const struct moka__work *w)
{
	if (w->kind == MOKA__WORK_LAYER || (w->conv && moka_conv_op_algorithm(w->conv) == MOKA_CONV_PLAIN))
		return false;
	return all_of_batch(c, w->in, w->n_in) && all_of_batch(c, w->out, w->n_out);
}

static double conv_cost(const struct moka__work *w, int64_t images)
{
	struct moka_conv_desc d = w->desc;
	struct moka_conv_op *op;
	double cost;

	d.images = images;
	if (moka_conv_op_new(&op, &d))
		return DBL_MAX;
	cost = moka_conv_op_cost(op);
	moka_conv_op_free(op);
	return cost;
}

static void measure(struct cut *c, int work)
{
	const struct moka__work *w = &c->p->works[work];

	c->may[work] = may_go_over(c, w);
	if (!c->may[work] || !w->conv)
		return;
	c->whole[work] = moka_conv_op_cost(w->conv);
	for (size_t s = 0; s < MOKA_COUNT(sizes); s++)
		if (c->images % sizes[s] == 0 && sizes[s] < c->images)
			c->pieces[s][work] = conv_cost(w, sizes[s]) * (double)(c->images / sizes[s]);
}

/* The bytes of a value of so many images, on their way once for every use of the batch. */
static double way(const struct cut *c, int root, int64_t images)
{
	const double image = (double)moka__value_image(c->p, root) * (double)sizeof(real),
		     held = image * (double)images;
	const double rate = held <= NEAR_BYTES ? 0 : held <= FAR_BYTES ? FAR_COST : MEMORY_COST;

	return image * (double)c->images * rate;
}

/* Calls fn for the root of every value that the work uses. */
static void each_use(struct cut *c, int work, void (*fn)(struct cut *c, int root, void *arg), void *arg)
{
	const struct moka__work *w = &c->p->works[work];
	int64_t at;

	for (int i = 0; w->kind != MOKA__WORK_NONE && i < w->n_in; i++)
		fn(c, moka__value_root(c->p, w->in[i], &at), arg);
	for (int i = 0; w->kind != MOKA__WORK_NONE && i < w->n_out; i++)
		fn(c, moka__value_root(c->p, w->out[i], &at), arg);
}

static void count_use(struct cut *c, int root, void *arg)
{
	(void)arg;
	c->uses[root]++;
}

static void add_way(struct cut *c, int root, void *arg)
{
	double *sum = arg;

	*sum += way(c, root, c->images);
}

/* What is saved by values that are made from `first` on and last used by `work`, where they are held by the piece. */
static double saved(const struct cut *c, int first, int work, int64_t size)
{
	double sum = 0;

	for (int i = c->last[work]; i >= 0; i = c->another[i])
		if (c->p->values[i].begin >= first)
			sum += c->uses[i] * (way(c, i, c->images) - way(c, i, size));
	return sum;
}

static void settle(struct cut *c, int after, double cost, int from, int size)
{
	if (cost >= c->best[after])
		return;
	c->best[after] = cost;
	c->from[after] = from;
	c->size[after] = size;
}

/* All stretches that begin with a work, their pieces of one size. */
static void try_stretches(struct cut *c, int first, int size)
{
	double cost = c->best[first] + START_COST;

	for (int i = first; i < c->p->n_works && c->may[i] && i - first < LONGEST; i++) {
		cost += c->pieces[size][i] - saved(c, first, i, sizes[size]);
		each_use(c, i, add_way, &cost);
		settle(c, i + 1, cost, first, size);
	}
}

static void find_best(struct cut *c)
{
	for (int i = 0; i < c->p->n_works; i++) {
		double cost = c->best[i] + c->whole[i];

		if (c->p->works[i].kind != MOKA__WORK_NONE)
			cost += START_COST;
		each_use(c, i, add_way, &cost);
		settle(c, i + 1, cost, i, -1);
		for (size_t s = 0; c->may[i] && s < MOKA_COUNT(sizes); s++)
			if (c->images % sizes[s] == 0 && sizes[s] < c->images)
				try_stretches(c, i, (int)s);
	}
}

/* ---- what was found becomes part of the plan --------------------------------------------------------------- */

static void hold_inside(struct moka_plan *p, int stretch)
{
	const struct moka__stretch *s = &p->stretches[stretch];

	for (int i = 0; i < p->n_values; i++) {
		struct moka__value *v = &p->values[i];

		if (v->from < 0 && v->begin >= s->first && v->end < s->end)
			v->stretch = stretch;
	}
}

static enum moka_status add_stretch(struct cut *c, int first, int end, int64_t images)
{
	struct moka_plan *p = c->p;
	struct moka__stretch *s = &p->stretches[p->n_stretches];

	*s = (struct moka__stretch){ .first = first, .end = end, .images = images, .pieces = c->images / images };
	for (int i = first; i < end; i++) {
		struct moka__work *w = &p->works[i];

		w->stretch = p->n_stretches;
		if (!w->conv)
			continue;
		moka_conv_op_free(w->conv);
		w->conv = NULL;
		w->desc.images = images;
		MOKA_TRY(moka_conv_op_new(&w->conv, &w->desc));
	}
	hold_inside(p, p->n_stretches++);
	return MOKA_OK;
}

static enum moka_status take_best(struct cut *c)
{
	struct moka_plan *p = c->p;

	p->stretches = MOKA_NEWN(&p->arena, p->n_works + 1, struct moka__stretch);
	if (!p->stretches)
		return MOKA_ERR_NOMEM;
	for (int i = p->n_works; i > 0; i = c->from[i])
		if (c->size[i] >= 0)
			MOKA_TRY(add_stretch(c, c->from[i], i, sizes[c->size[i]]));
	return MOKA_OK;
}

static bool make_tables(struct cut *c)
{
	struct moka_arena *a = &c->p->arena;
	const int n = c->p->n_works + 1;
	bool ok = true;

	c->may = MOKA_NEWN(a, n, bool);
	c->whole = MOKA_NEWN(a, n, double);
	c->best = MOKA_NEWN(a, n, double);
	c->from = MOKA_NEWN(a, n, int);
	c->size = MOKA_NEWN(a, n, int);
	c->uses = MOKA_NEWN(a, c->p->n_values + 1, int);
	c->last = MOKA_NEWN(a, n, int);
	c->another = MOKA_NEWN(a, c->p->n_values + 1, int);
	for (size_t s = 0; s < MOKA_COUNT(sizes); s++)
		ok &= (c->pieces[s] = MOKA_NEWN(a, n, double)) != NULL;
	return ok && c->may && c->whole && c->best && c->from && c->size && c->uses && c->last && c->another;
}

/* The net's batch: what its first convolution takes. */
static int64_t batch(const struct moka_plan *p)
{
	for (int i = 0; i < p->n_works; i++)
		if (p->works[i].kind == MOKA__WORK_CONV)
			return p->works[i].desc.images;
	return 0;
}

static void list_last_uses(struct cut *c)
{
	for (int i = 0; i < c->p->n_works; i++)
		c->last[i] = -1;
	for (int i = 0; i < c->p->n_values; i++) {
		const struct moka__value *v = &c->p->values[i];

		if (v->from >= 0 || v->end < 0 || v->end >= c->p->n_works)
			continue;
		c->another[i] = c->last[v->end];
		c->last[v->end] = i;
	}
}

enum moka_status moka__plan_stretches(struct moka_plan *p)
{
	struct cut c = { .p = p, .images = batch(p) };

	if (c.images < 2)
		return MOKA_OK;
	if (!make_tables(&c))
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < p->n_works; i++) {
		measure(&c, i);
		each_use(&c, i, count_use, NULL);
		c.best[i + 1] = DBL_MAX;
	}
	list_last_uses(&c);
	find_best(&c);
	return take_best(&c);
}
