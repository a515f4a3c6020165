/*
 * conv_pair.c - a convolution and the depthwise 3x3 convolution behind it, run as one: what lies between them is never a tensor.
 *
 * A piece of work is a band of rows of the second one's outputs in some blocks of channels. Rows of the first one's outputs in these
 * blocks are made in a buffer that the second cache holds, a few at a time, and used up while they are there; the last one or two, which
 * the next outputs see too, are moved to the buffer's begin. Sums are made in the same order as by the two operations one after
 * the other: the results are theirs, bit for bit.
 */
#include "conv_op.h"

#include <string.h>

#define BUFFER_BYTES (256 * 1024)
#define FEW_TILES 4 /* as in conv_direct.c */
#define WORTH_A_THREAD 500000

struct pair {
	struct moka__conv_run a, b;
	int64_t sets, bands; /* pieces of blocks; pieces of rows */
	int64_t threads;
	size_t slot_bytes;
	char *slots;
};

/* What a piece's buffer holds. */
struct shape {
	int64_t fit;   /* rows of the second one's outputs that are made at a time */
	int64_t rows;  /* of the first one's that they see */
	int64_t block; /* values from a block to the next */
	int64_t values;
};

/* Blocks of a piece: the first convolution of a net makes all of them from one strip, others a group at a time. */
static int64_t most_blocks(const struct moka_conv_op *a)
{
	int64_t most = 0;

	if (a->algorithm == MOKA_CONV_FIRST)
		return a->out_blocks;
	for (int64_t g = 0; g < a->n_groups; g++)
		most = MOKA_MAX(most, a->groups[g].blocks);
	return most;
}

static struct shape shape_of(const struct moka_conv_op *a, const struct moka_conv_op *b)
{
	const int64_t blocks = most_blocks(a), row = a->out[1] * a->k->block, stride = b->d.stride[0];
	const int64_t room = BUFFER_BYTES / ((int64_t)sizeof(real) * blocks * row);
	struct shape s;

	s.fit = MOKA_MAX((room - 3) / stride + 1, 2) / 2 * 2;
	s.fit = MOKA_MIN(s.fit, b->out[0]);
	s.rows = MOKA_MIN((s.fit - 1) * stride + 3, a->out[0]);
	/* blocks a power of two apart would meet in the same sets of the first cache */
	s.block = s.rows * row + a->k->block;
	s.values = blocks * s.block;
	return s;
}

bool moka_conv_pair_takes(const struct moka_conv_op *a, const struct moka_conv_op *b)
{
	const struct moka_conv_desc *d = &a->d;
	const bool one = d->kernel[0] * d->kernel[1] == 1 && d->stride[0] == 1 && d->stride[1] == 1 && !d->pad[0] &&
			 !d->pad[1] && d->group == 1 && d->in_block > 1;

	return b->algorithm == MOKA_CONV_DEPTHWISE && b->row_tiles &&
	       ((a->algorithm == MOKA_CONV_DIRECT && one) || a->algorithm == MOKA_CONV_FIRST) && !d->residual &&
	       d->out_block == b->d.in_block && d->images == b->d.images && d->outputs == b->d.channels &&
	       a->out[0] == b->d.height && a->out[1] == b->d.width;
}

static size_t slot_bytes(const struct moka_conv_op *a, const struct moka_conv_op *b)
{
	return moka__lines((size_t)shape_of(a, b).values * sizeof(real)) +
	       (a->algorithm == MOKA_CONV_FIRST ? moka__conv_first_strip(a) : 0);
}

size_t moka_conv_pair_scratch(const struct moka_conv_op *a, const struct moka_conv_op *b, int threads)
{
	return (size_t)threads * slot_bytes(a, b);
}

/* ---- rows of a 1x1 convolution ------------------------------------------------------------------------- */

/* The tile's weights of blocks [from, ..) of inputs, and what is asked for meanwhile: the next part of them, or the next piece's. */
static void take_part(const struct pair *p, int64_t group, int64_t from, int64_t tiles, struct moka__conv_tile *t)
{
	const struct moka_conv_op *op = p->a.op;
	const struct moka__conv_group *g = &op->groups[group];
	const int64_t b = op->k->block, c1 = MOKA_MIN(from + op->part, g->in_blocks), each = g->blocks * b * b;
	const int64_t next = group + p->threads;

	t->blocks = c1 - from;
	t->lanes = moka__used_lanes(op, c1);
	t->w = op->weights + g->weights + from * each;
	t->first = from == 0;
	t->last = c1 == g->in_blocks;
	t->next = NULL;
	if (!t->last)
		t->next = (const char *)(op->weights + g->weights + c1 * each);
	else if (p->bands == 1 && next < op->n_groups)
		t->next = (const char *)(op->weights + op->groups[next].weights);
	t->ahead = 0;
	if (t->next && tiles >= FEW_TILES)
		t->ahead = moka__ceil_div(each * (int64_t)sizeof(real) / 64, tiles);
}

/* Rows [from, to) of image n in the blocks of one group, to y on. */
static void direct_rows(const struct pair *p, int64_t n, int64_t group, int64_t from, int64_t to, real *y,
			int64_t y_block)
{
	const struct moka_conv_op *op = p->a.op;
	const struct moka__conv_group *g = &op->groups[group];
	const int64_t b = op->k->block, places = (to - from) * op->out[1], area = op->out[0] * op->out[1];
	const int64_t tiles = moka__ceil_div(places, op->places), longer = places % MOKA_MAX(tiles, 1);
	const real *x = p->a.x->data + n * p->a.x->image_stride + from * op->out[1] * b;
	int64_t off[MOKA__PLACES];
	struct moka__conv_tile t = { .off = off,
				     .x_step = area * b,
				     .taps = 1,
				     .y_off = off,
				     .y_block = y_block,
				     .r_off = off,
				     .bias = op->bias + g->block * b,
				     .act = p->a.act };

	for (int64_t i = 0; i < MOKA__PLACES; i++)
		off[i] = i * b;
	if (op->slopes)
		t.act.slopes = op->slopes + g->block * b;
	for (int64_t part = 0; part < g->in_blocks; part += op->part) {
		int64_t at = 0;

		take_part(p, group, part, tiles, &t);
		for (int64_t i = 0; i < tiles; i++) {
			const int tile = (int)(places / tiles + (i < longer));

			t.x = x + part * t.x_step + at * b;
			t.y = y + at * b;
			op->k->conv[g->blocks - 1][tile - 1](&t);
			if (t.ahead)
				t.next += t.ahead * t.blocks * 64;
			at += tile;
		}
	}
}

/* ---- a piece ------------------------------------------------------------------------------------------------ */

struct piece {
	const struct pair *p;
	struct shape s;
	int64_t n, group;
	int64_t block, blocks;
	real *buffer, *strip;
	int64_t top, end; /* rows of the first one's outputs that the buffer holds */
};

/* Lets the buffer hold rows [top, end), of which it may hold the first ones. */
static void make_rows(struct piece *c, int64_t top, int64_t end)
{
	const struct moka_conv_op *a = c->p->a.op;
	const int64_t row = a->out[1] * a->k->block, held = MOKA_MAX(c->end - top, 0), from = top + held;
	real *to = c->buffer + held * row;

	if (held && top > c->top)
		for (int64_t i = 0; i < c->blocks; i++)
			memmove(c->buffer + i * c->s.block, c->buffer + i * c->s.block + (top - c->top) * row,
				(size_t)(held * row) * sizeof(real));
	c->top = top;
	c->end = MOKA_MAX(from, end);
	if (from >= end)
		return;
	if (a->algorithm == MOKA_CONV_FIRST)
		moka__conv_first_rows(&c->p->a, c->n, from, end, c->strip, to, c->s.block);
	else
		direct_rows(c->p, c->n, c->group, from, end, to, c->s.block);
}

static void run_band(struct piece *c, int64_t from, int64_t to)
{
	const struct moka_conv_desc *d = &c->p->b.op->d;

	for (int64_t o = from; o < to; o += c->s.fit) {
		const int64_t last = MOKA_MIN(o + c->s.fit, to) - 1;
		const int64_t top = MOKA_MIN(MOKA_MAX(o * d->stride[0] - d->pad[0], 0), d->height);
		const int64_t end = MOKA_MIN(last * d->stride[0] - d->pad[0] + 3, d->height);

		make_rows(c, top, MOKA_MAX(end, top));
		for (int64_t i = 0; i < c->blocks; i++)
			moka__conv_depthwise_rows(&c->p->b, c->n, c->block + i, c->buffer + i * c->s.block, top, o,
						  last + 1);
	}
}

static void pair_item(void *arg, int64_t item, int slot)
{
	const struct pair *p = arg;
	const struct moka_conv_op *a = p->a.op, *b = p->b.op;
	const int64_t band = item % p->bands, n = item / p->bands % a->d.images, set = item / p->bands / a->d.images;
	const bool all = a->algorithm == MOKA_CONV_FIRST;
	struct piece c = { .p = p,
			   .s = shape_of(a, b),
			   .n = n,
			   .group = set,
			   .block = all ? 0 : a->groups[set].block,
			   .blocks = all ? a->out_blocks : a->groups[set].blocks,
			   .buffer = (real *)(void *)(p->slots + (size_t)slot * p->slot_bytes) };

	c.strip = c.buffer + moka__lines((size_t)c.s.values * sizeof(real)) / sizeof(real);
	run_band(&c, moka__part(b->out[0], p->bands, band), moka__part(b->out[0], p->bands, band + 1));
}

/* Bands so that the busiest thread has the least to do: rows that two bands see are made twice. */
static void share(struct pair *p)
{
	const struct moka_conv_desc *d = &p->b.op->d;
	const int64_t most = MOKA_MIN(p->b.op->out[0], 4 * p->threads);
	int64_t best = INT64_MAX;

	for (int64_t bands = 1; bands <= most; bands++) {
		const int64_t turns = moka__ceil_div(p->sets * d->images * bands, p->threads);
		const int64_t rows = (moka__ceil_div(p->b.op->out[0], bands) - 1) * d->stride[0] + 3;
		const int64_t cost = turns * MOKA_MIN(rows, d->height);

		if (cost < best)
			best = cost, p->bands = bands;
	}
}

void moka_conv_pair_run(const struct moka_conv_op *a, const struct moka_conv_op *b, struct moka_pool *pool,
			const struct moka_tensor *x, const struct moka_tensor *residual, const struct moka_tensor *y,
			void *scratch)
{
	struct pair p = { .a = { .op = a, .x = x, .act = a->d.act, .weights = a->weights, .bias = a->bias },
			  .b = { .op = b,
				 .residual = b->d.residual ? residual : NULL,
				 .y = y,
				 .act = b->d.act,
				 .weights = b->weights,
				 .bias = b->bias },
			  .sets = a->algorithm == MOKA_CONV_FIRST ? 1 : a->n_groups,
			  .bands = 1,
			  .slot_bytes = slot_bytes(a, b),
			  .slots = scratch };
	const bool alone = moka__conv_work(&a->d, a->out) + moka__conv_work(&b->d, b->out) < WORTH_A_THREAD;

	p.threads = alone ? 1 : moka_pool_threads(pool);
	if (p.threads > 1)
		share(&p);
	moka__deal(alone ? NULL : pool, p.sets * a->d.images * p.bands, pair_item, &p);
	if (moka__act_moves_zero(&b->d.act))
		moka__zero_spare(y);
}
