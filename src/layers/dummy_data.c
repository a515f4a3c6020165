/*
 * DummyData: tops filled by fillers, anew in each pass: for tests and timing.
 *
 * Shapes stand in `shape`, or in the old num, channels, height, width: each once, or once for each top.
 */
#include "shape_param.h"

struct dummy_data_param {
	struct moka_list data_filler;		       /* const struct moka_filler_param * */
	struct moka_list shape;			       /* const struct moka_shape_param * */
	struct moka_list num, channels, height, width; /* uint32_t */
};

/* clang-format off */
#define P struct dummy_data_param
static const struct moka_field dummy_data_fields[] = {
	MOKA_F_REPMSG(P, data_filler, 1, &moka_filler_message, "what the tops are filled with: once, or once for each; absent: zeros"),
	MOKA_F_REPMSG(P, shape, 6, &moka_blob_shape_message, "shape of the tops: once, or once for each"),
	MOKA_F_REP(P, num, 2, MOKA_UINT32, "old form of a shape's first dimension"),
	MOKA_F_REP(P, channels, 3, MOKA_UINT32, "old form of the second"),
	MOKA_F_REP(P, height, 4, MOKA_UINT32, "old form of the third"),
	MOKA_F_REP(P, width, 5, MOKA_UINT32, "old form of the fourth"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message dummy_data_message = { "DummyDataParameter", dummy_data_fields,
							sizeof(struct dummy_data_param) };

/* A list given once for all tops, or once for each. */
static enum moka_status check_count(const struct moka_layer *l, struct moka_findings *f, const char *field, size_t n,
				    bool none_is_fine)
{
	if (n == 1 || n == (size_t)l->n_top || (!n && none_is_fine))
		return MOKA_OK;
	return moka_layer_bad(l, f, n ? "bad-setting" : "missing-setting", field,
			      "%s is given %zu times for %d tops; give it once, or once for each", field, n, l->n_top);
}

static const struct moka_filler_param *filler_of(const struct dummy_data_param *p, int top)
{
	if (!p->data_filler.n)
		return NULL;
	return MOKA_LIST_AT(p->data_filler, struct moka_filler_param *, p->data_filler.n == 1 ? 0 : top);
}

static enum moka_status old_shape(const struct moka_layer *l, struct moka_findings *f, int top, struct moka_shape *out)
{
	const struct dummy_data_param *p = l->param;
	const struct moka_list *lists[] = { &p->num, &p->channels, &p->height, &p->width };
	static const char *const names[] = { "num", "channels", "height", "width" };

	*out = moka_shape_make(0);
	for (int i = 0; i < 4; i++) {
		MOKA_TRY(check_count(l, f, names[i], lists[i]->n, false));
		out->d[out->n++] = MOKA_LIST_AT(*lists[i], uint32_t, lists[i]->n == 1 ? 0 : top);
	}
	return MOKA_OK;
}

static enum moka_status top_shape(const struct moka_layer *l, struct moka_findings *f, int top, struct moka_shape *out)
{
	const struct dummy_data_param *p = l->param;

	if (p->num.n || p->channels.n || p->height.n || p->width.n) {
		if (p->shape.n)
			return moka_layer_bad(l, f, "bad-setting", "shape",
					      "shape is given, and num, channels, height, width, too; one is enough");
		return old_shape(l, f, top, out);
	}
	MOKA_TRY(check_count(l, f, "shape", p->shape.n, false));
	return moka__shape_from_param(
		l, f, "shape", MOKA_LIST_AT(p->shape, struct moka_shape_param *, p->shape.n == 1 ? 0 : top), out);
}

static enum moka_status dummy_data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct dummy_data_param *p = l->param;
	char buf[256];

	MOKA_TRY(check_count(l, f, "data_filler", p->data_filler.n, true));
	for (int i = 0; i < l->n_top; i++) {
		struct moka_shape *s = &l->top[i].shape;
		const char *problem;

		MOKA_TRY(top_shape(l, f, i, s));
		if (l->batch > 0 && s->n > 0)
			s->d[0] = l->batch;
		problem = moka_fill_problem(filler_of(p, i), s, buf, sizeof(buf));
		if (problem)
			return moka_layer_bad(l, f, "bad-filler", "data_filler", "data_filler: %s", problem);
	}
	return MOKA_OK;
}

static enum moka_status dummy_data_forward(const struct moka_layer *l, struct moka_call *c)
{
	for (int i = 0; i < l->n_top; i++)
		MOKA_TRY(moka_fill(filler_of(l->param, i), c->top[i].shape, c->top[i].data, c->rng, c->err));
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_dummy_data = {
	.schema = { "DummyData", "dummy_data_param", 109, 26, &dummy_data_message, "DUMMY_DATA", 32, NULL },
	.doc = "makes up its tops with fillers",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = -1,
	.flags = MOKA_NO_BACKWARD | MOKA_DATA,
	.shape = dummy_data_shape, .forward = dummy_data_forward,
};
/* clang-format on */
