/*
 * tree.c - making a tree of messages, and looking into one.
 */
#include "internal.h"

#include <string.h>

/* ---- looking ------------------------------------------------------------------------------- */

static bool is_named(const struct moka_node *n, const char *name)
{
	const char *own = n->field ? n->field->name : n->name;

	return own && !strcmp(own, name);
}

const struct moka_node *moka_next(const struct moka_msg *m, const char *name, const struct moka_node *prev)
{
	const struct moka_node *n = prev ? prev->next : m ? m->first : NULL;

	while (n && !is_named(n, name))
		n = n->next;
	return n;
}

const struct moka_node *moka_get(const struct moka_msg *m, const char *name)
{
	const struct moka_node *last = NULL;

	for (const struct moka_node *n = moka_next(m, name, NULL); n; n = moka_next(m, name, n))
		last = n;
	return last;
}

int moka_count(const struct moka_msg *m, const char *name)
{
	size_t count = 0;

	for (const struct moka_node *n = moka_next(m, name, NULL); n; n = moka_next(m, name, n))
		count += n->kind == MOKA_NODE_RUN ? n->u.run.count : 1;
	return (int)MOKA_MIN(count, (size_t)INT32_MAX);
}

bool moka_has(const struct moka_msg *m, const char *name)
{
	return moka_next(m, name, NULL) != NULL;
}

/* The field in the message's own table. */
static const struct moka_field *own_field(const struct moka_msg *m, const char *name)
{
	for (const struct moka_field *f = m && m->type ? m->type->fields : NULL; f && f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

/* A double as an integer, without the undefined corners of a cast. */
static int64_t to_int(double v)
{
	if (!(v > -9.2e18))
		return v < 0 ? INT64_MIN : 0;
	return v < 9.2e18 ? (int64_t)v : INT64_MAX;
}

/* Walks all values of a repeated (or single) number, runs unrolled. */
struct walk {
	const struct moka_msg *m;
	const char *name;
	const struct moka_node *n;
	struct moka__run_walk run;
	bool in_run;
};

/* The next value, as both kinds of number; false: no more. */
static bool walk_next(struct walk *w, int64_t *i, double *d)
{
	bool is_real = w->in_run && moka__is_real(w->run.kind);

	if (w->in_run && (is_real ? moka__run_real(&w->run, d) : moka__run_int(&w->run, i))) {
		if (is_real)
			*i = to_int(*d);
		else
			*d = (double)*i;
		return true;
	}
	w->in_run = false;
	for (w->n = moka_next(w->m, w->name, w->n); w->n; w->n = moka_next(w->m, w->name, w->n)) {
		if (w->n->kind == MOKA_NODE_INT) {
			*i = w->n->u.i;
			*d = (double)*i;
			return true;
		}
		if (w->n->kind == MOKA_NODE_FLOAT) {
			*d = w->n->u.d;
			*i = to_int(*d);
			return true;
		}
		if (w->n->kind == MOKA_NODE_RUN) {
			w->run = moka__run_start(&w->n->u.run, w->n->field->kind);
			w->in_run = true;
			return walk_next(w, i, d);
		}
	}
	/* a walk that has ended stays ended */
	w->m = NULL;
	return false;
}

size_t moka_get_ints(const struct moka_msg *m, const char *name, int64_t *out, size_t max)
{
	struct walk w = { .m = m, .name = name };
	size_t n = 0;
	int64_t i;
	double d;

	for (; walk_next(&w, &i, &d); n++)
		if (n < max)
			out[n] = i;
	return n;
}

size_t moka_get_floats(const struct moka_msg *m, const char *name, double *out, size_t max)
{
	struct walk w = { .m = m, .name = name };
	size_t n = 0;
	int64_t i;
	double d;

	for (; walk_next(&w, &i, &d); n++)
		if (n < max)
			out[n] = d;
	return n;
}

/* The last value of a number; false: absent. */
static bool last_value(const struct moka_msg *m, const char *name, int64_t *i, double *d)
{
	const struct moka_node *n = moka_get(m, name);
	struct moka__run_walk run;

	if (!n)
		return false;
	switch (n->kind) {
	case MOKA_NODE_INT:
		*i = n->u.i;
		*d = (double)*i;
		return true;
	case MOKA_NODE_FLOAT:
		*d = n->u.d;
		*i = to_int(*d);
		return true;
	case MOKA_NODE_RUN:
		run = moka__run_start(&n->u.run, n->field->kind);
		if (moka__is_real(run.kind)) {
			while (moka__run_real(&run, d))
				*i = to_int(*d);
		} else {
			while (moka__run_int(&run, i))
				*d = (double)*i;
		}
		return true;
	default:
		return false;
	}
}

int64_t moka_get_int(const struct moka_msg *m, const char *name)
{
	const struct moka_field *f;
	int64_t i;
	double d;

	if (last_value(m, name, &i, &d))
		return i;
	f = own_field(m, name);
	return f ? to_int(f->def) : 0;
}

double moka_get_float(const struct moka_msg *m, const char *name)
{
	const struct moka_field *f;
	int64_t i;
	double d;

	if (last_value(m, name, &i, &d))
		return d;
	f = own_field(m, name);
	if (!f)
		return 0;
	return f->kind == MOKA_FLOAT ? (double)(float)f->def : f->def;
}

const char *moka_get_string(const struct moka_msg *m, const char *name, const char *otherwise)
{
	const struct moka_node *n = moka_get(m, name);
	const struct moka_field *f;

	/* bytes of a binary end without a NUL */
	if (n && (n->kind == MOKA_NODE_STRING || n->kind == MOKA_NODE_NAME) &&
	    !(n->field && n->field->kind == MOKA_BYTES))
		return n->u.s.p;
	f = own_field(m, name);
	return f && f->def_string ? f->def_string : otherwise;
}

struct moka_msg *moka_get_msg(const struct moka_msg *m, const char *name)
{
	const struct moka_node *n = moka_get(m, name);

	return n && n->kind == MOKA_NODE_MESSAGE ? n->u.m : NULL;
}

struct moka_loc moka_msg_loc(const struct moka_msg *m)
{
	return m ? (struct moka_loc){ m->text, m->line, m->column } : (struct moka_loc){ 0 };
}

struct moka_loc moka_node_loc(const struct moka_msg *m, const struct moka_node *n)
{
	if (!n || !n->line)
		return moka_msg_loc(m);
	return (struct moka_loc){ m ? m->text : NULL, n->line, n->column };
}

struct moka_loc moka_value_loc(const struct moka_msg *m, const struct moka_node *n)
{
	if (!n || !n->value_line)
		return moka_node_loc(m, n);
	return (struct moka_loc){ m ? m->text : NULL, n->value_line, n->value_column };
}

/* ---- making ---------------------------------------------------------------------------------- */

struct moka_msg *moka_msg_new(struct moka_arena *a, const struct moka_message *type)
{
	struct moka_msg *m = MOKA_NEW(a, struct moka_msg);

	if (m)
		m->type = type;
	return m;
}

/* Puts a node at the end. */
static struct moka_node *link_node(struct moka_msg *m, struct moka_node *n)
{
	if (m->last)
		m->last->next = n;
	else
		m->first = n;
	m->last = n;
	return n;
}

struct moka_node *moka__append(struct moka_arena *a, struct moka_msg *m, const struct moka_field *field,
			       enum moka_node_kind kind)
{
	struct moka_node *n = MOKA_NEW(a, struct moka_node);

	if (!n)
		return NULL;
	n->field = field;
	n->kind = kind;
	return link_node(m, n);
}

/* A new node for the field of that name. The name must be in the tables: asking for another is a mistake of the caller. */
static struct moka_node *add_named(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s,
				   const char *name, enum moka_node_kind kind)
{
	const struct moka_field *f = own_field(m, name);

	if (!f || (m->type == &moka_v1_layer_message && !strcmp(name, "type")))
		f = moka_field_by_name(a, s, m->type, m->layer_type, name);
	return f ? moka__append(a, m, f, kind) : NULL;
}

struct moka_node *moka_add_int(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s, const char *name,
			       int64_t v)
{
	struct moka_node *n = add_named(a, m, s, name, MOKA_NODE_INT);

	if (n && moka__is_real(n->field->kind)) {
		n->kind = MOKA_NODE_FLOAT;
		n->u.d = (double)v;
	} else if (n) {
		n->u.i = v;
	}
	return n;
}

struct moka_node *moka_add_float(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s,
				 const char *name, double v)
{
	struct moka_node *n = add_named(a, m, s, name, MOKA_NODE_FLOAT);

	if (!n)
		return NULL;
	if (!moka__is_real(n->field->kind)) {
		n->kind = MOKA_NODE_INT;
		n->u.i = to_int(v);
	} else {
		n->u.d = n->field->kind == MOKA_FLOAT ? (double)moka__to_float(v) : v;
	}
	return n;
}

struct moka_node *moka_add_bytes(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s,
				 const char *name, const void *v, size_t n)
{
	struct moka_node *x = add_named(a, m, s, name, MOKA_NODE_STRING);

	if (x) {
		x->u.s.p = v;
		x->u.s.n = n;
	}
	return x;
}

struct moka_node *moka_add_string(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s,
				  const char *name, const char *v)
{
	struct moka_node *n = moka_add_bytes(a, m, s, name, v, strlen(v));

	if (n && m->type == &moka_layer_message && n->field->number == 2)
		m->layer_type = v;
	return n;
}

struct moka_msg *moka_add_msg(struct moka_arena *a, struct moka_msg *m, const struct moka_schema *s, const char *name)
{
	struct moka_node *n = add_named(a, m, s, name, MOKA_NODE_MESSAGE);

	if (!n)
		return NULL;
	n->u.m = moka_msg_new(a, n->field->message);
	if (!n->u.m)
		return NULL;
	n->u.m->text = m->text;
	n->u.m->line = m->line;
	n->u.m->column = m->column;
	return n->u.m;
}

struct moka_node *moka_add_floats(struct moka_arena *a, struct moka_msg *m, const char *name, const float *v, size_t n)
{
	struct moka_node *x = add_named(a, m, NULL, name, MOKA_NODE_RUN);

	if (x)
		x->u.run = (struct moka_run){ (const uint8_t *)v, n * sizeof(float), sizeof(float), 0, n };
	return x;
}

void moka_remove(struct moka_msg *m, const char *name)
{
	struct moka_node **link = &m->first;

	m->last = NULL;
	while (*link) {
		if (is_named(*link, name)) {
			*link = (*link)->next;
		} else {
			m->last = *link;
			link = &(*link)->next;
		}
	}
}

struct moka_node *moka_move(struct moka_arena *a, struct moka_msg *to, const struct moka_schema *s, const char *name,
			    const struct moka_node *n)
{
	struct moka_node *x = add_named(a, to, s, name, n->kind);
	const struct moka_field *f;
	struct moka_node *next;

	if (!x)
		return NULL;
	f = x->field;
	next = x->next;
	*x = *n;
	x->field = f;
	x->next = next;
	x->name = NULL;
	if (to->type == &moka_layer_message && f->number == 2 && x->kind == MOKA_NODE_STRING)
		to->layer_type = x->u.s.p;
	return x;
}
