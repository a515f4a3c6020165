/*
 * MTCNNEuclideanLoss (CC4.0): half the squared distance of predictions and targets, over the samples that count.
 *
 *     bottoms  a, b (N, K...) [, label (N)]     top  a number
 *
 * A sample whose label is loss_param's ignore_label costs nothing. As the fork has it, the sum is divided by nothing where
 * ignore_label is given, and by the batch where it is not (then there is no third bottom).
 */
#include "loss.h"

struct mtcnn {
	int64_t n, k;
};

static enum moka_status mtcnn_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	const int64_t count = moka_shape_count(s), other = moka_shape_count(&l->bottom[1].shape);
	struct mtcnn *v = moka_layer_priv(l, sizeof(*v));
	char text[2][MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(moka__loss_shape(l, f));
	*v = (struct mtcnn){ s->n < 0 ? -1 : s->d[0], s->n < 0 ? -1 : moka_shape_count_range(s, 1, s->n) };
	if (count >= 0 && other >= 0 && count != other)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1, "'%s' is %s and '%s' is %s: they must have as many values",
			l->bottom[0].name, moka_shape_text(s, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(&l->bottom[1].shape, text[1], sizeof(text[1])));
	if (!!moka__ignore_label(l) != (l->n_bottom == 3))
		return moka_layer_bad(l, f, "bad-setting", NULL,
				      "loss_param's ignore_label and a third bottom, the labels, go together");
	if (l->n_bottom == 3 && v->n >= 0 && moka_shape_count(&l->bottom[2].shape) >= 0 &&
	    moka_shape_count(&l->bottom[2].shape) != v->n)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 2, "'%s' is %s: each of %lld samples wants a label", l->bottom[2].name,
			moka_shape_text(&l->bottom[2].shape, text[0], sizeof(text[0])), (long long)v->n);
	l->scratch_bytes = moka__loss_sum_bytes(v->n, moka__loss_tile(MOKA_MAX(v->k, 1)));
	return MOKA_OK;
}

struct mtcnn_job {
	const real *a, *b, *label;
	real *out;
	int64_t k;
	real ignore, scale;
};

static bool counts(const struct mtcnn_job *j, int64_t sample)
{
	return !j->label || j->label[sample] != j->ignore;
}

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct mtcnn_job *j = arg;
	double sum = 0;

	for (int64_t n = begin; n < end; n++)
		for (int64_t i = n * j->k; i < (n + 1) * j->k && counts(j, n); i++)
			sum += (double)(j->a[i] - j->b[i]) * (double)(j->a[i] - j->b[i]);
	return sum;
}

static struct mtcnn_job job_of(const struct moka_layer *l, const struct moka_call *c)
{
	const struct mtcnn *v = l->priv;
	const int32_t *ignore = moka__ignore_label(l);

	return (struct mtcnn_job){ .a = c->bottom[0].data,
				   .b = c->bottom[1].data,
				   .label = ignore ? c->bottom[2].data : NULL,
				   .k = v->k,
				   .ignore = ignore ? (real)*ignore : 0,
				   .scale = ignore ? 1 : 1 / (real)MOKA_MAX(v->n, 1) };
}

static enum moka_status mtcnn_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct mtcnn *v = l->priv;
	const struct mtcnn_job j = job_of(l, c);
	const double sum = moka__loss_sum(c->pool, loss_part, &j, v->n, moka__loss_tile(MOKA_MAX(v->k, 1)), c->scratch);

	c->top[0].data[0] = (real)(sum * (double)j.scale / 2);
	return MOKA_OK;
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct mtcnn_job *j = arg;

	for (int64_t n = begin; n < end; n++)
		for (int64_t i = n * j->k; i < (n + 1) * j->k; i++)
			j->out[i] = counts(j, n) ? j->scale * (j->a[i] - j->b[i]) : 0;
}

static enum moka_status mtcnn_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct mtcnn *v = l->priv;
	const real weight = moka__loss_weight(c);

	for (int i = 0; i < 2; i++) {
		struct mtcnn_job j = job_of(l, c);

		j.scale *= i ? -weight : weight;
		j.out = c->bottom[i].diff;
		if (j.out)
			moka_parallel(c->pool, gradient_piece, &j, v->n, moka__loss_tile(MOKA_MAX(v->k, 1)));
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_mtcnn_euclidean_loss = {
	.schema = { "MTCNNEuclideanLoss", NULL, 0, 0, NULL, NULL, 0, "CC4.0" },
	.doc = "regression loss: half the squared distance of two blobs, over the samples whose label counts",
	.min_bottom = 2, .max_bottom = 3, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 2,
	.shape = mtcnn_shape, .forward = mtcnn_forward, .backward = mtcnn_backward,
};
/* clang-format on */
