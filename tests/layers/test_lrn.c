/*
 * test_lrn.c - LRN (both regions), MVN and Normalize against plain loops, and what they refuse.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>

#define LRN(settings) "layer { type: 'LRN' bottom: 'x' top: 'y' lrn_param { " settings " } }"
#define MVN(settings) "layer { type: 'MVN' bottom: 'x' top: 'y' mvn_param { " settings " } }"
#define NORM(settings) "layer { type: 'Normalize' bottom: 'x' top: 'y' norm_param { " settings " } }"

static double square_at(const struct layer_test *x, int64_t n, int64_t c, int64_t h, int64_t w)
{
	const int64_t *d = x->bottom[0].shape->d;
	double v;

	if (c < 0 || c >= d[1] || h < 0 || h >= d[2] || w < 0 || w >= d[3])
		return 0;
	v = (double)x->bottom_values[0][((n * d[1] + c) * d[2] + h) * d[3] + w];
	return v * v;
}

/* Over `size` channels, or size x size places. */
static void check_lrn(const char *text, const char *bottom, int size, double alpha, double beta, double k, bool within)
{
	struct layer_test *x = lt_open(text, MOKA_TEST, bottom);
	const int64_t *d = x->bottom[0].shape->d;

	lt_forward(x);
	for (int64_t i = 0; i < x->top[0].count; i++) {
		const int64_t n = i / (d[1] * d[2] * d[3]), c = i / (d[2] * d[3]) % d[1], h = i / d[3] % d[2],
			      w = i % d[3];
		double sum = 0;

		for (int a = -(size / 2); a <= size / 2; a++) {
			sum += within ? 0 : square_at(x, n, c + a, h, w);
			for (int b = -(size / 2); within && b <= size / 2; b++)
				sum += square_at(x, n, c, h + a, w + b) / size;
		}
		const real want = (real)((double)x->bottom_values[0][i] * pow(k + alpha / size * sum, -beta));
		T_NEAR(&x->top[0].data[i], &want, 1, 1e-4, 1e-6);
	}
	lt_free(x);
}

T_TEST(lrn_is_its_definition)
{
	check_lrn(LRN(""), "2x7x3x4", 5, 1, 0.75, 1, false);
	check_lrn(LRN("local_size: 3 alpha: 0.0001 beta: 0.75 k: 2"), "1x13x5x1", 3, 1e-4, 0.75, 2, false);
	check_lrn(LRN("local_size: 11 alpha: 3 beta: 0.5"), "1x4x2x2", 11, 3, 0.5, 1, false);
	check_lrn(LRN("local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL k: 9"), "2x3x5x4", 3, 2, 0.75, 1, true);
	check_lrn(LRN("local_size: 7 alpha: 2 beta: 1.5 norm_region: WITHIN_CHANNEL"), "1x2x3x4", 7, 2, 1.5, 1, true);
}

/* Every row has mean 0 and, where asked, deviation 1. */
static void check_mvn(const char *text, const char *bottom, const char *top, int64_t row, bool variance)
{
	struct layer_test *x = lt_open(text, MOKA_TEST, bottom);

	LT_SHAPE(x, 0, top);
	lt_forward(x);
	for (int64_t r = 0; r < x->top[0].count / row; r++) {
		double sum = 0, squares = 0;

		for (int64_t i = r * row; i < (r + 1) * row; i++) {
			sum += (double)x->top[0].data[i];
			squares += (double)x->top[0].data[i] * (double)x->top[0].data[i];
		}
		T_TRUE(fabs(sum / (double)row) < 1e-5);
		T_TRUE(!variance || fabs(squares / (double)row - 1) < 1e-4);
		T_TRUE(variance ||
		       fabs((double)(x->top[0].data[r * row] - x->top[0].data[r * row + 1]) -
			    (double)(x->bottom_values[0][r * row] - x->bottom_values[0][r * row + 1])) < 1e-5);
	}
	lt_free(x);
}

T_TEST(mvn_normalises_rows)
{
	check_mvn(MVN(""), "2x3x4x5", "2x3x4x5", 20, true);
	check_mvn(MVN("across_channels: true"), "2x3x4x5", "2x3x4x5", 60, true);
	check_mvn(MVN("normalize_variance: false"), "2x3x4x5", "2x3x4x5", 20, false);
	check_mvn(MVN("across_channels: true"), "5x7", "5x7x1x1", 7, true); /* as in Caffe, 4 axes at least */
}

T_TEST(normalize_lengths)
{
	struct layer_test *x = lt_open(NORM("across_spatial: false channel_shared: false"), MOKA_TEST, "1x2x1x2");
	const real in[] = { 3, 5, 4, 12 }, want[] = { (real)0.6, (real)(5. / 13), (real)1.6, (real)(24. / 13) };

	lt_set(x, 0, in);
	x->param[0].data[1] = 2;
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 4, 1e-5, 0);
	lt_free(x);
	x = lt_open(NORM(""), MOKA_TEST, "1x2x1x2");
	T_INT(x->param[0].shape->n, 0);
	lt_set(x, 0, in);
	lt_forward(x);
	for (int i = 0; i < 4; i++)
		T_NEAR(&x->top[0].data[i], &(real){ in[i] / (real)sqrt(194.) }, 1, 1e-5, 0);
	lt_free(x);
}

T_TEST(bad_settings)
{
	LT_REFUSED(LRN("local_size: 4"), "1x2x3x4", "local_size must be an odd number, and is 4");
	LT_REFUSED(LRN("local_size: 0"), "1x2x3x4", "local_size must be an odd number, and is 0");
	LT_REFUSED(LRN(""), "1x2", "blobs of 4 axes (num, channels, height, width), and 'x' is 1x2");
	LT_REFUSED(NORM(""), "3", "blobs of 2 axes or more, and 'x' is 3");
}

static const struct CMUnitTest tests[] = {
	T_CASE(lrn_is_its_definition),
	T_CASE(mvn_normalises_rows),
	T_CASE(normalize_lengths),
	T_CASE(bad_settings),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
