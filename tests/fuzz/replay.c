/*
 * replay.c - feeds a target every file of the folders and files named, then cut and bit-flipped versions of each (seeded), so
 * that `make test` exercises the error paths without a fuzzer. Ends with `N passed, 0 failed, 0 skipped`.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define MUTATIONS 200

static long runs;

static void run_bytes(const uint8_t *data, size_t size)
{
	/* a heap copy of just the size, so that AddressSanitizer sees a read past the end */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	runs++;
}

static void run_mutations(const uint8_t *data, size_t size, uint64_t seed)
{
	struct moka_rng r;
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		abort();
	moka_rng_seed(&r, seed, 0);
	for (int i = 0; i < MUTATIONS && size; i++) {
		size_t n = i % 3 == 0 ? (size_t)moka_rng_below(&r, size) : size;

		memcpy(copy, data, size);
		for (uint64_t k = moka_rng_below(&r, 4) + (i % 3 != 0); k && n; k--)
			copy[moka_rng_below(&r, n)] = i % 2 ? (uint8_t)moka_rng_next(&r)
							    : (uint8_t) "{}<>[]:#\"\n0\xff"[moka_rng_below(&r, 12)];
		run_bytes(copy, n);
	}
	free(copy);
}

static int run_file(const char *path)
{
	struct moka_file f;
	struct moka_error err;

	if (moka_file_open(&f, path, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	run_bytes(f.data, f.size);
	if (f.size < 200000)
		run_mutations(f.data, f.size, f.size);
	moka_file_release(&f);
	return 0;
}

static int run_path(const char *path)
{
	DIR *d = opendir(path);
	int bad = 0;

	if (!d)
		return run_file(path);
	for (struct dirent *e; (e = readdir(d));) {
		char name[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		bad += run_file(name);
	}
	closedir(d);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad += run_path(argv[i]);
	fprintf(stderr, "%ld inputs\n", runs);
	printf("%d passed, %d failed, 0 skipped\n", runs > 0, bad + (runs == 0));
	return bad || !runs;
}
