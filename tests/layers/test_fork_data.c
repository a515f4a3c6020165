/*
 * test_fork_data.c - data layers and Python classes of forks: shapes from their settings, what is refused, and the values of those that
 * are run.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

#define CPM(transform)                                                                                                 \
	"layer { type: 'CPMData' top: 'd' top: 'l' transform_param { " transform                                       \
	" } cpmdata_param { batch_size: 6 source: 's' backend: LMDB } }"
#define PICTURES "transform_param { crop_size: 48 mean_value: 1 mean_value: 2 mean_value: 3 }"
#define TSN(words)                                                                                                     \
	"layer { type: 'VideoData' top: 'd' top: 'l' video_data_param { source: 's' batch_size: 4 " words              \
	" } transform_param { crop_size: 224 } }"

T_TEST(shapes_from_settings)
{
	/* clang-format off */
	static const struct {
		const char *layer, *first, *second;
	} rows[] = {
		{ CPM("stride: 8 crop_size_x: 360 crop_size_y: 368 num_parts: 17"), "6x4x368x360", "6x36x46x45" },
		{ CPM(""), "6x4x368x368", "6x30x92x92" },
		{ "layer { type: 'CPMData' top: 'd' top: 'l' cpm_transform_param { stride: 8 num_parts: 56 crop_size_x: 368 crop_size_y: 368 } "
		  "data_param { source: 's' batch_size: 10 } }", "10x3x368x368", "10x114x46x46" },
		{ "layer { type: 'VideoData' top: 'd' top: 'l' data_param { batch_size: 2 } transform_param { resize_param { height: 300 width: 400 } } }",
		  "2x3x300x400", "2" },
		{ "layer { type: 'VideoData' top: 'd' top: 'l' data_param { batch_size: 2 } }", "2x3x?x?", "2" },
		{ TSN("new_length: 5 num_segments: 3 modality: FLOW"), "4x30x224x224", "4x1x1x1" },
		{ TSN("num_segments: 3 modality: RGB"), "4x9x224x224", "4x1x1x1" },
		{ TSN(""), "4x2x224x224", "4x1x1x1" },
		{ "layer { type: 'BoxData' top: 'd' top: 'l' data_param { source: 's' batch_size: 4 } " PICTURES " }", "4x3x48x48", "4x150" },
		{ "layer { type: 'MTCNNData' top: 'd' top: 'l' data_param { source: 's' batch_size: 4 } }", "4x?x?x?", "4" },
		{ "layer { type: 'MTCNNData' top: 'd' top: 'l' top: 'r' data_param { source: 's' batch_size: 4 } " PICTURES " }", "4x3x48x48", "4" },
		{ "layer { type: 'DocData' top: 'd' top: 'l' data_param { source: 's' batch_size: 4 } }", "4x?x?x?", "?" },
		{ "layer { type: 'DocData' top: 'd' top: 'l' doc_data_param { source: 's' batch_size: 3 } }", "3x?x?x?", "?" },
		{ "layer { type: 'DenseImageData' top: 'd' top: 'l' dense_image_data_param { batch_size: 4 new_height: 512 new_width: 1024 label_divide_factor: 8 } }",
		  "4x3x512x1024", "4x1x64x128" },
		{ "layer { type: 'DenseImageData' top: 'd' top: 'l' dense_image_data_param { is_color: false crop_width: 9 crop_height: 8 label_divide_factor: 8 } }",
		  "1x1x8x9", "1x1x8x9" },
		{ "layer { type: 'DenseImageData' top: 'd' top: 'l' }", "1x3x?x?", "1x1x?x?" },
		{ "layer { type: 'RemoteData' top: 'd' top: 'l' remote_data_param { shape { dim: 25 dim: 3 dim: 32 dim: 32 } shape { dim: 25 } } }",
		  "25x3x32x32", "25" },
		{ "layer { type: 'RemoteData' top: 'd' top: 'l' remote_data_param { address: 'tcp://a:1' } }", "?", "?" },
		{ "layer { type: 'MemoryData' top: 'd' top: 'l' memory_data_param { dim: 1 dim: 3 dim: 4 dim: 5 dim: 6 } }", "1x3x4x5x6", "1x1x1x1x1" },
		{ "layer { type: 'Data' top: 'd' top: 'l' data_param { source: 'CIFAR-10' batch_size: 7 backend: IMAGEDB } transform_param { crop_size: 9 } }",
		  "7x?x9x9", "7" },
	};
	/* clang-format on */

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = lt_shape(rows[i].layer, MOKA_TRAIN, "");

		LT_SHAPE(x, 0, rows[i].first);
		LT_SHAPE(x, 1, rows[i].second);
		T_INT(x->findings.errors, 0);
		lt_free(x);
	}
}

T_TEST(the_caller_says_the_batch)
{
	struct layer_test *x = lt_shape(CPM("num_parts: 1"), MOKA_TRAIN, "");

	x->l.batch = 2;
	T_INT(x->l.type->shape(&x->l, &x->findings), MOKA_OK);
	LT_SHAPE(x, 0, "2x4x368x368");
	lt_free(x);
}

T_TEST(bad_settings)
{
	LT_REFUSED("layer { type: 'CPMData' top: 'd' cpmdata_param { source: 's' } }", "",
		   "cpmdata_param says no batch_size");
	LT_REFUSED(CPM("stride: 0"), "", "must be 1 or more");
	LT_REFUSED(CPM("num_parts: 2147483647"), "", "too many");
	LT_REFUSED("layer { type: 'VideoData' top: 'd' }", "", "data_param says no batch_size");
	LT_REFUSED("layer { type: 'VideoData' top: 'd' video_data_param { source: 's' } }", "", "no such batch");
	LT_REFUSED(TSN("num_segments: 0"), "", "no such batch");
	LT_REFUSED("layer { type: 'DenseImageData' top: 'd' dense_image_data_param { new_height: 5 } }", "",
		   "new_width is missing");
	LT_REFUSED("layer { type: 'DenseImageData' top: 'd' dense_image_data_param { label_divide_factor: 0 } }", "",
		   "at least 1");
	LT_REFUSED("layer { type: 'RemoteData' top: 'd' top: 'l' remote_data_param { shape { dim: 2 } } }", "",
		   "1 shapes for 2 tops");
	LT_REFUSED("layer { type: 'RandVec' top: 'd' randvec_param { lower: 1 upper: 1 } }", "",
		   "nothing lies between");
	LT_REFUSED("layer { type: 'RandVec' top: 'd' randvec_param { dim: 0 } }", "", "1 or more");
	LT_REFUSED("layer { type: 'MemoryData' top: 'd' top: 'l' memory_data_param { dim: 1 dim: 0 } }", "",
		   "every dim must be at least 1");
	LT_REFUSED(
		"layer { type: 'DetectNetTransformation' bottom: 'd' bottom: 'l' top: 'a' top: 'b' detectnet_groundtruth_param { stride: 0 } }",
		"2x3x9x9 2x1x4x16", "has no cell");
	LT_REFUSED("layer { type: 'DetectNetTransformation' bottom: 'd' bottom: 'l' top: 'a' top: 'b' }",
		   "2x4x9x9 2x1x4x16", "3 channels");
}

/* Asked to run what only is shaped, a layer says so. */
T_TEST(not_run)
{
	static const char *const layers[] = {
		CPM(""),
		TSN(""),
		"layer { type: 'BoxData' top: 'd' data_param { source: 's' batch_size: 4 } }",
		"layer { type: 'Data' top: 'd' data_param { source: 's' batch_size: 7 backend: IMAGEDB } }",
		"layer { type: 'Python' top: 'd' bottom: 'x' python_param { module: 'distance_layer' layer: 'DistanceLayer' } }",
		"layer { type: 'Python' top: 'd' bottom: 'x' python_param { module: 'spatial_dropout' layer: 'SpatialDropoutLayer' "
		"param_str: \"{'phase': 'TRAIN', 'p': '0.5'}\" } }",
	};

	for (size_t i = 0; i < MOKA_COUNT(layers); i++) {
		struct layer_test *x = lt_shape(layers[i], MOKA_TEST, strstr(layers[i], "bottom") ? "2x3" : "");

		T_INT(x->findings.errors, 0);
		x->l.for_run = true;
		T_TRUE(x->l.type->shape(&x->l, &x->findings) != MOKA_OK);
		T_INT(x->findings.errors, 1);
		lt_free(x);
	}
}

T_TEST(detect_net_shapes)
{
	struct layer_test *x = lt_shape(
		"layer { type: 'DetectNetTransformation' bottom: 'd' bottom: 'l' top: 'a' top: 'b' "
		"detectnet_groundtruth_param { stride: 16 image_size_x: 1248 image_size_y: 384 "
		"object_class { src: 1 dst: 0 } object_class { src: 8 dst: 1 } object_class { src: 9 dst: 1 } } }",
		MOKA_TRAIN, "5x3x100x200 5x1x7x16");

	LT_SHAPE(x, 0, "5x3x384x1248");
	LT_SHAPE(x, 1, "5x10x24x78");
	lt_free(x);
	x = lt_shape("layer { type: 'DetectNetTransformation' bottom: 'd' bottom: 'l' top: 'a' top: 'b' }", MOKA_TRAIN,
		     "? ?");
	LT_SHAPE(x, 0, "?x3x384x1248");
	LT_SHAPE(x, 1, "?x9x96x312");
	lt_free(x);
}

T_TEST(random_vectors)
{
	struct layer_test *x = lt_open(
		"layer { type: 'RandVec' top: 'd' randvec_param { batch_size: 50 dim: 20 lower: -3 upper: 5 } }",
		MOKA_TRAIN, "");
	double sum = 0, squares = 0;

	LT_SHAPE(x, 0, "50x20");
	lt_forward(x);
	for (int64_t i = 0; i < x->top[0].count; i++) {
		T_TRUE(x->top[0].data[i] >= -3 && x->top[0].data[i] < 5);
		sum += x->top[0].data[i];
		squares += (double)x->top[0].data[i] * x->top[0].data[i];
	}
	T_TRUE(fabs(sum / 1000 - 1) < 0.3);
	T_TRUE(fabs(squares / 1000 - 1 - 64.0 / 12) < 0.8);
	lt_free(x);
	x = lt_shape("layer { type: 'RandVec' top: 'd' randvec_param { batch_size: 5 dim: 2 height: 3 width: 4 } }",
		     MOKA_TRAIN, "");
	LT_SHAPE(x, 0, "5x2x3x4");
	lt_free(x);
}

/* ---- Python ------------------------------------------------------------------------------------------ */

#define PYTHON(module, class, bottoms, tops)                                                                           \
	"layer { type: 'Python' " bottoms tops " python_param { module: '" module "' layer: '" class "' } }"

T_TEST(python_shapes)
{
	/* clang-format off */
	static const struct {
		const char *layer, *bottoms, *top;
		int n;
	} rows[] = {
		{ PYTHON("caffe.layers.detectnet.clustering", "ClusterGroundtruth", "bottom: 'c'", "top: 'a' top: 'b'"), "7x9x24x78", "7x50x5", 2 },
		{ PYTHON("caffe.layers.detectnet.clustering", "ClusterDetections", "bottom: 'c' bottom: 'd'", "top: 'a'"), "7x1x24x78 7x4x24x78", "7x50x5", 1 },
		{ PYTHON("caffe.layers.detectnet.mean_ap", "ScoreDetections", "bottom: 'c' bottom: 'd'", "top: 'a'"), "7x50x5 7x50x5", "7x50x5", 1 },
		{ PYTHON("caffe.layers.detectnet.mean_ap", "mAP", "bottom: 'c'", "top: 'a' top: 'p' top: 'r'"), "7x50x5", "1", 3 },
		{ PYTHON("pythonLayer", "cls_Layer_fc", "bottom: 'c' bottom: 'd'", "top: 'a'  top: 'b'"), "64x2x1x1 64x1", "64x2x1x1", 1 },
		{ PYTHON("pythonLayer", "cls_Layer", "bottom: 'c' bottom: 'd'", "top: 'a'  top: 'b'"), "64x2 64x1", "64x2", 1 },
		{ PYTHON("pythonLayer", "regression_Layer", "bottom: 'c' bottom: 'd'", "top: 'a'"), "64x4 64x4", "1", 1 },
		{ PYTHON("input_shifting_layer", "InputShiftingLayer", "bottom: 'c'", "top: 'a'"), "2x3x5x7", "2x3x5x7", 1 },
		{ PYTHON("warping_layer", "WarpingLayer", "bottom: 'c' bottom: 'd'", "top: 'a'"), "1x3x5x7 1x2x5x7", "1x3x5x7", 1 },
		{ PYTHON("bilinear_sampler_layer_3ch", "BilinearSamplerLayer3ch", "bottom: 'c' bottom: 'd'", "top: 'a'"), "1x75x5x7 1x50x5x7", "1x75x5x7", 1 },
		{ PYTHON("rpn.anchor_target_layer", "AnchorTargetLayer", "bottom: 's' bottom: 'g' bottom: 'i' bottom: 'd'", "top: 'a' top: 'b' top: 'c' top: 'd'"),
		  "1x18x14x20 2x5 1x3 1x3x9x9", "1x1x126x20", 1 },
		{ PYTHON("visualization_layer", "VisualizationLayer", "bottom: 'c'", "top: 'a'"), "2x3x5x7", "1", 1 },
		{ PYTHON("somebodys", "OwnLayer", "bottom: 'c'", "top: 'a'"), "2x3x5x7", "?", 1 },
		{ PYTHON("pyloss", "OwnLayer", "bottom: 'c'", "top: 'a'"), "2x3x5x7", "?", 1 },
	};
	/* clang-format on */

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = lt_shape(rows[i].layer, MOKA_TRAIN, rows[i].bottoms);

		for (int t = 0; t < rows[i].n; t++)
			LT_SHAPE(x, t, rows[i].top);
		T_INT(x->findings.n, 0);
		lt_free(x);
	}
	LT_REFUSED(PYTHON("caffe.layers.detectnet.mean_ap", "mAP", "bottom: 'c'", "top: 'a'"), "7x50x5",
		   "makes 3 tops");
	LT_REFUSED(PYTHON("rpn.proposal_target_layer", "ProposalTargetLayer", "bottom: 'r' bottom: 'g'",
			  "top: 'a' top: 'b' top: 'c' top: 'd' top: 'e'"),
		   "9x5 2x5", "'num_classes': 21");
	struct layer_test *t = lt_shape(
		"layer { type: 'Python' bottom: 'r' bottom: 'g' top: 'a' top: 'b' top: 'c' top: 'd' top: 'e' "
		"python_param { module: 'rpn.proposal_target_layer' layer: 'ProposalTargetLayer' param_str: \"'num_classes': 21\" } }",
		MOKA_TRAIN, "9x5 2x5");
	LT_SHAPE(t, 0, "1x5");
	LT_SHAPE(t, 1, "1x1");
	LT_SHAPE(t, 4, "1x84");
	lt_free(t);
	LT_REFUSED(PYTHON("pyloss", "EuclideanLossLayer", "bottom: 'c' bottom: 'd'", "top: 'a'"), "2x3 2x4", "as many");
	LT_REFUSED(PYTHON("spatial_dropout", "SpatialDropoutLayer", "bottom: 'c'", "top: 'a'"), "2x3x1x1",
		   "between 0 and 1");
}

T_TEST(python_values)
{
	struct layer_test *x = lt_open(PYTHON("pyloss", "EuclideanLossLayer", "bottom: 'c' bottom: 'd'", "top: 'a'"),
				       MOKA_TEST, "2x3 2x3");
	double want = 0;

	lt_forward(x);
	for (int i = 0; i < 6; i++)
		want += pow((double)x->bottom_values[0][i] - (double)x->bottom_values[1][i], 2) / 4;
	T_TRUE(fabs(x->top[0].data[0] - want) < 1e-5);
	lt_free(x);
	x = lt_open(
		"layer { type: 'Python' bottom: 'x' top: 'y' python_param { module: 'spatial_dropout' layer: 'SpatialDropoutLayer' "
		"param_str: \"{'phase': 'TEST', 'p': '0.2'}\" } }",
		MOKA_TEST, "2x3x4x5");
	lt_forward(x);
	for (int i = 0; i < 120; i++)
		T_TRUE(fabs(x->top[0].data[i] - x->bottom_values[0][i] * 1.25) < 1e-5);
	lt_free(x);
}

/* ---- EvalDetection ---------------------------------------------------------------------------------- */

#define EVAL(words)                                                                                                                       \
	"layer { type: 'EvalDetection' bottom: 'g' bottom: 'l' top: 'y' eval_detection_param { side: 2 num_class: 2 num_object: 1 " words \
	" biases: 1 biases: 1 } }"

/* A grid of one image where nothing is found; box 0 of cell (column, row) is set by put(). */
static void empty_grid(real *g)
{
	for (int i = 0; i < 28; i++)
		g[i] = i / 4 == 4 ? -20 : 0; /* objectness: no */
}

/* A box in the middle of its cell, as large as the cell, surely of that class. */
static void put(real *g, int column, int row, int label, double objectness)
{
	const int at = row * 2 + column;

	g[4 * 4 + at] = (real)log(objectness / (1 - objectness));
	g[5 * 4 + at] = label == 0 ? 30 : -30;
	g[6 * 4 + at] = label == 1 ? 30 : -30;
}

T_TEST(judges_detections)
{
	/* Cells 0.5 wide. Found: class 0 in (0,0) with 0.9, class 0 in (1,0) with 0.8, class 1 in (1,1) with 0.7. */
	static const real objects[] = {
		0,  1, 0, 0, 0,		(real)0.5, (real)0.5, 0, /* class 0 at (0,0): right */
		0,  1, 1, 0, (real)0.6, (real)0.4, 1,	      0, /* class 0 below: nothing there */
		-1, 0, 0, 0, 0,		0,	   0,	      0, /* no object */
	};
	static const real want[] = { 2, 0, 0, (real)0.9, 1, 0, 0, (real)0.8, 0, 0, 1, (real)0.7, 0, 1, 0, 0, 0, 0 };
	struct layer_test *x = lt_open(EVAL("nms: 0.45"), MOKA_TEST, "1x7x2x2 1x1x3x8");

	LT_SHAPE(x, 0, "1x18");
	empty_grid(x->bottom_values[0]);
	put(x->bottom_values[0], 0, 0, 0, 0.9);
	put(x->bottom_values[0], 1, 0, 0, 0.8);
	put(x->bottom_values[0], 1, 1, 1, 0.7);
	lt_set(x, 1, objects);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 18, 1e-4, 1e-5);
	lt_free(x);
}

T_TEST(an_object_is_found_once)
{
	static const real objects[] = { 0, 2, 0, 0, 0, 0, (real)0.5, (real)0.5 };
	/* both boxes overlap it; nms above 1 lets both live, the second is wrong */
	static const real want[] = { 0, 1, 1, (real)0.9, 1, 0, 1, (real)0.8, 0, 1 };
	struct layer_test *x = lt_open(EVAL("nms: 1.5 threshold: 0.2"), MOKA_TEST, "1x7x2x2 1x1x1x8");
	real *g = x->bottom_values[0];

	empty_grid(g);
	put(g, 0, 0, 1, 0.9);
	put(g, 1, 0, 1, 0.8);
	g[1] = -30; /* x of cell (1,0): its left side, 0.5; the box reaches from 0.25 to 0.75 */
	memcpy(x->bottom_values[1], objects, sizeof(objects));
	x->bottom_values[1][3] = 0;
	x->bottom_values[1][5] = (real)0.5;
	x->bottom_values[1][4] = 0;
	x->bottom_values[1][6] = (real)0.5;
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 10, 1e-4, 1e-5);
	lt_free(x);
	x = lt_open(EVAL("nms: 0.3 threshold: 0.2"), MOKA_TEST, "1x7x2x2 1x1x1x8"); /* one third: now the second goes */
	g = x->bottom_values[0];
	empty_grid(g);
	put(g, 0, 0, 1, 0.9);
	put(g, 1, 0, 1, 0.8);
	g[1] = -30;
	memset(x->bottom_values[1], 0, 8 * sizeof(real));
	x->bottom_values[1][0] = -1;
	lt_forward(x);
	T_TRUE(x->top[0].data[2] == 1 && x->top[0].data[5] == 1 && x->top[0].data[7] == 0);
	lt_free(x);
}

T_TEST(scores_and_bad_objects)
{
	struct layer_test *x = lt_open(EVAL("nms: 0.45 score_type: OBJ"), MOKA_TEST, "1x7x2x2 1x1x1x8");

	empty_grid(x->bottom_values[0]);
	put(x->bottom_values[0], 0, 0, 0, 0.9);
	x->bottom_values[0][5 * 4] = x->bottom_values[0][6 * 4] = 0;
	memset(x->bottom_values[1], 0, 8 * sizeof(real));
	x->bottom_values[1][0] = -1;
	lt_forward(x);
	T_TRUE(fabs(x->top[0].data[3] - 0.9) < 1e-5);
	x->bottom_values[1][0] = 1;
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "of image 1");
	x->bottom_values[1][0] = 0;
	x->bottom_values[1][1] = 3;
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "class 3");
	lt_free(x);
	x = lt_open(EVAL("nms: 0.45 score_type: PROB"), MOKA_TEST, "1x7x2x2 1x1x1x8");
	empty_grid(x->bottom_values[0]);
	memset(x->bottom_values[1], 0, 8 * sizeof(real));
	x->bottom_values[1][0] = -1;
	lt_forward(x);
	T_TRUE(fabs(x->top[0].data[3] - 0.5) < 1e-5);
	lt_free(x);
	LT_REFUSED(EVAL("biases: 3"), "1x7x2x2 1x1x1x8", "3 biases");
	LT_REFUSED(EVAL(""), "1x8x2x2 1x1x1x8", "must be a batch of 7x2x2");
	LT_REFUSED(EVAL(""), "1x7x2x2 1x1x1x7", "rows of 8");
}

/* ---- MTCNN's loss --------------------------------------------------------------------------------------- */

#define MTCNN(more) "layer { type: 'MTCNNEuclideanLoss' bottom: 'a' bottom: 'b' " more " top: 'y' }"

T_TEST(mtcnn_loss)
{
	static const real a[] = { 1, 2, 3, 4, 5, 7 }, b[] = { 0, 2, 3, 2, 5, 4 }, labels[] = { 1, 0, -1 };
	static const real want[2][6] = { { 1, 0, 0, 2, 0, 3 }, { 1, 0, 0, 0, 0, 3 } };

	for (int k = 0; k < 2; k++) {
		struct layer_test *x = lt_open(k ? MTCNN("bottom: 'l' loss_param { ignore_label: 0 }") : MTCNN(""),
					       MOKA_TRAIN, k ? "3x2 3x2 3" : "3x2 3x2");

		lt_set(x, 0, a);
		lt_set(x, 1, b);
		if (k)
			lt_set(x, 2, labels);
		lt_forward(x);
		T_TRUE(fabs(x->top[0].data[0] - (k ? 5 : 14.0 / 6)) < 1e-5);
		x->top[0].diff[0] = 3;
		lt_backward(x);
		T_NEAR(x->bottom[0].diff, want[k], 6, 1e-5, 1e-6);
		for (int i = 0; i < 6; i++)
			T_TRUE(fabs(x->bottom[1].diff[i] + want[k][i]) < 1e-5);
		lt_free(x);
	}
	LT_REFUSED(MTCNN("bottom: 'l'"), "3x2 3x2 3", "says no ignore_label");
	LT_REFUSED(MTCNN("loss_param { ignore_label: 0 }"), "3x2 3x2", "no third bottom");
	LT_REFUSED(MTCNN(""), "3x2 3x3", "2 values a sample against 3");
	LT_REFUSED(MTCNN("bottom: 'l' loss_param { ignore_label: 0 }"), "3x2 3x2 4", "4 labels for 3 samples");
}

static const struct CMUnitTest tests[] = {
	T_CASE(mtcnn_loss),
	T_CASE(shapes_from_settings),
	T_CASE(the_caller_says_the_batch),
	T_CASE(bad_settings),
	T_CASE(not_run),
	T_CASE(detect_net_shapes),
	T_CASE(random_vectors),
	T_CASE(python_shapes),
	T_CASE(python_values),
	T_CASE(judges_detections),
	T_CASE(an_object_is_found_once),
	T_CASE(scores_and_bad_objects),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
