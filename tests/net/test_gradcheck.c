/*
 * test_gradcheck.c - whole nets, in double precision: the loss moves along a random direction as the gradient says.
 *
 * For parameters and inputs together, d = sum(gradient * direction) is compared with a central difference of the loss.
 */
#include "random_net.h"

#include <math.h>

/* One array that the loss depends on, with its gradient and direction. */
struct knob {
	real *value;
	const real *gradient;
	real *direction;
	int64_t count;
};

static struct knob make_knob(real *value, const real *gradient, int64_t count, struct moka_rng *r)
{
	struct knob k = { value, gradient, calloc((size_t)count, sizeof(real)), count };

	for (int64_t i = 0; i < count; i++)
		k.direction[i] = (real)moka_rng_gaussian(r);
	return k;
}

static void turn(const struct knob *k, int n, real by)
{
	for (int i = 0; i < n; i++)
		for (int64_t v = 0; v < k[i].count; v++)
			k[i].value[v] += by * k[i].direction[v];
}

static double loss_at(struct nets *t, const struct knob *k, int n, real by)
{
	real loss;

	turn(k, n, by);
	nets_forward(t, &loss);
	turn(k, n, -by);
	return (double)loss;
}

static void check(struct nets *t, uint64_t seed)
{
	const real step = (real)1e-5;
	struct knob k[256];
	struct moka_rng r;
	int n = 0;
	double want, got = 0;

	moka_rng_seed(&r, seed, 9);
	nets_fill_inputs(t, seed);
	nets_forward(t, NULL);
	nets_backward(t);
	for (int i = 0; i < t->n->n_params; i++)
		k[n++] = make_knob(t->n->params[i].data, moka_exec_param_diff(t->e, i, 0), t->n->params[i].count, &r);
	for (int i = 0; i < t->n->n_inputs; i++) {
		int blob = t->n->inputs[i];

		if (moka_exec_diff(t->e, blob))
			k[n++] = make_knob(moka_exec_data(t->e, blob), moka_exec_diff(t->e, blob),
					   moka_shape_count(&t->n->blobs[blob].shape), &r);
	}
	T_TRUE(n > 0);
	for (int i = 0; i < n; i++)
		for (int64_t v = 0; k[i].gradient && v < k[i].count; v++)
			got += (double)k[i].gradient[v] * (double)k[i].direction[v];
	want = (loss_at(t, k, n, step) - loss_at(t, k, n, -step)) / (2 * (double)step);
	if (!(fabs(got - want) <= 1e-6 * fmax(1, fabs(want))))
		fail_msg("net %llu: the gradient says %.9g, the loss %.9g", (unsigned long long)seed, got, want);
	for (int i = 0; i < n; i++)
		free(k[i].direction);
}

T_TEST(random_nets)
{
	const struct moka_net_options o = { .phase = MOKA_TRAIN, .backward = true };

	for (uint64_t seed = 0; seed < 60; seed++) {
		struct moka_buf text;
		struct nets t;

		moka_buf_init(&text, 1 << 20);
		moka_buf_puts(&text, "force_backward: true\n");
		random_net(&text, seed, 3 + (int)(seed % 14), true);
		nets_run(&t, text.data, o, MOKA_KEEP_ALL, NULL);
		check(&t, seed);
		nets_close(&t);
		moka_buf_release(&text);
	}
}

static const char shared[] =
	"force_backward: true\n"
	"layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 3 dim: 6 } } }\n"
	"layer { name: 't' type: 'Input' top: 't' input_param { shape { dim: 3 dim: 6 } } }\n"
	"layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' param { name: 'w' } param { name: 'b' } inner_product_param { num_output: 6 "
	"weight_filler { type: 'gaussian' std: 0.4 } } }\n"
	"layer { name: 'n' type: 'TanH' bottom: 'a' top: 'a' }\n"
	"layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' param { name: 'w' } param { name: 'b' } inner_product_param { num_output: 6 "
	"weight_filler { type: 'gaussian' std: 0.4 } } }\n"
	"layer { name: 'loss' type: 'EuclideanLoss' bottom: 'b' bottom: 't' top: 'loss' }\n";

/* One array used twice, one use behind the other. */
T_TEST(a_shared_parameter)
{
	const struct moka_net_options o = { .phase = MOKA_TRAIN, .backward = true };

	for (uint64_t seed = 0; seed < 5; seed++) {
		struct nets t;

		nets_run(&t, shared, o, MOKA_KEEP_ALL, NULL);
		T_INT(t.n->n_params, 2);
		check(&t, seed);
		nets_close(&t);
	}
}

static const struct CMUnitTest tests[] = { T_CASE(random_nets), T_CASE(a_shared_parameter) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
