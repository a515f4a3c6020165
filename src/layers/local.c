/*
 * Local: a convolution whose kernel is another one at every place (locally connected; caffe-windows, ducha-aiki/caffe).
 *
 *     bottom (N, C, H, W)  weight (O, 1, C * k * k, h * w)  bias (1, 1, O, h * w)  top (N, O, h, w)
 *     y[n, o, p] = bias[o, p] + sum over taps t of weight[o, t, p] * x[n, tap t of place p]
 *
 * The weights of one tap lie side by side for all places, so the inner loops run along rows of the output: no column
 * matrix is made. Each piece of work owns what it writes.
 */
#include "local.h"

#include <string.h>

struct local_param {
	uint32_t num_output;
	bool bias_term;
	uint32_t pad, kernel_size, stride;
	const struct moka_filler_param *weight_filler, *bias_filler;
};

/* clang-format off */
#define P struct local_param
static const struct moka_field local_fields[] = {
	MOKA_F_UINT32(P, num_output, 1, 0, "channels of the output"),
	MOKA_F_BOOL(P, bias_term, 2, true, "add a bias"),
	MOKA_F_UINT32(P, pad, 3, 0, "zeros around height and width"),
	MOKA_F_UINT32(P, kernel_size, 4, 0, "height and width of the kernel"),
	MOKA_F_UINT32(P, stride, 6, 1, "step of the kernel"),
	MOKA_F_MSG(P, weight_filler, 7, &moka_filler_message, "first values of the weights"),
	MOKA_F_MSG(P, bias_filler, 8, &moka_filler_message, "first values of the bias"),
	MOKA_F_END
};
/* clang-format on */
#undef P
const struct moka_message moka__local_message = { "LocalParameter", local_fields, sizeof(struct local_param) };

struct local {
	int64_t n, channels, h, w, outputs, oh, ow;
	int64_t kernel, stride, pad, taps; /* taps: channels * kernel * kernel */
	bool plane_bias;
};

static enum moka_status out_size(const struct moka_layer *l, struct moka_findings *f, int64_t in, int axis,
				 int64_t *out)
{
	const struct local_param *p = l->param;
	const int64_t padded = in + 2 * (int64_t)p->pad;

	*out = -1;
	if (in < 0)
		return MOKA_OK;
	if (padded < (int64_t)p->kernel_size)
		return moka_layer_bad(l, f, "kernel-too-large", "kernel_size",
				      "the kernel is %u along axis %d, and '%s' has only %lld there with its padding",
				      p->kernel_size, axis, l->bottom[0].name, (long long)padded);
	*out = (padded - (int64_t)p->kernel_size) / (int64_t)p->stride + 1;
	return MOKA_OK;
}

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct local_param *p = l->param;

	if (!p->num_output || !p->kernel_size)
		return moka_layer_bad(l, f, "missing-setting", p->num_output ? "kernel_size" : "num_output",
				      "%s must be given, and at least 1", p->num_output ? "kernel_size" : "num_output");
	if (!p->stride)
		return moka_layer_bad(l, f, "bad-setting", "stride", "the stride must be at least 1");
	if (p->pad > INT32_MAX || p->kernel_size > INT32_MAX || p->stride > INT32_MAX || p->num_output > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", NULL, "settings of 2^31 or more can't be convolved with");
	return MOKA_OK;
}

static enum moka_status add_params(struct moka_layer *l, struct moka_findings *f, const struct local *v)
{
	const struct local_param *p = l->param;
	const int64_t places = moka_layer_product(2, (int64_t[]){ v->oh, v->ow }), one = 1;

	MOKA_TRY(moka_layer_filled(l, f, "weight", moka_shape_make(4, v->outputs, one, v->taps, places),
				   "weight_filler", p->weight_filler));
	if (!p->bias_term)
		return MOKA_OK;
	return moka_layer_filled(l, f, "bias",
				 v->plane_bias ? moka_shape_make(4, one, one, v->outputs, places)
					       : moka_shape_make(4, one, one, one, v->outputs),
				 "bias_filler", p->bias_filler);
}

enum moka_status moka__local_shape(struct moka_layer *l, struct moka_findings *f, bool plane_bias)
{
	const struct local_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	struct local *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (s.n >= 0 && s.n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "convolves blobs of 4 axes (num, channels, height, width), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(&s, text, sizeof(text)));
	MOKA_TRY(check_settings(l, f));
	if (s.n < 0)
		s = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	if (s.d[2] > INT32_MAX || s.d[3] > INT32_MAX)
		return moka_layer_bad_bottom(l, f, "too-large", 0, "planes of %lld x %lld are too large to convolve",
					     (long long)s.d[2], (long long)s.d[3]);
	*v = (struct local){ s.d[0], s.d[1], s.d[2], s.d[3], p->num_output };
	v->kernel = p->kernel_size;
	v->stride = p->stride;
	v->pad = p->pad;
	v->plane_bias = plane_bias;
	MOKA_TRY(out_size(l, f, v->h, 2, &v->oh));
	MOKA_TRY(out_size(l, f, v->w, 3, &v->ow));
	v->taps = moka_layer_product(3, (int64_t[]){ v->channels, v->kernel, v->kernel });
	l->top[0].shape = moka_shape_make(4, v->n, v->outputs, v->oh, v->ow);
	l->macs = moka_layer_product(5, (int64_t[]){ v->n, v->outputs, v->taps, v->oh, v->ow });
	return add_params(l, f, v);
}

struct local_job {
	const struct local *v;
	const real *x, *w, *bias, *dy;
	real *out;
};

/* The places [*from, *to) of n along an axis where tap k falls on the input, not on its padding. */
static inline void span(const struct local *v, int64_t k, int64_t in, int64_t n, int64_t *from, int64_t *to)
{
	const int64_t before = v->pad - k, last = in - 1 + before;

	*from = before > 0 ? MOKA_MIN((before + v->stride - 1) / v->stride, n) : 0;
	*to = last < 0 ? *from : MOKA_MAX(MOKA_MIN(last / v->stride + 1, n), *from);
}

/* The runs of output places that see one tap: `at` the first place, `from` its input in the plane. */
#define EACH_ROW(v, kh, kw, at, from, count)                                                                           \
	for (int64_t h0_, h1_, w0_, w1_, once_ = 1;                                                                    \
	     once_ && (span((v), (kh), (v)->h, (v)->oh, &h0_, &h1_), span((v), (kw), (v)->w, (v)->ow, &w0_, &w1_), 1); \
	     once_ = 0)                                                                                                \
		for (int64_t r_ = h0_, count = w1_ - w0_, at = r_ * (v)->ow + w0_,                                     \
			     from = (r_ * (v)->stride - (v)->pad + (kh)) * (v)->w + w0_ * (v)->stride - (v)->pad +     \
				    (kw);                                                                              \
		     r_ < h1_; r_++, at += (v)->ow, from += (v)->stride * (v)->w)

/* Output planes (n, o). */
static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct local_job *j = arg;
	const struct local *v = j->v;
	const int64_t places = v->oh * v->ow, area = v->kernel * v->kernel;

	for (int64_t i = begin; i < end; i++) {
		const int64_t o = i % v->outputs;
		const real *x = j->x + i / v->outputs * v->channels * v->h * v->w, *w = j->w + o * v->taps * places;
		real *y = j->out + i * places;

		if (j->bias && v->plane_bias)
			memcpy(y, j->bias + o * places, (size_t)places * sizeof(real));
		else
			moka_set(places, j->bias ? j->bias[o] : 0, y);
		for (int64_t t = 0; t < v->taps; t++, w += places) {
			const real *plane = x + t / area * v->h * v->w;
			const int64_t kh = t % area / v->kernel, kw = t % v->kernel;

			EACH_ROW(v, kh, kw, at, from, count)
			for (int64_t k = 0; k < count; k++)
				y[at + k] += w[at + k] * plane[from + k * v->stride];
		}
	}
}

/* (output, tap) pairs: the gradient of that tap's weights at all places, items one after another. */
static void weight_piece(void *arg, int64_t begin, int64_t end)
{
	const struct local_job *j = arg;
	const struct local *v = j->v;
	const int64_t places = v->oh * v->ow, area = v->kernel * v->kernel;

	for (int64_t i = begin; i < end; i++) {
		const int64_t o = i / v->taps, t = i % v->taps, kh = t % area / v->kernel, kw = t % v->kernel;
		real *dw = j->out + i * places;

		for (int64_t n = 0; n < v->n; n++) {
			const real *plane = j->x + (n * v->channels + t / area) * v->h * v->w;
			const real *dy = j->dy + (n * v->outputs + o) * places;

			EACH_ROW(v, kh, kw, at, from, count)
			for (int64_t k = 0; k < count; k++)
				dw[at + k] += dy[at + k] * plane[from + k * v->stride];
		}
	}
}

/* Input planes (n, c). */
static void input_piece(void *arg, int64_t begin, int64_t end)
{
	const struct local_job *j = arg;
	const struct local *v = j->v;
	const int64_t places = v->oh * v->ow, area = v->kernel * v->kernel;

	for (int64_t i = begin; i < end; i++) {
		const int64_t n = i / v->channels, c = i % v->channels;
		real *dx = j->out + i * v->h * v->w;

		moka_set(v->h * v->w, 0, dx);
		for (int64_t o = 0; j->dy && o < v->outputs; o++) {
			const real *dy = j->dy + (n * v->outputs + o) * places;
			const real *w = j->w + (o * v->taps + c * area) * places;

			for (int64_t t = 0; t < area; t++, w += places)
				EACH_ROW(v, t / v->kernel, t % v->kernel, at, from, count)
			for (int64_t k = 0; k < count; k++)
				dx[from + k * v->stride] += dy[at + k] * w[at + k];
		}
	}
}

/* Output channels. */
static void bias_piece(void *arg, int64_t begin, int64_t end)
{
	const struct local_job *j = arg;
	const struct local *v = j->v;
	const int64_t places = v->oh * v->ow;

	for (int64_t o = begin; o < end; o++)
		for (int64_t n = 0; n < v->n; n++) {
			const real *dy = j->dy + (n * v->outputs + o) * places;

			if (v->plane_bias)
				moka_axpy(places, 1, dy, j->out + o * places);
			else
				j->out[o] += moka_sum(places, dy);
		}
}

static int64_t grain(int64_t work)
{
	return MOKA_MAX(32768 / MOKA_MAX(work, 1), 1);
}

enum moka_status moka__local_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct local *v = l->priv;
	struct local_job j = { .v = v,
			       .x = c->bottom[0].data,
			       .w = c->param[0].data,
			       .bias = l->n_param > 1 ? c->param[1].data : NULL,
			       .out = c->top[0].data };

	moka_parallel(c->pool, forward_piece, &j, v->n * v->outputs, grain(v->taps * v->oh * v->ow));
	return MOKA_OK;
}

enum moka_status moka__local_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct local *v = l->priv;
	struct local_job j = {
		.v = v, .x = c->bottom[0].data, .w = c->param[0].data, .dy = c->top[0].diff, .out = c->bottom[0].diff
	};
	const int64_t places = v->oh * v->ow;

	if (j.out)
		moka_parallel(c->pool, input_piece, &j, v->n * v->channels,
			      grain(v->outputs * v->kernel * v->kernel * places));
	j.out = c->param[0].diff;
	if (j.out && j.dy)
		moka_parallel(c->pool, weight_piece, &j, v->outputs * v->taps, grain(v->n * places));
	j.out = l->n_param > 1 ? c->param[1].diff : NULL;
	if (j.out && j.dy)
		moka_parallel(c->pool, bias_piece, &j, v->outputs, grain(v->n * places));
	return MOKA_OK;
}

static enum moka_status local_shape(struct moka_layer *l, struct moka_findings *f)
{
	return moka__local_shape(l, f, true);
}

/* clang-format off */
const struct moka_layer_type moka_layer_local = {
	.schema = { "Local", "local_param", 201, 44, &moka__local_message, "LOCAL", 41, "caffe-windows, ducha-aiki/caffe" },
	.doc = "a convolution with a kernel of its own at every place (locally connected)",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = local_shape, .forward = moka__local_forward, .backward = moka__local_backward,
};
/* clang-format on */
