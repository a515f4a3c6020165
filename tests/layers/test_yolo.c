/*
 * YOLO's grids read out, against plain loops that take every class of every box; Region; RegionLoss against its definition.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct found {
	double score, x, y, w, h;
	int label, at;
};

static double sigmoid(double v)
{
	return 1 / (1 + exp(-v));
}

static int better(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->score != y->score ? (x->score > y->score ? -1 : 1) : x->at - y->at;
}

static double iou(const struct found *a, const struct found *b)
{
	const double w = fmin(a->x + a->w / 2, b->x + b->w / 2) - fmax(a->x - a->w / 2, b->x - b->w / 2);
	const double h = fmin(a->y + a->h / 2, b->y + b->h / 2) - fmax(a->y - a->h / 2, b->y - b->h / 2);
	const double both = w < 0 || h < 0 ? 0 : w * h;

	return both / (a->w * a->h + b->w * b->h - both);
}

#define MOST 4000
static struct found all[MOST];

/* Every class above the threshold is a box of its own, as in the forks (v3); or the best one, after a softmax (v2). */
static int plain_grid(const real *x, int H, int W, int B, int C, const double *anchor, double uw, double uh, bool v3,
		      double threshold, int n)
{
	const int plane = H * W;

	for (int cell = 0; cell < plane; cell++)
		for (int b = 0; b < B; b++) {
			const real *v = x + b * (5 + C) * plane + cell;
			double sum = 0;

			for (int c = 0; c < C; c++)
				sum += exp((double)v[(5 + c) * plane]);
			for (int c = 0; c < C; c++) {
				const double s = (double)v[(5 + c) * plane];
				struct found f = { .label = c, .at = n };

				f.score = sigmoid((double)v[4 * plane]) * (v3 ? sigmoid(s) : exp(s) / sum);
				f.x = (cell % W + sigmoid((double)v[0])) / W;
				f.y = (cell / W + sigmoid((double)v[plane])) / H;
				f.w = exp((double)v[2 * plane]) * anchor[2 * b] * uw;
				f.h = exp((double)v[3 * plane]) * anchor[2 * b + 1] * uh;
				if (f.score > threshold)
					all[n++] = f;
			}
		}
	return n;
}

static int64_t check_rows(const struct layer_test *x, int image, int n, int64_t at)
{
	static bool gone[MOST];

	qsort(all, (size_t)n, sizeof(all[0]), better);
	memset(gone, 0, sizeof(gone));
	for (int i = 0; i < n; i++) {
		const struct found *f = &all[i];
		const real want[7] = { (real)image,
				       (real)(f->label + 1),
				       (real)f->score,
				       (real)(f->x - f->w / 2),
				       (real)(f->y - f->h / 2),
				       (real)(f->x + f->w / 2),
				       (real)(f->y + f->h / 2) };

		if (gone[i])
			continue;
		for (int k = i + 1; k < n; k++)
			gone[k] |= iou(f, &all[k]) >= 0.45;
		T_NEAR(x->top[0].data + at, want, 7, 1e-4, 1e-5);
		at += 7;
	}
	return at;
}

#define V3(rest)                                                                                                                 \
	"layer { name: 'y' type: 'Yolov3DetectionOutput' bottom: 'a' bottom: 'b' top: 'y' yolov3_detection_output_param { " rest \
	" } }"
#define ANCHORS "biases: 10 biases: 14 biases: 23 biases: 27 biases: 37 biases: 58 biases: 81 biases: 82 "

static void check_v3(const char *settings, const int *mask, int threads)
{
	static const double anchors[] = { 10, 14, 23, 27, 37, 58, 81, 82 };
	struct layer_test *x = lt_open_threads(settings, MOKA_TEST, "2x16x3x4 2x16x6x8", threads);
	int64_t at = 0;

	LT_SHAPE(x, 0, "1x1x240x7");
	lt_forward(x);
	for (int n = 0; n < 2; n++) {
		int m = 0;

		for (int g = 0; g < 2; g++) {
			const int H = g ? 6 : 3, W = g ? 8 : 4, pixels = g ? 16 : 32;
			double a[4];

			for (int k = 0; k < 4; k++)
				a[k] = anchors[2 * mask[2 * g + k / 2] + k % 2];
			m = plain_grid(x->bottom_values[g] + n * 16 * H * W, H, W, 2, 3, a, 1.0 / (W * pixels),
				       1.0 / (H * pixels), true, (double)0.3f, m);
		}
		at = check_rows(x, n, m, at);
	}
	T_TRUE(at > 70);
	for (; at < x->top[0].count; at++)
		T_TRUE(x->top[0].data[at] == 0);
	lt_free(x);
}

T_TEST(yolov3_against_loops)
{
	static const int mask[] = { 2, 0, 3, 1 }, dealt[] = { 2, 3, 0, 1 };

	for (int threads = 1; threads < 4; threads += 2) {
		check_v3(
			V3("num_classes: 3 num_box: 2 confidence_threshold: 0.3 anchors_scale: 32 anchors_scale: 16 mask: 2 mask: 0 mask: 3 mask: 1 " ANCHORS),
			mask, threads);
		check_v3(
			V3("num_classes: 3 num_box: 2 confidence_threshold: 0.3 anchors_scale: 32 anchors_scale: 16 " ANCHORS),
			dealt, threads);
	}
}

#define V2(rest)                                                                                                       \
	"layer { name: 'y' type: 'YoloDetectionOutput' bottom: 'a' top: 'y' yolo_detection_output_param { " rest " } }"

T_TEST(yolov2_against_loops)
{
	static const double anchors[] = { 1.3, 1.7, 3.2, 4 };

	for (int threads = 1; threads < 4; threads += 2) {
		struct layer_test *x = lt_open_threads(
			V2("num_classes: 3 num_box: 2 confidence_threshold: 0.25 biases: 1.3 biases: 1.7 biases: 3.2 biases: 4"),
			MOKA_TEST, "3x16x5x4", threads);
		int64_t at = 0;

		lt_forward(x);
		for (int n = 0; n < 3; n++) {
			const int m = plain_grid(x->bottom_values[0] + n * 16 * 20, 5, 4, 2, 3, anchors, 0.25, 0.2,
						 false, 0.25, 0);
			at = check_rows(x, n, m, at);
		}
		T_TRUE(at > 70);
		lt_free(x);
	}
}

T_TEST(nothing_to_see)
{
	struct layer_test *x = lt_open(V2("num_classes: 1 num_box: 1 confidence_threshold: 1 biases: 1 biases: 1"),
				       MOKA_TEST, "2x6x2x2");

	LT_SHAPE(x, 0, "1x1x8x7");
	lt_forward(x);
	for (int i = 0; i < 56; i++)
		T_TRUE(x->top[0].data[i] == (i == 0 || i > 13 ? 0 : i == 7 ? 1 : -1));
	lt_free(x);
	x = lt_open(V2("num_classes: 1 num_box: 1 biases: 1 biases: 1"), MOKA_TEST, "0x6x2x2");
	lt_forward(x);
	lt_free(x);
	LT_REFUSED(V2("num_classes: 3 num_box: 2 biases: 1"), "1x16x5x4", "1 biases, and 2 boxes need two each");
	LT_REFUSED(V2("num_classes: 3 num_box: 1 biases: 1 biases: 1"), "1x16x5x4", "8 channels");
	LT_REFUSED(V3("num_classes: 3 num_box: 2 anchors_scale: 32 " ANCHORS), "1x16x3x4 1x16x6x8",
		   "each of the 2 bottoms needs one");
	LT_REFUSED(V3("num_classes: 3 num_box: 2 anchors_scale: 32 anchors_scale: 0 " ANCHORS), "1x16x3x4 1x16x6x8",
		   "is 0");
	LT_REFUSED(V3("num_classes: 3 num_box: 2 anchors_scale: 32 anchors_scale: 16 mask: 0 " ANCHORS),
		   "1x16x3x4 1x16x6x8", "need 4");
	LT_REFUSED(
		V3("num_classes: 3 num_box: 2 anchors_scale: 32 anchors_scale: 16 mask: 0 mask: 1 mask: 2 mask: 4 " ANCHORS),
		"1x16x3x4 1x16x6x8", "anchor 4, and there are 4");
	LT_REFUSED(V3("num_classes: 3 num_box: 2 anchors_scale: 32 anchors_scale: 16 " ANCHORS), "1x16x3x4 2x16x6x8",
		   "'a' has 1 images and 'b' 2");
}

/* ---- Region ------------------------------------------------------------------------------------------------------ */

T_TEST(region_is_turned_and_squashed)
{
	struct layer_test *x = lt_open_threads(
		"layer { type: 'Region' bottom: 'x' top: 'y' region_param { classes: 3 coords: 4 boxes_of_each_grid: 2 softmax: true } }",
		MOKA_TEST, "2x16x3x5", 3);

	LT_SHAPE(x, 0, "2x16x3x5");
	lt_forward(x);
	for (int i = 0; i < 2 * 15 * 2; i++) {
		const int n = i / 30, cell = i / 2 % 15, b = i % 2;
		double sum = 0;

		for (int k = 0; k < 3; k++)
			sum += exp((double)x->bottom_values[0][(n * 16 + b * 8 + 5 + k) * 15 + cell]);
		for (int k = 0; k < 8; k++) {
			const double v = (double)x->bottom_values[0][(n * 16 + b * 8 + k) * 15 + cell];
			const real want = (real)(k < 4 ? v : k == 4 ? sigmoid(v) : exp(v) / sum);

			T_NEAR(x->top[0].data + i * 8 + k, &want, 1, 1e-5, 1e-6);
		}
	}
	lt_free(x);
	LT_REFUSED("layer { type: 'Region' bottom: 'x' top: 'y' }", "1x16x3x5", "125 channels");
}

/* ---- RegionLoss --------------------------------------------------------------------------------------------------- */

#define REGION_LOSS(rest)                                                                                              \
	"layer { name: 'r' type: 'RegionLoss' bottom: 'x' bottom: 'g' top: 'y' region_loss_param { " rest " } }"
#define H 3
#define W 4
#define B 2
#define C 3
#define BIASES "num: 2 num_class: 3 biases: 1 biases: 1.5 biases: 2 biases: 1 "

static const real objects[4 * 8] = { 0, 2, 0, 0.1, 0.1, 0.35, 0.5, 0, 1,  1, 0, 0.5, 0.5, 1, 0.8, 0,
				     1, 3, 0, 0.0, 0.6, 0.5,  1,   0, -1, 9, 0, 0,   0,	  0, 0,	  0 };

static double held(double v)
{
	return fmax(fmin(v, 1), -1);
}

static void plain_deltas(const struct layer_test *x, double *delta)
{
	static const double anchor[] = { 1, 1.5, 2, 1 };
	const int P = H * W, S = 5 + C;

	for (int n = 0; n < 2; n++) {
		const real *v = x->bottom_values[0] + n * B * S * P;
		double *d = delta + n * B * S * P;

		for (int i = 0; i < B * P; i++) {
			const int b = i / P, cell = i % P;
			const real *q = v + b * S * P + cell;
			struct found f = { .x = (cell % W + sigmoid((double)q[0])) / W,
					   .y = (cell / W + sigmoid((double)q[P])) / H,
					   .w = exp((double)q[2 * P]) * anchor[2 * b] / W,
					   .h = exp((double)q[3 * P]) * anchor[2 * b + 1] / H };
			const double p = sigmoid((double)q[4 * P]);
			double most = 0;

			for (int g = 0; g < 4; g++) {
				const real *o = objects + g * 8;
				struct found t = { .x = (double)(o[3] + o[5]) / 2,
						   .y = (double)(o[4] + o[6]) / 2,
						   .w = (double)(o[5] - o[3]),
						   .h = (double)(o[6] - o[4]) };
				most = (int)o[0] == n && o[0] >= 0 ? fmax(most, iou(&f, &t)) : most;
			}
			d[(b * S + 4) * P + cell] = most > 0.3 ? 0 : 0.5 * p * p * (1 - p);
		}
		for (int g = 0; g < 4; g++) {
			const real *o = objects + g * 8;
			const double ow = (double)(o[5] - o[3]), oh = (double)(o[6] - o[4]),
				     cx = (double)(o[3] + o[5]) / 2 * W, cy = (double)(o[4] + o[6]) / 2 * H;
			const int cell = (int)cy * W + (int)cx;
			double most = 0, sum = 0, p;
			int b = 0;

			if ((int)o[0] != n || o[0] < 0)
				continue;
			for (int k = 0; k < B; k++) {
				struct found f = { .w = anchor[2 * k] / W, .h = anchor[2 * k + 1] / H },
					     t = { .w = ow, .h = oh };
				if (iou(&f, &t) > most) {
					most = iou(&f, &t);
					b = k;
				}
			}
			const real *q = v + b * S * P + cell;
			double *e = d + b * S * P + cell;
			const double sx = sigmoid((double)q[0]), sy = sigmoid((double)q[P]);
			e[0] = -2 * held(cx - (int)cx - sx) * sx * (1 - sx);
			e[P] = -2 * held(cy - (int)cy - sy) * sy * (1 - sy);
			e[2 * P] = -2 * held(log(ow * W / anchor[2 * b]) - (double)q[2 * P]);
			e[3 * P] = -2 * held(log(oh * H / anchor[2 * b + 1]) - (double)q[3 * P]);
			p = sigmoid((double)q[4 * P]);
			e[4 * P] = -5 * 2 * pow(1 - p, 3) * p * (1 - p);
			for (int k = 0; k < C; k++)
				sum += exp((double)q[(5 + k) * P]);
			for (int k = 0; k < C; k++)
				e[(5 + k) * P] = 3 * (exp((double)q[(5 + k) * P]) / sum - (k == (int)o[1] - 1));
		}
	}
}

T_TEST(region_loss_against_its_definition)
{
	for (int threads = 1; threads < 4; threads += 2) {
		struct layer_test *x = lt_open_threads(
			REGION_LOSS(BIASES
				    "coord_scale: 2 object_scale: 5 class_scale: 3 noobject_scale: 0.5 thresh: 0.3"),
			MOKA_TRAIN, "2x16x3x4 1x1x4x8", threads);
		double delta[2 * 16 * 12] = { 0 }, sum = 0;
		real want[2 * 16 * 12];

		lt_set(x, 1, objects);
		LT_SHAPE(x, 0, "scalar");
		lt_forward(x);
		plain_deltas(x, delta);
		for (int i = 0; i < 2 * 16 * 12; i++) {
			sum += delta[i] * delta[i];
			want[i] = (real)(delta[i] * 0.7 / 2);
		}
		T_NEAR(x->top[0].data, &(real){ (real)sum }, 1, 1e-4, 1e-5);
		x->top[0].diff[0] = (real)0.7;
		lt_backward(x);
		T_NEAR(x->bottom[0].diff, want, 2 * 16 * 12, 1e-3, 1e-5);
		lt_free(x);
	}
}

static void object_fails(const real *object, const char *words)
{
	struct layer_test *x = lt_open(REGION_LOSS(BIASES), MOKA_TRAIN, "2x16x3x4 1x1x1x8");

	lt_set(x, 1, object);
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, words);
	lt_free(x);
}

T_TEST(region_loss_refuses)
{
	object_fails((real[8]){ 0, 4, 0, 0, 0, 1, 1, 0 },
		     "layer 'r' (RegionLoss): object 0 of 'g' (image 0) has the label 4");
	object_fails((real[8]){ 2, 1, 0, 0, 0, 1, 1, 0 }, "is of image 2");
	object_fails((real[8]){ 0, 1, 0, 0.9, 0, 1.3, 1, 0 }, "its centre must lie in the picture");
	object_fails((real[8]){ 0, 1, 0, 0.5, 0, 0.5, 1, 0 }, "must have a size");
	LT_REFUSED(REGION_LOSS("num: 2 num_class: 3 biases: 1"), "2x16x3x4 1x1x1x8", "1 biases");
	LT_REFUSED(REGION_LOSS(BIASES), "2x15x3x4 1x1x1x8", "16 channels");
	LT_REFUSED(REGION_LOSS(BIASES), "2x16x3x4 1x1x1x5", "rows of 8");
	LT_REFUSED(REGION_LOSS(BIASES "softmax_tree: 'x'"), "2x16x3x4 1x1x1x8", "trees");
}

static const struct CMUnitTest tests[] = {
	T_CASE(yolov3_against_loops),
	T_CASE(yolov2_against_loops),
	T_CASE(nothing_to_see),
	T_CASE(region_is_turned_and_squashed),
	T_CASE(region_loss_against_its_definition),
	T_CASE(region_loss_refuses),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
