/*
 * conv_pack.c - weights in the order in which the kernels read them, for inference once a net and for training in every pass:
 * made by transposing B x B values at a time in registers.
 *
 * Rows of w (one output each) hold (channel, tap) pairs. B rows are transposed to vectors over outputs, one a pair. For the gradient
 * of data vectors over channels are wanted: each tap is transposed once more.
 */
#include "conv_op.h"

#include <stdlib.h>
#include <string.h>

/* Fewer values aren't worth a second thread. */
#define LEAST_SHARED 20000
/* Blocks of inputs that rows of w are asked for before they are read. */
#define AHEAD 2

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
	/* an even number of threes rather than an odd one of fours: as fast, and two threads have as much to do */
	if (most == 4 && taps == 1 && blocks % 24 == 12)
		most = 3;
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

/* ---- rows of w ----------------------------------------------------------------------------------------- */

/* A thread's memory. */
struct slot {
	real *box;    /* (B, B * taps): rows of w where a block is not whole */
	real *turned; /* (taps, B, B): vectors over rows, one a tap and channel */
	real *near;   /* winograd: (B, taps, B) */
	real *waste;  /* (B) */
};

static struct slot slot_of(const struct moka__conv_pack *p, int slot)
{
	const int64_t b = p->op->k->block, box = b * b * p->taps;
	real *at = (real *)(p->slots + (size_t)slot * moka__conv_pack_slot(p->op->k, p->taps));

	return (struct slot){ at, at + box, at + 2 * box, at + 3 * box };
}

size_t moka__conv_pack_slot(const struct moka__blocked_kernels *k, int64_t taps)
{
	return moka__lines((size_t)(k->block * (3 * k->block * taps + 1)) * sizeof(real));
}

/* Where the vector over outputs of (input channel, tap) goes. */
struct order {
	real *at;
	int64_t channel, tap; /* values to the next */
	int64_t channels;     /* that are kept */
};

/*
 * Rows [r0, r0 + B) of w, channels [c0, c0 + B) of all groups: in place (at any address: for transpose() or memcpy()), or copied with zeros
 * for what a row's group doesn't have.
 */
static void find_rows(const struct moka__conv_pack *p, int64_t r0, int64_t c0, real *box, const real **rows)
{
	const int64_t b = p->op->k->block, each = p->rows / p->group;

	for (int64_t r = 0; r < b; r++, box += b * p->taps) {
		const int64_t row = r0 + r, begin = row / each * p->columns;
		const int64_t from = MOKA_MAX(begin, c0), end = MOKA_MIN(begin + p->columns, c0 + b);
		const char *w;

		rows[r] = box;
		if (row >= p->rows || from >= end) {
			memset(box, 0, (size_t)(b * p->taps) * sizeof(real));
			continue;
		}
		w = p->w + (size_t)((row * p->columns + from - begin) * p->taps) * sizeof(real);
		if (end - from == b) {
			rows[r] = (const real *)(const void *)w;
			continue;
		}
		memset(box, 0, (size_t)(b * p->taps) * sizeof(real));
		memcpy(box + (from - c0) * p->taps, w, (size_t)((end - from) * p->taps) * sizeof(real));
	}
}

/* What lies `ahead` values on will be read soon. */
static void fetch(const void *from, int64_t ahead)
{
	__builtin_prefetch((const void *)((uintptr_t)from + (uintptr_t)ahead * sizeof(real)), 0, 3);
}

/* scale: (B), may be NULL; ahead: values from a row to what is asked for meanwhile */
static void straight(const struct moka__conv_pack *p, const real *const *rows, const real *scale,
		     const struct order *to, real *waste, int64_t ahead)
{
	const struct moka__blocked_kernels *k = p->op->k;
	const int64_t b = k->block;
	const real *in[16];
	real *out[16];
	int64_t c = 0, tap = 0;

	for (int64_t t = 0; t < p->taps; t++) {
		for (int64_t i = 0; i < b; i++) {
			in[i] = rows[i] + t * b;
			fetch(in[i], ahead);
			out[i] = c < to->channels ? to->at + c * to->channel + tap * to->tap : waste;
			if (++tap == p->taps)
				tap = 0, c++;
		}
		k->transpose(in, out, false);
		if (scale)
			k->lanes(scale, out);
	}
}

/* Vectors over w's channels, one for each of its outputs (the operation's inputs) and each of the operation's taps. */
static void turned(const struct moka__conv_pack *p, const real *const *rows, const struct order *to,
		   const struct slot *s)
{
	const struct moka_conv_desc *d = &p->op->d;
	const int64_t b = p->op->k->block, taps = d->kernel[0] * d->kernel[1];
	const struct order tapwise = { s->turned, b, b * b, b };

	if (p->taps > 1)
		straight(p, rows, NULL, &tapwise, s->waste, AHEAD * b * p->columns * p->taps);
	for (int64_t k = 0; k < taps; k++) {
		const real *in[16];
		real *out[16];
		for (int64_t i = 0; i < b; i++) {
			in[i] = s->turned + (p->which[k] * b + i) * b;
			out[i] = i < to->channels ? to->at + i * to->channel + k * to->tap : s->waste;
		}
		if (p->taps > 1)
			p->op->k->transpose(in, out, false);
		else
			for (int64_t i = 0; i < b; i++)
				memcpy(out[i], rows[i], (size_t)b * sizeof(real));
	}
}

/* The factors of rows [r0, r0 + B) in `own`; NULL: there are none. */
static const real *find_scale(const struct moka__conv_pack *p, int64_t r0, real *own)
{
	const int64_t b = p->op->k->block;

	for (int64_t r = 0; p->scale && r < b; r++)
		own[r] = r0 + r < p->rows ? p->scale[r0 + r] : 0;
	return p->scale ? own : NULL;
}

/* ---- a block of inputs ------------------------------------------------------------------------------------ */

/* Transformed weights for B inputs from vectors (B, taps, B): U = G g G'. */
static void winograd(const struct moka__conv_pack *p, const real *near, const real *scale, real *to, int64_t row,
		     int64_t plane)
{
	const struct moka__blocked_kernels *k = p->op->k;
	const int64_t b = k->block;

	for (int64_t c = 0; c < b; c++, near += p->taps * b, to += row)
		if (p->matrix)
			k->wino_exact(p->matrix, (int)p->op->size, (int)p->op->d.kernel[0], near, scale, to, plane);
		else
			k->wino_weights[p->op->form](near, to, plane);
}

/* Whether the weights of a group for its i-th block of inputs are parts of w's rows as they are: one tap, turned around. */
static bool is_copy(const struct moka__conv_pack *p, const struct moka__conv_group *g, int64_t i)
{
	const int64_t b = p->op->k->block;

	return p->which && p->taps == 1 && p->group == 1 && (g->in_block + i + 1) * b <= p->rows &&
	       (g->block + g->blocks) * b <= p->columns;
}

static void copy_block(const struct moka__conv_pack *p, const struct moka__conv_group *g, int64_t i, real *to)
{
	const int64_t b = p->op->k->block, n = g->blocks * b, pitch = p->columns * (int64_t)sizeof(real);
	const char *from = p->w + ((g->in_block + i) * b * p->columns + g->block * b) * (int64_t)sizeof(real);

	for (int64_t r = 0; r < b; r++, from += pitch, to += n) {
		for (int64_t k = 0; k < n; k += b)
			fetch(from, AHEAD * b * p->columns + k);
		memcpy(to, from, (size_t)n * sizeof(real));
	}
}

void moka__conv_pack_block(const struct moka__conv_pack *p, const struct moka__conv_group *g, int64_t i, real *base,
			   int64_t plane, int slot)
{
	const struct moka_conv_op *op = p->op;
	const struct slot s = slot_of(p, slot);
	const int64_t b = op->k->block, taps = op->d.kernel[0] * op->d.kernel[1], row = g->blocks * b;

	if (is_copy(p, g, i)) {
		copy_block(p, g, i, base);
		return;
	}
	for (int64_t v = 0; v < g->blocks; v++) {
		const int64_t out0 = (g->block + v) * b, in0 = (g->in_block + i) * b;
		const real *rows[16], *scale;
		struct order to = { base + v * b, row, b * row, b };
		real factors[16];

		if (op->algorithm == MOKA_CONV_FIRST)
			to.channel = taps * row, to.tap = row, to.channels = op->d.channels - i * b;
		else if (p->scatter)
			to.tap = op->in_blocks * b * row;
		else if (op->tile)
			to.at = s.near, to.channel = taps * b, to.tap = b;
		scale = find_scale(p, out0, factors);
		if (p->which) {
			find_rows(p, in0, out0, s.box, rows);
			turned(p, rows, &to, &s);
		} else {
			find_rows(p, out0, in0, s.box, rows);
			straight(p, rows, op->tile ? NULL : scale, &to, s.waste, AHEAD * b * p->taps);
		}
		if (op->tile)
			winograd(p, s.near, scale, base + v * b, row, plane);
	}
}

void moka__conv_pack_fetch(const struct moka__conv_pack *p, const struct moka__conv_group *g, int64_t i, int64_t ins,
			   int64_t k, int64_t n)
{
	const int64_t b = p->op->k->block, line = 64 / (int64_t)sizeof(real);
	const int64_t in0 = (g->in_block + i) * b, in1 = in0 + ins * b, out0 = g->block * b,
		      out1 = out0 + g->blocks * b;
	const int64_t r0 = p->which ? in0 : out0, r1 = MOKA_MIN(p->which ? in1 : out1, p->rows);
	const int64_t c0 = p->which ? out0 : in0, c1 = MOKA_MIN(p->which ? out1 : in1, p->columns);

	for (int64_t r = r0 + moka__part(r1 - r0, n, k); r < r0 + moka__part(r1 - r0, n, k + 1); r++)
		for (int64_t c = c0; c < c1; c += line)
			__builtin_prefetch(p->w + (size_t)(r * p->columns + c) * sizeof(real), 0, 2);
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

/* Blocks of inputs that a group has at most: they differ where groups of channels are not whole blocks. */
static int64_t most_in_blocks(const struct moka_conv_op *op)
{
	int64_t most = 0;

	for (int64_t g = 0; g < op->n_groups; g++)
		most = MOKA_MAX(most, op->groups[g].in_blocks);
	return most;
}

struct all {
	const struct moka__conv_pack *p;
	int64_t in_blocks;
};

static void pack_item(void *arg, int64_t item, int slot)
{
	const struct all *a = arg;
	const struct moka_conv_op *op = a->p->op;
	const struct moka__conv_group *g = &op->groups[item / a->in_blocks];
	const int64_t b = op->k->block, i = item % a->in_blocks,
		      each = op->tile || a->p->scatter ? 1 : op->d.kernel[0] * op->d.kernel[1];

	if (i < g->in_blocks)
		moka__conv_pack_block(a->p, g, i, a->p->to + g->weights + i * b * each * g->blocks * b, op->plane,
				      slot);
}

void moka__conv_pack_all(const struct moka__conv_pack *p, struct moka_pool *pool)
{
	struct all a = { p, most_in_blocks(p->op) };

	moka__deal(p->op->n_weights < LEAST_SHARED ? NULL : pool, p->op->n_groups * a.in_blocks, pack_item, &a);
}

/* ---- of an operation ------------------------------------------------------------------------------------------ */

static bool pack(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *scale,
		 const double *matrix)
{
	const struct moka_conv_desc *d = &op->d;
	struct moka__conv_pack p = { .op = op,
				     .w = w,
				     .scale = scale,
				     .rows = d->outputs,
				     .group = d->group,
				     .columns = d->channels / d->group,
				     .taps = d->kernel[0] * d->kernel[1],
				     .matrix = matrix,
				     .to = op->weights };

	p.slots = aligned_alloc(64, (size_t)moka_pool_threads(pool) * moka__conv_pack_slot(op->k, p.taps));
	if (!p.slots)
		return false;
	moka__conv_pack_all(&p, pool);
	free(p.slots);
	return true;
}

bool moka__conv_pack_direct(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *scale)
{
	return pack(op, pool, w, scale, NULL);
}

bool moka__conv_pack_first(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *scale)
{
	return pack(op, pool, w, scale, NULL);
}

void moka__conv_pack_depthwise(struct moka_conv_op *op, const void *w, const real *scale)
{
	const int64_t b = op->k->block, taps = op->d.kernel[0] * op->d.kernel[1];

	memset(op->weights, 0, (size_t)op->n_weights * sizeof(real));
	for (int64_t c = 0; c < op->d.channels; c++) {
		real *to = op->weights + c / b * b * taps + c % b, v;

		for (int64_t tap = 0; tap < taps; tap++) {
			memcpy(&v, (const char *)w + (size_t)(c * taps + tap) * sizeof(real), sizeof(v));
			to[tap * b] = v * (scale ? scale[c] : 1);
		}
	}
}

/* G of U = G g G', (size, taps of a side): what a tile of `size` values sees of a kernel's line. */
static const double g4[6 * 3] = { 1. / 4,  0,	     0,	      /* */
				  -1. / 6, -1. / 6,  -1. / 6, /* */
				  -1. / 6, 1. / 6,   -1. / 6, /* */
				  1. / 24, 1. / 12,  1. / 6,  /* */
				  1. / 24, -1. / 12, 1. / 6,  /* */
				  0,	   0,	     1 };
static const double g6[8 * 3] = { 1,	   0,	     0,	       /* */
				  -2. / 9, -2. / 9,  -2. / 9,  /* */
				  -2. / 9, 2. / 9,   -2. / 9,  /* */
				  1. / 90, 1. / 45,  2. / 45,  /* */
				  1. / 90, -1. / 45, 2. / 45,  /* */
				  1. / 45, 1. / 90,  1. / 180, /* */
				  1. / 45, -1. / 90, 1. / 180, /* */
				  0,	   0,	     1 };

/* The eight points of g6, for lines of five. */
static const double g5[8 * 5] = { 1,	   0,	     0,	       0,	  0,	    /* */
				  -2. / 9, -2. / 9,  -2. / 9,  -2. / 9,	  -2. / 9,  /* */
				  -2. / 9, 2. / 9,   -2. / 9,  2. / 9,	  -2. / 9,  /* */
				  1. / 90, 1. / 45,  2. / 45,  4. / 45,	  8. / 45,  /* */
				  1. / 90, -1. / 45, 2. / 45,  -4. / 45,  8. / 45,  /* */
				  1. / 45, 1. / 90,  1. / 180, 1. / 360,  1. / 720, /* */
				  1. / 45, -1. / 90, 1. / 180, -1. / 360, 1. / 720, /* */
				  0,	   0,	     0,	       0,	  1 };

static const double g5_3[7 * 3] = { 0.5,       0,	 0,	   /* */
				    -1. / 9,   -1. / 9,	 -1. / 9,  /* */
				    1. / 3,    -1. / 3,	 1. / 3,   /* */
				    1. / 60,   2. / 60,	 4. / 60,  /* */
				    -1. / 36,  2. / 36,	 -4. / 36, /* */
				    -32. / 45, 16. / 45, -8. / 45, /* */
				    0,	       0,	 1 };

bool moka__conv_pack_winograd(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *scale)
{
	static const double *const matrices[MOKA__WINO_FORMS] = { g4, g6, g5, g5_3 };

	return pack(op, pool, w, scale, matrices[op->form]);
}
