/*
 * annotated.h - what SSD's data layer does to a picture and the boxes on it. Private to data/.
 *
 *   annotated.c     the source: records, batches, rows of objects
 *   annotations.c   AnnotatedDatum -> picture and objects; boxes in cut-outs and resized pictures
 *   resample.c      five ways to resize
 *   colours.c       distort_param, noise_param
 */
#ifndef MOKA_DATA_ANNOTATED_H
#define MOKA_DATA_ANNOTATED_H

#include "data/ahead.h"

/* Parts of the picture: 0 is left or top, 1 right or bottom. */
struct moka__rect {
	float x1, y1, x2, y2;
};
struct moka__object {
	int32_t label, instance;
	struct moka__rect box;
	bool difficult;
};
struct moka__annotated {
	const uint8_t *datum; /* view of the record */
	size_t datum_bytes;
	bool has_type;
	int64_t n; /* objects */
};

/* Objects are appended to `objects` (struct moka__object each), or only counted where it is NULL. */
enum moka_status moka__annotated_parse(struct moka__annotated *out, const void *bytes, size_t n,
				       struct moka_buf *objects, const char *where, struct moka_error *err);

struct moka__emit {
	bool on, overlap;
	float least;
};
float moka__rect_overlap(struct moka__rect a, struct moka__rect b);  /* intersection over union */
float moka__rect_coverage(struct moka__rect a, struct moka__rect b); /* part of a that b covers */
/* Objects as they lie in `frame` of the picture, clipped to it; those outside, or that `emit` doesn't want, go. Returns how many stay. */
int64_t moka__objects_project(struct moka__object *o, int64_t n, struct moka__rect frame,
			      const struct moka__emit *emit);

enum moka__interp { MOKA__LINEAR = 1, MOKA__AREA, MOKA__NEAREST, MOKA__CUBIC, MOKA__LANCZOS4 };
/* As OpenCV's resize(), values within 1 of it. `out` must be another image. */
enum moka_status moka__resample(const struct moka_image *img, int64_t height, int64_t width, enum moka__interp how,
				struct moka_image *out, struct moka_error *err);

struct moka__distort {
	bool on;
	float brightness_prob, brightness_delta, contrast_prob, contrast_lower, contrast_upper, hue_prob, hue_delta,
		saturation_prob, saturation_lower, saturation_upper, order_prob;
};
struct moka__noise {
	bool on, hist_eq, inverse, decolorize, blur, posterize, erode, pepper, to_hsv;
	double jpeg, fraction, value[4];
	size_t n_values;
};
void moka__distort_run(const struct moka__distort *d, struct moka_image *img, struct moka_rng *rng);
/* `other` is room. */
enum moka_status moka__noise_run(const struct moka__noise *p, struct moka_image *img, struct moka_image *other,
				 struct moka_rng *rng, const char *where, struct moka_error *err);

#endif
