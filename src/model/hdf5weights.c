/*
 * hdf5weights.c - .caffemodel.h5: the dataset /data/<layer>/<i> is blob i of the layer.
 *
 * A shared blob is stored with its owner only, so a layer may lack some. A layer's name may hold slashes; then
 * it is a path of groups. Floats in one piece, which is how Caffe writes them, stay where they are, as views; others are converted.
 */
#include "model/h5.h"
#include "model/internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define MAX_DEPTH 16

struct reader {
	struct moka_weights *w;
	struct moka_h5 *h;
	int cap;
	struct moka_error *err;
};

static enum moka_status no_memory(const struct reader *r)
{
	return moka_fail(r->err, MOKA_ERR_NOMEM, "%s: not enough memory", r->w->path);
}

/* "0".."99": which blob; -1: not a blob's name. No layer has more than a handful. */
static int blob_index(const char *name)
{
	if (!isdigit((unsigned char)name[0]) || strlen(name) > 2 || (name[1] && !isdigit((unsigned char)name[1])))
		return -1;
	return name[1] ? (name[0] - '0') * 10 + name[1] - '0' : name[0] - '0';
}

static enum moka_status copy_values(struct reader *r, moka_h5_object o, const char *path,
				    const struct moka_h5_dataset *x, struct moka_blob_view *v)
{
	real *values = MOKA_NEWN(&r->w->arena, x->count ? x->count : 1, real);

	if (!values)
		return moka_fail(r->err, MOKA_ERR_NOMEM, "%s: not enough memory for the %" PRId64 " values of '%s'",
				 r->w->path, x->count, path);
	v->dtype = sizeof(real) == 4 ? MOKA_F32 : MOKA_F64;
	v->stride = sizeof(real);
	v->data = (const uint8_t *)values;
	return moka_h5_read(r->h, o, path, 0, x->n_axes ? x->dim[0] : 1, values, r->err);
}

static enum moka_status read_blob(struct reader *r, moka_h5_object o, const char *path, struct moka_blob_view *v)
{
	struct moka_h5_dataset x;

	MOKA_TRY(moka_h5_info(r->h, o, path, &x, r->err));
	v->n_axes = x.n_axes;
	memcpy(v->dim, x.dim, sizeof(v->dim));
	v->count = x.count;
	if (!x.values || x.big_endian || x.number != MOKA_H5_FLOAT)
		return copy_values(r, o, path, &x, v);
	v->dtype = x.width == 8 ? MOKA_F64 : x.width == 4 ? MOKA_F32 : MOKA_F16;
	v->stride = (uint32_t)x.width;
	v->data = x.values;
	return MOKA_OK;
}

static enum moka_status add_layer(struct reader *r, const char *name, struct moka_weights_layer **out)
{
	struct moka_weights *w = r->w;

	if (w->n_layers >= MOKA_MAX_LAYERS)
		return moka_fail(r->err, MOKA_ERR_LIMIT, "%s: more than %d layers", w->path, MOKA_MAX_LAYERS);
	if (!moka__grow(&w->arena, &w->layers, &r->cap, w->n_layers, sizeof(*w->layers)))
		return no_memory(r);
	*out = &w->layers[w->n_layers++];
	**out = (struct moka_weights_layer){ .name = name };
	return MOKA_OK;
}

static enum moka_status read_layer(struct reader *r, const char *layer, const struct moka_h5_member *members, int n)
{
	struct moka_weights_layer *l = NULL;
	int blobs = 0;

	MOKA_TRY(add_layer(r, layer, &l));
	for (int i = 0; i < n; i++)
		blobs = MOKA_MAX(blobs, blob_index(members[i].name) + 1);
	l->n_blobs = blobs;
	l->blobs = blobs ? MOKA_NEWN(&r->w->arena, blobs, struct moka_blob_view) : NULL;
	if (blobs && !l->blobs)
		return no_memory(r);
	for (int i = 0; i < blobs; i++)
		l->blobs[i].n_axes = -1;
	for (int i = 0; i < n; i++) {
		const int at = blob_index(members[i].name);
		const char *path = at < 0 ? NULL : moka_arena_printf(&r->w->arena, "data/%s/%d", layer, at);

		if (at < 0 || moka_h5_kind(r->h, members[i].object) == MOKA_H5_GROUP)
			continue;
		if (!path)
			return no_memory(r);
		MOKA_TRY(read_blob(r, members[i].object, path, &l->blobs[at]));
	}
	return MOKA_OK;
}

/* A group is a layer, unless it holds groups: then those are, with this one's name before theirs. */
static enum moka_status read_group(struct reader *r, moka_h5_object group, const char *layer, int depth)
{
	struct moka_arena *a = &r->w->arena;
	struct moka_h5_member *members;
	int n, groups = 0;

	if (depth > MAX_DEPTH)
		return moka_fail(r->err, MOKA_ERR_LIMIT, "%s: '%.100s' is nested too deeply", r->w->path, layer);
	MOKA_TRY(moka_h5_list(r->h, group, a, &members, &n, r->err));
	for (int i = 0; i < n; i++) {
		const char *name;

		if (moka_h5_kind(r->h, members[i].object) != MOKA_H5_GROUP)
			continue;
		name = moka_arena_printf(a, "%s%s%s", layer, *layer ? "/" : "", members[i].name);
		if (!name)
			return no_memory(r);
		groups++;
		MOKA_TRY(read_group(r, members[i].object, name, depth + 1));
	}
	return *layer && (n > groups || !n) ? read_layer(r, layer, members, n) : MOKA_OK;
}

static enum moka_status not_weights(const struct reader *r)
{
	moka_h5_object o;
	const bool state = moka_h5_find(r->h, "iter", &o) || moka_h5_find(r->h, "learned_net", &o);

	moka_fail(r->err, MOKA_ERR_FORMAT,
		  "%s: this HDF5 file has no group '/data', so it does not hold Caffe's weights", r->w->path);
	moka_fail_hint(r->err, state ? "it is a snapshot's state: its weights are in the .caffemodel.h5 beside it"
				     : "data for an HDF5Data layer is named by the net, not given as weights");
	return MOKA_ERR_FORMAT;
}

enum moka_status moka__weights_read_hdf5(struct moka_weights *w, struct moka_error *err)
{
	struct reader r = { .w = w, .err = err };
	moka_h5_object data;
	enum moka_status st;

	MOKA_TRY(moka_h5_open(&r.h, w->path, &w->file, err));
	st = moka_h5_find(r.h, "data", &data) == MOKA_H5_GROUP ? read_group(&r, data, "", 0) : not_weights(&r);
	moka_h5_close(r.h);
	return st;
}
