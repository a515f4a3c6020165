/*
 * layer_test.h - one layer under test, driven without a net.
 *
 *     struct layer_test *x = lt_open("layer { type: 'ReLU' bottom: 'x' top: 'y' }", MOKA_TEST, "2x3x4");
 *     lt_forward(x);  T_NEAR(x->top[0].data, want, x->top[0].count, 1e-5, 1e-6);
 *     lt_backward(x); ...
 *     lt_free(x);
 *
 * Bottoms are given as shapes with what fills them: "2x3x4" (gaussian), "2x3:u" (uniform, 0.1 to 1), "5:i3"
 * (whole numbers 0 to 2), "4:s" (0 or 1), "3:z" (zeros), "4:c7" (sevens), "scalar". Rows of boxes: "6x5:r2" (regions: an image
 * below 2, then a box, up to 20 wide and high), "1x1x6x8:o2" (SSD's objects, labels 1 and 2), "1x1x6x7:d2" (its detections),
 * "1x2x24:p" (its priors). A top that has the name of a bottom works in place.
 *
 * The harness is a strict net: tops and scratch are NaN before forward, wanted bottom diffs NaN before
 * backward, blocks are as large as the layer said and not a byte larger (a sanitizer sees more), and bottoms
 * come back from a copy before each forward.
 */
#ifndef MOKA_LAYER_TEST_H
#define MOKA_LAYER_TEST_H

#include "../t.h"
#include "layers/layer.h"

#define LT_MAX 8
#define LT_PARAMS 64

struct layer_test {
	struct moka_arena arena;
	struct moka_findings findings;
	struct moka_text text;
	struct moka_layer l;
	struct moka_blob_ref bottom_ref[LT_MAX], top_ref[LT_MAX];
	struct moka_view bottom[LT_MAX], top[LT_MAX], param[LT_PARAMS];
	real *bottom_values[LT_MAX]; /* what forward starts from; write here */
	int in_place[LT_MAX];	     /* top i: the bottom it shares, -1 */
	void *state, *scratch;
	struct moka_pool *pool;
	struct moka_gemm_ws *gemm;
	struct moka_rng rng;
	uint64_t seed; /* of what forward draws: the same numbers each time */
	int64_t top_items;
	struct moka_error err;
	enum moka_status status; /* of shape() */
};

/* Parses, shapes, allocates, fills bottoms and parameters. Fails the test where the layer is refused. */
struct layer_test *lt_open(const char *prototxt, enum moka_phase phase, const char *bottoms);
/* The same with a pool of that many threads. */
struct layer_test *lt_open_threads(const char *prototxt, enum moka_phase phase, const char *bottoms, int threads);
/* Only parses and shapes; x->status says how it went, x->findings why. Unknown dimensions are written "?": "?x3x?", "?". */
struct layer_test *lt_shape(const char *prototxt, enum moka_phase phase, const char *bottoms);
void lt_free(struct layer_test *x);

/* Refused with a finding that contains `words`, and never crashes. */
#define LT_REFUSED(prototxt, bottoms, words) lt_refused((prototxt), (bottoms), (words), __FILE__, __LINE__)
void lt_refused(const char *prototxt, const char *bottoms, const char *words, const char *file, int line);
/* Top i has this shape, as text: "2x3x1". */
#define LT_SHAPE(x, i, want) lt_shape_is((x), (i), (want), __FILE__, __LINE__)
void lt_shape_is(struct layer_test *x, int i, const char *want, const char *file, int line);

/* Fills n values as the letter of `kind` says (above). */
void lt_fill(real *v, int64_t n, const char *kind, struct moka_rng *rng);

/* The passes, on what stands in bottom_values and in the tops' diffs. Param diffs are not cleared. */
enum moka_status lt_try_forward(struct layer_test *x);
void lt_forward(struct layer_test *x); /* fails the test where the layer does */
void lt_backward(struct layer_test *x);
/* Top diffs: uniform numbers of (-1, 1). */
void lt_random_top_diffs(struct layer_test *x, uint64_t seed);
void lt_set(struct layer_test *x, int bottom, const real *values);
void lt_clear_param_diffs(struct layer_test *x);

/* ---- gradient check (double build) ---------------------------------------------------------- */

struct lt_gradient_row {
	const char *name;
	const char *prototxt;
	const char *bottoms;
	enum moka_phase phase;
	uint32_t tops;	  /* bit i: top i takes part; 0: all */
	double tolerance; /* relative; 0: 1e-6 */
	uint64_t seed;
	uint32_t constant; /* bit i: bottom i takes no gradient (a selector) */
	double kept;	   /* what the kept statistics are all set to; 0: as filled */
	bool not_params;   /* what parameters get isn't the derivative (centres that follow their samples) */
};
/*
 * Every element of every bottom and parameter that takes a gradient: the derivative of a randomly weighted sum
 * of the tops against a central difference, signs kept. An element whose two one-sided differences disagree
 * sits at a kink and is skipped; more than a tenth of skipped elements fails. Also: that forward alone, without
 * a state, gives the same, that a parameter's diff is added to, and that unwanted gradients may be NULL.
 */
void lt_check_gradient(const struct lt_gradient_row *row);

#endif
