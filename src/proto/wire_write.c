/*
 * wire_write.c - tree -> bytes, as `protoc --encode` writes them.
 *
 * Fields go out by number, those of one number in the order of the tree; what no table knows follows, in its own order. A
 * length stands before every message, so sizes are computed on the way down; Caffe's messages nest a handful of levels.
 * Numbers are found by asking again and again for the next larger one: messages have few distinct fields, and no memory
 * is needed that could be missing.
 */
#include "internal.h"

#include <string.h>

struct sink {
	struct moka_out *out;
	struct moka_buf *buf;
	struct moka_error *err;
	enum moka_status status;
};

static void put(struct sink *s, const void *p, size_t n)
{
	if (s->status)
		return;
	if (s->out)
		s->status = moka_out_write(s->out, p, n, s->err);
	else
		moka_buf_add(s->buf, p, n);
}

static void put_varint(struct sink *s, uint64_t v)
{
	uint8_t b[10];

	put(s, b, (size_t)moka__varint_write(b, v));
}

static void put_tag(struct sink *s, uint32_t number, int wire)
{
	put_varint(s, (uint64_t)number << 3 | (unsigned)wire);
}

static uint64_t tag_size(uint32_t number)
{
	return (uint64_t)moka__varint_size((uint64_t)number << 3);
}

/* The next field number above `last` among the known fields of m; 0: none. */
static uint64_t next_number(const struct moka_msg *m, uint64_t last)
{
	uint64_t best = 0;

	for (const struct moka_node *n = m->first; n; n = n->next)
		if (n->field && n->field->number > last && (!best || n->field->number < best))
			best = n->field->number;
	return best;
}

static bool has_number(const struct moka_node *n, uint64_t number)
{
	return n->field && n->field->number == number && n->kind != MOKA_NODE_NAME;
}

/* The first and the last node of a number. NULL: none that can be written. */
static const struct moka_node *find_number(const struct moka_msg *m, uint64_t number, const struct moka_node **last)
{
	const struct moka_node *first = NULL;

	for (const struct moka_node *n = m->first; n; n = n->next)
		if (has_number(n, number)) {
			first = first ? first : n;
			*last = n;
		}
	return first;
}

/* ---- sizes ------------------------------------------------------------------------------------------ */

static uint64_t message_size(const struct moka_msg *m);

static size_t value_count(const struct moka_node *n)
{
	return n->kind == MOKA_NODE_RUN ? n->u.run.count : 1;
}

/* Bytes of a number node's values, without tags. */
static uint64_t numbers_size(const struct moka_node *n)
{
	enum moka_kind kind = n->field->kind;
	struct moka__run_walk w;
	uint64_t bytes = 0;
	int64_t v;

	if (moka__is_real(kind))
		return value_count(n) * (kind == MOKA_FLOAT ? 4u : 8u);
	if (n->kind != MOKA_NODE_RUN)
		return (uint64_t)moka__varint_size((uint64_t)n->u.i);
	w = moka__run_start(&n->u.run, kind);
	while (moka__run_int(&w, &v))
		bytes += (uint64_t)moka__varint_size((uint64_t)v);
	return bytes;
}

/* Bytes of one node, its tags and length included. Not for packed ones. */
static uint64_t node_size(const struct moka_node *n)
{
	uint64_t tag = tag_size(n->field->number), body;

	if (n->kind == MOKA_NODE_MESSAGE)
		body = message_size(n->u.m);
	else if (n->kind == MOKA_NODE_STRING)
		body = n->u.s.n;
	else
		return value_count(n) * tag + numbers_size(n);
	return tag + (uint64_t)moka__varint_size(body) + body;
}

static uint64_t raw_size(const struct moka_node *n)
{
	uint64_t tag = tag_size(n->number);
	const uint8_t *p = (const uint8_t *)n->u.s.p;
	uint64_t v = 0;

	switch (n->wire) {
	case MOKA__VARINT:
		moka__varint_read(&p, p + n->u.s.n, &v);
		return tag + (uint64_t)moka__varint_size(v);
	case MOKA__BYTES:
		return tag + (uint64_t)moka__varint_size(n->u.s.n) + n->u.s.n;
	case MOKA__GROUP:
		return 2 * tag + n->u.s.n;
	default:
		return tag + n->u.s.n;
	}
}

/* Bytes of all values of a packed field. */
static uint64_t packed_size(const struct moka_node *first, uint64_t number)
{
	uint64_t bytes = 0;

	for (const struct moka_node *n = first; n; n = n->next)
		if (has_number(n, number))
			bytes += numbers_size(n);
	return bytes;
}

static uint64_t field_size(const struct moka_msg *m, uint64_t number)
{
	const struct moka_node *last = NULL, *first = find_number(m, number, &last);
	uint64_t bytes = 0;

	if (!first)
		return 0;
	if (!moka__is_repeated(last->field))
		return node_size(last);
	if (first->field->label == MOKA_PACKED) {
		bytes = packed_size(first, number);
		return bytes ? tag_size(first->field->number) + (uint64_t)moka__varint_size(bytes) + bytes : 0;
	}
	for (const struct moka_node *n = first; n; n = n->next)
		if (has_number(n, number))
			bytes += node_size(n);
	return bytes;
}

static uint64_t message_size(const struct moka_msg *m)
{
	uint64_t bytes = 0;

	for (uint64_t number = next_number(m, 0); number; number = next_number(m, number))
		bytes += field_size(m, number);
	for (const struct moka_node *n = m->first; n; n = n->next)
		if (n->kind == MOKA_NODE_RAW)
			bytes += raw_size(n);
	return bytes;
}

/* ---- bytes ---------------------------------------------------------------------------------------------- */

static void write_message(struct sink *s, const struct moka_msg *m);

static void write_real(struct sink *s, enum moka_kind kind, double d)
{
	float f = (float)d;

	if (kind == MOKA_FLOAT)
		put(s, &f, sizeof(f));
	else
		put(s, &d, sizeof(d));
}

/* The values of a number node; tagged: each behind its tag. */
static void write_numbers(struct sink *s, const struct moka_node *n, bool tagged)
{
	enum moka_kind kind = n->field->kind;
	struct moka_run one = { 0 };
	struct moka__run_walk w = moka__run_start(n->kind == MOKA_NODE_RUN ? &n->u.run : &one, kind);
	int wire = moka__wire_of(kind);
	int64_t i = n->u.i;
	double d;

	if (n->kind == MOKA_NODE_RUN && !tagged && moka__is_real(kind) && !n->u.run.skip) {
		put(s, n->u.run.p, n->u.run.bytes);
		return;
	}
	if (moka__is_real(kind)) {
		d = n->u.d;
		while (n->kind == MOKA_NODE_RUN ? moka__run_real(&w, &d) : true) {
			if (tagged)
				put_tag(s, n->field->number, wire);
			write_real(s, kind, d);
			if (n->kind != MOKA_NODE_RUN)
				break;
		}
		return;
	}
	while (n->kind == MOKA_NODE_RUN ? moka__run_int(&w, &i) : true) {
		if (tagged)
			put_tag(s, n->field->number, wire);
		put_varint(s, (uint64_t)i);
		if (n->kind != MOKA_NODE_RUN)
			break;
	}
}

static void write_node(struct sink *s, const struct moka_node *n)
{
	if (n->kind == MOKA_NODE_MESSAGE) {
		put_tag(s, n->field->number, MOKA__BYTES);
		put_varint(s, message_size(n->u.m));
		write_message(s, n->u.m);
	} else if (n->kind == MOKA_NODE_STRING) {
		put_tag(s, n->field->number, MOKA__BYTES);
		put_varint(s, n->u.s.n);
		put(s, n->u.s.p, n->u.s.n);
	} else {
		write_numbers(s, n, true);
	}
}

static void write_raw(struct sink *s, const struct moka_node *n)
{
	const uint8_t *p = (const uint8_t *)n->u.s.p;
	uint64_t v = 0;

	put_tag(s, n->number, n->wire);
	if (n->wire == MOKA__VARINT) {
		moka__varint_read(&p, p + n->u.s.n, &v);
		put_varint(s, v);
		return;
	}
	if (n->wire == MOKA__BYTES)
		put_varint(s, n->u.s.n);
	put(s, n->u.s.p, n->u.s.n);
	if (n->wire == MOKA__GROUP)
		put_tag(s, n->number, MOKA__GROUP_END);
}

static void write_field(struct sink *s, const struct moka_msg *m, uint64_t number)
{
	const struct moka_node *last = NULL, *first = find_number(m, number, &last);
	uint64_t bytes;

	if (!first)
		return;
	if (!moka__is_repeated(last->field)) {
		write_node(s, last);
		return;
	}
	if (first->field->label == MOKA_PACKED) {
		bytes = packed_size(first, number);
		if (!bytes)
			return;
		put_tag(s, first->field->number, MOKA__BYTES);
		put_varint(s, bytes);
	}
	for (const struct moka_node *n = first; n; n = n->next)
		if (has_number(n, number)) {
			if (first->field->label == MOKA_PACKED)
				write_numbers(s, n, false);
			else
				write_node(s, n);
		}
}

static void write_message(struct sink *s, const struct moka_msg *m)
{
	for (uint64_t number = next_number(m, 0); number && !s->status; number = next_number(m, number))
		write_field(s, m, number);
	for (const struct moka_node *n = m->first; n; n = n->next)
		if (n->kind == MOKA_NODE_RAW)
			write_raw(s, n);
}

enum moka_status moka_wire_size(const struct moka_msg *m, uint64_t *bytes)
{
	*bytes = message_size(m);
	return MOKA_OK;
}

enum moka_status moka_wire_write(const struct moka_msg *m, struct moka_out *out, struct moka_error *err)
{
	struct sink s = { .out = out, .err = err };

	write_message(&s, m);
	return s.status;
}

enum moka_status moka_wire_write_buf(const struct moka_msg *m, struct moka_buf *out)
{
	struct sink s = { .buf = out };

	write_message(&s, m);
	return out->failed ? MOKA_ERR_NOMEM : s.status;
}
