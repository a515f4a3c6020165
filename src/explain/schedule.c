/*
 * schedule.c - the solver file in words: its rule, its learning rate at several iterations, tests, snapshots.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define MAX_STEPS 4096

const struct moka_msg *moka__solver_msg(const struct moka_explain_options *o)
{
	return o && o->solver && o->solver->kind == MOKA_MODEL_SOLVER ? o->solver->root : NULL;
}

static size_t step_values(const struct moka_msg *s, int64_t *out)
{
	return MOKA_MIN(moka_get_ints(s, "stepvalue", out, MAX_STEPS), (size_t)MAX_STEPS);
}

/* How often multistep has stepped by then: it looks at one value an iteration, and at none while it warms up. */
static double steps_done(const struct moka_msg *s, int64_t iter)
{
	int64_t at[MAX_STEPS], next = MOKA_MAX(moka_get_int(s, "warmup_iter"), 0) - 1;
	size_t n = step_values(s, at), done = 0;

	while (done < n) {
		next = MOKA_MAX(at[done], next + 1);
		if (iter < next)
			break;
		done++;
	}
	return (double)done;
}

/* The Intel fork's warm-up: a straight line from warmup_start_lr to base_lr, before any policy. */
static double warmup_rate(const struct moka_msg *solver, int64_t iter)
{
	const double n = (double)moka_get_int(solver, "warmup_iter"), t = (double)MOKA_MAX(iter, 0);

	return (t * moka_get_float(solver, "base_lr") + (n - t) * moka_get_float(solver, "warmup_start_lr")) / n;
}

double moka__rate(const struct moka_msg *solver, int64_t iter)
{
	const char *policy = moka_get_string(solver, "lr_policy", "fixed");
	double base = moka_get_float(solver, "base_lr"), gamma = moka_get_float(solver, "gamma"),
	       power = moka_get_float(solver, "power");
	int64_t size = moka_get_int(solver, "stepsize"), max = moka_get_int(solver, "max_iter");
	double t = (double)iter, left;

	if (iter < moka_get_int(solver, "warmup_iter"))
		return warmup_rate(solver, iter);
	if (!strcmp(policy, "fixed"))
		return base;
	if (!strcmp(policy, "step"))
		return size > 0 ? base * pow(gamma, (double)(iter / size)) : base;
	if (!strcmp(policy, "exp"))
		return base * pow(gamma, t);
	if (!strcmp(policy, "inv"))
		return base * pow(1 + gamma * t, -power);
	if (!strcmp(policy, "multistep"))
		return base * pow(gamma, steps_done(solver, iter));
	if (!strcmp(policy, "sigmoid"))
		return base / (1 + exp(-gamma * (t - (double)size)));
	if (strcmp(policy, "poly"))
		return NAN;
	left = max > 0 ? 1 - t / (double)max : 1;
	return left > 0 ? base * pow(left, power) : 0;
}

/* ---- words -------------------------------------------------------------------------------------------------- */

static const char *real_of(struct moka__page *p, const struct moka_msg *s, const char *field)
{
	return moka__real(&p->arena, moka_get_float(s, field));
}

static const char *int_of(struct moka__page *p, const struct moka_msg *s, const char *field)
{
	return moka__number(&p->arena, moka_get_int(s, field));
}

static void say_rule(struct moka__page *p, const struct moka_msg *s)
{
	int64_t batches = moka_get_int(s, "iter_size");
	double clip = moka_get_float(s, "clip_gradients");

	moka__page_item(p, moka_get_string(s, "type", "SGD"),
			"is the update rule; base_lr %s, momentum %s, weight_decay %s (%s).", real_of(p, s, "base_lr"),
			real_of(p, s, "momentum"), real_of(p, s, "weight_decay"),
			moka_get_string(s, "regularization_type", "L2"));
	if (batches > 1)
		moka__page_item(p, "iter_size", "%s: the gradients of so many batches make one update.",
				moka__number(&p->arena, batches));
	if (moka_get_int(s, "warmup_iter") > 0)
		moka__page_item(p, "warmup_iter", "%s: in the first iterations the rate rises from %s to base_lr.",
				int_of(p, s, "warmup_iter"), real_of(p, s, "warmup_start_lr"));
	if (clip >= 0)
		moka__page_item(p, "clip_gradients", "%s: a gradient whose norm is larger is scaled down to it.",
				moka__real(&p->arena, clip));
}

static void say_policy(struct moka__page *p, const struct moka_msg *s)
{
	const char *policy = moka_get_string(s, "lr_policy", "fixed"), *gamma = real_of(p, s, "gamma"),
		   *power = real_of(p, s, "power");

	if (!strcmp(policy, "fixed"))
		moka__page_item(p, "lr_policy fixed", "the rate stays base_lr.");
	else if (!strcmp(policy, "step"))
		moka__page_item(p, "lr_policy step", "the rate is multiplied by gamma, %s, every %s iterations.", gamma,
				int_of(p, s, "stepsize"));
	else if (!strcmp(policy, "exp"))
		moka__page_item(p, "lr_policy exp", "the rate is base_lr × %s^iteration.", gamma);
	else if (!strcmp(policy, "inv"))
		moka__page_item(p, "lr_policy inv", "the rate is base_lr × (1 + %s × iteration)^−%s.", gamma, power);
	else if (!strcmp(policy, "multistep"))
		moka__page_item(p, "lr_policy multistep", "the rate is multiplied by gamma, %s, at each stepvalue.",
				gamma);
	else if (!strcmp(policy, "poly"))
		moka__page_item(p, "lr_policy poly",
				"the rate falls to 0 at max_iter: base_lr × (1 − iteration / %s)^%s.",
				int_of(p, s, "max_iter"), power);
	else if (!strcmp(policy, "sigmoid"))
		moka__page_item(p, "lr_policy sigmoid", "the rate is base_lr / (1 + exp(−%s × (iteration − %s))).",
				gamma, int_of(p, s, "stepsize"));
	else
		moka__page_item(p, "lr_policy", "\"%s\" is not a policy that Caffe knows.", policy);
}

/* ---- rates at some iterations ---------------------------------------------------------------------------------- */

#define ROWS 12

static int add_iteration(int64_t *list, int n, int64_t iter, int64_t max)
{
	if (n == ROWS || iter < 0 || iter > max || (n && list[n - 1] >= iter))
		return n;
	list[n] = iter;
	return n + 1;
}

/* The iterations worth showing: the steps where there are few, else quarters; the last is max_iter. */
static int choose_iterations(const struct moka_msg *s, int64_t max, int64_t *list)
{
	const char *policy = moka_get_string(s, "lr_policy", "fixed");
	int64_t size = moka_get_int(s, "stepsize"), at[MAX_STEPS], warm = moka_get_int(s, "warmup_iter");
	int n = add_iteration(list, 0, 0, max);

	if (warm > 0) {
		n = add_iteration(list, n, warm / 2, max);
		n = add_iteration(list, n, warm, max);
	}
	if (!strcmp(policy, "step") && size > 0 && max / size < ROWS - 1) {
		for (int64_t i = size; i < max; i += size)
			n = add_iteration(list, n, i, max);
	} else if (!strcmp(policy, "multistep") && step_values(s, at) < ROWS - 1) {
		size_t count = step_values(s, at);

		for (size_t i = 0; i < count; i++)
			n = add_iteration(list, n, at[i], max);
	} else if (strcmp(policy, "fixed")) {
		static const int parts[] = { 100, 10, 4, 2 };

		for (size_t i = 0; i < MOKA_COUNT(parts); i++)
			n = add_iteration(list, n, max / parts[i], max);
		n = add_iteration(list, n, max - max / 4, max);
	}
	return add_iteration(list, n, max, max);
}

static void table_rates(struct moka__page *p, const struct moka_msg *s)
{
	static const struct moka__column columns[] = { { "iteration", true, false, false },
						       { "learning rate", false, false, false },
						       { "", false, false, false } };
	int64_t max = moka_get_int(s, "max_iter"), list[ROWS];
	int n = choose_iterations(s, MOKA_MAX(max, 0), list);
	struct moka__table t;

	if (isnan(moka__rate(s, 0)))
		return;
	moka__table_begin(&t, columns, MOKA_COUNT(columns));
	for (int i = 0; i < n; i++) {
		const char *rate = moka_arena_printf(&p->arena, "%.6g", moka__rate(s, list[i]));

		moka__table_row(p, &t, moka__number(&p->arena, list[i]), rate,
				list[i] == 0	 ? "start"
				: list[i] == max ? "end (max_iter)"
						 : "");
	}
	moka__page_table(p, &t);
}

/*
 * ---- tests, snapshots
 * ---------------------------------------------------------------------------------------------
 */

/* Samples of one batch: the first dimension of what a data layer or an input gives; -1. */
static int64_t batch_size(const struct moka_net *n)
{
	for (int i = 0; i < n->n_layers; i++)
		if (!n->layers[i].l.n_bottom && n->layers[i].l.n_top) {
			const struct moka_shape *s = &n->blobs[n->layers[i].tops[0]].shape;

			return s->n > 0 ? s->d[0] : -1;
		}
	return -1;
}

/* n NULL: the net could not be opened. */
static void say_length(struct moka__page *p, const struct moka_net *n, const struct moka_msg *s)
{
	int64_t max = moka_get_int(s, "max_iter"), batch = n ? batch_size(n) : -1,
		per = MOKA_MAX(moka_get_int(s, "iter_size"), 1), samples;

	if (max <= 0)
		return;
	if (n && n->phase == MOKA_TRAIN && batch > 0 && moka_mul(batch, per, &samples) &&
	    moka_mul(samples, max, &samples))
		moka__page_item(p, "max_iter", "%s iterations of %s samples: %s samples in all.",
				moka__number(&p->arena, max), moka__number(&p->arena, batch * per),
				moka__number(&p->arena, samples));
	else
		moka__page_item(p, "max_iter", "%s iterations.", moka__number(&p->arena, max));
}

static void say_tests(struct moka__page *p, const struct moka_msg *s)
{
	int64_t every = moka_get_int(s, "test_interval"), iters[8];
	size_t n = MOKA_MIN(moka_get_ints(s, "test_iter", iters, MOKA_COUNT(iters)), MOKA_COUNT(iters));
	struct moka__names names;

	if (every <= 0) {
		moka__page_item(p, "test_interval", "not set: nothing is tested while training.");
		return;
	}
	moka__names_begin(&names, 8);
	for (size_t i = 0; i < n; i++)
		moka__names_add(&names, moka__number(&p->arena, iters[i]));
	moka__page_item(p, "test_interval", "a test every %s iterations, over %s batches%s%s.",
			moka__number(&p->arena, every), n ? moka__names_end(&names, &p->arena) : "?",
			n > 1 ? " (one number for each test net)" : "",
			moka_get_int(s, "test_initialization") ? ", and one before the first iteration" : "");
}

static void say_snapshots(struct moka__page *p, const struct moka_msg *s)
{
	int64_t every = moka_get_int(s, "snapshot");
	const char *prefix = moka_get_string(s, "snapshot_prefix", "");
	const char *end = moka_get_int(s, "snapshot_format") == 0 ? ".caffemodel.h5" : ".caffemodel";

	if (every > 0)
		moka__page_item(p, "snapshot", "every %s iterations, to %s_iter_N%s and its .solverstate%s.",
				moka__number(&p->arena, every), prefix, end,
				moka_get_int(s, "snapshot_after_train") ? ", and at the end" : "");
	else if (moka_get_int(s, "snapshot_after_train"))
		moka__page_item(p, "snapshot", "only at the end, to %s_iter_N%s and its .solverstate.", prefix, end);
	else
		moka__page_item(p, "snapshot", "never: what is learned is lost.");
	if (moka_get_int(s, "display") > 0)
		moka__page_item(p, "display", "a line of progress every %s iterations%s.", int_of(p, s, "display"),
				moka_get_int(s, "average_loss") > 1 ? ", its loss averaged over the last ones" : "");
	if (moka_has(s, "solver_mode") && moka_get_int(s, "solver_mode") == 1)
		moka__page_item(p, "solver_mode", "GPU: read and ignored, Moka computes on the CPU.");
}

void moka__schedule(struct moka__page *p, const struct moka_net *n, const struct moka_explain_options *o)
{
	const struct moka_msg *s = moka__solver_msg(o);

	if (!s)
		return;
	moka__page_section(p, "Solver");
	say_rule(p, s);
	say_policy(p, s);
	table_rates(p, s);
	say_length(p, n, s);
	say_tests(p, s);
	say_snapshots(p, s);
}
