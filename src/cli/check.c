/*
 * moka check - is the model right? All findings of a net at once, and how its weights fit.
 *
 * A net is checked in every phase that it is made for: in the one that --phase says, else in those for which it has data;
 * a solver file with the nets it names. The findings of all of them are one list, each kept once.
 */
#include "cli.h"
#include "solvers/solver.h"

#include <string.h>

/* ---- which phases ------------------------------------------------------------------------------- */

/* Bits 1 << phase that the include rules of layers without bottoms (those that make data) name; both where none does. */
static unsigned phases_with_data(const struct moka_model *m)
{
	unsigned found = 0;

	for (int i = 0; i < m->n_layers; i++) {
		const struct moka_msg *layer = m->layers[i].msg;
		const struct moka_node *rule = NULL;
		if (moka_has(layer, "bottom"))
			continue;
		while ((rule = moka_next(layer, "include", rule)))
			if (rule->kind == MOKA_NODE_MESSAGE && moka_has(rule->u.m, "phase"))
				found |= 1u << (moka_get_int(rule->u.m, "phase") & 1);
	}
	return found ? found : 1u << MOKA_TRAIN | 1u << MOKA_TEST;
}

/* Takes over findings that were made apart; what both phases have is kept once. */
static void adopt(struct moka_findings *f, const struct moka_findings *from)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct moka_finding *x = &from->items[i];
		moka_find(f, x->severity, x->code, x->loc, "%s", x->message);
		if (x->hint)
			moka_find_hint(f, "%s", x->hint);
	}
	f->dropped += from->dropped;
}

/* Each net's findings are made apart: whoever builds it looks whether there were new ones. */
static void check_net(struct cli_net *n, struct moka_model *m, const struct moka_net_options *o)
{
	struct moka_findings own;

	moka_findings_init(&own);
	n->model = m;
	moka_net_free(n->net);
	n->net = NULL;
	if (moka_net_build(&n->net, m, o, &own))
		n->net = NULL;
	adopt(&n->findings, &own);
	moka_findings_release(&own);
}

/* Leaves the last net that could be built in n->net: that of phase test where there is one. */
static void check_phases(struct cli_call *c, struct cli_net *n, struct moka_net_options o)
{
	unsigned phases = cli_has(c, "phase") ? 1u << o.phase : phases_with_data(n->file);

	for (int phase = MOKA_TRAIN; phase <= MOKA_TEST; phase++) {
		if (!(phases & 1u << phase))
			continue;
		o.phase = phase;
		check_net(n, n->file, &o);
	}
}

/* ---- solvers ------------------------------------------------------------------------------------- */

static void check_policy(const struct moka_msg *solver, struct moka_findings *f)
{
	const struct moka_node *n = moka_get(solver, "lr_policy");
	const char *policy = moka_get_string(solver, "lr_policy", NULL), *nearest = NULL;

	if (!policy || moka_solver_policy_known(policy, &nearest))
		return;
	moka_find(f, MOKA_ERROR, "unknown-lr-policy", moka_value_loc(solver, n), "there is no lr_policy '%s'", policy);
	if (nearest)
		moka_find_hint(f, "did you mean '%s'?", nearest);
	else
		moka_find_hint(f, "one of fixed, step, exp, inv, multistep, poly, sigmoid");
}

static void check_rule(const struct moka_msg *solver, struct moka_findings *f)
{
	const struct moka_node *n = moka_get(solver, "type");
	const char *type = moka_get_string(solver, "type", NULL);
	struct moka_nearest nearest = { 0 };

	for (int i = 0; type && moka_solver_rules[i]; i++) {
		if (!strcmp(moka_solver_rules[i]->name, type))
			return;
		moka_nearest_try(&nearest, type, moka_solver_rules[i]->name);
	}
	if (!type)
		return;
	moka_find(f, MOKA_ERROR, "unknown-solver-type", moka_value_loc(solver, n), "there is no solver type '%s'",
		  type);
	if (nearest.best)
		moka_find_hint(f, "did you mean '%s'?", nearest.best);
	else
		moka_find_hint(f, "one of SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam");
}

static bool names_a_net(const struct moka_msg *solver)
{
	return moka_has(solver, "net") || moka_has(solver, "net_param") || moka_has(solver, "train_net") ||
	       moka_has(solver, "train_net_param");
}

/* The training net and every test net. */
static void check_solver(struct cli_call *c, struct cli_net *n, struct moka_net_options o)
{
	int tests = MOKA_MIN(moka_count(n->file->root, "test_iter"), 1000);

	check_policy(n->file->root, &n->findings);
	check_rule(n->file->root, &n->findings);
	for (int which = -1; which < tests; which++) {
		struct moka_net_options own = o;
		struct moka_model *m;
		own.phase = which < 0 ? MOKA_TRAIN : MOKA_TEST;
		if (cli_has(c, "phase") && own.phase != o.phase)
			continue;
		if (moka_model_solver_net(n->file, which, cli_schema(c), &m, &n->findings)) {
			if (which < 0 && !names_a_net(n->file->root))
				return; /* said once is enough */
			continue;
		}
		cli_solver_state(c, n->file, which, &own);
		check_net(n, m, &own);
	}
}

/* ---- what the weights did ------------------------------------------------------------------------ */

enum fate { TAKEN, AT_FILLERS, UNUSED };
static const char *const fate_keys[] = { "taken", "at_fillers", "unused" };

/* Whether layer l has parameters, and each came from w (or, with `fillers`, some came from no file at all). */
static bool layer_is(const struct moka_net *net, const struct moka_net_layer *l, const struct moka_weights *w,
		     bool fillers)
{
	int here = 0, nowhere = 0;

	for (int i = 0; i < l->l.n_param; i++) {
		const char *from = net->params[l->params[i]].from;
		here += from == w->path;
		nowhere += !from;
	}
	return fillers ? nowhere > 0 : here > 0 && here == l->l.n_param;
}

/* The names of one fate, one after another; false behind the last. */
static bool next_of(const struct moka_net *net, const struct moka_weights *w, enum fate fate, int *at,
		    const char **name)
{
	int i;

	while (fate != UNUSED && *at < net->n_layers) {
		i = (*at)++;
		*name = net->layers[i].l.name;
		if (layer_is(net, &net->layers[i], w, fate == AT_FILLERS))
			return true;
	}
	while (fate == UNUSED && *at < w->n_layers) {
		i = (*at)++;
		*name = w->layers[i].name;
		if (w->layers[i].n_blobs && !w->layers[i].used)
			return true;
	}
	return false;
}

static void fate_text(const struct moka_net *net, const struct moka_weights *w, enum fate fate, struct moka_buf *out)
{
	static const char *const words[] = { "took weights", "left at their fillers", "of the file not used" };
	const char *name;
	int at = 0, n = 0, width = cli_width(), column;

	while (next_of(net, w, fate, &at, &name))
		n++;
	moka_buf_printf(out, "  %d %s%s", n, words[fate], n ? ":" : "\n");
	column = width;
	for (at = 0; n && next_of(net, w, fate, &at, &name);) {
		if (column + 2 + (int)strlen(name) > width) {
			moka_buf_puts(out, "\n     ");
			column = 5;
		}
		moka_buf_printf(out, " %s", name);
		column += 1 + (int)strlen(name);
	}
	if (n)
		moka_buf_putc(out, '\n');
}

static void weights_text(const struct cli_net *n, struct moka_buf *out)
{
	for (int i = 0; n->net && i < n->n_weights; i++) {
		moka_buf_printf(out, "%s: layers that\n", n->weights[i]->path);
		for (int fate = TAKEN; fate <= UNUSED; fate++)
			fate_text(n->net, n->weights[i], fate, out);
	}
}

static void weights_json(const struct cli_net *n, struct moka_buf *out)
{
	for (int i = 0; n->net && i < n->n_weights; i++) {
		moka_buf_puts(out, i ? ",\n  {\"file\": " : ",\n \"weights\": [\n  {\"file\": ");
		moka_buf_json_string(out, n->weights[i]->path);
		for (int fate = TAKEN; fate <= UNUSED; fate++) {
			const char *name, *comma = "";
			moka_buf_printf(out, ", \"%s\": [", fate_keys[fate]);
			for (int at = 0; next_of(n->net, n->weights[i], fate, &at, &name); comma = ", ") {
				moka_buf_puts(out, comma);
				moka_buf_json_string(out, name);
			}
			moka_buf_putc(out, ']');
		}
		moka_buf_puts(out, i + 1 < n->n_weights ? "}" : "}\n ]");
	}
}

/* ---- the command --------------------------------------------------------------------------------- */

static void make_text(struct cli_net *n, const char *path, struct moka_buf *out)
{
	cli_findings_text(&n->findings, MOKA_NOTE, cli_colour(stdout), out);
	weights_text(n, out);
	if (!n->findings.errors && !n->findings.warnings)
		moka_buf_printf(out, "%s: nothing wrong\n", path);
}

static void make_json(struct cli_net *n, struct moka_buf *out)
{
	moka_findings_sort(&n->findings);
	moka_buf_puts(out, "{\"findings\": [");
	for (size_t i = 0; i < n->findings.n; i++) {
		moka_buf_puts(out, i ? ",\n  " : "\n  ");
		moka_finding_json(&n->findings.items[i], out);
	}
	moka_buf_puts(out, n->findings.n ? "\n ]" : "]");
	weights_json(n, out);
	moka_buf_puts(out, "}\n");
}

/* false: no memory (printed). */
static bool look(struct cli_call *c, struct cli_net *n, struct moka_net_options *o)
{
	struct moka_model_options mo = { .expect = -1, .strict = o->strict };

	moka_findings_init(&n->findings);
	n->findings_ready = true;
	if (moka_model_open(&n->file, c->words[0], cli_schema(c), &mo, &n->findings)) {
		n->file = NULL;
		return true;
	}
	if (n->file->kind == MOKA_MODEL_SOLVER)
		check_solver(c, n, *o);
	else
		check_phases(c, n, *o);
	return cli_load_weights(c, n, o->strict);
}

static int check_run(struct cli_call *c)
{
	static const char *const formats[] = { "text", "json", NULL };
	struct moka_net_options o = { 0 };
	struct cli_net n = { 0 };
	struct moka_buf out;
	int json, status = CLI_FAILED;

	if (!cli_choice(c, "format", formats, 0, &json) || !cli_net_options(c, MOKA_TEST, &o))
		return CLI_USAGE;
	moka_buf_init(&out, 0);
	if (look(c, &n, &o)) {
		if (json)
			make_json(&n, &out);
		else
			make_text(&n, c->words[0], &out);
		status = cli_output(c, NULL, &out);
		if (!status && (n.findings.errors || !n.file))
			status = CLI_FAILED;
	}
	moka_buf_release(&out);
	cli_close(&n);
	return status;
}

static const struct cli_option check_options[] = {
	{ "weights", 'w', "FILE", "weights to check against the net; repeat for several", CLI_REPEAT },
	CLI_OPTIONS_NET("which phase's net (default: each that has data)"),
	{ "batch", 0, "N", "first dimension of every input", 0 },
	{ "strict", 0, NULL, "unknown fields and layer types are errors", 0 },
	CLI_OPTION_FORMAT("text|json"),
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_check = {
	.name = "check",
	.summary = "is it right? every finding of a net or solver, with places and hints",
	.usage = "MODEL [-w WEIGHTS] [options]",
	.about =
		"Reports what is wrong or remarkable in a net, or in a solver and the nets it names: file:line:column, what, the\n"
		"line itself, and what to do. With -w also which layers take weights, which stay at their fillers, which layers of\n"
		"the file are not used, and every shape that does not fit. The exit status is 1 where there is an error.",
	.examples = "moka check train_val.prototxt\n"
		    "moka check deploy.prototxt -w trained.caffemodel\n"
		    "moka check solver.prototxt --format json\n",
	.options = check_options,
	.min_words = 1,
	.max_words = 1,
	.run = check_run,
};
