/*
 * Proposal (PVANET and other ports of Faster R-CNN's layer): regions that may show an object. At each cell of the features stand
 * anchors of several forms and sizes; the net moves and scores them, and the best that don't overlap are passed on.
 *
 *     bottoms: scores (N, 2 * anchors, H, W), the second half those of "object"; offsets (N, 4 * anchors, H, W);
 *              pictures (N, 3 or more): height, width, scale (and maybe the scale of widths)
 *     tops:    regions (N * post_nms_topn, 5): image, x1, y1, x2, y2; and maybe their scores
 *
 * How many regions there are the data tell: those of all images stand first, zeros follow, and top_items counts. Faster
 * R-CNN drops boxes below min_size before it ranks, and so does this; ports that give them a score of 0 instead keep some where
 * there are few.
 */
#include "proposal.h"

#include <float.h>
#include <tgmath.h>

struct proposal_param {
	uint32_t feat_stride, base_size, min_size, pre_nms_topn, post_nms_topn;
	struct moka_list ratio, scale; /* float */
	float nms_thresh;
};

/* clang-format off */
#define P struct proposal_param
static const struct moka_field proposal_fields[] = {
	MOKA_F_UINT32(P, feat_stride, 1, 16, "pixels of the picture for each cell"),
	MOKA_F_UINT32(P, base_size, 2, 16, "side of the anchor of scale 1"),
	MOKA_F_UINT32(P, min_size, 3, 16, "smaller boxes are dropped, in pixels of the unscaled picture"),
	MOKA_F_REP(P, ratio, 4, MOKA_FLOAT, "height : width of the anchors; absent: 0.5, 1, 2"),
	MOKA_F_REP(P, scale, 5, MOKA_FLOAT, "sizes of the anchors, in base_size; absent: 8, 16, 32"),
	MOKA_F_UINT32(P, pre_nms_topn, 6, 6000, "best boxes that are looked at"),
	MOKA_F_UINT32(P, post_nms_topn, 7, 300, "boxes kept of an image"),
	MOKA_F_FLOAT(P, nms_thresh, 8, 0.7, "a box that overlaps a better one by more is dropped"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message proposal_message = { "ProposalParameter", proposal_fields,
						      sizeof(struct proposal_param) };

/* ---- shape ------------------------------------------------------------------------------------------------------ */

/* Half to even, as the Python original rounds. */
static double to_whole(double v)
{
	return rint(v);
}

/* For each ratio, for each scale: around the middle of the base square, whose corners are (0, 0) and base_size - 1. */
static void make_anchors(struct moka__proposal *v)
{
	const double middle = (v->base_size - 1) / 2;

	for (int r = 0; r < v->n_ratios; r++) {
		const double w = to_whole(sqrt(v->base_size * v->base_size / v->ratio[r])),
			     h = to_whole(w * v->ratio[r]);

		for (int s = 0; s < v->n_scales; s++) {
			const double dx = (w * v->scale[s] - 1) / 2, dy = (h * v->scale[s] - 1) / 2;

			v->anchor[r * v->n_scales + s] = (struct moka__box){ (real)(middle - dx), (real)(middle - dy),
									     (real)(middle + dx), (real)(middle + dy) };
		}
	}
}

static enum moka_status check_bottom(const struct moka_layer *l, struct moka_findings *f, int i, int64_t channels)
{
	const struct moka_shape *s = &l->bottom[i].shape, *a = &l->bottom[0].shape;
	char text[MOKA_SHAPE_TEXT];
	bool fits = s->n == 4 && (s->d[1] < 0 || s->d[1] == channels);

	if (s->n < 0)
		return MOKA_OK;
	for (int k = 0; fits && k < 4; k++)
		fits = k == 1 || a->n != 4 || s->d[k] < 0 || a->d[k] < 0 || s->d[k] == a->d[k];
	if (!fits)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", i,
			"'%s' is %s: num x %lld x height x width is expected, %d for each of %lld anchors",
			l->bottom[i].name, moka_shape_text(s, text, sizeof(text)), (long long)channels, i ? 4 : 2,
			(long long)(channels / (i ? 4 : 2)));
	return MOKA_OK;
}

static enum moka_status check_info(const struct moka_layer *l, struct moka_findings *f, struct moka__proposal *v)
{
	const struct moka_shape *s = &l->bottom[2].shape;
	char text[MOKA_SHAPE_TEXT];

	v->info = s->n < 1 ? -1 : moka_shape_count_range(s, 1, s->n);
	if (s->n == 0 || (v->info >= 0 && v->info < 3) || (s->n > 0 && s->d[0] >= 0 && v->num >= 0 && s->d[0] < v->num))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 2,
					     "'%s' is %s: height, width and scale of each image are expected",
					     l->bottom[2].name, moka_shape_text(s, text, sizeof(text)));
	return MOKA_OK;
}

enum moka_status moka__proposal_shape(struct moka_layer *l, struct moka_findings *f, struct moka__proposal *v)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	int64_t boxes;

	v->anchors = (int64_t)v->n_ratios * v->n_scales;
	if (!v->anchor)
		v->anchor = MOKA_NEWN(l->arena, v->anchors, struct moka__box);
	if (!v->anchor)
		return MOKA_ERR_NOMEM;
	make_anchors(v);
	v->num = s->n == 4 ? s->d[0] : -1;
	v->h = s->n == 4 ? s->d[2] : -1;
	v->w = s->n == 4 ? s->d[3] : -1;
	l->top[0].shape = moka_shape_make(2, moka_layer_product(2, (int64_t[]){ v->num, v->post_nms }), (int64_t)5);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(1, l->top[0].shape.d[0]);
	MOKA_TRY(check_bottom(l, f, 0, 2 * v->anchors));
	MOKA_TRY(check_bottom(l, f, 1, 4 * v->anchors));
	MOKA_TRY(check_info(l, f, v));
	boxes = moka_layer_product(3, (int64_t[]){ v->anchors, v->h, v->w });
	if (boxes > INT32_MAX)
		return moka_layer_bad_bottom(l, f, "too-large", 0, "%lld anchors are too many", (long long)boxes);
	l->scratch_bytes = moka_layer_bytes(boxes, sizeof(struct moka__box) + sizeof(struct moka__ranked));
	return MOKA_OK;
}

/* ---- forward -------------------------------------------------------------------------------------------------------- */

struct proposal_job {
	const struct moka__proposal *v;
	const real *score, *offset; /* of this image; of "object" */
	real height, width, min_h, min_w;
	struct moka__box *box; /* (h, w, anchors) */
	struct moka__ranked *ranked;
};

static real clipped(real v, real size)
{
	return MOKA_MAX(MOKA_MIN(v, size - 1), 0);
}

/* Rows of cells: an anchor moved by its offsets, in pixels, both ends inside. */
static void move_rows(void *arg, int64_t begin, int64_t end)
{
	const struct proposal_job *j = arg;
	const struct moka__proposal *v = j->v;
	const int64_t plane = v->h * v->w;

	for (int64_t i = begin * v->w; i < end * v->w; i++)
		for (int64_t a = 0; a < v->anchors; a++) {
			const struct moka__box b = v->anchor[a];
			const real *d = j->offset + a * 4 * plane + i;
			const real w = b.x2 - b.x1 + 1, h = b.y2 - b.y1 + 1;
			const real x = b.x1 + (real)(i % v->w) * (real)v->feat_stride + w / 2 + d[0] * w;
			const real y = b.y1 + (real)(i / v->w) * (real)v->feat_stride + h / 2 + d[plane] * h;
			const real half_w = exp(d[2 * plane]) * w / 2, half_h = exp(d[3 * plane]) * h / 2;

			j->box[i * v->anchors + a] =
				(struct moka__box){ clipped(x - half_w, j->width), clipped(y - half_h, j->height),
						    clipped(x + half_w, j->width), clipped(y + half_h, j->height) };
		}
}

static int64_t rank_boxes(const struct proposal_job *j)
{
	const struct moka__proposal *v = j->v;
	const int64_t plane = v->h * v->w;
	int64_t n = 0;

	for (int64_t i = 0; i < plane * v->anchors; i++) {
		const struct moka__box b = j->box[i];
		const real score = j->score[i % v->anchors * plane + i / v->anchors];

		if (score == score && b.x2 - b.x1 + 1 >= j->min_w && b.y2 - b.y1 + 1 >= j->min_h)
			j->ranked[n++] = (struct moka__ranked){ score, (int32_t)i };
	}
	moka__rank_sort(j->ranked, n);
	return v->pre_nms > 0 ? MOKA_MIN(n, v->pre_nms) : n;
}

static enum moka_status read_picture(const struct moka_layer *l, struct moka_call *c, int64_t n, struct proposal_job *j)
{
	const struct moka__proposal *v = j->v;
	const real *info = c->bottom[2].data + n * v->info;

	if (!(info[0] >= 1 && info[0] < (real)1e6 && info[1] >= 1 && info[1] < (real)1e6 && fabs(info[2]) < (real)1e6))
		return moka_call_bad(l, c, MOKA_ERR_DATA,
				     "image %lld of '%s' is said to be %g x %g (height x width) at a scale of %g",
				     (long long)n, l->bottom[2].name, (double)info[0], (double)info[1],
				     (double)info[2]);
	j->height = info[0];
	j->width = info[1];
	j->min_h = (real)v->min_size * info[2];
	j->min_w = (real)v->min_size * (v->info > 3 ? info[3] : info[2]);
	return MOKA_OK;
}

enum moka_status moka__proposal_forward(const struct moka_layer *l, struct moka_call *c, const struct moka__proposal *v)
{
	const int64_t plane = v->h * v->w;
	struct proposal_job j = { .v = v, .box = c->scratch };
	int64_t row = 0;

	j.ranked = (struct moka__ranked *)(j.box + plane * v->anchors);
	for (int64_t n = 0; n < v->num; n++) {
		int64_t kept;

		MOKA_TRY(read_picture(l, c, n, &j));
		j.score = c->bottom[0].data + (2 * n + 1) * v->anchors * plane;
		j.offset = c->bottom[1].data + 4 * n * v->anchors * plane;
		moka_parallel(c->pool, move_rows, &j, v->h, 1);
		kept = moka__nms(j.box, j.ranked, rank_boxes(&j), (real)v->nms_thresh, 1, v->post_nms,
				 MOKA__BOX_PIXELS);
		for (int64_t i = 0; i < kept; i++, row++) {
			const struct moka__box *b = &j.box[j.ranked[i].index];
			real *top = c->top[0].data + row * 5;

			top[0] = (real)n;
			top[1] = b->x1;
			top[2] = b->y1;
			top[3] = b->x2;
			top[4] = b->y2;
			if (l->n_top > 1)
				c->top[1].data[row] = j.ranked[i].score;
		}
	}
	moka_set(c->top[0].count - row * 5, 0, c->top[0].data + row * 5);
	if (l->n_top > 1)
		moka_set(c->top[1].count - row, 0, c->top[1].data + row);
	if (c->top_items)
		*c->top_items = row;
	return MOKA_OK;
}

/* ---- the layer ---------------------------------------------------------------------------------------------------------- */

static enum moka_status read_list(const struct moka_layer *l, struct moka_findings *f, const char *field,
				  struct moka_list list, const double *otherwise, int *n, double *out)
{
	if (list.n > MOKA__PROPOSAL_RATIOS)
		return moka_layer_bad(l, f, "too-large", field, "%zu values of %s are too many", list.n, field);
	*n = list.n ? (int)list.n : 3;
	for (int i = 0; i < *n; i++) {
		out[i] = list.n ? (double)MOKA_LIST_AT(list, float, i) : otherwise[i];
		if (!(out[i] > 0 && out[i] < 1e6))
			return moka_layer_bad(l, f, "bad-setting", field, "a %s is %g, and must be above 0", field,
					      out[i]);
	}
	return MOKA_OK;
}

static enum moka_status proposal_shape(struct moka_layer *l, struct moka_findings *f)
{
	static const double ratios[] = { 0.5, 1, 2 }, scales[] = { 8, 16, 32 };
	const struct proposal_param *p = l->param;
	struct moka__proposal *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	if (p->feat_stride < 1 || p->base_size < 1 || p->base_size > 1000000)
		return moka_layer_bad(l, f, "bad-setting", p->feat_stride < 1 ? "feat_stride" : "base_size",
				      "feat_stride and base_size must be 1 or more, and are %u and %u", p->feat_stride,
				      p->base_size);
	if (p->post_nms_topn < 1)
		return moka_layer_bad(l, f, "bad-setting", "post_nms_topn", "post_nms_topn must be 1 or more");
	v->feat_stride = p->feat_stride;
	v->base_size = p->base_size;
	v->min_size = p->min_size;
	v->nms_thresh = (double)p->nms_thresh;
	v->pre_nms = p->pre_nms_topn;
	v->post_nms = p->post_nms_topn;
	MOKA_TRY(read_list(l, f, "ratio", p->ratio, ratios, &v->n_ratios, v->ratio));
	MOKA_TRY(read_list(l, f, "scale", p->scale, scales, &v->n_scales, v->scale));
	return moka__proposal_shape(l, f, v);
}

static enum moka_status proposal_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka__proposal_forward(l, c, l->priv);
}

/* clang-format off */
const struct moka_layer_type moka_layer_proposal = {
	.schema = { "Proposal", "proposal_param", 219, 0, &proposal_message, NULL, 0, "PVANET, caffe-windows" },
	.doc = "regions that may show an object: anchors moved, scored, and thinned out",
	.min_bottom = 3, .max_bottom = 3, .min_top = 1, .max_top = 2,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = proposal_shape, .forward = proposal_forward,
};
/* clang-format on */
