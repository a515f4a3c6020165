/*
 * loop.c - the training loop: tests, schedule, displays, snapshots, requests from outside.
 *
 * One iteration as BVLC Caffe's Solver::Step: test where due, clear gradients, iter_size times forward and backward, display,
 * update, count, snapshot where due. What is random in a pass (dropout, a random filler) depends on the seed and on the number of
 * the pass alone, as the data do: a resumed run is the run that was interrupted.
 */
#include "solvers/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OUTPUTS 256

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

void moka__solver_note(struct moka_solver *s, const char *fmt, ...)
{
	struct moka_solver_event e = { .kind = MOKA_EVENT_NOTE };
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e.text = text;
	moka__solver_event(s, &e);
}

double moka__solver_rate_now(const struct moka_solver *s)
{
	return s->rate_override > 0 ? s->rate_override : moka_solver_rate(s->root, s->iter);
}

static bool due_at(const struct moka_solver *s, const char *interval, int64_t iter)
{
	int64_t every = moka_get_int(s->root, interval);

	return every > 0 && iter % every == 0;
}

static bool due(const struct moka_solver *s, const char *interval)
{
	return due_at(s, interval, s->iter);
}

/* ---- where the data are ------------------------------------------------------------------------ */

static enum moka_status seek_net(const struct moka_net *n, int64_t batch, struct moka_error *err)
{
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_layer *l = &n->layers[i].l;

		if (l->source && l->source_ops && l->source_ops->seek)
			MOKA_TRY(l->source_ops->seek(l->source, (uint64_t)batch, err));
	}
	return MOKA_OK;
}

/* How often the test nets ran before iteration `iter` of an unbroken run. */
static int64_t tests_before(const struct moka_solver *s, int64_t iter)
{
	int64_t every = moka_get_int(s->root, "test_interval");
	bool first = moka_get_int(s->root, "test_initialization");

	if (every <= 0 || iter <= 0)
		return 0;
	return (iter - 1) / every + (first ? 1 : 0);
}

enum moka_status moka__solver_seek(struct moka_solver *s, struct moka_error *err)
{
	MOKA_TRY(seek_net(s->net, s->iter * s->iter_size, err));
	for (int i = 0; i < s->n_tests; i++)
		MOKA_TRY(seek_net(s->tests[i].net, tests_before(s, s->iter) * s->tests[i].iterations, err));
	return MOKA_OK;
}

/* Before pass `pass` of the training net: what is random in it, and with overfit the data, are set. */
static enum moka_status begin_pass(struct moka_solver *s, int64_t pass, struct moka_error *err)
{
	const int64_t k = s->o.overfit;

	if (k > 0) {
		pass %= k;
		if (!pass)
			MOKA_TRY(seek_net(s->net, 0, err));
	}
	moka_exec_reseed(s->exec, (uint64_t)pass);
	return MOKA_OK;
}

/* ---- tests -------------------------------------------------------------------------------------- */

/* The outputs of a net, a value each, for events. `sums` NULL: as they are now. */
int moka__solver_outputs(struct moka_net *n, struct moka_exec *e, const double *means, struct moka_solver_output *out,
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

static void add_outputs(struct moka_test_net *t)
{
	int k = 0;

	for (int b = 0; b < t->net->n_outputs; b++) {
		const real *v = moka_exec_data(t->exec, t->net->outputs[b]);
		int64_t count = moka_shape_count(&t->net->blobs[t->net->outputs[b]].shape);

		for (int64_t j = 0; j < count; j++)
			t->sums[k++] += (double)v[j];
	}
}

/* *done: false where a request to stop came between. */
static enum moka_status run_passes(struct moka_solver *s, struct moka_test_net *t, double *loss, bool *done,
				   struct moka_error *err)
{
	*done = false;
	memset(t->sums, 0, (size_t)t->n_sums * sizeof(double));
	for (int64_t i = 0; i < t->iterations; i++) {
		real one;

		if (s->o.request && *s->o.request == MOKA_REQUEST_STOP)
			return MOKA_OK;
		moka_exec_reseed(t->exec, (uint64_t)(tests_before(s, s->iter) * t->iterations + i));
		MOKA_TRY(s->debug ? moka__debug_forward(s, t->net, t->exec, &one, err)
				  : moka_exec_forward(t->exec, 0, t->net->n_layers, &one, err));
		*loss += (double)one;
		add_outputs(t);
	}
	*done = true;
	return MOKA_OK;
}

static enum moka_status run_test(struct moka_solver *s, int which, struct moka_error *err)
{
	struct moka_test_net *t = &s->tests[which];
	struct moka_solver_output outputs[MAX_OUTPUTS];
	struct moka_solver_event e = { .kind = MOKA_EVENT_TEST_START, .net = which };
	const double per = t->iterations > 0 ? 1.0 / (double)t->iterations : 0;
	double loss = 0;
	bool done;

	moka__solver_event(s, &e);
	MOKA_TRY(run_passes(s, t, &loss, &done, err));
	if (!done)
		return MOKA_OK;
	for (int k = 0; k < t->n_sums; k++)
		t->sums[k] *= per;
	e.kind = MOKA_EVENT_TEST;
	e.loss = loss * per;
	e.show_loss = moka_get_int(s->root, "test_compute_loss");
	e.outputs = outputs;
	e.n_outputs = moka__solver_outputs(t->net, t->exec, t->sums, outputs, MAX_OUTPUTS);
	moka__solver_event(s, &e);
	return moka__keep_tested(s, which, outputs, e.n_outputs, err);
}

static enum moka_status run_tests(struct moka_solver *s, struct moka_error *err)
{
	for (int i = 0; i < s->n_tests; i++)
		MOKA_TRY(run_test(s, i, err));
	return MOKA_OK;
}

/* ---- one iteration ------------------------------------------------------------------------------ */

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

static void display(struct moka_solver *s, double loss, double rate, bool last)
{
	struct moka_solver_output outputs[MAX_OUTPUTS];
	struct moka_solver_event e = {
		.kind = MOKA_EVENT_DISPLAY, .loss = loss, .lr = rate, .outputs = outputs, .last = last
	};

	e.n_outputs = moka__solver_outputs(s->net, s->exec, NULL, outputs, MAX_OUTPUTS);
	moka__solver_event(s, &e);
}

/* iter_size passes forward and backward; their gradients add up. */
static enum moka_status passes(struct moka_solver *s, bool debug, double *loss, struct moka_error *err)
{
	*loss = 0;
	for (int64_t i = 0; i < s->iter_size; i++) {
		real one;

		MOKA_TRY(begin_pass(s, s->iter * s->iter_size + i, err));
		MOKA_TRY(debug ? moka__debug_forward(s, s->net, s->exec, &one, err)
			       : moka_exec_forward(s->exec, 0, s->net->n_layers, &one, err));
		if (!isfinite((double)one))
			return moka__diverged(s, (double)one, err);
		MOKA_TRY(debug ? moka__debug_backward(s, err) : moka_exec_backward(s->exec, s->net->n_layers, 0, err));
		*loss += (double)one;
	}
	*loss /= (double)s->iter_size;
	return MOKA_OK;
}

enum moka_status moka__solver_step(struct moka_solver *s, double *loss, struct moka_error *err)
{
	const double start = moka_now(), rate = moka__solver_rate_now(s);
	const bool show = due(s, "display") && s->rate_override <= 0;

	moka_exec_clear_param_diffs(s->exec);
	MOKA_TRY(passes(s, s->debug && show, loss, err));
	MOKA_TRY(moka__check_gradients(s, *loss, err));
	smooth(s, *loss);
	moka__watch_loss(s, *loss);
	if (show)
		display(s, *loss, rate, false);
	moka__solver_apply(s, rate);
	s->trained_seconds += moka_now() - start;
	struct moka_solver_event e = { .kind = MOKA_EVENT_TRAIN, .loss = *loss, .lr = rate };
	moka__solver_event(s, &e);
	s->iter++;
	return MOKA_OK;
}

/* ---- to the end ---------------------------------------------------------------------------------- */

/* What was asked from outside since the last look. *stop: to stop. */
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

/* Time is up, or nothing gets better: a snapshot, and a word why. */
static bool had_enough(struct moka_solver *s)
{
	if (moka__keep_enough(s)) {
		moka__solver_note(s,
				  "stopped at iteration %" PRId64
				  ": '%s' has not improved in %d tests; its best was %.6g at iteration %" PRId64,
				  s->iter, s->o.keep_best, s->worse, s->best, s->best_iter);
		return true;
	}
	if (s->o.max_seconds > 0 && moka_now() - s->started >= s->o.max_seconds) {
		moka__solver_note(s, "stopped at iteration %" PRId64 " of %" PRId64 ": the %g seconds are over",
				  s->iter, s->max_iter, s->o.max_seconds);
		return true;
	}
	return false;
}

static enum moka_status iterate(struct moka_solver *s, bool *ended, struct moka_error *err)
{
	const int64_t every = moka_get_int(s->root, "snapshot");
	const bool test_first = moka_get_int(s->root, "test_initialization");
	double loss;
	bool stop;

	*ended = false;
	while (s->iter < s->max_iter) {
		if (due(s, "test_interval") && (s->iter > 0 || test_first))
			MOKA_TRY(run_tests(s, err));
		MOKA_TRY(answer_request(s, &stop, err));
		if (stop)
			return MOKA_ERR_INTERRUPTED;
		if (had_enough(s))
			return moka__writes_snapshots(s) ? moka__solver_snapshot(s, err) : MOKA_OK;
		MOKA_TRY(moka__solver_step(s, &loss, err));
		if (every > 0 && s->iter % every == 0)
			MOKA_TRY(moka__solver_snapshot(s, err));
	}
	*ended = true;
	return MOKA_OK;
}

/* After the last update: a snapshot, and a last look at the loss and the tests, as BVLC Caffe does. */
static enum moka_status finish(struct moka_solver *s, struct moka_error *err)
{
	bool stop;

	if (moka_get_int(s->root, "snapshot_after_train"))
		MOKA_TRY(moka__solver_snapshot(s, err));
	if (due(s, "display")) {
		real loss;

		MOKA_TRY(begin_pass(s, s->iter * s->iter_size, err));
		MOKA_TRY(moka_exec_forward(s->exec, 0, s->net->n_layers, &loss, err));
		smooth(s, (double)loss);
		display(s, (double)loss, moka_solver_rate(s->root, s->iter), true);
	}
	if (due(s, "test_interval"))
		MOKA_TRY(run_tests(s, err));
	return answer_request(s, &stop, err);
}

/*
 * Something went wrong that is not the weights' fault (a damaged record, a source that went away): what was learnt since
 * the last snapshot is kept, and the error says which snapshot is the last whole one.
 */
static void save_what_there_is(struct moka_solver *s, struct moka_error *err)
{
	struct moka_error why = { 0 };
	size_t at = strlen(err->hint);

	if (!s->snapshot_failed && s->iter > 0 && moka__writes_snapshots(s) && err->status != MOKA_ERR_NOMEM)
		moka__solver_snapshot(s, &why);
	if (s->last_state)
		snprintf(err->hint + at, sizeof(err->hint) - at,
			 "%sthe last complete snapshot is '%s' (iteration %" PRId64 "): go on with --snapshot",
			 at ? "; " : "", s->last_state, s->last_state_iter);
	else
		snprintf(err->hint + at, sizeof(err->hint) - at, "%sno snapshot was written", at ? "; " : "");
}

static bool says_itself(const struct moka_solver *s, enum moka_status st)
{
	return st == MOKA_OK || st == MOKA_ERR_INTERRUPTED || s->diverged;
}

/* Half-written snapshots of runs that were killed. */
static void sweep(struct moka_solver *s)
{
	const char *names = moka__writes_snapshots(s) ? moka_arena_printf(&s->arena, "%s_", s->prefix) : NULL;

	if (names)
		moka_out_sweep(names);
}

enum moka_status moka_solver_run(struct moka_solver *s, struct moka_error *err)
{
	struct moka_solver_event e = { .kind = MOKA_EVENT_START };
	struct moka_error own = { 0 };
	enum moka_status st;
	bool ended;

	s->started = moka_now();
	sweep(s);
	e.text = s->net->name;
	e.file = moka_get_string(s->root, "lr_policy", "fixed");
	moka__solver_event(s, &e);
	st = iterate(s, &ended, &own);
	if (!st && ended)
		st = finish(s, &own);
	e.kind = MOKA_EVENT_DONE;
	if (!st && ended)
		moka__solver_event(s, &e);
	if (!says_itself(s, st))
		save_what_there_is(s, &own);
	if (err && st)
		*err = own;
	return st;
}
