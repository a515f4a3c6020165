/*
 * AdaDelta: history 0 is a running mean of squared gradients, history 1 of squared steps (both with `momentum`).
 * The step is the gradient times the ratio of their roots, times the rate.
 */
#include "solvers/solver.h"

#include <tgmath.h>

static void adadelta_update(const struct moka_update *u)
{
	const real m = u->p->momentum, delta = u->p->delta;
	real *gradients = u->history[0], *steps = u->history[1];

	for (int64_t i = 0; i < u->count; i++) {
		real g = u->g[i];

		gradients[i] = m * gradients[i] + (1 - m) * g * g;
		real step = g * sqrt((steps[i] + delta) / (gradients[i] + delta));
		steps[i] = m * steps[i] + (1 - m) * step * step;
		u->g[i] = u->rate * step;
	}
}

const struct moka_solver_rule moka_rule_adadelta = {
	.name = "AdaDelta",
	.doc = "steps in the units of the weights, from the ratio of past steps to past gradients",
	.n_history = 2,
	.update = adadelta_update,
};
