/*
 * test_gradients_forks.c - gradients of the layers that forks added, every element against a central difference. Built in
 * double precision.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ONE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define IN_PLACE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'x' " rest " }"
#define TWO(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' top: 'y' " rest " }"
#define THREE(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' " rest " }"
#define NEURON(type)                                                                                                   \
	{ type, ONE(type, ""), "2x3x9", MOKA_TEST, 0, 0, 0, 0 },                                                       \
	{                                                                                                              \
		type " in place", IN_PLACE(type, ""), "2x3x9", MOKA_TEST, 0, 0, 0, 0                                   \
	}
#define FILL "{ type: 'uniform' min: 0.5 max: 1.5 }"
#define LEARN "bn_param { scale_filler " FILL " shift_filler " FILL " }"
#define INFERENCE "bn_param { scale_filler " FILL " shift_filler " FILL " bn_mode: INFERENCE }"
#define SLOPE "bn_param { slope_filler " FILL " bias_filler " FILL " }"
#define FROZEN "bn_param { slope_filler " FILL " bias_filler " FILL " frozen: true }"
#define G "weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"
#define LOCAL(rest) "local_param { num_output: 2 " rest " " G " }"
#define CONV                                                                                                           \
	"convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' } }"
#define CONV3D(rest)                                                                                                    \
	"convolution3d_param { num_output: 2 weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' } " rest \
	" }"
#define DENSE(rest)                                                                                                    \
	ONE("DenseBlock", "denseblock_param { numTransition: 2 growthRate: 2 Filter_Filler { type: 'gaussian' } "      \
			  "BN_Scaler_Filler " FILL " BN_Bias_Filler " FILL " " rest " }")
#define SMALL                                                                                                          \
	"{ type: 'uniform' min: 0.001 max: 0.004 }" /* over the deviation of kept statistics of nothing: about 1 */

/* clang-format off */
static const struct lt_gradient_row rows[] = {
	NEURON("HardSigmoid"), NEURON("HardSwish"), NEURON("HSigmoid"), NEURON("HSwish"), NEURON("Mish"), NEURON("ReLU6"),
	{ "HardSigmoid, steep", ONE("HardSigmoid", "hard_sigmoid_param { alpha: -0.7 beta: 0.3 }"), "13" },
	{ "MTCNNEuclideanLoss", TWO("MTCNNEuclideanLoss", "loss_weight: 2"), "3x4 3x4" },
	{ "MTCNNEuclideanLoss, one sample with a label", THREE("MTCNNEuclideanLoss", "loss_param { ignore_label: 7 }"), "1x4x1x1 1x4 1:z" },
	{ "CReLU", ONE("CReLU", ""), "3x2x5" },
	{ "CReLU, no planes", ONE("CReLU", ""), "3x4" },
	{ "Axpy", THREE("Axpy", ""), "2x3x1x1 2x3x4x5 2x3x4x5" },
	{ "Axpy, 2 axes", THREE("Axpy", ""), "2x3 2x3x7 2x3x7" },
	{ "Transpose", ONE("Transpose", "transpose_param { dim: 3 dim: 2 dim: 0 dim: 1 }"), "2x3x4x5" },
	{ "ShuffleChannel", ONE("ShuffleChannel", "shuffle_channel_param { group: 3 }"), "2x6x3x2" },
	{ "Reverse", ONE("Reverse", ""), "5x2x3" },
	{ "Reverse, last", ONE("Reverse", "reverse_param { axis: 2 }"), "2x3x4" },
	{ "Local", ONE("Local", LOCAL("kernel_size: 3 pad: 1")), "2x2x4x5" },
	{ "Local, strides", ONE("Local", LOCAL("kernel_size: 2 stride: 3")), "2x3x7x5" },
	{ "Local, wide padding", ONE("Local", LOCAL("kernel_size: 3 pad: 4 stride: 2")), "1x1x2x3" },
	{ "Local, no bias", ONE("Local", LOCAL("kernel_size: 2 bias_term: false")), "1x2x3x3" },
	{ "LocalWeightedConvolution", ONE("LocalWeightedConvolution", "local_weighted_convolution_param { num_output: 3 kernel_size: 3 pad: 1 " G " }"), "2x2x4x5" },
	{ "TopK", ONE("TopK", "topk_param { k: 4 }"), "3x9" },
	{ "TopK, test", ONE("TopK", "topk_param { k: 2 a: 1.5 }"), "3x2x5", MOKA_TEST },
	{ "TopK, channels", ONE("TopK", "topk_param { k: 2 across_channels: true }"), "2x5x2x3", MOKA_TRAIN },
	{ "TopK, in place", IN_PLACE("TopK", "topk_param { k: 3 }"), "2x7" },
	{ "SpatialPyramidPooling", ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 1 spatial_bin: 2 spatial_bin: 3 }"), "2x2x7x7" },
	{ "SpatialPyramidPooling, averages", ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { pool: AVE spatial_bin: 3 spatial_bin: 2 }"), "2x2x5x5" },
	{ "LRNMap", ONE("LRNMap", "lrn_map_param { local_size: 3 alpha: 0.7 beta: 0.6 }"), "2x2x4x5" },
	{ "SparseInnerProduct", ONE("SparseInnerProduct", "inner_product_param { num_output: 4 " G " }"), "3x5" },
	{ "Filter by a parameter", ONE("Filter", "filter_param { num_output: 2 }"), "2x3x4", 0, 0, 0, 0, 0 },
	{ "Affinity", ONE("Affinity", "affinity_param { offset: 1 }"), "2x3x4x5" },
	{ "Affinity, two", "layer { type: 'Affinity' bottom: 'a' bottom: 'b' top: 'y' top: 'z' }", "1x2x3x4 1x1x3x3" },
	{ "Pooling, 3 axes", ONE("Pooling", "pooling_param { kernel_size: 2 stride: 1 stride: 2 stride: 2 }"), "2x2x3x4x5" },
	{ "Pooling, 3 axes, averages", ONE("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"), "1x2x3x4x5" },
	{ "Pooling, dilated", ONE("Pooling", "pooling_param { kernel_size: 2 dilation: 2 pad: 1 }"), "2x2x5x6" },
	{ "Pooling, dilated averages", ONE("Pooling", "pooling_param { pool: AVE kernel_size: 3 dilation: 2 pad: 2 stride: 2 }"), "2x2x6x5" },
	{ "Pooling, least", ONE("Pooling", "pooling_param { pool: MIN kernel_size: 3 stride: 2 pad: 1 }"), "2x2x6x5" },
	{ "PoolingND", ONE("PoolingND", "pooling_nd_param { kernel_size: 2 stride: 2 }"), "2x2x4x4x2" },
	{ "PoolingND, averages", ONE("PoolingND", "pooling_nd_param { pool: AVE kernel_size: 3 stride: 2 }"), "1x2x5x5" },
	{ "Flip", ONE("Flip", "flip_param { flip_height: true }"), "2x2x3x4" },
	{ "Interp", ONE("Interp", "interp_param { height: 7 width: 3 }"), "2x2x4x5", MOKA_TEST, 0, 1e-5 },
	{ "Interp, zoom", ONE("Interp", "interp_param { zoom_factor: 3 }"), "1x2x3x4", MOKA_TEST, 0, 1e-5 },
	{ "Interp, shrink and crop", ONE("Interp", "interp_param { shrink_factor: 2 pad_beg: -1 pad_end: -1 }"), "1x2x7x8", MOKA_TEST, 0, 1e-5 },
	{ "Interp, to one", ONE("Interp", "interp_param { height: 1 width: 1 }"), "1x2x3x4" },
	{ "Upsample, repeated", ONE("Upsample", "upsample_param { scale: 3 }"), "2x2x3x2" },
	{ "Upsample, mask", TWO("Upsample", "upsample_param { scale: 2 }"), "2x2x1x1 2x2x1x1:i4" },
	{ "BN, SegNet", ONE("BN", LEARN), "3x2x4", MOKA_TRAIN },
	{ "BN, SegNet, test", ONE("BN", LEARN), "3x2x2x2", MOKA_TEST },
	{ "BN, SegNet, in place", IN_PLACE("BN", LEARN), "3x2x4", MOKA_TRAIN },
	{ "BN, SegNet, statistics as tops", "layer { type: 'BN' bottom: 'x' top: 'y' top: 'm' top: 'v' " LEARN " }", "3x2x4", MOKA_TRAIN, 1 },
	{ "BN, SegNet, inference", ONE("BN", INFERENCE), "3x2x4", MOKA_TEST },
	{ "BN, SegNet, inference, in place", IN_PLACE("BN", INFERENCE), "3x2x4", MOKA_TEST },
	{ "BN, PSPNet", ONE("BN", SLOPE), "3x2x4", MOKA_TRAIN },
	{ "BN, PSPNet, in place", IN_PLACE("BN", SLOPE), "5x3", MOKA_TRAIN },
	{ "BN, frozen", IN_PLACE("BN", FROZEN), "3x2x4", MOKA_TRAIN },
	{ "MergeCrop", TWO("MergeCrop", "mergecrop_param { backward: true backward: true }"), "2x2x3x2 2x3x5x5" },
	{ "MergeCrop, add", TWO("MergeCrop", "mergecrop_param { operation: ADD backward: true backward: true }"), "2x2x3x2 2x2x4x5" },
	{ "MergeCrop, default", TWO("MergeCrop", ""), "1x2x3 1x2x7", MOKA_TEST, 0, 0, 0, 2 },
	{ "FlowWarp", TWO("FlowWarp", ""), "2x2x5x4 2x2x5x4" },
	{ "FlowWarp, one channel", TWO("FlowWarp", ""), "1x1x6x7 1x2x6x7" },
	{ "Correlation", TWO("Correlation", "correlation_param { kernel_size: 1 max_displacement: 1 pad: 1 }"), "2x2x3x4 2x2x3x4" },
	{ "Correlation, strides", TWO("Correlation", "correlation_param { kernel_size: 3 max_displacement: 2 pad: 3 stride_1: 2 stride_2: 2 }"), "1x2x5x6 1x2x5x6" },
	{ "Correlation, distances", TWO("Correlation", "correlation_param { kernel_size: 1 max_displacement: 1 pad: 1 correlation_type: SUBTRACT }"), "1x2x3x4 1x2x3x4" },
	{ "L1Loss", TWO("L1Loss", ""), "3x2x4 3x2x4" },
	{ "L1Loss, one bottom", ONE("L1Loss", ""), "3x2x2x2" },
	{ "L1Loss, lengths", TWO("L1Loss", "l1_loss_param { l2_per_location: true }"), "3x2x4 3x2x4" },
	{ "L1Loss, scaled lengths", TWO("L1Loss", "l1_loss_param { l2_per_location: true l2_prescale_by_channels: true normalize_by_num_entries: true epsilon: 0.1 }"), "3x2x4 3x2x4" },
	{ "L1Loss, plateau", TWO("L1Loss", "l1_loss_param { plateau: 0.4 }"), "3x2x4 3x2x4" },
	{ "SpatialDropout", ONE("SpatialDropout", ""), "3x4x5", MOKA_TRAIN, 0, 0, 4 },
	{ "SpatialDropout, in place", IN_PLACE("SpatialDropout", "spatial_dropout_param { dropout_ratio: 0.3 }"), "3x4x5", MOKA_TRAIN, 0, 0, 4 },
	{ "SpatialDropout, test", ONE("SpatialDropout", ""), "3x4", MOKA_TEST },
	{ "ConvolutionReLU", ONE("ConvolutionReLU", CONV), "2x2x4x3" },
	{ "ConvolutionReLU, leaky", ONE("ConvolutionReLU", CONV " relu_param { negative_slope: 0.1 }"), "2x2x3x4" },
	{ "Convolution3D", ONE("Convolution3D", CONV3D("kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1 stride: 2")), "1x2x3x4x3" },
	{ "Pooling3D", ONE("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 }"), "2x2x3x5x4" },
	{ "Pooling3D, averages", ONE("Pooling3D", "pooling3d_param { pool: AVE kernel_size: 3 kernel_depth: 1 stride: 2 pad: 1 }"), "1x2x2x5x4" },
	{ "TripletLoss", THREE("TripletLoss", "triplet_loss_param { margin: 0.5 }"), "6x4 6x4 6x4" },
	/* one sample: of more, the gradient is the sum's and the loss the mean (test_fork_sequences.c) */
	{ "CtcLoss", TWO("CtcLoss", "ctc_loss_param { alphabet_size: 4 time_step: 7 }"), "7x1x4 1x3:i4" },
	{ "CtcLoss, fewer steps", TWO("CtcLoss", "ctc_loss_param { alphabet_size: 5 time_step: 6 blank_label: 4 }"), "8x1x5 1x3:i4" },
	{ "CTCLoss, markers", THREE("CTCLoss", ""), "6x1x4 6x1:c1 3x1:i3" },
	{ "CTCLoss, lengths", "layer { type: 'CTCLoss' bottom: 'x' bottom: 'n' bottom: 'm' bottom: 'l' top: 'y' ctc_loss_param { blank_index: 3 } }",
	  "7x1x5 1:c6 1:c2 3x1:i3" },
	{ "WarpCTCLoss", TWO("WarpCTCLoss", ""), "5x1x3 1x2:i3" },
	{ "WarpCTC", TWO("WarpCTC", "ctc_loss_param { blank_index: -1 }"), "5x1x3 1x2:i3" },
	{ "DepthwiseConvolution", ONE("DepthwiseConvolution", "convolution_param { num_output: 3 kernel_size: 3 pad: 1 stride: 2 " G " }"), "2x3x5x4" },
	{ "DepthwiseConvolution, no bias", ONE("DepthwiseConvolution", "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 2 bias_term: false " G " }"), "2x2x4x5" },
	{ "Reorg", ONE("Reorg", "reorg_param { stride: 2 }"), "2x4x4x6" },
	{ "Reorg, reverse", ONE("Reorg", "reorg_param { stride: 2 reverse: true }"), "2x8x2x3" },
	{ "CenterLoss", TWO("CenterLoss", "center_loss_param { num_output: 4 center_filler { type: 'gaussian' } }"), "6x5 6:i4", .not_params = true },
	{ "CenterLoss, axis 2", TWO("CenterLoss", "center_loss_param { num_output: 3 axis: 2 center_filler { type: 'gaussian' } }"), "2x3x4 2x3:i3", .not_params = true },
	{ "DenseBlock", DENSE(""), "2x3x3x4", MOKA_TRAIN },
	{ "DenseBlock, 1x1", DENSE("use_BC: true"), "2x2x4x3", MOKA_TRAIN },
	{ "DenseBlock, test", DENSE(""), "2x3x3x4", MOKA_TEST, .kept = 1 },
	{ "DenseBlock, 1x1, test", DENSE("use_BC: true"), "1x2x4x5", MOKA_TEST, .kept = 2 },
	{ "DenseBlock, dropout", DENSE("use_dropout: true dropout_amount: 0.4"), "2x3x3x4", MOKA_TRAIN },
	{ "DenseBlock, 1x1, dropout", DENSE("use_BC: true use_dropout: true dropout_amount: 0.2"), "3x1x3x3", MOKA_TRAIN },
	{ "DenseBlock, one place", DENSE(""), "7x3x1x1", MOKA_TRAIN },
};
/* clang-format on */

T_TEST(every_row)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		lt_check_gradient(&rows[i]);
}

/* ---- Lstm ------------------------------------------------------------------------------------------------ */

struct carried {
	struct layer_test *x;
	real *weight, *state;
};

static double objective(struct carried *r)
{
	double sum = 0;

	memcpy(r->x->state, r->state, r->x->l.state_bytes);
	lt_forward(r->x);
	for (int64_t i = 0; i < r->x->top[0].count; i++)
		sum += (double)(r->weight[i] * r->x->top[0].data[i]);
	return sum;
}

static void check_values(struct carried *r, real *values, const real *gradient, int64_t n, double base,
			 const char *what)
{
	for (int64_t i = 0; i < n; i++) {
		const real v = values[i];
		double up, down, slope;

		values[i] = v + (real)1e-5;
		up = objective(r);
		values[i] = v - (real)1e-5;
		down = objective(r);
		values[i] = v;
		slope = (up - down) / 2e-5;
		if (!(fabs((double)gradient[i] - base - slope) <= 1e-7 * fmax(1, fabs(slope))))
			fail_msg("%s [%lld]: gradient %.9g, the difference says %.9g", what, (long long)i,
				 (double)gradient[i] - base, slope);
	}
}

static void *copy_of(const void *p, size_t bytes)
{
	void *out = malloc(bytes + 1);

	assert_non_null(out);
	memcpy(out, p, bytes);
	return out;
}

static void check_lstm(const char *layer, const char *bottoms)
{
	struct carried r = { .x = lt_open(layer, MOKA_TRAIN, bottoms) };
	struct layer_test *x = r.x;

	lt_forward(x); /* so that there is a state to start from */
	r.state = copy_of(x->state, x->l.state_bytes);
	lt_random_top_diffs(x, 3);
	r.weight = copy_of(x->top[0].diff, (size_t)x->top[0].count * sizeof(real));
	for (int i = 0; i < x->l.n_param; i++)
		for (int64_t k = 0; k < x->param[i].count; k++)
			x->param[i].diff[k] = 1; /* to be added to */
	objective(&r);
	lt_backward(x);
	for (int i = 0; i < x->l.n_param; i++)
		check_values(&r, x->param[i].data, x->param[i].diff, x->param[i].count, 1, x->l.params[i].role);
	check_values(&r, x->bottom_values[0], x->bottom[0].diff, x->bottom[0].count, 0, "x");
	free(r.state);
	free(r.weight);
	lt_free(x);
}

#define LSTM(more, settings)                                                                                           \
	"layer { type: 'Lstm' bottom: 'x' " more                                                                       \
	" top: 'y' lstm_param { num_output: 3 weight_filler { type: 'uniform' min: -1 max: 1 } "                       \
	"bias_filler { type: 'uniform' min: -0.5 max: 0.5 } " settings " } }"

T_TEST(lstm)
{
	check_lstm(LSTM("", ""), "4x2x3");
	check_lstm(LSTM("", "batch_size: 2"), "6x5");
	check_lstm(LSTM("bottom: 'c'", ""), "4x2x3 4x2:s");
	check_lstm(LSTM("bottom: 'c'", "batch_size: 2"), "6x1x2x2 6:s");
	check_lstm(LSTM("", ""), "1x1x1");
}

static const struct CMUnitTest tests[] = { T_CASE(every_row), T_CASE(lstm) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
