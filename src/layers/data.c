/*
 * Data: batches of images with labels from a database (LMDB or LevelDB) as convert_imageset makes them.
 *
 * Reading, cropping, mirroring and taking off the mean is the source's work (data/); here is what the file may say
 * and the shapes: (batch, channels, height, width) and (batch). Where the database isn't at hand the shape is what the settings tell.
 */
#include "layer.h"

enum { LEVELDB, LMDB, IMAGEDB };

struct data_param {
	const char *source, *mean_file;
	float scale;
	uint32_t batch_size, crop_size, rand_skip, prefetch;
	bool mirror, force_encoded_color;
	int backend;
};

static const struct moka_enum_value backend_values[] = {
	{ "LEVELDB", LEVELDB }, { "LMDB", LMDB }, { "IMAGEDB", IMAGEDB }, { NULL, 0 }
};
/* clang-format off */
static const struct moka_field data_fields[] = {
	MOKA_F_STRING(struct data_param, source, 1, NULL, "folder of the database"),
	MOKA_F_FLOAT(struct data_param, scale, 2, 1, "deprecated: transform_param's"),
	MOKA_F_STRING(struct data_param, mean_file, 3, NULL, "deprecated: transform_param's"),
	MOKA_F_UINT32(struct data_param, batch_size, 4, 0, "samples in a batch"),
	MOKA_F_UINT32(struct data_param, crop_size, 5, 0, "deprecated: transform_param's"),
	MOKA_F_BOOL(struct data_param, mirror, 6, 0, "deprecated: transform_param's"),
	MOKA_F_UINT32(struct data_param, rand_skip, 7, 0, "deprecated: skip up to so many samples at the start"),
	MOKA_F_ENUM(struct data_param, backend, 8, backend_values, LEVELDB, "which database: LEVELDB or LMDB (IMAGEDB, MyCaffe's own, is not opened)"),
	MOKA_F_BOOL(struct data_param, force_encoded_color, 9, 0, "decode encoded images as colour whatever they are"),
	MOKA_F_UINT32(struct data_param, prefetch, 10, 4, "batches read ahead"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message data_message = { "DataParameter", data_fields, sizeof(struct data_param) };

/* What is known without the data. */
static void data_guess(struct moka_layer *l, int64_t batch)
{
	const struct moka_transform_param *t = l->transform;
	const int64_t side = t->crop_size ? (int64_t)t->crop_size : -1;
	const int64_t means = (int64_t)t->mean_value.n; /* one for each channel, or one for all */

	l->top[0].shape = moka_shape_make(4, batch,
					  means > 1	   ? means
					  : t->force_color ? (int64_t)3
					  : t->force_gray  ? (int64_t)1
							   : (int64_t)-1,
					  side, side);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(1, batch);
}

/* MyCaffe keeps its pictures in a database server: `source` is a name there, no file. */
static enum moka_status image_db(struct moka_layer *l, struct moka_findings *f)
{
	if (!l->for_run)
		return MOKA_OK;
	moka_layer_bad(l, f, "data-missing", "backend",
		       "IMAGEDB is a database server of MyCaffe, which Moka does not ask");
	moka_find_hint(f, "export the pictures and make an LMDB of them: moka data");
	return MOKA_ERR_DATA;
}

static enum moka_status data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct data_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size;
	struct moka_error err = { 0 };

	data_guess(l, batch);
	if (!p->source || !*p->source)
		return moka_layer_bad(l, f, "bad-setting", "source",
				      "data_param says no source, the folder of the database");
	if (batch < 1)
		return moka_layer_bad(l, f, "bad-setting", "batch_size", "data_param says no batch_size");
	if (p->backend == IMAGEDB)
		return image_db(l, f);
	MOKA_TRY(moka_layer_open_source(l, p->backend == LMDB ? "LMDB" : "LEVELDB", p->source, batch, f));
	if (!l->source)
		return MOKA_OK;
	for (int i = 0; i < l->n_top; i++)
		if (l->source_ops->shape(l->source, i, &l->top[i].shape, &err))
			return moka_layer_bad(l, f, "bad-data", "source", "%s", err.message);
	l->rows = l->source_ops->rows(l->source);
	return MOKA_OK;
}

static enum moka_status data_forward(const struct moka_layer *l, struct moka_call *c)
{
	if (!l->source)
		return moka_call_bad(l, c, MOKA_ERR_DATA, "its database has not been opened");
	return l->source_ops->read(l->source, l->n_top, c->top, c->err);
}

const struct moka_layer_type moka_layer_data = {
	.schema = { "Data", "data_param", 107, 11, &data_message, "DATA", 5, NULL },
	.doc = "images and labels from an LMDB or LevelDB database",
	.min_bottom = 0,
	.max_bottom = 0,
	.min_top = 1,
	.max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = data_shape,
	.forward = data_forward,
};
