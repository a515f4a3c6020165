/*
 * SparseData: rows that mostly are zeros, with labels, from a database of the sparse-data forks. How long a row is only that
 * database tells, and Moka has no reader of it: a net in which its tops are given (moka run -i) has plain
 * inputs in its place; else it is drawn, and can't run.
 */
#include "layer.h"

enum { LEVELDB, LMDB };

struct sparse_data_param {
	const char *source;
	uint32_t batch_size;
	int backend;
};

static const struct moka_enum_value backend_values[] = { { "LEVELDB", LEVELDB }, { "LMDB", LMDB }, { NULL, 0 } };
/* clang-format off */
#define P struct sparse_data_param
static const struct moka_field sparse_data_fields[] = {
	MOKA_F_STRING(P, source, 1, NULL, "folder of the database"),
	MOKA_F_UINT32(P, batch_size, 4, 0, "samples in a batch"),
	MOKA_F_ENUM(P, backend, 8, backend_values, LEVELDB, "which database: LEVELDB or LMDB"),
	MOKA_F_END
};
/* clang-format on */
#undef P
static const struct moka_message sparse_data_message = { "SparseDataParameter", sparse_data_fields,
							 sizeof(struct sparse_data_param) };

static enum moka_status sparse_data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct sparse_data_param *p = l->param;
	const struct moka_msg *older = moka_get_msg(l->msg, "data_param"); /* where the first such nets wrote it */
	const int64_t said = older && !p->batch_size ? moka_get_int(older, "batch_size") : p->batch_size;
	const int64_t batch = l->batch > 0 ? l->batch : said;

	if (batch < 1)
		return moka_layer_bad(l, f, "bad-setting", "batch_size", "sparse_data_param says no batch_size");
	l->top[0].shape = moka_shape_make(2, batch, (int64_t)-1);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(1, batch);
	if (!l->for_run)
		return MOKA_OK;
	moka_layer_bad(l, f, "data-missing", "source", "Moka doesn't read the sparse forks' databases");
	moka_find_hint(f, "give its tops (moka run -i %s=FILE.npy), as dense rows",
		       l->n_top > 0 ? l->top[0].name : "data");
	return MOKA_ERR_DATA;
}

static enum moka_status sparse_data_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka_call_bad(l, c, MOKA_ERR_DATA, "its database can't be read, and nobody has given its tops");
}

/* clang-format off */
const struct moka_layer_type moka_layer_sparse_data = {
	.schema = { "SparseData", "sparse_data_param", 9045, 0, &sparse_data_message, NULL, 0, "sparse-data forks" },
	.doc = "rows that mostly are zeros, and labels, from a database of the sparse-data forks",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = sparse_data_shape, .forward = sparse_data_forward,
};
/* clang-format on */
