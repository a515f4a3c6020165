/*
 * test_scale.c - where Scale's and Bias's factors lie, in place as well, and what they refuse.
 */
#include "layer_test.h"

#define SCALE(settings) "layer { type: 'Scale' bottom: 'x' top: 'y' scale_param { " settings " } }"
#define SCALE2(settings) "layer { type: 'Scale' bottom: 'x' bottom: 'f' top: 'y' scale_param { " settings " } }"
#define BIAS(settings) "layer { type: 'Bias' bottom: 'x' top: 'y' bias_param { " settings " } }"

static const struct {
	const char *text, *bottoms;
	const char *factor; /* its shape */
	int axis;	    /* of the bottom, where it begins */
} rows[] = {
	{ SCALE(""), "2x3x4", "3", 1 },
	{ SCALE("num_axes: -1"), "2x3x4", "3x4", 1 },
	{ SCALE("axis: 0 num_axes: 2"), "2x3x4", "2x3", 0 },
	{ SCALE("axis: -1"), "2x3x4", "4", 2 },
	{ SCALE("num_axes: 0"), "2x3x4", "scalar", 0 },
	{ SCALE("bias_term: true"), "2x3x4", "3", 1 },
	{ SCALE2("axis: 1"), "2x3x4 3x4", "3x4", 1 },
	{ SCALE2("axis: 0"), "2x3x4 2", "2", 0 },
	{ SCALE2(""), "2x3x4 scalar", "scalar", 0 },
};

T_TEST(factors)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = lt_open(rows[i].text, MOKA_TEST, rows[i].bottoms);
		const bool two = x->l.n_bottom > 1;
		struct moka_view *factor = two ? &x->bottom[1] : &x->param[0];
		real *values = two ? x->bottom_values[1] : factor->data;
		const int n = x->bottom[0].shape->n, end = rows[i].axis + factor->shape->n;
		const int64_t inner = moka_shape_count_range(x->bottom[0].shape, factor->shape->n ? end : n, n);
		const int64_t each = factor->shape->n ? inner : x->bottom[0].count;
		char buf[MOKA_SHAPE_TEXT];

		T_STR(moka_shape_text(factor->shape, buf, sizeof(buf)), rows[i].factor);
		for (int64_t k = 0; k < factor->count; k++) {
			if (!two)
				T_TRUE(values[k] == 1); /* the filler that isn't given */
			values[k] = (real)(k + 2);
		}
		for (int64_t k = 0; x->l.n_param > !two && k < factor->count; k++)
			x->param[x->l.n_param - 1].data[k] = (real)(10 * k);
		lt_forward(x);
		for (int64_t k = 0; k < x->top[0].count; k++) {
			const int64_t at = k / each % factor->count;
			const real want =
				x->bottom_values[0][k] * (real)(at + 2) + (real)(x->l.n_param > !two ? 10 * at : 0);

			T_NEAR(&x->top[0].data[k], &want, 1, 1e-6, 1e-6);
		}
		lt_free(x);
	}
}

T_TEST(in_place_is_the_same)
{
	struct layer_test *a = lt_open(SCALE("bias_term: true filler { type: 'gaussian' }"), MOKA_TRAIN, "2x3x4");
	struct layer_test *b = lt_open(
		"layer { type: 'Scale' bottom: 'x' top: 'x' scale_param { bias_term: true filler { type: 'gaussian' } } }",
		MOKA_TRAIN, "2x3x4");

	lt_forward(a);
	lt_forward(b);
	T_NEAR(b->top[0].data, a->top[0].data, a->top[0].count, 0, 0);
	lt_random_top_diffs(a, 1);
	lt_random_top_diffs(b, 1);
	lt_backward(a);
	lt_backward(b);
	T_NEAR(b->bottom[0].diff, a->bottom[0].diff, a->bottom[0].count, 0, 0);
	for (int i = 0; i < 2; i++)
		T_NEAR(b->param[i].diff, a->param[i].diff, a->param[i].count, 0, 0);
	lt_free(a);
	lt_free(b);
}

T_TEST(bias_adds)
{
	struct layer_test *x = lt_open(BIAS("filler { type: 'constant' value: 2 }"), MOKA_TEST, "2x3x4");

	lt_forward(x);
	for (int64_t i = 0; i < x->top[0].count; i++)
		T_TRUE(x->top[0].data[i] == x->bottom_values[0][i] + 2);
	lt_free(x);
}

T_TEST(partial_shapes)
{
	struct layer_test *x = lt_shape(SCALE("bias_term: true"), MOKA_TEST, "?x3x?");

	LT_SHAPE(x, 0, "?x3x?");
	T_INT(x->l.params[1].shape.d[0], 3);
	lt_free(x);
	x = lt_shape(SCALE(""), MOKA_TEST, "?");
	T_INT(x->l.params[0].shape.n, 1);
	T_INT(x->l.params[0].shape.d[0], -1);
	lt_free(x);
}

T_TEST(bad_settings)
{
	LT_REFUSED(SCALE("axis: 3"), "2x3x4", "axis 3 is outside the bottom, which has 3 axes (2x3x4)");
	LT_REFUSED(SCALE("num_axes: 3"), "2x3x4", "num_axes 3 from axis 1 on is more than the 3 axes of 'x'");
	LT_REFUSED(SCALE("num_axes: 2147483647"), "2x3x4", "num_axes 2147483647");
	LT_REFUSED(SCALE("num_axes: -2"), "2x3x4", "or -1 for all that follow, not -2");
	LT_REFUSED(SCALE2(""), "2x3x4 2", "'x' is 2x3x4 and 'f' is 2: axis 1 has 3 values");
	LT_REFUSED(SCALE2("axis: 2"), "2x3x4 4x5", "does not fit into 'x'");
	LT_REFUSED(BIAS("axis: -4"), "2x3x4", "axis -4 is outside");
	LT_REFUSED(SCALE("filler { type: 'what' }"), "2x3x4", "there is no filler 'what'");
}

static const struct CMUnitTest tests[] = {
	T_CASE(factors), T_CASE(in_place_is_the_same), T_CASE(bias_adds), T_CASE(partial_shapes), T_CASE(bad_settings),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
