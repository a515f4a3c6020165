/*
 * png.c - PNG pictures through libpng, in and out.
 */
#include "data/image.h"

#include <png.h>

#include <stdlib.h>
#include <string.h>

struct png {
	const uint8_t *p, *end;
	struct moka_buf *to;
	char why[128];
};

_Noreturn static void on_error(png_structp png, png_const_charp why)
{
	struct png *p = png_get_error_ptr(png);

	snprintf(p->why, sizeof(p->why), "%s", why);
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp why)
{
	(void)png;
	(void)why;
}

static void take(png_structp png, png_bytep to, size_t n)
{
	struct png *p = png_get_io_ptr(png);

	if (n > (size_t)(p->end - p->p))
		png_error(png, "the file ends too early");
	memcpy(to, p->p, n);
	p->p += n;
}

/* Everything to 8 bits a value, in the order B G R (A), or grey. Returns the channels. */
static int choose_colours(png_structp png, png_infop info, enum moka_image_mode mode)
{
	const int type = png_get_color_type(png, info);
	const bool alpha = (type & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, info, PNG_INFO_tRNS);
	const bool keep_alpha = mode == MOKA_IMAGE_NATIVE && alpha;
	const bool grey =
		mode == MOKA_IMAGE_GREY || (mode == MOKA_IMAGE_NATIVE && type == PNG_COLOR_TYPE_GRAY && !alpha);

	png_set_expand(png);
	png_set_strip_16(png);
	if (!keep_alpha)
		png_set_strip_alpha(png);
	if (grey && (type & PNG_COLOR_MASK_COLOR))
		png_set_rgb_to_gray(png, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
	if (!grey) {
		if (!(type & PNG_COLOR_MASK_COLOR))
			png_set_gray_to_rgb(png);
		png_set_bgr(png);
	}
	return grey ? 1 : keep_alpha ? 4 : 3;
}

static enum moka_status decode(png_structp png, png_infop info, struct png *p, struct moka_image *img, size_t n,
			       const char *name, enum moka_image_mode mode, struct moka_error *err)
{
	int passes, channels;

	png_set_read_fn(png, p, take);
	png_set_user_limits(png, 1 << 20, 1 << 20);
	png_set_chunk_malloc_max(png, (png_alloc_size_t)8 << 20);
	png_set_chunk_cache_max(png, 64);
	png_read_info(png, info);
	channels = choose_colours(png, info, mode);
	passes = png_set_interlace_handling(png);
	MOKA_TRY(moka__image_prepare(img, png_get_image_height(png, info), png_get_image_width(png, info), channels, n,
				     name, err));
	png_read_update_info(png, info);
	if (png_get_rowbytes(png, info) != (size_t)(img->width * channels))
		return moka_fail(err, MOKA_ERR_UNSUPPORTED, "%s: a PNG of an unusual kind (colour type %d)", name,
				 png_get_color_type(png, info));
	memset(img->pixels, 0, (size_t)(img->height * img->width * channels));
	for (int pass = 0; pass < passes; pass++)
		for (int64_t y = 0; y < img->height; y++)
			png_read_row(png, img->pixels + y * img->width * channels, NULL);
	png_read_end(png, NULL);
	return MOKA_OK;
}

enum moka_status moka__png_decode(struct moka_image *img, const void *bytes, size_t n, const char *name,
				  enum moka_image_mode mode, struct moka_error *err)
{
	struct png p = { .p = bytes, .end = (const uint8_t *)bytes + n };
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &p, on_error, on_warning);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	enum moka_status st;

	if (!info) {
		png_destroy_read_struct(&png, NULL, NULL);
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for a picture", name);
	}
	if (setjmp(png_jmpbuf(png))) {
		png_destroy_read_struct(&png, &info, NULL);
		return moka_fail(err, MOKA_ERR_DATA, "%s: this PNG is damaged: %s", name, p.why);
	}
	st = decode(png, info, &p, img, n, name, mode, err);
	png_destroy_read_struct(&png, &info, NULL);
	return st;
}

/* ---- out ------------------------------------------------------------------------------------------- */

static void give(png_structp png, png_bytep from, size_t n)
{
	struct png *p = png_get_io_ptr(png);

	moka_buf_add(p->to, from, n);
	if (p->to->failed)
		png_error(png, "not enough memory");
}

static void flush(png_structp png)
{
	(void)png;
}

static bool encode(const struct moka_image *img, struct png *p)
{
	static const int types[] = { 0, PNG_COLOR_TYPE_GRAY, 0, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA };
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, p, on_error, on_warning);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		return false;
	}
	png_set_write_fn(png, p, give, flush);
	png_set_IHDR(png, info, (png_uint_32)img->width, (png_uint_32)img->height, 8, types[img->channels],
		     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	png_set_bgr(png);
	for (int64_t y = 0; y < img->height; y++)
		png_write_row(png, img->pixels + y * img->width * img->channels);
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
	return true;
}

enum moka_status moka_image_encode_png(const struct moka_image *img, struct moka_buf *out, struct moka_error *err)
{
	struct png p = { .to = out, .why = "not enough memory" };

	MOKA_BUG(img->channels != 1 && img->channels != 3 && img->channels != 4);
	return encode(img, &p) ? MOKA_OK : moka_fail(err, MOKA_ERR_NOMEM, "a PNG can't be made: %s", p.why);
}

enum moka_status moka_image_write_png(const struct moka_image *img, const char *path, struct moka_error *err)
{
	struct moka_buf b;
	enum moka_status st;

	moka_buf_init(&b, 0);
	st = moka_image_encode_png(img, &b, err);
	if (!st)
		st = moka_file_write(path, b.data, b.len, err);
	moka_buf_release(&b);
	return st;
}
