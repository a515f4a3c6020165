/*
 * idx.c - the file format of MNIST: 0 0 type axes | a size for each axis, big-endian | values. zlib reads it packed or plain.
 */
#include "data/data.h"

#include <zlib.h>

#include <inttypes.h>
#include <string.h>

#define MAX_ITEM_BYTES ((int64_t)64 << 20)

static enum moka_status read_bytes(struct moka_idx *x, void *to, size_t n, struct moka_error *err)
{
	const int got = gzread(x->gz, to, (unsigned)n);
	int code = Z_OK;
	const char *why;

	if (got >= 0 && (size_t)got == n)
		return MOKA_OK;
	why = gzerror(x->gz, &code);
	if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END)
		return moka_fail(err, MOKA_ERR_DATA, "%s: can't be unpacked: %s; the file is damaged", x->path, why);
	if (x->n_axes)
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: the file ends within item %" PRId64 " of %" PRId64 "; it is cut off", x->path,
				 x->next, x->dim[0]);
	return moka_fail(err, MOKA_ERR_FORMAT, "%s: the file ends within its head; it is no idx file, or cut off",
			 x->path);
}

static enum moka_status read_head(struct moka_idx *x, struct moka_error *err)
{
	uint8_t head[4], size[16];
	int n;

	MOKA_TRY(read_bytes(x, head, 4, err));
	if (head[0] || head[1] || head[3] < 1 || head[3] > 4)
		return moka_fail(
			err, MOKA_ERR_FORMAT,
			"%s: this is not an idx file (it begins %02x %02x %02x %02x; 00 00 08 01 or 00 00 08 03 was expected)",
			x->path, head[0], head[1], head[2], head[3]);
	if (head[2] != 8)
		return moka_fail(err, MOKA_ERR_UNSUPPORTED,
				 "%s: its values are of the type 0x%02x; only bytes (0x08) are read", x->path, head[2]);
	n = head[3];
	MOKA_TRY(read_bytes(x, size, (size_t)n * 4, err));
	x->item_bytes = 1;
	for (int i = 0; i < n; i++) {
		const uint8_t *p = size + 4 * i;

		x->dim[i] = (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
		if (i && (!moka_mul(x->item_bytes, x->dim[i], &x->item_bytes) || x->item_bytes > MAX_ITEM_BYTES))
			return moka_fail(err, MOKA_ERR_LIMIT, "%s: an item of more than %" PRId64 " bytes", x->path,
					 MAX_ITEM_BYTES);
	}
	if (x->item_bytes < 1)
		return moka_fail(err, MOKA_ERR_FORMAT, "%s: its items have no bytes", x->path);
	x->n_axes = n;
	return MOKA_OK;
}

enum moka_status moka_idx_open(struct moka_idx *x, const char *path, struct moka_error *err)
{
	struct moka_file file = { 0 };
	enum moka_status st;

	memset(x, 0, sizeof(*x));
	x->path = path;
	MOKA_TRY(moka_file_open(&file, path, err)); /* for its messages */
	if (file.size && moka_model_guess(&file) == MOKA_GUESS_LFS)
		st = moka_guess_fail(err, path, &file, MOKA_GUESS_LFS, "an idx file");
	else
		st = MOKA_OK;
	moka_file_release(&file);
	if (st)
		return st;
	x->gz = gzopen(path, "rb");
	if (!x->gz)
		return moka_fail(err, MOKA_ERR_IO, "%s: can't be opened", path);
	st = read_head(x, err);
	if (st)
		moka_idx_close(x);
	return st;
}

enum moka_status moka_idx_read(struct moka_idx *x, uint8_t *item, struct moka_error *err)
{
	if (x->next >= x->dim[0])
		return moka_fail(err, MOKA_ERR_DATA, "%s: there are only %" PRId64 " items", x->path, x->dim[0]);
	MOKA_TRY(read_bytes(x, item, (size_t)x->item_bytes, err));
	x->next++;
	return MOKA_OK;
}

void moka_idx_close(struct moka_idx *x)
{
	if (x->gz)
		gzclose(x->gz);
	x->gz = NULL;
}
