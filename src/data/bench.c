/*
 * bench.c - from a decoded picture to its place in a batch: what the makers of database and list samples share.
 */
#include "data/ahead.h"

#include <inttypes.h>
#include <string.h>

void moka__bench_release(struct moka__bench *b)
{
	moka_image_release(&b->image);
	moka_image_release(&b->other);
	moka_buf_release(&b->bytes);
	moka_buf_release(&b->objects);
	memset(b, 0, sizeof(*b));
}

enum moka_image_mode moka__mode_of(const struct moka_transform_param *p)
{
	return p->force_color ? MOKA_IMAGE_COLOUR : p->force_gray ? MOKA_IMAGE_GREY : MOKA_IMAGE_NATIVE;
}

enum moka_status moka__check_size(const struct moka_transform *t, const struct moka__size *want, int64_t c, int64_t h,
				  int64_t w, const char *where, struct moka_error *err)
{
	const int64_t *first = want->d;
	int64_t size[3];

	MOKA_TRY(moka_transform_shape(t, c, h, w, size, where, err));
	if (!memcmp(size, first, sizeof(size)))
		return MOKA_OK;
	moka_fail(err, MOKA_ERR_DATA,
		  "%s: the picture is %" PRId64 "x%" PRId64 "x%" PRId64 ", but the first one is %" PRId64 "x%" PRId64
		  "x%" PRId64,
		  where, size[0], size[1], size[2], first[0], first[1], first[2]);
	moka_fail_hint(
		err,
		"set crop_size (and force_color or force_gray) in transform_param, or give all pictures one size: `moka data images --resize_height H --resize_width W`, or new_height and new_width of ImageData");
	return MOKA_ERR_DATA;
}

enum moka_status moka__bench_picture(struct moka__bench *b, const struct moka_image *img,
				     const struct moka_transform *t, const struct moka__size *size, uint64_t seed,
				     real *out, struct moka_error *err)
{
	const char *where = b->sample.where;
	struct moka_rng rng;

	MOKA_TRY(moka__check_size(t, size, img->channels, img->height, img->width, where, err));
	moka_rng_seed(&rng, seed, b->sample.k);
	moka_transform_image(t, img, &rng, out);
	return MOKA_OK;
}
