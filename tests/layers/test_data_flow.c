/*
 * test_data_flow.c - the layers that move values and don't change them: Concat, Slice, Split, Crop, Permute,
 * Tile, Reshape, Flatten, Reduction, BatchReindex, Filter, Silence, Input, Parameter, DummyData. Rows of text,
 * bottoms 0, 1, 2 ..., and what comes out.
 */
#include "layer_test.h"

#include <string.h>

#define ONE(type, rest) "layer { name: 'l' type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define TWO(type, rest) "layer { name: 'l' type: '" type "' bottom: 'x' bottom: 'b' top: 'y' " rest " }"

/* Bottom i begins at 100 * i and counts up. */
static void number_bottoms(struct layer_test *x)
{
	for (int b = 0; b < x->l.n_bottom; b++)
		for (int64_t i = 0; i < x->bottom[b].count; i++)
			x->bottom_values[b][i] = (real)(100 * b + i);
}

/* clang-format off */
static const struct {
	const char *text, *bottoms, *shape;
	int top;
	real want[24];
} rows[] = {
	{ TWO("Concat", ""), "2x2 2x1", "2x3", 0, { 0, 1, 100, 2, 3, 101 } },
	{ TWO("Concat", "concat_param { axis: 0 }"), "1x2 2x2", "3x2", 0, { 0, 1, 100, 101, 102, 103 } },
	{ TWO("Concat", "concat_param { axis: -1 }"), "1x2x2 1x2x1", "1x2x3", 0, { 0, 1, 100, 2, 3, 101 } },
	{ ONE("Concat", ""), "2x2", "2x2", 0, { 0, 1, 2, 3 } },
	{ "layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' }", "2x4", "2x2", 1, { 2, 3, 6, 7 } },
	{ "layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' top: 'c' slice_param { slice_point: [1, 3] } }", "2x4", "2x2", 1, { 1, 2, 5, 6 } },
	{ "layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' slice_param { slice_dim: 0 slice_point: 1 } }", "3x2", "2x2", 1, { 2, 3, 4, 5 } },
	{ "layer { type: 'Split' bottom: 'x' top: 'a' top: 'b' }", "2x2", "2x2", 1, { 0, 1, 2, 3 } },
	{ TWO("Crop", "crop_param { axis: 0 offset: 1 }"), "3x3 2x2", "2x2", 0, { 4, 5, 7, 8 } },
	{ TWO("Crop", "crop_param { axis: 1 offset: [0, 1] }"), "2x2x3 9x1x2", "2x1x2", 0, { 1, 2, 7, 8 } },
	{ TWO("Crop", ""), "1x1x2x3 1x1x1x2", "1x1x1x2", 0, { 0, 1 } },
	{ ONE("Permute", "permute_param { order: [1, 0] }"), "2x3", "3x2", 0, { 0, 3, 1, 4, 2, 5 } },
	{ ONE("Permute", "permute_param { order: 2 }"), "2x1x3", "3x2x1", 0, { 0, 3, 1, 4, 2, 5 } },
	{ ONE("Permute", "permute_param { order: [0, 2, 1] }"), "2x2x2", "2x2x2", 0, { 0, 2, 1, 3, 4, 6, 5, 7 } },
	{ ONE("Tile", "tile_param { tiles: 2 }"), "2x2", "2x4", 0, { 0, 1, 0, 1, 2, 3, 2, 3 } },
	{ ONE("Tile", "tile_param { tiles: 2 axis: 0 }"), "2x2", "4x2", 0, { 0, 1, 2, 3, 0, 1, 2, 3 } },
	{ ONE("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"), "2x3x2", "2x6", 0, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 } },
	{ ONE("Reshape", "reshape_param { shape { dim: 3 } axis: 1 num_axes: 0 }"), "2x0", "2x3x0", 0, { 0 } },
	{ ONE("Reshape", "reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }"), "2x2", "2x2x1", 0, { 0, 1, 2, 3 } },
	{ ONE("Reshape", "reshape_param { shape { dim: 4 } axis: 0 num_axes: 2 }"), "2x2x1", "4x1", 0, { 0, 1, 2, 3 } },
	{ ONE("Reshape", "reshape_param { shape { dim: -1 dim: 0 } axis: 1 num_axes: 1 }"), "2x2x2", "2x1x2x2", 0, { 0, 1, 2, 3, 4, 5, 6, 7 } },
	{ ONE("Reshape", "reshape_param { shape { } }"), "1x1", "scalar", 0, { 0 } },
	{ ONE("Flatten", ""), "2x1x2", "2x2", 0, { 0, 1, 2, 3 } },
	{ ONE("Flatten", "flatten_param { axis: 0 end_axis: -2 }"), "2x2x1", "4x1", 0, { 0, 1, 2, 3 } },
	{ ONE("Reduction", ""), "2x3", "scalar", 0, { 15 } },
	{ ONE("Reduction", "reduction_param { axis: 1 operation: MEAN coeff: 2 }"), "2x3", "2", 0, { 2, 8 } },
	{ ONE("Reduction", "reduction_param { axis: -1 operation: SUMSQ }"), "2x2", "2", 0, { 1, 13 } },
	{ ONE("Reduction", "reduction_param { axis: 1 operation: ASUM }"), "2x0", "2", 0, { 0, 0 } },
};
/* clang-format on */

T_TEST(values)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = lt_open(rows[i].text, MOKA_TEST, rows[i].bottoms);

		LT_SHAPE(x, rows[i].top, rows[i].shape);
		number_bottoms(x);
		lt_forward(x);
		T_NEAR(x->top[rows[i].top].data, rows[i].want, x->top[rows[i].top].count, 0, 0);
		lt_free(x);
	}
}

/* clang-format off */
static const struct {
	const char *text, *bottoms, *shape;
} partial[] = {
	{ TWO("Concat", ""), "?x3 2x4", "2x7" },
	{ TWO("Concat", ""), "2x? 2x4", "2x?" },
	{ TWO("Concat", ""), "? 2x4", "?" },
	{ "layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' slice_param { slice_point: 2 } }", "?x?", "?x2" },
	{ ONE("Flatten", ""), "?", "?x?" },
	{ ONE("Flatten", ""), "?x3x4", "?x12" },
	{ ONE("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 4 } }"), "?", "?x?x4" },
	{ ONE("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"), "?x3x4", "?x?" },
	{ ONE("Permute", "permute_param { order: [0, 2, 3, 1] }"), "?", "?x?x?x?" },
	{ ONE("Permute", "permute_param { order: [0, 2, 3, 1] }"), "?x3x?x4", "?x?x4x3" },
	{ ONE("Tile", "tile_param { tiles: 3 }"), "?x2", "?x6" },
	{ ONE("Reduction", "reduction_param { axis: 1 }"), "?", "?" },
	{ ONE("Reduction", "reduction_param { axis: 1 }"), "?x4", "?" },
	{ TWO("Crop", ""), "1x2x?x9 1x2x4x?", "1x2x4x?" },
	{ "layer { type: 'Split' bottom: 'x' top: 'a' top: 'b' }", "?", "?" },
	{ TWO("BatchReindex", ""), "2x3 ?", "?x3" },
	{ "layer { type: 'Input' top: 'y' }", "", "?" },
};
/* clang-format on */

T_TEST(partial_shapes)
{
	for (size_t i = 0; i < MOKA_COUNT(partial); i++) {
		struct layer_test *x = lt_shape(partial[i].text, MOKA_TEST, partial[i].bottoms);

		LT_SHAPE(x, 0, partial[i].shape);
		lt_free(x);
	}
}

T_TEST(batch_reindex)
{
	struct layer_test *x = lt_open("layer { name: 'pick' type: 'BatchReindex' bottom: 'x' bottom: 'i' top: 'y' }",
				       MOKA_TEST, "3x2 4");
	const real index[] = { 2, 0, 2, 1 }, bad[] = { 0, 1, 3, 0 }, want[] = { 4, 5, 0, 1, 4, 5, 2, 3 };

	LT_SHAPE(x, 0, "4x2");
	number_bottoms(x);
	lt_set(x, 1, index);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 8, 0, 0);
	lt_set(x, 1, bad);
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_STR(x->err.message, "layer 'pick' (BatchReindex): index 2 of 'i' is 3, and 'x' has 3 items");
	lt_free(x);
}

T_TEST(filter_selects)
{
	struct layer_test *x =
		lt_open("layer { type: 'Filter' bottom: 'x' bottom: 's' top: 'y' }", MOKA_TEST, "4x2 4x1");
	const real selector[] = { 0, 1, 0, -2 }, want[] = { 2, 3, 6, 7, 0, 0, 0, 0 };

	number_bottoms(x);
	lt_set(x, 1, selector);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 8, 0, 0);
	T_INT(x->top_items, 2);
	lt_free(x);
}

T_TEST(a_top_without_gradient_is_zeros)
{
	struct layer_test *x = lt_open("layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' }", MOKA_TRAIN, "1x4");
	const real want[] = { 0, 0, 5, 6 };
	real *diff = x->top[0].diff;

	lt_forward(x);
	x->top[1].diff[0] = 5;
	x->top[1].diff[1] = 6;
	x->top[0].diff = NULL;
	lt_backward(x);
	T_NEAR(x->bottom[0].diff, want, 4, 0, 0);
	x->top[0].diff = diff;
	lt_free(x);
}

T_TEST(sources_of_blobs)
{
	struct layer_test *x = lt_open(
		"layer { type: 'Input' top: 'a' top: 'b' input_param { shape { dim: 2 dim: 3 } } }", MOKA_TEST, "");

	LT_SHAPE(x, 1, "2x3");
	lt_free(x);
	x = lt_open("layer { type: 'Parameter' top: 'y' parameter_param { shape { dim: 2 } } }", MOKA_TEST, "");
	x->param[0].data[1] = 8;
	lt_forward(x);
	T_TRUE(x->top[0].data[0] == 0 && x->top[0].data[1] == 8);
	lt_free(x);
	x = lt_open(
		"layer { type: 'DummyData' top: 'a' top: 'b' dummy_data_param { num: 2 channels: 1 channels: 3 height: 4 width: 5 "
		"data_filler { type: 'constant' value: 2 } data_filler { type: 'uniform' } } }",
		MOKA_TEST, "");
	LT_SHAPE(x, 0, "2x1x4x5");
	LT_SHAPE(x, 1, "2x3x4x5");
	lt_forward(x);
	T_TRUE(x->top[0].data[39] == 2 && x->top[1].data[0] != x->top[1].data[1]);
	lt_free(x);
}

#define INPUT(rest) "layer { type: 'Input' top: 'a' top: 'b' input_param { " rest " } }"
#define DUMMY(rest) "layer { type: 'DummyData' top: 'a' top: 'b' top: 'c' dummy_data_param { " rest " } }"

T_TEST(bad_settings)
{
	LT_REFUSED(TWO("Concat", ""), "2x3 2x3x1", "'x' has 2 axes (2x3) and 'b' 3 (2x3x1)");
	LT_REFUSED(TWO("Concat", ""), "2x3 3x3", "'x' is 2x3 and 'b' is 3x3: axis 0 is 2 against 3");
	LT_REFUSED(TWO("Concat", "concat_param { axis: 2 }"), "2x3 2x3", "axis 2 is outside");
	LT_REFUSED(TWO("Concat", "concat_param { axis: 1 concat_dim: 1 }"), "2x3 2x3", "its old name, too");
	LT_REFUSED("layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' }", "2x3",
		   "3 values, which 2 tops can't share equally");
	LT_REFUSED("layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' slice_param { slice_point: 3 } }", "2x3",
		   "slice point 3 is beyond axis 1 of 'x', which has 3 values");
	LT_REFUSED("layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' slice_param { slice_point: 0 } }", "2x3",
		   "must grow from above 0");
	LT_REFUSED("layer { type: 'Slice' bottom: 'x' top: 'a' top: 'b' slice_param { slice_point: [1, 2] } }", "2x3",
		   "2 slice points make 3 parts, and there are 2 tops");
	LT_REFUSED(TWO("Crop", "crop_param { axis: 1 offset: 2 }"), "1x3 1x2",
		   "axis 1 of 'x' has 3 values; 2 of them from 2 on");
	LT_REFUSED(TWO("Crop", "crop_param { axis: 0 offset: [1, 2, 3] }"), "1x3 1x2", "3 offsets for the 2 axes");
	LT_REFUSED(TWO("Crop", "crop_param { axis: 0 }"), "1x3 1", "only 1");
	LT_REFUSED(ONE("Permute", "permute_param { order: [0, 2] }"), "1x3", "axis 2 is outside 'x', which has 2 axes");
	LT_REFUSED(ONE("Permute", "permute_param { order: [0, 0] }"), "1x3", "axis 0 is named twice");
	LT_REFUSED(ONE("Tile", ""), "1x3", "tiles is missing");
	LT_REFUSED(ONE("Tile", "tile_param { tiles: -1 }"), "1x3", "tiles must be at least 1");
	LT_REFUSED(ONE("Reshape", "reshape_param { shape { dim: 4 } }"), "1x3",
		   "'x' is 1x3, 3 values, and the new shape 4 takes 4");
	LT_REFUSED(ONE("Reshape", "reshape_param { shape { dim: 2 dim: -1 } }"), "1x3", "do not divide");
	LT_REFUSED(ONE("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }"), "1x3",
		   "only one dimension can be -1");
	LT_REFUSED(ONE("Reshape", "reshape_param { shape { dim: -2 } }"), "1x3", "not -2");
	LT_REFUSED(ONE("Reshape", "reshape_param { shape { dim: 1 dim: 1 dim: 0 } }"), "1x3", "dimension 2 is 0");
	LT_REFUSED(ONE("Reshape", "reshape_param { axis: 4 }"), "1x3", "axis 4 is outside");
	LT_REFUSED(ONE("Reshape", "reshape_param { num_axes: 3 }"), "1x3", "num_axes 3 does not fit");
	LT_REFUSED(ONE("Flatten", "flatten_param { axis: 2 end_axis: 0 }"), "1x3x4", "end_axis 0 comes before axis 2");
	LT_REFUSED(ONE("Reduction", "reduction_param { axis: 3 }"), "1x3", "axis 3 is outside");
	LT_REFUSED(TWO("BatchReindex", ""), "2x3 2x2", "the indices must be one row, and 'b' is 2x2");
	LT_REFUSED(TWO("Filter", ""), "2x3 2x2", "one value for each item");
	LT_REFUSED(TWO("Filter", ""), "2x3 3", "'x' is 2x3, and the selector 'b' has 3 items");
	LT_REFUSED("layer { type: 'Filter' bottom: 'x' bottom: 's' top: 'y' top: 'z' }", "2x3 2",
		   "make 1 tops, and 2 are named");
	LT_REFUSED(INPUT("shape { dim: -1 }"), "", "dimension 0 is -1");
	LT_REFUSED(INPUT("shape { } shape { } shape { }"), "", "3 shapes for 2 tops");
	LT_REFUSED(DUMMY(""), "", "shape is given 0 times for 3 tops");
	LT_REFUSED(DUMMY("shape { } shape { }"), "", "shape is given 2 times for 3 tops");
	LT_REFUSED(DUMMY("num: 1 channels: 2 height: 3"), "", "width is given 0 times");
	LT_REFUSED(DUMMY("shape { } data_filler { type: 'nope' }"), "", "there is no filler 'nope'");
}

static const struct CMUnitTest tests[] = {
	T_CASE(values),
	T_CASE(partial_shapes),
	T_CASE(batch_reindex),
	T_CASE(filter_selects),
	T_CASE(a_top_without_gradient_is_zeros),
	T_CASE(sources_of_blobs),
	T_CASE(bad_settings),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
