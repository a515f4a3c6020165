/*
 * Regions of interest and YOLO's Reorg against plain loops and by hand, and what they refuse.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

#define ROI(rest) "layer { type: 'ROIPooling' bottom: 'x' bottom: 'r' top: 'y' roi_pooling_param { " rest " } }"
#define ALIGN(rest) "layer { type: 'ROIAlign' bottom: 'x' bottom: 'r' top: 'y' roi_align_param { " rest " } }"
#define PS(rest) "layer { type: 'PSROIPooling' bottom: 'x' bottom: 'r' top: 'y' psroi_pooling_param { " rest " } }"

/* A 1x1x4x6 plane whose cell (r, c) is 10 r + c. */
static void set_plane(struct layer_test *x, const real *rois)
{
	real plane[24];

	for (int i = 0; i < 24; i++)
		plane[i] = (real)(i / 6 * 10 + i % 6);
	lt_set(x, 0, plane);
	lt_set(x, 1, rois);
}

T_TEST(roi_pooling_by_hand)
{
	/* cells 1..4 across, 0..3 down in halves; then at scale a region that runs over the edge */
	const real rois[] = { 0, 1, 0, 4, 3, 0, 4, 2, 9, 9 };
	const real want[] = { 12, 14, 32, 34, 25, 25, 35, 35 };
	struct layer_test *x = lt_open(ROI("pooled_h: 2 pooled_w: 2"), MOKA_TRAIN, "1x1x4x6 2x5");

	set_plane(x, rois);
	LT_SHAPE(x, 0, "2x1x2x2");
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 4, 0, 0);
	/* the second: 6 x 8 cells from (2, 4): bins of 4 x 3, cut at the edges: the left holds columns 4, 5; the right none */
	T_INT(x->top[0].data[4], 35);
	T_INT(x->top[0].data[5], 0);
	T_INT(x->top[0].data[6], 0);
	lt_free(x);
}

T_TEST(roi_pooling_sends_the_gradient_to_the_maximum)
{
	const real rois[] = { 0, 1, 0, 4, 3, 0, 1, 0, 4, 3 };
	struct layer_test *x = lt_open(ROI("pooled_h: 2 pooled_w: 2"), MOKA_TRAIN, "1x1x4x6 2x5");

	set_plane(x, rois);
	lt_forward(x);
	for (int i = 0; i < 8; i++)
		x->top[0].diff[i] = (real)(i + 1);
	lt_backward(x);
	for (int i = 0; i < 24; i++) {
		real want = i == 8 ? 1 + 5 : i == 10 ? 2 + 6 : i == 20 ? 3 + 7 : i == 22 ? 4 + 8 : 0;
		T_NEAR(&x->bottom[0].diff[i], &want, 1, 0, 0);
	}
	lt_free(x);
}

T_TEST(roi_align_of_a_slope_is_exact)
{
	/* a plane that is linear is read exactly between its cells: a bin's mean is the value at its centre */
	const real rois[] = { 0, 1, 0.5, 4, 2.5 };
	const real want[] = { (real)(10 * 1.0 + 1.75), (real)(10 * 1.0 + 3.25), (real)(10 * 2.0 + 1.75),
			      (real)(10 * 2.0 + 3.25) };

	for (int ratio = 0; ratio < 4; ratio++) {
		char text[256];
		snprintf(text, sizeof(text), ALIGN("pooled_h: 2 pooled_w: 2 sampling_ratio: %d"), ratio);
		struct layer_test *x = lt_open(text, MOKA_TEST, "1x1x4x6 1x5");
		set_plane(x, rois);
		lt_forward(x);
		T_NEAR(x->top[0].data, want, 4, 1e-5, 1e-5);
		lt_free(x);
	}
}

T_TEST(psroi_reads_each_bin_from_its_own_map)
{
	const real rois[] = { 0, 0, 0, 3, 3 };
	real maps[8 * 16];
	struct layer_test *x = lt_open(PS("spatial_scale: 1 output_dim: 2 group_size: 2"), MOKA_TEST, "1x8x4x4 1x5");

	/* map m holds m everywhere but a corner cell of the first bin */
	for (int i = 0; i < 8 * 16; i++)
		maps[i] = (real)(i / 16);
	maps[0] = 4;
	lt_set(x, 0, maps);
	lt_set(x, 1, rois);
	LT_SHAPE(x, 0, "1x2x2x2");
	lt_forward(x);
	for (int i = 1; i < 8; i++)
		T_INT(x->top[0].data[i], i);
	T_INT(x->top[0].data[0], 1); /* one 4 among four cells */
	lt_free(x);
}

T_TEST(reorg_is_darknets_passthrough)
{
	struct layer_test *x =
		lt_open("layer { type: 'Reorg' bottom: 'x' top: 'y' reorg_param { stride: 2 } }", MOKA_TEST, "2x4x4x6");
	struct layer_test *back =
		lt_open("layer { type: 'Reorg' bottom: 'x' top: 'y' reorg_param { stride: 2 reverse: true } }",
			MOKA_TEST, "2x16x2x3");

	LT_SHAPE(x, 0, "2x16x2x3");
	LT_SHAPE(back, 0, "2x4x4x6");
	lt_forward(x);
	/* the flat arrays of Darknet: the bottom is walked as (n, c, h, w), and read out of one of c / 4, 2 h, 2 w */
	int64_t i = 0;
	for (int n = 0; n < 2; n++)
		for (int c = 0; c < 4; c++)
			for (int h = 0; h < 4; h++)
				for (int w = 0; w < 6; w++, i++) {
					int64_t from = w * 2 + c % 2 + 12 * (h * 2 + c / 2 + 8 * n);
					T_NEAR(&x->top[0].data[i], &x->bottom_values[0][from], 1, 0, 0);
				}
	/* the reverse of 16 channels undoes a forward that made 16 channels only where the flat orders agree: check its own law */
	lt_forward(back);
	i = 0;
	for (int n = 0; n < 2; n++)
		for (int c = 0; c < 16; c++)
			for (int h = 0; h < 2; h++)
				for (int w = 0; w < 3; w++, i++) {
					int64_t to = w * 2 + c / 4 % 2 + 6 * (h * 2 + c / 4 / 2 + 4 * (c % 4 + 4 * n));
					T_NEAR(&back->top[0].data[to], &back->bottom_values[0][i], 1, 0, 0);
				}
	lt_free(x);
	lt_free(back);
}

T_TEST(what_is_refused)
{
	LT_REFUSED(ROI("pooled_h: 2"), "1x1x4x6 2x5", "pooled_w");
	LT_REFUSED(ROI("pooled_h: 2 pooled_w: 2 spatial_scale: 0"), "1x1x4x6 2x5", "spatial_scale");
	LT_REFUSED(ROI("pooled_h: 2 pooled_w: 2"), "1x1x4x6 2x4", "rows of 5");
	LT_REFUSED(ALIGN("pooled_h: 2 pooled_w: 2 sampling_ratio: 1000"), "1x1x4x6 2x5", "at most");
	LT_REFUSED(PS("spatial_scale: 1 output_dim: 2 group_size: 3"), "1x8x4x4 1x5", "takes 2 x 3 x 3");
	LT_REFUSED("layer { type: 'Reorg' bottom: 'x' top: 'y' reorg_param { stride: 3 } }", "1x9x4x6",
		   "does not divide");
	LT_REFUSED("layer { type: 'Reorg' bottom: 'x' top: 'y' reorg_param { stride: 0 } }", "1x9x4x6", "stride");
}

static void bad_region(const char *text, const char *shapes, const real *rois, const char *words)
{
	struct layer_test *x = lt_open(text, MOKA_TEST, shapes);

	lt_set(x, 1, rois);
	T_TRUE(lt_try_forward(x) == MOKA_ERR_DATA);
	T_HAS(x->err.message, words);
	lt_free(x);
}

T_TEST(a_region_outside_the_picture_is_told_so)
{
	static const char *const texts[] = { ROI("pooled_h: 2 pooled_w: 2"), ALIGN("pooled_h: 2 pooled_w: 2"),
					     PS("spatial_scale: 1 output_dim: 1 group_size: 1") };

	for (size_t i = 0; i < MOKA_COUNT(texts); i++) {
		bad_region(texts[i], "1x1x4x6 1x5", (const real[]){ 1, 0, 0, 3, 3 }, "region 0 of 'r' is of image 1");
		bad_region(texts[i], "1x1x4x6 1x5", (const real[]){ 0, 50, 0, 60, 3 }, "lies outside the picture");
		bad_region(texts[i], "1x1x4x6 1x5", (const real[]){ 0, (real)NAN, 0, 60, 3 }, "coordinate");
	}
}

T_TEST(no_regions_no_values)
{
	struct layer_test *x = lt_open(ROI("pooled_h: 2 pooled_w: 2"), MOKA_TRAIN, "1x1x4x6 0x5");

	LT_SHAPE(x, 0, "0x1x2x2");
	lt_forward(x);
	lt_backward(x);
	for (int i = 0; i < 24; i++)
		T_INT(x->bottom[0].diff[i], 0);
	lt_free(x);
}

static const struct CMUnitTest tests[] = {
	T_CASE(roi_pooling_by_hand),
	T_CASE(roi_pooling_sends_the_gradient_to_the_maximum),
	T_CASE(roi_align_of_a_slope_is_exact),
	T_CASE(psroi_reads_each_bin_from_its_own_map),
	T_CASE(reorg_is_darknets_passthrough),
	T_CASE(what_is_refused),
	T_CASE(a_region_outside_the_picture_is_told_so),
	T_CASE(no_regions_no_values),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
