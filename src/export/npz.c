/*
 * npz.c - arrays -> numpy's .npz: a zip archive whose members are .npy files, stored without compression.
 *
 *     [local header | name | .npy header | values] ...  [directory entry | name] ...  [end of directory]
 *
 * Written in one pass over the file; a member's checksum stands before its values, so values are read twice from the
 * mapped weights. Archives and members of 4 GiB and more, which would need the zip64 form, are refused with a word.
 */
#include "export/export.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LIMIT UINT32_MAX
#define DOS_DATE 0x21 /* 1 January 1980: the same arrays give the same bytes on any day */
#define UTF8_NAMES 0x800
#define VERSION 20
#define PIECE 16384 /* values */

struct member {
	char *name; /* "conv1.0.npy" */
	char header[1024];
	uint32_t header_bytes, crc, bytes, offset;
};

static void put16(struct moka_buf *b, uint32_t v)
{
	uint8_t p[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	moka_buf_add(b, p, 2);
}

static void put32(struct moka_buf *b, uint32_t v)
{
	put16(b, v & 0xffff);
	put16(b, v >> 16);
}

/* What a member's local header and directory entry have in common. */
static void put_facts(struct moka_buf *b, const struct member *m)
{
	put16(b, VERSION);
	put16(b, UTF8_NAMES);
	put16(b, 0); /* stored */
	put16(b, 0);
	put16(b, DOS_DATE);
	put32(b, m->crc);
	put32(b, m->bytes);
	put32(b, m->bytes);
	put16(b, (uint32_t)strlen(m->name));
	put16(b, 0);
}

/* The .npy header, padded so that the values begin at a multiple of 64. */
static void make_header(struct member *m, const struct moka_blob_view *v)
{
	char text[900]; /* 32 axes of 20 digits */
	int n = snprintf(text, sizeof(text), "{'descr': '<f4', 'fortran_order': False, 'shape': (");
	size_t total;

	for (int i = 0; i < v->n_axes; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, i ? ", %lld" : "%lld", (long long)v->dim[i]);
	n += snprintf(text + n, sizeof(text) - (size_t)n, v->n_axes == 1 ? ",), }" : "), }");
	total = (10 + (size_t)n + 1 + 63) / 64 * 64;
	memset(m->header, ' ', total);
	memcpy(m->header, "\x93NUMPY\1\0", 8);
	m->header[8] = (char)((total - 10) & 0xff);
	m->header[9] = (char)((total - 10) >> 8);
	memcpy(m->header + 10, text, (size_t)n);
	m->header[total - 1] = '\n';
	m->header_bytes = (uint32_t)total;
}

/* Calls with every piece of the values as little-endian float32, until one fails. */
static enum moka_status each_piece(const struct moka_blob_view *v,
				   enum moka_status (*fn)(void *arg, const void *p, size_t n), void *arg)
{
	real x[PIECE / 4];
	float f[PIECE / 4];

	for (int64_t at = 0; at < v->count; at += (int64_t)MOKA_COUNT(x)) {
		int64_t n = MOKA_MIN((int64_t)MOKA_COUNT(x), v->count - at);
		moka_blob_view_read(v, at, n, x);
		for (int64_t i = 0; i < n; i++)
			f[i] = (float)x[i];
		MOKA_TRY(fn(arg, f, (size_t)n * sizeof(*f)));
	}
	return MOKA_OK;
}

static enum moka_status add_to_crc(void *arg, const void *p, size_t n)
{
	uint32_t *crc = arg;

	*crc = (uint32_t)crc32(*crc, p, (uInt)n);
	return MOKA_OK;
}

struct sink {
	struct moka_out *out;
	struct moka_error *err;
};

static enum moka_status write_piece(void *arg, const void *p, size_t n)
{
	struct sink *s = arg;

	return moka_out_write(s->out, p, n, s->err);
}

static enum moka_status prepare(struct moka_arena *arena, const struct moka_export_array *a, struct member *m,
				uint64_t *offset, struct moka_error *err)
{
	uint64_t bytes;

	m->name = moka_arena_printf(arena, "%s.%d.npy", a->layer, a->index);
	if (!m->name)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for the names of the arrays");
	make_header(m, &a->blob);
	bytes = m->header_bytes + 4 * (uint64_t)a->blob.count;
	if (bytes > LIMIT || *offset > LIMIT || strlen(m->name) > UINT16_MAX) {
		moka_fail(err, MOKA_ERR_LIMIT, "the weights are over the 4 GiB that a plain .npz can hold");
		moka_fail_hint(err, "write .h5 or .caffemodel instead");
		return MOKA_ERR_LIMIT;
	}
	m->bytes = (uint32_t)bytes;
	m->offset = (uint32_t)*offset;
	m->crc = (uint32_t)crc32(0, (const Bytef *)m->header, m->header_bytes);
	each_piece(&a->blob, add_to_crc, &m->crc);
	*offset += 30 + strlen(m->name) + bytes;
	return MOKA_OK;
}

static enum moka_status write_member(struct sink *s, const struct moka_export_array *a, const struct member *m)
{
	struct moka_buf b;
	enum moka_status status;

	moka_buf_init(&b, 0);
	moka_buf_add(&b, "PK\3\4", 4);
	put_facts(&b, m);
	moka_buf_puts(&b, m->name);
	moka_buf_add(&b, m->header, m->header_bytes);
	status = b.failed ? moka_fail(s->err, MOKA_ERR_NOMEM, "no memory")
			  : moka_out_write(s->out, b.data, b.len, s->err);
	moka_buf_release(&b);
	return status ? status : each_piece(&a->blob, write_piece, s);
}

static enum moka_status write_directory(struct sink *s, const struct member *m, size_t n, uint64_t start)
{
	struct moka_buf b;
	enum moka_status status;
	size_t length;

	moka_buf_init(&b, 0);
	for (size_t i = 0; i < n; i++) {
		moka_buf_add(&b, "PK\1\2", 4);
		put16(&b, VERSION);
		put_facts(&b, &m[i]);
		put16(&b, 0);
		put16(&b, 0);
		put16(&b, 0);
		put32(&b, 0);
		put32(&b, m[i].offset);
		moka_buf_puts(&b, m[i].name);
	}
	length = b.len;
	moka_buf_add(&b, "PK\5\6", 4);
	put32(&b, 0);
	put16(&b, (uint32_t)n);
	put16(&b, (uint32_t)n);
	put32(&b, (uint32_t)length);
	put32(&b, (uint32_t)start);
	put16(&b, 0);
	status = b.failed ? moka_fail(s->err, MOKA_ERR_NOMEM, "no memory")
			  : moka_out_write(s->out, b.data, b.len, s->err);
	moka_buf_release(&b);
	return status;
}

static enum moka_status write_archive(struct sink *s, const struct moka_export_array *a, size_t n,
				      struct moka_arena *arena)
{
	struct member *m = MOKA_NEWN(arena, n + 1, struct member);
	uint64_t offset = 0;

	if (!m)
		return moka_fail(s->err, MOKA_ERR_NOMEM, "no memory for %zu arrays", n);
	if (n >= UINT16_MAX)
		return moka_fail(s->err, MOKA_ERR_LIMIT, "%zu arrays are more than a plain .npz can hold", n);
	for (size_t i = 0; i < n; i++)
		MOKA_TRY(prepare(arena, &a[i], &m[i], &offset, s->err));
	if (offset > LIMIT)
		return moka_fail(s->err, MOKA_ERR_LIMIT, "the weights are over the 4 GiB that a plain .npz can hold");
	for (size_t i = 0; i < n; i++)
		MOKA_TRY(write_member(s, &a[i], &m[i]));
	return write_directory(s, m, n, offset);
}

/* Layers without parameters have nothing to say here. */
static size_t keep_real(const struct moka_export_array *a, size_t n, struct moka_export_array *out)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (a[i].index >= 0)
			out[k++] = a[i];
	return k;
}

enum moka_status moka_export_npz(const char *path, const struct moka_export_array *a, size_t n, struct moka_error *err)
{
	struct sink s = { NULL, err };
	struct moka_arena arena;
	struct moka_export_array *own;
	enum moka_status status;

	moka_arena_init(&arena, 0);
	own = MOKA_NEWN(&arena, n + 1, struct moka_export_array);
	status = own ? moka_out_open(&s.out, path, err) : moka_fail(err, MOKA_ERR_NOMEM, "no memory for %zu arrays", n);
	if (!status) {
		n = keep_real(a, n, own);
		status = write_archive(&s, own, n, &arena);
		if (status)
			moka_out_abort(s.out);
		else
			status = moka_out_commit(s.out, err);
	}
	moka_arena_release(&arena);
	return status;
}
