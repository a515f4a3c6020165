/*
 * hdf5_output.c - what an HDF5Output layer writes: its two bottoms as datasets "data" and "label", each (number, channels, height,
 * width), as Caffe's.
 *
 * Caffe's layer can run once: the second batch finds the datasets there and ends the program. Here the rows of further batches follow
 * those of the first. The file is written whole and renamed (no half file after a crash), so it is not written anew for
 * each batch once it is large: then each time it has doubled, and when the net is freed.
 */
#include "data/data.h"
#include "model/h5.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SMALL ((int64_t)16 << 20) /* values */

struct part {
	int64_t dim[4];
	int64_t rows, row; /* so far; values in one */
	float *values;
	int64_t cap;
};
struct output {
	char *path;
	struct part part[2]; /* data, label */
	int64_t written;     /* values in the file */
};

static struct output *of(struct moka_source *s)
{
	return (struct output *)(void *)s;
}

static enum moka_status write_file(struct output *o, struct moka_error *err)
{
	static const char *const names[] = { "data", "label" };
	struct moka_h5_item items[2];

	memset(items, 0, sizeof(items));
	for (int i = 0; i < 2; i++) {
		struct part *p = &o->part[i];

		p->dim[0] = p->rows;
		items[i].path = names[i];
		items[i].kind = MOKA_H5_ITEM_VALUES;
		items[i].blob.n_axes = 4;
		memcpy(items[i].blob.dim, p->dim, sizeof(p->dim));
		items[i].blob.count = p->rows * p->row;
		items[i].blob.data = (const uint8_t *)p->values;
		items[i].blob.dtype = MOKA_F32;
		items[i].blob.stride = sizeof(float);
	}
	MOKA_TRY(moka_h5_write(o->path, items, 2, err));
	o->written = o->part[0].rows * o->part[0].row;
	return MOKA_OK;
}

/* Blobs of fewer axes have ones behind, as Caffe's num, channels, height and width. */
static enum moka_status check_form(struct output *o, struct part *p, const struct moka_view *v, struct moka_error *err)
{
	int64_t dim[4] = { 1, 1, 1, 1 };

	if (v->shape->n > 4)
		return moka_fail(err, MOKA_ERR_MODEL, "%s: a bottom of %d axes; at most 4 can be written", o->path,
				 v->shape->n);
	for (int i = 0; i < v->shape->n; i++)
		dim[i] = v->shape->d[i];
	if (!p->rows)
		memcpy(p->dim, dim, sizeof(dim));
	p->row = dim[1] * dim[2] * dim[3];
	if (memcmp(p->dim + 1, dim + 1, 3 * sizeof(*dim)))
		return moka_fail(err, MOKA_ERR_MODEL,
				 "%s: the rows of this batch have another shape than the first ones", o->path);
	return MOKA_OK;
}

static enum moka_status append(struct output *o, struct part *p, const struct moka_view *v, struct moka_error *err)
{
	int64_t old = p->rows * p->row, need;

	MOKA_TRY(check_form(o, p, v, err));
	if (!moka_add(old, v->count, &need) || need > (int64_t)1 << 40)
		return moka_fail(err, MOKA_ERR_LIMIT, "%s: too many values", o->path);
	if (need > p->cap) {
		const int64_t cap = MOKA_MAX(need, 2 * p->cap);
		float *bigger = realloc(p->values, (size_t)cap * sizeof(*bigger));

		if (!bigger)
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for %" PRId64 " values", o->path,
					 need);
		p->values = bigger;
		p->cap = cap;
	}
	for (int64_t i = 0; i < v->count; i++)
		p->values[old + i] = (float)v->data[i];
	p->rows += v->shape->n ? v->shape->d[0] : 1;
	return MOKA_OK;
}

static enum moka_status output_write(struct moka_source *source, int n, const struct moka_view *bottom,
				     struct moka_error *err)
{
	struct output *o = of(source);
	const struct part *data = &o->part[0];

	for (int i = 0; i < n && i < 2; i++)
		MOKA_TRY(append(o, &o->part[i], &bottom[i], err));
	if (data->rows * data->row > SMALL && data->rows * data->row < 2 * o->written)
		return MOKA_OK;
	return write_file(o, err);
}

static void output_close(struct moka_source *source)
{
	struct output *o = of(source);

	if (!o)
		return;
	if (o->part[0].rows * o->part[0].row > o->written)
		write_file(o, NULL); /* nobody to tell */
	for (int i = 0; i < 2; i++)
		free(o->part[i].values);
	free(o->path);
	free(o);
}

/* The name is taken as it stands: a file to write isn't looked for beside the net. Nothing is written before the first batch. */
static enum moka_status output_open(struct moka_source **out, const struct moka_source_spec *spec,
				    struct moka_error *err)
{
	const struct moka_layer *l = spec->layer;
	struct output *o = calloc(1, sizeof(*o));

	*out = (struct moka_source *)(void *)o;
	if (o)
		o->path = strdup(l->sub ? moka_get_string(l->sub, "file_name", spec->path) : spec->path);
	if (o && o->path)
		return MOKA_OK;
	output_close(*out);
	*out = NULL;
	return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
}

const struct moka_source_ops moka_source_hdf5_output = {
	.kind = "HDF5OUTPUT",
	.open = output_open,
	.write = output_write,
	.close = output_close,
};
