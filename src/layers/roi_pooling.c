/*
 * ROIPooling (Fast R-CNN): each region of interest is cut into pooled_h x pooled_w bins, and the largest value of each bin is
 * kept: (rois, C, pooled_h, pooled_w).
 *
 * A region's corners are rounded to cells and both ends belong to it; bins may overlap by a cell; an empty bin gives 0. Where
 * each maximum stood is kept in the state: that is where its gradient goes.
 */
#include "boxes.h"

#include <tgmath.h>

struct roi_pooling_param {
	uint32_t pooled_h, pooled_w;
	float spatial_scale;
};
#define P struct roi_pooling_param
/* clang-format off */
static const struct moka_field roi_pooling_fields[] = {
	MOKA_F_UINT32(P, pooled_h, 1, 0, "bins a region is cut into, downwards"),
	MOKA_F_UINT32(P, pooled_w, 2, 0, "bins across"),
	MOKA_F_FLOAT(P, spatial_scale, 3, 1, "cells of the feature map per pixel of the picture: 0.0625 after four halvings"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message roi_pooling_message = { "ROIPoolingParameter", roi_pooling_fields,
							 sizeof(struct roi_pooling_param) };

static enum moka_status roi_pooling_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct roi_pooling_param *p = l->param;
	int64_t d[4], rows;

	if (!p->pooled_h || !p->pooled_w)
		return moka_layer_bad(l, f, "bad-setting", p->pooled_h ? "pooled_w" : "pooled_h",
				      "pooled_h and pooled_w must be at least 1");
	if (!(p->spatial_scale > 0))
		return moka_layer_bad(l, f, "bad-setting", "spatial_scale", "spatial_scale must be above 0");
	MOKA_TRY(moka__rois_shape(l, f, 1, &rows));
	moka__legacy_dims(&l->bottom[0].shape, d);
	l->top[0].shape = moka_shape_make(4, rows, l->bottom[0].shape.n < 0 ? (int64_t)-1 : d[1], (int64_t)p->pooled_h,
					  (int64_t)p->pooled_w);
	l->state_bytes = moka_layer_bytes(moka_shape_count(&l->top[0].shape), sizeof(int32_t));
	l->state_for_backward = true;
	if (d[2] > 0 && d[3] > INT32_MAX / d[2])
		return moka_layer_bad_bottom(l, f, "too-large", 0, "planes of more than 2^31 cells can't be pooled");
	return MOKA_OK;
}

/* Cells [*begin, *end) of bin k of `bins` over `size` cells that start at `start`, held within the plane. */
static void bin_cells(int64_t k, int64_t bins, int64_t start, int64_t size, int64_t limit, int64_t *begin, int64_t *end)
{
	const real width = (real)size / (real)bins;

	*begin = (int64_t)floor((real)k * width) + start;
	*end = (int64_t)ceil((real)(k + 1) * width) + start;
	*begin = MOKA_MIN(MOKA_MAX(*begin, 0), limit);
	*end = MOKA_MIN(MOKA_MAX(*end, 0), limit);
}

static void pool_plane(const struct roi_pooling_param *p, const int64_t corner[4], const int64_t d[4], const real *x,
		       real *y, int32_t *at)
{
	const int64_t h = MOKA_MAX(corner[3] - corner[1] + 1, 1), w = MOKA_MAX(corner[2] - corner[0] + 1, 1);

	for (int64_t i = 0; i < p->pooled_h; i++)
		for (int64_t j = 0; j < p->pooled_w; j++, y++) {
			int64_t y0, y1, x0, x1, best = -1;

			bin_cells(i, p->pooled_h, corner[1], h, d[2], &y0, &y1);
			bin_cells(j, p->pooled_w, corner[0], w, d[3], &x0, &x1);
			for (int64_t r = y0; r < y1; r++)
				for (int64_t s = x0; s < x1; s++)
					if (best < 0 || x[r * d[3] + s] > x[best])
						best = r * d[3] + s;
			*y = best < 0 ? 0 : x[best];
			if (at)
				*at++ = (int32_t)best;
		}
}

static enum moka_status roi_pooling_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct roi_pooling_param *p = l->param;
	const int64_t rows = c->top[0].shape->d[0], channels = c->top[0].shape->d[1],
		      bins = (int64_t)p->pooled_h * p->pooled_w;
	int32_t *at = c->backward_follows ? c->state : NULL;
	int64_t d[4];

	moka__legacy_dims(c->bottom[0].shape, d);
	for (int64_t n = 0; n < rows; n++) {
		struct moka__box b;
		int64_t image;

		MOKA_TRY(moka__roi_read(l, c, 1, n, (real)p->spatial_scale, &image, &b));
		const int64_t corner[4] = { (int64_t)round(b.x1), (int64_t)round(b.y1), (int64_t)round(b.x2),
					    (int64_t)round(b.y2) };

		for (int64_t k = 0; k < channels; k++) {
			const int64_t o = (n * channels + k) * bins;

			pool_plane(p, corner, d, c->bottom[0].data + (image * channels + k) * d[2] * d[3],
				   c->top[0].data + o, at ? at + o : NULL);
		}
	}
	return MOKA_OK;
}

static enum moka_status roi_pooling_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t channels = c->top[0].shape->d[1], rows = c->top[0].shape->d[0];
	const int64_t bins = c->top[0].shape->d[2] * c->top[0].shape->d[3];
	const int32_t *at = c->state;
	int64_t d[4];

	(void)l;
	if (!c->bottom[0].diff)
		return MOKA_OK;
	moka__legacy_dims(c->bottom[0].shape, d);
	moka_set(c->bottom[0].count, 0, c->bottom[0].diff);
	for (int64_t n = 0; n < rows; n++)
		for (int64_t k = 0; k < channels; k++) {
			const int64_t image = (int64_t)c->bottom[1].data[n * 5], o = (n * channels + k) * bins;
			real *dx = c->bottom[0].diff + (image * channels + k) * d[2] * d[3];

			for (int64_t i = 0; i < bins; i++)
				if (at[o + i] >= 0)
					dx[at[o + i]] += c->top[0].diff[o + i];
		}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_roi_pooling = {
	.schema = { "ROIPooling", "roi_pooling_param", 8266711, 0, &roi_pooling_message, NULL, 0, "Fast R-CNN" },
	.doc = "the largest value of each bin of each region of interest",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL, .no_gradient = 1u << 1,
	.shape = roi_pooling_shape, .forward = roi_pooling_forward, .backward = roi_pooling_backward,
};
/* clang-format on */
