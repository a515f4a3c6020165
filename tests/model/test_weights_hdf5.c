/*
 * test_weights_hdf5.c - .caffemodel.h5: made here, published, and damaged.
 */
#include "t.h"

#include "layers/layer.h"
#include "model/model.h"

#include <hdf5.h>

#include <stdlib.h>
#include <string.h>

static const char *file(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", t_tmp(), name);
	return path;
}

static void add(hid_t group, const char *name, hid_t stored, int n_axes, const hsize_t *dim, const float *values)
{
	const hid_t space = n_axes ? H5Screate_simple(n_axes, dim, NULL) : H5Screate(H5S_SCALAR);
	const hid_t d = H5Dcreate2(group, name, stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

	if (values)
		T_TRUE(H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
	H5Dclose(d);
	H5Sclose(space);
}

/* /data/ip/{0,1}, /data/shared/1 (blob 0 is another layer's), /data/block/conv/0, /data/relu. */
static const char *make(void)
{
	const float x[] = { 1, 2, 3, 4, 5, 6 };
	const hsize_t dim[] = { 2, 3 };
	const char *path = file("w.caffemodel.h5");
	const hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	const hid_t data = H5Gcreate2(f, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	static const char *const names[] = { "ip", "shared", "block", "block/conv", "relu" };
	hid_t g[5];

	for (int i = 0; i < 5; i++)
		g[i] = H5Gcreate2(data, names[i], H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	add(g[0], "0", H5T_IEEE_F32LE, 2, dim, x);
	add(g[0], "1", H5T_IEEE_F64LE, 1, dim, x);
	add(g[1], "1", H5T_IEEE_F32LE, 1, dim, x);
	add(g[3], "0", H5T_STD_I32LE, 0, NULL, x);
	for (int i = 0; i < 5; i++)
		H5Gclose(g[i]);
	H5Gclose(data);
	H5Fclose(f);
	return path;
}

static const struct moka_weights_layer *layer(const struct moka_weights *w, const char *name)
{
	for (int i = 0; i < w->n_layers; i++)
		if (!strcmp(w->layers[i].name, name))
			return &w->layers[i];
	fail_msg("no layer '%s'", name);
	return NULL;
}

T_TEST(layers_and_blobs)
{
	const real want[] = { 1, 2, 3, 4, 5, 6 };
	const struct moka_weights_layer *l;
	struct moka_error e = { 0 };
	struct moka_weights *w;
	real got[6];

	T_OK(moka_weights_open(&w, make(), &moka_layer_schema, &e), &e);
	T_INT(w->n_layers, 4);
	l = layer(w, "ip");
	T_INT(l->n_blobs, 2);
	T_TRUE(l->type == NULL);
	T_INT(l->blobs[0].n_axes, 2);
	T_INT(l->blobs[0].dim[1], 3);
	moka_blob_view_read(&l->blobs[0], 0, 6, got);
	T_NEAR(got, want, 6, 0, 0);
	moka_blob_view_read(&l->blobs[1], 0, 2, got);
	T_NEAR(got, want, 2, 0, 0);
	l = layer(w, "shared");
	T_INT(l->n_blobs, 2);
	T_INT(l->blobs[0].n_axes, -1);
	T_INT(l->blobs[0].count, 0);
	T_INT(l->blobs[1].count, 2);
	l = layer(w, "block/conv");
	T_INT(l->n_blobs, 1);
	T_INT(l->blobs[0].n_axes, 0);
	T_INT(l->blobs[0].count, 1);
	T_INT(layer(w, "relu")->n_blobs, 0);
	moka_weights_free(w);
}

static void open_and_read(const char *path)
{
	struct moka_error e = { 0 };
	struct moka_weights *w;
	real got[64];

	if (moka_weights_open(&w, path, &moka_layer_schema, &e)) {
		T_TRUE(e.message[0] != '\0');
		return;
	}
	for (int i = 0; i < w->n_layers; i++)
		for (int k = 0; k < w->layers[i].n_blobs; k++)
			moka_blob_view_read(&w->layers[i].blobs[k], 0, MOKA_MIN(w->layers[i].blobs[k].count, 64), got);
	moka_weights_free(w);
}

T_TEST(cut_short)
{
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };

	T_OK(moka_file_open(&f, make(), &e), &e);
	for (size_t n = 0; n < f.size; n += n < 600 ? 7 : 97) {
		T_OK(moka_file_write(file("cut.h5"), f.data, n, &e), &e);
		open_and_read(file("cut.h5"));
	}
	moka_file_release(&f);
}

T_TEST(damaged)
{
	struct moka_error e = { 0 };
	struct moka_file f = { 0 };
	struct moka_rng r;
	uint8_t *bytes;

	T_OK(moka_file_open(&f, make(), &e), &e);
	bytes = malloc(f.size);
	T_TRUE(bytes != NULL);
	moka_rng_seed(&r, 20, 0);
	for (int i = 0; i < 3000; i++) {
		memcpy(bytes, f.data, f.size);
		for (int k = 1 + (int)moka_rng_below(&r, 3); k > 0; k--)
			bytes[moka_rng_below(&r, f.size)] = (uint8_t)moka_rng_next(&r);
		T_OK(moka_file_write(file("bad.h5"), bytes, f.size, &e), &e);
		open_and_read(file("bad.h5"));
	}
	free(bytes);
	moka_file_release(&f);
}

/* A dataset that claims a terabyte and stores nothing. */
T_TEST(claims_a_terabyte)
{
	const hsize_t dim[] = { (hsize_t)1 << 38 };
	const char *path = file("huge.h5");
	const hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	const hid_t data = H5Gcreate2(f, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	const hid_t g = H5Gcreate2(data, "ip", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	struct moka_error e = { 0 };
	struct moka_weights *w;

	add(g, "0", H5T_IEEE_F32LE, 1, dim, NULL);
	H5Gclose(g);
	H5Gclose(data);
	H5Fclose(f);
	T_TRUE(moka_weights_open(&w, path, &moka_layer_schema, &e) != MOKA_OK);
	T_HAS(e.message, "claims 274877906944 values");
}

T_TEST(other_hdf5)
{
	const char *path = file("other.h5");
	const hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	struct moka_error e = { 0 };
	struct moka_weights *w;

	H5Fclose(f);
	T_TRUE(moka_weights_open(&w, path, &moka_layer_schema, &e) != MOKA_OK);
	T_HAS(e.message, "no group '/data'");
}

T_TEST(published)
{
	struct moka_error e = { 0 };
	struct moka_weights *w;
	char path[4300];

	if (!t_shared())
		T_SKIP("no ../shared");
	snprintf(path, sizeof(path), "%s/models/cifar10-m4-hdf5/cifar10_m4_iter_70000.caffemodel.h5", t_shared());
	if (!moka_path_exists(path))
		T_SKIP("no published HDF5 weights");
	T_OK(moka_weights_open(&w, path, &moka_layer_schema, &e), &e);
	T_TRUE(w->n_layers >= 4);
	T_TRUE(layer(w, "conv1")->n_blobs >= 1);
	moka_weights_free(w);
}

static const struct CMUnitTest tests[] = {
	T_CASE(layers_and_blobs),  T_CASE(cut_short),  T_CASE(damaged),
	T_CASE(claims_a_terabyte), T_CASE(other_hdf5), T_CASE(published),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
