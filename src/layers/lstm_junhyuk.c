/*
 * Lstm: Junhyuk Oh's LSTM (caffe-lstm), which the CRNN forks use. Not BVLC Caffe's LSTM: its parameters have another
 * order, it needs no markers, and it may cut gradients.
 *
 *     bottoms  x (T, N, inner...), three axes, as the CRNN forks have it: top (T, N, H)
 *              x (T * N, inner...), N = batch_size, as caffe-lstm has it: top (T * N, H)
 *              [markers, T * N values: 0 where a stream starts anew at that step]
 *     params   W_x (4H, I), W_h (4H, H), b (4H)        rows in the order i f o g
 *
 *     i f o g = x_t W_x' + b + cont h_{t-1} W_h';  c_t = cont sigmoid(f) c_{t-1} + sigmoid(i) tanh(g);  h_t = sigmoid(o) tanh(c_t)
 *
 * Without markers each pass starts from nothing; with them the last step is carried over to the next batch. Where a
 * stream starts anew, caffe-lstm adds to W_h's gradient all the same; here nothing, as the derivative has it.
 *
 * State, as in LSTM: h 0..T and c 0..T (N, H), the gates after their nonlinearities 1..T (N, 4H).
 */
#include "layer.h"

#include <string.h>
#include <tgmath.h>

#define PIECE 2048

struct lstm_param {
	uint32_t num_output;
	float clipping_threshold;
	const struct moka_filler_param *weight_filler, *bias_filler;
	uint32_t batch_size;
};

/* clang-format off */
#define P struct lstm_param
static const struct moka_field lstm_fields[] = {
	MOKA_F_UINT32(P, num_output, 1, 0, "size of the output and of the hidden state"),
	MOKA_F_FLOAT(P, clipping_threshold, 2, 0, "above 0: gradients of the gates' sums are cut off at it, both ways"),
	MOKA_F_MSG(P, weight_filler, 3, &moka_filler_message, "first values of the weights"),
	MOKA_F_MSG(P, bias_filler, 4, &moka_filler_message, "first values of the biases"),
	MOKA_F_UINT32(P, batch_size, 5, 1, "streams, where steps and streams share the first axis"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message lstm_message = { "LSTMParameter", lstm_fields, sizeof(struct lstm_param) };

struct lstm {
	int64_t t, n, i, h;
	bool marked;
};

/* Steps and streams from the bottom's shape, in either form. */
static enum moka_status read_form(struct moka_layer *l, struct moka_findings *f, struct lstm *v)
{
	const struct lstm_param *p = l->param;
	const struct moka_shape *x = &l->bottom[0].shape;
	const bool folded = x->n != 3 || (l->sub && moka_has(l->sub, "batch_size"));
	char text[MOKA_SHAPE_TEXT];

	*v = (struct lstm){ -1, -1, -1, p->num_output, l->n_bottom > 1 };
	moka_layer_unknown(l);
	if (x->n < 0)
		return MOKA_OK;
	if (x->n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0, "'%s' is %s; steps, streams and values are needed",
					     l->bottom[0].name, moka_shape_text(x, text, sizeof(text)));
	if (!folded) {
		v->t = x->d[0];
		v->n = x->d[1];
		v->i = x->d[2];
		l->top[0].shape = moka_shape_make(3, v->t, v->n, v->h);
		return MOKA_OK;
	}
	v->n = p->batch_size;
	if (v->n < 1 || (x->d[0] >= 0 && x->d[0] % v->n))
		return moka_layer_bad(l, f, "bad-setting", "batch_size",
				      "batch_size %lld does not divide the first axis of '%s', %lld", (long long)v->n,
				      l->bottom[0].name, (long long)x->d[0]);
	v->t = x->d[0] < 0 ? -1 : x->d[0] / v->n;
	v->i = moka_shape_count_range(x, 1, x->n);
	l->top[0].shape = moka_shape_make(2, x->d[0], v->h);
	return MOKA_OK;
}

static enum moka_status lstm_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct lstm_param *p = l->param;
	struct lstm *v = moka_layer_priv(l, sizeof(*v));
	int64_t cells, step, marks = l->n_bottom > 1 ? moka_shape_count(&l->bottom[1].shape) : -1, wide, steps;

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (!p->num_output || p->num_output > INT32_MAX)
		return moka_layer_bad(l, f, "missing-setting", "num_output", "num_output must be at least 1, and is %s",
				      p->num_output ? "too large" : "0 or missing");
	MOKA_TRY(read_form(l, f, v));
	steps = moka_layer_product(2, (int64_t[]){ v->t, v->n });
	if (marks >= 0 && steps >= 0 && marks != steps)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"'%s' has %lld values; one for each of %lld steps and %lld streams are needed",
			l->bottom[1].name, (long long)marks, (long long)v->t, (long long)v->n);
	MOKA_TRY(moka_layer_filled(l, f, "weight", moka_shape_make(2, 4 * v->h, v->i), "weight_filler",
				   p->weight_filler));
	MOKA_TRY(moka_layer_filled(l, f, "hidden weight", moka_shape_make(2, 4 * v->h, v->h), "weight_filler",
				   p->weight_filler));
	MOKA_TRY(moka_layer_filled(l, f, "bias", moka_shape_make(1, 4 * v->h), "bias_filler", p->bias_filler));
	step = moka_layer_product(2, (int64_t[]){ v->n, v->h });
	cells = moka_layer_product(2, (int64_t[]){ v->t, step });
	wide = v->i < 0 ? -1 : moka_add(v->i, v->h, &wide) ? wide : INT64_MAX;
	l->macs = moka_layer_product(3, (int64_t[]){ 4, cells, wide });
	l->state_bytes = moka_layer_bytes(cells, 6 * sizeof(real)) + moka_layer_bytes(step, 2 * sizeof(real));
	l->scratch_bytes = moka_layer_bytes(cells, 5 * sizeof(real)) + moka_layer_bytes(step, 2 * sizeof(real));
	return MOKA_OK;
}

/* The state of all steps, and where backward works. */
struct work {
	const struct lstm *v;
	int64_t step;
	real *h, *c, *gates;
	real *dgates, *h_cont, *dh, *dc;
};

static struct work work_open(const struct moka_layer *l, struct moka_call *c)
{
	const struct lstm *v = l->priv;
	struct work w = { .v = v, .step = v->n * v->h, .h = c->state, .dgates = c->scratch };

	w.c = w.h + (v->t + 1) * w.step;
	w.gates = w.c + (v->t + 1) * w.step;
	w.h_cont = w.dgates + 4 * v->t * w.step;
	w.dh = w.h_cont + v->t * w.step;
	w.dc = w.dh + w.step;
	return w;
}

/* Does stream n go on at step t? */
static bool goes_on(const struct work *w, const struct moka_call *c, int64_t t, int64_t n)
{
	return w->v->marked ? c->bottom[1].data[t * w->v->n + n] != 0 : t > 0;
}

/* out (N, H) = h of the streams that go on, 0 of the others. out may be h. */
static void only_going_on(const struct work *w, const struct moka_call *c, int64_t t, const real *h, real *out)
{
	for (int64_t n = 0; n < w->v->n; n++)
		for (int64_t i = n * w->v->h; i < (n + 1) * w->v->h; i++)
			out[i] = goes_on(w, c, t, n) ? h[i] : 0;
}

struct cell_job {
	const struct work *w;
	const struct moka_call *c;
	int64_t t;
	real clip;
};

/* `count` cells of stream n from e on. */
static void some_cells(const struct cell_job *j, int64_t n, int64_t e, int64_t count)
{
	const struct work *w = j->w;
	const int64_t width = w->v->h, at = j->t * w->step;
	real *a = w->gates + 4 * at + n * 4 * width + e % width, *forget = a + width;
	real *c = w->c + at + w->step + e, *h = w->h + at + w->step + e;
	const real *before = w->c + at + e;

	for (int g = 0; g < 3; g++)
		moka_sigmoid(count, a + g * width, a + g * width);
	moka_tanh(count, a + 3 * width, a + 3 * width);
	if (!goes_on(w, j->c, j->t, n))
		moka_set(count, 0, forget);
	for (int64_t i = 0; i < count; i++)
		c[i] = (forget[i] == 0 ? 0 : forget[i] * before[i]) + a[i] * a[3 * width + i];
	moka_tanh(count, c, h);
	for (int64_t i = 0; i < count; i++)
		h[i] *= a[2 * width + i];
}

static void cell_range(void *arg, int64_t begin, int64_t end)
{
	const struct cell_job *j = arg;
	const int64_t width = j->w->v->h;

	for (int64_t e = begin, count; e < end; e += count) {
		count = MOKA_MIN(width - e % width, end - e);
		some_cells(j, e / width, e, count);
	}
}

static void start(const struct work *w)
{
	const int64_t last = w->v->t * w->step;

	for (int64_t i = 0; i < w->step; i++) {
		w->h[i] = w->v->marked ? w->h[last + i] : 0;
		w->c[i] = w->v->marked ? w->c[last + i] : 0;
	}
}

static enum moka_status lstm_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct work w = work_open(l, c);
	const struct lstm *v = w.v;
	const int64_t g = 4 * v->h, rows = v->t * v->n;

	if (!rows)
		return MOKA_OK;
	start(&w);
	for (int64_t r = 0; r < rows; r++)
		memcpy(w.gates + r * g, c->param[2].data, (size_t)g * sizeof(real));
	moka_gemm(c->pool, c->gemm, false, true, rows, g, v->i, 1, c->bottom[0].data, v->i, c->param[0].data, v->i, 1,
		  w.gates, g);
	for (int64_t t = 0; t < v->t; t++) {
		struct cell_job j = { &w, c, t, 0 };

		only_going_on(&w, c, t, w.h + t * w.step, w.h_cont);
		moka_gemm(c->pool, c->gemm, false, true, v->n, g, v->h, 1, w.h_cont, v->h, c->param[1].data, v->h, 1,
			  w.gates + t * 4 * w.step, g);
		moka_parallel(c->pool, cell_range, &j, w.step, PIECE);
	}
	memcpy(c->top[0].data, w.h + w.step, (size_t)(rows * v->h) * sizeof(real));
	return MOKA_OK;
}

static real cut(real x, real limit)
{
	return limit <= 0 ? x : MOKA_MIN(MOKA_MAX(x, -limit), limit);
}

static void cell_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct cell_job *j = arg;
	const struct work *w = j->w;
	const int64_t width = w->v->h, at = j->t * w->step;

	for (int64_t e = begin; e < end; e++) {
		const real *a = w->gates + 4 * at + e / width * 4 * width + e % width;
		real *da = w->dgates + 4 * at + e / width * 4 * width + e % width;
		const real i = a[0], f = a[width], o = a[2 * width], g = a[3 * width];
		const real th = tanh(w->c[at + w->step + e]), dc = w->dc[e] + w->dh[e] * o * (1 - th * th);

		da[0] = cut(dc * g * i * (1 - i), j->clip);
		da[width] = f == 0 ? 0 : cut(dc * w->c[at + e] * f * (1 - f), j->clip);
		da[2 * width] = cut(w->dh[e] * th * o * (1 - o), j->clip);
		da[3 * width] = cut(dc * i * (1 - g * g), j->clip);
		w->dc[e] = dc * f;
	}
}

static void step_gradients(const struct moka_layer *l, struct moka_call *c, const struct work *w)
{
	const struct lstm_param *p = l->param;
	const struct lstm *v = w->v;

	moka_set(w->step, 0, w->dh);
	moka_set(w->step, 0, w->dc);
	for (int64_t t = v->t; t-- > 0;) {
		struct cell_job j = { w, c, t, (real)p->clipping_threshold };

		if (c->top[0].diff)
			moka_axpy(w->step, 1, c->top[0].diff + t * w->step, w->dh);
		moka_parallel(c->pool, cell_gradient_range, &j, w->step, PIECE);
		moka_gemm(c->pool, c->gemm, false, false, v->n, v->h, 4 * v->h, 1, w->dgates + t * 4 * w->step,
			  4 * v->h, c->param[1].data, v->h, 0, w->dh, v->h);
		only_going_on(w, c, t, w->dh, w->dh);
		only_going_on(w, c, t, w->h + t * w->step, w->h_cont + t * w->step);
	}
}

static enum moka_status lstm_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct work w = work_open(l, c);
	const struct lstm *v = w.v;
	const int64_t g = 4 * v->h, rows = v->t * v->n;

	if (!rows)
		return MOKA_OK;
	step_gradients(l, c, &w);
	if (c->param[0].diff)
		moka_gemm(c->pool, c->gemm, true, false, g, v->i, rows, 1, w.dgates, g, c->bottom[0].data, v->i, 1,
			  c->param[0].diff, v->i);
	if (c->param[1].diff)
		moka_gemm(c->pool, c->gemm, true, false, g, v->h, rows, 1, w.dgates, g, w.h_cont, v->h, 1,
			  c->param[1].diff, v->h);
	for (int64_t r = 0; c->param[2].diff && r < rows; r++)
		moka_axpy(g, 1, w.dgates + r * g, c->param[2].diff);
	if (c->bottom[0].diff)
		moka_gemm(c->pool, c->gemm, false, false, rows, v->i, g, 1, w.dgates, g, c->param[0].data, v->i, 0,
			  c->bottom[0].diff, v->i);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_lstm_junhyuk = {
	.schema = { "Lstm", "lstm_param", 201, 0, &lstm_message, NULL, 0, "caffe-lstm, caffe_ocr, CC4.0" },
	.doc = "long short-term memory over a sequence, as the CRNN forks have it",
	.min_bottom = 1, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_RECURRENT,
	.no_gradient = 1 << 1,
	.shape = lstm_shape, .forward = lstm_forward, .backward = lstm_backward,
};
/* clang-format on */
