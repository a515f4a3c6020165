/*
 * test_annotated.c - AnnotatedData's samples: pictures with boxes, resized, cut out, put on larger ones, mirrored; what is refused.
 */
#include "t.h"

#include "source.h"

#include <math.h>
#include <unistd.h>

static const char *const names[] = { "data", "label" };

static const char *file(const char *name)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", t_tmp(), name);
	return path[at];
}

static void put_head(struct moka_buf *b, int number, const struct moka_buf *inner)
{
	moka_buf_putc(b, (char)(number << 3 | 2));
	for (size_t n = inner->len;; n >>= 7) {
		moka_buf_putc(b, (char)(n > 127 ? (n & 127) | 128 : n));
		if (n < 128)
			break;
	}
	moka_buf_add(b, inner->data, inner->len);
}

static void put_object(struct moka_buf *record, int label, int instance, const float box[4], bool difficult)
{
	struct moka_buf b, a, g;

	moka_buf_init(&b, 0);
	moka_buf_init(&a, 0);
	moka_buf_init(&g, 0);
	for (int i = 0; i < 4; i++) {
		moka_buf_putc(&b, (char)((i + 1) << 3 | 5));
		moka_buf_add(&b, &box[i], 4);
	}
	if (difficult)
		moka_buf_add(&b, "\x30\x01", 2);
	moka_buf_putc(&a, 8);
	moka_buf_putc(&a, (char)instance);
	put_head(&a, 2, &b);
	put_head(&g, 2, &a); /* the label stands behind its boxes: it may */
	moka_buf_putc(&g, 8);
	moka_buf_putc(&g, (char)label);
	put_head(record, 3, &g);
	moka_buf_release(&b);
	moka_buf_release(&a);
	moka_buf_release(&g);
}

#define SIDE 40

/* Picture i is black with a white box of 10 x 20 (height x width) at (4 + i, 8 + i); its object is that box, label 1 + i. Picture 2 has a
 * second one, difficult, and picture 3 has none. */
static void record(struct moka_buf *out, int i, bool encoded)
{
	uint8_t pixels[SIDE * SIDE * 3] = { 0 }, planes[SIDE * SIDE * 3];
	struct moka_image img = { SIDE, SIDE, 3, pixels, 0 };
	struct moka_datum d = {
		.channels = 3, .height = SIDE, .width = SIDE, .label = i, .data = planes, .data_bytes = sizeof(planes)
	};
	const float box[4] = { (8 + i) / 40.f, (4 + i) / 40.f, (28 + i) / 40.f, (14 + i) / 40.f };
	const float corner[4] = { 0.75f, 0.75f, 1, 1 };
	struct moka_buf png, datum;
	struct moka_error e = { 0 };

	for (int y = 4 + i; y < 14 + i; y++)
		memset(pixels + (y * SIDE + 8 + i) * 3, 255, 60);
	for (int k = 0; k < SIDE * SIDE * 3; k++)
		planes[k % 3 * SIDE * SIDE + k / 3] = pixels[k];
	moka_buf_init(&png, 0);
	moka_buf_init(&datum, 0);
	T_OK(moka_image_encode_png(&img, &png, &e), &e);
	if (encoded)
		d = (struct moka_datum){
			.encoded = true, .label = i, .data = (const uint8_t *)png.data, .data_bytes = png.len
		};
	moka_datum_write(&d, &datum);
	put_head(out, 1, &datum);
	moka_buf_add(out, "\x10\x00", 2);
	if (i != 3)
		put_object(out, 1 + i, 0, box, false);
	if (i == 2)
		put_object(out, 9, 1, corner, true);
	moka_buf_release(&png);
	moka_buf_release(&datum);
}

static const char *make(const char *name, enum moka_backend kind, int n, bool encoded)
{
	const char *path = file(name);
	struct moka_db_writer *w;
	struct moka_error e = { 0 };

	T_OK(moka_db_writer_new(&w, kind, path, &e), &e);
	for (int i = 0; i < n; i++) {
		struct moka_buf b;
		char key[32];

		moka_buf_init(&b, 0);
		record(&b, i, encoded);
		snprintf(key, sizeof(key), "%08d", i);
		T_OK(moka_db_writer_put(w, key, b.data, b.len, &e), &e);
		moka_buf_release(&b);
	}
	T_OK(moka_db_writer_commit(w, &e), &e);
	return path;
}

static int threads = 1;

/* A layer as its text says; the net's part is done here. */
struct layer {
	struct bench b;
	struct moka_findings f;
	struct moka_text text;
	real *data, *rows;
	int64_t n_rows, h, w;
};

static enum moka_status layer_open(struct layer *x, const char *path, enum moka_backend kind, enum moka_phase phase,
				   const char *settings, struct moka_error *e)
{
	struct moka_shape s;
	struct moka_msg *net;

	*x = (struct layer){ .text = { "test.prototxt", NULL, 0 } };
	bench_init(&x->b, 2, names, phase);
	moka_findings_init(&x->f);
	x->text.data = moka_arena_printf(&x->b.arena, "layer { type: 'AnnotatedData' name: 'd' %s }", settings);
	x->text.size = strlen(x->text.data);
	T_INT(moka_text_parse(&x->b.arena, &x->text, &moka_net_message, &moka_layer_schema, &x->f, &net), MOKA_OK);
	T_INT(x->f.errors, 0);
	x->b.layer.msg = moka_get_msg(net, "layer");
	x->b.layer.sub = moka_get_msg(x->b.layer.msg, "annotated_data_param");
	x->b.layer.transform =
		moka_decode(&x->b.arena, moka_get_msg(x->b.layer.msg, "transform_param"), &moka_transform_message);
	x->b.layer.for_run = true;
	x->b.layer.read_threads = threads;
	MOKA_TRY(bench_open(&x->b, kind == MOKA_LMDB ? &moka_source_annotated_lmdb : &moka_source_annotated_leveldb,
			    path, 4, 7, e));
	T_OK(x->b.ops->shape(x->b.source, 0, &s, e), e);
	x->h = s.d[2];
	x->w = s.d[3];
	x->data = calloc((size_t)(4 * 3 * x->h * x->w), sizeof(real));
	T_OK(x->b.ops->shape(x->b.source, 1, &s, e), e);
	x->n_rows = s.n == 4 ? s.d[2] : 1; /* a damaged record may have lost its type: labels, four of them */
	x->rows = calloc((size_t)(x->n_rows * 8), sizeof(real));
	return MOKA_OK;
}

static void layer_close(struct layer *x)
{
	bench_close(&x->b);
	moka_findings_release(&x->f);
	free(x->data);
	free(x->rows);
}

static void layer_read(struct layer *x)
{
	struct moka_error e = { 0 };
	real *const top[] = { x->data, x->rows };

	T_OK(bench_read(&x->b, top, &e), &e);
}

/* Where picture n is white, as its object should say: parts of its height and width. False: nowhere. */
static bool white(const struct layer *x, int n, real level, double box[4])
{
	const real *p = x->data + n * 3 * x->h * x->w;
	int64_t x1 = x->w, y1 = x->h, x2 = -1, y2 = -1;

	for (int64_t i = 0; i < x->h * x->w; i++)
		if (p[i] > level) {
			x1 = MOKA_MIN(x1, i % x->w);
			x2 = MOKA_MAX(x2, i % x->w);
			y1 = MOKA_MIN(y1, i / x->w);
			y2 = MOKA_MAX(y2, i / x->w);
		}
	box[0] = (double)x1 / (double)x->w;
	box[1] = (double)y1 / (double)x->h;
	box[2] = (double)(x2 + 1) / (double)x->w;
	box[3] = (double)(y2 + 1) / (double)x->h;
	return x2 >= 0;
}

/* Each object lies where its picture is white, to within `pixels`. Returns how many were looked at. */
static int expect_boxes(const struct layer *x, real level, double pixels)
{
	int seen = 0;

	for (int64_t i = 0; i < x->n_rows && x->rows[i * 8] >= 0; i++) {
		const real *r = x->rows + i * 8;
		double box[4];

		if (r[1] == 9)
			continue;
		T_TRUE(white(x, (int)r[0], level, box));
		for (int k = 0; k < 4; k++)
			if (fabs(box[k] - (double)r[3 + k]) * (double)(k % 2 ? x->h : x->w) > pixels)
				fail_msg("object %d of picture %d: edge %d is %g in the row, %g in the picture", (int)i,
					 (int)r[0], k, (double)r[3 + k], box[k]);
		seen++;
	}
	return seen;
}

#define DATA "data_param { source: 'x' batch_size: 4 } "

T_TEST(rows_of_a_batch)
{
	static const real want[5][8] = { { 0, 1, 0, 8, 4, 28, 14, 0 },
					 { 1, 2, 0, 9, 5, 29, 15, 0 },
					 { 2, 3, 0, 10, 6, 30, 16, 0 },
					 { 2, 9, 1, 30, 30, 40, 40, 1 },
					 { -1, -1, -1, -1, -1, -1, -1, -1 } };

	for (int form = 0; form < 4; form++) {
		const enum moka_backend kind = form & 1 ? MOKA_LEVELDB : MOKA_LMDB;
		struct moka_error e = { 0 };
		struct layer x;
		char name[16];

		snprintf(name, sizeof(name), "rows%d", form);
		T_OK(layer_open(&x, make(name, kind, 4, form & 2), kind, MOKA_TEST, DATA, &e), &e);
		T_INT(x.n_rows, 8);
		T_INT(x.b.layer.n_top, 2);
		for (int pass = 0; pass < 2; pass++) {
			layer_read(&x);
			for (int i = 0; i < 8; i++)
				for (int k = 0; k < 8; k++) {
					const real *w = want[MOKA_MIN(i, 4)];

					T_TRUE(fabs((double)(x.rows[i * 8 + k] -
							     (k >= 3 && k < 7 && w[0] >= 0 ? w[k] / 40 : w[k]))) <
					       1e-6);
				}
			T_INT(expect_boxes(&x, 127, 0.01), 3);
			T_TRUE(x.data[4 * 40 + 8] == 255 && x.data[4 * 40 + 7] == 0);
		}
		layer_close(&x);
	}
}

/* Whatever is done to a picture is done to its boxes. */
T_TEST(boxes_follow_their_picture)
{
	static const struct {
		const char *settings;
		double pixels;
		int least; /* objects in five batches */
	} cases[] = {
		{ "transform_param { mirror: true }", 0.01, 15 },
		{ "transform_param { resize_param { height: 60 width: 100 } }", 1.6, 15 },
		{ "transform_param { resize_param { height: 30 width: 30 interp_mode: AREA interp_mode: CUBIC interp_mode: NEAREST "
		  "interp_mode: LANCZOS4 interp_mode: LINEAR } mirror: true }",
		  1.6, 15 },
		{ "transform_param { resize_param { height: 77 width: 91 interp_mode: AREA interp_mode: CUBIC interp_mode: NEAREST "
		  "interp_mode: LANCZOS4 } }",
		  2.6, 15 },
		{ "transform_param { resize_param { height: 60 width: 100 resize_mode: FIT_LARGE_SIZE_AND_PAD } }", 1.6,
		  15 },
		{ "transform_param { resize_param { height: 100 width: 60 resize_mode: FIT_LARGE_SIZE_AND_PAD pad_value: 90 } mirror: true }",
		  1.6, 15 },
		{ "transform_param { crop_size: 30 }", 0.01, 10 },
		{ "transform_param { crop_h: 24 crop_w: 36 mirror: true }", 0.01, 10 },
		{ "transform_param { expand_param { prob: 1 max_expand_ratio: 3 } resize_param { height: 120 width: 120 } }",
		  3.1, 15 },
		{ "annotated_data_param { batch_sampler { max_sample: 1 max_trials: 50 sampler { min_scale: 0.6 max_scale: 1 "
		  "min_aspect_ratio: 0.5 max_aspect_ratio: 2 } sample_constraint { min_object_coverage: 0.3 } } } "
		  "transform_param { resize_param { height: 80 width: 80 } mirror: true }",
		  6.1, 15 },
		{ "transform_param { distort_param { brightness_prob: 1 brightness_delta: 20 contrast_prob: 1 contrast_lower: 0.8 "
		  "contrast_upper: 1.2 hue_prob: 1 hue_delta: 18 saturation_prob: 1 saturation_lower: 0.5 saturation_upper: 1.5 "
		  "random_order_prob: 1 } noise_param { posterize: true gauss_blur: true } }",
		  1.1, 15 },
	};

	make("follow", MOKA_LMDB, 4, true);
	for (size_t i = 0; i < MOKA_COUNT(cases); i++) {
		struct moka_error e = { 0 };
		char text[1200];
		struct layer x;
		int seen = 0;

		snprintf(text, sizeof(text), DATA "%s", cases[i].settings);
		T_OK(layer_open(&x, file("follow"), MOKA_LMDB, MOKA_TRAIN, text, &e), &e);
		for (int k = 0; k < 5; k++) {
			layer_read(&x);
			seen += expect_boxes(&x, 127, cases[i].pixels);
		}
		if (seen < cases[i].least)
			fail_msg("case %d: %d objects", (int)i, seen);
		layer_close(&x);
	}
}

/* A centre outside the cut-out, or too little of the object in it: the object goes. */
T_TEST(emit_constraint)
{
	static const char *const kinds[] = { "emit_type: CENTER", "emit_type: MIN_OVERLAP emit_overlap: 0.999",
					     "emit_type: MIN_OVERLAP emit_overlap: 0.2" };
	static const int want[] = { 3, 0,
				    3 }; /* 24 x 24 in the middle cuts the objects; the corner has a part too small */

	make("emit", MOKA_LMDB, 4, true);
	for (int i = 0; i < 3; i++) {
		struct moka_error e = { 0 };
		char text[300];
		struct layer x;
		int n = 0;

		snprintf(text, sizeof(text), DATA "transform_param { crop_size: 24 emit_constraint { %s } }", kinds[i]);
		T_OK(layer_open(&x, file("emit"), MOKA_LMDB, MOKA_TEST, text, &e), &e);
		layer_read(&x);
		for (int k = 0; k < x.n_rows; k++)
			n += x.rows[k * 8] >= 0;
		T_INT(n, want[i]);
		layer_close(&x);
	}
}

#define EVERYTHING                                                                                                                         \
	DATA "annotated_data_param { batch_sampler { } batch_sampler { max_sample: 1 sampler { min_scale: 0.3 } } } transform_param { "    \
	     "mirror: true mean_value: 104 mean_value: 117 mean_value: 123 resize_param { height: 20 width: 30 interp_mode: LINEAR "       \
	     "interp_mode: AREA } distort_param { brightness_prob: 0.5 brightness_delta: 32 hue_prob: 0.5 hue_delta: 18 } expand_param { " \
	     "prob: 0.5 max_expand_ratio: 4 } emit_constraint { } }"

/* One, two and four threads, from the start and from a batch in the middle. */
T_TEST(the_same_whoever_reads)
{
	static const int numbers[] = { 1, 2, 4 };
	real first[6][4 * 3 * 20 * 30], rows[6][64];
	struct moka_error e = { 0 };
	struct layer x;

	make("same", MOKA_LMDB, 4, true);
	for (int i = 0; i < 3; i++) {
		threads = numbers[i];
		T_OK(layer_open(&x, file("same"), MOKA_LMDB, MOKA_TRAIN, EVERYTHING, &e), &e);
		for (int k = 0; k < 6; k++) {
			layer_read(&x);
			if (!i) {
				memcpy(first[k], x.data, sizeof(first[k]));
				memcpy(rows[k], x.rows, sizeof(rows[k]));
			}
			T_TRUE(!memcmp(first[k], x.data, sizeof(first[k])) &&
			       !memcmp(rows[k], x.rows, sizeof(rows[k])));
		}
		T_OK(x.b.ops->seek(x.b.source, 3, &e), &e);
		layer_read(&x);
		T_TRUE(!memcmp(first[3], x.data, sizeof(first[3])) && !memcmp(rows[3], x.rows, sizeof(rows[3])));
		layer_close(&x);
	}
	threads = 1;
	T_TRUE(memcmp(first[0], first[1], sizeof(first[0])) != 0);
}

T_TEST(what_is_refused)
{
	static const struct {
		const char *settings, *says;
	} cases[] = {
		{ "transform_param { resize_param { height: 9 width: 9 resize_mode: FIT_SMALL_SIZE } }",
		  "a size of its own" },
		{ "transform_param { resize_param { height: 9 } }", "no size for a picture" },
		{ "transform_param { noise_param { clahe: true } }", "clahe" },
		{ "transform_param { expand_param { max_expand_ratio: 0.5 } }", "max_expand_ratio is 0.5" },
		{ "transform_param { distort_param { contrast_prob: 1 contrast_lower: 2 contrast_upper: 1 } }",
		  "distort_param" },
		{ "annotated_data_param { batch_sampler { sampler { min_scale: 0.5 max_scale: 2 } } }",
		  "batch_sampler 1" },
		{ "transform_param { crop_size: 41 }", "too small to cut 41 x 41" },
	};

	make("refused", MOKA_LMDB, 2, true);
	for (size_t i = 0; i < MOKA_COUNT(cases); i++) {
		struct moka_error e = { 0 };
		char text[400];
		struct layer x;

		snprintf(text, sizeof(text), DATA "%s", cases[i].settings);
		T_TRUE(layer_open(&x, file("refused"), MOKA_LMDB, MOKA_TEST, text, &e) != MOKA_OK);
		T_HAS(e.message, cases[i].says);
		layer_close(&x);
	}
}

static void remove_lmdb(const char *path)
{
	char name[300];

	snprintf(name, sizeof(name), "%s/data.mdb", path);
	unlink(name);
	snprintf(name, sizeof(name), "%s/lock.mdb", path);
	unlink(name);
	T_INT(rmdir(path), 0);
}

/* Every byte of a record changed, and every length: an error that names the record, or another picture. */
T_TEST(damaged_records)
{
	struct moka_buf good;
	int errors = 0;

	moka_buf_init(&good, 0);
	record(&good, 2, true);
	for (size_t at = 0; at < good.len; at += at < 100 || at > good.len - 100 ? 1 : 37)
		for (int cut = 0; cut < 2; cut++) {
			const char *path = file("damaged");
			struct moka_db_writer *w;
			struct moka_error e = { 0 };
			const uint8_t old = (uint8_t)good.data[at];
			struct layer x;

			good.data[at] = (char)(old ^ 0x85);
			T_OK(moka_db_writer_new(&w, MOKA_LMDB, path, &e), &e);
			T_OK(moka_db_writer_put(w, "k", good.data, cut ? at : good.len, &e), &e);
			T_OK(moka_db_writer_commit(w, &e), &e);
			good.data[at] = (char)old;
			if (layer_open(&x, path, MOKA_LMDB, MOKA_TRAIN, EVERYTHING, &e)) {
				T_HAS(e.message, "damaged");
				errors++;
			} else {
				real *const top[] = { x.data, x.rows };

				errors += bench_read(&x.b, top, &e) != MOKA_OK;
			}
			layer_close(&x);
			remove_lmdb(path);
		}
	T_TRUE(errors > 100);
	moka_buf_release(&good);
}

static const struct CMUnitTest tests[] = {
	T_CASE(rows_of_a_batch), T_CASE(boxes_follow_their_picture),
	T_CASE(emit_constraint), T_CASE(the_same_whoever_reads),
	T_CASE(what_is_refused), T_CASE(damaged_records),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
