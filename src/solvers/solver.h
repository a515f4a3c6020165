/*
 * solver.h - training: one update rule a file.
 *
 *   solver.c    settings and nets;  finetune.c weights to start from
 *   loop.c      the loop: tests, schedule, displays, requests from outside
 *   schedule.c  lr_policy;  update.c gradients -> weights, by the rule
 *   snapshot.c  what is written;  restore.c read again;  keep.c which snapshots stay, when to stop
 *   diverged.c  the first value that is not finite: where, and why;  debug.c debug_info
 *   trial.c     runs that are not for the weights: dry run, rate sweep
 */
#ifndef MOKA_SOLVER_H
#define MOKA_SOLVER_H

#include "net/net.h"

#include <signal.h>

/* SolverParameter decoded, with Caffe's defaults (proto/common.c holds the field table). */
struct moka_solver;

/* One parameter's update: its gradient g (already scaled, regularised and clipped), its history (n_history arrays of count). */
struct moka_update {
	int64_t count;
	real rate; /* of the schedule, times lr_mult of this use */
	real *g;   /* in: gradient; out: the step that is subtracted from w */
	real *history[3];
	int64_t iter;
	const struct moka_rule_param *p;
};
struct moka_rule_param {
	real momentum, momentum2, delta, rms_decay;
};
struct moka_solver_rule {
	const char *name; /* "SGD" */
	const char *doc;
	int n_history;	      /* arrays per parameter use */
	bool decoupled_decay; /* weight decay acts on the weights alone, not on the gradient */
	bool warmup_momentum; /* during a warm-up its momentum is scaled as the rate grew, as the Intel fork does */
	void (*update)(const struct moka_update *u); /* turns u->g into the step */
};
extern const struct moka_solver_rule *const moka_solver_rules[]; /* NULL ends; over the list in solvers/meson.build */

/* Events for whoever watches: the JSONL log, the progress line. Borrowed, valid during the call. */
enum moka_solver_event_kind {
	MOKA_EVENT_TRAIN,
	MOKA_EVENT_TEST,
	MOKA_EVENT_SNAPSHOT,
	MOKA_EVENT_DISPLAY,
	MOKA_EVENT_NOTE,
	MOKA_EVENT_START,      /* text: the net's name, file: the lr_policy */
	MOKA_EVENT_TEST_START, /* net */
	MOKA_EVENT_DEBUG,      /* text: a line of debug_info, in Caffe's words */
	MOKA_EVENT_DONE,       /* trained to the end */
};
struct moka_solver_output {
	const char *name;
	int64_t index; /* element of the blob */
	real value, loss_weight;
};
struct moka_solver_event {
	enum moka_solver_event_kind kind;
	int64_t iter, max_iter;
	double loss, smoothed_loss, lr, seconds; /* since the start */
	double samples_per_second;		 /* of training, batch size x iterations */
	int net;				 /* test net */
	const struct moka_solver_output *outputs;
	int n_outputs;
	bool show_loss; /* TEST: the solver asks for the loss too (test_compute_loss) */
	bool last;	/* DISPLAY: after the last update; only the loss is of interest */
	const char *file, *text;
};

enum moka_request { MOKA_REQUEST_NONE, MOKA_REQUEST_SNAPSHOT, MOKA_REQUEST_STOP /* snapshots, then stops */ };

struct moka_solver_options {
	const char *const *weights; /* files, in order */
	int n_weights;
	const char *snapshot; /* a .solverstate to go on from; NULL */
	int64_t max_iter;     /* < 0: the solver's */
	int64_t seed;	      /* < 0: the solver's random_seed */
	struct moka_pool *pool;
	const struct moka_source_ops *const *sources;
	const struct moka_registry *registry; /* layer types; NULL: the built-in ones */
	void (*on_event)(void *arg, const struct moka_solver_event *e);
	void *arg;
	volatile sig_atomic_t
		*request; /* looked at between iterations, one of enum moka_request; reset by the solver */
	bool strict;	  /* weights that are missing, not used or don't fit are errors */
	int level;	  /* for the training net, as `caffe train --level --stage` has it */
	const char *const *stages;
	int n_stages;
	/* what Caffe has not */
	const char *keep_best; /* an output of a test net: the best weights so far are kept as PREFIX_best */
	int keep_last;	       /* > 0: that many snapshots stay, older ones are removed */
	int early_stop;	       /* > 0: stop after so many tests in which keep_best did not improve */
	double max_seconds;    /* > 0: snapshot and stop then */
	int overfit;	       /* > 0: the same so many batches again and again */
	int read_threads;      /* that read ahead for each data layer; 0: as many as seem good */
	int64_t skip_bad;      /* damaged records that each data layer may leave out */
};

/* Builds nets, loads weights and state, checks sources, folders and free space before the first iteration. */
enum moka_status moka_solver_new(struct moka_solver **out, struct moka_model *solver_model,
				 const struct moka_solver_options *o, struct moka_findings *f);
void moka_solver_free(struct moka_solver *s);
enum moka_status moka_solver_run(struct moka_solver *s, struct moka_error *err); /* to max_iter, or to a stop request */
/* The seed of this run; false: nobody gave one, it was drawn from the clock. */
bool moka_solver_seed(const struct moka_solver *s, uint64_t *seed);
int64_t moka_solver_iter(const struct moka_solver *s);
const struct moka_net *moka_solver_net(const struct moka_solver *s);
int moka_solver_test_nets(const struct moka_solver *s);
const struct moka_net *moka_solver_test_net(const struct moka_solver *s, int which);
/* The .solverstate written last (or resumed from), and its iteration; NULL: none. */
const char *moka_solver_last_snapshot(const struct moka_solver *s, int64_t *iter);
/* "PREFIX" of snapshots, as it holds for this run. */
const char *moka_solver_prefix(const struct moka_solver *s);

/* One iteration, and one batch of every test net, to see that they run and what they take. Nothing is written. */
struct moka_dry_run {
	int64_t param_bytes, history_bytes, train_bytes, test_bytes, snapshot_bytes, peak_bytes;
	double train_seconds, test_seconds; /* of one iteration, of one batch of the first test net */
	double loss;
	int64_t batch;
};
enum moka_status moka_solver_dry_run(struct moka_solver *s, struct moka_dry_run *out, struct moka_error *err);

/*
 * A rate sweep: `n` iterations (at most MOKA_SWEEP_MOST) with rates from `from` to `to`, each the same factor above the last; it ends early where
 * the loss has left its best far behind. The weights are spent afterwards. Every iteration is a TRAIN event.
 */
#define MOKA_SWEEP_MOST 10000
struct moka_sweep {
	int n;				/* points made */
	double *rate, *loss, *smoothed; /* owned: moka_sweep_release() */
	double suggested;		/* NAN: the loss did not fall */
	double lowest;			/* the rate where the smoothed loss was lowest */
	double exploded;		/* the rate that ended the sweep; NAN: it ran to its end */
};
enum moka_status moka_solver_sweep(struct moka_solver *s, double from, double to, int n, struct moka_sweep *out,
				   struct moka_error *err);
void moka_sweep_release(struct moka_sweep *w);

/* The rate at iteration `iter` by lr_policy: fixed step exp inv multistep poly sigmoid; and by the Intel fork's warm-up. */
double moka_solver_rate(const struct moka_msg *solver, int64_t iter);
/* What the warm-up multiplies SGD's momentum by at `iter`: 1 outside of it. */
double moka_solver_warmup_factor(const struct moka_msg *solver, int64_t iter);
/* What BVLC Caffe calls current_step: of `step` and `multistep`, how often gamma was applied by `iter`. */
int64_t moka_solver_policy_step(const struct moka_msg *solver, int64_t iter);
/* false: unknown; *nearest is the likeliest known name, or NULL. */
bool moka_solver_policy_known(const char *policy, const char **nearest);

#endif
