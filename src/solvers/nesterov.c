/*
 * Nesterov's accelerated gradient, as BVLC Caffe writes it: the history moves as in SGD, the step looks
 * ahead: (1 + momentum) * new history - momentum * old history.
 */
#include "solvers/solver.h"

#include "kernels/fast.h"

MOKA__CLONES static void nesterov_update(const struct moka_update *u)
{
	const real momentum = u->p->momentum;
	real *h = u->history[0];

	MOKA__EACH
	for (int64_t i = 0; i < u->count; i++) {
		real before = h[i];

		h[i] = momentum * before + u->rate * u->g[i];
		u->g[i] = (1 + momentum) * h[i] - momentum * before;
	}
}

const struct moka_solver_rule moka_rule_nesterov = {
	.name = "Nesterov",
	.doc = "accelerated gradient: looks one step ahead",
	.n_history = 1,
	.update = nesterov_update,
};
