/*
 * yolo.h - what the layers that read out YOLO's grids share: the boxes of a cell, and the rows that are made of the best
 * ones (yolo.c).
 */
#ifndef MOKA_YOLO_H
#define MOKA_YOLO_H

#include "boxes.h"

/* One grid: cells of h x w, in each `boxes` boxes of 5 + classes values (x, y, w, h, objectness, classes), as channels. */
struct moka__yolo_grid {
	const real *x; /* (num, boxes * (5 + classes), h, w) */
	int64_t h, w, boxes, classes;
	const real *anchor;  /* boxes pairs: width and height of each box, */
	real unit_w, unit_h; /* in these parts of the picture's width and height: 1/w and 1/h for cells */
	bool softmax;	     /* classes exclude each other; false: each has a sigmoid of its own */
	real threshold;
	bool inclusive; /* a box with just the threshold's score counts */
};

/* Candidates of the images, each with its class and score; places of an image follow each other. */
struct moka__yolo_found {
	struct moka__box *box;	/* (num, places) */
	struct moka__ranked *r; /* (num, places): the candidates in front, index: their place */
	int32_t *label;		/* (num, places) */
	int64_t *n;		/* (num): candidates */
	int64_t num, places;
};

size_t moka__yolo_scratch(int64_t num, int64_t places);
void moka__yolo_lay_out(struct moka__yolo_found *o, int64_t num, int64_t places, void *scratch);
/* The boxes of a grid, of all images, as places [first, first + h * w * boxes). */
void moka__yolo_collect(struct moka_pool *pool, const struct moka__yolo_grid *g, int64_t first,
			struct moka__yolo_found *o);
/* Drops what overlaps a better one of any class by `overlap` or more; writes rows of 7 as DetectionOutput does, labels from 1. */
void moka__yolo_rows(struct moka_pool *pool, struct moka__yolo_found *o, real overlap, const struct moka_view *top);

/* Each of the first `grids` bottoms has 4 axes and boxes * (5 + classes) channels; *places of all bottoms together, -1 unknown. top[0]'s shape. */
enum moka_status moka__yolo_shape(struct moka_layer *l, struct moka_findings *f, int grids, int64_t boxes,
				  int64_t classes, int64_t *num, int64_t *places);

#endif
