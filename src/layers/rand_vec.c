/*
 * RandVec (a fork for generative adversarial networks): random vectors, uniform in [lower, upper), new ones in each pass.
 *
 *     top: (batch_size, dim), or (batch_size, dim, height, width) where both are given
 *
 * The original draws in steps of 1/10000; here every value between can come. `repeat` asks for the same
 * vectors in so many passes, which a pass that remembers nothing can't grant: it is read, and said to be ignored.
 */
#include "layer.h"

#include <math.h>

struct rand_vec_param {
	uint32_t batch_size, dim, height, width, repeat;
	float lower, upper;
};

/* clang-format off */
#define P struct rand_vec_param
static const struct moka_field rand_vec_fields[] = {
	MOKA_F_UINT32(P, batch_size, 1, 64, "vectors in a batch"),
	MOKA_F_UINT32(P, dim, 2, 100, "values of a vector"),
	MOKA_F_FLOAT(P, lower, 3, -1, "smallest value"),
	MOKA_F_FLOAT(P, upper, 4, 1, "values stay below it"),
	MOKA_F_UINT32(P, repeat, 5, 1, "passes that share their vectors; ignored, each has its own"),
	MOKA_F_UINT32(P, height, 6, 0, "with width: the top has 4 axes"),
	MOKA_F_UINT32(P, width, 7, 0, "with height: the top has 4 axes"),
	MOKA_F_END
};
#undef P
/* clang-format on */
static const struct moka_message rand_vec_message = { "RandVecParameter", rand_vec_fields,
						      sizeof(struct rand_vec_param) };

static enum moka_status rand_vec_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct rand_vec_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size;

	if (batch < 1 || p->dim < 1)
		return moka_layer_bad(l, f, "bad-setting", batch < 1 ? "batch_size" : "dim",
				      "batch_size and dim must be 1 or more, and are %lld and %u", (long long)batch,
				      p->dim);
	if (!(p->lower < p->upper) || !(p->upper - p->lower < INFINITY))
		return moka_layer_bad(l, f, "bad-setting", "upper", "nothing lies between lower %g and upper %g",
				      (double)p->lower, (double)p->upper);
	if (p->repeat > 1 && l->for_run)
		moka_find(f, MOKA_WARNING, "ignored-setting", moka_msg_loc(l->msg),
			  "layer '%s' (RandVec): repeat %u is ignored, each pass has vectors of its own", l->name,
			  p->repeat);
	l->top[0].shape = p->height && p->width
				  ? moka_shape_make(4, batch, (int64_t)p->dim, (int64_t)p->height, (int64_t)p->width)
				  : moka_shape_make(2, batch, (int64_t)p->dim);
	return MOKA_OK;
}

static enum moka_status rand_vec_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct rand_vec_param *p = l->param;
	const double low = p->lower, range = (double)p->upper - low;

	for (int64_t i = 0; i < c->top[0].count; i++) {
		const real x = (real)(low + range * moka_rng_uniform(c->rng));

		c->top[0].data[i] = x < (real)p->upper ? x : (real)low; /* rounding may reach the bound */
	}
	return MOKA_OK;
}

/* clang-format off */
/* The number of its message is our own: the fork's is not published. */
const struct moka_layer_type moka_layer_rand_vec = {
	.schema = { "RandVec", "randvec_param", 902, 0, &rand_vec_message, NULL, 0, "a fork for adversarial nets" },
	.doc = "random vectors, uniform between two bounds",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 1,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = rand_vec_shape, .forward = rand_vec_forward,
};
/* clang-format on */
