/*
 * internal.h - what the files of solvers/ share: the solver's state between iterations.
 */
#ifndef MOKA_SOLVERS_INTERNAL_H
#define MOKA_SOLVERS_INTERNAL_H

#include "solvers/solver.h"

#define MOKA_MAX_TEST_NETS 64
#define MOKA_HISTORIES 3

/*
 * What is updated together with one history: a parameter (all its uses summed), or, where the uses of a shared parameter
 * state different multipliers, one use of it. In the order of layers, as BVLC Caffe orders its learnable parameters
 * and the histories of a .solverstate.
 */
struct moka_slot {
	int param, use;
	float lr_mult, decay_mult;
	int64_t count;
	real *history[MOKA_HISTORIES]; /* count values each */
};

struct moka_test_net {
	struct moka_net *net;
	struct moka_exec *exec;
	int64_t iterations;
	double *sums; /* of every output value, over the iterations */
	int n_sums;
};

struct moka_solver {
	struct moka_arena arena;
	struct moka_model *model;
	const struct moka_msg *root; /* SolverParameter */
	struct moka_solver_options o;
	const struct moka_solver_rule *rule;
	struct moka_rule_param rule_param;
	struct moka_net *net;
	struct moka_exec *exec;
	struct moka_test_net tests[MOKA_MAX_TEST_NETS];
	int n_tests;
	struct moka_slot *slots;
	int n_slots;
	real *history_block;
	int64_t iter, max_iter, iter_size, batch;
	uint64_t seed;
	double *recent; /* the last average_loss losses, a ring */
	int64_t n_recent, recent_size;
	double smoothed;
	double started, trained_seconds;
	bool l1;
	double weight_decay, clip;
};

const struct moka_solver_rule *moka__rule_find(const char *name, const char **nearest);

/* update.c: gradients in the execution -> new weights. */
void moka__solver_apply(struct moka_solver *s, double rate);
/* Allocates slots and histories (zeros). */
enum moka_status moka__solver_slots(struct moka_solver *s, struct moka_error *err);

/* snapshot.c */
enum moka_status moka__solver_snapshot(struct moka_solver *s, struct moka_error *err);
enum moka_status moka__solver_restore(struct moka_solver *s, const char *path, struct moka_findings *f);
/* Where snapshots go is looked at before the first iteration: the folder is there, writable, and has room. */
void moka__solver_check_snapshots(struct moka_solver *s, struct moka_findings *f);

void moka__solver_event(struct moka_solver *s, struct moka_solver_event *e);

#endif
