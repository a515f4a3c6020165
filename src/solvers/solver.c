/*
 * solver.c - a solver is made: its settings checked, its nets built, its weights and its state loaded.
 *
 * Everything that can be found wrong before the first iteration is found here: settings, nets, sources, the folder of the snapshots.
 */
#include "solvers/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ----------------------------------------------------------------------------- */

static struct moka_loc at(const struct moka_solver *s, const char *field)
{
	return moka_value_loc(s->root, moka_get(s->root, field));
}

static void check_rule(struct moka_solver *s, struct moka_findings *f)
{
	const char *type = moka_get_string(s->root, "type", "SGD"), *near = NULL;

	s->rule = moka__rule_find(type, &near);
	if (s->rule)
		return;
	moka_find(f, MOKA_ERROR, "unknown-solver", at(s, "type"), "there is no solver type '%s'", type);
	if (near)
		moka_find_hint(f, "did you mean '%s'?", near);
	else
		moka_find_hint(f, "SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam and AdamW are known");
}

static void check_policy(struct moka_solver *s, struct moka_findings *f)
{
	const char *policy = moka_get_string(s->root, "lr_policy", NULL), *near = NULL;

	if (!policy) {
		moka_find(f, MOKA_ERROR, "no-lr-policy", moka_msg_loc(s->root), "the solver gives no lr_policy");
		moka_find_hint(f, "add lr_policy: \"fixed\" to keep base_lr as it is");
	} else if (!moka_solver_policy_known(policy, &near)) {
		moka_find(f, MOKA_ERROR, "unknown-lr-policy", at(s, "lr_policy"), "there is no lr_policy '%s'", policy);
		moka_find_hint(
			f, near ? "did you mean '%s'?" : "fixed, step, exp, inv, multistep, poly and sigmoid are known",
			near);
	} else if (!strcmp(policy, "step") && moka_get_int(s->root, "stepsize") <= 0) {
		moka_find(f, MOKA_ERROR, "no-stepsize", at(s, "lr_policy"),
			  "lr_policy \"step\" needs a stepsize of at least 1");
	}
	if (!moka_has(s->root, "base_lr")) {
		moka_find(f, MOKA_ERROR, "no-base-lr", moka_msg_loc(s->root), "the solver gives no base_lr");
		moka_find_hint(f, "base_lr: 0.01 is a usual start for SGD");
	}
}

static void check_numbers(struct moka_solver *s, struct moka_findings *f)
{
	static const char *const positive[] = { "iter_size", "average_loss" };
	const char *reg = moka_get_string(s->root, "regularization_type", "L2");
	struct moka_rule_param *p = &s->rule_param;

	for (size_t i = 0; i < MOKA_COUNT(positive); i++)
		if (moka_get_int(s->root, positive[i]) < 1)
			moka_find(f, MOKA_ERROR, "bad-value", at(s, positive[i]), "%s must be at least 1", positive[i]);
	if (strcmp(reg, "L1") && strcmp(reg, "L2")) {
		moka_find(f, MOKA_ERROR, "bad-value", at(s, "regularization_type"),
			  "regularization_type is '%s', not L1 or L2", reg);
		moka_find_hint(f, "\"L2\" (weight decay) is the default");
	}
	if (moka_get_int(s->root, "solver_mode") == 1 && moka_has(s->root, "solver_mode"))
		moka_find(f, MOKA_NOTE, "cpu-only", at(s, "solver_mode"), "solver_mode GPU is run on the CPU");
	s->hdf5 = !moka_get_int(s->root, "snapshot_format");
	s->debug = moka_get_int(s->root, "debug_info");
	s->l1 = !strcmp(reg, "L1");
	s->weight_decay = moka_get_float(s->root, "weight_decay");
	s->clip = moka_get_float(s->root, "clip_gradients");
	s->iter_size = MOKA_MAX(1, moka_get_int(s->root, "iter_size"));
	s->recent_size = MOKA_MIN(MOKA_MAX(1, moka_get_int(s->root, "average_loss")), 1000000);
	p->momentum = (real)moka_get_float(s->root, "momentum");
	p->momentum2 = (real)moka_get_float(s->root, "momentum2");
	p->delta = (real)moka_get_float(s->root, "delta");
	p->rms_decay = (real)moka_get_float(s->root, "rms_decay");
	s->max_iter = s->o.max_iter >= 0 ? s->o.max_iter : moka_get_int(s->root, "max_iter");
	int64_t seed = s->o.seed >= 0 ? s->o.seed : moka_get_int(s->root, "random_seed");
	s->seed = seed >= 0 ? (uint64_t)seed : (uint64_t)(moka_now() * 1e6);
}

/* ---- nets --------------------------------------------------------------------------------- */

static void read_state(const struct moka_msg *state, struct moka_net_options *no, const char **stages, int max)
{
	if (!state)
		return;
	no->level = (int)moka_get_int(state, "level");
	if (moka_has(state, "phase"))
		no->phase = (enum moka_phase)moka_get_int(state, "phase");
	for (const struct moka_node *n = NULL; no->n_stages < max && (n = moka_next(state, "stage", n));)
		stages[no->n_stages++] = n->u.s.p;
	no->stages = stages;
}

/* What the command line adds to train_state: `caffe train` sets the level whenever it is given, and appends stages. */
static void add_stages(const struct moka_solver *s, struct moka_net_options *no, const char **stages, int max)
{
	if (s->o.level)
		no->level = s->o.level;
	for (int i = 0; i < s->o.n_stages && no->n_stages < max; i++)
		stages[no->n_stages++] = s->o.stages[i];
	no->stages = stages;
}

static enum moka_status build_net(struct moka_solver *s, int which, struct moka_net **net, struct moka_exec **exec,
				  struct moka_findings *f)
{
	const char *stages[64];
	struct moka_net_options no = { .phase = which < 0 ? MOKA_TRAIN : MOKA_TEST,
				       .for_run = true,
				       .backward = which < 0,
				       .sources = s->o.sources,
				       .registry = s->o.registry,
				       .skip_bad = s->o.skip_bad,
				       .read_threads = s->o.read_threads,
				       .seed = s->seed };
	/* debug_info looks at blobs between layers */
	struct moka_exec_options eo = { .keep = MOKA_KEEP_ALL,
					.backward = which < 0,
					.arrange = which < 0 && !s->debug,
					.late = which < 0 && moka__updates_at_once(s),
					.pool = s->o.pool,
					.seed = s->seed };
	const struct moka_msg *state = NULL;
	struct moka_model *m;
	struct moka_error err;

	MOKA_TRY(moka_model_solver_net(s->model, which, moka_registry_schema(s->o.registry), &m, f));
	if (which < 0) {
		state = moka_get_msg(s->root, "train_state");
	} else {
		const struct moka_node *n = NULL;
		for (int i = 0; i <= which && (n = moka_next(s->root, "test_state", n)); i++)
			state = i == which ? n->u.m : NULL;
	}
	read_state(state, &no, stages, (int)MOKA_COUNT(stages));
	if (which < 0)
		add_stages(s, &no, stages, (int)MOKA_COUNT(stages));
	MOKA_TRY(moka_net_build(net, m, &no, f));
	if (f->errors)
		return MOKA_ERR_MODEL;
	enum moka_status st = which < 0 ? moka_net_allocate(*net, s->seed, &err) : moka_net_share(*net, s->net, &err);
	if (!st)
		st = moka_exec_new(exec, *net, &eo, &err);
	if (st) {
		moka_find(f, MOKA_ERROR, "out-of-memory", (struct moka_loc){ &m->text, 0, 0 }, "%s", err.message);
		if (err.hint[0])
			moka_find_hint(f, "%s", err.hint);
	}
	return st;
}

/* As many test_iter as test nets (more only where `net` can stand in for the rest), and a test_state for each or none. */
static enum moka_status check_tests(struct moka_solver *s, int n, struct moka_findings *f)
{
	const int own = moka_count(s->root, "test_net_param") + moka_count(s->root, "test_net");
	const int states = moka_count(s->root, "test_state");
	const bool generic = moka_has(s->root, "net") || moka_has(s->root, "net_param");

	if (n < own || (n > own && !generic)) {
		moka_find(f, MOKA_ERROR, "test-iter-count", at(s, "test_iter"), "%d test_iter for %d test net%s", n,
			  own, own == 1 ? "" : "s");
		moka_find_hint(f, "give test_iter once for each test net, in their order");
		return MOKA_ERR_MODEL;
	}
	if (states && states != n) {
		moka_find(f, MOKA_ERROR, "test-state-count",
			  moka_node_loc(s->root, moka_next(s->root, "test_state", NULL)),
			  "%d test_state for %d test net%s", states, n, n == 1 ? "" : "s");
		moka_find_hint(f, "give test_state once for each test net, in their order, or not at all");
		return MOKA_ERR_MODEL;
	}
	return MOKA_OK;
}

static enum moka_status build_tests(struct moka_solver *s, struct moka_findings *f)
{
	int64_t iterations[MOKA_MAX_TEST_NETS];
	size_t n = moka_get_ints(s->root, "test_iter", iterations, MOKA_MAX_TEST_NETS);

	if (n > MOKA_MAX_TEST_NETS) {
		moka_find(f, MOKA_ERROR, "too-many-test-nets", at(s, "test_iter"),
			  "%zu test nets, at most %d are possible", n, MOKA_MAX_TEST_NETS);
		return MOKA_ERR_LIMIT;
	}
	if (n && !moka_get_int(s->root, "test_interval")) {
		moka_find(f, MOKA_WARNING, "no-test-interval", at(s, "test_iter"),
			  "test_iter is given without a test_interval: nothing is tested");
		moka_find_hint(f, "add test_interval: 500 to test every 500 iterations");
		return MOKA_OK;
	}
	MOKA_TRY(check_tests(s, (int)n, f));
	for (size_t i = 0; i < n; i++) {
		struct moka_test_net *t = &s->tests[i];

		MOKA_TRY(build_net(s, (int)i, &t->net, &t->exec, f));
		s->n_tests++;
		t->iterations = iterations[i];
		for (int k = 0; k < t->net->n_outputs; k++)
			t->n_sums += (int)moka_shape_count(&t->net->blobs[t->net->outputs[k]].shape);
		t->sums = MOKA_NEWN(&s->arena, t->n_sums + 1, double);
		if (!t->sums)
			return MOKA_ERR_NOMEM;
	}
	return MOKA_OK;
}

/* Samples of one pass: the first dimension of the first data blob. */
static int64_t batch_of(const struct moka_net *n)
{
	for (int i = 0; i < n->n_blobs; i++)
		if (n->blobs[i].producer >= 0 && n->blobs[i].shape.n > 0) {
			const struct moka_layer_type *t = n->layers[n->blobs[i].producer].l.type;
			if (t && (t->flags & MOKA_DATA))
				return n->blobs[i].shape.d[0];
		}
	return 1;
}

static enum moka_status begin(struct moka_solver *s, struct moka_findings *f)
{
	struct moka_error err = { 0 };

	check_rule(s, f);
	check_policy(s, f);
	check_numbers(s, f);
	MOKA_TRY(build_net(s, -1, &s->net, &s->exec, f));
	if (f->errors)
		return MOKA_ERR_MODEL;
	MOKA_TRY(build_tests(s, f));
	s->batch = batch_of(s->net);
	s->prefix = moka__snapshot_prefix(s);
	s->recent = MOKA_NEWN(&s->arena, s->recent_size, double);
	if (!s->recent || !s->prefix || moka__solver_slots(s, &err)) {
		moka_find(f, MOKA_ERROR, "out-of-memory", moka_msg_loc(s->root), "no memory for the solver's state");
		return MOKA_ERR_NOMEM;
	}
	moka__solver_check_snapshots(s, f);
	moka__keep_check(s, f);
	MOKA_TRY(moka__solver_weights(s, f));
	if (s->o.snapshot) {
		MOKA_TRY(moka__solver_restore(s, s->o.snapshot, f));
		if (moka__solver_seek(s, &err)) {
			moka_find(f, MOKA_ERROR, "data", moka_msg_loc(s->root), "%s", err.message);
			return err.status;
		}
	}
	return f->errors ? MOKA_ERR_MODEL : MOKA_OK;
}

enum moka_status moka_solver_new(struct moka_solver **out, struct moka_model *m, const struct moka_solver_options *o,
				 struct moka_findings *f)
{
	struct moka_solver *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return MOKA_ERR_NOMEM;
	moka_arena_init(&s->arena, 0);
	s->model = m;
	s->root = m->root;
	s->o = *o;
	s->best_net = -1;
	enum moka_status st = begin(s, f);
	if (st) {
		moka_solver_free(s);
		return st;
	}
	*out = s;
	return MOKA_OK;
}

void moka_solver_free(struct moka_solver *s)
{
	if (!s)
		return;
	for (int i = 0; i < MOKA_MAX_TEST_NETS; i++) {
		moka_exec_free(s->tests[i].exec);
		moka_net_free(s->tests[i].net);
	}
	moka_exec_free(s->exec);
	moka_net_free(s->net);
	free(s->history_block);
	free(s->last_state);
	free(s->kept);
	moka_arena_release(&s->arena);
	free(s);
}

bool moka_solver_seed(const struct moka_solver *s, uint64_t *seed)
{
	*seed = s->seed;
	return s->o.seed >= 0 || moka_get_int(s->root, "random_seed") >= 0;
}

int64_t moka_solver_iter(const struct moka_solver *s)
{
	return s->iter;
}

const struct moka_net *moka_solver_net(const struct moka_solver *s)
{
	return s->net;
}

int moka_solver_test_nets(const struct moka_solver *s)
{
	return s->n_tests;
}

const struct moka_net *moka_solver_test_net(const struct moka_solver *s, int which)
{
	return s->tests[which].net;
}

const char *moka_solver_last_snapshot(const struct moka_solver *s, int64_t *iter)
{
	*iter = s->last_state_iter;
	return s->last_state;
}

const char *moka_solver_prefix(const struct moka_solver *s)
{
	return s->prefix;
}
