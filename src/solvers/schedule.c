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
 */
#include "solvers/solver.h"

#include <math.h>
#include <string.h>

struct schedule {
	double base, gamma, power;
	int64_t stepsize, max_iter;
	const struct moka_msg *solver;
};

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

static double rate_multistep(const struct schedule *s, int64_t iter)
{
	int64_t values[1024];
	size_t n = moka_get_ints(s->solver, "stepvalue", values, MOKA_COUNT(values)), passed = 0;

	n = MOKA_MIN(n, MOKA_COUNT(values));
	while (passed < n && iter >= values[passed])
		passed++;
	return s->base * pow(s->gamma, (double)passed);
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

	for (size_t i = 0; i < MOKA_COUNT(policies); i++)
		if (!strcmp(policies[i].name, policy))
			return policies[i].rate(&s, iter);
	return NAN;
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
