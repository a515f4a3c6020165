/*
 * blocked_text.h - the text of the blocked kernels, included by one file per instruction set, which defines before:
 * VEC, VLEN, LOAD, STORE, SPLAT, FMA(a, b, c), MUL, ADD, SUB, MAX, MIN, DIV, SQRT, KEEP (a value stays in its register), a function
 * transpose() and NAME (the table's name), MOST_GROUP, PLACES_LIST; WEIGHTS1, 2, 3: inputs that a tile of the gradient of weights takes,
 * for as many blocks of outputs (3 may be 0). Where TILE_FOUR is defined, that file has a tile_four() of its own. May be defined: TWO_ROWS
 * (depthwise by two rows), LOAD_FOUR (four values, over and over through a vector) with SPLAT_OF_FOUR (one of them everywhere).
 */
#include "unroll.h"

// clang-format off
#define INLINE static inline __attribute__((always_inline))
// clang-format on

static const real zeros[VLEN];

INLINE VEC act_vec(const struct moka_act *a, VEC x, const real *slopes)
{
	switch (a->kind) {
	case MOKA_ACT_NONE:
		return x;
	case MOKA_ACT_RELU:
		if (a->slope == 0)
			return MAX(x, SPLAT(0));
		return FMA(SPLAT(a->slope), MIN(x, SPLAT(0)), MAX(x, SPLAT(0)));
	case MOKA_ACT_CLIP:
		return MIN(MAX(x, SPLAT(a->low)), SPLAT(a->high));
	case MOKA_ACT_PRELU:
		return FMA(LOAD(slopes), MIN(x, SPLAT(0)), MAX(x, SPLAT(0)));
	}
	return x;
}

/* The same for n places of g blocks each: asked once, not at every vector. */
INLINE void act_tile(const int n, const int g, const struct moka_act *a, VEC *x)
{
	const VEC zero = SPLAT(0), slope = SPLAT(a->slope), low = SPLAT(a->low), high = SPLAT(a->high);

	if (a->kind == MOKA_ACT_RELU && a->slope == 0) {
		UNROLL
		for (int i = 0; i < n * g; i++)
			x[i] = MAX(x[i], zero);
	} else if (a->kind == MOKA_ACT_RELU) {
		UNROLL
		for (int i = 0; i < n * g; i++)
			x[i] = FMA(slope, MIN(x[i], zero), MAX(x[i], zero));
	} else if (a->kind == MOKA_ACT_CLIP) {
		UNROLL
		for (int i = 0; i < n * g; i++)
			x[i] = MIN(MAX(x[i], low), high);
	} else if (a->kind == MOKA_ACT_PRELU) {
		UNROLL
		for (int i = 0; i < n * g; i++)
			x[i] = FMA(LOAD(a->slopes + i % g * VLEN), MIN(x[i], zero), MAX(x[i], zero));
	}
}

/* ---- convolution ---------------------------------------------------------------------------------- */

INLINE void tile_begin(const int g, const int n, const struct moka__conv_tile *t, VEC *sum)
{
	if (!t->first) {
		UNROLL
		for (int i = 0; i < n * g; i++)
			sum[i] = LOAD(t->y + t->y_off[i / g] + i % g * t->y_block);
		return;
	}
	UNROLL
	for (int i = 0; i < n * g; i++)
		sum[i] = t->bias ? LOAD(t->bias + i % g * VLEN) : SPLAT(0);
	if (t->residual) {
		UNROLL
		for (int i = 0; i < n * g; i++)
			sum[i] = ADD(sum[i], LOAD(t->residual + t->r_off[i / g] + i % g * t->r_block));
	}
}

INLINE void tile_end(const int g, const int n, const struct moka__conv_tile *t, VEC *sum)
{
	/* copies: a store of sums might change them, for all the compiler knows */
	const int64_t y_block = t->y_block, *const y_off = t->y_off;
	real *const y = t->y;

	if (t->last)
		act_tile(n, g, &t->act, sum);
	UNROLL
	for (int i = 0; i < n; i++) {
		real *at = y + y_off[i];
		UNROLL
		for (int v = 0; v < g; v++)
			STORE(at + v * y_block, sum[i * g + v]);
	}
}

/* One input value of each place times one vector of weights for each block of outputs. */
INLINE void tile_step(const int g, const int n, const real *const *p, int64_t at, const real *w, VEC *sum)
{
	VEC y[MOKA__GROUP];

	UNROLL
	for (int v = 0; v < g; v++)
		y[v] = LOAD(w + v * VLEN);
	UNROLL
	for (int i = 0; i < n; i++) {
		const VEC x = SPLAT(p[i][at]);
		UNROLL
		for (int v = 0; v < g; v++)
			sum[i * g + v] = FMA(x, y[v], sum[i * g + v]);
	}
}

#define AHEAD 1024 /* values */

INLINE void fetch_lines(const real *from, const int values)
{
	UNROLL
	for (int i = 0; i < values; i += 16)
		__builtin_prefetch(from + i, 0, 2);
}

/* The vectors `ahead` bytes behind what n places see. */
INLINE void fetch_places(const int n, const real *const *p, uintptr_t ahead)
{
	UNROLL
	for (int i = 0; i < n; i++)
		__builtin_prefetch((const void *)((uintptr_t)p[i] + ahead), 0, 3);
}

#ifdef LOAD_FOUR
/*
 * One block of outputs: a vector loaded for each product, so loads are the limit. Every other place's four values are loaded at once
 * and spread within registers, which other units do: a quarter less time.
 */
INLINE void four_of_one(const int n, const real *const *p, int64_t at, const real *w, VEC *sum)
{
	VEC y[4];

	UNROLL
	for (int k = 0; k < 4; k++)
		y[k] = LOAD(w + k * VLEN);
	UNROLL
	for (int i = 0; i < n; i++) {
		const VEC four = LOAD_FOUR(p[i] + at);

		if (i % 2) {
			sum[i] = FMA(SPLAT_OF_FOUR(four, 0), y[0], sum[i]);
			sum[i] = FMA(SPLAT_OF_FOUR(four, 1), y[1], sum[i]);
			sum[i] = FMA(SPLAT_OF_FOUR(four, 2), y[2], sum[i]);
			sum[i] = FMA(SPLAT_OF_FOUR(four, 3), y[3], sum[i]);
			continue;
		}
		UNROLL
		for (int k = 0; k < 4; k++)
			sum[i] = FMA(SPLAT(p[i][at + k]), y[k], sum[i]);
	}
}
#endif

#ifndef TILE_FOUR
/* Four input values of each place, at p[i] + at, by as many rows of weights. */
INLINE void tile_four(const int g, const int n, const real *const *p, int64_t at, const real *w, VEC *sum)
{
#ifdef LOAD_FOUR
	if (g == 1 && n > 4) {
		four_of_one(n, p, at, w, sum);
		return;
	}
#endif
	UNROLL
	for (int k = 0; k < 4; k++)
		tile_step(g, n, p, at + k, w + k * g * VLEN, sum);
}
#endif

INLINE void conv_tile(const int g, const int n, const struct moka__conv_tile *t)
{
	VEC sum[MOKA__GROUP * MOKA__PLACES];
	const real *w = t->w;
	const char *next = t->next;

	tile_begin(g, n, t, sum);
	for (int64_t b = 0; b < t->blocks; b++) {
		const real *xb = t->x + b * t->x_step;
		const int64_t *off = t->off, lanes = b + 1 < t->blocks ? VLEN : t->lanes;

		for (int64_t tap = 0; tap < t->taps; tap++, off += MOKA__PLACES, w += VLEN * g * VLEN) {
			const real *p[MOKA__PLACES];

			UNROLL
			for (int i = 0; i < n; i++)
				p[i] = off[i] < 0 ? zeros : xb + off[i];
			for (int64_t i = 0; i < t->ahead; i++, next += 64)
				__builtin_prefetch(next, 0, 2);
			if (t->x_ahead)
				fetch_places(n, p, t->x_ahead);
			/* a count that compilers know keeps addresses out of the registers that AVX2 is short of: 1.3 times faster */
			if (lanes == VLEN) {
				for (int c = 0; c < VLEN; c += 4) {
					if (t->stream)
						fetch_lines(w + c * g * VLEN + AHEAD, 4 * g * VLEN);
					tile_four(g, n, p, c, w + c * g * VLEN, sum);
				}
				continue;
			}
			for (int64_t c = 0; c < lanes; c++)
				tile_step(g, n, p, c, w + c * g * VLEN, sum);
		}
	}
	tile_end(g, n, t, sum);
}

INLINE void first_tile(const int g, const int n, const struct moka__conv_tile *t, const int64_t *steps)
{
	VEC sum[MOKA__GROUP * MOKA__PLACES];
	const real *p[MOKA__PLACES], *w = t->w;

	tile_begin(g, n, t, sum);
	UNROLL
	for (int i = 0; i < n; i++)
		p[i] = t->x + t->off[i];
	for (int64_t s = 0; s < t->taps; s++, w += g * VLEN)
		tile_step(g, n, p, steps[s], w, sum);
	tile_end(g, n, t, sum);
}

/* ---- gradient of weights -------------------------------------------------------------------------- */

INLINE void weights_row(const int g, const int n, const struct moka__weights_tile *t, const real *x, const real *y,
			const int64_t *steps, VEC *sum)
{
	const int64_t x_place = t->x_place, y_block = t->y_block;
	const uintptr_t ahead = (uintptr_t)t->ahead * sizeof(real), y_ahead = (uintptr_t)t->y_ahead * sizeof(real);
	int64_t at[VLEN];

	UNROLL
	for (int i = 0; i < n; i++)
		at[i] = steps ? steps[i] : i;
	for (int64_t p = t->places; p > 0; p--, x += x_place, y += VLEN) {
		VEC d[MOKA__GROUP];

		if (!steps) {
			__builtin_prefetch((const void *)((uintptr_t)x + ahead), 0, 2);
			__builtin_prefetch((const void *)((uintptr_t)y + y_ahead), 0, 2);
		}
		UNROLL
		for (int v = 0; v < g; v++)
			d[v] = LOAD(y + v * y_block);
		UNROLL
		for (int i = 0; i < n; i++) {
			const VEC s = SPLAT(x[at[i]]);
			UNROLL
			for (int v = 0; v < g; v++)
				sum[i * g + v] = FMA(s, d[v], sum[i * g + v]);
		}
	}
}

INLINE void weights_tile(const int g, const int n, const struct moka__weights_tile *t, const int64_t *steps)
{
	VEC sum[MOKA__GROUP * MOKA__PLACES];

	UNROLL
	for (int i = 0; i < n * g; i++)
		sum[i] = t->first ? SPLAT(0) : LOAD(t->dw + i * VLEN);
	for (int64_t m = 0; m < t->images; m++)
		for (int64_t r = 0; r < t->rows; r++)
			weights_row(g, n, t, t->x + m * t->x_image + r * t->x_row,
				    t->dy + m * t->y_image + r * t->y_row, steps, sum);
	UNROLL
	for (int i = 0; i < n * g; i++)
		STORE(t->dw + i * VLEN, sum[i]);
}

static void sum_places(int64_t n, const real *y, real *sum)
{
	VEC s[4] = { LOAD(sum), SPLAT(0), SPLAT(0), SPLAT(0) };
	int64_t i = 0;

	for (; i + 4 <= n; i += 4) {
		UNROLL
		for (int k = 0; k < 4; k++)
			s[k] = ADD(s[k], LOAD(y + (i + k) * VLEN));
	}
	for (; i < n; i++)
		s[0] = ADD(s[0], LOAD(y + i * VLEN));
	STORE(sum, ADD(ADD(s[0], s[1]), ADD(s[2], s[3])));
}

/* ---- windows: depthwise and pooling --------------------------------------------------------------- */

enum window_kind { WINDOW_DEPTHWISE, WINDOW_MAX, WINDOW_SUM };

INLINE void window_taps(const int n, const enum window_kind kind, const struct moka__window *w, int64_t rows,
			int64_t columns, VEC *sum)
{
	const int64_t x_place = w->x_place, x_column = w->x_column;

	UNROLL
	for (int64_t r = 0; r < rows; r++) {
		const real *x = w->x + r * w->x_row, *f = w->w + r * w->w_row;

		UNROLL
		for (int64_t c = 0; c < columns; c++, x += x_column) {
			VEC wv = SPLAT(0);

			if (kind == WINDOW_DEPTHWISE)
				wv = LOAD(f + c * VLEN);
			UNROLL
			for (int i = 0; i < n; i++) {
				const VEC v = LOAD(x + i * x_place);
				sum[i] = kind == WINDOW_MAX   ? MAX(sum[i], v)
					 : kind == WINDOW_SUM ? ADD(sum[i], v)
							      : FMA(v, wv, sum[i]);
			}
		}
	}
}

INLINE void window_any(const int n, const enum window_kind kind, const struct moka__window *w, VEC *sum)
{
	struct moka__window one = *w;

	for (int64_t r = 0; r < w->rows; r++)
		for (int64_t c = 0; c < w->columns; c++) {
			one.x = w->x + r * w->x_row + c * w->x_column;
			if (kind == WINDOW_DEPTHWISE)
				one.w = w->w + r * w->w_row + c * VLEN;
			window_taps(n, kind, &one, 1, 1, sum);
		}
}

INLINE void window(const int n, const enum window_kind kind, const struct moka__window *w)
{
	VEC sum[MOKA__PLACES];
	const VEC start = kind == WINDOW_MAX ? SPLAT(-FLT_MAX) : w->bias ? LOAD(w->bias) : SPLAT(0);
	real *const y = w->y;

	UNROLL
	for (int i = 0; i < n; i++)
		sum[i] = start;
	if (w->rows == 3 && w->columns == 3)
		window_taps(n, kind, w, 3, 3, sum);
	else if (w->rows == 2 && w->columns == 3)
		window_taps(n, kind, w, 2, 3, sum);
	else if (n == 1 && w->rows == 3 && w->columns == 2)
		window_taps(n, kind, w, 3, 2, sum);
	else
		window_any(n, kind, w, sum);
	if (kind == WINDOW_SUM) {
		UNROLL
		for (int i = 0; i < n; i++)
			sum[i] = MUL(sum[i], SPLAT(w->scale));
	}
	if (kind == WINDOW_DEPTHWISE && w->residual) {
		UNROLL
		for (int i = 0; i < n; i++)
			sum[i] = ADD(sum[i], LOAD(w->residual + i * VLEN));
	}
	if (kind == WINDOW_DEPTHWISE)
		act_tile(n, 1, &w->act, sum);
	UNROLL
	for (int i = 0; i < n; i++)
		STORE(y + i * VLEN, sum[i]);
}

#include "blocked_pack_text.h"
#include "blocked_winograd_text.h"

/* ---- depthwise 3x3 ---------------------------------------------------------------------------------- */

#include "blocked_rows.h"

/* ---- flat ------------------------------------------------------------------------------------------- */

static void combine(int64_t n, const real *scale, const real *x, real b, const real *z, const real *shift,
		    const struct moka_act *act, real *y)
{
	const VEC s = LOAD(scale), t = LOAD(shift), f = SPLAT(b);

	for (int64_t i = 0; i < n * VLEN; i += VLEN) {
		VEC v = FMA(s, LOAD(x + i), t);
		if (z)
			v = FMA(f, LOAD(z + i), v);
		STORE(y + i, act_vec(act, v, act->slopes));
	}
}

static void lrn(int64_t n, int64_t size, real f, real k, const real *squares, const real *x, int64_t x_step, real *y,
		int64_t y_step)
{
	for (int64_t i = 0; i < n; i++) {
		VEC s = LOAD(squares + i * VLEN);
		for (int64_t j = 1; j < size; j++)
			s = ADD(s, LOAD(squares + i * VLEN + j));
		s = SQRT(FMA(SPLAT(f), s, SPLAT(k)));
		STORE(y + i * y_step, DIV(LOAD(x + i * x_step), MUL(s, SQRT(s))));
	}
}

/* ---- the table -------------------------------------------------------------------------------------- */

// clang-format off
#define CONV(g, n)                                                                                                     \
	static void conv_##g##_##n(const struct moka__conv_tile *t) { conv_tile(g, n, t); }                            \
	static void first_##g##_##n(const struct moka__conv_tile *t, const int64_t *steps) { first_tile(g, n, t, steps); }
#define WINDOWS(n)                                                                                                     \
	static void depthwise_##n(const struct moka__window *w) { window(n, WINDOW_DEPTHWISE, w); }                    \
	static void rows1_##n(const struct moka__rows *d) { rows(n, 1, d); }                                           \
	static void rows2_##n(const struct moka__rows *d) { rows(n, 2, d); }                                           \
	static void max_##n(const struct moka__window *w) { window(n, WINDOW_MAX, w); }                                \
	static void sum_##n(const struct moka__window *w) { window(n, WINDOW_SUM, w); }
#define WEIGHTS(g, n)                                                                                                  \
	static void weights_##g(const struct moka__weights_tile *t) { weights_tile(g, n, t, NULL); }                   \
	static void weights_first_##g(const struct moka__weights_tile *t, const int64_t *s) { weights_tile(g, n, t, s); }
#define EACH(F, g) F(g, 1) F(g, 2) F(g, 3) F(g, 4) F(g, 5) F(g, 6) F(g, 7) F(g, 8)
EACH(CONV, 1)
#if MOST_GROUP > 1
EACH(CONV, 2)
#endif
#if MOST_GROUP > 2
CONV(3, 1) CONV(3, 2) CONV(3, 3) CONV(3, 4)
#endif
#if MOST_GROUP > 3
CONV(3, 5) CONV(3, 6) CONV(3, 7) CONV(3, 8)
CONV(4, 1) CONV(4, 2) CONV(4, 3) CONV(4, 4) CONV(4, 5) CONV(4, 6)
#endif
WEIGHTS(1, WEIGHTS1)
WEIGHTS(2, WEIGHTS2)
#if WEIGHTS3
WEIGHTS(3, WEIGHTS3)
#define WEIGHTS_LIST(p) { p##_1, p##_2, p##_3 }
#else
#define WEIGHTS_LIST(p) { p##_1, p##_2, NULL }
#endif
WINDOWS(1) WINDOWS(2) WINDOWS(3) WINDOWS(4) WINDOWS(5) WINDOWS(6) WINDOWS(7) WINDOWS(8)

#define WINO_LIST(p) { p##_4, p##_6, p##_5, p##_5_3 }
#define LIST4(p) p##_1, p##_2, p##_3, p##_4
#define LIST8(p) { LIST4(p), p##_5, p##_6, p##_7, p##_8 }
#if MOST_GROUP == 4
#define ALL(p) { LIST8(p##_1), LIST8(p##_2), LIST8(p##_3), { LIST4(p##_4), p##_4_5, p##_4_6 } }
#elif MOST_GROUP == 3
#define ALL(p) { LIST8(p##_1), LIST8(p##_2), { LIST4(p##_3) } }
#else
#define ALL(p) { LIST8(p##_1), LIST8(p##_2) }
#endif

const struct moka__blocked_kernels NAME = {
	.train = &TRAIN_NAME, .block = VLEN, .places = PLACES_LIST, .most_group = MOST_GROUP,
	.conv = ALL(conv), .first = ALL(first),
	.weights_rows = { WEIGHTS1, WEIGHTS2, WEIGHTS3 },
	.weights = WEIGHTS_LIST(weights), .weights_first = WEIGHTS_LIST(weights_first),
	.sum_places = sum_places, .transpose = transpose, .lanes = lanes,
	.depthwise = LIST8(depthwise), .rows = { LIST8(rows1), LIST8(rows2) }, .max = LIST8(max), .sum = LIST8(sum),
	.wino_exact = wino_exact, .wino_in = { wino_in_6, wino_in_7, wino_in_8 },
	.wino_edge = { wino_edge_6, wino_edge_7, wino_edge_8 }, .wino_gradient_edge = WINO_LIST(wino_gradient_edge),
	.wino_spread = { wino_spread_6, wino_spread_7, wino_spread_8 },
	.wino_weights = WINO_LIST(wino_weights), .wino_gradient = WINO_LIST(wino_gradient), .wino_turn = WINO_LIST(wino_turn),
	.wino_out = WINO_LIST(wino_out),
	.combine = combine, .lrn = lrn,
};
// clang-format on
