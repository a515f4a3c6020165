/*
 * varint.c - the smallest pieces of the wire format: varints, tags, stepping over a value, walking a run.
 */
#include "internal.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "fixed-width values are read and written as they lie in memory");

#define MOST_NUMBER ((1u << 29) - 1)

bool moka__varint_read(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
	const uint8_t *q = *p;
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && q < end; shift += 7) {
		uint8_t b = *q++;
		/* the tenth byte has one bit left for us; like protoc, the rest is dropped */
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*out = v;
			*p = q;
			return true;
		}
	}
	return false;
}

int moka__varint_write(uint8_t *out, uint64_t v)
{
	int n = 0;

	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	return n;
}

int moka__varint_size(uint64_t v)
{
	int n = 1;

	while (v >= 0x80)
		v >>= 7, n++;
	return n;
}

bool moka__tag_read(const uint8_t **p, const uint8_t *end, uint32_t *number, int *wire)
{
	uint64_t tag;

	if (!moka__varint_read(p, end, &tag) || tag > UINT32_MAX)
		return false;
	*number = (uint32_t)(tag >> 3);
	*wire = (int)(tag & 7);
	return *number > 0 && *number <= MOST_NUMBER && *wire <= MOKA__FIXED32;
}

/* Steps over the fields of a group up to its end tag; *n: the bytes before that tag. */
static bool skip_group(const uint8_t **p, const uint8_t *end, uint32_t number, int depth, size_t *n)
{
	const uint8_t *start = *p;

	while (*p < end) {
		const uint8_t *before = *p;
		uint32_t inner;
		int wire;

		if (!moka__tag_read(p, end, &inner, &wire))
			return false;
		if (wire == MOKA__GROUP_END) {
			*n = (size_t)(before - start);
			return inner == number;
		}
		if (!moka__wire_skip(p, end, inner, wire, depth - 1, NULL, NULL))
			return false;
	}
	return false;
}

bool moka__wire_skip(const uint8_t **p, const uint8_t *end, uint32_t number, int wire, int depth, const uint8_t **value,
		     size_t *n)
{
	const uint8_t *start = *p;
	size_t left = (size_t)(end - *p), bytes = 0;
	uint64_t v;

	switch (wire) {
	case MOKA__VARINT:
		if (!moka__varint_read(p, end, &v))
			return false;
		bytes = (size_t)(*p - start);
		break;
	case MOKA__FIXED64:
	case MOKA__FIXED32:
		bytes = wire == MOKA__FIXED64 ? 8 : 4;
		if (left < bytes)
			return false;
		*p += bytes;
		break;
	case MOKA__BYTES:
		if (!moka__varint_read(p, end, &v) || v > (uint64_t)(end - *p))
			return false;
		start = *p;
		bytes = (size_t)v;
		*p += bytes;
		break;
	case MOKA__GROUP:
		if (depth <= 0 || !skip_group(p, end, number, depth, &bytes))
			return false;
		break;
	default:
		return false;
	}
	if (value)
		*value = start;
	if (n)
		*n = bytes;
	return true;
}

int64_t moka__varint_value(enum moka_kind kind, uint64_t v)
{
	switch (kind) {
	case MOKA_INT32:
	case MOKA_ENUM:
		return (int32_t)(uint32_t)v;
	case MOKA_UINT32:
		return (int64_t)(uint32_t)v;
	case MOKA_BOOL:
		return v != 0;
	default:
		return (int64_t)v;
	}
}

int moka__wire_of(enum moka_kind kind)
{
	if (moka__is_varint(kind))
		return MOKA__VARINT;
	if (kind == MOKA_FLOAT)
		return MOKA__FIXED32;
	return kind == MOKA_DOUBLE ? MOKA__FIXED64 : MOKA__BYTES;
}

struct moka__run_walk moka__run_start(const struct moka_run *r, enum moka_kind kind)
{
	return (struct moka__run_walk){ r->p, r->count, r->skip, kind, r->bytes ? r->p + r->bytes : r->p };
}

bool moka__run_int(struct moka__run_walk *w, int64_t *out)
{
	uint64_t v;

	if (!w->left)
		return false;
	w->p += w->skip;
	if (!moka__varint_read(&w->p, w->end, &v))
		return false;
	w->left--;
	*out = moka__varint_value(w->kind, v);
	return true;
}

bool moka__run_real(struct moka__run_walk *w, double *out)
{
	if (!w->left)
		return false;
	w->p += w->skip;
	if (w->kind == MOKA_FLOAT) {
		float v;
		memcpy(&v, w->p, sizeof(v));
		w->p += sizeof(v);
		*out = v;
	} else {
		memcpy(out, w->p, sizeof(*out));
		w->p += sizeof(*out);
	}
	w->left--;
	return true;
}
