/*
 * ROIAlign (Mask R-CNN): as ROIPooling, without rounding: each bin is the mean of values read between the cells.
 *
 * The region is (x1, y1, x2, y2) times spatial_scale, at least one cell wide; a bin is sampled at sampling_ratio x
 * sampling_ratio points (0: as many as its size in cells, rounded up), each read bilinearly. A point more than one cell outside
 * the plane counts as 0.
 */
#include "boxes.h"

#include <tgmath.h>

struct roi_align_param {
	uint32_t pooled_h, pooled_w;
	float spatial_scale;
	int32_t sampling_ratio;
};
#define P struct roi_align_param
/* clang-format off */
static const struct moka_field roi_align_fields[] = {
	MOKA_F_UINT32(P, pooled_h, 1, 0, "bins a region is cut into, downwards"),
	MOKA_F_UINT32(P, pooled_w, 2, 0, "bins across"),
	MOKA_F_FLOAT(P, spatial_scale, 3, 1, "cells of the feature map per pixel of the picture"),
	MOKA_F_INT32(P, sampling_ratio, 4, 0, "points a bin is read at, a side; 0: by its size"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message roi_align_message = { "ROIAlignParameter", roi_align_fields,
						       sizeof(struct roi_align_param) };

#define MOST_POINTS 64 /* a side of a bin */

static enum moka_status roi_align_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct roi_align_param *p = l->param;
	int64_t d[4], rows;

	if (!p->pooled_h || !p->pooled_w || !(p->spatial_scale > 0))
		return moka_layer_bad(l, f, "bad-setting",
				      !p->pooled_h   ? "pooled_h"
				      : !p->pooled_w ? "pooled_w"
						     : "spatial_scale",
				      "pooled_h and pooled_w must be at least 1, and spatial_scale above 0");
	if (p->sampling_ratio > MOST_POINTS)
		return moka_layer_bad(l, f, "bad-setting", "sampling_ratio", "sampling_ratio is at most %d",
				      MOST_POINTS);
	MOKA_TRY(moka__rois_shape(l, f, 1, &rows));
	moka__legacy_dims(&l->bottom[0].shape, d);
	l->top[0].shape = moka_shape_make(4, rows, l->bottom[0].shape.n < 0 ? (int64_t)-1 : d[1], (int64_t)p->pooled_h,
					  (int64_t)p->pooled_w);
	return MOKA_OK;
}

/* The four cells around (y, x) and their weights; false: too far outside. */
static bool corners(real y, real x, const int64_t d[4], int64_t at[4], real weight[4])
{
	if (!(y >= -1 && y <= (real)d[2] && x >= -1 && x <= (real)d[3]) || !d[2] || !d[3])
		return false;
	y = MOKA_MAX(y, 0);
	x = MOKA_MAX(x, 0);
	const int64_t y0 = MOKA_MIN((int64_t)y, d[2] - 1), x0 = MOKA_MIN((int64_t)x, d[3] - 1);
	const int64_t y1 = MOKA_MIN(y0 + 1, d[2] - 1), x1 = MOKA_MIN(x0 + 1, d[3] - 1);
	const real v = y1 == y0 ? 0 : y - (real)y0, u = x1 == x0 ? 0 : x - (real)x0;

	at[0] = y0 * d[3] + x0, at[1] = y0 * d[3] + x1, at[2] = y1 * d[3] + x0, at[3] = y1 * d[3] + x1;
	weight[0] = (1 - v) * (1 - u), weight[1] = (1 - v) * u, weight[2] = v * (1 - u), weight[3] = v * u;
	return true;
}

static int64_t points(const struct roi_align_param *p, real bin)
{
	int64_t n = p->sampling_ratio > 0 ? p->sampling_ratio : (int64_t)ceil(bin);

	return MOKA_MIN(MOKA_MAX(n, 1), MOST_POINTS);
}

/* One bin of one plane: its mean, or (dx given) its gradient g spread over the cells it read. */
static real bin_mean(const struct roi_align_param *p, const int64_t d[4], real y0, real x0, real h, real w,
		     const real *x, real g, real *dx)
{
	const int64_t ny = points(p, h), nx = points(p, w);
	const real share = 1 / (real)(ny * nx);
	real sum = 0;

	for (int64_t i = 0; i < ny; i++)
		for (int64_t j = 0; j < nx; j++) {
			int64_t at[4];
			real weight[4];

			if (!corners(y0 + ((real)i + (real)0.5) * h / (real)ny,
				     x0 + ((real)j + (real)0.5) * w / (real)nx, d, at, weight))
				continue;
			for (int k = 0; k < 4; k++) {
				if (dx)
					dx[at[k]] += g * share * weight[k];
				else
					sum += weight[k] * x[at[k]];
			}
		}
	return sum * share;
}

static enum moka_status each_bin(const struct moka_layer *l, struct moka_call *c, real *dx)
{
	const struct roi_align_param *p = l->param;
	const int64_t rows = c->top[0].shape->d[0], channels = c->top[0].shape->d[1];
	int64_t d[4], o = 0;

	moka__legacy_dims(c->bottom[0].shape, d);
	for (int64_t n = 0; n < rows; n++) {
		struct moka__box b;
		int64_t image;

		MOKA_TRY(moka__roi_read(l, c, 1, n, (real)p->spatial_scale, &image, &b));
		const real h = MOKA_MAX(b.y2 - b.y1, 1) / (real)p->pooled_h,
			   w = MOKA_MAX(b.x2 - b.x1, 1) / (real)p->pooled_w;

		for (int64_t k = 0; k < channels; k++) {
			const int64_t plane = (image * channels + k) * d[2] * d[3];

			for (int64_t i = 0; i < p->pooled_h; i++)
				for (int64_t j = 0; j < p->pooled_w; j++, o++) {
					real y = bin_mean(p, d, b.y1 + (real)i * h, b.x1 + (real)j * w, h, w,
							  c->bottom[0].data + plane, dx ? c->top[0].diff[o] : 0,
							  dx ? dx + plane : NULL);
					if (!dx)
						c->top[0].data[o] = y;
				}
		}
	}
	return MOKA_OK;
}

static enum moka_status roi_align_forward(const struct moka_layer *l, struct moka_call *c)
{
	return each_bin(l, c, NULL);
}

static enum moka_status roi_align_backward(const struct moka_layer *l, struct moka_call *c)
{
	if (!c->bottom[0].diff)
		return MOKA_OK;
	moka_set(c->bottom[0].count, 0, c->bottom[0].diff);
	return each_bin(l, c, c->bottom[0].diff);
}

/* clang-format off */
const struct moka_layer_type moka_layer_roi_align = {
	.schema = { "ROIAlign", "roi_align_param", 8266712, 0, &roi_align_message, NULL, 0, "Mask R-CNN" },
	.doc = "the mean of each bin of each region of interest, read between the cells",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL, .no_gradient = 1u << 1,
	.shape = roi_align_shape, .forward = roi_align_forward, .backward = roi_align_backward,
};
/* clang-format on */
