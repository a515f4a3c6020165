/*
 * test_model.c - opening nets and solvers: of every age, in text and binary; and a finding for everything else.
 */
#include "t.h"

#include "layers/layer.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct moka_findings found;

static struct moka_model *parse(const char *text, size_t n, const struct moka_model_options *o, enum moka_status *st)
{
	struct moka_model *m;

	moka_findings_init(&found);
	*st = moka_model_parse(&m, "x.prototxt", text, n ? n : strlen(text), &moka_layer_schema, o, &found);
	return m;
}

static void done(struct moka_model *m)
{
	moka_findings_release(&found);
	moka_model_free(m);
}

static const char *write_file(const char *name, const char *text)
{
	static char path[4][256];
	static int at;
	struct moka_error e = { 0 };
	char *p = path[at++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", t_tmp(), name);
	T_OK(moka_file_write(p, text, strlen(text), &e), &e);
	return p;
}

/* The first error says `message` (and its hint `hint`); it has the code and line. */
static void has_error(const char *code, uint32_t line, const char *message, const char *hint)
{
	for (size_t i = 0; i < found.n; i++) {
		struct moka_buf b;

		if (found.items[i].severity != MOKA_ERROR)
			continue;
		T_STR(found.items[i].code, code);
		T_INT(found.items[i].loc.line, line);
		T_HAS(found.items[i].message, message);
		if (hint)
			T_HAS(found.items[i].hint, hint);
		/* it can be printed when the model is gone */
		moka_buf_init(&b, 0);
		moka_finding_print(&found.items[i], false, &b);
		T_HAS(b.data, "error: ");
		moka_buf_release(&b);
		return;
	}
	fail_msg("no error among %zu findings", found.n);
}

T_TEST(text_net)
{
	enum moka_status st;
	struct moka_model *m =
		parse("\xef\xbb\xbfname: \"tiny\" force_backward: true\n"
		      "layer { name: \"d\" type: \"Input\" top: \"d\" input_param { shape { dim: 1 dim: 2 } } }\n"
		      "layer { name: \"r\"\n type: \"ReLU\" bottom: \"d\" top: \"r\" }\n",
		      0, NULL, &st);

	T_INT(st, MOKA_OK);
	T_INT(found.errors, 0);
	T_INT(m->kind, MOKA_MODEL_NET);
	T_FALSE(m->binary);
	T_STR(m->name, "tiny");
	T_TRUE(m->force_backward);
	T_INT(m->n_layers, 2);
	T_STR(m->layers[0].name, "d");
	T_STR(m->layers[1].type, "ReLU");
	T_INT(m->layers[1].loc.line, 3);
	done(m);
}

T_TEST(old_syntaxes)
{
	static const char v1[] = "input: \"d\" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4\n"
				 "layers { name: \"r\" type: RELU bottom: \"d\" top: \"r\" }\n";
	static const char v0[] = "input: \"d\" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4\n"
				 "layers { layer { name: \"r\" type: \"relu\" } bottom: \"d\" top: \"r\" }\n";
	const char *texts[] = { v1, v0 };

	for (size_t i = 0; i < 2; i++) {
		enum moka_status st;
		struct moka_model *m = parse(texts[i], 0, NULL, &st);

		T_INT(st, MOKA_OK);
		T_INT(m->n_layers, 2);
		T_STR(m->layers[0].type, "Input");
		T_STR(m->layers[1].type, "ReLU");
		T_STR(m->layers[1].name, "r");
		done(m);
	}
}

T_TEST(raw_stays_as_it_is)
{
	enum moka_status st;
	const struct moka_model_options o = { .raw = true, .expect = -1 };
	struct moka_model *m = parse("layers { name: \"r\" type: RELU }\n", 0, &o, &st);

	T_INT(st, MOKA_OK);
	T_TRUE(moka_has(m->root, "layers"));
	T_FALSE(moka_has(m->root, "layer"));
	T_INT(m->n_layers, 1);
	T_STR(m->layers[0].type, "");
	done(m);
}

T_TEST(binary_net)
{
	enum moka_status st;
	struct moka_model *m = parse("\x0a\x01"
				     "n\xa2\x06\x09\x0a\x01"
				     "r\x12\x04"
				     "ReLU",
				     15, NULL, &st);

	T_INT(st, MOKA_OK);
	T_TRUE(m->binary);
	T_STR(m->name, "n");
	T_INT(m->n_layers, 1);
	T_STR(m->layers[0].name, "r");
	T_STR(m->layers[0].type, "ReLU");
	done(m);
	m = parse("\x0a\x01"
		  "n\xa2\x06\x09\x0a\x01"
		  "r\x12\x04"
		  "Re",
		  13, NULL, &st);
	T_TRUE(st != MOKA_OK);
	T_TRUE(m == NULL);
	has_error("damaged-file", 0, "byte 3", NULL);
	done(NULL);
}

T_TEST(strict)
{
	static const char text[] = "layer { name: \"r\" type: \"ReLU\" no_such_field: 3 }";
	enum moka_status st;
	const struct moka_model_options o = { .strict = true, .expect = -1 };
	struct moka_model *m = parse(text, 0, NULL, &st);

	T_INT(found.errors, 0);
	T_INT(found.warnings, 1);
	done(m);
	m = parse(text, 0, &o, &st);
	T_INT(found.errors, 1);
	T_INT(found.warnings, 0);
	has_error("unknown-field", 1, "no_such_field", NULL);
	done(m);
}

T_TEST(wrong_files)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *code;
		uint32_t line;
		const char *message, *hint;
	} rows[] = {
		{ "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 543210\n", 0, "git-lfs-pointer", 0,
		  "543210 bytes", "git lfs pull" },
		{ "layer {\n<<<<<<< HEAD\n}\n", 0, "merge-conflict", 2, "merge-conflict", "=======" },
		{ "\x89HDF\r\n\x1a\n----", 12, "wrong-file", 0, "an HDF5 file", "-w" },
		{ "\xff\xd8\xff\xe0----", 8, "wrong-file", 0, "a JPEG picture", "-i BLOB=FILE" },
		{ "\x08\x0a\x12\x03"
		  "a.m\x1a\x02\x08\x01",
		  11, "wrong-file", 0, "solver's state", "'a.m'" },
		{ "\x08\x01\x10\x03\x18\x02\x20\x02\x2a\x04\0\0\0\0", 14, "wrong-file", 0, "mean image", "--mean" },
		{ "<!DOCTYPE html>", 0, "web-page", 0, "a web page", "raw" },
		{ "layer { {", 0, "syntax", 1, "", NULL },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		enum moka_status st;
		struct moka_model *m = parse(rows[i].bytes, rows[i].n, NULL, &st);

		if (i + 1 < MOKA_COUNT(rows))
			T_TRUE(st != MOKA_OK && !m);
		if (i + 1 < MOKA_COUNT(rows))
			has_error(rows[i].code, rows[i].line, rows[i].message, rows[i].hint);
		else
			T_TRUE(found.errors > 0);
		done(m);
	}
}

T_TEST(missing_empty_folder)
{
	const char *path = write_file("lenet.prototxt", "layer { }");
	struct moka_model *m;
	char near[256];

	snprintf(near, sizeof(near), "%s/lenet.prototx", t_tmp());
	moka_findings_init(&found);
	T_INT(moka_model_open(&m, near, &moka_layer_schema, NULL, &found), MOKA_ERR_IO);
	T_TRUE(m == NULL);
	has_error("missing-file", 0, "lenet.prototx", "lenet.prototxt");
	done(NULL);

	moka_findings_init(&found);
	T_TRUE(moka_model_open(&m, t_tmp(), &moka_layer_schema, NULL, &found) != MOKA_OK);
	has_error("unreadable-file", 0, "", NULL);
	done(NULL);

	path = write_file("empty.prototxt", "");
	moka_findings_init(&found);
	T_TRUE(moka_model_open(&m, path, &moka_layer_schema, NULL, &found) != MOKA_OK);
	has_error("empty-file", 0, "an empty file", NULL);
	done(NULL);
}

T_TEST(expectations)
{
	const struct moka_model_options net = { .expect = MOKA_MODEL_NET }, solver = { .expect = MOKA_MODEL_SOLVER };
	enum moka_status st;
	struct moka_model *m = parse("base_lr: 0.1 net: \"x\"", 0, &net, &st);

	T_TRUE(st != MOKA_OK && !m);
	has_error("wrong-file", 0, "a solver file in text, not a net", "moka train --solver");
	done(NULL);
	m = parse("layer { }", 0, &solver, &st);
	T_TRUE(st != MOKA_OK && !m);
	has_error("wrong-file", 0, "a net in text (.prototxt), not a solver", NULL);
	done(NULL);
}

static struct moka_model *open_solver(const char *text)
{
	const char *path = write_file("solver.prototxt", text);
	struct moka_model *m;

	moka_findings_init(&found);
	T_INT(moka_model_open(&m, path, &moka_layer_schema, NULL, &found), MOKA_OK);
	T_INT(m->kind, MOKA_MODEL_SOLVER);
	return m;
}

T_TEST(solver_by_path)
{
	struct moka_model *s, *train, *test, *again;

	write_file("net.prototxt", "name: \"the net\" layer { name: \"r\" type: \"ReLU\" }");
	write_file("test.prototxt", "name: \"the test\"");
	s = open_solver("net: \"net.prototxt\" test_net: \"test.prototxt\" test_iter: 1 test_iter: 1 base_lr: 0.1");
	T_INT(moka_model_solver_net(s, -1, &moka_layer_schema, &train, &found), MOKA_OK);
	T_STR(train->name, "the net");
	T_TRUE(s->net == train);
	T_INT(moka_model_solver_net(s, 0, &moka_layer_schema, &test, &found), MOKA_OK);
	T_STR(test->name, "the test");
	T_INT(moka_model_solver_net(s, 1, &moka_layer_schema, &again, &found), MOKA_OK);
	T_TRUE(again == train);
	done(s);
}

T_TEST(solver_inline)
{
	struct moka_model *s = open_solver("train_net_param { name: \"a\"\n layers { name: \"r\" type: RELU } }\n"
					   "test_net_param { name: \"b\" }\nbase_lr: 0.1");
	struct moka_model *train, *test;

	T_INT(moka_model_solver_net(s, -1, &moka_layer_schema, &train, &found), MOKA_OK);
	T_STR(train->name, "a");
	T_INT(train->n_layers, 1);
	T_STR(train->layers[0].type, "ReLU");
	T_INT(train->layers[0].loc.line, 2);
	T_INT(moka_model_solver_net(s, 0, &moka_layer_schema, &test, &found), MOKA_OK);
	T_STR(test->name, "b");
	done(s);
}

T_TEST(solver_faults)
{
	static const struct {
		const char *text, *code;
		uint32_t line;
		const char *message, *hint;
	} rows[] = {
		{ "base_lr: 0.1 max_iter: 3", "solver-without-net", 0, "names no net", "net: " },
		{ "net: \"a\"\ntrain_net: \"b\"\nbase_lr: 1", "several-train-nets", 0, "twice", "keep one" },
		{ "base_lr: 1\nnet: \"models/x/net.prototxt\"", "missing-file", 2, "models/x/net.prototxt",
		  "net: \"net.prototxt\"" },
		{ "base_lr: 1\nnet: \"nets.prototxt\"", "missing-file", 2, "nets.prototxt", NULL },
	};

	write_file("net.prototxt", "name: \"the net\"");
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_model *s = open_solver(rows[i].text), *net;

		T_TRUE(moka_model_solver_net(s, -1, &moka_layer_schema, &net, &found) != MOKA_OK);
		T_TRUE(net == NULL);
		T_TRUE(found.errors > 0);
		for (size_t k = 0; k < found.n; k++)
			if (found.items[k].severity == MOKA_ERROR) {
				T_STR(found.items[k].code, rows[i].code);
				if (rows[i].line)
					T_INT(found.items[k].loc.line, rows[i].line);
				T_HAS(found.items[k].message, rows[i].message);
				if (rows[i].hint)
					T_HAS(found.items[k].hint, rows[i].hint);
			}
		done(s);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(text_net),	T_CASE(old_syntaxes),  T_CASE(raw_stays_as_it_is),   T_CASE(binary_net),
	T_CASE(strict),		T_CASE(wrong_files),   T_CASE(missing_empty_folder), T_CASE(expectations),
	T_CASE(solver_by_path), T_CASE(solver_inline), T_CASE(solver_faults),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
