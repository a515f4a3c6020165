/*
 * blocked_rows.h - depthwise 3x3, whole rows at a time: a part of blocked_text.h, in whose words it is written.
 *
 * A tile is n places of a row. What it sees of a row of the image is read once: a vector of the image meets up to three
 * weights, each in the sum of another place. Columns outside of the image are skipped where a tile begins or ends in
 * them, rows outside are never entered. With TWO_ROWS (registers for all nine weights and two rows of sums) a tile has two rows, so that
 * a vector of the image is loaded once for both.
 */

/* One row of a window under n places; the first column (lo), the last (hi) may be outside of the image. */
INLINE void rows_line(const int n, const int stride, const bool edge, const real *x, const real *w, bool lo, bool hi,
		      VEC *sum)
{
	const int columns = (n - 1) * stride + 3;
	const VEC w0 = LOAD(w), w1 = LOAD(w + VLEN), w2 = LOAD(w + 2 * VLEN);

	UNROLL
	for (int j = 0; j < columns; j++) {
		VEC v;

		if (edge && ((j == 0 && lo) || (j == columns - 1 && hi)))
			continue;
		v = LOAD(x + j * VLEN);
		KEEP(v); /* in a register: compilers like to load it again for each sum */
		if (stride == 1) {
			if (j < n)
				sum[j] = FMA(v, w0, sum[j]);
			if (j >= 1 && j - 1 < n)
				sum[j - 1] = FMA(v, w1, sum[j - 1]);
			if (j >= 2)
				sum[j - 2] = FMA(v, w2, sum[j - 2]);
		} else if (j % 2) {
			sum[j / 2] = FMA(v, w1, sum[j / 2]);
		} else {
			if (j / 2 < n)
				sum[j / 2] = FMA(v, w0, sum[j / 2]);
			if (j >= 2)
				sum[j / 2 - 1] = FMA(v, w2, sum[j / 2 - 1]);
		}
	}
}

/* What the row below will read and write. */
INLINE void rows_fetch(const int n, const int stride, const real *x, const real *y)
{
	UNROLL
	for (int i = 0; i < n * stride; i++)
		__builtin_prefetch(x + (i + 1) * VLEN, 0, 3);
	UNROLL
	for (int i = 0; i < n; i++)
		__builtin_prefetch(y + i * VLEN, 1, 3);
}

INLINE void rows_tile(const int n, const int stride, const bool edge, const struct moka__rows *d, const real *x,
		      int64_t r0, int64_t r1, bool lo, bool hi, const real *residual, real *y)
{
	const VEC start = LOAD(d->bias);
	const int64_t row = d->width * VLEN;
	VEC sum[MOKA__PLACES];
	if (d->fetch)
		rows_fetch(n, stride, x + 3 * row, y + d->out_width * VLEN);
	UNROLL
	for (int i = 0; i < n; i++)
		sum[i] = start;
	for (int64_t r = r0; r < r1; r++)
		rows_line(n, stride, edge, x + r * row, d->w + r * 3 * VLEN, lo, hi, sum);
	if (residual) {
		UNROLL
		for (int i = 0; i < n; i++)
			sum[i] = ADD(sum[i], LOAD(residual + i * VLEN));
	}
	act_tile(n, 1, &d->act, sum);
	UNROLL
	for (int i = 0; i < n; i++)
		STORE(y + i * VLEN, sum[i]);
}

#ifdef TWO_ROWS
/* One row of the image under n places each of two rows of outputs: it is row r of the upper one's window, r - stride of the lower one's. */
INLINE void rows_both(const int n, const int stride, const int r, const bool edge, const real *x, const VEC *w, bool lo,
		      bool hi, VEC *sum)
{
	const int columns = (n - 1) * stride + 3;

	UNROLL
	for (int j = 0; j < columns; j++) {
		VEC v;

		if (edge && ((j == 0 && lo) || (j == columns - 1 && hi)))
			continue;
		v = LOAD(x + j * VLEN);
		KEEP(v);
		UNROLL
		for (int k = 0; k < 3; k++) {
			const int i = (j - k) / stride;

			if (j < k || (j - k) % stride || i >= n)
				continue;
			if (r < 3)
				sum[i] = FMA(v, w[3 * r + k], sum[i]);
			if (r >= stride)
				sum[n + i] = FMA(v, w[3 * (r - stride) + k], sum[n + i]);
		}
	}
}

/* n places each of a row and the row below it; of the image's stride + 3 rows that they see, [r0, r1) are there. */
INLINE void rows_two(const int n, const int stride, const bool edge, const struct moka__rows *d, const VEC *w,
		     const real *x, int64_t r0, int64_t r1, bool lo, bool hi, const real *residual, real *y)
{
	const VEC start = LOAD(d->bias);
	const int64_t row = d->width * VLEN, below = d->out_width * VLEN;
	VEC sum[2 * MOKA__PLACES];

	UNROLL
	for (int i = 0; i < 2 * n; i++)
		sum[i] = start;
	UNROLL
	for (int r = 0; r < stride + 3; r++)
		if (r >= r0 && r < r1)
			rows_both(n, stride, r, edge, x + r * row, w, lo, hi, sum);
	if (residual) {
		UNROLL
		for (int i = 0; i < 2 * n; i++)
			sum[i] = ADD(sum[i], LOAD(residual + i / n * below + i % n * VLEN));
	}
	act_tile(2 * n, 1, &d->act, sum);
	UNROLL
	for (int i = 0; i < 2 * n; i++)
		STORE(y + i / n * below + i % n * VLEN, sum[i]);
}

/* All places of a row and of the one below. */
INLINE void rows_row_two(const int n, const int stride, const struct moka__rows *d, int64_t oy)
{
	const int64_t y0 = oy * stride - d->pad[0], r0 = MOKA_MAX(-y0, 0), r1 = d->height - y0;
	const int64_t at = oy * d->out_width;
	int64_t from = 0;
	VEC w[9];

	UNROLL
	for (int i = 0; i < 9; i++)
		w[i] = LOAD(d->w + i * VLEN);
	for (int64_t i = 0; i < d->tiles; i++) {
		const int64_t to = from + n - (i >= d->whole), x0 = from * stride - d->pad[1];
		const bool lo = x0 < 0;
		const bool hi = (to - 1) * stride - d->pad[1] + 3 > d->width;
		const real *x = d->x + ((y0 - d->top) * d->width + x0) * VLEN, *z = d->residual;
		real *y = d->y + (at + from) * VLEN;

		if (z)
			z += (at + from) * VLEN;
		if (i < d->whole) {
			if (lo || hi)
				rows_two(n, stride, true, d, w, x, r0, r1, lo, hi, z, y);
			else
				rows_two(n, stride, false, d, w, x, r0, r1, false, false, z, y);
		} else if (n > 1) {
			rows_two(n - 1, stride, true, d, w, x, r0, r1, lo, hi, z, y);
		}
		from = to;
	}
}
#endif

/* All places of one row, in tiles of n and n - 1. */
INLINE void rows_row(const int n, const int stride, const struct moka__rows *d, int64_t oy)
{
	const int64_t y0 = oy * stride - d->pad[0], r0 = MOKA_MIN(MOKA_MAX(-y0, 0), 3),
		      r1 = MOKA_MAX(MOKA_MIN(d->height - y0, 3), r0);
	const int64_t at = oy * d->out_width;
	int64_t from = 0;

	for (int64_t i = 0; i < d->tiles; i++) {
		const int64_t to = from + n - (i >= d->whole), x0 = from * stride - d->pad[1];
		const bool lo = x0 < 0;
		const bool hi = (to - 1) * stride - d->pad[1] + 3 > d->width;
		const real *x = d->x + ((y0 - d->top) * d->width + x0) * VLEN, *z = d->residual;
		real *y = d->y + (at + from) * VLEN;

		if (z)
			z += (at + from) * VLEN;
		if (i < d->whole) {
			if (lo || hi)
				rows_tile(n, stride, true, d, x, r0, r1, lo, hi, z, y);
			else
				rows_tile(n, stride, false, d, x, r0, r1, false, false, z, y);
		} else if (n > 1) {
			rows_tile(n - 1, stride, true, d, x, r0, r1, lo, hi, z, y);
		}
		from = to;
	}
}

INLINE void rows(const int n, const int stride, const struct moka__rows *d)
{
	int64_t oy = d->from;

#ifdef TWO_ROWS
	/* planes from afar are faster row by row: their next row is asked for, and comes in time */
	for (; !d->fetch && oy + 1 < d->to; oy += 2)
		rows_row_two(n, stride, d, oy);
#endif
	for (; oy < d->to; oy++)
		rows_row(n, stride, d, oy);
}
