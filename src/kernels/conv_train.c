/*
 * conv_train.c - the passes of a planned convolution of training: forward, the gradient of data, and what the gradient of weights is
 * called with. Groups of channels are done one by one; tensors of the other layout are copied into the scratch, or out of it.
 */
#include "conv_train_plan.h"

#include <string.h>

/* ---- scratch ---------------------------------------------------------------------------------------- */

/* x and y as blocked tensors of the scratch's own. */
static size_t x_bytes(const struct moka_conv_train *t)
{
	return moka__lines(
		(size_t)(t->d.images * moka_tensor_image(t->d.channels, t->d.height, t->d.width, t->k->block)) *
		sizeof(real));
}

static size_t y_bytes(const struct moka_conv_train *t)
{
	return moka__lines((size_t)(t->d.images * moka_tensor_image(t->d.outputs, t->out[0], t->out[1], t->k->block)) *
			   sizeof(real));
}

static size_t copies_bytes(const struct moka_conv_train *t, bool x, bool y)
{
	return (x ? x_bytes(t) : 0) + (y ? y_bytes(t) : 0);
}

static size_t bias_bytes(const struct moka_conv_train *t)
{
	return moka__lines((size_t)(MOKA_MAX(t->in_blocks, t->out_blocks) * t->k->block) * sizeof(real));
}

static size_t run_bytes(const struct moka_conv_train *t, const struct moka__conv_phase *p, int threads)
{
	const size_t pack = (size_t)threads * moka__conv_train_slot(t);
	const size_t run = p->scatter  ? moka__conv_scatter_scratch(t, threads)
			   : p->spread ? moka__conv_spread_scratch(t, p, threads)
				       : moka_conv_op_scratch(p->op, threads);

	if (p->late)
		return pack + (p->op->tile ? moka__conv_scratch_winograd_late(p->op, threads)
					   : moka__conv_scratch_direct_late(p->op, threads));
	return moka__lines((size_t)p->op->n_weights * sizeof(real)) + MOKA_MAX(pack, run);
}

static bool data_is_steps(const struct moka_conv_train *t)
{
	return t->data[0].op && t->data[0].op->algorithm == MOKA_CONV_FIRST;
}

size_t moka_conv_train_scratch(const struct moka_conv_train *t, int threads)
{
	const bool in = t->d.in_block == 1, out = t->d.out_block == 1;
	size_t most = copies_bytes(t, in && !t->first, out) + bias_bytes(t) + run_bytes(t, &t->forward, threads), n;

	for (int64_t i = 0; i < t->n_data; i++)
		if (t->data[i].op) {
			n = copies_bytes(t, in, out && !data_is_steps(t)) + bias_bytes(t) +
			    run_bytes(t, &t->data[i], threads);
			most = MOKA_MAX(most, n);
		}
	n = copies_bytes(t, in && !t->first, out) + moka__conv_weights_scratch(t, threads);
	return MOKA_MAX(most, n) + 64;
}

/* ---- passes ----------------------------------------------------------------------------------------- */

static struct moka_tensor blocked(const struct moka_conv_train *t, const struct moka_tensor *like, char **scratch,
				  size_t bytes)
{
	struct moka_tensor b = *like;

	b.block = t->k->block;
	b.data = (real *)*scratch;
	b.image_stride = moka_tensor_image(b.channels, b.height, b.width, b.block);
	*scratch += bytes;
	return b;
}

/* x blocked: itself, or a copy. */
static struct moka_tensor read_blocked(const struct moka_conv_train *t, struct moka_pool *pool,
				       const struct moka_tensor *x, char **scratch, size_t bytes)
{
	struct moka_tensor b = *x;

	if (x->block == 1) {
		b = blocked(t, x, scratch, bytes);
		moka_relayout(pool, x, &b);
	}
	return b;
}

static void run_phase(const struct moka_conv_train *t, const struct moka__conv_phase *p, struct moka_pool *pool,
		      const real *w, const real *bias, const struct moka_tensor *x, const struct moka_tensor *y,
		      char *scratch)
{
	const int64_t outs = p->op->d.outputs, whole = p->op->out_blocks * t->k->block;
	real *own_bias = (real *)scratch, *packed = (real *)(scratch + bias_bytes(t));
	char *rest = (char *)packed + moka__lines((size_t)p->op->n_weights * sizeof(real));
	struct moka__conv_run r = {
		.op = p->op, .pool = pool, .x = x, .y = y, .scratch = rest, .weights = packed, .bias = own_bias
	};

	memset(own_bias, 0, (size_t)whole * sizeof(real));
	if (bias)
		memcpy(own_bias, bias, (size_t)outs * sizeof(real));
	if (p->late) {
		r.scratch = (char *)packed + (size_t)moka_pool_threads(pool) * moka__conv_train_slot(t);
		moka__conv_train_run_late(t, p, w, &r, (char *)packed);
		return;
	}
	moka__conv_train_pack(t, p, pool, w, packed, rest);
	if (p->scatter)
		moka__conv_scatter_run(t, p, pool, packed, x, y, rest);
	else if (p->spread)
		moka__conv_spread_run(t, p, pool, packed, x, y, rest);
	else
		moka__conv_run(&r);
}

/* Channels of group g. */
static struct moka_tensor part_of(const struct moka_conv_train *t, const struct moka_tensor *x, int64_t g)
{
	struct moka_tensor part = *x;

	part.channels /= t->groups;
	part.data += g * part.channels * x->height * x->width;
	return part;
}

static int64_t group_weights(const struct moka_conv_train *t)
{
	return t->d.outputs * t->d.channels * t->taps;
}

static void forward_group(const struct moka_conv_train *t, struct moka_pool *pool, const real *w, const real *bias,
			  const struct moka_tensor *x, const struct moka_tensor *y, char *at)
{
	struct moka_tensor bx = *x, by = *y;

	if (!t->first)
		bx = read_blocked(t, pool, x, &at, x_bytes(t));
	if (y->block == 1)
		by = blocked(t, y, &at, y_bytes(t));
	run_phase(t, &t->forward, pool, w, bias, &bx, &by, at);
	if (y->block == 1)
		moka_relayout(pool, &by, y);
}

void moka_conv_train_forward(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			     const real *w, const real *bias, const struct moka_tensor *x, const struct moka_tensor *y,
			     void *scratch)
{
	if (t->flat && ws &&
	    moka_conv_batch_forward(pool, ws, &t->plain, t->d.outputs, t->d.images, w, bias, x->data, x->image_stride,
				    y->data, y->image_stride))
		return;
	for (int64_t g = 0; g < t->groups; g++) {
		const struct moka_tensor gx = part_of(t, x, g), gy = part_of(t, y, g);

		forward_group(t, pool, w + g * group_weights(t), bias ? bias + g * t->d.outputs : NULL, &gx, &gy,
			      scratch);
	}
}

/* Places of dx that no tap sees. */
struct unseen {
	const struct moka_conv_train *t;
	const struct moka_tensor *dx;
};

static void zero_item(void *arg, int64_t item, int slot)
{
	const struct unseen *u = arg;
	const struct moka_conv_train *t = u->t;
	const struct moka_conv_train_desc *d = &t->d;
	const int64_t b = u->dx->block, n = item / t->in_blocks, block = item % t->in_blocks;
	real *plane = u->dx->data + n * u->dx->image_stride + block * d->height * d->width * b;

	(void)slot;
	for (int64_t y = 0; y < d->height; y++)
		for (int64_t i = 0; i < t->n_data; i++) {
			const struct moka__conv_phase *p = &t->data[i];
			if (p->op || y % d->stride[0] != p->from[0])
				continue;
			for (int64_t x = p->from[1]; x < d->width; x += d->stride[1])
				memset(plane + (y * d->width + x) * b, 0, (size_t)b * sizeof(real));
		}
}

static void data_group(const struct moka_conv_train *t, struct moka_pool *pool, const real *w,
		       const struct moka_tensor *dy, const struct moka_tensor *dx, char *at)
{
	struct moka_tensor by = *dy, bx = *dx;
	bool zeros = false;

	if (t->data[0].scatter || t->data[0].spread) {
		run_phase(t, &t->data[0], pool, w, NULL, dy, dx, at);
		return;
	}
	if (!data_is_steps(t))
		by = read_blocked(t, pool, dy, &at, y_bytes(t));
	if (dx->block == 1)
		bx = blocked(t, dx, &at, x_bytes(t));
	for (int64_t i = 0; i < t->n_data; i++)
		zeros |= !t->data[i].op;
	if (zeros)
		moka__deal(pool, t->d.images * t->in_blocks, zero_item, &(struct unseen){ t, &bx });
	for (int64_t i = 0; i < t->n_data; i++)
		if (t->data[i].op)
			run_phase(t, &t->data[i], pool, w, NULL, &by, &bx, at);
	if (dx->block == 1)
		moka_relayout(pool, &bx, dx);
}

void moka_conv_train_data(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			  const real *w, const struct moka_tensor *dy, const struct moka_tensor *dx, void *scratch)
{
	(void)ws;
	for (int64_t g = 0; g < t->groups; g++) {
		const struct moka_tensor gy = part_of(t, dy, g), gx = part_of(t, dx, g);

		data_group(t, pool, w + g * group_weights(t), &gy, &gx, scratch);
	}
}

void moka_conv_train_weights(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			     const struct moka_tensor *x, const struct moka_tensor *dy, real *dw, real *db,
			     void *scratch)
{
	(void)ws;
	for (int64_t g = 0; g < t->groups; g++) {
		const struct moka_tensor gx = part_of(t, x, g), gy = part_of(t, dy, g);
		char *at = scratch;
		const struct moka_tensor bx = t->first ? gx : read_blocked(t, pool, &gx, &at, x_bytes(t));
		const struct moka_tensor by = read_blocked(t, pool, &gy, &at, y_bytes(t));

		moka__conv_weights_run(t, pool, &bx, &by, dw ? dw + g * group_weights(t) : NULL,
				       db ? db + g * t->d.outputs : NULL, at);
	}
}
