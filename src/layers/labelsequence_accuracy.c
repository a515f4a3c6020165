/*
 * LabelsequenceAccuracy (crnn.caffe): the share of samples whose scores, read step by step (repetitions merge, blanks
 * fall out), are exactly the labels.
 *
 *     bottoms  scores (N, T, C), batch first;  labels (N, L), blanks among them are padding     top  a number
 */
#include "layer.h"

struct accuracy_param {
	int32_t blank_label;
};

static const struct moka_field accuracy_fields[] = {
	MOKA_F_INT32(struct accuracy_param, blank_label, 1, 0, "the class that is blank; in the labels it is padding"),
	MOKA_F_END
};
static const struct moka_message accuracy_message = { "LabelsequenceAccuracyParameter", accuracy_fields,
						      sizeof(struct accuracy_param) };

static enum moka_status accuracy_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *x = &l->bottom[0].shape, *y = &l->bottom[1].shape;
	char text[2][MOKA_SHAPE_TEXT];

	l->top[0].shape = moka_shape_make(0);
	if (x->n >= 0 && x->n < 3)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "the scores '%s' are %s; samples, steps and classes are needed",
					     l->bottom[0].name, moka_shape_text(x, text[0], sizeof(text[0])));
	if (y->n == 0 || (x->n > 0 && y->n > 0 && x->d[0] >= 0 && y->d[0] >= 0 && x->d[0] != y->d[0]))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "the scores '%s' are %s and the labels '%s' are %s: the batches differ",
					     l->bottom[0].name, moka_shape_text(x, text[0], sizeof(text[0])),
					     l->bottom[1].name, moka_shape_text(y, text[1], sizeof(text[1])));
	return MOKA_OK;
}

/* Does the sample read as its labels? */
static bool reads_right(const real *x, int64_t steps, int64_t classes, const real *label, int64_t labels, int64_t blank)
{
	int64_t before = blank, at = 0;

	for (int64_t t = 0; t < steps; t++, x += classes) {
		int64_t best = 0;

		for (int64_t k = 1; k < classes; k++)
			if (x[k] > x[best])
				best = k;
		if (best != before && best != blank) {
			while (at < labels && label[at] == (real)blank)
				at++;
			if (at == labels || label[at++] != (real)best)
				return false;
		}
		before = best;
	}
	while (at < labels && label[at] == (real)blank)
		at++;
	return at == labels;
}

static enum moka_status accuracy_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct accuracy_param *p = l->param;
	const struct moka_shape *x = &l->bottom[0].shape, *y = &l->bottom[1].shape;
	const int64_t steps = x->d[1], classes = moka_shape_count_range(x, 2, x->n),
		      labels = moka_shape_count_range(y, 1, y->n);
	int64_t right = 0;

	for (int64_t n = 0; n < x->d[0]; n++)
		right += reads_right(c->bottom[0].data + n * steps * classes, classes ? steps : 0, classes,
				     c->bottom[1].data + n * labels, labels, p->blank_label);
	c->top[0].data[0] = x->d[0] ? (real)right / (real)x->d[0] : 0;
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_labelsequence_accuracy = {
	.schema = { "LabelsequenceAccuracy", "labelsequence_accuracy_param", 203, 0, &accuracy_message, NULL, 0, "crnn.caffe, CC4.0" },
	.doc = "share of samples whose CTC scores read exactly as their labels",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = accuracy_shape, .forward = accuracy_forward,
};
/* clang-format on */
