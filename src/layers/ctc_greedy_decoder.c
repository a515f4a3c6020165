/*
 * CTCGreedyDecoder (caffe_ocr): reads the likeliest class of each step as a sequence of labels: repetitions merge, blanks
 * fall out.
 *
 *     bottom 0  scores (T, N, C)
 *     top       one bottom: labels (N, T, 1, 1), -1 behind the last
 *               labels (N, L) as bottom 1: (1, 2, 1, 1): 1 - edit distance / longer length, and the share of samples
 *               read without a fault. Labels end at a negative number; blanks among them are padding.
 */
#include "layer.h"

struct decoder_param {
	int32_t blank_index;
	bool ctc_merge_repeated;
};

static const struct moka_field decoder_fields[] = { MOKA_F_INT32(struct decoder_param, blank_index, 1, 0,
								 "the class that is blank; negative: the last"),
						    MOKA_F_BOOL(struct decoder_param, ctc_merge_repeated, 2, true,
								"the same class in consecutive steps is one label"),
						    MOKA_F_END };
static const struct moka_message decoder_message = { "CTCDecoderParameter", decoder_fields,
						     sizeof(struct decoder_param) };

struct decoder {
	int64_t t, n, c, l, blank;
};

static enum moka_status decoder_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct decoder_param *p = l->param;
	const struct moka_shape *x = &l->bottom[0].shape, *y = &l->bottom[l->n_bottom - 1].shape;
	struct decoder *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	if (x->n >= 0 && x->n < 3)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "the scores '%s' are %s; steps, samples and classes are needed",
					     l->bottom[0].name, moka_shape_text(x, text, sizeof(text)));
	*v = (struct decoder){ x->n < 0 ? -1 : x->d[0], x->n < 0 ? -1 : x->d[1],
			       x->n < 0 ? -1 : moka_shape_count_range(x, 2, x->n),
			       y->n < 1 ? -1 : moka_shape_count_range(y, 1, y->n), p->blank_index };
	if (v->c >= 0 && v->blank >= v->c)
		return moka_layer_bad(l, f, "bad-setting", "blank_index",
				      "blank_index %lld is not one of the %lld classes of '%s'", (long long)v->blank,
				      (long long)v->c, l->bottom[0].name);
	if (v->blank < 0)
		v->blank = v->c - 1;
	l->top[0].shape = l->n_bottom > 1 ? moka_shape_make(4, (int64_t)1, (int64_t)2, (int64_t)1, (int64_t)1)
					  : moka_shape_make(4, v->n, v->t, (int64_t)1, (int64_t)1);
	if (l->n_bottom == 1)
		return MOKA_OK;
	if (y->n == 0 || (y->n > 0 && y->d[0] >= 0 && v->n >= 0 && y->d[0] != v->n))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "'%s' is %s; its first axis must be the %lld samples", l->bottom[1].name,
					     moka_shape_text(y, text, sizeof(text)), (long long)v->n);
	/* the sequence that was read, the labels, two rows of distances */
	l->scratch_bytes = moka_layer_bytes(v->t, sizeof(int64_t)) + moka_layer_bytes(v->l, sizeof(int64_t)) +
			   moka_layer_bytes(v->l, 2 * sizeof(int64_t)) + 2 * sizeof(int64_t);
	return MOKA_OK;
}

static int64_t best_class(const struct decoder *v, const real *x)
{
	int64_t best = 0;

	for (int64_t k = 1; k < v->c; k++)
		if (x[k] > x[best])
			best = k;
	return best;
}

/* What sample n reads as, to either place (or none); returns how many labels. */
static int64_t read_sample(const struct moka_layer *l, const struct moka_call *c, int64_t n, real *as_numbers,
			   int64_t *as_labels)
{
	const struct decoder_param *p = l->param;
	const struct decoder *v = l->priv;
	int64_t before = -1, length = 0;

	for (int64_t t = 0; t < v->t; t++) {
		const int64_t k = best_class(v, c->bottom[0].data + (t * v->n + n) * v->c);

		if (k != v->blank && !(p->ctc_merge_repeated && k == before)) {
			if (as_numbers)
				as_numbers[length] = (real)k;
			if (as_labels)
				as_labels[length] = k;
			length++;
		}
		before = k;
	}
	return length;
}

static int64_t read_labels(const struct decoder *v, const struct moka_call *c, int64_t n, int64_t *out)
{
	int64_t length = 0;

	for (int64_t i = 0; i < v->l && c->bottom[1].data[n * v->l + i] >= 0; i++) {
		const real label = c->bottom[1].data[n * v->l + i] + (real)0.5;
		const int64_t k = label < (real)v->c ? (int64_t)label : v->c; /* one that no score can reach */

		if (k != v->blank)
			out[length++] = k;
	}
	return length;
}

/* Fewest insertions, deletions and replacements; two rows of b's length + 1. */
static int64_t edit_distance(const int64_t *a, int64_t na, const int64_t *b, int64_t nb, int64_t *before, int64_t *now)
{
	for (int64_t k = 0; k <= nb; k++)
		before[k] = k;
	for (int64_t i = 1; i <= na; i++) {
		now[0] = i;
		for (int64_t k = 1; k <= nb; k++) {
			const int64_t step = MOKA_MIN(before[k], now[k - 1]) + 1;

			now[k] = MOKA_MIN(step, before[k - 1] + (a[i - 1] != b[k - 1]));
		}
		int64_t *swap = before;
		before = now;
		now = swap;
	}
	return before[nb];
}

static void measure(const struct moka_layer *l, struct moka_call *c)
{
	const struct decoder *v = l->priv;
	int64_t *got = c->scratch, *want = got + v->t, *row = want + v->l, right = 0;
	double wrong = 0;

	for (int64_t n = 0; n < v->n; n++) {
		const int64_t ng = read_sample(l, c, n, NULL, got), nw = read_labels(v, c, n, want);
		const int64_t longer = MOKA_MAX(ng, nw),
			      distance = edit_distance(got, ng, want, nw, row, row + v->l + 1);

		if (longer)
			wrong += (double)distance / (double)longer;
		right += longer && !distance;
	}
	c->top[0].data[0] = v->n ? (real)(1 - wrong / (double)v->n) : 0;
	c->top[0].data[1] = v->n ? (real)((double)right / (double)v->n) : 0;
}

static enum moka_status decoder_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct decoder *v = l->priv;

	if (l->n_bottom > 1) {
		measure(l, c);
		return MOKA_OK;
	}
	moka_set(c->top[0].count, -1, c->top[0].data);
	for (int64_t n = 0; n < v->n; n++)
		read_sample(l, c, n, c->top[0].data + n * v->t, NULL);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_ctc_greedy_decoder = {
	.schema = { "CTCGreedyDecoder", "ctc_decoder_param", 158, 0, &decoder_message, NULL, 0, "caffe_ocr" },
	.doc = "reads CTC scores as labels, step by step; or tells how well they read",
	.min_bottom = 1, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = decoder_shape, .forward = decoder_forward,
};
/* clang-format on */
