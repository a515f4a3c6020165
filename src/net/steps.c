/*
 * steps.c - an execution's pass over a plan: every work's tensors are bound to the execution's block once, then a pass is one
 * call after the other. Nothing is allocated here.
 */
#include "net/fused.h"

struct moka__bound {
	struct moka_tensor *in, *out;
};

static struct moka_tensor tensor_of(const struct moka_exec *e, int value)
{
	const struct moka__value *v = &e->fused->values[value];

	return (struct moka_tensor){ .data = (real *)(void *)(e->base + v->offset),
				     .images = v->images,
				     .channels = v->channels,
				     .height = v->height,
				     .width = v->width,
				     .block = v->block,
				     .image_stride = moka__value_image(e->fused, value) };
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
		for (int k = 0; k < w->n_out; k++)
			b->out[k] = tensor_of(e, w->out[k]);
		if (w->kind == MOKA__WORK_LAYER)
			bind_layer(e, w);
	}
	return e->bound != NULL;
}

size_t moka__steps_scratch(const struct moka_exec *e)
{
	const int threads = moka_pool_threads(e->o.pool);
	size_t most = 0;

	for (int i = 0; i < e->fused->n_works; i++) {
		const struct moka__work *w = &e->fused->works[i];
		const size_t need = w->conv			  ? moka_conv_op_scratch(w->conv, threads)
				    : w->kind == MOKA__WORK_LAYER ? e->n->layers[w->layers[0]].l.scratch_bytes
								  : 0;

		most = MOKA_MAX(most, need);
	}
	return most;
}

static enum moka_status run_layer(struct moka_exec *e, const struct moka__work *w, const struct moka__bound *b,
				  double *loss, struct moka_error *err)
{
	MOKA_TRY(moka__run_layer(e, w->layers[0], loss, err));
	if (w->scale || w->act.kind != MOKA_ACT_NONE)
		moka_affine(e->o.pool, w->scale, w->shift, &w->act, &b->out[0], &b->out[0]);
	return MOKA_OK;
}

static enum moka_status run_work(struct moka_exec *e, int i, double *loss, struct moka_error *err)
{
	const struct moka__work *w = &e->fused->works[i];
	const struct moka__bound *b = &e->bound[i];
	struct moka_pool *pool = w->alone ? NULL : e->o.pool;

	switch (w->kind) {
	case MOKA__WORK_LAYER:
		return run_layer(e, w, b, loss, err);
	case MOKA__WORK_CONV:
		moka_conv_op_run(w->conv, pool, e->gemm, &b->in[0], w->n_in > 1 ? &b->in[1] : NULL, &b->out[0],
				 e->scratch);
		break;
	case MOKA__WORK_AFFINE:
		moka_affine(pool, w->scale, w->shift, &w->act, &b->in[0], &b->out[0]);
		break;
	case MOKA__WORK_ADD2:
		moka_add2(pool, w->op.add.a, &b->in[0], w->op.add.b, &b->in[1], &w->act, &b->out[0]);
		break;
	case MOKA__WORK_POOL:
		moka_pool2d(pool, &w->op.pool, &b->in[0], &b->out[0]);
		break;
	case MOKA__WORK_LRN:
		moka_lrn_across(pool, w->op.lrn.size, w->op.lrn.alpha, w->op.lrn.beta, w->op.lrn.k, &b->in[0],
				&b->out[0]);
		break;
	case MOKA__WORK_COPY:
		moka_relayout(pool, &b->in[0], &b->out[0]);
		break;
	case MOKA__WORK_NONE:
		break;
	}
	return MOKA_OK;
}

enum moka_status moka__steps_run(struct moka_exec *e, double *loss, struct moka_error *err)
{
	if (moka__plan_refresh(e->n, e->o.pool))
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory to pack the weights again");
	for (int i = 0; i < e->fused->n_works; i++)
		MOKA_TRY(run_work(e, i, loss, err));
	return MOKA_OK;
}

enum moka_status moka_exec_step_forward(struct moka_exec *e, int step, struct moka_error *err)
{
	double loss = 0;

	if (!e->fused || step < 0 || step >= e->fused->n_works)
		return moka_fail(err, MOKA_ERR_ARG, "no step %d", step);
	return run_work(e, step, &loss, err);
}

const struct moka_plan *moka_exec_plan(const struct moka_exec *e)
{
	return e->fused;
}
