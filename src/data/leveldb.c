/*
 * leveldb.c - LevelDB is known, and not read yet: opening one says so, and what to do.
 */
#include "data/data.h"

#include <stdio.h>

static enum moka_status leveldb_open(struct moka_source **out, const struct moka_source_spec *spec,
				     struct moka_error *err)
{
	char path[MOKA_MAX_NAME];

	*out = NULL;
	if (snprintf(path, sizeof(path), "%s/data.mdb", spec->path) < (int)sizeof(path) && moka_path_exists(path)) {
		moka_fail(err, MOKA_ERR_MODEL, "%s: this is an LMDB, but the layer's backend is LEVELDB", spec->path);
		moka_fail_hint(err, "LEVELDB is what data_param takes where it says nothing: add backend: LMDB");
		return MOKA_ERR_MODEL;
	}
	if (!moka_path_exists(spec->path))
		return moka_fail(err, MOKA_ERR_IO, "%s: there is no such database", spec->path);
	moka_fail(err, MOKA_ERR_UNSUPPORTED, "%s: LevelDB databases can't be read yet", spec->path);
	moka_fail_hint(err, "make an LMDB of the same pictures with `moka data images`, and say backend: LMDB");
	return MOKA_ERR_UNSUPPORTED;
}

const struct moka_source_ops moka_source_leveldb = { .kind = "LEVELDB", .open = leveldb_open };
