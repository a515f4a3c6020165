/*
 * test_fork_forms.c - the layers that forks added: awkward sizes, an empty batch, one thread against four, unknown
 * bottoms, shapes, and bad settings.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

#define ONE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define IN_PLACE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'x' " rest " }"
#define TWO(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' top: 'y' " rest " }"
#define THREE(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' " rest " }"
#define FILL "{ type: 'uniform' min: 0.5 max: 1.5 }"
#define LEARN "bn_param { scale_filler " FILL " shift_filler " FILL " }"
#define SLOPE "bn_param { slope_filler " FILL " bias_filler " FILL " }"
#define G "weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"

struct form {
	const char *layer, *bottoms;
	enum moka_phase phase;
};

/* clang-format off */
static const struct form forms[] = {
	{ ONE("ReLU6", ""), "1", 0 }, { IN_PLACE("Mish", ""), "127x131x3", 0 }, { ONE("HardSwish", ""), "13x127x31", 0 },
	{ ONE("HSwish", ""), "0x3x4", 0 }, { ONE("HSigmoid", ""), "3x13x127", 0 }, { ONE("HardSigmoid", ""), "scalar", 0 },
	{ ONE("CReLU", ""), "13x3x127x13", 0 }, { ONE("CReLU", ""), "0x3x4x5", 0 }, { ONE("CReLU", ""), "1x1", 0 },
	{ THREE("Axpy", ""), "13x127x1x1 13x127x3x13 13x127x3x13", 0 }, { THREE("Axpy", ""), "0x3 0x3x2x2 0x3x2x2", 0 },
	{ THREE("Axpy", ""), "1x1x1x1 1x1x1x1 1x1x1x1", 0 },
	{ ONE("Transpose", "transpose_param { dim: 2 dim: 0 dim: 1 }"), "13x127x31", 0 },
	{ ONE("Transpose", "transpose_param { dim: 1 dim: 0 }"), "0x3", 0 },
	{ ONE("ShuffleChannel", "shuffle_channel_param { group: 13 }"), "3x39x13x127", 0 },
	{ ONE("ShuffleChannel", "shuffle_channel_param { group: 3 }"), "0x3x2x2", 0 },
	{ ONE("Reverse", "reverse_param { axis: 1 }"), "13x127x31", 0 }, { ONE("Reverse", ""), "0x3x3", 0 },
	{ ONE("Flip", ""), "3x3x13x127", 0 }, { ONE("Flip", ""), "0x1x1x1", 0 },
	{ ONE("Interp", "interp_param { height: 127 width: 13 }"), "3x13x13x127", 0 },
	{ ONE("Interp", "interp_param { height: 3 width: 127 }"), "1x1x1x1", 0 },
	{ ONE("Interp", "interp_param { height: 3 width: 3 }"), "0x3x4x4", 0 },
	{ ONE("Upsample", "upsample_param { scale: 3 }"), "3x13x13x127", 0 },
	{ TWO("Upsample", "upsample_param { scale: 2 }"), "3x13x1x1 3x13x1x1:i4", 0 },
	{ TWO("Upsample", "upsample_param { scale: 2 }"), "0x1x2x2 0x1x2x2", 0 },
	{ ONE("BN", LEARN), "13x3x127", 0 }, { IN_PLACE("BN", SLOPE), "3x127x13x13", 0 }, { ONE("BN", SLOPE), "0x3x4", 0 },
	{ ONE("BN", SLOPE), "1x1x1", 1 }, { ONE("BN", LEARN), "1x13", 0 },
	{ ONE("Lstm", "lstm_param { num_output: 13 " G " }"), "13x3x127", 0 },
	{ ONE("Lstm", "lstm_param { num_output: 127 " G " }"), "3x127x13", 0 },
	{ ONE("Lstm", "lstm_param { num_output: 3 " G " }"), "3x0x2", 0 },
	{ ONE("Lstm", "lstm_param { num_output: 3 " G " }"), "0x3x2", 0 },
	{ "layer { type: 'ContinuationIndicator' top: 'y' continuation_indicator_param { time_step: 13 batch_size: 3 } }", "", 0 },
	{ TWO("CtcLoss", "ctc_loss_param { alphabet_size: 13 time_step: 127 }"), "127x13x13 13x3:i13", 0 },
	{ TWO("CtcLoss", "ctc_loss_param { alphabet_size: 3 time_step: 1 }"), "1x1x3 1x1:i3", 0 },
	{ TWO("CtcLoss", "ctc_loss_param { alphabet_size: 3 time_step: 3 }"), "3x0x3 0x1", 0 },
	{ TWO("WarpCTCLoss", ""), "13x127x3 127x13:i3", 0 },
	{ ONE("CTCGreedyDecoder", ""), "13x127x3", 0 }, { TWO("CTCGreedyDecoder", ""), "13x3x127 3x13:i127", 0 },
	{ TWO("CTCGreedyDecoder", ""), "3x0x3 0x3", 0 },
	{ TWO("LabelsequenceAccuracy", ""), "13x3x127 13x3:i127", 0 }, { TWO("LabelsequenceAccuracy", ""), "0x3x3 0x3", 0 },
	{ TWO("MergeCrop", "mergecrop_param { backward: true backward: true }"), "3x13x3x13 3x3x13x127", 0 },
	{ TWO("MergeCrop", ""), "0x1x1 0x1x3", 0 },
	{ TWO("FlowWarp", ""), "3x13x13x127 3x2x13x127", 0 }, { TWO("FlowWarp", ""), "1x1x1x1 1x2x1x1", 0 },
	{ TWO("FlowWarp", ""), "0x3x3x3 0x2x3x3", 0 },
	{ TWO("Correlation", "correlation_param { kernel_size: 1 max_displacement: 3 pad: 3 stride_2: 2 }"), "3x13x13x27 3x13x13x27", 0 },
	{ TWO("Correlation", "correlation_param { kernel_size: 1 max_displacement: 0 }"), "0x3x3x3 0x3x3x3", 0 },
	{ TWO("L1Loss", ""), "127x13x3 127x13x3", 0 }, { ONE("L1Loss", "l1_loss_param { l2_per_location: true }"), "13x3x127", 0 },
	{ ONE("L1Loss", ""), "0x3", 0 }, { ONE("L1Loss", "l1_loss_param { normalize_by_num_entries: true }"), "1", 0 },
	{ ONE("SpatialDropout", ""), "13x127x3", 0 }, { IN_PLACE("SpatialDropout", ""), "0x3", 0 },
	{ ONE("ConvolutionReLU", "convolution_param { num_output: 13 kernel_size: 3 pad: 1 " G " }"), "3x13x13x27", 0 },
	{ ONE("ConvolutionReLU", "convolution_param { num_output: 3 kernel_size: 1 " G " }"), "0x3x3x3", 0 },
	{ ONE("Convolution3D", "convolution3d_param { num_output: 13 kernel_size: 3 kernel_depth: 1 " G " }"), "1x3x3x13x13", 0 },
	{ ONE("Pooling3D", "pooling3d_param { kernel_size: 3 kernel_depth: 1 stride: 2 }"), "3x13x3x13x27", 0 },
	{ ONE("Pooling3D", "pooling3d_param { pool: AVE kernel_size: 1 kernel_depth: 1 }"), "0x1x1x1x1", 0 },
	{ TWO("CenterLoss", "center_loss_param { num_output: 13 center_filler { type: 'gaussian' } }"), "127x3 127:i13", 0 },
	{ TWO("CenterLoss", "center_loss_param { num_output: 3 }"), "0x3 0", 0 },
	{ ONE("Local", "local_param { num_output: 13 kernel_size: 3 pad: 1 " G " }"), "3x3x13x27", 0 },
	{ ONE("Local", "local_param { num_output: 3 kernel_size: 1 stride: 3 " G " }"), "0x3x3x3", 0 },
	{ ONE("Local", "local_param { num_output: 1 kernel_size: 13 pad: 13 stride: 5 " G " }"), "1x1x1x1", 0 },
	{ ONE("LocalWeightedConvolution", "local_weighted_convolution_param { num_output: 3 kernel_size: 2 " G " }"), "13x3x3x13", 0 },
	{ ONE("TopK", "topk_param { k: 13 }"), "31x127", 0 }, { IN_PLACE("TopK", "topk_param { k: 3 }"), "127x3x13", 1 },
	{ ONE("TopK", "topk_param { k: 3 across_channels: true }"), "13x13x3x13", 0 }, { ONE("TopK", "topk_param { k: 9 }"), "0x3", 0 },
	{ ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 1 spatial_bin: 3 spatial_bin: 6 }"), "3x13x13x13", 0 },
	{ ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { pool: AVE spatial_bin: 1 }"), "0x3x1x1", 0 },
	{ ONE("LRNMap", "lrn_map_param { local_size: 3 }"), "3x13x13x127", 0 }, { ONE("LRNMap", ""), "0x1x3x3", 0 },
	{ ONE("SparseInnerProduct", "inner_product_param { num_output: 13 " G " }"), "13x127", 0 },
	{ ONE("Pooling", "pooling_param { kernel_size: 2 stride: 2 }"), "3x3x13x3x27", 0 },
	{ ONE("Pooling", "pooling_param { pool: AVE kernel_size: 3 pad: 1 stride: 2 dilation: 3 }"), "3x13x13x27", 0 },
	{ ONE("PoolingND", "pooling_nd_param { kernel_size: 2 stride: 2 }"), "1x3x3x13x27", 0 },
	{ ONE("Filter", "filter_param { num_output: 13 }"), "3x27x13x3", 0 }, { ONE("Filter", "filter_param { num_output: 1 }"), "0x3", 0 },
	{ ONE("DataRandTransform", ""), "3x3x13x127", 0 },
	{ ONE("Affinity", "affinity_param { offset: 1 }"), "1x2x13x27", 0 }, { ONE("Affinity", ""), "1x1x1x1", 0 },
	{ ONE("ConnectedComponent", ""), "13x3x13x127:i3", 0 }, { ONE("ConnectedComponent", ""), "0x3x3x3", 0 },
	{ THREE("MalisLoss", ""), "3x3x5x6x7:u 3x3x5x6x7:s 3x1x5x6x7:i4", 0 }, { THREE("MalisLoss", ""), "0x2x3x3 0x2x3x3 0x1x3x3", 0 },
	{ THREE("MalisLoss", ""), "1x1x1 1x1x1 1x1x1", 0 },
	{ ONE("Pooling", "pooling_param { pool: MIN kernel_size: 1 }"), "0x3x1x1", 0 },
	{ THREE("TripletLoss", ""), "127x13 127x13 127x13", 0 }, { THREE("TripletLoss", ""), "0x3 0x3 0x3", 0 },
};
/* clang-format on */

static void same(const real *a, const real *b, int64_t n, const char *what, const char *layer)
{
	if (n && memcmp(a, b, (size_t)n * sizeof(real)))
		fail_msg("%s: %s differ between 1 and 4 threads", layer, what);
}

static void check_form(const struct form *f)
{
	struct layer_test *a = lt_open_threads(f->layer, f->phase, f->bottoms, 1);
	struct layer_test *b = lt_open_threads(f->layer, f->phase, f->bottoms, 4);

	lt_forward(a);
	lt_forward(b);
	same(a->top[0].data, b->top[0].data, a->top[0].count, "tops", f->layer);
	if (!(a->l.type->flags & MOKA_NO_BACKWARD)) {
		lt_random_top_diffs(a, 3);
		lt_random_top_diffs(b, 3);
		lt_backward(a);
		lt_backward(b);
		for (int i = 0; i < a->l.n_bottom; i++)
			if (!(a->l.type->no_gradient >> i & 1) && a->bottom[i].diff)
				same(a->bottom[i].diff, b->bottom[i].diff, a->bottom[i].count, "bottom diffs",
				     f->layer);
		for (int i = 0; i < a->l.n_param; i++)
			same(a->param[i].diff, b->param[i].diff, a->param[i].count, "parameter diffs", f->layer);
	}
	for (int64_t i = 0; i < a->top[0].count; i++)
		assert_true(a->top[0].data[i] == a->top[0].data[i]);
	lt_free(a);
	lt_free(b);
}

T_TEST(every_form)
{
	for (size_t i = 0; i < MOKA_COUNT(forms); i++)
		check_form(&forms[i]);
}

static void shape(const char *layer, const char *bottoms, const char *want)
{
	struct layer_test *x = lt_shape(layer, MOKA_TEST, bottoms);

	assert_int_equal(x->status, MOKA_OK);
	LT_SHAPE(x, 0, want);
	lt_free(x);
}

T_TEST(shapes)
{
	shape(ONE("Interp", "interp_param { height: 34 width: 60 }"), "?", "?x?x34x60");
	shape(ONE("Interp", "interp_param { shrink_factor: 2 }"), "1x3x270x480", "1x3x135x240");
	shape(ONE("Interp", "interp_param { shrink_factor: 2 zoom_factor: 3 }"), "1x3x9x8", "1x3x13x10");
	shape(TWO("Upsample", "upsample_param { scale: 2 pad_out_h: true }"), "1x2x23x30 1x2x23x30", "1x2x45x60");
	shape(TWO("Upsample", "upsample_param { upsample_h: 45 upsample_w: 60 }"), "1x2x23x30 1x2x23x30", "1x2x45x60");
	shape(TWO("Upsample", "upsample_param { scale: 2 }"), "? 1x2x3x4", "1x2x6x8");
	shape(ONE("Upsample", ""), "1x2x3x4", "1x2x3x4");
	shape(ONE("Transpose", "transpose_param { dim: 3 dim: 2 dim: 0 dim: 1 }"), "2x3x4x5", "5x4x2x3");
	shape(ONE("Transpose", "transpose_param { dim: 1 dim: 0 }"), "?", "?x?");
	shape(ONE("CReLU", ""), "2x?x4", "2x?x4");
	shape(ONE("Lstm", "lstm_param { num_output: 7 }"), "5x2x3", "5x2x7");
	shape(ONE("Lstm", "lstm_param { num_output: 7 batch_size: 2 }"), "10x3", "10x7");
	shape("layer { type: 'ContinuationIndicator' bottom: 'x' top: 'y' continuation_indicator_param { time_step: 32 axis: 1 } }",
	      "32x64x5", "32x64");
	shape(ONE("CTCGreedyDecoder", ""), "5x2x3", "2x5x1x1");
	shape(TWO("CTCGreedyDecoder", ""), "5x2x3 2x4", "1x2x1x1");
	shape(TWO("MergeCrop", ""), "1x2x5x5 1x3x9x9", "1x5x5x5");
	shape(TWO("Correlation",
		  "correlation_param { pad: 20 kernel_size: 1 max_displacement: 20 stride_1: 1 stride_2: 2 }"),
	      "1x256x48x64 1x256x48x64", "1x441x48x64");
	shape(ONE("Convolution3D",
		  "convolution3d_param { num_output: 64 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 }"),
	      "1x3x16x112x112", "1x64x16x112x112");
	shape(ONE("Local", "local_param { num_output: 5 kernel_size: 5 }"), "100x20x12x12", "100x5x8x8");
	shape(ONE("Local", "local_param { num_output: 5 kernel_size: 5 }"), "?", "?x5x?x?");
	shape(ONE("SpatialPyramidPooling",
		  "spatial_pyramid_pooling_param { spatial_bin: 1 spatial_bin: 2 spatial_bin: 3 spatial_bin: 6 }"),
	      "2x256x13x13", "2x12800x1x1");
	shape(ONE("Pooling",
		  "pooling_param { kernel_size: 1 kernel_size: 2 kernel_size: 2 stride: 1 stride: 2 stride: 2 }"),
	      "1x64x40x128x128", "1x64x40x64x64");
	shape(ONE("Pooling", "pooling_param { kernel_size: 1 kernel_size: 2 kernel_size: 2 }"), "?", "?x?x?x?x?");
	shape(ONE("Pooling", "pooling_param { kernel_size: 2 kernel_size: 3 }"), "1x1x5x5", "1x1x4x3");
	shape(ONE("Pooling", "pooling_param { kernel_size: 2 dilation: 4 }"), "1x1x9x9", "1x1x5x5");
	shape("layer { type: 'MemoryData' top: 'x' top: 'y' memory_data_param { dim: 2 dim: 3 dim: 4 dim: 5 dim: 6 } }",
	      "", "2x3x4x5x6");
	shape("layer { type: 'SparseData' top: 'x' top: 'y' sparse_data_param { batch_size: 64 } }", "", "64x?");
	shape(ONE("Pooling", "pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }"), "1x1x6x6", "1x1x2x2");
	shape(ONE("Pooling", "pooling_param { kernel_size: 3 stride: 2 ceil_mode: true }"), "1x1x6x6", "1x1x3x3");
	shape(ONE("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 1 stride: 2 temporal_stride: 1 }"),
	      "1x64x16x7x7", "1x64x16x4x4");
}

T_TEST(bad_settings)
{
	LT_REFUSED(ONE("Interp", ""), "1x2x3x4", "the size is missing");
	LT_REFUSED(ONE("Interp", "interp_param { height: 3 width: 0 }"), "1x2x3x4", "at least 1 x 1");
	LT_REFUSED(ONE("Interp", "interp_param { zoom_factor: 2 pad_beg: 1 }"), "1x2x3x4", "0 or negative");
	LT_REFUSED(ONE("Interp", "interp_param { zoom_factor: 2 pad_beg: -3 }"), "1x2x3x4", "nothing is left");
	LT_REFUSED(ONE("Interp", "interp_param { zoom_factor: 0 }"), "1x2x3x4", "at least 1");
	LT_REFUSED(TWO("Upsample", "upsample_param { scale: 1 }"), "1x2x3x4 1x2x3x4", "at least 2");
	LT_REFUSED(TWO("Upsample", "upsample_param { scale: 2 }"), "1x2x3x4 1x2x3x5", "");
	LT_REFUSED(TWO("Upsample", "upsample_param { scale: 3 pad_out_w: true }"), "1x2x3x4 1x2x3x4", "scale of 2");
	LT_REFUSED(ONE("Transpose", "transpose_param { dim: 1 dim: 1 }"), "2x3", "named twice");
	LT_REFUSED(ONE("Transpose", "transpose_param { dim: 1 dim: 0 }"), "2x3x4", "2 axes are named");
	LT_REFUSED(ONE("Transpose", ""), "2x3", "missing");
	LT_REFUSED(ONE("ShuffleChannel", "shuffle_channel_param { group: 4 }"), "2x6x2x2", "do not divide");
	LT_REFUSED(ONE("Reverse", "reverse_param { axis: 3 }"), "2x3", "axis");
	LT_REFUSED(THREE("Axpy", ""), "2x3 2x4x5 2x4x5", "one for each channel");
	LT_REFUSED(THREE("Axpy", ""), "2x4 2x4x5 2x4x6", "is added to");
	LT_REFUSED(ONE("Lstm", ""), "2x3x4", "num_output");
	LT_REFUSED(ONE("Lstm", "lstm_param { num_output: 2 batch_size: 3 }"), "4x3", "does not divide");
	LT_REFUSED(TWO("Lstm", "lstm_param { num_output: 2 }"), "4x3x2 4x2", "one for each");
	LT_REFUSED(TWO("CtcLoss", "ctc_loss_param { alphabet_size: 4 time_step: 9 }"), "7x1x4 1x3", "7 steps");
	LT_REFUSED(TWO("CtcLoss", "ctc_loss_param { alphabet_size: 5 time_step: 7 }"), "7x1x4 1x3", "4 classes");
	LT_REFUSED(TWO("CtcLoss", "ctc_loss_param { alphabet_size: 4 time_step: 7 blank_label: 4 }"), "7x1x4 1x3",
		   "blank_label 4");
	LT_REFUSED(TWO("WarpCTCLoss", ""), "7x2x4 1x3", "samples");
	LT_REFUSED(TWO("MergeCrop", ""), "1x2x5x5 1x2x4x9", "at least as large");
	LT_REFUSED(TWO("MergeCrop", "mergecrop_param { operation: ADD }"), "1x2x5 1x3x5", "agree");
	LT_REFUSED(TWO("FlowWarp", ""), "1x3x4x5 1x3x4x5", "(N, 2, H, W)");
	LT_REFUSED(TWO("Correlation", "correlation_param { kernel_size: 2 max_displacement: 1 }"), "1x1x4x4 1x1x4x4",
		   "odd");
	LT_REFUSED(TWO("Correlation", "correlation_param { kernel_size: 1 max_displacement: 9 }"), "1x1x4x4 1x1x4x4",
		   "reach over 9");
	LT_REFUSED(TWO("L1Loss", ""), "2x3 2x4", "as many values");
	LT_REFUSED(ONE("SpatialDropout", "spatial_dropout_param { dropout_ratio: 2 }"), "2x3", "probability");
	LT_REFUSED(ONE("ConvolutionReLU",
		       "convolution_param { num_output: 1 kernel_size: 1 } relu_param { negative_slope: -1 }"),
		   "1x1x2x2", "two layers");
	LT_REFUSED(ONE("Convolution3D", "convolution3d_param { num_output: 1 kernel_size: 3 }"), "1x1x2x2x2",
		   "kernel_depth is missing");
	LT_REFUSED(ONE("Convolution3D", "convolution3d_param { num_output: 1 kernel_size: 3 kernel_depth: 3 }"),
		   "1x1x2x2x2", "reaches over");
	LT_REFUSED(ONE("Pooling3D", "pooling3d_param { kernel_size: 3 kernel_depth: 1 pad: 1 }"), "1x1x2x2x2",
		   "AVE only");
	LT_REFUSED(TWO("CenterLoss", ""), "2x3 2", "num_output");
	LT_REFUSED("layer { type: 'BN' bottom: 'x' top: 'y' top: 'm' }", "2x3", "SegNet");
}

T_TEST(bad_settings_of_early_forks)
{
	LT_REFUSED(ONE("Local", "local_param { num_output: 3 kernel_size: 9 }"), "1x1x4x4",
		   "the kernel is 9 along axis 2, and 'x' has only 4");
	LT_REFUSED(ONE("Local", "local_param { kernel_size: 9 }"), "1x1x4x4", "num_output must be given");
	LT_REFUSED(ONE("Local", "local_param { num_output: 3 kernel_size: 3 stride: 0 }"), "1x1x4x4", "stride");
	LT_REFUSED(ONE("Local", "local_param { num_output: 3 kernel_size: 3 }"), "1x1x4", "blobs of 4 axes");
	LT_REFUSED(ONE("TopK", ""), "2x3", "must be at least 1, and is 0");
	LT_REFUSED(ONE("TopK", "topk_param { k: 4 }"), "2x3", "4 values are to stay of 3");
	LT_REFUSED(ONE("TopK", "topk_param { k: 2 a: 2 }"), "2x3", "4 values are to stay of 3");
	LT_REFUSED(ONE("SpatialPyramidPooling", ""), "1x1x3x3", "spatial_bin must be given");
	LT_REFUSED(ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 1 spatial_bin: 4 }"),
		   "1x1x3x3", "4 windows can't cut a side of 3");
	LT_REFUSED(ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 1 }"), "1x1x3x4",
		   "square");
	LT_REFUSED(ONE("LRNMap", "lrn_map_param { local_size: 4 }"), "1x1x3x3", "odd");
	LT_REFUSED(ONE("Affinity", "affinity_param { offset: 2 }"), "1x2x3x3", "'x' has no channel 2");
	LT_REFUSED(ONE("Filter", "filter_param { num_output: 4 }"), "2x3x5", "4 slices are to go through of 3");
	LT_REFUSED(ONE("Filter", "filter_param { num_output: 0 }"), "2x3x5", "num_output must be at least 1");
	LT_REFUSED(ONE("Filter", ""), "2x3x5", "make 0 tops");
	LT_REFUSED(ONE("DataRandTransform", "apply_rot: true"), "2x3x5x5", "apply_rot: Moka runs this layer without");
	LT_REFUSED(ONE("ConnectedComponent", ""), "2x3", "4 axes");
	LT_REFUSED(THREE("MalisLoss", ""), "1x2x3x3 1x2x3x3 1x3x3x3", "1 or 2, the places");
	LT_REFUSED(THREE("MalisLoss", ""), "1x2x3x3 1x2x3x4 1x1x3x3", "must have the shape of 'a'");
	LT_REFUSED(THREE("MalisLoss", ""), "1x4x3x3 1x4x3x3 1x1x3x3", "want a fourth bottom");
	LT_REFUSED("layer { type: 'SparseData' top: 'x' sparse_data_param { source: 'd' } }", "", "no batch_size");
	LT_REFUSED("layer { type: 'MemoryData' top: 'x' top: 'y' memory_data_param { dim: 3 dim: 0 } }", "",
		   "number 2 is 0");
}

T_TEST(bad_data)
{
	struct layer_test *x = lt_open(TWO("Upsample", "upsample_param { scale: 2 }"), MOKA_TEST, "1x1x1x1 1x1x1x1");

	lt_set(x, 1, (real[]){ 4 });
	assert_int_equal(lt_try_forward(x), MOKA_ERR_DATA);
	assert_non_null(strstr(x->err.message, "place 4"));
	lt_free(x);
	x = lt_open(TWO("CtcLoss", "ctc_loss_param { alphabet_size: 3 time_step: 2 }"), MOKA_TEST, "2x2x3 2x1");
	lt_set(x, 1, (real[]){ 1, 3 });
	assert_int_equal(lt_try_forward(x), MOKA_ERR_DATA);
	assert_non_null(strstr(x->err.message, "label 3 in blob 'b', sample 1"));
	lt_free(x);
	x = lt_open(THREE("MalisLoss", ""), MOKA_TEST, "1x1x3 1x1x3 1x1x3");
	lt_set(x, 0, (real[]){ 1, (real)NAN, 0 });
	assert_int_equal(lt_try_forward(x), MOKA_ERR_DATA);
	assert_non_null(strstr(x->err.message, "value 1 of 'a' is"));
	lt_free(x);
	x = lt_open(TWO("CenterLoss", "center_loss_param { num_output: 3 }"), MOKA_TEST, "2x2 2");
	lt_set(x, 1, (real[]){ 1, 3 });
	assert_int_equal(lt_try_forward(x), MOKA_ERR_DATA);
	lt_free(x);
}

static const struct CMUnitTest tests[] = { T_CASE(every_form), T_CASE(shapes), T_CASE(bad_settings),
					   T_CASE(bad_settings_of_early_forks), T_CASE(bad_data) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
