/*
 * test_argmax.c - Accuracy and ArgMax, held against plain loops and a plain sort.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>

/* ---- Accuracy ----------------------------------------------------------------------------------------- */

struct accuracy_row {
	const char *param, *bottoms;
	int axis, top_k, ignore; /* ignore -1: none */
};

static const struct accuracy_row accuracy_rows[] = {
	{ "", "6x5 6:i5", 1, 1, -1 },
	{ "accuracy_param { top_k: 3 }", "40x5 40:i5", 1, 3, -1 },
	{ "accuracy_param { top_k: 5 }", "40x5 40:i5", 1, 5, -1 },
	{ "accuracy_param { ignore_label: 2 }", "40x5 40:i5", 1, 1, 2 },
	{ "accuracy_param { top_k: 2 ignore_label: 0 }", "3x4x5x6 3x1x5x6:i4", 1, 2, 0 },
	{ "accuracy_param { axis: -1 }", "3x4x5 3x4:i5", 2, 1, -1 },
	{ "accuracy_param { ignore_label: 0 }", "4x3 4:z", 1, 1, 0 },
	{ "", "0x5 0", 1, 1, -1 },
	{ "", "900x70 900:i70", 1, 1, -1 },
};

static void check_accuracy(const struct accuracy_row *r, int threads)
{
	char text[200];
	struct layer_test *x;
	const struct moka_shape *s;
	int64_t classes, inner, n, seen[128] = { 0 }, right[128] = { 0 }, all = 0, hits = 0;
	real share;

	snprintf(text, sizeof(text), "layer { type: 'Accuracy' bottom: 'x' bottom: 't' top: 'y' top: 'per' %s }",
		 r->param);
	x = lt_open_threads(text, MOKA_TEST, r->bottoms, threads);
	s = &x->bottom_ref[0].shape;
	classes = s->d[r->axis];
	inner = moka_shape_count_range(s, r->axis + 1, s->n);
	n = moka_shape_count_range(s, 0, r->axis) * inner;
	for (int64_t p = 0; p < n; p++) {
		const real *v = x->bottom_values[0] + p / inner * classes * inner + p % inner;
		const int label = (int)x->bottom_values[1][p];
		int above = 0;

		if (label == r->ignore)
			continue;
		for (int64_t c = 0; c < classes; c++)
			above += v[c * inner] > v[label * inner];
		all++;
		seen[label]++;
		hits += above < r->top_k;
		right[label] += above < r->top_k;
	}
	lt_forward(x);
	LT_SHAPE(x, 0, "scalar");
	T_INT(x->top[1].count, classes);
	share = all ? (real)((double)hits / (double)all) : 0;
	T_NEAR(x->top[0].data, &share, 1, 1e-6, 0);
	for (int64_t c = 0; c < classes; c++) {
		share = seen[c] ? (real)((double)right[c] / (double)seen[c]) : 0;
		T_NEAR(&x->top[1].data[c], &share, 1, 1e-6, 0);
	}
	lt_free(x);
}

T_TEST(accuracy_against_loops)
{
	for (size_t i = 0; i < MOKA_COUNT(accuracy_rows); i++)
		for (int threads = 1; threads < 4; threads += 2)
			check_accuracy(&accuracy_rows[i], threads);
}

/* Equal scores and scores that are no numbers don't count as right. */
T_TEST(accuracy_is_not_flattered)
{
	struct layer_test *x =
		lt_open("layer { type: 'Accuracy' bottom: 'x' bottom: 't' top: 'y' }", MOKA_TEST, "3x2:z 3:z");

	lt_forward(x);
	T_TRUE(x->top[0].data[0] == 0);
	for (int i = 0; i < 6; i++)
		x->bottom_values[0][i] = (real)NAN;
	lt_forward(x);
	T_TRUE(x->top[0].data[0] == 0);
	lt_free(x);
}

T_TEST(accuracy_shapes)
{
	struct layer_test *x =
		lt_shape("layer { type: 'Accuracy' bottom: 'x' bottom: 't' top: 'y' top: 'per' }", MOKA_TEST, "?x7 ?");

	LT_SHAPE(x, 0, "scalar");
	LT_SHAPE(x, 1, "7");
	lt_free(x);
	x = lt_shape("layer { type: 'Accuracy' bottom: 'x' bottom: 't' top: 'y' top: 'per' }", MOKA_TEST, "? ?");
	LT_SHAPE(x, 1, "?");
	lt_free(x);
	LT_REFUSED("layer { type: 'Accuracy' bottom: 'x' bottom: 't' top: 'y' accuracy_param { top_k: 6 } }", "3x5 3",
		   "top_k is 6, but bottom 'x' has 5 classes");
	LT_REFUSED("layer { type: 'Accuracy' bottom: 'x' bottom: 't' top: 'y' }", "3x5 4",
		   "3 x 1 places want one label each");
	LT_REFUSED("layer { type: 'Accuracy' bottom: 'x' bottom: 't' top: 'y' accuracy_param { axis: 2 } }", "3x5 3",
		   "axis 2 is outside");
}

/* ---- ArgMax ---------------------------------------------------------------------------------------------- */

struct entry {
	real value;
	int64_t index;
};

static int by_rank(const void *a, const void *b)
{
	const struct entry *p = a, *q = b;

	if (p->value != q->value)
		return p->value > q->value ? -1 : 1;
	return p->index > q->index ? -1 : p->index < q->index;
}

struct argmax_row {
	const char *param, *bottom, *top;
	int axis, k; /* axis -1: none */
	bool values;
};

/* clang-format off */
static const struct argmax_row argmax_rows[] = {
	{ "", "2x4x7x9", "2x1x1x1", -1, 1, false },
	{ "argmax_param { top_k: 3 out_max_val: true }", "5x11", "5x2x3", -1, 3, true },
	{ "argmax_param { axis: 1 top_k: 2 }", "2x4x7x9", "2x2x7x9", 1, 2, false },
	{ "argmax_param { axis: 1 top_k: 4 out_max_val: true }", "2x4x7x9", "2x4x7x9", 1, 4, true },
	{ "argmax_param { axis: -1 }", "3x17", "3x1", 1, 1, false },
	{ "argmax_param { axis: 0 top_k: 3 }", "7x2", "3x2", 0, 3, false },
	{ "argmax_param { top_k: 200 out_max_val: true }", "3x500:i20", "3x2x200", -1, 200, true }, /* with many ties */
	{ "argmax_param { top_k: 500 }", "2x500:i3", "2x1x500", -1, 500, false },
	{ "argmax_param { top_k: 2 }", "0x5", "0x1x2", -1, 2, false },
};
/* clang-format on */

static void check_argmax(const struct argmax_row *r, int threads)
{
	char text[200];
	struct layer_test *x;
	struct entry all[512];
	const struct moka_shape *s;
	int64_t dim, inner, rows;

	snprintf(text, sizeof(text), "layer { type: 'ArgMax' bottom: 'x' top: 'y' %s }", r->param);
	x = lt_open_threads(text, MOKA_TEST, r->bottom, threads);
	LT_SHAPE(x, 0, r->top);
	s = &x->bottom_ref[0].shape;
	dim = r->axis < 0 ? moka_shape_count_range(s, 1, s->n) : s->d[r->axis];
	inner = r->axis < 0 ? 1 : moka_shape_count_range(s, r->axis + 1, s->n);
	rows = dim ? x->bottom[0].count / dim : 0;
	lt_forward(x);
	for (int64_t row = 0; row < rows; row++) {
		for (int64_t i = 0; i < dim; i++)
			all[i] =
				(struct entry){ x->bottom_values[0][(row / inner * dim + i) * inner + row % inner], i };
		qsort(all, (size_t)dim, sizeof(all[0]), by_rank);
		for (int64_t i = 0; i < r->k; i++) {
			const real *y = x->top[0].data;

			if (r->axis >= 0)
				T_TRUE(y[(row / inner * r->k + i) * inner + row % inner] ==
				       (r->values ? all[i].value : (real)all[i].index));
			else
				T_TRUE(y[row * r->k * (r->values ? 2 : 1) + i] == (real)all[i].index);
			if (r->axis < 0 && r->values)
				T_TRUE(y[row * r->k * 2 + r->k + i] == all[i].value);
		}
	}
	lt_free(x);
}

T_TEST(argmax_against_a_sort)
{
	for (size_t i = 0; i < MOKA_COUNT(argmax_rows); i++)
		for (int threads = 1; threads < 4; threads += 2)
			check_argmax(&argmax_rows[i], threads);
}

T_TEST(argmax_shapes)
{
	struct layer_test *x =
		lt_shape("layer { type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { axis: 1 } }", MOKA_TEST, "?x7x?");

	LT_SHAPE(x, 0, "?x1x?");
	lt_free(x);
	x = lt_shape("layer { type: 'ArgMax' bottom: 'x' top: 'y' }", MOKA_TEST, "?");
	LT_SHAPE(x, 0, "?");
	lt_free(x);
	LT_REFUSED("layer { type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { top_k: 0 } }", "3x5", "at least 1");
	LT_REFUSED("layer { type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { top_k: 6 } }", "3x5", "only 5 values");
	LT_REFUSED("layer { type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { top_k: 4 } }", "5", "only 1 values");
	LT_REFUSED("layer { type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { axis: 3 } }", "3x5",
		   "axis 3 is outside");
	LT_REFUSED("layer { type: 'ArgMax' bottom: 'x' top: 'y' }", "scalar", "a single number");
}

/* Values that are no numbers must not lead out of the arrays. */
T_TEST(argmax_of_nan)
{
	struct layer_test *x =
		lt_open("layer { type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { top_k: 3 } }", MOKA_TEST, "2x9");

	for (int i = 0; i < 18; i += 2)
		x->bottom_values[0][i] = (real)NAN;
	lt_forward(x);
	for (int i = 0; i < 6; i++)
		T_TRUE(x->top[0].data[i] >= 0 && x->top[0].data[i] < 9);
	lt_free(x);
}

static const struct CMUnitTest tests[] = {
	T_CASE(accuracy_against_loops), T_CASE(accuracy_is_not_flattered),
	T_CASE(accuracy_shapes),	T_CASE(argmax_against_a_sort),
	T_CASE(argmax_shapes),		T_CASE(argmax_of_nan),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
