/*
 * jpeg.c - JPEG pictures through libjpeg.
 *
 * libjpeg ends the process on an error unless its handler jumps away, and fills a picture that breaks off with grey, with
 * a mere warning. Here both are errors.
 */
#include "data/image.h"

#include <jpeglib.h>
#include <jerror.h>

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

struct jpeg {
	struct jpeg_error_mgr handler; /* first: libjpeg hands us its address */
	jmp_buf out;
	char why[JMSG_LENGTH_MAX];
	struct moka_error *err;
	enum moka_status status;
};

_Noreturn static void on_error(j_common_ptr c)
{
	struct jpeg *j = (struct jpeg *)(void *)c->err;

	j->handler.format_message(c, j->why);
	longjmp(j->out, 1);
}

/* Pixels are missing or wrong: what a decoder goes on with is not the picture. Other warnings are about form. */
static bool loses_pixels(int code)
{
	return code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
	       code == JWRN_MUST_RESYNC || code == JWRN_ARITH_BAD_CODE;
}

static void on_message(j_common_ptr c, int level)
{
	if (level < 0 && loses_pixels(c->err->msg_code))
		on_error(c);
}

static void say_nothing(j_common_ptr c)
{
	(void)c;
}

static void choose_colours(struct jpeg_decompress_struct *d, enum moka_image_mode mode)
{
	const bool ink = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
	const bool grey = mode == MOKA_IMAGE_GREY || (mode == MOKA_IMAGE_NATIVE && d->num_components == 1);

	d->out_color_space = ink ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
}

/* Inks as Adobe stores them, 255 for none. */
static void cmyk_to_bgr(uint8_t *p, int64_t n, bool grey)
{
	uint8_t *out = p;

	for (int64_t i = 0; i < n; i++, p += 4) {
		const int k = p[3];
		const int r = k - ((255 - p[0]) * k >> 8), g = k - ((255 - p[1]) * k >> 8),
			  b = k - ((255 - p[2]) * k >> 8);

		if (grey) {
			*out++ = (uint8_t)((r * 4899 + g * 9617 + b * 1868 + 8192) >> 14);
		} else {
			*out++ = (uint8_t)b;
			*out++ = (uint8_t)g;
			*out++ = (uint8_t)r;
		}
	}
}

static void rgb_to_bgr(uint8_t *p, int64_t n)
{
	for (int64_t i = 0; i < n; i++, p += 3) {
		const uint8_t r = p[0];

		p[0] = p[2];
		p[2] = r;
	}
}

static void to_bgr(struct moka_image *img, enum moka_image_mode mode)
{
	const int64_t n = img->height * img->width;

	if (img->channels == 3)
		rgb_to_bgr(img->pixels, n);
	if (img->channels == 4) {
		cmyk_to_bgr(img->pixels, n, mode == MOKA_IMAGE_GREY);
		img->channels = mode == MOKA_IMAGE_GREY ? 1 : 3;
	}
}

static bool decode(struct jpeg_decompress_struct *d, struct jpeg *j, struct moka_image *img, const void *bytes,
		   size_t n, const char *name, enum moka_image_mode mode)
{
	jpeg_mem_src(d, bytes, (unsigned long)n);
	jpeg_read_header(d, TRUE);
	choose_colours(d, mode);
	jpeg_calc_output_dimensions(d);
	j->status =
		moka__image_prepare(img, d->output_height, d->output_width, d->out_color_components, n, name, j->err);
	if (j->status)
		return false;
	jpeg_start_decompress(d);
	while (d->output_scanline < d->output_height) {
		JSAMPROW row = img->pixels + (size_t)d->output_scanline * (size_t)(img->width * img->channels);

		jpeg_read_scanlines(d, &row, 1);
	}
	jpeg_finish_decompress(d);
	return true;
}

enum moka_status moka__jpeg_decode(struct moka_image *img, const void *bytes, size_t n, const char *name,
				   enum moka_image_mode mode, struct moka_error *err)
{
	struct jpeg_decompress_struct d;
	struct jpeg j;

	memset(&j, 0, sizeof(j));
	memset(&d, 0, sizeof(d));
	j.err = err;
	d.err = jpeg_std_error(&j.handler);
	j.handler.error_exit = on_error;
	j.handler.emit_message = on_message;
	j.handler.output_message = say_nothing;
	if (setjmp(j.out)) {
		jpeg_destroy_decompress(&d);
		return moka_fail(err, MOKA_ERR_DATA, "%s: this JPEG is damaged: %s", name, j.why);
	}
	jpeg_create_decompress(&d);
	d.mem->max_memory_to_use = 256L << 20;
	if (decode(&d, &j, img, bytes, n, name, mode))
		to_bgr(img, mode);
	jpeg_destroy_decompress(&d);
	return j.status;
}

/* ---- out --------------------------------------------------------------------------------------------- */

/* A row in libjpeg's order. */
static void row_to_rgb(const struct moka_image *img, const uint8_t *in, uint8_t *out)
{
	for (int64_t x = 0; x < img->width; x++, in += img->channels)
		for (int c = 0; c < 3; c++)
			*out++ = in[2 - c];
}

static void encode(struct jpeg_compress_struct *c, const struct moka_image *img, int quality, uint8_t *row)
{
	c->image_width = (JDIMENSION)img->width;
	c->image_height = (JDIMENSION)img->height;
	c->input_components = img->channels == 1 ? 1 : 3;
	c->in_color_space = img->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(c);
	jpeg_set_quality(c, quality, TRUE);
	jpeg_start_compress(c, TRUE);
	for (int64_t y = 0; y < img->height; y++) {
		uint8_t *in = img->pixels + y * img->width * img->channels;

		if (img->channels != 1)
			row_to_rgb(img, in, row);
		jpeg_write_scanlines(c, img->channels == 1 ? &in : &row, 1);
	}
	jpeg_finish_compress(c);
}

enum moka_status moka_image_encode_jpeg(const struct moka_image *img, int quality, struct moka_buf *out,
					struct moka_error *err)
{
	struct jpeg_compress_struct c;
	struct jpeg j;
	struct written {
		unsigned char *bytes;
		unsigned long n;
	} w = { NULL, 0 };
	uint8_t *row = malloc((size_t)img->width * 3);
	volatile enum moka_status st = MOKA_OK;

	if (!row)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for a picture");
	memset(&j, 0, sizeof(j));
	c.err = jpeg_std_error(&j.handler);
	j.handler.error_exit = on_error;
	j.handler.output_message = say_nothing;
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &w.bytes, &w.n);
	if (setjmp(j.out))
		st = moka_fail(err, MOKA_ERR_LIMIT, "a JPEG can't be made: %s", j.why);
	else
		encode(&c, img, quality, row);
	jpeg_destroy_compress(&c);
	if (!st)
		moka_buf_add(out, w.bytes, w.n);
	free(w.bytes);
	free(row);
	return !st && out->failed ? moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for a picture") : st;
}
