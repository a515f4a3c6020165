/*
 * AdaGrad: the history sums squared gradients; step = rate * gradient / (sqrt(history) + delta).
 */
#include "solvers/solver.h"

#include <tgmath.h>

static void adagrad_update(const struct moka_update *u)
{
	const real delta = u->p->delta;
	real *h = u->history[0];

	for (int64_t i = 0; i < u->count; i++) {
		h[i] += u->g[i] * u->g[i];
		u->g[i] = u->rate * u->g[i] / (sqrt(h[i]) + delta);
	}
}

const struct moka_solver_rule moka_rule_adagrad = {
	.name = "AdaGrad",
	.doc = "a rate for every weight, shrinking with its squared gradients",
	.n_history = 1,
	.update = adagrad_update,
};
