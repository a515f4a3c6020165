/*
 * trial.c - runs that are not for the weights: a dry run (does it run, what does it take), and a rate sweep (which rate is a good
 * one: Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186).
 */
#include "solvers/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- dry run -------------------------------------------------------------------------------------- */

static enum moka_status try_tests(struct moka_solver *s, struct moka_dry_run *out, struct moka_error *err)
{
	for (int i = 0; i < s->n_tests; i++) {
		double start = moka_now();
		real loss;

		MOKA_TRY(moka_exec_forward(s->tests[i].exec, 0, s->tests[i].net->n_layers, &loss, err));
		if (!i)
			out->test_seconds = moka_now() - start;
		out->test_bytes += moka_exec_bytes(s->tests[i].exec);
	}
	return MOKA_OK;
}

enum moka_status moka_solver_dry_run(struct moka_solver *s, struct moka_dry_run *out, struct moka_error *err)
{
	double start = moka_now();

	memset(out, 0, sizeof(*out));
	s->rate_override = moka_solver_rate(s->root, s->iter); /* no display, no snapshot */
	s->o.on_event = NULL;
	s->started = start;
	MOKA_TRY(moka__solver_step(s, &out->loss, err));
	out->train_seconds = moka_now() - start;
	MOKA_TRY(try_tests(s, out, err));
	for (int p = 0; p < s->net->n_params; p++)
		out->param_bytes += s->net->params[p].count * (int64_t)sizeof(real);
	for (int i = 0; i < s->n_slots; i++)
		out->history_bytes += s->slots[i].count * s->rule->n_history * (int64_t)sizeof(real);
	out->train_bytes = moka_exec_bytes(s->exec);
	out->snapshot_bytes = moka__snapshot_bytes(s);
	out->peak_bytes = moka_peak_rss_bytes();
	out->batch = s->batch * s->iter_size;
	return MOKA_OK;
}

/* ---- rate sweep ------------------------------------------------------------------------------------- */

#define SMOOTH 0.9 /* share of the old in the running mean of the loss */
#define TOO_HIGH 4 /* times the lowest smoothed loss ends the sweep */

void moka_sweep_release(struct moka_sweep *w)
{
	free(w->rate);
	free(w->loss);
	free(w->smoothed);
	memset(w, 0, sizeof(*w));
}

static int lowest_point(const struct moka_sweep *w)
{
	int at = 0;

	for (int i = 1; i < w->n; i++)
		if (w->smoothed[i] < w->smoothed[at])
			at = i;
	return at;
}

/* Slope of the smoothed loss over the logarithm of the rate, by least squares over points [i - half, i + half]. */
static double slope_at(const struct moka_sweep *w, int i, int half)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0, n = 0;

	for (int k = MOKA_MAX(0, i - half); k <= MOKA_MIN(w->n - 1, i + half); k++) {
		double x = log(w->rate[k]), y = w->smoothed[k];

		sx += x, sy += y, sxx += x * x, sxy += x * y, n++;
	}
	return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

/*
 * Where the loss falls fastest, but not above a third of the rate where it is lowest: there it is about to turn. No fall of at least
 * a fiftieth: nothing to suggest.
 */
static void suggest(struct moka_sweep *w)
{
	int low = lowest_point(w), half = MOKA_MAX(2, w->n / 20), best = -1;
	double steepest = 0;

	w->lowest = w->n ? w->rate[low] : NAN;
	w->suggested = NAN;
	if (w->n < 8 || w->smoothed[low] > w->smoothed[MOKA_MIN(3, low)] * 0.98)
		return;
	for (int i = half; i <= low; i++) {
		double slope = slope_at(w, i, half);

		if (slope < steepest) {
			steepest = slope;
			best = i;
		}
	}
	if (best >= 0)
		w->suggested = MOKA_MIN(w->rate[best], w->lowest / 3);
}

/* One more point; false: the loss has left its best behind. */
static bool add_point(struct moka_sweep *w, double rate, double loss, double *mean)
{
	const int i = w->n++;

	*mean = SMOOTH * *mean + (1 - SMOOTH) * loss;
	w->rate[i] = rate;
	w->loss[i] = loss;
	w->smoothed[i] = *mean / (1 - pow(SMOOTH, i + 1)); /* as if the mean had not begun at 0 */
	return i < 5 || w->smoothed[i] < TOO_HIGH * w->smoothed[lowest_point(w)];
}

static enum moka_status sweep(struct moka_solver *s, double from, double to, int n, struct moka_sweep *w,
			      struct moka_error *err)
{
	double mean = 0;

	for (int i = 0; i < n; i++) {
		double loss = NAN, rate = from * pow(to / from, n > 1 ? (double)i / (double)(n - 1) : 0);
		enum moka_status st;

		if (s->o.request && *s->o.request == MOKA_REQUEST_STOP)
			return MOKA_ERR_INTERRUPTED;
		s->rate_override = rate;
		st = moka__solver_step(s, &loss, err);
		if (st && !s->diverged)
			return st;
		if (st || !add_point(w, rate, loss, &mean)) {
			w->exploded = rate;
			break;
		}
	}
	return MOKA_OK;
}

enum moka_status moka_solver_sweep(struct moka_solver *s, double from, double to, int n, struct moka_sweep *out,
				   struct moka_error *err)
{
	const size_t most = (size_t)MOKA_MAX(n, 1);
	enum moka_status st;

	*out = (struct moka_sweep){ .suggested = NAN, .lowest = NAN, .exploded = NAN };
	if (!(from > 0) || !(to > from) || n < 2 || n > MOKA_SWEEP_MOST)
		return moka_fail(err, MOKA_ERR_ARG,
				 "a sweep goes from a rate above 0 to a higher one, in 2 to %d steps", MOKA_SWEEP_MOST);
	out->rate = calloc(most, sizeof(double));
	out->loss = calloc(most, sizeof(double));
	out->smoothed = calloc(most, sizeof(double));
	if (!out->rate || !out->loss || !out->smoothed)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for a sweep of %d iterations", n);
	s->started = moka_now();
	st = sweep(s, from, to, n, out, err);
	s->rate_override = 0;
	if (!st)
		suggest(out);
	return st;
}
