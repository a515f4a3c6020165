/*
 * test_gradients2.c - gradients of the neuron layers, Softmax, the losses and the recurrent layers, every element against a
 * central difference. Built in double precision.
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define NEURON(type, param, bottom)                                                                            \
	{ type " " param, "layer { type: '" type "' bottom: 'x' top: 'y' " param " }", bottom, MOKA_TEST, 0, 0, 0 }, \
	{ type " in place " param, "layer { type: '" type "' bottom: 'x' top: 'x' " param " }", bottom, MOKA_TEST, 0, 0, 0 }
#define LOSS(type, param, bottoms) \
	{ type " " param, "layer { type: '" type "' bottom: 'x' bottom: 't' top: 'l' " param " }", bottoms, MOKA_TEST, 0, 0, 0 }
/* clang-format on */

static const struct lt_gradient_row rows[] = {
	NEURON("AbsVal", "", "2x3x4"),
	NEURON("BNLL", "", "2x3x4"),
	NEURON("Clip", "clip_param { min: -0.5 max: 0.7 }", "2x3x4"),
	NEURON("Dropout", "", "2x3x4"),
	NEURON("ELU", "", "2x3x4"),
	NEURON("ELU", "elu_param { alpha: 0.5 }", "2x3x4"),
	NEURON("ELU", "elu_param { alpha: -0.5 }", "2x3x4"),
	NEURON("Exp", "", "2x3x4"),
	NEURON("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", "2x3x4"),
	NEURON("Log", "", "2x3x4:u"),
	NEURON("Log", "log_param { base: 10 scale: 2 shift: 1 }", "2x3x4:u"),
	NEURON("Power", "", "2x3x4"),
	NEURON("Power", "power_param { power: 2 scale: 0.5 shift: 3 }", "2x3x4"),
	NEURON("Power", "power_param { power: 0.5 scale: 3 }", "2x3x4:u"),
	NEURON("Power", "power_param { power: -1.5 scale: 2 shift: 1 }", "2x3x4:u"),
	NEURON("Power", "power_param { power: 3 }", "2x3x4"),
	NEURON("Power", "power_param { power: 0 }", "2x3x4"),
	NEURON("PReLU", "", "2x3x4"),
	NEURON("PReLU", "prelu_param { filler { type: 'uniform' min: -0.5 max: 0.5 } }", "2x3x4x2"),
	NEURON("PReLU", "prelu_param { channel_shared: true }", "2x3x4"),
	NEURON("ReLU", "", "2x3x4"),
	NEURON("ReLU", "relu_param { negative_slope: 0.25 }", "2x3x4"),
	NEURON("ReLU", "relu_param { negative_slope: -0.25 }", "2x3x4"),
	NEURON("Sigmoid", "", "2x3x4"),
	NEURON("Swish", "", "2x3x4"),
	NEURON("Swish", "swish_param { beta: 1.5 }", "2x3x4"),
	NEURON("TanH", "", "2x3x4"),
	NEURON("Softmax", "", "3x7"),
	NEURON("Softmax", "", "2x4x3x5"),
	NEURON("Softmax", "softmax_param { axis: -1 }", "2x4x3"),
	NEURON("Softmax", "softmax_param { axis: 0 }", "4x3"),
	{ "Dropout in training", "layer { type: 'Dropout' bottom: 'x' top: 'y' }", "2x3x4", MOKA_TRAIN, 0, 0, 0 },
	{ "Dropout in training, in place",
	  "layer { type: 'Dropout' bottom: 'x' top: 'x' dropout_param { dropout_ratio: 0.3 } }", "2x3x4", MOKA_TRAIN, 0,
	  0, 5 },
	LOSS("SoftmaxWithLoss", "", "6x5 6:i5"),
	LOSS("SoftmaxWithLoss", "loss_param { ignore_label: 2 }", "2x5x3x4 2x3x4:i5"),
	LOSS("SoftmaxWithLoss", "loss_param { ignore_label: 2 normalization: FULL }", "2x5x3x4 2x3x4:i5"),
	LOSS("SoftmaxWithLoss", "loss_param { normalization: BATCH_SIZE }", "2x5x3x4 2x3x4:i5"),
	LOSS("SoftmaxWithLoss", "loss_param { normalization: NONE }", "2x5x3x4 2x3x4:i5"),
	LOSS("SoftmaxWithLoss", "softmax_param { axis: 2 }", "2x3x5 2x3:i5"),
	{ "SoftmaxWithLoss with probabilities",
	  "layer { type: 'SoftmaxWithLoss' bottom: 'x' bottom: 't' top: 'l' top: 'p' }", "6x5 6:i5", MOKA_TRAIN, 1, 0,
	  0 },
	LOSS("SigmoidCrossEntropyLoss", "", "4x6 4x6:u"),
	LOSS("SigmoidCrossEntropyLoss", "loss_param { ignore_label: 1 normalization: VALID }", "4x6 4x6:s"),
	LOSS("SigmoidCrossEntropyLoss", "loss_param { normalization: FULL }", "4x6 4x6:s"),
	LOSS("EuclideanLoss", "", "2x3x4 2x3x4"),
	LOSS("HingeLoss", "", "6x5 6:i5"),
	LOSS("HingeLoss", "hinge_loss_param { norm: L2 }", "6x5 6:i5"),
	LOSS("MultinomialLogisticLoss", "", "6x5:u 6:i5"),
	{ "InfogainLoss", "layer { type: 'InfogainLoss' bottom: 'x' bottom: 't' bottom: 'h' top: 'l' }",
	  "6x5 6:i5 5x5:u", MOKA_TEST, 0, 0, 0 },
	{ "InfogainLoss, spatial",
	  "layer { type: 'InfogainLoss' bottom: 'x' bottom: 't' bottom: 'h' top: 'l' loss_param { ignore_label: 1 } }",
	  "2x5x3 2x3:i5 1x1x5x5", MOKA_TEST, 0, 0, 0 },
	/* Caffe's d + 1e-4 makes the gradient of dissimilar pairs a little too small. */
	{ "ContrastiveLoss",
	  "layer { type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' top: 'l' contrastive_loss_param { margin: 4 } }",
	  "8x5 8x5 8:s", MOKA_TEST, 0, 1e-4, 0 },
	{ "ContrastiveLoss, legacy",
	  "layer { type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' top: 'l' contrastive_loss_param { "
	  "margin: 9 legacy_version: true } }",
	  "8x5 8x5 8:s", MOKA_TEST, 0, 0, 0 },
	{ "LSTMUnit", "layer { type: 'LSTMUnit' bottom: 'c0' bottom: 'g' bottom: 'cont' top: 'c' top: 'h' }",
	  "1x3x4 1x3x16 1x3:s", MOKA_TEST, 0, 0, 0 },
};

T_TEST(every_row)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		lt_check_gradient(&rows[i]);
}

/* ---- LSTM and RNN ---------------------------------------------------------------------------------------- */

/*
 * These carry state from one forward pass to the next, which a difference must not see: it is put back before each pass. (Exposed
 * states take no gradient, as in Caffe, so they can stand in for it only as constants.)
 */
struct recurrent {
	struct layer_test *x;
	real *weight,
		*state; /* of the top's values in the sum that is differentiated; the state that each pass starts from */
};

static double objective(struct recurrent *r)
{
	double sum = 0;

	memcpy(r->x->state, r->state, r->x->l.state_bytes);
	lt_forward(r->x);
	for (int64_t i = 0; i < r->x->top[0].count; i++)
		sum += (double)(r->weight[i] * r->x->top[0].data[i]);
	return sum;
}

static void check_values(struct recurrent *r, real *values, const real *gradient, int64_t n, double base,
			 const char *what)
{
	for (int64_t i = 0; i < n; i++) {
		const real v = values[i];
		double up, down, slope;

		values[i] = v + (real)1e-5;
		up = objective(r);
		values[i] = v - (real)1e-5;
		down = objective(r);
		values[i] = v;
		slope = (up - down) / 2e-5;
		if (!(fabs((double)gradient[i] - base - slope) <= 1e-7 * fmax(1, fabs(slope))))
			fail_msg("%s [%lld]: gradient %.9g, the difference says %.9g", what, (long long)i,
				 (double)gradient[i] - base, slope);
	}
}

static void *copy_of(const void *p, size_t bytes)
{
	void *out = malloc(bytes + 1);

	assert_non_null(out);
	memcpy(out, p, bytes);
	return out;
}

static void check_recurrent(const char *layer, const char *bottoms)
{
	struct recurrent r = { .x = lt_open(layer, MOKA_TRAIN, bottoms) };
	struct layer_test *x = r.x;

	lt_forward(x); /* so that there is a state to start from */
	r.state = copy_of(x->state, x->l.state_bytes);
	lt_random_top_diffs(x, 3);
	r.weight = copy_of(x->top[0].diff, (size_t)x->top[0].count * sizeof(real));
	for (int i = 0; i < x->l.n_param; i++)
		for (int64_t k = 0; k < x->param[i].count; k++)
			x->param[i].diff[k] = 1; /* to be added to */
	objective(&r);
	lt_backward(x);
	for (int i = 0; i < x->l.n_param; i++)
		check_values(&r, x->param[i].data, x->param[i].diff, x->param[i].count, 1, x->l.params[i].role);
	check_values(&r, x->bottom_values[0], x->bottom[0].diff, x->bottom[0].count, 0, "x");
	if (x->l.n_bottom == 3)
		check_values(&r, x->bottom_values[2], x->bottom[2].diff, x->bottom[2].count, 0, "static input");
	free(r.state);
	free(r.weight);
	lt_free(x);
}

#define FILLERS "weight_filler { type: 'uniform' min: -1 max: 1 } bias_filler { type: 'uniform' min: -0.5 max: 0.5 }"
#define RECURRENT(type, more)                                                                                          \
	"layer { type: '" type "' bottom: 'x' bottom: 'c' " more " recurrent_param { num_output: 3 " FILLERS
#define EXPOSED " expose_hidden: true } }"

T_TEST(lstm)
{
	check_recurrent(RECURRENT("LSTM", "top: 'y'") "} }", "4x2x3 4x2:s");
	check_recurrent(RECURRENT("LSTM", "bottom: 's' top: 'y'") "} }", "3x2x2x2 3x2:s 2x5");
	check_recurrent(RECURRENT("LSTM", "bottom: 'h' bottom: 'd' top: 'y' top: 'hT' top: 'cT'") EXPOSED,
			"4x2x3 4x2:s 1x2x3 1x2x3");
	check_recurrent(RECURRENT("LSTM", "top: 'y'") "} }", "1x1x3 1x1:s");
}

T_TEST(rnn)
{
	check_recurrent(RECURRENT("RNN", "top: 'y'") "} }", "4x2x3 4x2:s");
	check_recurrent(RECURRENT("RNN", "bottom: 's' top: 'y'") "} }", "3x2x2x2 3x2:s 2x5");
	check_recurrent(RECURRENT("RNN", "bottom: 'h' bottom: 's' top: 'y' top: 'hT'") EXPOSED,
			"4x2x3 4x2:s 2x4 1x2x3");
}

static const struct CMUnitTest tests[] = {
	T_CASE(every_row),
	T_CASE(lstm),
	T_CASE(rnn),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
