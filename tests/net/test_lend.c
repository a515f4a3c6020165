/* test_lend.c - weights that a plan has packed are given back, and are there again for whoever wants them. */
#include "fused_net.h"

#define CONV(name, bottom, outputs)                                                                                    \
	"layer { name: '" name "' type: 'Convolution' bottom: '" bottom "' top: '" name                                \
	"' convolution_param { num_output: " outputs " kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } } }\n"

static const char net[] =
	"layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 64 dim: 9 dim: 8 } } }\n" CONV(
		"a", "data",
		"128") "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }\n" CONV("b", "a",
										      "96") "layer { name: 'ip' type: 'InnerProduct' bottom: 'b' top: 'ip' inner_product_param { num_output: 40 "
											    "weight_filler { type: 'xavier' } } }\n";

struct again {
	int calls;
	bool fails;
};

static enum moka_status again(void *arg, struct moka_net *n, struct moka_error *err)
{
	struct again *a = arg;

	(void)n;
	a->calls++;
	return a->fails ? moka_fail(err, MOKA_ERR_IO, "gone.caffemodel: gone") : MOKA_OK;
}

static int given_back(const struct moka_net *n)
{
	int count = 0;

	for (int i = 0; i < n->n_params; i++)
		count += n->params[i].given_back;
	return count;
}

static real *copy_of(const struct moka_param *p)
{
	real *copy = malloc((size_t)p->count * sizeof(real));

	memcpy(copy, p->data, (size_t)p->count * sizeof(real));
	return copy;
}

static bool same(const struct moka_param *p, const real *values)
{
	return !memcmp(p->data, values, (size_t)p->count * sizeof(real));
}

/* Opens the net lent, keeps copies of its parameters. */
static void open_lent(struct nets *t, struct again *a, real **copies)
{
	nets_run(t, net, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_ALL, NULL);
	moka_exec_free(t->e);
	t->e = NULL;
	moka_net_lend(t->n, again, a);
	for (int i = 0; i < t->n->n_params; i++)
		copies[i] = copy_of(&t->n->params[i]);
}

static void check_values(const struct nets *t, real **copies)
{
	for (int i = 0; i < t->n->n_params; i++)
		T_TRUE(same(&t->n->params[i], copies[i]));
}

static void close_lent(struct nets *t, real **copies)
{
	for (int i = 0; i < t->n->n_params; i++)
		free(copies[i]);
	nets_close(t);
}

T_TEST(packed_weights_are_given_back_and_come_again)
{
	struct again a = { 0, false };
	struct nets t;
	struct moka_exec *fused, *plain;
	real *copies[8];

	open_lent(&t, &a, copies);
	fused = fused_exec(t.n, false, NULL);
	fused_forward(fused, t.n);
	/* both kernels; not the inner product's matrix, which is read where it lies, nor the biases, which are small */
	T_TRUE(given_back(t.n) == 2);
	T_TRUE(same(&t.n->params[4], copies[4]) && a.calls == 0);
	plain = fused_exec(t.n, true, NULL);
	T_TRUE(given_back(t.n) == 0);
	check_values(&t, copies);
	fused_forward(plain, t.n);
	fused_forward(fused, t.n);
	fused_compare(fused, plain, t.n, 2e-5);
	/* from now on they stay */
	moka_net_touch(t.n);
	fused_forward(fused, t.n);
	T_TRUE(given_back(t.n) == 0);
	moka_exec_free(plain);
	moka_exec_free(fused);
	close_lent(&t, copies);
}

T_TEST(changed_weights_are_packed_again)
{
	struct again a = { 0, false };
	struct nets t;
	struct moka_exec *fused, *plain;
	real *copies[8];

	open_lent(&t, &a, copies);
	fused = fused_exec(t.n, false, NULL);
	fused_forward(fused, t.n);
	T_INT(moka_net_watch(t.n, NULL), MOKA_OK);
	check_values(&t, copies);
	for (int64_t i = 0; i < t.n->params[0].count; i++)
		t.n->params[0].data[i] *= 2;
	fused_forward(fused, t.n);
	T_TRUE(given_back(t.n) == 0);
	plain = fused_exec(t.n, true, NULL);
	fused_forward(plain, t.n);
	fused_compare(fused, plain, t.n, 2e-5);
	moka_exec_free(plain);
	moka_exec_free(fused);
	close_lent(&t, copies);
}

T_TEST(packed_again_while_given_back)
{
	struct again a = { 0, false };
	struct nets t;
	struct moka_exec *fused;
	real *copies[8];

	open_lent(&t, &a, copies);
	fused = fused_exec(t.n, false, NULL);
	fused_forward(fused, t.n);
	moka_net_touch(t.n);
	fused_forward(fused, t.n);
	T_TRUE(given_back(t.n) == 2 && a.calls == 1);
	T_TRUE(!moka_net_plain(t.n, NULL));
	check_values(&t, copies);
	moka_exec_free(fused);
	close_lent(&t, copies);
}

T_TEST(a_plan_that_was_dropped_is_made_anew)
{
	struct again a = { 0, false };
	struct nets t;
	struct moka_exec *fused, *plain;
	real *copies[8];

	open_lent(&t, &a, copies);
	fused = fused_exec(t.n, false, NULL);
	moka_exec_free(fused);
	moka_net_drop_plan(t.n);
	moka_net_drop_plan(t.n);
	fused = fused_exec(t.n, false, NULL);
	T_INT(given_back(t.n), 2);
	plain = fused_exec(t.n, true, NULL);
	fused_forward(plain, t.n);
	fused_forward(fused, t.n);
	fused_compare(fused, plain, t.n, 2e-5);
	moka_exec_free(plain);
	moka_exec_free(fused);
	close_lent(&t, copies);
}

T_TEST(values_that_do_not_come_again_are_an_error)
{
	struct again a = { 0, true };
	const struct moka_exec_options o = { .keep = MOKA_KEEP_ALL };
	struct moka_error err = { 0 };
	struct nets t;
	struct moka_exec *fused, *plain = NULL;
	real *copies[8];

	open_lent(&t, &a, copies);
	fused = fused_exec(t.n, false, NULL);
	T_INT(moka_exec_new(&plain, t.n, &o, &err), MOKA_ERR_IO);
	T_TRUE(!plain);
	assert_string_equal(
		err.message,
		"weights that were given back when they were packed can't be had again: gone.caffemodel: gone");
	assert_string_equal(err.hint, "files of weights must stay as they are while a net that has them is open");
	memset(&err, 0, sizeof(err));
	T_INT(moka_net_plain(t.n, &err), MOKA_ERR_IO);
	T_TRUE(*err.message);
	T_INT(moka_net_watch(t.n, NULL), MOKA_ERR_IO); /* and the net stays as it was */
	fused_forward(fused, t.n);
	moka_exec_free(fused);
	close_lent(&t, copies);
}

/* ---- values that stay in their file ------------------------------------------------------------------- */

/* A net's parameters as a file: values at odd addresses, as a .caffemodel has them. */
struct file {
	struct moka_weights w;
	struct moka_weights_layer layers[8];
	struct moka_blob_view blobs[8][2];
	uint8_t *bytes;
};

static void make_file(struct file *f, const struct moka_net *n)
{
	size_t at = 1;

	*f = (struct file){ .w = { .path = "w.caffemodel", .layers = f->layers, .file = { .mapped = true } } };
	for (int i = 0; i < n->n_params; i++)
		at += (size_t)n->params[i].count * sizeof(real);
	f->bytes = malloc(at);
	at = 1;
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *nl = &n->layers[i];
		struct moka_weights_layer *l = &f->layers[f->w.n_layers];

		if (!nl->l.n_param)
			continue;
		*l = (struct moka_weights_layer){ .name = nl->l.name,
						  .n_blobs = nl->l.n_param,
						  .blobs = f->blobs[f->w.n_layers++] };
		for (int k = 0; k < nl->l.n_param; k++) {
			const struct moka_param *p = &n->params[nl->params[k]];
			struct moka_blob_view *v = &l->blobs[k];

			*v = (struct moka_blob_view){ .n_axes = p->shape.n,
						      .count = p->count,
						      .dtype = sizeof(real) == 4 ? MOKA_F32 : MOKA_F64,
						      .data = f->bytes + at,
						      .stride = sizeof(real) };
			memcpy(v->dim, p->shape.d, (size_t)p->shape.n * sizeof(v->dim[0]));
			memcpy(f->bytes + at, p->data, (size_t)p->count * sizeof(real));
			at += (size_t)p->count * sizeof(real);
		}
	}
}

T_TEST(large_weights_stay_in_their_file)
{
	const struct moka_net_options o = { .phase = MOKA_TEST, .for_run = true };
	struct again a = { 0, true };
	struct moka_error err = { 0 };
	struct nets from, t;
	struct file f;
	struct moka_exec *fused;

	nets_run(&from, net, (struct moka_net_options){ .phase = MOKA_TEST }, MOKA_KEEP_ALL, NULL);
	fused_inputs(from.e, from.n, 5);
	fused_forward(from.e, from.n);
	make_file(&f, from.n);
	nets_open(&t, net, &o);
	T_OK(moka_net_reserve(t.n, 1, &err), &err);
	moka_net_lend(t.n, again, &a);
	T_INT(moka_net_load(t.n, &f.w, true, &t.f), MOKA_OK);
	T_INT(given_back(t.n), 3);
	fused = fused_exec(t.n, false, NULL);
	fused_forward(fused, t.n);
	fused_compare(fused, from.e, t.n, 2e-5);
	/* the inner product reads its own as they are; another packing finds the others where they were */
	T_INT(given_back(t.n), 2);
	T_TRUE(same(&t.n->params[4], from.n->params[4].data));
	moka_net_touch(t.n);
	fused_forward(fused, t.n);
	fused_compare(fused, from.e, t.n, 2e-5);
	T_INT(given_back(t.n), 2);
	T_INT(moka_net_plain(t.n, NULL), MOKA_OK);
	for (int i = 0; i < t.n->n_params; i++)
		T_TRUE(same(&t.n->params[i], from.n->params[i].data));
	T_TRUE(given_back(t.n) == 0 && a.calls == 0);
	moka_exec_free(fused);
	nets_close(&t);
	nets_close(&from);
	free(f.bytes);
}

static const struct CMUnitTest tests[] = {
	T_CASE(large_weights_stay_in_their_file),     T_CASE(packed_weights_are_given_back_and_come_again),
	T_CASE(changed_weights_are_packed_again),     T_CASE(packed_again_while_given_back),
	T_CASE(a_plan_that_was_dropped_is_made_anew), T_CASE(values_that_do_not_come_again_are_an_error),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
