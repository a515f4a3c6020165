/*
 * test_gradients.c - every layer's backward pass against central differences, in double precision: a table of
 * settings.
 */
#include "layer_test.h"

#include <string.h>

#define CONV(settings)                                                                                                 \
	"layer { type: 'Convolution' bottom: 'x' top: 'y' convolution_param { weight_filler { type: 'gaussian' } "     \
	"bias_filler { type: 'gaussian' } " settings " } }"
#define DECONV(settings)                                                                                               \
	"layer { type: 'Deconvolution' bottom: 'x' top: 'y' convolution_param { weight_filler { type: 'gaussian' } "   \
	"bias_filler { type: 'gaussian' } " settings " } }"
#define ONE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define IN_PLACE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'x' " rest " }"
#define TWO(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' top: 'y' " rest " }"

/* clang-format off */
static const struct lt_gradient_row rows[] = {
	{ "conv 3x3", CONV("num_output: 4 kernel_size: 3"), "2x3x5x4" },
	{ "conv pad stride", CONV("num_output: 2 kernel_size: 3 pad: 1 stride: 2"), "2x3x6x5" },
	{ "conv group", CONV("num_output: 6 kernel_size: 2 group: 3"), "2x6x4x3" },
	{ "conv dilated", CONV("num_output: 2 kernel_size: 3 dilation: 2 pad: 2"), "1x2x6x6" },
	{ "conv rectangle", CONV("num_output: 2 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 stride_h: 2 stride_w: 1"), "2x2x5x4" },
	{ "conv 1x1", CONV("num_output: 5 kernel_size: 1"), "2x3x3x2" },
	{ "conv 1x1 stride", CONV("num_output: 2 kernel_size: 1 stride: 2"), "2x3x4x5" },
	{ "conv no bias", CONV("num_output: 2 kernel_size: 3 bias_term: false"), "1x2x4x4" },
	{ "conv 3-D", CONV("num_output: 2 kernel_size: 2 pad: 1 stride: 2"), "1x2x3x4x3" },
	{ "conv 1-D", CONV("num_output: 3 kernel_size: 3 pad: 1"), "2x2x7" },
	{ "conv 0-D", CONV("num_output: 3 kernel_size: 1"), "4x2" },
	{ "conv axis 0", CONV("num_output: 3 kernel_size: 3 axis: 0"), "2x8" },
	{ "conv axis 2", CONV("num_output: 2 kernel_size: 2 axis: 2"), "2x2x3x3x4" },
	{ "conv two bottoms",
	  "layer { type: 'Convolution' bottom: 'a' bottom: 'b' top: 'c' top: 'd' convolution_param { num_output: 2 kernel_size: 3 "
	  "weight_filler { type: 'xavier' } } }", "2x2x4x4 2x2x4x4" },
	{ "depthwise", CONV("num_output: 3 kernel_size: 3 pad: 1 group: 3"), "2x3x5x4" },
	{ "depthwise multiplier", CONV("num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 3 dilation: 2"), "2x3x6x7" },
	{ "depthwise far padding", CONV("num_output: 2 kernel_size: 3 stride: 2 pad: 4 group: 2"), "1x2x3x2" },
	{ "depthwise alias",
	  "layer { type: 'ConvolutionDepthwise' bottom: 'x' top: 'y' convolution_param { num_output: 4 kernel_size: 3 "
	  "weight_filler { type: 'msra' } } }", "2x4x4x5" },
	{ "deconv", DECONV("num_output: 3 kernel_size: 3"), "2x2x3x4" },
	{ "deconv stride pad", DECONV("num_output: 2 kernel_size: 4 stride: 2 pad: 1"), "2x3x3x2" },
	{ "deconv group", DECONV("num_output: 4 kernel_size: 3 stride: 2 group: 2"), "1x4x3x3" },
	{ "deconv depthwise", DECONV("num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3 bias_term: false"), "2x3x3x2" },
	{ "deconv dilated", DECONV("num_output: 2 kernel_size: 2 dilation: 2"), "1x2x3x3" },
	{ "deconv 1x1", DECONV("num_output: 2 kernel_size: 1"), "2x3x2x2" },
	{ "deconv 1-D", DECONV("num_output: 2 kernel_size: 3 stride: 2"), "2x2x4" },
	{ "im2col", ONE("Im2col", "convolution_param { kernel_size: 3 pad: 1 stride: 2 }"), "2x2x5x4" },
	{ "max", ONE("Pooling", "pooling_param { kernel_size: 3 stride: 2 }"), "2x3x7x6" },
	{ "max pad", ONE("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"), "2x2x6x5" },
	{ "max rectangle", ONE("Pooling", "pooling_param { kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 }"), "1x2x5x6" },
	{ "max mask", "layer { type: 'Pooling' bottom: 'x' top: 'y' top: 'mask' pooling_param { kernel_size: 2 stride: 2 } }", "2x2x5x4",
	  MOKA_TRAIN, 1 },
	{ "max global", ONE("Pooling", "pooling_param { global_pooling: true }"), "2x3x3x4" },
	{ "ave", ONE("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 }"), "2x3x7x6" },
	{ "ave pad", ONE("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"), "2x2x6x5" },
	{ "ave floor", ONE("Pooling", "pooling_param { pool: AVE kernel_size: 2 stride: 3 round_mode: FLOOR }"), "1x2x7x6" },
	{ "ave global", ONE("Pooling", "pooling_param { pool: AVE global_pooling: true }"), "2x3x3x4" },
	{ "stochastic train", ONE("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"), "2x2x4x4:u", MOKA_TRAIN },
	{ "stochastic test", ONE("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }"), "2x2x5x5:u", MOKA_TEST },
	{ "spp max", ONE("SPP", "spp_param { pyramid_height: 3 }"), "2x2x7x9" },
	{ "spp ave", ONE("SPP", "spp_param { pyramid_height: 2 pool: AVE }"), "2x3x5x4" },
	{ "spp one level", ONE("SPP", "spp_param { pyramid_height: 1 }"), "2x3x5x4" },
	{ "lrn across", ONE("LRN", "lrn_param { local_size: 3 alpha: 0.5 }"), "2x6x2x3" },
	{ "lrn across k", ONE("LRN", "lrn_param { local_size: 5 alpha: 0.3 beta: 1.2 k: 2 }"), "2x4x2x2" },
	{ "lrn across all", ONE("LRN", "lrn_param { local_size: 9 alpha: 2 beta: 0.5 }"), "1x3x2x2" },
	{ "lrn within", ONE("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"), "2x2x5x4" },
	{ "lrn within large", ONE("LRN", "lrn_param { local_size: 7 alpha: 2 beta: 1 norm_region: WITHIN_CHANNEL }"), "1x2x3x2" },
	{ "batch norm train", ONE("BatchNorm", ""), "4x3x2x3", MOKA_TRAIN },
	{ "batch norm in place", IN_PLACE("BatchNorm", "batch_norm_param { eps: 0.01 }"), "4x3x2x3", MOKA_TRAIN },
	{ "batch norm rows", ONE("BatchNorm", ""), "7x3", MOKA_TRAIN },
	{ "batch norm vector", ONE("BatchNorm", ""), "7", MOKA_TRAIN },
	{ "batch norm global in training", IN_PLACE("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.5 }"), "2x3x2", MOKA_TRAIN },
	{ "batch norm test", ONE("BatchNorm", "batch_norm_param { eps: 2 }"), "2x3x2", MOKA_TEST },
	{ "batch norm of the batch in test", ONE("BatchNorm", "batch_norm_param { use_global_stats: false }"), "4x3x2", MOKA_TEST },
	{ "batch norm nvidia",
	  IN_PLACE("BatchNorm", "batch_norm_param { scale_bias: true scale_filler { type: 'gaussian' } bias_filler { type: 'gaussian' } }"),
	  "4x3x2x3", MOKA_TRAIN },
	{ "batch norm nvidia global",
	  ONE("BatchNorm", "batch_norm_param { scale_bias: true eps: 2 scale_filler { type: 'gaussian' } }"), "4x3x2", MOKA_TEST },
	{ "scale", ONE("Scale", "scale_param { filler { type: 'gaussian' } bias_term: true bias_filler { type: 'gaussian' } }"), "2x3x4x2" },
	{ "scale in place", IN_PLACE("Scale", "scale_param { filler { type: 'gaussian' } bias_term: true }"), "2x3x4x2" },
	{ "scale all axes", ONE("Scale", "scale_param { num_axes: -1 axis: 1 filler { type: 'gaussian' } }"), "2x3x2" },
	{ "scale axis 0", IN_PLACE("Scale", "scale_param { axis: 0 num_axes: -1 filler { type: 'gaussian' } bias_term: true }"), "2x3x2" },
	{ "scale last axis", ONE("Scale", "scale_param { axis: -1 filler { type: 'gaussian' } }"), "2x3x4" },
	{ "scale one number", ONE("Scale", "scale_param { num_axes: 0 bias_term: true }"), "2x3x2" },
	{ "scale by a bottom", TWO("Scale", "scale_param { axis: 1 }"), "2x3x4x2 3x4" },
	{ "scale by a whole bottom", TWO("Scale", "scale_param { axis: 0 bias_term: true }"), "2x3 2x3" },
	{ "scale by a scalar", TWO("Scale", "scale_param { bias_term: true }"), "2x3x2 scalar" },
	{ "scale by a bottom in place", "layer { type: 'Scale' bottom: 'a' bottom: 'b' top: 'a' scale_param { axis: 0 } }", "2x3x4 2" },
	{ "bias", ONE("Bias", "bias_param { filler { type: 'gaussian' } }"), "2x3x4" },
	{ "bias in place", IN_PLACE("Bias", "bias_param { axis: 0 num_axes: 2 }"), "2x3x4" },
	{ "bias from a bottom", TWO("Bias", "bias_param { axis: 0 }"), "2x3x4 2x3" },
	{ "bias scalar", TWO("Bias", ""), "2x3 scalar" },
	{ "inner product", ONE("InnerProduct", "inner_product_param { num_output: 4 weight_filler { type: 'gaussian' } "
					       "bias_filler { type: 'gaussian' } }"), "3x2x2x3" },
	{ "inner product one row", ONE("InnerProduct", "inner_product_param { num_output: 4 weight_filler { type: 'gaussian' } }"), "1x5" },
	{ "inner product transposed", ONE("InnerProduct", "inner_product_param { num_output: 4 transpose: true "
							  "weight_filler { type: 'gaussian' } }"), "3x5" },
	{ "inner product transposed one row", ONE("InnerProduct", "inner_product_param { num_output: 4 transpose: true bias_term: false "
								  "weight_filler { type: 'gaussian' } }"), "1x5" },
	{ "inner product axis 2", ONE("InnerProduct", "inner_product_param { num_output: 3 axis: 2 bias_term: false "
						      "weight_filler { type: 'gaussian' } }"), "2x3x2x2" },
	{ "embed", ONE("Embed", "embed_param { num_output: 3 input_dim: 5 weight_filler { type: 'gaussian' } }"), "6:i5" },
	{ "embed no bias", ONE("Embed", "embed_param { num_output: 2 input_dim: 4 bias_term: false weight_filler { type: 'uniform' } }"),
	  "2x3:i4" },
	{ "mvn", ONE("MVN", ""), "2x3x4x3" },
	{ "mvn across", ONE("MVN", "mvn_param { across_channels: true }"), "2x3x4x3" },
	{ "mvn mean only", ONE("MVN", "mvn_param { normalize_variance: false }"), "2x3x4x3" },
	{ "mvn rows", ONE("MVN", "mvn_param { across_channels: true normalize_variance: false }"), "3x4" },
	{ "normalize", ONE("Normalize", "norm_param { scale_filler { type: 'constant' value: 3 } }"), "2x3x2x2" },
	{ "normalize channels", ONE("Normalize", "norm_param { across_spatial: false channel_shared: false "
						 "scale_filler { type: 'gaussian' } }"), "2x3x2x2" },
	{ "normalize places shared", ONE("Normalize", "norm_param { across_spatial: false }"), "2x3x2x2" },
	{ "normalize item by channel", ONE("Normalize", "norm_param { channel_shared: false scale_filler { type: 'gaussian' } }"), "2x3x2" },
	{ "crop", TWO("Crop", "crop_param { axis: 2 offset: 1 }"), "2x2x5x6 2x2x3x4" },
	{ "crop offsets", TWO("Crop", "crop_param { axis: 1 offset: 1 offset: 0 offset: 2 }"), "2x3x4x5 1x2x3x2" },
	{ "crop last axis", TWO("Crop", "crop_param { axis: -1 }"), "3x5 3x2" },
	{ "concat channels", "layer { type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' }", "2x3x2 2x1x2 2x2x2" },
	{ "concat items", TWO("Concat", "concat_param { concat_dim: 0 }"), "2x3 1x3" },
	{ "concat last", TWO("Concat", "concat_param { axis: -1 }"), "2x3 2x4" },
	{ "slice", "layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' }", "2x4x3" },
	{ "slice points", "layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' top: 'c' slice_param { axis: 2 slice_point: 1 slice_point: 4 } }",
	  "2x3x5" },
	{ "split", "layer { type: 'Split' bottom: 'x' top: 'a' top: 'b' top: 'c' }", "2x3" },
	{ "sum", TWO("Eltwise", ""), "2x3 2x3" },
	{ "sum coeff", "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' eltwise_param { coeff: 2 coeff: -0.5 coeff: 1 } }",
	  "2x3 2x3 2x3" },
	{ "product", "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' eltwise_param { operation: PROD } }",
	  "2x3 2x3 2x3" },
	{ "product by division", TWO("Eltwise", "eltwise_param { operation: PROD stable_prod_grad: false }"), "2x3:u 2x3:u" },
	{ "maximum", "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' eltwise_param { operation: MAX } }",
	  "2x7 2x7 2x7" },
	{ "reshape", ONE("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 2 } }"), "2x3x4" },
	{ "flatten", ONE("Flatten", "flatten_param { axis: 0 end_axis: 1 }"), "2x3x4" },
	{ "permute", ONE("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"), "2x3x4x2" },
	{ "permute some", ONE("Permute", "permute_param { order: 2 }"), "2x3x4" },
	{ "permute none", ONE("Permute", "permute_param { order: 0 order: 1 }"), "2x3x4" },
	{ "tile", ONE("Tile", "tile_param { axis: 1 tiles: 3 }"), "2x2x3" },
	{ "tile last", ONE("Tile", "tile_param { axis: -1 tiles: 2 }"), "2x2x3" },
	{ "reduce sum", ONE("Reduction", "reduction_param { coeff: 2.5 }"), "2x3x2" },
	{ "reduce asum", ONE("Reduction", "reduction_param { operation: ASUM axis: 1 }"), "3x4" },
	{ "reduce squares", ONE("Reduction", "reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }"), "3x4" },
	{ "reduce mean", ONE("Reduction", "reduction_param { operation: MEAN axis: -1 coeff: 3 }"), "3x2x4" },
	{ "batch reindex", TWO("BatchReindex", ""), "3x2x2 5:i3" },
	{ "filter", "layer { type: 'Filter' bottom: 'a' bottom: 'b' bottom: 'sel' top: 'c' top: 'd' }", "6x2 6x3 6:s", .constant = 1 << 2 },
	{ "parameter", "layer { type: 'Parameter' top: 'y' parameter_param { shape { dim: 2 dim: 3 } } }", "" },
};
/* clang-format on */

/* A bottom that only steers (a size, a selector) takes no difference: its diff is nothing, or zero where asked. */
T_TEST(gradients)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		lt_check_gradient(&rows[i]);
}

/* A silenced blob, and the bottom that only gives a crop its size, get zeros. */
T_TEST(no_gradient_is_zero)
{
	static const char *const texts[] = { "layer { type: 'Silence' bottom: 'a' bottom: 'b' }", TWO("Crop", "") };

	for (int i = 0; i < 2; i++) {
		struct layer_test *x = lt_open(texts[i], MOKA_TRAIN, "1x1x2x2 1x1x2x2");

		lt_forward(x);
		lt_random_top_diffs(x, 1);
		lt_backward(x);
		for (int64_t k = 0; k < x->bottom[1].count; k++)
			T_TRUE(x->bottom[1].diff[k] == 0);
		lt_free(x);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(gradients),
	T_CASE(no_gradient_is_zero),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
