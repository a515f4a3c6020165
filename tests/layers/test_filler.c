/*
 * test_filler.c - fillers: their distributions by their moments, bilinear by its numbers, and what they refuse.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>

/* A filler of one type, with the file format's defaults. */
static struct moka_filler_param filler(const char *type)
{
	return (struct moka_filler_param){ .type = type, .max = 1, .std = 1, .sparse = -1 };
}

struct moments {
	double mean, deviation, low, high, zeros;
};

static struct moments fill(const struct moka_filler_param *p, struct moka_shape s)
{
	const int64_t n = moka_shape_count(&s);
	real *v = malloc((size_t)n * sizeof(real));
	struct moments m = { 0, 0, INFINITY, -INFINITY, 0 };
	struct moka_error err = { 0 };
	struct moka_rng rng;

	moka_rng_seed(&rng, 42, 0);
	T_OK(moka_fill(p, &s, v, &rng, &err), &err);
	for (int64_t i = 0; i < n; i++) {
		m.mean += (double)v[i] / (double)n;
		m.low = fmin(m.low, (double)v[i]);
		m.high = fmax(m.high, (double)v[i]);
		m.zeros += v[i] == 0;
	}
	for (int64_t i = 0; i < n; i++)
		m.deviation += ((double)v[i] - m.mean) * ((double)v[i] - m.mean) / (double)n;
	m.deviation = sqrt(m.deviation);
	free(v);
	return m;
}

static void near(double got, double want, double tolerance)
{
	if (!(fabs(got - want) <= tolerance))
		fail_msg("%g, %g wanted", got, want);
}

T_TEST(constant)
{
	struct moka_filler_param p = filler("constant");
	p.value = 3.5f;
	const struct moments m = fill(&p, moka_shape_make(2, (int64_t)3, (int64_t)4)),
			     zero = fill(NULL, moka_shape_make(0));

	T_TRUE(m.low == 3.5 && m.high == 3.5 && zero.low == 0 && zero.high == 0);
}

T_TEST(uniform)
{
	struct moka_filler_param p = filler("uniform");
	p.min = -2;
	p.max = 4;
	const struct moments m = fill(&p, moka_shape_make(2, (int64_t)100, (int64_t)200));

	T_TRUE(m.low >= -2 && m.high <= 4);
	near(m.mean, 1, 0.05);
	near(m.deviation, 6 / sqrt(12), 0.05);
}

T_TEST(gaussian)
{
	struct moka_filler_param p = filler("gaussian");
	p.mean = 2;
	p.std = 0.5;
	const struct moments m = fill(&p, moka_shape_make(2, (int64_t)100, (int64_t)200));

	near(m.mean, 2, 0.02);
	near(m.deviation, 0.5, 0.02);
}

/* 5 of 100 outputs for each input stay. */
T_TEST(sparse_gaussian)
{
	struct moka_filler_param p = filler("gaussian");
	p.sparse = 5;
	const struct moments m = fill(&p, moka_shape_make(2, (int64_t)100, (int64_t)200));

	near(m.zeros, 19000, 300);
}

/* Bounds sqrt(3 / n), deviations sqrt(2 / n); n is the inputs, the outputs, or half of both. Shape (20, 50, 3, 3). */
T_TEST(xavier_and_msra)
{
	static const double fans[] = { 450, 180, 315 };

	for (int norm = 0; norm < 3; norm++) {
		struct moka_filler_param x = filler("xavier"), m = filler("msra");
		const struct moka_shape s = moka_shape_make(4, (int64_t)20, (int64_t)50, (int64_t)3, (int64_t)3);
		const double bound = sqrt(3 / fans[norm]);
		struct moments a;

		x.variance_norm = m.variance_norm = norm;
		a = fill(&x, s);
		T_TRUE(a.low >= -bound && a.high <= bound && a.high > 0.99 * bound);
		near(a.mean, 0, 0.01);
		near(fill(&m, s).deviation, sqrt(2 / fans[norm]), 0.01 * sqrt(2 / fans[norm]) * 3);
	}
}

T_TEST(unitball)
{
	struct moka_filler_param p = filler("positive_unitball");
	struct moka_shape s = moka_shape_make(2, (int64_t)3, (int64_t)4);
	struct moka_rng rng;
	real v[12];

	moka_rng_seed(&rng, 1, 0);
	T_OK(moka_fill(&p, &s, v, &rng, NULL), NULL);
	for (int i = 0; i < 3; i++)
		near((double)moka_sum(4, v + 4 * i), 1, 1e-5);
	for (int i = 0; i < 12; i++)
		T_TRUE(v[i] >= 0);
}

T_TEST(bilinear)
{
	struct moka_filler_param p = filler("bilinear");
	struct moka_shape s = moka_shape_make(4, (int64_t)1, (int64_t)1, (int64_t)4, (int64_t)4);
	const real row[] = { 0.25, 0.75, 0.75, 0.25 };
	struct moka_rng rng;
	real v[16];

	moka_rng_seed(&rng, 1, 0);
	T_OK(moka_fill(&p, &s, v, &rng, NULL), NULL);
	for (int i = 0; i < 16; i++)
		T_NEAR(&v[i], &(real){ row[i / 4] * row[i % 4] }, 1, 1e-6, 0);
}

static void refused(const char *type, int32_t sparse, struct moka_shape s, const char *words)
{
	struct moka_filler_param p = filler(type);
	struct moka_error err = { 0 };
	struct moka_rng rng;
	real v[64];

	p.sparse = sparse;
	moka_rng_seed(&rng, 1, 0);
	T_TRUE(moka_fill(&p, &s, v, &rng, &err) != MOKA_OK);
	T_HAS(err.message, words);
}

T_TEST(what_is_refused)
{
	const struct moka_shape scalar = moka_shape_make(0), matrix = moka_shape_make(2, (int64_t)2, (int64_t)3);

	refused("gausian", -1, matrix, "did you mean 'gaussian'?");
	refused("zzzzzzzzz", -1, matrix, "only constant");
	refused("xavier", -1, scalar, "needs at least one axis");
	refused("bilinear", -1, matrix, "weights of 4 axes, and these are 2x3");
	refused("bilinear", -1, moka_shape_make(4, (int64_t)1, (int64_t)1, (int64_t)2, (int64_t)3), "square kernel");
	refused("uniform", 3, matrix, "sparse: 3");
	refused("gaussian", -2, matrix, "sparse: -2");
}

T_TEST(empty_is_left_alone)
{
	struct moka_filler_param p = filler("xavier");
	struct moka_shape s = moka_shape_make(2, (int64_t)0, (int64_t)4);

	T_OK(moka_fill(&p, &s, NULL, NULL, NULL), NULL);
}

static const struct CMUnitTest tests[] = {
	T_CASE(constant),	 T_CASE(uniform),	  T_CASE(gaussian),
	T_CASE(sparse_gaussian), T_CASE(xavier_and_msra), T_CASE(unitball),
	T_CASE(bilinear),	 T_CASE(what_is_refused), T_CASE(empty_is_left_alone),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
