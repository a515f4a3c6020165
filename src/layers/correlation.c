/*
 * Correlation (FlowNet): compares patches of two blobs at every displacement up to max_displacement.
 *
 *     bottoms a, b (N, C, H, W), seen with `pad` zeros around     top (N, D * D, h, w), D = 2 (max_displacement / stride_2) + 1
 *     top channel (p, o) at (y, x): mean over a kernel_size patch and all channels of a times b, a at
 *     (y, x) * stride_1 + max_displacement, b another (p, o) * stride_2 away
 *
 * correlation_type SUBTRACT takes the mean of |a - b| instead. single_direction and do_abs are read; nothing in the fork
 * uses them for this layer, nor does this.
 */
#include "layer.h"

#include <tgmath.h>

enum { MULTIPLY, SUBTRACT };

struct correlation_param {
	uint32_t pad, kernel_size, max_displacement, stride_1, stride_2;
	int correlation_type;
};

static const struct moka_enum_value type_values[] = { { "MULTIPLY", MULTIPLY }, { "SUBTRACT", SUBTRACT }, { NULL, 0 } };

/* clang-format off */
#define P struct correlation_param
static const struct moka_field correlation_fields[] = {
	MOKA_F_UINT32(P, pad, 2, 0, "zeros around both blobs"),
	MOKA_F_UINT32(P, kernel_size, 3, 0, "side of a patch; odd"),
	MOKA_F_UINT32(P, max_displacement, 4, 0, "how far apart the patches are at most"),
	MOKA_F_UINT32(P, stride_1, 5, 1, "step of the patches of the first blob"),
	MOKA_F_UINT32(P, stride_2, 6, 1, "step of the displacement"),
	{ "do_abs", 7, MOKA_BOOL, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, "read; not used, as in the fork", NULL },
	{ "single_direction", 8, MOKA_INT32, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, NULL, "read; not used here, as in the fork", NULL },
	MOKA_F_ENUM(P, correlation_type, 15, type_values, MULTIPLY, "products, or distances"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message correlation_message = { "CorrelationParameter", correlation_fields,
							 sizeof(struct correlation_param) };

struct correlation {
	int64_t n, c, h, w, oh, ow;
	int64_t pad, kernel, reach, s1, s2; /* reach: max_displacement */
	int64_t radius, grid;		    /* displacements either way, and all together along an axis */
	bool subtract;
};

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && moka_has(l->sub, field);
}

static enum moka_status read_settings(const struct moka_layer *l, struct moka_findings *f, struct correlation *v)
{
	const struct correlation_param *p = l->param;

	if (!has(l, "kernel_size") || !has(l, "max_displacement"))
		return moka_layer_bad(l, f, "missing-setting", NULL, "%s is missing",
				      has(l, "kernel_size") ? "max_displacement" : "kernel_size");
	if (p->kernel_size % 2 == 0)
		return moka_layer_bad(l, f, "bad-setting", "kernel_size", "kernel_size must be odd, and is %u",
				      p->kernel_size);
	if (!p->stride_1 || !p->stride_2)
		return moka_layer_bad(l, f, "bad-setting", p->stride_1 ? "stride_2" : "stride_1",
				      "the stride must be at least 1");
	if (p->max_displacement / p->stride_2 > 10000)
		return moka_layer_bad(l, f, "too-large", "max_displacement", "%u displacements either way are too many",
				      p->max_displacement / p->stride_2);
	*v = (struct correlation){ .pad = p->pad,
				   .kernel = p->kernel_size,
				   .reach = p->max_displacement,
				   .s1 = p->stride_1,
				   .s2 = p->stride_2,
				   .subtract = p->correlation_type == SUBTRACT };
	v->radius = v->reach / v->s2;
	v->grid = 2 * v->radius + 1;
	return MOKA_OK;
}

/* Places of one axis, rounded up; less than 1 where nothing fits; -1 unknown. */
static enum moka_status places(const struct moka_layer *l, struct moka_findings *f, const struct correlation *v,
			       int64_t in, int64_t *out)
{
	const int64_t border = v->reach + (v->kernel - 1) / 2;
	const int64_t free_places = in > INT32_MAX ? INT32_MAX : in + 2 * v->pad - 2 * border;

	*out = in < 0 ? -1 : free_places < 1 ? 0 : (free_places - 1) / v->s1 + 1;
	if (*out)
		return MOKA_OK;
	return moka_layer_bad(
		l, f, "kernel-too-large", "max_displacement",
		"kernel and displacement reach over %lld on each side, and '%s' has only %lld there with its padding",
		(long long)border, l->bottom[0].name, (long long)(in + 2 * v->pad));
}

static enum moka_status correlation_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka_shape s = l->bottom[0].shape;
	struct correlation *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	if (s.n < 0)
		s = l->bottom[1].shape;
	if (s.n >= 0 && s.n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "compares blobs of 4 axes (num, channels, height, width), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(&s, text, sizeof(text)));
	MOKA_TRY(moka_layer_same_shapes(l, f));
	if (s.n < 0)
		s = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	MOKA_TRY(read_settings(l, f, v));
	v->n = s.d[0];
	v->c = s.d[1];
	v->h = s.d[2];
	v->w = s.d[3];
	MOKA_TRY(places(l, f, v, v->h, &v->oh));
	MOKA_TRY(places(l, f, v, v->w, &v->ow));
	l->top[0].shape = moka_shape_make(4, v->n, v->grid * v->grid, v->oh, v->ow);
	l->macs = moka_layer_product(4, (int64_t[]){ moka_shape_count(&l->top[0].shape), v->kernel, v->kernel, v->c });
	return MOKA_OK;
}

struct correlation_job {
	const struct correlation *v;
	const real *a, *b, *dy;
	real *out;
	bool first; /* backward: a's gradient; else b's */
};

/* Sum over one channel of the patches at (y, x) of the padded a and (y + p, x + o) of the padded b. */
static real patch(const struct correlation *v, const real *a, const real *b, int64_t y, int64_t x, int64_t p, int64_t o)
{
	real sum = 0;

	for (int64_t j = 0; j < v->kernel; j++)
		for (int64_t i = 0; i < v->kernel; i++) {
			const int64_t ya = y + j - v->pad, xa = x + i - v->pad, yb = ya + p, xb = xa + o;
			const real va = ya >= 0 && ya < v->h && xa >= 0 && xa < v->w ? a[ya * v->w + xa] : 0;
			const real vb = yb >= 0 && yb < v->h && xb >= 0 && xb < v->w ? b[yb * v->w + xb] : 0;

			sum += v->subtract ? fabs(va - vb) : va * vb;
		}
	return sum;
}

/* Rows of the top, numbered. */
static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct correlation_job *j = arg;
	const struct correlation *v = j->v;
	const real scale = 1 / (real)(v->kernel * v->kernel * v->c);

	for (int64_t r = begin; r < end; r++) {
		const int64_t y = r % v->oh, d = r / v->oh % (v->grid * v->grid), n = r / v->oh / (v->grid * v->grid);
		const int64_t o = (d % v->grid - v->radius) * v->s2, p = (d / v->grid - v->radius) * v->s2;

		for (int64_t x = 0; x < v->ow; x++) {
			real sum = 0;

			for (int64_t c = 0; c < v->c; c++)
				sum += patch(v, j->a + (n * v->c + c) * v->h * v->w,
					     j->b + (n * v->c + c) * v->h * v->w, y * v->s1 + v->reach,
					     x * v->s1 + v->reach, p, o);
			j->out[r * v->ow + x] = sum * scale;
		}
	}
}

static enum moka_status correlation_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct correlation *v = l->priv;
	struct correlation_job j = { v, c->bottom[0].data, c->bottom[1].data, NULL, c->top[0].data, false };

	if (!v->c)
		moka_set(c->top[0].count, 0, j.out);
	else
		moka_parallel(c->pool, forward_piece, &j, v->n * v->grid * v->grid * v->oh, 1);
	return MOKA_OK;
}

/* One patch's share of the gradient of a plane of a or b. */
static void patch_gradient(const struct correlation_job *w, int64_t plane, int64_t y, int64_t x, int64_t p, int64_t o,
			   real g)
{
	const struct correlation *v = w->v;
	const real *a = w->a + plane * v->h * v->w, *b = w->b + plane * v->h * v->w;
	real *out = w->out + plane * v->h * v->w;

	for (int64_t j = 0; j < v->kernel; j++)
		for (int64_t i = 0; i < v->kernel; i++) {
			const int64_t ya = y + j - v->pad, xa = x + i - v->pad, yb = ya + p, xb = xa + o;
			const bool in_a = ya >= 0 && ya < v->h && xa >= 0 && xa < v->w;
			const bool in_b = yb >= 0 && yb < v->h && xb >= 0 && xb < v->w;
			const real va = in_a ? a[ya * v->w + xa] : 0, vb = in_b ? b[yb * v->w + xb] : 0;
			const real slope = va > vb ? 1 : va < vb ? -1 : 0;

			if (w->first && in_a)
				out[ya * v->w + xa] += g * (v->subtract ? slope : vb);
			if (!w->first && in_b)
				out[yb * v->w + xb] += g * (v->subtract ? -slope : va);
		}
}

/* Planes (n, c). */
static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct correlation_job *w = arg;
	const struct correlation *v = w->v;
	const int64_t grid = v->grid * v->grid;
	const real scale = 1 / (real)(v->kernel * v->kernel * v->c);

	for (int64_t plane = begin; plane < end; plane++) {
		moka_set(v->h * v->w, 0, w->out + plane * v->h * v->w);
		for (int64_t d = 0; d < grid; d++)
			for (int64_t i = 0; i < v->oh * v->ow; i++)
				patch_gradient(w, plane, i / v->ow * v->s1 + v->reach, i % v->ow * v->s1 + v->reach,
					       (d / v->grid - v->radius) * v->s2, (d % v->grid - v->radius) * v->s2,
					       scale * w->dy[(plane / v->c * grid + d) * v->oh * v->ow + i]);
	}
}

static enum moka_status correlation_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct correlation *v = l->priv;

	for (int i = 0; i < 2; i++) {
		struct correlation_job j = {
			v, c->bottom[0].data, c->bottom[1].data, c->top[0].diff, c->bottom[i].diff, i == 0
		};

		if (j.out && j.dy)
			moka_parallel(c->pool, gradient_piece, &j, v->n * v->c, 1);
		else if (j.out)
			moka_set(c->bottom[i].count, 0, j.out);
	}
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_correlation = {
	.schema = { "Correlation", "correlation_param", 150, 0, &correlation_message, NULL, 0, "FlowNet" },
	.doc = "compares patches of two blobs at many displacements",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = correlation_shape, .forward = correlation_forward, .backward = correlation_backward,
};
/* clang-format on */
