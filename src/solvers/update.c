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

#define PIECE 65536

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

struct step {
	struct moka_solver *s;
	const struct moka_slot *slot;
	real *g;
	const real *w;
	real scale, decay, rate;
	struct moka_rule_param p;
};

/* g += decay * w, or its sign. */
static void add_decay(const struct step *j, real decay, int64_t begin, int64_t end)
{
	if (decay != 0 && j->s->l1) {
		for (int64_t i = begin; i < end; i++)
			j->g[i] += decay * (real)((j->w[i] > 0) - (j->w[i] < 0));
	} else if (decay != 0) {
		for (int64_t i = begin; i < end; i++)
			j->g[i] += decay * j->w[i];
	}
}

/* Elements [begin, end) of one slot: gradient -> step, in place of the gradient. */
static void step_piece(void *arg, int64_t begin, int64_t end)
{
	const struct step *j = arg;
	const struct moka_solver_rule *rule = j->s->rule;
	struct moka_update u = {
		.count = end - begin, .rate = j->rate, .g = j->g + begin, .iter = j->s->iter, .p = &j->p
	};

	for (int64_t i = begin; i < end; i++)
		j->g[i] *= j->scale;
	if (!rule->decoupled_decay)
		add_decay(j, j->decay, begin, end);
	for (int h = 0; h < rule->n_history; h++)
		u.history[h] = j->slot->history[h] + begin;
	rule->update(&u);
	if (rule->decoupled_decay)
		add_decay(j, j->rate * j->decay, begin, end);
}

struct subtraction {
	real *w;
	const real *step;
};

static void subtract_piece(void *arg, int64_t begin, int64_t end)
{
	const struct subtraction *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->w[i] -= j->step[i];
}

void moka__solver_apply(struct moka_solver *s, double rate)
{
	const real scale = clip_factor(s) / (real)s->iter_size;
	struct moka_rule_param p = s->rule_param;

	if (s->rule->warmup_momentum)
		p.momentum = (real)((double)p.momentum * moka_solver_warmup_factor(s->root, s->iter));
	for (int i = 0; i < s->n_slots; i++) {
		const struct moka_slot *slot = &s->slots[i];
		struct step j = { .s = s,
				  .slot = slot,
				  .g = slot_gradient(s, slot),
				  .w = s->net->params[slot->param].data,
				  .scale = scale,
				  .decay = (real)(s->weight_decay * (double)slot->decay_mult),
				  .rate = (real)(rate * (double)slot->lr_mult),
				  .p = p };

		if (j.g)
			moka_parallel(s->o.pool, step_piece, &j, slot->count, PIECE);
	}
	for (int i = 0; i < s->n_slots; i++) {
		const struct moka_slot *slot = &s->slots[i];
		struct subtraction j = { s->net->params[slot->param].data, slot_gradient(s, slot) };

		if (j.step)
			moka_parallel(s->o.pool, subtract_piece, &j, slot->count, PIECE);
	}
	moka_net_touch(s->net);
}
