/*
 * BatchReindex: item i of the top is item index[i] of the first bottom; the second bottom (one axis) holds the
 * indices. An item may be taken several times, or not at all.
 */
#include "blocks.h"

static enum moka_status batch_reindex_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *s = &l->bottom[0].shape, *index = &l->bottom[1].shape;
	char text[MOKA_SHAPE_TEXT];

	if (index->n >= 0 && index->n != 1)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 1, "the indices must be one row, and '%s' is %s",
					     l->bottom[1].name, moka_shape_text(index, text, sizeof(text)));
	if (s->n == 0)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0, "'%s' is a scalar and has no items",
					     l->bottom[0].name);
	l->top[0].shape = *s;
	if (s->n > 0)
		l->top[0].shape.d[0] = index->n < 0 ? -1 : index->d[0];
	return MOKA_OK;
}

static enum moka_status item_of(const struct moka_layer *l, struct moka_call *c, int64_t i, int64_t *item)
{
	const real x = c->bottom[1].data[i];
	const int64_t items = c->bottom[0].shape->d[0];

	if (!(x >= 0 && x < (real)items))
		return moka_call_bad(l, c, MOKA_ERR_DATA, "index %lld of '%s' is %g, and '%s' has %lld items",
				     (long long)i, l->bottom[1].name, (double)x, l->bottom[0].name, (long long)items);
	*item = (int64_t)x;
	return MOKA_OK;
}

static enum moka_status batch_reindex_forward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t size = moka_shape_count_range(c->top[0].shape, 1, c->top[0].shape->n);
	int64_t item = 0;

	for (int64_t i = 0; i < c->bottom[1].count; i++) {
		MOKA_TRY(item_of(l, c, i, &item));
		moka__copy(c->pool, size, c->bottom[0].data + item * size, c->top[0].data + i * size);
	}
	return MOKA_OK;
}

static enum moka_status batch_reindex_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t size = moka_shape_count_range(c->top[0].shape, 1, c->top[0].shape->n);
	int64_t item = 0;

	if (!c->bottom[0].diff)
		return MOKA_OK;
	moka__zero(c->pool, c->bottom[0].count, c->bottom[0].diff);
	for (int64_t i = 0; i < c->bottom[1].count; i++) {
		MOKA_TRY(item_of(l, c, i, &item));
		moka__add_rows(c->pool, 1, size, c->top[0].diff + i * size, size, c->bottom[0].diff + item * size,
			       size);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_batch_reindex = {
	.schema = { "BatchReindex", NULL, 0, 0, NULL, NULL, 0, NULL },
	.doc = "picks items of its first input by the indices in the second",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL, .no_gradient = 1 << 1,
	.shape = batch_reindex_shape, .forward = batch_reindex_forward, .backward = batch_reindex_backward,
};
/* clang-format on */
