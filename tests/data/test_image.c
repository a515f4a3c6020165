/*
 * test_image.c - pictures: PNG of every kind and JPEG, in three modes; resizing as OpenCV does; damage.
 */
#include "t.h"

#include "data/data.h"

#include <png.h>

#include <stdlib.h>
#include <string.h>

static const char *file(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", t_tmp(), name);
	return path;
}

/* Two by two pixels of a PNG, rows one after another in its own format. */
static const char *make_png(int type, int depth, bool interlaced, const uint8_t *rows, size_t row_bytes)
{
	static const png_color palette[] = { { 10, 20, 30 }, { 40, 50, 60 } };
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	FILE *f = fopen(file("x.png"), "wb");

	T_TRUE(f != NULL);
	png_init_io(png, f);
	png_set_IHDR(png, info, 2, 2, depth, type, interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_PLTE(png, info, palette, 2);
	png_write_info(png, info);
	for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
		for (int y = 0; y < 2; y++)
			png_write_row(png, rows + (size_t)y * row_bytes);
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
	fclose(f);
	return file("x.png");
}

static void decodes(const char *path, enum moka_image_mode mode, int channels, const uint8_t *want)
{
	struct moka_image img = { 0 };
	struct moka_error e = { 0 };

	T_OK(moka_image_read(&img, path, mode, &e), &e);
	T_INT(img.height, 2);
	T_INT(img.width, 2);
	T_INT(img.channels, channels);
	for (int i = 0; i < 4 * channels; i++)
		T_INT(img.pixels[i], want[i]);
	moka_image_release(&img);
}

T_TEST(png_kinds)
{
	const uint8_t rgb[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 },
		      bgr[] = { 3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10 };
	const uint8_t rgba[] = { 1, 2, 3, 99, 4, 5, 6, 98, 7, 8, 9, 97, 10, 11, 12, 96 };
	const uint8_t bgra[] = { 3, 2, 1, 99, 6, 5, 4, 98, 9, 8, 7, 97, 12, 11, 10, 96 };
	const uint8_t grey[] = { 1, 2, 3, 4 }, three[] = { 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4 };
	const uint8_t deep[] = { 1, 0, 2, 0, 3, 0, 4, 0 };
	const uint8_t bits[] = { 0x40, 0x80 }, bits_grey[] = { 0, 255, 255, 0 };
	const uint8_t indexed[] = { 0x40, 0x80 }, indexed_bgr[] = { 30, 20, 10, 60, 50, 40, 60, 50, 40, 30, 20, 10 };

	decodes(make_png(PNG_COLOR_TYPE_RGB, 8, false, rgb, 6), MOKA_IMAGE_NATIVE, 3, bgr);
	decodes(make_png(PNG_COLOR_TYPE_RGB, 8, true, rgb, 6), MOKA_IMAGE_COLOUR, 3, bgr);
	decodes(make_png(PNG_COLOR_TYPE_RGB_ALPHA, 8, false, rgba, 8), MOKA_IMAGE_NATIVE, 4, bgra);
	decodes(make_png(PNG_COLOR_TYPE_RGB_ALPHA, 8, false, rgba, 8), MOKA_IMAGE_COLOUR, 3, bgr);
	decodes(make_png(PNG_COLOR_TYPE_GRAY, 8, false, grey, 2), MOKA_IMAGE_NATIVE, 1, grey);
	decodes(make_png(PNG_COLOR_TYPE_GRAY, 8, true, grey, 2), MOKA_IMAGE_GREY, 1, grey);
	decodes(make_png(PNG_COLOR_TYPE_GRAY, 8, false, grey, 2), MOKA_IMAGE_COLOUR, 3, three);
	decodes(make_png(PNG_COLOR_TYPE_GRAY, 16, false, deep, 4), MOKA_IMAGE_NATIVE, 1, grey);
	decodes(make_png(PNG_COLOR_TYPE_GRAY, 1, false, bits, 1), MOKA_IMAGE_GREY, 1, bits_grey);
	decodes(make_png(PNG_COLOR_TYPE_PALETTE, 1, false, indexed, 1), MOKA_IMAGE_NATIVE, 3, indexed_bgr);
}

/* A smooth picture of three channels. */
static void gradient(struct moka_image *img, int64_t height, int64_t width, int64_t channels)
{
	*img = (struct moka_image){ height, width, channels, malloc((size_t)(height * width * channels)), 0 };
	T_TRUE(img->pixels != NULL);
	img->cap = (size_t)(height * width * channels);
	for (int64_t y = 0; y < height; y++)
		for (int64_t x = 0; x < width; x++)
			for (int64_t c = 0; c < channels; c++)
				img->pixels[(y * width + x) * channels + c] = (uint8_t)(c == 0	 ? 2 * x
											: c == 1 ? 2 * y
												 : x + y);
}

static int64_t worst(const struct moka_image *a, const struct moka_image *b)
{
	int64_t w = 0;

	T_INT(a->height, b->height);
	T_INT(a->width, b->width);
	T_INT(a->channels, b->channels);
	for (int64_t i = 0; i < a->height * a->width * a->channels; i++)
		w = MOKA_MAX(w, (int64_t)abs(a->pixels[i] - b->pixels[i]));
	return w;
}

T_TEST(round_trips)
{
	for (int channels = 1; channels <= 3; channels += 2) {
		struct moka_image img, back = { 0 };
		struct moka_error e = { 0 };
		struct moka_buf b;

		gradient(&img, 50, 70, channels);
		T_OK(moka_image_write_png(&img, file("out.png"), &e), &e);
		T_OK(moka_image_read(&back, file("out.png"), MOKA_IMAGE_NATIVE, &e), &e);
		T_INT(worst(&img, &back), 0);
		moka_buf_init(&b, 0);
		T_OK(moka_image_encode_jpeg(&img, 95, &b, &e), &e);
		T_OK(moka_image_decode(&back, b.data, b.len, "memory", MOKA_IMAGE_NATIVE, &e), &e);
		T_TRUE(worst(&img, &back) < 8);
		T_OK(moka_image_decode(&back, b.data, b.len, "memory", MOKA_IMAGE_GREY, &e), &e);
		T_INT(back.channels, 1);
		T_OK(moka_image_decode(&back, b.data, b.len, "memory", MOKA_IMAGE_COLOUR, &e), &e);
		T_INT(back.channels, 3);
		moka_buf_release(&b);
		moka_image_release(&back);
		moka_image_release(&img);
	}
}

/* Cut anywhere, and bits turned over: an error or a picture, never more. */
static void damage(const char *bytes, size_t n, size_t step, const char *what)
{
	struct moka_image img = { 0 };
	char *copy = malloc(n);
	struct moka_rng r;
	int refused = 0;

	T_TRUE(copy != NULL);
	for (size_t k = 0; k < n - 16; k += step) {
		struct moka_error e = { 0 };

		T_TRUE(moka_image_decode(&img, bytes, k, "cut", MOKA_IMAGE_COLOUR, &e) != MOKA_OK);
		T_HAS(e.message, "cut: ");
	}
	moka_rng_seed(&r, 5, 0);
	for (int i = 0; i < 400; i++) {
		struct moka_error e = { 0 };

		memcpy(copy, bytes, n);
		copy[moka_rng_below(&r, n)] ^= (char)(1 << moka_rng_below(&r, 8));
		refused += moka_image_decode(&img, copy, n, what, MOKA_IMAGE_NATIVE, &e) != MOKA_OK;
	}
	T_TRUE(refused > 0);
	free(copy);
	moka_image_release(&img);
}

T_TEST(damaged)
{
	struct moka_image img;
	struct moka_error e = { 0 };
	struct moka_buf b;

	gradient(&img, 40, 40, 3);
	moka_buf_init(&b, 0);
	T_OK(moka_image_encode_png(&img, &b, &e), &e);
	damage(b.data, b.len, 3, "damaged png");
	b.len = 0;
	T_OK(moka_image_encode_jpeg(&img, 90, &b, &e), &e);
	damage(b.data, b.len, 5, "damaged jpeg");
	moka_buf_release(&b);
	moka_image_release(&img);
}

T_TEST(impossible_sizes)
{
	/* a PNG head that claims 2^31-1 by 2^31-1 pixels, and one of 60000 x 60000, with right checksums */
	static const struct {
		const char *png;
		const char *message;
	} rows[] = {
		{ "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0", "60000 x 60000 pixels" },
		{ "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x1f\x40\0\0\x1f\x40\x08\x02\0\0\0", "8000 x 8000 pixels" },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_image img = { 0 };
		struct moka_error e = { 0 };
		uint8_t bytes[80] = { 0 };
		uint32_t crc = 0xffffffff;

		memcpy(bytes, rows[i].png, 29);
		for (int k = 12; k < 29; k++) {
			crc ^= bytes[k];
			for (int j = 0; j < 8; j++)
				crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		}
		for (int k = 0; k < 4; k++)
			bytes[29 + k] = (uint8_t)(~crc >> (24 - 8 * k));
		memcpy(bytes + 33, "\0\0\0\0IDAT\x35\xaf\x06\x1e", 12);
		T_TRUE(moka_image_decode(&img, bytes, sizeof(bytes), "x", MOKA_IMAGE_COLOUR, &e) != MOKA_OK);
		T_HAS(e.message, rows[i].message);
		T_TRUE(img.cap == 0);
		moka_image_release(&img);
	}
}

T_TEST(not_pictures)
{
	struct moka_image img = { 0 };
	struct moka_error e = { 0 };

	T_TRUE(moka_image_read(&img, file("absent.png"), MOKA_IMAGE_NATIVE, &e) == MOKA_ERR_IO);
	T_TRUE(moka_image_decode(&img, "layer { }", 9, "a.jpg", MOKA_IMAGE_NATIVE, &e) != MOKA_OK);
	T_HAS(e.message, "a.jpg: this is a net in text (.prototxt), not a picture");
}

/* Known results of OpenCV's resize(): half-pixel centres, ends repeated. */
T_TEST(resize_as_opencv)
{
	uint8_t two[] = { 0, 255 }, four[] = { 10, 20, 30, 40 };
	const uint8_t up[] = { 0, 64, 191, 255 }, down[] = { 15, 35 };
	struct moka_image img = { 1, 2, 1, two, 2 }, wide = { 1, 4, 1, four, 4 }, out = { 0 };
	struct moka_error e = { 0 };

	T_OK(moka_image_resize(&img, 1, 4, &out, &e), &e);
	for (int i = 0; i < 4; i++)
		T_INT(out.pixels[i], up[i]);
	img.height = 2;
	img.width = 1;
	T_OK(moka_image_resize(&img, 4, 1, &out, &e), &e);
	for (int i = 0; i < 4; i++)
		T_INT(out.pixels[i], up[i]);
	T_OK(moka_image_resize(&wide, 1, 2, &out, &e), &e);
	for (int i = 0; i < 2; i++)
		T_INT(out.pixels[i], down[i]);
	moka_image_release(&out);
}

/* Against the formula in double precision, up and down, to one step of rounding; the same size is a copy. */
T_TEST(resize_is_bilinear)
{
	const int64_t sizes[][2] = { { 31, 17 }, { 64, 90 }, { 1, 1 }, { 50, 70 } };
	struct moka_image img, out = { 0 };
	struct moka_error e = { 0 };

	gradient(&img, 50, 70, 3);
	for (size_t k = 0; k < MOKA_COUNT(sizes); k++) {
		const int64_t h = sizes[k][0], w = sizes[k][1];

		T_OK(moka_image_resize(&img, h, w, &out, &e), &e);
		for (int64_t y = 0; y < h; y++)
			for (int64_t x = 0; x < w; x++) {
				const double sy = MOKA_MIN(MOKA_MAX(((double)y + 0.5) * 50 / (double)h - 0.5, 0), 49);
				const double sx = MOKA_MIN(MOKA_MAX(((double)x + 0.5) * 70 / (double)w - 0.5, 0), 69);
				const uint8_t *p = out.pixels + (y * w + x) * 3;

				T_TRUE(p[0] - 2 * sx < 1.01 && p[0] - 2 * sx > -1.01);
				T_TRUE(p[1] - 2 * sy < 1.01 && p[1] - 2 * sy > -1.01);
				T_TRUE(p[2] - sx - sy < 1.01 && p[2] - sx - sy > -1.01);
			}
	}
	T_INT(worst(&img, &out), 0);
	moka_image_release(&out);
	moka_image_release(&img);
}

T_TEST(planes)
{
	struct moka_image img;
	real out[12];
	uint8_t bytes[12];

	gradient(&img, 2, 2, 3);
	moka_image_planar(&img, out);
	moka_image_planar_u8(&img, bytes);
	const real want[] = { 0, 2, 0, 2, 0, 0, 2, 2, 0, 1, 1, 2 };
	T_NEAR(out, want, 12, 0, 0);
	for (int i = 0; i < 12; i++)
		T_INT(bytes[i], (int)want[i]);
	moka_image_release(&img);
}

T_TEST(real_photograph)
{
	struct moka_image img = { 0 };
	struct moka_error e = { 0 };
	char path[4300];

	if (!t_shared())
		T_SKIP("no ../shared");
	snprintf(path, sizeof(path), "%s/models/mtcnn-det1/office1.jpg", t_shared());
	if (!moka_path_exists(path))
		T_SKIP("no photograph");
	T_OK(moka_image_read(&img, path, MOKA_IMAGE_COLOUR, &e), &e);
	T_INT(img.channels, 3);
	T_TRUE(img.height > 100 && img.width > 100);
	moka_image_release(&img);
}

static const struct CMUnitTest tests[] = {
	T_CASE(png_kinds),	    T_CASE(round_trips),  T_CASE(damaged),
	T_CASE(impossible_sizes),   T_CASE(not_pictures), T_CASE(resize_as_opencv),
	T_CASE(resize_is_bilinear), T_CASE(planes),	  T_CASE(real_photograph),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
