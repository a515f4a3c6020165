/*
 * data.h - what the commands of `moka data` share.
 */
#ifndef MOKA_CLI_DATA_H
#define MOKA_CLI_DATA_H

#include "cli/cli.h"

extern const struct cli_command cli_data_images, cli_data_pictures;

/* Where the result goes: -o, or word number `word` as Caffe's tools had it. NULL: printed why. */
const char *cli_data_output(const struct cli_call *c, int word);
/* --backend; false: not one that can be written, printed. */
bool cli_data_backend(const struct cli_call *c);
/* "1000 of 60000" on a terminal. */
void cli_data_progress(const struct cli_call *c, int64_t n, int64_t of);

#endif
