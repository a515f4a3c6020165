/*
 * moka train - follows a solver file; shows how far it is; writes a log that programs can read.
 *
 * On a terminal: one progress line that is written over, and a line for each test and snapshot. Elsewhere: lines as `caffe train`
 * logs them. Ctrl-C snapshots and stops, a second one stops at once; SIGHUP snapshots and goes on.
 */
#include "cli/cli.h"
#include "solvers/solver.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t request;

static void on_interrupt(int sig)
{
	request = MOKA_REQUEST_STOP;
	signal(sig, SIG_DFL);
}

static void on_hangup(int sig)
{
	(void)sig;
	request = MOKA_REQUEST_SNAPSHOT;
}

static void ignore_request(int sig)
{
	(void)sig;
}

struct show {
	const struct cli_call *call;
	FILE *log;
	bool log_failed;
	bool terminal;	/* a progress line is kept */
	bool line_open; /* it is on the screen now */
	double last_shown, last_display_seconds;
	int64_t last_display_iter, first_iter;
};

/* ---- the JSONL log ------------------------------------------------------------------------ */

static void put_number(struct moka_buf *b, const char *name, double v)
{
	if (isfinite(v))
		moka_buf_printf(b, ",\"%s\":%.9g", name, v);
	else
		moka_buf_printf(b, ",\"%s\":null", name);
}

static void put_outputs(struct moka_buf *b, const struct moka_solver_event *e)
{
	moka_buf_puts(b, ",\"outputs\":{");
	for (int i = 0; i < e->n_outputs; i++) {
		bool several = e->outputs[i].index > 0 || (i + 1 < e->n_outputs && e->outputs[i + 1].index > 0);
		char name[1200];

		snprintf(name, sizeof(name), several ? "%.1000s[%" PRId64 "]" : "%.1000s", e->outputs[i].name,
			 e->outputs[i].index);
		moka_buf_puts(b, i ? "," : "");
		moka_buf_json_string(b, name);
		if (isfinite(e->outputs[i].value))
			moka_buf_printf(b, ":%.9g", (double)e->outputs[i].value);
		else
			moka_buf_puts(b, ":null");
	}
	moka_buf_puts(b, "}");
}

static void log_event(struct show *s, const struct moka_solver_event *e)
{
	struct moka_buf b;

	if (!s->log || e->kind == MOKA_EVENT_DISPLAY || e->kind == MOKA_EVENT_NOTE)
		return;
	moka_buf_init(&b, 1 << 24);
	static const char *const names[] = {
		[MOKA_EVENT_TRAIN] = "train", [MOKA_EVENT_TEST] = "test", [MOKA_EVENT_SNAPSHOT] = "snapshot"
	};
	moka_buf_printf(&b, "{\"event\":\"%s\",\"iter\":%" PRId64, names[e->kind], e->iter);
	if (e->kind == MOKA_EVENT_TRAIN) {
		put_number(&b, "loss", e->loss);
		put_number(&b, "lr", e->lr);
	} else if (e->kind == MOKA_EVENT_TEST) {
		moka_buf_printf(&b, ",\"net\":%d", e->net);
		put_outputs(&b, e);
	} else {
		moka_buf_puts(&b, ",\"file\":");
		moka_buf_json_string(&b, e->file);
	}
	put_number(&b, "seconds", e->seconds);
	moka_buf_puts(&b, "}\n");
	if (b.failed || fwrite(b.data, 1, b.len, s->log) != b.len || (e->kind != MOKA_EVENT_TRAIN && fflush(s->log)))
		s->log_failed = true;
	moka_buf_release(&b);
}

/* ---- for people --------------------------------------------------------------------------- */

static void close_line(struct show *s)
{
	if (s->line_open)
		fputs("\r\033[K", stderr);
	s->line_open = false;
}

static const char *duration(double seconds, char *buf, size_t size)
{
	long t = (long)(seconds + 0.5);

	if (t >= 3600)
		snprintf(buf, size, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
	else
		snprintf(buf, size, "%ld:%02ld", t / 60, t % 60);
	return buf;
}

static void show_progress(struct show *s, const struct moka_solver_event *e)
{
	double done = (double)(e->iter + 1 - s->first_iter), left = (double)(e->max_iter - e->iter - 1);
	int width = 20, filled;
	char bar[64] = "", eta[32];

	if (e->seconds - s->last_shown < 0.1 && left > 0)
		return;
	s->last_shown = e->seconds;
	filled = e->max_iter > 0 ? (int)((double)width * (double)(e->iter + 1) / (double)e->max_iter) : width;
	for (int i = 0; i < width; i++)
		strcat(bar, cli_utf8() ? (i < filled ? "━" : " ") : (i < filled ? "=" : " "));
	fprintf(stderr, "\r\033[K%" PRId64 "/%" PRId64 " [%s]  loss %.4g  rate %.3g  %.0f images/s  %s left",
		e->iter + 1, e->max_iter, bar, e->smoothed_loss, e->lr, e->samples_per_second,
		duration(e->seconds / done * left, eta, sizeof(eta)));
	fflush(stderr);
	s->line_open = true;
}

static void print_outputs(const struct moka_solver_event *e, const char *what)
{
	for (int i = 0; i < e->n_outputs; i++) {
		const struct moka_solver_output *o = &e->outputs[i];

		fprintf(stderr, "    %s net output #%d: %s = %.6g", what, i, o->name, (double)o->value);
		if (o->loss_weight != 0)
			fprintf(stderr, " (* %.6g = %.6g loss)", (double)o->loss_weight,
				(double)(o->value * o->loss_weight));
		fputc('\n', stderr);
	}
}

static void show_display(struct show *s, const struct moka_solver_event *e)
{
	double spent = e->seconds - s->last_display_seconds;
	int64_t iters = e->iter - s->last_display_iter;

	fprintf(stderr, "Iteration %" PRId64 " (%.4g iter/s, %.4gs/%" PRId64 " iters), loss = %.6g\n", e->iter,
		spent > 0 ? (double)iters / spent : 0, spent, iters, e->smoothed_loss);
	print_outputs(e, "Train");
	fprintf(stderr, "Iteration %" PRId64 ", lr = %.6g\n", e->iter, e->lr);
	s->last_display_seconds = e->seconds;
	s->last_display_iter = e->iter;
}

static void show_test(struct show *s, const struct moka_solver_event *e)
{
	if (!s->terminal) {
		fprintf(stderr, "Iteration %" PRId64 ", Testing net (#%d)\n", e->iter, e->net);
		print_outputs(e, "Test");
		return;
	}
	close_line(s);
	fprintf(stderr, "iteration %" PRId64 ": test", e->iter);
	if (e->net)
		fprintf(stderr, " (net %d)", e->net);
	for (int i = 0; i < e->n_outputs && i < 8; i++)
		fprintf(stderr, "  %s %.4f", e->outputs[i].name, (double)e->outputs[i].value);
	fputc('\n', stderr);
}

static void show_event(void *arg, const struct moka_solver_event *e)
{
	struct show *s = arg;

	log_event(s, e);
	switch (e->kind) {
	case MOKA_EVENT_TRAIN:
		if (s->terminal)
			show_progress(s, e);
		break;
	case MOKA_EVENT_DISPLAY:
		if (!s->terminal)
			show_display(s, e);
		break;
	case MOKA_EVENT_TEST:
		show_test(s, e);
		break;
	case MOKA_EVENT_SNAPSHOT:
		close_line(s);
		fprintf(stderr, "Snapshotting to %s\n", e->file);
		break;
	case MOKA_EVENT_NOTE:
		close_line(s);
		fprintf(stderr, "%s\n", e->text);
		break;
	}
}

/* ---- the command -------------------------------------------------------------------------- */

static void watch_signals(const struct cli_call *c)
{
	static const char *const effects[] = { "stop", "snapshot", "none", NULL };
	void (*const handlers[])(int) = { on_interrupt, on_hangup, ignore_request };
	int on_int, on_hup;

	if (cli_choice(c, "sigint_effect", effects, 0, &on_int))
		signal(SIGINT, handlers[on_int]);
	if (cli_choice(c, "sighup_effect", effects, 1, &on_hup))
		signal(SIGHUP, handlers[on_hup]);
}

static int run_solver(struct cli_call *c, struct moka_model *model, struct moka_solver_options *o, struct show *show,
		      struct moka_findings *f)
{
	struct moka_solver *solver;
	struct moka_error err = { 0 };

	enum moka_status st = moka_solver_new(&solver, model, o, f);
	if (!cli_report(c, f, MOKA_NOTE) || st) {
		if (!f->errors)
			cli_fail(c, NULL, "training can't start (status %d)", (int)st);
		moka_solver_free(st ? NULL : solver);
		return CLI_FAILED;
	}
	show->first_iter = show->last_display_iter = moka_solver_iter(solver);
	watch_signals(c);
	st = moka_solver_run(solver, &err);
	close_line(show);
	int64_t iter = moka_solver_iter(solver);
	moka_solver_free(solver);
	if (st == MOKA_ERR_INTERRUPTED) {
		cli_note(c,
			 "stopped at iteration %" PRId64 " as asked; go on with --snapshot and the .solverstate above",
			 iter);
		return CLI_OK;
	}
	return st ? cli_fail_error(c, &err) : CLI_OK;
}

static int open_log(struct cli_call *c, struct show *show)
{
	const char *path = cli_get(c, "log");

	if (!path)
		return CLI_OK;
	show->log = fopen(path, cli_get(c, "snapshot") ? "a" : "w");
	if (!show->log)
		return cli_fail(c, "give --log a file in a folder that exists and can be written",
				"can't write '%s': %s", path, strerror(errno));
	return CLI_OK;
}

static int close_log(struct cli_call *c, struct show *show, int status)
{
	if (show->log && (fclose(show->log) || show->log_failed))
		return cli_fail(c, "is the disk full?", "the log '%s' is not complete: %s", cli_get(c, "log"),
				strerror(errno));
	return status;
}

static int train_with(struct cli_call *c, struct moka_pool *pool)
{
	static const struct moka_model_options expect_solver = { .expect = MOKA_MODEL_SOLVER };
	struct show show = { .call = c, .terminal = cli_progress() };
	struct moka_solver_options o = { .snapshot = cli_get(c, "snapshot"),
					 .pool = pool,
					 .sources = moka_sources,
					 .registry = &c->registry,
					 .on_event = show_event,
					 .arg = &show,
					 .request = &request };
	struct moka_model *model;
	struct moka_findings f;
	int status = CLI_FAILED;

	if (!cli_int(c, "max-iter", 0, INT32_MAX, -1, &o.max_iter) || !cli_int(c, "seed", 0, INT64_MAX, -1, &o.seed))
		return CLI_USAGE;
	o.weights = cli_list(c, "weights", &o.n_weights);
	if (o.snapshot && o.n_weights)
		return cli_usage(
			c,
			"--snapshot goes on from a .solverstate, --weights starts anew from weights: give one of them");
	if (open_log(c, &show))
		return CLI_FAILED;
	moka_findings_init(&f);
	if (moka_model_open(&model, cli_get(c, "solver"), cli_schema(c), &expect_solver, &f)) {
		cli_report(c, &f, MOKA_NOTE);
	} else {
		status = run_solver(c, model, &o, &show, &f);
		moka_model_free(model);
	}
	moka_findings_release(&f);
	return close_log(c, &show, status);
}

static int train_run(struct cli_call *c)
{
	struct cli_net n = { 0 };

	if (!cli_open_pool(c, &n))
		return CLI_USAGE;
	int status = train_with(c, n.pool);
	cli_close(&n);
	return status;
}

static const struct cli_option train_options[] = {
	{ "solver", 0, "FILE", "the solver file (.prototxt)", CLI_REQUIRED },
	{ "weights", 'w', "FILES", "start from these weights (fine-tuning); several separated by commas", CLI_REPEAT },
	{ "snapshot", 0, "STATE", "go on from this .solverstate", 0 },
	{ "log", 0, "FILE.jsonl", "write every iteration, test and snapshot as a line of JSON", 0 },
	{ "max-iter", 0, "N", "stop at iteration N (default: the solver's max_iter)", 0 },
	{ "seed", 0, "N", "seed of fillers, dropout and shuffling (default: the solver's random_seed)", 0 },
	CLI_OPTION_THREADS,
	{ "sigint_effect", 0, "stop|snapshot|none", "what Ctrl-C does (default stop: snapshots, then stops)", 0 },
	{ "sighup_effect", 0, "stop|snapshot|none", "what SIGHUP does (default snapshot)", 0 },
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
		    "moka train --solver finetune_solver.prototxt --weights pretrained.caffemodel\n",
	.options = train_options,
	.run = train_run,
};
