/*
 * Blocked convolution against sums in double: every algorithm that takes the sizes, every instruction set of the machine,
 * one thread against three, residuals that are the output itself, every activation, parts of larger tensors.
 */
#include "kernels/conv_op.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = T_ISAS;
static struct moka_pool *three;

static real *numbers(int64_t n, uint64_t seed)
{
	real *p = malloc((size_t)MOKA_MAX(n, 1) * sizeof(real));
	struct moka_rng r;

	moka_rng_seed(&r, seed, 0);
	for (int64_t i = 0; i < n; i++)
		p[i] = (real)(moka_rng_uniform(&r) - 0.5);
	return p;
}

struct row {
	int64_t images, channels, height, width, outputs, group;
	int64_t kernel[2], stride[2], pad[2], dilation[2];
};

static const struct row rows[] = {
	{ 1, 8, 5, 7, 16, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 2, 13, 9, 7, 24, 1, { 1, 1 }, { 2, 2 }, { 0, 0 }, { 1, 1 } },
	{ 1, 127, 7, 7, 127, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 3, 5, 6, 11, 3, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 24, 14, 14, 40, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 2, 16, 13, 17, 80, 1, { 3, 3 }, { 1, 1 }, { 0, 2 }, { 1, 1 } },
	{ 1, 1, 20, 20, 96, 1, { 3, 3 }, { 1, 1 }, { 4, 3 }, { 1, 1 } },
	{ 2, 40, 1, 2, 13, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 130, 12, 13, 70, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 3, 33, 35, 64, 1, { 7, 7 }, { 2, 2 }, { 3, 3 }, { 1, 1 } },
	{ 1, 3, 40, 43, 96, 1, { 11, 11 }, { 4, 4 }, { 0, 0 }, { 1, 1 } },
	{ 2, 3, 15, 12, 32, 1, { 3, 3 }, { 2, 3 }, { 1, 5 }, { 1, 2 } },
	{ 1, 20, 12, 12, 50, 1, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 16, 9, 9, 16, 1, { 3, 3 }, { 3, 3 }, { 7, 6 }, { 2, 2 } },
	{ 1, 32, 8, 8, 64, 2, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 } },
	{ 2, 96, 11, 9, 64, 2, { 5, 5 }, { 1, 1 }, { 2, 1 }, { 1, 1 } },
	{ 1, 96, 13, 13, 160, 2, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 2, 64, 7, 9, 96, 2, { 3, 3 }, { 1, 1 }, { 0, 2 }, { 1, 1 } },
	{ 1, 7, 3, 21, 33, 1, { 5, 5 }, { 1, 1 }, { 4, 2 }, { 1, 1 } },
	{ 1, 64, 6, 5, 64, 16, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 15, 6, 5, 21, 3, { 3, 2 }, { 1, 2 }, { 1, 1 }, { 1, 1 } },
	{ 2, 24, 14, 15, 24, 24, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 13, 23, 9, 13, 13, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	{ 1, 40, 7, 7, 40, 40, { 5, 5 }, { 1, 2 }, { 6, 2 }, { 1, 1 } },
	{ 1, 16, 3, 4, 16, 16, { 5, 5 }, { 2, 2 }, { 4, 9 }, { 2, 1 } },
	/* depthwise 3x3 by rows: every width of a tile, edges at both sides of one, rows that see nothing */
	{ 1, 20, 3, 1, 20, 20, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 2, 16, 1, 2, 16, 16, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 17, 2, 3, 17, 17, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 33, 7, 7, 33, 33, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 16, 5, 8, 16, 16, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 3, 40, 4, 9, 40, 40, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 64, 14, 14, 64, 64, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 8, 9, 17, 8, 8, { 3, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 8, 6, 12, 8, 8, { 3, 3 }, { 1, 1 }, { 4, 1 }, { 1, 1 } },
	{ 1, 16, 6, 12, 16, 16, { 3, 3 }, { 1, 1 }, { 1, 2 }, { 1, 1 } },
	{ 1, 32, 112, 112, 32, 32, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 16, 3, 1, 16, 16, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	{ 1, 16, 2, 2, 16, 16, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	{ 2, 24, 14, 14, 24, 24, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	{ 1, 16, 15, 15, 16, 16, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	{ 1, 16, 7, 29, 16, 16, { 3, 3 }, { 2, 2 }, { 0, 0 }, { 1, 1 } },
	{ 1, 16, 16, 112, 16, 16, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	/* by pieces: other kernels, strides, dilation */
	{ 1, 16, 9, 15, 16, 16, { 3, 3 }, { 1, 1 }, { 2, 2 }, { 2, 2 } },
	{ 1, 16, 9, 14, 16, 16, { 3, 3 }, { 2, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 24, 15, 14, 24, 24, { 7, 7 }, { 2, 2 }, { 3, 3 }, { 1, 1 } },
	/* 1x1: tiles that cross rows and images, weights in parts and ahead of their turn */
	{ 3, 16, 3, 5, 96, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 5, 40, 1, 3, 24, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 300, 7, 7, 200, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 12, 4, 6, 20, 1, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	/* first: rows shorter than a tile, several rows a strip */
	{ 2, 3, 9, 7, 20, 1, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
	{ 1, 24, 4, 3, 100, 1, { 4, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 500, 1, 1, 10, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 9, 77, 1, 1, 130, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 17, 64, 1, 1, 48, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
};

/* A tensor with `before` more values in front of each image, and room behind; spare lanes zero, all else junk. */
struct made {
	struct moka_tensor t;
	real *memory;
	int64_t count;
};

static struct made make(int64_t images, int64_t channels, int64_t height, int64_t width, int block, bool part)
{
	struct made m = { { NULL, images, channels, height, width, block, 0 }, NULL, 0 };
	const int64_t own = moka_tensor_image(channels, height, width, block),
		      extra = part ? block * height * width : 0;

	m.t.image_stride = own + 2 * extra;
	m.count = (images - 1) * m.t.image_stride + own + 2 * extra;
	m.memory = malloc((size_t)m.count * sizeof(real));
	for (int64_t i = 0; i < m.count; i++)
		m.memory[i] = (real)777;
	m.t.data = m.memory + extra;
	return m;
}

static struct moka_tensor plain_view(real *data, const struct moka_tensor *like)
{
	struct moka_tensor t = *like;

	t.data = data, t.block = 1;
	t.image_stride = t.channels * t.height * t.width;
	return t;
}

/* Every value outside of [data, data + own) of an image is still what it was; spare lanes are zero. */
static void check_guards(const struct made *m)
{
	const int64_t b = m->t.block, own = moka_tensor_image(m->t.channels, m->t.height, m->t.width, m->t.block);
	const int64_t front = m->t.data - m->memory;

	for (int64_t i = 0; i < m->count; i++) {
		const int64_t at = (i - front) % m->t.image_stride;
		if (i < front || at >= own)
			T_TRUE(m->memory[i] == (real)777);
		else if (b > 1 && at / (b * m->t.height * m->t.width) * b + at % b >= m->t.channels)
			T_TRUE(m->memory[i] == 0);
	}
}

static real act(const struct moka_act *a, int64_t c, double x)
{
	switch (a->kind) {
	case MOKA_ACT_RELU:
		return (real)(x > 0 ? x : (double)a->slope * x);
	case MOKA_ACT_CLIP:
		return (real)fmin(fmax(x, (double)a->low), (double)a->high);
	case MOKA_ACT_PRELU:
		return (real)(x > 0 ? x : (double)a->slopes[c] * x);
	default:
		return (real)x;
	}
}

struct numbers_of {
	real *x, *w, *bias, *scale, *shift, *z, *want;
	int64_t out[2], count;
};

static void reference(const struct row *r, const struct moka_act *a, bool residual, struct numbers_of *v)
{
	const int64_t ins = r->channels / r->group, outs = r->outputs / r->group;

	for (int64_t n = 0, at = 0; n < r->images; n++)
		for (int64_t o = 0; o < r->outputs; o++)
			for (int64_t p = 0; p < v->out[0] * v->out[1]; p++, at++) {
				double s = 0;
				for (int64_t c = 0; c < ins; c++)
					for (int64_t i = 0; i < r->kernel[0]; i++)
						for (int64_t k = 0; k < r->kernel[1]; k++) {
							const int64_t y = p / v->out[1] * r->stride[0] - r->pad[0] +
									  i * r->dilation[0];
							const int64_t x = p % v->out[1] * r->stride[1] - r->pad[1] +
									  k * r->dilation[1];
							if (y < 0 || x < 0 || y >= r->height || x >= r->width)
								continue;
							s += (double)v->x[((n * r->channels + o / outs * ins + c) *
										   r->height +
									   y) * r->width +
									  x] *
							     (double)v->w[((o * ins + c) * r->kernel[0] + i) *
										  r->kernel[1] +
									  k];
						}
				s = (s + (double)v->bias[o]) * (double)v->scale[o] + (double)v->shift[o];
				v->want[at] = act(a, o, s + (residual ? (double)v->z[at] : 0));
			}
}

static void run_one(const struct row *r, const struct moka_conv_desc *d, const struct numbers_of *v, bool part)
{
	struct moka_gemm_ws *ws = moka_gemm_ws_new();
	struct moka_conv_op *op;
	const int64_t area = v->out[0] * v->out[1];
	struct made x = make(r->images, r->channels, r->height, r->width, d->in_block, part);
	struct made y = make(r->images, r->outputs, v->out[0], v->out[1], d->out_block, part);
	struct moka_tensor px = plain_view(v->x, &x.t), pz = plain_view(v->z, &y.t);
	real *got = malloc((size_t)v->count * sizeof(real)), *first = malloc((size_t)v->count * sizeof(real));
	struct moka_tensor py = plain_view(got, &y.t);
	const bool eight_points = d->algorithm == MOKA_CONV_WINOGRAD6 || d->algorithm == MOKA_CONV_WINOGRAD5 ||
				  d->algorithm == MOKA_CONV_WINOGRAD5_3;
	const size_t weights =
		(size_t)(r->outputs * r->channels / r->group * r->kernel[0] * r->kernel[1]) * sizeof(real);
	char *odd = malloc(weights + 1); /* w as it lies in files */

	memcpy(odd + 1, v->w, weights);
	T_INT(moka_conv_op_new(&op, d), MOKA_OK);
	moka_relayout(NULL, &px, &x.t);
	for (int threads = 1; threads <= 3; threads += 2) {
		struct moka_pool *pool = threads == 3 ? three : NULL;
		size_t bytes = moka_conv_op_scratch(op, threads);
		void *scratch = aligned_alloc(64, (bytes + 64) / 64 * 64);

		T_INT(moka_conv_op_pack(op, pool, part ? odd + 1 : (char *)v->w, v->bias, v->scale, v->shift), MOKA_OK);
		if (d->residual)
			moka_relayout(pool, &pz, &y.t);
		moka_conv_op_run(op, pool, ws, &x.t, d->residual ? &y.t : NULL, &y.t, scratch);
		check_guards(&y);
		moka_relayout(pool, &y.t, &py);
		if (threads == 1) {
			T_NEAR(got, v->want, r->images * r->outputs * area, eight_points ? 1e-3 : 1e-4,
			       eight_points ? 2e-4 : 2e-5);
			memcpy(first, got, (size_t)v->count * sizeof(real));
		}
		T_TRUE(!memcmp(first, got, (size_t)v->count * sizeof(real)));
		free(scratch);
	}
	moka_conv_op_free(op);
	moka_gemm_ws_free(ws);
	free(x.memory), free(y.memory), free(got), free(first), free(odd);
}

static void check_row(const struct row *r, const struct moka_act *a, bool residual, int *made)
{
	struct numbers_of v = { numbers(r->images * r->channels * r->height * r->width, 1),
				numbers(r->outputs * r->channels / r->group * r->kernel[0] * r->kernel[1], 2),
				numbers(r->outputs, 3),
				numbers(r->outputs, 4),
				numbers(r->outputs, 5),
				NULL,
				NULL,
				{ 0, 0 },
				0 };
	const int64_t in[2] = { r->height, r->width };

	for (int i = 0; i < 2; i++)
		v.out[i] = (in[i] + 2 * r->pad[i] - r->dilation[i] * (r->kernel[i] - 1) - 1) / r->stride[i] + 1;
	v.count = r->images * r->outputs * v.out[0] * v.out[1];
	v.z = numbers(v.count, 6);
	v.want = malloc((size_t)v.count * sizeof(real));
	reference(r, a, residual, &v);
	for (int m = 0; m < 4 * (MOKA_CONV_PLAIN + 1); m++) {
		struct moka_conv_desc d = { r->images,
					    r->channels,
					    r->height,
					    r->width,
					    r->outputs,
					    r->group,
					    { r->kernel[0], r->kernel[1] },
					    { r->stride[0], r->stride[1] },
					    { r->pad[0], r->pad[1] },
					    { r->dilation[0], r->dilation[1] },
					    m & 1 ? moka_block() : 1,
					    m & 2 ? moka_block() : 1,
					    residual,
					    *a,
					    (enum moka_conv_algorithm)(m / 4) };
		struct moka_conv_op *op;

		if (moka_conv_op_new(&op, &d)) {
			T_FALSE(d.algorithm == MOKA_CONV_AUTO && moka_conv_op_takes(&d));
			continue;
		}
		moka_conv_op_free(op);
		made[m / 4]++;
		run_one(r, &d, &v, m / 4 % 2);
	}
	free(v.x), free(v.w), free(v.bias), free(v.scale), free(v.shift), free(v.z), free(v.want);
}

static void on_each_isa(void (*fn)(void))
{
	const char *was = getenv("MOKA_ISA");
	char *kept = was ? strdup(was) : NULL;

	for (size_t i = 0; i < MOKA_COUNT(isas); i++) {
		setenv("MOKA_ISA", isas[i], 1);
		fn();
	}
	if (kept)
		setenv("MOKA_ISA", kept, 1);
	else
		unsetenv("MOKA_ISA");
	free(kept);
}

static void convolutions(void)
{
	real *slopes = numbers(200, 9);
	const struct moka_act acts[] = { { MOKA_ACT_NONE, 0, 0, 0, NULL },
					 { MOKA_ACT_RELU, 0, 0, 0, NULL },
					 { MOKA_ACT_RELU, (real)0.1, 0, 0, NULL },
					 { MOKA_ACT_CLIP, 0, (real)0.1, (real)0.6, NULL },
					 { MOKA_ACT_PRELU, 0, 0, 0, slopes } };
	int made[MOKA_CONV_PLAIN + 1] = { 0 };

	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		for (size_t k = 0; k < 2; k++)
			check_row(&rows[i], &acts[(i + 3 * k) % MOKA_COUNT(acts)], (i + k) % 2, made);
	for (int i = 0; i <= MOKA_CONV_PLAIN; i++)
		T_TRUE(made[i] > 0 || (moka_block() == 1 && i != MOKA_CONV_AUTO && i != MOKA_CONV_PLAIN));
	free(slopes);
}

T_TEST(convolutions_on_each_instruction_set)
{
	on_each_isa(convolutions);
}

/* What F(4x4) and F(6x6), also of 5x5 kernels, lose against sums in double, over 2,300 products of values around zero. */
static void winograd_error(void)
{
	enum { C = 256, S = 12, O = 8 };
	static const struct row side3 = { 1, C, S, S, O, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } };
	static const struct row side5 = { 1, 96, S, S, O, 1, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 } };
	const struct moka_act none = { MOKA_ACT_NONE, 0, 0, 0, NULL };
	int made[MOKA_CONV_PLAIN + 1] = { 0 };

	check_row(&side3, &none, false, made);
	check_row(&side5, &none, false, made);
}

T_TEST(winograd_keeps_its_digits)
{
	on_each_isa(winograd_error);
}

/* U = scale * G g G' in double, rounded once: what is packed for Winograd is within one unit of the last place. */
static void check_rounding(enum moka_conv_algorithm algorithm, const double *g)
{
	enum { C = 19, O = 37 };
	struct moka_conv_desc d = { .images = 1,
				    .channels = C,
				    .height = 12,
				    .width = 12,
				    .outputs = O,
				    .group = 1,
				    .kernel = { 3, 3 },
				    .stride = { 1, 1 },
				    .pad = { 1, 1 },
				    .dilation = { 1, 1 },
				    .in_block = moka_block(),
				    .out_block = moka_block(),
				    .algorithm = algorithm };
	real *w = numbers(O * C * 9, 1), *scale = numbers(O, 2);
	struct moka_conv_op *op;

	T_INT(moka_conv_op_new(&op, &d), MOKA_OK);
	T_INT(moka_conv_op_pack(op, three, w, NULL, scale, NULL), MOKA_OK);
	for (int64_t k = 0; k < op->n_groups; k++)
		for (int64_t i = 0; i < op->in_blocks * d.in_block * op->groups[k].blocks * d.in_block; i++) {
			const int64_t outs = op->groups[k].blocks * d.in_block,
				      o = op->groups[k].block * d.in_block + i % outs, c = i / outs;
			for (int64_t p = 0; p < op->size * op->size; p++) {
				const double *row = g + p / op->size * 3, *column = g + p % op->size * 3;
				double want = 0, most = 0;
				for (int n = 0; n < 9 && o < O && c < C; n++) {
					const double one = row[n / 3] * column[n % 3] * (double)w[(o * C + c) * 9 + n] *
							   (double)scale[o];
					want += one, most = fmax(most, fabs(one));
				}
				T_TRUE(fabs((double)op->weights[p * op->plane + op->groups[k].weights + i] - want) <=
				       6e-8 * fabs(want) + 1e-14 * most);
			}
		}
	moka_conv_op_free(op);
	free(w), free(scale);
}

static void winograd_rounding(void)
{
	static const double four[] = { 1. / 4,	0,	 0,	 -1. / 6, -1. / 6,  -1. / 6, -1. / 6, 1. / 6, -1. / 6,
				       1. / 24, 1. / 12, 1. / 6, 1. / 24, -1. / 12, 1. / 6,  0,	      0,      1 };
	static const double six[] = { 1,       0,	 0,	  -2. / 9,  -2. / 9,  -2. / 9,	-2. / 9, 2. / 9,
				      -2. / 9, 1. / 90,	 1. / 45, 2. / 45,  1. / 90,  -1. / 45, 2. / 45, 1. / 45,
				      1. / 90, 1. / 180, 1. / 45, -1. / 90, 1. / 180, 0,	0,	 1 };

	static const double five[] = { 0.5,	 -0.,	    0,	      -1. / 9,	-1. / 9, -1. / 9,  1. / 3,
				       -1. / 3,	 1. / 3,    1. / 60,  2. / 60,	4. / 60, -1. / 36, 2. / 36,
				       -4. / 36, -32. / 45, 16. / 45, -8. / 45, 0,	 0,	   1 };

	if (moka_block() == 1)
		return;
	check_rounding(MOKA_CONV_WINOGRAD5_3, five);
	check_rounding(MOKA_CONV_WINOGRAD4, four);
	check_rounding(MOKA_CONV_WINOGRAD6, six);
}

T_TEST(winograd_weights_are_rounded_once)
{
	on_each_isa(winograd_rounding);
}

T_TEST(refused)
{
	struct moka_conv_desc d = { 1,
				    8,
				    5,
				    5,
				    8,
				    1,
				    { 3, 3 },
				    { 2, 2 },
				    { 1, 1 },
				    { 1, 1 },
				    1,
				    1,
				    false,
				    { MOKA_ACT_NONE, 0, 0, 0, NULL },
				    MOKA_CONV_WINOGRAD4 };
	struct moka_conv_op *op;

	T_INT(moka_conv_op_new(&op, &d), MOKA_ERR_ARG);
	T_TRUE(op == NULL);
	moka_conv_op_free(op);
	d.algorithm = MOKA_CONV_AUTO;
	T_TRUE(moka_conv_op_takes(&d));
	d.kernel[0] = 9;
	T_FALSE(moka_conv_op_takes(&d));
	d.kernel[0] = 3, d.group = 3;
	T_FALSE(moka_conv_op_takes(&d));
}

/* ---- the rest --------------------------------------------------------------------------------------- */

static const int64_t channel_counts[] = { 1, 3, 5, 8, 13, 16, 24, 127 };

/* The function in `run` on blocked and on plain tensors; both must be near `want`. */
static void pooled(int64_t channels, const struct moka_pool_desc *d, int64_t height, int64_t width)
{
	int64_t out[2], in[2] = { height, width };
	const int64_t images = 2;
	real *x = numbers(images * channels * height * width, 1), *want, *got;
	struct moka_tensor px = { x, images, channels, height, width, 1, channels * height * width };

	for (int i = 0; i < 2; i++) {
		out[i] = (in[i] + 2 * d->pad[i] - d->kernel[i] + d->stride[i] - 1) / d->stride[i] + 1;
		if ((out[i] - 1) * d->stride[i] >= in[i] + d->pad[i])
			out[i]--;
	}
	want = malloc((size_t)(images * channels * out[0] * out[1]) * sizeof(real));
	got = malloc((size_t)(images * channels * out[0] * out[1]) * sizeof(real));
	for (int64_t c = 0; c < images * channels; c++)
		for (int64_t p = 0; p < out[0] * out[1]; p++) {
			const int64_t y0 = p / out[1] * d->stride[0] - d->pad[0],
				      x0 = p % out[1] * d->stride[1] - d->pad[1];
			const int64_t y1 = MOKA_MIN(y0 + d->kernel[0], height + d->pad[0]);
			const int64_t x1 = MOKA_MIN(x0 + d->kernel[1], width + d->pad[1]);
			double most = -1e30, sum = 0;
			for (int64_t i = MOKA_MAX(y0, 0); i < MOKA_MIN(y1, height); i++)
				for (int64_t k = MOKA_MAX(x0, 0); k < MOKA_MIN(x1, width); k++) {
					const double a = (double)x[(c * height + i) * width + k];
					most = fmax(most, a), sum += a;
				}
			want[c * out[0] * out[1] + p] =
				(real)(d->kind == MOKA_POOL_MAX ? most : sum / (double)((y1 - y0) * (x1 - x0)));
		}
	for (int block = 1; block <= moka_block(); block += MOKA_MAX(moka_block() - 1, 1)) {
		struct made bx = make(images, channels, height, width, block, false);
		struct made by = make(images, channels, out[0], out[1], block, true);
		struct moka_tensor py = plain_view(got, &by.t);
		moka_relayout(NULL, &px, &bx.t);
		moka_pool2d(three, d, &bx.t, &by.t);
		check_guards(&by);
		moka_relayout(NULL, &by.t, &py);
		T_NEAR(got, want, images * channels * out[0] * out[1], 1e-5, 1e-6);
		free(bx.memory), free(by.memory);
	}
	free(x), free(want), free(got);
}

static void pools(void)
{
	static const struct moka_pool_desc rows_of[] = {
		{ MOKA_POOL_MAX, { 3, 3 }, { 2, 2 }, { 0, 0 } },
		{ MOKA_POOL_MAX, { 2, 2 }, { 2, 2 }, { 0, 0 } },
		{ MOKA_POOL_MAX, { 3, 3 }, { 1, 1 }, { 1, 1 } },
		{ MOKA_POOL_AVERAGE, { 3, 3 }, { 2, 2 }, { 1, 1 } },
		{ MOKA_POOL_AVERAGE, { 7, 9 }, { 1, 1 }, { 0, 0 } },
		{ MOKA_POOL_AVERAGE, { 5, 4 }, { 3, 2 }, { 4, 3 } },
		{ MOKA_POOL_MAX, { 5, 4 }, { 3, 2 }, { 4, 3 } },
	};

	for (size_t c = 0; c < MOKA_COUNT(channel_counts); c++)
		for (size_t i = 0; i < MOKA_COUNT(rows_of); i++)
			pooled(channel_counts[c], &rows_of[i], 7 + (int64_t)i, 9 + 6 * (int64_t)(c % 3));
}

T_TEST(pooling)
{
	on_each_isa(pools);
}

static void flats(void)
{
	real *scale = numbers(127, 3), *shift = numbers(127, 4), *slopes = numbers(127, 5);
	const struct moka_act acts[] = { { MOKA_ACT_NONE, 0, 0, 0, NULL },
					 { MOKA_ACT_RELU, (real)0.2, 0, 0, NULL },
					 { MOKA_ACT_CLIP, 0, (real)0.1, (real)0.3, NULL },
					 { MOKA_ACT_PRELU, 0, 0, 0, slopes } };

	for (size_t i = 0; i < MOKA_COUNT(channel_counts); i++)
		for (size_t k = 0; k < MOKA_COUNT(acts); k++)
			for (int block = 1; block <= moka_block(); block += MOKA_MAX(moka_block() - 1, 1)) {
				const int64_t c = channel_counts[i], n = 2 * c * 35;
				real *x = numbers(n, 1), *z = numbers(n, 2), *want = malloc((size_t)n * sizeof(real));
				struct made bx = make(2, c, 5, 7, block, true), bz = make(2, c, 5, 7, block, false);
				struct made by = make(2, c, 5, 7, block, true);
				struct moka_tensor px = plain_view(x, &bx.t), pz = plain_view(z, &bx.t);
				real *got = malloc((size_t)n * sizeof(real));
				struct moka_tensor py = plain_view(got, &by.t);

				moka_relayout(NULL, &px, &bx.t);
				moka_relayout(NULL, &pz, &bz.t);
				for (int64_t e = 0; e < n; e++)
					want[e] = act(&acts[k], e / 35 % c, 0.5 * (double)x[e] - 2 * (double)z[e]);
				moka_add2(three, (real)0.5, &bx.t, -2, &bz.t, &acts[k], &by.t);
				check_guards(&by);
				moka_relayout(NULL, &by.t, &py);
				T_NEAR(got, want, n, 1e-5, 1e-6);
				for (int64_t e = 0; e < n; e++)
					want[e] = act(&acts[k], e / 35 % c,
						      (double)scale[e / 35 % c] * (double)x[e] +
							      (double)shift[e / 35 % c]);
				moka_affine(three, scale, shift, &acts[k], &bx.t, &bx.t);
				check_guards(&bx);
				moka_relayout(NULL, &bx.t, &py);
				T_NEAR(got, want, n, 1e-5, 1e-6);
				moka_affine(NULL, NULL, NULL, NULL, &bx.t, &by.t);
				moka_relayout(NULL, &by.t, &py);
				T_NEAR(got, want, n, 1e-5, 1e-6);
				free(x), free(z), free(want), free(got);
				free(bx.memory), free(bz.memory), free(by.memory);
			}
	free(scale), free(shift), free(slopes);
}

T_TEST(sums_scales_and_shifts)
{
	on_each_isa(flats);
}

static void lrns(void)
{
	for (size_t i = 0; i < MOKA_COUNT(channel_counts); i++)
		for (int v = 0; v < 4; v++)
			for (int block = 1; block <= moka_block(); block += MOKA_MAX(moka_block() - 1, 1)) {
				const int64_t c = channel_counts[i], n = 2 * c * 77, size = v == 3 ? 9 : v == 2 ? 3 : 5;
				const double alpha = 0.7, beta = v == 1 ? 0.6 : 0.75, k = 1 + v;
				real *x = numbers(n, 1), *want = malloc((size_t)n * sizeof(real));
				real *got = malloc((size_t)n * sizeof(real));
				struct made bx = make(2, c, 7, 11, block, true), by = make(2, c, 7, 11, block, false);
				struct moka_tensor px = plain_view(x, &bx.t), py = plain_view(got, &by.t);

				for (int64_t e = 0; e < n; e++) {
					double s = 0;
					for (int64_t j = -(size - 1) / 2; j <= (size - 1) / 2; j++)
						if (e / 77 % c + j >= 0 && e / 77 % c + j < c)
							s += (double)x[e + j * 77] * (double)x[e + j * 77];
					want[e] = (real)((double)x[e] * pow(k + alpha / (double)size * s, -beta));
				}
				moka_relayout(NULL, &px, &bx.t);
				moka_lrn_across(three, size, (real)alpha, (real)beta, (real)k, &bx.t, &by.t);
				check_guards(&by);
				moka_relayout(NULL, &by.t, &py);
				T_NEAR(got, want, n, 1e-5, 1e-6);
				free(x), free(want), free(got), free(bx.memory), free(by.memory);
			}
}

T_TEST(normalisation_across_channels)
{
	on_each_isa(lrns);
}

static const struct CMUnitTest tests[] = {
	T_CASE(convolutions_on_each_instruction_set),
	T_CASE(winograd_keeps_its_digits),
	T_CASE(winograd_weights_are_rounded_once),
	T_CASE(refused),
	T_CASE(pooling),
	T_CASE(sums_scales_and_shifts),
	T_CASE(normalisation_across_channels),
};

int main(int argc, char **argv)
{
	int status;

	three = moka_pool_new(3);
	status = t_main(argc, argv, tests, MOKA_COUNT(tests));
	moka_pool_free(three);
	return status;
}
