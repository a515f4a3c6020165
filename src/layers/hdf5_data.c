/*
 * HDF5Data: batches from HDF5 files, one dataset for each top, by the top's name. `source` is a text file that lists the
 * HDF5 files.
 *
 * Reading is the source's work (data/). Where the files aren't at hand only the batch size is known.
 */
#include "layer.h"

struct hdf5_data_param {
	const char *source;
	uint32_t batch_size;
	bool shuffle;
};

/* clang-format off */
static const struct moka_field hdf5_data_fields[] = {
	MOKA_F_STRING(struct hdf5_data_param, source, 1, NULL, "text file that lists the HDF5 files, one a line"),
	MOKA_F_UINT32(struct hdf5_data_param, batch_size, 2, 0, "samples in a batch"),
	MOKA_F_BOOL(struct hdf5_data_param, shuffle, 3, 0,
		    "another order of files, and of samples in each file, in every round"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message hdf5_data_message = { "HDF5DataParameter", hdf5_data_fields,
						       sizeof(struct hdf5_data_param) };

static enum moka_status hdf5_data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct hdf5_data_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size;
	struct moka_error err = { 0 };

	moka_layer_unknown(l);
	if (!p->source || !*p->source)
		return moka_layer_bad(l, f, "bad-setting", "source",
				      "hdf5_data_param says no source, the file that lists the HDF5 files");
	if (batch < 1)
		return moka_layer_bad(l, f, "bad-setting", "batch_size", "hdf5_data_param says no batch_size");
	if (moka_has(l->msg, "transform_param"))
		return moka_layer_bad(l, f, "bad-setting", NULL,
				      "HDF5Data does not transform its data: transform_param has no place here");
	MOKA_TRY(moka_layer_open_source(l, "HDF5", p->source, batch, f));
	if (!l->source)
		return MOKA_OK;
	for (int i = 0; i < l->n_top; i++)
		if (l->source_ops->shape(l->source, i, &l->top[i].shape, &err))
			return moka_layer_bad(l, f, "bad-data", "source", "%s", err.message);
	l->rows = l->source_ops->rows(l->source);
	return MOKA_OK;
}

static enum moka_status hdf5_data_forward(const struct moka_layer *l, struct moka_call *c)
{
	if (!l->source)
		return moka_call_bad(l, c, MOKA_ERR_DATA, "its files have not been opened");
	return l->source_ops->read(l->source, l->n_top, c->top, c->err);
}

const struct moka_layer_type moka_layer_hdf5_data = {
	.schema = { "HDF5Data", "hdf5_data_param", 112, 13, &hdf5_data_message, "HDF5_DATA", 9, NULL },
	.doc = "batches from HDF5 files, a dataset for each top",
	.min_bottom = 0,
	.max_bottom = 0,
	.min_top = 1,
	.max_top = -1,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = hdf5_data_shape,
	.forward = hdf5_data_forward,
};
