/*
 * Axpy (SENet): y = a x + b, one factor a for each channel of each item: a Scale and an Eltwise in one.
 *
 *     bottoms  a (N, C) or (N, C, 1, 1)   x (N, C, inner...)   b (N, C, inner...)      top (N, C, inner...)
 */
#include "blocks.h"

static bool fits(int64_t a, int64_t b)
{
	return a < 0 || b < 0 || a == b;
}

static enum moka_status axpy_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape, *x = &l->bottom[1].shape, *b = &l->bottom[2].shape;
	char text[2][MOKA_SHAPE_TEXT];
	bool ok = a->n < 0 || (a->n >= 2 && (x->n < 0 || (fits(a->d[0], x->d[0]) && fits(a->d[1], x->d[1]))));

	if (x->n >= 0 && x->n < 2)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 1, "'%s' is %s, and an item of it must have channels",
					     l->bottom[1].name, moka_shape_text(x, text[0], sizeof(text[0])));
	for (int i = 2; i < a->n; i++)
		ok &= fits(a->d[i], 1);
	if (!ok)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 0,
			"the factors '%s' are %s; for '%s', which is %s, there must be one for each channel",
			l->bottom[0].name, moka_shape_text(a, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(x, text[1], sizeof(text[1])));
	ok = x->n < 0 || b->n < 0 || x->n == b->n;
	for (int i = 0; ok && i < x->n && i < b->n; i++)
		ok = fits(x->d[i], b->d[i]);
	if (!ok)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 2, "'%s' is %s and is added to '%s', which is %s",
					     l->bottom[2].name, moka_shape_text(b, text[0], sizeof(text[0])),
					     l->bottom[1].name, moka_shape_text(x, text[1], sizeof(text[1])));
	l->top[0].shape = x->n >= 0 ? *x : *b;
	l->macs = moka_shape_count(&l->top[0].shape);
	return MOKA_OK;
}

struct axpy_job {
	int64_t inner;
	const real *a, *x, *b, *dy;
	real *out;
};

static struct axpy_job axpy_job(const struct moka_layer *l, const struct moka_call *c)
{
	const struct moka_shape *s = &l->top[0].shape;

	return (struct axpy_job){ moka_shape_count_range(s, 2, s->n),
				  c->bottom[0].data,
				  c->bottom[1].data,
				  c->bottom[2].data,
				  c->top[0].diff,
				  NULL };
}

static void run(struct moka_call *c, void (*piece)(void *, int64_t, int64_t), struct axpy_job *j)
{
	moka_parallel(c->pool, piece, j, c->bottom[0].count, MOKA_MAX(16384 / MOKA_MAX(j->inner, 1), 1));
}

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct axpy_job *j = arg;

	for (int64_t r = begin; r < end; r++)
		for (int64_t i = r * j->inner; i < (r + 1) * j->inner; i++)
			j->out[i] = j->a[r] * j->x[i] + j->b[i];
}

static enum moka_status axpy_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct axpy_job j = axpy_job(l, c);

	j.out = c->top[0].data;
	run(c, forward_piece, &j);
	return MOKA_OK;
}

static void factor_piece(void *arg, int64_t begin, int64_t end)
{
	const struct axpy_job *j = arg;

	for (int64_t r = begin; r < end; r++)
		j->out[r] = moka_dot(j->inner, j->x + r * j->inner, j->dy + r * j->inner);
}

static void x_piece(void *arg, int64_t begin, int64_t end)
{
	const struct axpy_job *j = arg;

	for (int64_t r = begin; r < end; r++)
		for (int64_t i = r * j->inner; i < (r + 1) * j->inner; i++)
			j->out[i] = j->a[r] * j->dy[i];
}

static enum moka_status axpy_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct axpy_job j = axpy_job(l, c);

	for (int i = 0; i < 3; i++) {
		j.out = c->bottom[i].diff;
		if (!j.out)
			continue;
		if (!j.dy)
			moka_set(c->bottom[i].count, 0, j.out);
		else if (i == 2)
			moka__copy(c->pool, c->bottom[2].count, j.dy, j.out);
		else
			run(c, i ? x_piece : factor_piece, &j);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_axpy = {
	.schema = { "Axpy", NULL, 0, 0, NULL, NULL, 0, "SENet" },
	.doc = "scales each channel by a factor of its own and adds a third input: y = a x + b",
	.min_bottom = 3, .max_bottom = 3, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = axpy_shape, .forward = axpy_forward, .backward = axpy_backward,
};
/* clang-format on */
