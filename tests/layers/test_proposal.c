/*
 * Region proposals: the anchors of the published table, the layer against plain loops after Faster R-CNN's Python original, and
 * that original's name, type "Python".
 */
#include "layer_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROPOSAL(rest)                                                                                                    \
	"layer { name: 'p' type: 'Proposal' bottom: 's' bottom: 'b' bottom: 'i' top: 'r' top: 'q' proposal_param { " rest \
	" } }"
#define PYTHON(rest)                                                                                                                                             \
	"layer { name: 'p' type: 'Python' bottom: 's' bottom: 'b' bottom: 'i' top: 'r' python_param { module: 'rpn.proposal_layer' layer: 'ProposalLayer' " rest \
	" } }"

/* Of base size 16, ratios 0.5, 1, 2 and scales 8, 16, 32, as the authors print them (theirs count from 1: one less). */
static const double table[9][4] = {
	{ -84, -40, 99, 55 }, { -176, -88, 191, 103 },	{ -360, -184, 375, 199 },
	{ -56, -56, 71, 71 }, { -120, -120, 135, 135 }, { -248, -248, 263, 263 },
	{ -36, -80, 51, 95 }, { -80, -168, 95, 183 },	{ -168, -344, 183, 359 },
};

T_TEST(anchors_are_the_published_ones)
{
	/* one cell, offsets of 0, a picture so large and a threshold so high that all nine come out, the best first */
	struct layer_test *x = lt_open(PROPOSAL("min_size: 1 nms_thresh: 1 pre_nms_topn: 100 post_nms_topn: 9"),
				       MOKA_TEST, "1x18x1x1:z 1x36x1x1:z 1x3");
	const real info[3] = { 2000, 2000, 1 };

	lt_set(x, 2, info);
	for (int a = 0; a < 9; a++)
		x->bottom_values[0][9 + a] = (real)(9 - a);
	LT_SHAPE(x, 0, "9x5");
	LT_SHAPE(x, 1, "9");
	lt_forward(x);
	T_INT(x->top_items, 9);
	for (int a = 0; a < 9; a++) {
		real want[5] = { 0 };

		/* what lies left of and above the picture is cut off; an offset of 0 moves the far ends by 1, as in the original */
		for (int k = 0; k < 4; k++)
			want[1 + k] = (real)fmax(table[a][k] + k / 2, 0);
		T_NEAR(x->top[0].data + a * 5, want, 5, 0, 1e-4);
		T_NEAR(x->top[1].data + a, &(real){ (real)(9 - a) }, 1, 0, 0);
	}
	lt_free(x);
}

/* ---- against loops ------------------------------------------------------------------------------------------ */

struct found {
	double score, box[4];
	int at;
};

static int better(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->score != y->score ? (x->score > y->score ? -1 : 1) : x->at - y->at;
}

static double overlap(const double *a, const double *b)
{
	const double w = fmin(a[2], b[2]) - fmax(a[0], b[0]) + 1, h = fmin(a[3], b[3]) - fmax(a[1], b[1]) + 1;
	const double both = w > 0 && h > 0 ? w * h : 0;

	return both / ((a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - both);
}

#define A 9
#define H 4
#define W 5
#define KEPT 20

/* What is kept of image n: a number, in the order of scores. */
static int plain_proposals(const struct layer_test *x, int n, int pre, struct found *kept)
{
	static struct found all[A * H * W];
	const real *info = x->bottom_values[2] + n * 3;
	int m = 0, k = 0;

	for (int i = 0; i < H * W * A; i++) {
		const int a = i % A, cell = i / A;
		const real *d = x->bottom_values[1] + (n * 4 * A + 4 * a) * H * W + cell;
		const double w = table[a][2] - table[a][0] + 1, h = table[a][3] - table[a][1] + 1;
		const double cx = table[a][0] + cell % W * 16 + w / 2 + (double)d[0] * w;
		const double cy = table[a][1] + cell / W * 16 + h / 2 + (double)d[H * W] * h;
		const double hw = exp((double)d[2 * H * W]) * w / 2, hh = exp((double)d[3 * H * W]) * h / 2;
		struct found *f = &all[m];

		f->score = (double)x->bottom_values[0][(n * 2 * A + A + a) * H * W + cell];
		f->at = i;
		f->box[0] = fmax(fmin(cx - hw, (double)info[1] - 1), 0);
		f->box[1] = fmax(fmin(cy - hh, (double)info[0] - 1), 0);
		f->box[2] = fmax(fmin(cx + hw, (double)info[1] - 1), 0);
		f->box[3] = fmax(fmin(cy + hh, (double)info[0] - 1), 0);
		m += f->box[2] - f->box[0] + 1 >= 16 * (double)info[2] &&
		     f->box[3] - f->box[1] + 1 >= 16 * (double)info[2];
	}
	qsort(all, (size_t)m, sizeof(all[0]), better);
	m = m > pre ? pre : m;
	for (int i = 0; i < m && k < KEPT; i++) {
		bool keep = true;

		for (int o = 0; o < k; o++)
			keep &= overlap(all[i].box, kept[o].box) <= 0.7;
		if (keep)
			kept[k++] = all[i];
	}
	return k;
}

static void check_proposals(int num, int threads)
{
	char bottoms[128];
	struct layer_test *x;
	int64_t row = 0;

	snprintf(bottoms, sizeof(bottoms), "%dx%dx%dx%d:u %dx%dx%dx%d %dx3", num, 2 * A, H, W, num, 4 * A, H, W, num);
	x = lt_open_threads(PROPOSAL("post_nms_topn: 20 pre_nms_topn: 100"), MOKA_TEST, bottoms, threads);
	for (int n = 0; n < num; n++)
		memcpy(x->bottom_values[2] + n * 3, (real[3]){ (real)(90 + n), 120, (real)(1 + 0.5 * n) },
		       3 * sizeof(real));
	for (int64_t i = 0; i < x->bottom[1].count; i++)
		x->bottom_values[1][i] *= (real)0.4;
	lt_forward(x);
	for (int n = 0; n < num; n++) {
		struct found kept[KEPT];
		const int k = plain_proposals(x, n, 100, kept);

		T_TRUE(k > 2);
		for (int i = 0; i < k; i++, row++) {
			const real want[5] = { (real)n, (real)kept[i].box[0], (real)kept[i].box[1],
					       (real)kept[i].box[2], (real)kept[i].box[3] };

			T_NEAR(x->top[0].data + row * 5, want, 5, 1e-4, 1e-3);
			T_NEAR(x->top[1].data + row, &(real){ (real)kept[i].score }, 1, 1e-6, 0);
		}
	}
	T_INT(x->top_items, row);
	for (int64_t i = row * 5; i < x->top[0].count; i++)
		T_TRUE(x->top[0].data[i] == 0);
	lt_free(x);
}

T_TEST(proposals_against_loops)
{
	for (int threads = 1; threads < 4; threads += 2) {
		check_proposals(1, threads);
		check_proposals(3, threads);
	}
}

T_TEST(faster_rcnns_python_layer)
{
	struct layer_test *x =
		lt_open(PYTHON("param_str: \"'feat_stride': 16\""), MOKA_TEST, "1x18x4x5:u 1x36x4x5 1x3");
	struct layer_test *y = lt_open(PROPOSAL(""), MOKA_TEST, "1x18x4x5:u 1x36x4x5 1x3");
	const real info[3] = { 200, 250, 1 };

	LT_SHAPE(x, 0, "300x5");
	lt_set(x, 2, info);
	for (int i = 0; i < 3; i++)
		lt_set(y, i, x->bottom_values[i]);
	lt_forward(x);
	lt_forward(y);
	T_INT(x->top_items, y->top_items);
	T_TRUE(x->top_items > 2);
	T_NEAR(x->top[0].data, y->top[0].data, 1500, 0, 0);
	lt_free(x);
	lt_free(y);
	x = lt_shape(PYTHON("param_str: \"{'feat_stride': 8, 'scales': [2, 4.5]}\""), MOKA_TRAIN,
		     "1x12x4x5 1x24x4x5 1x3");
	LT_SHAPE(x, 0, "2000x5");
	lt_free(x);
	x = lt_shape(PYTHON("param_str: \"feat_stride: 8\\nscales: (4)\""), MOKA_TEST, "1x6x4x5 1x12x4x5 1x3");
	LT_SHAPE(x, 0, "300x5");
	lt_free(x);
}

T_TEST(what_is_refused)
{
	struct layer_test *x = lt_open(PROPOSAL(""), MOKA_TEST, "1x18x4x5 1x36x4x5 1x3:z");

	T_INT(lt_try_forward(x), MOKA_ERR_DATA);
	T_HAS(x->err.message, "layer 'p' (Proposal): image 0 of 'i' is said to be 0 x 0");
	lt_free(x);
	LT_REFUSED(PROPOSAL(""), "1x16x4x5 1x36x4x5 1x3", "18");
	LT_REFUSED(PROPOSAL(""), "1x18x4x5 1x36x4x6 1x3", "'b' is 1x36x4x6");
	LT_REFUSED(PROPOSAL(""), "1x18x4x5 1x36x4x5 1x2", "height, width and scale");
	LT_REFUSED(PROPOSAL("feat_stride: 0"), "1x18x4x5 1x36x4x5 1x3", "feat_stride");
	LT_REFUSED(PROPOSAL("scale: 8 scale: -1"), "1x18x4x5 1x36x4x5 1x3", "a scale is -1");
	LT_REFUSED(PROPOSAL("post_nms_topn: 0"), "1x18x4x5 1x36x4x5 1x3", "post_nms_topn");
	LT_REFUSED(PYTHON(""), "1x18x4x5 1x36x4x5 1x3", "'feat_stride': 16");
	LT_REFUSED(PYTHON("param_str: \"'feat_stride': x\""), "1x18x4x5 1x36x4x5 1x3", "'feat_stride': 16");
	LT_REFUSED(PYTHON("param_str: \"'feat_stride': 16\""), "2x18x4x5 2x36x4x5 1x3", "one image at a time");
	LT_REFUSED(
		"layer { type: 'Python' bottom: 's' top: 'r' python_param { module: 'rpn.proposal_layer' layer: 'ProposalLayer' } }",
		"1x18x4x5", "takes 3 bottoms");
}

T_TEST(nothing_to_propose)
{
	/* all boxes are smaller than 16 pixels of a picture of 8 */
	struct layer_test *x = lt_open(PROPOSAL(""), MOKA_TEST, "1x18x4x5 1x36x4x5 1x3");
	const real info[3] = { 8, 8, 1 };

	lt_set(x, 2, info);
	lt_forward(x);
	T_INT(x->top_items, 0);
	lt_free(x);
	x = lt_open(PROPOSAL(""), MOKA_TEST, "0x18x4x5 0x36x4x5 0x3");
	lt_forward(x);
	lt_free(x);
	x = lt_shape(PROPOSAL(""), MOKA_TEST, "? ? ?");
	LT_SHAPE(x, 0, "?x5");
	lt_free(x);
}

static const struct CMUnitTest tests[] = {
	T_CASE(anchors_are_the_published_ones),
	T_CASE(proposals_against_loops),
	T_CASE(faster_rcnns_python_layer),
	T_CASE(what_is_refused),
	T_CASE(nothing_to_propose),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
