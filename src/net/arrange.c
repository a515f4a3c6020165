/*
 * arrange.c - how the blobs of an execution that trains lie: plain, or in blocks of channels, as convolutions like them.
 *
 * A blob of 4 axes with whole blocks of channels has as many values either way, so memory is laid out as ever. Layers say what they can
 * take (layout()): convolutions anything, most others their blobs alike, the rest plain ones. Blobs that must lie alike form a set;
 * a set lies in blocks where every layer that touches it can take that, and some convolution gains by it. What the outside
 * looks at or fills (inputs, outputs, losses, gradients put in) stays plain. A blob of one pixel lies the same way twice: it counts as
 * plain and ties nothing.
 */
#include "net/fused.h"

#include <stdlib.h>

struct sets {
	const struct moka_exec *e;
	int block;
	int *parent;  /* per blob */
	bool *plain;  /* per set, at its root */
	bool *wanted; /* likewise */
};

static int root_of(const struct sets *s, int blob)
{
	while (s->parent[blob] != blob)
		blob = s->parent[blob] = s->parent[s->parent[blob]];
	return blob;
}

static void unite(struct sets *s, int a, int b)
{
	a = root_of(s, a);
	b = root_of(s, b);
	s->parent[b] = a;
	s->plain[a] |= s->plain[b];
	s->wanted[a] |= s->wanted[b];
}

static bool one_pixel(const struct moka_shape *s)
{
	return s->n == 4 && s->d[2] == 1 && s->d[3] == 1;
}

/* Whether the outside, or a layer that makes no difference between blobs, sees how it lies. */
static bool must_be_plain(const struct sets *s, int blob)
{
	const struct moka_blob *b = &s->e->n->blobs[blob];
	const struct moka_net_layer *nl = b->producer >= 0 ? &s->e->n->layers[b->producer] : NULL;

	return b->shape.n != 4 || b->shape.d[1] % s->block || moka_shape_count(&b->shape) < 1 || b->is_input ||
	       b->is_output || b->gradient_source || !nl || (nl->l.type->flags & MOKA_DATA);
}

static enum moka_layout layout_of(const struct moka_net_layer *nl, int block)
{
	for (int i = 0; i < nl->l.n_top; i++)
		if (nl->loss_weight[i] != 0)
			return MOKA_LAYOUT_PLAIN;
	if (nl->is_input || !nl->l.type)
		return MOKA_LAYOUT_PLAIN;
	if (nl->l.type->layout)
		return nl->l.type->layout(&nl->l, block);
	return nl->l.type->flags & MOKA_ELEMENTWISE ? MOKA_LAYOUT_ALIKE : MOKA_LAYOUT_PLAIN;
}

static void meet(struct sets *s, int blob, enum moka_layout layout, int *first)
{
	if (layout == MOKA_LAYOUT_PLAIN)
		s->plain[root_of(s, blob)] = true;
	else if (layout == MOKA_LAYOUT_ANY)
		s->wanted[root_of(s, blob)] = true;
	else if (one_pixel(&s->e->n->blobs[blob].shape))
		return;
	else if (*first < 0)
		*first = blob;
	else
		unite(s, *first, blob);
}

static void meet_layer(struct sets *s, const struct moka_net_layer *nl)
{
	const enum moka_layout layout = layout_of(nl, s->block);
	int first = -1;

	for (int i = 0; i < nl->l.n_bottom; i++)
		meet(s, nl->bottoms[i], layout, &first);
	for (int i = 0; i < nl->l.n_top; i++)
		meet(s, nl->tops[i], layout, &first);
}

static bool settle(struct moka_exec *e)
{
	const struct moka_net *n = e->n;
	struct sets s = { .e = e, .block = moka_block() };

	s.parent = MOKA_NEWN(&e->arena, n->n_blobs + 1, int);
	s.plain = MOKA_NEWN(&e->arena, n->n_blobs + 1, bool);
	s.wanted = MOKA_NEWN(&e->arena, n->n_blobs + 1, bool);
	if (!s.parent || !s.plain || !s.wanted)
		return false;
	for (int i = 0; i < n->n_blobs; i++) {
		s.parent[i] = i;
		s.plain[i] = must_be_plain(&s, i);
	}
	for (int i = 0; i < n->n_layers; i++)
		meet_layer(&s, &n->layers[i]);
	for (int i = 0; i < n->n_blobs; i++) {
		const int root = root_of(&s, i);
		const bool blocked = s.wanted[root] && !s.plain[root] && !one_pixel(&n->blobs[i].shape);

		e->blob_block[i] = blocked ? s.block : 1;
	}
	return true;
}

/* ---- what layers need ----------------------------------------------------------------------------------- */

static enum moka_status fit_layer(struct moka_exec *e, int layer, int *blocks)
{
	struct moka_net_layer *nl = &e->n->layers[layer];
	struct moka_fit f = { .bottom_block = blocks,
			      .top_block = blocks + nl->l.n_bottom,
			      .threads = moka_pool_threads(e->o.pool),
			      .state_bytes = nl->l.state_bytes,
			      .scratch_bytes = nl->l.scratch_bytes };

	for (int i = 0; i < nl->l.n_bottom; i++)
		blocks[i] = e->blob_block[nl->bottoms[i]];
	for (int i = 0; i < nl->l.n_top; i++)
		blocks[nl->l.n_bottom + i] = e->blob_block[nl->tops[i]];
	if (nl->l.type && nl->l.type->fit && !nl->is_input)
		MOKA_TRY(nl->l.type->fit(&nl->l, &f));
	e->steps[layer].made = f.made;
	e->steps[layer].state_bytes = f.state_bytes;
	e->fit_scratch = MOKA_MAX(e->fit_scratch, f.scratch_bytes);
	return MOKA_OK;
}

enum moka_status moka__arrange(struct moka_exec *e)
{
	const struct moka_net *n = e->n;
	int most = 0, *blocks;

	for (int i = 0; i < n->n_layers; i++)
		most = MOKA_MAX(most, n->layers[i].l.n_bottom + n->layers[i].l.n_top);
	blocks = MOKA_NEWN(&e->arena, most + 1, int);
	e->blob_block = MOKA_NEWN(&e->arena, n->n_blobs + 1, int);
	e->seen = MOKA_NEWN(&e->arena, 2 * n->n_blobs + 1, real *);
	if (!blocks || !e->blob_block || !e->seen || !settle(e))
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < n->n_layers; i++)
		MOKA_TRY(fit_layer(e, i, blocks));
	return moka__join_find(e);
}

/* ---- somebody looks ---------------------------------------------------------------------------------------- */

real *moka__plain_copy(struct moka_exec *e, int blob, int which, real *values)
{
	const struct moka_shape *s = &e->n->blobs[blob].shape;
	const int64_t image = moka_shape_count_range(s, 1, 4);
	struct moka_tensor x = { values, s->d[0], s->d[1], s->d[2], s->d[3], e->blob_block[blob], image }, y = x;
	real **to = &e->seen[2 * blob + which];

	if (!*to)
		*to = malloc((size_t)moka_shape_count(s) * sizeof(real));
	if (!*to)
		return NULL;
	y.data = *to;
	y.block = 1;
	moka_relayout(e->o.pool, &x, &y);
	return *to;
}
