/*
 * explain/: what is printed, against golden files (tests/golden/explain). MOKA_GOLDEN_UPDATE=1 writes them anew:
 * read the difference before you keep it.
 */
#include "explain/internal.h"
#include "t.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a net from a file ----------------------------------------------------------------------------------- */

struct opened {
	struct moka_file file;
	struct moka_findings findings;
	struct moka_model *model;
	struct moka_net *net;
};

/* `name` is what findings call the file, so that golden files don't depend on where the project lies. */
static struct opened open_net(const char *path, const char *name, const struct moka_net_options *o)
{
	static const struct moka_net_options plain = { .phase = MOKA_TEST };
	struct moka_model_options mo = { .expect = -1 };
	struct opened x = { 0 };
	struct moka_error err;

	moka_findings_init(&x.findings);
	T_OK(moka_file_open(&x.file, path, &err), &err);
	T_OK(moka_model_parse(&x.model, name, x.file.data, x.file.size, &moka_layer_schema, &mo, &x.findings), NULL);
	if (x.model->kind == MOKA_MODEL_NET) {
		T_OK(moka_net_build(&x.net, x.model, o ? o : &plain, &x.findings), NULL);
		moka_findings_sort(&x.findings);
	}
	return x;
}

static void close_net(struct opened *x)
{
	moka_net_free(x->net);
	moka_model_free(x->model);
	moka_findings_release(&x->findings);
	moka_file_release(&x->file);
}

static const char *golden(const char *name)
{
	static char path[4][4096];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/tests/golden/explain/%s", t_source(), name);
	return path[turn];
}

static const char *seed_path(void)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/examples/seed.prototxt", t_source());
	return path;
}

static const struct moka_net_input seed_inputs[] = { { "data_a", { 4, { 1, 3, 8, 8 } } },
						     { "data_b", { 4, { 1, 3, 8, 8 } } } };
static const struct moka_net_options seed_shaped = { .phase = MOKA_TEST, .inputs = seed_inputs, .n_inputs = 2 };

/* ---- golden files -------------------------------------------------------------------------------------------- */

/* The first line that differs, from both. */
static void show_difference(const char *got, const char *want)
{
	int line = 1;

	while (*got && *got == *want) {
		line += *got == '\n';
		got++;
		want++;
	}
	while (got[-1] != '\n' && line > 1) {
		got--;
		want--;
	}
	print_error("line %d\n  got:    %.*s\n  wanted: %.*s\n", line, (int)strcspn(got, "\n"), got,
		    (int)strcspn(want, "\n"), want);
}

static void same_as_golden(const struct moka_buf *got, const char *name)
{
	struct moka_error err;
	struct moka_file f;
	char *want;
	bool same;

	T_FALSE(got->failed);
	if (getenv("MOKA_GOLDEN_UPDATE"))
		T_OK(moka_file_write(golden(name), got->data, got->len, &err), &err);
	T_OK(moka_file_open(&f, golden(name), &err), &err);
	want = calloc(f.size + 1, 1);
	memcpy(want, f.data, f.size);
	same = !strcmp(want, got->data);
	if (!same) {
		print_error("%s differs (MOKA_GOLDEN_UPDATE=1 writes it anew), ", name);
		show_difference(got->data, want);
	}
	free(want);
	moka_file_release(&f);
	T_TRUE(same);
}

static void check_text(const char *path, const char *name, const struct moka_net_options *o, const char *wanted)
{
	struct moka_explain_options eo = { .width = 100 };
	struct opened x = open_net(path, name, o);
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_text(x.net, &x.findings, &eo, &out);
	same_as_golden(&out, wanted);
	moka_buf_release(&out);
	close_net(&x);
}

T_TEST(seed)
{
	check_text(seed_path(), "seed.prototxt", NULL, "seed.txt");
}

T_TEST(seed_with_shapes)
{
	check_text(seed_path(), "seed.prototxt", &seed_shaped, "seed_shaped.txt");
}

T_TEST(lenet)
{
	check_text(golden("lenet.prototxt"), "lenet.prototxt", NULL, "lenet.txt");
}

T_TEST(inception)
{
	check_text(golden("inception.prototxt"), "inception.prototxt", NULL, "inception.txt");
}

T_TEST(residual)
{
	check_text(golden("residual.prototxt"), "residual.prototxt", NULL, "residual.txt");
}

T_TEST(heads_that_meet_far_below)
{
	check_text(golden("heads.prototxt"), "heads.prototxt", NULL, "heads.txt");
}

T_TEST(unknown_layers)
{
	check_text(golden("unknown.prototxt"), "unknown.prototxt", NULL, "unknown.txt");
}

T_TEST(ascii_and_narrow)
{
	struct moka_explain_options eo = { .width = 60, .ascii = true };
	struct opened x = open_net(golden("inception.prototxt"), "inception.prototxt", NULL);
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_text(x.net, &x.findings, &eo, &out);
	for (size_t i = 0; i < out.len; i++)
		T_TRUE((unsigned char)out.data[i] < 0x80);
	same_as_golden(&out, "inception_narrow.txt");
	moka_buf_release(&out);
	close_net(&x);
}

/* With a solver: resulting rates, the formula in numbers, the schedule. */
T_TEST(with_a_solver)
{
	struct opened s = open_net(golden("solver.prototxt"), "solver.prototxt", NULL);
	struct opened x = open_net(golden("siamese.prototxt"), "siamese.prototxt", NULL);
	struct moka_explain_options eo = { .width = 100, .solver = s.model };
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_text(x.net, &x.findings, &eo, &out);
	same_as_golden(&out, "siamese_solver.txt");
	moka_buf_release(&out);
	close_net(&x);
	close_net(&s);
}

/* ---- what must be in it, whatever the words ------------------------------------------------------------------- */

T_TEST(seed_answers_the_question)
{
	struct moka_explain_options eo = { .width = 100 };
	struct opened x = open_net(seed_path(), "seed.prototxt", &seed_shaped);
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_text(x.net, &x.findings, &eo, &out);
	T_HAS(out.data, "2,560 parameters");
	T_HAS(out.data, "4,440");
	T_HAS(out.data, "Data blobs");
	T_HAS(out.data, "Parameter blobs");
	T_HAS(out.data, "owned by ip1_a");
	T_HAS(out.data, "shared by ip1_b");
	T_HAS(out.data, "20 × base_lr");
	T_HAS(out.data, "h[ip1_b] = momentum × h[ip1_b] + 10 × base_lr × (g[ip1_b] + weight_decay × w)");
	T_HAS(out.data, "w = w − (h[ip1_a] + h[ip1_b])");
	T_HAS(out.data, "mismatched lr_mult");
	T_HAS(out.data, "July 2015");
	moka_buf_release(&out);
	close_net(&x);
}

/* Names that would steer a terminal, break HTML, or end a string of dot or JSON. */
T_TEST(hostile_names)
{
	static const char text[] =
		"name: \"\\033[31m<script>\\\"\" layer { name: \"a\\033]0;x\\007\\\"b<i>\\377\\\\\" type: \"T\\n<b>\" "
		"bottom: \"in\\033\" top: \"\\302\\205out\" }";
	struct moka_model_options mo = { .expect = -1 };
	struct moka_net_options no = { .phase = MOKA_TEST };
	struct moka_explain_options eo = { .width = 80 };
	struct moka_findings f;
	struct moka_model *m;
	struct moka_net *n;
	struct moka_buf b[4];

	moka_findings_init(&f);
	T_OK(moka_model_parse(&m, "x", text, sizeof(text) - 1, &moka_layer_schema, &mo, &f), NULL);
	T_OK(moka_net_build(&n, m, &no, &f), NULL);
	for (int i = 0; i < 4; i++)
		moka_buf_init(&b[i], 0);
	moka_explain_text(n, NULL, &eo, &b[0]);
	moka_explain_json(n, NULL, &b[1]);
	moka_explain_dot(n, &b[2]);
	moka_explain_html(n, NULL, &eo, NULL, &b[3]);
	for (int i = 0; i < 4; i++) {
		T_FALSE(b[i].failed);
		for (size_t k = 0; k < b[i].len; k++)
			T_TRUE((unsigned char)b[i].data[k] >= 0x20 || b[i].data[k] == '\n');
		if (i != 1) /* JSON is for programs, and holds the name as it is */
			T_TRUE(!strstr(b[i].data, "\302\205"));
	}
	T_TRUE(!strstr(b[3].data, "<script>"));
	T_TRUE(!strstr(b[3].data, "<i>"));
	for (int i = 0; i < 4; i++)
		moka_buf_release(&b[i]);
	moka_net_free(n);
	moka_model_free(m);
	moka_findings_release(&f);
}

/*
 * ---- JSON
 * --------------------------------------------------------------------------------------------------------
 */

static const char *json_value(const char *s, int depth);

static const char *blank(const char *s)
{
	return s ? s + strspn(s, " \n\t\r") : NULL;
}

static const char *json_string(const char *s)
{
	if (*s++ != '"')
		return NULL;
	for (; *s != '"'; s++) {
		if ((unsigned char)*s < 0x20)
			return NULL;
		if (*s == '\\' && !strchr("\"\\/bfnrtu", *++s))
			return NULL;
	}
	return s + 1;
}

static const char *json_number(const char *s)
{
	char *end;

	if (!isdigit((unsigned char)s[*s == '-']))
		return NULL;
	strtod(s, &end);
	return end;
}

static const char *json_list(const char *s, char close, bool pairs, int depth)
{
	s = blank(s + 1);
	if (*s == close)
		return s + 1;
	for (;;) {
		if (pairs) {
			s = blank(json_string(s));
			if (!s || *s != ':')
				return NULL;
			s = blank(s + 1);
		}
		s = blank(json_value(s, depth + 1));
		if (!s)
			return NULL;
		if (*s == close)
			return s + 1;
		if (*s != ',')
			return NULL;
		s = blank(s + 1);
	}
}

/* The end of the value at s; NULL: it is none. */
static const char *json_value(const char *s, int depth)
{
	static const char *const words[] = { "null", "true", "false" };

	if (!s || depth > 20)
		return NULL;
	if (*s == '{')
		return json_list(s, '}', true, depth);
	if (*s == '[')
		return json_list(s, ']', false, depth);
	if (*s == '"')
		return json_string(s);
	for (size_t i = 0; i < MOKA_COUNT(words); i++)
		if (!strncmp(s, words[i], strlen(words[i])))
			return s + strlen(words[i]);
	return json_number(s);
}

static void check_json(const char *text)
{
	const char *end = blank(json_value(text, 0));

	T_TRUE(end != NULL);
	T_INT(*end, 0);
}

T_TEST(the_json_checker_checks)
{
	T_TRUE(json_value("{\"a\": [1, -2.5e3, null, {\"b\": \"\\n\"}]}", 0) != NULL);
	T_TRUE(json_value("{\"a\" 1}", 0) == NULL);
	T_TRUE(json_value("[1,]", 0) == NULL);
	T_TRUE(json_value("\"\\q\"", 0) == NULL);
	T_TRUE(json_value("nan", 0) == NULL);
}

T_TEST(seed_json)
{
	struct opened x = open_net(seed_path(), "seed.prototxt", &seed_shaped);
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_json(x.net, &x.findings, &out);
	check_json(out.data);
	T_HAS(out.data,
	      "\"shape\": [10,192], \"count\": 1920, \"owner\": \"ip1_a\", \"shared_with\": [\"ip1_b\"], \"lr_mult\": 1, "
	      "\"decay_mult\": 1");
	T_HAS(out.data, "\"totals\": {\"layers\": 4, \"params\": 2560, \"macs\": 4440, \"activation_bytes\": 1816}");
	same_as_golden(&out, "seed.json");
	moka_buf_release(&out);
	close_net(&x);
}

T_TEST(every_json_is_json)
{
	static const char *const nets[] = { "lenet.prototxt", "inception.prototxt", "residual.prototxt",
					    "heads.prototxt", "unknown.prototxt",   "siamese.prototxt" };

	for (size_t i = 0; i < MOKA_COUNT(nets); i++) {
		struct opened x = open_net(golden(nets[i]), nets[i], NULL);
		struct moka_buf out;

		moka_buf_init(&out, 0);
		moka_explain_json(x.net, &x.findings, &out);
		check_json(out.data);
		T_HAS(out.data, "\"findings\"");
		moka_buf_release(&out);
		close_net(&x);
	}
}

/* Unknown shapes and figures are null, never a number. */
T_TEST(unknown_is_null)
{
	struct opened x = open_net(seed_path(), "seed.prototxt", NULL);
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_json(x.net, &x.findings, &out);
	check_json(out.data);
	T_HAS(out.data, "{\"blob\": \"data_a\", \"shape\": null, \"declared\": false}");
	T_HAS(out.data, "\"shape\": [null,10]");
	T_HAS(out.data, "\"params\": null, \"macs\": null, \"activation_bytes\": null");
	moka_buf_release(&out);
	close_net(&x);
}

/*
 * ---- dot and HTML
 * ---------------------------------------------------------------------------------------------------
 */

static int count_of(const char *hay, const char *needle)
{
	int n = 0;

	for (; (hay = strstr(hay, needle)); hay += strlen(needle))
		n++;
	return n;
}

T_TEST(dot)
{
	struct opened x = open_net(seed_path(), "seed.prototxt", &seed_shaped);
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_dot(x.net, &out);
	T_HAS(out.data, "digraph");
	T_INT(count_of(out.data, "style=dashed"), 4); /* two parameters, two uses each */
	T_INT(count_of(out.data, " -> l"), 5 + 4);
	T_HAS(out.data, "ip1_combine\\n1x20");
	same_as_golden(&out, "seed.dot");
	moka_buf_release(&out);
	close_net(&x);
}

T_TEST(html_needs_nothing_else)
{
	struct moka_explain_options eo = { .width = 100 };
	struct opened x = open_net(seed_path(), "seed.prototxt", &seed_shaped);
	struct moka_buf out;

	moka_buf_init(&out, 0);
	moka_explain_html(x.net, &x.findings, &eo, "<svg></svg>", &out);
	T_HAS(out.data, "<!DOCTYPE html>");
	T_HAS(out.data, "<svg></svg>");
	T_HAS(out.data, "prefers-color-scheme: dark");
	T_TRUE(!strstr(out.data, "http://") && !strstr(out.data, "https://") && !strstr(out.data, "src="));
	T_INT(count_of(out.data, "<table>"), 3);
	T_INT(count_of(out.data, "<table>"), count_of(out.data, "</table>"));
	T_HAS(out.data, "</html>");
	moka_buf_release(&out);
	close_net(&x);
}

static const struct CMUnitTest tests[] = {
	T_CASE(seed),
	T_CASE(seed_with_shapes),
	T_CASE(lenet),
	T_CASE(inception),
	T_CASE(residual),
	T_CASE(heads_that_meet_far_below),
	T_CASE(unknown_layers),
	T_CASE(ascii_and_narrow),
	T_CASE(with_a_solver),
	T_CASE(seed_answers_the_question),
	T_CASE(hostile_names),
	T_CASE(the_json_checker_checks),
	T_CASE(seed_json),
	T_CASE(every_json_is_json),
	T_CASE(unknown_is_null),
	T_CASE(dot),
	T_CASE(html_needs_nothing_else),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
