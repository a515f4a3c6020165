/*
 * CPMData (Convolutional Pose Machines, OpenPose): pictures of people, and where their joints and limbs are.
 *
 *     tops: pictures (batch, 4 or 3, height, width), maps (batch, 2 (parts + 1), height / stride, width / stride)
 *
 * The maps are weights, then targets: one for each part and one for the background. Convolutional Pose Machines say the sizes in
 * transform_param and the batch in cpmdata_param, and their pictures have a fourth channel, a bump where the person is. OpenPose says
 * the sizes in cpm_transform_param and the batch in data_param; its pictures have three.
 */
#include "fork_data.h"

struct cpm_param {
	const char *source;
	uint32_t batch_size;
	int backend;
};

/* clang-format off */
static const struct moka_enum_value backends[] = { { "LEVELDB", 0 }, { "LMDB", 1 }, { NULL, 0 } };
static const struct moka_field cpm_fields[] = {
	MOKA_F_STRING(struct cpm_param, source, 1, NULL, "folder of the database"),
	MOKA_F_UINT32(struct cpm_param, batch_size, 4, 0, "samples in a batch"),
	MOKA_F_ENUM(struct cpm_param, backend, 8, backends, 0, "which database: LEVELDB or LMDB"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message cpm_message = { "CPMDataParameter", cpm_fields, sizeof(struct cpm_param) };

/* One of the sizes, of cpm_transform_param where there is one. */
static int64_t setting(const struct moka_layer *l, const char *field, int64_t absent)
{
	const struct moka_msg *open_pose = l->msg ? moka_get_msg(l->msg, "cpm_transform_param") : NULL;

	if (!open_pose)
		return moka__fork_transform(l, field, absent);
	return moka_has(open_pose, field) ? moka_get_int(open_pose, field) : absent;
}

static enum moka_status cpm_shape(struct moka_layer *l, struct moka_findings *f)
{
	const bool open_pose = l->msg && moka_has(l->msg, "cpm_transform_param");
	const int64_t h = setting(l, "crop_size_y", 368), w = setting(l, "crop_size_x", 368);
	const int64_t stride = setting(l, "stride", 4), parts = setting(l, "num_parts", 14);
	int64_t batch;

	MOKA_TRY(moka__fork_batch(l, f, l->sub ? "cpmdata_param" : "data_param", &batch));
	if (h < 1 || w < 1 || stride < 1 || parts < 1)
		return moka_layer_bad(
			l, f, "bad-setting", NULL,
			"crop_size_x, crop_size_y, stride and num_parts must be 1 or more, and are %lld, %lld, %lld and %lld",
			(long long)w, (long long)h, (long long)stride, (long long)parts);
	if (parts > 1 << 20)
		return moka_layer_bad(l, f, "bad-setting", NULL, "num_parts %lld is too many", (long long)parts);
	l->top[0].shape = moka_shape_make(4, batch, (int64_t)(open_pose ? 3 : 4), h, w);
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(4, batch, 2 * (parts + 1), h / stride, w / stride);
	return moka__fork_unread(l, f, "annotated people of a database in the form of their own tool");
}

/* clang-format off */
/* The number of its message is our own: the fork's is not published. */
const struct moka_layer_type moka_layer_cpm_data = {
	.schema = { "CPMData", "cpmdata_param", 901, 0, &cpm_message, NULL, 0, "Convolutional Pose Machines, OpenPose" },
	.doc = "pictures of people and maps of their joints; shaped, not run",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = cpm_shape,
};
/* clang-format on */
