/*
 * fields.c - finding a field by name or number.
 *
 * Most messages have one fixed table. LayerParameter and V1LayerParameter have a common part (common.c) and one field
 * per layer that takes parameters; those come from the schema and are made here, in an arena, when first asked for.
 */
#include "internal.h"

#include <string.h>

#define V1_TYPE_NUMBER 5
#define V0_HDF5_OUTPUT_NUMBER 1001

void moka__lookup_init(struct moka__lookup *l, struct moka_arena *a, const struct moka_schema *s)
{
	*l = (struct moka__lookup){ .arena = a, .schema = s };
}

const struct moka_enum_value *moka__enum_by_value(const struct moka_enum_value *v, int64_t value)
{
	for (; v && v->name; v++)
		if (v->value == value)
			return v;
	return NULL;
}

const struct moka_enum_value *moka__enum_by_name(const struct moka_enum_value *v, const char *name, size_t n)
{
	for (; v && v->name; v++)
		if (!strncmp(v->name, name, n) && !v->name[n])
			return v;
	return NULL;
}

const struct moka_schema_layer *moka__v1_by_name(const struct moka_schema *s, const char *name, size_t n)
{
	for (size_t i = 0; s && i < s->n; i++) {
		const char *v1 = s->layers[i]->v1_type;
		if (v1 && !strncmp(v1, name, n) && !v1[n])
			return s->layers[i];
	}
	return NULL;
}

const struct moka_schema_layer *moka__v1_by_value(const struct moka_schema *s, int64_t value)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (s->layers[i]->v1_type && s->layers[i]->v1_value == value)
			return s->layers[i];
	return NULL;
}

const struct moka_schema_layer *moka__layer_by_type(const struct moka_schema *s, const char *type, size_t n)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (!strncmp(s->layers[i]->type, type, n) && !s->layers[i]->type[n])
			return s->layers[i];
	return NULL;
}

/* The field that holds the parameters of the schema's layer i. */
static const struct moka_field *make_param(struct moka__lookup *l, size_t i, bool v1)
{
	const struct moka_schema_layer *sl = l->schema->layers[i];
	struct moka_field *f;

	if (!l->made)
		l->made = MOKA_NEWN(l->arena, 2 * l->schema->n, const struct moka_field *);
	if (!l->made)
		return NULL;
	if (l->made[2 * i + v1])
		return l->made[2 * i + v1];
	f = MOKA_NEW(l->arena, struct moka_field);
	if (!f)
		return NULL;
	*f = (struct moka_field){
		.name = sl->param_name,
		.number = v1 ? sl->v1_param_number : sl->param_number,
		.kind = MOKA_MESSAGE,
		.label = MOKA_OPTIONAL,
		.offset = MOKA_NOWHERE,
		.message = sl->message,
		.fork = sl->fork,
	};
	l->made[2 * i + v1] = f;
	return f;
}

/* V1's `type` with the layers' old names as its values; layers that share a name (none should) count once. */
static const struct moka_field *make_v1_type(struct moka__lookup *l, const struct moka_field *plain)
{
	struct moka_enum_value *v;
	struct moka_field *f;
	size_t n = 0;

	if (l->v1_type)
		return l->v1_type;
	v = MOKA_NEWN(l->arena, l->schema->n + 2, struct moka_enum_value);
	f = MOKA_NEW(l->arena, struct moka_field);
	if (!v || !f)
		return NULL;
	v[n++] = (struct moka_enum_value){ "NONE", 0 };
	for (size_t i = 0; i < l->schema->n; i++)
		if (l->schema->layers[i]->v1_type)
			v[n++] = (struct moka_enum_value){ l->schema->layers[i]->v1_type,
							   l->schema->layers[i]->v1_value };
	*f = *plain;
	f->values = v;
	l->v1_type = f;
	return f;
}

/* V0's one field whose message belongs to a layer. */
static const struct moka_field *make_v0_hdf5(struct moka__lookup *l)
{
	const struct moka_schema_layer *sl = moka__layer_by_type(l->schema, "HDF5Output", strlen("HDF5Output"));
	struct moka_field *f;

	if (l->v0_hdf5 || !sl || !sl->message)
		return l->v0_hdf5;
	f = MOKA_NEW(l->arena, struct moka_field);
	if (f)
		*f = (struct moka_field){ .name = "hdf5_output_param",
					  .number = V0_HDF5_OUTPUT_NUMBER,
					  .kind = MOKA_MESSAGE,
					  .offset = MOKA_NOWHERE,
					  .message = sl->message };
	l->v0_hdf5 = f;
	return f;
}

/* How well a claim to a name or number is founded: the layer's own type beats BVLC's table, which beats a fork's. */
enum claim { NO_CLAIM, FORK_CLAIM, BVLC_CLAIM, OWN_CLAIM };

static enum claim judge(const struct moka_schema_layer *sl, const char *layer_type)
{
	if (layer_type && !strcmp(sl->type, layer_type))
		return OWN_CLAIM;
	return sl->fork ? FORK_CLAIM : BVLC_CLAIM;
}

const struct moka_field *moka__lookup_name(struct moka__lookup *l, const struct moka_message *m, const char *layer_type,
					   const char *name)
{
	bool v1 = m == &moka_v1_layer_message;
	enum claim best = NO_CLAIM;
	size_t chosen = 0;

	for (const struct moka_field *f = m->fields; f && f->name; f++)
		if (!strcmp(f->name, name))
			return v1 && f->number == V1_TYPE_NUMBER && l->schema ? make_v1_type(l, f) : f;
	if (!l->schema)
		return NULL;
	if (m == &moka_v0_layer_message && !strcmp(name, "hdf5_output_param"))
		return make_v0_hdf5(l);
	if (!v1 && m != &moka_layer_message)
		return NULL;
	for (size_t i = 0; i < l->schema->n; i++) {
		const struct moka_schema_layer *sl = l->schema->layers[i];
		if (!sl->param_name || (v1 && !sl->v1_param_number) || strcmp(sl->param_name, name))
			continue;
		if (judge(sl, layer_type) > best)
			best = judge(sl, layer_type), chosen = i;
	}
	return best ? make_param(l, chosen, v1) : NULL;
}

const struct moka_field *moka__lookup_number(struct moka__lookup *l, const struct moka_message *m,
					     const char *layer_type, uint32_t number)
{
	bool v1 = m == &moka_v1_layer_message;
	enum claim best = FORK_CLAIM; /* a number alone proves nothing: forks use each other's for other things */
	size_t chosen = SIZE_MAX;

	for (const struct moka_field *f = m->fields; f && f->name; f++)
		if (f->number == number)
			return v1 && number == V1_TYPE_NUMBER && l->schema ? make_v1_type(l, f) : f;
	if (!l->schema)
		return NULL;
	if (m == &moka_v0_layer_message && number == V0_HDF5_OUTPUT_NUMBER)
		return make_v0_hdf5(l);
	if (!v1 && m != &moka_layer_message)
		return NULL;
	for (size_t i = 0; i < l->schema->n; i++) {
		const struct moka_schema_layer *sl = l->schema->layers[i];
		if (!sl->param_name || (v1 ? sl->v1_param_number : sl->param_number) != number)
			continue;
		if (judge(sl, layer_type) > best)
			best = judge(sl, layer_type), chosen = i;
	}
	return chosen != SIZE_MAX ? make_param(l, chosen, v1) : NULL;
}

const struct moka_field *moka_field_by_name(struct moka_arena *a, const struct moka_schema *s,
					    const struct moka_message *m, const char *layer_type, const char *name)
{
	struct moka__lookup l;

	moka__lookup_init(&l, a, s);
	return m ? moka__lookup_name(&l, m, layer_type, name) : NULL;
}

const struct moka_field *moka_field_by_number(struct moka_arena *a, const struct moka_schema *s,
					      const struct moka_message *m, const char *layer_type, uint32_t number)
{
	struct moka__lookup l;

	moka__lookup_init(&l, a, s);
	return m ? moka__lookup_number(&l, m, layer_type, number) : NULL;
}
