/* test_run.c - executions: passes allocate nothing, threads change nothing, gradients that meet are summed, errors speak. */
#include "random_net.h"

#include <math.h>
#include <stdatomic.h>

#if MOKA__GUARD || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0 /* the sanitizer owns malloc */
#else
#define COUNTS_ALLOCATIONS 1
static atomic_bool counting;
static atomic_int allocations;

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);

static void note_allocation(void)
{
	if (atomic_load(&counting))
		atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t n)
{
	note_allocation();
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	note_allocation();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	note_allocation();
	return __libc_realloc(p, n);
}
#endif

static const struct moka_net_options train = { .phase = MOKA_TRAIN, .backward = true };

static const char lenet[] =
	"layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 4 dim: 1 dim: 20 dim: 20 } } }\n"
	"layer { name: 'label' type: 'Input' top: 'label' input_param { shape { dim: 4 } } }\n"
	"layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv' convolution_param { num_output: 8 kernel_size: 5 "
	"weight_filler { type: 'xavier' } } }\n"
	"layer { name: 'pool' type: 'Pooling' bottom: 'conv' top: 'pool' pooling_param { pool: MAX kernel_size: 2 stride: 2 } }\n"
	"layer { name: 'ip1' type: 'InnerProduct' bottom: 'pool' top: 'ip1' inner_product_param { num_output: 30 "
	"weight_filler { type: 'xavier' } } }\n"
	"layer { name: 'relu' type: 'ReLU' bottom: 'ip1' top: 'ip1' }\n"
	"layer { name: 'drop' type: 'Dropout' bottom: 'ip1' top: 'ip1' }\n"
	"layer { name: 'ip2' type: 'InnerProduct' bottom: 'ip1' top: 'ip2' inner_product_param { num_output: 10 "
	"weight_filler { type: 'xavier' } } }\n"
	"layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip2' bottom: 'label' top: 'loss' }\n";

static void lenet_inputs(struct nets *t)
{
	nets_fill_inputs(t, 5);
	for (int i = 0; i < 4; i++)
		moka_exec_data(t->e, nets_blob(t, "label"))[i] = (real)i;
}

T_TEST(a_pass_allocates_nothing)
{
#if COUNTS_ALLOCATIONS
	struct nets t;
	struct moka_error err;
	enum moka_status st = MOKA_OK;

	nets_run(&t, lenet, train, MOKA_KEEP_ALL, NULL);
	lenet_inputs(&t);
	nets_forward(&t, NULL);
	nets_backward(&t);
	atomic_store(&allocations, 0);
	atomic_store(&counting, true);
	st |= moka_exec_forward(t.e, 0, t.n->n_layers, NULL, &err);
	moka_exec_clear_param_diffs(t.e);
	st |= moka_exec_backward(t.e, t.n->n_layers, 0, &err);
	atomic_store(&counting, false);
	T_INT(st, MOKA_OK);
	T_INT(atomic_load(&allocations), 0);
	nets_close(&t);
#else
	T_SKIP("the sanitizer owns malloc");
#endif
}

/* Everything that a pass leaves behind, as one checksum of bits. */
static uint64_t fingerprint(struct nets *t)
{
	uint64_t h = 1469598103934665603u;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < (pass ? t->n->n_params : t->n->n_blobs); i++) {
			const unsigned char *p = (const unsigned char *)(pass ? moka_exec_param_diff(t->e, i, 0)
									      : moka_exec_diff(t->e, i));
			const unsigned char *d = pass ? NULL : (const unsigned char *)moka_exec_data(t->e, i);
			size_t n = (size_t)(pass ? t->n->params[i].count : moka_shape_count(&t->n->blobs[i].shape)) *
				   sizeof(real);

			for (size_t k = 0; k < n; k++) {
				h = (h ^ (p ? p[k] : 0)) * 1099511628211u;
				h = (h ^ (d ? d[k] : 0)) * 1099511628211u;
			}
		}
	return h;
}

static uint64_t run_threads(int threads)
{
	struct moka_pool *pool = threads > 1 ? moka_pool_new(threads) : NULL;
	struct nets t;
	uint64_t h;

	nets_run(&t, lenet, train, MOKA_KEEP_ALL, pool);
	lenet_inputs(&t);
	nets_forward(&t, NULL);
	nets_backward(&t);
	h = fingerprint(&t);
	nets_close(&t);
	moka_pool_free(pool);
	return h;
}

T_TEST(threads_change_nothing)
{
	uint64_t one = run_threads(1);

	T_TRUE(one == run_threads(2));
	T_TRUE(one == run_threads(3));
}

/* ---- gradients that meet --------------------------------------------------------------------------------------- */

#define X "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 3 } } }\n"
#define SCALED(name, bottom, top, s)                                                                                   \
	"layer { name: '" name "' type: 'Power' bottom: '" bottom "' top: '" top "' power_param { scale: " s " } }\n"

static void check_diff(const char *text, const char *blob, real each)
{
	const struct moka_net_options o = { .phase = MOKA_TRAIN, .backward = true };
	struct nets t;

	nets_run(&t, text, o, MOKA_KEEP_ALL, NULL);
	nets_fill_inputs(&t, 1);
	for (int pass = 0; pass < 2; pass++) { /* the second must not see what the first left */
		nets_forward(&t, NULL);
		nets_backward(&t);
		const real *d = moka_exec_diff(t.e, nets_blob(&t, blob));
		const real want[3] = { each, each, each };

		T_TRUE(d != NULL);
		T_NEAR(d, want, 3, 1e-6, 1e-6);
	}
	nets_close(&t);
}

T_TEST(gradients_are_summed)
{
	const char *force = "force_backward: true\n";
	char text[2048];

	/* two readers */
	snprintf(
		text, sizeof(text),
		"%s" X SCALED(
			"m", "x", "m",
			"1") "layer { name: 'a' type: 'Power' bottom: 'm' top: 'a' power_param { scale: 2 } loss_weight: 1 }\n"
			     "layer { name: 'b' type: 'Power' bottom: 'm' top: 'b' power_param { scale: 5 } loss_weight: 1 }\n",
		force);
	check_diff(text, "m", 7);
	check_diff(text, "x", 7);
	/* one reader, twice: (m + m) */
	snprintf(
		text, sizeof(text),
		"%s" X SCALED(
			"m", "x", "m",
			"1") "layer { name: 'a' type: 'Eltwise' bottom: 'm' bottom: 'm' top: 'a' eltwise_param { coeff: 2 coeff: 3 } loss_weight: 1 }\n",
		force);
	check_diff(text, "m", 5);
	/* a reader and a loss weight of its own */
	snprintf(text, sizeof(text),
		 "%s" X
		 "layer { name: 'm' type: 'Power' bottom: 'x' top: 'm' power_param { scale: 1 } loss_weight: 10 }\n"
		 "layer { name: 'a' type: 'Power' bottom: 'm' top: 'a' power_param { scale: 2 } loss_weight: 1 }\n",
		 force);
	check_diff(text, "m", 12);
	/* two readers of an input, whose gradient nobody below takes */
	snprintf(text, sizeof(text),
		 "%s" X
		 "layer { name: 'a' type: 'Power' bottom: 'x' top: 'a' power_param { scale: 2 } loss_weight: 1 }\n"
		 "layer { name: 'b' type: 'Power' bottom: 'x' top: 'b' power_param { scale: 3 } loss_weight: 1 }\n",
		 force);
	check_diff(text, "x", 5);
	/* an in-place chain under two readers: the blob's diff ends as that of its first values */
	snprintf(
		text, sizeof(text),
		"%s" X SCALED("m", "x", "m", "1") SCALED(
			"i", "m", "m",
			"10") "layer { name: 'a' type: 'Power' bottom: 'm' top: 'a' power_param { scale: 2 } loss_weight: 1 }\n"
			      "layer { name: 'b' type: 'Power' bottom: 'm' top: 'b' power_param { scale: 3 } loss_weight: 1 }\n",
		force);
	check_diff(text, "x", 50);
	/* read before it is worked on in place: two versions */
	snprintf(
		text, sizeof(text),
		"%s" X SCALED("m", "x", "m", "1") "layer { name: 'a' type: 'Power' bottom: 'm' top: 'a' power_param { scale: 2 } loss_weight: 1 }\n" SCALED(
			"i", "m", "m",
			"10") "layer { name: 'b' type: 'Power' bottom: 'm' top: 'b' power_param { scale: 3 } loss_weight: 1 }\n",
		force);
	check_diff(text, "x", 32);
}

T_TEST(a_gradient_from_outside_is_one_more_reader)
{
	const char *tops[] = { "m", "a" };
	const struct moka_net_options o = {
		.phase = MOKA_TEST, .backward = true, .gradient_tops = tops, .n_gradient_tops = 2
	};
	const real one[3] = { 1, 2, 3 }, four[3] = { 4, 4, 4 }, want[3] = { 1 + 8, 2 + 8, 3 + 8 };
	struct moka_error err = { 0 };
	struct nets t;

	nets_run(&t, "force_backward: true\n" X SCALED("m", "x", "m", "1") SCALED("a", "m", "a", "2"), o, MOKA_KEEP_ALL,
		 NULL);
	T_OK(moka_exec_set_diff(t.e, nets_blob(&t, "m"), one, &err), &err);
	T_OK(moka_exec_set_diff(t.e, nets_blob(&t, "a"), four, &err), &err);
	for (int pass = 0; pass < 2; pass++) {
		nets_forward(&t, NULL);
		nets_backward(&t);
		T_NEAR(moka_exec_diff(t.e, nets_blob(&t, "x")), want, 3, 1e-6, 0);
	}
	T_INT(moka_exec_set_diff(t.e, nets_blob(&t, "x"), one, &err), MOKA_ERR_ARG);
	T_HAS(err.message, "'x' takes no gradient");
	T_INT(moka_exec_set_diff(t.e, 99, one, &err), MOKA_ERR_ARG);
	nets_close(&t);
}

T_TEST(losses_are_weighted_and_summed)
{
	struct nets t;
	real loss, want = 0;

	nets_run(
		&t,
		"force_backward: true\n" X
		"layer { name: 'a' type: 'Power' bottom: 'x' top: 'a' power_param { scale: 1 } loss_weight: 2 }\n"
		"layer { name: 'l' type: 'EuclideanLoss' bottom: 'a' bottom: 'x' top: 'l' loss_weight: 0.5 }\n"
		"layer { name: 'b' type: 'Power' bottom: 'x' top: 'b' power_param { scale: 0 shift: 1 } loss_weight: 1 }\n",
		train, MOKA_KEEP_ALL, NULL);
	nets_fill_inputs(&t, 4);
	nets_forward(&t, &loss);
	for (int i = 0; i < 3; i++)
		want += 2 * moka_exec_data(t.e, 0)[i] + 1;
	T_NEAR(&loss, &want, 1, 1e-5, 1e-6);
	nets_close(&t);
}

/* ---- parts of a pass, and errors ---------------------------------------------------------------------------------- */

T_TEST(parts_make_the_whole)
{
	struct nets whole, parts;
	struct moka_error err = { 0 };

	nets_run(&whole, lenet, train, MOKA_KEEP_ALL, NULL);
	nets_run(&parts, lenet, train, MOKA_KEEP_ALL, NULL);
	lenet_inputs(&whole);
	lenet_inputs(&parts);
	nets_forward(&whole, NULL);
	nets_backward(&whole);
	T_OK(moka_exec_forward(parts.e, 0, 4, NULL, &err), &err);
	for (int i = 4; i < parts.n->n_layers; i++)
		T_OK(moka_exec_layer_forward(parts.e, i, &err), &err);
	T_OK(moka_exec_backward(parts.e, parts.n->n_layers, 5, &err), &err);
	for (int i = 4; i >= 0; i--)
		T_OK(moka_exec_layer_backward(parts.e, i, &err), &err);
	T_TRUE(fingerprint(&whole) == fingerprint(&parts));
	T_INT(moka_exec_forward(parts.e, 0, 99, NULL, &err), MOKA_ERR_ARG);
	T_INT(moka_exec_backward(parts.e, 99, 0, &err), MOKA_ERR_ARG);
	T_INT(moka_exec_layer_forward(parts.e, -1, &err), MOKA_ERR_ARG);
	nets_close(&whole);
	nets_close(&parts);
}

static void check_refused(const char *text, struct moka_net_options o, struct moka_exec_options eo,
			  enum moka_status want, const char *says)
{
	struct moka_error err = { 0 };
	struct nets t;

	nets_open(&t, text, &o);
	if (moka_net_allocate(t.n, 1, &err))
		err = (struct moka_error){ 0 };
	T_INT(moka_exec_new(&t.e, t.n, &eo, &err), want);
	T_TRUE(t.e == NULL);
	T_HAS(err.message, says);
	nets_close(&t);
}

T_TEST(nets_that_cannot_run)
{
	const struct moka_net_options o = { .phase = MOKA_TEST },
				      small = { .phase = MOKA_TEST, .memory_limit_bytes = 1000 };
	const struct moka_exec_options eo = { .keep = MOKA_KEEP_ALL },
				       back = { .keep = MOKA_KEEP_OUTPUTS, .backward = true };

	check_refused(X "layer { name: 'u' type: 'Unheard' bottom: 'x' top: 'x' }\n", o, eo, MOKA_ERR_UNSUPPORTED,
		      "layer 'u' (Unheard) at line 2");
	check_refused(SCALED("m", "x", "m", "1"), o, eo, MOKA_ERR_MODEL, "input 'x' isn't known");
	check_refused(X SCALED("m", "x", "m", "1"), o, back, MOKA_ERR_ARG, "every blob kept");
	check_refused("layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 3000 } } }\n" SCALED(
			      "m", "x", "m", "1"),
		      small, eo, MOKA_ERR_LIMIT, "needs more than");
}

T_TEST(a_layers_own_words)
{
	struct nets t;
	struct moka_error err = { 0 };

	nets_run(&t, lenet, train, MOKA_KEEP_ALL, NULL);
	lenet_inputs(&t);
	moka_exec_data(t.e, nets_blob(&t, "label"))[2] = -3;
	T_INT(moka_exec_forward(t.e, 0, t.n->n_layers, NULL, &err), MOKA_ERR_DATA);
	T_HAS(err.message, "layer 'loss' (SoftmaxWithLoss)");
	T_HAS(err.message, "-3");
	nets_close(&t);
}

/* Two executions of one net have their own blobs and random streams, and the same parameters. */
T_TEST(two_executions)
{
	struct moka_exec_options eo = { .keep = MOKA_KEEP_ALL, .backward = true, .seed = 7 };
	struct moka_exec *other;
	struct moka_error err = { 0 };
	struct nets t;
	real a, b;

	nets_run(&t, lenet, train, MOKA_KEEP_ALL, NULL);
	T_OK(moka_exec_new(&other, t.n, &eo, &err), &err);
	lenet_inputs(&t);
	for (int i = 0; i < t.n->n_inputs; i++)
		memcpy(moka_exec_data(other, t.n->inputs[i]), moka_exec_data(t.e, t.n->inputs[i]),
		       (size_t)moka_shape_count(&t.n->blobs[t.n->inputs[i]].shape) * sizeof(real));
	nets_forward(&t, &a);
	nets_forward(&t, NULL); /* draws from its own stream only */
	T_OK(moka_exec_forward(other, 0, t.n->n_layers, &b, &err), &err);
	T_TRUE(a == b);
	T_TRUE(moka_exec_data(other, 0) != moka_exec_data(t.e, 0));
	moka_exec_free(other);
	nets_close(&t);
}

static const struct CMUnitTest tests[] = {
	T_CASE(a_pass_allocates_nothing),
	T_CASE(threads_change_nothing),
	T_CASE(gradients_are_summed),
	T_CASE(a_gradient_from_outside_is_one_more_reader),
	T_CASE(losses_are_weighted_and_summed),
	T_CASE(parts_make_the_whole),
	T_CASE(nets_that_cannot_run),
	T_CASE(a_layers_own_words),
	T_CASE(two_executions),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
