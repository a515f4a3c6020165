/*
 * Softmax: y = exp(x) / sum(exp(x)) along an axis (the channels, unless said otherwise); each other place for itself.
 *
 * The maximum is taken off first, so nothing overflows. dx = y * (dy - sum(y * dy)) reads outputs only: works in place.
 */
#include "loss.h"
#include "onnx.h"

/* clang-format off */
static const struct moka_field softmax_fields[] = {
	MOKA_F_ENGINE(1),
	MOKA_F_INT32(struct moka__softmax_param, axis, 2, 1,
		     "the axis along which the values add up to 1; negative counts from the end"),
	MOKA_F_END
};
/* clang-format on */
const struct moka_message moka__softmax_message = { "SoftmaxParameter", softmax_fields,
						    sizeof(struct moka__softmax_param) };

#define COLUMNS 64

static enum moka_status softmax_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__softmax_param *p = l->param;
	struct moka__scores *s = moka_layer_priv(l, sizeof(*s));

	MOKA_TRY(moka_shape_same(l, f));
	if (!s)
		return MOKA_ERR_NOMEM;
	return moka__scores_shape(l, f, p->axis, s);
}

static enum moka_status softmax_forward(const struct moka_layer *l, struct moka_call *c)
{
	moka__softmax(c->pool, l->priv, c->bottom[0].data, c->top[0].data);
	return MOKA_OK;
}

struct softmax_job {
	struct moka__scores s;
	int64_t blocks; /* of COLUMNS places in inner */
	const real *y, *dy;
	real *dx;
};

static void softmax_gradient_blocks(void *arg, int64_t begin, int64_t end)
{
	const struct softmax_job *j = arg;
	const int64_t stride = j->s.inner;

	for (int64_t b = begin; b < end; b++) {
		int64_t column = b % j->blocks * COLUMNS;
		int64_t at = b / j->blocks * j->s.classes * stride + column;
		const int w = (int)MOKA_MIN(COLUMNS, stride - column);
		const real *y = j->y + at, *dy = j->dy + at;
		real *dx = j->dx + at, dot[COLUMNS] = { 0 };

		for (int64_t i = 0; i < j->s.classes; i++)
			for (int k = 0; k < w; k++)
				dot[k] += y[i * stride + k] * dy[i * stride + k];
		for (int64_t i = 0; i < j->s.classes; i++)
			for (int k = 0; k < w; k++)
				dx[i * stride + k] = y[i * stride + k] * (dy[i * stride + k] - dot[k]);
	}
}

static enum moka_status softmax_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__scores *s = l->priv;
	struct softmax_job j = { *s, (s->inner + COLUMNS - 1) / COLUMNS, c->top[0].data, c->top[0].diff,
				 c->bottom[0].diff };

	if (!j.dx)
		return MOKA_OK;
	if (j.dy)
		moka_parallel(c->pool, softmax_gradient_blocks, &j, s->outer * j.blocks,
			      moka__loss_tile(s->classes * MOKA_MIN(COLUMNS, s->inner)));
	else
		moka_set(c->bottom[0].count, 0, j.dx);
	return MOKA_OK;
}

static enum moka_status softmax_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct moka__softmax_param *p = l->param;

	moka_onnx_int(o, moka_onnx_node(o, "Softmax", o->top[0], o->bottom[0], NULL), "axis",
		      moka_shape_axis(&l->bottom[0].shape, p->axis));
	return o->status;
}

const struct moka_layer_type moka_layer_softmax = {
	.schema = { "Softmax", "softmax_param", 125, 39, &moka__softmax_message, "SOFTMAX", 20, NULL },
	.doc = "turns scores into probabilities that add up to 1",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = softmax_shape,
	.forward = softmax_forward,
	.backward = softmax_backward,
	.onnx = softmax_onnx,
};
