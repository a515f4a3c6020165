/*
 * upgrade.c - nets and solvers in old syntax -> current syntax, as BVLC Caffe does it when it reads a file.
 *
 *     V0  layers { layer { type: "conv" ... } }       upgrade_v0.c: -> V1
 *     V1  layers { type: CONVOLUTION blobs_lr: 1 }    -> layer { type: "Convolution" param { lr_mult: 1 } }
 *         data_param { scale: 0.1 } (in V1 only)      -> transform_param { scale: 0.1 }
 *     input: "data" input_dim: 1 ...                  -> layer { type: "Input" input_param { shape { ... } } }
 *     BatchNorm with three param { }                  -> all of them with lr_mult 0 and decay_mult 0
 *     solver_type: ADAM                               -> type: "Adam"
 *
 * Fields keep the places they were read from, so that what is found later points into the user's own text.
 */
#include "upgrade.h"

#include <string.h>

#define TRY_NODE(call)                                                                                                 \
	do {                                                                                                           \
		if (!(call))                                                                                           \
			return MOKA_ERR_NOMEM;                                                                         \
	} while (0)

/* Makes the value of an unknown field one of the known field f; false: it is none. */
static bool adapt(const struct moka_field *f, struct moka_node *n)
{
	const struct moka_enum_value *v = NULL;

	if (f->kind == MOKA_MESSAGE)
		return n->kind == MOKA_NODE_MESSAGE && n->u.m->type == f->message;
	if (moka__is_bytes(f->kind))
		return n->kind == MOKA_NODE_STRING;
	if (moka__is_real(f->kind)) {
		if (n->kind == MOKA_NODE_INT)
			n->u.d = (double)n->u.i;
		else if (n->kind != MOKA_NODE_FLOAT)
			return false;
		n->kind = MOKA_NODE_FLOAT;
		return true;
	}
	if (n->kind == MOKA_NODE_NAME && f->kind == MOKA_ENUM)
		v = moka__enum_by_name(f->values, n->u.s.p, n->u.s.n);
	if (n->kind == MOKA_NODE_NAME && (v || f->kind == MOKA_BOOL)) {
		n->u.i = v ? v->value : !strcmp(n->u.s.p, "true");
		n->kind = MOKA_NODE_INT;
	}
	return n->kind == MOKA_NODE_INT;
}

enum moka_status moka__carry(struct moka__upgrade *u, struct moka_msg *to, const char *name, const struct moka_node *n)
{
	const struct moka_field *f = moka_field_by_name(u->arena, u->schema, to->type, to->layer_type, name);
	struct moka_node copy = *n, *x;

	if (f && (n->field || adapt(f, &copy))) {
		TRY_NODE(moka_move(u->arena, to, u->schema, name, &copy));
		return MOKA_OK;
	}
	/* a number of a binary means something else in the new message */
	if (n->kind == MOKA_NODE_RAW || n->field)
		return MOKA_OK;
	TRY_NODE(x = moka__append(u->arena, to, NULL, n->kind));
	*x = *n;
	x->next = NULL;
	return MOKA_OK;
}

static bool is_string(const struct moka_msg *m, const char *name, const char *value)
{
	return !strcmp(moka_get_string(m, name, ""), value);
}

static void set_place(struct moka_node *n, const struct moka_node *from)
{
	n->line = from->line;
	n->column = from->column;
	n->value_line = from->value_line;
	n->value_column = from->value_column;
}

/* ---- V1 ----------------------------------------------------------------------------------------- */

/* The fields of V1 that become one param { } for each parameter. */
static const struct {
	const char *v1, *spec;
} param_parts[] = {
	{ "param", "name" },
	{ "blob_share_mode", "share_mode" },
	{ "blobs_lr", "lr_mult" },
	{ "weight_decay", "decay_mult" },
};

static bool is_param_part(const char *name)
{
	for (size_t i = 0; i < MOKA_COUNT(param_parts); i++)
		if (!strcmp(name, param_parts[i].v1))
			return true;
	return false;
}

/* The i-th param { } of a new layer: `specs` grows as it is asked for. */
static struct moka_msg *spec_at(struct moka__upgrade *u, struct moka_msg *layer, struct moka_node **next,
				const struct moka_node *place)
{
	struct moka_msg *m;

	if (*next) {
		m = (*next)->u.m;
		do
			*next = (*next)->next;
		while (*next && !((*next)->field && !strcmp((*next)->field->name, "param")));
		return m;
	}
	m = moka_add_msg(u->arena, layer, u->schema, "param");
	if (m && place->line) {
		set_place(layer->last, place);
		m->line = place->line;
		m->column = place->column;
	}
	return m;
}

/* All values of one part, each into its param { }. */
static enum moka_status spread_part(struct moka__upgrade *u, const struct moka_msg *v1, struct moka_msg *layer,
				    size_t part)
{
	const char *to = param_parts[part].spec;
	struct moka_node *next = (struct moka_node *)moka_next(layer, "param", NULL), *made;
	struct moka_msg *spec;

	for (const struct moka_node *n = moka_next(v1, param_parts[part].v1, NULL); n;
	     n = moka_next(v1, param_parts[part].v1, n)) {
		struct moka__run_walk w;
		double d;
		if (!n->field || n->kind == MOKA_NODE_NAME)
			continue;
		if (n->kind != MOKA_NODE_RUN) {
			TRY_NODE(spec = spec_at(u, layer, &next, n));
			TRY_NODE(moka_move(u->arena, spec, u->schema, to, n));
			continue;
		}
		w = moka__run_start(&n->u.run, n->field->kind);
		while (moka__is_real(w.kind) && moka__run_real(&w, &d)) {
			TRY_NODE(spec = spec_at(u, layer, &next, n));
			TRY_NODE(made = moka_add_float(u->arena, spec, u->schema, to, d));
			set_place(made, n);
		}
	}
	return MOKA_OK;
}

/* The type of a V1 layer as its new name; NULL: it has none. */
static const char *new_type(const struct moka__upgrade *u, const struct moka_msg *v1)
{
	const struct moka_node *n = moka_get(v1, "type");
	const struct moka_schema_layer *sl;

	if (!n)
		return NULL;
	if (n->kind == MOKA_NODE_NAME)
		return n->u.s.p;
	sl = n->kind == MOKA_NODE_INT ? moka__v1_by_value(u->schema, n->u.i) : NULL;
	return sl ? sl->type : "";
}

/* scale, mean_file, crop_size and mirror once were among the data layers' own fields. */
static enum moka_status move_transform(struct moka__upgrade *u, struct moka_msg *layer)
{
	static const char *const layers[][2] = {
		{ "Data", "data_param" },
		{ "ImageData", "image_data_param" },
		{ "WindowData", "window_data_param" },
	};
	static const char *const names[] = { "scale", "mean_file", "crop_size", "mirror" };
	struct moka_msg *own = NULL, *transform = moka_get_msg(layer, "transform_param");

	for (size_t i = 0; i < MOKA_COUNT(layers); i++)
		if (is_string(layer, "type", layers[i][0]))
			own = moka_get_msg(layer, layers[i][1]);
	for (size_t i = 0; own && i < MOKA_COUNT(names); i++) {
		const struct moka_node *n = moka_get(own, names[i]);
		if (!n)
			continue;
		if (!transform)
			TRY_NODE(transform = moka_add_msg(u->arena, layer, u->schema, "transform_param"));
		moka_remove(transform, names[i]);
		TRY_NODE(moka_move(u->arena, transform, u->schema, names[i], n));
		moka_remove(own, names[i]);
		moka_find(u->f, MOKA_NOTE, "upgraded-transform", moka_node_loc(own, n),
			  "fields that change the pictures were moved to transform_param");
	}
	return MOKA_OK;
}

static enum moka_status upgrade_layer(struct moka__upgrade *u, const struct moka_msg *v1, struct moka_msg **out)
{
	struct moka_msg *layer = moka_msg_new(u->arena, &moka_layer_message);
	const char *type = new_type(u, v1);
	struct moka_node *made;

	TRY_NODE(layer);
	layer->text = v1->text;
	layer->line = v1->line;
	layer->column = v1->column;
	if (type) {
		/* first, since it decides what the other fields are */
		TRY_NODE(made = moka_add_string(u->arena, layer, u->schema, "type", type));
		set_place(made, moka_get(v1, "type"));
	}
	for (const struct moka_node *n = v1->first; n; n = n->next) {
		const char *name = n->field ? n->field->name : n->name;
		if (name && (is_param_part(name) || !strcmp(name, "type") || !strcmp(name, "layer")))
			continue;
		if (name)
			MOKA_TRY(moka__carry(u, layer, name, n));
	}
	for (size_t i = 0; i < MOKA_COUNT(param_parts); i++)
		MOKA_TRY(spread_part(u, v1, layer, i));
	*out = layer;
	return move_transform(u, layer);
}

static enum moka_status upgrade_v1(struct moka__upgrade *u)
{
	const struct moka_field *field = moka_field_by_name(u->arena, u->schema, u->net->type, NULL, "layer");
	const struct moka_node *first = moka_next(u->net, "layers", NULL);

	if (!first)
		return MOKA_OK;
	if (moka_has(u->net, "layer")) {
		moka_find(u->f, MOKA_ERROR, "mixed-layers", moka_node_loc(u->net, first),
			  "the net has both 'layer' and 'layers'; Caffe refuses that");
		moka_find_hint(u->f,
			       "write all of them as layer { ... }; `moka upgrade` turns the old ones into those");
	} else {
		moka_find(u->f, MOKA_NOTE, "upgraded-v1", moka_node_loc(u->net, first),
			  "layers in the old syntax (V1) were brought up to date");
	}
	for (struct moka_node *n = u->net->first; n; n = n->next) {
		if (n->kind != MOKA_NODE_MESSAGE || !n->field || n->u.m->type != &moka_v1_layer_message)
			continue;
		MOKA_TRY(upgrade_layer(u, n->u.m, &n->u.m));
		n->field = field;
	}
	return MOKA_OK;
}

/* ---- inputs --------------------------------------------------------------------------------------------- */

/* Input i's shape from the four numbers of input_dim that are its. */
static enum moka_status shape_from_dims(struct moka__upgrade *u, struct moka_msg *param, size_t i, const int64_t *dims,
					size_t n_dims)
{
	struct moka_msg *shape = moka_add_msg(u->arena, param, u->schema, "shape");

	TRY_NODE(shape);
	for (size_t k = 4 * i; k < 4 * i + 4 && k < n_dims; k++)
		TRY_NODE(moka_add_int(u->arena, shape, u->schema, "dim", dims[k]));
	return MOKA_OK;
}

/* Shapes and names must come in equal numbers. */
static void check_inputs(struct moka__upgrade *u, size_t n_input, size_t n_shape, size_t n_dims)
{
	const char *field = n_shape ? "input_shape" : "input_dim";
	const struct moka_node *at = moka_next(u->net, field, NULL);
	size_t per = n_shape ? 1 : 4, have = n_shape ? n_shape : n_dims;

	if (have == per * n_input)
		return;
	moka_find(u->f, MOKA_ERROR, "input-shape", moka_node_loc(u->net, at),
		  "%zu input%s need%s %zu %s%s, there %s %zu", n_input, n_input == 1 ? "" : "s",
		  n_input == 1 ? "s" : "", per * n_input, field, per * n_input == 1 ? "" : "s",
		  have == 1 ? "is" : "are", have);
	moka_find_hint(
		u->f,
		n_shape ? "give each input an input_shape { dim: ... }"
			: "input_dim takes four numbers for each input; for other shapes use input_shape { dim: ... }");
}

/* One top and one shape for each input. */
static enum moka_status fill_input(struct moka__upgrade *u, struct moka_msg *layer)
{
	struct moka_msg *param = moka_add_msg(u->arena, layer, u->schema, "input_param");
	const struct moka_node *shape = moka_next(u->net, "input_shape", NULL);
	size_t n_dims = moka_get_ints(u->net, "input_dim", NULL, 0), i = 0;
	int64_t *dims = MOKA_NEWN(u->arena, n_dims, int64_t);
	size_t n_shape = (size_t)moka_count(u->net, "input_shape"), n_input = (size_t)moka_count(u->net, "input");

	if (!param || !dims)
		return MOKA_ERR_NOMEM;
	moka_get_ints(u->net, "input_dim", dims, n_dims);
	check_inputs(u, n_input, n_shape, n_dims);
	for (const struct moka_node *n = moka_next(u->net, "input", NULL); n; n = moka_next(u->net, "input", n), i++) {
		TRY_NODE(moka_move(u->arena, layer, u->schema, "top", n));
		if (!n_shape) {
			MOKA_TRY(shape_from_dims(u, param, i, dims, n_dims));
		} else if (shape) {
			TRY_NODE(moka_move(u->arena, param, u->schema, "shape", shape));
			shape = moka_next(u->net, "input_shape", shape);
		}
	}
	return MOKA_OK;
}

/* Makes a node the first of its message. */
static void to_front(struct moka_msg *m, struct moka_node *n)
{
	struct moka_node *before = m->first;

	if (before == n)
		return;
	while (before->next != n)
		before = before->next;
	before->next = n->next;
	if (m->last == n)
		m->last = before;
	n->next = m->first;
	m->first = n;
}

/* Inputs without any shape say nothing that a bottom without a producer does not say: they go, as in Caffe. */
static enum moka_status upgrade_input(struct moka__upgrade *u)
{
	const struct moka_node *first = moka_next(u->net, "input", NULL), *dim = moka_next(u->net, "input_dim", NULL);
	struct moka_msg *layer;

	if (!first) {
		if (dim)
			moka_find(u->f, MOKA_WARNING, "input-shape", moka_node_loc(u->net, dim),
				  "input_dim without 'input': the sizes belong to no blob and are ignored");
		return MOKA_OK;
	}
	if (dim || moka_has(u->net, "input_shape")) {
		TRY_NODE(layer = moka_add_msg(u->arena, u->net, u->schema, "layer"));
		set_place(u->net->last, first);
		layer->line = first->line ? first->line : layer->line;
		layer->column = first->line ? first->column : layer->column;
		to_front(u->net, u->net->last);
		TRY_NODE(moka_add_string(u->arena, layer, u->schema, "name", "input"));
		TRY_NODE(moka_add_string(u->arena, layer, u->schema, "type", "Input"));
		MOKA_TRY(fill_input(u, layer));
		moka_find(u->f, MOKA_NOTE, "upgraded-input", moka_node_loc(u->net, first),
			  "input fields became a layer of type Input");
	}
	moka_remove(u->net, "input");
	moka_remove(u->net, "input_shape");
	moka_remove(u->net, "input_dim");
	return MOKA_OK;
}

/* ---- current layers ---------------------------------------------------------------------------------------- */

/* Three params on a BatchNorm are from the time when a net had to switch off the learning of its statistics itself. */
static enum moka_status fix_batch_norm(struct moka__upgrade *u, struct moka_msg *layer)
{
	static const char *const multipliers[] = { "lr_mult", "decay_mult" };
	bool changed = false;

	for (const struct moka_node *n = moka_next(layer, "param", NULL); n; n = moka_next(layer, "param", n))
		for (size_t i = 0; n->kind == MOKA_NODE_MESSAGE && i < MOKA_COUNT(multipliers); i++) {
			struct moka_node *made;
			if (moka_has(n->u.m, multipliers[i]) && moka_get_float(n->u.m, multipliers[i]) == 0)
				continue;
			changed |= moka_has(n->u.m, multipliers[i]);
			moka_remove(n->u.m, multipliers[i]);
			TRY_NODE(made = moka_add_float(u->arena, n->u.m, u->schema, multipliers[i], 0));
			set_place(made, n);
		}
	if (changed)
		moka_find(u->f, MOKA_NOTE, "upgraded-batch-norm", moka_msg_loc(layer),
			  "a BatchNorm's statistics are not learned; the multipliers of its params were set to 0");
	return MOKA_OK;
}

/* In current layers, BVLC reads these fields and does nothing with them. */
static void warn_idle_transform(struct moka__upgrade *u, const struct moka_msg *layer, const char *own)
{
	static const char *const names[] = { "scale", "mean_file", "crop_size", "mirror" };
	const struct moka_msg *m = moka_get_msg(layer, own);

	for (size_t i = 0; i < MOKA_COUNT(names); i++) {
		const struct moka_node *n = moka_get(m, names[i]);
		if (!n)
			continue;
		moka_find(u->f, MOKA_WARNING, "idle-field", moka_node_loc(m, n),
			  "'%s' has no effect in %s of a current layer", names[i], own);
		moka_find_hint(u->f, "write transform_param { %s: ... } beside it", names[i]);
	}
}

static enum moka_status fix_layers(struct moka__upgrade *u)
{
	for (const struct moka_node *n = moka_next(u->net, "layer", NULL); n; n = moka_next(u->net, "layer", n)) {
		struct moka_msg *layer = n->u.m;
		if (n->kind != MOKA_NODE_MESSAGE)
			continue;
		if (is_string(layer, "type", "BatchNorm") && moka_count(layer, "param") == 3)
			MOKA_TRY(fix_batch_norm(u, layer));
		else if (is_string(layer, "type", "Data"))
			warn_idle_transform(u, layer, "data_param");
		else if (is_string(layer, "type", "ImageData"))
			warn_idle_transform(u, layer, "image_data_param");
	}
	return MOKA_OK;
}

enum moka_status moka_upgrade_net(struct moka_arena *a, struct moka_msg *net, const struct moka_schema *s,
				  struct moka_findings *f)
{
	struct moka__upgrade u = { a, s, f, net };

	MOKA_TRY(moka__upgrade_v0(&u));
	MOKA_TRY(upgrade_v1(&u));
	MOKA_TRY(upgrade_input(&u));
	MOKA_TRY(moka__upgrade_bottoms(&u));
	return fix_layers(&u);
}

/* ---- solvers ------------------------------------------------------------------------------------------------- */

enum moka_status moka_upgrade_solver(struct moka_arena *a, struct moka_msg *solver, const struct moka_schema *s,
				     struct moka_findings *f)
{
	static const char *const types[] = { "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam" };
	const struct moka_node *old = moka_get(solver, "solver_type"), *now = moka_get(solver, "type");
	struct moka_node *made;

	if (!old || old->kind != MOKA_NODE_INT)
		return MOKA_OK;
	if (now) {
		moka_find(f, MOKA_ERROR, "solver-type-twice", moka_node_loc(solver, old),
			  "both 'solver_type' (the old form) and 'type' say which solver; Caffe refuses that");
		moka_find_hint(f, "keep type: \"%s\"", moka_get_string(solver, "type", "SGD"));
	} else if (old->u.i >= 0 && old->u.i < (int64_t)MOKA_COUNT(types)) {
		TRY_NODE(made = moka_add_string(a, solver, s, "type", types[old->u.i]));
		set_place(made, old);
		moka_find(f, MOKA_NOTE, "upgraded-solver-type", moka_node_loc(solver, old),
			  "solver_type became type: \"%s\"", types[old->u.i]);
	}
	moka_remove(solver, "solver_type");
	return MOKA_OK;
}
