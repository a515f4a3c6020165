/*
 * SGD with momentum: history = momentum * history + rate * gradient; the step is the history.
 */
#include "solvers/solver.h"

#include "kernels/fast.h"

MOKA__CLONES static void sgd_update(const struct moka_update *u)
{
	const real momentum = u->p->momentum;
	real *h = u->history[0];

	MOKA__EACH
	for (int64_t i = 0; i < u->count; i++) {
		h[i] = momentum * h[i] + u->rate * u->g[i];
		u->g[i] = h[i];
	}
}

const struct moka_solver_rule moka_rule_sgd = {
	.name = "SGD",
	.doc = "stochastic gradient descent with momentum",
	.n_history = 1,
	.warmup_momentum = true,
	.update = sgd_update,
};
