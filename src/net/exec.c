/*
 * exec.c - an execution of a net: checked, its tables and memory (memory.c) made once, so that passes (run.c) allocate nothing.
 */
#include "net/fused.h"

#include <stdlib.h>
#include <string.h>

/* ---- views ---------------------------------------------------------------------------------------------------- */

static int block_of(const struct moka_exec *e, int blob)
{
	return e->blob_block ? e->blob_block[blob] : 1;
}

static void view_bottoms(struct moka_exec *e, int layer, int *part)
{
	struct moka_net_layer *nl = &e->n->layers[layer];

	for (int i = 0; i < nl->l.n_bottom; i++) {
		int blob = nl->bottoms[i];
		struct moka_view *v = &e->steps[layer].bottom[i];

		*v = (struct moka_view){ &nl->l.bottom[i].shape, moka__blob_count(e->n, blob), moka__data_of(e, blob),
					 NULL, block_of(e, blob) };
		if (!e->o.backward || !nl->bottom_gradient[i])
			continue;
		v->diff = e->diff[blob];
		if (!moka__writes_in_place(nl, i) && e->sum_of[blob] >= 0)
			v->diff = e->sums[e->sum_of[blob]].parts[part[blob]++];
	}
}

/* A top's diff is there where a gradient arrives: from a layer that reads it, a loss weight, or outside. */
static void view_tops(struct moka_exec *e, int layer)
{
	struct moka_net_layer *nl = &e->n->layers[layer];

	for (int i = 0; i < nl->l.n_top; i++) {
		int blob = nl->tops[i];

		e->steps[layer].top[i] = (struct moka_view){ &nl->l.top[i].shape, moka__blob_count(e->n, blob),
							     moka__data_of(e, blob), e->diff[blob], block_of(e, blob) };
	}
}

/* A convolution before a NORM in place writes where the NORM keeps its input. */
static void divert(struct moka_exec *e)
{
	for (int i = 0; i < e->n_joins; i++) {
		const struct moka__join *j = &e->joins[i];
		const struct moka_blob *b = &e->n->blobs[j->blob];

		if (j->own_x && !j->copies_x)
			e->steps[b->producer].top[b->producer_top].data = j->x;
	}
}

static void view_params(struct moka_exec *e, int layer)
{
	struct moka_net_layer *nl = &e->n->layers[layer];

	for (int i = 0; i < nl->l.n_param; i++) {
		const struct moka_param *p = &e->n->params[nl->params[i]];
		real *diff =
			e->o.backward && nl->param_gradient[i] ? e->param_diff[nl->params[i]][nl->param_uses[i]] : NULL;

		e->steps[layer].param[i] = (struct moka_view){ &nl->l.params[i].shape, p->count, p->data, diff, 1 };
	}
}

static enum moka_status make_views(struct moka_exec *e, struct moka_error *err)
{
	int *part = MOKA_NEWN(&e->arena, e->n->n_blobs + 1, int);

	if (!part)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for an execution");
	for (int i = 0; i < e->n->n_layers; i++) {
		view_bottoms(e, i, part);
		view_tops(e, i);
		view_params(e, i);
		moka_rng_seed(&e->steps[i].rng, e->o.seed, (uint64_t)i);
		e->steps[i].items = -1;
	}
	divert(e);
	return MOKA_OK;
}

/* ---- making and freeing ------------------------------------------------------------------------------------------ */

enum moka_status moka__layer_fail(struct moka_error *err, enum moka_status st, const struct moka_net_layer *nl,
				  const char *what)
{
	char title[MOKA__TITLE], line[32];

	return moka_fail(err, st, "%s%s: %s", moka__title(nl->l.name, nl->type_name, title),
			 moka__at_line(nl->loc, line, sizeof(line)), what);
}

static enum moka_status check_layer(const struct moka_net *n, const struct moka_net_layer *nl, struct moka_error *err)
{
	char what[MOKA_SHAPE_TEXT + 256], text[MOKA_SHAPE_TEXT];

	if (nl->is_input)
		return MOKA_OK;
	if (!nl->l.type)
		return moka__layer_fail(err, MOKA_ERR_UNSUPPORTED, nl,
					"Moka knows no layer of this type, so the net can't be run");
	if (!nl->l.type->forward)
		return moka__layer_fail(err, MOKA_ERR_UNSUPPORTED, nl,
					"Moka reads and draws this type, but can't run it yet");
	if (!nl->asked && nl->shaped)
		return moka__layer_fail(err, MOKA_ERR_MODEL, nl, "its settings are wrong, so the net can't be run");
	for (int i = 0; i < nl->l.n_top; i++)
		if (!moka_shape_known(&nl->l.top[i].shape)) {
			snprintf(what, sizeof(what), "the shape of its top '%.100s' isn't known: %s", nl->l.top[i].name,
				 moka_shape_text(&nl->l.top[i].shape, text, sizeof(text)));
			return moka__layer_fail(err, MOKA_ERR_MODEL, nl, what);
		}
	for (int i = 0; i < nl->l.n_param; i++)
		if (!n->params[nl->params[i]].data)
			return moka__layer_fail(err, MOKA_ERR_ARG, nl, "its parameters have no memory yet");
	return MOKA_OK;
}

static enum moka_status check_net(const struct moka_net *n, struct moka_error *err)
{
	char text[MOKA_SHAPE_TEXT];

	for (int i = 0; i < n->n_blobs; i++) {
		const struct moka_blob *x = &n->blobs[i];

		if (!x->is_input || moka_shape_known(&x->shape))
			continue;
		moka_fail(err, MOKA_ERR_MODEL, "the shape of input '%.200s' isn't known: %s", x->name,
			  moka_shape_text(&x->shape, text, sizeof(text)));
		moka_fail_hint(err, "give it from outside (--input %.200s=1x3x224x224)", x->name);
		return MOKA_ERR_MODEL;
	}
	for (int i = 0; i < n->n_layers; i++)
		MOKA_TRY(check_layer(n, &n->layers[i], err));
	for (int i = 0; i < n->n_blobs; i++)
		if (!moka_shape_known(&n->blobs[i].shape))
			return moka_fail(err, MOKA_ERR_MODEL, "the shape of blob '%.200s' isn't known",
					 n->blobs[i].name);
	return MOKA_OK;
}

static bool make_tables(struct moka_exec *e)
{
	const struct moka_net *n = e->n;
	struct moka_arena *a = &e->arena;
	bool ok = true;

	e->steps = MOKA_NEWN(a, n->n_layers + 1, struct moka__step);
	e->diff = MOKA_NEWN(a, n->n_blobs + 1, real *);
	e->sums = MOKA_NEWN(a, n->n_blobs + 1, struct moka__sum);
	e->sum_of = MOKA_NEWN(a, n->n_blobs + 1, int);
	e->param_diff = MOKA_NEWN(a, n->n_params + 1, real **);
	if (!e->steps || !e->diff || !e->sums || !e->sum_of || !e->param_diff)
		return false;
	for (int i = 0; i < n->n_params; i++)
		ok &= (e->param_diff[i] = MOKA_NEWN(a, n->params[i].n_uses + 1, real *)) != NULL;
	for (int i = 0; i < n->n_layers; i++) {
		const struct moka_layer *l = &n->layers[i].l;

		ok &= (e->steps[i].bottom = MOKA_NEWN(a, l->n_bottom + 1, struct moka_view)) != NULL;
		ok &= (e->steps[i].top = MOKA_NEWN(a, l->n_top + 1, struct moka_view)) != NULL;
		ok &= (e->steps[i].param = MOKA_NEWN(a, l->n_param + 1, struct moka_view)) != NULL;
		e->steps[i].state_bytes = l->state_bytes;
		e->fit_scratch = MOKA_MAX(e->fit_scratch, l->scratch_bytes);
	}
	for (int i = 0; ok && i < n->n_blobs; i++)
		ok = moka__sum_plan(e, i);
	return ok;
}

/* Where the outside finds blobs: inputs and outputs, plain. */
static bool take_plan(struct moka_exec *e, const struct moka_plan *p)
{
	const struct moka_net *n = e->n;

	e->fused = p;
	e->plan = (struct moka__plan){ .offset = MOKA_NEWN(&e->arena, n->n_blobs + 1, size_t),
				       .kept = MOKA_NEWN(&e->arena, n->n_blobs + 1, bool),
				       .bytes = p->bytes };
	if (!e->plan.offset || !e->plan.kept)
		return false;
	for (int i = 0; i < n->n_blobs; i++) {
		e->plan.kept[i] = p->kept[i] >= 0;
		e->plan.offset[i] = p->kept[i] >= 0 ? p->values[p->kept[i]].offset : 0;
	}
	return true;
}

static bool plans_are_off(void)
{
	const char *word = getenv("MOKA_PLAN");

	return word && !strcmp(word, "off");
}

static bool wants_plan(const struct moka_exec_options *o)
{
	return o->keep == MOKA_KEEP_OUTPUTS && !o->backward && !o->by_layer && !plans_are_off();
}

static bool wants_arranged(const struct moka_exec_options *o)
{
	return o->backward && o->arrange && !plans_are_off();
}

static enum moka_status plan_memory(struct moka_exec *e, struct moka_error *err)
{
	struct moka_plan *p = NULL;

	if (wants_plan(&e->o))
		MOKA_TRY(moka__plan_get(e->n, e->o.pool, &p, err));
	if (!p)
		MOKA_TRY(moka_net_plain(e->n, err));
	if (!p)
		return moka__plan_blobs(&e->plan, e->n, e->o.keep, &e->arena);
	return take_plan(e, p) ? MOKA_OK : MOKA_ERR_NOMEM;
}

static enum moka_status make_exec(struct moka_exec *e, struct moka_error *err)
{
	struct moka_error own = { 0 };
	enum moka_status st;

	MOKA_TRY(check_net(e->n, err));
	MOKA_TRY(moka__net_fill(e->n, err));
	if (!make_tables(e))
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for an execution");
	st = plan_memory(e, &own);
	if (st && !own.message[0])
		moka_fail(&own, st, "no memory for an execution");
	if (st && err)
		*err = own;
	MOKA_TRY(st);
	if (wants_arranged(&e->o) && moka__arrange(e))
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for an execution");
	MOKA_TRY(moka__memory_make(e, err));
	MOKA_TRY(make_views(e, err));
	if (e->o.backward && e->o.late && !moka__late_find(e))
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for an execution");
	if (e->fused && !moka__steps_bind(e))
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for an execution");
	return MOKA_OK;
}

enum moka_status moka_exec_new(struct moka_exec **out, struct moka_net *n, const struct moka_exec_options *o,
			       struct moka_error *err)
{
	struct moka_exec *e;
	enum moka_status st;

	*out = NULL;
	if (o->backward && o->keep != MOKA_KEEP_ALL)
		return moka_fail(err, MOKA_ERR_ARG, "a backward pass needs every blob kept");
	e = calloc(1, sizeof(*e));
	if (!e)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for an execution");
	e->n = n;
	e->o = *o;
	moka_arena_init(&e->arena, 0);
	st = make_exec(e, err);
	if (st)
		moka_exec_free(e);
	else
		*out = e;
	return st;
}

void moka_exec_free(struct moka_exec *e)
{
	if (!e)
		return;
	for (int i = 0; e->steps && i < e->n->n_layers; i++)
		if (e->steps[i].made)
			e->n->layers[i].l.type->unfit(e->steps[i].made);
	for (int i = 0; e->seen && i < 2 * e->n->n_blobs; i++)
		free(e->seen[i]);
	moka__memory_free(e);
	moka_arena_release(&e->arena);
	free(e);
}

/* ---- what callers see --------------------------------------------------------------------------------------------- */

void moka_exec_reseed(struct moka_exec *e, uint64_t pass)
{
	struct moka_rng own;
	uint64_t seed;

	moka_rng_seed(&own, e->o.seed, pass);
	seed = moka_rng_next(&own);
	for (int i = 0; i < e->n->n_layers; i++)
		moka_rng_seed(&e->steps[i].rng, seed, (uint64_t)i);
}

static bool has_blob(const struct moka_exec *e, int blob)
{
	return blob >= 0 && blob < e->n->n_blobs;
}

real *moka_exec_data(struct moka_exec *e, int blob)
{
	if (!has_blob(e, blob) || !e->plan.kept[blob])
		return NULL;
	return block_of(e, blob) > 1 ? moka__plain_copy(e, blob, 0, moka__data_of(e, blob)) : moka__data_of(e, blob);
}

real *moka_exec_diff(struct moka_exec *e, int blob)
{
	if (!has_blob(e, blob) || !e->diff[blob])
		return NULL;
	return block_of(e, blob) > 1 ? moka__plain_copy(e, blob, 1, e->diff[blob]) : e->diff[blob];
}

real *moka_exec_param_diff(struct moka_exec *e, int param, int use)
{
	if (param < 0 || param >= e->n->n_params || use < 0 || use >= e->n->params[param].n_uses)
		return NULL;
	if (e->late)
		moka__late_make(e, param);
	return e->param_diff[param][use];
}

void moka_exec_clear_param_diffs(struct moka_exec *e)
{
	for (int i = 0; i < e->n->n_params; i++) {
		const struct moka_param *p = &e->n->params[i];

		if (e->late && e->late[i].state != MOKA__LATE_NOT) {
			e->late[i].state = MOKA__LATE_CLEAR;
			continue;
		}
		for (int u = 0; u < p->n_uses; u++)
			if (e->param_diff[i][u] && (!u || p->per_use_update))
				moka_set(p->count, 0, e->param_diff[i][u]);
	}
}

enum moka_status moka_exec_set_diff(struct moka_exec *e, int blob, const real *diff, struct moka_error *err)
{
	struct moka__sum *s = has_blob(e, blob) && e->sum_of[blob] >= 0 ? &e->sums[e->sum_of[blob]] : NULL;

	if (!has_blob(e, blob))
		return moka_fail(err, MOKA_ERR_ARG, "no blob %d", blob);
	if (!s || !s->external)
		return moka_fail(err, MOKA_ERR_ARG, "blob '%.200s' takes no gradient from outside%s",
				 e->n->blobs[blob].name,
				 e->n->blobs[blob].gradient_source ? ": nothing below it learns" : "");
	if (diff)
		memcpy(s->external, diff, (size_t)s->count * sizeof(real));
	else
		moka_set(s->count, 0, s->external);
	return MOKA_OK;
}

int64_t moka_exec_bytes(const struct moka_exec *e)
{
	return (int64_t)e->block_bytes;
}

int64_t moka_exec_items(const struct moka_exec *e, int blob)
{
	int layer = has_blob(e, blob) ? e->n->blobs[blob].producer : -1;

	return layer >= 0 ? e->steps[layer].items : -1;
}
