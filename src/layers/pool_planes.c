/*
 * pool_planes.c - pooling of planes, forward and backward; planes are independent, so they are the pieces of
 * work.
 */
#include "pool.h"

#include <float.h>

#ifdef MOKA_REAL_DOUBLE
#define LOWEST (-DBL_MAX)
#else
#define LOWEST (-FLT_MAX)
#endif

struct pool_job {
	const struct moka__pool *g;
	const real *x, *y, *dy, *draw;
	real *out;
	int32_t *mask;
	const int32_t *from;
	real *top_mask;
};

/* A window clipped to the plane; size counts what an average divides by. */
struct window {
	int64_t h0, h1, w0, w1, size;
};

static inline struct window window_at(const struct moka__pool *g, int64_t oh, int64_t ow)
{
	const int64_t h0 = oh * g->sh - g->ph, w0 = ow * g->sw - g->pw;
	const int64_t h1 = MOKA_MIN(h0 + g->kh, g->h + g->ph), w1 = MOKA_MIN(w0 + g->kw, g->w + g->pw);

	return (struct window){ MOKA_MAX(h0, 0), MOKA_MIN(h1, g->h), MOKA_MAX(w0, 0), MOKA_MIN(w1, g->w),
				(h1 - h0) * (w1 - w0) };
}

static inline int64_t out_at(const struct moka__pool *g, int64_t plane)
{
	return plane / g->channels * g->item_stride + plane % g->channels * g->oh * g->ow;
}

static void run(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct pool_job *j)
{
	const struct moka__pool *g = j->g;
	const int64_t work = MOKA_MAX(g->oh * g->ow * MOKA_MIN(g->kh * g->kw, g->h * g->w), 1);

	moka_parallel(pool, piece, j, g->planes, MOKA_MAX(32768 / work, 1));
}

int64_t moka__pool_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad, bool round_down)
{
	const int64_t over = in + 2 * pad - kernel;
	int64_t n = over / stride; /* rounds towards zero */

	if (over % stride)
		n += over > 0 ? !round_down : -(int64_t)round_down;
	n++;
	if (pad && (n - 1) * stride >= in + pad)
		n--;
	return n;
}

static struct moka_pool_plane plane_of(const struct moka__pool *g)
{
	return (struct moka_pool_plane){ g->h, g->w, g->oh, g->ow, g->kh, g->kw, g->sh, g->sw, g->ph, g->pw };
}

/* Places as numbers, of an output whose places nobody keeps. */
static void max_plane_places(const struct moka__pool *g, const real *x, const real *y, real *top_mask)
{
	for (int64_t o = 0; o < g->oh * g->ow; o++) {
		const struct window v = window_at(g, o / g->ow, o % g->ow);
		int64_t at = -1;

		for (int64_t h = v.h0; h < v.h1 && at < 0; h++)
			for (int64_t w = v.w0; w < v.w1 && at < 0; w++)
				if (x[h * g->w + w] == y[o] && y[o] > LOWEST)
					at = h * g->w + w;
		top_mask[o] = (real)at;
	}
}

static void max_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool *g = j->g;
	const struct moka_pool_plane plane = plane_of(g);

	for (int64_t p = begin; p < end; p++) {
		const int64_t o = out_at(g, p);
		const real *x = j->x + p * g->h * g->w;

		moka_pool_plane_max(&plane, x, j->out + o, j->mask ? j->mask + o : NULL);
		if (j->top_mask && !j->mask)
			max_plane_places(g, x, j->out + o, j->top_mask + o);
		for (int64_t i = o; j->top_mask && j->mask && i < o + g->oh * g->ow; i++)
			j->top_mask[i] = (real)j->mask[i];
	}
}

void moka__pool_max(struct moka_pool *pool, const struct moka__pool *g, const real *x, real *y, int32_t *mask,
		    real *top_mask)
{
	struct pool_job j = { .g = g, .x = x, .out = y, .mask = mask, .top_mask = top_mask };

	run(pool, max_piece, &j);
}

static void ave_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool *g = j->g;
	const struct moka_pool_plane plane = plane_of(g);

	for (int64_t p = begin; p < end; p++)
		moka_pool_plane_average(&plane, j->x + p * g->h * g->w, j->out + out_at(g, p));
}

void moka__pool_ave(struct moka_pool *pool, const struct moka__pool *g, const real *x, real *y)
{
	struct pool_job j = { .g = g, .x = x, .out = y };

	run(pool, ave_piece, &j);
}

/* The first place where the running sum reaches the drawn part of the whole sum. */
static void draw_plane(const struct moka__pool *g, const real *x, const real *draw, real *y, int32_t *mask)
{
	for (int64_t o = 0; o < g->oh * g->ow; o++) {
		const struct window v = window_at(g, o / g->ow, o % g->ow);
		real sum = 0, threshold, so_far = 0;
		int64_t at = -1;

		for (int64_t h = v.h0; h < v.h1; h++)
			for (int64_t w = v.w0; w < v.w1; w++)
				sum += x[h * g->w + w];
		threshold = draw[o] * sum;
		for (int64_t h = v.h0; h < v.h1 && at < 0; h++)
			for (int64_t w = v.w0; w < v.w1 && at < 0; w++) {
				so_far += x[h * g->w + w];
				if (so_far >= threshold)
					at = h * g->w + w;
			}
		y[o] = at < 0 ? 0 : x[at];
		if (mask)
			mask[o] = (int32_t)at;
	}
}

static void draw_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool *g = j->g;

	for (int64_t p = begin; p < end; p++) {
		const int64_t o = out_at(g, p);

		draw_plane(g, j->x + p * g->h * g->w, j->draw + o, j->out + o, j->mask ? j->mask + o : NULL);
	}
}

void moka__pool_draw(struct moka_pool *pool, const struct moka__pool *g, const real *x, const real *draw, real *y,
		     int32_t *mask)
{
	struct pool_job j = { .g = g, .x = x, .draw = draw, .out = y, .mask = mask };

	run(pool, draw_piece, &j);
}

static void window_sums(const struct moka__pool *g, const real *x, const struct window *v, real *sum, real *squares)
{
	*sum = *squares = 0;
	for (int64_t h = v->h0; h < v->h1; h++)
		for (int64_t w = v->w0; w < v->w1; w++) {
			const real a = x[h * g->w + w];

			*sum += a;
			*squares += a * a;
		}
}

static void expect_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool *g = j->g;

	for (int64_t p = begin; p < end; p++)
		for (int64_t o = 0; o < g->oh * g->ow; o++) {
			const struct window v = window_at(g, o / g->ow, o % g->ow);
			real sum, squares;

			window_sums(g, j->x + p * g->h * g->w, &v, &sum, &squares);
			j->out[out_at(g, p) + o] = sum > 0 ? squares / sum : 0;
		}
}

void moka__pool_expect(struct moka_pool *pool, const struct moka__pool *g, const real *x, real *y)
{
	struct pool_job j = { .g = g, .x = x, .out = y };

	run(pool, expect_piece, &j);
}

static void mask_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool *g = j->g;

	for (int64_t p = begin; p < end; p++) {
		const int64_t o = out_at(g, p);
		real *dx = j->out + p * g->h * g->w;

		for (int64_t i = 0; i < g->oh * g->ow; i++)
			if (j->from[o + i] >= 0)
				dx[j->from[o + i]] += j->dy[o + i];
	}
}

void moka__pool_mask_gradient(struct moka_pool *pool, const struct moka__pool *g, const real *dy, const int32_t *mask,
			      real *dx)
{
	struct pool_job j = { .g = g, .dy = dy, .from = mask, .out = dx };

	run(pool, mask_gradient_piece, &j);
}

/* Widest row of outputs that is divided on the stack. */
#define MOST_ROW 4096

static void ave_gradient_wide(const struct moka__pool *g, const real *dy, real *dx)
{
	for (int64_t o = 0; o < g->oh * g->ow; o++) {
		const struct window v = window_at(g, o / g->ow, o % g->ow);
		const real each = dy[o] / (real)v.size;

		for (int64_t h = v.h0; h < v.h1; h++)
			for (int64_t w = v.w0; w < v.w1; w++)
				dx[h * g->w + w] += each;
	}
}

static void ave_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool *g = j->g;
	const struct moka_pool_plane plane = plane_of(g);
	real row[MOST_ROW];

	for (int64_t p = begin; p < end; p++) {
		if (g->ow > MOST_ROW)
			ave_gradient_wide(g, j->dy + out_at(g, p), j->out + p * g->h * g->w);
		else
			moka_pool_plane_average_gradient(&plane, j->dy + out_at(g, p), j->out + p * g->h * g->w, row);
	}
}

void moka__pool_ave_gradient(struct moka_pool *pool, const struct moka__pool *g, const real *dy, real *dx)
{
	struct pool_job j = { .g = g, .dy = dy, .out = dx };

	run(pool, ave_gradient_piece, &j);
}

/* y = squares / sum: dy/dx_i = (2 x_i - y) / sum. */
static void expect_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool_job *j = arg;
	const struct moka__pool *g = j->g;

	for (int64_t p = begin; p < end; p++) {
		const real *x = j->x + p * g->h * g->w, *y = j->y + out_at(g, p), *dy = j->dy + out_at(g, p);
		real *dx = j->out + p * g->h * g->w, sum, squares;

		for (int64_t o = 0; o < g->oh * g->ow; o++) {
			const struct window v = window_at(g, o / g->ow, o % g->ow);

			window_sums(g, x, &v, &sum, &squares);
			for (int64_t h = v.h0; h < v.h1 && sum > 0; h++)
				for (int64_t w = v.w0; w < v.w1; w++)
					dx[h * g->w + w] += dy[o] * (2 * x[h * g->w + w] - y[o]) / sum;
		}
	}
}

void moka__pool_expect_gradient(struct moka_pool *pool, const struct moka__pool *g, const real *x, const real *y,
				const real *dy, real *dx)
{
	struct pool_job j = { .g = g, .x = x, .y = y, .dy = dy, .out = dx };

	run(pool, expect_gradient_piece, &j);
}

/* ---- pyramids --------------------------------------------------------------------------------------- */

void moka__pool_levels(struct moka_pool *pool, int levels, const struct moka__pool *level, const int64_t *offset,
		       bool max, const real *x, real *y, int32_t *mask)
{
	for (int i = 0; i < levels; i++) {
		if (max)
			moka__pool_max(pool, &level[i], x, y + offset[i], mask ? mask + offset[i] : NULL, NULL);
		else
			moka__pool_ave(pool, &level[i], x, y + offset[i]);
	}
}

void moka__pool_levels_gradient(struct moka_pool *pool, int levels, const struct moka__pool *level,
				const int64_t *offset, bool max, const real *dy, const int32_t *mask, int64_t count,
				real *dx)
{
	moka_set(count, 0, dx);
	for (int i = 0; dy && i < levels; i++) {
		if (max)
			moka__pool_mask_gradient(pool, &level[i], dy + offset[i], mask + offset[i], dx);
		else
			moka__pool_ave_gradient(pool, &level[i], dy + offset[i], dx);
	}
}

/* ---- undoing a pooling --------------------------------------------------------------------------------- */

enum moka_status moka__pool_check_mask(const struct moka_layer *l, struct moka_call *c, int64_t in, int64_t oh,
				       int64_t ow, const char *hint)
{
	const real *mask = c->bottom[1].data, limit = (real)(oh * ow);

	for (int64_t i = 0; i < c->bottom[1].count; i++)
		if (!(mask[i] > -1 && mask[i] < limit)) {
			moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"the mask '%s' says place %g in plane %lld, and the output's planes have only %lld x %lld",
				l->bottom[1].name, (double)mask[i], (long long)(i / in), (long long)oh, (long long)ow);
			moka_fail_hint(c->err, "%s", hint);
			return MOKA_ERR_DATA;
		}
	return MOKA_OK;
}

struct undo_job {
	int64_t in, out;
	const real *mask, *src;
	real *dst;
};

static void undo_piece(void *arg, int64_t begin, int64_t end)
{
	const struct undo_job *j = arg;

	for (int64_t p = begin; p < end; p++) {
		moka_set(j->out, 0, j->dst + p * j->out);
		for (int64_t i = p * j->in; i < (p + 1) * j->in; i++)
			j->dst[p * j->out + (int64_t)j->mask[i]] = j->src[i];
	}
}

void moka__pool_undo(struct moka_pool *pool, int64_t planes, int64_t in, int64_t out, const real *mask, const real *src,
		     real *dst)
{
	struct undo_job j = { in, out, mask, src, dst };

	moka_parallel(pool, undo_piece, &j, planes, 1);
}
