/*
 * ContrastiveLoss, for pairs (a, b) that are similar (y = 1) or not (y = 0): half the mean of d^2 for similar pairs and of
 * max(margin - d, 0)^2 for the others, d the distance of a and b (Hadsell, Chopra, LeCun 2006). legacy_version, kept for
 * models that were trained with it, takes max(margin - d^2, 0) for the others.
 *
 * As in BVLC Caffe the gradient of dissimilar pairs divides by d + 1e-4, which keeps it finite at d = 0.
 */
#include "loss.h"

#include <tgmath.h>

struct contrastive_param {
	float margin;
	bool legacy_version;
};

/* clang-format off */
static const struct moka_field contrastive_fields[] = {
	MOKA_F_FLOAT(struct contrastive_param, margin, 1, 1, "the distance that dissimilar pairs should have at least"),
	MOKA_F_BOOL(struct contrastive_param, legacy_version, 2, 0,
		    "margin - d^2 instead of (margin - d)^2, for old models"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message contrastive_message = { "ContrastiveLossParameter", contrastive_fields,
							 sizeof(struct contrastive_param) };

/* Values behind the axis `from`; 1 where there are none. */
static int64_t behind(const struct moka_shape *s, int from)
{
	return s->n < 0 ? -1 : moka_shape_count_range(s, MOKA_MIN(from, s->n), s->n);
}

static enum moka_status loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape, *y = &l->bottom[2].shape;
	char text[2][MOKA_SHAPE_TEXT];

	MOKA_TRY(moka__loss_shape(l, f));
	for (int i = 0; i < 2; i++)
		if (behind(&l->bottom[i].shape, 2) > 1)
			return moka_layer_bad_bottom(
				l, f, "shape-mismatch", i, "bottom '%s' is %s, but one vector a sample is wanted (NxC)",
				l->bottom[i].name, moka_shape_text(&l->bottom[i].shape, text[0], sizeof(text[0])));
	if (behind(a, 1) >= 0 && behind(b, 1) >= 0 && behind(a, 1) != behind(b, 1))
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"bottom '%s' is %s and bottom '%s' is %s: vectors of one length are wanted", l->bottom[0].name,
			moka_shape_text(a, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(b, text[1], sizeof(text[1])));
	if (behind(y, 1) > 1 ||
	    (a->n > 0 && a->d[0] >= 0 && moka_shape_count(y) >= 0 && moka_shape_count(y) != a->d[0]))
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 2,
			"bottom '%s' is %s, but one number a pair is wanted, 1 for similar, 0 for not",
			l->bottom[2].name, moka_shape_text(y, text[0], sizeof(text[0])));
	return MOKA_OK;
}

static double squared_distance(const struct moka_call *c, int64_t i, int64_t dim)
{
	const real *a = c->bottom[0].data + i * dim, *b = c->bottom[1].data + i * dim;
	double sum = 0;

	for (int64_t k = 0; k < dim; k++) {
		double d = (double)(a[k] - b[k]);
		sum += d * d;
	}
	return sum;
}

/* As a whole number: 0.5 is not similar. */
static bool similar(const struct moka_call *c, int64_t i)
{
	real y = c->bottom[2].data[i];

	return y >= 1 || y <= -1;
}

static enum moka_status loss_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct contrastive_param *p = l->param;
	const int64_t num = l->bottom[0].shape.d[0], dim = behind(&l->bottom[0].shape, 1);
	double sum = 0;

	for (int64_t i = 0; i < num; i++) {
		double d2 = squared_distance(c, i, dim), margin = (double)p->margin;
		double rest = p->legacy_version ? margin - d2 : margin - sqrt(d2);

		if (similar(c, i))
			sum += d2;
		else if (rest > 0)
			sum += p->legacy_version ? rest : rest * rest;
	}
	c->top[0].data[0] = (real)(sum / (double)MOKA_MAX(num, 1) / 2);
	return MOKA_OK;
}

/* dL/da of pair i is factor * (a - b), dL/db the negative. */
static double pair_factor(const struct contrastive_param *p, const struct moka_call *c, int64_t i, int64_t dim)
{
	double d2, d, margin = (double)p->margin;

	if (similar(c, i))
		return 1;
	d2 = squared_distance(c, i, dim);
	if (p->legacy_version)
		return margin - d2 > 0 ? -1 : 0;
	d = sqrt(d2);
	return margin - d > 0 ? -(margin - d) / (d + 1e-4) : 0;
}

static enum moka_status loss_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t num = l->bottom[0].shape.d[0], dim = behind(&l->bottom[0].shape, 1);
	const double weight = (double)moka__loss_weight(c) / (double)MOKA_MAX(num, 1);

	if (!c->bottom[0].diff && !c->bottom[1].diff)
		return MOKA_OK;
	for (int64_t i = 0; i < num; i++) {
		const real factor = (real)(weight * pair_factor(l->param, c, i, dim));
		const real *a = c->bottom[0].data + i * dim, *b = c->bottom[1].data + i * dim;

		for (int64_t k = 0; k < dim; k++) {
			real g = factor * (a[k] - b[k]);

			if (c->bottom[0].diff)
				c->bottom[0].diff[i * dim + k] = g;
			if (c->bottom[1].diff)
				c->bottom[1].diff[i * dim + k] = -g;
		}
	}
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_contrastive_loss = {
	.schema = { "ContrastiveLoss", "contrastive_loss_param", 105, 40, &contrastive_message, "CONTRASTIVE_LOSS", 37,
		    NULL },
	.doc = "pulls similar pairs together and pushes others apart up to a margin",
	.min_bottom = 3,
	.max_bottom = 3,
	.min_top = 1,
	.max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 2,
	.shape = loss_shape,
	.forward = loss_forward,
	.backward = loss_backward,
};
