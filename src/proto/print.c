/*
 * print.c - tree -> text, letter for letter as `protoc --decode` prints.
 *
 * Fields by number, those of one number in the order of the tree; what no table knows last: a binary's unknown fields by
 * number (as a message where the bytes can be read as one, which is what protoc guesses), a text's by name.
 */
#include "internal.h"

#include <string.h>

/* How deep protoc looks for messages within unknown bytes. */
#define GUESSES 10

struct printer {
	struct moka_buf *out;
	int indent;
};

static void print_message(struct printer *p, const struct moka_msg *m);

static void indent(struct printer *p)
{
	moka_buf_repeat(p->out, "  ", p->indent);
}

static void print_escaped(struct moka_buf *out, const char *s, size_t n)
{
	static const char plain[] = "nrt\"'\\";
	static const char meaning[] = "\n\r\t\"'\\";

	moka_buf_putc(out, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *special = c ? strchr(meaning, c) : NULL;
		if (special) {
			moka_buf_putc(out, '\\');
			moka_buf_putc(out, plain[special - meaning]);
		} else if (c < 0x20 || c >= 0x7f) {
			moka_buf_printf(out, "\\%03o", c);
		} else {
			moka_buf_putc(out, (char)c);
		}
	}
	moka_buf_putc(out, '"');
}

static void print_int(struct printer *p, const struct moka_field *field, int64_t v)
{
	const struct moka_enum_value *name = field->kind == MOKA_ENUM ? moka__enum_by_value(field->values, v) : NULL;

	indent(p);
	if (name)
		moka_buf_printf(p->out, "%s: %s\n", field->name, name->name);
	else if (field->kind == MOKA_BOOL)
		moka_buf_printf(p->out, "%s: %s\n", field->name, v ? "true" : "false");
	else if (field->kind == MOKA_UINT64)
		moka_buf_printf(p->out, "%s: %llu\n", field->name, (unsigned long long)v);
	else
		moka_buf_printf(p->out, "%s: %lld\n", field->name, (long long)v);
}

static void print_real(struct printer *p, const char *name, bool single, double v)
{
	char buf[32];

	if (single)
		moka__float_print((float)v, buf);
	else
		moka__double_print(v, buf);
	indent(p);
	moka_buf_printf(p->out, "%s: %s\n", name, buf);
}

static void print_group(struct printer *p, const char *name, const struct moka_msg *m)
{
	indent(p);
	moka_buf_printf(p->out, "%s {\n", name);
	p->indent++;
	print_message(p, m);
	p->indent--;
	indent(p);
	moka_buf_puts(p->out, "}\n");
}

static void print_run(struct printer *p, const struct moka_field *field, const struct moka_run *run)
{
	struct moka__run_walk w = moka__run_start(run, field->kind);
	int64_t i;
	double d;

	if (moka__is_real(field->kind)) {
		while (!p->out->failed && moka__run_real(&w, &d))
			print_real(p, field->name, field->kind == MOKA_FLOAT, d);
		return;
	}
	while (!p->out->failed && moka__run_int(&w, &i))
		print_int(p, field, i);
}

/* One node under its name: a known field, or one that a text gave and no table has. */
static void print_node(struct printer *p, const struct moka_node *n)
{
	const struct moka_field any = { .name = n->name, .kind = MOKA_INT64 };
	const struct moka_field *field = n->field ? n->field : &any;

	switch (n->kind) {
	case MOKA_NODE_INT:
		print_int(p, field, n->u.i);
		break;
	case MOKA_NODE_FLOAT:
		print_real(p, field->name, field->kind == MOKA_FLOAT, n->u.d);
		break;
	case MOKA_NODE_STRING:
		indent(p);
		moka_buf_printf(p->out, "%s: ", field->name);
		print_escaped(p->out, n->u.s.p, n->u.s.n);
		moka_buf_putc(p->out, '\n');
		break;
	case MOKA_NODE_NAME:
		indent(p);
		moka_buf_printf(p->out, "%s: %.*s\n", field->name, (int)n->u.s.n, n->u.s.p);
		break;
	case MOKA_NODE_MESSAGE:
		print_group(p, field->name, n->u.m);
		break;
	case MOKA_NODE_RUN:
		print_run(p, field, &n->u.run);
		break;
	case MOKA_NODE_RAW:
		break;
	}
}

/* ---- unknown bytes ------------------------------------------------------------------------------ */

/* Whether bytes can be read as a message. */
static bool looks_like_message(const uint8_t *p, size_t n, int depth)
{
	const uint8_t *end = p + n;
	uint32_t number;
	int wire;

	while (p < end)
		if (!moka__tag_read(&p, end, &number, &wire) ||
		    !moka__wire_skip(&p, end, number, wire, depth, NULL, NULL))
			return false;
	return true;
}

static void print_unknown(struct printer *p, uint32_t number, int wire, const uint8_t *value, size_t n, int guesses);

static void print_unknown_fields(struct printer *p, const uint8_t *at, size_t n, int guesses)
{
	const uint8_t *end = at + n, *value;
	uint32_t number;
	size_t bytes;
	int wire;

	while (at < end && moka__tag_read(&at, end, &number, &wire) &&
	       moka__wire_skip(&at, end, number, wire, MOKA_MAX_NESTING, &value, &bytes))
		print_unknown(p, number, wire, value, bytes, guesses);
}

static void print_unknown_group(struct printer *p, uint32_t number, const uint8_t *value, size_t n, int guesses)
{
	moka_buf_printf(p->out, "%u {\n", (unsigned)number);
	p->indent++;
	print_unknown_fields(p, value, n, guesses - 1);
	p->indent--;
	indent(p);
	moka_buf_puts(p->out, "}\n");
}

static void print_unknown(struct printer *p, uint32_t number, int wire, const uint8_t *value, size_t n, int guesses)
{
	const uint8_t *at = value;
	uint64_t v = 0;
	uint32_t w;

	indent(p);
	switch (wire) {
	case MOKA__VARINT:
		moka__varint_read(&at, at + n, &v);
		moka_buf_printf(p->out, "%u: %llu\n", (unsigned)number, (unsigned long long)v);
		break;
	case MOKA__FIXED64:
		memcpy(&v, value, sizeof(v));
		moka_buf_printf(p->out, "%u: 0x%016llx\n", (unsigned)number, (unsigned long long)v);
		break;
	case MOKA__FIXED32:
		memcpy(&w, value, sizeof(w));
		moka_buf_printf(p->out, "%u: 0x%08x\n", (unsigned)number, (unsigned)w);
		break;
	case MOKA__GROUP:
		print_unknown_group(p, number, value, n, guesses);
		break;
	default:
		if (n && guesses > 0 && looks_like_message(value, n, guesses)) {
			print_unknown_group(p, number, value, n, guesses);
			break;
		}
		moka_buf_printf(p->out, "%u: ", (unsigned)number);
		print_escaped(p->out, (const char *)value, n);
		moka_buf_putc(p->out, '\n');
	}
}

/* ---- messages -------------------------------------------------------------------------------------- */

static uint32_t next_number(const struct moka_msg *m, uint32_t last)
{
	uint32_t best = 0;

	for (const struct moka_node *n = m->first; n; n = n->next)
		if (n->field && n->field->number > last && (!best || n->field->number < best))
			best = n->field->number;
	return best;
}

static void print_field(struct printer *p, const struct moka_msg *m, uint32_t number)
{
	const struct moka_node *last = NULL;

	for (const struct moka_node *n = m->first; n; n = n->next)
		if (n->field && n->field->number == number) {
			if (moka__is_repeated(n->field))
				print_node(p, n);
			last = n;
		}
	if (last && !moka__is_repeated(last->field))
		print_node(p, last);
}

static void print_message(struct printer *p, const struct moka_msg *m)
{
	for (uint32_t number = next_number(m, 0); number && !p->out->failed; number = next_number(m, number))
		print_field(p, m, number);
	for (const struct moka_node *n = m->first; n; n = n->next) {
		if (n->kind == MOKA_NODE_RAW)
			print_unknown(p, n->number, n->wire, (const uint8_t *)n->u.s.p, n->u.s.n, GUESSES);
		else if (!n->field)
			print_node(p, n);
	}
}

void moka_text_print(const struct moka_msg *m, struct moka_buf *out)
{
	struct printer p = { out, 0 };

	print_message(&p, m);
}
