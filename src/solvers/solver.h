/*
 * solver.h - training: one update rule a file, solver.c the loop (schedule, tests, snapshots, log).
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
	int n_history;				     /* arrays per parameter use */
	void (*update)(const struct moka_update *u); /* turns u->g into the step */
};
extern const struct moka_solver_rule *const moka_solver_rules[]; /* NULL ends; over the list in solvers/meson.build */

/* Events for whoever watches: the JSONL log, the progress line. Borrowed, valid during the call. */
enum moka_solver_event_kind {
	MOKA_EVENT_TRAIN,
	MOKA_EVENT_TEST,
	MOKA_EVENT_SNAPSHOT,
	MOKA_EVENT_DISPLAY,
	MOKA_EVENT_NOTE
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
};

/* Builds nets, loads weights and state, checks sources, folders and free space before the first iteration. */
enum moka_status moka_solver_new(struct moka_solver **out, struct moka_model *solver_model,
				 const struct moka_solver_options *o, struct moka_findings *f);
void moka_solver_free(struct moka_solver *s);
enum moka_status moka_solver_run(struct moka_solver *s, struct moka_error *err); /* to max_iter, or to a stop request */
int64_t moka_solver_iter(const struct moka_solver *s);
const struct moka_net *moka_solver_net(const struct moka_solver *s);

/* The rate at iteration `iter` by lr_policy: fixed step exp inv multistep poly sigmoid. */
double moka_solver_rate(const struct moka_msg *solver, int64_t iter);
/* false: unknown; *nearest is the likeliest known name, or NULL. */
bool moka_solver_policy_known(const char *policy, const char **nearest);

#endif
