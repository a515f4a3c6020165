/*
 * ContinuationIndicator (crnn.caffe): the sequence markers that LSTM wants, for batches in which every stream is one
 * sequence: 0 at the first of `time_step` steps, 1 at the others.
 *
 * top (time_step, batch): the batch is stated, or that of a bottom, whose values don't matter.
 */
#include "layer.h"

struct indicator_param {
	uint32_t time_step, batch_size;
	int32_t axis;
};

/* clang-format off */
#define P struct indicator_param
static const struct moka_field indicator_fields[] = {
	MOKA_F_UINT32(P, time_step, 1, 0, "steps of a sequence"),
	MOKA_F_UINT32(P, batch_size, 2, 0, "sequences in a batch, where there is no bottom to tell"),
	MOKA_F_INT32(P, axis, 3, 0, "the bottom's axis that is the batch"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message indicator_message = { "ContinuationIndicatorParameter", indicator_fields,
						       sizeof(struct indicator_param) };

static enum moka_status indicator_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct indicator_param *p = l->param;
	int64_t batch = p->batch_size;

	if (!p->time_step)
		return moka_layer_bad(l, f, "missing-setting", "time_step", "time_step must be at least 1");
	if (l->n_bottom) {
		const struct moka_shape *s = &l->bottom[0].shape;
		const int axis = s->n < 0 ? -1 : moka_layer_axis(l, f, "axis", p->axis, s);

		if (s->n >= 0 && axis < 0)
			return MOKA_ERR_MODEL;
		batch = s->n < 0 ? -1 : s->d[axis];
	} else if (!batch) {
		return moka_layer_bad(l, f, "missing-setting", "batch_size",
				      "batch_size must be at least 1 where no bottom tells the batch");
	}
	l->top[0].shape = moka_shape_make(2, (int64_t)p->time_step, batch);
	return MOKA_OK;
}

static enum moka_status indicator_forward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t batch = l->top[0].shape.d[1];

	for (int64_t i = 0; i < c->top[0].count; i++)
		c->top[0].data[i] = i < batch ? 0 : 1;
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_continuation_indicator = {
	.schema = { "ContinuationIndicator", "continuation_indicator_param", 201, 0, &indicator_message, NULL, 0, "crnn.caffe, CC4.0" },
	.doc = "sequence markers for LSTM: 0 at the first step, then 1",
	.min_bottom = 0, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = indicator_shape, .forward = indicator_forward,
};
/* clang-format on */
