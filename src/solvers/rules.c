/*
 * rules.c - the table of update rules, made from the one list in solvers/meson.build.
 */
#include "solvers/internal.h"

#include <string.h>
#include <strings.h>

#define X(name) extern const struct moka_solver_rule moka_rule_##name;
#include "solvers/rule_list.def"
#undef X

#define X(name) &moka_rule_##name,
const struct moka_solver_rule *const moka_solver_rules[] = {
#include "solvers/rule_list.def"
	NULL
};
#undef X

const struct moka_solver_rule *moka__rule_find(const char *name, const char **nearest)
{
	struct moka_nearest near = { 0 };

	for (int i = 0; moka_solver_rules[i]; i++) {
		if (!strcmp(moka_solver_rules[i]->name, name))
			return moka_solver_rules[i];
		moka_nearest_try(&near, name, moka_solver_rules[i]->name);
	}
	*nearest = near.best;
	return NULL;
}
