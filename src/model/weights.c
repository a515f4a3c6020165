/*
 * weights.c - opens trained weights: which layer holds which blobs, as views of the mapped file.
 *
 * A .caffemodel is a whole net, and forks gave the same field numbers different meanings. So this file
 * reads it through tables of its own, which hold nothing but names, types and blobs; whatever else the message holds
 * can't be misread, and costs nothing. Three generations of layer messages are met:
 *
 *     NetParameter { layer (100): LayerParameter { name 1, type 2 (text), blobs 7 } }
 *                  { layers (2): V1 { name 4, type 5 (a number), blobs 6 } }
 *                  { layers (2): V1 { layer 1: V0 { name 1, type 2 (text), blobs 50 } } }
 */
#include "model/internal.h"

#include <stdlib.h>
#include <string.h>

#define ROW(name, number, kind, label, message)                                                                        \
	{                                                                                                              \
		name, number, kind, label, MOKA_NOWHERE, 0, NULL, NULL, message, NULL, NULL                            \
	}

static const struct moka_field shape_fields[] = { ROW("dim", 1, MOKA_INT64, MOKA_PACKED, NULL), MOKA_F_END };
static const struct moka_message shape_message = { "BlobShape", shape_fields, 0 };

static const struct moka_field blob_fields[] = { ROW("num", 1, MOKA_INT32, MOKA_OPTIONAL, NULL),
						 ROW("channels", 2, MOKA_INT32, MOKA_OPTIONAL, NULL),
						 ROW("height", 3, MOKA_INT32, MOKA_OPTIONAL, NULL),
						 ROW("width", 4, MOKA_INT32, MOKA_OPTIONAL, NULL),
						 ROW("data", 5, MOKA_FLOAT, MOKA_PACKED, NULL),
						 ROW("diff", 6, MOKA_FLOAT, MOKA_PACKED, NULL),
						 ROW("shape", 7, MOKA_MESSAGE, MOKA_OPTIONAL, &shape_message),
						 ROW("double_data", 8, MOKA_DOUBLE, MOKA_PACKED, NULL),
						 ROW("double_diff", 9, MOKA_DOUBLE, MOKA_PACKED, NULL),
						 ROW("raw_data_type", 10, MOKA_INT32, MOKA_OPTIONAL, NULL),
						 ROW("raw_diff_type", 11, MOKA_INT32, MOKA_OPTIONAL, NULL),
						 ROW("raw_data", 12, MOKA_BYTES, MOKA_OPTIONAL, NULL),
						 ROW("raw_diff", 13, MOKA_BYTES, MOKA_OPTIONAL, NULL),
						 MOKA_F_END };
const struct moka_message moka__blob_message = { "BlobProto", blob_fields, 0 };

static const struct moka_field layer_fields[] = { ROW("name", 1, MOKA_STRING, MOKA_OPTIONAL, NULL),
						  ROW("type", 2, MOKA_STRING, MOKA_OPTIONAL, NULL),
						  ROW("blobs", 7, MOKA_MESSAGE, MOKA_REPEATED, &moka__blob_message),
						  MOKA_F_END };
static const struct moka_message layer_message = { "LayerParameter", layer_fields, 0 };

static const struct moka_field v0_fields[] = { ROW("name", 1, MOKA_STRING, MOKA_OPTIONAL, NULL),
					       ROW("type", 2, MOKA_STRING, MOKA_OPTIONAL, NULL),
					       ROW("blobs", 50, MOKA_MESSAGE, MOKA_REPEATED, &moka__blob_message),
					       MOKA_F_END };
static const struct moka_message v0_message = { "V0LayerParameter", v0_fields, 0 };

static const struct moka_field v1_fields[] = { ROW("layer", 1, MOKA_MESSAGE, MOKA_OPTIONAL, &v0_message),
					       ROW("name", 4, MOKA_STRING, MOKA_OPTIONAL, NULL),
					       ROW("type", 5, MOKA_INT32, MOKA_OPTIONAL, NULL),
					       ROW("blobs", 6, MOKA_MESSAGE, MOKA_REPEATED, &moka__blob_message),
					       MOKA_F_END };
static const struct moka_message v1_message = { "V1LayerParameter", v1_fields, 0 };

static const struct moka_field net_fields[] = { ROW("name", 1, MOKA_STRING, MOKA_OPTIONAL, NULL),
						ROW("layers", 2, MOKA_MESSAGE, MOKA_REPEATED, &v1_message),
						ROW("layer", 100, MOKA_MESSAGE, MOKA_REPEATED, &layer_message),
						MOKA_F_END };
static const struct moka_message net_message = { "NetParameter", net_fields, 0 };

/* ---- tree -> layers --------------------------------------------------------------------------- */

static const char *v1_type_name(const struct moka_schema *s, int64_t value)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (s->layers[i]->v1_type && s->layers[i]->v1_value == value)
			return s->layers[i]->type;
	return NULL;
}

static const char *layer_type(const struct moka_msg *m, const struct moka_schema *s)
{
	const struct moka_node *n = moka_get(m, "type");

	if (!n)
		return NULL;
	return n->kind == MOKA_NODE_STRING ? moka_get_string(m, "type", NULL)
	       : n->kind == MOKA_NODE_INT  ? v1_type_name(s, n->u.i)
					   : NULL;
}

static bool is_blob(const struct moka_node *n)
{
	return n->kind == MOKA_NODE_MESSAGE && n->field && n->u.m && !strcmp(n->field->name, "blobs");
}

static enum moka_status fill_layer(struct moka_weights *w, struct moka_weights_layer *l, const struct moka_msg *m,
				   const struct moka_schema *s, struct moka_error *err)
{
	struct moka_error why = { 0 };
	int n = 0, i = 0;

	l->name = moka_get_string(m, "name", "");
	l->type = layer_type(m, s);
	for (const struct moka_node *x = m->first; x; x = x->next)
		n += is_blob(x);
	l->blobs = n ? MOKA_NEWN(&w->arena, n, struct moka_blob_view) : NULL;
	if (n && !l->blobs)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", w->path);
	for (const struct moka_node *x = m->first; x; x = x->next) {
		if (!is_blob(x))
			continue;
		if (moka_blob_view_make(&w->arena, x->u.m, false, &l->blobs[i], &why))
			return moka_fail(err, why.status, "%s: layer '%s', blob %d: %s", w->path, l->name, i,
					 why.message);
		i++;
	}
	l->n_blobs = n;
	return MOKA_OK;
}

static bool is_layer(const struct moka_node *n)
{
	return n->kind == MOKA_NODE_MESSAGE && n->field && n->u.m &&
	       (!strcmp(n->field->name, "layer") || !strcmp(n->field->name, "layers"));
}

static enum moka_status fill(struct moka_weights *w, const struct moka_msg *root, const struct moka_schema *s,
			     struct moka_error *err)
{
	int n = 0;

	for (const struct moka_node *x = root->first; x; x = x->next)
		n += is_layer(x) && n <= MOKA_MAX_LAYERS;
	if (n > MOKA_MAX_LAYERS)
		return moka_fail(err, MOKA_ERR_LIMIT, "%s: more than %d layers", w->path, MOKA_MAX_LAYERS);
	w->layers = MOKA_NEWN(&w->arena, n ? n : 1, struct moka_weights_layer);
	if (!w->layers)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", w->path);
	for (const struct moka_node *x = root->first; x; x = x->next) {
		const struct moka_msg *m = is_layer(x) ? x->u.m : NULL;
		const struct moka_msg *v0 = m && m->type != &layer_message ? moka_get_msg(m, "layer") : NULL;

		if (m)
			MOKA_TRY(fill_layer(w, &w->layers[w->n_layers++], v0 ? v0 : m, s, err));
	}
	return MOKA_OK;
}

/* ---- kinds of file ------------------------------------------------------------------------------ */

static enum moka_status prefix_path(const struct moka_weights *w, const struct moka_error *why, struct moka_error *err)
{
	if (!strncmp(why->message, w->path, strlen(w->path)))
		moka_fail(err, why->status, "%s", why->message);
	else
		moka_fail(err, why->status, "%s: %s", w->path, why->message);
	if (why->hint[0])
		moka_fail_hint(err, "%s", why->hint);
	return why->status;
}

static enum moka_status read_binary(struct moka_weights *w, const struct moka_schema *s, struct moka_error *err)
{
	static const struct moka_schema none = { NULL, 0 };
	struct moka_text *text = MOKA_NEW(&w->arena, struct moka_text);
	struct moka_error why = { 0 };
	struct moka_msg *root = NULL;

	if (!text)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", w->path);
	text->path = w->path;
	if (moka_wire_parse(&w->arena, w->file.data, w->file.size, text, &net_message, &none, &why, &root)) {
		prefix_path(w, &why, err);
		if (!why.hint[0])
			moka_fail_hint(err, "the file has %zu bytes here; was a download or a copy broken off?",
				       w->file.size);
		return why.status;
	}
	return fill(w, root, s, err);
}

/* A net in text may carry its weights (blobs { data: ... }). */
static enum moka_status read_text(struct moka_weights *w, const struct moka_schema *s, struct moka_error *err)
{
	const size_t bom = moka__bom_bytes(w->file.data, w->file.size);
	struct moka_text *text = MOKA_NEW(&w->arena, struct moka_text);
	struct moka_msg *root = NULL;
	struct moka_findings f;
	enum moka_status st;
	int blobs = 0;

	if (!text)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", w->path);
	if (!memmem(w->file.data, w->file.size, "blobs", 5))
		return moka_guess_fail(err, w->path, &w->file, MOKA_GUESS_TEXT_NET, "weights");
	*text = (struct moka_text){ w->path, (const char *)w->file.data + bom, w->file.size - bom };
	moka_findings_init(&f);
	st = moka_text_parse(&w->arena, text, &moka_net_message, s, &f, &root);
	if (st || f.errors) {
		size_t i = 0;

		while (i + 1 < f.n && f.items[i].severity != MOKA_ERROR)
			i++;
		st = moka_fail(err, MOKA_ERR_FORMAT, "%s:%u:%u: %s", w->path, f.n ? f.items[i].loc.line : 0,
			       f.n ? f.items[i].loc.column : 0,
			       f.n ? f.items[i].message : "this text can't be read as a net");
	}
	moka_findings_release(&f);
	if (!st)
		st = fill(w, root, s, err);
	for (int i = 0; i < w->n_layers; i++)
		blobs += w->layers[i].n_blobs;
	return st || blobs ? st : moka_guess_fail(err, w->path, &w->file, MOKA_GUESS_TEXT_NET, "weights");
}

static enum moka_status read_any(struct moka_weights *w, const struct moka_schema *s, struct moka_error *err)
{
	const enum moka_file_guess g = moka_model_guess(&w->file);

	switch (g) {
	case MOKA_GUESS_CAFFEMODEL:
		return read_binary(w, s, err);
	case MOKA_GUESS_TEXT_NET:
		return read_text(w, s, err);
	case MOKA_GUESS_HDF5:
		return moka__weights_read_hdf5(w, err);
	default:
		return moka_guess_fail(err, w->path, &w->file, g, "weights");
	}
}

enum moka_status moka_weights_open(struct moka_weights **out, const char *path, const struct moka_schema *s,
				   struct moka_error *err)
{
	struct moka_weights *w = calloc(1, sizeof(*w));
	enum moka_status st;

	*out = NULL;
	if (!w)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	moka_arena_init(&w->arena, 0);
	w->path = moka_arena_strdup(&w->arena, path);
	if (!w->path)
		st = moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", path);
	else
		st = moka_file_open(&w->file, path, err);
	if (!st)
		st = read_any(w, s, err);
	if (st)
		moka_weights_free(w);
	else
		*out = w;
	return st;
}

void moka_weights_free(struct moka_weights *w)
{
	if (!w)
		return;
	moka_file_release(&w->file);
	moka_arena_release(&w->arena);
	free(w);
}
