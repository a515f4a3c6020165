/*
 * findings_print.c - a finding as a compiler would show it, and as JSON.
 *
 * Texts come from files of strangers: control characters never reach the terminal, and a line of a megabyte is cut
 * to a window around the place.
 */
#include "findings.h"

#include "internal.h"

#include <string.h>

/* Columns of a source line that are shown; of them, this many before the caret where the line is cut. */
#define WINDOW 100
#define BEFORE_CARET 40

struct colours {
	const char *bold, *note, *warning, *error, *caret, *off;
};
static const struct colours ansi = { "\033[1m", "\033[1;36m", "\033[1;35m", "\033[1;31m", "\033[1;32m", "\033[0m" };
static const struct colours plain = { "", "", "", "", "", "" };

static const char *const severity_words[] = { "note", "warning", "error" };

/* Columns that a terminal gives a character. Not all of Unicode's rules: what people write in comments and names. */
static int char_width(int32_t c)
{
	if ((c >= 0x300 && c <= 0x36F) || (c >= 0x200B && c <= 0x200F) || (c >= 0xFE00 && c <= 0xFE0F))
		return 0;
	if ((c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
	    (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
	    (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD))
		return 2;
	return 1;
}

/* Whether a terminal would obey rather than show it: C0, DEL, C1. */
static bool is_control(int32_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

/* Text of a message: what is not printable is shown as \xNN. */
static void put_safe(struct moka_buf *out, const char *s)
{
	size_t n = strlen(s);
	int len;

	for (size_t i = 0; i < n; i += (size_t)len) {
		int32_t c = moka__utf8_next(s + i, n - i, &len);
		if (c >= 0 && (!is_control(c) || c == '\n' || c == '\t')) {
			moka_buf_add(out, s + i, (size_t)len);
			continue;
		}
		for (int k = 0; k < len; k++)
			moka_buf_printf(out, "\\x%02X", (unsigned)(unsigned char)s[i + (size_t)k]);
	}
}

struct line {
	const char *p;
	size_t n;
};

/* The line that loc names, without its end; false where there is none. */
static bool find_line(struct moka_loc loc, struct line *out)
{
	const char *p, *end, *stop;

	if (!loc.text || !loc.text->data || !loc.line)
		return false;
	p = loc.text->data;
	end = p + loc.text->size;
	for (uint32_t i = 1; i < loc.line; i++) {
		p = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
		if (!p)
			return false;
		p++;
	}
	if (p == end && loc.line > 1 && loc.text->size && end[-1] != '\n')
		return false;
	stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : end;
	if (!stop)
		stop = end;
	if (stop > p && stop[-1] == '\r')
		stop--;
	*out = (struct line){ p, (size_t)(stop - p) };
	return true;
}

static bool is_word(unsigned char c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
	       c == '-' || c == '+' || c == '.' || c == '/';
}

/* Bytes of the word at `at`: a name or number, a quoted string, or one character. */
static size_t word_length(struct line l, size_t at)
{
	size_t i = at;
	int len = 1;

	if (at >= l.n)
		return 1;
	if (l.p[at] == '"' || l.p[at] == '\'') {
		for (i = at + 1; i < l.n && l.p[i] != l.p[at]; i++)
			if (l.p[i] == '\\' && i + 1 < l.n)
				i++;
		return i < l.n ? i + 1 - at : l.n - at;
	}
	while (i < l.n && is_word((unsigned char)l.p[i]))
		i++;
	if (i > at)
		return i - at;
	moka__utf8_next(l.p + at, l.n - at, &len);
	return (size_t)len;
}

/* Steps n characters back from byte `at`, or to the start of the line. */
static size_t step_back(struct line l, size_t at, int n)
{
	while (at > 0 && n > 0) {
		at--;
		if (((unsigned char)l.p[at] & 0xC0) != 0x80)
			n--;
	}
	return at;
}

/*
 * Prints bytes [from, to) of the line, or what takes their place under it: tabs stay, other columns become `fill`
 * (0: the text itself). Returns the columns used, tabs counted as one.
 */
static int put_columns(struct moka_buf *out, struct line l, size_t from, size_t to, char fill)
{
	int columns = 0, len;

	for (size_t i = from; i < to; i += (size_t)len) {
		int32_t c = moka__utf8_next(l.p + i, l.n - i, &len);
		int width = c < 0 || is_control(c) ? 1 : char_width(c);

		columns += width;
		if (c == '\t')
			moka_buf_putc(out, fill == ' ' || !fill ? '\t' : fill);
		else if (fill)
			for (int k = 0; k < width; k++)
				moka_buf_putc(out, fill);
		else if (c < 0 || is_control(c))
			moka_buf_putc(out, '?');
		else
			moka_buf_add(out, l.p + i, (size_t)len);
	}
	return columns;
}

/* Where the window that starts at byte `from` ends. */
static size_t window_end(struct line l, size_t from)
{
	int columns = 0, len;

	for (; from < l.n; from += (size_t)len) {
		int32_t c = moka__utf8_next(l.p + from, l.n - from, &len);
		columns += c < 0 || is_control(c) ? 1 : char_width(c);
		if (columns > WINDOW)
			break;
	}
	return from;
}

static void print_source(struct moka_loc loc, struct line l, const struct colours *k, struct moka_buf *out)
{
	size_t at = loc.column ? loc.column - 1 : 0;
	size_t from = 0, to, word;
	const char *cut = "";

	at = MOKA_MIN(at, l.n);
	to = window_end(l, 0);
	if (to < l.n && at > step_back(l, to, BEFORE_CARET)) {
		from = step_back(l, at, BEFORE_CARET);
		to = window_end(l, from);
		cut = from ? "..." : "";
	}
	moka_buf_printf(out, "%5u | %s", loc.line, cut);
	put_columns(out, l, from, to, 0);
	moka_buf_puts(out, to < l.n ? "...\n" : "\n");
	if (!loc.column)
		return;
	moka_buf_printf(out, "      | %*s", (int)strlen(cut), "");
	put_columns(out, l, from, at, ' ');
	word = at + word_length(l, at);
	moka_buf_puts(out, k->caret);
	moka_buf_putc(out, '^');
	/* the caret stands on the word's first character; tildes under the rest */
	if (at < l.n) {
		int first;
		int32_t c = moka__utf8_next(l.p + at, l.n - at, &first);
		moka_buf_repeat(out, "~", c >= 0 && !is_control(c) && char_width(c) == 2);
		put_columns(out, l, at + (size_t)first, MOKA_MIN(word, to), '~');
	}
	moka_buf_puts(out, k->off);
	moka_buf_putc(out, '\n');
}

static void print_place(struct moka_loc loc, const struct colours *k, struct moka_buf *out)
{
	if (!loc.text || !loc.text->path)
		return;
	moka_buf_puts(out, k->bold);
	put_safe(out, loc.text->path);
	if (loc.line)
		moka_buf_printf(out, ":%u", loc.line);
	if (loc.line && loc.column)
		moka_buf_printf(out, ":%u", loc.column);
	moka_buf_printf(out, ":%s ", k->off);
}

void moka_finding_print(const struct moka_finding *x, bool colour, struct moka_buf *out)
{
	const struct colours *k = colour ? &ansi : &plain;
	const char *tint = x->severity == MOKA_ERROR ? k->error : x->severity == MOKA_WARNING ? k->warning : k->note;
	struct line l;

	print_place(x->loc, k, out);
	moka_buf_printf(out, "%s%s:%s ", tint, severity_words[x->severity], k->off);
	put_safe(out, x->message);
	moka_buf_putc(out, '\n');
	if (find_line(x->loc, &l))
		print_source(x->loc, l, k, out);
	if (x->hint && *x->hint) {
		moka_buf_puts(out, "hint: ");
		put_safe(out, x->hint);
		moka_buf_putc(out, '\n');
	}
}

static void json_text(struct moka_buf *out, const char *name, const char *s)
{
	moka_buf_printf(out, ", \"%s\": ", name);
	if (s)
		moka_buf_json_string(out, s);
	else
		moka_buf_puts(out, "null");
}

static void json_number(struct moka_buf *out, const char *name, uint32_t v)
{
	if (v)
		moka_buf_printf(out, ", \"%s\": %u", name, v);
	else
		moka_buf_printf(out, ", \"%s\": null", name);
}

void moka_finding_json(const struct moka_finding *x, struct moka_buf *out)
{
	moka_buf_printf(out, "{\"severity\": \"%s\"", severity_words[x->severity]);
	json_text(out, "code", x->code);
	json_text(out, "file", x->loc.text ? x->loc.text->path : NULL);
	json_number(out, "line", x->loc.line);
	json_number(out, "column", x->loc.line ? x->loc.column : 0);
	json_text(out, "message", x->message);
	json_text(out, "hint", x->hint && *x->hint ? x->hint : NULL);
	moka_buf_putc(out, '}');
}
