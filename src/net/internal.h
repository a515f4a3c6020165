/*
 * internal.h - what the files of net/ share: a net while it is being built, and an execution.
 */
#ifndef MOKA_NET_INTERNAL_H
#define MOKA_NET_INTERNAL_H

#include "net/net.h"

/* The most values that one blob or parameter may hold (256 GiB of floats): beyond it a size is a mistake, on any machine. */
#define MOKA__MAX_COUNT ((int64_t)1 << 36)
/* The most bottoms and tops of a net together. */
#define MOKA__MAX_WIRES 500000
/* How many findings of a net get the costly extras (nearest name, search for a cycle). */
#define MOKA__MAX_ADVICE 64

/* ---- building ------------------------------------------------------------------------------------ */

/* Which layers take part: what include and exclude rules are held against. */
struct moka__state {
	enum moka_phase phase;
	int64_t level;
	const char *const *stages; /* given from outside */
	int n_stages;
	const struct moka_msg *net; /* the net's own `state`, whose stages count too; may be NULL */
};
bool moka__included(const struct moka_msg *layer, const struct moka__state *s);

struct moka__build {
	struct moka_net *n;
	const struct moka_model *m;
	const struct moka_net_options *o;
	struct moka_findings *f;
	struct moka__state state;
	bool *included;	      /* per layer of the model */
	int *from;	      /* per layer of the net: the model's layer */
	bool declares_inputs; /* some layer, in any phase, takes nothing and makes something */
	/* blob name -> index + 1 */
	struct moka_map current;   /* blobs: the last version */
	struct moka_map makers;	   /* the model's layer that makes it in this phase */
	struct moka_map elsewhere; /* the model's layer that makes it in another phase or stage */
	struct moka_map dropped;   /* the model's layer that would make it, but was left out for want of a label */
	int *readers;		   /* per blob: bottoms that read it so far, in-place ones not counted */
	bool *missing;		   /* per blob: stands in for what nobody made (so far) */
	uint32_t *
		held; /* per blob: what the backward of the layers that wrote it reads: MOKA_READS_TOP, MOKA_READS_SIGN */
	int blob_cap;
	int advice; /* findings that had extras so far */
	bool no_memory;
};

#define MOKA__TITLE 320
/* "layer 'conv1' (Convolution)" */
const char *moka__title(const char *name, const char *type, char *buf);
/* A finding about a layer, its title before the text. */
void moka__say(struct moka__build *b, enum moka_severity severity, const char *code, struct moka_loc loc,
	       const char *name, const char *type, const char *fmt, ...) MOKA_PRINTF(7, 8);
/* " at line 12", or "" where no line is known. Returns buf. */
const char *moka__at_line(struct moka_loc loc, char *buf, size_t size);

static inline int moka__index(const struct moka_map *map, const char *name)
{
	return (int)(intptr_t)moka_map_get(map, name) - 1;
}

static inline void moka__put(struct moka__build *b, struct moka_map *map, const char *name, int index)
{
	if (!moka_map_put(map, name, (void *)(intptr_t)(index + 1)))
		b->no_memory = true;
}

/* The shape given from outside for a blob; NULL. */
const struct moka_shape *moka__given(const struct moka__build *b, const char *blob);
/* Whether a layer of the model has no bottom and some top: it brings data into the net. */
bool moka__is_source(const struct moka_msg *layer);

/* wire.c */
void moka__wire_index(struct moka__build *b);		      /* fills makers, elsewhere, declares_inputs */
bool moka__wire_drop(struct moka__build *b, int model_layer); /* a loss without its label: says so */
void moka__wire_bottoms(struct moka__build *b, int layer);
void moka__wire_tops(struct moka__build *b, int layer); /* after shape() */
void moka__wire_finish(struct moka__build *b);		/* consumers, inputs, outputs */

/* shape.c */
void moka__shape_layer(struct moka__build *b, int layer);
bool moka__too_large(const struct moka_shape *s);
void moka__shape_budget(struct moka__build *b);

/* share.c, gradient.c */
void moka__share(struct moka__build *b);
void moka__losses(struct moka__build *b);
void moka__gradient(struct moka__build *b);

/* ---- parameters ---------------------------------------------------------------------------------- */

/* Runs the fillers that moka_net_reserve() put off. */
enum moka_status moka__net_fill(struct moka_net *n, struct moka_error *err);

/* ---- executing ----------------------------------------------------------------------------------- */

#define MOKA__ALIGN 64
#define MOKA__NOWHERE SIZE_MAX
/* Under AddressSanitizer, bytes between blobs that nobody may touch. */
#if defined(__SANITIZE_ADDRESS__)
#define MOKA__GUARD 64
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOKA__GUARD 64
#endif
#endif
#ifndef MOKA__GUARD
#define MOKA__GUARD 0
#endif

/* The size of `count` values, rounded up to whole cache lines, and never 0, so that every blob has an address. */
static inline size_t moka__blob_bytes(int64_t count)
{
	size_t n = (size_t)MOKA_MAX(count, 1) * sizeof(real);

	return (n + MOKA__ALIGN - 1) / MOKA__ALIGN * MOKA__ALIGN;
}

/* Something that needs `bytes` from moment `begin` to moment `end` (both included; INT_MAX: for good). */
struct moka__room {
	int id;
	size_t bytes, offset;
	int begin, end;
};
/* Gives each room an offset so that rooms alive at one moment don't overlap; sorts them; *total: the block's size. false: no memory. */
bool moka__place_rooms(struct moka__room *rooms, int n, struct moka_arena *a, size_t *total);
/* The most bytes that are alive at one of the moments [-1, last + 1]: no placing can do with less. 0: no memory. */
size_t moka__place_bound(const struct moka__room *rooms, int n, int last, struct moka_arena *a);

/* Where the data of each blob lies in one block: offset per blob (MOKA__NOWHERE never), total size. */
struct moka__plan {
	size_t *offset;	  /* per blob */
	int *unit;	  /* per blob: the blob whose memory it uses (itself, or one before it) */
	int *begin, *end; /* per unit: layers from and to which its memory is taken; INT_MAX: for good */
	bool *kept;	  /* per blob: its values stay readable after a pass */
	size_t bytes;
};
enum moka_status moka__plan_blobs(struct moka__plan *p, const struct moka_net *n, enum moka_keep keep,
				  struct moka_arena *a);

/* The gradient of a blob that several contribute to: parts[0] is the blob's own diff, the others are added to it in order. */
struct moka__sum {
	int blob;
	int n_parts;
	real **parts;
	real *external; /* given by moka_exec_set_diff(); NULL: none expected */
	real loss_weight;
	int64_t count;
	int laid_out; /* parts that have their place so far */
	bool joined;  /* a join adds the parts itself, on their way through it */
};

/*
 * Layers that a training execution runs as one step, all of them in place on one blob but perhaps the first: when the first is due, forward
 * and back.
 *
 *     NORM   BatchNorm (Scale or Bias) (ReLU), blocked:   y = relu(scale (x - mean) / deviation + shift)
 *     ADD    Eltwise SUM of two (ReLU):                   y = relu(a x0 + b x1)
 *
 * A NORM keeps x: where BatchNorm works in place, in a room of its own, into which the convolution before writes at once. An
 * ADD's bottoms that only read their gradient (as a part of a sum, a NORM's way in, a convolution's) read that of its top.
 */
#define MOKA__JOIN_LAYERS 4
enum moka__join_kind { MOKA__JOIN_NORM, MOKA__JOIN_ADD };
struct moka__join {
	enum moka__join_kind kind;
	int layers[MOKA__JOIN_LAYERS], n_layers;
	bool need_backward;
	int blob;   /* y's */
	real slope; /* of the ReLU; 1: none */
	/* NORM */
	real eps, keep;
	int scale_layer, scale, shift_layer, shift; /* parameters; layer -1: none */
	bool own_x, copies_x; /* x has a room of its own; and nobody writes into it but this step */
	real *x;
	real *stats;	/* mean, variance, deviation */
	const real *dy; /* what it reads of its top's gradient: another blob's, or its own */
	int dy_of;	/* blob; -1: its own */
	/* ADD */
	real a[2];
	bool shares[2]; /* bottom i reads the top's gradient where it lies */
	int sum;	/* of the top's gradient, added here; -1 */
};

struct moka__step {
	struct moka_view *bottom, *top, *param;
	void *state;
	size_t state_bytes;	       /* of this execution: what shape() said, or fit() */
	void *made;		       /* by fit() */
	const struct moka__join *join; /* that it is part of; NULL */
	struct moka_rng rng;
	int64_t items;	       /* moka_call.top_items */
	int *before, n_before; /* sums to make before this layer's backward, after it */
	int *after, n_after;
};

/* planned.c: the place of a net's plan */
struct moka__shared *moka__shared_new(void); /* NULL: no memory */
void moka__shared_free(struct moka__shared *s);
/* run.c: a layer's forward(), and its weighted loss added to *loss */
enum moka_status moka__run_layer(struct moka_exec *e, int layer, double *loss, struct moka_error *err);

/* arrange.c: how each blob lies; layers are asked what they need for it */
enum moka_status moka__arrange(struct moka_exec *e);
/* Values of a blob that doesn't lie plain, plain; which: 0 data, 1 diff. NULL: no memory. */
real *moka__plain_copy(struct moka_exec *e, int blob, int which, real *values);
/* join.c: which layers are one step; join_run.c: such a step */
enum moka_status moka__join_find(struct moka_exec *e);
size_t moka__join_scratch(const struct moka_exec *e, const struct moka__join *j);
/* The blob whose gradient is read where it lies instead of one given to bottom k of `layer`; -1: none. */
int moka__join_shared(const struct moka_exec *e, int layer, int bottom);
void moka__join_forward(struct moka_exec *e, const struct moka__join *j);
void moka__join_backward(struct moka_exec *e, const struct moka__join *j);
/* late.c: gradients made when they are asked for */
enum moka__late_state {
	MOKA__LATE_NOT,	    /* this parameter's never is */
	MOKA__LATE_CLEAR,   /* zeros, whatever its memory holds */
	MOKA__LATE_PENDING, /* of the last pass; not made */
	MOKA__LATE_MADE	    /* in its memory: what is added is added there */
};
struct moka__late {
	enum moka__late_state state;
	int layer, index; /* of its one use */
};
bool moka__late_find(struct moka_exec *e); /* false: no memory */
/* Before layer's backward: leaves out the gradients that can wait. */
void moka__late_backward(struct moka_exec *e, int layer);
void moka__late_make(struct moka_exec *e, int param); /* in its memory, whatever the state */
void moka__late_make_all(struct moka_exec *e);
/* run.c: what a layer's functions are called with */
struct moka_call moka__make_call(struct moka_exec *e, int layer, struct moka_error *err);
/* run.c: a sum of parts, as parts[0] */
void moka__add_parts(const struct moka_exec *e, const struct moka__sum *s);

/* "layer 'x' (ReLU) at line 3: what"; returns st. */
enum moka_status moka__layer_fail(struct moka_error *err, enum moka_status st, const struct moka_net_layer *nl,
				  const char *what);

struct moka_exec {
	struct moka_net *n;
	struct moka_exec_options o;
	struct moka_arena arena;
	struct moka__plan plan;
	void *block;
	size_t block_bytes;
	char *base; /* block, aligned */
	struct moka__step *steps;
	real **diff; /* per blob */
	struct moka__sum *sums;
	int n_sums;
	int *sum_of;		 /* per blob: index of its sum, -1 */
	real ***param_diff;	 /* per parameter, per use; shared ones point to one array */
	struct moka__late *late; /* per parameter (late.c); NULL: none is */
	void *scratch;
	struct moka_gemm_ws *gemm;
	/* an inference planned as a whole (fused.h); NULL: layer by layer */
	const struct moka_plan *fused;
	struct moka__bound *bound; /* per work of it: its tensors in this execution's block */
	/* arranged (moka_exec_options.arrange); joins none otherwise, block NULL */
	int *blob_block; /* per blob */
	struct moka__join *joins;
	int n_joins;
	size_t fit_scratch; /* that layers and joins need */
	real **seen;	    /* per blob, twice: plain copies of data and diff that somebody asked for */
	char *rooms;	    /* each thread's, for what lies within a stretch, and scratch from room_scratch on */
	size_t room_bytes, room_scratch;
};

/* Values of a blob; where its data lie in an execution's block; whether a bottom is written in place. */
static inline int64_t moka__blob_count(const struct moka_net *n, int blob)
{
	return moka_shape_count(&n->blobs[blob].shape);
}

static inline real *moka__data_of(const struct moka_exec *e, int blob)
{
	return (real *)(e->base + e->plan.offset[blob]);
}

static inline bool moka__writes_in_place(const struct moka_net_layer *nl, int bottom)
{
	return bottom < nl->l.n_top && nl->tops[bottom] == nl->bottoms[bottom];
}

/* sums.c: how blob's gradient is added up, where more than one layer has a part of it; false: no memory */
bool moka__sum_plan(struct moka_exec *e, int blob);
/* memory.c: the block of an execution, laid out and allocated */
enum moka_status moka__memory_make(struct moka_exec *e, struct moka_error *err);
void moka__memory_free(struct moka_exec *e);

#endif
