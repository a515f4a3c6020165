/* The binary reader and writer: what protoc's rules say, and that nothing a file claims is believed. */
#include "t.h"

#include "layers/layer.h"

#include <stdlib.h>
#include <string.h>

static const struct moka_text name = { .path = "x.caffemodel" };

struct read {
	struct moka_arena a;
	struct moka_error err;
	struct moka_msg *m;
	struct moka_buf text, bytes;
	enum moka_status status;
};

static void read_bytes(struct read *r, const struct moka_message *root, const void *p, size_t n)
{
	*r = (struct read){ 0 };
	moka_arena_init(&r->a, 0);
	moka_buf_init(&r->text, 0);
	moka_buf_init(&r->bytes, 0);
	r->status = moka_wire_parse(&r->a, p, n, &name, root, &moka_layer_schema, &r->err, &r->m);
	if (r->m) {
		moka_text_print(r->m, &r->text);
		moka_wire_write_buf(r->m, &r->bytes);
	}
}

static void done(struct read *r)
{
	moka_buf_release(&r->text);
	moka_buf_release(&r->bytes);
	moka_arena_release(&r->a);
}

/*
 * Bytes of a NetParameter; what `protoc --decode` prints of them; the bytes that `protoc --encode` makes of that again
 * (NULL: the same bytes).
 */
#define B(s) s, sizeof(s) - 1
/* clang-format off */
static const struct {
	const char *bytes;
	size_t n;
	const char *text, *again;
	size_t n_again;
} rows[] = {
	{ B(""), "", NULL, 0 },
	/* the last of singular scalars */
	{ B("\x0a\x01" "a\x0a\x01" "b"), "name: \"b\"\n", B("\x0a\x01" "b") },
	/* packed in a field that is not, unpacked beside it */
	{ B("\x20\x01\x22\x02\x02\x03\x20\x04"), "input_dim: 1\ninput_dim: 2\ninput_dim: 3\ninput_dim: 4\n", B("\x20\x01\x20\x02\x20\x03\x20\x04") },
	/* unpacked in a field that is packed: input_shape { dim: 1 dim: -1 } */
	{ B("\x42\x0d\x08\x01\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "input_shape {\n  dim: 1\n  dim: -1\n}\n",
	  B("\x42\x0d\x0a\x0b\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
	/* -1 as ten bytes; cut to 32 bits */
	{ B("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "input_dim: -1\n", NULL, 0 },
	{ B("\x20\x81\x80\x80\x80\x10"), "input_dim: 1\n", B("\x20\x01") },
	/* a bool of 7 is true */
	{ B("\x28\x07"), "force_backward: true\n", B("\x28\x01") },
	/* singular messages merge: state { phase: TEST } + state { level: 2 stage: "s" } */
	{ B("\x32\x02\x08\x01\x32\x05\x10\x02\x1a\x01s"), "state {\n  phase: TEST\n  level: 2\n  stage: \"s\"\n}\n", B("\x32\x07\x08\x01\x10\x02\x1a\x01s") },
	/* no such phase: kept as unknown */
	{ B("\x32\x02\x08\x09"), "state {\n  1: 9\n}\n", NULL, 0 },
	/* a wire type that does not fit: kept as unknown. name as a varint, force_backward as text, then as 4 bytes */
	{ B("\x08\x05"), "1: 5\n", NULL, 0 },
	{ B("\x2a\x03hel"), "5: \"hel\"\n", NULL, 0 },
	{ B("\x2d\x01\x02\x03\x04"), "5: 0x04030201\n", NULL, 0 },
	/* unknown fields of every kind go last: varint, 8 bytes, text, message, group, 4 bytes */
	{ B("\xb8\x3e\x96\x01\xb9\x3e\x01\x00\x00\x00\x00\x00\x00\x00\x0a\x01n"), "name: \"n\"\n999: 150\n999: 0x0000000000000001\n",
	  B("\x0a\x01n\xb8\x3e\x96\x01\xb9\x3e\x01\x00\x00\x00\x00\x00\x00\x00") },
	{ B("\xba\x3e\x02\x08\x01"), "999 {\n  1: 1\n}\n", NULL, 0 },
	{ B("\xba\x3e\x02\x08\x80"), "999: \"\\010\\200\"\n", NULL, 0 },
	{ B("\xbb\x3e\x08\x01\x13\x08\x02\x14\xbc\x3e"), "999 {\n  1: 1\n  2 {\n    1: 2\n  }\n}\n", NULL, 0 },
	/* the type comes after the parameters it decides about: 202 is Permute's in SSD */
	{ B("\xa2\x06\x10\xd2\x0c\x04\x08\x00\x08\x02\x12\x07Permute"),
	  "layer {\n  type: \"Permute\"\n  permute_param {\n    order: 0\n    order: 2\n  }\n}\n",
	  B("\xa2\x06\x10\x12\x07Permute\xd2\x0c\x04\x08\x00\x08\x02") },
	/* and nobody's in a layer of another type */
	{ B("\xa2\x06\x0b\xd2\x0c\x02\x08\x00\x12\x04ReLU"), "layer {\n  type: \"ReLU\"\n  202 {\n    1: 0\n  }\n}\n",
	  B("\xa2\x06\x0b\x12\x04ReLU\xd2\x0c\x02\x08\x00") },
	/* V1 types by name; one that BVLC has not */
	{ B("\x12\x02\x28\x04"), "layers {\n  type: CONVOLUTION\n}\n", NULL, 0 },
	{ B("\x12\x02\x28\x63"), "layers {\n  5: 99\n}\n", NULL, 0 },
	/* floats, packed, twice: one run on the way out */
	{ B("\xa2\x06\x11\x3a\x0f\x2a\x04\x00\x00\x80\x3f\x2d\x00\x00\x00\x40\x2a\x02\x00\x00"), NULL, NULL, 0 },
	{ B("\xa2\x06\x11\x3a\x0f\x2a\x08\x00\x00\x80\x3f\x00\x00\x00\x40\x2d\x00\x00\x40\x40"),
	  "layer {\n  blobs {\n    data: 1\n    data: 2\n    data: 3\n  }\n}\n",
	  B("\xa2\x06\x10\x3a\x0e\x2a\x0c\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40") },
};
/* clang-format on */

T_TEST(as_protoc)
{
	for (size_t i = 0; i < MOKA_COUNT(rows); i++) {
		const char *again = rows[i].again ? rows[i].again : rows[i].bytes;
		size_t n = rows[i].again ? rows[i].n_again : rows[i].n;
		struct read r;
		uint64_t size;

		read_bytes(&r, &moka_net_message, rows[i].bytes, rows[i].n);
		if (!rows[i].text) {
			T_INT(r.status, MOKA_ERR_FORMAT);
			done(&r);
			continue;
		}
		T_OK(r.status, &r.err);
		T_STR(r.text.data ? r.text.data : "", rows[i].text);
		T_INT(r.bytes.len, n);
		if (n)
			assert_memory_equal(r.bytes.data, again, n);
		moka_wire_size(r.m, &size);
		T_INT(size, n);
		done(&r);
	}
}

/* What is wrong with these, in words: the place, the field, and that it is the file's fault. */
/* clang-format off */
static const struct {
	const char *bytes;
	size_t n;
	const char *place, *path;
} broken[] = {
	{ B("\x0a"), "byte 0", "name" },
	{ B("\x0a\x05" "ab"), "byte 0", "name" },
	{ B("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "byte 0", "name" },
	{ B("\x08"), "byte 0", "field 1" },
	{ B("\x20\x80"), "byte 1", "input_dim" },
	{ B("\xa2\x06\x06\x3a\x04\x2a\x08\x00\x00"), "byte 5", "layer.blobs.data" },
	{ B("\xa2\x06\x07\x3a\x05\x2a\x03\x00\x00\x00"), "byte 7", "layer.blobs.data" },
	{ B("\x07\x01"), "byte 0", "" },
	{ B("\x00\x01"), "byte 0", "" },
	{ B("\x0c"), "byte 0", "" },
	{ B("\xbb\x3e\x08\x01"), "byte 0", "field 999" },
	{ B("\xbb\x3e\x08\x01\xb4\x3e"), "byte 0", "field 999" },
	{ B("\x22\x01\x80"), "byte 2", "input_dim" },
	{ B("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "byte 0", "" },
};
/* clang-format on */

T_TEST(says_where_it_breaks)
{
	for (size_t i = 0; i < MOKA_COUNT(broken); i++) {
		struct read r;
		read_bytes(&r, &moka_net_message, broken[i].bytes, broken[i].n);
		T_INT(r.status, MOKA_ERR_FORMAT);
		T_HAS(r.err.message, "x.caffemodel: ");
		T_HAS(r.err.message, broken[i].place);
		T_HAS(r.err.message, broken[i].path);
		T_TRUE(r.m == NULL && *r.err.hint);
		done(&r);
	}
}

/* A packed run is a view of the file, wherever it lies. */
T_TEST(weights_are_views)
{
	enum { COUNT = 1000 };
	struct moka_arena a;
	struct moka_msg *net, *blob;
	struct moka_buf b;
	struct read r;
	const struct moka_node *n;
	float v[COUNT];
	double back[COUNT];

	for (int i = 0; i < COUNT; i++)
		v[i] = (float)i * 0.1f;
	moka_arena_init(&a, 0);
	moka_buf_init(&b, 0);
	net = moka_msg_new(&a, &moka_net_message);
	blob = moka_add_msg(&a, moka_add_msg(&a, net, &moka_layer_schema, "layer"), &moka_layer_schema, "blobs");
	T_TRUE(moka_add_floats(&a, blob, "data", v, COUNT) != NULL);
	moka_wire_write_buf(net, &b);
	read_bytes(&r, &moka_net_message, b.data, b.len);
	T_OK(r.status, &r.err);
	blob = moka_get_msg(moka_get_msg(r.m, "layer"), "blobs");
	n = moka_get(blob, "data");
	T_INT(n->kind, MOKA_NODE_RUN);
	T_INT(n->u.run.count, COUNT);
	T_INT(n->u.run.stride, 4);
	T_INT(n->u.run.skip, 0);
	T_TRUE((const char *)n->u.run.p > b.data && (const char *)n->u.run.p + n->u.run.bytes <= b.data + b.len);
	T_INT(moka_get_floats(blob, "data", back, COUNT), COUNT);
	for (int i = 0; i < COUNT; i++)
		T_TRUE(back[i] == (double)v[i]);
	done(&r);
	moka_buf_release(&b);
	moka_arena_release(&a);
}

/* Floats each with its own tag: one run, a step of five bytes. */
T_TEST(unpacked_floats_are_one_run)
{
	enum { COUNT = 5000 };
	unsigned char *bytes = malloc(COUNT * 5);
	const struct moka_node *n;
	struct read r;
	double back[COUNT];

	assert_non_null(bytes);
	for (int i = 0; i < COUNT; i++) {
		float v = (float)i;
		bytes[5 * i] = 5 << 3 | 5;
		memcpy(bytes + 5 * i + 1, &v, 4);
	}
	read_bytes(&r, &moka_blob_message, bytes, COUNT * 5);
	T_OK(r.status, &r.err);
	n = moka_get(r.m, "data");
	T_TRUE(n && n == r.m->last);
	T_INT(n->u.run.count, COUNT);
	T_INT(n->u.run.stride, 5);
	T_INT(n->u.run.skip, 1);
	T_INT(moka_get_floats(r.m, "data", back, COUNT), COUNT);
	T_TRUE(back[COUNT - 1] == COUNT - 1);
	done(&r);
	free(bytes);
}

/* Groups within groups: protoc's limit, and no crash. */
T_TEST(deep_groups)
{
	enum { DEEP = 100000 };
	struct moka_buf b;
	struct read r;

	moka_buf_init(&b, 0);
	moka_buf_repeat(&b, "\xbb\x3e", DEEP);
	moka_buf_repeat(&b, "\xbc\x3e", DEEP);
	read_bytes(&r, &moka_net_message, b.data, b.len);
	T_INT(r.status, MOKA_ERR_FORMAT);
	done(&r);
	moka_buf_release(&b);
}

/* Merging many pieces into one message takes time in proportion. */
T_TEST(many_merges)
{
	struct moka_buf b;
	struct read r;
	double start = moka_now();

	moka_buf_init(&b, 0);
	moka_buf_puts(&b, "\x0a\x01n");
	for (int i = 0; i < 200000; i++)
		moka_buf_add(&b,
			     "\x32\x05\x1a\x03"
			     "abc\x1a\x01"
			     "i",
			     10);
	read_bytes(&r, &moka_net_message, b.data, b.len);
	T_OK(r.status, &r.err);
	T_INT(moka_count(moka_get_msg(r.m, "state"), "stage"), 200000);
	T_TRUE(moka_now() - start < 10);
	done(&r);
	moka_buf_release(&b);
}

/* Every cut and many changed bytes of a real message: an error or a tree, and a tree is written and read as the same. */
T_TEST(damaged_anywhere)
{
	static const char text[] =
		"name: 'n' input: 'i' input_dim: [1, -1] input_shape { dim: [3, 4] } state { phase: TRAIN stage: 's' }\n"
		"layer { name: 'c' type: 'Convolution' bottom: 'i' top: 'c' param { lr_mult: 1 name: 'w' } loss_weight: .5 propagate_down: true\n"
		"convolution_param { num_output: 3 pad: [1, 2] weight_filler { type: 'xavier' } } blobs { shape { dim: 2 } data: [1, 2] } }\n"
		"layers { name: 'r' type: RELU blobs_lr: [1, 2] blobs { num: 1 data: 3 double_data: 4 } blob_share_mode: PERMISSIVE }\n";
	struct moka_text source = { "t", text, sizeof(text) - 1 };
	struct moka_arena a;
	struct moka_msg *m;
	struct moka_buf b;
	struct moka_rng rng;

	moka_arena_init(&a, 0);
	moka_buf_init(&b, 0);
	moka_rng_seed(&rng, 42, 0);
	T_INT(moka_text_parse(&a, &source, &moka_net_message, &moka_layer_schema, NULL, &m), MOKA_OK);
	T_INT(moka_wire_write_buf(m, &b), MOKA_OK);
	for (size_t i = 0; i < b.len + 4000; i++) {
		size_t n = i < b.len ? i : b.len;
		char *copy = malloc(n ? n : 1);
		struct read r, again;
		assert_non_null(copy);
		memcpy(copy, b.data, n);
		for (int k = 0; i >= b.len && k < 3; k++)
			copy[moka_rng_below(&rng, n)] = (char)moka_rng_next(&rng);
		read_bytes(&r, &moka_net_message, copy, n);
		if (!r.status) {
			read_bytes(&again, &moka_net_message, r.bytes.data ? r.bytes.data : "", r.bytes.len);
			T_OK(again.status, &again.err);
			T_INT(again.bytes.len, r.bytes.len);
			if (r.bytes.len)
				assert_memory_equal(again.bytes.data, r.bytes.data, r.bytes.len);
			T_STR(again.text.data ? again.text.data : "", r.text.data ? r.text.data : "");
			done(&again);
		}
		done(&r);
		free(copy);
	}
	moka_buf_release(&b);
	moka_arena_release(&a);
}

/* An arena with a ceiling: no memory is an error value. */
T_TEST(no_memory)
{
	static const char bytes[] = "\x0a\x04name\x1a\x01"
				    "a\x1a\x01"
				    "b\x32\x02\x08\x01";

	for (size_t limit = 1; limit < 2000; limit += 16) {
		struct moka_arena a;
		struct moka_msg *m;
		struct moka_error err;
		enum moka_status st;

		moka_arena_init(&a, limit);
		st = moka_wire_parse(&a, bytes, sizeof(bytes) - 1, &name, &moka_net_message, &moka_layer_schema, &err,
				     &m);
		T_TRUE(st == MOKA_OK || (st == MOKA_ERR_NOMEM && !m));
		moka_arena_release(&a);
	}
}

static const struct CMUnitTest tests[] = {
	T_CASE(as_protoc),	   T_CASE(says_where_it_breaks),
	T_CASE(weights_are_views), T_CASE(unpacked_floats_are_one_run),
	T_CASE(deep_groups),	   T_CASE(many_merges),
	T_CASE(damaged_anywhere),  T_CASE(no_memory),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
