/*
 * pair.c - convolutions that run together with the depthwise one behind them.
 *
 *     step 2   1x1 convolution         what it makes is no value in memory: it runs within step 3
 *     step 3   depthwise convolution   rows of both, in turns, while the second cache holds them
 *
 * A pair are two works one after the other, the second the only reader of what the first makes, in the same stretch if in any.
 */
#include "net/fused.h"

#include <limits.h>

static bool are_pair(const struct moka_plan *p, int first)
{
	const struct moka__work *a = &p->works[first], *b = a + 1;
	const struct moka__value *v;
	int64_t at;

	if (!a->conv || !b->conv || a->stretch != b->stretch || a->n_in != 1 || a->n_out != 1 || b->in[0] != a->out[0])
		return false;
	/* the result may be written over what is added to it, which must not be what rows are still made from */
	if (b->n_in > 1 &&
	    (b->in[1] == a->out[0] || moka__value_root(p, b->in[1], &at) == moka__value_root(p, a->in[0], &at)))
		return false;
	v = &p->values[a->out[0]];
	return v->from < 0 && !v->output && v->begin == first && v->end == first + 1 &&
	       moka_conv_pair_takes(a->conv, b->conv);
}

void moka__plan_pairs(struct moka_plan *p)
{
	for (int i = 0; i + 1 < p->n_works; i++) {
		struct moka__work *w = &p->works[i];
		struct moka__value *between;
		int64_t at;
		int image;

		if (!are_pair(p, i))
			continue;
		w->with_next = true;
		/* what it reads is needed until both have run */
		image = moka__value_root(p, w->in[0], &at);
		p->values[image].end = MOKA_MAX(p->values[image].end, i + 1);
		between = &p->values[w->out[0]];
		between->begin = INT_MAX, between->end = -1;
		i++;
	}
}
