/*
 * The detection losses' gradients (double precision): every element of every bottom that takes one, by central difference, on
 * priors and objects that make sense.
 */
#include "layer_test.h"

#include <math.h>
#include <string.h>

#define STEP 1e-6

/* Six priors, three to the left, three to the right; variances of 0.1 and 0.2. */
static const real priors[2 * 6 * 4] = {
	0.1, 0.1, 0.4, 0.4, 0.1, 0.5, 0.4,  0.9,  0.05, 0.05, 0.5, 0.5, 0.6, 0.1, 0.9, 0.4,
	0.6, 0.6, 0.9, 0.9, 0.5, 0.5, 0.95, 0.95, 0.1,	0.1,  0.2, 0.2, 0.1, 0.1, 0.2, 0.2,
	0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.2,  0.2,  0.1,	0.1,  0.2, 0.2, 0.1, 0.1, 0.2, 0.2,
};
/* image, label, instance, x1, y1, x2, y2, difficult */
static const real objects[3 * 8] = {
	0, 1, 0, 0.12, 0.1, 0.42, 0.38, 0, 0, 2, 0, 0.55, 0.6, 0.9, 0.85, 0, 1, 1, 0, 0.1, 0.45, 0.45, 0.95, 0,
};

static double value(struct layer_test *x, int bottom, int64_t i, double move)
{
	real was = x->bottom_values[bottom][i];

	x->bottom_values[bottom][i] = was + (real)move;
	lt_forward(x);
	x->bottom_values[bottom][i] = was;
	return (double)x->top[0].data[0];
}

static void check_bottom(struct layer_test *x, int bottom, const char *what)
{
	const int64_t n = x->bottom[bottom].count;
	double analytic[512];
	int kinks = 0;

	T_TRUE(n <= 512);
	lt_forward(x);
	x->top[0].diff[0] = (real)0.7;
	lt_backward(x);
	for (int64_t i = 0; i < n; i++)
		analytic[i] = (double)x->bottom[bottom].diff[i];
	for (int64_t i = 0; i < n; i++) {
		double here = value(x, bottom, i, 0), up = (value(x, bottom, i, STEP) - here) / STEP;
		double down = (here - value(x, bottom, i, -STEP)) / STEP, numeric = 0.7 * (up + down) / 2;

		if (fabs(up - down) > 1e-3) {
			kinks++;
			continue;
		}
		if (fabs(numeric - analytic[i]) > 1e-5 * (1 + fabs(numeric)))
			fail_msg("%s, bottom %d, element %lld: %.9g, %.9g by difference", what, bottom, (long long)i,
				 analytic[i], numeric);
	}
	T_TRUE(kinks * 10 <= n);
}

T_TEST(multibox_loss)
{
	static const char *const settings[] = {
		"num_classes: 3 code_type: CENTER_SIZE mining_type: NONE",
		"num_classes: 3 code_type: CENTER_SIZE overlap_threshold: 0.4 neg_overlap: 0.4",
		"num_classes: 3 code_type: CORNER loc_weight: 2.5 match_type: BIPARTITE",
		"num_classes: 3 code_type: CENTER_SIZE loc_loss_type: L2",
		"num_classes: 3 code_type: CENTER_SIZE conf_loss_type: LOGISTIC",
		"num_classes: 3 code_type: CENTER_SIZE neg_pos_ratio: 1",
	};

	for (size_t i = 0; i < MOKA_COUNT(settings); i++) {
		char text[512];

		snprintf(text, sizeof(text),
			 "layer { type: 'MultiBoxLoss' bottom: 'l' bottom: 'c' bottom: 'p' bottom: 'g' top: 'y' "
			 "multibox_loss_param { %s } }",
			 settings[i]);
		struct layer_test *x = lt_open(text, MOKA_TRAIN, "2x24 2x18 1x2x24 1x1x3x8");
		lt_set(x, 2, priors);
		lt_set(x, 3, objects);
		lt_forward(x);
		T_TRUE(x->top[0].data[0] > 0);
		check_bottom(x, 0, settings[i]);
		check_bottom(x, 1, settings[i]);
		lt_free(x);
	}
}

T_TEST(smooth_l1_losses)
{
	static const struct {
		const char *text, *shapes;
	} rows[] = {
		{ "layer { type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' top: 'y' }", "3x8 3x8" },
		{ "layer { type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' bottom: 'c' bottom: 'd' top: 'y' smooth_l1_loss_param { sigma: 3 } }",
		  "3x8 3x8 3x8 3x8:u" },
		{ "layer { type: 'SmoothL1LossOHEM' bottom: 'a' bottom: 'b' top: 'y' }", "3x8x1x1 3x8x1x1" },
		{ "layer { type: 'SoftmaxWithLossOHEM' bottom: 'a' bottom: 'b' top: 'y' }", "4x5 4:i5" },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = lt_open(rows[i].text, MOKA_TRAIN, rows[i].shapes);

		check_bottom(x, 0, rows[i].text);
		lt_free(x);
	}
}

static const struct CMUnitTest tests[] = { T_CASE(multibox_loss), T_CASE(smooth_l1_losses) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
