/*
 * data_images.c - moka data images: a database from a list of pictures with labels, as convert_imageset made it.
 *
 * The list has a picture and a whole number in each line; the number is what follows the last space. A record's key is the line's
 * number in eight digits, '_', the picture's name. A picture that can't be read is left out, with a warning. With --anno_type detection the
 * list has a file of boxes in the number's place, and records are SSD's AnnotatedDatum (data_boxes.c).
 *
 * Records go to DB.part, which becomes DB when all are in. A conversion that was stopped (Ctrl-C, a full disk, kill) leaves it, and
 * --resume goes on behind the last key that is in it; DB.resume holds what it was begun with, so that no database is made of two halves.
 */
#include "cli/data.h"
#include "cli/data_boxes.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
	struct cli_call *call;
	const char *root, *list, *out;
	enum moka_backend kind;
	bool grey, check_size, encoded;
	const char *encode_type; /* "png", "jpg"; NULL: as the file is */
	int64_t height, width;	 /* 0: as it is */
	bool detection;
	struct cli_boxes boxes; /* of detection */
	struct moka_picture_list lines;
	int64_t first, written, skipped; /* first: line to begin with */
	int64_t size[3];		 /* of the first picture */
	struct moka_image image, resized;
	uint8_t *planes;
	size_t planes_cap;
	struct moka_buf bytes;
};

/* Set by Ctrl-C: what is begun is finished, and the rest is left for --resume. */
static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = 1;
	signal(sig, SIG_DFL);
}

static void shuffle(struct job *j, uint64_t seed)
{
	struct moka_rng rng;

	moka_rng_seed(&rng, seed, 0);
	for (int64_t i = j->lines.n - 1; i > 0; i--) {
		const int64_t k = (int64_t)moka_rng_below(&rng, (uint64_t)i + 1);
		const struct moka_picture_line swap = j->lines.lines[i];

		j->lines.lines[i] = j->lines.lines[k];
		j->lines.lines[k] = swap;
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
	d->says_plain = true; /* Caffe's tool writes it */
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

static enum moka_status put_boxes(struct job *j, int64_t i, struct moka_db_writer *w, const char *key,
				  const struct moka_datum *d, struct moka_error *err)
{
	const char *name = j->boxes.files[j->lines.lines[i].label];
	char path[MOKA_MAX_NAME];

	if (snprintf(path, sizeof(path), "%s%s", j->root, name) >= (int)sizeof(path))
		return moka_fail(err, MOKA_ERR_LIMIT, "%s: a path of more than %d bytes", j->list, MOKA_MAX_NAME);
	MOKA_TRY(cli_boxes_record(&j->boxes, path, j->image.height, j->image.width, d, err));
	return moka_db_writer_put(w, key, j->boxes.record.data, j->boxes.record.len, err);
}

static enum moka_status add_picture(struct job *j, int64_t i, struct moka_db_writer *w, struct moka_error *err)
{
	const struct moka_picture_line *line = &j->lines.lines[i];
	struct moka_datum d = { .label = j->detection ? -1 : line->label };
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
		st = j->detection ? put_boxes(j, i, w, key, &d, err) : moka_db_writer_put_datum(w, key, &d, err);
	moka_file_release(&f);
	j->written += !st;
	return st;
}

/* ---- stopped and gone on with --------------------------------------------------------------------------- */

static const char *beside(const struct job *j, const char *suffix)
{
	size_t n = strlen(j->out);

	while (n > 1 && j->out[n - 1] == '/')
		n--;
	return moka_arena_printf(&j->call->arena, "%.*s%s", (int)n, j->out, suffix);
}

/* Everything that a record depends on. */
static void describe(const struct job *j, bool shuffled, int64_t seed, struct moka_buf *b)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (int64_t i = 0; i < j->lines.n; i++) {
		for (const char *p = j->lines.lines[i].name; *p; p++)
			hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
		hash = (hash ^ (uint64_t)j->lines.lines[i].label) * 0x100000001b3u;
	}
	moka_buf_printf(
		b, "root %s\nlist %" PRId64 " %016" PRIx64 "\nshuffle %d %" PRId64 "\nsize %" PRId64 " %" PRId64 "\n",
		j->root, j->lines.n, hash, shuffled, shuffled ? seed : 0, j->height, j->width);
	for (int64_t i = 0; j->detection && i < j->lines.n; i++)
		moka_buf_printf(b, "boxes %s\n", j->boxes.files[j->lines.lines[i].label]);
	moka_buf_printf(b, "gray %d\nencoded %d %s\nbackend %s\n", j->grey, j->encoded,
			j->encode_type ? j->encode_type : "", moka_backend_name(j->kind));
}

static int refuse_part(const struct job *j, const char *part)
{
	return cli_fail(j->call, "say --resume to go on with it, or remove it (and the file DB.resume) to start anew",
			"%s: left by a conversion that was stopped", part);
}

/* DB.part and DB.resume as this call may use them. */
static int check_part(struct job *j, const struct moka_buf *described)
{
	const char *part = beside(j, ".part"), *note = beside(j, ".resume");
	struct moka_error err = { 0 };
	struct moka_file f = { 0 };
	bool same;

	if (!part || !note)
		return cli_fail(j->call, NULL, "not enough memory");
	if (moka_path_exists(part)) {
		if (!cli_switch(j->call, "resume", false))
			return refuse_part(j, part);
		if (moka_file_open(&f, note, &err))
			return cli_fail_error(j->call, &err);
		same = f.size == described->len && !memcmp(f.data, described->data, f.size);
		moka_file_release(&f);
		if (!same)
			return cli_fail(j->call, "give the same list and options, or remove it to start anew",
					"%s: begun with another list or other options, which %s holds", part, note);
	}
	return moka_file_write(note, described->data, described->len, &err) ? cli_fail_error(j->call, &err) : CLI_OK;
}

/* The line behind the one whose record is the last; that key must be this list's. */
static enum moka_status find_first(struct job *j, const char *last, struct moka_error *err)
{
	char key[MOKA_MAX_NAME + 24];
	const int64_t i = strtoll(last, NULL, 10);

	if (!*last)
		return MOKA_OK;
	if (i >= 0 && i < j->lines.n) {
		snprintf(key, sizeof(key), "%08" PRId64 "_%s", i, j->lines.lines[i].name);
		if (!strcmp(key, last)) {
			j->first = i + 1;
			return MOKA_OK;
		}
	}
	return moka_fail(err, MOKA_ERR_DATA, "%s.part: its last key '%.100s' is not one of this list", j->out, last);
}

/* --check_size compares with the first picture, which another call has put in. */
static void learn_first_size(struct job *j)
{
	char path[MOKA_MAX_NAME];

	if (j->height || snprintf(path, sizeof(path), "%s%s", j->root, j->lines.lines[0].name) >= (int)sizeof(path) ||
	    moka_image_read(&j->image, path, j->grey ? MOKA_IMAGE_GREY : MOKA_IMAGE_COLOUR, NULL))
		return;
	j->size[0] = j->image.channels;
	j->size[1] = j->image.height;
	j->size[2] = j->image.width;
}

/* ---- all of them ---------------------------------------------------------------------------------------- */

static enum moka_status add_all(struct job *j, struct moka_db_writer *w, struct moka_error *err)
{
	struct cli_data_progress progress = { 0 };

	for (int64_t i = j->first; i < j->lines.n && !stopped; i++) {
		MOKA_TRY(add_picture(j, i, w, err));
		cli_data_progress(&progress, i + 1, j->lines.n);
	}
	if (stopped)
		return moka_fail(err, MOKA_ERR_INTERRUPTED, "stopped");
	if (j->written || j->first)
		return MOKA_OK;
	return moka_fail(err, MOKA_ERR_DATA,
			 "%s: none of its %" PRId64
			 " pictures can be read; is the root folder '%s' right (with its '/')?",
			 j->list, j->lines.n, j->root);
}

static int finish(struct job *j, struct moka_db_writer *w)
{
	struct moka_error err = { 0 };

	if (moka_db_writer_commit(w, &err))
		return cli_fail_error(j->call, &err);
	unlink(beside(j, ".resume"));
	printf("%s: %" PRId64 " pictures%s", j->out, j->written, j->first ? " more" : "");
	if (j->skipped)
		printf(", %" PRId64 " left out", j->skipped);
	printf("\n");
	return cli_flush(j->call);
}

/* What was made stays, unless nothing was. */
static int give_up(struct job *j, struct moka_db_writer *w, const struct moka_error *why)
{
	struct moka_error err = { 0 };
	int64_t done = j->first + j->written + j->skipped;

	if (why->status != MOKA_ERR_INTERRUPTED)
		cli_fail_error(j->call, why);
	if (!j->first && !j->written) {
		moka_db_writer_abort(w);
		unlink(beside(j, ".resume"));
		return CLI_FAILED;
	}
	if (moka_db_writer_pause(w, &err))
		return cli_fail_error(j->call, &err);
	cli_note(j->call,
		 "%" PRId64 " of %" PRId64 " pictures are in %s; the same words with --resume go on behind them", done,
		 j->lines.n, beside(j, ".part"));
	return CLI_FAILED;
}

static int make(struct job *j, const struct moka_buf *described)
{
	struct moka_db_writer *w = NULL;
	struct moka_error err = { 0 };
	char last[600];
	enum moka_status st;
	int status;

	if (moka_path_exists(j->out))
		return cli_fail(j->call, "remove it first, or write to another name", "%s: it exists already", j->out);
	status = check_part(j, described);
	if (status)
		return status;
	if (moka_db_writer_resume(&w, j->kind, j->out, last, sizeof(last), &err))
		return cli_fail_error(j->call, &err);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	st = find_first(j, last, &err);
	if (j->first)
		learn_first_size(j);
	if (!st)
		st = add_all(j, w, &err);
	else
		j->first = 1; /* somebody else's: it stays */
	return st ? give_up(j, w, &err) : finish(j, w);
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static int read_anno_options(struct job *j)
{
	static const char *const types[] = { "classification", "detection", NULL };
	static const char *const forms[] = { "xml", "txt", NULL };
	struct cli_call *c = j->call;
	int64_t least, most;
	int type, form;

	if (!cli_int(c, "min_dim", 0, 65536, 0, &least) || !cli_int(c, "max_dim", 0, 65536, 0, &most))
		return CLI_USAGE;
	if (least || most)
		return cli_usage(
			c,
			"--min_dim and --max_dim other than 0 can't be done; --resize_height and --resize_width can");

	if (!cli_choice(c, "anno_type", types, 0, &type) || !cli_choice(c, "label_type", forms, 0, &form))
		return CLI_USAGE;
	j->detection = type == 1;
	j->boxes.xml = form == 0;
	if (j->detection && j->boxes.xml && !cli_has(c, "label_map_file"))
		return cli_usage(c, "--anno_type detection needs --label_map_file FILE: which number is which name?");
	return CLI_OK;
}

static enum moka_status read_list(struct job *j, struct moka_error *err)
{
	struct cli_call *c = j->call;

	if (!j->detection)
		return moka_picture_list_read(&j->lines, j->list, &c->arena, err);
	if (cli_has(c, "label_map_file"))
		MOKA_TRY(cli_boxes_map(&j->boxes, cli_get(c, "label_map_file"), &c->arena, err));
	return cli_boxes_list(&j->boxes, &j->lines, j->list, &c->arena, err);
}

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
	return cli_data_backend(c, &j->kind) ? read_anno_options(j) : CLI_USAGE;
}

static int run_images(struct cli_call *c)
{
	struct job j = { .call = c, .root = c->words[0], .list = c->words[1], .out = cli_data_output(c, 2) };
	const bool shuffled = cli_switch(c, "shuffle", false);
	struct moka_buf described;
	struct moka_error err = { 0 };
	int64_t seed = 1;
	int status;

	if (!j.out || !cli_int(c, "seed", 0, INT64_MAX, 1, &seed))
		return CLI_USAGE;
	status = read_options(&j);
	if (status)
		return status;
	moka_buf_init(&j.bytes, 0);
	moka_buf_init(&described, 0);
	moka_buf_init(&j.boxes.objects, 0);
	moka_buf_init(&j.boxes.record, 0);
	if (read_list(&j, &err))
		status = cli_fail_error(c, &err);
	if (!status && shuffled)
		shuffle(&j, (uint64_t)seed);
	if (!status) {
		describe(&j, shuffled, seed, &described);
		status = described.failed ? cli_fail(c, NULL, "not enough memory") : make(&j, &described);
	}
	moka_buf_release(&described);
	moka_buf_release(&j.bytes);
	moka_buf_release(&j.boxes.objects);
	moka_buf_release(&j.boxes.record);
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
	{ "anno_type", 0, "classification|detection", "what is known of a picture: a number, or boxes (SSD)", 0 },
	{ "label_type", 0, "xml|txt", "files of boxes: VOC's XML, or LABEL XMIN YMIN XMAX YMAX lines (default xml)",
	  0 },
	{ "label_map_file", 0, "FILE", "which label is which name in those files: item { name: \"cat\" label: 1 }", 0 },
	/* of convert_annoset; pictures are checked against the map all the same */
	{ "check_label", 0, NULL, "", CLI_HIDDEN },
	{ "min_dim", 0, "N", "", CLI_HIDDEN },
	{ "max_dim", 0, "N", "", CLI_HIDDEN },
	CLI_OPTION_BACKEND,
	{ "resume", 0, NULL, "go on with a conversion that was stopped", 0 },
	CLI_OPTIONS_END
};

const struct cli_command cli_data_images = {
	.name = "images",
	.summary = "a database from a list of pictures with labels",
	.usage = "ROOT LIST -o DB [options]",
	.about =
		"LIST has a picture and its label (a whole number) in each line; ROOT is put before each name, so a folder\n"
		"needs its '/'. Pictures are JPEG or PNG. One that can't be read is left out, with a warning. Ctrl-C stops; what is done\n"
		"by then stays in DB.part, and the same words with --resume go on behind it.\n"
		"With --anno_type detection a line of LIST is a picture and its file of boxes, and the database is AnnotatedData's.",
	.examples =
		"moka data images VOC/ train.txt -o voc_lmdb --anno_type detection --label_map_file labelmap.prototxt --encoded\n"
		"moka data images train/ train.txt -o train_lmdb --shuffle --resize_height 256 --resize_width 256\n",
	.options = options,
	.min_words = 2,
	.max_words = 3,
	.run = run_images,
};
