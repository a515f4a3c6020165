/*
 * data_images.c - moka data images: an LMDB from a list of pictures with labels, as convert_imageset made it.
 *
 * The list has a picture and a whole number in each line; the number is what follows the last space. A record's key is the line's
 * number in eight digits, '_', the picture's name. A picture that can't be read is left out, with a warning.
 */
#include "cli/data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct line {
	const char *name;
	int64_t label;
};

struct job {
	struct cli_call *call;
	const char *root, *list, *out;
	bool grey, check_size, encoded;
	const char *encode_type; /* "png", "jpg"; NULL: as the file is */
	int64_t height, width;	 /* 0: as it is */
	struct line *lines;
	int64_t n_lines, written, skipped;
	int64_t size[3]; /* of the first picture */
	struct moka_image image, resized;
	uint8_t *planes;
	size_t planes_cap;
	struct moka_buf bytes;
};

/* ---- the list ------------------------------------------------------------------------------------ */

static int bad_line(const struct job *j, int64_t number, const char *line, size_t n)
{
	return cli_fail(j->call, "each line is: PICTURE LABEL, the label a whole number",
			"%s:%" PRId64 ": no label at the end of '%.*s'", j->list, number, (int)MOKA_MIN(n, (size_t)120),
			line);
}

static bool read_line(const struct job *j, const char *line, size_t n, struct line *out)
{
	const char *space = memrchr(line, ' ', n);
	const char *digits =
		space ? moka_arena_strndup(&j->call->arena, space + 1, n - (size_t)(space + 1 - line)) : NULL;
	char *end;

	if (!digits || !*digits)
		return false;
	errno = 0;
	out->label = strtoll(digits, &end, 10);
	out->name = moka_arena_strndup(&j->call->arena, line, (size_t)(space - line));
	return out->name && *out->name && !*end && !errno && out->label >= INT32_MIN && out->label <= INT32_MAX;
}

static size_t line_length(const char *p, const char *end)
{
	const char *newline = memchr(p, '\n', (size_t)(end - p));

	return (size_t)((newline ? newline : end) - p);
}

static int read_lines(struct job *j, const struct moka_file *f)
{
	const char *p = (const char *)f->data, *end = p + f->size;
	int64_t most = 1;

	for (const char *q = p; q < end; q++)
		most += *q == '\n';
	j->lines = MOKA_NEWN(&j->call->arena, most, struct line);
	if (!j->lines)
		return cli_fail(j->call, NULL, "not enough memory for %s", j->list);
	for (int64_t number = 1; p < end; number++) {
		const size_t whole = line_length(p, end);
		size_t n = whole;

		while (n && (p[n - 1] == '\r' || p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n && !read_line(j, p, n, &j->lines[j->n_lines++]))
			return bad_line(j, number, p, n);
		p += whole + (p + whole < end);
	}
	return j->n_lines ? CLI_OK : cli_fail(j->call, NULL, "%s: it lists no picture", j->list);
}

static int open_list(struct job *j)
{
	struct moka_file f = { 0 };
	struct moka_error err = { 0 };
	int status;

	if (moka_file_open(&f, j->list, &err))
		return cli_fail_error(j->call, &err);
	status = read_lines(j, &f);
	moka_file_release(&f);
	return status;
}

static void shuffle(struct job *j, uint64_t seed)
{
	struct moka_rng rng;

	moka_rng_seed(&rng, seed, 0);
	for (int64_t i = j->n_lines - 1; i > 0; i--) {
		const int64_t k = (int64_t)moka_rng_below(&rng, (uint64_t)i + 1);
		const struct line swap = j->lines[i];

		j->lines[i] = j->lines[k];
		j->lines[k] = swap;
	}
}

/* ---- one picture -------------------------------------------------------------------------------------- */

static enum moka_status planes_of(struct job *j, const struct moka_image *img, struct moka_datum *d,
				  struct moka_error *err)
{
	const size_t n = (size_t)(img->channels * img->height * img->width);

	if (n > j->planes_cap) {
		uint8_t *bigger = realloc(j->planes, n);

		if (!bigger)
			return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for a picture");
		j->planes = bigger;
		j->planes_cap = n;
	}
	moka_image_planar_u8(img, j->planes);
	d->channels = img->channels;
	d->height = img->height;
	d->width = img->width;
	d->data = j->planes;
	d->data_bytes = n;
	return MOKA_OK;
}

/* The file's own bytes serve where nothing is to be changed. */
static bool keeps_bytes(const struct job *j, const char *path)
{
	const bool jpeg = moka_has_suffix(path, ".jpg") || moka_has_suffix(path, ".jpeg");

	if (j->height || j->width || (j->image.channels == 1) != j->grey)
		return false;
	if (!j->encode_type)
		return true;
	return jpeg ? !strcmp(j->encode_type, "jpg") : moka_has_suffix(path, ".png") && !strcmp(j->encode_type, "png");
}

static bool to_jpeg(const struct job *j, const char *path)
{
	return j->encode_type ? !strcmp(j->encode_type, "jpg") : !moka_has_suffix(path, ".png");
}

static enum moka_status encode(struct job *j, const char *path, const struct moka_file *f, const struct moka_image *img,
			       struct moka_datum *d, struct moka_error *err)
{
	d->encoded = true;
	if (keeps_bytes(j, path)) {
		d->data = f->data;
		d->data_bytes = f->size;
		return MOKA_OK;
	}
	j->bytes.len = 0;
	MOKA_TRY(to_jpeg(j, path) ? moka_image_encode_jpeg(img, 95, &j->bytes, err)
				  : moka_image_encode_png(img, &j->bytes, err));
	d->data = (const uint8_t *)j->bytes.data;
	d->data_bytes = j->bytes.len;
	return MOKA_OK;
}

static enum moka_status check_size(struct job *j, const char *path, const struct moka_image *img,
				   struct moka_error *err)
{
	const int64_t size[3] = { img->channels, img->height, img->width };
	char here[96], first[96];

	if (!j->size[0])
		memcpy(j->size, size, sizeof(size));
	if (!j->check_size || !memcmp(j->size, size, sizeof(size)))
		return MOKA_OK;
	return moka_fail(err, MOKA_ERR_DATA, "%s is %s, but the first picture is %s (--check_size)", path,
			 moka_dims_text(3, size, here, sizeof(here)), moka_dims_text(3, j->size, first, sizeof(first)));
}

static enum moka_status make_record(struct job *j, const char *path, const struct moka_file *f, struct moka_datum *d,
				    struct moka_error *err)
{
	const struct moka_image *img = &j->image;

	if (j->height) {
		MOKA_TRY(moka_image_resize(&j->image, j->height, j->width, &j->resized, err));
		img = &j->resized;
	}
	MOKA_TRY(check_size(j, path, img, err));
	return j->encoded ? encode(j, path, f, img, d, err) : planes_of(j, img, d, err);
}

static enum moka_status add_picture(struct job *j, int64_t i, struct moka_lmdb_writer *w, struct moka_error *err)
{
	const struct line *line = &j->lines[i];
	struct moka_datum d = { .label = line->label };
	struct moka_error why = { 0 };
	struct moka_file f = { 0 };
	enum moka_status st;
	char path[MOKA_MAX_NAME], key[MOKA_MAX_NAME + 24];

	/* Caffe joins the two without a slash, so that the root may be "" or "prefix_". */
	if (snprintf(path, sizeof(path), "%s%s", j->root, line->name) >= (int)sizeof(path))
		return moka_fail(err, MOKA_ERR_LIMIT, "%s: a path of more than %d bytes", j->list, MOKA_MAX_NAME);
	if (moka_file_open(&f, path, &why) ||
	    moka_image_decode(&j->image, f.data, f.size, path, j->grey ? MOKA_IMAGE_GREY : MOKA_IMAGE_COLOUR, &why)) {
		cli_warn(j->call, "left out: %s", why.message);
		moka_file_release(&f);
		j->skipped++;
		return MOKA_OK;
	}
	st = make_record(j, path, &f, &d, err);
	snprintf(key, sizeof(key), "%08" PRId64 "_%s", i, line->name);
	if (!st)
		st = moka_lmdb_writer_put_datum(w, key, &d, err);
	moka_file_release(&f);
	j->written += !st;
	return st;
}

static int make(struct job *j)
{
	struct moka_lmdb_writer *w = NULL;
	struct moka_error err = { 0 };
	enum moka_status st = moka_lmdb_writer_new(&w, j->out, &err);

	if (st)
		return cli_fail_error(j->call, &err);
	for (int64_t i = 0; !st && i < j->n_lines; i++) {
		st = add_picture(j, i, w, &err);
		cli_data_progress(j->call, i + 1, j->n_lines);
	}
	if (!st && !j->written)
		st = moka_fail(&err, MOKA_ERR_DATA,
			       "%s: none of its %" PRId64
			       " pictures can be read; is the root folder '%s' right (with its '/')?",
			       j->list, j->n_lines, j->root);
	if (!st)
		st = moka_lmdb_writer_commit(w, &err);
	else
		moka_lmdb_writer_abort(w);
	if (st)
		return cli_fail_error(j->call, &err);
	printf("%s: %" PRId64 " pictures", j->out, j->written);
	if (j->skipped)
		printf(", %" PRId64 " left out", j->skipped);
	printf("\n");
	return cli_flush(j->call);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static int read_options(struct job *j)
{
	struct cli_call *c = j->call;
	static const char *const types[] = { "png", "jpg", "jpeg", NULL };
	int type;

	if (!cli_int(c, "resize_height", 0, 65536, 0, &j->height) ||
	    !cli_int(c, "resize_width", 0, 65536, 0, &j->width))
		return CLI_USAGE;
	if (!j->height != !j->width)
		return cli_usage(c, "--resize_height and --resize_width go together");
	if (!cli_choice(c, "encode_type", types, -1, &type))
		return CLI_USAGE;
	j->encode_type = type < 0 ? NULL : types[MOKA_MIN(type, 1)];
	j->grey = cli_switch(c, "gray", false);
	j->check_size = cli_switch(c, "check_size", false);
	j->encoded = cli_switch(c, "encoded", false) || j->encode_type;
	return cli_data_backend(c) ? CLI_OK : CLI_USAGE;
}

static int run_images(struct cli_call *c)
{
	struct job j = { .call = c, .root = c->words[0], .list = c->words[1], .out = cli_data_output(c, 2) };
	int64_t seed = 1;
	int status;

	if (!j.out || !cli_int(c, "seed", 0, INT64_MAX, 1, &seed))
		return CLI_USAGE;
	status = read_options(&j);
	if (status)
		return status;
	moka_buf_init(&j.bytes, 0);
	status = open_list(&j);
	if (!status && cli_switch(c, "shuffle", false))
		shuffle(&j, (uint64_t)seed);
	if (!status)
		status = make(&j);
	moka_buf_release(&j.bytes);
	moka_image_release(&j.image);
	moka_image_release(&j.resized);
	free(j.planes);
	return status;
}

static const struct cli_option options[] = {
	{ "output", 'o', "DB", "folder to make (it must not exist)", 0 },
	{ "gray", 0, NULL, "one channel instead of three", 0 },
	{ "shuffle", 0, NULL, "put the pictures into a random order", 0 },
	{ "seed", 0, "N", "of that order (default 1)", 0 },
	{ "resize_height", 0, "N", "height of all pictures (default: as they are)", 0 },
	{ "resize_width", 0, "N", "width of all pictures", 0 },
	{ "check_size", 0, NULL, "stop at a picture of another size than the first", 0 },
	{ "encoded", 0, NULL, "store JPEG or PNG instead of pixels", 0 },
	{ "encode_type", 0, "png|jpg", "store in this format", 0 },
	{ "backend", 0, "lmdb", "kind of database", 0 },
	CLI_OPTIONS_END
};

const struct cli_command cli_data_images = {
	.name = "images",
	.summary = "an LMDB from a list of pictures with labels",
	.usage = "ROOT LIST -o DB [options]",
	.about =
		"LIST has a picture and its label (a whole number) in each line; ROOT is put before each name, so a folder\n"
		"needs its '/'. Pictures are JPEG or PNG. One that can't be read is left out, with a warning.",
	.examples =
		"moka data images train/ train.txt -o train_lmdb --shuffle --resize_height 256 --resize_width 256\n",
	.options = options,
	.min_words = 2,
	.max_words = 3,
	.run = run_images,
};
