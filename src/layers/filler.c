/*
 * filler.c - the first values of parameters (and of DummyData's tops), by the names that FillerParameter knows.
 *
 * Shapes: a weight is (out, in, ...): fan_in = count / d[0], fan_out = count / d[1] (the count itself for one
 * axis), as BVLC Caffe has it. Random numbers are drawn one after another from one stream: a filler is
 * deterministic, not parallel.
 */
#include "layer.h"

#include <string.h>
#include <tgmath.h>

enum { FAN_IN, FAN_OUT, FAN_AVERAGE };

struct fill {
	const struct moka_filler_param *p;
	const struct moka_shape *shape;
	int64_t count;
	real *data;
	struct moka_rng *rng;
};

static void fill_constant(const struct fill *x)
{
	for (int64_t i = 0; i < x->count; i++)
		x->data[i] = (real)x->p->value;
}

static void draw_uniform(const struct fill *x, double low, double high)
{
	for (int64_t i = 0; i < x->count; i++)
		x->data[i] = (real)(low + (high - low) * moka_rng_uniform(x->rng));
}

static void draw_gaussian(const struct fill *x, double mean, double deviation)
{
	for (int64_t i = 0; i < x->count; i++)
		x->data[i] = (real)(mean + deviation * moka_rng_gaussian(x->rng));
}

static void fill_uniform(const struct fill *x)
{
	draw_uniform(x, (double)x->p->min, (double)x->p->max);
}

/* sparse: each value stays with probability sparse / d[0], so that an input keeps that many outputs on average. */
static void fill_gaussian(const struct fill *x)
{
	draw_gaussian(x, (double)x->p->mean, (double)x->p->std);
	if (x->p->sparse < 0)
		return;
	const double keep = (double)x->p->sparse / (double)x->shape->d[0];
	for (int64_t i = 0; i < x->count; i++)
		if (moka_rng_uniform(x->rng) >= keep)
			x->data[i] = 0;
}

/* Every item (first axis) is positive and sums to 1. */
static void fill_unitball(const struct fill *x)
{
	const int64_t items = x->shape->d[0], dim = x->count / items;

	draw_uniform(x, 0, 1);
	for (int64_t i = 0; i < items; i++) {
		real *v = x->data + i * dim, sum = moka_sum(dim, v);

		if (sum > 0)
			moka_scale(dim, (real)1 / sum, v);
	}
}

static double fan(const struct fill *x)
{
	const struct moka_shape *s = x->shape;
	const double in = (double)(x->count / s->d[0]);
	const double out = (double)(s->n > 1 ? x->count / s->d[1] : x->count);

	switch (x->p->variance_norm) {
	case FAN_OUT:
		return out;
	case FAN_AVERAGE:
		return (in + out) / 2;
	default:
		return in;
	}
}

static void fill_xavier(const struct fill *x)
{
	const double scale = sqrt(3.0 / fan(x));

	draw_uniform(x, -scale, scale);
}

static void fill_msra(const struct fill *x)
{
	draw_gaussian(x, 0, sqrt(2.0 / fan(x)));
}

/* The weights that make a Deconvolution interpolate between pixels. */
static void fill_bilinear(const struct fill *x)
{
	const int64_t w = x->shape->d[3], h = x->shape->d[2];
	const double f = ceil((double)w / 2.0), c = (double)(w - 1) / (2 * f);

	for (int64_t i = 0; i < x->count; i++) {
		const double u = (double)(i % w), v = (double)((i / w) % h);

		x->data[i] = (real)((1 - fabs(u / f - c)) * (1 - fabs(v / f - c)));
	}
}

/* The last two axes are matrices: value on their diagonals, 0 elsewhere. Not of BVLC Caffe: what MultiStageMeanfield starts from. */
static void fill_diagonal(const struct fill *x)
{
	const int64_t w = x->shape->d[x->shape->n - 1], h = x->shape->d[x->shape->n - 2];

	for (int64_t i = 0; i < x->count; i++)
		x->data[i] = i % w == i / w % h ? (real)x->p->value : 0;
}

static const struct filler {
	const char *name;
	void (*fill)(const struct fill *x);
	int axes; /* the fewest (bilinear: exactly) that it needs */
	bool sparse;
} fillers[] = {
	{ "constant", fill_constant, 0, false }, { "uniform", fill_uniform, 0, false },
	{ "gaussian", fill_gaussian, 0, true },	 { "positive_unitball", fill_unitball, 1, false },
	{ "xavier", fill_xavier, 1, false },	 { "msra", fill_msra, 1, false },
	{ "bilinear", fill_bilinear, 4, false }, { "diagonal", fill_diagonal, 2, false },
};

static const struct filler *filler_find(const char *name)
{
	for (size_t i = 0; i < MOKA_COUNT(fillers); i++)
		if (!strcmp(fillers[i].name, name))
			return &fillers[i];
	return NULL;
}

static const char *problem_unknown(const char *type, char *buf, size_t size)
{
	struct moka_nearest near = { 0 };

	for (size_t i = 0; i < MOKA_COUNT(fillers); i++)
		moka_nearest_try(&near, type, fillers[i].name);
	if (near.best)
		snprintf(buf, size, "there is no filler '%.60s'; did you mean '%s'?", type, near.best);
	else
		snprintf(
			buf, size,
			"there is no filler '%.60s', only constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear and diagonal",
			type);
	return buf;
}

static const char *problem_bilinear(const struct moka_shape *s, char *buf, size_t size)
{
	char text[MOKA_SHAPE_TEXT];

	if (s->n < 0)
		return NULL;
	moka_shape_text(s, text, sizeof(text));
	if (s->n != 4)
		snprintf(buf, size, "the bilinear filler fills weights of 4 axes, and these are %s", text);
	else if (s->d[2] >= 0 && s->d[3] >= 0 && s->d[2] != s->d[3])
		snprintf(buf, size, "the bilinear filler needs a square kernel, and the weights are %s", text);
	else
		return NULL;
	return buf;
}

const char *moka_fill_problem(const struct moka_filler_param *p, const struct moka_shape *shape, char *buf, size_t size)
{
	const struct filler *x = p ? filler_find(p->type) : NULL;

	if (!p)
		return NULL;
	if (!x)
		return problem_unknown(p->type, buf, size);
	if (p->sparse < -1 || (p->sparse != -1 && !x->sparse)) {
		snprintf(
			buf, size,
			"sparse: %d does not go with the filler '%s'; it takes a gaussian one, and a count of 0 or more",
			(int)p->sparse, x->name);
		return buf;
	}
	if (p->sparse != -1 && shape->n == 0) {
		snprintf(buf, size, "a sparse filler needs at least one axis, and a scalar is to be filled");
		return buf;
	}
	if (x->fill == fill_bilinear)
		return problem_bilinear(shape, buf, size);
	if (shape->n >= 0 && shape->n < x->axes) {
		snprintf(buf, size, "the filler '%s' needs at least one axis, and a scalar is to be filled", x->name);
		return buf;
	}
	return NULL;
}

enum moka_status moka_fill(const struct moka_filler_param *p, const struct moka_shape *shape, real *data,
			   struct moka_rng *rng, struct moka_error *err)
{
	const struct fill x = { p, shape, moka_shape_count(shape), data, rng };
	char buf[256];
	const char *problem = moka_fill_problem(p, shape, buf, sizeof(buf));

	if (problem)
		return moka_fail(err, MOKA_ERR_MODEL, "%s", problem);
	if (x.count <= 0)
		return MOKA_OK;
	if (!p)
		moka_set(x.count, 0, data);
	else
		filler_find(p->type)->fill(&x);
	return MOKA_OK;
}
