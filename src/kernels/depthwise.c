/*
 * depthwise.c - convolution where every output looks at one channel only: no product in it, the memory sets the pace.
 *
 * A block of the channel is copied with its padding, split by the strides into planes of equal pitch:
 *
 *     stride 2:   a0 a1 a2 a3 ..        a0 a2 ..   a1 a3 ..
 *                 b0 b1 b2 b3 ..   ->   c0 c2 ..   c1 c3 ..      b0 b2 ..   b1 b3 ..
 *                 c0 c1 c2 c3 ..        (even rows: even, odd columns; odd rows likewise)
 *
 * Under every tap of the window the values for all outputs of the block then lie in one run, rows behind each other,
 * a few useless ones between the rows. One long loop makes them all, whatever the width; the useful ones are kept.
 */
#include "internal.h"

#include "pieces.h"

#define BLOCK 128    /* outputs of a row at once */
#define SPACE 6144   /* values of the copied block */
#define OUTPUTS 4096 /* of a block, the useless ones too */
#define MOST_TAPS 64
/* Under this many multiply-adds the work is over before a second thread has woken up. */
#define WORTH_A_THREAD 200000

struct depthwise {
	const struct moka_conv_geometry *g;
	int64_t multiplier;
	const real *w, *image, *bias;
	real *y;
};

/* A block: `rows` x `columns` outputs, and the planes that their windows see. */
struct block {
	int64_t oy, ox, rows, columns;
	int64_t pitch, lines; /* of a plane: values of a line, lines */
};

/* The last place that a tap looks at, on axis i, counted in strides. */
static int64_t reach(const struct moka_conv_geometry *g, int i)
{
	return (g->dilation[i] * (g->kernel[i] - 1)) / g->stride[i];
}

/* How many rows of outputs one block can hold; 0: not even one. */
static int64_t rows_of_block(const struct moka_conv_geometry *g, int64_t columns)
{
	const int64_t pitch = columns + reach(g, 1);
	int64_t lines;

	if (g->kernel[0] > MOST_TAPS || g->kernel[1] > MOST_TAPS || g->kernel[0] * g->kernel[1] > MOST_TAPS ||
	    pitch > SPACE || g->stride[0] > 8 || g->stride[1] > 8)
		return 0;
	lines = SPACE / (pitch * g->stride[0] * g->stride[1]);
	lines = MOKA_MIN(lines - reach(g, 0), OUTPUTS / pitch);
	return MOKA_MAX(MOKA_MIN(lines, g->out[0]), 0);
}

/* Copies what the block sees of the channel. `safe` ends what may be read. */
MOKA__INLINE void copy_in(const struct moka_conv_geometry *g, const struct block *b, const real *channel,
			  const real *safe, real *planes)
{
	for (int64_t sy = 0; sy < g->stride[0]; sy++)
		for (int64_t sx = 0; sx < g->stride[1]; sx++)
			for (int64_t l = 0; l < b->lines; l++, planes += b->pitch) {
				const int64_t y = (b->oy + l) * g->stride[0] + sy - g->pad[0];
				const int64_t x = b->ox * g->stride[1] + sx - g->pad[1];
				if (y >= 0 && y < g->in[0])
					moka__fill_piece(channel + y * g->in[1], g->in[1], x, g->stride[1], b->pitch,
							 safe, planes);
				else
					for (int64_t i = 0; i < b->pitch; i++)
						planes[i] = 0;
			}
}

/* Where in the planes the run of each tap begins. */
MOKA__INLINE void place_taps(const struct moka_conv_geometry *g, const struct block *b, const real *planes,
			     const real **tap)
{
	for (int64_t ky = 0; ky < g->kernel[0]; ky++)
		for (int64_t kx = 0; kx < g->kernel[1]; kx++) {
			const int64_t y = ky * g->dilation[0], x = kx * g->dilation[1];
			const int64_t plane = y % g->stride[0] * g->stride[1] + x % g->stride[1];
			*tap++ = planes + (plane * b->lines + y / g->stride[0]) * b->pitch + x / g->stride[1];
		}
}

/* n outputs of a window of nine, all in registers. */
MOKA__INLINE void sum_nine(int64_t n, const real *const *tap, const real *w, real bias, real *restrict y)
{
	for (int64_t i = 0; i < n; i++) {
		real sum = bias;
		for (int t = 0; t < 9; t++)
			sum += w[t] * tap[t][i];
		y[i] = sum;
	}
}

/* The same, in the same order, for any number of taps. */
MOKA__INLINE void sum_many(int64_t n, int taps, const real *const *tap, const real *w, real bias, real *restrict y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = bias;
	for (int t = 0; t < taps; t++) {
		const real *restrict x = tap[t];
		for (int64_t i = 0; i < n; i++)
			y[i] += w[t] * x[i];
	}
}

/* All planes that channel c makes, one block of them. */
MOKA__INLINE void run_block(const struct depthwise *d, int64_t c, const struct block *b, real *planes, real *outputs)
{
	const struct moka_conv_geometry *g = d->g;
	const int taps = (int)(g->kernel[0] * g->kernel[1]);
	const int64_t plane = g->in[0] * g->in[1], n = (b->rows - 1) * b->pitch + b->columns;
	const real *tap[MOST_TAPS];

	copy_in(g, b, d->image + c * plane, d->image + g->channels * plane, planes);
	place_taps(g, b, planes, tap);
	for (int64_t o = c * d->multiplier; o < (c + 1) * d->multiplier; o++) {
		real *y = d->y + (o * g->out[0] + b->oy) * g->out[1] + b->ox;
		if (taps == 9)
			sum_nine(n, tap, d->w + o * taps, d->bias ? d->bias[o] : 0, outputs);
		else
			sum_many(n, taps, tap, d->w + o * taps, d->bias ? d->bias[o] : 0, outputs);
		for (int64_t r = 0; r < b->rows; r++, y += g->out[1])
			memcpy(y, outputs + r * b->pitch, (size_t)b->columns * sizeof(real));
	}
}

MOKA__CLONES static void channels_piece(void *arg, int64_t begin, int64_t end)
{
	const struct depthwise *d = arg;
	const struct moka_conv_geometry *g = d->g;
	const int64_t columns = MOKA_MIN(g->out[1], (int64_t)BLOCK), rows = rows_of_block(g, columns);
	_Alignas(64) real planes[SPACE + 16], outputs[OUTPUTS];

	for (int64_t c = begin; c < end; c++)
		for (int64_t y = 0; y < g->out[0]; y += rows)
			for (int64_t x = 0; x < g->out[1]; x += columns) {
				struct block b = {
					y, x, MOKA_MIN(rows, g->out[0] - y), MOKA_MIN(columns, g->out[1] - x), 0, 0
				};
				b.pitch = b.columns + reach(g, 1);
				b.lines = b.rows + reach(g, 0);
				run_block(d, c, &b, planes, outputs);
			}
}

/* Windows too large for a block: a plain walk over the taps that are inside. */
static real window_at(const struct moka_conv_geometry *g, const real *channel, const real *w, int64_t oy, int64_t ox)
{
	real sum = 0;

	for (int64_t ky = 0; ky < g->kernel[0]; ky++) {
		int64_t y = oy * g->stride[0] - g->pad[0] + ky * g->dilation[0];
		for (int64_t kx = 0; y >= 0 && y < g->in[0] && kx < g->kernel[1]; kx++) {
			int64_t x = ox * g->stride[1] - g->pad[1] + kx * g->dilation[1];
			if (x >= 0 && x < g->in[1])
				sum += w[ky * g->kernel[1] + kx] * channel[y * g->in[1] + x];
		}
	}
	return sum;
}

static void large_piece(void *arg, int64_t begin, int64_t end)
{
	const struct depthwise *d = arg;
	const struct moka_conv_geometry *g = d->g;
	const int64_t taps = g->kernel[0] * g->kernel[1];
	real *y = d->y + begin * d->multiplier * g->out[0] * g->out[1];

	for (int64_t o = begin * d->multiplier; o < end * d->multiplier; o++)
		for (int64_t oy = 0; oy < g->out[0]; oy++)
			for (int64_t ox = 0; ox < g->out[1]; ox++)
				*y++ = window_at(g, d->image + o / d->multiplier * g->in[0] * g->in[1], d->w + o * taps,
						 oy, ox) +
				       (d->bias ? d->bias[o] : 0);
}

void moka_depthwise_forward(struct moka_pool *pool, const struct moka_conv_geometry *g, int64_t multiplier,
			    const real *w, const real *image, const real *bias, real *y)
{
	struct depthwise d = { g, multiplier, w, image, bias, y };
	const int64_t each = g->out[0] * g->out[1] * g->kernel[0] * g->kernel[1];
	bool fits;

	MOKA_BUG(g->axes != 2);
	fits = rows_of_block(g, MOKA_MIN(g->out[1], (int64_t)BLOCK)) > 0;
	if (each < WORTH_A_THREAD && each * g->channels * multiplier < WORTH_A_THREAD)
		pool = NULL;
	moka_parallel(pool, fits ? channels_piece : large_piece, &d, g->channels, 1);
}
