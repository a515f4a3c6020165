/*
 * Gradients of the detection set in double precision: the losses and the layers of regions by central differences, every element; ROIAlign and PSROIPooling, which
 * are linear in the features, by their adjoint: <dy, forward(x)> = <backward(dy), x>.
 */
#include "layer_test.h"

#include <math.h>

#define ROI(type, rest) "layer { type: '" type "' bottom: 'x' bottom: 'r' top: 'y' " rest " }"

/* clang-format off */
static const struct lt_gradient_row rows[] = {
	{ "SmoothL1Loss", "layer { type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' top: 'l' }", "3x4x2 3x4x2", MOKA_TRAIN, 0, 0, 0, 0 },
	{ "SmoothL1Loss, sigma", "layer { type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' top: 'l' smooth_l1_loss_param { sigma: 3 } }", "1x13 1x13", MOKA_TRAIN, 0, 0, 0, 0 },
	{ "SmoothL1Loss, weights", "layer { type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' bottom: 'i' bottom: 'o' top: 'l' smooth_l1_loss_param { sigma: 0.8 } }",
	  "3x4x2 3x4x2 3x4x2:u 3x4x2:u", MOKA_TRAIN, 0, 0, 0, 0 },
	{ "SmoothL1LossOHEM", "layer { type: 'SmoothL1LossOHEM' bottom: 'a' bottom: 'b' bottom: 'i' top: 'l' top: 'c' loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 3 } }",
	  "3x4x2x2 3x4x2x2 3x4x2x2:u", MOKA_TRAIN, 1, 0, 0, 0 },
	{ "SoftmaxWithLossOHEM", "layer { type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 't' top: 'l' top: 'p' top: 'c' }", "5x4 5:i4", MOKA_TRAIN, 1, 0, 0, 0 },
	{ "SoftmaxWithLossOHEM, ignored", "layer { type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 't' top: 'l' loss_param { ignore_label: 1 normalization: BATCH_SIZE } }",
	  "2x3x3x2 2x1x3x2:i3", MOKA_TRAIN, 0, 0, 0, 0 },
	{ "SoftmaxWithLoss, PRE_FIXED", "layer { type: 'SoftmaxWithLoss' bottom: 'x' bottom: 't' top: 'l' loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 7 } }",
	  "5x4 5:i4", MOKA_TRAIN, 0, 0, 0, 0 },
	{ "ROIPooling", ROI("ROIPooling", "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }"), "2x3x7x8 6x5:r2" },
	{ "ROIPooling, to one", ROI("ROIPooling", "roi_pooling_param { pooled_h: 1 pooled_w: 1 }"), "1x2x13x11 4x5:r1" },
	{ "ROIPooling, upwards", ROI("ROIPooling", "roi_pooling_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.25 }"), "3x2x5x6 5x5:r3" },
	{ "ROIAlign", ROI("ROIAlign", "roi_align_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }"), "2x3x7x8 6x5:r2" },
	{ "ROIAlign, samples", ROI("ROIAlign", "roi_align_param { pooled_h: 3 pooled_w: 1 sampling_ratio: 2 }"), "1x2x13x11 4x5:r1" },
	{ "ROIAlign, one sample", ROI("ROIAlign", "roi_align_param { pooled_h: 5 pooled_w: 4 sampling_ratio: 1 spatial_scale: 0.25 }"), "3x2x5x6 5x5:r3" },
	{ "PSROIPooling", ROI("PSROIPooling", "psroi_pooling_param { output_dim: 2 group_size: 2 spatial_scale: 0.5 }"), "2x8x7x8 6x5:r2" },
	{ "PSROIPooling, thirds", ROI("PSROIPooling", "psroi_pooling_param { output_dim: 1 group_size: 3 spatial_scale: 0.25 }"), "2x9x5x6 5x5:r2" },
	{ "PSROIPooling, one group", ROI("PSROIPooling", "psroi_pooling_param { output_dim: 3 group_size: 1 spatial_scale: 1 }"), "1x3x13x11 4x5:r1" },
};
/* clang-format on */

T_TEST(every_row)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		lt_check_gradient(&rows[i]);
}

static void check_adjoint(const char *text, const char *bottoms, int threads)
{
	/* some inside, some over the edges, two on one another, one without a size */
	static const real regions[6 * 5] = { 0, 3,  2,	40, 30, 1, 0, 0, 60, 60, 0, -5, -9, 30, 12,
					     0, 20, 20, 20, 20, 0, 3, 2, 40, 30, 1, 50, 44, 90, 99 };
	struct layer_test *x = lt_open_threads(text, MOKA_TRAIN, bottoms, threads);
	double there = 0, back = 0;

	lt_set(x, 1, regions);
	lt_forward(x);
	lt_random_top_diffs(x, 3);
	lt_backward(x);
	for (int64_t i = 0; i < x->top[0].count; i++)
		there += (double)(x->top[0].diff[i] * x->top[0].data[i]);
	for (int64_t i = 0; i < x->bottom[0].count; i++)
		back += (double)(x->bottom[0].diff[i] * x->bottom[0].data[i]);
	T_TRUE(fabs(there) > 0.1);
	if (fabs(there - back) > 1e-9 * fabs(there))
		fail_msg("%s: %.12g there, %.12g back", text, there, back);
	lt_free(x);
}

T_TEST(regions)
{
	for (int threads = 1; threads < 4; threads += 2) {
		check_adjoint(
			"layer { type: 'ROIAlign' bottom: 'x' bottom: 'r' top: 'y' roi_align_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.125 } }",
			"2x3x7x8 6x5", threads);
		check_adjoint(
			"layer { type: 'ROIAlign' bottom: 'x' bottom: 'r' top: 'y' roi_align_param { pooled_h: 1 pooled_w: 1 sampling_ratio: 3 spatial_scale: 0.125 } }",
			"2x3x7x8 6x5", threads);
		check_adjoint(
			"layer { type: 'PSROIPooling' bottom: 'x' bottom: 'r' top: 'y' psroi_pooling_param { output_dim: 2 group_size: 3 spatial_scale: 0.125 } }",
			"2x18x7x8 6x5", threads);
		/* not linear, but where each maximum stands is linear */
		check_adjoint(
			"layer { type: 'ROIPooling' bottom: 'x' bottom: 'r' top: 'y' roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.125 } }",
			"2x3x7x8 6x5", threads);
	}
}

static const struct CMUnitTest tests[] = { T_CASE(every_row), T_CASE(regions) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
