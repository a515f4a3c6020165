/*
 * upgrade_v0.c - the oldest syntax: every parameter of every layer in one message, types as words.
 *
 *     layers { layer { name: "conv1" type: "conv" num_output: 96 kernelsize: 11 stride: 4 } bottom: "data" top: "conv1" }
 *
 * Where each field goes depends on the layer's type; the table below says it. Layers of type "padding" vanish into
 * the convolution or pooling behind them.
 */
#include "upgrade.h"

#include <string.h>

/* clang-format off */
static const struct {
	const char *v0, *v1;
} types[] = {
	{ "accuracy", "ACCURACY" }, { "bnll", "BNLL" }, { "concat", "CONCAT" }, { "conv", "CONVOLUTION" }, { "data", "DATA" },
	{ "dropout", "DROPOUT" }, { "euclidean_loss", "EUCLIDEAN_LOSS" }, { "flatten", "FLATTEN" },
	{ "hdf5_data", "HDF5_DATA" }, { "hdf5_output", "HDF5_OUTPUT" }, { "im2col", "IM2COL" }, { "images", "IMAGE_DATA" },
	{ "infogain_loss", "INFOGAIN_LOSS" }, { "innerproduct", "INNER_PRODUCT" }, { "lrn", "LRN" },
	{ "multinomial_logistic_loss", "MULTINOMIAL_LOGISTIC_LOSS" }, { "pool", "POOLING" }, { "relu", "RELU" },
	{ "sigmoid", "SIGMOID" }, { "softmax", "SOFTMAX" }, { "softmax_loss", "SOFTMAX_LOSS" }, { "split", "SPLIT" },
	{ "locally_connected", "LOCAL" }, { "tanh", "TANH" }, { "window_data", "WINDOW_DATA" },
};

/* field, type ("": any), message ("": the layer itself), field there */
static const struct rule {
	const char *from, *type, *message, *to;
} rules[] = {
	{ "name", "", "", "name" }, { "blobs", "", "", "blobs" }, { "blobs_lr", "", "", "blobs_lr" },
	{ "weight_decay", "", "", "weight_decay" },
	{ "num_output", "conv", "convolution_param", "num_output" },
	{ "num_output", "innerproduct", "inner_product_param", "num_output" },
	{ "biasterm", "conv", "convolution_param", "bias_term" },
	{ "biasterm", "innerproduct", "inner_product_param", "bias_term" },
	{ "weight_filler", "conv", "convolution_param", "weight_filler" },
	{ "weight_filler", "innerproduct", "inner_product_param", "weight_filler" },
	{ "bias_filler", "conv", "convolution_param", "bias_filler" },
	{ "bias_filler", "innerproduct", "inner_product_param", "bias_filler" },
	{ "pad", "conv", "convolution_param", "pad" }, { "pad", "pool", "pooling_param", "pad" },
	{ "kernelsize", "conv", "convolution_param", "kernel_size" }, { "kernelsize", "pool", "pooling_param", "kernel_size" },
	{ "group", "conv", "convolution_param", "group" },
	{ "stride", "conv", "convolution_param", "stride" }, { "stride", "pool", "pooling_param", "stride" },
	{ "pool", "pool", "pooling_param", "pool" },
	/* a fork's: */
	{ "num_output", "locally_connected", "local_param", "num_output" },
	{ "biasterm", "locally_connected", "local_param", "bias_term" },
	{ "weight_filler", "locally_connected", "local_param", "weight_filler" },
	{ "bias_filler", "locally_connected", "local_param", "bias_filler" },
	{ "pad", "locally_connected", "local_param", "pad" }, { "kernelsize", "locally_connected", "local_param", "kernel_size" },
	{ "stride", "locally_connected", "local_param", "stride" },
	{ "dropout_ratio", "dropout", "dropout_param", "dropout_ratio" },
	{ "local_size", "lrn", "lrn_param", "local_size" }, { "alpha", "lrn", "lrn_param", "alpha" },
	{ "beta", "lrn", "lrn_param", "beta" }, { "k", "lrn", "lrn_param", "k" },
	{ "source", "data", "data_param", "source" }, { "source", "hdf5_data", "hdf5_data_param", "source" },
	{ "source", "images", "image_data_param", "source" }, { "source", "window_data", "window_data_param", "source" },
	{ "source", "infogain_loss", "infogain_loss_param", "source" },
	{ "scale", "", "transform_param", "scale" }, { "meanfile", "", "transform_param", "mean_file" },
	{ "cropsize", "", "transform_param", "crop_size" }, { "mirror", "", "transform_param", "mirror" },
	{ "batchsize", "data", "data_param", "batch_size" }, { "batchsize", "hdf5_data", "hdf5_data_param", "batch_size" },
	{ "batchsize", "images", "image_data_param", "batch_size" },
	{ "batchsize", "window_data", "window_data_param", "batch_size" },
	{ "rand_skip", "data", "data_param", "rand_skip" }, { "rand_skip", "images", "image_data_param", "rand_skip" },
	{ "shuffle_images", "images", "image_data_param", "shuffle" },
	{ "new_height", "images", "image_data_param", "new_height" }, { "new_width", "images", "image_data_param", "new_width" },
	{ "concat_dim", "concat", "concat_param", "concat_dim" },
	{ "det_fg_threshold", "window_data", "window_data_param", "fg_threshold" },
	{ "det_bg_threshold", "window_data", "window_data_param", "bg_threshold" },
	{ "det_fg_fraction", "window_data", "window_data_param", "fg_fraction" },
	{ "det_context_pad", "window_data", "window_data_param", "context_pad" },
	{ "det_crop_mode", "window_data", "window_data_param", "crop_mode" },
	{ "hdf5_output_param", "hdf5_output", "", "hdf5_output_param" },
};
/* clang-format on */

static bool is_type(const char *word)
{
	for (size_t i = 0; i < MOKA_COUNT(types); i++)
		if (!strcmp(types[i].v0, word))
			return true;
	return false;
}

static const struct rule *find_rule(const char *field, const char *type)
{
	for (size_t i = 0; i < MOKA_COUNT(rules); i++)
		if (!strcmp(rules[i].from, field) && (!*rules[i].type || !strcmp(rules[i].type, type)))
			return &rules[i];
	return NULL;
}

/* The message of that name in m, made where it is missing. */
static struct moka_msg *get_or_add(struct moka__upgrade *u, struct moka_msg *m, const char *name)
{
	struct moka_msg *sub = moka_get_msg(m, name);

	return sub ? sub : moka_add_msg(u->arena, m, u->schema, name);
}

/* `type`: a word becomes an enum's value; a word that Caffe never knew is kept as a name. */
static enum moka_status set_type(struct moka__upgrade *u, struct moka_msg *v1, const struct moka_msg *v0)
{
	const struct moka_node *n = moka_get(v0, "type");
	const struct moka_schema_layer *sl = NULL;
	struct moka_node *made;
	const char *word;

	if (!n || n->kind != MOKA_NODE_STRING)
		return MOKA_OK;
	word = n->u.s.p;
	for (size_t i = 0; i < MOKA_COUNT(types) && !sl; i++)
		if (!strcmp(word, types[i].v0))
			sl = moka__v1_by_name(u->schema, types[i].v1, strlen(types[i].v1));
	/* a newer type in the old manner: memory_data for MEMORY_DATA */
	for (size_t i = 0; !sl && u->schema && i < u->schema->n; i++)
		if (u->schema->layers[i]->v1_type && !moka_name_distance(word, u->schema->layers[i]->v1_type))
			sl = u->schema->layers[i];
	made = moka_add_int(u->arena, v1, u->schema, "type", sl ? sl->v1_value : 0);
	if (!made)
		return MOKA_ERR_NOMEM;
	made->line = n->line, made->column = n->column;
	made->value_line = n->value_line, made->value_column = n->value_column;
	if (sl)
		return MOKA_OK;
	made->kind = MOKA_NODE_NAME;
	made->u.s.p = word;
	made->u.s.n = n->u.s.n;
	moka_find(u->f, MOKA_WARNING, "unknown-v0-type", moka_value_loc(v0, n),
		  "BVLC's oldest syntax has no layer type \"%s\"", word);
	return MOKA_OK;
}

static enum moka_status place_field(struct moka__upgrade *u, struct moka_msg *v1, const struct moka_msg *v0,
				    const char *type, const struct moka_node *n)
{
	const struct rule *r = n->field ? find_rule(n->field->name, type) : NULL;
	struct moka_msg *to;

	if (!n->field)
		return n->name ? moka__carry(u, v1, n->name, n) : MOKA_OK;
	if (!r && !is_type(type))
		return MOKA_OK;
	if (!r) {
		moka_find(u->f, MOKA_WARNING, "idle-field", moka_node_loc(v0, n),
			  "'%s' means nothing to a layer of type \"%s\"", n->field->name, type);
		return MOKA_OK;
	}
	to = *r->message ? get_or_add(u, v1, r->message) : v1;
	if (!to)
		return MOKA_ERR_NOMEM;
	return moka_move(u->arena, to, u->schema, r->to, n) ? MOKA_OK : MOKA_ERR_NOMEM;
}

static enum moka_status upgrade_one(struct moka__upgrade *u, struct moka_msg *old, struct moka_msg **out)
{
	const struct moka_msg *v0 = moka_get_msg(old, "layer");
	struct moka_msg *v1 = moka_msg_new(u->arena, &moka_v1_layer_message);
	const char *type = moka_get_string(v0, "type", "");

	if (!v1)
		return MOKA_ERR_NOMEM;
	v1->text = old->text;
	v1->line = old->line;
	v1->column = old->column;
	MOKA_TRY(set_type(u, v1, v0));
	for (const struct moka_node *n = old->first; n; n = n->next) {
		const char *name = n->field ? n->field->name : n->name;
		if (name && strcmp(name, "layer") && strcmp(name, "type"))
			MOKA_TRY(moka__carry(u, v1, name, n));
	}
	for (const struct moka_node *n = v0->first; n; n = n->next)
		if (!n->field || strcmp(n->field->name, "type"))
			MOKA_TRY(place_field(u, v1, v0, type, n));
	*out = v1;
	return MOKA_OK;
}

/* ---- padding layers ------------------------------------------------------------------------------------- */

static bool is_padding(const struct moka_msg *layer)
{
	return !strcmp(moka_get_string(moka_get_msg(layer, "layer"), "type", ""), "padding");
}

/* `layer` reads the blob that a padding layer made: it takes over the padding, and reads the blob before it. */
static enum moka_status absorb(struct moka__upgrade *u, struct moka_msg *layer, struct moka_node *bottom,
			       const struct moka_msg *padding)
{
	struct moka_msg *v0 = moka_get_msg(layer, "layer");
	const char *type = moka_get_string(v0, "type", "");
	const struct moka_node *pad = moka_get(moka_get_msg(padding, "layer"), "pad"),
			       *source = moka_get(padding, "bottom");

	if ((strcmp(type, "conv") && strcmp(type, "pool")) || moka_count(padding, "bottom") != 1 ||
	    moka_count(padding, "top") != 1 || moka_count(layer, "bottom") != 1) {
		moka_find(
			u->f, MOKA_ERROR, "padding-layer", moka_node_loc(layer, bottom),
			"a padding layer has one bottom and one top, and a conv or pool layer with one bottom behind it");
		return MOKA_OK;
	}
	bottom->u.s = source->u.s;
	moka_remove(v0, "pad");
	if (!pad)
		return MOKA_OK;
	return moka_move(u->arena, v0, u->schema, "pad", pad) ? MOKA_OK : MOKA_ERR_NOMEM;
}

static enum moka_status walk_padding(struct moka__upgrade *u, struct moka_map *made_by)
{
	for (struct moka_node *n = u->net->first; n; n = n->next) {
		struct moka_msg *layer = n->u.m;
		if (n->kind != MOKA_NODE_MESSAGE || layer->type != &moka_v1_layer_message)
			continue;
		for (struct moka_node *b = layer->first; b; b = b->next) {
			struct moka_msg *producer;
			if (!b->field || b->kind != MOKA_NODE_STRING || strcmp(b->field->name, "bottom"))
				continue;
			producer = moka_map_get(made_by, b->u.s.p);
			if (producer && is_padding(producer))
				MOKA_TRY(absorb(u, layer, b, producer));
		}
		for (const struct moka_node *t = moka_next(layer, "top", NULL); t; t = moka_next(layer, "top", t))
			if (t->kind == MOKA_NODE_STRING && !moka_map_put(made_by, t->u.s.p, layer))
				return MOKA_ERR_NOMEM;
	}
	return MOKA_OK;
}

static void drop_padding(struct moka_msg *net)
{
	struct moka_node **link = &net->first;

	net->last = NULL;
	while (*link) {
		struct moka_node *n = *link;
		if (n->kind == MOKA_NODE_MESSAGE && n->u.m->type == &moka_v1_layer_message && is_padding(n->u.m)) {
			*link = n->next;
		} else {
			net->last = n;
			link = &n->next;
		}
	}
}

enum moka_status moka__upgrade_v0(struct moka__upgrade *u)
{
	struct moka_map made_by;
	enum moka_status st;
	bool any = false;

	for (const struct moka_node *n = u->net->first; n && !any; n = n->next)
		any = n->kind == MOKA_NODE_MESSAGE && n->u.m->type == &moka_v1_layer_message &&
		      moka_get_msg(n->u.m, "layer");
	if (!any)
		return MOKA_OK;
	moka_find(u->f, MOKA_NOTE, "upgraded-v0", moka_node_loc(u->net, moka_next(u->net, "layers", NULL)),
		  "layers in the oldest syntax (V0) were brought up to date");
	moka_map_init(&made_by);
	st = walk_padding(u, &made_by);
	moka_map_release(&made_by);
	MOKA_TRY(st);
	drop_padding(u->net);
	for (struct moka_node *n = u->net->first; n; n = n->next)
		if (n->kind == MOKA_NODE_MESSAGE && n->u.m->type == &moka_v1_layer_message &&
		    moka_get_msg(n->u.m, "layer"))
			MOKA_TRY(upgrade_one(u, n->u.m, &n->u.m));
	return MOKA_OK;
}
