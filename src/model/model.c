/*
 * model.c - opens a net or a solver: finds out what the file is, reads it, brings it up to date, lists its layers.
 *
 *     bytes --guess--> text or wire parse --> tree --upgrade--> tree in current syntax --> layers[]
 *
 * Whatever is wrong with the file becomes a finding; the caller decides how much of it is fatal.
 */
#include "model/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct moka_model_options defaults = { .expect = -1 };

bool moka__grow(struct moka_arena *a, void *items, int *cap, int n, size_t size)
{
	void **list = items, *bigger;
	const int want = *cap ? *cap * 2 : 16;

	if (n < *cap)
		return true;
	bigger = moka_arena_alloc(a, (size_t)want, size);
	if (!bigger)
		return false;
	if (n)
		memcpy(bigger, *list, (size_t)n * size);
	*list = bigger;
	*cap = want;
	return true;
}

/*
 * Findings of a model that could not be made must outlive it: their text moves to the findings' own arena (its
 * name always, its content where it is of reasonable size).
 */
void moka__adopt_findings(struct moka_findings *f, const struct moka_text *old)
{
	struct moka_text *text = NULL;

	for (size_t i = 0; f && i < f->n; i++) {
		if (f->items[i].loc.text != old)
			continue;
		if (!text && (text = MOKA_NEW(&f->arena, struct moka_text))) {
			text->path = moka_arena_strdup(&f->arena, old->path);
			if (old->data && old->size < ((size_t)1 << 24)) {
				text->data = moka_arena_strndup(&f->arena, old->data, old->size);
				text->size = text->data ? old->size : 0;
			}
		}
		f->items[i].loc.text = text;
		if (!text)
			f->items[i].loc.line = 0;
	}
}

/* ---- layers --------------------------------------------------------------------------------- */

static bool is_layer_node(const struct moka_node *n)
{
	return n->kind == MOKA_NODE_MESSAGE && n->field && n->u.m &&
	       (!strcmp(n->field->name, "layer") || !strcmp(n->field->name, "layers"));
}

static int count_layers(const struct moka_msg *root)
{
	int n = 0;

	for (const struct moka_node *x = root->first; x && n <= MOKA_MAX_LAYERS; x = x->next)
		n += is_layer_node(x);
	return n;
}

/* In raw V1 files `type` is an enum, and V0 layers hold another one: those are listed without a type. */
static void fill_layer(struct moka_model_layer *l, struct moka_msg *m)
{
	const struct moka_node *type = moka_get(m, "type");

	l->msg = m;
	l->loc = moka_msg_loc(m);
	l->name = moka_get_string(m, "name", "");
	l->type = type && type->kind == MOKA_NODE_STRING ? moka_get_string(m, "type", "") : "";
}

static enum moka_status list_layers(struct moka_model *m, struct moka_findings *f)
{
	const int n = count_layers(m->root);
	int i = 0;

	if (n > MOKA_MAX_LAYERS) {
		moka_find(f, MOKA_ERROR, "too-many-layers", moka_msg_loc(m->root), "the net has more than %d layers",
			  MOKA_MAX_LAYERS);
		return MOKA_ERR_LIMIT;
	}
	m->layers = MOKA_NEWN(&m->arena, n ? n : 1, struct moka_model_layer);
	if (!m->layers)
		return MOKA_ERR_NOMEM;
	for (const struct moka_node *x = m->root->first; x; x = x->next)
		if (is_layer_node(x))
			fill_layer(&m->layers[i++], x->u.m);
	m->n_layers = i;
	m->name = moka_get_string(m->root, "name", "");
	m->force_backward = moka_get_int(m->root, "force_backward") != 0;
	return MOKA_OK;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static struct moka_loc file_loc(const struct moka_model *m)
{
	return (struct moka_loc){ &m->text, 0, 0 };
}

static enum moka_status report(struct moka_findings *f, const char *code, struct moka_loc loc,
			       const struct moka_error *e)
{
	/* The finding prints its file itself. */
	const char *message = e->message;
	const char *path = loc.text ? loc.text->path : NULL;
	const size_t n = path ? strlen(path) : 0;

	if (n && !strncmp(message, path, n) && !strncmp(message + n, ": ", 2))
		message += n + 2;
	moka_find(f, MOKA_ERROR, code, loc, "%s", message);
	if (e->hint[0])
		moka_find_hint(f, "%s", e->hint);
	return e->status ? e->status : MOKA_ERR_FORMAT;
}

static enum moka_status report_conflict(struct moka_model *m, struct moka_findings *f)
{
	const uint32_t line = moka__conflict_line(m->text.data, m->text.size);

	moka_find(f, MOKA_ERROR, "merge-conflict", (struct moka_loc){ &m->text, line, 1 },
		  "Git's merge-conflict marker: two versions of this text are mixed");
	moka_find_hint(f, "keep one of them and delete the lines <<<<<<<, ======= and >>>>>>>");
	return MOKA_ERR_FORMAT;
}

static const char *guess_code(enum moka_file_guess g)
{
	switch (g) {
	case MOKA_GUESS_LFS:
		return "git-lfs-pointer";
	case MOKA_GUESS_EMPTY:
		return "empty-file";
	case MOKA_GUESS_HTML:
		return "web-page";
	default:
		return "wrong-file";
	}
}

static const char *wanted_text(int expect)
{
	return expect == MOKA_MODEL_NET ? "a net" : expect == MOKA_MODEL_SOLVER ? "a solver file" : "a net or a solver";
}

/* Sets kind and binary; an error finding for everything else. */
static enum moka_status settle_kind(struct moka_model *m, const struct moka_file *file, int expect,
				    struct moka_findings *f)
{
	const enum moka_file_guess g = moka_model_guess(file);
	struct moka_error e = { 0 };

	m->binary = g == MOKA_GUESS_CAFFEMODEL || g == MOKA_GUESS_SOLVER;
	m->kind = g == MOKA_GUESS_TEXT_SOLVER || g == MOKA_GUESS_SOLVER ? MOKA_MODEL_SOLVER : MOKA_MODEL_NET;
	if (!m->binary) {
		const size_t bom = moka__bom_bytes(file->data, file->size);

		m->text.data = (const char *)file->data + (file->data ? bom : 0);
		m->text.size = file->size - bom;
	}
	if (g == MOKA_GUESS_CONFLICT)
		return report_conflict(m, f);
	/* Any other text is read as a net: its typos get their findings. */
	if (!m->binary && g != MOKA_GUESS_TEXT_NET && g != MOKA_GUESS_TEXT_SOLVER && g != MOKA_GUESS_TEXT) {
		m->text.data = NULL;
		m->text.size = 0;
		moka_guess_fail(&e, m->text.path, file, g, wanted_text(expect));
		return report(f, guess_code(g), file_loc(m), &e);
	}
	if (expect >= 0 && (enum moka_model_kind)expect != m->kind) {
		moka_guess_fail(&e, m->text.path, file, g, wanted_text(expect));
		return report(f, "wrong-file", file_loc(m), &e);
	}
	if (!m->binary && file->size > MOKA_MAX_TEXT_BYTES) {
		moka_find(f, MOKA_ERROR, "text-too-large", file_loc(m), "a text of %zu bytes; at most %zu are read",
			  file->size, MOKA_MAX_TEXT_BYTES);
		return MOKA_ERR_LIMIT;
	}
	return MOKA_OK;
}

static enum moka_status read_tree(struct moka_model *m, const struct moka_file *file, const struct moka_schema *s,
				  struct moka_findings *f)
{
	const struct moka_message *root = m->kind == MOKA_MODEL_SOLVER ? &moka_solver_message : &moka_net_message;
	struct moka_error e = { 0 };
	const size_t before = f ? f->errors : 0;
	enum moka_status st;

	if (m->binary) {
		if (!moka_wire_parse(&m->arena, file->data, file->size, &m->text, root, s, &e, &m->root))
			return MOKA_OK;
		return report(f, "damaged-file", file_loc(m), &e);
	}
	st = moka_text_parse(&m->arena, &m->text, root, s, f, &m->root);
	if (st && f && f->errors == before)
		moka_find(f, MOKA_ERROR, "syntax", file_loc(m), "this text can't be read as %s",
			  wanted_text((int)m->kind));
	return st;
}

/* --strict: what a table does not know is an error. Only this text's findings, from index `first` on. */
static void make_strict(const struct moka_model *m, struct moka_findings *f, size_t first)
{
	for (size_t i = first; f && i < f->n; i++) {
		struct moka_finding *x = &f->items[i];

		if (x->severity == MOKA_WARNING && x->loc.text == &m->text && !strcmp(x->code, "unknown-field")) {
			x->severity = MOKA_ERROR;
			f->warnings--;
			f->errors++;
		}
	}
}

static enum moka_status bring_up_to_date(struct moka_model *m, const struct moka_schema *s, struct moka_findings *f)
{
	const size_t before = f ? f->errors : 0;
	enum moka_status st = m->kind == MOKA_MODEL_SOLVER ? moka_upgrade_solver(&m->arena, m->root, s, f)
							   : moka_upgrade_net(&m->arena, m->root, s, f);

	if (st == MOKA_ERR_NOMEM)
		return st;
	if (st && f && f->errors == before)
		moka_find(f, MOKA_ERROR, "upgrade", file_loc(m), "its old syntax can't be brought up to date");
	return MOKA_OK; /* findings say what is wrong; the rest can still be explained */
}

enum moka_status moka__model_settle(struct moka_model *m, const struct moka_schema *s, struct moka_findings *f)
{
	MOKA_TRY(bring_up_to_date(m, s, f));
	return m->kind == MOKA_MODEL_NET ? list_layers(m, f) : MOKA_OK;
}

static enum moka_status load(struct moka_model *m, const struct moka_file *file, const struct moka_schema *s,
			     const struct moka_model_options *o, struct moka_findings *f)
{
	const size_t first = f ? f->n : 0;

	MOKA_TRY(settle_kind(m, file, o->expect, f));
	MOKA_TRY(read_tree(m, file, s, f));
	if (o->strict)
		make_strict(m, f, first);
	if (!o->raw)
		return moka__model_settle(m, s, f);
	return m->kind == MOKA_MODEL_NET ? list_layers(m, f) : MOKA_OK;
}

static struct moka_model *model_new(const char *path)
{
	struct moka_model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	moka_arena_init(&m->arena, 0);
	m->text.path = moka_arena_strdup(&m->arena, path);
	m->name = "";
	if (m->text.path)
		return m;
	moka_model_free(m);
	return NULL;
}

/* Ends an attempt: hands the model out, or keeps its findings readable and drops it. */
static enum moka_status finish(struct moka_model **out, struct moka_model *m, enum moka_status st,
			       struct moka_findings *f)
{
	if (!st) {
		*out = m;
		return MOKA_OK;
	}
	if (st == MOKA_ERR_NOMEM)
		moka_find(f, MOKA_ERROR, "no-memory", file_loc(m), "not enough memory to read it");
	moka__adopt_findings(f, &m->text);
	moka_model_free(m);
	return st;
}

enum moka_status moka_model_parse(struct moka_model **out, const char *path, const void *data, size_t size,
				  const struct moka_schema *s, const struct moka_model_options *o,
				  struct moka_findings *f)
{
	const struct moka_file file = { .data = data, .size = size };
	struct moka_model *m = model_new(path);

	*out = NULL;
	if (!m)
		return MOKA_ERR_NOMEM;
	return finish(out, m, load(m, &file, s, o ? o : &defaults, f), f);
}

enum moka_status moka_model_open(struct moka_model **out, const char *path, const struct moka_schema *s,
				 const struct moka_model_options *o, struct moka_findings *f)
{
	struct moka_model *m = model_new(path);
	struct moka_error e = { 0 };
	enum moka_status st;

	*out = NULL;
	if (!m)
		return MOKA_ERR_NOMEM;
	st = moka_file_open(&m->file, path, &e);
	if (st)
		report(f, moka_path_exists(path) ? "unreadable-file" : "missing-file", file_loc(m), &e);
	else
		st = load(m, &m->file, s, o ? o : &defaults, f);
	return finish(out, m, st, f);
}

void moka_model_free(struct moka_model *m)
{
	struct moka_model *net, *next;

	if (!m)
		return;
	for (net = m->kind == MOKA_MODEL_SOLVER ? m->net : NULL; net; net = next) {
		next = net->next;
		moka_model_free(net);
	}
	moka_file_release(&m->file);
	moka_arena_release(&m->arena);
	free(m);
}
