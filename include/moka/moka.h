/*
 * moka.h - the public interface of Moka, the home of Caffe models.
 *
 *     struct moka_net_handle *n;
 *     struct moka_error err;
 *     const char *weights[] = { "lenet.caffemodel", NULL };
 *     if (moka_open(&n, "deploy.prototxt", &(struct moka_open_options){ .weights = weights }, &err))
 *             return fprintf(stderr, "%s\n", err.message), 1;
 *     float *x = moka_data(n, "data");            // fill it
 *     moka_forward(n, &err);
 *     const float *prob = moka_data(n, "prob");   // read it
 *     moka_close(n);
 *
 * Conventions. A function that can fail returns enum moka_status (0 is success) and takes a struct moka_error last (may
 * be NULL). Pointers returned are borrowed from the handle unless the comment says "caller frees". The library never exits, prints
 * or keeps global state. A handle may be used by one thread at a time; different handles by different threads at once.
 * The semantics are BVLC Caffe's (commit 9b89154); docs/architecture.md says where Moka differs on purpose.
 */
#ifndef MOKA_H
#define MOKA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOKA_VERSION "0.1.0"

enum moka_status {
	MOKA_OK = 0,
	MOKA_ERR_NOMEM,	      /* memory, or a budget, is exhausted */
	MOKA_ERR_IO,	      /* a file can't be opened, read or written */
	MOKA_ERR_FORMAT,      /* bytes that are not what the file should hold */
	MOKA_ERR_MODEL,	      /* the net, the solver or the weights are at fault */
	MOKA_ERR_DATA,	      /* a sample is at fault: a label out of range, a damaged record */
	MOKA_ERR_LIMIT,	      /* a size over one of Moka's limits */
	MOKA_ERR_ARG,	      /* the call is at fault */
	MOKA_ERR_UNSUPPORTED, /* known, and not something Moka can do */
	MOKA_ERR_INTERRUPTED, /* asked to stop */
};

/* Caller-owned, fixed size, needs no memory; every function accepts NULL instead. */
struct moka_error {
	enum moka_status status;
	char message[1024]; /* one sentence: where, what, expected */
	char hint[512];	    /* what to do, or "" */
};

/* The version of the library that is linked, as MOKA_VERSION is the header's. */
const char *moka_version(void);

/* ---- reading about a model --------------------------------------------------------------------- */

/*
 * What `moka explain` prints. path: a net (.prototxt, .caffemodel, any syntax) or a solver file. format: "text", "json",
 * "dot" or "html". phase: 0 train, 1 test. *out is a NUL-terminated text, caller frees with moka_free(); NULL on failure.
 * Errors: IO, FORMAT, MODEL (nothing can be described), ARG (format), NOMEM. A net with wrong layers is described all the same.
 */
enum moka_status moka_explain(char **out, const char *path, const char *format, int phase, struct moka_error *err);

/*
 * Every finding of a net, as JSON: {"findings": [{"severity", "code", "file", "line", "column", "message", "hint"}]}.
 * *errors (may be NULL): how many are errors. *out: caller frees with moka_free(). Fails only where no answer can be made (NOMEM).
 */
enum moka_status moka_check(char **out, int *errors, const char *path, int phase, struct moka_error *err);
void moka_free(void *p); /* NULL is legal */

/* ---- running a net ------------------------------------------------------------------------------- */

struct moka_net_handle;

struct moka_open_options {
	const char *const
		*weights; /* NULL-terminated list of .caffemodel or .caffemodel.h5, by layer name; NULL: fillers */
	int train;	  /* 1: phase TRAIN; 0: TEST */
	int backward;	  /* 1: moka_backward() will be called; every blob keeps its memory */
	int keep_all;	  /* 1: every blob can be read; 0: inputs and outputs only, the others share memory */
	int threads;	  /* 0: as many as the machine gives */
	uint64_t seed;	  /* of fillers and dropout */
	int64_t batch;	  /* > 0: replaces the first dimension of every input */
};

/*
 * Reads the net at `path`, takes the weights, plans and allocates. o may be NULL (test, fillers, inputs and outputs).
 * Weights files stay mapped until moka_close(), since large values are read from them when they are wanted: replace such a file, don't write into it.
 * The first error finding of the net becomes *err, as file:line:col. *out is NULL on failure.
 * Errors: IO, FORMAT, MODEL, UNSUPPORTED (a layer that can't be run), LIMIT, NOMEM.
 */
enum moka_status moka_open(struct moka_net_handle **out, const char *path, const struct moka_open_options *o,
			   struct moka_error *err);
void moka_close(struct moka_net_handle *n); /* NULL is legal */

int moka_input_count(const struct moka_net_handle *n);
int moka_output_count(const struct moka_net_handle *n);
/* Blob names, borrowed; NULL where i is outside. */
const char *moka_input_name(const struct moka_net_handle *n, int i);
const char *moka_output_name(const struct moka_net_handle *n, int i);

/* Axes of a blob and, in dims (at least 32 places), its shape, outermost first: N x C x H x W. -1: no such blob. */
int moka_shape(const struct moka_net_handle *n, const char *blob, int64_t *dims);
/*
 * Gives an input another shape; every shape after it follows, weights are kept. Data pointers got before are dead. On
 * failure the handle is as it was. Errors: ARG (no such input), MODEL (the shapes no longer fit), LIMIT, NOMEM.
 */
enum moka_status moka_reshape(struct moka_net_handle *n, const char *input, int n_axes, const int64_t *dims,
			      struct moka_error *err);

/* Plain values of a blob in its shape, row-major; may be written before moka_forward(). NULL: no such blob, or it isn't kept. */
float *moka_data(struct moka_net_handle *n, const char *blob);
/* The gradient that moka_backward() left, in the blob's shape; NULL where none flows. */
const float *moka_diff(struct moka_net_handle *n, const char *blob);

/*
 * Parameter `index` of a layer (0: weight, 1: bias ...): its values, which may be written; *count its size. NULL: none, or no memory
 * to have them plain beside what was packed of them. From then on
 * every moka_forward() looks whether they have been, which reads them all once.
 */
float *moka_param(struct moka_net_handle *n, const char *layer, int index, int64_t *count);
/* Its gradient, summed since moka_clear_param_diffs(); NULL where none is wanted. */
const float *moka_param_diff(struct moka_net_handle *n, const char *layer, int index);
void moka_clear_param_diffs(struct moka_net_handle *n);

/* All layers forward. Errors: DATA (a label out of range: names layer, sample and value), UNSUPPORTED, IO (data layers). */
enum moka_status moka_forward(struct moka_net_handle *n, struct moka_error *err);
/* The weighted sum of the losses of the last moka_forward(). */
double moka_loss(const struct moka_net_handle *n);
/*
 * All layers backward, from the losses. Parameter gradients are added to. Needs `backward` at moka_open(): else ARG.
 */
enum moka_status moka_backward(struct moka_net_handle *n, struct moka_error *err);

/* ---- training -------------------------------------------------------------------------------------- */

struct moka_train_options {
	const char *const *weights; /* NULL-terminated; fine-tuning */
	const char *snapshot;	    /* a .solverstate to go on from; NULL */
	int64_t max_iter;	    /* 0: the solver's */
	int threads;		    /* 0: as many as the machine gives */
	/* After every iteration; a value other than 0 stops (a snapshot is written first). NULL: nobody asks. */
	int (*on_iteration)(void *arg, int64_t iter, double loss, double rate);
	void *arg;
};

/* Trains as the solver file says, to its max_iter. Snapshots go where it says. Errors: as moka_open(); DATA where training diverges. */
enum moka_status moka_train(const char *solver_path, const struct moka_train_options *o, struct moka_error *err);

#ifdef __cplusplus
}
#endif
#endif
