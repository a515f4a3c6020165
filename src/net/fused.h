/*
 * fused.h - the plan of an inference, as the files that make and run it see it.
 *
 *     graph.c    layers -> works and values, as the layers' lower() says; identities are gone
 *     fuse.c     works joined: factors and shifts, activations, sums into the convolution before them
 *     layout.c   which value lies how (blocked, plain), copies between, parts of concats and slices
 *     stretch.c  which works run a few images of a batch at a time
 *     pair.c     convolutions that run together with the depthwise one behind them
 *     place.c    where each value lies in the block
 *     pack.c     weights packed for the kernels, once a net
 *     lend.c     plain weights given back while they are packed
 *     planned.c  all of it, one plan a net;  steps.c an execution's pass over it;  describe.c the plan for people
 *
 * A value is what a blob holds between two works: an in-place layer makes a new value of its blob. A work is a kernel's call,
 * or the forward() of a layer that says nothing about itself.
 */
#ifndef MOKA_NET_FUSED_H
#define MOKA_NET_FUSED_H

#include "layers/op.h"
#include "net/internal.h"

#include <pthread.h>

struct moka__value {
	int blob;
	int64_t images, channels, height, width; /* of other than 4 axes: (d0, d1, the rest, 1) */
	bool image;				 /* 4 axes */
	bool input, output;    /* filled from outside; shown to the outside, so plain and in its own place */
	int producer, readers; /* while works are joined: which work makes it, how many take it */
	/* layout.c */
	int block;
	int from;	    /* the value of which it is a part; -1: none */
	int64_t at;	    /* its first value, counted from that one's */
	bool strided;	    /* a part of another's channels: its images lie as far apart as the other's */
	int plain, blocked; /* copies of it in the other layout; -1 */
	int stretch;	    /* stretch.c: a piece of it lives within that stretch only; -1 */
	/* place.c */
	int unit;
	int begin, end;
	size_t offset; /* in the execution's block; in a stretch's room */
};

enum moka__work_kind {
	MOKA__WORK_LAYER, /* forward() on plain values; an inner product's factors and activation behind it */
	MOKA__WORK_CONV,
	MOKA__WORK_AFFINE, /* and activations alone */
	MOKA__WORK_ADD2,
	MOKA__WORK_POOL,
	MOKA__WORK_LRN,
	MOKA__WORK_COPY, /* into another layout, or into a part of a concat */
	MOKA__WORK_NONE, /* concats, slices, changes of shape: values lie where they should already */
};

struct moka__work {
	enum moka__work_kind kind;
	struct moka_op op; /* of its first layer */
	int *layers, n_layers;
	int *affines, n_affines; /* those of them that are factors and shifts, in order */
	int *in, n_in;		 /* CONV: the image, then perhaps what is added */
	int *out, n_out;
	struct moka_act act;
	int act_layer; /* whose parameter holds a PReLU's slopes; -1 */
	bool gone;     /* joined to another */
	/* what runs */
	struct moka_conv_op *conv;
	struct moka_conv_desc desc;   /* what conv was made for */
	real *scale, *shift, *slopes; /* for each channel, spare ones of the last block too; NULL: none */
	int64_t macs;
	double cost;	/* expected seconds of one core */
	bool alone;	/* too little to hand to other threads */
	int stretch;	/* -1: runs over the whole batch */
	bool with_next; /* runs together with the next work (pair.c); what it makes is no value in memory */
};

/* Works that a piece of the batch runs through from the first to the last before the next piece does. */
struct moka__stretch {
	int first, end; /* works [first, end) */
	int64_t images; /* of a piece */
	int64_t pieces; /* of the batch */
	size_t bytes;	/* that a piece's values take within it */
};

struct moka_plan {
	const struct moka_net *n;
	struct moka_arena arena;
	struct moka__value *values;
	int n_values, value_room;
	struct moka__work *graph; /* as the layers stand */
	int n_graph;
	struct moka__work *works; /* what runs, in order */
	int n_works, work_room;
	struct moka__stretch *stretches;
	int n_stretches;
	int *kept; /* per blob: its value that the outside sees; -1 */
	int n_units;
	size_t bytes, bound; /* of the values' block; the most that is alive at once */
	size_t room;	     /* for what lies within a stretch, each thread its own */
	double cost;
	bool no_memory;
	void *weights;	 /* all works' packed ones */
	uint64_t packed; /* which version of the weights is packed; 0: none */
};

/* Every net has one: its plan and packed weights, made when first wanted, used by all its executions. */
struct moka__shared {
	pthread_mutex_t lock;
	struct moka_plan *plan;
	bool refused; /* the net can't be planned */
	uint64_t sum; /* of watched weights, when they were packed */
};

/* graph.c */
bool moka__plan_graph(struct moka_plan *p); /* false: this net is run layer by layer */
int moka__plan_value(struct moka_plan *p, int blob, const struct moka_shape *s); /* a new value; -1: no memory */
/* A copy of a value's description, in another layout. */
int moka__plan_copy_value(struct moka_plan *p, int value, int block);
bool moka__plan_push(struct moka_plan *p, int **list, int *n, int x);

/* fuse.c */
void moka__plan_fuse(struct moka_plan *p);

/* layout.c */
enum moka_status moka__plan_layout(struct moka_plan *p);
int64_t moka__value_image(const struct moka_plan *p, int value); /* values from one image to the next */
int64_t moka__value_count(const struct moka__value *v);		 /* as the blob's shape says */

/* stretch.c; after the lives are known */
enum moka_status moka__plan_stretches(struct moka_plan *p);

/* pair.c; after the stretches */
void moka__plan_pairs(struct moka_plan *p);

/* place.c */
void moka__plan_lives(struct moka_plan *p);
enum moka_status moka__plan_place(struct moka_plan *p);
int moka__value_root(const struct moka_plan *p, int value, int64_t *at);

/* pack.c */
enum moka_status moka__plan_pack(struct moka_plan *p, struct moka_net *n, struct moka_pool *pool,
				 struct moka_error *err);
uint64_t moka__weights_version(const struct moka_net *n);
bool moka__weights_watched(const struct moka_net *n);
uint64_t moka__weights_sum(const struct moka_net *n);

/* planned.c */
enum moka_status moka__plan_get(struct moka_net *n, struct moka_pool *pool, struct moka_plan **out,
				struct moka_error *err);
/* Packs again where weights have changed since. Cheap where they haven't. */
enum moka_status moka__plan_refresh(struct moka_net *n, struct moka_pool *pool, struct moka_error *err);

/* lend.c; the shared lock is held */
#define MOKA__LEND_BYTES ((size_t)64 * 1024) /* smaller ones aren't lent: they have hardly a whole page of their own */
bool moka__lends(const struct moka_net *n);
bool moka__param_is_packed(const struct moka_plan *p, int param); /* by every use of it */
void moka__lend_packed(struct moka_net *n, const struct moka_plan *p,
		       const struct moka__work *w); /* has just been packed */
/* p: leaves in their file what the plan packs from there; NULL: brings all. */
enum moka_status moka__lend_restore(struct moka_net *n, const struct moka_plan *p, struct moka_error *err);
/* A parameter's values, at any address: in the file that they are still in, or its data. */
const void *moka__lend_values(const struct moka_param *x);

/* steps.c */
/* What a convolution needs: of two that run as one, the first says it for both. */
size_t moka__conv_scratch(const struct moka__work *w, int threads);
bool moka__steps_bind(struct moka_exec *e);
size_t moka__steps_scratch(const struct moka_exec *e);
/* Of the rooms of all threads; notes each one's size. */
size_t moka__steps_rooms(struct moka_exec *e);
enum moka_status moka__steps_run(struct moka_exec *e, double *loss, struct moka_error *err);

#endif
