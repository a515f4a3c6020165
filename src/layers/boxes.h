/*
 * boxes.h - rectangles, as the detection layers share them: size and overlap, offsets to boxes and back, ranking,
 * suppression of what overlaps, regions of interest read with their range checked.
 *
 * Used by layer files only.
 */
#ifndef MOKA_BOXES_H
#define MOKA_BOXES_H

#include "layer.h"

struct moka__box {
	real x1, y1, x2, y2;
};

/* What "width" means: normalised boxes have x2 - x1; boxes in whole pixels hold both ends, x2 - x1 + 1. */
enum moka__box_unit { MOKA__BOX_NORMALISED, MOKA__BOX_PIXELS };

/* 0 where an end lies before its start. */
real moka__box_size(struct moka__box b, enum moka__box_unit unit);
/* Intersection over union; 0 where they don't meet. */
real moka__box_overlap(struct moka__box a, struct moka__box b, enum moka__box_unit unit);

/* ---- SSD's codes: how four numbers move a prior ---------------------------------------------------- */

enum moka__box_code { MOKA__CORNER = 1, MOKA__CENTER_SIZE = 2, MOKA__CORNER_SIZE = 3 };
extern const struct moka_enum_value moka__box_code_values[];

/* prior: 4 values; variance: 4 values, or NULL where the numbers aren't scaled by it. */
struct moka__box moka__box_decode(enum moka__box_code code, const real *prior, const real *variance, const real *loc);
/* The inverse. For CENTER_SIZE the box must have a size. */
void moka__box_encode(enum moka__box_code code, const real *prior, const real *variance, struct moka__box box,
		      real *loc);
/*
 * Priors as PriorBox makes them, (2, n x 4): boxes and variances. CENTER_SIZE and CORNER_SIZE divide by a prior's
 * size: one without is an error of bottom `which`.
 */
enum moka_status moka__priors_check(const struct moka_layer *l, struct moka_call *c, int which, int64_t n,
				    enum moka__box_code code);

/* What nms_param holds. */
struct moka__nms_param {
	float nms_threshold;
	int32_t top_k;
	float eta;
};
extern const struct moka_message moka__nms_message;
enum moka_status moka__nms_check(const struct moka_layer *l, struct moka_findings *f, const struct moka__nms_param *p);

/* ResizeParameter: what SSD does to a picture, and DetectionEvaluate undoes. */
struct moka__resize_param {
	float prob;
	int resize_mode;
	uint32_t height, width, height_scale, width_scale;
};
extern const struct moka_message moka__resize_message;

/* ---- ranking and suppression ------------------------------------------------------------------------- */

struct moka__ranked {
	real score;
	int32_t index;
};

/* Those of n scores (stride apart) above the threshold, best first, the first of equal ones first; at most top_k (-1: all). */
int64_t moka__box_rank(const real *score, int64_t n, int64_t stride, real threshold, int64_t top_k,
		       struct moka__ranked *out);
/* Sorts by score, or by index. */
void moka__rank_sort(struct moka__ranked *r, int64_t n);
void moka__rank_sort_index(struct moka__ranked *r, int64_t n);
/*
 * Greedy suppression: goes through r in order and keeps what overlaps none of the kept by more than threshold. eta < 1: a
 * threshold above 0.5 is multiplied by it at every box kept. Stops at `most` (-1: never). Kept ones move to the front; returns their number.
 */
int64_t moka__nms(const struct moka__box *box, struct moka__ranked *r, int64_t n, real threshold, real eta,
		  int64_t most, enum moka__box_unit unit);

/* ---- regions of interest: rows of (image, x1, y1, x2, y2), in pixels of the picture ---------------------- */

/* Bottom `which` must hold rows of five; *rows: how many, -1 unknown. */
enum moka_status moka__rois_shape(const struct moka_layer *l, struct moka_findings *f, int which, int64_t *rows);
/*
 * Row n: *image and *box (times scale). An image that the batch doesn't have, a coordinate that is no number or out of all
 * proportion, a region that lies wholly outside the picture: an error that says which. images, h, w: bottom 0's.
 */
enum moka_status moka__roi_read(const struct moka_layer *l, struct moka_call *c, int which, int64_t n, real scale,
				int64_t *image, struct moka__box *box);

/* ---- small things ---------------------------------------------------------------------------------------- */

/* (N, C, H, W) of a blob with up to 4 axes, absent ones 1, as old Caffe saw it; -1 where unknown. */
void moka__legacy_dims(const struct moka_shape *s, int64_t d[4]);
/* A whole number out of a blob; false where the value is none of [low, high]. Cut towards zero. */
bool moka__whole(real v, int64_t low, int64_t high, int64_t *out);

#endif
