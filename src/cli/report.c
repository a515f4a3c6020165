/*
 * report.c - what a command says besides its result: findings, errors, notes, all on standard error; and the one place
 * where results are written to standard output or a file, and where that is checked.
 */
#include "cli.h"

#include <errno.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- the terminal --------------------------------------------------------------------------- */

bool cli_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && isatty(fileno(f)) && !(term && !strcmp(term, "dumb"));
}

bool cli_progress(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
}

int cli_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize w;
	int n = columns ? atoi(columns) : 0;

	if (n <= 0 && isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w))
		n = w.ws_col;
	return n <= 0 ? 100 : MOKA_MIN(MOKA_MAX(n, 40), 1000);
}

bool cli_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

/* ---- messages ------------------------------------------------------------------------------- */

static void say(const struct cli_call *c, const char *colour, const char *kind, const char *fmt, va_list ap)
{
	bool on = cli_colour(stderr);

	fflush(stdout);
	fprintf(stderr, "%s: %s%s:%s ", c->name, on ? colour : "", kind, on ? "\033[0m" : "");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

#define RED "\033[1;31m"
#define YELLOW "\033[1;35m"
#define BLUE "\033[1;36m"

int cli_fail(const struct cli_call *c, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, RED, "error", fmt, ap);
	va_end(ap);
	if (hint && *hint)
		fprintf(stderr, "hint: %s\n", hint);
	return CLI_FAILED;
}

int cli_usage(const struct cli_call *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, RED, "error", fmt, ap);
	va_end(ap);
	fprintf(stderr, "see '%s --help'\n", c->name);
	return CLI_USAGE;
}

int cli_fail_error(const struct cli_call *c, const struct moka_error *err)
{
	cli_fail(c, err->hint, "%s", err->message);
	return err->status == MOKA_ERR_ARG ? CLI_USAGE : CLI_FAILED;
}

void cli_note(const struct cli_call *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, BLUE, "note", fmt, ap);
	va_end(ap);
}

void cli_warn(const struct cli_call *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, YELLOW, "warning", fmt, ap);
	va_end(ap);
}

/* ---- findings ------------------------------------------------------------------------------- */

void cli_findings_text(struct moka_findings *f, enum moka_severity at_least, bool colour, struct moka_buf *out)
{
	moka_findings_sort(f);
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].severity >= at_least)
			moka_finding_print(&f->items[i], colour, out);
	if (f->dropped)
		moka_buf_printf(out, "... and %zu more\n", f->dropped);
	if (f->errors)
		moka_buf_printf(out, "%zu error%s", f->errors, f->errors == 1 ? "" : "s");
	if (f->warnings && at_least <= MOKA_WARNING)
		moka_buf_printf(out, "%s%zu warning%s", f->errors ? ", " : "", f->warnings,
				f->warnings == 1 ? "" : "s");
	if (f->errors || (f->warnings && at_least <= MOKA_WARNING))
		moka_buf_putc(out, '\n');
}

bool cli_report(const struct cli_call *c, struct moka_findings *f, enum moka_severity at_least)
{
	struct moka_buf b;

	(void)c;
	moka_buf_init(&b, 0);
	cli_findings_text(f, at_least, cli_colour(stderr), &b);
	fflush(stdout);
	if (b.len)
		fwrite(b.data, 1, b.len, stderr);
	moka_buf_release(&b);
	return f->errors == 0;
}

/* ---- results -------------------------------------------------------------------------------- */

int cli_flush(const struct cli_call *c)
{
	bool failed = ferror(stdout);

	errno = 0;
	if (fflush(stdout) || failed) {
		if (errno == EPIPE) /* `| head` has seen enough */
			return CLI_OK;
		return cli_fail(c, NULL, "standard output can't be written: %s",
				errno ? strerror(errno) : "an earlier write failed");
	}
	return CLI_OK;
}

int cli_output(const struct cli_call *c, const char *path, const struct moka_buf *b)
{
	struct moka_error err;

	if (b->failed)
		return cli_fail(c, NULL, "no memory for the result");
	if (path && strcmp(path, "-")) {
		if (moka_file_write(path, b->len ? b->data : "", b->len, &err))
			return cli_fail_error(c, &err);
		return CLI_OK;
	}
	errno = 0;
	if (b->len && fwrite(b->data, 1, b->len, stdout) != b->len && errno != EPIPE)
		return cli_fail(c, NULL, "standard output can't be written: %s", strerror(errno));
	return cli_flush(c);
}

void cli_say_skipped(const struct cli_call *c, const struct moka_net *n)
{
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_layer *l = &n->layers[i].l;
		char first[512] = "";
		int64_t skipped = l->source && l->source_ops && l->source_ops->skipped
					  ? l->source_ops->skipped(l->source, first, sizeof(first))
					  : 0;

		if (skipped)
			cli_warn(c, "layer '%s': %lld damaged record%s left out; the first: %s", l->name,
				 (long long)skipped, skipped == 1 ? " was" : "s were", first);
	}
}
