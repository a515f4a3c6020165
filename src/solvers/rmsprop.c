/*
 * RMSProp: the history is a running mean of squared gradients (rms_decay); step = rate * gradient / (sqrt(history) + delta).
 */
#include "solvers/solver.h"

#include <tgmath.h>

static void rmsprop_update(const struct moka_update *u)
{
	const real decay = u->p->rms_decay, delta = u->p->delta;
	real *h = u->history[0];

	for (int64_t i = 0; i < u->count; i++) {
		h[i] = decay * h[i] + (1 - decay) * u->g[i] * u->g[i];
		u->g[i] = u->rate * u->g[i] / (sqrt(h[i]) + delta);
	}
}

const struct moka_solver_rule moka_rule_rmsprop = {
	.name = "RMSProp",
	.doc = "divides by a running root mean square of the gradient",
	.n_history = 1,
	.update = rmsprop_update,
};
