/*
 * conv_train.c - a stand-in: every pass goes through plain copies.
 */
#include "conv_train.h"

#include <stdlib.h>
#include <string.h>

struct moka_conv_train {
	struct moka_conv_train_desc d;
	struct moka_conv_geometry g;
	int64_t x_count, y_count, col_count;
};

bool moka_conv_train_takes(const struct moka_conv_train_desc *d)
{
	const int64_t b = moka_block();

	if (b == 1)
		return false;
	return d->group == 1 || (d->channels % (d->group * b) == 0 && d->outputs % (d->group * b) == 0);
}

enum moka_status moka_conv_train_new(struct moka_conv_train **out, const struct moka_conv_train_desc *d)
{
	struct moka_conv_train *t = calloc(1, sizeof(*t));

	*out = t;
	if (!t)
		return MOKA_ERR_NOMEM;
	t->d = *d;
	t->g.axes = 2;
	t->g.channels = d->channels / d->group;
	t->g.in[0] = d->height, t->g.in[1] = d->width;
	t->x_count = d->images * d->channels * d->height * d->width;
	t->y_count = d->images * d->outputs;
	t->col_count = t->g.channels;
	for (int i = 0; i < 2; i++) {
		t->g.kernel[i] = d->kernel[i], t->g.stride[i] = d->stride[i], t->g.pad[i] = d->pad[i],
		t->g.dilation[i] = d->dilation[i];
		t->g.out[i] =
			(t->g.in[i] + 2 * d->pad[i] - (d->dilation[i] * (d->kernel[i] - 1) + 1)) / d->stride[i] + 1;
		t->y_count *= t->g.out[i];
		t->col_count *= t->g.out[i] * t->g.kernel[i];
	}
	return MOKA_OK;
}

void moka_conv_train_free(struct moka_conv_train *t)
{
	free(t);
}

size_t moka_conv_train_scratch(const struct moka_conv_train *t, int threads)
{
	(void)threads;
	return (size_t)(t->x_count + t->y_count + t->col_count) * sizeof(real);
}

const char *moka_conv_train_name(const struct moka_conv_train *t)
{
	(void)t;
	return "stand-in";
}

static struct moka_tensor plain(const struct moka_tensor *t, real *data)
{
	struct moka_tensor p = *t;

	p.block = 1;
	p.data = data;
	p.image_stride = t->channels * t->height * t->width;
	return p;
}

void moka_conv_train_forward(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			     const real *w, const real *bias, const struct moka_tensor *x, const struct moka_tensor *y,
			     void *scratch)
{
	const struct moka_tensor px = plain(x, scratch), py = plain(y, px.data + t->x_count);
	const int64_t group = t->d.group, outputs = t->d.outputs / group;

	moka_relayout(pool, x, &px);
	for (int64_t n = 0; n < t->d.images; n++)
		for (int64_t g = 0; g < group; g++)
			moka_conv_forward(pool, ws, &t->g, outputs,
					  w + g * outputs * t->g.channels * t->g.kernel[0] * t->g.kernel[1],
					  px.data + n * px.image_stride + g * px.image_stride / group,
					  bias ? bias + g * outputs : NULL,
					  py.data + n * py.image_stride + g * py.image_stride / group);
	moka_relayout(pool, &py, y);
}

void moka_conv_train_data(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			  const real *w, const struct moka_tensor *dy, const struct moka_tensor *dx, void *scratch)
{
	const struct moka_tensor px = plain(dx, scratch), py = plain(dy, px.data + t->x_count);
	const int64_t group = t->d.group, outputs = t->d.outputs / group, size = t->g.out[0] * t->g.out[1];
	const int64_t k = t->g.channels * t->g.kernel[0] * t->g.kernel[1];
	real *col = py.data + t->y_count;

	moka_relayout(pool, dy, &py);
	for (int64_t n = 0; n < t->d.images; n++)
		for (int64_t g = 0; g < group; g++) {
			moka_gemm(pool, ws, true, false, k, size, outputs, 1, w + g * outputs * k, k,
				  py.data + n * py.image_stride + g * outputs * size, size, 0, col, size);
			moka_col2im(pool, &t->g, col, px.data + n * px.image_stride + g * px.image_stride / group);
		}
	moka_relayout(pool, &px, dx);
}

void moka_conv_train_weights(const struct moka_conv_train *t, struct moka_pool *pool, struct moka_gemm_ws *ws,
			     const struct moka_tensor *x, const struct moka_tensor *dy, real *dw, real *db,
			     void *scratch)
{
	const struct moka_tensor px = plain(x, scratch), py = plain(dy, px.data + t->x_count);
	const int64_t group = t->d.group, outputs = t->d.outputs / group, size = t->g.out[0] * t->g.out[1];
	const int64_t k = t->g.channels * t->g.kernel[0] * t->g.kernel[1];
	real *col = py.data + t->y_count;

	moka_relayout(pool, x, &px);
	moka_relayout(pool, dy, &py);
	for (int64_t n = 0; n < t->d.images; n++)
		for (int64_t g = 0; g < group; g++) {
			const real *at = py.data + n * py.image_stride + g * outputs * size;
			moka_im2col(pool, &t->g, px.data + n * px.image_stride + g * px.image_stride / group, col);
			if (dw)
				moka_gemm(pool, ws, false, true, outputs, k, size, 1, at, size, col, size, 1,
					  dw + g * outputs * k, k);
			for (int64_t o = 0; db && o < outputs; o++)
				db[g * outputs + o] += moka_sum(size, at + o * size);
		}
}
