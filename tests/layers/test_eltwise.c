/*
 * test_eltwise.c - Eltwise's operations, and what it refuses.
 */
#include "layer_test.h"

#define ELT(settings)                                                                                                  \
	"layer { type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' eltwise_param { " settings " } }"

static const real a[] = { 1, 2, 3, -4 }, b[] = { 5, 2, -3, -4 }, c[] = { 0, 2, 7, -5 };

static struct layer_test *open_three(const char *text)
{
	struct layer_test *x = lt_open(text, MOKA_TEST, "2x2 2x2 2x2");

	lt_set(x, 0, a);
	lt_set(x, 1, b);
	lt_set(x, 2, c);
	lt_forward(x);
	return x;
}

T_TEST(operations)
{
	static const struct {
		const char *text;
		real want[4];
	} rows[] = {
		{ ELT(""), { 6, 6, 7, -13 } },
		{ ELT("coeff: 1 coeff: -1 coeff: 0.5"), { -4, 1, 9.5, -2.5 } },
		{ ELT("operation: PROD"), { 0, 8, -63, -80 } },
		{ ELT("operation: MAX"), { 5, 2, 7, -4 } },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = open_three(rows[i].text);

		T_NEAR(x->top[0].data, rows[i].want, 4, 1e-6, 0);
		lt_free(x);
	}
}

/* Of equal values the second bottom gets the gradient, not the first, and not the third. */
T_TEST(maximum_of_equals)
{
	struct layer_test *x = open_three(ELT("operation: MAX"));
	const real want[3][4] = { { 0, 0, 0, 0 }, { 1, 2, 0, 4 }, { 0, 0, 3, 0 } };

	for (int i = 0; i < 4; i++)
		x->top[0].diff[i] = (real)(i + 1);
	lt_backward(x);
	for (int i = 0; i < 3; i++)
		T_NEAR(x->bottom[i].diff, want[i], 4, 0, 0);
	lt_free(x);
}

/* The stable gradient of a product survives a factor of 0. */
T_TEST(product_with_a_zero)
{
	struct layer_test *x = open_three(ELT("operation: PROD"));
	const real want[] = { 5, 4, -9, 16 };

	for (int i = 0; i < 4; i++)
		x->top[0].diff[i] = 1;
	lt_backward(x);
	T_NEAR(x->bottom[2].diff, want, 4, 1e-6, 0);
	lt_free(x);
}

T_TEST(partial_shapes)
{
	struct layer_test *x = lt_shape(ELT(""), MOKA_TEST, "? 2x?x4 2x3x?");

	LT_SHAPE(x, 0, "2x3x4");
	lt_free(x);
}

T_TEST(bad_settings)
{
	LT_REFUSED(ELT("coeff: 1"), "2x2 2x2 2x2", "1 coefficients for 3 bottoms");
	LT_REFUSED(ELT("operation: PROD coeff: 1 coeff: 1 coeff: 1"), "2x2 2x2 2x2", "coefficients go with SUM");
	LT_REFUSED(ELT(""), "2x2 2x2 2x3", "'a' is 2x2 and 'c' is 2x3: axis 1 differs, 2 against 3");
	LT_REFUSED(ELT(""), "2x2 2x2x1 2x2", "'a' is 2x2 and 'b' is 2x2x1");
}

static const struct CMUnitTest tests[] = {
	T_CASE(operations),	T_CASE(maximum_of_equals), T_CASE(product_with_a_zero),
	T_CASE(partial_shapes), T_CASE(bad_settings),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
