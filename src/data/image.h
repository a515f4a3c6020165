/*
 * image.h - what the picture formats share with image.c. Private to data/.
 */
#ifndef MOKA_DATA_IMAGE_H
#define MOKA_DATA_IMAGE_H

#include "data/data.h"

/* Sets the size and makes room, after checking that a file of so many bytes can hold such a picture. */
enum moka_status moka__image_prepare(struct moka_image *img, int64_t height, int64_t width, int64_t channels,
				     size_t file_bytes, const char *name, struct moka_error *err);
enum moka_status moka__jpeg_decode(struct moka_image *img, const void *bytes, size_t n, const char *name,
				   enum moka_image_mode mode, struct moka_error *err);
enum moka_status moka__png_decode(struct moka_image *img, const void *bytes, size_t n, const char *name,
				  enum moka_image_mode mode, struct moka_error *err);

#endif
