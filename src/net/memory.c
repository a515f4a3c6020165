/*
 * memory.c - the memory of an execution, laid out in one block:
 *
 *     | data of each blob | diff of each blob | parts | parameter diffs | state of each layer | scratch |
 *
 * That is where everything is kept and gradients are wanted; otherwise blobs share memory (place.c) and the rest is absent. sums.c
 * says what parts are.
 */
#include "net/fused.h"

#include <stdlib.h>

#if MOKA__GUARD
#include <sanitizer/asan_interface.h>
#endif

/* A run over everything that needs memory. base NULL: only measures. */
struct layout {
	char *base;
	size_t at, limit;
	bool overflow;
};

static void *take(struct layout *y, size_t bytes)
{
	void *p = y->base ? y->base + y->at : NULL;

	bytes = (MOKA_MAX(bytes, 1) + MOKA__ALIGN - 1) / MOKA__ALIGN * MOKA__ALIGN;
	if (bytes > y->limit || y->at > y->limit - bytes) {
		y->overflow = true;
		return NULL;
	}
	y->at += bytes + MOKA__GUARD;
#if MOKA__GUARD
	if (y->base)
		ASAN_POISON_MEMORY_REGION(y->base + y->at - MOKA__GUARD, MOKA__GUARD);
#endif
	return p;
}

static real *take_values(struct layout *y, int64_t count)
{
	return take(y, moka__blob_bytes(count));
}

/* Parts of sums but their first, in the order of layers; some are read where another gradient lies. */
static void lay_out_parts(struct moka_exec *e, struct layout *y)
{
	for (int i = 0; i < e->n_sums; i++)
		e->sums[i].laid_out = 0;
	for (int i = 0; i < e->n->n_layers; i++) {
		const struct moka_net_layer *nl = &e->n->layers[i];

		for (int k = 0; k < nl->l.n_bottom; k++) {
			const int blob = nl->bottoms[k];
			struct moka__sum *s = e->sum_of[blob] >= 0 ? &e->sums[e->sum_of[blob]] : NULL;
			int shared;

			if (!s || !nl->bottom_gradient[k] || moka__writes_in_place(nl, k) || !s->laid_out++)
				continue;
			shared = moka__join_shared(e, i, k);
			s->parts[s->laid_out - 1] = shared >= 0 ? e->diff[shared] : take_values(y, s->count);
		}
	}
}

static void lay_out_diffs(struct moka_exec *e, struct layout *y)
{
	const struct moka_net *n = e->n;

	for (int i = 0; i < n->n_blobs; i++)
		if (n->blobs[i].need_gradient)
			e->diff[i] = take_values(y, moka__blob_count(n, i));
	for (int i = 0; i < e->n_sums; i++) {
		struct moka__sum *s = &e->sums[i];

		if (s->n_parts)
			s->parts[0] = e->diff[s->blob];
		if (n->blobs[s->blob].gradient_source)
			s->external = take_values(y, s->count);
	}
	lay_out_parts(e, y);
}

/* What joined layers keep from forward to back. */
static void lay_out_joins(struct moka_exec *e, struct layout *y)
{
	for (int i = 0; i < e->n_joins; i++) {
		struct moka__join *j = &e->joins[i];
		const int bottom = e->n->layers[j->layers[0]].bottoms[0];

		if (j->kind != MOKA__JOIN_NORM)
			continue;
		if (j->own_x)
			j->x = take_values(y, moka__blob_count(e->n, j->blob));
		else if (y->base)
			j->x = moka__data_of(e, bottom);
		j->stats = take_values(y, 3 * e->n->blobs[j->blob].shape.d[1]);
		j->dy = e->diff[j->dy_of >= 0 ? j->dy_of : j->blob];
		if (j->dy_of >= 0 && !j->own_x) /* nobody writes into its own */
			e->diff[j->blob] = e->diff[j->dy_of];
	}
}

static bool wants_gradient(const struct moka_net *n, const struct moka_param *p, int use)
{
	const struct moka_param_use *u = &p->uses[use];

	return n->layers[u->layer].param_gradient[u->index];
}

static void lay_out_param_diffs(struct moka_exec *e, struct layout *y)
{
	for (int i = 0; i < e->n->n_params; i++) {
		const struct moka_param *p = &e->n->params[i];
		real *shared = NULL;

		for (int u = 0; u < p->n_uses; u++) {
			if (!wants_gradient(e->n, p, u))
				continue;
			if (!shared || p->per_use_update)
				shared = take_values(y, p->count);
			e->param_diff[i][u] = shared;
		}
		for (int u = 0; u < p->n_uses && !p->per_use_update; u++)
			e->param_diff[i][u] = shared;
	}
}

/* Whether forward() of a layer is called at all: a plan replaces many. */
static bool runs_forward(const struct moka_exec *e, int layer)
{
	for (int i = 0; e->fused && i < e->fused->n_works; i++)
		if (e->fused->works[i].kind == MOKA__WORK_LAYER && e->fused->works[i].layers[0] == layer)
			return true;
	return !e->fused;
}

static void lay_out(struct moka_exec *e, struct layout *y)
{
	const struct moka_net *n = e->n;
	size_t scratch = e->fused ? moka__steps_scratch(e) : e->fit_scratch;

	take(y, e->plan.bytes);
	if (e->fused)
		e->rooms = take(y, moka__steps_rooms(e));
#if MOKA__GUARD
	for (int i = 0; y->base && e->o.keep == MOKA_KEEP_ALL && i < n->n_blobs; i++)
		ASAN_POISON_MEMORY_REGION(y->base + e->plan.offset[i] + moka__blob_bytes(moka__blob_count(n, i)),
					  MOKA__GUARD);
#endif
	if (e->o.backward) {
		lay_out_diffs(e, y);
		lay_out_param_diffs(e, y);
	}
	lay_out_joins(e, y);
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_layer *l = &n->layers[i].l;

		if (e->steps[i].state_bytes && runs_forward(e, i) && (e->o.backward || !l->state_for_backward))
			e->steps[i].state = take(y, e->steps[i].state_bytes);
	}
	e->scratch = take(y, scratch);
}

enum moka_status moka__memory_make(struct moka_exec *e, struct moka_error *err)
{
	const int64_t limit = e->n->memory_limit_bytes;
	struct layout y = { .limit = (size_t)limit };

	lay_out(e, &y);
	if (y.overflow)
		return moka_fail(
			err, MOKA_ERR_LIMIT,
			"running the net needs more than the %.1f GiB that are allowed; try a smaller batch or input",
			(double)limit / (1 << 30));
	e->block_bytes = y.at;
	e->block = calloc(y.at + MOKA__ALIGN, 1);
	e->gemm = moka_gemm_ws_new();
	if (!e->block || !e->gemm)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory to run the net (%.1f MiB)", (double)y.at / (1 << 20));
	moka_pages_large(e->block, y.at + MOKA__ALIGN);
	e->base = (char *)(((uintptr_t)e->block + MOKA__ALIGN - 1) / MOKA__ALIGN * MOKA__ALIGN);
	y = (struct layout){ .base = e->base, .limit = (size_t)limit };
	lay_out(e, &y);
	return MOKA_OK;
}

void moka__memory_free(struct moka_exec *e)
{
#if MOKA__GUARD
	if (e->block)
		ASAN_UNPOISON_MEMORY_REGION(e->block, e->block_bytes + MOKA__ALIGN);
#endif
	moka_gemm_ws_free(e->gemm);
	free(e->block);
}
