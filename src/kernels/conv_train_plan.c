/*
 * conv_train_plan.c - a convolution of training planned once: which algorithms, and the phases of its gradient of data.
 *
 * The gradient of data is a convolution of dy with the kernel turned around, inputs and outputs changing places. Strides cut dx into
 * phases: the rows (columns) of dx that are equal modulo the stride see the same taps, each phase is a convolution
 * of its own whose outputs are a stride apart.
 */
#include "conv_train_plan.h"

#include <stdlib.h>

static bool sizes(const struct moka_conv_train_desc *d, int64_t out[2])
{
	const int64_t in[2] = { d->height, d->width };

	for (int i = 0; i < 2; i++)
		if (!moka__conv_axis_size(in[i], d->kernel[i], d->stride[i], d->pad[i], d->dilation[i], &out[i]))
			return false;
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

bool moka__conv_is_dense(const struct moka_conv_train_desc *d, int64_t side)
{
	return d->kernel[0] == side && d->kernel[1] == side && d->stride[0] == 1 && d->stride[1] == 1 &&
	       d->dilation[0] == 1 && d->dilation[1] == 1;
}

/* Few channels of a plain image: steps for each, rather than blocks with spare lanes. */
static bool by_steps(int64_t channels, int block)
{
	return channels < 4 * block && channels % block && (channels % block < 3 * block / 4);
}

/* A Winograd's way in multiply-adds at full speed: sums, a vector's way through the transforms, and what making the weights takes. */
static double winograd_cost(const struct moka_conv_train *t, enum moka__wino_form form, double seen, double in,
			    double outs, const int64_t size[2])
{
	static const double turn[MOKA__WINO_FORMS] = { 12, 16, 16, 14 },
			    weights[MOKA__WINO_FORMS] = { 250, 400, 500, 330 };
	const int64_t m = moka__wino_tile(form), side = m + moka__wino_kernel(form) - 1;
	const int64_t tiles = t->d.images * moka__ceil_div(size[0], m) * moka__ceil_div(size[1], m);

	return (double)(tiles * side * side) * (seen * outs * 1.1 + (in + outs) * turn[form]) +
	       in * outs * weights[form];
}

/*
 * The algorithm of Winograd's that is worth it for 3x3 and 5x5, else the direct one; either sees the places of an image of `direct` and
 * `tiled` size. `steps`: the direct one would go by single channels. F(6x6, 3x3) gained 4 % at best and loses digits.
 */
static enum moka_conv_algorithm winograd_or_direct(const struct moka_conv_train *t, int64_t channels, int64_t outputs,
						   const int64_t direct[2], const int64_t tiled[2], bool steps)
{
	const int64_t b = t->k->block;
	const double in = (double)(moka__ceil_div(channels, b) * b), outs = (double)(moka__ceil_div(outputs, b) * b);
	const double seen = (double)(steps ? channels : moka__ceil_div(channels, 4) * 4);
	const double plain = (double)(t->d.images * direct[0] * direct[1] * t->taps) * seen * outs * 1.06;
	double four, five;

	if (moka__conv_is_dense(&t->d, 5))
		return winograd_cost(t, MOKA__WINO5, seen, in, outs, tiled) < plain ? MOKA_CONV_WINOGRAD5
										    : MOKA_CONV_DIRECT;
	if (!moka__conv_is_dense(&t->d, 3))
		return MOKA_CONV_DIRECT;
	four = winograd_cost(t, MOKA__WINO4, seen, in, outs, tiled);
	five = winograd_cost(t, MOKA__WINO5_3, seen, in, outs, tiled);
	if (MOKA_MIN(four, five) >= plain)
		return MOKA_CONV_DIRECT;
	return five < 0.97 * four ? MOKA_CONV_WINOGRAD5_3 : MOKA_CONV_WINOGRAD4;
}

/* More than this of Winograd's weights would pass through memory on their way. */
#define LATE_BYTES ((int64_t)4 * 1000 * 1000)
/* The same of 1x1, which are made anew for some places: so many are worth it, at most so many where they are transposed, or just copied. */
#define LATE_PLAIN_BYTES ((int64_t)1000 * 1000)
#define LATE_PLAIN_LEAST 64
#define LATE_PLAIN_MOST 480
#define LATE_COPY_MOST 1600

static bool is_late(const struct moka_conv_op *op, bool turned)
{
	const int64_t bytes = op->n_weights * (int64_t)sizeof(real), places = op->d.images * op->out[0] * op->out[1];

	if (op->tile)
		return bytes > LATE_BYTES;
	return op->algorithm == MOKA_CONV_DIRECT && op->d.kernel[0] * op->d.kernel[1] == 1 &&
	       bytes > LATE_PLAIN_BYTES && places >= LATE_PLAIN_LEAST &&
	       places <= (turned ? LATE_COPY_MOST : LATE_PLAIN_MOST);
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

/* Of few outputs between plain images lanes would hold nothing, and all of them would have to be turned. */
static void plan_flat(struct moka_conv_train *t)
{
	const struct moka_conv_train_desc *d = &t->d;
	struct moka_conv_geometry *g = &t->plain;

	*g = (struct moka_conv_geometry){ .axes = 2, .channels = d->channels, .in = { d->height, d->width } };
	for (int i = 0; i < 2; i++) {
		g->out[i] = t->out[i], g->kernel[i] = d->kernel[i], g->stride[i] = d->stride[i];
		g->pad[i] = d->pad[i], g->dilation[i] = d->dilation[i];
	}
	t->flat = t->first && d->out_block == 1 && 4 * d->outputs <= 3 * t->out_blocks * t->k->block &&
		  moka_conv_batch_takes(g, d->outputs, d->images);
}

static enum moka_status plan_forward(struct moka_conv_train *t)
{
	const bool steps = t->d.in_block == 1 && by_steps(t->d.channels, t->k->block);
	enum moka_conv_algorithm a = winograd_or_direct(t, t->d.channels, t->d.outputs, t->out, t->out, steps);
	struct moka_conv_desc d;

	t->first = steps && a == MOKA_CONV_DIRECT;
	a = t->first ? MOKA_CONV_FIRST : a;
	plan_flat(t);
	d = forward_desc(t);
	if (moka__conv_op_plan(&t->forward.op, &d, t->out, a))
		return MOKA_ERR_NOMEM;
	t->forward.late = is_late(t->forward.op, false);
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

/*
 * The gradient of data with stride 1, by an algorithm that takes padding, if there is one. Small images without padding: the places of dy,
 * which are fewer, say what they add to.
 */
static enum moka_conv_algorithm data_algorithm(const struct moka_conv_train *t, struct moka__conv_phase *p,
					       const struct moka_conv_desc *d, const int64_t size[2])
{
	const struct moka_conv_train_desc *of = &t->d;
	const bool scatter = moka__conv_scatter_pays(t), spread = moka__conv_spread_pays(t);
	const bool steps = of->out_block == 1 && by_steps(of->outputs, t->k->block);
	enum moka_conv_algorithm a;

	if (of->stride[0] != 1 || of->stride[1] != 1 || d->pad[0] < 0 || d->pad[1] < 0)
		return MOKA_CONV_DIRECT;
	a = winograd_or_direct(t, of->outputs, of->channels, scatter ? t->out : size, spread ? t->out : size, steps);
	p->scatter = scatter && a == MOKA_CONV_DIRECT;
	p->spread = spread && a != MOKA_CONV_DIRECT;
	return steps && !p->scatter && a == MOKA_CONV_DIRECT ? MOKA_CONV_FIRST : a;
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
	a = data_algorithm(t, p, &d, size);
	d.in_block = a == MOKA_CONV_FIRST ? 1 : d.in_block;
	p->taps = malloc((size_t)(d.kernel[0] * d.kernel[1]) * sizeof(*p->taps));
	if (!p->taps || moka__conv_op_plan(&p->op, &d, p->spread ? t->out : size, a))
		return MOKA_ERR_NOMEM;
	p->late = !p->spread && !p->scatter && is_late(p->op, true);
	for (int64_t i = 0; i < d.kernel[0]; i++)
		for (int64_t k = 0; k < d.kernel[1]; k++, n++) {
			p->taps[n] = p->spread ? n : tap[0][i] * of->kernel[1] + tap[1][k];
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
