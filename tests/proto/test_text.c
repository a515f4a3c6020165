/* The text reader: what it takes, what it says, and what comes out (as protoc prints it). */
#include "t.h"

#include "layers/layer.h"

#include <stdlib.h>
#include <string.h>

struct parsed {
	struct moka_arena a;
	struct moka_findings f;
	struct moka_text text;
	struct moka_msg *m;
	struct moka_buf printed;
	enum moka_status status;
};

static void parse_bytes(struct parsed *p, const struct moka_message *root, const char *text, size_t n)
{
	*p = (struct parsed){ .text = { "net.prototxt", text, n } };
	moka_arena_init(&p->a, 0);
	moka_findings_init(&p->f);
	moka_buf_init(&p->printed, 0);
	p->status = moka_text_parse(&p->a, &p->text, root, &moka_layer_schema, &p->f, &p->m);
	if (p->m)
		moka_text_print(p->m, &p->printed);
}

static void parse(struct parsed *p, const char *text)
{
	parse_bytes(p, &moka_net_message, text, strlen(text));
}

static void done(struct parsed *p)
{
	moka_buf_release(&p->printed);
	moka_findings_release(&p->f);
	moka_arena_release(&p->a);
}

static const struct moka_finding *find_code(const struct parsed *p, const char *code)
{
	for (size_t i = 0; i < p->f.n; i++)
		if (!strcmp(p->f.items[i].code, code))
			return &p->f.items[i];
	return NULL;
}

/* ---- accepted -------------------------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *text, *printed;
} accepted[] = {
	{ "", "" },
	{ "# nothing but a comment", "" },
	{ "name: \"a\" 'b'\n\"c\"", "name: \"abc\"\n" },
	{ "\xef\xbb\xbfname: 'x'\r\ninput:'y'\r\n", "name: \"x\"\ninput: \"y\"\n" },
	{ "name: '\\101\\x41\\n\\t\\\"\\'\\\\\\?'", "name: \"AA\\n\\t\\\"\\'\\\\?\"\n" },
	{ "name: '\\u00e9\\U0001F600\\ud83d\\ude00'", "name: \"\\303\\251\\360\\237\\230\\200\\360\\237\\230\\200\"\n" },
	{ "name: '\xc3\xa9'", "name: \"\\303\\251\"\n" },
	{ "name: 'it\"s'", "name: \"it\\\"s\"\n" },
	{ "layer{}layer<>layer:{}layer:<>", "layer {\n}\nlayer {\n}\nlayer {\n}\nlayer {\n}\n" },
	{ "layer [{name:'a'},<name:'b'>]", "layer {\n  name: \"a\"\n}\nlayer {\n  name: \"b\"\n}\n" },
	{ "input: ['a','b']; input_dim: [1,2,3,4], input: []", "input: \"a\"\ninput: \"b\"\ninput_dim: 1\ninput_dim: 2\ninput_dim: 3\ninput_dim: 4\n" },
	{ "input_dim: 0x10 input_dim: 017 input_dim: -5 input_dim: - 6", "input_dim: 16\ninput_dim: 15\ninput_dim: -5\ninput_dim: -6\n" },
	{ "force_backward: t", "force_backward: true\n" },
	{ "force_backward: False", "force_backward: false\n" },
	{ "force_backward: 1", "force_backward: true\n" },
	{ "layer{loss_weight: [1, 1., .5, 1e-3, 1f, 2.5F, inf, -inf, nan, 16777217, 0.1, 1e400]}",
	  "layer {\n  loss_weight: 1\n  loss_weight: 1\n  loss_weight: 0.5\n  loss_weight: 0.001\n  loss_weight: 1\n"
	  "  loss_weight: 2.5\n  loss_weight: inf\n  loss_weight: -inf\n  loss_weight: nan\n  loss_weight: 16777216\n"
	  "  loss_weight: 0.1\n  loss_weight: inf\n}\n" },
	{ "layer{blobs{data: 3.4028235677973366e+38 data: 1e-45 double_data: 0.1 double_data: 1e300}}",
	  "layer {\n  blobs {\n    data: 3.40282347e+38\n    data: 1.40129846e-45\n    double_data: 0.1\n    double_data: 1e+300\n  }\n}\n" },
	{ "state{phase: 0} layer{include{phase:TEST}}", "state {\n  phase: TRAIN\n}\nlayer {\n  include {\n    phase: TEST\n  }\n}\n" },
	{ "layers{type: CONVOLUTION} layers{type: 18} layers{type: NONE}", "layers {\n  type: CONVOLUTION\n}\nlayers {\n  type: RELU\n}\nlayers {\n  type: NONE\n}\n" },
	{ "layer { convolution_param { pad: 4294967295 engine: CUDNN } type: 'Convolution' }",
	  "layer {\n  type: \"Convolution\"\n  convolution_param {\n    pad: 4294967295\n    engine: CUDNN\n  }\n}\n" },
	{ "layer { type: 'Permute' permute_param { order: 0 order: 2 } }", "layer {\n  type: \"Permute\"\n  permute_param {\n    order: 0\n    order: 2\n  }\n}\n" },
	{ "layers { layer { type: 'hdf5_output' hdf5_output_param { file_name: 'f' } } }",
	  "layers {\n  layer {\n    type: \"hdf5_output\"\n    hdf5_output_param {\n      file_name: \"f\"\n    }\n  }\n}\n" },
};
/* clang-format on */

T_TEST(takes)
{
	for (size_t i = 0; i < MOKA_COUNT(accepted); i++) {
		struct parsed p;
		parse(&p, accepted[i].text);
		if (p.f.n)
			fprintf(stderr, "%s: %s\n", accepted[i].text, p.f.items[0].message);
		T_INT(p.status, MOKA_OK);
		T_INT(p.f.n, 0);
		T_STR(p.printed.data ? p.printed.data : "", accepted[i].printed);
		done(&p);
	}
}

/* ---- findings ---------------------------------------------------------------------------------- */

/* The text, its first finding (code, place, a piece of message and of hint), and what is read all the same. */
/* clang-format off */
static const struct {
	const char *text, *code;
	unsigned line, column;
	const char *message, *hint, *printed;
} findings[] = {
	{ "name: 'a\ninput: 'b'", "open-string", 1, 7, "no closing quote", "'", NULL },
	{ "name: 'a\nb'", "open-string", 1, 7, "over the end", "\\n", "name: \"a\\nb\"\n" },
	{ "name: 'C:\\data'", "bad-escape", 1, 10, "'\\d'", "\\\\", "name: \"C:\\\\data\"\n" },
	{ "name: 'a'\n  name: 'b'", "repeated-singular", 2, 3, "'name' is given twice", "line 1", "name: \"b\"\n" },
	{ "name 'a'", "missing-colon", 1, 6, "':' after 'name'", NULL, "name: \"a\"\n" },
	{ "name: a/b.c", "wrong-kind", 1, 7, "text in quotes", "write \"a/b.c\"", "name: \"a/b.c\"\n" },
	{ "name:\ninput: 'x'", "missing-value", 1, 1, "'name' has no value", NULL, "input: \"x\"\n" },
	{ "name: { a: 1 } input: 'x'", "wrong-kind", 1, 1, "takes a value", NULL, "input: \"x\"\n" },
	{ "input_dim: 1.0", "wrong-kind", 1, 12, "a whole number", "write 1", "input_dim: 1\n" },
	{ "input_dim: 1.5", "wrong-kind", 1, 12, "a whole number", NULL, "" },
	{ "input_dim: '3'", "wrong-kind", 1, 12, "a whole number", "write 3", "input_dim: 3\n" },
	{ "input_dim: 08", "octal", 1, 12, "octal", "write 8", "input_dim: 8\n" },
	{ "input_dim: 2147483648", "out-of-range", 1, 12, "-2147483648 to 2147483647", NULL, "" },
	{ "input_dim: 99999999999999999999", "out-of-range", 1, 12, "too large", NULL, "" },
	{ "layer{convolution_param{pad: -1}}", "out-of-range", 1, 30, "0 to 4294967295, not -1", NULL, NULL },
	{ "input_dim: 3input: 'b'", "syntax", 1, 13, "blank", NULL, "input: \"b\"\ninput_dim: 3\n" },
	{ "force_backward: TRUE", "wrong-kind", 1, 17, "true or false", "write true", "force_backward: true\n" },
	{ "force_backward: 'yes'", "wrong-kind", 1, 17, "true or false", "write true", "force_backward: true\n" },
	{ "force_backward: 2", "out-of-range", 1, 17, "0 to 1", NULL, "" },
	{ "layer{loss_weight: 010}", "octal", 1, 20, "decimal", "leading 0", NULL },
	{ "layer{loss_weight: '1.5'}", "wrong-kind", 1, 20, "a number", NULL, "layer {\n  loss_weight: 1.5\n}\n" },
	{ "layer{include{phase: Test}}", "unknown-value", 1, 22, "'Test'", "did you mean TEST?", "layer {\n  include {\n    phase: TEST\n  }\n}\n" },
	{ "layer{include{phase: 7}}", "unknown-value", 1, 22, "7 is no value", "TRAIN, TEST", NULL },
	{ "layer{include{phase: 'TEST'}}", "wrong-kind", 1, 22, "bare name", "write TEST", "layer {\n  include {\n    phase: TEST\n  }\n}\n" },
	{ "layer{relu_param{engine: MKLDNN}}", "unknown-engine", 1, 26, "MKLDNN", "ignored", NULL },
	{ "layer{convolution_param{weight_filler: 'xavier'}}", "wrong-kind", 1, 40, "takes { ... }", "write weight_filler { type: 'xavier' }", NULL },
	{ "layer{ name: 'x'", "open-brace", 1, 6, "never closed", "missing", "layer {\n  name: \"x\"\n}\n" },
	{ "layer{ name: 'x' >", "wrong-brace", 1, 18, "'>' where '}'", NULL, "layer {\n  name: \"x\"\n}\n" },
	{ "name: 'x' }\ninput: 'y'", "stray-brace", 1, 11, "closes nothing", NULL, "name: \"x\"\ninput: \"y\"\n" },
	{ "name: 'a';; input: 'b'", "syntax", 1, 11, "found ';'", "leave this one out", "name: \"a\"\ninput: \"b\"\n" },
	{ "name: 'a'\nthis is prose\ninput: 'b'", "syntax", 2, 6, "after 'this'", NULL, "name: \"a\"\ninput: \"b\"\n" },
	{ "name: 'a' // comment\ninput: 'b'", "bad-character", 1, 11, "'/'", "#", "name: \"a\"\ninput: \"b\"\n" },
	{ "name: \xe2\x80\x9cx\xe2\x80\x9d", "bad-character", 1, 7, "outside ASCII", NULL, NULL },
	{ "input_dim: [1 2]", "syntax", 1, 15, "',' or ']'", "line 1", NULL },
	{ "input_dim: [1,", "missing-value", 1, 1, "no value", NULL, NULL },
	{ "layer{convolution_param{num_output: [3]}}", "wrong-kind", 1, 37, "one value", NULL, NULL },
	{ "layer{clip_param{min: 1}}", "missing-required", 1, 7, "needs 'max'", NULL, NULL },
	{ "layer { type: 'Convolution' convolution_param { kernal_size: 3 } }", "unknown-field", 1, 49, "kernal_size", "did you mean 'kernel_size'?", NULL },
	{ "layer { type: 'Convolution' num_output: 3 }", "unknown-field", 1, 29, "num_output", "belongs into convolution_param", NULL },
	{ "layer { lr_mult: 3 type: 'ReLU' }", "unknown-field", 1, 9, "lr_mult", "belongs into param", NULL },
	{ "layer { type: 'Data' data_param { transform_param { } } }", "unknown-field", 1, 35, "transform_param", "behind the closing brace", NULL },
	{ "layer { blobs_lr: 1 }", "unknown-field", 1, 9, "blobs_lr", "param { lr_mult", NULL },
	{ "layer { op_transform_param { a: 1 } }", "unknown-field", 1, 9, "known from OpenPose", "no effect here", NULL },
	{ "base_lr: 0.1", "unknown-field", 1, 1, "base_lr", "a solver has it", NULL },
	{ "layers { type: 'Convolution' param { lr_mult: 1 } }", "mixed-syntax", 1, 1, "not in quotes", "layer", "layer {\n  type: \"Convolution\"\n  param {\n    lr_mult: 1\n  }\n}\n" },
	{ "layer { blobs_lr: 1 type: CONVOLUTION }", "mixed-syntax", 1, 1, "in quotes", "layers", "layers {\n  type: CONVOLUTION\n  blobs_lr: 1\n}\n" },
	{ "layers { type: AWESOME }", "unknown-v1-type", 1, 16, "DeconvNet", NULL, "layers {\n  type: AWESOME\n}\n" },
	{ "layers { type: PRE_LU }", "unknown-v1-type", 1, 16, "\"PReLU\"", NULL, "layers {\n  type: PReLU\n}\n" },
	{ "name: 'a'\n<<<<<<< HEAD\ninput: 'b'\n=======\ninput: 'c'\n>>>>>>> other\n", "merge-conflict", 2, 1, "merge-conflict", "delete the markers", NULL },
};
/* clang-format on */

T_TEST(says)
{
	for (size_t i = 0; i < MOKA_COUNT(findings); i++) {
		struct parsed p;
		const struct moka_finding *x;
		parse(&p, findings[i].text);
		x = p.f.n ? &p.f.items[0] : NULL;
		if (!x || strcmp(x->code, findings[i].code))
			fprintf(stderr, "%s: %s\n", findings[i].text, x ? x->message : "no finding");
		T_TRUE(x != NULL);
		T_STR(x->code, findings[i].code);
		T_HAS(x->message, findings[i].message);
		T_INT(x->loc.line, findings[i].line);
		T_INT(x->loc.column, findings[i].column);
		T_TRUE(x->loc.text == &p.text);
		if (findings[i].hint) {
			T_TRUE(x->hint != NULL);
			T_HAS(x->hint, findings[i].hint);
		}
		if (findings[i].printed)
			T_STR(p.printed.data ? p.printed.data : "", findings[i].printed);
		done(&p);
	}
}

T_TEST(counts_a_forks_field_once)
{
	struct parsed p;

	parse(&p,
	      "layer { op_transform_param { stride: 1 } }\nlayer { op_transform_param { } }\nlayer { op_transform_param { } }\n");
	T_INT(p.f.n, 1);
	T_HAS(p.f.items[0].message, "3 times");
	T_INT(p.f.items[0].loc.line, 1);
	done(&p);
}

T_TEST(keeps_unknown_fields)
{
	struct parsed p;
	const struct moka_node *n;

	parse(&p, "layer { my_param { a: 1 b: -2.5 c: \"s\\n\" d: WORD e { f: true } g: [1, 2] } name: \"x\" }");
	T_STR(p.printed.data,
	      "layer {\n  name: \"x\"\n  my_param {\n    a: 1\n    b: -2.5\n    c: \"s\\n\"\n    d: WORD\n    e {\n      f: true\n"
	      "    }\n    g: 1\n    g: 2\n  }\n}\n");
	n = moka_get(moka_get_msg(p.m, "layer"), "my_param");
	T_TRUE(n && !n->field && n->kind == MOKA_NODE_MESSAGE);
	T_INT(moka_get_int(n->u.m, "a"), 1);
	T_INT(moka_count(n->u.m, "g"), 2);
	done(&p);
}

T_TEST(knows_places)
{
	struct parsed p;
	const struct moka_node *n;
	struct moka_msg *layer;

	parse(&p, "name: 'n'\n\tlayer {\n  type:   'ReLU'\n}\n");
	layer = moka_get_msg(p.m, "layer");
	T_INT(layer->line, 2);
	T_INT(layer->column, 2);
	T_STR(layer->layer_type, "ReLU");
	n = moka_get(layer, "type");
	T_INT(moka_node_loc(layer, n).line, 3);
	T_INT(moka_node_loc(layer, n).column, 3);
	T_INT(moka_value_loc(layer, n).column, 11);
	T_INT(moka_node_loc(layer, NULL).line, 2);
	done(&p);
}

/* ---- hostile ------------------------------------------------------------------------------------------ */

T_TEST(deep_braces)
{
	enum { DEEP = 10000 };
	struct moka_buf b;
	struct parsed p;

	moka_buf_init(&b, 0);
	moka_buf_repeat(&b, "x { ", DEEP);
	moka_buf_repeat(&b, "} ", DEEP);
	moka_buf_puts(&b, "name: 'after'");
	parse_bytes(&p, &moka_net_message, b.data, b.len);
	T_INT(p.status, MOKA_OK);
	T_TRUE(find_code(&p, "too-deep") != NULL);
	T_STR(moka_get_string(p.m, "name", ""), "after");
	done(&p);
	parse_bytes(&p, &moka_net_message, b.data, (size_t)DEEP * 4);
	T_TRUE(find_code(&p, "open-brace") != NULL);
	done(&p);
	moka_buf_release(&b);
}

T_TEST(not_a_prototxt)
{
	static const char lfs[] =
		"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n";
	static const char html[] =
		"<!DOCTYPE html>\n<html><head><title>404</title></head>\n<body>Not found</body></html>\n";
	unsigned char junk[4096];
	struct moka_rng r;
	struct parsed p;

	parse(&p, lfs);
	T_TRUE(p.f.errors > 0);
	T_INT(p.status, MOKA_ERR_FORMAT);
	done(&p);
	parse(&p, html);
	T_TRUE(p.f.errors > 0);
	done(&p);
	for (uint64_t seed = 0; seed < 50; seed++) {
		moka_rng_seed(&r, seed, 0);
		for (size_t i = 0; i < sizeof(junk); i++)
			junk[i] = (unsigned char)moka_rng_next(&r);
		parse_bytes(&p, &moka_net_message, (const char *)junk, sizeof(junk));
		T_TRUE(p.f.errors > 0 && p.f.errors < 200);
		done(&p);
	}
}

/* Files of unclosed quotes must not take the square of their length. */
T_TEST(many_open_strings)
{
	struct moka_buf b;
	struct parsed p;
	double start = moka_now();

	moka_buf_init(&b, 0);
	moka_buf_puts(&b, "layer { ");
	moka_buf_repeat(&b, "\\\"\n", 300000);
	parse_bytes(&p, &moka_net_message, b.data, b.len);
	T_TRUE(p.f.errors > 0);
	T_TRUE(moka_now() - start < 10);
	done(&p);
	moka_buf_release(&b);
}

/* Every cut of a text: a finding perhaps, never a crash. */
T_TEST(cut_anywhere)
{
	static const char text[] =
		"name: 'n' layer { name: \"a\\x41\\u00e9\" type: 'Convolution' param [{ lr_mult: 1e-3 }, < name: 'w' >]\n"
		"convolution_param { pad: [1, 2] weight_filler { type: \"xavier\" } engine: CAFFE } }\n"
		"layers { type: RELU blobs_lr: .5 } input_dim: 0x1F; foo { bar: [a, -inf] } # end";

	for (size_t n = 0; n < sizeof(text); n++) {
		struct parsed p;
		/* a block of its own, so that a sanitizer sees a step too far */
		char *exact = malloc(n ? n : 1);
		assert_non_null(exact);
		memcpy(exact, text, n);
		parse_bytes(&p, &moka_net_message, exact, n);
		done(&p);
		free(exact);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(takes),
	T_CASE(says),
	T_CASE(counts_a_forks_field_once),
	T_CASE(keeps_unknown_fields),
	T_CASE(knows_places),
	T_CASE(deep_braces),
	T_CASE(not_a_prototxt),
	T_CASE(many_open_strings),
	T_CASE(cut_anywhere),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
