/*
 * test_guess.c - what a file is, from its bytes; and the sentences that say so.
 */
#include "t.h"

#include "model/model.h"

#include <string.h>

struct row {
	const char *bytes;
	size_t n; /* 0: strlen */
	enum moka_file_guess guess;
};

static enum moka_file_guess guess(const void *p, size_t n)
{
	const struct moka_file f = { .data = n ? p : NULL, .size = n };

	return moka_model_guess(&f);
}

static const struct row rows[] = {
	{ "name: \"x\"\nlayer { name: \"a\" }\n", 0, MOKA_GUESS_TEXT_NET },
	{ "# net: \"x\"\n input: \"data\"\ninput_dim: 1", 0, MOKA_GUESS_TEXT_NET },
	{ "layers <\n  name: 'a'\n>", 0, MOKA_GUESS_TEXT_NET },
	{ "\xef\xbb\xbfnet: \"x\" base_lr: 0.1", 0, MOKA_GUESS_TEXT_SOLVER },
	{ "net: \"a.prototxt\"\nbase_lr: 0.01 lr_policy: \"fixed\"", 0, MOKA_GUESS_TEXT_SOLVER },
	{ "net_param { name: \"x\" layer { name: \"l\" } } max_iter: 3", 0, MOKA_GUESS_TEXT_SOLVER },
	{ "train_net: 'layer { } #' test_iter: 3", 0, MOKA_GUESS_TEXT_SOLVER },
	{ "hello world", 0, MOKA_GUESS_TEXT },
	{ "# \xb2\xe2\xca\xd4\nlayer{\n}", 0, MOKA_GUESS_TEXT_NET },
	{ "\nlayer {\n}\x1a", 0, MOKA_GUESS_TEXT_NET },
	{ "\x89HDF\r\n\x1a\n----", 12, MOKA_GUESS_HDF5 },
	{ "\x89PNG\r\n\x1a\n----", 12, MOKA_GUESS_PNG },
	{ "\xff\xd8\xff\xe0--", 6, MOKA_GUESS_JPEG },
	{ "\x93NUMPY\1\0", 8, MOKA_GUESS_NPY },
	{ "PK\3\4----", 8, MOKA_GUESS_ZIP },
	{ "\x1f\x8b\x08\0", 4, MOKA_GUESS_GZIP },
	{ "\xff\xfen\0a\0", 6, MOKA_GUESS_UTF16 },
	{ "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", 0, MOKA_GUESS_LFS },
	{ "<!DOCTYPE html>\n<html>", 0, MOKA_GUESS_HTML },
	{ "\n\n  <HTML lang=en>", 0, MOKA_GUESS_HTML },
	{ "layer {\n<<<<<<< HEAD\n  name: \"a\"\n=======\n", 0, MOKA_GUESS_CONFLICT },
	{ "layer {\n}\n>>>>>>> branch\n", 0, MOKA_GUESS_CONFLICT },
	{ "layer { a <b <c <d <e <f <g <<<<<<<h: 1", 0, MOKA_GUESS_TEXT_NET },
	/* binaries: NetParameter { name }, { layer {} }, { name layers { name: "x" type: 4 } } */
	{ "\x0a\x03"
	  "abc",
	  5, MOKA_GUESS_CAFFEMODEL },
	{ "\xa2\x06\x03\x0a\x01"
	  "a",
	  6, MOKA_GUESS_CAFFEMODEL },
	{ "\x0a\x01"
	  "n\x12\x05\x22\x01"
	  "x\x28\x04",
	  10, MOKA_GUESS_CAFFEMODEL },
	{ "\x0a\x01"
	  "n\x12\x05\x22\x01"
	  "x\x28\x04\x48\x01",
	  12, MOKA_GUESS_CAFFEMODEL }, /* and a fork's field 9 */
	{ "\xa2\x06\xff\xff\x03\x0a\x01"
	  "a",
	  8, MOKA_GUESS_CAFFEMODEL }, /* breaks off */
	{ "\x08\x0a\x12\x03"
	  "a.m\x1a\x02\x08\x01",
	  11, MOKA_GUESS_SOLVERSTATE },
	{ "\x08\x01\x10\x03\x18\x02\x20\x02\x2a\x04\0\0\0\0", 14, MOKA_GUESS_MEAN },
	{ "\x3a\x02\x08\x01\x2a\x04\0\0\0\0", 10, MOKA_GUESS_MEAN },
	{ "\x08\x01\x10\x01\x18\x01\x22\x01\x07\x28\x03", 11, MOKA_GUESS_DATUM },
	{ "\x0a\x03"
	  "a.p\x2d\0\0\0\0\x38\x05",
	  12, MOKA_GUESS_SOLVER },
	{ "\0\0\0\0\0\0\0\0", 8, MOKA_GUESS_UNKNOWN },
	{ "\xde\xad\xbe\xef\1\2\3", 7, MOKA_GUESS_UNKNOWN },
};

T_TEST(every_kind)
{
	T_INT(guess(NULL, 0), MOKA_GUESS_EMPTY);
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		const size_t n = rows[i].n ? rows[i].n : strlen(rows[i].bytes);
		const enum moka_file_guess g = guess(rows[i].bytes, n);

		if (g != rows[i].guess)
			print_error("row %zu: %s, not %s\n", i, moka_guess_text(g), moka_guess_text(rows[i].guess));
		T_INT(g, rows[i].guess);
	}
}

/* Whatever the bytes: an answer. Every prefix of every row, and a run of pseudo-random bytes. */
T_TEST(any_bytes)
{
	struct moka_rng r;
	uint8_t noise[512];
	int known = 0;

	for (size_t i = 0; i < MOKA_COUNT(rows); i++)
		for (size_t n = 0; n < (rows[i].n ? rows[i].n : strlen(rows[i].bytes)); n++)
			known += guess(rows[i].bytes, n) != MOKA_GUESS_UNKNOWN;
	moka_rng_seed(&r, 1, 0);
	for (int i = 0; i < 2000; i++) {
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)moka_rng_next(&r);
		known += guess(noise, (size_t)moka_rng_below(&r, sizeof(noise))) != MOKA_GUESS_UNKNOWN;
	}
	T_TRUE(known > 0);
}

static void fails_with(const char *bytes, size_t n, const char *wanted, const char *message, const char *hint)
{
	const struct moka_file f = { .data = (const uint8_t *)bytes, .size = n };
	struct moka_error e = { 0 };

	T_INT(moka_guess_fail(&e, "some/file", &f, moka_model_guess(&f), wanted), MOKA_ERR_FORMAT);
	T_INT(e.status, MOKA_ERR_FORMAT);
	T_HAS(e.message, "some/file: ");
	T_HAS(e.message, message);
	T_HAS(e.hint, hint);
}

T_TEST(says_what_it_is)
{
	const char *lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456789\n";
	const char *snapshot = "\x08\x0a\x12\x0c"
			       "x.caffemodel\x1a\x02\x08\x01";

	fails_with(lfs, strlen(lfs), "a net", "has 123456789 bytes", "git lfs pull");
	fails_with(snapshot, 20, "weights", "a snapshot of a solver's state", "'x.caffemodel'");
	fails_with("\xa2\x06\x03\x0a\x01"
		   "a",
		   6, "a .solverstate", "a net in binary", "--weights");
	fails_with("\xff\xd8\xff\xe0--", 6, "a net or a solver", "a JPEG picture, not a net", "-i BLOB=FILE");
	fails_with("\x89HDF\r\n\x1a\n----", 12, "a net", "an HDF5 file", "-w");
	fails_with("<html>", 6, "weights", "a web page", "raw");
	fails_with("\0\0\0\0\0\0", 6, "weights", "begins with zeros", "");
	fails_with("", 0, "weights", "an empty file", "broken off");
}

static const struct CMUnitTest tests[] = { T_CASE(every_kind), T_CASE(any_bytes), T_CASE(says_what_it_is) };

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
