/*
 * blocks.c - strided copies in pieces. The pieces are ranges of the values as numbered row by row, so that one
 * long row and many short ones are both shared out evenly.
 */
#include "blocks.h"

#include <string.h>

#define PIECE 32768

struct rows_job {
	int64_t size, src_stride, dst_stride;
	const real *src;
	real *dst;
};

static void copy_piece(void *arg, int64_t begin, int64_t end)
{
	const struct rows_job *j = arg;

	while (begin < end) {
		const int64_t row = begin / j->size, at = begin % j->size, n = MOKA_MIN(j->size - at, end - begin);

		memcpy(j->dst + row * j->dst_stride + at, j->src + row * j->src_stride + at, (size_t)n * sizeof(real));
		begin += n;
	}
}

static void add_piece(void *arg, int64_t begin, int64_t end)
{
	const struct rows_job *j = arg;

	while (begin < end) {
		const int64_t row = begin / j->size, at = begin % j->size, n = MOKA_MIN(j->size - at, end - begin);
		const real *src = j->src + row * j->src_stride + at;
		real *dst = j->dst + row * j->dst_stride + at;

		for (int64_t i = 0; i < n; i++)
			dst[i] += src[i];
		begin += n;
	}
}

static void zero_piece(void *arg, int64_t begin, int64_t end)
{
	real *dst = arg;

	memset(dst + begin, 0, (size_t)(end - begin) * sizeof(real));
}

void moka__copy_rows(struct moka_pool *pool, int64_t rows, int64_t size, const real *src, int64_t src_stride, real *dst,
		     int64_t dst_stride)
{
	struct rows_job j = { size, src_stride, dst_stride, src, dst };

	if (rows > 0 && size > 0 && src != dst)
		moka_parallel(pool, copy_piece, &j, rows * size, PIECE);
}

void moka__add_rows(struct moka_pool *pool, int64_t rows, int64_t size, const real *src, int64_t src_stride, real *dst,
		    int64_t dst_stride)
{
	struct rows_job j = { size, src_stride, dst_stride, src, dst };

	if (rows > 0 && size > 0)
		moka_parallel(pool, add_piece, &j, rows * size, PIECE);
}

void moka__copy(struct moka_pool *pool, int64_t n, const real *src, real *dst)
{
	moka__copy_rows(pool, 1, n, src, n, dst, n);
}

void moka__zero(struct moka_pool *pool, int64_t n, real *dst)
{
	if (n > 0)
		moka_parallel(pool, zero_piece, dst, n, PIECE);
}
