/*
 * image.c - pictures: one entry for all formats, planes, and resizing.
 *
 * Resizing computes what OpenCV's resize() computes for 8-bit pictures, with its 11-bit weights, so that a
 * picture prepared here is the picture that Caffe's tools prepared.
 */
#include "data/image.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void moka_image_release(struct moka_image *img)
{
	free(img->pixels);
	memset(img, 0, sizeof(*img));
}

enum moka_status moka__image_prepare(struct moka_image *img, int64_t height, int64_t width, int64_t channels,
				     size_t file_bytes, const char *name, struct moka_error *err)
{
	/* No packing of JPEG or PNG does better than about 1:1000; a head that claims more has no pixels behind it. */
	const int64_t plausible = file_bytes < (size_t)1 << 40 ? (int64_t)file_bytes * 2000 + 65536 : INT64_MAX;
	size_t bytes;

	if (height < 1 || width < 1 || height > MOKA_MAX_IMAGE_PIXELS / width)
		return moka_fail(err, MOKA_ERR_LIMIT,
				 "%s: a picture of %" PRId64 " x %" PRId64 " pixels; at most %" PRId64 " are read",
				 name, width, height, MOKA_MAX_IMAGE_PIXELS);
	if (height * width > plausible)
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: a picture of %" PRId64 " x %" PRId64
				 " pixels can't be in %zu bytes; it is damaged",
				 name, width, height, file_bytes);
	bytes = (size_t)(height * width * channels);
	if (bytes > img->cap) {
		uint8_t *bigger = realloc(img->pixels, bytes);

		if (!bigger)
			return moka_fail(err, MOKA_ERR_NOMEM,
					 "%s: not enough memory for a picture of %" PRId64 " x %" PRId64 " pixels",
					 name, width, height);
		img->pixels = bigger;
		img->cap = bytes;
	}
	img->height = height;
	img->width = width;
	img->channels = channels;
	return MOKA_OK;
}

enum moka_status moka_image_decode(struct moka_image *img, const void *bytes, size_t n, const char *name,
				   enum moka_image_mode mode, struct moka_error *err)
{
	const struct moka_file f = { .data = bytes, .size = n };

	if (n >= 3 && !memcmp(bytes, "\xff\xd8\xff", 3))
		return moka__jpeg_decode(img, bytes, n, name, mode, err);
	if (n >= 8 && !memcmp(bytes, "\x89PNG\r\n\x1a\n", 8))
		return moka__png_decode(img, bytes, n, name, mode, err);
	return moka_guess_fail(err, name, &f, moka_model_guess(&f), "a picture (JPEG or PNG)");
}

enum moka_status moka_image_read(struct moka_image *img, const char *path, enum moka_image_mode mode,
				 struct moka_error *err)
{
	struct moka_file f = { 0 };
	enum moka_status st;

	MOKA_TRY(moka_file_open(&f, path, err));
	st = moka_image_decode(img, f.data, f.size, path, mode, err);
	moka_file_release(&f);
	return st;
}

/* ---- planes -------------------------------------------------------------------------------------- */

void moka_image_planar(const struct moka_image *img, real *out)
{
	const int64_t n = img->height * img->width;

	for (int64_t c = 0; c < img->channels; c++)
		for (int64_t i = 0; i < n; i++)
			*out++ = (real)img->pixels[i * img->channels + c];
}

void moka_image_planar_u8(const struct moka_image *img, uint8_t *out)
{
	const int64_t n = img->height * img->width;

	for (int64_t c = 0; c < img->channels; c++)
		for (int64_t i = 0; i < n; i++)
			*out++ = img->pixels[i * img->channels + c];
}

/* ---- resize ---------------------------------------------------------------------------------------- */

#define WEIGHT_BITS 11
#define WEIGHT_ONE (1 << WEIGHT_BITS)

/* Where output position i reads: two neighbours and their weights, which sum to WEIGHT_ONE. */
struct tap {
	int64_t a, b;
	int wa, wb;
};

static void make_taps(struct tap *t, int64_t from, int64_t to)
{
	const double step = (double)from / (double)to;

	for (int64_t i = 0; i < to; i++) {
		float x = (float)(((double)i + 0.5) * step - 0.5);
		int64_t at = (int64_t)floorf(x);

		x -= (float)at;
		if (at < 0) {
			at = 0;
			x = 0;
		}
		if (at >= from - 1) {
			at = from - 1;
			x = 0;
		}
		t[i].a = at;
		t[i].b = MOKA_MIN(at + 1, from - 1);
		t[i].wa = (int)lrintf((1 - x) * WEIGHT_ONE);
		t[i].wb = (int)lrintf(x * WEIGHT_ONE);
	}
}

/* A row of the input, widened or narrowed; values scaled by WEIGHT_ONE. */
static void resize_row(const uint8_t *in, const struct tap *t, int64_t width, int64_t channels, int *out)
{
	for (int64_t x = 0; x < width; x++)
		for (int64_t c = 0; c < channels; c++)
			*out++ = in[t[x].a * channels + c] * t[x].wa + in[t[x].b * channels + c] * t[x].wb;
}

static void blend_rows(const int *a, const int *b, const struct tap *t, int64_t n, uint8_t *out)
{
	for (int64_t i = 0; i < n; i++)
		out[i] = (uint8_t)(((t->wa * (a[i] >> 4) >> 16) + (t->wb * (b[i] >> 4) >> 16) + 2) >> 2);
}

static void resize(const struct moka_image *img, struct moka_image *out, const struct tap *tx, const struct tap *ty,
		   int *rows)
{
	const int64_t n = out->width * out->channels, stride = img->width * img->channels;
	int *a = rows, *b = rows + n;
	int64_t in_a = -1, in_b = -1;

	for (int64_t y = 0; y < out->height; y++) {
		if (in_b == ty[y].a) { /* going down, the lower row becomes the upper one */
			int *swap = a;

			a = b;
			b = swap;
			in_a = in_b;
			in_b = -1;
		}
		if (in_a != ty[y].a)
			resize_row(img->pixels + ty[y].a * stride, tx, out->width, out->channels, a);
		if (in_b != ty[y].b)
			resize_row(img->pixels + ty[y].b * stride, tx, out->width, out->channels, b);
		in_a = ty[y].a;
		in_b = ty[y].b;
		blend_rows(a, b, &ty[y], n, out->pixels + y * n);
	}
}

enum moka_status moka_image_resize(const struct moka_image *img, int64_t height, int64_t width, struct moka_image *out,
				   struct moka_error *err)
{
	struct tap *taps;
	int *rows;

	MOKA_BUG(img == out);
	MOKA_TRY(moka__image_prepare(out, height, width, img->channels, SIZE_MAX, "resizing", err));
	if (height == img->height && width == img->width) {
		memcpy(out->pixels, img->pixels, (size_t)(height * width * img->channels));
		return MOKA_OK;
	}
	taps = malloc((size_t)(height + width) * sizeof(*taps));
	rows = malloc((size_t)(width * img->channels) * 2 * sizeof(*rows));
	if (taps && rows) {
		make_taps(taps, img->width, width);
		make_taps(taps + width, img->height, height);
		resize(img, out, taps, taps + width, rows);
	}
	free(taps);
	free(rows);
	return taps && rows ? MOKA_OK : moka_fail(err, MOKA_ERR_NOMEM, "not enough memory to resize a picture");
}
