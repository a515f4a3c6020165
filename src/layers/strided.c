/*
 * strided.c - see strided.h.
 */
#include "strided.h"

void moka__strided_plain(struct moka__strided *v, const struct moka_shape *s)
{
	*v = (struct moka__strided){ .n = s->n };
	for (int i = 0; i < s->n; i++) {
		v->size[i] = s->d[i];
		v->stride[i] = moka_shape_count_range(s, i + 1, s->n);
	}
}

void moka__strided_reverse(struct moka__strided *v, int i)
{
	if (v->size[i] < 1 || v->stride[i] < 1)
		return;
	v->offset += (v->size[i] - 1) * v->stride[i];
	v->stride[i] = -v->stride[i];
}

struct strided_job {
	const struct moka__strided *v;
	const real *src;
	real *dst;
	bool back;
};

/* Rows (the last axis) of the destination, numbered. */
static void strided_piece(void *arg, int64_t begin, int64_t end)
{
	const struct strided_job *j = arg;
	const struct moka__strided *v = j->v;
	const int last = v->n - 1;
	const int64_t size = v->size[last], step = v->stride[last];

	for (int64_t row = begin; row < end; row++) {
		int64_t rest = row, at = v->offset;

		for (int i = last - 1; i >= 0; i--) {
			at += rest % v->size[i] * v->stride[i];
			rest /= v->size[i];
		}
		for (int64_t k = 0; !j->back && k < size; k++)
			j->dst[row * size + k] = j->src[at + k * step];
		for (int64_t k = 0; j->back && k < size; k++)
			j->dst[at + k * step] = j->src[row * size + k];
	}
}

static void run(struct moka_pool *pool, const struct strided_job *j)
{
	struct strided_job job = *j;
	const struct moka__strided *v = j->v;
	int64_t count = moka_layer_product(v->n, v->size);

	if (v->n == 0)
		j->dst[0] = j->src[0];
	else if (count)
		moka_parallel(pool, strided_piece, &job, count / v->size[v->n - 1],
			      MOKA_MAX(16384 / v->size[v->n - 1], 1));
}

void moka__strided_copy(struct moka_pool *pool, const struct moka__strided *v, const real *src, real *dst)
{
	run(pool, &(struct strided_job){ v, src, dst, false });
}

void moka__strided_back(struct moka_pool *pool, const struct moka__strided *v, const real *src, real *dst)
{
	if (src)
		run(pool, &(struct strided_job){ v, src, dst, true });
	else
		moka_set(moka_layer_product(v->n, v->size), 0, dst);
}
