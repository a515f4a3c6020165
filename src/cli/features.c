/*
 * moka features - blobs of a net run over its data: a record for each sample in an LMDB or LevelDB, or arrays (.npy).
 *
 * Also answers to extract_features, whose words are WEIGHTS NET BLOB[,...] DB[,...] BATCHES KIND [CPU|GPU [DEVICE]]. Records are as that
 * tool writes them: a Datum of floats without a label, channels, height and width of the blob, under the sample's number in
 * ten digits.
 */
#include "cli/data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct feature {
	const char *name;
	int blob;
	int64_t row; /* values of a sample */
	const char *db;
	struct moka_db_writer *writer;
	int64_t written;
	float *floats; /* of a sample */
	real *values;  /* of all, for an array */
	int64_t cap;
};

struct features {
	struct cli_call *c;
	const char *model, *folder; /* folder: arrays go there */
	struct feature *items;
	int n;
	int64_t batches, limit; /* limit: samples that are wanted; batches 0: as many as hold them */
	enum moka_backend kind;
	struct cli_net net;
	struct moka_exec *e;
};

/* ---- what is asked for ------------------------------------------------------------------------------ */

static int take_names(struct features *f, const char **blobs, int n_blobs, const char **dbs, int n_dbs)
{
	if (n_dbs && n_dbs != n_blobs)
		return cli_usage(f->c, "%d blob%s and %d database%s: one for each is needed", n_blobs,
				 n_blobs == 1 ? "" : "s", n_dbs, n_dbs == 1 ? "" : "s");
	f->items = MOKA_NEWN(&f->c->arena, n_blobs + 1, struct feature);
	if (!f->items)
		return cli_fail(f->c, NULL, "no memory");
	for (f->n = 0; f->n < n_blobs; f->n++) {
		f->items[f->n].name = blobs[f->n];
		f->items[f->n].db = n_dbs ? dbs[f->n] : NULL;
	}
	return f->n ? CLI_OK : cli_usage(f->c, "which blobs? Say --blobs NAME,...");
}

/* "a,b" -> both; empty ones are left out. */
static const char **split(struct cli_call *c, const char *text, int *n)
{
	const char **out = MOKA_NEWN(&c->arena, strlen(text) + 1, const char *);

	for (*n = 0; out && *text; text += *text == ',') {
		const size_t length = strcspn(text, ",");

		if (length)
			out[(*n)++] = moka_arena_strndup(&c->arena, text, length);
		text += length;
	}
	return out;
}

/* Gives the option as if it had stood in the call. */
static void say(struct cli_call *c, const char *name, const char *value)
{
	for (const struct cli_option *o = c->command->options; o->name; o++)
		if (!strcmp(o->name, name))
			c->values[c->n_values++] = (struct cli_value){ o, value };
}

/* Options are Moka's, words are extract_features'. */
static int read_words(struct features *f)
{
	struct cli_call *c = f->c;
	const char **blobs, **dbs;
	int n_blobs, n_dbs;
	char *end;

	if (c->n_words < 6)
		return cli_usage(c, "usage: %s WEIGHTS NET BLOB[,...] DB[,...] BATCHES lmdb|leveldb [CPU|GPU [DEVICE]]",
				 c->name);
	say(c, "weights", c->words[0]);
	f->model = c->words[1];
	f->batches = strtoll(c->words[4], &end, 10);
	if (*end || f->batches < 1)
		return cli_usage(c, "'%s' is no number of batches", c->words[4]);
	if (!cli_backend_of(c->words[5], &f->kind))
		return cli_usage(c, "'%s' is no kind of database: lmdb or leveldb", c->words[5]);
	blobs = split(c, c->words[2], &n_blobs);
	dbs = split(c, c->words[3], &n_dbs);
	if (!blobs || !dbs)
		return cli_fail(c, NULL, "no memory");
	return n_dbs ? take_names(f, blobs, n_blobs, dbs, n_dbs) : cli_usage(c, "no database is named");
}

static int read_options(struct features *f)
{
	struct cli_call *c = f->c;
	int n_blobs, n_dbs;
	const char **blobs = cli_list(c, "blobs", &n_blobs), **dbs = cli_list(c, "db", &n_dbs);

	if (c->n_words > 1)
		return cli_usage(c, "'%s' is one word too many: the blobs are named with --blobs", c->words[1]);
	f->model = c->words[0];
	f->folder = cli_get(c, "output");
	if (!cli_data_backend(c, &f->kind) || !cli_int(c, "iterations", 1, INT32_MAX, 0, &f->batches))
		return CLI_USAGE;
	if (!n_dbs == !f->folder)
		return cli_usage(c, "where shall they go? Say --db NAME,... for databases, or -o FOLDER for arrays");
	return take_names(f, blobs, n_blobs, dbs, n_dbs);
}

/* ---- the blobs -------------------------------------------------------------------------------------- */

static int find_blob(struct features *f, struct feature *x)
{
	const struct moka_net *n = f->net.net;
	const char *near;
	const struct moka_shape *s;

	x->blob = moka_net_blob(n, x->name);
	if (x->blob < 0) {
		near = moka_net_nearest_blob(n, x->name);
		return near ? cli_usage(f->c, "the net has no blob '%s'; did you mean '%s'?", x->name, near)
			    : cli_usage(f->c, "the net has no blob '%s'", x->name);
	}
	s = &n->blobs[x->blob].shape;
	if (s->n < 1 || (s->n > 4 && x->db))
		return cli_fail(f->c, NULL, "blob '%s' has %d dimensions; a record of it needs 1 to 4", x->name, s->n);
	x->row = moka_shape_count_range(s, 1, s->n);
	x->floats = MOKA_NEWN(&f->c->arena, x->row + 1, float);
	return x->floats ? CLI_OK : cli_fail(f->c, NULL, "no memory");
}

/* Where no number of batches is given, every sample of the data once. */
static int find_end(struct features *f)
{
	const struct moka_net *n = f->net.net;
	const int64_t first = n->blobs[f->items[0].blob].shape.d[0];

	f->limit = INT64_MAX;
	if (f->batches)
		return CLI_OK;
	for (int i = 0; i < n->n_layers; i++)
		if (n->layers[i].l.rows > 0 && n->layers[i].l.n_top)
			f->limit = MOKA_MIN(f->limit, n->layers[i].l.rows);
	if (f->limit == INT64_MAX || first < 1)
		return cli_usage(f->c,
				 "how many batches? Say --iterations N: the net's data don't tell how many there are");
	f->batches = (f->limit + first - 1) / first;
	return CLI_OK;
}

static int open_outputs(struct features *f)
{
	struct moka_error err = { 0 };

	if (f->folder && mkdir(f->folder, 0777) && errno != EEXIST)
		return cli_fail(f->c, NULL, "can't make the folder '%s': %s", f->folder, strerror(errno));
	for (int i = 0; i < f->n; i++)
		if (f->items[i].db && moka_db_writer_new(&f->items[i].writer, f->kind, f->items[i].db, &err))
			return cli_fail_error(f->c, &err);
	return CLI_OK;
}

/* ---- the samples -------------------------------------------------------------------------------------- */

static enum moka_status put_record(struct feature *x, const struct moka_shape *s, const real *v, struct moka_error *err)
{
	struct moka_datum d = { .no_label = true };
	char key[24];

	for (int64_t i = 0; i < x->row; i++)
		x->floats[i] = (float)v[i];
	d.channels = s->n > 1 ? s->d[1] : 1;
	d.height = s->n > 2 ? s->d[2] : 1;
	d.width = s->n > 3 ? s->d[3] : 1;
	d.floats = (const uint8_t *)x->floats;
	d.n_floats = (size_t)x->row;
	d.float_stride = sizeof(float);
	snprintf(key, sizeof(key), "%010" PRId64, x->written);
	return moka_db_writer_put_datum(x->writer, key, &d, err);
}

static enum moka_status keep_values(struct feature *x, const real *v, struct moka_error *err)
{
	const int64_t at = x->written * x->row, need = at + x->row;

	if (need > x->cap) {
		const int64_t cap = MOKA_MAX(need, 2 * x->cap);
		real *bigger = realloc(x->values, (size_t)cap * sizeof(*bigger));

		if (!bigger)
			return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory for the values of '%s'", x->name);
		x->values = bigger;
		x->cap = cap;
	}
	if (x->row)
		memcpy(x->values + at, v, (size_t)x->row * sizeof(*v));
	return MOKA_OK;
}

static enum moka_status take_batch(struct features *f, struct feature *x, struct moka_error *err)
{
	const struct moka_shape *s = &f->net.net->blobs[x->blob].shape;
	const real *v = moka_exec_data(f->e, x->blob);
	const int64_t items = moka_exec_items(f->e, x->blob), n = items >= 0 ? items : s->d[0];

	for (int64_t i = 0; i < n && x->written < f->limit; i++, x->written++)
		MOKA_TRY(x->writer ? put_record(x, s, v + i * x->row, err) : keep_values(x, v + i * x->row, err));
	return MOKA_OK;
}

static int take_all(struct features *f)
{
	struct cli_data_progress progress = { 0 };
	struct moka_error err = { 0 };

	for (int64_t b = 0; b < f->batches; b++) {
		if (moka_exec_forward(f->e, 0, f->net.net->n_layers, NULL, &err))
			return cli_fail_error(f->c, &err);
		for (int i = 0; i < f->n; i++)
			if (take_batch(f, &f->items[i], &err))
				return cli_fail_error(f->c, &err);
		cli_data_progress(&progress, b + 1, f->batches);
	}
	return CLI_OK;
}

static enum moka_status write_array(struct features *f, struct feature *x, const char **path, struct moka_error *err)
{
	struct moka_shape s = f->net.net->blobs[x->blob].shape;
	char *name = moka_arena_strdup(&f->c->arena, x->name);

	for (char *p = name; p && *p; p++)
		*p = *p == '/' ? '_' : *p;
	*path = name ? moka_arena_printf(&f->c->arena, "%s/%s.npy", f->folder, name) : NULL;
	if (!*path)
		return moka_fail(err, MOKA_ERR_NOMEM, "not enough memory");
	s.d[0] = x->written;
	return moka_npy_write(*path, s.n, s.d, x->values, err);
}

static int finish(struct features *f)
{
	struct moka_error err = { 0 };

	for (int i = 0; i < f->n; i++) {
		struct feature *x = &f->items[i];
		const char *path = x->db;
		enum moka_status st;

		if (x->writer) {
			struct moka_db_writer *w = x->writer;

			x->writer = NULL;
			st = moka_db_writer_commit(w, &err);
		} else {
			st = write_array(f, x, &path, &err);
		}
		if (st)
			return cli_fail_error(f->c, &err);
		printf("%s: %" PRId64 " samples of '%s'\n", path, x->written, x->name);
	}
	return cli_flush(f->c);
}

/* ---- the command -------------------------------------------------------------------------------------- */

static int with_net(struct features *f)
{
	struct moka_exec_options eo = { .keep = MOKA_KEEP_ALL, .pool = f->net.pool, .seed = 1 };
	struct moka_error err = { 0 };
	int status = CLI_OK;

	for (int i = 0; !status && i < f->n; i++)
		status = find_blob(f, &f->items[i]);
	if (!status)
		status = find_end(f);
	if (status)
		return status;
	if (moka_net_reserve(f->net.net, 1, &err))
		return cli_fail_error(f->c, &err);
	if (!cli_load_weights(f->c, &f->net, false) || !cli_report(f->c, &f->net.findings, MOKA_WARNING))
		return CLI_FAILED;
	if (moka_exec_new(&f->e, f->net.net, &eo, &err))
		return cli_fail_error(f->c, &err);
	status = open_outputs(f);
	if (!status)
		status = take_all(f);
	return status ? status : finish(f);
}

static int run_features(struct cli_call *c)
{
	struct features f = { .c = c };
	struct moka_net_options o = { 0 };
	int status = strcmp(c->name, "extract_features") ? read_options(&f) : read_words(&f);

	if (status)
		return status;
	if (!cli_net_options(c, MOKA_TEST, &o) || !cli_open_pool(c, &f.net) ||
	    !cli_int(c, "skip-bad", 0, INT64_MAX, 0, &o.skip_bad)) {
		cli_close(&f.net);
		return CLI_USAGE;
	}
	if (!cli_has(c, "weights")) {
		cli_close(&f.net);
		return cli_usage(c, "which weights? Say -w FILE");
	}
	o.for_run = true;
	status = CLI_FAILED;
	if (cli_open_net(c, f.model, &o, &f.net) && !f.net.findings.errors)
		status = with_net(&f);
	else
		cli_report(c, &f.net.findings, MOKA_WARNING);
	for (int i = 0; i < f.n; i++) {
		moka_db_writer_abort(f.items[i].writer);
		free(f.items[i].values);
	}
	moka_exec_free(f.e);
	cli_close(&f.net);
	return status;
}

static const struct cli_option features_options[] = {
	{ "weights", 'w', "FILE", "trained weights; several separated by commas", CLI_REPEAT },
	{ "blobs", 0, "NAMES", "blobs to take, separated by commas", CLI_REPEAT },
	{ "db", 0, "NAMES", "a database to make for each", CLI_REPEAT },
	CLI_OPTION_BACKEND,
	{ "output", 'o', "FOLDER", "arrays instead: FOLDER/<blob>.npy", 0 },
	{ "iterations", 0, "N", "batches to run (default: every sample of the data once)", 0 },
	{ "skip-bad", 0, "N", "leave out up to N damaged records (default 0: the first one is an error)", 0 },
	CLI_OPTIONS_NET("phase to build (default test)"),
	CLI_OPTION_THREADS,
	CLI_OPTION_PLUGIN,
	CLI_OPTIONS_END,
};

const struct cli_command cli_command_features = {
	.name = "features",
	.summary = "a trained net's blobs over its data, into a database or arrays",
	.usage =
		"MODEL -w WEIGHTS --blobs NAME,... --db DB,... [options]\nMODEL -w WEIGHTS --blobs NAME,... -o FOLDER [options]",
	.about =
		"MODEL is a net with a data layer. A database gets a record of floats for each sample, under its number in ten digits, as\n"
		"Caffe's extract_features makes them; an array has the blob's shape, with all samples along the first axis.",
	.examples =
		"moka features train_val.prototxt -w trained.caffemodel --blobs fc7 --db fc7_lmdb\n"
		"moka features train_val.prototxt -w trained.caffemodel --blobs fc7,prob -o features --iterations 10\n",
	.options = features_options,
	.min_words = 1,
	.max_words = 8,
	.run = run_features,
};
