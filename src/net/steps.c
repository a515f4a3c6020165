/*
 * steps.c - an execution's pass over a plan: every work's tensors are bound to the execution's block once, then a pass is one
 * call after the other. Nothing is allocated here.
 *
 * Works of a stretch (stretch.c) run once for each piece of the batch. Threads take pieces, each with a room of its own for
 * what lies within the stretch and for scratch; the pieces that are left when all have had as many run one by one, with all threads at each.
 */
#include "net/fused.h"

#include <stdatomic.h>

struct moka__bound {
	struct moka_tensor *in, *out;
};

static struct moka_tensor tensor_of(const struct moka_exec *e, int value)
{
	const struct moka__value *v = &e->fused->values[value];

	return (struct moka_tensor){ .data = (real *)(void *)((v->stretch < 0 ? e->base : e->rooms) + v->offset),
				     .images = v->images,
				     .channels = v->channels,
				     .height = v->height,
				     .width = v->width,
				     .block = v->block,
				     .image_stride = moka__value_image(e->fused, value) };
}

/* The second of two convolutions that run as one: its image is what the first reads. */
static bool is_second(const struct moka_plan *p, int work)
{
	return work > 0 && p->works[work - 1].with_next;
}

/* forward() sees its bottoms and tops where the plan put them. */
static void bind_layer(struct moka_exec *e, const struct moka__work *w)
{
	struct moka__step *s = &e->steps[w->layers[0]];

	for (int i = 0; i < w->n_in; i++)
		s->bottom[i].data = tensor_of(e, w->in[i]).data;
	for (int i = 0; i < w->n_out; i++)
		s->top[i].data = tensor_of(e, w->out[i]).data;
}

bool moka__steps_bind(struct moka_exec *e)
{
	const struct moka_plan *p = e->fused;

	e->bound = MOKA_NEWN(&e->arena, p->n_works + 1, struct moka__bound);
	for (int i = 0; e->bound && i < p->n_works; i++) {
		const struct moka__work *w = &p->works[i];
		struct moka__bound *b = &e->bound[i];

		b->in = MOKA_NEWN(&e->arena, w->n_in + 1, struct moka_tensor);
		b->out = MOKA_NEWN(&e->arena, w->n_out + 1, struct moka_tensor);
		if (!b->in || !b->out)
			return false;
		for (int k = 0; k < w->n_in; k++)
			b->in[k] = tensor_of(e, w->in[k]);
		if (is_second(p, i))
			b->in[0] = tensor_of(e, w[-1].in[0]);
		for (int k = 0; k < w->n_out; k++)
			b->out[k] = tensor_of(e, w->out[k]);
		if (w->kind == MOKA__WORK_LAYER)
			bind_layer(e, w);
	}
	return e->bound != NULL;
}

size_t moka__conv_scratch(const struct moka__work *w, int threads)
{
	return w->with_next ? moka_conv_pair_scratch(w->conv, w[1].conv, threads)
			    : moka_conv_op_scratch(w->conv, threads);
}

size_t moka__steps_scratch(const struct moka_exec *e)
{
	const int threads = moka_pool_threads(e->o.pool);
	size_t most = 0;

	for (int i = 0; i < e->fused->n_works; i++) {
		const struct moka__work *w = &e->fused->works[i];
		const size_t need = w->conv			  ? moka__conv_scratch(w, threads)
				    : w->kind == MOKA__WORK_LAYER ? e->n->layers[w->layers[0]].l.scratch_bytes
								  : 0;

		most = MOKA_MAX(most, need);
	}
	return most;
}

/* What a thread needs for itself to run pieces: the values within a stretch, and scratch behind them. */
static size_t one_room(const struct moka_exec *e, size_t *scratch_at)
{
	const struct moka_plan *p = e->fused;
	size_t scratch = 0;

	*scratch_at = (p->room + MOKA__ALIGN - 1) / MOKA__ALIGN * MOKA__ALIGN;
	for (int i = 0; i < p->n_works; i++)
		if (p->works[i].stretch >= 0 && p->works[i].conv)
			scratch = MOKA_MAX(scratch, moka__conv_scratch(&p->works[i], 1));
	/* rooms begin at other places of a page, so that threads don't meet in a cache's sets */
	return *scratch_at + (scratch + MOKA__ALIGN - 1) / MOKA__ALIGN * MOKA__ALIGN + 2 * MOKA__ALIGN;
}

size_t moka__steps_rooms(struct moka_exec *e)
{
	if (!e->fused->n_stretches)
		return 0;
	e->room_bytes = one_room(e, &e->room_scratch);
	return e->room_bytes * (size_t)moka_pool_threads(e->o.pool);
}

/* ---- one work ----------------------------------------------------------------------------------------------- */

static enum moka_status run_layer(struct moka_exec *e, const struct moka__work *w, const struct moka__bound *b,
				  double *loss, struct moka_error *err)
{
	MOKA_TRY(moka__run_layer(e, w->layers[0], loss, err));
	if (w->scale || w->act.kind != MOKA_ACT_NONE)
		moka_affine(e->o.pool, w->scale, w->shift, &w->act, &b->out[0], &b->out[0]);
	return MOKA_OK;
}

static void run_kernel(const struct moka_exec *e, const struct moka__work *w, struct moka_pool *pool,
		       const struct moka_tensor *in, const struct moka_tensor *out, void *scratch)
{
	switch (w->kind) {
	case MOKA__WORK_CONV:
		if (is_second(e->fused, (int)(w - e->fused->works))) {
			moka_conv_pair_run(w[-1].conv, w->conv, pool, &in[0], w->n_in > 1 ? &in[1] : NULL, out,
					   scratch);
			break;
		}
		moka_conv_op_run(w->conv, pool, e->gemm, &in[0], w->n_in > 1 ? &in[1] : NULL, out, scratch);
		break;
	case MOKA__WORK_AFFINE:
		moka_affine(pool, w->scale, w->shift, &w->act, in, out);
		break;
	case MOKA__WORK_ADD2:
		moka_add2(pool, w->op.add.a, &in[0], w->op.add.b, &in[1], &w->act, out);
		break;
	case MOKA__WORK_POOL:
		moka_pool2d(pool, &w->op.pool, in, out);
		break;
	case MOKA__WORK_LRN:
		moka_lrn_across(pool, w->op.lrn.size, w->op.lrn.alpha, w->op.lrn.beta, w->op.lrn.k, in, out);
		break;
	case MOKA__WORK_COPY:
		moka_relayout(pool, in, out);
		break;
	case MOKA__WORK_LAYER:
	case MOKA__WORK_NONE:
		break;
	}
}

static enum moka_status run_work(struct moka_exec *e, int i, double *loss, struct moka_error *err)
{
	const struct moka__work *w = &e->fused->works[i];
	const struct moka__bound *b = &e->bound[i];

	if (w->kind == MOKA__WORK_LAYER)
		return run_layer(e, w, b, loss, err);
	if (w->with_next)
		return MOKA_OK;
	run_kernel(e, w, w->alone ? NULL : e->o.pool, b->in, b->out, e->scratch);
	return MOKA_OK;
}

/* ---- stretches ------------------------------------------------------------------------------------------------ */

/* A pass over some works of a stretch. */
struct stretch_pass {
	struct moka_exec *e;
	int first, end; /* works */
	int64_t images; /* of a piece */
	int64_t pieces; /* that threads take */
	atomic_int_fast64_t next;
};

/* The piece's part of a bound tensor: a batch's images from `piece` on, or the thread's own room. */
static struct moka_tensor part_of(const struct stretch_pass *r, int value, const struct moka_tensor *bound,
				  int64_t piece, int room)
{
	struct moka_tensor t = *bound;

	if (r->e->fused->values[value].stretch < 0)
		t.data += piece * r->images * t.image_stride;
	else
		t.data = (real *)(void *)((char *)t.data + (size_t)room * r->e->room_bytes);
	t.images = r->images;
	return t;
}

static void run_piece(const struct stretch_pass *r, int64_t piece, int room, struct moka_pool *pool, void *scratch)
{
	const struct moka_exec *e = r->e;

	for (int i = r->first; i < r->end; i++) {
		const struct moka__work *w = &e->fused->works[i];
		struct moka_tensor in[2], out;

		if (w->kind == MOKA__WORK_NONE || w->with_next)
			continue;
		for (int k = 0; k < MOKA_MIN(w->n_in, 2); k++)
			in[k] = part_of(r, w->in[k], &e->bound[i].in[k], piece, room);
		if (is_second(e->fused, i))
			in[0] = part_of(r, w[-1].in[0], &e->bound[i].in[0], piece, room);
		out = part_of(r, w->out[0], &e->bound[i].out[0], piece, room);
		run_kernel(e, w, pool, in, &out, scratch);
	}
}

static void run_pieces(void *arg, int64_t begin, int64_t end)
{
	struct stretch_pass *r = arg;

	for (int64_t room = begin; room < end; room++) {
		char *scratch = r->e->rooms + (size_t)room * r->e->room_bytes + r->e->room_scratch;
		int64_t piece;

		while ((piece = atomic_fetch_add(&r->next, 1)) < r->pieces)
			run_piece(r, piece, (int)room, NULL, scratch);
	}
}

static void run_stretch(struct moka_exec *e, int stretch, int first, int end)
{
	const struct moka__stretch *s = &e->fused->stretches[stretch];
	const int threads = moka_pool_threads(e->o.pool);
	struct stretch_pass r = { e, first, end, s->images, s->pieces / threads * threads, 0 };

	moka_parallel(e->o.pool, run_pieces, &r, threads, 1);
	for (int64_t piece = r.pieces; piece < s->pieces; piece++)
		run_piece(&r, piece, 0, e->o.pool, e->scratch);
}

enum moka_status moka__steps_run(struct moka_exec *e, double *loss, struct moka_error *err)
{
	const struct moka_plan *p = e->fused;

	MOKA_TRY(moka__plan_refresh(e->n, e->o.pool, err));
	for (int i = 0; i < p->n_works;) {
		const int stretch = p->works[i].stretch;

		if (stretch < 0) {
			MOKA_TRY(run_work(e, i++, loss, err));
			continue;
		}
		run_stretch(e, stretch, i, p->stretches[stretch].end);
		i = p->stretches[stretch].end;
	}
	return MOKA_OK;
}

enum moka_status moka_exec_step_forward(struct moka_exec *e, int step, struct moka_error *err)
{
	double loss = 0;

	if (!e->fused || step < 0 || step >= e->fused->n_works)
		return moka_fail(err, MOKA_ERR_ARG, "no step %d", step);
	if (e->fused->works[step].stretch < 0)
		return run_work(e, step, &loss, err);
	run_stretch(e, e->fused->works[step].stretch, step, step + 1);
	return MOKA_OK;
}

const struct moka_plan *moka_exec_plan(const struct moka_exec *e)
{
	return e->fused;
}
