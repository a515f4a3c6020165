/*
 * PReLU: y = x for x > 0, slope * x otherwise; the slope is learned, one for each channel or one for all.
 *
 * Backward reads the input (in place a copy is kept) and, for the slope, sums dy * x over the negative values: per
 * sample and channel into scratch, then over the samples in order, whatever the number of threads.
 */
#include "neuron.h"
#include "onnx.h"

struct prelu_param {
	const struct moka_filler_param *filler;
	bool channel_shared;
};

/* clang-format off */
static const struct moka_field prelu_fields[] = {
	MOKA_F_MSG(struct prelu_param, filler, 1, &moka_filler_message,
		   "first values of the slopes; 0.25 where not given"),
	MOKA_F_BOOL(struct prelu_param, channel_shared, 2, 0, "one slope for all channels"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message prelu_message = { "PReLUParameter", prelu_fields, sizeof(struct prelu_param) };

static const struct moka_filler_param quarter = {
	.type = "constant", .value = 0.25f, .max = 1, .std = 1, .sparse = -1
};

/* Planes, (sample, channel) pairs, of `dim` values. */
struct prelu_job {
	bool shared;
	int64_t channels, dim;
	const real *x, *dy, *slope;
	real *out;
	double *sums; /* per plane */
};

static struct prelu_job prelu_job(const struct moka_layer *l, const struct moka_call *c)
{
	const struct prelu_param *p = l->param;
	const struct moka_shape *b = &l->bottom[0].shape;

	return (struct prelu_job){ .shared = p->channel_shared,
				   .channels = b->d[1],
				   .dim = moka_shape_count_range(b, 2, b->n),
				   .slope = c->param[0].data };
}

static int64_t prelu_planes(const struct moka_layer *l)
{
	return moka_shape_count_range(&l->bottom[0].shape, 0, 2);
}

static enum moka_status prelu_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct prelu_param *p = l->param;
	const struct moka_shape *b = &l->bottom[0].shape;
	struct moka_shape slope =
		p->channel_shared ? moka_shape_make(0) : moka_shape_make(1, b->n > 1 ? b->d[1] : (int64_t)-1);
	char text[MOKA_SHAPE_TEXT];

	MOKA_TRY(moka_shape_same(l, f));
	MOKA_TRY(moka_layer_filled(l, f, "slope", slope, "filler", p->filler ? p->filler : &quarter));
	if (b->n < 0)
		return MOKA_OK;
	if (b->n < 2)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0,
					     "bottom '%s' is %s, but PReLU wants a batch and channels (2 axes or more)",
					     l->bottom[0].name, moka_shape_text(b, text, sizeof(text)));
	moka__neuron_keep(l);
	l->scratch_bytes = moka_layer_bytes(prelu_planes(l), sizeof(double));
	return MOKA_OK;
}

static int64_t prelu_tile(int64_t dim)
{
	return dim > 0 ? MOKA_MAX(MOKA__PIECE / dim, 1) : MOKA__PIECE;
}

static void prelu_planes_range(void *arg, int64_t begin, int64_t end)
{
	const struct prelu_job *j = arg;

	for (int64_t p = begin; p < end; p++) {
		const real slope = j->slope[j->shared ? 0 : p % j->channels];
		const real *x = j->x + p * j->dim;
		real *y = j->out + p * j->dim;

		for (int64_t i = 0; i < j->dim; i++)
			y[i] = x[i] > 0 ? x[i] : slope * x[i];
	}
}

static enum moka_status prelu_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct prelu_job j = prelu_job(l, c);

	j.x = c->bottom[0].data;
	j.out = c->top[0].data;
	moka__neuron_save(l, c);
	moka_parallel(c->pool, prelu_planes_range, &j, prelu_planes(l), prelu_tile(j.dim));
	return MOKA_OK;
}

static void prelu_sum_range(void *arg, int64_t begin, int64_t end)
{
	const struct prelu_job *j = arg;

	for (int64_t p = begin; p < end; p++) {
		const real *x = j->x + p * j->dim, *dy = j->dy + p * j->dim;
		double sum = 0;

		for (int64_t i = 0; i < j->dim; i++)
			sum += x[i] <= 0 ? (double)(dy[i] * x[i]) : 0;
		j->sums[p] = sum;
	}
}

static void prelu_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct prelu_job *j = arg;

	for (int64_t p = begin; p < end; p++) {
		const real slope = j->slope[j->shared ? 0 : p % j->channels];
		const real *x = j->x + p * j->dim, *dy = j->dy + p * j->dim;
		real *dx = j->out + p * j->dim;

		for (int64_t i = 0; i < j->dim; i++)
			dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
	}
}

/* Adds the planes' sums to the slopes' gradient. */
static void prelu_add_sums(const struct prelu_job *j, int64_t planes, real *diff)
{
	const int64_t slopes = j->shared ? 1 : j->channels, step = j->shared ? 1 : j->channels;

	for (int64_t s = 0; s < slopes; s++) {
		double sum = 0;

		for (int64_t p = s; p < planes; p += step)
			sum += j->sums[p];
		diff[s] += (real)sum;
	}
}

static enum moka_status prelu_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct prelu_job j = prelu_job(l, c);
	const int64_t planes = prelu_planes(l), tile = prelu_tile(j.dim);

	j.x = moka__neuron_input(l, c);
	j.dy = c->top[0].diff;
	j.out = c->bottom[0].diff;
	j.sums = c->scratch;
	if (!j.dy) {
		if (j.out)
			moka_set(c->bottom[0].count, 0, j.out);
		return MOKA_OK;
	}
	if (c->param[0].diff) { /* before dx, which in place overwrites dy */
		moka_parallel(c->pool, prelu_sum_range, &j, planes, tile);
		prelu_add_sums(&j, planes, c->param[0].diff);
	}
	if (j.out)
		moka_parallel(c->pool, prelu_gradient_range, &j, planes, tile);
	return MOKA_OK;
}

static enum moka_status prelu_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct moka_shape *slope = &l->params[0].shape;

	moka_onnx_node(o, "PRelu", o->top[0], o->bottom[0],
		       moka_onnx_param_as(o, 0, moka_onnx_stretch(slope, 1, l->bottom[0].shape.n)), NULL);
	return o->status;
}

const struct moka_layer_type moka_layer_prelu = {
	.schema = { "PReLU", "prelu_param", 131, 0, &prelu_message, NULL, 0, NULL },
	.doc = "keeps positive values, scales negative ones by a learned slope",
	.min_bottom = 1,
	.max_bottom = 1,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_INPLACE | MOKA_PARTIAL,
	.shape = prelu_shape,
	.forward = prelu_forward,
	.backward = prelu_backward,
	.onnx = prelu_onnx,
};
