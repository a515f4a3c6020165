/*
 * piclist.c - lists of pictures with labels, as ImageData and convert_imageset read them: what follows a line's last space is the
 * label, a whole number; everything before it is the picture's name.
 *
 * Caffe takes a line without a label for label 0 of a picture of another name; here it is an error.
 */
#include "data/data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool read_line(struct moka_arena *a, const char *line, size_t n, struct moka_picture_line *out)
{
	const char *space = memrchr(line, ' ', n);
	char digits[32], *end;
	size_t length = space ? n - (size_t)(space + 1 - line) : 0;

	if (!length || length >= sizeof(digits) || space == line)
		return false;
	memcpy(digits, space + 1, length);
	digits[length] = '\0';
	errno = 0;
	out->label = strtoll(digits, &end, 10);
	if (*end || errno || out->label < INT32_MIN || out->label > INT32_MAX)
		return false;
	out->name = moka_arena_strndup(a, line, (size_t)(space - line));
	return out->name != NULL;
}

static enum moka_status bad_line(const char *path, int64_t number, const char *line, size_t n, struct moka_error *err)
{
	moka_fail(err, MOKA_ERR_DATA, "%s:%" PRId64 ": no label at the end of '%.*s'", path, number,
		  (int)MOKA_MIN(n, (size_t)120), line);
	moka_fail_hint(err, "each line is: PICTURE LABEL, the label a whole number");
	return MOKA_ERR_DATA;
}

static enum moka_status read_lines(struct moka_picture_list *out, const struct moka_file *f, const char *path,
				   struct moka_arena *a, struct moka_error *err)
{
	const char *p = (const char *)f->data, *end = p + f->size;
	int64_t most = 1;

	for (const char *q = p; q < end; q++)
		most += *q == '\n';
	out->lines = MOKA_NEWN(a, most, struct moka_picture_line);
	if (!out->lines)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	for (int64_t number = 1; p < end; number++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const size_t whole = (size_t)((newline ? newline : end) - p);
		size_t n = whole;

		while (n && (p[n - 1] == '\r' || p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n && !read_line(a, p, n, &out->lines[out->n]))
			return bad_line(path, number, p, n, err);
		if (n)
			out->lines[out->n++].line = number;
		p += whole + (p + whole < end);
	}
	return out->n ? MOKA_OK : moka_fail(err, MOKA_ERR_DATA, "%s: it lists no picture", path);
}

enum moka_status moka_picture_list_read(struct moka_picture_list *out, const char *path, struct moka_arena *a,
					struct moka_error *err)
{
	struct moka_file f = { 0 };
	enum moka_status st;

	*out = (struct moka_picture_list){ 0 };
	MOKA_TRY(moka_file_open(&f, path, err));
	st = read_lines(out, &f, path, a, err);
	moka_file_release(&f);
	return st;
}
