/*
 * Accuracy: the share of places whose label is among the top_k best scores. A second top gives it for each class
 * (0 for a class that does not occur).
 *
 * A label wins only against scores that are strictly less: ties count against it, and so does a score that is not a
 * number, so that a net that has diverged does not look perfect.
 */
#include "loss.h"

struct accuracy_param {
	uint32_t top_k;
	int32_t axis, ignore_label;
};

/* clang-format off */
static const struct moka_field accuracy_fields[] = {
	MOKA_F_UINT32(struct accuracy_param, top_k, 1, 1, "a label among so many best scores is right"),
	MOKA_F_INT32(struct accuracy_param, axis, 2, 1, "the axis of the classes; negative counts from the end"),
	MOKA_F_INT32(struct accuracy_param, ignore_label, 3, 0, "places with this label don't count"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message accuracy_message = { "AccuracyParameter", accuracy_fields,
						      sizeof(struct accuracy_param) };

static enum moka_status accuracy_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct accuracy_param *p = l->param;
	struct moka__scores *s = moka_layer_priv(l, sizeof(*s));
	int64_t n;

	if (!s)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(0);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(1, (int64_t)-1);
	MOKA_TRY(moka__scores_shape(l, f, p->axis, s));
	if (l->n_top > 1)
		l->top[1].shape.d[0] = s->classes;
	if (s->classes >= 0 && p->top_k > s->classes)
		return moka_layer_bad(l, f, "bad-setting", "top_k", "top_k is %u, but bottom '%s' has %lld classes",
				      p->top_k, l->bottom[0].name, (long long)s->classes);
	MOKA_TRY(moka__labels_shape(l, f, s));
	n = moka_layer_product(2, (int64_t[]){ s->outer, s->inner });
	l->scratch_bytes = moka__loss_bytes(n, sizeof(int32_t)) + moka__loss_bytes(n, 1) +
			   moka__loss_bytes(s->classes, sizeof(int64_t));
	return MOKA_OK;
}

struct accuracy_job {
	struct moka__scores s;
	int64_t top_k;
	const real *x;
	const int32_t *label; /* -1: ignored */
	uint8_t *right;
};

/* Whether place i's label is among the best: fewer than top_k other scores are not less than its own. */
static bool right(const struct accuracy_job *j, int64_t i)
{
	const real *x = j->x + i / j->s.inner * j->s.classes * j->s.inner + i % j->s.inner;
	const real own = x[j->label[i] * j->s.inner];
	int64_t better = -1; /* its own */

	for (int64_t k = 0; k < j->s.classes && better < j->top_k; k++)
		better += !(x[k * j->s.inner] < own);
	return better < j->top_k;
}

static void accuracy_range(void *arg, int64_t begin, int64_t end)
{
	const struct accuracy_job *j = arg;

	for (int64_t i = begin; i < end; i++)
		j->right[i] = j->label[i] >= 0 && right(j, i);
}

/* The second top: right answers of each class by its occurrences. */
static void per_class(const struct accuracy_job *j, int64_t n, int64_t *seen, real *top)
{
	for (int64_t k = 0; k < j->s.classes; k++) {
		seen[k] = 0;
		top[k] = 0;
	}
	for (int64_t i = 0; i < n; i++)
		if (j->label[i] >= 0) {
			seen[j->label[i]]++;
			top[j->label[i]] += j->right[i];
		}
	for (int64_t k = 0; k < j->s.classes; k++)
		top[k] = seen[k] ? top[k] / (real)seen[k] : 0;
}

static enum moka_status accuracy_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct accuracy_param *p = l->param;
	const struct moka__scores *s = l->priv;
	const int64_t n = s->outer * s->inner;
	struct moka__labels labels = moka__labels_of(l, s);
	struct accuracy_job j = { *s, p->top_k, c->bottom[0].data, c->scratch, NULL };
	int64_t valid, hits = 0;

	j.right = (uint8_t *)c->scratch + moka__loss_bytes(n, sizeof(int32_t));
	labels.ignore_in = "accuracy_param";
	labels.ignore = moka_has(l->sub, "ignore_label") ? &p->ignore_label : NULL;
	MOKA_TRY(moka__labels_read(l, c, &labels, c->scratch, &valid));
	moka_parallel(c->pool, accuracy_range, &j, n, moka__loss_tile(s->classes));
	for (int64_t i = 0; i < n; i++)
		hits += j.right[i];
	c->top[0].data[0] = valid ? (real)hits / (real)valid : 0;
	if (l->n_top > 1)
		per_class(&j, n, (int64_t *)(j.right + moka__loss_bytes(n, 1)), c->top[1].data);
	return MOKA_OK;
}

const struct moka_layer_type moka_layer_accuracy = {
	.schema = { "Accuracy", "accuracy_param", 102, 27, &accuracy_message, "ACCURACY", 1, NULL },
	.doc = "share of right classifications",
	.min_bottom = 2,
	.max_bottom = 2,
	.min_top = 1,
	.max_top = 2,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.no_gradient = 1 << 1,
	.shape = accuracy_shape,
	.forward = accuracy_forward,
};
