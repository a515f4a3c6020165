/*
 * VideoData (SSD; yjxiong/caffe, for temporal segment networks): frames of a camera or a film, or pieces of many films.
 *
 *     tops: frames (batch, channels, height, width), labels (batch)
 *
 * SSD says the batch in data_param; a frame has 3 channels. yjxiong/caffe lists folders of frames in `source` and says the batch here; a
 * sample is num_segments pieces of new_length frames, whose channels (3 of a picture, 2 of a flow) follow one another, and
 * labels are (batch, 1, 1, 1). The size stands in transform_param (crop_size, resize_param), else in new_height and new_width; without one
 * the frames have their own. Decoding films and driving cameras is no work of Moka: the layer is shaped and drawn.
 */
#include "fork_data.h"

struct video_param {
	int video_type, modality;
	int32_t device_id;
	const char *video_file, *source, *name_pattern;
	uint32_t skip_frames, batch_size, new_height, new_width, new_length, num_segments;
	bool shuffle, grayscale;
};

/* clang-format off */
static const struct moka_enum_value video_types[] = { { "WEBCAM", 0 }, { "VIDEO", 1 }, { NULL, 0 } };
static const struct moka_enum_value modalities[] = { { "RGB", 0 }, { "FLOW", 1 }, { NULL, 0 } };
static const struct moka_field video_fields[] = {
	MOKA_F_ENUM(struct video_param, video_type, 1, video_types, 0, "WEBCAM: a camera; VIDEO: a file"),
	MOKA_F_INT32(struct video_param, device_id, 2, 0, "which camera"),
	MOKA_F_STRING(struct video_param, video_file, 3, NULL, "the film"),
	MOKA_F_UINT32(struct video_param, skip_frames, 4, 0, "frames left out after each one taken"),
	/* yjxiong/caffe's; the numbers of these two mean others in SSD, so they are read in text alone */
	MOKA_F_STRING(struct video_param, source, 101, NULL, "yjxiong/caffe: text file that lists folders of frames"),
	MOKA_F_UINT32(struct video_param, batch_size, 104, 0, "yjxiong/caffe: samples in a batch"),
	MOKA_F_BOOL(struct video_param, shuffle, 8, 0, "yjxiong/caffe: another order in every round"),
	MOKA_F_UINT32(struct video_param, new_height, 9, 0, "yjxiong/caffe: resize to this height; 0 leaves frames as they are"),
	MOKA_F_UINT32(struct video_param, new_width, 10, 0, "yjxiong/caffe: resize to this width; 0 leaves frames as they are"),
	MOKA_F_UINT32(struct video_param, new_length, 11, 1, "yjxiong/caffe: frames of a piece"),
	MOKA_F_UINT32(struct video_param, num_segments, 12, 1, "yjxiong/caffe: pieces of a sample"),
	MOKA_F_ENUM(struct video_param, modality, 13, modalities, 1, "yjxiong/caffe: RGB pictures, or FLOW, two channels a frame"),
	MOKA_F_STRING(struct video_param, name_pattern, 14, NULL, "yjxiong/caffe: names of the frames' files"),
	MOKA_F_BOOL(struct video_param, grayscale, 16, 0, "yjxiong/caffe: pictures of one channel"),
	MOKA_F_END
};
/* clang-format on */
static const struct moka_message video_message = { "VideoDataParameter", video_fields, sizeof(struct video_param) };

/* Pieces of films. */
static enum moka_status pieces_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct video_param *p = l->param;
	const int64_t batch = l->batch > 0 ? l->batch : p->batch_size;
	const int64_t channels = p->modality == 1 ? 2 : p->grayscale ? 1 : 3;
	struct moka_shape *s = &l->top[0].shape;

	if (batch < 1 || p->new_length < 1 || p->num_segments < 1 || p->new_length > 1 << 20 ||
	    p->num_segments > 1 << 20)
		return moka_layer_bad(l, f, "bad-setting", "batch_size",
				      "batch_size, new_length and num_segments are %lld, %u and %u: no such batch",
				      (long long)batch, p->new_length, p->num_segments);
	*s = moka__fork_pictures(l, batch);
	s->d[1] = channels * p->new_length * p->num_segments;
	if (s->d[2] < 0 && p->new_height && p->new_width) {
		s->d[2] = p->new_height;
		s->d[3] = p->new_width;
	}
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(4, batch, (int64_t)1, (int64_t)1, (int64_t)1);
	return moka__fork_unread(l, f, "frames of many films");
}

static enum moka_status video_shape(struct moka_layer *l, struct moka_findings *f)
{
	const struct video_param *p = l->param;
	int64_t batch;

	if (p->source)
		return pieces_shape(l, f);
	MOKA_TRY(moka__fork_batch(l, f, "data_param", &batch));
	l->top[0].shape = moka__fork_pictures(l, batch);
	l->top[0].shape.d[1] = 3;
	if (l->n_top > 1)
		l->top[1].shape = moka_shape_make(1, batch);
	return moka__fork_unread(l, f, "frames of a camera or a film");
}

/* clang-format off */
const struct moka_layer_type moka_layer_video_data = {
	.schema = { "VideoData", "video_data_param", 207, 0, &video_message, NULL, 0, "SSD, yjxiong/caffe" },
	.doc = "frames of a camera or a film; shaped, not run",
	.min_bottom = 0, .max_bottom = 0, .min_top = 1, .max_top = 2,
	.flags = MOKA_DATA | MOKA_NO_BACKWARD,
	.shape = video_shape,
};
/* clang-format on */
