/*
 * Threshold: y = 1 for x > threshold, 0 otherwise. A step has no useful gradient: nothing flows back.
 */
#include "neuron.h"
#include "onnx.h"

struct threshold_param {
	float threshold;
};

/* clang-format off */
static const struct moka_field threshold_fields[] = {
	MOKA_F_FLOAT(struct threshold_param, threshold, 1, 0, "values above it become 1, the others 0"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message threshold_message = { "ThresholdParameter", threshold_fields,
						       sizeof(struct threshold_param) };

static void threshold_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real threshold = (real)((const struct threshold_param *)j->set)->threshold;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->x[i] > threshold ? 1 : 0;
}

static enum moka_status threshold_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, threshold_range, l->param);
}

static enum moka_status threshold_onnx(struct moka_onnx *o)
{
	const struct threshold_param *p = o->layer->param;
	const char *above = moka_onnx_value(o);

	moka_onnx_node(o, "Greater", above, o->bottom[0], moka_onnx_number(o, (double)p->threshold), NULL);
	moka_onnx_int(o, moka_onnx_node(o, "Cast", o->top[0], above, NULL), "to", 1); /* float */
	return o->status;
}

const struct moka_layer_type moka_layer_threshold = {
	.schema = { "Threshold", "threshold_param", 128, 25, &threshold_message, "THRESHOLD", 31, NULL },
	.doc = "1 above a threshold, 0 up to it",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = moka_shape_same,
	.forward = threshold_forward,
	.onnx = threshold_onnx,
};
