/*
 * Bias: adds a learned bias, or a second bottom, over the axes from `axis` on.
 */
#include "affine.h"
#include "onnx.h"
#include "op.h"

struct bias_param {
	int32_t axis, num_axes;
	const struct moka_filler_param *filler;
};

/* clang-format off */
static const struct moka_field bias_fields[] = {
	MOKA_F_INT32(struct bias_param, axis, 1, 1, "first axis that the bias covers; negative counts from the end"),
	MOKA_F_INT32(struct bias_param, num_axes, 2, 1, "axes of a learned bias: 0 is one number for all, -1 all that follow"),
	MOKA_F_MSG(struct bias_param, filler, 3, &moka_filler_message, "first values of the bias"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message bias_message = { "BiasParameter", bias_fields, sizeof(struct bias_param) };

static enum moka_status bias_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct bias_param *p = l->param;
	struct moka__affine *v = moka_layer_priv(l, sizeof(*v));
	struct moka_shape factor;

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(moka__affine_place(l, f, p->axis, p->num_axes, v, &factor));
	l->top[0].shape = l->bottom[0].shape;
	return l->n_bottom == 1 ? moka_layer_filled(l, f, "bias", factor, "filler", p->filler) : MOKA_OK;
}

static enum moka_status bias_forward(const struct moka_layer *l, struct moka_call *c)
{
	const real *bias = l->n_bottom > 1 ? c->bottom[1].data : c->param[0].data;

	if (c->bottom[0].block > 1)
		moka__affine_blocked_forward(c, NULL, bias);
	else
		moka__affine_forward(c->pool, l->priv, c->bottom[0].data, NULL, bias, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status bias_backward(const struct moka_layer *l, struct moka_call *c)
{
	const bool learned = l->n_bottom == 1;
	real *dbias = learned ? c->param[0].diff : c->bottom[1].diff;

	if (c->bottom[0].block > 1)
		moka__affine_blocked_backward(c, NULL, NULL, NULL, dbias);
	else
		moka__affine_backward(c->pool, l->priv, NULL, c->top[0].diff, NULL, NULL, false, dbias, learned,
				      c->bottom[0].diff);
	return MOKA_OK;
}

static enum moka_status bias_onnx(struct moka_onnx *o)
{
	const struct bias_param *p = o->layer->param;

	moka_onnx_node(o, "Add", o->top[0], o->bottom[0], moka__affine_onnx(o, p->axis), NULL);
	return o->status;
}

static void bias_values(const struct moka_layer *l, const struct moka_view *param, real *scale, real *shift)
{
	for (int64_t i = 0; i < ((const struct moka__affine *)l->priv)->dim; i++) {
		scale[i] = 1;
		shift[i] = param[0].data[i];
	}
}

static bool bias_lower(const struct moka_layer *l, struct moka_op *op)
{
	op->affine.scale = -1;
	op->affine.shift = 0;
	return l->n_bottom == 1 && moka__affine_lower(l, bias_values, op);
}

/* clang-format off */
const struct moka_layer_type moka_layer_bias = {
	.schema = { "Bias", "bias_param", 141, 0, &bias_message, NULL, 0, NULL },
	.doc = "adds a bias (learned, or a second input)",
	.min_bottom = 1, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_PARTIAL,
	.shape = bias_shape, .forward = bias_forward, .backward = bias_backward,
	.onnx = bias_onnx,
	.lower = bias_lower, .layout = moka__affine_layout, .fit = moka__affine_fit,
};
/* clang-format on */
