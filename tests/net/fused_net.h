/* fused_net.h - nets made of what a plan joins and lays out: convolutions with factors, sums, concats, slices behind them. */
#ifndef MOKA_TESTS_NET_FUSED_NET_H
#define MOKA_TESTS_NET_FUSED_NET_H

#include "nets.h"

#include "net/fused.h"

#include <math.h>

struct fused_net {
	struct moka_buf *out;
	struct moka_rng r;
	int blobs, layers, channels[80];
	bool size_two[80]; /* half the height and width of the input */
};

static inline int fused_pick(struct fused_net *g, int n)
{
	return (int)moka_rng_below(&g->r, (uint64_t)n);
}

static inline int fused_blob(struct fused_net *g, int channels, bool two)
{
	g->channels[g->blobs] = channels;
	g->size_two[g->blobs] = two;
	return g->blobs++;
}

static inline void fused_conv(struct fused_net *g, int a)
{
	static const int outputs[] = { 8, 16, 24, 5, 1, 32 };
	int out = outputs[fused_pick(g, 6)], kernel = 1 + 2 * fused_pick(g, 3), group = 1;

	if (fused_pick(g, 4) == 0) { /* depthwise */
		out = g->channels[a];
		group = out;
	} else if (fused_pick(g, 4) == 0 && g->channels[a] % 2 == 0 && out % 2 == 0) {
		group = 2;
	}
	moka_buf_printf(g->out,
			"layer { name: 'l%d' type: 'Convolution' bottom: 'b%d' top: 'b%d' convolution_param { "
			"num_output: %d kernel_size: %d pad: %d group: %d bias_term: %s } }\n",
			g->layers++, a, fused_blob(g, out, g->size_two[a]), out, kernel, kernel / 2, group,
			fused_pick(g, 2) ? "true" : "false");
}

/* One bottom, one top, perhaps in place; blobs that others read already are not worked on in place. */
static inline void fused_simple(struct fused_net *g, int a, bool may_in_place)
{
	static const char *const types[] = {
		"type: 'BatchNorm'",
		"type: 'Scale' scale_param { bias_term: true }",
		"type: 'Bias'",
		"type: 'ReLU'",
		"type: 'ReLU' relu_param { negative_slope: 0.1 }",
		"type: 'ReLU6'",
		"type: 'PReLU'",
		"type: 'PReLU' prelu_param { channel_shared: true }",
		"type: 'Dropout'",
		"type: 'Clip' clip_param { min: -0.5 max: 0.7 }",
		"type: 'Power' power_param { scale: 0.7 shift: 0.1 }",
		"type: 'LRN' lrn_param { local_size: 3 alpha: 0.1 }",
		"type: 'TanH'",
		"type: 'Split'",
	};
	const int which = fused_pick(g, (int)MOKA_COUNT(types));
	const bool in_place = may_in_place && fused_pick(g, 3) && which != 11 && which != 13;
	const int top = in_place ? a : fused_blob(g, g->channels[a], g->size_two[a]);

	moka_buf_printf(g->out, "layer { name: 'l%d' %s bottom: 'b%d' top: 'b%d' }\n", g->layers++, types[which], a,
			top);
}

static inline void fused_pool(struct fused_net *g, int a)
{
	const bool halves = !g->size_two[a] && fused_pick(g, 2);
	const char *const geometry = halves ? "kernel_size: 2 stride: 2" : "kernel_size: 3 stride: 1 pad: 1";

	moka_buf_printf(
		g->out,
		"layer { name: 'l%d' type: 'Pooling' bottom: 'b%d' top: 'b%d' pooling_param { pool: %s %s } }\n",
		g->layers++, a, fused_blob(g, g->channels[a], g->size_two[a] || halves),
		fused_pick(g, 2) ? "MAX" : "AVE", geometry);
}

static inline void fused_sum(struct fused_net *g, int a)
{
	int from = fused_pick(g, g->blobs);

	for (int i = 0; i < g->blobs; i++) {
		const int b = (from + i) % g->blobs;

		if (b == a || g->channels[b] != g->channels[a] || g->size_two[b] != g->size_two[a])
			continue;
		moka_buf_printf(g->out,
				"layer { name: 'l%d' type: 'Eltwise' bottom: 'b%d' bottom: 'b%d' top: 'b%d' %s }\n",
				g->layers++, a, b, fused_blob(g, g->channels[a], g->size_two[a]),
				fused_pick(g, 4) ? "" : "eltwise_param { coeff: 1 coeff: -0.5 }");
		return;
	}
}

static inline void fused_concat(struct fused_net *g, int a)
{
	int channels = g->channels[a];

	moka_buf_printf(g->out, "layer { name: 'l%d' type: 'Concat' bottom: 'b%d'", g->layers++, a);
	for (int i = 0; i < 2; i++) {
		const int b = fused_pick(g, g->blobs);

		if (g->size_two[b] != g->size_two[a] || channels + g->channels[b] > 100)
			continue;
		moka_buf_printf(g->out, " bottom: 'b%d'", b);
		channels += g->channels[b];
	}
	moka_buf_printf(g->out, " top: 'b%d' }\n", fused_blob(g, channels, g->size_two[a]));
}

static inline void fused_slice(struct fused_net *g, int a)
{
	const int c = g->channels[a], at = c > 8 && fused_pick(g, 2) ? 8 : c / 2;

	if (c < 2)
		return;
	moka_buf_printf(g->out, "layer { name: 'l%d' type: 'Slice' bottom: 'b%d'", g->layers++, a);
	moka_buf_printf(g->out, " top: 'b%d'", fused_blob(g, at, g->size_two[a]));
	moka_buf_printf(g->out, " top: 'b%d' slice_param { slice_point: %d } }\n",
			fused_blob(g, c - at, g->size_two[a]), at);
}

/* A net of some 3 * layers layers over a batch of `images`. */
static inline void fused_net(struct moka_buf *out, uint64_t seed, int layers, int images)
{
	static const int first[] = { 3, 8, 16, 1, 20 };
	struct fused_net g = { .out = out };

	moka_rng_seed(&g.r, seed, 3);
	fused_blob(&g, first[fused_pick(&g, 5)], false);
	moka_buf_printf(
		out,
		"layer { name: 'in' type: 'Input' top: 'b0' input_param { shape { dim: %d dim: %d dim: 7 dim: 6 } "
		"} }\n",
		images, g.channels[0]);
	for (int i = 0; i < layers && g.blobs < 70; i++) {
		const int a = fused_pick(&g, 3) ? g.blobs - 1 : fused_pick(&g, g.blobs);
		const int kind = fused_pick(&g, 10), made = g.blobs;

		if (kind < 4) {
			fused_conv(&g, a);
			for (int k = fused_pick(&g, 4); k > 0; k--)
				fused_simple(&g, g.blobs - 1, true);
		} else if (kind == 4) {
			fused_simple(&g, a, false);
		} else if (kind == 5) {
			fused_pool(&g, a);
		} else if (kind == 6) {
			fused_sum(&g, a);
			if (g.blobs > made)
				fused_simple(&g, g.blobs - 1, true);
		} else if (kind == 7) {
			fused_concat(&g, a);
		} else if (kind == 8) {
			fused_slice(&g, a);
		} else {
			moka_buf_printf(out,
					"layer { name: 'l%d' type: 'InnerProduct' bottom: 'b%d' top: 'ip%d' "
					"inner_product_param { num_output: 9 } }\n"
					"layer { name: 'r%d' type: 'ReLU' bottom: 'ip%d' top: 'ip%d' }\n",
					g.layers, a, i, g.layers, i, i);
			g.layers++;
		}
	}
}

/* Parameters as no filler leaves them: numbers that keep values near 1, positive ones where a root is taken of them. */
static inline void fused_weights(struct moka_net *n, uint64_t seed)
{
	for (int p = 0; p < n->n_params; p++) {
		const bool positive = n->params[p].role &&
				      (!strcmp(n->params[p].role, "variance") || !strcmp(n->params[p].role, "divisor"));
		const struct moka_shape *s = &n->params[p].shape;
		const double size = s->n > 1 ? 1 / sqrt((double)moka_shape_count_range(s, 1, s->n)) : 0.3;
		struct moka_rng r;

		moka_rng_seed(&r, seed, (uint64_t)p);
		for (int64_t i = 0; i < n->params[p].count; i++)
			n->params[p].data[i] =
				positive ? (real)(0.5 + moka_rng_uniform(&r)) : (real)(size * moka_rng_gaussian(&r));
	}
	moka_net_touch(n);
}

static inline void fused_inputs(struct moka_exec *e, const struct moka_net *n, uint64_t seed)
{
	for (int i = 0; i < n->n_inputs; i++) {
		real *x = moka_exec_data(e, n->inputs[i]);
		struct moka_rng r;

		moka_rng_seed(&r, seed, (uint64_t)i);
		for (int64_t k = 0; k < moka_shape_count(&n->blobs[n->inputs[i]].shape); k++)
			x[k] = (real)moka_rng_gaussian(&r);
	}
}

static inline struct moka_exec *fused_exec(struct moka_net *n, bool by_layer, struct moka_pool *pool)
{
	const struct moka_exec_options o = { .by_layer = by_layer, .pool = pool, .seed = 7 };
	struct moka_error err = { 0 };
	struct moka_exec *e;

	T_OK(moka_exec_new(&e, n, &o, &err), &err);
	fused_inputs(e, n, 5);
	return e;
}

static inline void fused_forward(struct moka_exec *e, const struct moka_net *n)
{
	struct moka_error err = { 0 };

	T_OK(moka_exec_forward(e, 0, n->n_layers, NULL, &err), &err);
}

static inline int64_t fused_count(const struct moka_net *n, int blob)
{
	return moka_shape_count(&n->blobs[blob].shape);
}

/* The largest magnitude of an output, for a tolerance. */
static inline double fused_scale(const real *x, int64_t n)
{
	double most = 0;

	for (int64_t i = 0; i < n; i++)
		most = MOKA_MAX(most, (double)(x[i] < 0 ? -x[i] : x[i]));
	return most;
}

/* Outputs of two executions: equal bit for bit, or within `tolerance` of the largest value. */
static inline void fused_compare(struct moka_exec *a, struct moka_exec *b, const struct moka_net *n, double tolerance)
{
	for (int i = 0; i < n->n_outputs; i++) {
		const int64_t count = fused_count(n, n->outputs[i]);
		const real *x = moka_exec_data(a, n->outputs[i]), *y = moka_exec_data(b, n->outputs[i]);

		T_TRUE(x && y);
		if (tolerance == 0)
			assert_memory_equal(x, y, (size_t)count * sizeof(real));
		else
			T_NEAR(x, y, count, 0, tolerance * (1e-3 + fused_scale(y, count)));
	}
}

#endif
