/*
 * data_hdf5.c - moka data hdf5: arrays of numpy's kind into a file that the HDF5Data layer reads, and its list. What people wrote ten
 * lines of h5py for.
 */
#include "cli/data.h"
#include "model/h5.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARRAYS = 64 };

struct arrays {
	int n;
	struct moka_array a[MOST_ARRAYS];
	struct moka_h5_item items[MOST_ARRAYS];
};

/* "data=x.npy": one dataset. */
static enum moka_status read_one(struct cli_call *c, struct arrays *all, const char *word, struct moka_error *err)
{
	const char *equals = strchr(word, '=');
	struct moka_array *a = &all->a[all->n];
	struct moka_h5_item *item = &all->items[all->n];

	if (!equals || equals == word || !equals[1])
		return moka_fail(err, MOKA_ERR_ARG, "'%s' is no array: TOP=FILE.npy is wanted, as data=pictures.npy",
				 word);
	item->path = moka_arena_printf(&c->arena, "%.*s", (int)(equals - word), word);
	if (!item->path)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	if (strchr(item->path, '/'))
		return moka_fail(err, MOKA_ERR_ARG, "'%s' holds a slash; a top of HDF5Data can't", item->path);
	for (int i = 0; i < all->n; i++)
		if (!strcmp(all->items[i].path, item->path))
			return moka_fail(err, MOKA_ERR_ARG, "'%s' is given twice", item->path);
	MOKA_TRY(moka_npy_read(a, equals + 1, err));
	all->n++;
	if (!a->n_axes)
		return moka_fail(err, MOKA_ERR_DATA, "%s: one number without axes; samples lie along the first axis",
				 equals + 1);
	if (a->dim[0] != all->a[0].dim[0])
		return moka_fail(err, MOKA_ERR_DATA, "%s has %" PRId64 " samples, but '%s' has %" PRId64, equals + 1,
				 a->dim[0], all->items[0].path, all->a[0].dim[0]);
	item->kind = MOKA_H5_ITEM_VALUES;
	item->blob.n_axes = a->n_axes;
	memcpy(item->blob.dim, a->dim, sizeof(a->dim));
	item->blob.count = a->count;
	item->blob.data = (const uint8_t *)a->data;
	item->blob.dtype = sizeof(real) == sizeof(float) ? MOKA_F32 : MOKA_F64;
	item->blob.stride = sizeof(real);
	return MOKA_OK;
}

/* The list that hdf5_data_param's source names: one path a line. */
static enum moka_status write_list(const char *list, const char *file, struct moka_error *err)
{
	char line[4200];
	const int n = snprintf(line, sizeof(line), "%s\n", file);

	if (n < 0 || (size_t)n >= sizeof(line))
		return moka_fail(err, MOKA_ERR_ARG, "%s: the path is too long for a list", file);
	return moka_file_write(list, line, (size_t)n, err);
}

static int run_hdf5(struct cli_call *c)
{
	const char *out = cli_get(c, "output"), *list = cli_get(c, "list");
	struct moka_error err = { 0 };
	struct arrays all = { 0 };
	enum moka_status st = MOKA_OK;

	if (!out)
		return cli_usage(c, "where shall the result go? Say -o FILE.h5");
	if (c->n_words > MOST_ARRAYS)
		return cli_usage(c, "%d arrays; a file takes at most %d", c->n_words, MOST_ARRAYS);
	for (int i = 0; i < c->n_words && !st; i++)
		st = read_one(c, &all, c->words[i], &err);
	if (!st)
		st = moka_h5_write(out, all.items, (size_t)all.n, &err);
	if (!st && list)
		st = write_list(list, out, &err);
	if (!st)
		printf("%s: %" PRId64 " samples of %d arrays\n", out, all.a[0].dim[0], all.n);
	for (int i = 0; i < all.n; i++)
		moka_array_release(&all.a[i]);
	return st ? cli_fail_error(c, &err) : cli_flush(c);
}

static const struct cli_option hdf5_options[] = { { "output", 'o', "FILE.h5", "the file to write", 0 },
						  { "list", 0, "FILE",
						    "also write the list that hdf5_data_param { source } names", 0 },
						  CLI_OPTIONS_END };
const struct cli_command cli_data_hdf5 = {
	.name = "hdf5",
	.summary = "a file for HDF5Data from numpy arrays",
	.usage = "TOP=FILE.npy ... -o FILE.h5 [--list FILE]",
	.about =
		"Each array becomes the top of its name; samples lie along the first axis, as many in each. Values are written as float32.",
	.examples = "moka data hdf5 data=x.npy label=y.npy -o train.h5 --list train.txt\n",
	.options = hdf5_options,
	.min_words = 1,
	.max_words = -1,
	.run = run_hdf5,
};
