/*
 * BoxAnnotatorOHEM (R-FCN): of each image's regions lets only the roi_per_img costliest train: the others' labels become
 * ignore_label, their box weights 0.
 *
 *     bottoms: regions (N, 5, H, W), their costs, their labels (N, 1, H, W), their box weights (N, C, H, W)
 *     tops:    labels (N, 1, H, W), box weights (N, C, H, W)
 */
#include "boxes.h"

#include <float.h>

struct box_annotator_param {
	uint32_t roi_per_img;
	int32_t ignore_label;
};

/* clang-format off */
static const struct moka_field box_annotator_fields[] = {
	{ "roi_per_img", 1, MOKA_UINT32, MOKA_REQUIRED, offsetof(struct box_annotator_param, roi_per_img), 0, NULL, NULL, NULL,
	  "regions of each image that train", NULL },
	MOKA_F_INT32(struct box_annotator_param, ignore_label, 2, -1, "label of the others"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message box_annotator_message = { "BoxAnnotatorOHEMParameter", box_annotator_fields,
							   sizeof(struct box_annotator_param) };

struct annotator {
	int64_t num, inner, weights; /* regions: num x inner */
};

static enum moka_status annotator_shape(struct moka_layer *l, struct moka_findings *f)
{
	static const char *const what[] = { "regions", "costs", "labels", "box weights" };
	const struct box_annotator_param *p = l->param;
	struct annotator *v = moka_layer_priv(l, sizeof(*v));
	int64_t d[4][4];
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < 4; i++)
		moka__legacy_dims(&l->bottom[i].shape, d[i]);
	l->top[0].shape = moka_shape_make(4, d[0][0], (int64_t)1, d[0][2], d[0][3]);
	l->top[1].shape = moka_shape_make(4, d[0][0], d[3][1], d[0][2], d[0][3]);
	if (p->roi_per_img < 1)
		return moka_layer_bad(l, f, "missing-setting", "roi_per_img",
				      "roi_per_img must say how many regions of an image train");
	for (int i = 0; i < 4; i++) {
		const int64_t want[4] = { d[0][0], i == 0 ? 5 : i == 3 ? d[3][1] : 1, d[0][2], d[0][3] };

		for (int k = 0; k < 4; k++)
			if (d[i][k] >= 0 && want[k] >= 0 && d[i][k] != want[k])
				return moka_layer_bad_bottom(l, f, "shape-mismatch", i,
							     "'%s', the %s, is %s: axis %d must be %lld",
							     l->bottom[i].name, what[i],
							     moka_shape_text(&l->bottom[i].shape, text, sizeof(text)),
							     k, (long long)want[k]);
	}
	*v = (struct annotator){ d[0][0], moka_layer_product(2, d[0] + 2), d[3][1] };
	l->scratch_bytes = moka_layer_bytes(moka_layer_product(2, (int64_t[]){ v->num, v->inner }),
					    sizeof(struct moka__ranked) + sizeof(int64_t) + sizeof(int32_t));
	return MOKA_OK;
}

/* The image of each region; how many images there can be is as many as regions, so that a counter for each fits. */
static enum moka_status read_images(const struct moka_layer *l, struct moka_call *c, int64_t *left, int32_t *image)
{
	const struct annotator *v = l->priv;
	const int64_t n = v->num * v->inner;
	int64_t value;

	for (int64_t i = 0; i < n; i++) {
		const real r = c->bottom[0].data[i / v->inner * 5 * v->inner + i % v->inner];

		if (!moka__whole(r, 0, n - 1, &value))
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"region %lld of '%s' is of image %g, and %lld regions are of %lld images at most",
				(long long)i, l->bottom[0].name, (double)r, (long long)n, (long long)n);
		image[i] = (int32_t)value;
		left[i] = ((const struct box_annotator_param *)l->param)->roi_per_img;
	}
	return MOKA_OK;
}

static enum moka_status annotator_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct box_annotator_param *p = l->param;
	const struct annotator *v = l->priv;
	const int64_t n = v->num * v->inner;
	int64_t *left = c->scratch;
	struct moka__ranked *r = (struct moka__ranked *)(left + n);
	int32_t *image = (int32_t *)(r + n);

	MOKA_TRY(read_images(l, c, left, image));
	for (int64_t i = 0; i < n; i++) {
		const real cost = c->bottom[1].data[i];
		r[i] = (struct moka__ranked){ cost == cost ? cost : -(real)FLT_MAX, (int32_t)i };
	}
	moka__rank_sort(r, n);
	moka_set(n, (real)p->ignore_label, c->top[0].data);
	moka_set(c->top[1].count, 0, c->top[1].data);
	for (int64_t i = 0; i < n; i++) {
		const int64_t at = r[i].index;

		if (left[image[at]]-- <= 0)
			continue;
		c->top[0].data[at] = c->bottom[2].data[at];
		for (int64_t k = 0; k < v->weights; k++) {
			const int64_t w = (at / v->inner * v->weights + k) * v->inner + at % v->inner;
			c->top[1].data[w] = c->bottom[3].data[w];
		}
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_box_annotator_ohem = {
	.schema = { "BoxAnnotatorOHEM", "box_annotator_ohem_param", 10000, 0, &box_annotator_message, NULL, 0, "R-FCN, Intel" },
	.doc = "lets only the costliest regions of each image train",
	.min_bottom = 4, .max_bottom = 4, .min_top = 2, .max_top = 2,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = annotator_shape, .forward = annotator_forward,
};
/* clang-format on */
