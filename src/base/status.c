/*
 * status.c - errors as values: filling struct moka_error, and the assertion MOKA_BUG.
 *
 * A message that is too long is cut at a whole character, so that it stays valid UTF-8.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static void print_cut(char *out, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(out, size, fmt, ap);

	if (n < 0)
		out[0] = '\0';
	else if ((size_t)n >= size) {
		size_t kept = moka__utf8_trim(out, size - 4);
		memcpy(out + kept, "...", 4);
	}
}

enum moka_status moka_fail(struct moka_error *err, enum moka_status status, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return status;
	err->status = status;
	err->hint[0] = '\0';
	va_start(ap, fmt);
	print_cut(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	return status;
}

void moka_fail_hint(struct moka_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	print_cut(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}

/* The one place where the library ends the process: the program, not its input, is wrong. */
_Noreturn void moka__bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: bug in the program: %s\n", file, line, what);
	abort();
}
