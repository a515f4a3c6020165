/*
 * ctc.c - see ctc.h.
 *
 * All in the logarithm and in double precision: a probability of a long path underflows everything else. Labels l of a
 * sample are seen as blank l1 blank l2 ... blank (S = 2 L + 1 symbols); alpha[t][s] is the probability of being at symbol s
 * after step t, beta[t][s] that of what must follow. Samples are independent, one piece of parallel work each.
 */
#include "ctc.h"

#include <math.h>
#include <string.h>

static size_t sample_bytes(const struct moka__ctc *v)
{
	const int64_t symbols = v->width < 0 ? -1 : 2 * v->width + 1;

	/* alpha (T, S), beta of two steps, log of each step's sum of exp(), a class's share */
	return moka_layer_bytes(moka_layer_product(2, (int64_t[]){ v->t, symbols }), sizeof(double)) +
	       moka_layer_bytes(symbols, 2 * sizeof(double)) + moka_layer_bytes(v->t, sizeof(double)) +
	       moka_layer_bytes(v->c, sizeof(double));
}

static int64_t size_at(const struct moka_shape *s, int i)
{
	return s->n < 0 ? -1 : i < s->n ? s->d[i] : 1;
}

/* Bottom i must have `want` values, or samples on `axis`. */
static enum moka_status check_size(const struct moka_layer *l, struct moka_findings *f, int i, int64_t got,
				   int64_t want, const char *what)
{
	char text[MOKA_SHAPE_TEXT];

	if (got < 0 || want < 0 || got == want)
		return MOKA_OK;
	return moka_layer_bad_bottom(l, f, "shape-mismatch", i, "'%s' is %s: it must have %lld %s", l->bottom[i].name,
				     moka_shape_text(&l->bottom[i].shape, text, sizeof(text)), (long long)want, what);
}

static enum moka_status check_bottoms(const struct moka_layer *l, struct moka_findings *f, struct moka__ctc *v)
{
	const int last = l->n_bottom - 1;
	const struct moka_shape *labels = &l->bottom[last].shape;
	const int64_t all = moka_shape_count(labels);

	if (l->n_bottom == 2) {
		MOKA_TRY(check_size(l, f, 1, size_at(labels, 0), v->n, "samples (its first axis)"));
		v->rows = labels->n < 0 ? -1 : moka_shape_count_range(labels, 1, labels->n);
		return MOKA_OK;
	}
	if (l->n_bottom == 3)
		MOKA_TRY(check_size(l, f, 1, moka_shape_count(&l->bottom[1].shape),
				    moka_layer_product(2, (int64_t[]){ v->t, v->n }),
				    "markers, one for each step and sample"));
	for (int i = 1; i < last && l->n_bottom == 4; i++)
		MOKA_TRY(check_size(l, f, i, moka_shape_count(&l->bottom[i].shape), v->n,
				    "lengths, one for each sample"));
	MOKA_TRY(check_size(l, f, last, size_at(labels, 1), v->n, "samples (its second axis)"));
	v->rows = v->n > 0 && all >= 0 ? all / v->n : -1;
	return MOKA_OK;
}

enum moka_status moka__ctc_shape(struct moka_layer *l, struct moka_findings *f, struct moka__ctc *v)
{
	const struct moka_shape *x = &l->bottom[0].shape;
	char text[MOKA_SHAPE_TEXT];

	l->top[0].shape = moka_shape_make(0);
	if (x->n >= 0 && x->n < 3)
		return moka_layer_bad_bottom(l, f, "wrong-axes", 0,
					     "the scores '%s' are %s; steps, samples and classes are needed",
					     l->bottom[0].name, moka_shape_text(x, text, sizeof(text)));
	v->t = size_at(x, 0);
	v->n = size_at(x, 1);
	v->c = x->n < 0 ? -1 : moka_shape_count_range(x, 2, x->n);
	v->steps = v->steps < 0 ? v->t : v->steps;
	if (v->c >= 0 && (v->blank >= v->c || v->c < 2))
		return moka_layer_bad(l, f, "bad-setting", NULL,
				      "the blank, %lld, is not one of the %lld classes of '%s', or the only one",
				      (long long)v->blank, (long long)v->c, l->bottom[0].name);
	if (v->blank < 0)
		v->blank = v->c < 0 ? -1 : v->c - 1;
	MOKA_TRY(check_bottoms(l, f, v));
	v->width = v->rows < 0 || v->t < 0 ? -1 : MOKA_MIN(v->rows, v->t);
	l->state_for_backward = true;
	l->state_bytes = moka_layer_bytes(moka_shape_count(x), sizeof(real));
	/* a cost, the number of steps and labels (-1: too many) of each sample; the labels; the samples' own */
	l->scratch_bytes = moka_layer_bytes(v->n, sizeof(double) + 2 * sizeof(int64_t)) +
			   moka_layer_bytes(moka_layer_product(2, (int64_t[]){ v->n, v->width }), sizeof(int64_t)) +
			   moka_layer_bytes(v->n, sample_bytes(v));
	return MOKA_OK;
}

struct ctc_job {
	const struct moka__ctc *v;
	const real *x;
	real *gradient; /* NULL: not asked */
	double *cost;
	int64_t *steps, *lengths, *labels;
	char *own;
	size_t own_bytes;
};

/* ---- reading labels ---------------------------------------------------------------------------------- */

static enum moka_status label_bad(const struct moka_layer *l, struct moka_call *c, int bottom, int64_t n, real value,
				  const char *what)
{
	const struct moka__ctc *v = l->priv;

	return moka_call_bad(l, c, MOKA_ERR_DATA,
			     "%s %g in blob '%s', sample %lld: there are %lld steps and %lld classes of '%s'", what,
			     (double)value, l->bottom[bottom].name, (long long)n, (long long)v->t, (long long)v->c,
			     l->bottom[0].name);
}

/* One more label of sample n. Those beyond the width can't fit in the steps: the sample doesn't count. */
static enum moka_status add_label(const struct moka_layer *l, struct moka_call *c, struct ctc_job *j, int64_t n,
				  real value)
{
	const struct moka__ctc *v = j->v;
	const real shifted = value + (real)v->shift;

	if (!(shifted >= 0 && shifted < (real)v->c))
		return label_bad(l, c, l->n_bottom - 1, n, value, "label");
	if (j->lengths[n] >= 0 && j->lengths[n] < v->width)
		j->labels[n * v->width + j->lengths[n]++] = (int64_t)shifted;
	else
		j->lengths[n] = -1;
	return MOKA_OK;
}

static enum moka_status read_padded(const struct moka_layer *l, struct moka_call *c, struct ctc_job *j, int64_t n)
{
	const struct moka__ctc *v = j->v;

	for (int64_t i = 0; i < v->rows; i++) {
		const real label = c->bottom[1].data[n * v->rows + i];

		if (label < 0 || (label > -1 && (int64_t)MOKA_MIN(label, (real)v->c) == v->blank))
			continue;
		MOKA_TRY(add_label(l, c, j, n, label));
	}
	return MOKA_OK;
}

static enum moka_status read_marked(const struct moka_layer *l, struct moka_call *c, struct ctc_job *j, int64_t n)
{
	const struct moka__ctc *v = j->v;

	for (int64_t t = 1; t < j->steps[n]; t++)
		if (c->bottom[1].data[t * v->n + n] < (real)0.5)
			j->steps[n] = t;
	for (int64_t i = 0; i < v->rows && c->bottom[2].data[i * v->n + n] >= 0; i++)
		MOKA_TRY(add_label(l, c, j, n, c->bottom[2].data[i * v->n + n]));
	if (!j->lengths[n])
		j->steps[n] = 0;
	return MOKA_OK;
}

static enum moka_status read_counted(const struct moka_layer *l, struct moka_call *c, struct ctc_job *j, int64_t n)
{
	const struct moka__ctc *v = j->v;
	const real steps = c->bottom[1].data[n], length = c->bottom[2].data[n];

	if (!(steps >= 0 && steps <= (real)v->t))
		return label_bad(l, c, 1, n, steps, "length");
	if (!(length >= 0 && length <= (real)v->rows))
		return label_bad(l, c, 2, n, length, "length");
	j->steps[n] = (int64_t)steps;
	for (int64_t i = 0; i < (int64_t)length; i++)
		MOKA_TRY(add_label(l, c, j, n, c->bottom[3].data[i * v->n + n]));
	return MOKA_OK;
}

static enum moka_status read_labels(const struct moka_layer *l, struct moka_call *c, struct ctc_job *j)
{
	for (int64_t n = 0; n < j->v->n; n++) {
		j->steps[n] = j->v->steps;
		j->lengths[n] = 0;
		if (l->n_bottom == 2)
			MOKA_TRY(read_padded(l, c, j, n));
		else if (l->n_bottom == 3)
			MOKA_TRY(read_marked(l, c, j, n));
		else
			MOKA_TRY(read_counted(l, c, j, n));
	}
	return MOKA_OK;
}

/* ---- one sample ------------------------------------------------------------------------------------------ */

struct sample {
	const struct moka__ctc *v;
	int64_t n, t, symbols;
	const int64_t *labels;
	const real *x;
	real *gradient;
	double *alpha, *beta[2], *logsum, *share;
};

static int64_t symbol(const struct sample *s, int64_t i)
{
	return i % 2 ? s->labels[i / 2] : s->v->blank;
}

/* May symbol i follow symbol i - 2 at once? Not a blank, and not the same label again. */
static bool may_skip(const struct sample *s, int64_t i)
{
	return i >= 2 && i % 2 && s->labels[i / 2] != s->labels[i / 2 - 1];
}

static double log_probability(const struct sample *s, int64_t t, int64_t i)
{
	return (double)s->x[(t * s->v->n + s->n) * s->v->c + symbol(s, i)] - s->logsum[t];
}

static double log_add(double a, double b)
{
	const double high = a > b ? a : b, low = a > b ? b : a;

	return high == -INFINITY ? high : high + log1p(exp(low - high));
}

static void step_sums(struct sample *s)
{
	for (int64_t t = 0; t < s->t; t++) {
		const real *x = s->x + (t * s->v->n + s->n) * s->v->c;
		double most = (double)x[0], sum = 0;

		for (int64_t k = 1; k < s->v->c; k++)
			most = (double)x[k] > most ? (double)x[k] : most;
		for (int64_t k = 0; k < s->v->c; k++)
			sum += exp((double)x[k] - most);
		s->logsum[t] = most + log(sum);
	}
}

static double forward_paths(struct sample *s)
{
	const int64_t m = s->symbols;

	for (int64_t i = 0; i < m; i++)
		s->alpha[i] = i < 2 ? log_probability(s, 0, i) : -INFINITY;
	for (int64_t t = 1; t < s->t; t++) {
		const double *before = s->alpha + (t - 1) * m;

		for (int64_t i = 0; i < m; i++) {
			double a = before[i];

			if (i > 0)
				a = log_add(a, before[i - 1]);
			if (may_skip(s, i))
				a = log_add(a, before[i - 2]);
			s->alpha[t * m + i] = a + log_probability(s, t, i);
		}
	}
	const double *last = s->alpha + (s->t - 1) * m;
	return m > 1 ? log_add(last[m - 1], last[m - 2]) : last[0];
}

/* dx = softmax - share of all paths that is at that class in that step. */
static void step_gradient(struct sample *s, int64_t t, double total, const double *beta)
{
	const int64_t m = s->symbols, c = s->v->c, at = (t * s->v->n + s->n) * c;

	for (int64_t k = 0; k < c; k++)
		s->share[k] = 0;
	for (int64_t i = 0; i < m; i++)
		s->share[symbol(s, i)] += exp(s->alpha[t * m + i] + beta[i] - total);
	for (int64_t k = 0; k < c; k++)
		s->gradient[at + k] = (real)(exp((double)s->x[at + k] - s->logsum[t]) - s->share[k]);
}

static void backward_paths(struct sample *s, double total)
{
	const int64_t m = s->symbols;
	double *after = s->beta[0], *now = s->beta[1];

	for (int64_t i = 0; i < m; i++)
		after[i] = i + 2 >= m ? 0 : -INFINITY;
	step_gradient(s, s->t - 1, total, after);
	for (int64_t t = s->t - 1; t-- > 0;) {
		for (int64_t i = 0; i < m; i++) {
			double b = after[i] + log_probability(s, t + 1, i);

			if (i + 1 < m)
				b = log_add(b, after[i + 1] + log_probability(s, t + 1, i + 1));
			if (i + 2 < m && may_skip(s, i + 2))
				b = log_add(b, after[i + 2] + log_probability(s, t + 1, i + 2));
			now[i] = b;
		}
		step_gradient(s, t, total, now);
		double *swap = after;
		after = now;
		now = swap;
	}
}

static bool fits(const int64_t *labels, int64_t length, int64_t steps)
{
	int64_t needed = length;

	for (int64_t i = 1; i < length; i++)
		needed += labels[i] == labels[i - 1]; /* a blank must stand between */
	return length >= 0 && needed <= steps && steps > 0;
}

static void sample_piece(void *arg, int64_t begin, int64_t end)
{
	const struct ctc_job *j = arg;
	const struct moka__ctc *v = j->v;
	const int64_t most = 2 * v->width + 1;

	for (int64_t n = begin; n < end; n++) {
		struct sample s = { .v = v,
				    .n = n,
				    .t = j->steps[n],
				    .labels = j->labels + n * v->width,
				    .x = j->x,
				    .gradient = j->gradient,
				    .symbols = 2 * j->lengths[n] + 1 };

		j->cost[n] = 0;
		for (int64_t t = 0; j->gradient && t < v->t; t++)
			moka_set(v->c, 0, j->gradient + (t * v->n + n) * v->c);
		if (!fits(s.labels, j->lengths[n], s.t))
			continue;
		s.alpha = (double *)(void *)(j->own + (size_t)n * j->own_bytes);
		s.beta[0] = s.alpha + v->t * most;
		s.beta[1] = s.beta[0] + most;
		s.logsum = s.beta[1] + most;
		s.share = s.logsum + v->t;
		step_sums(&s);
		j->cost[n] = -forward_paths(&s);
		if (j->gradient)
			backward_paths(&s, -j->cost[n]);
	}
}

/* ---- the layer --------------------------------------------------------------------------------------------- */

enum moka_status moka__ctc_forward(const struct moka_layer *l, struct moka_call *c)
{
	const struct moka__ctc *v = l->priv;
	struct ctc_job j = { .v = v,
			     .x = c->bottom[0].data,
			     .gradient = c->backward_follows ? c->state : NULL,
			     .cost = c->scratch,
			     .own_bytes = sample_bytes(v) };
	double sum = 0;

	j.steps = (int64_t *)(void *)(j.cost + v->n);
	j.lengths = j.steps + v->n;
	j.labels = j.lengths + v->n;
	j.own = (char *)(j.labels + v->n * v->width);
	MOKA_TRY(read_labels(l, c, &j));
	moka_parallel(c->pool, sample_piece, &j, v->n, 1);
	for (int64_t n = 0; n < v->n; n++)
		sum += j.cost[n];
	c->top[0].data[0] = v->n ? (real)(sum / (double)v->n) : 0;
	return MOKA_OK;
}

enum moka_status moka__ctc_backward(const struct moka_layer *l, struct moka_call *c)
{
	const real weight = c->top[0].diff ? c->top[0].diff[0] : 0;
	const real *gradient = c->state;

	(void)l;
	for (int64_t i = 0; c->bottom[0].diff && i < c->bottom[0].count; i++)
		c->bottom[0].diff[i] = weight * gradient[i];
	return MOKA_OK;
}

/* ---- the two names of the warp-ctc forks' layer ------------------------------------------------------------ */

struct warp_ctc_param {
	int32_t blank_index;
};

/* clang-format off */
#define IGNORED(name, num, kind, def, help) { name, num, kind, MOKA_OPTIONAL, MOKA_NOWHERE, def, NULL, NULL, NULL, help, NULL }
static const struct moka_field warp_ctc_fields[] = {
	IGNORED("output_delay", 1, MOKA_INT32, 0, "read and ignored, as by the warp-ctc library"),
	MOKA_F_INT32(struct warp_ctc_param, blank_index, 2, 0, "the class that is blank; negative: the last"),
	IGNORED("preprocess_collapse_repeated", 3, MOKA_BOOL, 0, "read and ignored, as by the warp-ctc library"),
	IGNORED("ctc_merge_repeated", 4, MOKA_BOOL, 1, "read and ignored, as by the warp-ctc library"),
	IGNORED("loss_calculation_t", 5, MOKA_INT32, 0, "read and ignored, as by the warp-ctc library"),
	MOKA_F_END
};
/* clang-format on */
const struct moka_message moka__warp_ctc_message = { "CTCLossParameter", warp_ctc_fields,
						     sizeof(struct warp_ctc_param) };

enum moka_status moka__warp_ctc_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct warp_ctc_param *p = l->param;
	struct moka__ctc *v = moka_layer_priv(l, sizeof(*v));

	if (!v)
		return MOKA_ERR_NOMEM;
	*v = (struct moka__ctc){ .steps = -1,
				 .blank = p->blank_index,
				 .shift = l->n_bottom == 3 && p->blank_index == 0 };
	return moka__ctc_shape(l, f, v);
}
