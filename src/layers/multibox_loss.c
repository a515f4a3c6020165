/*
 * MultiBoxLoss (SSD): matches priors to the objects of each image, and adds up how far the offsets of the matched ones are
 * from their objects and how wrong the scores of those and of the hardest others are.
 *
 *     bottoms: offsets (N, priors * locs * 4), scores (N, priors * classes), priors (1, 2, priors * 4),
 *              objects (1, 1, rows, 8): image, label, instance, x1, y1, x2, y2, difficult; an image of -1: none
 *     top:     scalar
 *
 * Matching and mining are in multibox_match.c; the state keeps what they decided of each prior. The loss is divided as loss_param
 * says, VALID (the default): by the number of matches.
 *
 * Two places differ from SSD's code, which leaves the variances out of the gradient where encode_variance_in_target is
 * set, and starts LOGISTIC targets from the number of the background class: here they are derivative and 0.
 */
#include "loss.h"
#include "multibox.h"

#include <float.h>
#include <tgmath.h>

/* clang-format off */
static const struct moka_enum_value loc_values[] = { { "L2", MOKA__LOC_L2 }, { "SMOOTH_L1", MOKA__LOC_SMOOTH_L1 }, { NULL, 0 } };
static const struct moka_enum_value conf_values[] = { { "SOFTMAX", MOKA__CONF_SOFTMAX }, { "LOGISTIC", MOKA__CONF_LOGISTIC }, { NULL, 0 } };
static const struct moka_enum_value match_values[] = { { "BIPARTITE", MOKA__MATCH_BIPARTITE }, { "PER_PREDICTION", MOKA__MATCH_PER_PREDICTION }, { NULL, 0 } };
static const struct moka_enum_value mining_values[] = { { "NONE", MOKA__MINE_NONE }, { "MAX_NEGATIVE", MOKA__MINE_MAX_NEGATIVE }, { "HARD_EXAMPLE", MOKA__MINE_HARD_EXAMPLE }, { NULL, 0 } };

#define P struct moka__multibox_param
static const struct moka_field multibox_fields[] = {
	MOKA_F_ENUM(P, loc_loss_type, 1, loc_values, MOKA__LOC_SMOOTH_L1, "how the distance of offsets counts"),
	MOKA_F_ENUM(P, conf_loss_type, 2, conf_values, MOKA__CONF_SOFTMAX, "how wrong scores count"),
	MOKA_F_FLOAT(P, loc_weight, 3, 1, "weight of the offsets against the scores"),
	MOKA_F_UINT32(P, num_classes, 4, 0, "classes that are scored, the background among them; required"),
	MOKA_F_BOOL(P, share_location, 5, true, "one set of offsets for all classes; false: one a class"),
	MOKA_F_ENUM(P, match_type, 6, match_values, MOKA__MATCH_PER_PREDICTION, "BIPARTITE: each object has one prior; PER_PREDICTION: also all that overlap it well"),
	MOKA_F_FLOAT(P, overlap_threshold, 7, 0.5, "PER_PREDICTION: the least overlap"),
	MOKA_F_BOOL(P, use_prior_for_matching, 8, true, "match the priors; false: the boxes that the offsets make of them"),
	MOKA_F_UINT32(P, background_label_id, 9, 0, "the class that is no object"),
	MOKA_F_BOOL(P, use_difficult_gt, 10, true, "objects marked as difficult count too"),
	{ "do_neg_mining", 11, MOKA_BOOL, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, "deprecated: mining_type", NULL },
	MOKA_F_FLOAT(P, neg_pos_ratio, 12, 3, "MAX_NEGATIVE: so many unmatched priors for each match"),
	MOKA_F_FLOAT(P, neg_overlap, 13, 0.5, "MAX_NEGATIVE: only priors that overlap no object by so much"),
	MOKA_F_ENUM(P, code_type, 14, moka__box_code_values, MOKA__CORNER, "what the offsets mean"),
	MOKA_F_BOOL(P, encode_variance_in_target, 16, false, "the offsets are not scaled by the variances; their distance is"),
	MOKA_F_BOOL(P, map_object_to_agnostic, 17, false, "all objects are one class, the one behind the background"),
	MOKA_F_BOOL(P, ignore_cross_boundary_bbox, 18, false, "boxes that reach out of the picture match nothing"),
	MOKA_F_BOOL(P, bp_inside, 19, false, "a corner outside the picture takes no gradient"),
	MOKA_F_ENUM(P, mining_type, 20, mining_values, MOKA__MINE_MAX_NEGATIVE, "which priors' scores count: all, the matched and the worst others, or the worst of all"),
	MOKA_F_MSG(P, nms_param, 21, &moka__nms_message, "drops overlapping ones before the worst are taken"),
	MOKA_F_INT32(P, sample_size, 22, 64, "HARD_EXAMPLE: priors taken of an image"),
	MOKA_F_BOOL(P, use_prior_for_nms, 23, false, "nms_param: overlap of the priors; false: of the boxes made of them"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message multibox_message = { "MultiBoxLossParameter", multibox_fields,
						      sizeof(struct moka__multibox_param) };

/* ---- shape -------------------------------------------------------------------------------------------------- */

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct moka__multibox_param *p = l->param;
	const bool softmax = p->conf_loss_type == MOKA__CONF_SOFTMAX;

	if (p->num_classes < 1 || p->num_classes > INT32_MAX)
		return moka_layer_bad(l, f, "missing-setting", "num_classes",
				      "num_classes must say how many classes are scored");
	if (softmax && p->background_label_id >= p->num_classes)
		return moka_layer_bad(l, f, "bad-setting", "background_label_id",
				      "background_label_id is %u, and there are %u classes: SOFTMAX needs a background",
				      p->background_label_id, p->num_classes);
	if (p->mining_type != MOKA__MINE_NONE && !p->share_location)
		return moka_layer_bad(l, f, "bad-setting", "share_location",
				      "mining goes with share_location: true only; mining_type: NONE goes without");
	if (p->mining_type == MOKA__MINE_HARD_EXAMPLE && p->sample_size < 1)
		return moka_layer_bad(l, f, "bad-setting", "sample_size", "sample_size is %d, and must be 1 or more",
				      p->sample_size);
	if (l->sub && moka_has(l->sub, "do_neg_mining") &&
	    (moka_get_int(l->sub, "do_neg_mining") != 0) != (p->mining_type != MOKA__MINE_NONE))
		return moka_layer_bad(l, f, "bad-setting", "do_neg_mining",
				      "do_neg_mining contradicts mining_type; leave it out");
	if (p->map_object_to_agnostic && p->num_classes != (p->background_label_id < p->num_classes ? 2u : 1u))
		return moka_layer_bad(l, f, "bad-setting", "map_object_to_agnostic",
				      "map_object_to_agnostic leaves background and object, and num_classes is %u",
				      p->num_classes);
	return moka__nms_check(l, f, p->nms_param);
}

static enum moka_status check_size(const struct moka_layer *l, struct moka_findings *f, int i, int64_t want,
				   const char *what)
{
	const struct moka_shape *s = &l->bottom[i].shape, *a = &l->bottom[0].shape;
	const int64_t size = s->n < 1 ? -1 : moka_shape_count_range(s, 1, s->n);
	char text[MOKA_SHAPE_TEXT];

	if (s->n == 0 || (size >= 0 && want >= 0 && size != want))
		return moka_layer_bad_bottom(l, f, "shape-mismatch", i, "'%s' is %s, and %s make %lld values an item",
					     l->bottom[i].name, moka_shape_text(s, text, sizeof(text)), what,
					     (long long)want);
	if (s->n > 0 && a->n > 0 && s->d[0] >= 0 && a->d[0] >= 0 && s->d[0] != a->d[0])
		return moka_layer_bad_bottom(l, f, "shape-mismatch", i, "'%s' has %lld items and '%s' %lld",
					     l->bottom[0].name, (long long)a->d[0], l->bottom[i].name,
					     (long long)s->d[0]);
	return MOKA_OK;
}

static enum moka_status read_geometry(const struct moka_layer *l, struct moka_findings *f, struct moka__multibox *v)
{
	const struct moka__multibox_param *p = l->param;
	const int64_t objects = moka_shape_count(&l->bottom[3].shape);
	char text[MOKA_SHAPE_TEXT], what[96];
	int64_t d[4];

	moka__legacy_dims(&l->bottom[2].shape, d);
	v->num = l->bottom[0].shape.n > 0 ? l->bottom[0].shape.d[0] : -1;
	v->priors = d[2] < 0 ? -1 : d[2] / 4;
	v->classes = p->num_classes;
	v->locs = p->share_location ? 1 : v->classes;
	v->objects = objects < 0 ? -1 : objects / 8;
	if (d[1] >= 0 && d[1] != 2)
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 2, "'%s' is %s: priors are 1 x 2 x (boxes * 4), as PriorBox makes them",
			l->bottom[2].name, moka_shape_text(&l->bottom[2].shape, text, sizeof(text)));
	if (objects >= 0 && objects % 8)
		return moka_layer_bad_bottom(
			l, f, "wrong-axes", 3,
			"'%s' is %s: objects are rows of 8 (image, label, instance, x1, y1, x2, y2, difficult)",
			l->bottom[3].name, moka_shape_text(&l->bottom[3].shape, text, sizeof(text)));
	snprintf(what, sizeof(what), "%lld priors", (long long)v->priors);
	MOKA_TRY(check_size(l, f, 0, moka_layer_product(3, (int64_t[]){ v->priors, v->locs, 4 }), what));
	snprintf(what, sizeof(what), "%lld priors with %lld classes", (long long)v->priors, (long long)v->classes);
	MOKA_TRY(check_size(l, f, 1, moka_layer_product(2, (int64_t[]){ v->priors, v->classes }), what));
	if (moka_layer_product(2, (int64_t[]){ v->priors, v->classes }) > INT32_MAX || v->objects > INT32_MAX)
		return moka_layer_bad(l, f, "too-large", NULL,
				      "%lld priors with %lld classes and %lld objects are too many",
				      (long long)v->priors, (long long)v->classes, (long long)v->objects);
	return MOKA_OK;
}

/* SSD counts a part of the loss only where its bottom takes a gradient, as propagate_down says (absent: both). */
static void read_propagate(const struct moka_layer *l, struct moka__multibox *v)
{
	int64_t down[4] = { 1, 1, 0, 0 };
	const size_t n = moka_get_ints(l->msg, "propagate_down", down, 4);

	v->with_loc = n < 1 || down[0];
	v->with_conf = n < 2 || down[1];
}

static enum moka_status multibox_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka__multibox *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(0);
	v->p = l->param;
	MOKA_TRY(check_settings(l, f));
	MOKA_TRY(read_geometry(l, f, v));
	read_propagate(l, v);
	l->state_bytes =
		moka_layer_bytes(moka_layer_product(3, (int64_t[]){ v->num, v->locs, v->priors }), sizeof(int32_t));
	l->scratch_bytes = moka__multibox_scratch(v);
	return MOKA_OK;
}

/* ---- forward and backward ----------------------------------------------------------------------------------------- */

/* The label that the scores of prior k should have, of those that matched any of its sets of offsets. */
static int64_t label_of(const struct moka__multibox_job *j, int64_t n, int64_t k)
{
	const struct moka__multibox *v = j->v;
	int64_t label = v->p->background_label_id;

	for (int64_t q = 0; q < v->locs; q++) {
		const int32_t m = moka__multibox_at(j, n, q)[k];

		if (m >= 0)
			label = v->p->map_object_to_agnostic ? (int64_t)v->p->background_label_id + 1
							     : (int64_t)j->object[m * 8 + 1];
	}
	return label;
}

/* Scores of prior k count: all of them, or those that mining chose. */
static bool counts(const struct moka__multibox_job *j, int64_t n, int64_t k)
{
	const int32_t m = moka__multibox_at(j, n, 0)[k];

	return j->v->p->mining_type == MOKA__MINE_NONE || m >= 0 || m == MOKA__NEGATIVE;
}

/* LOGISTIC without mining gives an unmatched prior no target at all, as in SSD. */
static bool is_target(const struct moka__multibox_job *j, int64_t n, int64_t k, int64_t label, int64_t class)
{
	bool matched = j->v->p->mining_type != MOKA__MINE_NONE;

	for (int64_t q = 0; q < j->v->locs; q++) {
		const int32_t m = moka__multibox_at(j, n, q)[k];

		matched |= m >= 0;
		if (j->v->locs > 1 && m >= 0 && (int64_t)j->object[m * 8 + 1] == class)
			return true; /* several may match, each of its own class */
	}
	return matched && label == class;
}

static double conf_loss(const struct moka__multibox_job *j, int64_t n, int64_t k)
{
	const int64_t label = label_of(j, n, k), classes = j->v->classes;
	const real *x = j->conf + (n * j->v->priors + k) * classes;
	double sum = 0;

	if (j->v->p->conf_loss_type == MOKA__CONF_SOFTMAX)
		return moka__multibox_softmax_loss(x, classes, label);
	for (int64_t q = 0; q < classes; q++)
		sum += moka__multibox_logistic_loss(x[q], is_target(j, n, k, label, q));
	return sum;
}

static void image_loss(void *arg, int64_t begin, int64_t end)
{
	const struct moka__multibox_job *j = arg;
	const struct moka__multibox *v = j->v;

	for (int64_t n = begin; n < end; n++) {
		double loc = 0, conf = 0;
		int64_t matches = 0;

		moka__multibox_match(j, n);
		for (int64_t q = 0; q < v->locs; q++)
			for (int64_t k = 0; k < v->priors; k++)
				if (moka__multibox_at(j, n, q)[k] >= 0) {
					loc += moka__multibox_loc_loss(j, n, q, k);
					matches++;
				}
		for (int64_t k = 0; k < v->priors; k++)
			if (counts(j, n, k))
				conf += conf_loss(j, n, k);
		j->part[n] = (struct moka__multibox_part){ loc, conf, matches };
	}
}

static real normalizer(const struct moka_layer *l, const struct moka__multibox_job *j)
{
	int64_t matches = 0;

	for (int64_t i = 0; i < j->v->num * j->v->locs * j->v->priors; i++)
		matches += j->match[i] >= 0;
	return moka_loss_normalizer(l, j->v->num, j->v->priors, matches);
}

static struct moka__multibox_job make_job(const struct moka_layer *l, const struct moka_call *c)
{
	struct moka__multibox_job j = { .v = l->priv,
					.loc = c->bottom[0].data,
					.conf = c->bottom[1].data,
					.prior = c->bottom[2].data,
					.object = c->bottom[3].data,
					.match = c->state };

	moka__multibox_lay_out(&j, c->scratch);
	return j;
}

static enum moka_status multibox_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct moka__multibox_job j = make_job(l, c);
	double loc = 0, conf = 0;
	real by;

	MOKA_TRY(moka__priors_check(l, c, 2, j.v->priors, j.v->p->code_type));
	MOKA_TRY(moka__multibox_check_objects(l, c));
	moka_parallel(c->pool, image_loss, &j, j.v->num, 1);
	for (int64_t n = 0; n < j.v->num; n++) {
		loc += j.part[n].loc;
		conf += j.part[n].conf;
	}
	by = normalizer(l, &j);
	c->top[0].data[0] = (real)((j.v->with_loc ? (double)j.v->p->loc_weight * loc / (double)by : 0) +
				   (j.v->with_conf ? conf / (double)by : 0));
	return MOKA_OK;
}

struct gradient_job {
	struct moka__multibox_job j;
	real scale;
	real *dloc, *dconf;
};

static void loc_gradient(void *arg, int64_t begin, int64_t end)
{
	const struct gradient_job *g = arg;
	const struct moka__multibox *v = g->j.v;

	for (int64_t i = begin; i < end; i++)
		for (int64_t q = 0; q < v->locs; q++) {
			real *dx = g->dloc + (i * v->locs + q) * 4;

			moka_set(4, 0, dx);
			if (moka__multibox_at(&g->j, i / v->priors, q)[i % v->priors] >= 0)
				moka__multibox_loc_gradient(&g->j, i / v->priors, q, i % v->priors,
							    g->scale * (real)v->p->loc_weight, dx);
		}
}

static void conf_gradient(void *arg, int64_t begin, int64_t end)
{
	const struct gradient_job *g = arg;
	const struct moka__multibox *v = g->j.v;

	for (int64_t i = begin; i < end; i++) {
		const int64_t n = i / v->priors, k = i % v->priors, label = label_of(&g->j, n, k);
		const real *x = g->j.conf + i * v->classes;
		real *dx = g->dconf + i * v->classes, most = x[0], sum = 0;

		moka_set(v->classes, 0, dx);
		if (!counts(&g->j, n, k))
			continue;
		for (int64_t q = 1; q < v->classes; q++)
			most = MOKA_MAX(most, x[q]);
		for (int64_t q = 0; q < v->classes; q++)
			sum += exp(x[q] - most);
		for (int64_t q = 0; q < v->classes; q++)
			dx[q] = v->p->conf_loss_type == MOKA__CONF_SOFTMAX
					? g->scale * (exp(x[q] - most) / sum - (q == label ? 1 : 0))
					: g->scale *
						  (1 / (1 + exp(-x[q])) - (is_target(&g->j, n, k, label, q) ? 1 : 0));
	}
}

static enum moka_status multibox_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct gradient_job g = { .j = make_job(l, c), .dloc = c->bottom[0].diff, .dconf = c->bottom[1].diff };
	const int64_t n = g.j.v->num * g.j.v->priors;

	g.scale = moka__loss_weight(c) / normalizer(l, &g.j);
	if (g.dloc && g.j.v->with_loc)
		moka_parallel(c->pool, loc_gradient, &g, n, 1024);
	else if (g.dloc)
		moka_set(c->bottom[0].count, 0, g.dloc);
	if (g.dconf && g.j.v->with_conf)
		moka_parallel(c->pool, conf_gradient, &g, n, 256);
	else if (g.dconf)
		moka_set(c->bottom[1].count, 0, g.dconf);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_multibox_loss = {
	.schema = { "MultiBoxLoss", "multibox_loss_param", 201, 0, &multibox_message, NULL, 0, "SSD" },
	.doc = "detection loss: offsets of the boxes that match an object, scores of those and of the worst others",
	.min_bottom = 4, .max_bottom = 4, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.no_gradient = 1 << 2 | 1 << 3,
	.shape = multibox_shape, .forward = multibox_forward, .backward = multibox_backward,
};
/* clang-format on */
