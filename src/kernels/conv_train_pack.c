/*
 * conv_train_pack.c - weights packed in every pass of training, by conv_pack.c: before the pass, or late, as they are needed.
 */
#include "conv_train_plan.h"

size_t moka__conv_train_slot(const struct moka_conv_train *t)
{
	return moka__conv_pack_slot(t->k, t->taps);
}

static struct moka__conv_pack pack_of(const struct moka_conv_train *t, const struct moka__conv_phase *phase,
				      const real *w, real *to, char *slots)
{
	return (struct moka__conv_pack){ .op = phase->op,
					 .w = (const char *)w,
					 .rows = t->d.outputs,
					 .columns = t->d.channels,
					 .taps = t->taps,
					 .group = 1,
					 .which = phase->turned ? phase->taps : NULL,
					 .scatter = phase->scatter,
					 .to = to,
					 .slots = slots };
}

void moka__conv_train_pack(const struct moka_conv_train *t, const struct moka__conv_phase *phase,
			   struct moka_pool *pool, const real *w, real *to, char *slots)
{
	const struct moka__conv_pack p = pack_of(t, phase, w, to, slots);

	moka__conv_pack_all(&p, pool);
}

static void make(void *arg, const struct moka__conv_group *g, int64_t in_block, real *to, int64_t plane, int slot)
{
	moka__conv_pack_block(arg, g, in_block, to, plane, slot);
}

static void fetch(const void *arg, const struct moka__conv_group *g, int64_t in_block, int64_t ins, int64_t k,
		  int64_t n)
{
	moka__conv_pack_fetch(arg, g, in_block, ins, k, n);
}

void moka__conv_train_run_late(const struct moka_conv_train *t, const struct moka__conv_phase *phase, const real *w,
			       const struct moka__conv_run *r, char *slots)
{
	struct moka__conv_pack p = pack_of(t, phase, w, NULL, slots);
	struct moka__conv_run run = *r;

	run.make = make, run.fetch = fetch, run.make_arg = &p;
	if (phase->op->tile)
		moka__conv_run_winograd_late(&run);
	else
		moka__conv_run_direct_late(&run);
}
