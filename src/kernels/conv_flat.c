/*
 * conv_flat.c - convolution over a batch, forward and back to its input: see conv_flat.h for the idea. Threads take whole images;
 * weights are packed once a call, in the order in which the tiles read them: [rows of a tile][tap][channel][row].
 *
 * The gradient of the input is a convolution of the gradient of the output, with the kernel turned around and inputs
 * and outputs changing places.
 */
#include "conv_flat.h"

#include "fast.h"
#include "internal.h"

#include <stdatomic.h>
#include <string.h>

/* More values of weights than this are read from too far for each image: columns and blocks of them are better. */
#define MOST_WEIGHTS ((int64_t)400 * 1024)
/* Values of each output, or of all, that are computed before they are copied to their rows. */
#define BAND 192
#define BAND_VALUES 16384
/* Values that are copied by a few moves. */
#define PIECE 16

static int64_t round_up(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

bool moka__flat_make(struct moka__flat *f, const struct moka_conv_geometry *g)
{
	if (g->kernel[0] * g->kernel[1] > MOKA__FLAT_MOST_TAPS)
		return false;
	f->g = g;
	f->width = g->in[1] + 2 * g->pad[1];
	f->plane = (g->in[0] + 2 * g->pad[0]) * f->width;
	f->taps = 0;
	for (int64_t y = 0; y < g->kernel[0]; y++)
		for (int64_t x = 0; x < g->kernel[1]; x++)
			f->shift[f->taps++] = y * g->dilation[0] * f->width + x * g->dilation[1];
	f->slack = f->shift[f->taps - 1] + MOKA__GEMM_MOST_NR;
	return true;
}

void moka__flat_pad(const struct moka__flat *f, const real *image, int64_t c0, int64_t channels, real *out)
{
	const struct moka_conv_geometry *g = f->g;
	const int64_t top = g->pad[0] * f->width, side = g->pad[1];

	for (int64_t ch = c0; ch < c0 + channels; ch++, out += f->plane) {
		const real *in = image + ch * g->in[0] * g->in[1];

		if (!g->pad[0] && !side) {
			memcpy(out, in, (size_t)f->plane * sizeof(real));
			continue;
		}
		moka_set(top, 0, out);
		for (int64_t y = 0; y < g->in[0]; y++) {
			real *row = out + top + y * f->width;

			for (int64_t i = 0; i < side; i++)
				row[i] = row[f->width - 1 - i] = 0;
			memcpy(row + side, in + y * g->in[1], (size_t)g->in[1] * sizeof(real));
		}
		moka_set(top, 0, out + f->plane - top);
	}
}

/* ---- a batch ----------------------------------------------------------------------------------------- */

struct batch {
	const struct moka__gemm_kernels *ops;
	struct moka__flat f;
	int64_t outputs, images;
	const real *weights, *bias; /* packed; bias padded to whole tiles, or NULL */
	const real *x;
	real *y;
	int64_t x_stride, y_stride;
	int64_t band, ldc; /* rows of output at a time; values of a row of the tile beside */
	real *memory;
	size_t slot_size, planes;
	_Atomic int64_t next;
};

/* Rows of output [r0, r0 + rows) of all outputs, into the memory beside: outputs rows of ldc values. */
static void run_band(const struct batch *b, const real *planes, int64_t r0, int64_t rows, real *beside)
{
	const int mr = b->ops->mr, vector = b->ops->vector;
	const int64_t nr = (int64_t)vector * b->ops->vectors, channels = b->f.g->channels;
	const int64_t places = rows * b->f.width;

	for (int64_t j = 0; j < places; j += nr) {
		const int vectors = (int)MOKA_MIN((places - j + vector - 1) / vector, b->ops->vectors);
		const real *at = planes + r0 * b->f.width + j, *a = b->weights;

		for (int64_t i = 0; i < b->outputs; i += mr) {
			const int half = b->outputs - i <= mr / 2;
			const int rows_here = half ? mr / 2 : mr;

			b->ops->flat[!half][vectors - 1](b->f.taps, b->f.shift, channels, b->f.plane, a, at,
							 b->bias ? b->bias + i : NULL, beside + i * b->ldc + j, b->ldc);
			a += b->f.taps * channels * rows_here;
		}
	}
}

/*
 * Rows of n values, `width` apart, one behind the other. All but the last in whole pieces: what is too much of one lies in the next,
 * which is written after it.
 */
MOKA__CLONES static void copy_rows(int64_t rows, int64_t n, const real *from, int64_t width, real *to)
{
	for (; rows > 1 && n >= PIECE; rows--, from += width, to += n)
		for (int64_t i = 0; i < n; i += PIECE)
			memcpy(to + i, from + i, PIECE * sizeof(real));
	for (; rows > 0; rows--, from += width, to += n)
		memcpy(to, from, (size_t)n * sizeof(real));
}

static void run_image(const struct batch *b, int64_t image, real *memory)
{
	const struct moka_conv_geometry *g = b->f.g;
	real *beside = memory + b->planes;

	moka__flat_pad(&b->f, b->x + image * b->x_stride, 0, g->channels, memory);
	for (int64_t r = 0; r < g->out[0]; r += b->band) {
		const int64_t rows = MOKA_MIN(b->band, g->out[0] - r);
		real *y = b->y + image * b->y_stride + r * g->out[1];

		run_band(b, memory, r, rows, beside);
		for (int64_t o = 0; o < b->outputs; o++)
			copy_rows(rows, g->out[1], beside + o * b->ldc, b->f.width, y + o * g->out[0] * g->out[1]);
	}
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
	struct batch *b = arg;

	for (int64_t slot = begin; slot < end; slot++) {
		real *memory = b->memory + (size_t)slot * b->slot_size;

		/* what tiles read behind the last plane: any number will do, so long as it is one */
		moka_set(b->f.slack, 0, memory + b->f.g->channels * b->f.plane);
		for (int64_t i = b->next++; i < b->images; i = b->next++)
			run_image(b, i, memory);
	}
}

/* Where the weight of (output, channel, tap) lies. */
struct order {
	int64_t output, channel, tap, first;
};

static void pack_weights(const struct batch *b, const real *w, const struct order *o, real *out)
{
	const int64_t channels = b->f.g->channels;

	for (int64_t i = 0; i < b->outputs;) {
		const int64_t mr = b->outputs - i <= b->ops->mr / 2 ? b->ops->mr / 2 : b->ops->mr;

		for (int64_t t = 0; t < b->f.taps; t++)
			for (int64_t ch = 0; ch < channels; ch++)
				for (int64_t r = 0; r < mr; r++)
					*out++ = i + r < b->outputs ? w[o->first + (i + r) * o->output +
									ch * o->channel + t * o->tap]
								    : 0;
		i += mr;
	}
}

static bool run_batch(struct moka_pool *pool, struct moka_gemm_ws *ws, struct batch *b, const real *w,
		      const struct order *order, const real *bias)
{
	const struct moka_conv_geometry *g = b->f.g;
	const int slots = (int)MOKA_MIN((int64_t)moka_pool_threads(pool), b->images);
	int64_t padded;
	size_t head;
	real *memory;

	b->ops = moka__gemm_ops(ws);
	padded = round_up(b->outputs, b->ops->mr);
	b->band = MOKA_MAX(MOKA_MIN(MOKA_MAX(BAND, BAND_VALUES / padded) / b->f.width, g->out[0]), 1);
	b->ldc = round_up(b->band * b->f.width, 16);
	b->planes = (size_t)round_up(g->channels * b->f.plane + b->f.slack, 16);
	b->slot_size = b->planes + (size_t)(padded * b->ldc) + 16;
	b->slot_size = (b->slot_size + 15) / 16 * 16;
	head = (size_t)round_up(padded * g->channels * b->f.taps + padded, 16);
	memory = moka__gemm_reserve(ws, 1, head + (size_t)slots * b->slot_size);
	if (!memory)
		return false;
	pack_weights(b, w, order, memory + padded);
	if (bias)
		for (int64_t i = 0; i < padded; i++)
			memory[i] = i < b->outputs ? bias[i] : 0;
	b->bias = bias ? memory : NULL;
	b->weights = memory + padded;
	b->memory = memory + head;
	moka_parallel(pool, run_slots, b, slots, 1);
	return true;
}

/* ---- the calls ------------------------------------------------------------------------------------------ */

bool moka_conv_batch_takes(const struct moka_conv_geometry *g, int64_t outputs, int64_t images)
{
	if (g->axes != 2 || g->stride[0] != 1 || g->stride[1] != 1 || images < 4 || outputs < 1 || g->channels < 1)
		return false;
	if (g->out[0] < 1 || g->out[1] < 1 || g->kernel[0] * g->kernel[1] > MOKA__FLAT_MOST_TAPS)
		return false;
	/* what is thrown away of each row must be little */
	if (g->in[1] + 2 * g->pad[1] > g->out[1] + g->out[1] / 2 + 2)
		return false;
	return outputs * g->channels * g->kernel[0] * g->kernel[1] <= MOST_WEIGHTS;
}

bool moka_conv_batch_forward(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
			     int64_t outputs, int64_t images, const real *w, const real *bias, const real *x,
			     int64_t x_stride, real *y, int64_t y_stride)
{
	const int64_t taps = g->kernel[0] * g->kernel[1];
	const struct order order = { g->channels * taps, taps, 1, 0 };
	struct batch b = {
		.outputs = outputs, .images = images, .x = x, .y = y, .x_stride = x_stride, .y_stride = y_stride
	};

	return moka_conv_batch_takes(g, outputs, images) && moka__flat_make(&b.f, g) &&
	       run_batch(pool, ws, &b, w, &order, bias);
}

/* The geometry of the way back; false where the padding is wider than the kernel reaches. */
static bool turn_around(const struct moka_conv_geometry *g, int64_t outputs, struct moka_conv_geometry *back)
{
	*back = *g;
	back->channels = outputs;
	for (int i = 0; i < 2; i++) {
		back->in[i] = g->out[i];
		back->out[i] = g->in[i];
		back->pad[i] = g->dilation[i] * (g->kernel[i] - 1) - g->pad[i];
		if (back->pad[i] < 0)
			return false;
	}
	return true;
}

bool moka_conv_batch_data(struct moka_pool *pool, struct moka_gemm_ws *ws, const struct moka_conv_geometry *g,
			  int64_t outputs, int64_t images, const real *w, const real *dy, int64_t y_stride, real *dx,
			  int64_t x_stride)
{
	const int64_t taps = g->kernel[0] * g->kernel[1];
	const struct order order = { taps, g->channels * taps, -1, taps - 1 };
	struct moka_conv_geometry back;
	struct batch b = {
		.outputs = g->channels, .images = images, .x = dy, .y = dx, .x_stride = y_stride, .y_stride = x_stride
	};

	return moka_conv_batch_takes(g, outputs, images) && turn_around(g, outputs, &back) &&
	       moka_conv_batch_takes(&back, g->channels, images) && moka__flat_make(&b.f, &back) &&
	       run_batch(pool, ws, &b, w, &order, NULL);
}
