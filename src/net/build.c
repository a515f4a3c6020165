/*
 * build.c - model -> net: the layers of one phase, wired, shaped, with shared parameters and gradients settled.
 *
 * A layer after the other: its type, its bottoms (wire.c), its own settings, its shapes (shape.c), its tops (wire.c). Then
 * over the whole: who reads what (wire.c), who shares what (share.c), losses and gradients (gradient.c), totals.
 * What is wrong becomes a finding at its place, and building goes on with what can be known.
 */
#include "net/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- words ------------------------------------------------------------------------------------------ */

const char *moka__title(const char *name, const char *type, char *buf)
{
	const char *t = type && *type ? type : "no type";

	if (name && *name)
		snprintf(buf, MOKA__TITLE, "layer '%.200s' (%.80s)", name, t);
	else
		snprintf(buf, MOKA__TITLE, "layer without a name (%.80s)", t);
	return buf;
}

void moka__say(struct moka__build *b, enum moka_severity severity, const char *code, struct moka_loc loc,
	       const char *name, const char *type, const char *fmt, ...)
{
	char title[MOKA__TITLE], text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	moka_find(b->f, severity, code, loc, "%s: %s", moka__title(name, type, title), text);
}

const char *moka__at_line(struct moka_loc loc, char *buf, size_t size)
{
	buf[0] = 0;
	if (loc.line)
		snprintf(buf, size, " at line %u", loc.line);
	return buf;
}

/* ---- layers -------------------------------------------------------------------------------------------- */

static void say_unknown_type(struct moka__build *b, const struct moka_model_layer *ml)
{
	enum moka_severity severity = b->o->for_run || b->o->strict ? MOKA_ERROR : MOKA_WARNING;
	const struct moka_node *n = moka_get(ml->msg, "type");
	struct moka_loc loc = n ? moka_value_loc(ml->msg, n) : ml->loc;
	const char *fork = moka_fork_of_layer(ml->type);
	const struct moka_layer_type *const *types = moka_registry_types(b->o->registry);
	struct moka_nearest near = { 0 };

	if (!*ml->type) {
		moka__say(b, MOKA_ERROR, "unknown-layer-type", ml->loc, ml->name, "", "it states no type");
		moka_find_hint(b->f, "add a line such as type: \"Convolution\"");
		return;
	}
	if (fork) {
		moka__say(b, severity, "unknown-layer-type", loc, ml->name, ml->type,
			  "this type is of %s's fork of Caffe; Moka can't run it", fork);
		return;
	}
	moka__say(b, severity, "unknown-layer-type", loc, ml->name, ml->type, "no such layer type is known");
	for (int i = 0; types[i] && b->advice < MOKA__MAX_ADVICE; i++)
		moka_nearest_try(&near, ml->type, types[i]->schema.type);
	b->advice++;
	if (near.best)
		moka_find_hint(b->f, "did you mean '%s'?", near.best);
}

/* The layer's settings as structs, defaults where the file is silent. */
static void decode_settings(struct moka__build *b, struct moka_layer *l)
{
	const struct moka_schema_layer *s = l->type ? &l->type->schema : NULL;
	struct moka_arena *a = &b->n->arena;

	l->loss_sub = moka_get_msg(l->msg, "loss_param");
	l->loss = moka_decode(a, l->loss_sub, &moka_loss_message);
	l->transform = moka_decode(a, moka_get_msg(l->msg, "transform_param"), &moka_transform_message);
	b->no_memory |= !l->loss || !l->transform;
	if (!s || !s->message)
		return;
	l->sub = moka_get_msg(l->msg, s->param_name);
	l->param = moka_decode(a, l->sub, s->message);
	b->no_memory |= !l->param && s->message->size;
}

static void init_layer(struct moka__build *b, struct moka_net_layer *nl, const struct moka_model_layer *ml)
{
	struct moka_layer *l = &nl->l;

	nl->type_name = ml->type;
	nl->loc = ml->loc;
	l->type = moka_registry_find(b->o->registry, ml->type);
	l->name = ml->name;
	l->msg = ml->msg;
	l->phase = b->o->phase;
	if (moka_has(ml->msg, "phase")) /* MyCaffe's RUN is testing too */
		l->phase = moka_get_int(ml->msg, "phase") == MOKA_TRAIN ? MOKA_TRAIN : MOKA_TEST;
	l->arena = &b->n->arena;
	l->n_bottom = moka_count(ml->msg, "bottom");
	l->n_top = moka_count(ml->msg, "top");
	l->sources = b->o->sources;
	l->beside = b->m->text.path;
	l->for_run = b->o->for_run;
	l->seed = b->o->seed;
	l->batch = b->o->batch;
	l->skip_bad = b->o->skip_bad;
	l->read_threads = b->o->read_threads;
	decode_settings(b, l);
}

static void say_not_runnable(struct moka__build *b, const struct moka_net_layer *nl)
{
	if (!b->o->for_run || nl->runnable || !nl->l.type)
		return;
	moka__say(b, MOKA_ERROR, "layer-not-runnable", nl->loc, nl->l.name, nl->type_name,
		  "Moka reads and draws this type, but can't run it yet");
}

static void add_layer(struct moka__build *b, int model_layer)
{
	const struct moka_model_layer *ml = &b->m->layers[model_layer];
	int i = b->n->n_layers++;
	struct moka_net_layer *nl = &b->n->layers[i];

	b->from[i] = model_layer;
	init_layer(b, nl, ml);
	if (!b->no_memory)
		moka__wire_bottoms(b, i);
	if (!b->no_memory)
		moka__shape_layer(b, i);
	if (!b->no_memory)
		moka__wire_tops(b, i);
	if (b->no_memory)
		return;
	if (!nl->l.type && !nl->is_input)
		say_unknown_type(b, ml);
	say_not_runnable(b, nl);
}

/* ---- before: who takes part --------------------------------------------------------------------------------- */

static void choose_layers(struct moka__build *b)
{
	for (int i = 0; i < b->m->n_layers; i++) {
		const struct moka_model_layer *ml = &b->m->layers[i];

		b->included[i] = moka__included(ml->msg, &b->state);
		if (!moka_has(ml->msg, "include") || !moka_has(ml->msg, "exclude"))
			continue;
		moka__say(b, MOKA_ERROR, "include-and-exclude",
			  moka_node_loc(ml->msg, moka_next(ml->msg, "exclude", NULL)), ml->name, ml->type,
			  "has include rules and exclude rules; the include rules are followed here");
		moka_find_hint(b->f, "keep one kind");
	}
}

/* Bottoms and tops of the layers that take part: how many blobs there can be. False: more than any net has. */
static bool count_wires(struct moka__build *b)
{
	int64_t total = 0;

	for (int i = 0; i < b->m->n_layers; i++)
		if (b->included[i])
			total += moka_count(b->m->layers[i].msg, "bottom") + moka_count(b->m->layers[i].msg, "top") + 1;
	b->blob_cap = (int)MOKA_MIN(total, MOKA__MAX_WIRES);
	return total <= MOKA__MAX_WIRES && b->m->n_layers <= MOKA_MAX_LAYERS;
}

static void say_same_names(struct moka__build *b)
{
	struct moka_map seen;

	moka_map_init(&seen);
	for (int i = 0; i < b->n->n_layers; i++) {
		const struct moka_net_layer *nl = &b->n->layers[i];
		int first = *nl->l.name ? moka__index(&seen, nl->l.name) : -1;
		char line[32];

		if (first < 0) {
			moka__put(b, &seen, nl->l.name, i);
			continue;
		}
		const struct moka_node *n = moka_get(nl->l.msg, "name");

		moka__say(b, MOKA_WARNING, "duplicate-layer-name", n ? moka_value_loc(nl->l.msg, n) : nl->loc,
			  nl->l.name, nl->type_name,
			  "another layer%s has this name too; weights are found by name, and go to the first",
			  moka__at_line(b->n->layers[first].loc, line, sizeof(line)));
		moka_find_hint(b->f, "give each layer a name of its own");
	}
	moka_map_release(&seen);
}

/* ---- after: totals, and what was asked for in vain -------------------------------------------------------------- */

static void add_known(int64_t *total, int64_t n)
{
	if (*total >= 0 && (n < 0 || !moka_add(*total, n, total)))
		*total = -1;
}

static void sum_up(struct moka_net *n)
{
	for (int i = 0; i < n->n_blobs; i++) {
		int64_t count = moka_shape_count(&n->blobs[i].shape);

		add_known(&n->activation_bytes, count < 0 ? -1 : count * 4);
	}
	for (int i = 0; i < n->n_params; i++)
		add_known(&n->total_params, n->params[i].count);
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_net_layer *nl = &n->layers[i];
		const bool understood = nl->asked || nl->is_input;

		if (!understood)
			add_known(&n->total_params, -1);
		add_known(&n->total_macs, understood && (nl->shaped || !nl->l.n_param) ? nl->l.macs : -1);
	}
}

static void check_given(struct moka__build *b)
{
	for (int i = 0; i < b->o->n_inputs; i++) {
		const char *name = b->o->inputs[i].blob;
		int blob = moka_net_blob(b->n, name);
		const struct moka_blob *x = blob >= 0 ? &b->n->blobs[blob] : NULL;
		const char *near;

		if (x && (x->producer < 0 || !b->n->layers[x->producer].l.n_bottom)) {
			if (moka__too_large(&x->shape))
				moka_find(b->f, MOKA_ERROR, "too-large", (struct moka_loc){ 0 },
					  "the shape given for '%.200s' is too large", name);
			continue;
		}
		if (x) {
			moka__say(b, MOKA_ERROR, "not-an-input", x->loc, b->n->layers[x->producer].l.name,
				  b->n->layers[x->producer].type_name,
				  "makes '%.200s', so its shape can't be given from outside", name);
			continue;
		}
		near = moka_net_nearest_blob(b->n, name);
		moka_find(b->f, MOKA_ERROR, "unknown-blob", (struct moka_loc){ 0 },
			  "the net has no input '%.200s' to give a shape to", name);
		if (near)
			moka_find_hint(b->f, "did you mean '%s'?", near);
	}
}

static void check_runnable(struct moka__build *b)
{
	struct moka_net *n = b->n;

	for (int i = 0; i < n->n_blobs && b->o->for_run; i++) {
		const struct moka_blob *x = &n->blobs[i];
		char text[MOKA_SHAPE_TEXT];

		if (!x->is_input || moka_shape_known(&x->shape) || b->missing[i])
			continue;
		moka_find(b->f, MOKA_ERROR, "unknown-shape", x->loc, "the shape of input '%.200s' isn't known: %s",
			  x->name, moka_shape_text(&x->shape, text, sizeof(text)));
		moka_find_hint(b->f, "give it from outside (--input %.200s=1x3x224x224)", x->name);
	}
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static bool begin(struct moka__build *b)
{
	struct moka_net *n = b->n;
	const int layers = b->m->n_layers;

	b->included = MOKA_NEWN(&n->arena, layers + 1, bool);
	b->from = MOKA_NEWN(&n->arena, layers + 1, int);
	n->layers = MOKA_NEWN(&n->arena, layers + 1, struct moka_net_layer);
	if (!b->included || !b->from || !n->layers)
		return false;
	b->state = (struct moka__state){ b->o->phase, b->o->level, b->o->stages, b->o->n_stages,
					 moka_get_msg(b->m->root, "state") };
	if (!b->o->level && b->state.net)
		b->state.level = moka_get_int(b->state.net, "level");
	choose_layers(b);
	return true;
}

static bool build_layers(struct moka__build *b)
{
	struct moka_net *n = b->n;

	n->blobs = MOKA_NEWN(&n->arena, b->blob_cap + 1, struct moka_blob);
	b->readers = MOKA_NEWN(&n->arena, b->blob_cap + 1, int);
	b->missing = MOKA_NEWN(&n->arena, b->blob_cap + 1, bool);
	b->held = MOKA_NEWN(&n->arena, b->blob_cap + 1, uint32_t);
	if (!n->blobs || !b->readers || !b->missing || !b->held)
		return false;
	moka__wire_index(b);
	for (int i = 0; i < b->m->n_layers && !b->no_memory; i++)
		if (b->included[i] && !moka__wire_drop(b, i))
			add_layer(b, i);
	return !b->no_memory;
}

static void build_whole(struct moka__build *b)
{
	void (*const steps[])(struct moka__build *) = { moka__wire_finish, say_same_names, moka__share, moka__losses,
							moka__gradient };

	for (size_t i = 0; i < MOKA_COUNT(steps) && !b->no_memory; i++)
		steps[i](b);
	if (b->no_memory)
		return;
	check_given(b);
	check_runnable(b);
	sum_up(b->n);
	moka__shape_budget(b);
}

static enum moka_status run_build(struct moka__build *b)
{
	bool ok = begin(b);

	if (ok && !count_wires(b)) {
		moka_find(b->f, MOKA_ERROR, "too-large", (struct moka_loc){ &b->m->text, 0, 0 },
			  "a net of more than %d layers, or %d bottoms and tops, is not read", MOKA_MAX_LAYERS,
			  MOKA__MAX_WIRES);
		return MOKA_ERR_LIMIT;
	}
	ok = ok && build_layers(b);
	if (ok)
		build_whole(b);
	if (ok && !b->no_memory)
		return MOKA_OK;
	moka_find(b->f, MOKA_ERROR, "no-memory", (struct moka_loc){ 0 }, "there is not enough memory to build the net");
	return MOKA_ERR_NOMEM;
}

static void release_build(struct moka__build *b)
{
	moka_map_release(&b->current);
	moka_map_release(&b->makers);
	moka_map_release(&b->elsewhere);
	moka_map_release(&b->dropped);
}

enum moka_status moka_net_build(struct moka_net **out, const struct moka_model *m, const struct moka_net_options *o,
				struct moka_findings *f)
{
	struct moka_findings own;
	struct moka__build b = { .m = m, .o = o, .f = f ? f : &own };
	enum moka_status st;

	*out = NULL;
	if (m->kind != MOKA_MODEL_NET) {
		moka_find(f, MOKA_ERROR, "not-a-net", (struct moka_loc){ &m->text, 0, 0 },
			  "this is a solver, not a net");
		return MOKA_ERR_ARG;
	}
	if (!f)
		moka_findings_init(&own);
	moka_map_init(&b.current);
	moka_map_init(&b.makers);
	moka_map_init(&b.elsewhere);
	moka_map_init(&b.dropped);
	b.n = calloc(1, sizeof(*b.n));
	if (b.n) {
		moka_arena_init(&b.n->arena, 0);
		b.n->model = m;
		b.n->name = m->name ? m->name : "";
		b.n->phase = o->phase;
		b.n->force_backward = m->force_backward;
	}
	st = b.n ? run_build(&b) : MOKA_ERR_NOMEM;
	release_build(&b);
	if (!f)
		moka_findings_release(&own);
	if (st)
		moka_net_free(b.n);
	else
		*out = b.n;
	return st;
}

void moka_net_free(struct moka_net *n)
{
	if (!n)
		return;
	for (int i = 0; i < n->n_layers; i++) {
		struct moka_layer *l = &n->layers[i].l;

		if (l->source && l->source_ops && l->source_ops->close)
			l->source_ops->close(l->source);
	}
	free(n->param_block);
	moka_arena_release(&n->arena);
	free(n);
}

/* ---- looking things up -------------------------------------------------------------------------------------------- */

int moka_net_blob(const struct moka_net *n, const char *name)
{
	for (int i = n->n_blobs - 1; i >= 0; i--)
		if (!strcmp(n->blobs[i].name, name))
			return i;
	return -1;
}

int moka_net_layer_index(const struct moka_net *n, const char *name)
{
	for (int i = 0; i < n->n_layers; i++)
		if (!strcmp(n->layers[i].l.name, name))
			return i;
	return -1;
}

const char *moka_net_nearest_blob(const struct moka_net *n, const char *name)
{
	struct moka_nearest near = { 0 };

	for (int i = 0; i < n->n_blobs; i++)
		if (strcmp(n->blobs[i].name, name))
			moka_nearest_try(&near, name, n->blobs[i].name);
	return near.best;
}
