/*
 * AdamW: Adam's step for the gradient alone; weight decay takes rate * weight_decay * decay_mult of each weight on its own, and
 * does not pass through the running means (update.c adds it: decoupled_decay). Without weight decay it is Adam, bit for bit.
 */
#include "solvers/internal.h"

const struct moka_solver_rule moka_rule_adamw = {
	.name = "AdamW",
	.doc = "Adam with weight decay apart from the gradient",
	.n_history = 2,
	.decoupled_decay = true,
	.update = moka__adam_update,
};
