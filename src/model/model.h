/*
 * model.h - what a file says, not yet what will run.
 *
 * A model is a net or a solver as its author wrote it, brought up to the current syntax: layers in order, each with its
 * tree (proto/proto.h) and its places in the file. Weights are views of the mapped file. Nothing here
 * knows what a Convolution does.
 */
#ifndef MOKA_MODEL_H
#define MOKA_MODEL_H

#include "proto/proto.h"

/* ---- weights ------------------------------------------------------------------------------- */

enum moka_dtype { MOKA_F32, MOKA_F64, MOKA_F16, MOKA_U8, MOKA_I8 };

/* One blob as stored: a view (never aligned for sure) of a mapped file, or of memory that the holder keeps. */
struct moka_blob_view {
	int n_axes; /* -1: the file gives no shape */
	int64_t dim[MOKA_MAX_AXES];
	bool legacy;   /* num/channels/height/width: leading ones mean nothing (a bias is 1x1x1xN) */
	int64_t count; /* values stored; 0: shape only */
	enum moka_dtype dtype;
	const uint8_t *data;
	uint32_t stride; /* bytes from value to value (tags of unpacked fields between) */
};

/* Converts values [begin, begin + n) to real. */
void moka_blob_view_read(const struct moka_blob_view *v, int64_t begin, int64_t n, real *out);
/* Reads a BlobProto's tree (shape, or the legacy four; data, double_data, or NVIDIA's raw_data). diff: the diff instead. */
enum moka_status moka_blob_view_from_msg(const struct moka_msg *blob, bool diff, struct moka_blob_view *out,
					 struct moka_error *err);
/*
 * The same, and also for values that lie in several pieces of the file, or were written as text: those are copied into
 * `a`, so that the view is one array. Every size is checked against the shape.
 */
enum moka_status moka_blob_view_make(struct moka_arena *a, const struct moka_msg *blob, bool diff,
				     struct moka_blob_view *out, struct moka_error *err);
/* "1x3x224x224"; "?" where unknown; "scalar" for no axes. Returns buf. */
const char *moka_dims_text(int n_axes, const int64_t *dim, char *buf, size_t size);

struct moka_weights_layer {
	const char *name, *type; /* type NULL: the file does not say (HDF5) */
	int n_blobs;
	struct moka_blob_view *blobs; /* one that HDF5 leaves out (a shared one): n_axes -1, count 0 */
	bool used;		      /* set by whoever takes them: moka_net_load() */
};

struct moka_weights {
	struct moka_arena arena;
	struct moka_file file;
	const char *path;
	struct moka_weights_layer *layers;
	int n_layers;
};

/*
 * Opens a .caffemodel (current, V1 or V0 binary; float, double or fp16), a .caffemodel.h5 (Caffe's
 * "data/<layer>/<i>" datasets), or a net in text that carries blobs. What the file is, is found from its bytes. A
 * .solverstate, a Git LFS pointer, a text net without blobs, a mean image: an error that says what it is and what to give.
 * Opening maps the file and touches no values (HDF5: reads them).
 */
enum moka_status moka_weights_open(struct moka_weights **out, const char *path, const struct moka_schema *s,
				   struct moka_error *err);
void moka_weights_free(struct moka_weights *w);

/* ---- what is this file? ------------------------------------------------------------------------ */

/* Found from the bytes alone, never from the name. */
enum moka_file_guess {
	MOKA_GUESS_UNKNOWN,
	MOKA_GUESS_EMPTY,
	MOKA_GUESS_TEXT_NET,
	MOKA_GUESS_TEXT_SOLVER,
	MOKA_GUESS_TEXT,       /* some text without a field of either */
	MOKA_GUESS_CAFFEMODEL, /* a NetParameter in binary, with weights or without */
	MOKA_GUESS_SOLVER,     /* a SolverParameter in binary */
	MOKA_GUESS_SOLVERSTATE,
	MOKA_GUESS_MEAN, /* a BlobProto: mean.binaryproto */
	MOKA_GUESS_DATUM,
	MOKA_GUESS_HDF5,
	MOKA_GUESS_NPY,
	MOKA_GUESS_JPEG,
	MOKA_GUESS_PNG,
	MOKA_GUESS_LFS,	     /* a Git LFS pointer */
	MOKA_GUESS_CONFLICT, /* text with Git's merge-conflict markers */
	MOKA_GUESS_HTML,
	MOKA_GUESS_ZIP, /* also .npz and PyTorch's .pt */
	MOKA_GUESS_GZIP,
	MOKA_GUESS_LMDB,
	MOKA_GUESS_UTF16,
};
enum moka_file_guess moka_model_guess(const struct moka_file *f);
const char *moka_guess_text(enum moka_file_guess g); /* "a Git LFS pointer", "a mean image (.binaryproto)" */
/*
 * The error of a file that is not what was wanted: "PATH: this is a JPEG picture, not a net"; with what to do as its hint (for an LFS
 * pointer: the size it stands for, and `git lfs pull`). wanted: "a net or a solver", "weights", "a .solverstate". MOKA_ERR_FORMAT.
 */
enum moka_status moka_guess_fail(struct moka_error *err, const char *path, const struct moka_file *f,
				 enum moka_file_guess g, const char *wanted);

/* ---- models ---------------------------------------------------------------------------------- */

enum moka_model_kind { MOKA_MODEL_NET, MOKA_MODEL_SOLVER };

struct moka_model_layer {
	const char *name;     /* "" where the file gives none */
	const char *type;     /* "" where the file gives none */
	struct moka_msg *msg; /* LayerParameter, current syntax */
	struct moka_loc loc;
};

struct moka_model {
	struct moka_arena arena;
	struct moka_file file;
	struct moka_text text;
	enum moka_model_kind kind;
	bool binary;
	struct moka_msg *root; /* NetParameter or SolverParameter, current syntax */
	/* of a net: */
	const char *name;
	struct moka_model_layer *layers;
	int n_layers;
	bool force_backward;
	/* of a solver: the net it names or holds, opened by moka_model_solver_net(); NULL until then */
	struct moka_model *net;
	/* a solver may name several (train, tests): the others follow here; of a net: the next one. Private. */
	struct moka_model *next;
	const void *opened_from;
};

struct moka_model_options {
	bool raw;    /* leave old syntax as it is: for convert --raw and upgrade */
	int expect;  /* -1: find out; else an enum moka_model_kind */
	bool strict; /* unknown fields are errors */
};

/*
 * Reads a net or a solver, text or binary, of any age. Which it is, is found from the content. Findings go to
 * f. MOKA_OK with a model whenever one could be made (f may hold errors); else a status with at least one error in f,
 * also for a file that isn't there, a Git LFS pointer, merge-conflict markers, a .solverstate, a JPEG...
 */
enum moka_status moka_model_open(struct moka_model **out, const char *path, const struct moka_schema *s,
				 const struct moka_model_options *o, struct moka_findings *f);
/* The same from memory; `path` is only a name. data must outlive the model. */
enum moka_status moka_model_parse(struct moka_model **out, const char *path, const void *data, size_t size,
				  const struct moka_schema *s, const struct moka_model_options *o,
				  struct moka_findings *f);
void moka_model_free(struct moka_model *m);
/* The net of a solver: inline or by path (net, train_net, test_net[i], net_param ...; which >= 0: test net `which`, -1: train). Kept in,
 * and freed with, the solver's model. */
enum moka_status moka_model_solver_net(struct moka_model *solver, int which, const struct moka_schema *s,
				       struct moka_model **net, struct moka_findings *f);

/* ---- other files ------------------------------------------------------------------------------- */

/* An array of any shape, as .npy holds it. Values in C order. */
struct moka_array {
	int n_axes;
	int64_t dim[MOKA_MAX_AXES];
	int64_t count;
	real *data; /* owned */
};
void moka_array_release(struct moka_array *a);
/* .npy: float32/float64/(u)int8..64, C order, versions 1 to 3. Anything else is an error that says what was found. */
enum moka_status moka_npy_read(struct moka_array *out, const char *path, struct moka_error *err);
/* float32, C order, version 1. A shape of no axes is (). */
enum moka_status moka_npy_write(const char *path, int n_axes, const int64_t *dim, const real *data,
				struct moka_error *err);
/* A .binaryproto (BlobProto, e.g. a mean image), or an .npy, as an array with its own shape (a leading 1 is kept). */
enum moka_status moka_mean_read(struct moka_array *out, const char *path, struct moka_error *err);

#endif
