/*
 * npy.c - NumPy's .npy files: one array of numbers.
 *
 *     \x93NUMPY major minor | length of header (2 bytes, from version 2 on 4) | "{'descr': '<f4', 'fortran_order':
 *     False, 'shape': (1, 3, 28, 28), }" padded by spaces, ending in \n | values
 */
#include "model/internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void moka_array_release(struct moka_array *a)
{
	free(a->data);
	memset(a, 0, sizeof(*a));
}

enum npy_kind { NPY_FLOAT, NPY_INT, NPY_UINT };

struct npy {
	const char *path;
	const char *header;
	size_t header_bytes;
	const uint8_t *values;
	size_t value_bytes;
	enum npy_kind kind;
	int width;
};

static enum moka_status not_npy(const struct npy *n, struct moka_error *err, const char *why)
{
	return moka_fail(err, MOKA_ERR_FORMAT, "%s: %s", n->path, why);
}

static enum moka_status split(struct npy *n, const struct moka_file *f, struct moka_error *err)
{
	size_t at = 10;

	if (f->size < 10 || memcmp(f->data, "\x93NUMPY", 6))
		return moka_guess_fail(err, n->path, f, moka_model_guess(f), "a NumPy array (.npy)");
	if (f->data[6] < 1 || f->data[6] > 3)
		return moka_fail(err, MOKA_ERR_FORMAT, "%s: .npy version %d; 1 to 3 are known", n->path, f->data[6]);
	n->header_bytes = (size_t)f->data[8] | (size_t)f->data[9] << 8;
	if (f->data[6] > 1) {
		at = 12;
		if (f->size < at)
			return not_npy(n, err, "the header of this .npy is cut off");
		n->header_bytes |= (size_t)f->data[10] << 16 | (size_t)f->data[11] << 24;
	}
	if (n->header_bytes > f->size - at)
		return not_npy(n, err, "the header of this .npy is cut off");
	n->header = (const char *)f->data + at;
	n->values = f->data + at + n->header_bytes;
	n->value_bytes = f->size - at - n->header_bytes;
	return MOKA_OK;
}

/* What follows "'key':" in the header, spaces skipped; NULL where the key is not there. */
static const char *value_of(const struct npy *n, const char *key)
{
	const char *end = n->header + n->header_bytes, *p = memmem(n->header, n->header_bytes, key, strlen(key));

	if (!p)
		return NULL;
	for (p += strlen(key); p < end && (*p == ' ' || *p == ':' || *p == '\'' || *p == '"');)
		p++;
	return p < end ? p : NULL;
}

static enum moka_status read_type(struct npy *n, struct moka_error *err)
{
	const char *p = value_of(n, "'descr'"), *end = n->header + n->header_bytes;
	int len = 0;

	if (!p)
		return not_npy(n, err, "the header of this .npy says no 'descr'");
	while (p + len < end && len < 16 && p[len] != '\'' && p[len] != '"' && p[len] != ',')
		len++;
	n->width = len == 3 ? p[2] - '0' : 0;
	n->kind = len == 3 && p[1] == 'f' ? NPY_FLOAT : len == 3 && p[1] == 'i' ? NPY_INT : NPY_UINT;
	if (len == 3 && (p[0] == '<' || p[0] == '|' || p[0] == '=') &&
	    ((p[1] == 'f' && (n->width == 2 || n->width == 4 || n->width == 8)) ||
	     ((p[1] == 'i' || p[1] == 'u') && (n->width == 1 || n->width == 2 || n->width == 4 || n->width == 8)) ||
	     (p[1] == 'b' && n->width == 1)))
		return MOKA_OK;
	moka_fail(err, MOKA_ERR_FORMAT, "%s: its values are of type '%.*s'; little-endian floats and integers are read",
		  n->path, len, p);
	moka_fail_hint(err, "in Python: numpy.save(FILE, x.astype('<f4'))");
	return MOKA_ERR_FORMAT;
}

static enum moka_status read_dims(const struct npy *n, struct moka_array *out, struct moka_error *err)
{
	const char *p = value_of(n, "'shape'"), *end = n->header + n->header_bytes;

	if (!p || *p != '(')
		return not_npy(n, err, "the header of this .npy says no 'shape'");
	out->count = 1;
	for (p++; p < end && *p != ')';) {
		int64_t v = 0;

		if (*p == ' ' || *p == ',' || *p == 'L') {
			p++;
			continue;
		}
		if (!isdigit((unsigned char)*p))
			return not_npy(n, err, "the 'shape' in the header of this .npy is not a list of numbers");
		for (; p < end && isdigit((unsigned char)*p); p++)
			if (!moka_mul(v, 10, &v) || !moka_add(v, *p - '0', &v))
				return not_npy(n, err, "a dimension in the header of this .npy is too large");
		if (out->n_axes == MOKA_MAX_AXES)
			return not_npy(n, err, "this .npy has more than 32 axes");
		out->dim[out->n_axes++] = v;
		if (!moka_mul(out->count, v, &out->count))
			return not_npy(n, err, "this .npy claims more values than can be counted");
	}
	return p < end ? MOKA_OK : not_npy(n, err, "the 'shape' in the header of this .npy does not end");
}

static enum moka_status check_order(const struct npy *n, const struct moka_array *a, struct moka_error *err)
{
	const char *p = value_of(n, "'fortran_order'");

	if (!p || *p != 'T' || a->n_axes < 2)
		return MOKA_OK;
	moka_fail(err, MOKA_ERR_FORMAT, "%s: its values are in Fortran order; C order is read", n->path);
	moka_fail_hint(err, "in Python: numpy.save(FILE, numpy.ascontiguousarray(x))");
	return MOKA_ERR_FORMAT;
}

static real float_at(const uint8_t *p, int width)
{
	uint16_t h;
	double d;
	float f;

	if (width == 8) {
		memcpy(&d, p, 8);
		return (real)d;
	}
	if (width == 2) {
		memcpy(&h, p, 2);
		return (real)moka__half_to_float(h);
	}
	memcpy(&f, p, 4);
	return (real)f;
}

static real int_at(const uint8_t *p, int width, bool is_signed)
{
	uint64_t v = 0;
	int64_t s;

	memcpy(&v, p, (size_t)width);
	if (!is_signed)
		return (real)v;
	memcpy(&s, &v, 8);
	if (width < 8)
		s = (int64_t)(v << (64 - 8 * width)) >> (64 - 8 * width);
	return (real)s;
}

static void convert(const struct npy *n, struct moka_array *out)
{
	const uint8_t *p = n->values;

	for (int64_t i = 0; i < out->count; i++, p += n->width)
		out->data[i] = n->kind == NPY_FLOAT ? float_at(p, n->width) : int_at(p, n->width, n->kind == NPY_INT);
}

static enum moka_status read_array(struct npy *n, const struct moka_file *f, struct moka_array *out,
				   struct moka_error *err)
{
	char text[256];

	MOKA_TRY(split(n, f, err));
	MOKA_TRY(read_type(n, err));
	MOKA_TRY(read_dims(n, out, err));
	MOKA_TRY(check_order(n, out, err));
	if ((uint64_t)out->count > n->value_bytes / (size_t)n->width)
		return moka_fail(err, MOKA_ERR_FORMAT,
				 "%s: its shape is %s, which takes %" PRId64
				 " values of %d bytes, but only %zu bytes follow; the file is cut off",
				 n->path, moka_dims_text(out->n_axes, out->dim, text, sizeof(text)), out->count,
				 n->width, n->value_bytes);
	out->data = malloc((size_t)(out->count ? out->count : 1) * sizeof(real));
	if (!out->data)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for %" PRId64 " values", n->path,
				 out->count);
	convert(n, out);
	return MOKA_OK;
}

enum moka_status moka_npy_read(struct moka_array *out, const char *path, struct moka_error *err)
{
	struct npy n = { .path = path };
	struct moka_file f = { 0 };
	enum moka_status st;

	memset(out, 0, sizeof(*out));
	MOKA_TRY(moka_file_open(&f, path, err));
	st = read_array(&n, &f, out, err);
	if (st)
		moka_array_release(out);
	moka_file_release(&f);
	return st;
}

/* The header, padded so that values begin at a multiple of 64. */
static void write_header(struct moka_buf *b, int n_axes, const int64_t *dim)
{
	size_t pad, n;

	moka_buf_add(b, "\x93NUMPY\1\0\0\0", 10);
	moka_buf_puts(b, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
	for (int i = 0; i < n_axes; i++)
		moka_buf_printf(b, "%s%" PRId64, i ? ", " : "", dim[i]);
	moka_buf_puts(b, n_axes == 1 ? ",), }" : "), }");
	pad = 63 - b->len % 64;
	moka_buf_repeat(b, " ", (int)pad);
	moka_buf_putc(b, '\n');
	if (b->failed)
		return;
	n = b->len - 10;
	b->data[8] = (char)(n & 255);
	b->data[9] = (char)(n >> 8);
}

static enum moka_status write_values(struct moka_out *out, const real *data, int64_t count, struct moka_error *err)
{
	float piece[4096];

	if (sizeof(real) == 4)
		return moka_out_write(out, data, (size_t)count * 4, err);
	for (int64_t at = 0; at < count;) {
		const int64_t n = MOKA_MIN(count - at, (int64_t)MOKA_COUNT(piece));

		for (int64_t i = 0; i < n; i++)
			piece[i] = (float)data[at + i];
		MOKA_TRY(moka_out_write(out, piece, (size_t)n * 4, err));
		at += n;
	}
	return MOKA_OK;
}

enum moka_status moka_npy_write(const char *path, int n_axes, const int64_t *dim, const real *data,
				struct moka_error *err)
{
	struct moka_buf header;
	struct moka_out *out;
	enum moka_status st;
	int64_t count = 1;

	for (int i = 0; i < n_axes; i++)
		if (!moka_mul(count, dim[i], &count))
			return moka_fail(err, MOKA_ERR_ARG, "%s: a shape of more values than can be counted", path);
	MOKA_TRY(moka_out_open(&out, path, err));
	moka_buf_init(&header, 0);
	write_header(&header, n_axes, dim);
	st = header.failed ? moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path)
			   : moka_out_write(out, header.data, header.len, err);
	moka_buf_release(&header);
	if (!st && count)
		st = write_values(out, data, count, err);
	if (!st)
		return moka_out_commit(out, err);
	moka_out_abort(out);
	return st;
}
