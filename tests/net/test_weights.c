/* test_weights.c - fillers, weights from files into nets (what fits, what is left over), nets as messages, shared memory. */
#include "nets.h"

#define INPUT "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 8 } } }\n"
#define IP(name, bottom, n)                                                                                            \
	"layer { name: '" name "' type: 'InnerProduct' bottom: '" bottom "' top: '" name                               \
	"' inner_product_param { num_output: " n " "                                                                   \
	"weight_filler { type: 'gaussian' std: 1 } bias_filler { type: 'constant' value: 0.5 } } }\n"
#define TWO INPUT IP("a", "data", "4") IP("b", "a", "3")

static const struct moka_net_options test_phase = { .phase = MOKA_TEST };

/* ---- a weights file in memory: values 1, 2, 3 ... */

struct file {
	struct moka_weights w;
	struct moka_weights_layer layers[8];
	struct moka_blob_view blobs[8][6];
	float values[4096];
};

static struct file *file_new(void)
{
	struct file *f = calloc(1, sizeof(*f));

	f->w.path = "w.caffemodel";
	f->w.layers = f->layers;
	for (size_t i = 0; i < MOKA_COUNT(f->values); i++)
		f->values[i] = (float)i + 1;
	return f;
}

static void file_layer(struct file *f, const char *name)
{
	f->layers[f->w.n_layers] =
		(struct moka_weights_layer){ .name = name, .type = "InnerProduct", .blobs = f->blobs[f->w.n_layers] };
	f->w.n_layers++;
}

static void file_blob(struct file *f, bool legacy, int n, const int64_t *dim)
{
	struct moka_weights_layer *l = &f->layers[f->w.n_layers - 1];
	struct moka_blob_view *v = &l->blobs[l->n_blobs++];

	*v = (struct moka_blob_view){ .n_axes = n,
				      .legacy = legacy,
				      .count = 1,
				      .dtype = MOKA_F32,
				      .data = (const uint8_t *)f->values,
				      .stride = sizeof(float) };
	for (int i = 0; i < n; i++) {
		v->dim[i] = dim[i];
		v->count *= dim[i];
	}
}
#define BLOB(f, ...)                                                                                                   \
	file_blob(f, false, (int)MOKA_COUNT(((const int64_t[]){ __VA_ARGS__ })), (const int64_t[]){ __VA_ARGS__ })
#define LEGACY(f, ...)                                                                                                 \
	file_blob(f, true, (int)MOKA_COUNT(((const int64_t[]){ __VA_ARGS__ })), (const int64_t[]){ __VA_ARGS__ })

static void open_net(struct nets *t, const char *text)
{
	struct moka_error err = { 0 };

	nets_open(t, text, &test_phase);
	T_INT(t->f.errors, 0);
	T_OK(moka_net_allocate(t->n, 1, &err), &err);
}

static const struct moka_param *param(const struct nets *t, const char *layer, int i)
{
	return &t->n->params[nets_layer(t, layer)->params[i]];
}

/* ---- fillers ------------------------------------------------------------------------------------------------------ */

T_TEST(fillers_and_seeds)
{
	struct nets t, same, other;
	struct moka_error err = { 0 };

	open_net(&t, TWO);
	open_net(&same, TWO);
	nets_open(&other, TWO, &test_phase);
	T_OK(moka_net_allocate(other.n, 2, &err), &err);
	T_TRUE(param(&t, "a", 1)->data[3] == (real)0.5);
	T_TRUE(!memcmp(param(&t, "a", 0)->data, param(&same, "a", 0)->data, 32 * sizeof(real)));
	T_TRUE(memcmp(param(&t, "a", 0)->data, param(&other, "a", 0)->data, 32 * sizeof(real)) != 0);
	T_TRUE(memcmp(param(&t, "a", 0)->data, param(&t, "b", 0)->data, 12 * sizeof(real)) != 0);
	T_INT((uintptr_t)param(&t, "b", 0)->data % MOKA__ALIGN, 0);
	T_INT(moka_net_allocate(t.n, 1, &err), MOKA_ERR_ARG);
	nets_close(&t);
	nets_close(&same);
	nets_close(&other);
}

/* Fillers put off until weights have come give the same values as fillers run at once. */
T_TEST(reserved_parameters_are_filled_later)
{
	struct nets t, at_once;
	struct moka_error err = { 0 };
	struct file *f = file_new();

	file_layer(f, "a");
	BLOB(f, 4, 8);
	BLOB(f, 4);
	open_net(&at_once, TWO);
	nets_open(&t, TWO, &test_phase);
	T_OK(moka_net_reserve(t.n, 1, &err), &err);
	T_TRUE(param(&t, "b", 1)->data[0] == 0);
	T_INT(moka_net_load(t.n, &f->w, false, &t.f), MOKA_OK);
	T_TRUE(param(&t, "a", 0)->data[5] == 6);
	T_TRUE(!memcmp(param(&t, "b", 0)->data, param(&at_once, "b", 0)->data, 12 * sizeof(real)));
	T_TRUE(param(&t, "b", 1)->data[0] == (real)0.5);
	nets_close(&t);
	nets_close(&at_once);
	free(f);
}

T_TEST(unknown_shapes_cannot_be_allocated)
{
	struct nets t;
	struct moka_error err = { 0 };

	nets_open(&t, IP("a", "data", "4"), &test_phase);
	T_INT(moka_net_allocate(t.n, 1, &err), MOKA_ERR_MODEL);
	T_HAS(err.message, "layer 'a' (InnerProduct) at line 1: the shape of its weight isn't known: 4x?");
	nets_close(&t);
}

/* ---- loading --------------------------------------------------------------------------------------------------------- */

T_TEST(weights_that_fit)
{
	struct nets t;
	struct file *f = file_new();

	open_net(&t, TWO);
	file_layer(f, "data");
	file_layer(f, "a");
	BLOB(f, 4, 8);
	BLOB(f, 4);
	file_layer(f, "b");
	LEGACY(f, 1, 1, 3, 4); /* old files: ones in front */
	LEGACY(f, 1, 1, 1, 3);
	T_INT(moka_net_load(t.n, &f->w, false, &t.f), MOKA_OK);
	T_INT(t.f.n, 0);
	T_TRUE(param(&t, "a", 0)->data[31] == 32);
	T_TRUE(param(&t, "b", 0)->data[11] == 12);
	T_TRUE(param(&t, "b", 1)->data[2] == 3);
	T_STR(param(&t, "b", 1)->from, "w.caffemodel");
	T_TRUE(f->layers[0].used && f->layers[1].used && f->layers[2].used);
	nets_close(&t);
	free(f);
}

static void check_refused(void (*make)(struct file *), const char *says)
{
	struct nets t;
	struct file *f = file_new();
	const struct moka_finding *x;

	open_net(&t, TWO);
	file_layer(f, "a");
	make(f);
	T_INT(moka_net_load(t.n, &f->w, false, &t.f), MOKA_ERR_MODEL);
	x = nets_find(&t, "weights-mismatch");
	T_TRUE(x != NULL);
	T_INT(x->severity, MOKA_ERROR);
	T_INT(x->loc.line, 2);
	T_HAS(x->message, says);
	nets_close(&t);
	free(f);
}

static void wrong_dimension(struct file *f)
{
	BLOB(f, 4, 9);
	BLOB(f, 4);
}

static void as_many_turned(struct file *f)
{
	BLOB(f, 8, 4);
	BLOB(f, 4);
}

static void wrong_legacy(struct file *f)
{
	LEGACY(f, 1, 2, 4, 4);
	BLOB(f, 4);
}

static void other_axes(struct file *f)
{
	BLOB(f, 4, 8, 1);
	BLOB(f, 4);
}

static void one_blob(struct file *f)
{
	BLOB(f, 4, 8);
}

static void shapes_only(struct file *f)
{
	BLOB(f, 4, 8);
	BLOB(f, 4);
	f->blobs[0][0].count = 0;
}

T_TEST(weights_that_do_not_fit)
{
	check_refused(wrong_dimension,
		      "its weight is 4x8, but w.caffemodel has 4x9: dimension 1 is 8 in the net and 9 in the file");
	check_refused(as_many_turned, "dimension 0 is 4 in the net and 8 in the file");
	check_refused(wrong_legacy, "dimension 1 is 1 in the net and 2 in the file");
	check_refused(other_axes, "2 dimensions in the net and 3 in the file");
	check_refused(one_blob, "it has 2 parameters, but w.caffemodel has 1 blob for it");
	check_refused(shapes_only, "holds 0 values for its weight, which is 4x8");
}

T_TEST(what_is_left_over)
{
	struct nets t;
	struct file *f = file_new();
	const struct moka_finding *x;

	open_net(&t, TWO);
	file_layer(f, "a");
	BLOB(f, 4, 8);
	BLOB(f, 4);
	file_layer(f, "b2");
	BLOB(f, 3, 4);
	BLOB(f, 3);
	T_INT(moka_net_load(t.n, &f->w, false, &t.f), MOKA_OK);
	x = nets_find(&t, "weights-unused");
	T_INT(x->severity, MOKA_WARNING);
	T_HAS(x->message, "1 of the 2 layers in w.caffemodel is not in the net: b2");
	x = nets_find(&t, "weights-missing");
	T_INT(x->loc.line, 3);
	T_HAS(x->message, "1 of 2 layers with parameters take nothing from w.caffemodel and stay at their fillers: b");
	T_FALSE(f->layers[1].used);
	nets_close(&t);
	free(f);
}

/* A second file that brings the rest takes the warning back. */
T_TEST(two_files)
{
	struct nets t;
	struct file *f = file_new(), *g = file_new();

	open_net(&t, TWO);
	file_layer(f, "a");
	BLOB(f, 4, 8);
	BLOB(f, 4);
	file_layer(g, "b");
	BLOB(g, 3, 4);
	BLOB(g, 3);
	T_INT(moka_net_load(t.n, &f->w, false, &t.f), MOKA_OK);
	T_TRUE(nets_find(&t, "weights-missing") != NULL);
	T_INT(moka_net_load(t.n, &g->w, false, &t.f), MOKA_OK);
	T_INT(t.f.n, 0);
	T_INT(t.f.warnings, 0);
	nets_close(&t);
	free(f);
	free(g);
}

/* explain and check allocate nothing and learn the same. */
T_TEST(a_net_without_memory_is_only_checked)
{
	struct nets t;
	struct file *f = file_new();

	nets_open(&t, TWO, &test_phase);
	file_layer(f, "a");
	BLOB(f, 4, 9);
	BLOB(f, 4);
	T_INT(moka_net_load(t.n, &f->w, false, &t.f), MOKA_ERR_MODEL);
	T_TRUE(nets_find(&t, "weights-mismatch") && nets_find(&t, "weights-missing"));
	T_TRUE(t.n->param_block == NULL);
	nets_close(&t);
	free(f);
}

static void load_five(real scale, enum moka_severity severity)
{
	struct nets t;
	struct file *f = file_new();

	open_net(
		&t,
		"layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 2 dim: 3 dim: 3 } } }\n"
		"layer { name: 'bn' type: 'BatchNorm' bottom: 'data' top: 'bn' }");
	file_layer(f, "bn");
	BLOB(f, 2);
	BLOB(f, 2);
	BLOB(f, 1);
	BLOB(f, 2);
	BLOB(f, 2);
	f->values[100] = f->values[101] = (float)scale;
	f->values[102] = f->values[103] = 0;
	f->blobs[0][3].data = (const uint8_t *)&f->values[100];
	f->blobs[0][4].data = (const uint8_t *)&f->values[102];
	T_INT(moka_net_load(t.n, &f->w, false, &t.f), MOKA_OK);
	T_INT(nets_find(&t, "weights-batchnorm")->severity, severity);
	T_TRUE(param(&t, "bn", 1)->data[1] == 2);
	nets_close(&t);
	free(f);
}

T_TEST(nvidias_five_blobs)
{
	load_five(1, MOKA_NOTE);
	load_five(3, MOKA_WARNING);
}

/* ---- shared memory ------------------------------------------------------------------------------------------------------- */

T_TEST(a_test_net_uses_the_training_nets_parameters)
{
	struct nets train, test;
	struct moka_error err = { 0 };

	open_net(&train, TWO);
	nets_open(&test, TWO IP("c", "b", "2"), &test_phase);
	T_OK(moka_net_share(test.n, train.n, &err), &err);
	T_TRUE(param(&test, "a", 0)->data == param(&train, "a", 0)->data);
	T_TRUE(param(&test, "b", 1)->data == param(&train, "b", 1)->data);
	T_TRUE(param(&test, "c", 1)->data[1] == (real)0.5);
	nets_close(&test);
	T_TRUE(param(&train, "a", 1)->data[0] == (real)0.5);
	nets_close(&train);
}

/* ---- as a message ----------------------------------------------------------------------------------------------------------- */

T_TEST(a_net_as_a_message)
{
	struct nets t;
	struct moka_arena a;
	struct moka_msg *m;
	double v[64];
	int64_t d[4];

	open_net(
		&t,
		"name: 'N'\n" INPUT
		"layer { name: 'a' type: 'InnerProduct' bottom: 'data' top: 'a' param { name: 'w' } inner_product_param "
		"{ num_output: 8 bias_term: false weight_filler { type: 'constant' value: 2 } } }\n"
		"layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' param { name: 'w' } inner_product_param "
		"{ num_output: 8 bias_term: false } include { phase: TEST } }\n" IP(
			"z", "b", "2") "layer { name: 't' type: 'ReLU' bottom: 'z' "
				       "top: 'z' include { phase: TRAIN } }\n");
	moka_arena_init(&a, 0);
	T_INT(moka_net_to_msg(t.n, NULL, &a, &m), MOKA_OK);
	T_STR(moka_get_string(m, "name", ""), "N");
	T_INT(moka_count(m, "layer"), 4);
	const struct moka_node *n = moka_next(m, "layer", NULL);

	T_INT(moka_count(n->u.m, "blobs"), 0);
	for (int i = 0; i < 2; i++) { /* both layers carry the shared blob */
		n = moka_next(m, "layer", n);
		T_INT(moka_count(n->u.m, "blobs"), 1);
		T_INT(moka_get_ints(moka_get_msg(moka_get_msg(n->u.m, "blobs"), "shape"), "dim", d, 4), 2);
		T_INT(d[0], 8);
		T_INT(d[1], 8);
		T_INT(moka_get_floats(moka_get_msg(n->u.m, "blobs"), "data", v, 64), 64);
		T_TRUE(v[63] == 2);
		T_FALSE(moka_has(moka_get_msg(n->u.m, "blobs"), "diff"));
		T_INT(moka_get_int(n->u.m, "phase"), MOKA_TEST);
	}
	T_TRUE(moka_has(n->u.m, "include"));
	moka_arena_release(&a);
	nets_close(&t);
}

static const struct CMUnitTest tests[] = {
	T_CASE(fillers_and_seeds),
	T_CASE(reserved_parameters_are_filled_later),
	T_CASE(unknown_shapes_cannot_be_allocated),
	T_CASE(weights_that_fit),
	T_CASE(weights_that_do_not_fit),
	T_CASE(what_is_left_over),
	T_CASE(two_files),
	T_CASE(a_net_without_memory_is_only_checked),
	T_CASE(nvidias_five_blobs),
	T_CASE(a_test_net_uses_the_training_nets_parameters),
	T_CASE(a_net_as_a_message),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
