/*
 * test_convolution.c - Convolution, Deconvolution and Im2col against plain loops, and the settings they refuse.
 */
#include "layer_test.h"

#include <stdlib.h>

#define CONV(settings)                                                                                                       \
	"layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y' convolution_param { weight_filler { type: 'gaussian' } " \
	"bias_filler { type: 'gaussian' } " settings " } }"
#define DECONV(settings)                                                                                                       \
	"layer { name: 'd' type: 'Deconvolution' bottom: 'x' top: 'y' convolution_param { weight_filler { type: 'gaussian' } " \
	"bias_filler { type: 'gaussian' } " settings " } }"

struct setting {
	const char *text, *bottom, *top;
	int kh, kw, sh, sw, ph, pw, dilation, group;
};

/* clang-format off */
static const struct setting settings[] = {
	{ CONV("num_output: 4 kernel_size: 3"), "2x3x7x6", "2x4x5x4", 3, 3, 1, 1, 0, 0, 1, 1 },
	{ CONV("num_output: 4 kernel_size: 5 stride: 2 pad: 2 group: 2"), "1x6x13x9", "1x4x7x5", 5, 5, 2, 2, 2, 2, 1, 2 },
	{ CONV("num_output: 3 kernel_size: 1"), "3x8x1x5", "3x3x1x5", 1, 1, 1, 1, 0, 0, 1, 1 },
	{ CONV("num_output: 2 kernel_size: 3 dilation: 3 pad: 3"), "1x2x9x8", "1x2x9x8", 3, 3, 1, 1, 3, 3, 3, 1 },
	{ CONV("num_output: 2 kernel_h: 1 kernel_w: 4 stride_h: 3 stride_w: 1 pad_h: 0 pad_w: 2"), "2x3x8x5", "2x2x3x6", 1, 4, 3, 1, 0, 2, 1, 1 },
	{ CONV("num_output: 6 kernel_size: 3 pad: 1 stride: 2 group: 6"), "2x6x8x7", "2x6x4x4", 3, 3, 2, 2, 1, 1, 1, 6 },
	{ CONV("num_output: 6 kernel_size: 3 pad: 1 group: 3"), "2x3x5x6", "2x6x5x6", 3, 3, 1, 1, 1, 1, 1, 3 },
	{ CONV("num_output: 127 kernel_size: 3"), "1x13x9x9", "1x127x7x7", 3, 3, 1, 1, 0, 0, 1, 1 },
	/* a kernel that hangs over, by less than a stride */
	{ CONV("num_output: 2 kernel_size: 2 stride: 2"), "2x3x1x4", "2x2x1x2", 2, 2, 2, 2, 0, 0, 1, 1 },
	{ CONV("num_output: 20 kernel_size: 11 stride: 4"), "2x3x8x9", "2x20x1x1", 11, 11, 4, 4, 0, 0, 1, 1 },
	{ CONV("num_output: 3 kernel_size: 3 stride: 2 group: 3"), "2x3x2x2", "2x3x1x1", 3, 3, 2, 2, 0, 0, 1, 3 },
	{ CONV("num_output: 2 kernel_size: 3"), "0x3x7x6", "0x2x5x4", 3, 3, 1, 1, 0, 0, 1, 1 },
};
/* clang-format on */

/* One output value, straight from the definition. */
static double output_at(const struct layer_test *x, const struct setting *s, int64_t n, int64_t o, int64_t oh,
			int64_t ow)
{
	const struct moka_shape *in = x->bottom[0].shape, *out = x->top[0].shape;
	const int64_t cg = in->d[1] / s->group, og = out->d[1] / s->group;
	double sum = (double)x->param[1].data[o];

	for (int64_t c = 0; c < cg; c++)
		for (int64_t i = 0; i < s->kh * s->kw; i++) {
			const int64_t h = oh * s->sh - s->ph + i / s->kw * s->dilation,
				      w = ow * s->sw - s->pw + i % s->kw * s->dilation;
			const int64_t channel = o / og * cg + c;

			if (h >= 0 && h < in->d[2] && w >= 0 && w < in->d[3])
				sum += (double)x
					       ->bottom_values[0][((n * in->d[1] + channel) * in->d[2] + h) * in->d[3] +
								  w] *
				       (double)x->param[0].data[(o * cg + c) * s->kh * s->kw + i];
		}
	return sum;
}

T_TEST(convolution_is_its_definition)
{
	for (size_t i = 0; i < MOKA_COUNT(settings); i++) {
		struct layer_test *x = lt_open(settings[i].text, MOKA_TEST, settings[i].bottom);
		const struct moka_shape *out = x->top[0].shape;
		real *want = malloc((size_t)x->top[0].count * sizeof(real) + 1);

		LT_SHAPE(x, 0, settings[i].top);
		lt_forward(x);
		for (int64_t k = 0; k < x->top[0].count; k++)
			want[k] = (real)output_at(x, &settings[i], k / (out->d[1] * out->d[2] * out->d[3]),
						  k / (out->d[2] * out->d[3]) % out->d[1], k / out->d[3] % out->d[2],
						  k % out->d[3]);
		T_NEAR(x->top[0].data, want, x->top[0].count, 1e-4, 1e-4);
		free(want);
		lt_free(x);
	}
}

/* Deconvolution is the adjoint: <conv(a), b> = <a, deconv(b)> with the same weights. */
T_TEST(deconvolution_is_the_adjoint)
{
	struct layer_test *c = lt_open(CONV("num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2 bias_term: false"),
				       MOKA_TEST, "1x6x7x9");
	struct layer_test *d =
		lt_open(DECONV("num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 bias_term: false"), MOKA_TEST,
			"1x4x4x5");
	double left = 0, right = 0;

	LT_SHAPE(c, 0, "1x4x4x5");
	LT_SHAPE(d, 0, "1x6x7x9");
	T_TRUE(moka_shape_equal(c->param[0].shape, d->param[0].shape));
	for (int64_t i = 0; i < d->param[0].count; i++)
		d->param[0].data[i] = c->param[0].data[i];
	lt_forward(c);
	lt_forward(d);
	for (int64_t i = 0; i < c->top[0].count; i++)
		left += (double)c->top[0].data[i] * (double)d->bottom_values[0][i];
	for (int64_t i = 0; i < d->top[0].count; i++)
		right += (double)d->top[0].data[i] * (double)c->bottom_values[0][i];
	T_TRUE(left - right < 1e-3 && right - left < 1e-3);
	lt_free(c);
	lt_free(d);
}

T_TEST(deconvolution_adds_its_bias)
{
	struct layer_test *d = lt_open(
		"layer { type: 'Deconvolution' bottom: 'x' top: 'y' convolution_param { num_output: 2 kernel_size: 2 "
		"bias_filler { type: 'constant' value: 3 } } }",
		MOKA_TEST, "2x3x2x2");

	lt_forward(d);
	for (int64_t i = 0; i < d->top[0].count; i++)
		T_TRUE(d->top[0].data[i] == 3);
	lt_free(d);
}

/* A bilinear Deconvolution of stride 2 keeps a constant picture, away from its edges. */
T_TEST(bilinear_upsampling)
{
	struct layer_test *d = lt_open(
		"layer { type: 'Deconvolution' bottom: 'x' top: 'y' convolution_param { num_output: 2 group: 2 kernel_size: 4 "
		"stride: 2 pad: 1 bias_term: false weight_filler { type: 'bilinear' } } }",
		MOKA_TEST, "1x2x4x4");

	LT_SHAPE(d, 0, "1x2x8x8");
	for (int64_t i = 0; i < d->bottom[0].count; i++)
		d->bottom_values[0][i] = 5;
	lt_forward(d);
	for (int64_t h = 1; h < 7; h++)
		for (int64_t w = 1; w < 7; w++)
			T_NEAR(&d->top[0].data[h * 8 + w], &(real){ 5 }, 1, 1e-6, 0);
	lt_free(d);
}

/* The product of weights and columns is the convolution. */
T_TEST(im2col_columns)
{
	struct layer_test *x =
		lt_open("layer { type: 'Im2col' bottom: 'x' top: 'y' convolution_param { kernel_size: 2 stride: 2 } }",
			MOKA_TEST, "1x1x2x4");
	const real in[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, want[] = { 1, 3, 2, 4, 5, 7, 6, 8 };

	LT_SHAPE(x, 0, "1x4x1x2");
	lt_set(x, 0, in);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 8, 0, 0);
	lt_free(x);
}

static void macs_are(const char *text, const char *bottom, int64_t want)
{
	struct layer_test *x = lt_shape(text, MOKA_TEST, bottom);

	T_INT(x->status, MOKA_OK);
	T_INT(x->l.macs, want);
	lt_free(x);
}

T_TEST(multiply_accumulates)
{
	macs_are(CONV("num_output: 96 kernel_size: 11 stride: 4"), "10x3x227x227", 10ll * 96 * 55 * 55 * 3 * 121);
	macs_are(CONV("num_output: 256 kernel_size: 5 pad: 2 group: 2"), "1x96x27x27", 256ll * 27 * 27 * 48 * 25);
	macs_are(CONV("num_output: 4 kernel_size: 3 dilation: 2"), "1x2x9x9", 4ll * 25 * 2 * 9);
	macs_are(DECONV("num_output: 6 kernel_size: 4 stride: 2 group: 2"), "2x4x5x5", 2ll * 4 * 25 * 3 * 16);
	macs_are(CONV("num_output: 4 kernel_size: 3"), "?", -1);
}

static void shape_is(const char *text, const char *bottom, const char *top, const char *weight)
{
	struct layer_test *x = lt_shape(text, MOKA_TEST, bottom);
	char buf[MOKA_SHAPE_TEXT];

	LT_SHAPE(x, 0, top);
	T_STR(moka_shape_text(&x->l.params[0].shape, buf, sizeof(buf)), weight);
	lt_free(x);
}

/* What isn't known stays unknown, and what the settings tell is told. */
T_TEST(partial_shapes)
{
	shape_is(CONV("num_output: 8 kernel_size: 3"), "?", "?x8x?x?", "8x?x3x3");
	shape_is(CONV("num_output: 8 kernel_size: 3 group: 2"), "?x4x?x32", "?x8x?x30", "8x2x3x3");
	shape_is(CONV("num_output: 8 kernel_size: [3, 3, 3]"), "?", "?x8x?x?x?", "8x?x3x3x3");
	shape_is(DECONV("num_output: 8 kernel_size: 4 stride: 2"), "?x3x5x?", "?x8x12x?", "3x8x4x4");
	shape_is(
		"layer { type: 'ConvolutionDepthwise' bottom: 'x' top: 'y' convolution_param { num_output: 8 kernel_size: 3 } }",
		"1x8x4x4", "1x8x2x2", "8x1x3x3");
}

T_TEST(bad_settings)
{
	LT_REFUSED(CONV("num_output: 4 kernel_size: 9"), "1x3x5x5", "the kernel reaches over 9 values of axis 2");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 dilation: 4294967295"), "1x3x5x5", "the kernel reaches over");
	LT_REFUSED(CONV("num_output: 4"), "1x3x5x5", "kernel_size is missing");
	LT_REFUSED(CONV("kernel_size: 3"), "1x3x5x5", "num_output is missing");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 0"), "1x3x5x5", "kernel_size must be at least 1");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 stride: 0"), "1x3x5x5", "stride must be at least 1");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 dilation: 0"), "1x3x5x5", "dilation must be at least 1");
	LT_REFUSED(CONV("num_output: 4 kernel_size: [1, 2, 3]"), "1x3x5x5", "kernel_size is given 3 times");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3"), "1x3x5x5", "one of them is enough");
	LT_REFUSED(CONV("num_output: 4 kernel_h: 3 kernel_w: 3"), "1x3x5", "two spatial axes");
	LT_REFUSED(CONV("num_output: 4 kernel_h: 3"), "1x3x5x5",
		   "kernel_size must be at least 1, and is 0 on spatial axis 1");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 group: 2"), "1x3x5x5",
		   "2 groups do not divide the 3 channels of 'x'");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 group: 3"), "1x3x5x5", "3 groups do not divide num_output, 4");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 group: 0"), "1x3x5x5", "group must be at least 1");
	LT_REFUSED(CONV("num_output: 4 kernel_size: 3 axis: 5"), "1x3x5x5", "axis 5 is outside");
	LT_REFUSED("layer { type: 'Convolution' bottom: 'a' top: 'c' convolution_param { num_output: 2 kernel_size: 3 "
		   "weight_filler { type: 'xaver' } } }",
		   "1x2x9x9", "weight_filler: there is no filler 'xaver'; did you mean 'xavier'?");
	LT_REFUSED(DECONV("num_output: 4 kernel_size: 3 pad: 5"), "1x3x5x5", "the output's axis 2 would have");
	LT_REFUSED(
		"layer { type: 'Convolution' bottom: 'a' bottom: 'b' top: 'c' top: 'd' convolution_param { num_output: 2 kernel_size: 1 } }",
		"1x2x3x3 1x2x3x4", "axis 3 differs, 3 against 4");
	LT_REFUSED(
		"layer { type: 'Convolution' bottom: 'a' top: 'c' convolution_param { num_output: 2 kernel_size: 3 bias_term: false "
		"weight_filler { type: 'bilinear' } } }",
		"1x2x9", "bilinear filler fills weights of 4 axes");
}

/* One thread and three give the same bits, forward and backward. */
T_TEST(threads_change_nothing)
{
	static const char *const texts[] = { CONV("num_output: 16 kernel_size: 3 pad: 1"),
					     CONV("num_output: 12 kernel_size: 3 group: 12"),
					     DECONV("num_output: 8 kernel_size: 4 stride: 2 pad: 1") };

	for (int i = 0; i < 3; i++) {
		struct layer_test *a = lt_open_threads(texts[i], MOKA_TEST, "2x12x19x17", 1);
		struct layer_test *b = lt_open_threads(texts[i], MOKA_TEST, "2x12x19x17", 3);
		struct layer_test *both[] = { a, b };

		for (int k = 0; k < 2; k++) {
			lt_forward(both[k]);
			lt_random_top_diffs(both[k], 4);
			lt_backward(both[k]);
		}
		T_NEAR(a->top[0].data, b->top[0].data, a->top[0].count, 0, 0);
		T_NEAR(a->bottom[0].diff, b->bottom[0].diff, a->bottom[0].count, 0, 0);
		for (int p = 0; p < 2; p++)
			T_NEAR(a->param[p].diff, b->param[p].diff, a->param[p].count, 0, 0);
		lt_free(a);
		lt_free(b);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(convolution_is_its_definition),
	T_CASE(deconvolution_is_the_adjoint),
	T_CASE(deconvolution_adds_its_bias),
	T_CASE(bilinear_upsampling),
	T_CASE(im2col_columns),
	T_CASE(multiply_accumulates),
	T_CASE(partial_shapes),
	T_CASE(bad_settings),
	T_CASE(threads_change_nothing),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
