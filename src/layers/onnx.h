/*
 * onnx.h - how a layer says which ONNX nodes it becomes.
 *
 * A layer type's onnx() is called once per layer of a net whose shapes are all known, in the test phase. It adds nodes that
 * make its tops from its bottoms, with its parameters and with constants of its own. It names nothing: values get their names here,
 * and export/onnx.c, a floor above, writes what was described. Everything made lives in the description's arena.
 *
 * C leaves the order of a call's arguments open: what makes a name or a constant is called in statements of its own, so that every
 * compiler's program writes the same file.
 *
 * No function needs its result checked: what can't be described or has no memory is remembered in `status`.
 */
#ifndef MOKA_LAYERS_ONNX_H
#define MOKA_LAYERS_ONNX_H

#include "layer.h"

enum moka_onnx_kind { MOKA_ONNX_FLOAT = 1, MOKA_ONNX_INT = 2, MOKA_ONNX_STRING = 3, MOKA_ONNX_INTS = 7 };

struct moka_onnx_attribute {
	struct moka_onnx_attribute *next;
	const char *name;
	enum moka_onnx_kind kind;
	double f;
	const char *s;
	int n;
	const int64_t *i; /* n of them; 1 of INT */
};

struct moka_onnx_node {
	struct moka_onnx_node *next;
	const char *op;
	const char **in, **out;
	int n_in, n_out;
	struct moka_onnx_attribute *attributes; /* in the order given */
};

/* An initializer: numbers (borrowed where they are a parameter's) or whole numbers. */
struct moka_onnx_tensor {
	struct moka_onnx_tensor *next;
	const char *name;
	struct moka_shape shape;
	const real *reals;
	const int64_t *ints; /* NULL: reals */
};

/* A parameter of the net; several layers may use it. */
struct moka_onnx_param {
	const char *name;
	const real *data;
	const struct moka_onnx_tensor *tensor; /* NULL: not written yet */
};

struct moka_onnx {
	struct moka_arena *arena;
	struct moka_findings *findings;
	enum moka_status status; /* the first failure */
	/* the layer at hand: names of its values, its parameters */
	const struct moka_layer *layer;
	const char *const *bottom, *const *top;
	struct moka_onnx_param *const *param;
	bool *same; /* same[i]: top i is bottom 0, no node makes it */
	/* what came of it */
	struct moka_map names; /* every name given */
	struct moka_onnx_node *nodes, *last_node;
	struct moka_onnx_tensor *tensors, *last_tensor;
};

/* A node with one output; inputs follow, NULL ends. Never NULL. */
struct moka_onnx_node *moka_onnx_node(struct moka_onnx *o, const char *op, const char *out, ...);
/* The same for lists. */
struct moka_onnx_node *moka_onnx_node_of(struct moka_onnx *o, const char *op, int n_out, const char *const *out,
					 int n_in, const char *const *in);
void moka_onnx_int(struct moka_onnx *o, struct moka_onnx_node *n, const char *name, int64_t v);
void moka_onnx_ints(struct moka_onnx *o, struct moka_onnx_node *n, const char *name, int count, const int64_t *v);
void moka_onnx_float(struct moka_onnx *o, struct moka_onnx_node *n, const char *name, double v);

/* `want`, or with a number behind where that name is taken. */
const char *moka_onnx_name(struct moka_onnx *o, const char *want);
/* A name for a value between two nodes of this layer. */
const char *moka_onnx_value(struct moka_onnx *o);
/* Parameter i as an initializer, in its own shape or in another of the same count. */
const char *moka_onnx_param(struct moka_onnx *o, int i);
const char *moka_onnx_param_as(struct moka_onnx *o, int i, struct moka_shape shape);
/* Initializers with values of the layer's own, which are copied. */
const char *moka_onnx_reals(struct moka_onnx *o, struct moka_shape shape, const real *v);
const char *moka_onnx_number(struct moka_onnx *o, double v); /* no axes */
const char *moka_onnx_whole(struct moka_onnx *o, int n, const int64_t *v);

/* out = in of another shape; a first dimension that stays is not spelled out, so that the batch may differ. */
void moka_onnx_reshape(struct moka_onnx *o, const char *out, const char *in, const struct moka_shape *from,
		       const struct moka_shape *to);
/* y = x op k, left out (the value is x) where k changes nothing; returns y's name. */
const char *moka_onnx_add(struct moka_onnx *o, const char *x, double k);
const char *moka_onnx_mul(struct moka_onnx *o, const char *x, double k);
/* `shape` (of a factor over axes from `axis` on) with ones behind, so that it stretches over `axes` axes as numpy does. */
struct moka_shape moka_onnx_stretch(const struct moka_shape *shape, int axis, int axes);
/* Top i has bottom 0's values and shape: no node. */
enum moka_status moka_onnx_same(struct moka_onnx *o, int i);
/* The whole onnx() of a layer that is one node without settings. */
enum moka_status moka_onnx_unary(struct moka_onnx *o, const char *op);
/* A finding at `field` (NULL: the layer): ONNX has no nodes for this. Returns the status. */
enum moka_status moka_onnx_cannot(struct moka_onnx *o, const char *field, const char *fmt, ...) MOKA_PRINTF(3, 4);

#endif
