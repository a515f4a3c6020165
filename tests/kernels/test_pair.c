/*
 * A convolution and the depthwise one behind it, run as one, against the two one after the other: the same bits, on every instruction
 * set of the machine, with one thread and with three, for a net's first convolution and 1x1, buffers of many rows and of few.
 */
#include "kernels/conv_op.h"
#include "t.h"

#include <stdlib.h>
#include <string.h>

static const char *const isas[] = T_ISAS;
static struct moka_pool *three;

struct row {
	int64_t images, channels, height, width, outputs; /* of the first */
	int64_t kernel, stride;				  /* 1: a 1x1 of blocked images; else of plain ones, padded */
	int64_t step, pad[2];				  /* of the second */
};

static const struct row rows[] = {
	{ 1, 16, 7, 7, 16, 1, 1, 1, { 1, 1 } },
	{ 2, 13, 5, 9, 40, 1, 1, 2, { 1, 1 } },
	{ 1, 300, 14, 14, 200, 1, 1, 1, { 1, 1 } },
	{ 3, 24, 15, 13, 130, 1, 1, 2, { 1, 1 } },
	{ 1, 40, 1, 1, 24, 1, 1, 1, { 1, 1 } },
	{ 1, 8, 2, 3, 17, 1, 1, 1, { 4, 1 } },
	{ 1, 8, 6, 12, 8, 1, 1, 2, { 3, 0 } },
	{ 1, 20, 45, 112, 96, 1, 1, 1, { 1, 1 } }, /* the buffer is filled again and again */
	{ 1, 20, 45, 112, 96, 1, 1, 2, { 1, 1 } },
	{ 1, 4, 11, 700, 64, 1, 1, 1, { 1, 1 } },
	{ 1, 4, 12, 700, 64, 1, 1, 2, { 0, 0 } },
	{ 2, 3, 30, 29, 32, 3, 2, 1, { 1, 1 } },
	{ 1, 3, 64, 224, 40, 3, 2, 2, { 1, 1 } },
	{ 1, 5, 20, 150, 150, 5, 1, 1, { 1, 1 } },
	{ 1, 1, 9, 5, 3, 3, 1, 2, { 0, 1 } },
};

static real *numbers(int64_t n, uint64_t seed)
{
	real *p = aligned_alloc(64, ((size_t)MOKA_MAX(n, 1) * sizeof(real) + 63) / 64 * 64);
	struct moka_rng r;

	moka_rng_seed(&r, seed, 0);
	for (int64_t i = 0; i < n; i++)
		p[i] = (real)(moka_rng_uniform(&r) - 0.5);
	return p;
}

/* Blocked or plain, spare lanes zero. */
static struct moka_tensor tensor(int64_t images, int64_t channels, int64_t height, int64_t width, int block,
				 uint64_t seed)
{
	const int64_t plain = images * channels * height * width,
		      image = moka_tensor_image(channels, height, width, block);
	real *from = numbers(plain, seed);
	struct moka_tensor x = { from, images, channels, height, width, 1, channels * height * width };
	struct moka_tensor y = { numbers(images * image, 1), images, channels, height, width, block, image };

	moka_relayout(NULL, &x, &y);
	free(from);
	return y;
}

static struct moka_conv_op *planned(const struct moka_conv_desc *d, uint64_t seed)
{
	struct moka_conv_op *op;
	real *w = numbers(d->outputs * d->channels / d->group * d->kernel[0] * d->kernel[1], seed);
	real *bias = numbers(d->outputs, seed + 1);

	T_INT(moka_conv_op_new(&op, d), MOKA_OK);
	T_INT(moka_conv_op_pack(op, NULL, w, bias, NULL, NULL), MOKA_OK);
	free(w), free(bias);
	return op;
}

static void *scratch_of(size_t bytes)
{
	return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

static void one_by_one(const struct moka_conv_op *a, const struct moka_conv_op *b, const struct moka_tensor *x,
		       const struct moka_tensor *between, const struct moka_tensor *z, const struct moka_tensor *y)
{
	void *first = scratch_of(moka_conv_op_scratch(a, 1)), *second = scratch_of(moka_conv_op_scratch(b, 1));

	moka_conv_op_run(a, NULL, NULL, x, NULL, between, first);
	moka_conv_op_run(b, NULL, NULL, between, z, y, second);
	free(first), free(second);
}

static void check_row(const struct row *r, const struct moka_act *act, bool residual)
{
	const int block = moka_block(), in_block = r->kernel == 1 ? block : 1;
	const int64_t pad = r->kernel / 2;
	struct moka_conv_desc d = { .images = r->images,
				    .channels = r->channels,
				    .height = r->height,
				    .width = r->width,
				    .outputs = r->outputs,
				    .group = 1,
				    .kernel = { r->kernel, r->kernel },
				    .stride = { r->stride, r->stride },
				    .pad = { pad, pad },
				    .dilation = { 1, 1 },
				    .in_block = in_block,
				    .out_block = block,
				    .act = *act };
	struct moka_conv_op *a = planned(&d, 5), *b;
	struct moka_tensor x = tensor(r->images, r->channels, r->height, r->width, in_block, 2), between, z, y, want;

	between = tensor(r->images, r->outputs, a->out[0], a->out[1], block, 3);
	d = (struct moka_conv_desc){ .images = r->images,
				     .channels = r->outputs,
				     .height = a->out[0],
				     .width = a->out[1],
				     .outputs = r->outputs,
				     .group = r->outputs,
				     .kernel = { 3, 3 },
				     .stride = { r->step, r->step },
				     .pad = { r->pad[0], r->pad[1] },
				     .dilation = { 1, 1 },
				     .in_block = block,
				     .out_block = block,
				     .residual = residual,
				     .act = *act };
	b = planned(&d, 8);
	T_TRUE(moka_conv_pair_takes(a, b));
	z = tensor(r->images, r->outputs, b->out[0], b->out[1], block, 4);
	want = tensor(r->images, r->outputs, b->out[0], b->out[1], block, 6);
	one_by_one(a, b, &x, &between, &z, &want);
	for (int threads = 1; threads <= 3; threads += 2) {
		void *scratch = scratch_of(moka_conv_pair_scratch(a, b, threads));

		y = tensor(r->images, r->outputs, b->out[0], b->out[1], block, 7);
		moka_conv_pair_run(a, b, threads == 3 ? three : NULL, &x, &z, &y, scratch);
		T_TRUE(!memcmp(y.data, want.data, (size_t)(y.images * y.image_stride) * sizeof(real)));
		free(scratch), free(y.data);
	}
	free(x.data), free(between.data), free(z.data), free(want.data);
	moka_conv_op_free(a), moka_conv_op_free(b);
}

static void pairs(void)
{
	real *slopes = numbers(200, 9);
	const struct moka_act acts[] = { { MOKA_ACT_NONE, 0, 0, 0, NULL },
					 { MOKA_ACT_RELU, 0, 0, 0, NULL },
					 { MOKA_ACT_CLIP, 0, (real)0.1, (real)0.6, NULL },
					 { MOKA_ACT_PRELU, 0, 0, 0, slopes } };

	for (size_t i = 0; moka_block() > 1 && i < MOKA_COUNT(rows); i++)
		for (size_t k = 0; k < MOKA_COUNT(acts); k++)
			check_row(&rows[i], &acts[k], (i + k) % 2);
	free(slopes);
}

T_TEST(pairs_on_each_instruction_set)
{
	const char *was = getenv("MOKA_ISA");
	char *kept = was ? strdup(was) : NULL;

	three = moka_pool_new(3);
	for (size_t i = 0; i < MOKA_COUNT(isas); i++) {
		setenv("MOKA_ISA", isas[i], 1);
		pairs();
	}
	if (kept)
		setenv("MOKA_ISA", kept, 1);
	else
		unsetenv("MOKA_ISA");
	free(kept);
	moka_pool_free(three);
}

static const struct CMUnitTest tests[] = {
	T_CASE(pairs_on_each_instruction_set),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
