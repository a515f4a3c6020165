/*
 * pack.c - a plan's weights: packed for the kernels, factors and shifts folded in; and whether they are still what they were.
 *
 * Packed weights belong to the net and are shared by all its executions. A net counts the changes of its parameters
 * (moka_net_touch()); one whose parameters were handed out to be written at any time (moka_net_watch()) also sums their bits
 * before every pass: slower, and right.
 */
#include "net/fused.h"

#include <string.h>

#define MOST_PARAMS 16

/* A layer's parameters as views. */
static void view_params(const struct moka_net *n, const struct moka_net_layer *nl, struct moka_view v[MOST_PARAMS])
{
	for (int i = 0; i < nl->l.n_param && i < MOST_PARAMS; i++) {
		const struct moka_param *p = &n->params[nl->params[i]];

		v[i] = (struct moka_view){ &nl->l.params[i].shape, p->count, p->data, NULL };
	}
}

/* All factors and shifts of a work, one after the other, as one. `own` has room for twice the channels. */
static void fold(const struct moka_plan *p, const struct moka__work *w, real *own)
{
	const int64_t channels = p->values[w->out[0]].channels;
	real *scale = own, *shift = own + channels;

	for (int64_t i = 0; i < channels; i++) {
		w->scale[i] = 1;
		w->shift[i] = 0;
	}
	for (int k = 0; k < w->n_affines; k++) {
		const struct moka_net_layer *nl = &p->n->layers[w->affines[k]];
		struct moka_view v[MOST_PARAMS];
		struct moka_op op = { 0 };

		nl->l.type->lower(&nl->l, &op);
		view_params(p->n, nl, v);
		op.affine.values(&nl->l, v, scale, shift);
		for (int64_t i = 0; i < channels; i++) {
			w->scale[i] *= scale[i];
			w->shift[i] = w->shift[i] * scale[i] + shift[i];
		}
	}
}

static void take_slopes(const struct moka_plan *p, const struct moka__work *w)
{
	const struct moka_net_layer *nl = &p->n->layers[w->act_layer];
	const int64_t channels = p->values[w->out[0]].channels;
	struct moka_view v[MOST_PARAMS];
	struct moka_op op = { 0 };

	nl->l.type->lower(&nl->l, &op);
	view_params(p->n, nl, v);
	for (int64_t i = 0; i < channels; i++)
		w->slopes[i] = v[op.slopes].data[op.slopes_shared ? 0 : i];
}

static size_t packed_bytes(const struct moka__work *w)
{
	return w->conv ? moka__blob_bytes((int64_t)(moka_conv_op_bytes(w->conv) / sizeof(real))) : 0;
}

/* One block for all packed weights: in large pages but for its end, where a block for each would have many ends. */
static enum moka_status reserve(struct moka_plan *p)
{
	size_t bytes = 0;

	for (int i = 0; i < p->n_works; i++)
		bytes += packed_bytes(&p->works[i]);
	if (p->weights || !bytes)
		return MOKA_OK;
	p->weights = moka_pages_alloc(bytes);
	if (!p->weights)
		return MOKA_ERR_NOMEM;
	bytes = 0;
	for (int i = 0; i < p->n_works; i++) {
		if (p->works[i].conv)
			moka_conv_op_place(p->works[i].conv, (char *)p->weights + bytes);
		bytes += packed_bytes(&p->works[i]);
	}
	return MOKA_OK;
}

enum moka_status moka__plan_pack(struct moka_plan *p, struct moka_net *n, struct moka_pool *pool,
				 struct moka_error *err)
{
	struct moka_arena arena;
	enum moka_status st = MOKA_OK;

	MOKA_TRY(moka__lend_restore(n, p, err));
	if (reserve(p))
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for packed weights");
	moka_arena_init(&arena, 0);
	for (int i = 0; !st && i < p->n_works; i++) {
		const struct moka__work *w = &p->works[i];
		const struct moka_net_layer *nl = w->n_layers ? &p->n->layers[w->layers[0]] : NULL;

		if (w->scale) {
			real *own = MOKA_NEWN(&arena, 2 * p->values[w->out[0]].channels, real);

			if (own)
				fold(p, w, own);
			else
				st = MOKA_ERR_NOMEM;
		}
		if (w->slopes)
			take_slopes(p, w);
		if (w->conv && !st)
			st = moka_conv_op_pack(w->conv, pool, moka__lend_values(&p->n->params[nl->params[0]]),
					       w->op.conv.bias ? p->n->params[nl->params[1]].data : NULL, w->scale,
					       w->shift);
		if (!st)
			moka__lend_packed(n, p, w);
	}
	moka_arena_release(&arena);
	return st ? moka_fail(err, st, "no memory to pack the weights") : MOKA_OK;
}

/* ---- have they changed? ------------------------------------------------------------------------------------ */

void moka_net_touch(struct moka_net *n)
{
	__atomic_add_fetch(&n->weights_version, 1, __ATOMIC_RELEASE);
}

enum moka_status moka_net_watch(struct moka_net *n, struct moka_error *err)
{
	MOKA_TRY(moka_net_plain(n, err));
	n->weights_watched = true;
	moka_net_touch(n);
	return MOKA_OK;
}

uint64_t moka__weights_version(const struct moka_net *n)
{
	uint64_t v = 1;

	for (; n; n = n->weights_of)
		v += __atomic_load_n(&n->weights_version, __ATOMIC_ACQUIRE);
	return v;
}

bool moka__weights_watched(const struct moka_net *n)
{
	bool watched = false;

	for (; n; n = n->weights_of)
		watched |= n->weights_watched;
	return watched;
}

uint64_t moka__weights_sum(const struct moka_net *n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n->n_params; i++) {
		const char *p = (const char *)n->params[i].data;
		const size_t bytes = (size_t)MOKA_MAX(n->params[i].count, 0) * sizeof(real);
		uint64_t lanes[4] = { 1, 2, 3, 4 }, word = 0;
		size_t k = 0;

		for (; k + 32 <= bytes; k += 32)
			for (int j = 0; j < 4; j++) {
				memcpy(&word, p + k + 8 * j, 8);
				lanes[j] = (lanes[j] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
				lanes[j] ^= lanes[j] >> 29;
			}
		for (; k < bytes; k += sizeof(real)) {
			word = 0;
			memcpy(&word, p + k, sizeof(real) < 8 ? sizeof(real) : 8);
			lanes[0] = (lanes[0] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		}
		for (int j = 0; j < 4; j++)
			sum = (sum ^ lanes[j]) * UINT64_C(0xd6e8feb86659fd93);
	}
	return sum;
}
