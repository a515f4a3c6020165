/*
 * moka train - follows a solver file; shows how far it is; writes a log that programs can read.
 *
 * Ctrl-C snapshots and stops, a second one stops at once; SIGHUP snapshots and goes on. train.h says which file does what.
 */
#include "cli/train.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct train {
	struct cli_call *call;
	struct train_show show;
	struct train_log log;
	struct moka_solver_options o;
	bool try_only; /* a dry run, a rate sweep: no log of its own */
};

static void on_event(void *arg, const struct moka_solver_event *e)
{
	struct train *t = arg;

	train_log_event(&t->log, e);
	train_show(&t->show, e);
	if (e->kind == MOKA_EVENT_SNAPSHOT && strstr(e->file, ".solverstate"))
		train_last_words(e->file, e->iter);
}

/* ---- options -------------------------------------------------------------------------------------- */

static bool read_numbers(struct cli_call *c, struct moka_solver_options *o)
{
	int64_t level, last, stop, overfit, readers;

	if (!cli_int(c, "max-iter", 0, INT32_MAX, -1, &o->max_iter) ||
	    !cli_int(c, "seed", 0, INT64_MAX, -1, &o->seed) || !cli_int(c, "level", INT32_MIN, INT32_MAX, 0, &level) ||
	    !cli_int(c, "keep-last", 1, INT32_MAX, 0, &last) || !cli_int(c, "early-stop", 1, INT32_MAX, 0, &stop) ||
	    !cli_int(c, "overfit", 1, INT32_MAX, 0, &overfit) ||
	    !cli_int(c, "skip-bad", 0, INT64_MAX, 0, &o->skip_bad) || !cli_int(c, "read-threads", 0, 64, 0, &readers) ||
	    !cli_float(c, "max-time", 0.001, 1e9, 0, &o->max_seconds))
		return false;
	o->level = (int)level;
	o->keep_last = (int)last;
	o->early_stop = (int)stop;
	o->overfit = (int)overfit;
	o->read_threads = (int)readers;
	return true;
}

static bool read_options(struct cli_call *c, struct moka_solver_options *o)
{
	o->snapshot = cli_get(c, "snapshot");
	if (o->snapshot && !*o->snapshot) /* scripts for caffe pass -snapshot="" */
		o->snapshot = NULL;
	o->keep_best = cli_get(c, "keep-best");
	o->strict = cli_switch(c, "strict", false);
	o->weights = cli_list(c, "weights", &o->n_weights);
	o->stages = cli_list(c, "stage", &o->n_stages);
	if (!read_numbers(c, o))
		return false;
	if (o->snapshot && o->n_weights) {
		cli_usage(
			c,
			"--snapshot goes on from a .solverstate, --weights starts anew from weights: give one of them");
		return false;
	}
	if (o->early_stop && !o->keep_best) {
		cli_usage(c, "--early-stop %d needs --keep-best OUTPUT: which output of the test net should improve?",
			  o->early_stop);
		return false;
	}
	if (cli_switch(c, "dry-run", false) && cli_switch(c, "find-lr", false)) {
		cli_usage(c, "--dry-run and --find-lr are runs of different kinds: give one of them");
		return false;
	}
	return true;
}

/* ---- running ---------------------------------------------------------------------------------------- */

/* What `caffe train` says before the solver begins. */
static void log_beginning(const struct train *t)
{
	for (int i = 0; i < t->o.n_weights; i++)
		train_glog("solver.cpp:62", "Finetuning from %s", t->o.weights[i]);
	if (t->o.snapshot)
		train_glog("caffe.cpp:241", "Resuming from %s", t->o.snapshot);
	train_glog("caffe.cpp:248", "Starting Optimization");
}

/* A run that nobody gave a seed can be repeated all the same, and a resumed one isn't what the unbroken one would have been. */
static void say_seed(struct cli_call *c, const struct train *t, const struct moka_solver *s)
{
	uint64_t seed;

	if (moka_solver_seed(s, &seed))
		return;
	if (t->o.snapshot)
		cli_note(
			c,
			"random_seed isn't set: crops, shuffling and dropout go on with random numbers of this run's own, not with "
			"those of the run that wrote '%s' (this one: --seed %" PRIu64 ")",
			t->o.snapshot, seed);
	else
		cli_note(c, "random_seed isn't set; --seed %" PRIu64 " repeats this run", seed);
}

static int run(struct cli_call *c, struct train *t, struct moka_solver *s)
{
	struct moka_error err = { 0 };
	int64_t iter;
	const char *state = moka_solver_last_snapshot(s, &iter);

	train_last_words(state, iter);
	say_seed(c, t, s);
	t->show.first_iter = t->show.last_display_iter = moka_solver_iter(s);
	train_log_begin(c, &t->log, s);
	if (!t->show.terminal)
		log_beginning(t);
	enum moka_status st = moka_solver_run(s, &err);

	train_close_line(&t->show);
	cli_say_skipped(c, moka_solver_net(s));
	if (st == MOKA_ERR_INTERRUPTED) {
		state = moka_solver_last_snapshot(s, &iter);
		cli_note(c, "stopped at iteration %" PRId64 " as asked; go on with --snapshot %s", moka_solver_iter(s),
			 state ? state : "STATE");
		return CLI_OK;
	}
	if (st)
		return cli_fail_error(c, &err);
	if (!t->show.terminal)
		train_glog("caffe.cpp:259", "Optimization Done.");
	return CLI_OK;
}

static int with_model(struct cli_call *c, struct train *t, struct moka_model *model, struct moka_findings *f)
{
	struct moka_solver *s;
	int status;

	t->show.display = moka_get_int(model->root, "display");
	t->show.hdf5 = !moka_get_int(model->root, "snapshot_format");
	enum moka_status st = moka_solver_new(&s, model, &t->o, f);

	if (!cli_report(c, f, MOKA_NOTE) || st) {
		if (!f->errors)
			cli_fail(c, NULL, "training can't start (status %d)", (int)st);
		moka_solver_free(st ? NULL : s);
		return CLI_FAILED;
	}
	train_watch_signals(c);
	if (cli_switch(c, "dry-run", false))
		status = train_dry_run(c, s);
	else if (cli_switch(c, "find-lr", false))
		status = train_find_rate(c, s, &t->show);
	else
		status = run(c, t, s);
	moka_solver_free(s);
	return status;
}

static int with_pool(struct cli_call *c, struct moka_pool *pool)
{
	static const struct moka_model_options expect_solver = { .expect = MOKA_MODEL_SOLVER };
	struct train t = { .call = c, .show = { .terminal = cli_progress() } };
	struct moka_model *model;
	struct moka_findings f;
	int status;

	t.o = (struct moka_solver_options){ .pool = pool,
					    .sources = moka_sources,
					    .registry = &c->registry,
					    .on_event = on_event,
					    .arg = &t,
					    .request = &train_request };
	if (!read_options(c, &t.o))
		return CLI_USAGE;
	t.try_only = cli_switch(c, "dry-run", false) || cli_switch(c, "find-lr", false);
	status = train_log_open(c, &t.log, t.try_only ? NULL : cli_get(c, "log"), t.o.snapshot != NULL);
	if (status)
		return status;
	moka_findings_init(&f);
	if (moka_model_open(&model, cli_get(c, "solver"), cli_schema(c), &expect_solver, &f)) {
		cli_report(c, &f, MOKA_NOTE);
		status = CLI_FAILED;
	} else {
		status = with_model(c, &t, model, &f);
		moka_model_free(model);
	}
	moka_findings_release(&f);
	return train_log_close(c, &t.log, status);
}

static int train_run(struct cli_call *c)
{
	struct cli_net n = { 0 };

	if (!cli_open_pool(c, &n))
		return CLI_USAGE;
	int status = with_pool(c, n.pool);

	cli_close(&n);
	return status;
}

static const struct cli_option train_options[] = {
	{ "solver", 0, "FILE", "the solver file (.prototxt)", CLI_REQUIRED },
	{ "weights", 'w', "FILES", "start from these weights (fine-tuning); several separated by commas", CLI_REPEAT },
	{ "snapshot", 0, "STATE", "go on from this .solverstate", 0 },
	{ "strict", 0, NULL, "weights that are missing, not used or don't fit are errors", 0 },
	{ "log", 0, "PATH", "write every iteration, test and snapshot as a line of JSON", 0 },
	{ "log-format", 0, "jsonl|csv|tensorboard", "form of the log (tensorboard: PATH is a folder)", 0 },
	{ "max-iter", 0, "N", "stop at iteration N (default: the solver's max_iter)", 0 },
	{ "seed", 0, "N", "seed of fillers, dropout and shuffling (default: the solver's random_seed)", 0 },
	{ "keep-best", 0, "OUTPUT", "keep the weights of the test with the best OUTPUT (accuracy, say) as PREFIX_best",
	  0 },
	{ "keep-last", 0, "K", "keep the last K snapshots, remove older ones", 0 },
	{ "early-stop", 0, "N", "stop after N tests in which the output of --keep-best did not improve", 0 },
	{ "max-time", 0, "SECONDS", "write a snapshot and stop when they are over", 0 },
	{ "skip-bad", 0, "N", "leave out up to N damaged records of each source (default 0: the first one is an error)",
	  0 },
	{ "dry-run", 0, NULL, "one iteration, one batch of each test net; says what it takes, writes nothing", 0 },
	{ "overfit", 0, "K", "train on the same K batches again and again: a net that can learn gets them right", 0 },
	{ "find-lr", 0, NULL, "try rising rates; writes PREFIX_find_lr.jsonl and .svg, and suggests a base_lr", 0 },
	{ "rates", 0, "FROM:TO", "rates that --find-lr tries (default 1e-6:10)", 0 },
	{ "rate-steps", 0, "N", "how many of them (default 140)", 0 },
	{ "level", 0, "N", "level of the training net, for its include and exclude rules", 0 },
	{ "stage", 0, "NAME", "stage of the training net, likewise; repeat or separate by commas", CLI_REPEAT },
	CLI_OPTION_THREADS,
	{ "read-threads", 0, "N", CLI_HELP_READ_THREADS, 0 },
	{ "sigint_effect", 0, "stop|snapshot|none", "what Ctrl-C does (default stop: snapshots, then stops)", 0 },
	{ "sighup_effect", 0, "stop|snapshot|none", "what SIGHUP does (default snapshot)", 0 },
	/* `caffe` had one set of flags for all its commands: these say nothing to train */
	{ "model", 0, "FILE", "", CLI_HIDDEN },
	{ "iterations", 0, "N", "", CLI_HIDDEN },
	{ "phase", 0, "PHASE", "", CLI_HIDDEN },
	{ "gpu", 0, "ID", "taken for scripts written for caffe; Moka computes on the CPU", CLI_HIDDEN },
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_train = {
	.name = "train",
	.summary = "train a net as a solver file says",
	.usage = "--solver FILE [--weights W[,W...] | --snapshot STATE] [options]",
	.about =
		"Follows the solver file: rate, tests, snapshots. Paths in it are taken relative to the working directory, and where they\n"
		"are not there, relative to the file that names them. Ctrl-C writes a snapshot and stops; SIGHUP writes one and goes on.",
	.examples = "moka train --solver lenet_solver.prototxt --log run.jsonl\n"
		    "moka train --solver lenet_solver.prototxt --snapshot lenet_iter_5000.solverstate\n"
		    "moka train --solver lenet_solver.prototxt --keep-best accuracy --early-stop 5 --keep-last 2\n"
		    "moka train --solver lenet_solver.prototxt --find-lr\n"
		    "moka train --solver finetune_solver.prototxt --weights pretrained.caffemodel\n",
	.options = train_options,
	.run = train_run,
};
