/*
 * conv_flat_weights.c - the gradient of a convolution's weights over a batch: see conv_flat.h for the idea.
 *
 *     dw[output][channel][tap] += sum over images and places of dy[output][place] * plane[channel][place + shift of the tap]
 *
 * A product per tap whose left matrix is read where it lies: rows are channels, one plane apart (or, for images of few channels,
 * the taps of a row, one value apart). The right one is dy turned over, packed into panels, zeros where a row of the output has
 * ended; it serves all taps. Sums are kept as [tap][channel][output] and turned back at the end.
 *
 * Work is cut into blocks of channels and groups of images, by the sizes alone: each has sums of its own, which are added in
 * order. So the result doesn't depend on the number of threads.
 */
#include "conv_flat.h"

#include "internal.h"

#include <stdatomic.h>
#include <string.h>

/* Steps of a product at a time: a panel of them fits the first cache. */
#define BAND 256
/* Rows of the left matrix that make packing dy worth while. */
#define WORTH_PACKING 144
/* Pieces that are wanted, for threads to share; and the most values that sums of groups may take together. */
#define PIECES 8
#define MOST_SUMS ((int64_t)1 << 20)

struct weights {
	const struct moka__gemm_kernels *ops;
	struct moka__flat f;
	int64_t outputs, images;
	const real *x, *dy;
	int64_t x_stride, y_stride;
	bool by_taps;		       /* rows of the left matrix are taps */
	int64_t block, blocks, groups; /* channels at a time; how many such; of images */
	int64_t band;		       /* rows of output at a time */
	int64_t columns;	       /* outputs in whole vectors */
	real *sums;		       /* groups x [tap][channel][columns] */
	real *memory;
	size_t slot_size, planes;
	_Atomic int64_t next;
};

static int64_t round_up(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

/* Rows [r, r + rows) of dy of one image, turned over: panels of nr outputs, rows * width steps each. */
static void pack_gradient(const struct weights *p, const real *dy, int64_t r, int64_t rows, real *out)
{
	const struct moka_conv_geometry *g = p->f.g;
	const int64_t nr = (int64_t)p->ops->vector * p->ops->vectors, steps = rows * p->f.width,
		      area = g->out[0] * g->out[1];

	for (int64_t o = 0; o < p->outputs; o += nr) {
		const int64_t used = MOKA_MIN(nr, p->outputs - o), width = round_up(used, p->ops->vector);

		if (used < width || g->out[1] < p->f.width)
			moka_set(steps * width, 0, out);
		for (int64_t k = 0; k < rows; k++)
			p->ops->transpose(used, g->out[1], dy + o * area + (r + k) * g->out[1], area,
					  out + k * p->f.width * width, width);
		out += steps * width;
	}
}

/* sums (rows x columns, ldc apart) += left (rows, `stride` apart) x the packed gradient. */
static void multiply(const struct weights *p, int64_t rows, const real *left, int64_t stride, int64_t steps,
		     const real *packed, real *sums, int64_t ldc)
{
	static const struct moka__gemm_end add = { 1, 1, NULL };
	const int64_t nr = (int64_t)p->ops->vector * p->ops->vectors;

	for (int64_t o = 0; o < p->columns; o += nr) {
		const int64_t width = MOKA_MIN(nr, p->columns - o);
		const int vectors = (int)(width / p->ops->vector);
		int size = __builtin_ctz((unsigned)p->ops->mr);

		for (int64_t i = 0; i < rows; i += 1 << size) {
			while (rows - i < 1 << size)
				size--;
			p->ops->rows[size][vectors - 1](steps, left + i * stride, stride, packed, sums + i * ldc + o,
							ldc, &add);
		}
		packed += steps * width;
	}
}

/* One band of one image, for channels [c0, c0 + channels) whose planes are at `planes`. */
static void run_band(const struct weights *p, const real *planes, int64_t c0, int64_t channels, int64_t r, int64_t rows,
		     const real *packed, real *sums)
{
	const struct moka_conv_geometry *g = p->f.g;
	const int64_t steps = rows * p->f.width, from = r * p->f.width;

	if (!p->by_taps) {
		for (int64_t t = 0; t < p->f.taps; t++)
			multiply(p, channels, planes + from + p->f.shift[t], p->f.plane, steps, packed,
				 sums + (t * g->channels + c0) * p->columns, p->columns);
		return;
	}
	for (int64_t ch = 0; ch < channels; ch++)
		for (int64_t t = 0; t < p->f.taps; t += g->kernel[1])
			multiply(p, g->kernel[1], planes + ch * p->f.plane + from + p->f.shift[t], g->dilation[1],
				 steps, packed, sums + (t * g->channels + c0 + ch) * p->columns,
				 g->channels * p->columns);
}

/* Piece: a block of channels over a group of images. */
static void run_piece(const struct weights *p, int64_t piece, real *memory)
{
	const struct moka_conv_geometry *g = p->f.g;
	const int64_t group = piece / p->blocks, c0 = piece % p->blocks * p->block;
	const int64_t channels = MOKA_MIN(p->block, g->channels - c0);
	const int64_t n0 = p->images * group / p->groups, n1 = p->images * (group + 1) / p->groups;
	real *sums = p->sums + group * p->f.taps * g->channels * p->columns, *packed = memory + p->planes;

	for (int64_t t = 0; t < p->f.taps; t++)
		moka_set(channels * p->columns, 0, sums + (t * g->channels + c0) * p->columns);
	moka_set(p->f.slack, 0, memory + channels * p->f.plane);
	for (int64_t n = n0; n < n1; n++) {
		moka__flat_pad(&p->f, p->x + n * p->x_stride, c0, channels, memory);
		for (int64_t r = 0; r < g->out[0]; r += p->band) {
			const int64_t rows = MOKA_MIN(p->band, g->out[0] - r);

			pack_gradient(p, p->dy + n * p->y_stride, r, rows, packed);
			run_band(p, memory, c0, channels, r, rows, packed, sums);
		}
	}
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
	struct weights *p = arg;

	for (int64_t slot = begin; slot < end; slot++)
		for (int64_t i = p->next++; i < p->blocks * p->groups; i = p->next++)
			run_piece(p, i, p->memory + (size_t)slot * p->slot_size);
}

/* dw of outputs [begin, end): the groups' sums in order, turned back. */
struct turn {
	const struct weights *p;
	real *dw;
};

static void turn_back(void *arg, int64_t begin, int64_t end)
{
	const struct turn *j = arg;
	const struct weights *p = j->p;
	const int64_t channels = p->f.g->channels, taps = p->f.taps, all = taps * channels * p->columns;

	for (int64_t o = begin; o < end; o++)
		for (int64_t ch = 0; ch < channels; ch++)
			for (int64_t t = 0; t < taps; t++) {
				const real *from = p->sums + (t * channels + ch) * p->columns + o;
				real sum = 0;

				for (int64_t i = 0; i < p->groups; i++)
					sum += from[i * all];
				j->dw[(o * channels + ch) * taps + t] += sum;
			}
}

static void cut(struct weights *p)
{
	const struct moka_conv_geometry *g = p->f.g;
	const int64_t mr = p->ops->mr;
	int64_t sums;

	p->columns = round_up(p->outputs, p->ops->vector);
	p->by_taps = g->channels < 4 && g->kernel[1] > 1;
	p->block = MOKA_MIN(round_up(MOKA_MAX(WORTH_PACKING / p->f.taps, 2 * mr), mr), g->channels);
	p->blocks = (g->channels + p->block - 1) / p->block;
	sums = p->f.taps * g->channels * p->columns;
	p->groups = MOKA_MIN((PIECES + p->blocks - 1) / p->blocks, MOKA_MIN(p->images, MOKA_MAX(MOST_SUMS / sums, 1)));
	p->band = MOKA_MAX(MOKA_MIN(BAND / p->f.width, g->out[0]), 1);
	p->planes = (size_t)round_up(p->block * p->f.plane + p->f.slack, 16);
	p->slot_size = p->planes + (size_t)round_up(p->band * p->f.width * p->columns, 16);
}

bool moka_conv_batch_weights(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
			     int64_t outputs, int64_t images, const real *x, int64_t x_stride, const real *dy,
			     int64_t y_stride, real *dw)
{
	struct weights p = {
		.outputs = outputs, .images = images, .x = x, .dy = dy, .x_stride = x_stride, .y_stride = y_stride
	};
	struct turn turn = { &p, dw };
	size_t sums;
	int slots;

	if (!moka_conv_batch_takes(g, outputs, images) || !moka__flat_make(&p.f, g))
		return false;
	p.ops = moka__gemm_ops(ws);
	cut(&p);
	slots = (int)MOKA_MIN((int64_t)moka_pool_threads(pool), p.blocks * p.groups);
	sums = (size_t)round_up(p.groups * p.f.taps * g->channels * p.columns, 16);
	p.sums = moka__gemm_reserve(ws, 1, sums + (size_t)slots * p.slot_size);
	if (!p.sums)
		return false;
	p.memory = p.sums + sums;
	moka_parallel(pool, run_slots, &p, slots, 1);
	moka_parallel(pool, turn_back, &turn, outputs, MOKA_MAX(16384 / (p.f.taps * g->channels), 1));
	return true;
}
