/* Findings: kept once, counted, sorted, and shown like a compiler's. */
#include "base/findings.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

static struct moka_text text_of(const char *path, const char *data)
{
	return (struct moka_text){ path, data, data ? strlen(data) : 0 };
}

static char *shown(const struct moka_text *text, uint32_t line, uint32_t column, const char *hint, bool colour)
{
	static struct moka_buf b;
	struct moka_finding x = { MOKA_ERROR, "code", { text, line, column }, "what", hint };

	moka_buf_release(&b);
	moka_finding_print(&x, colour, &b);
	T_FALSE(b.failed);
	return b.data;
}

T_TEST(place_is_shown)
{
	static const struct {
		const char *text;
		uint32_t line, column;
		const char *want;
	} rows[] = {
		{ "a: 1\n  pol: MAX\n", 2, 3, "n:2:3: error: what\n    2 |   pol: MAX\n      |   ^~~\n" },
		{ "\tpool: MAX", 1, 2, "n:1:2: error: what\n    1 | \tpool: MAX\n      | \t^~~~\n" },
		{ "name: \"a \\\" b\" x", 1, 7,
		  "n:1:7: error: what\n    1 | name: \"a \\\" b\" x\n      |       ^~~~~~~~\n" },
		{ "a {", 1, 3, "n:1:3: error: what\n    1 | a {\n      |   ^\n" },
		{ "x: -1.5e+3,", 1, 4, "n:1:4: error: what\n    1 | x: -1.5e+3,\n      |    ^~~~~~~\n" },
		/* two-byte and double-width characters before the place, and the place on one */
		{ "\xC3\xA9\xC3\xA9 ab", 1, 6, "n:1:6: error: what\n    1 | \xC3\xA9\xC3\xA9 ab\n      |    ^~\n" },
		{ "\xE5\x90\x8D: ab", 1, 6, "n:1:6: error: what\n    1 | \xE5\x90\x8D: ab\n      |     ^~\n" },
		{ "\xE5\x90\x8D", 1, 1, "n:1:1: error: what\n    1 | \xE5\x90\x8D\n      | ^~\n" },
		/* past the end of the line; Windows line ends; control characters and broken UTF-8 */
		{ "ab\r\ncd", 1, 99, "n:1:99: error: what\n    1 | ab\n      |   ^\n" },
		{ "a\x1B[31m\xFF b", 1, 9, "n:1:9: error: what\n    1 | a?[31m? b\n      |         ^\n" },
		/* the empty last line exists; the one after it does not */
		{ "ab\n", 2, 1, "n:2:1: error: what\n    2 | \n      | ^\n" },
		{ "ab\n", 3, 1, "n:3:1: error: what\n" },
		{ "ab", 2, 1, "n:2:1: error: what\n" },
		{ "", 1, 1, "n:1:1: error: what\n    1 | \n      | ^\n" },
		{ NULL, 5, 2, "n:5:2: error: what\n" },
		{ "ab", 0, 0, "n: error: what\n" },
		{ "ab", 1, 0, "n:1: error: what\n    1 | ab\n" },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_text t = text_of("n", rows[i].text);
		T_STR(shown(&t, rows[i].line, rows[i].column, NULL, false), rows[i].want);
	}
	T_STR(shown(NULL, 0, 0, NULL, false), "error: what\n");
	struct moka_text t = text_of("n", "pol: MAX\n");
	T_STR(shown(&t, 1, 1, "did you mean 'pool'?", false),
	      "n:1:1: error: what\n    1 | pol: MAX\n      | ^~~\nhint: did you mean 'pool'?\n");
	T_HAS(shown(&t, 1, 1, NULL, true), "\033[1;31merror:\033[0m what");
}

/* A line of 30,000 columns: a window that holds the place, at each end a mark where something is missing. */
T_TEST(long_lines_are_cut)
{
	enum { WORDS = 5000 };
	struct moka_buf b;
	static const uint32_t columns[] = { 1, 61, 103, 15001, 29995, 40000 };

	moka_buf_init(&b, 0);
	for (int i = 0; i < WORDS; i++)
		moka_buf_printf(&b, "w%04d ", i);
	struct moka_text t = { "n", b.data, b.len };
	for (size_t i = 0; i < MOKA_COUNT(columns); i++) {
		char *s = shown(&t, 1, columns[i], NULL, false);
		char *source = strchr(s, '\n') + 1, *under = strchr(source, '\n') + 1;
		size_t caret = (size_t)(strchr(under, '^') - under);
		char word[8];

		T_TRUE(under - source < 120 && strlen(under) < 120);
		if (columns[i] > b.len)
			continue;
		memcpy(word, b.data + columns[i] - 1, 4);
		T_TRUE(!memcmp(source + caret, word, 4));
		T_INT(!strncmp(source + 8, "...", 3), columns[i] > 61);
	}
	moka_buf_release(&b);
}

T_TEST(messages_cannot_drive_the_terminal)
{
	struct moka_text t = text_of("a\x1B]0;b", NULL);
	struct moka_finding x = { MOKA_WARNING, "c", { &t, 0, 0 }, "layer '\x1B[2J\xC2\x9B\xFF'", "h\x07" };
	struct moka_buf b;

	moka_buf_init(&b, 0);
	moka_finding_print(&x, false, &b);
	T_STR(b.data, "a\\x1B]0;b: warning: layer '\\x1B[2J\\xC2\\x9B\\xFF'\nhint: h\\x07\n");
	moka_buf_release(&b);
}

T_TEST(equal_findings_are_kept_once)
{
	struct moka_text t = text_of("n", "x");
	struct moka_findings f;
	struct moka_loc one = { &t, 1, 1 }, two = { &t, 1, 2 };

	moka_findings_init(&f);
	moka_find(&f, MOKA_ERROR, "c", one, "m%d", 1);
	moka_find_hint(&f, "first");
	moka_find(&f, MOKA_ERROR, "c", two, "m%d", 1);
	moka_find(&f, MOKA_ERROR, "c", one, "m%d", 1);
	moka_find_hint(&f, "must not land anywhere");
	moka_find(&f, MOKA_WARNING, "c", one, "m%d", 2);
	moka_find(&f, MOKA_NOTE, "d", one, "m%d", 1);
	T_INT(f.n, 4);
	T_INT(f.errors, 2);
	T_INT(f.warnings, 1);
	T_STR(f.items[0].hint, "first");
	T_FALSE(f.items[1].hint);
	moka_find(NULL, MOKA_ERROR, "c", one, "nobody listens");
	moka_find_hint(NULL, "nobody listens");
	moka_findings_release(&f);
	moka_findings_release(&f);
	moka_find_hint(&f, "nothing there");
}

T_TEST(a_flood_is_counted_and_an_error_still_seen)
{
	struct moka_text t = text_of("n", "x");
	struct moka_findings f;

	moka_findings_init(&f);
	for (uint32_t i = 0; i < 3000; i++)
		moka_find(&f, MOKA_WARNING, "w", (struct moka_loc){ &t, i + 1, 1 }, "w");
	moka_find(&f, MOKA_ERROR, "e", (struct moka_loc){ &t, 5, 5 }, "the error");
	moka_find_hint(&f, "its hint");
	T_INT(f.n, MOKA_MAX_FINDINGS);
	T_INT(f.warnings, 3000);
	T_INT(f.errors, 1);
	T_INT(f.dropped, 3001 - MOKA_MAX_FINDINGS);
	T_STR(f.items[f.n - 1].message, "the error");
	T_STR(f.items[f.n - 1].hint, "its hint");
	for (uint32_t i = 0; i < 2000; i++)
		moka_find(&f, MOKA_ERROR, "e", (struct moka_loc){ &t, i + 1, 9 }, "e");
	T_INT(f.errors, 2001);
	T_INT(f.n, MOKA_MAX_FINDINGS);
	for (size_t i = 0; i < f.n; i++)
		T_INT(f.items[i].severity, MOKA_ERROR);
	moka_findings_release(&f);
}

T_TEST(huge_messages_are_cut)
{
	struct moka_findings f;
	size_t n = 1 << 20;
	char *name = malloc(n + 1);

	memset(name, 'n', n);
	name[n] = '\0';
	moka_findings_init(&f);
	moka_find(&f, MOKA_ERROR, "c", (struct moka_loc){ 0 }, "layer '%s'", name);
	T_TRUE(strlen(f.items[0].message) < 5000);
	T_HAS(f.items[0].message, "nnn...");
	moka_findings_release(&f);
	free(name);
}

T_TEST(sorted_by_place)
{
	struct moka_text a = text_of("zz", "x"), b = text_of("aa", "x");
	const struct {
		const struct moka_text *t;
		uint32_t line, column;
		const char *m;
	} rows[] = { { &a, 9, 1, "4" }, { &b, 1, 1, "5" }, { &a, 2, 8, "3" },
		     { &a, 2, 7, "1" }, { &a, 2, 7, "2" }, { &b, 3, 1, "6" } };
	struct moka_findings f;
	char order[8] = "";

	moka_findings_init(&f);
	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		moka_find(&f, MOKA_ERROR, "c", (struct moka_loc){ rows[i].t, rows[i].line, rows[i].column }, "%s",
			  rows[i].m);
	moka_findings_sort(&f);
	for (size_t i = 0; i < f.n; i++)
		order[i] = f.items[i].message[0];
	T_STR(order, "123456");
	moka_findings_release(&f);
	moka_findings_sort(&f);
}

T_TEST(json_has_every_field)
{
	struct moka_text t = text_of("net \"a\".prototxt", "x");
	struct moka_finding x = { MOKA_WARNING, "shared-lr-mult", { &t, 20, 6 }, "a\nb", "do" };
	struct moka_finding none = { MOKA_NOTE, "c", { NULL, 0, 0 }, "m", NULL };
	struct moka_buf b;

	moka_buf_init(&b, 0);
	moka_finding_json(&x, &b);
	T_STR(b.data, "{\"severity\": \"warning\", \"code\": \"shared-lr-mult\", \"file\": \"net \\\"a\\\".prototxt\", "
		      "\"line\": 20, \"column\": 6, \"message\": \"a\\nb\", \"hint\": \"do\"}");
	moka_buf_release(&b);
	moka_finding_json(&none, &b);
	T_STR(b.data, "{\"severity\": \"note\", \"code\": \"c\", \"file\": null, \"line\": null, \"column\": null, "
		      "\"message\": \"m\", \"hint\": null}");
	moka_buf_release(&b);
}

static const struct CMUnitTest tests[] = {
	T_CASE(place_is_shown),
	T_CASE(long_lines_are_cut),
	T_CASE(messages_cannot_drive_the_terminal),
	T_CASE(equal_findings_are_kept_once),
	T_CASE(a_flood_is_counted_and_an_error_still_seen),
	T_CASE(huge_messages_are_cut),
	T_CASE(sorted_by_place),
	T_CASE(json_has_every_field),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
