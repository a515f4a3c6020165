/*
 * registry.c - the table of layer types, made from the one list in layers/meson.build.
 *
 * The build writes layer_list.def from that list: X(relu) X(pooling) ... Each X names a
 * `const struct moka_layer_type moka_layer_<x>` in layers/<x>.c. A caller's own types join them in a struct
 * moka_registry, which copies the tables of pointers: nothing here is ever written to.
 */
#include "layer.h"

#include <stdlib.h>
#include <string.h>

#define X(name) extern const struct moka_layer_type moka_layer_##name;
#include "layers/layer_list.def"
#undef X

#define X(name) &moka_layer_##name,
const struct moka_layer_type *const moka_layer_types[] = {
#include "layers/layer_list.def"
	NULL
};
#undef X

#define X(name) &moka_layer_##name.schema,
static const struct moka_schema_layer *const schema_layers[] = {
#include "layers/layer_list.def"
};
#undef X

const struct moka_schema moka_layer_schema = { schema_layers, MOKA_COUNT(schema_layers) };

const struct moka_layer_type *moka_layer_type_find(const char *name)
{
	for (int i = 0; moka_layer_types[i]; i++)
		if (!strcmp(moka_layer_types[i]->schema.type, name))
			return moka_layer_types[i];
	return NULL;
}

/* ---- a caller's registry ------------------------------------------------------------------- */

void moka_registry_init(struct moka_registry *r)
{
	*r = (struct moka_registry){ .schema = moka_layer_schema };
}

void moka_registry_release(struct moka_registry *r)
{
	free(r->types);
	free(r->layers);
	moka_registry_init(r);
}

const struct moka_layer_type *const *moka_registry_types(const struct moka_registry *r)
{
	return r && r->types ? (const struct moka_layer_type *const *)r->types : moka_layer_types;
}

const struct moka_schema *moka_registry_schema(const struct moka_registry *r)
{
	return r && r->types ? &r->schema : &moka_layer_schema;
}

const struct moka_layer_type *moka_registry_find(const struct moka_registry *r, const char *name)
{
	const struct moka_layer_type *const *t = moka_registry_types(r);

	while (*t && strcmp((*t)->schema.type, name))
		t++;
	return *t;
}

/* What would break the net or the readers later is said here, once, in the words of whoever wrote the type. */
static const char *unusable(const struct moka_layer_type *t)
{
	const struct moka_schema_layer *s = &t->schema;

	if (!s->type || !*s->type)
		return "it has no name (schema.type)";
	if (!t->shape)
		return "it has no shape()";
	if (t->min_bottom < 0 || t->min_top < 0 || (t->max_bottom >= 0 && t->max_bottom < t->min_bottom) ||
	    (t->max_top >= 0 && t->max_top < t->min_top))
		return "its numbers of bottoms and tops make no sense (min above max, or negative)";
	if (!s->param_name != !s->message)
		return "param_name and message belong together: it has one of them";
	if (s->message && (!s->message->name || !s->message->fields))
		return "its message has no name or no fields";
	return NULL;
}

static bool grow(struct moka_registry *r)
{
	size_t n = r->types ? r->n : MOKA_COUNT(schema_layers);
	const struct moka_layer_type **types = realloc(r->types, (n + 2) * sizeof(*types));

	if (!types)
		return false;
	if (!r->types)
		memcpy(types, moka_layer_types, (n + 1) * sizeof(*types));
	r->types = types;
	r->n = n;
	const struct moka_schema_layer **layers = realloc(r->layers, (n + 1) * sizeof(*layers));
	if (!layers)
		return false;
	if (!r->layers)
		memcpy(layers, schema_layers, n * sizeof(*layers));
	r->layers = layers;
	r->schema = (struct moka_schema){ layers, n };
	return true;
}

enum moka_status moka_registry_add(struct moka_registry *r, const struct moka_layer_type *t, struct moka_error *err)
{
	const char *why = unusable(t);

	if (why)
		return moka_fail(err, MOKA_ERR_ARG, "the layer type '%s' can't be used: %s",
				 t->schema.type ? t->schema.type : "", why);
	if (moka_registry_find(r, t->schema.type)) {
		moka_fail(err, MOKA_ERR_ARG, "there is a layer type '%s' already%s", t->schema.type,
			  moka_layer_type_find(t->schema.type) ? ": it is one of Moka's own" : "");
		moka_fail_hint(err, "give it another name (schema.type), or add it once");
		return MOKA_ERR_ARG;
	}
	if (!grow(r))
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for another layer type");
	r->types[r->n] = t;
	r->layers[r->n++] = &t->schema;
	r->types[r->n] = NULL;
	r->schema.n = r->n;
	return MOKA_OK;
}
