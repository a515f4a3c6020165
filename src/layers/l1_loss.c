/*
 * L1Loss (FlowNet, NVIDIA): the sum of |a - b| (of |a| where there is one bottom), divided by the batch.
 *
 * FlowNet's fields: l2_per_location takes sqrt(sum over channels of d^2 + epsilon) of each place instead; differences
 * that are not numbers don't count, and normalize_by_num_entries divides by the places that do; below plateau a
 * difference costs nothing. NVIDIA's has no fields. Where d is 0 the gradient is 0, as NVIDIA has it (FlowNet: -1).
 */
#include "loss.h"

#include <tgmath.h>

struct l1_param {
	bool l2_per_location, l2_prescale_by_channels, normalize_by_num_entries;
	float epsilon, plateau;
};

/* clang-format off */
#define P struct l1_param
#define FIELD(name, num, kind, def, help) \
	{ #name, num, kind, MOKA_OPTIONAL, (uint32_t)offsetof(P, name), def, NULL, NULL, NULL, help, "FlowNet" }
static const struct moka_field l1_fields[] = {
	FIELD(l2_per_location, 1, MOKA_BOOL, 0, "take the length of each place's vector of channels"),
	FIELD(l2_prescale_by_channels, 2, MOKA_BOOL, 0, "divide the square of that length by the number of channels"),
	FIELD(normalize_by_num_entries, 3, MOKA_BOOL, 0, "divide by the number of places that are numbers, not by the batch"),
	FIELD(epsilon, 4, MOKA_FLOAT, 1e-2, "added to the square of a length"),
	FIELD(plateau, 3001, MOKA_FLOAT, 0, "differences smaller than this cost nothing"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message l1_message = { "L1LossParameter", l1_fields, sizeof(struct l1_param) };

struct l1 {
	int64_t num, channels, inner, places;
};

static enum moka_status l1_shape(struct moka_layer *l, struct moka_findings *f)
{
	struct moka_shape s = l->bottom[0].shape;
	struct l1 *v = moka_layer_priv(l, sizeof(*v));
	const bool two = l->n_bottom > 1;
	const int64_t counts[2] = { moka_shape_count(&s), two ? moka_shape_count(&l->bottom[1].shape) : -1 };
	char text[2][MOKA_SHAPE_TEXT];

	if (!v)
		return MOKA_ERR_NOMEM;
	l->top[0].shape = moka_shape_make(0);
	if (s.n == 0)
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 0,
					     "bottom '%s' is a single number, a loss wants a batch", l->bottom[0].name);
	if (two && counts[0] >= 0 && counts[1] >= 0 && counts[0] != counts[1])
		return moka_layer_bad_bottom(
			l, f, "shape-mismatch", 1, "'%s' is %s and '%s' is %s: they must have as many values",
			l->bottom[0].name, moka_shape_text(&s, text[0], sizeof(text[0])), l->bottom[1].name,
			moka_shape_text(&l->bottom[1].shape, text[1], sizeof(text[1])));
	*v = (struct l1){ s.n < 0 ? -1 : s.d[0],
			  s.n < 0   ? -1
			  : s.n < 2 ? 1
				    : s.d[1],
			  s.n < 0 ? -1 : moka_shape_count_range(&s, 2, s.n), -1 };
	v->places = moka_layer_product(2, (int64_t[]){ v->num, v->inner });
	l->scratch_bytes = moka__loss_sum_bytes(v->places, moka__loss_tile(MOKA_MAX(v->channels, 1)));
	return MOKA_OK;
}

struct l1_job {
	const struct l1 *v;
	const struct l1_param *p;
	const real *a, *b;
	real *da, *db;
	real scale;
};

/* The difference at a value; 0, and *number false, where it is not a number. */
static real difference(const struct l1_job *j, int64_t at, bool *number)
{
	const real d = j->b ? j->a[at] - j->b[at] : j->a[at];

	*number = !isnan(d);
	return *number ? d : 0;
}

static int64_t place_at(const struct l1 *v, int64_t place, int64_t channel)
{
	return (place / v->inner * v->channels + channel) * v->inner + place % v->inner;
}

/* Square of the length at a place, without epsilon; 0 on the plateau. */
static real square_at(const struct l1_job *j, int64_t place)
{
	const real plateau = (real)j->p->plateau;
	real sum = 0;
	bool number;

	for (int64_t c = 0; c < j->v->channels; c++) {
		const real d = difference(j, place_at(j->v, place, c), &number);

		sum += d * d;
	}
	if (j->p->l2_prescale_by_channels)
		sum /= (real)j->v->channels;
	return sum < plateau * plateau ? 0 : sum;
}

static double loss_part(const void *arg, int64_t begin, int64_t end)
{
	const struct l1_job *j = arg;
	double sum = 0;
	bool number;

	for (int64_t place = begin; place < end; place++) {
		if (j->p->l2_per_location) {
			sum += (double)sqrt(square_at(j, place) + (real)j->p->epsilon);
			continue;
		}
		for (int64_t c = 0; c < j->v->channels; c++) {
			const real d = fabs(difference(j, place_at(j->v, place, c), &number));

			sum += d < (real)j->p->plateau ? 0 : (double)d;
		}
	}
	return sum;
}

static double count_part(const void *arg, int64_t begin, int64_t end)
{
	const struct l1_job *j = arg;
	int64_t n = 0;
	bool number;

	for (int64_t place = begin; place < end; place++)
		for (int64_t c = 0; c < j->v->channels; c++) {
			difference(j, place_at(j->v, place, c), &number);
			n += number;
		}
	return (double)n;
}

static struct l1_job l1_job(const struct moka_layer *l, const struct moka_call *c)
{
	return (struct l1_job){
		.v = l->priv, .p = l->param, .a = c->bottom[0].data, .b = l->n_bottom > 1 ? c->bottom[1].data : NULL
	};
}

static double normalizer(struct moka_call *c, const struct l1_job *j)
{
	const int64_t tile = moka__loss_tile(MOKA_MAX(j->v->channels, 1));
	double n = (double)j->v->num;

	if (j->p->normalize_by_num_entries && j->v->channels)
		n = moka__loss_sum(c->pool, count_part, j, j->v->places, tile, c->scratch) / (double)j->v->channels;
	return n > 0 ? n : 1;
}

static enum moka_status l1_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct l1_job j = l1_job(l, c);
	const int64_t tile = moka__loss_tile(MOKA_MAX(j.v->channels, 1));
	const double n = normalizer(c, &j);

	c->top[0].data[0] = (real)(moka__loss_sum(c->pool, loss_part, &j, j.v->places, tile, c->scratch) / n);
	return MOKA_OK;
}

static real slope(const struct l1_job *j, int64_t place, int64_t at)
{
	bool number;
	const real d = difference(j, at, &number);
	real square;

	if (!number)
		return 0;
	if (!j->p->l2_per_location)
		return fabs(d) < (real)j->p->plateau ? 0 : d > 0 ? 1 : d < 0 ? -1 : 0;
	square = square_at(j, place);
	if (square == 0)
		return 0;
	return d / sqrt(square + (real)j->p->epsilon) / (j->p->l2_prescale_by_channels ? (real)j->v->channels : 1);
}

static void gradient_piece(void *arg, int64_t begin, int64_t end)
{
	const struct l1_job *j = arg;

	for (int64_t place = begin; place < end; place++)
		for (int64_t c = 0; c < j->v->channels; c++) {
			const int64_t at = place_at(j->v, place, c);
			const real g = j->scale * slope(j, place, at);

			if (j->da)
				j->da[at] = g;
			if (j->db)
				j->db[at] = -g;
		}
}

static enum moka_status l1_backward(const struct moka_layer *l, struct moka_call *c)
{
	struct l1_job j = l1_job(l, c);

	j.da = c->bottom[0].diff;
	j.db = l->n_bottom > 1 ? c->bottom[1].diff : NULL;
	j.scale = (real)((double)moka__loss_weight(c) / normalizer(c, &j));
	if (j.da || j.db)
		moka_parallel(c->pool, gradient_piece, &j, j.v->places, moka__loss_tile(MOKA_MAX(j.v->channels, 1)));
	return MOKA_OK;
}

/* clang-format off */
const struct moka_layer_type moka_layer_l1_loss = {
	.schema = { "L1Loss", "l1_loss_param", 151, 0, &l1_message, NULL, 0, "FlowNet, NVIDIA" },
	.doc = "regression loss: the sum of absolute differences",
	.min_bottom = 1, .max_bottom = 2, .min_top = 1, .max_top = 1,
	.flags = MOKA_LOSS | MOKA_PARTIAL,
	.shape = l1_shape, .forward = l1_forward, .backward = l1_backward,
};
/* clang-format on */
