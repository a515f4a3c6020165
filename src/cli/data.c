/*
 * data.c - moka data: databases as Caffe's tools made them.
 *
 *     mnist, cifar  convert_mnist_data, convert_mnist_siamese_data, convert_cifar_data (data_mnist.c)
 *     images  convert_imageset (data_images.c)
 *     hdf5    arrays for HDF5Data (data_hdf5.c)
 *     mean    compute_image_mean
 *     pictures  a look into a database (data_pictures.c)
 *
 * Keys and records are those of Caffe's tools, so that a database made here trains there and the other way round.
 */
#include "cli/data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *cli_data_output(const struct cli_call *c, int word)
{
	const char *o = cli_get(c, "output");

	if (o && c->n_words > word) {
		cli_usage(c, "the output is given twice: '%s' and '%s'", c->words[word], o);
		return NULL;
	}
	if (!o && c->n_words <= word)
		cli_usage(c, "where shall the result go? Say -o");
	return o ? o : c->n_words > word ? c->words[word] : NULL;
}

bool cli_backend_of(const char *word, enum moka_backend *kind)
{
	*kind = strcmp(word, "leveldb") ? MOKA_LMDB : MOKA_LEVELDB;
	return !strcmp(word, "lmdb") || !strcmp(word, "leveldb");
}

bool cli_data_backend(const struct cli_call *c, enum moka_backend *kind)
{
	static const char *const backends[] = { "leveldb", "lmdb", NULL }; /* as enum moka_backend */
	int which;

	if (!cli_choice(c, "backend", backends, MOKA_LMDB, &which))
		return false;
	*kind = (enum moka_backend)which;
	return true;
}

void cli_data_progress(struct cli_data_progress *p, int64_t n, int64_t of)
{
	const double now = moka_now();
	char left[64] = "";

	if (!p->start) {
		p->start = now;
		p->first = n - 1;
	}
	if (!cli_progress() || (now - p->shown < 0.2 && n != of))
		return;
	p->shown = now;
	if (of > n && now - p->start > 1) {
		const double s = (now - p->start) / (double)(n - p->first) * (double)(of - n);

		if (s >= 3600)
			snprintf(left, sizeof(left), ", %d:%02d:%02d left", (int)(s / 3600), (int)s / 60 % 60,
				 (int)s % 60);
		else
			snprintf(left, sizeof(left), ", %d:%02d left", (int)s / 60, (int)s % 60);
	}
	if (of)
		fprintf(stderr, "\r\033[K%" PRId64 " of %" PRId64 "%s%s", n, of, left, n == of ? "\n" : "");
	else
		fprintf(stderr, "\r\033[K%" PRId64, n);
	fflush(stderr);
}

/* ---- mean ------------------------------------------------------------------------------------------- */

struct mean {
	int64_t size[3], count, values;
	double *sum;
	struct moka_image image;
};

static enum moka_status mean_start(struct mean *m, const int64_t size[3], const char *where, struct moka_error *err)
{
	memcpy(m->size, size, sizeof(m->size));
	m->values = size[0] * size[1] * size[2]; /* a record holds as many, so it can't overflow */
	m->sum = calloc((size_t)m->values, sizeof(*m->sum));
	return m->sum ? MOKA_OK : moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", where);
}

static enum moka_status mean_check(struct mean *m, const int64_t size[3], const char *where, struct moka_error *err)
{
	char here[96], first[96];

	if (!m->sum)
		return mean_start(m, size, where, err);
	if (!memcmp(size, m->size, sizeof(m->size)))
		return MOKA_OK;
	moka_fail(err, MOKA_ERR_DATA,
		  "%s: the picture is %s, but the first one is %s: there is no mean of such pictures", where,
		  moka_dims_text(3, size, here, sizeof(here)), moka_dims_text(3, m->size, first, sizeof(first)));
	moka_fail_hint(err, "make the database with one size: `moka data images --resize_height H --resize_width W`");
	return MOKA_ERR_DATA;
}

static enum moka_status mean_add(struct mean *m, const struct moka_datum *d, const char *where, struct moka_error *err)
{
	const int64_t plain[3] = { d->channels, d->height, d->width };

	if (d->encoded) {
		MOKA_TRY(moka_image_decode(&m->image, d->data, d->data_bytes, where, MOKA_IMAGE_NATIVE, err));
		const int64_t decoded[3] = { m->image.channels, m->image.height, m->image.width };
		const int64_t pixels = decoded[1] * decoded[2];

		MOKA_TRY(mean_check(m, decoded, where, err));
		for (int64_t i = 0; i < m->values; i++)
			m->sum[i % decoded[0] * pixels + i / decoded[0]] += m->image.pixels[i];
		return MOKA_OK;
	}
	MOKA_TRY(mean_check(m, plain, where, err));
	for (int64_t i = 0; i < m->values; i++) {
		float f;

		if (d->data_bytes) {
			m->sum[i] += d->data[i];
			continue;
		}
		memcpy(&f, d->floats + (size_t)i * d->float_stride, 4);
		m->sum[i] += (double)f;
	}
	return MOKA_OK;
}

static enum moka_status mean_of(enum moka_backend kind, const char *path, struct mean *m, struct moka_error *err)
{
	struct moka_db *db;
	enum moka_status st = moka_db_open(&db, kind, path, err);
	struct cli_data_progress progress = { 0 };
	const uint8_t *key = NULL, *value;
	size_t key_bytes, value_bytes;
	struct moka_datum d;
	char where[512];

	if (st)
		return st;
	do {
		st = moka_db_next(db, &key, &key_bytes, &value, &value_bytes, err);
		if (st || !key)
			break;
		moka_db_where(db, where, sizeof(where));
		st = moka_datum_parse(&d, value, value_bytes, where, err);
		if (!st)
			st = mean_add(m, &d, where, err);
		if (!st)
			cli_data_progress(&progress, ++m->count, moka_db_rows(db));
	} while (!st);
	moka_db_close(db);
	if (!st && !m->count)
		return moka_fail(err, MOKA_ERR_DATA, "%s: this %s is empty", path, moka_backend_name(kind));
	return st;
}

/* With num, channels, height, width, as the tool of Caffe's age wrote it. */
static enum moka_status mean_write(struct cli_call *c, const struct mean *m, const char *out, struct moka_error *err)
{
	struct moka_msg *blob = moka_msg_new(&c->arena, &moka_blob_message);
	float *values = MOKA_NEWN(&c->arena, m->values, float);
	struct moka_buf b;
	enum moka_status st;

	if (!blob || !values)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	for (int64_t i = 0; i < m->values; i++)
		values[i] = (float)(m->sum[i] / (double)m->count);
	moka_add_int(&c->arena, blob, &moka_layer_schema, "num", 1);
	moka_add_int(&c->arena, blob, &moka_layer_schema, "channels", m->size[0]);
	moka_add_int(&c->arena, blob, &moka_layer_schema, "height", m->size[1]);
	moka_add_int(&c->arena, blob, &moka_layer_schema, "width", m->size[2]);
	moka_add_floats(&c->arena, blob, "data", values, (size_t)m->values);
	moka_buf_init(&b, 0);
	st = moka_wire_write_buf(blob, &b);
	if (st || b.failed)
		st = moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	else if (out)
		st = moka_file_write(out, b.data, b.len, err);
	moka_buf_release(&b);
	return st;
}

static void mean_print(const struct mean *m)
{
	const int64_t pixels = m->size[1] * m->size[2];

	printf("%" PRId64 " pictures of %" PRId64 "x%" PRId64 "x%" PRId64 "\n", m->count, m->size[0], m->size[1],
	       m->size[2]);
	for (int64_t i = 0; i < m->size[0]; i++) {
		double sum = 0;

		for (int64_t j = 0; j < pixels; j++)
			sum += m->sum[i * pixels + j];
		printf("mean_value: %.6g\n", sum / (double)pixels / (double)m->count);
	}
}

static int run_mean(struct cli_call *c)
{
	const char *out = c->n_words > 1 || cli_has(c, "output") ? cli_data_output(c, 1) : NULL;
	struct moka_error err = { 0 };
	struct mean m = { 0 };
	enum moka_backend kind;
	enum moka_status st;

	if ((!out && (c->n_words > 1 || cli_has(c, "output"))) || !cli_data_backend(c, &kind))
		return CLI_USAGE;
	st = mean_of(kind, c->words[0], &m, &err);
	if (!st && out)
		st = mean_write(c, &m, out, &err);
	if (!st)
		mean_print(&m);
	free(m.sum);
	moka_image_release(&m.image);
	return st ? cli_fail_error(c, &err) : cli_flush(c);
}

static const struct cli_option mean_options[] = { { "output", 'o', "FILE",
						    "the mean image, for mean_file (mean.binaryproto)", 0 },
						  CLI_OPTION_BACKEND,
						  CLI_OPTIONS_END };
static const struct cli_command mean_command = {
	.name = "mean",
	.summary = "the mean image of a database",
	.usage = "DB [-o mean.binaryproto]",
	.about = "Prints the mean of each channel, as mean_value lines for transform_param.",
	.examples = "moka data mean train_lmdb -o mean.binaryproto\n",
	.options = mean_options,
	.min_words = 1,
	.max_words = 2,
	.run = run_mean,
};

static const struct cli_command *const subcommands[] = {
	&cli_data_images, &cli_data_mnist, &cli_data_cifar, &cli_data_hdf5, &mean_command, &cli_data_pictures, NULL
};

const struct cli_command cli_command_data = {
	.name = "data",
	.summary = "make databases and mean images, as Caffe's tools did",
	.usage = "images|mnist|cifar|hdf5|mean|pictures ...",
	.subcommands = subcommands,
};
