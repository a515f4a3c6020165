/*
 * test_batch_norm.c - BatchNorm's three modes, its moving sums, and NVIDIA's five-blob form.
 */
#include "layer_test.h"

#include <math.h>

#define BN(settings) "layer { type: 'BatchNorm' bottom: 'x' top: 'y' batch_norm_param { " settings " } }"

/* Mean and variance of channel c of (N, C, inner). */
static void moments(const struct layer_test *x, const real *v, int64_t c, double *mean, double *variance)
{
	const struct moka_shape *s = x->bottom[0].shape;
	const int64_t inner = moka_shape_count_range(s, 2, s->n), m = s->d[0] * inner;
	double sum = 0, squares = 0;

	for (int64_t n = 0; n < s->d[0]; n++)
		for (int64_t i = 0; i < inner; i++) {
			const double a = (double)v[(n * s->d[1] + c) * inner + i];

			sum += a;
			squares += a * a;
		}
	*mean = sum / (double)m;
	*variance = squares / (double)m - *mean * *mean;
}

T_TEST(training_normalises_the_batch)
{
	struct layer_test *x = lt_open(BN("eps: 1e-7"), MOKA_TRAIN, "4x3x5x2");
	double mean, variance;

	T_INT(x->l.n_param, 3);
	lt_forward(x);
	for (int64_t c = 0; c < 3; c++) {
		moments(x, x->top[0].data, c, &mean, &variance);
		T_TRUE(fabs(mean) < 1e-5 && fabs(variance - 1) < 1e-4);
	}
	lt_free(x);
}

/* After two batches: sums of means and unbiased variances, the first worth 0.9, and the same of 1. */
T_TEST(training_moves_the_sums)
{
	struct layer_test *x = lt_open(BN("moving_average_fraction: 0.9"), MOKA_TRAIN, "4x3x5x2");
	double mean, variance;

	lt_forward(x);
	lt_forward(x);
	for (int64_t c = 0; c < 3; c++) {
		moments(x, x->bottom_values[0], c, &mean, &variance);
		T_NEAR(&x->param[0].data[c], &(real){ (real)(1.9 * mean) }, 1, 1e-4, 1e-5);
		T_NEAR(&x->param[1].data[c], &(real){ (real)(1.9 * variance * 40 / 39) }, 1, 1e-4, 1e-5);
	}
	T_NEAR(x->param[2].data, &(real){ (real)1.9 }, 1, 1e-6, 0);
	lt_free(x);
}

T_TEST(test_uses_the_sums)
{
	struct layer_test *x = lt_open(BN("eps: 0"), MOKA_TEST, "1x2x2");
	const real in[] = { 1, 2, 3, 4 }, means[] = { 4, 20 }, variances[] = { 16, 4 };

	for (int i = 0; i < 2; i++) {
		x->param[0].data[i] = means[i];
		x->param[1].data[i] = variances[i];
	}
	x->param[2].data[0] = 2;
	lt_set(x, 0, in);
	lt_forward(x);
	/* means 2 and 10, deviations sqrt(8) and sqrt(2) */
	for (int i = 0; i < 4; i++)
		T_NEAR(&x->top[0].data[i],
		       &(real){ (in[i] - means[i / 2] / 2) / (real)sqrt((double)variances[i / 2] / 2) }, 1, 1e-6, 1e-6);
	T_NEAR(x->param[2].data, &(real){ 2 }, 1, 0, 0); /* and leaves them */
	lt_free(x);
}

/* A divisor of 0 (nothing trained yet): mean 0, variance 0. */
T_TEST(nothing_kept_yet)
{
	struct layer_test *x = lt_open(BN("eps: 0.25"), MOKA_TEST, "1x1x2");
	const real in[] = { 1, -3 }, want[] = { 2, -6 };

	x->param[0].data[0] = 7;
	lt_set(x, 0, in);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 2, 1e-6, 0);
	lt_free(x);
}

T_TEST(in_place_is_the_same)
{
	struct layer_test *a = lt_open(BN(""), MOKA_TRAIN, "3x2x4");
	struct layer_test *b = lt_open("layer { type: 'BatchNorm' bottom: 'x' top: 'x' }", MOKA_TRAIN, "3x2x4");

	lt_forward(a);
	lt_forward(b);
	T_NEAR(b->top[0].data, a->top[0].data, a->top[0].count, 0, 0);
	lt_random_top_diffs(a, 1);
	lt_random_top_diffs(b, 1);
	for (int64_t i = 0; i < b->top[0].count; i++)
		b->top[0].data[i] = 77; /* what a ReLU in place would do */
	lt_backward(a);
	lt_backward(b);
	T_NEAR(b->bottom[0].diff, a->bottom[0].diff, a->bottom[0].count, 0, 0);
	lt_free(a);
	lt_free(b);
}

T_TEST(statistics_are_not_learned)
{
	struct layer_test *x = lt_shape(BN("scale_bias: true"), MOKA_TRAIN, "3x2x4");

	T_INT(x->l.n_param, 5);
	for (int i = 0; i < 5; i++)
		T_INT(x->l.params[i].fixed, i < 3);
	T_STR(x->l.params[3].role, "scale");
	lt_free(x);
}

T_TEST(scale_and_bias_of_nvidia)
{
	struct layer_test *a = lt_open(BN(""), MOKA_TRAIN, "3x2x4"),
			  *b = lt_open(BN("scale_bias: true"), MOKA_TRAIN, "3x2x4");

	for (int i = 0; i < 2; i++) {
		b->param[3].data[i] = (real)(2 + i);
		b->param[4].data[i] = (real)(10 * i);
	}
	lt_forward(a);
	lt_forward(b);
	for (int64_t i = 0; i < a->top[0].count; i++)
		T_NEAR(&b->top[0].data[i],
		       &(real){ a->top[0].data[i] * b->param[3].data[i / 4 % 2] + b->param[4].data[i / 4 % 2] }, 1,
		       1e-6, 1e-6);
	lt_free(a);
	lt_free(b);
}

T_TEST(empty_batch)
{
	struct layer_test *x = lt_open(BN(""), MOKA_TRAIN, "0x3x2");

	lt_forward(x);
	lt_backward(x);
	T_TRUE(x->param[2].data[0] == 0);
	lt_free(x);
}

T_TEST(forms)
{
	struct layer_test *x = lt_shape(BN(""), MOKA_TEST, "?");

	LT_SHAPE(x, 0, "?");
	T_INT(x->l.params[0].shape.d[0], -1);
	lt_free(x);
	LT_REFUSED(BN(""), "scalar", "is a scalar");
}

static const struct CMUnitTest tests[] = {
	T_CASE(training_normalises_the_batch),
	T_CASE(training_moves_the_sums),
	T_CASE(test_uses_the_sums),
	T_CASE(nothing_kept_yet),
	T_CASE(in_place_is_the_same),
	T_CASE(statistics_are_not_learned),
	T_CASE(scale_and_bias_of_nvidia),
	T_CASE(empty_batch),
	T_CASE(forms),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
