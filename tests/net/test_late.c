/*
 * test_late.c - gradients made when they are asked for (moka_exec_options.late) against an execution that makes each at once: any order
 * of passes forward, passes back, questions and clearings.
 */
#include "nets.h"

static const char text[] =
	"layer { name: 'in' type: 'DummyData' top: 'x' dummy_data_param { shape { dim: 6 dim: 9 } data_filler { type: 'gaussian' } } }"
	"layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' inner_product_param { num_output: 20 weight_filler { type: 'xavier' } } }"
	"layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }"
	"layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' inner_product_param { num_output: 13 transpose: true weight_filler { type: 'xavier' } } }"
	"layer { name: 'c' type: 'InnerProduct' bottom: 'b' top: 'c' param { name: 'w' } inner_product_param { num_output: 3 bias_term: false weight_filler { type: 'xavier' } } }"
	"layer { name: 'd' type: 'InnerProduct' bottom: 'b' top: 'd' param { name: 'w' } inner_product_param { num_output: 3 bias_term: false } }"
	"layer { name: 's' type: 'Reduction' bottom: 'c' top: 's' loss_weight: 1 reduction_param { operation: SUMSQ } }"
	"layer { name: 't' type: 'Reduction' bottom: 'd' top: 't' loss_weight: 0.5 reduction_param { operation: ASUM } }";

static void open_run(struct nets *t, bool late)
{
	struct moka_net_options o = { .phase = MOKA_TRAIN, .backward = true, .for_run = true };
	struct moka_exec_options eo = { .keep = MOKA_KEEP_ALL, .backward = true, .late = late, .seed = 7 };
	struct moka_error err = { 0 };

	nets_open(t, text, &o);
	T_OK(moka_net_allocate(t->n, 11, &err), &err);
	T_OK(moka_exec_new(&t->e, t->n, &eo, &err), &err);
}

static void act(struct nets *t, int what, uint64_t seed)
{
	struct moka_error err = { 0 };

	if (what == 0) {
		moka_exec_reseed(t->e, seed);
		T_OK(moka_exec_forward(t->e, 0, t->n->n_layers, NULL, &err), &err);
	} else if (what == 1) {
		T_OK(moka_exec_backward(t->e, t->n->n_layers, 0, &err), &err);
	} else {
		moka_exec_clear_param_diffs(t->e);
	}
}

static void compare(struct nets *a, struct nets *b, int p)
{
	const size_t bytes = (size_t)a->n->params[p].count * sizeof(real);
	const real *one = moka_exec_param_diff(a->e, p, 0), *other = moka_exec_param_diff(b->e, p, 0);

	for (size_t i = 0; i < bytes / sizeof(real); i++)
		if (one[i] != other[i])
			fail_msg("parameter %s: %g and %g", a->n->params[p].name, (double)one[i], (double)other[i]);
}

T_TEST(whenever_it_is_asked_for)
{
	struct nets late, now;
	struct moka_rng r;

	open_run(&late, true);
	open_run(&now, false);
	act(&late, 0, 0);
	act(&now, 0, 0);
	moka_rng_seed(&r, 5, 5);
	for (uint64_t i = 0; i < 400; i++) {
		const int what = (int)(moka_rng_uniform(&r) * 4);

		if (what < 3) {
			act(&late, what, i);
			act(&now, what, i);
		} else {
			compare(&now, &late, (int)(moka_rng_uniform(&r) * now.n->n_params));
		}
	}
	for (int p = 0; p < now.n->n_params; p++)
		compare(&now, &late, p);
	nets_close(&late);
	nets_close(&now);
}

static void add_up(void *arg, int64_t at, int64_t count, real *values)
{
	for (int64_t i = 0; values && i < count; i++)
		((real *)arg)[at + i] += values[i];
}

/* Only a pending one of a parameter that one layer uses goes by; it may still be asked for, before the next pass and after. */
T_TEST(what_goes_by_is_what_would_be_kept)
{
	struct nets t;
	real sums[2][260] = { 0 };

	open_run(&t, true);
	T_TRUE(!moka_exec_param_stream(t.e, 0, add_up, sums[0]) && !moka_exec_param_late(t.e, 0));
	act(&t, 0, 1);
	act(&t, 1, 1);
	for (int p = 0; p < t.n->n_params; p++) {
		const bool one = p == 0 || p == 2;

		T_TRUE(moka_exec_param_late(t.e, p) == one);
		T_TRUE(moka_exec_param_stream(t.e, p, add_up, sums[p / 2 % 2]) == one);
	}
	for (int p = 0; p < 3; p += 2) {
		const real *d = moka_exec_param_diff(t.e, p, 0);

		T_TRUE(!moka_exec_param_late(t.e, p) && !moka_exec_param_stream(t.e, p, add_up, sums[p / 2]));
		T_TRUE(!memcmp(d, sums[p / 2], (size_t)t.n->params[p].count * sizeof(real)));
	}
	nets_close(&t);
}

static const struct CMUnitTest tests[] = {
	T_CASE(whenever_it_is_asked_for),
	T_CASE(what_goes_by_is_what_would_be_kept),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
