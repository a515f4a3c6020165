/*
 * summary.c - the first lines: what this net is, as far as that is sure, and how to read the diagram.
 */
#include "internal.h"

#include <string.h>

/* ---- in numbers ---------------------------------------------------------------------------------------- */

static const char *phase_name(const struct moka_net *n)
{
	return n->phase == MOKA_TRAIN ? "TRAIN" : "TEST";
}

static const char *counted(struct moka__page *p, int64_t n, const char *one, const char *many)
{
	const char *s = moka_arena_printf(&p->arena, "%s %s", moka__big(&p->arena, n), moka__plural(n, one, many));

	return s ? s : "";
}

static int64_t param_bytes(const struct moka_net *n)
{
	int64_t bytes;

	return n->total_params >= 0 && moka_mul(n->total_params, 4, &bytes) ? bytes : -1;
}

/* Values of the parameters whose shapes are known. */
static int64_t known_params(const struct moka_net *n)
{
	int64_t known = 0;

	for (int i = 0; i < n->n_params; i++)
		if (n->params[i].count > 0)
			moka_add(known, n->params[i].count, &known);
	return known;
}

static void say_numbers(struct moka__page *p, const struct moka_net *n)
{
	struct moka_arena *a = &p->arena;
	const char *layers = counted(p, n->n_layers, "layer", "layers"),
		   *inputs = counted(p, n->n_inputs, "input", "inputs");
	const char *outputs = counted(p, n->n_outputs, "output", "outputs"),
		   *params = counted(p, n->total_params, "parameter", "parameters");
	int64_t known = known_params(n);

	if (n->total_params < 0 && known)
		params = moka_arena_printf(a, "more than %s", counted(p, known, "parameter", "parameters"));

	moka__page_para(
		p,
		"%s, as it is in phase %s: %s, %s, %s; %s; %s a forward pass; memory: %s for data blobs, %s for parameters "
		"(float32).",
		moka__net_name(n), phase_name(n), layers, inputs, outputs, params ? params : "",
		counted(p, n->total_macs, "multiply-accumulate", "multiply-accumulates"),
		moka__bytes(a, n->activation_bytes), moka__bytes(a, param_bytes(n)));
}

/* ---- in words -------------------------------------------------------------------------------------------- */

static void say_undeclared(struct moka__page *p, const struct moka_net *n)
{
	struct moka__names names;
	int count = 0, unknown = -1;

	moka__names_begin(&names, 6);
	for (int i = 0; i < n->n_inputs; i++) {
		const struct moka_blob *x = &n->blobs[n->inputs[i]];

		if (x->declared)
			continue;
		moka__names_add(&names, x->name);
		count++;
		if (unknown < 0 && !moka_shape_known(&x->shape))
			unknown = n->inputs[i];
	}
	const char *list = moka__names_end(&names, &p->arena);

	if (!count)
		return;
	if (unknown >= 0)
		moka__page_para(
			p,
			"It is a fragment: no layer makes %s, so %s taken as %s. A shape that is not known prints as ?; "
			"give it with --input %s=1x3x224x224 (batch, channels, height, width), and all that follows from it is "
			"known too.",
			list, count == 1 ? "it is" : "they are", count == 1 ? "its input" : "its inputs",
			n->blobs[unknown].name);
	else
		moka__page_para(p, "It is a fragment: no layer makes %s, so %s taken as %s, in the shape you gave.",
				list, count == 1 ? "it is" : "they are", count == 1 ? "its input" : "its inputs");
}

static const char *layers_with(struct moka__page *p, const struct moka_net *n, bool (*is)(const struct moka_net *, int),
			       int *count)
{
	struct moka__names names;

	*count = 0;
	moka__names_begin(&names, 4);
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *nl = &n->layers[i];
		const char *s =
			is(n, i) ? moka_arena_printf(&p->arena, "%s (%s)", moka__layer_name(nl), moka__type(nl)) : NULL;

		if (!s)
			continue;
		moka__names_add(&names, s);
		(*count)++;
	}
	return moka__names_end(&names, &p->arena);
}

static bool has_loss(const struct moka_net *n, int i)
{
	const struct moka_net_layer *nl = &n->layers[i];

	for (int k = 0; nl->loss_weight && k < nl->l.n_top; k++)
		if (nl->loss_weight[k] != 0)
			return true;
	return false;
}

static bool reads_data(const struct moka_net *n, int i)
{
	const struct moka_net_layer *nl = &n->layers[i];

	return nl->l.type && (nl->l.type->flags & MOKA_DATA) && !nl->is_input;
}

static bool is_unknown(const struct moka_net *n, int i)
{
	return !n->layers[i].l.type && !n->layers[i].is_input;
}

static bool cannot_run(const struct moka_net *n, int i)
{
	return n->layers[i].l.type && !n->layers[i].runnable && !n->layers[i].is_input;
}

/* An output made by a Softmax over a vector: as many classes as it is long. */
static void say_classes(struct moka__page *p, const struct moka_net *n)
{
	for (int i = 0; i < n->n_outputs; i++) {
		const struct moka_blob *x = &n->blobs[n->outputs[i]];
		int last = x->producer;

		for (int k = 0; k < x->n_consumers; k++)
			last = x->consumers[k]; /* in-place layers: the last one decides what it is */
		if (last < 0 || strcmp(moka__type(&n->layers[last]), "Softmax") || x->shape.n < 2 ||
		    x->shape.d[1] < 2 || moka_shape_count_range(&x->shape, 2, x->shape.n) != 1)
			continue;
		moka__page_para(
			p, "It is a classifier: %s holds, for each item of the batch, the probabilities of %s classes.",
			x->name, moka__number(&p->arena, x->shape.d[1]));
		return;
	}
}

static void say_purpose(struct moka__page *p, const struct moka_net *n)
{
	int losses, sources;
	const char *loss = layers_with(p, n, has_loss, &losses), *source = layers_with(p, n, reads_data, &sources);

	if (sources)
		moka__page_para(p, "It reads its data itself, in %s.", source);
	if (losses)
		moka__page_para(p, "It is made for training: %s %s what a solver makes small%s.", loss,
				losses == 1 ? "is" : "add up to",
				n->phase == MOKA_TEST ? "; in phase TEST it only measures" : "");
	say_classes(p, n);
}

static void say_unknown(struct moka__page *p, const struct moka_net *n)
{
	int unknown, idle;
	const char *list = layers_with(p, n, is_unknown, &unknown), *known = layers_with(p, n, cannot_run, &idle);

	if (unknown)
		moka__page_para(
			p,
			"%d %s of a type that Moka does not know: %s. %s drawn and counted, but nothing is known of the shapes behind "
			"%s, and the net can't be run.",
			unknown, moka__plural(unknown, "layer is", "layers are"), list,
			unknown == 1 ? "It is" : "They are", unknown == 1 ? "it" : "them");
	if (idle)
		moka__page_para(p, "%d %s of a type that Moka can read and draw, but not run yet: %s.", idle,
				moka__plural(idle, "layer is", "layers are"), known);
}

static void say_findings(struct moka__page *p, const struct moka_findings *f)
{
	const char *errors, *warnings;

	if (!f || !(f->errors || f->warnings))
		return;
	errors = f->errors ? counted(p, (int64_t)f->errors, "error", "errors") : "";
	warnings = f->warnings ? counted(p, (int64_t)f->warnings, "warning", "warnings") : "";
	moka__page_para(p, "%s%s%s: see Findings, at the end.", errors, f->errors && f->warnings ? " and " : "",
			warnings);
}

void moka__summary(struct moka__page *p, const struct moka_net *n, const struct moka_findings *f,
		   const struct moka_explain_options *o)
{
	const struct moka_msg *solver = moka__solver_msg(o);

	say_numbers(p, n);
	say_undeclared(p, n);
	say_purpose(p, n);
	say_unknown(p, n);
	if (solver)
		moka__page_para(p, "It is trained by the solver file %s, explained below.",
				o->solver->text.path ? o->solver->text.path : "given");
	say_findings(p, f);
}
