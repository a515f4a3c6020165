/*
 * CenterLoss (caffe-face, Wen et al. 2016): half the mean squared distance of each sample to the centre of its class.
 *
 *     bottoms  features (M, K...)   labels (M)     param  centres (num_output, K)     top  a number
 *
 * The centres' gradient is not the loss's: a centre moves by the mean of its samples' differences, as if there were one more
 * (sum of (centre - sample) / (1 + how many)), whatever the loss weight: that is the published method.
 */
#include "loss.h"

struct center_param {
	uint32_t num_output;
	const struct moka_filler_param *center_filler;
	int32_t axis;
};

/* clang-format off */
#define P struct center_param
static const struct moka_field center_fields[] = {
	MOKA_F_UINT32(P, num_output, 1, 0, "number of classes, each of which has a centre"),
	MOKA_F_MSG(P, center_filler, 2, &moka_filler_message, "first values of the centres"),
	MOKA_F_INT32(P, axis, 3, 1, "first of the axes that make a feature vector; negative counts from the end"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message center_message = { "CenterLossParameter", center_fields, sizeof(struct center_param) };

struct center {
	int64_t m, k, classes;
};

static enum moka_status center_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct center_param *p = l->param;
	const struct moka_shape *x = &l->bottom[0].shape;
	struct center *v = moka_layer_priv(l, sizeof(*v));
	struct moka__scores s = { -1, -1, 1 };
	int axis;

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (!p->num_output || p->num_output > INT32_MAX)
		return moka_layer_bad(l, f, "missing-setting", "num_output",
				      "num_output, the number of classes, must be at least 1, and is %s",
				      p->num_output ? "too large" : "0 or missing");
	MOKA_TRY(moka__loss_shape(l, f));
	*v = (struct center){ -1, -1, p->num_output };
	if (x->n > 0) {
		axis = moka_layer_axis(l, f, "axis", p->axis, x);
		if (axis < 0)
			return MOKA_ERR_MODEL;
		v->m = s.outer = moka_shape_count_range(x, 0, axis);
		v->k = moka_shape_count_range(x, axis, x->n);
	}
	MOKA_TRY(moka__labels_shape(l, f, &s));
	l->scratch_bytes = moka__loss_bytes(v->m, sizeof(int32_t)) + moka__loss_bytes(v->classes, sizeof(int32_t)) +
			   moka__loss_sum_bytes(v->m, moka__loss_tile(v->k));
	return moka_layer_filled(l, f, "center", moka_shape_make(2, v->classes, v->k), "center_filler",
				 p->center_filler);
}

struct center_job {
	const struct center *v;
	const int32_t *label;
	const real *x, *centers;
	real *dx;
	real scale;
};

static struct center_job center_job(const struct moka_layer *l, const struct moka_call *c)
{
	return (struct center_job){ l->priv, c->scratch, c->bottom[0].data, c->param[0].data, c->bottom[0].diff, 0 };
}

static enum moka_status read_labels(const struct moka_layer *l, struct moka_call *c)
{
	const struct center *v = l->priv;
	const struct moka__labels labels = { v->m, 1, v->classes, NULL, NULL };

	return moka__labels_read(l, c, &labels, c->scratch, NULL);
}

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct center_job *j = arg;
	double sum = 0;

	for (int64_t m = begin; m < end; m++)
		for (int64_t k = 0; k < j->v->k; k++) {
			const double d = (double)j->x[m * j->v->k + k] - (double)j->centers[j->label[m] * j->v->k + k];

			sum += d * d;
		}
	return sum;
}

static enum moka_status center_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct center *v = l->priv;
	const struct center_job j = center_job(l, c);
	char *parts = (char *)c->scratch + moka__loss_bytes(v->m, sizeof(int32_t)) +
		      moka__loss_bytes(v->classes, sizeof(int32_t));
	double sum;

	MOKA_TRY(read_labels(l, c));
	sum = moka__loss_sum(c->pool, loss_part, &j, v->m, moka__loss_tile(v->k), (double *)(void *)parts);
	c->top[0].data[0] = v->m ? (real)(sum / (double)v->m / 2) : 0;
	return MOKA_OK;
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct center_job *j = arg;

	for (int64_t m = begin; m < end; m++)
		for (int64_t k = 0; k < j->v->k; k++)
			j->dx[m * j->v->k + k] =
				j->scale * (j->x[m * j->v->k + k] - j->centers[j->label[m] * j->v->k + k]);
}

static void move_centers(const struct center_job *j, int32_t *counts, real *dcenters)
{
	const struct center *v = j->v;

	for (int64_t i = 0; i < v->classes; i++)
		counts[i] = 0;
	for (int64_t m = 0; m < v->m; m++)
		counts[j->label[m]]++;
	for (int64_t m = 0; m < v->m; m++) {
		const int64_t at = j->label[m] * v->k;
		const real share = 1 / (real)(counts[j->label[m]] + 1);

		for (int64_t k = 0; k < v->k; k++)
			dcenters[at + k] += share * (j->centers[at + k] - j->x[m * v->k + k]);
	}
}

static enum moka_status center_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct center *v = l->priv;
	struct center_job j = center_job(l, c);

	MOKA_TRY(read_labels(l, c));
	if (c->param[0].diff)
		move_centers(&j, (int32_t *)(void *)((char *)c->scratch + moka__loss_bytes(v->m, sizeof(int32_t))),
			     c->param[0].diff);
	j.scale = moka__loss_weight(c) / (real)MOKA_MAX(v->m, 1);
	if (j.dx)
		moka_parallel(c->pool, gradient_piece, &j, v->m, moka__loss_tile(v->k));
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_center_loss = {
	.schema = { "CenterLoss", "center_loss_param", 147, 0, &center_message, NULL, 0, "caffe-face" },
	.doc = "draws the features of a class towards a centre that moves with them",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = center_shape, .forward = center_forward, .backward = center_backward,
};
/* clang-format on */
