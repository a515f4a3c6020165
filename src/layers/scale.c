/*
 * Scale: multiplies its first bottom by a learned factor, or by a second bottom, over the axes from `axis` on;
 * bias_term adds a learned bias as well.
 *
 *     bottom (outer..., dim..., inner...)  factor (dim...): a parameter (one bottom) or bottom 1  bias (dim...)
 *
 * In place the input is overwritten, so what backward needs of it is copied into the state.
 */
#include "affine.h"
#include "blocks.h"
#include "onnx.h"
#include "op.h"

#include <string.h>

struct scale_param {
	int32_t axis, num_axes;
	const struct moka_filler_param *filler, *bias_filler;
	bool bias_term;
};

/* clang-format off */
#define P struct scale_param
static const struct moka_field scale_fields[] = {
	MOKA_F_INT32(P, axis, 1, 1, "first axis that the factor covers; negative counts from the end"),
	MOKA_F_INT32(P, num_axes, 2, 1, "axes of a learned factor: 0 is one number for all, -1 all that follow"),
	MOKA_F_MSG(P, filler, 3, &moka_filler_message, "first values of the factor; absent: 1"),
	MOKA_F_BOOL(P, bias_term, 4, false, "also add a learned bias"),
	MOKA_F_MSG(P, bias_filler, 5, &moka_filler_message, "first values of the bias; absent: 0"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message scale_message = { "ScaleParameter", scale_fields, sizeof(struct scale_param) };

static const struct moka_filler_param ones = { .type = "constant", .value = 1, .max = 1, .std = 1, .sparse = -1 };

static bool in_place(const struct moka_layer *l)
{
	return l->bottom[0].name && l->top[0].name && !strcmp(l->bottom[0].name, l->top[0].name);
}

static enum moka_status scale_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct scale_param *p = l->param;
	struct moka__affine *v = moka_layer_priv(l, sizeof(*v));
	struct moka_shape factor;

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(moka__affine_place(l, f, p->axis, p->num_axes, v, &factor));
	l->top[0].shape = l->bottom[0].shape;
	v->saves_input = in_place(l);
	l->state_for_backward = true;
	l->state_bytes = v->saves_input ? moka_layer_bytes(moka_shape_count(&l->bottom[0].shape), sizeof(real)) : 0;
	if (l->n_bottom == 1)
		MOKA_TRY(moka_layer_filled(l, f, "scale", factor, "filler", p->filler ? p->filler : &ones));
	return p->bias_term ? moka_layer_filled(l, f, "bias", factor, "bias_filler", p->bias_filler) : MOKA_OK;
}

static enum moka_status scale_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct scale_param *p = l->param;
	const struct moka__affine *v = l->priv;
	const real *factor = l->n_bottom > 1 ? c->bottom[1].data : c->param[0].data;
	const real *bias = p->bias_term ? c->param[l->n_param - 1].data : NULL;

	if (v->saves_input && c->backward_follows)
		moka__copy(c->pool, c->bottom[0].count, c->bottom[0].data, c->state);
	if (c->bottom[0].block > 1) {
		moka__affine_blocked_forward(c, factor, bias);
		return MOKA_OK;
	}
	moka__affine_forward(c->pool, v, c->bottom[0].data, factor, bias, c->top[0].data);
	return MOKA_OK;
}

static enum moka_status scale_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct scale_param *p = l->param;
	const struct moka__affine *v = l->priv;
	const bool learned = l->n_bottom == 1;
	const struct moka_view *factor = learned ? &c->param[0] : &c->bottom[1];
	real *dbias = p->bias_term ? c->param[l->n_param - 1].diff : NULL;

	if (c->bottom[0].block > 1) {
		moka__affine_blocked_backward(c, v->saves_input ? c->state : NULL, factor->data, factor->diff, dbias);
		return MOKA_OK;
	}
	moka__affine_backward(c->pool, v, v->saves_input ? c->state : c->bottom[0].data, c->top[0].diff, factor->data,
			      factor->diff, learned, dbias, true, c->bottom[0].diff);
	return MOKA_OK;
}

static enum moka_status scale_onnx(struct moka_onnx *o)
{
	const struct scale_param *p = o->layer->param;
	const char *y = p->bias_term ? moka_onnx_value(o) : o->top[0];

	moka_onnx_node(o, "Mul", y, o->bottom[0], moka__affine_onnx(o, p->axis), NULL);
	if (p->bias_term)
		moka_onnx_node(o, "Add", o->top[0], y, moka__affine_onnx_param(o, p->axis, o->layer->n_param - 1),
			       NULL);
	return o->status;
}

static void scale_values(const struct moka_layer *l, const struct moka_view *param, real *scale, real *shift)
{
	const struct scale_param *p = l->param;
	const struct moka__affine *v = l->priv;

	for (int64_t i = 0; i < v->dim; i++) {
		scale[i] = param[0].data[i];
		shift[i] = p->bias_term ? param[l->n_param - 1].data[i] : 0;
	}
}

static bool scale_lower(const struct moka_layer *l, struct moka_op *op)
{
	op->affine.scale = 0;
	op->affine.shift = ((const struct scale_param *)l->param)->bias_term ? 1 : -1;
	return l->n_bottom == 1 && moka__affine_lower(l, scale_values, op);
}

/* clang-format off */
const struct moka_layer_type moka_layer_scale = {
	.schema = { "Scale", "scale_param", 142, 0, &scale_message, NULL, 0, NULL },
	.doc = "multiplies by a factor (learned, or a second input), and may add a bias",
	.min_bottom = 1, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_PARTIAL,
	.shape = scale_shape, .forward = scale_forward, .backward = scale_backward,
	.onnx = scale_onnx,
	.lower = scale_lower, .layout = moka__affine_layout, .fit = moka__affine_fit,
};
/* clang-format on */
