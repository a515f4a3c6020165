/*
 * blocked_winograd_text.h - the transforms of Winograd's minimal filtering, a part of blocked_text.h: of images, weights and sums, and their
 * adjoints for the gradient of weights.
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

/* Sums of size x size points to outs x outs outputs. */
INLINE void sums_out(const int size, const int outs, const real *m, int64_t step, real *out)
{
	VEC d[8], t[6 * 8], o[6];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(m + (r * size + c) * step);
		line_out(size, outs, d, 1, t + c, size);
	}
	for (int r = 0; r < outs; r++) {
		line_out(size, outs, t + r * size, 1, o, 1);
		for (int c = 0; c < outs; c++)
			STORE(out + (r * outs + c) * VLEN, o[c]);
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

/* Of five values to seven: the adjoint of out7(). */
INLINE void gradient7(const VEC *d, const int s, VEC *o, const int os)
{
	const VEC d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s];
	const VEC even = ADD(d0, ADD(d2, d4)), odd = ADD(d1, d3);
	const VEC far = FMA(SPLAT(16), d4, FMA(SPLAT(4), d2, d0)), wide = FMA(SPLAT(8), d3, ADD(d1, d1));
	const VEC near = FMA(SPLAT(1. / 16), d4, FMA(SPLAT(0.25), d2, d0));

	o[0] = d0;
	o[os] = ADD(even, odd);
	o[2 * os] = SUB(even, odd);
	o[3 * os] = ADD(far, wide);
	o[4 * os] = SUB(far, wide);
	o[5 * os] = FMA(SPLAT(-0.125), d3, FMA(SPLAT(-0.5), d1, near));
	o[6 * os] = d4;
}

INLINE void line_gradient(const int size, const int outs, const VEC *d, const int s, VEC *o, const int os)
{
	if (size == 6)
		gradient4(d, s, o, os);
	else if (size == 7)
		gradient7(d, s, o, os);
	else
		gradient8(outs, d, s, o, os);
}

/* outs x outs vectors of a gradient to size x size points. */
INLINE void gradient_in(const int size, const int outs, const real *dy, int64_t row, real *v, int64_t step)
{
	VEC d[6], t[8 * 6], o[8];

	for (int c = 0; c < outs; c++) {
		for (int r = 0; r < outs; r++)
			d[r] = LOAD(dy + r * row + c * VLEN);
		line_gradient(size, outs, d, 1, t + c, outs);
	}
	for (int r = 0; r < size; r++) {
		line_gradient(size, outs, t + r * outs, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(v + (r * size + c) * step, o[c]);
	}
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

/* Of seven: three, the adjoint of weights7(). */
INLINE void turn7(const VEC *m, const int s, VEC *o, const int os)
{
	const VEC a = MUL(SPLAT(1. / 9), m[s]), b = MUL(SPLAT(1. / 3), m[2 * s]), c = MUL(SPLAT(1. / 60), m[3 * s]),
		  d = MUL(SPLAT(1. / 36), m[4 * s]), h = MUL(SPLAT(32. / 45), m[5 * s]);

	o[0] = ADD(FMA(SPLAT(0.5), m[0], SUB(b, a)), SUB(SUB(c, d), h));
	o[os] = SUB(FMA(SPLAT(0.5), h, FMA(SPLAT(2), c, ADD(d, d))), ADD(a, b));
	o[2 * os] = ADD(FMA(SPLAT(4), SUB(c, d), SUB(b, a)), FMA(SPLAT(-0.25), h, m[6 * s]));
}

INLINE void line_turn(const int size, const int side, const VEC *m, const int s, VEC *o, const int os)
{
	if (size == 6)
		turn4(m, s, o, os);
	else if (size == 7)
		turn7(m, s, o, os);
	else
		turn8(side, m, s, o, os);
}

/* Sums of size x size points to side x side values of a kernel's gradient. */
INLINE void kernel_out(const int size, const int side, const real *m, int64_t step, real *dw)
{
	VEC d[8], t[8 * 5], o[5];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(m + (r * size + c) * step);
		line_turn(size, side, d, 1, t + c, size);
	}
	for (int r = 0; r < side; r++) {
		line_turn(size, side, t + r * size, 1, o, 1);
		for (int c = 0; c < side; c++)
			STORE(dw + (r * side + c) * VLEN, o[c]);
	}
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

/* Of in5(). */
INLINE void spread7(const VEC *m, const int s, VEC *o, const int os)
{
	const VEC six[6] = { m[0], m[s], m[2 * s], m[3 * s], m[4 * s], m[6 * s] }, half = SPLAT(0.5), h = m[5 * s];
	VEC e[6];

	spread4(six, 1, e, 1);
	o[0] = MUL(half, e[0]);
	o[os] = FMA(SPLAT(4), h, FMA(half, e[1], e[0]));
	o[2 * os] = FMA(half, e[2], e[1]);
	o[3 * os] = FMA(SPLAT(-5), h, FMA(half, e[3], e[2]));
	o[4 * os] = FMA(half, e[4], e[3]);
	o[5 * os] = ADD(h, FMA(half, e[5], e[4]));
	o[6 * os] = e[5];
}

INLINE void line_spread(const int size, const VEC *m, const int s, VEC *o, const int os)
{
	if (size == 6)
		spread4(m, s, o, os);
	else if (size == 7)
		spread7(m, s, o, os);
	else
		spread8(m, s, o, os);
}

INLINE void spread_out(const int size, const real *m, int64_t step, real *dx, int64_t row)
{
	VEC d[8], t[64], o[8];

	for (int c = 0; c < size; c++) {
		for (int r = 0; r < size; r++)
			d[r] = LOAD(m + (r * size + c) * step);
		line_spread(size, d, 1, t + c, size);
	}
	for (int r = 0; r < size; r++, dx += row) {
		line_spread(size, t + r * size, 1, o, 1);
		for (int c = 0; c < size; c++)
			STORE(dx + c * VLEN, ADD(LOAD(dx + c * VLEN), o[c]));
	}
}

/* ---- one of each form ---------------------------------------------------------------------------------- */

// clang-format off
#define WINO(size)                                                                                                     \
	static void wino_in_##size(const real *x, int64_t row, real *v, int64_t step) { image_in(size, x, row, v, step); } \
	static void wino_spread_##size(const real *m, int64_t step, real *dx, int64_t row) { spread_out(size, m, step, dx, row); }
#define WINO_FORM(name, size, outs, side)                                                                              \
	static void wino_out_##name(const real *m, int64_t step, real *out) { sums_out(size, outs, m, step, out); }    \
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
