/*
 * Tile: repeats its bottom along one axis.
 */
#include "blocks.h"
#include "onnx.h"

struct tile_param {
	int32_t axis, tiles;
};

/* clang-format off */
static const struct moka_field tile_fields[] = {
	MOKA_F_INT32(struct tile_param, axis, 1, 1, "the axis that grows; negative counts from the end"),
	MOKA_F_INT32(struct tile_param, tiles, 2, 0, "how often the input is laid there"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message tile_message = { "TileParameter", tile_fields, sizeof(struct tile_param) };

struct tile {
	int64_t rows, row; /* of the bottom */
};

static enum moka_status tile_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct tile_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct tile *v = moka_layer_priv(l, sizeof(*v));
	int axis;

	if (!v)
		return MOKA_ERR_NOMEM;
	if (p->tiles < 1)
		return moka_layer_bad(l, f, "missing-setting", "tiles", "tiles %s",
				      l->sub && moka_has(l->sub, "tiles") ? "must be at least 1" : "is missing");
	l->top[0].shape = *s;
	if (s->n < 0)
		return MOKA_OK;
	axis = moka_layer_axis(l, f, "axis", p->axis, s);
	if (axis < 0)
		return MOKA_ERR_MODEL;
	l->top[0].shape.d[axis] = moka_layer_product(2, (int64_t[]){ s->d[axis], p->tiles });
	v->rows = moka_shape_count_range(s, 0, axis);
	v->row = moka_shape_count_range(s, axis, s->n);
	return MOKA_OK;
}

static enum moka_status tile_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct tile_param *p = l->param;
	const struct tile *v = l->priv;

	for (int32_t t = 0; t < p->tiles && v->row; t++)
		moka__copy_rows(c->pool, v->rows, v->row, c->bottom[0].data, v->row, c->top[0].data + t * v->row,
				p->tiles * v->row);
	return MOKA_OK;
}

static enum moka_status tile_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct tile_param *p = l->param;
	const struct tile *v = l->priv;

	if (!c->bottom[0].diff || !v->row)
		return MOKA_OK;
	moka__copy_rows(c->pool, v->rows, v->row, c->top[0].diff, p->tiles * v->row, c->bottom[0].diff, v->row);
	for (int32_t t = 1; t < p->tiles; t++)
		moka__add_rows(c->pool, v->rows, v->row, c->top[0].diff + t * v->row, p->tiles * v->row,
			       c->bottom[0].diff, v->row);
	return MOKA_OK;
}

static enum moka_status tile_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct moka_shape *s = &l->bottom[0].shape;
	const struct tile_param *p = l->param;
	int64_t repeats[MOKA_MAX_AXES];

	for (int i = 0; i < s->n; i++)
		repeats[i] = i == moka_shape_axis(s, p->axis) ? p->tiles : 1;
	moka_onnx_node(o, "Tile", o->top[0], o->bottom[0], moka_onnx_whole(o, s->n, repeats), NULL);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_tile = {
	.schema = { "Tile", "tile_param", 138, 0, &tile_message, NULL, 0, NULL },
	.doc = "repeats its input along one axis",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = tile_shape, .forward = tile_forward, .backward = tile_backward,
	.onnx = tile_onnx,
};
/* clang-format on */
