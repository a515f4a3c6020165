/*
 * conv_depthwise.c - every output from one channel: a vector is a whole block of channels. Places whose window lies inside
 * the image's columns go eight at a time; at the left and right edges one by one, with the part of the window that is there.
 */
#include "conv_op.h"

#include <stdlib.h>

#define WORTH_A_THREAD 400000

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

/* The places of a row, cut once: those whose window is whole go together, the others one by one. */
bool moka__conv_plan_depthwise(struct moka_conv_op *op)
{
	const struct moka_conv_desc *d = &op->d;

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

struct depthwise {
	const struct moka__conv_run *r;
	int64_t bands;
};

static void depthwise_item(void *arg, int64_t item, int slot)
{
	const struct depthwise *f = arg;
	const struct moka__conv_run *r = f->r;
	const struct moka_conv_op *op = r->op;
	const int64_t b = op->k->block, band = item % f->bands, block = item / f->bands % op->out_blocks;
	const int64_t n = item / f->bands / op->out_blocks, area = op->out[0] * op->out[1];
	struct line l = { .op = op,
			  .x = r->x->data + n * r->x->image_stride + block * op->d.height * op->d.width * b,
			  .w = op->weights + block * op->d.kernel[0] * op->d.kernel[1] * b };

	(void)slot;
	l.win.x_place = op->d.stride[1] * b;
	l.win.x_row = op->d.dilation[0] * op->d.width * b;
	l.win.x_column = op->d.dilation[1] * b;
	l.win.w_row = op->d.kernel[1] * b;
	l.win.bias = op->bias + block * b;
	l.win.act = r->act;
	if (op->slopes)
		l.win.act.slopes = op->slopes + block * b;
	for (int64_t oy = moka__part(op->out[0], f->bands, band); oy < moka__part(op->out[0], f->bands, band + 1);
	     oy++) {
		l.y0 = oy * op->d.stride[0] - op->d.pad[0];
		l.y = r->y->data + n * r->y->image_stride + (block * area + oy * op->out[1]) * b;
		if (r->residual)
			l.residual = r->residual->data + n * r->residual->image_stride +
				     (block * area + oy * op->out[1]) * b;
		run_row(&l);
	}
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
