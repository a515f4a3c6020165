/*
 * conv_first.c - a net's first convolution: from a plain image of few channels to a blocked one.
 *
 * A piece of work is some rows of outputs. What they see is copied with its padding into a strip of the thread's own, in
 * which a place's window is `steps` away from its corner: the same for every place.
 */
#include "conv_op.h"

#include <stdlib.h>
#include <string.h>

#define STRIP_PLACES 128
#define WORTH_A_THREAD 1000000

bool moka__conv_plan_first(struct moka_conv_op *op)
{
	const struct moka_conv_desc *d = &op->d;
	int64_t *s;

	op->strip_rows = MOKA_MAX(1, MOKA_MIN(op->out[0], STRIP_PLACES / op->out[1]));
	op->strip_lines = (op->strip_rows - 1) * d->stride[0] + (d->kernel[0] - 1) * d->dilation[0] + 1;
	op->strip_width = (op->out[1] - 1) * d->stride[1] + (d->kernel[1] - 1) * d->dilation[1] + 1;
	op->steps = s = malloc((size_t)(d->channels * d->kernel[0] * d->kernel[1]) * sizeof(*s));
	if (!s)
		return false;
	for (int64_t c = 0; c < d->channels; c++)
		for (int64_t i = 0; i < d->kernel[0]; i++)
			for (int64_t k = 0; k < d->kernel[1]; k++)
				*s++ = (c * op->strip_lines + i * d->dilation[0]) * op->strip_width +
				       k * d->dilation[1];
	return true;
}

size_t moka__conv_first_strip(const struct moka_conv_op *op)
{
	return moka__lines((size_t)(op->d.channels * op->strip_lines * op->strip_width) * sizeof(real));
}

size_t moka__conv_scratch_first(const struct moka_conv_op *op, int threads)
{
	return (size_t)threads * moka__conv_first_strip(op);
}

static void fill_line(const struct moka_conv_desc *d, const real *row, int64_t width, real *to)
{
	const int64_t from = MOKA_MIN(d->pad[1], width), end = MOKA_MAX(from, MOKA_MIN(width, d->pad[1] + d->width));

	for (int64_t i = 0; i < from; i++)
		to[i] = 0;
	memcpy(to + from, row, (size_t)(end - from) * sizeof(real));
	for (int64_t i = end; i < width; i++)
		to[i] = 0;
}

void moka__conv_fill_strip(const struct moka_conv_op *op, const struct moka_tensor *image, int64_t n, int64_t oy,
			   real *to)
{
	const int64_t y0 = oy * op->d.stride[0] - op->d.pad[0], w = op->strip_width;

	for (int64_t c = 0; c < op->d.channels; c++) {
		const real *x = image->data + n * image->image_stride + c * op->d.height * op->d.width;
		for (int64_t l = 0; l < op->strip_lines; l++, to += w)
			if (y0 + l >= 0 && y0 + l < op->d.height)
				fill_line(&op->d, x + (y0 + l) * op->d.width, w, to);
			else
				memset(to, 0, (size_t)w * sizeof(real));
	}
}

/* Tables of a tile, and where in the strip the next one begins: counted on, since divisions take longer than a tile's sums. */
struct tables {
	int64_t off[MOKA__PLACES], y_off[MOKA__PLACES], r_off[MOKA__PLACES];
	int64_t row, column;
};

/* The next n places of the strip; the first one's result lies at y, its residual at z. */
static void fill_tables(const struct moka_conv_op *op, int n, int64_t y, int64_t z, struct tables *t)
{
	for (int i = 0; i < n; i++) {
		t->off[i] = t->row * op->d.stride[0] * op->strip_width + t->column * op->d.stride[1];
		t->y_off[i] = y + i * op->k->block;
		t->r_off[i] = z + i * op->k->block;
		if (++t->column == op->out[1])
			t->column = 0, t->row++;
	}
}

/* Where the results of a strip's places in one group of outputs go, and what is added to them. */
struct place {
	real *y;
	int64_t y_block;
	const real *residual;
};

static void run_tile(const struct moka__conv_run *r, const real *strip, const struct tables *at, int n,
		     const struct moka__conv_group *g, const struct place *to)
{
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block;
	struct moka__conv_tile t = {
		.x = strip,
		.off = at->off,
		.taps = op->d.channels * op->d.kernel[0] * op->d.kernel[1],
		.w = r->weights + g->weights,
		.y = to->y,
		.y_off = at->y_off,
		.y_block = to->y_block,
		.residual = to->residual,
		.r_off = at->r_off,
		.r_block = to->y_block,
		.bias = r->bias + g->block * b,
		.first = true,
		.last = true,
		.act = r->act,
	};

	if (op->slopes)
		t.act.slopes = op->slopes + g->block * b;
	op->k->first[g->blocks - 1][n - 1](&t, op->steps);
}

/* What the next strip will see and this one doesn't: `values` from `at` on in each of `planes` planes, asked for while this one is summed. */
struct ahead {
	const real *at;
	int64_t values, done, plane, planes;
};

static struct ahead ahead_of(const struct moka__conv_run *r, int64_t n, int64_t oy, int64_t rows)
{
	const struct moka_conv_desc *d = &r->op->d;
	const int64_t seen = oy * d->stride[0] - d->pad[0] + r->op->strip_lines;
	const int64_t from = MOKA_MIN(MOKA_MAX(seen, 0), d->height),
		      to = MOKA_MAX(MOKA_MIN(seen + rows * d->stride[0], d->height), from);

	return (struct ahead){ .at = r->x->data + n * r->x->image_stride + from * d->width,
			       .values = (to - from) * d->width,
			       .plane = d->height * d->width,
			       .planes = to > from ? d->channels : 0 };
}

static void fetch_ahead(struct ahead *a, int64_t lines)
{
	for (; lines > 0 && a->planes > 0; lines--) {
		__builtin_prefetch(a->at + a->done, 0, 2);
		a->done += 64 / (int64_t)sizeof(real);
		if (a->done >= a->values)
			a->done = 0, a->at += a->plane, a->planes--;
	}
}

static void run_group(const struct moka__conv_run *r, const real *strip, int64_t places,
		      const struct moka__conv_group *g, const struct place *to, struct ahead *ahead)
{
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, tiles = moka__ceil_div(places, op->places), longer = places % tiles;
	struct tables t = { .row = 0, .column = 0 };
	const int64_t lines = ahead->planes * (ahead->values * (int64_t)sizeof(real) / 64 + 1) / tiles + 1;
	int64_t at = 0;

	for (int64_t i = 0; i < tiles; i++) {
		const int tile = (int)(places / tiles + (i < longer));

		fill_tables(op, tile, at * b, at * b, &t);
		fetch_ahead(ahead, lines);
		run_tile(r, strip, &t, tile, g, to);
		at += tile;
	}
}

void moka__conv_first_rows(const struct moka__conv_run *r, int64_t n, int64_t from, int64_t to, real *strip, real *y,
			   int64_t y_block)
{
	const struct moka_conv_op *op = r->op;
	const int64_t row = op->out[1] * op->k->block;

	for (int64_t oy = from; oy < to; oy += op->strip_rows) {
		const int64_t rows = MOKA_MIN(op->strip_rows, to - oy);

		struct ahead ahead = ahead_of(r, n, oy, rows);

		moka__conv_fill_strip(op, r->x, n, oy, strip);
		for (int64_t g = 0; g < op->n_groups; g++) {
			const int64_t block = op->groups[g].block * y_block;
			const struct place p = { y + block + (oy - from) * row, y_block,
						 r->residual ? r->residual->data + n * r->residual->image_stride +
								       block + oy * row
							     : NULL };

			run_group(r, strip, rows * op->out[1], &op->groups[g], &p, &ahead);
		}
	}
}

static void first_item(void *arg, int64_t item, int slot)
{
	const struct moka__conv_run *r = arg;
	const struct moka_conv_op *op = r->op;
	const int64_t strips = moka__ceil_div(op->out[0], op->strip_rows), n = item / strips;
	const int64_t oy = item % strips * op->strip_rows, row = op->out[1] * op->k->block;
	real *strip = (real *)(r->scratch + (size_t)slot * moka__conv_first_strip(op));

	moka__conv_first_rows(r, n, oy, MOKA_MIN(oy + op->strip_rows, op->out[0]), strip,
			      r->y->data + n * r->y->image_stride + oy * row, op->out[0] * row);
}

void moka__conv_run_first(const struct moka__conv_run *r)
{
	const struct moka_conv_op *op = r->op;
	const bool alone = moka__conv_work(&op->d, op->out) < WORTH_A_THREAD;
	struct moka__conv_run run = *r;

	moka__deal(alone ? NULL : r->pool, op->d.images * moka__ceil_div(op->out[0], op->strip_rows), first_item, &run);
}
