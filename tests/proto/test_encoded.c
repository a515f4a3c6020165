/*
 * Every published file that protoc accepts with BVLC's schema: our bytes are its bytes, our text is its text.
 * ENCODED.tsv lists size and sha256 of `protoc --encode`, and sha256 of `protoc --decode` of that.
 */
#include "t.h"

#include "layers/layer.h"
#include "sha256.h"

#include <stdlib.h>

struct row {
	char *path, *message, *size, *bytes_sum, *text_sum;
};

static void read_row(char *line, struct row *r)
{
	char **fields[] = { &r->path, &r->message, &r->size, &r->bytes_sum, &r->text_sum };

	for (size_t i = 0; i < MOKA_COUNT(fields); i++)
		*fields[i] = strsep(&line, "\t\n");
}

/* Text -> tree -> bytes; and those bytes -> tree -> text, and again -> bytes. Returns what went wrong, or NULL. */
static const char *try_row(struct moka_arena *a, const struct row *r, const struct moka_file *file,
			   struct moka_buf *bytes, struct moka_buf *text, struct moka_buf *again,
			   struct moka_findings *f)
{
	const struct moka_message *root =
		!strcmp(r->message, "NetParameter") ? &moka_net_message : &moka_solver_message;
	struct moka_text source = { r->path, (const char *)file->data, file->size }, binary = { .path = r->path };
	struct moka_error err = { 0 };
	struct moka_msg *m, *back;
	char sum[65];
	uint64_t size;

	if (moka_text_parse(a, &source, root, &moka_layer_schema, f, &m))
		return "not read";
	if (f->errors || f->warnings)
		return f->items[0].message;
	if (moka_wire_write_buf(m, bytes) || moka_wire_size(m, &size) || size != bytes->len)
		return "not written";
	sha256_hex(bytes->data, bytes->len, sum);
	if (bytes->len != (size_t)atol(r->size) || strcmp(sum, r->bytes_sum))
		return "other bytes than protoc's";
	if (moka_wire_parse(a, bytes->data, bytes->len, &binary, root, &moka_layer_schema, &err, &back))
		return "bytes not read again";
	moka_text_print(back, text);
	sha256_hex(text->data, text->len, sum);
	if (strcmp(sum, r->text_sum))
		return "other text than protoc's";
	if (moka_wire_write_buf(back, again) || again->len != bytes->len ||
	    (bytes->len && memcmp(again->data, bytes->data, bytes->len)))
		return "bytes -> tree -> bytes differs";
	return NULL;
}

static bool check_row(const char *folder, const struct row *r)
{
	char path[8192];
	struct moka_arena a;
	struct moka_buf bytes, text, again;
	struct moka_findings f;
	struct moka_file file;
	struct moka_error err;
	const char *bad;

	snprintf(path, sizeof(path), "%s/%s", folder, r->path);
	T_OK(moka_file_open(&file, path, &err), &err);
	moka_arena_init(&a, 0);
	moka_findings_init(&f);
	moka_buf_init(&bytes, 0);
	moka_buf_init(&text, 0);
	moka_buf_init(&again, 0);
	bad = try_row(&a, r, &file, &bytes, &text, &again, &f);
	if (bad)
		fprintf(stderr, "%s: %s\n", r->path, bad);
	moka_buf_release(&bytes);
	moka_buf_release(&text);
	moka_buf_release(&again);
	moka_findings_release(&f);
	moka_arena_release(&a);
	moka_file_release(&file);
	return !bad;
}

T_TEST(all_as_protoc)
{
	const char *shared = t_shared();
	char folder[1024], path[1100], line[4096];
	int n = 0, good = 0;
	FILE *list;

	if (!shared)
		T_SKIP("no ../shared");
	snprintf(folder, sizeof(folder), "%s/prototxt", shared);
	snprintf(path, sizeof(path), "%s/ENCODED.tsv", folder);
	list = fopen(path, "r");
	if (!list)
		T_SKIP("no ENCODED.tsv");
	while (fgets(line, sizeof(line), list)) {
		struct row r = { 0 };
		if (*line == '#')
			continue;
		read_row(line, &r);
		n++;
		good += check_row(folder, &r);
	}
	fclose(list);
	fprintf(stderr, "%d of %d files agree with protoc\n", good, n);
	T_TRUE(n > 1000);
	T_INT(good, n);
}

/* The sum itself, against the standard's examples. */
T_TEST(sum)
{
	char hex[65];

	sha256_hex("abc", 3, hex);
	T_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
	T_STR(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static const struct CMUnitTest tests[] = {
	T_CASE(sum),
	T_CASE(all_as_protoc),
};

int main(int argc, char **argv)
{
	return t_main(argc, argv, tests, MOKA_COUNT(tests));
}
