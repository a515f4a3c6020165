/*
 * conv_train.c - convolution for training: the plan, forward, and the gradient of data.
 *
 * The gradient of data is a convolution of dy with the kernel turned around, inputs and outputs changing places. Strides cut dx into
 * phases: the rows (columns) of dx that are equal modulo the stride see the same taps, each phase is a convolution
 * of its own whose outputs are a stride apart.
 *
 * Tensors of the other layout are copied into the scratch, or out of it.
 */
#include "conv_train_plan.h"

#include <stdlib.h>
#include <string.h>

static bool sizes(const struct moka_conv_train_desc *d, int64_t out[2])
{
	const int64_t in[2] = { d->height, d->width };

	for (int i = 0; i < 2; i++) {
		if (d->kernel[i] < 1 || d->stride[i] < 1 || d->dilation[i] < 1 || d->pad[i] < 0 || in[i] < 1)
			return false;
		out[i] = in[i] + 2 * d->pad[i] - (d->dilation[i] * (d->kernel[i] - 1) + 1);
		if (out[i] < 0)
			return false;
		out[i] = out[i] / d->stride[i] + 1;
	}
	return d->images > 0 && d->channels > 0 && d->outputs > 0 && d->group > 0;
}

bool moka_conv_train_takes(const struct moka_conv_train_desc *d)
{
	const int64_t b = moka_block();
	int64_t out[2];

	if (b == 1 || !sizes(d, out))
		return false;
	if ((d->in_block != 1 && d->in_block != b) || (d->out_block != 1 && d->out_block != b))
		return false;
	return d->group == 1 || (d->channels % (d->group * b) == 0 && d->outputs % (d->group * b) == 0);
}

/* ---- the plan --------------------------------------------------------------------------------------- */

static bool three_by_three(const struct moka_conv_train_desc *d)
{
	return d->kernel[0] == 3 && d->kernel[1] == 3 && d->stride[0] == 1 && d->stride[1] == 1 &&
	       d->dilation[0] == 1 && d->dilation[1] == 1;
}

/* Few channels of a plain image: steps for each, rather than blocks with spare lanes. */
static bool by_steps(int64_t channels, int block)
{
	return channels < 4 * block && channels % block && (channels % block < 3 * block / 4);
}

/*
 * Whether F(4x4) is worth it: multiply-adds at full speed, with a vector's way through the transforms and what making the weights in
 * every pass takes.
 */
static bool winograd_pays(const struct moka_conv_train *t, const int64_t out[2])
{
	const int64_t tiles = t->d.images * moka__ceil_div(out[0], 4) * moka__ceil_div(out[1], 4);
	const double in = (double)(t->in_blocks * t->k->block), outs = (double)(t->out_blocks * t->k->block);
	const double direct = (double)(t->d.images * out[0] * out[1]) * 9 * in * outs * 1.06;

	return (double)tiles * 36 * (in * outs * 1.1 + (in + outs) * 12) + in * outs * 250 < direct;
}

/* More than this of Winograd's weights would pass through memory on their way. */
#define LATE_BYTES ((int64_t)4 * 1000 * 1000)

static bool is_late(const struct moka_conv_op *op)
{
	return op->tile && op->n_weights * (int64_t)sizeof(real) > LATE_BYTES;
}

static struct moka_conv_desc forward_desc(const struct moka_conv_train *t)
{
	const struct moka_conv_train_desc *d = &t->d;
	const int b = t->k->block;

	return (struct moka_conv_desc){ .images = d->images,
					.channels = d->channels,
					.height = d->height,
					.width = d->width,
					.outputs = d->outputs,
					.group = 1,
					.kernel = { d->kernel[0], d->kernel[1] },
					.stride = { d->stride[0], d->stride[1] },
					.pad = { d->pad[0], d->pad[1] },
					.dilation = { d->dilation[0], d->dilation[1] },
					.in_block = t->first ? 1 : b,
					.out_block = b };
}

static enum moka_status plan_forward(struct moka_conv_train *t)
{
	const struct moka_conv_desc d = forward_desc(t);
	enum moka_conv_algorithm a = t->first ? MOKA_CONV_FIRST : MOKA_CONV_DIRECT;

	if (!t->first && three_by_three(&t->d) && winograd_pays(t, t->out))
		a = MOKA_CONV_WINOGRAD4;
	if (moka__conv_op_plan(&t->forward.op, &d, t->out, a))
		return MOKA_ERR_NOMEM;
	t->forward.late = is_late(t->forward.op);
	return MOKA_OK;
}

/* Taps of one axis that places from, from + stride ... see: which, and how far from place / stride it looks. Returns how many. */
static int64_t phase_taps(const struct moka_conv_train_desc *d, int axis, int64_t from, int64_t *tap, int64_t *at)
{
	int64_t n = 0;

	for (int64_t k = d->kernel[axis] - 1; k >= 0; k--) {
		const int64_t far = from + d->pad[axis] - k * d->dilation[axis];
		if (far % d->stride[axis])
			continue;
		tap[n] = k, at[n++] = far / d->stride[axis];
	}
	return n;
}

/* The gradient of data with stride 1, by an algorithm that takes padding, if there is one. */
static enum moka_conv_algorithm data_algorithm(const struct moka_conv_train *t, const struct moka_conv_desc *d,
					       const int64_t size[2])
{
	const struct moka_conv_train_desc *of = &t->d;

	if (of->stride[0] != 1 || of->stride[1] != 1 || d->pad[0] < 0 || d->pad[1] < 0)
		return MOKA_CONV_DIRECT;
	if (of->out_block == 1 && by_steps(of->outputs, t->k->block))
		return MOKA_CONV_FIRST;
	return three_by_three(of) && winograd_pays(t, size) ? MOKA_CONV_WINOGRAD4 : MOKA_CONV_DIRECT;
}

static enum moka_status plan_phase(struct moka_conv_train *t, struct moka__conv_phase *p, const int64_t from[2],
				   int64_t *memory)
{
	const struct moka_conv_train_desc *of = &t->d;
	const int64_t in[2] = { of->height, of->width }, most = of->kernel[0] + of->kernel[1];
	int64_t *tap[2] = { memory, memory + of->kernel[0] }, *at[2] = { tap[0] + most, tap[1] + most };
	struct moka_conv_desc d = forward_desc(t);
	enum moka_conv_algorithm a;
	int64_t size[2], n = 0;

	d.channels = of->outputs, d.outputs = of->channels, d.height = t->out[0], d.width = t->out[1];
	for (int i = 0; i < 2; i++) {
		p->from[i] = from[i];
		size[i] = moka__ceil_div(in[i] - from[i], of->stride[i]);
		d.kernel[i] = phase_taps(of, i, from[i], tap[i], at[i]);
		d.pad[i] = of->dilation[i] * (of->kernel[i] - 1) - of->pad[i];
		d.stride[i] = 1;
	}
	p->turned = true;
	if (d.kernel[0] * d.kernel[1] == 0)
		return MOKA_OK;
	d.in_block = d.out_block = t->k->block;
	p->scatter = moka__conv_scatter_pays(t);
	a = p->scatter ? MOKA_CONV_DIRECT : data_algorithm(t, &d, size);
	d.in_block = a == MOKA_CONV_FIRST ? 1 : d.in_block;
	p->taps = malloc((size_t)(d.kernel[0] * d.kernel[1]) * sizeof(*p->taps));
	if (!p->taps || moka__conv_op_plan(&p->op, &d, size, a))
		return MOKA_ERR_NOMEM;
	p->late = is_late(p->op);
	for (int64_t i = 0; i < d.kernel[0]; i++)
		for (int64_t k = 0; k < d.kernel[1]; k++, n++) {
			p->taps[n] = tap[0][i] * of->kernel[1] + tap[1][k];
			if (a == MOKA_CONV_DIRECT)
				p->op->taps[2 * n] = at[0][i], p->op->taps[2 * n + 1] = at[1][k];
		}
	p->op->target = (struct moka__conv_target){
		{ of->stride[0], of->stride[1] }, { from[0], from[1] }, of->height, of->width
	};
	return MOKA_OK;
}

static enum moka_status plan_data(struct moka_conv_train *t)
{
	const struct moka_conv_train_desc *d = &t->d;
	const int64_t n[2] = { MOKA_MIN(d->stride[0], d->height), MOKA_MIN(d->stride[1], d->width) };
	int64_t *memory = malloc(2 * (size_t)(d->kernel[0] + d->kernel[1]) * sizeof(*memory));
	enum moka_status status = MOKA_OK;

	t->data = calloc((size_t)(n[0] * n[1]), sizeof(*t->data));
	if (!t->data || !memory)
		status = MOKA_ERR_NOMEM;
	for (int64_t i = 0; !status && i < n[0] * n[1]; i++) {
		const int64_t from[2] = { i / n[1], i % n[1] };
		status = plan_phase(t, &t->data[t->n_data++], from, memory);
	}
	free(memory);
	return status;
}

enum moka_status moka_conv_train_new(struct moka_conv_train **out, const struct moka_conv_train_desc *d)
{
	struct moka_conv_train *t;
	enum moka_status status;

	*out = NULL;
	if (!moka_conv_train_takes(d))
		return MOKA_ERR_ARG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return MOKA_ERR_NOMEM;
	t->d = *d;
	t->groups = d->group;
	t->d.group = 1, t->d.channels /= d->group, t->d.outputs /= d->group;
	t->k = moka__blocked_choose();
	sizes(d, t->out);
	t->taps = d->kernel[0] * d->kernel[1];
	t->in_blocks = moka__ceil_div(t->d.channels, t->k->block);
	t->out_blocks = moka__ceil_div(t->d.outputs, t->k->block);
	t->first = d->in_block == 1 && by_steps(t->d.channels, t->k->block);
	status = plan_forward(t);
	if (!status)
		status = plan_data(t);
	if (!status && !moka__conv_weights_plan(t))
		status = MOKA_ERR_NOMEM;
	if (status) {
		moka_conv_train_free(t);
		return status;
	}
	*out = t;
	return MOKA_OK;
}

void moka_conv_train_free(struct moka_conv_train *t)
{
	if (!t)
		return;
	moka_conv_op_free(t->forward.op);
	for (int64_t i = 0; i < t->n_data; i++) {
		moka_conv_op_free(t->data[i].op);
		free(t->data[i].taps);
	}
	free(t->data);
	free(t->weights.groups);
	free(t);
}

const char *moka_conv_train_name(const struct moka_conv_train *t)
{
	return moka_conv_op_name(t->forward.op);
}

/* ---- scratch ---------------------------------------------------------------------------------------- */

/* x and y as blocked tensors of the scratch's own. */
static size_t x_bytes(const struct moka_conv_train *t)
{
	return moka__lines((size_t)(t->d.images * moka_tensor_image(t->d.channels, t->d.height, t->d.width,
								    t->k->block)) *
			   sizeof(real));
}

static size_t y_bytes(const struct moka_conv_train *t)
{
	return moka__lines(
		(size_t)(t->d.images * moka_tensor_image(t->d.outputs, t->out[0], t->out[1], t->k->block)) *
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
	const size_t run = p->scatter ? moka__conv_scatter_scratch(t, threads) :
					moka_conv_op_scratch(p->op, threads);

	if (p->late)
		return pack + moka__conv_scratch_winograd_late(p->op, threads);
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
	(void)ws;
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

	if (t->data[0].scatter) {
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
