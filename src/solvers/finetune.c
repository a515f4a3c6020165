/*
 * finetune.c - weights to start from (--weights, or the solver's own `weights`), and a report of what came of it: what was taken,
 * what stays at its filler, what the net has no use for, what did not fit.
 *
 * A layer that does not fit is trained anew, with a warning; BVLC Caffe stops there, and so does Moka with `strict`.
 */
#include "solvers/internal.h"

#include <string.h>

#define MOST_NAMES 12

/* Where the findings about a file are put: findings outlive the solver. */
static struct moka_text *text_of(struct moka_findings *f, const char *path)
{
	struct moka_text *text = MOKA_NEW(&f->arena, struct moka_text);

	if (text)
		text->path = path;
	return text;
}

/* ---- the report ---------------------------------------------------------------------------------- */

static bool takes_from(const struct moka_net *n, const struct moka_net_layer *l, const char *path)
{
	for (int k = 0; k < l->l.n_param; k++)
		if (n->params[l->params[k]].from == path)
			return true;
	return false;
}

static void report_taken(struct moka_solver *s, const char *path, struct moka_text *text, struct moka_findings *f)
{
	struct moka_buf names;
	int taken = 0, with = 0;

	moka_buf_init(&names, 1 << 16);
	for (int i = 0; i < s->net->n_layers; i++) {
		const struct moka_net_layer *l = &s->net->layers[i];

		with += l->l.n_param > 0;
		if (!takes_from(s->net, l, path))
			continue;
		if (taken++ < MOST_NAMES)
			moka_buf_printf(&names, "%s%.100s", taken > 1 ? ", " : "", l->l.name);
	}
	if (taken > MOST_NAMES)
		moka_buf_printf(&names, " and %d more", taken - MOST_NAMES);
	if (taken)
		moka_find(f, MOKA_NOTE, "weights-taken", (struct moka_loc){ text, 0, 0 },
			  "%d of %d layers with parameters start from these weights: %s", taken, with, names.data);
	else
		moka_find(f, MOKA_WARNING, "weights-not-taken", (struct moka_loc){ text, 0, 0 },
			  "no layer of the net takes anything from this file: weights are found by the layer's name");
	moka_buf_release(&names);
}

/* The weights are about to be closed, and their path with them. */
static void keep_names(struct moka_solver *s, const char *path, const char *kept)
{
	for (int p = 0; p < s->net->n_params; p++)
		if (s->net->params[p].from == path)
			s->net->params[p].from = kept;
}

/* What does not fit is an error of the net's, and a warning here. */
static void soften(struct moka_findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct moka_finding *x = &f->items[i];

		if (x->severity != MOKA_ERROR || strcmp(x->code, "weights-mismatch"))
			continue;
		x->severity = MOKA_WARNING;
		x->hint = "what does not fit stays at its filler and is trained anew; --strict makes this an error";
		f->errors--;
		f->warnings++;
	}
}

/* ---- loading ------------------------------------------------------------------------------------- */

static enum moka_status load(struct moka_solver *s, const char *path, struct moka_findings *f)
{
	struct moka_text *text = text_of(f, path);
	const size_t errors = f->errors;
	struct moka_weights *w;
	struct moka_error err;

	if (!text)
		return MOKA_ERR_NOMEM;
	if (moka_weights_open(&w, path, moka_registry_schema(s->o.registry), &err)) {
		moka_find(f, MOKA_ERROR, "weights", (struct moka_loc){ text, 0, 0 }, "%s", err.message);
		if (err.hint[0])
			moka_find_hint(f, "%s", err.hint);
		return err.status;
	}
	enum moka_status st = moka_net_load(s->net, w, s->o.strict, f);

	if (!s->o.strict) {
		soften(f);
		if (st == MOKA_ERR_MODEL && f->errors <= errors)
			st = MOKA_OK;
	}
	report_taken(s, w->path, text, f);
	keep_names(s, w->path, path);
	moka_weights_free(w);
	return st;
}

/* "a.caffemodel, b.caffemodel" */
static enum moka_status load_list(struct moka_solver *s, const char *list, struct moka_findings *f)
{
	while (*list) {
		size_t n = strcspn(list, ","), from = strspn(list, " \t"), to = n;

		while (to > from && strchr(" \t", list[to - 1]))
			to--;
		if (from < to) {
			const char *path = moka_arena_strndup(&f->arena, list + from, to - from);

			path = path ? moka_path_resolve(&f->arena, path, s->model->text.path) : NULL;
			if (!path)
				return MOKA_ERR_NOMEM;
			MOKA_TRY(load(s, path, f));
		}
		list += n + (list[n] == ',');
	}
	return MOKA_OK;
}

enum moka_status moka__solver_weights(struct moka_solver *s, struct moka_findings *f)
{
	if (s->o.snapshot)
		return MOKA_OK; /* it names its own */
	for (int i = 0; i < s->o.n_weights; i++)
		MOKA_TRY(load_list(s, s->o.weights[i], f));
	if (s->o.n_weights)
		return MOKA_OK;
	for (const struct moka_node *n = NULL; (n = moka_next(s->root, "weights", n));) {
		const char *list = moka_arena_strndup(&s->arena, n->u.s.p, n->u.s.n);

		if (!list)
			return MOKA_ERR_NOMEM;
		MOKA_TRY(load_list(s, list, f));
	}
	return MOKA_OK;
}
