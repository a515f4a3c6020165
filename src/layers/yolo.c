/*
 * yolo.c - reads out YOLO's grids: boxes, their classes, the best ones as rows.
 *
 * The forks decide a box's class for every class above the threshold, and then drop boxes that overlap a better one whatever its class:
 * of the several classes of one box only the best can stay. So a box is one candidate here, with its best class. They also mix the images
 * of a batch, and call all of them image 0; here each image is judged by itself and keeps its number.
 */
#include "yolo.h"

#include <string.h>
#include <tgmath.h>

static real sigmoid(real x)
{
	return 1 / (1 + exp(-x));
}

enum moka_status moka__yolo_shape(struct moka_layer *l, struct moka_findings *f, int grids, int64_t boxes,
				  int64_t classes, int64_t *num, int64_t *places)
{
	const int64_t channels = moka_layer_product(2, (int64_t[]){ boxes, 5 + classes });
	char text[MOKA_SHAPE_TEXT];
	int64_t all = 0;

	*num = -1;
	for (int i = 0; i < grids; i++) {
		const struct moka_shape *s = &l->bottom[i].shape;
		int64_t here;

		if (s->n >= 0 && (s->n != 4 || (s->d[1] >= 0 && s->d[1] != channels)))
			return moka_layer_bad_bottom(
				l, f, "shape-mismatch", i,
				"'%s' is %s: %lld boxes of a cell with %lld classes take 4 axes and %lld channels",
				l->bottom[i].name, moka_shape_text(s, text, sizeof(text)), (long long)boxes,
				(long long)classes, (long long)channels);
		if (s->n == 4 && s->d[0] >= 0 && *num >= 0 && s->d[0] != *num)
			return moka_layer_bad_bottom(l, f, "shape-mismatch", i, "'%s' has %lld images and '%s' %lld",
						     l->bottom[0].name, (long long)*num, l->bottom[i].name,
						     (long long)s->d[0]);
		*num = s->n == 4 && s->d[0] >= 0 ? s->d[0] : *num;
		here = s->n == 4 ? moka_layer_product(3, (int64_t[]){ s->d[2], s->d[3], boxes }) : -1;
		if (here > INT32_MAX || all + here > INT32_MAX)
			return moka_layer_bad_bottom(l, f, "too-large", i, "'%s' is %s: these are too many boxes",
						     l->bottom[i].name, moka_shape_text(s, text, sizeof(text)));
		all = all < 0 || here < 0 ? -1 : all + here;
	}
	*places = all;
	l->top[0].shape = moka_shape_make(4, (int64_t)1, (int64_t)1,
					  moka_layer_product(2, (int64_t[]){ *num, all < 0 ? -1 : MOKA_MAX(all, 1) }),
					  (int64_t)7);
	l->scratch_bytes = moka__yolo_scratch(*num, all);
	return MOKA_OK;
}

size_t moka__yolo_scratch(int64_t num, int64_t places)
{
	return moka_layer_bytes(num, sizeof(int64_t)) +
	       moka_layer_bytes(moka_layer_product(2, (int64_t[]){ num, places }),
				sizeof(struct moka__box) + sizeof(struct moka__ranked) + sizeof(int32_t));
}

void moka__yolo_lay_out(struct moka__yolo_found *o, int64_t num, int64_t places, void *scratch)
{
	o->num = num;
	o->places = places;
	o->n = scratch;
	o->box = (struct moka__box *)(o->n + num);
	o->r = (struct moka__ranked *)(o->box + num * places);
	o->label = (int32_t *)(o->r + num * places);
	for (int64_t i = 0; i < num; i++)
		o->n[i] = 0;
}

/* ---- a box -------------------------------------------------------------------------------------------------- */

/* x: its first value; values are `plane` apart. The best class and its score, times that there is an object at all. */
static real best_class(const struct moka__yolo_grid *g, const real *x, int32_t *label)
{
	const int64_t plane = g->h * g->w;
	const real object = sigmoid(x[4 * plane]);
	real most, sum = 0;

	x += 5 * plane;
	*label = 0;
	for (int64_t k = 1; k < g->classes; k++)
		if (x[k * plane] > x[*label * plane])
			*label = (int32_t)k;
	most = x[*label * plane];
	if (!g->softmax)
		return object * sigmoid(most);
	for (int64_t k = 0; k < g->classes; k++)
		sum += exp(x[k * plane] - most);
	return object / sum;
}

static struct moka__box box_of(const struct moka__yolo_grid *g, const real *x, int64_t cell, int64_t b)
{
	const int64_t plane = g->h * g->w;
	const real cx = ((real)(cell % g->w) + sigmoid(x[0])) / (real)g->w;
	const real cy = ((real)(cell / g->w) + sigmoid(x[plane])) / (real)g->h;
	const real w = exp(x[2 * plane]) * g->anchor[2 * b] * g->unit_w;
	const real h = exp(x[3 * plane]) * g->anchor[2 * b + 1] * g->unit_h;

	return (struct moka__box){ cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2 };
}

struct collect_job {
	const struct moka__yolo_grid *g;
	struct moka__yolo_found *o;
	int64_t first;
};

/* Images. Boxes in the order of cells, then of the boxes of a cell: so ties are decided as in the forks. */
static void collect_piece(void *arg, int64_t begin, int64_t end)
{
	const struct collect_job *j = arg;
	const struct moka__yolo_grid *g = j->g;
	const int64_t plane = g->h * g->w, size = (5 + g->classes) * plane;

	for (int64_t n = begin; n < end; n++)
		for (int64_t i = 0; i < plane * g->boxes; i++) {
			const int64_t cell = i / g->boxes, b = i % g->boxes, place = n * j->o->places + j->first + i;
			const real *x = g->x + (n * g->boxes + b) * size + cell;
			const real score = best_class(g, x, &j->o->label[place]);

			if (!(score > g->threshold || (g->inclusive && score == g->threshold)))
				continue;
			j->o->box[place] = box_of(g, x, cell, b);
			j->o->r[n * j->o->places + j->o->n[n]++] =
				(struct moka__ranked){ score, (int32_t)(j->first + i) };
		}
}

void moka__yolo_collect(struct moka_pool *pool, const struct moka__yolo_grid *g, int64_t first,
			struct moka__yolo_found *o)
{
	struct collect_job j = { g, o, first };

	moka_parallel(pool, collect_piece, &j, o->num, 1);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

struct keep_job {
	struct moka__yolo_found *o;
	real overlap;
};

static void keep_piece(void *arg, int64_t begin, int64_t end)
{
	const struct keep_job *j = arg;

	for (int64_t n = begin; n < end; n++) {
		struct moka__ranked *r = j->o->r + n * j->o->places;

		moka__rank_sort(r, j->o->n[n]);
		j->o->n[n] =
			moka__nms(j->o->box + n * j->o->places, r, j->o->n[n], j->overlap, 1, -1, MOKA__BOX_NORMALISED);
	}
}

void moka__yolo_rows(struct moka_pool *pool, struct moka__yolo_found *o, real overlap, const struct moka_view *top)
{
	/* moka__nms() keeps an overlap of just its threshold, the forks do not */
	struct keep_job j = { o, nextafter(overlap, (real)-1) };
	real *row = top->data;

	moka_parallel(pool, keep_piece, &j, o->num, 1);
	for (int64_t n = 0; n < o->num; n++)
		for (int64_t i = 0; i < o->n[n]; i++, row += 7) {
			const struct moka__ranked *r = &o->r[n * o->places + i];
			const struct moka__box *b = &o->box[n * o->places + r->index];
			const int32_t label = o->label[n * o->places + r->index] + 1;
			const real values[7] = { (real)n, (real)label, r->score, b->x1, b->y1, b->x2, b->y2 };

			memcpy(row, values, sizeof(values));
		}
	for (int64_t n = 0, none = row == top->data; none && n < o->num; n++, row += 7) {
		moka_set(7, -1, row);
		row[0] = (real)n;
	}
	moka_set(top->count - (row - top->data), 0, row);
}
