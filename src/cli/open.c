/*
 * open.c - what most commands do first: options -> model, net, weights, threads.
 *
 * Everything that a command holds of a net is in one struct cli_net, so that each way out of a command is the one
 * call cli_close(). What is wrong in the files goes to its findings; what is wrong in the call is printed.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

const char *cli_model_path(const struct cli_call *c)
{
	const char *path = cli_takes(c, "model") ? cli_get(c, "model") : NULL;

	if (path && c->n_words && cli_takes(c, "model") && c->command->max_words == 1) {
		cli_usage(c, "the model is given twice: --model %s and %s", path, c->words[0]);
		return NULL;
	}
	if (path)
		return path;
	if (c->n_words)
		return c->words[0];
	cli_usage(c, "which model? %s %s", c->name, c->command->usage);
	return NULL;
}

/* ---- what the net is built with ----------------------------------------------------------------- */

static bool read_inputs(struct cli_call *c, struct moka_net_options *o)
{
	int n = cli_count(c, "input");
	struct moka_net_input *inputs = MOKA_NEWN(&c->arena, n + 1, struct moka_net_input);

	if (!inputs)
		return false;
	for (int i = 0; i < n; i++) {
		const char *shape;
		if (!cli_pair(c, "input", cli_nth(c, "input", i), &inputs[i].blob, &shape) ||
		    !cli_shape(c, "input", shape, &inputs[i].shape))
			return false;
	}
	o->inputs = inputs;
	o->n_inputs = n;
	return true;
}

bool cli_net_options(struct cli_call *c, enum moka_phase otherwise, struct moka_net_options *o)
{
	static const char *const phases[] = { "train", "test", NULL };
	int phase = otherwise;
	int64_t level = 0;

	if (cli_takes(c, "phase") && !cli_choice(c, "phase", phases, otherwise, &phase))
		return false;
	o->phase = phase ? MOKA_TEST : MOKA_TRAIN;
	if (cli_takes(c, "level") && !cli_int(c, "level", INT32_MIN, INT32_MAX, 0, &level))
		return false;
	o->level = (int)level;
	if (cli_takes(c, "stage"))
		o->stages = cli_list(c, "stage", &o->n_stages);
	if (cli_takes(c, "input") && !read_inputs(c, o))
		return false;
	if (cli_takes(c, "batch") && !cli_int(c, "batch", 1, INT32_MAX, 0, &o->batch))
		return false;
	if (cli_takes(c, "strict"))
		o->strict = cli_switch(c, "strict", false);
	o->sources = moka_sources;
	o->registry = &c->registry;
	return true;
}

/* ---- opening ------------------------------------------------------------------------------------ */

static void ready_findings(struct cli_net *n)
{
	if (!n->findings_ready)
		moka_findings_init(&n->findings);
	n->findings_ready = true;
}

/* A failure that left no finding would be a silent one. */
static bool nothing(struct cli_net *n, const char *path, enum moka_status status)
{
	static const struct moka_loc nowhere = { 0 };

	if (!n->findings.errors)
		moka_find(&n->findings, MOKA_ERROR, "out-of-memory", nowhere,
			  status == MOKA_ERR_NOMEM ? "%s: there is not enough memory" : "%s: it can't be opened", path);
	return false;
}

void cli_solver_state(struct cli_call *c, const struct moka_model *solver, int test, struct moka_net_options *o)
{
	const struct moka_node *node = NULL, *stage = NULL;
	const struct moka_msg *state = NULL;
	const char **stages;

	if (test < 0)
		state = moka_get_msg(solver->root, "train_state");
	for (int i = 0; i <= test && (node = moka_next(solver->root, "test_state", node)); i++)
		state = i == test ? node->u.m : NULL;
	if (!state)
		return;
	o->level = o->level ? o->level : (int)moka_get_int(state, "level");
	stages = MOKA_NEWN(&c->arena, o->n_stages + moka_count(state, "stage") + 1, const char *);
	if (!stages)
		return;
	for (int i = 0; i < o->n_stages; i++)
		stages[i] = o->stages[i];
	while ((stage = moka_next(state, "stage", stage)))
		stages[o->n_stages++] = moka_arena_strndup(&c->arena, stage->u.s.p, stage->u.s.n);
	o->stages = stages;
}

bool cli_open_model(struct cli_call *c, const char *path, struct moka_net_options *o, struct cli_net *n)
{
	struct moka_model_options mo = { .expect = -1, .strict = o->strict };
	enum moka_status status;

	ready_findings(n);
	status = moka_model_open(&n->file, path, cli_schema(c), &mo, &n->findings);
	if (status)
		return nothing(n, path, status);
	n->model = n->file;
	if (n->file->kind == MOKA_MODEL_SOLVER) {
		n->model = NULL;
		status = moka_model_solver_net(n->file, o->phase == MOKA_TEST ? 0 : -1, cli_schema(c), &n->model,
					       &n->findings);
		if (status)
			return nothing(n, path, status);
		cli_solver_state(c, n->file, o->phase == MOKA_TEST ? 0 : -1, o);
	}
	return true;
}

bool cli_build_net(struct cli_net *n, const struct moka_net_options *o)
{
	enum moka_status status;

	moka_net_free(n->net);
	n->net = NULL;
	status = moka_net_build(&n->net, n->model, o, &n->findings);
	return status ? nothing(n, n->model->text.path, status) : true;
}

bool cli_open_net(struct cli_call *c, const char *path, struct moka_net_options *o, struct cli_net *n)
{
	return cli_open_model(c, path, o, n) && cli_build_net(n, o);
}

static enum moka_status load_again(void *arg, struct moka_net *net, struct moka_error *err)
{
	const struct cli_net *n = arg;

	return moka_net_load_again(net, n->weights, n->n_weights, err);
}

void cli_lend_weights(struct cli_net *n)
{
	moka_net_lend(n->net, load_again, n);
}

bool cli_load_weights(struct cli_call *c, struct cli_net *n, bool strict)
{
	int count;
	const char **paths = cli_list(c, "weights", &count);
	static const struct moka_loc nowhere = { 0 };
	struct moka_error err = { 0 };

	if (!paths)
		return false;
	if (count)
		n->weights = calloc((size_t)count, sizeof(*n->weights));
	if (count && !n->weights)
		return !cli_fail(c, NULL, "no memory");
	for (int i = 0; i < count; i++) {
		struct moka_weights *w;
		if (moka_weights_open(&w, paths[i], cli_schema(c), &err)) {
			moka_find(&n->findings, MOKA_ERROR, "weights-unreadable", nowhere, "%s", err.message);
			if (err.hint[0])
				moka_find_hint(&n->findings, "%s", err.hint);
			continue;
		}
		n->weights[n->n_weights++] = w;
		if (n->net && moka_net_load(n->net, w, strict, &n->findings) == MOKA_ERR_NOMEM)
			return !cli_fail(c, NULL, "no memory for the weights of '%s'", paths[i]);
	}
	return true;
}

bool cli_open_pool(struct cli_call *c, struct cli_net *n)
{
	int64_t threads;

	if (!cli_int(c, "threads", 1, 1024, 0, &threads))
		return false;
	n->pool = moka_pool_new((int)threads);
	return true;
}

void cli_close(struct cli_net *n)
{
	moka_net_free(n->net);
	for (int i = 0; i < n->n_weights; i++)
		moka_weights_free(n->weights[i]);
	free(n->weights);
	moka_model_free(n->file);
	moka_pool_free(n->pool);
	if (n->findings_ready)
		moka_findings_release(&n->findings);
	*n = (struct cli_net){ 0 };
}
