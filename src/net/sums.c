/*
 * sums.c - gradients that meet. Of a blob that several layers read, the first writes its gradient into the blob's own diff, each other one into
 * a part of its own; when the first (the last to run backward) is done, the parts are added in the layers' order. A loss
 * weight and a gradient from outside count as readers after the layers. An in-place layer's bottom and top are one
 * blob, whose diff it turns from the top's into the bottom's.
 */
#include "net/fused.h"

#include <string.h>

/* Bottoms that fill a diff of `blob`, in the order of layers; in-place ones are not among them. Returns how many; *first: the first layer. */
static int count_parts(const struct moka_net *n, int blob, int *first)
{
	const struct moka_blob *x = &n->blobs[blob];
	int parts = 0;

	*first = -1;
	for (int c = 0; c < x->n_consumers; c++) {
		const struct moka_net_layer *nl = &n->layers[x->consumers[c]];

		for (int k = 0; k < nl->l.n_bottom; k++)
			if (nl->bottoms[k] == blob && nl->bottom_gradient[k] && !moka__writes_in_place(nl, k)) {
				if (!parts++)
					*first = x->consumers[c];
			}
	}
	return parts;
}

/* The loss weight of a blob's top; only the layer that makes it (or works on it in place) can give it one. */
static real blob_loss_weight(const struct moka_net *n, int blob)
{
	const struct moka_blob *x = &n->blobs[blob];
	real w = x->producer >= 0 ? (real)n->layers[x->producer].loss_weight[x->producer_top] : 0;

	for (int c = 0; c < x->n_consumers; c++) {
		const struct moka_net_layer *nl = &n->layers[x->consumers[c]];

		for (int t = 0; nl->in_place && t < nl->l.n_top; t++)
			if (nl->tops[t] == blob)
				w += (real)nl->loss_weight[t];
	}
	return w;
}

/* The last layer that writes a blob; -1: an input. */
static int last_writer(const struct moka_net *n, int blob)
{
	const struct moka_blob *x = &n->blobs[blob];
	int last = x->producer;

	for (int c = 0; c < x->n_consumers; c++) {
		const struct moka_net_layer *nl = &n->layers[x->consumers[c]];

		for (int t = 0; nl->in_place && t < nl->l.n_top; t++)
			if (nl->tops[t] == blob)
				last = x->consumers[c];
	}
	return last;
}

static bool append(struct moka_arena *a, int **list, int *n, int value)
{
	if (!(*n & (*n - 1))) { /* lists are short: doubled at powers of two */
		int *more = MOKA_NEWN(a, MOKA_MAX(*n * 2, 1), int);

		if (!more)
			return false;
		if (*n)
			memcpy(more, *list, (size_t)*n * sizeof(int));
		*list = more;
	}
	(*list)[(*n)++] = value;
	return true;
}

/* Blob i's sum, where its diff is more than what one layer writes. */
bool moka__sum_plan(struct moka_exec *e, int blob)
{
	const struct moka_net *n = e->n;
	struct moka__sum *s = &e->sums[e->n_sums];
	int first, parts, writer;

	e->sum_of[blob] = -1;
	if (!e->o.backward || !n->blobs[blob].need_gradient)
		return true;
	parts = count_parts(n, blob, &first);
	writer = last_writer(n, blob);
	*s = (struct moka__sum){ .blob = blob,
				 .n_parts = parts,
				 .loss_weight = blob_loss_weight(n, blob),
				 .count = moka__blob_count(n, blob) };
	if (parts == 1 && s->loss_weight == 0 && !n->blobs[blob].gradient_source)
		return true;
	s->parts = MOKA_NEWN(&e->arena, parts + 1, real *);
	e->sum_of[blob] = e->n_sums++;
	if (!s->parts)
		return false;
	if (first >= 0)
		return append(&e->arena, &e->steps[first].after, &e->steps[first].n_after, e->sum_of[blob]);
	return writer < 0 || append(&e->arena, &e->steps[writer].before, &e->steps[writer].n_before, e->sum_of[blob]);
}
