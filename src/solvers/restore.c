/*
 * restore.c - a .solverstate (or .solverstate.h5) read again, and the weights that it names.
 *
 * The weights are looked for where the state says, then beside the state: folders are moved and renamed.
 */
#include "model/h5.h"
#include "solvers/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum moka_status bad_state(struct moka_findings *f, const struct moka_text *text, const char *code,
				  const char *hint, const char *message)
{
	moka_find(f, MOKA_ERROR, code, (struct moka_loc){ text, 0, 0 }, "%s", message);
	if (hint)
		moka_find_hint(f, "%s", hint);
	return MOKA_ERR_MODEL;
}

/* The weights that the state names: where it says, else beside the state file (a folder that was moved). */
static enum moka_status restore_weights(struct moka_solver *s, const char *named, const struct moka_text *text,
					struct moka_findings *f)
{
	const char *slash = strrchr(named, '/');
	const char *path = moka_path_resolve(&s->arena, named, text->path);
	struct moka_weights *w;
	struct moka_error err;

	if (!*named)
		return MOKA_OK;
	if (slash && !moka_path_exists(path))
		path = moka_path_resolve(&s->arena, slash + 1, text->path);
	if (moka_weights_open(&w, path, moka_registry_schema(s->o.registry), &err)) {
		bad_state(f, text, "snapshot-weights", "put the .caffemodel back, or beside the .solverstate",
			  moka_arena_printf(&s->arena, "the snapshot's weights '%s' can't be read: %s", named,
					    err.message));
		return err.status;
	}
	enum moka_status st = moka_net_load(s->net, w, true, f);

	for (int p = 0; p < s->net->n_params; p++)
		s->net->params[p].from = s->net->params[p].from ? path : NULL; /* w's own name goes with w */
	moka_weights_free(w);
	return st;
}

static enum moka_status check_histories(struct moka_solver *s, int have, const struct moka_text *text,
					struct moka_findings *f)
{
	int want = s->n_slots * s->rule->n_history;

	if (have == want)
		return MOKA_OK;
	return bad_state(f, text, "snapshot-history", "go on with the solver (type and net) that wrote the snapshot",
			 moka_arena_printf(&s->arena, "the snapshot holds %d histories, but %s on this net keeps %d",
					   have, s->rule->name, want));
}

static enum moka_status check_history(struct moka_solver *s, int k, int64_t count, const struct moka_text *text,
				      struct moka_findings *f)
{
	const struct moka_slot *slot = &s->slots[k % s->n_slots];

	if (count == slot->count)
		return MOKA_OK;
	return bad_state(f, text, "snapshot-history", "go on with the net that wrote the snapshot",
			 moka_arena_printf(&s->arena,
					   "history %d holds %" PRId64 " values, parameter '%s' has %" PRId64, k, count,
					   s->net->params[slot->param].name, slot->count));
}

static enum moka_status set_iter(struct moka_solver *s, int64_t iter, const struct moka_text *text,
				 struct moka_findings *f)
{
	if (iter < 0)
		return bad_state(f, text, "snapshot-damaged", NULL, "the snapshot's iteration is negative");
	s->iter = iter;
	return MOKA_OK;
}

/* ---- protocol buffers ---------------------------------------------------------------------------- */

static enum moka_status restore_histories(struct moka_solver *s, const struct moka_msg *state,
					  const struct moka_text *text, struct moka_findings *f)
{
	struct moka_error err;
	int k = 0;

	MOKA_TRY(check_histories(s, moka_count(state, "history"), text, f));
	for (const struct moka_node *n = NULL; (n = moka_next(state, "history", n)); k++) {
		struct moka_blob_view v;

		if (moka_blob_view_from_msg(n->u.m, false, &v, &err))
			return bad_state(f, text, "snapshot-history", NULL, err.message);
		MOKA_TRY(check_history(s, k, v.count, text, f));
		moka_blob_view_read(&v, 0, v.count, s->slots[k % s->n_slots].history[k / s->n_slots]);
	}
	return MOKA_OK;
}

static enum moka_status restore_proto(struct moka_solver *s, const struct moka_file *file, const struct moka_text *text,
				      struct moka_findings *f)
{
	struct moka_error err;
	struct moka_msg *state;

	if (moka_wire_parse(&s->arena, file->data, file->size, text, &moka_solver_state_message,
			    moka_registry_schema(s->o.registry), &err, &state))
		return bad_state(f, text, "snapshot-damaged",
				 "the file is cut short or damaged; take an earlier snapshot", err.message);
	MOKA_TRY(set_iter(s, moka_get_int(state, "iter"), text, f));
	MOKA_TRY(restore_weights(s, moka_get_string(state, "learned_net", ""), text, f));
	return restore_histories(s, state, text, f);
}

/* ---- HDF5 ------------------------------------------------------------------------------------------ */

struct h5_state {
	struct moka_h5 *h;
	int64_t iter;
	const char *learned_net;
	moka_h5_object history;
	int n_histories;
};

static enum moka_status read_h5_state(struct moka_solver *s, struct h5_state *x, struct moka_error *err)
{
	struct moka_h5_member *members;
	moka_h5_object o;

	if (moka_h5_find(x->h, "iter", &o) != MOKA_H5_DATASET ||
	    moka_h5_find(x->h, "history", &x->history) != MOKA_H5_GROUP) {
		moka_fail(err, MOKA_ERR_FORMAT,
			  "this HDF5 file has no '/iter' and '/history': it is no .solverstate.h5");
		if (moka_h5_find(x->h, "data", &o) == MOKA_H5_GROUP)
			moka_fail_hint(err, "start from weights with --weights; --snapshot takes the .solverstate.h5");
		return MOKA_ERR_FORMAT;
	}
	MOKA_TRY(moka_h5_read_number(x->h, o, "iter", &x->iter, err));
	x->learned_net = "";
	if (moka_h5_find(x->h, "learned_net", &o) == MOKA_H5_DATASET)
		MOKA_TRY(moka_h5_read_text(x->h, o, "learned_net", &s->arena, &x->learned_net, err));
	return moka_h5_list(x->h, x->history, &s->arena, &members, &x->n_histories, err);
}

static enum moka_status read_h5_history(struct moka_solver *s, struct h5_state *x, int k, const struct moka_text *text,
					struct moka_findings *f)
{
	struct moka_h5_dataset d = { 0 };
	struct moka_error err;
	moka_h5_object o;
	char name[32];

	snprintf(name, sizeof(name), "history/%d", k);
	if (moka_h5_find(x->h, name, &o) != MOKA_H5_DATASET)
		return bad_state(f, text, "snapshot-history", NULL,
				 moka_arena_printf(&s->arena, "there is no dataset '/%s'", name));
	if (moka_h5_info(x->h, o, name, &d, &err))
		return bad_state(f, text, "snapshot-history", NULL, err.message);
	MOKA_TRY(check_history(s, k, d.count, text, f));
	if (moka_h5_read(x->h, o, name, 0, d.n_axes ? d.dim[0] : 1, s->slots[k % s->n_slots].history[k / s->n_slots],
			 &err))
		return bad_state(f, text, "snapshot-history", NULL, err.message);
	return MOKA_OK;
}

static enum moka_status restore_hdf5(struct moka_solver *s, const struct moka_file *file, const struct moka_text *text,
				     struct moka_findings *f)
{
	struct h5_state x = { 0 };
	struct moka_error err = { 0 };
	enum moka_status st = moka_h5_open(&x.h, text->path, file, &err);

	if (st || (st = read_h5_state(s, &x, &err)))
		st = bad_state(f, text, "snapshot-damaged",
			       err.hint[0] ? err.hint : "the file is cut short or damaged; take an earlier snapshot",
			       err.message);
	if (!st)
		st = set_iter(s, x.iter, text, f);
	if (!st)
		st = restore_weights(s, x.learned_net, text, f);
	if (!st)
		st = check_histories(s, x.n_histories, text, f);
	for (int k = 0; !st && k < x.n_histories; k++)
		st = read_h5_history(s, &x, k, text, f);
	moka_h5_close(x.h);
	return st;
}

/* ---- either ------------------------------------------------------------------------------------------ */

static enum moka_status restore_from(struct moka_solver *s, const struct moka_file *file, const struct moka_text *text,
				     struct moka_findings *f)
{
	enum moka_file_guess guess = moka_model_guess(file);

	if (guess == MOKA_GUESS_HDF5)
		return restore_hdf5(s, file, text, f);
	if (guess == MOKA_GUESS_SOLVERSTATE)
		return restore_proto(s, file, text, f);
	return bad_state(
		f, text, "not-a-solverstate",
		guess == MOKA_GUESS_CAFFEMODEL ? "start from weights with --weights; --snapshot takes the .solverstate"
					       : "--snapshot takes a .solverstate",
		moka_arena_printf(&s->arena, "a .solverstate is expected here, this is %s", moka_guess_text(guess)));
}

enum moka_status moka__solver_restore(struct moka_solver *s, const char *path, struct moka_findings *f)
{
	/* in the findings' arena: findings outlive a solver that can't be made */
	const char *found = moka_path_resolve(&f->arena, path, s->model->text.path);
	struct moka_text *text = MOKA_NEW(&f->arena, struct moka_text);
	struct moka_file file;
	struct moka_error err;

	if (!text || !found)
		return MOKA_ERR_NOMEM;
	text->path = found;
	if (moka_file_open(&file, found, &err)) {
		bad_state(f, text, "no-such-file", err.hint[0] ? err.hint : NULL, err.message);
		return err.status;
	}
	enum moka_status st = restore_from(s, &file, text, f);
	moka_file_release(&file);
	if (!st) {
		s->last_state = strdup(found);
		s->last_state_iter = s->iter;
		moka__keep_resumed(s);
	}
	return st;
}
