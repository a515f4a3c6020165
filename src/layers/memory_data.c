/*
 * MemoryData: images and labels that a program hands over. A net in which they are given (moka run -i, or the inputs of
 * moka_net_options) has plain inputs in its place; where nobody gives them, it can't run, and says so.
 */
#include "layer.h"

struct memory_data_param {
	uint32_t batch_size, channels, height, width;
	struct moka_list dim; /* uint32_t */
};

/* clang-format off */
static const struct moka_field memory_data_fields[] = {
	MOKA_F_UINT32(struct memory_data_param, batch_size, 1, 0, "samples in a batch"),
	MOKA_F_UINT32(struct memory_data_param, channels, 2, 0, "channels of a sample"),
	MOKA_F_UINT32(struct memory_data_param, height, 3, 0, "height of a sample"),
	MOKA_F_UINT32(struct memory_data_param, width, 4, 0, "width of a sample"),
	MOKA_F_REP(struct memory_data_param, dim, 5, MOKA_UINT32, "OpenCL Caffe: the whole shape, batch first, instead of the four"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message memory_data_message = { "MemoryDataParameter", memory_data_fields,
							 sizeof(struct memory_data_param) };

/* OpenCL Caffe's form: any number of axes; its labels have as many, all 1 but the batch. */
static enum moka_status shape_from_dims(struct moka_layer *l, struct moka_findings *f)
{
	const struct memory_data_param *p = l->param;
	struct moka_shape s = moka_shape_make(0);

	if (p->dim.n > MOKA_MAX_AXES)
		return moka_layer_bad(l, f, "bad-setting", "dim",
				      "dim is given %zu times, and a blob has at most %d axes", p->dim.n,
				      MOKA_MAX_AXES);
	for (size_t i = 0; i < p->dim.n; i++) {
		s.d[s.n++] = i == 0 && l->batch > 0 ? l->batch : (int64_t)MOKA_LIST_AT(p->dim, uint32_t, i);
		if (s.d[i] < 1)
			return moka_layer_bad(l, f, "bad-setting", "dim", "a dim of 0 leaves no data");
	}
	l->top[0].shape = s;
	for (int i = 1; i < s.n; i++)
		s.d[i] = 1;
	l->top[1].shape = s;
	return MOKA_OK;
}

static enum moka_status shape_from_four(struct moka_layer *l, struct moka_findings *f)
{
	static const char *const names[] = { "batch_size", "channels", "height", "width" };
	const struct memory_data_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size;
	const int64_t d[] = { batch, p->channels, p->height, p->width };

	l->top[0].shape = moka_shape_make(4, d[0], d[1], d[2], d[3]);
	l->top[1].shape = moka_shape_make(1, batch);
	for (int i = 0; i < 4; i++)
		if (d[i] < 1)
			return moka_layer_bad(l, f, "bad-setting", names[i],
					      "memory_data_param must say %s, and at least 1", names[i]);
	return MOKA_OK;
}

static enum moka_status memory_data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct memory_data_param *p = l->param;

	MOKA_TRY(p->dim.n ? shape_from_dims(l, f) : shape_from_four(l, f));
	if (!l->for_run)
		return MOKA_OK;
	moka_layer_bad(l, f, "data-missing", NULL, "its data are handed over by a program, and nobody does");
	moka_find_hint(
		f,
		"give its tops (moka run -i %s=FILE.npy -i %s=FILE.npy); to train or test from files, use Data, HDF5Data or ImageData",
		l->n_top > 0 ? l->top[0].name : "data", l->n_top > 1 ? l->top[1].name : "label");
	return MOKA_ERR_DATA;
}

static enum moka_status memory_data_forward(const struct moka_layer *l, struct moka_call *c)
{
	return moka_call_bad(l, c, MOKA_ERR_DATA, "nobody has handed its data over");
}

const struct moka_layer_type moka_layer_memory_data = {
	.schema = { "MemoryData", "memory_data_param", 119, 22, &memory_data_message, "MEMORY_DATA", 29, NULL },
	.doc = "images and labels handed over by a program",
	.min_bottom = 0,
	.max_bottom = 0,
	.min_top = 2,
	.max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = memory_data_shape,
	.forward = memory_data_forward,
};
