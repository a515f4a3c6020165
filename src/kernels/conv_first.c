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

static size_t slot_bytes(const struct moka_conv_op *op)
{
	return moka__lines((size_t)(op->d.channels * op->strip_lines * op->strip_width) * sizeof(real));
}

size_t moka__conv_scratch_first(const struct moka_conv_op *op, int threads)
{
	return (size_t)threads * slot_bytes(op);
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

static void run_tile(const struct moka__conv_run *r, const real *strip, const struct tables *at, int n,
		     const struct moka__conv_group *g)
{
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, area = op->out[0] * op->out[1];
	struct moka__conv_tile t = {
		.x = strip,
		.off = at->off,
		.taps = op->d.channels * op->d.kernel[0] * op->d.kernel[1],
		.w = r->weights + g->weights,
		.y = r->y->data + g->block * area * b,
		.y_off = at->y_off,
		.y_block = area * b,
		.residual = r->residual ? r->residual->data + g->block * area * b : NULL,
		.r_off = at->r_off,
		.r_block = area * b,
		.bias = r->bias + g->block * b,
		.first = true,
		.last = true,
		.act = r->act,
	};

	if (op->slopes)
		t.act.slopes = op->slopes + g->block * b;
	op->k->first[g->blocks - 1][n - 1](&t, op->steps);
}

/* Places [at, at + places) of image n, which the strip is about. */
static void run_group(const struct moka__conv_run *r, const real *strip, int64_t n, int64_t at, int64_t places,
		      const struct moka__conv_group *g)
{
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, tiles = moka__ceil_div(places, op->places), longer = places % tiles;
	const int64_t y = n * r->y->image_stride, z = r->residual ? n * r->residual->image_stride : 0;
	struct tables t = { .row = 0, .column = 0 };

	for (int64_t i = 0; i < tiles; i++) {
		const int tile = (int)(places / tiles + (i < longer));

		fill_tables(op, tile, y + at * b, z + at * b, &t);
		run_tile(r, strip, &t, tile, g);
		at += tile;
	}
}

static void first_item(void *arg, int64_t item, int slot)
{
	const struct moka__conv_run *r = arg;
	const struct moka_conv_op *op = r->op;
	const int64_t strips = moka__ceil_div(op->out[0], op->strip_rows), n = item / strips;
	const int64_t oy = item % strips * op->strip_rows, rows = MOKA_MIN(op->strip_rows, op->out[0] - oy);
	real *strip = (real *)(r->scratch + (size_t)slot * slot_bytes(op));

	moka__conv_fill_strip(op, r->x, n, oy, strip);
	for (int64_t g = 0; g < op->n_groups; g++)
		run_group(r, strip, n, oy * op->out[1], rows * op->out[1], &op->groups[g]);
}

void moka__conv_run_first(const struct moka__conv_run *r)
{
	const struct moka_conv_op *op = r->op;
	const bool alone = moka__conv_work(&op->d, op->out) < WORTH_A_THREAD;
	struct moka__conv_run run = *r;

	moka__deal(alone ? NULL : r->pool, op->d.images * moka__ceil_div(op->out[0], op->strip_rows), first_item, &run);
}
