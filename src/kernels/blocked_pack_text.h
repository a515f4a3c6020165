/*
 * blocked_pack_text.h - what packing weights takes beside transposing, a part of blocked_text.h: factors of lanes, and Winograd's transform of
 * weights in double.
 */

static void lanes(const real *scale, real *const *out)
{
	const VEC s = LOAD(scale);

	for (int i = 0; i < VLEN; i++)
		STORE(out[i], MUL(s, LOAD(out[i])));
}

/* Half a vector, and as many doubles. They are handed on by pointers: their size is more than a register's where there is no AVX. */
typedef real half_vec __attribute__((vector_size(VLEN / 2 * sizeof(real))));
typedef double wide_vec __attribute__((vector_size(VLEN / 2 * sizeof(double))));

INLINE void widen(const real *p, wide_vec *to)
{
	half_vec h;

	memcpy(&h, p, sizeof(h));
	*to = __builtin_convertvector(h, wide_vec);
}

INLINE void narrow(const wide_vec *v, real *to)
{
	const half_vec h = __builtin_convertvector(*v, half_vec);

	memcpy(to, &h, sizeof(h));
}

/* One line of `side` values of a kernel: value i of `size`. */
INLINE void line(const double *g, const int side, const wide_vec *v, wide_vec *to)
{
	wide_vec sum = v[0] * g[0];

	UNROLL
	for (int r = 1; r < side; r++)
		sum += v[r] * g[r];
	*to = sum;
}

INLINE void exact(const double *g, const int size, const int side, const real *w, const real *scale, real *u,
		  const int64_t step)
{
	wide_vec t[2][8 * 5], v[5], s = (wide_vec){ 0 } + 1;

	for (int l = 0; l < 2; l++) { /* halves */
		if (scale)
			widen(scale + l * VLEN / 2, &s);
		for (int k = 0; k < side; k++) {
			for (int r = 0; r < side; r++) {
				widen(w + (r * side + k) * VLEN + l * VLEN / 2, &v[r]);
				v[r] *= s;
			}
			for (int i = 0; i < size; i++)
				line(g + i * side, side, v, &t[l][i * side + k]);
		}
	}
	for (int i = 0; i < size; i++)
		for (int j = 0; j < size; j++, u += step)
			for (int l = 0; l < 2; l++) {
				line(g + j * side, side, t[l] + i * side, &s);
				narrow(&s, u + l * VLEN / 2);
			}
}

/* The sizes of most weights are constants. */
static void wino_exact(const double *g, int size, int side, const real *w, const real *scale, real *u, int64_t step)
{
	if (size == 8 && side == 3)
		exact(g, 8, 3, w, scale, u, step);
	else if (size == 6 && side == 3)
		exact(g, 6, 3, w, scale, u, step);
	else if (size == 7 && side == 3)
		exact(g, 7, 3, w, scale, u, step);
	else if (size == 8 && side == 5)
		exact(g, 8, 5, w, scale, u, step);
	else
		exact(g, size, side, w, scale, u, step);
}
