/* test_share.c - shared parameters: owners, multipliers (who is silent, who states), the rule of update, shapes. */
#include "nets.h"

#include <math.h>

#define INPUT "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 8 } } }\n"
#define IP(name, n, params)                                                                                            \
	"layer { name: '" name "' type: 'InnerProduct' bottom: 'data' top: '" name                                     \
	"' inner_product_param { num_output: " n " } " params " }\n"

static const struct moka_net_options train = { .phase = MOKA_TRAIN };

/* Uses of the parameter 'w' by two or three layers, and what holds in the end. */
struct rule_row {
	const char *first, *second, *third; /* "lr_mult: 1", ...; third NULL: two uses */
	bool per_use;
	float lr[3], decay[3];
};

static const struct rule_row rows[] = {
	{ "", "", NULL, false, { 1, 1 }, { 1, 1 } },
	{ "lr_mult: 2", "lr_mult: 2", NULL, false, { 2, 2 }, { 1, 1 } },
	{ "lr_mult: 2", "", NULL, false, { 2, 2 }, { 1, 1 } },
	{ "",
	  "lr_mult: 2 decay_mult: 0",
	  NULL,
	  false,
	  { 2, 2 },
	  { 0, 0 } }, /* the owner is silent: it takes what the other states */
	{ "lr_mult: 1", "lr_mult: 10", NULL, true, { 1, 10 }, { 1, 1 } },
	{ "lr_mult: 1", "", "lr_mult: 10", true, { 1, 1, 10 }, { 1, 1, 1 } },
	{ "lr_mult: 1 decay_mult: 3", "lr_mult: 10", NULL, true, { 1, 10 }, { 3, 3 } },
	{ "decay_mult: 1", "decay_mult: 0", NULL, true, { 1, 1 }, { 1, 0 } },
	{ "lr_mult: 1", "lr_mult: 1", "decay_mult: 2", false, { 1, 1, 1 }, { 2, 2, 2 } },
};

static void check_row(const struct rule_row *r)
{
	char text[2048], third[256] = "";
	struct nets t;
	const struct moka_param *p;

	if (r->third)
		snprintf(third, sizeof(third), IP("c", "4", "param { name: 'w' %s }"), r->third);
	snprintf(text, sizeof(text),
		 INPUT IP("a", "4", "param { name: 'w' %s }") IP("b", "4", "param { name: 'w' %s }") "%s", r->first,
		 r->second, third);
	nets_open(&t, text, &train);
	p = &t.n->params[nets_layer(&t, "a")->params[0]];
	T_STR(p->name, "w");
	T_TRUE(p->named);
	T_INT(p->owner, moka_net_layer_index(t.n, "a"));
	T_INT(p->n_uses, r->third ? 3 : 2);
	T_INT(nets_layer(&t, "b")->params[0], nets_layer(&t, "a")->params[0]);
	T_INT(nets_layer(&t, "b")->param_uses[0], 1);
	T_INT(p->per_use_update, r->per_use);
	for (int i = 0; i < p->n_uses; i++)
		if (p->uses[i].lr_mult != r->lr[i] || p->uses[i].decay_mult != r->decay[i])
			fail_msg("'%s' '%s': use %d has %g, %g", r->first, r->second, i, (double)p->uses[i].lr_mult,
				 (double)p->uses[i].decay_mult);
	T_INT(nets_find(&t, "shared-lr-mult") || nets_find(&t, "shared-decay-mult"), r->per_use);
	nets_close(&t);
}

T_TEST(multipliers)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		check_row(&rows[i]);
}

T_TEST(the_finding_says_what_happens)
{
	struct nets t;
	const struct moka_finding *x;

	nets_open(&t,
		  INPUT IP("a", "4", "\nparam { name: 'w' lr_mult: 1 }\nparam { name: 'b' lr_mult: 2 }")
			  IP("b", "4", "\nparam { name: 'w' lr_mult: 10 }\nparam { name: 'b' lr_mult: 20 }"),
		  &train);
	x = nets_find(&t, "shared-lr-mult");
	T_INT(x->severity, MOKA_WARNING);
	T_INT(x->loc.line, 6);
	T_HAS(x->message, "'w' with lr_mult 10, but layer 'a' at line 3 uses it with lr_mult 1");
	T_HAS(x->message, "each of the 2 uses has its own gradient");
	T_INT(t.f.warnings, 2);
	T_INT(t.n->n_params, 2);
	T_INT(t.n->total_params, 4 * 8 + 4);
	nets_close(&t);
}

T_TEST(shapes_must_agree)
{
	struct nets t;
	const struct moka_finding *x;

	nets_open(&t, INPUT IP("a", "4", "param { name: 'w' }") IP("b", "5", "param { name: 'w' }"), &train);
	x = nets_find(&t, "shared-shape");
	T_INT(x->severity, MOKA_ERROR);
	T_INT(x->loc.line, 3);
	T_HAS(x->message, "as 5x8, but layer 'a' at line 2, its owner, has it as 4x8");
	T_INT(t.n->n_params, 4); /* nothing is shared then */
	nets_close(&t);
}

T_TEST(permissive_sharing_counts_only)
{
	struct nets t;

#define TURNED(mode)                                                                                                                                               \
	INPUT IP(                                                                                                                                                  \
		"a", "4",                                                                                                                                          \
		"param { name: 'w' }") "layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' inner_product_param { num_output: 8 } param { name: 'w' " mode \
				       " } }"
	nets_open(&t, TURNED("share_mode: PERMISSIVE"), &train);
	T_INT(t.f.errors, 0);
	T_INT(nets_layer(&t, "b")->params[0], nets_layer(&t, "a")->params[0]);
	nets_close(&t);
	nets_open(&t, TURNED(""), &train);
	T_HAS(nets_find(&t, "shared-shape")->hint, "PERMISSIVE");
	nets_close(&t);
}

/* Nothing is known of the input, and still it is known who shares what. */
T_TEST(sharing_without_shapes)
{
	struct nets t;

	nets_open(&t,
		  IP("a", "4", "param { name: 'w' lr_mult: 1 } param { name: 'b' }")
			  IP("b", "4", "param { name: 'w' lr_mult: 3 } param { name: 'b' }"),
		  &train);
	T_INT(t.n->n_params, 2);
	T_TRUE(t.n->params[0].per_use_update);
	T_STR(t.n->params[0].role, "weight");
	T_STR(t.n->params[1].role, "bias");
	T_INT(t.n->params[0].count, -1);
	nets_close(&t);
}

T_TEST(statistics_do_not_learn)
{
	struct nets t;

	nets_open(
		&t,
		"layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 8 dim: 3 dim: 3 } } }\n"
		"layer { name: 'bn' type: 'BatchNorm' bottom: 'data' top: 'bn' }",
		&train);
	T_INT(nets_layer(&t, "bn")->l.n_param, 3);
	for (int i = 0; i < 3; i++) {
		T_TRUE(t.n->params[i].uses[0].lr_mult == 0);
		T_FALSE(nets_layer(&t, "bn")->param_gradient[i]);
	}
	nets_close(&t);
}

/* ---- gradients ------------------------------------------------------------------------------------------------------- */

#define PAIR(lr_a, lr_b)                                                                                               \
	"layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 3 dim: 5 } } }\n"                         \
	"layer { name: 'y' type: 'Input' top: 'y' input_param { shape { dim: 3 dim: 5 } } }\n"                         \
	"layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' param { name: 'w' " lr_a                          \
	" } inner_product_param { num_output: 4 "                                                                      \
	"weight_filler { type: 'gaussian' std: 1 } } }\n"                                                              \
	"layer { name: 'b' type: 'InnerProduct' bottom: 'y' top: 'b' param { name: 'w' " lr_b                          \
	" } inner_product_param { num_output: 4 "                                                                      \
	"weight_filler { type: 'gaussian' std: 1 } } }\n"                                                              \
	"layer { name: 'loss' type: 'EuclideanLoss' bottom: 'a' bottom: 'b' top: 'loss' }\n"

static void run_pair(struct nets *t, const char *text)
{
	const struct moka_net_options o = { .phase = MOKA_TRAIN, .backward = true };

	nets_run(t, text, o, MOKA_KEEP_ALL, NULL);
	nets_fill_inputs(t, 3);
	nets_forward(t, NULL);
	nets_backward(t);
}

/* One update: one array, the sum. Per use: an array each, whose sum is the same. */
T_TEST(gradients_of_a_shared_parameter)
{
	struct nets one, each;
	real sum[20];

	run_pair(&one, PAIR("lr_mult: 1", "lr_mult: 1"));
	run_pair(&each, PAIR("lr_mult: 1", "lr_mult: 10"));
	const real *both = moka_exec_param_diff(one.e, 0, 0), *a = moka_exec_param_diff(each.e, 0, 0),
		   *b = moka_exec_param_diff(each.e, 0, 1);

	T_TRUE(both && a && b && a != b);
	T_TRUE(moka_exec_param_diff(one.e, 0, 1) == both);
	T_TRUE(moka_exec_param_diff(one.e, 0, 2) == NULL);
	T_TRUE(moka_asum(20, a) > 0.01 && moka_asum(20, b) > 0.01);
	for (int i = 0; i < 20; i++)
		sum[i] = a[i] + b[i];
	T_NEAR(both, sum, 20, 1e-5, 1e-6);
	moka_exec_clear_param_diffs(each.e);
	T_TRUE(moka_asum(20, a) == 0 && moka_asum(20, b) == 0);
	nets_close(&one);
	nets_close(&each);
}

/* A use whose multiplier is 0 needs no gradient; the other use does. */
T_TEST(a_use_that_does_not_learn)
{
	struct nets t;

	run_pair(&t, PAIR("lr_mult: 0", "lr_mult: 1"));
	T_TRUE(moka_exec_param_diff(t.e, 0, 0) == NULL);
	T_TRUE(moka_exec_param_diff(t.e, 0, 1) != NULL);
	nets_close(&t);
}

static const struct CMUnitTest tests[] = {
	T_CASE(multipliers),
	T_CASE(the_finding_says_what_happens),
	T_CASE(shapes_must_agree),
	T_CASE(permissive_sharing_counts_only),
	T_CASE(sharing_without_shapes),
	T_CASE(statistics_do_not_learn),
	T_CASE(gradients_of_a_shared_parameter),
	T_CASE(a_use_that_does_not_learn),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
