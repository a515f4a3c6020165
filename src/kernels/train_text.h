/*
 * train_text.h - the text of training's blocked kernels, included behind blocked_text.h by one file per instruction set, which
 * defines TRAIN_NAME, IF_GT(a, b, x, y) and IF_EQ(a, b, x, y) too: x where a > b (a == b), else y, lane by lane; and STREAM(p, v), a store past
 * the caches to where whole vectors lie aligned, STREAM_END() behind the last of them.
 *
 * Sums run sixteen terms long in float, then go into a double each: a hundredth of the work of double sums, and no longer chain to lose
 * digits in.
 */
#define RUN 64	 /* vectors of a run: sixteen in each of four sums */
#define BAND 256 /* vectors whose mean is taken at once: the first cache holds them */

INLINE void into_doubles(VEC v, double *sum)
{
	real lane[VLEN];

	STORE(lane, v);
	UNROLL
	for (int i = 0; i < VLEN; i++)
		sum[i] += (double)lane[i];
}

INLINE VEC fold4(const VEC *s)
{
	return ADD(ADD(s[0], s[1]), ADD(s[2], s[3]));
}

static void band_sum(int64_t n, const real *x, double *sum)
{
	for (int64_t i = 0; i < n; i += RUN) {
		const int64_t end = MOKA_MIN(i + RUN, n);
		VEC s[4] = { SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0) };
		int64_t k = i;

		for (; k + 4 <= end; k += 4) {
			UNROLL
			for (int l = 0; l < 4; l++)
				s[l] = ADD(s[l], LOAD(x + (k + l) * VLEN));
		}
		for (; k < end; k++)
			s[0] = ADD(s[0], LOAD(x + k * VLEN));
		into_doubles(fold4(s), sum);
	}
}

static void band_squares(int64_t n, const real *x, const real *about, double *sum)
{
	const VEC c = LOAD(about);

	for (int64_t i = 0; i < n; i += RUN) {
		const int64_t end = MOKA_MIN(i + RUN, n);
		VEC s[4] = { SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0) };
		int64_t k = i;

		for (; k + 4 <= end; k += 4) {
			UNROLL
			for (int l = 0; l < 4; l++) {
				const VEC d = SUB(LOAD(x + (k + l) * VLEN), c);
				s[l] = FMA(d, d, s[l]);
			}
		}
		for (; k < end; k++) {
			const VEC d = SUB(LOAD(x + k * VLEN), c);
			s[0] = FMA(d, d, s[0]);
		}
		into_doubles(fold4(s), sum);
	}
}

static void stats(int64_t n, const real *x, double *mean, double *squares)
{
	for (int i = 0; i < VLEN; i++)
		mean[i] = squares[i] = 0;
	for (int64_t i = 0; i < n; i += BAND) {
		const int64_t m = MOKA_MIN(BAND, n - i);
		const double part = (double)m / (double)(i + m);
		double sum[VLEN] = { 0 }, about[VLEN] = { 0 };
		real near[VLEN];

		band_sum(m, x + i * VLEN, sum);
		for (int l = 0; l < VLEN; l++) {
			sum[l] /= (double)m;
			near[l] = (real)sum[l];
		}
		band_squares(m, x + i * VLEN, near, about);
		for (int l = 0; l < VLEN; l++) {
			const double off = sum[l] - (double)near[l], delta = sum[l] - mean[l];

			mean[l] += delta * part;
			squares[l] += about[l] - (double)m * off * off + delta * delta * (double)i * part;
		}
	}
}

static void norm(int64_t n, const struct moka__norm_lanes *l, real slope, const real *x, real *y)
{
	const VEC mean = LOAD(l->mean), scale = LOAD(l->scale), shift = LOAD(l->shift), zero = SPLAT(0),
		  low = SPLAT(slope);

	for (int64_t i = 0; i < n * VLEN; i += VLEN) {
		const VEC v = FMA(scale, SUB(LOAD(x + i), mean), shift);
		if (l->past)
			STREAM(y + i, IF_GT(v, zero, v, MUL(low, v)));
		else
			STORE(y + i, IF_GT(v, zero, v, MUL(low, v)));
	}
	if (l->past)
		STREAM_END();
}

/* dy as it passes the ReLU; c = x - mean. */
INLINE VEC passed(const VEC c, const VEC scale, const VEC shift, const VEC low, const VEC dy)
{
	return IF_GT(FMA(scale, c, shift), SPLAT(0), dy, MUL(low, dy));
}

static void norm_sums(int64_t n, const struct moka__norm_lanes *l, real slope, const real *x, const real *dy,
		      double *sum, double *product)
{
	const VEC mean = LOAD(l->mean), scale = LOAD(l->scale), shift = LOAD(l->shift), low = SPLAT(slope);

	for (int64_t i = 0; i < n; i += RUN) {
		const int64_t end = MOKA_MIN(i + RUN, n);
		VEC s[4] = { SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0) }, p[4] = { s[0], s[0], s[0], s[0] };
		int64_t k = i;

		for (; k + 4 <= end; k += 4) {
			UNROLL
			for (int a = 0; a < 4; a++) {
				const VEC c = SUB(LOAD(x + (k + a) * VLEN), mean);
				const VEC g = passed(c, scale, shift, low, LOAD(dy + (k + a) * VLEN));
				s[a] = ADD(s[a], g);
				p[a] = FMA(g, c, p[a]);
			}
		}
		for (; k < end; k++) {
			const VEC c = SUB(LOAD(x + k * VLEN), mean);
			const VEC g = passed(c, scale, shift, low, LOAD(dy + k * VLEN));
			s[0] = ADD(s[0], g);
			p[0] = FMA(g, c, p[0]);
		}
		into_doubles(fold4(s), sum);
		into_doubles(fold4(p), product);
	}
}

static void norm_gradient(int64_t n, const struct moka__norm_lanes *l, real slope, const real *x, const real *dy,
			  real *dx)
{
	const VEC mean = LOAD(l->mean), scale = LOAD(l->scale), shift = LOAD(l->shift), low = SPLAT(slope),
		  k1 = LOAD(l->slope), k0 = LOAD(l->offset);

	for (int64_t i = 0; i < n * VLEN; i += VLEN) {
		const VEC c = SUB(LOAD(x + i), mean), g = passed(c, scale, shift, low, LOAD(dy + i));
		if (l->past)
			STREAM(dx + i, FMA(scale, g, FMA(k1, c, k0)));
		else
			STORE(dx + i, FMA(scale, g, FMA(k1, c, k0)));
	}
	if (l->past)
		STREAM_END();
}

static void sum_relu_past(int64_t n, real a, const real *x, real b, const real *z, real slope, real *y)
{
	const VEC f = SPLAT(a), g = SPLAT(b), zero = SPLAT(0), low = SPLAT(slope);

	for (int64_t i = 0; i < n * VLEN; i += VLEN) {
		const VEC v = ADD(MUL(f, LOAD(x + i)), MUL(g, LOAD(z + i)));
		STREAM(y + i, IF_GT(v, zero, v, MUL(low, v)));
	}
	STREAM_END();
}

/* ---- pooling ------------------------------------------------------------------------------------------ */

/* A window on one axis, cut to the plane; `first`: the tap of its first value. */
#define WINDOW(o, stride, pad, kernel, size, from, to, first)                                                          \
	const int64_t start_##from = (o) * (stride) - (pad), from = MOKA_MAX(start_##from, 0),                         \
		      to = MOKA_MAX(MOKA_MIN(start_##from + (kernel), size), from), first = from - start_##from

static void max_where(const struct moka__pool_train *g, const real *x, real *y, real *where)
{
	const VEC one = SPLAT(1);

	for (int64_t oy = 0; oy < g->oh; oy++) {
		WINDOW(oy, g->sh, g->ph, g->kh, g->h, h0, h1, row0);
		for (int64_t ox = 0; ox < g->ow; ox++, y += VLEN, where += VLEN) {
			WINDOW(ox, g->sw, g->pw, g->kw, g->w, w0, w1, column0);
			VEC best = SPLAT(-FLT_MAX), at = SPLAT(-1);

			for (int64_t h = h0; h < h1; h++) {
				VEC tap = SPLAT((row0 + h - h0) * g->kw + column0);

				for (int64_t w = w0; w < w1; w++, tap = ADD(tap, one)) {
					const VEC v = LOAD(x + (h * g->w + w) * VLEN);
					at = IF_GT(v, best, tap, at);
					best = IF_GT(v, best, v, best);
				}
			}
			STORE(y, best);
			STORE(where, at);
		}
	}
}

static void set_zero(int64_t n, real *x)
{
	for (int64_t i = 0; i < n * VLEN; i += VLEN)
		STORE(x + i, SPLAT(0));
}

static void max_gradient(const struct moka__pool_train *g, const real *dy, const real *where, real *dx)
{
	const VEC one = SPLAT(1), zero = SPLAT(0);

	set_zero(g->h * g->w, dx);
	for (int64_t oy = 0; oy < g->oh; oy++) {
		WINDOW(oy, g->sh, g->ph, g->kh, g->h, h0, h1, row0);
		for (int64_t ox = 0; ox < g->ow; ox++, dy += VLEN, where += VLEN) {
			WINDOW(ox, g->sw, g->pw, g->kw, g->w, w0, w1, column0);
			const VEC d = LOAD(dy), at = LOAD(where);

			for (int64_t h = h0; h < h1; h++) {
				VEC tap = SPLAT((row0 + h - h0) * g->kw + column0);

				for (int64_t w = w0; w < w1; w++, tap = ADD(tap, one)) {
					real *to = dx + (h * g->w + w) * VLEN;

					STORE(to, ADD(LOAD(to), IF_EQ(at, tap, d, zero)));
				}
			}
		}
	}
}

static void average_gradient(const struct moka__pool_train *g, const real *dy, real *dx)
{
	set_zero(g->h * g->w, dx);
	for (int64_t oy = 0; oy < g->oh; oy++) {
		WINDOW(oy, g->sh, g->ph, g->kh, g->h, h0, h1, row0);
		const int64_t rows = MOKA_MIN(start_h0 + g->kh, g->h + g->ph) - start_h0;

		(void)row0;
		for (int64_t ox = 0; ox < g->ow; ox++, dy += VLEN) {
			WINDOW(ox, g->sw, g->pw, g->kw, g->w, w0, w1, column0);
			const int64_t columns = MOKA_MIN(start_w0 + g->kw, g->w + g->pw) - start_w0;
			const VEC each = DIV(LOAD(dy), SPLAT(rows * columns));

			(void)column0;
			for (int64_t h = h0; h < h1; h++)
				for (int64_t w = w0; w < w1; w++) {
					real *to = dx + (h * g->w + w) * VLEN;

					STORE(to, ADD(LOAD(to), each));
				}
		}
	}
}

/* ---- normalisation across channels -------------------------------------------------------------------- */

static void lrn_squares(int64_t n, const real *x, int64_t step, real *run)
{
	for (int64_t i = 0; i < n; i++)
		STORE(run + i * VLEN, MUL(LOAD(x + i * step), LOAD(x + i * step)));
}

static void lrn_ratios(int64_t n, const real *dy, const real *y, const real *bracket, int64_t step, real *run)
{
	for (int64_t i = 0; i < n; i++)
		STORE(run + i * VLEN, DIV(MUL(LOAD(dy + i * step), LOAD(y + i * step)), LOAD(bracket + i * step)));
}

INLINE VEC window_sum(int64_t size, const real *run)
{
	VEC s = LOAD(run);

	for (int64_t i = 1; i < size; i++)
		s = ADD(s, LOAD(run + i));
	return s;
}

static void lrn_keep(int64_t n, int64_t size, real f, real k, const real *run, const real *x, real *bracket, real *y,
		     int64_t step)
{
	for (int64_t i = 0; i < n; i++) {
		const VEC b = FMA(SPLAT(f), window_sum(size, run + i * VLEN), SPLAT(k)), root = SQRT(b);

		STORE(bracket + i * step, b);
		STORE(y + i * step, DIV(LOAD(x + i * step), MUL(root, SQRT(root))));
	}
}

static void lrn_gradient(int64_t n, int64_t size, real f, const real *run, const real *x, const real *bracket,
			 const real *dy, real *dx, int64_t step)
{
	for (int64_t i = 0; i < n; i++) {
		const VEC s = window_sum(size, run + i * VLEN), root = SQRT(LOAD(bracket + i * step));
		const VEC straight = DIV(LOAD(dy + i * step), MUL(root, SQRT(root)));

		STORE(dx + i * step, SUB(straight, MUL(MUL(SPLAT(f), LOAD(x + i * step)), s)));
	}
}

const struct moka__train_kernels TRAIN_NAME = {
	.stats = stats,
	.norm = norm,
	.norm_sums = norm_sums,
	.norm_gradient = norm_gradient,
	.sum_relu_past = sum_relu_past,
	.max_where = max_where,
	.max_gradient = max_gradient,
	.average_gradient = average_gradient,
	.lrn_squares = lrn_squares,
	.lrn_ratios = lrn_ratios,
	.lrn_keep = lrn_keep,
	.lrn_gradient = lrn_gradient,
};
