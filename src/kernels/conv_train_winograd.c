/*
 * conv_train_winograd.c - the gradient of a 3x3 convolution's weights by F(4x4, 3x3) read backwards: where forward is
 * y = A' [(G w G') * (B' x B)] A, the gradient of w is
 *
 *     G' [sum over tiles of (B' x B) * (A dy A')] G          36 products a tile of 16 places, not 144
 *
 * Tiles of all images are worked on in bands. Of each, V (points, blocks, tiles, B) is made of x and of dy; then chunks of outputs by
 * inputs, whose sums stay in the second cache, take one point after the other:
 *
 *     M (outputs' group, inputs' block, points, B, block, B) += V(x) V(dy)      by the kernel of the direct gradient, tiles as places
 *
 * With one band and chunks enough for all threads, sums go straight on to dw.
 */
#include "conv_train_plan.h"

#define CHUNK_CHANNELS 64
/* What V may take, and the tiles that a band has whatever it takes; the only one, a few more. */
#define BAND_BYTES ((int64_t)4 * 1024 * 1024)
#define BAND_TILES 128
#define ONE_BAND_TILES 192

struct wino {
	const struct moka_conv_train *t;
	const struct moka_tensor *x, *dy;
	real *dw, *db;
	int64_t cuts;  /* of the points of a chunk, for threads to share */
	bool once;     /* sums are finished where they are made */
	int64_t t0, n; /* tiles of the band */
	bool first;
	int64_t plane_x, plane_y; /* values from a point to the next */
	real *vx, *vy, *m;
	char *slots;
	size_t slot_bytes;
};

/* Values between points, so that those of a tile don't meet in one set of the first cache. */
static int64_t plane(const struct moka_conv_train *t, int64_t blocks, int64_t tiles)
{
	return (blocks * tiles + 1) * t->k->block;
}

static int64_t unit_row(const struct moka_conv_train *t, const struct moka__conv_group *g)
{
	return (g->blocks * t->k->block + 1) * t->k->block;
}

static int64_t band_tiles(const struct moka_conv_train *t)
{
	return moka__ceil_div(t->wino.tiles, t->wino.bands);
}

/* Groups of outputs [*g0, *g1) of chunk `c`. */
static void chunk_groups(const struct moka_conv_train *t, int64_t c, int64_t *g0, int64_t *g1)
{
	const int64_t groups = t->weights.n_groups;

	*g0 = moka__part(groups, t->wino.chunks_out, c), *g1 = moka__part(groups, t->wino.chunks_out, c + 1);
}

/* What it takes by one of the algorithms, in multiply-adds at full speed, with what passes through the caches. */
static double cost(const struct moka_conv_train *t, enum moka__wino_form form)
{
	const double in = (double)(t->in_blocks * t->k->block), out = (double)(t->out_blocks * t->k->block);
	const int64_t m = moka__wino_tile(form), size = m + moka__wino_kernel(form) - 1;
	const int64_t tiles = t->d.images * moka__ceil_div(t->out[0], m) * moka__ceil_div(t->out[1], m);
	const double points = (double)(size * size);

	return (double)tiles * points * (in * out * 1.15 + (in + out) * 16) + in * out * points * 6;
}

static bool pays(struct moka_conv_train *t)
{
	const double in = (double)(t->in_blocks * t->k->block), out = (double)(t->out_blocks * t->k->block);
	const double direct = (double)(t->d.images * t->out[0] * t->out[1] * t->taps) * in * out;

	t->wino.form = MOKA__WINO4;
	if (t->d.kernel[0] == 5)
		t->wino.form = MOKA__WINO5;
	else if (cost(t, MOKA__WINO5_3) < 0.97 * cost(t, MOKA__WINO4))
		t->wino.form = MOKA__WINO5_3;
	return cost(t, t->wino.form) < direct;
}

void moka__conv_wino_plan(struct moka_conv_train *t)
{
	struct moka__conv_wino *w = &t->wino;
	const struct moka_conv_train_desc *d = &t->d;
	const int64_t b = t->k->block, most = CHUNK_CHANNELS / b;
	int64_t each, groups = 0;

	if (t->first || (!moka__conv_is_dense(d, 3) && !moka__conv_is_dense(d, 5)))
		return;
	w->used = pays(t);
	w->tile = moka__wino_tile(w->form), w->size = w->tile + d->kernel[0] - 1, w->points = w->size * w->size;
	w->rows = moka__ceil_div(t->out[0], w->tile), w->columns = moka__ceil_div(t->out[1], w->tile);
	w->tiles = d->images * w->rows * w->columns;
	each = w->points * (t->in_blocks + t->out_blocks) * b * (int64_t)sizeof(real);
	w->bands = w->tiles <= ONE_BAND_TILES ? 1 : moka__ceil_div(w->tiles, MOKA_MAX(BAND_BYTES / each, BAND_TILES));
	w->ins = MOKA_MIN(most, t->in_blocks);
	w->chunks_in = moka__ceil_div(t->in_blocks, w->ins);
	groups = MOKA_MAX(most / t->weights.groups[0].blocks, 1);
	w->chunks_out = moka__ceil_div(t->weights.n_groups, groups);
	for (int64_t g = 0; g < t->weights.n_groups; g++)
		w->n_sums += t->in_blocks * w->points * unit_row(t, &t->weights.groups[g]);
}

/* ---- scratch ---------------------------------------------------------------------------------------- */

static int64_t cuts_for(const struct moka_conv_train *t, int threads)
{
	const int64_t chunks = t->wino.chunks_out * t->wino.chunks_in;

	return threads < 2 ? 1 : MOKA_MIN(moka__ceil_div(4 * threads, chunks), t->wino.points);
}

static bool once(const struct moka_conv_train *t, int threads)
{
	return t->wino.bands == 1 && cuts_for(t, threads) == 1;
}

static size_t v_bytes(const struct moka_conv_train *t)
{
	return moka__lines((size_t)(t->wino.points *
				    (plane(t, t->in_blocks, band_tiles(t)) + plane(t, t->out_blocks, band_tiles(t)))) *
			   sizeof(real));
}

static size_t slot_bytes(const struct moka_conv_train *t, int threads)
{
	const int64_t b = t->k->block, turned = (t->taps + 1) * b * b;
	int64_t sums = 0, most = 0;

	for (int64_t c = 0; once(t, threads) && c < t->wino.chunks_out; c++) {
		int64_t g0, g1;
		chunk_groups(t, c, &g0, &g1);
		for (sums = 0; g0 < g1; g0++)
			sums += t->wino.ins * t->wino.points * unit_row(t, &t->weights.groups[g0]);
		most = MOKA_MAX(most, sums);
	}
	return moka__lines((size_t)(most + turned) * sizeof(real));
}

static size_t sums_bytes(const struct moka_conv_train *t, int threads)
{
	return moka__lines(once(t, threads) ? 0 : (size_t)t->wino.n_sums * sizeof(real));
}

size_t moka__conv_wino_scratch(const struct moka_conv_train *t, int threads)
{
	return v_bytes(t) + sums_bytes(t, threads) + (size_t)threads * slot_bytes(t, threads);
}

/* ---- the three steps -------------------------------------------------------------------------------- */

/* One block of x, or (behind them) of dy: V of the band's tiles. */
static void in_item(void *arg, int64_t item, int slot)
{
	const struct wino *f = arg;
	const struct moka_conv_train *t = f->t;
	const bool of_x = item < t->in_blocks;
	const struct moka_tensor *from = of_x ? f->x : f->dy;
	const int64_t b = t->k->block, size = of_x ? t->wino.size : t->wino.tile,
		      block = of_x ? item : item - t->in_blocks;
	const int64_t pad[2] = { of_x ? t->d.pad[0] : 0, of_x ? t->d.pad[1] : 0 },
		      of_image = t->wino.rows * t->wino.columns;
	real *v = (of_x ? f->vx : f->vy) + block * f->n * b;

	(void)slot;
	for (int64_t i = f->t0; i < f->t0 + f->n; i++, v += b) {
		const int64_t y = i % of_image / t->wino.columns * t->wino.tile - pad[0],
			      x = i % t->wino.columns * t->wino.tile - pad[1];
		const real *at =
			from->data + i / of_image * from->image_stride + block * from->height * from->width * b;
		const bool whole = y >= 0 && x >= 0 && y + size <= from->height && x + size <= from->width;
		struct moka__wino_rows e;

		if (whole && of_x) {
			t->k->wino_in[size - 6](at + (y * from->width + x) * b, from->width * b, v, f->plane_x);
		} else if (whole) {
			t->k->wino_gradient[t->wino.form](at + (y * from->width + x) * b, from->width * b, v,
							  f->plane_y);
		} else {
			moka__wino_cut(at, from->height, from->width, b, y, x, size, &e);
			if (of_x)
				t->k->wino_edge[size - 6](e.rows, e.c0, e.c1, v, f->plane_x);
			else
				t->k->wino_gradient_edge[t->wino.form](e.rows, e.c0, e.c1, v, f->plane_y);
		}
	}
}

/* The finished sums of a group by a block of inputs: turned, to dw. box: room for B * (taps + 1) * B values. */
static void finish_unit(const struct wino *f, const struct moka__conv_group *g, int64_t i, const real *m, real *box)
{
	const struct moka_conv_train *t = f->t;
	const int64_t b = t->k->block, row = unit_row(t, g), channels = MOKA_MIN(b, t->d.channels - i * b),
		      n = channels * t->taps;
	const real *rows[16];

	for (int64_t v = 0; v < g->blocks; v++) {
		for (int64_t c = 0; c < channels; c++)
			t->k->wino_turn[t->wino.form](m + (c * g->blocks + v) * b, row, box + c * t->taps * b);
		for (int64_t at = 0; at < n; at += b) {
			for (int64_t k = 0; k < b; k++)
				rows[k] = box + (at + k) * b;
			moka__conv_add_rows(t, f->dw, rows, MOKA_MIN(b, n - at), g->block + v, i * b * t->taps + at,
					    box + t->taps * b * b);
		}
	}
}

/* Sums of one point: a group by a block of inputs. */
static void multiply(const struct wino *f, const struct moka__conv_group *g, int64_t i, int64_t point, real *m)
{
	const struct moka_conv_train *t = f->t;
	const int64_t b = t->k->block, rows = t->k->weights_rows[g->blocks - 1];
	struct moka__weights_tile w = { .x = f->vx + point * f->plane_x + i * f->n * b,
					.x_place = b,
					.dy = f->vy + point * f->plane_y + g->block * f->n * b,
					.y_block = f->n * b,
					.images = 1,
					.rows = 1,
					.places = f->n,
					.dw = m + point * unit_row(t, g),
					.first = f->first };

	/* spare lanes of x are not multiplied */
	for (int64_t c = 0; c < MOKA_MIN(b, t->d.channels - i * b);
	     c += rows, w.x += rows, w.dw += rows * g->blocks * b)
		t->k->weights[g->blocks - 1](&w);
}

static real *unit_at(const struct wino *f, int64_t group, int64_t i, real *m, int64_t g0, int64_t i0, int64_t ins)
{
	for (int64_t g = g0; g < group; g++)
		m += ins * f->t->wino.points * unit_row(f->t, &f->t->weights.groups[g]);
	return m + (i - i0) * f->t->wino.points * unit_row(f->t, &f->t->weights.groups[group]);
}

static void chunk_item(void *arg, int64_t item, int slot)
{
	const struct wino *f = arg;
	const struct moka_conv_train *t = f->t;
	const struct moka__conv_wino *w = &t->wino;
	const int64_t chunk = item / f->cuts, cut = item % f->cuts;
	const int64_t i0 = moka__part(t->in_blocks, w->chunks_in, chunk % w->chunks_in),
		      i1 = moka__part(t->in_blocks, w->chunks_in, chunk % w->chunks_in + 1);
	const int64_t b = t->k->block;
	real *box = (real *)(f->slots + (size_t)slot * f->slot_bytes), *own = box + (t->taps + 1) * b * b;
	int64_t g0, g1;

	chunk_groups(t, chunk / w->chunks_in, &g0, &g1);
	for (int64_t p = moka__part(w->points, f->cuts, cut); p < moka__part(w->points, f->cuts, cut + 1); p++)
		for (int64_t g = g0; g < g1; g++)
			for (int64_t i = i0; i < i1; i++)
				multiply(f, &t->weights.groups[g], i, p,
					 f->once ? unit_at(f, g, i, own, g0, i0, i1 - i0)
						 : unit_at(f, g, i, f->m, 0, 0, t->in_blocks));
	for (int64_t g = g0; f->once && g < g1; g++)
		for (int64_t i = i0; i < i1; i++)
			finish_unit(f, &t->weights.groups[g], i, unit_at(f, g, i, own, g0, i0, i1 - i0), box);
}

static void finish_item(void *arg, int64_t item, int slot)
{
	const struct wino *f = arg;
	const struct moka_conv_train *t = f->t;
	const int64_t g = item / t->in_blocks, i = item % t->in_blocks;

	finish_unit(f, &t->weights.groups[g], i, unit_at(f, g, i, f->m, 0, 0, t->in_blocks),
		    (real *)(f->slots + (size_t)slot * f->slot_bytes));
}

static void bias_item(void *arg, int64_t item, int slot)
{
	const struct wino *f = arg;
	const struct moka_conv_train *t = f->t;
	const int64_t b = t->k->block, area = t->out[0] * t->out[1];
	_Alignas(64) real sum[16] = { 0 };

	(void)slot;
	for (int64_t n = 0; n < t->d.images; n++)
		t->k->sum_places(area, f->dy->data + n * f->dy->image_stride + item * area * b, sum);
	for (int64_t o = item * b; o < MOKA_MIN(item * b + b, t->d.outputs); o++)
		f->db[o] += sum[o - item * b];
}

void moka__conv_wino_run(const struct moka_conv_train *t, struct moka_pool *pool, const struct moka_tensor *x,
			 const struct moka_tensor *dy, real *dw, real *db, char *scratch)
{
	const struct moka__conv_wino *w = &t->wino;
	const int threads = moka_pool_threads(pool);
	struct wino f = { .t = t, .x = x, .dy = dy, .dw = dw, .db = db, .cuts = cuts_for(t, threads) };

	f.once = once(t, threads);
	f.vx = (real *)scratch;
	f.m = (real *)(scratch + v_bytes(t));
	f.slots = (char *)f.m + sums_bytes(t, threads);
	f.slot_bytes = slot_bytes(t, threads);
	for (int64_t k = 0; dw && k < w->bands; k++) {
		f.t0 = moka__part(w->tiles, w->bands, k), f.n = moka__part(w->tiles, w->bands, k + 1) - f.t0;
		f.first = k == 0;
		f.plane_x = plane(t, t->in_blocks, f.n), f.plane_y = plane(t, t->out_blocks, f.n);
		f.vy = f.vx + w->points * f.plane_x;
		moka__deal(pool, t->in_blocks + t->out_blocks, in_item, &f);
		moka__deal(pool, w->chunks_out * w->chunks_in * f.cuts, chunk_item, &f);
	}
	if (dw && !f.once)
		moka__deal(pool, t->weights.n_groups * t->in_blocks, finish_item, &f);
	if (db)
		moka__deal(pool, t->out_blocks, bias_item, &f);
}
