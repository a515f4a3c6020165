/*
 * ahead.h - a source taken apart into what happens in order and what may happen on any thread. Private to data/.
 *
 * A kind of data says how to find out which sample comes next (fetch: in order, one thread at a time) and how to make it (make:
 * decode, crop, subtract, on any thread). ahead.c does the rest: batches, the ring that is filled ahead of the training, the threads, seek,
 * counted skips. Sample k of a run is the same whoever makes it, so the number of threads changes nothing.
 */
#ifndef MOKA_DATA_AHEAD_H
#define MOKA_DATA_AHEAD_H

#include "data/data.h"

/* One sample, as fetch says it. */
struct moka__sample {
	uint64_t k;	/* counted from the start of the run */
	int64_t record; /* which of the source's records: a bad one is counted once, however often it comes */
	const void *item;
	const uint8_t *bytes;
	size_t n_bytes;
	char where[512]; /* "train_lmdb, key 00000012": begins every message about it */
};

/* What one thread works with: grows to the largest picture, then stays. Start with {0}. */
struct moka__bench {
	struct moka__sample sample;
	struct moka_image image, other;
	struct moka_buf bytes, objects;
};

struct moka__maker {
	enum moka_status (*open)(void **self, const struct moka_source_spec *spec, struct moka_error *err);
	void (*close)(void *self); /* NULL is legal */
	enum moka_status (*shape)(const void *self, int top, struct moka_shape *out, struct moka_error *err);
	int64_t (*rows)(const void *self);
	/* The next fetch is that of sample k. */
	enum moka_status (*seek)(void *self, uint64_t k, struct moka_error *err);
	/* Fills b->sample, but for k. What it points to stays until the same bench fetches again. A failure ends the source. */
	enum moka_status (*fetch)(void *self, struct moka__bench *b, struct moka_error *err);
	/*
	 * Writes place `place` of a batch whose tops begin at top[0..n_top). Changes nothing but the bench and those values: several
	 * threads are in it at once. A failure concerns this sample alone.
	 */
	enum moka_status (*make)(void *self, struct moka__bench *b, int n_top, real *const *top, int64_t place,
				 struct moka_error *err);
	/* Optional: the batch is complete, in the thread that reads it; may put its values in order. */
	enum moka_status (*finish)(void *self, int n_top, real *const *top, struct moka_error *err);
	bool whole; /* a sample is a whole batch, and make uses `self` (HDF5): one thread */
};

/* What a moka_source_ops of such a kind is made of. */
enum moka_status moka__ahead_open(struct moka_source **out, const struct moka_source_spec *spec,
				  const struct moka__maker *maker, struct moka_error *err);
enum moka_status moka__ahead_shape(struct moka_source *s, int top, struct moka_shape *out, struct moka_error *err);
enum moka_status moka__ahead_read(struct moka_source *s, int n_top, const struct moka_view *top,
				  struct moka_error *err);
enum moka_status moka__ahead_seek(struct moka_source *s, uint64_t batch_index, struct moka_error *err);
int64_t moka__ahead_rows(const struct moka_source *s);
int64_t moka__ahead_skipped(const struct moka_source *s, char *first, size_t size);
void moka__ahead_close(struct moka_source *s);
#define MOKA__AHEAD(name, opener)                                                                                      \
	{                                                                                                              \
		.kind = name, .open = opener, .shape = moka__ahead_shape, .read = moka__ahead_read,                    \
		.seek = moka__ahead_seek, .rows = moka__ahead_rows, .close = moka__ahead_close,                        \
		.skipped = moka__ahead_skipped                                                                         \
	}

/* bench.c: what makers share. */
void moka__bench_release(struct moka__bench *b);
struct moka__size {
	int64_t d[3]; /* channels, height, width that every sample of the source has after its transform */
};
/* A decoded picture, transformed, to `out`. */
enum moka_status moka__bench_picture(struct moka__bench *b, const struct moka_image *img,
				     const struct moka_transform *t, const struct moka__size *size, uint64_t seed,
				     real *out, struct moka_error *err);
/* The transformed size of a picture must be `size`; an error with what to do where it isn't. */
enum moka_status moka__check_size(const struct moka_transform *t, const struct moka__size *size, int64_t c, int64_t h,
				  int64_t w, const char *where, struct moka_error *err);
enum moka_image_mode moka__mode_of(const struct moka_transform_param *p);
#endif
