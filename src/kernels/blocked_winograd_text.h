/*
 * blocked_winograd_text.h - the transforms of Winograd's minimal filtering, a part of blocked_text.h: of images, weights and sums, and their
 * adjoints for the gradient of weights.
 */
/* ---- winograd: points 0, 1, -1, (2, -2 | 2, -2, 1/2, -1/2), infinity -------------------------------- */

/* One line of six (eight) values, `s` vectors apart. */
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

static void wino_in4(const real *x, int64_t row, real *v, int64_t step)
{
	VEC d[6], t[36], o[6];

	for (int c = 0; c < 6; c++) {
		for (int r = 0; r < 6; r++)
			d[r] = LOAD(x + r * row + c * VLEN);
		in4(d, 1, t + c, 6);
	}
	for (int r = 0; r < 6; r++) {
		in4(t + r * 6, 1, o, 1);
		for (int c = 0; c < 6; c++)
			STORE(v + (r * 6 + c) * step, o[c]);
	}
}

static void wino_in6(const real *x, int64_t row, real *v, int64_t step)
{
	VEC d[8], t[64], o[8];

	for (int c = 0; c < 8; c++) {
		for (int r = 0; r < 8; r++)
			d[r] = LOAD(x + r * row + c * VLEN);
		in6(d, 1, t + c, 8);
	}
	for (int r = 0; r < 8; r++) {
		in6(t + r * 8, 1, o, 1);
		for (int c = 0; c < 8; c++)
			STORE(v + (r * 8 + c) * step, o[c]);
	}
}

/* Sums of size x size points to outs x outs outputs. */
INLINE void sums_out(const int size, const int outs, const real *m, int64_t step, real *out)
{
	VEC d[8], t[6 * 8], o[6];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(m + (r * size + c) * step);
		if (size == 6)
			out4(d, 1, t + c, size);
		else
			out8(outs, d, 1, t + c, size);
	}
	for (int r = 0; r < outs; r++) {
		if (size == 6)
			out4(t + r * size, 1, o, 1);
		else
			out8(outs, t + r * size, 1, o, 1);
		for (int c = 0; c < outs; c++)
			STORE(out + (r * outs + c) * VLEN, o[c]);
	}
}

static void wino_out4(const real *m, int64_t step, real *out)
{
	sums_out(6, 4, m, step, out);
}

static void wino_out6(const real *m, int64_t step, real *out)
{
	sums_out(8, 6, m, step, out);
}

static void wino_out5(const real *m, int64_t step, real *out)
{
	sums_out(8, 4, m, step, out);
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

/* side x side vectors of a kernel to size x size points. */
INLINE void kernel_in(const int size, const int side, const real *w, real *u, int64_t step)
{
	VEC g[25], t[8 * 5], o[8];

	for (int i = 0; i < side * side; i++)
		g[i] = LOAD(w + i * VLEN);
	for (int c = 0; c < side; c++)
		if (size == 6)
			weights4(g + c, side, t + c, side);
		else
			weights8(side, g + c, side, t + c, side);
	for (int r = 0; r < size; r++) {
		if (size == 6)
			weights4(t + r * side, 1, o, 1);
		else
			weights8(side, t + r * side, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(u + (r * size + c) * step, o[c]);
	}
}

static void wino_weights4(const real *w, real *u, int64_t step)
{
	kernel_in(6, 3, w, u, step);
}

static void wino_weights6(const real *w, real *u, int64_t step)
{
	kernel_in(8, 3, w, u, step);
}

static void wino_weights5(const real *w, real *u, int64_t step)
{
	kernel_in(8, 5, w, u, step);
}

/* One line of four values of a gradient, `s` vectors apart: six. */
INLINE void gradient4(const VEC *d, const int s, VEC *o, const int os)
{
	const VEC even = ADD(d[0], d[2 * s]), odd = ADD(d[s], d[3 * s]);
	const VEC far = FMA(SPLAT(4), d[2 * s], d[0]), wide = FMA(SPLAT(8), d[3 * s], ADD(d[s], d[s]));

	o[0] = d[0];
	o[os] = ADD(even, odd);
	o[2 * os] = SUB(even, odd);
	o[3 * os] = ADD(far, wide);
	o[4 * os] = SUB(far, wide);
	o[5 * os] = d[3 * s];
}

/* The same of four or six values to eight points: the adjoint of out8(). */
INLINE void gradient8(const int outs, const VEC *d, const int s, VEC *o, const int os)
{
	const VEC d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s];
	VEC even = ADD(d0, d2), odd = ADD(d1, d3), even2 = FMA(SPLAT(4), d2, d0), odd2 = FMA(SPLAT(8), d3, ADD(d1, d1));
	VEC even3 = FMA(SPLAT(32), d0, MUL(SPLAT(8), d2)), odd3 = FMA(SPLAT(16), d1, MUL(SPLAT(4), d3));

	if (outs == 6) {
		const VEC d4 = d[4 * s], d5 = d[5 * s];
		even = ADD(even, d4), odd = ADD(odd, d5);
		even2 = FMA(SPLAT(16), d4, even2), odd2 = FMA(SPLAT(32), d5, odd2);
		even3 = ADD(even3, ADD(d4, d4)), odd3 = ADD(odd3, d5);
	}
	o[0] = d0;
	o[os] = ADD(even, odd);
	o[2 * os] = SUB(even, odd);
	o[3 * os] = ADD(even2, odd2);
	o[4 * os] = SUB(even2, odd2);
	o[5 * os] = ADD(even3, odd3);
	o[6 * os] = SUB(even3, odd3);
	o[7 * os] = d[(outs - 1) * s];
}

/* outs x outs vectors of a gradient to size x size points. */
INLINE void gradient_in(const int size, const int outs, const real *dy, int64_t row, real *v, int64_t step)
{
	VEC d[6], t[8 * 6], o[8];

	for (int c = 0; c < outs; c++) {
		for (int r = 0; r < outs; r++)
			d[r] = LOAD(dy + r * row + c * VLEN);
		if (size == 6)
			gradient4(d, 1, t + c, outs);
		else
			gradient8(outs, d, 1, t + c, outs);
	}
	for (int r = 0; r < size; r++) {
		if (size == 6)
			gradient4(t + r * outs, 1, o, 1);
		else
			gradient8(outs, t + r * outs, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(v + (r * size + c) * step, o[c]);
	}
}

static void wino_gradient4(const real *dy, int64_t row, real *v, int64_t step)
{
	gradient_in(6, 4, dy, row, v, step);
}

static void wino_gradient6(const real *dy, int64_t row, real *v, int64_t step)
{
	gradient_in(8, 6, dy, row, v, step);
}

static void wino_gradient5(const real *dy, int64_t row, real *v, int64_t step)
{
	gradient_in(8, 4, dy, row, v, step);
}

/* One line of six sums, `s` vectors apart: three. */
INLINE void turn4(const VEC *m, const int s, VEC *o, const int os)
{
	const VEC p = MUL(SPLAT(1. / 6), ADD(m[s], m[2 * s])), q = SUB(m[2 * s], m[s]);
	const VEC u = ADD(m[3 * s], m[4 * s]), v = SUB(m[3 * s], m[4 * s]);

	o[0] = FMA(SPLAT(0.25), m[0], SUB(MUL(SPLAT(1. / 24), u), p));
	o[os] = FMA(SPLAT(1. / 6), q, MUL(SPLAT(1. / 12), v));
	o[2 * os] = ADD(FMA(SPLAT(1. / 6), u, m[5 * s]), SUB(SPLAT(0), p));
}

/* The same of eight: three or five, the adjoint of weights8(). */
INLINE void turn8(const int side, const VEC *m, const int s, VEC *o, const int os)
{
	const VEC a = MUL(SPLAT(2. / 9), ADD(m[s], m[2 * s])), b = MUL(SPLAT(2. / 9), SUB(m[s], m[2 * s]));
	const VEC a2 = ADD(m[3 * s], m[4 * s]), b2 = SUB(m[3 * s], m[4 * s]);
	const VEC a3 = ADD(m[5 * s], m[6 * s]), b3 = SUB(m[5 * s], m[6 * s]);
	const VEC third = FMA(SPLAT(1. / 180), a3, SUB(MUL(SPLAT(4. / 90), a2), a));

	o[0] = ADD(m[0], FMA(SPLAT(1. / 45), a3, SUB(MUL(SPLAT(1. / 90), a2), a)));
	o[os] = FMA(SPLAT(1. / 90), b3, SUB(MUL(SPLAT(2. / 90), b2), b));
	o[2 * os] = side == 3 ? ADD(third, m[7 * s]) : third;
	if (side == 3)
		return;
	o[3 * os] = FMA(SPLAT(1. / 360), b3, SUB(MUL(SPLAT(8. / 90), b2), b));
	o[4 * os] = ADD(FMA(SPLAT(1. / 720), a3, SUB(MUL(SPLAT(16. / 90), a2), a)), m[7 * s]);
}

/* Sums of size x size points to side x side values of a kernel's gradient. */
INLINE void kernel_out(const int size, const int side, const real *m, int64_t step, real *dw)
{
	VEC d[8], t[8 * 5], o[5];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(m + (r * size + c) * step);
		if (size == 6)
			turn4(d, 1, t + c, size);
		else
			turn8(side, d, 1, t + c, size);
	}
	for (int r = 0; r < side; r++) {
		if (size == 6)
			turn4(t + r * size, 1, o, 1);
		else
			turn8(side, t + r * size, 1, o, 1);
		for (int c = 0; c < side; c++)
			STORE(dw + (r * side + c) * VLEN, o[c]);
	}
}

static void wino_turn4(const real *m, int64_t step, real *dw)
{
	kernel_out(6, 3, m, step, dw);
}

static void wino_turn6(const real *m, int64_t step, real *dw)
{
	kernel_out(8, 3, m, step, dw);
}

static void wino_turn5(const real *m, int64_t step, real *dw)
{
	kernel_out(8, 5, m, step, dw);
}

/* The adjoint of in4(): six points to the six values that they see. */
INLINE void spread4(const VEC *m, const int s, VEC *o, const int os)
{
	const VEC p = ADD(m[s], m[2 * s]), q = SUB(m[s], m[2 * s]);
	const VEC u = ADD(m[3 * s], m[4 * s]), v = SUB(m[3 * s], m[4 * s]);
	const VEC four = SPLAT(4), two = ADD(v, v);

	o[0] = MUL(four, m[0]);
	o[os] = SUB(MUL(four, SUB(m[5 * s], q)), two);
	o[2 * os] = SUB(FMA(SPLAT(-5), m[0], MUL(SPLAT(-4), p)), u);
	o[3 * os] = FMA(SPLAT(-5), m[5 * s], ADD(q, two));
	o[4 * os] = ADD(m[0], ADD(p, u));
	o[5 * os] = m[5 * s];
}

/* Of in6(). */
INLINE void spread8(const VEC *m, const int s, VEC *o, const int os)
{
	const VEC a = ADD(m[s], m[2 * s]), b = SUB(m[s], m[2 * s]);
	const VEC a2 = ADD(m[3 * s], m[4 * s]), b2 = SUB(m[3 * s], m[4 * s]);
	const VEC a3 = ADD(m[5 * s], m[6 * s]), b3 = SUB(m[5 * s], m[6 * s]);
	const VEC m0 = m[0], m7 = m[7 * s], q = SPLAT(5.25), f = SPLAT(-4.25);

	o[0] = m0;
	o[os] = FMA(SPLAT(2), b3, FMA(SPLAT(0.5), b2, SUB(b, m7)));
	o[2 * os] = FMA(SPLAT(4), a3, FMA(SPLAT(0.25), a2, FMA(SPLAT(-5.25), m0, a)));
	o[3 * os] = FMA(SPLAT(-2.5), ADD(b2, b3), FMA(f, b, MUL(q, m7)));
	o[4 * os] = FMA(SPLAT(-5), a3, FMA(SPLAT(-1.25), a2, FMA(f, a, MUL(q, m0))));
	o[5 * os] = FMA(SPLAT(0.5), b3, FMA(SPLAT(2), b2, FMA(SPLAT(-5.25), m7, b)));
	o[6 * os] = ADD(SUB(a, m0), ADD(a2, a3));
	o[7 * os] = m7;
}

INLINE void spread_out(const int size, const real *m, int64_t step, real *dx, int64_t row)
{
	VEC d[8], t[64], o[8];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(m + (r * size + c) * step);
		if (size == 6)
			spread4(d, 1, t + c, size);
		else
			spread8(d, 1, t + c, size);
	}
	for (int r = 0; r < size; r++, dx += row) {
		if (size == 6)
			spread4(t + r * size, 1, o, 1);
		else
			spread8(t + r * size, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(dx + c * VLEN, ADD(LOAD(dx + c * VLEN), o[c]));
	}
}

static void wino_spread4(const real *m, int64_t step, real *dx, int64_t row)
{
	spread_out(6, m, step, dx, row);
}

static void wino_spread6(const real *m, int64_t step, real *dx, int64_t row)
{
	spread_out(8, m, step, dx, row);
}
