/*
 * blocked_plain.c - blocked.h in plain C that any compiler takes: whole blocks as vectors of the compiler's own.
 *
 * A convolution makes a tile of one row's places for two blocks of outputs at a time: the sums stay in registers while all inputs and
 * taps go by. Places outside the image read a block of zeros. Weights lie in the order in which that reads them:
 *
 *     [block of outputs][block of inputs][tap][input within the block][output within the block]
 *
 * Plain to plain is answered by moka_conv_forward() and moka_depthwise_forward().
 */
#include "blocked.h"

#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#include "fast.h"

/* Here a multiply-add may be one instruction: each machine has its own bits, and the same ones for any number of threads. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("fp-contract=fast")
#endif

#define MOST_LANES 16
#define TILE 6		  /* places of a row at a time */
#define PIECE 16384	  /* values that are worth handing to another thread */
#define FIRST_CHANNELS 4  /* of a plain image that a blocked convolution reads */
#define LRN_CHANNELS 4096 /* across which a row of squares is kept on the stack */

typedef real v8 __attribute__((vector_size(8 * sizeof(real)), aligned(4)));
typedef real v16 __attribute__((vector_size(16 * sizeof(real)), aligned(4)));

static const real zeros[MOST_LANES];

int moka_block(void)
{
#ifdef MOKA_REAL_DOUBLE
	return 1;
#else
	return moka_cpu_isa() == MOKA_ISA_AVX512 ? 16 : 8;
#endif
}

static int64_t up(int64_t c, int64_t b)
{
	return (c + b - 1) / b;
}

int64_t moka_tensor_image(int64_t channels, int64_t height, int64_t width, int block)
{
	return up(channels, block) * block * height * width;
}

/* Block `b` (channel, where plain) of image n. */
MOKA__INLINE real *plane(const struct moka_tensor *t, int64_t n, int64_t b)
{
	return t->data + n * t->image_stride + b * t->block * t->height * t->width;
}

static int64_t blocks(const struct moka_tensor *t)
{
	return up(t->channels, t->block);
}

/* Runs fn over the blocks of all images. */
static void over_blocks(struct moka_pool *pool, void (*fn)(void *, int64_t, int64_t), void *arg,
			const struct moka_tensor *y)
{
	const int64_t size = y->height * y->width * y->block;

	moka_parallel(pool, fn, arg, y->images * blocks(y), MOKA_MAX(PIECE / MOKA_MAX(size, 1), 1));
}

/* ---- layouts ---------------------------------------------------------------------------------------------- */

struct relayout {
	const struct moka_tensor *x, *y;
	int64_t blocks, lanes; /* of the blocked one of the two */
};

/* Channels [c0, c0 + lanes) of one image. */
static void relayout_block(const struct relayout *j, int64_t n, int64_t b)
{
	const struct moka_tensor *x = j->x, *y = j->y;
	const int64_t size = x->height * x->width, c0 = b * j->lanes, lanes = j->lanes;
	const int64_t real_lanes = MOKA_MIN(lanes, x->channels - c0);

	for (int64_t l = 0; l < lanes; l++) {
		const int64_t c = c0 + l;
		const real *from = l < real_lanes ? plane(x, n, c / x->block) + c % x->block : NULL;
		real *to = plane(y, n, c / y->block) + c % y->block;

		if (y->block == 1 && l >= real_lanes)
			continue;
		for (int64_t p = 0; p < size; p++)
			to[p * y->block] = from ? from[p * x->block] : 0;
	}
}

static void relayout_piece(void *arg, int64_t begin, int64_t end)
{
	const struct relayout *j = arg;

	for (int64_t i = begin; i < end; i++)
		relayout_block(j, i / j->blocks, i % j->blocks);
}

void moka_relayout(struct moka_pool *pool, const struct moka_tensor *x, const struct moka_tensor *y)
{
	const int64_t lanes = MOKA_MAX(x->block, y->block);
	struct relayout j = { x, y, up(x->channels, lanes), lanes };

	moka_parallel(pool, relayout_piece, &j, x->images * j.blocks,
		      MOKA_MAX(PIECE / MOKA_MAX(x->height * x->width * lanes, 1), 1));
}

/* ---- activations ------------------------------------------------------------------------------------------- */

/* y = act(y) for n places of `lanes` channels, the first of them `channel`. */
MOKA__INLINE void act_lanes(const struct moka_act *a, int64_t channel, int64_t n, int lanes, real *y)
{
	if (!a || a->kind == MOKA_ACT_NONE)
		return;
	for (int64_t p = 0; p < n; p++, y += lanes)
		for (int l = 0; l < lanes; l++) {
			if (a->kind == MOKA_ACT_RELU)
				y[l] = y[l] > 0 ? y[l] : a->slope * y[l];
			else if (a->kind == MOKA_ACT_CLIP)
				y[l] = y[l] < a->low ? a->low : y[l] > a->high ? a->high : y[l];
			else
				y[l] = y[l] > 0 ? y[l] : a->slopes[channel + l] * y[l];
		}
}

/* Zeros in the lanes behind the last channel. */
static void clear_spare(const struct moka_tensor *y, int64_t b, int64_t n, real *values)
{
	const int64_t lanes = y->block, used = y->channels - b * lanes;

	for (int64_t p = 0; used < lanes && p < n; p++)
		for (int64_t l = used; l < lanes; l++)
			values[p * lanes + l] = 0;
}

/* act() may read slopes of channels that don't exist: a whole block of them is prepared. */
static struct moka_act own_act(const struct moka_act *a, const struct moka_tensor *y, int64_t b,
			       real slopes[MOST_LANES])
{
	struct moka_act own = a ? *a : (struct moka_act){ .kind = MOKA_ACT_NONE };

	for (int64_t l = 0; own.kind == MOKA_ACT_PRELU && l < y->block; l++)
		slopes[l] = b * y->block + l < y->channels ? a->slopes[b * y->block + l] : 0;
	own.slopes = slopes;
	return own;
}

MOKA__CLONES static void act_block(const struct moka_act *a, int64_t n, int lanes, real *y)
{
	if (lanes == 8)
		act_lanes(a, 0, n, 8, y);
	else if (lanes == 16)
		act_lanes(a, 0, n, 16, y);
	else
		act_lanes(a, 0, n, 1, y);
}

/* ---- sums, factors ---------------------------------------------------------------------------------------- */

struct simple {
	const struct moka_tensor *x, *z, *y;
	const struct moka_act *act;
	const real *scale, *shift;
	real a, b;
};

MOKA__INLINE void affine_lanes(const real *s, const real *t, const real *x, real *y, int64_t n, int lanes)
{
	for (int64_t p = 0; p < n; p++)
		for (int l = 0; l < lanes; l++)
			y[p * lanes + l] = s[l] * x[p * lanes + l] + t[l];
}

MOKA__CLONES static void affine_block(const real *s, const real *t, const real *x, real *y, int64_t n, int lanes)
{
	if (lanes == 8)
		affine_lanes(s, t, x, y, n, 8);
	else if (lanes == 16)
		affine_lanes(s, t, x, y, n, 16);
	else
		affine_lanes(s, t, x, y, n, 1);
}

static void affine_piece(void *arg, int64_t begin, int64_t end)
{
	const struct simple *j = arg;
	const int64_t n = j->y->height * j->y->width, count = blocks(j->y);

	for (int64_t i = begin; i < end; i++) {
		const int64_t b = i % count;
		real s[MOST_LANES], t[MOST_LANES], slopes[MOST_LANES], *y = plane(j->y, i / count, b);
		const struct moka_act act = own_act(j->act, j->y, b, slopes);

		for (int l = 0; l < j->y->block; l++) {
			const int64_t c = b * j->y->block + l;

			s[l] = j->scale && c < j->y->channels ? j->scale[c] : 1;
			t[l] = j->shift && c < j->y->channels ? j->shift[c] : 0;
		}
		affine_block(s, t, plane(j->x, i / count, b), y, n, j->y->block);
		act_block(&act, n, j->y->block, y);
		clear_spare(j->y, b, n, y);
	}
}

void moka_affine(struct moka_pool *pool, const real *scale, const real *shift, const struct moka_act *act,
		 const struct moka_tensor *x, const struct moka_tensor *y)
{
	struct simple j = { .x = x, .y = y, .act = act, .scale = scale, .shift = shift };

	over_blocks(pool, affine_piece, &j, y);
}

MOKA__CLONES static void add_block(real a, const real *x, real b, const real *z, real *y, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = a * x[i] + b * z[i];
}

static void add_piece(void *arg, int64_t begin, int64_t end)
{
	const struct simple *j = arg;
	const int64_t n = j->y->height * j->y->width, count = blocks(j->y);

	for (int64_t i = begin; i < end; i++) {
		const int64_t b = i % count, image = i / count;
		real slopes[MOST_LANES], *y = plane(j->y, image, b);
		const struct moka_act act = own_act(j->act, j->y, b, slopes);

		add_block(j->a, plane(j->x, image, b), j->b, plane(j->z, image, b), y, n * j->y->block);
		act_block(&act, n, j->y->block, y);
		clear_spare(j->y, b, n, y);
	}
}

void moka_add2(struct moka_pool *pool, real a, const struct moka_tensor *x, real b, const struct moka_tensor *z,
	       const struct moka_act *act, const struct moka_tensor *y)
{
	struct simple j = { .x = x, .z = z, .y = y, .act = act, .a = a, .b = b };

	over_blocks(pool, add_piece, &j, y);
}

/* ---- pooling ---------------------------------------------------------------------------------------------- */

struct pooling {
	const struct moka_pool_desc *d;
	const struct moka_tensor *x, *y;
};

MOKA__INLINE void pool_lanes(const struct pooling *j, const real *x, real *y, int64_t oh, int64_t ow, int lanes)
{
	const struct moka_pool_desc *d = j->d;
	const int64_t height = j->x->height, width = j->x->width;
	int64_t h0 = oh * d->stride[0] - d->pad[0], w0 = ow * d->stride[1] - d->pad[1];
	int64_t h1 = MOKA_MIN(h0 + d->kernel[0], height + d->pad[0]),
		w1 = MOKA_MIN(w0 + d->kernel[1], width + d->pad[1]);
	const real share = 1 / (real)((h1 - h0) * (w1 - w0));
	const bool max = d->kind == MOKA_POOL_MAX;
	real v[MOST_LANES];

	h0 = MOKA_MAX(h0, 0);
	w0 = MOKA_MAX(w0, 0);
	h1 = MOKA_MIN(h1, height);
	w1 = MOKA_MIN(w1, width);
	for (int l = 0; l < lanes; l++)
		v[l] = max && h0 < h1 && w0 < w1 ? x[(h0 * width + w0) * lanes + l] : 0;
	for (int64_t h = h0; h < h1; h++)
		for (int64_t w = w0; w < w1; w++)
			for (int l = 0; l < lanes; l++) {
				const real a = x[(h * width + w) * lanes + l];

				v[l] = max ? (a > v[l] ? a : v[l]) : v[l] + a;
			}
	for (int l = 0; l < lanes; l++)
		y[l] = max ? v[l] : v[l] * share;
}

MOKA__CLONES static void pool_block(const struct pooling *j, const real *x, real *y, int lanes)
{
	for (int64_t oh = 0; oh < j->y->height; oh++)
		for (int64_t ow = 0; ow < j->y->width; ow++, y += lanes) {
			if (lanes == 8)
				pool_lanes(j, x, y, oh, ow, 8);
			else if (lanes == 16)
				pool_lanes(j, x, y, oh, ow, 16);
			else
				pool_lanes(j, x, y, oh, ow, 1);
		}
}

static void pool_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pooling *j = arg;
	const int64_t count = blocks(j->y);

	for (int64_t i = begin; i < end; i++)
		pool_block(j, plane(j->x, i / count, i % count), plane(j->y, i / count, i % count), j->y->block);
}

void moka_pool2d(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *x,
		 const struct moka_tensor *y)
{
	struct pooling j = { d, x, y };

	over_blocks(pool, pool_piece, &j, x);
}

/* ---- LRN ---------------------------------------------------------------------------------------------------- */

struct lrn {
	const struct moka_tensor *x, *y;
	int64_t half;
	real alpha, beta, k; /* alpha / size */
};

MOKA__CLONES static void lrn_values(const real *squares, int64_t channels, int64_t half, real alpha, real beta, real k,
				    real *factor)
{
	for (int64_t c = 0; c < channels; c++)
		factor[c] = 0;
	for (int64_t q = 0; q <= 2 * half; q++)
		for (int64_t c = 0; c < channels; c++)
			factor[c] += squares[c + q];
	for (int64_t c = 0; c < channels; c++)
		factor[c] = k + alpha * factor[c];
	if (beta == (real)0.75)
		for (int64_t c = 0; c < channels; c++)
			factor[c] = 1 / (sqrt(factor[c]) * sqrt(sqrt(factor[c])));
	else
		for (int64_t c = 0; c < channels; c++)
			factor[c] = pow(factor[c], -beta);
}

/* A stretch of channels of one place; in stretches, so that what is kept fits the stack. */
static void lrn_place(const struct lrn *j, int64_t n, int64_t p, int64_t c0, int64_t c1)
{
	const struct moka_tensor *x = j->x, *y = j->y;
	const int64_t b = x->block, size = x->height * x->width, half = j->half;
	real squares[2 * LRN_CHANNELS], factor[LRN_CHANNELS];

	for (int64_t i = c0 - half; i < c1 + half; i++) {
		const real v = i < 0 || i >= x->channels ? 0 : plane(x, n, 0)[i / b * size * b + p * b + i % b];

		squares[i - c0 + half] = v * v;
	}
	lrn_values(squares, c1 - c0, half, j->alpha, j->beta, j->k, factor);
	for (int64_t c = c0; c < c1; c++) {
		const int64_t at = c / b * size * b + p * b + c % b;

		plane(y, n, 0)[at] = plane(x, n, 0)[at] * factor[c - c0];
	}
}

static void lrn_piece(void *arg, int64_t begin, int64_t end)
{
	const struct lrn *j = arg;
	const int64_t size = j->x->height * j->x->width, last = blocks(j->y) - 1;

	for (int64_t i = begin; i < end; i++) {
		const int64_t n = i / size, p = i % size;

		for (int64_t c = 0; c < j->x->channels; c += LRN_CHANNELS)
			lrn_place(j, n, p, c, MOKA_MIN(c + LRN_CHANNELS, j->x->channels));
		clear_spare(j->y, last, 1, plane(j->y, n, last) + p * j->y->block);
	}
}

void moka_lrn_across(struct moka_pool *pool, int64_t size, real alpha, real beta, real k, const struct moka_tensor *x,
		     const struct moka_tensor *y)
{
	struct lrn j = { x, y, MOKA_MIN(size / 2, LRN_CHANNELS / 2), alpha / (real)size, beta, k };

	moka_parallel(pool, lrn_piece, &j, x->images * x->height * x->width,
		      MOKA_MAX(PIECE / 4 / MOKA_MAX(x->channels, 1), 1));
}

/* ---- convolution -------------------------------------------------------------------------------------------------- */

struct moka_conv_op {
	struct moka_conv_desc d;
	enum moka_conv_algorithm algorithm;
	int64_t oh, ow;
	int64_t taps, inner;	       /* of a kernel; channels of a group */
	int64_t in_blocks, out_blocks; /* of a group, where blocked; FIRST: channels, each a block of one lane */
	int64_t weights;	       /* values packed */
	real *w, *b;
};

bool moka_conv_op_takes(const struct moka_conv_desc *d)
{
	const int64_t b = moka_block();

	if (d->in_block == 1 && d->out_block == 1)
		return true;
	if (b == 1 || d->out_block != b)
		return false;
	if (d->in_block == 1)
		return d->group == 1 && d->channels <= FIRST_CHANNELS;
	return d->group == 1 || (d->group == d->channels && d->outputs == d->channels) ||
	       (d->channels / d->group % b == 0 && d->outputs / d->group % b == 0);
}

static enum moka_conv_algorithm choose(const struct moka_conv_desc *d)
{
	if (d->out_block == 1)
		return MOKA_CONV_PLAIN;
	if (d->in_block == 1)
		return MOKA_CONV_FIRST;
	return d->group > 1 && d->group == d->channels ? MOKA_CONV_DEPTHWISE : MOKA_CONV_DIRECT;
}

static int64_t out_size(const struct moka_conv_desc *d, int i, int64_t in)
{
	return (in + 2 * d->pad[i] - (d->dilation[i] * (d->kernel[i] - 1) + 1)) / d->stride[i] + 1;
}

static void measure(struct moka_conv_op *op)
{
	const struct moka_conv_desc *d = &op->d;
	const int64_t b = d->out_block;

	op->oh = out_size(d, 0, d->height);
	op->ow = out_size(d, 1, d->width);
	op->taps = d->kernel[0] * d->kernel[1];
	op->inner = d->channels / d->group;
	op->out_blocks = up(d->outputs / d->group, b);
	op->in_blocks = op->algorithm == MOKA_CONV_FIRST ? op->inner : up(op->inner, b);
	switch (op->algorithm) {
	case MOKA_CONV_PLAIN:
		op->weights = d->outputs * op->inner * op->taps;
		break;
	case MOKA_CONV_DEPTHWISE:
		op->weights = up(d->channels, b) * b * op->taps;
		break;
	case MOKA_CONV_FIRST:
		op->weights = op->out_blocks * op->in_blocks * op->taps * b;
		break;
	default:
		op->weights = d->group * op->out_blocks * op->in_blocks * op->taps * b * b;
	}
}

enum moka_status moka_conv_op_new(struct moka_conv_op **out, const struct moka_conv_desc *d)
{
	struct moka_conv_op *op;

	*out = NULL;
	if (!moka_conv_op_takes(d) || (d->algorithm != MOKA_CONV_AUTO && d->algorithm != choose(d)))
		return MOKA_ERR_ARG;
	op = calloc(1, sizeof(*op));
	if (!op)
		return MOKA_ERR_NOMEM;
	op->d = *d;
	op->algorithm = choose(d);
	measure(op);
	op->w = calloc((size_t)op->weights + MOST_LANES, sizeof(real));
	op->b = calloc((size_t)up(d->outputs, MOST_LANES) * MOST_LANES, sizeof(real));
	if (!op->w || !op->b) {
		moka_conv_op_free(op);
		return MOKA_ERR_NOMEM;
	}
	*out = op;
	return MOKA_OK;
}

void moka_conv_op_free(struct moka_conv_op *op)
{
	if (!op)
		return;
	free(op->w);
	free(op->b);
	free(op);
}

/* Where weight (output o, input i of its group, tap t) lies. */
static int64_t weight_place(const struct moka_conv_op *op, int64_t o, int64_t i, int64_t t)
{
	const int64_t b = op->d.out_block, per_group = op->d.outputs / op->d.group;
	const int64_t block = o / per_group * op->out_blocks + o % per_group / b, lane = o % per_group % b;

	switch (op->algorithm) {
	case MOKA_CONV_PLAIN:
		return (o * op->inner + i) * op->taps + t;
	case MOKA_CONV_DEPTHWISE:
		return (o / b * op->taps + t) * b + o % b;
	case MOKA_CONV_FIRST:
		return ((block * op->in_blocks + i) * op->taps + t) * b + lane;
	default:
		return (((block * op->in_blocks + i / b) * op->taps + t) * b + i % b) * b + lane;
	}
}

struct packing {
	struct moka_conv_op *op;
	const real *w, *bias, *scale, *shift;
};

static void pack_piece(void *arg, int64_t begin, int64_t end)
{
	const struct packing *j = arg;
	struct moka_conv_op *op = j->op;

	for (int64_t o = begin; o < end; o++) {
		const real s = j->scale ? j->scale[o] : 1;

		for (int64_t i = 0; i < op->inner; i++)
			for (int64_t t = 0; t < op->taps; t++)
				op->w[weight_place(op, o, i, t)] = j->w[(o * op->inner + i) * op->taps + t] * s;
		op->b[o] = (j->bias ? j->bias[o] * s : 0) + (j->shift ? j->shift[o] : 0);
	}
}

enum moka_status moka_conv_op_pack(struct moka_conv_op *op, struct moka_pool *pool, const real *w, const real *bias,
				   const real *scale, const real *shift)
{
	struct packing j = { op, w, bias, scale, shift };

	moka_parallel(pool, pack_piece, &j, op->d.outputs, MOKA_MAX(PIECE / MOKA_MAX(op->inner * op->taps, 1), 1));
	return MOKA_OK;
}

size_t moka_conv_op_bytes(const struct moka_conv_op *op)
{
	return (size_t)(op->weights + op->d.outputs) * sizeof(real);
}

/* Plainly, what is added may lie where the result goes: the product needs a place of its own then. */
size_t moka_conv_op_scratch(const struct moka_conv_op *op, int threads)
{
	(void)threads;
	return op->algorithm == MOKA_CONV_PLAIN && op->d.residual
		       ? (size_t)(op->d.outputs * op->oh * op->ow) * sizeof(real)
		       : 0;
}

const char *moka_conv_op_name(const struct moka_conv_op *op)
{
	switch (op->algorithm) {
	case MOKA_CONV_PLAIN:
		return "plain";
	case MOKA_CONV_FIRST:
		return "first";
	case MOKA_CONV_DEPTHWISE:
		return "depthwise";
	default:
		return op->taps == 1 ? "direct 1x1" : "direct";
	}
}

enum moka_conv_algorithm moka_conv_op_algorithm(const struct moka_conv_op *op)
{
	return op->algorithm;
}

struct convolving {
	const struct moka_conv_op *op;
	const struct moka_tensor *x, *residual, *y;
	int64_t pairs; /* of output blocks, of a group */
};

/* A tile: `n` places from (oh, ow) on, `two` or one blocks of outputs. */
struct tile {
	int64_t image, group, block, oh, ow;
	int n;
	bool two;
};

/* Where each place of the tile finds tap (kh, kw) in block ib of the bottom. */
MOKA__INLINE void find_places(const struct convolving *j, const struct tile *t, const real *x, int64_t kh, int64_t kw,
			      int lanes, const real *at[TILE])
{
	const struct moka_conv_desc *d = &j->op->d;
	const int64_t h = t->oh * d->stride[0] - d->pad[0] + kh * d->dilation[0];
	const int64_t w0 = t->ow * d->stride[1] - d->pad[1] + kw * d->dilation[1];

	for (int p = 0; p < TILE; p++) {
		const int64_t w = w0 + p * d->stride[1];
		const bool inside = p < t->n && h >= 0 && h < d->height && w >= 0 && w < d->width;

		at[p] = inside ? x + (h * d->width + w) * lanes : zeros;
	}
}

/* Adds what is added, applies the activation, stores. */
MOKA__INLINE void finish(const struct convolving *j, const struct tile *t, int64_t block, int b, real *sums)
{
	const int64_t at = (t->oh * j->y->width + t->ow) * b;
	real slopes[MOST_LANES], *y = plane(j->y, t->image, block) + at;
	const struct moka_act act = own_act(&j->op->d.act, j->y, block, slopes);

	if (j->residual) {
		const real *z = plane(j->residual, t->image, block) + at;

		for (int i = 0; i < t->n * b; i++)
			sums[i] += z[i];
	}
	act_lanes(&act, 0, t->n, b, sums);
	clear_spare(j->y, block, t->n, sums);
	memcpy(y, sums, (size_t)(t->n * b) * sizeof(real));
}

/* One tile; V a vector of b values, `lanes` values a place and block of the bottom (1: plain). */
#define TILE_BODY(V, BLOCK, LANES)                                                                                     \
	const struct moka_conv_op *op = j->op;                                                                         \
	const int64_t first = t->group * op->out_blocks + t->block;                                                    \
	const int64_t step = op->in_blocks * op->taps * (LANES) * (BLOCK);                                             \
	const real *w0 = op->w + first * step, *w1 = t->two ? w0 + step : w0;                                          \
	union {                                                                                                        \
		V v[TILE];                                                                                             \
		real r[TILE * (BLOCK)];                                                                                \
	} s0, s1;                                                                                                      \
	V a0[TILE], a1[TILE];                                                                                          \
	for (int p = 0; p < TILE; p++) {                                                                               \
		a0[p] = *(const V *)(const void *)(op->b + first * (BLOCK));                                           \
		a1[p] = t->two ? *(const V *)(const void *)(op->b + (first + 1) * (BLOCK)) : a0[p];                    \
	}                                                                                                              \
	for (int64_t ib = 0; ib < op->in_blocks; ib++) {                                                               \
		const real *x = plane(j->x, t->image, t->group * op->in_blocks + ib);                                  \
		for (int64_t kh = 0; kh < op->d.kernel[0]; kh++)                                                       \
			for (int64_t kw = 0; kw < op->d.kernel[1]; kw++) {                                             \
				const real *at[TILE];                                                                  \
				find_places(j, t, x, kh, kw, (LANES), at);                                             \
				for (int l = 0; l < (LANES); l++, w0 += (BLOCK), w1 += (BLOCK)) {                      \
					const V u0 = *(const V *)(const void *)w0, u1 = *(const V *)(const void *)w1;  \
					for (int p = 0; p < TILE; p++) {                                               \
						a0[p] += at[p][l] * u0;                                                \
						a1[p] += at[p][l] * u1;                                                \
					}                                                                              \
				}                                                                                      \
			}                                                                                              \
	}                                                                                                              \
	for (int p = 0; p < TILE; p++) {                                                                               \
		s0.v[p] = a0[p];                                                                                       \
		s1.v[p] = a1[p];                                                                                       \
	}                                                                                                              \
	finish(j, t, first, (BLOCK), s0.r);                                                                            \
	if (t->two)                                                                                                    \
		finish(j, t, first + 1, (BLOCK), s1.r);

MOKA__CLONES static void tile_8(const struct convolving *j, const struct tile *t){ TILE_BODY(v8, 8, 8) }

MOKA__CLONES static void tile_16(const struct convolving *j, const struct tile *t){ TILE_BODY(v16, 16, 16) }

MOKA__CLONES static void tile_first_8(const struct convolving *j, const struct tile *t){ TILE_BODY(v8, 8, 1) }

MOKA__CLONES static void tile_first_16(const struct convolving *j, const struct tile *t)
{
	TILE_BODY(v16, 16, 1)
}

/* Rows: (image, group, pair of output blocks, row). */
static void rows_piece(void *arg, int64_t begin, int64_t end)
{
	const struct convolving *j = arg;
	const struct moka_conv_op *op = j->op;
	const bool first = op->algorithm == MOKA_CONV_FIRST, wide = op->d.out_block == 16;
	void (*const run)(const struct convolving *, const struct tile *) =
		first  ? (wide ? tile_first_16 : tile_first_8)
		: wide ? tile_16
		       : tile_8;

	for (int64_t i = begin; i < end; i++) {
		int64_t rest = i;
		struct tile t = { .oh = rest % op->oh };

		rest /= op->oh;
		t.block = rest % j->pairs * 2;
		rest /= j->pairs;
		t.group = rest % op->d.group;
		t.image = rest / op->d.group;
		t.two = t.block + 1 < op->out_blocks;
		for (t.ow = 0; t.ow < op->ow; t.ow += TILE) {
			t.n = (int)MOKA_MIN(TILE, op->ow - t.ow);
			run(j, &t);
		}
	}
}

#define DEPTHWISE_BODY(V, BLOCK)                                                                                       \
	const struct moka_conv_op *op = j->op;                                                                         \
	const real *x = plane(j->x, t->image, t->block), *w = op->w + t->block * op->taps * (BLOCK);                   \
	union {                                                                                                        \
		V v[TILE];                                                                                             \
		real r[TILE * (BLOCK)];                                                                                \
	} s;                                                                                                           \
	V a[TILE];                                                                                                     \
	for (int p = 0; p < TILE; p++)                                                                                 \
		a[p] = *(const V *)(const void *)(op->b + t->block * (BLOCK));                                         \
	for (int64_t kh = 0; kh < op->d.kernel[0]; kh++)                                                               \
		for (int64_t kw = 0; kw < op->d.kernel[1]; kw++, w += (BLOCK)) {                                       \
			const V u = *(const V *)(const void *)w;                                                       \
			const real *at[TILE];                                                                          \
			find_places(j, t, x, kh, kw, (BLOCK), at);                                                     \
			for (int p = 0; p < TILE; p++)                                                                 \
				a[p] += *(const V *)(const void *)at[p] * u;                                           \
		}                                                                                                      \
	for (int p = 0; p < TILE; p++)                                                                                 \
		s.v[p] = a[p];                                                                                         \
	finish(j, t, t->block, (BLOCK), s.r);

MOKA__CLONES static void depthwise_8(const struct convolving *j, const struct tile *t){ DEPTHWISE_BODY(v8, 8) }

MOKA__CLONES static void depthwise_16(const struct convolving *j, const struct tile *t)
{
	DEPTHWISE_BODY(v16, 16)
}

static void depthwise_piece(void *arg, int64_t begin, int64_t end)
{
	const struct convolving *j = arg;
	const struct moka_conv_op *op = j->op;
	const int64_t count = blocks(j->y);

	for (int64_t i = begin; i < end; i++) {
		struct tile t = { .oh = i % op->oh, .block = i / op->oh % count, .image = i / op->oh / count };

		for (t.ow = 0; t.ow < op->ow; t.ow += TILE) {
			t.n = (int)MOKA_MIN(TILE, op->ow - t.ow);
			if (op->d.out_block == 16)
				depthwise_16(j, &t);
			else
				depthwise_8(j, &t);
		}
	}
}

/* ---- plain to plain ------------------------------------------------------------------------------------------------ */

static void plain_image(const struct convolving *j, const struct moka_conv_geometry *g, struct moka_pool *pool,
			struct moka_gemm_ws *ws, int64_t n, real *y)
{
	const struct moka_conv_op *op = j->op;
	const int64_t per_group = op->d.outputs / op->d.group, hw = op->oh * op->ow;

	if (op->d.group > 1 && op->inner == 1) {
		moka_depthwise_forward(pool, g, per_group, op->w, plane(j->x, n, 0), op->b, y);
		return;
	}
	for (int64_t k = 0; k < op->d.group; k++)
		moka_conv_forward(pool, ws, g, per_group, op->w + k * per_group * op->inner * op->taps,
				  plane(j->x, n, k * op->inner), op->b + k * per_group, y + k * per_group * hw);
}

static void run_plain(const struct convolving *j, struct moka_pool *pool, struct moka_gemm_ws *ws, void *scratch)
{
	const struct moka_conv_desc *d = &j->op->d;
	struct moka_conv_geometry g = { .axes = 2,
					.channels = d->group > 1 && j->op->inner == 1 ? d->channels : j->op->inner };

	for (int i = 0; i < 2; i++) {
		g.in[i] = i ? d->width : d->height;
		g.out[i] = i ? j->op->ow : j->op->oh;
		g.kernel[i] = d->kernel[i];
		g.stride[i] = d->stride[i];
		g.pad[i] = d->pad[i];
		g.dilation[i] = d->dilation[i];
	}
	for (int64_t n = 0; n < d->images; n++) {
		struct moka_tensor made = *j->y, y = *j->y, z = j->residual ? *j->residual : *j->y;

		made.images = y.images = z.images = 1;
		y.data = plane(j->y, n, 0);
		made.data = j->residual ? scratch : y.data;
		plain_image(j, &g, pool, ws, n, made.data);
		if (j->residual) {
			z.data = plane(j->residual, n, 0);
			moka_add2(pool, 1, &made, 1, &z, &d->act, &y);
		} else if (d->act.kind != MOKA_ACT_NONE) {
			moka_affine(pool, NULL, NULL, &d->act, &y, &y);
		}
	}
}

void moka_conv_op_run(const struct moka_conv_op *op, struct moka_pool *pool, struct moka_gemm_ws *ws,
		      const struct moka_tensor *x, const struct moka_tensor *residual, const struct moka_tensor *y,
		      void *scratch)
{
	struct convolving j = { op, x, residual, y, (op->out_blocks + 1) / 2 };
	const int64_t work = op->in_blocks * x->block * op->taps * op->ow * op->d.out_block * 2;

	if (op->algorithm == MOKA_CONV_PLAIN)
		run_plain(&j, pool, ws, scratch);
	else if (op->algorithm == MOKA_CONV_DEPTHWISE)
		moka_parallel(pool, depthwise_piece, &j, y->images * blocks(y) * op->oh,
			      MOKA_MAX(PIECE * 4 / MOKA_MAX(op->taps * op->ow * op->d.out_block, 1), 1));
	else
		moka_parallel(pool, rows_piece, &j, y->images * op->d.group * j.pairs * op->oh,
			      MOKA_MAX(PIECE * 16 / MOKA_MAX(work, 1), 1));
}
