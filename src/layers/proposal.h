/*
 * proposal.h - region proposals, as the layer Proposal and Faster R-CNN's Python layer of that name make them (proposal.c).
 */
#ifndef MOKA_PROPOSAL_H
#define MOKA_PROPOSAL_H

#include "boxes.h"

#define MOKA__PROPOSAL_RATIOS 64 /* most that are taken, of ratios and of scales */

struct moka__proposal {
	/* settings */
	double feat_stride, base_size, min_size, nms_thresh;
	int64_t pre_nms, post_nms; /* boxes looked at; boxes kept of an image */
	int n_ratios, n_scales;
	double ratio[MOKA__PROPOSAL_RATIOS], scale[MOKA__PROPOSAL_RATIOS];
	/* set by moka__proposal_shape() */
	int64_t anchors, num, h, w, info; /* info: values that the last bottom has of an image */
	struct moka__box *anchor;
};

enum moka_status moka__proposal_shape(struct moka_layer *l, struct moka_findings *f, struct moka__proposal *v);
enum moka_status moka__proposal_forward(const struct moka_layer *l, struct moka_call *c,
					const struct moka__proposal *v);

#endif
