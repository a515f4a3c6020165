/*
 * Parameter: a learned blob that stands in the net as a top.
 */
#include "blocks.h"
#include "shape_param.h"

struct parameter_param {
	const struct moka_shape_param *shape;
};

/* clang-format off */
static const struct moka_field parameter_fields[] = {
	MOKA_F_MSG(struct parameter_param, shape, 1, &moka_blob_shape_message, "its shape; absent: a scalar"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message parameter_message = { "ParameterParameter", parameter_fields,
						       sizeof(struct parameter_param) };

static enum moka_status parameter_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct parameter_param *p = l->param;

	l->n_param = 0;
	MOKA_TRY(moka__shape_from_param(l, f, "shape", p->shape, &l->top[0].shape));
	moka_layer_param(l, "value", l->top[0].shape, NULL);
	return MOKA_OK;
}

static enum moka_status parameter_forward(const struct moka_layer *l, struct moka_call *c)
{
	(void)l;
	moka__copy(c->pool, c->top[0].count, c->param[0].data, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status parameter_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t n = c->top[0].count;

	(void)l;
	if (c->param[0].diff && c->top[0].diff)
		moka__add_rows(c->pool, 1, n, c->top[0].diff, n, c->param[0].diff, n);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_parameter = {
	.schema = { "Parameter", "parameter_param", 145, 0, &parameter_message, NULL, 0, NULL },
	.doc = "a learned blob by itself",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 1,
	.shape = parameter_shape, .forward = parameter_forward, .backward = parameter_backward,
};
/* clang-format on */
