/*
 * colours.c - SSD's distort_param and noise_param: what is done to the values of a picture, in its order, by the sample's own random numbers.
 *
 * Hue, saturation and value are OpenCV's for 8 bits: hue in steps of 2 degrees (0 to 180), the others 0 to 255.
 */
#include "data/annotated.h"
#include "data/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint8_t byte(double v)
{
	v = rint(v);
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static float between(struct moka_rng *rng, float low, float high)
{
	return low + (high - low) * (float)moka_rng_uniform(rng);
}

static int64_t values_of(const struct moka_image *img)
{
	return img->height * img->width * img->channels;
}

/* ---- one pixel ------------------------------------------------------------------------------------------------ */

static void to_hsv(uint8_t *p)
{
	const double b = p[0], g = p[1], r = p[2], v = MOKA_MAX(MOKA_MAX(b, g), r), d = v - MOKA_MIN(MOKA_MIN(b, g), r);
	double h = 0;

	if (d > 0)
		h = v == r ? 60 * (g - b) / d : v == g ? 120 + 60 * (b - r) / d : 240 + 60 * (r - g) / d;
	h = rint((h < 0 ? h + 360 : h) / 2);
	p[0] = (uint8_t)(h >= 180 ? h - 180 : h);
	p[1] = byte(v > 0 ? 255 * d / v : 0);
	p[2] = (uint8_t)v;
}

/* A hue above 180 goes round. */
static void from_hsv(uint8_t *p)
{
	static const uint8_t order[6][3] = { { 1, 3, 0 }, { 1, 0, 2 }, { 3, 0, 1 },
					     { 0, 2, 1 }, { 0, 1, 3 }, { 2, 1, 0 } };
	const double h = fmod(p[0] / 30.0, 6), s = p[1] / 255.0, v = p[2];
	const int part = (int)h;
	const double f = h - part, tab[4] = { v, v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f)) };

	for (int i = 0; i < 3; i++)
		p[i] = byte(tab[order[part][i]]);
}

static void change_hsv(struct moka_image *img, double factor, double shift)
{
	uint8_t *p = img->pixels;

	for (int64_t n = values_of(img); n >= 3; n -= 3, p += 3) {
		to_hsv(p);
		p[1] = byte(p[1] * factor);
		p[0] = byte(p[0] + shift);
		from_hsv(p);
	}
}

static void change_values(struct moka_image *img, double factor, double shift)
{
	for (int64_t i = 0, n = values_of(img); i < n; i++)
		img->pixels[i] = byte(img->pixels[i] * factor + shift);
}

/* ---- distort_param ---------------------------------------------------------------------------------------------- */

static bool hits(struct moka_rng *rng, float prob)
{
	return (float)moka_rng_uniform(rng) < prob;
}

static void brightness(const struct moka__distort *d, struct moka_image *img, struct moka_rng *rng)
{
	if (hits(rng, d->brightness_prob))
		change_values(img, 1, between(rng, -d->brightness_delta, d->brightness_delta));
}

static void contrast(const struct moka__distort *d, struct moka_image *img, struct moka_rng *rng)
{
	if (hits(rng, d->contrast_prob))
		change_values(img, between(rng, d->contrast_lower, d->contrast_upper), 0);
}

static void saturation(const struct moka__distort *d, struct moka_image *img, struct moka_rng *rng)
{
	if (hits(rng, d->saturation_prob) && img->channels == 3)
		change_hsv(img, between(rng, d->saturation_lower, d->saturation_upper), 0);
}

static void hue(const struct moka__distort *d, struct moka_image *img, struct moka_rng *rng)
{
	if (hits(rng, d->hue_prob) && img->channels == 3)
		change_hsv(img, 1, between(rng, -d->hue_delta, d->hue_delta));
}

static void reorder(const struct moka__distort *d, struct moka_image *img, struct moka_rng *rng)
{
	int from[3] = { 0, 1, 2 };
	uint8_t *p = img->pixels;

	if (!hits(rng, d->order_prob) || img->channels != 3)
		return;
	for (int i = 2; i > 0; i--) {
		const int k = (int)moka_rng_below(rng, (uint64_t)i + 1), t = from[i];

		from[i] = from[k];
		from[k] = t;
	}
	for (int64_t n = values_of(img); n >= 3; n -= 3, p += 3) {
		const uint8_t old[3] = { p[0], p[1], p[2] };

		for (int i = 0; i < 3; i++)
			p[i] = old[from[i]];
	}
}

void moka__distort_run(const struct moka__distort *d, struct moka_image *img, struct moka_rng *rng)
{
	const bool early = moka_rng_uniform(rng) > 0.5; /* the contrast before the colours, or behind them */

	brightness(d, img, rng);
	if (early)
		contrast(d, img, rng);
	saturation(d, img, rng);
	hue(d, img, rng);
	if (!early)
		contrast(d, img, rng);
	reorder(d, img, rng);
}

/* ---- noise_param -------------------------------------------------------------------------------------------------- */

static double luma(const uint8_t *p)
{
	return 0.114 * p[0] + 0.587 * p[1] + 0.299 * p[2];
}

static void decolorize(struct moka_image *img)
{
	uint8_t *p = img->pixels;

	for (int64_t n = img->channels == 3 ? values_of(img) : 0; n >= 3; n -= 3, p += 3)
		memset(p, byte(luma(p)), 3);
}

/* The brightness spread evenly; the colours' distance from it stays. */
static void equalize(struct moka_image *img)
{
	const int64_t c = img->channels == 3 ? 3 : 1, n = values_of(img) / c;
	int64_t count[256] = { 0 }, sum = 0, first = 0;
	uint8_t map[256];

	for (int64_t i = 0; i < n; i++)
		count[c == 3 ? byte(luma(img->pixels + 3 * i)) : img->pixels[i]]++;
	while (first < 255 && !count[first])
		first++;
	if (count[first] == n)
		return;
	for (int64_t v = 0; v < 256; v++) {
		sum += count[v];
		map[v] = v <= first ? 0 : byte(255.0 * (double)(sum - count[first]) / (double)(n - count[first]));
	}
	for (int64_t i = 0; i < n; i++) {
		uint8_t *p = img->pixels + c * i;
		const uint8_t y = c == 3 ? byte(luma(p)) : *p;

		for (int64_t k = 0; k < c; k++)
			p[k] = byte((double)p[k] - y + map[y]);
	}
}

static int64_t mirrored(int64_t i, int64_t n)
{
	for (; n > 1 && (i < 0 || i >= n);)
		i = i < 0 ? -i : 2 * (n - 1) - i;
	return n > 1 ? i : 0;
}

/* Seven values of a bell of deviation 1.5, in both directions; or the least of a pixel and its four neighbours. */
static void neighbours(const struct moka_image *img, struct moka_image *out, bool least)
{
	static const double bell[] = { 0.036632845, 0.111280758, 0.216745321, 0.270682149 };
	const int64_t h = img->height, w = img->width, c = img->channels;

	for (int64_t i = 0; i < h * w * c; i++) {
		const int64_t y = i / (w * c), x = i / c % w, k = i % c;
		double v = least ? 255 : 0;

		for (int64_t a = least ? -1 : -3; a <= (least ? 1 : 3); a++)
			for (int64_t b = least ? -1 : -3; b <= (least ? 1 : 3); b++) {
				const double p = img->pixels[(mirrored(y + a, h) * w + mirrored(x + b, w)) * c + k];

				if (!least)
					v += p * bell[3 - llabs(a)] * bell[3 - llabs(b)];
				else if (!a || !b)
					v = MOKA_MIN(v, p);
			}
		out->pixels[i] = byte(v);
	}
}

static enum moka_status filter(struct moka_image *img, struct moka_image *other, bool least, struct moka_error *err)
{
	MOKA_TRY(moka__image_prepare(other, img->height, img->width, img->channels, SIZE_MAX, "noise", err));
	neighbours(img, other, least);
	memcpy(img->pixels, other->pixels, (size_t)values_of(img));
	return MOKA_OK;
}

static enum moka_status through_jpeg(struct moka_image *img, int quality, const char *where, struct moka_error *err)
{
	const enum moka_image_mode mode = img->channels == 1 ? MOKA_IMAGE_GREY : MOKA_IMAGE_COLOUR;
	struct moka_buf b;
	enum moka_status st;

	moka_buf_init(&b, 0);
	st = moka_image_encode_jpeg(img, quality, &b, err);
	if (!st)
		st = moka_image_decode(img, b.data, b.len, where, mode, err);
	moka_buf_release(&b);
	return st;
}

static void pepper(const struct moka__noise *p, struct moka_image *img, struct moka_rng *rng)
{
	const int64_t pixels = img->height * img->width;

	for (int64_t n = p->n_values ? (int64_t)(p->fraction * (double)pixels) : 0; n > 0; n--) {
		uint8_t *at = img->pixels + (int64_t)moka_rng_below(rng, (uint64_t)pixels) * img->channels;

		for (int64_t k = 0; k < img->channels; k++)
			at[k] = (uint8_t)p->value[p->n_values > 1 ? MOKA_MIN((size_t)k, p->n_values - 1) : 0];
	}
}

enum moka_status moka__noise_run(const struct moka__noise *p, struct moka_image *img, struct moka_image *other,
				 struct moka_rng *rng, const char *where, struct moka_error *err)
{
	if (p->decolorize)
		decolorize(img);
	if (p->blur)
		MOKA_TRY(filter(img, other, false, err));
	if (p->hist_eq)
		equalize(img);
	if (p->jpeg > 0)
		MOKA_TRY(through_jpeg(img, (int)MOKA_MIN(p->jpeg, 100), where, err));
	if (p->erode)
		MOKA_TRY(filter(img, other, true, err));
	for (int64_t i = 0, n = values_of(img); p->posterize && i < n; i++)
		img->pixels[i] = (uint8_t)(img->pixels[i] / 64 * 64 + 32);
	for (int64_t i = 0, n = values_of(img); p->inverse && i < n; i++)
		img->pixels[i] = (uint8_t)(255 - img->pixels[i]);
	if (p->pepper)
		pepper(p, img, rng);
	for (int64_t i = 0, n = values_of(img); p->to_hsv && img->channels == 3 && i + 3 <= n; i += 3)
		to_hsv(img->pixels + i);
	return MOKA_OK;
}
