/*
 * blocked_winograd_text.h - the transforms of Winograd's minimal filtering, a part of blocked_text.h: of images, weights and sums. Their
 * adjoints, for gradients: blocked_winograd_back_text.h.
 */
/* ---- winograd: points 0, 1, -1, (2, -2 | 2, -2, -1/2 | 2, -2, 1/2, -1/2), infinity ---------------------- */

/* One line of six (seven, eight) values, `s` vectors apart. */
INLINE void in4(const VEC *d, const int s, VEC *o, const int os)
{
	const VEC two = SPLAT(2), four = SPLAT(4), five = SPLAT(5);
	const VEC d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
	const VEC a = SUB(d4, MUL(four, d2)), b = SUB(d3, MUL(four, d1)), c = SUB(d4, d2), e = MUL(two, SUB(d3, d1));

	o[0] = ADD(SUB(MUL(four, d0), MUL(five, d2)), d4);
	o[os] = ADD(a, b);
	o[2 * os] = SUB(a, b);
	o[3 * os] = ADD(c, e);
	o[4 * os] = SUB(c, e);
	o[5 * os] = ADD(SUB(MUL(four, d1), MUL(five, d3)), d5);
}

INLINE void out4(const VEC *m, const int s, VEC *o, const int os)
{
	const VEC p = ADD(m[s], m[2 * s]), q = SUB(m[s], m[2 * s]);
	const VEC u = ADD(m[3 * s], m[4 * s]), v = SUB(m[3 * s], m[4 * s]);

	o[0] = ADD(ADD(m[0], p), u);
	o[os] = FMA(SPLAT(2), v, q);
	o[2 * os] = FMA(SPLAT(4), u, p);
	o[3 * os] = ADD(FMA(SPLAT(8), v, q), m[5 * s]);
}

INLINE void in6(const VEC *d, const int s, VEC *o, const int os)
{
	const VEC d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s], d6 = d[6 * s],
		  d7 = d[7 * s];
	const VEC q = SPLAT(5.25), f = SPLAT(4.25);
	VEC a, b;

	o[0] = FMA(q, SUB(d4, d2), SUB(d0, d6));
	o[7 * os] = FMA(q, SUB(d3, d5), SUB(d7, d1));
	a = SUB(ADD(d2, d6), MUL(f, d4));
	b = SUB(ADD(d1, d5), MUL(f, d3));
	o[os] = ADD(a, b);
	o[2 * os] = SUB(a, b);
	a = ADD(FMA(SPLAT(0.25), d2, d6), MUL(SPLAT(-1.25), d4));
	b = FMA(SPLAT(2), d5, FMA(SPLAT(0.5), d1, MUL(SPLAT(-2.5), d3)));
	o[3 * os] = ADD(a, b);
	o[4 * os] = SUB(a, b);
	a = FMA(SPLAT(4), FMA(SPLAT(-1.25), d4, d2), d6);
	b = FMA(SPLAT(2), d1, FMA(SPLAT(0.5), d5, MUL(SPLAT(-2.5), d3)));
	o[5 * os] = ADD(a, b);
	o[6 * os] = SUB(a, b);
}

/* Seven are six of sums of neighbours (the six points' polynomials times x + 1/2), and -1/2 sees what infinity does of six. */
INLINE void in5(const VEC *d, const int s, VEC *o, const int os)
{
	VEC e[6], six[6];

	UNROLL
	for (int i = 0; i < 6; i++)
		e[i] = FMA(SPLAT(0.5), d[i * s], d[(i + 1) * s]);
	in4(e, 1, six, 1);
	UNROLL
	for (int i = 0; i < 5; i++)
		o[i * os] = six[i];
	o[5 * os] = FMA(SPLAT(-5), d[3 * s], FMA(SPLAT(4), d[s], d[5 * s]));
	o[6 * os] = six[5];
}

INLINE void line_in(const int size, const VEC *d, const int s, VEC *o, const int os)
{
	if (size == 6)
		in4(d, s, o, os);
	else if (size == 7)
		in5(d, s, o, os);
	else
		in6(d, s, o, os);
}

/*
 * Eight points' sums: six outputs of a kernel of three, four of one of five. The last two points' transformed values are of weights scaled by
 * 32 there; 1/32 of powers appear here.
 */
INLINE void out8(const int outs, const VEC *m, const int s, VEC *o, const int os)
{
	const VEC a1 = ADD(m[s], m[2 * s]), b1 = SUB(m[s], m[2 * s]);
	const VEC a2 = ADD(m[3 * s], m[4 * s]), b2 = SUB(m[3 * s], m[4 * s]);
	const VEC a3 = ADD(m[5 * s], m[6 * s]), b3 = SUB(m[5 * s], m[6 * s]);
	const VEC last = outs == 4 ? ADD(b1, m[7 * s]) : b1;

	o[0] = ADD(ADD(m[0], a1), FMA(SPLAT(32), a3, a2));
	o[os] = ADD(b1, FMA(SPLAT(16), b3, MUL(SPLAT(2), b2)));
	o[2 * os] = ADD(a1, FMA(SPLAT(8), a3, MUL(SPLAT(4), a2)));
	o[3 * os] = ADD(last, FMA(SPLAT(4), b3, MUL(SPLAT(8), b2)));
	if (outs == 4)
		return;
	o[4 * os] = ADD(a1, FMA(SPLAT(2), a3, MUL(SPLAT(16), a2)));
	o[5 * os] = ADD(ADD(b1, m[7 * s]), FMA(SPLAT(32), b2, b3));
}

/* Seven points' sums: five outputs. */
INLINE void out7(const VEC *m, const int s, VEC *o, const int os)
{
	const VEC p = ADD(m[s], m[2 * s]), q = SUB(m[s], m[2 * s]), h = m[5 * s];
	const VEC u = ADD(m[3 * s], m[4 * s]), v = SUB(m[3 * s], m[4 * s]);

	o[0] = ADD(ADD(m[0], p), ADD(u, h));
	o[os] = FMA(SPLAT(-0.5), h, FMA(SPLAT(2), v, q));
	o[2 * os] = FMA(SPLAT(0.25), h, FMA(SPLAT(4), u, p));
	o[3 * os] = FMA(SPLAT(-0.125), h, FMA(SPLAT(8), v, q));
	o[4 * os] = ADD(FMA(SPLAT(1. / 16), h, m[6 * s]), FMA(SPLAT(16), u, p));
}

INLINE void line_out(const int size, const int outs, const VEC *m, const int s, VEC *o, const int os)
{
	if (size == 6)
		out4(m, s, o, os);
	else if (size == 7)
		out7(m, s, o, os);
	else
		out8(outs, m, s, o, os);
}

INLINE void image_in(const int size, const real *x, int64_t row, real *v, int64_t step)
{
	VEC d[8], t[64], o[8];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(x + r * row + c * VLEN);
		line_in(size, d, 1, t + c, size);
	}
	for (int r = 0; r < size; r++) {
		line_in(size, t + r * size, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(v + (r * size + c) * step, o[c]);
	}
}

/* The same where the image ends: row r's columns [c0, c1) lie at rows[r], others are zeros. */
INLINE void image_edge(const int size, const real *const *rows, int64_t c0, int64_t c1, real *v, int64_t step)
{
	VEC d[8], t[64], o[8];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = c >= c0 && c < c1 ? LOAD(rows[r] + (c - c0) * VLEN) : SPLAT(0);
		line_in(size, d, 1, t + c, size);
	}
	for (int r = 0; r < size; r++) {
		line_in(size, t + r * size, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(v + (r * size + c) * step, o[c]);
	}
}

/* Sums of size x size points to outs x outs outputs, with what comes behind them, to as many as the image has. */
INLINE void sums_end(const int size, const int outs, const real *m, int64_t step, const struct moka__wino_end *e)
{
	const VEC shift = LOAD(e->shift);
	VEC d[8], t[6 * 8], o[6];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(m + (r * size + c) * step);
		line_out(size, outs, d, 1, t + c, size);
	}
	for (int r = 0; r < outs && r < e->rows; r++) {
		real *y = e->y + r * e->row;
		line_out(size, outs, t + r * size, 1, o, 1);
		for (int c = 0; c < outs; c++) {
			o[c] = ADD(o[c], shift);
			if (e->z && c < e->columns)
				o[c] = ADD(LOAD(e->z + r * e->row + c * VLEN), o[c]);
		}
		act_tile(outs, 1, &e->act, o);
		for (int c = 0; c < outs; c++)
			if (c < e->columns)
				STORE(y + c * VLEN, o[c]);
	}
}

/* One line of three values of a kernel, `s` vectors apart: six. */
INLINE void weights4(const VEC *w, const int s, VEC *o, const int os)
{
	const VEC sum = FMA(w[0], SPLAT(1. / 6), MUL(w[2 * s], SPLAT(1. / 6))), one = MUL(w[s], SPLAT(1. / 6));
	const VEC far = FMA(w[0], SPLAT(1. / 24), MUL(w[2 * s], SPLAT(1. / 6))), half = MUL(w[s], SPLAT(1. / 12));

	o[0] = MUL(w[0], SPLAT(0.25));
	o[os] = SUB(SUB(SPLAT(0), sum), one);
	o[2 * os] = SUB(one, sum);
	o[3 * os] = ADD(far, half);
	o[4 * os] = SUB(far, half);
	o[5 * os] = w[2 * s];
}

/*
 * One line of `side` (three or five) values of a kernel, `s` vectors apart: eight, by the points of in6(). Those of 1/2 and -1/2 are scaled by
 * 32, as out8() takes them.
 */
INLINE void weights8(const int side, const VEC *w, const int s, VEC *o, const int os)
{
	const VEC w0 = w[0], w1 = w[s], w2 = w[2 * s], w3 = side == 5 ? w[3 * s] : SPLAT(0),
		  w4 = side == 5 ? w[4 * s] : SPLAT(0);
	VEC even = ADD(w0, w2), odd = w1, even2 = FMA(SPLAT(4), w2, w0), odd2 = ADD(w1, w1);
	VEC even3 = FMA(SPLAT(0.25), w2, w0), odd3 = MUL(SPLAT(0.5), w1);

	if (side == 5) {
		even = ADD(even, w4), odd = ADD(odd, w3);
		even2 = FMA(SPLAT(16), w4, even2), odd2 = FMA(SPLAT(8), w3, odd2);
		even3 = FMA(SPLAT(1. / 16), w4, even3), odd3 = FMA(SPLAT(0.125), w3, odd3);
	}
	o[0] = w0;
	o[os] = MUL(SPLAT(-2. / 9), ADD(even, odd));
	o[2 * os] = MUL(SPLAT(-2. / 9), SUB(even, odd));
	o[3 * os] = MUL(SPLAT(1. / 90), ADD(even2, odd2));
	o[4 * os] = MUL(SPLAT(1. / 90), SUB(even2, odd2));
	o[5 * os] = MUL(SPLAT(1. / 45), ADD(even3, odd3));
	o[6 * os] = MUL(SPLAT(1. / 45), SUB(even3, odd3));
	o[7 * os] = side == 5 ? w4 : w2;
}

/* Three to seven. */
INLINE void weights7(const VEC *w, const int s, VEC *o, const int os)
{
	const VEC w0 = w[0], w1 = w[s], w2 = w[2 * s], even = ADD(w0, w2);
	const VEC far = FMA(SPLAT(4), w2, w0), two = ADD(w1, w1);

	o[0] = MUL(SPLAT(0.5), w0);
	o[os] = MUL(SPLAT(-1. / 9), ADD(even, w1));
	o[2 * os] = MUL(SPLAT(1. / 3), SUB(even, w1));
	o[3 * os] = MUL(SPLAT(1. / 60), ADD(far, two));
	o[4 * os] = MUL(SPLAT(-1. / 36), SUB(far, two));
	o[5 * os] = MUL(SPLAT(-32. / 45), FMA(SPLAT(0.25), w2, FMA(SPLAT(-0.5), w1, w0)));
	o[6 * os] = w2;
}

INLINE void line_weights(const int size, const int side, const VEC *w, const int s, VEC *o, const int os)
{
	if (size == 6)
		weights4(w, s, o, os);
	else if (size == 7)
		weights7(w, s, o, os);
	else
		weights8(side, w, s, o, os);
}

/* side x side vectors of a kernel to size x size points. */
INLINE void kernel_in(const int size, const int side, const real *w, real *u, int64_t step)
{
	VEC g[25], t[8 * 5], o[8];

	for (int i = 0; i < side * side; i++)
		g[i] = LOAD(w + i * VLEN);
	for (int c = 0; c < side; c++)
		line_weights(size, side, g + c, side, t + c, side);
	for (int r = 0; r < size; r++) {
		line_weights(size, side, t + r * side, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(u + (r * size + c) * step, o[c]);
	}
}

#include "blocked_winograd_back_text.h"

/* ---- one of each form ---------------------------------------------------------------------------------- */

// clang-format off
#define WINO(size)                                                                                                     \
	static void wino_in_##size(const real *x, int64_t row, real *v, int64_t step) { image_in(size, x, row, v, step); } \
	static void wino_edge_##size(const real *const *rows, int64_t c0, int64_t c1, real *v, int64_t step) { image_edge(size, rows, c0, c1, v, step); } \
	static void wino_spread_##size(const real *m, int64_t step, real *dx, int64_t row) { spread_out(size, m, step, dx, row); }
#define WINO_FORM(name, size, outs, side)                                                                              \
	static void wino_out_##name(const real *m, int64_t step, const struct moka__wino_end *e) { sums_end(size, outs, m, step, e); } \
	static void wino_gradient_edge_##name(const real *const *rows, int64_t c0, int64_t c1, real *v, int64_t step) { gradient_edge(size, outs, rows, c0, c1, v, step); } \
	static void wino_weights_##name(const real *w, real *u, int64_t step) { kernel_in(size, side, w, u, step); }   \
	static void wino_gradient_##name(const real *dy, int64_t row, real *v, int64_t step) { gradient_in(size, outs, dy, row, v, step); } \
	static void wino_turn_##name(const real *m, int64_t step, real *dw) { kernel_out(size, side, m, step, dw); }
WINO(6)
WINO(7)
WINO(8)
WINO_FORM(4, 6, 4, 3)
WINO_FORM(6, 8, 6, 3)
WINO_FORM(5, 8, 4, 5)
WINO_FORM(5_3, 7, 5, 3)
// clang-format on
