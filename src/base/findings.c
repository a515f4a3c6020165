/*
 * findings.c - gathering what is wrong in a model. How it looks to a reader is in findings_print.c.
 *
 * At most MOKA_MAX_FINDINGS are kept; all are counted. When they are full an error takes the place of the youngest
 * warning, so that whoever is told "there are errors" sees one.
 */
#include "findings.h"

#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_MESSAGE 4096
/* 1,000 findings of the longest kind, and the names they share */
#define MOST_BYTES ((size_t)16 << 20)

void moka_findings_init(struct moka_findings *f)
{
	*f = (struct moka_findings){ 0 };
	moka_arena_init(&f->arena, MOST_BYTES);
}

void moka_findings_release(struct moka_findings *f)
{
	moka_arena_release(&f->arena);
	moka_findings_init(f);
}

/* Formats into the arena; what is too long is cut at a whole character. NULL: no memory. */
static const char *keep_text(struct moka_arena *a, const char *fmt, va_list ap)
{
	char text[LONGEST_MESSAGE];
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	size_t len;

	if (n < 0)
		return NULL;
	len = (size_t)n;
	if (len >= sizeof(text)) {
		len = moka__utf8_trim(text, sizeof(text) - 4);
		memcpy(text + len, "...", 4);
		len += 3;
	}
	return moka_arena_strndup(a, text, len);
}

static bool is_same(const struct moka_finding *a, const struct moka_finding *b)
{
	return a->loc.line == b->loc.line && a->loc.column == b->loc.column && a->loc.text == b->loc.text &&
	       !strcmp(a->code, b->code) && !strcmp(a->message, b->message);
}

static bool is_known(const struct moka_findings *f, const struct moka_finding *x)
{
	for (size_t i = f->n; i-- > 0;)
		if (is_same(&f->items[i], x))
			return true;
	return false;
}

/* Where the next finding of this severity goes; NULL: nowhere. */
static struct moka_finding *make_room(struct moka_findings *f, enum moka_severity severity)
{
	if (f->n == MOKA_MAX_FINDINGS) {
		f->dropped++;
		if (severity != MOKA_ERROR || f->errors >= MOKA_MAX_FINDINGS)
			return NULL;
		for (size_t i = f->n; i-- > 0;)
			if (f->items[i].severity != MOKA_ERROR) {
				memmove(&f->items[i], &f->items[i + 1], (f->n - i - 1) * sizeof(*f->items));
				return &f->items[f->n - 1];
			}
		return NULL;
	}
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 16;
		struct moka_finding *items = MOKA_NEWN(&f->arena, cap, struct moka_finding);
		if (!items) {
			f->dropped++;
			return NULL;
		}
		if (f->n)
			memcpy(items, f->items, f->n * sizeof(*items));
		f->items = items;
		f->cap = cap;
	}
	return &f->items[f->n++];
}

static void count_one(struct moka_findings *f, enum moka_severity severity)
{
	if (severity == MOKA_ERROR)
		f->errors++;
	else if (severity == MOKA_WARNING)
		f->warnings++;
}

void moka_find(struct moka_findings *f, enum moka_severity severity, const char *code, struct moka_loc loc,
	       const char *fmt, ...)
{
	struct moka_finding x = { severity, code, loc, NULL, NULL };
	struct moka_finding *place;
	va_list ap;

	if (!f)
		return;
	f->last = 0;
	/* once nothing more is kept, formatting and comparing would only cost time */
	if (f->n == MOKA_MAX_FINDINGS && (severity != MOKA_ERROR || f->errors >= MOKA_MAX_FINDINGS)) {
		f->dropped++;
		count_one(f, severity);
		return;
	}
	va_start(ap, fmt);
	x.message = keep_text(&f->arena, fmt, ap);
	va_end(ap);
	if (x.message && is_known(f, &x))
		return;
	place = x.message ? make_room(f, severity) : NULL;
	f->dropped += !x.message;
	count_one(f, severity);
	if (!place)
		return;
	*place = x;
	f->last = (size_t)(place - f->items) + 1;
}

void moka_find_hint(struct moka_findings *f, const char *fmt, ...)
{
	va_list ap;

	if (!f || !f->last)
		return;
	va_start(ap, fmt);
	f->items[f->last - 1].hint = keep_text(&f->arena, fmt, ap);
	va_end(ap);
}

struct sort_key {
	struct moka_finding finding;
	size_t file, order; /* files in the order of their first finding; findings of one place in order of discovery */
};

static int by_place(const void *pa, const void *pb)
{
	const struct sort_key *a = pa, *b = pb;
	const struct moka_loc *x = &a->finding.loc, *y = &b->finding.loc;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

void moka_findings_sort(struct moka_findings *f)
{
	struct sort_key *keys = f->n > 1 ? calloc(f->n, sizeof(*keys)) : NULL;

	if (!keys)
		return;
	f->last = 0;
	for (size_t i = 0; i < f->n; i++) {
		size_t file = 0;
		while (f->items[file].loc.text != f->items[i].loc.text)
			file++;
		keys[i] = (struct sort_key){ f->items[i], file, i };
	}
	qsort(keys, f->n, sizeof(*keys), by_place);
	for (size_t i = 0; i < f->n; i++)
		f->items[i] = keys[i].finding;
	free(keys);
}
