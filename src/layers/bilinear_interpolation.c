/*
 * BilinearInterpolation (ctensmeyer's fork): resizes planes to the height and width of a second blob, corners on
 * corners.
 *
 *     bottoms  x (N, C, h, w), like (any, any, H, W)     top  (N, C, H, W)
 *
 * The second bottom's values are not read. Output row i falls at i (h - 1) / (H - 1) of the input; where H is 1, at 0.
 */
#include "layer.h"

struct bilinear {
	int64_t planes, h, w, oh, ow;
};

static enum moka_status bilinear_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka_shape s[2] = { l->bottom[0].shape, l->bottom[1].shape };
	struct bilinear *v = moka_layer_priv(l, sizeof(*v));
	char text[MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < 2; i++) {
		if (s[i].n >= 0 && s[i].n != 4)
			return moka_layer_bad_bottom(
				l, f, "wrong-axes", i,
				"takes blobs of 4 axes (num, channels, height, width), and '%s' is %s",
				l->bottom[i].name, moka_shape_text(&s[i], text, sizeof(text)));
		if (s[i].n < 0)
			s[i] = moka_shape_make(4, (int64_t)-1, (int64_t)-1, (int64_t)-1, (int64_t)-1);
		if (s[i].d[2] == 0 || s[i].d[3] == 0)
			return moka_layer_bad_bottom(l, f, "shape-mismatch", i,
						     "'%s' is %s: planes without a value can't be resized",
						     l->bottom[i].name, moka_shape_text(&s[i], text, sizeof(text)));
	}
	*v = (struct bilinear){ moka_layer_product(2, s[0].d), s[0].d[2], s[0].d[3], s[1].d[2], s[1].d[3] };
	l->top[0].shape = moka_shape_make(4, s[0].d[0], s[0].d[1], v->oh, v->ow);
	l->macs = moka_layer_product(2, (int64_t[]){ 4, moka_shape_count(&l->top[0].shape) });
	return MOKA_OK;
}

/* Where output place i falls: `part` of the way from `at` to `at` + `next`. */
struct spot {
	int64_t at, next;
	real part;
};

static struct spot spot_of(int64_t i, int64_t in, int64_t out)
{
	const int64_t at = out > 1 ? i * (in - 1) / (out - 1) : 0;
	const int64_t rest = out > 1 ? i * (in - 1) % (out - 1) : 0;

	return (struct spot){ at, at < in - 1 ? 1 : 0, out > 1 ? (real)rest / (real)(out - 1) : 0 };
}

struct bilinear_job {
	const struct bilinear *v;
	const real *src;
	real *dst;
};

static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct bilinear_job *j = arg;
	const struct bilinear *v = j->v;

	for (int64_t r = begin; r < end; r++) { /* rows of all output planes */
		const struct spot y = spot_of(r % v->oh, v->h, v->oh);
		const real *top = j->src + (r / v->oh * v->h + y.at) * v->w, *low = top + y.next * v->w;

		for (int64_t i = 0; i < v->ow; i++) {
			const struct spot x = spot_of(i, v->w, v->ow);

			j->dst[r * v->ow + i] =
				(1 - y.part) * ((1 - x.part) * top[x.at] + x.part * top[x.at + x.next]) +
				y.part * ((1 - x.part) * low[x.at] + x.part * low[x.at + x.next]);
		}
	}
}

static enum moka_status bilinear_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct bilinear *v = l->priv;
	struct bilinear_job j = { v, c->bottom[0].data, c->top[0].data };

	moka_parallel(c->pool, forward_piece, &j, v->planes * v->oh, MOKA_MAX(8192 / v->ow, 1));
	return MOKA_OK;
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct bilinear_job *j = arg;
	const struct bilinear *v = j->v;

	moka_set((end - begin) * v->h * v->w, 0, j->dst + begin * v->h * v->w);
	for (int64_t r = begin * v->oh; r < end * v->oh; r++) {
		const struct spot y = spot_of(r % v->oh, v->h, v->oh);
		real *top = j->dst + (r / v->oh * v->h + y.at) * v->w, *low = top + y.next * v->w;

		for (int64_t i = 0; i < v->ow; i++) {
			const struct spot x = spot_of(i, v->w, v->ow);
			const real g = j->src[r * v->ow + i];

			top[x.at] += (1 - y.part) * (1 - x.part) * g;
			top[x.at + x.next] += (1 - y.part) * x.part * g;
			low[x.at] += y.part * (1 - x.part) * g;
			low[x.at + x.next] += y.part * x.part * g;
		}
	}
}

static enum moka_status bilinear_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct bilinear_job j = { l->priv, c->top[0].diff, c->bottom[0].diff };

	if (j.dst && j.src)
		moka_parallel(c->pool, gradient_piece, &j, j.v->planes, 1);
	else if (j.dst)
		moka_set(c->bottom[0].count, 0, j.dst);
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_bilinear_interpolation = {
	.schema = { "BilinearInterpolation", NULL, 0, 0, NULL, NULL, 0, "ctensmeyer/caffe" },
	.doc = "resizes planes to the size of a second blob by bilinear interpolation, corners on corners",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.no_gradient = 1 << 1,
	.shape = bilinear_shape, .forward = bilinear_forward, .backward = bilinear_backward,
};
/* clang-format on */
