/*
 * pool_nd.c - pooling over any number of axes, with dilated windows.
 *
 * A window's taps along an axis are o * stride - pad + k * dilation, k < kernel, of which those inside the block count; an
 * average divides by the taps inside the padded block, the product over the axes. Blocks are the pieces of work.
 */
#include "pool_nd.h"
#include "pool.h"

#include <float.h>

#ifdef MOKA_REAL_DOUBLE
#define HIGHEST DBL_MAX
#else
#define HIGHEST FLT_MAX
#endif

/* One window: its first tap and the number of taps inside, on each axis. */
struct window {
	int64_t first[MOKA__POOL_AXES], taps[MOKA__POOL_AXES], size;
	int64_t count; /* of all taps inside */
};

/* How many of k = 0, 1 ... kernel - 1 have start + k * dilation < limit. */
static int64_t taps_below(int64_t start, int64_t kernel, int64_t dilation, int64_t limit)
{
	return start >= limit ? 0 : MOKA_MIN((limit - start - 1) / dilation + 1, kernel);
}

static struct window window_of(const struct moka__pool_nd *g, int64_t o)
{
	struct window w = { .size = 1, .count = 1 };

	for (int i = g->axes - 1; i >= 0; i--) {
		const int64_t start = o % g->out[i] * g->stride[i] - g->pad[i];
		const int64_t before = taps_below(start, g->kernel[i], g->dilation[i], 0);

		o /= g->out[i];
		w.size *= taps_below(start, g->kernel[i], g->dilation[i], g->in[i] + g->pad[i]);
		w.first[i] = start + before * g->dilation[i];
		w.taps[i] = taps_below(start, g->kernel[i], g->dilation[i], g->in[i]) - before;
		w.count *= w.taps[i];
	}
	return w;
}

/* Place t (counted through the window, last axis fastest) in its block. */
static int64_t place_of(const struct moka__pool_nd *g, const struct window *w, int64_t t)
{
	int64_t at = 0, step = 1;

	for (int i = g->axes - 1; i >= 0; i--) {
		at += (w->first[i] + t % w->taps[i] * g->dilation[i]) * step;
		t /= w->taps[i];
		step *= g->in[i];
	}
	return at;
}

struct pool_nd_job {
	const struct moka__pool_nd *g;
	const real *x, *dy;
	real *out, *top_mask;
	int32_t *mask;
	const int32_t *from;
};

static real extreme(const struct moka__pool_nd *g, const struct window *w, const real *x, int64_t *where)
{
	const bool least = g->method == MOKA__POOL_MIN;
	real best = least ? HIGHEST : -HIGHEST;

	*where = -1;
	for (int64_t t = 0; t < w->count; t++) {
		const int64_t at = place_of(g, w, t);

		if (least ? x[at] < best : x[at] > best) {
			best = x[at];
			*where = at;
		}
	}
	return best;
}

static real average(const struct moka__pool_nd *g, const struct window *w, const real *x)
{
	real sum = 0;

	for (int64_t t = 0; t < w->count; t++)
		sum += x[place_of(g, w, t)];
	return w->size ? sum / (real)w->size : 0;
}

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_nd_job *j = arg;
	const struct moka__pool_nd *g = j->g;

	for (int64_t o = begin; o < end; o++) {
		const struct window w = window_of(g, o % g->out_count);
		const real *x = j->x + o / g->out_count * g->in_count;
		int64_t where = -1;

		j->out[o] = g->method == MOKA__POOL_AVE ? average(g, &w, x) : extreme(g, &w, x, &where);
		if (j->mask)
			j->mask[o] = (int32_t)where;
		if (j->top_mask)
			j->top_mask[o] = (real)where;
	}
}

void moka__pool_nd(struct moka_pool *pool, const struct moka__pool_nd *g, const real *x, real *y, int32_t *mask,
		   real *top_mask)
{
	struct pool_nd_job j = { .g = g, .x = x, .out = y, .mask = mask, .top_mask = top_mask };

	moka_parallel(pool, forward_piece, &j, g->planes * g->out_count, 256);
}

static void spread(const struct moka__pool_nd *g, const struct window *w, real dy, real *dx)
{
	for (int64_t t = 0; t < w->count; t++)
		dx[place_of(g, w, t)] += dy / (real)w->size;
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_nd_job *j = arg;
	const struct moka__pool_nd *g = j->g;

	for (int64_t p = begin; p < end; p++) {
		real *dx = j->out + p * g->in_count;

		moka_set(g->in_count, 0, dx);
		for (int64_t o = 0; j->dy && o < g->out_count; o++) {
			const int64_t at = p * g->out_count + o;

			if (g->method == MOKA__POOL_AVE) {
				const struct window w = window_of(g, o);

				spread(g, &w, j->dy[at], dx);
			} else if (j->from[at] >= 0) {
				dx[j->from[at]] += j->dy[at];
			}
		}
	}
}

void moka__pool_nd_gradient(struct moka_pool *pool, const struct moka__pool_nd *g, const real *dy, const int32_t *mask,
			    real *dx)
{
	struct pool_nd_job j = { .g = g, .dy = dy, .from = mask, .out = dx };

	moka_parallel(pool, gradient_piece, &j, g->planes, 1);
}
