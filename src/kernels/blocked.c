/*
 * blocked.c - what all blocked operations share: the block of this machine, change of layout, dealing out work.
 */
#include "blocked_kernels.h"

#include <stdatomic.h>
#include <string.h>

const struct moka__blocked_kernels *moka__blocked_choose(void)
{
#ifdef MOKA_REAL_DOUBLE
	return NULL;
#else
#if defined(__x86_64__)
	const enum moka_isa isa = moka_cpu_isa();

	if (isa == MOKA_ISA_AVX512)
		return &moka__blocked_avx512;
	if (isa == MOKA_ISA_AVX2)
		return &moka__blocked_avx2;
#elif defined(__aarch64__)
	if (moka_cpu_isa() == MOKA_ISA_NEON)
		return &moka__blocked_neon;
#endif
	return &moka__blocked_portable;
#endif
}

int moka_block(void)
{
	const struct moka__blocked_kernels *k = moka__blocked_choose();

	return k ? k->block : 1;
}

int64_t moka_tensor_image(int64_t channels, int64_t height, int64_t width, int block)
{
	return moka__ceil_div(channels, block) * block * height * width;
}

/* ---- dealing out ------------------------------------------------------------------------------------ */

struct deal {
	void (*fn)(void *arg, int64_t item, int slot);
	void *arg;
	int64_t items;
	_Atomic int64_t next;
};

static void run_slots(void *arg, int64_t begin, int64_t end)
{
	struct deal *d = arg;

	for (int64_t slot = begin; slot < end; slot++)
		for (int64_t i = d->next++; i < d->items; i = d->next++)
			d->fn(d->arg, i, (int)slot);
}

void moka__deal(struct moka_pool *pool, int64_t items, void (*fn)(void *arg, int64_t item, int slot), void *arg)
{
	struct deal d = { fn, arg, items, 0 };
	const int64_t slots = MOKA_MIN((int64_t)moka_pool_threads(pool), items);

	if (slots > 1) {
		moka_parallel(pool, run_slots, &d, slots, 1);
		return;
	}
	for (int64_t i = 0; i < items; i++)
		fn(arg, i, 0);
}

/* ---- activation, plainly --------------------------------------------------------------------------- */

real moka__act_one(const struct moka_act *a, int64_t channel, real x)
{
	switch (a ? a->kind : MOKA_ACT_NONE) {
	case MOKA_ACT_NONE:
		return x;
	case MOKA_ACT_RELU:
		return x > 0 ? x : a->slope * x;
	case MOKA_ACT_CLIP:
		return MOKA_MIN(MOKA_MAX(x, a->low), a->high);
	case MOKA_ACT_PRELU:
		return x > 0 ? x : a->slopes[channel] * x;
	}
	return x;
}

bool moka__act_moves_zero(const struct moka_act *a)
{
	return a && a->kind == MOKA_ACT_CLIP && (a->low > 0 || a->high < 0);
}

void moka__zero_spare(const struct moka_tensor *y)
{
	const int64_t b = y->block, used = y->channels % b, places = y->height * y->width;

	if (!used)
		return;
	for (int64_t n = 0; n < y->images; n++) {
		real *at = y->data + n * y->image_stride + y->channels / b * b * places;
		for (int64_t i = 0; i < places; i++)
			memset(at + i * b + used, 0, (size_t)(b - used) * sizeof(real));
	}
}

/* ---- change of layout ------------------------------------------------------------------------------- */

struct relayout {
	const struct moka_tensor *x, *y;
	const struct moka__blocked_kernels *k;
	int64_t most; /* values of a part: channels that one item moves */
	int64_t parts;
};

/* Channels [c0, c1) at place p of x to y. */
static void move_channels(const struct moka_tensor *x, const struct moka_tensor *y, int64_t n, int64_t c0, int64_t c1)
{
	const int64_t places = x->height * x->width, bx = x->block, by = y->block;
	const real *from = x->data + n * x->image_stride;
	real *to = y->data + n * y->image_stride;

	if (bx == by) {
		c1 = bx == 1 ? MOKA_MIN(c1, x->channels) : c1;
		memmove(to + c0 * places, from + c0 * places, (size_t)((c1 - c0) * places) * sizeof(real));
		return;
	}
	for (int64_t p = 0; p < places; p += 64) {
		const int64_t end = MOKA_MIN(p + 64, places);
		for (int64_t c = c0; c < c1; c++) {
			const real *f = from + c / bx * bx * places + c % bx;
			real *t = to + c / by * by * places + c % by;
			if (c < x->channels)
				for (int64_t i = p; i < end; i++)
					t[i * by] = f[i * bx];
			else if (by > 1)
				for (int64_t i = p; i < end; i++)
					t[i * by] = 0;
		}
	}
}

/*
 * The same between plain and blocked by transposing B places of B channels at a time; channels that a plain tensor hasn't got are read as
 * zeros and written nowhere. The last places are moved once more with those before them.
 */
static void transpose_block(const struct moka__blocked_kernels *k, const struct moka_tensor *x,
			    const struct moka_tensor *y, int64_t n, int64_t c0)
{
	const int64_t b = k->block, places = x->height * x->width;
	const real *from = x->data + n * x->image_stride + c0 * places;
	real *to = y->data + n * y->image_stride + c0 * places;
	static const real zeros[16];
	real waste[16];

	for (int64_t p = 0; p < places; p = p + b < places ? MOKA_MIN(p + b, places - b) : places) {
		const real *in[16];
		real *out[16];

		for (int64_t i = 0; i < b; i++) {
			const bool there = c0 + i < x->channels;
			in[i] = x->block > 1 ? from + (p + i) * b : there ? from + i * places + p : zeros;
			out[i] = y->block > 1 ? to + (p + i) * b : there ? to + i * places + p : waste;
		}
		k->transpose(in, out, false);
	}
}

static void relayout_item(void *arg, int64_t item, int slot)
{
	const struct relayout *r = arg;
	const int64_t n = item / r->parts, c = item % r->parts * r->most;

	(void)slot;
	if (r->x->block != r->y->block && r->k && r->x->height * r->x->width >= r->k->block)
		transpose_block(r->k, r->x, r->y, n, c);
	else
		move_channels(r->x, r->y, n, c, c + r->most);
}

void moka_relayout(struct moka_pool *pool, const struct moka_tensor *x, const struct moka_tensor *y)
{
	const int64_t block = MOKA_MAX(x->block, y->block);
	struct relayout r = { x, y, moka__blocked_choose(), block, moka__ceil_div(x->channels, block) };

	if (x->images * x->channels * x->height * x->width < 30000)
		pool = NULL;
	moka__deal(pool, x->images * r.parts, relayout_item, &r);
}
