/*
 * data_mnist.c - moka data mnist, moka data cifar: databases from the files in which those sets are published.
 *
 * Plain, the records are those of Caffe's convert_mnist_data and convert_cifar_data; with --pairs, those of its
 * convert_mnist_siamese_data: two pictures as two groups of channels, label 1 where they are of one class. --classes and --count take
 * a part of a set, for trying things and for fine-tuning.
 */
#include "cli/data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Which of the items are taken. */
struct choice {
	int new_label[256]; /* -1: this class is not taken */
	int64_t count;	    /* at most so many; 0: all */
	int64_t pairs;	    /* 0: single pictures */
	uint64_t seed;
};

/* The items that were taken, in memory: 47 MB for MNIST. */
struct items {
	uint8_t *pixels, *labels;
	int64_t n, cap;
};

/* ---- the options -------------------------------------------------------------------------------- */

/* "5,7,9": class 5 becomes label 0, 7 label 1 ... */
static bool choose_classes(struct cli_call *c, struct choice *to)
{
	int n = 0;
	const char **words = cli_list(c, "classes", &n);

	for (int i = 0; i < 256; i++)
		to->new_label[i] = cli_has(c, "classes") ? -1 : i;
	for (int i = 0; i < n; i++) {
		char *end;
		const long v = strtol(words[i], &end, 10);

		if (*end || end == words[i] || v < 0 || v > 255)
			return cli_usage(c, "--classes wants numbers of classes, 0 to 255: '%s' is none", words[i]),
			       false;
		if (to->new_label[v] >= 0)
			return cli_usage(c, "--classes names class %ld twice", v), false;
		to->new_label[v] = i;
	}
	return true;
}

static bool choose(struct cli_call *c, struct choice *to)
{
	int64_t seed;

	if (!choose_classes(c, to) || !cli_int(c, "count", 1, INT64_MAX, 0, &to->count) ||
	    !cli_int(c, "pairs", 1, INT32_MAX, 0, &to->pairs) || !cli_int(c, "seed", 0, INT64_MAX, 1, &seed))
		return false;
	to->seed = (uint64_t)seed;
	return true;
}

/* ---- mnist ---------------------------------------------------------------------------------------- */

/* Both files open, and of the same length. */
static enum moka_status check_pair(const struct moka_idx *images, const struct moka_idx *labels, struct moka_error *err)
{
	if (images->n_axes != 3 && images->n_axes != 4) {
		moka_fail(err, MOKA_ERR_DATA, "%s: %d axes; pictures have 3 (number, height, width)", images->path,
			  images->n_axes);
		if (images->n_axes == 1)
			moka_fail_hint(err, "this looks like the labels: the pictures come first");
		return MOKA_ERR_DATA;
	}
	if (labels->n_axes != 1)
		return moka_fail(err, MOKA_ERR_DATA, "%s: %d axes; labels have 1", labels->path, labels->n_axes);
	if (images->dim[0] != labels->dim[0])
		return moka_fail(err, MOKA_ERR_DATA, "%s has %" PRId64 " pictures, but %s has %" PRId64 " labels",
				 images->path, images->dim[0], labels->path, labels->dim[0]);
	return MOKA_OK;
}

static enum moka_status grow(struct items *s, int64_t item_bytes, struct moka_error *err)
{
	const int64_t cap = s->cap ? s->cap * 2 : 1024;
	uint8_t *pixels = realloc(s->pixels, (size_t)(cap * item_bytes)), *labels = NULL;

	if (pixels) {
		s->pixels = pixels;
		labels = realloc(s->labels, (size_t)cap);
	}
	if (!labels)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for the pictures");
	s->labels = labels;
	s->cap = cap;
	return MOKA_OK;
}

/* The chosen items of both files. */
static enum moka_status read_items(struct moka_idx *images, struct moka_idx *labels, const struct choice *which,
				   struct items *s, struct moka_error *err)
{
	const int64_t bytes = images->item_bytes;

	for (int64_t i = 0; i < images->dim[0] && (!which->count || s->n < which->count); i++) {
		uint8_t label;

		if (s->n == s->cap)
			MOKA_TRY(grow(s, bytes, err));
		MOKA_TRY(moka_idx_read(images, s->pixels + s->n * bytes, err));
		MOKA_TRY(moka_idx_read(labels, &label, err));
		if (which->new_label[label] < 0)
			continue;
		s->labels[s->n++] = (uint8_t)which->new_label[label];
	}
	if (!s->n)
		return moka_fail(err, MOKA_ERR_DATA, "%s: none of its pictures is of the chosen classes", labels->path);
	return MOKA_OK;
}

static enum moka_status put(struct moka_db_writer *w, int64_t i, const struct moka_datum *d, struct moka_error *err)
{
	char key[24];

	snprintf(key, sizeof(key), "%08" PRId64, i);
	return moka_db_writer_put_datum(w, key, d, err);
}

static enum moka_status put_items(struct moka_db_writer *w, const struct items *s, struct moka_datum *d,
				  struct moka_error *err)
{
	struct cli_data_progress progress = { 0 };

	for (int64_t i = 0; i < s->n; i++) {
		d->data = s->pixels + i * (int64_t)d->data_bytes;
		d->label = s->labels[i];
		MOKA_TRY(put(w, i, d, err));
		cli_data_progress(&progress, i + 1, s->n);
	}
	return MOKA_OK;
}

/* Pairs drawn at random, as Caffe's tool draws them: most are of two classes. */
static enum moka_status put_pairs(struct cli_call *c, struct moka_db_writer *w, const struct items *s,
				  const struct choice *which, struct moka_datum *d, struct moka_error *err)
{
	const int64_t bytes = (int64_t)d->data_bytes;
	struct cli_data_progress progress = { 0 };
	struct moka_rng rng;
	uint8_t *both = moka_arena_alloc(&c->arena, 2 * d->data_bytes, 1);

	if (!both)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	moka_rng_seed(&rng, which->seed, 0);
	d->channels *= 2;
	d->data_bytes *= 2;
	d->data = both;
	for (int64_t i = 0; i < which->pairs; i++) {
		const int64_t a = (int64_t)moka_rng_below(&rng, (uint64_t)s->n);
		const int64_t b = (int64_t)moka_rng_below(&rng, (uint64_t)s->n);

		memcpy(both, s->pixels + a * bytes, (size_t)bytes);
		memcpy(both + bytes, s->pixels + b * bytes, (size_t)bytes);
		d->label = s->labels[a] == s->labels[b];
		MOKA_TRY(put(w, i, d, err));
		cli_data_progress(&progress, i + 1, which->pairs);
	}
	return MOKA_OK;
}

static enum moka_status put_all(struct cli_call *c, const struct moka_idx *images, struct moka_db_writer *w,
				const struct items *s, const struct choice *which, struct moka_error *err)
{
	const int a = images->n_axes;
	struct moka_datum d = { .channels = a == 4 ? images->dim[1] : 1,
				.height = images->dim[a - 2],
				.width = images->dim[a - 1],
				.data_bytes = (size_t)images->item_bytes };

	return which->pairs ? put_pairs(c, w, s, which, &d, err) : put_items(w, s, &d, err);
}

static int finish(struct cli_call *c, struct moka_db_writer *w, enum moka_status st, const char *out, int64_t n,
		  const char *things, struct moka_error *err)
{
	if (!st)
		st = moka_db_writer_commit(w, err);
	else
		moka_db_writer_abort(w);
	if (st)
		return cli_fail_error(c, err);
	printf("%s: %" PRId64 " %s\n", out, n, things);
	return cli_flush(c);
}

static int run_mnist(struct cli_call *c)
{
	const char *out = cli_data_output(c, 2);
	struct moka_db_writer *w = NULL;
	struct moka_idx images = { 0 }, labels = { 0 };
	struct moka_error err = { 0 };
	struct items s = { 0 };
	struct choice which;
	enum moka_backend kind;
	enum moka_status st;
	int status;

	if (!out || !cli_data_backend(c, &kind) || !choose(c, &which))
		return CLI_USAGE;
	st = moka_idx_open(&images, c->words[0], &err);
	if (!st)
		st = moka_idx_open(&labels, c->words[1], &err);
	if (!st)
		st = check_pair(&images, &labels, &err);
	if (!st)
		st = read_items(&images, &labels, &which, &s, &err);
	if (!st)
		st = moka_db_writer_new(&w, kind, out, &err);
	if (!st)
		st = put_all(c, &images, w, &s, &which, &err);
	status = finish(c, w, st, out, which.pairs ? which.pairs : s.n, which.pairs ? "pairs" : "pictures", &err);
	moka_idx_close(&images);
	moka_idx_close(&labels);
	free(s.pixels);
	free(s.labels);
	return status;
}

static const struct cli_option mnist_options[] = {
	{ "output", 'o', "DB", "folder to make (it must not exist)", 0 },
	CLI_OPTION_BACKEND,
	{ "classes", 0, "N,...", "only pictures of these classes; their labels become 0, 1, ... in this order", 0 },
	{ "count", 0, "N", "only the first N of them", 0 },
	{ "pairs", 0, "N", "N random pairs for a siamese net: twice the channels, label 1 where both are of one class",
	  0 },
	{ "seed", 0, "N", "of the pairs (default 1)", 0 },
	CLI_OPTIONS_END
};
const struct cli_command cli_data_mnist = {
	.name = "mnist",
	.summary = "a database from MNIST's or Fashion-MNIST's files",
	.usage = "IMAGES LABELS -o DB [options]",
	.about =
		"IMAGES and LABELS are idx files, packed with gzip or not. The net reads the result with\n"
		"data_param { source: \"DB\" backend: LMDB batch_size: 64 }. With --pairs, a Slice over the channels takes the\n"
		"two pictures of a pair apart.",
	.examples = "moka data mnist train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz -o train_lmdb\n"
		    "moka data mnist train-images-idx3-ubyte train-labels-idx1-ubyte -o pairs_lmdb --pairs 60000\n",
	.options = mnist_options,
	.min_words = 2,
	.max_words = 3,
	.run = run_mnist,
};

/* ---- cifar ----------------------------------------------------------------------------------------- */

enum { CIFAR_PIXELS = 3 * 32 * 32, CIFAR_RECORD = 1 + CIFAR_PIXELS };

/* CIFAR-10's binary files: a label and 3x32x32 values a record. Keys of five digits, as Caffe's tool. */
static enum moka_status copy_cifar(struct cli_call *c, const char *path, struct moka_db_writer *w, int64_t *n,
				   struct moka_error *err)
{
	struct moka_file f = { 0 };
	enum moka_status st = moka_file_open(&f, path, err);

	if (st)
		return st;
	if (!f.size || f.size % CIFAR_RECORD)
		st = moka_fail(err, MOKA_ERR_DATA, "%s: %zu bytes; a CIFAR-10 file has a multiple of %d", path, f.size,
			       CIFAR_RECORD);
	for (size_t at = 0; !st && at < f.size; at += CIFAR_RECORD) {
		const struct moka_datum d = { .channels = 3,
					      .height = 32,
					      .width = 32,
					      .label = f.data[at],
					      .data = f.data + at + 1,
					      .data_bytes = CIFAR_PIXELS };
		char key[24];

		snprintf(key, sizeof(key), "%05" PRId64, (*n)++);
		st = moka_db_writer_put_datum(w, key, &d, err);
	}
	(void)c;
	moka_file_release(&f);
	return st;
}

static int make_cifar(struct cli_call *c, const char *folder, const char *const *files, int n_files,
		      enum moka_backend kind, const char *out)
{
	struct moka_db_writer *w = NULL;
	struct moka_error err = { 0 };
	enum moka_status st = moka_db_writer_new(&w, kind, out, &err);
	int64_t n = 0;

	for (int i = 0; !st && i < n_files; i++) {
		const char *path = moka_arena_printf(&c->arena, "%s/%s", folder, files[i]);

		st = path ? copy_cifar(c, path, w, &n, &err) : MOKA_ERR_NOMEM;
	}
	return finish(c, w, st, out, n, "pictures", &err);
}

static int run_cifar(struct cli_call *c)
{
	static const char *const train[] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
					     "data_batch_4.bin", "data_batch_5.bin" };
	static const char *const test[] = { "test_batch.bin" };
	const char *out = cli_data_output(c, 1), *form;
	enum moka_backend kind;
	int status;

	if (!out || !cli_data_backend(c, &kind))
		return CLI_USAGE;
	/* Caffe's tool takes the kind of database as its last word. */
	if (c->n_words > 2 && !cli_backend_of(c->words[2], &kind))
		return cli_usage(c, "'%s' is no kind of database: lmdb or leveldb", c->words[2]);
	form = kind == MOKA_LMDB ? "lmdb" : "leveldb";
	status = make_cifar(c, c->words[0], train, (int)MOKA_COUNT(train), kind,
			    moka_arena_printf(&c->arena, "%s/cifar10_train_%s", out, form));
	if (status)
		return status;
	return make_cifar(c, c->words[0], test, (int)MOKA_COUNT(test), kind,
			  moka_arena_printf(&c->arena, "%s/cifar10_test_%s", out, form));
}

static const struct cli_option cifar_options[] = { { "output", 'o', "FOLDER", "where the two databases are made", 0 },
						   CLI_OPTION_BACKEND,
						   CLI_OPTIONS_END };
const struct cli_command cli_data_cifar = {
	.name = "cifar",
	.summary = "databases from CIFAR-10's binary files",
	.usage = "FOLDER -o FOLDER",
	.about =
		"Reads data_batch_1.bin to data_batch_5.bin and test_batch.bin; makes cifar10_train_lmdb and cifar10_test_lmdb.",
	.examples = "moka data cifar cifar-10-batches-bin -o .\n",
	.options = cifar_options,
	.min_words = 1,
	.max_words = 3,
	.run = run_cifar,
};
