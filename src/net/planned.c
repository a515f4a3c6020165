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

/* The form of Winograd's algorithm, or the direct convolution, whose weights are the next smaller ones; PLAIN: none. */
static enum moka_conv_algorithm next_smaller(const struct moka__work *w)
{
	switch (w->conv ? moka_conv_op_algorithm(w->conv) : MOKA_CONV_PLAIN) {
	case MOKA_CONV_WINOGRAD6:
	case MOKA_CONV_WINOGRAD5_3:
		return MOKA_CONV_WINOGRAD4;
	case MOKA_CONV_WINOGRAD4:
	case MOKA_CONV_WINOGRAD5:
		return MOKA_CONV_DIRECT;
	default:
		return MOKA_CONV_PLAIN;
	}
}

static enum moka_status make_smaller(const struct moka__work *w, struct moka_conv_op **out)
{
	struct moka_conv_desc d = w->desc;

	d.algorithm = next_smaller(w);
	*out = NULL;
	return d.algorithm == MOKA_CONV_PLAIN ? MOKA_OK : moka_conv_op_new(out, &d);
}

static int64_t bytes_saved(const struct moka__work *w, const struct moka_conv_op *smaller)
{
	return (int64_t)moka_conv_op_bytes(w->conv) - (int64_t)moka_conv_op_bytes(smaller);
}

/*
 * Whether the smaller form of work a is to be taken before that of b: another form of Winograd's before a direct convolution, which takes
 * longer than its expected cost says where weights are heavy; then where a byte saved costs fewer multiply-adds of a pass.
 */
static bool goes_first(const struct moka_plan *p, int a, int b, struct moka_conv_op *const *smaller)
{
	double price[2];
	bool direct[2];

	for (int i = 0; i < 2; i++) {
		const struct moka__work *w = &p->works[i ? b : a];
		const struct moka_conv_op *op = smaller[i ? b : a];

		direct[i] = moka_conv_op_algorithm(op) == MOKA_CONV_DIRECT;
		price[i] = (moka_conv_op_cost(op) - moka_conv_op_cost(w->conv)) * whole_batches(p, w) /
			   (double)MOKA_MAX(bytes_saved(w, op), 1);
	}
	return direct[0] != direct[1] ? direct[1] : price[0] < price[1];
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

/* Takes smaller forms until all packed weights fit. smaller: of each work, NULL where there is none. */
static enum moka_status shrink(struct moka_plan *p, int64_t over, struct moka_conv_op **smaller)
{
	for (int i = 0; i < p->n_works; i++)
		MOKA_TRY(make_smaller(&p->works[i], &smaller[i]));
	while (over > 0) {
		struct moka__work *w;
		int best = -1;

		for (int i = 0; i < p->n_works; i++)
			if (smaller[i] && (best < 0 || goes_first(p, i, best, smaller)))
				best = i;
		if (best < 0)
			return MOKA_OK;
		w = &p->works[best];
		over -= bytes_saved(w, smaller[best]);
		moka_conv_op_free(w->conv);
		w->conv = smaller[best];
		MOKA_TRY(make_smaller(w, &smaller[best]));
	}
	return MOKA_OK;
}

/*
 * Winograd's weights are two to seven times the parameters. Where all packed weights are more than the parameters (so that a
 * model would be in memory more than twice), some go to a form with smaller ones, or back to direct convolution. Small models, where
 * a few megabytes are nothing and every tenth of a millisecond is, keep them.
 */
static enum moka_status keep_to_budget(struct moka_plan *p)
{
	int64_t over = -packed_budget(p);
	struct moka_conv_op **smaller;
	enum moka_status st;

	for (int i = 0; i < p->n_works; i++)
		over += p->works[i].conv ? (int64_t)moka_conv_op_bytes(p->works[i].conv) : 0;
	if (over <= 0)
		return MOKA_OK;
	smaller = calloc((size_t)p->n_works, sizeof(struct moka_conv_op *));
	st = smaller ? shrink(p, over, smaller) : MOKA_ERR_NOMEM;
	for (int i = 0; smaller && i < p->n_works; i++)
		if (smaller[i])
			moka_conv_op_free(smaller[i]);
	free(smaller);
	return st;
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
