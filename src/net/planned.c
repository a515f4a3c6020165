/*
 * planned.c - one plan a net: made when the first execution wants it, then shared, and freed with the net.
 *
 * A plan is read-only once made, but for packed weights, which are packed again when weights have changed. Whoever changes
 * weights does it while no execution of the net runs, as ever.
 */
#include "net/fused.h"

#include <stdlib.h>

/* What a core is expected to do in a second: shares of a pass, and which works are too small to hand to other threads. */
#define MACS_A_SECOND(block) ((block) == 16 ? 120e9 : (block) == 8 ? 60e9 : 5e9)
#define BYTES_A_SECOND 40e9
#define TOO_SMALL 4e-6			/* seconds */
#define SMALL_MODEL ((int64_t)64 << 20) /* bytes of packed weights that any model may have */

void moka_plan_free(struct moka_plan *p)
{
	if (!p)
		return;
	for (int i = 0; i < p->n_works; i++)
		moka_conv_op_free(p->works[i].conv);
	moka_arena_release(&p->arena);
	free(p->weights);
	free(p);
}

/* ---- what a work costs ---------------------------------------------------------------------------------------- */

static double bytes_of(const struct moka_plan *p, const int *values, int n)
{
	double bytes = 0;

	for (int i = 0; i < n; i++)
		bytes += (double)moka__value_count(&p->values[values[i]]) * (double)sizeof(real);
	return bytes;
}

static double saving(const struct moka_conv_op *op)
{
	switch (op ? moka_conv_op_algorithm(op) : MOKA_CONV_PLAIN) {
	case MOKA_CONV_WINOGRAD4:
		return 2.5;
	case MOKA_CONV_WINOGRAD6:
	case MOKA_CONV_WINOGRAD5_3:
	case MOKA_CONV_WINOGRAD5:
		return 3;
	default:
		return 1;
	}
}

/* How often an operation that was planned for a piece of the batch is run. */
static double whole_batches(const struct moka_plan *p, const struct moka__work *w)
{
	return w->stretch < 0 ? 1 : (double)p->stretches[w->stretch].pieces;
}

static void estimate(struct moka_plan *p, struct moka__work *w)
{
	double bytes = bytes_of(p, w->in, w->n_in) + bytes_of(p, w->out, w->n_out);
	const double macs = (w->conv ? moka_conv_op_cost(w->conv) * whole_batches(p, w) : (double)w->macs) /
			    MACS_A_SECOND(moka_block());

	if (w->kind == MOKA__WORK_NONE)
		return;
	for (int i = 0; i < w->n_layers; i++) {
		const struct moka_net_layer *nl = &p->n->layers[w->layers[i]];

		for (int k = 0; k < nl->l.n_param; k++)
			bytes += (double)MOKA_MAX(p->n->params[nl->params[k]].count, 0) * (double)sizeof(real);
	}
	w->cost = 1e-7 + MOKA_MAX(macs, bytes / BYTES_A_SECOND);
	w->alone = w->cost < TOO_SMALL && w->kind != MOKA__WORK_LAYER;
	p->cost += w->cost;
}

/* ---- weights in memory ------------------------------------------------------------------------------------------ */

static bool is_winograd(const struct moka__work *w)
{
	return w->conv && saving(w->conv) > 1;
}

/* Multiply-adds that Winograd saves with each byte that its weights take. */
static double worth(const struct moka__work *w)
{
	return (double)w->macs * (1 - 1 / saving(w->conv)) / (double)MOKA_MAX(moka_conv_op_bytes(w->conv), (size_t)1);
}

/* What all packed weights may take, so that a model is in memory at most twice: as much as the plain ones, and once more what is given back. */
static int64_t packed_budget(const struct moka_plan *p)
{
	int64_t bytes = 0;

	for (int i = 0; i < p->n->n_params; i++) {
		const bool returned = (!p->n->param_block || moka__lends(p->n)) && moka__param_is_packed(p, i);

		bytes += MOKA_MAX(p->n->params[i].count, 0) * (int64_t)sizeof(real) * (returned ? 2 : 1);
	}
	return MOKA_MAX(bytes, SMALL_MODEL);
}

/*
 * Winograd's weights are two to seven times the parameters. Where all packed weights are more than the parameters (so that a
 * model would be in memory more than twice), those that are worth least go back to direct convolution. Small models, where
 * a few megabytes are nothing and every tenth of a millisecond is, keep them.
 */
static enum moka_status keep_to_budget(struct moka_plan *p)
{
	const int64_t budget = packed_budget(p);
	int64_t packed = 0;

	for (int i = 0; i < p->n_works; i++)
		packed += p->works[i].conv ? (int64_t)moka_conv_op_bytes(p->works[i].conv) : 0;
	while (packed > budget) {
		struct moka__work *least = NULL;
		struct moka_conv_op *direct;
		struct moka_conv_desc d;

		for (int i = 0; i < p->n_works; i++)
			if (is_winograd(&p->works[i]) && (!least || worth(&p->works[i]) < worth(least)))
				least = &p->works[i];
		if (!least)
			return MOKA_OK;
		d = least->desc;
		d.algorithm = MOKA_CONV_DIRECT;
		MOKA_TRY(moka_conv_op_new(&direct, &d));
		packed += (int64_t)moka_conv_op_bytes(direct) - (int64_t)moka_conv_op_bytes(least->conv);
		moka_conv_op_free(least->conv);
		least->conv = direct;
	}
	return MOKA_OK;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* Room for factors, shifts and slopes, with zeros for spare lanes. */
static bool make_arrays(struct moka_plan *p, struct moka__work *w)
{
	const int64_t room = w->n_out ? (p->values[w->out[0]].channels + 31) / 16 * 16 : 0;

	if (w->n_affines) {
		w->scale = MOKA_NEWN(&p->arena, room, real);
		w->shift = MOKA_NEWN(&p->arena, room, real);
		if (!w->scale || !w->shift)
			return false;
	}
	if (w->act.kind != MOKA_ACT_PRELU)
		return true;
	w->slopes = MOKA_NEWN(&p->arena, room, real);
	w->act.slopes = w->slopes;
	return w->slopes != NULL;
}

/* Before layouts are chosen: a convolution keeps the pointer to its slopes. */
static bool make_all_arrays(struct moka_plan *p)
{
	for (int i = 0; i < p->n_graph; i++)
		if (!p->graph[i].gone && !make_arrays(p, &p->graph[i]))
			return false;
	return true;
}

static void drop_unused_arrays(struct moka__work *w)
{
	if (w->kind == MOKA__WORK_LAYER && w->op.kind != MOKA_OP_INNER)
		w->scale = w->shift = w->slopes = NULL;
}

static enum moka_status make(struct moka_plan *p, bool *refused)
{
	if (!moka__plan_graph(p)) {
		*refused = !p->no_memory;
		return p->no_memory ? MOKA_ERR_NOMEM : MOKA_OK;
	}
	moka__plan_fuse(p);
	if (p->no_memory || !make_all_arrays(p))
		return MOKA_ERR_NOMEM;
	MOKA_TRY(moka__plan_layout(p));
	moka__plan_lives(p);
	MOKA_TRY(moka__plan_stretches(p));
	MOKA_TRY(keep_to_budget(p));
	moka__plan_pairs(p);
	MOKA_TRY(moka__plan_place(p));
	for (int i = 0; i < p->n_works; i++) {
		drop_unused_arrays(&p->works[i]);
		estimate(p, &p->works[i]);
		if (i && p->works[i - 1].with_next)
			p->works[i].alone &= p->works[i - 1].alone;
	}
	return MOKA_OK;
}

enum moka_status moka_plan_new(struct moka_plan **out, const struct moka_net *n, struct moka_error *err)
{
	struct moka_plan *p = calloc(1, sizeof(*p));
	bool refused = false;
	enum moka_status st;

	*out = NULL;
	if (!p)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for a plan");
	p->n = n;
	moka_arena_init(&p->arena, 0);
	st = make(p, &refused);
	if (st || refused) {
		moka_plan_free(p);
		return st ? moka_fail(err, st, "no memory for a plan") : MOKA_OK;
	}
	*out = p;
	return MOKA_OK;
}

/* ---- one a net ------------------------------------------------------------------------------------------------------ */

struct moka__shared *moka__shared_new(void)
{
	struct moka__shared *s = calloc(1, sizeof(*s));

	if (s && pthread_mutex_init(&s->lock, NULL)) {
		free(s);
		return NULL;
	}
	return s;
}

void moka__shared_free(struct moka__shared *s)
{
	if (!s)
		return;
	moka_plan_free(s->plan);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void moka_net_drop_plan(struct moka_net *n)
{
	if (!n->shared)
		return;
	pthread_mutex_lock(&n->shared->lock);
	moka_plan_free(n->shared->plan);
	n->shared->plan = NULL;
	pthread_mutex_unlock(&n->shared->lock);
}

/* The lock is held. */
static enum moka_status pack(struct moka_net *n, struct moka_plan *p, struct moka_pool *pool, struct moka_error *err)
{
	const uint64_t version = moka__weights_version(n);
	const uint64_t sum = moka__weights_watched(n) ? moka__weights_sum(n) : 0;

	if (p->packed == version && sum == n->shared->sum)
		return MOKA_OK;
	MOKA_TRY(moka__plan_pack(p, n, pool, err));
	n->shared->sum = sum;
	__atomic_store_n(&p->packed, version, __ATOMIC_RELEASE);
	return MOKA_OK;
}

enum moka_status moka__plan_get(struct moka_net *n, struct moka_pool *pool, struct moka_plan **out,
				struct moka_error *err)
{
	struct moka__shared *s = n->shared;
	enum moka_status st = MOKA_OK;

	*out = NULL;
	if (!s)
		return MOKA_OK;
	pthread_mutex_lock(&s->lock);
	if (!s->plan && !s->refused) {
		st = moka_plan_new(&s->plan, n, err);
		s->refused = !st && !s->plan;
	}
	if (s->plan && !st)
		st = pack(n, s->plan, pool, err);
	if (!st)
		*out = s->plan;
	pthread_mutex_unlock(&s->lock);
	return st;
}

enum moka_status moka__plan_refresh(struct moka_net *n, struct moka_pool *pool, struct moka_error *err)
{
	struct moka__shared *s = n->shared;
	enum moka_status st;

	if (__atomic_load_n(&s->plan->packed, __ATOMIC_ACQUIRE) == moka__weights_version(n) &&
	    !moka__weights_watched(n))
		return MOKA_OK;
	pthread_mutex_lock(&s->lock);
	st = pack(n, s->plan, pool, err);
	pthread_mutex_unlock(&s->lock);
	return st;
}
