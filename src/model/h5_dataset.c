/*
 * h5_dataset.c - an HDF5 dataset: its shape, its numbers, and where they lie.
 *
 *     header messages: space (dimensions), type (of a number), layout --> compact: the values themselves
 *                                                                         contiguous: address and size
 *                                                                         chunked: B-tree of chunks, each maybe packed
 *     filters: shuffle, deflate, a checksum, in the order they were applied
 */
#include "model/h5_internal.h"
#include "model/internal.h"

#include <zlib.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum layout_kind { COMPACT, CONTIGUOUS, CHUNKED };
enum { FILTER_DEFLATE = 1, FILTER_SHUFFLE = 2, FILTER_CHECKSUM = 3, MAX_FILTERS = 8 };

/* The best that deflate can do, with room to spare. */
#define MOST_COMPRESSION 1100

struct dataset {
	struct moka_h5 *h;
	const char *name;
	struct moka_h5_dataset x;
	enum layout_kind layout;
	uint64_t tree;		      /* of chunks */
	int64_t chunk[MOKA_MAX_AXES]; /* dimensions of one */
	int64_t chunk_count;
	int filters[MAX_FILTERS], n_filters;
	bool text; /* a text is wanted, no number: width is its bytes */
};

static enum moka_status unsupported(const struct dataset *d, const char *what, struct moka_error *err)
{
	moka_fail(err, MOKA_ERR_UNSUPPORTED, "%s: '%s' %s, which is not read", d->h->path, d->name, what);
	moka_fail_hint(err, "write it again without: in Python, h5py.File(NEW, 'w').create_dataset(name, data=...)");
	return MOKA_ERR_UNSUPPORTED;
}

static enum moka_status damaged(const struct dataset *d, const char *why, struct moka_error *err)
{
	return moka__h5_damaged(d->h, d->name, why, err);
}

/* ---- messages ---------------------------------------------------------------------------------------- */

/* version 1: rank, flags, 5 reserved | dimensions; version 2: rank, flags, kind (0 scalar, 1 simple, 2 none) | dimensions */
static enum moka_status read_space(struct dataset *d, const struct h5_message *m, struct moka_error *err)
{
	const int wide = d->h->length_bytes, version = m->n ? m->p[0] : 0;
	const size_t head = version == 1 ? 8 : 4;
	struct moka_h5_dataset *x = &d->x;

	if (m->shared || (version != 1 && version != 2) || m->n < head || m->p[1] > MOKA_MAX_AXES ||
	    m->n - head < (size_t)m->p[1] * (size_t)wide)
		return damaged(d, "has no shape that can be read", err);
	if (version == 2 && m->p[3] == 2)
		return unsupported(d, "has no values at all", err);
	x->n_axes = m->p[1];
	x->count = 1;
	for (int i = 0; i < x->n_axes; i++) {
		const uint64_t v = moka__h5_number(m->p + head + (size_t)(i * wide), wide);

		if (v > INT64_MAX || !moka_mul(x->count, (int64_t)v, &x->count))
			return moka_fail(err, MOKA_ERR_LIMIT, "%s: '%s' claims more values than can be counted",
					 d->h->path, d->name);
		x->dim[i] = (int64_t)v;
	}
	return MOKA_OK;
}

static const char *class_text(int c)
{
	static const char *const names[] = { "",
					     "",
					     "times",
					     "text",
					     "bit fields",
					     "opaque bytes",
					     "compound values",
					     "references",
					     "",
					     "lists of varying length",
					     "arrays" };

	return c < (int)MOKA_COUNT(names) && *names[c] ? names[c] : "values of an unknown kind";
}

/* version and class | 3 bytes of flags | size (4) | of floats: offset, precision (2 each), exponent at, bits, mantissa at, bits, bias */
static enum moka_status read_type(struct dataset *d, const uint8_t *p, size_t n, int depth, struct moka_error *err)
{
	static const uint8_t ieee[][6] = { { 2, 10, 5, 10 }, { 4, 23, 8, 23 }, { 8, 52, 11, 52 } };
	struct moka_h5_dataset *x = &d->x;
	int class;

	if (n < 8)
		return damaged(d, "has no type of number that can be read", err);
	class = p[0] & 15;
	if (d->text) {
		x->width = (int)MOKA_MIN(moka__h5_number(p + 4, 4), (uint64_t)MOKA_MAX_NAME);
		return class == 3 && x->width ? MOKA_OK : unsupported(d, "holds no text of fixed length", err);
	}
	if (class == 8 && depth < 4) /* an enumeration, as h5py stores booleans: its base type follows */
		return read_type(d, p + 8, n - 8, depth + 1, err);
	x->width = (int)MOKA_MIN(moka__h5_number(p + 4, 4), (uint64_t)255);
	x->big_endian = p[1] & 1;
	x->number = class == 1 ? MOKA_H5_FLOAT : (p[1] & 8) ? MOKA_H5_INT : MOKA_H5_UINT;
	if (class > 1)
		return moka_fail(err, MOKA_ERR_FORMAT, "%s: '%s' holds %s; numbers were expected", d->h->path, d->name,
				 class_text(class));
	if (class == 0 && (x->width == 1 || x->width == 2 || x->width == 4 || x->width == 8))
		return MOKA_OK;
	for (size_t i = 0; class == 1 && n >= 20 && !(p[1] & 64) && i < MOKA_COUNT(ieee); i++)
		if (x->width == ieee[i][0] && p[12] == ieee[i][1] && p[13] == ieee[i][2] && p[15] == ieee[i][3])
			return MOKA_OK;
	return unsupported(d, "holds numbers of an unusual format", err);
}

static enum moka_status read_chunked(struct dataset *d, const struct h5_message *m, struct moka_error *err)
{
	const size_t wide = (size_t)d->h->offset_bytes;
	const int rank = m->n > 2 ? m->p[2] : 0;

	if (rank != d->x.n_axes + 1 || d->x.n_axes < 1 || m->n < 3 + wide + (size_t)rank * 4)
		return damaged(d, "has chunks of another number of axes", err);
	d->tree = moka__h5_number(m->p + 3, (int)wide);
	d->chunk_count = 1;
	for (int i = 0; i < rank - 1; i++) {
		d->chunk[i] = (int64_t)moka__h5_number(m->p + 3 + wide + (size_t)i * 4, 4);
		if (d->chunk[i] < 1 || !moka_mul(d->chunk_count, d->chunk[i], &d->chunk_count) ||
		    d->chunk_count > (int64_t)1 << 31)
			return damaged(d, "has chunks of an impossible size", err);
	}
	return MOKA_OK;
}

/* Bytes of values in one piece. */
static enum moka_status set_values(struct dataset *d, const uint8_t *p, uint64_t n, struct moka_error *err)
{
	if (!p || (uint64_t)d->x.count > n / (uint64_t)d->x.width)
		return moka_fail(err, MOKA_ERR_FORMAT,
				 "%s: '%s' claims %" PRId64
				 " values of %d bytes, but the file (%zu bytes) does not hold them",
				 d->h->path, d->name, d->x.count, d->x.width, d->h->size);
	d->x.values = p;
	return MOKA_OK;
}

static enum moka_status read_layout(struct dataset *d, const struct h5_message *m, struct moka_error *err)
{
	const size_t o = (size_t)d->h->offset_bytes, l = (size_t)d->h->length_bytes;
	const int version = m->n ? m->p[0] : 0, kind = m->n > 1 ? m->p[1] : 0;
	uint64_t n, address;

	if (version == 1 || version == 2)
		return unsupported(d, "is laid out as HDF5 did before 2004", err);
	if (version < 1 || version > 4 || m->n < 4)
		return damaged(d, "has no layout that can be read", err);
	if (kind > CHUNKED)
		return unsupported(d, "is put together from other datasets", err);
	if (kind == CHUNKED && version == 4)
		return unsupported(d, "has its chunks in HDF5's newest form", err);
	d->layout = (enum layout_kind)kind;
	if (kind == CHUNKED)
		return read_chunked(d, m, err);
	if (kind == COMPACT) {
		n = moka__h5_number(m->p + 2, 2);
		return set_values(d, n <= m->n - 4 ? m->p + 4 : NULL, n, err);
	}
	if (m->n < 2 + o + l)
		return damaged(d, "has no layout that can be read", err);
	address = moka__h5_number(m->p + 2, (int)o);
	n = moka__h5_number(m->p + 2 + o, (int)l);
	if (!d->x.count)
		return MOKA_OK;
	return set_values(d, moka__h5_undefined(d->h, address) ? NULL : moka__h5_at(d->h, address, n), n, err);
}

/* version 1: count, 6 reserved; version 2: count | each: id (2), length of name (2; v2 only from id 256 on), flags (2), values (2),
 * name (v1: padded to 8), values of 4 bytes (v1: an even number) */
static enum moka_status read_filters(struct dataset *d, const struct h5_message *m, struct moka_error *err)
{
	const int version = m->n ? m->p[0] : 0;
	size_t at = version == 1 ? 8 : 2;

	if (!m->p)
		return MOKA_OK;
	if ((version != 1 && version != 2) || m->n < at || m->p[1] > MAX_FILTERS)
		return damaged(d, "has filters that can't be read", err);
	d->n_filters = m->p[1];
	for (int i = 0; i < d->n_filters; i++) {
		size_t name = 0, values, head = 6;
		int id;

		if (m->n - at < 8)
			return damaged(d, "has filters that can't be read", err);
		id = (int)moka__h5_number(m->p + at, 2);
		if (version == 1 || id >= 256) {
			name = (size_t)moka__h5_number(m->p + at + 2, 2);
			head = 8;
		}
		values = (size_t)moka__h5_number(m->p + at + head - 2, 2);
		if (version == 1) {
			name = (name + 7) / 8 * 8;
			values += values & 1;
		}
		if (m->n - at < head + name + values * 4)
			return damaged(d, "has filters that can't be read", err);
		at += head + name + values * 4;
		if (id != FILTER_DEFLATE && id != FILTER_SHUFFLE && id != FILTER_CHECKSUM)
			return unsupported(d,
					   id == 4	 ? "is packed with szip"
					   : id == 32000 ? "is packed with lzf"
							 : "is packed with a filter of its own",
					   err);
		d->filters[i] = id;
	}
	return MOKA_OK;
}

static enum moka_status open_dataset(struct dataset *d, moka_h5_object o, struct moka_error *err)
{
	struct h5_header header;
	const struct h5_message *m = header.m;

	MOKA_TRY(moka__h5_header(d->h, o, d->name, &header, err));
	if (!m[H5M_LAYOUT].p || !m[H5M_SPACE].p || !m[H5M_TYPE].p)
		return moka_fail(err, MOKA_ERR_DATA, "%s: '%s' is not a dataset", d->h->path, d->name);
	if (m[H5M_EXTERNAL].p)
		return unsupported(d, "keeps its values in other files", err);
	if (m[H5M_TYPE].shared || m[H5M_LAYOUT].shared || m[H5M_FILTERS].shared)
		return unsupported(d, "shares its type with others", err);
	MOKA_TRY(read_space(d, &m[H5M_SPACE], err));
	MOKA_TRY(read_type(d, m[H5M_TYPE].p, m[H5M_TYPE].n, 0, err));
	MOKA_TRY(read_layout(d, &m[H5M_LAYOUT], err));
	MOKA_TRY(read_filters(d, &m[H5M_FILTERS], err));
	/* Packed or not, a file can't stand for much more than it holds. */
	if (d->layout == CHUNKED && (uint64_t)d->x.count / MOST_COMPRESSION > d->h->size)
		return set_values(d, NULL, 0, err);
	return MOKA_OK;
}

enum moka_status moka_h5_info(struct moka_h5 *h, moka_h5_object dataset, const char *name, struct moka_h5_dataset *out,
			      struct moka_error *err)
{
	struct dataset d = { .h = h, .name = name };
	const enum moka_status st = open_dataset(&d, dataset, err);

	*out = d.x;
	return st;
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

static real convert_one(const struct moka_h5_dataset *x, const uint8_t *p)
{
	uint64_t v = 0;
	double f8;
	float f4;

	for (int i = 0; i < x->width; i++)
		v |= (uint64_t)p[x->big_endian ? x->width - 1 - i : i] << 8 * i;
	if (x->number == MOKA_H5_UINT)
		return (real)v;
	if (x->number == MOKA_H5_INT)
		return (real)((int64_t)(v << (64 - 8 * x->width)) >> (64 - 8 * x->width));
	if (x->width == 2)
		return (real)moka__half_to_float((uint16_t)v);
	if (x->width == 8) {
		memcpy(&f8, &v, 8);
		return (real)f8;
	}
	const uint32_t half = (uint32_t)v;

	memcpy(&f4, &half, 4);
	return (real)f4;
}

static void convert(const struct moka_h5_dataset *x, const uint8_t *p, int64_t n, real *out)
{
	if (x->number == MOKA_H5_FLOAT && x->width == (int)sizeof(real) && !x->big_endian) {
		memcpy(out, p, (size_t)n * sizeof(real));
		return;
	}
	for (int64_t i = 0; i < n; i++, p += x->width)
		out[i] = convert_one(x, p);
}

/* The first value of a dataset whose values lie in one piece. */
static const uint8_t *first_value(const struct dataset *d)
{
	return d->x.count > 0 && d->layout != CHUNKED ? d->x.values : NULL;
}

enum moka_status moka_h5_read_number(struct moka_h5 *h, moka_h5_object dataset, const char *name, int64_t *out,
				     struct moka_error *err)
{
	struct dataset d = { .h = h, .name = name };
	uint64_t v = 0;

	MOKA_TRY(open_dataset(&d, dataset, err));
	const uint8_t *p = first_value(&d);

	if (!p || d.x.number == MOKA_H5_FLOAT)
		return unsupported(&d, "holds no single whole number", err);
	for (int i = 0; i < d.x.width; i++)
		v |= (uint64_t)p[d.x.big_endian ? d.x.width - 1 - i : i] << 8 * i;
	*out = d.x.number == MOKA_H5_UINT ? (int64_t)v : (int64_t)(v << (64 - 8 * d.x.width)) >> (64 - 8 * d.x.width);
	return MOKA_OK;
}

enum moka_status moka_h5_read_text(struct moka_h5 *h, moka_h5_object dataset, const char *name, struct moka_arena *a,
				   const char **out, struct moka_error *err)
{
	struct dataset d = { .h = h, .name = name, .text = true };

	MOKA_TRY(open_dataset(&d, dataset, err));
	const char *p = (const char *)first_value(&d);

	if (!p)
		return unsupported(&d, "holds no text", err);
	*out = moka_arena_strndup(a, p, strnlen(p, (size_t)d.x.width));
	return *out ? MOKA_OK : moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for '%s'", h->path, name);
}

/* ---- chunks ----------------------------------------------------------------------------------------------- */

/* Rows [begin, begin + rows) go to out. Two buffers of a chunk's bytes, for filters. */
struct chunk_read {
	struct dataset *d;
	int64_t begin, rows;
	real *out;
	uint8_t *a, *b;
	size_t bytes;	     /* of a chunk, unpacked */
	int64_t chunks_left; /* as many as the shape has; a tree with more goes in circles */
	struct moka_error *err;
};

static enum moka_status inflate_chunk(struct chunk_read *r, const uint8_t *in, size_t n, uint8_t *out, size_t *got)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)in,
		       .avail_in = (uInt)n,
		       .next_out = out,
		       .avail_out = (uInt)(r->bytes + 4) };
	int code;

	if (inflateInit(&z) != Z_OK)
		return moka_fail(r->err, MOKA_ERR_NOMEM, "%s: not enough memory to unpack '%s'", r->d->h->path,
				 r->d->name);
	code = inflate(&z, Z_FINISH);
	*got = z.total_out;
	inflateEnd(&z);
	return code == Z_STREAM_END ? MOKA_OK : damaged(r->d, "has a chunk that can't be unpacked", r->err);
}

/* Fletcher's sum over words of 16 bits, the first byte the higher one. */
static uint32_t checksum(const uint8_t *p, size_t n)
{
	uint64_t a = 0, b = 0;

	for (size_t i = 0; i < n; i += 2) {
		a = (a + ((uint64_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0))) % 65535;
		b = (b + a) % 65535;
	}
	return (uint32_t)(b << 16 | a);
}

/* The sum behind the chunk; older libraries wrote its halves with their bytes swapped. A sum of 65535 is one of 0. */
static bool checksum_fits(const uint8_t *p, size_t n)
{
	const uint32_t want = checksum(p, n), got = (uint32_t)moka__h5_number(p + n, 4);
	const uint32_t swapped = (got >> 8 & 0x00ff00ff) | (got << 8 & 0xff00ff00);

	for (int i = 0; i < 2; i++) {
		const uint32_t v = i ? swapped : got;

		if ((v & 0xffff) % 65535 == (want & 0xffff) && (v >> 16) % 65535 == want >> 16)
			return true;
	}
	return false;
}

/* All first bytes of the values, then all second bytes ...: back into order. */
static void unshuffle(const uint8_t *in, size_t n, int width, uint8_t *out)
{
	const size_t count = n / (size_t)width;

	for (int i = 0; i < width; i++)
		for (size_t k = 0; k < count; k++)
			out[k * (size_t)width + (size_t)i] = in[(size_t)i * count + k];
	memcpy(out + count * (size_t)width, in + count * (size_t)width, n % (size_t)width);
}

/* Undoes the filters, last first. *p: where the values are in the end. */
static enum moka_status unpack(struct chunk_read *r, const uint8_t *in, size_t n, uint64_t mask, const uint8_t **p)
{
	const struct dataset *d = r->d;
	uint8_t *to = r->a;

	for (int i = d->n_filters - 1; i >= 0; i--) {
		if (mask >> i & 1)
			continue;
		if (d->filters[i] == FILTER_CHECKSUM) {
			if (n < 4)
				return damaged(d, "has a chunk that is too short", r->err);
			n -= 4;
			if (!checksum_fits(in, n))
				return damaged(d, "has a chunk that does not fit its checksum", r->err);
			continue;
		}
		if (d->filters[i] == FILTER_DEFLATE) {
			MOKA_TRY(inflate_chunk(r, in, n, to, &n));
		} else {
			if (n > r->bytes + 4)
				return damaged(d, "has a chunk that is too long", r->err);
			unshuffle(in, n, d->x.width, to);
		}
		in = to;
		to = to == r->a ? r->b : r->a;
	}
	if (n < r->bytes)
		return damaged(d, "has a chunk that is too short", r->err);
	*p = in;
	return MOKA_OK;
}

/* Copies the part of a chunk that lies in the dataset and in the wanted rows, run by run of the last axis. */
static void place(const struct chunk_read *r, const int64_t *at, const uint8_t *values)
{
	const struct moka_h5_dataset *x = &r->d->x;
	const int64_t *chunk = r->d->chunk;
	const int last = x->n_axes - 1;
	int64_t run = chunk[last], index[MOKA_MAX_AXES] = { 0 };

	for (int64_t from = 0; from < r->d->chunk_count; from += run) {
		int64_t to = 0, n = MOKA_MIN(run, x->dim[last] - at[last]), left = from / run;
		bool inside = true;

		for (int i = last - 1; i >= 0; i--) {
			index[i] = left % chunk[i];
			left /= chunk[i];
		}
		if (!last)
			n = MOKA_MIN(n, r->begin + r->rows - at[0]);
		for (int i = 0; i < last; i++) {
			const int64_t v = at[i] + index[i];

			inside &= v < x->dim[i] && (i || (v >= r->begin && v < r->begin + r->rows));
			to = to * x->dim[i] + (i ? v : v - r->begin);
		}
		if (!inside)
			continue;
		if (last) {
			convert(x, values + (size_t)from * (size_t)x->width, n, r->out + to * x->dim[last] + at[last]);
		} else {
			const int64_t skip = MOKA_MAX(r->begin - at[0], (int64_t)0);

			if (n > skip)
				convert(x, values + (size_t)skip * (size_t)x->width, n - skip,
					r->out + at[0] + skip - r->begin);
		}
	}
}

/* key: bytes (4), filters left out (4), offsets of 8 bytes for each axis and one more */
static enum moka_status read_chunk(struct chunk_read *r, const uint8_t *key, uint64_t address)
{
	const struct dataset *d = r->d;
	const uint64_t bytes = moka__h5_number(key, 4);
	int64_t at[MOKA_MAX_AXES];
	const uint8_t *p;

	for (int i = 0; i < d->x.n_axes; i++) {
		const uint64_t v = moka__h5_number(key + 8 + 8 * i, 8);

		if (v >= (uint64_t)d->x.dim[i]) /* outside of a dataset that was made smaller */
			return MOKA_OK;
		at[i] = (int64_t)v;
		if (at[i] % d->chunk[i])
			return damaged(d, "has a chunk at an impossible place", r->err);
	}
	if (at[0] >= r->begin + r->rows || at[0] + d->chunk[0] <= r->begin)
		return MOKA_OK;
	if (--r->chunks_left < 0)
		return damaged(d, "has more chunks than its shape", r->err);
	p = moka__h5_at(d->h, address, bytes);
	if (!p)
		return damaged(d, "has a chunk that lies behind the end of the file", r->err);
	MOKA_TRY(unpack(r, p, (size_t)bytes, moka__h5_number(key + 4, 4), &p));
	place(r, at, p);
	return MOKA_OK;
}

static enum moka_status read_chunk_tree(struct chunk_read *r, uint64_t address, int depth)
{
	struct moka_h5 *h = r->d->h;
	const size_t o = (size_t)h->offset_bytes, head = 8 + 2 * o, key = 8 + 8 * ((size_t)r->d->x.n_axes + 1),
		     step = key + o;
	const uint8_t *p = moka__h5_at(h, address, head);
	int level;
	size_t n;

	if (!p || memcmp(p, "TREE", 4) || p[4] != 1 || depth > 32)
		return damaged(r->d, "has chunks that can't be found", r->err);
	level = p[5];
	n = (size_t)moka__h5_number(p + 6, 2);
	p = moka__h5_at(h, address + head, n * step);
	if (!p)
		return damaged(r->d, "has chunks that can't be found", r->err);
	for (size_t i = 0; i < n; i++, p += step) {
		if (!moka__h5_step(h))
			return damaged(r->d, "has chunks that lead in circles", r->err);
		MOKA_TRY(level ? read_chunk_tree(r, moka__h5_number(p + key, (int)o), depth + 1)
			       : read_chunk(r, p, moka__h5_number(p + key, (int)o)));
	}
	return MOKA_OK;
}

static int64_t grid_chunks(const struct dataset *d)
{
	int64_t n = 1;

	for (int i = 0; i < d->x.n_axes; i++)
		if (!moka_mul(n, d->x.dim[i] / d->chunk[i] + 1, &n))
			return INT64_MAX;
	return n;
}

static enum moka_status read_chunks(struct dataset *d, int64_t begin, int64_t rows, int64_t row, real *out,
				    struct moka_error *err)
{
	struct chunk_read r = {
		.d = d, .begin = begin, .rows = rows, .out = out, .chunks_left = grid_chunks(d), .err = err
	};
	enum moka_status st;
	int64_t bytes;

	memset(out, 0, (size_t)(rows * row) * sizeof(real)); /* chunks that were never written */
	if (moka__h5_undefined(d->h, d->tree))
		return MOKA_OK;
	if (!moka_mul(d->chunk_count, d->x.width, &bytes) || (uint64_t)bytes / MOST_COMPRESSION > d->h->size ||
	    bytes > (int64_t)1 << 31)
		return damaged(d, "has chunks of an impossible size", err);
	r.bytes = (size_t)bytes;
	r.a = malloc(r.bytes + 4);
	r.b = malloc(r.bytes + 4);
	st = r.a && r.b ? read_chunk_tree(&r, d->tree, 0)
			: moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory to read '%s'", d->h->path, d->name);
	free(r.a);
	free(r.b);
	return st;
}

enum moka_status moka_h5_read(struct moka_h5 *h, moka_h5_object dataset, const char *name, int64_t begin, int64_t n,
			      real *out, struct moka_error *err)
{
	struct dataset d = { .h = h, .name = name };
	const int64_t steps = h->steps; /* reading again and again is no circle */
	enum moka_status st;
	int64_t rows, row;

	MOKA_TRY(open_dataset(&d, dataset, err));
	rows = d.x.n_axes ? d.x.dim[0] : 1;
	if (begin < 0 || n < 0 || n > rows || begin > rows - n)
		return moka_fail(err, MOKA_ERR_DATA, "%s: '%s' has no rows %" PRId64 " to %" PRId64, h->path, name,
				 begin, begin + n - 1);
	row = rows ? d.x.count / rows : 0;
	if (!n || !row)
		return MOKA_OK;
	if (d.layout == CHUNKED) {
		st = read_chunks(&d, begin, n, row, out, err);
	} else {
		convert(&d.x, d.x.values + (size_t)(begin * row) * (size_t)d.x.width, n * row, out);
		st = MOKA_OK;
	}
	h->steps = steps;
	return st;
}
