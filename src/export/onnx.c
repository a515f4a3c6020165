/*
 * onnx.c - a net -> ONNX (opset 13).
 *
 *     layers --onnx()--> nodes and tensors (layers/onnx.h) --> ModelProto's tree --> bytes
 *
 * Caffe's blobs may be written several times, ONNX's values once: each in-place layer gets a value of its own, and the last
 * one has the blob's name. The net's inputs and outputs keep their names. The parameters are written straight from the net's
 * memory. Input sizes are the net's; what the nodes compute depends on the batch only where a layer's meaning does.
 */
#include "export/export.h"
#include "export/onnx.h"
#include "layers/onnx.h"

#include <string.h>

#define OPSET 13
#define IR_VERSION 7
#define TYPE_FLOAT 1
#define TYPE_INT64 7

static const struct moka_schema no_layers = { NULL, 0 };

struct job {
	struct moka_arena arena;
	const struct moka_net *net;
	struct moka_onnx o;
	const char **value; /* per blob: what holds it now */
	const char **final; /* per blob: its last value's name */
	int *writers;	    /* per blob: layers that still write it */
	bool *given;	    /* per blob: an input */
	struct moka_onnx_param *params;
};

static bool gives_inputs(const struct moka_net_layer *l)
{
	return l->is_input || (l->l.type && (l->l.type->flags & MOKA_DATA));
}

/* Inputs and outputs keep their names whatever else is called so. */
static void name_blobs(struct job *j)
{
	const struct moka_net *net = j->net;

	for (int i = 0; i < net->n_layers; i++)
		for (int t = 0; t < net->layers[i].l.n_top; t++) {
			j->writers[net->layers[i].tops[t]]++;
			j->given[net->layers[i].tops[t]] |= gives_inputs(&net->layers[i]);
		}
	for (int b = 0; b < net->n_blobs; b++)
		j->given[b] |= net->blobs[b].producer < 0; /* a fragment's: nobody makes it */
	for (int pass = 0; pass < 2; pass++)
		for (int b = 0; b < net->n_blobs; b++)
			if ((pass == 0) == (j->given[b] || net->blobs[b].is_output))
				j->value[b] = j->final[b] = moka_onnx_name(&j->o, net->blobs[b].name);
	for (int p = 0; p < net->n_params; p++)
		j->params[p] = (struct moka_onnx_param){ .name = net->params[p].name, .data = net->params[p].data };
}

static enum moka_status start(struct job *j, const struct moka_net *net)
{
	moka_arena_init(&j->arena, 0);
	moka_map_init(&j->o.names);
	j->net = net;
	j->o.arena = &j->arena;
	j->value = MOKA_NEWN(&j->arena, net->n_blobs + 1, const char *);
	j->final = MOKA_NEWN(&j->arena, net->n_blobs + 1, const char *);
	j->writers = MOKA_NEWN(&j->arena, net->n_blobs + 1, int);
	j->given = MOKA_NEWN(&j->arena, net->n_blobs + 1, bool);
	j->params = MOKA_NEWN(&j->arena, net->n_params + 1, struct moka_onnx_param);
	if (!j->value || !j->final || !j->writers || !j->given || !j->params)
		return MOKA_ERR_NOMEM;
	name_blobs(j);
	return j->o.status;
}

static void finish(struct job *j)
{
	moka_map_release(&j->o.names);
	moka_arena_release(&j->arena);
}

/* ---- layers -> nodes ------------------------------------------------------------------------------------- */

/* The name of the value that layer `l` makes of blob b, which it is one of the writers of. */
static const char *next_value(struct job *j, const struct moka_net_layer *l, int b)
{
	const char *name;

	if (!--j->writers[b] && !j->given[b])
		return j->final[b];
	name = moka_arena_printf(&j->arena, "%s/%s", j->net->blobs[b].name, l->l.name);
	return moka_onnx_name(&j->o, name);
}

/* An output that is another value by another name still has to be made. */
static const char *settle_same(struct job *j, int b, const char *top, const char *bottom)
{
	if (!j->net->blobs[b].is_output || j->writers[b])
		return bottom;
	moka_onnx_node(&j->o, "Identity", top, bottom, NULL);
	return top;
}

static enum moka_status no_nodes(struct job *j)
{
	const struct moka_layer *l = j->o.layer;

	moka_onnx_cannot(&j->o, NULL, "Moka can't write this layer as ONNX");
	moka_find_hint(j->o.findings,
		       l->n_bottom && l->type->flags & MOKA_LOSS
			       ? "export the deploy net: a loss belongs to training"
			       : "without this layer in the prototxt its bottoms become outputs of the ONNX file");
	return MOKA_ERR_MODEL;
}

static enum moka_status add_layer(struct job *j, const struct moka_net_layer *l)
{
	const int n_bottom = l->l.n_bottom, n_top = l->l.n_top;
	const char **bottom = MOKA_NEWN(&j->arena, n_bottom + 1, const char *);
	const char **top = MOKA_NEWN(&j->arena, n_top + 1, const char *);
	struct moka_onnx_param **param = MOKA_NEWN(&j->arena, l->l.n_param + 1, struct moka_onnx_param *);
	struct moka_onnx *o = &j->o;

	o->same = MOKA_NEWN(&j->arena, n_top + 1, bool);
	if (!bottom || !top || !param || !o->same)
		return MOKA_ERR_NOMEM;
	for (int i = 0; i < n_bottom; i++)
		bottom[i] = j->value[l->bottoms[i]];
	for (int i = 0; i < n_top; i++)
		top[i] = next_value(j, l, l->tops[i]);
	for (int i = 0; i < l->l.n_param; i++)
		param[i] = &j->params[l->params[i]];
	o->layer = &l->l;
	o->bottom = bottom;
	o->top = top;
	o->param = param;
	if (!l->l.type->onnx)
		no_nodes(j);
	else if (!o->status || o->status == MOKA_ERR_MODEL) /* go on, to find every layer that can't be written */
		l->l.type->onnx(o);
	for (int i = 0; i < n_top; i++)
		j->value[l->tops[i]] = o->same[i] ? settle_same(j, l->tops[i], top[i], bottom[0]) : top[i];
	return o->status == MOKA_ERR_NOMEM ? MOKA_ERR_NOMEM : MOKA_OK;
}

static enum moka_status add_layers(struct job *j)
{
	const struct moka_net *net = j->net;

	for (int i = 0; i < net->n_layers; i++) {
		const struct moka_net_layer *l = &net->layers[i];

		if (gives_inputs(l))
			for (int t = 0; t < l->l.n_top; t++)
				j->writers[l->tops[t]]--;
		else if (l->l.type)
			MOKA_TRY(add_layer(j, l));
	}
	return j->o.status;
}

/* ---- nodes -> tree --------------------------------------------------------------------------------------- */

static bool put_int(struct job *j, struct moka_msg *m, const char *name, int64_t v)
{
	return moka_add_int(&j->arena, m, &no_layers, name, v) != NULL;
}

static bool put_string(struct job *j, struct moka_msg *m, const char *name, const char *v)
{
	return moka_add_string(&j->arena, m, &no_layers, name, v) != NULL;
}

static bool put_attribute(struct job *j, struct moka_msg *node, const struct moka_onnx_attribute *a)
{
	struct moka_msg *m = moka_add_msg(&j->arena, node, &no_layers, "attribute");
	bool good = m && put_string(j, m, "name", a->name);

	if (a->kind == MOKA_ONNX_FLOAT)
		good = good && moka_add_float(&j->arena, m, &no_layers, "f", (double)(float)a->f);
	for (int i = 0; i < a->n; i++)
		good = good && put_int(j, m, a->kind == MOKA_ONNX_INT ? "i" : "ints", a->i[i]);
	return good && put_int(j, m, "type", a->kind);
}

static bool put_node(struct job *j, struct moka_msg *graph, const struct moka_onnx_node *n)
{
	struct moka_msg *m = moka_add_msg(&j->arena, graph, &no_layers, "node");
	bool good = m && put_string(j, m, "name", n->out[0]) && put_string(j, m, "op_type", n->op);

	for (int i = 0; i < n->n_in; i++)
		good = good && put_string(j, m, "input", n->in[i]);
	for (int i = 0; i < n->n_out; i++)
		good = good && put_string(j, m, "output", n->out[i]);
	for (const struct moka_onnx_attribute *a = n->attributes; a; a = a->next)
		good = good && put_attribute(j, m, a);
	return good;
}

/* The bytes of a tensor: the numbers where they lie if they are float32, else a copy. */
static const void *tensor_bytes(struct job *j, const struct moka_onnx_tensor *t, int64_t count)
{
	float *f;

	if (t->ints)
		return t->ints;
	if (sizeof(real) == sizeof(float))
		return t->reals;
	f = MOKA_NEWN(&j->arena, count + 1, float);
	for (int64_t i = 0; f && i < count; i++)
		f[i] = (float)t->reals[i];
	return f;
}

static bool put_tensor(struct job *j, struct moka_msg *graph, const struct moka_onnx_tensor *t)
{
	struct moka_msg *m = moka_add_msg(&j->arena, graph, &no_layers, "initializer");
	const int64_t count = moka_shape_count(&t->shape);
	const void *bytes = tensor_bytes(j, t, count);
	bool good = m && bytes && put_int(j, m, "data_type", t->ints ? TYPE_INT64 : TYPE_FLOAT) &&
		    put_string(j, m, "name", t->name);

	for (int i = 0; i < t->shape.n; i++)
		good = good && put_int(j, m, "dims", t->shape.d[i]);
	return good && moka_add_bytes(&j->arena, m, &no_layers, "raw_data", bytes,
				      (size_t)count * (t->ints ? sizeof(int64_t) : sizeof(float)));
}

static bool put_value(struct job *j, struct moka_msg *graph, const char *field, const char *name,
		      const struct moka_shape *shape)
{
	struct moka_msg *m = moka_add_msg(&j->arena, graph, &no_layers, field), *s = NULL;
	bool good = m && put_string(j, m, "name", name) && (m = moka_add_msg(&j->arena, m, &no_layers, "type")) &&
		    (m = moka_add_msg(&j->arena, m, &no_layers, "tensor_type")) &&
		    put_int(j, m, "elem_type", TYPE_FLOAT) && (s = moka_add_msg(&j->arena, m, &no_layers, "shape"));

	for (int i = 0; good && i < shape->n; i++) {
		m = moka_add_msg(&j->arena, s, &no_layers, "dim");
		good = m && put_int(j, m, "dim_value", shape->d[i]);
	}
	return good;
}

static bool put_graph(struct job *j, struct moka_msg *graph)
{
	const struct moka_net *net = j->net;
	bool good = put_string(j, graph, "name", net->name && *net->name ? net->name : "net");

	for (const struct moka_onnx_node *n = j->o.nodes; n; n = n->next)
		good = good && put_node(j, graph, n);
	for (const struct moka_onnx_tensor *t = j->o.tensors; t; t = t->next)
		good = good && put_tensor(j, graph, t);
	for (int b = 0; b < net->n_blobs; b++)
		if (j->given[b])
			good = good && put_value(j, graph, "input", j->final[b], &net->blobs[b].shape);
	for (int i = 0; i < net->n_outputs; i++)
		good = good &&
		       put_value(j, graph, "output", j->value[net->outputs[i]], &net->blobs[net->outputs[i]].shape);
	return good;
}

static struct moka_msg *make_tree(struct job *j)
{
	struct moka_msg *root = moka_msg_new(&j->arena, &moka__onnx_model), *opset, *graph;

	if (!root || !put_int(j, root, "ir_version", IR_VERSION) || !put_string(j, root, "producer_name", "moka"))
		return NULL;
	opset = moka_add_msg(&j->arena, root, &no_layers, "opset_import");
	if (!opset || !put_string(j, opset, "domain", "") || !put_int(j, opset, "version", OPSET))
		return NULL;
	graph = moka_add_msg(&j->arena, root, &no_layers, "graph");
	return graph && put_graph(j, graph) ? root : NULL;
}

static enum moka_status write_tree(const char *path, const struct moka_msg *root, struct moka_error *err)
{
	struct moka_out *out;
	uint64_t bytes = 0;

	MOKA_TRY(moka_wire_size(root, &bytes));
	if (bytes > INT32_MAX) {
		moka_fail(err, MOKA_ERR_LIMIT, "%s would have %.2f GB, and ONNX's one-file form ends at 2 GB", path,
			  (double)bytes / 1e9);
		return MOKA_ERR_LIMIT;
	}
	MOKA_TRY(moka_out_open(&out, path, err));
	if (moka_wire_write(root, out, err)) {
		moka_out_abort(out);
		return MOKA_ERR_IO;
	}
	return moka_out_commit(out, err);
}

enum moka_status moka_export_onnx(const char *path, struct moka_net *net, struct moka_findings *f,
				  struct moka_error *err)
{
	struct job j = { .o = { .findings = f } };
	struct moka_msg *root = NULL;
	enum moka_status status;

	MOKA_TRY(moka_net_plain(net, err));
	status = start(&j, net);
	if (!status)
		status = add_layers(&j);
	if (!status && !(root = make_tree(&j)))
		status = MOKA_ERR_NOMEM;
	if (status == MOKA_ERR_NOMEM)
		moka_fail(err, status, "no memory for the nodes of %s", path);
	if (!status)
		status = write_tree(path, root, err);
	finish(&j);
	return status;
}
