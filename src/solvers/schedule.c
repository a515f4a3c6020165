/*
 * schedule.c - the learning rate at an iteration, by lr_policy.
 *
 *   fixed      base_lr
 *   step       base_lr * gamma ^ floor(iter / stepsize)
 *   exp        base_lr * gamma ^ iter
 *   inv        base_lr * (1 + gamma * iter) ^ -power
 *   multistep  base_lr * gamma ^ (how many stepvalues are <= iter)
 *   poly       base_lr * (1 - iter / max_iter) ^ power
 *   sigmoid    base_lr / (1 + exp(-gamma * (iter - stepsize)))
 *
 * The Intel fork's warm-up comes before any of them: in the first warmup_iter iterations the rate goes in a straight line from
 * warmup_start_lr to base_lr, and SGD's momentum is scaled by what the rate grew since the iteration before.
 */
#include "solvers/solver.h"

#include <math.h>
#include <string.h>

struct schedule {
	double base, gamma, power;
	int64_t stepsize, max_iter;
	const struct moka_msg *solver;
};

static int64_t warmup_iter(const struct moka_msg *solver)
{
	return moka_get_int(solver, "warmup_iter");
}

static double warmup_rate(const struct moka_msg *solver, int64_t iter)
{
	const double n = (double)warmup_iter(solver), t = (double)MOKA_MAX(iter, 0);

	return (t * moka_get_float(solver, "base_lr") + (n - t) * moka_get_float(solver, "warmup_start_lr")) / n;
}

/* The forks start with momentum 0 / 0 where the warm-up starts from 0; nothing has been kept by then, so 1 is as good. */
double moka_solver_warmup_factor(const struct moka_msg *solver, int64_t iter)
{
	double before;

	if (iter >= warmup_iter(solver))
		return 1;
	before = warmup_rate(solver, iter - 1);
	return before > 0 ? warmup_rate(solver, iter) / before : 1;
}

static double rate_fixed(const struct schedule *s, int64_t iter)
{
	(void)iter;
	return s->base;
}

static double rate_step(const struct schedule *s, int64_t iter)
{
	return s->stepsize > 0 ? s->base * pow(s->gamma, (double)(iter / s->stepsize)) : s->base;
}

static double rate_exp(const struct schedule *s, int64_t iter)
{
	return s->base * pow(s->gamma, (double)iter);
}

static double rate_inv(const struct schedule *s, int64_t iter)
{
	return s->base * pow(1 + s->gamma * (double)iter, -s->power);
}

/* BVLC Caffe looks at one stepvalue an iteration, in the order of the file: the next counts from the iteration after. */
static int64_t steps_passed(const struct moka_msg *solver, int64_t iter)
{
	int64_t values[1024], at = MOKA_MAX(warmup_iter(solver), 0) - 1, passed = 0;
	size_t n = moka_get_ints(solver, "stepvalue", values, MOKA_COUNT(values));

	n = MOKA_MIN(n, MOKA_COUNT(values));
	for (size_t i = 0; i < n; i++) {
		at = MOKA_MAX(values[i], at + 1);
		if (iter < at)
			break;
		passed++;
	}
	return passed;
}

static double rate_multistep(const struct schedule *s, int64_t iter)
{
	return s->base * pow(s->gamma, (double)steps_passed(s->solver, iter));
}

static double rate_poly(const struct schedule *s, int64_t iter)
{
	double left = s->max_iter > 0 ? 1 - (double)iter / (double)s->max_iter : 1;

	return left > 0 ? s->base * pow(left, s->power) : 0;
}

static double rate_sigmoid(const struct schedule *s, int64_t iter)
{
	return s->base / (1 + exp(-s->gamma * (double)(iter - s->stepsize)));
}

static const struct {
	const char *name;
	double (*rate)(const struct schedule *s, int64_t iter);
} policies[] = {
	{ "fixed", rate_fixed },	 { "step", rate_step }, { "exp", rate_exp },	     { "inv", rate_inv },
	{ "multistep", rate_multistep }, { "poly", rate_poly }, { "sigmoid", rate_sigmoid },
};

double moka_solver_rate(const struct moka_msg *solver, int64_t iter)
{
	const char *policy = moka_get_string(solver, "lr_policy", "fixed");
	const struct schedule s = {
		.base = moka_get_float(solver, "base_lr"),
		.gamma = moka_get_float(solver, "gamma"),
		.power = moka_get_float(solver, "power"),
		.stepsize = moka_get_int(solver, "stepsize"),
		.max_iter = moka_get_int(solver, "max_iter"),
		.solver = solver,
	};

	if (iter < warmup_iter(solver))
		return warmup_rate(solver, iter);
	for (size_t i = 0; i < MOKA_COUNT(policies); i++)
		if (!strcmp(policies[i].name, policy))
			return policies[i].rate(&s, iter);
	return NAN;
}

/* As of the last iteration before `iter`: a snapshot of iteration N is made before N's rate is asked for. */
int64_t moka_solver_policy_step(const struct moka_msg *solver, int64_t iter)
{
	const char *policy = moka_get_string(solver, "lr_policy", "");
	int64_t size = moka_get_int(solver, "stepsize"), last = iter - 1;

	if (last < warmup_iter(solver))
		return 0;
	if (!strcmp(policy, "step"))
		return size > 0 ? last / size : 0;
	return strcmp(policy, "multistep") ? 0 : steps_passed(solver, last);
}

bool moka_solver_policy_known(const char *policy, const char **nearest)
{
	struct moka_nearest near = { 0 };

	for (size_t i = 0; i < MOKA_COUNT(policies); i++) {
		if (!strcmp(policies[i].name, policy))
			return true;
		moka_nearest_try(&near, policy, policies[i].name);
	}
	*nearest = near.best;
	return false;
}
