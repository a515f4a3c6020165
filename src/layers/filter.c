/*
 * Filter: passes on the items of its bottoms where the last bottom, the selector, isn't 0.
 *
 * How many items that is only the data tell. A top has room for all; the selected items stand first, zeros
 * follow, and top_items says how many are real.
 */
#include "blocks.h"

static enum moka_status filter_shape(struct moka_layer *l, struct moka_findings *f)
{
	const int last = l->n_bottom - 1;
	const struct moka_shape *sel = &l->bottom[last].shape;
	char text[MOKA_SHAPE_TEXT];

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
	int64_t kept = 0;

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
	.schema = { "Filter", NULL, 0, 0, NULL, NULL, 0, NULL },
	.doc = "passes on the items that its last input selects",
	.min_bottom = 2, .max_bottom = -1, .min_top = 1, .max_top = -1,
	.flags = MOKA_PARTIAL,
	.shape = filter_shape, .forward = filter_forward, .backward = filter_backward,
};
/* clang-format on */
