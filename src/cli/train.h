/*
 * train.h - what the files of `moka train` share.
 *
 *   train.c         options, the command
 *   train_show.c    for people: the progress line of a terminal; elsewhere the lines of Caffe's log
 *   train_log.c     for programs: --log as JSON lines or CSV;  train_events.c as TensorBoard's event files
 *   train_signals.c Ctrl-C, SIGHUP, and a source that vanished under the reader
 *   train_try.c     --dry-run, --find-lr
 */
#ifndef MOKA_CLI_TRAIN_H
#define MOKA_CLI_TRAIN_H

#include "cli/cli.h"
#include "solvers/solver.h"

#include <stdio.h>

/* ---- train_show.c ---------------------------------------------------------------------------------- */

struct train_show {
	bool terminal;	/* a progress line is kept */
	bool line_open; /* it is on the screen now */
	bool hdf5;	/* form of the snapshots */
	double last_shown, last_display_seconds;
	int64_t last_display_iter, first_iter, display; /* the solver's interval */
};
void train_show(struct train_show *s, const struct moka_solver_event *e);
void train_close_line(struct train_show *s);
/* "I1124 21:00:00.000000 12345 solver.cpp:218] ...": a line as glog writes it, on standard error. */
void train_glog(const char *place, const char *fmt, ...) MOKA_PRINTF(2, 3);

/* ---- train_events.c ---------------------------------------------------------------------------------- */

/* One of TensorBoard's event files in `folder`, which is made. NULL: *cause is errno. */
FILE *train_events_open(const char *folder, int *cause);
/* A scalar; false: it could not be written. */
bool train_events_put(FILE *f, const char *tag, int64_t step, double value);

/* ---- train_log.c ----------------------------------------------------------------------------------- */

enum train_log_form { TRAIN_LOG_JSONL, TRAIN_LOG_CSV, TRAIN_LOG_TENSORBOARD };
struct train_log {
	FILE *file; /* NULL: none is wanted */
	const char *path;
	enum train_log_form form;
	bool failed;
	double flushed;	      /* when */
	const char **columns; /* CSV: names of the test nets' outputs, n_columns */
	int n_columns;
};
/* path NULL: none. append: a run that is gone on with. CLI_OK, or the reason is printed. */
int train_log_open(struct cli_call *c, struct train_log *l, const char *path, bool append);
/* CSV: its columns are the outputs of the test nets. */
void train_log_begin(struct cli_call *c, struct train_log *l, const struct moka_solver *s);
void train_log_event(struct train_log *l, const struct moka_solver_event *e);
/* Returns status, or CLI_FAILED where the log is not complete. */
int train_log_close(struct cli_call *c, struct train_log *l, int status);

/* ---- train_signals.c --------------------------------------------------------------------------------- */

extern volatile sig_atomic_t train_request; /* enum moka_request */
void train_watch_signals(const struct cli_call *c);
/* What is said where the program is killed by its data (SIGBUS). state NULL: no snapshot yet. */
void train_last_words(const char *state, int64_t iter);

/* ---- train_try.c ------------------------------------------------------------------------------------- */

int train_dry_run(struct cli_call *c, struct moka_solver *s);
int train_find_rate(struct cli_call *c, struct moka_solver *s, struct train_show *show);

#endif
