/*
 * The SSD layers against plain loops that follow the published definition step by step (every pair's overlap in a
 * matrix, every box compared with every other): PriorBox, DetectionOutput, MultiBoxLoss over many settings; DetectionEvaluate by
 * hand; one thread against three.
 */
#include "layer_test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct box {
	double x1, y1, x2, y2;
};

static double area(struct box b)
{
	return b.x2 < b.x1 || b.y2 < b.y1 ? 0 : (b.x2 - b.x1) * (b.y2 - b.y1);
}

static double iou(struct box a, struct box b)
{
	const double w = fmin(a.x2, b.x2) - fmax(a.x1, b.x1), h = fmin(a.y2, b.y2) - fmax(a.y1, b.y1);

	return w <= 0 || h <= 0 ? 0 : w * h / (area(a) + area(b) - w * h);
}

static struct box box_at(const real *p)
{
	return (struct box){ (double)p[0], (double)p[1], (double)p[2], (double)p[3] };
}

/* ---- PriorBox -------------------------------------------------------------------------------------------------- */

struct prior_case {
	const char *settings;
	double min[2], max[2], ratio[8]; /* 0 ends */
	double img_w, img_h, step_w, step_h, offset;
	bool clip, twice;
};

static void check_priors(const struct prior_case *p, int threads)
{
	const int H = 3, W = 5;
	char text[512];
	struct layer_test *x;
	int64_t at = 0;

	snprintf(text, sizeof(text),
		 "layer { type: 'PriorBox' bottom: 'f' bottom: 'd' top: 'y' prior_box_param { %s } }", p->settings);
	x = lt_open_threads(text, MOKA_TEST, "2x8x3x5 2x3x70x90", threads);
	lt_forward(x);
	for (int i = 0; i < H * W; i++)
		for (int s = 0; s < 2 && p->min[s] > 0; s++) {
			const double cx = (i % W + p->offset) * p->step_w, cy = (i / W + p->offset) * p->step_h;
			double w[10], h[10];
			int n = 0;

			w[n] = h[n] = floor(p->min[s]);
			n++;
			if (p->max[s] > 0) {
				w[n] = h[n] = sqrt(floor(p->min[s]) * floor(p->max[s]));
				n++;
			}
			for (int r = 0; p->ratio[r] > 0; r++, n++) {
				w[n] = floor(p->min[s]) * sqrt(p->ratio[r]);
				h[n] = floor(p->min[s]) / sqrt(p->ratio[r]);
			}
			for (int k = 0; k < n * (p->twice ? 2 : 1); k++)
				for (int q = 0; q < 4; q++, at++) {
					const int o = p->twice ? k / 2 : k;
					const double down = p->twice && k % 2 ? p->step_h / 2 : 0;
					double v = q % 2 ? (cy + down + (q < 2 ? -1 : 1) * h[o] / 2) / p->img_h
							 : (cx + (q < 2 ? -1 : 1) * w[o] / 2) / p->img_w;
					real want = (real)(p->clip ? fmin(fmax(v, 0), 1) : v);
					T_NEAR(&x->top[0].data[at], &want, 1, 1e-5, 1e-6);
				}
		}
	T_INT(at * 2, x->top[0].count);
	lt_free(x);
}

T_TEST(priors_against_loops)
{
	static const struct prior_case cases[] = {
		{ "min_size: 30", { 30 }, { 0 }, { 0 }, 90, 70, 18, 70.0 / 3, 0.5, false },
		{ "min_size: 30 max_size: 60 aspect_ratio: 2 clip: true",
		  { 30 },
		  { 60 },
		  { 2, 0.5 },
		  90,
		  70,
		  18,
		  70.0 / 3,
		  0.5,
		  true },
		{ "min_size: 20.48 min_size: 40 aspect_ratio: 2 aspect_ratio: 0.5 aspect_ratio: 1 aspect_ratio: 3 flip: false step: 16 offset: 0.25",
		  { 20.48, 40 },
		  { 0 },
		  { 2, 0.5, 3 },
		  90,
		  70,
		  16,
		  16,
		  0.25,
		  false },
		{ "min_size: 10 min_size: 20 max_size: 15.5 max_size: 40 aspect_ratio: 2 aspect_ratio: 3 img_size: 100 step_h: 8 step_w: 4",
		  { 10, 20 },
		  { 15.5, 40 },
		  { 2, 0.5, 3, 1 / 3.0 },
		  100,
		  100,
		  4,
		  8,
		  0.5,
		  false },
		{ "min_size: 7 img_h: 50 img_w: 60", { 7 }, { 0 }, { 0 }, 60, 50, 12, 50.0 / 3, 0.5, false },
		{ "min_size: 30 max_size: 60 aspect_ratio: 2 flip: false additional_y_offset: true",
		  { 30 },
		  { 60 },
		  { 2 },
		  90,
		  70,
		  18,
		  70.0 / 3,
		  0.5,
		  false,
		  true },
	};

	for (size_t i = 0; i < MOKA_COUNT(cases); i++)
		for (int threads = 1; threads < 4; threads += 2)
			check_priors(&cases[i], threads);
}

#define PRIOR(rest) "layer { type: 'PriorBox' bottom: 'f' bottom: 'd' top: 'y' prior_box_param { " rest " } }"

T_TEST(priors_refused)
{
	LT_REFUSED(PRIOR("min_size: 0"), "1x1x2x2 1x3x9x9", "min_size is 0");
	LT_REFUSED(PRIOR("min_size: 9 variance: 1 variance: 2"), "1x1x2x2 1x3x9x9", "2 variances");
	LT_REFUSED(PRIOR("min_size: 9 min_size: 8 max_size: 10"), "1x1x2x2 1x3x9x9", "2 min_size and 1 max_size");
	LT_REFUSED(PRIOR("min_size: 9 step: 3 step_h: 3"), "1x1x2x2 1x3x9x9", "step is given besides");
	LT_REFUSED(PRIOR("min_size: 9 step: -1"), "1x1x2x2 1x3x9x9", "must be above 0");
	LT_REFUSED(PRIOR("min_size: 9 aspect_ratio: 0"), "1x1x2x2 1x3x9x9", "aspect_ratio is 0");
	LT_REFUSED(PRIOR("min_size: 9"), "1x1x0x2 1x3x9x9", "no cell");
	struct layer_test *x = lt_shape(PRIOR("min_size: 9 aspect_ratio: 2"), MOKA_TEST, "?x3x?x4 ?");
	LT_SHAPE(x, 0, "1x2x?");
	lt_free(x);
}

/* ---- DetectionOutput --------------------------------------------------------------------------------------------- */

enum { CORNER = 1, CENTER_SIZE, CORNER_SIZE };

static struct box decode(int code, const real *prior, const real *variance, const real *loc)
{
	const double px = (double)(prior[2] - prior[0]), py = (double)(prior[3] - prior[1]);
	double d[4];

	for (int k = 0; k < 4; k++)
		d[k] = (double)(loc[k] * (variance ? variance[k] : 1));
	if (code == CORNER)
		return (struct box){ (double)prior[0] + d[0], (double)prior[1] + d[1], (double)prior[2] + d[2],
				     (double)prior[3] + d[3] };
	if (code == CORNER_SIZE)
		return (struct box){ (double)prior[0] + d[0] * px, (double)prior[1] + d[1] * py,
				     (double)prior[2] + d[2] * px, (double)prior[3] + d[3] * py };
	const double cx = (double)(prior[0] + prior[2]) / 2 + d[0] * px,
		     cy = (double)(prior[1] + prior[3]) / 2 + d[1] * py;
	const double w = exp(d[2]) * px / 2, h = exp(d[3]) * py / 2;
	return (struct box){ cx - w, cy - h, cx + w, cy + h };
}

#define PRIORS 40

/* Priors all over the picture, with a size. */
static void make_priors(real *p, int n, uint64_t seed)
{
	struct moka_rng rng;

	moka_rng_seed(&rng, seed, 3);
	for (int i = 0; i < n; i++) {
		p[i * 4] = (real)(0.7 * moka_rng_uniform(&rng));
		p[i * 4 + 1] = (real)(0.7 * moka_rng_uniform(&rng));
		p[i * 4 + 2] = p[i * 4] + (real)(0.1 + 0.3 * moka_rng_uniform(&rng));
		p[i * 4 + 3] = p[i * 4 + 1] + (real)(0.1 + 0.3 * moka_rng_uniform(&rng));
		for (int k = 0; k < 4; k++)
			p[(n + i) * 4 + k] = (real)(0.05 + 0.1 * k);
	}
}

struct detection_case {
	const char *settings;
	int code, num, classes, background, top_k, keep;
	bool share, encoded;
	double threshold, nms, eta;
};

struct row {
	double score;
	int label, place, prior;
};

static int better(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->label != y->label ? x->label - y->label : x->prior - y->prior;
}

static int in_order(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->label != y->label ? x->label - y->label : x->place - y->place;
}

/* Rows of image n. */
static int plain_detection(const struct layer_test *x, const struct detection_case *t, int n, struct row *out)
{
	const real *prior = x->bottom_values[2];
	const int locs = t->share ? 1 : t->classes;
	int rows = 0;

	for (int c = 0; c < t->classes; c++) {
		struct row r[PRIORS];
		struct box kept[PRIORS];
		double threshold = t->nms;
		int m = 0, k = 0;

		for (int i = 0; i < PRIORS && c != t->background; i++) {
			const double score = (double)x->bottom_values[1][(n * PRIORS + i) * t->classes + c];
			if (score > t->threshold)
				r[m++] = (struct row){ score, c, 0, i };
		}
		qsort(r, (size_t)m, sizeof(r[0]), better);
		m = t->top_k >= 0 && m > t->top_k ? t->top_k : m;
		for (int i = 0; i < m; i++) {
			const int q = t->share ? 0 : c;
			const struct box b = decode(t->code, prior + r[i].prior * 4,
						    t->encoded ? NULL : prior + (PRIORS + r[i].prior) * 4,
						    x->bottom_values[0] + ((n * PRIORS + r[i].prior) * locs + q) * 4);
			bool keep = true;

			for (int o = 0; o < k; o++)
				keep &= iou(b, kept[o]) <= threshold;
			if (!keep)
				continue;
			kept[k] = b;
			r[i].place = k++;
			out[rows++] = r[i];
			if (t->eta < 1 && threshold > 0.5)
				threshold *= t->eta;
		}
	}
	if (t->keep >= 0 && rows > t->keep) {
		qsort(out, (size_t)rows, sizeof(out[0]), better);
		rows = t->keep;
		qsort(out, (size_t)rows, sizeof(out[0]), in_order);
	}
	return rows;
}

static void check_detection(const struct detection_case *t, int threads)
{
	static struct row rows[PRIORS * 8];
	char text[512], bottoms[128];
	const int locs = t->share ? 1 : t->classes;
	real prior[PRIORS * 8];
	struct layer_test *x;
	int64_t at = 0;

	snprintf(
		text, sizeof(text),
		"layer { type: 'DetectionOutput' bottom: 'l' bottom: 'c' bottom: 'p' top: 'y' detection_output_param { num_classes: %d %s } }",
		t->classes, t->settings);
	snprintf(bottoms, sizeof(bottoms), "%dx%d %dx%d:u 1x2x%d", t->num, PRIORS * 4 * locs, t->num,
		 PRIORS * t->classes, PRIORS * 4);
	x = lt_open_threads(text, MOKA_TEST, bottoms, threads);
	make_priors(prior, PRIORS, 17);
	lt_set(x, 2, prior);
	for (int64_t i = 0; i < x->bottom[0].count; i++)
		x->bottom_values[0][i] *= (real)0.5;
	lt_forward(x);
	for (int n = 0; n < t->num; n++) {
		const int m = plain_detection(x, t, n, rows);

		for (int i = 0; i < m; i++, at += 7) {
			const struct row *r = &rows[i];
			const struct box b = decode(
				t->code, prior + r->prior * 4, t->encoded ? NULL : prior + (PRIORS + r->prior) * 4,
				x->bottom_values[0] + ((n * PRIORS + r->prior) * locs + (t->share ? 0 : r->label)) * 4);
			const real want[7] = { (real)n,	   (real)r->label, (real)r->score, (real)b.x1,
					       (real)b.y1, (real)b.x2,	   (real)b.y2 };

			T_TRUE(at < x->top[0].count);
			T_NEAR(x->top[0].data + at, want, 7, 1e-4, 1e-5);
		}
	}
	T_TRUE(at > 0);
	for (; at < x->top[0].count; at++)
		T_TRUE(x->top[0].data[at] == 0);
	lt_free(x);
}

T_TEST(detection_against_loops)
{
	static const struct detection_case cases[] = {
		{ "", CORNER, 1, 3, 0, -1, -1, true, false, -FLT_MAX, 0.3, 1 },
		{ "code_type: CENTER_SIZE nms_param { nms_threshold: 0.45 top_k: 20 } keep_top_k: 10 confidence_threshold: 0.3",
		  CENTER_SIZE, 3, 4, 0, 20, 10, true, false, (double)0.3f, 0.45, 1 },
		{ "code_type: CORNER_SIZE share_location: false background_label_id: -1 nms_param { nms_threshold: 0.7 eta: 0.9 }",
		  CORNER_SIZE, 2, 3, -1, -1, -1, false, false, -FLT_MAX, (double)0.7f, (double)0.9f },
		{ "code_type: CENTER_SIZE variance_encoded_in_target: true share_location: false background_label_id: 2 keep_top_k: 7",
		  CENTER_SIZE, 2, 4, 2, -1, 7, false, true, -FLT_MAX, 0.3, 1 },
		{ "code_type: CENTER_SIZE keep_top_k: 100000 nms_param { top_k: 1 }", CENTER_SIZE, 2, 5, 0, 1, 100000,
		  true, false, -FLT_MAX, 0.3, 1 },
	};

	for (size_t i = 0; i < MOKA_COUNT(cases); i++)
		for (int threads = 1; threads < 4; threads += 2)
			check_detection(&cases[i], threads);
}

#define DETECT(rest)                                                                                                            \
	"layer { name: 'd' type: 'DetectionOutput' bottom: 'l' bottom: 'c' bottom: 'p' top: 'y' detection_output_param { " rest \
	" } }"

T_TEST(detection_at_the_edges)
{
	struct layer_test *x = lt_open(DETECT("num_classes: 2"), MOKA_TEST, "0x8 0x4 1x2x8:u");
	LT_SHAPE(x, 0, "1x1x0x7");
	lt_forward(x);
	lt_free(x);

	x = lt_open(DETECT("num_classes: 2"), MOKA_TEST, "2x0 2x0 1x2x0"); /* no priors: nothing is found */
	LT_SHAPE(x, 0, "1x1x2x7");
	lt_forward(x);
	T_INT(x->top[0].data[7], 1);
	T_INT(x->top[0].data[8], -1);
	lt_free(x);

	x = lt_shape(DETECT("num_classes: 2 keep_top_k: 5"), MOKA_TEST, "?x80 ?x40 1x2x80");
	LT_SHAPE(x, 0, "1x1x?x7");
	lt_free(x);

	x = lt_open(DETECT("num_classes: 2 code_type: CENTER_SIZE"), MOKA_TEST, "1x8 1x4 1x2x8:z");
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "layer 'd' (DetectionOutput): prior 0 of 'p'");
	lt_free(x);

	/* a score that is no number is no detection */
	x = lt_open(DETECT("num_classes: 2"), MOKA_TEST, "1x4 1x2 1x2x4");
	x->bottom_values[1][0] = x->bottom_values[1][1] = (real)NAN;
	lt_forward(x);
	T_INT(x->top[0].data[1], -1);
	lt_free(x);

	LT_REFUSED(DETECT("num_classes: 2"), "1x12 1x4 1x2x8", "'l' is 1x12, and 2 priors make 8 values an item");
	LT_REFUSED(DETECT("num_classes: 3"), "1x8 1x4 1x2x8", "2 priors with 3 classes make 6");
	LT_REFUSED(DETECT("num_classes: 2"), "1x8 2x4 1x2x8", "'l' has 1 items and 'c' 2");
	LT_REFUSED(DETECT("num_classes: 2 nms_param { eta: 0 }"), "1x8 1x4 1x2x8", "eta is 0");
}

/* ---- MultiBoxLoss ---------------------------------------------------------------------------------------------------- */

struct loss_case {
	const char *settings;
	int code;
	bool share, encoded, bipartite, logistic, l2, difficult, cross, none, predicted, inside;
	double overlap, ratio, neg_overlap, weight;
};

#define N 3
#define P 24
#define C 4
#define G 7

/* image, label, instance, x1, y1, x2, y2, difficult: image 1 has none, one row is empty */
static const real gt[G * 8] = {
	0,   1,	  0,   0.1,  0.1, 0.4, 0.45, 0,	  0,	3,   0,	  0.5, 0.5, 0.9, 0.9, 0,    0,	 1, 1,
	0.3, 0.6, 0.6, 0.95, 1,	  2,   2,    0,	  0.05, 0.5, 0.3, 0.8, 0,   -1,	 0,   0,    0,	 0, 0,
	0,   0,	  2,   3,    0,	  0.4, 0.2,  0.8, 0.6,	0,   2,	  1,   0,   0.2, 0.2, 0.55, 0.5, 0,
};

static bool counts(const struct loss_case *t, int g, int n)
{
	return (int)gt[g * 8] == n && gt[g * 8] >= 0 && (t->difficult || gt[g * 8 + 7] == 0);
}

/* Matches of boxes to objects as SSD finds them: the largest of a matrix again and again. */
static void plain_match(const struct loss_case *t, const struct box *b, int n, int label, int *match, double *most)
{
	double m[P][G];
	bool used[G] = { false };

	for (int i = 0; i < P; i++) {
		const bool out = t->cross && (b[i].x1 < 0 || b[i].y1 < 0 || b[i].x2 > 1 || b[i].y2 > 1 || b[i].x1 > 1 ||
					      b[i].y1 > 1 || b[i].x2 < 0 || b[i].y2 < 0);
		match[i] = out ? -2 : -1;
		most[i] = 0;
		for (int g = 0; g < G; g++) {
			m[i][g] = !out && counts(t, g, n) && (label < 0 || (int)gt[g * 8 + 1] == label)
					  ? iou(b[i], box_at(gt + g * 8 + 3))
					  : 0;
			m[i][g] = m[i][g] > 1e-6 ? m[i][g] : 0;
			most[i] = fmax(most[i], m[i][g]);
		}
	}
	for (;;) {
		int bi = -1, bg = -1;

		for (int i = 0; i < P; i++)
			for (int g = 0; g < G; g++)
				if (match[i] == -1 && !used[g] && m[i][g] > 0 && (bi < 0 || m[i][g] > m[bi][bg])) {
					bi = i;
					bg = g;
				}
		if (bi < 0)
			break;
		match[bi] = bg;
		used[bg] = true;
	}
	for (int i = 0; i < P && !t->bipartite; i++)
		for (int g = 0, was = match[i]; g < G; g++)
			if (was == -1 && m[i][g] >= t->overlap && (match[i] < 0 || m[i][g] > m[i][match[i]]))
				match[i] = g;
}

static void encode(int code, const real *prior, const real *variance, const real *b, double *out)
{
	const double s[2] = { (double)(prior[2] - prior[0]), (double)(prior[3] - prior[1]) };

	for (int k = 0; k < 4; k++) {
		const double v = variance ? (double)variance[k] : 1;

		if (code != CENTER_SIZE)
			out[k] = (double)(b[k] - prior[k]) / (code == CORNER ? 1 : s[k % 2]) / v;
		else if (k < 2)
			out[k] = ((double)(b[k] + b[k + 2]) / 2 - (double)(prior[k] + prior[k + 2]) / 2) / s[k] / v;
		else
			out[k] = log((double)(b[k] - b[k - 2]) / s[k - 2]) / v;
	}
}

static double softmax_loss(const real *x, int label)
{
	double sum = 0;

	for (int c = 0; c < C; c++)
		sum += exp((double)x[c]);
	return log(sum) - (double)x[label];
}

static double logistic_loss(const real *x, const bool *target)
{
	double sum = 0;

	for (int c = 0; c < C; c++)
		sum -= log(target[c] ? 1 / (1 + exp(-(double)x[c])) : 1 - 1 / (1 + exp(-(double)x[c])));
	return sum;
}

static double plain_loss(const struct layer_test *x, const struct loss_case *t)
{
	const real *loc = x->bottom_values[0], *conf = x->bottom_values[1], *prior = x->bottom_values[2];
	const int L = t->share ? 1 : C;
	double loc_sum = 0, conf_sum = 0;
	int matches = 0;

	for (int n = 0; n < N; n++) {
		int match[C][P], positive = 0, wanted;
		double most[P], hard[P];
		bool any = false, chosen[P] = { false };

		for (int q = 0; q < L; q++) {
			struct box b[P];

			for (int i = 0; i < P; i++)
				b[i] = t->predicted
					       ? decode(t->code, prior + i * 4, t->encoded ? NULL : prior + (P + i) * 4,
							loc + ((n * P + i) * L + q) * 4)
					       : box_at(prior + i * 4);
			plain_match(t, b, n, t->predicted && !t->share ? q : -1, match[q], most);
			for (int i = 0; i < P && !t->share && !t->predicted; i++)
				if (match[q][i] >= 0 && (int)gt[match[q][i] * 8 + 1] != q)
					match[q][i] = -1;
		}
		for (int g = 0; g < G; g++)
			any |= counts(t, g, n);
		for (int i = 0; i < P; i++)
			for (int q = 0; q < L; q++) {
				double e[4];

				if (match[q][i] < 0)
					continue;
				positive++;
				chosen[i] = true;
				encode(t->code, prior + i * 4, t->encoded ? NULL : prior + (P + i) * 4,
				       gt + match[q][i] * 8 + 3, e);
				for (int k = 0; k < 4; k++) {
					double d = (double)loc[((n * P + i) * L + q) * 4 + k] - e[k];

					d = t->encoded ? d / (double)prior[(P + i) * 4 + k] : d;
					if (t->inside && (prior[i * 4 + k] < 0 || prior[i * 4 + k] > 1))
						d = 0;
					loc_sum += t->l2 || fabs(d) < 1 ? d * d / 2 : fabs(d) - 0.5;
				}
			}
		matches += positive;
		for (int i = 0; i < P; i++) {
			const bool background[C] = { true };
			hard[i] = t->logistic ? logistic_loss(conf + (n * P + i) * C, background)
					      : softmax_loss(conf + (n * P + i) * C, 0);
		}
		wanted = t->none || !any ? 0 : (int)(positive * t->ratio);
		for (; wanted > 0; wanted--) {
			int worst = -1;

			for (int i = 0; i < P; i++)
				if (!chosen[i] && match[0][i] == -1 && most[i] < t->neg_overlap &&
				    (worst < 0 || hard[i] > hard[worst]))
					worst = i;
			if (worst >= 0)
				chosen[worst] = true;
		}
		for (int i = 0; i < P; i++) {
			bool target[C] = { false };
			int label = 0;

			for (int q = 0; q < L; q++)
				if (match[q][i] >= 0) {
					label = (int)gt[match[q][i] * 8 + 1];
					target[label] = true;
				}
			target[0] = !label && !t->none;
			if (t->none || chosen[i])
				conf_sum += t->logistic ? logistic_loss(conf + (n * P + i) * C, target)
							: softmax_loss(conf + (n * P + i) * C, label);
		}
	}
	return (t->weight * loc_sum + conf_sum) / (matches > 1 ? matches : 1);
}

static void check_loss(const struct loss_case *t, int threads)
{
	char text[600], bottoms[128];
	real prior[P * 8], want;
	struct layer_test *x;

	snprintf(
		text, sizeof(text),
		"layer { type: 'MultiBoxLoss' bottom: 'l' bottom: 'c' bottom: 'p' bottom: 'g' top: 'y' multibox_loss_param { num_classes: %d %s } }",
		C, t->settings);
	snprintf(bottoms, sizeof(bottoms), "%dx%d %dx%d 1x2x%d 1x1x%dx8", N, P * 4 * (t->share ? 1 : C), N, P * C,
		 P * 4, G);
	x = lt_open_threads(text, MOKA_TRAIN, bottoms, threads);
	make_priors(prior, P, 29);
	/* one that sits on an object and reaches out of the picture */
	memcpy(prior, (real[4]){ (real)-0.05, (real)0.08, (real)0.42, (real)0.5 }, 4 * sizeof(real));
	lt_set(x, 2, prior);
	lt_set(x, 3, gt);
	lt_forward(x);
	want = (real)plain_loss(x, t);
	T_TRUE(want > 0.1);
	T_NEAR(x->top[0].data, &want, 1, 1e-4, 1e-5);
	lt_free(x);
}

T_TEST(loss_against_loops)
{
	static const struct loss_case cases[] = {
		{ .settings = "",
		  .code = CORNER,
		  .share = true,
		  .difficult = true,
		  .overlap = 0.5,
		  .ratio = 3,
		  .neg_overlap = 0.5,
		  .weight = 1 },
		{ .settings =
			  "code_type: CENTER_SIZE overlap_threshold: 0.3 neg_pos_ratio: 2 neg_overlap: 0.2 loc_weight: 2 use_difficult_gt: false",
		  .code = CENTER_SIZE,
		  .share = true,
		  .overlap = (double)0.3f,
		  .ratio = 2,
		  .neg_overlap = 0.2,
		  .weight = 2 },
		{ .settings =
			  "code_type: CORNER_SIZE match_type: BIPARTITE conf_loss_type: LOGISTIC loc_loss_type: L2 ignore_cross_boundary_bbox: true",
		  .code = CORNER_SIZE,
		  .share = true,
		  .bipartite = true,
		  .logistic = true,
		  .l2 = true,
		  .cross = true,
		  .difficult = true,
		  .overlap = 0.5,
		  .ratio = 3,
		  .neg_overlap = 0.5,
		  .weight = 1 },
		{ .settings = "code_type: CENTER_SIZE mining_type: NONE share_location: false overlap_threshold: 0.35",
		  .code = CENTER_SIZE,
		  .none = true,
		  .difficult = true,
		  .overlap = (double)0.35f,
		  .weight = 1 },
		{ .settings =
			  "code_type: CENTER_SIZE mining_type: NONE share_location: false overlap_threshold: 0.2 use_prior_for_matching: false conf_loss_type: LOGISTIC encode_variance_in_target: true",
		  .code = CENTER_SIZE,
		  .none = true,
		  .logistic = true,
		  .predicted = true,
		  .encoded = true,
		  .difficult = true,
		  .overlap = (double)0.2f,
		  .weight = 1 },
		{ .settings = "bp_inside: true overlap_threshold: 0.25 neg_overlap: 0.9 neg_pos_ratio: 100",
		  .code = CORNER,
		  .share = true,
		  .inside = true,
		  .difficult = true,
		  .overlap = 0.25,
		  .ratio = 100,
		  .neg_overlap = (double)0.9f,
		  .weight = 1 },
		{ .settings = "use_prior_for_matching: false mining_type: NONE",
		  .code = CORNER,
		  .share = true,
		  .none = true,
		  .predicted = true,
		  .difficult = true,
		  .overlap = 0.5,
		  .weight = 1 },
	};

	for (size_t i = 0; i < MOKA_COUNT(cases); i++)
		for (int threads = 1; threads < 4; threads += 2)
			check_loss(&cases[i], threads);
}

#define LOSS(rest)                                                                                                                    \
	"layer { name: 'm' type: 'MultiBoxLoss' bottom: 'l' bottom: 'c' bottom: 'p' bottom: 'g' top: 'y' multibox_loss_param { " rest \
	" } }"

static void loss_fails(const real *object, const char *words)
{
	struct layer_test *x = lt_open(LOSS("num_classes: 3"), MOKA_TRAIN, "2x8 2x6 1x2x8 1x1x1x8");
	real prior[16];

	make_priors(prior, 2, 1);
	lt_set(x, 2, prior);
	lt_set(x, 3, object);
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, words);
	lt_free(x);
}

T_TEST(loss_of_bad_objects)
{
	loss_fails((real[8]){ 0, 3, 0, 0, 0, 1, 1, 0 },
		   "layer 'm' (MultiBoxLoss): object 0 of 'g' (image 0) has the label 3");
	loss_fails((real[8]){ 0, -1, 0, 0, 0, 1, 1, 0 }, "has the label -1");
	loss_fails((real[8]){ 1, 0, 0, 0, 0, 1, 1, 0 }, "(image 1) has the label 0, which is the background's");
	loss_fails((real[8]){ 2, 1, 0, 0, 0, 1, 1, 0 }, "is of image 2, and the batch has 2");
	loss_fails((real[8]){ (real)NAN, 1, 0, 0, 0, 1, 1, 0 }, "is of image");
	LT_REFUSED(LOSS("num_classes: 3 share_location: false"), "2x24 2x6 1x2x8 1x1x1x8",
		   "mining goes with share_location");
	LT_REFUSED(LOSS("num_classes: 3 background_label_id: 3"), "2x8 2x6 1x2x8 1x1x1x8",
		   "SOFTMAX needs a background");
	LT_REFUSED(LOSS("num_classes: 3"), "2x8 2x6 1x2x8 1x1x1x7", "rows of 8");
	LT_REFUSED(LOSS("num_classes: 3 do_neg_mining: false"), "2x8 2x6 1x2x8 1x1x1x8", "contradicts");
}

T_TEST(loss_of_nothing)
{
	struct layer_test *x = lt_open(LOSS("num_classes: 3"), MOKA_TRAIN, "2x8 2x6 1x2x8 1x1x0x8");
	real prior[16];

	make_priors(prior, 2, 1);
	lt_set(x, 2, prior);
	lt_forward(x);
	T_TRUE(x->top[0].data[0] == 0);
	x->top[0].diff[0] = 1;
	lt_backward(x);
	for (int i = 0; i < 16; i++)
		T_TRUE(x->bottom[0].diff[i] == 0);
	lt_free(x);
	x = lt_open(LOSS("num_classes: 3"), MOKA_TRAIN, "0x8 0x6 1x2x8:u 1x1x0x8");
	lt_forward(x);
	T_TRUE(x->top[0].data[0] == 0);
	lt_free(x);
}

/* Hard examples: of each image the sample_size worst priors train, matched or not. */
T_TEST(hard_examples)
{
	/* one image, four priors; the first two sit on the object, the second is scored right, the last two wrong and right */
	const real prior[32] = { 0.1, 0.1, 0.5, 0.5, 0.1, 0.1, 0.5, 0.5, 0.6, 0.6, 0.9, 0.9, 0.6, 0.1, 0.9, 0.4,
				 1,   1,   1,	1,   1,	  1,   1,   1,	 1,   1,   1,	1,   1,	  1,   1,   1 };
	const real object[8] = { 0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0 };
	const real conf[8] = { 3, 0, 0, 5, 0, 4, 5, 0 }, loc[16] = { 0 };
	struct layer_test *x = lt_open(LOSS("num_classes: 2 mining_type: HARD_EXAMPLE sample_size: 2"), MOKA_TRAIN,
				       "1x16 1x8 1x2x16 1x1x1x8");
	const real want = (real)(log(1 + exp(3.0)) + log(1 + exp(4.0))); /* one match left */

	lt_set(x, 0, loc);
	lt_set(x, 1, conf);
	lt_set(x, 2, prior);
	lt_set(x, 3, object);
	lt_forward(x);
	T_NEAR(x->top[0].data, &want, 1, 1e-5, 1e-6);
	lt_free(x);
}

/* ---- DetectionEvaluate ------------------------------------------------------------------------------------------------- */

#define EVALUATE(rest)                                                                                                                 \
	"layer { name: 'e' type: 'DetectionEvaluate' bottom: 'd' bottom: 'g' top: 'y' detection_evaluate_param { num_classes: 3 " rest \
	" } }"

T_TEST(evaluation_by_hand)
{
	/* two on one object (the better one counts), a wrong place, a class without objects, an image without; a row of nothing */
	static const real found[7 * 7] = { 0,	1,   0.6, 0.1, 0.1, 0.5, 0.5, 0, 1, 0.9, 0.1, 0.1, 0.5, 0.52, 0, 1, 0.7,
					   0.7, 0.7, 0.9, 0.9, 0,   2,	 0.8, 0, 0, 1,	 1,   1,   1,	0.5,  0, 0, 1,
					   1,	1,   2,	  0.4, 0,   0,	 1,   1, 0, 0,	 0,   0,   0,	0,    0 };
	static const real objects[3 * 8] = { 0, 1, 0, 0.1, 0.1, 0.5, 0.5, 0,	2,   2,	  0,   0,
					     0, 1, 1, 0,   0,	1,   0,	  0.71, 0.7, 0.9, 0.9, 1 };
	static const real want[9 * 5] = {
		-1, 1, 2, -1, -1,  -1, 2, 1, -1, -1,  0, 1, 0.9, 1, 0,	 0, 1, 0.7, 1, 0, 0, 1, 0.6,
		0,  1, 0, 2,  0.8, 0,  1, 1, 1,	 0.5, 0, 1, 1,	 2, 0.4, 0, 1, 0,   0, 0, 0, 0,
	};
	struct layer_test *x = lt_open(EVALUATE(""), MOKA_TEST, "1x1x7x7 1x1x3x8");

	LT_SHAPE(x, 0, "1x1x9x5");
	lt_set(x, 0, found);
	lt_set(x, 1, objects);
	lt_forward(x);
	T_NEAR(x->top[0].data, want, 45, 1e-6, 1e-6);
	lt_free(x);

	/* the difficult one no longer counts, for or against */
	x = lt_open(EVALUATE("evaluate_difficult_gt: false"), MOKA_TEST, "1x1x7x7 1x1x3x8");
	lt_set(x, 0, found);
	lt_set(x, 1, objects);
	lt_forward(x);
	T_INT(x->top[0].data[2], 1);
	T_INT(x->top[0].data[3 * 5 + 3], 0);
	T_INT(x->top[0].data[3 * 5 + 4], 0);

	x->bottom_values[0][1] = 5;
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "layer 'e' (DetectionEvaluate): row 0 of 'd' is of image 0, label 5");
	lt_set(x, 0, found);
	x->bottom_values[1][1] = 0;
	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "object 0 of 'g' is of image 0, label 0");
	lt_free(x);
	LT_REFUSED(EVALUATE("overlap_threshold: 0"), "1x1x7x7 1x1x3x8", "overlap_threshold is 0");
	LT_REFUSED(EVALUATE(""), "1x1x7x6 1x1x3x8", "rows x 7");
}

/* ---- AnnotatedData ------------------------------------------------------------------------------------------------------- */

T_TEST(annotated_data_is_shaped)
{
	struct layer_test *x = lt_shape(
		"layer { type: 'AnnotatedData' top: 'd' top: 'l' data_param { source: 'x' batch_size: 8 } annotated_data_param { label_map_file: 'm' "
		"batch_sampler { max_sample: 1 sampler { min_scale: 0.3 } } } transform_param { resize_param { height: 300 width: 200 } } }",
		MOKA_TRAIN, "");

	LT_SHAPE(x, 0, "8x3x300x200");
	LT_SHAPE(x, 1, "1x1x?x8");
	lt_free(x);
	LT_REFUSED("layer { type: 'AnnotatedData' top: 'd' annotated_data_param { } }", "", "batch_size");
}

static const struct CMUnitTest tests[] = {
	T_CASE(priors_against_loops),	  T_CASE(priors_refused),     T_CASE(detection_against_loops),
	T_CASE(detection_at_the_edges),	  T_CASE(loss_against_loops), T_CASE(loss_of_bad_objects),
	T_CASE(loss_of_nothing),	  T_CASE(hard_examples),      T_CASE(evaluation_by_hand),
	T_CASE(annotated_data_is_shaped),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
