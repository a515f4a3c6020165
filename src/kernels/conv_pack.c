/*
 * conv_pack.c - weights in the order in which the kernels read them.
 */
#include "conv_op.h"

#include <stdlib.h>

bool moka__conv_groups(struct moka_conv_op *op)
{
	const int64_t b = op->k->block, outs = op->d.outputs / op->d.group, ins = op->d.channels / op->d.group;
	const bool whole = op->d.group == 1 || (outs % b == 0 && ins % b == 0);
	const int64_t taps = op->d.kernel[0] * op->d.kernel[1];
	/* groups of channels that are whole blocks keep to themselves; others share blocks, with zeros between them */
	const int64_t sections = whole ? op->d.group : op->out_blocks;
	const int64_t blocks = op->out_blocks / sections;
	int most = op->k->most_group;

	if (blocks <= op->k->most_group)
		most = (int)blocks;
	else if (op->k->most_group == 3)
		most = blocks % 2 && blocks % 3 == 0 ? 3 : 2;
	else if (op->k->most_group == 4)
		most = blocks % 4 == 0 || blocks % 3 ? 4 : 3;
	op->places = op->k->places[most - 1];
	op->groups = calloc((size_t)op->out_blocks, sizeof(*op->groups));
	if (!op->groups)
		return false;
	op->n_weights = 0;
	for (int64_t s = 0; s < sections; s++)
		for (int64_t done = 0; done < blocks;) {
			struct moka__conv_group *g = &op->groups[op->n_groups++];
			int64_t first, last;

			g->block = s * blocks + done;
			g->blocks = MOKA_MIN(blocks - done, most);
			first = g->block * b / outs;
			last = (MOKA_MIN((g->block + g->blocks) * b, op->d.outputs) - 1) / outs;
			g->in_block = first * ins / b;
			g->in_blocks = moka__ceil_div((last + 1) * ins, b) - g->in_block;
			g->weights = op->n_weights;
			op->n_weights += g->in_blocks * b * taps * g->blocks * b;
			done += g->blocks;
		}
	return true;
}

struct pack {
	struct moka_conv_op *op;
	const real *w, *scale;
	int64_t taps;
};

/* Weight of output o, input channel c (of the whole image), tap; zero where they don't belong together. */
static real weight(const struct pack *p, int64_t o, int64_t c, int64_t tap)
{
	const struct moka_conv_desc *d = &p->op->d;
	const int64_t ins = d->channels / d->group;
	real v;

	if (o >= d->outputs || c >= d->channels || c / ins != o / (d->outputs / d->group))
		return 0;
	v = p->w[(o * ins + c % ins) * p->taps + tap];
	return p->scale ? v * p->scale[o] : v;
}

static void direct_item(void *arg, int64_t item, int slot)
{
	const struct pack *p = arg;
	const struct moka__conv_group *g = &p->op->groups[item];
	const int64_t b = p->op->k->block;
	real *to = p->op->weights + g->weights;

	(void)slot;
	for (int64_t i = g->in_block; i < g->in_block + g->in_blocks; i++)
		for (int64_t tap = 0; tap < p->taps; tap++)
			for (int64_t c = i * b; c < i * b + b; c++)
				for (int64_t o = g->block * b; o < (g->block + g->blocks) * b; o++)
					*to++ = weight(p, o, c, tap);
}

void moka__conv_pack_direct(struct moka_conv_op *op, struct moka_pool *pool, const real *w, const real *scale)
{
	struct pack p = { op, w, scale, op->d.kernel[0] * op->d.kernel[1] };

	moka__deal(pool, op->n_groups, direct_item, &p);
}

static void first_item(void *arg, int64_t item, int slot)
{
	const struct pack *p = arg;
	const struct moka__conv_group *g = &p->op->groups[item];
	const int64_t b = p->op->k->block;
	real *to = p->op->weights + g->weights;

	(void)slot;
	for (int64_t c = 0; c < p->op->d.channels; c++)
		for (int64_t tap = 0; tap < p->taps; tap++)
			for (int64_t o = g->block * b; o < (g->block + g->blocks) * b; o++)
				*to++ = weight(p, o, c, tap);
}

void moka__conv_pack_first(struct moka_conv_op *op, struct moka_pool *pool, const real *w, const real *scale)
{
	struct pack p = { op, w, scale, op->d.kernel[0] * op->d.kernel[1] };

	moka__deal(pool, op->n_groups, first_item, &p);
}

void moka__conv_pack_depthwise(struct moka_conv_op *op, const real *w, const real *scale)
{
	const int64_t b = op->k->block, taps = op->d.kernel[0] * op->d.kernel[1];
	real *to = op->weights;

	for (int64_t i = 0; i < op->out_blocks; i++)
		for (int64_t tap = 0; tap < taps; tap++)
			for (int64_t c = i * b; c < i * b + b; c++)
				*to++ = c >= op->d.channels ? 0 : w[c * taps + tap] * (scale ? scale[c] : 1);
}

/* ---- winograd: U = G g G', (size * size, group, in block, B, block, B) ------------------------------- */

static const double g4[6][3] = { { 1. / 4, 0, 0 },
				 { -1. / 6, -1. / 6, -1. / 6 },
				 { -1. / 6, 1. / 6, -1. / 6 },
				 { 1. / 24, 1. / 12, 1. / 6 },
				 { 1. / 24, -1. / 12, 1. / 6 },
				 { 0, 0, 1 } };
static const double g6[8][3] = { { 1, 0, 0 },
				 { -2. / 9, -2. / 9, -2. / 9 },
				 { -2. / 9, 2. / 9, -2. / 9 },
				 { 1. / 90, 1. / 45, 2. / 45 },
				 { 1. / 90, -1. / 45, 2. / 45 },
				 { 1. / 45, 1. / 90, 1. / 180 },
				 { 1. / 45, -1. / 90, 1. / 180 },
				 { 0, 0, 1 } };

static void winograd_weight(const double (*g)[3], int64_t size, const real w[9], double scale, double *u)
{
	double t[8][3];

	for (int64_t i = 0; i < size; i++)
		for (int k = 0; k < 3; k++)
			t[i][k] = g[i][0] * (double)w[k] + g[i][1] * (double)w[3 + k] + g[i][2] * (double)w[6 + k];
	for (int64_t i = 0; i < size; i++)
		for (int64_t j = 0; j < size; j++)
			u[i * size + j] = scale * (t[i][0] * g[j][0] + t[i][1] * g[j][1] + t[i][2] * g[j][2]);
}

static void winograd_item(void *arg, int64_t item, int slot)
{
	const struct pack *p = arg;
	const struct moka_conv_op *op = p->op;
	const struct moka__conv_group *g = &op->groups[item];
	const int64_t b = op->k->block, points = op->size * op->size, plane = op->plane;
	const int64_t outs = g->blocks * b;
	double u[64];

	(void)slot;
	for (int64_t c = 0; c < op->in_blocks * b; c++)
		for (int64_t o = 0; o < outs; o++) {
			real *to = op->weights + g->weights + c * outs + o;
			const int64_t oo = g->block * b + o;
			if (c < op->d.channels && oo < op->d.outputs)
				winograd_weight(op->size == 6 ? g4 : g6, op->size, p->w + (oo * op->d.channels + c) * 9,
						p->scale ? (double)p->scale[oo] : 1, u);
			else
				for (int k = 0; k < 64; k++)
					u[k] = 0;
			for (int64_t k = 0; k < points; k++)
				to[k * plane] = (real)u[k];
		}
}

void moka__conv_pack_winograd(struct moka_conv_op *op, struct moka_pool *pool, const real *w, const real *scale)
{
	struct pack p = { op, w, scale, 9 };

	moka__deal(pool, op->n_groups, winograd_item, &p);
}
