/*
 * AnnotatedData (SSD): batches of pictures with the boxes of what they show, from a database of AnnotatedDatum messages.
 *
 *     tops: pictures (batch, channels, height, width), objects (1, 1, rows, 8)
 *
 * Where the database is and how large a batch is stand in data_param, how pictures are resized and distorted in transform_param. Reading and
 * changing them is the source's work (data/annotated.c). Where the database isn't at hand the shape is what the settings tell: how many
 * objects a batch can hold only the data know. Rows that a batch doesn't need hold -1.
 */
#include "boxes.h"

struct annotated_data_param {
	const char *label_map_file;
	int anno_type;
};

/* clang-format off */
#define ONE(name, number, kind, def, help) { name, number, kind, MOKA_OPTIONAL, MOKA_NOWHERE, def, NULL, NULL, NULL, help, NULL }
#define SUB(name, number, message, help) { name, number, MOKA_MESSAGE, MOKA_OPTIONAL, MOKA_NOWHERE, 0, NULL, NULL, message, help, NULL }
static const struct moka_field sampler_fields[] = {
	ONE("min_scale", 1, MOKA_FLOAT, 1, "smallest part of the picture"),
	ONE("max_scale", 2, MOKA_FLOAT, 1, "largest part of the picture"),
	ONE("min_aspect_ratio", 3, MOKA_FLOAT, 1, "narrowest"),
	ONE("max_aspect_ratio", 4, MOKA_FLOAT, 1, "widest"),
	MOKA_F_END
};
static const struct moka_message sampler_message = { "Sampler", sampler_fields, 0 };

static const struct moka_field constraint_fields[] = {
	ONE("min_jaccard_overlap", 1, MOKA_FLOAT, 0, "least overlap of the cut-out with some object"),
	ONE("max_jaccard_overlap", 2, MOKA_FLOAT, 0, "most overlap of the cut-out with some object"),
	ONE("min_sample_coverage", 3, MOKA_FLOAT, 0, "least part of the cut-out that an object covers"),
	ONE("max_sample_coverage", 4, MOKA_FLOAT, 0, "most part of the cut-out that an object covers"),
	ONE("min_object_coverage", 5, MOKA_FLOAT, 0, "least part of an object that the cut-out covers"),
	ONE("max_object_coverage", 6, MOKA_FLOAT, 0, "most part of an object that the cut-out covers"),
	MOKA_F_END
};
static const struct moka_message constraint_message = { "SampleConstraint", constraint_fields, 0 };

static const struct moka_field batch_sampler_fields[] = {
	ONE("use_original_image", 1, MOKA_BOOL, 1, "cut from the picture as it is"),
	SUB("sampler", 2, &sampler_message, "size and form of cut-outs"),
	SUB("sample_constraint", 3, &constraint_message, "which cut-outs will do"),
	ONE("max_sample", 4, MOKA_UINT32, 0, "cut-outs that are enough"),
	ONE("max_trials", 5, MOKA_UINT32, 100, "cut-outs tried at most"),
	MOKA_F_END
};
static const struct moka_message batch_sampler_message = { "BatchSampler", batch_sampler_fields, 0 };

static const struct moka_enum_value anno_values[] = { { "BBOX", 0 }, { NULL, 0 } };
static const struct moka_field annotated_data_fields[] = {
	{ "batch_sampler", 1, MOKA_MESSAGE, MOKA_REPEATED, MOKA_NOWHERE, 0, NULL, NULL, &batch_sampler_message,
	  "random cut-outs of the picture", NULL },
	MOKA_F_STRING(struct annotated_data_param, label_map_file, 2, NULL, "names of the labels"),
	MOKA_F_ENUM(struct annotated_data_param, anno_type, 3, anno_values, 0, "what is known of a picture; stands before the database's own word"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message annotated_data_message = { "AnnotatedDataParameter", annotated_data_fields,
							    sizeof(struct annotated_data_param) };

/* A side of the pictures: resized to it, or cut to it; -1: the data's own. */
static int64_t side(const struct moka_layer *l, const char *resize, const char *crop)
{
	const struct moka_msg *t = l->msg ? moka_get_msg(l->msg, "transform_param") : NULL;
	const struct moka_msg *r = t ? moka_get_msg(t, "resize_param") : NULL;

	if (l->transform->crop_size)
		return l->transform->crop_size;
	if (t && moka_has(t, crop) && moka_get_int(t, crop) > 0)
		return moka_get_int(t, crop);
	if (r && moka_has(r, resize) && moka_get_int(r, resize) > 0)
		return moka_get_int(r, resize);
	return -1;
}

static enum moka_status annotated_data_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct moka_msg *data = l->msg ? moka_get_msg(l->msg, "data_param") : NULL;
	const int64_t batch = l->batch > 0 ? l->batch : data ? moka_get_int(data, "batch_size") : 0;
	const int64_t channels = l->transform->force_gray ? 1 : 3;
	struct moka_error err = { 0 };

	if (batch < 1)
		return moka_layer_bad(l, f, "bad-setting", "batch_size", "data_param says no batch_size");
	l->top[0].shape = moka_shape_make(4, batch, channels, side(l, "height", "crop_h"), side(l, "width", "crop_w"));
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(4, (int64_t)1, (int64_t)1, (int64_t)-1, (int64_t)8);
	if (!data || !*moka_get_string(data, "source", ""))
		return moka_layer_bad(l, f, "bad-setting", "source",
				      "data_param says no source, the folder of the database");
	MOKA_TRY(moka_layer_open_source(l, moka_get_int(data, "backend") == 1 ? "ANNOTATED_LMDB" : "ANNOTATED_LEVELDB",
					moka_get_string(data, "source", ""), batch, f));
	for (int i = 0; l->source && i < l->n_top; i++)
		if (l->source_ops->shape(l->source, i, &l->top[i].shape, &err))
			return moka_layer_bad(l, f, "bad-data", "source", "%s", err.message);
	if (l->source)
		l->rows = l->source_ops->rows(l->source);
	return MOKA_OK;
}

static enum moka_status annotated_data_forward(const struct moka_layer *l, struct moka_call *c)
{
	if (!l->source)
		return moka_call_bad(l, c, MOKA_ERR_DATA, "its database has not been opened");
	return l->source_ops->read(l->source, l->n_top, c->top, c->err);
}

/* clang-format off */
const struct moka_layer_type moka_layer_annotated_data = {
	.schema = { "AnnotatedData", "annotated_data_param", 200, 0, &annotated_data_message, NULL, 0, "SSD" },
	.doc = "pictures and the boxes of what they show, from a database",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = annotated_data_shape,
	.forward = annotated_data_forward,
};
/* clang-format on */
