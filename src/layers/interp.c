/*
 * Interp (DeepLab, PSPNet): resizes planes by bilinear interpolation in which the corners of input and output coincide.
 *
 *     bottom (N, C, H, W), cropped by -pad_beg at the top and left and -pad_end at the bottom and right
 *     output y, of h2 rows, lies at input row y * (h1 - 1) / (h2 - 1)
 *
 * The size is given (height and width), or follows from shrink_factor and zoom_factor, which with corners that
 * coincide mean (h - 1) / shrink + 1 and (h - 1) * zoom + 1. PSPNet computes the places in single precision; so does this.
 */
#include "layer.h"

struct interp_param {
	int32_t height, width, zoom_factor, shrink_factor, pad_beg, pad_end;
};

/* clang-format off */
#define P struct interp_param
static const struct moka_field interp_fields[] = {
	MOKA_F_INT32(P, height, 1, 0, "height of the output"),
	MOKA_F_INT32(P, width, 2, 0, "width of the output"),
	MOKA_F_INT32(P, zoom_factor, 3, 1, "makes h into (h - 1) * zoom_factor + 1"),
	MOKA_F_INT32(P, shrink_factor, 4, 1, "makes h into (h - 1) / shrink_factor + 1, before zoom_factor"),
	MOKA_F_INT32(P, pad_beg, 5, 0, "0, or negative: crops that many rows and columns at the beginning"),
	MOKA_F_INT32(P, pad_end, 6, 0, "0, or negative: crops that many rows and columns at the end"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message interp_message = { "InterpParameter", interp_fields, sizeof(struct interp_param) };

struct interp {
	int64_t planes, h, w; /* of the bottom */
	int64_t crop, h1, w1; /* the part that is used starts at (crop, crop) */
	int64_t h2, w2;
};

static bool has(const struct moka_layer *l, const char *field)
{
	return l->sub && moka_has(l->sub, field);
}

static enum moka_status check_settings(const struct moka_layer *l, struct moka_findings *f)
{
	const struct interp_param *p = l->param;
	const bool factor = has(l, "shrink_factor") || has(l, "zoom_factor"),
		   size = has(l, "height") && has(l, "width");

	if (p->pad_beg > 0 || p->pad_end > 0)
		return moka_layer_bad(l, f, "bad-setting", p->pad_beg > 0 ? "pad_beg" : "pad_end",
				      "pad_beg and pad_end crop: they must be 0 or negative, and are %d and %d",
				      p->pad_beg, p->pad_end);
	if (p->shrink_factor < 1 || p->zoom_factor < 1)
		return moka_layer_bad(l, f, "bad-setting", p->shrink_factor < 1 ? "shrink_factor" : "zoom_factor",
				      "%s must be at least 1, and is %d",
				      p->shrink_factor < 1 ? "shrink_factor" : "zoom_factor",
				      p->shrink_factor < 1 ? p->shrink_factor : p->zoom_factor);
	if (!factor && !size)
		return moka_layer_bad(l, f, "missing-setting", has(l, "height") ? "height" : "width",
				      "the size is missing: height and width, or shrink_factor, or zoom_factor");
	if (size && (p->height < 1 || p->width < 1))
		return moka_layer_bad(l, f, "bad-setting", p->height < 1 ? "height" : "width",
				      "the output must be at least 1 x 1, and is %d x %d", p->height, p->width);
	return MOKA_OK;
}

/* One factor alone goes before height and width, both together after them: as PSPNet has it. */
static int64_t size_after(const struct moka_layer *l, int64_t in, int32_t stated)
{
	const struct interp_param *p = l->param;
	const bool shrink = has(l, "shrink_factor"), zoom = has(l, "zoom_factor");

	if (shrink == zoom && has(l, "height") && has(l, "width"))
		return stated;
	if (in < 0)
		return -1;
	return moka_add(moka_layer_product(2, (int64_t[]){ (in - 1) / p->shrink_factor, p->zoom_factor }), 1, &in)
		       ? in
		       : INT64_MAX;
}

static enum moka_status interp_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct interp_param *p = l->param;
	struct moka_shape s = l->bottom[0].shape;
	struct interp *v = moka_layer_priv(l, sizeof(*v));
	const int64_t cut = -((int64_t)p->pad_beg + p->pad_end);
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	if (s.n >= 0 && s.n != 4)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "resizes blobs of 4 axes (num, channels, height, width), and '%s' is %s",
					     l->bottom[0].name, moka_shape_text(&s, text, sizeof(text)));
	if (s.n < 0)
		s = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
	MOKA_TRY(check_settings(l, f));
	*v = (struct interp){ moka_layer_product(2, s.d), s.d[2], s.d[3], -(int64_t)p->pad_beg, -1, -1, -1, -1 };
	v->h1 = v->h < 0 ? -1 : v->h - cut;
	v->w1 = v->w < 0 ? -1 : v->w - cut;
	if ((v->h >= 0 && v->h1 < 1) || (v->w >= 0 && v->w1 < 1))
		return moka_layer_bad(l, f, "bad-setting", has(l, "pad_beg") ? "pad_beg" : "pad_end",
				      "nothing is left of '%s', which is %s, where %lld rows and columns are cropped",
				      l->bottom[0].name, moka_shape_text(&s, text, sizeof(text)), (long long)cut);
	v->h2 = s.d[2] = size_after(l, v->h1, p->height);
	v->w2 = s.d[3] = size_after(l, v->w1, p->width);
	l->top[0].shape = s;
	l->macs = moka_layer_product(2, (int64_t[]){ 4, moka_shape_count(&s) });
	return MOKA_OK;
}

/* Where output place i falls: between `at` and `at` + `next`, `part` of the way. */
struct spot {
	int64_t at, next;
	real part;
};

static struct spot spot_of(int64_t i, int64_t in, int64_t out)
{
	const float ratio = out > 1 ? (float)(in - 1) / (float)(out - 1) : 0, place = ratio * (float)i;
	const int64_t at = in == out ? i : MOKA_MIN((int64_t)place, in - 1);

	return (struct spot){ at, at < in - 1 ? 1 : 0, in == out ? 0 : (real)(place - (float)at) };
}

struct interp_job {
	const struct interp *v;
	const real *x, *dy;
	real *out;
};

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct interp_job *j = arg;
	const struct interp *v = j->v;

	for (int64_t r = begin; r < end; r++) { /* rows of all output planes */
		const struct spot y = spot_of(r % v->h2, v->h1, v->h2);
		const real *top = j->x + ((r / v->h2) * v->h + v->crop + y.at) * v->w + v->crop,
			   *low = top + y.next * v->w;

		for (int64_t i = 0; i < v->w2; i++) {
			const struct spot x = spot_of(i, v->w1, v->w2);

			j->out[r * v->w2 + i] =
				(1 - y.part) * ((1 - x.part) * top[x.at] + x.part * top[x.at + x.next]) +
				y.part * ((1 - x.part) * low[x.at] + x.part * low[x.at + x.next]);
		}
	}
}

static enum moka_status interp_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct interp *v = l->priv;
	struct interp_job j = { v, c->bottom[0].data, NULL, c->top[0].data };

	moka_parallel(c->pool, forward_piece, &j, v->planes * v->h2, MOKA_MAX(8192 / v->w2, 1));
	return MOKA_OK;
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct interp_job *j = arg;
	const struct interp *v = j->v;

	for (int64_t p = begin; p < end; p++) {
		real *dx = j->out + p * v->h * v->w;

		moka_set(v->h * v->w, 0, dx);
		for (int64_t k = 0; j->dy && k < v->h2; k++) {
			const struct spot y = spot_of(k, v->h1, v->h2);
			real *top = dx + (v->crop + y.at) * v->w + v->crop, *low = top + y.next * v->w;

			for (int64_t i = 0; i < v->w2; i++) {
				const struct spot x = spot_of(i, v->w1, v->w2);
				const real g = j->dy[(p * v->h2 + k) * v->w2 + i];

				top[x.at] += (1 - y.part) * (1 - x.part) * g;
				top[x.at + x.next] += (1 - y.part) * x.part * g;
				low[x.at] += y.part * (1 - x.part) * g;
				low[x.at + x.next] += y.part * x.part * g;
			}
		}
	}
}

static enum moka_status interp_backward(const struct moka_layer *l, struct moka_call *c)
{
	const struct interp *v = l->priv;
	struct interp_job j = { v, NULL, c->top[0].diff, c->bottom[0].diff };

	if (j.out)
		moka_parallel(c->pool, gradient_piece, &j, v->planes, 1);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_interp = {
	.schema = { "Interp", "interp_param", 143, 0, &interp_message, NULL, 0, "DeepLab, PSPNet" },
	.doc = "resizes planes by bilinear interpolation, corners on corners",
	.min_bottom = 1, .max_bottom = 1, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = interp_shape, .forward = interp_forward, .backward = interp_backward,
};
/* clang-format on */
