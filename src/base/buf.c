/*
 * buf.c - growable bytes with a ceiling. A failed append sets `failed` and changes nothing, so that a writer can
 * append a thousand times and look once.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void moka_buf_init(struct moka_buf *b, size_t limit)
{
	*b = (struct moka_buf){ .limit = limit ? limit : SIZE_MAX / 2 };
}

void moka_buf_release(struct moka_buf *b)
{
	free(b->data);
	moka_buf_init(b, b->limit);
}

/* Makes room for n more bytes and the NUL behind them. */
static bool reserve(struct moka_buf *b, size_t n)
{
	size_t limit = b->limit ? b->limit : SIZE_MAX / 2;
	size_t cap;
	char *p;

	if (b->failed)
		return false;
	if (n > limit || b->len > limit - n) {
		b->failed = true;
		return false;
	}
	if (b->data && b->len + n < b->cap)
		return true;
	cap = MOKA_MAX(b->cap + b->cap / 2, (size_t)64);
	cap = MOKA_MAX(cap, b->len + n + 1);
	p = realloc(b->data, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->data = p;
	b->cap = cap;
	return true;
}

void moka_buf_add(struct moka_buf *b, const void *p, size_t n)
{
	if (n == 0 || !reserve(b, n))
		return;
	memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void moka_buf_puts(struct moka_buf *b, const char *s)
{
	moka_buf_add(b, s, strlen(s));
}

void moka_buf_putc(struct moka_buf *b, char c)
{
	moka_buf_add(b, &c, 1);
}

void moka_buf_repeat(struct moka_buf *b, const char *s, int n)
{
	size_t len = strlen(s);

	for (int i = 0; i < n && !b->failed; i++)
		moka_buf_add(b, s, len);
}

void moka_buf_vprintf(struct moka_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room = b->data ? b->cap - b->len : 0;
	int n;

	if (b->failed)
		return;
	va_copy(again, ap);
	n = vsnprintf(b->data ? b->data + b->len : NULL, room, fmt, ap);
	if (n < 0)
		b->failed = true;
	else if ((size_t)n < room && (!b->limit || b->len + (size_t)n <= b->limit))
		b->len += (size_t)n;
	else if (reserve(b, (size_t)n)) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	if (b->data)
		b->data[b->len] = '\0'; /* also where a try wrote into room that the limit forbids */
	va_end(again);
}

void moka_buf_printf(struct moka_buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	moka_buf_vprintf(b, fmt, ap);
	va_end(ap);
}

static void json_ascii(struct moka_buf *b, char c)
{
	static const char plain[] = "\"\\\b\f\n\r\t", named[] = "\"\\bfnrt";
	const char *at = strchr(plain, c);

	if (at && c)
		moka_buf_printf(b, "\\%c", named[at - plain]);
	else if ((unsigned char)c < 0x20 || c == 0x7F)
		moka_buf_printf(b, "\\u%04x", (unsigned)(unsigned char)c);
	else
		moka_buf_putc(b, c);
}

void moka_buf_json_string(struct moka_buf *b, const char *s)
{
	size_t n = strlen(s);
	int len;

	moka_buf_putc(b, '"');
	for (size_t i = 0; i < n; i += (size_t)len) {
		int32_t c = moka__utf8_next(s + i, n - i, &len);
		if (c < 0)
			moka_buf_puts(b, "\xEF\xBF\xBD");
		else if (c < 0x80)
			json_ascii(b, (char)c);
		else
			moka_buf_add(b, s + i, (size_t)len);
	}
	moka_buf_putc(b, '"');
}
