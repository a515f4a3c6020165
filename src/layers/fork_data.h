/*
 * fork_data.h - what the data layers of forks share: their batch and the sizes of their pictures, as data_param and transform_param
 * state them. None of them is run: their records have a form of their own.
 */
#ifndef MOKA_LAYERS_FORK_DATA_H
#define MOKA_LAYERS_FORK_DATA_H

#include "layer.h"

/* The batch size that `message` (data_param) of the layer states, or who builds the net; a finding where neither does. */
enum moka_status moka__fork_batch(const struct moka_layer *l, struct moka_findings *f, const char *message,
				  int64_t *batch);
/* A number of transform_param that BVLC Caffe doesn't have; `absent` where the file doesn't say it. */
int64_t moka__fork_transform(const struct moka_layer *l, const char *field, int64_t absent);
/* Channels of the pictures as the means and force_color, force_gray tell; -1: the data's own. */
int64_t moka__fork_channels(const struct moka_layer *l);
/* (batch, channels, height, width): crop_size, or crop_h and crop_w, or what pictures are resized to; -1: the data's own. */
struct moka_shape moka__fork_pictures(const struct moka_layer *l, int64_t batch);
/* Run-time refusal of a layer whose records Moka does not read; MOKA_OK where nobody wants to run it. */
enum moka_status moka__fork_unread(const struct moka_layer *l, struct moka_findings *f, const char *records);

#endif
