/*
 * resample.c - a picture at another size, in the five ways that resize_param knows.
 *
 * Each axis is done by itself: value i of the result is a weighted sum of `taps` neighbours, from `first` on, clamped to the picture's edge.
 * Places and weights are OpenCV's. AREA of a picture that grows in some direction is its variant of LINEAR there, as OpenCV has it.
 */
#include "data/annotated.h"
#include "data/image.h"

#include <math.h>
#include <stdlib.h>

#define MAX_TAPS 8
#define PI 3.14159265358979323846

struct axis {
	int64_t from, to; /* sizes before and after */
	int64_t taps;
	int64_t *first; /* to */
	float *weight;	/* to x taps */
};

static void cubic(double x, float *w)
{
	const double a = -0.75, y = 1 - x;

	w[0] = (float)(((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a);
	w[1] = (float)(((a + 2) * x - (a + 3)) * x * x + 1);
	w[2] = (float)(((a + 2) * y - (a + 3)) * y * y + 1);
	w[3] = 1 - w[0] - w[1] - w[2];
}

static void lanczos(double x, float *w)
{
	double v[8], sum = 0;

	for (int i = 0; i < 8; i++) {
		const double t = PI * (x + 3 - i);

		v[i] = fabs(t) < 1e-7 ? 1 : 4 * sin(t) * sin(t / 4) / (t * t);
		sum += v[i];
	}
	for (int i = 0; i < 8; i++)
		w[i] = (float)(v[i] / sum);
}

/* Place i of the result lies `x` behind the centre of pixel `at`. */
static void set_point(struct axis *a, enum moka__interp how, int64_t i)
{
	const double scale = (double)a->from / (double)a->to, place = ((double)i + 0.5) * scale - 0.5;
	double at = floor(place), x = place - at;
	float *w = a->weight + i * a->taps;

	if (how == MOKA__NEAREST) {
		a->first[i] = MOKA_MIN((int64_t)floor((double)i * scale), a->from - 1);
		w[0] = 1;
		return;
	}
	if (how == MOKA__AREA) {
		at = floor((double)i * scale);
		x = ((double)i + 1) - (at + 1) / scale;
		x = x > 0 ? x - floor(x) : 0;
	}
	a->first[i] = (int64_t)at - (a->taps / 2 - 1);
	if (how == MOKA__CUBIC)
		cubic(x, w);
	else if (how == MOKA__LANCZOS4)
		lanczos(x, w);
	else {
		w[0] = (float)(1 - x);
		w[1] = (float)x;
	}
}

/* The part of each pixel that lies in place i. */
static void set_area(struct axis *a, int64_t i)
{
	const double scale = (double)a->from / (double)a->to, from = (double)i * scale, to = from + scale;

	a->first[i] = (int64_t)floor(from);
	for (int64_t t = 0; t < a->taps; t++) {
		const double p = (double)(a->first[i] + t), part = MOKA_MIN(p + 1, to) - MOKA_MAX(p, from);

		a->weight[i * a->taps + t] = (float)(part > 0 && p < (double)a->from ? part / scale : 0);
	}
}

static bool axis_init(struct axis *a, int64_t from, int64_t to, enum moka__interp how, bool shrinks)
{
	static const uint8_t taps[] = { [MOKA__LINEAR] = 2,
					[MOKA__AREA] = 2,
					[MOKA__NEAREST] = 1,
					[MOKA__CUBIC] = 4,
					[MOKA__LANCZOS4] = MAX_TAPS };
	const bool area = how == MOKA__AREA && shrinks;

	*a = (struct axis){ from, to, area ? from / to + 2 : taps[how], NULL, NULL };
	a->first = calloc((size_t)to, sizeof(*a->first));
	a->weight = calloc((size_t)(to * a->taps), sizeof(*a->weight));
	if (!a->first || !a->weight)
		return false;
	for (int64_t i = 0; i < to; i++)
		if (area)
			set_area(a, i);
		else
			set_point(a, how, i);
	return true;
}

static void axis_release(struct axis *a)
{
	free(a->first);
	free(a->weight);
}

static int64_t clamp(int64_t i, int64_t n)
{
	return i < 0 ? 0 : i < n ? i : n - 1;
}

static float sum(const struct axis *a, int64_t i, const float *v, int64_t step)
{
	float s = 0;

	for (int64_t t = 0; t < a->taps; t++)
		s += a->weight[i * a->taps + t] * v[clamp(a->first[i] + t, a->from) * step];
	return s;
}

/* One row of the result: down the columns first, then along it. */
static void make_row(const struct moka_image *img, struct moka_image *out, const struct axis *x, const struct axis *y,
		     int64_t row, float *line)
{
	const int64_t c = img->channels, n = img->width * c;

	for (int64_t i = 0; i < n; i++)
		line[i] = 0;
	for (int64_t t = 0; t < y->taps; t++) {
		const uint8_t *p = img->pixels + clamp(y->first[row] + t, y->from) * n;
		const float w = y->weight[row * y->taps + t];

		for (int64_t i = 0; w != 0 && i < n; i++)
			line[i] += w * (float)p[i];
	}
	for (int64_t i = 0; i < out->width; i++)
		for (int64_t k = 0; k < c; k++) {
			const float v = rintf(sum(x, i, line + k, c));

			out->pixels[(row * out->width + i) * c + k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
		}
}

enum moka_status moka__resample(const struct moka_image *img, int64_t height, int64_t width, enum moka__interp how,
				struct moka_image *out, struct moka_error *err)
{
	const bool shrinks = height <= img->height && width <= img->width;
	struct axis x = { 0 }, y = { 0 };
	float *line;
	bool ok;

	if (how == MOKA__LINEAR || (height == img->height && width == img->width))
		return moka_image_resize(img, height, width, out, err);
	MOKA_TRY(moka__image_prepare(out, height, width, img->channels, SIZE_MAX, "resizing", err));
	line = malloc((size_t)(img->width * img->channels) * sizeof(*line));
	ok = axis_init(&x, img->width, width, how, shrinks) && axis_init(&y, img->height, height, how, shrinks) && line;
	for (int64_t row = 0; ok && row < height; row++)
		make_row(img, out, &x, &y, row, line);
	axis_release(&x);
	axis_release(&y);
	free(line);
	return ok ? MOKA_OK : moka_fail(err, MOKA_ERR_NOMEM, "not enough memory to resize a picture");
}
