/*
 * data.h - what the commands of `moka data` share.
 */
#ifndef MOKA_CLI_DATA_H
#define MOKA_CLI_DATA_H

#include "cli/cli.h"

extern const struct cli_command cli_data_images, cli_data_pictures, cli_data_mnist, cli_data_cifar, cli_data_hdf5;

/* Where the result goes: -o, or word number `word` as Caffe's tools had it. NULL: printed why. */
const char *cli_data_output(const struct cli_call *c, int word);
#define CLI_OPTION_BACKEND                                                                                             \
	{                                                                                                              \
		"backend", 0, "lmdb|leveldb", "kind of database (default lmdb)", 0                                     \
	}
/* --backend; false: no such kind, printed. */
bool cli_data_backend(const struct cli_call *c, enum moka_backend *kind);
bool cli_backend_of(const char *word, enum moka_backend *kind); /* "lmdb", "leveldb" */

/* "1000 of 60000, 0:12 left" on a terminal. Start with { .done = what was there before }; total 0: not known. */
struct cli_data_progress {
	int64_t done;
	double start, shown;
	int64_t first;
};
void cli_data_progress(struct cli_data_progress *p, int64_t n, int64_t of);

#endif
