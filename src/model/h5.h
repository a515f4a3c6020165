/*
 * h5.h - reads the part of HDF5 that Caffe's files use: groups, and datasets of plain numbers.
 *
 * Written here, because the HDF5 library is not made for damaged files: it leaks, loops and faults on them. This
 * reader maps the file, follows nothing that it has not checked, and counts its steps, so that a file whose parts point
 * at one another ends in an error. For the library alone.
 *
 *   h5.c         the file, object headers, groups
 *   h5_dataset.c shapes, number types, where values lie (in one piece, or in chunks, packed)
 *   h5write.c    a new file, through the HDF5 library
 *
 * Not read, with an error that says so: groups and chunk indexes of HDF5's "latest" format, szip and other filters, values in
 * other files. h5repack turns them into what is read.
 */
#ifndef MOKA_MODEL_H5_H
#define MOKA_MODEL_H5_H

#include "model/model.h"

struct moka_h5;

/* An object (group or dataset) is where its header lies in the file. */
typedef uint64_t moka_h5_object;

struct moka_h5_member {
	const char *name;
	moka_h5_object object;
};

enum moka_h5_kind { MOKA_H5_ABSENT, MOKA_H5_GROUP, MOKA_H5_DATASET, MOKA_H5_OTHER };

/* A dataset's numbers as stored. */
struct moka_h5_dataset {
	int n_axes;
	int64_t dim[MOKA_MAX_AXES];
	int64_t count;
	enum { MOKA_H5_INT, MOKA_H5_UINT, MOKA_H5_FLOAT } number;
	int width; /* bytes of a value: 1, 2, 4, 8 */
	bool big_endian;
	const uint8_t *values; /* all of them in one piece within the mapped file; NULL: in chunks */
};

/* file is borrowed, must outlive h, and is mapped (or read) already. `path` is for messages. */
enum moka_status moka_h5_open(struct moka_h5 **out, const char *path, const struct moka_file *file,
			      struct moka_error *err);
void moka_h5_close(struct moka_h5 *h);

moka_h5_object moka_h5_root(const struct moka_h5 *h);
enum moka_h5_kind moka_h5_kind(struct moka_h5 *h, moka_h5_object o);
/* Members of a group, sorted by name as the file has them; hard links only. In the arena. */
enum moka_status moka_h5_list(struct moka_h5 *h, moka_h5_object group, struct moka_arena *a,
			      struct moka_h5_member **members, int *n, struct moka_error *err);
/* "data/conv1/0" from the root; MOKA_H5_ABSENT where it is not there (or the file is damaged on the way). */
enum moka_h5_kind moka_h5_find(struct moka_h5 *h, const char *path, moka_h5_object *out);

/* `name` is for messages. Checks that the file can hold what the shape asks for. */
enum moka_status moka_h5_info(struct moka_h5 *h, moka_h5_object dataset, const char *name, struct moka_h5_dataset *out,
			      struct moka_error *err);
/* Rows [begin, begin + n) of the first axis (a scalar: row 0 of 1), converted. */
enum moka_status moka_h5_read(struct moka_h5 *h, moka_h5_object dataset, const char *name, int64_t begin, int64_t n,
			      real *out, struct moka_error *err);
/* A single whole number ("iter"), exactly; a text of fixed length ("learned_net"), in the arena. */
enum moka_status moka_h5_read_number(struct moka_h5 *h, moka_h5_object dataset, const char *name, int64_t *out,
				     struct moka_error *err);
enum moka_status moka_h5_read_text(struct moka_h5 *h, moka_h5_object dataset, const char *name, struct moka_arena *a,
				   const char **out, struct moka_error *err);

/* ---- writing -------------------------------------------------------------------------------------- */

enum moka_h5_item_kind { MOKA_H5_ITEM_GROUP, MOKA_H5_ITEM_VALUES, MOKA_H5_ITEM_NUMBER, MOKA_H5_ITEM_TEXT };
struct moka_h5_item {
	const char *path; /* "data/conv1/0": groups on the way are made */
	enum moka_h5_item_kind kind;
	struct moka_blob_view blob; /* VALUES: n_axes >= 0; its dimensions multiply to count. Written as float32 */
	int64_t number;		    /* an int32, as Caffe's */
	const char *text;
};
/* Writes beside PATH and renames: a failure leaves what was there. Paths of two items must differ, but for groups. */
enum moka_status moka_h5_write(const char *path, const struct moka_h5_item *items, size_t n, struct moka_error *err);

#endif
