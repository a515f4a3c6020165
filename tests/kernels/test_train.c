/*
 * test_train.c - what training runs between convolutions on blocked images, against sums in double, at awkward sizes, on every
 * instruction set of the machine, one thread against three.
 */
#include "kernels/blocked_train.h"
#include "t.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = T_ISAS;
static struct moka_pool *three;

static void on_each_isa(void (*fn)(void))
{
	const char *was = getenv("MOKA_ISA");
	char kept[32] = "";

	if (was)
		snprintf(kept, sizeof(kept), "%s", was);
	three = moka_pool_new(3);
	for (size_t i = 0; i < MOKA_COUNT(isas); i++) {
		setenv("MOKA_ISA", isas[i], 1);
		fn();
	}
	if (was)
		setenv("MOKA_ISA", kept, 1);
	else
		unsetenv("MOKA_ISA");
	moka_pool_free(three);
}

static real *numbers(int64_t n, uint64_t seed, double offset)
{
	real *p = malloc((size_t)MOKA_MAX(n, 1) * sizeof(real));
	struct moka_rng r;

	moka_rng_seed(&r, seed, 0);
	for (int64_t i = 0; i < n; i++)
		p[i] = (real)(moka_rng_gaussian(&r) + offset);
	return p;
}

/* Aligned as an execution's blobs are. */
static real *zeros(int64_t n)
{
	const size_t bytes = ((size_t)n * sizeof(real) + 64) / 64 * 64;

	return memset(aligned_alloc(64, bytes), 0, bytes);
}

static void near(const real *a, const double *b, int64_t n, double tolerance, const char *what)
{
	double most = 1e-3, worst = 0;

	for (int64_t i = 0; i < n; i++) {
		most = fmax(most, fabs(b[i]));
		worst = fmax(worst, fabs((double)a[i] - b[i]));
	}
	if (worst > tolerance * most)
		fail_msg("%s: %g off, of %g", what, worst, most);
}

/* ---- normalisation ---------------------------------------------------------------------------------------- */

struct sizes {
	int64_t images, blocks, height, width;
	double offset; /* mean of the values */
	real slope;
};
static const struct sizes norms[] = {
	{ 1, 1, 1, 2, 0, 0 },	     { 2, 3, 7, 7, 0.5, 0 },	{ 3, 1, 13, 11, -2, 1 },
	{ 5, 2, 33, 20, 100, 0.25 }, { 8, 16, 7, 7, 0.1, 0 },	{ 2, 5, 56, 56, 0, 0 },
	{ 4, 7, 3, 5, 1, -0.5 },     { 8, 16, 40, 37, 0.2, 0 }, /* past the caches */
};

/* The reference, in double: at c, i of image n. */
static int64_t place(const struct sizes *s, int b, int64_t n, int64_t c, int64_t i)
{
	const int64_t area = s->height * s->width;

	return ((n * s->blocks + c / b) * area + i) * b + c % b;
}

struct norm_case {
	const struct sizes *s;
	int b;
	int64_t channels, area, count;
	real *x, *dy, *scale, *shift;
	double *y, *dx, *dscale, *dshift, *mean, *variance;
};

static void norm_channel(const struct norm_case *k, int64_t c, double eps)
{
	const double count = (double)(k->s->images * k->area);
	double sum = 0, squares = 0, g_sum = 0, g_product = 0;

	for (int64_t n = 0; n < k->s->images; n++)
		for (int64_t i = 0; i < k->area; i++)
			sum += (double)k->x[place(k->s, k->b, n, c, i)];
	sum /= count;
	for (int64_t n = 0; n < k->s->images; n++)
		for (int64_t i = 0; i < k->area; i++)
			squares += pow((double)k->x[place(k->s, k->b, n, c, i)] - sum, 2);
	k->mean[c] = sum;
	k->variance[c] = squares / count;
	const double deviation = sqrt(k->variance[c] + eps), a = (double)k->scale[c] / deviation;
	for (int pass = 0; pass < 2; pass++)
		for (int64_t n = 0; n < k->s->images; n++)
			for (int64_t i = 0; i < k->area; i++) {
				const int64_t at = place(k->s, k->b, n, c, i);
				const double z = ((double)k->x[at] - sum) / deviation;
				const double v = a * ((double)k->x[at] - sum) + (double)k->shift[c];
				const double g = v > 0 ? (double)k->dy[at] : (double)(k->s->slope * k->dy[at]);

				if (pass) {
					k->dx[at] = a * (g - g_sum / count - z * g_product / count);
					continue;
				}
				k->y[at] = v > 0 ? v : (double)k->s->slope * v;
				g_sum += g;
				g_product += g * z;
			}
	k->dshift[c] = g_sum;
	k->dscale[c] = g_product;
}

static void norm_on(const struct norm_case *k, struct moka_pool *pool, real *y, real *dx, real *dscale, real *dshift,
		    real *stats)
{
	const struct moka_norm d = { .images = k->s->images,
				     .channels = k->channels,
				     .area = k->area,
				     .block = k->b,
				     .eps = (real)1e-5,
				     .slope = k->s->slope,
				     .scale = k->scale,
				     .shift = k->shift,
				     .mean = stats,
				     .variance = stats + k->channels,
				     .deviation = stats + 2 * k->channels };
	void *scratch = malloc(moka_norm_scratch(&d));

	moka_norm_forward(pool, &d, k->x, y, scratch);
	if (moka_past_caches(k->count)) {
		moka_norm_backward(pool, &d, k->x, k->dy, dscale, dshift, dx, scratch);
	} else {
		memcpy(dx, k->dy, (size_t)k->count * sizeof(real)); /* in place */
		moka_norm_backward(pool, &d, k->x, dx, dscale, dshift, dx, scratch);
	}
	free(scratch);
}

static void one_norm(const struct sizes *s, uint64_t seed)
{
	const int b = moka_block();
	struct norm_case k = { .s = s, .b = b, .channels = s->blocks * b, .area = s->height * s->width };
	real *out[2][5];

	k.count = s->images * k.channels * k.area;
	k.x = numbers(k.count, seed, s->offset);
	k.dy = numbers(k.count, seed + 1, 0.2);
	k.scale = numbers(k.channels, seed + 2, 0.3);
	k.shift = numbers(k.channels, seed + 3, 0.1);
	double *room = calloc((size_t)(2 * k.count + 4 * k.channels), sizeof(double));
	k.y = room, k.dx = k.y + k.count, k.dscale = k.dx + k.count, k.dshift = k.dscale + k.channels;
	k.mean = k.dshift + k.channels, k.variance = k.mean + k.channels;
	for (int64_t c = 0; c < k.channels; c++)
		norm_channel(&k, c, 1e-5);
	for (int t = 0; t < 2; t++) {
		for (int i = 0; i < 5; i++)
			out[t][i] = zeros(i < 2 ? k.count : 3 * k.channels);
		norm_on(&k, t ? three : NULL, out[t][0], out[t][1], out[t][2], out[t][3], out[t][4]);
	}
	near(out[0][4], k.mean, k.channels, 1e-6, "mean");
	near(out[0][4] + k.channels, k.variance, k.channels, 2e-6 * (1 + fabs(s->offset)), "variance");
	if (s->images * k.area > 1) {
		const double tolerance = 2e-5 * (1 + fabs(s->offset));

		near(out[0][0], k.y, k.count, tolerance, "y");
		near(out[0][2], k.dscale, k.channels, 1e-4 * (1 + fabs(s->offset)), "dscale");
		near(out[0][3], k.dshift, k.channels, 1e-4 * (1 + fabs(s->offset)), "dshift");
		if (s->images * k.area > 2)
			near(out[0][1], k.dx, k.count, 1e-4 * (1 + fabs(s->offset)), "dx");
	}
	for (int i = 0; i < 5; i++)
		assert_memory_equal(out[0][i], out[1][i],
				    (size_t)(i < 2   ? k.count
					     : i < 4 ? k.channels
						     : 3 * k.channels) *
					    sizeof(real));
	for (int t = 0; t < 2; t++)
		for (int i = 0; i < 5; i++)
			free(out[t][i]);
	free(room), free(k.x), free(k.dy), free(k.scale), free(k.shift);
}

static void norms_here(void)
{
	for (size_t i = 0; i < MOKA_COUNT(norms); i++)
		one_norm(&norms[i], 10 * i);
}

static void normalisation(void **state)
{
	(void)state;
	on_each_isa(norms_here);
}

/* What is not a number stays one, whatever a ReLU makes of it. */
static void nan_here(void)
{
	const int b = moka_block();
	struct sizes s = { 1, 1, 2, 3, 0, 0 };
	real *x = numbers(6 * b, 1, 0), *y = zeros(6 * b), stats[3 * 16], *scratch = zeros(4 * b);
	const struct moka_norm d = { 1, b, 6, b, (real)1e-5, 0, NULL, NULL, stats, stats + b, stats + 2 * b };

	x[place(&s, b, 0, 3, 2)] = (real)NAN;
	moka_norm_forward(NULL, &d, x, y, scratch);
	for (int64_t i = 0; i < 6; i++) {
		assert_true(isnan(y[place(&s, b, 0, 3, i)]));
		assert_false(isnan(y[place(&s, b, 0, 2, i)]));
	}
	free(x), free(y), free(scratch);
}

static void nan_stays(void **state)
{
	(void)state;
	on_each_isa(nan_here);
}

/* ---- sums past the caches ------------------------------------------------------------------------------- */

static void sums_here(void)
{
	static const int64_t counts[] = { 0, 1, 15, 16, 64, 129, 1000 };
	real *x = numbers(1016, 1, 0.1), *z = numbers(1016, 2, -0.1), *y = zeros(1016);

	for (size_t i = 0; i < MOKA_COUNT(counts); i++)
		for (int from = 0; from < 2; from++) { /* aligned, and not */
			const int64_t n = counts[i];
			double want[1000] = { 0 };

			for (int64_t k = 0; k < n; k++) {
				const double v = 1.5 * (double)x[k] - 0.5 * (double)z[k];
				want[k] = v > 0 ? v : 0.25 * v;
			}
			y[from + n] = 7;
			moka_sum_relu_past(n, (real)1.5, x, (real)-0.5, z, (real)0.25, y + from);
			near(y + from, want, n, 1e-6, "sum");
			assert_true(y[from + n] == 7);
		}
	free(x), free(z), free(y);
}

static void sums_past_the_caches(void **state)
{
	(void)state;
	on_each_isa(sums_here);
}

/* ---- factors -------------------------------------------------------------------------------------------- */

static void factors_here(void)
{
	const int b = moka_block();
	const struct sizes s = { 3, 2, 5, 7, 0, 1 };
	const int64_t channels = 2 * b, area = 35, count = 3 * channels * area;
	real *x = numbers(count, 1, 0), *dy = numbers(count, 2, 0), *scale = numbers(channels, 3, 0);
	real *dscale = zeros(channels), *dshift = zeros(channels), *dx = zeros(count);
	const struct moka_tensor t = { x, 3, channels, 5, 7, b, channels * area };
	void *scratch = malloc(moka_affine_scratch(&t));

	dshift[1] = 100;
	moka_affine_backward(three, &t, dy, scale, dscale, dshift, dx, scratch);
	for (int64_t c = 0; c < channels; c++) {
		double product = 0, sum = c == 1 ? 100 : 0;

		for (int64_t n = 0; n < 3; n++)
			for (int64_t i = 0; i < area; i++) {
				const int64_t at = place(&s, b, n, c, i);

				product += (double)dy[at] * (double)x[at];
				sum += (double)dy[at];
				assert_true(fabs((double)(dx[at] - dy[at] * scale[c])) < 1e-6);
			}
		assert_true(fabs((double)dscale[c] - product) < 1e-4);
		assert_true(fabs((double)dshift[c] - sum) < 1e-4);
	}
	free(x), free(dy), free(scale), free(dscale), free(dshift), free(dx), free(scratch);
}

static void factors(void **state)
{
	(void)state;
	on_each_isa(factors_here);
}

/* ---- pooling -------------------------------------------------------------------------------------------- */

struct pool_row {
	int64_t h, w, oh, ow, k[2], s[2], p[2];
};
static const struct pool_row pools[] = {
	{ 7, 7, 1, 1, { 7, 7 }, { 1, 1 }, { 0, 0 } },	{ 9, 8, 4, 4, { 3, 3 }, { 2, 2 }, { 0, 0 } },
	{ 9, 8, 5, 4, { 3, 3 }, { 2, 2 }, { 1, 0 } },	{ 6, 11, 6, 11, { 3, 3 }, { 1, 1 }, { 1, 1 } },
	{ 13, 17, 3, 4, { 2, 3 }, { 5, 5 }, { 0, 1 } }, { 5, 5, 3, 3, { 5, 4 }, { 2, 2 }, { 4, 3 } },
	{ 1, 1, 1, 1, { 1, 1 }, { 1, 1 }, { 0, 0 } },
};

static void pool_reference(const struct pool_row *r, int b, int64_t planes, bool max, const real *x, const real *dy,
			   double *y, double *dx)
{
	for (int64_t p = 0; p < planes; p++)
		for (int64_t o = 0; o < r->oh * r->ow; o++)
			for (int l = 0; l < b; l++) {
				const int64_t h0 = o / r->ow * r->s[0] - r->p[0], w0 = o % r->ow * r->s[1] - r->p[1];
				const int64_t h1 = MOKA_MIN(h0 + r->k[0], r->h + r->p[0]),
					      w1 = MOKA_MIN(w0 + r->k[1], r->w + r->p[1]), size = (h1 - h0) * (w1 - w0);
				const int64_t out = (p * r->oh * r->ow + o) * b + l, in = p * r->h * r->w * b + l;
				double best = -FLT_MAX, sum = 0;
				int64_t at = -1;

				for (int64_t h = MOKA_MAX(h0, 0); h < MOKA_MIN(h1, r->h); h++)
					for (int64_t w = MOKA_MAX(w0, 0); w < MOKA_MIN(w1, r->w); w++) {
						const double v = (double)x[in + (h * r->w + w) * b];

						sum += v;
						if (v > best) {
							best = v;
							at = h * r->w + w;
						}
						if (!max)
							dx[in + (h * r->w + w) * b] += (double)dy[out] / (double)size;
					}
				y[out] = max ? best : sum / (double)size;
				if (max && at >= 0)
					dx[in + at * b] += (double)dy[out];
			}
}

static void one_pool(const struct pool_row *r, bool max)
{
	const int b = moka_block();
	const int64_t planes = 2 * 3, in = planes * r->h * r->w * b, out = planes * r->oh * r->ow * b;
	real *x = numbers(in, 5, 0), *dy = numbers(out, 6, 0), *y = zeros(out), *where = zeros(out), *dx = zeros(in);
	double *ry = calloc((size_t)out, sizeof(double)), *rdx = calloc((size_t)in, sizeof(double));
	const struct moka_tensor tx = { x, 2, 3 * b, r->h, r->w, b, in / 2 },
				 ty = { y, 2, 3 * b, r->oh, r->ow, b, out / 2 };
	struct moka_tensor tdx = tx, tdy = ty;
	const struct moka_pool_desc d = { max ? MOKA_POOL_MAX : MOKA_POOL_AVERAGE,
					  { r->k[0], r->k[1] },
					  { r->s[0], r->s[1] },
					  { r->p[0], r->p[1] } };

	for (int64_t i = 0; i < in; i += 3) /* equal ones: the first counts */
		x[i] = (real)((double)(i % 4) * 0.5);
	pool_reference(r, b, planes, max, x, dy, ry, rdx);
	tdx.data = dx;
	tdy.data = dy;
	if (max)
		moka_pool2d_where(three, &d, &tx, &ty, where);
	else
		moka_pool2d(three, &d, &tx, &ty);
	moka_pool2d_gradient(three, &d, &tdy, max ? where : NULL, &tdx);
	near(y, ry, out, 1e-6, "pooled");
	near(dx, rdx, in, 1e-6, "gradient");
	free(x), free(dy), free(y), free(where), free(dx), free(ry), free(rdx);
}

static void pools_here(void)
{
	for (size_t i = 0; i < MOKA_COUNT(pools); i++) {
		one_pool(&pools[i], true);
		one_pool(&pools[i], false);
	}
}

static void pooling(void **state)
{
	(void)state;
	on_each_isa(pools_here);
}

/* ---- normalisation across channels ------------------------------------------------------------------------ */

static void one_lrn(int64_t size, int64_t blocks, int64_t height, int64_t width)
{
	const int b = moka_block();
	const struct sizes s = { 2, blocks, height, width, 0, 0 };
	const int64_t channels = blocks * b, area = height * width, count = 2 * channels * area, half = (size - 1) / 2;
	const double alpha = 0.4, k = 1.5;
	real *x = numbers(count, 5, 0), *dy = numbers(count, 6, 0), *y = zeros(count), *bracket = zeros(count),
	     *dx = zeros(count);
	double *ry = calloc((size_t)count, sizeof(double)), *rs = calloc((size_t)count, sizeof(double)),
	       *rdx = calloc((size_t)count, sizeof(double));
	const struct moka_tensor t = { x, 2, channels, height, width, b, channels * area };

	for (int pass = 0; pass < 2; pass++)
		for (int64_t n = 0; n < 2; n++)
			for (int64_t c = 0; c < channels; c++)
				for (int64_t i = 0; i < area; i++) {
					const int64_t at = place(&s, b, n, c, i);
					double sum = 0;

					for (int64_t o = MOKA_MAX(c - half, 0); o < MOKA_MIN(c + half + 1, channels);
					     o++) {
						const int64_t to = place(&s, b, n, o, i);

						sum += pass ? (double)dy[to] * ry[to] / rs[to]
							    : (double)x[to] * (double)x[to];
					}
					if (!pass) {
						rs[at] = k + alpha / (double)size * sum;
						ry[at] = (double)x[at] * pow(rs[at], -0.75);
					} else {
						rdx[at] = (double)dy[at] * pow(rs[at], -0.75) -
							  2 * alpha * 0.75 / (double)size * (double)x[at] * sum;
					}
				}
	moka_lrn_across_keep(three, size, (real)alpha, (real)k, &t, bracket, y);
	moka_lrn_across_gradient(three, size, (real)alpha, &t, bracket, y, dy, dx);
	near(y, ry, count, 1e-5, "normalised");
	near(bracket, rs, count, 1e-5, "bracket");
	near(dx, rdx, count, 1e-5, "gradient");
	free(x), free(dy), free(y), free(bracket), free(dx), free(ry), free(rs), free(rdx);
}

static void lrn_here(void)
{
	one_lrn(5, 3, 7, 11);
	one_lrn(1, 1, 1, 1);
	one_lrn(MOKA_LRN_WINDOW, 2, 5, 7);
	one_lrn(3, MOKA_LRN_CHANNELS / moka_block(), 3, 3);
}

static void across_channels(void **state)
{
	(void)state;
	on_each_isa(lrn_here);
}

static const struct CMUnitTest tests[] = {
	T_CASE(normalisation), T_CASE(nan_stays), T_CASE(sums_past_the_caches),
	T_CASE(factors),       T_CASE(pooling),	  T_CASE(across_channels),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
