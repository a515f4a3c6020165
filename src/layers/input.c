/*
 * Input: tops that the caller fills, of the shapes that the file states: one for all, one for each, or none
 * (not known).
 */
#include "shape_param.h"

struct input_param {
	struct moka_list shape; /* const struct moka_shape_param * */
};

/* clang-format off */
static const struct moka_field input_fields[] = {
	MOKA_F_REPMSG(struct input_param, shape, 1, &moka_blob_shape_message, "shape of the tops: once, or once for each"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message input_message = { "InputParameter", input_fields, sizeof(struct input_param) };

static enum moka_status input_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct input_param *p = l->param;

	if (p->shape.n > 1 && p->shape.n != (size_t)l->n_top)
		return moka_layer_bad(l, f, "bad-setting", "shape", "%zu shapes for %d tops; give one, or one for each",
				      p->shape.n, l->n_top);
	if (!p->shape.n)
		return moka_layer_unknown(l);
	for (int i = 0; i < l->n_top; i++)
		MOKA_TRY(moka__shape_from_param(
			l, f, "shape", MOKA_LIST_AT(p->shape, struct moka_shape_param *, p->shape.n == 1 ? 0 : i),
			&l->top[i].shape));
	return MOKA_OK;
}

static enum moka_status input_forward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l; /* the values are there already */
	(void)c;
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_input = {
	.schema = { "Input", "input_param", 143, 0, &input_message, NULL, 0, NULL },
	.doc = "what the caller puts in",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = -1,
	.flags = MOKA_NO_BACKWARD | MOKA_DATA | MOKA_PARTIAL,
	.shape = input_shape, .forward = input_forward,
};
/* clang-format on */
