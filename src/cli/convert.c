/*
 * moka convert - a model into another form: text, binary, Caffe's HDF5, numpy's .npz, ONNX. OUT's ending says which.
 *
 * Text and binary are one message in two spellings; with --raw it is passed on as written. Weights given beside the model
 * are put into its layers by name, each as it is stored.
 */
#include "cli.h"
#include "export/export.h"

#include <stdlib.h>
#include <string.h>

enum target { TO_TEXT, TO_BINARY, TO_HDF5, TO_NPZ, TO_NPY, TO_ONNX };

static bool target_of(const char *path, enum target *out)
{
	static const struct {
		const char *ending;
		enum target target;
	} endings[] = {
		{ ".prototxt", TO_TEXT },     { ".pbtxt", TO_TEXT },	     { ".txt", TO_TEXT },
		{ ".caffemodel", TO_BINARY }, { ".binaryproto", TO_BINARY }, { ".pb", TO_BINARY },
		{ ".h5", TO_HDF5 },	      { ".hdf5", TO_HDF5 },	     { ".npz", TO_NPZ },
		{ ".npy", TO_NPY },	      { ".onnx", TO_ONNX },
	};

	for (size_t i = 0; i < MOKA_COUNT(endings); i++) {
		if (moka_has_suffix(path, endings[i].ending)) {
			*out = endings[i].target;
			return true;
		}
	}
	return false;
}

/* ---- --batch and --input in the model's own text --------------------------------------------------- */

/* Replaces the shape of top `i` of an Input layer. A layer may give one shape for all its tops. */
static bool set_input_shape(struct cli_call *c, const struct moka_model_layer *l, const char *top,
			    const struct moka_shape *s, int64_t batch)
{
	struct moka_arena *a = &c->arena;
	const struct moka_schema *schema = &moka_layer_schema;
	struct moka_msg *param = moka_get_msg(l->msg, "input_param"),
			*made = moka_msg_new(a, param ? param->type : NULL);
	const struct moka_node *name = NULL, *shape = NULL, *old = NULL;

	while (param && made && (name = moka_next(l->msg, "top", name))) {
		const struct moka_node *next = moka_next(param, "shape", shape);
		int64_t dim[MOKA_MAX_AXES];
		size_t n;
		struct moka_msg *m = moka_add_msg(a, made, schema, "shape");
		old = next ? next : old;
		shape = next ? next : shape;
		if (!m || !old)
			return false;
		n = MOKA_MIN(moka_get_ints(old->u.m, "dim", dim, MOKA_MAX_AXES), (size_t)MOKA_MAX_AXES);
		if (s && !strcmp(name->u.s.p, top)) {
			n = (size_t)s->n;
			memcpy(dim, s->d, n * sizeof(*dim));
		} else if (batch > 0 && n) {
			dim[0] = batch;
		}
		for (size_t i = 0; i < n; i++)
			moka_add_int(a, m, schema, "dim", dim[i]);
	}
	if (!param || !made)
		return false;
	moka_remove(param, "shape");
	for (name = made->first; name; name = name->next)
		moka_move(a, param, schema, "shape", name);
	return true;
}

/* batch_size of a data layer, in whichever of its messages holds one. */
static void set_batch_size(struct cli_call *c, const struct moka_model_layer *l, int64_t batch)
{
	static const char *const holders[] = { "data_param", "image_data_param", "hdf5_data_param", "memory_data_param",
					       "window_data_param" };

	for (size_t i = 0; i < MOKA_COUNT(holders); i++) {
		struct moka_msg *m = moka_get_msg(l->msg, holders[i]);
		if (!m || !moka_has(m, "batch_size"))
			continue;
		moka_remove(m, "batch_size");
		moka_add_int(&c->arena, m, &moka_layer_schema, "batch_size", batch);
	}
}

static int apply_shapes(struct cli_call *c, struct moka_model *m, const struct moka_net_options *o)
{
	for (int i = 0; o->batch > 0 && i < m->n_layers; i++) {
		if (!strcmp(m->layers[i].type, "Input"))
			set_input_shape(c, &m->layers[i], "", NULL, o->batch);
		set_batch_size(c, &m->layers[i], o->batch);
	}
	for (int k = 0; k < o->n_inputs; k++) {
		bool found = false;
		for (int i = 0; i < m->n_layers; i++) {
			const struct moka_node *top = NULL;
			while (!strcmp(m->layers[i].type, "Input") && (top = moka_next(m->layers[i].msg, "top", top)))
				if (!strcmp(top->u.s.p, o->inputs[k].blob))
					found |= set_input_shape(c, &m->layers[i], o->inputs[k].blob,
								 &o->inputs[k].shape, 0);
		}
		if (!found)
			return cli_usage(c, "--input: the net declares no input '%s' with a shape", o->inputs[k].blob);
	}
	return CLI_OK;
}

/* ---- weights into the model -------------------------------------------------------------------------- */

static bool add_shape(struct moka_arena *a, struct moka_msg *blob, const struct moka_blob_view *v)
{
	static const char *const legacy[] = { "num", "channels", "height", "width" };
	const struct moka_schema *s = &moka_layer_schema;
	struct moka_msg *shape;

	if (v->n_axes < 0)
		return true;
	if (v->legacy && v->n_axes == 4) {
		for (int i = 0; i < 4; i++)
			if (!moka_add_int(a, blob, s, legacy[i], v->dim[i]))
				return false;
		return true;
	}
	shape = moka_add_msg(a, blob, s, "shape");
	for (int i = 0; shape && i < v->n_axes; i++)
		if (!moka_add_int(a, shape, s, "dim", v->dim[i]))
			return false;
	return shape != NULL;
}

/* Values stay a view of the mapped file where they are stored as the writer wants them. */
static bool add_values(struct moka_arena *a, struct moka_msg *blob, const struct moka_blob_view *v)
{
	real piece[4096];
	float *f;

	if (!v->count)
		return true;
	if (v->dtype == MOKA_F32 && v->stride == sizeof(float))
		return moka_add_floats(a, blob, "data", (const float *)(const void *)v->data, (size_t)v->count) != NULL;
	f = MOKA_NEWN(a, v->count, float);
	for (int64_t at = 0; f && at < v->count; at += (int64_t)MOKA_COUNT(piece)) {
		int64_t n = MOKA_MIN((int64_t)MOKA_COUNT(piece), v->count - at);
		moka_blob_view_read(v, at, n, piece);
		for (int64_t i = 0; i < n; i++)
			f[at + i] = (float)piece[i];
	}
	return f && moka_add_floats(a, blob, "data", f, (size_t)v->count);
}

static bool put_blobs(struct moka_arena *a, struct moka_msg *layer, const struct moka_weights_layer *w)
{
	moka_remove(layer, "blobs");
	for (int i = 0; i < w->n_blobs; i++) {
		struct moka_msg *blob = moka_add_msg(a, layer, &moka_layer_schema, "blobs");
		if (!blob || !add_shape(a, blob, &w->blobs[i]) || !add_values(a, blob, &w->blobs[i]))
			return false;
	}
	return true;
}

/* The last file that has a layer of this name wins, as where several are given to train. */
static const struct moka_weights_layer *weights_of(const struct cli_net *n, const char *layer)
{
	for (int i = n->n_weights - 1; i >= 0; i--)
		for (int k = 0; k < n->weights[i]->n_layers; k++)
			if (!strcmp(n->weights[i]->layers[k].name, layer) && n->weights[i]->layers[k].n_blobs)
				return &n->weights[i]->layers[k];
	return NULL;
}

static int put_weights(struct cli_call *c, const struct cli_net *n)
{
	struct moka_model *m = n->model;

	for (int i = 0; i < m->n_layers; i++) {
		const struct moka_weights_layer *w = weights_of(n, m->layers[i].name);
		if (w && !put_blobs(&c->arena, m->layers[i].msg, w))
			return cli_fail(c, NULL, "no memory for the weights of layer '%s'", m->layers[i].name);
	}
	return CLI_OK;
}

/* Text in the current syntax is for people: half a gigabyte of numbers is not. */
static void drop_blobs(struct cli_call *c, struct moka_model *m)
{
	int n = 0;

	for (int i = 0; i < m->n_layers; i++) {
		n += moka_count(m->layers[i].msg, "blobs");
		moka_remove(m->layers[i].msg, "blobs");
	}
	if (n)
		cli_note(c, "%d blobs of weights are left out of the text; --raw keeps them", n);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static int write_text(struct cli_call *c, const struct moka_msg *root, const char *out)
{
	struct moka_buf b;
	int status;

	moka_buf_init(&b, 0);
	moka_text_print(root, &b);
	status = cli_output(c, out, &b);
	moka_buf_release(&b);
	return status;
}

static int write_binary(struct cli_call *c, const struct moka_msg *root, const char *path)
{
	struct moka_error err = { 0 };
	struct moka_out *out;

	if (moka_out_open(&out, path, &err))
		return cli_fail_error(c, &err);
	if (moka_wire_write(root, out, &err)) {
		moka_out_abort(out);
		return cli_fail_error(c, &err);
	}
	return moka_out_commit(out, &err) ? cli_fail_error(c, &err) : CLI_OK;
}

/* ---- arrays ------------------------------------------------------------------------------------------- */

/* The shape that the net gives a parameter is better than the four old numbers of a file (a bias is 1x1x1xN there). */
static void use_net_shape(const struct moka_net *net, int layer, int index, struct moka_blob_view *v)
{
	const struct moka_shape *s;

	if (layer < 0 || index >= net->layers[layer].l.n_param)
		return;
	s = &net->params[net->layers[layer].params[index]].shape;
	if (moka_shape_known(s) && moka_shape_count(s) == v->count) {
		v->n_axes = s->n;
		memcpy(v->dim, s->d, (size_t)s->n * sizeof(*v->dim));
	}
}

/* A shape that multiplies to the values there are; a view without one is flat. */
static void settle_shape(struct moka_blob_view *v)
{
	int64_t count = 1;

	for (int i = 0; i < v->n_axes; i++)
		if (!moka_mul(count, v->dim[i], &count))
			count = -1;
	if (v->n_axes < 0 || count != v->count) {
		v->n_axes = 1;
		v->dim[0] = v->count;
	}
}

static bool owned_elsewhere(const struct moka_net *net, int layer, int index)
{
	return layer >= 0 && index < net->layers[layer].l.n_param &&
	       net->params[net->layers[layer].params[index]].owner != layer;
}

/* Arrays of every layer of every file, the last file that has a layer first; HDF5 keeps a shared one with its owner only. */
static size_t list_arrays(const struct cli_net *n, bool hdf5, struct moka_export_array *out)
{
	size_t k = 0;
	struct moka_map seen;

	moka_map_init(&seen);
	for (int f = n->n_weights - 1; f >= 0; f--) {
		for (int i = 0; i < n->weights[f]->n_layers; i++) {
			const struct moka_weights_layer *w = &n->weights[f]->layers[i];
			int layer = n->net ? moka_net_layer_index(n->net, w->name) : -1;
			if (!*w->name || moka_map_get(&seen, w->name))
				continue;
			moka_map_put(&seen, w->name, (void *)w);
			if (hdf5 && !w->n_blobs)
				out[k++] = (struct moka_export_array){ .layer = w->name, .index = -1 };
			for (int b = 0; b < w->n_blobs; b++) {
				struct moka_export_array a = { .layer = w->name, .index = b, .blob = w->blobs[b] };
				if (n->net)
					use_net_shape(n->net, layer, b, &a.blob);
				settle_shape(&a.blob);
				if (!hdf5 || !n->net || !owned_elsewhere(n->net, layer, b))
					out[k++] = a;
			}
		}
	}
	moka_map_release(&seen);
	return k;
}

static int write_arrays(struct cli_call *c, struct cli_net *n, enum target target, const char *path)
{
	struct moka_export_array *a;
	struct moka_error err = { 0 };
	size_t most = 1;

	for (int f = 0; f < n->n_weights; f++)
		for (int i = 0; i < n->weights[f]->n_layers; i++)
			most += 1 + (size_t)n->weights[f]->layers[i].n_blobs;
	a = MOKA_NEWN(&c->arena, most, struct moka_export_array);
	if (!a)
		return cli_fail(c, NULL, "no memory for %zu arrays", most);
	most = list_arrays(n, target == TO_HDF5, a);
	if (target == TO_HDF5 ? moka_export_hdf5(path, a, most, &err) : moka_export_npz(path, a, most, &err))
		return cli_fail_error(c, &err);
	return CLI_OK;
}

/* ---- a mean picture ------------------------------------------------------------------------------------- */

static int convert_mean(struct cli_call *c, const char *in, const char *out)
{
	struct moka_array a = { 0 };
	struct moka_error err = { 0 };
	int status = CLI_OK;

	if (moka_mean_read(&a, in, &err))
		return cli_fail_error(c, &err);
	if (moka_npy_write(out, a.n_axes, a.dim, a.data, &err))
		status = cli_fail_error(c, &err);
	moka_array_release(&a);
	return status;
}

/* ---- the command ------------------------------------------------------------------------------------------ */

static int convert_raw(struct cli_call *c, enum target target, const char *out)
{
	struct moka_model_options mo = { .raw = true, .expect = -1 };
	struct moka_findings f;
	struct moka_model *m = NULL;
	int status = CLI_FAILED;

	if (target != TO_TEXT && target != TO_BINARY)
		return cli_usage(
			c, "--raw passes a message on as text (.prototxt) or binary (.caffemodel), not as '%s'", out);
	if (c->n_words > 1)
		return cli_usage(c, "--raw passes one file on; '%s' is one too many", c->words[1]);
	moka_findings_init(&f);
	moka_model_open(&m, c->words[0], cli_schema(c), &mo, &f);
	if (cli_report(c, &f, MOKA_WARNING) && m)
		status = target == TO_TEXT ? write_text(c, m->root, out) : write_binary(c, m->root, out);
	moka_model_free(m);
	moka_findings_release(&f);
	return status;
}

/* The weights files: the second word and on, and the model itself where arrays are wanted and nothing else is given. */
static int open_weights(struct cli_call *c, struct cli_net *n, enum target target)
{
	const struct cli_option *o = c->command->options;

	while (strcmp(o->name, "weights"))
		o++;
	for (int i = 1; i < c->n_words; i++)
		c->values[c->n_values++] = (struct cli_value){ o, c->words[i] };
	if (!cli_has(c, "weights") && target != TO_TEXT && target != TO_BINARY)
		c->values[c->n_values++] = (struct cli_value){ o, c->words[0] };
	return cli_load_weights(c, n, false) ? CLI_OK : CLI_FAILED;
}

static int write_model(struct cli_call *c, struct cli_net *n, enum target target, const char *out)
{
	int status = put_weights(c, n);

	if (!status && target == TO_TEXT)
		drop_blobs(c, n->model);
	if (status)
		return status;
	return target == TO_TEXT ? write_text(c, n->model->root, out) : write_binary(c, n->model->root, out);
}

/*
 * The net tells whether weights fit, and the shapes of parameters. What else is wrong with it is no concern of a conversion: a net
 * with errors, or one that can't be built, converts all the same.
 */
static void look_at_net(struct cli_net *n, const struct moka_net_options *o)
{
	struct moka_findings unheard;

	moka_findings_init(&unheard);
	if (moka_net_build(&n->net, n->model, o, &unheard))
		n->net = NULL;
	if (unheard.errors) {
		moka_net_free(n->net);
		n->net = NULL;
	}
	moka_findings_release(&unheard);
}

static int convert_net(struct cli_call *c, struct cli_net *n, struct moka_net_options *o, enum target target,
		       const char *out)
{
	struct moka_model_options mo = { .expect = -1 };
	int status;

	moka_findings_init(&n->findings);
	n->findings_ready = true;
	if (moka_model_open(&n->file, c->words[0], cli_schema(c), &mo, &n->findings) || n->findings.errors) {
		cli_report(c, &n->findings, MOKA_WARNING);
		return CLI_FAILED;
	}
	n->model = n->file;
	if (n->file->kind == MOKA_MODEL_SOLVER) {
		cli_report(c, &n->findings, MOKA_WARNING);
		if (c->n_words > 1 || (target != TO_TEXT && target != TO_BINARY))
			return cli_usage(c, "'%s' is a solver; it can become .prototxt or .caffemodel, without weights",
					 c->words[0]);
		return write_model(c, n, target, out);
	}
	status = apply_shapes(c, n->model, o);
	if (status)
		return status;
	look_at_net(n, o);
	status = open_weights(c, n, target);
	if (status)
		return status;
	if (!cli_report(c, &n->findings, MOKA_WARNING))
		return CLI_FAILED;
	return target == TO_TEXT || target == TO_BINARY ? write_model(c, n, target, out)
							: write_arrays(c, n, target, out);
}

/* A file of weights that holds no net (.caffemodel.h5) can become arrays all the same. */
static bool is_weights_only(const char *path)
{
	return moka_has_suffix(path, ".h5") || moka_has_suffix(path, ".hdf5");
}

static int convert_arrays(struct cli_call *c, struct cli_net *n, enum target target, const char *out)
{
	struct moka_error err = { 0 };

	if (target != TO_NPZ && target != TO_HDF5)
		return cli_usage(
			c,
			"'%s' holds weights and no net: give the net first, as in 'moka convert net.prototxt %s -o %s'",
			c->words[0], c->words[0], out);
	n->weights = calloc(1, sizeof(*n->weights));
	if (!n->weights)
		return cli_fail(c, NULL, "no memory");
	if (moka_weights_open(&n->weights[0], c->words[0], cli_schema(c), &err))
		return cli_fail_error(c, &err);
	n->n_weights = 1;
	return write_arrays(c, n, target, out);
}

/* ---- ONNX ----------------------------------------------------------------------------------------------------- */

/* What is said about a net without weights: for ONNX they can't be left out. */
static int convert_onnx(struct cli_call *c, struct cli_net *n, struct moka_net_options *o, const char *out)
{
	const struct cli_option *weights = c->command->options;
	struct moka_error err = { 0 };
	struct moka_findings f;
	enum moka_status status;

	while (strcmp(weights->name, "weights"))
		weights++;
	for (int i = 1; i < c->n_words; i++)
		c->values[c->n_values++] = (struct cli_value){ weights, c->words[i] };
	if (cli_prepare_net(c, c->words[0], o, NULL, n))
		return CLI_FAILED;
	moka_findings_init(&f);
	status = moka_export_onnx(out, n->net, &f, &err);
	cli_report(c, &f, MOKA_WARNING);
	moka_findings_release(&f);
	if (status && status != MOKA_ERR_MODEL)
		return cli_fail_error(c, &err);
	return status ? CLI_FAILED : CLI_OK;
}

static int convert_run(struct cli_call *c)
{
	const char *out = cli_get(c, "output");
	struct moka_net_options o = { 0 };
	struct cli_net n = { 0 };
	enum target target;
	int status;

	if (!target_of(out, &target))
		return cli_usage(
			c,
			"the ending of '%s' should say what to make: .prototxt, .caffemodel, .h5, .npz or .npy (of a mean)",
			out);
	if (!cli_net_options(c, MOKA_TEST, &o))
		return CLI_USAGE;
	if (target == TO_ONNX && !cli_switch(c, "raw", false)) {
		status = convert_onnx(c, &n, &o, out);
		cli_close(&n);
		return status;
	}
	if (cli_switch(c, "raw", false))
		return convert_raw(c, target, out);
	if (target == TO_NPY)
		return convert_mean(c, c->words[0], out);
	status = c->n_words == 1 && is_weights_only(c->words[0]) ? convert_arrays(c, &n, target, out)
								 : convert_net(c, &n, &o, target, out);
	cli_close(&n);
	return status;
}

static const struct cli_option convert_options[] = {
	{ "output", 'o', "OUT", "the file to write; its ending says what", CLI_REQUIRED },
	{ "weights", 'w', "FILE", "weights, instead of the second word; repeat for several", CLI_REPEAT },
	{ "raw", 0, NULL, "pass the message on as written, old syntax and weights included", 0 },
	{ "batch", 0, "N", "first dimension of every input, and batch_size of data layers", 0 },
	{ "input", 0, "BLOB=SHAPE", "shape of an input, as data=1x3x224x224; repeat for several", CLI_REPEAT },
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_convert = {
	.name = "convert",
	.summary = "a model into another form: text, binary, HDF5, npz, ONNX",
	.usage = "MODEL [WEIGHTS]... -o OUT [options]",
	.about =
		"OUT's ending says what it becomes:\n"
		"  .prototxt     text in the current syntax, without weights\n"
		"  .caffemodel   binary; with WEIGHTS, their blobs in the layers of the same name\n"
		"  .h5           Caffe's HDF5 weights\n"
		"  .npz          numpy arrays, <layer>.<i> each\n"
		"  .onnx         the net with its weights for ONNX Runtime and others, at the sizes it has (--batch, --input)\n"
		"  .npy          MODEL is a mean image (.binaryproto)\n"
		"With --raw the message is what was written: the same bytes as 'protoc --encode', the same text as 'protoc --decode'.",
	.examples = "moka convert old_v1.prototxt -o new.prototxt\n"
		    "moka convert net.prototxt weights.caffemodel.h5 -o net.caffemodel\n"
		    "moka convert trained.caffemodel -o trained.npz\n"
		    "moka convert deploy.prototxt trained.caffemodel -o net.onnx\n"
		    "moka convert --raw trained.caffemodel -o trained.prototxt\n",
	.options = convert_options,
	.min_words = 1,
	.max_words = CLI_MAX_WORDS,
	.run = convert_run,
};
