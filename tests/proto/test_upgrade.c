/* Old syntaxes -> current: what comes out, and what is said. */
#include "t.h"

#include "layers/layer.h"

#include <string.h>

/* The old text; the new one as it prints; codes of the findings, in order, between blanks. */
/* clang-format off */
static const struct row {
	const char *old, *now, *codes;
} nets[] = {
	{ "layer { name: 'a' type: 'ReLU' }", "layer {\n  name: \"a\"\n  type: \"ReLU\"\n}\n", "" },
	/* parameters that come in as bottoms */
	{ "layer { type: 'SimpleCrop' bottom: 'x' top: 'y' crop_param { blob_name: 'b' } }",
	  "layer {\n  type: \"SimpleCrop\"\n  bottom: \"x\"\n  bottom: \"b\"\n  top: \"y\"\n  crop_param {\n  }\n}\n", "" },
	{ "layer { name: 'w' type: 'Parameter' top: 'w' } layer { name: 'c' type: 'Convolution' bottom: 'x' bottom: 'w' top: 'y' param_bottoms: 1 }",
	  "layer {\n  name: \"w\"\n  type: \"Parameter\"\n  top: \"w\"\n  param {\n    name: \"w\"\n  }\n}\n"
	  "layer {\n  name: \"c\"\n  type: \"Convolution\"\n  bottom: \"x\"\n  top: \"y\"\n  param {\n    name: \"w\"\n  }\n}\n",
	  "upgraded-param-bottoms " },
	{ "layer { type: 'Parameter' top: 'w' param { name: 'v' lr_mult: 2 } } layer { type: 'ReLU' bottom: 'x' bottom: 'w' param_bottoms: 1 }",
	  "layer {\n  type: \"Parameter\"\n  top: \"w\"\n  param {\n    name: \"v\"\n    lr_mult: 2\n  }\n}\n"
	  "layer {\n  type: \"ReLU\"\n  bottom: \"x\"\n  param {\n    name: \"v\"\n  }\n}\n",
	  "upgraded-param-bottoms " },
	{ "layer { type: 'ReLU' bottom: 'x' bottom: 'w' param_bottoms: 1 }",
	  "layer {\n  type: \"ReLU\"\n  bottom: \"x\"\n  bottom: \"w\"\n  param_bottoms: 1\n}\n", "param-bottoms " },
	{ "layer { type: 'ReLU' bottom: 'x' param_bottoms: 1 }",
	  "layer {\n  type: \"ReLU\"\n  bottom: \"x\"\n  param_bottoms: 1\n}\n", "bad-value " },
	/* V1: multipliers become param { } */
	{ "layers { name: 'c' type: CONVOLUTION bottom: 'x' top: 'c' blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0\n"
	  " convolution_param { num_output: 3 } include { phase: TRAIN } loss_weight: 2 }",
	  "layer {\n  name: \"c\"\n  type: \"Convolution\"\n  bottom: \"x\"\n  top: \"c\"\n  loss_weight: 2\n  param {\n    lr_mult: 1\n"
	  "    decay_mult: 1\n  }\n  param {\n    lr_mult: 2\n    decay_mult: 0\n  }\n  include {\n    phase: TRAIN\n  }\n"
	  "  convolution_param {\n    num_output: 3\n  }\n}\n",
	  "upgraded-v1 " },
	{ "layers { type: INNER_PRODUCT param: 'w' param: 'b' blob_share_mode: PERMISSIVE blobs_lr: 3 }",
	  "layer {\n  type: \"InnerProduct\"\n  param {\n    name: \"w\"\n    share_mode: PERMISSIVE\n    lr_mult: 3\n  }\n"
	  "  param {\n    name: \"b\"\n  }\n}\n",
	  "upgraded-v1 " },
	{ "layers { type: NONE } layers { }", "layer {\n  type: \"\"\n}\nlayer {\n}\n", "upgraded-v1 " },
	{ "layers { type: SOFTMAX_LOSS } layers { type: TANH }", "layer {\n  type: \"SoftmaxWithLoss\"\n}\nlayer {\n  type: \"TanH\"\n}\n", "upgraded-v1 " },
	/* V1: pictures' changes had no message of their own */
	{ "layers { type: DATA data_param { source: 's' scale: 0.5 mean_file: 'm' crop_size: 3 mirror: true } transform_param { scale: 9 } }",
	  "layer {\n  type: \"Data\"\n  transform_param {\n    scale: 0.5\n    mirror: true\n    crop_size: 3\n    mean_file: \"m\"\n  }\n"
	  "  data_param {\n    source: \"s\"\n  }\n}\n",
	  "upgraded-v1 upgraded-transform upgraded-transform upgraded-transform upgraded-transform " },
	/* in a current layer BVLC ignores them */
	{ "layer { type: 'Data' data_param { scale: 0.5 } }", "layer {\n  type: \"Data\"\n  data_param {\n    scale: 0.5\n  }\n}\n", "idle-field " },
	/* a type of a fork is kept by its name; a current name in the old manner is understood, with its fields */
	{ "layers { type: AWESOME awesome_param { a: 1 } }", "layer {\n  type: \"AWESOME\"\n  awesome_param {\n    a: 1\n  }\n}\n", "upgraded-v1 " },
	{ "layers { type: UNPOOLING unpooling_param { pad: 1 } }", "layer {\n  type: \"Unpooling\"\n  unpooling_param {\n    pad: 1\n  }\n}\n", "upgraded-v1 " },
	{ "layers { type: PRELU prelu_param { channel_shared: true } }",
	  "layer {\n  type: \"PReLU\"\n  prelu_param {\n    channel_shared: true\n  }\n}\n", "upgraded-v1 " },
	{ "layers { type: CONCAT propagate_down: true propagate_down: 0 phase: TEST phase: WHEN prelu_param: 3 }",
	  "layer {\n  type: \"Concat\"\n  phase: TEST\n  propagate_down: true\n  propagate_down: false\n  phase: WHEN\n  prelu_param: 3\n}\n",
	  "upgraded-v1 " },
	/* V0 */
	{ "layers { layer { name: 'c' type: 'conv' num_output: 9 kernelsize: 3 stride: 2 group: 3 biasterm: false pad: 1 blobs_lr: 1 weight_decay: 2\n"
	  " weight_filler { type: 'xavier' } } bottom: 'x' top: 'c' }",
	  "layer {\n  name: \"c\"\n  type: \"Convolution\"\n  bottom: \"x\"\n  top: \"c\"\n  param {\n    lr_mult: 1\n    decay_mult: 2\n  }\n"
	  "  convolution_param {\n    num_output: 9\n    bias_term: false\n    pad: 1\n    kernel_size: 3\n    group: 3\n    stride: 2\n"
	  "    weight_filler {\n      type: \"xavier\"\n    }\n  }\n}\n",
	  "upgraded-v0 upgraded-v1 " },
	{ "layers { layer { type: 'data' source: 's' batchsize: 4 meanfile: 'm' cropsize: 5 mirror: true scale: 2 rand_skip: 3 } }\n"
	  "layers { layer { type: 'pool' pool: AVE kernelsize: 3 } } layers { layer { type: 'lrn' local_size: 3 alpha: 2 beta: 1 k: 3 } }\n"
	  "layers { layer { type: 'dropout' dropout_ratio: 0.25 pad: 3 } }",
	  "layer {\n  type: \"Data\"\n  transform_param {\n    scale: 2\n    mirror: true\n    crop_size: 5\n    mean_file: \"m\"\n  }\n  data_param {\n"
	  "    source: \"s\"\n    batch_size: 4\n    rand_skip: 3\n  }\n}\n"
	  "layer {\n  type: \"Pooling\"\n  pooling_param {\n    pool: AVE\n    kernel_size: 3\n  }\n}\n"
	  "layer {\n  type: \"LRN\"\n  lrn_param {\n    local_size: 3\n    alpha: 2\n    beta: 1\n    k: 3\n  }\n}\n"
	  "layer {\n  type: \"Dropout\"\n  dropout_param {\n    dropout_ratio: 0.25\n  }\n}\n",
	  "upgraded-v0 idle-field upgraded-v1 " },
	{ "layers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'x' top: 'y' }\n"
	  "layers { layer { name: 'c' type: 'conv' } bottom: 'y' top: 'c' }",
	  "layer {\n  name: \"c\"\n  type: \"Convolution\"\n  bottom: \"x\"\n  top: \"c\"\n  convolution_param {\n    pad: 2\n  }\n}\n",
	  "upgraded-v0 upgraded-v1 " },
	{ "layers { layer { type: 'unheard_of' num_output: 2 } } layers { layer { type: 'memory_data' } }",
	  "layer {\n  type: \"unheard_of\"\n}\nlayer {\n  type: \"MemoryData\"\n}\n",
	  "upgraded-v0 unknown-v0-type upgraded-v1 " },
	/* inputs */
	{ "layer { name: 'r' } input: 'a' input: 'b' input_dim: [1,2,3,4, 5,6,7,8]",
	  "layer {\n  name: \"input\"\n  type: \"Input\"\n  top: \"a\"\n  top: \"b\"\n  input_param {\n"
	  "    shape {\n      dim: 1\n      dim: 2\n      dim: 3\n      dim: 4\n    }\n    shape {\n      dim: 5\n      dim: 6\n      dim: 7\n      dim: 8\n    }\n"
	  "  }\n}\nlayer {\n  name: \"r\"\n}\n",
	  "upgraded-input " },
	{ "input: 'a' input_shape { dim: 1 dim: 2 } layer { name: 'r' }",
	  "layer {\n  name: \"input\"\n  type: \"Input\"\n  top: \"a\"\n  input_param {\n    shape {\n      dim: 1\n      dim: 2\n    }\n  }\n}\n"
	  "layer {\n  name: \"r\"\n}\n",
	  "upgraded-input " },
	{ "input: 'a' layer { name: 'r' }", "layer {\n  name: \"r\"\n}\n", "" },
	{ "input: 'a' input_dim: [1, 3]", "layer {\n  name: \"input\"\n  type: \"Input\"\n  top: \"a\"\n  input_param {\n    shape {\n      dim: 1\n      dim: 3\n    }\n  }\n}\n",
	  "input-shape upgraded-input " },
	{ "input: 'a' input: 'b' input_shape { dim: 1 }",
	  "layer {\n  name: \"input\"\n  type: \"Input\"\n  top: \"a\"\n  top: \"b\"\n  input_param {\n    shape {\n      dim: 1\n    }\n  }\n}\n",
	  "input-shape upgraded-input " },
	{ "input_dim: 1 name: 'n'", "name: \"n\"\ninput_dim: 1\n", "input-shape " },
	/* BatchNorm with three params */
	{ "layer { type: 'BatchNorm' param { lr_mult: 1 } param { decay_mult: 2 name: 'v' } param { } }",
	  "layer {\n  type: \"BatchNorm\"\n  param {\n    lr_mult: 0\n    decay_mult: 0\n  }\n  param {\n    name: \"v\"\n    lr_mult: 0\n"
	  "    decay_mult: 0\n  }\n  param {\n    lr_mult: 0\n    decay_mult: 0\n  }\n}\n",
	  "upgraded-batch-norm " },
	{ "layer { type: 'BatchNorm' param { lr_mult: 1 } }", "layer {\n  type: \"BatchNorm\"\n  param {\n    lr_mult: 1\n  }\n}\n", "" },
	/* both kinds in one net */
	{ "layer { name: 'a' } layers { name: 'b' } layer { name: 'c' }",
	  "layer {\n  name: \"a\"\n}\nlayer {\n  name: \"b\"\n}\nlayer {\n  name: \"c\"\n}\n", "mixed-layers " },
}, solvers[] = {
	{ "net: 'n' solver_type: ADAM", "net: \"n\"\ntype: \"Adam\"\n", "upgraded-solver-type " },
	{ "solver_type: 1", "type: \"Nesterov\"\n", "upgraded-solver-type " },
	{ "type: 'AdaGrad'", "type: \"AdaGrad\"\n", "" },
	{ "type: 'AdaGrad' solver_type: SGD", "type: \"AdaGrad\"\n", "solver-type-twice " },
};
/* clang-format on */

static void check(const struct row *r, const struct moka_message *root)
{
	struct moka_text text = { "t", r->old, strlen(r->old) };
	struct moka_arena a;
	struct moka_findings f;
	struct moka_buf out, codes;
	struct moka_msg *m;

	moka_arena_init(&a, 0);
	moka_findings_init(&f);
	moka_buf_init(&out, 0);
	moka_buf_init(&codes, 0);
	T_INT(moka_text_parse(&a, &text, root, &moka_layer_schema, NULL, &m), MOKA_OK);
	if (root == &moka_net_message)
		T_INT(moka_upgrade_net(&a, m, &moka_layer_schema, &f), MOKA_OK);
	else
		T_INT(moka_upgrade_solver(&a, m, &moka_layer_schema, &f), MOKA_OK);
	moka_text_print(m, &out);
	for (size_t i = 0; i < f.n; i++) {
		moka_buf_printf(&codes, "%s ", f.items[i].code);
		T_TRUE(f.items[i].loc.line > 0);
	}
	T_STR(out.data ? out.data : "", r->now);
	T_STR(codes.data ? codes.data : "", r->codes);
	moka_buf_release(&out);
	moka_buf_release(&codes);
	moka_findings_release(&f);
	moka_arena_release(&a);
}

T_TEST(nets_are_brought_up_to_date)
{
	for (size_t i = 0; i < MOKA_COUNT(nets); i++)
		check(&nets[i], &moka_net_message);
}

T_TEST(solvers_are_brought_up_to_date)
{
	for (size_t i = 0; i < MOKA_COUNT(solvers); i++)
		check(&solvers[i], &moka_solver_message);
}

/* Binary V1: multipliers may come as a run; types by number. */
T_TEST(binary_v1)
{
	static const char bytes[] = "\x12\x0e\x28\x04\x3d\x00\x00\x80\x3f\x3d\x00\x00\x00\x40\x1a\x00";
	struct moka_arena a;
	struct moka_error err;
	struct moka_msg *m;
	struct moka_buf out;

	moka_arena_init(&a, 0);
	moka_buf_init(&out, 0);
	T_OK(moka_wire_parse(&a, bytes, sizeof(bytes) - 1, NULL, &moka_net_message, &moka_layer_schema, &err, &m),
	     &err);
	T_INT(moka_upgrade_net(&a, m, &moka_layer_schema, NULL), MOKA_OK);
	moka_text_print(m, &out);
	T_STR(out.data,
	      "layer {\n  type: \"Convolution\"\n  top: \"\"\n  param {\n    lr_mult: 1\n  }\n  param {\n    lr_mult: 2\n  }\n}\n");
	moka_buf_release(&out);
	moka_arena_release(&a);
}

/* Upgraded fields still point into the old text. */
T_TEST(places_stay)
{
	static const char text[] = "layers {\n  type: RELU\n  blobs_lr: 3\n  bottom: 'x'\n}\n";
	struct moka_text source = { "t", text, sizeof(text) - 1 };
	struct moka_arena a;
	struct moka_msg *m, *layer;

	moka_arena_init(&a, 0);
	T_INT(moka_text_parse(&a, &source, &moka_net_message, &moka_layer_schema, NULL, &m), MOKA_OK);
	T_INT(moka_upgrade_net(&a, m, &moka_layer_schema, NULL), MOKA_OK);
	layer = moka_get_msg(m, "layer");
	T_STR(layer->layer_type, "ReLU");
	T_INT(moka_msg_loc(layer).line, 1);
	T_INT(moka_node_loc(layer, moka_get(layer, "type")).line, 2);
	T_INT(moka_value_loc(layer, moka_get(layer, "type")).column, 9);
	T_INT(moka_msg_loc(moka_get_msg(layer, "param")).line, 3);
	T_INT(moka_node_loc(layer, moka_get(layer, "bottom")).line, 4);
	moka_arena_release(&a);
}

static const struct CMUnitTest tests[] = {
	T_CASE(nets_are_brought_up_to_date),
	T_CASE(solvers_are_brought_up_to_date),
	T_CASE(binary_v1),
	T_CASE(places_stay),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
