/*
 * MergeCrop (OpenCL Caffe, for U-Nets): a, and the middle of b that is as large as a, one behind the other (STACK) or
 * added (ADD).
 *
 *     bottoms  a (N, Ca, spatial...)  b (N, Cb, larger...)     top (N, Ca + Cb, spatial...), or (N, Ca, spatial...) for ADD
 *
 * forward and backward switch values and gradients of either bottom off; b has no gradient unless asked for. The fork's
 * kernel takes Ca == Cb for granted; here they may differ.
 */
#include "layer.h"

enum { STACK, ADD };

struct merge_param {
	int operation;
	struct moka_list forward, backward; /* bool */
};

static const struct moka_enum_value operation_values[] = { { "STACK", STACK }, { "ADD", ADD }, { NULL, 0 } };

/* clang-format off */
static const struct moka_field merge_fields[] = {
	MOKA_F_ENUM(struct merge_param, operation, 1, operation_values, STACK, "channels behind one another, or values added"),
	MOKA_F_REP(struct merge_param, forward, 2, MOKA_BOOL, "are a's, b's values used? default true, true"),
	MOKA_F_REP(struct merge_param, backward, 3, MOKA_BOOL, "do a, b get a gradient? default true, false"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message merge_message = { "MergeCropParameter", merge_fields, sizeof(struct merge_param) };

struct merge {
	int axes;			 /* spatial */
	int64_t num, channels[2], inner; /* inner: of the top */
	int64_t size[MOKA_MAX_AXES], pad[MOKA_MAX_AXES], larger[MOKA_MAX_AXES];
	int64_t area; /* of b */
	bool forward[2], backward[2];
};

static void read_switches(const struct moka_layer *l, struct merge *v)
{
	const struct merge_param *p = l->param;

	for (size_t i = 0; i < 2; i++) {
		v->forward[i] = i < p->forward.n ? MOKA_LIST_AT(p->forward, bool, i) : true;
		v->backward[i] = i < p->backward.n ? MOKA_LIST_AT(p->backward, bool, i) : i == 0;
	}
}

static enum moka_status mismatch(const struct moka_layer *l, struct moka_findings *f, const char *why)
{
	char text[2][MOKA_SHAPE_TEXT];

	return moka_layer_bad_bottom(l, f, "shape-mismatch", 1, "'%s' is %s and '%s' is %s: %s", l->bottom[0].name,
				     moka_shape_text(&l->bottom[0].shape, text[0], sizeof(text[0])), l->bottom[1].name,
				     moka_shape_text(&l->bottom[1].shape, text[1], sizeof(text[1])), why);
}

static bool differ(int64_t a, int64_t b)
{
	return a >= 0 && b >= 0 && a != b;
}

static enum moka_status merge_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct merge_param *p = l->param;
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;
	struct merge *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	if (p->forward.n > 2 || p->backward.n > 2)
		return moka_layer_bad(l, f, "bad-setting", p->forward.n > 2 ? "forward" : "backward",
				      "forward and backward are given at most twice, once for each bottom");
	read_switches(l, v);
	moka_layer_unknown(l);
	if (a->n < 0 || b->n < 0)
		return MOKA_OK;
	if (a->n < 2 || a->n != b->n)
		return mismatch(l, f, "they must have as many axes, and channels");
	if (differ(a->d[0], b->d[0]) || (p->operation == ADD && differ(a->d[1], b->d[1])))
		return mismatch(
			l, f, p->operation == ADD ? "batch and channels must agree to be added" : "the batches differ");
	v->axes = a->n - 2;
	v->num = a->d[0];
	v->channels[0] = a->d[1];
	v->channels[1] = b->d[1];
	v->inner = moka_shape_count_range(a, 2, a->n);
	v->area = moka_shape_count_range(b, 2, b->n);
	for (int i = 0; i < v->axes; i++) {
		v->size[i] = a->d[i + 2];
		v->larger[i] = b->d[i + 2];
		if (v->size[i] >= 0 && v->larger[i] >= 0 && v->size[i] > v->larger[i])
			return mismatch(l, f, "the second must be at least as large as the first, since it is cropped");
		v->pad[i] = (v->larger[i] - v->size[i]) / 2;
	}
	l->top[0].shape = *a;
	if (p->operation == STACK && (a->d[1] < 0 || b->d[1] < 0 || !moka_add(a->d[1], b->d[1], &l->top[0].shape.d[1])))
		l->top[0].shape.d[1] = -1;
	return MOKA_OK;
}

struct merge_job {
	const struct merge *v;
	int64_t first, top_channels; /* where the bottom's channels start in the top */
	const real *src;
	real *dst;
	int which;
	bool add;
};

/* Where place i of a cropped plane lies in b. */
static int64_t place_in_b(const struct merge *v, int64_t i)
{
	int64_t at = 0, stride = 1;

	for (int k = v->axes - 1; k >= 0; k--) {
		at += (i % v->size[k] + v->pad[k]) * stride;
		i /= v->size[k];
		stride *= v->larger[k];
	}
	return at;
}

/* Planes (n, channel) of a bottom into the top. */
static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct merge_job *j = arg;
	const struct merge *v = j->v;
	const int64_t channels = v->channels[j->which];

	for (int64_t p = begin; p < end; p++) {
		const real *src = j->src + p * (j->which ? v->area : v->inner);
		real *dst = j->dst + (p / channels * j->top_channels + j->first + p % channels) * v->inner;

		for (int64_t i = 0; i < v->inner; i++) {
			const real x = !v->forward[j->which] ? 0 : src[j->which ? place_in_b(v, i) : i];

			dst[i] = j->add ? dst[i] + x : x;
		}
	}
}

static void run(const struct moka_layer *l, struct moka_call *c, int which, void (*piece)(void *, int64_t, int64_t),
		struct merge_job *j)
{
	const struct merge_param *p = l->param;
	const struct merge *v = l->priv;

	j->v = v;
	j->which = which;
	j->first = p->operation == STACK && which ? v->channels[0] : 0;
	j->top_channels = p->operation == STACK ? v->channels[0] + v->channels[1] : v->channels[0];
	j->add = p->operation == ADD && which;
	moka_parallel(c->pool, piece, j, v->num * v->channels[which], MOKA_MAX(8192 / MOKA_MAX(v->inner, 1), 1));
}

static enum moka_status merge_forward(const struct moka_layer *l, struct moka_call *c)
{
	for (int i = 0; i < 2; i++) {
		struct merge_job j = { .src = c->bottom[i].data, .dst = c->top[0].data };

		run(l, c, i, forward_piece, &j);
	}
	return MOKA_OK;
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct merge_job *j = arg;
	const struct merge *v = j->v;
	const int64_t channels = v->channels[j->which], size = j->which ? v->area : v->inner;

	for (int64_t p = begin; p < end; p++) {
		const real *src = j->src + (p / channels * j->top_channels + j->first + p % channels) * v->inner;

		moka_set(size, 0, j->dst + p * size);
		for (int64_t i = 0; i < v->inner; i++)
			j->dst[p * size + (j->which ? place_in_b(v, i) : i)] = src[i];
	}
}

static enum moka_status merge_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct merge *v = l->priv;

	for (int i = 0; i < 2; i++) {
		struct merge_job j = { .src = c->top[0].diff, .dst = c->bottom[i].diff };

		if (!j.dst)
			continue;
		if (j.src && v->backward[i])
			run(l, c, i, gradient_piece, &j);
		else
			moka_set(c->bottom[i].count, 0, j.dst);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_merge_crop = {
	.schema = { "MergeCrop", "mergecrop_param", 148, 0, &merge_message, NULL, 0, "OpenCL Caffe" },
	.doc = "joins a blob with the middle of a larger one",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = merge_shape, .forward = merge_forward, .backward = merge_backward,
};
/* clang-format on */
