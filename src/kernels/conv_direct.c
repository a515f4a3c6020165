/*
 * conv_direct.c - direct convolution of blocked images: any kernel, stride, padding, dilation, group.
 *
 * Places (all images' output pixels in one run) are cut into tiles, evenly, so that the last one is no shorter than the others
 * by more than one; a piece of work is some tiles by some groups of outputs:
 *
 *     for each part of the inputs (its weights for one group stay in the first cache)
 *         for each group of outputs:  for each tile:  kernel
 */
#include "conv_op.h"

#include <string.h>

#define TILES 16    /* of a piece of work */
#define FEW_TILES 4 /* so few read weights as fast as they come: each asks for its own, no more for the next group's */
#define TILES_AHEAD 2
#define WORTH_A_THREAD 1000000 /* multiply-adds */
#define LATE_TILES 80	       /* of a piece of work at most, where its weights are made for it alone */
#define LATE_LEAST 12	       /* and at least, where threads want more pieces */

struct direct {
	const struct moka__conv_run *r;
	struct moka_tensor x;
	int64_t places, tiles, chunks, parts;
	int64_t tile, longer; /* places of a tile, and how many tiles have one more */
	size_t slot_bytes;
	char *slots;
	bool beside; /* the output is plain and ends within a block */
};

/* An input of 1 x 1 that lies plain and ends within a block is copied, so that whole blocks can be read. */
static bool needs_copy(const struct moka_conv_op *op)
{
	return op->d.in_block == 1 && op->d.channels % op->k->block;
}

static size_t table_bytes(const struct moka_conv_op *op, int64_t tiles)
{
	const int64_t taps = op->d.kernel[0] * op->d.kernel[1];

	return moka__lines(sizeof(int64_t) * MOKA__PLACES * (size_t)(tiles * (taps + 2)));
}

static size_t copy_bytes(const struct moka_conv_op *op)
{
	return needs_copy(op) ? moka__lines(sizeof(real) * (size_t)(op->d.images * op->in_blocks * op->k->block)) : 0;
}

size_t moka__conv_scratch_direct(const struct moka_conv_op *op, int threads)
{
	return copy_bytes(op) + (size_t)threads * table_bytes(op, TILES);
}

/* Weights of a part of the inputs for one group. */
static size_t late_bytes(const struct moka_conv_op *op)
{
	const int64_t b = op->k->block, taps = op->d.kernel[0] * op->d.kernel[1];

	return moka__lines((size_t)(MOKA_MIN(op->part, op->in_blocks) * b * taps * op->groups[0].blocks * b) *
			   sizeof(real));
}

size_t moka__conv_scratch_direct_late(const struct moka_conv_op *op, int threads)
{
	return (size_t)threads * (table_bytes(op, LATE_TILES) + late_bytes(op));
}

/* The first place of a tile: moka__part() without its division. */
static int64_t tile_begin(const struct direct *f, int64_t tile)
{
	return tile * f->tile + MOKA_MIN(tile, f->longer);
}

/* A place among all images' outputs; counted on, since a division takes longer than a tile's table otherwise would. */
struct at {
	int64_t n, y, x;
};

static struct at place_at(const struct moka_conv_op *op, int64_t place)
{
	const int64_t area = op->out[0] * op->out[1];

	return (struct at){ place / area, place % area / op->out[1], place % op->out[1] };
}

static void skip_places(const struct moka_conv_op *op, struct at *p, int64_t n)
{
	for (p->x += n; p->x >= op->out[1]; p->x -= op->out[1])
		if (++p->y == op->out[0])
			p->y = 0, p->n++;
}

/* Fills the tables of one place: what each tap sees, where the result and the residual lie. */
static void fill_place(const struct direct *f, const struct at *p, int64_t *off, int64_t *y_off, int64_t *r_off)
{
	const struct moka_conv_op *op = f->r->op;
	const struct moka_conv_desc *d = &op->d;
	const struct moka__conv_target *to = &op->target;
	const int64_t b = op->k->block, taps = d->kernel[0] * d->kernel[1];
	int64_t at;

	for (int64_t i = 0; i < taps; i++, off += MOKA__PLACES) {
		const int64_t y = p->y * d->stride[0] + op->taps[2 * i], x = p->x * d->stride[1] + op->taps[2 * i + 1];
		const bool in = y >= 0 && y < d->height && x >= 0 && x < d->width;
		*off = in ? p->n * f->x.image_stride + (y * d->width + x) * b : MOKA__OUTSIDE;
	}
	at = ((p->y * to->step[0] + to->from[0]) * to->width + p->x * to->step[1] + to->from[1]) * b;
	*y_off = p->n * f->r->y->image_stride + at;
	*r_off = f->r->residual ? p->n * f->r->residual->image_stride + at : 0;
}

/* Whether a place sees just the value that lies where its result will. */
static bool is_flat(const struct moka_conv_op *op)
{
	return op->out[0] == op->d.height && op->out[1] == op->d.width && op->d.kernel[0] * op->d.kernel[1] == 1 &&
	       op->taps[0] == 0 && op->taps[1] == 0 && op->target.height == op->out[0] &&
	       op->target.width == op->out[1];
}

/* The same for a tile within one image; no table is too short for all of MOKA__PLACES. */
static void fill_flat(const struct direct *f, const struct at *p, int64_t *off, int64_t *y_off, int64_t *r_off)
{
	const struct moka__conv_run *r = f->r;
	const int64_t b = r->op->k->block, at = (p->y * r->op->out[1] + p->x) * b;
	const int64_t x = p->n * f->x.image_stride + at, y = p->n * r->y->image_stride + at;
	const int64_t z = r->residual ? p->n * r->residual->image_stride + at : 0;

	for (int64_t i = 0; i < MOKA__PLACES; i++) {
		off[i] = x + i * b;
		y_off[i] = y + i * b;
		r_off[i] = z + i * b;
	}
}

/* Tables of tiles [t0, t1), one after the other: (taps + 2, MOKA__PLACES). */
static void fill_tables(const struct direct *f, int64_t t0, int64_t t1, int64_t *at)
{
	const struct moka_conv_op *op = f->r->op;
	const int64_t taps = op->d.kernel[0] * op->d.kernel[1];
	const bool flat = is_flat(op);
	int64_t p0 = tile_begin(f, t0);
	struct at place = place_at(op, p0);

	for (int64_t i = t0; i < t1; i++, at += (taps + 2) * MOKA__PLACES) {
		int64_t *const y_off = at + taps * MOKA__PLACES, *const r_off = y_off + MOKA__PLACES;
		const int64_t p1 = tile_begin(f, i + 1), n = p1 - p0;

		p0 = p1;
		if (flat && (op->out[0] - place.y) * op->out[1] - place.x >= n) {
			fill_flat(f, &place, at, y_off, r_off);
			skip_places(op, &place, n);
			continue;
		}
		for (int64_t p = 0; p < n; p++) {
			fill_place(f, &place, at + p, y_off + p, r_off + p);
			skip_places(op, &place, 1);
		}
	}
}

/* The outputs of a tile, made beside, go where a plain 1 x 1 output keeps them, without its spare lanes. */
static void run_beside(const struct direct *f, const struct moka__conv_group *g, struct moka__conv_tile *t, int n)
{
	const struct moka_conv_op *op = f->r->op;
	const int64_t b = op->k->block, used = MOKA_MIN(op->d.outputs - g->block * b, g->blocks * b);
	_Alignas(64) real y[MOKA__PLACES * MOKA__GROUP * 16], z[MOKA__PLACES * MOKA__GROUP * 16] = { 0 };
	int64_t at[MOKA__PLACES];
	struct moka__conv_tile beside = *t;

	for (int i = 0; i < n; i++) {
		at[i] = i * g->blocks * b;
		if (t->residual)
			memcpy(z + at[i], t->residual + t->r_off[i], (size_t)used * sizeof(real));
		if (!t->first)
			memcpy(y + at[i], t->y + t->y_off[i], (size_t)used * sizeof(real));
		for (int64_t k = used; k < g->blocks * b; k++)
			y[at[i] + k] = 0;
	}
	beside.y = y, beside.y_off = beside.r_off = at, beside.y_block = beside.r_block = b;
	beside.residual = t->residual ? z : NULL;
	op->k->conv[g->blocks - 1][n - 1](&beside);
	for (int i = 0; i < n; i++)
		memcpy(t->y + t->y_off[i], y + at[i], (size_t)used * sizeof(real));
}

static const real *weights_of(const struct moka__conv_run *r, const struct moka__conv_group *g, int64_t from)
{
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, taps = op->d.kernel[0] * op->d.kernel[1];

	return r->weights + g->weights + from * b * taps * g->blocks * b;
}

/* Tiles [t0, t1) by inputs from block `from` on, of a part at most. */
struct piece {
	int64_t from, t0, t1;
	const int64_t *table; /* of its tiles */
	const real *w;	      /* of the group */
	const char *next;     /* weights that are read after these; NULL: unknown */
	bool lead;	      /* the first group that meets these inputs */
	/* weights made late: those that are made after these, and for which group; NULL: none */
	const struct moka__conv_group *then;
	int64_t then_from;
};

static void run_group(const struct direct *f, const struct moka__conv_group *g, const struct piece *p)
{
	const int64_t from = p->from, t0 = p->t0, t1 = p->t1, *table = p->table;
	const struct moka__conv_run *r = f->r;
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, taps = op->d.kernel[0] * op->d.kernel[1];
	const int64_t area = op->target.height * op->target.width;
	const int64_t c0 = MOKA_MIN(from, g->in_blocks), c1 = MOKA_MIN(from + op->part, g->in_blocks);
	struct moka__conv_tile t = {
		.x = f->x.data + (g->in_block + c0) * op->d.height * op->d.width * b,
		.blocks = c1 - c0,
		.x_step = op->d.height * op->d.width * b,
		.taps = taps,
		.lanes = moka__used_lanes(op, g->in_block + c1),
		.w = p->w,
		.y = r->y->data + g->block * area * b,
		.y_block = area * b,
		.residual = r->residual ? r->residual->data + g->block * area * b : NULL,
		.r_block = area * b,
		.bias = r->bias + g->block * b,
		.first = from == 0,
		.last = c1 == g->in_blocks,
		.act = r->act,
		.next = p->next,
	};

	if (c0 == c1)
		return;
	/* lines of weights that each tap of each tile asks for, so that the next part's are there in time */
	if (p->next && t1 - t0 >= FEW_TILES)
		t.ahead = moka__ceil_div(g->blocks * b * b * (int64_t)sizeof(real) / 64, t1 - t0);
	/* the first group meets the inputs: others find them in a near cache */
	if (p->lead && taps == 1 && t1 - t0 >= FEW_TILES)
		t.x_ahead = (uintptr_t)(TILES_AHEAD * f->tile * op->d.stride[1] * b) * sizeof(real);
	if (op->slopes)
		t.act.slopes = op->slopes + g->block * b;
	for (int64_t i = t0; i < t1; i++, table += (taps + 2) * MOKA__PLACES) {
		const int n = (int)(tile_begin(f, i + 1) - tile_begin(f, i));

		t.off = table, t.y_off = table + taps * MOKA__PLACES, t.r_off = t.y_off + MOKA__PLACES;
		t.stream = t1 - t0 < FEW_TILES && i == t0;
		if (p->then)
			r->fetch(r->make_arg, p->then, p->then_from, MOKA_MIN(op->part, op->in_blocks - p->then_from),
				 i - t0, t1 - t0);
		if (f->beside && (g->block + g->blocks) * b > op->d.outputs)
			run_beside(f, g, &t, n);
		else
			op->k->conv[g->blocks - 1][n - 1](&t);
		t.next += t.ahead * t.blocks * taps * 64;
	}
}

static void direct_item(void *arg, int64_t item, int slot)
{
	const struct direct *f = arg;
	const struct moka_conv_op *op = f->r->op;
	const int64_t chunk = item / f->parts, part = item % f->parts;
	const int64_t t0 = moka__part(f->tiles, f->chunks, chunk), t1 = moka__part(f->tiles, f->chunks, chunk + 1);
	const int64_t g0 = moka__part(op->n_groups, f->parts, part), g1 = moka__part(op->n_groups, f->parts, part + 1);
	int64_t *table = (int64_t *)(f->slots + (size_t)slot * f->slot_bytes), most = 0;

	fill_tables(f, t0, t1, table);
	for (int64_t g = g0; g < g1; g++)
		most = MOKA_MAX(most, op->groups[g].in_blocks);
	for (int64_t from = 0; from < most; from += op->part)
		for (int64_t g = g0; g < g1; g++) {
			struct piece p = { from, t0, t1, table, .lead = g == g0 };

			p.w = weights_of(f->r, &op->groups[g], MOKA_MIN(from, op->groups[g].in_blocks));
			if (g + 1 < g1)
				p.next = (const char *)weights_of(f->r, &op->groups[g + 1], from);
			else if (from + op->part < most)
				p.next = (const char *)weights_of(f->r, &op->groups[g0], from + op->part);
			run_group(f, &op->groups[g], &p);
		}
}

/* The same with weights made where they are used, while what the next are made of is asked for. All groups have all inputs. */
static void late_item(void *arg, int64_t item, int slot)
{
	const struct direct *f = arg;
	const struct moka__conv_run *r = f->r;
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, chunk = item / f->parts, part = item % f->parts;
	const int64_t t0 = moka__part(f->tiles, f->chunks, chunk), t1 = moka__part(f->tiles, f->chunks, chunk + 1);
	const int64_t g0 = moka__part(op->n_groups, f->parts, part), g1 = moka__part(op->n_groups, f->parts, part + 1);
	char *own = f->slots + (size_t)slot * f->slot_bytes;
	int64_t *table = (int64_t *)own;
	real *w = (real *)(own + table_bytes(op, LATE_TILES));

	fill_tables(f, t0, t1, table);
	for (int64_t from = 0; from < op->in_blocks; from += op->part)
		for (int64_t k = g0; k < g1; k++) {
			const struct moka__conv_group *g = &op->groups[k];
			struct piece p = { from, t0, t1, table, .w = w, .lead = k == g0 };

			for (int64_t i = 0; i < MOKA_MIN(op->part, op->in_blocks - from); i++)
				r->make(r->make_arg, g, from + i, w + i * b * g->blocks * b, 0, slot);
			p.then = k + 1 < g1 ? g + 1 : &op->groups[g0];
			p.then_from = k + 1 < g1 ? from : from + op->part;
			if (p.then_from >= op->in_blocks)
				p.then = NULL;
			run_group(f, g, &p);
		}
}

static void copy_input(const struct moka_conv_op *op, struct moka_tensor *x, char *to)
{
	const int64_t whole = op->in_blocks * op->k->block;
	real *copy = (real *)to;

	for (int64_t n = 0; n < op->d.images; n++) {
		memcpy(copy + n * whole, x->data + n * x->image_stride, (size_t)op->d.channels * sizeof(real));
		for (int64_t c = op->d.channels; c < whole; c++)
			copy[n * whole + c] = 0;
	}
	x->data = copy;
	x->image_stride = whole;
}

/*
 * Cuts few chunks anew, by outputs too, so that all threads end together: the least of what the busiest one does, a group of a tile at a
 * time. Each group of a chunk costs half a tile more, until its weights are there.
 */
static void share(struct direct *f, int64_t threads)
{
	const int64_t groups = f->r->op->n_groups, least = f->chunks;
	int64_t best = INT64_MAX;

	for (int64_t parts = 1; parts <= MOKA_MIN(groups, 4 * threads); parts++)
		for (int64_t chunks = least; chunks <= MOKA_MIN(f->tiles, least + 2 * threads); chunks++) {
			const int64_t turns = moka__ceil_div(chunks * parts, threads);
			const int64_t cost =
				turns * moka__ceil_div(groups, parts) * (2 * moka__ceil_div(f->tiles, chunks) + 1);

			if (cost < best)
				best = cost, f->chunks = chunks, f->parts = parts;
		}
}

static void cut_places(struct direct *f)
{
	const struct moka_conv_op *op = f->r->op;

	f->places = op->d.images * op->out[0] * op->out[1];
	f->tiles = moka__ceil_div(f->places, op->places);
	f->tile = f->places / f->tiles, f->longer = f->places % f->tiles;
}

void moka__conv_run_direct_late(const struct moka__conv_run *r)
{
	const struct moka_conv_op *op = r->op;
	const int64_t threads = moka_pool_threads(r->pool);
	struct direct f = { .r = r, .x = *r->x, .slots = r->scratch };

	f.slot_bytes = table_bytes(op, LATE_TILES) + late_bytes(op);
	cut_places(&f);
	f.parts = threads < 2 ? 1 : MOKA_MIN(2 * threads, op->n_groups);
	f.chunks = threads < 2 ? 1 : MOKA_MIN(moka__ceil_div(threads, f.parts), f.tiles / LATE_LEAST);
	f.chunks = MOKA_MAX(f.chunks, moka__ceil_div(f.tiles, LATE_TILES));
	moka__deal(r->pool, f.chunks * f.parts, late_item, &f);
}

void moka__conv_run_direct(const struct moka__conv_run *r)
{
	const struct moka_conv_op *op = r->op;
	struct direct f = { .r = r, .x = *r->x, .slots = r->scratch + copy_bytes(op) };
	const bool alone = moka__conv_work(&op->d, op->out) < WORTH_A_THREAD;
	const int64_t threads = alone ? 1 : moka_pool_threads(r->pool);

	if (needs_copy(op))
		copy_input(op, &f.x, r->scratch);
	f.beside = op->d.out_block == 1 && op->d.outputs % op->k->block;
	f.slot_bytes = table_bytes(op, TILES);
	cut_places(&f);
	f.chunks = moka__ceil_div(f.tiles, TILES);
	f.parts = 1;
	if (threads > 1 && f.chunks < 8 * threads)
		share(&f, threads);
	moka__deal(alone ? NULL : r->pool, f.chunks * f.parts, direct_item, &f);
}
