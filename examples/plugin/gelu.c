/*
 * gelu.c - a layer of one's own: GELU, y = x * P(a standard normal number is below x), as a plugin.
 *
 * One file holds all of it: the table of its prototxt fields, its shape, forward, backward. `approximate: true` takes the
 * form with tanh that BERT and GPT were trained with; the plain one uses erf.
 *
 * Backward wants x, which a layer working in place would have overwritten: so it does not say MOKA_INPLACE, and the
 * net gives its top memory of its own even where both have one name.
 */
#include <moka/layer.h>

#include <tgmath.h>

struct gelu_param {
	bool approximate;
	float scale;
};

/* clang-format off */
static const struct moka_field gelu_fields[] = {
	MOKA_F_BOOL(struct gelu_param, approximate, 1, 0, "the form with tanh instead of erf"),
	MOKA_F_FLOAT(struct gelu_param, scale, 2, 1, "the input is multiplied by this first; above 0"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message gelu_message = { "GeluParameter", gelu_fields, sizeof(struct gelu_param) };

/* sqrt(2 / pi) and the cubic's factor of the approximate form; 1 / sqrt(2) and 1 / sqrt(2 pi) of the exact one. */
#define ROOT_2_PI ((real)0.79788456080286535588)
#define CUBIC ((real)0.044715)
#define ROOT_HALF ((real)0.70710678118654752440)
#define DENSITY_0 ((real)0.39894228040143267794)

static enum moka_status gelu_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct gelu_param *p = l->param;

	if (!(p->scale > 0))
		return moka_layer_bad(l, f, "bad-setting", "scale", "scale %g should be above 0", (double)p->scale);
	return moka_shape_same(l, f);
}

/* A piece of the work: the pool calls it for ranges of elements, on any thread. */
struct job {
	const struct gelu_param *p;
	const real *x, *dy;
	real *y, *dx;
};

static void forward_range(void *arg, int64_t begin, int64_t end)
{
	const struct job *j = arg;
	const real scale = (real)j->p->scale;

	for (int64_t i = begin; i < end; i++) {
		const real x = scale * j->x[i];

		j->y[i] = j->p->approximate ? x / 2 * (1 + tanh(ROOT_2_PI * (x + CUBIC * x * x * x)))
					    : x / 2 * (1 + erf(x * ROOT_HALF));
	}
}

/* d(x P(x))/dx = P(x) + x p(x); the approximate form's is that of its own formula. */
static real slope(real x, bool approximate)
{
	if (!approximate)
		return (1 + erf(x * ROOT_HALF)) / 2 + x * DENSITY_0 * exp(-x * x / 2);

	const real t = tanh(ROOT_2_PI * (x + CUBIC * x * x * x));

	return (1 + t) / 2 + x / 2 * (1 - t * t) * ROOT_2_PI * (1 + 3 * CUBIC * x * x);
}

static void backward_range(void *arg, int64_t begin, int64_t end)
{
	const struct job *j = arg;
	const real scale = (real)j->p->scale;

	for (int64_t i = begin; i < end; i++)
		j->dx[i] = j->dy[i] * scale * slope(scale * j->x[i], j->p->approximate);
}

static enum moka_status gelu_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct job j = { .p = l->param, .x = c->bottom[0].data, .y = c->top[0].data };

	moka_parallel(c->pool, forward_range, &j, c->top[0].count, 4096);
	return MOKA_OK;
}

static enum moka_status gelu_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct job j = { .p = l->param, .x = c->bottom[0].data, .dy = c->top[0].diff, .dx = c->bottom[0].diff };

	if (j.dx) /* NULL: nobody asks for this gradient */
		moka_parallel(c->pool, backward_range, &j, c->bottom[0].count, 4096);
	return MOKA_OK;
}

MOKA_PLUGIN_LAYER = {
	.schema = { "Gelu", "gelu_param", 9001, 0, &gelu_message, NULL, 0, "examples/plugin" },
	.doc = "Gaussian error linear unit: the input times the probability that a normal number is below it",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_ELEMENTWISE,
	.shape = gelu_shape,
	.forward = gelu_forward,
	.backward = gelu_backward,
};
