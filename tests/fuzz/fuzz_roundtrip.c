/* Text -> tree -> bytes -> tree -> text -> tree -> bytes: what was written is read as the same. */
#include "fuzz.h"
#include "layers/layer.h"

#include <stdlib.h>
#include <string.h>

static const struct moka_message *const roots[] = { &moka_net_message, &moka_solver_message };

static void again(struct moka_arena *a, const struct moka_buf *bytes, const struct moka_message *root)
{
	struct moka_text none = { .path = "bytes" }, text = { .path = "text" };
	struct moka_buf printed, second;
	struct moka_msg *m, *back;
	struct moka_error err;

	moka_buf_init(&printed, 0);
	moka_buf_init(&second, 0);
	if (moka_wire_parse(a, bytes->data ? bytes->data : "", bytes->len, &none, root, &moka_layer_schema, &err, &m))
		abort();
	moka_text_print(m, &printed);
	text.data = printed.data ? printed.data : "";
	text.size = printed.len;
	if (!moka_text_parse(a, &text, root, &moka_layer_schema, NULL, &back) && !moka_wire_write_buf(back, &second))
		if (second.len != bytes->len || (second.len && memcmp(second.data, bytes->data, second.len)))
			abort();
	moka_buf_release(&printed);
	moka_buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < MOKA_COUNT(roots); i++) {
		struct moka_text text = { "fuzz", (const char *)data, size };
		struct moka_arena a;
		struct moka_findings f;
		struct moka_msg *m;
		struct moka_buf bytes;

		moka_arena_init(&a, (size_t)1 << 30);
		moka_findings_init(&f);
		moka_buf_init(&bytes, 0);
		/* only a text without a finding promises to survive whole */
		if (!moka_text_parse(&a, &text, roots[i], &moka_layer_schema, &f, &m) && !f.n &&
		    !moka_wire_write_buf(m, &bytes))
			again(&a, &bytes, roots[i]);
		moka_buf_release(&bytes);
		moka_findings_release(&f);
		moka_arena_release(&a);
	}
	return 0;
}
