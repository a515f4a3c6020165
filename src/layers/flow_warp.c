/*
 * FlowWarp (FlowNet 2): fetches each value of an image from where a flow field says it came from, by bilinear
 * interpolation.
 *
 *     bottoms  image (N, C, H, W)   flow (N, 2, H, W): how far to the right, how far down     top (N, C, H, W)
 *
 * What would come from outside the image is 0, or not a number. At the last row and column there is nothing to interpolate
 * with: the value stays as it is up to the border. The flow's gradient is the derivative inside the cell.
 */
#include "layer.h"

#include <math.h>

enum { ZERO = 1, NOT_A_NUMBER = 2 };

struct warp_param {
	int fill_value;
};

static const struct moka_enum_value fill_values[] = { { "ZERO", ZERO }, { "NOT_A_NUMBER", NOT_A_NUMBER }, { NULL, 0 } };
static const struct moka_field warp_fields[] = { MOKA_F_ENUM(struct warp_param, fill_value, 1, fill_values, ZERO,
							     "what comes from outside the image"),
						 MOKA_F_END };
static const struct moka_message warp_message = { "FlowWarpParameter", warp_fields, sizeof(struct warp_param) };

static enum moka_status warp_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_shape *x = &l->bottom[0].shape, *flow = &l->bottom[1].shape;
	char text[2][MOKA_SHAPE_TEXT];
	bool fits = (x->n < 0 || x->n == 4) && (flow->n < 0 || (flow->n == 4 && (flow->d[1] < 0 || flow->d[1] == 2)));

	for (int i = 0; fits && x->n == 4 && flow->n == 4 && i < 4; i++)
		fits = i == 1 || x->d[i] < 0 || flow->d[i] < 0 || x->d[i] == flow->d[i];
	if (!fits)
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1,
			"the image '%s' is %s and the flow '%s' is %s; an image (N, C, H, W) takes a flow (N, 2, H, W)",
			l->bottom[0].name, moka_shape_text(x, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(flow, text[1], sizeof(text[1])));
	l->top[0].shape = *x;
	l->macs = moka_layer_product(2, (int64_t[]){ 4, moka_shape_count(x) });
	return MOKA_OK;
}

struct warp_job {
	int64_t c, h, w;
	const real *x, *flow, *dy;
	real *out, *dflow;
	real fill;
};

/* The four neighbours of the place that (n, y, x) comes from, as offsets in a plane; false: outside. */
struct spot {
	int64_t tl, tr, bl, br;
	real a, b; /* parts of the way right and down */
};

static bool spot_of(const struct warp_job *j, int64_t n, int64_t y, int64_t x, struct spot *s)
{
	const real *flow = j->flow + n * 2 * j->h * j->w + y * j->w + x;
	const real fx = (real)x + flow[0], fy = (real)y + flow[j->h * j->w];

	if (!(fx >= 0 && fy >= 0 && fx < (real)j->w && fy < (real)j->h))
		return false;
	const int64_t left = (int64_t)fx, top = (int64_t)fy;
	const int64_t right = MOKA_MIN(left + 1, j->w - 1), low = MOKA_MIN(top + 1, j->h - 1);

	*s = (struct spot){ top * j->w + left,	top * j->w + right, low * j->w + left,
			    low * j->w + right, fx - (real)left,    fy - (real)top };
	return true;
}

/* Rows (n, y). */
static void forward_piece(void *arg, int64_t begin, int64_t end)
{
	const struct warp_job *j = arg;
	const int64_t plane = j->h * j->w;

	for (int64_t r = begin; r < end; r++)
		for (int64_t x = 0; x < j->w; x++) {
			const int64_t n = r / j->h, y = r % j->h;
			struct spot s;
			const bool inside = spot_of(j, n, y, x, &s);

			for (int64_t c = 0; c < j->c; c++) {
				const real *p = j->x + (n * j->c + c) * plane;

				j->out[(n * j->c + c) * plane + y * j->w + x] =
					!inside ? j->fill
						: (1 - s.b) * ((1 - s.a) * p[s.tl] + s.a * p[s.tr]) +
							  s.b * ((1 - s.a) * p[s.bl] + s.a * p[s.br]);
			}
		}
}

static struct warp_job warp_job(const struct moka_layer *l, struct moka_call *c)
{
	const struct warp_param *p = l->param;
	const int64_t *d = l->bottom[0].shape.d;

	return (struct warp_job){ .c = d[1],
				  .h = d[2],
				  .w = d[3],
				  .x = c->bottom[0].data,
				  .flow = c->bottom[1].data,
				  .dy = c->top[0].diff,
				  .fill = p->fill_value == ZERO ? 0 : (real)NAN };
}

static enum moka_status warp_forward(const struct moka_layer *l, struct moka_call *c)
{
	struct warp_job j = warp_job(l, c);

	j.out = c->top[0].data;
	moka_parallel(c->pool, forward_piece, &j, l->bottom[0].shape.d[0] * j.h,
		      MOKA_MAX(4096 / MOKA_MAX(j.w * j.c, 1), 1));
	return MOKA_OK;
}

/* Planes (n, c) of the image's gradient: several places may fetch the same value. */
static void image_piece(void *arg, int64_t begin, int64_t end)
{
	const struct warp_job *j = arg;
	const int64_t plane = j->h * j->w;

	for (int64_t p = begin; p < end; p++) {
		real *dx = j->out + p * plane;

		moka_set(plane, 0, dx);
		for (int64_t i = 0; i < plane; i++) {
			const real g = j->dy[p * plane + i];
			struct spot s;

			if (!spot_of(j, p / j->c, i / j->w, i % j->w, &s))
				continue;
			dx[s.tl] += (1 - s.b) * (1 - s.a) * g;
			dx[s.tr] += (1 - s.b) * s.a * g;
			dx[s.bl] += s.b * (1 - s.a) * g;
			dx[s.br] += s.b * s.a * g;
		}
	}
}

static void flow_piece(void *arg, int64_t begin, int64_t end)
{
	const struct warp_job *j = arg;
	const int64_t plane = j->h * j->w;

	for (int64_t r = begin; r < end; r++)
		for (int64_t x = 0; x < j->w; x++) {
			const int64_t n = r / j->h, y = r % j->h, at = y * j->w + x;
			real right = 0, down = 0;
			struct spot s;

			if (spot_of(j, n, y, x, &s))
				for (int64_t c = 0; c < j->c; c++) {
					const real *p = j->x + (n * j->c + c) * plane,
						   g = j->dy[(n * j->c + c) * plane + at];

					right += g * ((1 - s.b) * (p[s.tr] - p[s.tl]) + s.b * (p[s.br] - p[s.bl]));
					down += g * ((1 - s.a) * (p[s.bl] - p[s.tl]) + s.a * (p[s.br] - p[s.tr]));
				}
			j->dflow[n * 2 * plane + at] = right;
			j->dflow[(n * 2 + 1) * plane + at] = down;
		}
}

static enum moka_status warp_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct warp_job j = warp_job(l, c);
	const int64_t num = l->bottom[0].shape.d[0];

	j.out = c->bottom[0].diff;
	j.dflow = c->bottom[1].diff;
	for (int i = 0; i < 2 && !j.dy; i++)
		if (c->bottom[i].diff)
			moka_set(c->bottom[i].count, 0, c->bottom[i].diff);
	if (j.dy && j.out)
		moka_parallel(c->pool, image_piece, &j, num * j.c, 1);
	if (j.dy && j.dflow)
		moka_parallel(c->pool, flow_piece, &j, num * j.h, MOKA_MAX(4096 / MOKA_MAX(j.w * j.c, 1), 1));
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_flow_warp = {
	.schema = { "FlowWarp", "flow_warp_param", 159, 0, &warp_message, NULL, 0, "FlowNet 2" },
	.doc = "moves an image along a flow field",
	.min_bottom = 2, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_PARTIAL,
	.shape = warp_shape, .forward = warp_forward, .backward = warp_backward,
};
/* clang-format on */
