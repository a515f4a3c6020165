/*
 * window_file.c - the text that lists a WindowData layer's pictures and windows:
 *
 *     # INDEX
 *     PICTURE
 *     CHANNELS HEIGHT WIDTH
 *     NUMBER
 *     LABEL OVERLAP X1 Y1 X2 Y2      (NUMBER lines)
 *
 * once for each picture, indices from 0 on. White space separates; where lines break doesn't matter, as in Caffe. Caffe believes every
 * number; here each is checked, with the line that it stands in.
 */
#include "data/windows.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct moka__windows *out;
	struct moka_arena *arena;
	const char *root;
	double threshold[2]; /* background, object */
	const char *p, *end;
	int64_t line;
	int64_t cap[3]; /* of kind[0], kind[1], images */
	struct moka_error *err;
};

static enum moka_status bad(struct reader *r, const char *expected, const char *word, size_t n)
{
	if (!n)
		return moka_fail(r->err, MOKA_ERR_DATA, "%s:%" PRId64 ": the window file ends where %s should be",
				 r->out->file, r->line, expected);
	return moka_fail(r->err, MOKA_ERR_DATA, "%s:%" PRId64 ": '%.*s' where %s should be", r->out->file, r->line,
			 (int)MOKA_MIN(n, (size_t)80), word, expected);
}

static const char *next_word(struct reader *r, size_t *n)
{
	const char *begin;

	for (; r->p < r->end && isspace((unsigned char)*r->p); r->p++)
		r->line += *r->p == '\n';
	begin = r->p;
	while (r->p < r->end && !isspace((unsigned char)*r->p))
		r->p++;
	*n = (size_t)(r->p - begin);
	return begin;
}

static enum moka_status number(struct reader *r, const char *what, double min, double max, double *out)
{
	size_t n;
	const char *w = next_word(r, &n);
	char text[64], *end;

	if (!n || n >= sizeof(text))
		return bad(r, what, w, n);
	memcpy(text, w, n);
	text[n] = '\0';
	*out = strtod(text, &end);
	return *end || !(*out >= min && *out <= max) ? bad(r, what, w, n) : MOKA_OK;
}

static enum moka_status whole(struct reader *r, const char *what, int64_t min, int64_t max, int64_t *out)
{
	double d;

	MOKA_TRY(number(r, what, (double)min, (double)max, &d));
	*out = (int64_t)d;
	return MOKA_OK;
}

static enum moka_status no_memory(struct reader *r)
{
	return moka_fail(r->err, MOKA_ERR_NOMEM, "%s: not enough memory", r->out->file);
}

/* Room for one more: an arena doesn't take back, so the old half stays where it is. */
static void *grown(struct reader *r, void *old, int64_t n, int64_t *cap, size_t size)
{
	void *bigger;

	if (n < *cap)
		return old;
	*cap = *cap ? 2 * *cap : 64;
	bigger = moka_arena_alloc(r->arena, (size_t)*cap, size);
	if (bigger && n)
		memcpy(bigger, old, (size_t)n * size);
	return bigger;
}

static enum moka_status keep(struct reader *r, int kind, const struct moka__window *w)
{
	struct moka__window_list *l = &r->out->kind[kind];

	l->w = grown(r, l->w, l->n, &r->cap[kind], sizeof(*l->w));
	if (!l->w)
		return no_memory(r);
	l->w[l->n++] = *w;
	return MOKA_OK;
}

static enum moka_status read_window(struct reader *r)
{
	static const char *const names[] = { "x1 of a window", "y1 of a window", "x2 of a window", "y2 of a window" };
	struct moka__window w = { .image = (int32_t)r->out->n_images - 1 };
	int32_t *const corner[] = { &w.x1, &w.y1, &w.x2, &w.y2 };
	double overlap;
	int64_t v;

	MOKA_TRY(whole(r, "a window's label", 0, INT32_MAX, &v));
	w.label = (int32_t)v;
	w.line = r->line;
	MOKA_TRY(number(r, "a window's overlap, 0 to 1", -1e9, 1e9, &overlap));
	for (int i = 0; i < 4; i++) {
		MOKA_TRY(whole(r, names[i], -(1 << 24), 1 << 24, &v));
		*corner[i] = (int32_t)v;
	}
	if (overlap >= r->threshold[1]) {
		if (!w.label)
			return moka_fail(r->err, MOKA_ERR_DATA,
					 "%s:%" PRId64
					 ": an object (it overlaps by %g) of class 0, which is background's",
					 r->out->file, w.line, overlap);
		return keep(r, 1, &w);
	}
	if (overlap >= r->threshold[0])
		return MOKA_OK;
	w.label = 0;
	return keep(r, 0, &w);
}

static enum moka_status read_image(struct reader *r)
{
	struct moka__window_image x = { 0 };
	size_t n;
	const char *word = next_word(r, &n);
	int64_t index, windows;

	if (n != 1 || *word != '#')
		return bad(r, "the '#' that begins a picture", word, n);
	MOKA_TRY(whole(r, "a picture's number", 0, INT32_MAX - 1, &index));
	if (index != r->out->n_images)
		return moka_fail(r->err, MOKA_ERR_DATA,
				 "%s:%" PRId64 ": picture %" PRId64 " where %" PRId64
				 " comes next; they are numbered from 0",
				 r->out->file, r->line, index, r->out->n_images);
	word = next_word(r, &n);
	if (!n)
		return bad(r, "a picture's name", word, n);
	x.path = moka_arena_printf(r->arena, "%s%.*s", r->root, (int)MOKA_MIN(n, (size_t)MOKA_MAX_NAME), word);
	x.line = r->line;
	MOKA_TRY(whole(r, "a picture's channels", 1, 4, &x.channels));
	MOKA_TRY(whole(r, "a picture's height", 1, 1 << 24, &x.height));
	MOKA_TRY(whole(r, "a picture's width", 1, 1 << 24, &x.width));
	MOKA_TRY(whole(r, "the number of windows", 0, INT32_MAX, &windows));
	r->out->images = grown(r, r->out->images, r->out->n_images, &r->cap[2], sizeof(x));
	if (!r->out->images || !x.path)
		return no_memory(r);
	r->out->images[r->out->n_images++] = x;
	for (int64_t i = 0; i < windows; i++)
		MOKA_TRY(read_window(r));
	return MOKA_OK;
}

static bool more(struct reader *r)
{
	while (r->p < r->end && isspace((unsigned char)*r->p))
		r->line += *r->p++ == '\n';
	return r->p < r->end;
}

enum moka_status moka__windows_read(struct moka__windows *out, const char *path, const char *root, double fg_threshold,
				    double bg_threshold, struct moka_arena *a, struct moka_error *err)
{
	struct moka_file f = { 0 };
	struct reader r = {
		.out = out, .arena = a, .root = root, .threshold = { bg_threshold, fg_threshold }, .line = 1, .err = err
	};
	enum moka_status st = MOKA_OK;

	*out = (struct moka__windows){ .file = path };
	MOKA_TRY(moka_file_open(&f, path, err));
	r.p = (const char *)f.data;
	r.end = r.p + f.size;
	if (!more(&r))
		st = moka_fail(err, MOKA_ERR_DATA, "%s: this window file is empty", path);
	while (!st && more(&r))
		st = read_image(&r);
	moka_file_release(&f);
	return st;
}
