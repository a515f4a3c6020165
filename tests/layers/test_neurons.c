/*
 * test_neurons.c - the element-wise layers, held against the formula in double precision; in place against out of place;
 * one thread against three.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

struct row {
	const char *type, *param;
	const char *kind; /* of values, as layer_test.h has it */
	double (*y)(double x), (*slope)(double x);
};

/* clang-format off */
static double sign(double x) { return (x > 0) - (x < 0); }
static double one(double x) { return x == x ? 1 : x; }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double sigmoid_slope(double x) { return sigmoid(x) * (1 - sigmoid(x)); }
static double bnll(double x) { return x > 30 ? x : log(1 + exp(x)); }
static double clip(double x) { return x < -0.5 ? -0.5 : x > 0.7f ? 0.7f : x; }
static double clip_slope(double x) { return x >= -0.5 && x <= 0.7f; }
static double elu(double x) { return x > 0 ? x : 0.7f * (exp(x) - 1); }
static double elu_slope(double x) { return x > 0 ? 1 : 0.7f * exp(x); }
static double elu_minus(double x) { return x > 0 ? x : -0.5 * (exp(x) - 1); }
static double elu_minus_slope(double x) { return x > 0 ? 1 : -0.5 * exp(x); }
static double exp2_(double x) { return pow(2, 0.25 + 0.5 * x); }
static double exp2_slope(double x) { return log(2) * 0.5 * exp2_(x); }
static double exp_e(double x) { return exp(0.25 + 0.5 * x); }
static double exp_e_slope(double x) { return 0.5 * exp_e(x); }
static double log_slope(double x) { return 1 / x; }
static double log10_(double x) { return log10(2 * x + 1); }
static double log10_slope(double x) { return 2 / (2 * x + 1) / log(10); }
static double cube(double x) { return x * x * x; }
static double cube_slope(double x) { return 3 * x * x; }
static double square(double x) { return (0.5 * x + 3) * (0.5 * x + 3); }
static double square_slope(double x) { return 0.5 * x + 3; }
static double root(double x) { return sqrt(2 * x + 0.5); }
static double root_slope(double x) { return 1 / sqrt(2 * x + 0.5); }
static double line(double x) { return -2 * x + 1; }
static double line_slope(double x) { return -2 * one(x); }
static double eight(double x) { return 8 * one(x); }
static double nothing(double x) { return 0 * one(x); }
static double relu(double x) { return x > 0 ? x : 0.25 * x; }
static double relu_slope(double x) { return x > 0 ? 1 : 0.25; }
static double relu_minus(double x) { return x > 0 ? x : -0.5 * x; }
static double relu_minus_slope(double x) { return x > 0 ? 1 : -0.5; }
static double swish(double x) { return x * sigmoid(1.5 * x); }
static double swish_slope(double x) { return sigmoid(1.5 * x) + 1.5 * x * sigmoid_slope(1.5 * x); }
static double tanh_slope(double x) { return 1 - tanh(x) * tanh(x); }
static double step(double x) { return x > 0.25; }
static double same(double x) { return x; }
/* clang-format on */

static const struct row rows[] = {
	{ "AbsVal", "", "g", fabs, sign },
	{ "BNLL", "", "g", bnll, sigmoid },
	{ "Clip", "clip_param { min: -0.5 max: 0.7 }", "g", clip, clip_slope },
	{ "Dropout", "", "g", same, one }, /* in testing */
	{ "ELU", "elu_param { alpha: 0.7 }", "g", elu, elu_slope },
	{ "ELU", "elu_param { alpha: -0.5 }", "g", elu_minus, elu_minus_slope },
	{ "Exp", "", "g", exp, exp },
	{ "Exp", "exp_param { scale: 0.5 shift: 0.25 }", "g", exp_e, exp_e_slope },
	{ "Exp", "exp_param { base: 2 scale: 0.5 shift: 0.25 }", "g", exp2_, exp2_slope },
	{ "Log", "", "u", log, log_slope },
	{ "Log", "log_param { base: 10 scale: 2 shift: 1 }", "u", log10_, log10_slope },
	{ "Power", "", "g", same, one },
	{ "Power", "power_param { power: 3 }", "z", cube, cube_slope }, /* at 0: no 0 / 0 */
	{ "Power", "power_param { power: 3 }", "u", cube, cube_slope },
	{ "Power", "power_param { power: 2 scale: 0.5 shift: 3 }", "g", square, square_slope },
	{ "Power", "power_param { power: 0.5 scale: 2 shift: 0.5 }", "u", root, root_slope },
	{ "Power", "power_param { scale: -2 shift: 1 }", "g", line, line_slope },
	{ "Power", "power_param { power: 3 scale: 0 shift: 2 }", "g", eight, nothing },
	{ "Power", "power_param { power: 0 }", "g", one, nothing },
	{ "ReLU", "relu_param { negative_slope: 0.25 }", "g", relu, relu_slope },
	{ "ReLU", "relu_param { negative_slope: -0.5 }", "g", relu_minus, relu_minus_slope },
	{ "Sigmoid", "", "g", sigmoid, sigmoid_slope },
	{ "Swish", "swish_param { beta: 1.5 }", "g", swish, swish_slope },
	{ "TanH", "", "g", tanh, tanh_slope },
	{ "Threshold", "threshold_param { threshold: 0.25 }", "g", step, NULL },
};

static const char *const shapes[] = { "1x1", "3x13", "127", "2x4x2x8", "2x3x53x67x2", "0x5", "scalar" };

static struct layer_test *open_row(const struct row *r, const char *shape, bool in_place, int threads)
{
	static char text[256]; /* the harness keeps the pointer until the layer is freed; each run reads it at once */
	char bottoms[64];

	snprintf(text, sizeof(text), "layer { type: '%s' bottom: 'x' top: '%s' %s }", r->type, in_place ? "x" : "y",
		 r->param);
	snprintf(bottoms, sizeof(bottoms), "%s:%s", shape, r->kind);
	return lt_open_threads(text, MOKA_TEST, bottoms, threads);
}

/* One run: y and dx, and the input and dy that it had. */
struct run {
	int64_t n;
	real x[50000], y[50000], dx[50000], dy[50000];
};

static void run(const struct row *r, const char *shape, bool in_place, int threads, struct run *out)
{
	struct layer_test *x = open_row(r, shape, in_place, threads);
	const size_t bytes = (size_t)x->top[0].count * sizeof(real);

	LT_SHAPE(x, 0, shape);
	out->n = x->top[0].count;
	assert_true((size_t)out->n < MOKA_COUNT(out->x));
	memcpy(out->x, x->bottom_values[0], bytes);
	lt_forward(x);
	memcpy(out->y, x->top[0].data, bytes);
	if (r->slope) {
		lt_random_top_diffs(x, 9);
		memcpy(out->dy, x->top[0].diff, bytes);
		lt_backward(x);
		memcpy(out->dx, x->bottom[0].diff, bytes);
	}
	lt_free(x);
}

static struct run a, b;
static real want[50000];

static void check_row(const struct row *r, const char *shape)
{
	run(r, shape, false, 1, &a);
	for (int64_t i = 0; i < a.n; i++)
		want[i] = (real)r->y((double)a.x[i]);
	T_NEAR(a.y, want, a.n, 2e-6, 1e-6);
	for (int64_t i = 0; r->slope && i < a.n; i++)
		want[i] = (real)(r->slope((double)a.x[i]) * (double)a.dy[i]);
	if (r->slope)
		T_NEAR(a.dx, want, a.n, 5e-6, 1e-6);
	for (int in_place = 0; in_place < 2; in_place++) {
		run(r, shape, in_place, 3, &b);
		T_TRUE(!memcmp(a.y, b.y, (size_t)a.n * sizeof(real)));
		if (r->slope && in_place)
			T_NEAR(b.dx, a.dx, a.n, 1e-6, 1e-7);
		else if (r->slope)
			T_TRUE(!memcmp(a.dx, b.dx, (size_t)a.n * sizeof(real)));
	}
}

T_TEST(every_formula_holds)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		for (size_t s = 0; s < MOKA_COUNT(shapes); s++)
			check_row(&rows[i], shapes[s]);
}

/* Far out nothing overflows and nothing is lost. */
T_TEST(extremes)
{
	static const struct {
		const char *type;
		real x, y;
	} cases[] = {
		{ "BNLL", 1000, 1000 }, { "BNLL", -1000, 0 },  { "Sigmoid", 1000, 1 }, { "Sigmoid", -1000, 0 },
		{ "TanH", 1000, 1 },	{ "Swish", -1000, 0 }, { "ELU", -1000, -1 },   { "AbsVal", -3, 3 },
	};

	for (size_t i = 0; i < MOKA_COUNT(cases); i++) {
		const struct row r = { .type = cases[i].type, .param = "", .kind = "z" };
		struct layer_test *x = open_row(&r, "1", false, 1);

		lt_set(x, 0, &cases[i].x);
		lt_forward(x);
		T_NEAR(x->top[0].data, &cases[i].y, 1, 1e-6, 1e-6);
		lt_free(x);
	}
}

T_TEST(unknown_shapes_pass_through)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		char text[256];
		struct layer_test *x;

		snprintf(text, sizeof(text), "layer { type: '%s' bottom: 'x' top: 'x' %s }", rows[i].type,
			 rows[i].param);
		x = lt_shape(text, MOKA_TRAIN, "?x3x?");
		LT_SHAPE(x, 0, "?x3x?");
		lt_free(x);
		x = lt_shape(text, MOKA_TRAIN, "?");
		LT_SHAPE(x, 0, "?");
		lt_free(x);
	}
}

T_TEST(bad_settings)
{
	LT_REFUSED("layer { type: 'Clip' bottom: 'x' top: 'y' clip_param { min: 2 max: 1 } }", "2x3",
		   "min 2 is greater than max 1");
	LT_REFUSED("layer { type: 'Clip' bottom: 'x' top: 'y' }", "2x3", "must say both min and max");
	LT_REFUSED("layer { type: 'Exp' bottom: 'x' top: 'y' exp_param { base: 0 } }", "2x3",
		   "base 0 must be greater than 0");
	LT_REFUSED("layer { type: 'Exp' bottom: 'x' top: 'y' exp_param { base: -2 } }", "2x3",
		   "base -2 must be greater than 0");
	LT_REFUSED("layer { type: 'Log' bottom: 'x' top: 'y' log_param { base: 1 } }", "2x3", "not 1");
	LT_REFUSED("layer { type: 'Dropout' bottom: 'x' top: 'y' dropout_param { dropout_ratio: 1.5 } }", "2x3",
		   "not a probability");
	LT_REFUSED("layer { type: 'Dropout' bottom: 'x' top: 'y' dropout_param { dropout_ratio: -1 } }", "2x3",
		   "not a probability");
	LT_REFUSED("layer { type: 'PReLU' bottom: 'x' top: 'y' }", "5", "a batch and channels");
	LT_REFUSED("layer { type: 'PReLU' bottom: 'x' top: 'y' prelu_param { filler { type: 'nonsense' } } }", "2x5",
		   "nonsense");
}

/* ---- Dropout in training ------------------------------------------------------------------------------ */

static struct layer_test *open_dropout(const char *top, const char *ratio, int threads)
{
	char text[256];
	struct layer_test *x;

	snprintf(text, sizeof(text),
		 "layer { type: 'Dropout' bottom: 'x' top: '%s' dropout_param { dropout_ratio: %s } }", top, ratio);
	x = lt_open_threads(text, MOKA_TRAIN, "10x5000:u", threads);
	lt_forward(x);
	memcpy(a.y, x->top[0].data, sizeof(a.y));
	lt_random_top_diffs(x, 3);
	memcpy(a.dy, x->top[0].diff, sizeof(a.dy));
	lt_backward(x);
	return x;
}

T_TEST(dropout_drops_scales_and_remembers)
{
	for (int place = 0; place < 2; place++) {
		struct layer_test *x = open_dropout(place ? "x" : "y", "0.75", 1);
		int64_t kept = 0;

		for (int64_t i = 0; i < x->top[0].count; i++) {
			const real scale = a.y[i] == 0 ? 0 : 4;

			kept += scale != 0;
			T_TRUE(a.y[i] == scale * x->bottom_values[0][i]);
			T_TRUE(x->bottom[0].diff[i] == scale * a.dy[i]);
		}
		T_TRUE(kept > 12000 && kept < 13000); /* 12500 expected, deviation 97 */
		lt_free(x);
	}
}

T_TEST(dropout_is_the_same_for_any_number_of_threads_and_new_for_each_seed)
{
	struct layer_test *x = open_dropout("y", "0.5", 1);
	int64_t differ = 0;

	memcpy(b.y, a.y, sizeof(b.y));
	x->seed++;
	lt_forward(x);
	for (int64_t i = 0; i < x->top[0].count; i++)
		differ += (x->top[0].data[i] == 0) != (b.y[i] == 0);
	T_TRUE(differ > 24000 && differ < 26000);
	lt_free(x);
	x = open_dropout("y", "0.5", 3);
	T_TRUE(!memcmp(a.y, b.y, sizeof(b.y)));
	lt_free(x);
}

/* The pieces of parallel work draw numbers of their own: no two stretches of the mask are alike. */
T_TEST(dropout_does_not_repeat_itself)
{
	struct layer_test *x = open_dropout("y", "0.5", 1);

	for (int64_t shift = 1; shift < 49000; shift++) {
		int64_t same = 0;

		while (same < 1000 && (a.y[same] == 0) == (a.y[same + shift] == 0))
			same++;
		T_TRUE(same < 100);
	}
	lt_free(x);
}

T_TEST(dropout_at_its_ends)
{
	struct layer_test *x = open_dropout("y", "0", 1);

	T_TRUE(!memcmp(a.y, x->bottom_values[0], sizeof(a.y)));
	lt_free(x);
	x = open_dropout("y", "1", 1);
	for (int64_t i = 0; i < x->top[0].count; i++)
		T_TRUE(a.y[i] == 0 && x->bottom[0].diff[i] == 0);
	lt_free(x);
}

/* ---- PReLU ---------------------------------------------------------------------------------------------- */

static void check_prelu(bool shared, bool in_place, const char *shape, int threads)
{
	char text[256];
	struct layer_test *x;
	double sums[8] = { 0 };
	int64_t channels, dim;

	snprintf(text, sizeof(text),
		 "layer { type: 'PReLU' bottom: 'x' top: '%s' prelu_param { channel_shared: %s "
		 "filler { type: 'uniform' min: 0.1 max: 0.6 } } }",
		 in_place ? "x" : "y", shared ? "true" : "false");
	x = lt_open_threads(text, MOKA_TEST, shape, threads);
	channels = x->bottom_ref[0].shape.d[1];
	dim = moka_shape_count_range(&x->bottom_ref[0].shape, 2, x->bottom_ref[0].shape.n);
	T_INT(x->param[0].count, shared ? 1 : channels);
	T_INT(x->l.params[0].shape.n, shared ? 0 : 1);
	lt_forward(x);
	for (int64_t i = 0; i < x->top[0].count; i++) {
		const real v = x->bottom_values[0][i];

		a.x[i] = x->param[0].data[shared ? 0 : i / dim % channels];
		want[i] = v > 0 ? v : a.x[i] * v;
	}
	T_NEAR(x->top[0].data, want, x->top[0].count, 1e-6, 0);
	lt_random_top_diffs(x, 4);
	for (int64_t i = 0; i < x->top[0].count; i++) {
		const real v = x->bottom_values[0][i], dy = x->top[0].diff[i];

		want[i] = v > 0 ? dy : a.x[i] * dy;
		sums[shared ? 0 : i / dim % channels] += v > 0 ? 0 : (double)v * (double)dy;
	}
	for (int64_t k = 0; k < x->param[0].count; k++)
		x->param[0].diff[k] = 2;
	lt_backward(x);
	T_NEAR(x->bottom[0].diff, want, x->top[0].count, 1e-6, 0);
	for (int64_t k = 0; k < x->param[0].count; k++) {
		const real sum = (real)(sums[k] + 2);

		T_NEAR(&x->param[0].diff[k], &sum, 1, 1e-5, 1e-5);
	}
	lt_free(x);
}

T_TEST(prelu_against_loops)
{
	static const char *const at[] = { "2x4x7x9", "3x5", "1x1x1", "0x3x2", "2x3x0", "2x3x60x61" };

	for (size_t i = 0; i < MOKA_COUNT(at); i++)
		for (int k = 0; k < 8; k++)
			check_prelu(k & 1, k & 2, at[i], k & 4 ? 3 : 1);
}

T_TEST(prelu_starts_at_a_quarter)
{
	struct layer_test *x = lt_open("layer { type: 'PReLU' bottom: 'x' top: 'y' }", MOKA_TEST, "2x3x4");

	for (int i = 0; i < 3; i++)
		T_TRUE(x->param[0].data[i] == (real)0.25);
	lt_free(x);
	x = lt_shape("layer { type: 'PReLU' bottom: 'x' top: 'y' }", MOKA_TEST, "?");
	LT_SHAPE(x, 0, "?");
	T_INT(x->l.params[0].shape.d[0], -1);
	lt_free(x);
}

static const struct CMUnitTest tests[] = {
	T_CASE(every_formula_holds),
	T_CASE(extremes),
	T_CASE(unknown_shapes_pass_through),
	T_CASE(bad_settings),
	T_CASE(dropout_drops_scales_and_remembers),
	T_CASE(dropout_is_the_same_for_any_number_of_threads_and_new_for_each_seed),
	T_CASE(dropout_does_not_repeat_itself),
	T_CASE(dropout_at_its_ends),
	T_CASE(prelu_against_loops),
	T_CASE(prelu_starts_at_a_quarter),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
