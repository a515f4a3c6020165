/*
 * InnerProduct: the axes from `axis` on, taken as one vector of K values, times a matrix, plus a bias.
 *
 *     bottom (M..., K...)  weight (N, K), transposed (K, N)  bias (N)  top (M..., N)
 *
 * Of a bottom that isn't known, the number of outputs still is: top (?, N), weight (N, ?).
 */
#include "inner_product.h"

#include "blocks.h"
#include "onnx.h"
#include "op.h"

struct inner_product_param {
	uint32_t num_output;
	bool bias_term;
	const struct moka_filler_param *weight_filler, *bias_filler;
	int32_t axis;
	bool transpose;
};

/* clang-format off */
#define P struct inner_product_param
static const struct moka_field inner_product_fields[] = {
	MOKA_F_UINT32(P, num_output, 1, 0, "values of each output vector"),
	MOKA_F_BOOL(P, bias_term, 2, true, "add a bias"),
	MOKA_F_MSG(P, weight_filler, 3, &moka_filler_message, "first values of the weights"),
	MOKA_F_MSG(P, bias_filler, 4, &moka_filler_message, "first values of the bias"),
	MOKA_F_INT32(P, axis, 5, 1, "first of the axes that make the input vector; negative counts from the end"),
	MOKA_F_BOOL(P, transpose, 6, false, "the weights are stored as (inputs, outputs)"),
	MOKA_F_END
};
/* clang-format on */
#undef P
const struct moka_message moka__inner_product_message = { "InnerProductParameter", inner_product_fields,
							  sizeof(struct inner_product_param) };

struct inner_product {
	int64_t m, n, k;
};

static enum moka_status add_params(struct moka_layer *l, struct moka_findings *f, const struct inner_product *v)
{
	const struct inner_product_param *p = l->param;
	const struct moka_shape w = p->transpose ? moka_shape_make(2, v->k, v->n) : moka_shape_make(2, v->n, v->k);

	MOKA_TRY(moka_layer_filled(l, f, "weight", w, "weight_filler", p->weight_filler));
	if (!p->bias_term)
		return MOKA_OK;
	return moka_layer_filled(l, f, "bias", moka_shape_make(1, v->n), "bias_filler", p->bias_filler);
}

enum moka_status moka__inner_product_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct inner_product_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	struct inner_product *v = moka_layer_priv(l, sizeof(*v));
	int axis;

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	if (p->num_output < 1 || p->num_output > INT32_MAX)
		return moka_layer_bad(l, f, "missing-setting", "num_output", "num_output must be at least 1, and is %s",
				      l->sub && moka_has(l->sub, "num_output") ? (p->num_output ? "too large" : "0")
									       : "missing");
	if (s.n < 0) {
		s.n = p->axis >= 0 && p->axis < MOKA_MAX_AXES ? p->axis + 1 : 2;
		for (int i = 0; i < s.n; i++)
			s.d[i] = -1;
		axis = s.n - 1;
	} else {
		axis = moka_layer_axis(l, f, "axis", p->axis, &s);
	}
	if (axis < 0)
		return MOKA_ERR_MODEL;
	v->m = moka_shape_count_range(&s, 0, axis);
	v->k = moka_shape_count_range(&s, axis, s.n);
	v->n = p->num_output;
	s.n = axis + 1;
	s.d[axis] = v->n;
	l->top[0].shape = s;
	l->macs = moka_layer_product(3, (int64_t[]){ v->m, v->n, v->k });
	return add_params(l, f, v);
}

enum moka_status moka__inner_product_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct inner_product_param *p = l->param;
	const struct inner_product *v = l->priv;
	const real *x = c->bottom[0].data, *w = c->param[0].data;
	real *y = c->top[0].data;
	const real beta = p->bias_term ? 1 : 0;

	if (p->bias_term) /* each row starts as the bias */
		moka__copy_rows(c->pool, v->m, v->n, c->param[1].data, 0, y, v->n);
	if (v->m == 1 && p->transpose)
		moka_gemv(c->pool, true, v->k, v->n, 1, w, v->n, x, beta, y);
	else if (v->m == 1)
		moka_gemv(c->pool, false, v->n, v->k, 1, w, v->k, x, beta, y);
	else
		moka_gemm(c->pool, c->gemm, false, !p->transpose, v->m, v->n, v->k, 1, x, v->k, w,
			  p->transpose ? v->n : v->k, beta, y, v->n);
	return MOKA_OK;
}

enum moka_status moka__inner_product_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct inner_product_param *p = l->param;
	const struct inner_product *v = l->priv;
	const real *x = c->bottom[0].data, *w = c->param[0].data, *dy = c->top[0].diff;
	real *dx = c->bottom[0].diff, *dw = c->param[0].diff;

	if (dw && p->transpose)
		moka_gemm(c->pool, c->gemm, true, false, v->k, v->n, v->m, 1, x, v->k, dy, v->n, 1, dw, v->n);
	else if (dw)
		moka_gemm(c->pool, c->gemm, true, false, v->n, v->k, v->m, 1, dy, v->n, x, v->k, 1, dw, v->k);
	if (p->bias_term && c->param[1].diff)
		for (int64_t i = 0; i < v->m; i++)
			moka_axpy(v->n, 1, dy + i * v->n, c->param[1].diff);
	if (dx)
		moka_gemm(c->pool, c->gemm, false, p->transpose, v->m, v->k, v->n, 1, dy, v->n, w,
			  p->transpose ? v->n : v->k, 0, dx, v->k);
	return MOKA_OK;
}

static bool inner_product_product(const struct moka_layer *l, const struct moka_call *c, int param,
				  struct moka_product *out)
{
	const struct inner_product *v = l->priv;
	const real *x = c->bottom[0].data, *dy = c->top[0].diff;

	if (((const struct inner_product_param *)l->param)->transpose)
		*out = (struct moka_product){ v->k, v->n, v->m, x, dy };
	else
		*out = (struct moka_product){ v->n, v->k, v->m, dy, x };
	return param == 0;
}

static enum moka_status inner_product_onnx(struct moka_onnx *o)
{
	const struct moka_layer *l = o->layer;
	const struct inner_product_param *p = l->param;
	const struct moka_shape *s = &l->bottom[0].shape, *t = &l->top[0].shape;
	const struct moka_shape rows = moka_shape_make(2, ((const struct inner_product *)l->priv)->m,
						       ((const struct inner_product *)l->priv)->k);
	const char *x = o->bottom[0], *y = t->n == 2 ? o->top[0] : moka_onnx_value(o);
	const char *weight, *bias;
	struct moka_onnx_node *n;

	if (s->n != 2 || t->n != 2) {
		x = moka_onnx_value(o);
		moka_onnx_reshape(o, x, o->bottom[0], s, &rows);
	}
	weight = moka_onnx_param(o, 0);
	bias = p->bias_term ? moka_onnx_param(o, 1) : NULL;
	n = moka_onnx_node(o, "Gemm", y, x, weight, bias, NULL);
	if (!p->transpose)
		moka_onnx_int(o, n, "transB", 1);
	if (t->n != 2)
		moka_onnx_reshape(o, o->top[0], y, &rows, t);
	return o->status;
}

static bool inner_product_lower(const struct moka_layer *l, struct moka_op *op)
{
	op->kind = MOKA_OP_INNER;
	return l->top[0].shape.n == 2;
}

/* clang-format off */
const struct moka_layer_type moka_layer_inner_product = {
	.schema = { "InnerProduct", "inner_product_param", 117, 17, &moka__inner_product_message, "INNER_PRODUCT", 14, NULL },
	.doc = "a fully connected layer: a matrix times each input vector, plus a bias",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = moka__inner_product_shape, .forward = moka__inner_product_forward, .backward = moka__inner_product_backward,
	.onnx = inner_product_onnx,
	.lower = inner_product_lower, .product = inner_product_product,
};
/* clang-format on */
