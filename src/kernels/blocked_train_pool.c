/*
 * blocked_train_pool.c - pooling and normalisation across channels of blocked images, as training needs them: with what the way back wants
 * to know, and the way back. A plane (an image's block of channels), or some places of an image, is a piece of work.
 */
#include "blocked_train_kernels.h"

#include <string.h>

#define PIECE 16384

struct pool_job {
	const struct moka__train_kernels *k;
	struct moka__pool_train g;
	int64_t block;
	const real *x, *dy, *from;
	real *out, *where;
};

static struct moka__pool_train geometry(const struct moka_pool_desc *d, const struct moka_tensor *x,
					const struct moka_tensor *y)
{
	return (struct moka__pool_train){ x->height,	x->width,     y->height,    y->width,  d->kernel[0],
					  d->kernel[1], d->stride[0], d->stride[1], d->pad[0], d->pad[1] };
}

static void pool_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool_train *g = &j->g;
	const int64_t in = g->h * g->w * j->block, out = g->oh * g->ow * j->block;

	for (int64_t p = begin; p < end; p++) {
		if (j->x)
			j->k->max_where(g, j->x + p * in, j->out + p * out, j->where + p * out);
		else if (j->from)
			j->k->max_gradient(g, j->dy + p * out, j->from + p * out, j->out + p * in);
		else
			j->k->average_gradient(g, j->dy + p * out, j->out + p * in);
	}
}

static void run_pool(struct moka_pool *pool, struct pool_job *j, const struct moka_tensor *x)
{
	const int64_t plane = MOKA_MAX(x->height * x->width * x->block, 1);

	j->k = moka__train_choose();
	j->block = x->block;
	moka_parallel(pool, pool_piece, j, x->images * (x->channels / x->block), MOKA_MAX(PIECE / plane, 1));
}

void moka_pool2d_where(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *x,
		       const struct moka_tensor *y, real *where)
{
	struct pool_job j = { .g = geometry(d, x, y), .x = x->data, .out = y->data, .where = where };

	run_pool(pool, &j, x);
}

void moka_pool2d_gradient(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *dy,
			  const real *where, const struct moka_tensor *dx)
{
	struct pool_job j = { .g = geometry(d, dx, dy), .dy = dy->data, .from = where, .out = dx->data };

	run_pool(pool, &j, dx);
}

/* ---- normalisation across channels ------------------------------------------------------------------ */

#define PLACES 32 /* of a piece */
#define TOGETHER                                                                                                       \
	8 /* places whose rows are filled before any is read: what was just written can't be read out of step at once */
#define MOST_AROUND 128 /* window */
#define PITCH (MOKA_LRN_CHANNELS + MOST_AROUND)

struct lrn_job {
	const struct moka__train_kernels *k;
	int64_t size, area, blocks, block, pieces;
	real f, k0;
	const real *x, *y, *dy, *bracket;
	real *out, *keep;
};

/* `count` places from value `at` on. */
static void lrn_places(const struct lrn_job *j, int64_t at, int64_t count, real *runs)
{
	const int64_t half = (j->size - 1) / 2, step = j->area * j->block;

	for (int64_t p = 0; p < count; p++) {
		const int64_t i = at + p * j->block;

		if (j->dy)
			j->k->lrn_ratios(j->blocks, j->dy + i, j->y + i, j->bracket + i, step, runs + p * PITCH + half);
		else
			j->k->lrn_squares(j->blocks, j->x + i, step, runs + p * PITCH + half);
	}
	for (int64_t p = 0; p < count; p++) {
		const int64_t i = at + p * j->block;

		if (j->dy)
			j->k->lrn_gradient(j->blocks, j->size, j->f, runs + p * PITCH, j->x + i, j->bracket + i,
					   j->dy + i, j->out + i, step);
		else
			j->k->lrn_keep(j->blocks, j->size, j->f, j->k0, runs + p * PITCH, j->x + i, j->keep + i,
				       j->out + i, step);
	}
}

static void lrn_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn_job *j = arg;
	const int64_t half = (j->size - 1) / 2, step = j->area * j->block;
	_Alignas(64) real runs[TOGETHER * PITCH];

	for (int64_t p = 0; p < TOGETHER; p++) {
		memset(runs + p * PITCH, 0, (size_t)half * sizeof(real));
		memset(runs + p * PITCH + half + j->blocks * j->block, 0, (size_t)half * sizeof(real));
	}
	for (int64_t piece = begin; piece < end; piece++) {
		const int64_t p0 = piece % j->pieces * PLACES, p1 = MOKA_MIN(p0 + PLACES, j->area);

		for (int64_t p = p0; p < p1; p += TOGETHER)
			lrn_places(j, piece / j->pieces * j->blocks * step + p * j->block, MOKA_MIN(TOGETHER, p1 - p),
				   runs);
	}
}

static void run_lrn(struct moka_pool *pool, struct lrn_job *j, const struct moka_tensor *x)
{
	j->k = moka__train_choose();
	j->x = x->data;
	j->area = x->height * x->width;
	j->block = x->block;
	j->blocks = x->channels / x->block;
	j->pieces = (j->area + PLACES - 1) / PLACES;
	moka_parallel(pool, lrn_piece, j, x->images * j->pieces,
		      MOKA_MAX(PIECE / (PLACES * MOKA_MAX(x->channels, 1)), 1));
}

void moka_lrn_across_keep(struct moka_pool *pool, int64_t size, real alpha, real k, const struct moka_tensor *x,
			  real *bracket, real *y)
{
	struct lrn_job j = { .size = size, .f = alpha / (real)size, .k0 = k, .keep = bracket, .out = y };

	run_lrn(pool, &j, x);
}

void moka_lrn_across_gradient(struct moka_pool *pool, int64_t size, real alpha, const struct moka_tensor *x,
			      const real *bracket, const real *y, const real *dy, real *dx)
{
	struct lrn_job j = {
		.size = size, .f = 2 * alpha * (real)0.75 / (real)size, .y = y, .dy = dy, .bracket = bracket, .out = dx
	};

	run_lrn(pool, &j, x);
}
