/*
 * conv_train_weights.c - the gradient of a convolution's weights and bias over blocked images.
 *
 *     for each piece of the places (sums of its own)
 *         for each band of places                  few enough that what follows stays in the caches
 *             for each chunk of input blocks
 *                 for each group of output blocks, each input block, each tap:   kernel, over the band
 *
 * A tap sees a rectangle of a band's places, so padding is nowhere. Sums are kept packed; in the end pieces are added in
 * order, transposed and added to dw. Where one band is all, they never leave the first caches. Threads share the pieces, and within a
 * piece the outputs (then the inputs): no sum depends on how many they are.
 *
 * Plain images of few channels are read by (channel, tap) steps from a padded strip, as in conv_first.c: a strip is a band.
 */
#include "conv_train_plan.h"

#include <stdlib.h>
#include <string.h>

/* Sums that stay near whatever else passes. */
#define FEW_WEIGHTS ((int64_t)64 * 1024)
/* What x and dy of a band may take, where sums are few (short bands were slower: each begins anew to read ahead); places of a band where
 * sums are many and pass by once a band. */
#define BAND_BYTES ((int64_t)1024 * 1024)
#define BAND_PLACES 768
#define CHUNK_BYTES ((int64_t)256 * 1024)
#define PIECES 8
/* Places that are worth sums of their own; fewer where threads have nothing else to share. */
#define PIECE_PLACES 1024
#define STEPS_PLACES 256

/* ---- the plan --------------------------------------------------------------------------------------- */

static bool plan_groups(struct moka_conv_train *t)
{
	struct moka__conv_weights *w = &t->weights;
	const int64_t b = t->k->block, most = t->k->weights_rows[2] ? 3 : 2;

	w->groups = calloc((size_t)t->out_blocks, sizeof(*w->groups));
	if (!w->groups)
		return false;
	for (int64_t done = 0; done < t->out_blocks;) {
		int64_t n = MOKA_MIN(most, t->out_blocks - done);

		/* two and two rather than three and one */
		if (t->out_blocks - done == 4 && most == 3)
			n = 2;
		w->groups[w->n_groups++] = (struct moka__conv_group){ done, n, 0, t->in_blocks, w->n_weights };
		w->n_weights += (t->first ? w->steps : t->in_blocks * t->taps * b) * n * b;
		done += n;
	}
	return true;
}

static void plan_bands(struct moka_conv_train *t)
{
	struct moka__conv_weights *w = &t->weights;
	const struct moka_conv_train_desc *d = &t->d;
	const int64_t b = t->k->block, area = t->out[0] * t->out[1], places = d->images * area;
	const int64_t spread = MOKA_MIN(d->kernel[0], d->stride[0]) * MOKA_MIN(d->kernel[1], d->stride[1]);
	const int64_t each = (t->in_blocks * spread + t->out_blocks) * b * (int64_t)sizeof(real);
	const int64_t wanted =
		w->n_weights > FEW_WEIGHTS
			? 1
			: MOKA_MAX(MOKA_MIN(PIECES, places / (t->first ? STEPS_PLACES : PIECE_PLACES)), 1);
	int64_t most = MOKA_MAX(BAND_BYTES / each, 64), band;

	most = MOKA_MIN(most, moka__ceil_div(places, wanted));
	if (w->n_weights > FEW_WEIGHTS)
		most = MOKA_MAX(most, BAND_PLACES);
	if (most >= area) {
		w->image_bands = moka__ceil_div(d->images, most / area);
		w->row_bands = 1;
	} else {
		w->image_bands = d->images;
		w->row_bands = moka__ceil_div(t->out[0], MOKA_MAX(most / t->out[1], 1));
	}
	w->band_images = moka__ceil_div(d->images, w->image_bands);
	w->band_rows = moka__ceil_div(t->out[0], w->row_bands);
	band = w->band_images * w->band_rows * t->out[1];
	w->chunk = MOKA_MAX(CHUNK_BYTES / (band * spread * b * (int64_t)sizeof(real)), 1);
	if (t->first) {
		w->image_bands = d->images;
		w->row_bands = moka__ceil_div(t->out[0], t->forward.op->strip_rows);
	}
	w->pieces = MOKA_MIN(wanted, w->image_bands * w->row_bands);
}

bool moka__conv_weights_plan(struct moka_conv_train *t)
{
	const int64_t n = t->k->weights_rows[0];

	if (t->first)
		t->weights.steps = moka__ceil_div(t->d.channels * t->taps, n) * n;
	if (!plan_groups(t))
		return false;
	plan_bands(t);
	moka__conv_wino_plan(t);
	return true;
}

/* ---- one pass --------------------------------------------------------------------------------------- */

struct pass {
	const struct moka_conv_train *t;
	const struct moka_tensor *x, *dy;
	real *dw, *db;
	int64_t parts_out, parts_in; /* of a piece */
	bool once;		     /* one band is all: no sums are kept */
	real *sums;		     /* (pieces, n_weights) */
	real *bias;		     /* (pieces, out blocks, B) */
	char *slots;
	size_t slot_bytes;
};

/* Places that are worked on at a time, and the units of it: groups [g0, g1) by blocks [i0, i1) of inputs. */
struct band {
	int64_t n0, n1, r0, r1;
	int64_t g0, g1, i0, i1;
	bool first;
	real *sums;
};

static int64_t unit_values(const struct moka_conv_train *t, const struct moka__conv_group *g)
{
	return t->taps * t->k->block * g->blocks * t->k->block;
}

static size_t slot_bytes(const struct moka_conv_train *t)
{
	const int64_t b = t->k->block, unit = t->taps * b * 3 * b;
	const struct moka_conv_op *op = t->forward.op;
	const int64_t strip = t->first ? op->d.channels * op->strip_lines * op->strip_width : 0;
	const int64_t steps = t->first ? t->weights.steps : 0;

	return moka__lines((size_t)(MOKA_MAX(unit, strip) + b * b) * sizeof(real) + (size_t)steps * sizeof(int64_t));
}

static bool once(const struct moka__conv_weights *w)
{
	return w->pieces == 1 && w->image_bands * w->row_bands == 1;
}

static size_t sums_bytes(const struct moka_conv_train *t)
{
	const struct moka__conv_weights *w = &t->weights;

	return moka__lines((size_t)(once(w) && !t->first ? 0 : w->pieces * w->n_weights) * sizeof(real));
}

static size_t bias_bytes(const struct moka_conv_train *t)
{
	return moka__lines((size_t)(t->weights.pieces * t->out_blocks * t->k->block) * sizeof(real));
}

size_t moka__conv_weights_scratch(const struct moka_conv_train *t, int threads)
{
	if (t->wino.used)
		return moka__conv_wino_scratch(t, threads);
	return sums_bytes(t) + bias_bytes(t) + (size_t)threads * slot_bytes(t);
}

void moka__conv_add_rows(const struct moka_conv_train *t, real *dw, const real *const *rows, int64_t n, int64_t block,
			 int64_t at, real *box)
{
	const int64_t b = t->k->block, pitch = t->d.channels * t->taps, o0 = block * b;
	const int64_t outs = MOKA_MIN(b, t->d.outputs - o0);
	real *out[16];

	if (n == b && outs == b) {
		for (int64_t o = 0; o < b; o++)
			out[o] = dw + (o0 + o) * pitch + at;
		t->k->transpose(rows, out, true);
		return;
	}
	for (int64_t o = 0; o < b; o++)
		out[o] = box + o * b;
	t->k->transpose(rows, out, false);
	for (int64_t o = 0; o < outs; o++)
		for (int64_t i = 0; i < n; i++)
			dw[(o0 + o) * pitch + at + i] += box[o * b + i];
}

/* The finished sums of a group by an input block, to dw. */
static void finish_unit(const struct pass *p, const struct moka__conv_group *g, int64_t i, const real *sums, real *box)
{
	const struct moka_conv_train *t = p->t;
	const int64_t b = t->k->block, row = g->blocks * b;
	const int64_t n = MOKA_MIN(b, t->d.channels - i * b) * t->taps;

	for (int64_t v = 0; v < g->blocks; v++) {
		int64_t c = 0, tap = 0;
		for (int64_t at = 0; at < n; at += b) {
			const real *rows[16];
			for (int64_t k = 0; k < b; k++) {
				rows[k] = sums + (tap * b + c) * row + v * b;
				if (++tap == t->taps)
					tap = 0, c++;
			}
			moka__conv_add_rows(t, p->dw, rows, MOKA_MIN(b, n - at), g->block + v, i * b * t->taps + at,
					    box);
		}
	}
}

/* Outputs [*from, *to) of a band whose tap `tap` of an axis lies inside. */
static void inside(const struct moka_conv_train_desc *d, int axis, int64_t tap, int64_t size, int64_t *from,
		   int64_t *to)
{
	const int64_t s = d->stride[axis], far = tap * d->dilation[axis] - d->pad[axis];
	const int64_t lo = far >= 0 ? 0 : moka__ceil_div(-far, s), hi = far < size ? (size - 1 - far) / s + 1 : 0;

	*from = MOKA_MAX(*from, lo);
	*to = MOKA_MAX(MOKA_MIN(*to, hi), *from);
}

/* Blocks of dy that the next group will want: each run of the kernel asks for one. */
struct later {
	int64_t block, end;
};

/* ahead: the next block of inputs is asked for too. */
static void run_tap(const struct pass *p, const struct band *at, const struct moka__conv_group *g, int64_t i,
		    int64_t tap, bool ahead, struct later *later, real *sums)
{
	const struct moka_conv_train *t = p->t;
	const struct moka_conv_train_desc *d = &t->d;
	const int64_t b = t->k->block, ky = tap / d->kernel[1], kx = tap % d->kernel[1],
		      n = t->k->weights_rows[g->blocks - 1];
	int64_t r0 = at->r0, r1 = at->r1, c0 = 0, c1 = t->out[1], y, x;
	struct moka__weights_tile w = { .first = at->first };

	inside(d, 0, ky, d->height, &r0, &r1);
	inside(d, 1, kx, d->width, &c0, &c1);
	y = r0 * d->stride[0] + ky * d->dilation[0] - d->pad[0];
	x = c0 * d->stride[1] + kx * d->dilation[1] - d->pad[1];
	w.images = c1 > c0 ? at->n1 - at->n0 : 0, w.rows = r1 - r0, w.places = c1 - c0;
	w.x_image = p->x->image_stride, w.x_row = d->stride[0] * d->width * b, w.x_place = d->stride[1] * b;
	w.y_image = p->dy->image_stride, w.y_row = t->out[1] * b, w.y_block = t->out[0] * t->out[1] * b;
	w.dy = p->dy->data + at->n0 * w.y_image + g->block * w.y_block + (r0 * t->out[1] + c0) * b;
	w.x = p->x->data + at->n0 * w.x_image + (i * d->height * d->width + y * d->width + x) * b;
	if (w.x_row == w.places * w.x_place && w.y_row == w.places * b)
		w.places *= w.rows, w.rows = MOKA_MIN(w.rows, 1);
	for (int64_t c = 0; c < b; c += n) {
		w.ahead = ahead && c + n == b ? d->height * d->width * b : 0;
		w.y_ahead = later->block < later->end ? (later->block++ - g->block) * w.y_block : 0;
		w.dw = sums + (tap * b + c) * g->blocks * b;
		t->k->weights[g->blocks - 1](&w);
		w.x += n;
	}
}

static void sum_bias(const struct pass *p, const struct band *at, const struct moka__conv_group *g, int64_t piece)
{
	const struct moka_conv_train *t = p->t;
	const int64_t b = t->k->block, width = t->out[1];

	for (int64_t v = g->block; v < g->block + g->blocks; v++) {
		real *sum = p->bias + (piece * t->out_blocks + v) * b;
		if (at->first)
			memset(sum, 0, (size_t)b * sizeof(real));
		for (int64_t n = at->n0; n < at->n1; n++)
			t->k->sum_places((at->r1 - at->r0) * width,
					 p->dy->data + n * p->dy->image_stride + (v * t->out[0] + at->r0) * width * b,
					 sum);
	}
}

static void run_band(const struct pass *p, const struct band *at, int64_t piece, real *unit)
{
	const struct moka_conv_train *t = p->t;
	const int64_t b = t->k->block;

	for (int64_t i0 = at->i0; i0 < at->i1; i0 += t->weights.chunk)
		for (int64_t n = at->g0; n < at->g1; n++) {
			const struct moka__conv_group *g = &t->weights.groups[n];
			const int64_t values = unit_values(t, g), end = g->block + g->blocks;
			struct later later = { end,
					       n + 1 < at->g1 && at->i1 <= t->weights.chunk ? end + g[1].blocks : end };

			for (int64_t i = i0; i < MOKA_MIN(i0 + t->weights.chunk, at->i1); i++) {
				real *sums = p->once ? unit : at->sums + g->weights + i * values;
				if (i == 0 && p->db)
					sum_bias(p, at, g, piece);
				for (int64_t tap = 0; p->dw && tap < t->taps; tap++)
					run_tap(p, at, g, i, tap, n == at->g0 && tap == t->taps - 1, &later, sums);
				if (p->once && p->dw)
					finish_unit(p, g, i, sums, unit + t->taps * b * 3 * b);
			}
		}
}

static void piece_item(void *arg, int64_t item, int slot)
{
	const struct pass *p = arg;
	const struct moka__conv_weights *w = &p->t->weights;
	const int64_t parts = p->parts_out * p->parts_in, piece = item / parts, part = item % parts;
	const int64_t po = part / p->parts_in, pi = part % p->parts_in, bands = w->image_bands * w->row_bands;
	const int64_t ins = p->t->in_blocks, b0 = moka__part(bands, w->pieces, piece);
	struct band at = { .g0 = moka__part(w->n_groups, p->parts_out, po),
			   .g1 = moka__part(w->n_groups, p->parts_out, po + 1),
			   .i0 = moka__part(ins, p->parts_in, pi),
			   .i1 = moka__part(ins, p->parts_in, pi + 1),
			   .sums = p->sums + piece * w->n_weights };

	for (int64_t k = b0; k < moka__part(bands, w->pieces, piece + 1); k++) {
		const int64_t image = k / w->row_bands, row = k % w->row_bands;
		at.first = k == b0;
		at.n0 = moka__part(p->t->d.images, w->image_bands, image);
		at.n1 = moka__part(p->t->d.images, w->image_bands, image + 1);
		at.r0 = moka__part(p->t->out[0], w->row_bands, row);
		at.r1 = moka__part(p->t->out[0], w->row_bands, row + 1);
		run_band(p, &at, piece, (real *)(p->slots + (size_t)slot * p->slot_bytes));
	}
}

/* ---- from plain images ------------------------------------------------------------------------------ */

static void strip_item(void *arg, int64_t item, int slot)
{
	const struct pass *p = arg;
	const struct moka_conv_train *t = p->t;
	const struct moka__conv_weights *w = &t->weights;
	const struct moka_conv_op *op = t->forward.op;
	const int64_t b = t->k->block, bands = w->image_bands * w->row_bands, pairs = t->d.channels * t->taps;
	const int64_t b0 = moka__part(bands, w->pieces, item);
	int64_t *steps = (int64_t *)(p->slots + (size_t)slot * p->slot_bytes);
	real *strip = (real *)(steps + w->steps);

	for (int64_t i = 0; i < w->steps; i++)
		steps[i] = op->steps[MOKA_MIN(i, pairs - 1)];
	for (int64_t k = b0; k < moka__part(bands, w->pieces, item + 1); k++) {
		struct band at = { .n0 = k / w->row_bands, .r0 = k % w->row_bands * op->strip_rows, .first = k == b0 };
		struct moka__weights_tile tile = { .x = strip, .images = 1, .places = t->out[1], .first = at.first };

		at.n1 = at.n0 + 1, at.r1 = MOKA_MIN(at.r0 + op->strip_rows, t->out[0]);
		tile.rows = at.r1 - at.r0;
		tile.x_row = t->d.stride[0] * op->strip_width, tile.x_place = t->d.stride[1];
		tile.y_row = t->out[1] * b, tile.y_block = t->out[0] * t->out[1] * b;
		moka__conv_fill_strip(op, p->x, at.n0, at.r0, strip);
		for (int64_t j = 0; j < w->n_groups; j++) {
			const struct moka__conv_group *g = &w->groups[j];
			const int64_t n = t->k->weights_rows[g->blocks - 1];
			if (p->db)
				sum_bias(p, &at, g, item);
			tile.dy = p->dy->data + at.n0 * p->dy->image_stride + g->block * tile.y_block +
				  at.r0 * tile.y_row;
			for (int64_t i = 0; p->dw && i < pairs; i += n) {
				tile.dw = p->sums + item * w->n_weights + g->weights + i * g->blocks * b;
				t->k->weights_first[g->blocks - 1](&tile, steps + i);
			}
		}
	}
}

/* ---- the end ---------------------------------------------------------------------------------------- */

/* One group: its pieces' sums in order, to dw. */
static void finish_item(void *arg, int64_t item, int slot)
{
	const struct pass *p = arg;
	const struct moka_conv_train *t = p->t;
	const struct moka__conv_weights *w = &t->weights;
	const int64_t ins = t->first ? 1 : t->in_blocks, b = t->k->block;
	const struct moka__conv_group *g = &w->groups[item / ins];
	const int64_t i = item % ins, values = t->first ? w->steps * g->blocks * b : unit_values(t, g);
	const int64_t pairs = t->d.channels * t->taps;
	real *sums = p->sums + g->weights + i * values;
	real *box = (real *)(p->slots + (size_t)slot * p->slot_bytes);

	for (int64_t k = 1; k < w->pieces; k++)
		moka_axpy(values, 1, sums + k * w->n_weights, sums);
	if (!t->first) {
		finish_unit(p, g, i, sums, box);
		return;
	}
	for (int64_t v = 0; v < g->blocks; v++)
		for (int64_t at = 0; at < pairs; at += b) {
			const real *rows[16];
			for (int64_t k = 0; k < b; k++)
				rows[k] = sums + MOKA_MIN(at + k, w->steps - 1) * g->blocks * b + v * b;
			moka__conv_add_rows(t, p->dw, rows, MOKA_MIN(b, pairs - at), g->block + v, at, box);
		}
}

static void finish_bias(const struct pass *p)
{
	const struct moka_conv_train *t = p->t;
	const int64_t whole = t->out_blocks * t->k->block;

	for (int64_t o = 0; o < t->d.outputs; o++) {
		real sum = 0;
		for (int64_t i = 0; i < t->weights.pieces; i++)
			sum += p->bias[i * whole + o];
		p->db[o] += sum;
	}
}

void moka__conv_weights_run(const struct moka_conv_train *t, struct moka_pool *pool, const struct moka_tensor *x,
			    const struct moka_tensor *dy, real *dw, real *db, char *scratch)
{
	const struct moka__conv_weights *w = &t->weights;
	const int64_t threads = moka_pool_threads(pool), ins = t->in_blocks;
	struct pass p = { .t = t, .x = x, .dy = dy, .dw = dw, .db = db, .parts_out = 1, .parts_in = 1 };

	if (t->wino.used) {
		moka__conv_wino_run(t, pool, x, dy, dw, db, scratch);
		return;
	}
	p.once = once(w) && !t->first;
	p.sums = (real *)scratch;
	p.bias = (real *)(scratch + sums_bytes(t));
	p.slots = scratch + sums_bytes(t) + bias_bytes(t);
	p.slot_bytes = slot_bytes(t);
	if (t->first) {
		moka__deal(pool, w->pieces, strip_item, &p);
	} else {
		const int64_t parts = threads > 1 ? moka__ceil_div(4 * threads, w->pieces) : 1;
		if (w->pieces < 2 * threads) {
			p.parts_out = MOKA_MIN(parts, w->n_groups);
			p.parts_in = MOKA_MIN(moka__ceil_div(parts, p.parts_out), ins);
		}
		moka__deal(pool, w->pieces * p.parts_out * p.parts_in, piece_item, &p);
	}
	if (dw && !p.once)
		moka__deal(pool, w->n_groups * (t->first ? 1 : ins), finish_item, &p);
	if (db)
		finish_bias(&p);
}
