/*
 * test_meanfield.c - MultiStageMeanfield: against Gaussian filters summed over all pairs, and what must hold exactly.
 */
#include "layer_test.h"

#include <math.h>

#define CRF(rest)                                                                                                      \
	"layer { type: 'MultiStageMeanfield' bottom: 'u' bottom: 'q' bottom: 'image' top: 'y'"                         \
	" multi_stage_meanfield_param { " rest " } }"

/* The mean of p's values around pixel `at`, weighed by the distance of place (and colour, where theta_c is above 0). */
static double gaussian(const double *p, const real *rgb, int h, int w, int at, double theta, double theta_c)
{
	double sum = 0, weights = 0;

	for (int i = 0; i < h * w; i++) {
		const double dx = (i % w - at % w) / theta, dy = (i / w - at / w) / theta;
		double d = dx * dx + dy * dy;

		for (int k = 0; k < 3 && theta_c > 0; k++)
			d += pow(((double)rgb[k * h * w + i] - (double)rgb[k * h * w + at]) / theta_c, 2);
		weights += exp(-d / 2);
		sum += exp(-d / 2) * p[i];
	}
	return sum / weights;
}

/* Steps of two classes: a lattice is an approximation, so the tolerance is wide; a filter left out is far outside. */
static void check_pairs(const char *layer, int steps, double spatial, double bilateral)
{
	enum { H = 9, W = 13, N = H * W };
	struct layer_test *l = lt_open(layer, MOKA_TEST, "1x2x9x13 1x2x9x13 1x3x9x13");
	double q[2][N], p[2][N], worst = 0;
	real u[2 * N], rgb[3 * N];

	for (int i = 0; i < N; i++) {
		u[i] = (real)sin(i % W * 0.9 + i / W);
		u[N + i] = (real)cos(i % W * 0.4 - i / W * 0.7);
		for (int k = 0; k < 3; k++)
			rgb[k * N + i] = (real)(i % W < 6 ? 10 + k : 60 + 3 * k);
	}
	lt_set(l, 0, u);
	lt_set(l, 1, u);
	lt_set(l, 2, rgb);
	lt_forward(l);
	for (int i = 0; i < 2 * N; i++)
		q[i / N][i % N] = (double)u[i];
	for (int s = 0; s < steps; s++) {
		for (int i = 0; i < N; i++) {
			p[0][i] = 1 / (1 + exp(q[1][i] - q[0][i]));
			p[1][i] = 1 - p[0][i];
		}
		for (int i = 0; i < 2 * N; i++)
			q[i / N][i % N] = (double)u[i] + spatial * gaussian(p[i / N], rgb, H, W, i % N, 2, 0) +
					  bilateral * gaussian(p[i / N], rgb, H, W, i % N, 4, 5);
	}
	for (int i = 0; i < 2 * N; i++)
		worst = fmax(worst, fabs((double)l->top[0].data[i] - q[i / N][i % N]));
	if (!(worst < 0.08 * (spatial + bilateral)))
		fail_msg("%d steps, weights %g and %g: off by up to %g", steps, spatial, bilateral, worst);
	lt_free(l);
}

#define THETAS "theta_alpha: 4 theta_beta: 5 theta_gamma: 2 "

T_TEST(pairs)
{
	check_pairs(CRF(THETAS "num_iterations: 1 spatial_filter_weight: 1 bilateral_filter_weight: 0"), 1, 1, 0);
	check_pairs(CRF(THETAS "num_iterations: 1 spatial_filter_weight: 0 bilateral_filter_weight: 1"), 1, 0, 1);
	check_pairs(CRF(THETAS "num_iterations: 3 spatial_filter_weight: 0.5 bilateral_filter_weight: 1"), 3, 0.5, 1);
}

/* Equal probabilities stay equal whatever is filtered: each step adds the weights' share to every class. */
T_TEST(flat)
{
	struct layer_test *l =
		lt_open(CRF("num_iterations: 5 spatial_filter_weight: 3 bilateral_filter_weight: 5 theta_gamma: 3"),
			MOKA_TEST, "2x4x7x3:z 2x4x7x3:z 2x3x7x3");

	lt_forward(l);
	for (int64_t i = 0; i < l->top[0].count; i++)
		if (!(fabs((double)l->top[0].data[i] - 2) < 1e-4))
			fail_msg("value %lld is %g, want 2", (long long)i, (double)l->top[0].data[i]);
	lt_free(l);
}

/* The parameters: (1, 1, C, C), the weights and -1 on the diagonal. */
T_TEST(parameters)
{
	struct layer_test *l = lt_open(CRF("spatial_filter_weight: 3 bilateral_filter_weight: 5"), MOKA_TEST,
				       "1x3x2x2 1x3x2x2 1x3x2x2");
	static const real want[3] = { 3, 5, -1 };

	assert_int_equal(l->l.n_param, 3);
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < 9; i++)
			assert_true(l->param[k].data[i] == (i % 4 ? 0 : want[k]));
	lt_free(l);
}

/* 1 thread = 3 threads, to the bit, forward and backward; more classes than the filter takes at once. */
T_TEST(threads)
{
	static const char layer[] = CRF("num_iterations: 2 theta_alpha: 5 theta_beta: 0.5 theta_gamma: 2");
	static const char bottoms[] = "2x21x13x5 2x21x13x5 2x3x13x5";
	struct layer_test *a = lt_open_threads(layer, MOKA_TEST, bottoms, 1),
			  *b = lt_open_threads(layer, MOKA_TEST, bottoms, 3);

	for (int i = 0; i < 3; i++)
		lt_set(b, i, a->bottom_values[i]);
	lt_forward(a);
	lt_forward(b);
	lt_random_top_diffs(a, 3);
	lt_random_top_diffs(b, 3);
	lt_backward(a);
	lt_backward(b);
	T_NEAR(b->top[0].data, a->top[0].data, a->top[0].count, 0, 0);
	for (int i = 0; i < 2; i++)
		T_NEAR(b->bottom[i].diff, a->bottom[i].diff, a->bottom[i].count, 0, 0);
	lt_free(a);
	lt_free(b);
}

T_TEST(refused)
{
	struct layer_test *l = lt_shape(CRF(""), MOKA_TEST, "?x21x?x? ? ?");

	LT_SHAPE(l, 0, "?x21x?x?");
	lt_free(l);
	l = lt_open(CRF(""), MOKA_TEST, "0x2x3x3 0x2x3x3 0x3x3x3");
	lt_forward(l);
	lt_free(l);
	LT_REFUSED(CRF("theta_beta: 0"), "1x2x3x3 1x2x3x3 1x3x3x3", "theta_beta must be above 0");
	LT_REFUSED(CRF("num_iterations: 0"), "1x2x3x3 1x2x3x3 1x3x3x3", "at least 1");
	LT_REFUSED(CRF(""), "1x2x3x3 1x2x3x3 1x1x3x3", "must have 3 channels");
	LT_REFUSED(CRF(""), "1x2x3x3 1x2x3x4 1x3x3x3", "the same scores");
	LT_REFUSED(CRF(""), "1x2 1x2 1x3", "blobs of 4 axes");
	l = lt_open(CRF("theta_beta: 1e-30"), MOKA_TEST, "1x2x3x3 1x2x3x3 1x3x3x3");
	assert_int_equal(lt_try_forward(l), MOKA_ERR_DATA);
	T_HAS(l->err.message, "too far out");
	lt_free(l);
}

static const struct CMUnitTest tests[] = { T_CASE(pairs), T_CASE(flat), T_CASE(parameters), T_CASE(threads),
					   T_CASE(refused) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
