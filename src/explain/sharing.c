/*
 * sharing.c - shared parameters in words: who owns them, who else uses them, and what happens to them in
 * back-propagation.
 *
 * Where the uses agree on their multipliers there is one update, with the sum of their gradients. Where they state
 * different ones there is an update for each use, with its own gradient, multipliers and history, and the updates
 * are summed; BVLC Caffe has refused such nets since July 2015.
 */
#include "internal.h"

#include <string.h>

#define FORMULAS 6 /* parameters whose formulas are written out */
#define TERMS 4	   /* uses written out in one formula */

/* The numbers of a solver, or their names where there is none. */
struct rule {
	const struct moka_msg *solver;
	const char *momentum, *decay;
};

static struct rule make_rule(struct moka__page *p, const struct moka_explain_options *o)
{
	struct rule r = { moka__solver_msg(o), "momentum", "weight_decay" };

	if (r.solver) {
		r.momentum = moka__real(&p->arena, moka_get_float(r.solver, "momentum"));
		r.decay = moka__real(&p->arena, moka_get_float(r.solver, "weight_decay"));
	}
	return r;
}

/* "base_lr × 10", or its value. */
static const char *times_rate(struct moka__page *p, const struct rule *r, double mult)
{
	if (r->solver)
		return moka__times_text(&p->arena, moka_get_float(r->solver, "base_lr"), mult);
	return mult == 1 ? "base_lr" : moka__print(&p->arena, "%s × base_lr", moka__real(&p->arena, mult));
}

static const char *times_decay(struct moka__page *p, const struct rule *r, double mult)
{
	if (r->solver)
		return moka__times_text(&p->arena, moka_get_float(r->solver, "weight_decay"), mult);
	return mult == 1 ? r->decay : moka__print(&p->arena, "%s × %s", moka__real(&p->arena, mult), r->decay);
}

/* Whether weight decay pulls at all. */
static bool decays(const struct rule *r, double mult)
{
	return mult != 0 && (!r->solver || moka_get_float(r->solver, "weight_decay") != 0);
}

static const char *layer_of(const struct moka_net *n, const struct moka_param_use *u)
{
	return moka__layer_name(&n->layers[u->layer]);
}

static bool is_shared(const struct moka_param *x)
{
	return x->n_uses > 1;
}

/* ---- one parameter ---------------------------------------------------------------------------------------- */

/* "lr_mult 1 in ip1_a, 10 in ip1_b" or "lr_mult 1 in all". */
static const char *mults_text(struct moka__page *p, const struct moka_net *n, const struct moka_param *x, bool decay)
{
	struct moka__names names;
	bool same = true;
	double first = (double)(decay ? x->uses[0].decay_mult : x->uses[0].lr_mult);

	moka__names_begin(&names, 6);
	for (int i = 0; i < x->n_uses; i++) {
		double m = (double)(decay ? x->uses[i].decay_mult : x->uses[i].lr_mult);

		same &= m == first;
		moka__names_add(&names,
				moka__print(&p->arena, "%s in %s", moka__real(&p->arena, m), layer_of(n, &x->uses[i])));
	}
	const char *list = moka__names_end(&names, &p->arena);

	return same ? moka__print(&p->arena, "%s for all", moka__real(&p->arena, first)) : list;
}

static const char *sharers(struct moka__page *p, const struct moka_net *n, const struct moka_param *x)
{
	struct moka__names names;

	moka__names_begin(&names, 6);
	for (int i = 1; i < x->n_uses; i++)
		moka__names_add(&names, layer_of(n, &x->uses[i]));
	return moka__names_end(&names, &p->arena);
}

static void say_who(struct moka__page *p, const struct moka_net *n, const struct moka_param *x)
{
	moka__page_item(p, x->name,
			"%s, %s: owned by %s, which names it first; shared by %s. lr_mult %s; decay_mult %s.", x->role,
			moka__shape(&p->arena, &x->shape), layer_of(n, &x->uses[0]), sharers(p, n, x),
			mults_text(p, n, x, false), mults_text(p, n, x, true));
}

/*
 * ---- one update
 * -------------------------------------------------------------------------------------------------
 */

static const char *sum_of(struct moka__page *p, const struct moka_net *n, const struct moka_param *x, const char *what)
{
	struct moka_buf b;
	const char *s;

	moka_buf_init(&b, 0);
	for (int i = 0; i < x->n_uses && i < TERMS; i++)
		moka_buf_printf(&b, "%s%s[%s]", i ? " + " : "", what, layer_of(n, &x->uses[i]));
	if (x->n_uses > TERMS)
		moka_buf_puts(&b, " + …");
	s = b.len ? moka_arena_strdup(&p->arena, b.data) : "";
	moka_buf_release(&b);
	return s ? s : "";
}

static void formula_one(struct moka__page *p, const struct moka_net *n, const struct moka_param *x,
			const struct rule *r)
{
	double lr = (double)x->uses[0].lr_mult, decay = (double)x->uses[0].decay_mult;

	moka__page_formula(p, "g = %s", sum_of(p, n, x, "g"));
	if (decays(r, decay))
		moka__page_formula(p, "h = %s × h + %s × (g + %s × w)", r->momentum, times_rate(p, r, lr),
				   times_decay(p, r, decay));
	else
		moka__page_formula(p, "h = %s × h + %s × g", r->momentum, times_rate(p, r, lr));
	moka__page_formula(p, "w = w − h");
}

/* The first shared parameter that is (not) updated per use and learns at all; NULL. */
static const struct moka_param *first_learning(const struct moka_net *n, bool per_use)
{
	for (int i = 0; i < n->n_params; i++)
		if (is_shared(&n->params[i]) && n->params[i].per_use_update == per_use &&
		    (per_use || n->params[i].uses[0].lr_mult != 0))
			return &n->params[i];
	return NULL;
}

static void say_agreeing(struct moka__page *p, const struct moka_net *n, const struct rule *r)
{
	const struct moka_param *example = first_learning(n, false);
	int count = 0;

	for (int i = 0; i < n->n_params; i++)
		if (is_shared(&n->params[i]) && !n->params[i].per_use_update) {
			say_who(p, n, &n->params[i]);
			count++;
		}
	if (!count || !example)
		return;
	moka__page_para(
		p,
		"In back-propagation each use of %s finds its own gradient. The uses agree on their multipliers, so the gradients are summed "
		"and there is one update with the sum, as in BVLC Caffe. For %s, w being its values, g[layer] its gradients and h its history:",
		count == 1 ? "it" : "such a parameter", example->name);
	formula_one(p, n, example, r);
}

/*
 * ---- an update for each use
 * ---------------------------------------------------------------------------------------
 */

static void formula_each(struct moka__page *p, const struct moka_net *n, const struct moka_param *x,
			 const struct rule *r)
{
	for (int i = 0; i < x->n_uses && i < TERMS; i++) {
		const struct moka_param_use *u = &x->uses[i];
		const char *layer = layer_of(n, u), *rate = times_rate(p, r, (double)u->lr_mult);

		if (decays(r, (double)u->decay_mult))
			moka__page_formula(p, "h[%s] = %s × h[%s] + %s × (g[%s] + %s × w)", layer, r->momentum, layer,
					   rate, layer, times_decay(p, r, (double)u->decay_mult));
		else
			moka__page_formula(p, "h[%s] = %s × h[%s] + %s × g[%s]", layer, r->momentum, layer, rate,
					   layer);
	}
	if (x->n_uses > TERMS)
		moka__page_formula(p, "… and so on for its %d uses", x->n_uses);
	moka__page_formula(p, "w = w − (%s)", sum_of(p, n, x, "h"));
}

static double sum_of_mults(const struct moka_param *x)
{
	double sum = 0;

	for (int i = 0; i < x->n_uses; i++)
		sum += (double)x->uses[i].lr_mult;
	return sum;
}

static void say_differing(struct moka__page *p, const struct moka_net *n, const struct rule *r)
{
	const struct moka_param *example = first_learning(n, true);
	int count = 0;

	for (int i = 0; i < n->n_params; i++) {
		if (!is_shared(&n->params[i]) || !n->params[i].per_use_update)
			continue;
		say_who(p, n, &n->params[i]);
		if (count++ < FORMULAS)
			formula_each(p, n, &n->params[i], r);
	}
	if (!count)
		return;
	moka__page_para(
		p,
		"The uses of %s state different multipliers. So in back-propagation each use has an update of its own: g[layer] is the gradient "
		"that comes through that layer, h[layer] the history (momentum) of that use, with that use's lr_mult and decay_mult; then "
		"the updates are summed and taken from w, which both layers read. Were the gradients alike, %s would move by %s times "
		"what lr_mult 1 alone would.",
		count == 1 ? "this parameter" : "these parameters", example->name,
		moka__real(&p->arena, sum_of_mults(example)));
	moka__page_para(
		p,
		"This is how Caffe trained such a net until July 2015, and how Moka trains it. Since then BVLC Caffe refuses it "
		"(\"Shared param ... has mismatched lr_mult\"). If you want one update instead, state the same multipliers in each use, or in "
		"one use only (the others then take them): the gradients are summed and that multiplier holds.");
}

/*
 * ---- the section
 * ------------------------------------------------------------------------------------------------------
 */

void moka__sharing(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o)
{
	struct rule r = make_rule(p, o);
	const char *type = r.solver ? moka_get_string(r.solver, "type", "SGD") : "SGD";
	int shared = 0;

	for (int i = 0; i < n->n_params; i++)
		shared += is_shared(&n->params[i]);
	if (!shared)
		return;
	moka__page_section(p, "Shared parameters");
	moka__page_para(
		p,
		"%d %s used by more than one layer: layers whose param {} give the same name read one and the same array. Its owner decides "
		"its shape and its filler. A .caffemodel holds a copy under each of its layers.",
		shared, moka__plural(shared, "parameter is", "parameters are"));
	say_agreeing(p, n, &r);
	say_differing(p, n, &r);
	if (strcmp(type, "SGD"))
		moka__page_para(
			p, "The formulas are SGD's; %s does the same with its own rule, one state for each update.",
			type);
	else if (r.solver)
		moka__page_para(p, "The rates in the formulas are those of the first iteration.");
	else
		moka__page_para(
			p,
			"base_lr is the learning rate of the iteration: the solver's base_lr, as its lr_policy changes it. The formulas are "
			"SGD's; other solvers do the same with their own rule.");
}
