/*
 * MTCNNEuclideanLoss (MTCNN's training in C++): squared distance of two blobs, over the samples that count.
 *
 *     bottoms: what was found, what it should be, both (N, D), and, with ignore_label, the labels (N)
 *     top:     with labels: half the sum over the samples whose label is not ignore_label; without: that, divided by N
 *
 * The gradient is divided by N in both cases, as the original does; so with labels it is not that of the loss shown but an N-th of it.
 */
#include "loss.h"

/* NULL where every sample counts. */
static const real *labels_of(const struct moka_layer *l, const struct moka_call *c)
{
	return l->n_bottom > 2 ? c->bottom[2].data : NULL;
}

static enum moka_status mtcnn_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	const bool ignores = l->loss_sub && moka_has(l->loss_sub, "ignore_label");
	char text[2][MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	if (ignores != (l->n_bottom > 2))
		return moka_layer_bad(l, f, "wrong-bottoms", NULL,
				      ignores ? "loss_param says ignore_label, and no third bottom gives the labels"
					      : "the labels '%s' are of no use: loss_param says no ignore_label",
				      l->bottom[l->n_bottom - 1].name);
	const int64_t na = moka_shape_count_range(a, 1, a->n), nb = moka_shape_count_range(b, 1, b->n);
	if (na >= 0 && nb >= 0 && na != nb)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"bottom '%s' is %s and bottom '%s' is %s: %lld values a sample against %lld", l->bottom[0].name,
			moka_shape_text(a, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(b, text[1], sizeof(text[1])), (long long)na, (long long)nb);
	if (ignores && a->n > 0 && a->d[0] >= 0 && moka_shape_known(&l->bottom[2].shape) &&
	    moka_shape_count(&l->bottom[2].shape) != a->d[0])
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 2, "'%s' has %lld labels for %lld samples",
					     l->bottom[2].name, (long long)moka_shape_count(&l->bottom[2].shape),
					     (long long)a->d[0]);
	return MOKA_OK;
}

static bool counts(const struct moka_layer *l, const real *label, int64_t i)
{
	return !label || label[i] != (real)l->loss->ignore_label;
}

static enum moka_status mtcnn_forward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t n = MOKA_MAX(l->bottom[0].shape.d[0], 1), size = c->bottom[0].count / n;
	const real *a = c->bottom[0].data, *b = c->bottom[1].data, *label = labels_of(l, c);
	double sum = 0;

	for (int64_t i = 0; i < c->bottom[0].count; i++) {
		const double d = (double)(a[i] - b[i]);

		sum += counts(l, label, i / size) ? d * d : 0;
	}
	c->top[0].data[0] = (real)(sum / 2 / (label ? 1 : (double)n));
	return MOKA_OK;
}

static enum moka_status mtcnn_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t n = MOKA_MAX(l->bottom[0].shape.d[0], 1), size = c->bottom[0].count / n;
	const real *a = c->bottom[0].data, *b = c->bottom[1].data, *label = labels_of(l, c);
	const real scale = moka__loss_weight(c) / (real)n;

	for (int k = 0; k < 2; k++)
		for (int64_t i = 0; c->bottom[k].diff && i < c->bottom[k].count; i++)
			c->bottom[k].diff[i] = counts(l, label, i / size) ? (k ? -scale : scale) * (a[i] - b[i]) : 0;
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_mtcnn_euclidean_loss = {
	.schema = { "MTCNNEuclideanLoss", NULL, 0, 0, NULL, NULL, 0, "MTCNN" },
	.doc = "half the squared distance of two blobs, over the samples whose label counts",
	.min_bottom = 2, .max_bottom = 3, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL, .no_gradient = 1 << 2,
	.shape = mtcnn_shape, .forward = mtcnn_forward, .backward = mtcnn_backward,
};
/* clang-format on */
