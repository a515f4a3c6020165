/*
 * data.h - where samples come from: databases, HDF5 files, pictures; and the tools that make them.
 *
 *   sources.c       the table of sources that nets are built with
 *   ahead.c         batches made ahead of the training, by threads; what a source is made of is in ahead.h
 *   bench.c         a decoded picture into its place in a batch
 *   database.c      Data layer: Datum records of an LMDB or LevelDB in key order, transformed
 *   annotated.c     AnnotatedData layer (SSD): pictures with boxes;  annotations.c, resample.c, colours.c its steps
 *   image_list.c    ImageData layer: pictures from a list file;  piclist.c the list
 *   windows.c       WindowData layer: windows cut from pictures;  window_file.c the window file
 *   hdf5.c          HDF5Data layer: a list of .h5 files, one dataset a top;  hdf5_output.c what HDF5Output writes
 *   db.c            LMDB and LevelDB behind the same words
 *   lmdb_read.c     an LMDB file read page by page, every offset checked (a damaged one is an error, never a fault)
 *   lmdb_write.c    a new LMDB, through liblmdb;  leveldb_read.c, leveldb_view.c, leveldb_write.c through libleveldb
 *   datum.c         one Datum record <-> its fields
 *   transform.c     TransformationParameter: crop, mirror, mean, scale
 *   image.c         pictures -> pixels, resize; jpeg.c, png.c: their formats
 *   idx.c           MNIST's file format
 *
 * A source is deterministic: sample k of a run, with its crop and mirror, depends on the seed and on k alone, so that a resumed run sees what
 * an unbroken one would have seen.
 */
#ifndef MOKA_DATA_H
#define MOKA_DATA_H

#include "layers/layer.h"
#include "model/model.h"

/* All sources, NULL-terminated: what goes into moka_net_options.sources. */
extern const struct moka_source_ops *const moka_sources[];
extern const struct moka_source_ops moka_source_lmdb, moka_source_leveldb, moka_source_hdf5, moka_source_images,
	moka_source_windows, moka_source_hdf5_output, moka_source_annotated_lmdb, moka_source_annotated_leveldb;

/* ---- pictures -------------------------------------------------------------------------- */

#define MOKA_MAX_IMAGE_PIXELS ((int64_t)1 << 26)

/* 8 bits a value, rows from the top, channels interleaved: B G R (A) or grey. */
struct moka_image {
	int64_t height, width, channels;
	uint8_t *pixels; /* height x width x channels, owned */
	size_t cap;	 /* bytes of `pixels`; a reused image grows and never shrinks */
};
enum moka_image_mode {
	MOKA_IMAGE_NATIVE, /* 1, 3 or 4 channels, as the file has it */
	MOKA_IMAGE_COLOUR, /* 3 channels, BGR */
	MOKA_IMAGE_GREY,   /* 1 channel */
};

/* Start with {0}. Release may be called twice. */
void moka_image_release(struct moka_image *img);
/* JPEG or PNG by content. A damaged or too large picture is an error that names `path` and the reason. */
enum moka_status moka_image_read(struct moka_image *img, const char *path, enum moka_image_mode mode,
				 struct moka_error *err);
/* The same from memory; name is for messages. */
enum moka_status moka_image_decode(struct moka_image *img, const void *bytes, size_t n, const char *name,
				   enum moka_image_mode mode, struct moka_error *err);
/* Bilinear as OpenCV's resize() does by default (half-pixel centres, no smoothing). `out` must be another image. */
enum moka_status moka_image_resize(const struct moka_image *img, int64_t height, int64_t width, struct moka_image *out,
				   struct moka_error *err);
/* Planes: out (channels, height, width), values 0..255. */
void moka_image_planar(const struct moka_image *img, real *out);
void moka_image_planar_u8(const struct moka_image *img, uint8_t *out);
enum moka_status moka_image_encode_png(const struct moka_image *img, struct moka_buf *out,
				       struct moka_error *err); /* appends */
enum moka_status moka_image_encode_jpeg(const struct moka_image *img, int quality, struct moka_buf *out,
					struct moka_error *err);
/* Writes an 8-bit PNG, atomically. */
enum moka_status moka_image_write_png(const struct moka_image *img, const char *path, struct moka_error *err);

/* ---- Datum ------------------------------------------------------------------------------- */

/* One record. Views of the bytes it was read from. */
struct moka_datum {
	int64_t channels, height, width;
	int64_t label;
	bool encoded; /* data is a JPEG or PNG */
	/* for writing: whether `label` and `encoded: false` are there or left out (by absence, as some of Caffe's tools do) */
	bool no_label, says_plain;
	const uint8_t *data; /* NULL: none */
	size_t data_bytes;
	const uint8_t *floats; /* float_data, first value (not aligned); NULL: none */
	size_t n_floats;
	uint32_t float_stride;
};
/* Checks sizes too: unless encoded, data or float_data holds channels x height x width values. `where` begins the message. */
enum moka_status moka_datum_parse(struct moka_datum *d, const void *bytes, size_t n, const char *where,
				  struct moka_error *err);
/* As protoc writes it. Appends to out. */
void moka_datum_write(const struct moka_datum *d, struct moka_buf *out);

/* ---- LMDB ---------------------------------------------------------------------------------- */

/*
 * Reads the newest committed state of an LMDB in key order. Maps the file, locks nothing, trusts nothing: page numbers, offsets and sizes
 * are all checked. A database that another process is changing at the same time gives errors or old records, not a crash.
 */
struct moka_lmdb;
enum moka_status moka_lmdb_open(struct moka_lmdb **out, const char *path,
				struct moka_error *err); /* a folder with data.mdb, or the file */
void moka_lmdb_close(struct moka_lmdb *db);
int64_t moka_lmdb_rows(const struct moka_lmdb *db);
/* Goes before the first record. */
void moka_lmdb_rewind(struct moka_lmdb *db);
/* The next record as views; *key is NULL behind the last one. */
enum moka_status moka_lmdb_next(struct moka_lmdb *db, const uint8_t **key, size_t *key_bytes, const uint8_t **value,
				size_t *value_bytes, struct moka_error *err);
/* Jumps over n records, page by page. */
enum moka_status moka_lmdb_skip(struct moka_lmdb *db, int64_t n, struct moka_error *err);
/* "train_lmdb, key 00000012" for messages about the record read last. Returns buf. */
const char *moka_lmdb_where(const struct moka_lmdb *db, char *buf, size_t size);

/*
 * A new LMDB at PATH (a folder that must not exist), written beside it and renamed by commit. Records go in batches; the map grows as it
 * fills. Keys must be new; key order is LMDB's business.
 */
struct moka_lmdb_writer;
enum moka_status moka_lmdb_writer_new(struct moka_lmdb_writer **out, const char *path, struct moka_error *err);
enum moka_status moka_lmdb_writer_put(struct moka_lmdb_writer *w, const char *key, const void *value, size_t n,
				      struct moka_error *err);

enum moka_status moka_lmdb_writer_put_datum(struct moka_lmdb_writer *w, const char *key, const struct moka_datum *d,
					    struct moka_error *err);
enum moka_status moka_lmdb_writer_commit(struct moka_lmdb_writer *w,
					 struct moka_error *err); /* frees w, whatever it returns */
void moka_lmdb_writer_abort(struct moka_lmdb_writer *w);	  /* removes what was written; NULL is legal */
/*
 * For what takes long: goes on with PATH.part, left by a writer that was paused or whose program died, or begins it. last_key: of what
 * is in it, "" where nothing is. pause leaves everything put so far in PATH.part, and frees w.
 */
enum moka_status moka_lmdb_writer_resume(struct moka_lmdb_writer **out, const char *path, char *last_key, size_t size,
					 struct moka_error *err);
enum moka_status moka_lmdb_writer_pause(struct moka_lmdb_writer *w, struct moka_error *err);

/* ---- either kind of database -------------------------------------------------------------------- */

enum moka_backend { MOKA_LEVELDB, MOKA_LMDB }; /* the numbers of DataParameter.backend */
const char *moka_backend_name(enum moka_backend kind);

struct moka_db;
enum moka_status moka_db_open(struct moka_db **out, enum moka_backend kind, const char *path, struct moka_error *err);
void moka_db_close(struct moka_db *db);
int64_t moka_db_rows(const struct moka_db *db); /* 0: not known (a LevelDB, before its end was seen) */
void moka_db_rewind(struct moka_db *db);
/* The next record as views that stay until the next call; *key is NULL behind the last one. */
enum moka_status moka_db_next(struct moka_db *db, const uint8_t **key, size_t *key_bytes, const uint8_t **value,
			      size_t *value_bytes, struct moka_error *err);
int64_t moka_db_record(const struct moka_db *db); /* number of the record read last, from 0; -1: none */
/* Goes before record k, counted round and round. */
enum moka_status moka_db_seek(struct moka_db *db, uint64_t k, struct moka_error *err);
const char *moka_db_where(const struct moka_db *db, char *buf, size_t size); /* as moka_lmdb_where() */

/* Writers as moka_lmdb_writer_*. */
struct moka_db_writer;
enum moka_status moka_db_writer_new(struct moka_db_writer **out, enum moka_backend kind, const char *path,
				    struct moka_error *err);
enum moka_status moka_db_writer_resume(struct moka_db_writer **out, enum moka_backend kind, const char *path,
				       char *last_key, size_t size, struct moka_error *err);
enum moka_status moka_db_writer_put(struct moka_db_writer *w, const char *key, const void *value, size_t n,
				    struct moka_error *err);
enum moka_status moka_db_writer_put_datum(struct moka_db_writer *w, const char *key, const struct moka_datum *d,
					  struct moka_error *err);
enum moka_status moka_db_writer_commit(struct moka_db_writer *w, struct moka_error *err);
enum moka_status moka_db_writer_pause(struct moka_db_writer *w, struct moka_error *err);
void moka_db_writer_abort(struct moka_db_writer *w);

/* ---- lists of pictures: "NAME LABEL" lines, of ImageData and convert_imageset ------------------------ */

struct moka_picture_line {
	const char *name; /* everything before the last space */
	int64_t label;
	int64_t line; /* in the file, from 1 */
};
struct moka_picture_list {
	struct moka_picture_line *lines; /* in the arena that was given */
	int64_t n;
};
/* A line without a label, or an empty list, is an error that names file and line. Empty lines are passed over. */
enum moka_status moka_picture_list_read(struct moka_picture_list *out, const char *path, struct moka_arena *a,
					struct moka_error *err);

/* ---- idx: MNIST's format, plain or gzip -------------------------------------------------------- */

struct moka_idx {
	void *gz; /* zlib's handle */
	const char *path;
	int n_axes;
	int64_t dim[4]; /* dim[0] items of ... */
	int64_t item_bytes;
	int64_t next; /* item that comes next */
};
/* Unsigned bytes only, 1 to 4 axes. `path` is borrowed. */
enum moka_status moka_idx_open(struct moka_idx *x, const char *path, struct moka_error *err);
enum moka_status moka_idx_read(struct moka_idx *x, uint8_t *item,
			       struct moka_error *err); /* item_bytes; behind the last: an error */
void moka_idx_close(struct moka_idx *x);

/* ---- transform_param ------------------------------------------------------------------------------ */

/*
 * What a data layer does to one picture, as BVLC's DataTransformer: crop (anywhere in TRAIN, the centre in
 * TEST), mirror, minus the mean (file or values), times scale, in this order per value: (x - mean) * scale.
 */
struct moka_transform {
	const struct moka_transform_param *p;
	enum moka_phase phase;
	struct moka_array mean; /* mean_file, or no data */
	int64_t mean_c, mean_h, mean_w;
	const char *mean_path; /* in the layer's arena */
};
enum moka_status moka_transform_init(struct moka_transform *t, const struct moka_layer *l, struct moka_error *err);
void moka_transform_release(struct moka_transform *t);
/* Size of the result for a picture of c x h x w; says what does not fit (crop, mean). */
enum moka_status moka_transform_shape(const struct moka_transform *t, int64_t c, int64_t h, int64_t w, int64_t out[3],
				      const char *where, struct moka_error *err);
/* One picture in planes of bytes, or (bytes NULL) of floats `stride` bytes apart; sizes as moka_transform_shape() accepted them. rng
 * decides crop and mirror. */
void moka_transform_run(const struct moka_transform *t, int64_t c, int64_t h, int64_t w, const uint8_t *bytes,
			const uint8_t *floats, uint32_t stride, struct moka_rng *rng, real *out);
/* The same for a decoded picture; the same values. */
void moka_transform_image(const struct moka_transform *t, const struct moka_image *img, struct moka_rng *rng,
			  real *out);

#endif
