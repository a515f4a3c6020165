/*
 * conv_blocked.c - Convolution where an execution that trains lays blobs out itself: how they may lie, the convolution planned for how
 * they do, and its passes.
 */
#include "conv.h"
#include "kernels/conv_train.h"
#include "tensor.h"

static struct moka_conv_train_desc describe(const struct moka_layer *l, int in_block, int out_block)
{
	const struct moka__conv *v = l->priv;
	const struct moka_shape *x = &l->bottom[0].shape;
	struct moka_conv_train_desc d = { .images = x->d[0],
					  .channels = x->d[1],
					  .height = x->d[2],
					  .width = x->d[3],
					  .outputs = v->group * v->outputs,
					  .group = v->group,
					  .in_block = in_block,
					  .out_block = out_block };

	for (int i = 0; i < 2; i++) {
		d.kernel[i] = v->g.kernel[i];
		d.stride[i] = v->g.stride[i];
		d.pad[i] = v->g.pad[i];
		d.dilation[i] = v->g.dilation[i];
	}
	return d;
}

/* One blob of 4 axes into one other, none of them empty. */
static bool simple(const struct moka_layer *l)
{
	const struct moka__conv *v = l->priv;

	return l->n_bottom == 1 && l->bottom[0].shape.n == 4 && v->g.axes == 2 && !v->transposed &&
	       moka_shape_count(&l->bottom[0].shape) > 0 && moka_shape_count(&l->top[0].shape) > 0;
}

static bool takes(const struct moka_layer *l, int in_block, int out_block)
{
	const struct moka_conv_train_desc d = describe(l, in_block, out_block);

	return moka_conv_train_takes(&d);
}

enum moka_layout moka__conv_layout(const struct moka_layer *l, int block)
{
	return simple(l) && takes(l, block, block) && takes(l, 1, block) && takes(l, block, 1) ? MOKA_LAYOUT_ANY
											       : MOKA_LAYOUT_PLAIN;
}

enum moka_status moka__conv_fit(const struct moka_layer *l, struct moka_fit *f)
{
	struct moka_conv_train *made = NULL;

	if (!simple(l) || !takes(l, f->bottom_block[0], f->top_block[0]))
		return MOKA_OK;
	const struct moka_conv_train_desc d = describe(l, f->bottom_block[0], f->top_block[0]);
	MOKA_TRY(moka_conv_train_new(&made, &d));
	f->made = made;
	f->scratch_bytes = moka_conv_train_scratch(made, f->threads);
	return MOKA_OK;
}

void moka__conv_unfit(void *made)
{
	moka_conv_train_free(made);
}

void moka__conv_made_forward(const struct moka_layer *l, const struct moka_call *c)
{
	const struct moka_tensor x = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].data),
				 y = moka__tensor(c->top[0].shape, c->top[0].block, c->top[0].data);

	moka_conv_train_forward(c->made, c->pool, c->gemm, c->param[0].data, l->n_param > 1 ? c->param[1].data : NULL,
				&x, &y, c->scratch);
}

void moka__conv_made_backward(const struct moka_layer *l, const struct moka_call *c)
{
	const struct moka_tensor x = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].data),
				 dx = moka__tensor(c->bottom[0].shape, c->bottom[0].block, c->bottom[0].diff),
				 dy = moka__tensor(c->top[0].shape, c->top[0].block, c->top[0].diff);
	real *dw = c->param[0].diff, *db = l->n_param > 1 ? c->param[1].diff : NULL;

	if (!dy.data) {
		if (dx.data)
			moka_set(c->bottom[0].count, 0, dx.data);
		return;
	}
	if (dw || db)
		moka_conv_train_weights(c->made, c->pool, c->gemm, &x, &dy, dw, db, c->scratch);
	if (dx.data)
		moka_conv_train_data(c->made, c->pool, c->gemm, c->param[0].data, &dy, &dx, c->scratch);
}
