/*
 * Training on hard examples (R-FCN): which regions BoxAnnotatorOHEM lets train, what the two losses tell of each place, loss_param's
 * PRE_FIXED.
 */
#include "layer_test.h"

#include <math.h>

#define ANNOTATE(rest)                                                                                                                                  \
	"layer { name: 'a' type: 'BoxAnnotatorOHEM' bottom: 'r' bottom: 'c' bottom: 'l' bottom: 'w' top: 'x' top: 'y' box_annotator_ohem_param { " rest \
	" } }"

T_TEST(the_costliest_train)
{
	static const real regions[6 * 5] = { 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1,
					     0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 2, 0, 0, 1, 1 };
	static const real costs[6] = { 0.5, 0.1, 0.9, 0.7, 0.3, 0.2 }, labels[6] = { 1, 2, 3, 4, 5, 6 };
	static const real want[6] = { -1, 2, 3, 4, 5, 6 };
	struct layer_test *x = lt_open(ANNOTATE("roi_per_img: 2"), MOKA_TRAIN, "6x5 6 6 6x8:u");

	lt_set(x, 0, regions);
	lt_set(x, 1, costs);
	lt_set(x, 2, labels);
	LT_SHAPE(x, 0, "6x1x1x1");
	LT_SHAPE(x, 1, "6x8x1x1");
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 6, 0, 0);
	for (int i = 0; i < 48; i++)
		T_TRUE(x->top[1].data[i] == (i < 8 ? 0 : x->bottom_values[3][i]));

	x->bottom_values[0][0] = 6;
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "layer 'a' (BoxAnnotatorOHEM): region 0 of 'r' is of image 6");
	x->bottom_values[0][0] = -1;
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	lt_free(x);
}

T_TEST(places_of_a_plane)
{
	/* R-FCN's form over cells: one "region" for each of 2 x 2 places; of equal costs the first trains */
	static const real regions[5 * 4] = { 0 }, costs[4] = { 1, 2, 2, 0 }, labels[4] = { 1, 2, 3, 4 },
				      want[4] = { 9, 2, 9, 9 };
	struct layer_test *x =
		lt_open(ANNOTATE("roi_per_img: 1 ignore_label: 9"), MOKA_TRAIN, "1x5x2x2 1x1x2x2 1x1x2x2 1x3x2x2:u");

	lt_set(x, 0, regions);
	lt_set(x, 1, costs);
	lt_set(x, 2, labels);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 4, 0, 0);
	for (int i = 0; i < 12; i++)
		T_TRUE(x->top[1].data[i] == (i % 4 == 1 ? x->bottom_values[3][i] : 0));
	lt_free(x);
	x = lt_open(ANNOTATE("roi_per_img: 3"), MOKA_TRAIN, "0x5 0 0 0x8");
	lt_forward(x);
	lt_free(x);
	LT_REFUSED(ANNOTATE("roi_per_img: 0"), "6x5 6 6 6x8", "roi_per_img");
	LT_REFUSED(ANNOTATE("roi_per_img: 2"), "6x4 6 6 6x8", "axis 1 must be 5");
	LT_REFUSED(ANNOTATE("roi_per_img: 2"), "6x5 6 5 6x8", "'l', the labels, is 5: axis 0 must be 6");
}

T_TEST(softmax_tells_each_place)
{
	static const char *const text =
		"layer { type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 't' top: 'l' top: 'p' top: 'c' loss_param { ignore_label: 3 } }";

	for (int threads = 1; threads < 4; threads += 2) {
		struct layer_test *x = lt_open_threads(text, MOKA_TRAIN, "3x4x2x5 3x1x2x5:i4", threads);
		double sum = 0;
		int valid = 0;

		LT_SHAPE(x, 1, "3x4x2x5");
		LT_SHAPE(x, 2, "3x1x2x5");
		lt_forward(x);
		for (int i = 0; i < 30; i++) {
			const int label = (int)x->bottom_values[1][i];
			double all = 0, want;

			for (int k = 0; k < 4; k++)
				all += exp((double)x->bottom_values[0][(i / 10 * 4 + k) * 10 + i % 10]);
			want = label == 3 ? 0
					  : log(all) - (double)x->bottom_values[0][(i / 10 * 4 + label) * 10 + i % 10];
			T_NEAR(x->top[2].data + i, &(real){ (real)want }, 1, 1e-4, 1e-6);
			sum += want;
			valid += label != 3;
		}
		T_NEAR(x->top[0].data, &(real){ (real)(sum / valid) }, 1, 1e-5, 1e-6);
		lt_free(x);
	}
}

#define SMOOTH(rest)                                                                                                   \
	"layer { type: 'SmoothL1LossOHEM' bottom: 'a' bottom: 'b' bottom: 'w' top: 'l' top: 'c' loss_param { " rest    \
	" } }"

static double smooth(double d)
{
	return fabs(d) < 1 ? d * d / 2 : fabs(d) - 0.5;
}

static void check_smooth(const char *text, double divisor)
{
	struct layer_test *x = lt_open(text, MOKA_TRAIN, "4x8x3x2 4x8x3x2 4x8x3x2:s");
	double sum = 0;

	LT_SHAPE(x, 1, "4x1x3x2");
	lt_forward(x);
	for (int i = 0; i < 24; i++) {
		double want = 0;

		for (int k = 0; k < 8; k++) {
			const int at = (i / 6 * 8 + k) * 6 + i % 6;
			want += smooth((double)(x->bottom_values[2][at] *
						(x->bottom_values[0][at] - x->bottom_values[1][at])));
		}
		T_NEAR(x->top[1].data + i, &(real){ (real)want }, 1, 1e-4, 1e-6);
		sum += want;
	}
	T_NEAR(x->top[0].data, &(real){ (real)(sum / divisor) }, 1, 1e-5, 1e-6);
	lt_free(x);
}

T_TEST(smooth_l1_tells_each_place)
{
	check_smooth(SMOOTH(""), 24);
	check_smooth(SMOOTH("normalization: FULL"), 24);
	check_smooth(SMOOTH("normalization: BATCH_SIZE"), 4);
	check_smooth(SMOOTH("normalization: NONE"), 1);
	check_smooth(SMOOTH("normalization: PRE_FIXED pre_fixed_normalizer: 128"), 128);
	check_smooth(SMOOTH("normalization: PRE_FIXED pre_fixed_normalizer: 0.5"), 1);
}

static const struct CMUnitTest tests[] = {
	T_CASE(the_costliest_train),
	T_CASE(places_of_a_plane),
	T_CASE(softmax_tells_each_place),
	T_CASE(smooth_l1_tells_each_place),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
