/*
 * layer.c - what the layers share: shapes, findings and errors in a layer's own words, parameters, loss
 * normalisers, the way to a source of data.
 *
 * Sizes saturate instead of overflowing: a shape function may multiply what a file says without a care, and the
 * net, which has a budget, refuses the result.
 */
#include "layer.h"

#include <string.h>

/* ---- shapes ---------------------------------------------------------------------------- */

int64_t moka_layer_product(int n, const int64_t *v)
{
	int64_t p = 1;
	bool zero = false;

	for (int i = 0; i < n; i++) {
		if (v[i] < 0)
			return -1;
		zero |= v[i] == 0;
	}
	if (zero)
		return 0;
	for (int i = 0; i < n; i++)
		if (!moka_mul(p, v[i], &p))
			return INT64_MAX;
	return p;
}

bool moka_shape_known(const struct moka_shape *s)
{
	for (int i = 0; i < s->n; i++)
		if (s->d[i] < 0)
			return false;
	return s->n >= 0;
}

int64_t moka_shape_count_range(const struct moka_shape *s, int begin, int end)
{
	if (s->n < 0)
		return -1;
	return begin < end ? moka_layer_product(end - begin, s->d + begin) : 1;
}

int64_t moka_shape_count(const struct moka_shape *s)
{
	return moka_shape_count_range(s, 0, s->n);
}

bool moka_shape_equal(const struct moka_shape *a, const struct moka_shape *b)
{
	return a->n == b->n && (a->n <= 0 || !memcmp(a->d, b->d, (size_t)a->n * sizeof(a->d[0])));
}

int moka_shape_axis(const struct moka_shape *s, int64_t axis)
{
	if (axis < 0)
		axis += s->n;
	return axis >= 0 && axis < s->n ? (int)axis : -1;
}

struct moka_shape moka_shape_make(int n, ...)
{
	struct moka_shape s = { .n = n };
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < n && i < MOKA_MAX_AXES; i++)
		s.d[i] = va_arg(ap, int64_t);
	va_end(ap);
	return s;
}

const char *moka_shape_text(const struct moka_shape *s, char *buf, size_t size)
{
	size_t at = 0;

	if (s->n <= 0) {
		snprintf(buf, size, "%s", s->n < 0 ? "?" : "scalar");
		return buf;
	}
	for (int i = 0; i < s->n && at < size; i++) {
		const char *x = i ? "x" : "";
		int w = s->d[i] < 0 ? snprintf(buf + at, size - at, "%s?", x)
				    : snprintf(buf + at, size - at, "%s%lld", x, (long long)s->d[i]);

		at += w > 0 ? (size_t)w : 0;
	}
	return buf;
}

size_t moka_layer_bytes(int64_t count, size_t size)
{
	const size_t most = SIZE_MAX / 8; /* several of them can be added */

	if (count <= 0 || !size)
		return 0;
	return (uint64_t)count > most / size ? most : (size_t)count * size;
}

enum moka_status moka_shape_same(struct moka_layer *l, struct moka_findings *f)
{
	(void)f;
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = l->bottom[i < l->n_bottom ? i : 0].shape;
	return MOKA_OK;
}

enum moka_status moka_layer_unknown(struct moka_layer *l)
{
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape.n = -1;
	return MOKA_OK;
}

/* ---- what goes wrong ----------------------------------------------------------------------- */

static const char *layer_title(const struct moka_layer *l, char *buf, size_t size)
{
	const char *type = l->type ? l->type->schema.type : "?";

	if (l->name && *l->name)
		snprintf(buf, size, "layer '%.200s' (%s)", l->name, type);
	else
		snprintf(buf, size, "layer without a name (%s)", type);
	return buf;
}

static void find_at(const struct moka_layer *l, struct moka_findings *f, const char *code, struct moka_loc loc,
		    const char *fmt, va_list ap)
{
	char title[256], text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	moka_find(f, MOKA_ERROR, code, loc, "%s: %s", layer_title(l, title, sizeof(title)), text);
}

enum moka_status moka_layer_bad(const struct moka_layer *l, struct moka_findings *f, const char *code,
				const char *field, const char *fmt, ...)
{
	struct moka_loc loc = { NULL, 0, 0 };
	const struct moka_node *n = field && l->sub ? moka_get(l->sub, field) : NULL;
	va_list ap;

	if (n)
		loc = moka_node_loc(l->sub, n);
	else if (l->msg)
		loc = moka_msg_loc(l->msg);
	va_start(ap, fmt);
	find_at(l, f, code, loc, fmt, ap);
	va_end(ap);
	return MOKA_ERR_MODEL;
}

enum moka_status moka_layer_bad_bottom(const struct moka_layer *l, struct moka_findings *f, const char *code, int i,
				       const char *fmt, ...)
{
	struct moka_loc loc = { NULL, 0, 0 };
	const struct moka_node *n = l->msg ? moka_next(l->msg, "bottom", NULL) : NULL;
	va_list ap;

	for (; n && i > 0; i--)
		n = moka_next(l->msg, "bottom", n);
	if (n)
		loc = moka_value_loc(l->msg, n);
	else if (l->msg)
		loc = moka_msg_loc(l->msg);
	va_start(ap, fmt);
	find_at(l, f, code, loc, fmt, ap);
	va_end(ap);
	return MOKA_ERR_MODEL;
}

enum moka_status moka_call_bad(const struct moka_layer *l, struct moka_call *c, enum moka_status status,
			       const char *fmt, ...)
{
	char title[256], text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return moka_fail(c->err, status, "%s: %s", layer_title(l, title, sizeof(title)), text);
}

int moka_layer_axis(const struct moka_layer *l, struct moka_findings *f, const char *field, int64_t axis,
		    const struct moka_shape *s)
{
	char text[MOKA_SHAPE_TEXT];
	int a = moka_shape_axis(s, axis);

	if (a >= 0)
		return a;
	moka_layer_bad(l, f, "bad-axis", field, "%s %lld is outside the bottom, which has %d axes (%s)", field,
		       (long long)axis, s->n, moka_shape_text(s, text, sizeof(text)));
	if (s->n > 0)
		moka_find_hint(f, "axes are numbered 0 to %d, or %d to -1 from the end", s->n - 1, -s->n);
	return -1;
}

enum moka_status moka_layer_same_shapes(const struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape;

	for (int i = 1; i < l->n_bottom; i++) {
		const struct moka_shape *b = &l->bottom[i].shape;
		char ta[MOKA_SHAPE_TEXT], tb[MOKA_SHAPE_TEXT];

		if (a->n < 0 || b->n < 0)
			continue;
		moka_shape_text(a, ta, sizeof(ta));
		moka_shape_text(b, tb, sizeof(tb));
		if (a->n != b->n)
			return moka_layer_bad_bottom(l, f, "shape-mismatch", i,
						     "bottoms must have one shape, but '%s' is %s and '%s' is %s",
						     l->bottom[0].name, ta, l->bottom[i].name, tb);
		for (int k = 0; k < a->n; k++)
			if (a->d[k] != b->d[k] && a->d[k] >= 0 && b->d[k] >= 0)
				return moka_layer_bad_bottom(
					l, f, "shape-mismatch", i,
					"bottoms must have one shape, but '%s' is %s and '%s' is %s: axis %d differs, %lld against %lld",
					l->bottom[0].name, ta, l->bottom[i].name, tb, k, (long long)a->d[k],
					(long long)b->d[k]);
	}
	return MOKA_OK;
}

/* ---- parameters ------------------------------------------------------------------------------- */

/* Room for one more: in the layer itself while they are few, then twice as much each time. */
static bool more_room(struct moka_layer *l)
{
	struct moka_param_ref *wider = l->few_params;

	if (l->n_param < l->param_room)
		return true;
	if (l->param_room)
		wider = MOKA_NEWN(l->arena, 2 * l->param_room, struct moka_param_ref);
	if (!wider)
		return false;
	if (l->param_room)
		memcpy(wider, l->params, (size_t)l->n_param * sizeof(*wider));
	l->param_room = l->param_room ? 2 * l->param_room : MOKA_LAYER_PARAMS;
	l->params = wider;
	return true;
}

bool moka_layer_param(struct moka_layer *l, const char *role, struct moka_shape shape,
		      const struct moka_filler_param *filler)
{
	if (!more_room(l))
		return false;
	l->params[l->n_param++] = (struct moka_param_ref){ shape, role, filler, false };
	return true;
}

enum moka_status moka_layer_filled(struct moka_layer *l, struct moka_findings *f, const char *role,
				   struct moka_shape shape, const char *field, const struct moka_filler_param *filler)
{
	char buf[256];
	const char *problem = moka_fill_problem(filler, &shape, buf, sizeof(buf));

	if (!moka_layer_param(l, role, shape, filler))
		return MOKA_ERR_NOMEM;
	return problem ? moka_layer_bad(l, f, "bad-filler", field, "%s: %s", field, problem) : MOKA_OK;
}

void *moka_layer_priv(struct moka_layer *l, size_t size)
{
	if (!l->priv)
		l->priv = moka_arena_alloc(l->arena, 1, size);
	return l->priv;
}

/* ---- losses ------------------------------------------------------------------------------------- */

enum { NORM_FULL, NORM_VALID, NORM_BATCH_SIZE, NORM_NONE, NORM_PRE_FIXED = 100 };

/* `normalize`, deprecated, decides only where `normalization` is absent: true is VALID, false BATCH_SIZE. */
int moka_loss_normalization(const struct moka_layer *l)
{
	if (l->loss_sub && !moka_has(l->loss_sub, "normalization") && moka_has(l->loss_sub, "normalize"))
		return l->loss->normalize ? NORM_VALID : NORM_BATCH_SIZE;
	return l->loss->normalization;
}

real moka_loss_normalizer(const struct moka_layer *l, int64_t outer, int64_t inner, int64_t valid_count)
{
	double n = 1;

	switch (moka_loss_normalization(l)) {
	case NORM_FULL:
		n = (double)outer * (double)inner;
		break;
	case NORM_VALID:
		n = valid_count < 0 ? (double)outer * (double)inner : (double)valid_count;
		break;
	case NORM_BATCH_SIZE:
		n = (double)outer;
		break;
	case NORM_PRE_FIXED:
		n = (double)l->loss->pre_fixed_normalizer;
		break;
	default:
		break;
	}
	return (real)(n > 1 ? n : 1);
}

/* ---- sources --------------------------------------------------------------------------------------- */

static const struct moka_source_ops *source_ops(const struct moka_layer *l, const char *kind)
{
	for (int i = 0; l->sources && l->sources[i]; i++)
		if (!strcmp(l->sources[i]->kind, kind))
			return l->sources[i];
	return NULL;
}

enum moka_status moka_layer_open_source(struct moka_layer *l, const char *kind, const char *path, int64_t batch,
					struct moka_findings *f)
{
	struct moka_source_spec spec = { NULL, kind, batch, l, l->seed };
	struct moka_error err = { 0 };
	char title[256];
	enum moka_severity severity = l->for_run ? MOKA_ERROR : MOKA_WARNING;
	struct moka_loc loc = l->msg ? moka_msg_loc(l->msg) : (struct moka_loc){ NULL, 0, 0 };
	const struct moka_node *n = l->sub ? moka_get(l->sub, "source") : NULL;
	const struct moka_source_ops *ops = source_ops(l, kind);

	if (l->source)
		return MOKA_OK;
	if (n)
		loc = moka_value_loc(l->sub, n);
	layer_title(l, title, sizeof(title));
	if (!ops) {
		if (l->for_run)
			moka_find(f, MOKA_ERROR, "data-missing", loc, "%s: data of kind %s can't be read here", title,
				  kind);
		return l->for_run ? MOKA_ERR_UNSUPPORTED : MOKA_OK;
	}
	spec.path = moka_path_resolve(l->arena, path, l->beside);
	if (!ops->open(&l->source, &spec, &err)) {
		l->source_ops = ops;
		return MOKA_OK;
	}
	l->source = NULL;
	moka_find(f, severity, "data-missing", loc, "%s: %s", title, err.message);
	if (err.hint[0])
		moka_find_hint(f, "%s", err.hint);
	return l->for_run ? err.status : MOKA_OK;
}
