/*
 * test_data_layers.c - the data layers: shapes from their settings, shapes and batches from a source, what is said where
 * something is missing.
 */
#include "layer_test.h"

#include <stdlib.h>
#include <string.h>

#define DATA "layer { type: 'Data' top: 'data' top: 'label' data_param { source: 'db' batch_size: 4 backend: LMDB } "

T_TEST(shapes_from_settings)
{
	static const struct {
		const char *layer, *data, *label;
	} rows[] = {
		{ DATA "}", "4x?x?x?", "4" },
		{ DATA "transform_param { crop_size: 227 } }", "4x?x227x227", "4" },
		{ "layer { type: 'ImageData' top: 'd' top: 'l' image_data_param { source: 'list' batch_size: 2 new_height: 30 new_width: 40 } }",
		  "2x3x30x40", "2" },
		{ "layer { type: 'ImageData' top: 'd' top: 'l' image_data_param { source: 'list' is_color: false } }",
		  "1x1x?x?", "1" },
		{ "layer { type: 'ImageData' top: 'd' top: 'l' image_data_param { source: 'list' new_height: 30 new_width: 40 } "
		  "transform_param { crop_size: 20 } }",
		  "1x3x20x20", "1" },
		{ "layer { type: 'MemoryData' top: 'd' top: 'l' memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }",
		  "2x3x4x5", "2" },
		{ "layer { type: 'WindowData' top: 'd' top: 'l' window_data_param { source: 'w' batch_size: 8 } transform_param { crop_size: 227 } }",
		  "8x?x227x227", "8" },
		{ "layer { type: 'HDF5Data' top: 'd' top: 'l' hdf5_data_param { source: 'list' batch_size: 8 } }", "?",
		  "?" },
		{ "layer { type: 'Python' top: 'd' top: 'l' python_param { module: 'm' layer: 'L' } }", "?", "?" },
	};

	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct layer_test *x = lt_shape(rows[i].layer, MOKA_TRAIN, "");

		LT_SHAPE(x, 0, rows[i].data);
		LT_SHAPE(x, 1, rows[i].label);
		T_INT(x->findings.n, 0);
		lt_free(x);
	}
}

T_TEST(bad_settings)
{
	LT_REFUSED("layer { type: 'Data' top: 'data' data_param { batch_size: 4 } }", "", "says no source");
	LT_REFUSED("layer { type: 'Data' top: 'data' data_param { source: 'db' } }", "", "says no batch_size");
	LT_REFUSED("layer { type: 'Data' top: 'data' }", "", "says no source");
	LT_REFUSED("layer { type: 'HDF5Data' top: 'data' hdf5_data_param { batch_size: 4 } }", "", "says no source");
	LT_REFUSED("layer { type: 'HDF5Data' top: 'data' hdf5_data_param { source: 'x' } }", "", "says no batch_size");
	LT_REFUSED(
		"layer { type: 'HDF5Data' top: 'data' hdf5_data_param { source: 'x' batch_size: 4 } transform_param { scale: 2 } }",
		"", "does not transform");
	LT_REFUSED("layer { type: 'ImageData' top: 'd' top: 'l' }", "", "says no source");
	LT_REFUSED("layer { type: 'ImageData' top: 'd' top: 'l' image_data_param { source: 'x' new_height: 3 } }", "",
		   "new_width is missing");
	LT_REFUSED("layer { type: 'ImageData' top: 'd' top: 'l' image_data_param { source: 'x' batch_size: 0 } }", "",
		   "at least 1");
	LT_REFUSED(
		"layer { type: 'MemoryData' top: 'd' top: 'l' memory_data_param { batch_size: 3 channels: 1 height: 2 } }",
		"", "say width");
	LT_REFUSED("layer { type: 'WindowData' top: 'd' top: 'l' window_data_param { source: 'x' batch_size: 2 } }", "",
		   "crop_size");
	LT_REFUSED("layer { type: 'HDF5Output' bottom: 'd' bottom: 'l' }", "2x3 2", "says no file_name");
	LT_REFUSED("layer { type: 'HDF5Output' bottom: 'd' bottom: 'l' hdf5_output_param { file_name: 'x' } }", "2x3 3",
		   "has 3");
}

/* ---- a source of our own ------------------------------------------------------------------------------ */

struct moka_source {
	struct moka_source_spec spec;
	int reads;
};

static int closed;

static enum moka_status fake_open(struct moka_source **out, const struct moka_source_spec *spec, struct moka_error *err)
{
	if (strstr(spec->path, "missing")) {
		moka_fail(err, MOKA_ERR_IO, "%s: no such folder", spec->path);
		moka_fail_hint(err, "make it with `moka data`");
		return err->status;
	}
	*out = calloc(1, sizeof(**out));
	assert_non_null(*out);
	(*out)->spec = *spec;
	return MOKA_OK;
}

static enum moka_status fake_shape(struct moka_source *s, int top, struct moka_shape *out, struct moka_error *err)
{
	(void)err;
	*out = top ? moka_shape_make(1, s->spec.batch)
		   : moka_shape_make(4, s->spec.batch, (int64_t)1, (int64_t)2, (int64_t)3);
	return MOKA_OK;
}

static enum moka_status fake_read(struct moka_source *s, int n_top, const struct moka_view *top, struct moka_error *err)
{
	if (++s->reads > 2)
		return moka_fail(err, MOKA_ERR_DATA, "record 8 is damaged");
	for (int t = 0; t < n_top; t++)
		for (int64_t i = 0; i < top[t].count; i++)
			top[t].data[i] = (real)(100 * s->reads + t);
	return MOKA_OK;
}

static int64_t fake_rows(const struct moka_source *s)
{
	(void)s;
	return 17;
}

static void fake_close(struct moka_source *s)
{
	closed++;
	free(s);
}

static const struct moka_source_ops fakes[] = {
	{ "LMDB", fake_open, fake_shape, fake_read, NULL, fake_rows, fake_close },
	{ "LEVELDB", fake_open, fake_shape, fake_read, NULL, fake_rows, fake_close },
	{ "HDF5", fake_open, fake_shape, fake_read, NULL, fake_rows, fake_close },
};
static const struct moka_source_ops *const sources[] = { &fakes[0], &fakes[1], &fakes[2], NULL };

/* shape() once more, as a net would call it that has sources. */
static struct layer_test *with_sources(const char *layer, bool for_run, int64_t batch)
{
	struct layer_test *x = lt_shape(layer, MOKA_TRAIN, "");

	x->l.sources = sources;
	x->l.for_run = for_run;
	x->l.batch = batch;
	x->status = x->l.type->shape(&x->l, &x->findings);
	return x;
}

static void read_some(struct layer_test *x, int64_t batch)
{
	real data[64], label[64];
	struct moka_view top[2] = { { &x->top_ref[0].shape, batch * 6, data, NULL },
				    { &x->top_ref[1].shape, batch, label, NULL } };
	struct moka_error err = { 0 };
	struct moka_call c = { .top = top, .err = &err };

	for (int i = 1; i < 3; i++) {
		T_OK(x->l.type->forward(&x->l, &c), &err);
		T_TRUE(data[0] == 100 * i && data[batch * 6 - 1] == 100 * i && label[batch - 1] == 100 * i + 1);
	}
	T_INT(x->l.type->forward(&x->l, &c), MOKA_ERR_DATA);
	T_HAS(err.message, "record 8 is damaged");
}

T_TEST(a_source_gives_shapes_and_batches)
{
	static const char *const layers[] = {
		DATA "}",
		"layer { type: 'Data' top: 'data' top: 'label' data_param { source: 'db' batch_size: 4 } }",
		"layer { type: 'HDF5Data' top: 'data' top: 'label' hdf5_data_param { source: 'list' batch_size: 4 } }",
	};
	static const char *const kinds[] = { "LMDB", "LEVELDB", "HDF5" };

	for (int i = 0; i < 3; i++)
		for (int64_t batch = 0; batch < 8; batch += 7) {
			struct layer_test *x = with_sources(layers[i], true, batch);

			LT_SHAPE(x, 0, batch ? "7x1x2x3" : "4x1x2x3");
			LT_SHAPE(x, 1, batch ? "7" : "4");
			T_INT(x->l.rows, 17);
			T_STR(x->l.source->spec.kind, kinds[i]);
			T_TRUE(x->l.source->spec.layer == &x->l);
			read_some(x, batch ? 7 : 4);
			x->l.source_ops->close(x->l.source);
			lt_free(x);
		}
	T_INT(closed, 6);
}

T_TEST(data_that_is_not_there)
{
	const char *layer =
		"layer { type: 'Data' top: 'data' top: 'label' data_param { source: 'missing' batch_size: 4 } }";
	struct layer_test *x = with_sources(layer, false, 0);
	struct moka_error err = { 0 };
	struct moka_call c = { .err = &err };

	LT_SHAPE(x, 0, "4x?x?x?"); /* to be explained: a warning */
	T_INT(x->findings.errors, 0);
	T_INT(x->findings.warnings, 1);
	T_HAS(x->findings.items[0].message, "no such folder");
	T_HAS(x->findings.items[0].hint, "moka data");
	T_INT(x->l.type->forward(&x->l, &c), MOKA_ERR_DATA);
	T_HAS(err.message, "has not been opened");
	lt_free(x);
	x = with_sources(layer, true, 0); /* to be run: an error */
	T_TRUE(x->status != MOKA_OK);
	T_INT(x->findings.errors, 1);
	lt_free(x);
}

static const struct CMUnitTest tests[] = {
	T_CASE(shapes_from_settings),
	T_CASE(bad_settings),
	T_CASE(a_source_gives_shapes_and_batches),
	T_CASE(data_that_is_not_there),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
