/*
 * params.c - the parameters' memory: one block for a net, filled by the fillers, or borrowed from another net.
 *
 * Each parameter has a random stream of its own, so its values do not depend on which of the others a file brings.
 */
#include "net/fused.h"

#include <stdlib.h>
#include <string.h>

static enum moka_status fill(const struct moka_net *n, int p, struct moka_error *err)
{
	const struct moka_param *x = &n->params[p];
	const struct moka_net_layer *owner = &n->layers[x->owner];
	struct moka_error own = { 0 };
	struct moka_rng rng;
	char title[MOKA__TITLE], line[32];

	moka_rng_seed(&rng, n->fill_seed, (uint64_t)p);
	enum moka_status st = moka_fill(x->filler, &x->shape, x->data, &rng, &own);

	if (!st)
		return MOKA_OK;
	return moka_fail(err, st, "%s%s: %s: %s", moka__title(owner->l.name, owner->type_name, title),
			 moka__at_line(owner->loc, line, sizeof(line)), x->role ? x->role : "parameter", own.message);
}

enum moka_status moka__net_fill(struct moka_net *n, struct moka_error *err)
{
	for (int p = 0; p < n->n_params; p++) {
		if (!n->params[p].unfilled)
			continue;
		MOKA_TRY(fill(n, p, err));
		n->params[p].unfilled = false;
	}
	return MOKA_OK;
}

static enum moka_status unknown_shape(const struct moka_net *n, const struct moka_param *p, struct moka_error *err)
{
	const struct moka_net_layer *owner = &n->layers[p->owner];
	char title[MOKA__TITLE], line[32], text[MOKA_SHAPE_TEXT];

	moka_fail(err, MOKA_ERR_MODEL, "%s%s: the shape of its %s isn't known: %s",
		  moka__title(owner->l.name, owner->type_name, title), moka__at_line(owner->loc, line, sizeof(line)),
		  p->role ? p->role : "parameter", moka_shape_text(&p->shape, text, sizeof(text)));
	moka_fail_hint(err, "give the shapes of the net's inputs");
	return MOKA_ERR_MODEL;
}

/* Bytes of all parameters that don't have memory yet. */
static enum moka_status measure(const struct moka_net *n, size_t *bytes, struct moka_error *err)
{
	int64_t total = 0;

	for (int p = 0; p < n->n_params; p++) {
		if (n->params[p].data)
			continue;
		if (n->params[p].count < 0)
			return unknown_shape(n, &n->params[p], err);
		if (!moka_add(total, (int64_t)moka__blob_bytes(n->params[p].count), &total) ||
		    total > n->memory_limit_bytes)
			return moka_fail(err, MOKA_ERR_LIMIT,
					 "the net's parameters need more than the %.1f GiB that are allowed",
					 (double)n->memory_limit_bytes / (1 << 30));
	}
	*bytes = (size_t)total;
	return MOKA_OK;
}

/* Gives memory from `at` on to the parameters that are large, or to those that aren't. */
static size_t place(struct moka_net *n, char *base, size_t at, bool large)
{
	for (int p = 0; p < n->n_params; p++) {
		struct moka_param *x = &n->params[p];

		if (x->data || ((size_t)x->count * sizeof(real) >= MOKA__LEND_BYTES) != large)
			continue;
		x->data = (real *)(base + at);
		x->unfilled = true;
		at += moka__blob_bytes(x->count);
	}
	return at;
}

enum moka_status moka_net_reserve(struct moka_net *n, uint64_t seed, struct moka_error *err)
{
	size_t bytes = 0, small;
	char *base;

	if (n->param_block)
		return moka_fail(err, MOKA_ERR_ARG, "the net's parameters are allocated already");
	MOKA_TRY(measure(n, &bytes, err));
	/* calloc: memory that is not touched until weights or a filler come */
	n->param_block = calloc(bytes + MOKA__ALIGN, 1);
	if (!n->param_block)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for the net's parameters (%.1f MiB)",
				 (double)bytes / (1 << 20));
	n->fill_seed = seed;
	base = (char *)(((uintptr_t)n->param_block + MOKA__ALIGN - 1) / MOKA__ALIGN * MOKA__ALIGN);
	/* what may stay in its file or be given back (lend.c) lies together: small neighbours would bring whole large pages of it */
	small = place(n, base, 0, false);
	place(n, base, small, true);
	moka_pages_large(base + small, bytes - small);
	return MOKA_OK;
}

enum moka_status moka_net_allocate(struct moka_net *n, uint64_t seed, struct moka_error *err)
{
	MOKA_TRY(moka_net_reserve(n, seed, err));
	return moka__net_fill(n, err);
}

/* ---- a net that uses another's -------------------------------------------------------------------------- */

/* The parameter that layer `name` of `from` has at `index`; NULL. */
static struct moka_param *find_param(const struct moka_net *from, const struct moka_map *layers, const char *name,
				     int index)
{
	int i = moka__index(layers, name);

	return i >= 0 && index < from->layers[i].l.n_param ? &from->params[from->layers[i].params[index]] : NULL;
}

static void borrow(struct moka_net *n, int layer, const struct moka_net *from, const struct moka_map *layers)
{
	const struct moka_net_layer *nl = &n->layers[layer];

	for (int i = 0; i < nl->l.n_param; i++) {
		struct moka_param *mine = &n->params[nl->params[i]];
		const struct moka_param *theirs = find_param(from, layers, nl->l.name, i);

		if (mine->data || !theirs || !theirs->data || !moka_shape_equal(&mine->shape, &theirs->shape))
			continue;
		mine->data = theirs->data;
		mine->from = theirs->from;
		mine->borrowed = true;
	}
}

enum moka_status moka_net_share(struct moka_net *n, struct moka_net *from, struct moka_error *err)
{
	struct moka_map layers;
	bool ok = true;

	if (n->param_block)
		return moka_fail(err, MOKA_ERR_ARG, "the net's parameters are allocated already");
	MOKA_TRY(moka_net_plain(from, err));
	for (int p = 0; p < from->n_params; p++)
		if (!from->params[p].data || from->params[p].unfilled)
			return moka_fail(err, MOKA_ERR_ARG, "the net to share with has no values yet");
	moka_map_init(&layers);
	for (int i = from->n_layers - 1; i >= 0; i--)
		ok &= moka_map_put(&layers, from->layers[i].l.name, (void *)(intptr_t)(i + 1));
	for (int i = 0; ok && i < n->n_layers; i++)
		borrow(n, i, from, &layers);
	moka_map_release(&layers);
	n->weights_of = from;
	return ok ? moka_net_allocate(n, from->fill_seed, err) : moka_fail(err, MOKA_ERR_NOMEM, "no memory");
}
