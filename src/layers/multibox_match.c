/*
 * multibox_match.c - which priors MultiBoxLoss counts: matching to objects, then mining.
 *
 * One image at a time, and images don't see each other: they run side by side with the same result. Ties go to the
 * first prior, then to the first object, as in SSD.
 */
#include "multibox.h"

#include <float.h>
#include <tgmath.h>

size_t moka__multibox_scratch(const struct moka__multibox *v)
{
	const int64_t priors = moka_layer_product(2, (int64_t[]){ v->num, v->priors });
	const int64_t objects = moka_layer_product(2, (int64_t[]){ v->num, v->objects });

	return moka_layer_bytes(v->num, sizeof(struct moka__multibox_part)) +
	       moka_layer_bytes(priors, sizeof(struct moka__box)) +
	       moka_layer_bytes(priors, sizeof(struct moka__ranked)) + moka_layer_bytes(priors, sizeof(real)) +
	       moka_layer_bytes(objects, sizeof(struct moka__ranked));
}

void moka__multibox_lay_out(struct moka__multibox_job *j, void *scratch)
{
	const int64_t priors = j->v->num * j->v->priors;

	j->part = scratch;
	j->box = (struct moka__box *)(j->part + j->v->num);
	j->ranked = (struct moka__ranked *)(j->box + priors);
	j->best = j->ranked + priors;
	j->overlap = (real *)(j->best + j->v->num * j->v->objects);
}

enum moka_status moka__multibox_check_objects(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__multibox *v = l->priv;
	const real *o = c->bottom[3].data;
	const char *name = l->bottom[3].name;
	int64_t image, label;

	for (int64_t i = 0; i < v->objects; i++, o += 8) {
		if (!moka__whole(o[0], -1, v->num - 1, &image))
			return moka_call_bad(l, c, MOKA_ERR_DATA,
					     "object %lld of '%s' is of image %g, and the batch has %lld", (long long)i,
					     name, (double)o[0], (long long)v->num);
		if (image < 0)
			continue;
		if (!moka__whole(o[1], 0, v->p->map_object_to_agnostic ? INT32_MAX : v->classes - 1, &label))
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"object %lld of '%s' (image %lld) has the label %g, and labels are 0 to %lld",
				(long long)i, name, (long long)image, (double)o[1], (long long)v->classes - 1);
		if (o[1] == (real)v->p->background_label_id)
			return moka_call_bad(
				l, c, MOKA_ERR_DATA,
				"object %lld of '%s' (image %lld) has the label %g, which is the background's",
				(long long)i, name, (long long)image, (double)o[1]);
	}
	return MOKA_OK;
}

/* ---- matching --------------------------------------------------------------------------------------------------- */

static struct moka__box box_at(const real *p)
{
	return (struct moka__box){ p[0], p[1], p[2], p[3] };
}

/* Object i takes part in the matching of set q of image n. */
static bool present(const struct moka__multibox_job *j, int64_t i, int64_t n, int64_t label)
{
	const real *o = j->object + i * 8;

	if ((int64_t)o[0] != n || o[0] <= -1 || (label >= 0 && (int64_t)o[1] != label))
		return false;
	return j->v->p->use_difficult_gt || o[7] == 0;
}

static real overlap_of(const struct moka__multibox_job *j, const struct moka__box *box, int64_t k, int64_t i)
{
	const real v = moka__box_overlap(box[k], box_at(j->object + i * 8 + 3), MOKA__BOX_NORMALISED);

	return v > (real)1e-6 ? v : 0; /* less is nothing */
}

/* The free prior that overlaps object i most: score 0 where none does. */
static struct moka__ranked best_prior(const struct moka__multibox_job *j, const struct moka__box *box,
				      const int32_t *match, int64_t i)
{
	struct moka__ranked best = { 0, -1 };

	for (int64_t k = 0; k < j->v->priors; k++)
		if (match[k] == MOKA__UNMATCHED && overlap_of(j, box, k, i) > best.score)
			best = (struct moka__ranked){ overlap_of(j, box, k, i), (int32_t)k };
	return best;
}

/*
 * Again and again the pair that overlaps most, each prior and each object once. An object's best prior is remembered, and looked for
 * anew only when another object took it.
 */
static void match_pairs(const struct moka__multibox_job *j, const struct moka__box *box, struct moka__ranked *best,
			int32_t *match, int64_t n, int64_t label)
{
	for (int64_t i = 0; i < j->v->objects; i++)
		best[i] = present(j, i, n, label) ? best_prior(j, box, match, i) : (struct moka__ranked){ 0, -1 };
	for (;;) {
		int64_t take = -1;
		int32_t prior;

		for (int64_t i = 0; i < j->v->objects; i++)
			if (best[i].index >= 0 &&
			    (take < 0 || best[i].score > best[take].score ||
			     (best[i].score == best[take].score && best[i].index < best[take].index)))
				take = i;
		if (take < 0)
			return;
		prior = best[take].index;
		match[prior] = (int32_t)take;
		best[take].index = -1;
		for (int64_t i = 0; i < j->v->objects; i++)
			if (best[i].index == prior)
				best[i] = best_prior(j, box, match, i);
	}
}

static bool crosses_border(struct moka__box b)
{
	return b.x1 < 0 || b.x1 > 1 || b.y1 < 0 || b.y1 > 1 || b.x2 < 0 || b.x2 > 1 || b.y2 < 0 || b.y2 > 1;
}

/* Matches the boxes to the objects of one label (-1: all). overlap: the largest of each box. */
static void match_boxes(const struct moka__multibox_job *j, const struct moka__box *box, int64_t n, int64_t label,
			int32_t *match, real *overlap)
{
	const struct moka__multibox *v = j->v;

	for (int64_t k = 0; k < v->priors; k++) {
		match[k] = v->p->ignore_cross_boundary_bbox && crosses_border(box[k]) ? MOKA__IGNORED : MOKA__UNMATCHED;
		overlap[k] = 0;
	}
	match_pairs(j, box, j->best + n * v->objects, match, n, label);
	for (int64_t i = 0; i < v->objects; i++)
		for (int64_t k = 0; k < v->priors && present(j, i, n, label); k++)
			if (match[k] != MOKA__IGNORED)
				overlap[k] = MOKA_MAX(overlap[k], overlap_of(j, box, k, i));
	for (int64_t k = 0; k < v->priors && v->p->match_type == MOKA__MATCH_PER_PREDICTION; k++) {
		if (match[k] != MOKA__UNMATCHED || !(overlap[k] >= (real)v->p->overlap_threshold) || overlap[k] == 0)
			continue;
		for (int64_t i = 0; i < v->objects && match[k] < 0; i++)
			if (present(j, i, n, label) && overlap_of(j, box, k, i) == overlap[k])
				match[k] = (int32_t)i;
	}
}

static const real *variance_of(const struct moka__multibox_job *j, int64_t k)
{
	return j->v->p->encode_variance_in_target ? NULL : j->prior + (j->v->priors + k) * 4;
}

static struct moka__box predicted(const struct moka__multibox_job *j, int64_t n, int64_t q, int64_t k)
{
	const struct moka__multibox *v = j->v;

	return moka__box_decode(v->p->code_type, j->prior + k * 4, variance_of(j, k),
				j->loc + ((n * v->priors + k) * v->locs + q) * 4);
}

static void fill_boxes(const struct moka__multibox_job *j, int64_t n, int64_t q, bool priors, struct moka__box *box)
{
	for (int64_t k = 0; k < j->v->priors; k++)
		box[k] = priors ? box_at(j->prior + k * 4) : predicted(j, n, q, k);
}

/* Priors matched once to all objects: of each class's offsets only those to objects of that class stay. */
static void share_out(const struct moka__multibox_job *j, int64_t n)
{
	const struct moka__multibox *v = j->v;
	int32_t *first = moka__multibox_at(j, n, 0);

	for (int64_t k = 0; k < v->priors; k++) {
		const int32_t m = first[k];

		for (int64_t q = 0; q < v->locs; q++)
			moka__multibox_at(j, n, q)[k] =
				m >= 0 && (int64_t)j->object[m * 8 + 1] == q ? m : MOKA__UNMATCHED;
	}
}

/* ---- mining ------------------------------------------------------------------------------------------------------------- */

double moka__multibox_softmax_loss(const real *x, int64_t classes, int64_t label)
{
	real most = x[0];
	double sum = 0;

	for (int64_t q = 1; q < classes; q++)
		most = MOKA_MAX(most, x[q]);
	for (int64_t q = 0; q < classes; q++)
		sum += (double)exp(x[q] - most);
	return -log(MOKA_MAX((double)exp(x[label] - most) / sum, (double)FLT_MIN));
}

double moka__multibox_logistic_loss(real x, bool target)
{
	const double v = (double)x;

	return log1p(exp(-fabs(v))) + (v > 0 ? v : 0) - (target ? v : 0);
}

/* How wrong the scores of a prior are, by which mining ranks. */
static double hardness(const struct moka__multibox_job *j, int64_t n, int64_t k, int32_t match)
{
	const struct moka__multibox *v = j->v;
	const real *x = j->conf + (n * v->priors + k) * v->classes;
	int64_t label = v->p->background_label_id;
	double sum = 0;

	if (match >= 0)
		label = v->p->map_object_to_agnostic ? label + 1 : (int64_t)j->object[match * 8 + 1];
	if (v->p->conf_loss_type == MOKA__CONF_SOFTMAX)
		sum = moka__multibox_softmax_loss(x, v->classes, label);
	for (int64_t q = 0; q < v->classes && v->p->conf_loss_type == MOKA__CONF_LOGISTIC; q++)
		sum += moka__multibox_logistic_loss(x[q], q == label);
	if (match >= 0 && v->p->mining_type == MOKA__MINE_HARD_EXAMPLE)
		sum += moka__multibox_loc_loss(j, n, 0, k);
	return sum == sum ? sum : -(double)FLT_MAX; /* what is no number must not spoil the order */
}

/* The candidates, hardest first. */
static int64_t rank_candidates(const struct moka__multibox_job *j, int64_t n, const int32_t *match, const real *overlap,
			       struct moka__ranked *r)
{
	const bool all = j->v->p->mining_type == MOKA__MINE_HARD_EXAMPLE;
	int64_t m = 0;

	for (int64_t k = 0; k < j->v->priors; k++)
		if (all || (match[k] == MOKA__UNMATCHED && overlap[k] < (real)j->v->p->neg_overlap))
			r[m++] = (struct moka__ranked){ (real)hardness(j, n, k, match[k]), (int32_t)k };
	moka__rank_sort(r, m);
	return m;
}

/* Drops what overlaps a harder one, and boxes of next to no size. */
static int64_t thin_out(const struct moka__multibox_job *j, int64_t n, struct moka__box *box, struct moka__ranked *r,
			int64_t m)
{
	const struct moka__nms_param *nms = j->v->p->nms_param;
	int64_t sized = 0;

	if (!nms || !(nms->nms_threshold > 0))
		return m;
	fill_boxes(j, n, 0, j->v->p->use_prior_for_nms, box);
	m = nms->top_k < 0 ? m : MOKA_MIN(m, nms->top_k);
	for (int64_t i = 0; i < m; i++)
		if (moka__box_size(box[r[i].index], MOKA__BOX_NORMALISED) >= (real)1e-5)
			r[sized++] = r[i];
	return moka__nms(box, r, sized, (real)nms->nms_threshold, 1, -1, MOKA__BOX_NORMALISED);
}

static void mine(const struct moka__multibox_job *j, int64_t n, int32_t *match, const real *overlap)
{
	const struct moka__multibox *v = j->v;
	struct moka__ranked *r = j->ranked + n * v->priors;
	int64_t m = rank_candidates(j, n, match, overlap, r), positive = 0, most;

	for (int64_t k = 0; k < v->priors; k++)
		positive += match[k] >= 0;
	most = v->p->mining_type == MOKA__MINE_HARD_EXAMPLE
		       ? v->p->sample_size
		       : (int64_t)MOKA_MIN((double)positive * (double)v->p->neg_pos_ratio, 1e9);
	m = MOKA_MIN(thin_out(j, n, j->box + n * v->priors, r, m), most);
	moka__rank_sort_index(r, MOKA_MAX(m, 0));
	for (int64_t k = 0, at = 0; k < v->priors; k++) {
		const bool chosen = at < m && r[at].index == k;

		at += chosen;
		if (match[k] == MOKA__UNMATCHED && chosen)
			match[k] = MOKA__NEGATIVE;
		else if (match[k] >= 0 && !chosen && v->p->mining_type == MOKA__MINE_HARD_EXAMPLE)
			match[k] = MOKA__UNMATCHED;
	}
}

static bool has_objects(const struct moka__multibox_job *j, int64_t n)
{
	for (int64_t i = 0; i < j->v->objects; i++)
		if (present(j, i, n, -1))
			return true;
	return false;
}

void moka__multibox_match(const struct moka__multibox_job *j, int64_t n)
{
	const struct moka__multibox *v = j->v;
	struct moka__box *box = j->box + n * v->priors;
	real *overlap = j->overlap + n * v->priors;
	const bool once = v->p->use_prior_for_matching || v->locs == 1;

	for (int64_t q = 0; q < (once ? 1 : v->locs); q++) {
		fill_boxes(j, n, q, v->p->use_prior_for_matching, box);
		match_boxes(j, box, n, once ? -1 : q, moka__multibox_at(j, n, q), overlap);
	}
	if (once && v->locs > 1)
		share_out(j, n);
	if (v->p->mining_type != MOKA__MINE_NONE &&
	    has_objects(j, n)) /* SSD: an image without objects adds nothing then */
		mine(j, n, moka__multibox_at(j, n, 0), overlap);
}

/* ---- offsets -------------------------------------------------------------------------------------------------------------- */

/* Distances of the four offsets of a matched prior from its object's; 0 where they don't count. */
static void distances(const struct moka__multibox_job *j, int64_t n, int64_t q, int64_t k, real d[4])
{
	const struct moka__multibox *v = j->v;
	const real *object = j->object + (int64_t)moka__multibox_at(j, n, q)[k] * 8 + 3,
		   *variance = j->prior + (v->priors + k) * 4;
	const real *loc = j->loc + ((n * v->priors + k) * v->locs + q) * 4;
	const struct moka__box b = v->p->use_prior_for_matching ? box_at(j->prior + k * 4) : predicted(j, n, q, k);
	const real corner[4] = { b.x1, b.y1, b.x2, b.y2 };

	moka__box_encode(v->p->code_type, j->prior + k * 4, variance_of(j, k), box_at(object), d);
	for (int i = 0; i < 4; i++) {
		d[i] = loc[i] - d[i];
		if (v->p->encode_variance_in_target)
			d[i] /= variance[i];
		if (v->p->bp_inside && (corner[i] < 0 || corner[i] > 1))
			d[i] = 0;
	}
}

double moka__multibox_loc_loss(const struct moka__multibox_job *j, int64_t n, int64_t q, int64_t k)
{
	const bool l2 = j->v->p->loc_loss_type == MOKA__LOC_L2;
	double sum = 0;
	real d[4];

	distances(j, n, q, k, d);
	for (int i = 0; i < 4; i++) {
		const double a = fabs((double)d[i]);
		sum += l2 || a < 1 ? a * a / 2 : a - 0.5;
	}
	return sum;
}

void moka__multibox_loc_gradient(const struct moka__multibox_job *j, int64_t n, int64_t q, int64_t k, real scale,
				 real *dx)
{
	const bool l2 = j->v->p->loc_loss_type == MOKA__LOC_L2;
	const real *variance = j->prior + (j->v->priors + k) * 4;
	real d[4];

	distances(j, n, q, k, d);
	for (int i = 0; i < 4; i++) {
		dx[i] = scale * (l2 || fabs(d[i]) < 1 ? d[i] : d[i] > 0 ? 1 : -1);
		if (j->v->p->encode_variance_in_target)
			dx[i] /= variance[i];
	}
}
