/* test_build.c - what building a net says and makes: findings by code, severity and line; phases; wiring; shapes. */
#include "nets.h"

#define INPUT "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n"
#define LABEL "layer { name: 'label' type: 'Input' top: 'label' input_param { shape { dim: 2 } } }\n"
#define IP(name, bottom, top, n)                                                                                       \
	"layer { name: '" name "' type: 'InnerProduct' bottom: '" bottom "' top: '" top                                \
	"' inner_product_param { num_output: " n " } }\n"
#define RELU(name, bottom, top) "layer { name: '" name "' type: 'ReLU' bottom: '" bottom "' top: '" top "' }\n"

static const struct moka_net_options test_phase = { .phase = MOKA_TEST };

struct finding_case {
	const char *what, *text;
	struct moka_net_options o;
	const char *code;
	enum moka_severity severity;
	uint32_t line;
	const char *says, *hints; /* NULL: anything */
};

static const struct finding_case cases[] = {
	{ "unknown type",
	  INPUT "layer { name: 'x' type: 'Convolutoin' bottom: 'data' top: 'x' }\n",
	  { .phase = MOKA_TEST },
	  "unknown-layer-type",
	  MOKA_WARNING,
	  2,
	  "layer 'x' (Convolutoin)",
	  "Convolution" },
	{ "unknown type, to run",
	  INPUT "layer { name: 'x' type: 'Nonsense' bottom: 'data' top: 'x' }\n",
	  { .phase = MOKA_TEST, .for_run = true },
	  "unknown-layer-type",
	  MOKA_ERROR,
	  2,
	  "Nonsense",
	  NULL },
	{ "unknown type, strict",
	  INPUT "layer { name: 'x' type: 'Nonsense' bottom: 'data' top: 'x' }\n",
	  { .phase = MOKA_TEST, .strict = true },
	  "unknown-layer-type",
	  MOKA_ERROR,
	  2,
	  "Nonsense",
	  NULL },
	{ "no type",
	  INPUT "layer { name: 'x' bottom: 'data' top: 'x' }\n",
	  { .phase = MOKA_TEST },
	  "unknown-layer-type",
	  MOKA_ERROR,
	  2,
	  "no type",
	  NULL },
	{ "missing bottom",
	  INPUT IP("ip", "dta", "ip", "3"),
	  { .phase = MOKA_TEST },
	  "missing-bottom",
	  MOKA_ERROR,
	  2,
	  "'dta'",
	  "'data'" },
	{ "missing bottom of a fragment, to run",
	  IP("ip", "x", "ip", "3"),
	  { .phase = MOKA_TEST, .for_run = true },
	  "missing-bottom",
	  MOKA_ERROR,
	  1,
	  "'x'",
	  "--input x=" },
	{ "only in the other phase",
	  INPUT
	  "layer { name: 'd' type: 'Input' top: 'y' include { phase: TRAIN } input_param { shape { dim: 2 } } }\n" IP(
		  "ip", "y", "ip", "3"),
	  { .phase = MOKA_TEST },
	  "missing-bottom",
	  MOKA_ERROR,
	  3,
	  "exists only in phase TRAIN, made by layer 'd' at line 2",
	  NULL },
	{ "left out by a stage",
	  INPUT
	  "layer { name: 'd' type: 'Input' top: 'y' include { stage: 's' } input_param { shape { dim: 2 } } }\n" IP(
		  "ip", "y", "ip", "3"),
	  { .phase = MOKA_TEST },
	  "missing-bottom",
	  MOKA_ERROR,
	  3,
	  "layer 'd' at line 2 makes it, but its include and exclude rules",
	  NULL },
	{ "made later",
	  INPUT IP("a", "b", "a", "3") IP("b", "data", "b", "3"),
	  { .phase = MOKA_TEST },
	  "made-later",
	  MOKA_ERROR,
	  2,
	  "by layer 'b' at line 3",
	  "move 'b'" },
	{ "cycle",
	  INPUT IP("a", "c", "a", "3") IP("b", "a", "b", "3") IP("c", "b", "c", "3"),
	  { .phase = MOKA_TEST },
	  "cycle",
	  MOKA_ERROR,
	  2,
	  "layer 'c' at line 4",
	  NULL },
	{ "made later, in a fragment",
	  IP("a", "b", "a", "3") IP("b", "data", "b", "3"),
	  { .phase = MOKA_TEST },
	  "made-later",
	  MOKA_ERROR,
	  1,
	  NULL,
	  NULL },
	{ "duplicate top",
	  INPUT IP("a", "data", "y", "3") IP("b", "data", "y", "3"),
	  { .phase = MOKA_TEST },
	  "duplicate-top",
	  MOKA_ERROR,
	  3,
	  "layer 'a' at line 2",
	  NULL },
	{ "too few bottoms",
	  INPUT "layer { name: 'e' type: 'Eltwise' bottom: 'data' top: 'e' }\n",
	  { .phase = MOKA_TEST },
	  "wrong-bottom-count",
	  MOKA_ERROR,
	  2,
	  "at least 2 bottoms, and has 1",
	  NULL },
	{ "too many bottoms",
	  INPUT INPUT "layer { name: 'e'\n type: 'ReLU'\n bottom: 'data'\n bottom: 'data'\n top: 'e' }\n",
	  { .phase = MOKA_TEST },
	  "wrong-bottom-count",
	  MOKA_ERROR,
	  6,
	  "1 bottom, and has 2",
	  NULL },
	{ "no top",
	  INPUT "layer { name: 'e' type: 'ReLU' bottom: 'data' }\n",
	  { .phase = MOKA_TEST },
	  "wrong-top-count",
	  MOKA_ERROR,
	  2,
	  "1 top, and has 0",
	  NULL },
	{ "shapes",
	  INPUT IP("a", "data", "a", "3")
		  IP("b", "data", "b", "4") "layer { name: 'e' type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'e' }\n",
	  { .phase = MOKA_TEST },
	  "shape-mismatch",
	  MOKA_ERROR,
	  4,
	  "'b' is 2x4",
	  NULL },
	{ "loss without label",
	  INPUT IP("a", "data", "a",
		   "3") "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'label' top: 'loss' }\n",
	  { .phase = MOKA_TEST },
	  "loss-without-label",
	  MOKA_WARNING,
	  3,
	  "'label'",
	  NULL },
	{ "accuracy without label",
	  INPUT IP("a", "data", "a",
		   "3") "layer { name: 'acc' type: 'Accuracy' bottom: 'a' bottom: 'label' top: 'acc' }\n",
	  { .phase = MOKA_TEST },
	  "loss-without-label",
	  MOKA_WARNING,
	  3,
	  "layer 'acc' (Accuracy)",
	  NULL },
	{ "accuracy that names no label",
	  INPUT IP("a", "data", "a", "3") "layer { name: 'acc' type: 'Accuracy' bottom: 'a' top: 'acc' }\n",
	  { .phase = MOKA_TEST },
	  "loss-without-label",
	  MOKA_WARNING,
	  3,
	  "given no label",
	  NULL },
	{ "what a dropped loss made",
	  INPUT IP("a", "data", "a", "3") "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'label' top: 'loss' top: 'p' }\n" IP(
		  "z", "p", "z", "2"),
	  { .phase = MOKA_TEST },
	  "missing-bottom",
	  MOKA_ERROR,
	  4,
	  "left out because its label is missing",
	  NULL },
	{ "same names",
	  INPUT IP("a", "data", "x", "3") IP("a", "x", "y", "3"),
	  { .phase = MOKA_TEST },
	  "duplicate-layer-name",
	  MOKA_WARNING,
	  3,
	  "at line 2",
	  NULL },
	{ "too many param {}",
	  INPUT "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' param { lr_mult: 1 } }\n",
	  { .phase = MOKA_TEST },
	  "too-many-params",
	  MOKA_WARNING,
	  2,
	  "1 param {} for 0 parameters",
	  NULL },
	{ "too many loss_weight",
	  INPUT "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' loss_weight: 1 loss_weight: 1 }\n",
	  { .phase = MOKA_TEST },
	  "loss-weight-count",
	  MOKA_ERROR,
	  2,
	  "2 loss_weight for 1 top",
	  NULL },
	{ "propagate_down",
	  INPUT
	  "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' propagate_down: false propagate_down: false }\n",
	  { .phase = MOKA_TEST },
	  "propagate-down-count",
	  MOKA_ERROR,
	  2,
	  "2 propagate_down for 1 bottom",
	  NULL },
	{ "unused input",
	  INPUT LABEL IP("a", "data", "x", "3"),
	  { .phase = MOKA_TEST },
	  "unused-input",
	  MOKA_WARNING,
	  2,
	  "'label'",
	  NULL },
	{ "an input of 2^40",
	  "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1099511627776 } } }\n" IP(
		  "a", "data", "x", "3"),
	  { .phase = MOKA_TEST },
	  "too-large",
	  MOKA_ERROR,
	  1,
	  "1099511627776",
	  NULL },
	{ "a product over 2^63",
	  "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 4611686018427387904 dim: 4 } } }\n" IP(
		  "a", "data", "x", "3"),
	  { .phase = MOKA_TEST },
	  "too-large",
	  MOKA_ERROR,
	  1,
	  NULL,
	  NULL },
	{ "weights of 2^37",
	  "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 1048576 } } }\n" IP(
		  "a", "data", "x", "131072"),
	  { .phase = MOKA_TEST },
	  "too-large",
	  MOKA_ERROR,
	  2,
	  "131072x1048576",
	  NULL },
	{ "over the budget",
	  INPUT IP("a", "data", "x", "300000"),
	  { .phase = MOKA_TEST, .for_run = true, .memory_limit_bytes = 1 << 20 },
	  "too-large",
	  MOKA_ERROR,
	  2,
	  "GiB",
	  NULL },
	{ "include and exclude",
	  INPUT
	  "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' include { phase: TEST } exclude { stage: 'x' } }\n",
	  { .phase = MOKA_TEST },
	  "include-and-exclude",
	  MOKA_ERROR,
	  2,
	  NULL,
	  NULL },
	{ "in place after use",
	  INPUT IP("a", "data", "a", "3") IP("b", "a", "b", "3") RELU("r", "a", "a"),
	  { .phase = MOKA_TEST },
	  "in-place-after-use",
	  MOKA_NOTE,
	  4,
	  "'a'",
	  NULL },
};

static void check_case(const struct finding_case *c)
{
	struct nets t;
	const struct moka_finding *x;

	nets_open(&t, c->text, &c->o);
	x = nets_find(&t, c->code);
	if (!x || x->severity != c->severity || x->loc.line != c->line || (c->says && !strstr(x->message, c->says)) ||
	    (c->hints && (!x->hint || !strstr(x->hint, c->hints)))) {
		nets_print(&t.f);
		fail_msg("%s: no %s as wanted (line %u)", c->what, c->code, c->line);
	}
	nets_close(&t);
}

T_TEST(findings)
{
	for (size_t i = 0; i < MOKA_COUNT(cases); i++)
		check_case(&cases[i]);
}

/* All at once: three mistakes in one net are three findings, and the rest is shaped all the same. */
T_TEST(all_findings_at_once)
{
	struct nets t;

	nets_open(&t,
		  INPUT IP("a", "nowhere", "a", "3") IP("b", "data", "b", "5")
			  IP("c", "data", "b", "5") "layer { name: 'u' type: 'Unheard' bottom: 'b' top: 'u' }\n" RELU(
				  "r", "u", "u") IP("d", "b", "d", "7"),
		  &test_phase);
	T_TRUE(nets_find(&t, "missing-bottom"));
	T_TRUE(nets_find(&t, "duplicate-top"));
	T_TRUE(nets_find(&t, "unknown-layer-type"));
	T_INT(t.f.errors, 2);
	T_STR(nets_shape(&t, "d"), "2x7");
	T_STR(nets_shape(&t, "u"), "?");
	T_INT(t.n->total_params, -1);
	nets_close(&t);
}

T_TEST(no_findings_in_a_sound_net)
{
	struct nets t;

	nets_open(
		&t,
		INPUT LABEL IP("a", "data", "a", "3") RELU(
			"r", "a",
			"a") "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'label' top: 'loss' }\n",
		&test_phase);
	if (t.f.n)
		nets_print(&t.f);
	T_INT(t.f.n, 0);
	T_INT(t.n->n_layers, 5);
	T_INT(t.n->total_params, 48 * 3 + 3);
	T_INT(t.n->total_macs, 2 * 48 * 3);
	T_INT(t.n->activation_bytes, 4 * (96 + 2 + 6 + 1));
	T_STR(nets_shape(&t, "loss"), "scalar");
	T_INT(t.n->n_inputs, 2);
	T_INT(t.n->n_outputs, 1);
	T_TRUE(nets_layer(&t, "loss")->loss_weight[0] == 1);
	nets_close(&t);
}

/* ---- fragments ------------------------------------------------------------------------------------------------ */

#define FRAGMENT                                                                                                       \
	IP("a", "x", "a", "10")                                                                                        \
	IP("b", "y", "b", "10") "layer { name: 'c' type: 'Concat' bottom: 'a' bottom: 'b' top: 'c' }\n"

T_TEST(a_fragment_has_undeclared_inputs)
{
	struct nets t;

	nets_open(&t, FRAGMENT, &test_phase);
	T_INT(t.f.errors, 0);
	T_INT(t.n->n_inputs, 2);
	T_STR(t.n->blobs[t.n->inputs[0]].name, "x");
	T_FALSE(t.n->blobs[t.n->inputs[0]].declared);
	T_STR(nets_shape(&t, "x"), "?");
	T_INT(t.n->total_params, -1);
	nets_close(&t);
}

T_TEST(shapes_given_from_outside)
{
	struct moka_net_input in[2] = { { "x", { 4, { 1, 3, 8, 8 } } }, { "y", { 4, { 1, 3, 8, 8 } } } };
	struct moka_net_options o = { .phase = MOKA_TEST, .for_run = true, .inputs = in, .n_inputs = 2 };
	struct nets t;

	nets_open(&t, FRAGMENT, &o);
	if (t.f.errors)
		nets_print(&t.f);
	T_INT(t.f.errors, 0);
	T_STR(nets_shape(&t, "c"), "1x20");
	T_INT(t.n->total_params, 2 * (192 * 10 + 10));
	nets_close(&t);
}

T_TEST(given_shapes_win_and_batch_counts)
{
	struct moka_net_input in = { "data", { 4, { 5, 3, 2, 2 } } };
	struct moka_net_options given = { .phase = MOKA_TEST, .inputs = &in, .n_inputs = 1 },
				batch = { .phase = MOKA_TEST, .batch = 9 };
	struct nets t;

	nets_open(&t, INPUT IP("a", "data", "a", "3"), &given);
	T_STR(nets_shape(&t, "data"), "5x3x2x2");
	T_STR(nets_shape(&t, "a"), "5x3");
	nets_close(&t);
	nets_open(&t, INPUT IP("a", "data", "a", "3"), &batch);
	T_STR(nets_shape(&t, "data"), "9x3x4x4");
	T_STR(nets_shape(&t, "a"), "9x3");
	nets_close(&t);
}

T_TEST(names_given_in_vain)
{
	struct moka_net_input in[2] = { { "dat", { 1, { 5 } } }, { "a", { 1, { 5 } } } };
	const char *const tops[] = { "aa" };
	struct moka_net_options o = {
		.phase = MOKA_TEST, .inputs = in, .n_inputs = 2, .gradient_tops = tops, .n_gradient_tops = 1
	};
	struct nets t;

	nets_open(&t, INPUT IP("a", "data", "a", "3"), &o);
	T_INT(t.f.errors, 3);
	T_HAS(nets_find(&t, "not-an-input")->message, "'a'");
	T_HAS(nets_find(&t, "unknown-blob")->message, "blob 'aa'");
	nets_close(&t);
}

/* A layer of a fork that brings data in, with shapes from outside, is an input like any other. */
T_TEST(an_unknown_data_layer_can_be_given)
{
	struct moka_net_input in[2] = { { "data", { 2, { 5, 4 } } }, { "label", { 1, { 5 } } } };
	struct moka_net_options o = { .phase = MOKA_TEST, .for_run = true, .inputs = in, .n_inputs = 2 };
	struct nets t;

	nets_open(&t,
		  "layer { name: 'd' type: 'ForeignData' top: 'data' top: 'label' }\n" IP(
			  "a", "data", "a",
			  "3") "layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'label' }\n",
		  &o);
	if (t.f.errors)
		nets_print(&t.f);
	T_INT(t.f.errors, 0);
	T_INT(t.n->n_inputs, 2);
	T_INT(t.n->n_outputs, 0); /* the loss has no name */
	nets_close(&t);
}

/* ---- phases -------------------------------------------------------------------------------------------------------- */

static int layers_in(const char *rules, struct moka_net_options o)
{
	char text[1024];
	struct nets t;
	int n;

	snprintf(text, sizeof(text), INPUT "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' %s }", rules);
	nets_open(&t, text, &o);
	n = t.n->n_layers;
	nets_close(&t);
	return n - 1;
}

T_TEST(include_and_exclude_rules)
{
	static const char *const ab[] = { "a", "b" };
	const struct moka_net_options train = { .phase = MOKA_TRAIN }, test = { .phase = MOKA_TEST };
	const struct moka_net_options level2 = { .phase = MOKA_TEST, .level = 2 };
	const struct moka_net_options stage_a = { .phase = MOKA_TEST, .stages = ab, .n_stages = 1 };
	const struct moka_net_options stage_ab = { .phase = MOKA_TEST, .stages = ab, .n_stages = 2 };
	const struct {
		const char *rules;
		const struct moka_net_options *o;
		int in;
	} rows[] = {
		{ "", &train, 1 },
		{ "include { phase: TRAIN }", &train, 1 },
		{ "include { phase: TRAIN }", &test, 0 },
		{ "exclude { phase: TRAIN }", &train, 0 },
		{ "exclude { phase: TRAIN }", &test, 1 },
		{ "include { phase: TRAIN } include { phase: TEST }", &test, 1 },
		{ "include { min_level: 2 }", &level2, 1 },
		{ "include { min_level: 3 }", &level2, 0 },
		{ "include { max_level: 2 }", &level2, 1 },
		{ "include { max_level: 1 }", &level2, 0 },
		{ "include { min_level: 1 max_level: 3 phase: TRAIN }", &level2, 0 },
		{ "include { min_level: 0 }", &test, 1 },
		{ "include { stage: 'a' }", &test, 0 },
		{ "include { stage: 'a' }", &stage_a, 1 },
		{ "include { stage: 'a' stage: 'b' }", &stage_a, 0 },
		{ "include { stage: 'a' stage: 'b' }", &stage_ab, 1 },
		{ "include { not_stage: 'b' }", &stage_a, 1 },
		{ "include { not_stage: 'b' }", &stage_ab, 0 },
		{ "include { stage: 'a' not_stage: 'b' }", &stage_ab, 0 },
		{ "exclude { stage: 'a' } exclude { phase: TRAIN }", &stage_a, 0 },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		if (layers_in(rows[i].rules, *rows[i].o) != rows[i].in)
			fail_msg("row %zu: %s", i, rows[i].rules);
}

T_TEST(stages_of_the_nets_own_state)
{
	struct nets t;

	nets_open(&t,
		  "state { stage: 'deploy' level: 3 }\n" INPUT
		  "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' include { stage: 'deploy' min_level: 3 } }",
		  &test_phase);
	T_INT(t.n->n_layers, 2);
	nets_close(&t);
}

/* ---- versions and in-place ------------------------------------------------------------------------------------------ */

T_TEST(in_place_makes_no_version)
{
	struct nets t;

	nets_open(&t, INPUT IP("a", "data", "a", "3") RELU("r", "a", "a") IP("b", "a", "b", "3") IP("c", "a", "c", "3"),
		  &test_phase);
	T_INT(t.n->n_blobs, 4);
	T_TRUE(nets_layer(&t, "r")->in_place);
	const struct moka_blob *a = &t.n->blobs[nets_blob(&t, "a")];

	T_INT(a->producer, 1);
	T_INT(a->n_consumers, 3);
	T_INT(a->consumers[0], 2);
	T_INT(a->consumers[2], 4);
	T_FALSE(a->is_output);
	nets_close(&t);
}

T_TEST(in_place_after_a_reader_makes_one)
{
	struct nets t;

	nets_open(&t, INPUT IP("a", "data", "a", "3") IP("b", "a", "b", "3") RELU("r", "a", "a") IP("c", "a", "c", "3"),
		  &test_phase);
	T_INT(t.n->n_blobs, 5);
	T_FALSE(nets_layer(&t, "r")->in_place);
	T_TRUE(nets_layer(&t, "r")->tops[0] != nets_layer(&t, "r")->bottoms[0]);
	T_INT(nets_layer(&t, "c")->bottoms[0], nets_layer(&t, "r")->tops[0]);
	T_INT(nets_layer(&t, "b")->bottoms[0], nets_layer(&t, "a")->tops[0]);
	nets_close(&t);
}

/* Sigmoid's gradient reads its output: a layer in place behind it has memory of its own, but only where gradients are wanted. */
T_TEST(in_place_would_spoil_a_gradient)
{
	const struct moka_net_options backward = { .phase = MOKA_TRAIN, .backward = true };
	struct nets t;

#define CHAIN(a, b)                                                                                                    \
	INPUT IP("ip", "data", "x", "3") "layer { name: 'a' type: '" a "' bottom: 'x' top: 'x' }\n"                    \
					 "layer { name: 'b' type: '" b "' bottom: 'x' top: 'x' }\n"
	nets_open(&t, CHAIN("Sigmoid", "Dropout"), &backward);
	T_FALSE(nets_layer(&t, "b")->in_place);
	T_INT(nets_find(&t, "in-place-before-gradient")->severity, MOKA_NOTE);
	T_INT(nets_find(&t, "in-place-before-gradient")->loc.line, 4);
	nets_close(&t);
	nets_open(&t, CHAIN("Sigmoid", "Dropout"), &test_phase);
	T_TRUE(nets_layer(&t, "b")->in_place);
	nets_close(&t);
	nets_open(&t, CHAIN("ReLU", "Dropout"), &backward); /* signs are enough for ReLU, and Dropout keeps them */
	T_TRUE(nets_layer(&t, "a")->in_place && nets_layer(&t, "b")->in_place);
	T_INT(t.f.n, 0);
	nets_close(&t);
	nets_open(&t, CHAIN("ReLU", "Sigmoid"), &backward);
	T_FALSE(nets_layer(&t, "b")->in_place);
	nets_close(&t);
}

/* A pooling that names its top as its bottom can't work in the same memory: it gets some of its own. */
T_TEST(a_type_that_cannot_work_in_place)
{
	struct nets t;

	nets_open(
		&t,
		INPUT
		"layer { name: 'p' type: 'Pooling' bottom: 'data' top: 'data' pooling_param { kernel_size: 2 stride: 2 } }\n",
		&test_phase);
	T_INT(t.f.errors, 0);
	T_INT(t.n->n_blobs, 2);
	T_STR(nets_shape(&t, "data"), "2x3x2x2");
	nets_close(&t);
}

T_TEST(an_unknown_layer_in_place_keeps_the_shape)
{
	struct nets t;

	nets_open(&t,
		  INPUT "layer { name: 'u' type: 'Unheard' bottom: 'data' top: 'data' }\n" IP("a", "data", "a", "3"),
		  &test_phase);
	T_STR(nets_shape(&t, "a"), "2x3");
	T_TRUE(nets_layer(&t, "u")->in_place);
	T_INT(t.n->total_params, -1); /* who knows what it holds */
	T_INT(t.n->total_macs, -1);
	nets_close(&t);
}

static const struct CMUnitTest tests[] = {
	T_CASE(findings),
	T_CASE(all_findings_at_once),
	T_CASE(no_findings_in_a_sound_net),
	T_CASE(a_fragment_has_undeclared_inputs),
	T_CASE(shapes_given_from_outside),
	T_CASE(given_shapes_win_and_batch_counts),
	T_CASE(names_given_in_vain),
	T_CASE(an_unknown_data_layer_can_be_given),
	T_CASE(include_and_exclude_rules),
	T_CASE(stages_of_the_nets_own_state),
	T_CASE(in_place_makes_no_version),
	T_CASE(in_place_after_a_reader_makes_one),
	T_CASE(in_place_would_spoil_a_gradient),
	T_CASE(a_type_that_cannot_work_in_place),
	T_CASE(an_unknown_layer_in_place_keeps_the_shape),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
