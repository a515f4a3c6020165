/*
 * test_fork_dense.c - DenseBlock against a plain reference: shapes, parameters (many of them), values in both phases, with and
 * without the 1x1 convolutions.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

#define U "{ type: 'uniform' min: -0.5 max: 1 }"
#define BLOCK(rest)                                                                                                          \
	"layer { type: 'DenseBlock' bottom: 'x' top: 'y' denseblock_param { numTransition: 3 growthRate: 2 initChannel: 99 " \
	"Filter_Filler " U " BN_Scaler_Filler " U " BN_Bias_Filler " U " " rest " } }"

enum { N = 2, C = 3, H = 3, W = 4, T = 3, G = 2, AREA = H * W };

/* (n, channels, AREA) normalised, scaled, rectified. Statistics: the batch's, or the kept sums over the divisor. */
static void plain_norm(const struct layer_test *l, int kind, int i, bool train, const double *x, int channels,
		       double *y)
{
	const double divisor = (double)l->param[l->l.n_param - 1].data[0];

	for (int c = 0; c < channels; c++) {
		double mean = 0, variance = 0;

		for (int k = 0; k < N * AREA; k++)
			mean += x[(k / AREA * channels + c) * AREA + k % AREA] / (N * AREA);
		for (int k = 0; k < N * AREA; k++)
			variance += pow(x[(k / AREA * channels + c) * AREA + k % AREA] - mean, 2) / (N * AREA - 1);
		if (!train) {
			mean = (double)l->param[(kind + 2) * T + i].data[c] / divisor;
			variance = (double)l->param[(kind + 3) * T + i].data[c] / divisor;
		}
		for (int k = 0; k < N * AREA; k++) {
			const int at = (k / AREA * channels + c) * AREA + k % AREA;
			const double v =
				(x[at] - mean) / sqrt(variance + 1e-5) * (double)l->param[kind * T + i].data[c] +
				(double)l->param[(kind + 1) * T + i].data[c];

			y[at] = fmax(v, 0);
		}
	}
}

/* A true convolution: the kernel is turned. */
static void plain_conv(const struct moka_view *w, const double *x, int in, int out, int side, double *y)
{
	for (int o = 0; o < N * out * AREA; o++) {
		const int n = o / (out * AREA), k = o / AREA % out, row = o % AREA / W, column = o % W;

		y[o] = 0;
		for (int t = 0; t < in * side * side; t++) {
			const int c = t / (side * side), r = row + side / 2 - t / side % side,
				  q = column + side / 2 - t % side;

			if (r >= 0 && q >= 0 && r < H && q < W)
				y[o] += (double)w->data[(k * in + c) * side * side + t % (side * side)] *
					x[(n * in + c) * AREA + r * W + q];
		}
	}
}

static void check(const char *layer, bool bc, bool train)
{
	struct layer_test *l = lt_open(layer, train ? MOKA_TRAIN : MOKA_TEST, "2x3x3x4");
	double x[N * 16 * AREA], a[N * 16 * AREA], b[N * 16 * AREA], made[N * G * AREA], wide[N * 16 * AREA];

	assert_int_equal(l->l.n_param, (bc ? 10 : 5) * T + 1);
	l->param[l->l.n_param - 1].data[0] = 2;
	for (int i = 0; i < l->l.n_param - 1; i++)
		for (int64_t k = 0; l->l.params[i].fixed && k < l->param[i].count; k++)
			l->param[i].data[k] = (real)(0.5 + 0.1 * (double)(k % 7)); /* some mean and variance */
	struct layer_test *before =
		lt_open(layer, train ? MOKA_TRAIN : MOKA_TEST, "2x3x3x4"); /* parameters as they were */
	for (int i = 0; i < l->l.n_param; i++)
		memcpy(before->param[i].data, l->param[i].data, (size_t)l->param[i].count * sizeof(real));
	struct moka_call c = { .bottom = l->bottom,
			       .top = l->top,
			       .param = l->param,
			       .state = l->state,
			       .scratch = l->scratch,
			       .gemm = l->gemm,
			       .rng = &l->rng,
			       .err = &l->err };
	memcpy(l->bottom[0].data, l->bottom_values[0], (size_t)l->bottom[0].count * sizeof(real));
	T_OK(l->l.type->forward(&l->l, &c), &l->err);
	for (int k = 0; k < N * C * AREA; k++)
		x[k] = (double)l->bottom_values[0][k];
	for (int i = 0; i < T; i++) {
		const int channels = C + i * G;

		plain_norm(before, 1, i, train, x, channels, a);
		if (bc) {
			plain_conv(&before->param[5 * T + i], a, channels, 4 * G, 1, b);
			plain_norm(before, 6, i, train, b, 4 * G, a);
		}
		plain_conv(&before->param[i], a, bc ? 4 * G : channels, G, 3, made);
		for (int k = 0; k < N * (channels + G) * AREA; k++) {
			const int n = k / ((channels + G) * AREA), ch = k / AREA % (channels + G);

			wide[k] = ch < channels ? x[(n * channels + ch) * AREA + k % AREA]
						: made[(n * G + ch - channels) * AREA + k % AREA];
		}
		memcpy(x, wide, sizeof(x));
	}
	for (int64_t k = 0; k < l->top[0].count; k++)
		if (!(fabs((double)l->top[0].data[k] - x[k]) < 1e-3 * fmax(1, fabs(x[k]))))
			fail_msg("[%lld]: %g, want %g", (long long)k, (double)l->top[0].data[k], x[k]);
	if (train) /* the sums: a tenth remains */
		assert_true(fabs((double)l->param[l->l.n_param - 1].data[0] - 1.2) < 1e-6);
	lt_free(before);
	lt_free(l);
}

T_TEST(values)
{
	check(BLOCK(""), false, false);
	check(BLOCK(""), false, true);
	check(BLOCK("use_BC: true"), true, false);
	check(BLOCK("use_BC: true"), true, true);
}

T_TEST(shapes)
{
	struct layer_test *l = lt_shape(BLOCK(""), MOKA_TEST, "2x3x5x7");

	LT_SHAPE(l, 0, "2x9x5x7");
	assert_true(l->l.macs == (int64_t)2 * 35 * 2 * 9 * (3 + 5 + 7));
	assert_true(l->l.params[2].shape.d[1] == 7 && l->l.params[3].shape.d[1] == 3);
	lt_free(l);
	l = lt_shape(BLOCK(""), MOKA_TEST, "?x?x5x7");
	LT_SHAPE(l, 0, "?x?x5x7");
	lt_free(l);
	LT_REFUSED("layer { type: 'DenseBlock' bottom: 'x' top: 'y' denseblock_param { numTransition: 0 } }", "1x2x3x4",
		   "1 to 10000");
	LT_REFUSED("layer { type: 'DenseBlock' bottom: 'x' top: 'y' denseblock_param { growthRate: -1 } }", "1x2x3x4",
		   "growthRate");
	LT_REFUSED("layer { type: 'DenseBlock' bottom: 'x' top: 'y' denseblock_param { dropout_amount: 1.5 } }",
		   "1x2x3x4", "1.5 is not a probability");
	LT_REFUSED(BLOCK(""), "1x2x3", "4 axes");
}

/* A dropped value is zero in the top, a kept one scaled; in the test phase there is no dropping. */
T_TEST(dropout)
{
#define DROP(ratio)                                                                                                                                  \
	"layer { type: 'DenseBlock' bottom: 'x' top: 'y' denseblock_param { numTransition: 1 growthRate: 4 use_dropout: true dropout_amount: " ratio \
	" Filter_Filler " U " BN_Scaler_Filler " U " BN_Bias_Filler " U " } }"
	struct layer_test *l = lt_open(DROP("0.25"), MOKA_TRAIN, "2x3x9x9"),
			  *none = lt_open(DROP("0"), MOKA_TRAIN, "2x3x9x9");
	int64_t dropped = 0;

	lt_forward(l);
	lt_forward(none);
	for (int64_t i = 0; i < l->top[0].count; i++) {
		const double y = (double)l->top[0].data[i], plain = (double)none->top[0].data[i];
		const bool made = i / 81 % 7 >= 3;

		dropped += made && y == 0;
		T_TRUE(made ? y == 0 || fabs(y - plain / 0.75) < 1e-4 * fmax(1, fabs(plain)) : y == plain);
	}
	T_TRUE(dropped > 648 / 6 && dropped < 648 / 3);
	lt_free(l);
	lt_free(none);
	l = lt_open(DROP("0.25"), MOKA_TEST, "2x3x9x9");
	none = lt_open(DROP("0"), MOKA_TEST, "2x3x9x9");
	lt_forward(l);
	lt_forward(none);
	T_NEAR(l->top[0].data, none->top[0].data, l->top[0].count, 0, 0);
	lt_free(l);
	lt_free(none);
}

static const struct CMUnitTest tests[] = { T_CASE(values), T_CASE(shapes), T_CASE(dropout) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
