/* Looking into trees, making them, decoding them into structs, finding fields. */
#include "t.h"

#include "layers/layer.h"

#include <string.h>

static struct moka_arena arena;

static struct moka_msg *parse(const char *text, const struct moka_message *root)
{
	static struct moka_text source;
	struct moka_msg *m;

	source = (struct moka_text){ "t", text, strlen(text) };
	T_INT(moka_text_parse(&arena, &source, root, &moka_layer_schema, NULL, &m), MOKA_OK);
	return m;
}

T_TEST(gets)
{
	struct moka_msg *m =
		parse("base_lr: 0.1 test_iter: [3, 4] max_iter: 7 net: 'a' delta: 2", &moka_solver_message);
	int64_t ints[4];

	T_TRUE(moka_get_float(m, "base_lr") == (double)0.1f);
	T_INT(moka_get_int(m, "max_iter"), 7);
	T_STR(moka_get_string(m, "net", "?"), "a");
	T_STR(moka_get_string(m, "train_net", "?"), "?");
	T_STR(moka_get_string(m, "type", "?"), "SGD");
	T_INT(moka_get_int(m, "iter_size"), 1);
	T_INT(moka_get_int(m, "random_seed"), -1);
	T_TRUE(moka_get_float(m, "momentum2") == (double)0.999f);
	T_INT(moka_count(m, "test_iter"), 2);
	T_INT(moka_get_ints(m, "test_iter", ints, 1), 2);
	T_INT(ints[0], 3);
	T_INT(moka_get_ints(m, "test_iter", ints, 4), 2);
	T_INT(ints[1], 4);
	T_TRUE(moka_has(m, "net") && !moka_has(m, "snapshot"));
	T_TRUE(moka_get_msg(m, "net_param") == NULL);
	T_INT(moka_get_int(NULL, "x"), 0);
	T_STR(moka_get_string(NULL, "x", "none"), "none");
	T_TRUE(moka_get(NULL, "x") == NULL);
}

T_TEST(decodes)
{
	const struct moka_filler_param *f;
	const struct moka_transform_param *t;
	const struct moka_shape_param *s;

	f = moka_decode(&arena, NULL, &moka_filler_message);
	T_STR(f->type, "constant");
	T_TRUE(f->max == 1 && f->std == 1 && f->value == 0 && f->sparse == -1 && f->variance_norm == 0);
	f = moka_decode(&arena, parse("type: 'msra' variance_norm: AVERAGE value: .5 sparse: 3", &moka_filler_message),
			NULL);
	T_STR(f->type, "msra");
	T_TRUE(f->value == 0.5f && f->sparse == 3 && f->variance_norm == 2);
	t = moka_decode(
		&arena,
		parse("scale: 2 mirror: true mean_value: [1, 2.5] crop_size: 4000000000", &moka_transform_message),
		NULL);
	T_TRUE(t->scale == 2 && t->mirror && !t->force_gray && t->mean_file == NULL && t->crop_size == 4000000000u);
	T_INT(t->mean_value.n, 2);
	T_TRUE(MOKA_LIST_AT(t->mean_value, float, 1) == 2.5f);
	s = moka_decode(&arena, parse("dim: -1 dim: 9223372036854775807", &moka_blob_shape_message), NULL);
	T_INT(s->dim.n, 2);
	T_TRUE(MOKA_LIST_AT(s->dim, int64_t, 1) == INT64_MAX);
}

T_TEST(decodes_runs)
{
	/* dim packed, 3 values; then one unpacked */
	static const char bytes[] = "\x0a\x04\x01\x80\x02\x03\x08\x05";
	const struct moka_shape_param *s;
	struct moka_msg *m;

	T_INT(moka_wire_parse(&arena, bytes, sizeof(bytes) - 1, NULL, &moka_blob_shape_message, NULL, NULL, &m),
	      MOKA_OK);
	s = moka_decode(&arena, m, NULL);
	T_INT(s->dim.n, 4);
	T_INT(MOKA_LIST_AT(s->dim, int64_t, 1), 256);
	T_INT(MOKA_LIST_AT(s->dim, int64_t, 3), 5);
	T_INT(moka_get_int(m, "dim"), 5);
}

/* Every layer's own message decodes, empty, to its defaults without touching what it should not. */
T_TEST(decodes_every_layer)
{
	for (size_t i = 0; i < moka_layer_schema.n; i++) {
		const struct moka_message *m = moka_layer_schema.layers[i]->message;
		if (!m)
			continue;
		T_TRUE(moka_decode(&arena, NULL, m) != NULL);
		for (const struct moka_field *f = m->fields; f->name; f++)
			T_TRUE(f->offset == MOKA_NOWHERE || f->offset < m->size);
	}
}

T_TEST(makes)
{
	struct moka_msg *net = moka_msg_new(&arena, &moka_net_message), *layer, *param;
	const struct moka_schema *s = &moka_layer_schema;
	struct moka_buf b;
	float v[] = { 1, 2 };

	moka_add_string(&arena, net, s, "name", "n");
	layer = moka_add_msg(&arena, net, s, "layer");
	moka_add_string(&arena, layer, s, "type", "Convolution");
	T_STR(layer->layer_type, "Convolution");
	param = moka_add_msg(&arena, layer, s, "convolution_param");
	T_TRUE(param != NULL);
	moka_add_int(&arena, param, s, "num_output", 3);
	moka_add_int(&arena, param, s, "pad", 1);
	moka_add_int(&arena, param, s, "pad", 2);
	moka_add_float(&arena, layer, s, "loss_weight", 0.1);
	moka_add_floats(&arena, moka_add_msg(&arena, layer, s, "blobs"), "data", v, 2);
	T_TRUE(moka_add_int(&arena, net, s, "no_such_field", 1) == NULL);
	moka_buf_init(&b, 0);
	moka_text_print(net, &b);
	T_STR(b.data,
	      "name: \"n\"\nlayer {\n  type: \"Convolution\"\n  loss_weight: 0.1\n  blobs {\n    data: 1\n    data: 2\n  }\n"
	      "  convolution_param {\n    num_output: 3\n    pad: 1\n    pad: 2\n  }\n}\n");
	moka_buf_release(&b);
	moka_remove(param, "pad");
	T_FALSE(moka_has(param, "pad"));
	T_TRUE(moka_has(param, "num_output"));
	T_TRUE(param->last && param->last == param->first);
	moka_remove(param, "num_output");
	T_TRUE(!param->first && !param->last);
}

T_TEST(finds_fields)
{
	static const struct moka_schema_layer a = { "A", "a_param", 147, 0, &moka_filler_message, NULL, 0, "SSD" };
	static const struct moka_schema_layer b = { "B", "b_param", 147, 9, &moka_loss_message, "BEE", 77, NULL };
	static const struct moka_schema_layer c = { "C", "a_param", 300, 0, &moka_transform_message, NULL, 0, "Other" };
	static const struct moka_schema_layer d = { "D", "d_param", 148, 0, &moka_loss_message, NULL, 0, "SSD" };
	static const struct moka_schema_layer *const layers[] = { &a, &b, &c, &d };
	static const struct moka_schema s = { layers, 4 };
	const struct moka_field *f;

	/* a number: the layer's own, else BVLC's, else nobody's */
	f = moka_field_by_number(&arena, &s, &moka_layer_message, "A", 147);
	T_STR(f->name, "a_param");
	T_STR(f->fork, "SSD");
	T_STR(moka_field_by_number(&arena, &s, &moka_layer_message, "X", 147)->name, "b_param");
	T_STR(moka_field_by_number(&arena, &s, &moka_layer_message, NULL, 147)->name, "b_param");
	T_TRUE(moka_field_by_number(&arena, &s, &moka_layer_message, "A", 148) == NULL);
	T_STR(moka_field_by_number(&arena, &s, &moka_layer_message, "D", 148)->name, "d_param");
	/* a name: the layer's own, else anybody's */
	T_TRUE(moka_field_by_name(&arena, &s, &moka_layer_message, "C", "a_param")->message == &moka_transform_message);
	T_TRUE(moka_field_by_name(&arena, &s, &moka_layer_message, "X", "a_param")->message == &moka_filler_message);
	T_INT(moka_field_by_name(&arena, &s, &moka_layer_message, NULL, "name")->number, 1);
	/* V1: only what has a number there; names of types */
	T_TRUE(moka_field_by_name(&arena, &s, &moka_v1_layer_message, NULL, "a_param") == NULL);
	T_INT(moka_field_by_name(&arena, &s, &moka_v1_layer_message, NULL, "b_param")->number, 9);
	f = moka_field_by_name(&arena, &s, &moka_v1_layer_message, NULL, "type");
	T_STR(f->values[1].name, "BEE");
	T_INT(f->values[1].value, 77);
	T_TRUE(moka_field_by_name(&arena, &s, &moka_filler_message, NULL, "b_param") == NULL);
	T_TRUE(moka_field_by_name(&arena, NULL, &moka_layer_message, NULL, "b_param") == NULL);
}

T_TEST(knows_forks)
{
	T_HAS(moka_fork_of_field("LayerParameter", "roi_pooling_param"), "Fast R-CNN");
	T_HAS(moka_fork_of_field("TransformationParameter", "resize_param"), "SSD");
	T_TRUE(moka_fork_of_field("LayerParameter", "roi_pooling") == NULL);
	T_TRUE(moka_fork_of_field("LayerParameter", "") == NULL);
	T_TRUE(moka_fork_of_field("FillerParameter", "roi_pooling_param") == NULL);
	T_HAS(moka_fork_of_layer("MultiBoxLoss"), "SSD");
	T_HAS(moka_fork_of_layer("Axpy"), "SENet");
	T_HAS(moka_fork_of_layer("DataSequence"), "MyCaffe");
	T_TRUE(moka_fork_of_layer("CPMData") == NULL); /* a type of Moka's own now */
	T_TRUE(moka_fork_of_layer("Convolution") == NULL);
	T_TRUE(moka_fork_of_layer("Axpy PriorBox") == NULL);
}

static const struct CMUnitTest tests[] = {
	T_CASE(gets),  T_CASE(decodes),	     T_CASE(decodes_runs), T_CASE(decodes_every_layer),
	T_CASE(makes), T_CASE(finds_fields), T_CASE(knows_forks),
};

int main(int argc, char **argv)
{
	int failed;

	moka_arena_init(&arena, 0);
	failed = t_main(argc, argv, tests, MOKA_COUNT(tests));
	moka_arena_release(&arena);
	return failed;
}
