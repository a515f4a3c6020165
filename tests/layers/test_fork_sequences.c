/*
 * test_fork_sequences.c - Lstm, the CTC losses and decoders of the CRNN forks, against plain references: the loss is
 * compared with a sum over every path there is.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

#define TWO(type, rest) "layer { type: '" type "' bottom: 'x' bottom: 't' top: 'l' " rest " }"

/* ---- CTC by enumeration -------------------------------------------------------------------------------- */

/* Does the path (t classes) read as the labels? */
static bool reads_as(const int *path, int t, int blank, const int *labels, int n)
{
	int before = -1, at = 0;

	for (int i = 0; i < t; before = path[i++])
		if (path[i] != before && path[i] != blank && (at == n || labels[at++] != path[i]))
			return false;
	return at == n;
}

/* -log of the probability of all paths of sample `sample` that read as the labels; 0 where there is none. */
static double plain_cost(const real *x, int t, int num, int c, int sample, int blank, const int *labels, int n)
{
	int path[8] = { 0 };
	double total = 0;

	for (;;) {
		int i = t - 1;

		if (reads_as(path, t, blank, labels, n)) {
			double p = 1;

			for (int k = 0; k < t; k++) {
				const real *s = x + (k * num + sample) * c;
				double sum = 0;

				for (int q = 0; q < c; q++)
					sum += exp((double)s[q]);
				p *= exp((double)s[path[k]]) / sum;
			}
			total += p;
		}
		while (i >= 0 && ++path[i] == c)
			path[i--] = 0;
		if (i < 0)
			break;
	}
	return total > 0 ? -log(total) : 0;
}

T_TEST(ctc_is_the_sum_over_all_paths)
{
	static const real labels[4][3] = {
		{ 1, 2, 0 }, { 2, 2, 0 }, { 0, 0, 0 }, { 1, 1, 1 }
	}; /* the last can't be read in 4 steps */
	static const int plain[4][3] = { { 1, 2 }, { 2, 2 }, { 0 }, { 1, 1, 1 } }, lengths[4] = { 2, 2, 0, 3 };
	struct layer_test *x =
		lt_open(TWO("CtcLoss", "ctc_loss_param { alphabet_size: 3 time_step: 4 }"), MOKA_TRAIN, "4x4x3 4x3");
	double want = 0;

	lt_set(x, 1, &labels[0][0]);
	lt_forward(x);
	for (int n = 0; n < 4; n++)
		want += plain_cost(x->bottom_values[0], 4, 4, 3, n, 0, plain[n], lengths[n]);
	assert_true(fabs((double)x->top[0].data[0] - want / 4) < 1e-5);
	x->top[0].diff[0] = 1;
	lt_backward(x);
	for (int i = 0; i < 12; i++) /* of the sample that can't be read: steps 0..3, sample 3 */
		assert_true(x->bottom[0].diff[(i / 3 * 4 + 3) * 3 + i % 3] == 0);
	lt_free(x);
}

/* The gradient is the sum's, not the mean's: that of a sample alone, whatever the batch. */
T_TEST(ctc_gradient_is_that_of_the_sum)
{
	struct layer_test *two = lt_open(TWO("WarpCTCLoss", ""), MOKA_TRAIN, "3x2x3 2x1"),
			  *one = lt_open(TWO("WarpCTCLoss", ""), MOKA_TRAIN, "3x1x3 1x1");

	lt_set(two, 1, (real[]){ 1, 2 });
	lt_set(one, 1, (real[]){ 2 });
	for (int t = 0; t < 3; t++)
		memcpy(one->bottom_values[0] + t * 3, two->bottom_values[0] + (t * 2 + 1) * 3, 3 * sizeof(real));
	lt_forward(two);
	lt_forward(one);
	two->top[0].diff[0] = one->top[0].diff[0] = 2;
	lt_backward(two);
	lt_backward(one);
	for (int t = 0; t < 3; t++)
		T_NEAR(two->bottom[0].diff + (t * 2 + 1) * 3, one->bottom[0].diff + t * 3, 3, 1e-6, 1e-6);
	lt_free(two);
	lt_free(one);
}

T_TEST(labels_in_four_forms)
{
	struct layer_test *x = lt_open(TWO("WarpCTCLoss", ""), MOKA_TEST, "4x1x3 1x3");
	real want;

	lt_set(x, 1, (real[]){ 1, 0, 2 });
	lt_forward(x);
	want = x->top[0].data[0];
	lt_set(x, 1, (real[]){ 1, 2, -1 });
	lt_forward(x);
	assert_true(x->top[0].data[0] == want);
	lt_free(x);
	/* markers and labels by time; labels don't count the blank */
	x = lt_open("layer { type: 'WarpCTCLoss' bottom: 'x' bottom: 'm' bottom: 't' top: 'l' }", MOKA_TEST,
		    "4x1x3 4x1 4x1");
	lt_set(x, 1, (real[]){ 0, 1, 1, 1 });
	lt_set(x, 2, (real[]){ 0, 1, -1, -1 });
	lt_forward(x);
	T_NEAR(x->top[0].data, &want, 1, 1e-6, 1e-6);
	lt_free(x);
	/* lengths */
	x = lt_open("layer { type: 'WarpCTCLoss' bottom: 'x' bottom: 'n' bottom: 'k' bottom: 't' top: 'l' }", MOKA_TEST,
		    "4x1x3 1 1 4x1");
	lt_set(x, 1, (real[]){ 4 });
	lt_set(x, 2, (real[]){ 2 });
	lt_set(x, 3, (real[]){ 1, 2, 1, 1 });
	lt_forward(x);
	T_NEAR(x->top[0].data, &want, 1, 1e-6, 1e-6);
	lt_set(x, 2, (real[]){ 9 });
	assert_int_equal(lt_try_forward(x), MOKA_ERR_DATA);
	lt_free(x);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

T_TEST(greedy_decoder)
{
	/* the classes 1 1 0 1 2 of one sample */
	static const real scores[] = { 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 };
	struct layer_test *x = lt_open("layer { type: 'CTCGreedyDecoder' bottom: 'x' top: 'y' }", MOKA_TEST, "5x1x3");

	lt_set(x, 0, scores);
	lt_forward(x);
	T_NEAR(x->top[0].data, ((real[]){ 1, 1, 2, -1, -1 }), 5, 0, 0);
	lt_free(x);
	x = lt_open(
		"layer { type: 'CTCGreedyDecoder' bottom: 'x' top: 'y' ctc_decoder_param { ctc_merge_repeated: false } }",
		MOKA_TEST, "5x1x3");
	lt_set(x, 0, scores);
	lt_forward(x);
	T_NEAR(x->top[0].data, ((real[]){ 1, 1, 1, 2, -1 }), 5, 0, 0);
	lt_free(x);
	x = lt_open("layer { type: 'CTCGreedyDecoder' bottom: 'x' bottom: 't' top: 'y' }", MOKA_TEST, "5x1x3 1x4");
	lt_set(x, 0, scores);
	lt_set(x, 1, (real[]){ 1, 1, 2, 2 }); /* one more: distance 1 of 4 */
	lt_forward(x);
	T_NEAR(x->top[0].data, ((real[]){ 0.75, 0 }), 2, 1e-6, 1e-6);
	lt_set(x, 1, (real[]){ 1, 1, 2, -1 });
	lt_forward(x);
	T_NEAR(x->top[0].data, ((real[]){ 1, 1 }), 2, 0, 0);
	lt_free(x);
}

T_TEST(labelsequence_accuracy)
{
	static const real scores[] = { 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 };
	struct layer_test *x = lt_open(TWO("LabelsequenceAccuracy", ""), MOKA_TEST, "2x5x3 2x4");

	memcpy(x->bottom_values[0], scores, sizeof(scores));
	memcpy(x->bottom_values[0] + 15, scores, sizeof(scores));
	lt_set(x, 1, (real[]){ 1, 0, 1, 2, 1, 2, 0, 0 });
	lt_forward(x);
	assert_true(x->top[0].data[0] == (real)0.5);
	lt_free(x);
}

T_TEST(continuation_indicator)
{
	struct layer_test *x =
		lt_open("layer { type: 'ContinuationIndicator' top: 'y' continuation_indicator_param { time_step: 3 "
			"batch_size: 2 } }",
			MOKA_TEST, "");

	lt_forward(x);
	T_NEAR(x->top[0].data, ((real[]){ 0, 0, 1, 1, 1, 1 }), 6, 0, 0);
	lt_free(x);
}

/* ---- Lstm ------------------------------------------------------------------------------------------------ */

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

/* One step of one stream: h and c (3) are replaced. go: the state before counts. */
static void plain_step(const struct layer_test *l, const real *x, int inputs, bool go, double *h, double *c)
{
	double a[12], next[3];

	for (int g = 0; g < 12; g++) {
		a[g] = (double)l->param[2].data[g];
		for (int i = 0; i < inputs; i++)
			a[g] += (double)(l->param[0].data[g * inputs + i] * x[i]);
		for (int i = 0; go && i < 3; i++)
			a[g] += (double)l->param[1].data[g * 3 + i] * h[i];
	}
	for (int i = 0; i < 3; i++) {
		c[i] = (go ? sigmoid(a[3 + i]) * c[i] : 0) + sigmoid(a[i]) * tanh(a[9 + i]);
		next[i] = sigmoid(a[6 + i]) * tanh(c[i]);
	}
	memcpy(h, next, sizeof(next));
}

#define FILLERS "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' min: -0.5 max: 0.5 }"

static void check_lstm(const char *layer, const char *bottoms, int steps, int streams, int inputs)
{
	struct layer_test *l = lt_open(layer, MOKA_TEST, bottoms);
	double h[4][3] = { { 0 } }, c[4][3] = { { 0 } };

	for (int pass = 0; pass < 2; pass++) {
		lt_forward(l);
		for (int t = 0; t < steps; t++)
			for (int n = 0; n < streams; n++) {
				const bool go = l->l.n_bottom > 1 ? l->bottom_values[1][t * streams + n] != 0 : t > 0;

				plain_step(l, l->bottom_values[0] + (t * streams + n) * inputs, inputs, go, h[n], c[n]);
				for (int i = 0; i < 3; i++)
					assert_true(fabs((double)l->top[0].data[(t * streams + n) * 3 + i] - h[n][i]) <
						    1e-5);
			}
	}
	lt_free(l);
}

T_TEST(lstm)
{
	check_lstm("layer { type: 'Lstm' bottom: 'x' top: 'y' lstm_param { num_output: 3 " FILLERS " } }", "4x2x5", 4,
		   2, 5);
	check_lstm("layer { type: 'Lstm' bottom: 'x' top: 'y' lstm_param { num_output: 3 batch_size: 3 " FILLERS " } }",
		   "6x2x2", 2, 3, 4);
	check_lstm("layer { type: 'Lstm' bottom: 'x' bottom: 'c' top: 'y' lstm_param { num_output: 3 " FILLERS " } }",
		   "5x2x3 5x2:s", 5, 2, 3);
}

T_TEST(lstm_cuts_gradients)
{
	struct layer_test *l = lt_open(
		"layer { type: 'Lstm' bottom: 'x' top: 'y' lstm_param { num_output: 2 clipping_threshold: 0.01 " FILLERS
		" } }",
		MOKA_TRAIN, "1x1x3");

	lt_forward(l);
	l->top[0].diff[0] = l->top[0].diff[1] = 100;
	lt_backward(l);
	for (int i = 0; i < 8; i++) /* of one step the bias's gradient is that of the gates' sums */
		assert_true(fabs((double)l->param[2].diff[i]) < 0.01 + 1e-7);
	lt_free(l);
}

static const struct CMUnitTest tests[] = {
	T_CASE(ctc_is_the_sum_over_all_paths),
	T_CASE(ctc_gradient_is_that_of_the_sum),
	T_CASE(labels_in_four_forms),
	T_CASE(greedy_decoder),
	T_CASE(labelsequence_accuracy),
	T_CASE(continuation_indicator),
	T_CASE(lstm),
	T_CASE(lstm_cuts_gradients),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
