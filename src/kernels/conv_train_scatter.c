/*
 * conv_train_scatter.c - the gradient of data without padding, where a convolution of dy with the kernel turned around would mostly
 * multiply zeros: small images, no padding, stride 1.
 *
 *     for each image, each tap:   dx[place + tap] += w[tap] dy[place]     by the tile of the direct convolution, places of dy
 *
 * A thread takes whole images. dy is read as it lies, plain or blocked; a plain dx is made blocked beside and transposed.
 */
#include "conv_train_plan.h"

#include <stdlib.h>
#include <string.h>

struct scatter {
	const struct moka_conv_train *t;
	const struct moka__conv_phase *p;
	const struct moka_tensor *dy, *dx;
	const real *weights;
	char *slots;
	size_t slot_bytes;
};

bool moka__conv_scatter_pays(const struct moka_conv_train *t)
{
	const struct moka_conv_train_desc *d = &t->d;

	return d->stride[0] == 1 && d->stride[1] == 1 && d->pad[0] == 0 && d->pad[1] == 0 && d->images >= 4 &&
	       d->outputs >= t->k->block && 4 * d->height * d->width > 5 * t->out[0] * t->out[1];
}

static int64_t image_values(const struct moka_conv_train *t)
{
	return t->d.in_block > 1 ? 0 : t->in_blocks * t->k->block * t->d.height * t->d.width;
}

static size_t slot_bytes(const struct moka_conv_train *t)
{
	return moka__lines((size_t)image_values(t) * sizeof(real) + (size_t)t->d.outputs * sizeof(int64_t));
}

size_t moka__conv_scatter_scratch(const struct moka_conv_train *t, int threads)
{
	return (size_t)threads * slot_bytes(t);
}

/* One tap of a group: all places of dy. */
static void run_tap(const struct scatter *s, const struct moka__conv_group *g, int64_t n, int64_t tap, real *image,
		    const int64_t *steps)
{
	const struct moka_conv_train *t = s->t;
	const struct moka_conv_op *op = s->p->op;
	const int64_t b = t->k->block, width = t->d.width, area = t->out[0] * t->out[1], plane = t->d.height * width;
	const int64_t tiles = moka__ceil_div(area, op->places), of_place = s->dy->block;
	const int64_t ky = s->p->taps[tap] / t->d.kernel[1], kx = s->p->taps[tap] % t->d.kernel[1];
	struct moka__conv_tile tile = {
		.x = s->dy->data + n * s->dy->image_stride,
		.blocks = op->in_blocks,
		.lanes = moka__used_lanes(op, op->in_blocks),
		.x_step = area * b,
		.taps = of_place > 1 ? 1 : op->d.channels,
		.w = s->weights + g->weights + tap * op->in_blocks * b * g->blocks * b,
		.y = image + (g->block * plane + ky * t->d.dilation[0] * width + kx * t->d.dilation[1]) * b,
		.y_block = plane * b,
	};

	for (int64_t i = 0; i < tiles; i++) {
		const int64_t p0 = moka__part(area, tiles, i), p1 = moka__part(area, tiles, i + 1);
		int64_t off[MOKA__PLACES], y_off[MOKA__PLACES];

		for (int64_t k = p0; k < p1; k++) {
			off[k - p0] = k * of_place;
			y_off[k - p0] = (k / t->out[1] * width + k % t->out[1]) * b;
		}
		tile.off = off, tile.y_off = y_off;
		if (of_place > 1)
			t->k->conv[g->blocks - 1][p1 - p0 - 1](&tile);
		else
			t->k->first[g->blocks - 1][p1 - p0 - 1](&tile, steps);
	}
}

static void image_item(void *arg, int64_t item, int slot)
{
	const struct scatter *s = arg;
	const struct moka_conv_train *t = s->t;
	const struct moka_conv_op *op = s->p->op;
	const int64_t b = t->k->block, values = t->in_blocks * b * t->d.height * t->d.width;
	int64_t *steps = (int64_t *)(s->slots + (size_t)slot * s->slot_bytes);
	struct moka_tensor from = *s->dx, to = *s->dx;

	to.images = from.images = 1;
	to.data += item * to.image_stride;
	from.data = to.block > 1 ? to.data : (real *)(steps + t->d.outputs);
	memset(from.data, 0, (size_t)values * sizeof(real));
	for (int64_t c = 0; c < t->d.outputs; c++)
		steps[c] = c * t->out[0] * t->out[1];
	for (int64_t g = 0; g < op->n_groups; g++)
		for (int64_t tap = 0; tap < t->taps; tap++)
			run_tap(s, &op->groups[g], item, tap, from.data, steps);
	if (to.block == 1) {
		from.block = (int)b, from.image_stride = values;
		moka_relayout(NULL, &from, &to);
	}
}

void moka__conv_scatter_run(const struct moka_conv_train *t, const struct moka__conv_phase *p, struct moka_pool *pool,
			    const real *weights, const struct moka_tensor *dy, const struct moka_tensor *dx,
			    char *scratch)
{
	struct scatter s = { t, p, dy, dx, weights, scratch, slot_bytes(t) };

	moka__deal(pool, t->d.images, image_item, &s);
}
