/*
 * CReLU: the positive and the negative side of each value as two channels: top = [max(x, 0), max(-x, 0)].
 *
 *     bottom (N, C, inner...)   top (N, 2C, inner...)
 *
 * The forks that have it compute item by item as if the batch were one item: for N > 1 they put all of
 * max(x, 0) before all of max(-x, 0), which mixes the samples. Here each sample keeps its own channels, as the paper has it
 * (Shang et al., 2016); for one sample, and in shape, it is the same.
 */
#include "layer.h"

static enum moka_status crelu_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka_shape s = l->bottom[0].shape;

	if (s.n >= 0 && s.n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "'%s' has no channels: it has %d ax%cs, 2 or more are needed",
					     l->bottom[0].name, s.n, s.n == 1 ? 'i' : 'e');
	if (s.n > 0)
		s.d[1] = moka_layer_product(2, (int64_t[]){ 2, s.d[1] });
	l->top[0].shape = s;
	return MOKA_OK;
}

struct crelu_job {
	int64_t item; /* values of one sample of the bottom */
	const real *x, *dy;
	real *out;
};

static void crelu_range(void *arg, int64_t begin, int64_t end)
{
	const struct crelu_job *j = arg;

	for (int64_t i = begin; i < end; i++) {
		real *y = j->out + i / j->item * 2 * j->item + i % j->item;

		y[0] = j->x[i] > 0 ? j->x[i] : 0;
		y[j->item] = j->x[i] < 0 ? -j->x[i] : 0;
	}
}

static struct crelu_job crelu_job(const struct moka_layer *l, const struct moka_call *c)
{
	const struct moka_shape *s = &l->bottom[0].shape;

	return (struct crelu_job){ moka_shape_count_range(s, 1, s->n), c->bottom[0].data, c->top[0].diff, NULL };
}

static enum moka_status crelu_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct crelu_job j = crelu_job(l, c);

	j.out = c->top[0].data;
	moka_parallel(c->pool, crelu_range, &j, c->bottom[0].count, 16384);
	return MOKA_OK;
}

static void crelu_gradient_range(void *arg, int64_t begin, int64_t end)
{
	const struct crelu_job *j = arg;

	for (int64_t i = begin; i < end; i++) {
		const real *dy = j->dy + i / j->item * 2 * j->item + i % j->item;

		j->out[i] = j->x[i] > 0 ? dy[0] : j->x[i] < 0 ? -dy[j->item] : 0;
	}
}

static enum moka_status crelu_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct crelu_job j = crelu_job(l, c);

	j.out = c->bottom[0].diff;
	if (j.out && j.dy)
		moka_parallel(c->pool, crelu_gradient_range, &j, c->bottom[0].count, 16384);
	else if (j.out)
		moka_set(c->bottom[0].count, 0, j.out);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_crelu = {
	.schema = { "CReLU", NULL, 0, 0, NULL, NULL, 0, "winggan/caffe, Cambricon" },
	.doc = "keeps both sides of each value: max(x, 0) and max(-x, 0) as twice the channels",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = crelu_shape, .forward = crelu_forward, .backward = crelu_backward,
};
/* clang-format on */
