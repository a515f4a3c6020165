/*
 * export.h - models for other programs: numpy's .npz, Caffe's HDF5 weights, ONNX. Reads, changes nothing.
 *
 *   npz.c   a zip of .npy arrays, stored, "<layer>.<i>" each
 *   hdf5.c  "/data/<layer>/<i>" datasets, as BVLC Caffe's Net::ToHDF5 lays them out
 *   onnx.c  a whole net; each layer's own file says which nodes it becomes
 */
#ifndef MOKA_EXPORT_H
#define MOKA_EXPORT_H

#include "net/net.h"

/* One array to write: parameter `index` of `layer`, as float32 whatever the view holds. */
struct moka_export_array {
	const char *layer;
	int index;		    /* -1: the layer has none (HDF5 keeps an empty group for it) */
	struct moka_blob_view blob; /* n_axes >= 0; its dimensions multiply to count */
};

/* Both write beside PATH and rename: a failure leaves what was there. Layer and index of two arrays must differ. */
enum moka_status moka_export_npz(const char *path, const struct moka_export_array *a, size_t n, struct moka_error *err);
enum moka_status moka_export_hdf5(const char *path, const struct moka_export_array *a, size_t n,
				  struct moka_error *err);

/*
 * A net of the test phase, allocated and filled, every shape known. Layers that ONNX has no nodes for are findings ("onnx"), each with
 * its place, and nothing is written then (MOKA_ERR_MODEL); err tells of everything else. Weights that the net left in their file are read
 * (moka_net_plain()).
 */
enum moka_status moka_export_onnx(const char *path, struct moka_net *net, struct moka_findings *f,
				  struct moka_error *err);

#endif
