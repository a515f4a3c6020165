/*
 * multibox.h - the two halves of MultiBoxLoss: multibox_match.c decides which priors count and for what, multibox_loss.c adds
 * up and differentiates.
 */
#ifndef MOKA_MULTIBOX_H
#define MOKA_MULTIBOX_H

#include "boxes.h"

enum { MOKA__LOC_L2, MOKA__LOC_SMOOTH_L1 };
enum { MOKA__CONF_SOFTMAX, MOKA__CONF_LOGISTIC };
enum { MOKA__MATCH_BIPARTITE, MOKA__MATCH_PER_PREDICTION };
enum { MOKA__MINE_NONE, MOKA__MINE_MAX_NEGATIVE, MOKA__MINE_HARD_EXAMPLE };

struct moka__multibox_param {
	int loc_loss_type, conf_loss_type, match_type, code_type, mining_type;
	float loc_weight, overlap_threshold, neg_pos_ratio, neg_overlap;
	uint32_t num_classes, background_label_id;
	bool share_location, use_prior_for_matching, use_difficult_gt, encode_variance_in_target,
		map_object_to_agnostic, ignore_cross_boundary_bbox, bp_inside, use_prior_for_nms;
	const struct moka__nms_param *nms_param;
	int32_t sample_size;
};

struct moka__multibox {
	const struct moka__multibox_param *p;
	int64_t num, priors, classes, locs, objects; /* locs: sets of offsets of a prior, 1 or classes */
	bool with_loc, with_conf;
};

/* What a prior is, besides the number (row) of the object that it matched. */
enum { MOKA__UNMATCHED = -1, MOKA__IGNORED = -2, MOKA__NEGATIVE = -3 };

struct moka__multibox_part {
	double loc, conf; /* losses of one image */
	int64_t matches;
};

struct moka__multibox_job {
	const struct moka__multibox *v;
	const real *loc, *conf, *prior, *object;
	int32_t *match; /* (num, locs, priors) */
	/* scratch, of each image: */
	struct moka__multibox_part *part; /* 1 */
	struct moka__box *box;		  /* priors */
	struct moka__ranked *ranked;	  /* priors */
	real *overlap;			  /* priors: the largest with any object */
	struct moka__ranked *best;	  /* objects: its best free prior */
};

static inline int32_t *moka__multibox_at(const struct moka__multibox_job *j, int64_t image, int64_t loc)
{
	return j->match + (image * j->v->locs + loc) * j->v->priors;
}

size_t moka__multibox_scratch(const struct moka__multibox *v);
void moka__multibox_lay_out(struct moka__multibox_job *j, void *scratch);
/* Images and labels of the objects within their ranges; an error that names the row. */
enum moka_status moka__multibox_check_objects(const struct moka_layer *l, struct moka_call *c);
/* Fills the matches of one image. */
void moka__multibox_match(const struct moka__multibox_job *j, int64_t image);
/* Of a matched prior. */
double moka__multibox_loc_loss(const struct moka__multibox_job *j, int64_t image, int64_t loc, int64_t prior);
void moka__multibox_loc_gradient(const struct moka__multibox_job *j, int64_t image, int64_t loc, int64_t prior,
				 real scale, real *dx);
double moka__multibox_softmax_loss(const real *x, int64_t classes, int64_t label);
double moka__multibox_logistic_loss(real x, bool target);

#endif
