/* Flat vectors at lengths around every block, and in place. */
#include "kernels/kernels.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t lengths[] = { 0, 1, 3, 13, 15, 16, 17, 127, 128, 1000, 4096, 4097, 100003 };
enum { MOST = 100003 };

static real x[MOST], y[MOST], z[MOST];

static void fill(void)
{
	struct moka_rng r;

	moka_rng_seed(&r, 7, 7);
	for (int i = 0; i < MOST; i++)
		x[i] = (real)(moka_rng_uniform(&r) - 0.5), z[i] = (real)(moka_rng_uniform(&r) - 0.5);
	memcpy(y, z, sizeof(y));
}

/* y[i] is what it should be for i < n, and untouched behind. */
#define EXPECT(n, value)                                                                                               \
	for (int64_t i = 0; i < MOST; i++) {                                                                           \
		real want_ = i < (n) ? (real)(value) : z[i];                                                           \
		if (fabs((double)y[i] - (double)want_) > 1e-6)                                                         \
			fail_msg("n %lld, element %lld", (long long)(n), (long long)i);                                \
	}

T_TEST(element_by_element)
{
	for (size_t k = 0; k < MOKA_COUNT(lengths); k++) {
		const int64_t n = lengths[k];
		fill();
		moka_axpy(n, (real)0.3, x, y);
		EXPECT(n, z[i] + (real)0.3 * x[i]);
		fill();
		moka_axpby(n, 2, x, (real)-0.5, y);
		EXPECT(n, 2 * x[i] - (real)0.5 * z[i]);
		fill();
		moka_axpby(n, 2, y, 3, y); /* in place */
		EXPECT(n, 5 * z[i]);
		fill();
		moka_scale(n, -3, y);
		EXPECT(n, -3 * z[i]);
		fill();
		moka_set(n, 9, y);
		EXPECT(n, 9);
		fill();
		for (int64_t i = 0; i < n; i++)
			y[i] = (real)NAN;
		moka_axpby(n, 2, x, 0, y); /* 0 overwrites */
		EXPECT(n, 2 * x[i]);
	}
}

/* In place and not; NaN stays NaN. */
T_TEST(lines_and_kinks)
{
	for (size_t k = 0; k < MOKA_COUNT(lengths); k++) {
		const int64_t n = lengths[k];
		fill();
		moka_line(n, 2, x, (real)0.25, y);
		EXPECT(n, 2 * x[i] + (real)0.25);
		fill();
		moka_line(n, 2, y, 1, y);
		EXPECT(n, 2 * z[i] + 1);
		fill();
		moka_plane(n, 2, x, -3, y, (real)0.5, y);
		EXPECT(n, 2 * x[i] - 3 * z[i] + (real)0.5);
		fill();
		moka_standardise(n, (real)0.1, 2, y, y);
		EXPECT(n, (z[i] - (real)0.1) / 2);
		fill();
		moka_relu(n, (real)0.1, y, y);
		EXPECT(n, z[i] > 0 ? z[i] : (real)0.1 * z[i]);
		fill();
		moka_relu_gradient(n, (real)0.1, x, y, y);
		EXPECT(n, x[i] > 0 ? z[i] : (real)0.1 * z[i]);
	}
	x[0] = (real)NAN;
	moka_relu(1, 0, x, y);
	T_TRUE(isnan(y[0]));
}

T_TEST(wide_sums)
{
	fill();
	for (size_t k = 0; k < MOKA_COUNT(lengths); k++) {
		double sum = 0, dot = 0, deviation = 0;

		for (int64_t i = 0; i < lengths[k]; i++) {
			sum += (double)x[i];
			dot += (double)x[i] * (double)z[i];
			deviation += ((double)x[i] - 0.25) * ((double)x[i] - 0.25);
		}
		T_TRUE(fabs(moka_wide_sum(lengths[k], x) - sum) < 1e-10);
		T_TRUE(fabs(moka_wide_dot(lengths[k], x, z) - dot) < 1e-10);
		T_TRUE(fabs(moka_wide_deviation(lengths[k], 0.25, x) - deviation) < 1e-9);
	}
}

T_TEST(sums)
{
	fill();
	for (size_t k = 0; k < MOKA_COUNT(lengths); k++) {
		const int64_t n = lengths[k];
		double dot = 0, sum = 0, asum = 0;
		for (int64_t i = 0; i < n; i++) {
			dot += (double)x[i] * (double)z[i];
			sum += (double)x[i];
			asum += fabs((double)x[i]);
		}
		T_TRUE(fabs((double)moka_dot(n, x, z) - dot) <= 1e-6 * (1 + sqrt((double)n)));
		T_TRUE(fabs((double)moka_sum(n, x) - sum) <= 1e-6 * (1 + sqrt((double)n)));
		T_TRUE(fabs((double)moka_asum(n, x) - asum) <= 1e-6 * (1 + asum));
	}
}

/* A million and a half ones and a third: a single chain of floats would lose digits. */
T_TEST(long_sums_keep_their_digits)
{
	enum { N = 1500000 };
	real *v = malloc(N * sizeof(real));

	for (int i = 0; i < N; i++)
		v[i] = (real)(4.0 / 3);
	T_TRUE(fabs((double)moka_sum(N, v) / N / (double)v[0] - 1) < 1e-5);
	T_TRUE(fabs((double)moka_dot(N, v, v) / N / ((double)v[0] * (double)v[0]) - 1) < 1e-5);
	free(v);
}

/* ---- e to the x ------------------------------------------------------------------------------------------------- */

static double worst_of(void (*fn)(int64_t n, const real *x, real *y), double (*want)(double), double from, double to,
		       double floor)
{
	enum { COUNT = 20011 };
	static real from_x[COUNT], to_y[COUNT];
	double worst = 0;

	for (int i = 0; i < COUNT; i++)
		from_x[i] = (real)(from + (to - from) * i / (COUNT - 1));
	fn(COUNT, from_x, to_y);
	for (int i = 0; i < COUNT; i++) {
		const double v = want((double)from_x[i]);

		worst = fmax(worst, fabs((double)to_y[i] - v) / fmax(fabs(v), floor));
	}
	return worst;
}

static void exp_of(int64_t n, const real *in, real *out)
{
	moka_exp(n, 0, in, out);
}

static double sigmoid_exactly(double v)
{
	return 1 / (1 + exp(-v));
}

T_TEST(exponentials)
{
	static const real odd[] = { (real)-INFINITY, (real)INFINITY, (real)NAN, 0, -0.0f, 3e38f, -3e38f, 1e-40f };
	real out[8], twice[3] = { 1, 2, 3 };

	T_TRUE(worst_of(exp_of, exp, -87, 88.7, 0) < 2e-7);
	T_TRUE(worst_of(exp_of, exp, -0.01, 0.01, 0) < 2e-7);
	T_TRUE(worst_of(exp_of, exp, -110, -87, 1e-38) < 3e-7); /* down to 0 through what is not normal */
	T_TRUE(worst_of(moka_tanh, tanh, -12, 12, 0) < 4e-7);
	T_TRUE(worst_of(moka_tanh, tanh, -0.7, 0.7, 1e-12) < 4e-7);
	T_TRUE(worst_of(moka_tanh, tanh, -1e-20, 1e-20, 1e-30) < 4e-7);
	T_TRUE(worst_of(moka_sigmoid, sigmoid_exactly, -100, 100, 1) < 2e-7);
	moka_exp(8, 0, odd, out);
	T_TRUE(out[0] == 0 && isinf((double)out[1]) && out[1] > 0 && isnan((double)out[2]) && out[3] == 1 &&
	       out[4] == 1);
	T_TRUE(isinf((double)out[5]) && out[6] == 0 && out[7] == 1);
	moka_tanh(8, odd, out);
	T_TRUE(out[0] == -1 && out[1] == 1 && isnan((double)out[2]) && out[3] == 0 && out[4] == 0 &&
	       signbit((double)out[4]));
	T_TRUE(out[5] == 1 && out[6] == -1 && out[7] == odd[7]);
	moka_exp(3, 1, twice, twice); /* in place */
	T_TRUE(fabs((double)twice[2] - exp(2)) < 2e-6 && twice[0] == 1);
}

static const struct CMUnitTest tests[] = {
	T_CASE(exponentials), T_CASE(element_by_element),	   T_CASE(lines_and_kinks), T_CASE(wide_sums),
	T_CASE(sums),	      T_CASE(long_sums_keep_their_digits),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
