/*
 * lend.c - parameters whose plain values are given back to the system while a plan holds them packed.
 *
 * A net that only infers needs a convolution's weights twice for a moment: plain, while they are packed. Where whoever made
 * the net can bring its values again (from the files that are still mapped; fillers run again), their pages are given back as soon as they are
 * packed, and brought again when somebody wants plain values: an execution layer by layer, a net that shares them, a pointer
 * for a caller, another packing. So weights are in memory once, and at no time more than twice.
 *
 * A parameter is given back only if every use of it is packed and nobody else holds its memory.
 */
#include "net/fused.h"

#include <sys/mman.h>
#include <unistd.h>

#define LEAST_BYTES (64 * 1024) /* smaller ones have hardly a whole page of their own */

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
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t from = ((uintptr_t)x->data + page - 1) / page * page;
	const uintptr_t to = ((uintptr_t)x->data + (uintptr_t)x->count * sizeof(real)) / page * page;

	if (from < to && !madvise((void *)from, to - from, MADV_DONTNEED)) {
		x->given_back = true;
		x->unfilled = !x->from;
	}
}

void moka__lend_packed(struct moka_net *n, const struct moka_plan *p, const struct moka__work *w)
{
	const struct moka_net_layer *nl = w->conv && w->n_layers ? &n->layers[w->layers[0]] : NULL;

	for (int i = 0; nl && moka__lends(n) && i < nl->l.n_param; i++) {
		struct moka_param *x = &n->params[nl->params[i]];

		/* one use: another work would still have to pack it */
		if (x->n_uses == 1 && !x->borrowed && !x->given_back &&
		    (size_t)x->count * sizeof(real) >= LEAST_BYTES && moka__param_is_packed(p, nl->params[i]))
			give_back(x);
	}
}

enum moka_status moka__lend_restore(struct moka_net *n)
{
	const uint64_t version = n->weights_version;
	enum moka_status st;
	bool any = false;

	for (int i = 0; i < n->n_params; i++)
		any |= n->params[i].given_back;
	if (!any)
		return MOKA_OK;
	n->restoring = true; /* moka_net_load() then touches only what was given back */
	st = n->again(n->again_arg, n);
	if (!st)
		st = moka__net_fill(n, NULL);
	n->restoring = false;
	/* the same values: what is packed is still right */
	n->weights_version = version;
	for (int i = 0; !st && i < n->n_params; i++)
		n->params[i].given_back = false;
	return st;
}

enum moka_status moka_net_plain(struct moka_net *n)
{
	enum moka_status st;

	if (!n->shared)
		return MOKA_OK;
	pthread_mutex_lock(&n->shared->lock);
	st = moka__lend_restore(n);
	if (!st)
		n->again = NULL;
	pthread_mutex_unlock(&n->shared->lock);
	return st;
}
