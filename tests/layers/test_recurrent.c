/*
 * test_recurrent.c - LSTM, RNN and LSTMUnit, held against plain loops in double precision: sequence markers, static input,
 * exposed hidden states, state that is carried over. (Their gradients are in test_gradients2.c.)
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 8192

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

/* What the plain loops work on. Parameters and bottoms are the layer's own. */
struct plain {
	struct layer_test *x;
	bool lstm, has_static, exposed;
	int64_t t, n, d, s, h, g;
	double hidden[MOST], cell[MOST]; /* (N, H), from step to step */
	double y[MOST];			 /* (T, N, H) */
};

static struct plain p;

/* g numbers of step t, stream n before their nonlinearities. */
static void plain_sums(int64_t t, int64_t n, double *sum)
{
	const struct layer_test *x = p.x;
	const real *v = x->bottom_values[0] + (t * p.n + n) * p.d;
	const double cont = (double)x->bottom_values[1][t * p.n + n];
	const real *w_h = x->param[p.has_static ? 3 : 2].data;

	for (int64_t g = 0; g < p.g; g++) {
		sum[g] = (double)x->param[1].data[g];
		for (int64_t k = 0; k < p.d; k++)
			sum[g] += (double)v[k] * (double)x->param[0].data[g * p.d + k];
		for (int64_t k = 0; p.has_static && k < p.s; k++)
			sum[g] += (double)x->bottom_values[2][n * p.s + k] * (double)x->param[2].data[g * p.s + k];
		for (int64_t k = 0; k < p.h; k++)
			sum[g] += cont * p.hidden[n * p.h + k] * (double)w_h[g * p.h + k];
	}
}

static void plain_lstm(int64_t t, int64_t n)
{
	const double cont = (double)p.x->bottom_values[1][t * p.n + n];
	double sum[256];

	plain_sums(t, n, sum);
	for (int64_t k = 0; k < p.h; k++) {
		double *c = &p.cell[n * p.h + k];

		*c = cont * sigmoid(sum[p.h + k]) * *c + sigmoid(sum[k]) * tanh(sum[3 * p.h + k]);
		p.hidden[n * p.h + k] = sigmoid(sum[2 * p.h + k]) * tanh(*c);
		p.y[(t * p.n + n) * p.h + k] = p.hidden[n * p.h + k];
	}
}

static void plain_rnn(int64_t t, int64_t n)
{
	const struct moka_view *w_o = &p.x->param[p.has_static ? 4 : 3];
	double sum[256];

	plain_sums(t, n, sum);
	for (int64_t k = 0; k < p.h; k++)
		p.hidden[n * p.h + k] = tanh(sum[k]);
	for (int64_t o = 0; o < p.h; o++) {
		double v = (double)w_o[1].data[o];

		for (int64_t k = 0; k < p.h; k++)
			v += p.hidden[n * p.h + k] * (double)w_o[0].data[o * p.h + k];
		p.y[(t * p.n + n) * p.h + o] = tanh(v);
	}
}

/* One batch; hidden states start from the exposed bottoms, or from where they are. */
static void plain_batch(void)
{
	const int first = p.has_static ? 3 : 2;

	for (int64_t i = 0; p.exposed && i < p.n * p.h; i++) {
		p.hidden[i] = (double)p.x->bottom_values[first][i];
		p.cell[i] = p.lstm ? (double)p.x->bottom_values[first + 1][i] : 0;
	}
	for (int64_t t = 0; t < p.t; t++)
		for (int64_t n = 0; n < p.n; n++)
			p.lstm ? plain_lstm(t, n) : plain_rnn(t, n);
}

static void near(const real *got, const double *want, int64_t n)
{
	static real rounded[MOST];

	for (int64_t i = 0; i < n; i++)
		rounded[i] = (real)want[i];
	T_NEAR(got, rounded, n, 2e-5, 2e-6);
}

static struct layer_test *open_recurrent(const char *type, bool has_static, bool exposed, const char *sizes,
					 int threads)
{
	static char text[600];
	const bool lstm = !strcmp(type, "LSTM");
	char bottoms[160];
	int t, n, d, h, at;

	T_INT(sscanf(sizes, "%dx%dx%dx%d", &t, &n, &d, &h), 4);
	snprintf(
		text, sizeof(text),
		"layer { type: '%s' bottom: 'x' bottom: 'c' %s %s top: 'y' %s recurrent_param { num_output: %d expose_hidden: %s "
		"weight_filler { type: 'uniform' min: -0.5 max: 0.5 } bias_filler { type: 'uniform' min: -0.5 max: 0.5 } } }",
		type, has_static ? "bottom: 's'" : "",
		!exposed ? ""
		: lstm	 ? "bottom: 'h0' bottom: 'c0'"
			 : "bottom: 'h0'",
		!exposed ? ""
		: lstm	 ? "top: 'hT' top: 'cT'"
			 : "top: 'hT'",
		h, exposed ? "true" : "false");
	at = snprintf(bottoms, sizeof(bottoms), "%dx%dx%d %dx%d:s", t, n, d, t, n);
	if (has_static)
		at += snprintf(bottoms + at, sizeof(bottoms) - (size_t)at, " %dx7", n);
	for (int i = 0; exposed && i < 1 + lstm; i++)
		at += snprintf(bottoms + at, sizeof(bottoms) - (size_t)at, " 1x%dx%d", n, h);
	p = (struct plain){ .x = lt_open_threads(text, MOKA_TEST, bottoms, threads),
			    .lstm = lstm,
			    .has_static = has_static,
			    .exposed = exposed,
			    .t = t,
			    .n = n,
			    .d = d,
			    .s = 7,
			    .h = h,
			    .g = lstm ? 4 * h : h };
	return p.x;
}

static void check_recurrent(const char *type, bool has_static, bool exposed, const char *sizes)
{
	struct layer_test *x = open_recurrent(type, has_static, exposed, sizes, 1);

	for (int batch = 0; batch < 3; batch++) { /* from the second on the state is the last batch's */
		plain_batch();
		lt_forward(x);
		near(x->top[0].data, p.y, x->top[0].count);
		if (exposed && p.t)
			near(x->top[1].data, p.hidden, x->top[1].count);
		if (exposed && p.t && p.lstm)
			near(x->top[2].data, p.cell, x->top[2].count);
	}
	lt_free(x);
}

static const char *const sizes[] = { "5x3x4x6", "1x1x1x1", "4x2x13x9", "3x0x4x6", "7x16x30x40" };

T_TEST(lstm_against_loops)
{
	for (size_t i = 0; i < MOKA_COUNT(sizes); i++)
		for (int k = 0; k < 4; k++)
			check_recurrent("LSTM", k & 1, k & 2, sizes[i]);
}

T_TEST(rnn_against_loops)
{
	for (size_t i = 0; i < MOKA_COUNT(sizes); i++)
		for (int k = 0; k < 4; k++)
			check_recurrent("RNN", k & 1, k & 2, sizes[i]);
}

T_TEST(parameters_and_costs)
{
	struct layer_test *x = open_recurrent("LSTM", true, false, "5x3x4x6", 1);

	T_INT(x->l.n_param, 4);
	T_INT(x->param[0].count, 24 * 4);
	T_INT(x->param[1].count, 24);
	T_INT(x->param[2].count, 24 * 7);
	T_INT(x->param[3].count, 24 * 6);
	T_INT(x->l.macs, 5 * 3 * 24 * 4 + 3 * 24 * 7 + 5 * 3 * 24 * 6);
	lt_free(x);
	x = open_recurrent("RNN", false, true, "5x3x4x6", 1);
	T_INT(x->l.n_param, 5);
	T_INT(x->param[2].count, 36);
	T_INT(x->param[3].count, 36);
	T_INT(x->param[4].count, 6);
	T_INT(x->l.macs, 5 * 3 * 6 * (4 + 6 + 6));
	lt_free(x);
}

/* A layer behind that works in place changes the top, not the state. */
T_TEST(the_state_does_not_depend_on_the_top)
{
	struct layer_test *x = open_recurrent("LSTM", false, false, "4x2x3x5", 1);

	plain_batch();
	lt_forward(x);
	memset(x->top[0].data, 0, (size_t)x->top[0].count * sizeof(real));
	plain_batch();
	lt_forward(x);
	near(x->top[0].data, p.y, x->top[0].count);
	lt_free(x);
}

/* A sequence that starts anew forgets even a state that is not a number. */
T_TEST(a_new_sequence_forgets)
{
	struct layer_test *x = open_recurrent("LSTM", false, true, "2x2x3x4", 1);

	for (int i = 0; i < 2; i++)
		x->bottom_values[1][i] = 0;
	for (int i = 0; i < 8; i++)
		x->bottom_values[2][i] = x->bottom_values[3][i] = (real)NAN;
	lt_forward(x);
	lt_random_top_diffs(x, 3);
	lt_backward(x);
	for (int64_t i = 0; i < x->top[0].count; i++)
		T_TRUE(isfinite(x->top[0].data[i]));
	for (int64_t i = 0; i < x->param[2].count; i++)
		T_TRUE(isfinite(x->param[2].diff[i]));
	lt_free(x);
}

/* As BVLC Caffe: nothing flows through exposed states, in or out. */
T_TEST(exposed_states_take_no_gradient)
{
	for (int lstm = 0; lstm < 2; lstm++) {
		struct layer_test *x = open_recurrent(lstm ? "LSTM" : "RNN", false, true, "3x2x4x5", 1);
		real *first;
		const size_t bytes = (size_t)x->param[0].count * sizeof(real);

		lt_forward(x);
		lt_random_top_diffs(x, 3);
		lt_backward(x);
		first = malloc(bytes);
		assert_non_null(first);
		memcpy(first, x->param[0].diff, bytes);
		for (int b = 2; b < x->l.n_bottom; b++)
			for (int64_t i = 0; i < x->bottom[b].count; i++)
				T_TRUE(x->bottom[b].diff[i] == 0);
		for (int t = 1; t < x->l.n_top; t++)
			for (int64_t i = 0; i < x->top[t].count; i++)
				x->top[t].diff[i] += 5;
		lt_clear_param_diffs(x);
		lt_backward(x);
		T_TRUE(!memcmp(first, x->param[0].diff, bytes));
		free(first);
		lt_free(x);
	}
}

/* Outputs and gradients, bit for bit. */
T_TEST(threads_do_not_matter)
{
	for (int k = 0; k < 4; k++) {
		const char *type = k & 1 ? "LSTM" : "RNN";
		struct layer_test *one, *three;

		one = open_recurrent(type, k & 2, false, "6x32x20x70", 1);
		three = open_recurrent(type, k & 2, false, "6x32x20x70", 3);
		lt_forward(one);
		lt_forward(three);
		T_TRUE(!memcmp(one->top[0].data, three->top[0].data, (size_t)one->top[0].count * sizeof(real)));
		lt_random_top_diffs(one, 3);
		lt_random_top_diffs(three, 3);
		lt_backward(one);
		lt_backward(three);
		T_TRUE(!memcmp(one->bottom[0].diff, three->bottom[0].diff,
			       (size_t)one->bottom[0].count * sizeof(real)));
		for (int i = 0; i < one->l.n_param; i++)
			T_TRUE(!memcmp(one->param[i].diff, three->param[i].diff,
				       (size_t)one->param[i].count * sizeof(real)));
		lt_free(one);
		lt_free(three);
	}
}

#define LSTM_ "layer { type: 'LSTM' bottom: 'x' bottom: 'c' "

T_TEST(bad_settings)
{
	LT_REFUSED(LSTM_ "top: 'y' }", "5x3x4 5x3", "must say num_output");
	LT_REFUSED(LSTM_ "top: 'y' top: 'z' recurrent_param { num_output: 2 } }", "5x3x4 5x3",
		   "without expose_hidden it gives 1 top, it has 2");
	LT_REFUSED(LSTM_ "top: 'y' recurrent_param { num_output: 2 expose_hidden: true } }", "5x3x4 5x3",
		   "it takes 4 or 5 bottoms, it has 2");
	LT_REFUSED(LSTM_ "top: 'y' recurrent_param { num_output: 2 } }", "5x3x4 3x5", "must be 5x3");
	LT_REFUSED(LSTM_ "top: 'y' recurrent_param { num_output: 2 } }", "5 5x3", "steps x streams");
	LT_REFUSED(LSTM_ "bottom: 's' top: 'y' recurrent_param { num_output: 2 } }", "5x3x4 5x3 4x2",
		   "must be 3, the streams");
	LT_REFUSED(
		LSTM_
		"bottom: 'h' bottom: 'd' top: 'y' top: 'a' top: 'b' recurrent_param { num_output: 2 expose_hidden: true } }",
		"5x3x4 5x3 1x3x2 1x3x4", "a hidden state must be 1x3x2");
	LT_REFUSED(
		"layer { type: 'RNN' bottom: 'x' bottom: 'c' top: 'y' recurrent_param { num_output: 2 weight_filler { type: 'x' } } }",
		"5x3x4 5x3", "weight_filler");
}

T_TEST(unknown_shapes)
{
	struct layer_test *x = lt_shape(LSTM_ "top: 'y' recurrent_param { num_output: 2 } }", MOKA_TEST, "?x3x? ?");

	LT_SHAPE(x, 0, "?x3x2");
	T_INT(x->l.macs, -1);
	lt_free(x);
	x = lt_shape("layer { type: 'RNN' bottom: 'x' bottom: 'c' top: 'y' recurrent_param { num_output: 2 } }",
		     MOKA_TEST, "? ?");
	LT_SHAPE(x, 0, "?x?x2");
	lt_free(x);
}

/* ---- LSTMUnit ------------------------------------------------------------------------------------------- */

static void check_unit(int n, int d, int threads)
{
	char bottoms[100];
	struct layer_test *x;
	static double c[MOST], h[MOST];

	snprintf(bottoms, sizeof(bottoms), "1x%dx%d 1x%dx%d 1x%d:s", n, d, n, 4 * d, n);
	x = lt_open_threads("layer { type: 'LSTMUnit' bottom: 'c0' bottom: 'g' bottom: 'cont' top: 'c' top: 'h' }",
			    MOKA_TEST, bottoms, threads);
	for (int e = 0; e < n * d; e++) {
		const real *g = x->bottom_values[1] + e / d * 4 * d + e % d;

		c[e] = (double)x->bottom_values[2][e / d] * sigmoid((double)g[d]) * (double)x->bottom_values[0][e] +
		       sigmoid((double)g[0]) * tanh((double)g[3 * d]);
		h[e] = sigmoid((double)g[2 * d]) * tanh(c[e]);
	}
	lt_forward(x);
	near(x->top[0].data, c, x->top[0].count);
	near(x->top[1].data, h, x->top[1].count);
	lt_free(x);
}

T_TEST(lstm_unit_against_loops)
{
	check_unit(3, 4, 1);
	check_unit(1, 1, 1);
	check_unit(0, 4, 1);
	check_unit(16, 200, 3);
	LT_REFUSED("layer { type: 'LSTMUnit' bottom: 'c0' bottom: 'g' bottom: 'cont' top: 'c' top: 'h' }",
		   "1x3x4 1x3x15 1x3", "last dimension of 16");
	LT_REFUSED("layer { type: 'LSTMUnit' bottom: 'c0' bottom: 'g' bottom: 'cont' top: 'c' top: 'h' }",
		   "2x3x4 2x3x16 2x3", "the first of size 1");
	LT_REFUSED("layer { type: 'LSTMUnit' bottom: 'c0' bottom: 'g' bottom: 'cont' top: 'c' top: 'h' }",
		   "1x3x4 1x3x16 1x2", "the streams, must be equal");
}

static const struct CMUnitTest tests[] = {
	T_CASE(lstm_against_loops),	T_CASE(rnn_against_loops),
	T_CASE(parameters_and_costs),	T_CASE(the_state_does_not_depend_on_the_top),
	T_CASE(a_new_sequence_forgets), T_CASE(exposed_states_take_no_gradient),
	T_CASE(threads_do_not_matter),	T_CASE(bad_settings),
	T_CASE(unknown_shapes),		T_CASE(lstm_unit_against_loops),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
