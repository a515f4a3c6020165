/*
 * phases.c - which layers of a model take part: include and exclude rules against phase, level and stages.
 *
 * A layer with include rules is in where one of them holds; without them it is in unless an exclude rule holds. A rule holds
 * where every condition that it states holds.
 */
#include "net/internal.h"

#include <string.h>

static bool same(const struct moka_node *n, const char *s)
{
	return (n->kind == MOKA_NODE_STRING || n->kind == MOKA_NODE_NAME) && strlen(s) == n->u.s.n &&
	       !memcmp(s, n->u.s.p, n->u.s.n);
}

static bool has_stage(const struct moka__state *s, const struct moka_node *stage)
{
	for (int i = 0; i < s->n_stages; i++)
		if (same(stage, s->stages[i]))
			return true;
	for (const struct moka_node *n = s->net ? moka_next(s->net, "stage", NULL) : NULL; n;
	     n = moka_next(s->net, "stage", n))
		if (n->u.s.n == stage->u.s.n && !memcmp(n->u.s.p, stage->u.s.p, n->u.s.n))
			return true;
	return false;
}

static bool holds(const struct moka_msg *rule, const struct moka__state *s)
{
	if (moka_has(rule, "phase") && moka_get_int(rule, "phase") != (int64_t)s->phase)
		return false;
	if (moka_has(rule, "min_level") && s->level < moka_get_int(rule, "min_level"))
		return false;
	if (moka_has(rule, "max_level") && s->level > moka_get_int(rule, "max_level"))
		return false;
	for (const struct moka_node *n = moka_next(rule, "stage", NULL); n; n = moka_next(rule, "stage", n))
		if (!has_stage(s, n))
			return false;
	for (const struct moka_node *n = moka_next(rule, "not_stage", NULL); n; n = moka_next(rule, "not_stage", n))
		if (has_stage(s, n))
			return false;
	return true;
}

static bool any_holds(const struct moka_msg *layer, const char *rules, const struct moka__state *s)
{
	for (const struct moka_node *n = moka_next(layer, rules, NULL); n; n = moka_next(layer, rules, n))
		if (n->kind == MOKA_NODE_MESSAGE && holds(n->u.m, s))
			return true;
	return false;
}

bool moka__included(const struct moka_msg *layer, const struct moka__state *s)
{
	if (moka_has(layer, "include"))
		return any_holds(layer, "include", s);
	return !any_holds(layer, "exclude", s);
}
