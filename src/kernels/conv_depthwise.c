/*
 * conv_depthwise.c - every output from one channel: a vector is a whole block of channels.
 *
 * 3x3 at a stride of 1 or 2 has a kernel that makes whole rows. Of any other kernel, places whose window lies inside the image's columns go
 * eight at a time; at the left and right edges one by one, with the part of the window that is there.
 */
#include "conv_op.h"

#include <stdlib.h>

#define WORTH_A_THREAD 400000
#define FAR_PLACES 1024 /* planes so large come from beyond the first cache */

/* The part of a window that lies inside: taps [from, to) of `kernel` from coordinate x0. */
static void inside(int64_t x0, int64_t size, int64_t kernel, int64_t dilation, int64_t *from, int64_t *to)
{
	/* a division takes longer than the sums of a place */
	if (dilation == 1) {
		*from = x0 < 0 ? -x0 : 0;
		*to = x0 >= size ? 0 : MOKA_MIN(kernel, size - x0);
	} else {
		*from = x0 < 0 ? moka__ceil_div(-x0, dilation) : 0;
		*to = x0 >= size ? 0 : MOKA_MIN(kernel, (size - 1 - x0) / dilation + 1);
	}
	*from = MOKA_MIN(*from, kernel);
	*to = MOKA_MAX(*to, *from);
}

/* What the kernel that makes whole rows takes. */
static bool by_rows(const struct moka_conv_desc *d)
{
	return d->kernel[0] == 3 && d->kernel[1] == 3 && d->dilation[0] == 1 && d->dilation[1] == 1 &&
	       d->stride[0] == d->stride[1] && d->stride[0] <= 2 && d->pad[1] <= 1;
}

/* The places of a row, cut once: those whose window is whole go together, the others one by one. */
bool moka__conv_plan_depthwise(struct moka_conv_op *op)
{
	const struct moka_conv_desc *d = &op->d;

	if (by_rows(d)) {
		op->row_tiles = moka__ceil_div(op->out[1], MOKA__PLACES);
		op->places = (int)moka__ceil_div(op->out[1], op->row_tiles);
		op->row_whole = op->out[1] - op->row_tiles * (op->places - 1);
		return true;
	}
	op->pieces = calloc((size_t)op->out[1], sizeof(*op->pieces));
	if (!op->pieces)
		return false;
	for (int64_t x = 0; x < op->out[1]; x++) {
		struct moka__conv_run_of_places p = { x, 0, 0, 1 }, *last = op->pieces + op->n_pieces - 1;

		inside(x * d->stride[1] - d->pad[1], d->width, d->kernel[1], d->dilation[1], &p.c0, &p.c1);
		if (p.c1 - p.c0 == d->kernel[1] && op->n_pieces && last->c1 - last->c0 == d->kernel[1] &&
		    last->n < MOKA__PLACES)
			last->n++;
		else
			op->pieces[op->n_pieces++] = p;
	}
	/* the last two pieces of whole windows share evenly: 8 and 1 would leave the one waiting for its own sums */
	for (int64_t i = 1; i < op->n_pieces; i++) {
		struct moka__conv_run_of_places *a = op->pieces + i - 1, *b = a + 1;
		const int both = a->n + b->n;

		if (a->n == MOKA__PLACES && b->n < MOKA__PLACES && b->c0 == 0 && b->c1 == d->kernel[1]) {
			a->n = both / 2, b->n = both - both / 2;
			b->x = a->x + a->n;
		}
	}
	return true;
}

struct line {
	const struct moka_conv_op *op;
	const real *x; /* the block's plane */
	const real *w;
	struct moka__window win; /* everything that is the same for the whole row */
	real *y;
	const real *residual;
	int64_t y0;
};

static void run_row(struct line *l)
{
	const struct moka_conv_op *op = l->op;
	const struct moka_conv_desc *d = &op->d;
	const int64_t b = op->k->block;
	struct moka__window w = l->win;
	int64_t r0, r1;

	inside(l->y0, d->height, d->kernel[0], d->dilation[0], &r0, &r1);
	for (int64_t i = 0; i < op->n_pieces; i++) {
		const struct moka__conv_run_of_places *p = &op->pieces[i];
		const int64_t x0 = p->x * d->stride[1] - d->pad[1];

		w.columns = p->c1 - p->c0;
		w.rows = w.columns > 0 ? r1 - r0 : 0;
		if (w.rows > 0)
			w.x = l->x + ((l->y0 + r0 * d->dilation[0]) * d->width + x0 + p->c0 * d->dilation[1]) * b;
		w.w = l->w + (r0 * d->kernel[1] + p->c0) * b;
		w.y = l->y + p->x * b;
		w.residual = l->residual ? l->residual + p->x * b : NULL;
		op->k->depthwise[p->n - 1](&w);
	}
}

/* Rows [from, to) of one block of one image. */
struct band {
	const real *x; /* rows of the block's plane from `top` on */
	int64_t top;
	const real *w, *residual; /* planes of the block */
	real *y;
	const real *bias;
	struct moka_act act;
	int64_t from, to;
};

static struct band band_of(const struct moka__conv_run *r, int64_t n, int64_t block)
{
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, plane = block * op->out[0] * op->out[1] * b;
	struct band p = { .w = op->weights + block * op->d.kernel[0] * op->d.kernel[1] * b,
			  .residual = r->residual ? r->residual->data + n * r->residual->image_stride + plane : NULL,
			  .y = r->y->data + n * r->y->image_stride + plane,
			  .bias = op->bias + block * b,
			  .act = r->act };

	if (op->slopes)
		p.act.slopes = op->slopes + block * b;
	return p;
}

static void by_pieces(const struct moka_conv_op *op, const struct band *p)
{
	const int64_t b = op->k->block;
	struct line l = { .op = op, .x = p->x, .w = p->w };

	l.win.x_place = op->d.stride[1] * b;
	l.win.x_row = op->d.dilation[0] * op->d.width * b;
	l.win.x_column = op->d.dilation[1] * b;
	l.win.w_row = op->d.kernel[1] * b;
	l.win.bias = p->bias;
	l.win.act = p->act;
	for (int64_t oy = p->from; oy < p->to; oy++) {
		l.y0 = oy * op->d.stride[0] - op->d.pad[0];
		l.y = p->y + oy * op->out[1] * b;
		l.residual = p->residual ? p->residual + oy * op->out[1] * b : NULL;
		run_row(&l);
	}
}

static void whole_rows(const struct moka_conv_op *op, const struct band *p, bool fetch)
{
	const struct moka__rows rows = { .x = p->x,
					 .top = p->top,
					 .height = op->d.height,
					 .width = op->d.width,
					 .pad = { op->d.pad[0], op->d.pad[1] },
					 .w = p->w,
					 .bias = p->bias,
					 .y = p->y,
					 .residual = p->residual,
					 .out_width = op->out[1],
					 .from = p->from,
					 .to = p->to,
					 .tiles = op->row_tiles,
					 .whole = op->row_whole,
					 .fetch = fetch,
					 .act = p->act };

	op->k->rows[op->d.stride[0] - 1][op->places - 1](&rows);
}

void moka__conv_depthwise_rows(const struct moka__conv_run *r, int64_t n, int64_t block, const real *x, int64_t top,
			       int64_t from, int64_t to)
{
	struct band p = band_of(r, n, block);

	p.x = x, p.top = top, p.from = from, p.to = to;
	whole_rows(r->op, &p, false);
}

struct depthwise {
	const struct moka__conv_run *r;
	int64_t bands;
};

static void depthwise_item(void *arg, int64_t item, int slot)
{
	const struct depthwise *f = arg;
	const struct moka_conv_op *op = f->r->op;
	const int64_t band = item % f->bands, block = item / f->bands % op->out_blocks;
	const int64_t n = item / f->bands / op->out_blocks, area = op->d.height * op->d.width;
	struct band p = band_of(f->r, n, block);

	(void)slot;
	p.x = f->r->x->data + n * f->r->x->image_stride + block * area * op->k->block;
	p.from = moka__part(op->out[0], f->bands, band);
	p.to = moka__part(op->out[0], f->bands, band + 1);
	if (op->row_tiles)
		whole_rows(op, &p, area > FAR_PLACES);
	else
		by_pieces(op, &p);
}

void moka__conv_run_depthwise(const struct moka__conv_run *r)
{
	const struct moka_conv_op *op = r->op;
	const bool alone = moka__conv_work(&op->d, op->out) < WORTH_A_THREAD;
	const int64_t planes = op->d.images * op->out_blocks;
	struct depthwise f = { r, 1 };

	if (!alone && planes < 4 * moka_pool_threads(r->pool))
		f.bands = MOKA_MIN(op->out[0], 4);
	moka__deal(alone ? NULL : r->pool, planes * f.bands, depthwise_item, &f);
}
