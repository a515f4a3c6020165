/*
 * PriorBox and DetectionOutput by hand: where the boxes lie, which survive suppression, in which order they come out.
 */
#include "layer_test.h"

#include <math.h>

T_TEST(priors_of_one_cell)
{
	/* a 1 x 1 map over a 100 x 100 picture: squares of 20 and sqrt(20 * 80) = 40, then 2 : 1 and 1 : 2 of area 400 */
	struct layer_test *x = lt_open(
		"layer { type: 'PriorBox' bottom: 'f' bottom: 'd' top: 'y' prior_box_param { min_size: 20 max_size: 80 "
		"aspect_ratio: 2 flip: true variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }",
		MOKA_TEST, "1x8x1x1 1x3x100x100");
	const double w = 20 * sqrt(2.0) / 200, h = 20 / sqrt(2.0) / 200;
	const real want[] = { (real)0.4,       (real)0.4,	(real)0.6,	 (real)0.6,
			      (real)0.3,       (real)0.3,	(real)0.7,	 (real)0.7,
			      (real)(0.5 - w), (real)(0.5 - h), (real)(0.5 + w), (real)(0.5 + h),
			      (real)(0.5 - h), (real)(0.5 - w), (real)(0.5 + h), (real)(0.5 + w) };
	const real variance[] = { (real)0.1, (real)0.1, (real)0.2, (real)0.2 };

	LT_SHAPE(x, 0, "1x2x16");
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 16, 1e-5, 1e-6);
	for (int i = 0; i < 4; i++)
		T_NEAR(x->top[0].data + 16 + 4 * i, variance, 4, 1e-6, 0);
	lt_free(x);
}

/* Three priors, the first two nearly the same; two classes beside the background. */
static struct layer_test *detection(const char *settings, const real *scores)
{
	static const real priors[] = { 0.1f, 0.1f, 0.3f, 0.3f, 0.11f, 0.1f, 0.31f, 0.3f, 0.6f, 0.6f, 0.9f, 0.9f,
				       0.1f, 0.1f, 0.2f, 0.2f, 0.1f,  0.1f, 0.2f,  0.2f, 0.1f, 0.1f, 0.2f, 0.2f };
	static const real loc[12] = { 0 };
	char text[512];

	snprintf(
		text, sizeof(text),
		"layer { type: 'DetectionOutput' bottom: 'l' bottom: 'c' bottom: 'p' top: 'y' detection_output_param { "
		"num_classes: 3 code_type: CENTER_SIZE nms_param { nms_threshold: 0.45 top_k: 10 } keep_top_k: 10 %s } }",
		settings);
	struct layer_test *x = lt_open(text, MOKA_TEST, "1x12 1x9 1x2x12");
	lt_set(x, 0, loc);
	lt_set(x, 1, scores);
	lt_set(x, 2, priors);
	return x;
}

T_TEST(of_two_that_overlap_the_better_stays)
{
	const real scores[] = { 0.1f, 0.8f, 0.1f, 0.2f, 0.7f, 0.1f, 0.2f, 0.1f, 0.7f };
	const real want[] = { 0, 1, 0.8f, 0.1f, 0.1f, 0.3f, 0.3f, 0, 2, 0.7f, 0.6f, 0.6f, 0.9f, 0.9f };
	struct layer_test *x = detection("confidence_threshold: 0.5", scores);

	lt_forward(x);
	T_INT(x->top[0].shape->d[2], 6); /* room for the most there can be: zeros follow the last real row */
	T_INT(x->top[0].data[14 + 2], 0);
	T_NEAR(x->top[0].data, want, 14, 1e-4, 1e-5);
	lt_free(x);
}

T_TEST(nothing_found)
{
	const real scores[] = { 0.9f, 0.05f, 0.05f, 0.9f, 0.05f, 0.05f, 0.9f, 0.05f, 0.05f };
	struct layer_test *x = detection("confidence_threshold: 0.5", scores);

	lt_forward(x);
	/* as SSD: one row of -1 for the image, its first value the image's number */
	T_INT(x->top[0].data[0], 0);
	for (int i = 1; i < 7; i++)
		T_INT(x->top[0].data[i], -1);
	lt_free(x);
}

T_TEST(what_is_refused)
{
	LT_REFUSED("layer { type: 'PriorBox' bottom: 'f' bottom: 'd' top: 'y' prior_box_param { } }",
		   "1x8x1x1 1x3x100x100", "min_size");
	LT_REFUSED(
		"layer { type: 'PriorBox' bottom: 'f' bottom: 'd' top: 'y' prior_box_param { min_size: 30 max_size: 20 } }",
		"1x8x1x1 1x3x100x100", "max_size");
	LT_REFUSED(
		"layer { type: 'DetectionOutput' bottom: 'l' bottom: 'c' bottom: 'p' top: 'y' detection_output_param { num_classes: 3 } }",
		"1x12 1x8 1x2x12", "layer");
	LT_REFUSED("layer { type: 'MultiBoxLoss' bottom: 'l' bottom: 'c' bottom: 'p' bottom: 'g' top: 'y' }",
		   "2x24 2x18 1x2x24 1x1x3x8", "num_classes");
}

static const struct CMUnitTest tests[] = {
	T_CASE(priors_of_one_cell),
	T_CASE(of_two_that_overlap_the_better_stays),
	T_CASE(nothing_found),
	T_CASE(what_is_refused),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
