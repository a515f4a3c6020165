/*
 * api.c - the public interface (include/moka/moka.h) over the house: a handle holds a model, its net, one execution and a
 * pool of threads. No logic of its own.
 */
#include "data/data.h"
#include "explain/explain.h"
#include "net/net.h"
#include "solvers/solver.h"

#include <stdlib.h>
#include <string.h>

struct moka_net_handle {
	struct moka_model *model;
	struct moka_net *owner; /* the net as first built: its parameters are everybody's */
	struct moka_net *net;	/* the net at its present shapes; may be the owner */
	struct moka_exec *exec;
	struct moka_pool *pool;
	struct moka_weights **weights; /* open as long as the net: its values may have to be read again */
	int n_weights;
	struct moka_open_options o;
	struct moka_arena arena;      /* the names in `given` */
	struct moka_net_input *given; /* shapes set by moka_reshape() */
	int n_given;
	double loss;
};

const char *moka_version(void)
{
	return MOKA_VERSION;
}

void moka_free(void *p)
{
	free(p);
}

/* The first error among the findings, as a sentence with its place. */
static enum moka_status first_error(const struct moka_findings *f, enum moka_status st, struct moka_error *err)
{
	if (!st)
		st = MOKA_ERR_MODEL;
	for (size_t i = 0; i < f->n; i++) {
		const struct moka_finding *x = &f->items[i];

		if (x->severity != MOKA_ERROR)
			continue;
		if (x->loc.text && x->loc.line)
			moka_fail(err, st, "%s:%u:%u: %s", x->loc.text->path, x->loc.line, x->loc.column, x->message);
		else
			moka_fail(err, st, "%s", x->message);
		if (x->hint)
			moka_fail_hint(err, "%s", x->hint);
		return st;
	}
	return moka_fail(err, st, "the model can't be used");
}

/* ---- reading about a model ------------------------------------------------------------------------ */

struct reading {
	struct moka_findings f;
	struct moka_model *file, *model;
	struct moka_net *net;
};

static enum moka_status read_net(struct reading *r, const char *path, int phase)
{
	static const struct moka_model_options any = { .expect = -1 };
	struct moka_net_options no = { .phase = phase ? MOKA_TEST : MOKA_TRAIN };

	moka_findings_init(&r->f);
	MOKA_TRY(moka_model_open(&r->file, path, &moka_layer_schema, &any, &r->f));
	r->model = r->file;
	if (r->file->kind == MOKA_MODEL_SOLVER)
		MOKA_TRY(moka_model_solver_net(r->file, phase ? 0 : -1, &moka_layer_schema, &r->model, &r->f));
	return moka_net_build(&r->net, r->model, &no, &r->f);
}

static void reading_release(struct reading *r)
{
	moka_net_free(r->net);
	moka_findings_release(&r->f); /* before the model: findings point into its text */
	moka_model_free(r->file);
}

/* The buffer's text, now the caller's. */
static enum moka_status hand_over(struct moka_buf *b, char **out, struct moka_error *err)
{
	if (!b->data || b->failed) {
		moka_buf_release(b);
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for the text");
	}
	*out = b->data;
	return MOKA_OK;
}

enum moka_status moka_explain(char **out, const char *path, const char *format, int phase, struct moka_error *err)
{
	struct reading r = { 0 };
	struct moka_buf b;
	enum moka_status st = read_net(&r, path, phase);

	*out = NULL;
	moka_buf_init(&b, 0);
	if (st) {
		st = first_error(&r.f, st, err);
		reading_release(&r);
		return st;
	}
	const struct moka_explain_options eo = { .solver = r.file == r.model ? NULL : r.file };

	moka_findings_sort(&r.f);
	if (!strcmp(format, "text"))
		moka_explain_text(r.net, &r.f, &eo, &b);
	else if (!strcmp(format, "json"))
		moka_explain_json(r.net, &r.f, &b);
	else if (!strcmp(format, "dot"))
		moka_explain_dot(r.net, &b);
	else if (!strcmp(format, "html"))
		moka_explain_html(r.net, &r.f, &eo, NULL, &b);
	else
		st = moka_fail(err, MOKA_ERR_ARG, "there is no format '%s'; text, json, dot and html are known",
			       format);
	if (!st)
		st = hand_over(&b, out, err);
	else
		moka_buf_release(&b);
	reading_release(&r);
	return st;
}

enum moka_status moka_check(char **out, int *errors, const char *path, int phase, struct moka_error *err)
{
	struct reading r = { 0 };
	struct moka_buf b;

	*out = NULL;
	moka_buf_init(&b, 0);
	(void)read_net(&r, path, phase); /* why it failed is among the findings */
	moka_findings_sort(&r.f);
	moka_buf_puts(&b, "{\"findings\": [");
	for (size_t i = 0; i < r.f.n; i++) {
		moka_buf_puts(&b, i ? ", " : "");
		moka_finding_json(&r.f.items[i], &b);
	}
	moka_buf_puts(&b, "]}\n");
	if (errors)
		*errors = (int)r.f.errors;
	enum moka_status st = hand_over(&b, out, err);
	reading_release(&r);
	return st;
}

/* ---- opening --------------------------------------------------------------------------------------- */

static enum moka_status build(struct moka_net_handle *h, struct moka_net **net, struct moka_error *err)
{
	struct moka_net_options no = { .phase = h->o.train ? MOKA_TRAIN : MOKA_TEST,
				       .inputs = h->given,
				       .n_inputs = h->n_given,
				       .batch = h->o.batch,
				       .for_run = true,
				       .backward = h->o.backward,
				       .sources = moka_sources,
				       .seed = h->o.seed };
	struct moka_findings f;

	moka_findings_init(&f);
	enum moka_status st = moka_net_build(net, h->model, &no, &f);
	if (st || f.errors)
		st = first_error(&f, st, err);
	moka_findings_release(&f);
	return st;
}

static enum moka_status take_weights(struct moka_net_handle *h, const char *path, struct moka_error *err)
{
	struct moka_weights *w;
	struct moka_findings f;

	MOKA_TRY(moka_weights_open(&w, path, &moka_layer_schema, err));
	moka_findings_init(&f);
	enum moka_status st = moka_net_load(h->net, w, false, &f);
	if (st || f.errors)
		st = first_error(&f, st, err);
	moka_findings_release(&f);
	h->weights[h->n_weights++] = w;
	return st;
}

static enum moka_status take_all_weights(struct moka_net_handle *h, struct moka_error *err)
{
	int n = 0;

	while (h->o.weights && h->o.weights[n])
		n++;
	h->weights = calloc((size_t)n + 1, sizeof(*h->weights));
	if (!h->weights)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	for (int i = 0; i < n; i++)
		MOKA_TRY(take_weights(h, h->o.weights[i], err));
	return MOKA_OK;
}

static enum moka_status load_again(void *arg, struct moka_net *net, struct moka_error *err)
{
	const struct moka_net_handle *h = arg;

	return moka_net_load_again(net, h->weights, h->n_weights, err);
}

static enum moka_status new_exec(struct moka_net_handle *h, struct moka_net *net, struct moka_exec **exec,
				 struct moka_error *err)
{
	const struct moka_exec_options eo = { .keep = h->o.backward || h->o.keep_all ? MOKA_KEEP_ALL
										     : MOKA_KEEP_OUTPUTS,
					      .backward = h->o.backward,
					      .pool = h->pool,
					      .seed = h->o.seed };

	return moka_exec_new(exec, net, &eo, err);
}

static enum moka_status open_model(struct moka_net_handle *h, const char *path, struct moka_error *err)
{
	static const struct moka_model_options net_only = { .expect = MOKA_MODEL_NET };
	struct moka_findings f;

	moka_findings_init(&f);
	enum moka_status st = moka_model_open(&h->model, path, &moka_layer_schema, &net_only, &f);
	if (st || f.errors)
		st = first_error(&f, st, err);
	moka_findings_release(&f);
	return st;
}

static enum moka_status open_all(struct moka_net_handle *h, const char *path, struct moka_error *err)
{
	h->pool = moka_pool_new(h->o.threads);
	if (!h->pool)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for threads");
	MOKA_TRY(open_model(h, path, err));
	MOKA_TRY(build(h, &h->owner, err));
	h->net = h->owner;
	MOKA_TRY(moka_net_reserve(h->net, h->o.seed, err)); /* fillers run over what the files leave, if anything */
	moka_net_lend(h->net, load_again, h);
	MOKA_TRY(take_all_weights(h, err));
	return new_exec(h, h->net, &h->exec, err);
}

enum moka_status moka_open(struct moka_net_handle **out, const char *path, const struct moka_open_options *o,
			   struct moka_error *err)
{
	struct moka_net_handle *h = calloc(1, sizeof(*h));

	*out = NULL;
	if (!h)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	moka_arena_init(&h->arena, 0);
	if (o)
		h->o = *o;
	enum moka_status st = open_all(h, path, err);
	if (st) {
		moka_close(h);
		return st;
	}
	*out = h;
	return MOKA_OK;
}

void moka_close(struct moka_net_handle *h)
{
	if (!h)
		return;
	moka_exec_free(h->exec);
	if (h->net != h->owner)
		moka_net_free(h->net);
	moka_net_free(h->owner);
	for (int i = 0; i < h->n_weights; i++)
		moka_weights_free(h->weights[i]);
	free(h->weights);
	moka_model_free(h->model);
	moka_pool_free(h->pool);
	moka_arena_release(&h->arena);
	free(h);
}

/* ---- looking ----------------------------------------------------------------------------------------- */

int moka_input_count(const struct moka_net_handle *h)
{
	return h->net->n_inputs;
}

int moka_output_count(const struct moka_net_handle *h)
{
	return h->net->n_outputs;
}

const char *moka_input_name(const struct moka_net_handle *h, int i)
{
	return i >= 0 && i < h->net->n_inputs ? h->net->blobs[h->net->inputs[i]].name : NULL;
}

const char *moka_output_name(const struct moka_net_handle *h, int i)
{
	return i >= 0 && i < h->net->n_outputs ? h->net->blobs[h->net->outputs[i]].name : NULL;
}

int moka_shape(const struct moka_net_handle *h, const char *blob, int64_t *dims)
{
	int b = moka_net_blob(h->net, blob);

	if (b < 0)
		return -1;
	const struct moka_shape *s = &h->net->blobs[b].shape;
	for (int i = 0; i < s->n; i++)
		dims[i] = s->d[i];
	return s->n;
}

float *moka_data(struct moka_net_handle *h, const char *blob)
{
	int b = moka_net_blob(h->net, blob);

	return b < 0 ? NULL : (float *)moka_exec_data(h->exec, b);
}

const float *moka_diff(struct moka_net_handle *h, const char *blob)
{
	int b = moka_net_blob(h->net, blob);

	return b < 0 ? NULL : (const float *)moka_exec_diff(h->exec, b);
}

static int find_param(const struct moka_net_handle *h, const char *layer, int index, int *use)
{
	int l = moka_net_layer_index(h->net, layer);

	if (l < 0 || index < 0 || index >= h->net->layers[l].l.n_param)
		return -1;
	*use = h->net->layers[l].param_uses[index];
	return h->net->layers[l].params[index];
}

float *moka_param(struct moka_net_handle *h, const char *layer, int index, int64_t *count)
{
	int use, p = find_param(h, layer, index, &use);

	if (p < 0)
		return NULL;
	if (count)
		*count = h->net->params[p].count;
	if (moka_net_watch(h->owner, NULL))
		return NULL;
	return (float *)h->net->params[p].data;
}

const float *moka_param_diff(struct moka_net_handle *h, const char *layer, int index)
{
	int use, p = find_param(h, layer, index, &use);

	if (p < 0)
		return NULL;
	return (const float *)moka_exec_param_diff(h->exec, p, h->net->params[p].per_use_update ? use : 0);
}

void moka_clear_param_diffs(struct moka_net_handle *h)
{
	moka_exec_clear_param_diffs(h->exec);
}

/* ---- another shape -------------------------------------------------------------------------------------- */

/* Parameters are the owner's, so each must have the owner's shape. */
static enum moka_status same_params(const struct moka_net_handle *h, const struct moka_net *net, struct moka_error *err)
{
	for (int p = 0; p < net->n_params && p < h->owner->n_params; p++) {
		char is[MOKA_SHAPE_TEXT], was[MOKA_SHAPE_TEXT];

		if (moka_shape_equal(&net->params[p].shape, &h->owner->params[p].shape))
			continue;
		moka_fail(err, MOKA_ERR_MODEL, "with this input parameter '%s' would have to be %s, but it is %s",
			  net->params[p].name, moka_shape_text(&net->params[p].shape, is, sizeof(is)),
			  moka_shape_text(&h->owner->params[p].shape, was, sizeof(was)));
		moka_fail_hint(err, "an InnerProduct ties the net to one input size; only the batch may change");
		return MOKA_ERR_MODEL;
	}
	return MOKA_OK;
}

static enum moka_status remake(struct moka_net_handle *h, struct moka_error *err)
{
	struct moka_net *net = NULL;
	struct moka_exec *exec = NULL;
	enum moka_status st = build(h, &net, err);

	if (!st)
		st = same_params(h, net, err);
	if (!st)
		st = moka_net_share(net, h->owner, err);
	if (!st)
		st = new_exec(h, net, &exec, err);
	if (st) {
		moka_net_free(net);
		return st;
	}
	moka_exec_free(h->exec);
	if (h->net != h->owner)
		moka_net_free(h->net);
	else
		moka_net_drop_plan(h->owner); /* its parameters are the new net's, its packed weights nobody's */
	h->net = net;
	h->exec = exec;
	return MOKA_OK;
}

enum moka_status moka_reshape(struct moka_net_handle *h, const char *input, int n_axes, const int64_t *dims,
			      struct moka_error *err)
{
	struct moka_net_input *before = h->given;
	const int n_before = h->n_given;
	int k = 0;

	if (n_axes < 0 || n_axes > MOKA_MAX_AXES)
		return moka_fail(err, MOKA_ERR_ARG, "%d axes; a blob has 0 to %d", n_axes, MOKA_MAX_AXES);
	h->given = MOKA_NEWN(&h->arena, n_before + 1, struct moka_net_input);
	if (!h->given) {
		h->given = before;
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	}
	for (int i = 0; i < n_before; i++)
		if (strcmp(before[i].blob, input))
			h->given[k++] = before[i];
	h->given[k].blob = moka_arena_strdup(&h->arena, input);
	h->given[k].shape.n = n_axes;
	for (int i = 0; i < n_axes; i++)
		h->given[k].shape.d[i] = dims[i];
	h->n_given = k + 1;
	enum moka_status st = h->given[k].blob ? remake(h, err) : moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	if (st) {
		h->given = before;
		h->n_given = n_before;
	}
	return st;
}

/* ---- running --------------------------------------------------------------------------------------------- */

enum moka_status moka_forward(struct moka_net_handle *h, struct moka_error *err)
{
	real loss = 0;

	MOKA_TRY(moka_exec_forward(h->exec, 0, h->net->n_layers, &loss, err));
	h->loss = (double)loss;
	return MOKA_OK;
}

double moka_loss(const struct moka_net_handle *h)
{
	return h->loss;
}

enum moka_status moka_backward(struct moka_net_handle *h, struct moka_error *err)
{
	if (!h->o.backward)
		return moka_fail(err, MOKA_ERR_ARG, "the net was opened without `backward`");
	return moka_exec_backward(h->exec, h->net->n_layers, 0, err);
}

/* ---- training -------------------------------------------------------------------------------------------- */

struct training {
	const struct moka_train_options *o;
	volatile sig_atomic_t request;
};

static void on_event(void *arg, const struct moka_solver_event *e)
{
	struct training *t = arg;

	if (e->kind == MOKA_EVENT_TRAIN && t->o->on_iteration && t->o->on_iteration(t->o->arg, e->iter, e->loss, e->lr))
		t->request = MOKA_REQUEST_STOP;
}

static enum moka_status run_solver(struct moka_model *m, const struct moka_train_options *o, struct moka_pool *pool,
				   struct moka_error *err)
{
	struct training t = { .o = o };
	struct moka_solver_options so = { .snapshot = o->snapshot,
					  .weights = o->weights,
					  .max_iter = o->max_iter > 0 ? o->max_iter : -1,
					  .seed = -1,
					  .pool = pool,
					  .sources = moka_sources,
					  .on_event = on_event,
					  .arg = &t,
					  .request = &t.request };
	struct moka_findings f;
	struct moka_solver *s;

	while (o->weights && o->weights[so.n_weights])
		so.n_weights++;
	moka_findings_init(&f);
	enum moka_status st = moka_solver_new(&s, m, &so, &f);
	if (st) {
		st = first_error(&f, st, err);
	} else {
		st = moka_solver_run(s, err);
		moka_solver_free(s);
	}
	moka_findings_release(&f);
	return st == MOKA_ERR_INTERRUPTED ? MOKA_OK : st;
}

enum moka_status moka_train(const char *solver_path, const struct moka_train_options *o, struct moka_error *err)
{
	static const struct moka_model_options solver_only = { .expect = MOKA_MODEL_SOLVER };
	static const struct moka_train_options plain = { 0 };
	struct moka_pool *pool = moka_pool_new(o ? o->threads : 0);
	struct moka_findings f;
	struct moka_model *m;

	if (!pool)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for threads");
	moka_findings_init(&f);
	enum moka_status st = moka_model_open(&m, solver_path, &moka_layer_schema, &solver_only, &f);
	if (st) {
		st = first_error(&f, st, err);
	} else {
		st = f.errors ? first_error(&f, MOKA_ERR_MODEL, err) : run_solver(m, o ? o : &plain, pool, err);
		moka_model_free(m);
	}
	moka_findings_release(&f);
	moka_pool_free(pool);
	return st;
}
