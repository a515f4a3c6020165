/*
 * SmoothL1LossOHEM (R-FCN): SmoothL1Loss, divided as loss_param says, with what each place costs as a second top, by which
 * BoxAnnotatorOHEM picks the hard ones.
 *
 *     bottoms: predictions, targets (N, C, H, W), and maybe weights; tops: scalar, (N, 1, H, W)
 *
 * FULL and VALID divide by N * H * W. The second top takes no gradient.
 */
#include "boxes.h"
#include "smooth_l1.h"

static enum moka_status smooth_ohem_shape(struct moka_layer *l, struct moka_findings *f)
{
	int64_t d[4];

	moka__legacy_dims(&l->bottom[0].shape, d);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(4, d[0], (int64_t)1, d[2], d[3]);
	return moka__smooth_l1_shape(l, f);
}

static real divisor(const struct moka_layer *l)
{
	int64_t d[4];

	moka__legacy_dims(&l->bottom[0].shape, d);
	return moka_loss_normalizer(l, d[0], d[2] * d[3], -1);
}

static enum moka_status smooth_ohem_forward(const struct moka_layer *l, struct moka_call *c)
{
	int64_t d[4];

	moka__smooth_l1_forward(l, c, 1, divisor(l));
	moka__legacy_dims(&l->bottom[0].shape, d);
	for (int64_t i = 0; l->n_top > 1 && i < c->top[1].count; i++) {
		const int64_t inner = d[2] * d[3];
		double sum = 0;

		for (int64_t k = 0; k < d[1]; k++)
			sum += (double)moka__smooth_l1_at(c, l->n_bottom, 1,
							  (i / inner * d[1] + k) * inner + i % inner);
		c->top[1].data[i] = (real)sum;
	}
	return MOKA_OK;
}

static enum moka_status smooth_ohem_backward(const struct moka_layer *l, struct moka_call *c)
{
	moka__smooth_l1_backward(l, c, 1, divisor(l));
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_smooth_l1_loss_ohem = {
	.schema = { "SmoothL1LossOHEM", NULL, 0, 0, NULL, NULL, 0, "R-FCN, Intel" },
	.doc = "SmoothL1Loss that also tells what each place costs",
	.min_bottom = 2, .max_bottom = 3, .min_top = 1, .max_top = 2,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 2,
	.shape = smooth_ohem_shape, .forward = smooth_ohem_forward, .backward = smooth_ohem_backward,
};
/* clang-format on */
