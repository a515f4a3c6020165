/*
 * Filter: passes on the items of its bottoms where the last bottom, the selector, isn't 0.
 *
 * How many items that is only the data tell. A top has room for all; the selected items stand first, zeros
 * follow, and top_items says how many are real.
 *
 * The fork that channels were pruned with (caffe-pro) has as many tops as bottoms: there the selector is a parameter, one number for
 * each channel, and num_output channels go through, the first that it doesn't make 0.
 */
#include "blocks.h"

struct filter_param {
	int32_t num_output, axis;
};

/* clang-format off */
/* the fork's numbers aren't known: only a text can say them */
static const struct moka_field filter_fields[] = {
	{ "num_output", 9001, MOKA_INT32, MOKA_OPTIONAL, (uint32_t)offsetof(struct filter_param, num_output), 0, NULL, NULL, NULL,
	  "how many slices go through, where the selector is a parameter", "caffe-pro" },
	{ "axis", 9002, MOKA_INT32, MOKA_OPTIONAL, (uint32_t)offsetof(struct filter_param, axis), 1, NULL, NULL, NULL,
	  "the axis that is cut into slices, where the selector is a parameter", "caffe-pro" },
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message filter_message = { "FilterParameter", filter_fields, sizeof(struct filter_param) };

/* ---- the fork's form: slices, selected by a parameter ---------------------------------------------------- */

struct slices {
	bool by_param;
	int axis;
	int64_t kept;
};

static enum moka_status slices_shape(struct moka_layer *l, struct moka_findings *f, struct slices *v)
{
	static const struct moka_filler_param ones = { .type = "constant", .value = 1, .sparse = -1 };
	const struct filter_param *p = l->param;
	const struct moka_shape *first = &l->bottom[0].shape;

	v->by_param = true;
	v->kept = p->num_output;
	if (p->num_output < 1)
		return moka_layer_bad(l, f, "bad-setting", "num_output", "num_output must be at least 1, and is %d",
				      (int)p->num_output);
	if (first->n < 0)
		return moka_layer_unknown(l);
	v->axis = moka_layer_axis(l, f, "axis", p->axis, first);
	if (v->axis < 0)
		return MOKA_ERR_MODEL;
	for (int i = 0; i < l->n_top; i++) {
		const struct moka_shape *s = &l->bottom[i].shape;

		if (s->n < 0)
			return moka_layer_unknown(l);
		if (s->n <= v->axis || s->d[v->axis] != first->d[v->axis])
			return moka_layer_bad_bottom(l, f, "shape-mismatch", i,
						     "'%s' and '%s' must have as many slices along axis %d",
						     l->bottom[i].name, l->bottom[0].name, v->axis);
		if (s->d[v->axis] >= 0 && s->d[v->axis] < v->kept)
			return moka_layer_bad(l, f, "bad-setting", "num_output",
					      "%lld slices are to go through of %lld", (long long)v->kept,
					      (long long)s->d[v->axis]);
		l->top[i].shape = *s;
		l->top[i].shape.d[v->axis] = v->kept;
	}
	moka_layer_param(l, "selector", moka_shape_make(1, first->d[v->axis]), &ones);
	l->params[0].fixed = true;
	return MOKA_OK;
}

/* Slices between a bottom and its top: forward copies, backward (into dx, zeroed before) copies back. */
static void pass_slices(const struct slices *v, struct moka_call *c, int i, real *into_top, const real *from_top)
{
	const struct moka_shape *s = c->bottom[i].shape;
	const int64_t outer = moka_shape_count_range(s, 0, v->axis),
		      size = moka_shape_count_range(s, v->axis + 1, s->n);
	const int64_t slices = s->d[v->axis];
	int64_t kept = 0;

	for (int64_t k = 0; k < slices && kept < v->kept; k++) {
		if (c->param[0].data[k] == 0)
			continue;
		if (into_top)
			moka__copy_rows(c->pool, outer, size, c->bottom[i].data + k * size, slices * size,
					into_top + kept * size, v->kept * size);
		else
			moka__copy_rows(c->pool, outer, size, from_top + kept * size, v->kept * size,
					c->bottom[i].diff + k * size, slices * size);
		kept++;
	}
}

static enum moka_status filter_shape(struct moka_layer *l, struct moka_findings *f)
{
	const int last = l->n_bottom - 1;
	const struct moka_shape *sel = &l->bottom[last].shape;
	struct slices *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	v->by_param = false;
	if (l->n_top == l->n_bottom && l->sub && moka_has(l->sub, "num_output"))
		return slices_shape(l, f, v);
	if (l->n_top != last)
		return moka_layer_bad(l, f, "wrong-tops", NULL,
				      "%d bottoms, the last of them the selector, make %d tops, and %d are named",
				      l->n_bottom, last, l->n_top);
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = l->bottom[i].shape;
	if (sel->n < 0)
		return MOKA_OK;
	if (sel->n < 1 || moka_shape_count_range(sel, 1, sel->n) != 1)
		return moka_layer_bad_bottom(l, f, "wrong-axes", last,
					     "the selector must have one value for each item, and '%s' is %s",
					     l->bottom[last].name, moka_shape_text(sel, text, sizeof(text)));
	for (int i = 0; i < last; i++) {
		const struct moka_shape *s = &l->bottom[i].shape;

		if (s->n == 0 || (s->n > 0 && s->d[0] >= 0 && sel->d[0] >= 0 && s->d[0] != sel->d[0]))
			return moka_layer_bad_bottom(l, f, "shape-mismatch", i,
						     "'%s' is %s, and the selector '%s' has %lld items",
						     l->bottom[i].name, moka_shape_text(s, text, sizeof(text)),
						     l->bottom[last].name, (long long)sel->d[0]);
	}
	return MOKA_OK;
}

static enum moka_status filter_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka_view *sel = &c->bottom[l->n_bottom - 1];
	const struct slices *v = l->priv;
	int64_t kept = 0;

	for (int t = 0; v->by_param && t < l->n_top; t++) {
		moka__zero(c->pool, c->top[t].count, c->top[t].data);
		pass_slices(v, c, t, c->top[t].data, NULL);
	}
	if (v->by_param)
		return MOKA_OK;
	for (int t = 0; t < l->n_top; t++) {
		const int64_t size = moka_shape_count_range(c->top[t].shape, 1, c->top[t].shape->n);

		kept = 0;
		for (int64_t i = 0; i < sel->count; i++)
			if (sel->data[i] != 0)
				moka__copy(c->pool, size, c->bottom[t].data + i * size, c->top[t].data + kept++ * size);
		moka__zero(c->pool, (sel->count - kept) * size, c->top[t].data + kept * size);
	}
	if (c->top_items)
		*c->top_items = kept;
	return MOKA_OK;
}

static enum moka_status filter_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka_view *sel = &c->bottom[l->n_bottom - 1];
	const struct slices *v = l->priv;

	for (int t = 0; v->by_param && t < l->n_top; t++) {
		if (!c->bottom[t].diff)
			continue;
		moka__zero(c->pool, c->bottom[t].count, c->bottom[t].diff);
		if (c->top[t].diff)
			pass_slices(v, c, t, NULL, c->top[t].diff);
	}
	if (v->by_param)
		return MOKA_OK;
	if (sel->diff) /* a choice has no slope */
		moka__zero(c->pool, sel->count, sel->diff);
	for (int t = 0; t < l->n_top; t++) {
		const int64_t size = moka_shape_count_range(c->top[t].shape, 1, c->top[t].shape->n);
		real *dx = c->bottom[t].diff;
		int64_t kept = 0;

		for (int64_t i = 0; dx && i < sel->count; i++) {
			if (sel->data[i] != 0 && c->top[t].diff)
				moka__copy(c->pool, size, c->top[t].diff + kept * size, dx + i * size);
			else
				moka__zero(c->pool, size, dx + i * size);
			kept += sel->data[i] != 0;
		}
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_filter = {
	.schema = { "Filter", "filter_param", 9048, 0, &filter_message, NULL, 0, NULL },
	.doc = "passes on the items that its last input selects",
	.min_bottom = 1, .max_bottom = -1, .min_top = 1, .max_top = -1,
	.flags = MOKA_PARTIAL,
	.shape = filter_shape, .forward = filter_forward, .backward = filter_backward,
};
/* clang-format on */
