/*
 * MalisLoss: how well an affinity graph keeps the pieces of a segmentation together and apart (Turaga's MALIS, as OpenCL Caffe has it).
 *
 *     bottoms: affinities (N, E, [[Z,] Y,] X)   true affinities, the same   pieces (N, 1 or 2, the places), 0: none
 *              optionally the edges (E x 3: steps in z, y, x)         top: the loss; a second one: the affinities
 *
 * A pair of places is joined where Kruskal's maximal spanning tree first connects them, by the weakest edge of the best path. Pairs of
 * one piece want that edge at 1 (over min(predicted, true)), others at 0 (over max(...)); each loss is the mean square over its pairs, and half
 * their sum the loss of an item. With two channels of pieces the first serves for the second kind, the other for the first.
 *
 * The gradient is the fork's: a half of the derivative by the clamped affinity, whichever of the two it is, not
 * divided by the number of items.
 */
#include "layer.h"

#include <string.h>

struct malis {
	int64_t items, edges, dim[3], places, pieces; /* pieces: channels of bottom 2 */
};

/* What one item needs, in scratch: places and edge values many of each. */
struct work {
	int32_t *order, *spare; /* edges * places: sorted by weight */
	real *weight;		/* edges * places */
	int32_t *parent, *next; /* union-find; the list of a set's pieces, one node a place */
	int32_t *head, *count;	/* first node of a set; places that a node counts */
	real *label;		/* of a node */
};

static int64_t values_of(const struct malis *v)
{
	return moka_layer_product(2, (int64_t[]){ v->edges, v->places });
}

static int64_t work_bytes(const struct malis *v)
{
	const int64_t n = values_of(v);
	const int64_t bytes = moka_layer_product(2, (int64_t[]){ n, 2 * sizeof(int32_t) + sizeof(real) }),
		      places = moka_layer_product(2, (int64_t[]){ v->places, 4 * sizeof(int32_t) + sizeof(real) });
	int64_t sum;

	return bytes < 0 || places < 0					  ? -1
	       : moka_add(bytes, places, &sum) && moka_add(sum, 64, &sum) ? sum / 64 * 64
									  : INT64_MAX;
}

static enum moka_status malis_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *s = &l->bottom[0].shape, *t = &l->bottom[2].shape;
	struct malis *v = moka_layer_priv(l, sizeof(*v));
	char a[MOKA_SHAPE_TEXT], b[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(0);
	if (l->n_top > 1)
		l->top[1].shape = *s;
	if (s->n < 3 || s->n > 5)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "affinities are (num, edges, [[z,] y,] x), 3 to 5 axes, and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(s, a, sizeof(a)));
	if (!moka_shape_equal(s, &l->bottom[1].shape))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "'%s' must have the shape of '%s', %s, and is %s", l->bottom[1].name,
					     l->bottom[0].name, moka_shape_text(s, a, sizeof(a)),
					     moka_shape_text(&l->bottom[1].shape, b, sizeof(b)));
	*v = (struct malis){ s->d[0], s->d[1], { 1, 1, 1 }, moka_shape_count_range(s, 2, s->n), 1 };
	for (int i = 2; i < s->n; i++)
		v->dim[3 - s->n + i] = s->d[i];
	v->pieces = t->n > 1 ? t->d[1] : 0;
	if (t->n != s->n || t->d[0] != s->d[0] || (v->pieces != 1 && v->pieces != 2) ||
	    moka_shape_count_range(t, 2, t->n) != v->places)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 2,
					     "the pieces are (num, 1 or 2, the places of '%s', %s), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(s, a, sizeof(a)), l->bottom[2].name,
					     moka_shape_text(t, b, sizeof(b)));
	if (l->n_bottom > 3 && moka_shape_count(&l->bottom[3].shape) != 3 * v->edges)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 3, "%lld edges want 3 steps each, and '%s' is %s",
					     (long long)v->edges, l->bottom[3].name,
					     moka_shape_text(&l->bottom[3].shape, a, sizeof(a)));
	if (l->n_bottom < 4 && (v->edges < 1 || v->edges > 3))
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 0,
			"%lld edges want a fourth bottom that says where they lead; without it there are 1 to 3",
			(long long)v->edges);
	if (values_of(v) > INT32_MAX)
		return moka_layer_bad_bottom(l, f, "too-large", 0, "an item of '%s' has too many affinities",
					     l->bottom[0].name);
	l->state_bytes = moka_layer_bytes(moka_shape_count(s), sizeof(real));
	l->scratch_bytes = moka_layer_bytes(v->items, (size_t)(work_bytes(v) + (int64_t)sizeof(double)));
	return MOKA_OK;
}

/* ---- one item ---------------------------------------------------------------------------------------------- */

/* Sorts n indices by falling key, equal ones as they stood. Returns the array that holds them then. */
static int32_t *sort_falling(int32_t *v, int32_t *spare, int64_t n, const real *key)
{
	for (int64_t width = 1; width < n; width *= 2) {
		int32_t *t;

		for (int64_t i = 0; i < n; i += 2 * width) {
			const int64_t middle = MOKA_MIN(i + width, n), end = MOKA_MIN(i + 2 * width, n);
			int64_t a = i, b = middle;

			for (int64_t k = i; k < end; k++)
				spare[k] = a < middle && (b >= end || key[v[a]] >= key[v[b]]) ? v[a++] : v[b++];
		}
		t = v;
		v = spare;
		spare = t;
	}
	return v;
}

static int32_t find_set(int32_t *parent, int32_t i)
{
	while (parent[i] != i)
		i = parent[i] = parent[parent[i]];
	return i;
}

/* Pairs of one piece between two sets, and both lists (sorted by label) merged into a's; *all: pairs whatever their piece. */
static double join(struct work *w, int32_t a, int32_t b, double *all)
{
	int32_t i = w->head[a], k = w->head[b], *link = &w->head[a];
	double same = 0, in_a = 0, in_b = 0;

	while (i >= 0 || k >= 0) {
		const bool both = i >= 0 && k >= 0 && w->label[i] == w->label[k];

		if (both) {
			same += (double)w->count[i] * w->count[k];
			in_a += w->count[i];
			in_b += w->count[k];
			w->count[i] += w->count[k];
			k = w->next[k];
		}
		if (both || k < 0 || (i >= 0 && w->label[i] < w->label[k])) {
			in_a += both ? 0 : w->count[i];
			*link = i;
			link = &w->next[i];
			i = w->next[i];
		} else {
			in_b += w->count[k];
			*link = k;
			link = &w->next[k];
			k = w->next[k];
		}
	}
	*link = -1;
	w->parent[b] = a;
	*all = in_a * in_b;
	return same;
}

/* Each place its own set, with a list of its piece. Returns the number of pairs of one piece; *all: of places with a piece. */
static double start_sets(const struct malis *v, struct work *w, const real *pieces, double *all)
{
	int32_t *sorted;
	int64_t labelled = 0;
	double pairs = 0, run = 0;

	for (int64_t i = 0; i < v->places; i++) {
		w->parent[i] = (int32_t)i;
		w->next[i] = -1;
		w->count[i] = 1;
		w->label[i] = (real)(int64_t)pieces[i];
		w->head[i] = pieces[i] != 0 ? (int32_t)i : -1;
		if (pieces[i] != 0)
			w->order[labelled++] = (int32_t)i;
	}
	sorted = sort_falling(w->order, w->spare, labelled, w->label);
	for (int64_t i = 0; i < labelled; i++) {
		run = i && w->label[sorted[i]] == w->label[sorted[i - 1]] ? run + 1 : 0;
		pairs += run;
	}
	*all = (double)labelled * ((double)labelled - 1) / 2;
	return pairs;
}

/* Where edge e leads from a place, -1: out of the block. */
static int64_t neighbour(const struct malis *v, const int64_t *step, int64_t place)
{
	const int64_t at[] = { place / (v->dim[1] * v->dim[2]), place / v->dim[2] % v->dim[1], place % v->dim[2] };
	int64_t to = 0;

	for (int i = 0; i < 3; i++) {
		const int64_t p = at[i] + step[i];

		if (p < 0 || p >= v->dim[i])
			return -1;
		to = to * v->dim[i] + p;
	}
	return to;
}

/* The loss of one kind of pairs; what belongs to each edge is added to `share`. steps: 3 for each edge. */
static double kruskal(const struct malis *v, struct work *w, const real *pieces, const int64_t *steps, bool same_piece,
		      real *share)
{
	double all, pairs = start_sets(v, w, pieces, &all), loss = 0;
	const double norm = same_piece ? pairs : all - pairs, target = same_piece ? 1 : 0;
	const int64_t n = v->edges * v->places;
	int64_t usable = 0;
	int32_t *sorted;

	for (int64_t i = 0; i < n; i++)
		if (neighbour(v, steps + i / v->places * 3, i % v->places) >= 0)
			w->order[usable++] = (int32_t)i;
	sorted = sort_falling(w->order, w->spare, usable, w->weight);
	for (int64_t i = 0; i < usable && norm > 0; i++) {
		const int64_t e = sorted[i], place = e % v->places;
		const int32_t a = find_set(w->parent, (int32_t)place);
		const int32_t b = find_set(w->parent, (int32_t)neighbour(v, steps + e / v->places * 3, place));

		if (a == b)
			continue;
		pairs = join(w, a, b, &all);
		pairs = same_piece ? pairs : all - pairs;
		loss += (target - (double)w->weight[e]) * (target - (double)w->weight[e]) * pairs / norm;
		share[e] += (real)((target - (double)w->weight[e]) * pairs / norm);
	}
	return loss;
}

struct malis_job {
	const struct malis *v;
	const real *x, *truth, *pieces;
	const int64_t *steps;
	real *share;
	double *loss;
	char *work;
};

static struct work work_at(const struct malis *v, char *p)
{
	const size_t n = (size_t)(v->edges * v->places), places = (size_t)v->places;
	struct work w;

	w.weight = (real *)(void *)p; /* the widest first: everything is aligned */
	w.label = w.weight + n;
	w.order = (int32_t *)(void *)(w.label + places);
	w.spare = w.order + n;
	w.parent = w.spare + n;
	w.next = w.parent + places;
	w.head = w.next + places;
	w.count = w.head + places;
	return w;
}

static void malis_piece(void *arg, int64_t begin, int64_t end)
{
	const struct malis_job *j = arg;
	const struct malis *v = j->v;
	const int64_t n = v->edges * v->places;

	for (int64_t item = begin; item < end; item++) {
		struct work w = work_at(v, j->work + item * work_bytes(v));
		const real *x = j->x + item * n, *truth = j->truth + item * n;
		const real *pieces = j->pieces + item * v->pieces * v->places;
		real *share = j->share + item * n;

		moka_set(n, 0, share);
		for (int64_t i = 0; i < n; i++)
			w.weight[i] = MOKA_MAX(x[i], truth[i]);
		j->loss[item] = kruskal(v, &w, pieces, j->steps, false, share);
		for (int64_t i = 0; i < n; i++)
			w.weight[i] = MOKA_MIN(x[i], truth[i]);
		j->loss[item] += kruskal(v, &w, pieces + (v->pieces - 1) * v->places, j->steps, true, share);
	}
}

/* ---- the passes ---------------------------------------------------------------------------------------------- */

#define MAX_EDGES 256

static enum moka_status read_steps(const struct moka_layer *l, struct moka_call *c, int64_t *steps)
{
	const struct malis *v = l->priv;

	if (v->edges > MAX_EDGES)
		return moka_call_bad(l, c, MOKA_ERR_MODEL, "%lld edges; up to %d can be followed", (long long)v->edges,
				     MAX_EDGES);
	for (int64_t i = 0; i < 3 * v->edges; i++) {
		if (l->n_bottom < 4) { /* +z, +y, +x: the last of them where there are fewer */
			steps[i] = 3 - v->edges + i / 3 == i % 3;
			continue;
		}
		const real s = c->bottom[3].data[i];

		if (!(s > -65536 && s < 65536))
			return moka_call_bad(l, c, MOKA_ERR_DATA, "step %lld of '%s' is %g: edges lead a few places on",
					     (long long)i, l->bottom[3].name, (double)s);
		steps[i] = (int64_t)s;
	}
	return MOKA_OK;
}

/* Nothing that isn't a number may be sorted, and pieces are whole numbers. */
static enum moka_status check_data(const struct moka_layer *l, struct moka_call *c)
{
	for (int b = 0; b < 3; b++)
		for (int64_t i = 0; i < c->bottom[b].count; i++) {
			const real x = c->bottom[b].data[i];

			if (!(x > -16777216 && x < 16777216))
				return moka_call_bad(l, c, MOKA_ERR_DATA, "value %lld of '%s' is %g", (long long)i,
						     l->bottom[b].name, (double)x);
		}
	return MOKA_OK;
}

static enum moka_status malis_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct malis *v = l->priv;
	int64_t steps[3 * MAX_EDGES];
	struct malis_job j = { v,     c->bottom[0].data, c->bottom[1].data, c->bottom[2].data,
			       steps, c->state,		 c->scratch,	    NULL };
	double sum = 0;

	MOKA_TRY(check_data(l, c));
	MOKA_TRY(read_steps(l, c, steps));
	/* the losses stand behind the work of the items */
	j.work = c->scratch;
	j.loss = (double *)(void *)(j.work + v->items * work_bytes(v));
	if (v->places && v->edges)
		moka_parallel(c->pool, malis_piece, &j, v->items, 1);
	for (int64_t i = 0; v->places && v->edges && i < v->items; i++)
		sum += j.loss[i] / 2;
	c->top[0].data[0] = (real)(v->items ? sum / (double)v->items : 0);
	if (l->n_top > 1)
		memcpy(c->top[1].data, c->bottom[0].data, (size_t)c->bottom[0].count * sizeof(real));
	return MOKA_OK;
}

static enum moka_status malis_backward(const struct moka_layer *l, struct moka_call *c)
{
	const real *share = c->state;
	const real weight = c->top[0].diff ? c->top[0].diff[0] : 0;
	real *dx = c->bottom[0].diff;

	(void)l;
	for (int64_t i = 0; dx && i < c->bottom[0].count; i++)
		dx[i] = -weight * share[i] / 2;
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_malis_loss = {
	.schema = { "MalisLoss", NULL, 0, 0, NULL, NULL, 0, "OpenCL Caffe" },
	.doc = "how well affinities keep the pieces of a segmentation together and apart (MALIS)",
	.min_bottom = 3, .max_bottom = 4, .min_top = 1, .max_top = 2,
	.flags = MOKA_LOSS, .no_gradient = 14,
	.shape = malis_shape, .forward = malis_forward, .backward = malis_backward,
};
/* clang-format on */
