/*
 * conv_train_spread.c - the gradient of data by Winograd's algorithm read backwards, where tiles of dy are fewer than those of dx: small images
 * without padding, of 3x3 and 5x5 kernels. Where forward is y = A' [(G w G') * (B' x B)] A, a tile of dy adds
 *
 *     B [(G w G') * (A dy A')] B'          to all that it has seen of x
 *
 * A thread takes some whole images, so that tiles which overlap are its own. A plain dy is made blocked beside, an image at a time; so is
 * dx.
 */
#include "conv_train_plan.h"

#include <string.h>

#define CHUNK_BYTES ((int64_t)768 * 1024)
/* What a tile of dx does better: it is stored once, not added to what its neighbours made. */
#define DEARER 1.15

struct spread {
	const struct moka_conv_train *t;
	const struct moka_conv_op *op;
	const struct moka_tensor *dy, *dx;
	const real *weights;
	int64_t rows, columns, chunks;
	char *slots;
	size_t slot_bytes;
};

static int64_t tiles_of(const int64_t size[2], int64_t tile)
{
	return moka__ceil_div(size[0], tile) * moka__ceil_div(size[1], tile);
}

bool moka__conv_spread_pays(const struct moka_conv_train *t)
{
	const struct moka_conv_train_desc *d = &t->d;
	const int64_t size[2] = { d->height, d->width };

	return (moka__conv_is_dense(d, 3) || moka__conv_is_dense(d, 5)) && d->images >= 4 &&
	       DEARER * (double)tiles_of(t->out, 4) < (double)tiles_of(size, 4);
}

static int64_t chunk_images(const struct moka_conv_op *op)
{
	const int64_t each = op->size * op->size * (op->in_blocks + op->out_blocks) * op->k->block *
			     (int64_t)sizeof(real) * tiles_of(op->out, op->tile);

	return MOKA_MIN(MOKA_MAX(CHUNK_BYTES / each, 1), op->d.images);
}

static size_t v_values(const struct moka_conv_op *op, int64_t tiles)
{
	return (size_t)(op->size * op->size * moka__wino_apart(op, op->in_blocks, tiles));
}

static size_t m_values(const struct moka_conv_op *op, int64_t tiles)
{
	return (size_t)(op->size * op->size * moka__wino_apart(op, op->out_blocks, tiles));
}

/* An image of dy, of dx. */
static int64_t y_values(const struct moka_conv_train *t)
{
	return moka_tensor_image(t->d.outputs, t->out[0], t->out[1], t->k->block);
}

static int64_t x_values(const struct moka_conv_train *t)
{
	return moka_tensor_image(t->d.channels, t->d.height, t->d.width, t->k->block);
}

static size_t slot_bytes(const struct moka_conv_train *t, const struct moka_conv_op *op)
{
	const int64_t tiles = chunk_images(op) * tiles_of(op->out, op->tile);

	return moka__lines((v_values(op, tiles) + m_values(op, tiles) + (size_t)MOKA_MAX(y_values(t), x_values(t))) *
			   sizeof(real));
}

size_t moka__conv_spread_scratch(const struct moka_conv_train *t, const struct moka__conv_phase *p, int threads)
{
	return (size_t)threads * slot_bytes(t, p->op);
}

static struct moka_tensor image_of(const struct moka_tensor *all, int64_t n)
{
	struct moka_tensor one = *all;

	one.images = 1;
	one.data += n * one.image_stride;
	return one;
}

/* V of one image's tiles, `v` being the first's. */
static void gradient_in(const struct spread *f, const struct moka_tensor *dy, int64_t tiles, real *v)
{
	const struct moka_conv_op *op = f->op;
	const int64_t b = op->k->block, s = op->tile, step = moka__wino_apart(op, op->in_blocks, tiles);
	_Alignas(64) real box[25 * 16];

	for (int64_t i = 0; i < op->in_blocks; i++)
		for (int64_t t = 0; t < f->rows * f->columns; t++) {
			const int64_t y = t / f->columns * s, x = t % f->columns * s;
			const int64_t rows = MOKA_MIN(s, dy->height - y), columns = MOKA_MIN(s, dy->width - x);
			const real *from = dy->data + ((i * dy->height + y) * dy->width + x) * b;
			int64_t row = dy->width * b;

			if (rows < s || columns < s) {
				memset(box, 0, sizeof(box));
				for (int64_t r = 0; r < rows; r++)
					memcpy(box + r * s * b, from + r * row, (size_t)(columns * b) * sizeof(real));
				from = box, row = s * b;
			}
			op->k->wino_gradient[op->form](from, row, v + (i * tiles + t) * b, step);
		}
}

/* One tile's sums, added to what it has seen of a block's plane. */
static void spread_tile(const struct spread *f, const real *m, int64_t step, int64_t y0, int64_t x0, real *plane)
{
	const struct moka_conv_op *op = f->op;
	const int64_t b = op->k->block, s = op->size, height = f->dx->height, width = f->dx->width;
	_Alignas(64) real box[64 * 16];

	if (y0 >= 0 && x0 >= 0 && y0 + s <= height && x0 + s <= width) {
		op->k->wino_spread[s - 6](m, step, plane + (y0 * width + x0) * b, width * b);
		return;
	}
	memset(box, 0, (size_t)(s * s * b) * sizeof(real));
	op->k->wino_spread[s - 6](m, step, box, s * b);
	for (int64_t y = MOKA_MAX(0, -y0); y < MOKA_MIN(s, height - y0); y++)
		for (int64_t x = MOKA_MAX(0, -x0); x < MOKA_MIN(s, width - x0); x++)
			for (int64_t c = 0; c < b; c++)
				plane[((y0 + y) * width + x0 + x) * b + c] += box[(y * s + x) * b + c];
}

static void spread_out(const struct spread *f, const real *m, int64_t tiles, const struct moka_tensor *dx)
{
	const struct moka_conv_op *op = f->op;
	const int64_t b = op->k->block, plane = dx->height * dx->width * b;
	const int64_t step = moka__wino_apart(op, op->out_blocks, tiles);

	memset(dx->data, 0, (size_t)(op->out_blocks * plane) * sizeof(real));
	for (int64_t o = 0; o < op->out_blocks; o++)
		for (int64_t t = 0; t < f->rows * f->columns; t++)
			spread_tile(f, m + (o * tiles + t) * b, step, t / f->columns * op->tile - f->t->d.pad[0],
				    t % f->columns * op->tile - f->t->d.pad[1], dx->data + o * plane);
}

static void chunk_item(void *arg, int64_t item, int slot)
{
	const struct spread *f = arg;
	const struct moka_conv_op *op = f->op;
	const int64_t images = op->d.images, of_image = f->rows * f->columns;
	const int64_t n0 = moka__part(images, f->chunks, item), n1 = moka__part(images, f->chunks, item + 1);
	const int64_t b = op->k->block, tiles = (n1 - n0) * of_image;
	real *v = (real *)(f->slots + (size_t)slot * f->slot_bytes), *m = v + v_values(op, tiles);
	real *own = m + m_values(op, tiles);

	for (int64_t n = n0; n < n1; n++) {
		const struct moka_tensor plain = image_of(f->dy, n);
		struct moka_tensor dy = plain;
		if (dy.block == 1) {
			dy.block = (int)b, dy.data = own, dy.image_stride = y_values(f->t);
			moka_relayout(NULL, &plain, &dy);
		}
		gradient_in(f, &dy, tiles, v + (n - n0) * of_image * b);
	}
	for (int64_t p = 0; p < op->size * op->size; p++)
		moka__wino_product(op, f->weights, p, tiles, v, m);
	for (int64_t n = n0; n < n1; n++) {
		const struct moka_tensor plain = image_of(f->dx, n);
		struct moka_tensor dx = plain;
		if (dx.block == 1)
			dx.block = (int)b, dx.data = own, dx.image_stride = x_values(f->t);
		spread_out(f, m + (n - n0) * of_image * b, tiles, &dx);
		if (plain.block == 1)
			moka_relayout(NULL, &dx, &plain);
	}
}

void moka__conv_spread_run(const struct moka_conv_train *t, const struct moka__conv_phase *p, struct moka_pool *pool,
			   const real *weights, const struct moka_tensor *dy, const struct moka_tensor *dx,
			   char *scratch)
{
	struct spread f = { .t = t, .op = p->op, .dy = dy, .dx = dx, .weights = weights, .slots = scratch };

	f.rows = moka__ceil_div(t->out[0], p->op->tile), f.columns = moka__ceil_div(t->out[1], p->op->tile);
	f.chunks = moka__ceil_div(t->d.images, chunk_images(p->op));
	f.slot_bytes = slot_bytes(t, p->op);
	moka__deal(pool, f.chunks, chunk_item, &f);
}
