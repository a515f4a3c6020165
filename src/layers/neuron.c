/*
 * neuron.c - see neuron.h.
 */
#include "neuron.h"

#include <string.h>

void moka__neuron_keep(struct moka_layer *l)
{
	const bool in_place = !strcmp(l->bottom[0].name, l->top[0].name);

	l->state_bytes = in_place ? moka_layer_bytes(moka_shape_count(&l->bottom[0].shape), sizeof(real)) : 0;
}

static void copy_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;

	memcpy(j->out + begin, j->x + begin, (size_t)(end - begin) * sizeof(real));
}

void moka__neuron_save(const struct moka_layer *l, struct moka_call *c)
{
	struct moka__neuron j = { NULL, c->bottom[0].data, NULL, NULL, c->state };

	if (l->state_bytes && c->backward_follows && c->bottom[0].data == c->top[0].data)
		moka_parallel(c->pool, copy_range, &j, c->bottom[0].count, MOKA__PIECE);
}

const real *moka__neuron_input(const struct moka_layer *l, const struct moka_call *c)
{
	return l->state_bytes && c->bottom[0].data == c->top[0].data ? c->state : c->bottom[0].data;
}

enum moka_status moka__neuron_forward(const struct moka_layer *l, struct moka_call *c, moka__neuron_range *range,
				      const void *set)
{
	struct moka__neuron j = { set, c->bottom[0].data, NULL, NULL, c->top[0].data };

	moka__neuron_save(l, c);
	moka_parallel(c->pool, range, &j, c->top[0].count, MOKA__PIECE);
	return MOKA_OK;
}

enum moka_status moka__neuron_backward(const struct moka_layer *l, struct moka_call *c, moka__neuron_range *range,
				       const void *set)
{
	struct moka__neuron j = { set, moka__neuron_input(l, c), c->top[0].data, c->top[0].diff, c->bottom[0].diff };

	if (!j.out)
		return MOKA_OK;
	if (j.dy)
		moka_parallel(c->pool, range, &j, c->top[0].count, MOKA__PIECE);
	else
		moka_set(c->bottom[0].count, 0, j.out);
	return MOKA_OK;
}
