/*
 * test_losses.c - Softmax and the loss layers, held against plain loops in double precision; labels out of range; ignored
 * labels; every normalisation.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 40000

static double prob[MOST];
static real want[MOST];

/* (outer, classes, inner) of bottom 0 around an axis. */
struct around {
	int64_t outer, classes, inner;
};

static struct around around(const struct layer_test *x, int axis)
{
	const struct moka_shape *s = &x->bottom_ref[0].shape;

	return (struct around){ moka_shape_count_range(s, 0, axis), s->d[axis],
				moka_shape_count_range(s, axis + 1, s->n) };
}

static void plain_softmax(const struct layer_test *x, const struct around *r)
{
	const real *v = x->bottom_values[0];

	for (int64_t o = 0; o < r->outer; o++)
		for (int64_t i = 0; i < r->inner; i++) {
			double sum = 0;

			for (int64_t c = 0; c < r->classes; c++)
				sum += exp((double)v[(o * r->classes + c) * r->inner + i]);
			for (int64_t c = 0; c < r->classes; c++)
				prob[(o * r->classes + c) * r->inner + i] =
					exp((double)v[(o * r->classes + c) * r->inner + i]) / sum;
		}
}

/* ---- Softmax ------------------------------------------------------------------------------------------- */

static void check_softmax(const char *top, int axis, const char *shape, int threads)
{
	char text[160];
	struct layer_test *x;
	struct around r;

	snprintf(text, sizeof(text), "layer { type: 'Softmax' bottom: 'x' top: '%s' softmax_param { axis: %d } }", top,
		 axis);
	x = lt_open_threads(text, MOKA_TEST, shape, threads);
	LT_SHAPE(x, 0, shape);
	r = around(x, axis < 0 ? axis + x->bottom_ref[0].shape.n : axis);
	plain_softmax(x, &r);
	lt_forward(x);
	for (int64_t i = 0; i < x->top[0].count; i++)
		want[i] = (real)prob[i];
	T_NEAR(x->top[0].data, want, x->top[0].count, 1e-5, 1e-7);
	lt_random_top_diffs(x, 4);
	for (int64_t o = 0; o < r.outer; o++)
		for (int64_t i = 0; i < r.inner; i++) {
			double dot = 0;

			for (int64_t c = 0; c < r.classes; c++) {
				const int64_t at = (o * r.classes + c) * r.inner + i;
				dot += prob[at] * (double)x->top[0].diff[at];
			}
			for (int64_t c = 0; c < r.classes; c++) {
				const int64_t at = (o * r.classes + c) * r.inner + i;
				want[at] = (real)(prob[at] * ((double)x->top[0].diff[at] - dot));
			}
		}
	lt_backward(x);
	T_NEAR(x->bottom[0].diff, want, x->top[0].count, 1e-4, 1e-6);
	lt_free(x);
}

T_TEST(softmax_against_loops)
{
	for (int threads = 1; threads < 4; threads += 2) {
		check_softmax("y", 1, "5x11", threads);
		check_softmax("x", 1, "5x11", threads);
		check_softmax("y", 1, "2x4x7x19", threads);
		check_softmax("x", 1, "2x4x7x19", threads);
		check_softmax("y", -1, "3x2x5", threads);
		check_softmax("y", 0, "7x3", threads);
		check_softmax("y", 1, "1x1", threads);
		check_softmax("y", 1, "0x5x3", threads);
		check_softmax("y", 1, "3x5x0", threads);
		check_softmax("y", 1, "3x0", threads);
		check_softmax("y", 1, "30x1000", threads);
		check_softmax("y", 1, "3x7x1500", threads);
	}
}

T_TEST(softmax_of_large_scores)
{
	struct layer_test *x = lt_open("layer { type: 'Softmax' bottom: 'x' top: 'y' }", MOKA_TEST, "1x3");
	const real in[] = { -1000, 1000, 1001 }, out[] = { 0, (real)0.26894142, (real)0.73105858 };

	lt_set(x, 0, in);
	lt_forward(x);
	T_NEAR(x->top[0].data, out, 3, 1e-5, 1e-7);
	lt_free(x);
	x = lt_open("layer { type: 'Softmax' bottom: 'x' top: 'y' }", MOKA_TEST, "1x3x2"); /* across rows */
	for (int i = 0; i < 6; i++)
		x->bottom_values[0][i] = in[i / 2];
	lt_forward(x);
	for (int i = 0; i < 6; i++)
		T_NEAR(&x->top[0].data[i], &out[i / 2], 1, 1e-5, 1e-7);
	lt_free(x);
}

T_TEST(softmax_axes)
{
	struct layer_test *x = lt_shape("layer { type: 'Softmax' bottom: 'x' top: 'y' }", MOKA_TEST, "?x?");

	LT_SHAPE(x, 0, "?x?");
	lt_free(x);
	LT_REFUSED("layer { type: 'Softmax' bottom: 'x' top: 'y' softmax_param { axis: 4 } }", "2x3",
		   "axis 4 is outside");
	LT_REFUSED("layer { type: 'Softmax' bottom: 'x' top: 'y' }", "5", "axis 1 is outside");
	LT_REFUSED("layer { type: 'Softmax' bottom: 'x' top: 'y' }", "scalar", "axis 1 is outside");
}

/* ---- SoftmaxWithLoss, InfogainLoss -------------------------------------------------------------------------- */

enum norm { FULL, VALID, BATCH_SIZE, NONE };

struct labelled {
	const char *param, *bottoms;
	int axis, ignore; /* ignore -1: none */
	enum norm norm;
};

/* clang-format off */
static const struct labelled labelled[] = {
	{ "", "6x5 6:i5", 1, -1, VALID },
	{ "", "2x5x3x4 2x1x3x4:i5", 1, -1, VALID },
	{ "loss_param { ignore_label: 2 }", "2x5x3x4 2x3x4:i5", 1, 2, VALID },
	{ "loss_param { ignore_label: 2 normalization: FULL }", "2x5x3x4 2x3x4:i5", 1, 2, FULL },
	{ "loss_param { ignore_label: 2 normalization: BATCH_SIZE }", "2x5x3x4 2x3x4:i5", 1, 2, BATCH_SIZE },
	{ "loss_param { ignore_label: 2 normalization: NONE }", "2x5x3x4 2x3x4:i5", 1, 2, NONE },
	{ "loss_param { ignore_label: 0 }", "3x4 3:z", 1, 0, VALID }, /* nothing counts */
	{ "", "0x5 0", 1, -1, VALID },
	{ "", "300x70 300:i70", 1, -1, VALID },
};
/* clang-format on */

static double divisor(const struct labelled *r, const struct around *a, int64_t valid)
{
	const double n = r->norm == FULL	 ? (double)(a->outer * a->inner)
			 : r->norm == VALID	 ? (double)valid
			 : r->norm == BATCH_SIZE ? (double)a->outer
						 : 1;

	return n > 1 ? n : 1;
}

/* Loss and gradient with the matrix h (NULL: the unit matrix), in double. */
static double plain_loss(const struct layer_test *x, const struct labelled *r, const struct around *a, const real *h,
			 double weight)
{
	double loss = 0, by;
	int64_t valid = 0;

	for (int64_t p = 0; p < a->outer * a->inner; p++)
		valid += (int)x->bottom_values[1][p] != r->ignore;
	by = divisor(r, a, valid);
	for (int64_t p = 0; p < a->outer * a->inner; p++) {
		const int label = (int)x->bottom_values[1][p];
		double row = 0;

		for (int64_t c = 0; c < a->classes; c++)
			row += h ? (double)h[label * a->classes + c] : c == label;
		for (int64_t c = 0; c < a->classes; c++) {
			const int64_t at = (p / a->inner * a->classes + c) * a->inner + p % a->inner;
			const double cost = h ? (double)h[label * a->classes + c] : c == label;

			want[at] = 0;
			if (label == r->ignore)
				continue;
			loss -= cost * log(prob[at]);
			want[at] = (real)((prob[at] * row - cost) * weight / by);
		}
	}
	return loss / by;
}

static void check_labelled(const char *type, const struct labelled *r, int threads)
{
	const bool infogain = !strcmp(type, "InfogainLoss");
	char text[256], bottoms[96];
	struct layer_test *x;
	struct around a;
	real loss;

	snprintf(text, sizeof(text), "layer { type: '%s' bottom: 'x' bottom: 't' %s top: 'loss' top: 'prob' %s }", type,
		 infogain ? "bottom: 'H'" : "", r->param);
	snprintf(bottoms, sizeof(bottoms), "%s%s", r->bottoms,
		 infogain ? strstr(r->bottoms, "70")	 ? " 70x70"
			    : strstr(r->bottoms, "x4 3") ? " 4x4"
							 : " 5x5"
			  : "");
	x = lt_open_threads(text, MOKA_TEST, bottoms, threads);
	LT_SHAPE(x, 0, "scalar");
	T_TRUE(moka_shape_equal(&x->top_ref[1].shape, &x->bottom_ref[0].shape));
	a = around(x, r->axis);
	plain_softmax(x, &a);
	loss = (real)plain_loss(x, r, &a, infogain ? x->bottom_values[2] : NULL, 0.3);
	lt_forward(x);
	T_NEAR(x->top[0].data, &loss, 1, 1e-5, 1e-6);
	lt_random_top_diffs(x, 3);
	x->top[0].diff[0] = (real)0.3;
	lt_backward(x);
	T_NEAR(x->bottom[0].diff, want, x->bottom[0].count, 1e-4, 1e-6);
	for (int64_t i = 0; i < x->bottom[0].count; i++)
		want[i] = (real)prob[i];
	T_NEAR(x->top[1].data, want, x->bottom[0].count, 1e-5, 1e-7);
	lt_free(x);
}

T_TEST(softmax_loss_against_loops)
{
	for (size_t i = 0; i < MOKA_COUNT(labelled); i++)
		for (int threads = 1; threads < 4; threads += 2)
			check_labelled("SoftmaxWithLoss", &labelled[i], threads);
}

T_TEST(infogain_loss_against_loops)
{
	for (size_t i = 0; i < MOKA_COUNT(labelled); i++)
		for (int threads = 1; threads < 4; threads += 2)
			check_labelled("InfogainLoss", &labelled[i], threads);
}

T_TEST(normalize_is_the_old_word)
{
	const struct labelled by_batch = { "loss_param { normalize: false }", "2x5x3x4 2x3x4:i5", 1, -1, BATCH_SIZE };
	const struct labelled by_valid = { "loss_param { normalize: true ignore_label: 1 }", "2x5x3x4 2x3x4:i5", 1, 1,
					   VALID };
	const struct labelled newer = { "loss_param { normalize: false normalization: NONE }", "2x5x3x4 2x3x4:i5", 1,
					-1, NONE };

	check_labelled("SoftmaxWithLoss", &by_batch, 1);
	check_labelled("SoftmaxWithLoss", &by_valid, 1);
	check_labelled("SoftmaxWithLoss", &newer, 1);
	LT_REFUSED(
		"layer { type: 'InfogainLoss' bottom: 'x' bottom: 't' bottom: 'h' top: 'l' loss_param { normalize: true } }",
		"2x3 2:i3 3x3", "normalization: VALID");
}

T_TEST(loss_on_another_axis)
{
	const struct labelled last = { "softmax_param { axis: -1 }", "2x3x5 2x3:i5", 2, -1, VALID };
	const struct labelled infogain = { "infogain_loss_param { axis: 2 }", "2x3x5 2x3:i5", 2, -1, VALID };

	check_labelled("SoftmaxWithLoss", &last, 1);
	check_labelled("InfogainLoss", &infogain, 1);
}

/* The matrix from a file: a BlobProto with legacy sizes and four floats. */
T_TEST(infogain_matrix_from_a_file)
{
	static const uint8_t head[] = { 0x08, 1, 0x10, 1, 0x18, 2, 0x20, 2, 0x2a, 16 };
	const float h[] = { 1, 0.5f, 0.25f, 2 };
	char path[300], text[600];
	uint8_t bytes[sizeof(head) + sizeof(h)];
	struct moka_error err = { 0 };
	struct layer_test *x;
	const real in[] = { 1, 2 }, label = 1;
	real loss;

	memcpy(bytes, head, sizeof(head));
	memcpy(bytes + sizeof(head), h, sizeof(h));
	snprintf(path, sizeof(path), "%s/h.binaryproto", t_tmp());
	T_OK(moka_file_write(path, bytes, sizeof(bytes), &err), &err);
	snprintf(text, sizeof(text),
		 "layer { type: 'InfogainLoss' bottom: 'x' bottom: 't' top: 'l' infogain_loss_param { source: '%s' } }",
		 path);
	x = lt_open(text, MOKA_TEST, "1x2 1:z");
	lt_set(x, 0, in);
	lt_set(x, 1, &label);
	lt_forward(x);
	loss = (real)(-0.25 * log(1 / (1 + exp(1))) - 2 * log(1 / (1 + exp(-1))));
	T_NEAR(x->top[0].data, &loss, 1, 1e-5, 1e-6);
	lt_free(x);
	LT_REFUSED(text, "1x3 1", "has 4 values, but 3 classes want 3 x 3");
	LT_REFUSED("layer { type: 'InfogainLoss' bottom: 'x' bottom: 't' top: 'l' }", "1x3 1", "no matrix");
}

/* Where a net is only explained a matrix that isn't there is no error. */
T_TEST(infogain_matrix_that_is_not_there)
{
	const char *text =
		"layer { type: 'InfogainLoss' bottom: 'x' bottom: 't' top: 'l' infogain_loss_param { source: 'nowhere.binaryproto' } }";
	struct layer_test *x = lt_open(text, MOKA_TEST, "1x2 1:z");

	T_INT(x->findings.errors, 0);
	T_INT(x->findings.warnings, 1);
	T_HAS(x->findings.items[0].message, "nowhere.binaryproto");
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "its matrix could not be read");
	lt_free(x);
}

/* ---- labels out of range ------------------------------------------------------------------------------------------ */

struct bad_label {
	const char *layer, *bottoms;
	real label;
	const char *message, *hint;
};

/* clang-format off */
/* The label goes to place 2. */
static const struct bad_label bad_labels[] = {
	{ "layer { type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }", "4x5 4:z", -3,
	  "label -3 in blob 'label', sample 2, is not one of the classes 0 to 4 of 'ip'", "loss_param { ignore_label: -3 }" },
	{ "layer { type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }", "4x5 4:z", 5,
	  "label 5 in blob 'label', sample 2, is not", "num_output" },
	{ "layer { type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }", "2x5x2 2x2:z", 7,
	  "label 7 in blob 'label', sample 1, place 0, is not", "num_output" },
	{ "layer { type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' loss_param { ignore_label: 255 } }", "4x5 4:z", 254,
	  "label 254", "num_output" },
	{ "layer { type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }", "4x5 4:z", (real)NAN, "label nan", "correct the data" },
	{ "layer { type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }", "4x5 4:z", (real)1e30, "label 1e+30", "num_output" },
	{ "layer { type: 'InfogainLoss' bottom: 'ip' bottom: 'label' bottom: 'h' top: 'loss' }", "4x5 4:z 5x5", -1, "label -1", "loss_param" },
	{ "layer { type: 'HingeLoss' bottom: 'ip' bottom: 'label' top: 'loss' }", "4x5 4:z", -3, "label -3", "correct the data" },
	{ "layer { type: 'MultinomialLogisticLoss' bottom: 'ip' bottom: 'label' top: 'loss' }", "4x5:u 4:z", 5, "label 5", "num_output" },
	{ "layer { type: 'Accuracy' bottom: 'ip' bottom: 'label' top: 'loss' }", "4x5 4:z", -3, "label -3",
	  "accuracy_param { ignore_label: -3 }" },
};
/* clang-format on */

T_TEST(labels_out_of_range_are_named)
{
	for (size_t i = 0; i < MOKA_COUNT(bad_labels); i++) {
		const struct bad_label *b = &bad_labels[i];
		struct layer_test *x = lt_open(b->layer, MOKA_TEST, b->bottoms);

		x->bottom_values[1][2] = b->label;
		T_INT(lt_try_forward(x), MOKA_ERR_DATA);
		T_HAS(x->err.message, b->message);
		T_HAS(x->err.hint, b->hint);
		lt_free(x);
	}
}

T_TEST(an_ignored_label_may_be_out_of_range)
{
	struct layer_test *x = lt_open(
		"layer { type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' loss_param { ignore_label: -3 } }",
		MOKA_TEST, "4x5 4:z");

	x->bottom_values[1][2] = -3;
	lt_forward(x);
	x->top[0].diff[0] = 1;
	lt_backward(x);
	for (int c = 0; c < 5; c++)
		T_TRUE(x->bottom[0].diff[2 * 5 + c] == 0);
	lt_free(x);
}

T_TEST(shapes_that_do_not_fit)
{
	LT_REFUSED("layer { type: 'SoftmaxWithLoss' bottom: 'x' bottom: 't' top: 'l' }", "4x5 3:i5",
		   "the batch, must be equal");
	LT_REFUSED("layer { type: 'SoftmaxWithLoss' bottom: 'x' bottom: 't' top: 'l' }", "4x5x2 4:i5",
		   "4 x 2 places want one label each");
	LT_REFUSED("layer { type: 'SoftmaxWithLoss' bottom: 'x' bottom: 't' top: 'l' }", "4x5 scalar",
		   "is a single number");
	LT_REFUSED("layer { type: 'SoftmaxWithLoss' bottom: 'x' bottom: 't' top: 'l' softmax_param { axis: 9 } }",
		   "4x5 4", "axis 9 is outside");
	LT_REFUSED("layer { type: 'EuclideanLoss' bottom: 'x' bottom: 't' top: 'l' }", "4x5 4x6",
		   "5 values a sample against 6");
	LT_REFUSED("layer { type: 'SigmoidCrossEntropyLoss' bottom: 'x' bottom: 't' top: 'l' }", "4x5 4x6",
		   "there are 24");
	LT_REFUSED("layer { type: 'HingeLoss' bottom: 'x' bottom: 't' top: 'l' }", "4x5 4x0", "one label a sample");
	LT_REFUSED("layer { type: 'MultinomialLogisticLoss' bottom: 'x' bottom: 't' top: 'l' }", "4x5 4x2",
		   "one label a sample");
	LT_REFUSED("layer { type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' top: 'l' }", "4x5 4x6 4",
		   "vectors of one length");
	LT_REFUSED("layer { type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' top: 'l' }", "4x5x2 4x5x2 4",
		   "one vector a sample");
	LT_REFUSED("layer { type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' top: 'l' }", "4x5 4x5 4x2",
		   "one number a pair");
	LT_REFUSED("layer { type: 'InfogainLoss' bottom: 'x' bottom: 't' bottom: 'h' top: 'l' }", "4x5 4:i5 4x5",
		   "5 classes want 5 x 5");
}

T_TEST(losses_cope_with_unknown_shapes)
{
	static const char *const types[] = { "SoftmaxWithLoss", "EuclideanLoss", "SigmoidCrossEntropyLoss", "HingeLoss",
					     "MultinomialLogisticLoss" };
	static const char *const bottoms[] = { "? ?", "?x5 ?", "4x? 4", "4x5 ?" };
	char text[128];

	for (size_t i = 0; i < MOKA_COUNT(types); i++)
		for (size_t k = 0; k < MOKA_COUNT(bottoms); k++) {
			struct layer_test *x;

			snprintf(text, sizeof(text), "layer { type: '%s' bottom: 'x' bottom: 't' top: 'l' }", types[i]);
			x = lt_shape(text, MOKA_TEST, bottoms[k]);
			LT_SHAPE(x, 0, "scalar");
			lt_free(x);
		}
}

/* ---- the other losses ------------------------------------------------------------------------------------------------ */

static struct layer_test *run_loss(const char *text, const char *bottoms, int threads)
{
	struct layer_test *x = lt_open_threads(text, MOKA_TEST, bottoms, threads);

	LT_SHAPE(x, 0, "scalar");
	lt_forward(x);
	x->top[0].diff[0] = (real)0.3;
	lt_backward(x);
	return x;
}

T_TEST(euclidean_loss_against_loops)
{
	static const char *const at[] = { "2x4x7x9 2x4x7x9", "3 3", "0x5 0x5", "2x15 2x3x5", "70x300 70x300" };

	for (int k = 0; k < 10; k++) {
		struct layer_test *x = run_loss("layer { type: 'EuclideanLoss' bottom: 'a' bottom: 'b' top: 'l' }",
						at[k / 2], k % 2 ? 3 : 1);
		const double num = fmax((double)x->bottom_ref[0].shape.d[0], 1);
		double sum = 0;
		real loss;

		for (int64_t i = 0; i < x->bottom[0].count; i++) {
			const double d = (double)x->bottom_values[0][i] - (double)x->bottom_values[1][i];

			sum += d * d;
			want[i] = (real)(0.3 * d / num);
		}
		loss = (real)(sum / num / 2);
		T_NEAR(x->top[0].data, &loss, 1, 1e-5, 0);
		T_NEAR(x->bottom[0].diff, want, x->bottom[0].count, 1e-5, 1e-6);
		for (int64_t i = 0; i < x->bottom[0].count; i++)
			want[i] = -want[i];
		T_NEAR(x->bottom[1].diff, want, x->bottom[1].count, 1e-5, 1e-6);
		lt_free(x);
	}
}

static void check_cross_entropy(const char *param, const char *bottoms, int ignore, enum norm norm, int threads)
{
	char text[256];
	struct layer_test *x;
	double sum = 0, by;
	int64_t valid = 0;
	real loss;

	snprintf(text, sizeof(text), "layer { type: 'SigmoidCrossEntropyLoss' bottom: 'x' bottom: 't' top: 'l' %s }",
		 param);
	x = run_loss(text, bottoms, threads);
	for (int64_t i = 0; i < x->bottom[0].count; i++)
		valid += (int)x->bottom_values[1][i] != ignore;
	by = norm == FULL	  ? (double)x->bottom[0].count
	     : norm == VALID	  ? (double)valid
	     : norm == BATCH_SIZE ? (double)x->bottom_ref[0].shape.d[0]
				  : 1;
	by = fmax(by, 1);
	for (int64_t i = 0; i < x->bottom[0].count; i++) {
		const double v = (double)x->bottom_values[0][i], t = (double)x->bottom_values[1][i],
			     p = 1 / (1 + exp(-v));
		const bool out = (int)t == ignore;

		sum -= out ? 0 : t * log(p) + (1 - t) * log(1 - p);
		want[i] = out ? 0 : (real)(0.3 * (p - t) / by);
	}
	loss = (real)(sum / by);
	T_NEAR(x->top[0].data, &loss, 1, 1e-5, 1e-6);
	T_NEAR(x->bottom[0].diff, want, x->bottom[0].count, 1e-5, 1e-6);
	lt_free(x);
}

T_TEST(sigmoid_cross_entropy_against_loops)
{
	for (int threads = 1; threads < 4; threads += 2) {
		check_cross_entropy("", "4x6 4x6:u", -1, BATCH_SIZE, threads);
		check_cross_entropy("", "4x2x3 4x6:s", -1, BATCH_SIZE, threads);
		check_cross_entropy("loss_param { normalization: VALID ignore_label: 1 }", "4x6 4x6:s", 1, VALID,
				    threads);
		check_cross_entropy("loss_param { normalization: FULL ignore_label: 1 }", "4x6 4x6:s", 1, FULL,
				    threads);
		check_cross_entropy("loss_param { normalization: NONE }", "4x6 4x6:s", -1, NONE, threads);
		check_cross_entropy("loss_param { normalize: true ignore_label: 1 }", "4x6 4x6:s", 1, VALID, threads);
		check_cross_entropy("loss_param { normalize: false }", "4x6 4x6:s", -1, BATCH_SIZE, threads);
		check_cross_entropy("loss_param { ignore_label: 1 }", "4x6 4x6:s", 1, BATCH_SIZE, threads);
		check_cross_entropy("", "0x6 0x6", -1, BATCH_SIZE, threads);
		check_cross_entropy("", "100x300 100x300:s", -1, BATCH_SIZE, threads);
	}
}

T_TEST(sigmoid_cross_entropy_of_large_scores)
{
	struct layer_test *x = lt_open("layer { type: 'SigmoidCrossEntropyLoss' bottom: 'x' bottom: 't' top: 'l' }",
				       MOKA_TEST, "1x2 1x2:s");
	const real in[] = { 200, -200 }, t[] = { 0, 1 }, loss = 400;

	lt_set(x, 0, in);
	lt_set(x, 1, t);
	lt_forward(x);
	T_NEAR(x->top[0].data, &loss, 1, 1e-6, 0);
	lt_free(x);
}

static void check_hinge(int norm, const char *bottoms, int threads)
{
	char text[160];
	struct layer_test *x;
	int64_t num, dim;
	double sum = 0;
	real loss;

	snprintf(text, sizeof(text),
		 "layer { type: 'HingeLoss' bottom: 'x' bottom: 't' top: 'l' hinge_loss_param { norm: L%d } }", norm);
	x = run_loss(text, bottoms, threads);
	num = x->bottom_ref[0].shape.d[0];
	dim = num ? x->bottom[0].count / num : 0;
	for (int64_t i = 0; i < x->bottom[0].count; i++) {
		const double s = (int)x->bottom_values[1][i / dim] == i % dim ? -1 : 1,
			     h = fmax(0, 1 + s * (double)x->bottom_values[0][i]);

		sum += norm == 1 ? h : h * h;
		want[i] = (real)((norm == 1 ? (h > 0 ? s : 0) : 2 * h * s) * 0.3 / (double)num);
	}
	loss = (real)(sum / fmax((double)num, 1));
	T_NEAR(x->top[0].data, &loss, 1, 1e-5, 1e-6);
	T_NEAR(x->bottom[0].diff, want, x->bottom[0].count, 1e-5, 1e-7);
	lt_free(x);
}

T_TEST(hinge_loss_against_loops)
{
	for (int k = 0; k < 4; k++) {
		check_hinge(1 + k / 2, "6x5 6:i5", k % 2 ? 3 : 1);
		check_hinge(1 + k / 2, "3x2x2 3x1:i4", k % 2 ? 3 : 1);
		check_hinge(1 + k / 2, "0x5 0", k % 2 ? 3 : 1);
		check_hinge(1 + k / 2, "300x110 300:i110", k % 2 ? 3 : 1);
	}
}

T_TEST(multinomial_logistic_loss_against_loops)
{
	static const char *const at[] = { "6x5:u 6:i5", "0x5 0", "2x2x3:u 2x1x1x1:i6" };

	for (size_t k = 0; k < MOKA_COUNT(at); k++) {
		struct layer_test *x = run_loss(
			"layer { type: 'MultinomialLogisticLoss' bottom: 'x' bottom: 't' top: 'l' }", at[k], 1);
		const int64_t num = x->bottom_ref[0].shape.d[0], dim = num ? x->bottom[0].count / num : 0;
		double sum = 0;
		real loss;

		memset(want, 0, sizeof(want));
		for (int64_t i = 0; i < num; i++) {
			const int64_t label = i * dim + (int)x->bottom_values[1][i];

			sum -= log((double)x->bottom_values[0][label]);
			want[label] = (real)(-0.3 / (double)x->bottom_values[0][label] / (double)num);
		}
		loss = (real)(sum / fmax((double)num, 1));
		T_NEAR(x->top[0].data, &loss, 1, 1e-5, 1e-6);
		T_NEAR(x->bottom[0].diff, want, x->bottom[0].count, 1e-5, 1e-7);
		lt_free(x);
	}
}

T_TEST(a_probability_of_0_has_a_floor)
{
	struct layer_test *x = lt_open("layer { type: 'MultinomialLogisticLoss' bottom: 'x' bottom: 't' top: 'l' }",
				       MOKA_TEST, "1x2:z 1:z");
	const real loss = (real)-log(1e-20);

	lt_forward(x);
	T_NEAR(x->top[0].data, &loss, 1, 1e-5, 0);
	lt_free(x);
}

static void check_contrastive(bool legacy, double margin, const char *bottoms)
{
	char text[256];
	struct layer_test *x;
	int64_t num, dim;
	double sum = 0;
	real loss;

	snprintf(
		text, sizeof(text),
		"layer { type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' top: 'l' contrastive_loss_param { "
		"margin: %g legacy_version: %s } }",
		margin, legacy ? "true" : "false");
	x = run_loss(text, bottoms, 1);
	num = x->bottom_ref[0].shape.d[0];
	dim = num ? x->bottom[0].count / num : 0;
	for (int64_t i = 0; i < num; i++) {
		double d2 = 0, factor, rest;

		for (int64_t k = 0; k < dim; k++)
			d2 += pow((double)x->bottom_values[0][i * dim + k] - (double)x->bottom_values[1][i * dim + k],
				  2);
		rest = fmax(0, margin - (legacy ? d2 : sqrt(d2)));
		if (x->bottom_values[2][i] != 0) {
			sum += d2;
			factor = 1;
		} else {
			sum += legacy ? rest : rest * rest;
			factor = legacy ? -(rest > 0) : -rest / (sqrt(d2) + 1e-4);
		}
		for (int64_t k = 0; k < dim; k++)
			want[i * dim + k] = (real)(0.3 / (double)num * factor *
						   ((double)x->bottom_values[0][i * dim + k] -
						    (double)x->bottom_values[1][i * dim + k]));
	}
	loss = (real)(sum / fmax((double)num, 1) / 2);
	T_NEAR(x->top[0].data, &loss, 1, 1e-5, 1e-6);
	T_NEAR(x->bottom[0].diff, want, x->bottom[0].count, 1e-4, 1e-6);
	for (int64_t i = 0; i < x->bottom[0].count; i++)
		want[i] = -want[i];
	T_NEAR(x->bottom[1].diff, want, x->bottom[1].count, 1e-4, 1e-6);
	lt_free(x);
}

T_TEST(contrastive_loss_against_loops)
{
	for (int legacy = 0; legacy < 2; legacy++) {
		check_contrastive(legacy, 2, "16x5 16x5 16:s");
		check_contrastive(legacy, 4, "16x5x1x1 16x5x1x1 16x1x1x1:s");
		check_contrastive(legacy, 1, "1x1 1x1 1:z");
		check_contrastive(legacy, 1, "0x3 0x3 0");
	}
}

T_TEST(contrastive_gradient_of_equal_vectors_is_finite)
{
	struct layer_test *x = run_loss(
		"layer { type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' top: 'l' }", "2x3:z 2x3:z 2:z", 1);

	for (int i = 0; i < 6; i++)
		T_TRUE(x->bottom[0].diff[i] == 0);
	lt_free(x);
}

static const struct CMUnitTest tests[] = {
	T_CASE(softmax_against_loops),
	T_CASE(softmax_of_large_scores),
	T_CASE(softmax_axes),
	T_CASE(softmax_loss_against_loops),
	T_CASE(infogain_loss_against_loops),
	T_CASE(normalize_is_the_old_word),
	T_CASE(loss_on_another_axis),
	T_CASE(infogain_matrix_from_a_file),
	T_CASE(infogain_matrix_that_is_not_there),
	T_CASE(labels_out_of_range_are_named),
	T_CASE(an_ignored_label_may_be_out_of_range),
	T_CASE(shapes_that_do_not_fit),
	T_CASE(losses_cope_with_unknown_shapes),
	T_CASE(euclidean_loss_against_loops),
	T_CASE(sigmoid_cross_entropy_against_loops),
	T_CASE(sigmoid_cross_entropy_of_large_scores),
	T_CASE(hinge_loss_against_loops),
	T_CASE(multinomial_logistic_loss_against_loops),
	T_CASE(a_probability_of_0_has_a_floor),
	T_CASE(contrastive_loss_against_loops),
	T_CASE(contrastive_gradient_of_equal_vectors_is_finite),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
