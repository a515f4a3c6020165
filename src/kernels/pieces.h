/*
 * pieces.h - copying what a row of windows sees of an image row. Included last (it includes fast.h).
 */
#ifndef MOKA_KERNELS_PIECES_H
#define MOKA_KERNELS_PIECES_H

#include <string.h>

#include "fast.h"

/* Which of `n` outputs from x0 on, `stride` apart, fall inside [0, width). */
MOKA__INLINE void moka__inside_range(int64_t x0, int64_t stride, int64_t width, int64_t n, int64_t *from, int64_t *to)
{
	int64_t lo = MOKA_MAX(-x0, 0), hi = MOKA_MAX(width - x0, 0);

	if (stride > 1) {
		lo = (lo + stride - 1) / stride;
		hi = (hi + stride - 1) / stride;
	}

	*from = MOKA_MIN(lo, n);
	*to = MOKA_MAX(MOKA_MIN(hi, n), *from);
}

/*
 * n values of one image row from x0 on. Short copies of a length known only here are slow; so pieces of 16 are
 * copied whole: out has 16 values of slack, and nothing at or after `safe` is read.
 */
MOKA__INLINE void moka__fill_piece(const real *in, int64_t width, int64_t x0, int64_t stride, int64_t n,
				   const real *safe, real *out)
{
	int64_t from, to;

	moka__inside_range(x0, stride, width, n, &from, &to);
	for (int64_t i = 0; i < from; i++)
		out[i] = 0;
	if (stride == 1) {
		const real *src = in + x0 + from;
		int64_t i = from;
		for (; i < to && src + 16 <= safe; i += 16, src += 16)
			memcpy(out + i, src, 16 * sizeof(real));
		for (; i < to; i++, src++)
			out[i] = *src;
	} else {
		for (int64_t i = from; i < to; i++)
			out[i] = in[x0 + i * stride];
	}
	for (int64_t i = to; i < n; i++)
		out[i] = 0;
}

#endif
