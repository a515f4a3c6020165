/*
 * runlog.h - the log of a run, read again: JSON lines of `moka train --log`, or the text that Caffe (and Moka on a file) logs.
 */
#ifndef MOKA_CLI_RUNLOG_H
#define MOKA_CLI_RUNLOG_H

#include "cli/cli.h"

/* Values over iterations. */
struct run_curve {
	const char *name; /* "loss", "lr", or a test output: "accuracy" */
	int net;	  /* -1: of training; else which test net */
	double *iter, *seconds, *value;
	size_t n, cap;
};

struct run_log {
	const char *path;
	struct run_curve *curves;
	int n_curves, cap_curves;
	double suggested; /* of --find-lr; NAN */
	size_t bad_lines;
};

/* CLI_OK, or the reason is printed. Names live in c's arena. A run that was gone on with has some iterations twice: the later ones count. */
int run_log_read(struct cli_call *c, struct run_log *l, const char *path);
void run_log_release(struct run_log *l);
const struct run_curve *run_log_curve(const struct run_log *l, int net, const char *name); /* NULL */

#endif
