/*
 * ConnectedComponent: numbers the pieces of a picture of labels (OpenCL Caffe, for MalisLoss). In each plane, pixels of
 * one label (as a whole number) that touch along an edge get one number, counted up from the plane's largest label + 1 in reading order;
 * label 0 stays 0. The fork keeps labels in 8 bits; here they are what they are.
 */
#include "layer.h"

static enum moka_status component_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	char text[MOKA_SHAPE_TEXT];

	l->top[0].shape = *s;
	if (s->n >= 0 && s->n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "takes blobs of 4 axes (num, channels, height, width), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(s, text, sizeof(text)));
	if (moka_shape_known(s) && moka_layer_product(2, s->d + 2) > INT32_MAX)
		return moka_layer_bad_bottom(l, f, "too-large", 0, "planes of %lld x %lld are too large",
					     (long long)s->d[2], (long long)s->d[3]);
	l->scratch_bytes = moka_layer_bytes(moka_shape_count(s), sizeof(int32_t));
	return MOKA_OK;
}

struct component_job {
	int64_t h, w;
	const real *x;
	real *y;
	int32_t *stack;
};

/* Every place of the piece that holds `start` gets `number`. A place enters the stack once: when it gets its number. */
static void flood(const struct component_job *j, const real *x, real *y, int32_t *stack, int32_t start, real number)
{
	const int64_t label = (int64_t)x[start];
	int64_t n = 0;

	y[start] = number;
	stack[n++] = start;
	while (n) {
		const int32_t at = stack[--n];
		const int64_t row = at / j->w, column = at % j->w;
		const int64_t next[] = { column ? at - 1 : -1, column + 1 < j->w ? at + 1 : -1, row ? at - j->w : -1,
					 row + 1 < j->h ? at + j->w : -1 };

		for (int i = 0; i < 4; i++)
			if (next[i] >= 0 && y[next[i]] == 0 && (int64_t)x[next[i]] == label) {
				y[next[i]] = number;
				stack[n++] = (int32_t)next[i];
			}
	}
}

static void component_piece(void *arg, int64_t begin, int64_t end)
{
	const struct component_job *j = arg;
	const int64_t size = j->h * j->w;

	for (int64_t p = begin; p < end; p++) {
		const real *x = j->x + p * size;
		real *y = j->y + p * size;
		int64_t next = 0;

		for (int64_t i = 0; i < size; i++)
			next = MOKA_MAX(next, (int64_t)x[i]);
		moka_set(size, 0, y);
		for (int64_t i = 0; i < size; i++)
			if (y[i] == 0 && (int64_t)x[i] != 0)
				flood(j, x, y, j->stack + p * size, (int32_t)i, (real)++next);
	}
}

static enum moka_status component_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka_shape *s = c->bottom[0].shape;
	struct component_job j = { s->d[2], s->d[3], c->bottom[0].data, c->top[0].data, c->scratch };

	for (int64_t i = 0; i < c->bottom[0].count; i++)
		if (!(j.x[i] > -16777216 && j.x[i] < 16777216))
			return moka_call_bad(l, c, MOKA_ERR_DATA, "value %lld of '%s' is %g, and no label",
					     (long long)i, l->bottom[0].name, (double)j.x[i]);
	if (c->bottom[0].count)
		moka_parallel(c->pool, component_piece, &j, s->d[0] * s->d[1], 1);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_connected_component = {
	.schema = { "ConnectedComponent", NULL, 0, 0, NULL, NULL, 0, "OpenCL Caffe" },
	.doc = "numbers the connected pieces of a picture of labels",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = component_shape, .forward = component_forward,
};
/* clang-format on */
