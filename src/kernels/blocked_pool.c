/*
 * blocked_pool.c - pooling of blocked images (and, plainly, of plain ones), with windows as BVLC's Pooling cuts them.
 */
#include "blocked_kernels.h"

#include <float.h>

#define WORTH_A_THREAD 100000

struct pool2d {
	const struct moka_pool_desc *d;
	const struct moka_tensor *x, *y;
	const struct moka__blocked_kernels *k;
	int64_t planes; /* of an image: blocks or channels */
};

/* A window on one axis: what of it is inside, and what an average counts. */
struct span {
	int64_t from, to, count;
};

static struct span cut(const struct moka_pool_desc *d, int i, int64_t size, int64_t o)
{
	const int64_t from = o * d->stride[i] - d->pad[i], to = MOKA_MIN(from + d->kernel[i], size + d->pad[i]);
	struct span s = { MOKA_MAX(from, 0), MOKA_MIN(to, size), to - from };

	s.to = MOKA_MAX(s.to, s.from);
	return s;
}

static real plain_window(const struct pool2d *p, const real *x, struct span v, struct span h)
{
	const bool max = p->d->kind == MOKA_POOL_MAX;
	real r = max ? (real)-FLT_MAX : 0;

	for (int64_t i = v.from; i < v.to; i++)
		for (int64_t k = h.from; k < h.to; k++) {
			const real a = x[i * p->x->width + k];
			r = !max ? r + a : a > r ? a : r;
		}
	return max ? r : r / (real)(v.count * h.count);
}

static void plain_plane(const struct pool2d *p, const real *x, real *y)
{
	for (int64_t oy = 0; oy < p->y->height; oy++)
		for (int64_t ox = 0; ox < p->y->width; ox++)
			*y++ = plain_window(p, x, cut(p->d, 0, p->x->height, oy), cut(p->d, 1, p->x->width, ox));
}

/* n places of a row that have the same window but for where it lies. */
static void places(const struct pool2d *p, const real *x, struct span v, int64_t ox, int n, real *y)
{
	const int64_t b = p->y->block;
	const struct span h = cut(p->d, 1, p->x->width, ox);
	struct moka__window w = { .x = x + (v.from * p->x->width + h.from) * b,
				  .x_place = p->d->stride[1] * b,
				  .x_row = p->x->width * b,
				  .x_column = b,
				  .rows = v.to - v.from,
				  .columns = h.to - h.from,
				  .y = y + ox * b,
				  .scale = 1 / (real)(v.count * h.count) };

	(p->d->kind == MOKA_POOL_MAX ? p->k->max : p->k->sum)[n - 1](&w);
}

static void blocked_plane(const struct pool2d *p, const real *x, real *y)
{
	const int64_t width = p->y->width, in = p->x->width;

	for (int64_t oy = 0; oy < p->y->height; oy++, y += width * p->y->block) {
		const struct span v = cut(p->d, 0, p->x->height, oy);
		for (int64_t ox = 0; ox < width;) {
			const int64_t left = ox * p->d->stride[1] - p->d->pad[1];
			int n = 1;
			while (left >= 0 && n < MOKA__PLACES && ox + n < width &&
			       left + n * p->d->stride[1] + p->d->kernel[1] <= in)
				n++;
			places(p, x, v, ox, n, y);
			ox += n;
		}
	}
}

static void pool_item(void *arg, int64_t item, int slot)
{
	const struct pool2d *p = arg;
	const int64_t n = item / p->planes, c = item % p->planes, b = p->y->block;
	const real *x = p->x->data + n * p->x->image_stride + c * p->x->height * p->x->width * b;
	real *y = p->y->data + n * p->y->image_stride + c * p->y->height * p->y->width * b;

	(void)slot;
	if (b == 1)
		plain_plane(p, x, y);
	else
		blocked_plane(p, x, y);
}

void moka_pool2d(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *x,
		 const struct moka_tensor *y)
{
	struct pool2d p = { d, x, y, moka__blocked_choose(), moka__ceil_div(x->channels, y->block) };

	if (y->images * y->channels * y->height * y->width * d->kernel[0] * d->kernel[1] < WORTH_A_THREAD)
		pool = NULL;
	moka__deal(pool, y->images * p.planes, pool_item, &p);
}
