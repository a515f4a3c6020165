/*
 * h5write.c - writes HDF5 files as Caffe's are: groups, datasets of float32, a number, a text.
 *
 * The file is made in memory and written by moka_out. The HDF5 library could write it itself, but after a full disk it crashes the
 * process when that ends, in its own clean-up. Its memory is taken over when it closes the file (the callbacks
 * below), so that there is one copy. It also prints its errors unless told not to: it is told so around every call here.
 */
#include "model/h5.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

static enum moka_status failed(struct moka_error *err, const char *path, const char *what)
{
	return moka_fail(err, MOKA_ERR_NOMEM, "%s: the HDF5 library can't make %s (is there enough memory?)", path,
			 what);
}

/* A dataset without the time of day in it: the same run writes the same bytes. */
static hid_t create_set(hid_t file, hid_t parents, const char *path, hid_t type, hid_t space)
{
	hid_t how = H5Pcreate(H5P_DATASET_CREATE), set = -1;

	if (how >= 0 && H5Pset_obj_track_times(how, false) >= 0)
		set = H5Dcreate2(file, path, type, space, parents, how, H5P_DEFAULT);
	if (how >= 0)
		H5Pclose(how);
	return set;
}

/* ---- items ------------------------------------------------------------------------------------------ */

static bool write_values(hid_t file, hid_t parents, const char *path, const struct moka_blob_view *v, const float *x)
{
	hsize_t dim[MOKA_MAX_AXES];
	hid_t space, set;
	bool ok;

	for (int i = 0; i < v->n_axes; i++)
		dim[i] = (hsize_t)v->dim[i];
	space = v->n_axes ? H5Screate_simple(v->n_axes, dim, NULL) : H5Screate(H5S_SCALAR);
	set = create_set(file, parents, path, H5T_IEEE_F32LE, space);
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

/* A one-element int, and a text of fixed length that ends in a zero: as Caffe's H5LTmake_dataset_int() and _string() leave them. */
static bool write_scalar(hid_t file, hid_t parents, const char *path, hid_t type, hid_t space, const void *value)
{
	hid_t set = create_set(file, parents, path, type, space);
	bool ok = set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0;

	if (set >= 0 && H5Dclose(set) < 0)
		ok = false;
	return ok;
}

static bool write_number(hid_t file, hid_t parents, const char *path, int64_t number)
{
	hsize_t one = 1;
	hid_t space = H5Screate_simple(1, &one, NULL);
	int value = (int)number;
	bool ok = space >= 0 && write_scalar(file, parents, path, H5T_NATIVE_INT, space, &value);

	if (space >= 0)
		H5Sclose(space);
	return ok;
}

static bool write_text(hid_t file, hid_t parents, const char *path, const char *text)
{
	hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
	bool ok = space >= 0 && type >= 0 && H5Tset_size(type, strlen(text) + 1) >= 0 &&
		  write_scalar(file, parents, path, type, space, text);

	if (type >= 0)
		H5Tclose(type);
	if (space >= 0)
		H5Sclose(space);
	return ok;
}

/* Groups within groups where a layer's name has slashes ("inception_3a/1x1"); one that is there already will do. */
static bool make_group(hid_t file, hid_t parents, const char *path)
{
	hid_t g = H5Gcreate2(file, path, parents, H5P_DEFAULT, H5P_DEFAULT);

	if (g < 0)
		g = H5Gopen2(file, path, H5P_DEFAULT);
	return g >= 0 && H5Gclose(g) >= 0;
}

static enum moka_status write_item(hid_t file, hid_t parents, const char *path, const struct moka_h5_item *item,
				   struct moka_error *err)
{
	bool ok = false;
	float *x;

	switch (item->kind) {
	case MOKA_H5_ITEM_GROUP:
		ok = make_group(file, parents, item->path);
		break;
	case MOKA_H5_ITEM_NUMBER:
		ok = write_number(file, parents, item->path, item->number);
		break;
	case MOKA_H5_ITEM_TEXT:
		ok = write_text(file, parents, item->path, item->text);
		break;
	case MOKA_H5_ITEM_VALUES:
		x = read_values(&item->blob);
		if (!x)
			return moka_fail(err, MOKA_ERR_NOMEM, "no memory for '%s'", item->path);
		ok = write_values(file, parents, item->path, &item->blob, x);
		free(x);
		break;
	}
	return ok ? MOKA_OK : failed(err, path, item->path);
}

static enum moka_status write_all(hid_t file, const char *path, const struct moka_h5_item *items, size_t n,
				  struct moka_error *err)
{
	hid_t parents = H5Pcreate(H5P_LINK_CREATE);
	enum moka_status status = MOKA_OK;

	if (parents < 0 || H5Pset_create_intermediate_group(parents, 1) < 0)
		status = failed(err, path, "a group");
	for (size_t i = 0; !status && i < n; i++)
		status = write_item(file, parents, path, &items[i], err);
	if (parents >= 0)
		H5Pclose(parents);
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

/*
 * Where the contents end. The library's memory grows in larger steps; the end is in the file's first block (of version 0, which the
 * library writes unless told otherwise), at byte 40.
 */
static size_t contents_end(const struct image *image, size_t size)
{
	static const uint8_t start[] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 0 };
	const uint8_t *p = image->bytes;
	uint64_t end = 0;

	if (!p || size < 48 || memcmp(p, start, sizeof(start)) || p[13] != 8)
		return size;
	for (int i = 0; i < 8; i++)
		end |= (uint64_t)p[40 + i] << 8 * i;
	return end >= 48 && end < size ? (size_t)end : size;
}

static enum moka_status make_image(struct image *image, size_t *size, const char *path,
				   const struct moka_h5_item *items, size_t n, struct moka_error *err)
{
	hid_t access = memory_access(image), file = access >= 0 ? create_in_memory(path, access) : -1;
	enum moka_status status = file >= 0 ? write_all(file, path, items, n, err) : failed(err, path, "the file");
	hsize_t bytes = 0;

	if (file >= 0) {
		if ((H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || H5Fget_filesize(file, &bytes) < 0) && !status)
			status = failed(err, path, "the file");
		if (H5Fclose(file) < 0 && !status)
			status = failed(err, path, "the file");
	}
	if (access >= 0)
		H5Pclose(access);
	*size = contents_end(image, MOKA_MIN((size_t)bytes, image->held));
	return !status && !image->bytes ? failed(err, path, "the file") : status;
}

enum moka_status moka_h5_write(const char *path, const struct moka_h5_item *items, size_t n, struct moka_error *err)
{
	struct image image = { NULL, 0 };
	enum moka_status status;
	size_t size;

	H5E_BEGIN_TRY
	{
		status = make_image(&image, &size, path, items, n, err);
	}
	H5E_END_TRY
	if (!status)
		status = moka_file_write(path, image.bytes, size, err);
	free(image.bytes);
	return status;
}
