/* Every other file that Moka opens: weights (binary, HDF5), arrays, mean images. */
#include "fuzz.h"
#include "layers/layer.h"
#include "model/model.h"

static void read_weights(const char *path)
{
	struct moka_weights *w;
	struct moka_error err;

	if (moka_weights_open(&w, path, &moka_layer_schema, &err))
		return;
	for (int i = 0; i < w->n_layers; i++)
		for (int k = 0; k < w->layers[i].n_blobs; k++) {
			const struct moka_blob_view *v = &w->layers[i].blobs[k];
			real few[16];

			if (v->count > 0)
				moka_blob_view_read(v, v->count > 16 ? v->count - 16 : 0, v->count > 16 ? 16 : v->count,
						    few);
		}
	moka_weights_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moka_array a = { 0 };
	struct moka_error err;
	const char *path = fuzz_file(data, size);

	if (path) {
		read_weights(path);
		if (!moka_npy_read(&a, path, &err))
			moka_array_release(&a);
		if (!moka_mean_read(&a, path, &err))
			moka_array_release(&a);
	}
	fuzz_file_close();
	return 0;
}
