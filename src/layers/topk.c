/*
 * TopK: keeps the k largest values of each item and makes the others 0 (the k-sparse autoencoder, a fork of the V1 days).
 * At test time k * a values stay. Of equal values the one that stands first stays. With across_channels the k
 * largest channels of each place stay, instead of the k largest values of the whole item.
 *
 * The state is a mask of what stayed; the least value that stays is found by quickselect on a copy in scratch.
 */
#include "layer.h"

#include <math.h>

struct topk_param {
	uint32_t k;
	float a;
	bool across_channels;
};

/* clang-format off */
#define P struct topk_param
static const struct moka_field topk_fields[] = {
	MOKA_F_UINT32(P, k, 1, 0, "how many values of an item stay"),
	MOKA_F_FLOAT(P, a, 2, 1, "at test time k * a values stay"),
	MOKA_F_BOOL(P, across_channels, 3, false, "choose among the channels of each place, not in the whole item"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message topk_message = { "TopKParameter", topk_fields, sizeof(struct topk_param) };

struct topk {
	int64_t k, rows, size, step, per_item; /* rows of `size` values, `step` apart; per_item rows in an item */
};

static enum moka_status topk_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct topk_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct topk *v = moka_layer_priv(l, sizeof(*v));
	double k = p->k;

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = *s;
	if (l->phase == MOKA_TEST)
		k *= (double)p->a;
	if (!(k >= 1))
		return moka_layer_bad(l, f, "bad-setting", "k", "k (at test time k * a) must be at least 1, and is %g",
				      k);
	if (!moka_shape_known(s))
		return MOKA_OK;
	if (s->n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0, "'%s' has no axis behind that of its items",
					     l->bottom[0].name);
	v->step = p->across_channels ? moka_shape_count_range(s, 2, s->n) : 1;
	v->per_item = v->step;
	v->size = p->across_channels ? s->d[1] : moka_shape_count_range(s, 1, s->n);
	v->rows = s->d[0] * v->per_item;
	if (v->rows && k > (double)v->size)
		return moka_layer_bad(l, f, "bad-setting", "k", "%lld values are to stay of %lld", (long long)k,
				      (long long)v->size);
	v->k = k > (double)v->size ? v->size : (int64_t)k;
	l->state_bytes = moka_layer_bytes(moka_shape_count(s), 1);
	l->scratch_bytes = moka_layer_bytes(moka_shape_count(s), sizeof(real));
	return MOKA_OK;
}

/* The k-th largest (k from 1) of n values, which it reorders. */
static real select_largest(real *v, int64_t n, int64_t k)
{
	int64_t low = 0, high = n - 1;

	while (low < high) {
		const real pivot = v[low + (high - low) / 2];
		int64_t i = low, j = high;

		while (i <= j) {
			while (v[i] > pivot)
				i++;
			while (v[j] < pivot)
				j--;
			if (i <= j) {
				const real t = v[i];

				v[i++] = v[j];
				v[j--] = t;
			}
		}
		if (k - 1 <= j)
			high = j;
		else if (k - 1 >= i)
			low = i;
		else
			break;
	}
	return v[k - 1];
}

struct topk_job {
	const struct topk *v;
	const real *x, *dy;
	real *out, *scratch;
	uint8_t *mask;
};

/* NaN takes part as the lowest value, so that the search ends. */
static inline real ranked(real x)
{
	return x == x ? x : -(real)INFINITY;
}

static void topk_piece(void *arg, int64_t begin, int64_t end)
{
	const struct topk_job *j = arg;
	const struct topk *v = j->v;

	for (int64_t r = begin; r < end; r++) {
		const int64_t at = r / v->per_item * v->size * v->step + r % v->per_item;
		real *sorted = j->scratch + r * v->size, least;
		int64_t equal = v->k;

		for (int64_t i = 0; i < v->size; i++)
			sorted[i] = ranked(j->x[at + i * v->step]);
		least = select_largest(sorted, v->size, v->k);
		for (int64_t i = 0; i < v->size; i++)
			equal -= ranked(j->x[at + i * v->step]) > least;
		for (int64_t i = 0; i < v->size; i++) {
			const int64_t o = at + i * v->step;
			const real x = ranked(j->x[o]);
			const bool stays = x > least || (x == least && equal-- > 0);

			j->mask[o] = stays;
			j->out[o] = stays ? j->x[o] : 0;
		}
	}
}

static enum moka_status topk_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct topk *v = l->priv;
	struct topk_job j = {
		.v = v, .x = c->bottom[0].data, .out = c->top[0].data, .scratch = c->scratch, .mask = c->state
	};

	if (v->size)
		moka_parallel(c->pool, topk_piece, &j, v->rows, MOKA_MAX(4096 / v->size, 1));
	return MOKA_OK;
}

static enum moka_status topk_backward(const struct moka_layer *l, struct moka_call *c)
{
	const uint8_t *mask = c->state;
	const real *dy = c->top[0].diff;
	real *dx = c->bottom[0].diff;

	(void)l;
	for (int64_t i = 0; dx && i < c->bottom[0].count; i++)
		dx[i] = dy && mask[i] ? dy[i] : 0;
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_topk = {
	.schema = { "TopK", "topk_param", 9042, 9042, &topk_message, "TOPK", 9042, "a fork for k-sparse autoencoders" },
	.doc = "keeps the k largest values of each item",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_PARTIAL,
	.shape = topk_shape, .forward = topk_forward, .backward = topk_backward,
};
/* clang-format on */
