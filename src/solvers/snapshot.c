/*
 * snapshot.c - <prefix>_iter_<n>.caffemodel and .solverstate (with snapshot_format HDF5: .caffemodel.h5, .solverstate.h5),
 * each written whole or not at all.
 *
 * The state holds the iteration, the weights file's name, the histories in the order of BVLC Caffe's learnable parameters (all of history
 * 0, then all of history 1), and the schedule's step; BVLC Caffe reads it and the other way round. The weights are
 * written first: a state never names weights that aren't there. In HDF5:
 *
 *     weights   /data/<layer>/<i>, a shared parameter with its owner only; with snapshot_diff /diff/<layer>/<i>, with every use
 *     state     /iter, /learned_net, /current_step, /history/<i>
 */
#include "model/h5.h"
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
const char *moka__snapshot_prefix(struct moka_solver *s)
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
int64_t moka__snapshot_bytes(const struct moka_solver *s)
{
	int64_t n = 0;

	for (int i = 0; i < s->n_slots; i++)
		n += s->slots[i].count;
	return n * 4 * (1 + s->rule->n_history);
}

bool moka__writes_snapshots(const struct moka_solver *s)
{
	return moka_get_int(s->root, "snapshot") > 0 || moka_get_int(s->root, "snapshot_after_train") || s->o.keep_best;
}

void moka__solver_check_snapshots(struct moka_solver *s, struct moka_findings *f)
{
	const char *prefix = s->prefix, *folder = prefix ? folder_of(&s->arena, prefix) : NULL;
	struct moka_loc loc = moka_value_loc(s->root, moka_get(s->root, "snapshot_prefix"));
	struct statvfs fs;
	struct stat st;

	if (!folder || !moka__writes_snapshots(s))
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
	int64_t room = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize, need = moka__snapshot_bytes(s);
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

static enum moka_status write_weights_proto(struct moka_solver *s, const char *path, struct moka_error *err)
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

static enum moka_status write_state_proto(struct moka_solver *s, const char *path, const char *weights,
					  struct moka_error *err)
{
	const struct moka_schema *sch = &moka_layer_schema;
	struct moka_arena a;

	moka_arena_init(&a, 0);
	struct moka_msg *state = moka_msg_new(&a, &moka_solver_state_message);
	bool ok = state && moka_add_int(&a, state, sch, "iter", s->iter) &&
		  moka_add_string(&a, state, sch, "learned_net", weights) &&
		  moka_add_int(&a, state, sch, "current_step", moka_solver_policy_step(s->root, s->iter));
	for (int h = 0; ok && h < s->rule->n_history; h++)
		for (int i = 0; ok && i < s->n_slots; i++)
			ok = add_history(s, &a, state, i, h);
	enum moka_status st =
		ok ? write_tree(state, path, err) : moka_fail(err, MOKA_ERR_NOMEM, "no memory to write '%s'", path);
	moka_arena_release(&a);
	return st;
}

/* ---- HDF5 ------------------------------------------------------------------------------------ */

/* Items to write, in an arena. */
struct items {
	struct moka_arena arena;
	struct moka_h5_item *v;
	size_t n, cap;
	bool failed;
};

static struct moka_h5_item *add_item(struct items *x, enum moka_h5_item_kind kind, const char *path)
{
	if (x->n == x->cap || !path) {
		x->failed = true;
		return NULL;
	}
	x->v[x->n] = (struct moka_h5_item){ .path = path, .kind = kind };
	return &x->v[x->n++];
}

static void add_values(struct items *x, const char *path, const struct moka_shape *shape, const real *v, int64_t count)
{
	struct moka_h5_item *item = add_item(x, MOKA_H5_ITEM_VALUES, path);

	if (!item)
		return;
	item->blob = (struct moka_blob_view){ .n_axes = shape->n,
					      .count = count,
					      .dtype = sizeof(real) == 4 ? MOKA_F32 : MOKA_F64,
					      .data = (const uint8_t *)v,
					      .stride = sizeof(real) };
	memcpy(item->blob.dim, shape->d, sizeof(item->blob.dim));
}

static void begin_items(struct items *x, size_t most)
{
	*x = (struct items){ .cap = most };
	moka_arena_init(&x->arena, 0);
	x->v = MOKA_NEWN(&x->arena, most, struct moka_h5_item);
	x->failed = !x->v;
}

static enum moka_status write_items(struct items *x, const char *path, struct moka_error *err)
{
	enum moka_status st = x->failed ? moka_fail(err, MOKA_ERR_NOMEM, "no memory to write '%s'", path)
					: moka_h5_write(path, x->v, x->n, err);

	moka_arena_release(&x->arena);
	return st;
}

static size_t count_uses(const struct moka_net *n)
{
	size_t uses = 0;

	for (int i = 0; i < n->n_layers; i++)
		uses += (size_t)n->layers[i].l.n_param;
	return uses;
}

/* A parameter that learns nothing has no gradient: zeros, as BVLC Caffe keeps for it. */
static const real *diff_of(struct moka_solver *s, struct items *x, int param, int use)
{
	const real *diff = moka_exec_param_diff(s->exec, param, use);

	return diff ? diff : MOKA_NEWN(&x->arena, MOKA_MAX(s->net->params[param].count, 1), real);
}

static void add_layer(struct moka_solver *s, struct items *x, const struct moka_net_layer *l, bool diffs)
{
	const char *group = diffs ? "diff" : "data";

	add_item(x, MOKA_H5_ITEM_GROUP, moka_arena_printf(&x->arena, "%s/%s", group, l->l.name));
	for (int k = 0; k < l->l.n_param; k++) {
		const struct moka_param *p = &s->net->params[l->params[k]];
		const char *path = moka_arena_printf(&x->arena, "%s/%s/%d", group, l->l.name, k);

		if (diffs)
			add_values(x, path, &l->l.params[k].shape, diff_of(s, x, l->params[k], l->param_uses[k]),
				   p->count);
		else if (l->param_uses[k] == 0)
			add_values(x, path, &l->l.params[k].shape, p->data, p->count);
	}
}

static enum moka_status write_weights_hdf5(struct moka_solver *s, const char *path, struct moka_error *err)
{
	const bool with_diffs = moka_get_int(s->root, "snapshot_diff");
	struct items x;

	begin_items(&x, 2 + 2 * ((size_t)s->net->n_layers + count_uses(s->net)));
	for (int diffs = 0; !x.failed && diffs <= with_diffs; diffs++) {
		add_item(&x, MOKA_H5_ITEM_GROUP, diffs ? "diff" : "data");
		for (int i = 0; i < s->net->n_layers; i++)
			add_layer(s, &x, &s->net->layers[i], diffs);
	}
	return write_items(&x, path, err);
}

static enum moka_status write_state_hdf5(struct moka_solver *s, const char *path, const char *weights,
					 struct moka_error *err)
{
	struct moka_h5_item *item;
	struct items x;

	begin_items(&x, 4 + (size_t)(s->n_slots * s->rule->n_history));
	if ((item = add_item(&x, MOKA_H5_ITEM_NUMBER, "iter")))
		item->number = s->iter;
	if ((item = add_item(&x, MOKA_H5_ITEM_TEXT, "learned_net")))
		item->text = weights;
	if ((item = add_item(&x, MOKA_H5_ITEM_NUMBER, "current_step")))
		item->number = moka_solver_policy_step(s->root, s->iter);
	add_item(&x, MOKA_H5_ITEM_GROUP, "history");
	for (int k = 0; k < s->n_slots * s->rule->n_history; k++) {
		const struct moka_slot *slot = &s->slots[k % s->n_slots];

		add_values(&x, moka_arena_printf(&x.arena, "history/%d", k), &s->net->params[slot->param].shape,
			   slot->history[k / s->n_slots], slot->count);
	}
	return write_items(&x, path, err);
}

/* ---- a snapshot -------------------------------------------------------------------------------- */

enum moka_status moka__write_weights(struct moka_solver *s, const char *path, struct moka_error *err)
{
	return s->hdf5 ? write_weights_hdf5(s, path, err) : write_weights_proto(s, path, err);
}

static enum moka_status write_pair(struct moka_solver *s, const char *weights, const char *state,
				   struct moka_error *err)
{
	struct moka_solver_event e = { .kind = MOKA_EVENT_SNAPSHOT, .file = weights };

	MOKA_TRY(moka__write_weights(s, weights, err));
	moka__solver_event(s, &e);
	MOKA_TRY(s->hdf5 ? write_state_hdf5(s, state, weights, err) : write_state_proto(s, state, weights, err));
	e.file = state;
	moka__solver_event(s, &e);
	return MOKA_OK;
}

enum moka_status moka__solver_snapshot_as(struct moka_solver *s, const char *suffix, struct moka_error *err)
{
	const char *ending = s->hdf5 ? ".h5" : "";
	struct moka_arena a;

	moka_arena_init(&a, 0);
	const char *weights = moka_arena_printf(&a, "%s%s.caffemodel%s", s->prefix, suffix, ending);
	const char *state = moka_arena_printf(&a, "%s%s.solverstate%s", s->prefix, suffix, ending);
	enum moka_status st = weights && state ? write_pair(s, weights, state, err)
					       : moka_fail(err, MOKA_ERR_NOMEM, "no memory for a snapshot's name");

	if (!st) {
		free(s->last_state);
		s->last_state = strdup(state);
		s->last_state_iter = s->iter;
	}
	moka_arena_release(&a);
	return st;
}

enum moka_status moka__solver_snapshot(struct moka_solver *s, struct moka_error *err)
{
	char suffix[64];

	if (s->last_state && s->last_state_iter == s->iter && s->n_kept && s->kept[s->n_kept - 1] == s->iter)
		return MOKA_OK; /* it is there already */
	snprintf(suffix, sizeof(suffix), "_iter_%" PRId64, s->iter);
	enum moka_status st = moka__solver_snapshot_as(s, suffix, err);

	s->snapshot_failed = st != MOKA_OK;
	if (!st)
		moka__keep_snapshot(s);
	return st;
}
