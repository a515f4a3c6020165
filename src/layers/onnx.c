/*
 * onnx.c - collects the ONNX nodes that layers describe (onnx.h).
 */
#include "onnx.h"

#include <string.h>

/* Where memory is short a node that nobody reads takes what is written to it. */
static void no_memory(struct moka_onnx *o)
{
	if (!o->status)
		o->status = MOKA_ERR_NOMEM;
}

static const char **copy_names(struct moka_onnx *o, int n, const char *const *names)
{
	const char **copy = MOKA_NEWN(o->arena, n + 1, const char *);

	for (int i = 0; copy && i < n; i++)
		copy[i] = names[i];
	return copy;
}

struct moka_onnx_node *moka_onnx_node_of(struct moka_onnx *o, const char *op, int n_out, const char *const *out,
					 int n_in, const char *const *in)
{
	struct moka_onnx_node *n = MOKA_NEW(o->arena, struct moka_onnx_node);

	if (n) {
		n->op = op;
		n->in = copy_names(o, n_in, in);
		n->out = copy_names(o, n_out, out);
	}
	if (!n || !n->in || !n->out) {
		no_memory(o);
		return NULL;
	}
	n->n_in = n_in;
	n->n_out = n_out;
	if (o->last_node)
		o->last_node->next = n;
	else
		o->nodes = n;
	o->last_node = n;
	return n;
}

#define MOST_INPUTS 6

struct moka_onnx_node *moka_onnx_node(struct moka_onnx *o, const char *op, const char *out, ...)
{
	const char *in[MOST_INPUTS], *name;
	int n = 0;
	va_list ap;

	va_start(ap, out);
	while ((name = va_arg(ap, const char *))) {
		MOKA_BUG(n == MOST_INPUTS);
		in[n++] = name;
	}
	va_end(ap);
	return moka_onnx_node_of(o, op, 1, &out, n, in);
}

static struct moka_onnx_attribute *add_attribute(struct moka_onnx *o, struct moka_onnx_node *n, const char *name,
						 enum moka_onnx_kind kind)
{
	struct moka_onnx_attribute *a = n ? MOKA_NEW(o->arena, struct moka_onnx_attribute) : NULL, **at;

	if (!a) {
		no_memory(o);
		return NULL;
	}
	a->name = name;
	a->kind = kind;
	for (at = &n->attributes; *at; at = &(*at)->next)
		;
	*at = a;
	return a;
}

static void set_ints(struct moka_onnx *o, struct moka_onnx_node *n, const char *name, enum moka_onnx_kind kind,
		     int count, const int64_t *v)
{
	struct moka_onnx_attribute *a = add_attribute(o, n, name, kind);
	int64_t *copy = a ? MOKA_NEWN(o->arena, count + 1, int64_t) : NULL;

	if (!copy) {
		no_memory(o);
		return;
	}
	memcpy(copy, v, (size_t)count * sizeof(*copy));
	a->i = copy;
	a->n = count;
}

void moka_onnx_int(struct moka_onnx *o, struct moka_onnx_node *n, const char *name, int64_t v)
{
	set_ints(o, n, name, MOKA_ONNX_INT, 1, &v);
}

void moka_onnx_ints(struct moka_onnx *o, struct moka_onnx_node *n, const char *name, int count, const int64_t *v)
{
	set_ints(o, n, name, MOKA_ONNX_INTS, count, v);
}

void moka_onnx_float(struct moka_onnx *o, struct moka_onnx_node *n, const char *name, double v)
{
	struct moka_onnx_attribute *a = add_attribute(o, n, name, MOKA_ONNX_FLOAT);

	if (a)
		a->f = v;
}

const char *moka_onnx_name(struct moka_onnx *o, const char *want)
{
	const char *name = want;

	for (unsigned i = 1; name && moka_map_get(&o->names, name); i++)
		name = moka_arena_printf(o->arena, "%s.%u", want, i);
	if (name && moka_map_put(&o->names, name, o))
		return name;
	no_memory(o);
	return "";
}

const char *moka_onnx_value(struct moka_onnx *o)
{
	const char *want = moka_arena_printf(o->arena, "%s/%s", o->layer->name, o->layer->type->schema.type);

	return moka_onnx_name(o, want);
}

static struct moka_onnx_tensor *add_tensor(struct moka_onnx *o, const char *name, struct moka_shape shape)
{
	struct moka_onnx_tensor *t = MOKA_NEW(o->arena, struct moka_onnx_tensor);

	if (!t) {
		no_memory(o);
		return NULL;
	}
	t->name = name;
	t->shape = shape;
	if (o->last_tensor)
		o->last_tensor->next = t;
	else
		o->tensors = t;
	o->last_tensor = t;
	return t;
}

const char *moka_onnx_param_as(struct moka_onnx *o, int i, struct moka_shape shape)
{
	struct moka_onnx_param *p = o->param[i];
	struct moka_onnx_tensor *t;

	if (p->tensor && moka_shape_equal(&p->tensor->shape, &shape))
		return p->tensor->name;
	t = add_tensor(o, moka_onnx_name(o, p->name), shape);
	if (!t)
		return "";
	t->reals = p->data;
	p->tensor = t;
	return t->name;
}

const char *moka_onnx_param(struct moka_onnx *o, int i)
{
	return moka_onnx_param_as(o, i, o->layer->params[i].shape);
}

const char *moka_onnx_reals(struct moka_onnx *o, struct moka_shape shape, const real *v)
{
	const int64_t count = moka_shape_count(&shape);
	const char *name = moka_onnx_value(o);
	struct moka_onnx_tensor *t = add_tensor(o, name, shape);
	real *copy = t ? MOKA_NEWN(o->arena, count + 1, real) : NULL;

	if (!copy) {
		no_memory(o);
		return name;
	}
	memcpy(copy, v, (size_t)count * sizeof(*copy));
	t->reals = copy;
	return name;
}

const char *moka_onnx_number(struct moka_onnx *o, double v)
{
	return moka_onnx_reals(o, moka_shape_make(0), &(real){ (real)v });
}

const char *moka_onnx_whole(struct moka_onnx *o, int n, const int64_t *v)
{
	const char *name = moka_onnx_value(o);
	struct moka_onnx_tensor *t = add_tensor(o, name, moka_shape_make(1, (int64_t)n));
	int64_t *copy = t ? MOKA_NEWN(o->arena, n + 1, int64_t) : NULL;

	if (!copy) {
		no_memory(o);
		return name;
	}
	memcpy(copy, v, (size_t)n * sizeof(*copy));
	t->ints = copy;
	return name;
}

void moka_onnx_reshape(struct moka_onnx *o, const char *out, const char *in, const struct moka_shape *from,
		       const struct moka_shape *to)
{
	int64_t d[MOKA_MAX_AXES];

	memcpy(d, to->d, sizeof(d));
	if (from->n > 0 && to->n > 0 && from->d[0] == to->d[0])
		d[0] = 0; /* as it comes */
	moka_onnx_node(o, "Reshape", out, in, moka_onnx_whole(o, to->n, d), NULL);
}

static const char *with_number(struct moka_onnx *o, const char *op, const char *x, double k)
{
	const char *y = moka_onnx_value(o);

	moka_onnx_node(o, op, y, x, moka_onnx_number(o, k), NULL);
	return y;
}

const char *moka_onnx_add(struct moka_onnx *o, const char *x, double k)
{
	return k == 0 ? x : with_number(o, "Add", x, k);
}

const char *moka_onnx_mul(struct moka_onnx *o, const char *x, double k)
{
	return k == 1 ? x : with_number(o, "Mul", x, k);
}

struct moka_shape moka_onnx_stretch(const struct moka_shape *shape, int axis, int axes)
{
	struct moka_shape s = *shape;

	while (s.n > 0 && s.n < axes - axis)
		s.d[s.n++] = 1;
	return s;
}

enum moka_status moka_onnx_same(struct moka_onnx *o, int i)
{
	o->same[i] = true;
	return MOKA_OK;
}

enum moka_status moka_onnx_unary(struct moka_onnx *o, const char *op)
{
	moka_onnx_node(o, op, o->top[0], o->bottom[0], NULL);
	return o->status;
}

enum moka_status moka_onnx_cannot(struct moka_onnx *o, const char *field, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	moka_layer_bad(o->layer, o->findings, "onnx", field, "%s", text);
	if (!o->status)
		o->status = MOKA_ERR_MODEL;
	return MOKA_ERR_MODEL;
}
