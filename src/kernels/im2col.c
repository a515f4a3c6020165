/*
 * im2col.c - a convolution as a matrix product: the image's values in the order in which the windows see them.
 *
 * Row (channel, tap) of col holds, for every output, the value under that tap of the window. Along the innermost axis
 * that is a piece of an image row, with zeros where the window hangs over the edge; all else is finding the pieces.
 * The same code fills whole rows (moka_im2col) and, for moka_conv_forward, just the columns a work tile needs.
 */
#include "conv.h"

#include "gemm.h"
#include "internal.h"

#include <string.h>

#include "pieces.h"

int64_t moka__product(const int64_t *d, int n)
{
	int64_t p = 1;

	for (int i = 0; i < n; i++)
		p *= d[i];
	return p;
}

void moka__tap_split(const struct moka_conv_geometry *g, int64_t tap, int64_t shift[MOKA_CONV_AXES])
{
	for (int i = g->axes - 1; i >= 0; i--) {
		shift[i] = tap % g->kernel[i] * g->dilation[i] - g->pad[i];
		tap /= g->kernel[i];
	}
}

/*
 * Where the image row lies that output row `row` (a flat index over all axes but the innermost) looks at; -1: in the
 * padding.
 */
MOKA__INLINE int64_t row_source(const struct moka_conv_geometry *g, const int64_t *shift, int64_t row)
{
	int64_t index = 0, size = 1;

	if (g->axes == 2) { /* the usual case, without a division */
		int64_t at = row * g->stride[0] + shift[0];
		return at < 0 || at >= g->in[0] ? -1 : at * g->in[1];
	}
	for (int i = g->axes - 2; i >= 0; i--) {
		int64_t at = row % g->out[i] * g->stride[i] + shift[i];
		row /= g->out[i];
		if (at < 0 || at >= g->in[i])
			return -1;
		index += at * size;
		size *= g->in[i];
	}
	return index * g->in[g->axes - 1];
}

/* As moka__fill_piece(), not a value further than n. */
MOKA__INLINE void fill_exact(const real *in, int64_t width, int64_t x0, int64_t stride, int64_t n, real *out)
{
	int64_t from, to;

	moka__inside_range(x0, stride, width, n, &from, &to);
	for (int64_t i = 0; i < from; i++)
		out[i] = 0;
	if (stride == 1 && to > from)
		memcpy(out + from, in + x0 + from, (size_t)(to - from) * sizeof(real));
	else
		for (int64_t i = from; i < to; i++)
			out[i] = in[x0 + i * stride];
	for (int64_t i = to; i < n; i++)
		out[i] = 0;
}

/* Outputs [j0, j0 + n) of the tap; out has 16 values of slack, and `safe` ends what may be read. */
MOKA__CLONES static void fill_columns(const struct moka_conv_geometry *g, const real *channel, const real *safe,
				      const int64_t *shift, int64_t row, int64_t x, int64_t n, real *out)
{
	const int last = g->axes - 1;
	const int64_t width = g->in[last], stride = g->stride[last];

	while (n > 0) {
		int64_t piece = MOKA_MIN(g->out[last] - x, n);
		int64_t at = row_source(g, shift, row);
		if (at < 0)
			for (int64_t i = 0; i < piece; i++)
				out[i] = 0;
		else
			moka__fill_piece(channel + at, width, x * stride + shift[last], stride, piece, safe, out);
		out += piece, n -= piece;
		row++, x = 0;
	}
}

void moka__pack_columns(const struct moka__gemm_source *s, const struct moka__gemm_kernels *ops, int64_t p0, int64_t kc,
			int64_t j0, int64_t n, real *out)
{
	const struct moka_conv_geometry *g = s->conv;
	const int64_t taps = moka__product(g->kernel, g->axes), plane = moka__product(g->in, g->axes);
	const int64_t row = j0 / g->out[g->axes - 1], x = j0 % g->out[g->axes - 1];
	const real *safe = s->b + g->channels * plane;
	int64_t channel = p0 / taps, tap = p0 % taps, shift[MOKA_CONV_AXES];
	real line[MOKA__GEMM_MOST_COLUMNS + 16];

	for (int64_t p = 0; p < kc; p++) {
		moka__tap_split(g, tap, shift);
		fill_columns(g, s->b + channel * plane, safe, shift, row, x, n, line);
		moka__gemm_put_row(ops, line, n, p, kc, out);
		if (++tap == taps)
			tap = 0, channel++;
	}
}

/* Under this many values of col the work is over before a second thread has woken up. */
#define WORTH_A_THREAD 50000

static bool is_small(const struct moka_conv_geometry *g)
{
	int64_t n = g->channels;

	for (int i = 0; i < g->axes && n < WORTH_A_THREAD; i++)
		n *= g->kernel[i] * g->out[i];
	return n < WORTH_A_THREAD;
}

struct col_job {
	const struct moka_conv_geometry *g;
	const real *from;
	real *to;
};

/* Channels [begin, end) of col. */
static void im2col_piece(void *arg, int64_t begin, int64_t end)
{
	const struct col_job *j = arg;
	const struct moka_conv_geometry *g = j->g;
	const int last = g->axes - 1;
	const int64_t taps = moka__product(g->kernel, g->axes), plane = moka__product(g->in, g->axes);
	const int64_t rows = moka__product(g->out, last), width = g->out[last];
	int64_t shift[MOKA_CONV_AXES];

	for (int64_t t = begin * taps; t < end * taps; t++) {
		real *out = j->to + t * rows * width;
		moka__tap_split(g, t % taps, shift);
		for (int64_t r = 0; r < rows; r++, out += width) {
			int64_t at = row_source(g, shift, r);
			if (at < 0)
				memset(out, 0, (size_t)width * sizeof(real));
			else
				fill_exact(j->from + t / taps * plane + at, g->in[last], shift[last], g->stride[last],
					   width, out);
		}
	}
}

void moka_im2col(struct moka_pool *pool, const struct moka_conv_geometry *g, const real *image, real *col)
{
	struct col_job j = { g, image, col };

	moka_parallel(is_small(g) ? NULL : pool, im2col_piece, &j, g->channels, 1);
}

/* Channels [begin, end) of the image: every tap's row of col, in order, is added where it came from. */
MOKA__CLONES static void col2im_piece(void *arg, int64_t begin, int64_t end)
{
	const struct col_job *j = arg;
	const struct moka_conv_geometry *g = j->g;
	const int last = g->axes - 1;
	const int64_t taps = moka__product(g->kernel, g->axes), plane = moka__product(g->in, g->axes);
	const int64_t rows = moka__product(g->out, last), width = g->out[last], stride = g->stride[last];
	int64_t shift[MOKA_CONV_AXES];

	memset(j->to + begin * plane, 0, (size_t)((end - begin) * plane) * sizeof(real));
	for (int64_t t = begin * taps; t < end * taps; t++) {
		const real *in = j->from + t * rows * width;
		moka__tap_split(g, t % taps, shift);
		for (int64_t r = 0; r < rows; r++, in += width) {
			int64_t at = row_source(g, shift, r), from, to;
			real *out = j->to + t / taps * plane + at + shift[last];
			if (at < 0)
				continue;
			moka__inside_range(shift[last], stride, g->in[last], width, &from, &to);
			if (stride == 1)
				for (int64_t i = from; i < to; i++)
					out[i] += in[i];
			else
				for (int64_t i = from; i < to; i++)
					out[i * stride] += in[i];
		}
	}
}

void moka_col2im(struct moka_pool *pool, const struct moka_conv_geometry *g, const real *col, real *image)
{
	struct col_job j = { g, col, image };

	moka_parallel(is_small(g) ? NULL : pool, col2im_piece, &j, g->channels, 1);
}
