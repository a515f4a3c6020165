/*
 * decode.c - tree -> C struct, as the field table says where each value goes.
 *
 *     field kind   in the struct                    absent
 *     number       int32_t, float ...               the table's default
 *     string       const char *                     the default, or NULL
 *     message      const struct X *                 NULL
 *     repeated     struct moka_list of the above    n is 0
 *     bytes        nowhere: they are looked at in the tree
 */
#include "internal.h"

#include <string.h>

static size_t value_size(enum moka_kind kind)
{
	switch (kind) {
	case MOKA_INT32:
	case MOKA_UINT32:
	case MOKA_ENUM:
		return 4;
	case MOKA_BOOL:
		return sizeof(bool);
	case MOKA_FLOAT:
		return sizeof(float);
	case MOKA_STRING:
	case MOKA_BYTES:
	case MOKA_MESSAGE:
		return sizeof(void *);
	default:
		return 8;
	}
}

static void store_int(void *to, enum moka_kind kind, int64_t v)
{
	int32_t v32 = (int32_t)v;
	bool b = v != 0;

	if (kind == MOKA_BOOL)
		memcpy(to, &b, sizeof(b));
	else if (value_size(kind) == 4)
		memcpy(to, &v32, sizeof(v32));
	else
		memcpy(to, &v, sizeof(v));
}

static void store_real(void *to, enum moka_kind kind, double v)
{
	float f = (float)v;

	if (kind == MOKA_FLOAT)
		memcpy(to, &f, sizeof(f));
	else
		memcpy(to, &v, sizeof(v));
}

static void store_default(void *to, const struct moka_field *f)
{
	if (moka__is_real(f->kind))
		store_real(to, f->kind, f->def);
	else if (moka__is_varint(f->kind))
		store_int(to, f->kind, (int64_t)f->def);
	else if (f->kind == MOKA_STRING)
		memcpy(to, &f->def_string, sizeof(f->def_string));
}

/* One node that is no run; false: no memory. A node of another kind (a value the reader complained about) is passed by. */
static bool store_node(struct moka_arena *a, void *to, const struct moka_field *f, const struct moka_node *n)
{
	const void *sub;

	if (n->kind == MOKA_NODE_INT && moka__is_varint(f->kind)) {
		store_int(to, f->kind, n->u.i);
	} else if (n->kind == MOKA_NODE_FLOAT && moka__is_real(f->kind)) {
		store_real(to, f->kind, n->u.d);
	} else if (n->kind == MOKA_NODE_STRING && f->kind == MOKA_STRING) {
		memcpy(to, &n->u.s.p, sizeof(n->u.s.p));
	} else if (n->kind == MOKA_NODE_MESSAGE && f->kind == MOKA_MESSAGE) {
		sub = moka_decode(a, n->u.m, f->message);
		memcpy(to, &sub, sizeof(sub));
		return sub != NULL;
	}
	return true;
}

static unsigned char *store_run(unsigned char *to, const struct moka_field *f, const struct moka_run *run)
{
	struct moka__run_walk w = moka__run_start(run, f->kind);
	size_t size = value_size(f->kind);
	int64_t i;
	double d;

	if (moka__is_real(f->kind)) {
		for (; moka__run_real(&w, &d); to += size)
			store_real(to, f->kind, d);
		return to;
	}
	for (; moka__run_int(&w, &i); to += size)
		store_int(to, f->kind, i);
	return to;
}

static size_t count_values(const struct moka_msg *m, const struct moka_field *f)
{
	size_t n = 0;

	for (const struct moka_node *x = m ? m->first : NULL; x; x = x->next)
		if (x->field && x->field->number == f->number)
			n += x->kind == MOKA_NODE_RUN ? x->u.run.count : 1;
	return n;
}

static bool store_list(struct moka_arena *a, struct moka_list *list, const struct moka_msg *m,
		       const struct moka_field *f)
{
	size_t size = value_size(f->kind);
	unsigned char *v;

	list->n = count_values(m, f);
	list->v = v = list->n ? moka_arena_alloc(a, list->n, size) : NULL;
	if (!list->n)
		return true;
	if (!v)
		return false;
	for (const struct moka_node *x = m->first; x; x = x->next) {
		if (!x->field || x->field->number != f->number)
			continue;
		if (x->kind == MOKA_NODE_RUN) {
			v = store_run(v, f, &x->u.run);
			continue;
		}
		if (!store_node(a, v, f, x))
			return false;
		v += size;
	}
	return true;
}

static bool store_single(struct moka_arena *a, void *to, const struct moka_msg *m, const struct moka_field *f)
{
	const struct moka_node *last = NULL;

	store_default(to, f);
	for (const struct moka_node *x = m ? m->first : NULL; x; x = x->next)
		if (x->field && x->field->number == f->number)
			last = x;
	return !last || store_node(a, to, f, last);
}

const void *moka_decode(struct moka_arena *a, const struct moka_msg *m, const struct moka_message *type)
{
	unsigned char *out;

	if (m && m->type)
		type = m->type;
	out = moka_arena_alloc(a, 1, type->size);
	if (!out)
		return NULL;
	for (const struct moka_field *f = type->fields; f && f->name; f++) {
		bool ok = true;
		if (f->offset == MOKA_NOWHERE)
			continue;
		if (moka__is_repeated(f)) {
			struct moka_list list = { 0 };
			ok = store_list(a, &list, m, f);
			memcpy(out + f->offset, &list, sizeof(list));
		} else {
			ok = store_single(a, out + f->offset, m, f);
		}
		if (!ok)
			return NULL;
	}
	return out;
}
