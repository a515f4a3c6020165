/*
 * Eltwise: the sum (each bottom times its coefficient), the product, or the maximum of bottoms of one shape,
 * value by value.
 *
 * stable_prod_grad: a product's gradient is the product of the other factors; false divides the result by the
 * factor, which is quicker for many factors and fails where one is 0.
 */
#include "layer.h"
#include "onnx.h"

enum { PROD, SUM, MAX };

struct eltwise_param {
	int operation;
	struct moka_list coeff; /* float */
	bool stable_prod_grad;
};

static const struct moka_enum_value operation_values[] = {
	{ "PROD", PROD }, { "SUM", SUM }, { "MAX", MAX }, { NULL, 0 }
};

/* clang-format off */
static const struct moka_field eltwise_fields[] = {
	MOKA_F_ENUM(struct eltwise_param, operation, 1, operation_values, SUM, "what becomes of the values"),
	MOKA_F_REP(struct eltwise_param, coeff, 2, MOKA_FLOAT, "factors of a sum, one a bottom; none: 1"),
	MOKA_F_BOOL(struct eltwise_param, stable_prod_grad, 3, true, "gradient of PROD without a division"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message eltwise_message = { "EltwiseParameter", eltwise_fields, sizeof(struct eltwise_param) };

#define PIECE 16384

static enum moka_status eltwise_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct eltwise_param *p = l->param;
	struct moka_shape top = l->bottom[0].shape;

	if (p->coeff.n && p->coeff.n != (size_t)l->n_bottom)
		return moka_layer_bad(l, f, "bad-setting", "coeff",
				      "%zu coefficients for %d bottoms; give one for each, or none", p->coeff.n,
				      l->n_bottom);
	if (p->coeff.n && p->operation == PROD)
		return moka_layer_bad(l, f, "bad-setting", "coeff", "coefficients go with SUM, not with PROD");
	MOKA_TRY(moka_layer_same_shapes(l, f));
	for (int i = 1; i < l->n_bottom; i++) { /* what one bottom doesn't know another may */
		const struct moka_shape *b = &l->bottom[i].shape;

		if (top.n < 0)
			top = *b;
		for (int k = 0; k < top.n && b->n == top.n; k++)
			if (top.d[k] < 0)
				top.d[k] = b->d[k];
	}
	l->top[0].shape = top;
	l->reads_top = p->operation == PROD && !p->stable_prod_grad;
	if (p->operation == MAX)
		l->state_bytes = moka_layer_bytes(moka_shape_count(&top), sizeof(int32_t));
	l->state_for_backward = true;
	return MOKA_OK;
}

struct eltwise_job {
	const struct moka_layer *l;
	const struct moka_view *bottom;
	const real *y, *dy;
	real *out;
	int32_t *winner; /* MAX: which bottom each value came from; NULL: not asked */
	int which;	 /* backward: the bottom whose gradient is made */
};

static real coefficient(const struct moka_layer *l, int i)
{
	const struct eltwise_param *p = l->param;

	return p->coeff.n ? (real)MOKA_LIST_AT(p->coeff, float, i) : 1;
}

static void sum_piece(void *arg, int64_t begin, int64_t end)
{
	const struct eltwise_job *j = arg;
	const real *a = j->bottom[0].data, *b = j->bottom[1].data;
	const real ca = coefficient(j->l, 0), cb = coefficient(j->l, 1);

	for (int64_t i = begin; i < end; i++)
		j->out[i] = ca * a[i] + cb * b[i];
	for (int k = 2; k < j->l->n_bottom; k++) {
		const real *x = j->bottom[k].data, cx = coefficient(j->l, k);

		for (int64_t i = begin; i < end; i++)
			j->out[i] += cx * x[i];
	}
}

static void product_piece(void *arg, int64_t begin, int64_t end)
{
	const struct eltwise_job *j = arg;
	const real *a = j->bottom[0].data, *b = j->bottom[1].data;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = a[i] * b[i];
	for (int k = 2; k < j->l->n_bottom; k++)
		for (int64_t i = begin; i < end; i++)
			j->out[i] *= j->bottom[k].data[i];
}

/* Of equal values the second bottom's wins over the first's, then the earlier one's: as Caffe has it. */
static void max_piece(void *arg, int64_t begin, int64_t end)
{
	const struct eltwise_job *j = arg;
	const real *a = j->bottom[0].data, *b = j->bottom[1].data;

	for (int64_t i = begin; i < end; i++) {
		int32_t winner = a[i] > b[i] ? 0 : 1;
		real best = winner ? b[i] : a[i];

		for (int k = 2; k < j->l->n_bottom; k++)
			if (j->bottom[k].data[i] > best) {
				best = j->bottom[k].data[i];
				winner = k;
			}
		j->out[i] = best;
		if (j->winner)
			j->winner[i] = winner;
	}
}

static enum moka_status eltwise_forward(const struct moka_layer *l, struct moka_call *c)
{
	static void (*const pieces[])(void *, int64_t, int64_t) = { product_piece, sum_piece, max_piece };
	const struct eltwise_param *p = l->param;
	struct eltwise_job j = {
		.l = l, .bottom = c->bottom, .out = c->top[0].data, .winner = c->backward_follows ? c->state : NULL
	};

	moka_parallel(c->pool, pieces[p->operation], &j, c->top[0].count, PIECE);
	return MOKA_OK;
}

static void sum_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct eltwise_job *j = arg;
	const real k = coefficient(j->l, j->which);

	for (int64_t i = begin; i < end; i++)
		j->out[i] = k * j->dy[i];
}

static void product_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct eltwise_job *j = arg;
	const struct eltwise_param *p = j->l->param;

	if (!p->stable_prod_grad) {
		for (int64_t i = begin; i < end; i++)
			j->out[i] = j->y[i] / j->bottom[j->which].data[i] * j->dy[i];
		return;
	}
	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->dy[i];
	for (int k = 0; k < j->l->n_bottom; k++)
		for (int64_t i = begin; k != j->which && i < end; i++)
			j->out[i] *= j->bottom[k].data[i];
}

static void max_gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct eltwise_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->out[i] = j->winner[i] == j->which ? j->dy[i] : 0;
}

static enum moka_status eltwise_backward(const struct moka_layer *l, struct moka_call *c)
{
	static void (*const pieces[])(void *, int64_t, int64_t) = { product_gradient_piece, sum_gradient_piece,
								    max_gradient_piece };
	const struct eltwise_param *p = l->param;
	struct eltwise_job j = {
		.l = l, .bottom = c->bottom, .y = c->top[0].data, .dy = c->top[0].diff, .winner = c->state
	};

	for (j.which = 0; j.which < l->n_bottom; j.which++) {
		j.out = c->bottom[j.which].diff;
		if (j.out)
			moka_parallel(c->pool, pieces[p->operation], &j, c->top[0].count, PIECE);
	}
	return MOKA_OK;
}

static enum moka_status eltwise_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct eltwise_param *p = l->param;
	static const char *const chained[] = { "Mul", "Add", "Max" };
	const char *so_far = NULL;

	for (int i = 0; i < l->n_bottom; i++) {
		const char *x =
			p->operation == SUM ? moka_onnx_mul(o, o->bottom[i], (double)coefficient(l, i)) : o->bottom[i];
		const char *y = i + 1 < l->n_bottom ? moka_onnx_value(o) : o->top[0];

		if (so_far)
			moka_onnx_node(o, chained[p->operation], y, so_far, x, NULL);
		so_far = so_far ? y : x;
	}
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_eltwise = {
	.schema = { "Eltwise", "eltwise_param", 110, 24, &eltwise_message, "ELTWISE", 25, NULL },
	.doc = "sums, multiplies or compares its inputs value by value",
	.min_bottom = 2, .max_bottom = -1, .min_top = 1, .max_top = 1,
	.flags = MOKA_ELEMENTWISE | MOKA_PARTIAL,
	.shape = eltwise_shape, .forward = eltwise_forward, .backward = eltwise_backward,
	.onnx = eltwise_onnx,
};
/* clang-format on */
