/*
 * Convolution for training against sums in double: forward, and the gradients of data, weights and bias, at awkward sizes, in every pair
 * of layouts, on every instruction set of the machine, one thread against three.
 */
#include "kernels/conv_train.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = T_ISAS;
static struct moka_pool *three;

struct row {
	int64_t images, channels, height, width, outputs, group;
	int64_t kernel[2], stride[2], pad[2], dilation[2];
};

static const struct row rows[] = {
	{ 1, 1, 1, 1, 1, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 3, 16, 5, 7, 20, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 2, 48, 9, 7, 130, 1, { 1, 1 }, { 2, 2 }, { 0, 0 }, { 1, 1 } },
	{ 3, 20, 8, 9, 16, 1, { 1, 1 }, { 2, 3 }, { 1, 0 }, { 1, 1 } },
	{ 1, 3, 6, 11, 3, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 3, 32, 9, 10, 48, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 2, 80, 14, 14, 64, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 1, 16, 13, 17, 20, 1, { 3, 3 }, { 1, 1 }, { 0, 2 }, { 1, 1 } },
	{ 1, 48, 12, 13, 16, 1, { 3, 3 }, { 1, 1 }, { 4, 3 }, { 1, 1 } },
	{ 4, 20, 12, 12, 50, 1, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 5, 33, 7, 10, 34, 1, { 3, 4 }, { 1, 1 }, { 0, 0 }, { 2, 1 } },
	{ 1, 1, 28, 28, 20, 1, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 2, 3, 33, 35, 64, 1, { 7, 7 }, { 2, 2 }, { 3, 3 }, { 1, 1 } },
	{ 1, 3, 40, 43, 96, 1, { 11, 11 }, { 4, 4 }, { 0, 0 }, { 1, 1 } },
	{ 3, 16, 15, 12, 48, 1, { 3, 3 }, { 2, 3 }, { 1, 5 }, { 1, 2 } },
	{ 1, 48, 9, 9, 16, 1, { 3, 3 }, { 3, 3 }, { 7, 6 }, { 2, 2 } },
	{ 2, 32, 11, 8, 64, 2, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 } },
	{ 3, 96, 13, 11, 128, 2, { 5, 5 }, { 1, 1 }, { 2, 1 }, { 1, 1 } },
	{ 5, 40, 14, 9, 50, 1, { 5, 5 }, { 1, 1 }, { 1, 2 }, { 1, 1 } },
	{ 4, 24, 9, 14, 72, 1, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 9, 48, 20, 19, 16, 1, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 } },
	{ 9, 64, 5, 5, 48, 1, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 1, 1 } },
	{ 7, 32, 9, 9, 64, 1, { 5, 5 }, { 1, 1 }, { 4, 5 }, { 1, 1 } },
	{ 3, 96, 13, 14, 128, 2, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 5, 80, 12, 12, 50, 1, { 3, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 4, 48, 17, 11, 64, 1, { 3, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 96, 6, 5, 48, 3, { 3, 2 }, { 1, 2 }, { 1, 1 }, { 1, 1 } },
	{ 1, 24, 4, 3, 100, 1, { 4, 3 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 5, 20, 9, 10, 33, 1, { 3, 3 }, { 1, 1 }, { 2, 2 }, { 2, 2 } },
	{ 2, 16, 40, 37, 16, 1, { 3, 1 }, { 1, 1 }, { 1, 0 }, { 1, 1 } },
	{ 9, 16, 34, 33, 32, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 9, 128, 10, 11, 160, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
	{ 17, 77, 1, 1, 48, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 1, 520, 9, 8, 530, 1, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 4, 500, 9, 8, 570, 1, { 1, 1 }, { 2, 2 }, { 0, 0 }, { 1, 1 } },
	{ 1, 16, 3, 4, 16, 1, { 2, 2 }, { 5, 5 }, { 0, 0 }, { 1, 1 } },
	{ 7, 1, 28, 28, 20, 1, { 5, 5 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
	{ 5, 2, 19, 37, 9, 1, { 3, 5 }, { 1, 1 }, { 1, 2 }, { 1, 1 } },
	{ 4, 3, 9, 8, 5, 1, { 3, 2 }, { 1, 1 }, { 0, 0 }, { 1, 1 } },
};

static real *numbers(int64_t n, uint64_t seed)
{
	real *p = malloc((size_t)MOKA_MAX(n, 1) * sizeof(real));
	struct moka_rng r;

	moka_rng_seed(&r, seed, 0);
	for (int64_t i = 0; i < n; i++)
		p[i] = (real)(moka_rng_uniform(&r) - 0.5);
	return p;
}

static void *room(size_t bytes)
{
	return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

/* A tensor that is a part of a larger one where `part` says so: junk around it and, until it is written, in it. */
struct made {
	struct moka_tensor t;
	real *memory;
	int64_t count, front;
};

static struct made make(int64_t images, int64_t channels, int64_t height, int64_t width, int block, bool part)
{
	struct made m = { { NULL, images, channels, height, width, block, 0 }, NULL, 0, 0 };
	const int64_t own = moka_tensor_image(channels, height, width, block);

	m.front = part ? block * height * width : 0;
	m.t.image_stride = own + 2 * m.front;
	m.count = images * m.t.image_stride;
	m.memory = malloc((size_t)m.count * sizeof(real));
	for (int64_t i = 0; i < m.count; i++)
		m.memory[i] = (real)777;
	m.t.data = m.memory + m.front;
	return m;
}

static void check_guards(const struct made *m)
{
	const int64_t b = m->t.block, own = moka_tensor_image(m->t.channels, m->t.height, m->t.width, m->t.block);

	for (int64_t i = 0; i < m->count; i++) {
		const int64_t at = i % m->t.image_stride - m->front;
		if (at < 0 || at >= own)
			T_TRUE(m->memory[i] == (real)777);
		else if (b > 1 && at / (b * m->t.height * m->t.width) * b + at % b >= m->t.channels)
			T_TRUE(m->memory[i] == 0);
	}
}

static void copy_plain(real *plain, const struct made *m, bool in)
{
	struct moka_tensor p = m->t;

	p.data = plain, p.block = 1, p.image_stride = p.channels * p.height * p.width;
	moka_relayout(NULL, in ? &p : &m->t, in ? &m->t : &p);
}

struct values {
	real *x, *w, *bias, *dy, *y, *dx, *dw, *db; /* the last four are wanted */
	int64_t out[2], n_x, n_w, n_y;
};

/* fn of each product that a convolution makes: places in x, w, y. */
static void each_product(const struct row *r, const struct values *v, double *y, double *dx, double *dw)
{
	const int64_t ins = r->channels / r->group, outs = r->outputs / r->group, taps = r->kernel[0] * r->kernel[1];

	for (int64_t at = 0; at < v->n_y; at++) {
		const int64_t area = v->out[0] * v->out[1], p = at % area, o = at / area % r->outputs,
			      n = at / area / r->outputs;
		for (int64_t k = 0; k < ins * taps; k++) {
			const int64_t iy =
				p / v->out[1] * r->stride[0] - r->pad[0] + k % taps / r->kernel[1] * r->dilation[0];
			const int64_t ix = p % v->out[1] * r->stride[1] - r->pad[1] + k % r->kernel[1] * r->dilation[1];
			const int64_t c = o / outs * ins + k / taps;
			const int64_t i = ((n * r->channels + c) * r->height + iy) * r->width + ix;
			if (iy < 0 || ix < 0 || iy >= r->height || ix >= r->width)
				continue;
			y[at] += (double)v->x[i] * (double)v->w[o * ins * taps + k];
			dx[i] += (double)v->dy[at] * (double)v->w[o * ins * taps + k];
			dw[o * ins * taps + k] += (double)v->dy[at] * (double)v->x[i];
		}
	}
}

static real *rounded(double *from, int64_t n)
{
	real *to = malloc((size_t)MOKA_MAX(n, 1) * sizeof(real));

	for (int64_t i = 0; i < n; i++)
		to[i] = (real)from[i];
	free(from);
	return to;
}

static struct values reference(const struct row *r)
{
	struct values v = { 0 };
	double *y, *dx, *dw, *db;
	const int64_t in[2] = { r->height, r->width };

	for (int i = 0; i < 2; i++)
		v.out[i] = (in[i] + 2 * r->pad[i] - r->dilation[i] * (r->kernel[i] - 1) - 1) / r->stride[i] + 1;
	v.n_x = r->images * r->channels * r->height * r->width;
	v.n_w = r->outputs * r->channels / r->group * r->kernel[0] * r->kernel[1];
	v.n_y = r->images * r->outputs * v.out[0] * v.out[1];
	v.x = numbers(v.n_x, 1), v.w = numbers(v.n_w, 2), v.bias = numbers(r->outputs, 3), v.dy = numbers(v.n_y, 4);
	y = calloc((size_t)v.n_y, sizeof(*y)), dx = calloc((size_t)v.n_x, sizeof(*dx));
	dw = calloc((size_t)v.n_w, sizeof(*dw)), db = calloc((size_t)r->outputs, sizeof(*db));
	each_product(r, &v, y, dx, dw);
	for (int64_t i = 0; i < v.n_y; i++) {
		const int64_t o = i / (v.out[0] * v.out[1]) % r->outputs;
		y[i] += (double)v.bias[o], db[o] += (double)v.dy[i];
	}
	/* gradients are added to what is there: the bias and the weights themselves */
	for (int64_t i = 0; i < v.n_w; i++)
		dw[i] += (double)v.w[i];
	for (int64_t i = 0; i < r->outputs; i++)
		db[i] += (double)v.bias[i];
	v.y = rounded(y, v.n_y), v.dx = rounded(dx, v.n_x), v.dw = rounded(dw, v.n_w), v.db = rounded(db, r->outputs);
	return v;
}

struct results {
	real *y, *dx, *dw, *db;
};

static struct results run(const struct row *r, const struct moka_conv_train *t, const struct moka_conv_train_desc *d,
			  const struct values *v, struct moka_pool *pool, bool part)
{
	struct made x = make(r->images, r->channels, r->height, r->width, d->in_block, part);
	struct made y = make(r->images, r->outputs, v->out[0], v->out[1], d->out_block, part);
	struct made dx = make(r->images, r->channels, r->height, r->width, d->in_block, part);
	struct made dy = make(r->images, r->outputs, v->out[0], v->out[1], d->out_block, part);
	struct results got = { numbers(v->n_y, 0), numbers(v->n_x, 0), numbers(v->n_w, 2), numbers(r->outputs, 3) };
	void *scratch = room(moka_conv_train_scratch(t, moka_pool_threads(pool)));
	struct moka_gemm_ws *ws = moka_gemm_ws_new();

	copy_plain(v->x, &x, true);
	copy_plain(v->dy, &dy, true);
	moka_conv_train_forward(t, pool, ws, v->w, v->bias, &x.t, &y.t, scratch);
	moka_conv_train_data(t, pool, ws, v->w, &dy.t, &dx.t, scratch);
	moka_conv_train_weights(t, pool, ws, &x.t, &dy.t, got.dw, got.db, scratch);
	check_guards(&y);
	check_guards(&dx);
	copy_plain(got.y, &y, false);
	copy_plain(got.dx, &dx, false);
	free(x.memory), free(y.memory), free(dx.memory), free(dy.memory), free(scratch);
	moka_gemm_ws_free(ws);
	return got;
}

static void free_results(const struct results *r)
{
	free(r->y), free(r->dx), free(r->dw), free(r->db);
}

/*
 * Winograd loses a digit: errors are those of the largest values on the way, so the bound is a part of the values' root mean square, small
 * values have it too.
 */
static void check_near(const real *got, const real *want, int64_t n, bool winograd, double near)
{
	double squares = 0, errors = 0, most = 0, rms;

	for (int64_t i = 0; i < n; i++) {
		const double e = (double)got[i] - (double)want[i];
		squares += (double)want[i] * (double)want[i], errors += e * e, most = fmax(most, fabs(e));
	}
	rms = sqrt(squares / (double)MOKA_MAX(n, 1));
	if (!winograd) {
		T_NEAR(got, want, n, 1e-4, near);
		return;
	}
	T_TRUE(most <= 1e-4 * rms);
	T_TRUE(sqrt(errors / (double)MOKA_MAX(n, 1)) <= 1e-5 * rms);
}

static void check_row(const struct row *r, bool part)
{
	struct values v = reference(r);

	for (int m = 0; m < 4; m++) {
		struct moka_conv_train_desc d = { r->images,
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
						  m & 2 ? moka_block() : 1 };
		struct moka_conv_train *t;
		struct results one, more;
		bool winograd;

		if (moka_conv_train_new(&t, &d)) {
			T_FALSE(moka_conv_train_takes(&d));
			continue;
		}
		winograd = r->kernel[0] == r->kernel[1] && (r->kernel[0] == 3 || r->kernel[0] == 5);
		one = run(r, t, &d, &v, NULL, part), more = run(r, t, &d, &v, three, part);
		check_near(one.y, v.y, v.n_y, winograd, 2e-5);
		check_near(one.dx, v.dx, v.n_x, winograd, 2e-5);
		check_near(one.dw, v.dw, v.n_w, winograd, 4e-5);
		T_NEAR(one.db, v.db, r->outputs, 1e-4, 5e-5);
		T_TRUE(!memcmp(one.y, more.y, (size_t)v.n_y * sizeof(real)));
		T_TRUE(!memcmp(one.dx, more.dx, (size_t)v.n_x * sizeof(real)));
		T_TRUE(!memcmp(one.dw, more.dw, (size_t)v.n_w * sizeof(real)));
		T_TRUE(!memcmp(one.db, more.db, (size_t)r->outputs * sizeof(real)));
		free_results(&one);
		free_results(&more);
		moka_conv_train_free(t);
	}
	free(v.x), free(v.w), free(v.bias), free(v.dy), free(v.y), free(v.dx), free(v.dw), free(v.db);
}

T_TEST(all_passes_on_each_instruction_set)
{
	const char *was = getenv("MOKA_ISA");
	char *kept = was ? strdup(was) : NULL;

	for (size_t i = 0; i < MOKA_COUNT(isas); i++) {
		setenv("MOKA_ISA", isas[i], 1);
		for (size_t k = 0; k < MOKA_COUNT(rows); k++)
			check_row(&rows[k], k % 2);
	}
	if (kept)
		setenv("MOKA_ISA", kept, 1);
	else
		unsetenv("MOKA_ISA");
	free(kept);
}

T_TEST(refused)
{
	struct moka_conv_train_desc d = { 1, 32, 5, 5, 32, 1, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1, 1 };
	struct moka_conv_train *t;

	T_TRUE(moka_conv_train_takes(&d) == (moka_block() > 1));
	d.kernel[0] = 9;
	T_FALSE(moka_conv_train_takes(&d));
	d.kernel[0] = 3, d.group = 16;
	T_FALSE(moka_conv_train_takes(&d));
	T_INT(moka_conv_train_new(&t, &d), MOKA_ERR_ARG);
	T_TRUE(t == NULL);
	moka_conv_train_free(t);
}

static const struct CMUnitTest tests[] = {
	T_CASE(all_passes_on_each_instruction_set),
	T_CASE(refused),
};

int main(int argc, char **argv)
{
	int status;

	three = moka_pool_new(3);
	status = t_main(argc, argv, tests, MOKA_COUNT(tests));
	moka_pool_free(three);
	return status;
}
