/*
 * HardSigmoid: y = min(max(alpha * x + beta, 0), 1); alpha 0.2 and beta 0.5 unless said otherwise.
 *
 * The output tells where the gradient passes, strictly between 0 and 1. (One fork's backward pass tests the output
 * against +-2.5, which lets it pass everywhere; here it is the derivative.)
 */
#include "neuron.h"

struct hard_sigmoid_param {
	float alpha, beta;
};

static const struct moka_field hard_sigmoid_fields[] = {
	MOKA_F_FLOAT(struct hard_sigmoid_param, alpha, 1, 0.2, "slope of the straight part"),
	MOKA_F_FLOAT(struct hard_sigmoid_param, beta, 2, 0.5, "value at 0"), MOKA_F_END
};
static const struct moka_message hard_sigmoid_message = { "HardSigmoidParameter", hard_sigmoid_fields,
							  sizeof(struct hard_sigmoid_param) };

static void hard_sigmoid_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const struct hard_sigmoid_param *p = j->set;
	const real alpha = (real)p->alpha, beta = (real)p->beta;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = MOKA_MIN(MOKA_MAX(alpha * j->x[i] + beta, (real)0), (real)1);
}

static enum moka_status hard_sigmoid_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_forward(l, c, hard_sigmoid_range, l->param);
}

static void hard_sigmoid_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct moka__neuron *j = arg;
	const real alpha = (real)((const struct hard_sigmoid_param *)j->set)->alpha;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->y[i] > 0 && j->y[i] < 1 ? alpha * j->dy[i] : 0;
}

static enum moka_status hard_sigmoid_backward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__neuron_backward(l, c, hard_sigmoid_gradient_range, l->param);
}

/* clang-format off */
const struct moka_layer_type moka_layer_hard_sigmoid = {
	.schema = { "HardSigmoid", "hard_sigmoid_param", 258, 0, &hard_sigmoid_message, NULL, 0, "synopsys-caffe, MobileNet-YOLO" },
	.doc = "a straight line cut off at 0 and 1, in place of Sigmoid",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = moka_shape_same, .forward = hard_sigmoid_forward, .backward = hard_sigmoid_backward,
};
/* clang-format on */
