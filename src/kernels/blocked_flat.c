/*
 * blocked_flat.c - sums, scales and shifts of whole tensors, and normalisation across channels.
 */
#include "blocked_kernels.h"

#include <string.h>
#include <tgmath.h>

#define WORTH_A_THREAD 100000
#define MOST_BLOCK 16
#define RUN 8192 /* values of a piece of work */

struct flat {
	const struct moka_tensor *x, *z, *y;
	real a, b;
	const real *scale, *shift;
	const struct moka_act *act;
	const struct moka__blocked_kernels *k;
	int64_t planes;
	int64_t values, runs; /* of an image, where all are treated alike */
};

/* The values of one block of channels, `rest` where there are none. */
static void lanes(const real *of, real otherwise, int64_t c0, int64_t channels, int64_t b, real rest, real *to)
{
	for (int64_t i = 0; i < b; i++)
		to[i] = c0 + i >= channels ? rest : of ? of[c0 + i] : otherwise;
}

static void blocked_plane(const struct flat *f, int64_t c, const real *x, const real *z, real *y)
{
	const int64_t b = f->y->block, c0 = c * b;
	_Alignas(64) real scale[MOST_BLOCK], shift[MOST_BLOCK], slopes[MOST_BLOCK];
	struct moka_act act = f->act ? *f->act : (struct moka_act){ MOKA_ACT_NONE, 0, 0, 0, NULL };

	lanes(f->scale, f->a, c0, f->y->channels, b, 1, scale);
	lanes(f->shift, 0, c0, f->y->channels, b, 0, shift);
	if (act.kind == MOKA_ACT_PRELU)
		lanes(act.slopes, 0, c0, f->y->channels, b, 0, slopes);
	act.slopes = slopes;
	f->k->combine(f->y->height * f->y->width, scale, x, f->b, z, shift, &act, y);
}

static void plain_plane(const struct flat *f, int64_t c, const real *x, const real *z, real *y)
{
	const real scale = f->scale ? f->scale[c] : f->a, shift = f->shift ? f->shift[c] : 0;

	for (int64_t i = 0; i < f->y->height * f->y->width; i++)
		y[i] = moka__act_one(f->act, c, scale * x[i] + shift + (z ? f->b * z[i] : 0));
}

/* Values [from, to) of one image, where all are treated alike: the layout does not matter. */
static void alike_run(const struct flat *f, const real *x, const real *z, real *y, int64_t from, int64_t to)
{
	_Alignas(64) real scale[MOST_BLOCK], shift[MOST_BLOCK];
	const int64_t vectors = f->k ? (to - from) / f->k->block : 0;
	const struct moka_act none = { MOKA_ACT_NONE, 0, 0, 0, NULL };

	lanes(NULL, f->a, 0, MOST_BLOCK, MOST_BLOCK, 1, scale);
	lanes(NULL, 0, 0, MOST_BLOCK, MOST_BLOCK, 0, shift);
	if (vectors)
		f->k->combine(vectors, scale, x + from, f->b, z ? z + from : NULL, shift, f->act ? f->act : &none,
			      y + from);
	for (int64_t i = from + vectors * (f->k ? f->k->block : 0); i < to; i++)
		y[i] = moka__act_one(f->act, 0, f->a * x[i] + (z ? f->b * z[i] : 0));
}

static void alike_item(void *arg, int64_t item, int slot)
{
	const struct flat *f = arg;
	const int64_t n = item / f->runs, run = item % f->runs, image = f->values;

	(void)slot;
	alike_run(f, f->x->data + n * f->x->image_stride, f->z ? f->z->data + n * f->z->image_stride : NULL,
		  f->y->data + n * f->y->image_stride, run * RUN, MOKA_MIN((run + 1) * RUN, image));
}

static void flat_item(void *arg, int64_t item, int slot)
{
	const struct flat *f = arg;
	const int64_t n = item / f->planes, c = item % f->planes;
	const int64_t plane = f->y->height * f->y->width * f->y->block;
	const real *x = f->x->data + n * f->x->image_stride + c * plane;
	const real *z = f->z ? f->z->data + n * f->z->image_stride + c * plane : NULL;
	real *y = f->y->data + n * f->y->image_stride + c * plane;

	(void)slot;
	if (f->y->block == 1)
		plain_plane(f, c, x, z, y);
	else
		blocked_plane(f, c, x, z, y);
}

static void run_flat(struct moka_pool *pool, struct flat *f)
{
	f->k = moka__blocked_choose();
	f->planes = moka__ceil_div(f->y->channels, f->y->block);
	if (f->y->images * f->y->channels * f->y->height * f->y->width < WORTH_A_THREAD)
		pool = NULL;
	f->values = moka_tensor_image(f->y->channels, f->y->height, f->y->width, f->y->block);
	f->runs = moka__ceil_div(f->values, RUN);
	if (!f->scale && !f->shift && !(f->act && f->act->kind == MOKA_ACT_PRELU))
		moka__deal(pool, f->y->images * f->runs, alike_item, f);
	else
		moka__deal(pool, f->y->images * f->planes, flat_item, f);
	if (f->y->block > 1 && moka__act_moves_zero(f->act))
		moka__zero_spare(f->y);
}

void moka_add2(struct moka_pool *pool, real a, const struct moka_tensor *x, real b, const struct moka_tensor *z,
	       const struct moka_act *act, const struct moka_tensor *y)
{
	struct flat f = { .x = x, .z = z, .y = y, .a = a, .b = b, .act = act };

	run_flat(pool, &f);
}

void moka_affine(struct moka_pool *pool, const real *scale, const real *shift, const struct moka_act *act,
		 const struct moka_tensor *x, const struct moka_tensor *y)
{
	struct flat f = { .x = x, .y = y, .a = 1, .scale = scale, .shift = shift, .act = act };

	run_flat(pool, &f);
}

/* ---- normalisation across channels ------------------------------------------------------------------ */

#define LRN_PLACES 8
#define LRN_SPACE 8192 /* squares of a place at most; beyond, channel by channel */

struct lrn {
	const struct moka_tensor *x, *y;
	int64_t size, pieces, before;
	real f, beta, k;
	const struct moka__blocked_kernels *ops;
};

static int64_t at_channel(const struct moka_tensor *t, int64_t c)
{
	const int64_t b = t->block;

	return c / b * b * t->height * t->width + c % b;
}

static void plain_place(const struct lrn *l, const real *x, real *y)
{
	for (int64_t c = 0; c < l->x->channels; c++) {
		const int64_t from = MOKA_MAX(0, c - l->before);
		const int64_t to = MOKA_MIN(l->x->channels, c - l->before + l->size);
		real s = 0;
		for (int64_t i = from; i < to; i++)
			s += x[at_channel(l->x, i)] * x[at_channel(l->x, i)];
		y[at_channel(l->y, c)] = x[at_channel(l->x, c)] * pow(l->k + l->f * s, -l->beta);
	}
	for (int64_t c = l->x->channels; c % l->y->block; c++)
		y[at_channel(l->y, c)] = 0;
}

static bool has_vectors(const struct lrn *l)
{
	return l->y->block > 1 && l->beta == (real)0.75 && l->x->data != l->y->data &&
	       l->x->channels + l->size + 2 * MOST_BLOCK <= LRN_SPACE / LRN_PLACES;
}

/* Squares of some places first, each place's channels in a run with zeros around; then the windows over them. */
static void vector_places(const struct lrn *l, const real *x, real *y, int64_t n)
{
	const int64_t b = l->y->block, blocks = moka__ceil_div(l->x->channels, b);
	const int64_t step = l->x->height * l->x->width * b, pitch = LRN_SPACE / LRN_PLACES;
	_Alignas(64) real squares[LRN_SPACE];

	for (int64_t p = 0; p < n; p++) {
		real *s = squares + p * pitch;
		memset(s, 0, (size_t)l->before * sizeof(real));
		for (int64_t c = 0; c < blocks; c++)
			for (int64_t i = 0; i < b; i++)
				s[l->before + c * b + i] = x[c * step + p * b + i] * x[c * step + p * b + i];
		memset(s + l->before + blocks * b, 0, (size_t)l->size * sizeof(real));
	}
	for (int64_t p = 0; p < n; p++)
		l->ops->lrn(blocks, l->size, l->f, l->k, squares + p * pitch, x + p * b, step, y + p * b, step);
}

static void lrn_item(void *arg, int64_t item, int slot)
{
	const struct lrn *l = arg;
	const int64_t n = item / l->pieces, area = l->x->height * l->x->width, b = l->x->block;
	const int64_t p0 = item % l->pieces * 64, p1 = MOKA_MIN(p0 + 64, area);
	const real *x = l->x->data + n * l->x->image_stride;
	real *y = l->y->data + n * l->y->image_stride;

	(void)slot;
	for (int64_t p = p0; p < p1; p += LRN_PLACES) {
		const int64_t count = MOKA_MIN(LRN_PLACES, p1 - p);
		if (has_vectors(l))
			vector_places(l, x + p * b, y + p * b, count);
		else
			for (int64_t i = p; i < p + count; i++)
				plain_place(l, x + i * b, y + i * b);
	}
}

void moka_lrn_across(struct moka_pool *pool, int64_t size, real alpha, real beta, real k, const struct moka_tensor *x,
		     const struct moka_tensor *y)
{
	struct lrn l = { x,
			 y,
			 size,
			 moka__ceil_div(x->height * x->width, 64),
			 (size - 1) / 2,
			 alpha / (real)size,
			 beta,
			 k,
			 moka__blocked_choose() };

	if (x->images * x->channels * x->height * x->width < WORTH_A_THREAD / 4)
		pool = NULL;
	moka__deal(pool, x->images * l.pieces, lrn_item, &l);
}
