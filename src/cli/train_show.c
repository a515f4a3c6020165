/*
 * train_show.c - a run, for people.
 *
 * On a terminal: one progress line that is written over, and a line for each test and snapshot. Elsewhere: the lines of BVLC
 * Caffe's log with glog's prefix, because scripts read them (parse_log.py takes the time from the first two words of every
 * line, and ends at an empty one).
 */
#include "cli/train.h"

#include <inttypes.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* ---- Caffe's lines ---------------------------------------------------------------------------------- */

void train_glog(const char *place, const char *fmt, ...)
{
	struct timeval now;
	struct tm t;
	va_list ap;

	gettimeofday(&now, NULL);
	localtime_r(&now.tv_sec, &t);
	fprintf(stderr, "I%02d%02d %02d:%02d:%02d.%06ld %5ld %s] ", t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min,
		t.tm_sec, (long)now.tv_usec, (long)getpid(), place);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void log_outputs(const struct moka_solver_event *e, const char *place, const char *what)
{
	for (int i = 0; i < e->n_outputs; i++) {
		const struct moka_solver_output *o = &e->outputs[i];
		double weight = (double)o->loss_weight, value = (double)o->value;

		if (weight != 0)
			train_glog(place, "    %s net output #%d: %s = %g (* %g = %g loss)", what, i, o->name, value,
				   weight, weight * value);
		else
			train_glog(place, "    %s net output #%d: %s = %g", what, i, o->name, value);
	}
}

static void log_display(struct train_show *s, const struct moka_solver_event *e)
{
	double spent = e->seconds - s->last_display_seconds;
	int64_t iters = e->iter - s->last_display_iter;

	if (e->last) {
		train_glog("solver.cpp:310", "Iteration %" PRId64 ", loss = %g", e->iter, e->smoothed_loss);
		return;
	}
	train_glog("solver.cpp:218", "Iteration %" PRId64 " (%g iter/s, %gs/%" PRId64 " iters), loss = %g", e->iter,
		   spent > 0 ? (double)iters / spent : 0, spent, s->display, e->smoothed_loss);
	log_outputs(e, "solver.cpp:237", "Train");
	train_glog("sgd_solver.cpp:105", "Iteration %" PRId64 ", lr = %g", e->iter, e->lr);
	s->last_display_seconds = e->seconds;
	s->last_display_iter = e->iter;
}

static void log_test(const struct moka_solver_event *e)
{
	if (e->show_loss)
		train_glog("solver.cpp:400", "Test loss: %g", e->loss);
	log_outputs(e, "solver.cpp:414", "Test");
}

static void log_snapshot(const struct train_show *s, const char *file)
{
	const bool state = strstr(file, ".solverstate") != NULL;
	const char *kind = s->hdf5 ? "HDF5" : "binary proto";

	train_glog(state ? "sgd_solver.cpp:273" : "solver.cpp:447", "Snapshotting %sto %s file %s",
		   state ? "solver state " : "", kind, file);
}

static void log_event(struct train_show *s, const struct moka_solver_event *e)
{
	switch (e->kind) {
	case MOKA_EVENT_START:
		train_glog("solver.cpp:272", "Solving %s", e->text);
		train_glog("solver.cpp:273", "Learning Rate Policy: %s", e->file);
		break;
	case MOKA_EVENT_DISPLAY:
		log_display(s, e);
		break;
	case MOKA_EVENT_TEST_START:
		train_glog("solver.cpp:330", "Iteration %" PRId64 ", Testing net (#%d)", e->iter, e->net);
		break;
	case MOKA_EVENT_TEST:
		log_test(e);
		break;
	case MOKA_EVENT_SNAPSHOT:
		log_snapshot(s, e->file);
		break;
	case MOKA_EVENT_NOTE:
		train_glog("solver.cpp:1", "%s", e->text);
		break;
	case MOKA_EVENT_DEBUG:
		train_glog("net.cpp:600", "%s", e->text);
		break;
	case MOKA_EVENT_DONE:
		train_glog("solver.cpp:315", "Optimization Done.");
		break;
	case MOKA_EVENT_TRAIN:
		break;
	}
}

/* ---- a terminal ------------------------------------------------------------------------------------- */

void train_close_line(struct train_show *s)
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

static void show_progress(struct train_show *s, const struct moka_solver_event *e)
{
	double done = (double)(e->iter + 1 - s->first_iter), left = (double)(e->max_iter - e->iter - 1);
	int width = 20, filled;
	char bar[128] = "", eta[32], line[256];

	if (e->seconds - s->last_shown < 0.1 && left > 0)
		return;
	s->last_shown = e->seconds;
	filled = e->max_iter > 0 ? (int)((double)width * (double)(e->iter + 1) / (double)e->max_iter) : width;
	for (int i = 0; i < width; i++)
		strcat(bar, i >= filled ? " " : cli_utf8() ? "━" : "=");
	snprintf(line, sizeof(line), "%" PRId64 "/%" PRId64 " [%s]  loss %.4g  rate %.3g  %.0f images/s  %s left",
		 e->iter + 1, e->max_iter, bar, e->smoothed_loss, e->lr, e->samples_per_second,
		 duration(e->seconds / done * left, eta, sizeof(eta)));
	fprintf(stderr, "\r\033[K%s", line);
	fflush(stderr);
	s->line_open = true;
}

static void show_test(const struct moka_solver_event *e)
{
	fprintf(stderr, "iteration %" PRId64 ": test", e->iter);
	if (e->net)
		fprintf(stderr, " (net %d)", e->net);
	if (e->show_loss)
		fprintf(stderr, "  loss in all %.4f", e->loss);
	for (int i = 0; i < e->n_outputs && i < 8; i++)
		fprintf(stderr, "  %s %.4f", e->outputs[i].name, (double)e->outputs[i].value);
	fputc('\n', stderr);
}

void train_show(struct train_show *s, const struct moka_solver_event *e)
{
	if (!s->terminal) {
		log_event(s, e);
		return;
	}
	if (e->kind == MOKA_EVENT_TRAIN) {
		show_progress(s, e);
		return;
	}
	if (e->kind != MOKA_EVENT_DISPLAY && e->kind != MOKA_EVENT_TEST_START)
		train_close_line(s);
	if (e->kind == MOKA_EVENT_TEST)
		show_test(e);
	else if (e->kind == MOKA_EVENT_SNAPSHOT)
		fprintf(stderr, "snapshot %s\n", e->file);
	else if (e->kind == MOKA_EVENT_NOTE || e->kind == MOKA_EVENT_DEBUG)
		fprintf(stderr, "%s\n", e->text);
}
