/*
 * HingeLoss: one against all. A sample's scores t_k should be above 1 for its label and below -1 for the others:
 * h_k = max(0, 1 + t_k), or max(0, 1 - t_k) for the label; the loss is the sum of h (L1) or of h^2 (L2) over the batch.
 */
#include "loss.h"

enum { L1 = 1, L2 = 2 };

struct hinge_param {
	int norm;
};

static const struct moka_enum_value norm_values[] = { { "L1", L1 }, { "L2", L2 }, { NULL, 0 } };
/* clang-format off */
static const struct moka_field hinge_fields[] = { MOKA_F_ENUM(struct hinge_param, norm, 1, norm_values, L1,
							      "L1 adds up the violations, L2 their squares"),
						  MOKA_F_END };
static const struct moka_message hinge_message = { "HingeLossParameter", hinge_fields, sizeof(struct hinge_param) };

static enum moka_status loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *b = &l->bottom[0].shape, *label = &l->bottom[1].shape;
	char text[MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	if (label->n > 0 && moka_shape_count_range(label, 1, label->n) == 0)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "bottom '%s' is %s, but there must be one label a sample",
					     l->bottom[1].name, moka_shape_text(label, text, sizeof(text)));
	if (b->n < 0)
		return MOKA_OK;
	l->scratch_bytes = moka__loss_bytes(b->d[0], sizeof(int32_t)) +
			   moka__loss_sum_bytes(b->d[0], moka__loss_tile(moka_shape_count_range(b, 1, b->n)));
	return MOKA_OK;
}

struct hinge_job {
	bool squared;
	int64_t dim;
	const real *x;
	const int32_t *label;
	real *dx;
	real scale;
};
/* clang-format on */

static struct hinge_job hinge_job(const struct moka_layer *l, const struct moka_call *c)
{
	const struct hinge_param *p = l->param;
	const struct moka_shape *b = &l->bottom[0].shape;

	return (struct hinge_job){ p->norm == L2,     moka_shape_count_range(b, 1, b->n),
				   c->bottom[0].data, c->scratch,
				   c->bottom[0].diff, 0 };
}

static real hinge(const struct hinge_job *j, int64_t i, int64_t k)
{
	real t = j->x[i * j->dim + k];
	real h = 1 + (j->label[i] == k ? -t : t);

	return h > 0 ? h : 0;
}

static double hinge_part(const void *arg, int64_t begin, int64_t end)
{
	const struct hinge_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++)
		for (int64_t k = 0; k < j->dim; k++) {
			double h = (double)hinge(j, i, k);
			sum += j->squared ? h * h : h;
		}
	return sum;
}

static enum moka_status hinge_forward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t num = l->bottom[0].shape.d[0];
	struct hinge_job j = hinge_job(l, c);
	const struct moka__labels labels = { num, 1, j.dim, NULL, NULL };
	double *parts = (double *)((char *)c->scratch + moka__loss_bytes(num, sizeof(int32_t)));

	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, NULL));
	c->top[0].data[0] = (real)(moka__loss_sum(c->pool, hinge_part, &j, num, moka__loss_tile(j.dim), parts) /
				   (double)MOKA_MAX(num, 1));
	return MOKA_OK;
}

static void hinge_gradient_rows(void *arg, int64_t begin, int64_t end)
{
	const struct hinge_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		for (int64_t k = 0; k < j->dim; k++) {
			real h = hinge(j, i, k), g = j->squared ? 2 * h : (real)(h > 0);
			j->dx[i * j->dim + k] = (j->label[i] == k ? -g : g) * j->scale;
		}
}

static enum moka_status hinge_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t num = l->bottom[0].shape.d[0];
	struct hinge_job j = hinge_job(l, c);
	const struct moka__labels labels = { num, 1, j.dim, NULL, NULL };

	if (!j.dx)
		return MOKA_OK;
	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, NULL));
	j.scale = moka__loss_weight(c) / (real)MOKA_MAX(num, 1);
	moka_parallel(c->pool, hinge_gradient_rows, &j, num, moka__loss_tile(j.dim));
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_hinge_loss = {
	.schema = { "HingeLoss", "hinge_loss_param", 114, 29, &hinge_message, "HINGE_LOSS", 28, NULL },
	.doc = "classification loss with a margin, one class against all others",
	.min_bottom = 2,
	.max_bottom = 2,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = loss_shape,
	.forward = hinge_forward,
	.backward = hinge_backward,
};
