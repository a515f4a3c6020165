/*
 * LRN_MAP: LRN within a channel, before BVLC's LRN had a norm_region (a fork of the V1 days):
 *
 *     y = x / (1 + alpha / size^2 * sum of x^2 over size x size)^beta
 *
 * The sum sees zeros beyond the plane, and the divisor stays size^2: what LRN's WITHIN_CHANNEL computes.
 */
#include "lrn.h"

/* clang-format off */
#define P struct moka__lrn_param
static const struct moka_field lrn_map_fields[] = {
	MOKA_F_UINT32(P, local_size, 1, 5, "side of the square that is summed over; odd"),
	MOKA_F_FLOAT(P, alpha, 2, 1, "weight of the sum"),
	MOKA_F_FLOAT(P, beta, 3, 0.75, "the power"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message lrn_map_message = { "LRNMapParameter", lrn_map_fields,
						     sizeof(struct moka__lrn_param) };

static enum moka_status lrn_map_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka__lrn_param *p = MOKA_NEW(l->arena, struct moka__lrn_param);

	if (!p)
		return MOKA_ERR_NOMEM;
	*p = *(const struct moka__lrn_param *)l->param;
	p->norm_region = MOKA__WITHIN_CHANNEL;
	l->param = p;
	return moka__lrn_shape(l, f);
}

/* clang-format off */
const struct moka_layer_type moka_layer_lrn_map = {
	.schema = { "LRNMap", "lrn_map_param", 9044, 9044, &lrn_map_message, "LRN_MAP", 9044,
		    "an early fork with LRN_MAP" },
	.doc = "divides each value by a measure of the square around it",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = lrn_map_shape, .forward = moka__lrn_forward, .backward = moka__lrn_backward,
};
/* clang-format on */
