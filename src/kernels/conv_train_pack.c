/*
 * conv_train_pack.c - weights packed in every pass of training: the same orders as conv_pack.c's, made by transposing B x B values
 * at a time in registers.
 *
 * Rows of w (one output each) hold (channel, tap) pairs. For a forward pass B rows are transposed: vectors over outputs, one a pair.
 * For the gradient of data vectors over channels are wanted: each tap is transposed once more.
 */
#include "conv_train_plan.h"

#include <string.h>

struct pack {
	const struct moka_conv_train *t;
	const struct moka__conv_phase *p;
	const real *w;
	real *to;
	char *slots;
	size_t slot_bytes;
};

/* A thread's memory. */
struct slot {
	real *box;    /* (B, B * taps): rows of w where a block is not whole */
	real *turned; /* (taps, B, B): vectors over rows, one a tap and channel */
	real *nine;   /* winograd: (B, 9, B) */
	real *waste;  /* (B) */
};

static struct slot slot_of(const struct pack *p, int slot)
{
	const int64_t b = p->t->k->block, box = b * b * p->t->taps;
	real *at = (real *)(p->slots + (size_t)slot * p->slot_bytes);

	return (struct slot){ at, at + box, at + 2 * box, at + 2 * box + 9 * b * b };
}

size_t moka__conv_train_slot(const struct moka_conv_train *t)
{
	const int64_t b = t->k->block;

	return moka__lines((size_t)(2 * b * b * t->taps + 9 * b * b + b) * sizeof(real));
}

/* Where the vector over outputs of (input channel, tap) goes. */
struct order {
	real *at;
	int64_t channel, tap; /* values to the next */
	int64_t channels;     /* that are kept */
};

/* Rows [o0, o0 + B) of w from channel c0 (of a group) on, B channels of all taps: in place, or copied with zeros. */
static void find_rows(const struct pack *p, int64_t o0, int64_t c0, real *box, const real **rows)
{
	const struct moka_conv_train_desc *d = &p->t->d;
	const int64_t b = p->t->k->block, taps = p->t->taps, ins = d->channels;
	const int64_t used = MOKA_MIN(b, ins - c0), outs = MOKA_MIN(b, d->outputs - o0);

	for (int64_t r = 0; r < b; r++) {
		const real *from = p->w + ((o0 + r) * ins + c0) * taps;

		rows[r] = from;
		if (used == b && outs == b)
			continue;
		rows[r] = box + r * b * taps;
		memset(box + r * b * taps, 0, (size_t)(b * taps) * sizeof(real));
		if (r < outs)
			memcpy(box + r * b * taps, from, (size_t)(used * taps) * sizeof(real));
	}
}

static void straight(const struct pack *p, const real *const *rows, const struct order *to, real *waste)
{
	const int64_t b = p->t->k->block, taps = p->t->taps;
	const real *in[16];
	real *out[16];
	int64_t c = 0, tap = 0;

	for (int64_t k = 0; k < taps; k++) {
		for (int64_t i = 0; i < b; i++) {
			in[i] = rows[i] + k * b;
			out[i] = c < to->channels ? to->at + c * to->channel + tap * to->tap : waste;
			if (++tap == taps)
				tap = 0, c++;
		}
		p->t->k->transpose(in, out, false);
	}
}

/* Vectors over w's channels, one for each of its outputs (the operation's inputs) and each of the operation's taps. */
static void turned(const struct pack *p, const real *const *rows, const struct order *to, const struct slot *s)
{
	const struct moka_conv_desc *d = &p->p->op->d;
	const int64_t b = p->t->k->block, taps = d->kernel[0] * d->kernel[1];
	const struct order tapwise = { s->turned, b, b * b, b };

	if (p->t->taps > 1)
		straight(p, rows, &tapwise, s->waste);
	for (int64_t k = 0; k < taps; k++) {
		const real *in[16];
		real *out[16];
		for (int64_t i = 0; i < b; i++) {
			in[i] = s->turned + (p->p->taps[k] * b + i) * b;
			out[i] = i < to->channels ? to->at + i * to->channel + k * to->tap : s->waste;
		}
		if (p->t->taps > 1)
			p->t->k->transpose(in, out, false);
		else
			for (int64_t i = 0; i < b; i++)
				memcpy(out[i], rows[i], (size_t)b * sizeof(real));
	}
}

/* Weights of one group for its i-th block of inputs, from `base` on; points of Winograd's `plane` values apart. */
static void pack_block(const struct pack *p, const struct moka__conv_group *g, int64_t i, real *base, int64_t plane,
		       const struct slot *s)
{
	const struct moka_conv_op *op = p->p->op;
	const int64_t b = p->t->k->block, taps = op->d.kernel[0] * op->d.kernel[1], row = g->blocks * b;

	for (int64_t v = 0; v < g->blocks; v++) {
		const int64_t out0 = (g->block + v) * b, in0 = (g->in_block + i) * b;
		const real *rows[16];
		struct order to = { base + v * b, row, b * row, b };

		if (op->algorithm == MOKA_CONV_FIRST)
			to.channel = taps * row, to.tap = row, to.channels = op->d.channels - i * b;
		else if (p->p->scatter)
			to.tap = op->in_blocks * b * row;
		else if (op->tile)
			to.at = s->nine, to.channel = 9 * b, to.tap = b;
		if (p->p->turned) {
			find_rows(p, in0, out0, s->box, rows);
			turned(p, rows, &to, s);
		} else {
			find_rows(p, out0, in0, s->box, rows);
			straight(p, rows, &to, s->waste);
		}
		for (int64_t c = 0; op->tile && c < b; c++)
			p->t->k->wino_weights(s->nine + c * 9 * b, base + c * row + v * b, plane);
	}
}

static void pack_item(void *arg, int64_t item, int slot)
{
	const struct pack *p = arg;
	const struct moka_conv_op *op = p->p->op;
	const struct moka__conv_group *g = &op->groups[item / op->in_blocks];
	const int64_t b = p->t->k->block, i = item % op->in_blocks,
		      each = op->tile || p->p->scatter ? 1 : op->d.kernel[0] * op->d.kernel[1];
	const struct slot s = slot_of(p, slot);

	pack_block(p, g, i, p->to + g->weights + i * b * each * g->blocks * b, op->plane, &s);
}

void moka__conv_train_pack(const struct moka_conv_train *t, const struct moka__conv_phase *phase,
			   struct moka_pool *pool, const real *w, real *to, char *slots)
{
	struct pack p = { t, phase, w, to, slots, moka__conv_train_slot(t) };

	moka__deal(phase->op->n_weights < 20000 ? NULL : pool, phase->op->n_groups * phase->op->in_blocks, pack_item,
		   &p);
}

static void make(void *arg, const struct moka__conv_group *g, int64_t in_block, real *to, int64_t plane, int slot)
{
	const struct pack *p = arg;
	const struct slot s = slot_of(p, slot);

	pack_block(p, g, in_block, to, plane, &s);
}

void moka__conv_train_run_late(const struct moka_conv_train *t, const struct moka__conv_phase *phase, const real *w,
			       const struct moka__conv_run *r, char *slots)
{
	struct pack p = { t, phase, w, NULL, slots, moka__conv_train_slot(t) };
	struct moka__conv_run run = *r;

	run.make = make, run.make_arg = &p;
	moka__conv_run_winograd_late(&run);
}
