/*
 * sources.c - THE list of sources. A new kind is its file, one line here, and its test.
 */
#include "data/data.h"

const struct moka_source_ops *const moka_sources[] = {
	&moka_source_lmdb,
	&moka_source_leveldb,
	&moka_source_annotated_lmdb,
	&moka_source_annotated_leveldb,
	&moka_source_hdf5,
	&moka_source_images,
	&moka_source_windows,
	&moka_source_hdf5_output,
	NULL,
};
