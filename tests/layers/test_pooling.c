/*
 * test_pooling.c - Pooling's sizes and values against plain loops, SPP against Pooling, and the settings they
 * refuse.
 */
#include "layer_test.h"

#include <float.h>
#include <stdlib.h>

#define POOL(settings) "layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'y' pooling_param { " settings " } }"

static void shape_is(const char *text, const char *bottom, const char *top)
{
	struct layer_test *x = lt_shape(text, MOKA_TEST, bottom);

	LT_SHAPE(x, 0, top);
	lt_free(x);
}

T_TEST(sizes)
{
	shape_is(POOL("kernel_size: 3 stride: 2"), "1x2x55x55", "1x2x27x27");
	shape_is(POOL("kernel_size: 3 stride: 2"), "1x2x112x113", "1x2x56x56"); /* rounds up */
	shape_is(POOL("kernel_size: 3 stride: 2 round_mode: FLOOR"), "1x2x112x113", "1x2x55x56");
	shape_is(POOL("kernel_size: 3 stride: 2 pad: 1"), "1x2x112x111", "1x2x57x56");
	shape_is(POOL("kernel_size: 2 stride: 2 pad: 1"), "1x2x4x5",
		 "1x2x3x3"); /* a last window in the padding is dropped */
	shape_is(POOL("kernel_size: 2 stride: 3"), "1x1x4x5", "1x1x2x2");
	shape_is(POOL("kernel_size: 7 stride: 2"), "1x1x6x7",
		 "1x1x1x1"); /* larger than the plane by less than the stride */
	shape_is(POOL("kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1"), "1x1x4x6", "1x1x3x4");
	shape_is(POOL("global_pooling: true"), "3x5x7x9", "3x5x1x1");
	shape_is(POOL("kernel_size: 3 stride: 2"), "?", "?x?x?x?");
	shape_is(POOL("kernel_size: 3 stride: 2"), "?x8x?x9", "?x8x?x4");
	shape_is(POOL("global_pooling: true"), "?x8x?x?", "?x8x1x1");
}

struct setting {
	const char *text, *bottom;
	int kernel, stride, pad;
	bool max;
};

static const struct setting settings[] = {
	{ POOL("kernel_size: 3 stride: 2"), "2x3x13x12", 3, 2, 0, true },
	{ POOL("kernel_size: 3 stride: 2 pad: 1"), "2x3x13x12", 3, 2, 1, true },
	{ POOL("pool: AVE kernel_size: 3 stride: 2"), "2x3x13x12", 3, 2, 0, false },
	{ POOL("pool: AVE kernel_size: 5 stride: 3 pad: 2"), "1x2x7x9", 5, 3, 2, false },
	{ POOL("pool: AVE kernel_size: 7 stride: 2"), "1x2x6x7", 7, 2, 0, false },
	{ POOL("kernel_size: 1"), "1x3x1x127", 1, 1, 0, true },
	{ POOL("kernel_size: 2"), "0x3x4x4", 2, 1, 0, true },
};

/* A value of the definition; an average divides by the window within the padded plane. */
static double value_at(const struct layer_test *x, const struct setting *s, int64_t plane, int64_t oh, int64_t ow)
{
	const int64_t h = x->bottom[0].shape->d[2], w = x->bottom[0].shape->d[3];
	const real *v = x->bottom_values[0] + plane * h * w;
	double best = -DBL_MAX, sum = 0, places = 0;

	for (int64_t i = oh * s->stride - s->pad; i < oh * s->stride - s->pad + s->kernel; i++)
		for (int64_t j = ow * s->stride - s->pad; j < ow * s->stride - s->pad + s->kernel; j++) {
			places += i < h + s->pad && j < w + s->pad;
			if (i < 0 || i >= h || j < 0 || j >= w)
				continue;
			sum += (double)v[i * w + j];
			best = MOKA_MAX(best, (double)v[i * w + j]);
		}
	return s->max ? best : sum / places;
}

T_TEST(pooling_is_its_definition)
{
	for (size_t i = 0; i < MOKA_COUNT(settings); i++) {
		struct layer_test *x = lt_open(settings[i].text, MOKA_TEST, settings[i].bottom);
		const int64_t oh = x->top[0].shape->d[2], ow = x->top[0].shape->d[3];
		real *want = malloc((size_t)x->top[0].count * sizeof(real) + 1);

		lt_forward(x);
		for (int64_t k = 0; k < x->top[0].count; k++)
			want[k] = (real)value_at(x, &settings[i], k / (oh * ow), k / ow % oh, k % ow);
		T_NEAR(x->top[0].data, want, x->top[0].count, 1e-5, 1e-6);
		free(want);
		lt_free(x);
	}
}

T_TEST(mask_says_where)
{
	struct layer_test *x = lt_open(
		"layer { type: 'Pooling' bottom: 'x' top: 'y' top: 'm' pooling_param { kernel_size: 2 stride: 2 } }",
		MOKA_TEST, "1x2x2x4");
	const real in[] = { 1, 9, 2, 3, 4, 5, 8, 8, -1, -2, -3, -4, -5, -6, 0, -8 };
	const real want[] = { 9, 8, -1, 0 }, where[] = { 1, 6, 0, 6 };

	lt_set(x, 0, in);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 4, 0, 0);
	T_NEAR(x->top[1].data, where, 4, 0, 0); /* of equal values the first */
	lt_free(x);
}

/* Stochastic pooling in training takes a value of the window; in proportion, so that zeros are never taken. */
T_TEST(stochastic_takes_what_is_there)
{
	struct layer_test *x = lt_open(POOL("pool: STOCHASTIC kernel_size: 2 stride: 2"), MOKA_TRAIN, "1x1x4x4");
	const real in[] = { 0, 3, 0, 0, 0, 0, 5, 0, 1, 2, 0, 0, 0, 0, 0, 0 };
	int ones = 0;

	lt_set(x, 0, in);
	for (x->seed = 0; x->seed < 300; x->seed++) {
		lt_forward(x);
		T_TRUE(x->top[0].data[0] == 3 && x->top[0].data[1] == 5 && x->top[0].data[3] == 0);
		T_TRUE(x->top[0].data[2] == 1 || x->top[0].data[2] == 2);
		ones += x->top[0].data[2] == 1;
	}
	T_TRUE(ones > 60 && ones < 140); /* a third of 300 */
	lt_free(x);
}

T_TEST(stochastic_expects_in_test)
{
	struct layer_test *x = lt_open(POOL("pool: STOCHASTIC kernel_size: 2"), MOKA_TEST, "1x1x2x2");
	const real in[] = { 1, 2, 3, 4 };

	lt_set(x, 0, in);
	lt_forward(x);
	T_NEAR(x->top[0].data, &(real){ 3 }, 1, 1e-6, 0); /* 30 / 10 */
	lt_free(x);
}

/* The levels of a pyramid: one maximum, then four, then sixteen, for each channel. */
T_TEST(pyramid)
{
	struct layer_test *x = lt_open("layer { type: 'SPP' bottom: 'x' top: 'y' spp_param { pyramid_height: 2 } }",
				       MOKA_TEST, "1x2x2x2");
	const real in[] = { 1, 2, 3, 4, 8, 7, 6, 5 }, want[] = { 4, 8, 1, 2, 3, 4, 8, 7, 6, 5 };

	LT_SHAPE(x, 0, "1x10");
	lt_set(x, 0, in);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 10, 0, 0);
	lt_free(x);
	shape_is("layer { type: 'SPP' bottom: 'x' top: 'y' spp_param { pyramid_height: 3 } }", "2x3x13x9", "2x63");
	shape_is("layer { type: 'SPP' bottom: 'x' top: 'y' spp_param { pyramid_height: 1 } }", "2x3x13x9", "2x3x1x1");
}

#define SPP(settings) "layer { type: 'SPP' bottom: 'x' top: 'y' spp_param { " settings " } }"

T_TEST(bad_settings)
{
	LT_REFUSED(POOL(""), "1x1x4x4", "kernel_size (or kernel_h and kernel_w, or global_pooling: true) is missing");
	LT_REFUSED(POOL("kernel_size: 9"), "1x1x4x4", "the kernel's height is 9, but 'x' has only 4");
	LT_REFUSED(POOL("kernel_size: 0"), "1x1x4x4", "the kernel_size must be at least 1, and is 0");
	LT_REFUSED(POOL("kernel_size: 2 stride: 0"), "1x1x4x4", "the stride must be at least 1");
	LT_REFUSED(POOL("kernel_size: 2 pad: 2"), "1x1x4x4", "must be smaller than the kernel");
	LT_REFUSED(POOL("kernel_size: 4294967295"), "1x1x4x4", "2^31");
	LT_REFUSED(POOL("kernel_h: 2"), "1x1x4x4", "kernel_h is given without kernel_w");
	LT_REFUSED(POOL("kernel_size: 2 kernel_h: 2 kernel_w: 2"), "1x1x4x4", "one of them is enough");
	LT_REFUSED(POOL("kernel_size: 2 global_pooling: true"), "1x1x4x4", "a kernel can't be given too");
	LT_REFUSED(POOL("global_pooling: true stride: 2"), "1x1x4x4", "pad 0 and stride 1 only");
	LT_REFUSED(POOL("pool: STOCHASTIC kernel_size: 3 pad: 1"), "1x1x4x4", "STOCHASTIC pooling takes no padding");
	LT_REFUSED(POOL("kernel_size: 2"), "1x4",
		   "blobs of 4 axes (num, channels, height, width), or of up to 10, and 'x' is 1x4");
	LT_REFUSED("layer { type: 'Pooling' bottom: 'x' top: 'y' top: 'z' pooling_param { pool: AVE kernel_size: 2 } }",
		   "1x1x4x4", "goes with MAX only");
	LT_REFUSED(POOL("kernel_size: 2 kernel_size: 2 kernel_size: 2"), "1x1x4x4",
		   "one for each of the 2 spatial axes");
	LT_REFUSED(POOL("kernel_h: 2 kernel_w: 2"), "1x1x4x4x4", "for two spatial axes, and there are 3");
	LT_REFUSED(POOL("kernel_size: 2 dilation: 4"), "1x1x4x4", "the kernel's height is 5");
	LT_REFUSED(POOL("kernel_size: 2 dilation: 0"), "1x1x4x4", "dilation must be at least 1");
	LT_REFUSED(POOL("kernel_size: 2"), "1x1x4x3x1", "size along axis 4 is 2, but 'x' has only 1");
	LT_REFUSED(POOL("pool: STOCHASTIC kernel_size: 2"), "1x1x4x4x4", "STOCHASTIC pools planes");
	LT_REFUSED(POOL("kernel_size: 1048576 dilation: 1048576"), "1x1x4x4", "2^31");
	LT_REFUSED(SPP("pyramid_height: 0"), "1x1x4x4", "pyramid_height must be 1 to");
	LT_REFUSED(SPP("pyramid_height: 4"), "1x1x4x4", "too many for a side of 4");
	LT_REFUSED(SPP("pyramid_height: 1 pool: STOCHASTIC"), "1x1x4x4", "MAX or AVE");
}

static const struct CMUnitTest tests[] = {
	T_CASE(sizes),
	T_CASE(pooling_is_its_definition),
	T_CASE(mask_says_where),
	T_CASE(stochastic_takes_what_is_there),
	T_CASE(stochastic_expects_in_test),
	T_CASE(pyramid),
	T_CASE(bad_settings),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
