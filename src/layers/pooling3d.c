/*
 * Pooling3D (C3D): the largest value, or the average, of windows of time, height and width.
 *
 *     bottom (N, C, T, H, W)   top (N, C, t, h, w), sizes rounded up; only height and width are padded, for AVE
 *
 * An average divides by the window with its padding, cut off where the padded plane ends. Unlike Pooling, no last window is
 * dropped. State: where each maximum stood (in its item's channel; -1: an empty window, whose value is 0).
 */
#include "layer.h"

enum { POOL_MAX, POOL_AVE };

struct pool3d_param {
	int pool;
	uint32_t kernel_size, stride, pad, kernel_depth, temporal_stride;
};

/* clang-format off */
#define P struct pool3d_param
static const struct moka_field pool3d_fields[] = {
	MOKA_F_ENUM(P, pool, 1, moka_pool_values, POOL_MAX, "what is taken of a window: MAX or AVE"),
	MOKA_F_UINT32(P, kernel_size, 2, 0, "height and width of the window"),
	MOKA_F_UINT32(P, stride, 3, 1, "step in height and width"),
	MOKA_F_UINT32(P, pad, 4, 0, "padding of height and width, for AVE"),
	MOKA_F_UINT32(P, kernel_depth, 5, 0, "steps of time in a window"),
	MOKA_F_UINT32(P, temporal_stride, 6, 1, "step in time"),
	MOKA_F_ENGINE(11),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message pool3d_message = { "Pooling3DParameter", pool3d_fields, sizeof(struct pool3d_param) };

struct pool3d {
	int64_t planes, in[3], out[3], kernel[3], stride[3], pad[3]; /* time, height, width */
	int64_t in_count, out_count;
};

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct pool3d_param *p = l->param;

	if (p->pool != POOL_MAX && p->pool != POOL_AVE)
		return moka_layer_bad(l, f, "bad-setting", "pool", "pool must be MAX or AVE: C3D never had STOCHASTIC");
	if (!p->kernel_size || !p->kernel_depth)
		return moka_layer_bad(l, f, "missing-setting", p->kernel_size ? "kernel_depth" : "kernel_size",
				      "%s must be given, and at least 1",
				      p->kernel_size ? "kernel_depth" : "kernel_size");
	if (!p->stride || !p->temporal_stride)
		return moka_layer_bad(l, f, "bad-setting", p->stride ? "temporal_stride" : "stride",
				      "the stride must be at least 1");
	if (p->pad && (p->pool != POOL_AVE || p->pad >= p->kernel_size))
		return moka_layer_bad(l, f, "bad-setting", "pad",
				      "padding goes with AVE only, and must be smaller than the kernel");
	return MOKA_OK;
}

static enum moka_status pool3d_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct pool3d_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	struct pool3d *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	if (s.n >= 0 && s.n != 5)
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 0,
			"pools blobs of 5 axes (num, channels, time, height, width), and '%s' is %s", l->bottom[0].name,
			moka_shape_text(&s, text, sizeof(text)));
	MOKA_TRY(check_settings(l, f));
	if (s.n < 0)
		s = moka_shape_make(5, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	v->planes = moka_layer_product(2, s.d);
	for (int i = 0; i < 3; i++) {
		v->in[i] = s.d[i + 2];
		v->kernel[i] = i ? p->kernel_size : p->kernel_depth;
		v->stride[i] = i ? p->stride : p->temporal_stride;
		v->pad[i] = i ? p->pad : 0;
		if (v->in[i] >= 0 && v->in[i] + 2 * v->pad[i] < v->kernel[i])
			return moka_layer_bad(
				l, f, "kernel-too-large", i ? "kernel_size" : "kernel_depth",
				"the kernel is %lld along axis %d, and '%s' has only %lld there with its padding",
				(long long)v->kernel[i], i + 2, l->bottom[0].name,
				(long long)(v->in[i] + 2 * v->pad[i]));
		v->out[i] = v->in[i] < 0
				    ? -1
				    : (v->in[i] + 2 * v->pad[i] - v->kernel[i] + v->stride[i] - 1) / v->stride[i] + 1;
		s.d[i + 2] = v->out[i];
	}
	v->in_count = moka_layer_product(3, v->in);
	v->out_count = moka_layer_product(3, v->out);
	l->top[0].shape = s;
	l->state_for_backward = true;
	l->state_bytes = p->pool == POOL_MAX ? moka_layer_bytes(moka_shape_count(&s), sizeof(int64_t)) : 0;
	return MOKA_OK;
}

/* The window of output place o: from..to of each axis inside the input; `size` with its padding. */
struct window {
	int64_t from[3], to[3], size;
};

static struct window window_of(const struct pool3d *v, int64_t o)
{
	struct window w = { .size = 1 };

	for (int i = 2; i >= 0; i--) {
		const int64_t from = o % v->out[i] * v->stride[i] - v->pad[i];
		const int64_t to = MOKA_MIN(from + v->kernel[i], v->in[i] + v->pad[i]);

		o /= v->out[i];
		w.size *= MOKA_MAX(to - from, 0);
		w.from[i] = MOKA_MAX(from, 0);
		w.to[i] = MOKA_MIN(to, v->in[i]);
	}
	return w;
}

struct pool3d_job {
	const struct pool3d *v;
	const real *x, *dy;
	real *out;
	int64_t *where;
};

#define EACH(w, v, at)                                                                                                 \
	for (int64_t t_ = (w).from[0]; t_ < (w).to[0]; t_++)                                                           \
		for (int64_t y_ = (w).from[1]; y_ < (w).to[1]; y_++)                                                   \
			for (int64_t x_ = (w).from[2], at = (t_ * (v)->in[1] + y_) * (v)->in[2] + x_; x_ < (w).to[2];  \
			     x_++, at++)

static void max_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool3d_job *j = arg;
	const struct pool3d *v = j->v;

	for (int64_t o = begin; o < end; o++) {
		const struct window w = window_of(v, o % v->out_count);
		const real *x = j->x + o / v->out_count * v->in_count;
		int64_t best = -1;

		EACH(w, v, at)
		if (best < 0 || x[at] > x[best])
			best = at;
		j->out[o] = best < 0 ? 0 : x[best];
		if (j->where)
			j->where[o] = best;
	}
}

static void average_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool3d_job *j = arg;
	const struct pool3d *v = j->v;

	for (int64_t o = begin; o < end; o++) {
		const struct window w = window_of(v, o % v->out_count);
		const real *x = j->x + o / v->out_count * v->in_count;
		real sum = 0;

		EACH(w, v, at)
		sum += x[at];
		j->out[o] = w.size ? sum / (real)w.size : 0;
	}
}

static enum moka_status pool3d_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct pool3d_param *p = l->param;
	struct pool3d_job j = { l->priv, c->bottom[0].data, NULL, c->top[0].data,
				c->backward_follows ? c->state : NULL };

	moka_parallel(c->pool, p->pool == POOL_MAX ? max_piece : average_piece, &j, c->top[0].count, 512);
	return MOKA_OK;
}

/* Planes (n, c). */
static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct pool3d_job *j = arg;
	const struct pool3d *v = j->v;

	for (int64_t p = begin; p < end; p++) {
		real *dx = j->out + p * v->in_count;

		moka_set(v->in_count, 0, dx);
		for (int64_t o = p * v->out_count; j->dy && o < (p + 1) * v->out_count; o++) {
			if (j->where) {
				if (j->where[o] >= 0)
					dx[j->where[o]] += j->dy[o];
				continue;
			}
			const struct window w = window_of(v, o % v->out_count);

			EACH(w, v, at)
			dx[at] += j->dy[o] / (real)w.size;
		}
	}
}

static enum moka_status pool3d_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct pool3d_param *p = l->param;
	struct pool3d_job j = { l->priv, NULL, c->top[0].diff, c->bottom[0].diff,
				p->pool == POOL_MAX ? c->state : NULL };

	if (j.out)
		moka_parallel(c->pool, gradient_piece, &j, j.v->planes, 1);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_pooling3d = {
	.schema = { "Pooling3D", "pooling3d_param", 6662, 0, &pool3d_message, NULL, 0, "C3D" },
	.doc = "takes the largest value or the average of windows of time, height and width",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = pool3d_shape, .forward = pool3d_forward, .backward = pool3d_backward,
};
/* clang-format on */
