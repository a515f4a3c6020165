/*
 * fuzz.h - a fuzz target is one function of bytes; the same file is linked with libFuzzer, or with replay.c, which feeds it the corpus.
 *
 *     scripts/fuzz.sh net 600        # ten minutes of coverage-guided fuzzing (clang)
 *     build-asan/tests/fuzz/replay_net tests/fuzz/corpus/net
 */
#ifndef MOKA_FUZZ_H
#define MOKA_FUZZ_H

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes as a file that can be opened by its name; NULL where the system has none left. Closed by fuzz_file_close(). */
const char *fuzz_file(const uint8_t *data, size_t size);
void fuzz_file_close(void);

#endif
