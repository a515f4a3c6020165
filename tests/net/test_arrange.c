/*
 * test_arrange.c - an execution that lays blobs out itself and joins layers (moka_exec_options.arrange) against one that runs every layer on
 * plain blobs: losses, gradients, parameters after some steps, and blobs as somebody sees them.
 */
#include "nets.h"

#include "kernels/blocked.h"

#include <math.h>

static void open_run(struct nets *t, const char *text, bool arrange, struct moka_pool *pool)
{
	struct moka_net_options o = { .phase = MOKA_TRAIN, .backward = true, .for_run = true };
	struct moka_exec_options eo = {
		.keep = MOKA_KEEP_ALL, .backward = true, .arrange = arrange, .pool = pool, .seed = 7
	};
	struct moka_error err = { 0 };

	nets_open(t, text, &o);
	if (t->f.errors) {
		nets_print(&t->f);
		print_message("%s", text);
		fail_msg("the net has errors");
	}
	T_OK(moka_net_allocate(t->n, 11, &err), &err);
	T_OK(moka_exec_new(&t->e, t->n, &eo, &err), &err);
}

static void fill_inputs(struct nets *t, uint64_t seed)
{
	for (int i = 0; i < t->n->n_inputs; i++) {
		real *x = moka_exec_data(t->e, t->n->inputs[i]);
		struct moka_rng r;

		moka_rng_seed(&r, seed, (uint64_t)i);
		for (int64_t k = 0; k < moka_shape_count(&t->n->blobs[t->n->inputs[i]].shape); k++)
			x[k] = (real)moka_rng_gaussian(&r);
	}
}

static real pass(struct nets *t, uint64_t seed)
{
	struct moka_error err = { 0 };
	real loss;

	moka_exec_reseed(t->e, seed);
	fill_inputs(t, seed);
	moka_exec_clear_param_diffs(t->e);
	T_OK(moka_exec_forward(t->e, 0, t->n->n_layers, &loss, &err), &err);
	T_OK(moka_exec_backward(t->e, t->n->n_layers, 0, &err), &err);
	return loss;
}

static void step(struct nets *t, real rate)
{
	for (int p = 0; p < t->n->n_params; p++) {
		const real *d = moka_exec_param_diff(t->e, p, 0);

		if (d)
			moka_axpy(t->n->params[p].count, -rate, d, t->n->params[p].data);
	}
	moka_net_touch(t->n);
}

/* The largest difference, as a share of the largest magnitude (at least `floor`). */
static double apart(const real *a, const real *b, int64_t n, double floor)
{
	double most = floor, worst = 0;

	for (int64_t i = 0; i < n; i++) {
		most = fmax(most, fabs((double)a[i]));
		worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
		if (isnan(a[i]) != isnan(b[i]))
			return 1e9;
	}
	return worst / most;
}

/* The largest gradient of all: one that should be 0 (a bias before BatchNorm) is noise of theirs. */
static double largest(struct nets *t)
{
	double most = 0;

	for (int p = 0; p < t->n->n_params; p++) {
		const real *d = moka_exec_param_diff(t->e, p, 0);

		for (int64_t i = 0; d && i < t->n->params[p].count; i++)
			most = fmax(most, fabs((double)d[i]));
	}
	return most;
}

static void compare(struct nets *a, struct nets *b, double tolerance, bool blobs)
{
	const double floor = 0.05 * largest(a);

	for (int p = 0; p < a->n->n_params; p++) {
		const real *da = moka_exec_param_diff(a->e, p, 0), *db = moka_exec_param_diff(b->e, p, 0);
		const int64_t n = a->n->params[p].count;

		assert_int_equal(da != NULL, db != NULL);
		if (da && apart(da, db, n, floor) > tolerance)
			fail_msg("gradient of parameter %s: %g apart", a->n->params[p].name, apart(da, db, n, floor));
		if (apart(a->n->params[p].data, b->n->params[p].data, n, 0.1) > tolerance)
			fail_msg("parameter %s: %g apart", a->n->params[p].name,
				 apart(a->n->params[p].data, b->n->params[p].data, n, 0.1));
	}
	for (int i = 0; blobs && i < a->n->n_blobs; i++) {
		const int64_t n = moka_shape_count(&a->n->blobs[i].shape);
		const double off = apart(moka_exec_data(a->e, i), moka_exec_data(b->e, i), n, 1e-3);

		if (off > tolerance)
			fail_msg("blob %s: %g apart", a->n->blobs[i].name, off);
	}
}

static int blocked(const struct nets *t)
{
	int n = 0;

	for (int i = 0; i < t->n->n_blobs; i++)
		n += t->e->blob_block && t->e->blob_block[i] > 1;
	return n;
}

/* Some steps with and without; then one and three threads, to the bit. */
static void check(const char *text, int *n_blocked, int *n_joins)
{
	struct moka_pool *pool = moka_pool_new(3);
	struct nets plain, own, threads;

	open_run(&plain, text, false, NULL);
	open_run(&own, text, true, NULL);
	open_run(&threads, text, true, pool);
	for (int i = 0; i < 3; i++) {
		const real a = pass(&plain, (uint64_t)i), b = pass(&own, (uint64_t)i), c = pass(&threads, (uint64_t)i);

		if (fabs((double)(a - b)) > 2e-5 * fmax(1, fabs((double)a)))
			fail_msg("pass %d: loss %.8g against %.8g", i, (double)b, (double)a);
		compare(&plain, &own, i ? 2e-3 : 1e-4, true);
		assert_memory_equal(&b, &c, sizeof(b));
		compare(&own, &threads, 0, true);
		step(&plain, (real)1e-3);
		step(&own, (real)1e-3);
		step(&threads, (real)1e-3);
	}
	*n_blocked += blocked(&own);
	*n_joins += own.e->n_joins;
	nets_close(&plain);
	nets_close(&own);
	nets_close(&threads);
	moka_pool_free(pool);
}

/* ---- nets by hand --------------------------------------------------------------------------------------- */

#define IN "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 3 dim: 3 dim: 9 dim: 8 } } }\n"
#define CONV(name, in, out, n, k)                                                                                      \
	"layer { name: '" name "' type: 'Convolution' bottom: '" in "' top: '" out                                     \
	"' convolution_param { num_output: " #n " kernel_size: " #k " pad: " #k                                        \
	" weight_filler { type: 'gaussian' std: 0.1 } bias_filler { type: 'gaussian' std: 0.1 } } }\n"
#define CONV1(name, in, out, n)                                                                                        \
	"layer { name: '" name "' type: 'Convolution' bottom: '" in "' top: '" out                                     \
	"' convolution_param { num_output: " #n " kernel_size: 1 weight_filler { type: 'gaussian' std: 0.2 } } }\n"
#define BN(name, in, out) "layer { name: '" name "' type: 'BatchNorm' bottom: '" in "' top: '" out "' }\n"
#define SCALE(name, b, bias)                                                                                           \
	"layer { name: '" name "' type: 'Scale' bottom: '" b "' top: '" b "' scale_param { bias_term: " bias           \
	" filler { type: 'gaussian' std: 1 } bias_filler { type: 'gaussian' std: 0.3 } } }\n"
#define RELU(name, b) "layer { name: '" name "' type: 'ReLU' bottom: '" b "' top: '" b "' }\n"
#define SUM(name, a, b, out)                                                                                           \
	"layer { name: '" name "' type: 'Eltwise' bottom: '" a "' bottom: '" b "' top: '" out "' }\n"
#define LOSS(name, in)                                                                                                 \
	CONV1(name "c", in, name "c", 2)                                                                               \
	"layer { name: '" name "' type: 'Reduction' bottom: '" name "c' top: '" name                                   \
	"' reduction_param { operation: SUMSQ coeff: 0.01 } loss_weight: 1 }\n"

static void a_residual_block(void **state)
{
	static const char text[] = IN CONV("c0", "x", "c0", 32, 3) BN("n0", "c0", "c0") SCALE("s0", "c0", "true")
		RELU("r0", "c0") CONV1("c1", "c0", "c1", 32) BN("n1", "c1", "c1") SCALE("s1", "c1", "true")
			CONV1("c2", "c0", "c2", 32) BN("n2", "c2", "c2") SCALE("s2", "c2", "true") RELU("r2", "c2")
				CONV1("c3", "c2", "c3", 32) BN("n3", "c3", "c3") SCALE("s3", "c3", "false")
					SUM("e1", "c1", "c3", "e1") RELU("re1", "e1") CONV1("c4", "e1", "c4", 32)
						BN("n4", "c4", "c4") SCALE("s4", "c4", "true")
							SUM("e2", "e1", "c4", "e2") RELU("re2", "e2")
								LOSS("loss", "e2");
	struct nets t;
	int b = 0, j = 0;

	(void)state;
	check(text, &b, &j);
	assert_int_equal(j, 7);
	if (moka_block() > 1)
		assert_int_equal(b, 7);
	/* gradients are read where they lie: both ways into e1 read e1's, and e1's second part is e2's */
	open_run(&t, text, true, NULL);
	if (moka_block() > 1) {
		const int e1 = moka_net_blob(t.n, "e1"), e2 = moka_net_blob(t.n, "e2");

		for (int i = 0; i < t.e->n_joins; i++)
			if (t.e->joins[i].blob == moka_net_blob(t.n, "c1") ||
			    t.e->joins[i].blob == moka_net_blob(t.n, "c3"))
				assert_ptr_equal(t.e->joins[i].dy, t.e->diff[e1]);
		assert_true(t.e->sum_of[e1] >= 0);
		assert_true(t.e->sums[t.e->sum_of[e1]].joined);
		assert_ptr_equal(t.e->sums[t.e->sum_of[e1]].parts[1], t.e->diff[e2]);
	}
	nets_close(&t);
}

/* BatchNorm with memory of its own, in place behind what can't be diverted, with NVIDIA's scale, alone. */
static void norms(void **state)
{
	static const char text[] = IN CONV("c0", "x", "c0", 16, 3) BN("n0", "c0", "b0") SCALE("s0", "b0",
											      "true") RELU("r0", "b0")
		SUM("e0", "b0", "c0", "e0") "layer { name: 'p' type: 'Pooling' bottom: 'e0' top: 'p' pooling_param { kernel_size: 3 stride: 2 } }\n" BN(
			"n1", "p",
			"p") "layer { name: 'b1' type: 'Bias' bottom: 'p' top: 'p' }\n"
			     "layer { name: 'r1' type: 'ReLU' bottom: 'p' top: 'p' relu_param { negative_slope: 0.1 } }\n" CONV1(
				     "c2", "p", "c2",
				     16) "layer { name: 'n2' type: 'BatchNorm' bottom: 'c2' top: 'c2' batch_norm_param { scale_bias: "
					 "true } }\n" CONV1("c3", "c2", "c3", 16) BN("n3", "c3", "c3")
						 LOSS("loss", "c3");
	int b = 0, j = 0;

	(void)state;
	check(text, &b, &j);
	if (moka_block() > 1) {
		assert_int_equal(j, 5);
		assert_int_equal(b, 6);
	}
}

/* Layers that take blocks, one behind the other, and those that don't: Dropout draws as ever. */
static void layers_that_take_blocks(void **state)
{
	static const char text[] = IN CONV(
		"c0", "x", "c0", 32,
		3) "layer { name: 'l' type: 'LRN' bottom: 'c0' top: 'l' lrn_param { local_size: 5 alpha: 0.5 } }\n"
		   "layer { name: 'p1' type: 'Pooling' bottom: 'l' top: 'p1' pooling_param { pool: AVE kernel_size: 3 stride: 2 "
		   "pad: 1 } }\n"
		   "layer { name: 's' type: 'Slice' bottom: 'p1' top: 's1' top: 's2' }\n" SCALE(
			   "sc", "s1",
			   "true") "layer { name: 'cc' type: 'Concat' bottom: 's2' bottom: 's1' top: 'cc' }\n"
				   "layer { name: 'sg' type: 'Sigmoid' bottom: 'cc' top: 'sg' }\n"
				   "layer { name: 'mx' type: 'Eltwise' bottom: 'sg' bottom: 'cc' top: 'mx' eltwise_param { operation: MAX } }\n"
				   "layer { name: 'c1' type: 'Convolution' bottom: 'mx' top: 'c1' convolution_param { num_output: 32 "
				   "kernel_size: 3 group: 2 stride: 2 pad: 1 weight_filler { type: 'xavier' } } }\n"
				   "layer { name: 'd' type: 'Dropout' bottom: 'c1' top: 'c1' }\n" CONV1(
					   "c2", "c1", "c2",
					   32) "layer { name: 'gp' type: 'Pooling' bottom: 'c2' top: 'gp' pooling_param { pool: AVE global_pooling: "
					       "true } }\n"
					       "layer { name: 'ip' type: 'InnerProduct' bottom: 'gp' top: 'ip' inner_product_param { num_output: 5 "
					       "weight_filler { type: 'xavier' } } }\n"
					       "layer { name: 'loss' type: 'Reduction' bottom: 'ip' top: 'loss' reduction_param { operation: SUMSQ } "
					       "loss_weight: 1 }\n";
	int b = 0, j = 0;

	(void)state;
	check(text, &b, &j);
	if (moka_block() > 1)
		assert_true(b >= 6);
}

/* What the outside looks at stays plain, and MOKA_PLAN=off turns everything off. */
static void what_is_seen_stays_plain(void **state)
{
	static const char text[] =
		IN CONV("c0", "x", "c0", 32, 3) RELU("r0", "c0") CONV1("c1", "c0", "c1", 32) LOSS("loss", "c0");
	struct nets t;

	(void)state;
	open_run(&t, text, true, NULL);
	assert_int_equal(t.e->blob_block[moka_net_blob(t.n, "x")], 1);
	assert_int_equal(t.e->blob_block[moka_net_blob(t.n, "c1")], 1); /* an output */
	assert_int_equal(t.e->blob_block[moka_net_blob(t.n, "c0")], moka_block());
	nets_close(&t);
	setenv("MOKA_PLAN", "off", 1);
	open_run(&t, text, true, NULL);
	unsetenv("MOKA_PLAN");
	assert_int_equal(blocked(&t), 0);
	nets_close(&t);
}

/* ---- random nets -------------------------------------------------------------------------------------------- */

struct random {
	struct moka_buf out;
	struct moka_rng r;
	int blobs, layers, channels[64], size[64];
	bool used[64];
};

static int pick(struct random *g, int n)
{
	return (int)moka_rng_below(&g->r, (uint64_t)n);
}

static int blob(struct random *g, int channels, int size)
{
	g->channels[g->blobs] = channels;
	g->size[g->blobs] = size;
	return g->blobs++;
}

static void random_conv(struct random *g, int a)
{
	static const int outputs[] = { 16, 32, 48, 64, 24, 5 };
	const int out = outputs[pick(g, 6)], kernel = 1 + 2 * pick(g, 3), stride = g->size[a] > 4 ? 1 + pick(g, 2) : 1;
	const int group = g->channels[a] % 2 == 0 && out % 2 == 0 && !pick(g, 4) ? 2 : 1;
	const int size = (g->size[a] + 2 * (kernel / 2) - kernel) / stride + 1;

	moka_buf_printf(
		&g->out,
		"layer { name: 'l%d' type: 'Convolution' bottom: 'b%d' top: 'b%d' %s convolution_param { num_output: %d "
		"kernel_size: %d pad: %d stride: %d group: %d bias_term: %s weight_filler { type: 'xavier' } } }\n",
		g->layers++, a, blob(g, out, size), "", out, kernel, kernel / 2, stride, group,
		pick(g, 2) ? "true" : "false");
}

static void random_simple(struct random *g, int a)
{
	static const char *const types[] = {
		"type: 'BatchNorm'",
		"type: 'BatchNorm'",
		"type: 'Scale' scale_param { bias_term: true filler { type: 'gaussian' std: 1 } }",
		"type: 'Scale'",
		"type: 'Bias' bias_param { filler { type: 'gaussian' std: 0.3 } }",
		"type: 'ReLU'",
		"type: 'ReLU'",
		"type: 'ReLU' relu_param { negative_slope: 0.1 }",
		"type: 'PReLU'",
		"type: 'Dropout'",
		"type: 'TanH'",
		"type: 'Power' power_param { scale: 0.7 shift: 0.1 }",
		"type: 'LRN' lrn_param { local_size: 3 alpha: 0.1 }",
		"type: 'Split'",
	};
	const int which = pick(g, (int)MOKA_COUNT(types));
	const bool in_place = !g->used[a] && pick(g, 5) && which < 12;
	int top = a;

	if (!in_place) {
		g->used[a] = true;
		top = blob(g, g->channels[a], g->size[a]);
	}
	moka_buf_printf(&g->out, "layer { name: 'l%d' %s bottom: 'b%d' top: 'b%d' }\n", g->layers++, types[which], a,
			top);
}

static void random_two(struct random *g, int a)
{
	const int from = pick(g, g->blobs), kind = pick(g, 4);

	for (int i = 0; i < g->blobs; i++) {
		const int b = (from + i) % g->blobs;

		if (!b || b == a || g->size[b] != g->size[a] || (kind && g->channels[b] != g->channels[a]) ||
		    g->channels[a] + g->channels[b] > 200)
			continue;
		g->used[a] = g->used[b] = true;
		if (kind)
			moka_buf_printf(
				&g->out,
				"layer { name: 'l%d' type: 'Eltwise' bottom: 'b%d' bottom: 'b%d' top: 'b%d' %s }\n",
				g->layers++, a, b, blob(g, g->channels[a], g->size[a]),
				kind == 1 ? "eltwise_param { coeff: 1 coeff: -0.5 }" : "");
		else
			moka_buf_printf(&g->out,
					"layer { name: 'l%d' type: 'Concat' bottom: 'b%d' bottom: 'b%d' top: 'b%d' }\n",
					g->layers++, a, b, blob(g, g->channels[a] + g->channels[b], g->size[a]));
		return;
	}
}

static void random_pool(struct random *g, int a)
{
	if (g->size[a] < 3)
		return;
	g->used[a] = true;
	moka_buf_printf(
		&g->out,
		"layer { name: 'l%d' type: 'Pooling' bottom: 'b%d' top: 'b%d' pooling_param { pool: %s kernel_size: 3 stride: "
		"1 pad: 1 } }\n",
		g->layers++, a, blob(g, g->channels[a], g->size[a]), pick(g, 2) ? "MAX" : "AVE");
}

static void random_slice(struct random *g, int a)
{
	const int c = g->channels[a];
	int one;

	if (c < 32)
		return;
	g->used[a] = true;
	one = blob(g, 16, g->size[a]);
	moka_buf_printf(
		&g->out,
		"layer { name: 'l%d' type: 'Slice' bottom: 'b%d' top: 'b%d' top: 'b%d' slice_param { slice_point: 16 } }\n",
		g->layers++, a, one, blob(g, c - 16, g->size[a]));
}

static void random_text(struct random *g, uint64_t seed)
{
	memset(g, 0, sizeof(*g));
	moka_buf_init(&g->out, 1 << 20);
	moka_rng_seed(&g->r, seed, 5);
	blob(g, 3, 8);
	moka_buf_puts(
		&g->out,
		"layer { name: 'in' type: 'Input' top: 'b0' input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }\n");
	random_conv(g, 0);
	for (int i = 0; i < 14 && g->blobs < 40; i++) {
		const int a = pick(g, 3) ? g->blobs - 1 : 1 + pick(g, g->blobs - 1), kind = pick(g, 9);

		if (kind < 3) {
			g->used[a] = true;
			random_conv(g, a);
			for (int k = pick(g, 4); k > 0; k--)
				random_simple(g, g->blobs - 1);
		} else if (kind < 5) {
			random_simple(g, a);
		} else if (kind < 7) {
			random_two(g, a);
			if (pick(g, 2))
				random_simple(g, g->blobs - 1);
		} else if (kind == 7) {
			random_pool(g, a);
		} else {
			random_slice(g, a);
		}
	}
	for (int i = 0, n = g->blobs; i < n; i++)
		if (i && !g->used[i])
			moka_buf_printf(
				&g->out,
				"layer { name: 'e%d' type: 'Convolution' bottom: 'b%d' top: 'e%d' convolution_param { num_output: 3 "
				"kernel_size: 1 weight_filler { type: 'xavier' } } }\n"
				"layer { name: 'loss%d' type: 'Reduction' bottom: 'e%d' top: 'loss%d' reduction_param { operation: "
				"SUMSQ coeff: 0.01 } loss_weight: 1 }\n",
				i, i, i, i, i, i);
}

static void random_nets(void **state)
{
	const char *only = getenv("MOKA_TEST_SEED");
	int b = 0, j = 0;

	(void)state;
	for (uint64_t seed = only ? strtoull(only, NULL, 10) : 0; seed < 120; seed++) {
		struct random g;

		random_text(&g, seed);
		if (only)
			print_message("%s", g.out.data);
		else
			print_message("# seed %d\n", (int)seed);
		check(g.out.data, &b, &j);
		moka_buf_release(&g.out);
		if (only)
			break;
	}
	print_message("# %d blobs in blocks, %d joined steps\n", b, j);
	if (moka_block() > 1 && !only)
		assert_true(b > 200 && j > 40);
}

static const struct CMUnitTest tests[] = {
	T_CASE(a_residual_block),	  T_CASE(norms),       T_CASE(layers_that_take_blocks),
	T_CASE(what_is_seen_stays_plain), T_CASE(random_nets),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
