/* Stand-in. */
#include "blocked.h"

#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

int moka_block(void)
{
#ifdef MOKA_REAL_DOUBLE
	return 1;
#else
	return moka_cpu_isa() == MOKA_ISA_AVX512 ? 16 : 8;
#endif
}

static int64_t up(int64_t c, int b)
{
	return (c + b - 1) / b * b;
}

int64_t moka_tensor_image(int64_t channels, int64_t height, int64_t width, int block)
{
	return up(channels, block) * height * width;
}

static int64_t at(const struct moka_tensor *t, int64_t n, int64_t c, int64_t p)
{
	const int64_t hw = t->height * t->width;

	return n * t->image_stride + c / t->block * hw * t->block + p * t->block + c % t->block;
}

void moka_relayout(struct moka_pool *pool, const struct moka_tensor *x, const struct moka_tensor *y)
{
	(void)pool;
	for (int64_t n = 0; n < x->images; n++)
		for (int64_t c = 0; c < up(x->channels, y->block); c++)
			for (int64_t p = 0; p < x->height * x->width; p++)
				y->data[at(y, n, c, p)] = c < x->channels ? x->data[at(x, n, c, p)] : 0;
}

static real act(const struct moka_act *a, int64_t c, real v)
{
	if (!a)
		return v;
	switch (a->kind) {
	case MOKA_ACT_RELU: return v > 0 ? v : a->slope * v;
	case MOKA_ACT_CLIP: return v < a->low ? a->low : v > a->high ? a->high : v;
	case MOKA_ACT_PRELU: return v > 0 ? v : a->slopes[c] * v;
	default: return v;
	}
}

struct moka_conv_op {
	struct moka_conv_desc d;
	int64_t oh, ow, wn;
	real *w, *b;
};

bool moka_conv_op_takes(const struct moka_conv_desc *d)
{
	const int64_t b = moka_block();

	if (b == 1 || (d->in_block == 1 && d->out_block == 1))
		return d->in_block == 1 && d->out_block == 1;
	if (d->group > 1 && (d->group != d->channels || d->outputs != d->channels || d->in_block != d->out_block))
		return d->in_block == b && d->out_block == b && (d->channels / d->group) % b == 0 &&
		       (d->outputs / d->group) % b == 0;
	return d->in_block == 1 ? d->channels <= 4 : true;
}

enum moka_status moka_conv_op_new(struct moka_conv_op **out, const struct moka_conv_desc *d)
{
	struct moka_conv_op *op = calloc(1, sizeof(*op));

	op->d = *d;
	op->oh = (d->height + 2 * d->pad[0] - (d->dilation[0] * (d->kernel[0] - 1) + 1)) / d->stride[0] + 1;
	op->ow = (d->width + 2 * d->pad[1] - (d->dilation[1] * (d->kernel[1] - 1) + 1)) / d->stride[1] + 1;
	op->wn = d->channels / d->group * d->kernel[0] * d->kernel[1];
	op->w = calloc((size_t)(d->outputs * op->wn), sizeof(real));
	op->b = calloc((size_t)d->outputs, sizeof(real));
	*out = op;
	return MOKA_OK;
}

void moka_conv_op_free(struct moka_conv_op *op)
{
	if (!op)
		return;
	free(op->w);
	free(op->b);
	free(op);
}

enum moka_status moka_conv_op_pack(struct moka_conv_op *op, struct moka_pool *pool, const real *w, const real *bias,
				   const real *scale, const real *shift)
{
	(void)pool;
	for (int64_t o = 0; o < op->d.outputs; o++) {
		for (int64_t i = 0; i < op->wn; i++)
			op->w[o * op->wn + i] = w[o * op->wn + i] * (scale ? scale[o] : 1);
		op->b[o] = (bias ? bias[o] : 0) * (scale ? scale[o] : 1) + (shift ? shift[o] : 0);
	}
	return MOKA_OK;
}

size_t moka_conv_op_bytes(const struct moka_conv_op *op)
{
	return (size_t)(op->d.outputs * (op->wn + 1)) * sizeof(real);
}

size_t moka_conv_op_scratch(const struct moka_conv_op *op, int threads)
{
	(void)threads;
	return (size_t)(op->d.channels * op->d.height * op->d.width + op->d.outputs * op->oh * op->ow) * sizeof(real);
}

const char *moka_conv_op_name(const struct moka_conv_op *op)
{
	return op->d.in_block == 1 && op->d.out_block == 1 ? "plain" : op->d.in_block == 1 ? "first" : "direct";
}

enum moka_conv_algorithm moka_conv_op_algorithm(const struct moka_conv_op *op)
{
	(void)op;
	return MOKA_CONV_PLAIN;
}

void moka_conv_op_run(const struct moka_conv_op *op, struct moka_pool *pool, struct moka_gemm_ws *ws,
		      const struct moka_tensor *x, const struct moka_tensor *residual, const struct moka_tensor *y,
		      void *scratch)
{
	const struct moka_conv_desc *d = &op->d;
	const int64_t in = d->channels * d->height * d->width, hw = op->oh * op->ow;
	struct moka_conv_geometry g = { .axes = 2, .channels = d->channels / d->group };
	real *px = scratch, *py = px + in;

	if (x->block != d->in_block || y->block != d->out_block || (residual != NULL) != d->residual)
		abort();
	for (int i = 0; i < 2; i++) {
		g.in[i] = i ? d->width : d->height;
		g.out[i] = i ? op->ow : op->oh;
		g.kernel[i] = d->kernel[i];
		g.stride[i] = d->stride[i];
		g.pad[i] = d->pad[i];
		g.dilation[i] = d->dilation[i];
	}
	for (int64_t n = 0; n < d->images; n++) {
		for (int64_t c = 0; c < d->channels; c++)
			for (int64_t p = 0; p < d->height * d->width; p++)
				px[c * d->height * d->width + p] = x->data[at(x, n, c, p)];
		for (int64_t k = 0; k < d->group; k++) {
			const int64_t o = d->outputs / d->group;
			moka_conv_forward(pool, ws, &g, o, op->w + k * o * op->wn, px + k * in / d->group, op->b + k * o,
					  py + k * o * hw);
		}
		for (int64_t c = 0; c < up(d->outputs, y->block); c++)
			for (int64_t p = 0; p < hw; p++) {
				real v = c < d->outputs ? py[c * hw + p] : 0;
				if (c < d->outputs && residual)
					v += residual->data[at(residual, n, c, p)];
				y->data[at(y, n, c, p)] = c < d->outputs ? act(&d->act, c, v) : 0;
			}
	}
}

void moka_pool2d(struct moka_pool *pool, const struct moka_pool_desc *d, const struct moka_tensor *x,
		 const struct moka_tensor *y)
{
	(void)pool;
	for (int64_t n = 0; n < y->images; n++)
		for (int64_t c = 0; c < up(y->channels, y->block); c++)
			for (int64_t i = 0; i < y->height; i++)
				for (int64_t j = 0; j < y->width; j++) {
					int64_t h0 = i * d->stride[0] - d->pad[0], w0 = j * d->stride[1] - d->pad[1];
					int64_t h1 = MOKA_MIN(h0 + d->kernel[0], x->height + d->pad[0]);
					int64_t w1 = MOKA_MIN(w0 + d->kernel[1], x->width + d->pad[1]);
					const int64_t size = (h1 - h0) * (w1 - w0);
					real sum = 0, best = 0;
					bool any = false;

					h0 = MOKA_MAX(h0, 0), w0 = MOKA_MAX(w0, 0);
					h1 = MOKA_MIN(h1, x->height), w1 = MOKA_MIN(w1, x->width);
					for (int64_t h = h0; h < h1; h++)
						for (int64_t w = w0; w < w1; w++) {
							real v = x->data[at(x, n, c, h * x->width + w)];
							sum += v;
							best = !any || v > best ? v : best;
							any = true;
						}
					y->data[at(y, n, c, i * y->width + j)] =
						d->kind == MOKA_POOL_MAX ? best : sum / (real)size;
				}
}

void moka_add2(struct moka_pool *pool, real a, const struct moka_tensor *x, real b, const struct moka_tensor *z,
	       const struct moka_act *f, const struct moka_tensor *y)
{
	(void)pool;
	for (int64_t n = 0; n < y->images; n++)
		for (int64_t c = 0; c < up(y->channels, y->block); c++)
			for (int64_t p = 0; p < y->height * y->width; p++)
				y->data[at(y, n, c, p)] =
					c < y->channels ?
						act(f, c, a * x->data[at(x, n, c, p)] + b * z->data[at(z, n, c, p)]) :
						0;
}

void moka_affine(struct moka_pool *pool, const real *scale, const real *shift, const struct moka_act *f,
		 const struct moka_tensor *x, const struct moka_tensor *y)
{
	(void)pool;
	for (int64_t n = 0; n < y->images; n++)
		for (int64_t c = 0; c < up(y->channels, y->block); c++)
			for (int64_t p = 0; p < y->height * y->width; p++)
				y->data[at(y, n, c, p)] =
					c < y->channels ? act(f, c,
							      x->data[at(x, n, c, p)] * (scale ? scale[c] : 1) +
								      (shift ? shift[c] : 0)) :
							  0;
}

void moka_lrn_across(struct moka_pool *pool, int64_t size, real alpha, real beta, real k, const struct moka_tensor *x,
		     const struct moka_tensor *y)
{
	(void)pool;
	for (int64_t n = 0; n < y->images; n++)
		for (int64_t c = 0; c < up(y->channels, y->block); c++)
			for (int64_t p = 0; p < y->height * y->width; p++) {
				real sum = 0;
				for (int64_t q = MOKA_MAX(c - size / 2, 0); q <= c + size / 2 && q < x->channels; q++)
					sum += x->data[at(x, n, q, p)] * x->data[at(x, n, q, p)];
				y->data[at(y, n, c, p)] = c < y->channels ? x->data[at(x, n, c, p)] *
										    pow(k + alpha / (real)size * sum, -beta) :
									    0;
			}
}
