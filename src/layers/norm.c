/*
 * norm.c - see norm.h.
 */
#include "norm.h"

#include <tgmath.h>

static int64_t channel_tile(const struct moka__norm *v)
{
	return MOKA_MAX(16384 / MOKA_MAX(v->num * v->inner, 1), 1);
}

struct statistics_job {
	const struct moka__norm *v;
	const real *x;
	real *mean, *variance;
};

static void statistics_piece(void *arg, int64_t begin, int64_t end)
{
	const struct statistics_job *j = arg;
	const struct moka__norm *v = j->v;
	const double count = (double)v->num * (double)v->inner;

	for (int64_t ch = begin; ch < end; ch++) {
		double sum = 0, squares = 0, mean;

		for (int64_t n = 0; n < v->num; n++)
			for (int64_t i = 0; i < v->inner; i++)
				sum += (double)j->x[n * v->item + ch * v->inner + i];
		mean = sum / count;
		for (int64_t n = 0; n < v->num; n++)
			for (int64_t i = 0; i < v->inner; i++) {
				const double d = (double)j->x[n * v->item + ch * v->inner + i] - mean;

				squares += d * d;
			}
		j->mean[ch] = (real)mean;
		j->variance[ch] = (real)(squares / count);
	}
}

void moka__norm_statistics(struct moka_pool *pool, const struct moka__norm *v, const real *x, real *mean,
			   real *variance)
{
	struct statistics_job j = { v, x, mean, variance };

	moka_parallel(pool, statistics_piece, &j, v->channels, channel_tile(v));
}

void moka__norm_inverse(int64_t channels, const real *variance, real eps, real *inverse)
{
	for (int64_t i = 0; i < channels; i++)
		inverse[i] = 1 / sqrt(variance[i] + eps);
}

struct apply_job {
	const struct moka__norm *v;
	const struct moka__norm_apply *a;
};

static void apply_piece(void *arg, int64_t begin, int64_t end)
{
	const struct apply_job *j = arg;
	const struct moka__norm *v = j->v;
	const struct moka__norm_apply *a = j->a;

	for (int64_t r = begin; r < end; r++) {
		const int64_t n = r / v->channels, ch = r % v->channels;
		const real *x = a->x + n * v->item + ch * v->inner;
		const real mean = a->mean[ch], inverse = a->inverse[ch], scale = a->scale[ch], shift = a->shift[ch];
		real *y = a->y + n * a->y_item + ch * v->inner;

		for (int64_t i = 0; i < v->inner; i++) {
			const real value = (x[i] - mean) * inverse * scale + shift;

			y[i] = a->relu && value < 0 ? 0 : value;
		}
	}
}

void moka__norm_apply(struct moka_pool *pool, const struct moka__norm *v, const struct moka__norm_apply *a)
{
	struct apply_job j = { v, a };

	moka_parallel(pool, apply_piece, &j, v->num * v->channels, MOKA_MAX(16384 / MOKA_MAX(v->inner, 1), 1));
}

struct gradient_job {
	const struct moka__norm *v;
	const struct moka__norm_gradient *g;
};

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct gradient_job *j = arg;
	const struct moka__norm *v = j->v;
	const struct moka__norm_gradient *g = j->g;
	const double count = (double)v->num * (double)v->inner;
	const double freedom = g->unbiased && count > 1 ? count - 1 : count;

	for (int64_t ch = begin; ch < end; ch++) {
		const real mean = g->mean[ch], inverse = g->inverse[ch], factor = g->scale[ch] * inverse;
		double sum = 0, product = 0;

		for (int64_t n = 0; n < v->num; n++)
			for (int64_t i = 0; i < v->inner; i++) {
				const real dy = g->dy[n * g->dy_item + ch * v->inner + i];

				sum += (double)dy;
				product += (double)(dy * ((g->x[n * v->item + ch * v->inner + i] - mean) * inverse));
			}
		if (g->dscale)
			g->dscale[ch] += (real)product;
		if (g->dshift)
			g->dshift[ch] += (real)sum;
		const real a = g->fixed ? 0 : (real)(sum / count), b = g->fixed ? 0 : (real)(product / freedom);
		for (int64_t n = 0; n < v->num && g->dx; n++)
			for (int64_t i = 0; i < v->inner; i++) {
				const int64_t at = n * v->item + ch * v->inner + i;
				const real dy = g->dy[n * g->dy_item + ch * v->inner + i];
				const real dx = factor * (dy - a - (g->x[at] - mean) * inverse * b);

				g->dx[at] = g->add ? g->dx[at] + dx : dx;
			}
	}
}

void moka__norm_gradient(struct moka_pool *pool, const struct moka__norm *v, const struct moka__norm_gradient *g)
{
	struct gradient_job j = { v, g };

	moka_parallel(pool, gradient_piece, &j, v->channels, channel_tile(v));
}
