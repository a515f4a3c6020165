/*
 * MultiStageMeanfield (CRF-RNN; MULTI_STAGE_MEANFIELD in the old syntax): mean field inference in a dense conditional random
 * field, so many steps of it (Zheng and others, "Conditional Random Fields as Recurrent Neural Networks", 2015).
 *
 *     bottoms  unary scores U (N, C, H, W), what to start from Q (the same scores), image (N, 3, H, W)
 *     top      scores (N, C, H, W)
 *     parameters  Ws, Wb, M (1, 1, C, C)
 *
 *     each step   P = softmax of Q over the channels
 *                 S = P filtered over places / theta_gamma, B = P filtered over places / theta_alpha and colours / theta_beta,
 *                     both divided by what the filter makes of ones
 *                 Q = U - M (Ws S + Wb B)
 *
 * The filters are lattice.c's. Ws and Wb start as spatial_filter_weight and bilateral_filter_weight on the diagonal
 * (the newer fork reads its first values from files spatial.par and bilateral.par), M as -1 there. The image takes no
 * gradient. The state keeps P of every step; S and B are made again on the way back. The numbers of the V1 form are not published.
 */
#include "lattice.h"
#include "loss.h"

#include <string.h>
#include <tgmath.h>

enum { COLOURS = 3, NEAR = 2, ALIKE = NEAR + COLOURS };

struct meanfield_param {
	int compatibility_mode;
	float threshold, theta_alpha, theta_beta, theta_gamma;
	uint32_t num_iterations;
	float spatial_filter_weight, bilateral_filter_weight;
};

/* clang-format off */
#define P struct meanfield_param
#define ODD(name, num, kind, help) { name, num, kind, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, help, NULL }
static const struct moka_enum_value mode_values[] = { { "POTTS", 0 }, { NULL, 0 } };
static const struct moka_field meanfield_fields[] = {
	MOKA_F_ENUM(P, compatibility_mode, 1, mode_values, 0, "what the compatibility matrix starts as: -1 on its diagonal"),
	MOKA_F_FLOAT(P, threshold, 2, 0, "not used by the fork either"),
	MOKA_F_FLOAT(P, theta_alpha, 3, 10, "deviation of places in the bilateral filter, in pixels"),
	MOKA_F_FLOAT(P, theta_beta, 4, 10, "deviation of colours in the bilateral filter"),
	MOKA_F_FLOAT(P, theta_gamma, 5, 10, "deviation of places in the spatial filter, in pixels"),
	MOKA_F_UINT32(P, num_iterations, 6, 1, "how many steps"),
	MOKA_F_FLOAT(P, spatial_filter_weight, 7, 1, "first value of the spatial filter's weights, on the diagonal"),
	MOKA_F_FLOAT(P, bilateral_filter_weight, 8, 1, "first value of the bilateral filter's weights, on the diagonal"),
	ODD("forced_spatial_filter_weight", 9, MOKA_FLOAT, "read, not used by the fork either"),
	ODD("forced_bilateral_filter_weight", 10, MOKA_FLOAT, "read, not used by the fork either"),
	MOKA_F_END
};
#undef P
static const struct moka_message meanfield_message = { "MultiStageMeanfieldParameter", meanfield_fields, sizeof(struct meanfield_param) };
static const struct moka_filler_param potts = { .type = "diagonal", .value = -1, .max = 1, .std = 1, .sparse = -1 };
/* clang-format on */

struct meanfield {
	int64_t num, classes, h, w, pixels, steps;
	size_t plane_bytes, pixel_bytes, spatial_bytes, bilateral_bytes, points_bytes;
	struct moka_filler_param filler[2];
};

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct meanfield_param *p = l->param;
	const struct {
		const char *name;
		float value;
	} theta[] = { { "theta_alpha", p->theta_alpha },
		      { "theta_beta", p->theta_beta },
		      { "theta_gamma", p->theta_gamma } };

	for (size_t i = 0; i < MOKA_COUNT(theta); i++)
		if (!(theta[i].value > 0))
			return moka_layer_bad(l, f, "bad-setting", theta[i].name, "%s must be above 0, and is %g",
					      theta[i].name, (double)theta[i].value);
	if (p->num_iterations < 1)
		return moka_layer_bad(l, f, "bad-setting", "num_iterations", "num_iterations must be at least 1");
	return MOKA_OK;
}

static enum moka_status check_bottoms(const struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *u = &l->bottom[0].shape;
	char text[2][MOKA_SHAPE_TEXT];

	for (int i = 0; i < 3; i++) {
		const struct moka_shape *s = &l->bottom[i].shape;

		if (s->n >= 0 && s->n != 4)
			return moka_layer_bad_bottom(
				l, f, "wrong-axes", i,
				"takes blobs of 4 axes (num, channels, height, width), and '%s' is %s",
				l->bottom[i].name, moka_shape_text(s, text[0], sizeof(text[0])));
		for (int k = 0; s->n == 4 && u->n == 4 && k < 4; k++) {
			const int64_t want = i == 2 && k == 1 ? COLOURS : u->d[k];

			if (s->d[k] >= 0 && want >= 0 && s->d[k] != want)
				return moka_layer_bad_bottom(
					l, f, "shape-mismatch", i, "'%s' is %s and '%s' is %s: %s", l->bottom[0].name,
					moka_shape_text(u, text[0], sizeof(text[0])), l->bottom[i].name,
					moka_shape_text(s, text[1], sizeof(text[1])),
					i == 2 ? "the image must have 3 channels and the scores' size"
					       : "both must be the same scores");
		}
	}
	return MOKA_OK;
}

static enum moka_status set_sizes(struct moka_layer *l, struct moka_findings *f, struct meanfield *v)
{
	const int64_t c = v->classes;

	if (v->pixels > INT32_MAX / 64)
		return moka_layer_bad_bottom(l, f, "too-large", 0,
					     "planes of %lld pixels are too large for the filters",
					     (long long)v->pixels);
	v->plane_bytes = moka__loss_bytes(moka_layer_product(2, (int64_t[]){ c, v->pixels }), sizeof(real));
	v->pixel_bytes = moka__loss_bytes(v->pixels, sizeof(real));
	v->points_bytes = moka__loss_bytes(moka_layer_product(2, (int64_t[]){ ALIKE, v->pixels }), sizeof(real));
	v->spatial_bytes = moka__lattice_bytes(v->pixels, NEAR);
	v->bilateral_bytes = moka__lattice_bytes(v->pixels, ALIKE);
	l->scratch_bytes = v->points_bytes + 3 * v->pixel_bytes + v->spatial_bytes + v->bilateral_bytes +
			   moka__lattice_work_bytes(v->pixels, ALIKE, c) + 64;
	for (int i = 0; i < 6; i++) /* each may be as large as a size gets: no overflow on the way */
		l->scratch_bytes = MOKA_MIN(l->scratch_bytes, SIZE_MAX / 2) + MOKA_MIN(v->plane_bytes, SIZE_MAX / 16);
	l->state_bytes =
		moka_layer_bytes(moka_layer_product(4, (int64_t[]){ v->num, v->steps, c, v->pixels }), sizeof(real));
	l->state_for_backward = true;
	/* three products; spreading over corners and reading back, without the blur, which depends on the image */
	l->macs = moka_layer_product(
		4,
		(int64_t[]){ v->num, v->steps, v->pixels,
			     c < 0 ? -1 : moka_layer_product(2, (int64_t[]){ c, 3 * MOKA_MIN(c, INT32_MAX) + 18 }) });
	return MOKA_OK;
}

static enum moka_status meanfield_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct meanfield_param *p = l->param;
	const float start[2] = { p->spatial_filter_weight, p->bilateral_filter_weight };
	struct moka_shape s = l->bottom[0].shape;
	struct meanfield *v = moka_layer_priv(l, sizeof(*v));

	l->n_param = 0;
	if (!v)
		return MOKA_ERR_NOMEM;
	MOKA_TRY(check_settings(l, f));
	MOKA_TRY(check_bottoms(l, f));
	if (s.n < 0)
		s = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	*v = (struct meanfield){ .num = s.d[0],
				 .classes = s.d[1],
				 .h = s.d[2],
				 .w = s.d[3],
				 .pixels = moka_layer_product(2, s.d + 2),
				 .steps = p->num_iterations };
	l->top[0].shape = s;
	MOKA_TRY(set_sizes(l, f, v));
	for (int i = 0; i < 3; i++) {
		const struct moka_shape w = moka_shape_make(4, (int64_t)1, (int64_t)1, s.d[1], s.d[1]);

		if (i < 2) {
			v->filler[i] = potts;
			v->filler[i].value = start[i];
		}
		if (!moka_layer_param(l,
				      i == 0   ? "spatial"
				      : i == 1 ? "bilateral"
					       : "compatibility",
				      w, i < 2 ? &v->filler[i] : &potts))
			return MOKA_ERR_NOMEM;
	}
	return MOKA_OK;
}

/* What a pass works with. */
struct run {
	const struct moka_layer *l;
	struct moka_call *c;
	const struct meanfield *v;
	struct moka__lattice near, alike;
	real *near_norm, *alike_norm, *ones, *points;
	real *p, *s, *b, *m, *g, *t; /* planes of one image: probabilities, filtered twice, messages, gradients */
	void *work;
};

static void *take(char **at, size_t bytes)
{
	void *p = *at;

	*at += bytes;
	return p;
}

static void run_init(struct run *r, const struct moka_layer *l, struct moka_call *c)
{
	const struct meanfield *v = l->priv;
	real **const planes[] = { &r->p, &r->s, &r->b, &r->m, &r->g, &r->t };
	char *at = c->scratch;

	*r = (struct run){ .l = l, .c = c, .v = v };
	r->points = take(&at, v->points_bytes);
	r->near_norm = take(&at, v->pixel_bytes);
	r->alike_norm = take(&at, v->pixel_bytes);
	r->ones = take(&at, v->pixel_bytes);
	for (size_t i = 0; i < MOKA_COUNT(planes); i++)
		*planes[i] = take(&at, v->plane_bytes);
	moka__lattice_init(&r->near, v->pixels, NEAR, take(&at, v->spatial_bytes));
	moka__lattice_init(&r->alike, v->pixels, ALIKE, take(&at, v->bilateral_bytes));
	r->work = at;
	moka_set(v->pixels, 1, r->ones);
}

/* Builds a lattice over r->points, and one over what its filter makes of ones. */
static void make_filter(struct run *r, struct moka__lattice *x, real *norm)
{
	moka__lattice_build(x, r->points);
	moka__lattice_filter(r->c->pool, x, 1, r->ones, norm, false, false, r->work);
	for (int64_t i = 0; i < r->v->pixels; i++)
		norm[i] = 1 / (norm[i] + (real)1e-20);
}

static enum moka_status too_far(const struct run *r, const char *field, int64_t image, int64_t pixel, real value)
{
	return moka_call_bad(r->l, r->c, MOKA_ERR_DATA,
			     "pixel %lld of image %lld is at %g, measured in %s: no number, or too far out to filter",
			     (long long)pixel, (long long)image, (double)value, field);
}

static enum moka_status near_filter(struct run *r)
{
	const real theta = (real)((const struct meanfield_param *)r->l->param)->theta_gamma;

	for (int64_t i = 0; i < r->v->pixels; i++) {
		real *x = r->points + i * NEAR;

		x[0] = (real)(i % r->v->w) / theta;
		x[1] = (real)(i / r->v->w) / theta;
		for (int k = 0; k < NEAR; k++)
			if (!(x[k] < (real)MOKA__LATTICE_FAR))
				return too_far(r, "theta_gamma", 0, i, x[k]);
	}
	make_filter(r, &r->near, r->near_norm);
	return MOKA_OK;
}

static enum moka_status alike_filter(struct run *r, int64_t image)
{
	const struct meanfield_param *p = r->l->param;
	const real *rgb = r->c->bottom[2].data + image * COLOURS * r->v->pixels;

	for (int64_t i = 0; i < r->v->pixels; i++) {
		real *x = r->points + i * ALIKE;

		x[0] = (real)(i % r->v->w) / (real)p->theta_alpha;
		x[1] = (real)(i / r->v->w) / (real)p->theta_alpha;
		for (int k = 0; k < COLOURS; k++)
			x[NEAR + k] = rgb[k * r->v->pixels + i] / (real)p->theta_beta;
		for (int k = 0; k < ALIKE; k++)
			if (!(fabs(x[k]) < (real)MOKA__LATTICE_FAR))
				return too_far(r, k < NEAR ? "theta_alpha" : "theta_beta", image, i, x[k]);
	}
	make_filter(r, &r->alike, r->alike_norm);
	return MOKA_OK;
}

static void scale_pixels(const struct meanfield *v, const real *norm, real *x)
{
	for (int64_t i = 0; i < v->classes * v->pixels; i++)
		x[i] *= norm[i % v->pixels];
}

/* c (classes, pixels) = alpha * op(w) x + beta * c. */
static void product(struct run *r, int weights, bool trans, real alpha, const real *x, real beta, real *c)
{
	const int64_t k = r->v->classes, n = r->v->pixels;

	moka_gemm(r->c->pool, r->c->gemm, trans, false, k, n, k, alpha, r->c->param[weights].data, k, x, n, beta, c, n);
}

/* s, b and m from the probabilities p. */
static void messages(struct run *r, const real *p)
{
	moka__lattice_filter(r->c->pool, &r->near, r->v->classes, p, r->s, false, false, r->work);
	moka__lattice_filter(r->c->pool, &r->alike, r->v->classes, p, r->b, false, false, r->work);
	scale_pixels(r->v, r->near_norm, r->s);
	scale_pixels(r->v, r->alike_norm, r->b);
	product(r, 0, false, 1, r->s, 0, r->m);
	product(r, 1, false, 1, r->b, 1, r->m);
}

static real *probabilities(const struct run *r, int64_t image, int64_t step)
{
	const int64_t size = r->v->classes * r->v->pixels;

	return r->c->state ? (real *)r->c->state + (image * r->v->steps + step) * size : r->p;
}

static enum moka_status meanfield_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct meanfield *v = l->priv;
	const struct moka__scores scores = { 1, v->classes, v->pixels };
	const int64_t size = v->classes * v->pixels;
	struct run r;

	if (!c->top[0].count)
		return MOKA_OK;
	run_init(&r, l, c);
	MOKA_TRY(near_filter(&r));
	for (int64_t n = 0; n < v->num; n++) {
		const real *unary = c->bottom[0].data + n * size, *q = c->bottom[1].data + n * size;
		real *out = c->top[0].data + n * size;

		MOKA_TRY(alike_filter(&r, n));
		for (int64_t step = 0; step < v->steps; step++) {
			real *p = probabilities(&r, n, step);

			moka__softmax(c->pool, &scores, q, p);
			messages(&r, p);
			memcpy(r.t, unary, (size_t)size * sizeof(real));
			product(&r, 2, false, -1, r.m, 1, r.t);
			memcpy(out, r.t, (size_t)size * sizeof(real));
			q = out;
		}
	}
	return MOKA_OK;
}

/* dw += alpha * g x^T */
static void weight_gradient(struct run *r, int weights, real alpha, const real *g, const real *x)
{
	const int64_t k = r->v->classes, n = r->v->pixels;

	if (r->c->param[weights].diff)
		moka_gemm(r->c->pool, r->c->gemm, false, true, k, k, n, alpha, g, n, x, n, 1, r->c->param[weights].diff,
			  k);
}

/* g: the gradient at the scores that a step makes; afterwards, at those it starts from. */
static void step_back(struct run *r, const real *p)
{
	const struct meanfield *v = r->v;

	messages(r, p);
	weight_gradient(r, 2, -1, r->g, r->m);
	product(r, 2, true, -1, r->g, 0, r->t);
	weight_gradient(r, 0, 1, r->t, r->s);
	weight_gradient(r, 1, 1, r->t, r->b);
	product(r, 0, true, 1, r->t, 0, r->s);
	product(r, 1, true, 1, r->t, 0, r->b);
	scale_pixels(v, r->near_norm, r->s);
	scale_pixels(v, r->alike_norm, r->b);
	moka__lattice_filter(r->c->pool, &r->near, v->classes, r->s, r->t, true, false, r->work);
	moka__lattice_filter(r->c->pool, &r->alike, v->classes, r->b, r->t, true, true, r->work);
	for (int64_t i = 0; i < v->pixels; i++) {
		real sum = 0;

		for (int64_t k = i; k < v->classes * v->pixels; k += v->pixels)
			sum += p[k] * r->t[k];
		for (int64_t k = i; k < v->classes * v->pixels; k += v->pixels)
			r->g[k] = p[k] * (r->t[k] - sum);
	}
}

static enum moka_status meanfield_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct meanfield *v = l->priv;
	const int64_t size = v->classes * v->pixels;
	struct run r;

	for (int i = 0; i < 2; i++)
		if (c->bottom[i].diff)
			moka_set(c->bottom[i].count, 0, c->bottom[i].diff);
	if (!c->top[0].count || !c->top[0].diff)
		return MOKA_OK;
	run_init(&r, l, c);
	MOKA_TRY(near_filter(&r));
	for (int64_t n = 0; n < v->num; n++) {
		MOKA_TRY(alike_filter(&r, n));
		memcpy(r.g, c->top[0].diff + n * size, (size_t)size * sizeof(real));
		for (int64_t step = v->steps - 1; step >= 0; step--) {
			if (c->bottom[0].diff)
				moka_axpy(size, 1, r.g, c->bottom[0].diff + n * size);
			step_back(&r, probabilities(&r, n, step));
		}
		if (c->bottom[1].diff)
			moka_axpy(size, 1, r.g, c->bottom[1].diff + n * size);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_multi_stage_meanfield = {
	.schema = { "MultiStageMeanfield", "multi_stage_meanfield_param", 146, 43, &meanfield_message, "MULTI_STAGE_MEANFIELD", 40, "CRF-RNN" },
	.doc = "mean field inference in a dense conditional random field: sharpens scores along an image's edges",
	.min_bottom = 3, .max_bottom = 3, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.no_gradient = 1 << 2,
	.shape = meanfield_shape, .forward = meanfield_forward, .backward = meanfield_backward,
};
/* clang-format on */
