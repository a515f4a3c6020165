/*
 * upgrade_bottoms.c - parameters that come in as bottoms -> parameters shared by name.
 *
 * A branch of Caffe wrote weights as layers of their own and handed them on:
 *
 *     layer { name: "w" type: "Parameter" top: "w" ... }
 *     layer { name: "conv" type: "Convolution" bottom: "data" bottom: "w" top: "conv" param_bottoms: 1 }
 *
 * And the size of a crop that a setting names becomes a bottom: `bottom: "a" crop_param { blob_name: "b" }` of an old SimpleCrop.
 *
 * With `param { name: "w" }` in both instead of the last bottom, every Caffe reads the same net.
 */
#include "upgrade.h"

#include <string.h>

#define FIELD "param_bottoms"
#define MOST 64 /* parameters of one layer; looking each up takes time */

/* The Parameter layer before `user` that makes `blob`; NULL: another layer does, or none. */
static struct moka_msg *maker(const struct moka__upgrade *u, const struct moka_msg *user, const char *blob)
{
	struct moka_msg *found = NULL;

	for (const struct moka_node *n = moka_next(u->net, "layer", NULL); n; n = moka_next(u->net, "layer", n)) {
		if (n->kind != MOKA_NODE_MESSAGE)
			continue;
		if (n->u.m == user)
			break;
		for (const struct moka_node *t = moka_next(n->u.m, "top", NULL); t; t = moka_next(n->u.m, "top", t))
			if (t->kind == MOKA_NODE_STRING && !strcmp(t->u.s.p, blob))
				found = n->u.m;
	}
	return found && !strcmp(moka_get_string(found, "type", ""), "Parameter") ? found : NULL;
}

/* param number i of the layer is called `name`, or what it is called already; its name comes back in *out. */
static enum moka_status name_param(struct moka__upgrade *u, struct moka_msg *layer, int i, const char *name,
				   const char **out)
{
	const struct moka_node *n = NULL;
	struct moka_msg *spec;

	while (moka_count(layer, "param") <= i)
		if (!moka_add_msg(u->arena, layer, u->schema, "param"))
			return MOKA_ERR_NOMEM;
	for (int k = 0; k <= i; k++)
		n = moka_next(layer, "param", n);
	if (!n || n->kind != MOKA_NODE_MESSAGE)
		return MOKA_OK;
	spec = n->u.m;
	*out = moka_get_string(spec, "name", "");
	if (**out)
		return MOKA_OK;
	moka_remove(spec, "name");
	*out = name;
	return moka_add_string(u->arena, spec, u->schema, "name", name) ? MOKA_OK : MOKA_ERR_NOMEM;
}

/* Bottom number i as a node, NULL: there are not so many. */
static const struct moka_node *bottom_at(const struct moka_msg *layer, int i)
{
	const struct moka_node *n = moka_next(layer, "bottom", NULL);

	while (n && i-- > 0)
		n = moka_next(layer, "bottom", n);
	return n;
}

static void unlink_node(struct moka_msg *m, const struct moka_node *gone)
{
	struct moka_node **link = &m->first, *last = NULL;

	while (*link) {
		if (*link == gone) {
			*link = gone->next;
			continue;
		}
		last = *link;
		link = &last->next;
	}
	m->last = last;
}

/* True where the last `n` bottoms all come from Parameter layers; a finding where not. */
static bool can_share(struct moka__upgrade *u, const struct moka_msg *layer, int bottoms, int n)
{
	const struct moka_node *at = moka_get(layer, FIELD);

	if (n < 1 || n >= bottoms || n > MOST) {
		moka_find(
			u->f, MOKA_ERROR, "bad-value", moka_node_loc(layer, at),
			"param_bottoms says that %d of %d bottoms are parameters; it must be 1 to %d, and one bottom at least is none",
			n, bottoms, MOST);
		return false;
	}
	for (int i = bottoms - n; i < bottoms; i++) {
		const struct moka_node *b = bottom_at(layer, i);

		if (b->kind == MOKA_NODE_STRING && maker(u, layer, b->u.s.p))
			continue;
		moka_find(u->f, MOKA_ERROR, "param-bottoms", moka_value_loc(layer, b),
			  "a parameter that comes in as a bottom must be the top of a Parameter layer before it");
		return false;
	}
	return true;
}

static enum moka_status share(struct moka__upgrade *u, struct moka_msg *layer, int bottoms, int n)
{
	const int first = bottoms - n;

	for (int i = 0; i < n; i++) {
		const struct moka_node *b = bottom_at(layer, first);
		const char *name = b->u.s.p;

		MOKA_TRY(name_param(u, maker(u, layer, name), 0, name, &name));
		MOKA_TRY(name_param(u, layer, i, name, &name));
		unlink_node(layer, b);
	}
	return MOKA_OK;
}

/* SimpleCrop with one bottom: the blob that crop_param's blob_name names becomes the second. */
static enum moka_status name_to_bottom(struct moka__upgrade *u, struct moka_msg *layer)
{
	struct moka_msg *param = moka_get_msg(layer, "crop_param");
	const char *blob = param ? moka_get_string(param, "blob_name", "") : "";

	if (!*blob || moka_count(layer, "bottom") != 1 || strcmp(moka_get_string(layer, "type", ""), "SimpleCrop"))
		return MOKA_OK;
	if (!moka_add_string(u->arena, layer, u->schema, "bottom", blob))
		return MOKA_ERR_NOMEM;
	moka_remove(param, "blob_name");
	return MOKA_OK;
}

enum moka_status moka__upgrade_bottoms(struct moka__upgrade *u)
{
	bool told = false;

	for (const struct moka_node *n = moka_next(u->net, "layer", NULL); n; n = moka_next(u->net, "layer", n))
		if (n->kind == MOKA_NODE_MESSAGE)
			MOKA_TRY(name_to_bottom(u, n->u.m));

	for (const struct moka_node *n = moka_next(u->net, "layer", NULL); n; n = moka_next(u->net, "layer", n)) {
		const struct moka_node *said = n->kind == MOKA_NODE_MESSAGE ? moka_get(n->u.m, FIELD) : NULL;
		int bottoms, count;

		if (!said || said->kind != MOKA_NODE_INT)
			continue;
		bottoms = moka_count(n->u.m, "bottom");
		count = said->u.i < 0 || said->u.i > bottoms ? bottoms : (int)said->u.i;
		if (!can_share(u, n->u.m, bottoms, count))
			continue;
		MOKA_TRY(share(u, n->u.m, bottoms, count));
		moka_remove(n->u.m, FIELD);
		if (!told)
			moka_find(u->f, MOKA_NOTE, "upgraded-param-bottoms", moka_msg_loc(n->u.m),
				  "parameters that came in as bottoms became parameters shared by name");
		told = true;
	}
	return MOKA_OK;
}
