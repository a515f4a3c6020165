/*
 * MemoryData: images and labels that a program hands over. Known and shaped; not run yet.
 */
#include "layer.h"

struct memory_data_param {
	uint32_t batch_size, channels, height, width;
};

/* clang-format off */
static const struct moka_field memory_data_fields[] = {
	MOKA_F_UINT32(struct memory_data_param, batch_size, 1, 0, "samples in a batch"),
	MOKA_F_UINT32(struct memory_data_param, channels, 2, 0, "channels of a sample"),
	MOKA_F_UINT32(struct memory_data_param, height, 3, 0, "height of a sample"),
	MOKA_F_UINT32(struct memory_data_param, width, 4, 0, "width of a sample"), MOKA_F_END
};
/* clang-format on */
static const struct moka_message memory_data_message = { "MemoryDataParameter", memory_data_fields,
							 sizeof(struct memory_data_param) };

static enum moka_status memory_data_shape(struct moka_layer *l, struct moka_findings *f)
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

const struct moka_layer_type moka_layer_memory_data = {
	.schema = { "MemoryData", "memory_data_param", 119, 22, &memory_data_message, "MEMORY_DATA", 29, NULL },
	.doc = "images and labels handed over by a program",
	.min_bottom = 0,
	.max_bottom = 0,
	.min_top = 2,
	.max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = memory_data_shape,
};
