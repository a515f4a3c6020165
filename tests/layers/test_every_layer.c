/*
 * test_every_layer.c - each type of layer that Moka has, at awkward sizes, in both phases: 1 thread = 3 threads bit for bit,
 * in place = out of place bit for bit, every value written, no size that crashes.
 *
 * A type without a row fails, so that a new one gets one. In a row's bottoms (shapes and fills as in layer_test.h) N, C and S stand
 * for the sizes 2, 4 and 7, in its prototxt $N, $C and $S do; "4S" is four times S. One of them at a time is then 1, 3, 13 and
 * 127, and N also 0.
 */
#include "layer_test.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ONE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define TWO(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' top: 'y' " rest " }"
#define THREE(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' " rest " }"
#define FOUR(type, rest) "layer { type: '" type "' bottom: 'a' bottom: 'b' bottom: 'c' bottom: 'd' top: 'y' " rest " }"
#define NONE(type, rest) "layer { type: '" type "' top: 'y' " rest " }"
#define G "{ type: 'gaussian' }"
#define W "weight_filler " G " bias_filler " G
#define CONV(rest) "convolution_param { " rest " " W " }"
#define YOLO2(rest)                                                                                                       \
	ONE("YoloDetectionOutput",                                                                                        \
	    "yolo_detection_output_param { num_classes: 3 num_box: 2 biases: 1.3 biases: 1.7 biases: 3.2 biases: 4 " rest \
	    " }")
#define YOLO3(rest)                                                                                                    \
	ONE("Yolov3DetectionOutput",                                                                                   \
	    "yolov3_detection_output_param { num_classes: 3 num_box: 2 anchors_scale: 32 mask: 0 mask: 1 biases: 10 "  \
	    "biases: 14 biases: 23 biases: 27 " rest " }")
#define PLANES "NxCxSxS"

struct row {
	const char *prototxt, *bottoms;
	const char *refused; /* sizes that shape() must refuse, "N0 S1" */
};

/* clang-format off */
static const struct row rows[] = {
	{ ONE("AbsVal", ""), PLANES },
	{ TWO("AbsLoss", ""), PLANES " " PLANES },
	{ TWO("Accuracy", ""), "NxCxS NxS:iC" },
	{ "layer { type: 'Accuracy' bottom: 'a' bottom: 'b' top: 'y' top: 'z' }", "NxC N:iC" },
	{ ONE("Affinity", ""), PLANES, "N0" },
	{ ONE("ArgMax", ""), PLANES },
	{ ONE("ArgMax", "argmax_param { axis: 1 out_max_val: true }"), PLANES },
	{ THREE("Axpy", ""), "NxCx1x1 NxCxSxS NxCxSxS" },
	{ ONE("BatchNorm", ""), PLANES },
	{ ONE("BatchNorm", "batch_norm_param { scale_bias: true scale_filler " G " bias_filler " G " }"), PLANES },
	{ TWO("BatchReindex", ""), "NxCxS N:iN" },
	{ ONE("Bias", "bias_param { filler " G " }"), PLANES },
	{ TWO("Bias", "bias_param { axis: 0 }"), "NxCxS NxC" },
	{ TWO("BilinearInterpolation", ""), "NxCxSxS 1x1x5x7" },
	{ ONE("BN", "bn_param { scale_filler " G " shift_filler " G " }"), PLANES },
	{ ONE("BN", "bn_param { slope_filler " G " bias_filler " G " }"), PLANES },
	{ ONE("BNLL", ""), PLANES },
	{ "layer { type: 'BoxAnnotatorOHEM' bottom: 'r' bottom: 'c' bottom: 'l' bottom: 'w' top: 'x' top: 'y' "
	  "box_annotator_ohem_param { roi_per_img: 2 } }", "Nx5:r1 N N:i2 Nx8:u" },
	{ TWO("CenterLoss", "center_loss_param { num_output: 3 center_filler " G " }"), "NxCxS N:i3" },
	{ ONE("Clip", "clip_param { min: -0.5 max: 0.7 }"), PLANES },
	{ THREE("Concat", ""), "NxCxS NxSxS Nx1xS" },
	{ ONE("ConnectedComponent", ""), "NxCxSxS:i3" },
	{ ONE("ContinuationIndicator", "continuation_indicator_param { time_step: $S axis: 1 }"), "SxNxC" },
	{ THREE("ContrastiveLoss", "contrastive_loss_param { margin: 9 }"), "NxC NxC N:s" },
	{ ONE("Convolution", CONV("num_output: 3 kernel_size: 3 pad: 1")), PLANES },
	{ ONE("Convolution", CONV("num_output: $C kernel_size: 1")), PLANES },
	{ ONE("Convolution", CONV("num_output: 4 kernel_size: 2 stride: 2 pad: 1 group: 2 dilation: 2")), "Nx2CxSxS" },
	{ ONE("Convolution", CONV("num_output: $C kernel_size: 3 pad: 1 group: $C")), PLANES },
	{ ONE("Convolution3D", "convolution3d_param { num_output: 3 kernel_size: 3 pad: 1 kernel_depth: 2 " W " }"), "NxCx3xSxS" },
	{ ONE("ConvolutionDepthwise", CONV("num_output: $C kernel_size: 3 pad: 1 stride: 2")), PLANES },
	{ ONE("ConvolutionReLU", CONV("num_output: 3 kernel_size: 3 pad: 1")), PLANES },
	{ TWO("Correlation", "correlation_param { kernel_size: 1 max_displacement: 1 pad: 1 }"), PLANES " " PLANES },
	{ ONE("CReLU", ""), PLANES },
	{ TWO("Crop", "crop_param { axis: 3 }"), "NxCxSxS NxCxSx1" },
	{ ONE("CTCGreedyDecoder", ""), "SxNxC" },
	{ TWO("CTCGreedyDecoder", ""), "SxNxC Nx3:iC" },
	{ TWO("CtcLoss", "ctc_loss_param { alphabet_size: $C time_step: $S }"), "SxNxC Nx2:iC", "C1" },
	{ THREE("CTCLoss", ""), "SxNxC SxN:c1 3xN:iC", "C1" },
	{ ONE("DataRandTransform", ""), PLANES },
	{ ONE("Deconvolution", CONV("num_output: 3 kernel_size: 4 stride: 2 pad: 1")), PLANES },
	{ ONE("DenseBlock", "denseblock_param { numTransition: 2 growthRate: 3 Filter_Filler " G " BN_Scaler_Filler " G " BN_Bias_Filler " G " }"), PLANES },
	{ ONE("DenseBlock", "denseblock_param { numTransition: 2 growthRate: 2 use_BC: true use_dropout: true dropout_amount: 0.3 "
			    "Filter_Filler " G " BN_Scaler_Filler " G " BN_Bias_Filler " G " }"), PLANES },
	{ ONE("DepthwiseConvolution", CONV("num_output: $C kernel_size: 3 pad: 1")), PLANES },
	{ TWO("DetectionEvaluate", "detection_evaluate_param { num_classes: 3 }"), "1x1xNx7:d2 1x1xNx8:o2" },
	{ THREE("DetectionOutput", "detection_output_param { num_classes: 3 keep_top_k: 20 confidence_threshold: 0.01 "
				   "nms_param { nms_threshold: 0.45 top_k: 400 } }"), "Nx4S Nx3S 1x2x4S:p" },
	{ ONE("Dropout", ""), PLANES },
	{ NONE("DummyData", "dummy_data_param { shape { dim: $N dim: $C dim: $S } data_filler " G " }"), "" },
	{ THREE("Eltwise", "eltwise_param { coeff: 2 coeff: -0.5 coeff: 1 }"), PLANES " " PLANES " " PLANES },
	{ THREE("Eltwise", "eltwise_param { operation: PROD }"), PLANES " " PLANES " " PLANES },
	{ THREE("Eltwise", "eltwise_param { operation: MAX }"), PLANES " " PLANES " " PLANES },
	{ ONE("ELU", ""), PLANES },
	{ ONE("Embed", "embed_param { num_output: $C input_dim: 5 " W " }"), "NxS:i5" },
	{ TWO("EuclideanLoss", ""), PLANES " " PLANES },
	{ ONE("Exp", ""), PLANES },
	{ "layer { type: 'Filter' bottom: 'a' bottom: 'b' bottom: 's' top: 'y' top: 'z' }", "NxCxS NxS N:s" },
	{ ONE("Flatten", ""), PLANES },
	{ ONE("Flip", "flip_param { flip_height: true }"), PLANES },
	{ TWO("FlowWarp", ""), "NxCxSxS Nx2xSxS" },
	{ ONE("HardSigmoid", ""), PLANES },
	{ ONE("HardSwish", ""), PLANES },
	{ TWO("HingeLoss", ""), "NxC N:iC" },
	{ ONE("HSigmoid", ""), PLANES },
	{ ONE("HSwish", ""), PLANES },
	{ ONE("Im2col", "convolution_param { kernel_size: 3 pad: 1 stride: 2 }"), PLANES },
	{ THREE("InfogainLoss", ""), "NxCxS NxS:iC 1x1xCxC:u" },
	{ ONE("InnerProduct", "inner_product_param { num_output: 5 " W " }"), PLANES },
	{ ONE("InnerProduct", "inner_product_param { num_output: $C transpose: true " W " }"), "NxS" },
	{ ONE("Interp", "interp_param { zoom_factor: 2 }"), PLANES },
	{ ONE("Interp", "interp_param { height: 5 width: 3 }"), PLANES },
	{ TWO("L1Loss", ""), PLANES " " PLANES },
	{ TWO("L1Loss", "l1_loss_param { l2_per_location: true }"), PLANES " " PLANES },
	{ TWO("LabelsequenceAccuracy", ""), "Nx1xC Nx1:iC" },
	{ ONE("Local", "local_param { num_output: 2 kernel_size: 3 pad: 1 " W " }"), PLANES },
	{ ONE("LocalWeightedConvolution", "local_weighted_convolution_param { num_output: 3 kernel_size: 3 pad: 1 " W " }"), "NxCxSx5" },
	{ ONE("Log", ""), PLANES ":u" },
	{ ONE("LRN", ""), PLANES },
	{ ONE("LRN", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }"), PLANES },
	{ ONE("LRNMap", "lrn_map_param { local_size: 3 }"), PLANES },
	{ TWO("LSTM", "recurrent_param { num_output: 3 " W " }"), "SxNxC SxN:s" },
	{ ONE("Lstm", "lstm_param { num_output: 3 " W " }"), "SxNxC" },
	{ "layer { type: 'LSTMUnit' bottom: 'c0' bottom: 'g' bottom: 'm' top: 'c' top: 'h' }", "1xNxC 1xNx4C 1xN:s" },
	{ THREE("MalisLoss", ""), "Nx2xSxS:u Nx2xSxS:s Nx1xSxS:i3" },
	{ TWO("MergeCrop", "mergecrop_param { backward: true backward: true }"), "NxCxSxS Nx3x2Sx2S" },
	{ ONE("Mish", ""), PLANES },
	{ FOUR("MultiBoxLoss", "multibox_loss_param { num_classes: 3 neg_overlap: 0.4 code_type: CENTER_SIZE }"), "Nx4S Nx3S 1x2x4S:p 1x1xNx8:oN" },
	{ TWO("MultinomialLogisticLoss", ""), "NxC:u N:iC" },
	{ TWO("MTCNNEuclideanLoss", ""), "NxC NxC" },
	{ THREE("MultiStageMeanfield", "multi_stage_meanfield_param { num_iterations: 2 theta_alpha: 3 theta_beta: 1 theta_gamma: 1.5 "
				       "spatial_filter_weight: 1.5 bilateral_filter_weight: 2.5 }"), "NxCxSx5 NxCxSx5 Nx3xSx5" },
	{ ONE("MVN", ""), PLANES },
	{ ONE("NormalizeBBox", ""), PLANES },
	{ ONE("Normalize", "norm_param { scale_filler { type: 'constant' value: 3 } }"), PLANES },
	{ ONE("Normalize", "norm_param { across_spatial: false channel_shared: false scale_filler " G " }"), PLANES },
	{ NONE("Parameter", "parameter_param { shape { dim: $N dim: $C } }"), "" },
	{ ONE("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"), PLANES },
	{ "layer { type: 'Pooling' bottom: 'x' top: 'y' top: 'm' pooling_param { kernel_size: 3 stride: 2 pad: 1 } }", PLANES },
	{ ONE("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"), PLANES },
	{ ONE("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 1 stride: 2 }"), PLANES ":u" },
	{ ONE("Pooling", "pooling_param { pool: MIN kernel_size: 3 stride: 2 pad: 1 }"), PLANES },
	{ ONE("Pooling", "pooling_param { global_pooling: true }"), PLANES },
	{ ONE("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 }"), "NxCx3xSxS", "S1" },
	{ ONE("PoolingND", "pooling_nd_param { kernel_size: 1 stride: 2 }"), "NxCx3xSxS" },
	{ ONE("Power", "power_param { power: 2 scale: 0.5 shift: 3 }"), PLANES },
	{ ONE("PReLU", "prelu_param { filler " G " }"), PLANES },
	{ TWO("PriorBox", "prior_box_param { min_size: 20 max_size: 40 aspect_ratio: 2 variance: 0.1 }"), "NxCxSxS Nx3x70x90" },
	{ "layer { type: 'Proposal' bottom: 's' bottom: 'b' bottom: 'i' top: 'r' top: 'q' proposal_param { min_size: 0 } }", "Nx18xSxS:u Nx36xSxS Nx3:c600" },
	{ TWO("PSROIPooling", "psroi_pooling_param { output_dim: 2 group_size: 2 spatial_scale: 0.0625 }"), "Nx8xSxS Nx5:rN" },
	{ TWO("PSROIPooling", "psroi_pooling_param { output_dim: 2 group_size: 2 spatial_scale: 0.5 }"), "Nx8x13x11 Nx5:rN" },
	{ ONE("Reduction", "reduction_param { operation: MEAN axis: 1 }"), PLANES },
	{ ONE("Reduction", ""), PLANES },
	{ ONE("Region", "region_param { classes: 3 coords: 4 boxes_of_each_grid: 2 softmax: true }"), "Nx16xSxS" },
	{ TWO("RegionLoss", "region_loss_param { num: 2 num_class: 3 biases: 1 biases: 1.5 biases: 2 biases: 1 }"), "Nx16xSxS 1x1xNx8:oN" },
	{ NONE("RandVec", "randvec_param { batch_size: $N dim: $C height: $S width: 3 lower: -1 upper: 2 }"), "", "N0" },
	{ ONE("ReLU", ""), PLANES },
	{ ONE("ReLU6", ""), PLANES },
	{ ONE("Reorg", "reorg_param { stride: 2 }"), "Nx4Cx2Sx2S" },
	{ ONE("Reorg", "reorg_param { stride: 2 reverse: true }"), "Nx4CxSxS" },
	{ ONE("Reshape", "reshape_param { shape { dim: 0 dim: 1 dim: $S dim: -1 } }"), PLANES },
	{ ONE("Reverse", ""), "SxNxC" },
	{ TWO("RNN", "recurrent_param { num_output: 3 " W " }"), "SxNxC SxN:s" },
	{ TWO("ROIAlign", "roi_align_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.0625 }"), "NxCxSxS Nx5:rN" },
	{ TWO("ROIAlign", "roi_align_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }"), "NxCx13x11 Nx5:rN" },
	{ TWO("ROIPooling", "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.0625 }"), "NxCxSxS Nx5:rN" },
	{ TWO("ROIPooling", "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }"), "NxCx13x11 Nx5:rN" },
	{ ONE("Scale", "scale_param { filler " G " bias_term: true bias_filler " G " }"), PLANES },
	{ TWO("Scale", "scale_param { axis: 0 }"), "NxCxS NxC" },
	{ ONE("ShuffleChannel", "shuffle_channel_param { group: 2 }"), "Nx2CxSxS" },
	{ ONE("Sigmoid", ""), PLANES },
	{ TWO("SigmoidCrossEntropyLoss", ""), "NxCxS NxCxS:u" },
	{ "layer { type: 'Silence' bottom: 'a' bottom: 'b' }", "NxC NxS" },
	{ "layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' }", "Nx2CxS" },
	{ FOUR("SmoothL1Loss", "smooth_l1_loss_param { sigma: 3 }"), "NxCxS NxCxS NxCxS:u NxCxS:u" },
	{ "layer { type: 'SmoothL1LossOHEM' bottom: 'a' bottom: 'b' bottom: 'w' top: 'y' top: 'z' }", PLANES " " PLANES " " PLANES ":u" },
	{ TWO("SimpleCrop", ""), "NxCxSxS NxCxSx1" },
	{ ONE("Softmax", ""), PLANES },
	{ TWO("SoftmaxWithLoss", ""), "NxCxS NxS:iC" },
	{ "layer { type: 'SoftmaxWithLossOHEM' bottom: 'a' bottom: 'b' top: 'y' top: 'z' top: 'u' }", "NxCxS NxS:iC" },
	{ ONE("SparseInnerProduct", "inner_product_param { num_output: 5 " W " }"), "NxC" },
	{ ONE("SpatialDropout", ""), PLANES },
	{ ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 1 spatial_bin: 2 }"), PLANES, "S1" },
	{ "layer { type: 'Split' bottom: 'x' top: 'a' top: 'b' top: 'c' }", PLANES },
	{ ONE("SPP", "spp_param { pyramid_height: 2 }"), PLANES, "S1" },
	{ ONE("Swish", ""), PLANES },
	{ ONE("TanH", ""), PLANES },
	{ ONE("Threshold", ""), PLANES },
	{ ONE("Tile", "tile_param { axis: 1 tiles: 3 }"), PLANES },
	{ ONE("TopK", "topk_param { k: 1 }"), "NxCxS" },
	{ ONE("Transpose", "transpose_param { dim: 3 dim: 2 dim: 0 dim: 1 }"), PLANES },
	{ THREE("TripletLoss", "triplet_loss_param { margin: 9 }"), "NxC NxC NxC" },
	{ TWO("Unpooling", "pooling_param { kernel_size: 3 stride: 1 }"), PLANES " NxCxSxS:i9" },
	{ ONE("Upsample", "upsample_param { scale: 2 }"), PLANES },
	{ TWO("WarpCTC", ""), "SxNxC Nx2:iC", "C1" },
	{ TWO("WarpCTCLoss", ""), "SxNxC Nx2:iC", "C1" },
	{ TWO("XCovLoss", ""), "NxC NxS" },
	/* a high threshold on the large grids: what is found is compared pair by pair */
	{ YOLO2("confidence_threshold: 0.8"), "Nx16xSxS" },
	{ YOLO2(""), "Nx16x5x6" },
	{ YOLO3("confidence_threshold: 0.8"), "Nx16xSxS" },
	{ YOLO3(""), "Nx16x5x6" },
};

/* Types that can't be driven alone, with the reason. */
static const char *const exceptions[][2] = {
	{ "AnnotatedData", "a data source" },
	{ "Data", "a data source" },
	{ "EvalDetection", "its bottoms are grids and objects that belong together: test_fork_data.c" },
	{ "HDF5Data", "a data source" },
	{ "HDF5Output", "writes files through the net" },
	{ "ImageData", "a data source" },
	{ "Input", "its values are whatever the caller left there" },
	{ "MemoryData", "its values come from the caller" },
	{ "Python", "what it does is up to its module" },
	{ "SparseData", "a data source" },
	{ "WindowData", "a data source" },
};
/* clang-format on */

/* ---- sizes ---------------------------------------------------------------------------------------- */

struct sizes {
	int64_t n, c, s;
	char text[32]; /* which was changed: "S13" */
};

static int64_t size_of(const struct sizes *z, char letter)
{
	return letter == 'N' ? z->n : letter == 'C' ? z->c : letter == 'S' ? z->s : -1;
}

/* Puts the numbers in: letters that `mark` stands before ("$N"), or, where it is 0, all of them, with the factor in front. */
static void put_sizes(const struct sizes *z, const char *from, char mark, char *to, size_t room)
{
	size_t n = 0;

	while (*from) {
		char *end;
		const char *letter = from;
		int64_t factor = 1;

		if (mark && *from == mark)
			letter++;
		else if (!mark && isdigit((unsigned char)*from)) {
			factor = strtoll(from, &end, 10);
			letter = end;
		}
		if ((!mark || letter > from) && size_of(z, *letter) >= 0) {
			n += (size_t)snprintf(to + n, room - n, "%lld", (long long)(factor * size_of(z, *letter)));
			from = letter + 1;
		} else {
			for (letter = letter > from ? letter : from + 1; from < letter && n + 1 < room; from++)
				to[n++] = *from;
		}
		assert_true(n + 32 < room);
	}
	to[n] = 0;
}

static bool is_of_type(const struct row *r, const char *type)
{
	const char *at = strchr(r->prototxt, '\'') + 1;

	return !strncmp(at, type, strlen(type)) && at[strlen(type)] == '\'';
}

static bool has_letter(const struct row *r, char letter)
{
	const char marked[] = { '$', letter, 0 };

	return strchr(r->bottoms, letter) || strstr(r->prototxt, marked);
}

/* ---- one run -------------------------------------------------------------------------------------- */

struct run {
	struct layer_test *x;
	const struct row *row;
	char layer[1024], bottoms[256], where[512];
};

static void check_written(const struct run *r, const char *what, int i, const real *v, int64_t n)
{
	for (int64_t k = 0; k < n; k++)
		if (isnan(v[k]))
			fail_msg("%s: %s %d [%lld] is not a number", r->where, what, i, (long long)k);
}

static bool wants_backward(const struct layer_test *x)
{
	return x->l.type->backward && !(x->l.type->flags & MOKA_NO_BACKWARD);
}

static void open_run(struct run *r, const struct row *row, const struct sizes *z, enum moka_phase phase, int threads)
{
	put_sizes(z, row->prototxt, '$', r->layer, sizeof(r->layer));
	put_sizes(z, row->bottoms, 0, r->bottoms, sizeof(r->bottoms));
	snprintf(r->where, sizeof(r->where), "%.300s on %.100s, %s, %d threads", r->layer, r->bottoms,
		 phase == MOKA_TEST ? "test" : "train", threads);
	r->row = row;
	r->x = lt_open_threads(r->layer, phase, r->bottoms, threads);
}

/* Both passes; statistics and gradients stay to be compared. */
static void pass(struct run *r)
{
	struct layer_test *x = r->x;

	if (lt_try_forward(x))
		fail_msg("%s: %s", r->where, x->err.message);
	for (int i = 0; i < x->l.n_top; i++)
		check_written(r, "top", i, x->top[i].data, x->top[i].count);
	if (!wants_backward(x))
		return;
	lt_random_top_diffs(x, 3);
	lt_backward(x);
	for (int i = 0; i < x->l.n_bottom; i++)
		if (!(x->l.type->no_gradient >> i & 1))
			check_written(r, "gradient of bottom", i, x->bottom[i].diff, x->bottom[i].count);
	for (int i = 0; i < x->l.n_param; i++)
		check_written(r, "gradient of parameter", i, x->param[i].diff, x->param[i].count);
}

/* A row whose layer finds nothing, or whose gradients are nothing, would show nothing. */
static void check_not_idle(const struct run *r)
{
	const struct layer_test *x = r->x;
	bool top = !x->l.n_top || !x->l.n_bottom, gradient = !wants_backward(x) || !x->l.n_top;

	for (int i = 0; i < x->l.n_top; i++)
		for (int64_t k = 0; k < x->top[i].count; k++)
			top |= x->top[i].data[k] != 0;
	for (int i = 0; i < x->l.n_bottom; i++)
		for (int64_t k = 0; k < x->bottom[i].count && !(x->l.type->no_gradient >> i & 1); k++)
			gradient |= x->bottom[i].diff[k] != 0;
	for (int i = 0; i < x->l.n_param; i++)
		for (int64_t k = 0; k < x->param[i].count; k++)
			gradient |= x->param[i].diff[k] != 0;
	if (!top || !gradient)
		fail_msg("%s: all %s are 0: the row shows nothing", r->where, top ? "gradients" : "values of the tops");
}

static void compare(const struct run *r, const char *what, int i, const real *a, const real *b, int64_t n)
{
	for (int64_t k = 0; k < n; k++)
		if (memcmp(a + k, b + k, sizeof(real)))
			fail_msg("%s: %s %d [%lld] is %.9g, was %.9g with one thread out of place", r->where, what, i,
				 (long long)k, (double)b[k], (double)a[k]);
}

static void compare_runs(const struct run *a, const struct run *b)
{
	const struct layer_test *x = a->x, *y = b->x;

	for (int i = 0; i < x->l.n_top; i++)
		compare(b, "top", i, x->top[i].data, y->top[i].data, x->top[i].count);
	for (int i = 0; i < x->l.n_param; i++) {
		compare(b, "parameter", i, x->param[i].data, y->param[i].data, x->param[i].count);
		compare(b, "gradient of parameter", i, x->param[i].diff, y->param[i].diff, x->param[i].count);
	}
	for (int i = 0; i < x->l.n_bottom && wants_backward(x); i++)
		if (!(x->l.type->no_gradient >> i & 1))
			compare(b, "gradient of bottom", i, x->bottom[i].diff, y->bottom[i].diff, x->bottom[i].count);
}

/* ---- in place --------------------------------------------------------------------------------------- */

/* The prototxt with the first top renamed to the first bottom. */
static void rename_top(const char *prototxt, char *to, size_t room)
{
	const char *bottom = strstr(prototxt, "bottom: '"), *top = strstr(prototxt, " top: '");
	int before, length;

	assert_true(bottom && top);
	bottom += strlen("bottom: '");
	length = (int)strcspn(bottom, "'");
	before = (int)(top + strlen(" top: '") - prototxt);
	snprintf(to, room, "%.*s%.*s%s", before, prototxt, length, bottom, strchr(prototxt + before, '\''));
}

static bool may_be_in_place(const struct layer_test *x)
{
	return x->l.type->flags & MOKA_INPLACE && x->l.n_bottom && x->l.n_top &&
	       moka_shape_equal(&x->bottom_ref[0].shape, &x->top_ref[0].shape);
}

/* ---- one size --------------------------------------------------------------------------------------- */

static bool refusal_expected(const struct row *row, const struct sizes *z)
{
	const size_t n = strlen(z->text);

	for (const char *at = row->refused; n && at && (at = strstr(at, z->text)); at += n)
		if (at[n] == 0 || at[n] == ' ')
			return true;
	return false;
}

static bool is_refused(const struct row *row, const struct sizes *z, enum moka_phase phase)
{
	char layer[1024], bottoms[256];
	struct layer_test *x;
	bool refused;

	put_sizes(z, row->prototxt, '$', layer, sizeof(layer));
	put_sizes(z, row->bottoms, 0, bottoms, sizeof(bottoms));
	x = lt_shape(layer, phase, bottoms);
	refused = x->status != MOKA_OK;
	if (refused != refusal_expected(row, z) || refused != (x->findings.errors > 0))
		fail_msg("%s on %s: %s, %s", layer, bottoms, refused ? "refused" : "accepted",
			 x->findings.errors ? x->findings.items[x->findings.n - 1].message : "without a finding");
	lt_free(x);
	return refused;
}

static void check_size(const struct row *row, const struct sizes *z, enum moka_phase phase)
{
	struct run one, three, here;
	struct row in_place = *row;
	char renamed[1024];

	if (is_refused(row, z, phase))
		return;
	open_run(&one, row, z, phase, 1);
	pass(&one);
	if (!z->text[0])
		check_not_idle(&one);
	open_run(&three, row, z, phase, 3);
	pass(&three);
	compare_runs(&one, &three);
	lt_free(three.x);
	if (may_be_in_place(one.x)) {
		rename_top(row->prototxt, renamed, sizeof(renamed));
		in_place.prototxt = renamed;
		open_run(&here, &in_place, z, phase, 3);
		pass(&here);
		compare_runs(&one, &here);
		lt_free(here.x);
	}
	lt_free(one.x);
}

static void check_row(const struct row *row)
{
	static const int64_t values[] = { 127, 13, 3, 1, 0 };
	const struct sizes usual = { 2, 4, 7, "" };

	for (int phase = MOKA_TRAIN; phase <= MOKA_TEST; phase++) {
		check_size(row, &usual, (enum moka_phase)phase);
		for (const char *letter = "NCS"; *letter; letter++)
			for (size_t i = 0; i < MOKA_COUNT(values) && has_letter(row, *letter); i++) {
				struct sizes z = usual;

				if (!values[i] && *letter != 'N')
					continue;
				*(*letter == 'N' ? &z.n : *letter == 'C' ? &z.c : &z.s) = values[i];
				snprintf(z.text, sizeof(z.text), "%c%lld", *letter, (long long)values[i]);
				check_size(row, &z, (enum moka_phase)phase);
			}
	}
}

/* MOKA_TEST_LAYER=Pooling runs the rows of one type. */
T_TEST(awkward_sizes)
{
	const char *only = getenv("MOKA_TEST_LAYER");

	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		if (!only || is_of_type(&rows[i], only))
			check_row(&rows[i]);
}

/* ---- the list --------------------------------------------------------------------------------------- */

static bool has_row(const char *type)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		if (is_of_type(&rows[i], type))
			return true;
	for (size_t i = 0; i < MOKA_COUNT(exceptions); i++)
		if (!strcmp(exceptions[i][0], type))
			return true;
	return false;
}

/* But for those that are shaped and never run. */
T_TEST(every_type_has_a_row)
{
	for (size_t i = 0; moka_layer_types[i]; i++)
		if (moka_layer_types[i]->forward && !has_row(moka_layer_types[i]->schema.type))
			fail_msg("%s has no row in rows[] (nor a reason among the exceptions)",
				 moka_layer_types[i]->schema.type);
}

static const struct CMUnitTest tests[] = { T_CASE(every_type_has_a_row), T_CASE(awkward_sizes) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
