/*
 * pool.c - pooling of one plane, row by row: for each tap of the window the whole row of outputs is compared with (or added to) what
 * that tap sees, which compilers turn into vectors. Each output meets its values in the order of its window, so the results are
 * those of the plain loops.
 */
#include "kernels.h"

#include <float.h>

#include "pieces.h"

#ifdef MOKA_REAL_DOUBLE
#define LOWEST (-DBL_MAX)
#else
#define LOWEST (-FLT_MAX)
#endif

/* Outputs [from, to) whose tap `w` (-pad included) lies inside the plane's width. */
MOKA__INLINE void inside(const struct moka_pool_plane *g, int64_t tap, int64_t *from, int64_t *to)
{
	moka__inside_range(tap - g->pw, g->sw, g->w, g->ow, from, to);
}

#define ROW(step, body)                                                                                                \
	MOKA__EACH                                                                                                     \
	for (int64_t i = from; i < to; i++) {                                                                          \
		const int64_t at = i * (step);                                                                         \
		body                                                                                                   \
	}
/* Strides of one and two get loops of their own: only those become vectors. */
#define ROWS(body)                                                                                                     \
	do {                                                                                                           \
		if (g->sw == 1)                                                                                        \
			ROW(1, body)                                                                                   \
		else if (g->sw == 2)                                                                                   \
			ROW(2, body)                                                                                   \
		else                                                                                                   \
			ROW(g->sw, body)                                                                               \
	} while (0)

/* One row of outputs and one tap. */
MOKA__INLINE void max_tap(const struct moka_pool_plane *g, const real *x, int64_t from, int64_t to, real *y)
{
	ROWS(y[i] = x[at] > y[i] ? x[at] : y[i];);
}

MOKA__INLINE void max_tap_where(const struct moka_pool_plane *g, const real *x, int32_t first, int64_t from, int64_t to,
				real *y, int32_t *where)
{
	ROWS({
		const bool larger = x[at] > y[i];
		y[i] = larger ? x[at] : y[i];
		where[i] = larger ? first + (int32_t)at : where[i];
	});
}

/* One row of outputs of 2x2 windows side by side, `at` being the first one's place: all four taps in one loop. */
MOKA__INLINE void max_pairs(const struct moka_pool_plane *g, const real *x, int32_t at, real *y, int32_t *where)
{
	const int32_t below = (int32_t)g->w;

	MOKA__EACH
	for (int64_t i = 0; i < g->ow; i++) {
		const real a = x[2 * i], b = x[2 * i + 1], c = x[g->w + 2 * i], d = x[g->w + 2 * i + 1];
		real most = LOWEST;
		int32_t place = -1;

		place = a > most ? 0 : place;
		most = a > most ? a : most;
		place = b > most ? 1 : place;
		most = b > most ? b : most;
		place = c > most ? below : place;
		most = c > most ? c : most;
		place = d > most ? below + 1 : place;
		most = d > most ? d : most;
		y[i] = most;
		where[i] = place < 0 ? -1 : at + 2 * (int32_t)i + place;
	}
}

static bool has_pairs(const struct moka_pool_plane *g)
{
	return g->kh == 2 && g->kw == 2 && g->sh == 2 && g->sw == 2 && !g->ph && !g->pw && 2 * g->ow <= g->w;
}

MOKA__CLONES void moka_pool_plane_max(const struct moka_pool_plane *g, const real *x, real *y, int32_t *where)
{
	const bool pairs = where && has_pairs(g);

	for (int64_t oh = 0; oh < g->oh; oh++, y += g->ow) {
		const int64_t h0 = oh * g->sh - g->ph, h1 = MOKA_MIN(h0 + g->kh, g->h);

		if (pairs && h1 - h0 == 2) {
			max_pairs(g, x + h0 * g->w, (int32_t)(h0 * g->w), y, where);
			where += g->ow;
			continue;
		}
		for (int64_t i = 0; i < g->ow; i++)
			y[i] = LOWEST;
		for (int64_t i = 0; where && i < g->ow; i++)
			where[i] = -1;
		for (int64_t h = MOKA_MAX(h0, 0); h < h1; h++)
			for (int64_t k = 0; k < g->kw; k++) {
				const int64_t first = h * g->w + k - g->pw;
				int64_t from, to;

				inside(g, k, &from, &to);
				if (where)
					max_tap_where(g, x + first, (int32_t)first, from, to, y, where);
				else
					max_tap(g, x + first, from, to, y);
			}
		if (where)
			where += g->ow;
	}
}

/* What an average divides by: the window with its padding, cut off where the padded plane ends. */
MOKA__INLINE real area(const struct moka_pool_plane *g, int64_t oh, int64_t ow)
{
	const int64_t h0 = oh * g->sh - g->ph, w0 = ow * g->sw - g->pw;

	return (real)((MOKA_MIN(h0 + g->kh, g->h + g->ph) - h0) * (MOKA_MIN(w0 + g->kw, g->w + g->pw) - w0));
}

MOKA__CLONES void moka_pool_plane_average(const struct moka_pool_plane *g, const real *x, real *y)
{
	for (int64_t oh = 0; oh < g->oh; oh++, y += g->ow) {
		const int64_t h0 = oh * g->sh - g->ph, h1 = MOKA_MIN(h0 + g->kh, g->h);

		for (int64_t i = 0; i < g->ow; i++)
			y[i] = 0;
		for (int64_t h = MOKA_MAX(h0, 0); h < h1; h++)
			for (int64_t k = 0; k < g->kw; k++) {
				const real *row = x + h * g->w + k - g->pw;
				int64_t from, to;

				inside(g, k, &from, &to);
				ROWS(y[i] += row[at];);
			}
		for (int64_t i = 0; i < g->ow; i++)
			y[i] /= area(g, oh, i);
	}
}

MOKA__CLONES void moka_pool_plane_average_gradient(const struct moka_pool_plane *g, const real *dy, real *dx, real *row)
{
	for (int64_t oh = 0; oh < g->oh; oh++, dy += g->ow) {
		const int64_t h0 = oh * g->sh - g->ph, h1 = MOKA_MIN(h0 + g->kh, g->h);

		for (int64_t i = 0; i < g->ow; i++)
			row[i] = dy[i] / area(g, oh, i);
		for (int64_t h = MOKA_MAX(h0, 0); h < h1; h++)
			for (int64_t k = 0; k < g->kw; k++) {
				real *to_row = dx + h * g->w + k - g->pw;
				int64_t from, to;

				inside(g, k, &from, &to);
				ROWS(to_row[at] += row[i];);
			}
	}
}
