/*
 * windows.h - a window file (R-CNN), read. Private to data/.
 */
#ifndef MOKA_DATA_WINDOWS_H
#define MOKA_DATA_WINDOWS_H

#include "data/data.h"

struct moka__window {
	int32_t image;		/* index */
	int32_t label;		/* 0: background */
	int32_t x1, y1, x2, y2; /* pixels, both ends inside */
	int64_t line;		/* of the file */
};
struct moka__window_image {
	const char *path; /* with the root folder */
	int64_t channels, height, width;
	int64_t line;
};
struct moka__window_list {
	struct moka__window *w;
	int64_t n;
};
struct moka__windows {
	const char *file;
	struct moka__window_image *images;
	int64_t n_images;
	struct moka__window_list kind[2]; /* background, object */
};
/*
 * Windows that overlap an object by fg_threshold or more are objects, those below bg_threshold are background, the others are
 * left out. Everything is in the arena.
 */
enum moka_status moka__windows_read(struct moka__windows *out, const char *path, const char *root, double fg_threshold,
				    double bg_threshold, struct moka_arena *a, struct moka_error *err);

#endif
