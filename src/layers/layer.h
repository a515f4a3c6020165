/*
 * layer.h - the contract between a layer type and the net.
 *
 * A layer type is one constant struct in one file: what it is called, which fields its prototxt may hold, how many
 * bottoms and tops it takes, the shapes it makes, its arithmetic. It states facts; the net decides (buffers, order,
 * threads, sharing). A layer file includes this header, kernels/kernels.h and nothing else of Moka.
 *
 * Life of a layer:
 *   shape()     once per net build, and again when an input changes its shape. Checks settings, sets top shapes, parameter
 *               shapes, state and scratch sizes, multiply-accumulates, private geometry. Touches no data.
 *   layout(), fit()  where an execution that trains lays blobs out itself: how they may lie, and, once that is settled, what the
 *               layer needs for it. Both optional.
 *   forward()   reads bottoms and parameters, writes tops (all of them, every element).
 *   backward()  reads top diffs (and any data); OVERWRITES the bottom diffs that are asked for;
 *               ADDS to the parameter diffs that are asked for.
 * Several executions of one net may run at once: the layer struct is read-only in forward and backward;
 * what changes lives in the call's state.
 */
#ifndef MOKA_LAYER_H
#define MOKA_LAYER_H

#include "kernels/kernels.h"
#include "proto/proto.h"

enum moka_phase { MOKA_TRAIN = 0, MOKA_TEST = 1 };

/* n axes, d[0] outermost. n == -1: nothing known. A d of -1: that dimension isn't known. */
struct moka_shape {
	int n;
	int64_t d[MOKA_MAX_AXES];
};

bool moka_shape_known(const struct moka_shape *s); /* every dimension */
int64_t moka_shape_count(
	const struct moka_shape *s); /* product; -1 unknown. Never overflows for blobs of a built net */
int64_t moka_shape_count_range(const struct moka_shape *s, int begin, int end); /* of axes [begin, end) */
bool moka_shape_equal(const struct moka_shape *a, const struct moka_shape *b);
int moka_shape_axis(const struct moka_shape *s, int64_t axis); /* negative counts from the end; -1: outside */
struct moka_shape moka_shape_make(int n, ...);		       /* int64_t dimensions */
const char *moka_shape_text(const struct moka_shape *s, char *buf, size_t size); /* "1x3x224x224", "?" ; returns buf */
#define MOKA_SHAPE_TEXT 256

struct moka_blob_ref {
	const char *name;
	struct moka_shape shape;
};

struct moka_param_ref {
	struct moka_shape shape;
	const char *role;			/* "weight", "bias", "mean", "slope" ... */
	const struct moka_filler_param *filler; /* NULL: zeros */
	bool fixed; /* statistics that no solver may touch (BatchNorm's): lr_mult and decay_mult are 0 whatever the net says */
};

#define MOKA_LAYER_PARAMS                                                                                              \
	8 /* as many as a layer owns without asking the arena (NVIDIA's BatchNorm: 5; a DenseBlock: hundreds) */

struct moka_onnx;
struct moka_op;
struct moka_source; /* where a data layer's samples come from (below) */

struct moka_layer {
	const struct moka_layer_type *type;
	const char *name;
	const struct moka_msg *msg; /* the LayerParameter: moka_has(l->sub, "axis"), places for findings */
	const struct moka_msg *sub; /* the tree of its own parameter message, or NULL where absent */
	const void *param; /* decoded from sub: the struct of type->schema.message; never NULL where the type has one */
	const struct moka_loss_param *loss;	      /* loss_param, defaults where absent */
	const struct moka_msg *loss_sub;	      /* its tree, or NULL */
	const struct moka_transform_param *transform; /* transform_param, likewise */
	enum moka_phase phase;
	int n_bottom, n_top;
	const struct moka_blob_ref *bottom; /* shapes known unless type->flags has MOKA_PARTIAL */
	struct moka_blob_ref *top;	    /* shape() sets .shape */
	struct moka_arena *arena;	    /* for priv; lives as long as the net */

	/* set by shape(): */
	int n_param, param_room;
	struct moka_param_ref
		*params; /* n_param of them: moka_layer_param() adds one. NULL where there never was one */
	struct moka_param_ref few_params[MOKA_LAYER_PARAMS]; /* their place while they are few */
	void *priv;					     /* its own geometry, from arena */
	size_t state_bytes; /* kept from forward to backward, per execution (mask, argmax, scale); zeroed once at start */
	bool state_for_backward; /* nothing in the state is needed where no backward follows: it may be NULL then */
	size_t scratch_bytes;	 /* during one call, shared by all layers */
	int64_t macs;		 /* multiply-accumulates of one forward pass, whole batch */
	int64_t rows;		 /* data layers: samples known to exist, 0 unknown */
	bool reads_top;		 /* as the flag MOKA_READS_TOP, where it depends on the settings */

	/* data layers: how to reach the outside; set by the net before shape() */
	const struct moka_source_ops *const *sources; /* NULL-terminated; may be NULL: none can be opened */
	const char *
		beside; /* path of the model's file: a relative path of data is looked for beside it too; may be NULL */
	bool for_run;	/* missing data is an error, not a warning */
	uint64_t seed;
	int64_t batch;	  /* > 0: replaces the batch size that the file states */
	int64_t skip_bad; /* > 0: so many damaged records may be left out; 0: the first one is an error */
	int read_threads; /* that read ahead; 0: as many as seem good */
	/* data layers: the opened source (NULL where only shapes are wanted and none could be opened); the net closes it */
	struct moka_source *source;
	const struct moka_source_ops *source_ops;
};

/* One blob or parameter as a call sees it. */
struct moka_view {
	const struct moka_shape *shape;
	int64_t count;
	real *data;
	real *diff; /* NULL where no gradient is wanted: bottoms and params; tops: NULL only where no gradient arrives */
	int block; /* > 1: in blocks of so many channels (kernels/blocked.h), where the type's layout() allows it; else plain */
};

/* How blobs of 4 axes with whole blocks of channels may lie where an execution lays them out itself (net/arrange.c). */
enum moka_layout {
	MOKA_LAYOUT_PLAIN, /* NCHW, all of them */
	MOKA_LAYOUT_ALIKE, /* in blocks where all of them are; of those of one pixel it is no matter */
	MOKA_LAYOUT_ANY,   /* each as it likes */
};

/* What an execution with settled layouts asks of a layer once, and the layer answers. */
struct moka_fit {
	const int *bottom_block, *top_block;
	int threads;
	size_t state_bytes, scratch_bytes; /* as shape() left them; may be changed */
	void *made;			   /* for calls; freed by the type's unfit() */
};

/* What forward and backward get. */
struct moka_call {
	const struct moka_view *bottom; /* in place: bottom[0].data == top[0].data, and the diffs likewise */
	const struct moka_view *top;
	const struct moka_view *param;
	void *state;	       /* l->state_bytes, 64-byte aligned; NULL where l->state_for_backward and none follows */
	void *scratch;	       /* l->scratch_bytes, 64-byte aligned */
	void *made;	       /* by fit(); NULL: nothing */
	bool backward_follows; /* what backward needs (argmax, masks) must be kept */
	struct moka_pool *pool;
	struct moka_gemm_ws *gemm;
	struct moka_rng *rng; /* this layer's own stream in this execution */
	/*
	 * For layers whose tops have a size that the data decide (Filter): they write how many items of
	 * their tops are real, along the first axis that isn't 1; the rest are zeros. -1 (as the caller sets it) where all
	 * are. NULL: not asked.
	 */
	int64_t *top_items;
	struct moka_error *err;
};
/* A loss top's diff holds its loss weight when backward starts (as in BVLC Caffe: top[0]->cpu_diff()[0]). */

enum moka_layer_flags {
	MOKA_INPLACE = 1 << 0,	       /* top[0] may be bottom[0] */
	MOKA_ELEMENTWISE = 1 << 1,     /* output i depends on input i alone */
	MOKA_LOSS = 1 << 2,	       /* top[0] has loss weight 1 unless the net says otherwise */
	MOKA_PARTIAL = 1 << 3,	       /* shape() copes with unknown dimensions (n or d of -1) */
	MOKA_NO_BACKWARD = 1 << 4,     /* nothing flows through it: ArgMax, Accuracy, data layers */
	MOKA_SAME_BOTTOM_TOP = 1 << 5, /* as many tops as bottoms */
	MOKA_DATA = 1 << 6,	       /* makes its tops from outside the net */
	MOKA_RECURRENT = 1 << 7,
	/*
	 * What backward reads of top[0] as forward left it. A layer behind that works in place would spoil it, and gets memory of
	 * its own where gradients are wanted: its values (Sigmoid); or, used in place, only their signs (ReLU), which
	 * some layers leave as they are (Dropout: or make zero, with no gradient).
	 */
	MOKA_READS_TOP = 1 << 8,
	MOKA_READS_SIGN = 1 << 9,
	MOKA_KEEPS_SIGN = 1 << 10,
};

/* The matrix A' B (m, n) of A (k, m) and B (k, n), both dense, as moka_gemm_outer() has it. */
struct moka_product {
	int64_t m, n, k;
	const real *a, *b;
};

struct moka_layer_type {
	/* its name (schema.type), its field table, its numbers in LayerParameter and V1LayerParameter */
	struct moka_schema_layer schema;
	const char *doc; /* one line */
	/* its form */
	int8_t min_bottom, max_bottom, min_top, max_top; /* max -1: any number */
	uint32_t flags;
	/* which bottoms take no gradient (labels): bit i */
	uint32_t no_gradient;
	/* its arithmetic; forward NULL: known, drawn, shaped (where shape is set), not run yet */
	enum moka_status (*shape)(struct moka_layer *l, struct moka_findings *f);
	enum moka_status (*forward)(const struct moka_layer *l, struct moka_call *c);
	enum moka_status (*backward)(const struct moka_layer *l, struct moka_call *c);
	/* describes it as ONNX nodes (layers/onnx.h); NULL: it has none */
	enum moka_status (*onnx)(struct moka_onnx *o);
	/* what it is for inference (layers/op.h); NULL or false: it runs as it is. *op comes zeroed */
	bool (*lower)(const struct moka_layer *l, struct moka_op *op);
	/* how its blobs may lie in training; NULL: ALIKE of element-wise types, else PLAIN. Asked when every shape is known */
	enum moka_layout (*layout)(const struct moka_layer *l, int block);
	/*
	 * Parameter `param`'s gradient as one product of what a pass forward and back has left; false: it is none. Where it is,
	 * backward() may be called without a diff for that parameter.
	 */
	bool (*product)(const struct moka_layer *l, const struct moka_call *c, int param, struct moka_product *out);
	/* NULL: shape() has said everything. unfit() where something is made */
	enum moka_status (*fit)(const struct moka_layer *l, struct moka_fit *f);
	void (*unfit)(void *made);
};

/* top[i].shape = bottom[i].shape (or bottom[0]'s). The shape() of most element-wise layers. */
enum moka_status moka_shape_same(struct moka_layer *l, struct moka_findings *f);
/*
 * Reports a wrong setting at the place of `field` of the layer's own message (of the layer where field is NULL or absent)
 * and returns MOKA_ERR_MODEL. The message is prefixed "layer 'conv1' (Convolution): ".
 */
enum moka_status moka_layer_bad(const struct moka_layer *l, struct moka_findings *f, const char *code,
				const char *field, const char *fmt, ...) MOKA_PRINTF(5, 6);
/* A run-time error: "layer 'loss' (SoftmaxWithLoss): ..."; returns `status`. */
enum moka_status moka_call_bad(const struct moka_layer *l, struct moka_call *c, enum moka_status status,
			       const char *fmt, ...) MOKA_PRINTF(4, 5);
/* Adds a parameter in shape(). filler may be NULL. false: no memory (never for the first MOKA_LAYER_PARAMS). */
bool moka_layer_param(struct moka_layer *l, const char *role, struct moka_shape shape,
		      const struct moka_filler_param *filler);
/*
 * The same, and checks that the filler can fill that shape: a finding at `field` ("weight_filler") where it can't. Dimensions
 * not known are not checked.
 */
enum moka_status moka_layer_filled(struct moka_layer *l, struct moka_findings *f, const char *role,
				   struct moka_shape shape, const char *field, const struct moka_filler_param *filler);
/* As moka_layer_bad(), at the place of bottom i. */
enum moka_status moka_layer_bad_bottom(const struct moka_layer *l, struct moka_findings *f, const char *code, int i,
				       const char *fmt, ...) MOKA_PRINTF(5, 6);
/* The axis of `s` that the setting `field` names (negative counts from the end); -1, with a finding, where it is outside. */
int moka_layer_axis(const struct moka_layer *l, struct moka_findings *f, const char *field, int64_t axis,
		    const struct moka_shape *s);
/* Bottom i must have bottom 0's shape; a finding names the first dimension that differs. Unknown dimensions fit everything. */
enum moka_status moka_layer_same_shapes(const struct moka_layer *l, struct moka_findings *f);
/* l->priv, allocated (zeroed) on the first call; NULL: no memory. */
void *moka_layer_priv(struct moka_layer *l, size_t size);
/* Every top: nothing known. */
enum moka_status moka_layer_unknown(struct moka_layer *l);
/* Product of n sizes; -1 where one is unknown (negative), else at most INT64_MAX: the net refuses what is too large. */
int64_t moka_layer_product(int n, const int64_t *v);
/* Bytes of `count` values for state_bytes and scratch_bytes: 0 where unknown, saturates far above any budget. */
size_t moka_layer_bytes(int64_t count, size_t size);
/* Loss normaliser as BVLC's GetNormalizer: mode (0 FULL, 1 VALID, 2 BATCH_SIZE, 3 NONE), outer x inner values, valid_count (-1: not
 * counted); at least 1. */
real moka_loss_normalizer(const struct moka_layer *l, int64_t outer, int64_t inner, int64_t valid_count);
int moka_loss_normalization(const struct moka_layer *l); /* the mode, `normalize` (deprecated) honoured */

/* ---- fillers (layers/filler.c) -------------------------------------------------------------------- */

/*
 * Fills `shape` with what `p` says (NULL: zeros), as BVLC's fillers do: constant uniform gaussian (sparse) positive_unitball xavier
 * msra bilinear. The same rng state gives the same values. An empty shape is left alone.
 */
enum moka_status moka_fill(const struct moka_filler_param *p, const struct moka_shape *shape, real *data,
			   struct moka_rng *rng, struct moka_error *err);
/* What is wrong with a filler for that shape (unknown dimensions aren't judged), in words in buf; NULL: nothing. */
const char *moka_fill_problem(const struct moka_filler_param *p, const struct moka_shape *shape, char *buf,
			      size_t size);

/* ---- sources: data layers' way out of the net ---------------------------------------------------
 * data/ is a floor above the layers, so a data layer reaches it through this table, which whoever builds the
 * net hands in (moka_net_options.sources). One struct moka_source_ops per kind: "LMDB", "LEVELDB", "HDF5" ...
 */
struct moka_source_spec {
	const char *path; /* of the data, resolved */
	const char *kind;
	int64_t batch;
	const struct moka_layer *layer; /* for its fields: transform, shuffle ... */
	uint64_t seed;
};
struct moka_source_ops {
	const char *kind; /* "LMDB", "HDF5" */
	enum moka_status (*open)(struct moka_source **out, const struct moka_source_spec *spec, struct moka_error *err);
	/* shape of top i of one batch */
	enum moka_status (*shape)(struct moka_source *s, int top, struct moka_shape *out, struct moka_error *err);
	/* fills every top (count values each, shapes as told) with the next batch */
	enum moka_status (*read)(struct moka_source *s, int n_top, const struct moka_view *top, struct moka_error *err);
	/* jumps to the start of batch `batch_index` as counted from the start of the run (for resumed training) */
	enum moka_status (*seek)(struct moka_source *s, uint64_t batch_index, struct moka_error *err);
	int64_t (*rows)(const struct moka_source *s); /* 0: unknown */
	void (*close)(struct moka_source *s);
	/* optional: how many damaged records were left out, and what was wrong with the first */
	int64_t (*skipped)(const struct moka_source *s, char *first, size_t size);
	/* optional: takes the bottoms of one pass (HDF5Output); such a source gives no shape and reads nothing */
	enum moka_status (*write)(struct moka_source *s, int n, const struct moka_view *bottom, struct moka_error *err);
};
/* What shape() of a data layer calls: opens l->source where it is not open (through the net's table). Leaves l->source NULL, with
 * a warning finding, where the net is built for explaining and the data can't be opened; an error where it is built to run. `path` is resolved beside the model's file. */
enum moka_status moka_layer_open_source(struct moka_layer *l, const char *kind, const char *path, int64_t batch,
					struct moka_findings *f);

/* ---- registry (layers/registry.c, over the list in layers/meson.build) ---------------------------- */

extern const struct moka_layer_type *const moka_layer_types[];	      /* the built-in ones; NULL ends */
const struct moka_layer_type *moka_layer_type_find(const char *name); /* among the built-in ones; NULL: unknown */
/* The tables of all built-in layers as the readers want them. */
extern const struct moka_schema moka_layer_schema;

/*
 * Which layer types there are: the built-in ones, and those that the caller adds. The caller holds it, hands it to the readers
 * (its schema) and to whoever builds nets; it and the types outlive those nets. Read-only while in use: threads may
 * share one. Wherever a registry is asked for, NULL means the built-in types.
 */
struct moka_registry {
	const struct moka_layer_type **types;	 /* NULL ends; NULL as a whole: none added yet */
	const struct moka_schema_layer **layers; /* their tables, in the same order */
	size_t n;
	struct moka_schema schema;
};
void moka_registry_init(struct moka_registry *r);
void moka_registry_release(struct moka_registry *r);
/* Adds a type (borrowed). MOKA_ERR_ARG where its name is taken, or where the struct isn't a usable type. */
enum moka_status moka_registry_add(struct moka_registry *r, const struct moka_layer_type *t, struct moka_error *err);
const struct moka_layer_type *moka_registry_find(const struct moka_registry *r, const char *name); /* NULL: unknown */
const struct moka_layer_type *const *moka_registry_types(const struct moka_registry *r);	   /* NULL ends */
const struct moka_schema *moka_registry_schema(const struct moka_registry *r);

#endif
