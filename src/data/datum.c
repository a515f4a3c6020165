/*
 * datum.c - one record of a Caffe database, read in place.
 *
 * A record is read for every sample of every batch, so this is not the general reader: it allocates nothing and knows the seven
 * fields of Datum. Others (NVIDIA's record_id) are stepped over.
 */
#include "data/data.h"

#include <inttypes.h>
#include <string.h>

struct cursor {
	const uint8_t *p, *end;
	size_t at; /* where the current field began, for messages */
};

static bool varint(struct cursor *c, uint64_t *v)
{
	*v = 0;
	for (int shift = 0; c->p < c->end && shift < 64; shift += 7) {
		const uint8_t b = *c->p++;

		*v |= (uint64_t)(b & 127) << shift;
		if (b < 128)
			return true;
	}
	return false;
}

static bool take(struct cursor *c, uint64_t n, const uint8_t **p)
{
	if (n > (uint64_t)(c->end - c->p))
		return false;
	*p = c->p;
	c->p += n;
	return true;
}

/* float_data, usually one tag and one value after another; anything irregular is refused, nobody writes it. */
static bool add_floats(struct moka_datum *d, const uint8_t *p, size_t n, uint32_t stride)
{
	if (!n)
		return true;
	if (!d->n_floats) {
		d->floats = p;
		d->float_stride = stride;
	} else if (d->float_stride != stride || p != d->floats + d->n_floats * (size_t)stride) {
		return false;
	}
	d->n_floats += n;
	return true;
}

static void set_number(struct moka_datum *d, uint64_t field, uint64_t v)
{
	switch (field) {
	case 1:
		d->channels = (int32_t)v;
		break;
	case 2:
		d->height = (int32_t)v;
		break;
	case 3:
		d->width = (int32_t)v;
		break;
	case 5:
		d->label = (int32_t)v;
		break;
	case 7:
		d->encoded = v != 0;
		break;
	}
}

static bool field(struct moka_datum *d, struct cursor *c)
{
	const uint8_t *p;
	uint64_t tag, v;

	if (!varint(c, &tag))
		return false;
	switch (tag & 7) {
	case 0:
		if (!varint(c, &v))
			return false;
		set_number(d, tag >> 3, v);
		return true;
	case 1:
		return take(c, 8, &p);
	case 2:
		if (!varint(c, &v) || !take(c, v, &p))
			return false;
		if (tag >> 3 == 4) {
			d->data = p;
			d->data_bytes = (size_t)v;
		}
		return tag >> 3 != 6 || (v % 4 == 0 && add_floats(d, p, (size_t)v / 4, 4));
	case 5:
		return take(c, 4, &p) && (tag >> 3 != 6 || add_floats(d, p, 1, 5));
	default:
		return false;
	}
}

static enum moka_status check(const struct moka_datum *d, const char *where, struct moka_error *err)
{
	int64_t n;

	if (d->encoded)
		return d->data_bytes ? MOKA_OK
				     : moka_fail(err, MOKA_ERR_DATA, "%s: an encoded record without a picture", where);
	if (d->channels < 1 || d->height < 1 || d->width < 1 || !moka_mul(d->channels, d->height, &n) ||
	    !moka_mul(n, d->width, &n))
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: its size is %" PRId64 "x%" PRId64 "x%" PRId64 ", which no picture has", where,
				 d->channels, d->height, d->width);
	if (d->data_bytes ? (uint64_t)n == d->data_bytes : (uint64_t)n == d->n_floats)
		return MOKA_OK;
	return moka_fail(err, MOKA_ERR_DATA,
			 "%s: its size is %" PRId64 "x%" PRId64 "x%" PRId64 ", which is %" PRId64
			 " values, but it holds %zu",
			 where, d->channels, d->height, d->width, n, d->data_bytes ? d->data_bytes : d->n_floats);
}

enum moka_status moka_datum_parse(struct moka_datum *d, const void *bytes, size_t n, const char *where,
				  struct moka_error *err)
{
	const uint8_t *begin = bytes;
	struct cursor c = { begin, begin + n, 0 };

	memset(d, 0, sizeof(*d));
	while (c.p < c.end) {
		c.at = (size_t)(c.p - begin);
		if (!field(d, &c))
			return moka_fail(err, MOKA_ERR_DATA,
					 "%s: not a Datum: its %zu bytes can't be followed beyond byte %zu", where, n,
					 c.at);
	}
	return check(d, where, err);
}

static void put_varint(struct moka_buf *out, uint64_t v)
{
	for (; v > 127; v >>= 7)
		moka_buf_putc(out, (char)(v | 128));
	moka_buf_putc(out, (char)v);
}

static void put_number(struct moka_buf *out, int number, int64_t v)
{
	moka_buf_putc(out, (char)(number << 3));
	put_varint(out, (uint64_t)v);
}

void moka_datum_write(const struct moka_datum *d, struct moka_buf *out)
{
	if (d->channels || d->height || d->width) {
		put_number(out, 1, d->channels);
		put_number(out, 2, d->height);
		put_number(out, 3, d->width);
	}
	if (d->data) {
		moka_buf_putc(out, 4 << 3 | 2);
		put_varint(out, d->data_bytes);
		moka_buf_add(out, d->data, d->data_bytes);
	}
	if (!d->no_label)
		put_number(out, 5, d->label);
	for (size_t i = 0; i < d->n_floats; i++) {
		moka_buf_putc(out, 6 << 3 | 5);
		moka_buf_add(out, d->floats + i * d->float_stride, 4);
	}
	if (d->encoded || d->says_plain)
		put_number(out, 7, d->encoded);
}
