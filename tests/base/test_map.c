/* Maps, nearest names, random numbers. */
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

T_TEST(map_keeps_what_it_is_given)
{
	enum { N = 5000 };
	struct moka_map m;
	char(*keys)[16] = calloc(N, sizeof(*keys));
	static int values[N];

	moka_map_init(&m);
	T_FALSE(moka_map_get(&m, "none"));
	for (int i = 0; i < N; i++) {
		snprintf(keys[i], sizeof(keys[i]), "layer%d", i);
		T_TRUE(moka_map_put(&m, keys[i], &values[i]));
	}
	T_INT(m.n, N);
	for (int i = 0; i < N; i++)
		T_TRUE(moka_map_get(&m, keys[i]) == &values[i]);
	T_FALSE(moka_map_get(&m, "layer5000"));
	T_FALSE(moka_map_get(&m, ""));
	T_TRUE(moka_map_put(&m, "layer7", &values[0]));
	T_TRUE(moka_map_get(&m, keys[7]) == &values[0]);
	T_INT(m.n, N);
	T_TRUE(moka_map_put(&m, "", &values[1]));
	T_TRUE(moka_map_get(&m, "") == &values[1]);
	moka_map_release(&m);
	moka_map_release(&m);
	T_FALSE(moka_map_get(&m, "layer1"));
	free(keys);
}

T_TEST(maps_have_seeds_of_their_own)
{
	struct moka_map a, b;

	moka_map_init(&a);
	moka_map_init(&b);
	T_TRUE(a.seed != b.seed);
}

T_TEST(distance_counts_slips)
{
	static const struct {
		const char *a, *b;
		int d;
	} rows[] = {
		{ "pool", "pool", 0 },
		{ "relu", "ReLU", 0 },
		{ "num_output", "numOutput", 0 },
		{ "pol", "pool", 1 },
		{ "plo", "pol", 1 },
		{ "kernal_size", "kernel_size", 1 },
		{ "", "abc", 3 },
		{ "Convolutoin", "Convolution", 1 },
		{ "abcd", "wxyz", 4 },
		{ "ca", "abc", 3 }, /* optimal string alignment, not full Damerau */
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		T_INT(moka_name_distance(rows[i].a, rows[i].b), rows[i].d);
		T_INT(moka_name_distance(rows[i].b, rows[i].a), rows[i].d);
	}
}

T_TEST(nearest_is_found_or_nothing)
{
	static const char *const names[] = { "Convolution", "Deconvolution", "InnerProduct", "ReLU",
					     "PReLU",	    "Pooling",	     "Softmax",	     "SoftmaxWithLoss",
					     "Concat",	    "kernel_size",   "kernel_h" };
	static const struct {
		const char *want, *best;
	} rows[] = {
		{ "Convolutional", "Convolution" },
		{ "InerProduct", "InnerProduct" },
		{ "relu", "ReLU" },
		{ "SoftMax", "Softmax" },
		{ "kernal_size", "kernel_size" },
		{ "Conact", "Concat" },
		{ "Attention", NULL },
		{ "x", NULL },
		{ "", NULL },
		{ "Poling", "Pooling" },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_nearest n = { 0 };
		for (size_t k = 0; k < MOKA_COUNT(names); k++)
			moka_nearest_try(&n, rows[i].want, names[k]);
		if (rows[i].best) {
			T_TRUE(n.best);
			T_STR(n.best, rows[i].best);
		} else {
			T_FALSE(n.best);
		}
	}
}

T_TEST(long_names_cost_nothing)
{
	size_t n = 1 << 20;
	char *a = malloc(n + 1), *b = malloc(n + 1);
	struct moka_nearest near = { 0 };

	memset(a, 'a', n), memset(b, 'b', n);
	a[n] = b[n] = '\0';
	T_TRUE(moka_name_distance(a, b) > 1000);
	moka_nearest_try(&near, a, b);
	T_FALSE(near.best);
	memset(a, '_', n);
	T_INT(moka_name_distance(a, "x"), 1);
	free(a), free(b);
}

T_TEST(rng_repeats_and_streams_differ)
{
	struct moka_rng a, b, c, d;
	int same = 0;

	moka_rng_seed(&a, 1, 2);
	moka_rng_seed(&b, 1, 2);
	moka_rng_seed(&c, 2, 1);
	moka_rng_seed(&d, 1, 3);
	for (int i = 0; i < 100; i++) {
		uint64_t x = moka_rng_next(&a);
		T_TRUE(x == moka_rng_next(&b));
		same += x == moka_rng_next(&c);
		same += x == moka_rng_next(&d);
	}
	T_INT(same, 0);
}

/* The published generator: state 1, 2, 3, 4 gives these first numbers. */
T_TEST(rng_is_xoshiro256starstar)
{
	static const uint64_t want[] = { 11520, 0, 1509978240, 1215971899390074240 };
	struct moka_rng r = { { 1, 2, 3, 4 } };

	for (size_t i = 0; i < MOKA_COUNT(want); i++)
		T_TRUE(moka_rng_next(&r) == want[i]);
}

T_TEST(rng_has_the_right_moments)
{
	enum { N = 200000 };
	struct moka_rng r;
	double u = 0, uu = 0, g = 0, gg = 0, tail = 0;
	int count[7] = { 0 };

	moka_rng_seed(&r, 42, 0);
	for (int i = 0; i < N; i++) {
		double x = moka_rng_uniform(&r), y = moka_rng_gaussian(&r);
		T_TRUE(x >= 0 && x < 1 && isfinite(y));
		u += x, uu += x * x, g += y, gg += y * y;
		tail += fabs(y) > 1.959964;
		uint64_t k = moka_rng_below(&r, 7);
		T_TRUE(k < 7);
		count[k]++;
	}
	T_TRUE(fabs(u / N - 0.5) < 0.004);
	T_TRUE(fabs(uu / N - 1.0 / 3) < 0.004);
	T_TRUE(fabs(g / N) < 0.012);
	T_TRUE(fabs(gg / N - 1) < 0.02);
	T_TRUE(fabs(tail / N - 0.05) < 0.003);
	for (int i = 0; i < 7; i++)
		T_TRUE(abs(count[i] - N / 7) < 800);
	T_INT(moka_rng_below(&r, 0), 0);
	T_INT(moka_rng_below(&r, 1), 0);
	T_TRUE(moka_rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static const struct CMUnitTest tests[] = {
	T_CASE(map_keeps_what_it_is_given), T_CASE(maps_have_seeds_of_their_own),
	T_CASE(distance_counts_slips),	    T_CASE(nearest_is_found_or_nothing),
	T_CASE(long_names_cost_nothing),    T_CASE(rng_repeats_and_streams_differ),
	T_CASE(rng_is_xoshiro256starstar),  T_CASE(rng_has_the_right_moments),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
