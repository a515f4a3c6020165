/*
 * test_fork_early.c - values of what early forks added (locally connected layers, k-sparse codes, pyramids, N-D and dilated
 * pooling), against plain loops over the definitions.
 */
#include "layer_test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ONE(type, rest) "layer { type: '" type "' bottom: 'x' top: 'y' " rest " }"
#define G "weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"

static void near_to(double got, double want, const char *what)
{
	if (!(fabs(got - want) <= 1e-5 * fmax(1, fabs(want))))
		fail_msg("%s: %.9g, want %.9g", what, got, want);
}

/* ---- locally connected ---------------------------------------------------------------------------------------- */

static double at_or_0(const real *plane, int64_t h, int64_t w, int64_t y, int64_t x)
{
	return y < 0 || x < 0 || y >= h || x >= w ? 0 : (double)plane[y * w + x];
}

/* Output o of item n at (y, x); the weights are (o, tap, place). */
static double local_at(const struct layer_test *l, int k, int stride, int pad, int64_t n, int64_t o, int64_t y,
		       int64_t x)
{
	const struct moka_shape *s = l->bottom[0].shape, *t = l->top[0].shape;
	const int64_t places = t->d[2] * t->d[3], place = y * t->d[3] + x, taps = s->d[1] * k * k;
	double sum = 0;

	for (int64_t tap = 0; tap < taps; tap++)
		sum += (double)l->param[0].data[(o * taps + tap) * places + place] *
		       at_or_0(l->bottom_values[0] + (n * s->d[1] + tap / (k * k)) * s->d[2] * s->d[3], s->d[2],
			       s->d[3], y * stride - pad + tap / k % k, x * stride - pad + tap % k);
	if (l->l.n_param < 2)
		return sum;
	return sum + (double)l->param[1].data[l->param[1].count == t->d[1] ? o : o * places + place];
}

static void check_local(const char *layer, const char *bottom, int k, int stride, int pad)
{
	struct layer_test *l = lt_open(layer, MOKA_TEST, bottom);
	const struct moka_shape *t = l->top[0].shape;
	int64_t i = 0;

	lt_forward(l);
	for (int64_t n = 0; n < t->d[0]; n++)
		for (int64_t o = 0; o < t->d[1]; o++)
			for (int64_t y = 0; y < t->d[2]; y++)
				for (int64_t x = 0; x < t->d[3]; x++)
					near_to((double)l->top[0].data[i++], local_at(l, k, stride, pad, n, o, y, x),
						layer);
	assert_int_equal(i, l->top[0].count);
	assert_int_equal(l->l.macs, i * l->bottom[0].shape->d[1] * k * k);
	lt_free(l);
}

T_TEST(local_is_its_definition)
{
	check_local(ONE("Local", "local_param { num_output: 5 kernel_size: 3 " G " }"), "2x3x7x6", 3, 1, 0);
	check_local(ONE("Local", "local_param { num_output: 2 kernel_size: 4 stride: 3 pad: 2 " G " }"), "1x2x9x13", 4,
		    3, 2);
	check_local(
		ONE("Local", "local_param { num_output: 2 kernel_size: 3 pad: 5 stride: 2 bias_term: false " G " }"),
		"2x1x1x3", 3, 2, 5);
	check_local(ONE("LocalWeightedConvolution",
			"local_weighted_convolution_param { num_output: 3 kernel_size: 2 " G " }"),
		    "2x3x5x4", 2, 1, 0);
}

/* With all its kernels equal it is a convolution. */
T_TEST(local_of_equal_kernels_is_a_convolution)
{
	struct layer_test *a =
		lt_open(ONE("Local", "local_param { num_output: 3 kernel_size: 3 pad: 1 bias_term: false }"), MOKA_TEST,
			"2x2x5x6");
	struct layer_test *b = lt_open(ONE("Convolution", "convolution_param { num_output: 3 kernel_size: 3 pad: 1 "
							  "bias_term: false weight_filler { type: 'gaussian' } }"),
				       MOKA_TEST, "2x2x5x6");

	for (int64_t i = 0; i < a->param[0].count; i++)
		a->param[0].data[i] = b->param[0].data[i / 30];
	lt_set(a, 0, b->bottom_values[0]);
	lt_forward(a);
	lt_forward(b);
	for (int64_t i = 0; i < b->top[0].count; i++)
		near_to((double)a->top[0].data[i], (double)b->top[0].data[i], "Local");
	lt_free(a);
	lt_free(b);
}

/* ---- TopK ------------------------------------------------------------------------------------------------------ */

/* Of `size` values `step` apart, value i stays where fewer than k are larger, or equal and stand before it. */
static void check_row(const struct layer_test *l, const real *x, const real *y, int size, int step, int k)
{
	(void)l;
	for (int i = 0; i < size; i++) {
		int before = 0;

		for (int j = 0; j < size; j++)
			before += x[j * step] > x[i * step] || (x[j * step] == x[i * step] && j < i);
		near_to((double)y[i * step], before < k ? (double)x[i * step] : 0, "TopK");
	}
}

T_TEST(topk_keeps_the_largest)
{
	struct layer_test *l = lt_open(ONE("TopK", "topk_param { k: 5 a: 3 }"), MOKA_TRAIN, "7x3x11:i9");

	lt_forward(l); /* whole numbers: many are equal */
	for (int n = 0; n < 7; n++)
		check_row(l, l->bottom_values[0] + n * 33, l->top[0].data + n * 33, 33, 1, 5);
	lt_free(l);
	l = lt_open(ONE("TopK", "topk_param { k: 5 a: 3 }"), MOKA_TEST, "7x33");
	lt_forward(l);
	for (int n = 0; n < 7; n++)
		check_row(l, l->bottom_values[0] + n * 33, l->top[0].data + n * 33, 33, 1, 15);
	lt_free(l);
	l = lt_open(ONE("TopK", "topk_param { k: 2 across_channels: true }"), MOKA_TRAIN, "3x7x2x5");
	lt_forward(l);
	for (int n = 0; n < 3; n++)
		for (int p = 0; p < 10; p++)
			check_row(l, l->bottom_values[0] + n * 70 + p, l->top[0].data + n * 70 + p, 7, 10, 2);
	lt_free(l);
}

T_TEST(topk_outlives_nan)
{
	struct layer_test *l = lt_open(ONE("TopK", "topk_param { k: 2 }"), MOKA_TEST, "1x4");

	lt_set(l, 0, (real[]){ (real)NAN, 1, -2, -1 });
	lt_forward(l);
	T_NEAR(l->top[0].data, ((real[]){ 0, 1, 0, -1 }), 4, 0, 0);
	lt_free(l);
}

/* ---- windows of any number of axes --------------------------------------------------------------------------------- */

struct window_setting {
	const char *text, *bottom;
	char method; /* 'M'ax, 'A'verage, 'L'east */
	int kernel[3], stride[3], pad[3], dilation[3];
};

#define POOL(settings) "layer { type: 'Pooling' bottom: 'x' top: 'y' pooling_param { " settings " } }"

/* clang-format off */
static const struct window_setting windows[] = {
	{ POOL("kernel_size: 1 kernel_size: 2 kernel_size: 2 stride: 1 stride: 2 stride: 2 pad: 0 dilation: 1"), "1x3x4x6x7", 'M',
	  { 1, 2, 2 }, { 1, 2, 2 }, { 0 }, { 1, 1, 1 } },
	{ POOL("kernel_size: 3 stride: 2 pad: 1"), "2x2x5x6x7", 'M', { 3, 3, 3 }, { 2, 2, 2 }, { 1, 1, 1 }, { 1, 1, 1 } },
	{ POOL("pool: AVE kernel_size: 3 stride: 2 pad: 1"), "2x2x5x6x7", 'A', { 3, 3, 3 }, { 2, 2, 2 }, { 1, 1, 1 }, { 1, 1, 1 } },
	{ POOL("pool: AVE kernel_size: 3 stride: 2"), "2x2x6x6x8", 'A', { 3, 3, 3 }, { 2, 2, 2 }, { 0 }, { 1, 1, 1 } },
	{ POOL("kernel_size: 2 dilation: 4 stride: 3"), "2x2x6x9x11", 'M', { 2, 2, 2 }, { 3, 3, 3 }, { 0 }, { 4, 4, 4 } },
	{ POOL("pool: AVE kernel_size: 2 kernel_size: 3 kernel_size: 3 dilation: 1 dilation: 2 dilation: 3 pad: 1 stride: 2"),
	  "1x2x3x8x9", 'A', { 2, 3, 3 }, { 2, 2, 2 }, { 1, 1, 1 }, { 1, 2, 3 } },
	{ POOL("pool: MIN kernel_size: 3 stride: 2 pad: 1"), "2x2x5x6x7", 'L', { 3, 3, 3 }, { 2, 2, 2 }, { 1, 1, 1 }, { 1, 1, 1 } },
};
/* clang-format on */

/* Along one axis: pooled size as the definition has it (in floating point). */
static int64_t size_of(int64_t in, int kernel, int stride, int pad, int dilation)
{
	int64_t n = (int64_t)ceil((double)(in + 2 * pad - ((kernel - 1) * dilation + 1)) / stride) + 1;

	return pad && (n - 1) * stride >= in + pad ? n - 1 : n;
}

static double window_value(const struct window_setting *s, const real *x, const int64_t *in, const int64_t *o)
{
	double best = s->method == 'L' ? DBL_MAX : -DBL_MAX, sum = 0, places = 0;

	for (int a = 0; a < s->kernel[0]; a++)
		for (int b = 0; b < s->kernel[1]; b++)
			for (int c = 0; c < s->kernel[2]; c++) {
				const int64_t p[] = { o[0] * s->stride[0] - s->pad[0] + a * s->dilation[0],
						      o[1] * s->stride[1] - s->pad[1] + b * s->dilation[1],
						      o[2] * s->stride[2] - s->pad[2] + c * s->dilation[2] };
				bool padded = true, inside = true;
				double v;

				for (int i = 0; i < 3; i++) {
					padded &= p[i] < in[i] + s->pad[i];
					inside &= p[i] >= 0 && p[i] < in[i];
				}
				places += padded;
				if (!inside)
					continue;
				v = (double)x[(p[0] * in[1] + p[1]) * in[2] + p[2]];
				sum += v;
				best = s->method == 'L' ? fmin(best, v) : fmax(best, v);
			}
	return s->method == 'A' ? sum / places : best;
}

static void check_window(const struct window_setting *s)
{
	struct layer_test *l = lt_open(s->text, MOKA_TEST, s->bottom);
	const int64_t *in = l->bottom[0].shape->d + 2, *out = l->top[0].shape->d + 2;
	const int64_t out_count = out[0] * out[1] * out[2];

	for (int i = 0; i < 3; i++)
		assert_int_equal(out[i], size_of(in[i], s->kernel[i], s->stride[i], s->pad[i], s->dilation[i]));
	lt_forward(l);
	for (int64_t i = 0; i < l->top[0].count; i++) {
		const int64_t o = i % out_count;

		near_to((double)l->top[0].data[i],
			window_value(s, l->bottom_values[0] + i / out_count * in[0] * in[1] * in[2], in,
				     (int64_t[]){ o / (out[1] * out[2]), o / out[2] % out[1], o % out[2] }),
			s->text);
	}
	lt_free(l);
}

T_TEST(windows_of_three_axes)
{
	for (size_t i = 0; i < MOKA_COUNT(windows); i++)
		check_window(&windows[i]);
}

/* Dilation 1 over two axes by the general way is what planes give; the same windows with one more axis of 1 before them. */
T_TEST(one_more_axis_changes_nothing)
{
	static const char *const pairs[][2] = {
		{ POOL("kernel_size: 3 stride: 2 pad: 1"),
		  POOL("kernel_size: 1 kernel_size: 3 kernel_size: 3 stride: 1 "
		       "stride: 2 stride: 2 pad: 0 pad: 1 pad: 1") },
		{ POOL("pool: AVE kernel_size: 5 stride: 3 pad: 2"),
		  POOL("pool: AVE kernel_size: 1 kernel_size: 5 kernel_size: 5 stride: 1 stride: 3 stride: 3 pad: 0 pad: 2 "
		       "pad: 2") },
	};

	for (size_t i = 0; i < MOKA_COUNT(pairs); i++) {
		struct layer_test *a = lt_open(pairs[i][0], MOKA_TEST, "2x3x13x12");
		struct layer_test *b = lt_open(pairs[i][1], MOKA_TEST, "2x3x1x13x12");

		lt_set(b, 0, a->bottom_values[0]);
		lt_forward(a);
		lt_forward(b);
		assert_int_equal(a->top[0].count, b->top[0].count);
		T_NEAR(a->top[0].data, b->top[0].data, a->top[0].count, 1e-6, 1e-6);
		lt_free(a);
		lt_free(b);
	}
}

T_TEST(mask_counts_through_the_block)
{
	struct layer_test *l =
		lt_open("layer { type: 'Pooling' bottom: 'x' top: 'y' top: 'm' pooling_param { kernel_size: 2 "
			"stride: 2 } }",
			MOKA_TRAIN, "2x3x4x4x6");

	lt_forward(l);
	for (int64_t i = 0; i < l->top[0].count; i++)
		assert_true(l->bottom_values[0][i / 12 * 96 + (int64_t)l->top[1].data[i]] == l->top[0].data[i]);
	lt_free(l);
}

/* ---- LRN_MAP, pyramids --------------------------------------------------------------------------------------------- */

T_TEST(lrn_map_is_its_definition)
{
	struct layer_test *l =
		lt_open(ONE("LRNMap", "lrn_map_param { local_size: 5 alpha: 0.7 beta: 0.6 }"), MOKA_TEST, "2x3x6x7");

	lt_forward(l);
	for (int64_t i = 0; i < l->top[0].count; i++) {
		const real *plane = l->bottom_values[0] + i / 42 * 42;
		double sum = 0;

		for (int dy = -2; dy <= 2; dy++)
			for (int dx = -2; dx <= 2; dx++)
				sum += pow(at_or_0(plane, 6, 7, i % 42 / 7 + dy, i % 7 + dx), 2);
		near_to((double)l->top[0].data[i], (double)plane[i % 42] * pow(1 + 0.7 / 25 * sum, -0.6), "LRN_MAP");
	}
	lt_free(l);
}

/* A level is a Pooling by windows of ceil(side / bins), floor(side / bins) apart. */
T_TEST(pyramid_is_poolings_in_a_row)
{
	static const char *const levels[] = { POOL("kernel_size: 13"), POOL("kernel_size: 7 stride: 6"),
					      POOL("kernel_size: 5 stride: 4"), POOL("kernel_size: 3 stride: 2") };
	struct layer_test *l =
		lt_open(ONE("SpatialPyramidPooling", "spatial_pyramid_pooling_param { spatial_bin: 1 "
						     "spatial_bin: 2 spatial_bin: 3 spatial_bin: 6 scale: 1 }"),
			MOKA_TEST, "2x3x13x13");
	const int64_t row = l->top[0].count / 2;
	int64_t at = 0;

	lt_forward(l);
	for (int i = 0; i < 4; i++) {
		struct layer_test *p = lt_open(levels[i], MOKA_TEST, "2x3x13x13");
		const int64_t n = p->top[0].count / 2;

		lt_set(p, 0, l->bottom_values[0]);
		lt_forward(p);
		T_NEAR(l->top[0].data + at, p->top[0].data, n, 0, 0);
		T_NEAR(l->top[0].data + row + at, p->top[0].data + n, n, 0, 0);
		at += n;
		lt_free(p);
	}
	assert_int_equal(at, row);
	lt_free(l);
}

T_TEST(filter_by_a_parameter)
{
	struct layer_test *l = lt_open(ONE("Filter", "filter_param { num_output: 2 }"), MOKA_TRAIN, "2x3x2");

	memcpy(l->param[0].data, (real[]){ 1, 0, 5 }, 3 * sizeof(real));
	lt_set(l, 0, (real[]){ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 });
	lt_forward(l);
	LT_SHAPE(l, 0, "2x2x2");
	T_NEAR(l->top[0].data, ((real[]){ 1, 2, 5, 6, 7, 8, 11, 12 }), 8, 0, 0);
	memcpy(l->top[0].diff, l->top[0].data, 8 * sizeof(real));
	lt_backward(l);
	T_NEAR(l->bottom[0].diff, ((real[]){ 1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12 }), 12, 0, 0);
	lt_free(l);
}

/* ---- MALIS ------------------------------------------------------------------------------------------------------------ */

#define PLACES 12
#define TRIPLE "layer { type: 'MalisLoss' bottom: 'x' bottom: 't' bottom: 's' top: 'y' }"

T_TEST(components_are_numbered_in_reading_order)
{
	struct layer_test *l = lt_open(ONE("ConnectedComponent", ""), MOKA_TEST, "1x2x3x4");

	lt_set(l, 0, (real[]){ 1, 1, 0, 2, 0, 1, 2, 2, 2, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 });
	lt_forward(l);
	T_NEAR(l->top[0].data, ((real[]){ 3, 3, 0, 4, 0, 3, 4, 4, 5, 0, 6, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6 }), 24,
	       0, 0);
	lt_free(l);
}

/* The weakest edge of the best path between all places, of edges +y and +x over h x w: Floyd and Warshall's way. */
static void best_paths(const double *weight, int h, int w, double m[PLACES][PLACES])
{
	const int n = h * w;

	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			m[i][j] = -DBL_MAX;
	for (int i = 0; i < n; i++) {
		if (i / w + 1 < h)
			m[i][i + w] = m[i + w][i] = weight[i];
		if (i % w + 1 < w)
			m[i][i + 1] = m[i + 1][i] = weight[n + i];
	}
	for (int k = 0; k < n; k++)
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++)
				if (i != j)
					m[i][j] = fmax(m[i][j], fmin(m[i][k], m[k][j]));
}

/* Mean square of the pairs of one piece (from 1), or of different ones (from 0). */
static double pair_loss(const double *weight, const real *pieces, int h, int w, bool same)
{
	double m[PLACES][PLACES], sum = 0, pairs = 0;

	best_paths(weight, h, w, m);
	for (int i = 0; i < h * w; i++)
		for (int j = 0; j < i; j++) {
			if (pieces[i] == 0 || pieces[j] == 0 || (pieces[i] == pieces[j]) != same)
				continue;
			pairs++;
			sum += pow((same ? 1 : 0) - m[i][j], 2);
		}
	return pairs > 0 ? sum / pairs : 0;
}

/* Both kinds' clamped affinities; returns the loss of an item. */
static double malis_of(const real *x, const real *t, const real *pieces, int channels, double weight[2][2 * PLACES])
{
	for (int i = 0; i < 2 * PLACES; i++) {
		weight[0][i] = fmax((double)x[i], (double)t[i]);
		weight[1][i] = fmin((double)x[i], (double)t[i]);
	}
	return (pair_loss(weight[0], pieces, 3, 4, false) +
		pair_loss(weight[1], pieces + (channels - 1) * PLACES, 3, 4, true)) /
	       2;
}

/* A quarter of what the two losses' derivatives by their clamped affinity are together. */
static void check_malis_gradient(const struct layer_test *l, double weight[2][2 * PLACES], const real *pieces,
				 int channels, const real *dx)
{
	for (int i = 0; i < 2 * PLACES; i++) {
		double slope = 0;

		for (int kind = 0; kind < 2; kind++) {
			const real *p = pieces + (kind ? channels - 1 : 0) * PLACES;
			const double was = weight[kind][i];
			double up, down;

			weight[kind][i] = was + 1e-6;
			up = pair_loss(weight[kind], p, 3, 4, kind);
			weight[kind][i] = was - 1e-6;
			down = pair_loss(weight[kind], p, 3, 4, kind);
			weight[kind][i] = was;
			slope += (up - down) / 2e-6;
		}
		if (!(fabs((double)dx[i] - slope / 4) <= 1e-4))
			fail_msg("gradient %d: %g, want %g", i, (double)dx[i], slope / 4);
	}
	(void)l;
}

static void check_malis(const char *bottoms, int channels)
{
	struct layer_test *l = lt_open(TRIPLE, MOKA_TRAIN, bottoms);
	double weight[2][2 * PLACES], want = 0;

	/* true affinities that clamp some; no two equal, so that the tree is one */
	for (int i = 0; i < 4 * PLACES; i++)
		l->bottom_values[1][i] = (real)(0.3 + 0.01 * i + 0.5 * (i % 3));
	lt_forward(l);
	for (int n = 0; n < 2; n++)
		want += malis_of(l->bottom_values[0] + n * 2 * PLACES, l->bottom_values[1] + n * 2 * PLACES,
				 l->bottom_values[2] + n * channels * PLACES, channels, weight) /
			2;
	near_to((double)l->top[0].data[0], want, "MalisLoss");
	l->top[0].diff[0] = 1;
	lt_backward(l);
	for (int n = 0; n < 2; n++) {
		malis_of(l->bottom_values[0] + n * 2 * PLACES, l->bottom_values[1] + n * 2 * PLACES,
			 l->bottom_values[2] + n * channels * PLACES, channels, weight);
		check_malis_gradient(l, weight, l->bottom_values[2] + n * channels * PLACES, channels,
				     l->bottom[0].diff + n * 2 * PLACES);
	}
	lt_free(l);
}

T_TEST(malis_is_its_definition)
{
	check_malis("2x2x3x4:u 2x2x3x4:u 2x1x3x4:i3", 1);
	check_malis("2x2x3x4:u 2x2x3x4:u 2x2x3x4:i4", 2);
}

/* Edges given as a bottom: the same two give the same. */
T_TEST(malis_follows_given_edges)
{
	struct layer_test *a = lt_open(TRIPLE, MOKA_TRAIN, "2x2x3x4:u 2x2x3x4:u 2x1x3x4:i3");
	struct layer_test *b =
		lt_open("layer { type: 'MalisLoss' bottom: 'x' bottom: 't' bottom: 's' bottom: 'e' top: 'y' top: 'z' }",
			MOKA_TRAIN, "2x2x3x4:u 2x2x3x4:u 2x1x3x4:i3 1x1x2x3");

	for (int i = 0; i < 3; i++)
		lt_set(b, i, a->bottom_values[i]);
	lt_set(b, 3, (real[]){ 0, 1, 0, 0, 0, 1 });
	lt_forward(a);
	lt_forward(b);
	assert_true(a->top[0].data[0] > 0);
	assert_true(a->top[0].data[0] == b->top[0].data[0]);
	T_NEAR(b->top[1].data, b->bottom_values[0], 48, 0, 0);
	lt_free(a);
	lt_free(b);
}

static const struct CMUnitTest tests[] = {
	T_CASE(local_is_its_definition),       T_CASE(local_of_equal_kernels_is_a_convolution),
	T_CASE(topk_keeps_the_largest),	       T_CASE(topk_outlives_nan),
	T_CASE(windows_of_three_axes),	       T_CASE(one_more_axis_changes_nothing),
	T_CASE(mask_counts_through_the_block), T_CASE(lrn_map_is_its_definition),
	T_CASE(pyramid_is_poolings_in_a_row),  T_CASE(components_are_numbered_in_reading_order),
	T_CASE(malis_is_its_definition),       T_CASE(malis_follows_given_edges),
	T_CASE(filter_by_a_parameter)
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
