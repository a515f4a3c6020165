/*
 * join_run.c - the passes of joined layers: see struct moka__join.
 */
#include "net/fused.h"

#include "kernels/blocked_train.h"

#include <string.h>

#define PIECE 16384

/* ---- NORM --------------------------------------------------------------------------------------------- */

static const struct moka_view *param_of(const struct moka_exec *e, int layer, int param)
{
	return layer >= 0 ? &e->steps[layer].param[param] : NULL;
}

static struct moka_norm norm_of(const struct moka_exec *e, const struct moka__join *j)
{
	const struct moka_shape *s = &e->n->blobs[j->blob].shape;
	const struct moka_view *scale = param_of(e, j->scale_layer, j->scale),
			       *shift = param_of(e, j->shift_layer, j->shift);

	return (struct moka_norm){ .images = s->d[0],
				   .channels = s->d[1],
				   .area = s->d[2] * s->d[3],
				   .block = e->blob_block[j->blob],
				   .eps = j->eps,
				   .slope = j->slope,
				   .scale = scale ? scale->data : NULL,
				   .shift = shift ? shift->data : NULL,
				   .mean = j->stats,
				   .variance = j->stats + s->d[1],
				   .deviation = j->stats + 2 * s->d[1] };
}

size_t moka__join_scratch(const struct moka_exec *e, const struct moka__join *j)
{
	const struct moka_shape *s = &e->n->blobs[j->blob].shape;
	const struct moka_norm d = { .images = s->d[0], .channels = s->d[1] };

	return j->kind == MOKA__JOIN_NORM ? moka_norm_scratch(&d) : 0;
}

static void norm_forward(struct moka_exec *e, const struct moka__join *j)
{
	const struct moka__step *head = &e->steps[j->layers[0]];
	const struct moka_norm d = norm_of(e, j);

	if (j->copies_x)
		memcpy(j->x, head->bottom[0].data, (size_t)head->bottom[0].count * sizeof(real));
	moka_norm_forward(e->o.pool, &d, j->x, head->top[0].data, e->scratch);
	moka_norm_keep(d.channels, d.images * d.area, j->keep, d.mean, d.variance, head->param[0].data,
		       head->param[1].data, head->param[2].data);
}

static void norm_backward(struct moka_exec *e, const struct moka__join *j)
{
	const struct moka_view *scale = param_of(e, j->scale_layer, j->scale),
			       *shift = param_of(e, j->shift_layer, j->shift);
	const struct moka_norm d = norm_of(e, j);

	moka_norm_backward(e->o.pool, &d, j->x, j->dy, scale ? scale->diff : NULL, shift ? shift->diff : NULL,
			   e->steps[j->layers[0]].bottom[0].diff, e->scratch);
}

/* ---- ADD ---------------------------------------------------------------------------------------------- */

struct add_job {
	const struct moka__join *j;
	const struct moka_view *bottom;
	real *y, *dy;
	real **parts; /* of dy, to be added; NULL: it is whole */
};

static void add_piece(void *arg, int64_t begin, int64_t end)
{
	const struct add_job *a = arg;
	const bool past = moka_past_caches(a->bottom[0].count);

	(past ? moka_sum_relu_past : moka_sum_relu)(end - begin, a->j->a[0], a->bottom[0].data + begin, a->j->a[1],
						    a->bottom[1].data + begin, a->j->slope, a->y + begin);
}

static void add_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct add_job *a = arg;
	const int64_t n = end - begin;
	real *dy = a->dy + begin;

	if (a->parts)
		moka_relu_gradient_sum(n, a->j->slope, a->y + begin, a->parts[0] + begin, a->parts[1] + begin, dy);
	else if (a->j->slope != 1)
		moka_relu_gradient(n, a->j->slope, a->y + begin, dy, dy);
	for (int k = 0; k < 2; k++)
		if (a->bottom[k].diff && !a->j->shares[k])
			moka_axpby(n, a->j->a[k], dy, 0, a->bottom[k].diff + begin);
}

static void run_add(struct moka_exec *e, const struct moka__join *j, void (*piece)(void *, int64_t, int64_t))
{
	const struct moka__step *head = &e->steps[j->layers[0]];
	struct add_job a = { j, head->bottom, head->top[0].data, e->diff[j->blob], NULL };

	if (j->sum >= 0)
		a.parts = e->sums[j->sum].parts;
	moka_parallel(e->o.pool, piece, &a, head->top[0].count, PIECE);
}

/* ---- both --------------------------------------------------------------------------------------------- */

void moka__join_forward(struct moka_exec *e, const struct moka__join *j)
{
	if (j->kind == MOKA__JOIN_NORM)
		norm_forward(e, j);
	else
		run_add(e, j, add_piece);
}

void moka__join_backward(struct moka_exec *e, const struct moka__join *j)
{
	for (int i = j->n_layers - 1; i >= 0; i--)
		for (int k = 0; k < e->steps[j->layers[i]].n_before; k++)
			moka__add_parts(e, &e->sums[e->steps[j->layers[i]].before[k]]);
	if (j->kind == MOKA__JOIN_NORM)
		norm_backward(e, j);
	else
		run_add(e, j, add_gradient_piece);
	for (int i = j->n_layers - 1; i >= 0; i--)
		for (int k = 0; k < e->steps[j->layers[i]].n_after; k++)
			moka__add_parts(e, &e->sums[e->steps[j->layers[i]].after[k]]);
}
