/*
 * MVN: mean-variance normalisation of each channel of each item (across_channels: of each item), by its own
 * statistics.
 *
 *     y = (x - mean) / (deviation + eps)
 *
 * As in Caffe, a blob of fewer than 4 axes becomes one of 4. The state keeps each row's divisor.
 */
#include "layer.h"

#include <tgmath.h>

struct mvn_param {
	bool normalize_variance, across_channels;
	float eps;
};

/* clang-format off */
static const struct moka_field mvn_fields[] = {
	MOKA_F_BOOL(struct mvn_param, normalize_variance, 1, true, "divide by the deviation; false: only the mean goes"),
	MOKA_F_BOOL(struct mvn_param, across_channels, 2, false, "one mean for all channels of an item"),
	MOKA_F_FLOAT(struct mvn_param, eps, 3, 1e-9, "added to the deviation"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message mvn_message = { "MVNParameter", mvn_fields, sizeof(struct mvn_param) };

struct mvn {
	int64_t rows, row; /* each row has its own statistics */
};

static enum moka_status mvn_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct mvn_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape;
	struct mvn *v = moka_layer_priv(l, sizeof(*v));
	const int split = p->across_channels ? 1 : 2;

	(void)f;
	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = *s;
	if (s->n < 0)
		return MOKA_OK;
	for (struct moka_shape *t = &l->top[0].shape; t->n < 4;)
		t->d[t->n++] = 1;
	v->rows = moka_shape_count_range(&l->top[0].shape, 0, split);
	v->row = moka_shape_count_range(&l->top[0].shape, split, l->top[0].shape.n);
	l->state_bytes = moka_layer_bytes(v->rows, sizeof(real));
	return MOKA_OK;
}

struct mvn_job {
	const struct mvn *v;
	const struct mvn_param *p;
	const real *x, *y, *dy;
	real *out, *divisor;
};

static void run_rows(struct moka_pool *pool, void (*piece)(void *, int64_t, int64_t), struct mvn_job *j)
{
	moka_parallel(pool, piece, j, j->v->rows, MOKA_MAX(16384 / MOKA_MAX(j->v->row, 1), 1));
}

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct mvn_job *j = arg;
	const int64_t n = j->v->row;

	for (int64_t r = begin; r < end; r++) {
		const real *x = j->x + r * n;
		double sum = 0, squares = 0, mean;

		for (int64_t i = 0; i < n; i++)
			sum += (double)x[i];
		mean = n ? sum / (double)n : 0;
		for (int64_t i = 0; i < n && j->p->normalize_variance; i++)
			squares += ((double)x[i] - mean) * ((double)x[i] - mean);
		j->divisor[r] = j->p->normalize_variance && n ? (real)sqrt(squares / (double)n) + (real)j->p->eps : 1;
		for (int64_t i = 0; i < n; i++)
			j->out[r * n + i] = (x[i] - (real)mean) / j->divisor[r];
	}
}

static enum moka_status mvn_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct mvn_job j = {
		.v = l->priv, .p = l->param, .x = c->bottom[0].data, .out = c->top[0].data, .divisor = c->state
	};

	run_rows(c->pool, forward_piece, &j);
	return MOKA_OK;
}

/* dx = (dy - mean(dy) - y * mean(dy * y)) / divisor; without the variance dy - mean(dy). */
static void backward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct mvn_job *j = arg;
	const int64_t n = j->v->row;

	for (int64_t r = begin; r < end; r++) {
		const real *y = j->y + r * n, *dy = j->dy + r * n;
		double sum = 0, product = 0;

		for (int64_t i = 0; i < n; i++) {
			sum += (double)dy[i];
			product += (double)dy[i] * (double)y[i];
		}
		const real mean = n ? (real)(sum / (double)n) : 0;
		const real slope = n && j->p->normalize_variance ? (real)(product / (double)n) : 0;
		for (int64_t i = 0; i < n; i++)
			j->out[r * n + i] = (dy[i] - mean - y[i] * slope) / j->divisor[r];
	}
}

static enum moka_status mvn_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct mvn_job j = { .v = l->priv,
			     .p = l->param,
			     .y = c->top[0].data,
			     .dy = c->top[0].diff,
			     .out = c->bottom[0].diff,
			     .divisor = c->state };

	if (j.out)
		run_rows(c->pool, backward_piece, &j);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_mvn = {
	.schema = { "MVN", "mvn_param", 120, 34, &mvn_message, "MVN", 34, NULL },
	.doc = "gives each channel of each item mean 0 and variance 1",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_READS_TOP,
	.shape = mvn_shape, .forward = mvn_forward, .backward = mvn_backward,
};
/* clang-format on */
