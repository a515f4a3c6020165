/*
 * layer_fill.c - what the bottoms of a layer under test are filled with: see layer_test.h.
 */
#include "layer_test.h"

#include <stdlib.h>

/* Rows of 5: an image below `images`, then the corners of a box. */
static void fill_regions(real *v, int64_t n, uint64_t images, struct moka_rng *rng)
{
	for (int64_t i = 0; i + 5 <= n; i += 5) {
		v[i] = (real)moka_rng_below(rng, images);
		v[i + 1] = (real)moka_rng_below(rng, 6);
		v[i + 2] = (real)moka_rng_below(rng, 6);
		v[i + 3] = v[i + 1] + (real)moka_rng_below(rng, 20);
		v[i + 4] = v[i + 2] + (real)moka_rng_below(rng, 20);
	}
}

/* A box within the unit square. */
static void fill_box(real *v, struct moka_rng *rng)
{
	for (int i = 0; i < 2; i++) {
		v[i] = (real)(0.7 * moka_rng_uniform(rng));
		v[i + 2] = v[i] + (real)(0.05 + 0.25 * moka_rng_uniform(rng));
	}
}

/* SSD's rows: 8 of an object (image, label 1 or 2, instance, box, difficult), 7 of a detection (image, label, score, box). */
static void fill_boxes(real *v, int64_t n, int width, uint64_t images, struct moka_rng *rng)
{
	for (int64_t i = 0; i + width <= n; i += width) {
		v[i] = (real)moka_rng_below(rng, images);
		v[i + 1] = (real)(1 + moka_rng_below(rng, 2));
		v[i + 2] = (real)(width == 7 ? moka_rng_uniform(rng) : 0);
		fill_box(v + i + 3, rng);
		if (width == 8)
			v[i + 7] = (real)moka_rng_below(rng, 2);
	}
}

/* Boxes, then as many variances. */
static void fill_priors(real *v, int64_t n, struct moka_rng *rng)
{
	for (int64_t i = 0; i + 4 <= n / 2; i += 4)
		fill_box(v + i, rng);
	for (int64_t i = n / 2; i < n; i++)
		v[i] = (real)(i % 4 < 2 ? 0.1 : 0.2);
}

void lt_fill(real *v, int64_t n, const char *kind, struct moka_rng *rng)
{
	if (*kind == 'r') {
		fill_regions(v, n, strtoull(kind + 1, NULL, 10), rng);
		return;
	}
	if (*kind == 'o' || *kind == 'd') {
		fill_boxes(v, n, *kind == 'o' ? 8 : 7, strtoull(kind + 1, NULL, 10), rng);
		return;
	}
	if (*kind == 'p') {
		fill_priors(v, n, rng);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		switch (*kind) {
		case 'u':
			v[i] = (real)(0.1 + 0.9 * moka_rng_uniform(rng));
			break;
		case 'i':
			v[i] = (real)moka_rng_below(rng, strtoull(kind + 1, NULL, 10));
			break;
		case 's':
			v[i] = (real)moka_rng_below(rng, 2);
			break;
		case 'z':
			v[i] = 0;
			break;
		case 'c':
			v[i] = (real)strtod(kind + 1, NULL);
			break;
		default:
			v[i] = (real)moka_rng_gaussian(rng);
			break;
		}
}
