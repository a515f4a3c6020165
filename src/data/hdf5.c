/*
 * hdf5.c - the HDF5Data layer's samples: a text file lists HDF5 files, each top is the dataset of its name.
 *
 * Rows come in order, file after file, and a batch goes on into the next file. With `shuffle` the files come in another
 * order in every round, and so do the rows of a file (which is then held in memory as a whole; else a
 * block of rows is). The orders of round r are drawn from the seed and r alone, so that a resumed run sees the same.
 */
#include "data/ahead.h"
#include "model/h5.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((int64_t)64 << 20)
#define COUNT_AT_OPEN 256 /* files whose rows are counted when the source is opened */

struct top {
	const char *name;
	moka_h5_object dataset;	 /* in the open file */
	struct moka_shape shape; /* of a batch */
	int64_t row;		 /* values in a row */
	real *values;		 /* rows [block, block + block_rows) of the file */
	int64_t cap;
};

struct hdf5_source {
	struct moka_arena arena;
	const char *list;
	const char **files;
	int64_t *file_rows; /* -1: not counted yet */
	int n_files, n_top;
	bool shuffle;
	int64_t batch, total; /* total: rows of all files, 0: not counted */
	uint64_t seed;
	struct top *tops;

	uint64_t round;
	int *order; /* of the files in this round */
	int at;	    /* place in `order` */
	int loaded; /* file whose values are here; -1 */
	struct moka_file file;
	struct moka_h5 *h5;
	int64_t rows, row; /* of this file; the one that comes next */
	int64_t block, block_rows, rows_in_block;
	int64_t *row_order;
	int64_t row_order_cap;
};

/* ---- list of files -------------------------------------------------------------------------------- */

static enum moka_status check_list(const struct moka_file *f, const char *path, struct moka_error *err)
{
	const enum moka_file_guess g = moka_model_guess(f);

	if (g == MOKA_GUESS_HDF5) {
		moka_fail(err, MOKA_ERR_DATA,
			  "%s: this is an HDF5 file; an HDF5Data layer's source is a text file that lists them", path);
		moka_fail_hint(err, "write its name into a file, one name a line, and give that file as source");
		return MOKA_ERR_DATA;
	}
	/* Any text will do as a list, whatever its words look like. */
	if (g == MOKA_GUESS_TEXT || g == MOKA_GUESS_TEXT_NET || g == MOKA_GUESS_TEXT_SOLVER)
		return MOKA_OK;
	return moka_guess_fail(err, path, f, g, "a text file that lists HDF5 files");
}

static const char *word(const char **p, const char *end, size_t *n)
{
	const char *begin;

	while (*p < end && isspace((unsigned char)**p))
		++*p;
	begin = *p;
	while (*p < end && !isspace((unsigned char)**p))
		++*p;
	*n = (size_t)(*p - begin);
	return begin;
}

static enum moka_status read_names(struct hdf5_source *s, const struct moka_file *f, struct moka_error *err)
{
	const char *p = (const char *)f->data, *end = p + f->size;
	size_t n;
	int count = 0;

	for (const char *q = p; word(&q, end, &n), n;)
		if (count++ == 10000000)
			return moka_fail(err, MOKA_ERR_LIMIT, "%s: it lists too many files", s->list);
	if (!count)
		return moka_fail(err, MOKA_ERR_DATA, "%s: it lists no HDF5 file", s->list);
	s->files = MOKA_NEWN(&s->arena, count, const char *);
	s->order = MOKA_NEWN(&s->arena, count, int);
	s->file_rows = MOKA_NEWN(&s->arena, count, int64_t);
	if (!s->files || !s->order || !s->file_rows)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", s->list);
	for (; s->n_files < count; s->n_files++) {
		const char *w = word(&p, end, &n), *name = moka_arena_strndup(&s->arena, w, n);

		s->files[s->n_files] = name ? moka_path_resolve(&s->arena, name, s->list) : NULL;
		if (!s->files[s->n_files])
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", s->list);
		s->file_rows[s->n_files] = -1;
	}
	return MOKA_OK;
}

static enum moka_status read_list(struct hdf5_source *s, struct moka_error *err)
{
	struct moka_file f = { 0 };
	enum moka_status st;

	MOKA_TRY(moka_file_open(&f, s->list, err));
	st = check_list(&f, s->list, err);
	if (!st)
		st = read_names(s, &f, err);
	moka_file_release(&f);
	return st;
}

/* ---- one file -------------------------------------------------------------------------------------- */

static enum moka_status add_why(const struct hdf5_source *s, const struct moka_error *why, struct moka_error *err)
{
	moka_fail(err, why->status, "%s (listed in %s)", why->message, s->list);
	if (why->hint[0])
		moka_fail_hint(err, "%s", why->hint);
	return why->status;
}

static enum moka_status check_rows(struct hdf5_source *s, int file, const struct top *t,
				   const struct moka_h5_dataset *x, struct moka_error *err)
{
	if (x->n_axes < 1)
		return moka_fail(err, MOKA_ERR_DATA, "%s: '%s' is a single number; a list of rows was expected",
				 s->files[file], t->name);
	if (t != s->tops && x->dim[0] != s->rows)
		return moka_fail(err, MOKA_ERR_DATA, "%s: '%s' has %" PRId64 " rows, but '%s' has %" PRId64,
				 s->files[file], t->name, x->dim[0], s->tops[0].name, s->rows);
	return MOKA_OK;
}

/* The first file says the shape of a row; the others must agree. */
static enum moka_status check_shape(struct hdf5_source *s, int file, struct top *t, const struct moka_h5_dataset *x,
				    struct moka_error *err)
{
	char here[128], there[128];

	if (t->shape.n < 0) {
		t->shape.n = x->n_axes;
		memcpy(t->shape.d, x->dim, sizeof(t->shape.d));
		t->shape.d[0] = s->batch;
		t->row = x->dim[0] ? x->count / x->dim[0] : 0;
		return MOKA_OK;
	}
	if (t->shape.n == x->n_axes && !memcmp(t->shape.d + 1, x->dim + 1, (size_t)(x->n_axes - 1) * sizeof(int64_t))) {
		t->row = x->dim[0] ? x->count / x->dim[0] : t->row;
		return MOKA_OK;
	}
	return moka_fail(err, MOKA_ERR_DATA, "%s: a row of '%s' is %s here, but %s in the files before it",
			 s->files[file], t->name, moka_dims_text(x->n_axes - 1, x->dim + 1, here, sizeof(here)),
			 moka_dims_text(t->shape.n - 1, t->shape.d + 1, there, sizeof(there)));
}

static enum moka_status find_top(struct hdf5_source *s, int file, struct top *t, struct moka_error *err)
{
	const enum moka_h5_kind k = moka_h5_find(s->h5, t->name, &t->dataset);

	if (k == MOKA_H5_DATASET)
		return MOKA_OK;
	moka_fail(err, MOKA_ERR_DATA, "%s: there is no dataset '%s'%s", s->files[file], t->name,
		  k == MOKA_H5_GROUP ? ", only a group" : "");
	moka_fail_hint(err, "a top of an HDF5Data layer is the dataset of its name");
	return MOKA_ERR_DATA;
}

static enum moka_status look_at_tops(struct hdf5_source *s, int file, struct moka_error *err)
{
	struct moka_h5_dataset x;

	for (int i = 0; i < s->n_top; i++) {
		MOKA_TRY(find_top(s, file, &s->tops[i], err));
		MOKA_TRY(moka_h5_info(s->h5, s->tops[i].dataset, s->tops[i].name, &x, err));
		if (!i)
			s->rows = x.n_axes ? x.dim[0] : 1;
		MOKA_TRY(check_rows(s, file, &s->tops[i], &x, err));
		MOKA_TRY(check_shape(s, file, &s->tops[i], &x, err));
	}
	s->file_rows[file] = s->rows;
	return MOKA_OK;
}

static void close_file(struct hdf5_source *s)
{
	moka_h5_close(s->h5);
	moka_file_release(&s->file);
	s->h5 = NULL;
	s->loaded = -1;
	s->rows_in_block = 0;
}

static enum moka_status make_room(struct hdf5_source *s, struct moka_error *err)
{
	int64_t row_bytes = 1;

	for (int i = 0; i < s->n_top; i++)
		row_bytes += s->tops[i].row * (int64_t)sizeof(real);
	s->block_rows = s->shuffle ? s->rows : MOKA_MIN(s->rows, MOKA_MAX(BLOCK_BYTES / row_bytes, (int64_t)1));
	for (int i = 0; i < s->n_top; i++) {
		struct top *t = &s->tops[i];
		int64_t n, bytes;
		real *bigger;

		if (!moka_mul(s->block_rows, t->row, &n) || !moka_mul(n, (int64_t)sizeof(real), &bytes))
			return moka_fail(err, MOKA_ERR_LIMIT, "%s: '%s' is too large", s->files[s->order[s->at]],
					 t->name);
		if (n <= t->cap)
			continue;
		bigger = realloc(t->values, (size_t)bytes);
		if (!bigger)
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory for %" PRId64 " values of '%s'",
					 s->files[s->order[s->at]], n, t->name);
		t->values = bigger;
		t->cap = n;
	}
	return MOKA_OK;
}

static enum moka_status open_here(struct hdf5_source *s, int file, struct moka_error *err)
{
	MOKA_TRY(moka_file_open(&s->file, s->files[file], err));
	MOKA_TRY(moka_h5_open(&s->h5, s->files[file], &s->file, err));
	MOKA_TRY(look_at_tops(s, file, err));
	return make_room(s, err);
}

static enum moka_status open_file(struct hdf5_source *s, int file, struct moka_error *err)
{
	struct moka_error why = { 0 };

	if (s->loaded == file)
		return MOKA_OK;
	close_file(s);
	if (open_here(s, file, &why)) {
		close_file(s);
		return add_why(s, &why, err);
	}
	s->loaded = file;
	return MOKA_OK;
}

/* ---- orders ------------------------------------------------------------------------------------------ */

static void order_files(struct hdf5_source *s)
{
	struct moka_rng rng;

	for (int i = 0; i < s->n_files; i++)
		s->order[i] = i;
	if (!s->shuffle)
		return;
	moka_rng_seed(&rng, s->seed, 2 * s->round);
	for (int i = s->n_files - 1; i > 0; i--) {
		const int j = (int)moka_rng_below(&rng, (uint64_t)i + 1), swap = s->order[i];

		s->order[i] = s->order[j];
		s->order[j] = swap;
	}
}

static enum moka_status order_rows(struct hdf5_source *s, struct moka_error *err)
{
	struct moka_rng rng;

	if (!s->shuffle)
		return MOKA_OK;
	if (s->rows > s->row_order_cap) {
		int64_t *bigger = realloc(s->row_order, (size_t)s->rows * sizeof(*bigger));

		if (!bigger)
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", s->list);
		s->row_order = bigger;
		s->row_order_cap = s->rows;
	}
	moka_rng_seed(&rng, s->seed ^ ((uint64_t)s->order[s->at] + 1) * 0x9E3779B97F4A7C15u, 2 * s->round + 1);
	for (int64_t i = 0; i < s->rows; i++)
		s->row_order[i] = i;
	for (int64_t i = s->rows - 1; i > 0; i--) {
		const int64_t j = (int64_t)moka_rng_below(&rng, (uint64_t)i + 1), swap = s->row_order[i];

		s->row_order[i] = s->row_order[j];
		s->row_order[j] = swap;
	}
	return MOKA_OK;
}

static enum moka_status start_file(struct hdf5_source *s, struct moka_error *err)
{
	MOKA_TRY(open_file(s, s->order[s->at], err));
	s->row = 0;
	return order_rows(s, err);
}

/* Behind the last row of a file: the next one with rows, or another round. */
static enum moka_status next_file(struct hdf5_source *s, struct moka_error *err)
{
	for (int tried = 0; tried <= s->n_files; tried++) {
		if (++s->at >= s->n_files) {
			s->at = 0;
			s->round++;
			order_files(s);
		}
		MOKA_TRY(start_file(s, err));
		if (s->rows)
			return MOKA_OK;
	}
	return moka_fail(err, MOKA_ERR_DATA, "%s: none of its files has a row", s->list);
}

static enum moka_status read_top(struct hdf5_source *s, struct top *t, int64_t n, struct moka_error *err)
{
	return moka_h5_read(s->h5, t->dataset, t->name, s->block, n, t->values, err);
}

/* Values of row `row` of the open file are at rows_in_block's; reads another block where they are not. */
static enum moka_status want_row(struct hdf5_source *s, int64_t row, struct moka_error *err)
{
	struct moka_error why = { 0 };
	int64_t n;

	if (row >= s->block && row < s->block + s->rows_in_block)
		return MOKA_OK;
	s->block = s->shuffle ? 0 : row;
	n = MOKA_MIN(s->block_rows, s->rows - s->block);
	s->rows_in_block = 0;
	for (int i = 0; i < s->n_top; i++)
		if (s->tops[i].row && read_top(s, &s->tops[i], n, &why))
			return add_why(s, &why, err);
	s->rows_in_block = n;
	return MOKA_OK;
}

static enum moka_status hdf5_make(void *self, struct moka__bench *b, int n_top, real *const *top, int64_t place,
				  struct moka_error *err)
{
	struct hdf5_source *s = self;

	(void)b;
	(void)place;
	for (int64_t i = 0; i < s->batch; i++, s->row++) {
		int64_t row;

		if (s->row >= s->rows)
			MOKA_TRY(next_file(s, err));
		row = s->shuffle ? s->row_order[s->row] : s->row;
		MOKA_TRY(want_row(s, row, err));
		for (int j = 0; j < n_top; j++) {
			const struct top *t = &s->tops[j];

			if (t->row)
				memcpy(top[j] + i * t->row, t->values + (row - s->block) * t->row,
				       (size_t)t->row * sizeof(real));
		}
	}
	return MOKA_OK;
}

/* ---- the rest ------------------------------------------------------------------------------------------- */

static enum moka_status count_rows(struct hdf5_source *s, struct moka_error *err)
{
	s->total = 0;
	for (int i = 0; i < s->n_files; i++) {
		if (s->file_rows[i] < 0)
			MOKA_TRY(open_file(s, i, err));
		if (!moka_add(s->total, s->file_rows[i], &s->total))
			return moka_fail(err, MOKA_ERR_LIMIT, "%s: more rows than can be counted", s->list);
	}
	return s->total ? MOKA_OK : moka_fail(err, MOKA_ERR_DATA, "%s: none of its files has a row", s->list);
}

/* A sample is a whole batch: everything is done by make, in one thread. */
static enum moka_status hdf5_fetch(void *self, struct moka__bench *b, struct moka_error *err)
{
	(void)err;
	b->sample.record = 0;
	snprintf(b->sample.where, sizeof(b->sample.where), "%s", ((struct hdf5_source *)self)->list);
	return MOKA_OK;
}

static enum moka_status hdf5_seek(void *self, uint64_t batch_index, struct moka_error *err)
{
	struct hdf5_source *s = self;
	int64_t left;

	if (!s->total)
		MOKA_TRY(count_rows(s, err));
	s->round = batch_index * (uint64_t)s->batch / (uint64_t)s->total;
	left = (int64_t)(batch_index * (uint64_t)s->batch % (uint64_t)s->total);
	order_files(s);
	for (s->at = 0; s->at < s->n_files - 1 && left >= s->file_rows[s->order[s->at]]; s->at++)
		left -= s->file_rows[s->order[s->at]];
	MOKA_TRY(start_file(s, err));
	s->row = left;
	return MOKA_OK;
}

static void hdf5_close(void *self)
{
	struct hdf5_source *s = self;

	if (!s)
		return;
	close_file(s);
	for (int i = 0; s->tops && i < s->n_top; i++)
		free(s->tops[i].values);
	free(s->row_order);
	moka_arena_release(&s->arena);
	free(s);
}

static enum moka_status set_up(struct hdf5_source *s, const struct moka_source_spec *spec, struct moka_error *err)
{
	const struct moka_layer *l = spec->layer;

	s->list = moka_arena_strdup(&s->arena, spec->path);
	s->tops = MOKA_NEWN(&s->arena, l->n_top ? l->n_top : 1, struct top);
	if (!s->list || !s->tops)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	s->n_top = l->n_top;
	for (int i = 0; i < l->n_top; i++) {
		s->tops[i].name = moka_arena_strdup(&s->arena, l->top[i].name);
		s->tops[i].shape.n = -1;
		if (!s->tops[i].name)
			return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	}
	s->batch = spec->batch;
	s->seed = spec->seed;
	s->shuffle = l->sub && moka_get_int(l->sub, "shuffle") != 0;
	MOKA_TRY(read_list(s, err));
	if (s->n_files <= COUNT_AT_OPEN)
		MOKA_TRY(count_rows(s, err));
	order_files(s);
	MOKA_TRY(start_file(s, err));
	return s->rows ? MOKA_OK : next_file(s, err);
}

static enum moka_status hdf5_open(void **out, const struct moka_source_spec *spec, struct moka_error *err)
{
	struct hdf5_source *s = calloc(1, sizeof(*s));
	enum moka_status st;

	*out = NULL;
	if (!s)
		return moka_fail(err, MOKA_ERR_NOMEM, "%s: not enough memory", spec->path);
	moka_arena_init(&s->arena, 0);
	s->loaded = -1;
	st = set_up(s, spec, err);
	if (st)
		hdf5_close(s);
	else
		*out = s;
	return st;
}

static enum moka_status hdf5_shape(const void *self, int top, struct moka_shape *out, struct moka_error *err)
{
	const struct hdf5_source *s = self;

	if (top >= s->n_top)
		return moka_fail(err, MOKA_ERR_MODEL, "there is no top %d", top);
	*out = s->tops[top].shape;
	return MOKA_OK;
}

/* Counted when the source is opened, or when somebody goes to another place: never while it is read. */
static int64_t hdf5_rows(const void *self)
{
	return ((const struct hdf5_source *)self)->total;
}

static const struct moka__maker hdf5_maker = {
	.open = hdf5_open,
	.close = hdf5_close,
	.shape = hdf5_shape,
	.rows = hdf5_rows,
	.seek = hdf5_seek,
	.fetch = hdf5_fetch,
	.make = hdf5_make,
	.whole = true,
};

static enum moka_status open_ahead(struct moka_source **out, const struct moka_source_spec *spec,
				   struct moka_error *err)
{
	return moka__ahead_open(out, spec, &hdf5_maker, err);
}

const struct moka_source_ops moka_source_hdf5 = MOKA__AHEAD("HDF5", open_ahead);
