/*
 * Embed: each input value is an index that picks a row of a matrix: an InnerProduct of one-hot vectors without
 * the zeros.
 *
 *     bottom (...) of whole numbers 0 .. K - 1  weight (K, N)  bias (N)  top (..., N)
 */
#include "blocks.h"

struct embed_param {
	uint32_t num_output, input_dim;
	bool bias_term;
	const struct moka_filler_param *weight_filler, *bias_filler;
};

/* clang-format off */
#define P struct embed_param
static const struct moka_field embed_fields[] = {
	MOKA_F_UINT32(P, num_output, 1, 0, "values of each row"),
	MOKA_F_UINT32(P, input_dim, 2, 0, "rows: indices are 0 to input_dim - 1"),
	MOKA_F_BOOL(P, bias_term, 3, true, "add a bias"),
	MOKA_F_MSG(P, weight_filler, 4, &moka_filler_message, "first values of the weights"),
	MOKA_F_MSG(P, bias_filler, 5, &moka_filler_message, "first values of the bias"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message embed_message = { "EmbedParameter", embed_fields, sizeof(struct embed_param) };

static enum moka_status check_size(const struct moka_layer *l, struct moka_findings *f, const char *field,
				   uint32_t size)
{
	if (size >= 1 && size <= INT32_MAX)
		return MOKA_OK;
	return moka_layer_bad(l, f, "missing-setting", field, "%s must be at least 1, and is %s", field,
			      !l->sub || !moka_has(l->sub, field) ? "missing"
			      : size				  ? "too large"
								  : "0");
}

static enum moka_status embed_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct embed_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;

	l->n_param = 0;
	MOKA_TRY(check_size(l, f, "num_output", p->num_output));
	MOKA_TRY(check_size(l, f, "input_dim", p->input_dim));
	if (s.n >= MOKA_MAX_AXES)
		return moka_layer_bad(l, f, "too-many-axes", NULL, "the top would have more than %d axes",
				      MOKA_MAX_AXES);
	if (s.n >= 0)
		s.d[s.n++] = p->num_output;
	l->top[0].shape = s;
	MOKA_TRY(moka_layer_filled(l, f, "weight", moka_shape_make(2, (int64_t)p->input_dim, (int64_t)p->num_output),
				   "weight_filler", p->weight_filler));
	if (!p->bias_term)
		return MOKA_OK;
	return moka_layer_filled(l, f, "bias", moka_shape_make(1, (int64_t)p->num_output), "bias_filler",
				 p->bias_filler);
}

/* The row that value i of the bottom picks; as in Caffe a fraction is cut off. */
static enum moka_status embed_row(const struct moka_layer *l, struct moka_call *c, int64_t i, int64_t *row)
{
	const struct embed_param *p = l->param;
	const real x = c->bottom[0].data[i];

	if (!(x > -1 && x < (real)p->input_dim))
		return moka_call_bad(l, c, MOKA_ERR_DATA,
				     "sample %lld of '%s' is %g, and the %u rows are numbered 0 to %u", (long long)i,
				     l->bottom[0].name, (double)x, p->input_dim, p->input_dim - 1);
	*row = (int64_t)x;
	return MOKA_OK;
}

static enum moka_status embed_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct embed_param *p = l->param;
	const int64_t n = p->num_output;
	int64_t row = 0;

	for (int64_t i = 0; i < c->bottom[0].count; i++) {
		real *y = c->top[0].data + i * n;

		MOKA_TRY(embed_row(l, c, i, &row));
		moka__copy(NULL, n, c->param[0].data + row * n, y);
		if (p->bias_term)
			moka_axpy(n, 1, c->param[1].data, y);
	}
	return MOKA_OK;
}

static enum moka_status embed_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct embed_param *p = l->param;
	const int64_t n = p->num_output;
	int64_t row = 0;

	for (int64_t i = 0; i < c->bottom[0].count; i++) {
		const real *dy = c->top[0].diff + i * n;

		MOKA_TRY(embed_row(l, c, i, &row));
		if (c->param[0].diff)
			moka_axpy(n, 1, dy, c->param[0].diff + row * n);
		if (p->bias_term && c->param[1].diff)
			moka_axpy(n, 1, dy, c->param[1].diff);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_embed = {
	.schema = { "Embed", "embed_param", 137, 0, &embed_message, NULL, 0, NULL },
	.doc = "picks a learned vector for each index",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL, .no_gradient = 1,
	.shape = embed_shape, .forward = embed_forward, .backward = embed_backward,
};
/* clang-format on */
