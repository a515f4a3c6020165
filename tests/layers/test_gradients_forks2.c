/*
 * test_gradients_forks2.c - more gradients of the layers that forks added. Built in double precision.
 */
#include "layer_test.h"

#define ONE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define TWO(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' top: 'y' " rest " }"
#define THREE(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' " rest " }"
#define CRF(steps)                                                                                                     \
	"multi_stage_meanfield_param { num_iterations: " steps " theta_alpha: 3 theta_beta: 1 theta_gamma: 1.5 "       \
	"spatial_filter_weight: 1.5 bilateral_filter_weight: 2.5 }"

/* clang-format off */
static const struct lt_gradient_row rows[] = {
	{ "MultiStageMeanfield", THREE("MultiStageMeanfield", CRF("2")), "1x3x4x5 1x3x4x5 1x3x4x5" },
	{ "MultiStageMeanfield, two images, three steps", THREE("MultiStageMeanfield", CRF("3")), "2x2x3x3 2x2x3x3 2x3x3x3" },
	{ "MultiStageMeanfield, one pixel", THREE("MultiStageMeanfield", CRF("1")), "1x2x1x1 1x2x1x1 1x3x1x1" },
	{ "MultiStageMeanfield, ten classes", THREE("MultiStageMeanfield", CRF("1")), "1x10x1x3 1x10x1x3 1x3x1x3" },
	{ "SimpleCrop", TWO("SimpleCrop", ""), "2x3x5x4 1x7x3x4" },
	{ "NormalizeBBox", ONE("NormalizeBBox", "normalize_bbox_param { across_spatial: false channel_shared: false scale_filler { type: 'uniform' min: 1 max: 3 } }"), "2x3x2x3" },
	{ "AbsLoss", TWO("AbsLoss", ""), "3x2x5 3x2x5" },
	{ "AbsLoss, one sample", TWO("AbsLoss", ""), "1x13 1x13" },
	{ "XCovLoss", TWO("XCovLoss", ""), "5x3 5x4" },
	{ "XCovLoss, planes", TWO("XCovLoss", ""), "3x2x2 3x1x1x7" },
	{ "XCovLoss, one sample", TWO("XCovLoss", ""), "1x3 1x2" },
	{ "BilinearInterpolation", TWO("BilinearInterpolation", ""), "2x3x3x4 1x1x7x5" },
	{ "BilinearInterpolation, smaller", TWO("BilinearInterpolation", ""), "1x2x7x5 2x1x3x1" },
	{ "BilinearInterpolation, from one value", TWO("BilinearInterpolation", ""), "1x2x1x1 1x1x3x2" },
	{ "Unpooling", TWO("Unpooling", "unpooling_param { kernel_size: 2 stride: 2 unpool_size: 7 }"), "2x3x3x3 2x3x3x3:i49" },
	{ "Unpooling, shared places", TWO("Unpooling", "pooling_param { kernel_size: 3 stride: 1 }"), "1x2x2x3 1x2x2x3:i4" },
};
/* clang-format on */

T_TEST(gradients)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		lt_check_gradient(&rows[i]);
}

static const struct CMUnitTest tests[] = { T_CASE(gradients) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
