/*
 * hdf5.c - weights -> Caffe's HDF5 form: a group "data", in it a group for each layer, in it float32 datasets "0", "1", ...
 */
#include "export/export.h"
#include "model/h5.h"

static bool make_item(struct moka_arena *arena, const struct moka_export_array *a, struct moka_h5_item *out)
{
	*out = (struct moka_h5_item){ .kind = a->index < 0 ? MOKA_H5_ITEM_GROUP : MOKA_H5_ITEM_VALUES,
				      .blob = a->blob };
	out->path = a->index < 0 ? moka_arena_printf(arena, "data/%s", a->layer)
				 : moka_arena_printf(arena, "data/%s/%d", a->layer, a->index);
	return out->path != NULL;
}

enum moka_status moka_export_hdf5(const char *path, const struct moka_export_array *a, size_t n, struct moka_error *err)
{
	struct moka_arena arena;
	struct moka_h5_item *items;
	enum moka_status st;
	bool ok;

	moka_arena_init(&arena, 0);
	items = MOKA_NEWN(&arena, n + 1, struct moka_h5_item);
	ok = items != NULL;
	if (ok)
		items[0] = (struct moka_h5_item){ .path = "data", .kind = MOKA_H5_ITEM_GROUP };
	for (size_t i = 0; ok && i < n; i++)
		ok = make_item(&arena, &a[i], &items[i + 1]);
	st = ok ? moka_h5_write(path, items, n + 1, err)
		: moka_fail(err, MOKA_ERR_NOMEM, "no memory for a list of %zu arrays", n);
	moka_arena_release(&arena);
	return st;
}
