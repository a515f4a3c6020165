/*
 * data_pictures.c - moka data pictures: the records of a database as PNG files, to look at or to classify.
 *
 * A file is called <record>-label<k>.png, so that whoever looks at an answer can see what it should have been.
 */
#include "cli/data.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Planes of bytes (one, or three in the order B, G, R) -> interleaved pixels. */
static enum moka_status picture_of(const struct moka_datum *d, struct cli_call *c, const char *where,
				   struct moka_image *img, struct moka_error *err)
{
	const int64_t pixels = d->height * d->width;

	if (d->encoded)
		return moka_image_decode(img, d->data, d->data_bytes, where, MOKA_IMAGE_NATIVE, err);
	if (!d->data || (d->channels != 1 && d->channels != 3))
		return moka_fail(err, MOKA_ERR_DATA,
				 "%s: %" PRId64 " channels of %s are no picture; 1 or 3 of bytes are", where,
				 d->channels, d->data ? "bytes" : "floats");
	*img = (struct moka_image){ .height = d->height, .width = d->width, .channels = d->channels };
	img->pixels = moka_arena_alloc(&c->arena, d->data_bytes + 1, 1);
	if (!img->pixels)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", where);
	for (int64_t i = 0; i < pixels; i++)
		for (int64_t k = 0; k < d->channels; k++)
			img->pixels[i * d->channels + k] = d->data[k * pixels + i];
	return MOKA_OK;
}

/* *end: there is no record behind the last one. */
static enum moka_status write_record(struct cli_call *c, struct moka_db *db, int64_t record, const char *folder,
				     bool *end, struct moka_error *err)
{
	const uint8_t *key, *value;
	size_t key_bytes, value_bytes;
	struct moka_image img = { 0 };
	struct moka_datum d;
	char where[512];

	MOKA_TRY(moka_db_next(db, &key, &key_bytes, &value, &value_bytes, err));
	moka_db_where(db, where, sizeof(where));
	*end = !key;
	if (!key)
		return MOKA_OK;
	MOKA_TRY(moka_datum_parse(&d, value, value_bytes, where, err));
	MOKA_TRY(picture_of(&d, c, where, &img, err));
	const char *path =
		moka_arena_printf(&c->arena, "%s/%08" PRId64 "-label%" PRId64 ".png", folder, record, d.label);
	enum moka_status st =
		path ? moka_image_write_png(&img, path, err) : moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");

	if (d.encoded)
		moka_image_release(&img);
	if (!st)
		puts(path);
	return st;
}

static int run_pictures(struct cli_call *c)
{
	const char *folder = cli_data_output(c, 1);
	struct moka_error err = { 0 };
	struct moka_db *db;
	enum moka_backend kind;
	int64_t count, skip;

	if (!folder || !cli_data_backend(c, &kind) || !cli_int(c, "count", 1, INT64_MAX, 10, &count) ||
	    !cli_int(c, "skip", 0, INT64_MAX, 0, &skip))
		return CLI_USAGE;
	if (mkdir(folder, 0777) && errno != EEXIST)
		return cli_fail(c, NULL, "can't make the folder '%s': %s", folder, strerror(errno));
	if (moka_db_open(&db, kind, c->words[0], &err))
		return cli_fail_error(c, &err);
	enum moka_status st = skip ? moka_db_seek(db, (uint64_t)skip, &err) : MOKA_OK;
	const int64_t rows = moka_db_rows(db);
	bool end = false;

	if (!st && rows && skip >= rows)
		st = moka_fail(&err, MOKA_ERR_ARG,
			       "%s has %" PRId64 " records, so none is left behind the first %" PRId64, c->words[0],
			       rows, skip);
	for (int64_t i = skip; !st && !end && i - skip < count; i++)
		st = write_record(c, db, i, folder, &end, &err);
	moka_db_close(db);
	return st ? cli_fail_error(c, &err) : cli_flush(c);
}

static const struct cli_option pictures_options[] = {
	{ "output", 'o', "FOLDER", "where the pictures go (made if it isn't there)", 0 },
	{ "count", 0, "N", "how many records (default 10)", 0 },
	{ "skip", 0, "N", "how many records to pass over first (default 0)", 0 },
	CLI_OPTION_BACKEND,
	CLI_OPTIONS_END,
};

const struct cli_command cli_data_pictures = {
	.name = "pictures",
	.summary = "records of a database as PNG files",
	.usage = "DB -o FOLDER [--count N] [--skip N]",
	.about = "Writes FOLDER/<record>-label<k>.png and prints each name.",
	.examples = "moka data pictures test_lmdb -o pictures --count 10\n",
	.options = pictures_options,
	.min_words = 1,
	.max_words = 2,
	.run = run_pictures,
};
