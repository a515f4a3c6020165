/*
 * blocked_winograd_back_text.h - the adjoints of Winograd's transforms, for the gradients of weights and data; a part of
 * blocked_winograd_text.h.
 */
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

/* The same where the image ends, as image_edge(). */
INLINE void gradient_edge(const int size, const int outs, const real *const *rows, int64_t c0, int64_t c1, real *v,
			  int64_t step)
{
	VEC d[6], t[8 * 6], o[8];

	for (int c = 0; c < outs; c++) {
		for (int r = 0; r < outs; r++)
			d[r] = c >= c0 && c < c1 ? LOAD(rows[r] + (c - c0) * VLEN) : SPLAT(0);
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
