/*
 * test_layer.c - what layer.c gives every layer: shapes, sizes that can't overflow, findings at their places,
 * normalisers; and that every registered layer's table is sound.
 */
#include "layer_test.h"

#include <string.h>

T_TEST(shapes)
{
	struct moka_shape s = moka_shape_make(3, (int64_t)2, (int64_t)-1, (int64_t)4), t = s;
	char buf[MOKA_SHAPE_TEXT], small[6];

	T_STR(moka_shape_text(&s, buf, sizeof(buf)), "2x?x4");
	T_STR(moka_shape_text(&s, small, sizeof(small)), "2x?x4");
	T_STR(moka_shape_text(&s, small, 4), "2x?");
	T_INT(moka_shape_count(&s), -1);
	T_FALSE(moka_shape_known(&s));
	t.d[1] = 3;
	T_FALSE(moka_shape_equal(&s, &t));
	T_INT(moka_shape_count(&t), 24);
	T_INT(moka_shape_count_range(&t, 1, 3), 12);
	T_INT(moka_shape_count_range(&t, 2, 2), 1);
	T_INT(moka_shape_axis(&t, -1), 2);
	T_INT(moka_shape_axis(&t, 3), -1);
	T_INT(moka_shape_axis(&t, -4), -1);
	t.n = 0;
	T_STR(moka_shape_text(&t, buf, sizeof(buf)), "scalar");
	T_INT(moka_shape_count(&t), 1);
	t.n = -1;
	T_STR(moka_shape_text(&t, buf, sizeof(buf)), "?");
	T_INT(moka_shape_count(&t), -1);
}

T_TEST(sizes_saturate)
{
	const int64_t big = (int64_t)1 << 40;

	T_TRUE(moka_layer_product(2, (int64_t[]){ big, big }) == INT64_MAX);
	T_TRUE(moka_layer_product(3, (int64_t[]){ big, big, 0 }) == 0);
	T_TRUE(moka_layer_product(3, (int64_t[]){ big, -1, 0 }) == -1);
	T_TRUE(moka_layer_bytes(INT64_MAX, 8) + moka_layer_bytes(INT64_MAX, 8) > (size_t)1 << 60);
	T_TRUE(moka_layer_bytes(-1, 4) == 0);
	T_TRUE(moka_layer_bytes(3, 4) == 12);
}

/* Shapes of 2^40 and settings of 2^32 are counted or refused, never wrapped round: sanitizers look on. */
T_TEST(absurd_sizes)
{
	static const char *const texts[] = {
		"layer { type: 'Convolution' bottom: 'x' top: 'y' convolution_param { num_output: 4294967295 kernel_size: 1 pad: 4294967295 } }",
		"layer { type: 'Deconvolution' bottom: 'x' top: 'y' convolution_param { num_output: 4294967295 kernel_size: 4294967295 stride: 4294967295 dilation: 4294967295 } }",
		"layer { type: 'Im2col' bottom: 'x' top: 'y' convolution_param { kernel_size: 1000000 } }",
		"layer { type: 'Pooling' bottom: 'x' top: 'y' pooling_param { kernel_size: 2147483647 stride: 2147483647 pad: 2147483646 } }",
		"layer { type: 'SPP' bottom: 'x' top: 'y' spp_param { pyramid_height: 4294967295 } }",
		"layer { type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 2147483647 } }",
		"layer { type: 'Tile' bottom: 'x' top: 'y' tile_param { tiles: 2147483647 axis: 0 } }",
		"layer { type: 'Flatten' bottom: 'x' top: 'y' flatten_param { axis: 0 } }",
		"layer { type: 'Reshape' bottom: 'x' top: 'y' reshape_param { shape { dim: 9223372036854775807 dim: 9223372036854775807 dim: -1 } } }",
		"layer { type: 'LRN' bottom: 'x' top: 'y' lrn_param { local_size: 2147483647 norm_region: WITHIN_CHANNEL } }",
		"layer { type: 'BatchNorm' bottom: 'x' top: 'y' }",
		"layer { type: 'Embed' bottom: 'x' top: 'y' embed_param { num_output: 2147483647 input_dim: 2147483647 } }",
	};

	for (size_t i = 0; i < MOKA_COUNT(texts); i++) {
		struct layer_test *x =
			lt_shape(texts[i], MOKA_TRAIN, "1099511627776x1099511627776x1099511627776x1099511627776");

		T_TRUE(x->status != MOKA_OK || moka_shape_count(&x->top_ref[0].shape) == INT64_MAX);
		lt_free(x);
	}
}

/* The finding stands where the setting does, and names the layer. */
T_TEST(findings_have_places)
{
	struct layer_test *x = lt_shape("layer {\n  name: 'ip'\n  type: 'InnerProduct'\n  bottom: 'x'\n  top: 'y'\n"
					"  inner_product_param {\n    num_output: 3\n    axis: 7\n  }\n}\n",
					MOKA_TEST, "2x3");
	const struct moka_finding *f = &x->findings.items[0];

	T_INT(x->status, MOKA_ERR_MODEL);
	T_INT(f->loc.line, 8);
	T_INT(f->loc.column, 5);
	T_STR(f->code, "bad-axis");
	T_STR(f->message, "layer 'ip' (InnerProduct): axis 7 is outside the bottom, which has 2 axes (2x3)");
	T_HAS(f->hint, "0 to 1, or -2 to -1");
	lt_free(x);
	x = lt_shape("layer {\n  type: 'Eltwise'\n  bottom: 'a'\n  bottom: 'b'\n  top: 'y'\n}\n", MOKA_TEST, "2x3 2x4");
	T_INT(x->findings.items[0].loc.line, 4);
	T_HAS(x->findings.items[0].message, "layer without a name (Eltwise)");
	lt_free(x);
}

T_TEST(normalizers)
{
	static const struct {
		const char *text;
		double valid, batch; /* with 6 valid of 4 x 5, and with none valid */
	} rows[] = {
		{ "", 6, 1 },
		{ "loss_param { normalization: FULL }", 20, 20 },
		{ "loss_param { normalization: VALID }", 6, 1 },
		{ "loss_param { normalization: BATCH_SIZE }", 4, 4 },
		{ "loss_param { normalization: NONE }", 1, 1 },
		{ "loss_param { normalize: false }", 4, 4 },
		{ "loss_param { normalize: true }", 6, 1 },
		{ "loss_param { normalize: true normalization: FULL }", 20, 20 },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		char text[256];
		struct layer_test *x;

		snprintf(text, sizeof(text), "layer { type: 'Silence' bottom: 'x' %s }", rows[i].text);
		x = lt_shape(text, MOKA_TRAIN, "4x5");
		T_TRUE(moka_loss_normalizer(&x->l, 4, 5, 6) == (real)rows[i].valid);
		T_TRUE(moka_loss_normalizer(&x->l, 4, 5, 0) == (real)rows[i].batch);
		lt_free(x);
	}
}

/* Of a table: numbers and names used once, help said, places inside the struct. */
static void check_table(const struct moka_message *m)
{
	for (const struct moka_field *f = m->fields; f->name; f++) {
		T_TRUE(f->number > 0 && f->help && f->help[0]);
		T_TRUE(f->offset == MOKA_NOWHERE || f->offset < m->size);
		for (const struct moka_field *g = f + 1; g->name; g++) {
			T_TRUE(strcmp(f->name, g->name) != 0);
			T_TRUE(f->number != g->number || f->fork || g->fork);
		}
	}
}

T_TEST(every_layer_is_sound)
{
	for (int i = 0; moka_layer_types[i]; i++) {
		const struct moka_layer_type *t = moka_layer_types[i];

		print_message("%s\n", t->schema.type);
		T_TRUE(moka_layer_type_find(t->schema.type) == t);
		T_TRUE(t->doc && t->doc[0]);
		T_TRUE((t->schema.param_name != NULL) == (t->schema.message != NULL));
		T_TRUE(t->max_bottom < 0 || t->max_bottom >= t->min_bottom);
		T_TRUE(t->max_top < 0 || t->max_top >= t->min_top);
		if (t->schema.message)
			check_table(t->schema.message);
	}
	T_TRUE(moka_layer_type_find("NoSuchLayer") == NULL);
}

static const struct CMUnitTest tests[] = {
	T_CASE(shapes),	     T_CASE(sizes_saturate),	   T_CASE(absurd_sizes), T_CASE(findings_have_places),
	T_CASE(normalizers), T_CASE(every_layer_is_sound),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
