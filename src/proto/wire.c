/*
 * wire.c - bytes -> tree. The way back is in wire_write.c.
 *
 * Nothing large is copied or even looked at: a packed run of numbers becomes one node that points to it. What a file
 * can claim is checked against what it holds: a length against the bytes that are left, nesting against a limit, the number
 * of nodes against another.
 *
 * As protoc reads: a field that no table has, or whose wire type does not fit its table, is unknown and kept; so is a value
 * that is none of its enum's; a singular value given again replaces the first, a singular message is merged into it.
 */
#include "internal.h"

#include <string.h>

/* Singular fields of one message that were met already. A message that is merged again goes on where it was. */
struct seen {
	struct moka_node *node;
	struct seen *inside, *next;
};

struct reader {
	struct moka_arena *arena;
	struct moka__lookup lookup;
	const struct moka_text *text;
	const uint8_t *base;
	size_t nodes;
	struct moka_error *err;
};

/* One message on the way down. */
struct frame {
	const struct frame *up;
	const char *name; /* of the field that holds it; NULL at the root */
	struct moka_msg *m;
	struct seen **seen;
	int depth;
};

/* "layer.blobs.data" */
static void path_text(const struct frame *at, const char *name, char *buf, size_t size)
{
	size_t n;

	buf[0] = 0;
	if (at && at->name)
		path_text(at->up, at->name, buf, size);
	n = strlen(buf);
	if (name)
		snprintf(buf + n, size - n, "%s%s", n ? "." : "", name);
}

static const char *file_name(const struct reader *r)
{
	return r->text && r->text->path ? r->text->path : "bytes";
}

static enum moka_status no_memory(const struct reader *r)
{
	return moka_fail(r->err, MOKA_ERR_NOMEM, "%s: no memory for its tree", file_name(r));
}

/* What is wrong at p, in the field `name` (NULL: not known yet) of the message `at`. */
static enum moka_status damaged(const struct reader *r, const struct frame *at, const char *name, const uint8_t *p,
				const char *what)
{
	char path[256];

	path_text(at, name, path, sizeof(path));
	moka_fail(r->err, MOKA_ERR_FORMAT, "%s: byte %zu%s%s%s: %s", file_name(r), (size_t)(p - r->base),
		  path[0] ? ", in " : "", path, path[0] ? " " : "", what);
	moka_fail_hint(r->err, "the file is cut short, damaged, or not a %s; compare its size with the original's",
		       at->up ? "Caffe file" : at->m->type->name);
	return MOKA_ERR_FORMAT;
}

static struct moka_node *add_node(struct reader *r, struct moka_msg *m, const struct moka_field *field,
				  enum moka_node_kind kind, enum moka_status *status)
{
	struct moka_node *n;

	if (++r->nodes > MOKA__MAX_NODES) {
		*status = moka_fail(r->err, MOKA_ERR_LIMIT, "%s: more than %zu fields; no Caffe file is like that",
				    file_name(r), MOKA__MAX_NODES);
		return NULL;
	}
	n = moka__append(r->arena, m, field, kind);
	*status = n ? MOKA_OK : no_memory(r);
	return n;
}

static enum moka_status add_raw(struct reader *r, struct moka_msg *m, uint32_t number, int wire, const uint8_t *value,
				size_t n)
{
	enum moka_status st;
	struct moka_node *x = add_node(r, m, NULL, MOKA_NODE_RAW, &st);

	if (!x)
		return st;
	x->number = number;
	x->wire = (uint8_t)wire;
	x->u.s.p = (const char *)value;
	x->u.s.n = n;
	return MOKA_OK;
}

static struct seen *find_seen(struct seen *s, uint32_t number)
{
	while (s && s->node->field->number != number)
		s = s->next;
	return s;
}

/* The node a value goes to: a new one, or, for a singular field met before, the old one. */
static enum moka_status take_node(struct reader *r, const struct frame *at, const struct moka_field *field,
				  enum moka_node_kind kind, struct moka_node **out, struct seen **seen)
{
	struct seen *s = moka__is_repeated(field) ? NULL : find_seen(*at->seen, field->number);
	enum moka_status st = MOKA_ERR_NOMEM;

	*out = s ? s->node : add_node(r, at->m, field, kind, &st);
	if (!*out)
		return st;
	if (!s && !moka__is_repeated(field)) {
		s = MOKA_NEW(r->arena, struct seen);
		if (!s)
			return no_memory(r);
		*s = (struct seen){ *out, NULL, *at->seen };
		*at->seen = s;
	}
	if (seen)
		*seen = s;
	return MOKA_OK;
}

/* ---- numbers ----------------------------------------------------------------------------------- */

/* Values in n bytes of packed numbers; false: the bytes don't divide into values. */
static bool count_packed(enum moka_kind kind, const uint8_t *p, size_t n, size_t *count)
{
	size_t width = kind == MOKA_FLOAT ? 4 : 8, since = 0;

	if (!moka__is_varint(kind)) {
		*count = n / width;
		return n % width == 0;
	}
	*count = 0;
	for (size_t i = 0; i < n; i++) {
		since++;
		if (since > 10)
			return false;
		if (!(p[i] & 0x80))
			(*count)++, since = 0;
	}
	return since == 0;
}

static enum moka_status add_run(struct reader *r, struct moka_msg *m, const struct moka_field *field,
				struct moka_run run)
{
	enum moka_status st;
	struct moka_node *n;

	if (!run.count)
		return MOKA_OK;
	n = add_node(r, m, field, MOKA_NODE_RUN, &st);
	if (n)
		n->u.run = run;
	return st;
}

static enum moka_status add_number(struct reader *r, const struct frame *at, const struct moka_field *field,
				   const uint8_t *p)
{
	struct moka_run one = { p, 10, 0, 0, 1 };
	struct moka__run_walk w = moka__run_start(&one, field->kind);
	struct moka_node *n;
	int64_t i = 0;

	if (moka__is_real(field->kind)) {
		MOKA_TRY(take_node(r, at, field, MOKA_NODE_FLOAT, &n, NULL));
		moka__run_real(&w, &n->u.d);
		return MOKA_OK;
	}
	/* the caller has seen that a whole varint lies here */
	moka__run_int(&w, &i);
	if (field->kind == MOKA_ENUM && field->values && !moka__enum_by_value(field->values, i))
		return add_raw(r, at->m, field->number, MOKA__VARINT, p, (size_t)(w.p - p));
	MOKA_TRY(take_node(r, at, field, MOKA_NODE_INT, &n, NULL));
	n->u.i = i;
	return MOKA_OK;
}

/* Packed numbers. Enums come one by one, since each may be none of its kind's. */
static enum moka_status read_packed(struct reader *r, const struct frame *at, const struct moka_field *field,
				    const uint8_t *p, size_t n)
{
	struct moka_run run = { .p = p, .bytes = n, .stride = field->kind == MOKA_FLOAT ? 4 : 8 };
	const uint8_t *end = p + n;

	if (!count_packed(field->kind, p, n, &run.count))
		return damaged(r, at, field->name, p, "the bytes don't divide into numbers");
	if (moka__is_varint(field->kind))
		run.stride = 0;
	if (field->kind != MOKA_ENUM)
		return add_run(r, at->m, field, run);
	while (p < end) {
		uint64_t v;
		const uint8_t *start = p;
		if (!moka__varint_read(&p, end, &v))
			break;
		MOKA_TRY(add_number(r, at, field, start));
	}
	return MOKA_OK;
}

/*
 * Unpacked numbers of a repeated field, one after another with the same tag: as many as follow become one run. `tag`
 * points to the first tag, *p behind it.
 */
static enum moka_status read_unpacked(struct reader *r, const struct frame *at, const struct moka_field *field,
				      const uint8_t *tag, const uint8_t **p, const uint8_t *end)
{
	size_t skip = (size_t)(*p - tag), width = field->kind == MOKA_FLOAT ? 4 : 8, count = 0;
	const uint8_t *q = tag;
	bool varint = moka__is_varint(field->kind);
	uint64_t v;

	while ((size_t)(end - q) >= skip && *q == *tag && (skip == 1 || !memcmp(q, tag, skip))) {
		const uint8_t *value = q + skip;
		if (varint ? !moka__varint_read(&value, end, &v) : (size_t)(end - value) < width)
			break;
		q = varint ? value : value + width;
		count++;
	}
	if (!count)
		return damaged(r, at, field->name, *p, "the bytes end within a number");
	*p = q;
	return add_run(r, at->m, field,
		       (struct moka_run){ tag, (size_t)(q - tag), varint ? 0 : (uint32_t)(skip + width), (uint32_t)skip,
					  count });
}

/* ---- messages ------------------------------------------------------------------------------------ */

static enum moka_status read_message(struct reader *r, const struct frame *at, const uint8_t *p, const uint8_t *end);

/* The layer's type decides what its other fields mean, so it is looked for first. The last one counts. */
static enum moka_status find_layer_type(struct reader *r, struct moka_msg *m, const uint8_t *p, const uint8_t *end)
{
	bool v1 = m->type == &moka_v1_layer_message;
	const uint8_t *value = NULL, *found = NULL;
	const struct moka_schema_layer *sl;
	uint32_t number;
	size_t n, found_n = 0;
	uint64_t v;
	int wire;

	if (!v1 && m->type != &moka_layer_message)
		return MOKA_OK;
	while (p < end && moka__tag_read(&p, end, &number, &wire) &&
	       moka__wire_skip(&p, end, number, wire, MOKA_MAX_NESTING, &value, &n))
		if (v1 ? number == 5 && wire == MOKA__VARINT : number == 2 && wire == MOKA__BYTES)
			found = value, found_n = n;
	if (!found)
		return MOKA_OK;
	if (v1) {
		moka__varint_read(&found, found + found_n, &v);
		sl = moka__v1_by_value(r->lookup.schema, moka__varint_value(MOKA_ENUM, v));
		m->layer_type = sl ? sl->type : NULL;
		return MOKA_OK;
	}
	m->layer_type = moka_arena_strndup(r->arena, (const char *)found, found_n);
	return m->layer_type ? MOKA_OK : no_memory(r);
}

static enum moka_status read_child(struct reader *r, const struct frame *at, const struct moka_field *field,
				   const uint8_t *p, size_t n)
{
	struct seen *seen = NULL, *fresh = NULL;
	struct frame child = { at, field->name, NULL, NULL, at->depth + 1 };
	struct moka_node *node;

	if (child.depth > MOKA_MAX_NESTING)
		return damaged(r, at, field->name, p, "messages are nested too deep");
	MOKA_TRY(take_node(r, at, field, MOKA_NODE_MESSAGE, &node, &seen));
	if (!node->u.m) {
		node->u.m = moka_msg_new(r->arena, field->message);
		if (!node->u.m)
			return no_memory(r);
		node->u.m->text = r->text;
	}
	child.m = node->u.m;
	child.seen = seen ? &seen->inside : &fresh;
	MOKA_TRY(find_layer_type(r, child.m, p, p + n));
	return read_message(r, &child, p, p + n);
}

/* The value of a field whose wire type is BYTES and fits. */
static enum moka_status read_bytes(struct reader *r, const struct frame *at, const struct moka_field *field,
				   const uint8_t *p, size_t n)
{
	struct moka_node *node;

	if (field->kind == MOKA_MESSAGE)
		return read_child(r, at, field, p, n);
	if (!moka__is_bytes(field->kind))
		return read_packed(r, at, field, p, n);
	MOKA_TRY(take_node(r, at, field, MOKA_NODE_STRING, &node, NULL));
	node->u.s.n = n;
	node->u.s.p = field->kind == MOKA_BYTES ? (const char *)p : moka_arena_strndup(r->arena, (const char *)p, n);
	return node->u.s.p ? MOKA_OK : no_memory(r);
}

static bool wire_fits(const struct moka_field *field, int wire)
{
	return moka__wire_of(field->kind) == wire ||
	       (wire == MOKA__BYTES && moka__is_repeated(field) && moka__wire_of(field->kind) != MOKA__BYTES);
}

static enum moka_status read_field(struct reader *r, const struct frame *at, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *tag = *p, *value;
	const struct moka_field *field;
	uint32_t number;
	int wire;
	size_t n;

	if (!moka__tag_read(p, end, &number, &wire))
		return damaged(r, at, NULL, tag, "no field can start here");
	field = moka__lookup_number(&r->lookup, at->m->type, at->m->layer_type, number);
	if (field && !wire_fits(field, wire))
		field = NULL;
	if (field && moka__is_repeated(field) && field->kind != MOKA_ENUM && wire != MOKA__BYTES)
		return read_unpacked(r, at, field, tag, p, end);
	if (!moka__wire_skip(p, end, number, wire, MOKA_MAX_NESTING, &value, &n)) {
		char unknown[32];
		snprintf(unknown, sizeof(unknown), "field %u", (unsigned)number);
		return damaged(r, at, field ? field->name : unknown, tag,
			       wire == MOKA__BYTES ? "the field is longer than what is left of the bytes"
						   : "the bytes end within the field");
	}
	if (!field)
		return add_raw(r, at->m, number, wire, value, n);
	if (wire == MOKA__BYTES)
		return read_bytes(r, at, field, value, n);
	return add_number(r, at, field, value);
}

static enum moka_status read_message(struct reader *r, const struct frame *at, const uint8_t *p, const uint8_t *end)
{
	while (p < end)
		MOKA_TRY(read_field(r, at, &p, end));
	return MOKA_OK;
}

enum moka_status moka_wire_parse(struct moka_arena *a, const void *bytes, size_t n, const struct moka_text *text,
				 const struct moka_message *root, const struct moka_schema *s, struct moka_error *err,
				 struct moka_msg **out)
{
	struct reader r = { .arena = a, .text = text, .base = bytes, .err = err };
	struct seen *seen = NULL;
	struct frame top = { .seen = &seen };

	*out = NULL;
	moka__lookup_init(&r.lookup, a, s);
	top.m = moka_msg_new(a, root);
	if (!top.m)
		return no_memory(&r);
	top.m->text = text;
	if (!n) {
		*out = top.m;
		return MOKA_OK;
	}
	MOKA_TRY(find_layer_type(&r, top.m, r.base, r.base + n));
	MOKA_TRY(read_message(&r, &top, r.base, r.base + n));
	*out = top.m;
	return MOKA_OK;
}
