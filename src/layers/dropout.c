/*
 * Dropout: in training each value is zeroed with probability dropout_ratio and the rest scaled by 1 / (1 - ratio), so
 * that the sum keeps its expectation; in testing nothing happens.
 *
 * The mask of the last forward pass is state, one byte a value. Each piece of the blob draws from a stream of its own,
 * seeded from the layer's: the mask does not depend on the number of threads.
 */
#include "layer.h"
#include "onnx.h"
#include "op.h"

#include <string.h>

struct dropout_param {
	float dropout_ratio;
};

/* clang-format off */
static const struct moka_field dropout_fields[] = { MOKA_F_FLOAT(struct dropout_param, dropout_ratio, 1, 0.5,
								 "probability that a value is zeroed in training"),
						    MOKA_F_END };
static const struct moka_message dropout_message = { "DropoutParameter", dropout_fields, sizeof(struct dropout_param) };

#define PIECE 16384

static enum moka_status dropout_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct dropout_param *p = l->param;

	MOKA_TRY(moka_shape_same(l, f));
	if (!(p->dropout_ratio >= 0 && p->dropout_ratio <= 1))
		return moka_layer_bad(l, f, "bad-setting", "dropout_ratio",
				      "dropout_ratio %g is not a probability (0 to 1)", (double)p->dropout_ratio);
	l->state_bytes = l->phase == MOKA_TRAIN ? moka_layer_bytes(moka_shape_count(&l->bottom[0].shape), 1) : 0;
	return MOKA_OK;
}

struct dropout_job {
	double ratio;
	real scale;
	uint64_t seed;
	uint8_t *mask;
	const real *x;
	real *out;
};
/* clang-format on */

static struct dropout_job dropout_job(const struct moka_layer *l, const struct moka_call *c, const real *x, real *out)
{
	const struct dropout_param *p = l->param;
	struct dropout_job j = { .ratio = (double)p->dropout_ratio, .mask = c->state, .x = x, .out = out };

	j.scale = p->dropout_ratio < 1 ? 1 / (1 - (real)p->dropout_ratio) : 0;
	return j;
}

static void apply_range(void *arg, int64_t begin, int64_t end)
{
	const struct dropout_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->mask[i] ? j->x[i] * j->scale : 0;
}

static void drop_range(void *arg, int64_t begin, int64_t end)
{
	const struct dropout_job *j = arg;
	struct moka_rng rng;

	moka_rng_seed(&rng, j->seed, (uint64_t)(begin / PIECE));
	for (int64_t i = begin; i < end; i++)
		j->mask[i] = moka_rng_uniform(&rng) >= j->ratio;
	apply_range(arg, begin, end);
}

static void copy_range(void *arg, int64_t begin, int64_t end)
{
	const struct dropout_job *j = arg;

	memcpy(j->out + begin, j->x + begin, (size_t)(end - begin) * sizeof(real));
}

static enum moka_status dropout_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct dropout_job j = dropout_job(l, c, c->bottom[0].data, c->top[0].data);

	if (l->phase == MOKA_TRAIN) {
		j.seed = moka_rng_next(c->rng);
		moka_parallel(c->pool, drop_range, &j, c->top[0].count, PIECE);
	} else if (j.x != j.out) {
		moka_parallel(c->pool, copy_range, &j, c->top[0].count, PIECE);
	}
	return MOKA_OK;
}

static enum moka_status dropout_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct dropout_job j = dropout_job(l, c, c->top[0].diff, c->bottom[0].diff);

	if (!j.out)
		return MOKA_OK;
	if (!j.x)
		moka_set(c->bottom[0].count, 0, j.out);
	else if (l->phase == MOKA_TRAIN)
		moka_parallel(c->pool, apply_range, &j, c->top[0].count, PIECE);
	else if (j.x != j.out)
		moka_parallel(c->pool, copy_range, &j, c->top[0].count, PIECE);
	return MOKA_OK;
}

static enum moka_status dropout_onnx(struct moka_onnx *o)
{
	return moka_onnx_same(o, 0);
}

static bool dropout_lower(const struct moka_layer *l, struct moka_op *op)
{
	return l->phase == MOKA_TEST && moka__op_identity(op);
}

/* In training, the n-th number drawn is for the n-th value of the plain form. */
static enum moka_layout dropout_layout(const struct moka_layer *l, int block)
{
	(void)block;
	return l->phase == MOKA_TRAIN ? MOKA_LAYOUT_PLAIN : MOKA_LAYOUT_ALIKE;
}

const struct moka_layer_type moka_layer_dropout = {
	.schema = { "Dropout", "dropout_param", 108, 12, &dropout_message, "DROPOUT", 6, NULL },
	.doc = "zeroes values at random while training, scales up the rest",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_ELEMENTWISE | MOKA_PARTIAL | MOKA_KEEPS_SIGN,
	.shape = dropout_shape,
	.forward = dropout_forward,
	.backward = dropout_backward,
	.onnx = dropout_onnx,
	.lower = dropout_lower,
	.layout = dropout_layout,
};
