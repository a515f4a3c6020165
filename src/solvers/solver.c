/*
 * solver.c - the training loop: nets, tests, schedule, displays, snapshots, requests from outside.
 *
 * One iteration as BVLC Caffe's Solver::Step: test where due, clear gradients, iter_size times forward and backward, display,
 * update, count, snapshot where due.
 */
#include "solvers/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void moka__solver_event(struct moka_solver *s, struct moka_solver_event *e)
{
	e->iter = s->iter;
	e->max_iter = s->max_iter;
	e->seconds = moka_now() - s->started;
	e->smoothed_loss = s->smoothed;
	if (s->trained_seconds > 0)
		e->samples_per_second = (double)s->n_recent * (double)(s->batch * s->iter_size) / s->trained_seconds;
	if (s->o.on_event)
		s->o.on_event(s->o.arg, e);
}

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
		moka_find_hint(f, "SGD, Nesterov, AdaGrad, RMSProp, AdaDelta and Adam are known");
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
	if (!moka_get_int(s->root, "snapshot_format") && moka_has(s->root, "snapshot_format"))
		moka_find(f, MOKA_ERROR, "snapshot-format", at(s, "snapshot_format"),
			  "snapshots in HDF5 can't be written yet; snapshot_format: BINARYPROTO can");
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
	for (const struct moka_node *n = NULL; no->n_stages < max && (n = moka_next(state, "stage", n));)
		stages[no->n_stages++] = n->u.s.p;
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
				       .seed = s->seed };
	struct moka_exec_options eo = {
		.keep = MOKA_KEEP_ALL, .backward = which < 0, .pool = s->o.pool, .seed = s->seed
	};
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

static enum moka_status load_weights(struct moka_solver *s, const char *path, struct moka_findings *f)
{
	struct moka_weights *w;
	struct moka_error err;
	struct moka_text *text = MOKA_NEW(&f->arena, struct moka_text); /* findings outlive the solver */

	if (!text)
		return MOKA_ERR_NOMEM;
	text->path = path;
	if (moka_weights_open(&w, path, moka_registry_schema(s->o.registry), &err)) {
		moka_find(f, MOKA_ERROR, "weights", (struct moka_loc){ text, 0, 0 }, "%s", err.message);
		if (err.hint[0])
			moka_find_hint(f, "%s", err.hint);
		return err.status;
	}
	enum moka_status st = moka_net_load(s->net, w, false, f);
	moka_weights_free(w);
	return st;
}

/* After a resume the data goes on where the snapshot stopped, so that a resumed run is the run that was interrupted. */
static enum moka_status seek_data(struct moka_solver *s, struct moka_error *err)
{
	for (int i = 0; i < s->net->n_layers; i++) {
		const struct moka_layer *l = &s->net->layers[i].l;

		if (l->source && l->source_ops && l->source_ops->seek)
			MOKA_TRY(l->source_ops->seek(l->source, (uint64_t)(s->iter * s->iter_size), err));
	}
	return MOKA_OK;
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
	s->recent = MOKA_NEWN(&s->arena, s->recent_size, double);
	if (!s->recent || moka__solver_slots(s, &err)) {
		moka_find(f, MOKA_ERROR, "out-of-memory", moka_msg_loc(s->root), "no memory for the solver's state");
		return MOKA_ERR_NOMEM;
	}
	moka__solver_check_snapshots(s, f);
	for (int i = 0; i < s->o.n_weights; i++)
		MOKA_TRY(load_weights(s, s->o.weights[i], f));
	if (s->o.snapshot) {
		MOKA_TRY(moka__solver_restore(s, s->o.snapshot, f));
		if (seek_data(s, &err)) {
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
	moka_arena_release(&s->arena);
	free(s);
}

int64_t moka_solver_iter(const struct moka_solver *s)
{
	return s->iter;
}

const struct moka_net *moka_solver_net(const struct moka_solver *s)
{
	return s->net;
}

/* ---- the loop ----------------------------------------------------------------------------- */

/* The outputs of a net, a value each, for events. `sums` NULL: as they are now. */
static int collect_outputs(struct moka_net *n, struct moka_exec *e, const double *means, struct moka_solver_output *out,
			   int max)
{
	int k = 0, at_value = 0;

	for (int i = 0; i < n->n_outputs; i++) {
		const struct moka_blob *b = &n->blobs[n->outputs[i]];
		const real *v = moka_exec_data(e, n->outputs[i]);
		int64_t count = moka_shape_count(&b->shape);
		real weight = b->producer >= 0 && n->layers[b->producer].loss_weight
				      ? (real)n->layers[b->producer].loss_weight[b->producer_top]
				      : 0;

		for (int64_t j = 0; j < count; j++, at_value++)
			if (k < max)
				out[k++] = (struct moka_solver_output){ b->name, j,
									means ? (real)means[at_value] : v[j], weight };
	}
	return k;
}

#define MAX_OUTPUTS 256

static enum moka_status run_test(struct moka_solver *s, int which, struct moka_error *err)
{
	struct moka_test_net *t = &s->tests[which];
	struct moka_solver_output outputs[MAX_OUTPUTS];
	struct moka_solver_event e = { .kind = MOKA_EVENT_TEST, .net = which, .outputs = outputs };
	double loss = 0;

	memset(t->sums, 0, (size_t)t->n_sums * sizeof(double));
	for (int64_t i = 0; i < t->iterations; i++) {
		real one;
		int k = 0;

		if (s->o.request && *s->o.request == MOKA_REQUEST_STOP)
			return MOKA_OK;
		MOKA_TRY(moka_exec_forward(t->exec, 0, t->net->n_layers, &one, err));
		loss += (double)one;
		for (int b = 0; b < t->net->n_outputs; b++) {
			const real *v = moka_exec_data(t->exec, t->net->outputs[b]);
			int64_t count = moka_shape_count(&t->net->blobs[t->net->outputs[b]].shape);
			for (int64_t j = 0; j < count; j++)
				t->sums[k++] += (double)v[j];
		}
	}
	double per = t->iterations > 0 ? 1.0 / (double)t->iterations : 0;
	for (int k = 0; k < t->n_sums; k++)
		t->sums[k] *= per;
	e.loss = loss * per;
	e.n_outputs = collect_outputs(t->net, t->exec, t->sums, outputs, MAX_OUTPUTS);
	moka__solver_event(s, &e);
	return MOKA_OK;
}

static enum moka_status run_tests(struct moka_solver *s, struct moka_error *err)
{
	for (int i = 0; i < s->n_tests; i++)
		MOKA_TRY(run_test(s, i, err));
	return MOKA_OK;
}

static void smooth(struct moka_solver *s, double loss)
{
	int64_t slot = s->n_recent % s->recent_size;

	if (s->n_recent < s->recent_size) {
		s->smoothed = (s->smoothed * (double)s->n_recent + loss) / (double)(s->n_recent + 1);
	} else {
		s->smoothed += (loss - s->recent[slot]) / (double)s->recent_size;
	}
	s->recent[slot] = loss;
	s->n_recent++;
}

static enum moka_status not_finite(struct moka_solver *s, double loss, double rate, struct moka_error *err)
{
	moka_fail(err, MOKA_ERR_DATA, "the loss is %s at iteration %" PRId64 " (rate %g): training has diverged",
		  isnan(loss) ? "nan" : "inf", s->iter, rate);
	moka_fail_hint(err, "lower base_lr (by ten, say), or set clip_gradients; look for inputs that aren't scaled");
	return MOKA_ERR_DATA;
}

static bool due(const struct moka_solver *s, const char *interval)
{
	int64_t every = moka_get_int(s->root, interval);

	return every > 0 && s->iter % every == 0;
}

static void display(struct moka_solver *s, double loss, double rate)
{
	struct moka_solver_output outputs[MAX_OUTPUTS];
	struct moka_solver_event e = { .kind = MOKA_EVENT_DISPLAY, .loss = loss, .lr = rate, .outputs = outputs };

	e.n_outputs = collect_outputs(s->net, s->exec, NULL, outputs, MAX_OUTPUTS);
	moka__solver_event(s, &e);
}

static enum moka_status step(struct moka_solver *s, struct moka_error *err)
{
	double loss = 0, start = moka_now();
	double rate = moka_solver_rate(s->root, s->iter);

	moka_exec_clear_param_diffs(s->exec);
	for (int64_t i = 0; i < s->iter_size; i++) {
		real one;

		MOKA_TRY(moka_exec_forward(s->exec, 0, s->net->n_layers, &one, err));
		MOKA_TRY(moka_exec_backward(s->exec, s->net->n_layers, 0, err));
		loss += (double)one;
	}
	loss /= (double)s->iter_size;
	if (!isfinite(loss))
		return not_finite(s, loss, rate, err);
	smooth(s, loss);
	if (due(s, "display"))
		display(s, loss, rate);
	moka__solver_apply(s, rate);
	s->trained_seconds += moka_now() - start;
	struct moka_solver_event e = { .kind = MOKA_EVENT_TRAIN, .loss = loss, .lr = rate };
	moka__solver_event(s, &e);
	s->iter++;
	return MOKA_OK;
}

/* What was asked from outside since the last look. Returns true to stop. */
static enum moka_status answer_request(struct moka_solver *s, bool *stop, struct moka_error *err)
{
	int request = s->o.request ? *s->o.request : 0;

	*stop = false;
	if (!request)
		return MOKA_OK;
	*s->o.request = 0;
	*stop = request == MOKA_REQUEST_STOP;
	return moka__solver_snapshot(s, err);
}

enum moka_status moka_solver_run(struct moka_solver *s, struct moka_error *err)
{
	bool stop = false, test_first = moka_get_int(s->root, "test_initialization");

	s->started = moka_now();
	while (s->iter < s->max_iter) {
		int64_t every = moka_get_int(s->root, "snapshot");

		if (due(s, "test_interval") && (s->iter > 0 || test_first))
			MOKA_TRY(run_tests(s, err));
		MOKA_TRY(answer_request(s, &stop, err));
		if (stop)
			return MOKA_ERR_INTERRUPTED;
		MOKA_TRY(step(s, err));
		if (every > 0 && s->iter % every == 0)
			MOKA_TRY(moka__solver_snapshot(s, err));
	}
	if (moka_get_int(s->root, "snapshot_after_train") && !due(s, "snapshot"))
		MOKA_TRY(moka__solver_snapshot(s, err));
	if (due(s, "display")) {
		real loss;

		MOKA_TRY(moka_exec_forward(s->exec, 0, s->net->n_layers, &loss, err));
		smooth(s, (double)loss);
		display(s, (double)loss, moka_solver_rate(s->root, s->iter));
	}
	if (due(s, "test_interval"))
		MOKA_TRY(run_tests(s, err));
	return answer_request(s, &stop, err);
}
