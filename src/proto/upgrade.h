/*
 * upgrade.h - what upgrade.c and upgrade_v0.c share.
 */
#ifndef MOKA_PROTO_UPGRADE_H
#define MOKA_PROTO_UPGRADE_H

#include "internal.h"

struct moka__upgrade {
	struct moka_arena *arena;
	const struct moka_schema *schema;
	struct moka_findings *f;
	struct moka_msg *net;
};

/* Appends a copy of n (subtree shared) under the name it has, or will have, in `to`; one that no table knows keeps its name. */
enum moka_status moka__carry(struct moka__upgrade *u, struct moka_msg *to, const char *name, const struct moka_node *n);
/* Turns every `layers { layer { ... } }` (V0) into `layers { ... }` (V1). */
enum moka_status moka__upgrade_v0(struct moka__upgrade *u);
/* Turns bottoms that are parameters (`param_bottoms`) into shared ones. */
enum moka_status moka__upgrade_bottoms(struct moka__upgrade *u);

#endif
