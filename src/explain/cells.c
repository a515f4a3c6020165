/*
 * cells.c - text as columns of a terminal. Names in a model are whatever bytes its author typed: controls (which
 * could steer the terminal) and bytes that are no UTF-8 never get through.
 */
#include "internal.h"

#include <string.h>

static uint32_t decode(const unsigned char *s, int *len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int want = s[0] < 0xC0 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF8 ? 4 : 0;
	uint32_t c;

	*len = 1;
	if (!want)
		return 0xFFFD;
	c = s[0] & (0x7Fu >> want);
	for (int i = 1; i < want; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0xFFFD;
		c = c << 6 | (s[i] & 0x3Fu);
	}
	if (c < least[want] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) || (c >= 0x80 && c < 0xA0))
		return 0xFFFD;
	*len = want;
	return c;
}

/* Marks that turn the direction of text or hide in it: as bad in a terminal as controls. */
static bool is_hidden(uint32_t c)
{
	return (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
	       c == 0xFEFF;
}

uint32_t moka__cell_next(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	uint32_t c;
	int len;

	if (!*p)
		return 0;
	if (*p < 0x80) {
		(*s)++;
		return *p < 0x20 || *p == 0x7F ? '?' : *p;
	}
	c = decode(p, &len);
	*s += len;
	return is_hidden(c) ? '?' : c;
}

int moka__cell_columns(uint32_t c)
{
	static const uint32_t wide[][2] = {
		{ 0x1100, 0x115F },   { 0x2E80, 0x303E },   { 0x3041, 0x33FF }, { 0x3400, 0x4DBF },
		{ 0x4E00, 0x9FFF },   { 0xA000, 0xA4CF },   { 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF },
		{ 0xFE30, 0xFE6F },   { 0xFF00, 0xFF60 },   { 0xFFE0, 0xFFE6 }, { 0x1F300, 0x1F64F },
		{ 0x1F900, 0x1F9FF }, { 0x20000, 0x3FFFD },
	};

	if (c >= 0x300 && c <= 0x36F)
		return 0;
	for (size_t i = 0; c >= 0x1100 && i < MOKA_COUNT(wide); i++)
		if (c >= wide[i][0] && c <= wide[i][1])
			return 2;
	return 1;
}

int moka__columns(const char *s)
{
	int n = 0;

	for (uint32_t c; (c = moka__cell_next(&s));)
		n += moka__cell_columns(c);
	return n;
}

void moka__put_char(struct moka_buf *out, uint32_t c)
{
	if (c < 0x80) {
		moka_buf_putc(out, (char)c);
	} else if (c < 0x800) {
		moka_buf_putc(out, (char)(0xC0 | c >> 6));
		moka_buf_putc(out, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		moka_buf_putc(out, (char)(0xE0 | c >> 12));
		moka_buf_putc(out, (char)(0x80 | (c >> 6 & 0x3F)));
		moka_buf_putc(out, (char)(0x80 | (c & 0x3F)));
	} else {
		moka_buf_putc(out, (char)(0xF0 | c >> 18));
		moka_buf_putc(out, (char)(0x80 | (c >> 12 & 0x3F)));
		moka_buf_putc(out, (char)(0x80 | (c >> 6 & 0x3F)));
		moka_buf_putc(out, (char)(0x80 | (c & 0x3F)));
	}
}

/* What stands for a character of our own texts where only ASCII can be shown; '?' for any other. */
static const char *plain(uint32_t c)
{
	switch (c) {
	case 0xB7: /* middle dot */
		return "-";
	case 0xD7: /* times */
		return "*";
	case 0x2026: /* ellipsis */
		return "..";
	case 0x2190: /* arrows */
		return "<-";
	case 0x2192:
		return "->";
	case 0x2212: /* minus */
		return "-";
	case 0x25BC:
		return "v";
	case 0x2500:
		return "-";
	case 0x2211:
		return "sum";
	default:
		return "?";
	}
}

void moka__put_clean(struct moka_buf *out, const char *s, bool ascii)
{
	for (uint32_t c; (c = moka__cell_next(&s));) {
		if (ascii && c >= 0x80)
			moka_buf_puts(out, plain(c));
		else
			moka__put_char(out, c);
	}
}

/* The bytes of s that fill at most `columns`; *used: how many columns they are. */
static size_t prefix(const char *s, int columns, int *used)
{
	const char *at = s;

	*used = 0;
	for (;;) {
		const char *next = at;
		uint32_t c = moka__cell_next(&next);
		int w = c ? moka__cell_columns(c) : 0;

		if (!c || *used + w > columns)
			return (size_t)(at - s);
		*used += w;
		at = next;
	}
}

/* The start of the last `columns` of s, or a little after. */
static const char *suffix(const char *s, int columns)
{
	int skip = moka__columns(s) - columns, used = 0;

	while (used < skip)
		used += moka__cell_columns(moka__cell_next(&s));
	return s;
}

const char *moka__cut(struct moka_arena *a, const char *s, int columns, bool middle, bool ascii)
{
	const char *dots = ascii ? ".." : "…";
	int mark = ascii ? 2 : 1, room = columns - mark, head, used;
	size_t n;
	char *out;

	if (moka__columns(s) <= columns)
		return s;
	if (room < 1)
		return columns > 0 ? moka_arena_strndup(a, "....", (size_t)MOKA_MIN(columns, 4)) : "";
	head = middle ? room * 2 / 5 : room;
	n = prefix(s, head, &used);
	out = moka_arena_printf(a, "%.*s%s%s", (int)n, s, dots, middle ? suffix(s, room - used) : "");
	return out ? out : "";
}
