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
	bool l1, hdf5, debug;
	double weight_decay, clip;
	double rate_override; /* > 0: of a sweep */
	/* snapshots */
	const char *prefix;
	char *last_state; /* owned */
	int64_t last_state_iter;
	int64_t *kept; /* iterations of the snapshots that are there, oldest first; owned */
	int n_kept, cap_kept;
	bool snapshot_failed;
	/* keep.c */
	int best_net, best_output; /* best_net -1: keep_best isn't wanted */
	bool best_low;		   /* less is better */
	bool have_best;
	double best;
	int64_t best_iter;
	int worse; /* tests since */
	/* diverged.c */
	double first_loss, last_loss, recent_loss; /* the latter a running mean */
	int64_t n_losses;
	bool told_exploded, diverged;
};

const struct moka_solver_rule *moka__rule_find(const char *name, const char **nearest);

void moka__adam_update(const struct moka_update *u); /* adam.c, for AdamW too */

/* update.c: whether nobody but the update reads a gradient: no clipping by their norm, no sum over passes, no record of them. */
bool moka__updates_at_once(const struct moka_solver *s);
/* update.c: gradients in the execution -> new weights. */
void moka__solver_apply(struct moka_solver *s, double rate);
/* Allocates slots and histories (zeros). */
enum moka_status moka__solver_slots(struct moka_solver *s, struct moka_error *err);

/* loop.c */
void moka__solver_note(struct moka_solver *s, const char *fmt, ...) MOKA_PRINTF(2, 3);
enum moka_status moka__solver_step(struct moka_solver *s, double *loss, struct moka_error *err);
enum moka_status moka__solver_seek(struct moka_solver *s, struct moka_error *err); /* data as at s->iter */
double moka__solver_rate_now(const struct moka_solver *s);
/* What events call a net's outputs; `means` NULL: their values now. Returns how many (at most max). */
int moka__solver_outputs(struct moka_net *n, struct moka_exec *e, const double *means, struct moka_solver_output *out,
			 int max);

/* finetune.c: --weights, or the solver's own. */
enum moka_status moka__solver_weights(struct moka_solver *s, struct moka_findings *f);

/* debug.c: passes that say what they find, as debug_info asks. */
enum moka_status moka__debug_forward(struct moka_solver *s, struct moka_net *n, struct moka_exec *e, real *loss,
				     struct moka_error *err);
enum moka_status moka__debug_backward(struct moka_solver *s, struct moka_error *err);

/* diverged.c */
bool moka__all_finite(struct moka_pool *pool, int64_t n, const real *v);
enum moka_status moka__check_gradients(struct moka_solver *s, double loss, struct moka_error *err);
enum moka_status moka__diverged(struct moka_solver *s, double loss,
				struct moka_error *err); /* the loss is not finite */
void moka__watch_loss(struct moka_solver *s, double loss);

/* keep.c */
void moka__keep_check(struct moka_solver *s, struct moka_findings *f);
enum moka_status moka__keep_tested(struct moka_solver *s, int net, const struct moka_solver_output *outputs, int n,
				   struct moka_error *err);
void moka__keep_snapshot(struct moka_solver *s); /* one was written: old ones may go */
void moka__keep_resumed(struct moka_solver *s);
bool moka__keep_enough(const struct moka_solver *s); /* early_stop says so */

/* snapshot.c */
bool moka__writes_snapshots(const struct moka_solver *s);
int64_t moka__snapshot_bytes(const struct moka_solver *s);
enum moka_status moka__write_weights(struct moka_solver *s, const char *path, struct moka_error *err);
/* "_iter_12" -> PREFIX_iter_12.caffemodel and .solverstate (or .h5). */
enum moka_status moka__solver_snapshot_as(struct moka_solver *s, const char *suffix, struct moka_error *err);
const char *moka__snapshot_prefix(struct moka_solver *s);
enum moka_status moka__solver_snapshot(struct moka_solver *s, struct moka_error *err);
enum moka_status moka__solver_restore(struct moka_solver *s, const char *path, struct moka_findings *f);
/* Where snapshots go is looked at before the first iteration: the folder is there, writable, and has room. */
void moka__solver_check_snapshots(struct moka_solver *s, struct moka_findings *f);

void moka__solver_event(struct moka_solver *s, struct moka_solver_event *e);

#endif
