/*
 * conv_op.c - a convolution planned once: which algorithm, what it needs, its packed weights; and the plain one that
 * takes everything.
 */
#include "conv_op.h"

#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Steps of a sum whose weights for one group stay in the first cache. */
#define PART_BYTES (16 * 1024)
/* Values between the weights of Winograd's points: without, all points of a weight would lie in one set of the first cache. */
#define WINOGRAD_APART 32
/* Weights that the second cache holds beside what is worked on. */
#define NEAR_BYTES (384 * 1024)

double moka__conv_work(const struct moka_conv_desc *d, const int64_t out[2])
{
	return (double)d->images * (double)d->outputs * (double)(out[0] * out[1]) * (double)(d->channels / d->group) *
	       (double)(d->kernel[0] * d->kernel[1]);
}

bool moka__conv_axis_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, int64_t *out)
{
	if (kernel < 1 || stride < 1 || dilation < 1 || pad < 0 || in < 1)
		return false;
	*out = in + 2 * pad - (dilation * (kernel - 1) + 1);
	if (*out < 0)
		return false;
	*out = *out / stride + 1;
	return true;
}

static bool output_size(const struct moka_conv_desc *d, int64_t out[2])
{
	const int64_t in[2] = { d->height, d->width };

	for (int i = 0; i < 2; i++)
		if (!moka__conv_axis_size(in[i], d->kernel[i], d->stride[i], d->pad[i], d->dilation[i], &out[i]))
			return false;
	return d->images > 0 && d->channels > 0 && d->outputs > 0 && d->group > 0 && d->channels % d->group == 0 &&
	       d->outputs % d->group == 0;
}

/* A square kernel without stride or dilation. */
static bool is_dense(const struct moka_conv_desc *d, int64_t side)
{
	return d->kernel[0] == side && d->kernel[1] == side && d->stride[0] == 1 && d->stride[1] == 1 &&
	       d->dilation[0] == 1 && d->dilation[1] == 1;
}

static bool has_whole_groups(const struct moka_conv_desc *d, int64_t block)
{
	return d->group == 1 || (d->channels / d->group % block == 0 && d->outputs / d->group % block == 0);
}

/* What each algorithm can do, whatever is best. */
static bool suits(const struct moka_conv_desc *d, const int64_t out[2], enum moka_conv_algorithm a)
{
	const int block = moka_block();
	const bool in = d->in_block == block, to = d->out_block == block;
	const bool one_in = d->height == 1 && d->width == 1, one_out = out[0] == 1 && out[1] == 1;

	if (a == MOKA_CONV_PLAIN)
		return d->in_block == 1 && d->out_block == 1;
	if (block == 1)
		return false;
	switch (a) {
	case MOKA_CONV_DIRECT:
		return (in || (d->in_block == 1 && one_in)) && (to || (d->out_block == 1 && one_out));
	case MOKA_CONV_FIRST:
		return d->in_block == 1 && to && d->group == 1;
	case MOKA_CONV_WINOGRAD4:
	case MOKA_CONV_WINOGRAD6:
	case MOKA_CONV_WINOGRAD5_3:
		return in && to && is_dense(d, 3) && has_whole_groups(d, block);
	case MOKA_CONV_WINOGRAD5:
		return in && to && is_dense(d, 5) && has_whole_groups(d, block);
	case MOKA_CONV_DEPTHWISE:
		return in && to && d->group == d->channels && d->outputs == d->channels;
	default:
		return false;
	}
}

/* Bytes of weights on their way: the first megabyte waits in a near cache, what is more than a cache holds comes from memory. */
static double way_of(double bytes)
{
	return bytes + MOKA_MAX(bytes - 1e6, 0) + MOKA_MAX(bytes - 16e6, 0);
}

/*
 * What a 3x3 or 5x5 convolution takes, in multiply-adds at full speed, by terms that were fitted to measurements (docs/architecture.md): sums,
 * a vector's way through the transforms, and bytes of weights, which come from afar where they are many. m: outputs of a tile's
 * side, 1 for a direct convolution.
 */
static double cost(const struct moka_conv_desc *d, const int64_t out[2], int64_t m)
{
	const int64_t b = moka_block(), side = m + d->kernel[0] - 1, points = side * side;
	const double in = (double)(moka__ceil_div(d->channels, b) * b),
		     outs = (double)(moka__ceil_div(d->outputs, b) * b);
	const double seen = (m == 1 ? (double)(moka__ceil_div(d->channels, 4) * 4) : in) / (double)d->group;
	const double tiles = (double)(d->images * moka__ceil_div(out[0], m) * moka__ceil_div(out[1], m) * points);
	const double bytes = (double)points * in * outs / (double)d->group * (double)sizeof(real);
	const double turn = m == 1 ? 0 : side == 6 ? 10 : side == 7 ? 13 : 16;

	return tiles * (seen * outs * (m == 1 ? 1.06 : 1.1) + (in + outs) * turn) + way_of(bytes) * (b == 16 ? 2 : 1);
}

static enum moka_conv_algorithm cheapest(const struct moka_conv_desc *d, const int64_t out[2])
{
	const double direct = cost(d, out, 1), four = cost(d, out, 4), five = cost(d, out, 5), six = cost(d, out, 6);

	if (d->kernel[0] == 5)
		return four < 0.95 * direct ? MOKA_CONV_WINOGRAD5 : MOKA_CONV_DIRECT;
	/* larger tiles lose more digits: they have to be worth it */
	if (six < 0.95 * MOKA_MIN(four, five) && six < direct)
		return MOKA_CONV_WINOGRAD6;
	if (five < 0.97 * four && five < direct)
		return MOKA_CONV_WINOGRAD5_3;
	return four < direct ? MOKA_CONV_WINOGRAD4 : MOKA_CONV_DIRECT;
}

static enum moka_conv_algorithm choose(const struct moka_conv_desc *d, const int64_t out[2])
{
	if (suits(d, out, MOKA_CONV_DEPTHWISE) && d->group > 1)
		return MOKA_CONV_DEPTHWISE;
	if (suits(d, out, MOKA_CONV_WINOGRAD4) || suits(d, out, MOKA_CONV_WINOGRAD5))
		return cheapest(d, out);
	if (suits(d, out, MOKA_CONV_DIRECT))
		return MOKA_CONV_DIRECT;
	if (suits(d, out, MOKA_CONV_FIRST))
		return MOKA_CONV_FIRST;
	return MOKA_CONV_PLAIN;
}

bool moka_conv_op_takes(const struct moka_conv_desc *d)
{
	int64_t out[2];

	return output_size(d, out) &&
	       (suits(d, out, MOKA_CONV_PLAIN) || suits(d, out, MOKA_CONV_DIRECT) || suits(d, out, MOKA_CONV_FIRST));
}

static const char *name_of(const struct moka_conv_op *op)
{
	switch (op->algorithm) {
	case MOKA_CONV_DIRECT:
		if (op->d.kernel[0] == op->d.height && op->d.kernel[1] == op->d.width && op->out[0] * op->out[1] == 1)
			return "inner product";
		return op->d.kernel[0] * op->d.kernel[1] == 1 ? "direct 1x1" : "direct";
	case MOKA_CONV_FIRST:
		return "direct from plain";
	case MOKA_CONV_WINOGRAD4:
		return "winograd 4x4";
	case MOKA_CONV_WINOGRAD6:
		return "winograd 6x6";
	case MOKA_CONV_WINOGRAD5:
		return "winograd 4x4 of 5x5";
	case MOKA_CONV_WINOGRAD5_3:
		return "winograd 5x5";
	case MOKA_CONV_DEPTHWISE:
		return "depthwise";
	default:
		return "plain";
	}
}

static bool plan_taps(struct moka_conv_op *op)
{
	const struct moka_conv_desc *d = &op->d;
	int64_t *t = op->taps = malloc(sizeof(*t) * 2 * (size_t)(d->kernel[0] * d->kernel[1]));

	if (!t)
		return false;
	for (int64_t i = 0; i < d->kernel[0]; i++)
		for (int64_t k = 0; k < d->kernel[1]; k++) {
			*t++ = i * d->dilation[0] - d->pad[0];
			*t++ = k * d->dilation[1] - d->pad[1];
		}
	op->target = (struct moka__conv_target){ { 1, 1 }, { 0, 0 }, op->out[0], op->out[1] };
	return true;
}

static bool plan(struct moka_conv_op *op)
{
	const int64_t b = op->k ? op->k->block : 1, taps = op->d.kernel[0] * op->d.kernel[1];

	op->in_blocks = moka__ceil_div(op->d.channels, b);
	op->out_blocks = moka__ceil_div(op->d.outputs, b);
	switch (op->algorithm) {
	case MOKA_CONV_PLAIN:
		op->n_weights = op->d.outputs * op->d.channels / op->d.group * taps;
		return true;
	case MOKA_CONV_DEPTHWISE:
		op->n_weights = op->out_blocks * taps * b;
		return moka__conv_plan_depthwise(op);
	default:
		break;
	}
	if (!moka__conv_groups(op) || (op->algorithm == MOKA_CONV_DIRECT && !plan_taps(op)))
		return false;
	/* of a group's weights, what the first cache holds */
	op->part = MOKA_MAX(1, PART_BYTES * b / 8 /
				       (int64_t)((size_t)(taps * b * op->groups[0].blocks * b) * sizeof(real)));
	if (op->algorithm == MOKA_CONV_FIRST) {
		op->n_weights = 0;
		for (int64_t g = 0; g < op->n_groups; g++) {
			op->groups[g].weights = op->n_weights;
			op->n_weights += op->d.channels * taps * op->groups[g].blocks * b;
		}
		return moka__conv_plan_first(op);
	}
	if (moka__conv_is_winograd(op->algorithm)) {
		op->form = op->algorithm == MOKA_CONV_WINOGRAD4	  ? MOKA__WINO4
			   : op->algorithm == MOKA_CONV_WINOGRAD6 ? MOKA__WINO6
			   : op->algorithm == MOKA_CONV_WINOGRAD5 ? MOKA__WINO5
								  : MOKA__WINO5_3;
		op->tile = moka__wino_tile(op->form);
		op->size = op->tile + op->d.kernel[0] - 1;
		for (int64_t g = 0; g < op->n_groups; g++)
			op->groups[g].weights /= taps;
		op->plane = op->n_weights / taps + WINOGRAD_APART;
		op->n_weights = op->plane * op->size * op->size;
		op->part = MOKA_MAX(1, op->part * taps);
	}
	return true;
}

enum moka_status moka_conv_op_new(struct moka_conv_op **out, const struct moka_conv_desc *d)
{
	int64_t size[2];

	*out = NULL;
	if (!moka_conv_op_takes(d) || !output_size(d, size))
		return MOKA_ERR_ARG;
	if (d->algorithm != MOKA_CONV_AUTO && !suits(d, size, d->algorithm))
		return MOKA_ERR_ARG;
	return moka__conv_op_plan(out, d, size, d->algorithm == MOKA_CONV_AUTO ? choose(d, size) : d->algorithm);
}

enum moka_status moka__conv_op_plan(struct moka_conv_op **out, const struct moka_conv_desc *d, const int64_t size[2],
				    enum moka_conv_algorithm algorithm)
{
	struct moka_conv_op *op = calloc(1, sizeof(*op));

	*out = NULL;
	if (!op)
		return MOKA_ERR_NOMEM;
	op->d = *d;
	op->out[0] = size[0], op->out[1] = size[1];
	op->k = moka__blocked_choose();
	op->algorithm = algorithm;
	if (!plan(op)) {
		moka_conv_op_free(op);
		return MOKA_ERR_NOMEM;
	}
	op->name = name_of(op);
	*out = op;
	return MOKA_OK;
}

void moka_conv_op_free(struct moka_conv_op *op)
{
	if (!op)
		return;
	free(op->groups);
	free(op->taps);
	free(op->steps);
	free(op->pieces);
	if (!op->placed)
		free(op->weights);
	free(op->bias);
	free(op->slopes);
	free(op);
}

/* ---- packing ---------------------------------------------------------------------------------------- */

static real *reserve(real *was, int64_t n)
{
	const size_t bytes = ((size_t)MOKA_MAX(n, 1) * sizeof(real) + 63) / 64 * 64;
	real *p = was ? was : aligned_alloc(64, bytes);

	if (!was)
		moka_pages_large(p, bytes);
	return p;
}

static void pack_bias(struct moka_conv_op *op, const real *bias, const real *scale, const real *shift)
{
	const int64_t whole = op->out_blocks * (op->k ? op->k->block : 1);

	for (int64_t o = 0; o < whole; o++) {
		real b = 0;
		if (o < op->d.outputs) {
			b = bias ? bias[o] * (scale ? scale[o] : 1) : 0;
			b += shift ? shift[o] : 0;
		}
		op->bias[o] = b;
		if (op->slopes)
			op->slopes[o] = o < op->d.outputs ? op->d.act.slopes[o] : 0;
	}
}

static void pack_plain(struct moka_conv_op *op, const void *w, const real *scale)
{
	const int64_t each = op->n_weights / op->d.outputs;

	memcpy(op->weights, w, (size_t)op->n_weights * sizeof(real));
	for (int64_t o = 0; scale && o < op->d.outputs; o++)
		moka_scale(each, scale[o], op->weights + o * each);
}

enum moka_status moka_conv_op_pack(struct moka_conv_op *op, struct moka_pool *pool, const void *w, const real *bias,
				   const real *scale, const real *shift)
{
	const int64_t whole = op->out_blocks * (op->k ? op->k->block : 1);
	bool ok = true;

	op->weights = reserve(op->weights, op->n_weights);
	op->bias = reserve(op->bias, whole);
	if (op->d.act.kind == MOKA_ACT_PRELU)
		op->slopes = reserve(op->slopes, whole);
	if (!op->weights || !op->bias || (op->d.act.kind == MOKA_ACT_PRELU && !op->slopes))
		return MOKA_ERR_NOMEM;
	pack_bias(op, bias, scale, shift);
	switch (op->algorithm) {
	case MOKA_CONV_DIRECT:
		ok = moka__conv_pack_direct(op, pool, w, scale);
		break;
	case MOKA_CONV_FIRST:
		ok = moka__conv_pack_first(op, pool, w, scale);
		break;
	case MOKA_CONV_DEPTHWISE:
		moka__conv_pack_depthwise(op, w, scale);
		break;
	case MOKA_CONV_WINOGRAD4:
	case MOKA_CONV_WINOGRAD6:
	case MOKA_CONV_WINOGRAD5:
	case MOKA_CONV_WINOGRAD5_3:
		ok = moka__conv_pack_winograd(op, pool, w, scale);
		break;
	default:
		pack_plain(op, w, scale);
	}
	return ok ? MOKA_OK : MOKA_ERR_NOMEM;
}

void moka_conv_op_place(struct moka_conv_op *op, void *weights)
{
	op->weights = weights;
	op->placed = true;
}

size_t moka_conv_op_bytes(const struct moka_conv_op *op)
{
	return (size_t)op->n_weights * sizeof(real);
}

static size_t plain_scratch(const struct moka_conv_op *op)
{
	return op->d.residual ? (size_t)(op->d.outputs / op->d.group * op->out[0] * op->out[1]) * sizeof(real) : 0;
}

size_t moka_conv_op_scratch(const struct moka_conv_op *op, int threads)
{
	switch (op->algorithm) {
	case MOKA_CONV_DIRECT:
		return moka__conv_scratch_direct(op, threads);
	case MOKA_CONV_FIRST:
		return moka__conv_scratch_first(op, threads);
	case MOKA_CONV_WINOGRAD4:
	case MOKA_CONV_WINOGRAD6:
	case MOKA_CONV_WINOGRAD5:
	case MOKA_CONV_WINOGRAD5_3:
		return moka__conv_scratch_winograd(op, threads);
	case MOKA_CONV_PLAIN:
		return plain_scratch(op);
	default:
		return 0;
	}
}

const char *moka_conv_op_name(const struct moka_conv_op *op)
{
	return op->name;
}

enum moka_conv_algorithm moka_conv_op_algorithm(const struct moka_conv_op *op)
{
	return op->algorithm;
}

/* How often a run reads its weights: once for a piece of so many places (conv_direct.c). */
static double passes(const struct moka_conv_op *op)
{
	const int64_t places = op->d.images * op->out[0] * op->out[1];

	return (double)moka__ceil_div(places, 16 * MOKA_MAX(op->places, 1));
}

double moka_conv_op_cost(const struct moka_conv_op *op)
{
	const double bytes = (double)moka_conv_op_bytes(op), work = moka__conv_work(&op->d, op->out);

	if (op->tile)
		return cost(&op->d, op->out, op->tile);
	if (op->algorithm == MOKA_CONV_DEPTHWISE || bytes < NEAR_BYTES)
		return work;
	return work + passes(op) * way_of(bytes) * (op->k && op->k->block == 16 ? 2 : 1);
}

/* ---- running ---------------------------------------------------------------------------------------- */

/* One image and one group; with a residual that may be y itself, the product is made beside. */
static void plain_group(const struct moka__conv_run *r, const struct moka_conv_geometry *g, int64_t n, int64_t group)
{
	const struct moka_conv_op *op = r->op;
	const int64_t outs = op->d.outputs / op->d.group, area = op->out[0] * op->out[1];
	const int64_t taps = op->d.kernel[0] * op->d.kernel[1], at = group * outs * area;
	const real *x = r->x->data + n * r->x->image_stride + group * g->channels * op->d.height * op->d.width;
	const real *z = r->residual ? r->residual->data + n * r->residual->image_stride + at : NULL;
	real *y = r->y->data + n * r->y->image_stride + at, *sum = z ? (real *)r->scratch : y;
	const real *w = op->weights + group * outs * g->channels * taps, *bias = op->bias + group * outs;

	if (g->channels == 1)
		moka_depthwise_forward(r->pool, g, outs, w, x, bias, sum);
	else
		moka_conv_forward(r->pool, r->ws, g, outs, w, x, bias, sum);
	if (!z && op->d.act.kind == MOKA_ACT_NONE)
		return;
	for (int64_t o = 0; o < outs; o++)
		for (int64_t i = o * area; i < (o + 1) * area; i++)
			y[i] = moka__act_one(&op->d.act, group * outs + o, sum[i] + (z ? z[i] : 0));
}

static void run_plain(const struct moka__conv_run *r)
{
	const struct moka_conv_desc *d = &r->op->d;
	struct moka_conv_geometry g = { .axes = 2, .channels = d->channels / d->group };

	g.in[0] = d->height, g.in[1] = d->width;
	for (int i = 0; i < 2; i++) {
		g.out[i] = r->op->out[i], g.kernel[i] = d->kernel[i], g.stride[i] = d->stride[i];
		g.pad[i] = d->pad[i], g.dilation[i] = d->dilation[i];
	}
	for (int64_t n = 0; n < d->images; n++)
		for (int64_t group = 0; group < d->group; group++)
			plain_group(r, &g, n, group);
}

void moka__conv_run(const struct moka__conv_run *r)
{
	switch (r->op->algorithm) {
	case MOKA_CONV_DIRECT:
		moka__conv_run_direct(r);
		break;
	case MOKA_CONV_FIRST:
		moka__conv_run_first(r);
		break;
	case MOKA_CONV_DEPTHWISE:
		moka__conv_run_depthwise(r);
		break;
	default:
		moka__conv_run_winograd(r);
	}
}

void moka_conv_op_run(const struct moka_conv_op *op, struct moka_pool *pool, struct moka_gemm_ws *ws,
		      const struct moka_tensor *x, const struct moka_tensor *residual, const struct moka_tensor *y,
		      void *scratch)
{
	const struct moka__conv_run r = { op, pool,	 ws,	  x,	       op->d.residual ? residual : NULL,
					  y,  op->d.act, scratch, op->weights, op->bias };

	if (op->algorithm == MOKA_CONV_PLAIN) {
		run_plain(&r);
		return;
	}
	moka__conv_run(&r);
	if (y->block > 1 && moka__act_moves_zero(&op->d.act))
		moka__zero_spare(y);
}
