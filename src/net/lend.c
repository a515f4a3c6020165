/*
 * lend.c - parameters whose plain values are given back to the system while a plan holds them packed.
 *
 * A net that only infers needs a convolution's weights twice for a moment: plain, while they are packed. Where whoever made
 * the net can bring its values again (from the files that are still mapped; fillers run again), their pages are given back as soon as they are
 * packed, and brought again when somebody wants plain values: an execution layer by layer, a net that shares them, a pointer
 * for a caller, another packing. So weights are in memory once, and at no time more than twice.
 *
 * Large values that are loaded when the net lends already don't even come: they are packed from the mapped file.
 *
 * A parameter is given back only if every use of it is packed and nobody else holds its memory.
 */
#include "net/fused.h"

#include <string.h>

void moka_net_lend(struct moka_net *n, moka_net_again_fn *again, void *arg)
{
	n->again = again;
	n->again_arg = arg;
}

bool moka__lends(const struct moka_net *n)
{
	return n->again && !n->weights_watched && !n->weights_of;
}

/* Whether a work packs the parameter, or folds it into what it packs. */
static bool packs(const struct moka_plan *p, const struct moka__work *w, int param, int layer)
{
	const struct moka_net_layer *nl = &p->n->layers[layer];
	bool of_layer = false;

	for (int i = 0; i < w->n_layers; i++)
		of_layer |= w->layers[i] == layer;
	for (int i = 0; of_layer && i < nl->l.n_param; i++)
		if (nl->params[i] == param)
			return w->conv != NULL;
	return false;
}

bool moka__param_is_packed(const struct moka_plan *p, int param)
{
	const struct moka_param *x = &p->n->params[param];

	for (int u = 0; u < x->n_uses; u++) {
		bool found = false;

		for (int i = 0; i < p->n_works && !found; i++)
			found = packs(p, &p->works[i], param, x->uses[u].layer);
		if (!found)
			return false;
	}
	return x->n_uses > 0;
}

static void give_back(struct moka_param *x)
{
	if (!moka_pages_give_back(x->data, (size_t)x->count * sizeof(real)))
		return;
	x->given_back = true;
	x->unfilled = !x->from;
}

void moka__lend_packed(struct moka_net *n, const struct moka_plan *p, const struct moka__work *w)
{
	const struct moka_net_layer *nl = w->conv && w->n_layers ? &n->layers[w->layers[0]] : NULL;

	for (int i = 0; nl && moka__lends(n) && i < nl->l.n_param; i++) {
		struct moka_param *x = &n->params[nl->params[i]];

		if (x->raw)
			moka_file_forget(x->file, x->raw, (size_t)x->count * sizeof(real));
		/* one use: another work would still have to pack it */
		if (x->n_uses == 1 && !x->borrowed && !x->given_back &&
		    (size_t)x->count * sizeof(real) >= MOKA__LEND_BYTES && moka__param_is_packed(p, nl->params[i]))
			give_back(x);
	}
}

const void *moka__lend_values(const struct moka_param *x)
{
	return x->raw ? (const void *)x->raw : x->data;
}

enum moka_status moka_net_load_again(struct moka_net *n, struct moka_weights *const *weights, int n_weights,
				     struct moka_error *err)
{
	enum moka_status st = MOKA_OK;

	for (int i = 0; !st && i < n_weights; i++) {
		struct moka_findings f;

		moka_findings_init(&f);
		st = moka_net_load(n, weights[i], false, &f);
		for (size_t k = 0; st && k < f.n; k++)
			if (f.items[k].severity == MOKA_ERROR) {
				moka_fail(err, st, "%s: %s", weights[i]->path, f.items[k].message);
				break;
			}
		moka_findings_release(&f);
	}
	return st;
}

/* Copies values from their file, piece by piece, so that they are never in memory twice. */
static void bring(struct moka_param *x)
{
	const size_t bytes = (size_t)x->count * sizeof(real), piece = (size_t)4 << 20;

	for (size_t at = 0; at < bytes; at += piece) {
		const size_t n = MOKA_MIN(piece, bytes - at);

		memcpy((char *)x->data + at, x->raw + at, n);
		moka_file_forget(x->file, x->raw + at, n);
	}
	x->raw = NULL;
	x->given_back = false;
}

/* Whether a plan packs the parameter's values and nobody else of it looks at them. */
static bool packs_values(const struct moka_plan *p, int param)
{
	for (int i = 0; i < p->n_works; i++)
		if (p->works[i].conv && p->works[i].n_layers && p->n->layers[p->works[i].layers[0]].params[0] == param)
			return true;
	return false;
}

enum moka_status moka__lend_restore(struct moka_net *n, const struct moka_plan *p, struct moka_error *err)
{
	const uint64_t version = n->weights_version;
	struct moka_error own = { 0 };
	enum moka_status st;
	bool any = false;

	for (int i = 0; i < n->n_params; i++) {
		struct moka_param *x = &n->params[i];

		if (x->raw && !(p && packs_values(p, i)))
			bring(x);
		any |= x->given_back && !x->raw;
	}
	if (!any)
		return MOKA_OK;
	n->restoring = true; /* moka_net_load() then touches only what was given back */
	st = n->again(n->again_arg, n, &own);
	if (!st)
		st = moka__net_fill(n, &own);
	n->restoring = false;
	/* the same values: what is packed is still right */
	n->weights_version = version;
	for (int i = 0; !st && i < n->n_params; i++)
		n->params[i].given_back = n->params[i].raw != NULL;
	if (!st)
		return MOKA_OK;
	moka_fail(err, st, "weights that were given back when they were packed can't be had again: %s", own.message);
	moka_fail_hint(err, "files of weights must stay as they are while a net that has them is open");
	return st;
}

enum moka_status moka_net_plain(struct moka_net *n, struct moka_error *err)
{
	enum moka_status st;

	if (!n->shared)
		return MOKA_OK;
	pthread_mutex_lock(&n->shared->lock);
	st = moka__lend_restore(n, NULL, err);
	if (!st)
		n->again = NULL;
	pthread_mutex_unlock(&n->shared->lock);
	return st;
}
