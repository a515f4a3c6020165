/*
 * mean.c - a mean image: one blob in a .binaryproto, or an .npy.
 */
#include "model/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum moka_status to_array(const struct moka_blob_view *v, const char *path, struct moka_array *out,
				 struct moka_error *err)
{
	if (!v->count)
		return moka_fail(err, MOKA_ERR_FORMAT, "%s: this blob holds no values", path);
	out->data = malloc((size_t)v->count * sizeof(real));
	if (!out->data)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for %" PRId64 " values", path, v->count);
	out->count = v->count;
	out->n_axes = v->n_axes < 0 ? 1 : v->n_axes;
	memcpy(out->dim, v->dim, sizeof(out->dim));
	if (v->n_axes < 0)
		out->dim[0] = v->count;
	moka_blob_view_read(v, 0, v->count, out->data);
	return MOKA_OK;
}

static enum moka_status read_blob(struct moka_arena *a, const struct moka_file *f, const char *path,
				  struct moka_array *out, struct moka_error *err)
{
	static const struct moka_schema none = { NULL, 0 };
	const struct moka_text text = { .path = path };
	struct moka_error why = { 0 };
	struct moka_blob_view v;
	struct moka_msg *m = NULL;

	if (moka_wire_parse(a, f->data, f->size, &text, &moka__blob_message, &none, &why, &m) ||
	    moka_blob_view_make(a, m, false, &v, &why)) {
		if (!strncmp(why.message, path, strlen(path)))
			return moka_fail(err, why.status, "%s", why.message);
		return moka_fail(err, why.status, "%s: %s", path, why.message);
	}
	return to_array(&v, path, out, err);
}

enum moka_status moka_mean_read(struct moka_array *out, const char *path, struct moka_error *err)
{
	struct moka_file f = { 0 };
	struct moka_arena a;
	enum moka_file_guess g;
	enum moka_status st;

	memset(out, 0, sizeof(*out));
	MOKA_TRY(moka_file_open(&f, path, err));
	g = moka_model_guess(&f);
	moka_arena_init(&a, 0);
	if (g == MOKA_GUESS_NPY)
		st = moka_npy_read(out, path, err);
	else if (g == MOKA_GUESS_MEAN)
		st = read_blob(&a, &f, path, out, err);
	else
		st = moka_guess_fail(err, path, &f, g, "a mean image (.binaryproto or .npy)");
	if (st)
		moka_array_release(out);
	moka_arena_release(&a);
	moka_file_release(&f);
	return st;
}
