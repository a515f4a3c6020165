/*
 * PriorBox (SSD): the default boxes of a feature map, several around the centre of each of its cells.
 *
 *     bottoms: features (N, C, H, W), picture (N, C', H', W'); only their sizes count
 *     top:     (1, 2, H * W * boxes * 4): the boxes (x1, y1, x2, y2 as parts of the picture), then their variances
 *
 * Of each min_size: a square of min_size; with max_size a square of sqrt(min * max); one for each aspect ratio but 1. SSD takes
 * the sizes as whole pixels (20.48 is 20), and its published models were trained so.
 */
#include "boxes.h"
#include "onnx.h"

#include <tgmath.h>

struct prior_box_param {
	struct moka_list min_size, max_size, aspect_ratio, variance; /* float */
	bool flip, clip;
	uint32_t img_size, img_h, img_w;
	float step, step_h, step_w, offset;
	bool additional_y_offset;
};

/* clang-format off */
#define P struct prior_box_param
static const struct moka_field prior_box_fields[] = {
	MOKA_F_REP(P, min_size, 1, MOKA_FLOAT, "side of the smaller square, in pixels of the picture"),
	MOKA_F_REP(P, max_size, 2, MOKA_FLOAT, "one for each min_size: a further square of sqrt(min_size * max_size)"),
	MOKA_F_REP(P, aspect_ratio, 3, MOKA_FLOAT, "width : height of further boxes of min_size's area; 1 and repeated ones add nothing"),
	MOKA_F_BOOL(P, flip, 4, true, "each aspect ratio r also as 1/r"),
	MOKA_F_BOOL(P, clip, 5, false, "cut the boxes at the picture's border"),
	MOKA_F_REP(P, variance, 6, MOKA_FLOAT, "by which offsets are scaled: one, or four; absent: 0.1"),
	MOKA_F_UINT32(P, img_size, 7, 0, "side of the picture; absent: the second bottom's"),
	MOKA_F_UINT32(P, img_h, 8, 0, "its height, instead of img_size"),
	MOKA_F_UINT32(P, img_w, 9, 0, "its width, instead of img_size"),
	MOKA_F_FLOAT(P, step, 10, 0, "pixels from cell to cell; absent: picture / features"),
	MOKA_F_FLOAT(P, step_h, 11, 0, "the same downwards, instead of step"),
	MOKA_F_FLOAT(P, step_w, 12, 0, "the same to the right, instead of step"),
	MOKA_F_FLOAT(P, offset, 13, 0.5, "where in its cell a centre lies"),
	{ "additional_y_offset", 14, MOKA_BOOL, MOKA_OPTIONAL, offsetof(P, additional_y_offset), 0, NULL, NULL, NULL,
	  "each box once more, half a cell lower", "TextBoxes, OpenCV" },
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message prior_box_message = { "PriorBoxParameter", prior_box_fields,
						       sizeof(struct prior_box_param) };

struct prior_box {
	int64_t boxes; /* of a cell */
	int n_ratio;   /* without 1 */
	double *ratio;
	double img_h, img_w, step_h, step_w; /* 0: from the bottoms */
};

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && moka_has(l->sub, field);
}

static enum moka_status read_sizes(const struct moka_layer *l, struct moka_findings *f)
{
	const struct prior_box_param *p = l->param;

	if (!p->min_size.n)
		return moka_layer_bad(l, f, "missing-setting", NULL,
				      "min_size is missing: the side of a box, in pixels");
	if (p->max_size.n && p->max_size.n != p->min_size.n)
		return moka_layer_bad(l, f, "bad-setting", "max_size",
				      "there are %zu min_size and %zu max_size: each needs its own", p->min_size.n,
				      p->max_size.n);
	for (size_t i = 0; i < p->min_size.n; i++) {
		const double low = (double)MOKA_LIST_AT(p->min_size, float, i);
		const double high = p->max_size.n ? (double)MOKA_LIST_AT(p->max_size, float, i) : low + 1;

		if (!(low > 0 && low < 1e6))
			return moka_layer_bad(l, f, "bad-setting", "min_size",
					      "min_size is %g: it must be a number of pixels", low);
		if (!(high > low && high < 1e6))
			return moka_layer_bad(l, f, "bad-setting", "max_size",
					      "max_size %g is not larger than its min_size, %g", high, low);
	}
	if (p->variance.n > 1 && p->variance.n != 4)
		return moka_layer_bad(l, f, "bad-setting", "variance",
				      "there are %zu variances: one for all is needed, or four", p->variance.n);
	for (size_t i = 0; i < p->variance.n; i++)
		if (!(MOKA_LIST_AT(p->variance, float, i) > 0))
			return moka_layer_bad(l, f, "bad-setting", "variance", "a variance is %g, and must be above 0",
					      (double)MOKA_LIST_AT(p->variance, float, i));
	return MOKA_OK;
}

static bool known_ratio(const struct prior_box *v, double ratio)
{
	bool known = fabs(ratio - 1) < 1e-6;

	for (int i = 0; i < v->n_ratio && !known; i++)
		known = fabs(ratio - v->ratio[i]) < 1e-6;
	return known;
}

static enum moka_status read_ratios(struct moka_layer *l, struct moka_findings *f, struct prior_box *v)
{
	const struct prior_box_param *p = l->param;

	v->n_ratio = 0;
	if (!v->ratio)
		v->ratio = MOKA_NEWN(l->arena, 2 * p->aspect_ratio.n + 1, double);
	if (!v->ratio)
		return MOKA_ERR_NOMEM;
	for (size_t i = 0; i < p->aspect_ratio.n; i++) {
		const float ratio = MOKA_LIST_AT(p->aspect_ratio, float, i);

		if (!(ratio > 0 && ratio < 1e6f))
			return moka_layer_bad(l, f, "bad-setting", "aspect_ratio",
					      "an aspect_ratio is %g, and must be above 0", (double)ratio);
		if (known_ratio(v, (double)ratio))
			continue;
		v->ratio[v->n_ratio++] = (double)ratio;
		if (p->flip)
			v->ratio[v->n_ratio++] = (double)(float)(1 / (double)ratio);
	}
	v->boxes =
		((int64_t)p->min_size.n * (1 + v->n_ratio) + (int64_t)p->max_size.n) * (p->additional_y_offset ? 2 : 1);
	return MOKA_OK;
}

static enum moka_status read_picture(const struct moka_layer *l, struct moka_findings *f, struct prior_box *v)
{
	const struct prior_box_param *p = l->param;
	const bool img = has(l, "img_h") || has(l, "img_w"), step = has(l, "step_h") || has(l, "step_w");

	if (img && has(l, "img_size"))
		return moka_layer_bad(l, f, "bad-setting", "img_size",
				      "img_size is given besides img_h, img_w; one of them is enough");
	if (step && has(l, "step"))
		return moka_layer_bad(l, f, "bad-setting", "step",
				      "step is given besides step_h, step_w; one of them is enough");
	v->img_h = img ? p->img_h : p->img_size;
	v->img_w = img ? p->img_w : p->img_size;
	if ((img || has(l, "img_size")) && !(v->img_h > 0 && v->img_w > 0))
		return moka_layer_bad(l, f, "bad-setting", img ? has(l, "img_h") ? "img_h" : "img_w" : "img_size",
				      "the picture's size is %g x %g", v->img_h, v->img_w);
	v->step_h = (double)(step ? p->step_h : p->step);
	v->step_w = (double)(step ? p->step_w : p->step);
	if ((step || has(l, "step")) && !(v->step_h > 0 && v->step_w > 0))
		return moka_layer_bad(l, f, "bad-setting", step ? has(l, "step_h") ? "step_h" : "step_w" : "step",
				      "the step is %g down and %g to the right; both must be above 0", v->step_h,
				      v->step_w);
	return MOKA_OK;
}

static enum moka_status prior_box_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct prior_box *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];
	int64_t d[4];

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(3, (int64_t)1, (int64_t)2, (int64_t)-1);
	for (int i = 0; i < 2; i++)
		if (l->bottom[i].shape.n >= 0 && l->bottom[i].shape.n != 4)
			return moka_layer_bad_bottom(
				l, f, "wrong-axes", i, "'%s' is %s: 4 axes (num, channels, height, width) are needed",
				l->bottom[i].name, moka_shape_text(&l->bottom[i].shape, text, sizeof(text)));
	MOKA_TRY(read_sizes(l, f));
	MOKA_TRY(read_ratios(l, f, v));
	MOKA_TRY(read_picture(l, f, v));
	moka__legacy_dims(&l->bottom[0].shape, d);
	if (d[2] == 0 || d[3] == 0)
		return moka_layer_bad_bottom(l, f, "empty", 0, "'%s' is %s: there is no cell to put a box around",
					     l->bottom[0].name,
					     moka_shape_text(&l->bottom[0].shape, text, sizeof(text)));
	l->top[0].shape.d[2] = moka_layer_product(4, (int64_t[]){ d[2], d[3], v->boxes, 4 });
	return MOKA_OK;
}

struct prior_box_job {
	const struct prior_box *v;
	const struct prior_box_param *p;
	int64_t width;
	double img_h, img_w, step_h, step_w;
	real *box, *variance;
};

static real *put_one(const struct prior_box_job *j, double cx, double cy, double w, double h, real *out)
{
	const double b[4] = { (cx - w / 2) / j->img_w, (cy - h / 2) / j->img_h, (cx + w / 2) / j->img_w,
			      (cy + h / 2) / j->img_h };

	for (int k = 0; k < 4; k++)
		out[k] = (real)(j->p->clip ? MOKA_MIN(MOKA_MAX(b[k], 0), 1) : b[k]);
	return out + 4;
}

/* TextBoxes, whose words lie in lines: the same box also between this cell and the one below. */
static real *put_box(const struct prior_box_job *j, double cx, double cy, double w, double h, real *out)
{
	out = put_one(j, cx, cy, w, h, out);
	return j->p->additional_y_offset ? put_one(j, cx, cy + j->step_h / 2, w, h, out) : out;
}

/* All boxes of one cell. */
static void put_cell(const struct prior_box_job *j, double cx, double cy, real *out)
{
	for (size_t s = 0; s < j->p->min_size.n; s++) {
		const double low = trunc((double)MOKA_LIST_AT(j->p->min_size, float, s));

		out = put_box(j, cx, cy, low, low, out);
		if (j->p->max_size.n) {
			const double side = sqrt(low * trunc((double)MOKA_LIST_AT(j->p->max_size, float, s)));
			out = put_box(j, cx, cy, side, side, out);
		}
		for (int r = 0; r < j->v->n_ratio; r++) {
			const double root = sqrt(j->v->ratio[r]);
			out = put_box(j, cx, cy, low * root, low / root, out);
		}
	}
}

static void prior_box_rows(void *arg, int64_t begin, int64_t end)
{
	const struct prior_box_job *j = arg;
	const int64_t n = j->v->boxes * 4;
	const struct moka_list *v = &j->p->variance;

	for (int64_t y = begin; y < end; y++)
		for (int64_t x = 0; x < j->width; x++) {
			const int64_t at = (y * j->width + x) * n;

			put_cell(j, ((double)x + (double)j->p->offset) * j->step_w,
				 ((double)y + (double)j->p->offset) * j->step_h, j->box + at);
			for (int64_t k = 0; k < n; k++)
				j->variance[at + k] =
					!v->n ? (real)0.1 : (real)MOKA_LIST_AT(*v, float, v->n == 1 ? 0 : k % 4);
		}
}

static enum moka_status prior_box_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct prior_box *v = l->priv;
	struct prior_box_job j = {
		.v = v, .p = l->param, .box = c->top[0].data, .variance = c->top[0].data + c->top[0].count / 2
	};
	int64_t map[4], picture[4];

	moka__legacy_dims(c->bottom[0].shape, map);
	moka__legacy_dims(c->bottom[1].shape, picture);
	j.width = map[3];
	j.img_h = v->img_h > 0 && v->img_w > 0 ? v->img_h : (double)picture[2];
	j.img_w = v->img_h > 0 && v->img_w > 0 ? v->img_w : (double)picture[3];
	j.step_h = v->step_h > 0 && v->step_w > 0 ? v->step_h : j.img_h / (double)map[2];
	j.step_w = v->step_h > 0 && v->step_w > 0 ? v->step_w : j.img_w / (double)map[3];
	if (!(j.img_h > 0 && j.img_w > 0))
		return moka_call_bad(l, c, MOKA_ERR_DATA, "the picture '%s' is empty", l->bottom[1].name);
	moka_parallel(c->pool, prior_box_rows, &j, map[2], 1);
	return MOKA_OK;
}

static enum moka_status prior_box_onnx(struct moka_onnx *o)
{
	/* The boxes depend on sizes alone: they are computed here and become constants. */
	const struct moka_layer *l = o->layer;
	const int64_t count = moka_shape_count(&l->top[0].shape);
	const struct moka_view bottom[2] = { { .shape = &l->bottom[0].shape }, { .shape = &l->bottom[1].shape } };
	const struct moka_view top = { .shape = &l->top[0].shape,
				       .count = count,
				       .data = MOKA_NEWN(o->arena, count + 1, real) };
	struct moka_call call = { .bottom = bottom, .top = &top };

	if (!top.data)
		return MOKA_ERR_NOMEM;
	if (prior_box_forward(l, &call))
		return moka_onnx_cannot(o, NULL, "the boxes can't be computed");
	moka_onnx_node(o, "Identity", o->top[0], moka_onnx_reals(o, l->top[0].shape, top.data), NULL);
	return o->status;
}

/* clang-format off */
const struct moka_layer_type moka_layer_prior_box = {
	.schema = { "PriorBox", "prior_box_param", 203, 0, &prior_box_message, NULL, 0, "SSD" },
	.doc = "the default boxes around every cell of a feature map, and their variances",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = prior_box_shape, .forward = prior_box_forward,
	.onnx = prior_box_onnx,
};
/* clang-format on */
