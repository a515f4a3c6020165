/*
 * ArgMax: the indices of the top_k largest values, of a whole sample or along an axis; with out_max_val also the
 * values. Of equal values the one with the larger index comes first, as in BVLC Caffe.
 *
 *     no axis: top is N x 1 x k (indices), or N x 2 x k (indices, values); further axes of the bottom become 1
 *     axis:    that axis becomes k, holding indices, or values with out_max_val
 *
 * The k best so far are a heap whose root is the worst of them. Rows are cut into at most CUTS pieces, each with a
 * heap of its own in scratch.
 */
#include "loss.h"
#include "onnx.h"

struct argmax_param {
	bool out_max_val;
	uint32_t top_k;
	int32_t axis;
};

/* clang-format off */
static const struct moka_field argmax_fields[] = {
	MOKA_F_BOOL(struct argmax_param, out_max_val, 1, 0, "also give the values (with axis: the values instead)"),
	MOKA_F_UINT32(struct argmax_param, top_k, 2, 1, "how many"),
	MOKA_F_INT32(struct argmax_param, axis, 3, 0, "the axis to look along; the whole sample where not given"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message argmax_message = { "ArgMaxParameter", argmax_fields, sizeof(struct argmax_param) };

#define CUTS 16

struct entry {
	real value;
	int64_t index;
};

struct argmax {
	bool has_axis;
	struct moka__scores s; /* without an axis: outer N, inner 1 */
};

static struct moka_shape argmax_top(const struct moka_layer *l, bool has_axis)
{
	const struct argmax_param *p = l->param;
	struct moka_shape t = l->bottom[0].shape;

	if (has_axis) {
		t.d[moka_shape_axis(&t, p->axis)] = p->top_k;
		return t;
	}
	for (int i = 1; i < MOKA_MAX(t.n, 3); i++)
		t.d[i] = 1;
	t.n = MOKA_MAX(t.n, 3);
	t.d[1] = p->out_max_val ? 2 : 1;
	t.d[2] = p->top_k;
	return t;
}

static enum moka_status argmax_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct argmax_param *p = l->param;
	const struct moka_shape *b = &l->bottom[0].shape;
	struct argmax *a = moka_layer_priv(l, sizeof(*a));

	if (!a)
		return MOKA_ERR_NOMEM;
	moka_layer_unknown(l);
	a->has_axis = moka_has(l->sub, "axis");
	if (p->top_k < 1)
		return moka_layer_bad(l, f, "bad-setting", "top_k", "top_k must be at least 1");
	if (b->n < 0)
		return MOKA_OK;
	if (b->n == 0)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0, "bottom '%s' is a single number",
					     l->bottom[0].name);
	if (a->has_axis)
		MOKA_TRY(moka__scores_shape(l, f, p->axis, &a->s));
	else
		a->s = (struct moka__scores){ b->d[0], moka_shape_count_range(b, 1, b->n), 1 };
	l->top[0].shape = argmax_top(l, a->has_axis);
	if (a->s.classes >= 0 && p->top_k > a->s.classes)
		return moka_layer_bad(l, f, "bad-setting", "top_k",
				      "top_k is %u, but there are only %lld values to choose from", p->top_k,
				      (long long)a->s.classes);
	l->scratch_bytes = moka_layer_bytes(moka_layer_product(2, (int64_t[]){ CUTS, p->top_k }), sizeof(struct entry));
	return MOKA_OK;
}

/* a comes before b. */
static bool better(const struct entry *a, const struct entry *b)
{
	return a->value > b->value || (a->value == b->value && a->index > b->index);
}

/* Lets heap[at] sink until both children are better; the root is the worst. */
static void sink(struct entry *heap, int64_t n, int64_t at)
{
	const struct entry e = heap[at];

	for (;;) {
		int64_t child = 2 * at + 1;

		if (child >= n)
			break;
		if (child + 1 < n && better(&heap[child], &heap[child + 1]))
			child++;
		if (!better(&e, &heap[child]))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = e;
}

/* The k best of n values that lie `stride` apart, best first. */
static void select_best(const real *x, int64_t n, int64_t stride, int64_t k, struct entry *best)
{
	for (int64_t i = 0; i < k; i++)
		best[i] = (struct entry){ x[i * stride], i };
	for (int64_t i = k / 2; i-- > 0;)
		sink(best, k, i);
	for (int64_t i = k; i < n; i++) {
		const struct entry e = { x[i * stride], i };

		if (better(&e, &best[0])) {
			best[0] = e;
			sink(best, k, 0);
		}
	}
	for (int64_t left = k - 1; left > 0; left--) { /* the worst goes last */
		const struct entry e = best[0];

		best[0] = best[left];
		best[left] = e;
		sink(best, left, 0);
	}
}

struct argmax_job {
	const struct argmax *a;
	bool values;
	int64_t k, rows;
	const real *x;
	real *y;
	struct entry *heaps; /* CUTS x k */
};

static void put(const struct argmax_job *j, int64_t row, const struct entry *best)
{
	const struct moka__scores *s = &j->a->s;
	const int64_t k = j->k;

	for (int64_t i = 0; i < k; i++)
		if (j->a->has_axis)
			j->y[(row / s->inner * k + i) * s->inner + row % s->inner] =
				j->values ? best[i].value : (real)best[i].index;
		else if (j->values) {
			j->y[2 * row * k + i] = (real)best[i].index;
			j->y[(2 * row + 1) * k + i] = best[i].value;
		} else {
			j->y[row * k + i] = (real)best[i].index;
		}
}

static void argmax_cuts(void *arg, int64_t begin, int64_t end)
{
	const struct argmax_job *j = arg;
	const struct moka__scores *s = &j->a->s;

	for (int64_t cut = begin; cut < end; cut++) {
		struct entry *best = j->heaps + cut * j->k;

		for (int64_t row = j->rows * cut / CUTS; row < j->rows * (cut + 1) / CUTS; row++) {
			select_best(j->x + row / s->inner * s->classes * s->inner + row % s->inner, s->classes,
				    s->inner, j->k, best);
			put(j, row, best);
		}
	}
}

static enum moka_status argmax_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct argmax_param *p = l->param;
	const struct argmax *a = l->priv;
	struct argmax_job j = {
		a, p->out_max_val, p->top_k, a->s.outer * a->s.inner, c->bottom[0].data, c->top[0].data, c->scratch
	};

	moka_parallel(c->pool, argmax_cuts, &j, CUTS, 1);
	return MOKA_OK;
}

static enum moka_status argmax_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct argmax_param *p = l->param;
	const struct argmax *a = l->priv;
	const struct moka_shape rows = moka_shape_make(2, a->s.outer, a->s.classes);
	const int axis = a->has_axis ? moka_shape_axis(&l->bottom[0].shape, p->axis) : 1;
	const char *x = o->bottom[0], *which = moka_onnx_value(o), *y = a->has_axis ? o->top[0] : moka_onnx_value(o);
	struct moka_onnx_node *n;

	if (p->out_max_val)
		return moka_onnx_cannot(o, "out_max_val", "the values beside their places can't be written as ONNX");
	if (p->top_k != 1)
		return moka_onnx_cannot(
			o, "top_k",
			"only the first place can be written as ONNX: of equal values Caffe takes the last first, ONNX's TopK the first");
	if (!a->has_axis && l->bottom[0].shape.n != 2) {
		x = moka_onnx_value(o);
		moka_onnx_reshape(o, x, o->bottom[0], &l->bottom[0].shape, &rows);
	}
	n = moka_onnx_node(o, "ArgMax", which, x, NULL);
	moka_onnx_int(o, n, "axis", axis);
	moka_onnx_int(o, n, "select_last_index", 1);
	moka_onnx_int(o, moka_onnx_node(o, "Cast", y, which, NULL), "to", 1); /* float */
	if (!a->has_axis)
		moka_onnx_reshape(o, o->top[0], y, &rows, &l->top[0].shape);
	return o->status;
}

const struct moka_layer_type moka_layer_argmax = {
	.schema = { "ArgMax", "argmax_param", 103, 23, &argmax_message, "ARGMAX", 30, NULL },
	.doc = "indices of the largest values",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = argmax_shape,
	.forward = argmax_forward,
	.onnx = argmax_onnx,
};
