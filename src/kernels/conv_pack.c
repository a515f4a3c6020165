/*
 * conv_pack.c - weights in the order in which the kernels read them.
 */
#include "conv_op.h"

#include <stdlib.h>
#include <string.h>

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

/*
 * G of a form: point x's row is factor * (1, x, x^2 ...), and the last one, infinity's, (0 ... 0, 1). The points are those of the
 * transforms in blocked_winograd_text.h; so are the factors, whatever the kernel's size.
 */
struct points {
	int size; /* infinity among them */
	double x[7], factor[7];
};
static const struct points six_points = { 6, { 0, 1, -1, 2, -2 }, { 1. / 4, -1. / 6, -1. / 6, 1. / 24, 1. / 24 } };
static const struct points eight_points = { 8,
					    { 0, 1, -1, 2, -2, 0.5, -0.5 },
					    { 1, -2. / 9, -2. / 9, 1. / 90, 1. / 90, 1. / 45, 1. / 45 } };

static double at_point(const struct points *p, int i, int taps, const double *w, int step)
{
	double power = i + 1 < p->size ? p->factor[i] : 0, sum = 0;

	if (i + 1 == p->size)
		return w[(taps - 1) * step];
	for (int k = 0; k < taps; k++, power *= p->x[i])
		sum += power * w[k * step];
	return sum;
}

static void winograd_weight(const struct points *p, int taps, const real *w, double scale, double *u)
{
	double kernel[25], t[8 * 5];

	for (int i = 0; i < taps * taps; i++)
		kernel[i] = scale * (double)w[i];
	for (int i = 0; i < p->size; i++)
		for (int k = 0; k < taps; k++)
			t[i * taps + k] = at_point(p, i, taps, kernel + k, taps);
	for (int i = 0; i < p->size; i++)
		for (int j = 0; j < p->size; j++)
			u[i * p->size + j] = at_point(p, j, taps, t + i * taps, 1);
}

static void winograd_item(void *arg, int64_t item, int slot)
{
	const struct pack *p = arg;
	const struct moka_conv_op *op = p->op;
	const struct moka__conv_group *g = &op->groups[item];
	const int64_t b = op->k->block, points = op->size * op->size, outs = g->blocks * b;
	const int64_t ins = op->d.channels / op->d.group, taps = op->d.kernel[0] * op->d.kernel[1];
	double u[64];

	(void)slot;
	for (int64_t c = 0; c < g->in_blocks * b; c++)
		for (int64_t o = 0; o < outs; o++) {
			real *to = op->weights + g->weights + c * outs + o;
			const int64_t oo = g->block * b + o;
			if (c < ins && oo < op->d.outputs)
				winograd_weight(op->size == 6 ? &six_points : &eight_points, (int)op->d.kernel[0],
						p->w + (oo * ins + c) * taps, p->scale ? (double)p->scale[oo] : 1, u);
			else
				memset(u, 0, sizeof(u));
			for (int64_t k = 0; k < points; k++)
				to[k * op->plane] = (real)u[k];
		}
}

void moka__conv_pack_winograd(struct moka_conv_op *op, struct moka_pool *pool, const real *w, const real *scale)
{
	struct pack p = { op, w, scale, 9 };

	moka__deal(pool, op->n_groups, winograd_item, &p);
}
