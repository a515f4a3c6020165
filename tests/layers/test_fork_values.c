/*
 * test_fork_values.c - values of the layers that forks added, against plain references of the published definitions.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

#define ONE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define TWO(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' top: 'y' " rest " }"
#define THREE(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' " rest " }"

static void near_to(double got, double want, const char *what)
{
	if (!(fabs(got - want) <= 1e-5 * fmax(1, fabs(want))))
		fail_msg("%s: %.9g, want %.9g", what, got, want);
}

/* ---- functions of one value -------------------------------------------------------------------------------- */

static double relu6(double x)
{
	return fmin(fmax(x, 0), 6);
}

static double hard_swish(double x)
{
	return x * relu6(x + 3) / 6;
}

static double hsigmoid(double x)
{
	return relu6(x + 3) / 6;
}

static double hard_sigmoid(double x)
{
	return fmin(fmax(0.2 * x + 0.5, 0), 1);
}

static double mish(double x)
{
	return x * tanh(log1p(exp(x)));
}

static void check_function(const char *type, double (*f)(double))
{
	static const real x[] = { -90, -20, -4, -3, -2.5, -1, -0.01, 0, 0.3, 1, 2.5, 3, 5.9, 6, 7, 19.9, 20.1, 90 };
	char layer[100];

	snprintf(layer, sizeof(layer), "layer { type: '%s' bottom: 'x' top: 'x' }", type);
	struct layer_test *l = lt_open(layer, MOKA_TEST, "18");
	lt_set(l, 0, x);
	lt_forward(l);
	for (size_t i = 0; i < MOKA_COUNT(x); i++)
		near_to((double)l->top[0].data[i], f((double)x[i]), type);
	lt_free(l);
}

T_TEST(functions)
{
	check_function("ReLU6", relu6);
	check_function("HardSwish", hard_swish);
	check_function("HSwish", hard_swish);
	check_function("HSigmoid", hsigmoid);
	check_function("HardSigmoid", hard_sigmoid);
	check_function("Mish", mish);
}

/* ---- values moved ------------------------------------------------------------------------------------------ */

static struct layer_test *run(const char *layer, const char *bottoms)
{
	struct layer_test *l = lt_open(layer, MOKA_TEST, bottoms);

	lt_forward(l);
	return l;
}

T_TEST(moved)
{
	struct layer_test *l = run(ONE("ShuffleChannel", "shuffle_channel_param { group: 2 }"), "2x6x3");

	for (int n = 0; n < 2; n++)
		for (int c = 0; c < 6; c++) /* channel k * group + g from g * 3 + k */
			T_NEAR(l->top[0].data + (n * 6 + c) * 3, l->bottom[0].data + (n * 6 + c % 2 * 3 + c / 2) * 3, 3,
			       0, 0);
	lt_free(l);
	l = run(ONE("Transpose", "transpose_param { dim: 2 dim: 0 dim: 1 }"), "2x3x4");
	for (int i = 0; i < 24; i++)
		assert_true(l->top[0].data[(i % 4 * 2 + i / 12) * 3 + i / 4 % 3] == l->bottom[0].data[i]);
	lt_free(l);
	l = run(ONE("Reverse", ""), "5x3");
	for (int i = 0; i < 5; i++)
		T_NEAR(l->top[0].data + i * 3, l->bottom[0].data + (4 - i) * 3, 3, 0, 0);
	lt_free(l);
	l = run(ONE("Flip", "flip_param { flip_width: false flip_height: true }"), "1x2x3x4");
	for (int c = 0; c < 2; c++)
		for (int y = 0; y < 3; y++)
			T_NEAR(l->top[0].data + (c * 3 + y) * 4, l->bottom[0].data + (c * 3 + 2 - y) * 4, 4, 0, 0);
	lt_free(l);
	l = run(ONE("CReLU", ""), "2x3x4");
	for (int n = 0; n < 2; n++)
		for (int i = 0; i < 12; i++) {
			const real x = l->bottom[0].data[n * 12 + i];

			assert_true(l->top[0].data[n * 24 + i] == (x > 0 ? x : 0));
			assert_true(l->top[0].data[n * 24 + 12 + i] == (x < 0 ? -x : 0));
		}
	lt_free(l);
}

T_TEST(axpy)
{
	struct layer_test *l = run(THREE("Axpy", ""), "2x3x1x1 2x3x2x2 2x3x2x2");

	for (int i = 0; i < 24; i++)
		near_to((double)l->top[0].data[i],
			(double)(l->bottom[0].data[i / 4] * l->bottom[1].data[i] + l->bottom[2].data[i]), "Axpy");
	lt_free(l);
}

T_TEST(merge_crop)
{
	struct layer_test *l = run(TWO("MergeCrop", ""), "2x2x2x3 2x1x5x6");

	for (int n = 0; n < 2; n++) {
		T_NEAR(l->top[0].data + n * 18, l->bottom[0].data + n * 12, 12, 0, 0);
		for (int i = 0; i < 6; i++) /* (5 - 2) / 2 = 1 row, (6 - 3) / 2 = 1 column cut off */
			assert_true(l->top[0].data[n * 18 + 12 + i] ==
				    l->bottom[1].data[n * 30 + (1 + i / 3) * 6 + 1 + i % 3]);
	}
	lt_free(l);
	l = run(TWO("MergeCrop", "mergecrop_param { operation: ADD forward: false forward: true }"), "1x1x2 1x1x4");
	T_NEAR(l->top[0].data, l->bottom[1].data + 1, 2, 0, 0);
	lt_free(l);
}

T_TEST(upsample)
{
	struct layer_test *l = run(ONE("Upsample", "upsample_param { scale: 2 }"), "1x1x1x2");

	T_NEAR(l->top[0].data,
	       ((real[]){ l->bottom[0].data[0], l->bottom[0].data[0], l->bottom[0].data[1], l->bottom[0].data[1] }), 4,
	       0, 0);
	lt_free(l);
	l = lt_open(TWO("Upsample", "upsample_param { scale: 2 pad_out_h: true }"), MOKA_TEST, "1x1x1x2 1x1x1x2");
	lt_set(l, 0, (real[]){ 7, 8 });
	lt_set(l, 1, (real[]){ 3, 0 });
	lt_forward(l);
	LT_SHAPE(l, 0, "1x1x1x4");
	T_NEAR(l->top[0].data, ((real[]){ 8, 0, 0, 7 }), 4, 0, 0);
	lt_free(l);
}

/* ---- interpolation ----------------------------------------------------------------------------------------- */

static double bilinear(const real *p, int w, int h, double y, double x)
{
	const int y0 = (int)y, x0 = (int)x, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
	const double b = y - y0, a = x - x0;

	return (1 - b) * ((1 - a) * (double)p[y0 * w + x0] + a * (double)p[y0 * w + x1]) +
	       b * ((1 - a) * (double)p[y1 * w + x0] + a * (double)p[y1 * w + x1]);
}

T_TEST(interp)
{
	struct layer_test *l = run(ONE("Interp", "interp_param { height: 7 width: 3 }"), "2x2x4x5");

	for (int i = 0; i < 2 * 2 * 21; i++) {
		const double y = i / 3 % 7 * 3 / 6.0, x = i % 3 * 4 / 2.0;

		near_to((double)l->top[0].data[i], bilinear(l->bottom[0].data + i / 21 * 20, 5, 4, y, x), "Interp");
	}
	lt_free(l);
	l = run(ONE("Interp", "interp_param { shrink_factor: 2 pad_beg: -1 pad_end: -2 }"), "1x1x8x8");
	LT_SHAPE(l, 0, "1x1x3x3");
	for (int i = 0; i < 9; i++)
		near_to((double)l->top[0].data[i], (double)l->bottom[0].data[(1 + i / 3 * 2) * 8 + 1 + i % 3 * 2],
			"Interp");
	lt_free(l);
}

T_TEST(flow_warp)
{
	struct layer_test *l = run(TWO("FlowWarp", ""), "2x2x4x5 2x2x4x5"), *nan;

	for (int i = 0; i < 80; i++) {
		const int n = i / 40, at = i % 20;
		const double x = at % 5 + (double)l->bottom[1].data[n * 40 + at],
			     y = at / 5 + (double)l->bottom[1].data[n * 40 + 20 + at];
		const bool inside = x >= 0 && y >= 0 && x < 5 && y < 4;

		near_to((double)l->top[0].data[i], inside ? bilinear(l->bottom[0].data + i / 20 * 20, 5, 4, y, x) : 0,
			"FlowWarp");
	}
	lt_free(l);
	nan = lt_open(TWO("FlowWarp", "flow_warp_param { fill_value: NOT_A_NUMBER }"), MOKA_TEST, "1x1x1x1 1x2x1x1");
	lt_set(nan, 1, (real[]){ 2, 0 });
	lt_forward(nan);
	assert_true(isnan(nan->top[0].data[0]));
	lt_free(nan);
}

static double padded(const real *p, int y, int x)
{
	return y < 0 || x < 0 || y >= 5 || x >= 6 ? 0 : (double)p[y * 6 + x];
}

static void check_correlation(bool subtract)
{
	struct layer_test *l =
		run(subtract ? TWO("Correlation",
				   "correlation_param { kernel_size: 3 max_displacement: 2 pad: 3 stride_1: 2 "
				   "stride_2: 2 correlation_type: SUBTRACT }")
			     : TWO("Correlation",
				   "correlation_param { kernel_size: 3 max_displacement: 2 pad: 3 stride_1: 2 "
				   "stride_2: 2 }"),
		    "2x2x5x6 2x2x5x6");

	LT_SHAPE(l, 0, "2x9x3x3");
	for (int i = 0; i < 2 * 9 * 9; i++) {
		const int n = i / 81, d = i / 9 % 9, y = i / 3 % 3 * 2 + 2, x = i % 3 * 2 + 2, p = (d / 3 - 1) * 2,
			  o = (d % 3 - 1) * 2;
		double sum = 0;

		for (int k = 0; k < 18; k++) {
			const int ya = y + k / 3 % 3 - 3, xa = x + k % 3 - 3;
			const double a = padded(l->bottom[0].data + (n * 2 + k / 9) * 30, ya, xa);
			const double b = padded(l->bottom[1].data + (n * 2 + k / 9) * 30, ya + p, xa + o);

			sum += subtract ? fabs(a - b) : a * b;
		}
		near_to((double)l->top[0].data[i], sum / 18, "Correlation");
	}
	lt_free(l);
}

T_TEST(correlation)
{
	check_correlation(false);
	check_correlation(true);
}

/* ---- BN ------------------------------------------------------------------------------------------------------ */

#define FILL "{ type: 'uniform' min: 0.5 max: 1.5 }"

static void channel_statistics(const struct layer_test *l, int c, double *mean, double *variance)
{
	*mean = *variance = 0;
	for (int i = 0; i < 12; i++)
		*mean += (double)l->bottom_values[0][(i / 4 * 2 + c) * 4 + i % 4] / 12;
	for (int i = 0; i < 12; i++)
		*variance += pow((double)l->bottom_values[0][(i / 4 * 2 + c) * 4 + i % 4] - *mean, 2) / 12;
}

static void check_bn(const struct layer_test *l, int c, double mean, double variance, double eps)
{
	for (int i = 0; i < 12; i++) {
		const int at = (i / 4 * 2 + c) * 4 + i % 4;

		near_to((double)l->top[0].data[at],
			((double)l->bottom_values[0][at] - mean) / sqrt(variance + eps) * (double)l->param[0].data[c] +
				(double)l->param[1].data[c],
			"BN");
	}
}

T_TEST(bn)
{
	struct layer_test *l =
		lt_open("layer { type: 'BN' bottom: 'x' top: 'y' top: 'm' top: 'v' bn_param { scale_filler " FILL
			" shift_filler " FILL " } }",
			MOKA_TEST, "3x2x4");
	double mean, variance;

	assert_int_equal(l->l.n_param, 2);
	lt_forward(l);
	for (int c = 0; c < 2; c++) {
		channel_statistics(l, c, &mean, &variance);
		check_bn(l, c, mean, variance, 1e-9);
		near_to((double)l->top[1].data[c], mean, "mean");
		near_to((double)l->top[2].data[c], variance, "variance");
	}
	lt_free(l);
	l = lt_open("layer { type: 'BN' bottom: 'x' top: 'x' bn_param { scale_filler " FILL " shift_filler " FILL
		    " bn_mode: INFERENCE } }",
		    MOKA_TEST, "3x2x4");
	lt_forward(l);
	check_bn(l, 1, 0, 1, 0);
	lt_free(l);
	l = lt_open(ONE("BN", "bn_param { slope_filler " FILL " bias_filler " FILL " momentum: 0.75 }"), MOKA_TRAIN,
		    "3x2x4");
	assert_int_equal(l->l.n_param, 4);
	l->param[2].data[1] = 2;
	l->param[3].data[1] = 3;
	lt_forward(l);
	channel_statistics(l, 1, &mean, &variance);
	check_bn(l, 1, mean, variance, 1e-5);
	near_to((double)l->param[2].data[1], 2 * 0.75 + mean * 0.25, "running mean");
	near_to((double)l->param[3].data[1], 3 * 0.75 + variance * 0.25, "running variance");
	lt_free(l);
	l = lt_open(ONE("BN", "bn_param { slope_filler " FILL " bias_filler " FILL " frozen: true }"), MOKA_TRAIN,
		    "3x2x4");
	l->param[2].data[1] = 2;
	l->param[3].data[1] = 3;
	lt_forward(l);
	check_bn(l, 1, 2, 3, 1e-5);
	assert_true(l->l.params[0].fixed && l->param[2].data[1] == 2);
	lt_free(l);
}

/* ---- convolutions and pooling ---------------------------------------------------------------------------- */

#define G "weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"

static void same_as(const char *a, const char *b, const char *bottoms, bool relu)
{
	struct layer_test *l = run(a, bottoms), *m = run(b, bottoms);

	assert_int_equal(l->top[0].count, m->top[0].count);
	assert_true(l->l.macs == m->l.macs);
	for (int64_t i = 0; i < l->top[0].count; i++)
		assert_true(l->top[0].data[i] == (relu && m->top[0].data[i] < 0 ? 0 : m->top[0].data[i]));
	lt_free(l);
	lt_free(m);
}

T_TEST(convolutions)
{
	same_as(ONE("Convolution3D",
		    "convolution3d_param { num_output: 3 kernel_size: 3 kernel_depth: 2 stride: 2 pad: 1 temporal_pad: 1 " G
		    " }"),
		ONE("Convolution",
		    "convolution_param { num_output: 3 kernel_size: 2 kernel_size: 3 kernel_size: 3 stride: 1 stride: 2 stride: 2 "
		    "pad: 1 pad: 1 pad: 1 " G " }"),
		"2x2x3x5x4", false);
	same_as(ONE("ConvolutionReLU", "convolution_param { num_output: 3 kernel_size: 3 " G " }"),
		ONE("Convolution", "convolution_param { num_output: 3 kernel_size: 3 " G " }"), "2x2x5x4", true);
}

T_TEST(pooling3d)
{
	struct layer_test *l =
		run(ONE("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 2 stride: 2 }"), "1x2x3x3x4");

	LT_SHAPE(l, 0, "1x2x2x2x2");
	for (int i = 0; i < 16; i++) {
		double most = -INFINITY;

		for (int k = 0; k < 8; k++) {
			const int t = i / 4 % 2 + k / 4, y = i / 2 % 2 * 2 + k / 2 % 2, x = i % 2 * 2 + k % 2;

			if (y < 3)
				most = fmax(most, (double)l->bottom[0].data[((i / 8 * 3 + t) * 3 + y) * 4 + x]);
		}
		near_to((double)l->top[0].data[i], most, "Pooling3D");
	}
	lt_free(l);
	l = lt_open(ONE("Pooling3D", "pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 1 stride: 2 pad: 1 }"),
		    MOKA_TEST, "1x1x1x2x2");
	lt_set(l, 0, (real[]){ 1, 2, 3, 4 });
	lt_forward(l);
	/* rounded up: 2 x 2 windows; the last ends with the padded plane: 3 x 2, 2 x 3, 2 x 2 values */
	T_NEAR(l->top[0].data, ((real[]){ 10 / (real)9, 6 / (real)6, 7 / (real)6, 4 / (real)4 }), 4, 1e-6, 1e-6);
	lt_free(l);
}

T_TEST(spatial_dropout)
{
	struct layer_test *l =
		lt_open(ONE("SpatialDropout", "dropout_param { dropout_ratio: 0.25 }"), MOKA_TRAIN, "50x40x3");
	int kept = 0;

	lt_forward(l);
	for (int p = 0; p < 2000; p++) {
		const bool on = l->top[0].data[p * 3] != 0;

		kept += on;
		for (int i = p * 3; i < p * 3 + 3; i++)
			near_to((double)l->top[0].data[i], on ? (double)l->bottom[0].data[i] / 0.75 : 0,
				"SpatialDropout");
	}
	assert_in_range(kept, 1400, 1600);
	lt_free(l);
}

/* ---- losses -------------------------------------------------------------------------------------------------- */

T_TEST(l1_loss)
{
	struct layer_test *l = run(TWO("L1Loss", ""), "3x2x4 3x2x4");
	double sum = 0;

	for (int i = 0; i < 24; i++)
		sum += fabs((double)(l->bottom[0].data[i] - l->bottom[1].data[i]));
	near_to((double)l->top[0].data[0], sum / 3, "L1Loss");
	lt_free(l);
	l = run(ONE("L1Loss", "l1_loss_param { l2_per_location: true epsilon: 0.1 }"), "3x2x4");
	sum = 0;
	for (int i = 0; i < 12; i++)
		sum += sqrt(pow((double)l->bottom[0].data[i / 4 * 8 + i % 4], 2) +
			    pow((double)l->bottom[0].data[i / 4 * 8 + 4 + i % 4], 2) + 0.1);
	near_to((double)l->top[0].data[0], sum / 3, "L1Loss, lengths");
	lt_free(l);
	l = lt_open(TWO("L1Loss", "l1_loss_param { normalize_by_num_entries: true plateau: 1 }"), MOKA_TRAIN,
		    "4x1 4x1");
	lt_set(l, 0, (real[]){ (real)NAN, 2, 0.5, -3 });
	lt_set(l, 1, (real[]){ 0, 0, 0, 0 });
	lt_forward(l);
	near_to((double)l->top[0].data[0], 5 / 3.0, "L1Loss of what is not a number");
	l->top[0].diff[0] = 3;
	lt_backward(l);
	T_NEAR(l->bottom[0].diff, ((real[]){ 0, 1, 0, -1 }), 4, 1e-6, 1e-6);
	T_NEAR(l->bottom[1].diff, ((real[]){ 0, -1, 0, 1 }), 4, 1e-6, 1e-6);
	lt_free(l);
}

T_TEST(center_loss)
{
	struct layer_test *l = lt_open(TWO("CenterLoss", "center_loss_param { num_output: 3 }"), MOKA_TRAIN, "3x2 3");

	memcpy(l->param[0].data, (real[]){ 1, 1, 0, 0, 5, 5 }, 6 * sizeof(real));
	lt_set(l, 0, (real[]){ 2, 3, 4, 1, 1, -1 });
	lt_set(l, 1, (real[]){ 0, 0, 1 });
	lt_forward(l);
	near_to((double)l->top[0].data[0], (1 + 4 + 9 + 0 + 1 + 1) / 6.0, "CenterLoss");
	l->top[0].diff[0] = 3;
	lt_backward(l);
	T_NEAR(l->bottom[0].diff, ((real[]){ 1, 2, 3, 0, 1, -1 }), 6, 1e-6, 1e-6);
	/* class 0: -(1 + 3) / 3, -(2 + 0) / 3; class 1: -1 / 2, 1 / 2; class 2: none */
	T_NEAR(l->param[0].diff, ((real[]){ -4 / (real)3, -2 / (real)3, -0.5, 0.5, 0, 0 }), 6, 1e-6, 1e-6);
	lt_free(l);
}

T_TEST(triplet_loss)
{
	struct layer_test *l = run(THREE("TripletLoss", "triplet_loss_param { margin: 0.5 }"), "5x3 5x3 5x3");
	double sum = 0;

	for (int n = 0; n < 5; n++) {
		double cost = 0.5;

		for (int i = n * 3; i < n * 3 + 3; i++)
			cost += pow((double)(l->bottom[0].data[i] - l->bottom[1].data[i]), 2) -
				pow((double)(l->bottom[0].data[i] - l->bottom[2].data[i]), 2);
		sum += fmax(cost, 0);
	}
	near_to((double)l->top[0].data[0], sum / 10, "TripletLoss");
	lt_free(l);
	l = lt_open(TWO("TripletLoss", "triplet_loss_param { num_triplets: 3 losstype: 1 }"), MOKA_TEST, "6x4 6");
	assert_int_equal(lt_try_forward(l), MOKA_ERR_MODEL);
	lt_free(l);
}

static const struct CMUnitTest tests[] = {
	T_CASE(functions), T_CASE(moved),	    T_CASE(axpy),	 T_CASE(merge_crop),  T_CASE(upsample),
	T_CASE(interp),	   T_CASE(flow_warp),	    T_CASE(correlation), T_CASE(bn),	      T_CASE(convolutions),
	T_CASE(pooling3d), T_CASE(spatial_dropout), T_CASE(l1_loss),	 T_CASE(center_loss), T_CASE(triplet_loss),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
