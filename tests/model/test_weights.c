/*
 * test_weights.c - .caffemodel files of every age, made here byte by byte; the published ones; and a large one that must open at once.
 */
#include "t.h"

#include "layers/layer.h"
#include "model/model.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a small writer of wire bytes ------------------------------------------------------------- */

static void varint(struct moka_buf *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		moka_buf_putc(b, (char)(v | 128));
	moka_buf_putc(b, (char)v);
}

static void number(struct moka_buf *b, unsigned field, uint64_t v)
{
	varint(b, field << 3);
	varint(b, v);
}

static void bytes(struct moka_buf *b, unsigned field, const void *p, size_t n)
{
	varint(b, field << 3 | 2);
	varint(b, n);
	moka_buf_add(b, p, n);
}

static void text(struct moka_buf *b, unsigned field, const char *s)
{
	bytes(b, field, s, strlen(s));
}

static void inside(struct moka_buf *b, unsigned field, struct moka_buf *inner)
{
	bytes(b, field, inner->data, inner->len);
	moka_buf_release(inner);
}

static const float values[6] = { 1, -2, 3.5f, 4, 5, 1e-3f };
static const real wanted[6] = { 1, -2, (real)3.5, 4, 5, (real)1e-3f };

enum form { PACKED, UNPACKED, TWO_PIECES, DOUBLES, RAW_HALF, RAW_FLOAT };

/* A BlobProto of 6 values. */
static struct moka_buf blob(enum form form, bool legacy)
{
	static const uint16_t half[] = { 0x3c00, 0xc000, 0x4300, 0x4400, 0x4500, 0x1419 };
	struct moka_buf b, shape;
	double d[6];

	moka_buf_init(&b, 0);
	if (legacy) {
		for (unsigned i = 1; i <= 4; i++)
			number(&b, i, i < 3 ? 1 : i == 3 ? 2 : 3);
	} else {
		moka_buf_init(&shape, 0);
		number(&shape, 1, 2); /* not packed */
		number(&shape, 1, 3);
		inside(&b, 7, &shape);
	}
	for (int i = 0; i < 6; i++) {
		d[i] = (double)values[i];
		if (form != UNPACKED)
			continue;
		varint(&b, 5 << 3 | 5);
		moka_buf_add(&b, &values[i], 4);
	}
	if (form == PACKED)
		bytes(&b, 5, values, sizeof(values));
	if (form == TWO_PIECES) {
		bytes(&b, 5, values, 8);
		bytes(&b, 5, values + 2, 16);
	}
	if (form == DOUBLES)
		bytes(&b, 8, d, sizeof(d));
	if (form == RAW_HALF || form == RAW_FLOAT) {
		number(&b, 10, form == RAW_HALF ? 2 : 1);
		bytes(&b, 12, form == RAW_HALF ? (const void *)half : values,
		      form == RAW_HALF ? sizeof(half) : sizeof(values));
	}
	return b;
}

enum age { V2, V1, V0 };

static void make_net(struct moka_buf *b, enum age age, enum form form)
{
	struct moka_buf layer, inner, x = blob(form, age != V2);

	moka_buf_init(b, 0);
	moka_buf_init(&layer, 0);
	text(b, 1, "a net");
	if (age == V2) {
		text(&layer, 1, "ip");
		text(&layer, 2, "InnerProduct");
		inside(&layer, 7, &x);
	} else if (age == V1) {
		text(&layer, 4, "ip");
		number(&layer, 5, 14);
		inside(&layer, 6, &x);
	} else {
		moka_buf_init(&inner, 0);
		text(&inner, 1, "ip");
		text(&inner, 2, "innerproduct");
		inside(&inner, 50, &x);
		inside(&layer, 1, &inner);
	}
	/* what another fork may have put where BVLC has a message: text in field 147, a number in 117 */
	text(&layer, 147, "\xff\xff\xff");
	number(&layer, 117, 5);
	inside(b, age == V2 ? 100 : 2, &layer);
}

static const char *write_file(const char *name, const void *p, size_t n)
{
	static char path[256];
	struct moka_error e = { 0 };

	snprintf(path, sizeof(path), "%s/%s", t_tmp(), name);
	T_OK(moka_file_write(path, p, n, &e), &e);
	return path;
}

T_TEST(every_age_and_form)
{
	for (int age = V2; age <= V0; age++)
		for (int form = PACKED; form <= RAW_FLOAT; form++) {
			struct moka_error e = { 0 };
			struct moka_weights *w;
			struct moka_buf b;
			real got[6];

			make_net(&b, (enum age)age, (enum form)form);
			T_OK(moka_weights_open(&w, write_file("w.caffemodel", b.data, b.len), &moka_layer_schema, &e),
			     &e);
			T_INT(w->n_layers, 1);
			T_STR(w->layers[0].name, "ip");
			T_STR(w->layers[0].type, age == V0 ? "innerproduct" : "InnerProduct");
			T_INT(w->layers[0].n_blobs, 1);
			const struct moka_blob_view *v = &w->layers[0].blobs[0];
			T_INT(v->count, 6);
			T_INT(v->legacy, age != V2);
			T_INT(v->n_axes, age == V2 ? 2 : 4);
			T_INT(v->dim[v->n_axes - 1], 3);
			moka_blob_view_read(v, 0, 6, got);
			T_NEAR(got, wanted, 6, form == RAW_HALF ? 1e-3 : 0, 0);
			moka_blob_view_read(v, 2, 3, got);
			T_NEAR(got, wanted + 2, 3, form == RAW_HALF ? 1e-3 : 0, 0);
			moka_weights_free(w);
			moka_buf_release(&b);
		}
}

/* A file that ends anywhere: an error with its name, or (between fields) fewer layers; never a crash, never a value from outside. */
T_TEST(every_prefix)
{
	struct moka_buf b;
	int errors = 0;

	make_net(&b, V2, PACKED);
	for (size_t n = 0; n < b.len; n++) {
		struct moka_error e = { 0 };
		struct moka_weights *w;

		if (moka_weights_open(&w, write_file("cut.caffemodel", b.data, n), &moka_layer_schema, &e)) {
			T_HAS(e.message, "cut.caffemodel");
			errors++;
			continue;
		}
		T_INT(w->n_layers, 0);
		moka_weights_free(w);
	}
	T_TRUE(errors > (int)b.len - 12);
	moka_buf_release(&b);
}

/* Each byte damaged in turn: whatever is opened can be read. */
T_TEST(every_byte_damaged)
{
	struct moka_buf b;

	for (int form = PACKED; form <= RAW_FLOAT; form++) {
		make_net(&b, V1, (enum form)form);
		for (size_t i = 0; i < b.len; i++)
			for (int k = 0; k < 3; k++) {
				const char was = b.data[i], flip[] = { 1, 64, -1 };
				struct moka_error e = { 0 };
				struct moka_weights *w;
				real got[64];

				b.data[i] = (char)(was ^ flip[k]);
				if (!moka_weights_open(&w, write_file("bad.caffemodel", b.data, b.len),
						       &moka_layer_schema, &e)) {
					for (int j = 0; j < w->n_layers && w->layers[j].n_blobs; j++)
						moka_blob_view_read(&w->layers[j].blobs[0], 0,
								    MOKA_MIN(w->layers[j].blobs[0].count, 64), got);
					moka_weights_free(w);
				}
				b.data[i] = was;
			}
		moka_buf_release(&b);
	}
}

static void refuses(const char *name, const void *p, size_t n, const char *message, const char *hint)
{
	struct moka_error e = { 0 };
	struct moka_weights *w;

	T_TRUE(moka_weights_open(&w, write_file(name, p, n), &moka_layer_schema, &e) != MOKA_OK);
	T_TRUE(w == NULL);
	T_HAS(e.message, name);
	T_HAS(e.message, message);
	T_HAS(e.hint, hint);
}

T_TEST(wrong_files)
{
	const char *net = "name: \"x\" layer { name: \"a\" type: \"ReLU\" }";
	struct moka_buf b, layer, x;

	refuses("net.prototxt", net, strlen(net), "a net in text", ".caffemodel");
	refuses("s.solverstate",
		"\x08\x0a\x12\x03"
		"a.m\x1a\x02\x08\x01",
		11, "solver's state", "'a.m'");
	refuses("lfs", "version https://git-lfs.github.com/spec/v1\nsize 99\n", 51, "99 bytes", "git lfs pull");
	refuses("mean", "\x08\x01\x10\x01\x18\x01\x20\x01\x2a\x04\0\0\0\0", 14, "mean image", "--mean");

	/* 7 values where the shape has 6 */
	moka_buf_init(&b, 0);
	moka_buf_init(&layer, 0);
	x = blob(PACKED, false);
	bytes(&x, 5, values, 4);
	text(&layer, 1, "ip");
	inside(&layer, 7, &x);
	inside(&b, 100, &layer);
	refuses("odd.caffemodel", b.data, b.len,
		"layer 'ip', blob 0: its shape is 2x3, which is 6 values, but 7 are stored", "");
	moka_buf_release(&b);
}

T_TEST(text_with_blobs)
{
	static const char net[] =
		"name: \"x\"\nlayer { name: \"ip\" type: \"InnerProduct\"\n"
		" blobs { shape { dim: 2 dim: 3 } data: 1 data: -2 data: 3.5 data: 4 data: 5 data: 1e-3 } }\n"
		"layer { name: \"r\" type: \"ReLU\" }";
	const char *path = write_file("t.prototxt", net, sizeof(net) - 1);
	struct moka_error e = { 0 };
	struct moka_weights *w;
	real got[6];

	T_OK(moka_weights_open(&w, path, &moka_layer_schema, &e), &e);
	T_INT(w->n_layers, 2);
	T_INT(w->layers[0].n_blobs, 1);
	T_INT(w->layers[0].blobs[0].n_axes, 2);
	moka_blob_view_read(&w->layers[0].blobs[0], 0, 6, got);
	T_NEAR(got, wanted, 6, 0, 0);
	moka_weights_free(w);
}

/* 600 MB of weights that lie in a hole of the file: opened in milliseconds, because no value is touched. */
T_TEST(large_file_at_once)
{
	const uint64_t n = (uint64_t)150 << 20;
	struct moka_buf b, layer_head, x;
	struct moka_error e = { 0 };
	struct moka_weights *w;
	const char *path;
	double start;
	int fd;

	moka_buf_init(&x, 0);
	number(&x, 4, n); /* the rest of the legacy shape: ones */
	for (unsigned i = 1; i < 4; i++)
		number(&x, i, 1);
	varint(&x, 5 << 3 | 2);
	varint(&x, n * 4);
	moka_buf_init(&layer_head, 0);
	text(&layer_head, 1, "big");
	varint(&layer_head, 7 << 3 | 2);
	varint(&layer_head, x.len + n * 4);
	moka_buf_init(&b, 0);
	varint(&b, 100 << 3 | 2);
	varint(&b, layer_head.len + x.len + n * 4);
	moka_buf_add(&b, layer_head.data, layer_head.len);
	moka_buf_add(&b, x.data, x.len);
	path = write_file("big.caffemodel", b.data, b.len);
	fd = open(path, O_WRONLY);
	T_TRUE(fd >= 0);
	if (ftruncate(fd, (off_t)(b.len + n * 4))) {
		close(fd);
		T_SKIP("no sparse file of 600 MB here");
	}
	close(fd);
	start = moka_now();
	T_OK(moka_weights_open(&w, path, &moka_layer_schema, &e), &e);
	T_TRUE(moka_now() - start < 0.25);
	T_INT(w->layers[0].blobs[0].count, n);
	moka_weights_free(w);
	unlink(path);
	moka_buf_release(&b);
	moka_buf_release(&x);
	moka_buf_release(&layer_head);
}

/* Layers, layers with blobs, blobs, values: as protoc counts them. */
T_TEST(published)
{
	static const struct {
		const char *name;
		int layers, blobs;
		int64_t values;
	} rows[] = {
		{ "cifar10-full-v1", 14, 8, 89578 },   { "hyperlpr-chars", 13, 10, 232513 },
		{ "lenet-mnist", 9, 8, 431080 },       { "mtcnn-det1", 18, 13, 6632 },
		{ "mtcnn-det2", 22, 18, 101468 },      { "mtcnn-det3", 25, 21, 389040 },
		{ "nsfw-squeezenet", 78, 52, 723522 }, { "pcn-1", 43, 44, 524199 },
		{ "rfb320-face", 116, 104, 273888 },   { "squeezenet-traffic", 78, 52, 736963 },
		{ "wechat-qr", 204, 170, 235658 },     { "yuface-ssd", 82, 28, 673360 },
	};
	int opened = 0;

	if (!t_shared())
		T_SKIP("no ../shared");
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		struct moka_error e = { 0 };
		struct moka_weights *w;
		char path[4300];
		int64_t count = 0;
		int blobs = 0;

		snprintf(path, sizeof(path), "%s/models/%s/weights.caffemodel", t_shared(), rows[i].name);
		if (!moka_path_exists(path))
			continue;
		T_OK(moka_weights_open(&w, path, &moka_layer_schema, &e), &e);
		for (int k = 0; k < w->n_layers; k++) {
			blobs += w->layers[k].n_blobs;
			for (int j = 0; j < w->layers[k].n_blobs; j++)
				count += w->layers[k].blobs[j].count;
		}
		T_INT(w->n_layers, rows[i].layers);
		T_INT(blobs, rows[i].blobs);
		T_INT(count, rows[i].values);
		moka_weights_free(w);
		opened++;
	}
	if (!opened)
		T_SKIP("no published weights");
}

static const struct CMUnitTest tests[] = {
	T_CASE(every_age_and_form), T_CASE(every_prefix),	T_CASE(every_byte_damaged), T_CASE(wrong_files),
	T_CASE(text_with_blobs),    T_CASE(large_file_at_once), T_CASE(published),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
