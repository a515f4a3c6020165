/*
 * TripletLoss (caffe-windows and others): an anchor shall be nearer to a sample of its class than to one of another, by a
 * margin: the mean over the batch of max(margin + |a - p|^2 - |a - n|^2, 0) / 2.
 *
 *     bottoms  a, p, n (N, K...)   [sample weights, not used]     top  a number
 *
 * Other forks give the name to losses over one blob of features and labels, or over four or six of them. Those
 * differ from one another; they are drawn and counted here, not run.
 */
#include "loss.h"

struct triplet_param {
	float margin;
};

/* clang-format off */
#define ODD(name, num, help) { name, num, MOKA_INT32, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, help, "other forks" }
static const struct moka_field triplet_fields[] = {
	MOKA_F_FLOAT(struct triplet_param, margin, 1, 1, "how much nearer"),
	ODD("losstype", 2, "of a loss over labelled features; not run here"),
	ODD("num_triplets", 3, "of a loss over labelled features; not run here"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message triplet_message = { "TripletLossParameter", triplet_fields,
						     sizeof(struct triplet_param) };

struct triplet {
	int64_t n, k;
};

static bool is_plain(const struct moka_layer *l)
{
	return l->n_bottom == 3 ||
	       (l->n_bottom == 4 && moka_shape_count(&l->bottom[3].shape) == l->bottom[0].shape.d[0]);
}

static enum moka_status triplet_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *a = &l->bottom[0].shape;
	struct triplet *v = moka_layer_priv(l, sizeof(*v));
	char text[2][MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(0);
	*v = (struct triplet){ a->n < 1 ? -1 : a->d[0], a->n < 1 ? -1 : moka_shape_count_range(a, 1, a->n) };
	if (a->n == 0)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0,
					     "bottom '%s' is a single number, a loss wants a batch", l->bottom[0].name);
	for (int i = 1; i < 3 && is_plain(l); i++) {
		const int64_t have = moka_shape_count(&l->bottom[i].shape), want = moka_shape_count(a);

		if (have >= 0 && want >= 0 && have != want)
			return moka_layer_bad_bottom(
				l, f, "shape-mismatch", i, "'%s' is %s and '%s' is %s: the three must be alike",
				l->bottom[0].name, moka_shape_text(a, text[0], sizeof(text[0])), l->bottom[i].name,
				moka_shape_text(&l->bottom[i].shape, text[1], sizeof(text[1])));
	}
	l->state_bytes = moka_layer_bytes(v->n, sizeof(real)); /* what each triplet costs */
	return MOKA_OK;
}

struct triplet_job {
	const struct triplet *v;
	const real *a, *p, *n;
	real *cost, *out;
	real margin, scale;
	int which;
};

static void cost_piece(void *arg, int64_t begin, int64_t end)
{
	const struct triplet_job *j = arg;

	for (int64_t i = begin; i < end; i++) {
		real sum = j->margin;

		for (int64_t k = i * j->v->k; k < (i + 1) * j->v->k; k++)
			sum += (j->a[k] - j->p[k]) * (j->a[k] - j->p[k]) - (j->a[k] - j->n[k]) * (j->a[k] - j->n[k]);
		j->cost[i] = sum > 0 ? sum : 0;
	}
}

static enum moka_status triplet_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct triplet *v = l->priv;
	const struct triplet_param *p = l->param;
	double sum = 0;

	if (!is_plain(l))
		return moka_call_bad(
			l, c, MOKA_ERR_MODEL,
			"with %d bottoms this is some other fork's loss, which can't be run; anchor, positive and negative can",
			l->n_bottom);
	struct triplet_job j = { .v = v,
				 .a = c->bottom[0].data,
				 .p = c->bottom[1].data,
				 .n = c->bottom[2].data,
				 .cost = c->state,
				 .margin = (real)p->margin };
	moka_parallel(c->pool, cost_piece, &j, v->n, moka__loss_tile(v->k));
	for (int64_t i = 0; i < v->n; i++)
		sum += (double)j.cost[i];
	c->top[0].data[0] = v->n ? (real)(sum / (double)v->n / 2) : 0;
	for (int i = 1; i < l->n_top; i++)
		c->top[i].data[0] = 0;
	return MOKA_OK;
}

/* da = n - p, dp = p - a, dn = a - n, of the triplets that cost something. */
static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct triplet_job *j = arg;
	const real *plus[3] = { j->n, j->p, j->a }, *minus[3] = { j->p, j->a, j->n };

	for (int64_t i = begin; i < end; i++)
		for (int64_t k = i * j->v->k; k < (i + 1) * j->v->k; k++)
			j->out[k] = j->cost[i] > 0 ? j->scale * (plus[j->which][k] - minus[j->which][k]) : 0;
}

static enum moka_status triplet_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct triplet *v = l->priv;
	struct triplet_job j = {
		.v = v, .a = c->bottom[0].data, .p = c->bottom[1].data, .n = c->bottom[2].data, .cost = c->state
	};

	j.scale = moka__loss_weight(c) / (real)MOKA_MAX(v->n, 1);
	for (j.which = 0; j.which < 3; j.which++) {
		j.out = c->bottom[j.which].diff;
		if (j.out)
			moka_parallel(c->pool, gradient_piece, &j, v->n, moka__loss_tile(v->k));
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_triplet_loss = {
	.schema = { "TripletLoss", "triplet_loss_param", 203, 47, &triplet_message, NULL, 0, "caffe-windows and others" },
	.doc = "similarity loss: an anchor nearer to its like than to others, by a margin",
	.min_bottom = 2, .max_bottom = -1, .min_top = 1, .max_top = -1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 3,
	.shape = triplet_shape, .forward = triplet_forward, .backward = triplet_backward,
};
/* clang-format on */
