/*
 * recurrent.c - see recurrent.h.
 */
#include "recurrent.h"

#include <string.h>

#define PIECE 16384

/* clang-format off */
static const struct moka_field recurrent_fields[] = {
	MOKA_F_UINT32(struct moka__recurrent_param, num_output, 1, 0, "size of the output and of the hidden state"),
	MOKA_F_MSG(struct moka__recurrent_param, weight_filler, 2, &moka_filler_message, "first values of the weights"),
	MOKA_F_MSG(struct moka__recurrent_param, bias_filler, 3, &moka_filler_message, "first values of the biases"),
	MOKA_F_BOOL(struct moka__recurrent_param, debug_info, 4, 0, "ignored: there is no unrolled net to report on"),
	MOKA_F_BOOL(struct moka__recurrent_param, expose_hidden, 5, 0,
		    "take the first hidden state as bottoms, give the last as tops"),
	MOKA_F_END
};
/* clang-format on */
const struct moka_message moka__recurrent_message = { "RecurrentParameter", recurrent_fields,
						      sizeof(struct moka__recurrent_param) };

/* ---- shapes ---------------------------------------------------------------------------------------- */

int64_t moka__recurrent_macs(int64_t a, int64_t b)
{
	int64_t sum;

	if (a < 0 || b < 0)
		return -1;
	return moka_add(a, b, &sum) ? sum : INT64_MAX;
}

int moka__recurrent_param(const struct moka__recurrent *r)
{
	return r->has_static ? 3 : 2;
}

int moka__recurrent_bottom(const struct moka__recurrent *r, int i)
{
	return 2 + r->has_static + i;
}

static enum moka_status check_counts(const struct moka_layer *l, struct moka_findings *f,
				     const struct moka__recurrent *r)
{
	const int extra = r->exposed ? r->hidden : 0;
	const char *why = r->exposed ? "with" : "without";

	if (l->n_bottom != 2 + extra && l->n_bottom != 3 + extra)
		return moka_layer_bad(l, f, "bottom-count", "expose_hidden",
				      "%s expose_hidden it takes %d or %d bottoms, it has %d", why, 2 + extra,
				      3 + extra, l->n_bottom);
	if (l->n_top != 1 + extra)
		return moka_layer_bad(l, f, "top-count", "expose_hidden",
				      "%s expose_hidden it gives %d top%s, it has %d", why, 1 + extra, extra ? "s" : "",
				      l->n_top);
	return MOKA_OK;
}

/* Bottom i must be of shape `want`, whose unknown dimensions fit everything. */
static enum moka_status check_bottom(const struct moka_layer *l, struct moka_findings *f, int i,
				     const struct moka_shape *want, const char *what)
{
	const struct moka_shape *b = &l->bottom[i].shape;
	bool fits = b->n < 0 || b->n == want->n;
	char text[2][MOKA_SHAPE_TEXT];

	for (int k = 0; fits && k < b->n; k++)
		fits = b->d[k] < 0 || want->d[k] < 0 || b->d[k] == want->d[k];
	if (fits)
		return MOKA_OK;
	return moka_layer_bad_bottom(l, f, "shape-mismatch", i, "bottom '%s' is %s, but %s must be %s",
				     l->bottom[i].name, moka_shape_text(b, text[0], sizeof(text[0])), what,
				     moka_shape_text(want, text[1], sizeof(text[1])));
}

static enum moka_status check_bottoms(const struct moka_layer *l, struct moka_findings *f,
				      const struct moka__recurrent *r)
{
	const struct moka_shape cont = moka_shape_make(2, r->t, r->n),
				hidden = moka_shape_make(3, (int64_t)1, r->n, r->h);
	const struct moka_shape *s = &l->bottom[2].shape;

	MOKA_TRY(check_bottom(l, f, 1, &cont, "the sequence markers, a number for each step and stream,"));
	if (r->has_static && (s->n == 0 || (s->n > 0 && s->d[0] >= 0 && r->n >= 0 && s->d[0] != r->n))) {
		char text[MOKA_SHAPE_TEXT];

		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 2,
			"bottom '%s' is %s, but the static input's first dimension must be %lld, the streams",
			l->bottom[2].name, moka_shape_text(s, text, sizeof(text)), (long long)r->n);
	}
	for (int i = 0; r->exposed && i < r->hidden; i++)
		MOKA_TRY(check_bottom(l, f, moka__recurrent_bottom(r, i), &hidden, "a hidden state"));
	return MOKA_OK;
}

static enum moka_status set_params(struct moka_layer *l, struct moka_findings *f, const struct moka__recurrent *r)
{
	const struct moka__recurrent_param *p = l->param;

	MOKA_TRY(moka_layer_filled(l, f, "weight", moka_shape_make(2, r->g, r->d), "weight_filler", p->weight_filler));
	MOKA_TRY(moka_layer_filled(l, f, "bias", moka_shape_make(1, r->g), "bias_filler", p->bias_filler));
	if (r->has_static)
		MOKA_TRY(moka_layer_filled(l, f, "static weight", moka_shape_make(2, r->g, r->s), "weight_filler",
					   p->weight_filler));
	return MOKA_OK;
}

enum moka_status moka__recurrent_shape(struct moka_layer *l, struct moka_findings *f, int hidden, int gates)
{
	const struct moka__recurrent_param *p = l->param;
	const struct moka_shape *x = &l->bottom[0].shape;
	struct moka__recurrent *r = moka_layer_priv(l, sizeof(*r));
	char text[MOKA_SHAPE_TEXT];

	if (!r)
		return MOKA_ERR_NOMEM;
	moka_layer_unknown(l);
	*r = (struct moka__recurrent){
		-1, -1, -1, -1, p->num_output, (int64_t)p->num_output * gates, false, p->expose_hidden, hidden
	};
	MOKA_TRY(check_counts(l, f, r));
	r->has_static = l->n_bottom == 3 + (r->exposed ? hidden : 0);
	if (r->has_static && l->bottom[2].shape.n > 0)
		r->s = moka_shape_count_range(&l->bottom[2].shape, 1, l->bottom[2].shape.n);
	if (!p->num_output)
		return moka_layer_bad(l, f, "bad-setting", "num_output",
				      "recurrent_param must say num_output, and at least 1");
	if (x->n >= 0 && x->n < 2)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0,
					     "bottom '%s' is %s, but it must be steps x streams x ...",
					     l->bottom[0].name, moka_shape_text(x, text, sizeof(text)));
	if (x->n > 0) {
		r->t = x->d[0];
		r->n = x->d[1];
		r->d = moka_shape_count_range(x, 2, x->n);
	}
	l->top[0].shape = moka_shape_make(3, r->t, r->n, r->h);
	for (int i = 1; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(3, (int64_t)1, r->n, r->h);
	MOKA_TRY(set_params(l, f, r));
	MOKA_TRY(check_bottoms(l, f, r));
	l->macs = moka_layer_product(4, (int64_t[]){ r->t, r->n, r->g, r->d });
	if (r->has_static)
		l->macs = moka__recurrent_macs(l->macs, moka_layer_product(3, (int64_t[]){ r->n, r->g, r->s }));
	return MOKA_OK;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

struct rows_job {
	int64_t rows, g, period;
	const real *x;
	real *out;
};

static int64_t rows_tile(int64_t width)
{
	return MOKA_MAX(PIECE / MOKA_MAX(width, 1), 1);
}

/* Columns [begin, end): each is summed from the first row to the last. */
static void add_rows_range(void *arg, int64_t begin, int64_t end)
{
	const struct rows_job *j = arg;

	for (int64_t r = 0; r < j->rows; r++)
		for (int64_t k = begin; k < end; k++)
			j->out[k] += j->x[r * j->g + k];
}

void moka__recurrent_add_rows(struct moka_pool *pool, int64_t rows, int64_t g, const real *x, real *sums)
{
	struct rows_job j = { rows, g, 0, x, sums };

	moka_parallel(pool, add_rows_range, &j, g, 64);
}

/* Row r of out = row r % period of x. */
static void repeat_rows_range(void *arg, int64_t begin, int64_t end)
{
	const struct rows_job *j = arg;

	for (int64_t r = begin; r < end; r++)
		memcpy(j->out + r * j->g, j->x + r % j->period * j->g, (size_t)j->g * sizeof(real));
}

void moka__recurrent_set_rows(struct moka_pool *pool, int64_t rows, int64_t g, const real *bias, real *x)
{
	struct rows_job j = { rows, g, 1, bias, x };

	moka_parallel(pool, repeat_rows_range, &j, rows, rows_tile(g));
}

/* ---- inputs ---------------------------------------------------------------------------------------- */

void moka__recurrent_inputs(const struct moka__recurrent *r, struct moka_call *c, real *out, real *scratch)
{
	const int64_t rows = r->t * r->n;

	if (r->has_static) {
		struct rows_job j = { rows, r->g, MOKA_MAX(r->n, 1), scratch, out };

		moka__recurrent_set_rows(c->pool, r->n, r->g, c->param[1].data, scratch);
		moka_gemm(c->pool, c->gemm, false, true, r->n, r->g, r->s, 1, c->bottom[2].data, r->s, c->param[2].data,
			  r->s, 1, scratch, r->g);
		moka_parallel(c->pool, repeat_rows_range, &j, rows, rows_tile(r->g));
	} else {
		moka__recurrent_set_rows(c->pool, rows, r->g, c->param[1].data, out);
	}
	moka_gemm(c->pool, c->gemm, false, true, rows, r->g, r->d, 1, c->bottom[0].data, r->d, c->param[0].data, r->d,
		  1, out, r->g);
}

/* Elements [begin, end) of (N, G): summed over the steps in order. */
static void add_steps_range(void *arg, int64_t begin, int64_t end)
{
	const struct rows_job *j = arg;

	for (int64_t k = begin; k < end; k++)
		j->out[k] = 0;
	for (int64_t t = 0; t < j->rows; t++)
		for (int64_t k = begin; k < end; k++)
			j->out[k] += j->x[t * j->g + k];
}

static void static_gradient(const struct moka__recurrent *r, struct moka_call *c, const real *dg, real *scratch)
{
	struct rows_job j = { r->t, r->n * r->g, 0, dg, scratch };

	moka_parallel(c->pool, add_steps_range, &j, r->n * r->g, 4096);
	if (c->param[2].diff)
		moka_gemm(c->pool, c->gemm, true, false, r->g, r->s, r->n, 1, scratch, r->g, c->bottom[2].data, r->s, 1,
			  c->param[2].diff, r->s);
	if (c->bottom[2].diff)
		moka_gemm(c->pool, c->gemm, false, false, r->n, r->s, r->g, 1, scratch, r->g, c->param[2].data, r->s, 0,
			  c->bottom[2].diff, r->s);
}

void moka__recurrent_inputs_gradient(const struct moka__recurrent *r, struct moka_call *c, const real *dg,
				     real *scratch)
{
	const int64_t rows = r->t * r->n;

	if (c->param[0].diff)
		moka_gemm(c->pool, c->gemm, true, false, r->g, r->d, rows, 1, dg, r->g, c->bottom[0].data, r->d, 1,
			  c->param[0].diff, r->d);
	if (c->param[1].diff)
		moka__recurrent_add_rows(c->pool, rows, r->g, dg, c->param[1].diff);
	if (c->bottom[0].diff)
		moka_gemm(c->pool, c->gemm, false, false, rows, r->d, r->g, 1, dg, r->g, c->param[0].data, r->d, 0,
			  c->bottom[0].diff, r->d);
	if (r->has_static)
		static_gradient(r, c, dg, scratch);
}

/* ---- hidden state ---------------------------------------------------------------------------------- */

void moka__recurrent_continue(const struct moka__recurrent *r, struct moka_call *c, int64_t t, const real *h, real *out)
{
	const real *cont = c->bottom[1].data + t * r->n;

	for (int64_t n = 0; n < r->n; n++)
		for (int64_t k = n * r->h; k < (n + 1) * r->h; k++)
			out[k] = cont[n] == 0 ? 0 : cont[n] * h[k];
}

void moka__recurrent_start(const struct moka__recurrent *r, struct moka_call *c, int i, real *at0, const real *atT)
{
	const real *from = r->exposed ? c->bottom[moka__recurrent_bottom(r, i)].data : atT;

	if (from != at0 && r->n * r->h > 0)
		memcpy(at0, from, (size_t)(r->n * r->h) * sizeof(real));
}

void moka__recurrent_no_gradient(const struct moka__recurrent *r, struct moka_call *c)
{
	for (int i = 0; r->exposed && i < r->hidden; i++) {
		const struct moka_view *b = &c->bottom[moka__recurrent_bottom(r, i)];

		if (b->diff)
			moka_set(b->count, 0, b->diff);
	}
}
