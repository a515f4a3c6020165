/*
 * PSROIPooling (R-FCN): position-sensitive regions of interest. The bottom holds output_dim x group_size x group_size score
 * maps; bin (i, j) of output k is the mean of map (k, i, j) alone over that bin's cells: (rois, output_dim, g, g).
 *
 * A region is (round(x1), round(y1), round(x2) + 1, round(y2) + 1) times spatial_scale, at least 0.1 wide; an empty bin gives 0.
 */
#include "boxes.h"

#include <tgmath.h>

struct psroi_param {
	float spatial_scale;
	int32_t output_dim, group_size;
};
#define P struct psroi_param
/* clang-format off */
static const struct moka_field psroi_fields[] = {
	MOKA_F_(P, spatial_scale, 1, MOKA_FLOAT, MOKA_REQUIRED, 0, NULL, NULL, NULL, "cells of the score maps per pixel of the picture"),
	MOKA_F_(P, output_dim, 2, MOKA_INT32, MOKA_REQUIRED, 0, NULL, NULL, NULL, "channels of the top: classes, say"),
	MOKA_F_(P, group_size, 3, MOKA_INT32, MOKA_REQUIRED, 0, NULL, NULL, NULL, "bins a side, each with maps of its own"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message psroi_message = { "PSROIPoolingParameter", psroi_fields, sizeof(struct psroi_param) };

static enum moka_status psroi_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct psroi_param *p = l->param;
	int64_t d[4], rows, channels;

	if (p->output_dim < 1 || p->group_size < 1 || !(p->spatial_scale > 0))
		return moka_layer_bad(l, f, "bad-setting",
				      p->output_dim < 1	  ? "output_dim"
				      : p->group_size < 1 ? "group_size"
							  : "spatial_scale",
				      "output_dim and group_size must be at least 1, and spatial_scale above 0");
	MOKA_TRY(moka__rois_shape(l, f, 1, &rows));
	moka__legacy_dims(&l->bottom[0].shape, d);
	if (l->bottom[0].shape.n >= 0 && d[1] >= 0 &&
	    (!moka_mul((int64_t)p->group_size * p->group_size, p->output_dim, &channels) || channels != d[1]))
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 0,
			"'%s' has %lld channels, and output_dim %d with group_size %d takes %d x %d x %d",
			l->bottom[0].name, (long long)d[1], p->output_dim, p->group_size, p->output_dim, p->group_size,
			p->group_size);
	l->top[0].shape =
		moka_shape_make(4, rows, (int64_t)p->output_dim, (int64_t)p->group_size, (int64_t)p->group_size);
	return MOKA_OK;
}

/* Cells [*begin, *end) of bin k, held within the plane. */
static void bin_cells(int64_t k, real start, real width, int64_t limit, int64_t *begin, int64_t *end)
{
	*begin = (int64_t)floor((real)k * width + start);
	*end = (int64_t)ceil((real)(k + 1) * width + start);
	*begin = MOKA_MIN(MOKA_MAX(*begin, 0), limit);
	*end = MOKA_MIN(MOKA_MAX(*end, 0), limit);
}

/* One region: forward writes the means, backward (dy given) spreads them. */
static void region(const struct psroi_param *p, const real *r, const int64_t d[4], const real *x, real *y,
		   const real *dy, real *dx)
{
	const real scale = (real)p->spatial_scale;
	const int64_t g = p->group_size;
	const real x1 = round(r[1]) * scale, y1 = round(r[2]) * scale;
	const real w = MOKA_MAX((round(r[3]) + 1) * scale - x1, (real)0.1) / (real)g;
	const real h = MOKA_MAX((round(r[4]) + 1) * scale - y1, (real)0.1) / (real)g;

	for (int64_t k = 0; k < p->output_dim; k++)
		for (int64_t i = 0; i < g; i++)
			for (int64_t j = 0; j < g; j++) {
				const int64_t o = (k * g + i) * g + j, plane = o * d[2] * d[3];
				int64_t r0, r1, c0, c1;
				real sum = 0;

				bin_cells(i, y1, h, d[2], &r0, &r1);
				bin_cells(j, x1, w, d[3], &c0, &c1);
				const int64_t area = MOKA_MAX(r1 - r0, 0) * MOKA_MAX(c1 - c0, 0);
				for (int64_t a = r0; a < r1; a++)
					for (int64_t b = c0; b < c1; b++) {
						if (dx)
							dx[plane + a * d[3] + b] += dy[o] / (real)area;
						else
							sum += x[plane + a * d[3] + b];
					}
				if (!dx)
					y[o] = area ? sum / (real)area : 0;
			}
}

static enum moka_status psroi_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct psroi_param *p = l->param;
	const int64_t rows = c->top[0].shape->d[0], one = rows ? c->top[0].count / rows : 0;
	int64_t d[4];

	moka__legacy_dims(c->bottom[0].shape, d);
	for (int64_t n = 0; n < rows; n++) {
		struct moka__box b;
		int64_t image;

		MOKA_TRY(moka__roi_read(l, c, 1, n, (real)p->spatial_scale, &image, &b));
		region(p, c->bottom[1].data + n * 5, d, c->bottom[0].data + image * d[1] * d[2] * d[3],
		       c->top[0].data + n * one, NULL, NULL);
	}
	return MOKA_OK;
}

static enum moka_status psroi_backward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t rows = c->top[0].shape->d[0], one = rows ? c->top[0].count / rows : 0;
	int64_t d[4];

	if (!c->bottom[0].diff)
		return MOKA_OK;
	moka__legacy_dims(c->bottom[0].shape, d);
	moka_set(c->bottom[0].count, 0, c->bottom[0].diff);
	for (int64_t n = 0; n < rows; n++) {
		const real *r = c->bottom[1].data + n * 5;

		region(l->param, r, d, NULL, NULL, c->top[0].diff + n * one,
		       c->bottom[0].diff + (int64_t)r[0] * d[1] * d[2] * d[3]);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_psroi_pooling = {
	.schema = { "PSROIPooling", "psroi_pooling_param", 10001, 0, &psroi_message, NULL, 0, "R-FCN" },
	.doc = "means of position-sensitive score maps over each region's bins",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL, .no_gradient = 1u << 1,
	.shape = psroi_shape, .forward = psroi_forward, .backward = psroi_backward,
};
/* clang-format on */
