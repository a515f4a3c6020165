/*
 * dense_block_run.c - the arithmetic of DenseBlock, transition by transition.
 *
 * The top holds all channels, so nothing else is kept for the way back: each transition's normalised channels are made again from
 * the top, as the fork does it, and its gradient is added to that of the channels before it.
 */
#include "norm.h"

#include "blocks.h"
#include "dense_block.h"

#define PIECE 16384

struct work {
	const struct moka_layer *l;
	struct moka_call *c;
	const struct moka__dense *v;
	real *block[MOKA__DENSE_BLOCKS];
	int64_t item; /* values of one sample of the top */
	bool first;   /* the forward pass: what it finds is added to the kept statistics */
};

void moka__dense_sizes(const struct moka__dense *v, int64_t size[MOKA__DENSE_BLOCKS])
{
	const int64_t all = moka_layer_product(3, (int64_t[]){ v->n, v->out, v->plane });
	const int64_t middle = v->bc ? moka_layer_product(3, (int64_t[]){ v->n, v->middle, v->plane }) : 0;
	const int64_t inputs = v->bc ? v->middle : v->out; /* at most, of a 3x3 convolution */

	size[MOKA__DENSE_NORMAL] = size[MOKA__DENSE_WIDE] = size[MOKA__DENSE_D_NORMAL] = all;
	size[MOKA__DENSE_BETWEEN] = size[MOKA__DENSE_MIDDLE] = size[MOKA__DENSE_D_MIDDLE] = middle;
	size[MOKA__DENSE_MADE] = moka_layer_product(3, (int64_t[]){ v->n, v->g, v->plane });
	size[MOKA__DENSE_TURNED] = size[MOKA__DENSE_D_TURNED] = moka_layer_product(3, (int64_t[]){ 9, v->g, inputs });
	size[MOKA__DENSE_MEAN] = size[MOKA__DENSE_INVERSE] = v->out;
	size[MOKA__DENSE_MEAN_MIDDLE] = size[MOKA__DENSE_INVERSE_MIDDLE] = v->bc ? v->middle : 0;
	size[MOKA__DENSE_COLUMNS] = moka_layer_product(3, (int64_t[]){ 9, inputs, v->plane });
}

static struct work work_open(const struct moka_layer *l, struct moka_call *c, bool first)
{
	struct work w = { .l = l, .c = c, .v = l->priv, .first = first };
	int64_t size[MOKA__DENSE_BLOCKS];
	real *at = c->scratch;

	moka__dense_sizes(w.v, size);
	for (int i = 0; i < MOKA__DENSE_BLOCKS; i++) {
		w.block[i] = at;
		at += size[i];
	}
	w.item = w.v->out * w.v->plane;
	return w;
}

/* ---- normalising -------------------------------------------------------------------------------- */

/* One normalisation: `kind` is the index of the scale of the first transition; x has items `item` values apart, out is dense. */
struct normal {
	int kind;
	const real *x;
	int64_t item, channels;
	real *mean, *inverse, *out;
};

static struct normal normal_of_all(const struct work *w, int64_t channels)
{
	return (struct normal){ 1,
				w->c->top[0].data,
				w->item,
				channels,
				w->block[MOKA__DENSE_MEAN],
				w->block[MOKA__DENSE_INVERSE],
				w->block[MOKA__DENSE_NORMAL] };
}

static struct normal normal_of_middle(const struct work *w)
{
	return (struct normal){ 6,
				w->block[MOKA__DENSE_BETWEEN],
				w->v->middle * w->v->plane,
				w->v->middle,
				w->block[MOKA__DENSE_MEAN_MIDDLE],
				w->block[MOKA__DENSE_INVERSE_MIDDLE],
				w->block[MOKA__DENSE_MIDDLE] };
}

/* Kind `plus` behind the scale (1: the shift, 2: the mean, 3: the variance) of transition i. */
static const struct moka_view *param_of(const struct work *w, const struct normal *n, int plus, int64_t i)
{
	return &w->c->param[(n->kind + plus) * w->v->t + i];
}

static void find_statistics(const struct work *w, const struct normal *n, int64_t i)
{
	const struct moka__dense_param *p = w->l->param;
	const struct moka__norm shape = { w->v->n, n->channels, w->v->plane, n->item };
	const struct moka_view *mean = param_of(w, n, 2, i), *variance = param_of(w, n, 3, i);
	const real divisor = w->c->param[w->l->n_param - 1].data[0], factor = divisor == 0 ? 0 : 1 / divisor;
	const real m = (real)(w->v->n * w->v->plane), unbias = m > 1 ? m / (m - 1) : 1;

	if (w->l->phase == MOKA_TEST) {
		for (int64_t k = 0; k < n->channels; k++) {
			n->mean[k] = mean->data[k] * factor;
			n->inverse[k] = variance->data[k] * factor;
		}
	} else {
		moka__norm_statistics(w->c->pool, &shape, n->x, n->mean, n->inverse);
		moka_scale(n->channels, unbias, n->inverse);
	}
	if (w->l->phase == MOKA_TRAIN && w->first) {
		moka_axpby(n->channels, 1, n->mean, (real)p->fraction, mean->data);
		moka_axpby(n->channels, 1, n->inverse, (real)p->fraction, variance->data);
	}
	moka__norm_inverse(n->channels, n->inverse, (real)1e-5, n->inverse);
}

/* Normalises, scales and rectifies. */
static void normalise(const struct work *w, const struct normal *n, int64_t i)
{
	const struct moka__norm shape = { w->v->n, n->channels, w->v->plane, n->item };
	const struct moka__norm_apply a = { n->x,
					    n->mean,
					    n->inverse,
					    param_of(w, n, 0, i)->data,
					    param_of(w, n, 1, i)->data,
					    n->out,
					    n->channels * w->v->plane,
					    true };

	find_statistics(w, n, i);
	moka__norm_apply(w->c->pool, &shape, &a);
}

struct rectify_job {
	const real *y;
	real *d;
};

static void rectify_piece(void *arg, int64_t begin, int64_t end)
{
	const struct rectify_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		if (j->y[i] <= 0)
			j->d[i] = 0;
}

/* The way back: d, the gradient of n->out, becomes (or, `add`, is added to) dx, the gradient of n->x. */
static void normalise_back(const struct work *w, const struct normal *n, int64_t i, real *d, real *dx, bool add)
{
	const struct moka__norm shape = { w->v->n, n->channels, w->v->plane, n->item };
	struct rectify_job j = { n->out, d };
	const struct moka__norm_gradient g = { .x = n->x,
					       .dy = d,
					       .mean = n->mean,
					       .inverse = n->inverse,
					       .scale = param_of(w, n, 0, i)->data,
					       .dy_item = n->channels * w->v->plane,
					       .fixed = w->l->phase == MOKA_TEST,
					       .unbiased = true,
					       .add = add,
					       .dx = dx,
					       .dscale = param_of(w, n, 0, i)->diff,
					       .dshift = param_of(w, n, 1, i)->diff };

	moka_parallel(w->c->pool, rectify_piece, &j, w->v->n * n->channels * w->v->plane, PIECE);
	moka__norm_gradient(w->c->pool, &shape, &g);
}

/* ---- convolving --------------------------------------------------------------------------------- */

/* A convolution whose filters (outputs, channels, side, side) are turned by 180 degrees; sides of 1 or 3. */
struct filters {
	const struct moka_view *w;
	int64_t outputs, channels, side;
};

static struct moka_conv_geometry geometry(const struct moka__dense *v, const struct filters *f)
{
	return (struct moka_conv_geometry){ .axes = 2,
					    .channels = f->channels,
					    .in = { v->h, v->w },
					    .out = { v->h, v->w },
					    .kernel = { f->side, f->side },
					    .stride = { 1, 1 },
					    .pad = { f->side / 2, f->side / 2 },
					    .dilation = { 1, 1 } };
}

static const real *turned(const struct work *k, const struct filters *f)
{
	const int64_t taps = f->side * f->side;
	real *to = k->block[MOKA__DENSE_TURNED];

	if (taps == 1)
		return f->w->data;
	for (int64_t i = 0; i < f->outputs * f->channels; i++)
		for (int64_t t = 0; t < taps; t++)
			to[i * taps + t] = f->w->data[i * taps + taps - 1 - t];
	return to;
}

static void convolve(const struct work *k, const struct filters *f, const real *x, real *y)
{
	const struct moka_conv_geometry g = geometry(k->v, f);
	const real *w = turned(k, f);

	for (int64_t n = 0; n < k->v->n; n++)
		moka_conv_forward(k->c->pool, k->c->gemm, &g, f->outputs, w, x + n * f->channels * k->v->plane, NULL,
				  y + n * f->outputs * k->v->plane);
}

/* dw += the gradient of the filters, turned back. */
static void convolve_weights(const struct work *k, const struct filters *f, const real *x, const real *dy, real *dw)
{
	const struct moka_conv_geometry g = geometry(k->v, f);
	const int64_t plane = k->v->plane, taps = f->side * f->side, columns = f->channels * taps;
	real *to = taps == 1 ? dw : k->block[MOKA__DENSE_D_TURNED];

	if (taps > 1)
		moka_set(f->outputs * columns, 0, to);
	for (int64_t n = 0; n < k->v->n; n++) {
		const real *from = x + n * f->channels * plane;

		if (taps > 1) {
			moka_im2col(k->c->pool, &g, from, k->block[MOKA__DENSE_COLUMNS]);
			from = k->block[MOKA__DENSE_COLUMNS];
		}
		moka_gemm(k->c->pool, k->c->gemm, false, true, f->outputs, columns, plane, 1,
			  dy + n * f->outputs * plane, plane, from, plane, 1, to, columns);
	}
	for (int64_t i = 0; taps > 1 && i < f->outputs * f->channels; i++)
		for (int64_t t = 0; t < taps; t++)
			dw[i * taps + t] += to[i * taps + taps - 1 - t];
}

static void convolve_data(const struct work *k, const struct filters *f, const real *dy, real *dx)
{
	const struct moka_conv_geometry g = geometry(k->v, f);
	const int64_t plane = k->v->plane, taps = f->side * f->side, columns = f->channels * taps;
	const real *w = turned(k, f);

	for (int64_t n = 0; n < k->v->n; n++) {
		real *image = dx + n * f->channels * plane, *to = taps == 1 ? image : k->block[MOKA__DENSE_COLUMNS];

		moka_gemm(k->c->pool, k->c->gemm, true, false, columns, plane, f->outputs, 1, w, columns,
			  dy + n * f->outputs * plane, plane, 0, to, plane);
		if (taps > 1)
			moka_col2im(k->c->pool, &g, to, image);
	}
}

static void convolve_back(const struct work *k, const struct filters *f, const real *x, const real *dy, real *dx)
{
	if (f->w->diff)
		convolve_weights(k, f, x, dy, f->w->diff);
	convolve_data(k, f, dy, dx);
}

/* ---- dropping ----------------------------------------------------------------------------------- */

struct drop_job {
	double ratio;
	real scale;
	uint64_t seed;
	uint8_t *mask; /* may be NULL where no backward follows */
	real *x;
};

static void drop_piece(void *arg, int64_t begin, int64_t end)
{
	const struct drop_job *j = arg;
	struct moka_rng rng;

	moka_rng_seed(&rng, j->seed, (uint64_t)(begin / PIECE));
	for (int64_t i = begin; i < end; i++) {
		const bool keep = moka_rng_uniform(&rng) >= j->ratio;

		if (j->mask)
			j->mask[i] = keep;
		j->x[i] = keep ? j->x[i] * j->scale : 0;
	}
}

static void drop_back_piece(void *arg, int64_t begin, int64_t end)
{
	const struct drop_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->x[i] = j->mask[i] ? j->x[i] * j->scale : 0;
}

/* The channels that transition i makes, or their gradient. */
static void drop(const struct work *w, int64_t i)
{
	const struct moka__dense_param *p = w->l->param;
	const int64_t count = w->v->n * w->v->g * w->v->plane;
	struct drop_job j = { .ratio = (double)p->dropout, .x = w->block[MOKA__DENSE_MADE] };

	if (w->l->phase == MOKA_TEST || !p->use_dropout)
		return;
	j.scale = p->dropout < 1 ? 1 / (1 - (real)p->dropout) : 0;
	j.mask = w->c->state ? (uint8_t *)w->c->state + i * count : NULL;
	if (w->first)
		j.seed = moka_rng_next(w->c->rng);
	moka_parallel(w->c->pool, w->first ? drop_piece : drop_back_piece, &j, count, PIECE);
}

/* ---- the passes --------------------------------------------------------------------------------- */

static struct filters last_filters(const struct work *w, int64_t i)
{
	return (struct filters){ &w->c->param[i], w->v->g, w->v->bc ? w->v->middle : w->v->c + i * w->v->g, 3 };
}

static struct filters narrow_filters(const struct work *w, int64_t i)
{
	return (struct filters){ &w->c->param[5 * w->v->t + i], w->v->middle, w->v->c + i * w->v->g, 1 };
}

/* What the 3x3 convolution of transition i takes. */
static const real *prepare(const struct work *w, int64_t i)
{
	const struct normal all = normal_of_all(w, w->v->c + i * w->v->g), middle = normal_of_middle(w);
	const struct filters narrow = narrow_filters(w, i);

	normalise(w, &all, i);
	if (!w->v->bc)
		return all.out;
	convolve(w, &narrow, all.out, w->block[MOKA__DENSE_BETWEEN]);
	normalise(w, &middle, i);
	return middle.out;
}

enum moka_status moka__dense_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__dense_param *p = l->param;
	const struct work w = work_open(l, c, true);
	const struct moka__dense *v = w.v;
	real *y = c->top[0].data, *made = w.block[MOKA__DENSE_MADE];

	if (!c->top[0].count)
		return MOKA_OK;
	moka__copy_rows(c->pool, v->n, v->c * v->plane, c->bottom[0].data, v->c * v->plane, y, w.item);
	for (int64_t i = 0; i < v->t; i++) {
		const struct filters last = last_filters(&w, i);

		convolve(&w, &last, prepare(&w, i), made);
		drop(&w, i);
		moka__copy_rows(c->pool, v->n, v->g * v->plane, made, v->g * v->plane, y + (v->c + i * v->g) * v->plane,
				w.item);
	}
	if (l->phase == MOKA_TRAIN)
		c->param[l->n_param - 1].data[0] = c->param[l->n_param - 1].data[0] * (real)p->fraction + 1;
	return MOKA_OK;
}

static void transition_back(const struct work *w, int64_t i)
{
	const struct moka__dense *v = w->v;
	const struct normal all = normal_of_all(w, v->c + i * v->g), middle = normal_of_middle(w);
	const struct filters last = last_filters(w, i), narrow = narrow_filters(w, i);
	real *wide = w->block[MOKA__DENSE_WIDE], *made = w->block[MOKA__DENSE_MADE];
	real *d_normal = w->block[MOKA__DENSE_D_NORMAL], *d_middle = w->block[MOKA__DENSE_D_MIDDLE];
	const real *x = prepare(w, i);

	moka__copy_rows(w->c->pool, v->n, v->g * v->plane, wide + (v->c + i * v->g) * v->plane, w->item, made,
			v->g * v->plane);
	drop(w, i);
	convolve_back(w, &last, x, made, v->bc ? d_middle : d_normal);
	if (v->bc) {
		normalise_back(w, &middle, i, d_middle, d_middle, false);
		convolve_back(w, &narrow, all.out, d_middle, d_normal);
	}
	normalise_back(w, &all, i, d_normal, wide, true);
}

enum moka_status moka__dense_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct work w = work_open(l, c, false);
	const struct moka__dense *v = w.v;
	real *dx = c->bottom[0].diff;

	if (!c->top[0].count)
		return MOKA_OK;
	if (!c->top[0].diff) {
		if (dx)
			moka_set(c->bottom[0].count, 0, dx);
		return MOKA_OK;
	}
	moka__copy(c->pool, c->top[0].count, c->top[0].diff, w.block[MOKA__DENSE_WIDE]);
	for (int64_t i = v->t - 1; i >= 0; i--)
		transition_back(&w, i);
	if (dx)
		moka__copy_rows(c->pool, v->n, v->c * v->plane, w.block[MOKA__DENSE_WIDE], w.item, dx, v->c * v->plane);
	return MOKA_OK;
}
