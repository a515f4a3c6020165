/*
 * HDF5Output: writes its two bottoms, data and label, to an HDF5 file. The writing is done by the source of that name (data/).
 */
#include "layer.h"

struct hdf5_output_param {
	const char *file_name;
};

/* clang-format off */
static const struct moka_field hdf5_output_fields[] = {
	MOKA_F_STRING(struct hdf5_output_param, file_name, 1, NULL, "the file to write"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message hdf5_output_message = { "HDF5OutputParameter", hdf5_output_fields,
							 sizeof(struct hdf5_output_param) };

static enum moka_status hdf5_output_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct hdf5_output_param *p = l->param;
	const struct moka_shape *a = &l->bottom[0].shape, *b = &l->bottom[1].shape;

	if (!p->file_name || !*p->file_name)
		return moka_layer_bad(l, f, "bad-setting", "file_name", "hdf5_output_param says no file_name");
	if (a->n > 0 && b->n > 0 && a->d[0] >= 0 && b->d[0] >= 0 && a->d[0] != b->d[0])
		return moka_layer_bad_bottom(l, f, "shape-mismatch", 1,
					     "bottom '%s' has %lld samples, bottom '%s' has %lld", l->bottom[0].name,
					     (long long)a->d[0], l->bottom[1].name, (long long)b->d[0]);
	for (int i = 0; i < 2; i++)
		if (l->bottom[i].shape.n > 4)
			return moka_layer_bad_bottom(l, f, "wrong-axes", i,
						     "bottom '%s' has %d axes; at most 4 are written",
						     l->bottom[i].name, l->bottom[i].shape.n);
	return l->for_run ? moka_layer_open_source(l, "HDF5OUTPUT", p->file_name, 0, f) : MOKA_OK;
}

static enum moka_status hdf5_output_forward(const struct moka_layer *l, struct moka_call *c)
{
	if (!l->source)
		return moka_call_bad(l, c, MOKA_ERR_IO, "its file can't be written here");
	return l->source_ops->write(l->source, l->n_bottom, c->bottom, c->err);
}

const struct moka_layer_type moka_layer_hdf5_output = {
	.schema = { "HDF5Output", "hdf5_output_param", 113, 14, &hdf5_output_message, "HDF5_OUTPUT", 10, NULL },
	.doc = "writes data and labels to an HDF5 file",
	.min_bottom = 2,
	.max_bottom = 2,
	.min_top = 0,
	.max_top = 0,
	.flags = MOKA_PARTIAL | MOKA_NO_BACKWARD,
	.shape = hdf5_output_shape,
	.forward = hdf5_output_forward,
};
