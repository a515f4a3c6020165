/*
 * conv_winograd.c - 3x3 and 5x5 convolutions with stride 1 by Winograd's minimal filtering (Lavin and Gray, arXiv:1509.09308): F(4x4, 3x3)
 * and F(6x6, 3x3), 2.25 (1.78) multiplications an output instead of 9; F(4x4, 5x5), 4 instead of 25.
 *
 *     V = B' d B of every tile     (points, in blocks, tiles, B)
 *     M = U V, for every point     (points, out blocks, tiles, B)   by the tile of the direct 1x1 convolution
 *     y = A' M A + bias + residual, activated
 *
 * Tiles are worked on in chunks whose V and M stay in the second cache, every thread its own; where there are only a
 * chunk or two, all threads share each of the three steps, so that the weights pass through the caches once.
 */
#include "conv_op.h"

#define CHUNK_BYTES (768 * 1024)
#define LEAST_TILES 24
#define HEAVY_BYTES (8 * 1024 * 1024)
/* Where weights are made late: tiles of a band at most (of the only one a few more), of a piece at least, weights of a part. */
#define LATE_TILES 128
#define LATE_ALL 192
#define LATE_LEAST 24
#define LATE_BYTES (600 * 1024)
#define WORTH_A_THREAD 1000000

struct winograd {
	const struct moka__conv_run *r;
	int64_t rows, columns, tiles; /* of all images */
	int64_t most;		      /* tiles of a chunk */
	int64_t chunks;
	size_t slot_bytes;
};

/* One chunk: tiles [t0, t0 + n), and its memory. M holds some blocks of outputs. */
struct chunk {
	const struct winograd *f;
	int64_t t0, n;
	int64_t m_block, m_blocks;
	real *v, *m;
};

static int64_t all_tiles(const struct moka_conv_op *op)
{
	return op->d.images * moka__ceil_div(op->out[0], op->tile) * moka__ceil_div(op->out[1], op->tile);
}

static int64_t most_tiles(const struct moka_conv_op *op)
{
	const int64_t each =
		op->size * op->size * (op->in_blocks + op->out_blocks) * op->k->block * (int64_t)sizeof(real);

	/* weights that no cache holds pass by once a chunk: then fewer, larger chunks */
	const int64_t least = op->n_weights * (int64_t)sizeof(real) > HEAVY_BYTES ? 3 * LEAST_TILES : LEAST_TILES;

	return MOKA_MIN(MOKA_MAX(CHUNK_BYTES / each, least), all_tiles(op));
}

static size_t v_values(const struct moka_conv_op *op, int64_t tiles)
{
	return (size_t)(op->size * op->size * moka__wino_apart(op, op->in_blocks, tiles));
}

static size_t chunk_bytes(const struct moka_conv_op *op, int64_t tiles)
{
	return moka__lines(
		(v_values(op, tiles) + (size_t)(op->size * op->size * moka__wino_apart(op, op->out_blocks, tiles))) *
		sizeof(real));
}

/* ---- weights made late: what a run needs ------------------------------------------------------------ */

static int64_t late_bands(const struct moka_conv_op *op)
{
	const int64_t tiles = all_tiles(op);

	return tiles <= LATE_ALL ? 1 : moka__ceil_div(tiles, LATE_TILES);
}

static int64_t late_part(const struct moka_conv_op *op)
{
	const int64_t b = op->k->block,
		      each = op->size * op->size * b * op->groups[0].blocks * b * (int64_t)sizeof(real);

	return MOKA_MIN(MOKA_MAX(LATE_BYTES / each, 1), op->in_blocks);
}

/* Of U: a point of a part of a group's weights, and the next one. */
static int64_t late_plane(const struct moka_conv_op *op)
{
	return late_part(op) * op->k->block * op->groups[0].blocks * op->k->block + op->k->block;
}

static size_t late_slot(const struct moka_conv_op *op)
{
	const int64_t tiles = moka__ceil_div(all_tiles(op), late_bands(op));

	return moka__lines(
		(size_t)(op->size * op->size * (late_plane(op) + moka__wino_apart(op, op->groups[0].blocks, tiles))) *
		sizeof(real));
}

static size_t late_v(const struct moka_conv_op *op)
{
	return moka__lines(v_values(op, moka__ceil_div(all_tiles(op), late_bands(op))) * sizeof(real));
}

size_t moka__conv_scratch_winograd_late(const struct moka_conv_op *op, int threads)
{
	return late_v(op) + (size_t)threads * late_slot(op);
}

size_t moka__conv_scratch_winograd(const struct moka_conv_op *op, int threads)
{
	return (size_t)threads * chunk_bytes(op, most_tiles(op));
}

void moka__wino_cut(const real *plane, int64_t height, int64_t width, int64_t b, int64_t y0, int64_t x0, int64_t size,
		    struct moka__wino_rows *e)
{
	static const _Alignas(64) real zeros[8 * 16];

	e->c0 = MOKA_MAX(0, -x0), e->c1 = MOKA_MIN(size, width - x0);
	for (int64_t r = 0; r < size; r++)
		e->rows[r] = y0 + r >= 0 && y0 + r < height && e->c0 < e->c1
				     ? plane + ((y0 + r) * width + x0 + e->c0) * b
				     : zeros;
}

struct place {
	int64_t n, y, x; /* image, first output */
};

static struct place tile_place(const struct winograd *f, int64_t t)
{
	const int64_t of_image = f->rows * f->columns, size = f->r->op->tile;

	return (struct place){ t / of_image, t % of_image / f->columns * size, t % f->columns * size };
}

static void step_in(const struct chunk *c, int64_t i)
{
	const struct moka_conv_op *op = c->f->r->op;
	const struct moka_tensor *x = c->f->r->x;
	const int64_t b = op->k->block, s = op->size, step = moka__wino_apart(op, op->in_blocks, c->n);

	for (int64_t t = 0; t < c->n; t++) {
		const struct place p = tile_place(c->f, c->t0 + t);
		const int64_t y0 = p.y - op->d.pad[0], x0 = p.x - op->d.pad[1];
		const real *plane = x->data + p.n * x->image_stride + i * op->d.height * op->d.width * b;
		real *v = c->v + (i * c->n + t) * b;

		if (y0 >= 0 && x0 >= 0 && y0 + s <= op->d.height && x0 + s <= op->d.width) {
			op->k->wino_in[s - 6](plane + (y0 * op->d.width + x0) * b, op->d.width * b, v, step);
		} else {
			struct moka__wino_rows e;
			moka__wino_cut(plane, op->d.height, op->d.width, b, y0, x0, s, &e);
			op->k->wino_edge[s - 6](e.rows, e.c0, e.c1, v, step);
		}
	}
}

/* One point: a tile of the direct convolution after the other. */
static void run_tiles(const struct moka_conv_op *op, int64_t n, int64_t blocks, struct moka__conv_tile *t)
{
	const int64_t b = op->k->block, tiles = moka__ceil_div(n, op->places);

	for (int64_t i = 0; i < tiles; i++) {
		const int64_t p0 = moka__part(n, tiles, i), p1 = moka__part(n, tiles, i + 1);
		int64_t off[MOKA__PLACES];

		for (int64_t p = p0; p < p1; p++)
			off[p - p0] = p * b;
		t->off = t->y_off = off;
		t->stream = true;
		op->k->conv[blocks - 1][p1 - p0 - 1](t);
	}
}

void moka__wino_product(const struct moka_conv_op *op, const real *weights, int64_t point, int64_t n, const real *v,
			real *m)
{
	const int64_t b = op->k->block;
	const real *u = weights + point * op->plane;

	v += point * moka__wino_apart(op, op->in_blocks, n), m += point * moka__wino_apart(op, op->out_blocks, n);
	/* every group of channels has as many inputs */
	for (int64_t from = 0; from < op->groups[0].in_blocks; from += op->part)
		for (int64_t g = 0; g < op->n_groups; g++) {
			const struct moka__conv_group *og = &op->groups[g];
			struct moka__conv_tile t = { .x_step = n * b, .taps = 1, .y_block = n * b, .first = from == 0 };
			t.x = v + (og->in_block + from) * n * b;
			t.blocks = MOKA_MIN(op->part, og->in_blocks - from);
			t.lanes = moka__used_lanes(op, og->in_block + from + t.blocks);
			t.w = u + og->weights + from * b * og->blocks * b;
			t.y = m + og->block * n * b;
			run_tiles(op, n, og->blocks, &t);
		}
}

static void step_product(const struct chunk *c, int64_t point)
{
	moka__wino_product(c->f->r->op, c->f->r->weights, point, c->n, c->v, c->m);
}

static void step_out(const struct chunk *c, int64_t o)
{
	const struct moka__conv_run *r = c->f->r;
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, area = op->out[0] * op->out[1], step = moka__wino_apart(op, c->m_blocks, c->n);
	struct moka__wino_end e = { .shift = r->bias + o * b, .row = op->out[1] * b, .act = r->act };

	if (op->slopes)
		e.act.slopes = op->slopes + o * b;
	for (int64_t t = 0; t < c->n; t++) {
		const struct place p = tile_place(c->f, c->t0 + t);
		const int64_t at = (o * area + p.y * op->out[1] + p.x) * b;

		e.rows = MOKA_MIN(op->tile, op->out[0] - p.y), e.columns = MOKA_MIN(op->tile, op->out[1] - p.x);
		e.y = r->y->data + p.n * r->y->image_stride + at;
		e.z = r->residual ? r->residual->data + p.n * r->residual->image_stride + at : NULL;
		op->k->wino_out[op->form](c->m + ((o - c->m_block) * c->n + t) * b, step, &e);
	}
}

static void whole_item(void *arg, int64_t item, int slot)
{
	const struct winograd *f = arg;
	const struct moka_conv_op *op = f->r->op;
	struct chunk c = { .f = f, .t0 = moka__part(f->tiles, f->chunks, item), .m_blocks = op->out_blocks };

	c.n = moka__part(f->tiles, f->chunks, item + 1) - c.t0;
	c.v = (real *)(f->r->scratch + (size_t)slot * f->slot_bytes);
	c.m = c.v + v_values(op, c.n);
	for (int64_t i = 0; i < op->in_blocks; i++)
		step_in(&c, i);
	for (int64_t p = 0; p < op->size * op->size; p++)
		step_product(&c, p);
	for (int64_t o = 0; o < op->out_blocks; o++)
		step_out(&c, o);
}

static void in_item(void *arg, int64_t item, int slot)
{
	(void)slot;
	step_in(arg, item);
}

static void product_item(void *arg, int64_t item, int slot)
{
	(void)slot;
	step_product(arg, item);
}

static void out_item(void *arg, int64_t item, int slot)
{
	(void)slot;
	step_out(arg, item);
}

void moka__conv_run_winograd(const struct moka__conv_run *r)
{
	const struct moka_conv_op *op = r->op;
	const int threads = moka_pool_threads(r->pool);
	const bool alone = threads < 2 || moka__conv_work(&op->d, op->out) < WORTH_A_THREAD;
	struct winograd f = { .r = r, .tiles = all_tiles(op), .most = most_tiles(op) };

	f.rows = moka__ceil_div(op->out[0], op->tile), f.columns = moka__ceil_div(op->out[1], op->tile);
	f.chunks = moka__ceil_div(f.tiles, f.most);
	f.slot_bytes = chunk_bytes(op, f.most);
	if (alone || f.chunks >= 2 * threads) {
		moka__deal(alone ? NULL : r->pool, f.chunks, whole_item, &f);
		return;
	}
	for (int64_t i = 0; i < f.chunks; i++) {
		struct chunk c = { .f = &f, .t0 = moka__part(f.tiles, f.chunks, i), .v = (real *)r->scratch };

		c.m_blocks = op->out_blocks;
		c.n = moka__part(f.tiles, f.chunks, i + 1) - c.t0;
		c.m = c.v + v_values(op, c.n);
		moka__deal(r->pool, op->in_blocks, in_item, &c);
		moka__deal(r->pool, op->size * op->size, product_item, &c);
		moka__deal(r->pool, op->out_blocks, out_item, &c);
	}
}

/* ---- weights made late ------------------------------------------------------------------------------ */

struct late {
	struct chunk all; /* the band */
	int64_t cuts;	  /* of its tiles, for threads to share a group: each makes the weights for itself */
};

/* A group of outputs for some tiles of a band: its weights are made, used for all of these, and forgotten. */
static void late_item(void *arg, int64_t item, int slot)
{
	const struct late *l = arg;
	const struct moka__conv_run *r = l->all.f->r;
	const struct moka_conv_op *op = r->op;
	const struct moka__conv_group *g = &op->groups[item / l->cuts];
	const int64_t b = op->k->block, n = l->all.n, part = late_part(op), plane = late_plane(op);
	const int64_t t0 = moka__part(n, l->cuts, item % l->cuts), t1 = moka__part(n, l->cuts, item % l->cuts + 1);
	real *u = (real *)(r->scratch + late_v(op) + (size_t)slot * late_slot(op));
	struct chunk c = {
		l->all.f, l->all.t0 + t0, t1 - t0, g->block, g->blocks, NULL, u + op->size * op->size * plane
	};

	for (int64_t from = 0; from < op->in_blocks; from += part) {
		const int64_t ins = MOKA_MIN(part, op->in_blocks - from);

		for (int64_t i = 0; i < ins; i++)
			r->make(r->make_arg, g, from + i, u + i * b * g->blocks * b, plane, slot);
		for (int64_t p = 0; p < op->size * op->size; p++) {
			struct moka__conv_tile t = { .x_step = n * b,
						     .taps = 1,
						     .y_block = c.n * b,
						     .first = from == 0,
						     .blocks = ins,
						     .lanes = moka__used_lanes(op, from + ins) };
			t.x = l->all.v + p * moka__wino_apart(op, op->in_blocks, n) + (from * n + t0) * b;
			t.w = u + p * plane;
			t.y = c.m + p * moka__wino_apart(op, g->blocks, c.n);
			run_tiles(op, c.n, g->blocks, &t);
		}
	}
	for (int64_t o = g->block; o < g->block + g->blocks; o++)
		step_out(&c, o);
}

/* Pieces for a group: where groups don't come out even among the threads, or are too few. Each makes the weights for itself. */
static int64_t late_cuts(const struct moka_conv_op *op, int64_t tiles, int64_t threads)
{
	const int64_t most = MOKA_MAX(tiles / LATE_LEAST, 1);

	if (threads < 2 || op->n_groups > 4 * threads)
		return 1;
	for (int64_t cuts = 1; cuts <= MOKA_MIN(4, most); cuts++)
		if (op->n_groups * cuts % threads == 0)
			return cuts;
	return MOKA_MIN(moka__ceil_div(4 * threads, op->n_groups), most);
}

void moka__conv_run_winograd_late(const struct moka__conv_run *r)
{
	const struct moka_conv_op *op = r->op;
	struct winograd f = { .r = r, .tiles = all_tiles(op) };
	const int64_t bands = late_bands(op);

	f.rows = moka__ceil_div(op->out[0], op->tile), f.columns = moka__ceil_div(op->out[1], op->tile);
	for (int64_t i = 0; i < bands; i++) {
		struct late l = { .all = { .f = &f, .t0 = moka__part(f.tiles, bands, i), .v = (real *)r->scratch } };
		l.all.n = moka__part(f.tiles, bands, i + 1) - l.all.t0;
		l.cuts = late_cuts(op, l.all.n, moka_pool_threads(r->pool));
		moka__deal(r->pool, op->in_blocks, in_item, &l.all);
		moka__deal(r->pool, op->n_groups * l.cuts, late_item, &l);
	}
}
