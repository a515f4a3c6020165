/*
 * hdf5.c - weights -> Caffe's HDF5 form: a group "data", in it a group for each layer, in it float32 datasets "0", "1", ...
 *
 * The file is made in memory and written by moka_out. The HDF5 library could write it itself, but after a full disk it crashes the
 * process when that ends, in its own clean-up. Its memory is taken over when it closes the file (the callbacks
 * below), so that there is one copy. It also prints its errors unless told not to: it is told so around every call here.
 */
#include "export/export.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

static enum moka_status failed(struct moka_error *err, const char *path, const char *what)
{
	return moka_fail(err, MOKA_ERR_NOMEM, "%s: the HDF5 library can't make %s (is there enough memory?)", path,
			 what);
}

/* Groups within groups where a layer's name has slashes ("inception_3a/1x1"). */
static hid_t make_group(hid_t data, hid_t with_parents, const char *layer)
{
	hid_t g;

	if (H5Lexists(data, layer, H5P_DEFAULT) > 0)
		return H5Gopen2(data, layer, H5P_DEFAULT);
	g = H5Gcreate2(data, layer, with_parents, H5P_DEFAULT, H5P_DEFAULT);
	return g >= 0 ? g : H5Gopen2(data, layer, H5P_DEFAULT);
}

static bool write_values(hid_t group, const char *name, const struct moka_blob_view *v, const float *x)
{
	hsize_t dim[MOKA_MAX_AXES];
	hid_t space, set;
	bool ok;

	for (int i = 0; i < v->n_axes; i++)
		dim[i] = (hsize_t)v->dim[i];
	space = v->n_axes ? H5Screate_simple(v->n_axes, dim, NULL) : H5Screate(H5S_SCALAR);
	set = H5Dcreate2(group, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	ok = set >= 0 && (!v->count || H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0);
	if (set >= 0 && H5Dclose(set) < 0)
		ok = false;
	if (space >= 0)
		H5Sclose(space);
	return ok;
}

/* The values as one float array; caller frees. */
static float *read_values(const struct moka_blob_view *v)
{
	float *out = malloc(sizeof(*out) * (size_t)MOKA_MAX(v->count, 1));
	real x[4096];

	for (int64_t at = 0; out && at < v->count; at += (int64_t)MOKA_COUNT(x)) {
		int64_t n = MOKA_MIN((int64_t)MOKA_COUNT(x), v->count - at);
		moka_blob_view_read(v, at, n, x);
		for (int64_t i = 0; i < n; i++)
			out[at + i] = (float)x[i];
	}
	return out;
}

static enum moka_status write_array(hid_t data, hid_t with_parents, const char *path, const struct moka_export_array *a,
				    struct moka_error *err)
{
	hid_t group = make_group(data, with_parents, a->layer);
	enum moka_status status = MOKA_OK;
	char name[16];
	float *x;

	if (group < 0)
		return failed(err, path, a->layer);
	if (a->index >= 0) {
		snprintf(name, sizeof(name), "%d", a->index);
		x = read_values(&a->blob);
		if (!x)
			status = moka_fail(err, MOKA_ERR_NOMEM, "no memory for parameter %d of layer '%s'", a->index,
					   a->layer);
		else if (!write_values(group, name, &a->blob, x))
			status = failed(err, path, a->layer);
		free(x);
	}
	H5Gclose(group);
	return status;
}

static enum moka_status write_all(hid_t file, const char *path, const struct moka_export_array *a, size_t n,
				  struct moka_error *err)
{
	hid_t data = H5Gcreate2(file, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	hid_t with_parents = H5Pcreate(H5P_LINK_CREATE);
	enum moka_status status = MOKA_OK;

	if (data < 0 || with_parents < 0 || H5Pset_create_intermediate_group(with_parents, 1) < 0)
		status = failed(err, path, "a group");
	for (size_t i = 0; !status && i < n; i++)
		status = write_array(data, with_parents, path, &a[i], err);
	if (with_parents >= 0)
		H5Pclose(with_parents);
	if (data >= 0)
		H5Gclose(data);
	return status;
}

/* ---- the file in memory ---------------------------------------------------------------------------- */

struct image {
	void *bytes; /* owned, once the library has closed the file */
	size_t held; /* what was asked for last: no more is read of it */
};

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *image)
{
	(void)op;
	((struct image *)image)->held = size;
	return malloc(size);
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *image)
{
	(void)op, (void)image;
	return memcpy(to, from, size);
}

static void *image_realloc(void *p, size_t size, H5FD_file_image_op_t op, void *image)
{
	(void)op;
	((struct image *)image)->held = size;
	return realloc(p, size);
}

static herr_t image_free(void *p, H5FD_file_image_op_t op, void *image)
{
	struct image *i = image;

	if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE) {
		free(i->bytes);
		i->bytes = p;
	} else {
		free(p);
	}
	return 0;
}

static void *image_share(void *image)
{
	return image;
}

static herr_t image_leave(void *image)
{
	(void)image;
	return 0;
}

/* A property list for a file in memory that ends in `image`; the caller closes it. */
static hid_t memory_access(struct image *image)
{
	H5FD_file_image_callbacks_t callbacks = { image_malloc, image_memcpy, image_realloc, image_free,
						  image_share,	image_leave,  image };
	hid_t access = H5Pcreate(H5P_FILE_ACCESS);

	if (access >= 0 && (H5Pset_fapl_core(access, (size_t)1 << 16, false) < 0 ||
			    H5Pset_file_image_callbacks(access, &callbacks) < 0)) {
		H5Pclose(access);
		return -1;
	}
	return access;
}

/*
 * The library looks for a file of the name that it is to create, and would read one into memory first: it gets a name within the
 * file to be written, which can't exist.
 */
static hid_t create_in_memory(const char *path, hid_t access)
{
	struct moka_buf name;
	hid_t file = -1;

	moka_buf_init(&name, 0);
	moka_buf_printf(&name, "%s/in memory", path);
	if (!name.failed)
		file = H5Fcreate(name.data, H5F_ACC_TRUNC, H5P_DEFAULT, access);
	moka_buf_release(&name);
	return file;
}

static enum moka_status make_image(struct image *image, size_t *size, const char *path,
				   const struct moka_export_array *a, size_t n, struct moka_error *err)
{
	hid_t access = memory_access(image), file = access >= 0 ? create_in_memory(path, access) : -1;
	enum moka_status status = file >= 0 ? write_all(file, path, a, n, err) : failed(err, path, "the file");
	hsize_t bytes = 0;

	if (file >= 0) {
		if ((H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || H5Fget_filesize(file, &bytes) < 0) && !status)
			status = failed(err, path, "the file");
		if (H5Fclose(file) < 0 && !status)
			status = failed(err, path, "the file");
	}
	if (access >= 0)
		H5Pclose(access);
	*size = MOKA_MIN((size_t)bytes, image->held);
	return !status && !image->bytes ? failed(err, path, "the file") : status;
}

enum moka_status moka_export_hdf5(const char *path, const struct moka_export_array *a, size_t n, struct moka_error *err)
{
	struct image image = { NULL, 0 };
	enum moka_status status;
	size_t size;

	H5E_BEGIN_TRY
	{
		status = make_image(&image, &size, path, a, n, err);
	}
	H5E_END_TRY
	if (!status)
		status = moka_file_write(path, image.bytes, size, err);
	free(image.bytes);
	return status;
}
