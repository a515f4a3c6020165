/*
 * diverged.c - the first value that is not finite ends the run: where it was seen first (layer, blob), at which iteration and
 * rate, what went in, and what usually helps; with a snapshot beside it.
 *
 * All blobs of a pass are kept while training, so that the place is found afterwards, by looking: in the order of the layers for a loss,
 * in the opposite order for a gradient. Also here: a loss that climbs far above its first values is remarked on while it is
 * still finite.
 */
#include "solvers/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fast.h"

#define PIECE 65536
#define FEW 5	    /* losses that a running mean looks back on */
#define EXPLODED 10 /* times the first loss */

/* ---- looking ------------------------------------------------------------------------------------- */

#ifdef MOKA_REAL_DOUBLE
typedef uint64_t bits;
#define EXPONENT ((bits)0x7ff << 52)
#else
typedef uint32_t bits;
#define EXPONENT ((bits)0xff << 23)
#endif

struct look {
	const real *v;
	atomic_bool bad;
};

/* On the bits, because the compiler may take an OR of integers in any order, and so eight at a time. */
MOKA__CLONES static void look_piece(void *arg, int64_t begin, int64_t end)
{
	struct look *l = arg;
	bits bad = 0;

	for (int64_t i = begin; i < end; i++) {
		bits b;

		memcpy(&b, &l->v[i], sizeof(b));
		bad |= (bits)((b & EXPONENT) == EXPONENT);
	}
	if (bad)
		atomic_store_explicit(&l->bad, true, memory_order_relaxed);
}

bool moka__all_finite(struct moka_pool *pool, int64_t n, const real *v)
{
	struct look l = { .v = v };

	if (v && n > 0)
		moka_parallel(pool, look_piece, &l, n, PIECE);
	return !atomic_load(&l.bad);
}

struct range {
	int64_t count, nans, infs;
	double min, max; /* of the finite ones */
};

static struct range range_of(const real *v, int64_t n)
{
	struct range r = { .count = n, .min = INFINITY, .max = -INFINITY };

	for (int64_t i = 0; v && i < n; i++) {
		double x = (double)v[i];

		r.nans += isnan(x);
		r.infs += isinf(x) != 0;
		if (isfinite(x)) {
			r.min = MOKA_MIN(r.min, x);
			r.max = MOKA_MAX(r.max, x);
		}
	}
	return r;
}

/* "-1.5 to 255", "12 of 640 values are nan, the others 0 to 1e+30" */
static const char *range_text(struct range r, char *buf, size_t size)
{
	char good[64] = "";

	if (r.min <= r.max)
		snprintf(good, sizeof(good), "%.4g to %.4g", r.min, r.max);
	if (!r.nans && !r.infs)
		snprintf(buf, size, "%s", *good ? good : "empty");
	else
		snprintf(buf, size, "%" PRId64 " of %" PRId64 " values are %s%s%s", r.nans + r.infs, r.count,
			 r.nans ? r.infs ? "nan or inf" : "nan" : "inf", *good ? ", the others " : "", good);
	return buf;
}

/* ---- the place --------------------------------------------------------------------------------------- */

struct place {
	const struct moka_net_layer *layer; /* NULL: not found */
	const char *what;		    /* "its top", "the gradient of its bottom", "its parameter" ... */
	const char *name;
	struct range range;
};

static bool bad_place(struct place *p, const struct moka_net_layer *l, const char *what, const char *name,
		      struct moka_pool *pool, const real *v, int64_t n)
{
	if (moka__all_finite(pool, n, v))
		return false;
	*p = (struct place){ l, what, name, range_of(v, n) };
	return true;
}

static int64_t count_of(const struct moka_solver *s, int blob)
{
	return moka_shape_count(&s->net->blobs[blob].shape);
}

static bool find_forward(struct moka_solver *s, struct place *p)
{
	const struct moka_net *n = s->net;

	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *l = &n->layers[i];

		for (int k = 0; k < l->l.n_param; k++) {
			const struct moka_param *w = &n->params[l->params[k]];

			if (bad_place(p, l, "its parameter", w->name, s->o.pool, w->data, w->count))
				return true;
		}
		for (int t = 0; t < l->l.n_top; t++)
			if (bad_place(p, l, "its top", n->blobs[l->tops[t]].name, s->o.pool,
				      moka_exec_data(s->exec, l->tops[t]), count_of(s, l->tops[t])))
				return true;
	}
	return false;
}

static bool find_backward(struct moka_solver *s, struct place *p)
{
	const struct moka_net *n = s->net;

	for (int i = n->n_layers - 1; i >= 0; i--) {
		const struct moka_net_layer *l = &n->layers[i];

		for (int k = 0; k < l->l.n_param; k++)
			if (l->param_gradient[k] &&
			    bad_place(p, l, "the gradient of its parameter", n->params[l->params[k]].name, s->o.pool,
				      moka_exec_param_diff(s->exec, l->params[k], l->param_uses[k]),
				      n->params[l->params[k]].count))
				return true;
		for (int b = 0; b < l->l.n_bottom; b++)
			if (l->bottom_gradient[b] &&
			    bad_place(p, l, "the gradient of its bottom", n->blobs[l->bottoms[b]].name, s->o.pool,
				      moka_exec_diff(s->exec, l->bottoms[b]), count_of(s, l->bottoms[b])))
				return true;
	}
	return false;
}

/* ---- what went in --------------------------------------------------------------------------------------- */

static bool is_data(const struct moka_net_layer *l)
{
	return l->is_input || (l->l.type && (l->l.type->flags & MOKA_DATA));
}

/* "; data is -1 to 255, label 0 to 9" of the blobs that come from outside; *most: the largest magnitude in the first of them. */
static void say_inputs(struct moka_solver *s, struct moka_buf *b, double *most)
{
	const char *before = "; the net's input ";
	bool first = true;
	char text[160];

	*most = 0;
	for (int i = 0; i < s->net->n_layers; i++) {
		const struct moka_net_layer *l = &s->net->layers[i];

		for (int t = 0; is_data(l) && t < l->l.n_top; t++) {
			struct range r = range_of(moka_exec_data(s->exec, l->tops[t]), count_of(s, l->tops[t]));

			moka_buf_printf(b, "%s'%.60s' is %s", before, s->net->blobs[l->tops[t]].name,
					range_text(r, text, sizeof(text)));
			before = ", ";
			if (first && r.min <= r.max)
				*most = MOKA_MAX(fabs(r.min), fabs(r.max));
			first = false;
		}
	}
}

static void say_bottoms(struct moka_solver *s, const struct moka_net_layer *l, struct moka_buf *b)
{
	char text[160];

	for (int k = 0; k < l->l.n_bottom && k < 3; k++)
		moka_buf_printf(b, "%s'%.60s' is %s", k ? ", " : "; of its bottoms ", s->net->blobs[l->bottoms[k]].name,
				range_text(range_of(moka_exec_data(s->exec, l->bottoms[k]), count_of(s, l->bottoms[k])),
					   text, sizeof(text)));
}

/* ---- what to do ------------------------------------------------------------------------------------------- */

static bool exploded(const struct moka_solver *s)
{
	return s->n_losses > 0 && s->first_loss > 0 && s->last_loss > EXPLODED * s->first_loss;
}

static void advise(struct moka_solver *s, const struct place *p, double most, struct moka_buf *b)
{
	const double rate = moka__solver_rate_now(s);

	if (p->layer && is_data(p->layer)) {
		moka_buf_puts(b, "the data themselves hold it: look at the source of that layer");
		return;
	}
	if (exploded(s))
		moka_buf_printf(b, "the loss went from %.4g to %.4g: the rate %g is far too large; ", s->first_loss,
				s->last_loss, rate);
	moka_buf_printf(b, "lower base_lr (%g, say; --find-lr looks for a good one)", rate / 10);
	if (s->clip < 0)
		moka_buf_puts(b, ", or set clip_gradients: 10");
	if (most > 20)
		moka_buf_printf(b, "; scale the input (up to %.4g: transform_param { scale: %.3g })", most, 1 / most);
	if (p->layer && (!strcmp(p->layer->type_name, "Log") || !strcmp(p->layer->type_name, "Power")))
		moka_buf_printf(b, "; keep what goes into a %s above 0", p->layer->type_name);
}

/* A snapshot of this moment, under a name that isn't taken for one to go on from. Returns its state's name, or NULL. */
static const char *snapshot_beside(struct moka_solver *s)
{
	char *good = s->last_state;
	int64_t good_iter = s->last_state_iter;
	const char *made = NULL;
	char suffix[64];

	if (!moka__writes_snapshots(s) || s->rate_override > 0)
		return NULL;
	snprintf(suffix, sizeof(suffix), "_diverged_iter_%" PRId64, s->iter);
	s->last_state = NULL;
	if (!moka__solver_snapshot_as(s, suffix, NULL) && s->last_state)
		made = moka_arena_strdup(&s->arena, s->last_state);
	free(s->last_state);
	s->last_state = good;
	s->last_state_iter = good_iter;
	return made;
}

static enum moka_status report(struct moka_solver *s, const struct place *p, const char *headline,
			       struct moka_error *err)
{
	const char *beside = snapshot_beside(s);
	struct moka_buf what, hint;
	char text[160];
	double most;

	s->diverged = true;
	moka_buf_init(&what, 1 << 16);
	moka_buf_init(&hint, 1 << 16);
	moka_buf_printf(&what, "%s at iteration %" PRId64 " (rate %g): training has diverged", headline, s->iter,
			moka__solver_rate_now(s));
	if (p->layer) {
		moka_buf_printf(&what, "; seen first in layer '%.80s' (%s), %s '%.80s': %s", p->layer->l.name,
				p->layer->type_name, p->what, p->name, range_text(p->range, text, sizeof(text)));
		say_bottoms(s, p->layer, &what);
	}
	say_inputs(s, &what, &most);
	advise(s, p, most, &hint);
	if (beside)
		moka_buf_printf(&hint, "; this moment is kept as '%.100s'", beside);
	if (s->last_state)
		moka_buf_printf(&hint, "; the last good snapshot is '%.100s'", s->last_state);
	moka_fail(err, MOKA_ERR_DATA, "%s", what.data ? what.data : headline);
	moka_fail_hint(err, "%s", hint.data ? hint.data : "");
	moka_buf_release(&what);
	moka_buf_release(&hint);
	return MOKA_ERR_DATA;
}

enum moka_status moka__diverged(struct moka_solver *s, double loss, struct moka_error *err)
{
	struct place p = { 0 };

	find_forward(s, &p);
	return report(s, &p, isnan(loss) ? "the loss is nan" : "the loss is inf", err);
}

/* A loss may hide what is not finite below it (SoftmaxWithLoss takes the greatest loss it knows): what went forward is looked at first. */
enum moka_status moka__check_gradients(struct moka_solver *s, double loss, struct moka_error *err)
{
	struct place p = { 0 };
	bool fine = true;
	char headline[128];

	for (int i = 0; fine && i < s->n_slots; i++)
		fine = moka_exec_param_late(s->exec, s->slots[i].param) ||
		       moka__all_finite(s->o.pool, s->slots[i].count,
					moka_exec_param_diff(s->exec, s->slots[i].param, s->slots[i].use));
	if (fine)
		return MOKA_OK;
	if (!find_forward(s, &p))
		find_backward(s, &p);
	snprintf(headline, sizeof(headline), "a gradient is not finite (the loss is %.6g)", loss);
	return report(s, &p, headline, err);
}

/* ---- before it comes to that --------------------------------------------------------------------------- */

void moka__watch_loss(struct moka_solver *s, double loss)
{
	if (!s->n_losses++) {
		s->first_loss = loss;
		s->recent_loss = loss;
	}
	s->last_loss = loss;
	s->recent_loss += (loss - s->recent_loss) / FEW;
	if (s->told_exploded || s->rate_override > 0 || s->first_loss <= 0)
		return;
	if (s->recent_loss < EXPLODED * s->first_loss || s->recent_loss < s->first_loss + 1)
		return;
	s->told_exploded = true;
	moka__solver_note(s,
			  "the loss has gone from %.4g to %.4g by iteration %" PRId64
			  ": the rate %g is far too large. Stop, and try base_lr: %g, or --find-lr",
			  s->first_loss, loss, s->iter, moka__solver_rate_now(s), moka__solver_rate_now(s) / 10);
}
