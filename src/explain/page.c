/*
 * page.c - headings, paragraphs, formulas and tables, for a terminal or as HTML: what is said is said once, by
 * tables.c, sharing.c and the like.
 *
 * In a terminal text is wrapped, and tables are fitted, to its width: the widest column that may give gives first.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void moka__page_begin(struct moka__page *p, const struct moka_explain_options *o, bool html, struct moka_buf *out)
{
	int width = o && o->width ? o->width : 100;

	*p = (struct moka__page){ .out = out, .width = MOKA_MAX(width, 60), .html = html };
	p->colour = o && o->colour && !html;
	p->ascii = o && o->ascii && !html;
	moka_arena_init(&p->arena, 0);
}

void moka__page_end(struct moka__page *p)
{
	moka_arena_release(&p->arena);
}

/* ---- text -------------------------------------------------------------------------------------------- */

static void put_html(struct moka_buf *out, const char *s)
{
	for (uint32_t c; (c = moka__cell_next(&s));) {
		if (c == '<')
			moka_buf_puts(out, "&lt;");
		else if (c == '>')
			moka_buf_puts(out, "&gt;");
		else if (c == '&')
			moka_buf_puts(out, "&amp;");
		else if (c == '"')
			moka_buf_puts(out, "&quot;");
		else
			moka__put_char(out, c);
	}
}

static void put(struct moka__page *p, const char *s)
{
	if (p->html)
		put_html(p->out, s);
	else
		moka__put_clean(p->out, s, p->ascii);
}

static const char *format(struct moka__page *p, const char *fmt, va_list ap)
{
	struct moka_buf b;
	const char *s;

	moka_buf_init(&b, 0);
	moka_buf_vprintf(&b, fmt, ap);
	s = b.len ? moka_arena_strdup(&p->arena, b.data) : "";
	moka_buf_release(&b);
	return s ? s : "";
}

/* Words of s from column `at` on, further lines set in by `indent`. */
static void wrap(struct moka__page *p, const char *s, int at, int indent)
{
	bool fresh = true;

	while (*s) {
		size_t n = strcspn(s, " ");
		const char *word = moka_arena_strndup(&p->arena, s, n);
		int columns = word ? moka__columns(word) : 0;

		if (!fresh && at + 1 + columns > p->width) {
			moka_buf_putc(p->out, '\n');
			moka_buf_repeat(p->out, " ", indent);
			at = indent;
			fresh = true;
		}
		if (word && n) {
			moka_buf_puts(p->out, fresh ? "" : " ");
			put(p,
			    at + columns > p->width ? moka__cut(&p->arena, word, p->width - at, true, p->ascii) : word);
			at += columns + !fresh;
			fresh = false;
		}
		s += n + (s[n] == ' ');
	}
	moka_buf_putc(p->out, '\n');
}

void moka__page_section(struct moka__page *p, const char *title)
{
	if (p->html) {
		moka_buf_puts(p->out, "<h2>");
		put(p, title);
		moka_buf_puts(p->out, "</h2>\n");
		return;
	}
	moka_buf_puts(p->out, p->started ? "\n" : "");
	p->started = true;
	moka_buf_puts(p->out, p->colour ? "\033[1m" : "");
	put(p, title);
	moka_buf_puts(p->out, p->colour ? "\033[0m\n" : "\n");
	moka_buf_repeat(p->out, p->ascii ? "-" : "─", moka__columns(title));
	moka_buf_putc(p->out, '\n');
}

void moka__page_para(struct moka__page *p, const char *fmt, ...)
{
	va_list ap;
	const char *s;

	va_start(ap, fmt);
	s = format(p, fmt, ap);
	va_end(ap);
	p->started = true;
	if (!p->html) {
		wrap(p, s, 0, 0);
		return;
	}
	moka_buf_puts(p->out, "<p>");
	put(p, s);
	moka_buf_puts(p->out, "</p>\n");
}

void moka__page_item(struct moka__page *p, const char *name, const char *fmt, ...)
{
	va_list ap;
	const char *s, *cut;

	va_start(ap, fmt);
	s = format(p, fmt, ap);
	va_end(ap);
	if (p->html) {
		moka_buf_puts(p->out, "<p class=\"item\"><b>");
		put(p, name);
		moka_buf_puts(p->out, "</b> ");
		put(p, s);
		moka_buf_puts(p->out, "</p>\n");
		return;
	}
	cut = moka__cut(&p->arena, name, p->width / 2, true, p->ascii);
	moka_buf_puts(p->out, p->colour ? "  \033[1m" : "  ");
	put(p, cut);
	moka_buf_puts(p->out, p->colour ? "\033[0m  " : "  ");
	wrap(p, s, moka__columns(cut) + 4, 4);
}

void moka__page_formula(struct moka__page *p, const char *fmt, ...)
{
	va_list ap;
	const char *s;

	va_start(ap, fmt);
	s = format(p, fmt, ap);
	va_end(ap);
	moka_buf_puts(p->out, p->html ? "<pre class=\"formula\">" : "      ");
	put(p, p->html ? s : moka__cut(&p->arena, s, p->width - 6, false, p->ascii));
	moka_buf_puts(p->out, p->html ? "</pre>\n" : "\n");
}

/* ---- tables --------------------------------------------------------------------------------------------- */

void moka__table_begin(struct moka__table *t, const struct moka__column *columns, int n_columns)
{
	*t = (struct moka__table){ .columns = columns, .n_columns = n_columns };
}

void moka__table_row(struct moka__page *p, struct moka__table *t, ...)
{
	va_list ap;

	if (t->n_rows == t->cap) {
		int cap = t->cap ? t->cap * 2 : 32;
		const char **cells = realloc(t->cells, (size_t)cap * (size_t)t->n_columns * sizeof(*cells));

		if (!cells) {
			p->out->failed = true;
			return;
		}
		t->cells = cells;
		t->cap = cap;
	}
	va_start(ap, t);
	for (int i = 0; i < t->n_columns; i++)
		t->cells[t->n_rows * t->n_columns + i] = va_arg(ap, const char *);
	va_end(ap);
	t->n_rows++;
}

static const char *cell(const struct moka__table *t, int row, int column)
{
	const char *s = row < 0 ? t->columns[column].title : t->cells[row * t->n_columns + column];

	return s ? s : "";
}

#define MAX_COLUMNS 12

/* The widest column that is still wider than `least`, of those that may give, or of all; -1: none. */
static int widest(const struct moka__table *t, const int *width, int least, bool all)
{
	int found = -1;

	for (int i = 0; i < t->n_columns; i++)
		if ((all || t->columns[i].give) && width[i] > least && (found < 0 || width[i] > width[found]))
			found = i;
	return found;
}

/* The width of each column: its widest cell, then less where the terminal is too narrow. */
static void measure(const struct moka__page *p, const struct moka__table *t, int *width)
{
	int total = 2 * (t->n_columns - 1);

	for (int i = 0; i < t->n_columns; i++) {
		width[i] = 0;
		for (int row = -1; row < t->n_rows; row++)
			width[i] = MOKA_MAX(width[i], moka__columns(cell(t, row, i)));
		total += width[i];
	}
	for (; total > p->width; total--) {
		int give = widest(t, width, 7, false);

		if (give < 0)
			give = widest(t, width, 7, true);
		if (give < 0)
			give = widest(t, width, 3, true);
		if (give < 0)
			return;
		width[give]--;
	}
}

static void print_row(struct moka__page *p, const struct moka__table *t, int row, const int *width)
{
	int owed = 0; /* blanks that are printed only when text follows */

	for (int i = 0; i < t->n_columns; i++) {
		const char *s = moka__cut(&p->arena, cell(t, row, i), width[i], !t->columns[i].end, p->ascii);
		int columns = moka__columns(s);

		owed += i ? 2 : 0;
		owed += t->columns[i].right ? width[i] - columns : 0;
		if (columns) {
			moka_buf_repeat(p->out, " ", owed);
			put(p, s);
			owed = 0;
		}
		owed += t->columns[i].right ? 0 : width[i] - columns;
	}
	moka_buf_putc(p->out, '\n');
}

static void print_text(struct moka__page *p, const struct moka__table *t)
{
	int width[MAX_COLUMNS];

	measure(p, t, width);
	for (int row = -1; row < t->n_rows; row++) {
		moka_buf_puts(p->out, row < 0 && p->colour ? "\033[4m" : "");
		print_row(p, t, row, width);
		if (row < 0 && p->colour)
			moka_buf_puts(p->out, "\033[0m");
	}
}

static void print_html(struct moka__page *p, const struct moka__table *t)
{
	moka_buf_puts(p->out, "<div class=\"wide\"><table>\n");
	for (int row = -1; row < t->n_rows; row++) {
		const char *tag = row < 0 ? "th" : "td";

		moka_buf_puts(p->out, row < 0 ? "<thead><tr>" : "<tr>");
		for (int i = 0; i < t->n_columns; i++) {
			moka_buf_printf(p->out, "<%s%s>", tag, t->columns[i].right ? " class=\"n\"" : "");
			put(p, cell(t, row, i));
			moka_buf_printf(p->out, "</%s>", tag);
		}
		moka_buf_puts(p->out, row < 0 ? "</tr></thead>\n" : "</tr>\n");
	}
	moka_buf_puts(p->out, "</table></div>\n");
}

void moka__page_table(struct moka__page *p, struct moka__table *t)
{
	MOKA_BUG(t->n_columns > MAX_COLUMNS);
	if (p->html)
		print_html(p, t);
	else
		print_text(p, t);
	free(t->cells);
	*t = (struct moka__table){ 0 };
}
