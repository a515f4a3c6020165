/*
 * words.c - numbers, shapes and settings as people write them.
 *
 * A layer's settings are told from the names of its fields (kernel_size, stride, pool ...), not from its type: so a
 * fork's layer that Moka has never seen is described as well as a Convolution.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

const char *moka__number(struct moka_arena *a, int64_t v)
{
	char digits[32], out[48];
	int n, at = 0;

	if (v < 0)
		return "?";
	n = snprintf(digits, sizeof(digits), "%lld", (long long)v);
	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = 0;
	return or_empty(moka_arena_strdup(a, out));
}

const char *moka__big(struct moka_arena *a, int64_t v)
{
	static const char *const units[] = { "", " k", " M", " G", " T", " P", " E" };
	double x = (double)v;
	size_t u = 0;

	if (v < 1000000)
		return moka__number(a, v);
	for (; x >= 999.5 && u + 1 < MOKA_COUNT(units); u++)
		x /= 1000;
	return or_empty(moka_arena_printf(a, "%s (%.*f%s)", moka__number(a, v),
					  x < 9.995   ? 2
					  : x < 99.95 ? 1
						      : 0,
					  x, units[u]));
}

const char *moka__bytes(struct moka_arena *a, int64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double x = (double)bytes;
	size_t u = 0;

	if (bytes < 0)
		return "?";
	for (; x >= 1000 && u + 1 < MOKA_COUNT(units); u++)
		x /= 1024;
	return or_empty(u ? moka_arena_printf(a, "%.*f %s", x < 9.95 ? 1 : 0, x, units[u])
			  : moka_arena_printf(a, "%.0f %s", x, units[u]));
}

const char *moka__real(struct moka_arena *a, double v)
{
	char buf[40];

	for (int digits = 6; digits <= 9; digits++) {
		snprintf(buf, sizeof(buf), "%.*g", digits, v);
		if (digits == 6 && fabs(v - (double)(float)v) > 0)
			break; /* a result of arithmetic: six digits say enough */
		float back = 0;

		sscanf(buf, "%f", &back);
		if (back == (float)v)
			break;
	}
	return or_empty(moka_arena_strdup(a, buf));
}

const char *moka__times_text(struct moka_arena *a, double v, double by)
{
	return or_empty(moka_arena_printf(a, "%.6g", v * by));
}

const char *moka__shape(struct moka_arena *a, const struct moka_shape *s)
{
	char buf[MOKA_SHAPE_TEXT];

	return or_empty(moka_arena_strdup(a, moka_shape_text(s, buf, sizeof(buf))));
}

const char *moka__plural(int64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

const char *moka__nth(int i)
{
	static const char *const words[] = { "1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th" };

	return i >= 0 && i < (int)MOKA_COUNT(words) ? words[i] : "later";
}

const char *moka__type(const struct moka_net_layer *nl)
{
	return nl->type_name && *nl->type_name ? nl->type_name : "(no type)";
}

const char *moka__layer_name(const struct moka_net_layer *nl)
{
	return nl->l.name && *nl->l.name ? nl->l.name : "(no name)";
}

const char *moka__net_name(const struct moka_net *n)
{
	const char *path = n->model && n->model->text.path ? n->model->text.path : "", *slash = strrchr(path, '/');

	if (n->name && *n->name)
		return n->name;
	return slash ? slash + 1 : *path ? path : "(no name)";
}

/* ---- lists of names ------------------------------------------------------------------------------------ */

void moka__names_begin(struct moka__names *l, int max)
{
	*l = (struct moka__names){ .max = max };
	moka_buf_init(&l->buf, 0);
}

void moka__names_add(struct moka__names *l, const char *name)
{
	if (l->n++ < l->max)
		moka_buf_printf(&l->buf, "%s%s", l->n > 1 ? ", " : "", name);
}

const char *moka__names_end(struct moka__names *l, struct moka_arena *a)
{
	const char *s;

	if (l->n > l->max)
		moka_buf_printf(&l->buf, " and %d more", l->n - l->max);
	s = l->buf.len ? moka_arena_strdup(a, l->buf.data) : "";
	moka_buf_release(&l->buf);
	return or_empty(s);
}

/* ---- settings -------------------------------------------------------------------------------------------- */

#define AXES 4

/* A setting of each axis: one value for all, one each, or _h and _w. */
struct axes {
	int64_t v[AXES];
	size_t n;
};

struct settings {
	struct axes kernel, stride, pad, dilation;
	const char *outputs, *kind; /* num_output; an enum: MAX, SUM */
	struct moka_buf more;
	struct moka_arena *a;
	bool all, global;
};

static const char *node_name(const struct moka_node *n)
{
	return n->field ? n->field->name : n->name ? n->name : "";
}

/* The value as the text has it; NULL for messages. */
static const char *node_value(struct moka_arena *a, const struct moka_node *n)
{
	const struct moka_enum_value *e = n->field ? n->field->values : NULL;

	switch (n->kind) {
	case MOKA_NODE_INT:
		for (; e && e->name; e++)
			if (e->value == n->u.i)
				return e->name;
		if (n->field && n->field->kind == MOKA_BOOL)
			return n->u.i ? "true" : "false";
		return moka_arena_printf(a, "%lld", (long long)n->u.i);
	case MOKA_NODE_FLOAT:
		return moka__real(a, n->u.d);
	case MOKA_NODE_STRING:
	case MOKA_NODE_NAME:
		return moka_arena_strndup(a, n->u.s.p, MOKA_MIN(n->u.s.n, (size_t)80));
	default:
		return NULL;
	}
}

static bool is_default(const struct moka_node *n)
{
	if (!n->field || n->field->label == MOKA_REPEATED || n->field->label == MOKA_PACKED)
		return false;
	if (n->kind == MOKA_NODE_INT)
		return (double)n->u.i == n->field->def;
	return n->kind == MOKA_NODE_FLOAT && n->u.d == n->field->def;
}

static void read_axes(const struct moka_msg *m, const char *all, const char *h, const char *w, struct axes *x)
{
	x->n = moka_has(m, all) ? MOKA_MIN(moka_get_ints(m, all, x->v, AXES), (size_t)AXES) : 0;
	if (moka_has(m, h) || moka_has(m, w)) {
		x->v[0] = moka_get_int(m, h);
		x->v[1] = moka_get_int(m, w);
		x->n = 2;
	}
}

static bool all_are(const struct axes *x, int64_t v)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i] != v)
			return false;
	return true;
}

/* 3x3, 1x7, 3x3x3; a single value stands for `twice` axes. */
static void put_axes(struct moka_buf *b, const struct axes *x, bool twice)
{
	bool same = x->n && all_are(x, x->v[0]);

	for (size_t i = 0; i < x->n && !(same && !twice && i); i++)
		moka_buf_printf(b, "%s%lld", i ? "x" : "", (long long)x->v[i]);
	if (x->n == 1 && twice)
		moka_buf_printf(b, "x%lld", (long long)x->v[0]);
}

static bool listed(const char *const *list, const char *name)
{
	for (; *list; list++)
		if (!strcmp(*list, name))
			return true;
	return false;
}

/* What a diagram shows besides outputs, kind and window; the word to show it by is the field's own. */
static const char *const drawn_fields[] = { "group", "axis", "slice_point", "order", "dim", "shape", "ratio", NULL };
/* What the fields of windows are called: read by read_axes(). */
static const char *const window_fields[] = { "kernel_size", "kernel_h", "kernel_w", "stride",	"stride_h", "stride_w",
					     "pad",	    "pad_h",	"pad_w",    "dilation", NULL };
static const char *const hidden_fields[] = {
	"engine", "weight_filler", "bias_filler", "filler", "force_nd_im2col", NULL
};

static void put_word(struct settings *s, const char *fmt, ...) MOKA_PRINTF(2, 3);
static void put_word(struct settings *s, const char *fmt, ...)
{
	va_list ap;

	if (s->more.len)
		moka_buf_putc(&s->more, ' ');
	va_start(ap, fmt);
	moka_buf_vprintf(&s->more, fmt, ap);
	va_end(ap);
}

/* A run of numbers as one word: "slice_point 2,5". */
static void put_list(struct settings *s, const struct moka_msg *m, const char *name)
{
	int64_t v[8];
	size_t n = moka_get_ints(m, name, v, MOKA_COUNT(v)), shown = MOKA_MIN(n, MOKA_COUNT(v));

	if (!n)
		return;
	put_word(s, "%s ", name);
	for (size_t i = 0; i < shown; i++)
		moka_buf_printf(&s->more, "%s%lld", i ? "," : "", (long long)v[i]);
	if (shown < n)
		moka_buf_puts(&s->more, ",…");
}

static bool is_int_list(const struct moka_node *n)
{
	return n->field && (n->field->label == MOKA_REPEATED || n->field->label == MOKA_PACKED) &&
	       (n->kind == MOKA_NODE_INT || n->kind == MOKA_NODE_RUN) && n->field->kind <= MOKA_ENUM;
}

static void read_other(struct settings *s, const struct moka_msg *m, const struct moka_node *n)
{
	const char *name = node_name(n), *value = node_value(s->a, n);

	if (!strcmp(name, "shape") && n->kind == MOKA_NODE_MESSAGE) {
		put_list(s, n->u.m, "dim");
	} else if (is_int_list(n)) {
		if (moka_next(m, name, NULL) == n) /* once for all its values */
			put_list(s, m, name);
	} else if (value && !strcmp(name, "bias_term")) {
		put_word(s, "%s", strcmp(value, "false") ? "bias" : "no bias");
	} else if (value && n->field && n->field->kind == MOKA_BOOL && !strcmp(value, "true")) {
		put_word(s, "%s", name);
	} else if (value) {
		put_word(s, "%s %s", name, value);
	}
}

static void read_node(struct settings *s, const struct moka_msg *m, const struct moka_node *n)
{
	const char *name = node_name(n);
	bool named = n->field && n->field->kind == MOKA_ENUM;

	if (listed(window_fields, name) || listed(hidden_fields, name))
		return;
	if (!strcmp(name, "num_output")) {
		s->outputs = node_value(s->a, n);
	} else if (!strcmp(name, "global_pooling")) {
		s->global = n->kind == MOKA_NODE_INT && n->u.i;
	} else if (!s->kind && (!strcmp(name, "pool") || !strcmp(name, "operation")) &&
		   (named || n->kind == MOKA_NODE_NAME)) {
		s->kind = node_value(s->a, n);
	} else if (!is_default(n) && (s->all || listed(drawn_fields, name))) {
		read_other(s, m, n);
	}
}

/* Pooling that says nothing is MAX, Eltwise SUM: the default of such a field, from the table. */
static void default_kind(struct settings *s, const struct moka_message *m)
{
	for (const struct moka_field *f = m ? m->fields : NULL; f && f->name && !s->kind; f++)
		if (f->kind == MOKA_ENUM && f->values && (!strcmp(f->name, "pool") || !strcmp(f->name, "operation")))
			for (const struct moka_enum_value *e = f->values; e->name; e++)
				if (e->value == (int)f->def)
					s->kind = e->name;
}

/* The message with the settings: the layer's own, or, of an unknown type, whatever ends in _param. */
static const struct moka_msg *settings_msg(const struct moka_net_layer *nl)
{
	if (nl->l.sub || nl->l.type || !nl->l.msg)
		return nl->l.sub;
	for (const struct moka_node *n = nl->l.msg->first; n; n = n->next)
		if (n->kind == MOKA_NODE_MESSAGE && moka_has_suffix(node_name(n), "_param") &&
		    strcmp(node_name(n), "transform_param") && strcmp(node_name(n), "loss_param"))
			return n->u.m;
	return NULL;
}

static const char *join(struct settings *s)
{
	struct moka_buf b;
	const char *out;

	moka_buf_init(&b, 0);
	if (s->outputs)
		moka_buf_puts(&b, s->outputs);
	if (s->kind)
		moka_buf_printf(&b, "%s%s", b.len ? " " : "", s->kind);
	if (s->global)
		moka_buf_printf(&b, "%sglobal", b.len ? " " : "");
	if (s->kernel.n && !s->global) {
		moka_buf_puts(&b, b.len ? " " : "");
		put_axes(&b, &s->kernel, true);
	}
	if (s->stride.n && !s->global && !all_are(&s->stride, 1)) {
		moka_buf_puts(&b, s->kernel.n ? "/" : b.len ? " /" : "/");
		put_axes(&b, &s->stride, false);
	}
	if (s->pad.n && s->all && !all_are(&s->pad, 0)) {
		moka_buf_puts(&b, b.len ? " pad " : "pad ");
		put_axes(&b, &s->pad, false);
	}
	if (s->dilation.n && !all_are(&s->dilation, 1)) {
		moka_buf_puts(&b, b.len ? " dilation " : "dilation ");
		put_axes(&b, &s->dilation, false);
	}
	if (s->more.len)
		moka_buf_printf(&b, "%s%s", b.len ? " " : "", s->more.data);
	out = b.len ? moka_arena_strdup(s->a, b.data) : "";
	moka_buf_release(&b);
	return or_empty(out);
}

const char *moka__settings(struct moka_arena *a, const struct moka_net_layer *nl, bool all)
{
	const struct moka_msg *m = settings_msg(nl);
	struct settings s = { .a = a, .all = all };
	const char *out;

	moka_buf_init(&s.more, 0);
	if (m) {
		read_axes(m, "kernel_size", "kernel_h", "kernel_w", &s.kernel);
		read_axes(m, "stride", "stride_h", "stride_w", &s.stride);
		read_axes(m, "pad", "pad_h", "pad_w", &s.pad);
		read_axes(m, "dilation", "dilation_h", "dilation_w", &s.dilation);
		for (const struct moka_node *n = m->first; n; n = n->next)
			read_node(&s, m, n);
	}
	default_kind(&s, nl->l.type ? nl->l.type->schema.message : NULL);
	out = join(&s);
	moka_buf_release(&s.more);
	return out;
}
