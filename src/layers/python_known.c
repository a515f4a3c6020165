/*
 * python_known.c - the table of known Python classes (python_known.h).
 *
 * Shapes are what the published source reshapes its tops to. Two are computed here as well, in testing: the rest is shaped so that the
 * net around it can be looked at. Nothing flows back through a Python layer, so a net with one is not trained.
 */
#include "python_known.h"

#include <stdlib.h>
#include <string.h>

/* ---- shapes ---------------------------------------------------------------------------------------- */

static void as_bottom(struct moka_layer *l)
{
	l->top[0].shape = l->bottom[0].shape;
}

static void numbers(struct moka_layer *l)
{
	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(1, (int64_t)1);
}

/* DetectNet's lists: each top, which is one class, has room for 50 boxes of 5 numbers of each image. */
static void fifty_boxes(struct moka_layer *l)
{
	const struct moka_shape *s = &l->bottom[0].shape;

	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(3, s->n < 1 ? (int64_t)-1 : s->d[0], (int64_t)50, (int64_t)5);
}

/* MTCNN: the scores and labels of the samples that have a label, moved to the front. */
static void two_scores(struct moka_layer *l, bool places)
{
	const struct moka_shape *s = &l->bottom[1].shape;
	const int64_t n = s->n < 1 ? -1 : s->d[0];

	l->top[0].shape =
		places ? moka_shape_make(4, n, (int64_t)2, (int64_t)1, (int64_t)1) : moka_shape_make(2, n, (int64_t)2);
	l->top[1].shape = moka_shape_make(2, n, (int64_t)1);
}

static void scores_of_places(struct moka_layer *l)
{
	two_scores(l, true);
}

static void scores_of_rows(struct moka_layer *l)
{
	two_scores(l, false);
}

/* py-faster-rcnn: labels and three blobs of offsets of every anchor of one image. */
static void anchor_targets(struct moka_layer *l)
{
	const struct moka_shape *s = &l->bottom[0].shape;
	const int64_t scores = s->n == 4 ? s->d[1] : -1, h = s->n == 4 ? s->d[2] : -1, w = s->n == 4 ? s->d[3] : -1;
	const int64_t anchors = scores < 0 ? -1 : scores / 2; /* two scores each */

	l->top[0].shape =
		moka_shape_make(4, (int64_t)1, (int64_t)1, moka_layer_product(2, (int64_t[]){ anchors, h }), w);
	for (int i = 1; i < l->n_top; i++)
		l->top[i].shape =
			moka_shape_make(4, (int64_t)1, moka_layer_product(2, (int64_t[]){ anchors, 4 }), h, w);
}

/*
 * py-faster-rcnn: regions to learn from, their labels, and three blobs of offsets for every class. How many there are the data decide in
 * each pass; the class starts with one, and so are the shapes here.
 */
static void region_targets(struct moka_layer *l)
{
	const int64_t *classes = l->priv;

	for (int i = 0; i < l->n_top; i++)
		l->top[i].shape = moka_shape_make(2, (int64_t)1,
						  i == 0   ? (int64_t)5
						  : i == 1 ? (int64_t)1
							   : 4 * *classes);
}

static enum moka_status check_targets(struct moka_layer *l, struct moka_findings *f, const char *text)
{
	const char *at = moka__python_value(text, "num_classes");
	int64_t *classes = moka_layer_priv(l, sizeof(*classes));

	if (!classes)
		return MOKA_ERR_NOMEM;
	*classes = at ? strtol(at, NULL, 10) : 0;
	if (*classes < 1 || *classes > 1 << 20)
		return moka_layer_bad(l, f, "bad-setting", "param_str",
				      "param_str is \"%.200s\", and ProposalTargetLayer needs \"'num_classes': 21\"",
				      text);
	return MOKA_OK;
}

/* ---- what is computed ------------------------------------------------------------------------------- */

/* ENet's dropout takes its phase from param_str, and scales by 1 / (1 - p) in both. */
static enum moka_status check_dropout(struct moka_layer *l, struct moka_findings *f, const char *text)
{
	const char *at = moka__python_value(text, "p"), *phase = moka__python_value(text, "phase");
	double *scale = moka_layer_priv(l, sizeof(*scale));

	if (!scale)
		return MOKA_ERR_NOMEM;
	at += at ? strspn(at, " \t'\"") : 0;
	*scale = at ? strtod(at, NULL) : 0;
	if (!(*scale > 0 && *scale < 1))
		return moka_layer_bad(
			l, f, "bad-setting", "param_str",
			"param_str is \"%.200s\", and SpatialDropoutLayer needs \"'p': '0.1'\", between 0 and 1", text);
	*scale = 1 / (1 - *scale);
	phase += phase ? strspn(phase, " \t'\"") : 0;
	if (l->for_run && phase && !strncmp(phase, "TRAIN", 5))
		return moka_layer_bad(
			l, f, "layer-not-runnable", "param_str",
			"SpatialDropoutLayer is run with 'phase': 'TEST' only; for training use type: \"SpatialDropout\"");
	return MOKA_OK;
}

static enum moka_status dropout_forward(const struct moka_layer *l, struct moka_call *c)
{
	const real scale = (real) * (const double *)l->priv;

	for (int64_t i = 0; i < c->top[0].count; i++)
		c->top[0].data[i] = c->bottom[0].data[i] * scale;
	return MOKA_OK;
}

static enum moka_status check_euclidean(struct moka_layer *l, struct moka_findings *f, const char *text)
{
	const int64_t a = moka_shape_count(&l->bottom[0].shape), b = moka_shape_count(&l->bottom[1].shape);

	(void)text;
	if (a >= 0 && b >= 0 && a != b)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "'%s' has %lld values and '%s' %lld: EuclideanLossLayer needs as many",
					     l->bottom[0].name, (long long)a, l->bottom[1].name, (long long)b);
	return MOKA_OK;
}

/* Half the sum of squared differences, over the batch. */
static enum moka_status euclidean_forward(const struct moka_layer *l, struct moka_call *c)
{
	const int64_t batch = l->bottom[0].shape.n > 0 ? c->bottom[0].shape->d[0] : 1;
	double sum = 0;

	for (int64_t i = 0; i < c->bottom[0].count; i++) {
		const double d = (double)c->bottom[0].data[i] - (double)c->bottom[1].data[i];

		sum += d * d;
	}
	c->top[0].data[0] = (real)(sum / 2 / (double)MOKA_MAX(batch, 1));
	return MOKA_OK;
}

/* ---- the table ---------------------------------------------------------------------------------------- */

/* clang-format off */
#define DETECTNET "caffe.layers.detectnet."
static const struct moka__python known[] = {
	/* BVLC Caffe, examples/pycaffe/layers */
	{ "pyloss", "EuclideanLossLayer", 2, 1, numbers, check_euclidean, euclidean_forward },
	/* ENet */
	{ "spatial_dropout", "SpatialDropoutLayer", 1, 1, as_bottom, check_dropout, dropout_forward },
	/* py-faster-rcnn */
	{ "rpn.proposal_target_layer", "ProposalTargetLayer", 2, 5, region_targets, check_targets, NULL },
	{ "rpn.anchor_target_layer", "AnchorTargetLayer", 4, 4, anchor_targets, NULL, NULL },
	/* NVIDIA's DetectNet */
	{ DETECTNET "clustering", "ClusterGroundtruth", 1, 1, fifty_boxes, NULL, NULL },
	{ DETECTNET "clustering", "ClusterDetections", 2, 1, fifty_boxes, NULL, NULL },
	{ DETECTNET "mean_ap", "ScoreDetections", 2, 1, fifty_boxes, NULL, NULL },
	{ DETECTNET "mean_ap", "mAP", 1, 3, numbers, NULL, NULL },
	/* mtcnn-caffe */
	{ "pythonLayer", "cls_Layer", 2, 2, scores_of_rows, NULL, NULL },
	{ "pythonLayer", "cls_Layer_fc", 2, 2, scores_of_places, NULL, NULL },
	{ "pythonLayer", "regression_Layer", 2, 1, numbers, NULL, NULL },
	/* DeepOneClass */
	{ "distance_layer", "DistanceLayer", 1, 1, numbers, NULL, NULL },
	/* Caffe_Light_Field */
	{ "input_shifting_layer", "InputShiftingLayer", 1, 1, as_bottom, NULL, NULL },
	{ "warping_layer", "WarpingLayer", 2, 1, as_bottom, NULL, NULL },
	{ "visualization_layer", "VisualizationLayer", 1, 1, numbers, NULL, NULL },
	{ "bilinear_sampler_layer_3ch", "BilinearSamplerLayer3ch", 2, 1, as_bottom, NULL, NULL },
};
/* clang-format on */

const struct moka__python *moka__python_find(const char *module, const char *layer)
{
	for (size_t i = 0; module && layer && i < MOKA_COUNT(known); i++)
		if (!strcmp(known[i].module, module) && !strcmp(known[i].layer, layer))
			return &known[i];
	return NULL;
}

enum moka_status moka__python_shape(const struct moka__python *k, struct moka_layer *l, struct moka_findings *f,
				    const char *param_str)
{
	moka_layer_unknown(l);
	if (l->n_bottom < k->bottoms || l->n_top < k->tops)
		return moka_layer_bad(l, f, l->n_bottom < k->bottoms ? "wrong-bottoms" : "wrong-tops", NULL,
				      "%s takes %d bottoms and makes %d tops at least, and %d and %d are named",
				      k->layer, k->bottoms, k->tops, l->n_bottom, l->n_top);
	if (k->check)
		MOKA_TRY(k->check(l, f, param_str));
	k->shape(l);
	if (!l->for_run || (k->forward && l->phase == MOKA_TEST))
		return MOKA_OK;
	return moka_layer_bad(
		l, f, "layer-not-runnable", "module",
		k->forward ? "class %s of Python module %s is run in testing, not in training"
			   : "class %s of Python module %s: Moka shapes and draws this class, but can't run it",
		k->layer, k->module);
}

const char *moka__python_value(const char *param_str, const char *key)
{
	const size_t n = strlen(key);

	for (const char *at = param_str; (at = strstr(at, key)); at++) {
		const char *end = at + n;

		if (at > param_str && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", at[-1]))
			continue; /* the tail of another word */
		end += *end == '\'' || *end == '"';
		end += strspn(end, " \t");
		if (*end == ':')
			return end + 1;
	}
	return NULL;
}
