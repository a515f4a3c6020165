/*
 * snapshot.c - <prefix>_iter_<n>.caffemodel and .solverstate: written whole or not at all, and read again.
 *
 * The state holds the iteration, the weights file's name, the histories in the order of BVLC Caffe's learnable parameters (all of history
 * 0, then all of history 1), and the schedule's step; BVLC Caffe reads it and the other way round. The weights are
 * written first: a state never names weights that aren't there.
 */
#include "solvers/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The prefix as BVLC Caffe takes it: of a folder, the solver's own name inside; absent, the solver's path without its ending. */
static const char *snapshot_prefix(struct moka_solver *s)
{
	const char *prefix = moka_get_string(s->root, "snapshot_prefix", "");
	const char *path = s->model->text.path, *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
	int stem = dot ? (int)(dot - base) : (int)strlen(base);
	struct stat st;

	if (!*prefix)
		return moka_arena_printf(&s->arena, "%.*s%.*s", (int)(base - path), path, stem, base);
	if (!stat(prefix, &st) && S_ISDIR(st.st_mode))
		return moka_arena_printf(&s->arena, "%s/%.*s", prefix, stem, base);
	return prefix;
}

static const char *folder_of(struct moka_arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return ".";
	return slash == path ? "/" : moka_arena_strndup(a, path, (size_t)(slash - path));
}

/* Bytes of one snapshot: weights, and a history array or two as large. */
static int64_t snapshot_bytes(const struct moka_solver *s)
{
	int64_t n = 0;

	for (int i = 0; i < s->n_slots; i++)
		n += s->slots[i].count;
	return n * 4 * (1 + s->rule->n_history);
}

static bool writes_snapshots(const struct moka_solver *s)
{
	return moka_get_int(s->root, "snapshot") > 0 || moka_get_int(s->root, "snapshot_after_train");
}

void moka__solver_check_snapshots(struct moka_solver *s, struct moka_findings *f)
{
	const char *prefix = snapshot_prefix(s), *folder = prefix ? folder_of(&s->arena, prefix) : NULL;
	struct moka_loc loc = moka_value_loc(s->root, moka_get(s->root, "snapshot_prefix"));
	struct statvfs fs;
	struct stat st;

	if (!folder || !writes_snapshots(s))
		return;
	if (stat(folder, &st) || !S_ISDIR(st.st_mode)) {
		moka_find(f, MOKA_ERROR, "snapshot-folder", loc,
			  "snapshots would go to '%s_iter_N.caffemodel', but there is no folder '%s'", prefix, folder);
		moka_find_hint(f, "mkdir -p '%s', or change snapshot_prefix", folder);
		return;
	}
	if (access(folder, W_OK)) {
		moka_find(f, MOKA_ERROR, "snapshot-folder", loc,
			  "snapshots would go to the folder '%s', which can't be written: %s", folder, strerror(errno));
		moka_find_hint(f, "change snapshot_prefix, or the folder's permissions");
		return;
	}
	if (statvfs(folder, &fs))
		return;
	int64_t room = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize, need = snapshot_bytes(s);
	if (room < need) {
		moka_find(f, MOKA_ERROR, "snapshot-room", loc,
			  "a snapshot takes %" PRId64 " MB, but '%s' has %" PRId64 " MB free", need >> 20, folder,
			  room >> 20);
		moka_find_hint(f, "free some space, or let snapshot_prefix name another disk");
	}
}

/* ---- writing ------------------------------------------------------------------------------ */

#ifdef MOKA_REAL_DOUBLE
static const float *as_floats(struct moka_arena *a, const real *v, int64_t n)
{
	float *out = MOKA_NEWN(a, n, float);

	for (int64_t i = 0; out && i < n; i++)
		out[i] = (float)v[i];
	return out;
}
#else
static const float *as_floats(struct moka_arena *a, const real *v, int64_t n)
{
	(void)a, (void)n;
	return v;
}
#endif

static enum moka_status write_tree(const struct moka_msg *tree, const char *path, struct moka_error *err)
{
	struct moka_out *out;

	MOKA_TRY(moka_out_open(&out, path, err));
	enum moka_status st = moka_wire_write(tree, out, err);
	if (st) {
		moka_out_abort(out);
		return st;
	}
	return moka_out_commit(out, err);
}

static enum moka_status write_weights(struct moka_solver *s, const char *path, struct moka_error *err)
{
	struct moka_arena a;
	struct moka_msg *tree;

	moka_arena_init(&a, 0);
	const struct moka_exec *diffs = moka_get_int(s->root, "snapshot_diff") ? s->exec : NULL;
	enum moka_status st = moka_net_to_msg(s->net, diffs, &a, &tree);
	if (st)
		moka_fail(err, st, "no memory to write '%s'", path);
	else
		st = write_tree(tree, path, err);
	moka_arena_release(&a);
	return st;
}

static bool add_history(struct moka_solver *s, struct moka_arena *a, struct moka_msg *state, int slot, int which)
{
	const struct moka_slot *sl = &s->slots[slot];
	const struct moka_shape *shape = &s->net->params[sl->param].shape;
	struct moka_msg *blob = moka_add_msg(a, state, &moka_layer_schema, "history");
	const float *v = as_floats(a, sl->history[which], sl->count);

	if (!blob || !v || !moka_add_floats(a, blob, "data", v, (size_t)sl->count))
		return false;
	struct moka_msg *dims = moka_add_msg(a, blob, &moka_layer_schema, "shape");
	if (!dims)
		return false;
	for (int i = 0; i < shape->n; i++)
		if (!moka_add_int(a, dims, &moka_layer_schema, "dim", shape->d[i]))
			return false;
	return true;
}

/* What BVLC Caffe calls current_step: of `step` and `multistep`, how often gamma was applied. */
static int64_t current_step(const struct moka_solver *s)
{
	const char *policy = moka_get_string(s->root, "lr_policy", "");
	int64_t size = moka_get_int(s->root, "stepsize"), values[1024], k = 0;

	if (!strcmp(policy, "step"))
		return size > 0 ? s->iter / size : 0;
	if (strcmp(policy, "multistep"))
		return 0;
	size_t n = moka_get_ints(s->root, "stepvalue", values, MOKA_COUNT(values));
	while (k < (int64_t)MOKA_MIN(n, MOKA_COUNT(values)) && s->iter >= values[k])
		k++;
	return k;
}

static enum moka_status write_state(struct moka_solver *s, const char *path, const char *weights,
				    struct moka_error *err)
{
	const struct moka_schema *sch = &moka_layer_schema;
	struct moka_arena a;

	moka_arena_init(&a, 0);
	struct moka_msg *state = moka_msg_new(&a, &moka_solver_state_message);
	bool ok = state && moka_add_int(&a, state, sch, "iter", s->iter) &&
		  moka_add_string(&a, state, sch, "learned_net", weights) &&
		  moka_add_int(&a, state, sch, "current_step", current_step(s));
	for (int h = 0; ok && h < s->rule->n_history; h++)
		for (int i = 0; ok && i < s->n_slots; i++)
			ok = add_history(s, &a, state, i, h);
	enum moka_status st =
		ok ? write_tree(state, path, err) : moka_fail(err, MOKA_ERR_NOMEM, "no memory to write '%s'", path);
	moka_arena_release(&a);
	return st;
}

enum moka_status moka__solver_snapshot(struct moka_solver *s, struct moka_error *err)
{
	const char *prefix = snapshot_prefix(s);
	const char *weights = moka_arena_printf(&s->arena, "%s_iter_%" PRId64 ".caffemodel", prefix, s->iter);
	const char *state = moka_arena_printf(&s->arena, "%s_iter_%" PRId64 ".solverstate", prefix, s->iter);

	if (!prefix || !weights || !state)
		return moka_fail(err, MOKA_ERR_NOMEM, "no memory for a snapshot's name");
	MOKA_TRY(write_weights(s, weights, err));
	struct moka_solver_event e = { .kind = MOKA_EVENT_SNAPSHOT, .file = weights };
	moka__solver_event(s, &e);
	MOKA_TRY(write_state(s, state, weights, err));
	e.file = state;
	moka__solver_event(s, &e);
	return MOKA_OK;
}

/* ---- reading ------------------------------------------------------------------------------ */

static enum moka_status bad_state(struct moka_findings *f, const struct moka_text *text, const char *code,
				  const char *hint, const char *message)
{
	moka_find(f, MOKA_ERROR, code, (struct moka_loc){ text, 0, 0 }, "%s", message);
	if (hint)
		moka_find_hint(f, "%s", hint);
	return MOKA_ERR_MODEL;
}

/* The weights that the state names: where it says, else beside the state file (a folder that was moved). */
static enum moka_status restore_weights(struct moka_solver *s, const struct moka_msg *state,
					const struct moka_text *text, struct moka_findings *f)
{
	const char *named = moka_get_string(state, "learned_net", "");
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
	moka_weights_free(w);
	return st;
}

static enum moka_status restore_history(struct moka_solver *s, const struct moka_msg *state,
					const struct moka_text *text, struct moka_findings *f)
{
	int have = moka_count(state, "history"), want = s->n_slots * s->rule->n_history, k = 0;
	struct moka_error err;

	if (have != want)
		return bad_state(
			f, text, "snapshot-history", "go on with the solver (type and net) that wrote the snapshot",
			moka_arena_printf(&s->arena, "the snapshot holds %d histories, but %s on this net keeps %d",
					  have, s->rule->name, want));
	for (const struct moka_node *n = NULL; (n = moka_next(state, "history", n)); k++) {
		const struct moka_slot *slot = &s->slots[k % s->n_slots];
		struct moka_blob_view v;

		if (moka_blob_view_from_msg(n->u.m, false, &v, &err))
			return bad_state(f, text, "snapshot-history", NULL, err.message);
		if (v.count != slot->count)
			return bad_state(f, text, "snapshot-history", "go on with the net that wrote the snapshot",
					 moka_arena_printf(&s->arena,
							   "history %d holds %" PRId64
							   " values, parameter '%s' has %" PRId64,
							   k, v.count, s->net->params[slot->param].name, slot->count));
		moka_blob_view_read(&v, 0, v.count, slot->history[k / s->n_slots]);
	}
	return MOKA_OK;
}

static enum moka_status restore_from(struct moka_solver *s, const struct moka_file *file, const struct moka_text *text,
				     struct moka_findings *f)
{
	enum moka_file_guess guess = moka_model_guess(file);
	struct moka_error err;
	struct moka_msg *state;

	if (guess != MOKA_GUESS_SOLVERSTATE)
		return bad_state(f, text, "not-a-solverstate",
				 guess == MOKA_GUESS_CAFFEMODEL
					 ? "start from weights with --weights; --snapshot takes the .solverstate"
					 : "--snapshot takes a .solverstate",
				 moka_arena_printf(&s->arena, "a .solverstate is expected here, this is %s",
						   moka_guess_text(guess)));
	if (moka_wire_parse(&s->arena, file->data, file->size, text, &moka_solver_state_message, &moka_layer_schema,
			    &err, &state))
		return bad_state(f, text, "snapshot-damaged",
				 "the file is cut short or damaged; take an earlier snapshot", err.message);
	s->iter = moka_get_int(state, "iter");
	if (s->iter < 0)
		return bad_state(f, text, "snapshot-damaged", NULL, "the snapshot's iteration is negative");
	MOKA_TRY(restore_weights(s, state, text, f));
	return restore_history(s, state, text, f);
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
	return st;
}
