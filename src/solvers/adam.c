/*
 * Adam: history 0 is a running mean of gradients (momentum), history 1 of squared gradients (momentum2), both corrected
 * for their start at zero: step = rate * sqrt(1 - m2^t) / (1 - m1^t) * history0 / (sqrt(history1) + delta), t from 1.
 */
#include "solvers/internal.h"

#include <tgmath.h>

#include "kernels/fast.h"

MOKA__CLONES void moka__adam_update(const struct moka_update *u)
{
	const real b1 = u->p->momentum, b2 = u->p->momentum2, delta = u->p->delta;
	const real t = (real)(u->iter + 1);
	const real rate = u->rate * (sqrt(1 - pow(b2, t)) / (1 - pow(b1, t)));
	real *m = u->history[0], *v = u->history[1];

	MOKA__EACH
	for (int64_t i = 0; i < u->count; i++) {
		m[i] = b1 * m[i] + (1 - b1) * u->g[i];
		v[i] = b2 * v[i] + (1 - b2) * u->g[i] * u->g[i];
		u->g[i] = rate * m[i] / (sqrt(v[i]) + delta);
	}
}

const struct moka_solver_rule moka_rule_adam = {
	.name = "Adam",
	.doc = "momentum and a rate for every weight, both corrected for their start",
	.n_history = 2,
	.update = moka__adam_update,
};
