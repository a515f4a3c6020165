/*
 * update.c - one step: clip, scale by iter_size, regularise, ask the rule, subtract.
 *
 * In the order BVLC Caffe has it: the norm that clip_gradients compares is of the raw sum over iter_size passes, and weight decay
 * comes after clipping. A parameter whose uses state different multipliers has a slot per use: every step is made
 * from the same weights, then the steps are summed into them.
 */
#include "solvers/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fast.h"

#define PIECE 65536
#define FEW 1024 /* values that go through all loops before the next */

enum moka_status moka__solver_slots(struct moka_solver *s, struct moka_error *err)
{
	const struct moka_net *n = s->net;
	int64_t total = 0;
	int n_uses = 0;

	for (int p = 0; p < n->n_params; p++)
		n_uses += n->params[p].n_uses;
	s->slots = MOKA_NEWN(&s->arena, n_uses + 1, struct moka_slot);
	if (!s->slots)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for the solver's state");
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *l = &n->layers[i];

		for (int k = 0; k < l->l.n_param; k++) {
			const struct moka_param *p = &n->params[l->params[k]];
			const struct moka_param_use *use = &p->uses[l->param_uses[k]];

			if (l->param_uses[k] != 0 && !p->per_use_update)
				continue;
			s->slots[s->n_slots++] = (struct moka_slot){
				.param = l->params[k],
				.use = l->param_uses[k],
				.lr_mult = use->lr_mult,
				.decay_mult = use->decay_mult,
				.count = p->count,
			};
			total += p->count * s->rule->n_history;
		}
	}
	s->history_block = calloc((size_t)total + 1, sizeof(real));
	if (!s->history_block)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for %lld bytes of solver history",
				 (long long)total * (long long)sizeof(real));
	moka_pages_large(s->history_block, (size_t)total * sizeof(real));
	real *at = s->history_block;
	for (int h = 0; h < s->rule->n_history; h++)
		for (int i = 0; i < s->n_slots; i++) {
			s->slots[i].history[h] = at;
			at += s->slots[i].count;
		}
	return MOKA_OK;
}

static real *slot_gradient(struct moka_solver *s, const struct moka_slot *slot)
{
	return moka_exec_param_diff(s->exec, slot->param, slot->use);
}

/* What clip_gradients scales all gradients by: 1 where their joint norm is within it. */
static real clip_factor(struct moka_solver *s)
{
	double sum = 0;

	if (s->clip < 0)
		return 1;
	for (int i = 0; i < s->n_slots; i++) {
		const real *g = slot_gradient(s, &s->slots[i]);

		for (int64_t k = 0; g && k < s->slots[i].count; k++)
			sum += (double)g[k] * (double)g[k];
	}
	const double norm = sqrt(sum);

	return norm > s->clip ? (real)(s->clip / norm) : 1;
}

bool moka__updates_at_once(const struct moka_solver *s)
{
	return s->clip < 0 && s->iter_size == 1 && !s->debug && !moka_get_int(s->root, "snapshot_diff");
}

/* ---- a slot's step ---------------------------------------------------------------------------------- */

struct step {
	struct moka_solver *s;
	const struct moka_slot *slot;
	real *g, *w;
	real scale, decay, rate;
	bool keep;     /* the step is left in the gradient's place */
	bool subtract; /* at once: nobody else steps from these weights */
	struct moka_rule_param p;
};

/* g += decay * w, or its sign. */
MOKA__INLINE void add_decay(const struct step *j, real decay, int64_t count, const real *w, real *g)
{
	if (decay != 0 && j->s->l1) {
		MOKA__EACH
		for (int64_t i = 0; i < count; i++)
			g[i] += decay * (real)((w[i] > 0) - (w[i] < 0));
	} else if (decay != 0) {
		MOKA__EACH
		for (int64_t i = 0; i < count; i++)
			g[i] += decay * w[i];
	}
}

MOKA__INLINE void scale_values(int64_t count, real scale, real *g)
{
	for (int64_t i = 0; i < count; i++)
		g[i] *= scale;
}

MOKA__INLINE void subtract(int64_t count, const real *step, real *w)
{
	MOKA__EACH
	for (int64_t i = 0; i < count; i++)
		w[i] -= step[i];
}

/* Elements from `at` on of one slot: gradient g -> step, in its place; and the step made, where it may be. */
MOKA__CLONES static void step_few(const struct step *j, int64_t at, int64_t count, real *g)
{
	const struct moka_solver_rule *rule = j->s->rule;
	struct moka_update u = { .count = count, .rate = j->rate, .g = g, .iter = j->s->iter, .p = &j->p };
	real *w = j->w + at;

	if (j->scale != 1)
		scale_values(count, j->scale, g);
	if (!rule->decoupled_decay)
		add_decay(j, j->decay, count, w, g);
	for (int h = 0; h < rule->n_history; h++)
		u.history[h] = j->slot->history[h] + at;
	rule->update(&u);
	if (rule->decoupled_decay)
		add_decay(j, j->rate * j->decay, count, w, g);
	if (j->subtract)
		subtract(count, g, w);
}

static void ask_for(const real *p, int64_t count)
{
	for (int64_t i = 0; i < count; i += (int64_t)(64 / sizeof(real)))
		__builtin_prefetch(p + i, 1, 2);
}

/* moka_gemm_take: a gradient that goes by. A few values at a time stay in the nearest cache from loop to loop. */
static void step_by(void *arg, int64_t at, int64_t count, real *g)
{
	const struct step *j = arg;

	if (!g) {
		ask_for(j->w + at, count);
		for (int h = 0; h < j->s->rule->n_history; h++)
			ask_for(j->slot->history[h] + at, count);
		return;
	}
	for (int64_t n; count > 0; at += n, g += n, count -= n)
		step_few(j, at, n = MOKA_MIN(count, FEW), g);
}

static void step_piece(void *arg, int64_t begin, int64_t end)
{
	const struct step *j = arg;
	real few[FEW];

	for (int64_t at = begin, n; at < end; at += n) {
		n = MOKA_MIN(end - at, FEW);
		if (!j->keep)
			memcpy(few, j->g + at, (size_t)n * sizeof(real));
		step_few(j, at, n, j->keep ? j->g + at : few);
	}
}

struct subtraction {
	real *w;
	const real *step;
};

static void subtract_piece(void *arg, int64_t begin, int64_t end)
{
	const struct subtraction *j = arg;

	subtract(end - begin, j->step + begin, j->w + begin);
}

/* Uses of one parameter that step apart all step from the same weights. */
static bool steps_apart(const struct moka_solver *s, const struct moka_slot *slot)
{
	return s->net->params[slot->param].per_use_update;
}

static void step_slot(struct step *j)
{
	if (j->subtract && moka_exec_param_stream(j->s->exec, j->slot->param, step_by, j))
		return;
	j->g = slot_gradient(j->s, j->slot);
	if (j->g)
		moka_parallel(j->s->o.pool, step_piece, j, j->slot->count, PIECE);
}

void moka__solver_apply(struct moka_solver *s, double rate)
{
	const real scale = clip_factor(s) / (real)s->iter_size;
	const bool keep = moka_get_int(s->root, "snapshot_diff");
	struct moka_rule_param p = s->rule_param;

	if (s->rule->warmup_momentum)
		p.momentum = (real)((double)p.momentum * moka_solver_warmup_factor(s->root, s->iter));
	for (int i = 0; i < s->n_slots; i++) {
		const struct moka_slot *slot = &s->slots[i];

		step_slot(&(struct step){ .s = s,
					  .slot = slot,
					  .w = s->net->params[slot->param].data,
					  .scale = scale,
					  .decay = (real)(s->weight_decay * (double)slot->decay_mult),
					  .rate = (real)(rate * (double)slot->lr_mult),
					  .keep = keep || steps_apart(s, slot),
					  .subtract = !steps_apart(s, slot),
					  .p = p });
	}
	for (int i = 0; i < s->n_slots; i++) {
		const struct moka_slot *slot = &s->slots[i];
		struct subtraction j = { s->net->params[slot->param].data, NULL };

		if (!steps_apart(s, slot))
			continue;
		j.step = slot_gradient(s, slot);
		if (j.step)
			moka_parallel(s->o.pool, subtract_piece, &j, slot->count, PIECE);
	}
	moka_net_touch(s->net);
}
