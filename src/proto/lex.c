/*
 * lex.c - text as tokens, each with its line and column.
 *
 * Takes what protobuf's own tokenizer takes: # comments, strings in either quotes, numbers in decimal, hex and octal, 1f. A
 * string that is not closed ends with its line, so that one lost quote does not swallow the rest of the file; one that
 * was plainly meant to run over lines is taken whole. Both are errors, as in protobuf.
 */
#include "internal.h"

#include <string.h>

/* So many open strings are taken for what they may be: strings over several lines. */
#define MOST_OPEN 16

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct moka_loc moka__lex_loc(const struct moka__lexer *x)
{
	return (struct moka_loc){ x->text, x->now.line, x->now.column };
}

static void new_line(struct moka__lexer *x, const char *newline)
{
	x->line++;
	x->line_start = newline + 1;
}

static void skip_blanks(struct moka__lexer *x)
{
	while (x->p < x->end) {
		if (*x->p == '#') {
			const char *nl = memchr(x->p, '\n', (size_t)(x->end - x->p));
			x->p = nl ? nl : x->end;
		} else if (is_blank(*x->p)) {
			if (*x->p == '\n')
				new_line(x, x->p);
			x->p++;
		} else {
			return;
		}
	}
}

char moka__lex_peek(const struct moka__lexer *x)
{
	struct moka__lexer ahead = *x;

	skip_blanks(&ahead);
	return ahead.p < ahead.end ? *ahead.p : 0;
}

/* Digits of a number, from its first character (a digit, or a point before one). */
static void scan_number(struct moka__lexer *x)
{
	struct moka__token *t = &x->now;
	const char *p = x->p, *end = x->end;

	t->kind = MOKA__T_INT;
	if (*p == '0' && end - p > 2 && (p[1] == 'x' || p[1] == 'X') && hex_value(p[2]) >= 0) {
		p += 2;
		while (p < end && hex_value(*p) >= 0)
			p++;
		x->p = p;
		return;
	}
	while (p < end && is_digit(*p))
		p++;
	if (p < end && *p == '.') {
		t->kind = MOKA__T_REAL;
		p++;
		while (p < end && is_digit(*p))
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		const char *q = p + 1;
		if (q < end && (*q == '+' || *q == '-'))
			q++;
		if (q < end && is_digit(*q)) {
			t->kind = MOKA__T_REAL;
			while (q < end && is_digit(*q))
				q++;
			p = q;
		}
	}
	if (p < end && (*p == 'f' || *p == 'F') && (p + 1 == end || !is_name(p[1]))) {
		t->kind = MOKA__T_REAL;
		p++;
	}
	x->p = p;
}

/*
 * The end of a string that starts at p: behind its closing quote, or NULL where it has none. *newline: the first it
 * runs over. Where many strings were open already, none is looked for on other lines.
 */
static const char *string_end(const char *p, const char *end, bool one_line, const char **newline)
{
	char quote = *p++;

	*newline = NULL;
	while (p < end && *p != quote) {
		if (*p == '\n' && !*newline) {
			*newline = p;
			if (one_line)
				return NULL;
		}
		p += *p == '\\' && p + 1 < end && p[1] != '\n' ? 2 : 1;
	}
	return p < end ? p + 1 : NULL;
}

/*
 * Whether a string that runs over a newline is one that was meant so: what follows its closing quote could follow a string. A lost
 * quote pairs with the opening quote of a later string, and a letter follows.
 */
static bool is_meant(const char *after, const char *end)
{
	return after == end || is_blank(*after) || strchr(";,}]>#", *after);
}

static void scan_string(struct moka__lexer *x)
{
	const char *newline, *stop = string_end(x->p, x->end, x->open_strings > MOST_OPEN, &newline);

	x->now.kind = MOKA__T_STRING;
	if (stop && (!newline || is_meant(stop, x->end))) {
		if (newline) {
			x->open_strings++;
			moka_find(x->f, MOKA_ERROR, "open-string", moka__lex_loc(x),
				  "this string runs over the end of its line");
			moka_find_hint(x->f, "write \\n for a line's end, or one string a line: \"one \" \"two\"");
		}
		for (const char *nl = newline; nl && nl < stop; nl = memchr(nl + 1, '\n', (size_t)(stop - nl - 1)))
			new_line(x, nl);
		x->p = stop;
		return;
	}
	x->open_strings++;
	moka_find(x->f, MOKA_ERROR, "open-string", moka__lex_loc(x), "this string has no closing quote");
	moka_find_hint(x->f, "end it with %c on the same line", *x->p);
	x->p = newline ? newline : x->end;
}

static void scan_bad(struct moka__lexer *x)
{
	unsigned char c = (unsigned char)*x->p;
	const char *start = x->p;

	x->now.kind = MOKA__T_BAD;
	/* one finding for a run of such bytes: a binary, or a word in another script */
	while (x->p < x->end &&
	       ((unsigned char)*x->p >= 0x80 || ((unsigned char)*x->p < 0x20 && !is_blank(*x->p)) || *x->p == 0x7f))
		x->p++;
	if (x->p > start) {
		moka_find(x->f, MOKA_ERROR, "bad-character", moka__lex_loc(x),
			  c >= 0x80 ? "a character outside ASCII (byte 0x%02x) stands outside of quotes"
				    : "a control character (byte 0x%02x) in the text",
			  c);
		moka_find_hint(
			x->f,
			c >= 0x80 ? "such characters may stand in strings and comments only; look for a typed space, "
				    "quote or comma that only looks like one"
				  : "is this a text file?");
		return;
	}
	x->p++;
	moka_find(x->f, MOKA_ERROR, "bad-character", moka__lex_loc(x), "'%c' means nothing here", c);
	if (c == '/' || c == '%' || c == '!')
		moka_find_hint(x->f, "a comment starts with #");
}

/* A line that Git left in a file it could not merge. */
static bool scan_conflict(struct moka__lexer *x)
{
	const char *p = x->p, *nl;
	size_t n = 1;

	if (p != x->line_start || !strchr("<=>", *p))
		return false;
	while (p + n < x->end && p[n] == *p)
		n++;
	if (n != 7 || (p + n < x->end && !is_blank(p[n])))
		return false;
	moka_find(x->f, MOKA_ERROR, "merge-conflict", moka__lex_loc(x),
		  "this line is a merge-conflict marker of Git's");
	moka_find_hint(x->f, "decide for one of the two versions and delete the markers");
	nl = memchr(p, '\n', (size_t)(x->end - p));
	x->p = nl ? nl : x->end;
	x->now.kind = MOKA__T_BAD;
	return true;
}

void moka__lex_next(struct moka__lexer *x)
{
	struct moka__token *t = &x->now;
	char c;

	x->last_line = x->line;
	skip_blanks(x);
	*t = (struct moka__token){ MOKA__T_END, x->p, 0, x->line, (uint32_t)(x->p - x->line_start) + 1 };
	if (x->p >= x->end)
		return;
	c = *x->p;
	if (c && scan_conflict(x))
		return;
	if (is_digit(c) || (c == '.' && x->p + 1 < x->end && is_digit(x->p[1]))) {
		scan_number(x);
		if (x->p < x->end && is_name(*x->p)) {
			moka_find(x->f, MOKA_ERROR, "syntax",
				  (struct moka_loc){ x->text, t->line, t->column + (uint32_t)(x->p - t->p) },
				  "a blank is needed between a number and a name");
		}
	} else if (is_name(c)) {
		t->kind = MOKA__T_NAME;
		while (x->p < x->end && is_name(*x->p))
			x->p++;
	} else if (c == '"' || c == '\'') {
		scan_string(x);
	} else if (c && strchr("{}<>[]:;,-.", c)) {
		t->kind = MOKA__T_SYMBOL;
		x->p++;
	} else {
		scan_bad(x);
	}
	t->n = (size_t)(x->p - t->p);
}

void moka__lex_start(struct moka__lexer *x, const struct moka_text *text, struct moka_findings *f)
{
	const char *data = text->data ? text->data : "";

	*x = (struct moka__lexer){ .text = text,
				   .f = f,
				   .p = data,
				   .end = data + (text->data ? text->size : 0),
				   .line_start = data,
				   .line = 1 };
	if (x->end - x->p >= 3 && !memcmp(x->p, "\xef\xbb\xbf", 3))
		x->p += 3;
	moka__lex_next(x);
}

bool moka__lex_is(const struct moka__lexer *x, char symbol)
{
	return x->now.kind == MOKA__T_SYMBOL && *x->now.p == symbol;
}

const char *moka__lex_show(const struct moka__lexer *x, char *buf)
{
	const struct moka__token *t = &x->now;
	size_t n = MOKA_MIN(t->n, 40);
	const char *nl = memchr(t->p, '\n', n);

	if (t->kind == MOKA__T_END) {
		snprintf(buf, 80, "the end of the file");
		return buf;
	}
	if (nl)
		n = (size_t)(nl - t->p);
	if (t->kind == MOKA__T_STRING)
		snprintf(buf, 80, "%.*s%s", (int)n, t->p, n < t->n ? "..." : "");
	else if (t->kind == MOKA__T_BAD && ((unsigned char)*t->p < 0x20 || (unsigned char)*t->p >= 0x7f))
		snprintf(buf, 80, "byte 0x%02x", (unsigned char)*t->p);
	else
		snprintf(buf, 80, "'%.*s%s'", (int)n, t->p, n < t->n ? "..." : "");
	return buf;
}

/* ---- strings ------------------------------------------------------------------------------------ */

/* A code point as UTF-8; returns bytes written (up to 4, never more than its escape took). */
static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Reads exactly n hex digits; false: there are fewer. */
static bool hex_digits(const char **p, const char *end, int n, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < n; i++) {
		int v = *p < end ? hex_value(**p) : -1;
		if (v < 0)
			return false;
		*out = *out << 4 | (uint32_t)v;
		(*p)++;
	}
	return true;
}

/* \u1234 or \U00012345, *p behind the letter. Returns bytes put to out, 0: bad. */
static size_t unicode_escape(const char **p, const char *end, int digits, char *out)
{
	const char *q;
	uint32_t c, low;

	if (!hex_digits(p, end, digits, &c) || c > 0x10ffff)
		return 0;
	/* the first half of a surrogate pair wants its second */
	if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
		q = *p + 2;
		if (hex_digits(&q, end, 4, &low) && low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			*p = q;
		}
	}
	return put_utf8(out, c);
}

/* One escape, *p behind the backslash. Returns bytes put to out; 0: bad, and *p is where it was. */
static size_t escape(const char **p, const char *end, char *out)
{
	static const char letters[] = "abfnrtv\\?'\"", meaning[] = "\a\b\f\n\r\t\v\\?'\"";
	const char *start = *p, *found;
	uint32_t v = 0;
	size_t n = 0;
	char c = *(*p)++;

	found = c ? strchr(letters, c) : NULL;
	if (found) {
		*out = meaning[found - letters];
		return 1;
	}
	if (c >= '0' && c <= '7') {
		v = (uint32_t)(c - '0');
		for (int i = 0; i < 2 && *p < end && **p >= '0' && **p <= '7'; i++)
			v = v * 8 + (uint32_t)(*(*p)++ - '0');
		*out = (char)v;
		return 1;
	}
	if ((c == 'x' || c == 'X') && *p < end && hex_value(**p) >= 0) {
		for (int i = 0; i < 2 && *p < end && hex_value(**p) >= 0; i++)
			v = v * 16 + (uint32_t)hex_value(*(*p)++);
		*out = (char)v;
		return 1;
	}
	if (c == 'u' || c == 'U')
		n = unicode_escape(p, end, c == 'u' ? 4 : 8, out);
	if (!n)
		*p = start;
	return n;
}

/* A place within a token: counts the lines that the token runs over. */
static struct moka_loc within(const struct moka__lexer *x, const struct moka__token *t, const char *p)
{
	struct moka_loc loc = { x->text, t->line, t->column };

	for (const char *q = t->p; q < p; q++) {
		loc.column++;
		if (*q == '\n')
			loc.line++, loc.column = 1;
	}
	return loc;
}

size_t moka__lex_unquote(const struct moka__lexer *x, const struct moka__token *t, char *out)
{
	const char *p = t->p + 1, *end = t->p + t->n;
	size_t n = 0, put;

	/* an open string has no closing quote to take off; a bare quote is its own beginning */
	if (t->n > 1 && end[-1] == *t->p)
		end--;
	while (p < end) {
		if (*p != '\\' || p + 1 == end) {
			if (!*p)
				moka_find(x->f, MOKA_ERROR, "bad-character", within(x, t, p),
					  "a zero byte in a string");
			out[n++] = *p++;
			continue;
		}
		p++;
		put = escape(&p, end, out + n);
		if (!put) {
			moka_find(x->f, MOKA_ERROR, "bad-escape", within(x, t, p - 1), "'\\%c' is no escape",
				  *p >= 0x20 && *p < 0x7f ? *p : '?');
			moka_find_hint(x->f, "a backslash itself is written \\\\ (and paths work with / everywhere)");
			out[n++] = '\\';
			out[n++] = *p++;
			continue;
		}
		n += put;
	}
	return n;
}
