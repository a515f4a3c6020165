/*
 * InfogainLoss: SoftmaxWithLoss with a matrix H that says what each confusion costs: the sum over k of
 * -H[label][k] log(softmax(x)[k]), divided as loss_param says. With the unit matrix it is SoftmaxWithLoss.
 *
 * H is the third bottom, or is read once from `source`, a .binaryproto. The gradient of x is
 * softmax(x) * (sum of H's row) - H's row. Probabilities are state.
 */
#include "loss.h"

#include <string.h>
#include <tgmath.h>

#define LEAST ((real)1e-20)

struct infogain_param {
	const char *source;
	int32_t axis;
};

/* clang-format off */
static const struct moka_field infogain_fields[] = {
	MOKA_F_STRING(struct infogain_param, source, 1, NULL,
		      "file of the matrix H (.binaryproto), where there is no third bottom"),
	MOKA_F_INT32(struct infogain_param, axis, 2, 1, "the axis of the classes; negative counts from the end"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message infogain_message = { "InfogainLossParameter", infogain_fields,
						      sizeof(struct infogain_param) };

struct infogain {
	struct moka__scores s;
	int64_t h_count; /* values read from the file */
	real *h;	 /* NULL: from the third bottom, or the file couldn't be read */
};

/* ---- the matrix ------------------------------------------------------------------------------------ */

static enum moka_status matrix_values(struct moka_layer *l, struct infogain *g, const struct moka_msg *blob)
{
	const char *name = moka_has(blob, "double_data") ? "double_data" : "data";
	size_t n = moka_get_floats(blob, name, NULL, 0);
	double *wide = MOKA_NEWN(l->arena, MOKA_MAX(n, 1), double);
	real *h = MOKA_NEWN(l->arena, MOKA_MAX(n, 1), real);

	if (!wide || !h)
		return MOKA_ERR_NOMEM;
	moka_get_floats(blob, name, wide, n);
	for (size_t i = 0; i < n; i++)
		h[i] = (real)wide[i];
	g->h = h;
	g->h_count = (int64_t)n;
	return MOKA_OK;
}

static enum moka_status matrix_read(struct moka_layer *l, struct infogain *g, const char *path, struct moka_error *err)
{
	struct moka_file file;
	struct moka_text text = { path, NULL, 0 };
	struct moka_msg *blob;
	enum moka_status s;

	MOKA_TRY(moka_file_open(&file, path, err));
	s = moka_wire_parse(l->arena, file.data, file.size, &text, &moka_blob_message, NULL, err, &blob);
	if (!s)
		s = matrix_values(l, g, blob);
	moka_file_release(&file);
	return s;
}

/* A file that can't be read is an error where the net is to run, a warning where it is to be explained. */
static enum moka_status matrix_open(struct moka_layer *l, struct moka_findings *f, struct infogain *g)
{
	const struct infogain_param *p = l->param;
	struct moka_error err = { 0 };
	enum moka_status s;

	if (g->h)
		return MOKA_OK;
	if (!p->source || !*p->source)
		return moka_layer_bad(l, f, "bad-setting", NULL,
				      "no matrix: it wants a third bottom or infogain_loss_param { source: \"...\" }");
	s = matrix_read(l, g, moka_path_resolve(l->arena, p->source, l->beside), &err);
	if (!s)
		return MOKA_OK;
	moka_find(f, l->for_run ? MOKA_ERROR : MOKA_WARNING, "data-missing",
		  moka_value_loc(l->sub, moka_get(l->sub, "source")), "layer '%s' (InfogainLoss): %s", l->name,
		  err.message);
	if (err.hint[0])
		moka_find_hint(f, "%s", err.hint);
	return l->for_run ? s : MOKA_OK;
}

/* ---- shape ------------------------------------------------------------------------------------------- */

static enum moka_status matrix_shape(struct moka_layer *l, struct moka_findings *f, struct infogain *g)
{
	const int64_t k = g->s.classes, want = moka_layer_product(2, (int64_t[]){ k, k });
	int64_t got;

	if (l->n_bottom < 3)
		MOKA_TRY(matrix_open(l, f, g));
	got = l->n_bottom < 3 ? (g->h ? g->h_count : -1) : moka_shape_count(&l->bottom[2].shape);
	if (got < 0 || want < 0 || got == want)
		return MOKA_OK;
	if (l->n_bottom < 3)
		return moka_layer_bad(l, f, "shape-mismatch", "source",
				      "the matrix has %lld values, but %lld classes want %lld x %lld", (long long)got,
				      (long long)k, (long long)k, (long long)k);
	return moka_layer_bad_bottom(l, f, "shape-mismatch", 2,
				     "the matrix '%s' has %lld values, but %lld classes want %lld x %lld",
				     l->bottom[2].name, (long long)got, (long long)k, (long long)k, (long long)k);
}

static enum moka_status loss_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct infogain_param *p = l->param;
	struct infogain *g = moka_layer_priv(l, sizeof(*g));
	int64_t labels = moka_shape_count(&l->bottom[1].shape);

	if (!g)
		return MOKA_ERR_NOMEM;
	if (l->n_top > 1)
		l->top[1].shape = l->bottom[0].shape;
	MOKA_TRY(moka__loss_shape(l, f));
	MOKA_TRY(moka__scores_shape(l, f, p->axis, &g->s));
	MOKA_TRY(moka__labels_shape(l, f, &g->s));
	if (l->loss_sub && moka_has(l->loss_sub, "normalize"))
		return moka_layer_bad(
			l, f, "bad-setting", NULL,
			"`normalize` is not for this loss: say loss_param { normalization: VALID }, FULL, BATCH_SIZE or NONE");
	MOKA_TRY(matrix_shape(l, f, g));
	l->state_bytes = moka_layer_bytes(moka_shape_count(&l->bottom[0].shape), sizeof(real));
	l->scratch_bytes = moka__loss_bytes(labels, sizeof(int32_t)) +
			   MOKA_MAX(moka__loss_sum_bytes(labels, moka__loss_tile(g->s.classes)),
				    moka__loss_bytes(g->s.classes, sizeof(real)));
	return MOKA_OK;
}

/* ---- arithmetic -------------------------------------------------------------------------------------- */

struct loss_job {
	struct moka__scores s;
	const int32_t *label; /* (outer, inner), -1: ignored */
	const real *prob, *h, *row_sum;
	real *dx;
	real scale;
};

/* Labels and matrix, as forward and backward want them. */
static enum moka_status loss_job(const struct moka_layer *l, struct moka_call *c, struct loss_job *j, int64_t *valid)
{
	const struct infogain *g = l->priv;
	const struct moka__labels labels = moka__labels_of(l, &g->s);

	*j = (struct loss_job){ .s = g->s, .label = c->scratch, .prob = c->state, .dx = c->bottom[0].diff };
	j->h = l->n_bottom > 2 ? c->bottom[2].data : g->h;
	if (!j->h)
		return moka_call_bad(l, c, MOKA_ERR_DATA, "its matrix could not be read");
	return moka__labels_read(l, c, &labels, c->scratch, valid);
}

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;
	double sum = 0;

	for (int64_t i = begin; i < end; i++) {
		const real *p = j->prob + i / j->s.inner * j->s.classes * j->s.inner + i % j->s.inner;
		const real *h;

		if (j->label[i] < 0)
			continue;
		h = j->h + j->label[i] * j->s.classes;
		for (int64_t k = 0; k < j->s.classes; k++)
			sum -= (double)(h[k] * log(MOKA_MAX(p[k * j->s.inner], LEAST)));
	}
	return sum;
}

static enum moka_status loss_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct loss_job j;
	int64_t valid, n;
	double *parts, sum;

	MOKA_TRY(loss_job(l, c, &j, &valid));
	n = j.s.outer * j.s.inner;
	parts = (double *)((char *)c->scratch + moka__loss_bytes(n, sizeof(int32_t)));
	moka__softmax(c->pool, &j.s, c->bottom[0].data, c->state);
	sum = moka__loss_sum(c->pool, loss_part, &j, n, moka__loss_tile(j.s.classes), parts);
	c->top[0].data[0] = (real)(sum / (double)moka_loss_normalizer(l, j.s.outer, j.s.inner, valid));
	if (l->n_top > 1 && c->top[1].count)
		memcpy(c->top[1].data, c->state, (size_t)c->top[1].count * sizeof(real));
	return MOKA_OK;
}

/* Rows [begin, end) of (outer, classes), each of `inner` places. */
static void loss_gradient_rows(void *arg, int64_t begin, int64_t end)
{
	const struct loss_job *j = arg;
	const int64_t inner = j->s.inner, classes = j->s.classes;

	for (int64_t r = begin; r < end; r++) {
		const int64_t class = r % classes;
		const int32_t *label = j->label + r / classes * inner;

		for (int64_t k = 0; k < inner; k++) {
			real *dx = j->dx + r * inner + k;

			*dx = 0;
			if (label[k] >= 0)
				*dx = (j->prob[r * inner + k] * j->row_sum[label[k]] -
				       j->h[label[k] * classes + class]) *
				      j->scale;
		}
	}
}

static enum moka_status loss_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct loss_job j;
	int64_t valid;
	real *row_sum;

	if (!c->bottom[0].diff)
		return MOKA_OK;
	MOKA_TRY(loss_job(l, c, &j, &valid));
	row_sum = (real *)((char *)c->scratch + moka__loss_bytes(j.s.outer * j.s.inner, sizeof(int32_t)));
	for (int64_t i = 0; i < j.s.classes; i++)
		row_sum[i] = moka_sum(j.s.classes, j.h + i * j.s.classes);
	j.row_sum = row_sum;
	j.scale = moka__loss_weight(c) / moka_loss_normalizer(l, j.s.outer, j.s.inner, valid);
	moka_parallel(c->pool, loss_gradient_rows, &j, j.s.outer * j.s.classes, moka__loss_tile(j.s.inner));
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_infogain_loss = {
	.schema = { "InfogainLoss", "infogain_loss_param", 116, 16, &infogain_message, "INFOGAIN_LOSS", 13, NULL },
	.doc = "classification loss in which a matrix says what each confusion costs",
	.min_bottom = 2,
	.max_bottom = 3,
	.min_top = 1,
	.max_top = 2,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 1 | 1 << 2,
	.shape = loss_shape,
	.forward = loss_forward,
	.backward = loss_backward,
};
