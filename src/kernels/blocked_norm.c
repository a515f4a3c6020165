/*
 * blocked_norm.c - BatchNorm, Scale and ReLU of training as one step over blocked images; factors of channels alone.
 *
 * A row is one image's block of channels. Each row's statistics (or sums) are made by themselves and joined in the order of images, so
 * the result depends neither on who made them nor on which of two ways is gone: where there are blocks enough for all threads, each block is
 * summed and then transformed at once, while it is still in a cache; else first all rows are summed, then all transformed.
 */
#include "blocked_train_kernels.h"

#include <math.h>
#include <string.h>

#define MOST_BLOCK 16
#define PIECE 16384 /* values that are worth handing over */

const struct moka__train_kernels *moka__train_choose(void)
{
	const struct moka__blocked_kernels *k = moka__blocked_choose();

	return k ? k->train : NULL;
}

struct norm_job {
	const struct moka_norm *d;
	const struct moka__train_kernels *k;
	int64_t blocks;
	const real *x, *dy;
	real *out, *dscale, *dshift;
	double *sums; /* (images, blocks, 2, B) */
	bool back;
	bool fixed; /* mean and deviation are constants: a factor alone */
};

static double *sums_of(const struct norm_job *j, int64_t row)
{
	return j->sums + row * 2 * j->d->block;
}

static void set_lanes(const struct norm_job *j, int64_t block, struct moka__norm_lanes *l)
{
	const struct moka_norm *d = j->d;

	for (int i = 0; i < d->block; i++) {
		const int64_t c = block * d->block + i;

		l->mean[i] = d->mean ? d->mean[c] : 0;
		l->scale[i] = (d->scale ? d->scale[c] : 1) / (d->deviation ? d->deviation[c] : 1);
		l->shift[i] = d->shift ? d->shift[c] : 0;
		l->slope[i] = l->offset[i] = 0;
	}
}

/* ---- sums of a row, and of all rows of a block ------------------------------------------------------- */

static void sum_row(const struct norm_job *j, int64_t row)
{
	const struct moka_norm *d = j->d;
	const int64_t at = row * d->area * d->block;
	double *sum = sums_of(j, row), *product = sum + d->block;
	struct moka__norm_lanes l;

	if (!j->back) {
		j->k->stats(d->area, j->x + at, sum, product);
		return;
	}
	set_lanes(j, row % j->blocks, &l);
	memset(sum, 0, 2 * (size_t)d->block * sizeof(*sum));
	j->k->norm_sums(d->area, &l, d->slope, j->x + at, j->dy + at, sum, product);
}

/* Mean and variance of a block from those of its rows. */
static void join_statistics(const struct norm_job *j, int64_t block)
{
	const struct moka_norm *d = j->d;

	for (int i = 0; i < d->block; i++) {
		const int64_t c = block * d->block + i;
		double mean = 0, squares = 0;

		for (int64_t n = 0; n < d->images; n++) {
			const double *s = sums_of(j, n * j->blocks + block);
			const double delta = s[i] - mean, part = 1 / (double)(n + 1);

			mean += delta * part;
			squares += s[d->block + i] + delta * delta * (double)n * part * (double)d->area;
		}
		d->mean[c] = (real)mean;
		d->variance[c] = (real)(squares / ((double)d->images * (double)d->area));
		d->deviation[c] = (real)sqrt((double)(d->variance[c] + d->eps));
	}
}

/* The first row's sums become those of the block; gradients of factor and shift. */
static void join_sums(const struct norm_job *j, int64_t block)
{
	const int b = j->d->block;
	double *total = sums_of(j, block);

	for (int64_t n = 1; n < j->d->images; n++)
		for (int i = 0; i < 2 * b; i++)
			total[i] += sums_of(j, n * j->blocks + block)[i];
	for (int i = 0; i < b; i++) {
		const int64_t c = block * b + i;

		if (j->dshift)
			j->dshift[c] += (real)total[i];
		if (j->dscale)
			j->dscale[c] += (real)(total[b + i] / (j->d->deviation ? (double)j->d->deviation[c] : 1));
	}
}

static void join_block(const struct norm_job *j, int64_t block)
{
	if (j->back)
		join_sums(j, block);
	else
		join_statistics(j, block);
}

/* ---- a row transformed ------------------------------------------------------------------------------ */

/* dx = scale (g - mean(g) - (x - mean) mean(g (x - mean)) / variance) */
static void gradient_lanes(const struct norm_job *j, int64_t block, struct moka__norm_lanes *l)
{
	const struct moka_norm *d = j->d;
	const double *total = sums_of(j, block), count = (double)d->images * (double)d->area;

	for (int i = 0; i < d->block && !j->fixed; i++) {
		const double deviation = (double)d->deviation[block * d->block + i], scale = (double)l->scale[i];

		l->offset[i] = (real)(-scale * total[i] / count);
		l->slope[i] = (real)(-scale * total[d->block + i] / (count * deviation * deviation));
	}
}

static void transform_row(const struct norm_job *j, int64_t row, struct moka__norm_lanes *l)
{
	const struct moka_norm *d = j->d;
	const int64_t at = row * d->area * d->block;

	if (j->back)
		j->k->norm_gradient(d->area, l, d->slope, j->x + at, j->dy + at, j->out + at);
	else
		j->k->norm(d->area, l, d->slope, j->x + at, j->out + at);
}

static void row_lanes(const struct norm_job *j, int64_t row, struct moka__norm_lanes *l)
{
	const struct moka_norm *d = j->d;

	set_lanes(j, row % j->blocks, l);
	l->past = j->out != (j->back ? j->dy : j->x) && (uintptr_t)j->out % 64 == 0 &&
		  moka_past_caches(d->images * d->channels * d->area);
	if (j->back)
		gradient_lanes(j, row % j->blocks, l);
}

static void sum_piece(void *arg, int64_t begin, int64_t end)
{
	for (int64_t r = begin; r < end; r++)
		sum_row(arg, r);
}

static void transform_piece(void *arg, int64_t begin, int64_t end)
{
	struct moka__norm_lanes l;

	for (int64_t r = begin; r < end; r++) {
		row_lanes(arg, r, &l);
		transform_row(arg, r, &l);
	}
}

static void whole_piece(void *arg, int64_t begin, int64_t end)
{
	const struct norm_job *j = arg;
	struct moka__norm_lanes l;

	for (int64_t block = begin; block < end; block++) {
		for (int64_t n = 0; n < j->d->images; n++)
			sum_row(j, n * j->blocks + block);
		join_block(j, block);
		row_lanes(j, block, &l);
		/* the last row first: it is the one that a cache still holds */
		for (int64_t n = j->d->images; j->out && n-- > 0;)
			transform_row(j, n * j->blocks + block, &l);
	}
}

static void run(struct moka_pool *pool, struct norm_job *j)
{
	const int64_t row = j->d->area * j->d->block, rows = j->d->images * j->blocks;
	const int threads = moka_pool_threads(pool);

	if (!rows || !j->d->area)
		return;
	if (threads == 1 || j->blocks >= 4 * threads || (j->blocks >= 2 && j->blocks % threads == 0)) {
		moka_parallel(pool, whole_piece, j, j->blocks, MOKA_MAX(PIECE / (row * j->d->images), 1));
		return;
	}
	moka_parallel(pool, sum_piece, j, rows, MOKA_MAX(PIECE / row, 1));
	for (int64_t b = 0; b < j->blocks; b++)
		join_block(j, b);
	if (j->out)
		moka_parallel(pool, transform_piece, j, rows, MOKA_MAX(PIECE / row, 1));
}

/* ---- what callers see ---------------------------------------------------------------------------------- */

size_t moka_norm_scratch(const struct moka_norm *d)
{
	return (size_t)(d->images * d->channels) * 2 * sizeof(double);
}

void moka_norm_forward(struct moka_pool *pool, const struct moka_norm *d, const real *x, real *y, void *scratch)
{
	struct norm_job j = {
		.d = d, .k = moka__train_choose(), .blocks = d->channels / d->block, .x = x, .out = y, .sums = scratch
	};

	run(pool, &j);
}

void moka_norm_backward(struct moka_pool *pool, const struct moka_norm *d, const real *x, const real *dy, real *dscale,
			real *dshift, real *dx, void *scratch)
{
	struct norm_job j = { .d = d,
			      .k = moka__train_choose(),
			      .blocks = d->channels / d->block,
			      .x = x,
			      .dy = dy,
			      .out = dx,
			      .dscale = dscale,
			      .dshift = dshift,
			      .sums = scratch,
			      .back = true };

	run(pool, &j);
}

void moka_sum_relu_past(int64_t n, real a, const real *x, real b, const real *z, real slope, real *y)
{
	const struct moka__train_kernels *k = moka__train_choose();
	const int64_t block = moka_block(), whole = k && (uintptr_t)y % 64 == 0 ? n / block * block : 0;

	if (whole)
		k->sum_relu_past(whole / block, a, x, b, z, slope, y);
	moka_sum_relu(n - whole, a, x + whole, b, z + whole, slope, y + whole);
}

void moka_norm_keep(int64_t channels, int64_t count, real keep, const real *mean, const real *variance, real *mean_sum,
		    real *variance_sum, real *divisor)
{
	const real m = (real)count, unbias = m > 1 ? m / (m - 1) : 1;

	*divisor = *divisor * keep + 1;
	moka_axpby(channels, 1, mean, keep, mean_sum);
	moka_axpby(channels, unbias, variance, keep, variance_sum);
}

static struct moka_norm factor_of(const struct moka_tensor *x, const real *scale)
{
	return (struct moka_norm){ .images = x->images,
				   .channels = x->channels,
				   .area = x->height * x->width,
				   .block = x->block,
				   .slope = 1,
				   .scale = scale };
}

size_t moka_affine_scratch(const struct moka_tensor *x)
{
	const struct moka_norm d = factor_of(x, NULL);

	return moka_norm_scratch(&d);
}

void moka_affine_backward(struct moka_pool *pool, const struct moka_tensor *x, const real *dy, const real *scale,
			  real *dscale, real *dshift, real *dx, void *scratch)
{
	const struct moka_norm d = factor_of(x, scale);
	struct norm_job j = { .d = &d,
			      .k = moka__train_choose(),
			      .blocks = d.channels / d.block,
			      .x = x->data,
			      .dy = dy,
			      .out = dx,
			      .dscale = dscale,
			      .dshift = dshift,
			      .sums = scratch,
			      .back = true,
			      .fixed = true };

	run(pool, &j);
}
