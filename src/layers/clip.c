/*
 * Clip: y = x held between min and max.
 *
 * A value that lies on a bound still passes its gradient. In place that can't be told from a value that was clipped, so
 * a copy of the input is kept.
 */
#include "neuron.h"
#include "onnx.h"

struct clip_param {
	float min, max;
};

/* clang-format off */
static const struct moka_field clip_fields[] = { MOKA_F_(struct clip_param, min, 1, MOKA_FLOAT, MOKA_REQUIRED, 0, NULL,
							 NULL, NULL, "the least value that passes unchanged"),
						 MOKA_F_(struct clip_param, max, 2, MOKA_FLOAT, MOKA_REQUIRED, 0, NULL,
							 NULL, NULL, "the greatest value that passes unchanged"),
						 MOKA_F_END };
static const struct moka_message clip_message = { "ClipParameter", clip_fields, sizeof(struct clip_param) };

static enum moka_status clip_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct clip_param *p = l->param;

	MOKA_TRY(moka_shape_same(l, f));
	if (!moka_has(l->sub, "min") || !moka_has(l->sub, "max"))
		return moka_layer_bad(l, f, "bad-setting", NULL, "clip_param must say both min and max; %s is missing",
				      moka_has(l->sub, "min")	? "max"
				      : moka_has(l->sub, "max") ? "min"
								: "each of them");
	if (!(p->min <= p->max))
		return moka_layer_bad(l, f, "bad-setting", "min", "min %g is greater than max %g", (double)p->min,
				      (double)p->max);
	moka__neuron_keep(l);
	return MOKA_OK;
}

static void clip_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct clip_param *p = j->set;
	const real min = (real)p->min, max = (real)p->max;

	for (int64_t i = begin; i < end; i++) {
		real x = max < j->x[i] ? max : j->x[i];
		j->out[i] = min < x ? x : min;
	}
}

static enum moka_status clip_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, clip_range, l->param);
}

static void clip_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct clip_param *p = j->set;
	const real min = (real)p->min, max = (real)p->max;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->x[i] >= min && j->x[i] <= max ? j->dy[i] : 0;
}

static enum moka_status clip_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, clip_gradient_range, l->param);
}

static enum moka_status clip_onnx(struct moka_onnx *o)
{
	const struct clip_param *p = o->layer->param;
	const char *low = moka_onnx_number(o, (double)p->min), *high = moka_onnx_number(o, (double)p->max);

	moka_onnx_node(o, "Clip", o->top[0], o->bottom[0], low, high, NULL);
	return o->status;
}

const struct moka_layer_type moka_layer_clip = {
	.schema = { "Clip", "clip_param", 148, 0, &clip_message, NULL, 0, NULL },
	.doc = "holds values between a least and a greatest one",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = clip_shape,
	.forward = clip_forward,
	.backward = clip_backward,
	.onnx = clip_onnx,
};
/* clang-format on */
