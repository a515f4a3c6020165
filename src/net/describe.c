/*
 * describe.c - a plan for people: what explain --plan and time print.
 */
#include "net/fused.h"

int moka_plan_steps(const struct moka_plan *p)
{
	return p->n_works;
}

static const char *algorithm(const struct moka__work *w)
{
	switch (w->kind) {
	case MOKA__WORK_CONV:
		return moka_conv_op_name(w->conv);
	case MOKA__WORK_AFFINE:
		return w->n_affines ? "scale and shift" : "activation";
	case MOKA__WORK_ADD2:
		return "sum";
	case MOKA__WORK_POOL:
		return w->op.pool.kind == MOKA_POOL_MAX ? "max pooling" : "average pooling";
	case MOKA__WORK_LRN:
		return "LRN";
	case MOKA__WORK_COPY:
		return "copy";
	case MOKA__WORK_NONE:
		return "in place";
	default:
		return w->op.kind == MOKA_OP_INNER ? "matrix product" : "layer";
	}
}

void moka_plan_step(const struct moka_plan *p, int i, struct moka_plan_step *out)
{
	const struct moka__work *w = &p->works[i];
	const int in = w->n_in ? w->in[0] : -1, to = w->n_out ? w->out[0] : -1;

	*out = (struct moka_plan_step){ .layers = w->layers,
					.n_layers = w->n_layers,
					.algorithm = algorithm(w),
					.macs = w->macs,
					.in_blob = in < 0 ? -1 : p->values[in].blob,
					.out_blob = to < 0 ? -1 : p->values[to].blob,
					.in_block = in < 0 ? 1 : p->values[in].block,
					.out_block = to < 0 ? 1 : p->values[to].block,
					.adds_blob = w->kind == MOKA__WORK_CONV && w->n_in > 1
							     ? p->values[w->in[1]].blob
							     : -1 };
	out->with_next = w->with_next;
	if (w->stretch >= 0)
		out->images = p->stretches[w->stretch].images;
	if (p->cost > 0)
		out->share = w->cost / p->cost;
	for (int k = 0; k < w->n_out && !w->with_next; k++)
		out->bytes += (size_t)(p->values[w->out[k]].images *
				       moka_tensor_image(p->values[w->out[k]].channels, p->values[w->out[k]].height,
							 p->values[w->out[k]].width, p->values[w->out[k]].block)) *
			      sizeof(real);
	if (to >= 0 && !w->with_next)
		out->offset = p->values[to].offset;
}

void moka_plan_memory(const struct moka_plan *p, struct moka_plan_bytes *out)
{
	*out = (struct moka_plan_bytes){ .values = p->bytes, .bound = p->bound, .room = p->room };
	for (int i = 0; i < p->n_works; i++)
		if (p->works[i].conv) {
			const size_t scratch = moka__conv_scratch(&p->works[i], 1);

			out->packed += moka_conv_op_bytes(p->works[i].conv);
			out->scratch = MOKA_MAX(out->scratch, scratch);
		}
}
