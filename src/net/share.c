/*
 * share.c - which layers use one parameter, and by which rule it is updated.
 *
 * Layers that give a parameter the same name share one array; the first is its owner. Multipliers that the uses state and agree
 * on (a silent use takes what the others state) mean one update with the summed gradient: today's Caffe. Where uses
 * state different ones, each has its own gradient, multipliers and history, and the updates are summed: Caffe before July 2015.
 */
#include "net/internal.h"

#include <string.h>

/* The param {} line of parameter i; NULL where the layer has fewer. */
static const struct moka_node *spec_node(const struct moka_net_layer *nl, int i)
{
	const struct moka_node *n = moka_next(nl->l.msg, "param", NULL);

	for (; n && i > 0; i--)
		n = moka_next(nl->l.msg, "param", n);
	return n;
}

static const struct moka_msg *spec(const struct moka_net_layer *nl, int i)
{
	const struct moka_node *n = spec_node(nl, i);

	return n && n->kind == MOKA_NODE_MESSAGE ? n->u.m : NULL;
}

/* ---- what a layer has where its shape() could not say -------------------------------------------------------- */

/* A layer of unknown type, or whose bottoms are unknown, has at least the parameters that its param {} lines speak of. */
static void assume_params(struct moka_net_layer *nl)
{
	static const char *const roles[] = { "weight", "bias" };
	int n = MOKA_MIN(moka_count(nl->l.msg, "param"), MOKA_LAYER_PARAMS);

	for (int i = nl->l.n_param; i < n; i++)
		moka_layer_param(&nl->l, i < 2 ? roles[i] : "blob", (struct moka_shape){ .n = -1 }, NULL);
}

static void count_specs(struct moka__build *b, struct moka_net_layer *nl)
{
	int stated = moka_count(nl->l.msg, "param");

	if (!nl->asked && !nl->is_input) {
		if (!nl->counts_wrong)
			assume_params(nl);
		return;
	}
	if (stated <= nl->l.n_param)
		return;
	moka__say(b, b->o->strict ? MOKA_ERROR : MOKA_WARNING, "too-many-params",
		  moka_node_loc(nl->l.msg, spec_node(nl, nl->l.n_param)), nl->l.name, nl->type_name,
		  "%d param {} for %d parameter%s: the rest means nothing", stated, nl->l.n_param,
		  nl->l.n_param == 1 ? "" : "s");
	moka_find_hint(b->f, "BVLC Caffe refuses the net; delete the surplus param {}");
}

/* ---- who shares with whom --------------------------------------------------------------------------------------- */

static const char *param_name(struct moka__build *b, const struct moka_net_layer *nl, int i, bool *named)
{
	const struct moka_msg *s = spec(nl, i);
	const char *name = s ? moka_get_string(s, "name", "") : "";

	*named = *name;
	name = *named ? moka_arena_strdup(&b->n->arena, name) : moka_arena_printf(&b->n->arena, "%s.%d", nl->l.name, i);
	if (!name)
		b->no_memory = true;
	return name;
}

static bool permissive(const struct moka_net_layer *nl, int i)
{
	const struct moka_msg *s = spec(nl, i);

	return s && moka_get_int(s, "share_mode") == 1;
}

/* Whether parameter i of layer can be the array that `p` is; a finding where not. */
static bool shapes_agree(struct moka__build *b, const struct moka_net_layer *nl, int i, const struct moka_param *p)
{
	const struct moka_shape *mine = &nl->l.params[i].shape;
	const struct moka_net_layer *owner = &b->n->layers[p->owner];
	char mine_text[MOKA_SHAPE_TEXT], owner_text[MOKA_SHAPE_TEXT], line[32];
	bool lax = permissive(nl, i);

	if (!moka_shape_known(mine) || !moka_shape_known(&p->shape))
		return true;
	if (lax ? moka_shape_count(mine) == moka_shape_count(&p->shape) : moka_shape_equal(mine, &p->shape))
		return true;
	moka__say(b, MOKA_ERROR, "shared-shape", moka_node_loc(nl->l.msg, spec_node(nl, i)), nl->l.name, nl->type_name,
		  "shares parameter '%.200s' as %s, but layer '%.200s'%s, its owner, has it as %s%s", p->name,
		  moka_shape_text(mine, mine_text, sizeof(mine_text)), owner->l.name,
		  moka__at_line(owner->loc, line, sizeof(line)),
		  moka_shape_text(&p->shape, owner_text, sizeof(owner_text)), lax ? ": not even as many values" : "");
	if (!lax && moka_shape_count(mine) == moka_shape_count(&p->shape))
		moka_find_hint(b->f, "as many values in another shape are shared with share_mode: PERMISSIVE");
	else
		moka_find_hint(
			b->f,
			"layers that share a parameter need inputs and outputs of one size; rename one of the parameters");
	return false;
}

static int new_param(struct moka__build *b, int layer, int i, const char *name, bool named)
{
	struct moka_net *n = b->n;
	const struct moka_net_layer *nl = &n->layers[layer];

	n->params[n->n_params] = (struct moka_param){ .name = name,
						      .named = named,
						      .role = nl->l.params[i].role,
						      .shape = nl->l.params[i].shape,
						      .owner = layer,
						      .filler = nl->l.params[i].filler };
	return n->n_params++;
}

static void assign(struct moka__build *b, int layer, int i, struct moka_map *by_name)
{
	struct moka_net_layer *nl = &b->n->layers[layer];
	bool named;
	const char *name = param_name(b, nl, i, &named);
	int p = named && name ? moka__index(by_name, name) : -1;

	if (!name)
		return;
	if (p >= 0 && !shapes_agree(b, nl, i, &b->n->params[p]))
		p = -2; /* keeps its name, shares nothing */
	if (p < 0) {
		bool first = p == -1;

		p = new_param(b, layer, i, name, named);
		if (named && first)
			moka__put(b, by_name, name, p);
	} else if (!moka_shape_known(&b->n->params[p].shape)) {
		b->n->params[p].shape = nl->l.params[i].shape;
	}
	nl->params[i] = p;
	nl->param_uses[i] = b->n->params[p].n_uses++;
}

/* ---- multipliers -------------------------------------------------------------------------------------------------- */

static void read_use(struct moka_param_use *u, const struct moka_net_layer *nl, int layer, int i)
{
	const struct moka_node *n = spec_node(nl, i);
	const struct moka_msg *s = spec(nl, i);

	*u = (struct moka_param_use){ .layer = layer, .index = i, .lr_mult = 1, .decay_mult = 1 };
	u->loc = n ? moka_node_loc(nl->l.msg, n) : nl->loc;
	if (!s)
		return;
	u->lr_stated = moka_has(s, "lr_mult");
	u->decay_stated = moka_has(s, "decay_mult");
	u->lr_mult = (float)moka_get_float(s, "lr_mult");
	u->decay_mult = (float)moka_get_float(s, "decay_mult");
}

/* The first parameter that a layer states a multiplier other than 0 for: one word a layer is enough. */
static int first_learning(const struct moka_net_layer *nl)
{
	for (int i = 0; i < nl->l.n_param; i++)
		if (spec(nl, i) && moka_has(spec(nl, i), "lr_mult") && moka_get_float(spec(nl, i), "lr_mult") != 0)
			return i;
	return -1;
}

/* Statistics (BatchNorm's) never learn; a net that says they do is told. */
static void fix_use(struct moka__build *b, struct moka_param_use *u)
{
	const struct moka_net_layer *nl = &b->n->layers[u->layer];

	if (!nl->l.params[u->index].fixed)
		return;
	if (u->lr_stated && u->lr_mult != 0 && first_learning(nl) == u->index) {
		moka__say(b, MOKA_WARNING, "fixed-lr-mult", u->loc, nl->l.name, nl->type_name,
			  "lr_mult %g for '%s', which is a statistic and no solver may touch: taken as 0",
			  (double)u->lr_mult, nl->l.params[u->index].role);
		moka_find_hint(b->f, "delete the param {}, or write lr_mult: 0");
	}
	u->lr_mult = u->decay_mult = 0;
	u->lr_stated = u->decay_stated = true;
}

/* The first two uses that state different values of a multiplier; false: all that state one agree. *value: what is stated (1 if nothing is). */
static bool differ(const struct moka_param *p, bool decay, int pair[2], float *value)
{
	int first = -1;

	*value = 1;
	for (int i = 0; i < p->n_uses; i++) {
		const struct moka_param_use *u = &p->uses[i];

		if (!(decay ? u->decay_stated : u->lr_stated))
			continue;
		if (first < 0) {
			first = i;
			*value = decay ? u->decay_mult : u->lr_mult;
		} else if ((decay ? u->decay_mult : u->lr_mult) != *value) {
			pair[0] = first;
			pair[1] = i;
			return true;
		}
	}
	return false;
}

static void say_differ(struct moka__build *b, const struct moka_param *p, const char *what, const int pair[2],
		       bool decay)
{
	const struct moka_param_use *a = &p->uses[pair[0]], *z = &p->uses[pair[1]];
	const struct moka_net_layer *la = &b->n->layers[a->layer], *lz = &b->n->layers[z->layer];
	char line[32];

	moka__say(
		b, MOKA_WARNING, decay ? "shared-decay-mult" : "shared-lr-mult", z->loc, lz->l.name, lz->type_name,
		"shares parameter '%.200s' with %s %g, but layer '%.200s'%s uses it with %s %g. Moka trains it by the rule of Caffe before July "
		"2015: each of the %d uses has its own gradient, multipliers and history, and their updates are summed",
		p->name, what, (double)(decay ? z->decay_mult : z->lr_mult), la->l.name,
		moka__at_line(a->loc, line, sizeof(line)), what, (double)(decay ? a->decay_mult : a->lr_mult),
		p->n_uses);
	moka_find_hint(
		b->f,
		"BVLC Caffe since then refuses the net (\"mismatched %s\"). State the same %s in each, or in one only, for one update "
		"with the summed gradient",
		what, what);
}

static void settle(struct moka__build *b, struct moka_param *p)
{
	int lr_pair[2], decay_pair[2];
	float lr, decay;
	bool lr_differs = differ(p, false, lr_pair, &lr), decay_differs = differ(p, true, decay_pair, &decay);

	if (lr_differs)
		say_differ(b, p, "lr_mult", lr_pair, false);
	if (decay_differs)
		say_differ(b, p, "decay_mult", decay_pair, true);
	p->per_use_update = lr_differs || decay_differs;
	p->count = moka_shape_count(&p->shape);
	for (int i = 0; i < p->n_uses; i++) {
		struct moka_param_use *u = &p->uses[i];

		if (!u->lr_stated && !lr_differs)
			u->lr_mult = lr;
		if (!u->decay_stated && !decay_differs)
			u->decay_mult = decay;
	}
}

static bool make_uses(struct moka__build *b, int total)
{
	struct moka_net *n = b->n;
	struct moka_param_use *all = MOKA_NEWN(&n->arena, total + 1, struct moka_param_use);

	if (!all)
		return false;
	for (int p = 0; p < n->n_params; p++) {
		n->params[p].uses = all;
		all += n->params[p].n_uses;
	}
	for (int i = 0; i < n->n_layers; i++)
		for (int k = 0; k < n->layers[i].l.n_param; k++) {
			struct moka_param_use *u = &n->params[n->layers[i].params[k]].uses[n->layers[i].param_uses[k]];

			read_use(u, &n->layers[i], i, k);
			fix_use(b, u);
		}
	return true;
}

void moka__share(struct moka__build *b)
{
	struct moka_net *n = b->n;
	struct moka_map by_name;
	int total = 0;

	for (int i = 0; i < n->n_layers; i++) {
		struct moka_net_layer *nl = &n->layers[i];

		count_specs(b, nl);
		total += nl->l.n_param;
		nl->params = MOKA_NEWN(&n->arena, nl->l.n_param + 1, int);
		nl->param_uses = MOKA_NEWN(&n->arena, nl->l.n_param + 1, int);
		b->no_memory |= !nl->params || !nl->param_uses;
	}
	n->params = MOKA_NEWN(&n->arena, total + 1, struct moka_param);
	if (b->no_memory || !n->params) {
		b->no_memory = true;
		return;
	}
	moka_map_init(&by_name);
	for (int i = 0; i < n->n_layers && !b->no_memory; i++)
		for (int k = 0; k < n->layers[i].l.n_param && !b->no_memory; k++)
			assign(b, i, k, &by_name);
	moka_map_release(&by_name);
	if (b->no_memory || !make_uses(b, total)) {
		b->no_memory = true;
		return;
	}
	for (int p = 0; p < n->n_params; p++)
		settle(b, &n->params[p]);
}
