/*
 * net.h - what will run: layers of one phase, blobs with shapes, parameters with owners, and executions of them.
 *
 *   build.c    model -> net, with phases.c (who takes part), wire.c (bottoms and tops), shape.c (shapes, counts, limits)
 *   share.c    which layers use one parameter, and by which rule it is updated
 *   gradient.c losses, and who needs a gradient
 *   params.c   memory of parameters, fillers;  weights.c weights -> parameters, and a net as a message
 *   plan.c     which blob lives where, layer by layer;  place.c things with a life placed in one block
 *   exec.c     an execution;  memory.c its memory;  run.c forward, backward
 *   arrange.c  training: which blobs lie in blocks of channels;  join.c layers run as one step there, join_run.c their passes
 *   fused.h    inference planned as a whole: works joined, laid out, packed, and run (graph.c ... steps.c)
 *
 * The net describes and is read-only while it runs; everything that changes in a pass is in moka_exec, except the
 * parameters' data, which all executions of a net share.
 */
#ifndef MOKA_NET_H
#define MOKA_NET_H

#include "layers/layer.h"
#include "model/model.h"

/*
 * One version of a blob. An in-place layer makes no new version: the blob's `producer` is the layer that made it, and
 * in-place layers are among its consumers. (Where an in-place layer would overwrite data that another layer still
 * needs, it gets a version of its own with the same name.)
 */
struct moka_blob {
	const char *name;
	struct moka_shape shape;
	int producer; /* layer index; -1: an input of the net (declared by input fields is an Input layer; undeclared) */
	int producer_top;
	int *consumers; /* layer indices in order, in-place ones too */
	int n_consumers;
	bool declared;	      /* false: a bottom that nobody produces, in a fragment */
	bool is_input;	      /* undeclared, or top of an Input layer */
	bool is_output;	      /* nobody (but in-place layers) consumes it */
	bool need_gradient;   /* it has a diff in a backward pass */
	bool gradient_source; /* a gradient may be put on it from outside: moka_exec_set_diff() */
	struct moka_loc loc;
};

/* One use of a parameter by a layer. */
struct moka_param_use {
	int layer, index;	   /* parameter `index` of layer */
	float lr_mult, decay_mult; /* that hold for this use: stated, or taken from the others, or 1 */
	bool lr_stated, decay_stated;
	struct moka_loc loc; /* of its param {} line, of the layer where there is none */
};

struct moka_param {
	const char *name; /* the shared name, or "<layer>.<i>" */
	bool named;
	const char *role;
	struct moka_shape shape;
	int64_t count; /* -1: not known */
	int owner;     /* layer index of the first use */
	struct moka_param_use *uses;
	int n_uses;
	bool per_use_update; /* uses state different multipliers: each use has its own gradient and history (Caffe before July 2015) */
	const struct moka_filler_param *filler;
	real *data;	  /* count values, 64-byte aligned; NULL until moka_net_allocate() */
	const char *from; /* weights file it was taken from; NULL: filler */
	bool unfilled;	  /* reserved, its filler has not run yet */
	bool borrowed;	  /* data is another net's (moka_net_share) */
	bool given_back;  /* data holds nothing now: a plan has it packed, or it is still in its file (moka_net_lend) */
	const uint8_t *raw; /* given back: count values of real in `file`, at any address; NULL: again() brings them */
	const struct moka_file *file;
};

struct moka_net_layer {
	struct moka_layer l; /* l.type NULL: unknown layer (drawn, counted) */
	const char *type_name;
	struct moka_loc loc;
	int *bottoms, *tops; /* blob indices; in place: tops[i] == bottoms[j] */
	bool in_place;
	int *params;	      /* parameter indices, l.n_param of them */
	int *param_uses;      /* which use of that parameter this is */
	float *loss_weight;   /* per top */
	bool *propagate_down; /* per bottom, as the net says (default true) */
	bool need_backward;
	bool *bottom_gradient; /* per bottom: backward must fill its diff */
	bool *param_gradient;  /* per parameter */
	bool shaped;	       /* every top's shape is known */
	bool asked;	       /* shape() was asked and found nothing wrong: l.params and l.macs are what it says */
	bool counts_wrong;     /* too few or too many bottoms or tops for its type */
	bool runnable;	       /* has forward, or needs none (an input) */
	bool is_input;	       /* its tops are the net's inputs: whoever runs the net fills them */
};

/*
 * Brings a net's values again: calls moka_net_load() with every file that they came from, in the same order.
 */
struct moka_net;
typedef enum moka_status moka_net_again_fn(void *arg, struct moka_net *n, struct moka_error *err);

struct moka_net {
	struct moka_arena arena;
	const struct moka_model *model; /* must outlive the net */
	const char *name;
	enum moka_phase phase;
	bool force_backward;
	struct moka_net_layer *layers;
	int n_layers;
	struct moka_blob *blobs;
	int n_blobs;
	struct moka_param *params;
	int n_params;
	int *inputs, n_inputs; /* blob indices, in order */
	int *outputs, n_outputs;
	int64_t total_params;	  /* shared ones once; -1: some shape isn't known */
	int64_t total_macs;	  /* -1 likewise */
	int64_t activation_bytes; /* every blob once, float32; -1 likewise */
	void *param_block;	  /* owned: all parameters' data */
	uint64_t fill_seed;	  /* of moka_net_reserve() */
	int64_t memory_limit_bytes;
	/* what inference makes of the parameters (packed weights) is kept while this stays the same: moka_net_touch() */
	uint64_t weights_version;
	bool weights_watched;	  /* moka_net_watch() */
	moka_net_again_fn *again; /* moka_net_lend() */
	void *again_arg;
	bool restoring;
	const struct moka_net *weights_of; /* whose parameters it uses (moka_net_share) */
	struct moka__shared *shared;	   /* the plan of its inferences */
};

struct moka_net_input {
	const char *blob;
	struct moka_shape shape;
};

struct moka_net_options {
	enum moka_phase phase;
	int level;
	const char *const *stages;
	int n_stages;
	const struct moka_net_input *inputs; /* shapes given from outside, by blob name: they win over the net's own */
	int n_inputs;
	int64_t batch; /* > 0: replaces the first dimension of every input, and batch_size of data layers */
	bool for_run;  /* unknown layers, unknown shapes, missing data are errors, not warnings */
	bool backward; /* gradients will be wanted */
	const char *const *gradient_tops; /* blobs that get a gradient from outside (run -g) */
	int n_gradient_tops;
	bool strict;
	const struct moka_source_ops *const *sources; /* NULL-terminated; may be NULL */
	const struct moka_registry *registry;	      /* layer types; NULL: the built-in ones. Outlives the net */
	uint64_t seed;
	int64_t memory_limit_bytes; /* of blobs and parameters; 0: 64 GiB or the machine's memory, whichever is less */
	int64_t skip_bad;	    /* damaged records that each data layer may leave out */
	int read_threads;	    /* that read ahead for each data layer; 0: as many as seem good */
};

/*
 * Builds. MOKA_OK with a net whenever one can be described (f may hold errors: caller decides by f->errors); an
 * error status (with errors in f) where nothing can. `m` must outlive the net and be a net, not a solver.
 */
enum moka_status moka_net_build(struct moka_net **out, const struct moka_model *m, const struct moka_net_options *o,
				struct moka_findings *f);
void moka_net_free(struct moka_net *n);
int moka_net_blob(const struct moka_net *n, const char *name);	      /* last version's index; -1 */
int moka_net_layer_index(const struct moka_net *n, const char *name); /* -1 */
/* The nearest blob name, for messages; NULL. */
const char *moka_net_nearest_blob(const struct moka_net *n, const char *name);

/* Parameters' data: allocated, filled by their fillers from o->seed. */
enum moka_status moka_net_allocate(struct moka_net *n, uint64_t seed, struct moka_error *err);
/*
 * The same for a net that gets its weights from a file at once: the fillers run later (in moka_net_load() or moka_exec_new(), with the
 * same values), and only over what the file left; half a gigabyte of random numbers is not made to be thrown away.
 */
enum moka_status moka_net_reserve(struct moka_net *n, uint64_t seed, struct moka_error *err);
/*
 * Test nets: parameters with the same layer name, index and shape as in `from` use from's memory (from must be allocated and outlive n);
 * the others are allocated and filled. Instead of moka_net_allocate().
 */
enum moka_status moka_net_share(struct moka_net *n, struct moka_net *from, struct moka_error *err);
/* Parameters' data have been changed: executions pack them again before their next pass. */
void moka_net_touch(struct moka_net *n);
/* Parameters' data may be changed at any time between passes from now on (somebody holds a pointer to them): executions look. */
enum moka_status moka_net_watch(struct moka_net *n, struct moka_error *err);
/*
 * For a net that only infers: weights that a plan has packed may be given back to the system, since again(arg, n) can bring them (all files
 * stay open as long as the net). Before the first execution. Large weights that are loaded after it stay in their mapped file until they are
 * packed: data holds nothing yet. Whoever wants plain values (moka_net_watch() and an execution layer by
 * layer do it by themselves) calls moka_net_plain() first: everything is there again, and stays.
 */
void moka_net_lend(struct moka_net *n, moka_net_again_fn *again, void *arg);
/* What such a function does of a net that got its values from these files, in this order: loads them once more. */
enum moka_status moka_net_load_again(struct moka_net *n, struct moka_weights *const *weights, int n_weights,
				     struct moka_error *err);
enum moka_status moka_net_plain(struct moka_net *n, struct moka_error *err);
/* Frees what inferences keep with the net (packed weights), where no execution of it is alive; the next one makes it anew. */
void moka_net_drop_plan(struct moka_net *n);
/*
 * Takes weights by layer name. What doesn't fit (a blob of another shape: which dimension), was not used, or stayed at its filler goes to f
 * as findings ("weights-mismatch" error, "weights-unused" and "weights-missing" warnings). Legacy 1x1xMxN shapes fit (M, N). A net whose
 * parameters aren't allocated (explain, check) is only checked.
 */
enum moka_status moka_net_load(struct moka_net *n, struct moka_weights *w, bool strict, struct moka_findings *f);
/* The net with its weights as a NetParameter tree, as BVLC Caffe's Net::ToProto makes it (shared blobs under each layer). Tree
 * and copies in the arena; float views borrow n's parameters. with_diff needs an exec. */
struct moka_exec;
enum moka_status moka_net_to_msg(struct moka_net *n, const struct moka_exec *with_diff, struct moka_arena *a,
				 struct moka_msg **out);

/* ---- execution --------------------------------------------------------------------------------- */

enum moka_keep { MOKA_KEEP_OUTPUTS, MOKA_KEEP_ALL };

struct moka_exec_options {
	enum moka_keep keep; /* OUTPUTS: blobs share memory as their lives allow; only outputs and inputs stay */
	bool backward;	     /* needs KEEP_ALL */
	bool by_layer;	     /* OUTPUTS: layer by layer, not by a plan (MOKA_PLAN=off in the environment: likewise) */
	/*
	 * backward: blobs lie as convolutions like them, and layers that follow each other in place are run as one step, at
	 * the first of them; the others then do nothing (MOKA_PLAN=off: not so). moka_exec_data() and moka_exec_diff() give
	 * plain values all the same: of blobs that lie otherwise a copy, made when asked for, good until the next pass, and
	 * for reading alone. Whole passes, or layer by layer in order.
	 */
	bool arrange;
	/*
	 * backward: gradients of parameters that are one product of what the pass leaves (an inner product's weights) are not made by it,
	 * but when moka_exec_param_diff() asks for one, or go by in moka_exec_param_stream(), before the next forward pass (and
	 * before anybody else changes a blob). A pointer that
	 * moka_exec_param_diff() gave before the pass shows nothing new until it is asked again.
	 */
	bool late;
	struct moka_pool *pool; /* borrowed; NULL: this thread */
	uint64_t seed;
};

/* Plans memory and allocates it. `n` must outlive the execution and be allocated. */
enum moka_status moka_exec_new(struct moka_exec **out, struct moka_net *n, const struct moka_exec_options *o,
			       struct moka_error *err);
void moka_exec_free(struct moka_exec *e);
/* What is random in the next pass (dropout, random fillers) then depends on the execution's seed and on `pass` alone. */
void moka_exec_reseed(struct moka_exec *e, uint64_t pass);
/* Plain values of blob i; NULL where it is not kept. diff: NULL where none. */
real *moka_exec_data(struct moka_exec *e, int blob);
real *moka_exec_diff(struct moka_exec *e, int blob);
/* Gradient of parameter p (per_use_update: of use `use`; else use 0). NULL where none is wanted. */
real *moka_exec_param_diff(struct moka_exec *e, int param, int use);
void moka_exec_clear_param_diffs(struct moka_exec *e);
/*
 * A late gradient of one pass, handed out as it is made and kept nowhere (moka_gemm_outer()): for parameters that are too large for
 * a cache. take() may change the parameter's data. false: that gradient isn't late, or is made already; nothing was handed out.
 */
bool moka_exec_param_stream(struct moka_exec *e, int param, moka_gemm_take *take, void *arg);
/* Whether a late gradient is not made yet, and sure to be finite when it is: its factors are, and far enough from overflow. */
bool moka_exec_param_late(struct moka_exec *e, int param);
/* Forward through layers [from, to); forward through all: 0, n_layers. *loss (may be NULL): sum of weighted losses. */
enum moka_status moka_exec_forward(struct moka_exec *e, int from, int to, real *loss, struct moka_error *err);
/*
 * Backward through all layers that need it. Starts from loss weights and from the diffs put in by moka_exec_set_diff(). Parameter
 * diffs are added to. Runs layers from `from` - 1 down to `to` (n_layers, 0: all).
 */
enum moka_status moka_exec_backward(struct moka_exec *e, int from, int to, struct moka_error *err);
enum moka_status moka_exec_set_diff(struct moka_exec *e, int blob, const real *diff, struct moka_error *err);
/* One layer alone, timed by the caller (moka time). */
enum moka_status moka_exec_layer_forward(struct moka_exec *e, int layer, struct moka_error *err);
enum moka_status moka_exec_layer_backward(struct moka_exec *e, int layer, struct moka_error *err);
/* How many items (first dimension) of blob are real where the data decide it (Filter); -1: all. */
int64_t moka_exec_items(const struct moka_exec *e, int blob);
/* ---- the plan of an inference ------------------------------------------------------------------ */

/*
 * How a net runs where only outputs are kept and no gradient is wanted: steps, each of one layer or several. A plan can be made of a net
 * without weights, to be shown. *out NULL and MOKA_OK: this net is run layer by layer. Caller frees.
 */
struct moka_plan;
enum moka_status moka_plan_new(struct moka_plan **out, const struct moka_net *n, struct moka_error *err);
void moka_plan_free(struct moka_plan *p);
struct moka_plan_step {
	const int *layers; /* those that are one step, in order; none: a copy into another layout */
	int n_layers;
	const char *algorithm;	 /* for people */
	int in_blob, out_blob;	 /* of the first bottom, of the first top; -1: none */
	int adds_blob;		 /* added in the same step; -1: none */
	int in_block, out_block; /* 1: plain, NCHW; else channels in blocks of so many */
	size_t offset, bytes;	 /* of the first top in the block of blobs; of all tops */
	int64_t images; /* of the batch, with which it runs at a time, the steps around it of the same number first; 0: the whole batch */
	int64_t macs;
	bool with_next; /* runs together with the next step, rows of both in turns: its top is never in memory, its time is the next one's */
	double share; /* of the whole pass's time, as expected */
};
int moka_plan_steps(const struct moka_plan *p);
void moka_plan_step(const struct moka_plan *p, int i, struct moka_plan_step *out);
struct moka_plan_bytes {
	size_t values, bound; /* the block of blobs; what is alive at the worst moment, which no plan can go below */
	size_t room;	      /* that each thread has for blobs of steps that run some images at a time */
	size_t packed, scratch;
};
void moka_plan_memory(const struct moka_plan *p, struct moka_plan_bytes *out);
/* The plan by which an execution runs; NULL: layer by layer. Such an execution runs whole passes only. */
const struct moka_plan *moka_exec_plan(const struct moka_exec *e);
/* One step alone, timed by the caller. (Of steps that run some images at a time the values are not what a whole pass makes.) */
enum moka_status moka_exec_step_forward(struct moka_exec *e, int step, struct moka_error *err);

int64_t moka_exec_bytes(const struct moka_exec *e); /* of its block: blobs, diffs, state, scratch */

#endif
