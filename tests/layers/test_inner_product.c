/*
 * test_inner_product.c - InnerProduct and Embed against plain loops, with bottoms that aren't known, and what
 * they refuse.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>

#define IP(settings)                                                                                                   \
	"layer { type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { weight_filler { type: 'gaussian' } "  \
	"bias_filler { type: 'gaussian' } " settings " } }"
#define EMBED(settings) "layer { type: 'Embed' bottom: 'x' top: 'y' embed_param { " settings " } }"

static const struct {
	const char *text, *bottom, *top;
	bool transpose, bias;
	int axis;
} rows[] = {
	{ IP("num_output: 7"), "4x3x5", "4x7", false, true, 1 },
	{ IP("num_output: 7 bias_term: false"), "1x127", "1x7", false, false, 1 },
	{ IP("num_output: 128 transpose: true"), "13x3", "13x128", true, true, 1 },
	{ IP("num_output: 5 transpose: true"), "1x6", "1x5", true, true, 1 },
	{ IP("num_output: 2 axis: -1"), "2x3x4", "2x3x2", false, true, 2 },
	{ IP("num_output: 3 axis: 0"), "2x3", "3", false, true, 0 },
	{ IP("num_output: 3"), "0x4", "0x3", false, true, 1 },
	{ IP("num_output: 3"), "2x0", "2x3", false, true, 1 },
};

T_TEST(inner_product_is_its_definition)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = lt_open(rows[i].text, MOKA_TEST, rows[i].bottom);
		const struct moka_shape *s = x->bottom[0].shape;
		const int64_t k = moka_shape_count_range(s, rows[i].axis, s->n), n = x->top[0].shape->d[rows[i].axis];
		real *want = malloc((size_t)x->top[0].count * sizeof(real) + 1);

		LT_SHAPE(x, 0, rows[i].top);
		T_INT(x->l.macs, moka_shape_count_range(s, 0, rows[i].axis) * n * k);
		lt_forward(x);
		for (int64_t at = 0; at < x->top[0].count; at++) {
			double sum = rows[i].bias ? (double)x->param[1].data[at % n] : 0;

			for (int64_t j = 0; j < k; j++)
				sum += (double)x->bottom_values[0][at / n * k + j] *
				       (double)x->param[0].data[rows[i].transpose ? j * n + at % n : at % n * k + j];
			want[at] = (real)sum;
		}
		T_NEAR(x->top[0].data, want, x->top[0].count, 1e-4, 1e-4);
		free(want);
		lt_free(x);
	}
}

static void partial(const char *text, const char *bottom, const char *top, const char *weight)
{
	struct layer_test *x = lt_shape(text, MOKA_TEST, bottom);
	char buf[MOKA_SHAPE_TEXT];

	LT_SHAPE(x, 0, top);
	T_STR(moka_shape_text(&x->l.params[0].shape, buf, sizeof(buf)), weight);
	T_INT(x->l.macs, -1);
	lt_free(x);
}

T_TEST(partial_shapes)
{
	partial(IP("num_output: 7"), "?", "?x7", "7x?");
	partial(IP("num_output: 7 transpose: true"), "?", "?x7", "?x7");
	partial(IP("num_output: 7"), "?x3x4", "?x7", "7x12");
	partial(IP("num_output: 7 axis: 2"), "?", "?x?x7", "7x?");
}

T_TEST(embed_picks_rows)
{
	struct layer_test *x = lt_open(EMBED("num_output: 2 input_dim: 3 bias_filler { type: 'constant' value: 1 }"),
				       MOKA_TEST, "2x2");
	const real index[] = { 2, 0, 1, 2 }, table[] = { 10, 11, 20, 21, 30, 31 };
	const real want[] = { 31, 32, 11, 12, 21, 22, 31, 32 }, grad[] = { 3, 4, 5, 6, 8, 10 };

	LT_SHAPE(x, 0, "2x2x2");
	lt_set(x, 0, index);
	for (int i = 0; i < 6; i++)
		x->param[0].data[i] = table[i];
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 8, 0, 0);
	for (int i = 0; i < 8; i++)
		x->top[0].diff[i] = (real)(i + 1);
	lt_backward(x);
	T_NEAR(x->param[0].diff, grad, 4, 0, 0);
	T_TRUE(x->param[0].diff[4] == 1 + 7 && x->param[0].diff[5] == 2 + 8);
	lt_free(x);
}

T_TEST(embed_out_of_range)
{
	static const real bad[] = { 3, -1, 1e30f, (real)NAN, -1e30f };

	for (size_t i = 0; i < MOKA_COUNT(bad); i++) {
		struct layer_test *x = lt_open(
			"layer { name: 'words' type: 'Embed' bottom: 'x' top: 'y' embed_param { num_output: 2 input_dim: 3 } }",
			MOKA_TEST, "4:z");

		x->bottom_values[0][2] = bad[i];
		T_INT(lt_try_forward(x), MOKA_ERR_DATA);
		T_HAS(x->err.message, "layer 'words' (Embed): sample 2 of 'x' is ");
		T_HAS(x->err.message, "numbered 0 to 2");
		lt_free(x);
	}
}

T_TEST(bad_settings)
{
	LT_REFUSED(IP(""), "2x3", "num_output must be at least 1, and is missing");
	LT_REFUSED(IP("num_output: 0"), "2x3", "and is 0");
	LT_REFUSED(IP("num_output: 4 axis: 2"), "2x3", "axis 2 is outside the bottom, which has 2 axes (2x3)");
	LT_REFUSED(EMBED("num_output: 4"), "2x3", "input_dim must be at least 1, and is missing");
	LT_REFUSED(EMBED("input_dim: 4"), "2x3", "num_output must be at least 1, and is missing");
}

static const struct CMUnitTest tests[] = {
	T_CASE(inner_product_is_its_definition),
	T_CASE(partial_shapes),
	T_CASE(embed_picks_rows),
	T_CASE(embed_out_of_range),
	T_CASE(bad_settings),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
