/*
 * conv_depthwise.c - every output from one channel: a vector is a whole block of channels. Places whose window lies inside
 * the image's columns go eight at a time; at the left and right edges one by one, with the part of the window that is there.
 */
#include "conv_op.h"

#define WORTH_A_THREAD 200000

/* The part of a window that lies inside: taps [from, to) of `kernel` from coordinate x0. */
static void inside(int64_t x0, int64_t size, int64_t kernel, int64_t dilation, int64_t *from, int64_t *to)
{
	*from = x0 < 0 ? moka__ceil_div(-x0, dilation) : 0;
	*to = x0 >= size ? 0 : MOKA_MIN(kernel, (size - 1 - x0) / dilation + 1);
	*from = MOKA_MIN(*from, kernel);
	*to = MOKA_MAX(*to, *from);
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

static void run_places(struct line *l, int64_t ox, int n)
{
	const struct moka_conv_desc *d = &l->op->d;
	const int64_t b = l->op->k->block, x0 = ox * d->stride[1] - d->pad[1];
	struct moka__window w = l->win;
	int64_t r0, r1, c0, c1;

	inside(l->y0, d->height, d->kernel[0], d->dilation[0], &r0, &r1);
	inside(x0, d->width, d->kernel[1], d->dilation[1], &c0, &c1);
	w.rows = c0 < c1 ? r1 - r0 : 0, w.columns = c1 - c0;
	if (w.rows > 0)
		w.x = l->x + ((l->y0 + r0 * d->dilation[0]) * d->width + x0 + c0 * d->dilation[1]) * b;
	w.w = l->w + (r0 * d->kernel[1] + c0) * b;
	w.y = l->y + ox * b;
	w.residual = l->residual ? l->residual + ox * b : NULL;
	l->op->k->depthwise[n - 1](&w);
}

static void run_row(struct line *l)
{
	const struct moka_conv_desc *d = &l->op->d;
	const int64_t width = l->op->out[1], reach = (d->kernel[1] - 1) * d->dilation[1];
	/* windows [from, to) are whole */
	int64_t from = MOKA_MIN(moka__ceil_div(d->pad[1], d->stride[1]), width);
	int64_t to = d->width + d->pad[1] - reach - 1;

	to = to < 0 ? 0 : MOKA_MIN(to / d->stride[1] + 1, width);
	from = MOKA_MIN(from, to);
	for (int64_t x = 0; x < from; x++)
		run_places(l, x, 1);
	if (to > from) {
		const int64_t tiles = moka__ceil_div(to - from, MOKA__PLACES);
		for (int64_t i = 0; i < tiles; i++) {
			const int64_t a = from + moka__part(to - from, tiles, i);
			run_places(l, a, (int)(from + moka__part(to - from, tiles, i + 1) - a));
		}
	}
	for (int64_t x = to; x < width; x++)
		run_places(l, x, 1);
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
