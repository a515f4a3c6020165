/*
 * registry.c - the table of layer types, made from the one list in layers/meson.build.
 *
 * The build writes layer_list.def from that list: X(relu) X(pooling) ... Each X names a
 * `const struct moka_layer_type moka_layer_<x>` in layers/<x>.c.
 */
#include "layer.h"

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
