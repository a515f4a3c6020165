/*
 * tables.c - layers; data blobs; parameter blobs; and which param {} of a layer speaks of which of its parameters.
 *
 * Data and parameters are never mixed: the first change with every sample, the second only in training.
 */
#include "internal.h"

#include <string.h>

/* ---- layers -------------------------------------------------------------------------------------------- */

static const char *output_text(struct moka__page *p, const struct moka_net *n, const struct moka_net_layer *nl)
{
	struct moka__names names;

	if (nl->in_place && nl->l.n_top == 1)
		return "in place";
	moka__names_begin(&names, 3);
	for (int i = 0; i < nl->l.n_top; i++)
		moka__names_add(&names, moka__shape(&p->arena, &n->blobs[nl->tops[i]].shape));
	return moka__names_end(&names, &p->arena);
}

/* "1,930"; "(1,930)" where all of them belong to another layer; "10 + (1,920)" where some do. */
static const char *params_text(struct moka__page *p, const struct moka_net *n, int layer)
{
	const struct moka_net_layer *nl = &n->layers[layer];
	int64_t own = 0, shared = 0;

	if (!nl->asked && !nl->is_input && !nl->l.n_param)
		return nl->l.type ? "" : "?";
	for (int i = 0; i < nl->l.n_param; i++) {
		const struct moka_param *x = &n->params[nl->params[i]];
		int64_t *sum = x->owner == layer ? &own : &shared;

		if (*sum < 0 || x->count < 0 || !moka_add(*sum, x->count, sum))
			*sum = -1;
	}
	if (!shared)
		return own ? moka__number(&p->arena, own) : "";
	if (!own)
		return moka__print(&p->arena, "(%s)", moka__number(&p->arena, shared));
	return moka__print(&p->arena, "%s + (%s)", moka__number(&p->arena, own), moka__number(&p->arena, shared));
}

static const char *macs_text(struct moka__page *p, const struct moka_net_layer *nl)
{
	if (nl->is_input)
		return "";
	if (!nl->asked || nl->l.macs < 0)
		return "?";
	return nl->l.macs ? moka__number(&p->arena, nl->l.macs) : "";
}

void moka__table_layers(struct moka__page *p, const struct moka_net *n)
{
	static const struct moka__column columns[] = {
		{ "layer", false, true, false },      { "type", false, true, false },
		{ "settings", false, true, true },    { "output", false, true, true },
		{ "parameters", true, false, false }, { "multiply-accumulates", true, false, false },
	};
	struct moka__table t;
	bool shared = false;

	moka__page_section(p, "Layers");
	moka__table_begin(&t, columns, MOKA_COUNT(columns));
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *nl = &n->layers[i];
		const char *params = params_text(p, n, i);

		shared |= strchr(params, '(') != NULL;
		moka__table_row(
			p, &t, moka__layer_name(nl),
			moka__print(&p->arena, "%s%s", moka__type(nl), nl->l.type || nl->is_input ? "" : " (unknown)"),
			nl->is_input ? "" : moka__settings(&p->arena, nl, true), output_text(p, n, nl), params,
			macs_text(p, nl));
	}
	moka__table_row(p, &t, "total", "", "", "", moka__number(&p->arena, n->total_params),
			moka__number(&p->arena, n->total_macs));
	moka__page_table(p, &t);
	if (shared)
		moka__page_para(
			p,
			"In brackets: parameters of another layer, which this one shares; the total counts them once.");
}

/* ---- data blobs -------------------------------------------------------------------------------------------- */

static bool works_in_place(const struct moka_net *n, int layer, int blob)
{
	const struct moka_net_layer *nl = &n->layers[layer];

	for (int i = 0; nl->in_place && i < nl->l.n_top; i++)
		if (nl->tops[i] == blob)
			return true;
	return false;
}

/* "conv1", "conv1, then relu1 in place"; . */
static const char *made_by(struct moka__page *p, const struct moka_net *n, int blob)
{
	const struct moka_blob *x = &n->blobs[blob];
	struct moka__names names;
	int in_place = 0;
	const char *maker, *list;

	moka__names_begin(&names, 3);
	for (int i = 0; i < x->n_consumers; i++)
		if (works_in_place(n, x->consumers[i], blob)) {
			moka__names_add(&names, moka__layer_name(&n->layers[x->consumers[i]]));
			in_place++;
		}
	list = moka__names_end(&names, &p->arena);
	maker = x->producer < 0 || x->is_input ? "(from outside)" : moka__layer_name(&n->layers[x->producer]);
	return in_place ? moka__print(&p->arena, "%s, then %s", maker, list) : maker;
}

static const char *taken_by(struct moka__page *p, const struct moka_net *n, int blob)
{
	const struct moka_blob *x = &n->blobs[blob];
	struct moka__names names;

	moka__names_begin(&names, 4);
	for (int i = 0; i < x->n_consumers; i++)
		if (!works_in_place(n, x->consumers[i], blob))
			moka__names_add(&names, moka__layer_name(&n->layers[x->consumers[i]]));
	return moka__names_end(&names, &p->arena);
}

static void data_rows(struct moka__page *p, const struct moka_net *n, struct moka__table *t, int kind)
{
	static const char *const kinds[] = { "input", "between", "output" };

	for (int i = 0; i < n->n_blobs; i++) {
		const struct moka_blob *x = &n->blobs[i];
		int mine = x->is_input ? 0 : x->is_output ? 2 : 1;

		if (mine == kind)
			moka__table_row(p, t, x->name, kinds[kind], moka__shape(&p->arena, &x->shape),
					moka__number(&p->arena, moka_shape_count(&x->shape)), made_by(p, n, i),
					taken_by(p, n, i));
	}
}

void moka__table_data(struct moka__page *p, const struct moka_net *n)
{
	static const struct moka__column columns[] = {
		{ "blob", false, true, false },	  { "kind", false, false, false },  { "shape", false, true, false },
		{ "values", true, false, false }, { "made by", false, true, true }, { "taken by", false, true, true },
	};
	struct moka__table t;

	moka__page_section(p, "Data blobs");
	moka__page_para(p, "What flows through the net: they change with every sample, and are gone after it.");
	moka__table_begin(&t, columns, MOKA_COUNT(columns));
	for (int kind = 0; kind < 3; kind++)
		data_rows(p, n, &t, kind);
	moka__page_table(p, &t);
}

/* ---- parameter blobs ----------------------------------------------------------------------------------------- */

static bool is_fixed(const struct moka_net *n, const struct moka_param_use *u)
{
	return n->layers[u->layer].l.params[u->index].fixed;
}

/* "10 × base_lr"; with a solver "0.1 = 10 × 0.01"; a star where the layer does not state it. */
static const char *rate_text(struct moka__page *p, const struct moka_net *n, const struct moka_param_use *u,
			     const struct moka_msg *solver)
{
	double mult = (double)u->lr_mult, base;
	const char *m = moka__real(&p->arena, mult), *star = u->lr_stated ? "" : " *";

	if (is_fixed(n, u))
		return "none: a statistic";
	if (mult == 0)
		return moka__print(&p->arena, "0: never changes%s", star);
	if (!solver)
		return moka__print(&p->arena, "%s × base_lr%s", m, star);
	base = moka_get_float(solver, "base_lr");
	return moka__print(&p->arena, "%s = %s × %s%s", moka__times_text(&p->arena, base, mult), m,
			   moka__real(&p->arena, base), star);
}

static const char *decay_text(struct moka__page *p, const struct moka_net *n, const struct moka_param_use *u,
			      const struct moka_msg *solver)
{
	const char *m = moka__real(&p->arena, (double)u->decay_mult), *star = u->decay_stated ? "" : " *";

	if (is_fixed(n, u))
		return "";
	if (!solver)
		return moka__print(&p->arena, "%s%s", m, star);
	return moka__print(&p->arena, "%s%s",
			   moka__times_text(&p->arena, moka_get_float(solver, "weight_decay"), (double)u->decay_mult),
			   star);
}

static const char *user_text(struct moka__page *p, const struct moka_net *n, const struct moka_param *x, int use)
{
	const char *layer = moka__layer_name(&n->layers[x->uses[use].layer]);

	if (x->n_uses == 1)
		return layer;
	return moka__print(&p->arena, use ? "shared by %s" : "owned by %s", layer);
}

static void param_rows(struct moka__page *p, const struct moka_net *n, const struct moka_param *x,
		       const struct moka_msg *solver, bool users, struct moka__table *t)
{
	for (int i = 0; i < x->n_uses; i++) {
		const struct moka_param_use *u = &x->uses[i];
		bool stated = u->index < moka_count(n->layers[u->layer].l.msg, "param"), first = i == 0;
		const char *name = first ? x->name : "", *role = first ? x->role : "";
		const char *shape = first ? moka__shape(&p->arena, &x->shape) : "",
			   *values = first ? moka__number(&p->arena, x->count) : "";
		const char *spec = stated ? moka__nth(u->index) : "", *rate = rate_text(p, n, u, solver),
			   *decay = decay_text(p, n, u, solver);

		if (users)
			moka__table_row(p, t, name, role, shape, values, user_text(p, n, x, i), spec, rate, decay);
		else
			moka__table_row(p, t, name, role, shape, values, spec, rate, decay);
	}
}

/* What a layer of one kind has: "1st weight, 2nd bias". */
static const char *roles_text(struct moka__page *p, const struct moka_net_layer *nl)
{
	struct moka__names names;

	moka__names_begin(&names, MOKA_LAYER_PARAMS);
	for (int i = 0; i < nl->l.n_param; i++)
		moka__names_add(&names, moka__print(&p->arena, "the %s param {} is for its %s", moka__nth(i),
						    nl->l.params[i].role));
	return moka__names_end(&names, &p->arena);
}

static bool same_roles(const struct moka_net_layer *a, const struct moka_net_layer *b)
{
	if (a->l.n_param != b->l.n_param || strcmp(moka__type(a), moka__type(b)))
		return false;
	for (int i = 0; i < a->l.n_param; i++)
		if (strcmp(a->l.params[i].role, b->l.params[i].role))
			return false;
	return true;
}

#define KINDS 24 /* of layers with parameters that are told apart */

/* For each kind of layer once: which param {} is whose. */
static void say_roles(struct moka__page *p, const struct moka_net *n)
{
	int first[KINDS], n_kinds = 0;

	for (int i = 0; i < n->n_layers && n_kinds < KINDS; i++) {
		int k = 0;

		if (!n->layers[i].l.n_param)
			continue;
		while (k < n_kinds && !same_roles(&n->layers[first[k]], &n->layers[i]))
			k++;
		if (k == n_kinds)
			first[n_kinds++] = i;
	}
	moka__page_para(
		p,
		"* not stated, so 1 (or what the other uses state). The param {} of a layer speak of its parameters in order, and "
		"there may be fewer of them:");
	for (int k = 0; k < n_kinds; k++) {
		struct moka__names names;

		moka__names_begin(&names, 5);
		for (int i = first[k]; i < n->n_layers; i++)
			if (same_roles(&n->layers[first[k]], &n->layers[i]))
				moka__names_add(&names, moka__layer_name(&n->layers[i]));
		moka__page_item(p, moka__type(&n->layers[first[k]]), "%s  [%s]", roles_text(p, &n->layers[first[k]]),
				moka__names_end(&names, &p->arena));
	}
}

/* A parameter that is called as a layer is: the likeliest thing to be misread. */
static void say_names(struct moka__page *p, const struct moka_net *n)
{
	for (int i = 0; i < n->n_params; i++)
		if (n->params[i].named && n->params[i].n_uses > 1 && moka_net_layer_index(n, n->params[i].name) >= 0) {
			moka__page_para(
				p,
				"%s is the name of a parameter and of a layer, which have nothing to do with each other: parameters, "
				"layers and blobs are named apart.",
				n->params[i].name);
			return;
		}
}

void moka__table_params(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o)
{
	static const struct moka__column with_users[] = {
		{ "parameter", false, true, false },	 { "role", false, true, false },
		{ "shape", false, true, false },	 { "values", true, false, false },
		{ "layer", false, true, false },	 { "param {}", false, false, false },
		{ "learning rate", false, true, false }, { "decay_mult", false, false, false },
	};
	static const struct moka__column alone[] = {
		{ "parameter", false, true, false },   { "role", false, true, false },
		{ "shape", false, true, false },       { "values", true, false, false },
		{ "param {}", false, false, false },   { "learning rate", false, true, false },
		{ "decay_mult", false, false, false },
	};
	const struct moka_msg *solver = moka__solver_msg(o);
	struct moka__column columns[MOKA_COUNT(with_users)];
	struct moka__table t;
	bool users = false;
	int n_columns;

	if (!n->n_params)
		return;
	for (int i = 0; i < n->n_params; i++)
		users |= n->params[i].named;
	n_columns = users ? MOKA_COUNT(with_users) : MOKA_COUNT(alone);
	memcpy(columns, users ? with_users : alone, (size_t)n_columns * sizeof(*columns));
	if (solver)
		columns[n_columns - 1].title = "weight decay";
	moka__page_section(p, "Parameter blobs");
	moka__page_para(
		p,
		"What is learned: they stay the same from sample to sample, change only in training, and are what a .caffemodel "
		"holds. A layer's parameters are called layer.0, layer.1 ... where the file gives them no name.");
	moka__table_begin(&t, columns, n_columns);
	for (int i = 0; i < n->n_params; i++)
		param_rows(p, n, &n->params[i], solver, users, &t);
	moka__page_table(p, &t);
	say_roles(p, n);
	if (!solver)
		moka__page_para(
			p,
			"base_lr is the solver's, which is another file: explain that file to see the rates in numbers.");
	else
		moka__page_para(
			p, "The learning rates are those of the first iteration; how they go on is below, in Solver.");
	say_names(p, n);
}
